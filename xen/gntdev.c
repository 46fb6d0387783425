/* SPDX-License-Identifier: MIT */
#include "xen/gntdev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xen/grant_table.h>
#include <xen/xen.h>

/* After xen.h, whose types it uses. */
#include <xen/gntdev.h>

#include "backend/checked.h"

/* Segments that fit on the stack: requests without long command streams. */
#define SEGMENTS_SMALL 32

int gntdev_open(void)
{
	int fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int gntdev_check(int fd)
{
	struct ioctl_gntdev_grant_copy none = { .count = 0 };
	struct stat stat;

	/* Whatever else may know a call of this number */
	if (fstat(fd, &stat) < 0 || !S_ISCHR(stat.st_mode))
		return -ENOTTY;
	return ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &none) < 0 ? -errno : 0;
}

/* The pages of all runs, or an error. */
static int gntdev_count(const struct gntdev_run *runs, size_t count, uint32_t *pages)
{
	*pages = 0;
	for (size_t i = 0; i < count; i++)
		if (!checked_add(*pages, runs[i].count, pages))
			return -E2BIG;
	if (!*pages)
		return -EINVAL;
	return *pages > GNTDEV_PAGES_MAX ? -E2BIG : 0;
}

int gntdev_insert(
    int fd, uint16_t domid, const struct gntdev_run *runs, size_t count, uint64_t *index)
{
	struct ioctl_gntdev_map_grant_ref *op;
	uint32_t pages;
	size_t n = 0;
	int error;

	error = gntdev_count(runs, count, &pages);
	if (error)
		return error;
	/* Its last member is an array of one. */
	op = malloc(sizeof(*op) + (pages - 1) * sizeof(op->refs[0]));
	if (!op)
		return -ENOMEM;
	*op = (struct ioctl_gntdev_map_grant_ref){ .count = pages };
	for (size_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < runs[i].count; k++)
			op->refs[n++] = (struct ioctl_gntdev_grant_ref){
				.domid = domid,
				.ref = runs[i].first + k,
			};
	if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, op) < 0)
		error = errno == EINVAL ? -E2BIG : -errno; /* the module's limit */
	else
		*index = op->index;
	free(op);
	return error;
}

int gntdev_remove(int fd, uint64_t index, uint32_t pages)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = pages };

	return ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op) < 0 ? -errno : 0;
}

/* The hypercall happens here. Whatever page was refused, gntdev says EINVAL, and the pages that
 * were not refused stay mapped until the references are taken out. */
int gntdev_mmap(int fd, uint64_t index, uint32_t pages, bool writable, void **address)
{
	void *at = mmap(NULL, (size_t)pages * GNTDEV_PAGE_SIZE,
	    PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, (off_t)index);

	if (at == MAP_FAILED)
		return errno == ENOMEM ? -ENOMEM : -EFAULT;
	*address = at;
	return 0;
}

int gntdev_map(int fd, uint16_t domid, const struct gntdev_run *runs, size_t count, bool writable,
    struct gntdev_map *map)
{
	uint32_t pages;
	int error;

	error = gntdev_count(runs, count, &pages);
	if (error)
		return error;
	error = gntdev_insert(fd, domid, runs, count, &map->index);
	if (error)
		return error;
	map->pages = pages;
	error = gntdev_mmap(fd, map->index, pages, writable, &map->address);
	if (error)
		gntdev_remove(fd, map->index, pages);
	return error;
}

void gntdev_munmap(void *address, uint32_t pages)
{
	munmap(address, (size_t)pages * GNTDEV_PAGE_SIZE);
}

void gntdev_unmap(int fd, const struct gntdev_map *map)
{
	gntdev_munmap(map->address, map->pages);
	gntdev_remove(fd, map->index, map->pages);
}

static void gntdev_fill(struct gntdev_grant_copy_segment *to, uint16_t domid,
    enum gntdev_direction direction, const struct gntdev_segment *from)
{
	*to = (struct gntdev_grant_copy_segment){ .len = from->length };
	if (direction == GNTDEV_FROM_GUEST) {
		to->flags = GNTCOPY_source_gref;
		to->source.foreign.ref = from->reference;
		to->source.foreign.offset = from->offset;
		to->source.foreign.domid = domid;
		to->dest.virt = from->local;
	} else {
		to->flags = GNTCOPY_dest_gref;
		to->dest.foreign.ref = from->reference;
		to->dest.foreign.offset = from->offset;
		to->dest.foreign.domid = domid;
		to->source.virt = from->local;
	}
}

int gntdev_copy(int fd, uint16_t domid, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count)
{
	struct gntdev_grant_copy_segment small[SEGMENTS_SMALL], *ops = small;
	struct ioctl_gntdev_grant_copy copy;
	int error = 0;

	if (!count)
		return 0;
	if (count > SEGMENTS_SMALL) {
		ops = calloc(count, sizeof(*ops));
		if (!ops)
			return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		gntdev_fill(&ops[i], domid, direction, &segments[i]);
	copy = (struct ioctl_gntdev_grant_copy){ .count = (unsigned)count, .segments = ops };
	if (ioctl(fd, IOCTL_GNTDEV_GRANT_COPY, &copy) < 0)
		error = -errno;
	for (size_t i = 0; !error && i < count; i++)
		if (ops[i].status == GNTST_permission_denied)
			error = -EACCES;
		else if (ops[i].status != GNTST_okay)
			error = -EFAULT;
	if (ops != small)
		free(ops);
	return error;
}
