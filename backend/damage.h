/* SPDX-License-Identifier: MIT */
/* Damage: one rectangle around all that changed, or a few that together are little more than it. */
#ifndef GPUDOM_BACKEND_DAMAGE_H
#define GPUDOM_BACKEND_DAMAGE_H

#include "backend/display.h"

static inline bool damage_is_empty(const struct display_rect *damage)
{
	return !damage->width || !damage->height;
}

/* Extends @damage to hold @rect. Both lie inside a picture: sums fit. */
static inline void damage_add(struct display_rect *damage, const struct display_rect *rect)
{
	uint32_t right, bottom;

	if (damage_is_empty(rect))
		return;
	if (damage_is_empty(damage)) {
		*damage = *rect;
		return;
	}
	right = damage->x + damage->width;
	if (right < rect->x + rect->width)
		right = rect->x + rect->width;
	bottom = damage->y + damage->height;
	if (bottom < rect->y + rect->height)
		bottom = rect->y + rect->height;
	if (rect->x < damage->x)
		damage->x = rect->x;
	if (rect->y < damage->y)
		damage->y = rect->y;
	damage->width = right - damage->x;
	damage->height = bottom - damage->y;
}

#define DAMAGE_RECTS_MAX 16

struct damage_region {
	unsigned count;
	struct display_rect rects[DAMAGE_RECTS_MAX]; /* they may overlap */
};

static inline uint64_t damage_area(const struct display_rect *rect)
{
	return (uint64_t)rect->width * rect->height;
}

/* All of @region, twice where rectangles overlap. */
static inline uint64_t damage_region_area(const struct damage_region *region)
{
	uint64_t area = 0;

	for (unsigned i = 0; i < region->count; i++)
		area += damage_area(&region->rects[i]);
	return area;
}

/* Adds @rect, joined with those that it makes no larger than they are together; where there are too
 * many, all become one. */
static inline void damage_region_add(struct damage_region *region, const struct display_rect *rect)
{
	struct display_rect added = *rect;
	unsigned i = 0;

	if (damage_is_empty(rect))
		return;
	while (i < region->count) {
		struct display_rect both = region->rects[i];

		damage_add(&both, &added);
		if (region->count < DAMAGE_RECTS_MAX &&
		    damage_area(&both) > damage_area(&region->rects[i]) + damage_area(&added)) {
			i++;
			continue;
		}
		/* What it has become may be joined with one that was passed */
		added = both;
		region->rects[i] = region->rects[--region->count];
		i = 0;
	}
	region->rects[region->count++] = added;
}

static inline void damage_region_set(struct damage_region *region, uint32_t width, uint32_t height)
{
	region->count = 0;
	damage_region_add(region, &(struct display_rect){ .width = width, .height = height });
}

#endif
