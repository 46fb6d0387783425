/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_desktop.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <wayland-server.h>

#include "xdg-shell-server.h"

struct surface {
	struct desktop *desktop;
	struct desktop_window *window;
	struct wl_resource *resource, *xdg_surface, *toplevel;
	struct wl_resource *pending, *current, *before; /* buffers */
	struct wl_resource *frame_pending, *frame;
	bool configured;
};

struct command {
	void (*act)(struct desktop *desktop, const struct command *command);
	int32_t a, b;
	double x, y;
};

struct desktop {
	struct fake_desktop *fake;
	struct wl_display *display;
	int wake_fd;
	struct wl_event_source *wake;
	pthread_mutex_t mutex;
	pthread_cond_t done;
	const struct command *command;
	struct surface surfaces[DESKTOP_WINDOWS_MAX];
	struct wl_resource *keyboard, *pointer, *touch;
};

static void ask(struct fake_desktop *fake, const struct command *command)
{
	struct desktop *desktop = fake->desktop;

	pthread_mutex_lock(&desktop->mutex);
	desktop->command = command;
	assert(eventfd_write(desktop->wake_fd, 1) == 0);
	while (desktop->command)
		pthread_cond_wait(&desktop->done, &desktop->mutex);
	pthread_mutex_unlock(&desktop->mutex);
}

static int on_wake(int fd, uint32_t mask, void *data)
{
	struct desktop *desktop = data;
	eventfd_t count;

	eventfd_read(fd, &count);
	pthread_mutex_lock(&desktop->mutex);
	if (desktop->command)
		desktop->command->act(desktop, desktop->command);
	wl_display_flush_clients(desktop->display);
	desktop->command = NULL;
	pthread_cond_broadcast(&desktop->done);
	pthread_mutex_unlock(&desktop->mutex);
	return 0;
}

static void destroy_resource(struct wl_client *client, struct wl_resource *resource)
{
	wl_resource_destroy(resource);
}

/* ---------------------------------------------------------------- surfaces */

static void surface_attach(struct wl_client *client, struct wl_resource *resource,
    struct wl_resource *buffer, int32_t x, int32_t y)
{
	struct surface *surface = wl_resource_get_user_data(resource);

	surface->pending = buffer;
}

static void surface_frame(struct wl_client *client, struct wl_resource *resource, uint32_t id)
{
	struct surface *surface = wl_resource_get_user_data(resource);

	surface->frame_pending = wl_resource_create(client, &wl_callback_interface, 1, id);
	surface->window->frames_wanted++;
}

static void remember(struct surface *surface)
{
	struct wl_shm_buffer *buffer = wl_shm_buffer_get(surface->current);

	assert(buffer);
	surface->window->width = (uint32_t)wl_shm_buffer_get_width(buffer);
	surface->window->height = (uint32_t)wl_shm_buffer_get_height(buffer);
	wl_shm_buffer_begin_access(buffer);
	memcpy(&surface->window->pixel, wl_shm_buffer_get_data(buffer), 4);
	wl_shm_buffer_end_access(buffer);
	surface->window->commits++;
}

static void surface_commit(struct wl_client *client, struct wl_resource *resource)
{
	struct surface *surface = wl_resource_get_user_data(resource);

	if (!surface->configured && surface->toplevel) {
		struct wl_array states;

		assert(!surface->pending); /* "without any buffer attached" */
		surface->configured = true;
		wl_array_init(&states);
		xdg_toplevel_send_configure(surface->toplevel, 0, 0, &states);
		xdg_surface_send_configure(surface->xdg_surface, 1);
		return;
	}
	if (surface->pending && surface->pending != surface->current) {
		if (surface->before)
			wl_buffer_send_release(surface->before);
		surface->before = surface->current;
		surface->current = surface->pending;
	}
	if (surface->pending)
		remember(surface);
	surface->pending = NULL;
	surface->frame = surface->frame_pending;
	surface->frame_pending = NULL;
}

static void ignore_rect(struct wl_client *client, struct wl_resource *resource, int32_t x,
    int32_t y, int32_t width, int32_t height)
{
}

static void set_region(
    struct wl_client *client, struct wl_resource *resource, struct wl_resource *region)
{
	struct surface *surface = wl_resource_get_user_data(resource);

	surface->window->opaque = region;
}

static const struct wl_surface_interface surface_impl = {
	.set_opaque_region = set_region,
	.destroy = destroy_resource,
	.attach = surface_attach,
	.damage = ignore_rect,
	.frame = surface_frame,
	.commit = surface_commit,
	.damage_buffer = ignore_rect,
};

static void surface_gone(struct wl_resource *resource)
{
	struct surface *surface = wl_resource_get_user_data(resource);

	surface->window->open = false;
	surface->resource = NULL;
}

static void create_surface(struct wl_client *client, struct wl_resource *resource, uint32_t id)
{
	struct desktop *desktop = wl_resource_get_user_data(resource);

	for (unsigned i = 0; i < DESKTOP_WINDOWS_MAX; i++) {
		struct surface *surface = &desktop->surfaces[i];

		if (surface->resource)
			continue;
		*surface =
		    (struct surface){ .desktop = desktop, .window = &desktop->fake->windows[i] };
		*surface->window = (struct desktop_window){ .open = true };
		surface->resource = wl_resource_create(client, &wl_surface_interface, 4, id);
		wl_resource_set_implementation(
		    surface->resource, &surface_impl, surface, surface_gone);
		return;
	}
	abort();
}

static const struct wl_region_interface region_impl = { .destroy = destroy_resource,
	.add = ignore_rect };

static void create_region(struct wl_client *client, struct wl_resource *resource, uint32_t id)
{
	wl_resource_set_implementation(
	    wl_resource_create(client, &wl_region_interface, 1, id), &region_impl, NULL, NULL);
}

static const struct wl_compositor_interface compositor_impl = {
	.create_surface = create_surface,
	.create_region = create_region,
};

/* ---------------------------------------------------------------- xdg-shell */

static void toplevel_title(
    struct wl_client *client, struct wl_resource *resource, const char *title)
{
	struct surface *surface = wl_resource_get_user_data(resource);

	snprintf(surface->window->title, sizeof(surface->window->title), "%s", title);
}

static void toplevel_app_id(struct wl_client *client, struct wl_resource *resource, const char *id)
{
}

static const struct xdg_toplevel_interface toplevel_impl = {
	.destroy = destroy_resource,
	.set_title = toplevel_title,
	.set_app_id = toplevel_app_id,
};

static void get_toplevel(struct wl_client *client, struct wl_resource *resource, uint32_t id)
{
	struct surface *surface = wl_resource_get_user_data(resource);

	surface->toplevel = wl_resource_create(client, &xdg_toplevel_interface, 1, id);
	wl_resource_set_implementation(surface->toplevel, &toplevel_impl, surface, NULL);
}

static void ack_configure(struct wl_client *client, struct wl_resource *resource, uint32_t serial)
{
}

static const struct xdg_surface_interface xdg_surface_impl = {
	.destroy = destroy_resource,
	.get_toplevel = get_toplevel,
	.ack_configure = ack_configure,
};

static void get_xdg_surface(
    struct wl_client *client, struct wl_resource *resource, uint32_t id, struct wl_resource *of)
{
	struct surface *surface = wl_resource_get_user_data(of);

	surface->xdg_surface = wl_resource_create(client, &xdg_surface_interface, 1, id);
	wl_resource_set_implementation(surface->xdg_surface, &xdg_surface_impl, surface, NULL);
}

static void shell_pong(struct wl_client *client, struct wl_resource *resource, uint32_t serial)
{
}

static const struct xdg_wm_base_interface shell_impl = {
	.destroy = destroy_resource,
	.get_xdg_surface = get_xdg_surface,
	.pong = shell_pong,
};

/* ---------------------------------------------------------------- input */

static void set_cursor(struct wl_client *client, struct wl_resource *resource, uint32_t serial,
    struct wl_resource *surface, int32_t x, int32_t y)
{
	assert(!surface);
}

static const struct wl_pointer_interface pointer_impl = {
	.set_cursor = set_cursor,
	.release = destroy_resource,
};
static const struct wl_keyboard_interface keyboard_impl = { .release = destroy_resource };
static const struct wl_touch_interface touch_impl = { .release = destroy_resource };

static void get_pointer(struct wl_client *client, struct wl_resource *resource, uint32_t id)
{
	struct desktop *desktop = wl_resource_get_user_data(resource);

	desktop->pointer = wl_resource_create(client, &wl_pointer_interface, 5, id);
	wl_resource_set_implementation(desktop->pointer, &pointer_impl, desktop, NULL);
}

static void get_keyboard(struct wl_client *client, struct wl_resource *resource, uint32_t id)
{
	struct desktop *desktop = wl_resource_get_user_data(resource);

	desktop->keyboard = wl_resource_create(client, &wl_keyboard_interface, 5, id);
	wl_resource_set_implementation(desktop->keyboard, &keyboard_impl, desktop, NULL);
}

static void get_touch(struct wl_client *client, struct wl_resource *resource, uint32_t id)
{
	struct desktop *desktop = wl_resource_get_user_data(resource);

	desktop->touch = wl_resource_create(client, &wl_touch_interface, 5, id);
	wl_resource_set_implementation(desktop->touch, &touch_impl, desktop, NULL);
}

static const struct wl_seat_interface seat_impl = {
	.get_pointer = get_pointer,
	.get_keyboard = get_keyboard,
	.get_touch = get_touch,
	.release = destroy_resource,
};

/* ---------------------------------------------------------------- globals */

static void bind_compositor(struct wl_client *client, void *data, uint32_t version, uint32_t id)
{
	wl_resource_set_implementation(wl_resource_create(client, &wl_compositor_interface, 4, id),
	    &compositor_impl, data, NULL);
}

static void bind_shell(struct wl_client *client, void *data, uint32_t version, uint32_t id)
{
	wl_resource_set_implementation(
	    wl_resource_create(client, &xdg_wm_base_interface, 1, id), &shell_impl, data, NULL);
}

static void bind_seat(struct wl_client *client, void *data, uint32_t version, uint32_t id)
{
	struct wl_resource *seat = wl_resource_create(client, &wl_seat_interface, 5, id);

	wl_resource_set_implementation(seat, &seat_impl, data, NULL);
	wl_seat_send_capabilities(seat,
	    WL_SEAT_CAPABILITY_KEYBOARD | WL_SEAT_CAPABILITY_POINTER | WL_SEAT_CAPABILITY_TOUCH);
}

static void *run(void *data)
{
	wl_display_run(data);
	return NULL;
}

void fake_desktop_start(struct fake_desktop *fake)
{
	struct desktop *desktop = calloc(1, sizeof(*desktop));

	*fake = (struct fake_desktop){ .desktop = desktop, .folder = "/tmp/fake-desktop.XXXXXX" };
	assert(desktop && mkdtemp(fake->folder));
	setenv("XDG_RUNTIME_DIR", fake->folder, 1);
	desktop->fake = fake;
	desktop->display = wl_display_create();
	snprintf(fake->socket, sizeof(fake->socket), "desktop");
	assert(desktop->display && wl_display_add_socket(desktop->display, fake->socket) == 0);
	pthread_mutex_init(&desktop->mutex, NULL);
	pthread_cond_init(&desktop->done, NULL);
	desktop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	desktop->wake = wl_event_loop_add_fd(wl_display_get_event_loop(desktop->display),
	    desktop->wake_fd, WL_EVENT_READABLE, on_wake, desktop);
	wl_display_init_shm(desktop->display);
	wl_global_create(desktop->display, &wl_compositor_interface, 4, desktop, bind_compositor);
	wl_global_create(desktop->display, &xdg_wm_base_interface, 1, desktop, bind_shell);
	wl_global_create(desktop->display, &wl_seat_interface, 5, desktop, bind_seat);
	assert(pthread_create(&fake->thread, NULL, run, desktop->display) == 0);
}

static void act_stop(struct desktop *desktop, const struct command *command)
{
	wl_display_terminate(desktop->display);
}

void fake_desktop_stop(struct fake_desktop *fake)
{
	struct desktop *desktop = fake->desktop;

	if (!desktop)
		return;
	ask(fake, &(struct command){ .act = act_stop });
	pthread_join(fake->thread, NULL);
	wl_event_source_remove(desktop->wake);
	wl_display_destroy_clients(desktop->display);
	wl_display_destroy(desktop->display);
	close(desktop->wake_fd);
	free(desktop);
	fake->desktop = NULL;
	rmdir(fake->folder);
}

/* ---------------------------------------------------------------- what it is told */

static void act_nothing(struct desktop *desktop, const struct command *command)
{
}

void fake_desktop_look(struct fake_desktop *fake)
{
	ask(fake, &(struct command){ .act = act_nothing });
}

static void act_repaint(struct desktop *desktop, const struct command *command)
{
	for (unsigned i = 0; i < DESKTOP_WINDOWS_MAX; i++) {
		struct surface *surface = &desktop->surfaces[i];

		if (!surface->resource)
			continue;
		if (command->a && surface->before) {
			wl_buffer_send_release(surface->before);
			surface->before = NULL;
		}
		if (surface->frame) {
			wl_callback_send_done(surface->frame, 0);
			wl_resource_destroy(surface->frame);
			surface->frame = NULL;
		}
	}
}

void fake_desktop_repaint(struct fake_desktop *fake, bool release)
{
	ask(fake, &(struct command){ .act = act_repaint, .a = release });
}

static void act_resize(struct desktop *desktop, const struct command *command)
{
	struct wl_array states;

	wl_array_init(&states);
	xdg_toplevel_send_configure(desktop->surfaces[0].toplevel, command->a, command->b, &states);
	xdg_surface_send_configure(desktop->surfaces[0].xdg_surface, 2);
}

void fake_desktop_resize(struct fake_desktop *fake, int32_t width, int32_t height)
{
	ask(fake, &(struct command){ .act = act_resize, .a = width, .b = height });
}

static void act_close(struct desktop *desktop, const struct command *command)
{
	xdg_toplevel_send_close(desktop->surfaces[command->a].toplevel);
}

void fake_desktop_close_window(struct fake_desktop *fake, unsigned window)
{
	ask(fake, &(struct command){ .act = act_close, .a = (int32_t)window });
}

static void act_key(struct desktop *desktop, const struct command *command)
{
	wl_keyboard_send_key(desktop->keyboard, 1, 0, (uint32_t)command->a, (uint32_t)command->b);
}

void fake_desktop_key(struct fake_desktop *fake, uint32_t key, bool down)
{
	ask(fake, &(struct command){ .act = act_key, .a = (int32_t)key, .b = down });
}

static void act_leave(struct desktop *desktop, const struct command *command)
{
	wl_keyboard_send_leave(desktop->keyboard, 1, desktop->surfaces[0].resource);
}

void fake_desktop_leave(struct fake_desktop *fake)
{
	ask(fake, &(struct command){ .act = act_leave });
}

static void act_move(struct desktop *desktop, const struct command *command)
{
	wl_pointer_send_enter(desktop->pointer, 1, desktop->surfaces[0].resource,
	    wl_fixed_from_double(command->x), wl_fixed_from_double(command->y));
	wl_pointer_send_frame(desktop->pointer);
}

void fake_desktop_move(struct fake_desktop *fake, double x, double y)
{
	ask(fake, &(struct command){ .act = act_move, .x = x, .y = y });
}

static void act_button(struct desktop *desktop, const struct command *command)
{
	wl_pointer_send_button(desktop->pointer, 1, 0, (uint32_t)command->a, (uint32_t)command->b);
	wl_pointer_send_frame(desktop->pointer);
}

void fake_desktop_button(struct fake_desktop *fake, uint32_t button, bool down)
{
	ask(fake, &(struct command){ .act = act_button, .a = (int32_t)button, .b = down });
}

static void act_scroll(struct desktop *desktop, const struct command *command)
{
	wl_pointer_send_axis_discrete(
	    desktop->pointer, WL_POINTER_AXIS_VERTICAL_SCROLL, command->a);
	wl_pointer_send_axis(desktop->pointer, 0, WL_POINTER_AXIS_VERTICAL_SCROLL,
	    wl_fixed_from_int(10 * command->a));
	wl_pointer_send_frame(desktop->pointer);
}

void fake_desktop_scroll(struct fake_desktop *fake, int32_t discrete)
{
	ask(fake, &(struct command){ .act = act_scroll, .a = discrete });
}

static void act_touch(struct desktop *desktop, const struct command *command)
{
	wl_touch_send_down(desktop->touch, 1, 0, desktop->surfaces[0].resource, command->a,
	    wl_fixed_from_double(command->x), wl_fixed_from_double(command->y));
	wl_touch_send_frame(desktop->touch);
}

void fake_desktop_touch(struct fake_desktop *fake, int32_t id, double x, double y)
{
	ask(fake, &(struct command){ .act = act_touch, .a = id, .x = x, .y = y });
}

static void act_touch_up(struct desktop *desktop, const struct command *command)
{
	wl_touch_send_up(desktop->touch, 1, 0, command->a);
	wl_touch_send_frame(desktop->touch);
}

void fake_desktop_touch_up(struct fake_desktop *fake, int32_t id)
{
	ask(fake, &(struct command){ .act = act_touch_up, .a = id });
}
