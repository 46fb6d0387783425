/* SPDX-License-Identifier: MIT */
/* Requests in flight survive a back end that dies at any point. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "backend/inflight.h"
#include "tests/unit/ring.h"

#include <cmocka.h>

struct test {
	struct ring ring;
	int fd; /* of the records */
	uint64_t size;
	/* one life of a back end */
	struct inflight *inflight;
	struct virtqueue queue;
	struct virtqueue_chain chain;
};

/* A back end begins, as after a fork: only shared memory is left of the one before. */
static void begin(struct test *test, uint16_t base)
{
	struct virtqueue_config config = ring_config(&test->ring, 0);

	assert_int_equal(
	    inflight_create(test->fd, 0, test->size, 2, RING_SIZE, 0, &test->inflight), 0);
	virtqueue_init(&test->queue, 1);
	config.base = base;
	config.inflight = &test->inflight->queues[1];
	assert_int_equal(virtqueue_start(&test->queue, test->ring.memory, &config), 0);
}

/* It is killed: nothing is drained. */
static void die(struct test *test)
{
	virtqueue_stop(&test->queue);
	inflight_destroy(test->inflight);
	test->inflight = NULL;
}

static struct inflight_region *records(struct test *test)
{
	return test->inflight->queues[1].region;
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	ring_init(&test->ring, true);
	test->fd = inflight_create_file(2, RING_SIZE, 0, &test->size);
	assert_true(test->fd >= 0);
	begin(test, 0);
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	die(test);
	close(test->fd);
	ring_finish(&test->ring);
	free(test);
	return 0;
}

static void add(struct test *test, uint16_t head)
{
	ring_desc(&test->ring.desc[head], RING_BUFFER + head, 1, 0, 0);
	ring_add(&test->ring, head);
}

static void assert_pops(struct test *test, uint16_t head)
{
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_int_equal(test->chain.head, head);
	assert_int_equal(test->chain.readable[0].address, RING_BUFFER + head);
}

static void test_records_are_laid_out_as_specified(void **state)
{
	struct test *test = *state;
	struct inflight_region *r = records(test);

	assert_int_equal(
	    (uint8_t *)r - (uint8_t *)test->inflight->mapping, inflight_region_size(RING_SIZE));
	assert_int_equal(inflight_region_size(RING_SIZE) % 64, 0);
	assert_int_equal(offsetof(struct inflight_descriptor, next), 6);
	assert_int_equal(offsetof(struct inflight_descriptor, counter), 8);
	assert_int_equal(offsetof(struct inflight_region, descriptors), 16);
	assert_int_equal(r->version, 1);
	assert_int_equal(r->descriptor_count, RING_SIZE);

	add(test, 5);
	add(test, 3);
	assert_pops(test, 5);
	assert_pops(test, 3);
	assert_int_equal(r->descriptors[5].inflight, 1);
	assert_int_equal(r->descriptors[5].counter, 0);
	assert_int_equal(r->descriptors[3].counter, 1);
	virtqueue_push(&test->queue, 5, 0);
	assert_int_equal(r->last_batch_head, 5);
	virtqueue_push(&test->queue, 3, 0);
	assert_int_equal(r->last_batch_head, 3);
	assert_int_equal(r->descriptors[3].next, 5);
	assert_int_equal(r->descriptors[3].inflight, 1);
	assert_int_equal(r->used_index, 0);
	virtqueue_publish(&test->queue);
	assert_int_equal(r->descriptors[3].inflight, 0);
	assert_int_equal(r->descriptors[5].inflight, 0);
	assert_int_equal(r->used_index, 2);
}

static void test_in_flight_are_taken_anew_in_their_order(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < 4; i++)
		add(test, (uint16_t)(7 - i));
	for (uint16_t i = 0; i < 4; i++)
		assert_pops(test, (uint16_t)(7 - i));
	virtqueue_push(&test->queue, 6, 0);
	virtqueue_publish(&test->queue);
	add(test, 0);
	die(test);

	begin(test, test->ring.used->idx); /* what QEMU knows: the used index */
	assert_int_equal(test->queue.in_flight, 3);
	assert_int_equal(test->queue.last_avail, 4);
	assert_pops(test, 7);
	assert_pops(test, 5);
	assert_pops(test, 4);
	assert_pops(test, 0); /* and then what is new */
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	for (uint16_t i = 0; i < 8; i++) {
		if (i == 0 || i == 4 || i == 5 || i == 7)
			virtqueue_push(&test->queue, i, 0);
	}
	virtqueue_publish(&test->queue);
	assert_int_equal(test->ring.used->idx, 5);
	assert_int_equal(test->queue.in_flight, 0);
	die(test);

	begin(test, 5);
	assert_int_equal(test->queue.in_flight, 0);
	assert_int_equal(test->queue.last_avail, 5);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
}

static void test_order_goes_on_after_a_death(void **state)
{
	struct test *test = *state;

	add(test, 1);
	assert_pops(test, 1);
	die(test);
	begin(test, 0);
	assert_pops(test, 1);
	add(test, 0);
	assert_pops(test, 0); /* its counter must be above that of 1 */
	die(test);
	begin(test, 0);
	assert_pops(test, 1);
	assert_pops(test, 0);
}

static void test_death_before_the_batch_is_published(void **state)
{
	struct test *test = *state;

	add(test, 1);
	add(test, 2);
	assert_pops(test, 1);
	assert_pops(test, 2);
	virtqueue_push(&test->queue, 2, 0);
	virtqueue_push(&test->queue, 1, 0);
	die(test); /* the driver saw nothing: both again */

	begin(test, 0);
	assert_int_equal(test->queue.in_flight, 2);
	assert_pops(test, 1);
	assert_pops(test, 2);
}

static void test_death_after_the_used_index_was_stored(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < 3; i++)
		add(test, i);
	for (uint16_t i = 0; i < 3; i++)
		assert_pops(test, i);
	virtqueue_push(&test->queue, 2, 0);
	virtqueue_push(&test->queue, 0, 0);
	/* What virtqueue_publish() does first */
	test->ring.used->idx = 2;
	die(test);

	begin(test, 2);
	assert_int_equal(records(test)->used_index, 2);
	assert_int_equal(test->queue.in_flight, 1);
	assert_int_equal(test->queue.last_avail, 3);
	assert_pops(test, 1);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
}

static void test_death_half_way_through_the_batch(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < 3; i++)
		add(test, i);
	for (uint16_t i = 0; i < 3; i++)
		assert_pops(test, i);
	virtqueue_push(&test->queue, 2, 0);
	virtqueue_push(&test->queue, 0, 0);
	test->ring.used->idx = 2;
	records(test)->descriptors[2].inflight = 0;
	die(test);

	begin(test, 2);
	assert_int_equal(test->queue.in_flight, 1);
	assert_pops(test, 1);
}

/* A successor is told how far a request got, once: for the next one with this head it begins anew.
 */
static void test_progress_is_handed_on(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < 3; i++)
		add(test, i);
	for (uint16_t i = 0; i < 3; i++) {
		assert_pops(test, i);
		assert_int_equal(test->chain.progress, VIRTQUEUE_TAKEN);
	}
	virtqueue_set_progress(&test->queue, 0, VIRTQUEUE_EXECUTED);
	virtqueue_set_progress(&test->queue, 1, VIRTQUEUE_EXECUTING);
	for (int life = 0; life < 2; life++) {
		die(test);
		begin(test, 0);
		assert_pops(test, 0);
		assert_int_equal(test->chain.progress, VIRTQUEUE_EXECUTED);
		assert_pops(test, 1);
		assert_int_equal(test->chain.progress, VIRTQUEUE_EXECUTING);
		assert_pops(test, 2);
		assert_int_equal(test->chain.progress, VIRTQUEUE_TAKEN);
	}
	for (uint16_t i = 0; i < 3; i++)
		virtqueue_push(&test->queue, i, 0);
	virtqueue_publish(&test->queue);
	add(test, 1);
	assert_pops(test, 1);
	assert_int_equal(test->chain.progress, VIRTQUEUE_TAKEN);
	die(test);
	begin(test, 0);
	assert_pops(test, 1);
	assert_int_equal(test->chain.progress, VIRTQUEUE_TAKEN);
}

/* gpudomd never looks at rings, and always says 0. */
static void test_base_follows_from_the_rings(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < 5; i++) {
		add(test, i);
		assert_pops(test, i);
		virtqueue_push(&test->queue, i, 0);
		virtqueue_publish(&test->queue);
	}
	add(test, 3);
	die(test);
	begin(test, 0);
	assert_int_equal(test->queue.last_avail, 5);
	assert_pops(test, 3);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	assert_false(test->queue.broken);
}

static void test_indices_wrap(void **state)
{
	struct test *test = *state;

	die(test);
	test->ring.avail->idx = test->ring.used->idx = 65535;
	begin(test, 65535);
	for (uint16_t i = 0; i < 3; i++)
		add(test, i);
	for (uint16_t i = 0; i < 3; i++)
		assert_pops(test, i);
	virtqueue_push(&test->queue, 1, 0);
	virtqueue_push(&test->queue, 0, 0);
	test->ring.used->idx = 1;
	die(test);
	begin(test, 1);
	assert_int_equal(test->queue.last_avail, 2);
	assert_pops(test, 2);
}

/* The driver takes heads back before it can know that they are used, for as long as it likes. */
static void test_batch_without_an_end(void **state)
{
	struct test *test = *state;
	int result = 1;

	for (uint16_t i = 0; i < 2 * VIRTQUEUE_SIZE_MAX && result == 1; i++) {
		add(test, i % RING_SIZE);
		result = virtqueue_pop(&test->queue, &test->chain);
		if (result == 1)
			virtqueue_push(&test->queue, test->chain.head, 0);
	}
	assert_int_equal(result, -EPROTO);
	assert_int_equal(test->inflight->queues[1].batch_count, RING_SIZE);
}

static void test_ring_that_began_a_new_life(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < 7; i++)
		add(test, i);
	for (uint16_t i = 0; i < 7; i++)
		assert_pops(test, i);
	die(test);
	ring_clear(&test->ring);
	/* as far from the records as no batch is */
	test->ring.used->idx = test->ring.avail->idx = 1000;
	begin(test, 1000);
	assert_int_equal(test->queue.in_flight, 0);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	add(test, 2);
	assert_pops(test, 2);
}

static void test_rubbish_in_the_records(void **state)
{
	struct test *test = *state;

	for (unsigned seed = 0; seed < 500; seed++) {
		uint8_t *bytes = (uint8_t *)records(test);
		uint16_t used;

		srand(seed);
		for (size_t i = 0; i < inflight_region_size(RING_SIZE); i++)
			bytes[i] = (uint8_t)rand();
		records(test)->version = 1;
		records(test)->descriptor_count = RING_SIZE;
		used = (uint16_t)(records(test)->used_index + seed % (RING_SIZE + 2));
		die(test);
		ring_clear(&test->ring);
		for (uint16_t i = 0; i < RING_SIZE; i++)
			ring_desc(&test->ring.desc[i], RING_BUFFER + i, 1, 0, 0);
		test->ring.used->idx = used;
		begin(test, used);
		test->ring.avail->idx = test->queue.last_avail;
		while (virtqueue_pop(&test->queue, &test->chain) == 1)
			virtqueue_push(&test->queue, test->chain.head, 0);
		virtqueue_publish(&test->queue);
		assert_int_equal(test->queue.in_flight, 0);
		assert_false(test->queue.broken);
		assert_int_equal(test->ring.used->idx, test->queue.last_avail);
	}
}

static void test_uninitialised_and_foreign_records(void **state)
{
	struct test *test = *state;

	records(test)->descriptors[3].inflight = 1;
	records(test)->version = 0;
	die(test);
	begin(test, 0);
	assert_int_equal(test->queue.in_flight, 0);
	records(test)->descriptors[3].inflight = 1;
	records(test)->descriptor_count = 4;
	die(test);
	begin(test, 0);
	assert_int_equal(test->queue.in_flight, 0);
	assert_int_equal(records(test)->descriptor_count, RING_SIZE);
}

static void test_heads_outside_of_a_smaller_queue(void **state)
{
	struct test *test = *state;

	add(test, 7);
	assert_pops(test, 7);
	die(test);
	ring_clear(&test->ring);
	ring_set_size(&test->ring, 4);
	begin(test, 0);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	assert_int_equal(test->queue.in_flight, 0);
}

static void test_files_to_refuse(void **state)
{
	struct test *test = *state;
	struct inflight *inflight;
	uint64_t size;

	assert_int_equal(inflight_create_file(0, 8, 0, &size), -EINVAL);
	assert_int_equal(inflight_create_file(2, 0, 0, &size), -EINVAL);
	assert_int_equal(inflight_create_file(2, 12, 0, &size), -EINVAL);
	assert_int_equal(inflight_create_file(2, 2048, 0, &size), -EINVAL);
	assert_int_equal(inflight_create_file(70000, 8, 0, &size), -EINVAL);
	assert_int_equal(inflight_create(test->fd, 0, test->size - 1, 2, 8, 0, &inflight), -EINVAL);
	assert_int_equal(inflight_create(test->fd, 0, test->size + 1, 2, 8, 0, &inflight), -EINVAL);
	assert_int_equal(inflight_create(test->fd, 1, test->size, 2, 8, 0, &inflight), -EINVAL);
	assert_int_equal(
	    inflight_create(test->fd, UINT64_MAX - 4096, test->size, 2, 8, 0, &inflight), -EINVAL);
	assert_int_equal(inflight_create(test->fd, 0, test->size, 3, 8, 0, &inflight), -EINVAL);
	assert_int_equal(inflight_create(test->fd, 0, test->size, 2, 16, 0, &inflight), -EINVAL);
	assert_int_equal(inflight_create(-1, 0, test->size, 2, 8, 0, &inflight), -EBADF);
	inflight_destroy(NULL);
}

static void test_queue_larger_than_its_records(void **state)
{
	struct test *test = *state;
	struct virtqueue_config config;

	virtqueue_stop(&test->queue);
	config = test->queue.config;
	config.size = 2 * RING_SIZE;
	assert_int_equal(virtqueue_start(&test->queue, test->ring.memory, &config), -EINVAL);
}

/* Nobody who holds the file can make it of no use to a successor. */
static void test_file_stays_as_it_is(void **state)
{
	const struct test *test = *state;

	assert_int_equal(fcntl(test->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
	assert_int_equal(errno, EPERM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_records_are_laid_out_as_specified),
		TEST(test_in_flight_are_taken_anew_in_their_order),
		TEST(test_order_goes_on_after_a_death),
		TEST(test_death_before_the_batch_is_published),
		TEST(test_death_after_the_used_index_was_stored),
		TEST(test_death_half_way_through_the_batch),
		TEST(test_progress_is_handed_on),
		TEST(test_base_follows_from_the_rings),
		TEST(test_indices_wrap),
		TEST(test_batch_without_an_end),
		TEST(test_ring_that_began_a_new_life),
		TEST(test_rubbish_in_the_records),
		TEST(test_uninitialised_and_foreign_records),
		TEST(test_heads_outside_of_a_smaller_queue),
		TEST(test_files_to_refuse),
		TEST(test_queue_larger_than_its_records),
		TEST(test_file_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
