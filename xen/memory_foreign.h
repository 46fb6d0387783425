/* SPDX-License-Identifier: MIT */
/*
 * Guest memory by foreign maps (grant_usage=0): bus addresses are guest-physical ones, and any page
 * of the guest's RAM can be reached. The front end describes it with one region
 * (MEMORY_XEN_FOREIGN, with or without MEMORY_XEN_NO_ADVANCE_MAP: pages are mapped when they are
 * needed) whose descriptor is a /dev/xen/privcmd restricted to the guest (foreign_open()):
 * memory_foreign_region() makes it.
 *
 * What is copied (requests, answers) goes through a cache of mapped chunks, bounded in size: a
 * guest uses the same pages for its requests again and again. When the guest gives pages back, Xen
 * says so, and the front end replaces the region by the same one anew: that empties the cache. Maps
 * (rings, backing) stay: they hold references to their pages, which the guest cannot lose.
 */
#ifndef GPUDOM_XEN_MEMORY_FOREIGN_H
#define GPUDOM_XEN_MEMORY_FOREIGN_H

#include "backend/memory.h"

/* Physical addresses have 52 bits at most, on Arm as on x86; so a frame number has 40. */
#define MEMORY_FOREIGN_SIZE (UINT64_C(1) << 52)

/* The cache: 64 KiB each, 8 MiB in all. Linux takes requests and answers from a few slabs, so small
 * chunks in many places serve it better than large ones in few. */
#define MEMORY_FOREIGN_CHUNK_PAGES 16
#define MEMORY_FOREIGN_CHUNKS 128

/* -ENOMEM. */
int memory_foreign_create(struct guest_memory **memory);

/* The region that makes all RAM of @domid reachable. */
static inline struct memory_region memory_foreign_region(uint32_t domid)
{
	return (struct memory_region){
		.size = MEMORY_FOREIGN_SIZE,
		.xen_flags = MEMORY_XEN_FOREIGN | MEMORY_XEN_NO_ADVANCE_MAP,
		.xen_domid = domid,
	};
}

#endif
