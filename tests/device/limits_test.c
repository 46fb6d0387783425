/* SPDX-License-Identifier: MIT */
/* Caps over the real path: requests that wait in the queue, timers that have them taken, fences of
 * virglrenderer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "backend/gpu_throttle.h"
#include "tests/loopback/loopback_stack.h"
#include "tests/loopback/loopback_virgl.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
#define SIZE 256
#define REQUESTS 40

static const float red[4] = { 1, 0, 0, 1 };

static struct loopback_stack *start(bool virgl, struct gpu_limits limits)
{
	const struct loopback_worker_options options = { .virgl = virgl, .limits = limits };

	return loopback_stack_start(&options, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct caps {
	struct gpu_limits limits;
};

static void set_limits(struct loopback_worker *worker, void *data)
{
	const struct caps *caps = data;

	gpu_set_limits(worker->device, &caps->limits);
}

/* A resource of @size on scan-out 0. */
static struct loopback_backing *show(struct loopback_stack *stack, uint32_t size)
{
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, size, size, 0);

	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, size, size), OK);
	return backing;
}

static struct loopback_request *begin_flush(struct loopback_stack *stack)
{
	const struct virtio_gpu_resource_flush command = {
		.hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_FLUSH },
		.resource_id = 1,
		.r = { .width = 16, .height = 16 },
	};

	return loopback_gpu_begin(&stack->gpu, LOOPBACK_GPU_CONTROL, &command, sizeof(command),
	    NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

static void wait_for(struct loopback_stack *stack, struct loopback_request *request)
{
	assert_int_equal(loopback_gpu_wait(&stack->gpu, request), 0);
	assert_int_equal(loopback_request_type(request), OK);
	loopback_gpu_end(&stack->gpu, request);
}

/* Flushes of a guest whose display does not pace it, one after the other and all at once: they take
 * the time that the cap says (more, on a slow machine, which proves nothing). */
static void frames_take_their_time(void **state)
{
	struct loopback_stack *stack = start(false, (struct gpu_limits){ .frame_rate = 100 });
	struct loopback_backing *backing = show(stack, 16);
	struct loopback_request *requests[REQUESTS];
	uint64_t begin = now_ms();

	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, 16, 16), OK);
	assert_true(now_ms() - begin >= (REQUESTS - GPU_THROTTLE_BURST - 1) * 10);
	for (unsigned i = 0; i < REQUESTS; i++)
		requests[i] = begin_flush(stack);
	loopback_gpu_kick(&stack->gpu, LOOPBACK_GPU_CONTROL);
	for (unsigned i = 0; i < REQUESTS; i++)
		wait_for(stack, requests[i]);
	/* 16 at a time, the last batch of which need not wait */
	assert_true(now_ms() - begin >= (2 * REQUESTS - GPU_THROTTLE_BURST - 16) * 10);
	assert_true(loopback_worker_statistics(&stack->worker).throttled_ns > 0);
	assert_int_equal(loopback_worker_statistics(&stack->worker).errors, 0);
	loopback_backing_destroy(backing);
	loopback_stack_stop(stack);
}

/* A cap that is set, and lifted, while requests wait. */
static void caps_change_while_requests_wait(void **state)
{
	struct caps caps = { .limits = GPU_LIMITS_DEFAULT };
	struct loopback_stack *stack = start(false, (struct gpu_limits){ 0 });
	struct loopback_backing *backing = show(stack, 16);
	struct loopback_request *requests[REQUESTS];

	caps.limits.frame_rate = 1; /* most of them would wait for half a minute */
	loopback_worker_call(&stack->worker, set_limits, &caps);
	for (unsigned i = 0; i < REQUESTS; i++)
		requests[i] = begin_flush(stack);
	loopback_gpu_kick(&stack->gpu, LOOPBACK_GPU_CONTROL);
	/* The cursor's queue goes on, and tells that the worker has taken what it may */
	assert_int_equal(loopback_gpu_move_cursor(&stack->gpu, 0, 5, 5), OK);
	caps.limits.frame_rate = 0;
	loopback_worker_call(&stack->worker, set_limits, &caps);
	for (unsigned i = 0; i < REQUESTS; i++)
		wait_for(stack, requests[i]);
	loopback_backing_destroy(backing);
	loopback_stack_stop(stack);
}

/* The guest resets its device, and the front end hangs up, while requests wait: all at once, or the
 * test would time out. */
static void a_reset_does_not_wait(void **state)
{
	struct loopback_stack *stack = start(false, (struct gpu_limits){ .frame_rate = 1 });
	struct loopback_backing *backing = show(stack, 16);
	struct loopback_request *requests[REQUESTS];

	for (unsigned i = 0; i < REQUESTS; i++)
		requests[i] = begin_flush(stack);
	loopback_gpu_kick(&stack->gpu, LOOPBACK_GPU_CONTROL);
	assert_int_equal(loopback_frontend_reset(&stack->frontend), 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		loopback_gpu_end(&stack->gpu, requests[i]);
	/* What was overdrawn is not forgotten: these wait, too */
	for (unsigned i = 0; i < REQUESTS; i++)
		requests[i] = begin_flush(stack);
	loopback_gpu_kick(&stack->gpu, LOOPBACK_GPU_CONTROL);
	for (unsigned i = 0; i < REQUESTS; i++)
		loopback_gpu_end(&stack->gpu, requests[i]);
	loopback_backing_destroy(backing);
	loopback_stack_stop(stack);
}

/* Streams that take a while, with or without fences: no more than @limit at a time, and all in the
 * end. */
static void submit_many(struct gpu_limits limits, bool fenced)
{
	struct loopback_stack *stack = start(true, limits);
	struct loopback_backing *backing = loopback_backing_create(
	    &stack->frontend.memory, (size_t)SIZE * SIZE * 4, LOOPBACK_PAGE);
	const struct virtio_gpu_box whole = { .w = SIZE, .h = SIZE, .d = 1 };
	struct loopback_request *requests[REQUESTS];
	struct loopback_virgl virgl;

	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "test"), OK);
	assert_int_equal(virgl_create_target(&stack->gpu, 1, BGRA, SIZE, SIZE), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, 1, 1), OK);
	assert_int_equal(loopback_gpu_attach_backing(&stack->gpu, 1, backing), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 1, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	for (int i = 0; i < 20; i++)
		virgl_clear(&virgl, red);
	virgl_destroy_object(&virgl, 1);
	for (unsigned i = 0; i < REQUESTS; i++) {
		if (fenced)
			loopback_gpu_fence_next(&stack->gpu, i + 1);
		requests[i] =
		    loopback_gpu_begin_submit_3d(&stack->gpu, 1, virgl.words, virgl.count);
	}
	loopback_gpu_kick(&stack->gpu, LOOPBACK_GPU_CONTROL);
	for (unsigned i = 0; i < REQUESTS; i++)
		wait_for(stack, requests[i]);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	assert_int_equal(loopback_backing_get(backing, 0) & 0xffffff, 0xff0000);
	assert_int_equal(loopback_worker_statistics(&stack->worker).errors, 0);
	if (limits.submissions)
		assert_true(loopback_worker_statistics(&stack->worker).throttled_ns > 0);
	loopback_backing_destroy(backing);
	loopback_stack_stop(stack);
}

static void submissions_wait_for_their_turn(void **state)
{
	submit_many((struct gpu_limits){ .submissions = 1 }, false);
	submit_many((struct gpu_limits){ .submissions = 2 }, true);
	submit_many((struct gpu_limits){ .submissions = 3 }, false);
}

/* How long a software renderer takes is its own business: gpu_throttle_test.c has the figures. */
static void gpu_time_is_shared_out(void **state)
{
	submit_many((struct gpu_limits){ .gpu_time = 1 }, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_take_their_time),
		cmocka_unit_test(caps_change_while_requests_wait),
		cmocka_unit_test(a_reset_does_not_wait),
		cmocka_unit_test(submissions_wait_for_their_turn),
		cmocka_unit_test(gpu_time_is_shared_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
