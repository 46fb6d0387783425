/* SPDX-License-Identifier: MIT */
/*
 * Where frames go: headless (render/headless.c), the front end's window
 * (display_socket.c), later the seat. A display *pulls* pixels from a source when it
 * is ready for them, so that what is never shown is never read back.
 */
#ifndef GPUDOM_BACKEND_DISPLAY_H
#define GPUDOM_BACKEND_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISPLAY_SCANOUTS_MAX 16 /* VIRTIO_GPU_MAX_SCANOUTS */
#define DISPLAY_CURSOR_SIZE 64  /* pixels, both ways */

struct display_rect {
	uint32_t x, y, width, height;
};

/* What an output offers to the guest. */
struct display_mode {
	bool enabled;
	uint32_t x, y;                /* position among the guest's outputs */
	uint32_t width, height;       /* pixels */
	uint32_t refresh;             /* millihertz; 0: unpaced (advertised as 60 Hz) */
	uint32_t width_mm, height_mm; /* physical size; 0: unknown */
};

/* An exported frame. The receiver of a struct display_dmabuf owns its fd. */
struct display_dmabuf {
	int fd;
	uint32_t width, height, stride, offset;
	uint32_t fourcc;   /* DRM_FORMAT_* */
	uint64_t modifier; /* DRM_FORMAT_MOD_* */
	bool y0_top;       /* false: the first row is the bottom one */
};

/* The picture of one scan-out; lives until the device sets another or none. */
struct display_source;
struct display_source_impl {
	/* Copies @rect (inside the source) to @to as XRGB8888 (bytes B, G, R, X), @stride bytes a
	 * row. 0 or -errno. */
	int (*read)(struct display_source *source, const struct display_rect *rect, void *to,
	    size_t stride);
	/* Exports the whole buffer (of which the source is rectangle @rect); -ENOTSUP where it
	 * can't be. */
	int (*export_dmabuf)(struct display_source *source, struct display_dmabuf *dmabuf,
	    struct display_rect *rect);
};
struct display_source {
	const struct display_source_impl *impl;
	uint32_t width, height; /* pixels, of the scan-out rectangle */
};

struct display_cursor {
	uint32_t hot_x, hot_y;
	/* ARGB8888 premultiplied (bytes B, G, R, A), row after row */
	uint32_t pixels[DISPLAY_CURSOR_SIZE * DISPLAY_CURSOR_SIZE];
};

struct display_listener {
	/* All flushes of @scanout up to @serial are on screen, or have been overtaken. May be
	 * called from within flush(). */
	void (*shown)(void *data, unsigned scanout, uint64_t serial);
	/* get_modes() has news: an answer that was pending, or a change. */
	void (*modes_changed)(void *data);
	void *data;
};

struct display;
struct display_impl {
	void (*destroy)(struct display *display);
	/* Fills @modes; false: not known yet, modes_changed() will say when. With @refresh, the
	 * guest has just asked: get fresh ones from whoever knows. */
	bool (*get_modes)(
	    struct display *display, struct display_mode modes[DISPLAY_SCANOUTS_MAX], bool refresh);
	/* The scan-out's picture from now on; NULL: none. The old source is valid until this
	 * returns (the display may read what it still owes). */
	void (*set_source)(
	    struct display *display, unsigned scanout, struct display_source *source);
	/* @damage of the source has new content. listener->shown() follows with @serial (which
	 * rises) when it is visible, also when the source goes away before. */
	void (*flush)(struct display *display, unsigned scanout, const struct display_rect *damage,
	    uint64_t serial);
	/* NULL hides it. @cursor is copied. The position is that of its first pixel, not of the hot
	 * spot, and signed: Linux sends the cursor plane's corner. */
	void (*set_cursor)(struct display *display, unsigned scanout,
	    const struct display_cursor *cursor, uint32_t x, uint32_t y);
	void (*move_cursor)(struct display *display, unsigned scanout, uint32_t x, uint32_t y);
};

struct display {
	const struct display_impl *impl;
	struct display_listener listener; /* set by the device that shows on it */
};

#endif
