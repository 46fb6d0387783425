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
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

enum { CURSOR_SIZE = 64 };

struct dumb {
	uint32_t handle, fb, width, height, pitch;
	uint8_t *map;
};

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

void screen_flip(struct screen *screen, uint32_t fb)
{
	drmEventContext events = { .version = 2 };

	if (drmModePageFlip(screen->fd, screen->crtc, fb, DRM_MODE_PAGE_FLIP_EVENT, NULL) < 0)
		err(1, "page flip");
	if (drmHandleEvent(screen->fd, &events) < 0)
		err(1, "page flip event");
}

void screen_show(struct screen *screen, uint32_t fb)
{
	if (drmModeSetCrtc(
		screen->fd, screen->crtc, fb, 0, 0, &screen->connector, 1, &screen->mode) < 0)
		err(1, "mode set");
}

static void screen_open(struct screen *screen)
{
	drmModeConnector *connector = NULL;
	drmModeRes *resources;

	screen->fd = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
	if (screen->fd < 0)
		err(1, "/dev/dri/card0");
	resources = drmModeGetResources(screen->fd);
	if (!resources)
		err(1, "no KMS resources");
	for (int i = 0; i < resources->count_connectors; i++) {
		connector = drmModeGetConnector(screen->fd, resources->connectors[i]);
		if (connector && connector->connection == DRM_MODE_CONNECTED &&
		    connector->count_modes)
			break;
		drmModeFreeConnector(connector);
		connector = NULL;
	}
	if (!connector)
		errx(1, "no output is connected");
	screen->connector = connector->connector_id;
	screen->crtc = resources->crtcs[0];
	screen->mode = connector->modes[0];
	printf("guest: mode %ux%u at %u Hz, of %d\n", screen->mode.hdisplay, screen->mode.vdisplay,
	    screen->mode.vrefresh, connector->count_modes);
	drmModeFreeConnector(connector);
	drmModeFreeResources(resources);
}

static void dumb_create(struct screen *screen, struct dumb *dumb, uint32_t width, uint32_t height)
{
	uint64_t offset;
	uint64_t size;

	*dumb = (struct dumb){ .width = width, .height = height };
	if (drmModeCreateDumbBuffer(
		screen->fd, width, height, 32, 0, &dumb->handle, &dumb->pitch, &size) < 0)
		err(1, "dumb buffer");
	if (drmModeMapDumbBuffer(screen->fd, dumb->handle, &offset) < 0)
		err(1, "map of the dumb buffer");
	dumb->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, screen->fd, (off_t)offset);
	if (dumb->map == MAP_FAILED)
		err(1, "mmap");
	memset(dumb->map, 0, size);
}

static void dumb_fill(
    struct dumb *dumb, uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t colour)
{
	for (uint32_t row = y; row < y + height; row++) {
		uint32_t *line = (uint32_t *)(dumb->map + (size_t)row * dumb->pitch);

		for (uint32_t column = x; column < x + width; column++)
			line[column] = colour;
	}
}

static void dumb_fill_quadrants(struct dumb *dumb, const uint32_t colours[4])
{
	uint32_t w = dumb->width / 2, h = dumb->height / 2;

	dumb_fill(dumb, 0, 0, w, h, colours[0]);
	dumb_fill(dumb, w, 0, w, h, colours[1]);
	dumb_fill(dumb, 0, h, w, h, colours[2]);
	dumb_fill(dumb, w, h, w, h, colours[3]);
}

static void dumb_add_fb(struct screen *screen, struct dumb *dumb)
{
	if (drmModeAddFB(screen->fd, dumb->width, dumb->height, 24, 32, dumb->pitch, dumb->handle,
		&dumb->fb) < 0)
		err(1, "frame buffer");
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
