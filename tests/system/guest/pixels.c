/* SPDX-License-Identifier: MIT */
/*
 * Runs in a guest: shows known pictures on its virtio-gpu output, step by step, so that the host
 * can compare the pixels that arrive. After each step it prints "guest: look STEP" and waits for
 * a line on the console given by -w (without -w it waits a second). The tests know the pictures:
 *
 *   dumb     quadrants in a dumb buffer, set by a mode set; the corner pixels have own colours
 *   flip     the quadrants rotated, in a second buffer, by a page flip
 *   dirty    a block of 33x17 at 101,53, drawn into the buffer on screen, as damage
 *   cursor   a 64x64 cursor at 200,150: opaque, clear and half transparent parts
 *   moved    the same cursor at -16,-16
 *   gl       a clear colour and a triangle, through GBM and EGL, by a page flip
 *   texture  a texture of four colours over the right half, and a scissored clear
 *
 * usage: pixels [-w CONSOLE] STEP...
 */
#include "pixels.h"

#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xf86drmMode.h>

enum { CURSOR_SIZE = 64 };

/* Prints the step and waits until the host has looked. */
static void host_wait(struct screen *screen, const char *step)
{
	char line[16];

	printf("guest: look %s\n", step);
	fflush(stdout);
	if (!screen->console)
		sleep(1);
	else if (!fgets(line, sizeof(line), screen->console))
		err(1, "console");
}

static void dumb_fill_quadrants(struct dumb *dumb, const uint32_t colours[4])
{
	uint32_t w = dumb->width / 2, h = dumb->height / 2;

	dumb_fill(dumb, 0, 0, w, h, colours[0]);
	dumb_fill(dumb, w, 0, w, h, colours[1]);
	dumb_fill(dumb, 0, h, w, h, colours[2]);
	dumb_fill(dumb, w, h, w, h, colours[3]);
}

static void step_dumb(struct screen *screen, struct dumb *dumb)
{
	uint32_t w = screen->mode.hdisplay, h = screen->mode.vdisplay;

	dumb_create(screen, dumb, w, h);
	dumb_add_fb(screen, dumb);
	dumb_fill_quadrants(dumb, (uint32_t[]){ 0xc02010, 0x10c020, 0x2010c0, 0xc0c020 });
	dumb_fill(dumb, 0, 0, 1, 1, 0xffffff);
	dumb_fill(dumb, w - 1, 0, 1, 1, 0x00ffff);
	dumb_fill(dumb, 0, h - 1, 1, 1, 0xff00ff);
	dumb_fill(dumb, w - 1, h - 1, 1, 1, 0xffff00);
	screen_show(screen, dumb->fb);
}

static void step_flip(struct screen *screen, struct dumb *dumb)
{
	dumb_create(screen, dumb, screen->mode.hdisplay, screen->mode.vdisplay);
	dumb_add_fb(screen, dumb);
	dumb_fill_quadrants(dumb, (uint32_t[]){ 0x2010c0, 0xc02010, 0xc0c020, 0x10c020 });
	screen_flip(screen, dumb->fb);
}

static void step_dirty(struct screen *screen, struct dumb *dumb)
{
	drmModeClip clip = { .x1 = 101, .y1 = 53, .x2 = 101 + 33, .y2 = 53 + 17 };

	dumb_fill(dumb, clip.x1, clip.y1, 33, 17, 0x00ff80);
	if (drmModeDirtyFB(screen->fd, dumb->fb, &clip, 1) < 0)
		err(1, "dirty");
}

static void step_cursor(struct screen *screen)
{
	struct dumb cursor;

	/* Upper left opaque, upper right clear, below half transparent black. */
	dumb_create(screen, &cursor, CURSOR_SIZE, CURSOR_SIZE);
	dumb_fill_quadrants(
	    &cursor, (uint32_t[]){ 0xffff40a0, 0x00000000, 0x80000000, 0x80000000 });
	if (drmModeSetCursor(screen->fd, screen->crtc, cursor.handle, CURSOR_SIZE, CURSOR_SIZE) < 0)
		err(1, "cursor");
	if (drmModeMoveCursor(screen->fd, screen->crtc, 200, 150) < 0)
		err(1, "cursor move");
}

static void step_moved(struct screen *screen)
{
	if (drmModeMoveCursor(screen->fd, screen->crtc, -16, -16) < 0)
		err(1, "cursor move");
}

static void step_gl(struct screen *screen, bool textured)
{
	if (!screen->gl)
		screen->gl = gl_create(screen);
	gl_draw(screen->gl, screen, textured);
}

/* flip's buffer is what dirty draws into. */
static void step_run(struct screen *screen, struct dumb *flipped, const char *step)
{
	struct dumb first;

	if (strcmp(step, "dumb") == 0)
		step_dumb(screen, &first);
	else if (strcmp(step, "flip") == 0)
		step_flip(screen, flipped);
	else if (strcmp(step, "dirty") == 0 && flipped->map)
		step_dirty(screen, flipped);
	else if (strcmp(step, "cursor") == 0)
		step_cursor(screen);
	else if (strcmp(step, "moved") == 0)
		step_moved(screen);
	else if (strcmp(step, "gl") == 0)
		step_gl(screen, false);
	else if (strcmp(step, "texture") == 0)
		step_gl(screen, true);
	else
		errx(2, "no step '%s' here", step);
	host_wait(screen, step);
}

int main(int argc, char **argv)
{
	struct screen screen = { 0 };
	struct dumb flipped = { 0 };
	int option;

	while ((option = getopt(argc, argv, "w:")) != -1) {
		if (option != 'w')
			errx(2, "usage: pixels [-w CONSOLE] STEP...");
		screen.console = fopen(optarg, "r");
		if (!screen.console)
			err(1, "%s", optarg);
	}
	screen_open(&screen);
	for (int i = optind; i < argc; i++)
		step_run(&screen, &flipped, argv[i]);
	return 0;
}
