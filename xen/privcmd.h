/* SPDX-License-Identifier: MIT */
/*
 * The calls of Linux' /dev/xen/privcmd that no library makes (include/uapi/xen/privcmd.h):
 * eventfds that Xen's events and interrupts are tied to in the kernel. The headers of Debian
 * 12 do not have them yet. Tests link tests/xen/fake_xen.c in its place.
 */
#ifndef GPUDOM_XEN_PRIVCMD_H
#define GPUDOM_XEN_PRIVCMD_H

#include <stdbool.h>
#include <stdint.h>

/* Opens it, for use with @domid alone where the kernel can restrict it; the descriptor or -errno.
 */
int privcmd_open(uint16_t domid);

/* Does the kernel refuse every hypercall through it (XSA-482)? */
bool privcmd_is_locked(void);

/* Each signal of eventfd @fd raises the guest's interrupt @irq (irqfd), or no longer does.
 * -EOPNOTSUPP or -ENOTTY where the kernel does not know how. */
int privcmd_set_irqfd(int privcmd, uint16_t domid, uint32_t irq, int fd, bool on);

/* Does the kernel know irqfd, ioeventfd? Asked with flags that it does not know, so nothing
 * happens: -EINVAL where it does, -ENOTTY and the like where not. */
int privcmd_probe_irqfd(int privcmd);
int privcmd_probe_ioeventfd(int privcmd);

struct privcmd_kick {
	const void *ioreq_page; /* as mapped */
	const uint32_t *ports;  /* local event channel ports of all vCPUs */
	uint32_t vcpus;
	uint64_t base; /* of the virtio-mmio device */
	uint32_t queue;
	int fd; /* an eventfd of its own */
};

/* Writes of the queue's index to the device's QueueNotify signal the eventfd (ioeventfd), or no
 * longer do. Errors as above. */
int privcmd_set_ioeventfd(int privcmd, uint16_t domid, const struct privcmd_kick *kick, bool on);

#endif
