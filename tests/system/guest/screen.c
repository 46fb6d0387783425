/* SPDX-License-Identifier: MIT */
/* What the guest programs share: the guest's output and buffers drawn into by the CPU, through KMS.
 */
#include "screen.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <xf86drm.h>

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

void screen_open(struct screen *screen)
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

void dumb_create(struct screen *screen, struct dumb *dumb, uint32_t width, uint32_t height)
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

void dumb_fill(
    struct dumb *dumb, uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t colour)
{
	for (uint32_t row = y; row < y + height; row++) {
		uint32_t *line = (uint32_t *)(dumb->map + (size_t)row * dumb->pitch);

		for (uint32_t column = x; column < x + width; column++)
			line[column] = colour;
	}
}

void dumb_add_fb(struct screen *screen, struct dumb *dumb)
{
	if (drmModeAddFB(screen->fd, dumb->width, dumb->height, 24, 32, dumb->pitch, dumb->handle,
		&dumb->fb) < 0)
		err(1, "frame buffer");
}
