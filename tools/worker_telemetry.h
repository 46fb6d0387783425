/* SPDX-License-Identifier: MIT */
/* The worker's telemetry (backend/telemetry.h): where it writes, and what its event loop adds. */
#ifndef GPUDOM_TOOLS_WORKER_TELEMETRY_H
#define GPUDOM_TOOLS_WORKER_TELEMETRY_H

#include <systemd/sd-event.h>

#include "backend/display.h"
#include "backend/telemetry.h"
#include "backend/virtio_device.h"

struct worker_telemetry {
	struct telemetry *page;
	struct telemetry own; /* where nobody else wants to know */
	/* What there was before us, and of connections that are over. */
	struct telemetry_counters before;
	uint64_t cpu_read_ns; /* when that was read last */
};

/* @fd: --telemetry-fd, or -1. One that is of no use is a line in the log, and no error. */
void worker_telemetry_init(struct worker_telemetry *telemetry, int fd);
void worker_telemetry_finish(struct worker_telemetry *telemetry);

/* sd_event_loop(), and says when it works and what it has counted. */
int worker_telemetry_loop(
    struct worker_telemetry *telemetry, sd_event *event, const struct virtio_device *device);

/* A connection ends, and with it what its memory has counted. */
void worker_telemetry_disconnected(
    struct worker_telemetry *telemetry, const struct virtio_device *device);

#endif
