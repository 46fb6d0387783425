/* SPDX-License-Identifier: MIT */
/*
 * Scan-outs. The display pulls the pixels of a scan-out's source, when it wants them,
 * from the renderer; a flush says that there are new ones and is answered when they
 * are seen.
 */
#include <errno.h>
#include <string.h>

#include "backend/checked.h"
#include "backend/gpu_format.h"
#include "backend/gpu_internal.h"

static struct gpu_source *source_from_base(struct display_source *base)
{
	return (struct gpu_source *)((char *)base - offsetof(struct gpu_source, base));
}

static int source_read(
    struct display_source *base, const struct display_rect *rect, void *to, size_t stride)
{
	struct gpu_source *source = source_from_base(base);
	const struct display_rect of_picture = {
		.x = source->rect.x + rect->x,
		.y = source->rect.y + rect->y,
		.width = rect->width,
		.height = rect->height,
	};

	gpu_telemetry_copied(
	    source->gpu, source->scanout, (uint64_t)rect->width * rect->height * 4);
	return source->gpu->renderer->impl->read_pixels(
	    source->gpu->renderer, &source->picture, &of_picture, to, stride);
}

static int source_export_dmabuf(
    struct display_source *base, struct display_dmabuf *dmabuf, struct display_rect *rect)
{
	struct gpu_source *source = source_from_base(base);
	struct renderer *renderer = source->gpu->renderer;

	/* A blob's layout is the driver's: what was exported would not say it */
	if (!renderer->impl->export_dmabuf || source->picture.format)
		return -ENOTSUP;
	*rect = source->rect;
	return renderer->impl->export_dmabuf(renderer, source->picture.resource_id, dmabuf);
}

static int source_export_memory(
    struct display_source *base, struct display_dmabuf *dmabuf, struct display_rect *rect)
{
	struct gpu_source *source = source_from_base(base);
	const struct renderer_scanout *picture = &source->picture;
	struct renderer *renderer = source->gpu->renderer;
	struct udmabuf *udmabuf = source->gpu->udmabuf;

	if (!udmabuf)
		return -ENOTSUP;
	*rect = source->rect;
	if (!picture->format)
		return renderer->impl->export_memory ? renderer->impl->export_memory(renderer,
							   picture->resource_id, udmabuf, dmabuf)
						     : -ENOTSUP;
	*dmabuf = (struct display_dmabuf){
		.fd = memory_export(source->gpu->base.memory, source->resource->backing, udmabuf),
		.width = picture->width,
		.height = picture->height,
		.stride = picture->stride,
		.offset = picture->offset,
		.fourcc = gpu_format_fourcc(picture->format),
		.y0_top = true,
	};
	return dmabuf->fd < 0 ? dmabuf->fd : 0;
}

static const struct display_source_impl source_impl = {
	.read = source_read,
	.export_dmabuf = source_export_dmabuf,
	.export_memory = source_export_memory,
};

static void forget(struct gpu *gpu, uint64_t buffer)
{
	if (buffer && gpu->display->impl->forget)
		gpu->display->impl->forget(gpu->display, buffer);
}

void gpu_buffer_forget(struct gpu *gpu, struct gpu_resource *resource)
{
	const uint64_t buffer = resource->buffer;

	resource->buffer = 0;
	forget(gpu, buffer);
}

static bool is_shown(const struct gpu *gpu, const struct gpu_resource *resource)
{
	for (unsigned i = 0; i < gpu->scanout_count; i++)
		if (gpu->scanouts[i].resource == resource)
			return true;
	return false;
}

/* The number that displays know the resource by. A blob that has another layout than before is
 * another buffer; 0: it is shown with both. */
static uint64_t buffer_number(
    struct gpu *gpu, struct gpu_resource *resource, const struct renderer_scanout *picture)
{
	if (resource->buffer && memcmp(&resource->picture, picture, sizeof(*picture)) != 0) {
		if (is_shown(gpu, resource))
			return 0;
		gpu_buffer_forget(gpu, resource);
	}
	if (!resource->buffer)
		resource->buffer = ++gpu->buffer_serial;
	resource->picture = *picture;
	return resource->buffer;
}

static void scanout_disable(struct gpu *gpu, unsigned index)
{
	if (!gpu->scanouts[index].resource)
		return;
	gpu->display->impl->set_source(gpu->display, index, NULL);
	gpu->scanouts[index].resource = NULL;
	gpu_telemetry_scanout(gpu, index, 0, 0);
	/* Nothing of it will be seen any more */
	gpu_flush_shown(gpu, index, gpu->flush_serial);
}

static void scanout_set(struct gpu *gpu, unsigned index, struct gpu_resource *resource,
    const struct renderer_scanout *picture, const struct virtio_gpu_rect *r)
{
	struct gpu_scanout *scanout = &gpu->scanouts[index];
	const uint64_t buffer = buffer_number(gpu, resource, picture);
	struct gpu_source *source;

	scanout->current ^= 1;
	source = &scanout->sources[scanout->current];
	*source = (struct gpu_source){
		.base = { .impl = &source_impl,
		    .width = r->width,
		    .height = r->height,
		    .x = r->x,
		    .y = r->y,
		    .buffer = buffer },
		.gpu = gpu,
		.scanout = index,
		.resource = resource,
		.picture = *picture,
		.rect = { .x = r->x, .y = r->y, .width = r->width, .height = r->height },
	};
	gpu->display->impl->set_source(gpu->display, index, &source->base);
	scanout->resource = resource;
	gpu_telemetry_scanout(gpu, index, r->width, r->height);
}

void gpu_scanout_renew(struct gpu *gpu, struct gpu_resource *resource)
{
	const uint64_t before = resource->buffer;

	if (!before)
		return;
	resource->buffer = 0;
	for (unsigned i = 0; i < gpu->scanout_count; i++) {
		struct gpu_scanout *scanout = &gpu->scanouts[i];
		const struct gpu_source source = scanout->sources[scanout->current];
		const struct virtio_gpu_rect rect = { .x = source.rect.x,
			.y = source.rect.y,
			.width = source.rect.width,
			.height = source.rect.height };

		if (scanout->resource == resource)
			scanout_set(gpu, i, resource, &source.picture, &rect);
	}
	forget(gpu, before);
}

void gpu_scanout_forget(struct gpu *gpu, struct gpu_resource *resource)
{
	for (unsigned i = 0; i < gpu->scanout_count; i++) {
		if (gpu->scanouts[i].resource == resource)
			scanout_disable(gpu, i);
	}
	gpu_buffer_forget(gpu, resource);
}

void gpu_scanout_reset(struct gpu *gpu)
{
	for (unsigned i = 0; i < gpu->scanout_count; i++) {
		scanout_disable(gpu, i);
		gpu->display->impl->set_cursor(gpu->display, i, NULL, 0, 0);
	}
}

/* What both ways to set a scan-out begin with. *@resource is NULL where the answer, which is
 * returned, is final: an error, or resource 0 ("disable this scan-out"). */
static uint32_t scanout_begin(struct gpu *gpu, const struct gpu_command *command, uint32_t index,
    uint32_t resource_id, struct gpu_resource **resource)
{
	*resource = NULL;
	if (index >= gpu->scanout_count)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID,
		    "scan-out %u; there are %u", index, gpu->scanout_count);
	if (resource_id == 0) {
		scanout_disable(gpu, index);
		return VIRTIO_GPU_RESP_OK_NODATA;
	}
	*resource = gpu_resource_find(gpu, resource_id);
	if (!*resource)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
		    "there is no resource %u", resource_id);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* "Scanout rectangles must be completely covered by the underlying resource." */
static uint32_t rect_check(struct gpu *gpu, const struct gpu_command *command,
    const struct virtio_gpu_rect *r, uint32_t width, uint32_t height)
{
	if (r->width && r->height && range_inside(r->x, r->width, width) &&
	    range_inside(r->y, r->height, height))
		return VIRTIO_GPU_RESP_OK_NODATA;
	return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
	    "rectangle %u x %u at %u, %u is not inside %u x %u", r->width, r->height, r->x, r->y,
	    width, height);
}

uint32_t gpu_set_scanout(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_set_scanout *request = command->data;
	struct gpu_resource *resource;
	uint32_t type =
	    scanout_begin(gpu, command, request->scanout_id, request->resource_id, &resource);

	if (!resource)
		return type;
	if (resource->kind == GPU_RESOURCE_BLOB)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "resource %u is a blob: SET_SCANOUT_BLOB shows it", request->resource_id);
	type = rect_check(gpu, command, &request->r, resource->width, resource->height);
	if (type == VIRTIO_GPU_RESP_OK_NODATA)
		scanout_set(gpu, request->scanout_id, resource,
		    &(struct renderer_scanout){ .resource_id = request->resource_id,
			.width = resource->width,
			.height = resource->height },
		    &request->r);
	return type;
}

/* Does a picture with this layout lie inside the blob? */
static bool blob_picture_fits(
    const struct gpu_resource *blob, const struct virtio_gpu_set_scanout_blob *request)
{
	uint64_t row = (uint64_t)request->width * 4;
	uint64_t length = (uint64_t)request->strides[0] * (request->height - 1) + row;

	return request->width && request->height && request->width <= GPU_PICTURE_SIZE_MAX &&
	       request->height <= GPU_PICTURE_SIZE_MAX && request->strides[0] >= row &&
	       range_inside(request->offsets[0], length, blob->blob_size);
}

uint32_t gpu_set_scanout_blob(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_set_scanout_blob *request = command->data;
	struct gpu_resource *resource;
	uint32_t type =
	    scanout_begin(gpu, command, request->scanout_id, request->resource_id, &resource);

	if (!resource)
		return type;
	if (resource->kind != GPU_RESOURCE_BLOB || !resource->backing)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "resource %u is not a blob, or without pages", request->resource_id);
	if (!gpu_format_is_2d(request->format) || !blob_picture_fits(resource, request))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "a picture of %u x %u, format %u, stride %u, offset %u is not inside the %llu "
		    "bytes of resource %u",
		    request->width, request->height, request->format, request->strides[0],
		    request->offsets[0], (unsigned long long)resource->blob_size,
		    request->resource_id);
	type = rect_check(gpu, command, &request->r, request->width, request->height);
	if (type == VIRTIO_GPU_RESP_OK_NODATA)
		scanout_set(gpu, request->scanout_id, resource,
		    &(struct renderer_scanout){ .resource_id = request->resource_id,
			.format = request->format,
			.stride = request->strides[0],
			.offset = request->offsets[0],
			.width = request->width,
			.height = request->height },
		    &request->r);
	return type;
}

/* The part of [start, +length) that lies inside [from, +size), from @from. False: none. */
static bool clip(uint32_t start, uint32_t length, uint32_t from, uint32_t size,
    uint32_t *clipped_start, uint32_t *clipped_length)
{
	uint64_t first = start > from ? start : from;
	uint64_t end = (uint64_t)start + length, limit = (uint64_t)from + size;

	if (end > limit)
		end = limit;
	if (first >= end)
		return false;
	*clipped_start = (uint32_t)(first - from);
	*clipped_length = (uint32_t)(end - first);
	return true;
}

unsigned gpu_scanout_flush_all(struct gpu *gpu)
{
	unsigned count = 0;

	for (unsigned i = 0; i < gpu->scanout_count; i++) {
		const struct gpu_scanout *scanout = &gpu->scanouts[i];
		const struct display_source *source = &scanout->sources[scanout->current].base;
		const struct display_rect all = { .width = source->width,
			.height = source->height };

		if (!scanout->resource)
			continue;
		gpu->display->impl->flush(gpu->display, i, &all, ++gpu->flush_serial);
		count++;
	}
	return count;
}

uint32_t gpu_resource_flush(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_flush *request = command->data;
	const struct virtio_gpu_rect *r = &request->r;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);
	struct display_rect damage[DISPLAY_SCANOUTS_MAX];
	uint32_t shown_on = 0;

	if (!resource)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
		    "there is no resource %u", request->resource_id);
	if (resource->kind != GPU_RESOURCE_BLOB) {
		uint32_t type = rect_check(gpu, command, r, resource->width, resource->height);

		if (type != VIRTIO_GPU_RESP_OK_NODATA)
			return type;
	}
	for (unsigned i = 0; i < gpu->scanout_count; i++) {
		const struct gpu_scanout *scanout = &gpu->scanouts[i];
		const struct display_rect *rect = &scanout->sources[scanout->current].rect;

		if (scanout->resource == resource &&
		    clip(r->x, r->width, rect->x, rect->width, &damage[i].x, &damage[i].width) &&
		    clip(r->y, r->height, rect->y, rect->height, &damage[i].y, &damage[i].height))
			shown_on |= 1u << i;
	}
	/* The display may call gpu_flush_shown() from within */
	command->flush_serial = ++gpu->flush_serial;
	command->flush_scanouts = shown_on;
	for (unsigned i = 0; i < gpu->scanout_count; i++) {
		if (!(shown_on & 1u << i))
			continue;
		gpu_telemetry_flush(gpu, i);
		gpu_flow_frame(gpu, i);
		gpu->display->impl->flush(gpu->display, i, &damage[i], command->flush_serial);
	}
	return VIRTIO_GPU_RESP_OK_NODATA;
}
