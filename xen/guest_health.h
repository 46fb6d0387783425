/* SPDX-License-Identifier: MIT */
/*
 * How a device's worker is: what it tells of itself (backend/telemetry.h), what is on its screen
 * (backend/screen.h). Both outlive the worker, and this process.
 */
#ifndef GPUDOM_XEN_GUEST_HEALTH_H
#define GPUDOM_XEN_GUEST_HEALTH_H

#include <stddef.h>
#include <stdint.h>

#include "backend/telemetry.h"
#include "xen/worker_process.h"

struct keep;

struct guest_health_options {
	const char *name;  /* of guest and device, for the log; not copied */
	struct keep *keep; /* not owned; has the descriptors for a successor */
	uint16_t domid;
	unsigned devid;
};

#define GUEST_HEALTH_DESCRIPTORS 2

struct guest_health {
	struct guest_health_options options;
	struct telemetry *page;      /* NULL: nobody knows */
	int telemetry_fd, screen_fd; /* -1: none */
	/* For its worker */
	struct worker_descriptor descriptors[GUEST_HEALTH_DESCRIPTORS];
};

void guest_health_init(struct guest_health *health, const struct guest_health_options *options);

/* Takes what a predecessor has left, or makes new ones. What cannot be had is logged, and missing:
 * a guest is served without. */
void guest_health_open(struct guest_health *health);

/* Closes all, and leaves it to a successor; or drops it. */
void guest_health_close(struct guest_health *health);
void guest_health_drop(struct guest_health *health);

/* What the worker did last: " while it executed SUBMIT_3D (context 3, request 1234)"; "" where
 * that is not known. */
void guest_health_describe(const struct guest_health *health, char *text, size_t size);

#endif
