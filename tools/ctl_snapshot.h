/* SPDX-License-Identifier: MIT */
/* What gpudomd says of all its guests at one moment ("status"), as numbers; and what happened
 * between two moments. */
#ifndef GPUDOM_TOOLS_CTL_SNAPSHOT_H
#define GPUDOM_TOOLS_CTL_SNAPSHOT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/telemetry.h"
#include "tools/ctl_client.h"

struct ctl_device {
	char guest[160]; /* empty: it has no name that gpudomd may know */
	unsigned domid, devid;
	char state[16];
	char trouble[512];    /* a sentence: what is wrong; empty: nothing */
	char last_death[256]; /* a sentence; empty: none yet */
	int pid;              /* of its worker; 0: none */
	uint64_t deaths, hangs, replacements, freezes;
	uint64_t reads, writes, kicks, interrupts; /* of registers; that gpudomd has passed on */
	uint64_t resident_bytes;                   /* of the worker's processes; 0: not known */
	char kind[16];          /* of an input device: "keyboard"; "": it is nothing */
	bool for_seat, at_seat; /* it would be, it is at the seat */
	struct telemetry telemetry;
	struct json_object *json; /* not owned */
};

struct ctl_snapshot {
	struct json_object *json;
	uint64_t now_ns, started_ns; /* CLOCK_MONOTONIC; of gpudomd */
	int pid;
	char version[32];
	size_t count;
	struct ctl_device *devices; /* GPUs, of one guest after the other */
	size_t input_count;
	struct ctl_device *inputs; /* input devices, likewise */
};

/* Takes @json over, also on failure. -EPROTO: it is not what gpudomd says; -ENOMEM. */
int ctl_snapshot_parse(struct ctl_snapshot *snapshot, struct json_object *json);

/* Asks gpudomd for all guests, or one (NULL: all), and the kernel for what their workers use. 0, or
 * the exit status: said why. */
int ctl_snapshot_take(struct ctl_snapshot *snapshot, struct ctl_client *client, const char *guest);

void ctl_snapshot_finish(struct ctl_snapshot *snapshot);

/* The device @device of another snapshot, or NULL. */
const struct ctl_device *ctl_snapshot_find(
    const struct ctl_snapshot *snapshot, const struct ctl_device *device);

/* "clock", "domain 7"; with "/1" where it is not the guest's first GPU. Fit for a terminal. */
void ctl_device_title(const struct ctl_device *device, char *title, size_t size);

/* "1280x720@60", "off"; several with commas. */
void ctl_device_outputs(const struct ctl_device *device, char *text, size_t size);

/* Does the guest use, or may it use, 3D? */
bool ctl_device_has_3d(const struct ctl_device *device);

/* A second's worth of what a device did between two snapshots. */
struct ctl_rates {
	bool known; /* false: there was no time between, and all is 0 */
	double frames, commands, bytes;
	double gpu, cpu; /* shares of one */
	uint64_t fences; /* in all that time */
	uint64_t fence_p50_ns, fence_p99_ns;
};

/* @before may be NULL. */
void ctl_device_rates(const struct ctl_device *before, const struct ctl_device *now,
    uint64_t elapsed_ns, struct ctl_rates *rates);

#endif
