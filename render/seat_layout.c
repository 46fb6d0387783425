/* SPDX-License-Identifier: MIT */
#include "render/seat_layout.h"

static bool place_has(const struct seat_place *place, double x, double y)
{
	return place->on && x >= place->x && y >= place->y && x < (double)place->x + place->width &&
	       y < (double)place->y + place->height;
}

const struct seat_view *seat_layout_view_at(const struct seat_layout *layout, double x, double y)
{
	/* They are by output, and upwards there: the last one is the topmost. */
	for (unsigned i = layout->view_count; i-- > 0;) {
		const struct seat_view *view = &layout->views[i];
		const struct seat_place *place = &layout->places[view->output];
		const double left = (double)place->x + view->x, top = (double)place->y + view->y;

		if (view->visible && place_has(place, x, y) && x >= left && y >= top &&
		    x < left + view->width && y < top + view->height)
			return view;
	}
	return NULL;
}

static const struct seat_place *layout_place_at(
    const struct seat_layout *layout, double x, double y)
{
	for (unsigned i = 0; i < layout->place_count; i++)
		if (place_has(&layout->places[i], x, y))
			return &layout->places[i];
	return NULL;
}

/* A place's last pixel belongs to it as a whole: the point stays a bit inside. */
#define INSIDE (1.0 / 256)

static double bring_into(double n, double least, double most)
{
	return n < least ? least : n > most ? most : n;
}

/* The nearest point of @place. */
static double place_nearest(const struct seat_place *place, double *x, double *y)
{
	const double nx = bring_into(*x, place->x, (double)place->x + place->width - INSIDE);
	const double ny = bring_into(*y, place->y, (double)place->y + place->height - INSIDE);
	const double distance = (nx - *x) * (nx - *x) + (ny - *y) * (ny - *y);

	*x = nx;
	*y = ny;
	return distance;
}

/* The nearest point that is on any output that is on. */
static void layout_nearest(const struct seat_layout *layout, double *x, double *y)
{
	double best = -1, best_x = *x, best_y = *y;

	for (unsigned i = 0; i < layout->place_count; i++) {
		double nx = *x, ny = *y, distance;

		if (!layout->places[i].on || !layout->places[i].width || !layout->places[i].height)
			continue;
		distance = place_nearest(&layout->places[i], &nx, &ny);
		if (best >= 0 && distance >= best)
			continue;
		best = distance;
		best_x = nx;
		best_y = ny;
	}
	*x = best_x;
	*y = best_y;
}

/* One way after the other: a wall stops only the way into it. */
static void layout_step(
    const struct seat_layout *layout, double *x, double *y, double dx, double dy)
{
	const struct seat_place *from = layout_place_at(layout, *x, *y);
	double nx = *x + dx, ny = *y + dy;

	if (!layout_place_at(layout, nx, *y)) {
		double unused = *y;

		place_nearest(from, &nx, &unused);
	}
	from = layout_place_at(layout, nx, *y);
	if (!layout_place_at(layout, nx, ny)) {
		double unused = nx;

		place_nearest(from, &unused, &ny);
	}
	*x = nx;
	*y = ny;
}

void seat_layout_move(const struct seat_layout *layout, double *x, double *y, double dx, double dy)
{
	/* In steps that no output is narrower than, so that a fast one does not jump a gap. */
	const double longest = 64;
	const double ax = dx < 0 ? -dx : dx, ay = dy < 0 ? -dy : dy;
	const double length = ax > ay ? ax : ay;
	unsigned steps = length > longest * 1024 ? 1024 : (unsigned)(length / longest) + 1;

	if (!(length < 1e9)) /* infinite, not a number */
		return;
	if (!layout_place_at(layout, *x, *y))
		layout_nearest(layout, x, y);
	if (!layout_place_at(layout, *x, *y))
		return; /* none is on */
	for (unsigned i = 0; i < steps; i++)
		layout_step(layout, x, y, dx / steps, dy / steps);
}
