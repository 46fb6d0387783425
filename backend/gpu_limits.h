/* SPDX-License-Identifier: MIT */
/* What one guest may have of its GPU: quotas, and caps that slow it down. */
#ifndef GPUDOM_BACKEND_GPU_LIMITS_H
#define GPUDOM_BACKEND_GPU_LIMITS_H

#include <stdint.h>

/*
 * What it may have at once, where the request that would exceed one is answered with
 * ERR_OUT_OF_MEMORY; and caps (0: none), where requests wait in the control queue until there is
 * room again (gpu_throttle.h).
 */
struct gpu_limits {
	uint32_t resources;
	uint32_t contexts;
	uint32_t attachments; /* of resources to contexts */
	uint32_t fences;      /* requests that wait for one */
	uint32_t maps;        /* resources with a backing: each may take one of vm.max_map_count */
	uint64_t host_bytes;  /* of resources, estimated from their size and format */
	uint64_t backing_bytes; /* guest pages that stay mapped, each a whole one */
	uint32_t command_bytes; /* of one request */

	uint32_t submissions; /* cap: command streams that the GPU has not finished */
	uint32_t frame_rate;  /* cap: flushes of each output in a second */
	uint32_t gpu_time;    /* cap: percent of the time with a fence pending */
};
#define GPU_LIMITS_DEFAULT                      \
	((struct gpu_limits){                   \
	    .resources = 65536,                 \
	    .contexts = 256,                    \
	    .attachments = 131072,              \
	    .fences = 4096,                     \
	    .maps = 32768,                      \
	    .host_bytes = UINT64_C(4) << 30,    \
	    .backing_bytes = UINT64_C(1) << 30, \
	    .command_bytes = 4u << 20,          \
	    .submissions = 1024,                \
	})

/*
 * Sets the limit that is called @name ("limit-resources") to what @value says: a number; a size,
 * with K, M or G behind it; "off" for a cap; percent, perhaps with %. -ENOENT: there is no such
 * limit. -EINVAL, and *@expected is what it may be, for people.
 */
int gpu_limits_set(
    struct gpu_limits *limits, const char *name, const char *value, const char **expected);

#endif
