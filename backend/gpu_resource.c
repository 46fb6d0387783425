/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "backend/checked.h"
#include "backend/gpu_format.h"
#include "backend/gpu_internal.h"

struct gpu_resource *gpu_resource_find(struct gpu *gpu, uint32_t id)
{
	return (struct gpu_resource *)id_table_find(&gpu->resources, id);
}
_Static_assert(offsetof(struct gpu_resource, entry) == 0, "an entry is its resource");

static uint32_t no_such_resource(
    struct gpu *gpu, const struct gpu_command *command, uint32_t resource_id)
{
	return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
	    "there is no resource %u", resource_id);
}

/* May a resource of this id and size be made? Then it is in the table; else *resource is NULL and
 * the error to answer is returned. */
static uint32_t resource_add(struct gpu *gpu, const struct gpu_command *command, uint32_t id,
    uint64_t host_bytes, struct gpu_resource **resource)
{
	*resource = NULL;
	if (id == 0 || gpu_resource_find(gpu, id))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
		    "id %u is %s", id, id ? "in use" : "not allowed");
	if (gpu->resources.count >= gpu->limits.resources)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
		    "there are %u resources already, the quota", gpu->limits.resources);
	if (host_bytes > gpu_quota_left(gpu->limits.host_bytes, gpu->statistics.host_bytes))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
		    "%llu more bytes would exceed the quota of %llu",
		    (unsigned long long)host_bytes, (unsigned long long)gpu->limits.host_bytes);
	*resource = calloc(1, sizeof(**resource));
	if (!*resource || id_table_insert(&gpu->resources, &(*resource)->entry, id) < 0) {
		free(*resource);
		*resource = NULL;
		return gpu_command_fail(gpu, command, -ENOMEM, "no memory");
	}
	(*resource)->host_bytes = host_bytes;
	gpu->statistics.host_bytes += host_bytes;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* The renderer knows it no more. */
static void resource_release(struct gpu *gpu, struct gpu_resource *resource)
{
	id_table_remove(&gpu->resources, resource->entry.id);
	gpu_attachment_release_resource(gpu, resource);
	gpu_buffer_forget(gpu, resource);
	gpu_backing_unmap(gpu, resource);
	gpu->statistics.host_bytes -= resource->host_bytes;
	free(resource);
}

void gpu_resource_reset(struct gpu *gpu)
{
	struct id_entry *entry;

	while ((entry = id_table_any(&gpu->resources)))
		resource_release(gpu, (struct gpu_resource *)entry);
}

static uint32_t resource_create(struct gpu *gpu, const struct gpu_command *command,
    uint32_t resource_id, const struct renderer_resource *template)
{
	struct gpu_resource *resource;
	uint32_t type;
	int error;

	type = resource_add(gpu, command, resource_id, gpu_format_bytes(template), &resource);
	if (!resource)
		return type;
	error = gpu->renderer->impl->create_resource(gpu->renderer, resource_id, template);
	if (error < 0) {
		resource_release(gpu, resource);
		return gpu_command_fail(gpu, command, error, "the renderer made no resource");
	}
	resource->kind = template->is_2d ? GPU_RESOURCE_2D : GPU_RESOURCE_3D;
	resource->width = template->width;
	resource->height = template->height;
	resource->last_level = template->last_level;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_resource_create_2d(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_create_2d *request = command->data;
	const struct renderer_resource template = {
		.is_2d = true,
		.format = request->format,
		.width = request->width,
		.height = request->height,
	};

	if (!gpu_format_is_2d(request->format))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "format %u is unknown", request->format);
	if (request->width == 0 || request->height == 0 || request->width > GPU_PICTURE_SIZE_MAX ||
	    request->height > GPU_PICTURE_SIZE_MAX)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "%u x %u pixels; 1 to %d are possible", request->width, request->height,
		    GPU_PICTURE_SIZE_MAX);
	return resource_create(gpu, command, request->resource_id, &template);
}

uint32_t gpu_resource_create_3d(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_create_3d *request = command->data;
	const struct renderer_resource template = {
		.target = request->target,
		.format = request->format,
		.bind = request->bind,
		.width = request->width,
		.height = request->height,
		.depth = request->depth,
		.array_size = request->array_size,
		.last_level = request->last_level,
		.nr_samples = request->nr_samples,
		.flags = request->flags,
	};

	if (request->width == 0)
		return gpu_command_refuse(
		    gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, "a width of 0");
	return resource_create(gpu, command, request->resource_id, &template);
}

uint32_t gpu_resource_create_blob(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_create_blob *request = command->data;
	const uint32_t flags = VIRTIO_GPU_BLOB_FLAG_USE_MAPPABLE |
			       VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE |
			       VIRTIO_GPU_BLOB_FLAG_USE_CROSS_DEVICE;
	struct gpu_resource *resource;
	uint32_t type;

	if (request->blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D ||
	    request->blob_mem == VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "host blobs need a window that this transport does not offer");
	if (request->blob_mem != VIRTIO_GPU_BLOB_MEM_GUEST || request->blob_flags & ~flags)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "blob_mem %u with blob_flags 0x%x is unknown", request->blob_mem,
		    request->blob_flags);
	if (request->size == 0)
		return gpu_command_refuse(
		    gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, "a size of 0");
	type = resource_add(gpu, command, request->resource_id, 0, &resource);
	if (!resource)
		return type;
	resource->kind = GPU_RESOURCE_BLOB;
	resource->blob_size = request->size;
	/* "nr_entries may be zero and VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING may be subsequently
	 * used" */
	if (request->nr_entries > 0)
		type = gpu_backing_attach(
		    gpu, command, resource, sizeof(*request), request->nr_entries);
	if (type != VIRTIO_GPU_RESP_OK_NODATA)
		resource_release(gpu, resource);
	return type;
}

uint32_t gpu_resource_unref(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_unref *request = command->data;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);

	if (!resource)
		return no_such_resource(gpu, command, request->resource_id);
	gpu_scanout_forget(gpu, resource);
	gpu->renderer->impl->destroy_resource(gpu->renderer, resource->entry.id);
	resource_release(gpu, resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_resource_assign_uuid(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_assign_uuid *request = command->data;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);
	struct virtio_gpu_resp_resource_uuid *response;

	if (!resource)
		return no_such_resource(gpu, command, request->resource_id);
	response = gpu_command_respond(gpu, command, sizeof(*response));
	if (!response)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	if (!resource->has_uuid) {
		if (getrandom(resource->uuid, sizeof(resource->uuid), GRND_NONBLOCK) !=
		    sizeof(resource->uuid))
			return gpu_command_fail(gpu, command, -errno, "no random numbers");
		resource->uuid[6] = (resource->uuid[6] & 0x0f) | 0x40; /* RFC 4122: version 4 */
		resource->uuid[8] = (resource->uuid[8] & 0x3f) | 0x80;
		resource->has_uuid = true;
	}
	memcpy(response->uuid, resource->uuid, sizeof(response->uuid));
	return VIRTIO_GPU_RESP_OK_RESOURCE_UUID;
}

uint32_t gpu_resource_map_blob(struct gpu *gpu, struct gpu_command *command)
{
	return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
	    "this transport does not offer a window for host blobs");
}

uint32_t gpu_resource_unmap_blob(struct gpu *gpu, struct gpu_command *command)
{
	return gpu_resource_map_blob(gpu, command);
}

/* ---------------------------------------------------------------- transfers */

/* Does a 2D transfer stay inside the backing? Rows are as far apart as in the resource. */
static bool transfer_2d_fits(
    const struct gpu_resource *resource, const struct virtio_gpu_rect *r, uint64_t offset)
{
	/* GPU_PICTURE_SIZE_MAX bounds these */
	uint64_t length = (uint64_t)(r->height - 1) * resource->width * 4 + (uint64_t)r->width * 4;

	return range_inside(offset, length, resource->backing->size);
}

uint32_t gpu_transfer_to_host_2d(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_transfer_to_host_2d *request = command->data;
	const struct virtio_gpu_rect *r = &request->r;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);
	const struct renderer_transfer transfer = {
		.resource_id = request->resource_id,
		.box = { .x = r->x, .y = r->y, .width = r->width, .height = r->height, .depth = 1 },
		.offset = request->offset,
	};
	int error;

	if (!resource)
		return no_such_resource(gpu, command, request->resource_id);
	if (resource->kind == GPU_RESOURCE_BLOB)
		return VIRTIO_GPU_RESP_OK_NODATA; /* the guest's pages are the picture */
	if (!resource->backing)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "resource %u has no backing", request->resource_id);
	if (r->width == 0 || r->height == 0 || !range_inside(r->x, r->width, resource->width) ||
	    !range_inside(r->y, r->height, resource->height))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "rectangle %u x %u at %u, %u is not inside resource %u of %u x %u", r->width,
		    r->height, r->x, r->y, request->resource_id, resource->width, resource->height);
	if (resource->kind == GPU_RESOURCE_2D && !transfer_2d_fits(resource, r, request->offset))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "%u rows from offset %llu are more than the backing of resource %u holds",
		    r->height, (unsigned long long)request->offset, request->resource_id);
	gpu_telemetry_transfer(gpu, resource, (uint64_t)r->width * r->height);
	error = gpu->renderer->impl->transfer_to_host(gpu->renderer, &transfer);
	if (error < 0)
		return gpu_command_fail(gpu, command, error, "the renderer refused");
	return VIRTIO_GPU_RESP_OK_NODATA;
}

static uint32_t transfer_3d(struct gpu *gpu, struct gpu_command *command,
    int (*transfer_do)(struct renderer *renderer, const struct renderer_transfer *transfer))
{
	const struct virtio_gpu_transfer_host_3d *request = command->data;
	const struct virtio_gpu_box *box = &request->box;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);
	const struct renderer_transfer transfer = {
		.resource_id = request->resource_id,
		.ctx_id = command->hdr.ctx_id,
		.box = { .x = box->x,
		    .y = box->y,
		    .z = box->z,
		    .width = box->w,
		    .height = box->h,
		    .depth = box->d },
		.offset = request->offset,
		.level = request->level,
		.stride = request->stride,
		.layer_stride = request->layer_stride,
	};
	uint32_t width;
	int error;

	if (!gpu_context_find(gpu, command->hdr.ctx_id))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
		    "there is no context %u", command->hdr.ctx_id);
	if (!resource)
		return no_such_resource(gpu, command, request->resource_id);
	if (resource->kind == GPU_RESOURCE_BLOB)
		return VIRTIO_GPU_RESP_OK_NODATA; /* the guest's pages are all there is */
	if (!resource->backing)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "resource %u has no backing", request->resource_id);
	width = request->level < 32 ? resource->width >> request->level : 0;
	if (request->level > resource->last_level || request->offset > resource->backing->size ||
	    !range_inside(box->x, box->w, width ? width : 1) ||
	    !range_inside(box->y, box->h, UINT32_MAX) || !range_inside(box->z, box->d, UINT32_MAX))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "box %u x %u x %u at %u, %u, %u of level %u, offset %llu is not inside "
		    "resource %u or its backing",
		    box->w, box->h, box->d, box->x, box->y, box->z, request->level,
		    (unsigned long long)request->offset, request->resource_id);
	gpu_telemetry_transfer(gpu, resource, (uint64_t)box->w * box->h * box->d);
	error = transfer_do(gpu->renderer, &transfer);
	if (error < 0)
		return gpu_command_fail(gpu, command, error, "the renderer refused");
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_transfer_to_host_3d(struct gpu *gpu, struct gpu_command *command)
{
	return transfer_3d(gpu, command, gpu->renderer->impl->transfer_to_host);
}

uint32_t gpu_transfer_from_host_3d(struct gpu *gpu, struct gpu_command *command)
{
	return transfer_3d(gpu, command, gpu->renderer->impl->transfer_from_host);
}
