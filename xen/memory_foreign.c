/* SPDX-License-Identifier: MIT */
#include "xen/memory_foreign.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/log.h"
#include "xen/foreign.h"

#define DOMID_RESERVED 0x7ff0 /* DOMID_FIRST_RESERVED of xen.h */
#define PAGE_MASK (FOREIGN_PAGE_SIZE - 1)

/* Longer copies would turn the whole cache over: they are mapped for the occasion. */
#define CACHED_PAGES_MAX (MEMORY_FOREIGN_CHUNKS * MEMORY_FOREIGN_CHUNK_PAGES / 4)

/* Neighbouring frames, the first of which is a multiple of the chunk's size. */
struct foreign_chunk {
	uint64_t number;  /* of the first frame / MEMORY_FOREIGN_CHUNK_PAGES */
	uint64_t used;    /* tick of the last use; 0: this place is free */
	uint32_t present; /* a bit for each page that the guest has */
	struct foreign_map map;
};
_Static_assert(MEMORY_FOREIGN_CHUNK_PAGES <= 32, "bits of struct foreign_chunk.present");

struct memory_foreign {
	struct guest_memory base;
	int fd;                      /* privcmd, or -1: no region */
	struct memory_region region; /* where fd is there */
	uint64_t tick;
	struct foreign_chunk chunks[MEMORY_FOREIGN_CHUNKS];
	struct log_limit limit;
};

struct memory_foreign_map {
	struct memory_map base;
	struct foreign_map mapped;
	struct iovec iov[];
};

static struct memory_foreign *memory_foreign_from(struct guest_memory *memory)
{
	return (struct memory_foreign *)memory; /* base is first */
}

static uint16_t memory_foreign_domid(const struct memory_foreign *foreign)
{
	return (uint16_t)foreign->region.xen_domid;
}

/* Pages that [address, +length) touches. */
static uint64_t pages_of(const struct memory_piece *piece)
{
	if (!piece->length)
		return 0;
	return ((piece->address & PAGE_MASK) + piece->length + PAGE_MASK) >> FOREIGN_PAGE_SHIFT;
}

/* One call for all frames. */
static int memory_foreign_map_frames(struct memory_foreign *foreign, const uint64_t *frames,
    size_t count, bool writable, int *errors, struct foreign_map *map)
{
	struct memory_statistics *statistics = &foreign->base.statistics;
	int error = foreign_map(
	    foreign->fd, memory_foreign_domid(foreign), frames, count, writable, errors, map);

	statistics->map_calls++;
	if (!error) {
		statistics->maps++;
		statistics->pages_mapped += count;
	}
	for (size_t i = 0; !error && i < count; i++)
		if (errors[i] == -EACCES || errors[i] == -EPERM) {
			log_guest(&foreign->limit,
			    "Xen's policy refuses to map this guest's memory: %s (FLASK: "
			    "gpudom_serve_foreign of configs/flask; or give the guest grant_usage=1 "
			    "in its virtio= line)",
			    strerror(-errors[i]));
			break;
		}
	return error;
}

static void memory_foreign_unmap_frames(
    struct memory_foreign *foreign, const struct foreign_map *map)
{
	foreign_unmap(map);
	foreign->base.statistics.unmap_calls++;
	foreign->base.statistics.maps--;
}

/* ------------------------------------------------------------------- cache */

static void memory_foreign_drop_chunk(struct memory_foreign *foreign, struct foreign_chunk *chunk)
{
	if (chunk->used)
		memory_foreign_unmap_frames(foreign, &chunk->map);
	chunk->used = 0;
}

static void memory_foreign_drop_cache(struct memory_foreign *foreign)
{
	for (size_t i = 0; i < MEMORY_FOREIGN_CHUNKS; i++)
		memory_foreign_drop_chunk(foreign, &foreign->chunks[i]);
}

/* The chunk with that number, or the place where it should go: a free one, or the one that was not
 * used for longest. */
static struct foreign_chunk *memory_foreign_place(struct memory_foreign *foreign, uint64_t number)
{
	struct foreign_chunk *place = &foreign->chunks[0];

	for (size_t i = 0; i < MEMORY_FOREIGN_CHUNKS; i++) {
		struct foreign_chunk *chunk = &foreign->chunks[i];

		if (chunk->used && chunk->number == number)
			return chunk;
		if (chunk->used < place->used)
			place = chunk;
	}
	return place;
}

static int memory_foreign_fill(
    struct memory_foreign *foreign, struct foreign_chunk *chunk, uint64_t number)
{
	uint64_t frames[MEMORY_FOREIGN_CHUNK_PAGES];
	int errors[MEMORY_FOREIGN_CHUNK_PAGES], error;

	for (size_t i = 0; i < MEMORY_FOREIGN_CHUNK_PAGES; i++)
		frames[i] = number * MEMORY_FOREIGN_CHUNK_PAGES + i;
	error = memory_foreign_map_frames(
	    foreign, frames, MEMORY_FOREIGN_CHUNK_PAGES, true, errors, &chunk->map);
	if (error)
		return error == -ENOMEM ? -ENOMEM : -EFAULT;
	chunk->number = number;
	chunk->present = 0;
	chunk->used = 1; /* mapped, and first to go unless it is of use */
	for (size_t i = 0; i < MEMORY_FOREIGN_CHUNK_PAGES; i++)
		if (!errors[i])
			chunk->present |= UINT32_C(1) << i;
	return 0;
}

/* The page of @frame; NULL where the guest has none (*error says why). */
static uint8_t *memory_foreign_page(struct memory_foreign *foreign, uint64_t frame, int *error)
{
	uint64_t number = frame / MEMORY_FOREIGN_CHUNK_PAGES;
	size_t index = frame % MEMORY_FOREIGN_CHUNK_PAGES;
	struct foreign_chunk *chunk = memory_foreign_place(foreign, number);
	uint32_t bit = UINT32_C(1) << index;

	if (!chunk->used || chunk->number != number || !(chunk->present & bit)) {
		/* Also where the page was missing: the guest may have got it since. */
		memory_foreign_drop_chunk(foreign, chunk);
		*error = memory_foreign_fill(foreign, chunk, number);
		if (*error)
			return NULL;
		*error = -EFAULT;
		if (!(chunk->present & bit))
			return NULL;
	}
	chunk->used = ++foreign->tick + 1;
	return (uint8_t *)chunk->map.address + index * FOREIGN_PAGE_SIZE;
}

/* ------------------------------------------------------------------ regions */

static void memory_foreign_destroy(struct guest_memory *memory)
{
	struct memory_foreign *foreign = memory_foreign_from(memory);

	memory_foreign_drop_cache(foreign);
	if (foreign->fd >= 0)
		close(foreign->fd);
	free(foreign);
}

static int memory_foreign_add_region(
    struct guest_memory *memory, const struct memory_region *region, int fd)
{
	struct memory_foreign *foreign = memory_foreign_from(memory);
	int error;

	if ((region->xen_flags & ~MEMORY_XEN_NO_ADVANCE_MAP) != MEMORY_XEN_FOREIGN ||
	    region->guest_address != region->user_address || !region->size ||
	    !range_inside(region->guest_address, region->size, MEMORY_FOREIGN_SIZE) ||
	    region->xen_domid >= DOMID_RESERVED) {
		log_error("Foreign region with flags %#x of domain %u makes no sense",
		    region->xen_flags, region->xen_domid);
		return -EINVAL;
	}
	if (foreign->fd >= 0)
		return -EEXIST;
	error = fd < 0 ? -EBADF : foreign_check(fd, (uint16_t)region->xen_domid);
	if (error) {
		log_error("The descriptor of the foreign region is no /dev/xen/privcmd that is "
			  "restricted to domain %u: %s",
		    region->xen_domid, strerror(-error));
		return -EINVAL;
	}
	foreign->fd = fd;
	foreign->region = *region;
	return 0;
}

static int memory_foreign_remove_region(
    struct guest_memory *memory, const struct memory_region *region)
{
	struct memory_foreign *foreign = memory_foreign_from(memory);

	if (foreign->fd < 0 || region->guest_address != foreign->region.guest_address ||
	    region->size != foreign->region.size ||
	    region->user_address != foreign->region.user_address)
		return -ENOENT;
	memory_foreign_drop_cache(foreign);
	close(foreign->fd); /* maps do not need it */
	foreign->fd = -1;
	return 0;
}

/* Grant-looking addresses (bit 63) are not: no region goes so far. */
static bool memory_foreign_reachable(
    const struct memory_foreign *foreign, uint64_t address, uint64_t size)
{
	return foreign->fd >= 0 && address >= foreign->region.guest_address &&
	       range_inside(address - foreign->region.guest_address, size, foreign->region.size);
}

static int memory_foreign_translate_user(
    struct guest_memory *memory, uint64_t user_address, uint64_t size, uint64_t *address)
{
	if (!memory_foreign_reachable(memory_foreign_from(memory), user_address, size))
		return -EFAULT;
	*address = user_address;
	return 0;
}

/* Checks all pieces and adds up what they span. */
static int memory_foreign_measure(const struct memory_foreign *foreign,
    const struct memory_piece *pieces, size_t count, size_t *pages, size_t *bytes)
{
	*pages = 0;
	*bytes = 0;
	for (size_t i = 0; i < count; i++) {
		if (!memory_foreign_reachable(foreign, pieces[i].address, pieces[i].length))
			return -EFAULT;
		if (!checked_add(*pages, (size_t)pages_of(&pieces[i]), pages) ||
		    !checked_add(*bytes, (size_t)pieces[i].length, bytes))
			return -E2BIG;
	}
	return 0;
}

/* ------------------------------------------------------------------- mapping */

/*
 * The frames of all pieces, and where each piece begins, as page numbers in the map. A piece
 * that goes on in the page where the one before it ended shares that page.
 */
static size_t memory_foreign_layout(
    const struct memory_piece *pieces, size_t count, uint64_t *frames, size_t *first_pages)
{
	size_t pages = 0;
	uint64_t end = 0; /* address after the last piece; 0: none */

	for (size_t i = 0; i < count; i++) {
		uint64_t frame = pieces[i].address >> FOREIGN_PAGE_SHIFT;
		uint64_t left = pages_of(&pieces[i]);

		first_pages[i] = pages;
		if (!left)
			continue;
		if (end && pieces[i].address == end && (end & PAGE_MASK)) {
			first_pages[i]--;
			frame++;
			left--;
		}
		end = pieces[i].address + pieces[i].length;
		while (left--)
			frames[pages++] = frame++;
	}
	return pages;
}

/* All frames or none. */
static int memory_foreign_map_all(struct memory_foreign *foreign, const uint64_t *frames,
    size_t count, bool writable, struct foreign_map *map)
{
	int *errors, error;

	assert(count);
	errors = calloc(count, sizeof(*errors));
	if (!errors)
		return -ENOMEM;
	error = memory_foreign_map_frames(foreign, frames, count, writable, errors, map);
	if (error && error != -ENOMEM)
		error = -EFAULT;
	if (error)
		goto out;
	for (size_t i = 0; i < count; i++)
		if (errors[i])
			error = -EFAULT;
	if (error)
		memory_foreign_unmap_frames(foreign, map);
out:
	free(errors);
	return error;
}

static int memory_foreign_map(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, enum memory_access access, struct memory_map **out)
{
	struct memory_foreign *foreign = memory_foreign_from(memory);
	struct memory_foreign_map *map = NULL;
	size_t *first_pages = NULL, pages, bytes;
	uint64_t *frames = NULL;
	int error;

	error = memory_foreign_measure(foreign, pieces, count, &pages, &bytes);
	if (error)
		return error;
	if (!bytes)
		return -EFAULT;
	/* Pieces that share a page count it twice here, once each at most. */
	if (pages > FOREIGN_PAGES_MAX + count)
		return -E2BIG;

	error = -ENOMEM;
	map = calloc(1, sizeof(*map) + count * sizeof(map->iov[0]));
	frames = calloc(pages, sizeof(*frames));
	first_pages = calloc(count, sizeof(*first_pages));
	if (!map || !frames || !first_pages)
		goto fail;
	pages = memory_foreign_layout(pieces, count, frames, first_pages);
	error = -E2BIG;
	if (pages > FOREIGN_PAGES_MAX)
		goto fail;
	error = memory_foreign_map_all(foreign, frames, pages, access & MEMORY_WRITE, &map->mapped);
	if (error)
		goto fail;

	map->base.iov = map->iov;
	for (size_t i = 0; i < count; i++)
		if (pieces[i].length)
			memory_map_append(&map->base,
			    (uint8_t *)map->mapped.address + first_pages[i] * FOREIGN_PAGE_SIZE +
				(pieces[i].address & PAGE_MASK),
			    pieces[i].length);
	free(first_pages);
	free(frames);
	*out = &map->base;
	return 0;

fail:
	free(first_pages);
	free(frames);
	free(map);
	return error;
}

static void memory_foreign_unmap(struct guest_memory *memory, struct memory_map *base)
{
	struct memory_foreign_map *map = (struct memory_foreign_map *)base; /* base is first */

	memory_foreign_unmap_frames(memory_foreign_from(memory), &map->mapped);
	free(map);
}

/* ------------------------------------------------------------------- copying */

static void copy_bytes(uint8_t *guest, uint8_t *local, size_t size, bool write)
{
	memcpy(write ? guest : local, write ? local : guest, size);
}

static int memory_foreign_copy_mapped(struct guest_memory *memory,
    const struct memory_piece *pieces, size_t count, uint8_t *local, size_t size, bool write)
{
	struct memory_map *map;
	int error;

	error = memory_foreign_map(
	    memory, pieces, count, write ? MEMORY_READ_WRITE : MEMORY_READ, &map);
	if (error)
		return error;
	for (size_t i = 0; i < map->iov_count && size; i++) {
		size_t n = map->iov[i].iov_len < size ? map->iov[i].iov_len : size;

		copy_bytes(map->iov[i].iov_base, local, n, write);
		local += n;
		size -= n;
	}
	memory_foreign_unmap(memory, map);
	return 0;
}

static int memory_foreign_copy_cached(struct memory_foreign *foreign,
    const struct memory_piece *pieces, size_t count, uint8_t *local, size_t size, bool write)
{
	int error = 0;

	for (size_t i = 0; i < count && size; i++) {
		uint64_t address = pieces[i].address;
		size_t left = pieces[i].length < size ? pieces[i].length : size;

		size -= left;
		while (left) {
			size_t offset = address & PAGE_MASK, n = FOREIGN_PAGE_SIZE - offset;
			uint8_t *page =
			    memory_foreign_page(foreign, address >> FOREIGN_PAGE_SHIFT, &error);

			if (!page)
				return error;
			if (n > left)
				n = left;
			copy_bytes(page + offset, local, n, write);
			foreign->base.statistics.segments++;
			local += n;
			address += n;
			left -= n;
		}
	}
	return 0;
}

static int memory_foreign_copy(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, uint8_t *local, size_t size, bool write)
{
	struct memory_foreign *foreign = memory_foreign_from(memory);
	size_t pages, bytes;
	int error;

	error = memory_foreign_measure(foreign, pieces, count, &pages, &bytes);
	if (error)
		return error;
	if (!write)
		size = bytes;
	if (size > bytes)
		return -EFAULT;
	if (pages > CACHED_PAGES_MAX && size)
		return memory_foreign_copy_mapped(memory, pieces, count, local, size, write);
	return memory_foreign_copy_cached(foreign, pieces, count, local, size, write);
}

static int memory_foreign_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count)
{
	return memory_foreign_copy(memory, pieces, count, to, 0, false);
}

static int memory_foreign_write(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, const void *from, size_t size)
{
	/* The local side of a copy to the guest is only read. */
	return memory_foreign_copy(memory, pieces, count, (uint8_t *)from, size, true);
}

static const struct guest_memory_impl memory_foreign_impl = {
	.name = "foreign",
	.destroy = memory_foreign_destroy,
	.add_region = memory_foreign_add_region,
	.remove_region = memory_foreign_remove_region,
	.translate_user = memory_foreign_translate_user,
	.read = memory_foreign_read,
	.write = memory_foreign_write,
	.map = memory_foreign_map,
	.unmap = memory_foreign_unmap,
};

int memory_foreign_create(struct guest_memory **memory)
{
	struct memory_foreign *foreign = calloc(1, sizeof(*foreign));

	if (!foreign)
		return -ENOMEM;
	foreign->base.impl = &memory_foreign_impl;
	foreign->fd = -1;
	*memory = &foreign->base;
	return 0;
}
