/* SPDX-License-Identifier: MIT */
/*
 * Who gets what people do: takes keys, motions and touches from sources (libinput:
 * seat_libinput.c; a window: wayland.c), follows focus, and hands whole frames of events to guests'
 * input devices. Knows no device node and no socket's name; tests drive it by hand.
 *
 * Nothing reaches a guest without focus. One that loses it gets releases for all that it believes
 * to be down. The chord is eaten before anybody sees it.
 */
#ifndef GPUDOM_RENDER_SEAT_INPUT_H
#define GPUDOM_RENDER_SEAT_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/seat_message.h"
#include "render/seat_layout.h"

struct seat_input;

struct seat_input_listener {
	/* Somebody else has the keyboard's focus (NULL: nobody). The seat brings that guest's view
	 * to the front. */
	void (*focus_changed)(void *data, const char *guest);
	/* LEDs as the focused guest wants them: bits 1 << LED_NUML and so on. */
	void (*leds)(void *data, uint32_t leds);
	/* The pointer is at (@x, @y) of the desktop. */
	void (*pointer_moved)(void *data, double x, double y);
	/* CTRL+ALT+F1 to F12 (1 to 12): no guest sees them. */
	void (*switch_terminal)(void *data, unsigned terminal);
	void *data;
};

/* ---- what sources say; positions are of the desktop, or 0.0 to 1.0 of @output ----
 * @source: any number that tells devices apart. Each call that ends a frame of the source's says
 * so by seat_input_frame(): what came since the last one belongs together. */
void seat_input_key(struct seat_input *input, unsigned source, uint32_t code, bool down);
void seat_input_motion(struct seat_input *input, unsigned source, double dx, double dy);
void seat_input_motion_absolute(
    struct seat_input *input, unsigned source, unsigned output, double x, double y);
void seat_input_button(struct seat_input *input, unsigned source, uint32_t code, bool down);
/* 120 is one detent of a wheel; positive is towards the user, or to the right. */
void seat_input_scroll(struct seat_input *input, unsigned source, bool horizontal, double v120);
void seat_input_touch_down(struct seat_input *input, unsigned source, unsigned slot,
    unsigned output, double x, double y);
void seat_input_touch_motion(
    struct seat_input *input, unsigned source, unsigned slot, double x, double y);
void seat_input_touch_up(struct seat_input *input, unsigned source, unsigned slot);
void seat_input_touch_cancel(struct seat_input *input, unsigned source);

struct seat_input_pen {
	unsigned output;
	double x, y;           /* of the output */
	double pressure;       /* 0.0 to 1.0 */
	double distance;       /* likewise */
	double tilt_x, tilt_y; /* degrees */
	uint16_t tool;         /* BTN_TOOL_PEN, BTN_TOOL_RUBBER, ... */
	bool near, touching;
};
void seat_input_pen(
    struct seat_input *input, unsigned source, const struct seat_input_pen *pen);
/* Buttons of the pen (BTN_STYLUS) are seat_input_button()'s. */
void seat_input_switch(struct seat_input *input, unsigned source, uint32_t code, bool on);
void seat_input_frame(struct seat_input *input, unsigned source);
/* A device is gone: what it held down is released. */
void seat_input_source_gone(struct seat_input *input, unsigned source);

#endif
