/* SPDX-License-Identifier: MIT */
/*
 * Where the pointer is, and who is told: the guest with focus, where the pointer is on one of its
 * views; while a button is down the guest that got it, wherever the pointer goes. Sources that are
 * pinned to a guest move a pointer of their own, which stays on its views.
 */
#include <math.h>
#include <stdlib.h>

#include "render/seat_input_private.h"

#define DETENT 120 /* of REL_WHEEL_HI_RES */
/* Of a motion, or a scroll: more is a mistake of somebody's. */
#define MOTION_MAX 1e6

static struct seat_pointer *pointer_of(struct seat_input *input, const struct seat_source *source)
{
	return source->pinned ? &source->pinned->pointer : &input->pointer;
}

/* On the topmost view, or the topmost of one guest. */
static const struct seat_view *view_below(const struct seat_input *input,
    const struct seat_pointer *pointer, const struct seat_guest *guest)
{
	return seat_input_find_view(
	    input, SEAT_FOR_POINTER, SEAT_INPUT_DESKTOP, guest, pointer->x, pointer->y);
}

/* NULL: the guest has none, or has the scan-out off. */
static struct seat_device *pointer_device(
    const struct seat_input *input, struct seat_guest *guest, const struct seat_view *view)
{
	struct seat_device *mouse = seat_guest_device(guest, SEAT_INPUT_MOUSE);
	struct seat_device *absolute = seat_input_area_device(guest, view, SEAT_INPUT_POINTER);

	if (mouse && (input->config.relative || !seat_guest_device(guest, SEAT_INPUT_POINTER)))
		return mouse;
	return absolute;
}

/* Where what the pointer does goes; NULL: nowhere. */
struct target {
	struct seat_guest *guest;
	const struct seat_view *view;
	struct seat_device *device;
};

static struct target target_of_grab(
    const struct seat_input *input, const struct seat_pointer *pointer)
{
	struct target target = { .guest = pointer->grab, .device = pointer->grab_device };

	/* Another one of its views, as far as the same device covers that. */
	target.view = view_below(input, pointer, target.guest);
	if (!target.view || pointer_device(input, target.guest, target.view) != target.device)
		target.view = seat_input_get_view(
		    input, target.guest, pointer->grab_scanout, pointer->grab_output);
	if (!target.view)
		target.device = NULL;
	return target;
}

static struct target target_of(struct seat_input *input, const struct seat_source *source)
{
	const struct seat_pointer *pointer = pointer_of(input, source);
	struct target target = { .guest = seat_input_route(input, source) };

	if (pointer->grab)
		return target_of_grab(input, pointer);
	if (!target.guest)
		return target;
	target.view = view_below(input, pointer, source->pinned);
	if (seat_input_view_guest(input, target.view) == target.guest)
		target.device = pointer_device(input, target.guest, target.view);
	return target;
}

/* ---------------------------------------------------------------- motion */

/* Who is below is somebody else now: a crossing. */
static void pointer_cross(struct seat_input *input, bool follow)
{
	struct seat_pointer *pointer = &input->pointer;
	struct seat_guest *below = seat_input_view_guest(input, view_below(input, pointer, NULL));

	if (below == pointer->over)
		return;
	pointer->over = below;
	if (follow && below && input->config.focus_follows == SEAT_FOCUS_POINTER)
		seat_input_focus(input, below, false);
}

void seat_input_pointer_ungrab(struct seat_input *input, struct seat_pointer *pointer)
{
	if (!pointer->grab || seat_device_any_down(pointer->grab_device, BTN_MISC, KEY_OK - 1))
		return;
	pointer->grab = NULL;
	if (pointer == &input->pointer)
		pointer_cross(input, true);
}

/* The whole part of what has come together. */
static int32_t take_whole(double *rest, double more)
{
	const double sum = *rest + more;

	*rest = sum - trunc(sum);
	return (int32_t)trunc(sum);
}

static void tell_relative(
    struct seat_device *device, unsigned source, struct seat_pointer *pointer, double dx, double dy)
{
	const int32_t x = take_whole(&pointer->rest_x, dx), y = take_whole(&pointer->rest_y, dy);

	if (x)
		seat_device_add(device, source, EV_REL, REL_X, x);
	if (y)
		seat_device_add(device, source, EV_REL, REL_Y, y);
}

static void tell_position(struct seat_input *input, const struct target *target, unsigned source,
    const struct seat_pointer *pointer)
{
	const struct input_state *now = &target->device->now;
	int32_t x, y;

	if (!seat_input_area_map(
		input, target->device, target->view, pointer->x, pointer->y, &x, &y))
		return;
	if (now->axes_known >> ABS_X & 1 && now->axes[ABS_X] == x && now->axes[ABS_Y] == y)
		return;
	seat_device_add(target->device, source, EV_ABS, ABS_X, x);
	seat_device_add(target->device, source, EV_ABS, ABS_Y, y);
}

static void pointer_moved(
    struct seat_input *input, const struct seat_source *source, double dx, double dy)
{
	struct seat_pointer *pointer = pointer_of(input, source);
	struct target target;

	if (!source->pinned && input->listener.pointer_moved)
		input->listener.pointer_moved(input->listener.data, pointer->x, pointer->y);
	if (!source->pinned && !pointer->grab)
		pointer_cross(input, true);
	target = target_of(input, source);
	if (!target.device) {
		input->stats.dropped++;
		return;
	}
	if (!source->pinned && !pointer->grab) {
		target.guest->been = true;
		target.guest->been_x = pointer->x;
		target.guest->been_y = pointer->y;
	}
	if (target.device->kind == SEAT_INPUT_POINTER)
		tell_position(input, &target, source->number, pointer);
	else
		tell_relative(target.device, source->number, pointer, dx, dy);
}

/* The guest's first view that is seen. */
static const struct seat_view *first_view(
    const struct seat_input *input, const struct seat_guest *guest)
{
	const struct seat_layout *layout = input->layout;

	for (unsigned i = 0; i < layout->view_count; i++)
		if (input->view_guests[i] == guest && layout->views[i].visible &&
		    layout->places[layout->views[i].output].on)
			return &layout->views[i];
	return NULL;
}

static void view_centre(
    const struct seat_input *input, const struct seat_view *view, double *x, double *y)
{
	const struct seat_place *place = &input->layout->places[view->output];

	*x = (double)place->x + view->x + view->width / 2.0;
	*y = (double)place->y + view->y + view->height / 2.0;
}

/* A pinned source's: it was at (@x, @y), where it stays where it would leave the guest's views. */
static void pointer_confine(const struct seat_input *input, const struct seat_guest *guest,
    struct seat_pointer *pointer, double x, double y)
{
	const struct seat_view *view;

	if (view_below(input, pointer, guest))
		return;
	view =
	    seat_input_find_view(input, SEAT_FOR_POINTER, SEAT_INPUT_DESKTOP, guest, x, pointer->y);
	if (view) {
		pointer->x = x;
		return;
	}
	view =
	    seat_input_find_view(input, SEAT_FOR_POINTER, SEAT_INPUT_DESKTOP, guest, pointer->x, y);
	if (view) {
		pointer->y = y;
		return;
	}
	pointer->x = x;
	pointer->y = y;
	view = view_below(input, pointer, guest) ? NULL : first_view(input, guest);
	if (view)
		view_centre(input, view, &pointer->x, &pointer->y);
}

void seat_input_motion(
    struct seat_input *input, unsigned number, double dx, double dy, double raw_dx, double raw_dy)
{
	const struct seat_source *source = seat_input_source(input, number);
	struct seat_pointer *pointer;
	double x, y;

	if (!source || !(fabs(dx) < MOTION_MAX && fabs(dy) < MOTION_MAX) ||
	    !(fabs(raw_dx) < MOTION_MAX && fabs(raw_dy) < MOTION_MAX))
		return;
	pointer = pointer_of(input, source);
	x = pointer->x;
	y = pointer->y;
	seat_layout_move(input->layout, &pointer->x, &pointer->y, dx, dy);
	if (source->pinned)
		pointer_confine(input, source->pinned, pointer, x, y);
	pointer_moved(input, source, raw_dx, raw_dy);
}

void seat_input_motion_absolute(
    struct seat_input *input, unsigned number, unsigned output, double x, double y)
{
	const struct seat_source *source = seat_input_source(input, number);
	struct seat_pointer *pointer;
	double old_x, old_y;

	if (!source || !seat_input_to_desktop(input, output, &x, &y)) {
		input->stats.dropped++;
		return;
	}
	pointer = pointer_of(input, source);
	old_x = pointer->x;
	old_y = pointer->y;
	pointer->x = x;
	pointer->y = y;
	if (source->pinned)
		pointer_confine(input, source->pinned, pointer, old_x, old_y);
	pointer_moved(input, source, pointer->x - old_x, pointer->y - old_y);
}

/* ---------------------------------------------------------------- the seat moves it */

/* True: the guest is on top there. */
static bool pointer_try(
    struct seat_input *input, const struct seat_guest *guest, double x, double y)
{
	struct seat_pointer *pointer = &input->pointer;
	const struct seat_view *view =
	    seat_input_find_view(input, SEAT_FOR_POINTER, SEAT_INPUT_DESKTOP, NULL, x, y);

	if (!view || seat_input_view_guest(input, view) != guest)
		return false;
	if (x != pointer->x || y != pointer->y) {
		pointer->x = x;
		pointer->y = y;
		if (input->listener.pointer_moved)
			input->listener.pointer_moved(input->listener.data, x, y);
	}
	pointer_cross(input, false);
	return true;
}

void seat_input_pointer_bring(struct seat_input *input)
{
	const struct seat_layout *layout = input->layout;
	const struct seat_guest *guest = input->focus;
	double x, y;

	if (pointer_try(input, guest, input->pointer.x, input->pointer.y))
		return;
	if (guest->been && pointer_try(input, guest, guest->been_x, guest->been_y))
		return;
	for (unsigned i = 0; i < layout->view_count; i++) {
		if (input->view_guests[i] != guest)
			continue;
		view_centre(input, &layout->views[i], &x, &y);
		if (pointer_try(input, guest, x, y))
			return;
	}
}

void seat_input_pointer_check(struct seat_input *input)
{
	struct seat_pointer *pointer = &input->pointer;
	const double x = pointer->x, y = pointer->y;

	seat_layout_move(input->layout, &pointer->x, &pointer->y, 0, 0);
	if ((x != pointer->x || y != pointer->y) && input->listener.pointer_moved)
		input->listener.pointer_moved(input->listener.data, pointer->x, pointer->y);
	pointer_cross(input, false);
}

/* ---------------------------------------------------------------- buttons and wheels */

static void button_down(struct seat_input *input, struct seat_source *source, uint32_t code)
{
	struct seat_pointer *pointer = pointer_of(input, source);
	struct target target;

	if (!source->pinned && !pointer->grab && input->config.focus_follows != SEAT_FOCUS_CHORD) {
		pointer_cross(input, false);
		if (pointer->over)
			seat_input_focus(input, pointer->over, false);
	}
	target = target_of(input, source);
	if (!target.device) {
		input->stats.dropped++;
		return;
	}
	if (target.device->kind == SEAT_INPUT_POINTER)
		tell_position(input, &target, source->number, pointer);
	if (!pointer->grab) {
		pointer->grab = target.guest;
		pointer->grab_device = target.device;
		pointer->grab_scanout = target.view->scanout;
		pointer->grab_output = target.view->output;
	}
	seat_bit_set(source->sent, code, true);
	if (!seat_bit(target.device->now.keys, code))
		seat_device_add(target.device, source->number, EV_KEY, (uint16_t)code, 1);
}

void seat_input_button(struct seat_input *input, unsigned number, uint32_t code, bool down)
{
	struct seat_source *source = seat_input_source(input, number);

	if (!source || code >= KEY_CNT || !seat_code_is_button(code) ||
	    seat_bit(source->down, code) == down)
		return;
	seat_bit_set(source->down, code, down);
	if (seat_code_is_stylus(code))
		seat_input_pen_button(input, source, code, down);
	else if (down)
		button_down(input, source, code);
	else if (seat_bit(source->sent, code))
		seat_input_unsend(input, source, code);
}

void seat_input_scroll(struct seat_input *input, unsigned number, bool horizontal, double v120)
{
	static const uint16_t fine[] = { REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES };
	static const uint16_t coarse[] = { REL_WHEEL, REL_HWHEEL };
	const struct seat_source *source = seat_input_source(input, number);
	struct seat_pointer *pointer;
	struct target target;
	int32_t *detent;
	int32_t value;

	if (!source || !(fabs(v120) < MOTION_MAX))
		return;
	pointer = pointer_of(input, source);
	target = target_of(input, source);
	if (!target.device) {
		input->stats.dropped++;
		return;
	}
	/* The kernel's is positive away from the user. */
	value = take_whole(&pointer->wheel[horizontal], horizontal ? v120 : -v120);
	if (!value)
		return;
	detent = &pointer->detent[horizontal];
	if ((*detent > 0) != (value > 0))
		*detent = 0; /* the other way: from the beginning */
	*detent += value;
	if (abs(*detent) >= DETENT)
		seat_device_add(
		    target.device, number, EV_REL, coarse[horizontal], *detent / DETENT);
	seat_device_add(target.device, number, EV_REL, fine[horizontal], value);
	*detent %= DETENT;
}
