/* SPDX-License-Identifier: MIT */
#include <drm_fourcc.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/log.h"
#include "render/wayland_private.h"

#define REFRESH 60000 /* millihertz; the desktop does not say */
/* A window that nobody can see gets no frames; its guest goes on all the same. */
#define LATE_USEC 250000
/* While a window is being resized, its size changes all the time. */
#define RESIZED_USEC 150000

static const uint32_t usual[WAYLAND_MODES - 1][2] = {
	{ 640, 480 },
	{ 800, 600 },
	{ 1024, 768 },
	{ 1280, 720 },
	{ 1280, 800 },
	{ 1600, 900 },
	{ 1920, 1080 },
	{ 2560, 1440 },
};

static struct wayland_window *window_of(struct seat_output *output)
{
	return (struct wayland_window *)output; /* base is first */
}

static void outputs_changed(struct wayland *wayland)
{
	const struct seat_backend_listener *listener = &wayland->base.listener;

	if (listener->outputs_changed)
		listener->outputs_changed(listener->data);
}

/* ---------------------------------------------------------------- frames */

static void flip(struct wayland_window *window)
{
	const struct seat_backend_listener *listener = &window->wayland->base.listener;
	struct timespec now;

	sd_event_source_set_enabled(window->late, SD_EVENT_OFF);
	if (window->frame)
		wl_callback_destroy(window->frame);
	window->frame = NULL;
	window->overtaken = NULL;
	if (!window->pending)
		return;
	window->pending = false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (listener->flipped)
		listener->flipped(listener->data, &window->base, ++window->sequence,
		    (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec);
}

static void on_frame(void *data, struct wl_callback *callback, uint32_t time)
{
	struct wayland_window *window = data;

	wl_callback_destroy(window->frame);
	window->frame = NULL;
	/* What was there before may be drawn into when it is on screen: is it let go of? */
	if (!window->overtaken)
		flip(window);
}

static const struct wl_callback_listener frame_listener = { .done = on_frame };

void wayland_window_released(struct wayland *wayland, struct wayland_fb *fb)
{
	for (unsigned i = 0; i < wayland->base.output_count; i++) {
		struct wayland_window *window = &wayland->windows[i];

		if (window->overtaken != fb)
			continue;
		window->overtaken = NULL;
		if (!window->frame)
			flip(window);
	}
}

void wayland_window_forget(struct wayland *wayland, struct wayland_fb *fb)
{
	for (unsigned i = 0; i < wayland->base.output_count; i++) {
		if (wayland->windows[i].shown == fb)
			wayland->windows[i].shown = NULL;
		if (wayland->windows[i].overtaken == fb)
			wayland->windows[i].overtaken = NULL;
	}
}

static int on_late(sd_event_source *source, uint64_t usec, void *data)
{
	flip(data);
	return 0;
}

static int get_black(struct wayland_window *window, struct wayland_fb **fb)
{
	const struct seat_mode *mode = &window->base.mode;
	struct seat_backend *backend = &window->wayland->base;
	struct seat_fb *black;
	int error;

	if (window->black && (window->black->base.width != mode->width ||
				 window->black->base.height != mode->height)) {
		wayland_free(backend, &window->black->base);
		window->black = NULL;
	}
	if (!window->black) {
		error = wayland_allocate(
		    backend, &window->base, mode->width, mode->height, false, &black);
		if (error < 0)
			return error;
		window->black = (struct wayland_fb *)black;
	}
	*fb = window->black;
	return 0;
}

/* One picture as large as the window, and opaque: the desktop scales nothing for us. */
static bool can_show(const struct wayland_window *window, const struct seat_layer *layer)
{
	const struct seat_mode *mode = &window->base.mode;

	return layer->fb->fourcc == DRM_FORMAT_XRGB8888 && layer->x == 0 && layer->y == 0 &&
	       layer->width == mode->width && layer->height == mode->height &&
	       layer->alpha == UINT16_MAX && layer->fence_fd < 0 && layer->fb->y0_top &&
	       layer->source.x == 0 && layer->source.y == 0 &&
	       layer->source.width == layer->width && layer->source.height == layer->height &&
	       layer->fb->width == layer->width && layer->fb->height == layer->height;
}

static void add_damage(struct wayland_window *window, const struct seat_layer *layer)
{
	if (!layer || !layer->damage_count)
		wl_surface_damage_buffer(window->surface, 0, 0, INT32_MAX, INT32_MAX);
	for (unsigned i = 0; layer && i < layer->damage_count; i++) {
		const struct display_rect *rect = &layer->damage[i];

		wl_surface_damage_buffer(window->surface, (int32_t)rect->x, (int32_t)rect->y,
		    (int32_t)rect->width, (int32_t)rect->height);
	}
}

int wayland_commit(struct seat_backend *backend, struct seat_output *output,
    const struct seat_layer *layers, unsigned count, bool test)
{
	struct wayland *wayland = wayland_from(backend);
	struct wayland_window *window = window_of(output);
	struct wayland_fb *fb = NULL;
	int error;

	if (!window->surface || wayland->gone || !output->mode.width)
		return -ENODEV;
	if (count > 1 || (count && !can_show(window, layers)))
		return -EINVAL;
	if (test)
		return 0;
	if (window->pending)
		return -EBUSY;
	if (count) {
		fb = (struct wayland_fb *)layers[0].fb;
	} else {
		error = get_black(window, &fb);
		if (error < 0)
			return error;
	}
	window->frame = wl_surface_frame(window->surface);
	if (!window->frame)
		return -ENOMEM;
	wl_callback_add_listener(window->frame, &frame_listener, window);
	wl_surface_attach(window->surface, fb->buffer, 0, 0);
	add_damage(window, count ? layers : NULL);
	wl_surface_commit(window->surface);
	window->overtaken =
	    window->shown != fb && window->shown && window->shown->busy ? window->shown : NULL;
	window->shown = fb;
	fb->busy = true;
	window->pending = true;
	sd_event_source_set_time_relative(window->late, LATE_USEC);
	sd_event_source_set_enabled(window->late, SD_EVENT_ONESHOT);
	wayland_flush(wayland);
	return 0;
}

/* ---------------------------------------------------------------- modes */

/* The window's size first, then the usual ones. */
static void make_modes(struct wayland_window *window, uint32_t width, uint32_t height)
{
	unsigned count = 1;

	window->modes[0] = (struct seat_mode){ width, height, REFRESH, true };
	for (size_t i = 0; i < WAYLAND_MODES - 1; i++)
		if (usual[i][0] != width || usual[i][1] != height)
			window->modes[count++] =
			    (struct seat_mode){ usual[i][0], usual[i][1], REFRESH, false };
	window->base.modes = window->modes;
	window->base.mode_count = count;
}

/* The window is as large as what is shown in it. */
int wayland_set_mode(
    struct seat_backend *backend, struct seat_output *output, const struct seat_mode *mode)
{
	struct wayland_window *window = window_of(output);

	if (!window->surface)
		return -ENODEV;
	if (!mode->width) {
		output->mode = (struct seat_mode){ 0 };
		wl_surface_attach(window->surface, NULL, 0, 0);
		wl_surface_commit(window->surface);
		flip(window);
		return 0;
	}
	for (unsigned i = 0; i < output->mode_count; i++)
		if (output->modes[i].width == mode->width &&
		    output->modes[i].height == mode->height) {
			output->mode = output->modes[i];
			return 0;
		}
	return -EINVAL;
}

static int on_resized(sd_event_source *source, uint64_t usec, void *data)
{
	struct wayland_window *window = data;

	if (window->width == window->modes[0].width && window->height == window->modes[0].height)
		return 0;
	make_modes(window, window->width, window->height);
	if (window->base.mode.width)
		window->base.mode = window->modes[0];
	log_info("%s is %ux%u now", window->base.name, window->width, window->height);
	outputs_changed(window->wayland);
	return 0;
}

/* ---------------------------------------------------------------- windows */

static void on_configure(void *data, struct xdg_surface *surface, uint32_t serial)
{
	struct wayland_window *window = data;

	xdg_surface_ack_configure(surface, serial);
	if (!window->width || !window->height)
		return;
	sd_event_source_set_time_relative(window->resized, RESIZED_USEC);
	sd_event_source_set_enabled(window->resized, SD_EVENT_ONESHOT);
}

/* "If the width or height arguments are zero, it means the client should decide its own window
 * dimension." */
static void on_toplevel_configure(void *data, struct xdg_toplevel *toplevel, int32_t width,
    int32_t height, struct wl_array *states)
{
	struct wayland_window *window = data;

	if (width <= 0 || height <= 0 || width > WAYLAND_SIZE_MAX || height > WAYLAND_SIZE_MAX)
		return;
	window->width = (uint32_t)width;
	window->height = (uint32_t)height;
}

static void on_close(void *data, struct xdg_toplevel *toplevel)
{
	struct wayland_window *window = data;

	log_info("the window of %s is closed", window->base.name);
	wayland_window_close(window);
	wayland_window_gone(window->wayland);
}

static const struct xdg_surface_listener surface_listener = { .configure = on_configure };
static const struct xdg_toplevel_listener toplevel_listener = {
	.configure = on_toplevel_configure,
	.close = on_close,
};

static int add_timers(struct wayland_window *window)
{
	sd_event *event = window->wayland->options.event;
	int error;

	error = sd_event_add_time_relative(
	    event, &window->late, CLOCK_MONOTONIC, LATE_USEC, 1000, on_late, window);
	if (error >= 0)
		error = sd_event_source_set_enabled(window->late, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_time_relative(event, &window->resized, CLOCK_MONOTONIC,
		    RESIZED_USEC, 1000, on_resized, window);
	if (error >= 0)
		error = sd_event_source_set_enabled(window->resized, SD_EVENT_OFF);
	return error;
}

/* Nothing of the desktop shines through, and it need not look. */
static void make_opaque(struct wayland_window *window)
{
	struct wl_region *all = wl_compositor_create_region(window->wayland->compositor);

	if (!all)
		return;
	wl_region_add(all, 0, 0, INT32_MAX, INT32_MAX);
	wl_surface_set_opaque_region(window->surface, all);
	wl_region_destroy(all);
}

int wayland_window_open(
    struct wayland *wayland, unsigned index, const struct wayland_output *options)
{
	struct wayland_window *window = &wayland->windows[index];
	struct seat_output *output = &window->base;
	char title[64];
	int error;

	window->wayland = wayland;
	output->index = index;
	if (*options->name)
		memcpy(output->name, options->name, sizeof(output->name));
	else
		snprintf(output->name, sizeof(output->name), "WL-%u", index + 1);
	error = add_timers(window);
	if (error < 0)
		return error;
	window->surface = wl_compositor_create_surface(wayland->compositor);
	if (!window->surface)
		return -ENOMEM;
	wl_surface_set_user_data(window->surface, window);
	window->xdg_surface = xdg_wm_base_get_xdg_surface(wayland->shell, window->surface);
	if (!window->xdg_surface)
		return -ENOMEM;
	window->toplevel = xdg_surface_get_toplevel(window->xdg_surface);
	if (!window->toplevel)
		return -ENOMEM;
	xdg_surface_add_listener(window->xdg_surface, &surface_listener, window);
	xdg_toplevel_add_listener(window->toplevel, &toplevel_listener, window);
	snprintf(title, sizeof(title), "gpudom: %s", output->name);
	xdg_toplevel_set_title(window->toplevel, title);
	xdg_toplevel_set_app_id(window->toplevel, "gpudom-seat");
	make_opaque(window);
	/* "the client must perform an initial commit without any buffer attached" */
	wl_surface_commit(window->surface);
	make_modes(window, options->width ? options->width : 1280,
	    options->height ? options->height : 800);
	output->mode = window->modes[0];
	output->connected = true;
	wayland->base.outputs[index] = output;
	return 0;
}

void wayland_window_close(struct wayland_window *window)
{
	if (!window->wayland)
		return;
	wayland_input_leave(window->wayland, window);
	window->base.connected = false;
	window->base.mode = (struct seat_mode){ 0 };
	window->base.mode_count = 0;
	if (window->frame)
		wl_callback_destroy(window->frame);
	window->frame = NULL;
	if (window->toplevel)
		xdg_toplevel_destroy(window->toplevel);
	if (window->xdg_surface)
		xdg_surface_destroy(window->xdg_surface);
	if (window->surface)
		wl_surface_destroy(window->surface);
	window->toplevel = NULL;
	window->xdg_surface = NULL;
	window->surface = NULL;
	window->late = sd_event_source_disable_unref(window->late);
	window->resized = sd_event_source_disable_unref(window->resized);
	/* Nobody reads what is not to be seen. */
	if (window->black)
		wayland_free(&window->wayland->base, &window->black->base);
	window->black = NULL;
	wayland_fb_unread(window->shown);
	wayland_fb_unread(window->overtaken);
	window->shown = window->overtaken = NULL;
	window->pending = false;
}
