/* SPDX-License-Identifier: MIT */
/* Between discovery.c (which devices there are, and what becomes of them) and discovery_keys.c
 * (what is written about one). */
#ifndef GPUDOM_XEN_DISCOVERY_PRIVATE_H
#define GPUDOM_XEN_DISCOVERY_PRIVATE_H

#include "backend/log.h"
#include "xen/discovery.h"

#define ROOT "backend/virtio"
#define PATH_MAX_BYTES 128

enum known_state {
	KNOWN_WAITING, /* for its guest's name */
	KNOWN_SERVED,
	KNOWN_REMOVING,
	KNOWN_CLOSED,  /* state 6; the directory goes next */
	KNOWN_REFUSED, /* its keys are wrong or not complete; looked at again when they change */
	KNOWN_FAILED,  /* it could not be served; tried again after a time */
	KNOWN_OTHERS,  /* no business of ours */
};

struct known_device {
	struct known_device *next;
	struct discovery_device device;
	enum known_state state;
	const char *complaint; /* what was said last of its keys, to say it once */
	bool seen;             /* in the scan under way */
	bool needs_name;       /* its guest's name is watched */
};

struct discovery {
	struct discovery_options options;
	struct xs_handle *xs;
	sd_event_source *io, *scan, *sweep, *retry;
	uint64_t retry_usec;
	int error; /* xenstore cannot be used any more */
	struct known_device *devices;
	unsigned count;
	struct log_limit limit;
};

/* ---- discovery.c ---- */

/*
 * What a call's errno means. That something is not there, or not for us, is an answer (0). All
 * else says nothing about the devices, and above all not that they are gone: the connection is
 * lost, or xenstored in trouble. gpudomd ends then, to be started anew with all that it serves.
 */
int discovery_check(struct discovery *discovery);

/* A value, without NUL inside, to be freed; NULL where there is none (ENOENT), or where it makes no
 * sense (EINVAL). */
char *discovery_read(struct discovery *discovery, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A device's key that is a whole number up to @max. */
bool discovery_read_number(struct discovery *discovery, const struct discovery_device *device,
    const char *key, uint64_t max, uint64_t *number);

/* ---- discovery_keys.c ---- */

/* Whether it is ours to serve. */
bool discovery_is_ours(struct discovery *discovery, struct known_device *known);

/* Checks and fills in what the toolstack has written. False: it can't be served; said why. */
bool discovery_parse(struct discovery *discovery, struct known_device *known);

#endif
