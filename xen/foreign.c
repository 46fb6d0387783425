/* SPDX-License-Identifier: MIT */
#include "xen/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/xen.h>

/* After xen.h, whose types it uses. */
#include <xen/sys/privcmd.h>

_Static_assert(sizeof(xen_pfn_t) == sizeof(uint64_t), "frames are passed as they are");

int foreign_check(int fd, uint16_t domid)
{
	if (ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &domid) == 0)
		return 0;
	return errno == EINVAL ? -EXDEV : -errno;
}

int foreign_open(uint16_t domid)
{
	int fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = foreign_check(fd, domid);
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

int foreign_map(int fd, uint16_t domid, const uint64_t *frames, size_t count, bool writable,
    int *errors, struct foreign_map *map)
{
	size_t size = count * FOREIGN_PAGE_SIZE;
	privcmd_mmapbatch_v2_t batch = {
		.num = (unsigned)count,
		.dom = domid,
		.arr = (const xen_pfn_t *)frames,
		.err = errors,
	};
	void *address;
	int error;

	if (!count)
		return -EINVAL;
	if (count > FOREIGN_PAGES_MAX)
		return -E2BIG;
	address = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (address == MAP_FAILED)
		return -errno;
	batch.addr = (uintptr_t)address;
	/*
	 * ENOENT says that a frame is paged out, and the call begins to bring it back: callers
	 * that need it try again, as libxenforeignmemory does, sleeping in between. Only xenpaging
	 * on x86 does that; its frames get the error that other missing ones get, rather than a
	 * wait that stops all other requests of the guest.
	 */
	if (ioctl(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch) < 0 && errno != ENOENT) {
		error = -errno;
		munmap(address, size);
		return error;
	}
	*map = (struct foreign_map){ .address = address, .pages = count };
	return 0;
}

void foreign_unmap(const struct foreign_map *map)
{
	munmap(map->address, map->pages * FOREIGN_PAGE_SIZE);
}
