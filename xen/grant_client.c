/* SPDX-License-Identifier: MIT */
#include "xen/grant_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/inflight.h"
#include "backend/log.h"
#include "xen/grant_wire.h"

struct grant_client {
	int socket;
	uint8_t *shared;
	uint64_t questions;
	bool relays;
	bool lost; /* the monitor; said */
};

/* Asks and waits. The answer's error, or that of the conversation; the answer's descriptors are
 * as many as there have to be, or none. */
static int grant_client_ask_with(struct grant_client *client, const struct grant_question *question,
    const int *fds, size_t fd_count, struct grant_answer *answer, int *answer_fds,
    size_t answer_fd_count)
{
	size_t got = answer_fd_count;
	int result;

	client->questions++;
	result = grant_send(client->socket, question, sizeof(*question), fds, fd_count);
	if (!result) {
		result =
		    grant_receive(client->socket, answer, sizeof(*answer), answer_fds, &got, true);
		result = result > 0 ? 0 : result ? result : -EPROTO;
	}
	if (result) {
		if (!client->lost)
			log_error(
			    "the monitor of this worker does not answer: %s", strerror(-result));
		client->lost = true;
		return result;
	}
	if (!answer->error && got == answer_fd_count)
		return 0;
	while (answer_fds && got > 0)
		close(answer_fds[--got]);
	return answer->error < 0 ? answer->error : -EPROTO;
}

static int grant_client_ask(
    struct grant_client *client, const struct grant_question *question, struct grant_answer *answer)
{
	return grant_client_ask_with(client, question, NULL, 0, answer, NULL, 0);
}

int grant_client_create(int socket, bool relays, struct grant_client **to)
{
	const struct grant_question hello = { .type = GRANT_HELLO };
	struct grant_client *client = calloc(1, sizeof(*client));
	struct grant_answer answer = { 0 };
	void *shared;
	int fd, error;

	if (!client)
		return -ENOMEM;
	client->socket = socket;
	client->relays = relays;
	error = grant_client_ask_with(client, &hello, NULL, 0, &answer, &fd, 1);
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

bool grant_client_relays(const struct grant_client *client)
{
	return client->relays;
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
	struct grant_answer answer = { 0 };

	return grant_client_ask_with(client, &question, &fd, 1, &answer, NULL, 0);
}

/* ------------------------------------------------------------------- mapping */

static void grant_client_remove(struct grant_client *client, uint64_t index, uint32_t pages)
{
	const struct grant_question question = {
		.type = GRANT_REMOVE,
		.number = pages,
		.index = index,
	};
	struct grant_answer answer = { 0 };

	grant_client_ask(client, &question, &answer);
}

int grant_client_map(struct grant_client *client, int fd, const struct gntdev_run *runs,
    size_t count, bool writable, struct gntdev_map *map)
{
	struct grant_question question = { .type = GRANT_INSERT };
	struct gntdev_run *list = (struct gntdev_run *)client->shared;
	struct grant_answer answer = { 0 };
	int error;

	for (size_t i = 0; i < count; i++) {
		if (!runs[i].count)
			continue;
		if (question.number == GNTDEV_PAGES_MAX)
			return -E2BIG;
		list[question.number++] = runs[i];
	}
	error = grant_client_ask(client, &question, &answer);
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
	struct grant_answer answer = { 0 };
	size_t bytes;
	int result = 0;

	while (count) {
		size_t n = grant_client_list(client, segments, count, &bytes);
		int error;

		question.number = (uint32_t)n;
		if (direction == GNTDEV_TO_GUEST)
			grant_client_move(client, direction, segments, n);
		error = grant_client_ask(client, &question, &answer);
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

/* ------------------------------------------------------------------- queues */

int grant_client_start_queue(struct grant_client *client, unsigned index,
    const struct virtqueue_config *config, int call_fd, uint64_t *bytes, int *fds)
{
	struct grant_question question = {
		.type = GRANT_START,
		.index = index,
		.queue = {
			.size = config->size,
			.base = config->base,
			.features = config->features,
			.desc = config->desc,
			.avail = config->avail,
			.used = config->used,
			.fds = GRANT_QUEUE_KICK,
		},
	};
	int given[GRANT_FDS_MAX] = { config->kick_fd };
	struct grant_answer answer = { 0 };
	size_t count = 1;
	int error;

	if (call_fd >= 0) {
		question.queue.fds |= GRANT_QUEUE_CALL;
		given[count++] = call_fd;
	}
	if (config->inflight_file) {
		question.queue.fds |= GRANT_QUEUE_INFLIGHT;
		question.queue.inflight_offset = config->inflight_file->offset;
		question.queue.inflight_size = config->inflight_file->mapping_size;
		question.queue.inflight_queues = (uint16_t)config->inflight_file->queue_count;
		question.queue.inflight_queue_size = config->inflight_file->queue_size;
		given[count++] = config->inflight_file->fd;
	}
	error = grant_client_ask_with(
	    client, &question, given, count, &answer, fds, GRANT_QUEUE_ANSWER_FDS);
	if (!error)
		*bytes = answer.index;
	return error;
}

void grant_client_set_queue_fds(
    struct grant_client *client, unsigned index, int kick_fd, int call_fd)
{
	struct grant_question question = { .type = GRANT_FDS, .index = index };
	struct grant_answer answer = { 0 };
	int fds[2];
	size_t count = 0;

	if (kick_fd >= 0) {
		question.queue.fds |= GRANT_QUEUE_KICK;
		fds[count++] = kick_fd;
	}
	if (call_fd >= 0) {
		question.queue.fds |= GRANT_QUEUE_CALL;
		fds[count++] = call_fd;
	}
	if (count && grant_client_ask_with(client, &question, fds, count, &answer, NULL, 0) < 0)
		log_error("the monitor does not take queue %u's new descriptors", index);
}

uint16_t grant_client_stop_queue(struct grant_client *client, unsigned index, uint32_t popped)
{
	const struct grant_question question = {
		.type = GRANT_STOP,
		.index = index,
		.number = popped,
	};
	struct grant_answer answer = { 0 };

	return grant_client_ask(client, &question, &answer) < 0 ? 0 : (uint16_t)answer.index;
}

uint64_t grant_client_questions(const struct grant_client *client)
{
	return client->questions;
}
