/* SPDX-License-Identifier: MIT */
/* What the files of a guest's device share: guest_device.c (its worker, and its life),
 * guest_device_registers.c (the guest's accesses, and what they ask of the worker) and
 * guest_device_control.c (what people ask). */
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

#define DEVICE_QUEUES DEVICE_EVENTFDS_QUEUES /* control, cursor; events, status */
#define QUEUE_SIZE 1024 /* without indirect tables, each page of a long command takes an entry */
#define INPUT_QUEUE_SIZE 64
#define HELD_MAX 128 /* one access for each vCPU (ioreq.c) */

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
	struct guest_health health;  /* of the worker */
	char hang[HEALTH_END_BYTES]; /* why it was killed; "": it was not */
	bool asked;                  /* its end was asked for */
	unsigned starts;             /* of a first worker */
	struct device_eventfds fds;
	sd_event_source *call, *error;
	uint64_t reads, writes; /* of registers */
	uint64_t calls_forwarded;

	char **next_arguments; /* for the worker after the next reset; NULL: the same ones */
	enum seat_input_kind next_input;
	char option[32]; /* of the worker, "--device=keyboard" */
	bool renew;      /* the next reset starts a new worker */
	bool unfit;      /* the one that should replace another lacks features */
	bool resumable;  /* blocked, and nothing else is wrong with it */

	int trace_fd;             /* of its worker's ring; -1: none */
	bool tracing;             /* into that */
	enum log_level log_level; /* of its worker, and of the next one */

	int pending_vcpu;                   /* whose write ends with mmio_released(); -1: none */
	struct ioreq_access held[HELD_MAX]; /* waiting for the device, in order */
	unsigned held_count;
};

/* ---- guest_device.c ---- */

/* A new worker with an empty device, for a reset that is pending. False: it cannot be started. */
bool guest_device_restart(struct guest_device *device);

/* After a block: a new worker goes on where the last one ended, if the guest has not reset the
 * device since. False: the next reset starts one. */
bool guest_device_resume(struct guest_device *device);

/* The same with settings that have changed, where a worker serves it. */
void guest_device_renew_worker(struct guest_device *device);

/* ---- guest_device_settings.c ---- */

/* A worker is about to be started for a driver that has reset the device, or that has not seen it.
 */
void guest_device_use_arguments(struct guest_device *device);
/* What an input device is, from its next worker on. */
void guest_device_choose_kind(struct guest_device *device, enum seat_input_kind kind);
void guest_device_finish_settings(struct guest_device *device);

/* ---- guest_device_seat.c ---- */

/* A worker is about to be started: says where it shows. */
void guest_device_choose_display(struct guest_device *device);
/* Would one that is started now show elsewhere than the one that is there? */
bool guest_device_display_changed(const struct guest_device *device);
/* A worker serves: gets it a socket to the seat, if that is there, and it has none of before. */
void guest_device_join_seat(struct guest_device *device);
/* struct guest_signal_options */
int guest_device_picture_size(void *device, unsigned output, uint32_t *width, uint32_t *height);
int guest_device_show_picture(
    void *device, unsigned output, uint32_t width, uint32_t height, const uint32_t *pixels);

/* ---- guest_device_trace.c ---- */

/* A new worker serves it: says to that what was said to the last one. */
void guest_device_tell_again(struct guest_device *device);
/* The worker is killed, and that is held against nobody. */
void guest_device_kill_worker(struct guest_device *device);

/* ---- guest_device_registers.c ---- */

/* VIRTIO_F_*: without these, a worker cannot serve the guest, nor a driver use it. */
uint64_t guest_device_features_needed(const struct guest_device *device);

/* Without these, a worker cannot take the place of another: what the driver may have taken. */
uint64_t guest_device_features_promised(const struct guest_device *device);
/* Offers the features of a worker that begins anew, to a driver that has to negotiate them anew. */
void guest_device_offer(struct guest_device *device, uint64_t features);

/* @id: VIRTIO_ID_*, or 0 for a device that is not there; @features: of the worker. */
void guest_device_init_mmio(struct guest_device *device, uint32_t id, uint64_t features);

/* What stands in xenstore about the guest (guest_device_options.complain). */
void guest_device_complain(void *device, const char *what);

/* The accesses that waited have another try, in their order. */
void guest_device_retry(struct guest_device *device);

/* What the pending write (mmio.h: MMIO_PENDING) asked for is done. */
void guest_device_released(void *device);

/* Tell the worker what the registers say: all that, or that one more queue is there. */
void guest_device_run(struct guest_device *device);
void guest_device_on_start_queue(void *device, unsigned index);

#endif
