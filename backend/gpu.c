/* SPDX-License-Identifier: MIT */
#include "backend/gpu.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu_internal.h"
#include "backend/gpu_ledger.h"

static uint64_t gpu_get_features(struct virtio_device *device)
{
	struct gpu *gpu = gpu_from_device(device);
	uint64_t features =
	    GPU_FEATURE(EDID) | GPU_FEATURE(RESOURCE_UUID) | GPU_FEATURE(RESOURCE_BLOB);

	if (gpu->renderer->has_3d)
		features |= GPU_FEATURE(VIRGL) | GPU_FEATURE(CONTEXT_INIT);
	return features;
}

static void gpu_set_features(struct virtio_device *device, uint64_t features)
{
	/* A front end that sets what was not offered must not reach what is not there */
	gpu_from_device(device)->features = features & gpu_get_features(device);
}

static void gpu_read_config(struct virtio_device *device, uint32_t offset, void *to, uint32_t size)
{
	struct gpu *gpu = gpu_from_device(device);
	const struct virtio_gpu_config config = {
		.events_read = gpu->events_read,
		.num_scanouts = gpu->scanout_count,
		.num_capsets = gpu->capset_count,
	};

	memset(to, 0, size);
	if (offset < sizeof(config))
		memcpy(to, (const char *)&config + offset,
		    size < sizeof(config) - offset ? size : sizeof(config) - offset);
}

/* "Writing a '1' into a bit [of events_clear] will clear the corresponding bit in events_read,
 * mimicking write-to-clear behavior." */
static void gpu_write_config(
    struct virtio_device *device, uint32_t offset, const void *from, uint32_t size)
{
	struct gpu *gpu = gpu_from_device(device);
	const uint8_t *bytes = from;

	for (uint32_t i = 0; i < size && offset < sizeof(struct virtio_gpu_config); i++, offset++) {
		uint32_t byte = offset - offsetof(struct virtio_gpu_config, events_clear);

		if (byte < sizeof(uint32_t))
			gpu->events_read &= ~((uint32_t)bytes[i] << (8 * byte));
	}
}

static void gpu_drain_queue(struct virtio_device *device, unsigned index)
{
	struct gpu *gpu = gpu_from_device(device);

	if (index == GPU_QUEUE_CONTROL)
		gpu_flow_end(gpu);
	gpu_batch_begin(gpu);
	gpu_display_info_drain(gpu, index);
	gpu_request_drain(gpu, index);
	gpu_batch_end(gpu);
}

static void gpu_reset(struct virtio_device *device)
{
	struct gpu *gpu = gpu_from_device(device);

	gpu_flow_end(gpu);
	gpu_batch_begin(gpu);
	gpu_display_info_reset(gpu);
	gpu_scanout_reset(gpu);
	for (unsigned i = 0; i < GPU_QUEUES; i++)
		gpu_request_drain(gpu, i);
	gpu->renderer->impl->reset(gpu->renderer);
	gpu_context_reset(gpu);
	gpu_resource_reset(gpu);
	/* Of the fences that the renderer has forgotten nobody waits */
	gpu_timeline_forget(gpu, &gpu->timeline);
	gpu_flow_reset(gpu);
	gpu->events_read = 0;
	gpu_ledger_clear(gpu);
	gpu_batch_end(gpu);
}

static void gpu_destroy(struct virtio_device *device)
{
	struct gpu *gpu = gpu_from_device(device);

	gpu_ledger_set(device, NULL);
	gpu_reset(device);
	memset(&gpu->renderer->listener, 0, sizeof(gpu->renderer->listener));
	memset(&gpu->display->listener, 0, sizeof(gpu->display->listener));
	gpu_request_finish(gpu);
	gpu_telemetry_finish(gpu);
	id_table_finish(&gpu->contexts);
	id_table_finish(&gpu->resources);
	free(gpu->response);
	free(gpu->scratch);
	free(gpu);
}

void gpu_get_statistics(struct virtio_device *device, struct gpu_statistics *statistics)
{
	struct gpu *gpu = gpu_from_device(device);

	*statistics = gpu->statistics;
	statistics->resources = gpu->resources.count;
	statistics->contexts = gpu->contexts.count;
}

static const struct virtio_device_impl gpu_impl = {
	.device_id = VIRTIO_ID_GPU,
	.queue_count = GPU_QUEUES,
	.destroy = gpu_destroy,
	.get_features = gpu_get_features,
	.set_features = gpu_set_features,
	.read_config = gpu_read_config,
	.write_config = gpu_write_config,
	.process_queue = gpu_queue_process,
	.drain_queue = gpu_drain_queue,
	.reset = gpu_reset,
	.ledger_size = GPU_LEDGER_SIZE,
	.set_ledger = gpu_ledger_set,
	.recover = gpu_ledger_recover,
};

int gpu_create(const struct gpu_options *options, struct virtio_device **device)
{
	struct gpu *gpu;

	if (!options->renderer || !options->display || options->scanouts < 1 ||
	    options->scanouts > DISPLAY_SCANOUTS_MAX)
		return -EINVAL;
	gpu = calloc(1, sizeof(*gpu));
	if (!gpu)
		return -ENOMEM;
	gpu->base.impl = &gpu_impl;
	gpu->renderer = options->renderer;
	gpu->display = options->display;
	gpu->scanout_count = options->scanouts;
	gpu->edid = options->edid;
	gpu->udmabuf = options->udmabuf;
	gpu_set_limits(&gpu->base, &options->limits);
	gpu->guest = options->guest ? options->guest : "";
	TAILQ_INIT(&gpu->requests);
	TAILQ_INIT(&gpu->flushes);
	TAILQ_INIT(&gpu->unused);
	TAILQ_INIT(&gpu->parked);
	gpu_timeline_init(
	    &gpu->timeline, &(struct renderer_timeline){ .global = true }, &gpu->work);
	gpu_display_info_reset(gpu);
	gpu_capsets_init(gpu);

	gpu->response_capacity = sizeof(struct virtio_gpu_resp_edid);
	for (uint32_t i = 0; i < gpu->capset_count; i++) {
		size_t size = sizeof(struct virtio_gpu_resp_capset) + gpu->capsets[i].max_size;

		if (size > gpu->response_capacity)
			gpu->response_capacity = size;
	}
	gpu->response = malloc(gpu->response_capacity);
	if (!gpu->response || gpu_telemetry_init(gpu, options->telemetry) < 0) {
		free(gpu->response);
		free(gpu);
		return -ENOMEM;
	}

	gpu->renderer->listener =
	    (struct renderer_listener){ .fence_retired = gpu_fence_retired, .data = gpu };
	gpu->display->listener = (struct display_listener){
		.shown = gpu_flush_shown, .modes_changed = gpu_modes_changed, .data = gpu
	};
	*device = &gpu->base;
	return 0;
}
