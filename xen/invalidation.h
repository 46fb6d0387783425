/* SPDX-License-Identifier: MIT */
/*
 * "The guest has given pages back" (IOREQ_TYPE_INVALIDATE), on its way to a worker that reaches
 * the guest's memory by foreign maps. The vCPU that did it waits until the worker has let go.
 */
#ifndef GPUDOM_XEN_INVALIDATION_H
#define GPUDOM_XEN_INVALIDATION_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/frontend.h"

/* Those that a worker has not answered yet, oldest first. Zeroed: none. */
struct invalidations {
	struct invalidation *first;
};

/* Tells the worker behind @frontend. True: done() follows, from the event loop or from
 * invalidations_end(). False: it cannot be told (logged), and there is nothing to wait for. @name:
 * of the guest, for the log. */
bool invalidations_begin(struct invalidations *invalidations, struct frontend *frontend,
    uint16_t domid, const char *name, frontend_done done, void *data);

/* The worker is gone, or to be killed: all are done. */
void invalidations_end(struct invalidations *invalidations);

#endif
