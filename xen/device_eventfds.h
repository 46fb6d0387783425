/* SPDX-License-Identifier: MIT */
/* The eventfds between one device's worker, its guest and us: the worker's call and error, the
 * guest's kicks. They are kept for a successor of this process, since the worker goes on with them.
 */
#ifndef GPUDOM_XEN_DEVICE_EVENTFDS_H
#define GPUDOM_XEN_DEVICE_EVENTFDS_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/discovery.h"
#include "xen/ioreq.h"
#include "xen/keep.h"

#define DEVICE_EVENTFDS_QUEUES 2

struct device_eventfds {
	int call, error, kicks[DEVICE_EVENTFDS_QUEUES];
	bool kicks_bound[DEVICE_EVENTFDS_QUEUES]; /* the kernel signals it */
};

/* All closed (-1). */
void device_eventfds_init(struct device_eventfds *fds);

/* Those that a predecessor has left in @keep; where one is missing all are *@new, and pushed to
 * @keep. -errno. */
int device_eventfds_open(struct device_eventfds *fds, struct keep *keep,
    const struct discovery_device *device, bool *new);

/* For good; device_eventfds_close() leaves them to a successor. */
void device_eventfds_drop(
    struct device_eventfds *fds, struct keep *keep, const struct discovery_device *device);
void device_eventfds_close(struct device_eventfds *fds);

/* Lets the kernel take the kicks of the device at @base where it knows how; unbind before the
 * server goes. @name: of guest and device, for the log. */
void device_eventfds_bind_kicks(
    struct device_eventfds *fds, struct ioreq_server *server, uint64_t base, const char *name);
void device_eventfds_unbind_kicks(
    struct device_eventfds *fds, struct ioreq_server *server, uint64_t base);

#endif
