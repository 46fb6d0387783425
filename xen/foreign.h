/* SPDX-License-Identifier: MIT */
/*
 * Frames of another domain, mapped through Linux' /dev/xen/privcmd (include/uapi/xen/privcmd.h) as
 * calls on an open descriptor, so that a worker needs nothing but a descriptor passed to it. Tests
 * link tests/xen/fake_foreign.c in its place.
 */
#ifndef GPUDOM_XEN_FOREIGN_H
#define GPUDOM_XEN_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FOREIGN_PAGE_SHIFT 12
#define FOREIGN_PAGE_SIZE (1u << FOREIGN_PAGE_SHIFT)

/* What one map call takes at most. */
#define FOREIGN_PAGES_MAX 65536u

struct foreign_map {
	void *address; /* of the first page */
	size_t pages;
};

/*
 * Opens /dev/xen/privcmd and restricts it, for good and for whoever it is passed to, to @domid: no
 * hypercalls of one's own choice, no other domain. The descriptor; -EXDEV where the kernel has
 * locked it to another domain (XSA-482), -ENOTTY where it cannot restrict it, or another -errno.
 */
int foreign_open(uint16_t domid);

/* Is this a privcmd that is restricted to @domid (or hereby becomes so)? Errors as above. */
int foreign_check(int fd, uint16_t domid);

/*
 * Maps the @count frames of @domid one after the other into one range, in one call. @errors gets a
 * 0 for each page that is there, or its -errno: -EINVAL where the guest has no RAM there, -EACCES
 * or -EPERM where Xen's policy refuses. A page with an error must not be touched. 0 also where
 * pages have errors; -E2BIG beyond FOREIGN_PAGES_MAX, -EINVAL for no page at all, -ENOMEM, or what
 * else the kernel says: then there is no map.
 */
int foreign_map(int fd, uint16_t domid, const uint64_t *frames, size_t count, bool writable,
    int *errors, struct foreign_map *map);

/* Unmaps; it needs no descriptor. */
void foreign_unmap(const struct foreign_map *map);

#endif
