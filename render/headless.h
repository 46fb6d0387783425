/* SPDX-License-Identifier: MIT */
/*
 * A display without a monitor: keeps the last presented frame of each scan-out with its cursor in a
 * screen (backend/screen.h), and writes it as a PNG when asked. A screen that somebody else gave us
 * outlives us, and shows what it showed until we draw.
 *
 * A mode with a refresh rate paces the guest as a monitor does: a flush is shown at the next
 * tick of a steady clock, and read from its source then. The timer is armed only while a flush
 * is owed. With refresh 0 a flush is shown at once, and read only when somebody
 * wants to see it (a PNG is asked for, the scan-out is switched off, the display ends), or ten
 * times a second where the screen is somebody else's: frames that nobody looks at cost nothing.
 */
#ifndef GPUDOM_RENDER_HEADLESS_H
#define GPUDOM_RENDER_HEADLESS_H

#include <systemd/sd-event.h>

#include "backend/display.h"

struct headless_options {
	sd_event *event; /* not owned (a reference is taken) */
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	int screen_fd; /* screen_create(); not owned, outlives the display. -1: one of its own */
};

struct headless_stats {
	uint64_t flushes;    /* asked for */
	uint64_t frames;     /* shown: several flushes within a tick are one */
	uint64_t bytes_read; /* from sources */
};

/* -ENOMEM; -ESTALE: the screen is another build's; -errno */
int headless_create(const struct headless_options *options, struct display **display);

/* The guest is told of a change through listener->modes_changed(). */
void headless_set_modes(
    struct display *display, const struct display_mode modes[DISPLAY_SCANOUTS_MAX]);

/* What a person in front of @scanout would see, cursor included, as XRGB8888 rows of width * 4
 * bytes; *@pixels is the caller's to free. -ENOENT: nothing was ever shown there. */
int headless_capture(
    struct display *display, unsigned scanout, uint32_t *width, uint32_t *height, void **pixels);

/* The same into a file. -ENOENT, or what writing it gave (logged). */
int headless_write_png(struct display *display, unsigned scanout, const char *path);

void headless_get_stats(struct display *display, unsigned scanout, struct headless_stats *stats);

#endif
