/* SPDX-License-Identifier: MIT */
#include "render/headless.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/checked.h"
#include "backend/damage.h"
#include "backend/log.h"
#include "render/png.h"

#define PIXEL_SIZE 4

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

	/* The last frame: width * height XRGB8888 pixels; NULL before the first */
	uint8_t *pixels;
	uint32_t width, height;

	struct display_rect damage; /* of the source, not read yet; empty: none */
	uint64_t serial;            /* of the last flush */
	bool owed;                  /* shown() for it */

	struct headless_cursor cursor;
	struct headless_cursor last_cursor; /* when the last source went away */

	struct headless_stats stats;
	struct log_limit read_errors;
};

struct headless {
	struct display base;
	sd_event *event;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	struct headless_output outputs[DISPLAY_SCANOUTS_MAX];
};

static struct headless *headless_from_display(struct display *display)
{
	return (struct headless *)display;
}

/* ---------------------------------------------------------------- frames */

/* Makes the frame as large as the source. */
static int headless_resize(struct headless_output *output, uint32_t width, uint32_t height)
{
	uint64_t size;
	uint8_t *pixels;

	if (output->pixels && output->width == width && output->height == height)
		return 0;
	if (!checked_mul((uint64_t)width * PIXEL_SIZE, height, &size) || size > PTRDIFF_MAX)
		return -EOVERFLOW;
	pixels = calloc(1, size);
	if (!pixels)
		return -ENOMEM;
	free(output->pixels);
	output->pixels = pixels;
	output->width = width;
	output->height = height;
	return 0;
}

/* Reads what is owed of the source into the frame. */
static void headless_read(struct headless_output *output)
{
	struct display_source *source = output->source;
	const struct display_rect damage = output->damage;
	size_t stride;
	int r;

	if (!source || damage_is_empty(&damage))
		return;
	output->damage = (struct display_rect){ 0 };
	r = headless_resize(output, source->width, source->height);
	if (r == 0) {
		stride = (size_t)output->width * PIXEL_SIZE;
		r = source->impl->read(source, &damage,
		    output->pixels + damage.y * stride + (size_t)damage.x * PIXEL_SIZE, stride);
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

	headless_read(output);
	if (output->owed)
		headless_shown(output);
	return 0;
}

static int headless_arm(struct headless_output *output)
{
	struct headless *headless = output->headless;
	uint64_t now, next;
	int r;

	r = sd_event_now(headless->event, CLOCK_MONOTONIC, &now);
	if (r < 0)
		return r;
	next = headless_next_tick(now, headless->modes[output->index].refresh);
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

static bool headless_get_modes(
    struct display *display, struct display_mode modes[DISPLAY_SCANOUTS_MAX], bool refresh)
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

	if (!source && output->source) {
		headless_read(output);
		output->last_cursor = output->cursor;
	}
	output->source = source;
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

	output->stats.flushes++;
	output->serial = serial;
	damage_add(&output->damage, damage);
	if (output->owed)
		return; /* the tick is coming */
	output->owed = true;
	if (!output->source || !headless->modes[scanout].refresh || headless_arm(output) < 0)
		headless_shown(output);
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
}

static void headless_move_cursor(struct display *display, unsigned scanout, uint32_t x, uint32_t y)
{
	struct headless_output *output = &headless_from_display(display)->outputs[scanout];

	output->cursor.x = x;
	output->cursor.y = y;
}

static void headless_destroy(struct display *display)
{
	struct headless *headless = headless_from_display(display);

	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		sd_event_source_disable_unref(headless->outputs[i].tick);
		free(headless->outputs[i].pixels);
	}
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

	if (!headless)
		return -ENOMEM;
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

static void blend_premultiplied(uint8_t *to, uint32_t argb)
{
	const uint32_t keep = 255 - (argb >> 24);

	for (int i = 0; i < 3; i++) {
		uint32_t c = ((argb >> (8 * i)) & 0xff) + (to[i] * keep + 127) / 255;

		to[i] = c > 255 ? 255 : (uint8_t)c;
	}
}

static void headless_blend_cursor(const struct headless_output *output, uint8_t *pixels)
{
	const struct headless_cursor *cursor =
	    output->source ? &output->cursor : &output->last_cursor;
	/* It can stick out to the left and at the top: Linux sends the plane's signed corner. */
	const int64_t left = (int32_t)cursor->x, top = (int32_t)cursor->y;

	if (!cursor->visible)
		return;
	for (int64_t y = 0; y < DISPLAY_CURSOR_SIZE; y++) {
		for (int64_t x = 0; x < DISPLAY_CURSOR_SIZE; x++) {
			if (left + x < 0 || left + x >= output->width || top + y < 0 ||
			    top + y >= output->height)
				continue;
			blend_premultiplied(
			    pixels + ((top + y) * output->width + left + x) * PIXEL_SIZE,
			    cursor->image.pixels[y * DISPLAY_CURSOR_SIZE + x]);
		}
	}
}

int headless_capture(
    struct display *display, unsigned scanout, uint32_t *width, uint32_t *height, void **pixels)
{
	struct headless_output *output = &headless_from_display(display)->outputs[scanout];
	size_t size;

	headless_read(output);
	if (!output->pixels)
		return -ENOENT;
	size = (size_t)output->width * output->height * PIXEL_SIZE;
	*pixels = malloc(size);
	if (!*pixels)
		return -ENOMEM;
	memcpy(*pixels, output->pixels, size);
	headless_blend_cursor(output, *pixels);
	*width = output->width;
	*height = output->height;
	return 0;
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
