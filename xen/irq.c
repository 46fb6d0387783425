/* SPDX-License-Identifier: MIT */
#include "xen/irq.h"

#include <errno.h>
#include <string.h>

#include "xen/privcmd.h"

void irq_init(struct irq_line *line, struct ioreq_server *server, const char *name, uint32_t irq)
{
	*line = (struct irq_line){ .server = server, .name = name, .irq = irq, .call_fd = -1 };
}

void irq_set_trace(struct irq_line *line, struct trace *trace, uint64_t device)
{
	line->trace = trace;
	line->trace_device = device;
}

int irq_route(struct irq_line *line, int fd)
{
	int error = privcmd_set_irqfd(
	    ioreq_privcmd(line->server), ioreq_domid(line->server), line->irq, fd, true);

	/* The kernel's list does not end with the process that made an entry. */
	if (error && error != -EBUSY)
		return error;
	line->call_fd = fd;
	return 0;
}

void irq_finish(struct irq_line *line)
{
	if (line->call_fd >= 0)
		privcmd_set_irqfd(ioreq_privcmd(line->server), ioreq_domid(line->server), line->irq,
		    line->call_fd, false);
	line->call_fd = -1;
}

void irq_set(struct irq_line *line, bool level)
{
	uint64_t begin = trace_begin(line->trace);

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
	trace_end(line->trace, begin, .type = TRACE_IRQ, .arg = level, .value = line->trace_device);
	line->high = level;
	if (level)
		line->raised++;
	else
		line->lowered++;
}
