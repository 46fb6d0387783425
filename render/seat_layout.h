/* SPDX-License-Identifier: MIT */
/*
 * Where everything is: outputs on a desktop, and on each output the views of guests' scan-outs,
 * one above the other. Plain data, which the seat (seat.c) keeps and input is routed by.
 */
#ifndef GPUDOM_RENDER_SEAT_LAYOUT_H
#define GPUDOM_RENDER_SEAT_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "render/seat_backend.h"

#define SEAT_GUESTS_MAX 64
#define SEAT_GUEST_NAME_MAX 64
#define SEAT_VIEWS_MAX 64

struct seat_place {       /* of an output */
	const char *name; /* of the output; the layout's owner's */
	int32_t x, y;     /* on the desktop */
	uint32_t width, height;
	bool on;
};

struct seat_view {
	const char *guest; /* its name; the layout's owner's */
	unsigned scanout;
	unsigned output;        /* index of seat_layout.places */
	int32_t x, y;           /* on the output */
	uint32_t width, height; /* there */
	int32_t order;          /* the higher, the nearer to the eye */
	uint16_t alpha;         /* 65535: opaque */
	bool visible;           /* false: another guest has this place now (focus brings it back) */
	/* Of the guest's own picture, shown there or not; 0: it has the scan-out off. */
	uint32_t frame_width, frame_height;
};

struct seat_layout {
	struct seat_place places[SEAT_OUTPUTS_MAX];
	unsigned place_count;
	struct seat_view views[SEAT_VIEWS_MAX]; /* by output, and in their order there */
	unsigned view_count;
	unsigned generation; /* another one after each change */
};

/* The topmost visible view at a point of the desktop; NULL: none. */
const struct seat_view *seat_layout_view_at(const struct seat_layout *layout, double x, double y);

/* Moves the point (*@x, *@y) by (@dx, @dy); it stays on outputs that are on: from one to the next
 * where they touch, and at the edge where none does. */
void seat_layout_move(const struct seat_layout *layout, double *x, double *y, double dx, double dy);

#endif
