/* SPDX-License-Identifier: MIT */
#include "xen/grant_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/inflight.h"
#include "backend/virtqueue.h"

_Static_assert(GRANT_QUEUE_SIZE_MAX == VIRTQUEUE_SIZE_MAX, "room for each head");

/* Of a request that is longer than may be: enough to refuse it. */
#define HEADER_BYTES 64
#define REQUESTS_AT_ONCE 128

/* A request that the worker has; ours alone. */
struct relay_given {
	uint16_t head;
	bool resubmitted; /* a predecessor had taken it */
	uint32_t copied;
	uint64_t end; /* of its bytes, in those of all requests since the start */
};

/* Where the answer to a head goes. */
struct relay_head {
	bool given, answered;
	uint32_t written; /* bytes of the answer */
	uint32_t count, capacity;
	uint64_t size;
	struct memory_piece *writable;
};

struct grant_relay {
	struct guest_memory *memory;
	struct virtqueue queue;
	struct inflight *inflight; /* NULL: not recorded */
	uint32_t request_bytes;

	struct grant_queue_shared *shared;
	size_t shared_size;
	uint64_t bytes_size;
	int shared_fd, given_fd, pushed_fd;

	/* What shared memory says as well, but nobody can change here */
	uint32_t given, read, pushed;
	uint64_t bytes_end, bytes_read; /* of all requests since the start */
	struct relay_given requests[GRANT_QUEUE_SIZE_MAX];
	struct relay_head heads[GRANT_QUEUE_SIZE_MAX];

	/* A chain for which there was no room yet, then the batch that is being made */
	bool left, left_resubmitted;
	struct virtqueue_chain chain;
	uint32_t batch_first, batch_count, piece_count;
	uint64_t batch_offset, batch_size;
	struct memory_piece pieces[VIRTQUEUE_CHAIN_MAX];
	uint32_t piece_counts[REQUESTS_AT_ONCE];
};

static void relay_signal(int fd)
{
	const uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof(one)); /* at its end the counter is readable as well */

	(void)n;
}

static struct grant_request *relay_request(struct grant_relay *relay, uint32_t number)
{
	return &relay->shared->requests[number % relay->queue.config.size];
}

static struct relay_given *relay_given(struct grant_relay *relay, uint32_t number)
{
	return &relay->requests[number % relay->queue.config.size];
}

/* The worker broke the rules of the shared memory. */
static void relay_break(struct grant_relay *relay, const char *reason)
{
	virtqueue_break(&relay->queue, reason);
}

/* ------------------------------------------------------------------- requests */

/* Looks how far the worker has read. */
static void relay_look_read(struct grant_relay *relay)
{
	uint32_t read = __atomic_load_n(&relay->shared->read, __ATOMIC_ACQUIRE);

	if (read - relay->read > relay->given - relay->read) {
		relay_break(relay, "the worker has read more than it got");
		return;
	}
	if (read == relay->read)
		return;
	relay->read = read;
	relay->bytes_read = relay_given(relay, read - 1)->end;
}

/* Where @size bytes in a row can lie, as a count of all bytes since the start; false: not now. */
static bool relay_find_room(struct grant_relay *relay, uint64_t size, uint64_t *begin)
{
	uint64_t at = relay->bytes_end % relay->bytes_size;

	/* All is read: begin at the front, where memory is in use already. */
	if (relay->bytes_read == relay->bytes_end) {
		relay->bytes_end += at ? relay->bytes_size - at : 0;
		relay->bytes_read = relay->bytes_end;
		at = 0;
	}
	*begin = relay->bytes_end;
	if (size > relay->bytes_size - at)
		*begin += relay->bytes_size - at; /* the rest stays empty */
	return *begin + size - relay->bytes_read <= relay->bytes_size;
}

/* How much of the chain the worker gets. */
static uint32_t relay_copied(const struct grant_relay *relay)
{
	uint64_t size = relay->chain.readable_size;

	if (size > relay->request_bytes && size > HEADER_BYTES)
		return HEADER_BYTES;
	return (uint32_t)size;
}

/* Remembers where the answer goes. */
static int relay_keep_writable(struct grant_relay *relay)
{
	const struct virtqueue_chain *chain = &relay->chain;
	struct relay_head *head = &relay->heads[chain->head];

	if (chain->writable_count > head->capacity) {
		struct memory_piece *grown =
		    reallocarray(head->writable, chain->writable_count, sizeof(head->writable[0]));

		if (!grown)
			return -ENOMEM;
		head->writable = grown;
		head->capacity = chain->writable_count;
	}
	if (chain->writable_count)
		memcpy(head->writable, chain->writable,
		    chain->writable_count * sizeof(head->writable[0]));
	head->count = chain->writable_count;
	head->size = chain->writable_size;
	head->given = true;
	head->answered = false;
	return 0;
}

/* Adds the first @size bytes of the chain to what is to be read. */
static void relay_add_pieces(struct grant_relay *relay, uint64_t size)
{
	uint32_t first = relay->piece_count;

	for (uint32_t i = 0; size > 0; i++) {
		struct memory_piece *piece = &relay->pieces[relay->piece_count++];

		*piece = relay->chain.readable[i];
		if (piece->length > size)
			piece->length = (uint32_t)size;
		size -= piece->length;
	}
	relay->piece_counts[relay->batch_count] = relay->piece_count - first;
}

/* Adds our chain to the batch. 1; 0: there is no room for it now; -ENOMEM. */
static int relay_add(struct grant_relay *relay)
{
	uint32_t copied = relay_copied(relay), number = relay->given + relay->batch_count;
	struct relay_given *given = relay_given(relay, number);
	uint64_t begin;

	if (relay->batch_count == REQUESTS_AT_ONCE ||
	    relay->piece_count + relay->chain.readable_count > VIRTQUEUE_CHAIN_MAX ||
	    !relay_find_room(relay, copied, &begin))
		return 0;
	/* What is read at once lies in a row. */
	if (!relay->batch_count)
		relay->batch_offset = begin % relay->bytes_size;
	else if (begin % relay->bytes_size != relay->batch_offset + relay->batch_size)
		return 0;
	if (relay_keep_writable(relay) < 0)
		return -ENOMEM;
	relay_add_pieces(relay, copied);
	*relay_request(relay, number) = (struct grant_request){
		.head = relay->chain.head,
		.progress = (uint8_t)relay->chain.progress,
		.copied = copied,
		.offset = begin % relay->bytes_size,
		.readable_size = relay->chain.readable_size,
		.writable_size = relay->chain.writable_size,
	};
	relay->bytes_end = begin + copied;
	relay->batch_size += copied;
	relay->batch_count++;
	*given = (struct relay_given){
		.head = relay->chain.head,
		.resubmitted = relay->left_resubmitted,
		.copied = copied,
		.end = relay->bytes_end,
	};
	return 1;
}

/* Takes what is available. 1: there is more; 0: that was all; -errno: the ring is broken. */
static int relay_fill(struct grant_relay *relay)
{
	int result = 1;

	relay->batch_count = relay->piece_count = 0;
	relay->batch_size = 0;
	for (;;) {
		if (!relay->left) {
			uint16_t before = relay->queue.last_avail;

			result = virtqueue_pop(&relay->queue, &relay->chain);
			if (result <= 0)
				return result;
			relay->left_resubmitted = relay->queue.last_avail == before;
		}
		relay->left = true;
		result = relay_add(relay);
		if (result == 0)
			return 1;
		if (result < 0) {
			relay_break(relay, "there is no memory left");
			return result;
		}
		relay->left = false;
	}
}

/* Reads the batch, in one call where nothing is wrong with it. */
static void relay_read(struct grant_relay *relay)
{
	uint8_t *to = relay->shared->bytes + relay->batch_offset;
	const struct memory_piece *pieces = relay->pieces;

	if (memory_read(relay->memory, to, pieces, relay->piece_count) == 0)
		return;
	for (uint32_t i = 0; i < relay->batch_count; i++) {
		uint32_t number = relay->given + i;

		relay_request(relay, number)->unreadable =
		    memory_read(relay->memory, to, pieces, relay->piece_counts[i]) < 0;
		pieces += relay->piece_counts[i];
		to += relay_given(relay, number)->copied;
	}
}

static void relay_tell_statistics(struct grant_relay *relay)
{
	const struct memory_statistics *statistics = &relay->memory->statistics;

	__atomic_store_n(&relay->shared->calls, relay->queue.calls, __ATOMIC_RELAXED);
	__atomic_store_n(&relay->shared->copy_calls, statistics->copy_calls, __ATOMIC_RELAXED);
	__atomic_store_n(&relay->shared->segments, statistics->segments, __ATOMIC_RELAXED);
}

/* 0: nobody wants to know. */
static uint64_t relay_begin(const struct grant_relay *relay)
{
	return __atomic_load_n(&relay->shared->tracing, __ATOMIC_RELAXED) ? trace_now() : 0;
}

static void relay_stamp(
    struct grant_stamp *stamp, uint64_t begin, uint64_t requests, uint64_t calls)
{
	if (!begin)
		return;
	stamp->begin_ns = begin;
	stamp->end_ns = trace_now();
	stamp->requests = requests;
	stamp->calls = calls;
	__atomic_store_n(&stamp->number, stamp->number + 1, __ATOMIC_RELEASE);
}

static void relay_hand_over(struct grant_relay *relay, uint64_t begin)
{
	relay_read(relay);
	relay_stamp(&relay->shared->taken, begin, relay->batch_count, 0);
	relay->given += relay->batch_count;
	relay_tell_statistics(relay);
	__atomic_store_n(&relay->shared->given, relay->given, __ATOMIC_RELEASE);
	relay_signal(relay->given_fd);
}

/* Is there room again? The worker is asked to say so, where there is not. */
static bool relay_wait_for_room(struct grant_relay *relay)
{
	uint32_t before = relay->read;

	__atomic_store_n(&relay->shared->full, 1, __ATOMIC_RELAXED);
	/* (E) A store and a load that are "sequentially consistent" would do among their like, but
	 * relay_look_read()'s is none. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	relay_look_read(relay);
	return relay->read != before;
}

static void relay_give(struct grant_relay *relay)
{
	int result;

	virtqueue_disable_notifications(&relay->queue);
	do {
		uint64_t begin = relay_begin(relay);

		relay_look_read(relay);
		result = relay_fill(relay);
		if (relay->batch_count)
			relay_hand_over(relay, begin);
		else if (result > 0 && !relay_wait_for_room(relay))
			return;
		/* No head returns to the driver meanwhile: a queue's worth at most */
	} while (result > 0 || (result == 0 && virtqueue_enable_notifications(&relay->queue)));
}

/* ------------------------------------------------------------------- answers */

/* What the worker says of a head: what the answer is, and, the first time or later, that it may go.
 */
static bool relay_push(struct grant_relay *relay, uint32_t said, uint32_t written)
{
	uint32_t number = said & ~GRANT_PUSHED;
	struct relay_head *head;

	if (number >= relay->queue.config.size || !relay->heads[number].given ||
	    written > GRANT_ANSWER_MAX ||
	    (relay->heads[number].answered && !(said & GRANT_PUSHED))) {
		relay_break(relay, "the worker answers what it was not asked");
		return false;
	}
	head = &relay->heads[number];
	if (!head->answered) {
		head->answered = true;
		head->written = written < head->size ? written : (uint32_t)head->size;
		/* A buffer that cannot be written is the driver's fault, and logged. */
		if (head->written && memory_write_later(relay->memory, head->writable, head->count,
					 relay->shared->answers[number], head->written) < 0)
			head->written = 0;
	}
	if (said & GRANT_PUSHED) {
		head->given = false;
		virtqueue_push(&relay->queue, (uint16_t)number, head->written);
	}
	return true;
}

static void relay_take(struct grant_relay *relay)
{
	uint32_t pushed = __atomic_load_n(&relay->shared->pushed, __ATOMIC_ACQUIRE);
	uint64_t begin = relay_begin(relay), calls = relay->queue.calls;
	uint32_t count = pushed - relay->pushed;

	if (!count)
		return;
	if (count > GRANT_PUSHED_MAX(relay->queue.config.size)) {
		relay_break(relay, "the worker answers more than it was asked");
		return;
	}
	while (relay->pushed != pushed) {
		const struct grant_pushed *answer =
		    &relay->shared
			 ->answered[relay->pushed++ % GRANT_PUSHED_MAX(relay->queue.config.size)];

		/* Once: it may be changing. */
		if (!relay_push(relay, __atomic_load_n(&answer->head, __ATOMIC_RELAXED),
			__atomic_load_n(&answer->written, __ATOMIC_RELAXED)))
			break;
	}
	/* Who sees the answers may look at what they have cost. */
	memory_flush(relay->memory);
	relay_tell_statistics(relay);
	virtqueue_publish(&relay->queue);
	relay_stamp(&relay->shared->returned, begin, count, relay->queue.calls - calls);
}

void grant_relay_run(struct grant_relay *relay)
{
	if (relay->queue.broken)
		return;
	relay_take(relay);
	if (!relay->queue.broken)
		relay_give(relay);
	if (!relay->queue.broken)
		return;
	__atomic_store_n(&relay->shared->broken, 1, __ATOMIC_RELEASE);
	relay_signal(relay->given_fd);
}

/* ------------------------------------------------------------------- life */

static int relay_start(struct grant_relay *relay, const struct grant_relay_options *options)
{
	const struct grant_question *question = options->question;
	struct virtqueue_config config = {
		.size = question->queue.size,
		.base = question->queue.base,
		.features = question->queue.features,
		.desc = question->queue.desc,
		.avail = question->queue.avail,
		.used = question->queue.used,
	};
	int error;

	/* The worker holds the file as well: it may not be able to cut it short. */
	if (options->inflight_fd >= 0) {
		int seals = fcntl(options->inflight_fd, F_GET_SEALS);

		if (seals < 0 || !(seals & F_SEAL_SHRINK) ||
		    question->queue.inflight_queues > GRANT_QUEUES_MAX)
			return -EINVAL;
		error = inflight_create(options->inflight_fd, question->queue.inflight_offset,
		    question->queue.inflight_size, question->queue.inflight_queues,
		    question->queue.inflight_queue_size, 0, &relay->inflight);
		if (error)
			return error;
		if (options->index >= relay->inflight->queue_count)
			return -EINVAL;
		config.inflight = &relay->inflight->queues[options->index];
	}
	return virtqueue_start(&relay->queue, options->memory, &config);
}

static int relay_create_files(struct grant_relay *relay)
{
	void *shared;

	relay->bytes_size = 2 * (uint64_t)relay->request_bytes;
	if (relay->bytes_size < 2 * HEADER_BYTES)
		relay->bytes_size = 2 * HEADER_BYTES;
	relay->shared_size = sizeof(*relay->shared) + relay->bytes_size;
	relay->shared_fd = grant_shared_create("queue", relay->shared_size, &shared);
	if (relay->shared_fd < 0)
		return relay->shared_fd;
	relay->shared = shared;
	relay->given_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	relay->pushed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return relay->given_fd < 0 || relay->pushed_fd < 0 ? -errno : 0;
}

int grant_relay_create(const struct grant_relay_options *options, struct grant_relay **to, int *fds)
{
	struct grant_relay *relay = calloc(1, sizeof(*relay));
	int error;

	if (!relay)
		return -ENOMEM;
	relay->memory = options->memory;
	relay->request_bytes = options->request_bytes;
	relay->shared_fd = relay->given_fd = relay->pushed_fd = -1;
	virtqueue_init(&relay->queue, options->index);
	error = relay_create_files(relay);
	if (!error)
		error = relay_start(relay, options);
	if (!error && options->call_fd >= 0) {
		relay->queue.call_fd = fcntl(options->call_fd, F_DUPFD_CLOEXEC, 0);
		error = relay->queue.call_fd < 0 ? -errno : 0;
	}
	if (error) {
		grant_relay_destroy(relay);
		return error;
	}
	fds[GRANT_QUEUE_MEMORY] = relay->shared_fd;
	fds[GRANT_QUEUE_GIVEN] = relay->given_fd;
	fds[GRANT_QUEUE_PUSHED] = relay->pushed_fd;
	*to = relay;
	return 0;
}

uint16_t grant_relay_stop(struct grant_relay *relay, uint32_t popped)
{
	uint32_t unpopped = relay->given - popped;

	if (!relay->queue.broken)
		relay_take(relay);
	if (unpopped > relay->queue.config.size)
		unpopped = 0; /* nonsense */
	if (relay->left && !relay->left_resubmitted)
		virtqueue_unpop(&relay->queue, relay->chain.head);
	relay->left = false;
	while (unpopped--) {
		const struct relay_given *given = relay_given(relay, --relay->given);

		if (!given->resubmitted && relay->heads[given->head].given)
			virtqueue_unpop(&relay->queue, given->head);
		relay->heads[given->head].given = false;
	}
	virtqueue_stop(&relay->queue);
	return relay->queue.last_avail;
}

void grant_relay_destroy(struct grant_relay *relay)
{
	if (!relay)
		return;
	/* What a worker that died has done is done. */
	if (relay->queue.started && !relay->queue.broken)
		relay_take(relay);
	virtqueue_stop(&relay->queue);
	inflight_destroy(relay->inflight);
	for (unsigned i = 0; i < GRANT_QUEUE_SIZE_MAX; i++)
		free(relay->heads[i].writable);
	if (relay->shared)
		munmap(relay->shared, relay->shared_size);
	if (relay->shared_fd >= 0)
		close(relay->shared_fd);
	if (relay->given_fd >= 0)
		close(relay->given_fd);
	if (relay->pushed_fd >= 0)
		close(relay->pushed_fd);
	if (relay->queue.call_fd >= 0)
		close(relay->queue.call_fd);
	free(relay);
}

uint64_t grant_relay_size(const struct grant_relay *relay)
{
	return relay->bytes_size;
}

void grant_relay_set_call(struct grant_relay *relay, int call_fd)
{
	if (relay->queue.call_fd >= 0)
		close(relay->queue.call_fd);
	relay->queue.call_fd = call_fd;
}
