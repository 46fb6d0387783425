/* SPDX-License-Identifier: MIT */
/* What the files of wayland.h share. */
#ifndef GPUDOM_RENDER_WAYLAND_PRIVATE_H
#define GPUDOM_RENDER_WAYLAND_PRIVATE_H

#include <sys/queue.h>
#include <wayland-client.h>

#include "render/wayland.h"
#include "xdg-shell-client.h"

#define WAYLAND_MODES 9  /* the window's size, and some that are usual */
#define WAYLAND_SLOTS 16 /* fingers at a time */
#define WAYLAND_SIZE_MAX 16384

struct wayland;

struct wayland_fb {
	struct seat_fb base;
	LIST_ENTRY(wayland_fb) entry;
	struct wayland *wayland;
	struct wl_buffer *buffer;
	int fd; /* memory file, sealed at its size */
	void *map;
	size_t size;
	bool busy;  /* the compositor may read it */
	bool freed; /* as soon as it does not any more */
};

struct wayland_window {
	struct seat_output base;
	struct wayland *wayland;
	struct seat_mode modes[WAYLAND_MODES];
	struct wl_surface *surface;
	struct xdg_surface *xdg_surface;
	struct xdg_toplevel *toplevel;
	struct wl_callback *frame;       /* of the commit that is not on screen yet */
	struct wayland_fb *shown;        /* attached by it, or before; NULL: none */
	struct wayland_fb *overtaken;    /* by it; until the compositor lets it go */
	struct wayland_fb *black;        /* where there are no layers */
	sd_event_source *late, *resized; /* timers */
	uint32_t width, height;          /* that the desktop wants; 0: none */
	bool pending;                    /* flipped() is owed */
	uint64_t sequence;
};

struct wayland_finger {
	bool down;
	int32_t id;
	struct wayland_window *window;
};

struct wayland {
	struct seat_backend base;
	struct wayland_options options;
	struct wl_display *display;
	struct wl_registry *registry;
	struct wl_compositor *compositor;
	struct wl_shm *shm;
	struct xdg_wm_base *shell;
	sd_event_source *readable, *idle;
	bool gone; /* the desktop */
	struct wayland_window windows[SEAT_OUTPUTS_MAX];
	LIST_HEAD(wayland_fbs, wayland_fb) fbs;

	/* wayland_input.c */
	struct wl_seat *seat;
	uint32_t seat_name;
	struct wl_keyboard *keyboard;
	struct wl_pointer *pointer;
	struct wl_touch *touch;
	struct seat_input *input;       /* NULL: nobody listens */
	struct wayland_window *pointed; /* where the pointer is */
	double scroll[2], discrete[2];  /* in this frame: down, right */
	struct wayland_finger fingers[WAYLAND_SLOTS];
};

static inline struct wayland *wayland_from(struct seat_backend *backend)
{
	return (struct wayland *)backend; /* base is first */
}

/* Sends what was asked for. */
void wayland_flush(struct wayland *wayland);
/* Windows are gone: outputs_changed(), and closed() after the last one. */
void wayland_window_gone(struct wayland *wayland);

/* ---- wayland_window.c ---- */

int wayland_window_open(
    struct wayland *wayland, unsigned index, const struct wayland_output *options);
void wayland_window_close(struct wayland_window *window);
/* Its buffer was released. */
void wayland_window_released(struct wayland *wayland, struct wayland_fb *fb);
/* It is about to be freed. */
void wayland_window_forget(struct wayland *wayland, struct wayland_fb *fb);
int wayland_set_mode(
    struct seat_backend *backend, struct seat_output *output, const struct seat_mode *mode);
int wayland_commit(struct seat_backend *backend, struct seat_output *output,
    const struct seat_layer *layers, unsigned count, bool test);

/* ---- wayland_buffer.c ---- */

int wayland_allocate(struct seat_backend *backend, struct seat_output *output, uint32_t width,
    uint32_t height, bool alpha, struct seat_fb **fb);
int wayland_export(struct seat_backend *backend, struct seat_fb *fb, size_t *size);
void *wayland_map(struct seat_backend *backend, struct seat_fb *fb);
void wayland_free(struct seat_backend *backend, struct seat_fb *fb);
/* The compositor does not read it any more. Accepts NULL. */
void wayland_fb_unread(struct wayland_fb *fb);
/* The connection is about to end: all that were freed and might have been read. */
void wayland_buffer_finish(struct wayland *wayland);

/* ---- wayland_input.c ---- */

void wayland_input_init(struct wayland *wayland, uint32_t name, uint32_t version);
void wayland_input_finish(struct wayland *wayland);
/* The window is about to be closed. */
void wayland_input_leave(struct wayland *wayland, struct wayland_window *window);

#endif
