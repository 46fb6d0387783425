/* SPDX-License-Identifier: MIT */
/* Damage: one rectangle around all that changed. */
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

#endif
