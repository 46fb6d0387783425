/* SPDX-License-Identifier: MIT */
#include "xen/irq.h"

#include <errno.h>
#include <string.h>
#include <xen/hvm/dm_op.h>

#include "xen/privcmd_eventfd.h"

void irq_init(struct irq_line *line, struct ioreq_server *server, const char *name, uint32_t irq)
{
	*line = (struct irq_line){ .server = server, .name = name, .irq = irq, .call_fd = -1 };
}

static int irq_call(struct irq_line *line, int fd, uint32_t flags)
{
	struct xen_dm_op op = { .op = XEN_DMOP_set_irq_level };
	struct privcmd_irqfd_call call = {
		.dm_op = (uintptr_t)&op,
		.size = sizeof(op),
		.fd = (uint32_t)fd,
		.flags = flags,
		.domid = ioreq_domid(line->server),
	};

	op.u.set_irq_level.irq = line->irq;
	op.u.set_irq_level.level = 1;
	return ioctl(ioreq_privcmd(line->server), PRIVCMD_CALL_IRQFD, &call) < 0 ? -errno : 0;
}

int irq_route(struct irq_line *line, int fd)
{
	int error = irq_call(line, fd, 0);

	if (!error)
		line->call_fd = fd;
	return error;
}

void irq_finish(struct irq_line *line)
{
	if (line->call_fd >= 0)
		irq_call(line, line->call_fd, PRIVCMD_EVENTFD_DEASSIGN);
	line->call_fd = -1;
}

void irq_set(struct irq_line *line, bool level)
{
	/* Each rise counts (the line is an edge, and Xen queues it). Of a fall only the first one
	 * does, but with irqfd we do not know which that is. */
	if (!level && !line->high && line->call_fd < 0)
		return;
	if (xendevicemodel_set_irq_level(
		ioreq_devicemodel(line->server), ioreq_domid(line->server), line->irq, level) < 0) {
		log_guest(&line->limit, "%s: cannot set interrupt %u: %s", line->name, line->irq,
		    strerror(errno));
		return;
	}
	line->high = level;
}
