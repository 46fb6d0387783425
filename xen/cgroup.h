/* SPDX-License-Identifier: MIT */
/*
 * A control group (cgroup v2) for each worker, below the one that this process was given
 * (systemd's Delegate=):
 *
 *   gpudomd.service/                    its controllers are handed on; so nobody may be in it
 *   gpudomd.service/gpudomd             this process
 *   gpudomd.service/guest-DOMID-DEVID   a worker
 *
 * Where there is nothing of the kind, workers are served without, and cpu-weight, cpu-max and
 * memory-max have no effect. A group outlives the worker in it, and this process; an empty one is
 * removed by the way.
 */
#ifndef GPUDOM_XEN_CGROUP_H
#define GPUDOM_XEN_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "xen/policy.h"

struct cgroup_options {
	const char *mount; /* of the hierarchy; NULL: /sys/fs/cgroup */
	const char *self;  /* NULL: /proc/self/cgroup */
};

struct cgroup;

/* Moves this process out of the way and hands its controllers on. -errno: there will be no groups
 * (said why, in one line). */
int cgroup_open(const struct cgroup_options *options, struct cgroup **cgroup);

/* Takes the controllers back, so that a process may be started in the group itself, as systemd does
 * with the next gpudomd; the limits of running workers pause until that one is there. */
void cgroup_release(const struct cgroup_options *options);

/* All that follow accept NULL, and do nothing then. */
void cgroup_close(struct cgroup *cgroup); /* the groups stay */

/* Makes a worker's group, if it is not there, and gives it what @policy says. Errors are logged. */
void cgroup_set(
    struct cgroup *cgroup, uint16_t domid, unsigned devid, const struct guest_policy *policy);

/* Its cgroup.procs, to which a process writes "0" to be in the group: the caller's to close. -1:
 * there is none (said why). */
int cgroup_open_procs(struct cgroup *cgroup, uint16_t domid, unsigned devid);

/* Has a process of the group been killed for memory-max since the last call? *@seen is 0 in the
 * beginning. */
bool cgroup_was_oom_killed(
    const struct cgroup *cgroup, uint16_t domid, unsigned devid, uint64_t *seen);

/* Removes all groups that nobody is in. */
void cgroup_sweep(struct cgroup *cgroup);

#endif
