/* SPDX-License-Identifier: MIT */
/*
 * The kernel's grant device (linux/include/uapi/xen/gntdev.h) as three calls on an
 * open descriptor, so that a worker needs nothing but a descriptor passed to it.
 * Tests link tests/xen/fake_gntdev.c in its place.
 */
#ifndef GPUDOM_XEN_GNTDEV_H
#define GPUDOM_XEN_GNTDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GNTDEV_PAGE_SIZE 4096u

/* What one map call takes at most: gntdev's own default limit ("limit" parameter). */
#define GNTDEV_PAGES_MAX 65536u

/* @count consecutive references, beginning with @first; first + count - 1 fits 32 bits. */
struct gntdev_run {
	uint32_t first, count;
};

struct gntdev_map {
	void *address;  /* of the first page */
	uint64_t index; /* gntdev's name of the mapping */
	uint32_t pages;
};

/* Opens /dev/xen/gntdev; the descriptor or -errno. */
int gntdev_open(void);

/* Is this a grant device with grant copy? 0, -ENOTTY or another -errno. */
int gntdev_check(int fd);

/*
 * Maps the pages of all runs, granted by @domid to this domain, one after the other into
 * one range. All or nothing: -EFAULT for a reference that is not granted (so), -E2BIG
 * beyond GNTDEV_PAGES_MAX, -EINVAL for no page at all, -ENOMEM.
 */
int gntdev_map(int fd, uint16_t domid, const struct gntdev_run *runs, size_t count, bool writable,
    struct gntdev_map *map);

/* Unmaps; the grants are the guest's again when this returns. */
void gntdev_unmap(int fd, const struct gntdev_map *map);

/*
 * The two halves of a map, which two processes that share the open file can do: one inserts
 * references (an ioctl), the other maps them by their index (mmap alone, once). Nothing is asked of
 * Xen before that, so an insertion says nothing of the references. -E2BIG, -EINVAL, -ENOMEM.
 */
int gntdev_insert(
    int fd, uint16_t domid, const struct gntdev_run *runs, size_t count, uint64_t *index);
/* *address: of all @pages that were inserted as @index. -EFAULT where one is not granted (so). */
int gntdev_mmap(int fd, uint64_t index, uint32_t pages, bool writable, void **address);
void gntdev_munmap(void *address, uint32_t pages);
/* The grants are the guest's when they are also unmapped. -ENOENT for what was not inserted. */
int gntdev_remove(int fd, uint64_t index, uint32_t pages);

struct gntdev_segment {
	uint32_t reference;
	uint16_t offset, length; /* inside the page: offset + length <= GNTDEV_PAGE_SIZE */
	void *local;
};

enum gntdev_direction { GNTDEV_FROM_GUEST, GNTDEV_TO_GUEST };

/*
 * Copies all segments in one call. 0; -EFAULT when a segment's grant is bad; -EACCES when Xen's
 * policy refuses grant copies from or to @domid; -ENOTTY when the kernel has no grant copy.
 */
int gntdev_copy(int fd, uint16_t domid, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count);

#endif
