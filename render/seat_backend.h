/* SPDX-License-Identifier: MIT */
/*
 * What the seat shows on: KMS (kms.c), a window on somebody's desktop (wayland.c), or memory
 * (seat_memory.c). It has outputs, each with a stack of layers; it says which stacks it cannot
 * show, and then the seat composes. All calls come from one thread, and none waits.
 */
#ifndef GPUDOM_RENDER_SEAT_BACKEND_H
#define GPUDOM_RENDER_SEAT_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/display.h"

#define SEAT_OUTPUTS_MAX 16
#define SEAT_LAYERS_MAX 16
#define SEAT_OUTPUT_NAME_MAX 32
#define SEAT_EDID_MAX 1024

struct seat_mode {
	uint32_t width, height; /* pixels */
	uint32_t refresh;       /* millihertz */
	bool preferred;
};

/* Lives as long as the backend; what is in it changes with outputs_changed(). */
struct seat_output {
	unsigned index;                  /* in the backend's array */
	char name[SEAT_OUTPUT_NAME_MAX]; /* of the connector, such as "HDMI-A-1" */
	bool connected;
	struct seat_mode mode; /* that is set; width 0: it is off */
	const struct seat_mode *modes;
	unsigned mode_count;
	uint32_t width_mm, height_mm; /* 0: unknown */
	size_t edid_size;             /* 0: none, or not a good one */
	uint8_t edid[SEAT_EDID_MAX];
};

/* A picture that the backend can show. */
struct seat_fb {
	uint32_t width, height, stride;
	uint32_t fourcc;
	bool y0_top; /* as struct display_dmabuf */
};

struct seat_layer {
	struct seat_fb *fb;
	struct display_rect source; /* pixels of fb */
	int32_t x, y;               /* on the output */
	uint32_t width, height;     /* there; others than the source's: scaled */
	uint16_t alpha;             /* of all of it: 0 to 65535, opaque; times the pixels' own */
	const struct display_rect *damage; /* of fb */
	unsigned damage_count;             /* 0: all of it */
	int fence_fd;                      /* a sync file to wait for; the caller's; -1: none */
};

struct seat_backend_listener {
	/* The output's last commit is on screen: what was there before is not read any more.
	 * @time_ns: CLOCK_MONOTONIC. */
	void (*flipped)(
	    void *data, struct seat_output *output, uint64_t sequence, uint64_t time_ns);
	/* One came or went, or has other modes: look at all. */
	void (*outputs_changed)(void *data);
	/* False: the screen is somebody else's (a switch of virtual terminals, suspend). Commits
	 * fail with -EPERM, none is pending. True: ours again, and everything has to be shown
	 * anew. */
	void (*active_changed)(void *data, bool active);
	void *data;
};

struct seat_backend;
struct seat_backend_impl {
	const char *name;
	void (*destroy)(struct seat_backend *backend);

	/* From the next commit on; width 0: off, at once. -EINVAL: there is no such mode. -ENODEV:
	 * no monitor. -ENOSPC: more monitors than the card can serve at a time. -EPERM: not
	 * active. */
	int (*set_mode)(
	    struct seat_backend *backend, struct seat_output *output, const struct seat_mode *mode);

	/*
	 * Shows @layers, the first one at the bottom, from the next vertical blank on; flipped()
	 * follows. Layers outside all others are black. -EINVAL: this stack cannot be shown (too
	 * many planes, scaling, formats). -EBUSY: the last commit is not on screen yet. -EPERM: not
	 * active. -ENODEV: the output is off, or its monitor has gone. @test: only says whether it
	 * would be shown, without a flip.
	 */
	int (*commit)(struct seat_backend *backend, struct seat_output *output,
	    const struct seat_layer *layers, unsigned count, bool test);

	/* Beside the layers, above all, without a flip of them. @cursor NULL: none. -ENOTSUP: the
	 * seat blends it, from now on (the plane shows none). -EPERM, -ENODEV: as commit. The
	 * position is that of its first pixel. */
	int (*set_cursor)(struct seat_backend *backend, struct seat_output *output,
	    const struct display_cursor *cursor, int32_t x, int32_t y);
	int (*move_cursor)(
	    struct seat_backend *backend, struct seat_output *output, int32_t x, int32_t y);

	/* What is not ours: a dma-buf (not taken over), looked at before it is believed. -EINVAL,
	 * or -ENOTSUP where it cannot be shown on @output (or not without a copy). */
	int (*import)(struct seat_backend *backend, struct seat_output *output,
	    const struct display_dmabuf *dmabuf, struct seat_fb **fb);
	/* Memory of the backend's for @output (and others of the same card; a commit elsewhere is
	 * -EINVAL), XRGB8888 (with @alpha: ARGB8888), zeroed. */
	int (*allocate)(struct seat_backend *backend, struct seat_output *output, uint32_t width,
	    uint32_t height, bool alpha, struct seat_fb **fb);
	/* The picture's memory as a descriptor that another process can map: the caller's to close.
	 * *@size bytes. -ENOTSUP */
	int (*export)(struct seat_backend *backend, struct seat_fb *fb, size_t *size);
	/* To be read and written by this process, until the fb's end. NULL: it cannot be (an errno
	 * is set). An imported one is read between begin and end (DMA_BUF_IOCTL_SYNC), which do not
	 * wait for whoever draws into it. */
	void *(*map)(struct seat_backend *backend, struct seat_fb *fb);
	void (*begin_read)(struct seat_backend *backend, struct seat_fb *fb);
	void (*end_read)(struct seat_backend *backend, struct seat_fb *fb);
	/* The dma-buf of an imported picture, the backend's; -1: there is none. May be NULL. */
	int (*dmabuf)(struct seat_backend *backend, struct seat_fb *fb);
	/* One that is on screen stays there until something else is. Accepts NULL. */
	void (*free)(struct seat_backend *backend, struct seat_fb *fb);
};

struct seat_backend {
	const struct seat_backend_impl *impl;
	struct seat_output *outputs[SEAT_OUTPUTS_MAX]; /* connected or not; their order is theirs */
	unsigned output_count;
	bool active;
	struct seat_backend_listener listener; /* set by the seat */
};

#endif
