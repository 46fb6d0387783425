/* SPDX-License-Identifier: MIT */
/* Split virtqueues: every ring that a backend must survive. */
#include <pthread.h>

#include "tests/unit/virtqueue_fixture.h"

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

/* The driver makes heads available again of which it cannot know yet that they are used: else it
 * could keep a batch going for ever. */
static void test_available_again_before_it_was_published(void **state)
{
	struct test *test = *state;

	for (uint16_t i = 0; i < RING_SIZE; i++) {
		ring_desc(&test->ring.desc[i], RING_BUFFER, 1, 0, 0);
		ring_add(&test->ring, i);
		assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
		virtqueue_push(&test->queue, i, 0);
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

	/* A longer table before leaves something behind that would do. */
	fill_table(&test->ring, 3);
	add_table(&test->ring, 3);
	assert_int_equal(virtqueue_pop(&test->queue, &test->chain), 1);
	virtqueue_push(&test->queue, 0, 0);
	virtqueue_publish(&test->queue);
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
	struct scribbling_memory memory = {
		.memory = { .impl = &impl },
		.real = test->ring.memory,
		.ring = &test->ring,
	};
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
	bool stopping;
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

	for (unsigned i = 0; !__atomic_load_n(&mutator->stopping, __ATOMIC_RELAXED); i++) {
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
	__atomic_store_n(&mutator.stopping, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(taken + rejected, 20000);
	restart(test, RING_SIZE, 0, INDIRECT);
	assert_works(test);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_available_index_jumps_past_the_queue_size),
		TEST(test_more_available_than_free_descriptors),
		TEST(test_available_again_before_it_was_used),
		TEST(test_available_again_before_it_was_published),
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
