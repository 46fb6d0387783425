/* SPDX-License-Identifier: MIT */
/* What the tests of virtqueues share: a started queue, and requests that must work. */
#ifndef GPUDOM_TESTS_UNIT_VIRTQUEUE_FIXTURE_H
#define GPUDOM_TESTS_UNIT_VIRTQUEUE_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/unit/ring.h"

#include <cmocka.h>

#define INDIRECT (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

struct test {
	struct ring ring;
	struct virtqueue queue;
	struct virtqueue_chain chain;
	int call, error;
};

static inline int setup_with(void **state, uint64_t features)
{
	struct test *test = calloc(1, sizeof(*test));
	struct virtqueue_config config;

	ring_init(&test->ring, true);
	virtqueue_init(&test->queue, 0);
	test->call = test->queue.call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	test->error = test->queue.error_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	config = ring_config(&test->ring, features);
	*state = test;
	return virtqueue_start(&test->queue, test->ring.memory, &config);
}

static inline int setup(void **state)
{
	return setup_with(state, INDIRECT);
}

static inline int setup_plain(void **state)
{
	return setup_with(state, 0);
}

static inline int setup_event_idx(void **state)
{
	return setup_with(state, INDIRECT | EVENT_IDX);
}

static inline int teardown(void **state)
{
	struct test *test = *state;

	virtqueue_stop(&test->queue);
	close(test->call);
	close(test->error);
	ring_finish(&test->ring);
	free(test);
	return 0;
}

static inline void restart(struct test *test, uint16_t size, uint16_t base, uint64_t features)
{
	struct virtqueue_config config;

	virtqueue_stop(&test->queue);
	ring_clear(&test->ring);
	ring_set_size(&test->ring, size);
	config = ring_config(&test->ring, features);
	config.base = base;
	test->ring.avail->idx = base;
	test->ring.used->idx = base;
	assert_int_equal(virtqueue_start(&test->queue, test->ring.memory, &config), 0);
}

/* Takes and returns one well-formed request. */
static inline void assert_works(struct test *test)
{
	struct ring *ring = &test->ring;
	uint16_t used = ring->used->idx;

	ring_add_request(ring, 2);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_int_equal(test->chain.head, 2);
	assert_int_equal(test->chain.readable_count, 1);
	assert_int_equal(test->chain.readable_size, 16);
	assert_int_equal(test->chain.readable[0].address, RING_BUFFER + 128);
	assert_int_equal(test->chain.writable_count, 1);
	assert_int_equal(test->chain.writable_size, 32);
	assert_int_equal(test->chain.writable[0].address, RING_BUFFER + 0x10000 + 128);
	virtqueue_push(&test->queue, 2, 24);
	virtqueue_publish(&test->queue);
	assert_int_equal(ring->used->idx, (uint16_t)(used + 1));
	assert_int_equal(ring->used->ring[used % ring->size].id, 2);
	assert_int_equal(ring->used->ring[used % ring->size].len, 24);
}

/* The queue is broken for @reason, says so once, and works after a reset. */
static inline void assert_broken(struct test *test, const char *reason)
{
	uint16_t used = test->ring.used->idx;

	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), -EPROTO);
	assert_true(test->queue.broken);
	assert_string_equal(test->queue.reason, reason);
	assert_int_equal(ring_take_event(test->error), 1);
	/* It stays broken, quietly, and asks for no kicks. */
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), -EPROTO);
	assert_false(virtqueue_enable_notifications(&test->queue));
	assert_int_equal(ring_take_event(test->error), 0);
	assert_int_equal(test->ring.used->idx, used);

	restart(test, RING_SIZE, 0, test->queue.config.features);
	assert_works(test);
}

/* Fills an indirect table with @count descriptors in a row, the last one writable. */
static inline struct vring_desc *fill_table(struct ring *ring, uint32_t count)
{
	struct vring_desc *table = ring_at(ring, RING_TABLE);

	for (uint32_t i = 0; i < count; i++)
		ring_desc(&table[i], RING_BUFFER + i, 1,
		    i + 1 < count ? VRING_DESC_F_NEXT : VRING_DESC_F_WRITE, (uint16_t)(i + 1));
	return table;
}

static inline void add_table(struct ring *ring, uint32_t count)
{
	ring_desc(&ring->desc[0], RING_TABLE, count * 16, VRING_DESC_F_INDIRECT, 0);
	ring_add(ring, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_PLAIN(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)
#define TEST_EVENT(name) cmocka_unit_test_setup_teardown(name, setup_event_idx, teardown)

#endif
