/* SPDX-License-Identifier: MIT */
#include "xen/device_eventfds.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

int device_eventfds_open(
    struct device_eventfds *fds, struct keep *keep, const struct discovery_device *device)
{
	char name[8];

	for (unsigned n = 0; n < COUNT; n++) {
		int *fd = device_eventfds_nth(fds, n, name);

		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fd < 0)
			return -errno;
		keep_push(keep, *fd, "%u-%u-%s", device->domid, device->devid, name);
	}
	return 0;
}

bool device_eventfds_take(
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
