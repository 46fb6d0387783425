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

#define GUEST_DEVICES_MAX 11 /* virtio-mmio devices that libxl has room for */
#define GUEST_NAME_BYTES 160 /* with the final zero */

struct device_state {
	uint8_t used;      /* the rest makes sense */
	uint8_t found;     /* a predecessor served it and left nothing: it needs a reset */
	uint8_t served;    /* its first worker has been ready: the registers mean something */
	uint8_t running;   /* DRIVER_OK has been passed on to the worker */
	uint64_t features; /* on offer to the driver, once served */
	struct discovery_device device; /* without the guest's name */
	struct mmio_state registers;
	struct frontend_state frontend;
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
