/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu_internal.h"
#include "backend/probe.h"

#define SCRATCH_SIZE_MIN 4096
#define SCRATCH_ALIGNMENT 64

struct gpu_operation {
	const char *name;
	gpu_handler *run;
	uint64_t features; /* of which it is part */
	uint32_t size;     /* of its struct, which the request holds at least */
	bool kept;         /* it changes what a successor has to know */
};

#define VIRGL GPU_FEATURE(VIRGL)
#define BLOB GPU_FEATURE(RESOURCE_BLOB)

/* X(NAME, handler and probe, struct, features, kept), in the order of enum virtio_gpu_ctrl_type */
#define COMMANDS_2D(X)                                                                        \
	X(GET_DISPLAY_INFO, get_display_info, ctrl_hdr, 0, false)                             \
	X(RESOURCE_CREATE_2D, resource_create_2d, resource_create_2d, 0, true)                \
	X(RESOURCE_UNREF, resource_unref, resource_unref, 0, true)                            \
	X(SET_SCANOUT, set_scanout, set_scanout, 0, true)                                     \
	X(RESOURCE_FLUSH, resource_flush, resource_flush, 0, false)                           \
	X(TRANSFER_TO_HOST_2D, transfer_to_host_2d, transfer_to_host_2d, 0, false)            \
	X(RESOURCE_ATTACH_BACKING, resource_attach_backing, resource_attach_backing, 0, true) \
	X(RESOURCE_DETACH_BACKING, resource_detach_backing, resource_detach_backing, 0, true) \
	X(GET_CAPSET_INFO, get_capset_info, get_capset_info, VIRGL, false)                    \
	X(GET_CAPSET, get_capset, get_capset, VIRGL, false)                                   \
	X(GET_EDID, get_edid, cmd_get_edid, GPU_FEATURE(EDID), false)                         \
	X(RESOURCE_ASSIGN_UUID, resource_assign_uuid, resource_assign_uuid,                   \
	    GPU_FEATURE(RESOURCE_UUID), true)                                                 \
	X(RESOURCE_CREATE_BLOB, resource_create_blob, resource_create_blob, BLOB, true)       \
	X(SET_SCANOUT_BLOB, set_scanout_blob, set_scanout_blob, BLOB, true)

#define COMMANDS_3D(X)                                                                  \
	X(CTX_CREATE, ctx_create, ctx_create, VIRGL, true)                              \
	X(CTX_DESTROY, ctx_destroy, ctx_destroy, VIRGL, true)                           \
	X(CTX_ATTACH_RESOURCE, ctx_attach_resource, ctx_resource, VIRGL, true)          \
	X(CTX_DETACH_RESOURCE, ctx_detach_resource, ctx_resource, VIRGL, true)          \
	X(RESOURCE_CREATE_3D, resource_create_3d, resource_create_3d, VIRGL, true)      \
	X(TRANSFER_TO_HOST_3D, transfer_to_host_3d, transfer_host_3d, VIRGL, false)     \
	X(TRANSFER_FROM_HOST_3D, transfer_from_host_3d, transfer_host_3d, VIRGL, false) \
	X(SUBMIT_3D, submit_3d, cmd_submit, VIRGL, false)                               \
	X(RESOURCE_MAP_BLOB, resource_map_blob, resource_map_blob, BLOB, false)         \
	X(RESOURCE_UNMAP_BLOB, resource_unmap_blob, resource_unmap_blob, BLOB, false)

#define COMMANDS_CURSOR(X)                                      \
	X(UPDATE_CURSOR, update_cursor, update_cursor, 0, true) \
	X(MOVE_CURSOR, move_cursor, update_cursor, 0, true)

/* The handler between two probes that bear the command's name */
#define DEFINE_RUN(NAME, name_, type, features, kept)                              \
	static uint32_t run_##name_(struct gpu *gpu, struct gpu_command *command)  \
	{                                                                          \
		uint32_t response;                                                 \
                                                                                   \
		PROBE(name_##__begin, gpu->guest, command->queue, command->number, \
		    command->hdr.ctx_id, command->size);                           \
		response = gpu_##name_(gpu, command);                              \
		PROBE(name_##__end, gpu->guest, command->queue, command->number,   \
		    command->hdr.ctx_id, response);                                \
		return response;                                                   \
	}
COMMANDS_2D(DEFINE_RUN)
COMMANDS_3D(DEFINE_RUN)
COMMANDS_CURSOR(DEFINE_RUN)

#define OPERATION(NAME, name_, type, features_, kept_)    \
	{ .name = #NAME,                                  \
		.run = run_##name_,                       \
		.size = sizeof(struct virtio_gpu_##type), \
		.features = (features_),                  \
		.kept = (kept_) },

static const struct gpu_operation operations_2d[] = { COMMANDS_2D(OPERATION) };
static const struct gpu_operation operations_3d[] = { COMMANDS_3D(OPERATION) };
static const struct gpu_operation operations_cursor[] = { COMMANDS_CURSOR(OPERATION) };

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
	gpu_telemetry_publish(gpu);
}

uint32_t gpu_command_refuse(
    struct gpu *gpu, const struct gpu_command *command, uint32_t type, const char *format, ...)
{
	char reason[256];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	gpu->telemetry->counters.refusals++;
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
		command->fenced_ns = trace_begin(gpu->base.trace);
		error = gpu_fence_create(gpu, command, &timeline, &fence);
		if (error < 0 && type < VIRTIO_GPU_RESP_ERR_UNSPEC)
			type = gpu_command_fail(gpu, command, error, "the renderer made no fence");
	}
	if (type >= VIRTIO_GPU_RESP_ERR_UNSPEC) {
		gpu->statistics.errors++;
		PROBE(error, gpu->guest, command->queue, command->number, command->hdr.type, type);
	}
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
	uint64_t begin;
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
	gpu_telemetry_begin(gpu, command);
	begin = trace_begin(gpu->base.trace);
	type = operation->run(gpu, command);
	trace_end(gpu->base.trace, begin, .type = TRACE_RENDER, .request = command->number,
	    .queue = (uint8_t)command->queue, .head = command->head, .arg = command->hdr.type,
	    .value = type);
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
	return operation->run(gpu, &command);
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
	if (type != VIRTIO_GPU_RESP_OK_NODATA)
		return type;
	trace_end(gpu->base.trace, command->begin_ns, .type = TRACE_DECODE,
	    .request = command->number, .queue = (uint8_t)command->queue, .head = command->head,
	    .arg = command->hdr.type);
	return command_execute(gpu, command, operation, taken->progress);
}

static void command_run(struct gpu *gpu, unsigned queue, const struct gpu_taken *taken)
{
	struct gpu_command command = {
		.queue = queue,
		.head = taken->head,
		.number = taken->number,
		.begin_ns = trace_begin(gpu->base.trace),
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
	gpu_telemetry_end(gpu, &command);
	trace_end(gpu->base.trace, command.begin_ns, .type = TRACE_REQUEST,
	    .request = command.number, .queue = (uint8_t)queue, .head = command.head,
	    .arg = command.hdr.type, .value = type);
}

bool gpu_queue_process(struct virtio_device *device, unsigned index)
{
	struct gpu *gpu = gpu_from_device(device);
	struct virtqueue *queue = &device->queues[index];
	bool may_take = true;
	int taken = 0;

	virtqueue_disable_notifications(queue);
	gpu_batch_begin(gpu);
	/* A queue's worth at most, as no head returns to the driver before the batch's end */
	do {
		/* A request that was taken and left by a batch belongs to the next one */
		if (index == GPU_QUEUE_CONTROL && !gpu->requests_taken.left)
			may_take = gpu_flow_may_take(gpu);
		if (!may_take)
			break;
		taken = gpu_batch_take(gpu, queue);
		for (unsigned i = 0; i < gpu->requests_taken.count; i++)
			command_run(gpu, index, &gpu->requests_taken.requests[i]);
	} while (taken > 0);
	gpu_batch_end(gpu);
	return may_take && taken >= 0 && virtqueue_enable_notifications(queue);
}
