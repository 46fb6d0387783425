/* SPDX-License-Identifier: MIT */
#include "xen/privcmd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xen/xen.h>

/* After xen.h, whose types they use. */
#include <xen/hvm/dm_op.h>
#include <xen/sys/privcmd.h>
#include <xen/version.h>

#define DEASSIGN (1u << 0)

struct irqfd_call {
	uint64_t dm_op; /* address of a struct xen_dm_op that is issued for each signal */
	uint32_t size;  /* of it */
	uint32_t fd;
	uint32_t flags;
	uint16_t domid;
	uint8_t padding[2];
};

struct ioeventfd_call {
	uint64_t ioreq; /* address of the mapped ioreq page */
	uint64_t ports; /* address of the ports */
	uint64_t base;  /* the kernel adds the offset of QueueNotify */
	uint32_t length;
	uint32_t fd;
	uint32_t vcpus;
	uint32_t queue;
	uint32_t flags;
	uint16_t domid;
	uint8_t padding[2];
};

_Static_assert(sizeof(struct irqfd_call) == 24, "kernel's interface");
_Static_assert(sizeof(struct ioeventfd_call) == 48, "kernel's interface");

#define CALL_IRQFD _IOW('P', 8, struct irqfd_call)
#define CALL_IOEVENTFD _IOW('P', 9, struct ioeventfd_call)

int privcmd_open(uint16_t domid)
{
	int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* Where it cannot be restricted, gpudomd's own care must do. */
	ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &domid);
	return fd;
}

/* The kernel answers every hypercall of a locked privcmd with EPERM, also this harmless one. */
bool privcmd_is_locked(void)
{
	privcmd_hypercall_t version = { .op = __HYPERVISOR_xen_version, .arg = { XENVER_version } };
	int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	bool locked;

	if (fd < 0)
		return false;
	locked = ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &version) < 0 && errno == EPERM;
	close(fd);
	return locked;
}

int privcmd_set_irqfd(int privcmd, uint16_t domid, uint32_t irq, int fd, bool on)
{
	struct xen_dm_op op = { .op = XEN_DMOP_set_irq_level };
	struct irqfd_call call = {
		.dm_op = (uintptr_t)&op,
		.size = sizeof(op),
		.fd = (uint32_t)fd,
		.flags = on ? 0 : DEASSIGN,
		.domid = domid,
	};

	op.u.set_irq_level.irq = irq;
	op.u.set_irq_level.level = 1;
	return ioctl(privcmd, CALL_IRQFD, &call) < 0 ? -errno : 0;
}

int privcmd_set_ioeventfd(int privcmd, uint16_t domid, const struct privcmd_kick *kick, bool on)
{
	struct ioeventfd_call call = {
		.ioreq = (uintptr_t)kick->ioreq_page,
		.ports = (uintptr_t)kick->ports,
		.base = kick->base,
		.length = 4,
		.fd = (uint32_t)kick->fd,
		.vcpus = kick->vcpus,
		.queue = kick->queue,
		.flags = on ? 0 : DEASSIGN,
		.domid = domid,
	};

	return ioctl(privcmd, CALL_IOEVENTFD, &call) < 0 ? -errno : 0;
}

int privcmd_probe_irqfd(int privcmd)
{
	struct irqfd_call call;

	memset(&call, 0xff, sizeof(call));
	return ioctl(privcmd, CALL_IRQFD, &call) < 0 ? -errno : 0;
}

int privcmd_probe_ioeventfd(int privcmd)
{
	struct ioeventfd_call call;

	memset(&call, 0xff, sizeof(call));
	return ioctl(privcmd, CALL_IOEVENTFD, &call) < 0 ? -errno : 0;
}
