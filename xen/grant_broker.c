/* SPDX-License-Identifier: MIT */
#include "xen/grant_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/id_table.h"
#include "backend/log.h"
#include "xen/grant_relay.h"
#include "xen/grant_wire.h"
#include "xen/memory_grant.h"

/* Questions in a row; then the monitor's other duties have their turn. */
#define QUESTIONS_AT_ONCE 16

#define REQUEST_BYTES (4u << 20)

/* What epoll says an event is of: the socket, a queue's kick, or what the worker pushes. */
enum event_kind { EVENT_SOCKET, EVENT_QUEUE };

struct broker_queue {
	struct grant_relay *relay; /* NULL: not served */
	int kick_fd, pushed_fd;    /* pushed_fd is the relay's */
};

struct grant_broker {
	struct grant_broker_options options;
	int socket, epoll_fd;
	int device_fd;               /* gntdev; -1: not known yet */
	struct guest_memory *memory; /* the same, for queues; NULL */
	struct broker_queue queues[GRANT_QUEUES_MAX];
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
	int fds[GRANT_FDS_MAX]; /* -1: taken over */
	size_t fd_count;
	int reply_fds[GRANT_FDS_MAX]; /* not owned */
	size_t reply_fd_count;
};

static int grant_broker_hello(struct grant_broker *broker, struct grant_call *call)
{
	call->reply_fds[call->reply_fd_count++] = broker->shared_fd;
	return 0;
}

static bool grant_broker_serves(const struct grant_broker *broker)
{
	for (unsigned i = 0; i < GRANT_QUEUES_MAX; i++)
		if (broker->queues[i].relay)
			return true;
	return false;
}

/* The same guest's memory for the queues. */
static int grant_broker_create_memory(struct grant_broker *broker, int device_fd)
{
	const struct memory_region region = memory_grant_region(broker->options.domid);
	struct guest_memory *memory;
	int fd, error;

	error = memory_grant_create(NULL, &memory);
	if (error)
		return error;
	fd = fcntl(device_fd, F_DUPFD_CLOEXEC, 0);
	error = fd < 0 ? -errno : memory_add_region(memory, &region, fd);
	if (error) {
		memory_destroy(memory);
		if (fd >= 0)
			close(fd);
		return error;
	}
	memory_destroy(broker->memory);
	broker->memory = memory;
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
	if (broker->statistics.insertions || grant_broker_serves(broker))
		return -EBUSY;
	error = gntdev_check(call->fds[0]);
	if (error)
		return error;
	error = grant_broker_create_memory(broker, call->fds[0]);
	if (error)
		return error;
	if (broker->device_fd >= 0)
		close(broker->device_fd);
	broker->device_fd = call->fds[0];
	call->fds[0] = -1;
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

/* ------------------------------------------------------------------- queues */

static void grant_broker_unwatch(struct grant_broker *broker, int *fd)
{
	if (*fd >= 0)
		epoll_ctl(broker->epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
	*fd = -1;
}

/* An edge for each kick: nothing need be read, and nobody who reads it can make us wait. */
static int grant_broker_watch(struct grant_broker *broker, int fd, uint32_t events, uint32_t kind)
{
	struct epoll_event event = { .events = events, .data.u32 = kind };

	return epoll_ctl(broker->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Descriptor of @which in the question, -1 where there is none; -EBADF for none that would do. */
static int grant_broker_queue_fd(const struct grant_call *call, uint32_t which, size_t *at)
{
	struct stat stat;
	size_t i = 0;
	int flags;

	*at = 0;
	if (!(call->question.queue.fds & which))
		return -1;
	for (uint32_t bit = 1; bit < which; bit <<= 1)
		i += (call->question.queue.fds & bit) != 0;
	if (i >= call->fd_count || call->fds[i] < 0)
		return -EBADF;
	*at = i;
	/* What blocks us, raises signals, or is a file, is no eventfd. */
	flags = fcntl(call->fds[i], F_GETFL);
	if (which != GRANT_QUEUE_INFLIGHT &&
	    (fstat(call->fds[i], &stat) < 0 || (stat.st_mode & S_IFMT) || flags < 0 ||
		!(flags & O_NONBLOCK)))
		return -EBADF;
	return call->fds[i];
}

static struct broker_queue *grant_broker_queue(
    struct grant_broker *broker, const struct grant_call *call)
{
	uint64_t index = call->question.index;

	return index < GRANT_QUEUES_MAX ? &broker->queues[index] : NULL;
}

static void grant_broker_drop_queue(struct grant_broker *broker, struct broker_queue *queue)
{
	int kick_fd = queue->kick_fd;

	grant_broker_unwatch(broker, &queue->kick_fd);
	if (kick_fd >= 0)
		close(kick_fd);
	grant_broker_unwatch(broker, &queue->pushed_fd);
	grant_relay_destroy(queue->relay);
	queue->relay = NULL;
}

static int grant_broker_set_kick(
    struct grant_broker *broker, struct broker_queue *queue, struct grant_call *call, size_t at)
{
	int old = queue->kick_fd, error;

	error = grant_broker_watch(broker, call->fds[at], EPOLLIN | EPOLLET,
	    EVENT_QUEUE + (uint32_t)(queue - broker->queues));
	if (error)
		return error;
	grant_broker_unwatch(broker, &old);
	if (queue->kick_fd >= 0)
		close(queue->kick_fd);
	queue->kick_fd = call->fds[at];
	call->fds[at] = -1;
	return 0;
}

static int grant_broker_start(struct grant_broker *broker, struct grant_call *call)
{
	struct broker_queue *queue = grant_broker_queue(broker, call);
	struct grant_relay_options options = {
		.memory = broker->memory,
		.request_bytes = broker->options.request_bytes,
		.question = &call->question,
	};
	int error, fds[GRANT_QUEUE_ANSWER_FDS];
	size_t kick, at;

	if (!queue)
		return -EINVAL;
	if (!broker->memory)
		return -EBADF;
	if (queue->relay)
		return -EBUSY;
	options.index = (unsigned)call->question.index;
	options.call_fd = grant_broker_queue_fd(call, GRANT_QUEUE_CALL, &at);
	options.inflight_fd = grant_broker_queue_fd(call, GRANT_QUEUE_INFLIGHT, &at);
	if (grant_broker_queue_fd(call, GRANT_QUEUE_KICK, &kick) < 0 || options.call_fd == -EBADF ||
	    options.inflight_fd == -EBADF)
		return -EBADF;
	error = grant_relay_create(&options, &queue->relay, fds);
	if (error)
		return error;
	error = grant_broker_watch(broker, fds[GRANT_QUEUE_PUSHED], EPOLLIN | EPOLLET,
	    EVENT_QUEUE + (uint32_t)call->question.index);
	if (!error)
		queue->pushed_fd = fds[GRANT_QUEUE_PUSHED];
	if (!error)
		error = grant_broker_set_kick(broker, queue, call, kick);
	if (error) {
		grant_broker_drop_queue(broker, queue);
		return error;
	}
	memcpy(call->reply_fds, fds, sizeof(fds));
	call->reply_fd_count = GRANT_QUEUE_ANSWER_FDS;
	call->answer.index = grant_relay_size(queue->relay);
	/* There may be requests, whose kick came before us. */
	grant_relay_run(queue->relay);
	return 0;
}

static int grant_broker_stop(struct grant_broker *broker, struct grant_call *call)
{
	struct broker_queue *queue = grant_broker_queue(broker, call);

	if (!queue || !queue->relay)
		return -ENOENT;
	call->answer.index = grant_relay_stop(queue->relay, call->question.number);
	grant_broker_drop_queue(broker, queue);
	return 0;
}

static int grant_broker_set_fds(struct grant_broker *broker, struct grant_call *call)
{
	struct broker_queue *queue = grant_broker_queue(broker, call);
	int call_fd, kick_fd, error = 0;
	size_t at, kick;

	if (!queue || !queue->relay)
		return -ENOENT;
	kick_fd = grant_broker_queue_fd(call, GRANT_QUEUE_KICK, &kick);
	call_fd = grant_broker_queue_fd(call, GRANT_QUEUE_CALL, &at);
	if (kick_fd == -EBADF || call_fd == -EBADF)
		return -EBADF;
	if (call_fd >= 0) {
		grant_relay_set_call(queue->relay, call_fd);
		call->fds[at] = -1;
	}
	if (kick_fd >= 0)
		error = grant_broker_set_kick(broker, queue, call, kick);
	grant_relay_run(queue->relay);
	return error;
}

/* ------------------------------------------------------------------- all of them */

static int (*const grant_broker_handlers[])(struct grant_broker *, struct grant_call *) = {
	[GRANT_HELLO] = grant_broker_hello,
	[GRANT_DEVICE] = grant_broker_device,
	[GRANT_INSERT] = grant_broker_insert,
	[GRANT_REMOVE] = grant_broker_remove,
	[GRANT_READ] = grant_broker_copy,
	[GRANT_WRITE] = grant_broker_copy,
	[GRANT_START] = grant_broker_start,
	[GRANT_STOP] = grant_broker_stop,
	[GRANT_FDS] = grant_broker_set_fds,
};

static void grant_broker_handle(struct grant_broker *broker, struct grant_call *call)
{
	uint32_t type = call->question.type;

	broker->statistics.questions++;
	call->answer.error = -ENOSYS;
	if (type < sizeof(grant_broker_handlers) / sizeof(grant_broker_handlers[0]))
		call->answer.error = grant_broker_handlers[type](broker, call);
	for (size_t i = 0; i < call->fd_count; i++)
		if (call->fds[i] >= 0)
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
	return grant_send(broker->socket, &call->answer, sizeof(call->answer), call->reply_fds,
	    call->answer.error ? 0 : call->reply_fd_count);
}

/* false: the conversation is over. */
static bool grant_broker_take_questions(struct grant_broker *broker)
{
	int result = 0;

	for (int i = 0; i < QUESTIONS_AT_ONCE; i++) {
		struct grant_call call = { .fd_count = GRANT_FDS_MAX };

		result = grant_receive(broker->socket, &call.question, sizeof(call.question),
		    call.fds, &call.fd_count, false);
		if (result == 0)
			return true;
		if (result > 0 || result == -EPROTO)
			result = grant_broker_answer(broker, result, &call);
		if (result < 0)
			break;
	}
	if (result >= 0)
		return true;
	if (result != -ENOTCONN)
		log_error("the worker does not wait for its answers: it gets no more (%s)",
		    strerror(-result));
	shutdown(broker->socket, SHUT_RDWR);
	return false;
}

bool grant_broker_dispatch(void *data)
{
	struct grant_broker *broker = data;
	struct epoll_event events[2 * GRANT_QUEUES_MAX + 1];
	int n = epoll_wait(broker->epoll_fd, events, (int)(sizeof(events) / sizeof(events[0])), 0);
	bool more = true;

	for (int i = 0; i < n; i++) {
		uint32_t kind = events[i].data.u32;

		if (kind == EVENT_SOCKET)
			more = grant_broker_take_questions(broker);
		else if (broker->queues[kind - EVENT_QUEUE].relay)
			grant_relay_run(broker->queues[kind - EVENT_QUEUE].relay);
	}
	return more;
}

int grant_broker_fd(const struct grant_broker *broker)
{
	return broker->epoll_fd;
}

unsigned grant_broker_fds(const struct grant_broker *broker, int *fds)
{
	fds[0] = broker->epoll_fd;
	fds[1] = broker->socket;
	fds[2] = broker->shared_fd;
	return 3;
}

static struct grant_broker *grant_broker_new(const struct grant_broker_options *options)
{
	struct grant_broker *broker = calloc(1, sizeof(*broker));

	if (!broker)
		return NULL;
	broker->options = *options;
	if (!broker->options.pages_max)
		broker->options.pages_max = GRANT_BROKER_PAGES;
	if (!broker->options.insertions)
		broker->options.insertions = GRANT_BROKER_INSERTIONS;
	if (!broker->options.request_bytes)
		broker->options.request_bytes = REQUEST_BYTES;
	broker->socket = broker->epoll_fd = broker->device_fd = broker->shared_fd = -1;
	for (unsigned i = 0; i < GRANT_QUEUES_MAX; i++)
		broker->queues[i].kick_fd = broker->queues[i].pushed_fd = -1;
	return broker;
}

int grant_broker_create(
    const struct grant_broker_options *options, struct grant_broker **to, int *socket)
{
	struct grant_broker *broker = grant_broker_new(options);
	int error, pair[2];
	void *shared;

	if (!broker)
		return -ENOMEM;
	error = broker->shared_fd = grant_shared_create("grants", GRANT_SHARED_SIZE, &shared);
	if (error < 0)
		goto fail;
	broker->shared = shared;
	broker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (broker->epoll_fd < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		error = -errno;
		goto fail;
	}
	broker->socket = pair[0];
	error = grant_broker_watch(broker, broker->socket, EPOLLIN, EVENT_SOCKET);
	if (error) {
		close(pair[1]);
		goto fail;
	}
	*socket = pair[1];
	*to = broker;
	return 0;

fail:
	grant_broker_destroy(broker);
	return error;
}

static void grant_broker_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void grant_broker_remove_all(struct grant_broker *broker)
{
	struct id_entry *entry;

	while ((entry = id_table_any(&broker->insertions))) {
		struct grant_insertion *insertion = (struct grant_insertion *)entry;

		gntdev_remove(
		    broker->device_fd, (uint64_t)entry->id * GNTDEV_PAGE_SIZE, insertion->pages);
		id_table_remove(&broker->insertions, entry->id);
		free(insertion);
	}
	id_table_finish(&broker->insertions);
}

void grant_broker_destroy(struct grant_broker *broker)
{
	if (!broker)
		return;
	for (unsigned i = 0; i < GRANT_QUEUES_MAX; i++)
		grant_broker_drop_queue(broker, &broker->queues[i]);
	memory_destroy(broker->memory);
	grant_broker_remove_all(broker);
	if (broker->shared)
		munmap(broker->shared, GRANT_SHARED_SIZE);
	grant_broker_close(broker->shared_fd);
	grant_broker_close(broker->device_fd);
	grant_broker_close(broker->socket);
	grant_broker_close(broker->epoll_fd);
	free(broker);
}

void grant_broker_get_statistics(
    const struct grant_broker *broker, struct grant_broker_statistics *statistics)
{
	*statistics = broker->statistics;
}
