/* SPDX-License-Identifier: MIT */
/*
 * Guest memory that a front end shares by file descriptors: each region is mapped
 * when it is added. A region counts its users, so that a map outlives the region's
 * removal from the table.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/memory.h"

#define MEMORY_MMAP_REGIONS_MAX 509 /* as many as KVM has memory slots */

struct mmap_region {
	struct memory_region region;
	unsigned references; /* the table's and one per piece of a map */
	uint8_t *bytes;      /* of the region's first byte */
	void *mapping;
	size_t mapping_size;
	int fd; /* of a file that can be exported; -1: it can't be */
};

struct memory_mmap {
	struct guest_memory memory;
	size_t count;
	struct mmap_region *regions[MEMORY_MMAP_REGIONS_MAX]; /* by rising guest address */
};

struct mmap_map {
	struct memory_map map;
	struct mmap_region **regions; /* of each entry of the iov */
};

static struct memory_mmap *memory_mmap_from(struct guest_memory *memory)
{
	return (struct memory_mmap *)memory;
}

static void mmap_region_unref(struct mmap_region *region)
{
	assert(region->references > 0);
	if (--region->references)
		return;
	munmap(region->mapping, region->mapping_size);
	if (region->fd >= 0)
		close(region->fd);
	free(region);
}

/* The index of the first region that ends after @address; count where there is none. */
static size_t memory_mmap_search(const struct memory_mmap *table, uint64_t address)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct memory_region *r = &table->regions[middle]->region;

		if (r->guest_address + (r->size - 1) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The longest run of bytes at @address, at most @length of them, that lies in one
 * region; NULL where there is none.
 */
static struct mmap_region *memory_mmap_run(const struct memory_mmap *table, uint64_t address,
    uint32_t length, uint8_t **bytes, size_t *run)
{
	size_t i = memory_mmap_search(table, address);
	const struct memory_region *r;
	uint64_t offset;

	if (i == table->count || table->regions[i]->region.guest_address > address)
		return NULL;
	r = &table->regions[i]->region;
	offset = address - r->guest_address;
	*run = length < r->size - offset ? length : r->size - offset;
	*bytes = table->regions[i]->bytes + offset;
	return table->regions[i];
}

static int memory_mmap_map_file(struct mmap_region *to, int fd)
{
	const struct memory_region *region = &to->region;
	uint64_t end, offset, size, unit = (uint64_t)sysconf(_SC_PAGESIZE);
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	/* Only a file has a size to check; what is cut off would be SIGBUS later. */
	if (!S_ISREG(stat.st_mode) || !checked_add(region->mmap_offset, region->size, &end) ||
	    end > (uint64_t)stat.st_size)
		return -EINVAL;
	/* On hugetlbfs this is the size of a page there. */
	if ((uint64_t)stat.st_blksize > unit && !(stat.st_blksize & (stat.st_blksize - 1)))
		unit = (uint64_t)stat.st_blksize;
	offset = region->mmap_offset & ~(unit - 1);
	if (!checked_add(end - offset, unit - 1, &size))
		return -EINVAL;
	to->mapping_size = size & ~(unit - 1);
	to->mapping = mmap(NULL, to->mapping_size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
	if (to->mapping == MAP_FAILED)
		return errno == EACCES ? -EINVAL : -errno;
	to->bytes = (uint8_t *)to->mapping + (region->mmap_offset - offset);
	return 0;
}

/* A sealed memory file can be exported: it is kept open. */
static void memory_mmap_keep_file(struct mmap_region *region, int fd)
{
	const int seals = fcntl(fd, F_GET_SEALS);

	region->fd = -1;
	if (seals >= 0 && (seals & F_SEAL_SHRINK) && !(seals & F_SEAL_WRITE))
		region->fd = fd;
	else
		close(fd);
}

static int memory_mmap_add_region(
    struct guest_memory *memory, const struct memory_region *region, int fd)
{
	struct memory_mmap *table = memory_mmap_from(memory);
	struct mmap_region *new;
	uint64_t last, end;
	size_t i;
	int error;

	if (region->xen_flags || fd < 0 || !region->size ||
	    !checked_add(region->guest_address, region->size - 1, &last) ||
	    !checked_add(region->user_address, region->size, &end))
		return -EINVAL;
	if (table->count == MEMORY_MMAP_REGIONS_MAX)
		return -ENOSPC;
	i = memory_mmap_search(table, region->guest_address);
	if (i < table->count && table->regions[i]->region.guest_address <= last)
		return -EEXIST;

	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->region = *region;
	new->references = 1;
	error = memory_mmap_map_file(new, fd);
	if (error) {
		free(new);
		return error;
	}
	memory_mmap_keep_file(new, fd);
	memmove(&table->regions[i + 1], &table->regions[i],
	    (table->count - i) * sizeof(struct mmap_region *));
	table->regions[i] = new;
	table->count++;
	return 0;
}

static int memory_mmap_remove_region(
    struct guest_memory *memory, const struct memory_region *region)
{
	struct memory_mmap *table = memory_mmap_from(memory);
	size_t i = memory_mmap_search(table, region->guest_address);
	struct mmap_region *old;

	if (i == table->count)
		return -ENOENT;
	old = table->regions[i];
	if (old->region.guest_address != region->guest_address ||
	    old->region.user_address != region->user_address || old->region.size != region->size)
		return -ENOENT;
	table->count--;
	memmove(&table->regions[i], &table->regions[i + 1],
	    (table->count - i) * sizeof(struct mmap_region *));
	mmap_region_unref(old);
	return 0;
}

static int memory_mmap_translate_user(
    struct guest_memory *memory, uint64_t user_address, uint64_t size, uint64_t *address)
{
	struct memory_mmap *table = memory_mmap_from(memory);

	for (size_t i = 0; i < table->count; i++) {
		const struct memory_region *r = &table->regions[i]->region;

		if (user_address >= r->user_address &&
		    range_inside(user_address - r->user_address, size, r->size)) {
			*address = r->guest_address + (user_address - r->user_address);
			return 0;
		}
	}
	return -EFAULT;
}

/* Copies between @buffer and the pieces until @size bytes are copied (which a write must reach) or
 * the pieces end. */
static int memory_mmap_copy(struct memory_mmap *table, const struct memory_piece *pieces,
    size_t count, bool write, uint8_t *buffer, size_t size)
{
	for (size_t i = 0; i < count && size; i++) {
		uint64_t address = pieces[i].address;
		uint32_t left = pieces[i].length < size ? pieces[i].length : (uint32_t)size;

		while (left) {
			uint8_t *bytes;
			size_t run;

			if (!memory_mmap_run(table, address, left, &bytes, &run))
				return -EFAULT;
			if (write)
				memcpy(bytes, buffer, run);
			else
				memcpy(buffer, bytes, run);
			buffer += run;
			size -= run;
			left -= (uint32_t)run;
			if (left && !checked_add(address, run, &address))
				return -EFAULT;
		}
	}
	return size && write ? -EFAULT : 0;
}

static int memory_mmap_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count)
{
	return memory_mmap_copy(memory_mmap_from(memory), pieces, count, false, to, SIZE_MAX);
}

static int memory_mmap_write(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, const void *from, size_t size)
{
	return memory_mmap_copy(
	    memory_mmap_from(memory), pieces, count, true, (uint8_t *)from, size);
}

/* Fills the iov of @map, or only counts its entries where @map is NULL: their number, or
 * -EFAULT. */
static ssize_t memory_mmap_fill(struct memory_mmap *table, const struct memory_piece *pieces,
    size_t count, struct mmap_map *map)
{
	struct mmap_region *region, *last_region = NULL;
	uint8_t *bytes, *end = NULL;
	size_t entries = 0, run;

	for (size_t i = 0; i < count; i++) {
		uint64_t address = pieces[i].address;
		uint32_t left = pieces[i].length;

		while (left) {
			region = memory_mmap_run(table, address, left, &bytes, &run);
			if (!region)
				return -EFAULT;
			if (region != last_region || bytes != end) {
				if (map) {
					map->map.iov[entries].iov_base = bytes;
					map->regions[entries] = region;
					region->references++;
				}
				entries++;
			}
			if (map) {
				map->map.iov[entries - 1].iov_len += run;
				map->map.size += run;
			}
			last_region = region;
			end = bytes + run;
			left -= (uint32_t)run;
			if (left && !checked_add(address, run, &address))
				return -EFAULT;
		}
	}
	return (ssize_t)entries;
}

static int memory_mmap_map(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, enum memory_access access, struct memory_map **to)
{
	struct memory_mmap *table = memory_mmap_from(memory);
	ssize_t entries = memory_mmap_fill(table, pieces, count, NULL);
	struct mmap_map *map;

	if (entries < 0)
		return (int)entries;
	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	map->map.iov_count = (size_t)entries;
	map->map.iov = calloc((size_t)entries + !entries, sizeof(struct iovec));
	map->regions = calloc((size_t)entries + !entries, sizeof(struct mmap_region *));
	if (!map->map.iov || !map->regions) {
		free(map->map.iov);
		free(map->regions);
		free(map);
		return -ENOMEM;
	}
	memory_mmap_fill(table, pieces, count, map);
	*to = &map->map;
	return 0;
}

static void memory_mmap_unmap(struct guest_memory *memory, struct memory_map *from)
{
	struct mmap_map *map = (struct mmap_map *)from;

	for (size_t i = 0; i < map->map.iov_count; i++)
		mmap_region_unref(map->regions[i]);
	free(map->regions);
	free(map->map.iov);
	free(map);
}

static int memory_mmap_export(
    struct guest_memory *memory, const struct memory_map *from, struct udmabuf *udmabuf)
{
	const struct mmap_map *map = (const struct mmap_map *)from;
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct udmabuf_piece *pieces;
	int r = 0;

	if (!from->iov_count || from->iov_count > UDMABUF_PIECES_MAX)
		return -E2BIG;
	pieces = calloc(from->iov_count, sizeof(*pieces));
	if (!pieces)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < from->iov_count; i++) {
		const struct mmap_region *region = map->regions[i];
		const uint64_t offset =
		    (uint64_t)((uint8_t *)from->iov[i].iov_base - region->bytes);
		uint64_t size = from->iov[i].iov_len;

		/* The end of the last page is the guest's own as well. */
		if (i == from->iov_count - 1)
			size = (size + page - 1) & ~(page - 1);
		pieces[i] = (struct udmabuf_piece){ .fd = region->fd,
			.offset = region->region.mmap_offset + offset,
			.size = size };
		if (region->fd < 0 || pieces[i].offset % page || size % page ||
		    !range_inside(offset, size, region->region.size))
			r = -ENOTSUP;
	}
	if (r == 0)
		r = udmabuf->create(udmabuf, pieces, (unsigned)from->iov_count);
	free(pieces);
	return r;
}

static void memory_mmap_destroy(struct guest_memory *memory)
{
	struct memory_mmap *table = memory_mmap_from(memory);

	for (size_t i = 0; i < table->count; i++)
		mmap_region_unref(table->regions[i]);
	free(table);
}

static const struct guest_memory_impl memory_mmap_impl = {
	.name = "mmap",
	.destroy = memory_mmap_destroy,
	.add_region = memory_mmap_add_region,
	.remove_region = memory_mmap_remove_region,
	.translate_user = memory_mmap_translate_user,
	.read = memory_mmap_read,
	.write = memory_mmap_write,
	.map = memory_mmap_map,
	.unmap = memory_mmap_unmap,
	.export = memory_mmap_export,
};

int memory_mmap_create(struct guest_memory **memory)
{
	struct memory_mmap *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->memory.impl = &memory_mmap_impl;
	*memory = &table->memory;
	return 0;
}
