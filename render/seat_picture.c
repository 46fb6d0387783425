/* SPDX-License-Identifier: MIT */
/* What a person sees, as a file; and pictures that are shown in the place of a guest's. */
#include <drm_fourcc.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "render/seat_private.h"

static struct seat_scanout *find_scanout(const struct seat *seat, const char *name, unsigned index)
{
	const struct seat_guest *guest = seat_find_guest(seat, name);

	return guest && index < DISPLAY_SCANOUTS_MAX ? guest->scanouts[index] : NULL;
}

/* ---------------------------------------------------------------- captures */

/* Of a scan-out that cannot be seen: its own picture. */
static void capture_build(struct seat_scanout *scanout, struct seat_stack *stack)
{
	stack->count = 0;
	if (scanout->placed && scanout->view.visible) {
		stack_build(&scanout->seat->screens[scanout->view.output], true, stack);
		for (unsigned i = 0; i < stack->count; i++) {
			stack->layers[i].x -= scanout->view.x;
			stack->layers[i].y -= scanout->view.y;
		}
		return;
	}
	if (!scanout->shown.buffer)
		return;
	stack->count = 1;
	stack->buffers[0] = scanout->shown.buffer;
	stack->scanouts[0] = scanout;
	stack->cursor[0] = false;
	stack->layers[0] = (struct seat_layer){ .fb = scanout->shown.buffer->fb,
		.source = scanout->shown.source,
		.width = scanout->shown.source.width,
		.height = scanout->shown.source.height,
		.alpha = UINT16_MAX,
		.fence_fd = -1 };
}

static int capture_draw(struct seat_stack *stack, struct seat_capture *capture)
{
	const size_t size = (size_t)capture->stride * capture->height;
	const struct seat_fb fb = { .width = capture->width,
		.height = capture->height,
		.stride = capture->stride,
		.fourcc = DRM_FORMAT_XRGB8888,
		.y0_top = true };
	struct seat_image *image;
	void *memory;
	int error;

	capture->fd = memfd_create("gpudom-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (capture->fd < 0)
		return -errno;
	error = ftruncate(capture->fd, (off_t)size) < 0 ? -errno : 0;
	if (error < 0)
		goto error;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, capture->fd, 0);
	if (memory == MAP_FAILED) {
		error = -errno;
		goto error;
	}
	error = seat_image_create(&fb, memory, &image);
	if (error == 0) {
		stack_draw(stack, image, 0, 0);
		seat_image_destroy(image);
	}
	munmap(memory, size);
	if (error == 0)
		return 0;

error:
	close(capture->fd);
	capture->fd = -1;
	return error;
}

int seat_capture(struct seat *seat, const char *guest, unsigned index, struct seat_capture *capture)
{
	struct seat_scanout *scanout = find_scanout(seat, guest, index);
	struct seat_stack stack;

	*capture = (struct seat_capture){ .fd = -1 };
	if (!scanout)
		return -ENOENT;
	capture_build(scanout, &stack);
	if (scanout->placed && scanout->view.visible) {
		capture->width = scanout->view.width;
		capture->height = scanout->view.height;
	} else if (stack.count) {
		capture->width = scanout->shown.source.width;
		capture->height = scanout->shown.source.height;
	} else {
		return -ENOENT;
	}
	capture->stride = capture->width * 4;
	return capture_draw(&stack, capture);
}

/* ---------------------------------------------------------------- pictures */

/* Read, not mapped: whose file it is can cut it short. */
static int picture_read(struct seat *seat, struct seat_fb *fb, int fd)
{
	uint8_t *rows = seat->backend->impl->map(seat->backend, fb);
	const size_t row = (size_t)fb->width * 4;

	if (!rows)
		return -ENOTSUP;
	for (uint32_t y = 0; y < fb->height; y++) {
		const ssize_t n = pread(fd, rows + (size_t)y * fb->stride, row, (off_t)(y * row));

		if (n != (ssize_t)row)
			return n < 0 ? -errno : -EINVAL;
	}
	return 0;
}

static struct seat_output *picture_output(const struct seat_scanout *scanout)
{
	if (scanout->placed)
		return scanout->seat->screens[scanout->view.output].output;
	return scanout->seat->screens[0].output;
}

int seat_set_picture(
    struct seat *seat, const char *name, unsigned index, uint32_t width, uint32_t height, int fd)
{
	struct seat_backend *backend = seat->backend;
	struct seat_scanout *scanout;
	struct seat_guest *guest;
	struct seat_buffer *buffer;
	struct seat_fb *fb;
	uint64_t serial;
	int error;

	if (index >= DISPLAY_SCANOUTS_MAX || !width || !height || width > SEAT_SIZE_MAX ||
	    height > SEAT_SIZE_MAX)
		return -EINVAL;
	guest = seat_make_guest(seat, name);
	scanout = guest ? guest_scanout(guest, index) : NULL;
	if (!scanout)
		return -ENFILE;
	if (!picture_output(scanout))
		return -ENODEV;
	error =
	    backend->impl->allocate(backend, picture_output(scanout), width, height, false, &fb);
	if (error < 0)
		return error;
	error = picture_read(seat, fb, fd);
	if (error < 0) {
		backend->impl->free(backend, fb);
		return error;
	}
	error = buffer_create(seat, fb, &buffer);
	if (error < 0)
		return error;
	serial = scanout->shown.serial;
	/* It overtakes all that the guest has presented: what is owed of that is paid with it. */
	for (unsigned i = 0; i < 2; i++) {
		if (scanout->waiting[i].there)
			serial = scanout->waiting[i].serial;
		frame_drop(&scanout->waiting[i]);
	}
	scanout->waiting[0] = (struct seat_frame){ .there = true,
		.buffer = buffer_ref(buffer),
		.source = { 0, 0, width, height },
		.damage.all = true,
		.serial = serial,
		.fence = -1,
		.scanout = scanout };
	scanout_latch(scanout);
	scanout->picture = true;
	seat_lay_out(seat); /* a guest that has gone has a place again */
	return 0;
}
