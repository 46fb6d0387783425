/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_gpu.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void loopback_gpu_init(struct loopback_gpu *gpu, struct loopback_frontend *frontend)
{
	*gpu = (struct loopback_gpu){ .frontend = frontend };
}

void loopback_gpu_fence_next(struct loopback_gpu *gpu, uint64_t fence)
{
	gpu->next_flags = VIRTIO_GPU_FLAG_FENCE;
	gpu->next_fence = fence;
	gpu->next_ring = 0;
}

void loopback_gpu_fence_next_on(struct loopback_gpu *gpu, uint64_t fence, uint8_t ring)
{
	gpu->next_flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX;
	gpu->next_fence = fence;
	gpu->next_ring = ring;
}

struct virtio_gpu_ctrl_hdr loopback_gpu_header(
    struct loopback_gpu *gpu, uint32_t type, uint32_t ctx_id)
{
	struct virtio_gpu_ctrl_hdr header = {
		.type = type,
		.flags = gpu->next_flags,
		.fence_id = gpu->next_fence,
		.ctx_id = ctx_id,
		.ring_idx = gpu->next_ring,
	};

	gpu->next_flags = 0;
	gpu->next_fence = 0;
	gpu->next_ring = 0;
	return header;
}

/* ---------------------------------------------------------------- requests */

struct loopback_request *loopback_gpu_begin(struct loopback_gpu *gpu, unsigned queue,
    const void *command, size_t size, const void *payload, uint32_t payload_size,
    size_t response_size)
{
	struct loopback_memory *memory = &gpu->frontend->memory;
	struct loopback_request *request = calloc(1, sizeof(*request));

	if (!request)
		loopback_die("out of memory");
	*request = (struct loopback_request){
		.queue = queue,
		.command = loopback_alloc(memory, size),
		.command_size = size,
		.response_size = response_size,
	};
	memcpy(request->command, command, size);
	struct memory_piece readable[2] = { loopback_piece(
	    memory, request->command, (uint32_t)size) };
	if (payload_size > 0)
		readable[1] = loopback_piece(memory, payload, payload_size);
	struct memory_piece writable[1];
	if (response_size > 0) {
		request->response = loopback_alloc(memory, response_size);
		writable[0] = loopback_piece(memory, request->response, (uint32_t)response_size);
	}
	loopback_queue_add(&gpu->frontend->queues[queue], readable, payload_size > 0 ? 2 : 1,
	    writable, response_size > 0 ? 1 : 0, request);
	return request;
}

void loopback_gpu_kick(struct loopback_gpu *gpu, unsigned queue)
{
	loopback_queue_kick(&gpu->frontend->queues[queue]);
}

int loopback_gpu_wait(struct loopback_gpu *gpu, struct loopback_request *request)
{
	while (!request->done) {
		void *data;
		uint32_t written;
		uint16_t head;
		int ret =
		    loopback_frontend_wait(gpu->frontend, request->queue, &head, &written, &data);
		if (ret < 0)
			return ret;
		struct loopback_request *answered = data;
		answered->done = true;
		answered->written = written;
		answered->order = ++gpu->frontend->answered;
	}
	return 0;
}

void loopback_gpu_end(struct loopback_gpu *gpu, struct loopback_request *request)
{
	struct loopback_memory *memory = &gpu->frontend->memory;

	if (!request)
		return;
	loopback_free(memory, request->command, request->command_size);
	loopback_free(memory, request->response, request->response_size);
	free(request);
}

uint32_t loopback_request_type(const struct loopback_request *request)
{
	const struct virtio_gpu_ctrl_hdr *header = request->response;

	return request->written >= sizeof(*header) ? header->type : 0;
}

uint32_t loopback_gpu_command_with(struct loopback_gpu *gpu, unsigned queue, const void *command,
    size_t size, const void *payload, uint32_t payload_size, void *response, size_t response_size)
{
	struct loopback_request *request =
	    loopback_gpu_begin(gpu, queue, command, size, payload, payload_size, response_size);

	loopback_gpu_kick(gpu, queue);
	int ret = loopback_gpu_wait(gpu, request);
	if (ret < 0)
		loopback_die("command 0x%04x is not answered: %s",
		    ((const struct virtio_gpu_ctrl_hdr *)command)->type, strerror(-ret));
	if (request->written > response_size)
		loopback_die("the device wrote %u bytes of %zu", request->written, response_size);
	gpu->written = request->written;
	gpu->response = (struct virtio_gpu_ctrl_hdr){ 0 };
	if (request->written > 0)
		memcpy(&gpu->response, request->response,
		    request->written < sizeof(gpu->response) ? request->written
							     : sizeof(gpu->response));
	if (response)
		memcpy(response, request->response, response_size);
	uint32_t type = loopback_request_type(request);
	loopback_gpu_end(gpu, request);
	return type;
}

uint32_t loopback_gpu_command(struct loopback_gpu *gpu, const void *command, size_t size,
    void *response, size_t response_size)
{
	return loopback_gpu_command_with(
	    gpu, LOOPBACK_GPU_CONTROL, command, size, NULL, 0, response, response_size);
}

/* A command whose answer is a header alone. */
static uint32_t simple(struct loopback_gpu *gpu, const void *command, size_t size)
{
	return loopback_gpu_command(gpu, command, size, NULL, sizeof(struct virtio_gpu_ctrl_hdr));
}

/* ---------------------------------------------------------------- backing pages */

struct loopback_backing *loopback_backing_create(
    struct loopback_memory *memory, size_t size, size_t chunk)
{
	struct loopback_backing *backing = calloc(1, sizeof(*backing));

	chunk = chunk ? chunk : size;
	assert(size > 0);
	size_t count = (size + chunk - 1) / chunk;
	uint8_t **chunks = calloc(count, sizeof(*chunks));
	if (!backing || !chunks)
		loopback_die("out of memory");
	*backing = (struct loopback_backing){
		.memory = memory,
		.size = size,
		.chunk = chunk,
		.count = count,
		.chunks = chunks,
		.entries = loopback_alloc(memory, count * sizeof(*backing->entries)),
	};
	/* Backwards, so that none follows its predecessor. */
	for (size_t i = count; i-- > 0;) {
		size_t length = i + 1 < count ? chunk : size - chunk * i;
		chunks[i] = loopback_alloc(memory, length);
		backing->entries[i] = (struct virtio_gpu_mem_entry){
			.addr = loopback_address(memory, chunks[i]),
			.length = (uint32_t)length,
		};
	}
	return backing;
}

void loopback_backing_destroy(struct loopback_backing *backing)
{
	if (!backing)
		return;
	for (size_t i = 0; i < backing->count; i++)
		loopback_free(backing->memory, backing->chunks[i], backing->entries[i].length);
	loopback_free(
	    backing->memory, backing->entries, backing->count * sizeof(*backing->entries));
	free(backing->chunks);
	free(backing);
}

uint8_t *loopback_backing_at(const struct loopback_backing *backing, size_t offset)
{
	assert(offset < backing->size);
	return backing->chunks[offset / backing->chunk] + offset % backing->chunk;
}

uint32_t loopback_backing_get(const struct loopback_backing *backing, size_t offset)
{
	uint32_t word;

	memcpy(&word, loopback_backing_at(backing, offset), sizeof(word));
	return word;
}

void loopback_backing_set(struct loopback_backing *backing, size_t offset, uint32_t word)
{
	memcpy(loopback_backing_at(backing, offset), &word, sizeof(word));
}

void loopback_backing_fill(struct loopback_backing *backing, uint32_t word)
{
	for (size_t offset = 0; offset + sizeof(word) <= backing->size; offset += sizeof(word))
		loopback_backing_set(backing, offset, word);
}

/* ---------------------------------------------------------------- commands: 2D */

uint32_t loopback_gpu_get_display_info(
    struct loopback_gpu *gpu, struct virtio_gpu_resp_display_info *info)
{
	struct virtio_gpu_ctrl_hdr command =
	    loopback_gpu_header(gpu, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, 0);

	return loopback_gpu_command(gpu, &command, sizeof(command), info, sizeof(*info));
}

uint32_t loopback_gpu_get_edid(
    struct loopback_gpu *gpu, uint32_t scanout, struct virtio_gpu_resp_edid *edid)
{
	struct virtio_gpu_cmd_get_edid command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_GET_EDID, 0),
		.scanout = scanout,
	};

	return loopback_gpu_command(gpu, &command, sizeof(command), edid, sizeof(*edid));
}

uint32_t loopback_gpu_create_2d(
    struct loopback_gpu *gpu, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
	struct virtio_gpu_resource_create_2d command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, 0),
		.resource_id = id,
		.format = format,
		.width = width,
		.height = height,
	};

	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_unref(struct loopback_gpu *gpu, uint32_t id)
{
	struct virtio_gpu_resource_unref command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_RESOURCE_UNREF, 0),
		.resource_id = id,
	};

	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_set_scanout(struct loopback_gpu *gpu, uint32_t scanout, uint32_t id,
    uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	struct virtio_gpu_set_scanout command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_SET_SCANOUT, 0),
		.r = { .x = x, .y = y, .width = width, .height = height },
		.scanout_id = scanout,
		.resource_id = id,
	};

	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_flush(
    struct loopback_gpu *gpu, uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	struct virtio_gpu_resource_flush command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_RESOURCE_FLUSH, 0),
		.r = { .x = x, .y = y, .width = width, .height = height },
		.resource_id = id,
	};

	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_transfer_2d(struct loopback_gpu *gpu, uint32_t id, uint32_t x, uint32_t y,
    uint32_t width, uint32_t height, uint64_t offset)
{
	struct virtio_gpu_transfer_to_host_2d command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, 0),
		.r = { .x = x, .y = y, .width = width, .height = height },
		.offset = offset,
		.resource_id = id,
	};

	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_attach_entries(struct loopback_gpu *gpu, uint32_t id, uint32_t nr_entries,
    const struct virtio_gpu_mem_entry *entries, uint32_t entries_size)
{
	struct virtio_gpu_resource_attach_backing command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, 0),
		.resource_id = id,
		.nr_entries = nr_entries,
	};

	return loopback_gpu_command_with(gpu, LOOPBACK_GPU_CONTROL, &command, sizeof(command),
	    entries, entries_size, NULL, sizeof(struct virtio_gpu_ctrl_hdr));
}

uint32_t loopback_gpu_attach_backing(
    struct loopback_gpu *gpu, uint32_t id, const struct loopback_backing *backing)
{
	return loopback_gpu_attach_entries(gpu, id, (uint32_t)backing->count, backing->entries,
	    (uint32_t)(backing->count * sizeof(*backing->entries)));
}

uint32_t loopback_gpu_detach_backing(struct loopback_gpu *gpu, uint32_t id)
{
	struct virtio_gpu_resource_detach_backing command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, 0),
		.resource_id = id,
	};

	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_get_capset_info(
    struct loopback_gpu *gpu, uint32_t index, struct virtio_gpu_resp_capset_info *info)
{
	struct virtio_gpu_get_capset_info command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_GET_CAPSET_INFO, 0),
		.capset_index = index,
	};

	return loopback_gpu_command(gpu, &command, sizeof(command), info, sizeof(*info));
}

uint32_t loopback_gpu_get_capset(
    struct loopback_gpu *gpu, uint32_t id, uint32_t version, void *capset, size_t size)
{
	struct virtio_gpu_get_capset command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_GET_CAPSET, 0),
		.capset_id = id,
		.capset_version = version,
	};
	size_t response_size = sizeof(struct virtio_gpu_resp_capset) + size;
	struct virtio_gpu_resp_capset *response = calloc(1, response_size);

	if (!response)
		loopback_die("out of memory");
	uint32_t type =
	    loopback_gpu_command(gpu, &command, sizeof(command), response, response_size);
	memcpy(capset, response->capset_data, size);
	free(response);
	return type;
}

uint32_t loopback_gpu_assign_uuid(struct loopback_gpu *gpu, uint32_t id, uint8_t uuid[16])
{
	struct virtio_gpu_resource_assign_uuid command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, 0),
		.resource_id = id,
	};
	struct virtio_gpu_resp_resource_uuid response;
	uint32_t type =
	    loopback_gpu_command(gpu, &command, sizeof(command), &response, sizeof(response));

	memcpy(uuid, response.uuid, sizeof(response.uuid));
	return type;
}

uint32_t loopback_gpu_create_blob(struct loopback_gpu *gpu, uint32_t id, uint32_t ctx_id,
    uint32_t blob_mem, uint64_t size, const struct loopback_backing *backing)
{
	struct virtio_gpu_resource_create_blob command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, ctx_id),
		.resource_id = id,
		.blob_mem = blob_mem,
		.nr_entries = backing ? (uint32_t)backing->count : 0,
		.size = size,
	};

	return loopback_gpu_command_with(gpu, LOOPBACK_GPU_CONTROL, &command, sizeof(command),
	    backing ? backing->entries : NULL,
	    backing ? (uint32_t)(backing->count * sizeof(*backing->entries)) : 0, NULL,
	    sizeof(struct virtio_gpu_ctrl_hdr));
}

uint32_t loopback_gpu_set_scanout_blob(struct loopback_gpu *gpu, uint32_t scanout, uint32_t id,
    uint32_t format, uint32_t width, uint32_t height, uint32_t stride, uint32_t offset)
{
	struct virtio_gpu_set_scanout_blob command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, 0),
		.r = { .width = width, .height = height },
		.scanout_id = scanout,
		.resource_id = id,
		.width = width,
		.height = height,
		.format = format,
		.strides = { stride },
		.offsets = { offset },
	};

	return simple(gpu, &command, sizeof(command));
}

/* ---------------------------------------------------------------- commands: cursor */

uint32_t loopback_gpu_update_cursor(struct loopback_gpu *gpu, uint32_t scanout, uint32_t id,
    uint32_t x, uint32_t y, uint32_t hot_x, uint32_t hot_y)
{
	struct virtio_gpu_update_cursor command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_UPDATE_CURSOR, 0),
		.pos = { .scanout_id = scanout, .x = x, .y = y },
		.resource_id = id,
		.hot_x = hot_x,
		.hot_y = hot_y,
	};

	return loopback_gpu_command_with(gpu, LOOPBACK_GPU_CURSOR, &command, sizeof(command), NULL,
	    0, NULL, sizeof(struct virtio_gpu_ctrl_hdr));
}

uint32_t loopback_gpu_move_cursor(
    struct loopback_gpu *gpu, uint32_t scanout, uint32_t x, uint32_t y)
{
	struct virtio_gpu_update_cursor command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_MOVE_CURSOR, 0),
		.pos = { .scanout_id = scanout, .x = x, .y = y },
	};

	return loopback_gpu_command_with(gpu, LOOPBACK_GPU_CURSOR, &command, sizeof(command), NULL,
	    0, NULL, sizeof(struct virtio_gpu_ctrl_hdr));
}

/* ---------------------------------------------------------------- commands: 3D */

uint32_t loopback_gpu_ctx_create(
    struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t context_init, const char *name)
{
	struct virtio_gpu_ctx_create command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_CTX_CREATE, ctx_id),
		.context_init = context_init,
	};
	size_t length = strnlen(name, sizeof(command.debug_name) - 1);

	memcpy(command.debug_name, name, length);
	command.nlen = (uint32_t)length;
	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_ctx_destroy(struct loopback_gpu *gpu, uint32_t ctx_id)
{
	struct virtio_gpu_ctx_destroy command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_CTX_DESTROY, ctx_id),
	};

	return simple(gpu, &command, sizeof(command));
}

static uint32_t ctx_resource(struct loopback_gpu *gpu, uint32_t type, uint32_t ctx_id, uint32_t id)
{
	struct virtio_gpu_ctx_resource command = {
		.hdr = loopback_gpu_header(gpu, type, ctx_id),
		.resource_id = id,
	};

	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_ctx_attach(struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t id)
{
	return ctx_resource(gpu, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, ctx_id, id);
}

uint32_t loopback_gpu_ctx_detach(struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t id)
{
	return ctx_resource(gpu, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, ctx_id, id);
}

uint32_t loopback_gpu_create_3d(
    struct loopback_gpu *gpu, uint32_t id, const struct virtio_gpu_resource_create_3d *resource)
{
	struct virtio_gpu_resource_create_3d command = *resource;

	command.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, 0);
	command.resource_id = id;
	return simple(gpu, &command, sizeof(command));
}

static uint32_t transfer_3d(struct loopback_gpu *gpu, uint32_t type, uint32_t ctx_id, uint32_t id,
    const struct virtio_gpu_box *box, uint64_t offset, uint32_t stride)
{
	struct virtio_gpu_transfer_host_3d command = {
		.hdr = loopback_gpu_header(gpu, type, ctx_id),
		.box = *box,
		.offset = offset,
		.resource_id = id,
		.stride = stride,
	};

	return simple(gpu, &command, sizeof(command));
}

uint32_t loopback_gpu_transfer_to_3d(struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t id,
    const struct virtio_gpu_box *box, uint64_t offset, uint32_t stride)
{
	return transfer_3d(
	    gpu, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, ctx_id, id, box, offset, stride);
}

uint32_t loopback_gpu_transfer_from_3d(struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t id,
    const struct virtio_gpu_box *box, uint64_t offset, uint32_t stride)
{
	return transfer_3d(
	    gpu, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, ctx_id, id, box, offset, stride);
}

struct loopback_request *loopback_gpu_begin_submit_3d(
    struct loopback_gpu *gpu, uint32_t ctx_id, const uint32_t *words, uint32_t count)
{
	struct virtio_gpu_cmd_submit command = {
		.hdr = loopback_gpu_header(gpu, VIRTIO_GPU_CMD_SUBMIT_3D, ctx_id),
		.size = count * (uint32_t)sizeof(*words),
	};
	size_t size = sizeof(command) + command.size;
	uint8_t *bytes = malloc(size);

	if (!bytes)
		loopback_die("out of memory");
	memcpy(bytes, &command, sizeof(command));
	if (count > 0)
		memcpy(bytes + sizeof(command), words, command.size);
	struct loopback_request *request = loopback_gpu_begin(
	    gpu, LOOPBACK_GPU_CONTROL, bytes, size, NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
	free(bytes);
	return request;
}

uint32_t loopback_gpu_submit_3d(
    struct loopback_gpu *gpu, uint32_t ctx_id, const uint32_t *words, uint32_t count)
{
	struct loopback_request *request = loopback_gpu_begin_submit_3d(gpu, ctx_id, words, count);

	loopback_gpu_kick(gpu, LOOPBACK_GPU_CONTROL);
	int ret = loopback_gpu_wait(gpu, request);
	if (ret < 0)
		loopback_die("SUBMIT_3D is not answered: %s", strerror(-ret));
	memcpy(&gpu->response, request->response, sizeof(gpu->response));
	gpu->written = request->written;
	uint32_t type = loopback_request_type(request);
	loopback_gpu_end(gpu, request);
	return type;
}
