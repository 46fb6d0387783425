/* SPDX-License-Identifier: MIT */
#include "xen/grant_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/grant_wire.h"

struct grant_client {
	int socket;
	uint8_t *shared;
	uint64_t questions;
	bool lost; /* the monitor; said */
};

/* Asks and waits. The answer's error, or that of the conversation. */
static int grant_client_ask(struct grant_client *client, const struct grant_question *question,
    int fd, struct grant_answer *answer, int *answer_fd)
{
	size_t fd_count = answer_fd ? 1 : 0;
	int result;

	client->questions++;
	result = grant_send(client->socket, question, sizeof(*question), &fd, fd >= 0);
	if (!result) {
		result = grant_receive(
		    client->socket, answer, sizeof(*answer), answer_fd, &fd_count, true);
		result = result > 0 ? 0 : result ? result : -EPROTO;
	}
	if (result) {
		if (!client->lost)
			log_error(
			    "the monitor of this worker does not answer: %s", strerror(-result));
		client->lost = true;
		return result;
	}
	if (answer->error) {
		if (fd_count)
			close(*answer_fd);
		return answer->error < 0 ? answer->error : -EPROTO;
	}
	return fd_count == (answer_fd != NULL) ? 0 : -EPROTO;
}

int grant_client_create(int socket, struct grant_client **to)
{
	const struct grant_question hello = { .type = GRANT_HELLO };
	struct grant_client *client = calloc(1, sizeof(*client));
	struct grant_answer answer;
	void *shared;
	int fd, error;

	if (!client)
		return -ENOMEM;
	client->socket = socket;
	error = grant_client_ask(client, &hello, -1, &answer, &fd);
	if (!error) {
		error = grant_shared_open(fd, GRANT_SHARED_SIZE, &shared);
		close(fd);
	}
	if (error) {
		free(client);
		return error;
	}
	client->shared = shared;
	*to = client;
	return 0;
}

void grant_client_destroy(struct grant_client *client)
{
	if (!client)
		return;
	munmap(client->shared, GRANT_SHARED_SIZE);
	close(client->socket);
	free(client);
}

int grant_client_set_device(struct grant_client *client, int fd, uint16_t domid)
{
	const struct grant_question question = { .type = GRANT_DEVICE, .number = domid };
	struct grant_answer answer;

	return grant_client_ask(client, &question, fd, &answer, NULL);
}

/* ------------------------------------------------------------------- mapping */

static void grant_client_remove(struct grant_client *client, uint64_t index, uint32_t pages)
{
	const struct grant_question question = {
		.type = GRANT_REMOVE,
		.number = pages,
		.index = index,
	};
	struct grant_answer answer;

	grant_client_ask(client, &question, -1, &answer, NULL);
}

int grant_client_map(struct grant_client *client, int fd, const struct gntdev_run *runs,
    size_t count, bool writable, struct gntdev_map *map)
{
	struct grant_question question = { .type = GRANT_INSERT };
	struct gntdev_run *list = (struct gntdev_run *)client->shared;
	struct grant_answer answer;
	int error;

	for (size_t i = 0; i < count; i++) {
		if (!runs[i].count)
			continue;
		if (question.number == GNTDEV_PAGES_MAX)
			return -E2BIG;
		list[question.number++] = runs[i];
	}
	error = grant_client_ask(client, &question, -1, &answer, NULL);
	if (error)
		return error;
	*map = (struct gntdev_map){ .index = answer.index, .pages = answer.pages };
	error = gntdev_mmap(fd, map->index, map->pages, writable, &map->address);
	if (error)
		grant_client_remove(client, map->index, map->pages);
	return error;
}

void grant_client_unmap(struct grant_client *client, const struct gntdev_map *map)
{
	gntdev_munmap(map->address, map->pages);
	grant_client_remove(client, map->index, map->pages);
}

/* ------------------------------------------------------------------- copying */

/* As many segments as one question holds; *bytes become what they add up to. */
static size_t grant_client_list(
    struct grant_client *client, const struct gntdev_segment *segments, size_t count, size_t *bytes)
{
	struct grant_segment *list = (struct grant_segment *)client->shared;
	size_t n = 0;

	for (*bytes = 0; n < count && n < GRANT_SEGMENTS_MAX; n++) {
		if (segments[n].length > GRANT_BYTES_MAX - *bytes)
			break;
		list[n] = (struct grant_segment){
			.reference = segments[n].reference,
			.offset = segments[n].offset,
			.length = segments[n].length,
		};
		*bytes += segments[n].length;
	}
	return n;
}

/* Between the segments' own places and the shared memory */
static void grant_client_move(struct grant_client *client, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count)
{
	uint8_t *at = client->shared + GRANT_LIST_SIZE;

	for (size_t i = 0; i < count; i++) {
		if (direction == GNTDEV_FROM_GUEST)
			memcpy(segments[i].local, at, segments[i].length);
		else
			memcpy(at, segments[i].local, segments[i].length);
		at += segments[i].length;
	}
}

int grant_client_copy(struct grant_client *client, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count)
{
	struct grant_question question = {
		.type = direction == GNTDEV_FROM_GUEST ? GRANT_READ : GRANT_WRITE,
	};
	struct grant_answer answer;
	size_t bytes;
	int result = 0;

	while (count) {
		size_t n = grant_client_list(client, segments, count, &bytes);
		int error;

		question.number = (uint32_t)n;
		if (direction == GNTDEV_TO_GUEST)
			grant_client_move(client, direction, segments, n);
		error = grant_client_ask(client, &question, -1, &answer, NULL);
		/* What one bad grant spoils is not the others' */
		if (error && error != -EFAULT)
			return error;
		if (error)
			result = error;
		else if (direction == GNTDEV_FROM_GUEST)
			grant_client_move(client, direction, segments, n);
		segments += n;
		count -= n;
	}
	return result;
}

uint64_t grant_client_questions(const struct grant_client *client)
{
	return client->questions;
}
