/* SPDX-License-Identifier: MIT */
#include "render/seat_compose.h"

#include <drm_fourcc.h>
#include <errno.h>
#include <pixman.h>
#include <stdlib.h>
#include <string.h>

#include "backend/damage.h"

/* ---------------------------------------------------------------- damage */

void seat_damage_add(struct seat_damage *damage, const struct display_rect *rect)
{
	if (damage->all || damage_is_empty(rect))
		return;
	if (damage->count < SEAT_DAMAGE_RECTS) {
		damage->rects[damage->count++] = *rect;
		return;
	}
	for (unsigned i = 1; i < damage->count; i++)
		damage_add(&damage->rects[0], &damage->rects[i]);
	damage_add(&damage->rects[0], rect);
	damage->count = 1;
}

void seat_damage_merge(struct seat_damage *damage, const struct seat_damage *other)
{
	damage->all |= other->all;
	for (unsigned i = 0; i < other->count; i++)
		seat_damage_add(damage, &other->rects[i]);
}

bool seat_damage_is_empty(const struct seat_damage *damage)
{
	return !damage->all && !damage->count;
}

/* ---------------------------------------------------------------- images */

struct seat_image {
	pixman_image_t *pixels, *mask;
	uint16_t alpha; /* of the mask */
	bool has_alpha;
	uint32_t width, height;
};

static const struct {
	uint32_t fourcc;
	pixman_format_code_t pixman;
	bool alpha;
} formats[] = {
	{ DRM_FORMAT_XRGB8888, PIXMAN_x8r8g8b8, false },
	{ DRM_FORMAT_ARGB8888, PIXMAN_a8r8g8b8, true },
	{ DRM_FORMAT_XBGR8888, PIXMAN_x8b8g8r8, false },
	{ DRM_FORMAT_ABGR8888, PIXMAN_a8b8g8r8, true },
	{ DRM_FORMAT_BGRX8888, PIXMAN_b8g8r8x8, false },
	{ DRM_FORMAT_BGRA8888, PIXMAN_b8g8r8a8, true },
	{ DRM_FORMAT_RGBX8888, PIXMAN_r8g8b8x8, false },
	{ DRM_FORMAT_RGBA8888, PIXMAN_r8g8b8a8, true },
	{ DRM_FORMAT_XRGB2101010, PIXMAN_x2r10g10b10, false },
	{ DRM_FORMAT_ARGB2101010, PIXMAN_a2r10g10b10, true },
	{ DRM_FORMAT_XBGR2101010, PIXMAN_x2b10g10r10, false },
	{ DRM_FORMAT_RGB565, PIXMAN_r5g6b5, false },
};

static int format_find(uint32_t fourcc)
{
	for (unsigned i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (formats[i].fourcc == fourcc)
			return (int)i;
	return -1;
}

bool seat_format_readable(uint32_t fourcc)
{
	return format_find(fourcc) >= 0;
}

bool seat_format_has_alpha(uint32_t fourcc)
{
	const int format = format_find(fourcc);

	return format >= 0 && formats[format].alpha;
}

int seat_image_create(const struct seat_fb *fb, void *memory, struct seat_image **out)
{
	const int format = format_find(fb->fourcc);
	struct seat_image *image;
	uint8_t *first = memory;
	int stride = (int)fb->stride;

	if (format < 0 || fb->stride % 4 || fb->stride > INT32_MAX)
		return -ENOTSUP;
	image = calloc(1, sizeof(*image));
	if (!image)
		return -ENOMEM;
	if (!fb->y0_top) { /* the bottom row comes first: upwards from the last one */
		first += (size_t)fb->stride * (fb->height - 1);
		stride = -stride;
	}
	image->pixels = pixman_image_create_bits_no_clear(formats[format].pixman, (int)fb->width,
	    (int)fb->height, (uint32_t *)(void *)first, stride);
	if (!image->pixels) {
		free(image);
		return -ENOMEM;
	}
	image->has_alpha = formats[format].alpha;
	image->width = fb->width;
	image->height = fb->height;
	image->alpha = UINT16_MAX;
	*out = image;
	return 0;
}

void seat_image_destroy(struct seat_image *image)
{
	if (!image)
		return;
	if (image->mask)
		pixman_image_unref(image->mask);
	pixman_image_unref(image->pixels);
	free(image);
}

/* NULL where the layer is opaque. Made when the alpha changes, not for each frame. */
static pixman_image_t *image_mask(struct seat_image *image, uint16_t alpha)
{
	const pixman_color_t color = { .alpha = alpha };

	if (alpha == UINT16_MAX)
		return NULL;
	if (image->mask && image->alpha == alpha)
		return image->mask;
	if (image->mask)
		pixman_image_unref(image->mask);
	image->mask = pixman_image_create_solid_fill(&color);
	image->alpha = alpha;
	return image->mask;
}

/* ---------------------------------------------------------------- composing */

static int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t at_least(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* What two areas have in common; false: nothing. */
static bool box_clip(const struct display_rect *rect, int64_t left, int64_t top, int64_t right,
    int64_t bottom, struct display_rect *common)
{
	left = at_least(left, rect->x);
	top = at_least(top, rect->y);
	right = at_most(right, (int64_t)rect->x + rect->width);
	bottom = at_most(bottom, (int64_t)rect->y + rect->height);
	if (left >= right || top >= bottom)
		return false;
	*common = (struct display_rect){ (uint32_t)left, (uint32_t)top, (uint32_t)(right - left),
		(uint32_t)(bottom - top) };
	return true;
}

static bool layer_is_scaled(const struct seat_layer *layer)
{
	return layer->width != layer->source.width || layer->height != layer->source.height;
}

bool seat_compose_map(const struct seat_layer *layer, const struct display_rect *rect,
    uint32_t width, uint32_t height, struct display_rect *mapped)
{
	const struct display_rect all = { 0, 0, width, height };
	const struct display_rect *source = &layer->source;
	struct display_rect part;
	int64_t left, top, right, bottom;

	if (!source->width || !source->height ||
	    !box_clip(rect, source->x, source->y, (int64_t)source->x + source->width,
		(int64_t)source->y + source->height, &part))
		return false;
	left = part.x - source->x;
	top = part.y - source->y;
	right = left + part.width;
	bottom = top + part.height;
	if (layer_is_scaled(layer)) {
		/* A pixel of the source reaches its neighbours', and the result is rounded away. */
		left = (left - 1) * layer->width / source->width - 1;
		top = (top - 1) * layer->height / source->height - 1;
		right = (right + 1) * layer->width / source->width + 2;
		bottom = (bottom + 1) * layer->height / source->height + 2;
		left = at_least(left, 0);
		top = at_least(top, 0);
		right = at_most(right, layer->width);
		bottom = at_most(bottom, layer->height);
	}
	return box_clip(
	    &all, layer->x + left, layer->y + top, layer->x + right, layer->y + bottom, mapped);
}

static void image_set_up(struct seat_image *image, const struct seat_layer *layer)
{
	pixman_transform_t transform;

	if (!layer_is_scaled(layer)) {
		pixman_image_set_transform(image->pixels, NULL);
		pixman_image_set_filter(image->pixels, PIXMAN_FILTER_NEAREST, NULL, 0);
		pixman_image_set_repeat(image->pixels, PIXMAN_REPEAT_NONE);
		return;
	}
	pixman_transform_init_scale(&transform,
	    (pixman_fixed_t)(((uint64_t)layer->source.width << 16) / layer->width),
	    (pixman_fixed_t)(((uint64_t)layer->source.height << 16) / layer->height));
	transform.matrix[0][2] = pixman_int_to_fixed((int)layer->source.x);
	transform.matrix[1][2] = pixman_int_to_fixed((int)layer->source.y);
	pixman_image_set_transform(image->pixels, &transform);
	pixman_image_set_filter(image->pixels, PIXMAN_FILTER_BILINEAR, NULL, 0);
	pixman_image_set_repeat(image->pixels, PIXMAN_REPEAT_PAD);
}

static void layer_draw(
    struct seat_image *to, const struct seat_compose_layer *entry, const struct display_rect *area)
{
	const struct seat_layer *layer = entry->layer;
	struct display_rect part;
	pixman_image_t *mask;
	int x, y;

	if (!entry->image || !layer->alpha || !layer->source.width || !layer->source.height ||
	    !box_clip(area, layer->x, layer->y, (int64_t)layer->x + layer->width,
		(int64_t)layer->y + layer->height, &part))
		return;
	mask = image_mask(entry->image, layer->alpha);
	image_set_up(entry->image, layer);
	x = (int)((int64_t)part.x - layer->x);
	y = (int)((int64_t)part.y - layer->y);
	if (!layer_is_scaled(layer)) { /* where it is, the transform does that */
		x += (int)layer->source.x;
		y += (int)layer->source.y;
	}
	pixman_image_composite32(entry->image->has_alpha || mask ? PIXMAN_OP_OVER : PIXMAN_OP_SRC,
	    entry->image->pixels, mask, to->pixels, x, y, 0, 0, (int)part.x, (int)part.y,
	    (int)part.width, (int)part.height);
}

/* Does the bottom layer leave anything of @area as it was? */
static bool layer_covers(const struct seat_compose_layer *entry, const struct display_rect *area)
{
	const struct seat_layer *layer = entry->layer;

	return entry->image && !entry->image->has_alpha && layer->alpha == UINT16_MAX &&
	       layer->x <= (int64_t)area->x && layer->y <= (int64_t)area->y &&
	       (int64_t)layer->x + layer->width >= (int64_t)area->x + area->width &&
	       (int64_t)layer->y + layer->height >= (int64_t)area->y + area->height;
}

static void compose_area(struct seat_image *to, const struct seat_compose_layer *layers,
    unsigned count, const struct display_rect *area)
{
	static const pixman_color_t black = { .alpha = UINT16_MAX };
	const pixman_box32_t box = { (int32_t)area->x, (int32_t)area->y,
		(int32_t)(area->x + area->width), (int32_t)(area->y + area->height) };

	unsigned first = count;

	/* What is below an opaque one is not seen. */
	while (first && !layer_covers(&layers[first - 1], area))
		first--;
	if (first)
		first--;
	else
		pixman_image_fill_boxes(PIXMAN_OP_SRC, to->pixels, &black, 1, &box);
	for (unsigned i = first; i < count; i++)
		layer_draw(to, &layers[i], area);
}

void seat_compose(struct seat_image *to, const struct seat_compose_layer *layers, unsigned count,
    const struct seat_damage *area)
{
	const struct display_rect all = { 0, 0, to->width, to->height };
	struct display_rect part;

	if (area->all) {
		compose_area(to, layers, count, &all);
		return;
	}
	for (unsigned i = 0; i < area->count; i++)
		if (box_clip(&area->rects[i], 0, 0, to->width, to->height, &part))
			compose_area(to, layers, count, &part);
}
