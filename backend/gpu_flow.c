/* SPDX-License-Identifier: MIT */
/*
 * Caps: whether more may be taken from the control queue now, and what has it looked at again when
 * not. A guest that goes faster than it may is not answered with errors, which neither its driver
 * nor its programs would understand as "slower": its requests stay in the queue, as they do on any
 * device that is busy, and the driver waits.
 *
 * Command streams in flight: those executed that the GPU is not known to have finished, by the
 * fences of the global timeline, which stand behind the work of all contexts. One fence at a time
 * is remembered with what it waits for; where the guest makes none, one of ours takes its place, so
 * that a guest without fences is held back, too.
 */
#include "backend/gpu_internal.h"
#include "backend/probe.h"

#define BATCH_THROTTLED 16

static uint64_t flow_in_flight(const struct gpu *gpu)
{
	return gpu->work - gpu->flow.work_done;
}

/* Has the control queue looked at again: now, or then. */
static void flow_wake(struct gpu *gpu, uint64_t at_ns)
{
	const struct virtio_host *host = &gpu->base.host;

	if (host->wake_queue)
		host->wake_queue(host->data, GPU_QUEUE_CONTROL, at_ns);
}

static void flow_go(struct gpu *gpu, uint64_t now)
{
	if (!gpu->flow.stopped)
		return;
	gpu->flow.stopped = false;
	PROBE(throttled, gpu->guest, now - gpu->flow.stopped_at);
	trace_end(gpu->base.trace, gpu->flow.stopped_at, .type = TRACE_THROTTLED,
	    .queue = GPU_QUEUE_CONTROL);
	if (now > gpu->flow.stopped_at)
		gpu->statistics.throttled_ns += now - gpu->flow.stopped_at;
}

static void flow_stop(struct gpu *gpu, uint64_t now)
{
	if (!gpu->flow.stopped)
		gpu->flow.stopped_at = now;
	gpu->flow.stopped = true;
}

/* ---------------------------------------------------------------- submissions */

static bool flow_has_room(struct gpu *gpu)
{
	const uint64_t limit = gpu->limits.submissions;

	/* Half way there, so that the GPU does not run dry while we wait for it */
	if (limit && !gpu->flow.mark && flow_in_flight(gpu) > limit / 2)
		gpu_fence_make_own(gpu);
	return !limit || flow_in_flight(gpu) < limit;
}

void gpu_flow_fence_made(struct gpu *gpu, const struct gpu_timeline *timeline)
{
	if (timeline != &gpu->timeline || gpu->flow.mark)
		return;
	gpu->flow.mark = timeline->last_fence;
	gpu->flow.mark_work = timeline->fenced_work;
}

void gpu_flow_fence_retired(struct gpu *gpu, const struct gpu_timeline *timeline)
{
	if (timeline != &gpu->timeline || !gpu->flow.mark || timeline->retired < gpu->flow.mark)
		return;
	gpu->flow.work_done = gpu->flow.mark_work;
	gpu->flow.mark = 0;
	if (timeline->retired < timeline->last_fence) {
		gpu->flow.mark = timeline->last_fence;
		gpu->flow.mark_work = timeline->fenced_work;
	} else {
		gpu->flow.work_done = timeline->fenced_work;
	}
	if (gpu->flow.stopped)
		flow_wake(gpu, 0);
}

/* ---------------------------------------------------------------- time */

void gpu_flow_frame(struct gpu *gpu, unsigned scanout)
{
	if (gpu->flow.throttle.frame_ns)
		gpu_throttle_frame(&gpu->flow.throttle, scanout, telemetry_now());
}

void gpu_flow_busy(struct gpu *gpu)
{
	struct gpu_throttle *throttle = &gpu->flow.throttle;
	const bool busy = gpu->busy_timelines > 0;

	if (busy == throttle->busy)
		return;
	if (throttle->percent)
		gpu_throttle_set_busy(throttle, busy, telemetry_now());
	else
		throttle->busy = busy;
	if (!busy && gpu->flow.stopped)
		flow_wake(gpu, 0);
}

/* ---------------------------------------------------------------- the control queue */

bool gpu_flow_may_take(struct gpu *gpu)
{
	bool room;
	uint64_t now, wait;

	if (!gpu->base.host.wake_queue) /* nobody would call us again */
		return true;
	room = flow_has_room(gpu);
	if (room && !gpu->flow.stopped && !gpu_throttle_is_set(&gpu->flow.throttle))
		return true;
	now = telemetry_now();
	wait = gpu_throttle_wait(&gpu->flow.throttle, now);
	if (room && !wait) {
		flow_go(gpu, now);
		return true;
	}
	flow_stop(gpu, now);
	if (wait && wait != GPU_THROTTLE_BUSY)
		flow_wake(gpu, wait);
	return false;
}

unsigned gpu_flow_batch(const struct gpu *gpu)
{
	const uint64_t limit = gpu->limits.submissions, in_flight = flow_in_flight(gpu);
	unsigned most =
	    gpu_throttle_is_set(&gpu->flow.throttle) ? BATCH_THROTTLED : GPU_BATCH_REQUESTS;

	if (limit && in_flight + most > limit)
		most = in_flight < limit ? (unsigned)(limit - in_flight) : 1;
	return most;
}

void gpu_flow_end(struct gpu *gpu)
{
	flow_go(gpu, gpu->flow.stopped ? telemetry_now() : 0);
}

void gpu_flow_reset(struct gpu *gpu)
{
	gpu->flow.mark = 0;
	gpu->flow.work_done = gpu->work;
}

void gpu_set_limits(struct virtio_device *device, const struct gpu_limits *limits)
{
	struct gpu *gpu = gpu_from_device(device);

	gpu->limits = *limits;
	gpu_throttle_set(
	    &gpu->flow.throttle, limits->frame_rate, limits->gpu_time, telemetry_now());
	if (gpu->flow.stopped)
		flow_wake(gpu, 0);
}
