/* SPDX-License-Identifier: MIT */
/*
 * Shows in windows on somebody's desktop, for people who have no driver domain at hand: a Wayland
 * client, one window for each output. A window that is resized is a monitor that has another mode.
 * What people do in the windows goes to seat_input.h.
 *
 *  wayland.c         the connection
 *  wayland_window.c  outputs: modes, frames
 *  wayland_buffer.c  pictures, in memory that is shared with the compositor
 *  wayland_input.c   keyboard, pointer, touch
 */
#ifndef GPUDOM_RENDER_WAYLAND_H
#define GPUDOM_RENDER_WAYLAND_H

#include <systemd/sd-event.h>

#include "render/seat_backend.h"
#include "render/seat_input.h"

struct wayland_output {
	char name[SEAT_OUTPUT_NAME_MAX]; /* "": "WL-1" and so on */
	uint32_t width, height;          /* of the window at first; 0: 1280x800 */
};

struct wayland_options {
	sd_event *event;     /* a reference is taken */
	const char *display; /* of the desktop; NULL: $WAYLAND_DISPLAY */
	const struct wayland_output *outputs;
	unsigned output_count; /* 0: one */
	/* All windows are closed, or the desktop has gone. May be NULL. */
	void (*closed)(void *data);
	void *data;
};

/* Waits for the desktop's answers. -errno, logged */
int wayland_create(const struct wayland_options *options, struct seat_backend **backend);

/* Where events go from now on; NULL: nowhere. Not owned. */
void wayland_set_input(struct seat_backend *backend, struct seat_input *input);

#endif
