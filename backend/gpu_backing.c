/* SPDX-License-Identifier: MIT */
/*
 * Guest pages behind resources: mapped when attached, unmapped before the answer to
 * what detaches them, since the guest takes them back then.
 */
#include <errno.h>

#include "backend/checked.h"
#include "backend/gpu_internal.h"

/* The entries in our copy of the request serve as the list to map. */
_Static_assert(
    sizeof(struct memory_piece) == sizeof(struct virtio_gpu_mem_entry) &&
	offsetof(struct memory_piece, address) == offsetof(struct virtio_gpu_mem_entry, addr) &&
	offsetof(struct memory_piece, length) == offsetof(struct virtio_gpu_mem_entry, length),
    "struct virtio_gpu_mem_entry must look like struct memory_piece");

/* The least that can be mapped. */
#define PAGE_BYTES UINT64_C(4096)

/* Bytes of the pages that the entries are in: each is mapped whole, however little of it an entry
 * names. One that goes on in the page where the one before it ended shares that page. */
static uint64_t backing_page_bytes(const struct memory_piece *entries, uint32_t count)
{
	uint64_t bytes = 0, end = 0; /* address after the last entry */

	for (uint32_t i = 0; i < count; i++) {
		uint64_t offset = entries[i].address % PAGE_BYTES;
		uint64_t pages = (offset + entries[i].length + PAGE_BYTES - 1) / PAGE_BYTES;

		if (i && offset && entries[i].address == end)
			pages--;
		bytes += pages * PAGE_BYTES; /* 16384 * (4 GiB + 8 KiB) at most */
		end = entries[i].address + entries[i].length;
	}
	return bytes;
}

/*
 * Maps the guest pages that the struct virtio_gpu_mem_entry array at @offset of the request
 * names, within the quota, for the resource; else it has no backing, and the error to answer is
 * returned.
 */
static uint32_t backing_map(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_resource *resource, uint64_t offset, uint32_t entry_count)
{
	const struct memory_piece *entries =
	    (const struct memory_piece *)((const char *)command->data + offset);
	uint64_t size;
	int error;

	if (entry_count == 0 || entry_count > GPU_BACKING_ENTRIES_MAX)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "%u entries; 1 to %d are possible", entry_count, GPU_BACKING_ENTRIES_MAX);
	if (!range_inside(offset, (uint64_t)entry_count * sizeof(*entries), command->size))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "%u entries do not fit into its %llu bytes", entry_count,
		    (unsigned long long)command->size);
	for (uint32_t i = 0; i < entry_count; i++) {
		if (entries[i].length == 0)
			return gpu_command_refuse(gpu, command,
			    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER, "entry %u is empty", i);
	}
	size = backing_page_bytes(entries, entry_count);
	if (gpu->statistics.maps >= gpu->limits.maps)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
		    "%u resources have pages already, the quota", gpu->limits.maps);
	if (size > gpu_quota_left(gpu->limits.backing_bytes, gpu->statistics.backing_bytes))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
		    "%llu more bytes of guest memory would exceed the quota of %llu",
		    (unsigned long long)size, (unsigned long long)gpu->limits.backing_bytes);
	error = memory_map(
	    gpu->base.memory, entries, entry_count, MEMORY_READ_WRITE, &resource->backing);
	if (error < 0) {
		resource->backing = NULL;
		return gpu_command_fail(gpu, command, error, "mapping its pages");
	}
	resource->backing_bytes = size;
	gpu->statistics.backing_bytes += size;
	gpu->statistics.maps++;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

void gpu_backing_unmap(struct gpu *gpu, struct gpu_resource *resource)
{
	if (!resource->backing)
		return;
	gpu->statistics.backing_bytes -= resource->backing_bytes;
	gpu->statistics.maps--;
	memory_unmap(gpu->base.memory, resource->backing);
	resource->backing = NULL;
}

uint32_t gpu_backing_attach(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_resource *resource, uint64_t offset, uint32_t entry_count)
{
	uint32_t type = backing_map(gpu, command, resource, offset, entry_count);
	const struct memory_map *map = resource->backing;
	int error;

	if (!map)
		return type;
	if (resource->kind != GPU_RESOURCE_BLOB) {
		error = gpu->renderer->impl->attach_backing(
		    gpu->renderer, resource->entry.id, map->iov, (unsigned)map->iov_count);
	} else if (resource->blob_size > map->size) {
		type = gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "its entries hold %zu of the blob's %llu bytes", map->size,
		    (unsigned long long)resource->blob_size);
		goto no_attach;
	} else {
		error = gpu->renderer->impl->create_blob(gpu->renderer, resource->entry.id,
		    command->hdr.ctx_id, resource->blob_size, map->iov, (unsigned)map->iov_count);
	}
	if (error < 0) {
		type = gpu_command_fail(gpu, command, error, "attaching pages");
		goto no_attach;
	}
	return VIRTIO_GPU_RESP_OK_NODATA;

no_attach:
	gpu_backing_unmap(gpu, resource);
	return type;
}

uint32_t gpu_resource_attach_backing(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_attach_backing *request = command->data;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);

	if (!resource)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
		    "there is no resource %u", request->resource_id);
	if (resource->backing)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "resource %u has a backing already", request->resource_id);
	return gpu_backing_attach(gpu, command, resource, sizeof(*request), request->nr_entries);
}

uint32_t gpu_resource_detach_backing(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_resource_detach_backing *request = command->data;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);

	if (!resource)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
		    "there is no resource %u", request->resource_id);
	if (!resource->backing)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "resource %u has no backing", request->resource_id);
	if (resource->kind == GPU_RESOURCE_BLOB) {
		gpu_scanout_forget(gpu, resource); /* its pages are the picture */
		gpu->renderer->impl->destroy_resource(gpu->renderer, resource->entry.id);
	} else {
		gpu->renderer->impl->detach_backing(gpu->renderer, resource->entry.id);
	}
	gpu_backing_unmap(gpu, resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
}
