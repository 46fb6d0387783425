/* SPDX-License-Identifier: MIT */
/*
 * Answers that wait. An answer is written when its command has been executed; what
 * waits is its return to the driver, until the renderer's fence has retired and, of
 * a flush, until the frame is on screen.
 *
 * "When the command associated with fence_id is complete, the device MUST send a
 * response for all outstanding commands with a sequence number less than or equal to
 * fence_id on the same synchronization timeline." So within a timeline answers return
 * in the order of submission, whatever each one waits for, and errors keep their place.
 */
#include <errno.h>
#include <stdlib.h>

#include "backend/gpu_internal.h"
#include "backend/probe.h"

void gpu_timeline_init(
    struct gpu_timeline *timeline, const struct renderer_timeline *id, const uint64_t *work)
{
	*timeline = (struct gpu_timeline){ .id = *id, .work = work, .fenced_work = *work };
	TAILQ_INIT(&timeline->requests);
}

bool gpu_fence_wanted(const struct gpu_command *command)
{
	return command->hdr.flags & VIRTIO_GPU_FLAG_FENCE;
}

/* "If VIRTIO_GPU_F_CONTEXT_INIT is supported, then the driver MAY set
 * VIRTIO_GPU_FLAG_INFO_RING_IDX bit in the request flags field." */
bool gpu_fence_has_ring(const struct gpu *gpu, const struct gpu_command *command)
{
	return gpu_fence_wanted(command) && command->hdr.flags & VIRTIO_GPU_FLAG_INFO_RING_IDX &&
	       gpu->features & GPU_FEATURE(CONTEXT_INIT);
}

uint32_t gpu_fence_check(struct gpu *gpu, struct gpu_command *command)
{
	if (!gpu_fence_wanted(command))
		return VIRTIO_GPU_RESP_OK_NODATA;
	if (gpu_fence_has_ring(gpu, command)) {
		if (command->hdr.ring_idx >= GPU_RINGS_MAX)
			return gpu_command_refuse(gpu, command,
			    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, "ring_idx %u is above %d",
			    command->hdr.ring_idx, GPU_RINGS_MAX - 1);
		if (!gpu_context_find(gpu, command->hdr.ctx_id))
			return gpu_command_refuse(gpu, command,
			    VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
			    "its fence is on a ring of context %u, which does not exist",
			    command->hdr.ctx_id);
	}
	if (gpu->statistics.fences_pending >= gpu->limits.fences)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
		    "%u requests wait for fences already, the quota", gpu->limits.fences);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static struct gpu_timeline *timeline_find(
    struct gpu *gpu, uint32_t ctx_id, uint8_t ring_idx, bool make)
{
	struct gpu_context *context = gpu_context_find(gpu, ctx_id);

	if (!context || ring_idx >= GPU_RINGS_MAX)
		return NULL;
	return make ? gpu_context_timeline(context, ring_idx) : context->rings[ring_idx];
}

/* A fence behind all that was submitted so far. 0, or the renderer's -errno: nobody needs to wait
 * for it then. */
static int timeline_make_fence(struct gpu *gpu, struct gpu_timeline *timeline)
{
	const uint64_t fence = ++gpu->fence_serial;
	int done;

	if (timeline->retired == timeline->last_fence)
		gpu_telemetry_fence(gpu);
	gpu_flow_busy(gpu);
	timeline->fenced_work = *timeline->work;
	timeline->last_fence = fence;
	gpu_flow_fence_made(gpu, timeline);
	PROBE(fence_created, gpu->guest, timeline->id.ctx_id, timeline->id.ring_idx, fence);
	/* The renderer may call gpu_fence_retired() from within */
	done = gpu->renderer->impl->create_fence(gpu->renderer, &timeline->id, fence);
	if (done)
		gpu_fence_retired(gpu, &timeline->id, fence);
	return done < 0 ? done : 0;
}

int gpu_fence_create(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_timeline **timeline_out, uint64_t *fence)
{
	struct gpu_timeline *timeline = &gpu->timeline;
	int done;

	gpu->statistics.fences++;
	if (gpu_fence_has_ring(gpu, command))
		timeline = timeline_find(gpu, command->hdr.ctx_id, command->hdr.ring_idx, true);
	*timeline_out = timeline;
	*fence = 0;
	/* Its context is gone (CTX_DESTROY), or was never there (an error); or no more may wait,
	 * and it was refused for that */
	if (!timeline || gpu->statistics.fences_pending >= gpu->limits.fences) {
		*timeline_out = NULL;
		return 0;
	}
	*fence = timeline->last_fence;
	if (timeline->fenced_work == *timeline->work)
		return 0; /* the last fence stands for this one, too */

	done = timeline_make_fence(gpu, timeline);
	*fence = timeline->last_fence;
	return done;
}

void gpu_fence_make_own(struct gpu *gpu)
{
	timeline_make_fence(gpu, &gpu->timeline);
}

/* ---------------------------------------------------------------- requests */

static void answer(struct gpu *gpu, const struct gpu_request *request)
{
	virtqueue_push(&gpu->base.queues[request->queue], request->head, request->written);
	gpu->dirty |= 1u << request->queue;
	PROBE(answer, gpu->guest, request->queue, request->number, request->written);
	trace_end(gpu->base.trace, request->begin_ns, .type = TRACE_ANSWER,
	    .request = request->number, .queue = (uint8_t)request->queue, .head = request->head,
	    .arg = request->type, .value = request->written);
}

/* @begin: when the request or command began to wait for @scanout; 0: nobody wants to know. */
static void note_flip(struct gpu *gpu, unsigned scanout, uint64_t serial, uint64_t begin,
    uint64_t number, uint16_t head)
{
	PROBE(flip, gpu->guest, scanout, number, serial);
	trace_end(gpu->base.trace, begin, .type = TRACE_FLIP, .request = number,
	    .queue = GPU_QUEUE_CONTROL, .head = head, .arg = scanout, .value = serial);
}

static void note_retired(
    struct gpu *gpu, const struct gpu_timeline *timeline, const struct gpu_request *request)
{
	trace_end(gpu->base.trace, request->fenced_ns, .type = TRACE_FENCE,
	    .request = request->number, .head = request->head,
	    .ring = timeline->id.global ? TRACE_RING_GLOBAL : timeline->id.ring_idx,
	    .arg = timeline->id.ctx_id, .value = request->fence);
}

/* Of the requests behind the fences from @after to @fence, which have retired now. */
static void note_all_retired(
    struct gpu *gpu, const struct gpu_timeline *timeline, uint64_t after, uint64_t fence)
{
	const struct gpu_request *request = TAILQ_FIRST(&timeline->requests);

	for (; request && request->fence <= fence; request = TAILQ_NEXT(request, in_timeline)) {
		if (request->fence > after)
			note_retired(gpu, timeline, request);
	}
}

static void request_return(struct gpu *gpu, struct gpu_request *request)
{
	if (request->timeline) {
		TAILQ_REMOVE(&request->timeline->requests, request, in_timeline);
		gpu->statistics.fences_pending--;
		gpu_telemetry_answered(gpu, request);
	}
	if (request->flush_scanouts)
		TAILQ_REMOVE(&gpu->flushes, request, in_flushes);
	TAILQ_REMOVE(&gpu->requests, request, all);
	answer(gpu, request);
	TAILQ_INSERT_HEAD(&gpu->unused, request, all);
}

/* Returns what has come to the head of a timeline and waits for nothing else. */
static void timeline_advance(struct gpu *gpu, struct gpu_timeline *timeline)
{
	struct gpu_request *request;

	while ((request = TAILQ_FIRST(&timeline->requests)) &&
	       request->fence <= timeline->retired && !request->flush_scanouts)
		request_return(gpu, request);
}

void gpu_request_hold(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_timeline *timeline, uint64_t fence, uint32_t written)
{
	const struct gpu_request answered = {
		.timeline = timeline,
		.fence = fence,
		.flush_serial = command->flush_serial,
		.flush_scanouts = command->flush_scanouts,
		.written = written,
		.queue = command->queue,
		.head = command->head,
		.number = command->number,
		.type = command->hdr.type,
		.begin_ns = command->begin_ns,
		.fenced_ns = command->fenced_ns,
	};
	struct gpu_request *request;
	bool fenced = timeline && (fence > timeline->retired || !TAILQ_EMPTY(&timeline->requests));

	if (timeline && fence <= timeline->retired)
		note_retired(gpu, timeline, &answered);
	if (!fenced && !command->flush_scanouts) {
		answer(gpu, &answered);
		return;
	}
	request = TAILQ_FIRST(&gpu->unused);
	if (request) {
		TAILQ_REMOVE(&gpu->unused, request, all);
	} else {
		request = malloc(sizeof(*request));
		if (!request) {
			log_error("gpu: no memory to wait for a fence; answered without");
			answer(gpu, &answered);
			return;
		}
	}
	*request = answered;
	TAILQ_INSERT_TAIL(&gpu->requests, request, all);
	if (timeline) {
		request->held_ns = request->flush_scanouts ? 0 : telemetry_now();
		TAILQ_INSERT_TAIL(&timeline->requests, request, in_timeline);
		gpu->statistics.fences_pending++;
	}
	if (request->flush_scanouts)
		TAILQ_INSERT_TAIL(&gpu->flushes, request, in_flushes);
}

static struct gpu_request *request_first(struct gpu *gpu, unsigned queue)
{
	struct gpu_request *request = TAILQ_FIRST(&gpu->requests);

	while (request && request->queue != queue)
		request = TAILQ_NEXT(request, all);
	return request;
}

void gpu_request_drain(struct gpu *gpu, unsigned queue)
{
	struct gpu_request *request;

	while ((request = request_first(gpu, queue))) {
		struct gpu_timeline *timeline = request->timeline;

		request_return(gpu, request);
		if (timeline) /* the other queue's may have waited for it alone */
			timeline_advance(gpu, timeline);
	}
}

void gpu_request_finish(struct gpu *gpu)
{
	struct gpu_request *request;

	while ((request = TAILQ_FIRST(&gpu->unused))) {
		TAILQ_REMOVE(&gpu->unused, request, all);
		free(request);
	}
}

void gpu_timeline_finish(struct gpu *gpu, struct gpu_timeline *timeline)
{
	struct gpu_request *request, *next;

	for (request = TAILQ_FIRST(&timeline->requests); request; request = next) {
		next = TAILQ_NEXT(request, in_timeline);
		request_return(gpu, request);
	}
	gpu_timeline_forget(gpu, timeline);
}

static void timeline_set_retired(struct gpu *gpu, struct gpu_timeline *timeline, uint64_t fence)
{
	timeline->retired = fence;
	gpu_telemetry_retired(gpu, fence == timeline->last_fence);
	gpu_flow_busy(gpu);
	gpu_flow_fence_retired(gpu, timeline);
}

void gpu_timeline_forget(struct gpu *gpu, struct gpu_timeline *timeline)
{
	if (timeline->retired != timeline->last_fence)
		timeline_set_retired(gpu, timeline, timeline->last_fence);
	timeline->fenced_work = *timeline->work;
}

void gpu_fence_retired(void *data, const struct renderer_timeline *id, uint64_t fence)
{
	struct gpu *gpu = data;
	struct gpu_timeline *timeline =
	    id->global ? &gpu->timeline : timeline_find(gpu, id->ctx_id, id->ring_idx, false);

	if (!timeline || fence <= timeline->retired)
		return;
	PROBE(fence_retired, gpu->guest, id->ctx_id, id->ring_idx, fence);
	if (trace_on(gpu->base.trace))
		note_all_retired(gpu, timeline, timeline->retired, fence);
	timeline_set_retired(gpu, timeline, fence);
	gpu_batch_begin(gpu);
	timeline_advance(gpu, timeline);
	gpu_batch_end(gpu);
}

void gpu_request_shown(struct gpu *gpu, unsigned scanout, uint64_t serial)
{
	struct gpu_command *command;
	struct gpu_request *request, *next;
	uint32_t bit = 1u << scanout;

	/* From within the display's flush() */
	command = gpu->command;
	if (command && command->flush_scanouts & bit && command->flush_serial <= serial) {
		command->flush_scanouts &= ~bit;
		note_flip(gpu, scanout, command->flush_serial, command->begin_ns, command->number,
		    command->head);
		if (!command->flush_scanouts)
			gpu->statistics.frames++;
	}
	for (request = TAILQ_FIRST(&gpu->flushes); request; request = next) {
		next = TAILQ_NEXT(request, in_flushes);
		if (request->flush_serial > serial)
			break;
		if (!(request->flush_scanouts & bit))
			continue;
		request->flush_scanouts &= ~bit;
		note_flip(gpu, scanout, request->flush_serial, request->begin_ns, request->number,
		    request->head);
		if (request->flush_scanouts)
			continue;
		TAILQ_REMOVE(&gpu->flushes, request, in_flushes);
		gpu->statistics.frames++;
		if (request->timeline)
			timeline_advance(gpu, request->timeline);
		else
			request_return(gpu, request);
	}
}

void gpu_flush_shown(void *data, unsigned scanout, uint64_t serial)
{
	struct gpu *gpu = data;

	if (scanout >= gpu->scanout_count)
		return;
	gpu_telemetry_shown(gpu, scanout);
	gpu_batch_begin(gpu);
	gpu_request_shown(gpu, scanout, serial);
	gpu_batch_end(gpu);
}
