/* SPDX-License-Identifier: MIT */
#include <drm_fourcc.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/log.h"
#include "render/wayland_private.h"

static struct wayland_fb *wayland_fb(struct seat_fb *fb)
{
	return (struct wayland_fb *)fb; /* base is first */
}

static void fb_destroy(struct wayland_fb *fb)
{
	if (fb->buffer)
		wl_buffer_destroy(fb->buffer);
	if (fb->map)
		munmap(fb->map, fb->size);
	if (fb->fd >= 0)
		close(fb->fd);
	free(fb);
}

static void let_go(struct wayland_fb *fb)
{
	if (fb->busy || !fb->freed)
		return;
	wayland_window_forget(fb->wayland, fb);
	LIST_REMOVE(fb, entry);
	fb_destroy(fb);
}

void wayland_fb_unread(struct wayland_fb *fb)
{
	if (!fb)
		return;
	fb->busy = false;
	let_go(fb);
}

void wayland_buffer_finish(struct wayland *wayland)
{
	struct wayland_fb *fb, *next;

	for (fb = LIST_FIRST(&wayland->fbs); fb; fb = next) {
		next = LIST_NEXT(fb, entry);
		wayland_fb_unread(fb);
	}
}

static void on_release(void *data, struct wl_buffer *buffer)
{
	struct wayland_fb *fb = data;

	wayland_window_released(fb->wayland, fb);
	wayland_fb_unread(fb);
}

/* Others map it, too (workers do): nobody must be able to cut it short under the compositor. */
static int make_memory(struct wayland_fb *fb)
{
	fb->fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fb->fd < 0 || ftruncate(fb->fd, (off_t)fb->size) < 0 ||
	    fcntl(fb->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	fb->map = mmap(NULL, fb->size, PROT_READ | PROT_WRITE, MAP_SHARED, fb->fd, 0);
	if (fb->map != MAP_FAILED)
		return 0;
	fb->map = NULL;
	return -errno;
}

int wayland_allocate(struct seat_backend *backend, struct seat_output *output, uint32_t width,
    uint32_t height, bool alpha, struct seat_fb **to)
{
	static const struct wl_buffer_listener listener = { .release = on_release };
	struct wayland *wayland = wayland_from(backend);
	struct wayland_fb *fb;
	struct wl_shm_pool *pool;
	int error;

	if (!width || !height || width > WAYLAND_SIZE_MAX || height > WAYLAND_SIZE_MAX)
		return -EINVAL;
	if (wayland->gone)
		return -ENODEV;
	fb = calloc(1, sizeof(*fb));
	if (!fb)
		return -ENOMEM;
	fb->wayland = wayland;
	fb->base = (struct seat_fb){ .width = width,
		.height = height,
		.stride = 4 * width,
		.fourcc = alpha ? DRM_FORMAT_ARGB8888 : DRM_FORMAT_XRGB8888,
		.y0_top = true };
	fb->size = (size_t)fb->base.stride * height;
	error = make_memory(fb);
	if (error < 0 || fb->size > INT32_MAX)
		goto error;
	error = -ENOMEM;
	pool = wl_shm_create_pool(wayland->shm, fb->fd, (int32_t)fb->size);
	if (!pool)
		goto error;
	fb->buffer = wl_shm_pool_create_buffer(pool, 0, (int32_t)width, (int32_t)height,
	    (int32_t)fb->base.stride, alpha ? WL_SHM_FORMAT_ARGB8888 : WL_SHM_FORMAT_XRGB8888);
	wl_shm_pool_destroy(pool);
	if (!fb->buffer)
		goto error;
	wl_buffer_add_listener(fb->buffer, &listener, fb);
	LIST_INSERT_HEAD(&wayland->fbs, fb, entry);
	*to = &fb->base;
	return 0;
error:
	fb_destroy(fb);
	return error ? error : -EINVAL;
}

int wayland_export(struct seat_backend *backend, struct seat_fb *fb, size_t *size)
{
	int fd = fcntl(wayland_fb(fb)->fd, F_DUPFD_CLOEXEC, 0);

	*size = wayland_fb(fb)->size;
	return fd < 0 ? -errno : fd;
}

void *wayland_map(struct seat_backend *backend, struct seat_fb *fb)
{
	return wayland_fb(fb)->map;
}

void wayland_free(struct seat_backend *backend, struct seat_fb *fb)
{
	if (!fb)
		return;
	wayland_fb(fb)->freed = true;
	if (wayland_from(backend)->gone)
		wayland_fb(fb)->busy = false;
	let_go(wayland_fb(fb));
}
