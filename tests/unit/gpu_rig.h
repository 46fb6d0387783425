/* SPDX-License-Identifier: MIT */
/*
 * The virtio-gpu device between a driver's real queues in guest memory and a fake renderer and
 * display. Guest memory counts its maps.
 */
#ifndef GPUDOM_TESTS_UNIT_GPU_RIG_H
#define GPUDOM_TESTS_UNIT_GPU_RIG_H

#include <linux/virtio_config.h>
#include <linux/virtio_gpu.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "backend/gpu.h"
#include "backend/virtqueue.h"
#include "tests/loopback/loopback_guest.h"
#include "tests/unit/gpu_fakes.h"

#define RIG_MEMORY (32u << 20)
#define RIG_QUEUE_SIZE 256
#define RIG_COMMAND_MAX (1u << 20)
#define RIG_RESPONSE_MAX 4096
#define RIG_SCANOUTS 3
#define RIG_HELD UINT32_MAX /* no answer yet */
enum { RIG_CONTROL, RIG_CURSOR };

struct rig_memory {
	struct guest_memory base;
	struct guest_memory *inner;
	struct fake_renderer *renderer;
	unsigned maps; /* at present */
	bool refuse_maps, refuse_reads;
	unsigned long reads;
};

struct rig {
	struct loopback_memory memory;
	struct rig_memory guest;
	struct loopback_queue queues[2];
	struct virtqueue virtqueues[2];
	struct fake_renderer renderer;
	struct fake_display display;
	struct virtio_device *device;
	unsigned config_changes;
	unsigned wakes;   /* of the control queue that the device asked for; the last one is */
	uint64_t wake_at; /* ... for this time */
	uint8_t *command, *response; /* guest memory, for one request at a time */
	struct rig_request *requests;
};

/* A request that may be answered later. It lives as long as the rig. */
struct rig_request {
	struct rig_request *next;
	uint8_t *command, *response; /* a page each */
	uint32_t written;
	uint16_t head;
	bool done;
	unsigned order; /* of the answers: 1, 2, ... */
};

/* ---------------------------------------------------------------- memory that counts */

static inline struct rig_memory *rig_memory(struct guest_memory *memory)
{
	return (struct rig_memory *)memory;
}

static inline int rig_memory_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count)
{
	rig_memory(memory)->reads++;
	if (rig_memory(memory)->refuse_reads)
		return -EFAULT;
	return memory_read(rig_memory(memory)->inner, to, pieces, count);
}

static inline int rig_memory_write(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, const void *from, size_t size)
{
	return memory_write(rig_memory(memory)->inner, pieces, count, from, size);
}

static inline int rig_memory_map(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, enum memory_access access, struct memory_map **map)
{
	int error = -ENOMEM;

	if (!rig_memory(memory)->refuse_maps)
		error = memory_map(rig_memory(memory)->inner, pieces, count, access, map);
	if (!error)
		rig_memory(memory)->maps++;
	return error;
}

/* The renderer must have let go of the pages before. */
static inline void rig_memory_unmap(struct guest_memory *memory, struct memory_map *map)
{
	struct id_table *resources = &rig_memory(memory)->renderer->resources;

	for (uint32_t i = 0; resources->count && resources->bits < 10 && i < 1u << resources->bits;
	     i++) {
		for (struct id_entry *e = resources->buckets[i]; e; e = e->next)
			assert(((struct fake_resource *)e)->iov != map->iov);
	}
	rig_memory(memory)->maps--;
	memory_unmap(rig_memory(memory)->inner, map);
}

static const struct guest_memory_impl rig_memory_impl = {
	.name = "counted",
	.read = rig_memory_read,
	.write = rig_memory_write,
	.map = rig_memory_map,
	.unmap = rig_memory_unmap,
};

/* ---------------------------------------------------------------- the device */

static inline void rig_config_changed(void *data)
{
	((struct rig *)data)->config_changes++;
}

static inline void rig_wake_queue(void *data, unsigned index, uint64_t at_ns)
{
	struct rig *rig = data;

	assert(index == RIG_CONTROL);
	rig->wakes++;
	rig->wake_at = at_ns;
}

static inline void rig_start_queues(struct rig *rig, uint64_t features)
{
	for (unsigned i = 0; i < 2; i++) {
		struct loopback_queue *queue = &rig->queues[i];
		const struct virtqueue_config config = {
			.size = queue->size,
			.features = features,
			.desc = loopback_address(&rig->memory, queue->desc),
			.avail = loopback_address(&rig->memory, queue->avail),
			.used = loopback_address(&rig->memory, queue->used),
		};

		loopback_queue_reset(queue);
		queue->indirect = features & UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;
		queue->event_idx = features & UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
		rig->virtqueues[i].call_fd = queue->call_fd;
		rig->virtqueues[i].error_fd = queue->error_fd;
		assert(virtqueue_start(&rig->virtqueues[i], &rig->guest.base, &config) == 0);
	}
}

static inline uint64_t rig_features(void)
{
	return UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
	       UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
}

/* A device that has negotiated everything it offers. @limits may be NULL: the defaults;
 * @renderer too: the fake one. */
static inline struct rig *rig_create_on(
    const struct gpu_limits *limits, struct renderer *renderer, bool has_3d, unsigned scanouts)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct gpu_options options = {
		.renderer = renderer ? renderer : &rig->renderer.base,
		.display = &rig->display.base,
		.scanouts = scanouts,
		.limits = limits ? *limits : GPU_LIMITS_DEFAULT,
	};
	uint64_t features;

	assert(loopback_memory_init(&rig->memory, RIG_MEMORY, 1) == 0);
	rig->guest.base.impl = &rig_memory_impl;
	rig->guest.renderer = &rig->renderer;
	assert(memory_mmap_create(&rig->guest.inner) == 0);
	assert(
	    memory_add_region(rig->guest.inner, &rig->memory.regions[0], dup(rig->memory.fd)) == 0);
	fake_renderer_init(&rig->renderer);
	rig->renderer.base.has_3d = has_3d;
	fake_display_init(&rig->display);
	assert(gpu_create(&options, &rig->device) == 0);
	for (unsigned i = 0; i < 2; i++) {
		assert(loopback_queue_init(&rig->queues[i], &rig->memory, i, RIG_QUEUE_SIZE) == 0);
		virtqueue_init(&rig->virtqueues[i], i);
	}
	rig->device->queues = rig->virtqueues;
	rig->device->memory = &rig->guest.base;
	rig->device->host = (struct virtio_host){
		.config_changed = rig_config_changed, .wake_queue = rig_wake_queue, .data = rig
	};
	features = rig->device->impl->get_features(rig->device) | rig_features();
	rig->device->impl->set_features(rig->device, features);
	rig_start_queues(rig, features);
	rig->command = loopback_alloc(&rig->memory, RIG_COMMAND_MAX);
	rig->response = loopback_alloc(&rig->memory, RIG_RESPONSE_MAX);
	return rig;
}

static inline struct rig *rig_create_with(
    const struct gpu_limits *limits, bool has_3d, unsigned scanouts)
{
	return rig_create_on(limits, NULL, has_3d, scanouts);
}

static inline struct rig *rig_create(void)
{
	return rig_create_with(NULL, true, RIG_SCANOUTS);
}

static inline void rig_stop_queues(struct rig *rig)
{
	for (unsigned i = 0; i < 2; i++) {
		rig->device->impl->drain_queue(rig->device, i);
		virtqueue_stop(&rig->virtqueues[i]);
	}
}

/* As a transport does it: drain, stop, reset. */
static inline void rig_reset(struct rig *rig)
{
	rig_stop_queues(rig);
	rig->device->impl->reset(rig->device);
	assert(rig->guest.maps == 0);
	assert(rig->renderer.resources.count == 0 && rig->renderer.contexts.count == 0);
}

static inline void rig_destroy(struct rig *rig)
{
	rig_reset(rig);
	rig->device->impl->destroy(rig->device);
	fake_renderer_finish(&rig->renderer);
	for (unsigned i = 0; i < 2; i++)
		loopback_queue_finish(&rig->queues[i]);
	memory_destroy(rig->guest.inner);
	loopback_memory_finish(&rig->memory);
	while (rig->requests) {
		struct rig_request *request = rig->requests;

		rig->requests = request->next;
		free(request);
	}
	free(rig);
}

static inline struct gpu_statistics rig_statistics(struct rig *rig)
{
	struct gpu_statistics statistics;

	gpu_get_statistics(rig->device, &statistics);
	return statistics;
}

/* ---------------------------------------------------------------- requests */

static inline void rig_kick(struct rig *rig, unsigned queue)
{
	while (rig->device->impl->process_queue(rig->device, queue))
		;
}

/* Takes what was answered. */
static inline void rig_poll(struct rig *rig)
{
	static unsigned order;

	for (unsigned i = 0; i < 2; i++) {
		uint16_t head;
		uint32_t written;
		void *data;

		while (loopback_queue_take(&rig->queues[i], &head, &written, &data)) {
			struct rig_request *request = data;

			if (!request)
				continue;
			request->done = true;
			request->written = written;
			request->order = ++order;
		}
	}
}

/* Puts a request of at most a page on a queue, without a kick. */
static inline struct rig_request *rig_begin(
    struct rig *rig, unsigned queue, const void *command, size_t size, size_t response_size)
{
	struct rig_request *request = calloc(1, sizeof(*request));
	struct memory_piece readable, writable;

	assert(size <= LOOPBACK_PAGE && response_size <= LOOPBACK_PAGE);
	request->next = rig->requests;
	rig->requests = request;
	request->command = loopback_alloc(&rig->memory, LOOPBACK_PAGE);
	request->response = loopback_alloc(&rig->memory, LOOPBACK_PAGE);
	memcpy(request->command, command, size);
	readable = loopback_piece(&rig->memory, request->command, (uint32_t)size);
	writable = loopback_piece(&rig->memory, request->response, (uint32_t)response_size);
	request->head = loopback_queue_add(
	    &rig->queues[queue], &readable, 1, &writable, response_size > 0, request);
	return request;
}

static inline struct rig_request *rig_send(
    struct rig *rig, unsigned queue, const void *command, size_t size)
{
	struct rig_request *request =
	    rig_begin(rig, queue, command, size, sizeof(struct virtio_gpu_ctrl_hdr));

	rig_kick(rig, queue);
	rig_poll(rig);
	return request;
}

/* The type of the answer, if it has come, or RIG_HELD. */
static inline uint32_t rig_type(struct rig *rig, const struct rig_request *request)
{
	const struct virtio_gpu_ctrl_hdr *hdr = (const void *)request->response;

	rig_poll(rig);
	return request->done ? hdr->type : RIG_HELD;
}

/* One request, answered at once. Its answer's bytes, by the used ring; the answer itself is at
 * rig->response, with 0xee behind. */
static inline uint32_t rig_exchange(
    struct rig *rig, unsigned queue, const void *command, size_t size, size_t response_size)
{
	struct rig_request request = { 0 };
	struct memory_piece readable, writable;

	assert(size <= RIG_COMMAND_MAX && response_size <= RIG_RESPONSE_MAX);
	memcpy(rig->command, command, size);
	memset(rig->response, 0xee, RIG_RESPONSE_MAX);
	readable = loopback_piece(&rig->memory, rig->command, (uint32_t)size);
	writable = loopback_piece(&rig->memory, rig->response, (uint32_t)response_size);
	loopback_queue_add(
	    &rig->queues[queue], &readable, size > 0, &writable, response_size > 0, &request);
	rig_kick(rig, queue);
	rig_poll(rig);
	if (!request.done) {
		fprintf(stderr, "type 0x%x was not answered\n",
		    ((const struct virtio_gpu_ctrl_hdr *)command)->type);
		abort();
	}
	assert(request.written <= response_size);
	for (size_t i = request.written; i < RIG_RESPONSE_MAX; i++)
		assert(rig->response[i] == 0xee);
	return request.written;
}

/* The type of the answer to a command whose answer is a mere header. */
static inline uint32_t rig_command_on(
    struct rig *rig, unsigned queue, const void *command, size_t size)
{
	uint32_t written =
	    rig_exchange(rig, queue, command, size, sizeof(struct virtio_gpu_ctrl_hdr));

	assert(written == sizeof(struct virtio_gpu_ctrl_hdr));
	return ((struct virtio_gpu_ctrl_hdr *)rig->response)->type;
}

#define rig_command(rig, command) rig_command_on(rig, RIG_CONTROL, &(command), sizeof(command))

/* ---------------------------------------------------------------- commands */

static inline uint32_t rig_create_2d(
    struct rig *rig, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
	struct virtio_gpu_resource_create_2d command = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
		.resource_id = id,
		.format = format,
		.width = width,
		.height = height,
	};

	return rig_command(rig, command);
}

static inline uint32_t rig_create_3d(struct rig *rig, uint32_t id, uint32_t width, uint32_t height)
{
	struct virtio_gpu_resource_create_3d command = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
		.resource_id = id,
		.target = 2,
		.format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
		.bind = 2,
		.width = width,
		.height = height,
		.depth = 1,
		.array_size = 1,
	};

	return rig_command(rig, command);
}

static inline uint32_t rig_unref(struct rig *rig, uint32_t id)
{
	struct virtio_gpu_resource_unref command = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF,
		.resource_id = id };

	return rig_command(rig, command);
}

/* @count entries of @length bytes each, from @pages on; the command says @nr_entries. */
static inline uint32_t rig_attach_entries(struct rig *rig, uint32_t id, uint32_t nr_entries,
    const void *pages, uint32_t length, size_t count)
{
	struct virtio_gpu_resource_attach_backing command = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		.resource_id = id,
		.nr_entries = nr_entries,
	};
	size_t size = sizeof(command) + count * sizeof(struct virtio_gpu_mem_entry);
	uint8_t *bytes = malloc(size);
	uint32_t type;

	memcpy(bytes, &command, sizeof(command));
	for (size_t i = 0; i < count; i++) {
		struct virtio_gpu_mem_entry entry = {
			.addr = loopback_address(&rig->memory, pages) + i * length, .length = length
		};

		memcpy(bytes + sizeof(command) + i * sizeof(entry), &entry, sizeof(entry));
	}
	type = rig_command_on(rig, RIG_CONTROL, bytes, size);
	free(bytes);
	return type;
}

static inline uint32_t rig_attach(struct rig *rig, uint32_t id, const void *pages, uint32_t length)
{
	return rig_attach_entries(rig, id, 1, pages, length, 1);
}

static inline uint32_t rig_detach(struct rig *rig, uint32_t id)
{
	struct virtio_gpu_resource_detach_backing command = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, .resource_id = id
	};

	return rig_command(rig, command);
}

static inline uint32_t rig_create_blob_of(struct rig *rig, uint32_t id, uint32_t blob_mem,
    uint64_t size, const void *pages, uint32_t length)
{
	struct {
		struct virtio_gpu_resource_create_blob command;
		struct virtio_gpu_mem_entry entry;
	} request = {
		.command = {
			.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
			.resource_id = id,
			.blob_mem = blob_mem,
			.blob_flags = VIRTIO_GPU_BLOB_FLAG_USE_SHAREABLE,
			.nr_entries = pages ? 1 : 0,
			.size = size,
		},
		.entry = { .addr = pages ? loopback_address(&rig->memory, pages) : 0, .length = length },
	};

	return rig_command(rig, request);
}

static inline uint32_t rig_create_blob(
    struct rig *rig, uint32_t id, uint64_t size, const void *pages, uint32_t length)
{
	return rig_create_blob_of(rig, id, VIRTIO_GPU_BLOB_MEM_GUEST, size, pages, length);
}

static inline uint32_t rig_transfer_2d(struct rig *rig, uint32_t id, uint32_t x, uint32_t y,
    uint32_t width, uint32_t height, uint64_t offset)
{
	struct virtio_gpu_transfer_to_host_2d command = {
		.hdr.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
		.r = { x, y, width, height },
		.offset = offset,
		.resource_id = id,
	};

	return rig_command(rig, command);
}

static inline uint32_t rig_set_scanout(struct rig *rig, uint32_t scanout, uint32_t id, uint32_t x,
    uint32_t y, uint32_t width, uint32_t height)
{
	struct virtio_gpu_set_scanout command = {
		.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT,
		.r = { x, y, width, height },
		.scanout_id = scanout,
		.resource_id = id,
	};

	return rig_command(rig, command);
}

static inline struct virtio_gpu_resource_flush rig_flush_command(
    uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	return (struct virtio_gpu_resource_flush){
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
		.r = { x, y, width, height },
		.resource_id = id,
	};
}

static inline uint32_t rig_flush(
    struct rig *rig, uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	struct virtio_gpu_resource_flush command = rig_flush_command(id, x, y, width, height);

	return rig_command(rig, command);
}

static inline uint32_t rig_ctx_create(struct rig *rig, uint32_t ctx_id, uint32_t context_init)
{
	struct virtio_gpu_ctx_create command = {
		.hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = ctx_id },
		.nlen = 4,
		.context_init = context_init,
		.debug_name = "test",
	};

	return rig_command(rig, command);
}

static inline uint32_t rig_ctx_destroy(struct rig *rig, uint32_t ctx_id)
{
	struct virtio_gpu_ctx_destroy command = { .hdr = { .type = VIRTIO_GPU_CMD_CTX_DESTROY,
						      .ctx_id = ctx_id } };

	return rig_command(rig, command);
}

/* A SUBMIT_3D of up to four words. */
struct rig_submit {
	struct virtio_gpu_cmd_submit command;
	uint32_t words[4];
};

static inline struct rig_submit rig_submit_command(uint32_t ctx_id, uint32_t size)
{
	return (struct rig_submit){
		.command = { .hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = ctx_id },
		    .size = size },
		.words = { 0x11111111, 0x22222222, 0x33333333, 0x44444444 },
	};
}

static inline uint32_t rig_submit(struct rig *rig, uint32_t ctx_id, uint32_t size)
{
	struct rig_submit command = rig_submit_command(ctx_id, size);

	return rig_command(rig, command);
}

/* Is the device still of use? The valid request that follows a refused one. */
static inline bool rig_works(struct rig *rig)
{
	const uint32_t id = 0xfffffffe;

	return rig_create_2d(rig, id, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, 16, 16) ==
		   VIRTIO_GPU_RESP_OK_NODATA &&
	       rig_unref(rig, id) == VIRTIO_GPU_RESP_OK_NODATA;
}

#endif
