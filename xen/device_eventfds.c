/* SPDX-License-Identifier: MIT */
#include "xen/device_eventfds.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/log.h"

#define COUNT (2 + DEVICE_EVENTFDS_QUEUES)

/* Each of them in turn, and its name in the store. */
static int *device_eventfds_nth(struct device_eventfds *fds, unsigned n, char name[8])
{
	if (n < 2) {
		snprintf(name, 8, "%s", n ? "error" : "call");
		return n ? &fds->error : &fds->call;
	}
	snprintf(name, 8, "kick%u", (n - 2) % DEVICE_EVENTFDS_QUEUES);
	return &fds->kicks[n - 2];
}

void device_eventfds_init(struct device_eventfds *fds)
{
	char name[8];

	for (unsigned n = 0; n < COUNT; n++)
		*device_eventfds_nth(fds, n, name) = -1;
}

static bool device_eventfds_take(
    struct device_eventfds *fds, struct keep *keep, const struct discovery_device *device)
{
	bool complete = true;
	char name[8];

	for (unsigned n = 0; n < COUNT; n++) {
		int *fd = device_eventfds_nth(fds, n, name);

		*fd = keep_take(keep, "%u-%u-%s", device->domid, device->devid, name);
		complete &= *fd >= 0;
	}
	if (!complete)
		device_eventfds_drop(fds, keep, device);
	return complete;
}

int device_eventfds_open(struct device_eventfds *fds, struct keep *keep,
    const struct discovery_device *device, bool *new)
{
	char name[8];

	*new = !device_eventfds_take(fds, keep, device);
	for (unsigned n = 0; *new &&n < COUNT; n++) {
		int *fd = device_eventfds_nth(fds, n, name);

		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fd < 0)
			return -errno;
		keep_push(keep, *fd, "%u-%u-%s", device->domid, device->devid, name);
	}
	return 0;
}

void device_eventfds_drop(
    struct device_eventfds *fds, struct keep *keep, const struct discovery_device *device)
{
	char name[8];

	for (unsigned n = 0; n < COUNT; n++) {
		device_eventfds_nth(fds, n, name);
		keep_drop(keep, "%u-%u-%s", device->domid, device->devid, name);
	}
	device_eventfds_close(fds);
}

void device_eventfds_close(struct device_eventfds *fds)
{
	char name[8];

	for (unsigned n = 0; n < COUNT; n++) {
		int *fd = device_eventfds_nth(fds, n, name);

		if (*fd >= 0)
			close(*fd);
		*fd = -1;
	}
}

void device_eventfds_bind_kicks(
    struct device_eventfds *fds, struct ioreq_server *server, uint64_t base, const char *name)
{
	for (unsigned i = 0; i < DEVICE_EVENTFDS_QUEUES; i++) {
		int error = ioreq_bind_kick(server, base, i, fds->kicks[i]);

		if (error)
			log_info("%s: kicks of queue %u are forwarded by gpudomd (no ioeventfd: "
				 "%s)",
			    name, i, strerror(-error));
		fds->kicks_bound[i] = !error;
	}
}

void device_eventfds_unbind_kicks(
    struct device_eventfds *fds, struct ioreq_server *server, uint64_t base)
{
	for (unsigned i = 0; i < DEVICE_EVENTFDS_QUEUES; i++) {
		if (fds->kicks_bound[i])
			ioreq_unbind_kick(server, base, i, fds->kicks[i]);
		fds->kicks_bound[i] = false;
	}
}
