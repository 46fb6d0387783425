/* SPDX-License-Identifier: MIT */
/*
 * Where frames go: headless (render/headless.c), the front end's window or the seat
 * (display_socket.c). A display *pulls* pixels from a source when it
 * is ready for them, so that what is never shown is never read back.
 */
#ifndef GPUDOM_BACKEND_DISPLAY_H
#define GPUDOM_BACKEND_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISPLAY_SCANOUTS_MAX 16 /* VIRTIO_GPU_MAX_SCANOUTS */
#define DISPLAY_CURSOR_SIZE 64  /* pixels, both ways */
#define DISPLAY_EDID_MAX 1024   /* bytes: what the guest's driver has room for */

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
	uint32_t edid;                /* another number with each EDID of get_edid(); 0: none */
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
	/* Likewise of what is in the processor's memory, for displays that show it from there. May
	 * be NULL. */
	int (*export_memory)(struct display_source *source, struct display_dmabuf *dmabuf,
	    struct display_rect *rect);
};
struct display_source {
	const struct display_source_impl *impl;
	uint32_t width, height; /* pixels, of the scan-out rectangle */
	uint32_t x, y;          /* where that is in the buffer which is exported */
	/* The buffer that is exported: no other one ever has this number, also after it has
	 * been forgotten. 0: unknown. */
	uint64_t buffer;
};

/* How frames get to where they are seen. */
enum display_path {
	DISPLAY_PATH_NONE,      /* there are none */
	DISPLAY_PATH_ZERO_COPY, /* as dma-buf */
	DISPLAY_PATH_ONE_COPY,  /* the damage is copied into the display's own memory */
	DISPLAY_PATH_INLINE,    /* ... into a socket, and out of it again */
	DISPLAY_PATHS,
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

enum display_refresh {
	DISPLAY_KNOWN,     /* what is known */
	DISPLAY_ASK_MODES, /* the guest has just asked for them: get fresh ones from whoever knows
			    */
	DISPLAY_ASK_EDIDS, /* ... for EDIDs */
};

struct display;
struct display_impl {
	void (*destroy)(struct display *display);
	/* Fills @modes; false: not known yet, modes_changed() will say when. */
	bool (*get_modes)(struct display *display, struct display_mode modes[DISPLAY_SCANOUTS_MAX],
	    enum display_refresh refresh);
	/* The EDID of the scan-out's real monitor, checked; its size, 0: there is none, and the
	 * device makes one. May be NULL. */
	size_t (*get_edid)(
	    struct display *display, unsigned scanout, uint8_t edid[DISPLAY_EDID_MAX]);
	/* The scan-out's picture from now on; NULL: none. The old source is valid until this
	 * returns (the display may read what it still owes). */
	void (*set_source)(
	    struct display *display, unsigned scanout, struct display_source *source);
	/* @damage of the source has new content. listener->shown() follows with @serial (which
	 * rises) when it is visible, also when the source goes away before. */
	void (*flush)(struct display *display, unsigned scanout, const struct display_rect *damage,
	    uint64_t serial);
	/* No source will have this buffer any more. May be NULL. */
	void (*forget)(struct display *display, uint64_t buffer);
	/* How the scan-out's last frame went, and, unless it was without a copy, why: an errno, 0:
	 * nothing to tell. May be NULL. */
	enum display_path (*get_path)(struct display *display, unsigned scanout, int *reason);
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
