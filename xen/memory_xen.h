/* SPDX-License-Identifier: MIT */
/* Guest memory of either of Xen's kinds: grants or foreign maps. Which, the toolstack says for each
 * device (grant_usage). */
#ifndef GPUDOM_XEN_MEMORY_XEN_H
#define GPUDOM_XEN_MEMORY_XEN_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/memory.h"

/* Makes the kind that @region asks for, which is not added yet; fits
 * struct vhost_user_options.create_xen_memory, whose @client is a struct grant_client, or NULL
 * (memory_grant.h). -ENOMEM. */
int memory_xen_create(
    void *client, const struct memory_region *region, struct guest_memory **memory);

/* For a front end: the region that makes @domid's memory reachable, and the descriptor that goes
 * with it (-errno: logged with its cure; @name: of the guest). */
struct memory_region memory_xen_region(uint16_t domid, bool grants);
int memory_xen_open(uint16_t domid, bool grants, const char *name);

#endif
