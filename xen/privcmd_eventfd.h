/* SPDX-License-Identifier: MIT */
/*
 * Calls of Linux' include/uapi/xen/privcmd.h: the two of 6.7 and 6.8 are in no installed
 * header of Debian 12, and RESTRICT in none that can be included beside Xen's own.
 */
#ifndef GPUDOM_XEN_PRIVCMD_EVENTFD_H
#define GPUDOM_XEN_PRIVCMD_EVENTFD_H

#include <stdint.h>
#include <sys/ioctl.h>

#define PRIVCMD_EVENTFD_DEASSIGN (1u << 0)

struct privcmd_irqfd_call {
	uint64_t dm_op; /* address of a struct xen_dm_op that is issued for each signal */
	uint32_t size;  /* of it */
	uint32_t fd;
	uint32_t flags;
	uint16_t domid;
	uint8_t padding[2];
};

struct privcmd_ioeventfd_call {
	uint64_t ioreq; /* address of the mapped ioreq page */
	uint64_t ports; /* address of the local event channel ports, uint32_t, of all vCPUs */
	uint64_t base;  /* of the device: the kernel adds the offset of QueueNotify */
	uint32_t length;
	uint32_t fd;
	uint32_t vcpus;
	uint32_t queue;
	uint32_t flags;
	uint16_t domid;
	uint8_t padding[2];
};

_Static_assert(sizeof(struct privcmd_irqfd_call) == 24, "kernel's interface");
_Static_assert(sizeof(struct privcmd_ioeventfd_call) == 48, "kernel's interface");

#define PRIVCMD_CALL_RESTRICT _IOC(_IOC_NONE, 'P', 6, sizeof(uint16_t)) /* to a domid */
#define PRIVCMD_CALL_IRQFD _IOW('P', 8, struct privcmd_irqfd_call)
#define PRIVCMD_CALL_IOEVENTFD _IOW('P', 9, struct privcmd_ioeventfd_call)

#endif
