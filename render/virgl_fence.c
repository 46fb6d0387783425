/* SPDX-License-Identifier: MIT */
/*
 * Fences of render/virgl.c. A thread of virglrenderer's waits for them one after the other and
 * then makes its descriptor readable; virgl_renderer_poll() calls us back.
 *
 * In 0.10.4 (seen; newer versions read alike) that thread and virgl_renderer_context_destroy() do
 * not go well together:
 * - The fences of the context are freed, also the one that the thread would look at next, by a
 *   pointer that it keeps while it waits. So a context goes when its own fences are done.
 * - The fence that the thread waits for just then is forgotten, whichever context it belongs to.
 *   So a new fence is put behind those that are pending: as they are done in order, it speaks
 *   for them.
 */
#include <epoxy/gl.h>
#include <errno.h>
#include <poll.h>

#include "render/virgl_internal.h"

#define RENEWALS_MAX 64 /* then it is time to wait */

/* The fence called @name and those before it are done. */
static void virgl_retire(struct virgl *virgl, struct virgl_timeline *timeline,
    const struct renderer_timeline *of, uint32_t name)
{
	const struct renderer_listener *listener = &virgl->base.listener;
	uint64_t fence;

	if (!fence_queue_retire(&timeline->queue, name, &fence) || fence <= timeline->last_retired)
		return;
	timeline->last_retired = fence;
	if (listener->fence_retired)
		listener->fence_retired(listener->data, of, fence);
}

/* From virgl_renderer_poll(). */
void virgl_on_fence(void *cookie, uint32_t name)
{
	struct virgl *virgl = cookie;
	const struct renderer_timeline global = { .global = true };

	virgl_retire(virgl, &virgl->timeline, &global, name);
}

void virgl_on_context_fence(void *cookie, uint32_t ctx_id, uint32_t ring_idx, uint64_t name)
{
	struct virgl *virgl = cookie;
	struct virgl_context *context = virgl_find_context(virgl, ctx_id);
	const struct renderer_timeline of = { .ctx_id = ctx_id };

	if (context)
		virgl_retire(virgl, &context->timeline, &of, (uint32_t)name);
}

/* Makes a fence on @timeline, that of @context or, where that is NULL, the global one. */
static int virgl_add_fence(
    struct virgl_timeline *timeline, const struct virgl_context *context, uint64_t fence)
{
	uint32_t name;
	int r;

	r = fence_queue_add(&timeline->queue, fence, &name);
	if (r < 0)
		return r;
	if (context)
		r = virgl_renderer_context_create_fence(
		    context->entry.id, VIRGL_RENDERER_FENCE_FLAG_MERGEABLE, 0, name);
	else
		r = virgl_renderer_create_fence((int)name, 0);
	r = virgl_result(r);
	if (r < 0)
		fence_queue_undo(&timeline->queue);
	else
		timeline->last_created = fence;
	return r;
}

int virgl_create_fence(
    struct renderer *renderer, const struct renderer_timeline *timeline, uint64_t fence)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_context *context = virgl_find_context(virgl, timeline->ctx_id);
	int r;

	virgl_enter(virgl);
	if (timeline->global)
		r = virgl_add_fence(&virgl->timeline, NULL, fence);
	else if (!context)
		r = -ESRCH;
	else if (timeline->ring_idx) /* a GL context has one timeline */
		r = -EINVAL;
	else
		r = virgl_add_fence(&context->timeline, context, fence);
	if (r == 0 && virgl->poll_fd < 0) {
		/* Nobody would tell: wait here. The fence lies in the current GL context. */
		glFinish();
		virgl_renderer_poll();
	}
	return r;
}

int virgl_get_fd(struct renderer *renderer)
{
	return virgl_from_renderer(renderer)->poll_fd;
}

void virgl_dispatch(struct renderer *renderer)
{
	virgl_enter(virgl_from_renderer(renderer));
	virgl_renderer_poll();
}

/* ---------------------------------------------------------------- when contexts go */

/* Sleeps until virglrenderer has done with all fences of @timeline. */
static void virgl_wait(struct virgl *virgl, const struct virgl_timeline *timeline)
{
	struct pollfd fd = { .fd = virgl->poll_fd, .events = POLLIN };

	while (timeline->queue.count && virgl->poll_fd >= 0) {
		if (poll(&fd, 1, -1) < 0 && errno != EINTR)
			return;
		virgl_renderer_poll();
	}
}

void virgl_finish_fences(struct virgl *virgl, struct virgl_context *context)
{
	virgl_wait(virgl, &context->timeline);
}

/* One more for the last one of @timeline; false: nothing is pending there. */
static bool virgl_renew(struct virgl_timeline *timeline, const struct virgl_context *context)
{
	if (!timeline->queue.count)
		return false;
	if (virgl_add_fence(timeline, context, timeline->last_created) < 0)
		log_error("virglrenderer makes no more fences: the guest may wait for ever");
	return true;
}

void virgl_renew_fences(struct virgl *virgl)
{
	struct virgl_context *context;
	bool pending;

	pending = virgl_renew(&virgl->timeline, NULL);
	LIST_FOREACH (context, &virgl->context_list, link)
		pending |= virgl_renew(&context->timeline, context);
	virgl->renewals = pending ? virgl->renewals + 1 : 0;
	if (virgl->renewals < RENEWALS_MAX)
		return;
	/* Contexts come and go faster than fences: let these catch up. */
	virgl->renewals = 0;
	virgl_wait(virgl, &virgl->timeline);
	LIST_FOREACH (context, &virgl->context_list, link)
		virgl_wait(virgl, &context->timeline);
}

void virgl_forget_fences(struct virgl *virgl)
{
	fence_queue_clear(&virgl->timeline.queue);
	virgl->timeline.last_created = virgl->timeline.last_retired = 0;
	virgl->renewals = 0;
}
