/* SPDX-License-Identifier: MIT */
/*
 * Guest memory by grants: every bus address carries a grant reference,
 *
 *     bit 63 set | reference << 12 | offset in the page    (Linux: grant-dma-ops.c)
 *
 * and n pages are n consecutive references. The front end describes it with one region
 * (MEMORY_XEN_GRANT | MEMORY_XEN_NO_ADVANCE_MAP) whose descriptor is an open
 * /dev/xen/gntdev: memory_grant_region() makes it.
 */
#ifndef GPUDOM_XEN_MEMORY_GRANT_H
#define GPUDOM_XEN_MEMORY_GRANT_H

#include "backend/memory.h"

#define MEMORY_GRANT_ADDRESS (UINT64_C(1) << 63)
#define MEMORY_GRANT_SIZE (UINT64_C(1) << (32 + 12)) /* references have 32 bits */

struct grant_client;

/* @client: who asks the grant device in our place (a sandboxed worker's monitor; not owned,
 * outlives the memory); NULL: we do. A client that relays has
 * the queues served there, too. -ENOMEM. */
int memory_grant_create(struct grant_client *client, struct guest_memory **memory);

/* The region that makes all grants of @domid reachable. */
static inline struct memory_region memory_grant_region(uint32_t domid)
{
	return (struct memory_region){
		.guest_address = MEMORY_GRANT_ADDRESS,
		.size = MEMORY_GRANT_SIZE,
		.user_address = MEMORY_GRANT_ADDRESS,
		.xen_flags = MEMORY_XEN_GRANT | MEMORY_XEN_NO_ADVANCE_MAP,
		.xen_domid = domid,
	};
}

#endif
