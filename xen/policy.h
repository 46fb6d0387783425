/* SPDX-License-Identifier: MIT */
/*
 * What gpudomd itself does about a guest, in numbers: those settings of gpudom.conf(5) that are no
 * options of gpudom-worker.
 */
#ifndef GPUDOM_XEN_POLICY_H
#define GPUDOM_XEN_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/config.h"

#define POLICY_CRASHES_MAX 100 /* what crash-limit can count to */

/* Plain data: may be copied and kept. */
struct guest_policy {
	/* A guest whose worker ends so often within so long is blocked; 0: never. */
	uint32_t crash_limit;       /* 0 to POLICY_CRASHES_MAX */
	uint32_t crash_window_s;    /* not 0 */
	uint32_t hang_timeout_ms;   /* a command, or a fence, may take so long; 0: for ever */
	uint32_t flush_deadline_ms; /* the guest promises a flush so often; 0: it does not */
	uint32_t signal_lost_ms; /* after this the picture of a lost guest is replaced; 0: never */
	char signal_lost_image[CONFIG_VALUE_MAX]; /* a PNG file's absolute path; "": none */
	uint32_t cpu_weight;      /* 1 to 10000, as cpu.weight of cgroup v2; 0: not set */
	uint32_t cpu_max_percent; /* of one CPU; 0: no limit */
	uint64_t memory_max;      /* bytes; 0: no limit */
};
#define GUEST_POLICY_DEFAULT              \
	((struct guest_policy){           \
	    .crash_limit = 5,             \
	    .crash_window_s = 60,         \
	    .hang_timeout_ms = 30 * 1000, \
	})

/* @guest may be NULL (a guest without a name): the default section. */
void config_policy(const struct config *config, const char *guest, struct guest_policy *policy);

#endif
