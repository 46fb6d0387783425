/* SPDX-License-Identifier: MIT */
#include "xen/grant_broker.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/id_table.h"
#include "backend/log.h"
#include "xen/grant_wire.h"

/* Questions in a row; then the monitor's other duties have their turn. */
#define QUESTIONS_AT_ONCE 16

struct grant_broker {
	struct grant_broker_options options;
	int socket, device_fd; /* gntdev; -1: not known yet */
	sd_event_source *source;
	int shared_fd;
	uint8_t *shared;
	struct id_table insertions; /* by page number of the index */
	struct grant_broker_statistics statistics;
	struct log_limit limit;
	struct gntdev_segment segments[GRANT_SEGMENTS_MAX];
};

struct grant_insertion {
	struct id_entry entry;
	uint32_t pages;
};

/* ------------------------------------------------------------------- questions */

/* All but the fds is a copy. */
struct grant_call {
	struct grant_question question;
	struct grant_answer answer;
	int fds[GRANT_FDS_MAX];
	size_t fd_count;
	int reply_fd; /* -1: none; not owned */
};

static int grant_broker_hello(struct grant_broker *broker, struct grant_call *call)
{
	call->reply_fd = broker->shared_fd;
	return 0;
}

static int grant_broker_device(struct grant_broker *broker, struct grant_call *call)
{
	int error;

	if (call->fd_count != 1)
		return -EBADF;
	if (call->question.number != broker->options.domid) {
		log_guest(&broker->limit,
		    "the worker asks for the memory of domain %u, but serves domain %u",
		    call->question.number, broker->options.domid);
		return -EPERM;
	}
	/* What is inserted is known by the file that it was inserted into. */
	if (broker->statistics.insertions)
		return -EBUSY;
	error = gntdev_check(call->fds[0]);
	if (error)
		return error;
	if (broker->device_fd >= 0)
		close(broker->device_fd);
	broker->device_fd = call->fds[0];
	call->fd_count = 0; /* taken over */
	return 0;
}

/* A copy of the list's @count entries of @size bytes, which the worker can change no more; or
 * NULL. */
static void *grant_broker_copy_list(const struct grant_broker *broker, size_t count, size_t size)
{
	void *list = malloc(count * size);

	if (list)
		memcpy(list, broker->shared, count * size);
	return list;
}

/* The references exist as numbers, and are as many as may be. */
static int grant_broker_check_runs(const struct grant_broker *broker, const struct gntdev_run *runs,
    uint32_t count, uint32_t *pages)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!runs[i].count || runs[i].count - 1 > UINT32_MAX - runs[i].first)
			return -EINVAL;
		sum += runs[i].count; /* of at most 65536 */
	}
	if (sum > GNTDEV_PAGES_MAX)
		return -E2BIG;
	if (sum > broker->options.pages_max - broker->statistics.pages ||
	    broker->statistics.insertions == broker->options.insertions)
		return -ENOSPC;
	*pages = (uint32_t)sum;
	return 0;
}

static int grant_broker_insert(struct grant_broker *broker, struct grant_call *call)
{
	struct grant_insertion *insertion = NULL;
	struct gntdev_run *runs = NULL;
	uint32_t count = call->question.number;
	uint64_t index;
	int error = -EINVAL;

	if (broker->device_fd < 0)
		return -EBADF;
	if (!count || count > GNTDEV_PAGES_MAX)
		return -EINVAL;
	runs = grant_broker_copy_list(broker, count, sizeof(*runs));
	insertion = malloc(sizeof(*insertion));
	error = -ENOMEM;
	if (!runs || !insertion)
		goto fail;
	error = grant_broker_check_runs(broker, runs, count, &insertion->pages);
	if (error)
		goto fail;
	error = gntdev_insert(broker->device_fd, broker->options.domid, runs, count, &index);
	if (error)
		goto fail;
	error = -EOVERFLOW; /* no gntdev has so many at a time */
	if (index / GNTDEV_PAGE_SIZE > UINT32_MAX)
		goto fail_remove;
	error = id_table_insert(
	    &broker->insertions, &insertion->entry, (uint32_t)(index / GNTDEV_PAGE_SIZE));
	if (error)
		goto fail_remove;
	broker->statistics.insertions++;
	broker->statistics.pages += insertion->pages;
	call->answer.index = index;
	call->answer.pages = insertion->pages;
	free(runs);
	return 0;

fail_remove:
	gntdev_remove(broker->device_fd, index, insertion->pages);
fail:
	free(insertion);
	free(runs);
	return error;
}

static int grant_broker_remove(struct grant_broker *broker, struct grant_call *call)
{
	uint64_t page = call->question.index / GNTDEV_PAGE_SIZE;
	struct grant_insertion *insertion;
	int error;

	if (call->question.index % GNTDEV_PAGE_SIZE || page > UINT32_MAX)
		return -ENOENT;
	insertion = (struct grant_insertion *)id_table_find(&broker->insertions, (uint32_t)page);
	if (!insertion || insertion->pages != call->question.number)
		return -ENOENT;
	error = gntdev_remove(broker->device_fd, call->question.index, insertion->pages);
	if (error)
		return error;
	id_table_remove(&broker->insertions, (uint32_t)page);
	broker->statistics.insertions--;
	broker->statistics.pages -= insertion->pages;
	free(insertion);
	return 0;
}

/* Of the copied list, with places for the bytes. */
static int grant_broker_set_segments(
    struct grant_broker *broker, const struct grant_segment *list, uint32_t count)
{
	uint8_t *bytes = broker->shared + GRANT_LIST_SIZE;
	size_t size = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!list[i].length ||
		    !range_inside(list[i].offset, list[i].length, GNTDEV_PAGE_SIZE) ||
		    list[i].length > GRANT_BYTES_MAX - size)
			return -EINVAL;
		broker->segments[i] = (struct gntdev_segment){
			.reference = list[i].reference,
			.offset = list[i].offset,
			.length = list[i].length,
			.local = bytes + size,
		};
		size += list[i].length;
	}
	return 0;
}

static int grant_broker_copy(struct grant_broker *broker, struct grant_call *call)
{
	uint32_t count = call->question.number;
	struct grant_segment *list;
	int error;

	if (broker->device_fd < 0)
		return -EBADF;
	if (!count || count > GRANT_SEGMENTS_MAX)
		return -EINVAL;
	list = grant_broker_copy_list(broker, count, sizeof(*list));
	if (!list)
		return -ENOMEM;
	error = grant_broker_set_segments(broker, list, count);
	free(list);
	if (error)
		return error;
	return gntdev_copy(broker->device_fd, broker->options.domid,
	    call->question.type == GRANT_READ ? GNTDEV_FROM_GUEST : GNTDEV_TO_GUEST,
	    broker->segments, count);
}

static int (*const grant_broker_handlers[])(struct grant_broker *, struct grant_call *) = {
	[GRANT_HELLO] = grant_broker_hello,
	[GRANT_DEVICE] = grant_broker_device,
	[GRANT_INSERT] = grant_broker_insert,
	[GRANT_REMOVE] = grant_broker_remove,
	[GRANT_READ] = grant_broker_copy,
	[GRANT_WRITE] = grant_broker_copy,
};

static void grant_broker_handle(struct grant_broker *broker, struct grant_call *call)
{
	uint32_t type = call->question.type;

	broker->statistics.questions++;
	call->answer.error = -ENOSYS;
	if (type < sizeof(grant_broker_handlers) / sizeof(grant_broker_handlers[0]))
		call->answer.error = grant_broker_handlers[type](broker, call);
	for (size_t i = 0; i < call->fd_count; i++)
		close(call->fds[i]);
}

/* ------------------------------------------------------------------- the socket */

/* What is not a question is answered as well: the worker waits for that. 0, or an error that ends
 * the conversation. */
static int grant_broker_answer(struct grant_broker *broker, int result, struct grant_call *call)
{
	if (result == -EPROTO)
		call->answer.error = -EPROTO;
	else
		grant_broker_handle(broker, call);
	if (call->answer.error) {
		broker->statistics.refused++;
		/* A guest can cause -EFAULT, by taking back what it had granted. */
		if (call->answer.error != -EFAULT)
			log_guest(&broker->limit, "the worker was refused question %u: %s",
			    call->question.type, strerror(-call->answer.error));
	}
	return grant_send(broker->socket, &call->answer, sizeof(call->answer), &call->reply_fd,
	    !call->answer.error && call->reply_fd >= 0);
}

static int grant_broker_readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct grant_broker *broker = data;
	int result = 0;

	for (int i = 0; i < QUESTIONS_AT_ONCE; i++) {
		struct grant_call call = { .fd_count = GRANT_FDS_MAX, .reply_fd = -1 };

		result = grant_receive(broker->socket, &call.question, sizeof(call.question),
		    call.fds, &call.fd_count, false);
		if (result == 0)
			return 0;
		if (result > 0 || result == -EPROTO)
			result = grant_broker_answer(broker, result, &call);
		if (result < 0)
			break;
	}
	if (result >= 0)
		return 0;
	if (result != -ENOTCONN)
		log_error("the worker does not wait for its answers: it gets no more (%s)",
		    strerror(-result));
	shutdown(broker->socket, SHUT_RDWR);
	broker->source = sd_event_source_disable_unref(broker->source);
	return 0;
}

int grant_broker_create(
    const struct grant_broker_options *options, int socket, struct grant_broker **to)
{
	struct grant_broker *broker = calloc(1, sizeof(*broker));
	void *shared;
	int error;

	if (!broker)
		return -ENOMEM;
	broker->options = *options;
	if (!broker->options.pages_max)
		broker->options.pages_max = GRANT_BROKER_PAGES;
	if (!broker->options.insertions)
		broker->options.insertions = GRANT_BROKER_INSERTIONS;
	broker->socket = socket;
	broker->device_fd = -1;
	error = broker->shared_fd = grant_shared_create("grants", GRANT_SHARED_SIZE, &shared);
	if (error < 0)
		goto error_shared;
	broker->shared = shared;
	error = sd_event_add_io(
	    options->event, &broker->source, socket, EPOLLIN, grant_broker_readable, broker);
	if (error < 0)
		goto error_source;
	broker->options.event = sd_event_ref(options->event);
	*to = broker;
	return 0;

error_source:
	munmap(broker->shared, GRANT_SHARED_SIZE);
	close(broker->shared_fd);
error_shared:
	free(broker);
	return error;
}

void grant_broker_destroy(struct grant_broker *broker)
{
	struct id_entry *entry;

	if (!broker)
		return;
	sd_event_source_disable_unref(broker->source);
	sd_event_unref(broker->options.event);
	while ((entry = id_table_any(&broker->insertions))) {
		struct grant_insertion *insertion = (struct grant_insertion *)entry;

		gntdev_remove(
		    broker->device_fd, (uint64_t)entry->id * GNTDEV_PAGE_SIZE, insertion->pages);
		id_table_remove(&broker->insertions, entry->id);
		free(insertion);
	}
	id_table_finish(&broker->insertions);
	if (broker->device_fd >= 0)
		close(broker->device_fd);
	munmap(broker->shared, GRANT_SHARED_SIZE);
	close(broker->shared_fd);
	close(broker->socket);
	free(broker);
}

void grant_broker_get_statistics(
    const struct grant_broker *broker, struct grant_broker_statistics *statistics)
{
	*statistics = broker->statistics;
}
