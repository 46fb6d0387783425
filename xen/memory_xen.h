/* SPDX-License-Identifier: MIT */
/* Guest memory of either of Xen's kinds: grants or foreign maps. */
#ifndef GPUDOM_XEN_MEMORY_XEN_H
#define GPUDOM_XEN_MEMORY_XEN_H

#include "backend/memory.h"

/* Makes the kind that @region asks for, which is not added yet; fits
 * struct vhost_user_options.create_xen_memory. -ENOMEM. */
int memory_xen_create(const struct memory_region *region, struct guest_memory **memory);

#endif
