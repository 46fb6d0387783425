/* SPDX-License-Identifier: MIT */
/*
 * How a device's worker is, and its guest: what the worker tells of itself (backend/telemetry.h),
 * what is on its screen (backend/screen.h), how often it has died, whether it still does something,
 * whether the guest still draws. The two files outlive the worker, and this process.
 *
 * A timer looks at the telemetry, which is shared memory: nobody is woken up or asked.
 */
#ifndef GPUDOM_XEN_GUEST_HEALTH_H
#define GPUDOM_XEN_GUEST_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/log.h"
#include "backend/telemetry.h"
#include "xen/guest_signal.h"
#include "xen/guest_state.h"
#include "xen/policy.h"
#include "xen/worker_process.h"

struct keep;

struct guest_health_options {
	const char *name;        /* of guest and device, for the log; not copied */
	struct log_limit *limit; /* of lines that the guest can provoke; not owned */
	sd_event *event;
	struct keep *keep; /* not owned; has the descriptors for a successor */
	uint16_t domid;
	unsigned devid;
	struct health_state *state; /* what a successor goes on with; not owned */
	bool gpu;                   /* it has a screen, and tells of itself */
	/* The worker has not got any further for the policy's time; a sentence's end that says
	 * so. It should be killed. From the event loop. */
	void (*hung)(void *data, const char *what);
	/* struct guest_signal_options */
	int (*picture_size)(void *data, unsigned output, uint32_t *width, uint32_t *height);
	int (*show_picture)(
	    void *data, unsigned output, uint32_t width, uint32_t height, const uint32_t *pixels);
	void *data;
};

#define GUEST_HEALTH_DESCRIPTORS 2

/* What a worker that gets on changes. */
struct guest_health_progress {
	uint64_t event, command, fence;
};

struct guest_health {
	struct guest_health_options options;
	struct guest_policy policy;
	struct telemetry *page;      /* NULL: nobody knows */
	int telemetry_fd, screen_fd; /* -1: none */
	/* For its worker */
	struct worker_descriptor descriptors[GUEST_HEALTH_DESCRIPTORS];

	bool serving;                      /* a worker is there, and ready */
	sd_event_source *timer;            /* on while serving, if there is something to see */
	uint64_t period_ms;                /* of the timer */
	uint64_t looked_ns;                /* when it last fired; 0: not yet */
	struct guest_health_progress seen; /* then, ... */
	uint64_t same_command, same_fence; /* ... and so many times before that */
	struct guest_signal signal;
};

void guest_health_init(struct guest_health *health, const struct guest_health_options *options);

/* Takes what a predecessor has left, or makes new ones. What cannot be had is logged, and missing:
 * a guest is served without. */
void guest_health_open(struct guest_health *health);

/* Closes all, and leaves it to a successor; or drops it. */
void guest_health_close(struct guest_health *health);
void guest_health_drop(struct guest_health *health);

/* Copied; may change at any time. */
void guest_health_set_policy(struct guest_health *health, const struct guest_policy *policy);

/* A worker serves from now on; or none does. */
void guest_health_set_serving(struct guest_health *health, bool serving);

/* What the worker did last: " while it executed SUBMIT_3D (context 3, request 1234)"; "" where
 * that is not known. */
void guest_health_describe(const struct guest_health *health, char *text, size_t size);

/* A worker has died, @how (worker_process_end()), at @now (CLOCK_MONOTONIC, microseconds). True:
 * once too often, by the policy. */
bool guest_health_died(struct guest_health *health, const char *how, uint64_t now);

/* What has been counted is held against nobody any more. */
void guest_health_forgive(struct guest_health *health);

#endif
