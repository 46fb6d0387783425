/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu_internal.h"

#define SCRATCH_SIZE_MIN 4096
#define SCRATCH_ALIGNMENT 64

struct gpu_operation {
	const char *name;
	gpu_handler *handler;
	uint64_t features; /* of which it is part */
	uint32_t size;     /* of its struct, which the request holds at least */
	bool kept;         /* it changes what a successor has to know */
};

#define OPERATION(command, handler_, type, features_)                          \
	{                                                                      \
		.name = #command, .handler = (handler_), .size = sizeof(type), \
		.features = (features_)                                        \
	}
#define KEPT(command, handler_, type, features_)                               \
	{                                                                      \
		.name = #command, .handler = (handler_), .size = sizeof(type), \
		.features = (features_), .kept = true                          \
	}
#define VIRGL GPU_FEATURE(VIRGL)
#define BLOB GPU_FEATURE(RESOURCE_BLOB)

/* In the order of enum virtio_gpu_ctrl_type */
static const struct gpu_operation operations_2d[] = {
	OPERATION(GET_DISPLAY_INFO, gpu_get_display_info, struct virtio_gpu_ctrl_hdr, 0),
	KEPT(RESOURCE_CREATE_2D, gpu_resource_create_2d, struct virtio_gpu_resource_create_2d, 0),
	KEPT(RESOURCE_UNREF, gpu_resource_unref, struct virtio_gpu_resource_unref, 0),
	KEPT(SET_SCANOUT, gpu_set_scanout, struct virtio_gpu_set_scanout, 0),
	OPERATION(RESOURCE_FLUSH, gpu_resource_flush, struct virtio_gpu_resource_flush, 0),
	OPERATION(
	    TRANSFER_TO_HOST_2D, gpu_transfer_to_host_2d, struct virtio_gpu_transfer_to_host_2d, 0),
	KEPT(RESOURCE_ATTACH_BACKING, gpu_resource_attach_backing,
	    struct virtio_gpu_resource_attach_backing, 0),
	KEPT(RESOURCE_DETACH_BACKING, gpu_resource_detach_backing,
	    struct virtio_gpu_resource_detach_backing, 0),
	OPERATION(GET_CAPSET_INFO, gpu_get_capset_info, struct virtio_gpu_get_capset_info, VIRGL),
	OPERATION(GET_CAPSET, gpu_get_capset, struct virtio_gpu_get_capset, VIRGL),
	OPERATION(GET_EDID, gpu_get_edid, struct virtio_gpu_cmd_get_edid, GPU_FEATURE(EDID)),
	KEPT(RESOURCE_ASSIGN_UUID, gpu_resource_assign_uuid, struct virtio_gpu_resource_assign_uuid,
	    GPU_FEATURE(RESOURCE_UUID)),
	KEPT(RESOURCE_CREATE_BLOB, gpu_resource_create_blob, struct virtio_gpu_resource_create_blob,
	    BLOB),
	KEPT(SET_SCANOUT_BLOB, gpu_set_scanout_blob, struct virtio_gpu_set_scanout_blob, BLOB),
};

static const struct gpu_operation operations_3d[] = {
	KEPT(CTX_CREATE, gpu_ctx_create, struct virtio_gpu_ctx_create, VIRGL),
	KEPT(CTX_DESTROY, gpu_ctx_destroy, struct virtio_gpu_ctx_destroy, VIRGL),
	KEPT(CTX_ATTACH_RESOURCE, gpu_ctx_attach_resource, struct virtio_gpu_ctx_resource, VIRGL),
	KEPT(CTX_DETACH_RESOURCE, gpu_ctx_detach_resource, struct virtio_gpu_ctx_resource, VIRGL),
	KEPT(RESOURCE_CREATE_3D, gpu_resource_create_3d, struct virtio_gpu_resource_create_3d,
	    VIRGL),
	OPERATION(TRANSFER_TO_HOST_3D, gpu_transfer_to_host_3d, struct virtio_gpu_transfer_host_3d,
	    VIRGL),
	OPERATION(TRANSFER_FROM_HOST_3D, gpu_transfer_from_host_3d,
	    struct virtio_gpu_transfer_host_3d, VIRGL),
	OPERATION(SUBMIT_3D, gpu_submit_3d, struct virtio_gpu_cmd_submit, VIRGL),
	OPERATION(
	    RESOURCE_MAP_BLOB, gpu_resource_map_blob, struct virtio_gpu_resource_map_blob, BLOB),
	OPERATION(RESOURCE_UNMAP_BLOB, gpu_resource_unmap_blob,
	    struct virtio_gpu_resource_unmap_blob, BLOB),
};

static const struct gpu_operation operations_cursor[] = {
	KEPT(UPDATE_CURSOR, gpu_update_cursor, struct virtio_gpu_update_cursor, 0),
	KEPT(MOVE_CURSOR, gpu_move_cursor, struct virtio_gpu_update_cursor, 0),
};

static const struct {
	const struct gpu_operation *operations;
	uint32_t first, count;
	unsigned queue;
} operation_groups[] = {
	{ operations_2d, VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
	    sizeof(operations_2d) / sizeof(operations_2d[0]), GPU_QUEUE_CONTROL },
	{ operations_3d, VIRTIO_GPU_CMD_CTX_CREATE,
	    sizeof(operations_3d) / sizeof(operations_3d[0]), GPU_QUEUE_CONTROL },
	{ operations_cursor, VIRTIO_GPU_CMD_UPDATE_CURSOR,
	    sizeof(operations_cursor) / sizeof(operations_cursor[0]), GPU_QUEUE_CURSOR },
};

/* NULL for a command that is unknown, not negotiated, or on the wrong queue. */
static const struct gpu_operation *operation_find(
    const struct gpu *gpu, unsigned queue, uint32_t type)
{
	for (size_t i = 0; i < sizeof(operation_groups) / sizeof(operation_groups[0]); i++) {
		uint32_t index = type - operation_groups[i].first; /* wraps: then it is too large */
		const struct gpu_operation *operation;

		if (index >= operation_groups[i].count)
			continue;
		operation = &operation_groups[i].operations[index];
		if (operation_groups[i].queue != queue ||
		    (gpu->features & operation->features) != operation->features)
			return NULL;
		return operation;
	}
	return NULL;
}

/* On any queue, with any features; NULL: unknown. */
static const struct gpu_operation *operation_any(uint32_t type)
{
	for (size_t i = 0; i < sizeof(operation_groups) / sizeof(operation_groups[0]); i++) {
		if (type - operation_groups[i].first < operation_groups[i].count)
			return &operation_groups[i].operations[type - operation_groups[i].first];
	}
	return NULL;
}

uint32_t gpu_command_kept(uint32_t type)
{
	const struct gpu_operation *operation = operation_any(type);

	return operation && operation->kept ? operation->size : 0;
}

const char *gpu_command_name(uint32_t type)
{
	const struct gpu_operation *operation = operation_any(type);

	return operation ? operation->name : "a request";
}

/* ---------------------------------------------------------------- answering */

void gpu_batch_begin(struct gpu *gpu)
{
	gpu->batch++;
}

void gpu_batch_end(struct gpu *gpu)
{
	if (--gpu->batch > 0)
		return;
	for (unsigned i = 0; i < GPU_QUEUES; i++) {
		if (gpu->dirty & 1u << i)
			virtqueue_publish(&gpu->base.queues[i]);
	}
	gpu->dirty = 0;
}

uint32_t gpu_command_refuse(
    struct gpu *gpu, const struct gpu_command *command, uint32_t type, const char *format, ...)
{
	char reason[256];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	log_guest(&gpu->log, "gpu: refused %s: %s", command->name, reason);
	return type;
}

uint32_t gpu_command_fail(
    struct gpu *gpu, const struct gpu_command *command, int error, const char *what)
{
	uint32_t type;

	switch (error) {
	case -EFAULT: /* the driver's addresses */
	case -EINVAL:
		type = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		break;
	case -E2BIG:
	case -ENOSPC:
	case -ENOMEM:
		type = VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
		break;
	case -ENOENT:
		type = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
		break;
	case -ESRCH:
		type = VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;
		break;
	default:
		type = VIRTIO_GPU_RESP_ERR_UNSPEC;
		break;
	}
	return gpu_command_refuse(gpu, command, type, "%s: %s", what, strerror(-error));
}

void *gpu_command_respond(struct gpu *gpu, struct gpu_command *command, uint32_t size)
{
	if (size > command->writable_size || size > gpu->response_capacity) {
		gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "its answer of %u bytes does not fit into the %llu that the driver gave", size,
		    (unsigned long long)command->writable_size);
		return NULL;
	}
	command->response_size = size;
	memset(gpu->response, 0, size);
	return gpu->response;
}

/* "If the driver sets the VIRTIO_GPU_FLAG_FENCE bit in the request flags field the device MUST:
 * set VIRTIO_GPU_FLAG_FENCE bit in the response, copy the content of the fence_id field from the
 * request to the response". An answer that has no room for a header is not written at all. */
static uint32_t response_write(struct gpu *gpu, struct gpu_command *command, uint32_t type)
{
	struct virtio_gpu_ctrl_hdr *hdr = gpu->response;
	uint32_t size = command->response_size;

	if (command->writable_size < sizeof(*hdr))
		return 0;
	if (type >= VIRTIO_GPU_RESP_ERR_UNSPEC || size < sizeof(*hdr))
		size = sizeof(*hdr);
	*hdr = (struct virtio_gpu_ctrl_hdr){ .type = type };
	if (gpu_fence_wanted(command)) {
		hdr->flags = VIRTIO_GPU_FLAG_FENCE;
		hdr->fence_id = command->hdr.fence_id;
		hdr->ctx_id = command->hdr.ctx_id;
		if (gpu_fence_has_ring(gpu, command)) {
			hdr->flags |= VIRTIO_GPU_FLAG_INFO_RING_IDX;
			hdr->ring_idx = command->hdr.ring_idx;
		}
	}
	if (memory_write_later(gpu->base.memory, command->writable, command->writable_count,
		gpu->response, size) < 0) {
		gpu_command_refuse(gpu, command, 0, "its response buffer can't be written");
		return 0;
	}
	return size;
}

void gpu_command_finish(struct gpu *gpu, struct gpu_command *command, uint32_t type)
{
	struct gpu_timeline *timeline = NULL;
	uint64_t fence = 0;
	int error;

	if (gpu_fence_wanted(command)) {
		error = gpu_fence_create(gpu, command, &timeline, &fence);
		if (error < 0 && type < VIRTIO_GPU_RESP_ERR_UNSPEC)
			type = gpu_command_fail(gpu, command, error, "the renderer made no fence");
	}
	if (type >= VIRTIO_GPU_RESP_ERR_UNSPEC)
		gpu->statistics.errors++;
	gpu_request_hold(gpu, command, timeline, fence, response_write(gpu, command, type));
}

/* ---------------------------------------------------------------- taking */

void *gpu_command_buffer(struct gpu *gpu, size_t size)
{
	size_t grown = gpu->scratch_size ? gpu->scratch_size : SCRATCH_SIZE_MIN;
	void *scratch;

	if (size <= gpu->scratch_size)
		return gpu->scratch;
	while (grown < size)
		grown *= 2;
	scratch = aligned_alloc(SCRATCH_ALIGNMENT, grown);
	if (!scratch)
		return NULL;
	free(gpu->scratch);
	gpu->scratch = scratch;
	gpu->scratch_size = grown;
	return scratch;
}

/*
 * Executes a request, unless a predecessor has done so, or died of it, and was replaced before the
 * driver saw an answer. Whoever replaces us will find the same said about ours.
 */
static uint32_t command_execute(struct gpu *gpu, struct gpu_command *command,
    const struct gpu_operation *operation, enum virtqueue_progress progress)
{
	struct virtqueue *queue = &gpu->base.queues[command->queue];
	uint32_t type;
	bool known = false;

	if (progress == VIRTQUEUE_EXECUTED)
		return VIRTIO_GPU_RESP_OK_NODATA;
	if (progress == VIRTQUEUE_EXECUTING) {
		log_warning(
		    "gpu: the last worker ended while it executed %s (head %u of queue %u): "
		    "answered with an error instead of being executed again",
		    command->name, command->head, command->queue);
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	}
	virtqueue_set_progress(queue, command->head, VIRTQUEUE_EXECUTING);
	type = operation->handler(gpu, command);
	if (operation->kept && type < VIRTIO_GPU_RESP_ERR_UNSPEC)
		known = gpu_ledger_note(gpu, command) && type == VIRTIO_GPU_RESP_OK_NODATA;
	virtqueue_set_progress(queue, command->head, known ? VIRTQUEUE_EXECUTED : VIRTQUEUE_TAKEN);
	return type;
}

uint32_t gpu_command_replay(struct gpu *gpu, const void *data, uint64_t size)
{
	struct gpu_command command = { .data = data, .size = size };
	const struct gpu_operation *operation;

	memcpy(&command.hdr, data, sizeof(command.hdr));
	operation = operation_any(command.hdr.type);
	if (!operation || !operation->kept || size < operation->size ||
	    (gpu->features & operation->features) != operation->features)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	command.name = operation->name;
	return operation->handler(gpu, &command);
}

/* Finds out what a request asks for. */
static uint32_t command_take(
    struct gpu *gpu, struct gpu_command *command, const struct gpu_taken *taken)
{
	const struct gpu_operation *operation;
	uint32_t type;

	if (taken->size < sizeof(command->hdr))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "%llu bytes are less than a header", (unsigned long long)taken->size);
	if (!taken->data)
		return gpu_command_fail(gpu, command, -ENOMEM, "copying it");
	if (taken->unreadable)
		return gpu_command_refuse(
		    gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC, "its memory can't be read");
	memcpy(&command->hdr, taken->data, sizeof(command->hdr));
	command->data = taken->data;
	command->size = taken->copied;

	operation = operation_find(gpu, command->queue, command->hdr.type);
	if (!operation)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "type 0x%x is unknown, not negotiated or on the wrong queue",
		    command->hdr.type);
	command->name = operation->name;
	if (taken->copied < taken->size)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
		    "its %llu bytes exceed the quota of %u", (unsigned long long)taken->size,
		    gpu->limits.command_bytes);
	if (command->size < operation->size)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_UNSPEC,
		    "%llu bytes are less than its %u", (unsigned long long)command->size,
		    operation->size);
	type = gpu_fence_check(gpu, command);
	return type == VIRTIO_GPU_RESP_OK_NODATA
		   ? command_execute(gpu, command, operation, taken->progress)
		   : type;
}

static void command_run(struct gpu *gpu, unsigned queue, const struct gpu_taken *taken)
{
	struct gpu_command command = {
		.queue = queue,
		.head = taken->head,
		.name = "a request",
		.writable = taken->writable,
		.writable_count = taken->writable_count,
		.writable_size = taken->writable_size,
	};
	uint32_t type;

	gpu->statistics.commands++;
	gpu->command = &command;
	type = command_take(gpu, &command, taken);
	if (!command.parked)
		gpu_command_finish(gpu, &command, type);
	gpu->command = NULL;
}

bool gpu_queue_process(struct virtio_device *device, unsigned index)
{
	struct gpu *gpu = gpu_from_device(device);
	struct virtqueue *queue = &device->queues[index];
	int taken;

	virtqueue_disable_notifications(queue);
	gpu_batch_begin(gpu);
	/* A queue's worth at most, as no head returns to the driver before the batch's end */
	do {
		taken = gpu_batch_take(gpu, queue);
		for (unsigned i = 0; i < gpu->requests_taken.count; i++)
			command_run(gpu, index, &gpu->requests_taken.requests[i]);
	} while (taken > 0);
	gpu_batch_end(gpu);
	return taken >= 0 && virtqueue_enable_notifications(queue);
}
