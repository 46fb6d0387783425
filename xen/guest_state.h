/* SPDX-License-Identifier: MIT */
/*
 * All that a successor of this gpudomd must know of a guest to go on with it under its feet: plain
 * data in a file without a name (memfd_create(2)), mapped shared and changed in place. It is never
 * handed to a worker or a guest: what it says is what a gpudomd of the same build has written.
 */
#ifndef GPUDOM_XEN_GUEST_STATE_H
#define GPUDOM_XEN_GUEST_STATE_H

#include <stdint.h>

#include "xen/discovery.h"
#include "xen/frontend.h"
#include "xen/ioreq.h"
#include "xen/mmio.h"
#include "xen/policy.h"

#define GUEST_DEVICES_MAX 11 /* virtio-mmio devices that libxl has room for */
#define GUEST_NAME_BYTES 160 /* with the final zero */

/* Why no worker is started for it */
enum guest_block { GUEST_NOT_BLOCKED, GUEST_BLOCKED_CRASHES, GUEST_BLOCKED_OPERATOR };

#define HEALTH_END_BYTES 320

/* guest_health.h */
struct health_state {
	uint8_t blocked;  /* enum guest_block */
	uint64_t deaths;  /* of workers, but for those that were asked for */
	uint64_t hangs;   /* of these: they did nothing any more, and were killed */
	uint64_t freezes; /* of outputs: no flush when one was due */
	uint64_t replacements;
	uint64_t forgiven;                     /* deaths that do not count any more */
	uint64_t death_at[POLICY_CRASHES_MAX]; /* CLOCK_MONOTONIC, microseconds; a ring */
	char last_end[HEALTH_END_BYTES];       /* of the last one that died, for people */
};

struct device_state {
	uint8_t used;      /* the rest makes sense */
	uint8_t found;     /* a predecessor served it and left nothing: it needs a reset */
	uint8_t served;    /* its first worker has been ready: the registers mean something */
	uint8_t running;   /* DRIVER_OK has been passed on to the worker */
	uint64_t features; /* on offer to the driver, once served */
	uint64_t settings; /* of the worker: guest_device_options.settings */
	uint8_t at_seat;   /* its worker shows at the seat, if there is one; a GPU's */
	uint8_t input;     /* what its worker is: enum seat_input_kind; an input device's */
	uint64_t seat;     /* seat_link_instance() of the seat that its worker has a socket to */
	struct discovery_device device; /* without the guest's name */
	struct mmio_state registers;
	struct frontend_state frontend;
	struct health_state health;
};

struct guest_state {
	uint32_t magic, version, size;
	uint16_t domid;
	char name[GUEST_NAME_BYTES]; /* empty: it has none that we may know */
	struct ioreq_state ioreq;
	struct device_state devices[GUEST_DEVICES_MAX];
};

/* A new one; *@fd is the file, the caller's. @name may be NULL. */
int guest_state_create(uint16_t domid, const char *name, struct guest_state **state, int *fd);

/* The one in @fd (still the caller's). -ESTALE: another build of gpudomd has written it, or it is
 * of another guest. */
int guest_state_adopt(int fd, uint16_t domid, struct guest_state **state);

/* The file is not changed. Accepts NULL. */
void guest_state_unmap(struct guest_state *state);

/* What was stored before it stays before what is stored after it, also for the compiler: this
 * process can be killed between the two. */
static inline void guest_state_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif
