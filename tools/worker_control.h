/* SPDX-License-Identifier: MIT */
/* The worker's end of --control-fd: what gpudomd tells it while it runs (xen/worker_message.h). */
#ifndef GPUDOM_TOOLS_WORKER_CONTROL_H
#define GPUDOM_TOOLS_WORKER_CONTROL_H

#include <systemd/sd-event.h>

#include "backend/gpu.h"
#include "backend/trace.h"

struct worker_control_options {
	sd_event *event;     /* not owned */
	struct trace *trace; /* not owned */
	/* WORKER_SET_SEAT: takes the socket over. NULL: closed. */
	void (*set_seat)(void *data, int fd);
	void (*set_limits)(void *data, const struct gpu_limits *limits);
	void *data;
};

struct worker_control {
	struct worker_control_options options;
	sd_event_source *source;
};

/* Takes @fd over; -1: nobody controls us. -errno where it cannot be waited for. */
int worker_control_init(
    struct worker_control *control, const struct worker_control_options *options, int fd);
void worker_control_finish(struct worker_control *control);

#endif
