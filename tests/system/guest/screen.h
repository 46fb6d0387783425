/* SPDX-License-Identifier: MIT */
/* The guest's output and buffers drawn into by the CPU. What fails ends the program. */
#ifndef SCREEN_H
#define SCREEN_H

#include <stddef.h>
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

struct dumb {
	uint32_t handle, fb, width, height, pitch;
	uint8_t *map;
};

/* Opens the first GPU and prints "guest: mode WIDTHxHEIGHT ...". */
void screen_open(struct screen *screen);

/* Shows a frame buffer by a mode set, or by a page flip, whose event it waits for. */
void screen_show(struct screen *screen, uint32_t fb);
void screen_flip(struct screen *screen, uint32_t fb);

void dumb_create(struct screen *screen, struct dumb *dumb, uint32_t width, uint32_t height);
void dumb_fill(
    struct dumb *dumb, uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t colour);
void dumb_add_fb(struct screen *screen, struct dumb *dumb);

#endif
