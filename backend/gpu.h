/* SPDX-License-Identifier: MIT */
/*
 * The virtio-gpu device (virtio 1.2, 5.7, and Linux' uapi header): parses and checks
 * commands, keeps resources, contexts, scan-outs and fences, and drives a renderer
 * and a display. It knows neither GL nor Xen.
 */
#ifndef GPUDOM_BACKEND_GPU_H
#define GPUDOM_BACKEND_GPU_H

#include <stdint.h>

#include "backend/display.h"
#include "backend/renderer.h"
#include "backend/telemetry.h"
#include "backend/virtio_device.h"

/* What one guest may have at once; the request that would exceed one is answered
 * with ERR_OUT_OF_MEMORY. */
struct gpu_limits {
	uint32_t resources;
	uint32_t contexts;
	uint32_t fences;        /* requests that wait for one */
	uint64_t host_bytes;    /* of resources, estimated from their size and format */
	uint64_t backing_bytes; /* guest pages that stay mapped, each a whole one */
	uint32_t command_bytes; /* of one request */
};
#define GPU_LIMITS_DEFAULT                      \
	((struct gpu_limits){                   \
	    .resources = 65536,                 \
	    .contexts = 256,                    \
	    .fences = 4096,                     \
	    .host_bytes = UINT64_C(4) << 30,    \
	    .backing_bytes = UINT64_C(1) << 30, \
	    .command_bytes = 4u << 20,          \
	})

struct gpu_options {
	struct renderer *renderer; /* not owned, outlives the device */
	struct display *display;   /* likewise */
	unsigned scanouts;         /* 1 to 16 */
	struct gpu_limits limits;
	struct telemetry *telemetry; /* to write to; not owned. NULL: its own */
	const char *guest;           /* its name, for probes; not copied. NULL: none */
};

struct gpu_statistics {
	uint64_t commands, errors, frames /* flushes shown */, fences;
	uint64_t batches;                                        /* in which the commands came */
	uint64_t resources, contexts, host_bytes, backing_bytes; /* at present */
	uint64_t fences_pending;
};

/* The device takes over renderer->listener and display->listener. -ENOMEM, -EINVAL. */
int gpu_create(const struct gpu_options *options, struct virtio_device **device);

void gpu_get_statistics(struct virtio_device *device, struct gpu_statistics *statistics);

#endif
