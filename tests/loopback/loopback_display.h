/* SPDX-License-Identifier: MIT */
/*
 * The front end's half of the vhost-user-gpu display socket (QEMU's
 * docs/interop/vhost-user-gpu.rst): answers what the back end asks, keeps the pictures
 * it sends.
 */
#ifndef GPUDOM_TESTS_LOOPBACK_DISPLAY_H
#define GPUDOM_TESTS_LOOPBACK_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define LOOPBACK_DISPLAY_SCANOUTS 16

struct loopback_picture {
	uint32_t width, height; /* 0: none */
	uint32_t *pixels;       /* XRGB8888, width * height, owned; NULL: shown by dma-buf */
};

struct loopback_display {
	int fd;             /* -1: none */
	bool edid, dmabuf2; /* offer these protocol features */

	/* What it tells the back end: the first @scanouts are enabled */
	unsigned scanouts;
	uint32_t width, height;

	/* What the back end told it */
	uint64_t protocol_features;
	struct loopback_picture pictures[LOOPBACK_DISPLAY_SCANOUTS];
	uint32_t cursor_scanout, cursor_x, cursor_y, cursor_hot_x, cursor_hot_y;
	bool cursor_visible;
	uint32_t cursor[64 * 64];
	unsigned infos, edids, scanout_messages, updates, dmabufs, dmabuf_updates, cursors;
};

/* 1024x768 on one scan-out, EDID offered; change it before the back end connects. */
void loopback_display_init(struct loopback_display *display);
/* Makes the socket; the other end for the back end. -errno. */
int loopback_display_open(struct loopback_display *display);
void loopback_display_finish(struct loopback_display *display);

/* Takes one message, which poll() says is there. 0; -ENOTCONN: closed; -EPROTO. */
int loopback_display_dispatch(struct loopback_display *display);

#endif
