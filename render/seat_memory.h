/* SPDX-License-Identifier: MIT */
/*
 * A backend of the seat's in memory: outputs whose pixels can be read, with as many planes as they
 * are told, for tests and for headless use. It counts what is asked of it.
 */
#ifndef GPUDOM_RENDER_SEAT_MEMORY_H
#define GPUDOM_RENDER_SEAT_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "render/seat_backend.h"

struct seat_memory_output {
	const char *name;      /* NULL: "MEMORY-1", "MEMORY-2", ... */
	struct seat_mode mode; /* the preferred one */
	bool unplugged;        /* at first */
	const uint8_t *edid;   /* NULL: none */
	uint32_t edid_size;
};

struct seat_memory_options {
	sd_event *event; /* its clock flips; NULL: seat_memory_flip() does */
	const struct seat_memory_output *outputs;
	unsigned output_count;
	unsigned planes; /* layers at a time, besides the cursor; 0: SEAT_LAYERS_MAX */
	bool no_scaling; /* by planes */
	bool no_cursor;  /* plane */
	bool no_import;  /* of dma-bufs: every frame is copied */
	bool no_export;
};

/* -ENOMEM, -EINVAL, and sd-event's errors. */
int seat_memory_create(const struct seat_memory_options *options, struct seat_backend **backend);

struct seat_memory_counts {
	uint64_t commits, tests, refused; /* refused: stacks, tested or not */
	uint64_t flips, mode_sets;
	uint64_t cursor_images, cursor_moves;
	unsigned fbs; /* that are allocated or imported now */
};
struct seat_memory_counts seat_memory_get_counts(const struct seat_backend *backend);

/* A vertical blank: what was committed is on screen, and its flipped() is called. False: nothing
 * was committed. */
bool seat_memory_flip(struct seat_backend *backend, unsigned output);
bool seat_memory_is_pending(const struct seat_backend *backend, unsigned output);

/* What is on screen now: XRGB8888 rows without padding, until the next call. NULL: it is off. */
const uint32_t *seat_memory_pixels(struct seat_backend *backend, unsigned output);
/* The layers of the last commit. */
unsigned seat_memory_layers(const struct seat_backend *backend, unsigned output);

/* Plugs a monitor with that preferred mode in (NULL: out). outputs_changed() is called. */
void seat_memory_plug(struct seat_backend *backend, unsigned output, const struct seat_mode *mode);
/* As a switch of virtual terminals. */
void seat_memory_set_active(struct seat_backend *backend, bool active);
/* From now on. */
void seat_memory_set_planes(struct seat_backend *backend, unsigned planes);
/* Into imported pictures somebody draws until @fd (the caller's) can be read. */
void seat_memory_set_drawing(struct seat_backend *backend, int fd);
/* The next commits fail with @error (0: do not). */
void seat_memory_set_error(struct seat_backend *backend, int error);

#endif
