/* SPDX-License-Identifier: MIT */
#include "tests/xen/fake_gntdev.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fake_gntdev fake_gntdev = { .memfd = -1 };

void fake_gntdev_finish(void)
{
	if (fake_gntdev.memfd < 0)
		return;
	munmap(fake_gntdev.memory, (size_t)fake_gntdev.pages * GNTDEV_PAGE_SIZE);
	close(fake_gntdev.memfd);
	fake_gntdev.memfd = -1;
}

void fake_gntdev_reset(uint32_t pages)
{
	size_t size = (size_t)pages * GNTDEV_PAGE_SIZE;

	fake_gntdev_finish();
	memset(&fake_gntdev, 0, sizeof(fake_gntdev));
	fake_gntdev.memfd = memfd_create("guest", MFD_CLOEXEC);
	assert(fake_gntdev.memfd >= 0 && ftruncate(fake_gntdev.memfd, (off_t)size) == 0);
	fake_gntdev.memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fake_gntdev.memfd, 0);
	assert(fake_gntdev.memory != MAP_FAILED);
	fake_gntdev.pages = pages;
}

void fake_gntdev_grant(uint16_t domid, uint32_t first, uint32_t page, uint32_t count, bool readonly)
{
	assert(page + count <= fake_gntdev.pages && first + count <= FAKE_GNTDEV_GRANTS);
	for (uint32_t i = 0; i < count; i++)
		fake_gntdev.grants[first + i] = (struct fake_grant){
			.granted = true, .readonly = readonly, .domid = domid, .page = page + i
		};
}

void fake_gntdev_revoke(uint32_t first, uint32_t count)
{
	memset(&fake_gntdev.grants[first], 0, count * sizeof(fake_gntdev.grants[0]));
}

static const struct fake_grant *fake_gntdev_find(uint16_t domid, uint32_t reference, bool writable)
{
	const struct fake_grant *grant = &fake_gntdev.grants[reference % FAKE_GNTDEV_GRANTS];

	if (reference >= FAKE_GNTDEV_GRANTS || !grant->granted || grant->domid != domid ||
	    (writable && grant->readonly))
		return NULL;
	return grant;
}

int gntdev_open(void)
{
	int fd;

	if (fake_gntdev.fail_open)
		return -ENOENT;
	fd = memfd_create("gntdev", MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int gntdev_check(int fd)
{
	return fake_gntdev.check_error;
}

int gntdev_map(int fd, uint16_t domid, const struct gntdev_run *runs, size_t count, bool writable,
    struct gntdev_map *map)
{
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	uint64_t pages = 0;
	uint32_t page = 0;
	uint8_t *address;

	fake_gntdev.map_calls++;
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

			if (!grant || page + 1 == fake_gntdev.fail_map_at) {
				munmap(address, pages * GNTDEV_PAGE_SIZE);
				return -EFAULT;
			}
			assert(mmap(address + (size_t)page * GNTDEV_PAGE_SIZE, GNTDEV_PAGE_SIZE,
				   prot, MAP_SHARED | MAP_FIXED, fake_gntdev.memfd,
				   (off_t)grant->page * GNTDEV_PAGE_SIZE) != MAP_FAILED);
			page++;
		}
	fake_gntdev.maps++;
	fake_gntdev.pages_mapped += pages;
	*map = (struct gntdev_map){ .address = address, .pages = (uint32_t)pages };
	return 0;
}

void gntdev_unmap(int fd, const struct gntdev_map *map)
{
	munmap(map->address, (size_t)map->pages * GNTDEV_PAGE_SIZE);
	assert(fake_gntdev.maps && fake_gntdev.pages_mapped >= map->pages);
	fake_gntdev.maps--;
	fake_gntdev.pages_mapped -= map->pages;
}

int gntdev_copy(int fd, uint16_t domid, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count)
{
	int error = 0;

	fake_gntdev.copy_calls++;
	fake_gntdev.segments += count;
	if (fake_gntdev.copy_error)
		return fake_gntdev.copy_error;
	for (size_t i = 0; i < count; i++) {
		const struct fake_grant *grant =
		    fake_gntdev_find(domid, segments[i].reference, direction == GNTDEV_TO_GUEST);
		uint8_t *guest;

		assert(segments[i].offset + segments[i].length <= GNTDEV_PAGE_SIZE);
		if (!grant) {
			error = -EFAULT;
			continue;
		}
		guest = fake_gntdev.memory + (size_t)grant->page * GNTDEV_PAGE_SIZE +
			segments[i].offset;
		if (direction == GNTDEV_FROM_GUEST)
			memcpy(segments[i].local, guest, segments[i].length);
		else
			memcpy(guest, segments[i].local, segments[i].length);
	}
	return error;
}
