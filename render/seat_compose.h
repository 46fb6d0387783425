/* SPDX-License-Identifier: MIT */
/*
 * Composes layers with the CPU (pixman): what planes cannot show, captures, and the memory backend.
 * Nothing is allocated for a frame.
 */
#ifndef GPUDOM_RENDER_SEAT_COMPOSE_H
#define GPUDOM_RENDER_SEAT_COMPOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/display.h"
#include "render/seat_backend.h"

/* A list of rectangles inside a picture; those beyond the room are brought together. */
#define SEAT_DAMAGE_RECTS 16
struct seat_damage {
	bool all;
	unsigned count;
	struct display_rect rects[SEAT_DAMAGE_RECTS];
};
void seat_damage_add(struct seat_damage *damage, const struct display_rect *rect);
void seat_damage_merge(struct seat_damage *damage, const struct seat_damage *other);
bool seat_damage_is_empty(const struct seat_damage *damage);

/* Memory as pixman sees it. */
struct seat_image;
/* @memory has fb->height rows of fb->stride bytes and outlives the image. -ENOTSUP: of a format
 * that cannot be read. -ENOMEM */
int seat_image_create(const struct seat_fb *fb, void *memory, struct seat_image **image);
/* Accepts NULL. */
void seat_image_destroy(struct seat_image *image);
bool seat_format_readable(uint32_t fourcc);
bool seat_format_has_alpha(uint32_t fourcc);

struct seat_compose_layer {
	const struct seat_layer *layer;
	struct seat_image *image;
};

/* Draws @layers, the first one at the bottom, on black, where @area of @to is damaged. */
void seat_compose(struct seat_image *to, const struct seat_compose_layer *layers, unsigned count,
    const struct seat_damage *area);

/* The part of @to (which is @width x @height) that shows @rect of the layer's source, with what
 * scaling blurs around it. False: nothing of it. */
bool seat_compose_map(const struct seat_layer *layer, const struct display_rect *rect,
    uint32_t width, uint32_t height, struct display_rect *mapped);

#endif
