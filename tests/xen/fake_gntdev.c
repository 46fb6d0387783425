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

/* Maps one page after another at @address, which has room for all. */
static int fake_gntdev_map_page(
    int fd, uint16_t domid, uint32_t reference, bool writable, uint8_t *address)
{
	const struct fake_grant *grant = fake_gntdev_find(domid, reference, writable);

	if (!grant)
		return -EFAULT;
	assert(
	    mmap(address, GNTDEV_PAGE_SIZE, PROT_READ | (writable ? PROT_WRITE : 0),
		MAP_SHARED | MAP_FIXED, fd, (off_t)fake_gntdev_offset(grant->page)) != MAP_FAILED);
	return 0;
}

static uint8_t *fake_gntdev_reserve(size_t pages)
{
	uint8_t *address =
	    mmap(NULL, pages * GNTDEV_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert(address != MAP_FAILED);
	return address;
}

/* The first gap, as the kernel's does */
static uint32_t fake_gntdev_gap(uint32_t pages)
{
	uint32_t at = 0, run = 0;

	while (run < pages) {
		assert(at < FAKE_GNTDEV_INDEXES);
		run = fake_gntdev->insertions[at++].used ? 0 : run + 1;
	}
	return at - pages;
}

int gntdev_insert(
    int fd, uint16_t domid, const struct gntdev_run *runs, size_t count, uint64_t *index)
{
	uint64_t pages = 0;
	uint32_t at;

	for (size_t i = 0; i < count; i++)
		pages += runs[i].count;
	if (!pages)
		return -EINVAL;
	if (pages > GNTDEV_PAGES_MAX)
		return -E2BIG;
	if (fake_gntdev->fail_insert)
		return -ENOMEM;
	at = fake_gntdev_gap((uint32_t)pages);
	*index = (uint64_t)at * GNTDEV_PAGE_SIZE;
	fake_gntdev->insertions[at].pages = (uint32_t)pages;
	fake_gntdev->insertions[at].mapped = false;
	for (size_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < runs[i].count; k++) {
			struct fake_insertion *insertion = &fake_gntdev->insertions[at++];

			insertion->used = true;
			insertion->domid = domid;
			insertion->reference = runs[i].first + k;
		}
	fake_gntdev->inserted++;
	return 0;
}

/* What was inserted as @index, @pages of them; NULL. */
static struct fake_insertion *fake_gntdev_insertion(uint64_t index, uint32_t pages)
{
	uint64_t at = index / GNTDEV_PAGE_SIZE;

	if (index % GNTDEV_PAGE_SIZE || at >= FAKE_GNTDEV_INDEXES || !pages ||
	    fake_gntdev->insertions[at].pages != pages)
		return NULL;
	return &fake_gntdev->insertions[at];
}

int gntdev_remove(int fd, uint64_t index, uint32_t pages)
{
	struct fake_insertion *insertion = fake_gntdev_insertion(index, pages);

	if (!insertion)
		return -ENOENT;
	memset(insertion, 0, pages * sizeof(*insertion));
	fake_gntdev->inserted--;
	return 0;
}

int gntdev_mmap(int fd, uint64_t index, uint32_t pages, bool writable, void **address)
{
	struct fake_insertion *insertion = fake_gntdev_insertion(index, pages);
	uint8_t *base;

	fake_gntdev->map_calls++;
	/* It can be mapped once. */
	if (!insertion || insertion->mapped)
		return -EFAULT;
	base = fake_gntdev_reserve(pages);
	for (uint32_t i = 0; i < pages; i++) {
		if (i + 1 != fake_gntdev->fail_map_at &&
		    fake_gntdev_map_page(fd, insertion[i].domid, insertion[i].reference, writable,
			base + (size_t)i * GNTDEV_PAGE_SIZE) == 0)
			continue;
		munmap(base, (size_t)pages * GNTDEV_PAGE_SIZE);
		return -EFAULT;
	}
	insertion->mapped = true;
	*address = base;
	fake_gntdev->maps++;
	fake_gntdev->pages_mapped += pages;
	return 0;
}

void gntdev_munmap(void *address, uint32_t pages)
{
	munmap(address, (size_t)pages * GNTDEV_PAGE_SIZE);
	assert(fake_gntdev->maps && fake_gntdev->pages_mapped >= pages);
	fake_gntdev->maps--;
	fake_gntdev->pages_mapped -= pages;
}

int gntdev_map(int fd, uint16_t domid, const struct gntdev_run *runs, size_t count, bool writable,
    struct gntdev_map *map)
{
	int error;

	error = gntdev_insert(fd, domid, runs, count, &map->index);
	if (error)
		return error;
	map->pages = fake_gntdev->insertions[map->index / GNTDEV_PAGE_SIZE].pages;
	error = gntdev_mmap(fd, map->index, map->pages, writable, &map->address);
	if (error)
		gntdev_remove(fd, map->index, map->pages);
	return error;
}

void gntdev_unmap(int fd, const struct gntdev_map *map)
{
	gntdev_munmap(map->address, map->pages);
	gntdev_remove(fd, map->index, map->pages);
}

int gntdev_copy(int fd, uint16_t domid, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count)
{
	int error = 0;

	fake_gntdev->copy_calls++;
	fake_gntdev->segments += count;
	if (fake_gntdev->copy_error)
		return fake_gntdev->copy_error;
	for (size_t i = 0; i < count; i++) {
		uint8_t *page = fake_gntdev_reserve(1), *guest = page + segments[i].offset;

		assert(segments[i].offset + segments[i].length <= GNTDEV_PAGE_SIZE);
		if (fake_gntdev_map_page(
			fd, domid, segments[i].reference, direction == GNTDEV_TO_GUEST, page) < 0)
			error = -EFAULT;
		else if (direction == GNTDEV_FROM_GUEST)
			memcpy(segments[i].local, guest, segments[i].length);
		else
			memcpy(guest, segments[i].local, segments[i].length);
		munmap(page, GNTDEV_PAGE_SIZE);
	}
	return error;
}
