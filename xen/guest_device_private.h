/* SPDX-License-Identifier: MIT */
/* What the files of a guest's device share: guest_device.c (its worker, and its life) and
 * guest_device_registers.c (the guest's accesses, and what they ask of the worker). */
#ifndef GPUDOM_XEN_GUEST_DEVICE_PRIVATE_H
#define GPUDOM_XEN_GUEST_DEVICE_PRIVATE_H

#include "backend/log.h"
#include "xen/device_eventfds.h"
#include "xen/frontend.h"
#include "xen/guest_device.h"
#include "xen/guest_health.h"
#include "xen/guest_worker.h"
#include "xen/irq.h"
#include "xen/mmio.h"

#define GPU_QUEUES DEVICE_EVENTFDS_QUEUES /* control, cursor */
#define QUEUE_SIZE 1024 /* without indirect tables, each page of a long command takes an entry */
#define HELD_MAX 128    /* one access for each vCPU (ioreq.c) */

enum guest_device_state {
	DEVICE_STARTING, /* the first worker is on its way: accesses wait */
	DEVICE_SERVING,
	/* The worker has died under a guest that does not know; its successor, once it is gone,
	 * goes on where it was. Registers answer; what needs the worker waits. */
	DEVICE_REPLACING,
	DEVICE_LOST,       /* there is no worker, and the guest is told that it must reset */
	DEVICE_RESTARTING, /* a reset waits for a new worker, which begins with an empty device */
	DEVICE_ABSENT,     /* there never was one */
	DEVICE_STOPPING,
};

struct guest_device {
	struct guest_device_options options;
	struct device_state *kept; /* options.state */
	char *name;                /* for the log */
	enum guest_device_state state;
	bool claimed;

	struct log_limit limit; /* of lines that the guest can provoke */
	const char *complaint;  /* the one that stands in xenstore */
	struct mmio mmio;
	struct irq_line irq;
	struct guest_worker worker;
	struct guest_health health; /* of the worker */
	struct device_eventfds fds;
	sd_event_source *call, *error;
	uint64_t reads, writes; /* of registers */
	uint64_t calls_forwarded, replacements;

	int trace_fd;  /* of its worker's ring; -1: none */
	bool tracing;  /* into that */
	int log_level; /* of its worker, set at run time; -1: as it was started */

	int pending_vcpu;                   /* whose write ends with mmio_released(); -1: none */
	struct ioreq_access held[HELD_MAX]; /* waiting for the device, in order */
	unsigned held_count;
};

/* ---- guest_device.c ---- */

/* A new worker with an empty device, for a reset that is pending. False: it cannot be started. */
bool guest_device_restart(struct guest_device *device);

/* ---- guest_device_trace.c ---- */

/* A new worker serves it: says to that what was said to the last one. */
void guest_device_tell_again(struct guest_device *device);

/* ---- guest_device_registers.c ---- */

/* VIRTIO_F_*: without these, a worker cannot serve the guest, nor a driver use it. */
uint64_t guest_device_features_needed(const struct guest_device *device);

/* @id: VIRTIO_ID_*, or 0 for a device that is not there; @features: of the worker. */
void guest_device_init_mmio(struct guest_device *device, uint32_t id, uint64_t features);

/* The accesses that waited have another try, in their order. */
void guest_device_retry(struct guest_device *device);

/* What the pending write (mmio.h: MMIO_PENDING) asked for is done. */
void guest_device_released(void *device);

/* Tell the worker what the registers say: all that, or that one more queue is there. */
void guest_device_run(struct guest_device *device);
void guest_device_on_start_queue(void *device, unsigned index);

#endif
