/* SPDX-License-Identifier: MIT */
/* The device over its life: ways to connect, queues that stop and start, reset at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_stack.h"
#include "tests/loopback/loopback_virgl.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
#define CONTROL LOOPBACK_GPU_CONTROL

static const float red[4] = { 1, 0, 0, 1 }, blue[4] = { 0, 0, 1, 1 };

static int start(void **state)
{
	*state = loopback_stack_start(NULL, NULL);
	return 0;
}

static int start_virgl(void **state)
{
	/* A frame every 100 s: what waits for one waits. */
	const struct loopback_worker_options options = {
		.virgl = true,
		.modes = { { .enabled = true, .width = 64, .height = 64, .refresh = 10 } },
	};

	*state = loopback_stack_start(&options, NULL);
	return 0;
}

static int stop(void **state)
{
	loopback_stack_stop(*state);
	return 0;
}

static void expect_picture(struct loopback_stack *stack, uint32_t colour)
{
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, 64, 64, colour);

	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, 64, 64), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, 64, 64), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, 64, 64);
	for (int i = 0; i < 64 * 64; i++)
		assert_int_equal(pixels[i] & 0xffffff, colour);
	free(pixels);
	assert_int_equal(loopback_gpu_unref(&stack->gpu, 1), OK);
	loopback_backing_destroy(backing);
}

static void expect_nothing_left(struct loopback_stack *stack)
{
	struct gpu_statistics statistics = loopback_worker_statistics(&stack->worker);

	assert_int_equal(statistics.resources, 0);
	assert_int_equal(statistics.contexts, 0);
	assert_int_equal(statistics.host_bytes, 0);
	assert_int_equal(statistics.backing_bytes, 0);
	assert_int_equal(statistics.fences_pending, 0);
}

/* ---------------------------------------------------------------- ways to connect */

static void every_kind_of_ring_works(void **state)
{
	static const struct loopback_options variants[] = {
		{ 0 },
		{ .no_indirect = true },
		{ .no_event_idx = true },
		{ .no_indirect = true, .no_event_idx = true },
		{ .add_regions = true, .regions = 4 },
		{ .regions = 1, .queue_size = 4 },
		{ .queue_size = 1024 },
		{ .inflight = true },
		{ .refuse_features = UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES },
	};

	for (unsigned i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		struct loopback_stack *stack = loopback_stack_start(NULL, &variants[i]);
		for (int round = 0; round < 20; round++)
			expect_picture(stack, 0x102030 + (uint32_t)round);
		expect_nothing_left(stack);
		loopback_stack_stop(stack);
	}
}

static void one_call_serves_a_batch(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_queue *queue = &stack->frontend.queues[CONTROL];
	const struct virtio_gpu_ctrl_hdr command = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
	struct loopback_request *requests[100];

	for (int i = 0; i < 100; i++)
		requests[i] = loopback_gpu_begin(&stack->gpu, CONTROL, &command, sizeof(command),
		    NULL, 0, sizeof(struct virtio_gpu_resp_display_info));
	loopback_gpu_kick(&stack->gpu, CONTROL);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(loopback_gpu_wait(&stack->gpu, requests[i]), 0);
		assert_int_equal(
		    loopback_request_type(requests[i]), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
		assert_int_equal(requests[i]->order, i + 1);
		loopback_gpu_end(&stack->gpu, requests[i]);
	}
	assert_int_equal(queue->kicks, 1);
	assert_true(queue->calls <= 1);
}

static void stopped_queue_goes_on_where_it_was(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_frontend *frontend = &stack->frontend;
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, 32, 32, 0x123123);

	for (int i = 0; i < 10; i++) {
		assert_int_equal(loopback_frontend_stop_queue(frontend, CONTROL), 0);
		assert_int_equal(frontend->base[CONTROL], frontend->queues[CONTROL].avail_index);
		assert_int_equal(loopback_frontend_start_queue(frontend, CONTROL), 0);
		/* The device has kept what it had. */
		assert_int_equal(loopback_gpu_transfer_2d(&stack->gpu, 1, 0, 0, 32, 32, 0), OK);
	}
	loopback_backing_destroy(backing);
}

/* ---------------------------------------------------------------- reset */

static void reset_gives_everything_back(void **state)
{
	struct loopback_stack *stack = *state;

	for (int round = 0; round < 5; round++) {
		struct loopback_backing *backings[8];
		for (uint32_t i = 0; i < 8; i++)
			backings[i] = loopback_stack_picture(stack, 1 + i, BGRX, 64, 64, i);
		assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 3, 0, 0, 64, 64), OK);
		assert_int_equal(loopback_gpu_flush(&stack->gpu, 3, 0, 0, 64, 64), OK);
		assert_int_equal(loopback_worker_statistics(&stack->worker).resources, 8);
		assert_int_equal(loopback_frontend_reset(&stack->frontend), 0);
		expect_nothing_left(stack);
		/* The pages are the guest's again: what is in them no longer matters. */
		for (int i = 0; i < 8; i++)
			loopback_backing_destroy(backings[i]);
		expect_picture(stack, 0xabc000 + (uint32_t)round);
	}
}

enum { REQUESTS = 40 };

static void begin_work(struct loopback_stack *stack, struct loopback_request **requests)
{
	struct loopback_virgl virgl;

	for (int i = 0; i < REQUESTS; i++) {
		virgl_begin(&virgl);
		virgl_create_surface(&virgl, 1, 1, BGRA);
		virgl_set_framebuffer(&virgl, 1);
		for (int n = 0; n < 40; n++)
			virgl_clear(&virgl, n % 2 ? red : blue);
		virgl_destroy_object(&virgl, 1);
		if (i % 2)
			loopback_gpu_fence_next(&stack->gpu, (uint64_t)i);
		else
			loopback_gpu_fence_next_on(&stack->gpu, (uint64_t)i, 0);
		requests[i] =
		    loopback_gpu_begin_submit_3d(&stack->gpu, 1, virgl.words, virgl.count);
	}
	loopback_gpu_kick(&stack->gpu, CONTROL);
}

static void reset_in_mid_command(void **state)
{
	struct loopback_stack *stack = *state;

	for (int round = 0; round < 10; round++) {
		struct loopback_request *requests[REQUESTS];
		assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "busy"), OK);
		assert_int_equal(virgl_create_target(&stack->gpu, 1, BGRA, 512, 512), OK);
		assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, 1, 1), OK);
		struct loopback_backing *backing =
		    loopback_backing_create(&stack->frontend.memory, 512 * 512 * 4, 4096);
		assert_int_equal(loopback_gpu_attach_backing(&stack->gpu, 1, backing), OK);
		begin_work(stack, requests);
		/* Let some of them come back, a different number each time. */
		if (round > 0)
			assert_int_equal(
			    loopback_gpu_wait(&stack->gpu, requests[round * 4 - 1]), 0);
		assert_int_equal(loopback_frontend_reset(&stack->frontend), 0);
		expect_nothing_left(stack);
		for (int i = 0; i < REQUESTS; i++)
			loopback_gpu_end(&stack->gpu, requests[i]);
		loopback_backing_destroy(backing);
	}
}

static void reset_while_a_flush_waits_for_its_frame(void **state)
{
	struct loopback_stack *stack = *state;
	const struct virtio_gpu_resource_flush flush = {
		.hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
		    .flags = VIRTIO_GPU_FLAG_FENCE,
		    .fence_id = 1 },
		.r = { .width = 64, .height = 64 },
		.resource_id = 1,
	};
	struct virtio_gpu_resp_display_info info;
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, 64, 64, 1);

	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, 64, 64), OK);
	struct loopback_request *request = loopback_gpu_begin(&stack->gpu, CONTROL, &flush,
	    sizeof(flush), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
	loopback_gpu_kick(&stack->gpu, CONTROL);
	/* Not fenced, so it overtakes: the flush has been taken, and waits. */
	assert_int_equal(
	    loopback_gpu_get_display_info(&stack->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_false(request->done);
	/* Stopping the queue answers it. */
	assert_int_equal(loopback_frontend_stop_queue(&stack->frontend, CONTROL), 0);
	assert_int_equal(loopback_gpu_wait(&stack->gpu, request), 0);
	assert_int_equal(loopback_request_type(request), OK);
	loopback_gpu_end(&stack->gpu, request);
	assert_int_equal(loopback_frontend_start_queue(&stack->frontend, CONTROL), 0);
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 0, 0, 0, 0, 0), OK);
	assert_int_equal(loopback_frontend_reset(&stack->frontend), 0);
	expect_nothing_left(stack);
	loopback_backing_destroy(backing);
}

/* ---------------------------------------------------------------- nothing leaks */

struct footprint {
	unsigned fds, maps;
	size_t guest_bytes;
};

static struct footprint measure(struct loopback_stack *stack)
{
	return (struct footprint){
		.fds = loopback_process_fds(getpid()),
		.maps = loopback_process_maps(getpid()),
		.guest_bytes = loopback_memory_used(&stack->frontend.memory),
	};
}

static void ten_thousand_resources_leave_nothing(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing =
	    loopback_backing_create(&stack->frontend.memory, 64 * 64 * 4, LOOPBACK_PAGE);
	struct footprint before = { 0 };

	for (int i = 0; i < 10000; i++) {
		if (i == 100) /* allocators and caches have warmed up */
			before = measure(stack);
		assert_int_equal(loopback_gpu_create_2d(&stack->gpu, 1, BGRX, 64, 64), OK);
		assert_int_equal(loopback_gpu_attach_backing(&stack->gpu, 1, backing), OK);
		if (i % 100 == 0)
			assert_int_equal(
			    loopback_gpu_transfer_2d(&stack->gpu, 1, 0, 0, 64, 64, 0), OK);
		if (i % 2)
			assert_int_equal(loopback_gpu_detach_backing(&stack->gpu, 1), OK);
		assert_int_equal(loopback_gpu_unref(&stack->gpu, 1), OK);
	}
	struct footprint after = measure(stack);
	assert_int_equal(after.fds, before.fds);
	assert_int_equal(after.guest_bytes, before.guest_bytes);
	/* Both sides are this process; a sanitizer's own maps come and go. */
	assert_in_range(after.maps, 0, before.maps + 16);
	expect_nothing_left(stack);
	loopback_backing_destroy(backing);
}

static void contexts_leave_nothing(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing =
	    loopback_backing_create(&stack->frontend.memory, 64 * 64 * 4, LOOPBACK_PAGE);
	struct footprint before = { 0 };

	for (int i = 0; i < 60; i++) {
		if (i == 20)
			before = measure(stack);
		assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "again"), OK);
		assert_int_equal(virgl_create_target(&stack->gpu, 1, BGRA, 64, 64), OK);
		assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, 1, 1), OK);
		assert_int_equal(loopback_gpu_attach_backing(&stack->gpu, 1, backing), OK);
		struct loopback_virgl virgl;
		virgl_begin(&virgl);
		virgl_create_surface(&virgl, 1, 1, BGRA);
		virgl_set_framebuffer(&virgl, 1);
		virgl_clear(&virgl, red);
		assert_int_equal(virgl_submit(&stack->gpu, 1, &virgl), OK);
		if (i % 2)
			assert_int_equal(loopback_gpu_unref(&stack->gpu, 1), OK);
		assert_int_equal(loopback_gpu_ctx_destroy(&stack->gpu, 1), OK);
		if (i % 2 == 0)
			assert_int_equal(loopback_gpu_unref(&stack->gpu, 1), OK);
	}
	struct footprint after = measure(stack);
	assert_int_equal(after.fds, before.fds);
	assert_int_equal(after.guest_bytes, before.guest_bytes);
	assert_in_range(after.maps, 0, before.maps + 32);
	expect_nothing_left(stack);
	loopback_backing_destroy(backing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_ring_works),
		cmocka_unit_test_setup_teardown(one_call_serves_a_batch, start, stop),
		cmocka_unit_test_setup_teardown(stopped_queue_goes_on_where_it_was, start, stop),
		cmocka_unit_test_setup_teardown(reset_gives_everything_back, start, stop),
		cmocka_unit_test_setup_teardown(reset_in_mid_command, start_virgl, stop),
		cmocka_unit_test_setup_teardown(
		    reset_while_a_flush_waits_for_its_frame, start_virgl, stop),
		cmocka_unit_test_setup_teardown(ten_thousand_resources_leave_nothing, start, stop),
		cmocka_unit_test_setup_teardown(contexts_leave_nothing, start_virgl, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
