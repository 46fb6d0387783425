/* SPDX-License-Identifier: MIT */
/* The cursor queue. Linux leaves no room for an answer there. */
#include "backend/gpu_internal.h"

static uint32_t cursor_check(struct gpu *gpu, const struct gpu_command *command)
{
	const struct virtio_gpu_update_cursor *request = command->data;

	if (request->pos.scanout_id < gpu->scanout_count)
		return VIRTIO_GPU_RESP_OK_NODATA;
	return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID,
	    "scan-out %u; there are %u", request->pos.scanout_id, gpu->scanout_count);
}

static uint32_t at_most(uint32_t n, uint32_t max)
{
	return n < max ? n : max;
}

/* "The mouse cursor image is a normal resource, except that it must be 64x64 in size." The
 * display gets a copy, so what becomes of the resource does not matter. */
uint32_t gpu_update_cursor(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_update_cursor *request = command->data;
	const struct display_rect all = { .width = DISPLAY_CURSOR_SIZE,
		.height = DISPLAY_CURSOR_SIZE };
	struct renderer_scanout picture = { .resource_id = request->resource_id,
		.width = DISPLAY_CURSOR_SIZE,
		.height = DISPLAY_CURSOR_SIZE };
	uint32_t type = cursor_check(gpu, command);
	struct gpu_resource *resource;
	struct display_cursor cursor;
	int error;

	if (type != VIRTIO_GPU_RESP_OK_NODATA)
		return type;
	if (request->resource_id == 0) {
		gpu->display->impl->set_cursor(
		    gpu->display, request->pos.scanout_id, NULL, request->pos.x, request->pos.y);
		return VIRTIO_GPU_RESP_OK_NODATA;
	}
	resource = gpu_resource_find(gpu, request->resource_id);
	if (!resource)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
		    "there is no resource %u", request->resource_id);
	if (resource->kind == GPU_RESOURCE_BLOB) {
		picture.format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM;
		picture.stride = DISPLAY_CURSOR_SIZE * 4;
	}
	if (resource->kind == GPU_RESOURCE_BLOB
		? resource->blob_size < sizeof(cursor.pixels) || !resource->backing
		: resource->width != DISPLAY_CURSOR_SIZE || resource->height != DISPLAY_CURSOR_SIZE)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "resource %u is not %d x %d pixels", request->resource_id, DISPLAY_CURSOR_SIZE,
		    DISPLAY_CURSOR_SIZE);
	error = gpu->renderer->impl->read_pixels(
	    gpu->renderer, &picture, &all, cursor.pixels, (size_t)DISPLAY_CURSOR_SIZE * 4);
	if (error < 0)
		return gpu_command_fail(gpu, command, error, "reading its pixels");
	cursor.hot_x = at_most(request->hot_x, DISPLAY_CURSOR_SIZE - 1);
	cursor.hot_y = at_most(request->hot_y, DISPLAY_CURSOR_SIZE - 1);
	gpu->display->impl->set_cursor(
	    gpu->display, request->pos.scanout_id, &cursor, request->pos.x, request->pos.y);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_move_cursor(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_update_cursor *request = command->data;
	uint32_t type = cursor_check(gpu, command);

	if (type == VIRTIO_GPU_RESP_OK_NODATA)
		gpu->display->impl->move_cursor(
		    gpu->display, request->pos.scanout_id, request->pos.x, request->pos.y);
	return type;
}
