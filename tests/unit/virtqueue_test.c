/* SPDX-License-Identifier: MIT */
/* Split virtqueues: taking, returning, calling, starting. */
#include "tests/unit/virtqueue_fixture.h"

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
	struct virtqueue_config good = ring_config(&test->ring, 0), config = good;
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

		TEST(test_queue_sizes_to_refuse),
		TEST(test_ring_addresses_to_refuse),
		TEST(test_ring_in_a_misaligned_file),
		TEST(test_broken_log_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
