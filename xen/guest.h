/* SPDX-License-Identifier: MIT */
/* One guest: its IOREQ server and its devices. */
#ifndef GPUDOM_XEN_GUEST_H
#define GPUDOM_XEN_GUEST_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "xen/discovery.h"

#define GUEST_DEVICES_MAX 11 /* virtio-mmio devices that libxl has room for */

struct guest;

struct guest_options {
	uint16_t domid;
	const char *name; /* of the guest; NULL: it has none that we may know */
	sd_event *event;
	const char *worker_path; /* not copied */
	bool ioeventfd;

	/* The device is ready: its guest may run. */
	void (*serving)(void *data, uint16_t domid, unsigned devid);
	/* The device is gone, after guest_remove_device(). Where it was the last one, the callee
	 * may destroy the guest. */
	void (*removed)(void *data, uint16_t domid, unsigned devid);
	void *data;
};

/* Creates the guest's IOREQ server. Errors are logged with their cure. */
int guest_create(const struct guest_options *options, struct guest **guest);

/* Stops what is left. Accepts NULL. */
void guest_destroy(struct guest *guest);

/* @worker_arguments are taken over, also on failure. -ENOSPC beyond GUEST_DEVICES_MAX. */
int guest_add_device(
    struct guest *guest, const struct discovery_device *device, char **worker_arguments);
void guest_remove_device(struct guest *guest, unsigned devid);

/* Devices that serve it now. */
unsigned guest_served(const struct guest *guest);

bool guest_is_empty(const struct guest *guest);
uint16_t guest_domid(const struct guest *guest);

/* "guest NAME", or "domain N" */
const char *guest_title(const struct guest *guest);

/* False: its domain is dead. */
bool guest_is_alive(struct guest *guest);

#endif
