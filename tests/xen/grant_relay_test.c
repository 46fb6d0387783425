/* SPDX-License-Identifier: MIT */
/* The monitor's half of a queue, and a worker at the other end of its memory that does what it
 * likes. (One that behaves: calls_test.c, daemon_worker_test.c.) */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "backend/inflight.h"
#include "backend/log.h"
#include "tests/unit/ring.h"
#include "xen/grant_relay.h"

/* After what it needs. */
#include <cmocka.h>

#define REQUEST_BYTES 512
#define BROKEN(test) __atomic_load_n(&(test)->shared->broken, __ATOMIC_ACQUIRE)

struct test {
	struct ring ring;
	struct grant_relay *relay;
	struct grant_queue_shared *shared;
	size_t shared_size;
	int inflight_fd;
	struct inflight *inflight; /* as a successor sees it */
	uint64_t inflight_size;
	uint32_t pushed;
};

static struct grant_question question(const struct test *test)
{
	return (struct grant_question){
		.type = GRANT_START,
		.queue = {
			.size = test->ring.size,
			.desc = RING_DESC,
			.avail = RING_AVAIL,
			.used = RING_USED,
			.inflight_size = test->inflight_size,
			.inflight_queues = 1,
			.inflight_queue_size = RING_SIZE,
		},
	};
}

static uint32_t request_bytes = REQUEST_BYTES;

static int start_with(struct test *test, const struct grant_question *question)
{
	const struct grant_relay_options options = {
		.memory = test->ring.memory,
		.request_bytes = request_bytes,
		.question = question,
		.call_fd = -1,
		.inflight_fd = test->inflight_fd,
	};
	int fds[GRANT_QUEUE_ANSWER_FDS], error;
	void *shared;

	error = grant_relay_create(&options, &test->relay, fds);
	if (error) {
		test->relay = NULL;
		return error;
	}
	test->shared_size = sizeof(*test->shared) + grant_relay_size(test->relay);
	assert_int_equal(grant_shared_open(fds[GRANT_QUEUE_MEMORY], test->shared_size, &shared), 0);
	test->shared = shared;
	test->pushed = 0;
	return 0;
}

static void start(struct test *test)
{
	struct grant_question q = question(test);

	assert_int_equal(start_with(test, &q), 0);
	grant_relay_run(test->relay);
}

/* As when the worker dies. */
static void end(struct test *test)
{
	grant_relay_destroy(test->relay);
	test->relay = NULL;
	if (test->shared)
		munmap(test->shared, test->shared_size);
	test->shared = NULL;
}

static int set_up(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	log_init(LOG_LEVEL_ERROR, NULL);
	ring_init(&test->ring, true);
	for (unsigned i = 0; i < 0x10000; i++)
		*(uint8_t *)ring_at(&test->ring, RING_BUFFER + i) = (uint8_t)(i ^ i >> 8);
	test->inflight_fd = inflight_create_file(1, RING_SIZE, 0, &test->inflight_size);
	assert_true(test->inflight_fd >= 0);
	assert_int_equal(inflight_create(test->inflight_fd, 0, test->inflight_size, 1, RING_SIZE, 0,
			     &test->inflight),
	    0);
	*state = test;
	return 0;
}

static int tear_down(void **state)
{
	struct test *test = *state;

	end(test);
	inflight_destroy(test->inflight);
	close(test->inflight_fd);
	ring_finish(&test->ring);
	free(test);
	return 0;
}

/* A request of @size bytes at @offset, and room for an answer of 64. Heads are even. */
static void add(struct test *test, uint16_t head, uint32_t offset, uint32_t size)
{
	ring_desc(&test->ring.desc[head], RING_BUFFER + offset, size, VRING_DESC_F_NEXT,
	    (uint16_t)(head + 1));
	ring_desc(&test->ring.desc[head + 1], RING_BUFFER + 0x20000 + 64u * head, 64,
	    VRING_DESC_F_WRITE, 0);
	ring_add(&test->ring, head);
}

static const struct grant_request *given(const struct test *test, uint32_t number)
{
	return &test->shared->requests[number % RING_SIZE];
}

static void assert_given(
    struct test *test, uint32_t number, uint16_t head, uint32_t offset, uint32_t size)
{
	const struct grant_request *request = given(test, number);

	assert_true(test->shared->given > number);
	assert_int_equal(request->head, head);
	assert_int_equal(request->readable_size, size);
	assert_int_equal(request->writable_size, 64);
	assert_int_equal(request->copied, size);
	assert_false(request->unreadable);
	assert_memory_equal(test->shared->bytes + request->offset,
	    ring_at(&test->ring, RING_BUFFER + offset), size);
}

/* Nobody hears of it yet. */
static void answer(struct test *test, uint32_t head, uint32_t written, uint8_t fill)
{
	uint32_t slot = head & ~GRANT_PUSHED;

	if (slot < GRANT_QUEUE_SIZE_MAX)
		memset(test->shared->answers[slot], fill, 64);
	test->shared->answered[test->pushed++ % GRANT_PUSHED_MAX(RING_SIZE)] =
	    (struct grant_pushed){ .head = head ^ GRANT_PUSHED, .written = written };
}

static void push(struct test *test)
{
	__atomic_store_n(&test->shared->pushed, test->pushed, __ATOMIC_RELEASE);
	grant_relay_run(test->relay);
}

static uint8_t answered(struct test *test, uint16_t head)
{
	return *(uint8_t *)ring_at(&test->ring, RING_BUFFER + 0x20000 + 64u * head);
}

static bool in_flight(const struct test *test, uint16_t head)
{
	return test->inflight->queues[0].region->descriptors[head].inflight;
}

/* ------------------------------------------------------------------- as it should be */

static void there_and_back(void **state)
{
	struct test *test = *state;

	start(test);
	add(test, 0, 100, 24);
	add(test, 2, 300, 40);
	grant_relay_run(test->relay);
	assert_int_equal(test->shared->given, 2);
	assert_given(test, 0, 0, 100, 24);
	assert_given(test, 1, 2, 300, 40);
	assert_true(in_flight(test, 0) && in_flight(test, 2));
	answer(test, 2, 24, 0x22);
	assert_int_equal(test->ring.used->idx, 0);
	push(test);
	assert_int_equal(test->ring.used->idx, 1);
	assert_int_equal(test->ring.used->ring[0].id, 2);
	assert_int_equal(test->ring.used->ring[0].len, 24);
	assert_int_equal(answered(test, 2), 0x22);
	assert_true(in_flight(test, 0) && !in_flight(test, 2));
	answer(test, 0, 0, 0x33);
	push(test);
	assert_int_equal(test->ring.used->ring[1].len, 0);
	assert_int_not_equal(answered(test, 0), 0x33);
	assert_false(BROKEN(test));
}

/* A fence: what the answer is, is known before it may go. */
static void written_before_it_is_pushed(void **state)
{
	struct test *test = *state;

	start(test);
	add(test, 0, 100, 24);
	add(test, 2, 300, 24);
	grant_relay_run(test->relay);
	answer(test, 2 | GRANT_PUSHED, 24, 0x22);
	answer(test, 0, 24, 0x21);
	push(test);
	assert_int_equal(test->ring.used->idx, 1);
	assert_int_equal(answered(test, 2), 0x22); /* with the other */
	assert_true(in_flight(test, 2));
	memset(test->shared->answers[2], 0x99, 64);
	test->shared->answered[test->pushed++ % GRANT_PUSHED_MAX(RING_SIZE)] =
	    (struct grant_pushed){ .head = 2 | GRANT_PUSHED, .written = 24 };
	push(test);
	assert_int_equal(test->ring.used->idx, 2);
	assert_int_equal(test->ring.used->ring[1].id, 2);
	assert_int_equal(answered(test, 2), 0x22); /* and not again */
	assert_false(in_flight(test, 2));
	assert_false(BROKEN(test));
}

static void what_is_too_long_or_out_of_reach(void **state)
{
	struct test *test = *state;

	start(test);
	add(test, 0, 0, REQUEST_BYTES);
	add(test, 2, 0, REQUEST_BYTES + 1);
	add(test, 4, 0, 24);
	test->ring.desc[4].addr = 0x1000;
	add(test, 6, 77, 24);
	grant_relay_run(test->relay);
	assert_int_equal(test->shared->given, 4);
	assert_given(test, 0, 0, 0, REQUEST_BYTES);
	assert_int_equal(given(test, 1)->readable_size, REQUEST_BYTES + 1);
	assert_true(given(test, 1)->copied < REQUEST_BYTES && given(test, 1)->copied >= 24);
	assert_true(given(test, 2)->unreadable);
	assert_given(test, 3, 6, 77, 24);
}

/* --limit-command-bytes=1 */
static void all_is_too_long(void **state)
{
	struct test *test = *state;

	request_bytes = 1;
	start(test);
	request_bytes = REQUEST_BYTES;
	add(test, 0, 0, 1);
	add(test, 2, 0, 2);
	add(test, 4, 0, 24);
	add(test, 6, 0, REQUEST_BYTES);
	grant_relay_run(test->relay);
	assert_given(test, 0, 0, 0, 1);
	assert_given(test, 1, 2, 0, 2);
	assert_given(test, 2, 4, 0, 24);
	assert_int_equal(given(test, 3)->readable_size, REQUEST_BYTES);
	assert_true(given(test, 3)->copied >= 24 && given(test, 3)->copied <= 64);
}

/* Of 1024 bytes, by a worker that reads slowly */
static void room_is_taken_in_turn(void **state)
{
	struct test *test = *state;
	uint32_t sizes[RING_SIZE] = { 0 }, offsets[RING_SIZE], asked = 0, read = 0, seed = 1;
	uint64_t stalls = 0;

	start(test);
	while (read < 20000) {
		/* Three at a time */
		while (asked - read < 3) {
			seed = seed * 1103515245 + 12345;
			sizes[asked % 4] = 1 + (seed >> 16) % REQUEST_BYTES;
			offsets[asked % 4] = (seed >> 8) % 0x8000;
			add(test, (uint16_t)(2 * (asked % 4)), offsets[asked % 4],
			    sizes[asked % 4]);
			asked++;
		}
		grant_relay_run(test->relay);
		assert_true(test->shared->given > read);
		if (test->shared->given < asked) {
			stalls++;
			assert_true(test->shared->full);
		}
		assert_given(
		    test, read, (uint16_t)(2 * (read % 4)), offsets[read % 4], sizes[read % 4]);
		__atomic_store_n(&test->shared->read, read + 1, __ATOMIC_RELEASE);
		answer(test, 2 * (read % 4), 8, (uint8_t)read);
		push(test);
		read++;
		assert_int_equal((uint16_t)read, test->ring.used->idx);
	}
	assert_true(stalls > 1000);
	assert_false(BROKEN(test));
}

/* ------------------------------------------------------------------- stop and death */

static void what_was_not_popped_is_the_rings(void **state)
{
	struct test *test = *state;

	start(test);
	add(test, 0, 0, 24);
	add(test, 2, 0, 24);
	add(test, 4, 0, 24);
	grant_relay_run(test->relay);
	answer(test, 0, 24, 0x44);
	__atomic_store_n(&test->shared->pushed, test->pushed, __ATOMIC_RELEASE);
	/* Two were popped, and the answer to one is still on its way. */
	assert_int_equal(grant_relay_stop(test->relay, 2), 2);
	assert_int_equal(test->ring.used->idx, 1);
	assert_int_equal(answered(test, 0), 0x44);
	assert_true(!in_flight(test, 0) && in_flight(test, 2) && !in_flight(test, 4));
	/* A successor takes the one anew, then the other. */
	end(test);
	start(test);
	assert_int_equal(test->shared->given, 2);
	assert_given(test, 0, 2, 0, 24);
	assert_given(test, 1, 4, 0, 24);
	/* Stopped at once, it gives back what it had never taken from the ring. */
	assert_int_equal(grant_relay_stop(test->relay, 0), 2);
	assert_true(in_flight(test, 2) && !in_flight(test, 4));
}

static void a_stop_that_makes_no_sense(void **state)
{
	static const uint32_t popped[] = { 3, 100, UINT32_MAX, UINT32_MAX - 1, 1u << 31 };
	struct test *test = *state;

	for (unsigned i = 0; i < sizeof(popped) / sizeof(popped[0]); i++) {
		ring_clear(&test->ring);
		memset(test->inflight->mapping, 0, test->inflight_size);
		start(test);
		add(test, 0, 0, 24);
		add(test, 2, 0, 24);
		grant_relay_run(test->relay);
		assert_true(grant_relay_stop(test->relay, popped[i]) <= 2);
		end(test);
	}
}

static void the_worker_dies(void **state)
{
	struct test *test = *state;

	start(test);
	for (uint16_t head = 0; head < 8; head += 2)
		add(test, head, 10u * head, 24);
	grant_relay_run(test->relay);
	answer(test, 4, 16, 0x55);
	answer(test, 0, 16, 0x56);
	__atomic_store_n(&test->shared->pushed, test->pushed, __ATOMIC_RELEASE);
	/* Written, but not pushed */
	memset(test->shared->answers[2], 0x57, 64);
	end(test);
	assert_int_equal(test->ring.used->idx, 2);
	assert_int_equal(answered(test, 4), 0x55);
	assert_int_equal(answered(test, 0), 0x56);
	assert_int_not_equal(answered(test, 2), 0x57);
	start(test);
	assert_int_equal(test->shared->given, 2);
	assert_given(test, 0, 2, 20, 24);
	assert_given(test, 1, 6, 60, 24);
}

/* ------------------------------------------------------------------- nonsense */

static void assert_breaks(struct test *test)
{
	grant_relay_run(test->relay);
	assert_true(BROKEN(test));
	/* It stays so, and nothing is taken or answered any more. */
	test->shared->broken = 0;
	grant_relay_run(test->relay);
	end(test);
	/* Until it is started anew. */
	ring_clear(&test->ring);
	memset(test->inflight->mapping, 0, test->inflight_size);
	start(test);
	add(test, 0, 0, 24);
	grant_relay_run(test->relay);
	assert_given(test, 0, 0, 0, 24);
	answer(test, 0, 24, 0x66);
	push(test);
	assert_int_equal(test->ring.used->idx, 1);
	assert_false(BROKEN(test));
}

static void answers_to_nothing(void **state)
{
	static const struct grant_pushed bad[] = {
		{ 2, 24 },                   /* not given */
		{ 1, 24 },                   /* no head */
		{ RING_SIZE, 24 },           /* none of this ring */
		{ GRANT_QUEUE_SIZE_MAX, 0 }, /* none at all */
		{ UINT32_MAX, 0 },
		{ UINT32_MAX ^ GRANT_PUSHED, 0 },
		{ 2 | GRANT_PUSHED, 24 }, /* not even to write */
		{ 0, GRANT_ANSWER_MAX + 1 },
		{ 0 | GRANT_PUSHED, GRANT_ANSWER_MAX + 1 },
		{ 0, UINT32_MAX },
	};
	struct test *test = *state;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		end(test);
		ring_clear(&test->ring);
		memset(test->inflight->mapping, 0, test->inflight_size);
		start(test);
		add(test, 0, 0, 24);
		grant_relay_run(test->relay);
		answer(test, bad[i].head, bad[i].written, 0);
		__atomic_store_n(&test->shared->pushed, test->pushed, __ATOMIC_RELEASE);
		assert_breaks(test);
	}
}

static void the_same_answer_twice(void **state)
{
	struct test *test = *state;

	start(test);
	add(test, 0, 0, 24);
	grant_relay_run(test->relay);
	answer(test, 0, 24, 0x11);
	answer(test, 0, 24, 0x12);
	answer(test, 0 | GRANT_PUSHED, 24, 0x13);
	__atomic_store_n(&test->shared->pushed, test->pushed, __ATOMIC_RELEASE);
	grant_relay_run(test->relay);
	assert_int_equal(test->ring.used->idx, 1);
	assert_breaks(test);
}

static void counters_that_jump(void **state)
{
	static const uint32_t values[] = { 2, 2 * RING_SIZE + 1, 1000, UINT32_MAX, 1u << 31 };
	struct test *test = *state;

	for (unsigned i = 0; i < 2 * sizeof(values) / sizeof(values[0]); i++) {
		uint32_t value = values[i / 2];

		end(test);
		ring_clear(&test->ring);
		memset(test->inflight->mapping, 0, test->inflight_size);
		start(test);
		add(test, 0, 0, 24);
		grant_relay_run(test->relay);
		*(i % 2 ? &test->shared->read : &test->shared->pushed) = value;
		assert_breaks(test);
	}
}

/* All that the worker can write is nonsense, and changes. */
static void a_worker_that_scribbles(void **state)
{
	struct test *test = *state;
	uint32_t seed = 7;

	for (unsigned round = 0; round < 300; round++) {
		uint8_t *bytes;

		end(test);
		ring_clear(&test->ring);
		start(test);
		for (unsigned i = 0; i < 4; i++) {
			seed = seed * 1103515245 + 12345;
			add(test, (uint16_t)(2 * i), seed >> 20, 1 + (seed >> 16) % 300);
		}
		grant_relay_run(test->relay);
		bytes = (uint8_t *)test->shared;
		for (unsigned i = 0; i < 64; i++) {
			seed = seed * 1103515245 + 12345;
			bytes[(seed >> 8) % offsetof(struct grant_queue_shared, answers)] =
			    (uint8_t)(seed >> 4);
			((uint8_t *)test->inflight->mapping)[(seed >> 12) % test->inflight_size] =
			    (uint8_t)seed;
		}
		test->shared->pushed = seed >> 28;
		grant_relay_run(test->relay);
		grant_relay_stop(test->relay, seed);
	}
}

static void questions_that_make_no_sense(void **state)
{
	struct test *test = *state;
	struct grant_question q;
	int fd = test->inflight_fd, plain = memfd_create("plain", MFD_CLOEXEC);
	uint64_t size;

#define REFUSED(change)                                \
	do {                                           \
		q = question(test);                    \
		change;                                \
		assert_true(start_with(test, &q) < 0); \
	} while (0)
	REFUSED(q.queue.size = 0);
	REFUSED(q.queue.size = 6);
	REFUSED(q.queue.size = 2048);
	REFUSED(q.queue.size = 16); /* the record is for 8 */
	REFUSED(q.queue.desc++);
	REFUSED(q.queue.used = 0);
	REFUSED(q.queue.avail = UINT64_MAX - 1);
	REFUSED(q.queue.inflight_queues = 0);
	REFUSED(q.queue.inflight_queues = UINT16_MAX);
	REFUSED(q.queue.inflight_queue_size = 1024);
	REFUSED(q.queue.inflight_queue_size = 3);
	REFUSED(q.queue.inflight_size = UINT64_MAX);
	REFUSED(q.queue.inflight_size = 0);
	REFUSED(q.queue.inflight_offset = UINT64_MAX);
	/* A file that the worker could cut short */
	assert_int_equal(ftruncate(plain, (off_t)test->inflight_size), 0);
	test->inflight_fd = plain;
	REFUSED((void)0);
	test->inflight_fd = STDERR_FILENO;
	REFUSED((void)0);
	/* Records of so many queues that we would need hundreds of megabytes to tell them apart */
	test->inflight_fd = inflight_create_file(UINT16_MAX, RING_SIZE, 0, &size);
	REFUSED((q.queue.inflight_queues = UINT16_MAX, q.queue.inflight_size = size));
	close(test->inflight_fd);
	test->inflight_fd = fd;
	close(plain);
	start(test);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_and_back),
		TEST(written_before_it_is_pushed),
		TEST(what_is_too_long_or_out_of_reach),
		TEST(all_is_too_long),
		TEST(room_is_taken_in_turn),
		TEST(what_was_not_popped_is_the_rings),
		TEST(a_stop_that_makes_no_sense),
		TEST(the_worker_dies),
		TEST(answers_to_nothing),
		TEST(the_same_answer_twice),
		TEST(counters_that_jump),
		TEST(a_worker_that_scribbles),
		TEST(questions_that_make_no_sense),
	};

	return cmocka_run_group_tests_name("grant_relay", tests, NULL, NULL);
}
