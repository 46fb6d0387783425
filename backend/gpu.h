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
#include "backend/edid.h"
#include "backend/gpu_limits.h"
#include "backend/renderer.h"
#include "backend/telemetry.h"
#include "backend/virtio_device.h"

struct gpu_options {
	struct renderer *renderer; /* not owned, outlives the device */
	struct display *display;   /* likewise */
	unsigned scanouts;         /* 1 to 16 */
	struct gpu_limits limits;
	struct edid_identity edid;   /* of its monitors */
	struct telemetry *telemetry; /* to write to; not owned. NULL: its own */
	struct udmabuf *udmabuf;     /* to export memory to displays; not owned. NULL: it is not */
	const char *guest;           /* its name, for probes; not copied. NULL: none */
};

struct gpu_statistics {
	uint64_t commands, errors, frames /* flushes shown */, fences;
	uint64_t batches;                                        /* in which the commands came */
	uint64_t resources, contexts, host_bytes, backing_bytes; /* at present */
	uint64_t attachments, maps;
	uint64_t throttled_ns; /* for which requests waited for a cap */
	uint64_t fences_pending;
};

/* The device takes over renderer->listener and display->listener. -ENOMEM, -EINVAL. */
int gpu_create(const struct gpu_options *options, struct virtio_device **device);

/* Holds from the next request on; what the guest has beyond a quota it keeps. */
void gpu_set_limits(struct virtio_device *device, const struct gpu_limits *limits);

void gpu_get_statistics(struct virtio_device *device, struct gpu_statistics *statistics);

#endif
