/* SPDX-License-Identifier: MIT */
/* One guest: its IOREQ server and its devices. */
#ifndef GPUDOM_XEN_GUEST_H
#define GPUDOM_XEN_GUEST_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "xen/discovery.h"
#include "xen/guest_state.h"

struct cgroup;
struct config;
struct guest;
struct guest_device;
struct keep;
struct seat_link;

struct guest_options {
	uint16_t domid;
	const char *name; /* of the guest; NULL: it has none that we may know */
	sd_event *event;
	const struct config *config; /* not owned */
	struct keep *keep;           /* not owned */
	struct cgroup *cgroup;       /* not owned; NULL: workers have no groups */
	const char *worker_path;     /* not copied */
	struct seat_link *seat;      /* not owned; NULL: there will be none */
	bool ioeventfd;
	struct trace *trace; /* gpudomd's ring; not owned */

	/* The device is ready: its guest may run. */
	void (*serving)(void *data, const struct discovery_device *device);
	/* What the guest gets wrong, a static sentence; NULL: no longer. */
	void (*complain)(void *data, uint16_t domid, unsigned devid, const char *what);
	/* The device is gone, after guest_remove_device(). Where it was the last one, the callee
	 * may destroy the guest. Of one that could not be added, only the ids are known. */
	void (*removed)(void *data, const struct discovery_device *device);
	void *data;
};

/* Creates the guest's IOREQ server; or, where a gpudomd that has ended without leaving us anything
 * claimed @base, takes over its server: that guest's devices need a reset. Errors are logged with
 * their cure. */
int guest_create(const struct guest_options *options, uint64_t base, struct guest **guest);

/*
 * Goes on with a guest of a predecessor, from what that left in options.keep (name is not needed).
 * Its devices are those of guest_next_device(); serving() follows for each. -ENOENT: nothing was
 * left that helps, or the guest is gone.
 */
int guest_adopt(const struct guest_options *options, struct guest **guest);

/* Stops what is left. Accepts NULL. */
void guest_destroy(struct guest *guest);

/* Frees it, and leaves everything to a successor as if this process had been killed. Accepts NULL.
 */
void guest_let_go(struct guest *guest);

/*
 * *options.config has changed, and was @before. What the guest has other settings for now: names of
 * those that hold at once, and of those that hold when it next resets its device (both of @size
 * bytes). False: nothing.
 */
bool guest_reconfigure(
    struct guest *guest, const struct config *before, char *at_once, char *at_reset, size_t size);

/* -ENOSPC beyond GUEST_DEVICES_MAX. */
int guest_add_device(struct guest *guest, const struct discovery_device *device);
void guest_remove_device(struct guest *guest, unsigned devid);

/* The first device at or after *@position, which is moved past it; NULL at the end. */
const struct discovery_device *guest_next_device(const struct guest *guest, unsigned *position);

/* The same with what serves it: any device, or GPUs alone. */
struct guest_device *guest_next(const struct guest *guest, unsigned *position);
struct guest_device *guest_next_gpu(const struct guest *guest, unsigned *position);

/* Devices that serve it now. */
unsigned guest_served(const struct guest *guest);

/* There is a seat now, perhaps another one. */
void guest_seat_came(struct guest *guest);
/* A seat has gone, and perhaps did not take the socket of this device. */
void guest_seat_unsure(struct guest *guest, unsigned devid);

/* A line of counters for each device. */
void guest_log_statistics(const struct guest *guest);

bool guest_is_empty(const struct guest *guest);
uint16_t guest_domid(const struct guest *guest);

/* Empty: it has none that we may know. */
const char *guest_name(const struct guest *guest);

/* Under which the seat knows it. */
const char *guest_seat_name(const struct guest *guest);

/* "guest NAME", or "domain N" */
const char *guest_title(const struct guest *guest);

/* False: its domain is dead. */
bool guest_is_alive(struct guest *guest);

#endif
