/* SPDX-License-Identifier: MIT */
#include "tests/xen/fake_gntdev.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fake_gntdev *fake_gntdev;
uint8_t *fake_gntdev_memory;
static int fake_gntdev_fd = -1;

/* Where the guest's pages begin in the memfd */
#define STATE_SIZE \
	((sizeof(struct fake_gntdev) + GNTDEV_PAGE_SIZE - 1) / GNTDEV_PAGE_SIZE * GNTDEV_PAGE_SIZE)

static void fake_gntdev_attach(int fd, size_t pages)
{
	uint8_t *base = mmap(
	    NULL, STATE_SIZE + pages * GNTDEV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert(base != MAP_FAILED);
	fake_gntdev = (struct fake_gntdev *)base;
	fake_gntdev_memory = base + STATE_SIZE;
}

size_t fake_gntdev_offset(uint32_t page)
{
	return STATE_SIZE + (size_t)page * GNTDEV_PAGE_SIZE;
}

void fake_gntdev_finish(void)
{
	if (fake_gntdev_fd < 0)
		return;
	munmap(fake_gntdev, STATE_SIZE + (size_t)fake_gntdev->pages * GNTDEV_PAGE_SIZE);
	fake_gntdev = NULL;
	close(fake_gntdev_fd);
	fake_gntdev_fd = -1;
}

void fake_gntdev_reset(uint32_t pages)
{
	fake_gntdev_finish();
	fake_gntdev_fd = memfd_create("gntdev", MFD_CLOEXEC);
	assert(fake_gntdev_fd >= 0);
	assert(
	    ftruncate(fake_gntdev_fd, (off_t)(STATE_SIZE + (size_t)pages * GNTDEV_PAGE_SIZE)) == 0);
	fake_gntdev_attach(fake_gntdev_fd, pages);
	fake_gntdev->pages = pages;
}

void fake_gntdev_grant(uint16_t domid, uint32_t first, uint32_t page, uint32_t count, bool readonly)
{
	assert(page + count <= fake_gntdev->pages && first + count <= FAKE_GNTDEV_GRANTS);
	for (uint32_t i = 0; i < count; i++)
		fake_gntdev->grants[first + i] = (struct fake_grant){
			.granted = true, .readonly = readonly, .domid = domid, .page = page + i
		};
}

void fake_gntdev_revoke(uint32_t first, uint32_t count)
{
	memset(&fake_gntdev->grants[first], 0, count * sizeof(fake_gntdev->grants[0]));
}

static const struct fake_grant *fake_gntdev_find(uint16_t domid, uint32_t reference, bool writable)
{
	const struct fake_grant *grant = &fake_gntdev->grants[reference % FAKE_GNTDEV_GRANTS];

	if (reference >= FAKE_GNTDEV_GRANTS || !grant->granted || grant->domid != domid ||
	    (writable && grant->readonly))
		return NULL;
	return grant;
}

int gntdev_open(void)
{
	int fd;

	if (fake_gntdev->fail_open)
		return -ENOENT;
	fd = fcntl(fake_gntdev_fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int gntdev_check(int fd)
{
	/* In another process than the one that made it */
	if (!fake_gntdev)
		fake_gntdev_attach(fd, 0);
	return fake_gntdev->check_error;
}

static int fake_gntdev_map(int fd, uint16_t domid, const struct gntdev_run *runs, size_t count,
    bool writable, struct gntdev_map *map)
{
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	uint64_t pages = 0;
	uint32_t page = 0;
	uint8_t *address;

	for (size_t i = 0; i < count; i++)
		pages += runs[i].count;
	if (!pages)
		return -EINVAL;
	if (pages > GNTDEV_PAGES_MAX)
		return -E2BIG;
	address =
	    mmap(NULL, pages * GNTDEV_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert(address != MAP_FAILED);
	for (size_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < runs[i].count; k++) {
			const struct fake_grant *grant =
			    fake_gntdev_find(domid, runs[i].first + k, writable);

			if (!grant || page + 1 == fake_gntdev->fail_map_at) {
				munmap(address, pages * GNTDEV_PAGE_SIZE);
				return -EFAULT;
			}
			assert(mmap(address + (size_t)page * GNTDEV_PAGE_SIZE, GNTDEV_PAGE_SIZE,
				   prot, MAP_SHARED | MAP_FIXED, fd,
				   (off_t)fake_gntdev_offset(grant->page)) != MAP_FAILED);
			page++;
		}
	*map = (struct gntdev_map){ .address = address, .pages = (uint32_t)pages };
	return 0;
}

int gntdev_map(int fd, uint16_t domid, const struct gntdev_run *runs, size_t count, bool writable,
    struct gntdev_map *map)
{
	int error;

	fake_gntdev->map_calls++;
	error = fake_gntdev_map(fd, domid, runs, count, writable, map);
	if (error)
		return error;
	fake_gntdev->maps++;
	fake_gntdev->pages_mapped += map->pages;
	return 0;
}

void gntdev_unmap(int fd, const struct gntdev_map *map)
{
	munmap(map->address, (size_t)map->pages * GNTDEV_PAGE_SIZE);
	assert(fake_gntdev->maps && fake_gntdev->pages_mapped >= map->pages);
	fake_gntdev->maps--;
	fake_gntdev->pages_mapped -= map->pages;
}

int gntdev_copy(int fd, uint16_t domid, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count)
{
	struct gntdev_map map;
	int error = 0;

	fake_gntdev->copy_calls++;
	fake_gntdev->segments += count;
	if (fake_gntdev->copy_error)
		return fake_gntdev->copy_error;
	for (size_t i = 0; i < count; i++) {
		const struct gntdev_run run = { .first = segments[i].reference, .count = 1 };
		uint8_t *guest;

		assert(segments[i].offset + segments[i].length <= GNTDEV_PAGE_SIZE);
		if (fake_gntdev_map(fd, domid, &run, 1, direction == GNTDEV_TO_GUEST, &map) < 0) {
			error = -EFAULT;
			continue;
		}
		guest = (uint8_t *)map.address + segments[i].offset;
		if (direction == GNTDEV_FROM_GUEST)
			memcpy(segments[i].local, guest, segments[i].length);
		else
			memcpy(guest, segments[i].local, segments[i].length);
		munmap(map.address, GNTDEV_PAGE_SIZE);
	}
	return error;
}
