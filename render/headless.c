/* SPDX-License-Identifier: MIT */
#include "render/headless.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/damage.h"
#include "backend/log.h"
#include "backend/screen.h"
#include "render/png.h"

#define PIXEL_SIZE 4
/* How often an unpaced output is read for whoever watches the screen: millihertz */
#define WATCH_REFRESH 10000

struct headless_cursor {
	bool visible;
	uint32_t x, y; /* of its first pixel; signed to who reads them */
	struct display_cursor image;
};

struct headless_output {
	struct headless *headless;
	unsigned index;
	struct display_source *source;
	sd_event_source *tick; /* armed while a flush is owed */

	struct display_rect damage; /* of the source, not read yet; empty: none */
	uint64_t serial;            /* of the last flush */
	bool owed;                  /* shown() for it */
	bool watching;              /* the tick is for who watches, not for the guest */

	struct headless_cursor cursor; /* of the source; the screen keeps the last one's */

	struct headless_stats stats;
	struct log_limit read_errors;
};

struct headless {
	struct display base;
	sd_event *event;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	struct screen screen; /* the last frames */
	bool watched;         /* the screen is not only ours */
	struct headless_output outputs[DISPLAY_SCANOUTS_MAX];
};

static struct headless *headless_from_display(struct display *display)
{
	return (struct headless *)display;
}

/* ---------------------------------------------------------------- frames */

/* Reads what is owed of the source into the frame. */
static void headless_read(struct headless_output *output)
{
	struct screen *screen = &output->headless->screen;
	struct display_source *source = output->source;
	const struct display_rect damage = output->damage;
	uint8_t *pixels;
	size_t stride;
	int r;

	if (!source || damage_is_empty(&damage))
		return;
	output->damage = (struct display_rect){ 0 };
	pixels = screen_begin(screen, output->index, source->width, source->height);
	if (pixels) {
		stride = (size_t)source->width * PIXEL_SIZE;
		r = source->impl->read(source, &damage,
		    pixels + damage.y * stride + (size_t)damage.x * PIXEL_SIZE, stride);
		screen_end(screen, output->index);
	} else {
		r = -errno;
	}
	if (r < 0)
		log_guest(&output->read_errors, "cannot read the frame of scan-out %u: %s",
		    output->index, strerror(-r));
	else
		output->stats.bytes_read += (uint64_t)damage.width * damage.height * PIXEL_SIZE;
}

static void headless_shown(struct headless_output *output)
{
	const struct display_listener *listener = &output->headless->base.listener;

	output->owed = false;
	if (output->stats.frames++ == 0)
		log_info("the first frame is on output %u", output->index);
	if (listener->shown)
		listener->shown(listener->data, output->index, output->serial);
}

/* ---------------------------------------------------------------- pacing */

/* The first tick after @now: they are multiples of the period since the clock's beginning, so
 * that the rate is right however late we are called. Microseconds. */
static uint64_t headless_next_tick(uint64_t now, uint32_t refresh_mhz)
{
	const uint64_t us_per_1000_s = UINT64_C(1000000000);
	/* now * refresh fits for more than a year of uptime at 500 Hz */
	uint64_t tick = now * refresh_mhz / us_per_1000_s + 1;

	return (tick * us_per_1000_s + refresh_mhz - 1) / refresh_mhz;
}

static int headless_on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	struct headless_output *output = data;

	output->watching = false;
	headless_read(output);
	if (output->owed)
		headless_shown(output);
	return 0;
}

static int headless_arm(struct headless_output *output, uint32_t refresh)
{
	struct headless *headless = output->headless;
	uint64_t now, next;
	int r;

	r = sd_event_now(headless->event, CLOCK_MONOTONIC, &now);
	if (r < 0)
		return r;
	next = headless_next_tick(now, refresh);
	if (!output->tick) {
		r = sd_event_add_time(headless->event, &output->tick, CLOCK_MONOTONIC, next, 1,
		    headless_on_tick, output);
		if (r < 0)
			return r;
		sd_event_source_set_description(output->tick, "headless-tick");
		return 0;
	}
	r = sd_event_source_set_time(output->tick, next);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(output->tick, SD_EVENT_ONESHOT);
}

/* ---------------------------------------------------------------- the display */

static void headless_show_cursor(struct headless_output *output)
{
	const struct headless_cursor *cursor = &output->cursor;

	screen_set_cursor(&output->headless->screen, output->index,
	    cursor->visible ? &cursor->image : NULL, cursor->x, cursor->y);
}

static bool headless_get_modes(struct display *display,
    struct display_mode modes[DISPLAY_SCANOUTS_MAX], enum display_refresh refresh)
{
	memcpy(modes, headless_from_display(display)->modes, sizeof(*modes) * DISPLAY_SCANOUTS_MAX);
	return true;
}

/*
 * A new picture is on the screen from now on, as on a CRTC: all of it will be read.
 * What the old one owes is read only if nothing follows it.
 */
static void headless_set_source(
    struct display *display, unsigned scanout, struct display_source *source)
{
	struct headless_output *output = &headless_from_display(display)->outputs[scanout];

	if (!source)
		headless_read(output);
	output->source = source;
	if (source)
		headless_show_cursor(output);
	output->damage = source ? (struct display_rect){ 0, 0, source->width, source->height }
				: (struct display_rect){ 0 };
	if (!source && output->owed) {
		sd_event_source_set_enabled(output->tick, SD_EVENT_OFF);
		headless_shown(output);
	}
}

static void headless_flush(
    struct display *display, unsigned scanout, const struct display_rect *damage, uint64_t serial)
{
	struct headless *headless = headless_from_display(display);
	struct headless_output *output = &headless->outputs[scanout];
	const uint32_t refresh = headless->modes[scanout].refresh;

	output->stats.flushes++;
	output->serial = serial;
	damage_add(&output->damage, damage);
	if (output->owed)
		return; /* the tick is coming */
	output->owed = true;
	if (!output->source || !refresh) {
		headless_shown(output);
		if (headless->watched && !output->watching)
			output->watching = headless_arm(output, WATCH_REFRESH) >= 0;
	} else if (headless_arm(output, refresh) < 0) {
		headless_shown(output);
	}
}

static void headless_set_cursor(struct display *display, unsigned scanout,
    const struct display_cursor *cursor, uint32_t x, uint32_t y)
{
	struct headless_output *output = &headless_from_display(display)->outputs[scanout];

	output->cursor.visible = cursor;
	output->cursor.x = x;
	output->cursor.y = y;
	if (cursor)
		output->cursor.image = *cursor;
	/* Without a picture, the last one keeps its own. */
	if (output->source)
		headless_show_cursor(output);
}

static void headless_move_cursor(struct display *display, unsigned scanout, uint32_t x, uint32_t y)
{
	struct headless *headless = headless_from_display(display);
	struct headless_output *output = &headless->outputs[scanout];

	output->cursor.x = x;
	output->cursor.y = y;
	if (output->source)
		screen_move_cursor(&headless->screen, scanout, x, y);
}

/* The one that is given, or one of our own. */
static int headless_open_screen(struct headless *headless, int fd)
{
	int error = 0;

	headless->watched = fd >= 0;
	if (fd < 0)
		error = screen_create(&fd);
	if (error)
		return error;
	error = screen_open(&headless->screen, fd);
	if (error && !headless->watched)
		close(fd);
	return error;
}

static void headless_close_screen(struct headless *headless)
{
	int fd = headless->screen.fd;

	screen_close(&headless->screen);
	if (!headless->watched)
		close(fd);
}

static void headless_destroy(struct display *display)
{
	struct headless *headless = headless_from_display(display);

	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		sd_event_source_disable_unref(headless->outputs[i].tick);
	headless_close_screen(headless);
	sd_event_unref(headless->event);
	free(headless);
}

static const struct display_impl headless_impl = {
	.destroy = headless_destroy,
	.get_modes = headless_get_modes,
	.set_source = headless_set_source,
	.flush = headless_flush,
	.set_cursor = headless_set_cursor,
	.move_cursor = headless_move_cursor,
};

int headless_create(const struct headless_options *options, struct display **display)
{
	struct headless *headless = calloc(1, sizeof(*headless));
	int error;

	if (!headless)
		return -ENOMEM;
	error = headless_open_screen(headless, options->screen_fd);
	if (error) {
		free(headless);
		return error;
	}
	headless->base.impl = &headless_impl;
	headless->event = sd_event_ref(options->event);
	memcpy(headless->modes, options->modes, sizeof(headless->modes));
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		headless->outputs[i].headless = headless;
		headless->outputs[i].index = i;
	}
	*display = &headless->base;
	return 0;
}

void headless_set_modes(
    struct display *display, const struct display_mode modes[DISPLAY_SCANOUTS_MAX])
{
	struct headless *headless = headless_from_display(display);
	const struct display_listener *listener = &display->listener;

	memcpy(headless->modes, modes, sizeof(headless->modes));
	/* A tick that is under way stays at the old rate. */
	if (listener->modes_changed)
		listener->modes_changed(listener->data);
}

/* ---------------------------------------------------------------- pictures */

int headless_capture(
    struct display *display, unsigned scanout, uint32_t *width, uint32_t *height, void **pixels)
{
	struct headless *headless = headless_from_display(display);

	headless_read(&headless->outputs[scanout]);
	return screen_capture(headless->screen.fd, scanout, width, height, pixels);
}

int headless_write_png(struct display *display, unsigned scanout, const char *path)
{
	uint32_t width, height;
	void *pixels;
	int r;

	r = headless_capture(display, scanout, &width, &height, &pixels);
	if (r < 0)
		return r;
	r = png_write_xrgb(path, width, height, pixels, (size_t)width * PIXEL_SIZE);
	free(pixels);
	return r;
}

void headless_get_stats(struct display *display, unsigned scanout, struct headless_stats *stats)
{
	*stats = headless_from_display(display)->outputs[scanout].stats;
}
