/* SPDX-License-Identifier: MIT */
/*
 * What people do in the windows. The desktop's keys are evdev's, as ours; its own shortcuts it
 * keeps for itself. The pointer's image is hidden: the guest draws its own.
 */
#include <linux/input-event-codes.h>
#include <string.h>
#include <unistd.h>

#include "render/wayland_private.h"

#define SEAT_VERSION 7
#define DETENT 120.0
#define AXIS_PER_DETENT 10.0 /* of wl_pointer.axis, by custom */

/* Numbers for seat_input.h */
enum { SOURCE_KEYBOARD = 1, SOURCE_POINTER, SOURCE_TOUCH };

static struct wayland_window *find_window(const struct wayland *wayland, struct wl_surface *surface)
{
	for (unsigned i = 0; surface && i < wayland->base.output_count; i++)
		if (wayland->windows[i].surface == surface)
			return (struct wayland_window *)&wayland->windows[i];
	return NULL;
}

/* The window's place in the layout; -1: it has none now. */
static int place_of(const struct wayland *wayland, const struct wayland_window *window)
{
	const struct seat_layout *layout = seat_input_get_layout(wayland->input);

	for (unsigned i = 0; window && i < layout->place_count; i++)
		if (strcmp(layout->places[i].name, window->base.name) == 0)
			return layout->places[i].on ? (int)i : -1;
	return -1;
}

/* 0.0 to 1.0 */
static double part(wl_fixed_t position, uint32_t size)
{
	double x = size ? wl_fixed_to_double(position) / size : 0;

	return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* ---------------------------------------------------------------- keyboard */

static void on_keymap(
    void *data, struct wl_keyboard *keyboard, uint32_t format, int32_t fd, uint32_t size)
{
	close(fd); /* guests have their own */
}

/* Keys that were down before are not the guest's. */
static void on_keyboard_enter(void *data, struct wl_keyboard *keyboard, uint32_t serial,
    struct wl_surface *surface, struct wl_array *keys)
{
}

static void on_keyboard_leave(
    void *data, struct wl_keyboard *keyboard, uint32_t serial, struct wl_surface *surface)
{
	struct wayland *wayland = data;

	if (wayland->input)
		seat_input_source_gone(wayland->input, SOURCE_KEYBOARD);
}

static void on_key(void *data, struct wl_keyboard *keyboard, uint32_t serial, uint32_t time,
    uint32_t key, uint32_t state)
{
	struct wayland *wayland = data;

	if (!wayland->input)
		return;
	seat_input_key(
	    wayland->input, SOURCE_KEYBOARD, key, state == WL_KEYBOARD_KEY_STATE_PRESSED);
	seat_input_frame(wayland->input, SOURCE_KEYBOARD);
}

static void on_modifiers(void *data, struct wl_keyboard *keyboard, uint32_t serial,
    uint32_t depressed, uint32_t latched, uint32_t locked, uint32_t group)
{
}

static void on_repeat_info(void *data, struct wl_keyboard *keyboard, int32_t rate, int32_t delay)
{
}

static const struct wl_keyboard_listener keyboard_listener = {
	.keymap = on_keymap,
	.enter = on_keyboard_enter,
	.leave = on_keyboard_leave,
	.key = on_key,
	.modifiers = on_modifiers,
	.repeat_info = on_repeat_info,
};

/* ---------------------------------------------------------------- pointer */

static void end_pointer_frame(struct wayland *wayland)
{
	for (int i = 0; i < 2; i++) {
		double v120 = wayland->discrete[i] != 0
				  ? wayland->discrete[i] * DETENT
				  : wayland->scroll[i] / AXIS_PER_DETENT * DETENT;

		if (v120 != 0 && wayland->input)
			seat_input_scroll(wayland->input, SOURCE_POINTER, i == 1, v120);
		wayland->scroll[i] = wayland->discrete[i] = 0;
	}
	if (wayland->input)
		seat_input_frame(wayland->input, SOURCE_POINTER);
}

/* Before version 5 nobody says where a frame ends. */
static void end_old_frame(struct wayland *wayland)
{
	if (wl_pointer_get_version(wayland->pointer) < WL_POINTER_FRAME_SINCE_VERSION)
		end_pointer_frame(wayland);
}

static void on_motion(
    void *data, struct wl_pointer *pointer, uint32_t time, wl_fixed_t x, wl_fixed_t y)
{
	struct wayland *wayland = data;
	const struct wayland_window *window = wayland->pointed;
	int place;

	if (!wayland->input || !window)
		return;
	place = place_of(wayland, window);
	if (place < 0)
		return;
	seat_input_motion_absolute(wayland->input, SOURCE_POINTER, (unsigned)place,
	    part(x, window->base.mode.width), part(y, window->base.mode.height));
	end_old_frame(wayland);
}

static void on_pointer_enter(void *data, struct wl_pointer *pointer, uint32_t serial,
    struct wl_surface *surface, wl_fixed_t x, wl_fixed_t y)
{
	struct wayland *wayland = data;

	wayland->pointed = find_window(wayland, surface);
	wl_pointer_set_cursor(pointer, serial, NULL, 0, 0);
	on_motion(data, pointer, 0, x, y);
}

static void on_pointer_leave(
    void *data, struct wl_pointer *pointer, uint32_t serial, struct wl_surface *surface)
{
	struct wayland *wayland = data;

	wayland->pointed = NULL;
	if (wayland->input)
		seat_input_source_gone(wayland->input, SOURCE_POINTER);
}

static void on_button(void *data, struct wl_pointer *pointer, uint32_t serial, uint32_t time,
    uint32_t button, uint32_t state)
{
	struct wayland *wayland = data;

	if (!wayland->input)
		return;
	seat_input_button(
	    wayland->input, SOURCE_POINTER, button, state == WL_POINTER_BUTTON_STATE_PRESSED);
	end_old_frame(wayland);
}

static void on_axis(
    void *data, struct wl_pointer *pointer, uint32_t time, uint32_t axis, wl_fixed_t value)
{
	struct wayland *wayland = data;

	if (axis > WL_POINTER_AXIS_HORIZONTAL_SCROLL)
		return;
	wayland->scroll[axis] += wl_fixed_to_double(value);
	end_old_frame(wayland);
}

static void on_pointer_frame(void *data, struct wl_pointer *pointer)
{
	end_pointer_frame(data);
}

static void on_axis_source(void *data, struct wl_pointer *pointer, uint32_t source)
{
}

static void on_axis_stop(void *data, struct wl_pointer *pointer, uint32_t time, uint32_t axis)
{
}

static void on_axis_discrete(
    void *data, struct wl_pointer *pointer, uint32_t axis, int32_t discrete)
{
	struct wayland *wayland = data;

	if (axis <= WL_POINTER_AXIS_HORIZONTAL_SCROLL)
		wayland->discrete[axis] += discrete;
}

static const struct wl_pointer_listener pointer_listener = {
	.enter = on_pointer_enter,
	.leave = on_pointer_leave,
	.motion = on_motion,
	.button = on_button,
	.axis = on_axis,
	.frame = on_pointer_frame,
	.axis_source = on_axis_source,
	.axis_stop = on_axis_stop,
	.axis_discrete = on_axis_discrete,
};

/* ---------------------------------------------------------------- touch */

/* The finger with this number, or a free one; NULL: there are too many. */
static struct wayland_finger *find_finger(struct wayland *wayland, bool down, int32_t id)
{
	for (unsigned i = 0; i < WAYLAND_SLOTS; i++) {
		struct wayland_finger *finger = &wayland->fingers[i];

		if (finger->down == down && (!down || finger->id == id))
			return finger;
	}
	return NULL;
}

static void on_touch_down(void *data, struct wl_touch *touch, uint32_t serial, uint32_t time,
    struct wl_surface *surface, int32_t id, wl_fixed_t x, wl_fixed_t y)
{
	struct wayland *wayland = data;
	struct wayland_finger *finger = find_finger(wayland, false, id);
	struct wayland_window *window = find_window(wayland, surface);
	int place;

	if (!finger || !window || !wayland->input)
		return;
	place = place_of(wayland, window);
	if (place < 0)
		return;
	*finger = (struct wayland_finger){ .down = true, .id = id, .window = window };
	seat_input_touch_down(wayland->input, SOURCE_TOUCH, (unsigned)(finger - wayland->fingers),
	    (unsigned)place, part(x, window->base.mode.width), part(y, window->base.mode.height));
}

static void on_touch_up(
    void *data, struct wl_touch *touch, uint32_t serial, uint32_t time, int32_t id)
{
	struct wayland *wayland = data;
	struct wayland_finger *finger = find_finger(wayland, true, id);

	if (!finger)
		return;
	finger->down = false;
	if (wayland->input)
		seat_input_touch_up(
		    wayland->input, SOURCE_TOUCH, (unsigned)(finger - wayland->fingers));
}

static void on_touch_motion(
    void *data, struct wl_touch *touch, uint32_t time, int32_t id, wl_fixed_t x, wl_fixed_t y)
{
	struct wayland *wayland = data;
	struct wayland_finger *finger = find_finger(wayland, true, id);

	if (!finger || !wayland->input)
		return;
	seat_input_touch_motion(wayland->input, SOURCE_TOUCH, (unsigned)(finger - wayland->fingers),
	    part(x, finger->window->base.mode.width), part(y, finger->window->base.mode.height));
}

static void on_touch_frame(void *data, struct wl_touch *touch)
{
	struct wayland *wayland = data;

	if (wayland->input)
		seat_input_frame(wayland->input, SOURCE_TOUCH);
}

static void on_touch_cancel(void *data, struct wl_touch *touch)
{
	struct wayland *wayland = data;

	memset(wayland->fingers, 0, sizeof(wayland->fingers));
	if (!wayland->input)
		return;
	seat_input_touch_cancel(wayland->input, SOURCE_TOUCH);
	seat_input_frame(wayland->input, SOURCE_TOUCH);
}

static void on_touch_shape(
    void *data, struct wl_touch *touch, int32_t id, wl_fixed_t major, wl_fixed_t minor)
{
}

static void on_touch_orientation(
    void *data, struct wl_touch *touch, int32_t id, wl_fixed_t orientation)
{
}

static const struct wl_touch_listener touch_listener = {
	.down = on_touch_down,
	.up = on_touch_up,
	.motion = on_touch_motion,
	.frame = on_touch_frame,
	.cancel = on_touch_cancel,
	.shape = on_touch_shape,
	.orientation = on_touch_orientation,
};

/* ---------------------------------------------------------------- devices that come and go */

static void drop_keyboard(struct wayland *wayland)
{
	if (!wayland->keyboard)
		return;
	if (wayland->input)
		seat_input_source_gone(wayland->input, SOURCE_KEYBOARD);
	wl_keyboard_destroy(wayland->keyboard);
	wayland->keyboard = NULL;
}

static void drop_pointer(struct wayland *wayland)
{
	if (!wayland->pointer)
		return;
	if (wayland->input)
		seat_input_source_gone(wayland->input, SOURCE_POINTER);
	wl_pointer_destroy(wayland->pointer);
	wayland->pointer = NULL;
	wayland->pointed = NULL;
}

static void drop_touch(struct wayland *wayland)
{
	if (!wayland->touch)
		return;
	if (wayland->input)
		seat_input_source_gone(wayland->input, SOURCE_TOUCH);
	wl_touch_destroy(wayland->touch);
	wayland->touch = NULL;
	memset(wayland->fingers, 0, sizeof(wayland->fingers));
}

static void on_capabilities(void *data, struct wl_seat *seat, uint32_t capabilities)
{
	struct wayland *wayland = data;

	if (!(capabilities & WL_SEAT_CAPABILITY_KEYBOARD)) {
		drop_keyboard(wayland);
	} else if (!wayland->keyboard) {
		wayland->keyboard = wl_seat_get_keyboard(seat);
		wl_keyboard_add_listener(wayland->keyboard, &keyboard_listener, wayland);
	}
	if (!(capabilities & WL_SEAT_CAPABILITY_POINTER)) {
		drop_pointer(wayland);
	} else if (!wayland->pointer) {
		wayland->pointer = wl_seat_get_pointer(seat);
		wl_pointer_add_listener(wayland->pointer, &pointer_listener, wayland);
	}
	if (!(capabilities & WL_SEAT_CAPABILITY_TOUCH)) {
		drop_touch(wayland);
	} else if (!wayland->touch) {
		wayland->touch = wl_seat_get_touch(seat);
		wl_touch_add_listener(wayland->touch, &touch_listener, wayland);
	}
}

static void on_name(void *data, struct wl_seat *seat, const char *name)
{
}

static const struct wl_seat_listener seat_listener = {
	.capabilities = on_capabilities,
	.name = on_name,
};

/* The first seat; people have one. */
void wayland_input_init(struct wayland *wayland, uint32_t name, uint32_t version)
{
	if (wayland->seat)
		return;
	wayland->seat = wl_registry_bind(wayland->registry, name, &wl_seat_interface,
	    version < SEAT_VERSION ? version : SEAT_VERSION);
	wayland->seat_name = name;
	wl_seat_add_listener(wayland->seat, &seat_listener, wayland);
}

void wayland_input_finish(struct wayland *wayland)
{
	drop_keyboard(wayland);
	drop_pointer(wayland);
	drop_touch(wayland);
	if (wayland->seat)
		wl_seat_destroy(wayland->seat);
	wayland->seat = NULL;
}

void wayland_input_leave(struct wayland *wayland, struct wayland_window *window)
{
	if (wayland->pointed == window)
		wayland->pointed = NULL;
	for (unsigned i = 0; i < WAYLAND_SLOTS; i++) {
		struct wayland_finger *finger = &wayland->fingers[i];

		if (!finger->down || finger->window != window)
			continue;
		finger->down = false;
		if (wayland->input)
			seat_input_touch_up(wayland->input, SOURCE_TOUCH, i);
	}
	if (wayland->input)
		seat_input_frame(wayland->input, SOURCE_TOUCH);
}

void wayland_set_input(struct seat_backend *backend, struct seat_input *input)
{
	wayland_from(backend)->input = input;
}
