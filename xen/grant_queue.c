/* SPDX-License-Identifier: MIT */
#include "xen/grant_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/inflight.h"
#include "backend/virtqueue.h"
#include "xen/grant_wire.h"

/* A piece's address: GRANT_QUEUE_ADDRESS | queue << 56 | writable << 55 | head << 40 */
#define QUEUE_SHIFT 56
#define WRITABLE (UINT64_C(1) << 55)
#define HEAD_SHIFT 40

/* A request that we have. */
struct queue_request {
	uint32_t number; /* in the order in which they were given */
	uint32_t copied;
	bool unreadable;
	uint64_t offset;
};

struct grant_queue {
	struct virtqueue_relay base;
	struct grant_queues *queues;
	unsigned index;
	uint16_t size;
	struct grant_queue_shared *shared;
	size_t shared_size;
	uint64_t bytes_size;
	int pushed_fd;
	uint32_t popped, read, pushed;
	uint64_t taken, returned; /* stamps that are in our trace */
	bool unsaid;              /* something was pushed that is not published */
	struct queue_request requests[GRANT_QUEUE_SIZE_MAX]; /* by head */
};

struct grant_queues {
	struct grant_client *client;
	struct memory_statistics *statistics;
	struct grant_queue *running[GRANT_QUEUES_MAX];
};

static struct grant_queue *queue_from(struct virtqueue_relay *relay)
{
	return (struct grant_queue *)relay; /* base is first */
}

static void queue_signal(const struct grant_queue *queue)
{
	const uint64_t one = 1;
	ssize_t n = write(queue->pushed_fd, &one, sizeof(one));

	(void)n;
}

/* The bytes of all requests up to @number are needed no more. */
static void queue_set_read(struct grant_queue *queue, uint32_t number)
{
	if ((int32_t)(number + 1 - queue->read) <= 0)
		return;
	queue->read = number + 1;
	__atomic_store_n(&queue->shared->read, queue->read, __ATOMIC_RELEASE);
	/* (E) With relay_wait_for_room(): the monitor says that it waits, has a full barrier, and
	 * looks at how far we have read. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&queue->shared->full, __ATOMIC_RELAXED)) {
		__atomic_store_n(&queue->shared->full, 0, __ATOMIC_RELAXED);
		queue_signal(queue);
	}
}

/* What the monitor has done last is in our trace, too; where we look so seldom that it has done it
 * more than once, the last time is. */
static void queue_note(struct grant_queue *queue, const struct grant_stamp *stamp, uint64_t *seen,
    enum trace_type type)
{
	uint64_t number = __atomic_load_n(&stamp->number, __ATOMIC_ACQUIRE);

	if (number == *seen)
		return;
	*seen = number;
	trace_write_past(queue->base.trace, stamp->begin_ns, stamp->end_ns,
	    &(struct trace_event){ .type = (uint8_t)type,
		.queue = (uint8_t)queue->index,
		.arg = (uint32_t)stamp->requests,
		.value = stamp->calls });
}

static void queue_look_trace(struct grant_queue *queue)
{
	bool on = trace_on(queue->base.trace);

	if (on) {
		queue_note(queue, &queue->shared->taken, &queue->taken, TRACE_TAKE);
		queue_note(queue, &queue->shared->returned, &queue->returned, TRACE_RETURN);
	}
	if (queue->shared->tracing != on)
		__atomic_store_n(&queue->shared->tracing, on, __ATOMIC_RELAXED);
}

static void queue_look_statistics(struct grant_queue *queue)
{
	struct memory_statistics *statistics = queue->queues->statistics;
	uint64_t copies = __atomic_load_n(&queue->shared->copy_calls, __ATOMIC_RELAXED);
	uint64_t segments = __atomic_load_n(&queue->shared->segments, __ATOMIC_RELAXED);

	/* The monitor counts those of all queues. */
	if (copies > statistics->copy_calls)
		statistics->copy_calls = copies;
	if (segments > statistics->segments)
		statistics->segments = segments;
	statistics->questions = grant_client_questions(queue->queues->client);
	queue->base.calls = __atomic_load_n(&queue->shared->calls, __ATOMIC_RELAXED);
	queue_look_trace(queue);
}

/* ------------------------------------------------------------------- the virtqueue's side */

static uint64_t queue_address(const struct grant_queue *queue, uint16_t head, uint64_t writable)
{
	return GRANT_QUEUE_ADDRESS | (uint64_t)queue->index << QUEUE_SHIFT | writable |
	       (uint64_t)head << HEAD_SHIFT;
}

/* A piece can't be as long as a chain (4 GiB), of which nobody reads or writes the end. */
static uint32_t queue_length(uint64_t size)
{
	return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

static int queue_pop(struct virtqueue_relay *relay, struct virtqueue_chain *chain)
{
	struct grant_queue *queue = queue_from(relay);
	uint32_t broken = __atomic_load_n(&queue->shared->broken, __ATOMIC_ACQUIRE);
	const struct grant_request *request;

	queue_look_statistics(queue);
	if (__atomic_load_n(&queue->shared->given, __ATOMIC_ACQUIRE) == queue->popped)
		return broken ? -EPROTO : 0;
	request = &queue->shared->requests[queue->popped % queue->size];
	queue->requests[request->head] = (struct queue_request){
		.number = queue->popped++,
		.copied = request->copied,
		.unreadable = request->unreadable,
		.offset = request->offset,
	};
	chain->head = request->head;
	chain->progress = (enum virtqueue_progress)request->progress;
	chain->readable_size = request->readable_size;
	chain->writable_size = request->writable_size;
	chain->readable_count = request->readable_size != 0;
	chain->writable_count = request->writable_size != 0;
	chain->readable = chain->pieces;
	chain->writable = chain->pieces + chain->readable_count;
	chain->readable[0] = (struct memory_piece){
		.address = queue_address(queue, request->head, 0),
		.length = queue_length(request->readable_size),
	};
	if (chain->writable_count)
		chain->writable[0] = (struct memory_piece){
			.address = queue_address(queue, request->head, WRITABLE),
			.length = queue_length(request->writable_size),
		};
	return 1;
}

/* The monitor hears of it when something is published. */
static void queue_say(struct grant_queue *queue, uint32_t head, uint32_t written)
{
	queue->shared->answered[queue->pushed++ % GRANT_PUSHED_MAX(queue->size)] =
	    (struct grant_pushed){ .head = head, .written = written };
}

static void queue_push(struct virtqueue_relay *relay, uint16_t head, uint32_t written)
{
	struct grant_queue *queue = queue_from(relay);

	/* Whoever answers has read what it wanted, and all before it. */
	queue_set_read(queue, queue->requests[head].number);
	queue_say(queue, head | GRANT_PUSHED, written);
	queue->unsaid = true;
}

static void queue_publish(struct virtqueue_relay *relay)
{
	struct grant_queue *queue = queue_from(relay);

	if (queue->unsaid) {
		queue->unsaid = false;
		__atomic_store_n(&queue->shared->pushed, queue->pushed, __ATOMIC_RELEASE);
		queue_signal(queue);
	}
	queue_look_statistics(queue);
}

static void queue_set_fds(struct virtqueue_relay *relay, int kick_fd, int call_fd)
{
	struct grant_queue *queue = queue_from(relay);

	grant_client_set_queue_fds(queue->queues->client, queue->index, kick_fd, call_fd);
}

static void queue_free(struct grant_queue *queue)
{
	queue->queues->running[queue->index] = NULL;
	if (queue->shared)
		munmap(queue->shared, queue->shared_size);
	if (queue->base.kick_fd >= 0)
		close(queue->base.kick_fd);
	if (queue->pushed_fd >= 0)
		close(queue->pushed_fd);
	free(queue);
}

static uint16_t queue_stop(struct virtqueue_relay *relay)
{
	struct grant_queue *queue = queue_from(relay);
	uint16_t base;

	__atomic_store_n(&queue->shared->pushed, queue->pushed, __ATOMIC_RELEASE);
	base = grant_client_stop_queue(queue->queues->client, queue->index, queue->popped);
	queue_look_statistics(queue);
	queue_free(queue);
	return base;
}

/* ------------------------------------------------------------------- bytes */

static struct grant_queue *queue_of(const struct grant_queues *queues,
    const struct memory_piece *piece, uint64_t writable, uint16_t *head)
{
	unsigned index = piece->address >> QUEUE_SHIFT & 0x3f;
	struct grant_queue *queue = index < GRANT_QUEUES_MAX ? queues->running[index] : NULL;

	*head = piece->address >> HEAD_SHIFT & 0x7fff;
	if (!queue || *head >= queue->size ||
	    piece->address != queue_address(queue, *head, writable))
		return NULL;
	return queue;
}

static int queue_read(struct grant_queues *queues, uint8_t *to, const struct memory_piece *piece)
{
	const struct queue_request *request;
	struct grant_queue *queue;
	uint16_t head;

	queue = queue_of(queues, piece, 0, &head);
	if (!queue)
		return -EFAULT;
	request = &queue->requests[head];
	if (request->unreadable || piece->length > request->copied)
		return -EFAULT;
	memcpy(to, queue->shared->bytes + request->offset, piece->length);
	queue_set_read(queue, request->number);
	return 0;
}

int grant_queues_read(
    struct grant_queues *queues, void *to, const struct memory_piece *pieces, size_t count)
{
	uint8_t *at = to;

	for (size_t i = 0; i < count; i++) {
		int error = queue_read(queues, at, &pieces[i]);

		if (error)
			return error;
		at += pieces[i].length;
	}
	return 0;
}

int grant_queues_write(struct grant_queues *queues, const struct memory_piece *pieces, size_t count,
    const void *from, size_t size)
{
	struct grant_queue *queue;
	uint16_t head;

	if (!size)
		return 0;
	queue = count == 1 ? queue_of(queues, pieces, WRITABLE, &head) : NULL;
	if (!queue || size > pieces[0].length)
		return -EFAULT;
	if (size > GRANT_ANSWER_MAX)
		return -E2BIG;
	memcpy(queue->shared->answers[head], from, size);
	queue_say(queue, head, (uint32_t)size);
	return 0;
}

/* ------------------------------------------------------------------- life */

static const struct virtqueue_relay_impl queue_impl = {
	.pop = queue_pop,
	.push = queue_push,
	.publish = queue_publish,
	.set_fds = queue_set_fds,
	.stop = queue_stop,
};

int grant_queues_start(struct grant_queues *queues, unsigned index,
    const struct virtqueue_config *config, int call_fd, struct virtqueue_relay **relay)
{
	int fds[GRANT_QUEUE_ANSWER_FDS];
	struct grant_queue *queue;
	void *shared;
	int error;

	if (index >= GRANT_QUEUES_MAX)
		return -EOPNOTSUPP;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	*queue = (struct grant_queue){
		.base = { .impl = &queue_impl, .kick_fd = -1 },
		.queues = queues,
		.index = index,
		.size = config->size,
		.pushed_fd = -1,
	};
	error = grant_client_start_queue(
	    queues->client, index, config, call_fd, &queue->bytes_size, fds);
	if (error)
		goto fail;
	queue->base.kick_fd = fds[GRANT_QUEUE_GIVEN];
	queue->pushed_fd = fds[GRANT_QUEUE_PUSHED];
	queue->shared_size = sizeof(*queue->shared) + queue->bytes_size;
	error = grant_shared_open(fds[GRANT_QUEUE_MEMORY], queue->shared_size, &shared);
	close(fds[GRANT_QUEUE_MEMORY]);
	if (error) {
		grant_client_stop_queue(queues->client, index, 0);
		goto fail;
	}
	queue->shared = shared;
	queues->running[index] = queue;
	*relay = &queue->base;
	return 0;

fail:
	queue_free(queue);
	return error;
}

struct grant_queues *grant_queues_create(
    struct grant_client *client, struct memory_statistics *statistics)
{
	struct grant_queues *queues = calloc(1, sizeof(*queues));

	if (queues)
		*queues = (struct grant_queues){ .client = client, .statistics = statistics };
	return queues;
}

void grant_queues_destroy(struct grant_queues *queues)
{
	free(queues);
}
