/* SPDX-License-Identifier: MIT */
#include "xen/memory_xen.h"

#include <string.h>

#include "backend/log.h"
#include "xen/diagnose.h"
#include "xen/foreign.h"
#include "xen/gntdev.h"
#include "xen/memory_foreign.h"
#include "xen/memory_grant.h"

int memory_xen_create(
    void *client, const struct memory_region *region, struct guest_memory **memory)
{
	/* Flags that make no sense are refused where the region is added. */
	return region->xen_flags & MEMORY_XEN_FOREIGN ? memory_foreign_create(memory)
						      : memory_grant_create(client, memory);
}

struct memory_region memory_xen_region(uint16_t domid, bool grants)
{
	return grants ? memory_grant_region(domid) : memory_foreign_region(domid);
}

int memory_xen_open(uint16_t domid, bool grants, const char *name)
{
	int fd = grants ? gntdev_open() : foreign_open(domid);

	if (fd < 0)
		log_error("%s: cannot open /dev/xen/%s: %s. %s", name,
		    grants ? "gntdev" : "privcmd", strerror(-fd),
		    diagnose(grants ? DIAGNOSE_GRANT_DEVICE : DIAGNOSE_FOREIGN_DEVICE, fd));
	return fd;
}
