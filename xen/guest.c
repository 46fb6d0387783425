/* SPDX-License-Identifier: MIT */
#include "xen/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/log.h"
#include "xen/config.h"
#include "xen/guest_device.h"
#include "xen/ioreq.h"
#include "xen/mmio.h"

struct guest {
	struct guest_options options;
	char *title;
	const char *worker_name; /* for the worker's log */
	struct ioreq_server *server;
	struct guest_device *devices[GUEST_DEVICES_MAX];
	struct log_limit limit;
};

uint16_t guest_domid(const struct guest *guest)
{
	return guest->options.domid;
}

const char *guest_title(const struct guest *guest)
{
	return guest->title;
}

bool guest_is_empty(const struct guest *guest)
{
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->devices[i])
			return false;
	return true;
}

unsigned guest_served(const struct guest *guest)
{
	unsigned served = 0;

	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		served += guest->devices[i] && guest_device_serves(guest->devices[i]);
	return served;
}

bool guest_is_alive(struct guest *guest)
{
	return ioreq_is_alive(guest->server);
}

static bool guest_access(void *data, struct ioreq_access *access)
{
	struct guest *guest = data;

	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++) {
		struct guest_device *device = guest->devices[i];
		uint64_t base;

		if (!device)
			continue;
		base = guest_device_description(device)->base;
		if (access->address >= base && access->address - base < MMIO_SIZE)
			return guest_device_access(device, access);
	}
	log_guest(&guest->limit, "%s: access to %#llx, where no device is", guest->title,
	    (unsigned long long)access->address);
	access->value = UINT64_MAX;
	return true;
}

/* A request of a vCPU that waits for some devices. */
struct guest_invalidation {
	struct guest *guest;
	unsigned vcpu, waiting;
};

static void guest_invalidated(void *data)
{
	struct guest_invalidation *invalidation = data;

	if (--invalidation->waiting)
		return;
	ioreq_complete(invalidation->guest->server, invalidation->vcpu, 0);
	free(invalidation);
}

static bool guest_invalidate(void *data, unsigned vcpu)
{
	struct guest *guest = data;
	struct guest_invalidation *invalidation = calloc(1, sizeof(*invalidation));

	if (!invalidation)
		return true;
	invalidation->guest = guest;
	invalidation->vcpu = vcpu;
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->devices[i] &&
		    guest_device_invalidate(guest->devices[i], guest_invalidated, invalidation))
			invalidation->waiting++;
	if (invalidation->waiting)
		return false;
	free(invalidation);
	return true;
}

static void guest_device_is_serving(void *data, struct guest_device *device)
{
	struct guest *guest = data;

	guest->options.serving(
	    guest->options.data, guest->options.domid, guest_device_description(device)->devid);
}

static void guest_device_has_stopped(void *data, struct guest_device *device)
{
	struct guest *guest = data;
	unsigned devid = guest_device_description(device)->devid;

	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->devices[i] == device)
			guest->devices[i] = NULL;
	guest_device_destroy(device);
	guest->options.removed(guest->options.data, guest->options.domid, devid);
}

/* Slot of a device whose registers would not overlap another's; -1 without. */
static int guest_find_slot(const struct guest *guest, uint64_t base)
{
	int slot = -1;

	for (int i = GUEST_DEVICES_MAX - 1; i >= 0; i--) {
		const struct discovery_device *other;

		if (!guest->devices[i]) {
			slot = i;
			continue;
		}
		other = guest_device_description(guest->devices[i]);
		if (base < other->base + MMIO_SIZE && other->base < base + MMIO_SIZE)
			return -1;
	}
	return slot;
}

int guest_add_device(
    struct guest *guest, const struct discovery_device *device, char **worker_arguments)
{
	const struct guest_device_options options = {
		.device = device,
		.title = guest->title,
		.worker_name = guest->worker_name,
		.event = guest->options.event,
		.server = guest->server,
		.worker_path = guest->options.worker_path,
		.worker_arguments = worker_arguments,
		.ioeventfd = guest->options.ioeventfd,
		.serving = guest_device_is_serving,
		.stopped = guest_device_has_stopped,
		.data = guest,
	};
	int slot = guest_find_slot(guest, device->base);

	if (slot < 0) {
		log_error("%s: device %u overlaps another one, or there are more than %d",
		    guest->title, device->devid, GUEST_DEVICES_MAX);
		config_arguments_free(worker_arguments);
		return -ENOSPC;
	}
	return guest_device_create(&options, &guest->devices[slot]);
}

void guest_remove_device(struct guest *guest, unsigned devid)
{
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++) {
		struct guest_device *device = guest->devices[i];

		if (device && guest_device_description(device)->devid == devid) {
			guest_device_stop(device);
			return;
		}
	}
	/* It could not be added. */
	guest->options.removed(guest->options.data, guest->options.domid, devid);
}

int guest_create(const struct guest_options *options, struct guest **out)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	struct ioreq_options ioreq = {
		.domid = options->domid,
		.event = options->event,
		.access = guest_access,
		.invalidate = guest_invalidate,
		.data = guest,
	};
	int error = -ENOMEM;

	if (!guest)
		return -ENOMEM;
	guest->options = *options;
	guest->options.name = NULL;
	if (options->name ? asprintf(&guest->title, "guest %s", options->name) < 0
			  : asprintf(&guest->title, "domain %u", options->domid) < 0) {
		guest->title = NULL;
		goto error;
	}
	guest->worker_name = options->name ? guest->title + strlen("guest ") : guest->title;
	ioreq.name = guest->title;
	error = ioreq_create(&ioreq, &guest->server);
	if (error)
		goto error;
	*out = guest;
	return 0;

error:
	free(guest->title);
	free(guest);
	return error;
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		guest_device_destroy(guest->devices[i]);
	ioreq_destroy(guest->server);
	free(guest->title);
	free(guest);
}
