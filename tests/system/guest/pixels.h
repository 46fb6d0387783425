/* SPDX-License-Identifier: MIT */
#ifndef PIXELS_H
#define PIXELS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <xf86drmMode.h>

struct gl;

/* The guest's first connected output, and where the host's answers come from. */
struct screen {
	int fd;
	uint32_t crtc, connector;
	drmModeModeInfo mode;
	FILE *console; /* NULL: nobody answers */
	struct gl *gl; /* NULL until the first GL step */
};

/* Shows a frame buffer by a mode set, or by a page flip, whose event it waits for. */
void screen_show(struct screen *screen, uint32_t fb);
void screen_flip(struct screen *screen, uint32_t fb);

/* Makes a GBM surface of the screen's size with an OpenGL ES 2 context current on it, and
 * prints "guest: renderer GL_RENDERER". Ends the program where that fails. */
struct gl *gl_create(struct screen *screen);

/* Draws one of the two known pictures, compares pixels that it reads back through the context,
 * and flips to it. */
void gl_draw(struct gl *gl, struct screen *screen, bool textured);

#endif
