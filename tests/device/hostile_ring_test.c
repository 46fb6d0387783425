/* SPDX-License-Identifier: MIT */
/*
 * Rings that break the rules of virtio 1.2, 2.7, in real shared memory: the queue is declared
 * broken (its error eventfd, DEVICE_NEEDS_RESET), and after a reset the device works.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/loopback/loopback_stack.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define SIZE 64 /* of the queue */

struct ring {
	struct loopback_stack *stack;
	struct loopback_queue *queue;
	/* A valid GET_DISPLAY_INFO, and where its answer goes */
	struct virtio_gpu_ctrl_hdr *command;
	struct virtio_gpu_resp_display_info *response;
	uint64_t in, out;
	struct vring_desc *table; /* a page for indirect descriptors */
	uint64_t table_address;
};

static int start(void **state)
{
	const struct loopback_options options = { .queue_size = SIZE };
	struct ring *ring = calloc(1, sizeof(*ring));
	struct loopback_memory *memory;

	ring->stack = loopback_stack_start(NULL, &options);
	memory = &ring->stack->frontend.memory;
	ring->queue = &ring->stack->frontend.queues[LOOPBACK_GPU_CONTROL];
	ring->command = loopback_alloc(memory, sizeof(*ring->command));
	ring->command->type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO;
	ring->response = loopback_alloc(memory, sizeof(*ring->response));
	ring->in = loopback_address(memory, ring->command);
	ring->out = loopback_address(memory, ring->response);
	ring->table = loopback_alloc(memory, LOOPBACK_PAGE);
	ring->table_address = loopback_address(memory, ring->table);
	*state = ring;
	return 0;
}

static int finish(void **state)
{
	struct ring *ring = *state;

	loopback_stack_stop(ring->stack);
	free(ring);
	return 0;
}

static struct vring_desc readable(const struct ring *ring, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){ ring->in, sizeof(*ring->command), flags, next };
}

static struct vring_desc writable(const struct ring *ring, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){ ring->out, sizeof(*ring->response), WRITE | flags, next };
}

static void submit_head(struct ring *ring, uint16_t head)
{
	loopback_queue_add_head(ring->queue, head);
	loopback_queue_kick_always(ring->queue);
}

static void expect_needs_reset(struct ring *ring)
{
	struct loopback_frontend *frontend = &ring->stack->frontend;
	struct vhost_user_message reply;
	struct virtio_gpu_resp_display_info info;

	assert_int_equal(loopback_frontend_wait_broken(frontend, LOOPBACK_GPU_CONTROL), 0);
	assert_int_equal(
	    loopback_frontend_request(frontend, VHOST_USER_GET_STATUS, NULL, 0, -1, &reply), 0);
	assert_true(reply.payload.u64 & VIRTIO_CONFIG_S_NEEDS_RESET);
	/* The cursor queue of the same device goes on. */
	assert_int_equal(loopback_gpu_move_cursor(&ring->stack->gpu, 0, 1, 1), OK);
	assert_int_equal(loopback_frontend_reset(frontend), 0);
	assert_int_equal(
	    loopback_frontend_request(frontend, VHOST_USER_GET_STATUS, NULL, 0, -1, &reply), 0);
	assert_false(reply.payload.u64 & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(loopback_gpu_get_display_info(&ring->stack->gpu, &info),
	    VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

/* ---------------------------------------------------------------- the available ring */

static void avail_index_jumps_past_the_size(void **state)
{
	struct ring *ring = *state;

	ring->queue->desc[0] = readable(ring, NEXT, 1);
	ring->queue->desc[1] = writable(ring, 0, 0);
	__atomic_store_n(&ring->queue->avail->idx, SIZE + 1, __ATOMIC_RELEASE);
	loopback_queue_kick_always(ring->queue);
	expect_needs_reset(ring);
}

static void avail_index_falls(void **state)
{
	struct ring *ring = *state;

	__atomic_store_n(&ring->queue->avail->idx, UINT16_MAX, __ATOMIC_RELEASE);
	loopback_queue_kick_always(ring->queue);
	expect_needs_reset(ring);
}

static void index_wraps(void **state)
{
	struct ring *ring = *state;
	struct loopback_frontend *frontend = &ring->stack->frontend;
	struct loopback_queue *queue = ring->queue;
	struct virtio_gpu_resp_display_info info;

	/* A ring that was in use for a while, as after a migration */
	assert_int_equal(loopback_frontend_stop_queue(frontend, LOOPBACK_GPU_CONTROL), 0);
	queue->avail_index = queue->kicked = queue->last_used = UINT16_MAX - 5;
	queue->avail->idx = queue->used->idx = UINT16_MAX - 5;
	frontend->base[LOOPBACK_GPU_CONTROL] = UINT16_MAX - 5;
	assert_int_equal(loopback_frontend_start_queue(frontend, LOOPBACK_GPU_CONTROL), 0);
	for (int i = 0; i < 3 * SIZE; i++)
		assert_int_equal(loopback_gpu_get_display_info(&ring->stack->gpu, &info),
		    VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_true(queue->used->idx < 3 * SIZE);
}

static void head_is_outside_of_the_table(void **state)
{
	submit_head(*state, SIZE);
	expect_needs_reset(*state);
	submit_head(*state, UINT16_MAX);
	expect_needs_reset(*state);
}

/* ---------------------------------------------------------------- descriptors */

static void next_is_outside_of_the_table(void **state)
{
	struct ring *ring = *state;

	ring->queue->desc[0] = readable(ring, NEXT, SIZE);
	submit_head(ring, 0);
	expect_needs_reset(ring);
}

static void next_loops(void **state)
{
	struct ring *ring = *state;

	ring->queue->desc[0] = readable(ring, NEXT, 0);
	submit_head(ring, 0);
	expect_needs_reset(ring);
	ring->queue->desc[3] = readable(ring, NEXT, 4);
	ring->queue->desc[4] = readable(ring, NEXT, 5);
	ring->queue->desc[5] = writable(ring, NEXT, 5);
	submit_head(ring, 3);
	expect_needs_reset(ring);
}

static void chain_is_longer_than_the_queue(void **state)
{
	struct ring *ring = *state;

	for (uint16_t i = 0; i < SIZE; i++)
		ring->queue->desc[i] = readable(ring, NEXT, (uint16_t)((i + 1) % SIZE));
	submit_head(ring, 7);
	expect_needs_reset(ring);
}

static void readable_follows_writable(void **state)
{
	struct ring *ring = *state;

	ring->queue->desc[0] = writable(ring, NEXT, 1);
	ring->queue->desc[1] = readable(ring, 0, 0);
	submit_head(ring, 0);
	expect_needs_reset(ring);
}

static void descriptor_has_length_0(void **state)
{
	struct ring *ring = *state;

	ring->queue->desc[0] = readable(ring, NEXT, 1);
	ring->queue->desc[0].len = 0;
	ring->queue->desc[1] = writable(ring, 0, 0);
	submit_head(ring, 0);
	expect_needs_reset(ring);
}

static void same_head_twice(void **state)
{
	struct ring *ring = *state;
	uint16_t first = ring->queue->avail_index;

	ring->queue->desc[0] = readable(ring, NEXT, 1);
	ring->queue->desc[1] = writable(ring, 0, 0);
	/* Both at once: the first is answered, in the order of the ring, and the second is then
	 * a new request, or one too many. */
	ring->queue->avail->ring[first % SIZE] = 0;
	ring->queue->avail->ring[(first + 1) % SIZE] = 0;
	__atomic_store_n(&ring->queue->avail->idx, (uint16_t)(first + 2), __ATOMIC_RELEASE);
	loopback_queue_kick_always(ring->queue);
	assert_int_equal(
	    loopback_frontend_stop_queue(&ring->stack->frontend, LOOPBACK_GPU_CONTROL), 0);
	assert_int_equal(loopback_frontend_reset(&ring->stack->frontend), 0);
	struct virtio_gpu_resp_display_info info;
	assert_int_equal(loopback_gpu_get_display_info(&ring->stack->gpu, &info),
	    VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

/* ---------------------------------------------------------------- indirect tables */

static void submit_table(struct ring *ring, uint32_t length, uint16_t flags)
{
	ring->queue->desc[0] =
	    (struct vring_desc){ ring->table_address, length, INDIRECT | flags, 0 };
	submit_head(ring, 0);
}

static void fill_valid_table(struct ring *ring)
{
	ring->table[0] = readable(ring, NEXT, 1);
	ring->table[1] = writable(ring, 0, 0);
}

static void indirect_with_next(void **state)
{
	fill_valid_table(*state);
	submit_table(*state, 32, NEXT);
	expect_needs_reset(*state);
}

static void nested_indirect(void **state)
{
	struct ring *ring = *state;

	ring->table[0] = (struct vring_desc){ ring->table_address, 32, INDIRECT, 0 };
	submit_table(ring, 32, 0);
	expect_needs_reset(ring);
}

static void indirect_length_is_wrong(void **state)
{
	static const uint32_t lengths[] = { 0, 15, 17, 33, UINT32_MAX, UINT32_MAX & ~15u };

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		fill_valid_table(*state);
		submit_table(*state, lengths[i], 0);
		expect_needs_reset(*state);
	}
}

static void indirect_next_is_wrong(void **state)
{
	struct ring *ring = *state;

	ring->table[0] = readable(ring, NEXT, 2);
	submit_table(ring, 32, 0);
	expect_needs_reset(ring);
	ring->table[0] = readable(ring, NEXT, 1);
	ring->table[1] = readable(ring, NEXT, 0);
	submit_table(ring, 32, 0);
	expect_needs_reset(ring);
}

static void indirect_table_is_out_of_memory(void **state)
{
	struct ring *ring = *state;
	static const uint64_t addresses[] = { 0, 1, UINT64_MAX - 15, UINT64_C(1) << 63 };

	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		ring->queue->desc[0] = (struct vring_desc){ addresses[i], 32, INDIRECT, 0 };
		submit_head(ring, 0);
		expect_needs_reset(ring);
	}
}

/* ---------------------------------------------------------------- buffers out of reach */

static void buffers_out_of_memory_fail_their_request_alone(void **state)
{
	struct ring *ring = *state;
	struct loopback_frontend *frontend = &ring->stack->frontend;
	const struct memory_region *last =
	    &frontend->memory.regions[frontend->memory.region_count - 1];
	const uint64_t end = last->guest_address + last->size;
	const struct memory_piece good_in = { ring->in, sizeof(*ring->command) };
	const struct memory_piece good_out = { ring->out, sizeof(*ring->response) };
	const struct memory_piece bad[] = {
		{ 0, sizeof(*ring->response) },
		{ end, sizeof(*ring->response) },
		{ end - 8, sizeof(*ring->response) },
		{ UINT64_MAX - 8, sizeof(*ring->response) },
		{ UINT64_C(1) << 63 | 4096, sizeof(*ring->response) },
	};
	struct virtio_gpu_resp_display_info info;
	uint16_t head;
	uint32_t written;
	void *data;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct virtio_gpu_ctrl_hdr *header = &ring->response->hdr;
		/* A command that can't be read is answered so; it has not 24 readable bytes. */
		loopback_queue_add(ring->queue, &bad[i], 1, &good_out, 1, NULL);
		loopback_queue_kick(ring->queue);
		assert_int_equal(
		    loopback_frontend_wait(frontend, LOOPBACK_GPU_CONTROL, &head, &written, &data),
		    0);
		assert_int_equal(written, sizeof(*header));
		assert_int_equal(header->type, VIRTIO_GPU_RESP_ERR_UNSPEC);
		/* An answer that can't be written is returned empty. */
		loopback_queue_add(ring->queue, &good_in, 1, &bad[i], 1, NULL);
		loopback_queue_kick(ring->queue);
		assert_int_equal(
		    loopback_frontend_wait(frontend, LOOPBACK_GPU_CONTROL, &head, &written, &data),
		    0);
		assert_int_equal(written, 0);
	}
	assert_int_equal(loopback_gpu_get_display_info(&ring->stack->gpu, &info),
	    VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

static void storm_of_kicks(void **state)
{
	struct ring *ring = *state;
	struct virtio_gpu_resp_display_info info;

	for (int i = 0; i < 10000; i++)
		loopback_queue_kick_always(ring->queue);
	assert_int_equal(loopback_gpu_get_display_info(&ring->stack->gpu, &info),
	    VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

/* ---------------------------------------------------------------- rings */

static void ring_addresses_are_wrong(void **state)
{
	struct ring *ring = *state;
	struct loopback_frontend *frontend = &ring->stack->frontend;
	struct loopback_queue *queue = ring->queue;
	const struct loopback_queue good = {
		.desc = queue->desc, .avail = queue->avail, .used = queue->used
	};
	uint8_t *const last = frontend->memory.bytes + frontend->memory.size - 16;
	void *const bad[] = {
		NULL, last,                 /* ends behind the memory */
		(uint8_t *)queue->desc + 1, /* not aligned */
		(void *)~(uintptr_t)15,     /* NOLINT(performance-no-int-to-ptr) */
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (unsigned which = 0; which < 3; which++) {
			assert_int_equal(
			    loopback_frontend_stop_queue(frontend, LOOPBACK_GPU_CONTROL), 0);
			struct loopback_queue wrong = good;
			if (which == 0)
				wrong.desc = bad[i];
			else if (which == 1)
				wrong.avail = bad[i];
			else
				wrong.used = bad[i];
			queue->desc = wrong.desc;
			queue->avail = wrong.avail;
			queue->used = wrong.used;
			int ret = loopback_frontend_start_queue(frontend, LOOPBACK_GPU_CONTROL);
			queue->desc = good.desc;
			queue->avail = good.avail;
			queue->used = good.used;
			assert_int_equal(ret, -EIO); /* refused, and the connection lives */
			expect_needs_reset(ring);
		}
	}
}

static void queue_size_is_wrong(void **state)
{
	struct ring *ring = *state;
	struct loopback_frontend *frontend = &ring->stack->frontend;
	static const uint16_t sizes[] = { 0, 3, 65, 2048, 32768, 65535 };

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(loopback_frontend_stop_queue(frontend, LOOPBACK_GPU_CONTROL), 0);
		ring->queue->size = sizes[i];
		int ret = loopback_frontend_start_queue(frontend, LOOPBACK_GPU_CONTROL);
		ring->queue->size = SIZE;
		assert_int_equal(ret, -EIO);
		expect_needs_reset(ring);
	}
}

/* ---------------------------------------------------------------- races */

struct scribbler {
	struct ring *ring;
	atomic_bool stopping;
};

static void *scribble(void *data)
{
	struct scribbler *scribbler = data;
	struct ring *ring = scribbler->ring;
	volatile struct vring_desc *table = ring->table;
	uint32_t random = 1;

	while (!scribbler->stopping) {
		random = random * 1664525 + 1013904223;
		volatile struct vring_desc *desc = &table[random >> 30];
		switch (random >> 16 & 7) {
		case 0:
			desc->len = random;
			break;
		case 1:
			desc->next = (uint16_t)random;
			break;
		case 2:
			desc->flags = (uint16_t)(random & 7);
			break;
		case 3:
			desc->addr = random;
			break;
		default: /* mostly valid */
			desc->addr = random >> 30 & 1 ? ring->out : ring->in;
			desc->len = 64;
			desc->flags = random >> 30 & 1 ? WRITE : NEXT;
			desc->next = 1;
		}
		((volatile struct virtio_gpu_ctrl_hdr *)ring->command)->type =
		    VIRTIO_GPU_CMD_GET_DISPLAY_INFO + (random >> 20 & 15);
	}
	return NULL;
}

static void wait_for_answer_or_break(const struct loopback_queue *queue)
{
	struct pollfd fds[2] = {
		{ .fd = queue->call_fd, .events = POLLIN },
		{ .fd = queue->error_fd, .events = POLLIN },
	};

	assert_true(poll(fds, 2, LOOPBACK_TIMEOUT_MS) > 0);
}

static void table_changes_while_it_is_read(void **state)
{
	struct ring *ring = *state;
	struct loopback_frontend *frontend = &ring->stack->frontend;
	struct scribbler scribbler = { .ring = ring };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, scribble, &scribbler), 0);
	for (int i = 0; i < 2000; i++) {
		ring->queue->desc[0] = (struct vring_desc){ ring->table_address, 64, INDIRECT, 0 };
		loopback_queue_enable_calls(ring->queue);
		submit_head(ring, 0);
		wait_for_answer_or_break(ring->queue);
		assert_int_equal(loopback_frontend_stop_queue(frontend, LOOPBACK_GPU_CONTROL), 0);
		assert_int_equal(loopback_frontend_reset(frontend), 0);
	}
	scribbler.stopping = true;
	pthread_join(thread, NULL);
	struct virtio_gpu_resp_display_info info;
	assert_int_equal(loopback_gpu_get_display_info(&ring->stack->gpu, &info),
	    VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(avail_index_jumps_past_the_size),
		TEST(avail_index_falls),
		TEST(index_wraps),
		TEST(head_is_outside_of_the_table),
		TEST(next_is_outside_of_the_table),
		TEST(next_loops),
		TEST(chain_is_longer_than_the_queue),
		TEST(readable_follows_writable),
		TEST(descriptor_has_length_0),
		TEST(same_head_twice),
		TEST(indirect_with_next),
		TEST(nested_indirect),
		TEST(indirect_length_is_wrong),
		TEST(indirect_next_is_wrong),
		TEST(indirect_table_is_out_of_memory),
		TEST(buffers_out_of_memory_fail_their_request_alone),
		TEST(storm_of_kicks),
		TEST(ring_addresses_are_wrong),
		TEST(queue_size_is_wrong),
		TEST(table_changes_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
