/* SPDX-License-Identifier: MIT */
/*
 * A successor's first act: executes anew, by the handlers that a driver's requests take, what
 * counts of those that its predecessor executed. Pixels that live in guest memory are fetched from
 * there. What lived in the renderer alone is lost: contexts are empty, and the content of 3D
 * resources is undefined until the guest draws anew.
 */
#include <string.h>

#include "backend/gpu_internal.h"
#include "backend/gpu_ledger.h"

/* In this order: a scan-out wants pixels, which want a backing (and a context's resource may be
 * another one to the renderer than it was before). */
enum recover_step { STEP_OBJECTS, STEP_PIXELS, STEP_SCANOUTS, STEP_CURSORS, STEPS };

struct recover {
	struct gpu *gpu;
	struct gpu_ledger *ledger;
	unsigned refused;
};

static enum recover_step recover_step_of(uint32_t type)
{
	switch (type) {
	case VIRTIO_GPU_CMD_SET_SCANOUT:
	case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
		return STEP_SCANOUTS;
	case VIRTIO_GPU_CMD_UPDATE_CURSOR:
		return STEP_CURSORS;
	default:
		return STEP_OBJECTS;
	}
}

/* Another one would break what the guest has handed on. */
static uint32_t recover_uuid(struct gpu *gpu, const void *data)
{
	const struct virtio_gpu_resource_assign_uuid *request = data;
	struct gpu_resource *resource = gpu_resource_find(gpu, request->resource_id);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	memcpy(resource->uuid, request + 1, sizeof(resource->uuid));
	resource->has_uuid = true;
	return VIRTIO_GPU_RESP_OK_RESOURCE_UUID;
}

static void recover_execute(struct recover *recover, const struct ledger_record *record)
{
	struct gpu *gpu = recover->gpu;
	const size_t size = record->size;
	struct virtio_gpu_ctrl_hdr *data;
	uint32_t type = VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;

	/* The one copy that is looked at from here on */
	data = gpu_command_buffer(gpu, size > GPU_LEDGER_STRUCT_MAX ? size : GPU_LEDGER_STRUCT_MAX);
	if (!data) {
		recover->refused++;
		return;
	}
	memset(data, 0, GPU_LEDGER_STRUCT_MAX);
	ledger_read(&recover->ledger->log, record->offset, data, record->size);
	type = data->type == VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID
		   ? recover_uuid(gpu, data)
		   : gpu_command_replay(gpu, data, size);
	if (type < VIRTIO_GPU_RESP_ERR_UNSPEC)
		return;
	recover->refused++;
	gpu_ledger_refused(recover->ledger, data);
}

/* Fetches the picture of a 2D resource from the guest's pages, as far as those reach. */
static void recover_pixels(struct gpu *gpu, uint32_t resource_id)
{
	const struct gpu_resource *resource = gpu_resource_find(gpu, resource_id);
	struct renderer_transfer transfer = { .resource_id = resource_id, .box.depth = 1 };
	uint64_t rows;

	if (!resource || resource->kind != GPU_RESOURCE_2D || !resource->backing)
		return;
	rows = resource->backing->size / ((uint64_t)resource->width * 4);
	transfer.box.width = resource->width;
	transfer.box.height = rows < resource->height ? (uint32_t)rows : resource->height;
	if (transfer.box.height > 0)
		gpu->renderer->impl->transfer_to_host(gpu->renderer, &transfer);
}

static void recover_step(struct recover *recover, enum recover_step step)
{
	struct ledger *log = &recover->ledger->log;
	const struct ledger_record *record;

	ledger_rewind(log);
	while ((record = ledger_next(log))) {
		struct {
			struct virtio_gpu_ctrl_hdr hdr;
			uint32_t id;
		} begin = { 0 };

		ledger_read(log, record->offset, &begin,
		    record->size < sizeof(begin) ? record->size : sizeof(begin));
		ledger_mark_replaying(log, record);
		if (step == STEP_PIXELS && begin.hdr.type == VIRTIO_GPU_CMD_RESOURCE_CREATE_2D)
			recover_pixels(recover->gpu, begin.id);
		else if (step == recover_step_of(begin.hdr.type))
			recover_execute(recover, record);
		ledger_mark_replaying(log, NULL);
	}
}

/* A predecessor died when it executed this one anew: we don't. */
static void recover_skip(struct gpu *gpu, struct gpu_ledger *ledger)
{
	const struct ledger_record *record = ledger_find_replaying(&ledger->log);
	struct virtio_gpu_ctrl_hdr *begin =
	    record ? gpu_command_buffer(gpu, GPU_LEDGER_STRUCT_MAX) : NULL;

	if (!begin)
		return;
	gpu_ledger_read_struct(ledger, record->offset, record->size, begin);
	log_warning(
	    "the last worker ended when it brought back what the guest had done by %s; that "
	    "is left out",
	    gpu_command_name(begin->type));
	ledger_mark_replaying(&ledger->log, NULL);
	gpu_ledger_refused(ledger, begin);
	ledger_compact(&ledger->log);
}

void gpu_ledger_recover(struct virtio_device *device)
{
	struct gpu *gpu = gpu_from_device(device);
	struct recover recover = { .gpu = gpu, .ledger = gpu->ledger };
	unsigned shown = 0;

	if (!gpu->ledger || !gpu->ledger->unread)
		return;
	gpu->ledger->unread = false;
	recover_skip(gpu, gpu->ledger);
	gpu_batch_begin(gpu);
	for (enum recover_step step = 0; step < STEPS; step++) {
		recover_step(&recover, step);
		if (step == STEP_SCANOUTS)
			shown = gpu_scanout_flush_all(gpu);
	}
	gpu_batch_end(gpu);
	ledger_compact(&gpu->ledger->log);
	log_info("in the place of a worker that is gone: brought back %u resources, %u contexts, "
		 "empty, and %u outputs; %u requests were refused",
	    gpu->resources.count, gpu->contexts.count, shown, recover.refused);
}
