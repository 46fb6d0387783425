/* SPDX-License-Identifier: MIT */
#include "render/soft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/gpu_format.h"
#include "backend/id_table.h"
#include "render/pixel.h"

struct soft_resource {
	struct id_entry entry;
	uint32_t format, width, height;
	uint8_t *pixels; /* NULL: a blob */
	size_t stride;   /* of the pixels' rows */
	uint64_t size;   /* of the pixels, or of a blob */
	int dmabuf_fd;   /* what exports them; -1: nothing does */
	const struct iovec *iov;
	unsigned iov_count;
	uint64_t iov_size;
};

struct soft {
	struct renderer base;
	struct id_table resources;
	unsigned exported;
};

#define SOFT_EXPORTS_MAX 64 /* each takes a descriptor */
/* What the linear pictures of displays that we know of begin and go on at */
#define EXPORT_ALIGNMENT 256

static struct soft *soft_from_renderer(struct renderer *renderer)
{
	return (struct soft *)renderer;
}

static struct soft_resource *soft_find(struct renderer *renderer, uint32_t id)
{
	return (struct soft_resource *)id_table_find(&soft_from_renderer(renderer)->resources, id);
}

/* ---------------------------------------------------------------- resources */

static int soft_add(struct renderer *renderer, uint32_t id, struct soft_resource *resource)
{
	int r;

	resource->dmabuf_fd = -1;
	r = id_table_insert(&soft_from_renderer(renderer)->resources, &resource->entry, id);

	if (r < 0) {
		if (resource->pixels)
			munmap(resource->pixels, resource->size);
		free(resource);
	}
	return r;
}

static int soft_create_resource(
    struct renderer *renderer, uint32_t id, const struct renderer_resource *create)
{
	struct soft_resource *resource;
	uint64_t size;

	if (!create->is_2d)
		return -ENOTSUP;
	if (!gpu_format_is_2d(create->format) || !create->width || !create->height)
		return -EINVAL;
	if (!checked_mul((uint64_t)create->width * PIXEL_SIZE, create->height, &size) ||
	    size > PTRDIFF_MAX)
		return -EINVAL;
	resource = calloc(1, sizeof(*resource));
	if (!resource)
		return -ENOMEM;
	/* Zeroed, and not there until it is written to, however large */
	resource->pixels =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (resource->pixels == MAP_FAILED) {
		free(resource);
		return -ENOMEM;
	}
	resource->format = create->format;
	resource->width = create->width;
	resource->height = create->height;
	resource->stride = (size_t)create->width * PIXEL_SIZE;
	resource->size = size;
	return soft_add(renderer, id, resource);
}

static int soft_create_blob(struct renderer *renderer, uint32_t id, uint32_t ctx_id, uint64_t size,
    const struct iovec *iov, unsigned iov_count)
{
	struct soft_resource *resource;

	if (!size || iov_size(iov, iov_count) < size)
		return -EINVAL;
	resource = calloc(1, sizeof(*resource));
	if (!resource)
		return -ENOMEM;
	resource->size = size;
	resource->iov = iov;
	resource->iov_count = iov_count;
	resource->iov_size = size;
	return soft_add(renderer, id, resource);
}

static void soft_destroy_resource(struct renderer *renderer, uint32_t id)
{
	struct soft_resource *resource =
	    (struct soft_resource *)id_table_remove(&soft_from_renderer(renderer)->resources, id);

	if (!resource)
		return;
	if (resource->pixels)
		munmap(resource->pixels, resource->size);
	if (resource->dmabuf_fd >= 0) {
		close(resource->dmabuf_fd);
		soft_from_renderer(renderer)->exported--;
	}
	free(resource);
}

static int soft_attach_backing(
    struct renderer *renderer, uint32_t id, const struct iovec *iov, unsigned iov_count)
{
	struct soft_resource *resource = soft_find(renderer, id);

	if (!resource)
		return -ENOENT;
	if (resource->iov)
		return -EINVAL;
	resource->iov = iov;
	resource->iov_count = iov_count;
	resource->iov_size = iov_size(iov, iov_count);
	return 0;
}

static void soft_detach_backing(struct renderer *renderer, uint32_t id)
{
	struct soft_resource *resource = soft_find(renderer, id);

	if (!resource || !resource->pixels)
		return; /* a blob is its pages */
	resource->iov = NULL;
	resource->iov_count = 0;
	resource->iov_size = 0;
}

int soft_get_image(struct renderer *renderer, uint32_t id, struct soft_image *image)
{
	const struct soft_resource *resource = soft_find(renderer, id);

	if (!resource)
		return -ENOENT;
	*image = (struct soft_image){
		.format = resource->format,
		.width = resource->width,
		.height = resource->height,
		.pixels = resource->pixels,
		.stride = resource->stride,
		.size = resource->size,
		.iov = resource->iov,
		.iov_count = resource->iov_count,
	};
	return 0;
}

/* ---------------------------------------------------------------- pixels */

static bool box_inside(const struct renderer_box *box, uint32_t width, uint32_t height)
{
	return box->width && box->height && box->z == 0 && box->depth <= 1 &&
	       range_inside(box->x, box->width, width) && range_inside(box->y, box->height, height);
}

/*
 * virtio 1.2, 5.7.6.8: "VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D: Transfer from guest memory to host
 * resource. [...] The driver can fill any rectangle", whose first byte is at @offset of the
 * backing, with rows as far apart as those of the whole resource.
 */
static int soft_transfer_to_host(
    struct renderer *renderer, const struct renderer_transfer *transfer)
{
	struct soft_resource *resource = soft_find(renderer, transfer->resource_id);
	const struct renderer_box *box = &transfer->box;
	struct iov_cursor cursor;
	size_t row_bytes, stride, length, rows; /* stride: of the backing */
	uint64_t offset = transfer->offset;
	uint8_t *to;

	if (!resource)
		return -ENOENT;
	if (!resource->pixels)
		return 0; /* a blob's pages are its content */
	if (!resource->iov || transfer->level ||
	    !box_inside(box, resource->width, resource->height))
		return -EINVAL;
	stride = (size_t)resource->width * PIXEL_SIZE;
	if (transfer->stride && transfer->stride != stride)
		return -EINVAL;
	row_bytes = (size_t)box->width * PIXEL_SIZE;
	length = (box->height - 1) * stride + row_bytes;
	if (!range_inside(offset, length, resource->iov_size))
		return -EINVAL;

	to = resource->pixels + box->y * resource->stride + (size_t)box->x * PIXEL_SIZE;
	rows = box->height;
	if (row_bytes == stride && stride == resource->stride) {
		row_bytes = length;
		rows = 1;
	}
	iov_cursor_init(&cursor, resource->iov, resource->iov_count);
	for (; rows; rows--, offset += stride, to += resource->stride)
		if (!iov_cursor_read(&cursor, offset, to, row_bytes))
			return -EINVAL;
	return 0;
}

static int soft_transfer_from_host(
    struct renderer *renderer, const struct renderer_transfer *transfer)
{
	return soft_find(renderer, transfer->resource_id) ? -EINVAL : -ENOENT;
}

/* One row of a blob, whose pages may be split anywhere, in the middle of a pixel too. */
static bool read_blob_row(
    struct iov_cursor *cursor, uint64_t offset, uint32_t format, uint8_t *to, size_t count)
{
	while (count) {
		void *from;
		size_t n = iov_cursor_get(cursor, offset, count * PIXEL_SIZE, &from) / PIXEL_SIZE;

		if (n) {
			pixel_convert(format, to, from, n);
		} else {
			uint8_t pixel[PIXEL_SIZE];

			if (!iov_cursor_read(cursor, offset, pixel, sizeof(pixel)))
				return false;
			pixel_convert(format, to, pixel, 1);
			n = 1;
		}
		to += n * PIXEL_SIZE;
		offset += n * PIXEL_SIZE;
		count -= n;
	}
	return true;
}

static int read_blob(const struct soft_resource *resource, const struct renderer_scanout *scanout,
    const struct display_rect *rect, uint8_t *to, size_t stride)
{
	uint64_t offset = (uint64_t)scanout->offset + (uint64_t)rect->y * scanout->stride +
			  (uint64_t)rect->x * PIXEL_SIZE;
	uint64_t length =
	    (uint64_t)(rect->height - 1) * scanout->stride + (uint64_t)rect->width * PIXEL_SIZE;
	struct iov_cursor cursor;

	if (!gpu_format_is_2d(scanout->format) ||
	    scanout->stride < (uint64_t)scanout->width * PIXEL_SIZE ||
	    !range_inside(offset, length, resource->size))
		return -EINVAL;
	iov_cursor_init(&cursor, resource->iov, resource->iov_count);
	for (uint32_t y = 0; y < rect->height; y++, offset += scanout->stride, to += stride)
		if (!read_blob_row(&cursor, offset, scanout->format, to, rect->width))
			return -EINVAL;
	return 0;
}

static int soft_read_pixels(struct renderer *renderer, const struct renderer_scanout *scanout,
    const struct display_rect *rect, void *to, size_t stride)
{
	const struct soft_resource *resource = soft_find(renderer, scanout->resource_id);
	size_t from_stride;
	const uint8_t *from;

	if (!resource)
		return -ENOENT;
	if (!rect->width || !rect->height || !range_inside(rect->x, rect->width, scanout->width) ||
	    !range_inside(rect->y, rect->height, scanout->height))
		return -EINVAL;
	if (!resource->pixels)
		return read_blob(resource, scanout, rect, to, stride);
	if (!range_inside(rect->x, rect->width, resource->width) ||
	    !range_inside(rect->y, rect->height, resource->height))
		return -EINVAL;

	from_stride = resource->stride;
	from = resource->pixels + rect->y * from_stride + (size_t)rect->x * PIXEL_SIZE;
	if (rect->width == resource->width && stride == from_stride &&
	    stride == (size_t)rect->width * PIXEL_SIZE) {
		pixel_convert(resource->format, to, from, (size_t)rect->width * rect->height);
		return 0;
	}
	for (uint32_t y = 0; y < rect->height; y++)
		pixel_convert(resource->format, (uint8_t *)to + y * stride, from + y * from_stride,
		    rect->width);
	return 0;
}

/* ---------------------------------------------------------------- export */

/* A memory file that does not shrink, mapped, and its dma-buf in *@dmabuf_fd; NULL: that is a
 * -errno. */
static uint8_t *soft_create_memory(struct udmabuf *udmabuf, uint64_t size, int *dmabuf_fd)
{
	const int fd = memfd_create("scanout", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *memory = NULL;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
		*dmabuf_fd = -errno;
		goto out;
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		*dmabuf_fd = -errno;
		memory = NULL;
		goto out;
	}
	*dmabuf_fd = udmabuf->create(udmabuf, &(struct udmabuf_piece){ .fd = fd, .size = size }, 1);
	if (*dmabuf_fd < 0) {
		munmap(memory, size);
		memory = NULL;
	}
out:
	if (fd >= 0)
		close(fd);
	return memory;
}

/* Moves the pixels to memory that is exported. */
static int soft_move(struct soft *soft, struct soft_resource *resource, struct udmabuf *udmabuf)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t row = (size_t)resource->width * PIXEL_SIZE;
	const size_t stride = (row + EXPORT_ALIGNMENT - 1) & ~(size_t)(EXPORT_ALIGNMENT - 1);
	uint64_t size = (uint64_t)stride * resource->height;
	uint8_t *memory;
	int dmabuf_fd;

	size = (size + page - 1) & ~(uint64_t)(page - 1);
	/* Also our own limits for files (RLIMIT_FSIZE) are higher than this. */
	if (size > UDMABUF_SIZE_MAX)
		return -E2BIG;
	/* More than the guest's quota knows of: no picture for a screen */
	if (stride > 2 * row)
		return -ENOTSUP;
	if (soft->exported >= SOFT_EXPORTS_MAX)
		return -ENOSPC;
	memory = soft_create_memory(udmabuf, size, &dmabuf_fd);
	if (!memory)
		return dmabuf_fd;
	for (uint32_t y = 0; y < resource->height; y++)
		memcpy(memory + y * stride, resource->pixels + y * resource->stride, row);
	munmap(resource->pixels, resource->size);
	resource->pixels = memory;
	resource->stride = stride;
	resource->size = size;
	resource->dmabuf_fd = dmabuf_fd;
	soft->exported++;
	return 0;
}

static int soft_export_memory(
    struct renderer *renderer, uint32_t id, struct udmabuf *udmabuf, struct display_dmabuf *dmabuf)
{
	struct soft_resource *resource = soft_find(renderer, id);
	int r = 0;

	if (!resource)
		return -ENOENT;
	if (!resource->pixels)
		return -ENOTSUP; /* a blob's pages are the device's to export */
	if (resource->dmabuf_fd < 0)
		r = soft_move(soft_from_renderer(renderer), resource, udmabuf);
	if (r < 0)
		return r;
	*dmabuf = (struct display_dmabuf){
		.fd = fcntl(resource->dmabuf_fd, F_DUPFD_CLOEXEC, 0),
		.width = resource->width,
		.height = resource->height,
		.stride = (uint32_t)resource->stride,
		.fourcc = gpu_format_fourcc(resource->format),
		.y0_top = true,
	};
	return dmabuf->fd < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- the renderer */

static int soft_get_fd(struct renderer *renderer)
{
	return -1;
}

static void soft_dispatch(struct renderer *renderer)
{
}

static int soft_get_capset_info(struct renderer *renderer, uint32_t index, uint32_t *id,
    uint32_t *max_version, uint32_t *max_size)
{
	return -ENOENT;
}

static int soft_get_capset(struct renderer *renderer, uint32_t id, uint32_t version, void *to)
{
	return -EINVAL;
}

static int soft_create_fence(
    struct renderer *renderer, const struct renderer_timeline *timeline, uint64_t fence)
{
	return 1; /* all work is done when its call returns */
}

static void soft_reset(struct renderer *renderer)
{
	struct soft *soft = soft_from_renderer(renderer);
	struct id_entry *entry;

	while ((entry = id_table_any(&soft->resources)))
		soft_destroy_resource(renderer, entry->id);
}

static void soft_destroy(struct renderer *renderer)
{
	soft_reset(renderer);
	id_table_finish(&soft_from_renderer(renderer)->resources);
	free(renderer);
}

static const struct renderer_impl soft_impl = {
	.name = "soft",
	.destroy = soft_destroy,
	.get_fd = soft_get_fd,
	.dispatch = soft_dispatch,
	.get_capset_info = soft_get_capset_info,
	.get_capset = soft_get_capset,
	.create_fence = soft_create_fence,
	.create_resource = soft_create_resource,
	.create_blob = soft_create_blob,
	.destroy_resource = soft_destroy_resource,
	.attach_backing = soft_attach_backing,
	.detach_backing = soft_detach_backing,
	.transfer_to_host = soft_transfer_to_host,
	.transfer_from_host = soft_transfer_from_host,
	.read_pixels = soft_read_pixels,
	.export_memory = soft_export_memory,
	.reset = soft_reset,
};

int soft_create(struct renderer **renderer)
{
	struct soft *soft = calloc(1, sizeof(*soft));

	if (!soft)
		return -ENOMEM;
	soft->base.impl = &soft_impl;
	*renderer = &soft->base;
	return 0;
}
