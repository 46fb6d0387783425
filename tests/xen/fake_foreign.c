/* SPDX-License-Identifier: MIT */
#include "tests/xen/fake_foreign.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

void fake_foreign_reset(uint16_t domid)
{
	assert(fake_gntdev->pages <= FAKE_FOREIGN_FRAMES);
	fake_gntdev->foreign = (struct fake_foreign){ .domid = domid };
}

void fake_foreign_set_absent(uint32_t page, uint32_t count, bool absent)
{
	assert(page + count <= fake_gntdev->pages);
	for (uint32_t i = 0; i < count; i++)
		fake_gntdev->foreign.absent[page + i] = absent;
}

int foreign_check(int fd, uint16_t domid)
{
	/* It finds the state in a process that did not make it. */
	if (gntdev_check(fd) < 0)
		return -ENOTTY;
	return fake_gntdev->foreign.domid == domid ? 0 : -EXDEV;
}

int foreign_open(uint16_t domid)
{
	if (fake_gntdev->foreign.open_error)
		return fake_gntdev->foreign.open_error;
	return gntdev_open();
}

/* What Xen says of page number @index of a map, which is @frame. */
static int fake_foreign_status(uint32_t index, uint64_t frame)
{
	const struct fake_foreign *foreign = &fake_gntdev->foreign;

	if (foreign->policy_error)
		return foreign->policy_error;
	if (index + 1 == foreign->fail_map_at || frame < FAKE_FOREIGN_FIRST ||
	    frame - FAKE_FOREIGN_FIRST >= fake_gntdev->pages ||
	    foreign->absent[frame - FAKE_FOREIGN_FIRST])
		return -EINVAL;
	return 0;
}

int foreign_map(int fd, uint16_t domid, const uint64_t *frames, size_t count, bool writable,
    int *errors, struct foreign_map *map)
{
	struct fake_foreign *foreign = &fake_gntdev->foreign;
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	uint8_t *address;

	foreign->map_calls++;
	if (!count)
		return -EINVAL;
	if (count > FOREIGN_PAGES_MAX)
		return -E2BIG;
	if (domid != foreign->domid)
		return -EPERM; /* the descriptor is restricted */
	if (foreign->map_error)
		return foreign->map_error;
	/* Who touches a page that is not there dies, as in reality. */
	address =
	    mmap(NULL, count * FOREIGN_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert(address != MAP_FAILED);
	for (uint32_t i = 0; i < count; i++) {
		errors[i] = fake_foreign_status(i, frames[i]);
		if (errors[i])
			continue;
		assert(mmap(address + (size_t)i * FOREIGN_PAGE_SIZE, FOREIGN_PAGE_SIZE, prot,
			   MAP_SHARED | MAP_FIXED, fd,
			   (off_t)fake_gntdev_offset((uint32_t)(frames[i] - FAKE_FOREIGN_FIRST))) !=
		       MAP_FAILED);
	}
	*map = (struct foreign_map){ .address = address, .pages = count };
	foreign->maps++;
	foreign->pages_mapped += count;
	return 0;
}

void foreign_unmap(const struct foreign_map *map)
{
	struct fake_foreign *foreign = &fake_gntdev->foreign;

	munmap(map->address, map->pages * FOREIGN_PAGE_SIZE);
	assert(foreign->maps && foreign->pages_mapped >= map->pages);
	foreign->maps--;
	foreign->pages_mapped -= map->pages;
}
