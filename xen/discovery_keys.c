/* SPDX-License-Identifier: MIT */
/* What the toolstack has written about one device: believed when it is checked. */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "backend/log.h"
#include "xen/discovery_private.h"
#include "xen/discovery_text.h"
#include "xen/mmio.h"

#define IRQ_FIRST 32 /* shared peripheral interrupts of the GIC */
#define IRQ_END 1020

/* False: it is not served for now. Said once. */
static bool discovery_complain(struct known_device *known, const char *what, const char *cure)
{
	const struct discovery_device *device = &known->device;

	known->state = KNOWN_REFUSED;
	if (known->complaint != what)
		log_error("domain %u, virtio device %u: %s in xenstore (" ROOT "/%u/%u): %s",
		    device->domid, device->devid, what, device->domid, device->devid, cure);
	known->complaint = what;
	return false;
}

static bool discovery_wrong(struct known_device *known, const char *what)
{
	return discovery_complain(known, what, "not served");
}

/* A key is not there, perhaps not yet; the watch tells when it is. */
static bool discovery_missing(struct known_device *known, const char *what)
{
	return discovery_complain(known, what, "not served until there is one");
}

bool discovery_is_ours(struct discovery *discovery, struct known_device *known)
{
	static const char complaint[] = "of another type";
	struct discovery_device *device = &known->device;
	char *type = discovery_read(discovery, ROOT "/%u/%u/type", device->domid, device->devid);
	bool ours = parse_type(type, &device->virtio_id) &&
		    (device->virtio_id == VIRTIO_ID_GPU || device->virtio_id == VIRTIO_ID_INPUT);

	if (!type && errno == ENOENT)
		return discovery_missing(known, "no type");
	if (!ours && known->complaint != complaint) {
		log_info("domain %u, virtio device %u is of type '%.32s', neither virtio,device10 "
			 "(a GPU) nor virtio,device12 (input): left to others",
		    device->domid, device->devid, type ? type : "");
		known->complaint = complaint;
	}
	if (!ours)
		known->state = KNOWN_OTHERS;
	free(type);
	return ours;
}

/* How many of the guest's devices of the same type come before it. */
static unsigned discovery_rank(struct discovery *discovery, const struct discovery_device *device)
{
	char path[PATH_MAX_BYTES], **devices;
	unsigned count = 0, rank = 0;

	snprintf(path, sizeof(path), ROOT "/%u", device->domid);
	devices = xs_directory(discovery->xs, XBT_NULL, path, &count);
	if (!devices)
		discovery_check(discovery);
	for (unsigned i = 0; devices && i < count; i++) {
		uint32_t virtio_id;
		uint64_t devid;
		char *type;

		if (!parse_number(devices[i], UINT16_MAX, &devid) || devid >= device->devid)
			continue;
		type =
		    discovery_read(discovery, ROOT "/%u/%u/type", device->domid, (unsigned)devid);
		rank += parse_type(type, &virtio_id) && virtio_id == device->virtio_id;
		free(type);
	}
	free(devices);
	return rank;
}

bool discovery_parse(struct discovery *discovery, struct known_device *known)
{
	static const struct {
		const char *key, *missing;
	} needed[] = {
		{ "frontend-id", "no frontend-id" },
		{ "state", "no state" },
		{ "transport", "no transport" },
		{ "base", "no base" },
		{ "irq", "no irq" },
		{ "grant_usage", "no grant_usage" },
	};
	struct discovery_device *device = &known->device;
	uint64_t base, irq, grants, frontend;
	char *transport;
	bool ok;

	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		char *value = discovery_read(
		    discovery, ROOT "/%u/%u/%s", device->domid, device->devid, needed[i].key);

		if (!value && errno == ENOENT)
			return discovery_missing(known, needed[i].missing);
		free(value);
	}
	if (!discovery_read_number(discovery, device, "frontend-id", UINT16_MAX, &frontend) ||
	    frontend != device->domid)
		return discovery_wrong(known, "a frontend-id that is not the guest's");
	transport =
	    discovery_read(discovery, ROOT "/%u/%u/transport", device->domid, device->devid);
	ok = transport && !strcmp(transport, "mmio");
	free(transport);
	if (!ok)
		return discovery_wrong(known, "a transport that is not mmio");
	if (!discovery_read_number(discovery, device, "base", UINT64_MAX - MMIO_SIZE, &base) ||
	    base % 4)
		return discovery_wrong(known, "a base that makes no sense");
	if (!discovery_read_number(discovery, device, "irq", IRQ_END - 1, &irq) || irq < IRQ_FIRST)
		return discovery_wrong(known, "an irq that makes no sense");
	if (!discovery_read_number(discovery, device, "grant_usage", 1, &grants))
		return discovery_wrong(known, "a grant_usage that is neither 0 nor 1");
	device->base = base;
	device->irq = (uint32_t)irq;
	device->grants = grants;
	device->rank = discovery_rank(discovery, device);
	return true;
}
