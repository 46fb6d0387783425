/* SPDX-License-Identifier: MIT */
#include "render/wayland.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/log.h"
#include "render/wayland_private.h"

#define COMPOSITOR_VERSION 4 /* damage_buffer */

/* ---------------------------------------------------------------- the connection */

static void wayland_lost(struct wayland *wayland)
{
	if (wayland->gone)
		return;
	wayland->gone = true;
	log_error("the desktop has ended the connection: %s",
	    strerror(wl_display_get_error(wayland->display)));
	sd_event_source_set_enabled(wayland->readable, SD_EVENT_OFF);
	for (unsigned i = 0; i < wayland->base.output_count; i++)
		wayland_window_close(&wayland->windows[i]);
	wayland_buffer_finish(wayland);
	wayland_window_gone(wayland);
}

void wayland_window_gone(struct wayland *wayland)
{
	const struct seat_backend_listener *listener = &wayland->base.listener;
	bool left = false;

	if (listener->outputs_changed)
		listener->outputs_changed(listener->data);
	for (unsigned i = 0; i < wayland->base.output_count; i++)
		left = left || wayland->windows[i].base.connected;
	if (!left && wayland->options.closed)
		wayland->options.closed(wayland->options.data);
}

/* What it does not take now goes when it can be written to. An error is seen in what is read. */
void wayland_flush(struct wayland *wayland)
{
	int n;

	if (wayland->gone)
		return;
	n = wl_display_flush(wayland->display);
	sd_event_source_set_io_events(
	    wayland->readable, n < 0 && errno == EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct wayland *wayland = data;
	int n = 0;

	while (n >= 0 && wl_display_prepare_read(wayland->display) < 0)
		n = wl_display_dispatch_pending(wayland->display);
	if (n >= 0)
		n = wl_display_read_events(wayland->display);
	if (n >= 0)
		n = wl_display_dispatch_pending(wayland->display);
	if (n < 0)
		wayland_lost(wayland);
	else
		wayland_flush(wayland);
	return 0;
}

/* ---------------------------------------------------------------- what the desktop has */

static void on_ping(void *data, struct xdg_wm_base *shell, uint32_t serial)
{
	xdg_wm_base_pong(shell, serial);
}

static const struct xdg_wm_base_listener shell_listener = { .ping = on_ping };

static void on_global(void *data, struct wl_registry *registry, uint32_t name,
    const char *interface, uint32_t version)
{
	struct wayland *wayland = data;

	if (strcmp(interface, wl_compositor_interface.name) == 0 && version >= COMPOSITOR_VERSION) {
		wayland->compositor =
		    wl_registry_bind(registry, name, &wl_compositor_interface, COMPOSITOR_VERSION);
	} else if (strcmp(interface, wl_shm_interface.name) == 0) {
		wayland->shm = wl_registry_bind(registry, name, &wl_shm_interface, 1);
	} else if (strcmp(interface, xdg_wm_base_interface.name) == 0) {
		wayland->shell = wl_registry_bind(registry, name, &xdg_wm_base_interface, 1);
		xdg_wm_base_add_listener(wayland->shell, &shell_listener, wayland);
	} else if (strcmp(interface, wl_seat_interface.name) == 0) {
		wayland_input_init(wayland, name, version);
	}
}

static void on_global_remove(void *data, struct wl_registry *registry, uint32_t name)
{
	struct wayland *wayland = data;

	if (wayland->seat && name == wayland->seat_name)
		wayland_input_finish(wayland);
}

static const struct wl_registry_listener registry_listener = {
	.global = on_global,
	.global_remove = on_global_remove,
};

/* ---------------------------------------------------------------- the backend */

static int wayland_set_cursor(struct seat_backend *backend, struct seat_output *output,
    const struct display_cursor *cursor, int32_t x, int32_t y)
{
	return -ENOTSUP; /* the desktop's is where the hand is, not where the guest has drawn it */
}

static int wayland_move_cursor(
    struct seat_backend *backend, struct seat_output *output, int32_t x, int32_t y)
{
	return -ENOTSUP;
}

static int wayland_import(struct seat_backend *backend, struct seat_output *output,
    const struct display_dmabuf *dmabuf, struct seat_fb **fb)
{
	return -ENOTSUP; /* a copy, into memory that the desktop reads */
}

static void wayland_no_read(struct seat_backend *backend, struct seat_fb *fb)
{
}

static void wayland_destroy(struct seat_backend *backend)
{
	struct wayland *wayland = wayland_from(backend);

	for (unsigned i = 0; i < wayland->base.output_count; i++)
		wayland_window_close(&wayland->windows[i]);
	wayland_input_finish(wayland);
	wayland_buffer_finish(wayland);
	if (wayland->shell)
		xdg_wm_base_destroy(wayland->shell);
	if (wayland->shm)
		wl_shm_destroy(wayland->shm);
	if (wayland->compositor)
		wl_compositor_destroy(wayland->compositor);
	if (wayland->registry)
		wl_registry_destroy(wayland->registry);
	sd_event_source_disable_unref(wayland->readable);
	if (wayland->display)
		wl_display_disconnect(wayland->display);
	sd_event_unref(wayland->options.event);
	free(wayland);
}

static const struct seat_backend_impl wayland_impl = {
	.name = "wayland",
	.destroy = wayland_destroy,
	.set_mode = wayland_set_mode,
	.commit = wayland_commit,
	.set_cursor = wayland_set_cursor,
	.move_cursor = wayland_move_cursor,
	.import = wayland_import,
	.allocate = wayland_allocate,
	.export = wayland_export,
	.map = wayland_map,
	.begin_read = wayland_no_read,
	.end_read = wayland_no_read,
	.free = wayland_free,
};

static int wayland_connect(struct wayland *wayland)
{
	const char *name = wayland->options.display;
	int error;

	wayland->display = wl_display_connect(name);
	if (!wayland->display) {
		error = -errno;
		log_error("there is no Wayland desktop at %s: %s. $WAYLAND_DISPLAY names it",
		    name ? name : "$WAYLAND_DISPLAY", strerror(-error));
		return error ? error : -ENOTCONN;
	}
	error = sd_event_add_io(wayland->options.event, &wayland->readable,
	    wl_display_get_fd(wayland->display), EPOLLIN, on_readable, wayland);
	if (error < 0)
		return error;
	wayland->registry = wl_display_get_registry(wayland->display);
	wl_registry_add_listener(wayland->registry, &registry_listener, wayland);
	if (wl_display_roundtrip(wayland->display) < 0)
		return -errno;
	if (wayland->compositor && wayland->shm && wayland->shell)
		return 0;
	log_error("this desktop has no %s: no windows there", !wayland->compositor
								  ? "wl_compositor of version 4"
							      : !wayland->shm ? "wl_shm"
									      : "xdg_wm_base");
	return -ENOTSUP;
}

static int wayland_open_windows(struct wayland *wayland)
{
	static const struct wayland_output one = { .width = 0 };
	const struct wayland_options *options = &wayland->options;
	unsigned count = options->output_count ? options->output_count : 1;

	if (count > SEAT_OUTPUTS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		int error;

		wayland->base.output_count = i + 1;
		error = wayland_window_open(
		    wayland, i, options->output_count ? &options->outputs[i] : &one);
		if (error < 0)
			return error;
	}
	/* The first configuration: no picture is taken before it. */
	return wl_display_roundtrip(wayland->display) < 0 ? -errno : 0;
}

int wayland_create(const struct wayland_options *options, struct seat_backend **backend)
{
	struct wayland *wayland = calloc(1, sizeof(*wayland));
	int error;

	if (!wayland)
		return -ENOMEM;
	wayland->base.impl = &wayland_impl;
	wayland->base.active = true;
	wayland->options = *options;
	sd_event_ref(options->event);
	error = wayland_connect(wayland);
	if (error == 0)
		error = wayland_open_windows(wayland);
	if (error < 0) {
		log_error("cannot open a window: %s", strerror(-error));
		wayland_destroy(&wayland->base);
		return error;
	}
	wayland->options.outputs = NULL; /* the caller's */
	wayland_flush(wayland);
	*backend = &wayland->base;
	return 0;
}
