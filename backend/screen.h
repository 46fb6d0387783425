/* SPDX-License-Identifier: MIT */
/*
 * What is on a guest's outputs, in a file without a name (memfd_create(2)) that outlives the worker
 * which draws it: the last frame of each with its cursor, and the picture that stands for it when
 * the signal is lost. A head, the cursors, then two slots for each output (frame, lost picture) at
 * fixed places; what was never drawn takes no memory. The size is sealed.
 *
 * A worker maps what it draws. Readers trust nothing in it and map nothing: screen_capture()
 * copies.
 */
#ifndef GPUDOM_BACKEND_SCREEN_H
#define GPUDOM_BACKEND_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/display.h"

/* Of one picture, 4 bytes a pixel: enough for 8192 x 8192. */
#define SCREEN_SLOT_BYTES (UINT64_C(256) << 20)

struct screen_output {
	/* The worker's */
	uint64_t serial;        /* of the frame, rising; odd while it is drawn; 0: none yet */
	uint32_t width, height; /* of the frame: rows of width * 4 bytes, XRGB8888 */
	uint32_t cursor_visible;
	uint32_t cursor_x, cursor_y; /* of its first pixel, signed to who reads them */
	/* Of whoever watches the worker: while @serial is @lost_serial, the lost picture stands for
	 * the frame. The next frame takes its place. */
	uint32_t lost;
	uint64_t lost_serial;
	uint32_t lost_width, lost_height;
};

struct screen_head {
	uint64_t magic, version;
	struct screen_output outputs[DISPLAY_SCANOUTS_MAX];
};

/* A new file with slots of SCREEN_SLOT_BYTES. -errno. */
int screen_create(int *fd);

/* What a person in front of @output would see, cursor included, as XRGB8888 rows of width * 4
 * bytes; *@pixels is the caller's to free. -ENOENT: nothing was ever shown there. -EPROTO: what is
 * in the file makes no sense. -errno. */
int screen_capture(int fd, unsigned output, uint32_t *width, uint32_t *height, void **pixels);

/* The same in numbers: what stands in the file for @output, at this moment. -EPROTO, -errno. */
int screen_read(int fd, unsigned output, struct screen_output *state);

/* From now on, until the next frame, this picture stands for the frame. -EFBIG: it is too large. */
int screen_lose(int fd, unsigned output, uint32_t width, uint32_t height, const void *pixels);

/* No picture stands for the frame any more. */
int screen_find(int fd, unsigned output);

/* ---------------------------------------------------------------- for who draws */

struct screen {
	int fd; /* not owned */
	struct screen_head *head;
	struct display_cursor *cursors; /* DISPLAY_SCANOUTS_MAX; only the pixels matter */
	struct {
		uint8_t *pixels; /* NULL: nothing is mapped */
		uint64_t size;
	} frames[DISPLAY_SCANOUTS_MAX];
};

/* Maps the file for drawing; what a predecessor has drawn is there. -ESTALE: another build's. */
int screen_open(struct screen *screen, int fd);
void screen_close(struct screen *screen);

/* Drawing begins: the frame is @width x @height from now on (empty, where it was of another size).
 * NULL with errno: it can't be. */
uint8_t *screen_begin(struct screen *screen, unsigned output, uint32_t width, uint32_t height);
/* ... and is over. */
void screen_end(struct screen *screen, unsigned output);

/* NULL hides it. */
void screen_set_cursor(struct screen *screen, unsigned output, const struct display_cursor *cursor,
    uint32_t x, uint32_t y);
void screen_move_cursor(struct screen *screen, unsigned output, uint32_t x, uint32_t y);

#endif
