/* SPDX-License-Identifier: MIT */
/*
 * A recording of what happens when (backend/trace.h): gpudomd writes one ring for all devices, and
 * the worker of each device that takes part one of its own (guest_device_trace.c). The rings stay
 * readable when the recording is over, until the next one begins.
 */
#ifndef GPUDOM_XEN_TRACING_H
#define GPUDOM_XEN_TRACING_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/trace.h"

#define TRACING_SECONDS_MAX 3600

struct tracing {
	sd_event *event; /* not owned */
	void (*stopped)(void *data);
	void *data;

	struct trace ring; /* gpudomd's own */
	int fd;            /* of that ring; -1: there was no recording */
	bool on;
	bool all;                 /* of devices that appear meanwhile, too */
	uint64_t from_ns, to_ns;  /* CLOCK_MONOTONIC; to_ns: when it is over */
	sd_event_source *timeout; /* NULL: it goes on until it is stopped */
};

/* @stopped is called when its time is over. */
void tracing_init(
    struct tracing *tracing, sd_event *event, void (*stopped)(void *data), void *data);
void tracing_finish(struct tracing *tracing);

/* A new recording, with an empty ring; @seconds 0: until tracing_stop(). It must be off. -errno. */
int tracing_start(struct tracing *tracing, unsigned seconds);

/* No-op where it is off. */
void tracing_stop(struct tracing *tracing);

/* It is off; what was recorded takes no more memory. */
void tracing_forget(struct tracing *tracing);

#endif
