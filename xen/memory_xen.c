/* SPDX-License-Identifier: MIT */
#include "xen/memory_xen.h"

#include "xen/memory_foreign.h"
#include "xen/memory_grant.h"

int memory_xen_create(const struct memory_region *region, struct guest_memory **memory)
{
	/* Flags that make no sense are refused where the region is added. */
	return region->xen_flags & MEMORY_XEN_FOREIGN ? memory_foreign_create(memory)
						      : memory_grant_create(memory);
}
