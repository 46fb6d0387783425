/* SPDX-License-Identifier: MIT */
/*
 * What is to be seen on an output, as layers; how many of them, from the bottom up, have to be
 * composed because the backend has no planes for them; and composing these. What the backend has
 * refused is remembered by the stack's shape, so that it is not asked with every frame.
 */
#include <errno.h>
#include <string.h>

#include "render/seat_private.h"

/* ---------------------------------------------------------------- building */

static void stack_add(struct seat_stack *stack, struct seat_scanout *scanout,
    const struct seat_layer *layer, struct seat_buffer *buffer, bool cursor)
{
	if (stack->count == STACK_MAX)
		return;
	stack->layers[stack->count] = *layer;
	stack->buffers[stack->count] = buffer;
	stack->scanouts[stack->count] = scanout;
	stack->cursor[stack->count++] = cursor;
}

/* No rectangle is "all", and this one "nothing"; for backends a pixel, since the kernel refuses
 * empty ones. */
static const struct display_rect no_damage = { 0 }, a_pixel = { 0, 0, 1, 1 };

static void layer_set_damage(struct seat_layer *layer, const struct seat_damage *damage)
{
	layer->damage = NULL;
	layer->damage_count = 0;
	if (damage->all)
		return;
	layer->damage = damage->count ? damage->rects : &no_damage;
	layer->damage_count = damage->count ? damage->count : 1;
}

static void stack_add_scanout(struct seat_stack *stack, struct seat_scanout *scanout)
{
	const struct seat_fit fit = scanout_fit(scanout);
	struct seat_layer layer = {
		.fb = scanout->shown.buffer->fb,
		.source = scanout->shown.source,
		.x = fit.x,
		.y = fit.y,
		.width = fit.width,
		.height = fit.height,
		.alpha = scanout->view.alpha,
		.fence_fd = -1,
	};

	layer_set_damage(&layer, &scanout->damage);
	stack_add(stack, scanout, &layer, scanout->shown.buffer, false);
}

static void stack_add_cursor(struct seat_stack *stack, struct seat_scanout *scanout, bool all)
{
	struct seat_layer layer = { .alpha = UINT16_MAX, .fence_fd = -1 };
	struct seat_buffer *buffer;

	if (!scanout_cursor_layer(scanout, all, &layer, &buffer))
		return;
	if (!scanout->cursor_damaged) {
		layer.damage = &no_damage;
		layer.damage_count = 1;
	}
	stack_add(stack, scanout, &layer, buffer, true);
}

void stack_build(struct seat_screen *screen, bool cursors, struct seat_stack *stack)
{
	const struct seat_layout *layout = &screen->seat->layout;

	stack->count = 0;
	for (unsigned i = 0; i < layout->view_count; i++) {
		struct seat_scanout *scanout = screen->seat->laid[i];

		if (layout->views[i].output != screen->output->index || !layout->views[i].visible)
			continue;
		if (scanout->shown.buffer)
			stack_add_scanout(stack, scanout);
		stack_add_cursor(stack, scanout, cursors);
	}
}

/* ---------------------------------------------------------------- composing */

static bool layer_same_place(const struct seat_laid *laid, const struct seat_layer *layer)
{
	return laid->x == layer->x && laid->y == layer->y && laid->width == layer->width &&
	       laid->height == layer->height && laid->alpha == layer->alpha &&
	       !memcmp(&laid->source, &layer->source, sizeof(laid->source));
}

/* Are they the layers that were composed last, in whatever places? */
static bool screen_same_layers(
    const struct seat_screen *screen, const struct seat_stack *stack, unsigned count)
{
	if (!screen->canvas || screen->laid_count != count)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (screen->laid[i].scanout != stack->scanouts[i] ||
		    screen->laid[i].cursor != stack->cursor[i])
			return false;
	return true;
}

static void damage_layer(const struct seat_screen *screen, const struct seat_layer *layer,
    const struct display_rect *rect, struct seat_damage *damage)
{
	struct display_rect mapped;

	if (seat_compose_map(
		layer, rect, screen->output->mode.width, screen->output->mode.height, &mapped))
		seat_damage_add(damage, &mapped);
}

/* What differs from what was composed last, on the output. */
static void screen_damage(const struct seat_screen *screen, const struct seat_stack *stack,
    unsigned count, struct seat_damage *damage)
{
	*damage = (struct seat_damage){ .all = !screen_same_layers(screen, stack, count) };
	for (unsigned i = 0; i < count && !damage->all; i++) {
		const struct seat_layer *layer = &stack->layers[i];
		const struct seat_laid *laid = &screen->laid[i];

		if (!layer_same_place(laid, layer)) {
			const struct seat_layer before = { .source = laid->source,
				.x = laid->x,
				.y = laid->y,
				.width = laid->width,
				.height = laid->height };

			damage_layer(screen, &before, &before.source, damage);
			damage_layer(screen, layer, &layer->source, damage);
		} else if (!layer->damage) {
			damage_layer(screen, layer, &layer->source, damage);
		}
		for (unsigned d = 0; layer->damage && d < layer->damage_count; d++)
			damage_layer(screen, layer, &layer->damage[d], damage);
	}
}

/* No canvas either: of nothing that was composed the next nothing would be taken to be the same. */
void screen_forget_laid(struct seat_screen *screen)
{
	screen->laid_count = 0;
	screen->canvas = NULL;
}

static void screen_remember(
    struct seat_screen *screen, const struct seat_stack *stack, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct seat_layer *layer = &stack->layers[i];

		screen->laid[i] = (struct seat_laid){ .scanout = stack->scanouts[i],
			.cursor = stack->cursor[i],
			.source = layer->source,
			.x = layer->x,
			.y = layer->y,
			.width = layer->width,
			.height = layer->height,
			.alpha = layer->alpha };
	}
	screen->laid_count = count;
}

static void stack_compose(
    struct seat_stack *stack, unsigned count, struct seat_image *to, const struct seat_damage *area)
{
	struct seat_compose_layer layers[STACK_MAX] = { 0 };
	struct seat_backend *backend;

	for (unsigned i = 0; i < count; i++)
		layers[i] = (struct seat_compose_layer){ &stack->layers[i],
			buffer_image(stack->buffers[i]) };
	for (unsigned i = 0; i < count; i++) {
		backend = stack->buffers[i]->seat->backend;
		if (layers[i].image && stack->buffers[i]->imported)
			backend->impl->begin_read(backend, stack->buffers[i]->fb);
	}
	seat_compose(to, layers, count, area);
	for (unsigned i = 0; i < count; i++) {
		backend = stack->buffers[i]->seat->backend;
		if (layers[i].image && stack->buffers[i]->imported)
			backend->impl->end_read(backend, stack->buffers[i]->fb);
	}
}

void stack_draw(struct seat_stack *stack, struct seat_image *to, int32_t x, int32_t y)
{
	const struct seat_damage all = { .all = true };

	for (unsigned i = 0; i < stack->count; i++) {
		stack->layers[i].x += x;
		stack->layers[i].y += y;
	}
	stack_compose(stack, stack->count, to, &all);
}

/* One of the two that nobody reads, as large as the output. NULL: no memory. */
static struct seat_canvas *screen_canvas(struct seat_screen *screen)
{
	struct seat_backend *backend = screen->seat->backend;
	const struct seat_mode *mode = &screen->output->mode;
	struct seat_canvas *canvas = &screen->canvases[0];
	struct seat_fb *fb;

	if (canvas->buffer && canvas->buffer->refs > 1)
		canvas++;
	if (canvas->buffer && canvas->buffer->fb->width == mode->width &&
	    canvas->buffer->fb->height == mode->height)
		return canvas;
	buffer_unref(canvas->buffer);
	*canvas = (struct seat_canvas){ .stale.all = true };
	if (backend->impl->allocate(
		backend, screen->output, mode->width, mode->height, false, &fb) < 0 ||
	    buffer_create(screen->seat, fb, &canvas->buffer) < 0)
		return NULL;
	buffer_ref(canvas->buffer);
	return canvas;
}

/* ---------------------------------------------------------------- plans */

static uint64_t hash_add(uint64_t hash, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++, value >>= 8)
		hash = (hash ^ (value & 0xff)) * UINT64_C(1099511628211); /* FNV-1a */
	return hash;
}

/* What a backend may mind about a stack; where on the output a layer is only roughly. */
static uint64_t stack_shape(const struct seat_screen *screen, const struct seat_stack *stack)
{
	const struct seat_mode *mode = &screen->output->mode;
	uint64_t hash = hash_add(UINT64_C(14695981039346656037), stack->count);

	hash = hash_add(hash, (uint64_t)mode->width << 32 | mode->height);
	for (unsigned i = 0; i < stack->count; i++) {
		const struct seat_layer *layer = &stack->layers[i];
		const bool inside = layer->x >= 0 && layer->y >= 0 &&
				    (int64_t)layer->x + layer->width <= mode->width &&
				    (int64_t)layer->y + layer->height <= mode->height;

		hash = hash_add(hash, (uint64_t)layer->fb->width << 32 | layer->fb->height);
		hash = hash_add(hash, (uint64_t)layer->fb->stride << 32 | layer->fb->fourcc);
		hash = hash_add(hash, stack->buffers[i]->modifier);
		hash = hash_add(hash, (uint64_t)layer->source.width << 32 | layer->source.height);
		hash = hash_add(hash, (uint64_t)layer->source.x << 32 | layer->source.y);
		hash = hash_add(hash, (uint64_t)layer->width << 32 | layer->height);
		hash = hash_add(hash, (uint64_t)layer->alpha << 32 | (uint64_t)inside << 16 |
					  (uint64_t)layer->fb->y0_top << 8 |
					  stack->buffers[i]->imported);
	}
	return hash;
}

static struct seat_plan *plan_find(struct seat_screen *screen, uint64_t shape)
{
	for (unsigned i = 0; i < screen->plan_count; i++)
		if (screen->plans[i].shape == shape)
			return &screen->plans[i];
	return NULL;
}

static struct seat_plan *plan_add(struct seat_screen *screen, uint64_t shape, unsigned composed)
{
	struct seat_plan *plan = &screen->plans[screen->plan_next];

	screen->plan_next = (screen->plan_next + 1) % PLANS_MAX;
	if (screen->plan_count < PLANS_MAX)
		screen->plan_count++;
	*plan = (struct seat_plan){ .shape = shape, .composed = composed };
	return plan;
}

void stack_forget_plans(struct seat_screen *screen)
{
	screen->plan_count = screen->plan_next = 0;
}

/* The stack with its lowest @composed layers in one. Where nothing is to be seen, and where nothing
 * covers the output, the canvas is black. */
static int stack_reduce(struct seat_screen *screen, const struct seat_stack *stack,
    unsigned composed, struct seat_canvas **canvas, struct seat_layer *layers,
    struct seat_buffer **buffers, unsigned *count)
{
	const struct seat_mode *mode = &screen->output->mode;
	unsigned n = 0;

	*canvas = NULL;
	if (composed || !stack->count) {
		*canvas = screen_canvas(screen);
		if (!*canvas)
			return -ENOMEM;
		buffers[n] = (*canvas)->buffer;
		layers[n++] = (struct seat_layer){ .fb = (*canvas)->buffer->fb,
			.source = { 0, 0, mode->width, mode->height },
			.width = mode->width,
			.height = mode->height,
			.alpha = UINT16_MAX,
			.fence_fd = -1 };
	}
	if (stack->count - composed + n > SEAT_LAYERS_MAX)
		return -EINVAL;
	for (unsigned i = composed; i < stack->count; i++) {
		buffers[n] = stack->buffers[i];
		layers[n] = stack->layers[i];
		if (layers[n].damage == &no_damage)
			layers[n].damage = &a_pixel;
		n++;
	}
	*count = n;
	return 0;
}

/* As many layers on planes as can be: composes none, or the lowest one, two, ... */
static struct seat_plan *stack_plan(
    struct seat_screen *screen, const struct seat_stack *stack, uint64_t shape, unsigned composed)
{
	struct seat_backend *backend = screen->seat->backend;
	struct seat_layer layers[SEAT_LAYERS_MAX];
	struct seat_buffer *buffers[SEAT_LAYERS_MAX];
	struct seat_canvas *canvas;
	unsigned count;
	int error = -EINVAL;

	for (; composed < stack->count; composed++) {
		error = stack_reduce(screen, stack, composed, &canvas, layers, buffers, &count);
		if (error == 0) {
			screen->tests++;
			error = backend->impl->commit(backend, screen->output, layers, count, true);
		}
		if (error != -EINVAL)
			break;
	}
	return plan_add(screen, shape, composed);
}

/* ---------------------------------------------------------------- showing */

static void screen_hold(struct seat_screen *screen, struct seat_buffer **buffers, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		screen->committed[i] = buffer_ref(buffers[i]);
	screen->committed_count = count;
}

/* Draws what is new into the canvas. */
static void screen_compose(struct seat_screen *screen, struct seat_stack *stack, unsigned composed,
    struct seat_canvas *canvas, const struct seat_damage *damage)
{
	struct seat_image *image = buffer_image(canvas->buffer);

	for (unsigned i = 0; i < 2; i++)
		seat_damage_merge(&screen->canvases[i].stale, damage);
	if (!image)
		return;
	stack_compose(stack, composed, image, &canvas->stale);
	screen->composed++;
	canvas->stale = (struct seat_damage){ 0 };
}

static int stack_commit(struct seat_screen *screen, struct seat_stack *stack, unsigned composed)
{
	struct seat_backend *backend = screen->seat->backend;
	struct seat_layer layers[SEAT_LAYERS_MAX];
	struct seat_buffer *buffers[SEAT_LAYERS_MAX];
	struct seat_damage damage;
	struct seat_canvas *canvas;
	unsigned count;
	int error = stack_reduce(screen, stack, composed, &canvas, layers, buffers, &count);

	if (error < 0)
		return error;
	if (canvas) {
		screen_damage(screen, stack, composed, &damage);
		/* What was composed last is right. */
		if (screen->canvas && seat_damage_is_empty(&damage)) {
			canvas = screen->canvas;
			buffers[0] = canvas->buffer;
			layers[0].fb = canvas->buffer->fb;
		} else {
			screen_compose(screen, stack, composed, canvas, &damage);
		}
		layer_set_damage(&layers[0], &damage);
		if (layers[0].damage == &no_damage)
			layers[0].damage = &a_pixel;
	}
	error = backend->impl->commit(backend, screen->output, layers, count, false);
	if (error < 0) {
		screen_forget_laid(screen); /* what the canvases have may not be on screen */
		return error;
	}
	screen_hold(screen, buffers, count);
	screen->canvas = canvas;
	screen_remember(screen, stack, canvas ? composed : 0);
	return 0;
}

static const char *layer_why(const struct seat_stack *stack, unsigned i)
{
	const struct seat_layer *layer = &stack->layers[i];

	if (buffer_image(stack->buffers[i]) == NULL)
		return "neither a plane nor the CPU can read it";
	if (layer->source.width != layer->width || layer->source.height != layer->height)
		return "no plane scales it";
	return stack->count > 1 ? "there are too few planes" : "no plane shows it";
}

static void stack_tell_paths(struct seat_stack *stack, unsigned composed)
{
	for (unsigned i = 0; i < stack->count; i++) {
		struct seat_scanout *scanout = stack->scanouts[i];

		if (stack->cursor[i])
			continue;
		scanout->path = i < composed ? SEAT_PATH_COMPOSED : SEAT_PATH_PLANE;
		scanout->why = i < composed ? layer_why(stack, i) : NULL;
	}
}

int stack_show(struct seat_screen *screen, struct seat_stack *stack)
{
	const uint64_t shape = stack_shape(screen, stack);
	struct seat_plan *plan = plan_find(screen, shape);
	unsigned composed;
	int error;

	if (!plan)
		plan = stack_plan(screen, stack, shape, 0);
	composed = plan->composed;
	error = stack_commit(screen, stack, composed);
	/* Tests are no promises, and positions are not part of the shape. */
	while (error == -EINVAL && composed < stack->count) {
		plan->shape = 0;
		plan = stack_plan(screen, stack, shape, composed + 1);
		composed = plan->composed;
		error = stack_commit(screen, stack, composed);
	}
	if (error == 0)
		stack_tell_paths(stack, composed);
	else if (error != -EBUSY)
		plan->shape = 0;
	return error;
}
