/* SPDX-License-Identifier: MIT */
/* From a stack of layers to an atomic commit, and what happens when it is on screen. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "render/kms_private.h"

/* ---------------------------------------------------------------- what a stack needs */

static bool make_shape(const struct kms_output *output, const struct seat_layer *layers,
    unsigned count, struct kms_shape *shape)
{
	memset(shape, 0, sizeof(*shape));
	if (count > SEAT_LAYERS_MAX)
		return false;
	shape->count = count;
	for (unsigned i = 0; i < count; i++) {
		const struct seat_layer *layer = &layers[i];
		const struct kms_fb *fb = (const struct kms_fb *)layer->fb;
		const struct display_rect *source = &layer->source;

		if (fb->card != output->card || !source->width || !source->height ||
		    !layer->width || !layer->height || source->x > fb->base.width ||
		    source->width > fb->base.width - source->x || source->y > fb->base.height ||
		    source->height > fb->base.height - source->y)
			return false;
		shape->layers[i].fourcc = fb->base.fourcc;
		shape->layers[i].fb_width = fb->base.width;
		shape->layers[i].fb_height = fb->base.height;
		shape->layers[i].stride = fb->base.stride;
		shape->layers[i].modifier = fb->modifier;
		shape->layers[i].source = *source;
		shape->layers[i].x = layer->x;
		shape->layers[i].y = layer->y;
		shape->layers[i].width = layer->width;
		shape->layers[i].height = layer->height;
		shape->layers[i].alpha = layer->alpha;
		shape->layers[i].y0_top = fb->base.y0_top;
	}
	return true;
}

static bool covers(const struct kms_output *output, const struct seat_layer *layer)
{
	return layer->x == 0 && layer->y == 0 && layer->width == output->base.mode.width &&
	       layer->height == output->base.mode.height;
}

static void describe_layer(
    const struct seat_layer *layer, bool lowest, struct kms_layer_traits *traits)
{
	const struct kms_fb *fb = (const struct kms_fb *)layer->fb;

	*traits = (struct kms_layer_traits){
		.fourcc = fb->base.fourcc,
		/* Premultiplied, over black: the colours as they are. */
		.fourcc_opaque =
		    lowest && layer->alpha == UINT16_MAX ? kms_format_opaque(fb->base.fourcc) : 0,
		.modifier = fb->modifier,
		.alpha = layer->alpha != UINT16_MAX,
		.reflect = !fb->base.y0_top,
	};
}

/* The reflection of the rotation property along the X axis: its bit, and that of no rotation */
#define ROTATE_0_BIT 0
#define REFLECT_Y_BIT 5

static void describe_planes(const struct kms_output *output, struct kms_plane_traits *traits)
{
	const struct kms_card *card = output->card;

	for (unsigned i = 0; i < card->plane_count; i++) {
		const struct kms_plane *plane = &card->planes[i];
		const struct kms_property *p = plane->properties;
		const struct kms_property *zpos = &p[KMS_PLANE_ZPOS];

		traits[i] = (struct kms_plane_traits){
			.usable = plane->possible_crtcs >> output->crtc & 1 &&
				  (plane->crtc < 0 || plane->crtc == output->crtc) &&
				  plane->type != DRM_PLANE_TYPE_CURSOR,
			.primary = plane->type == DRM_PLANE_TYPE_PRIMARY,
			.alpha = p[KMS_PLANE_ALPHA].id,
			.reflect = p[KMS_PLANE_ROTATION].bits >> REFLECT_Y_BIT & 1,
			.zpos = zpos->id,
			.zpos_min = zpos->immutable ? zpos->value : zpos->min,
			.zpos_max = zpos->immutable ? zpos->value : zpos->max,
			.formats = plane->formats,
			.format_count = plane->format_count,
		};
	}
}

/* ---------------------------------------------------------------- a request */

static void request_plane_off(struct kms_request *request, const struct kms_plane *plane)
{
	kms_request_object(request, plane->id);
	kms_request_set(request, plane->properties[KMS_PLANE_FB_ID].id, 0);
	kms_request_set(request, plane->properties[KMS_PLANE_CRTC_ID].id, 0);
}

static void request_plane(struct kms_output *output, const struct kms_choice *choice,
    const struct seat_layer *layer, uint32_t damage_blob)
{
	struct kms_request *request = &output->card->request;
	const struct kms_plane *plane = &output->card->planes[choice->plane];
	const struct kms_property *p = plane->properties;
	const struct kms_fb *fb = (const struct kms_fb *)layer->fb;

	kms_request_object(request, plane->id);
	kms_request_set(
	    request, p[KMS_PLANE_FB_ID].id, kms_fb_id((struct kms_fb *)layer->fb, choice->opaque));
	kms_request_set(request, p[KMS_PLANE_CRTC_ID].id, output->card->crtcs[output->crtc].id);
	/* 16.16 fixed point */
	kms_request_set(request, p[KMS_PLANE_SRC_X].id, (uint64_t)layer->source.x << 16);
	kms_request_set(request, p[KMS_PLANE_SRC_Y].id, (uint64_t)layer->source.y << 16);
	kms_request_set(request, p[KMS_PLANE_SRC_W].id, (uint64_t)layer->source.width << 16);
	kms_request_set(request, p[KMS_PLANE_SRC_H].id, (uint64_t)layer->source.height << 16);
	kms_request_set(request, p[KMS_PLANE_CRTC_X].id, (uint64_t)(int64_t)layer->x);
	kms_request_set(request, p[KMS_PLANE_CRTC_Y].id, (uint64_t)(int64_t)layer->y);
	kms_request_set(request, p[KMS_PLANE_CRTC_W].id, layer->width);
	kms_request_set(request, p[KMS_PLANE_CRTC_H].id, layer->height);
	kms_request_set(request, p[KMS_PLANE_ALPHA].id, layer->alpha);
	kms_request_set(request, p[KMS_PLANE_BLEND].id, p[KMS_PLANE_BLEND].wanted);
	kms_request_set(request, p[KMS_PLANE_DAMAGE].id, damage_blob);
	if (!p[KMS_PLANE_ZPOS].immutable)
		kms_request_set(request, p[KMS_PLANE_ZPOS].id, choice->zpos);
	kms_request_set(request, p[KMS_PLANE_ROTATION].id,
	    1u << ROTATE_0_BIT | (fb->base.y0_top ? 0 : 1u << REFLECT_Y_BIT));
	if (layer->fence_fd >= 0)
		kms_request_set(request, p[KMS_PLANE_IN_FENCE_FD].id, (uint64_t)layer->fence_fd);
}

/* The mode, and nothing left of who was here before. */
static void request_mode(struct kms_output *output)
{
	struct kms_request *request = &output->card->request;
	const struct kms_crtc *crtc = &output->card->crtcs[output->crtc];
	const struct kms_property *link = &output->properties[KMS_CONNECTOR_LINK_STATUS];

	kms_request_object(request, output->connector);
	kms_request_set(request, output->properties[KMS_CONNECTOR_CRTC_ID].id, crtc->id);
	kms_request_set(request, link->id, link->wanted);
	kms_request_object(request, crtc->id);
	kms_request_set(request, crtc->properties[KMS_CRTC_MODE_ID].id, output->mode_blob);
	kms_request_set(request, crtc->properties[KMS_CRTC_ACTIVE].id, 1);
	for (unsigned i = KMS_CRTC_GAMMA; i <= KMS_CRTC_VRR; i++)
		kms_request_set(request, crtc->properties[i].id, 0);
}

static void request_crtc_off(struct kms_request *request, const struct kms_crtc *crtc)
{
	kms_request_object(request, crtc->id);
	kms_request_set(request, crtc->properties[KMS_CRTC_ACTIVE].id, 0);
	kms_request_set(request, crtc->properties[KMS_CRTC_MODE_ID].id, 0);
}

/* ---------------------------------------------------------------- damage */

/* Rectangles of the picture that differ from what the plane showed before; 0: all of it may. */
static uint32_t make_damage(
    struct kms_output *output, const struct kms_plane *plane, const struct seat_layer *layer)
{
	struct drm_mode_rect rects[SEAT_LAYERS_MAX];
	uint32_t blob;

	if (!plane->properties[KMS_PLANE_DAMAGE].id || !layer->damage_count ||
	    layer->damage_count > SEAT_LAYERS_MAX || !output->shown_plan)
		return 0;
	for (unsigned i = 0; i < layer->damage_count; i++) {
		const struct display_rect *from = &layer->damage[i];

		/* One that is not inside the picture would make the commit fail. */
		if (!from->width || !from->height || from->x > layer->fb->width ||
		    from->width > layer->fb->width - from->x || from->y > layer->fb->height ||
		    from->height > layer->fb->height - from->y)
			return 0;
		rects[i] = (struct drm_mode_rect){
			.x1 = (int32_t)from->x,
			.y1 = (int32_t)from->y,
			.x2 = (int32_t)(from->x + from->width),
			.y2 = (int32_t)(from->y + from->height),
		};
	}
	if (drmModeCreatePropertyBlob(
		output->card->fd, rects, layer->damage_count * sizeof(rects[0]), &blob) < 0)
		return 0;
	return blob;
}

/* ---------------------------------------------------------------- the commit */

/* A plan with the layers, and with black below where it says so. */
struct stack {
	struct seat_layer layers[KMS_PLAN_MAX];
	unsigned count;
};

static uint64_t planes_of(const struct kms_plan *plan)
{
	uint64_t planes = 0;

	for (unsigned i = 0; i < plan->count; i++)
		planes |= UINT64_C(1) << plan->choices[i].plane;
	return planes;
}

/* With a mode, all planes of the CRTC's are set: others may have left something on them. */
static uint64_t planes_to_clear(const struct kms_output *output, uint64_t planes)
{
	const struct kms_card *card = output->card;
	uint64_t clear = output->shown.planes | output->next.planes;

	for (unsigned i = 0; output->modeset && i < card->plane_count; i++) {
		const struct kms_plane *plane = &card->planes[i];

		if (plane->crtc == output->crtc ||
		    (plane->crtc < 0 && plane->possible_crtcs == UINT32_C(1) << output->crtc &&
			plane->type != DRM_PLANE_TYPE_CURSOR))
			clear |= UINT64_C(1) << i;
	}
	return clear & ~planes;
}

static int submit(
    struct kms_output *output, const struct kms_plan *plan, const struct stack *stack, bool test)
{
	struct kms_card *card = output->card;
	struct kms_request *request = &card->request;
	uint64_t clear = planes_to_clear(output, planes_of(plan));
	uint32_t flags = output->modeset ? DRM_MODE_ATOMIC_ALLOW_MODESET : 0;
	uint32_t blobs[KMS_PLAN_MAX];
	int rc;

	kms_request_reset(request);
	if (output->modeset)
		request_mode(output);
	for (unsigned i = 0; i < card->plane_count; i++) {
		if (clear >> i & 1)
			request_plane_off(request, &card->planes[i]);
	}
	for (unsigned i = 0; i < stack->count; i++) {
		const struct kms_plane *plane = &card->planes[plan->choices[i].plane];

		blobs[i] = test ? 0 : make_damage(output, plane, &stack->layers[i]);
		request_plane(output, &plan->choices[i], &stack->layers[i], blobs[i]);
	}
	if (!stack->count && !clear && !output->modeset) {
		/* Nothing, as before: a flip of the CRTC alone. */
		const struct kms_crtc *crtc = &card->crtcs[output->crtc];

		kms_request_object(request, crtc->id);
		kms_request_set(request, crtc->properties[KMS_CRTC_ACTIVE].id, 1);
	}
	if (test) {
		rc = kms_request_commit(request, card->fd, flags | DRM_MODE_ATOMIC_TEST_ONLY, 0);
	} else {
		flags |= DRM_MODE_PAGE_FLIP_EVENT;
		rc = kms_request_commit(
		    request, card->fd, flags | DRM_MODE_ATOMIC_NONBLOCK, ++output->flip_serial);
		/* Another output's mode, or what was here before us: a frame's time at most */
		if (rc == -EBUSY)
			rc = kms_request_commit(request, card->fd, flags, ++output->flip_serial);
	}
	for (unsigned i = 0; i < stack->count; i++) {
		if (blobs[i])
			drmModeDestroyPropertyBlob(card->fd, blobs[i]);
	}
	return rc;
}

static int refuse(struct kms_output *output, int rc)
{
	switch (rc) {
	case -EACCES:
	case -EPERM:
		kms_card_lost(output->card);
		return -EPERM;
	case -ENODEV:
	case -EBUSY:
	case -ENOMEM:
		return rc;
	default: /* ERANGE, ENOSPC, EINVAL: not these layers */
		log_debug("Output %s: refused by the driver: %s", output->base.name, strerror(-rc));
		return -EINVAL;
	}
}

static int make_black(struct kms_output *output)
{
	const struct seat_mode *mode = &output->base.mode;

	if (output->black && output->black->base.width == mode->width &&
	    output->black->base.height == mode->height)
		return 0;
	if (output->black)
		kms_fb_free(output->black);
	output->black = NULL;
	return kms_fb_allocate(output->card, mode->width, mode->height, false, &output->black);
}

static int build_stack(struct kms_output *output, const struct seat_layer *layers, unsigned count,
    bool black, struct stack *stack)
{
	int rc;

	stack->count = 0;
	if (black) {
		rc = make_black(output);
		if (rc < 0)
			return rc;
		stack->layers[stack->count++] = (struct seat_layer){
			.fb = &output->black->base,
			.source = { .width = output->base.mode.width,
			    .height = output->base.mode.height },
			.width = output->base.mode.width,
			.height = output->base.mode.height,
			.alpha = UINT16_MAX,
			.fence_fd = -1,
		};
	}
	memcpy(stack->layers + stack->count, layers, count * sizeof(*layers));
	stack->count += count;
	return 0;
}

/* Chooses planes, and asks the driver. */
static int try_plan(struct kms_output *output, const struct seat_layer *layers, unsigned count,
    struct kms_plan *plan, struct stack *stack)
{
	struct kms_plane_traits planes[KMS_PLANES_MAX];
	struct kms_layer_traits traits[KMS_PLAN_MAX];
	int rc = build_stack(output, layers, count, plan->black, stack);

	if (rc < 0)
		return rc;
	describe_planes(output, planes);
	for (unsigned i = 0; i < stack->count; i++)
		describe_layer(&stack->layers[i], i == 0, &traits[i]);
	plan->count = stack->count;
	rc = kms_planes_choose(
	    planes, output->card->plane_count, traits, stack->count, plan->choices);
	return rc < 0 ? rc : submit(output, plan, stack, true);
}

/* A plan for this shape, the last one if it was the same; @stack is what it shows. */
static int make_plan(struct kms_output *output, const struct seat_layer *layers, unsigned count,
    const struct kms_shape *shape, struct stack *stack)
{
	struct kms_plan plan = { .shape = *shape, .generation = output->card->plane_generation };
	int rc = -EINVAL;

	if (output->plan.generation == plan.generation && !output->modeset &&
	    !memcmp(&output->plan.shape, shape, sizeof(*shape)))
		return build_stack(output, layers, count, output->plan.black, stack);
	if (output->refused_generation == plan.generation && !output->modeset &&
	    !memcmp(&output->refused, shape, sizeof(*shape)))
		return -EINVAL;
	if (count)
		rc = try_plan(output, layers, count, &plan, stack);
	/* Most primary planes must be as large as the output. */
	if (rc < 0 && rc != -EACCES && rc != -EPERM && (!count || !covers(output, &layers[0]))) {
		plan.black = true;
		rc = try_plan(output, layers, count, &plan, stack);
	}
	if (rc < 0) {
		rc = refuse(output, rc);
		if (rc == -EINVAL) {
			output->refused = *shape;
			output->refused_generation = plan.generation;
		}
		return rc;
	}
	output->plan = plan;
	output->shown_plan = false;
	return 0;
}

static bool must_wait_for(const struct seat_layer *layer)
{
	struct pollfd fence = { .fd = layer->fence_fd, .events = POLLIN };

	/* A sync file is readable when it has signalled. */
	if (layer->fence_fd >= 0 && poll(&fence, 1, 0) == 0)
		return true;
	return kms_fb_busy((const struct kms_fb *)layer->fb);
}

/* Planes of the old and the new picture are nobody else's until the flip. */
static void own_planes(struct kms_output *output, uint64_t planes)
{
	struct kms_card *card = output->card;

	for (unsigned i = 0; i < card->plane_count; i++) {
		struct kms_plane *plane = &card->planes[i];
		bool ours = planes >> i & 1;

		if (ours && plane->crtc < 0)
			plane->crtc = output->crtc;
		else if (!ours && plane->crtc == output->crtc)
			plane->crtc = -1;
		else
			continue;
		/* Others' refused stacks may work now. Ours were chosen among the same planes. */
		card->plane_generation++;
		output->plan.generation = card->plane_generation;
	}
}

static void begin_flip(struct kms_output *output, const struct stack *stack)
{
	struct kms_frame *next = &output->next;

	next->count = stack->count;
	next->planes = planes_of(&output->plan);
	output->pending_slow = output->modeset;
	for (unsigned i = 0; i < stack->count; i++) {
		next->fbs[i] = (struct kms_fb *)stack->layers[i].fb;
		kms_fb_use(next->fbs[i]);
		output->pending_slow |= must_wait_for(&stack->layers[i]);
	}
	own_planes(output, next->planes | output->shown.planes);
	if (output->modeset)
		kms_cursor_renew(output);
	output->pending = true;
	output->modeset = false;
	output->shown_plan = true;
}

int kms_output_commit(
    struct kms_output *output, const struct seat_layer *layers, unsigned count, bool test)
{
	struct kms_shape shape;
	struct stack stack;
	int rc;

	if (!output->kms->base.active)
		return -EPERM;
	if (!output->mode_blob || output->off_waiting || output->crtc < 0 || output->card->fd < 0)
		return -ENODEV;
	if (output->pending && !test)
		return -EBUSY;
	if (!make_shape(output, layers, count, &shape))
		return -EINVAL;
	rc = make_plan(output, layers, count, &shape, &stack);
	if (rc < 0 || test)
		return rc;
	rc = submit(output, &output->plan, &stack, false);
	if (rc < 0) {
		/* It was judged before: the monitor has vanished, or the driver has no more
		 * bandwidth now. */
		output->plan.shape.count = UINT32_MAX;
		return refuse(output, rc);
	}
	begin_flip(output, &stack);
	return 0;
}

/* ---------------------------------------------------------------- flips */

static void forget_frame(struct kms_frame *frame)
{
	for (unsigned i = 0; i < frame->count; i++)
		kms_fb_unuse(frame->fbs[i]);
	frame->count = 0;
	frame->planes = 0;
}

static void finish_flip(struct kms_output *output)
{
	struct seat_backend_listener *listener = &output->kms->base.listener;

	if (!output->pending)
		return;
	output->pending = false;
	forget_frame(&output->shown);
	output->shown = output->next;
	output->next = (struct kms_frame){ 0 };
	own_planes(output, output->shown.planes);
	kms_cursor_catch_up(output);
	if (output->off_waiting)
		kms_output_off(output);
	if (listener->flipped)
		listener->flipped(
		    listener->data, &output->base, output->sequence, output->flip_time_ns);
}

static int handle_pace(sd_event_source *source, uint64_t usec, void *data)
{
	struct kms_output *output = data;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	output->flip_time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	finish_flip(output);
	return 0;
}

/* Flips of a card without vertical blanks are done at once; what is shown has a rate all the same.
 * False: this one is not too early. */
static bool pace(struct kms_output *output, uint64_t time_ns)
{
	uint32_t refresh = output->base.mode.refresh ? output->base.mode.refresh : 60000;
	uint64_t due_ns = output->flip_time_ns + UINT64_C(1000000000000) / refresh;
	uint64_t due_usec = due_ns / 1000;

	output->sequence++;
	if (due_ns <= time_ns)
		return false;
	if (output->pace)
		return sd_event_source_set_time(output->pace, due_usec) >= 0 &&
		       sd_event_source_set_enabled(output->pace, SD_EVENT_ONESHOT) >= 0;
	return sd_event_add_time(output->kms->event, &output->pace, CLOCK_MONOTONIC, due_usec, 1,
		   handle_pace, output) >= 0;
}

void kms_output_flipped(
    struct kms_output *output, uint64_t user_data, uint64_t sequence, uint64_t time_ns)
{
	/* Of a commit before a switch of virtual terminals. user_data is a pointer in between. */
	if (!output->pending || (uintptr_t)user_data != (uintptr_t)output->flip_serial)
		return;
	if (!output->card->has_vblank) {
		if (pace(output, time_ns))
			return;
	} else {
		output->sequence = sequence;
	}
	output->flip_time_ns = time_ns;
	finish_flip(output);
}

void kms_output_forget_frames(struct kms_output *output)
{
	output->pending = false;
	output->flip_serial++;
	if (output->pace)
		sd_event_source_set_enabled(output->pace, SD_EVENT_OFF);
	forget_frame(&output->shown);
	forget_frame(&output->next);
	if (output->card)
		own_planes(output, 0);
	output->plan.shape.count = UINT32_MAX;
	output->refused.count = UINT32_MAX;
	output->shown_plan = false;
}

/* ---------------------------------------------------------------- off */

static void send_off(struct kms_output *output)
{
	struct kms_card *card = output->card;
	struct kms_request *request = &card->request;
	int rc;

	kms_request_reset(request);
	for (unsigned i = 0; i < card->plane_count; i++) {
		const struct kms_plane *plane = &card->planes[i];

		if (plane->crtc == output->crtc ||
		    (plane->type == DRM_PLANE_TYPE_CURSOR &&
			plane->possible_crtcs == UINT32_C(1) << output->crtc))
			request_plane_off(request, plane);
	}
	request_crtc_off(request, &card->crtcs[output->crtc]);
	kms_request_object(request, output->connector);
	kms_request_set(request, output->properties[KMS_CONNECTOR_CRTC_ID].id, 0);
	rc = kms_request_commit(request, card->fd, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	/* A connector that has gone (MST) cannot be named any more. */
	if (rc == -ENOENT) {
		request->object_count--;
		rc = kms_request_commit(request, card->fd, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	}
	/* A card that has gone, or is somebody else's, is dark as far as we are concerned. */
	if (rc < 0 && rc != -ENODEV && rc != -EACCES)
		log_guest(&card->log, "Cannot switch output %s off: %s", output->base.name,
		    strerror(-rc));
}

void kms_output_off(struct kms_output *output)
{
	struct kms_card *card = output->card;

	output->base.mode = (struct seat_mode){ 0 };
	if (!output->mode_blob)
		return;
	if (output->pending && card->fd >= 0 && output->kms->base.active && output->connector) {
		output->off_waiting = true;
		return;
	}
	output->off_waiting = false;
	if (card->fd >= 0) {
		if (output->kms->base.active && output->crtc >= 0)
			send_off(output);
		drmModeDestroyPropertyBlob(card->fd, output->mode_blob);
	}
	output->mode_blob = 0;
	output->modeset = false;
	kms_output_forget_frames(output);
	if (output->black)
		kms_fb_free(output->black);
	output->black = NULL;
}

/* ---------------------------------------------------------------- what others have left */

static bool ours(const struct kms_card *card, unsigned crtc)
{
	for (unsigned i = 0; i < card->kms->base.output_count; i++) {
		const struct kms_output *output = &card->kms->outputs[i];

		if (output->card == card && output->connector && output->crtc == (int)crtc)
			return true;
	}
	return false;
}

static void request_clear(struct kms_card *card, bool all)
{
	struct kms_request *request = &card->request;

	kms_request_reset(request);
	for (unsigned i = 0; i < card->plane_count; i++) {
		const struct kms_plane *plane = &card->planes[i];

		/* A primary plane is often not to be switched off without its CRTC. */
		if (all || plane->type != DRM_PLANE_TYPE_PRIMARY)
			request_plane_off(request, plane);
	}
	for (unsigned i = 0; i < card->crtc_count; i++) {
		if (all || !ours(card, i))
			request_crtc_off(request, &card->crtcs[i]);
	}
	for (unsigned i = 0; i < card->kms->base.output_count; i++) {
		const struct kms_output *output = &card->kms->outputs[i];
		uint64_t crtc = output->properties[KMS_CONNECTOR_CRTC_ID].value;

		if (output->card != card || !output->connector ||
		    (!all && output->crtc >= 0 && crtc == card->crtcs[output->crtc].id))
			continue;
		kms_request_object(request, output->connector);
		kms_request_set(request, output->properties[KMS_CONNECTOR_CRTC_ID].id, 0);
	}
}

void kms_card_clear(struct kms_card *card)
{
	int rc;

	request_clear(card, false);
	rc = kms_request_commit(&card->request, card->fd, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	if (rc < 0) {
		request_clear(card, true);
		rc = kms_request_commit(&card->request, card->fd, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	}
	if (rc < 0)
		log_warning(
		    "%s: cannot switch off what was on its screens: %s", card->path, strerror(-rc));
}
