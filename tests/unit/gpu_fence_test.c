/* SPDX-License-Identifier: MIT */
/* virtio-gpu: fences on their timelines, and answers that wait for frames to be shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/gpu_rig.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define NO_MEMORY VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
#define BAD_CONTEXT VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define XRGB VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

/* Contexts 1 and 2; resource 1 of 64 x 32 on scan-out 0 */
static int setup(void **state)
{
	struct rig *rig = rig_create();

	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_ctx_create(rig, 2, 0), OK);
	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	return 0;
}

/* A SUBMIT_3D of @size bytes with a fence, on the global timeline or on a ring. */
#define NO_RING 255
static struct rig_request *submit(
    struct rig *rig, uint32_t ctx_id, uint32_t size, uint64_t fence_id, uint8_t ring)
{
	struct rig_submit command = rig_submit_command(ctx_id, size);

	command.command.hdr.flags = VIRTIO_GPU_FLAG_FENCE;
	command.command.hdr.fence_id = fence_id;
	if (ring != NO_RING) {
		command.command.hdr.flags |= VIRTIO_GPU_FLAG_INFO_RING_IDX;
		command.command.hdr.ring_idx = ring;
	}
	return rig_send(rig, RIG_CONTROL, &command, sizeof(command));
}

/* A RESOURCE_FLUSH of all of resource @id, with a fence unless @fence_id is 0. */
static struct rig_request *flush(struct rig *rig, uint32_t id, uint64_t fence_id)
{
	struct virtio_gpu_resource_flush command = rig_flush_command(id, 0, 0, 64, 32);

	if (fence_id) {
		command.hdr.flags = VIRTIO_GPU_FLAG_FENCE;
		command.hdr.fence_id = fence_id;
	}
	return rig_send(rig, RIG_CONTROL, &command, sizeof(command));
}

static const struct virtio_gpu_ctrl_hdr *answer(const struct rig_request *request)
{
	return (const void *)request->response;
}

/* ---------------------------------------------------------------- one timeline */

static void test_fence_is_echoed(void **state)
{
	struct rig *rig = *state;
	struct rig_request *request;

	request = submit(rig, 1, 8, UINT64_C(0x123456789abcdef0), NO_RING);
	assert_int_equal(rig_type(rig, request), RIG_HELD);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, request), OK);
	assert_int_equal(request->written, sizeof(struct virtio_gpu_ctrl_hdr));
	assert_int_equal(answer(request)->flags, VIRTIO_GPU_FLAG_FENCE);
	assert_int_equal(answer(request)->fence_id, UINT64_C(0x123456789abcdef0));
	assert_int_equal(answer(request)->ctx_id, 1);

	request = submit(rig, 2, 8, 9, 63);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, request), OK);
	assert_int_equal(
	    answer(request)->flags, VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
	assert_int_equal(answer(request)->ring_idx, 63);
	assert_int_equal(answer(request)->ctx_id, 2);
	assert_int_equal(answer(request)->fence_id, 9);

	/* Not fenced: nothing is echoed */
	assert_int_equal(rig_submit(rig, 1, 8), OK);
	assert_int_equal(((struct virtio_gpu_ctrl_hdr *)rig->response)->flags, 0);
	assert_int_equal(((struct virtio_gpu_ctrl_hdr *)rig->response)->ctx_id, 0);
}

static void test_empty_fenced_submit_waits_for_nothing(void **state)
{
	struct rig *rig = *state;
	struct rig_request *request = submit(rig, 1, 0, 1, NO_RING);

	assert_int_equal(rig_type(rig, request), OK);
	assert_int_equal(rig->renderer.fences_made, 0);
	assert_int_equal(rig->renderer.submits, 0);
}

static void test_empty_fenced_submit_waits_for_work_before_it(void **state)
{
	struct rig *rig = *state;
	struct rig_request *request;

	assert_int_equal(rig_submit(rig, 1, 8), OK); /* not fenced */
	request = submit(rig, 2, 0, 1, NO_RING);     /* of another context: same timeline */
	assert_int_equal(rig_type(rig, request), RIG_HELD);
	assert_int_equal(rig->renderer.fence_count, 1);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, request), OK);
	/* and that work is over now */
	assert_int_equal(rig_type(rig, submit(rig, 2, 0, 2, NO_RING)), OK);
	assert_int_equal(rig->renderer.fences_made, 1);
}

static void test_answers_keep_the_order_of_submission(void **state)
{
	struct rig *rig = *state;
	struct rig_request *requests[6];
	unsigned order = 0;

	requests[0] = submit(rig, 1, 8, 1, NO_RING);
	requests[1] = submit(rig, 1, 0, 2, NO_RING); /* stands on the first one's fence */
	requests[2] = submit(rig, 2, 8, 3, NO_RING);
	requests[3] = submit(rig, 9, 8, 4, NO_RING); /* an error: no such context */
	requests[4] = flush(rig, 1, 5);
	requests[5] = submit(rig, 1, 8, 6, NO_RING);
	assert_int_equal(rig->renderer.fence_count, 3);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(rig_type(rig, requests[i]), RIG_HELD);
	assert_int_equal(rig_statistics(rig).fences_pending, 6);

	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, requests[0]), OK);
	assert_int_equal(rig_type(rig, requests[1]), OK);
	assert_int_equal(rig_type(rig, requests[2]), RIG_HELD);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, requests[2]), OK);
	assert_int_equal(rig_type(rig, requests[3]), BAD_CONTEXT);
	assert_int_equal(answer(requests[3])->fence_id, 4);
	assert_int_equal(rig_type(rig, requests[4]), OK);
	assert_int_equal(rig_type(rig, requests[5]), RIG_HELD);
	fake_retire(&rig->renderer, 1);
	rig_poll(rig);
	for (unsigned i = 0; i < 6; i++) {
		assert_true(requests[i]->order > order);
		order = requests[i]->order;
	}
	assert_int_equal(rig_statistics(rig).fences_pending, 0);
	assert_int_equal(rig_statistics(rig).fences, 6);
}

static void test_one_retired_fence_answers_all_before_it(void **state)
{
	struct rig *rig = *state;
	struct rig_request *requests[4];
	struct fake_fence last;
	uint64_t calls;

	for (unsigned i = 0; i < 4; i++)
		requests[i] = submit(rig, 1, 8, i + 1, NO_RING);
	loopback_queue_enable_calls(&rig->queues[RIG_CONTROL]);
	calls = rig->virtqueues[RIG_CONTROL].calls;
	last = rig->renderer.fences[3];
	rig->renderer.fence_count = 0;
	rig->renderer.base.listener.fence_retired(
	    rig->renderer.base.listener.data, &last.timeline, last.fence);
	/* published together */
	assert_int_equal(rig->virtqueues[RIG_CONTROL].calls - calls, 1);
	rig_poll(rig);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig_type(rig, requests[i]), OK);
}

static void test_fence_ids_that_fall(void **state)
{
	struct rig *rig = *state;
	static const uint64_t ids[] = { 1000, 5, 5, 0, UINT64_MAX, 1 };
	struct rig_request *requests[6];

	for (unsigned i = 0; i < 6; i++)
		requests[i] = submit(rig, 1, 8, ids[i], NO_RING);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(rig_type(rig, requests[i]), RIG_HELD);
		fake_retire(&rig->renderer, 1);
		assert_int_equal(rig_type(rig, requests[i]), OK);
		assert_int_equal(answer(requests[i])->fence_id, ids[i]);
	}
}

static void test_renderer_that_is_done_at_once(void **state)
{
	struct rig *rig = *state;

	rig->renderer.fence_result = 1;
	assert_int_equal(rig_type(rig, submit(rig, 1, 8, 1, NO_RING)), OK);
	assert_int_equal(rig->renderer.fences_made, 1);
	assert_int_equal(rig_type(rig, submit(rig, 1, 0, 2, NO_RING)), OK);
	assert_int_equal(rig->renderer.fences_made, 1);
}

static void test_renderer_that_makes_no_fence(void **state)
{
	struct rig *rig = *state;

	rig->renderer.fence_result = -ENOMEM;
	assert_int_equal(rig_type(rig, submit(rig, 1, 8, 1, NO_RING)), NO_MEMORY);
	rig->renderer.fence_result = 0;
	assert_true(rig_works(rig));
}

static void test_fence_retired_unknown(void **state)
{
	struct rig *rig = *state;
	struct rig_request *request = submit(rig, 1, 8, 1, NO_RING);
	struct renderer_timeline timeline = { .ctx_id = 1, .ring_idx = 5 };
	void *data = rig->renderer.base.listener.data;

	rig->renderer.base.listener.fence_retired(data, &timeline, 1000);
	timeline.ctx_id = 77;
	rig->renderer.base.listener.fence_retired(data, &timeline, 1000);
	timeline.ctx_id = 1;
	timeline.ring_idx = 200;
	rig->renderer.base.listener.fence_retired(data, &timeline, 1000);
	assert_int_equal(rig_type(rig, request), RIG_HELD);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, request), OK);
}

/* ---------------------------------------------------------------- many timelines */

static void test_timelines_do_not_wait_for_each_other(void **state)
{
	struct rig *rig = *state;
	struct rig_request *global = submit(rig, 1, 8, 1, NO_RING);
	struct rig_request *ring_0 = submit(rig, 1, 8, 2, 0), *ring_1 = submit(rig, 1, 8, 3, 1);
	struct rig_request *other = submit(rig, 2, 8, 4, 0);

	assert_int_equal(rig->renderer.fence_count, 4);
	assert_true(rig->renderer.fences[0].timeline.global);
	assert_int_equal(rig->renderer.fences[1].timeline.ctx_id, 1);
	assert_int_equal(rig->renderer.fences[2].timeline.ring_idx, 1);
	assert_int_equal(rig->renderer.fences[3].timeline.ctx_id, 2);
	/* An endless shader on the global one: the others go on */
	rig->renderer.fences[0] = rig->renderer.fences[3];
	rig->renderer.fence_count = 3;
	fake_retire(&rig->renderer, 3);
	assert_int_equal(rig_type(rig, ring_0), OK);
	assert_int_equal(rig_type(rig, ring_1), OK);
	assert_int_equal(rig_type(rig, other), OK);
	assert_int_equal(rig_type(rig, global), RIG_HELD);
	/* and a context that has done nothing since waits for nothing */
	assert_int_equal(rig_type(rig, submit(rig, 2, 0, 5, 0)), OK);
	rig->device->impl->drain_queue(rig->device, RIG_CONTROL);
	assert_int_equal(rig_type(rig, global), OK);
}

static void test_ring_idx_64(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_type(rig, submit(rig, 1, 8, 1, 64)), BAD_PARAMETER);
	assert_int_equal(rig_type(rig, submit(rig, 1, 8, 1, 200)), BAD_PARAMETER);
	assert_int_equal(rig->renderer.submits, 0);
	assert_int_equal(rig_type(rig, submit(rig, 3, 8, 1, 0)), BAD_CONTEXT);
	rig->renderer.fence_result = 1;
	assert_int_equal(rig_type(rig, submit(rig, 1, 8, 1, 63)), OK);
	assert_true(rig_works(rig));
}

static void test_ring_idx_without_context_init(void **state)
{
	struct rig *rig = *state;
	uint64_t features = rig->device->impl->get_features(rig->device);
	struct rig_request *request;

	rig->device->impl->set_features(
	    rig->device, features & ~(UINT64_C(1) << VIRTIO_GPU_F_CONTEXT_INIT));
	request = submit(rig, 1, 8, 1, 200);
	assert_true(rig->renderer.fences[0].timeline.global);
	fake_retire(&rig->renderer, 1);
	rig_poll(rig);
	assert_int_equal(answer(request)->flags, VIRTIO_GPU_FLAG_FENCE);
	assert_int_equal(rig_type(rig, request), OK);
}

static void test_context_destroyed_with_fences(void **state)
{
	struct rig *rig = *state;
	struct rig_request *ring = submit(rig, 1, 8, 1, 0), *again;
	struct fake_fence old = rig->renderer.fences[0];

	rig->renderer.fence_count = 0;
	assert_int_equal(rig_ctx_destroy(rig, 1), OK);
	assert_int_equal(rig_type(rig, ring), OK); /* it is over */
	/* A late word of it is not taken for one of its successor's */
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	again = submit(rig, 1, 8, 1, 0);
	rig->renderer.base.listener.fence_retired(
	    rig->renderer.base.listener.data, &old.timeline, old.fence);
	assert_int_equal(rig_type(rig, again), RIG_HELD);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, again), OK);
}

static void test_context_destroyed_by_a_request_on_its_own_ring(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_ctx_destroy command = {
		.hdr = { .type = VIRTIO_GPU_CMD_CTX_DESTROY,
		    .ctx_id = 1,
		    .flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX,
		    .fence_id = 8,
		    .ring_idx = 3 },
	};

	assert_int_equal(rig_command(rig, command), OK);
	assert_int_equal(((struct virtio_gpu_ctrl_hdr *)rig->response)->fence_id, 8);
	assert_int_equal(rig_statistics(rig).contexts, 1);
}

/* ---------------------------------------------------------------- quota, drain, reset */

static void test_million_fences(void **state)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct rig_request *held[10], *over;
	struct rig *rig;

	limits.fences = 10;
	rig = rig_create_with(&limits, true, 1);
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	for (unsigned i = 0; i < 10; i++)
		held[i] = submit(rig, 1, 8, i, NO_RING);
	over = submit(rig, 1, 8, 10, NO_RING);
	assert_int_equal(rig_type(rig, over), NO_MEMORY);
	assert_int_equal(answer(over)->fence_id, 10);
	assert_int_equal(rig->renderer.submits, 10);
	assert_int_equal(rig_submit(rig, 1, 8), OK); /* not fenced */
	fake_retire(&rig->renderer, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(rig_type(rig, held[i]), OK);
	/* Retired fences count for nothing */
	for (unsigned i = 0; i < 100000; i++) {
		struct rig_submit command = rig_submit_command(1, 8);

		command.command.hdr.flags = VIRTIO_GPU_FLAG_FENCE;
		command.command.hdr.fence_id = i;
		rig->renderer.fence_result = 1;
		assert_int_equal(rig_command(rig, command), OK);
	}
	assert_int_equal(rig_statistics(rig).fences_pending, 0);
	rig_destroy(rig);
}

static void test_drain_answers_all_of_one_queue(void **state)
{
	struct rig *rig = *state;
	struct rig_request *requests[3];
	struct virtio_gpu_update_cursor move = { .hdr = { .type = VIRTIO_GPU_CMD_MOVE_CURSOR,
						     .flags = VIRTIO_GPU_FLAG_FENCE } };
	struct rig_request *cursor;

	rig->display.shows_at_once = false;
	requests[0] = submit(rig, 1, 8, 1, NO_RING);
	requests[1] = submit(rig, 1, 8, 2, 7);
	requests[2] = flush(rig, 1, 3);
	cursor = rig_send(rig, RIG_CURSOR, &move, sizeof(move)); /* behind the others' fences */
	assert_int_equal(rig_type(rig, cursor), RIG_HELD);
	rig->device->impl->drain_queue(rig->device, RIG_CONTROL);
	rig_poll(rig);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rig_type(rig, requests[i]), OK);
	assert_int_equal(rig_type(rig, cursor), RIG_HELD);
	/* What the drained ones waited for may come, or not */
	fake_shown(&rig->display, 0);
	fake_retire(&rig->renderer, 3);
	assert_int_equal(rig_type(rig, cursor), OK);
	assert_int_equal(rig_statistics(rig).fences_pending, 0);

	/* Only the flush before it kept this one */
	requests[0] = flush(rig, 1, 4);
	cursor = rig_send(rig, RIG_CURSOR, &move, sizeof(move));
	assert_int_equal(rig_type(rig, cursor), RIG_HELD);
	rig->device->impl->drain_queue(rig->device, RIG_CONTROL);
	assert_int_equal(rig_type(rig, requests[0]), OK);
	assert_int_equal(rig_type(rig, cursor), OK);
}

static void test_reset_with_fences_and_frames_outstanding(void **state)
{
	struct rig *rig = *state;
	struct rig_request *requests[3];
	struct fake_fence fence;

	rig->display.shows_at_once = false;
	requests[0] = submit(rig, 1, 8, 1, NO_RING);
	requests[1] = submit(rig, 1, 8, 2, 7);
	requests[2] = flush(rig, 1, 0);
	fence = rig->renderer.fences[0];
	/* A device reset that was not preceded by a drain */
	for (unsigned i = 0; i < 2; i++)
		virtqueue_stop(&rig->virtqueues[i]);
	rig->device->impl->reset(rig->device);
	assert_int_equal(rig_statistics(rig).fences_pending, 0);
	rig->renderer.base.listener.fence_retired(
	    rig->renderer.base.listener.data, &fence.timeline, fence.fence);
	fake_shown(&rig->display, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(rig_type(rig, requests[i]), RIG_HELD);
	}
	rig_start_queues(rig, rig_features());
	assert_true(rig_works(rig));
	/* What was done before the reset is not waited for */
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_type(rig, submit(rig, 1, 0, 1, NO_RING)), OK);
}

/* ---------------------------------------------------------------- flushes */

static void test_flush_waits_until_shown(void **state)
{
	struct rig *rig = *state;
	struct rig_request *first, *second;

	rig->display.shows_at_once = false;
	first = flush(rig, 1, 0);
	assert_int_equal(rig_type(rig, first), RIG_HELD);
	assert_true(rig_works(rig)); /* others go on */
	second = flush(rig, 1, 0);
	assert_int_equal(rig->display.flushes[0], 2);
	fake_shown(&rig->display, 0); /* the second one's serial: the first is overtaken */
	assert_int_equal(rig_type(rig, first), OK);
	assert_int_equal(rig_type(rig, second), OK);
	assert_int_equal(rig_statistics(rig).frames, 2);
}

static void test_flush_shown_within(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_type(rig, flush(rig, 1, 0)), OK);
	assert_int_equal(rig_type(rig, flush(rig, 1, 1)), OK);
	assert_int_equal(rig_statistics(rig).frames, 2);
}

static void test_flush_with_fence_waits_for_both(void **state)
{
	struct rig *rig = *state;
	struct rig_request *first, *second, *after;

	rig->display.shows_at_once = false;
	assert_int_equal(rig_submit(rig, 1, 8), OK);
	first = flush(rig, 1, 1);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, first), RIG_HELD);
	after = submit(rig, 1, 0, 2, NO_RING); /* must not overtake it */
	assert_int_equal(rig_type(rig, after), RIG_HELD);
	fake_shown(&rig->display, 0);
	assert_int_equal(rig_type(rig, first), OK);
	assert_int_equal(rig_type(rig, after), OK);

	assert_int_equal(rig_submit(rig, 1, 8), OK);
	second = flush(rig, 1, 3);
	fake_shown(&rig->display, 0);
	assert_int_equal(rig_type(rig, second), RIG_HELD);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, second), OK);
}

static void test_flush_on_several_scanouts_waits_for_all(void **state)
{
	struct rig *rig = *state;
	struct rig_request *request;

	rig->display.shows_at_once = false;
	assert_int_equal(rig_set_scanout(rig, 2, 1, 10, 10, 20, 20), OK);
	request = flush(rig, 1, 0);
	assert_int_equal(rig->display.flushes[0], 1);
	assert_int_equal(rig->display.flushes[1], 0);
	assert_int_equal(rig->display.flushes[2], 1);
	fake_shown(&rig->display, 2);
	fake_shown(&rig->display, 2);
	assert_int_equal(rig_type(rig, request), RIG_HELD);
	fake_shown(&rig->display, 0);
	assert_int_equal(rig_type(rig, request), OK);
}

static void test_flush_of_what_no_scanout_shows(void **state)
{
	struct rig *rig = *state;

	rig->display.shows_at_once = false;
	assert_int_equal(rig_create_2d(rig, 2, XRGB, 64, 32), OK);
	assert_int_equal(rig_type(rig, flush(rig, 2, 1)), OK);
	/* nor of the part that it does not show */
	assert_int_equal(rig_set_scanout(rig, 1, 2, 0, 0, 10, 10), OK);
	assert_int_equal(rig_flush(rig, 2, 10, 0, 54, 32), OK);
	assert_int_equal(rig_flush(rig, 2, 0, 10, 64, 22), OK);
	assert_int_equal(rig->display.flushes[1], 0);
}

static void test_flush_is_never_stuck(void **state)
{
	struct rig *rig = *state;
	struct rig_request *request;

	rig->display.shows_at_once = false;
	request = flush(rig, 1, 1);
	assert_int_equal(rig_set_scanout(rig, 0, 0, 0, 0, 0, 0), OK);
	assert_int_equal(rig_type(rig, request), OK);

	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	request = flush(rig, 1, 0);
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(rig_type(rig, request), OK);

	/* A page flip: the display still owes the old one's */
	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_create_2d(rig, 2, XRGB, 64, 32), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	request = flush(rig, 1, 0);
	assert_int_equal(rig_set_scanout(rig, 0, 2, 0, 0, 64, 32), OK);
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(rig_type(rig, request), RIG_HELD);
	fake_shown(&rig->display, 0);
	assert_int_equal(rig_type(rig, request), OK);

	request = flush(rig, 2, 0);
	rig->device->impl->drain_queue(rig->device, RIG_CONTROL);
	assert_int_equal(rig_type(rig, request), OK);
	fake_shown(&rig->display, 0);
}

static void test_shown_of_a_wild_scanout(void **state)
{
	struct rig *rig = *state;
	struct rig_request *request;

	rig->display.shows_at_once = false;
	request = flush(rig, 1, 0);
	rig->display.base.listener.shown(rig->display.base.listener.data, 31, UINT64_MAX);
	rig->display.base.listener.shown(rig->display.base.listener.data, UINT32_MAX, UINT64_MAX);
	assert_int_equal(rig_type(rig, request), RIG_HELD);
	fake_shown(&rig->display, 0);
	assert_int_equal(rig_type(rig, request), OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_fence_is_echoed),
		T(test_empty_fenced_submit_waits_for_nothing),
		T(test_empty_fenced_submit_waits_for_work_before_it),
		T(test_answers_keep_the_order_of_submission),
		T(test_one_retired_fence_answers_all_before_it),
		T(test_fence_ids_that_fall),
		T(test_renderer_that_is_done_at_once),
		T(test_renderer_that_makes_no_fence),
		T(test_fence_retired_unknown),
		T(test_timelines_do_not_wait_for_each_other),
		T(test_ring_idx_64),
		T(test_ring_idx_without_context_init),
		T(test_context_destroyed_with_fences),
		T(test_context_destroyed_by_a_request_on_its_own_ring),
		cmocka_unit_test(test_million_fences),
		T(test_drain_answers_all_of_one_queue),
		T(test_reset_with_fences_and_frames_outstanding),
		T(test_flush_waits_until_shown),
		T(test_flush_shown_within),
		T(test_flush_with_fence_waits_for_both),
		T(test_flush_on_several_scanouts_waits_for_all),
		T(test_flush_of_what_no_scanout_shows),
		T(test_flush_is_never_stuck),
		T(test_shown_of_a_wild_scanout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
