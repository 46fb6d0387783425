/* SPDX-License-Identifier: MIT */
/* A seat on the memory backend, whose flips come by hand, and guests that present to it. */
#ifndef GPUDOM_TESTS_UNIT_SEAT_RIG_H
#define GPUDOM_TESTS_UNIT_SEAT_RIG_H

#include <drm_fourcc.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/log.h"
#include "render/seat.h"
#include "render/seat_config.h"
#include "render/seat_memory.h"

#include <cmocka.h>

#define RIG_W 64
#define RIG_H 48

struct rig_guest {
	struct seat_source *source;
	unsigned shown[DISPLAY_SCANOUTS_MAX];
	uint64_t serial[DISPLAY_SCANOUTS_MAX], time_ns[DISPLAY_SCANOUTS_MAX];
	unsigned released[SEAT_BUFFERS_MAX];
	unsigned modes_changed;
	void *map[SEAT_BUFFERS_MAX];
	uint32_t stride[SEAT_BUFFERS_MAX], width[SEAT_BUFFERS_MAX], height[SEAT_BUFFERS_MAX];
};

struct rig {
	sd_event *event;
	struct seat_backend *backend;
	struct seat_config config;
	struct seat *seat;
	struct rig_guest a, b;
};

static inline void rig_on_shown(
    void *data, unsigned scanout, uint64_t serial, uint64_t time_ns, uint64_t sequence)
{
	struct rig_guest *guest = data;

	guest->shown[scanout]++;
	guest->serial[scanout] = serial;
	guest->time_ns[scanout] = time_ns;
}

static inline void rig_on_released(void *data, uint32_t id)
{
	((struct rig_guest *)data)->released[id]++;
}

static inline void rig_on_modes_changed(void *data)
{
	((struct rig_guest *)data)->modes_changed++;
}

static inline void rig_attach(struct rig *rig, struct rig_guest *guest, const char *name)
{
	const struct seat_source_listener listener = { .shown = rig_on_shown,
		.released = rig_on_released,
		.modes_changed = rig_on_modes_changed,
		.data = guest };

	assert_int_equal(seat_attach(rig->seat, name, &listener, &guest->source), 0);
}

static inline void rig_init(
    struct rig *rig, const struct seat_memory_options *options, const char *config)
{
	struct seat_options seat_options = { .any_fence = true };

	*rig = (struct rig){ 0 };
	log_init(LOG_LEVEL_ERROR, NULL);
	assert_true(sd_event_new(&rig->event) >= 0);
	assert_int_equal(seat_config_parse(&rig->config, "test", config), 0);
	assert_int_equal(seat_memory_create(options, &rig->backend), 0);
	seat_options.event = rig->event;
	seat_options.backend = rig->backend;
	seat_options.config = &rig->config;
	assert_int_equal(seat_create(&seat_options, &rig->seat), 0);
	for (unsigned i = 0; i < options->output_count; i++)
		seat_memory_flip(rig->backend, i); /* the black beginning */
}

static inline void rig_finish(struct rig *rig)
{
	seat_detach(rig->a.source);
	seat_detach(rig->b.source);
	seat_destroy(rig->seat);
	assert_int_equal(seat_memory_get_counts(rig->backend).fbs, 0);
	rig->backend->impl->destroy(rig->backend);
	sd_event_unref(rig->event);
}

/* All that is due. */
static inline void rig_run(struct rig *rig)
{
	while (sd_event_run(rig->event, 0) > 0)
		;
}

static inline void rig_allocate(
    struct rig_guest *guest, uint32_t id, uint32_t scanout, uint32_t width, uint32_t height)
{
	uint32_t size;

	assert_int_equal(seat_allocate(guest->source, id, scanout, width, height,
			     &guest->stride[id], &size, NULL, &guest->map[id]),
	    0);
	guest->width[id] = width;
	guest->height[id] = height;
}

static inline void rig_fill(struct rig_guest *guest, uint32_t id, uint32_t color)
{
	for (uint32_t y = 0; y < guest->height[id]; y++)
		for (uint32_t x = 0; x < guest->width[id]; x++)
			*(uint32_t *)((uint8_t *)guest->map[id] + y * guest->stride[id] + x * 4) =
			    color;
}

static inline int rig_try_present(
    struct rig_guest *guest, uint32_t scanout, uint32_t id, uint64_t serial, int fence)
{
	struct seat_present present = { .scanout = scanout, .id = id, .serial = serial };

	if (id < SEAT_BUFFERS_MAX)
		present.source = (struct display_rect){ 0, 0, guest->width[id], guest->height[id] };
	return seat_present(guest->source, &present, fence);
}

static inline void rig_present(
    struct rig_guest *guest, uint32_t scanout, uint32_t id, uint64_t serial)
{
	assert_int_equal(rig_try_present(guest, scanout, id, serial, -1), 0);
}

/* The color of a pixel that is on screen. */
static inline uint32_t rig_pixel(struct rig *rig, unsigned output, uint32_t x, uint32_t y)
{
	const uint32_t *pixels = seat_memory_pixels(rig->backend, output);

	assert_non_null(pixels);
	return pixels[(size_t)y * rig->backend->outputs[output]->mode.width + x] & 0xffffff;
}

#define RIG_OUTPUT                                    \
	{                                             \
		.mode = { RIG_W, RIG_H, 60000, true } \
	}

#endif
