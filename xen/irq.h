/* SPDX-License-Identifier: MIT */
/* A device's interrupt line, and the way of a worker's "call" eventfd to it. */
#ifndef GPUDOM_XEN_IRQ_H
#define GPUDOM_XEN_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/log.h"
#include "backend/trace.h"
#include "xen/ioreq.h"

struct irq_line {
	struct ioreq_server *server; /* not owned */
	const char *name;            /* of guest and device; not owned */
	uint32_t irq;                /* SPI as the guest's device tree counts: 32 and more */
	bool high;
	int call_fd;              /* routed by the kernel; -1: none */
	uint64_t raised, lowered; /* by us, that is */
	struct log_limit limit;
	struct trace *trace; /* not owned; NULL: none */
	uint64_t trace_device;
};

void irq_init(struct irq_line *line, struct ioreq_server *server, const char *name, uint32_t irq);

/* Each rise and fall is an event there, of @device (trace_device()). */
void irq_set_trace(struct irq_line *line, struct trace *trace, uint64_t device);

/* Lets the kernel raise the line at each signal of @fd (privcmd's irqfd); lowering it stays with
 * irq_set(). -EOPNOTSUPP or -ENOTTY where the kernel does not know how. */
int irq_route(struct irq_line *line, int fd);

/* Ends the routing. */
void irq_finish(struct irq_line *line);

void irq_set(struct irq_line *line, bool level);

#endif
