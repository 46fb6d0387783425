/* SPDX-License-Identifier: MIT */
/* Split virtqueues: taking, returning, calling; and every ring that a backend must survive. */
#include <errno.h>
#include <pthread.h>
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

static int setup_with(void **state, uint64_t features)
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

static int setup(void **state)
{
	return setup_with(state, INDIRECT);
}

static int setup_plain(void **state)
{
	return setup_with(state, 0);
}

static int setup_event_idx(void **state)
{
	return setup_with(state, INDIRECT | EVENT_IDX);
}

static int teardown(void **state)
{
	struct test *test = *state;

	virtqueue_stop(&test->queue);
	close(test->call);
	close(test->error);
	ring_finish(&test->ring);
	free(test);
	return 0;
}

static void restart(struct test *test, uint16_t size, uint16_t base, uint64_t features)
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
static void assert_works(struct test *test)
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
static void assert_broken(struct test *test, const char *reason)
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

/* ---------------------------------------------------------------- what works */

static void test_request_comes_and_goes(void **state)
{
	struct test *test = *state;

	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	for (int i = 0; i < 100; i++)
		assert_works(test);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	assert_int_equal(test->queue.chains, 100);
}

static void test_all_are_taken_and_published_at_once(void **state)
{
	struct test *test = *state;
	struct ring *ring = &test->ring;

	for (uint16_t i = 0; i < RING_SIZE; i++) {
		ring_desc(&ring->desc[i], RING_BUFFER, 16, 0, 0);
		ring_add(ring, i);
	}
	for (uint16_t i = 0; i < RING_SIZE; i++) {
		assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
		assert_int_equal(test->chain.head, i);
	}
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	assert_int_equal(test->queue.in_flight, RING_SIZE);
	/* in another order */
	for (uint16_t i = RING_SIZE; i-- > 0;)
		virtqueue_push(&test->queue, i, i);
	assert_int_equal(ring->used->idx, 0);
	assert_int_equal(ring_take_event(test->call), 0);
	virtqueue_publish(&test->queue);
	assert_int_equal(ring->used->idx, RING_SIZE);
	assert_int_equal(ring->used->ring[0].id, RING_SIZE - 1);
	assert_int_equal(ring_take_event(test->call), 1);
	virtqueue_publish(&test->queue);
	assert_int_equal(ring_take_event(test->call), 0);
	assert_int_equal(test->queue.calls, 1);
}

static void test_index_wraps(void **state)
{
	struct test *test = *state;

	restart(test, RING_SIZE, 65530, INDIRECT);
	for (int i = 0; i < 20; i++)
		assert_works(test);
	assert_int_equal(test->ring.used->idx, 14);
	assert_int_equal(test->queue.last_avail, 14);
}

static void test_index_wraps_with_a_full_queue(void **state)
{
	struct test *test = *state;

	restart(test, RING_SIZE, 65533, INDIRECT);
	for (uint16_t i = 0; i < RING_SIZE; i++) {
		ring_desc(&test->ring.desc[i], RING_BUFFER, 16, 0, 0);
		ring_add(&test->ring, i);
	}
	for (uint16_t i = 0; i < RING_SIZE; i++)
		assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
}

static void test_every_size(void **state)
{
	struct test *test = *state;

	for (uint16_t size = 4; size <= VIRTQUEUE_SIZE_MAX; size *= 2) {
		restart(test, size, 0, INDIRECT);
		for (int i = 0; i < 10; i++)
			assert_works(test);
	}
	restart(test, 1, 0, INDIRECT);
	ring_desc(&test->ring.desc[0], RING_BUFFER, 1, VRING_DESC_F_WRITE, 0);
	ring_add(&test->ring, 0);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
}

static void test_chain_as_long_as_the_queue(void **state)
{
	struct test *test = *state;
	struct ring *ring = &test->ring;

	for (uint16_t i = 0; i < RING_SIZE; i++)
		ring_desc(&ring->desc[i], RING_BUFFER + i * 16u, 16,
		    (uint16_t)((i + 1 < RING_SIZE ? VRING_DESC_F_NEXT : 0) |
			       (i >= 5 ? VRING_DESC_F_WRITE : 0)),
		    (uint16_t)(i + 1));
	ring_add(ring, 0);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_int_equal(test->chain.readable_count, 5);
	assert_int_equal(test->chain.writable_count, 3);
	assert_ptr_equal(test->chain.writable, test->chain.pieces + 5);
	assert_int_equal(test->chain.writable[2].address, RING_BUFFER + 7 * 16);
}

/* Fills an indirect table with @count descriptors in a row, the last one writable. */
static struct vring_desc *fill_table(struct ring *ring, uint32_t count)
{
	struct vring_desc *table = ring_at(ring, RING_TABLE);

	for (uint32_t i = 0; i < count; i++)
		ring_desc(&table[i], RING_BUFFER + i, 1,
		    i + 1 < count ? VRING_DESC_F_NEXT : VRING_DESC_F_WRITE, (uint16_t)(i + 1));
	return table;
}

static void add_table(struct ring *ring, uint32_t count)
{
	ring_desc(&ring->desc[0], RING_TABLE, count * 16, VRING_DESC_F_INDIRECT, 0);
	ring_add(ring, 0);
}

static void test_indirect_table_longer_than_the_queue(void **state)
{
	struct test *test = *state;

	/* Linux does so (a long SUBMIT_3D). */
	fill_table(&test->ring, VIRTQUEUE_CHAIN_MAX);
	add_table(&test->ring, VIRTQUEUE_CHAIN_MAX);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_int_equal(test->chain.head, 0);
	assert_int_equal(test->chain.readable_count, VIRTQUEUE_CHAIN_MAX - 1);
	assert_int_equal(test->chain.writable_count, 1);
	assert_int_equal(test->chain.writable[0].address, RING_BUFFER + VIRTQUEUE_CHAIN_MAX - 1);
}

static void test_direct_descriptors_before_a_table(void **state)
{
	struct test *test = *state;
	struct ring *ring = &test->ring;

	fill_table(ring, 2);
	ring_desc(&ring->desc[3], RING_BUFFER + 512, 7, VRING_DESC_F_NEXT, 4);
	/* "The device MUST ignore the write-only flag (flags&VIRTQ_DESC_F_WRITE) in the descriptor
	 * that refers to an indirect table." */
	ring_desc(&ring->desc[4], RING_TABLE, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
	ring_add(ring, 3);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_int_equal(test->chain.head, 3);
	assert_int_equal(test->chain.readable_count, 2);
	assert_int_equal(test->chain.readable_size, 8);
	assert_int_equal(test->chain.writable_count, 1);
}

static void test_table_in_any_order(void **state)
{
	struct test *test = *state;
	struct vring_desc *table = ring_at(&test->ring, RING_TABLE);

	ring_desc(&table[0], RING_BUFFER, 1, VRING_DESC_F_NEXT, 2);
	ring_desc(&table[1], RING_BUFFER, 3, VRING_DESC_F_WRITE, 0);
	ring_desc(&table[2], RING_BUFFER, 2, VRING_DESC_F_NEXT, 1);
	add_table(&test->ring, 3);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_int_equal(test->chain.readable[1].length, 2);
	assert_int_equal(test->chain.writable[0].length, 3);
}

static void test_push_after_stop_does_nothing(void **state)
{
	struct test *test = *state;

	ring_add_request(&test->ring, 0);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	virtqueue_stop(&test->queue);
	virtqueue_push(&test->queue, 0, 0);
	virtqueue_publish(&test->queue);
	virtqueue_disable_notifications(&test->queue);
	assert_false(virtqueue_enable_notifications(&test->queue));
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	assert_int_equal(test->ring.used->idx, 0);
	assert_int_equal(test->queue.last_avail, 1);
	virtqueue_stop(&test->queue);
}

/* ---------------------------------------------------------------- calls and kicks */

static void take_one(struct test *test)
{
	ring_add_request(&test->ring, 0);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	virtqueue_push(&test->queue, 0, 0);
	virtqueue_publish(&test->queue);
}

static void test_no_interrupt_flag(void **state)
{
	struct test *test = *state;

	test->ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	take_one(test);
	assert_int_equal(ring_take_event(test->call), 0);
	test->ring.avail->flags = 0;
	take_one(test);
	assert_int_equal(ring_take_event(test->call), 1);
}

static void test_used_event(void **state)
{
	struct test *test = *state;

	/* NO_INTERRUPT means nothing here */
	test->ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	*test->ring.used_event = 2; /* a call when the third entry is there */
	for (int i = 0; i < 6; i++) {
		take_one(test);
		assert_int_equal(ring_take_event(test->call), i == 2);
	}
	*test->ring.used_event = 6;
	take_one(test);
	assert_int_equal(ring_take_event(test->call), 1);
}

static void test_used_event_inside_a_batch(void **state)
{
	struct test *test = *state;

	*test->ring.used_event = 1;
	for (uint16_t i = 0; i < 3; i++) {
		ring_add_request(&test->ring, (uint16_t)(2 * i));
		assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	}
	for (uint16_t i = 0; i < 3; i++)
		virtqueue_push(&test->queue, (uint16_t)(2 * i), 0);
	virtqueue_publish(&test->queue);
	assert_int_equal(ring_take_event(test->call), 1);
}

static void test_used_event_wraps(void **state)
{
	struct test *test = *state;

	restart(test, RING_SIZE, 65534, EVENT_IDX);
	*test->ring.used_event = 0;
	for (int i = 0; i < 5; i++) {
		take_one(test);
		assert_int_equal(ring_take_event(test->call), i == 2);
	}
}

static void test_kicks_by_flag(void **state)
{
	struct test *test = *state;
	struct ring *ring = &test->ring;

	virtqueue_disable_notifications(&test->queue);
	assert_int_equal(ring->used->flags, VRING_USED_F_NO_NOTIFY);
	assert_false(virtqueue_enable_notifications(&test->queue));
	assert_int_equal(ring->used->flags, 0);
	/* A request that came before we asked for kicks is not missed. */
	virtqueue_disable_notifications(&test->queue);
	ring_add_request(ring, 0);
	assert_true(virtqueue_enable_notifications(&test->queue));
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_false(virtqueue_enable_notifications(&test->queue));
}

static void test_kicks_by_event(void **state)
{
	struct test *test = *state;
	struct ring *ring = &test->ring;

	virtqueue_disable_notifications(&test->queue);
	assert_int_equal(ring->used->flags, 0);
	for (uint16_t i = 0; i < 5; i++)
		take_one(test);
	assert_int_equal(*ring->avail_event, 0);
	assert_false(virtqueue_enable_notifications(&test->queue));
	assert_int_equal(*ring->avail_event, 5);
	ring_add_request(ring, 0);
	assert_true(virtqueue_enable_notifications(&test->queue));
}

static void test_call_descriptor_is_optional_and_may_be_full(void **state)
{
	struct test *test = *state;
	uint64_t most = UINT64_MAX - 1;

	assert_int_equal(write(test->call, &most, sizeof(most)), sizeof(most));
	take_one(test); /* does not block */
	test->queue.call_fd = -1;
	take_one(test);
	assert_int_equal(test->ring.used->idx, 2);
}

/* ---------------------------------------------------------------- rings to survive */

static void test_available_index_jumps_past_the_queue_size(void **state)
{
	struct test *test = *state;

	test->ring.avail->idx = RING_SIZE + 1;
	assert_broken(test, "the available index jumps past the queue's size");
	test->ring.avail->idx = 0; /* goes back, behind what was taken */
	assert_broken(test, "the available index jumps past the queue's size");
}

static void test_more_available_than_free_descriptors(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < RING_SIZE; i++) {
		ring_desc(&test->ring.desc[i], RING_BUFFER, 1, 0, 0);
		ring_add(&test->ring, i);
		assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	}
	ring_add(&test->ring, 0);
	assert_broken(test, "the available index jumps past the queue's size");
}

static void test_available_again_before_it_was_used(void **state)
{
	struct test *test = *state;

	ring_add_request(&test->ring, 0);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	ring_add(&test->ring, 0);
	assert_broken(test, "a head is made available again before it was used");
}

static void test_head_outside_of_the_table(void **state)
{
	struct test *test = *state;

	ring_add(&test->ring, RING_SIZE);
	assert_broken(test, "an available head is outside of the descriptor table");
	ring_add(&test->ring, UINT16_MAX);
	assert_broken(test, "an available head is outside of the descriptor table");
}

static void test_next_outside_of_the_table(void **state)
{
	struct test *test = *state;

	ring_desc(&test->ring.desc[0], RING_BUFFER, 16, VRING_DESC_F_NEXT, RING_SIZE);
	ring_add(&test->ring, 0);
	assert_broken(test, "next is outside of the descriptor table");
}

static void test_next_loops(void **state)
{
	struct test *test = *state;

	ring_desc(&test->ring.desc[0], RING_BUFFER, 16, VRING_DESC_F_NEXT, 0);
	ring_add(&test->ring, 0);
	assert_broken(test, "a chain loops, or is longer than the queue");
}

static void test_chain_longer_than_the_queue(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < RING_SIZE; i++)
		ring_desc(&test->ring.desc[i], RING_BUFFER, 1, VRING_DESC_F_NEXT,
		    (uint16_t)((i + 1) % RING_SIZE));
	ring_add(&test->ring, 3);
	assert_broken(test, "a chain loops, or is longer than the queue");
}

static void test_readable_after_writable(void **state)
{
	struct test *test = *state;

	ring_desc(&test->ring.desc[0], RING_BUFFER, 16, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	ring_desc(&test->ring.desc[1], RING_BUFFER, 16, 0, 0);
	ring_add(&test->ring, 0);
	assert_broken(test, "a readable descriptor follows a writable one");
}

static void test_readable_after_writable_in_a_table(void **state)
{
	struct test *test = *state;
	struct vring_desc *table = ring_at(&test->ring, RING_TABLE);

	ring_desc(&table[0], RING_BUFFER, 16, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	ring_desc(&table[1], RING_BUFFER, 16, 0, 0);
	add_table(&test->ring, 2);
	assert_broken(test, "a readable descriptor follows a writable one");
}

static void test_zero_length_descriptor(void **state)
{
	struct test *test = *state;

	ring_desc(&test->ring.desc[0], RING_BUFFER, 0, 0, 0);
	ring_add(&test->ring, 0);
	assert_broken(test, "a descriptor has length 0");
	ring_desc(fill_table(&test->ring, 1), RING_BUFFER, 0, VRING_DESC_F_WRITE, 0);
	add_table(&test->ring, 1);
	assert_broken(test, "a descriptor has length 0");
}

static void test_chain_longer_than_4_gib(void **state)
{
	struct test *test = *state;

	ring_desc(&test->ring.desc[0], RING_BUFFER, UINT32_MAX, VRING_DESC_F_NEXT, 1);
	ring_desc(&test->ring.desc[1], RING_BUFFER, 2, 0, 0);
	ring_add(&test->ring, 0);
	assert_broken(test, "a chain is longer than 4 GiB");
}

static void test_indirect_with_next(void **state)
{
	struct test *test = *state;

	fill_table(&test->ring, 1);
	ring_desc(
	    &test->ring.desc[0], RING_TABLE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
	ring_add(&test->ring, 0);
	assert_broken(test, "an indirect table with a next descriptor");
}

static void test_nested_indirect(void **state)
{
	struct test *test = *state;

	ring_desc(fill_table(&test->ring, 1), RING_TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	add_table(&test->ring, 1);
	assert_broken(test, "an indirect table in another");
}

static void test_indirect_without_the_feature(void **state)
{
	struct test *test = *state;

	fill_table(&test->ring, 1);
	add_table(&test->ring, 1);
	assert_broken(test, "an indirect table without its feature");
}

static void test_indirect_length_0(void **state)
{
	struct test *test = *state;

	add_table(&test->ring, 0);
	assert_broken(test, "an indirect table's length is not a multiple of 16, or 0");
}

static void test_indirect_length_not_a_multiple_of_16(void **state)
{
	struct test *test = *state;
	const uint32_t lengths[] = { 1, 15, 17, 31, UINT32_MAX };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		ring_desc(&test->ring.desc[0], RING_TABLE, lengths[i], VRING_DESC_F_INDIRECT, 0);
		ring_add(&test->ring, 0);
		assert_broken(test, "an indirect table's length is not a multiple of 16, or 0");
	}
}

static void test_indirect_length_4_gib(void **state)
{
	struct test *test = *state;

	ring_desc(&test->ring.desc[0], RING_TABLE, UINT32_MAX - 15, VRING_DESC_F_INDIRECT, 0);
	ring_add(&test->ring, 0);
	assert_broken(test, "an indirect table has more descriptors than the device takes");
	fill_table(&test->ring, VIRTQUEUE_CHAIN_MAX + 1);
	add_table(&test->ring, VIRTQUEUE_CHAIN_MAX + 1);
	assert_broken(test, "an indirect table has more descriptors than the device takes");
}

static void test_direct_and_indirect_longer_than_the_device_takes(void **state)
{
	struct test *test = *state;

	fill_table(&test->ring, VIRTQUEUE_CHAIN_MAX);
	ring_desc(&test->ring.desc[0], RING_BUFFER, 1, VRING_DESC_F_NEXT, 1);
	ring_desc(
	    &test->ring.desc[1], RING_TABLE, VIRTQUEUE_CHAIN_MAX * 16, VRING_DESC_F_INDIRECT, 0);
	ring_add(&test->ring, 0);
	assert_broken(test, "a chain has more descriptors than the device takes");
}

static void test_indirect_out_of_reach(void **state)
{
	struct test *test = *state;
	const uint64_t addresses[] = { 0, RING_GUEST - 16, RING_GUEST + RING_MEMORY,
		RING_GUEST + RING_MEMORY - 16, UINT64_MAX - 15 };

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		ring_desc(&test->ring.desc[0], addresses[i], 32, VRING_DESC_F_INDIRECT, 0);
		ring_add(&test->ring, 0);
		assert_broken(test, "an indirect table cannot be read");
	}
}

static void test_next_outside_of_an_indirect_table(void **state)
{
	struct test *test = *state;

	ring_desc(fill_table(&test->ring, 3), RING_BUFFER, 1, VRING_DESC_F_NEXT, 2);
	add_table(&test->ring, 2);
	assert_broken(test, "next is outside of the indirect table");
}

static void test_indirect_table_loops(void **state)
{
	struct test *test = *state;
	struct vring_desc *table = fill_table(&test->ring, 3);

	ring_desc(&table[2], RING_BUFFER, 1, VRING_DESC_F_NEXT, 1);
	add_table(&test->ring, 3);
	assert_broken(test, "the chain in an indirect table loops");
}

/* ---------------------------------------------------------------- changed while it is read */

/* Memory whose owner scribbles on a table as soon as it was copied. */
struct scribbling_memory {
	struct guest_memory memory;
	struct guest_memory *real;
	struct ring *ring;
	unsigned reads;
};

static int scribbling_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count)
{
	struct scribbling_memory *m = (struct scribbling_memory *)memory;
	int error = memory_read(m->real, to, pieces, count);

	m->reads++;
	for (size_t i = 0; i < count; i++)
		memset(ring_at(m->ring, pieces[i].address), 0xff, pieces[i].length);
	return error;
}

static int scribbling_map(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, enum memory_access access, struct memory_map **map)
{
	return memory_map(((struct scribbling_memory *)memory)->real, pieces, count, access, map);
}

static void scribbling_unmap(struct guest_memory *memory, struct memory_map *map)
{
	memory_unmap(((struct scribbling_memory *)memory)->real, map);
}

static void test_table_changed_while_it_is_read(void **state)
{
	static const struct guest_memory_impl impl = {
		.read = scribbling_read,
		.map = scribbling_map,
		.unmap = scribbling_unmap,
	};
	struct test *test = *state;
	struct scribbling_memory memory = { { &impl }, test->ring.memory, &test->ring, 0 };
	struct virtqueue_config config = ring_config(&test->ring, INDIRECT);

	virtqueue_stop(&test->queue);
	assert_int_equal(virtqueue_start(&test->queue, &memory.memory, &config), 0);
	fill_table(&test->ring, 4);
	add_table(&test->ring, 4);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	assert_int_equal(memory.reads, 1);
	assert_int_equal(test->chain.readable_count, 3);
	assert_int_equal(test->chain.writable_count, 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(test->chain.pieces[i].address, RING_BUFFER + i);
	virtqueue_stop(&test->queue);
}

struct mutator {
	struct test *test;
	bool stop;
};

/* Turns a descriptor from a readable one to a loop, a table, rubbish, and back. */
static void *mutate(void *data)
{
	static const struct vring_desc forms[] = {
		{ RING_BUFFER, 16, 0, 0 },
		{ RING_BUFFER, 16, VRING_DESC_F_NEXT, 0 },
		{ RING_TABLE, 32, VRING_DESC_F_INDIRECT, 0 },
		{ UINT64_MAX, UINT32_MAX, UINT16_MAX, UINT16_MAX },
		{ RING_BUFFER, 16, VRING_DESC_F_WRITE, 7 },
		{ RING_BUFFER, 16, VRING_DESC_F_NEXT, 1 },
	};
	struct mutator *mutator = data;
	volatile struct vring_desc *desc = mutator->test->ring.desc;
	volatile struct vring_desc *table = ring_at(&mutator->test->ring, RING_TABLE);

	for (unsigned i = 0; !__atomic_load_n(&mutator->stop, __ATOMIC_RELAXED); i++) {
		desc[0] = forms[i % 6];
		desc[1] = forms[i / 6 % 6];
		table[0] = forms[i / 2 % 6];
		table[1] = forms[i / 3 % 6];
	}
	return NULL;
}

static void test_ring_mutated_while_it_is_read(void **state)
{
	struct test *test = *state;
	struct mutator mutator = { .test = test };
	unsigned taken = 0, rejected = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, mutate, &mutator), 0);
	for (int i = 0; i < 20000; i++) {
		struct virtqueue_chain *chain = &test->chain;
		uint32_t count;
		uint64_t sum = 0;
		int result;

		ring_add(&test->ring, 0);
		result = virtqueue_pop(&test->queue, chain);
		if (result < 0) {
			rejected++;
			restart(test, RING_SIZE, 0, INDIRECT);
			continue;
		}
		taken++;
		assert_int_equal(result, 1);
		/* What came out hangs together, whatever it was. */
		count = chain->readable_count + chain->writable_count;
		assert_in_range(count, 1, RING_SIZE + 2);
		for (uint32_t j = 0; j < count; j++) {
			assert_int_not_equal(chain->pieces[j].length, 0);
			sum += chain->pieces[j].length;
		}
		assert_int_equal(sum, chain->readable_size + chain->writable_size);
		virtqueue_push(&test->queue, 0, 0);
		virtqueue_publish(&test->queue);
	}
	__atomic_store_n(&mutator.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(taken + rejected, 20000);
	restart(test, RING_SIZE, 0, INDIRECT);
	assert_works(test);
}

/* ---------------------------------------------------------------- starts to refuse */

static void assert_start_fails(struct test *test, const struct virtqueue_config *config, int error)
{
	virtqueue_stop(&test->queue);
	assert_int_equal(virtqueue_start(&test->queue, test->ring.memory, config), error);
	assert_false(test->queue.started);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 0);
	restart(test, RING_SIZE, 0, INDIRECT);
	assert_works(test);
}

static void test_queue_sizes_to_refuse(void **state)
{
	struct test *test = *state;
	const uint16_t sizes[] = { 0, 3, 7, 1023, VIRTQUEUE_SIZE_MAX * 2, 32768, UINT16_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct virtqueue_config config = ring_config(&test->ring, 0);

		config.size = sizes[i];
		assert_start_fails(test, &config, -EINVAL);
	}
}

static void test_ring_addresses_to_refuse(void **state)
{
	struct test *test = *state;
	struct virtqueue_config good = ring_config(&test->ring, 0), config;
	uint64_t *const parts[] = { &config.desc, &config.avail, &config.used };
	const uint64_t bad[] = { 0, RING_GUEST - 16, RING_GUEST + RING_MEMORY,
		RING_GUEST + RING_MEMORY - 16, UINT64_MAX - 15 };

	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < sizeof(bad) / sizeof(bad[0]); j++) {
			config = good;
			*parts[i] = bad[j];
			assert_start_fails(test, &config, -EFAULT);
		}
		config = good;
		*parts[i] += 1;
		assert_start_fails(test, &config, -EINVAL);
	}
	config = good;
	config.desc += 8;
	assert_start_fails(test, &config, -EINVAL);
	config = good;
	config.used += 2;
	assert_start_fails(test, &config, -EINVAL);
	config = good;
	config.avail += 2; /* enough for this one */
	virtqueue_stop(&test->queue);
	assert_int_equal(virtqueue_start(&test->queue, test->ring.memory, &config), 0);
}

static void test_ring_in_a_misaligned_file(void **state)
{
	struct test *test = *state;
	struct virtqueue_config config = ring_config(&test->ring, 0);
	struct memory_region region = ring_region();

	virtqueue_stop(&test->queue);
	memory_remove_region(test->ring.memory, &region);
	region.mmap_offset = 1;
	region.size -= 1;
	assert_int_equal(memory_add_region(test->ring.memory, &region, dup(test->ring.fd)), 0);
	assert_int_equal(virtqueue_start(&test->queue, test->ring.memory, &config), -EINVAL);
}

static void test_broken_log_is_limited(void **state)
{
	struct test *test = *state;

	for (int i = 0; i < 1000; i++) {
		ring_add(&test->ring, UINT16_MAX);
		assert_int_equal(virtqueue_pop(&test->queue, &test->chain), -EPROTO);
		restart(test, RING_SIZE, 0, 0);
	}
	assert_int_equal(test->queue.limit.total, 1000);
	assert_in_range(test->queue.limit.suppressed, 900, 1000 - LOG_LIMIT_BURST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_PLAIN(name) cmocka_unit_test_setup_teardown(name, setup_plain, teardown)
#define TEST_EVENT(name) cmocka_unit_test_setup_teardown(name, setup_event_idx, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request_comes_and_goes),
		TEST(test_all_are_taken_and_published_at_once),
		TEST(test_index_wraps),
		TEST(test_index_wraps_with_a_full_queue),
		TEST(test_every_size),
		TEST(test_chain_as_long_as_the_queue),
		TEST(test_indirect_table_longer_than_the_queue),
		TEST(test_direct_descriptors_before_a_table),
		TEST(test_table_in_any_order),
		TEST(test_push_after_stop_does_nothing),

		TEST(test_no_interrupt_flag),
		TEST_EVENT(test_used_event),
		TEST_EVENT(test_used_event_inside_a_batch),
		TEST_EVENT(test_used_event_wraps),
		TEST(test_kicks_by_flag),
		TEST_EVENT(test_kicks_by_event),
		TEST(test_call_descriptor_is_optional_and_may_be_full),

		TEST(test_available_index_jumps_past_the_queue_size),
		TEST(test_more_available_than_free_descriptors),
		TEST(test_available_again_before_it_was_used),
		TEST(test_head_outside_of_the_table),
		TEST(test_next_outside_of_the_table),
		TEST(test_next_loops),
		TEST(test_chain_longer_than_the_queue),
		TEST(test_readable_after_writable),
		TEST(test_readable_after_writable_in_a_table),
		TEST(test_zero_length_descriptor),
		TEST(test_chain_longer_than_4_gib),
		TEST(test_indirect_with_next),
		TEST(test_nested_indirect),
		TEST_PLAIN(test_indirect_without_the_feature),
		TEST(test_indirect_length_0),
		TEST(test_indirect_length_not_a_multiple_of_16),
		TEST(test_indirect_length_4_gib),
		TEST(test_direct_and_indirect_longer_than_the_device_takes),
		TEST(test_indirect_out_of_reach),
		TEST(test_next_outside_of_an_indirect_table),
		TEST(test_indirect_table_loops),

		TEST(test_table_changed_while_it_is_read),
		TEST(test_ring_mutated_while_it_is_read),

		TEST(test_queue_sizes_to_refuse),
		TEST(test_ring_addresses_to_refuse),
		TEST(test_ring_in_a_misaligned_file),
		TEST(test_broken_log_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
