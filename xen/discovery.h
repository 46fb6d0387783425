/* SPDX-License-Identifier: MIT */
/*
 * What the toolstack wants served: libxl's directories backend/virtio/<domid>/<devid> in
 * this domain's part of xenstore. We own each directory (the guest can read it, no more); its
 * parents belong to the toolstack.
 */
#ifndef GPUDOM_XEN_DISCOVERY_H
#define GPUDOM_XEN_DISCOVERY_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct discovery;

/* XenbusState of xen/io/xenbus.h, as far as it is used here */
enum discovery_state {
	DISCOVERY_INITIALISING = 1,
	DISCOVERY_INIT_WAIT = 2, /* being set up */
	DISCOVERY_CONNECTED = 4, /* the guest may run */
	DISCOVERY_CLOSING = 5,
	DISCOVERY_CLOSED = 6,
};

struct discovery_device {
	uint16_t domid;
	unsigned devid;
	uint32_t virtio_id;     /* VIRTIO_ID_GPU, VIRTIO_ID_INPUT */
	unsigned rank;          /* so many of the guest's of this type have a lower devid */
	uint64_t base;          /* guest-physical, of the registers */
	uint32_t irq;           /* as set_irq_level takes it */
	bool grants;            /* its driver grants its memory; else we map any of it */
	const char *guest_name; /* NULL where this domain may not read it */
};

struct discovery_listener {
	/* A device to serve. Everything in it has been checked, and only GPUs and input devices
	 * are reported. Negative: it could not be served (said why); it is reported again after a
	 * time, while it is there.
	 */
	int (*added)(void *data, const struct discovery_device *device);
	/* The toolstack takes it away, or the guest is gone: stop serving it, then
	 * discovery_close(). Called once for each device that was added. */
	void (*removing)(void *data, uint16_t domid, unsigned devid);
	/* The directories of closed devices are gone. */
	void (*closed)(void *data);
	/* Does the domain of a served device still exist, as far as can be told? */
	bool (*alive)(void *data, uint16_t domid);
	/* xenstore cannot be used any more (logged); devices are not reported as removed then. */
	void (*failed)(void *data, int error);
	void *data;
};

struct discovery_options {
	sd_event *event; /* not owned (a reference is taken) */
	/* A device is reported only once its guest's name can be read (there are settings by
	 * name, and the guest must not run with others). */
	bool need_names;
	struct discovery_listener listener;
};

/* Connects and watches; what is already there is reported from the event loop. Errors are logged
 * with their cure. */
int discovery_create(const struct discovery_options *options, struct discovery **discovery);
void discovery_destroy(struct discovery *discovery);

/* options.need_names, from now on. Devices that have waited for a name and need none are offered at
 * once. */
void discovery_set_need_names(struct discovery *discovery, bool need_names);

/* A device that is served already, by what a predecessor left: not reported as added. To be called
 * before the event loop runs. */
void discovery_expect(struct discovery *discovery, const struct discovery_device *device);

void discovery_set_state(
    struct discovery *discovery, uint16_t domid, unsigned devid, enum discovery_state state);

/* Writes the device's "error", a sentence for people and gpudomctl doctor; NULL removes it. */
void discovery_set_error(
    struct discovery *discovery, uint16_t domid, unsigned devid, const char *error);

/* State 6, then removal of the directory (a moment later): what libxl waits for. */
void discovery_close(struct discovery *discovery, uint16_t domid, unsigned devid);

/* Writes drivers/gpudom/status of this domain, for scripts in dom0 ("starting", "ready"); NULL
 * removes it. */
void discovery_publish(struct discovery *discovery, const char *status);

/* "GPU 0", "input 1", for the log. */
#define DISCOVERY_NAME_BYTES 24
void discovery_name_device(const struct discovery_device *device, char name[DISCOVERY_NAME_BYTES]);

#endif
