/* SPDX-License-Identifier: MIT */
/* Caps of frames and GPU time, on a clock of ours; and what the device makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "backend/gpu_internal.h"
#include "tests/unit/gpu_rig.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define XRGB VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

/* ---------------------------------------------------------------- arithmetic */

static void no_caps_no_waiting(void **state)
{
	struct gpu_throttle throttle = { 0 };

	assert_false(gpu_throttle_is_set(&throttle));
	for (unsigned i = 0; i < 1000; i++)
		gpu_throttle_frame(&throttle, 0, 5);
	gpu_throttle_set_busy(&throttle, true, 5);
	assert_int_equal(gpu_throttle_wait(&throttle, SECOND), 0);
	gpu_throttle_set(&throttle, 0, 100, 5); /* all of the time */
	assert_int_equal(gpu_throttle_wait(&throttle, SECOND), 0);
}

/* As fast as it may for @duration, from @now on: how many frames of each of @outputs. */
static unsigned run_frames(
    struct gpu_throttle *throttle, unsigned outputs, uint64_t now, uint64_t duration)
{
	const uint64_t end = now + duration;
	unsigned frames = 0;

	while (now < end) {
		uint64_t wait = gpu_throttle_wait(throttle, now);

		if (wait) {
			assert_true(wait > now && wait < now + SECOND);
			now = wait;
			continue;
		}
		for (unsigned i = 0; i < outputs; i++)
			gpu_throttle_frame(throttle, i, now);
		frames++;
		now += 1000; /* a frame takes next to no time */
	}
	return frames;
}

static void frames_come_at_their_rate(void **state)
{
	static const uint32_t rates[] = { 1, 24, 30, 60, 144, 1000 };

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct gpu_throttle throttle = { 0 };

		gpu_throttle_set(&throttle, rates[i], 0, 7 * SECOND);
		assert_in_range(run_frames(&throttle, 1, 7 * SECOND, 100 * SECOND), rates[i] * 100,
		    rates[i] * 100 + GPU_THROTTLE_BURST + 2);
	}
}

/* Each output has the rate; one that is slower does not slow the other. */
static void outputs_are_counted_by_themselves(void **state)
{
	struct gpu_throttle throttle = { 0 };

	gpu_throttle_set(&throttle, 60, 0, 0);
	assert_in_range(run_frames(&throttle, 16, 0, 10 * SECOND), 600, 604);
}

static void a_guest_below_the_cap_never_waits(void **state)
{
	struct gpu_throttle throttle = { 0 };
	uint64_t now = SECOND;

	gpu_throttle_set(&throttle, 60, 0, now);
	for (unsigned i = 0; i < 10000; i++) {
		/* 60 Hz that jitters by nearly a frame both ways */
		uint64_t jitter = i % 2 ? 16 * MS : 0;

		assert_int_equal(gpu_throttle_wait(&throttle, now + jitter), 0);
		gpu_throttle_frame(&throttle, 0, now + jitter);
		now += 16666667;
	}
}

static void what_was_overdrawn_is_paid_back(void **state)
{
	struct gpu_throttle throttle = { 0 };
	uint64_t now = SECOND;

	gpu_throttle_set(&throttle, 10, 0, now);
	for (unsigned i = 0; i < 100; i++)
		gpu_throttle_frame(&throttle, 3, now);
	/* 100 frames are 10 s, of which two frames may come early */
	assert_int_equal(gpu_throttle_wait(&throttle, now), now + 10 * SECOND - 200 * MS);
	assert_int_equal(gpu_throttle_wait(&throttle, now + 10 * SECOND), 0);
	/* A cap that changes forgets it */
	gpu_throttle_set(&throttle, 20, 0, now);
	assert_int_equal(gpu_throttle_wait(&throttle, now), 0);
}

/* A guest that keeps the GPU busy as long as it may, in pieces of @piece: its share, in permille.
 */
static unsigned run_gpu(struct gpu_throttle *throttle, uint64_t piece, uint64_t duration)
{
	uint64_t now = SECOND, end = SECOND + duration, busy = 0;

	while (now < end) {
		uint64_t wait = gpu_throttle_wait(throttle, now);

		assert_int_not_equal(wait, GPU_THROTTLE_BUSY);
		if (wait) {
			assert_true(wait > now);
			now = wait;
			assert_int_equal(gpu_throttle_wait(throttle, now), 0); /* no second time */
			continue;
		}
		gpu_throttle_set_busy(throttle, true, now);
		now += piece;
		busy += piece;
		gpu_throttle_set_busy(throttle, false, now);
	}
	return (unsigned)(busy * 1000 / (now - SECOND));
}

static void gpu_time_has_its_share(void **state)
{
	static const uint32_t percents[] = { 1, 10, 50, 90, 99 };
	static const uint64_t pieces[] = { MS / 10, MS, 16 * MS, 500 * MS };

	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			struct gpu_throttle throttle = { 0 };
			unsigned share;

			gpu_throttle_set(&throttle, 0, percents[i], SECOND);
			share = run_gpu(&throttle, pieces[j], 1000 * SECOND);
			assert_in_range(share, percents[i] * 10 - 2, percents[i] * 10 + 2);
		}
	}
}

static void a_busy_gpu_is_waited_for(void **state)
{
	struct gpu_throttle throttle = { 0 };
	uint64_t now = SECOND, wait;

	gpu_throttle_set(&throttle, 0, 50, now);
	gpu_throttle_set_busy(&throttle, true, now);
	assert_int_equal(gpu_throttle_wait(&throttle, now + 90 * MS), 0);
	now += 200 * MS; /* 50 were there, 100 came, 200 are gone */
	assert_true(gpu_throttle_wait(&throttle, now) == GPU_THROTTLE_BUSY);
	gpu_throttle_set_busy(&throttle, false, now);
	wait = gpu_throttle_wait(&throttle, now);
	/* until an eighth of the bucket is there */
	assert_in_range(wait, now + 2 * (50 + 6) * MS, now + 2 * (50 + 7) * MS);
	assert_int_not_equal(gpu_throttle_wait(&throttle, wait - MS), 0);
	assert_int_equal(gpu_throttle_wait(&throttle, wait), 0);
}

/* Neither time that stands still, nor goes back, nor a day that passes, does harm. */
static void clocks_may_be_odd(void **state)
{
	struct gpu_throttle throttle = { 0 };

	gpu_throttle_set(&throttle, 60, 50, 100 * SECOND);
	gpu_throttle_set_busy(&throttle, true, 99 * SECOND);
	assert_int_equal(gpu_throttle_wait(&throttle, 98 * SECOND), 0);
	gpu_throttle_set_busy(&throttle, false, 98 * SECOND);
	assert_int_equal(gpu_throttle_wait(&throttle, 86400 * SECOND), 0);
	assert_int_equal(gpu_throttle_wait(&throttle, UINT64_MAX / 2), 0);
}

/* ---------------------------------------------------------------- the device */

static struct rig *rig_with(uint32_t submissions, uint32_t frame_rate, uint32_t gpu_time)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct rig *rig;

	limits.submissions = submissions;
	limits.frame_rate = frame_rate;
	limits.gpu_time = gpu_time;
	rig = rig_create_with(&limits, true, 1);
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	return rig;
}

static void lift_caps(struct rig *rig)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;

	limits.submissions = 0;
	gpu_set_limits(rig->device, &limits);
}

static struct rig_request *queue_flush(struct rig *rig)
{
	struct virtio_gpu_resource_flush command = rig_flush_command(1, 0, 0, 64, 32);

	return rig_begin(rig, RIG_CONTROL, &command, sizeof(command), 24);
}

static struct rig_request *queue_submit(struct rig *rig, uint64_t fence)
{
	struct rig_submit command = rig_submit_command(1, 8);

	if (fence) {
		command.command.hdr.flags = VIRTIO_GPU_FLAG_FENCE;
		command.command.hdr.fence_id = fence;
	}
	return rig_begin(rig, RIG_CONTROL, &command, sizeof(command), 24);
}

/* What the transport does when a queue is to be processed in the next round. */
static void expect_woken(struct rig *rig)
{
	assert_int_equal(rig->wake_at, 0);
	assert_true(rig->wakes > 0); /* for each reason that there is */
	rig->wakes = 0;
	rig_kick(rig, RIG_CONTROL);
}

static void frames_beyond_the_cap_wait_in_the_queue(void **state)
{
	struct rig *rig = rig_with(0, 1, 0);
	struct rig_request *requests[40];
	struct virtio_gpu_update_cursor cursor = { .hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR };
	unsigned answered = 0;

	for (unsigned i = 0; i < 40; i++)
		requests[i] = queue_flush(rig);
	rig_kick(rig, RIG_CONTROL);
	fake_shown(&rig->display, 0);
	for (unsigned i = 0; i < 40; i++)
		answered += rig_type(rig, requests[i]) == OK;
	/* The others come a second after each other */
	assert_in_range(answered, 3, 16);
	assert_int_equal(rig->display.flushes[0], answered);
	assert_int_equal(rig->wakes, 1);
	assert_true(rig->wake_at > 0);
	/* Kicks change nothing; the cursor does not wait */
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->display.flushes[0], answered);
	assert_int_equal(rig_command_on(rig, RIG_CURSOR, &cursor, sizeof(cursor)), OK);
	assert_int_equal(rig_statistics(rig).throttled_ns, 0); /* it is not over */
	rig->wakes = 0;
	lift_caps(rig);
	expect_woken(rig);
	fake_shown(&rig->display, 0);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(rig_type(rig, requests[i]), OK);
	assert_true(rig_statistics(rig).throttled_ns > 0);
	rig_destroy(rig);
}

/* A queue that stops takes nothing with it; one that starts is held back as before. */
static void a_queue_may_stop_while_it_waits(void **state)
{
	struct rig *rig = rig_with(0, 1, 0);
	struct gpu_statistics before;

	for (unsigned i = 0; i < 100; i++)
		queue_flush(rig);
	rig_kick(rig, RIG_CONTROL);
	assert_in_range(rig->display.flushes[0], 3, 16);
	before = rig_statistics(rig);
	rig_stop_queues(rig);
	assert_true(rig_statistics(rig).throttled_ns > 0);
	assert_int_equal(rig_statistics(rig).commands, before.commands);
	rig_start_queues(rig, rig_features());
	queue_flush(rig);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig_statistics(rig).commands, before.commands);
	rig_reset(rig);
	rig_start_queues(rig, rig_features());
	lift_caps(rig);
	assert_true(rig_works(rig));
	rig_destroy(rig);
}

static void submissions_wait_for_the_gpu(void **state)
{
	struct rig *rig = rig_with(4, 0, 0);
	struct rig_request *requests[10];

	for (unsigned i = 0; i < 10; i++)
		requests[i] = queue_submit(rig, i + 1);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 4);
	assert_int_equal(rig->renderer.fences_made, 4); /* none of ours */
	assert_int_equal(rig->wakes, 0);
	fake_retire(&rig->renderer, 1);
	expect_woken(rig);
	assert_int_equal(rig_type(rig, requests[0]), OK);
	/* The next fence that is remembered is the last one: three streams more or less */
	assert_int_equal(rig->renderer.submits, 5);
	fake_retire(&rig->renderer, 3);
	expect_woken(rig);
	assert_int_equal(rig->renderer.submits, 8);
	while (rig->renderer.fence_count) {
		fake_retire(&rig->renderer, rig->renderer.fence_count);
		rig_kick(rig, RIG_CONTROL);
	}
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(rig_type(rig, requests[i]), OK);
	assert_int_equal(rig->renderer.fences_made, 10);
	assert_true(rig_statistics(rig).throttled_ns > 0);
	rig->wakes = 0;
	rig_destroy(rig);
}

/* Where the guest makes no fence, one of ours tells when it has finished. */
static void submissions_without_fences_wait_too(void **state)
{
	struct rig *rig = rig_with(4, 0, 0);
	struct rig_request *requests[10];

	for (unsigned i = 0; i < 10; i++)
		requests[i] = queue_submit(rig, 0);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 4);
	assert_int_equal(rig->renderer.fence_count, 1);
	assert_int_equal(rig_type(rig, requests[3]), OK);
	assert_int_equal(rig_type(rig, requests[4]), RIG_HELD);
	fake_retire(&rig->renderer, 1);
	expect_woken(rig);
	assert_int_equal(rig->renderer.submits, 8);
	fake_retire(&rig->renderer, 1);
	expect_woken(rig);
	assert_int_equal(rig->renderer.submits, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(rig_type(rig, requests[i]), OK);
	rig_destroy(rig);
}

static void a_renderer_that_is_done_at_once_stops_nobody(void **state)
{
	struct rig *rig = rig_with(2, 0, 0);

	rig->renderer.fence_result = 1;
	for (unsigned i = 0; i < 100; i++)
		queue_submit(rig, i % 3);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 100);
	rig->renderer.fence_result = -EIO; /* nor does one that makes no fences */
	for (unsigned i = 0; i < 100; i++)
		queue_submit(rig, 0);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 200);
	assert_int_equal(rig_statistics(rig).throttled_ns, 0);
	rig_destroy(rig);
}

static void a_reset_forgets_what_was_in_flight(void **state)
{
	struct rig *rig = rig_with(4, 0, 0);

	for (unsigned i = 0; i < 10; i++)
		queue_submit(rig, i);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 4);
	rig_reset(rig);
	rig->renderer.fence_count = 0;
	rig_start_queues(rig, rig_features());
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	for (unsigned i = 0; i < 10; i++)
		queue_submit(rig, i);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 8);
	rig_destroy(rig);
}

static void a_guest_beyond_its_gpu_time_waits(void **state)
{
	struct rig *rig = rig_with(0, 0, 1);
	struct rig_request *first = queue_submit(rig, 1), *second;

	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 1);
	usleep(5000); /* 1 ms is what it may take at once */
	second = queue_submit(rig, 2);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 1);
	assert_int_equal(rig->wakes, 0); /* no timer as long as the GPU works */
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, first), OK);
	assert_int_equal(rig->wake_at, 0);
	assert_true(rig->wakes > 0); /* for each reason that there is */
	rig->wakes = 0;
	rig_kick(rig, RIG_CONTROL);
	if (rig->renderer.submits == 1) { /* unless this machine is very slow */
		assert_int_equal(rig->wakes, 1);
		assert_true(rig->wake_at > 0);
	}
	lift_caps(rig);
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->renderer.submits, 2);
	assert_int_equal(rig_type(rig, second), RIG_HELD);
	fake_retire(&rig->renderer, 1);
	assert_int_equal(rig_type(rig, second), OK);
	assert_true(rig_statistics(rig).throttled_ns > 0);
	rig_destroy(rig);
}

/* Contexts that go take their fences with them. */
static void a_context_that_ends_is_not_busy(void **state)
{
	struct rig *rig = rig_with(0, 0, 50);
	struct rig_submit command = rig_submit_command(1, 8);

	command.command.hdr.flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX;
	command.command.hdr.ring_idx = 3;
	rig_send(rig, RIG_CONTROL, &command, sizeof(command));
	assert_int_equal(gpu_from_device(rig->device)->busy_timelines, 1);
	assert_true(gpu_from_device(rig->device)->flow.throttle.busy);
	assert_int_equal(rig_ctx_destroy(rig, 1), OK);
	assert_int_equal(gpu_from_device(rig->device)->busy_timelines, 0);
	assert_false(gpu_from_device(rig->device)->flow.throttle.busy);
	rig->renderer.fence_count = 0;
	rig_destroy(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_caps_no_waiting),
		cmocka_unit_test(frames_come_at_their_rate),
		cmocka_unit_test(outputs_are_counted_by_themselves),
		cmocka_unit_test(a_guest_below_the_cap_never_waits),
		cmocka_unit_test(what_was_overdrawn_is_paid_back),
		cmocka_unit_test(gpu_time_has_its_share),
		cmocka_unit_test(a_busy_gpu_is_waited_for),
		cmocka_unit_test(clocks_may_be_odd),
		cmocka_unit_test(frames_beyond_the_cap_wait_in_the_queue),
		cmocka_unit_test(a_queue_may_stop_while_it_waits),
		cmocka_unit_test(submissions_wait_for_the_gpu),
		cmocka_unit_test(submissions_without_fences_wait_too),
		cmocka_unit_test(a_renderer_that_is_done_at_once_stops_nobody),
		cmocka_unit_test(a_reset_forgets_what_was_in_flight),
		cmocka_unit_test(a_guest_beyond_its_gpu_time_waits),
		cmocka_unit_test(a_context_that_ends_is_not_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
