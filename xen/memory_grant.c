/* SPDX-License-Identifier: MIT */
#include "xen/memory_grant.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/log.h"
#include "xen/gntdev.h"
#include "xen/grant_client.h"
#include "xen/grant_queue.h"

#define PAGE_SHIFT 12
#define DOMID_RESERVED 0x7ff0 /* DOMID_FIRST_RESERVED of xen.h */

/* Segments of one copy: enough for a request and its response without an allocation. */
#define SEGMENTS_SMALL 32

/* What is put off at most: the answers to a queue's worth of small requests */
#define LATER_SEGMENTS 256
#define LATER_BYTES 16384

struct memory_grant {
	struct guest_memory base;
	struct grant_client *client; /* who asks gntdev for us; NULL: we do. Not owned */
	struct grant_queues *queues; /* that it serves; NULL: none */
	int fd;                      /* gntdev, or -1: no region */
	struct memory_region region; /* size 0: removed, while maps are left */
	bool copy_by_map;            /* grant copy is not to be had here */
	struct log_limit limit;

	/* Writes that are put off: segments of bytes[] */
	size_t later_count, later_size;
	struct gntdev_segment later[LATER_SEGMENTS];
	uint8_t later_bytes[LATER_BYTES];
};

struct memory_grant_map {
	struct memory_map base;
	struct gntdev_map mapped;
	struct iovec iov[];
};

/* A piece as pages: offset in the first one, and the references. */
struct grant_span {
	uint32_t offset;
	struct gntdev_run run;
};

static struct memory_grant *memory_grant_from(struct guest_memory *memory)
{
	return (struct memory_grant *)memory; /* base is first */
}

/* Nothing in @piece can be trusted: does it hold references that exist? */
static bool piece_is_valid(const struct memory_piece *piece)
{
	uint64_t reference = (piece->address & ~MEMORY_GRANT_ADDRESS) >> PAGE_SHIFT;
	uint64_t offset = piece->address & (GNTDEV_PAGE_SIZE - 1);
	uint64_t pages = (offset + piece->length + GNTDEV_PAGE_SIZE - 1) >> PAGE_SHIFT;

	/* Neither may the first reference be out of range nor the last one wrap. */
	return (piece->address & MEMORY_GRANT_ADDRESS) && reference <= UINT32_MAX &&
	       pages <= (uint64_t)UINT32_MAX + 1 - reference;
}

/* Of a valid piece. The run is empty where the piece is. */
static struct grant_span span_of(const struct memory_piece *piece)
{
	uint32_t offset = piece->address & (GNTDEV_PAGE_SIZE - 1);
	uint64_t pages = ((uint64_t)offset + piece->length + GNTDEV_PAGE_SIZE - 1) >> PAGE_SHIFT;

	return (struct grant_span){
		.offset = offset,
		.run.first = (uint32_t)((piece->address & ~MEMORY_GRANT_ADDRESS) >> PAGE_SHIFT),
		.run.count = piece->length ? (uint32_t)pages : 0,
	};
}

static void memory_grant_flush(struct guest_memory *memory);

/* ------------------------------------------------------------------- the grant device */

static uint16_t memory_grant_domid(const struct memory_grant *grant)
{
	return (uint16_t)grant->region.xen_domid;
}

static void memory_grant_count_questions(struct memory_grant *grant)
{
	if (grant->client)
		grant->base.statistics.questions = grant_client_questions(grant->client);
}

static int memory_grant_device_map(struct memory_grant *grant, const struct gntdev_run *runs,
    size_t count, bool writable, struct gntdev_map *map)
{
	int error;

	if (!grant->client)
		return gntdev_map(grant->fd, memory_grant_domid(grant), runs, count, writable, map);
	error = grant_client_map(grant->client, grant->fd, runs, count, writable, map);
	memory_grant_count_questions(grant);
	return error;
}

static void memory_grant_device_unmap(struct memory_grant *grant, const struct gntdev_map *map)
{
	if (!grant->client) {
		gntdev_unmap(grant->fd, map);
		return;
	}
	grant_client_unmap(grant->client, map);
	memory_grant_count_questions(grant);
}

static int memory_grant_device_copy(struct memory_grant *grant, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count)
{
	int error;

	grant->base.statistics.copy_calls++;
	grant->base.statistics.segments += count;
	if (!grant->client)
		return gntdev_copy(
		    grant->fd, memory_grant_domid(grant), direction, segments, count);
	error = grant_client_copy(grant->client, direction, segments, count);
	memory_grant_count_questions(grant);
	return error;
}

/* The kernel of this process answers, or the monitor, who has its own view of whose memory it is.
 */
static int memory_grant_check_device(struct memory_grant *grant, int fd, uint32_t domid)
{
	if (fd < 0)
		return -EBADF;
	if (!grant->client)
		return gntdev_check(fd);
	return grant_client_set_device(grant->client, fd, (uint16_t)domid);
}

/* ------------------------------------------------------------------- regions */

static void memory_grant_destroy(struct guest_memory *memory)
{
	struct memory_grant *grant = memory_grant_from(memory);

	if (grant->fd >= 0)
		close(grant->fd);
	grant_queues_destroy(grant->queues);
	free(grant);
}

static int memory_grant_add_region(
    struct guest_memory *memory, const struct memory_region *region, int fd)
{
	struct memory_grant *grant = memory_grant_from(memory);
	int error;

	if (region->xen_flags != (MEMORY_XEN_GRANT | MEMORY_XEN_NO_ADVANCE_MAP) ||
	    !(region->guest_address & MEMORY_GRANT_ADDRESS) ||
	    region->guest_address != region->user_address || !region->size ||
	    region->size > MEMORY_GRANT_SIZE || region->xen_domid >= DOMID_RESERVED) {
		log_error("Grant region with flags %#x of domain %u makes no sense",
		    region->xen_flags, region->xen_domid);
		return -EINVAL;
	}
	if (grant->fd >= 0)
		return -EEXIST;
	error = memory_grant_check_device(grant, fd, region->xen_domid);
	if (error) {
		log_error("The descriptor of the grant region is no /dev/xen/gntdev with grant "
			  "copy: %s",
		    strerror(-error));
		return -EINVAL;
	}
	grant->fd = fd;
	grant->region = *region;
	return 0;
}

/* Maps that outlive their region are unmapped through its descriptor. */
static void memory_grant_close(struct memory_grant *grant)
{
	if (grant->base.statistics.maps || grant->region.size)
		return;
	close(grant->fd);
	grant->fd = -1;
}

static int memory_grant_remove_region(
    struct guest_memory *memory, const struct memory_region *region)
{
	struct memory_grant *grant = memory_grant_from(memory);

	if (grant->fd < 0 || region->guest_address != grant->region.guest_address ||
	    region->size != grant->region.size ||
	    region->user_address != grant->region.user_address)
		return -ENOENT;
	memory_grant_flush(memory);
	grant->region.size = 0;
	memory_grant_close(grant);
	return 0;
}

static bool memory_grant_reachable(
    const struct memory_grant *grant, uint64_t address, uint64_t size)
{
	return grant->fd >= 0 && address >= grant->region.guest_address &&
	       range_inside(address - grant->region.guest_address, size, grant->region.size);
}

static int memory_grant_translate_user(
    struct guest_memory *memory, uint64_t user_address, uint64_t size, uint64_t *address)
{
	if (!memory_grant_reachable(memory_grant_from(memory), user_address, size))
		return -EFAULT;
	*address = user_address;
	return 0;
}

/* Checks all pieces and adds up what they span. */
static int memory_grant_measure(struct memory_grant *grant, const struct memory_piece *pieces,
    size_t count, size_t *pages, size_t *bytes)
{
	*pages = 0;
	*bytes = 0;
	for (size_t i = 0; i < count; i++) {
		if (!(pieces[i].address & MEMORY_GRANT_ADDRESS))
			log_guest(&grant->limit,
			    "the guest's address %#llx is no grant: its kernel needs "
			    "CONFIG_XEN_VIRTIO, and an iommus property in the device tree",
			    (unsigned long long)pieces[i].address);
		if (!piece_is_valid(&pieces[i]) ||
		    !memory_grant_reachable(grant, pieces[i].address, pieces[i].length))
			return -EFAULT;
		if (!checked_add(*pages, (size_t)span_of(&pieces[i]).run.count, pages) ||
		    !checked_add(*bytes, (size_t)pieces[i].length, bytes))
			return -E2BIG;
	}
	return 0;
}

/* ------------------------------------------------------------------- mapping */

/*
 * The runs of all pieces, and where each piece begins, as page numbers in the map. A
 * piece that goes on in the page where the one before it ended shares that page.
 */
static size_t memory_grant_layout(const struct memory_piece *pieces, size_t count,
    struct gntdev_run *runs, size_t *run_count, size_t *first_pages)
{
	size_t pages = 0, runs_used = 0;
	uint64_t end = 0; /* bus address after the last piece; 0: none */

	for (size_t i = 0; i < count; i++) {
		struct grant_span span;
		bool shares;

		first_pages[i] = pages;
		if (!pieces[i].length)
			continue;
		span = span_of(&pieces[i]);
		shares = span.offset && end && pieces[i].address == end;
		if (shares) {
			first_pages[i] = pages - 1;
			span.run.first++;
			span.run.count--;
		}
		end = pieces[i].address + pieces[i].length;
		pages += span.run.count;
		if (!span.run.count)
			continue;
		if (runs_used && (uint64_t)runs[runs_used - 1].first + runs[runs_used - 1].count ==
				     span.run.first)
			runs[runs_used - 1].count += span.run.count;
		else
			runs[runs_used++] = span.run;
	}
	*run_count = runs_used;
	return pages;
}

static int memory_grant_map(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, enum memory_access access, struct memory_map **out)
{
	struct memory_grant *grant = memory_grant_from(memory);
	struct memory_grant_map *map = NULL;
	struct gntdev_run *runs = NULL;
	size_t *first_pages = NULL;
	size_t pages, bytes, run_count;
	int error;

	error = memory_grant_measure(grant, pieces, count, &pages, &bytes);
	if (error)
		return error;
	if (!bytes)
		return -EFAULT;

	error = -ENOMEM;
	map = calloc(1, sizeof(*map) + count * sizeof(map->iov[0]));
	runs = calloc(count, sizeof(*runs));
	first_pages = calloc(count, sizeof(*first_pages));
	if (!map || !runs || !first_pages)
		goto fail;
	pages = memory_grant_layout(pieces, count, runs, &run_count, first_pages);
	error = -E2BIG;
	if (pages > GNTDEV_PAGES_MAX)
		goto fail;
	error =
	    memory_grant_device_map(grant, runs, run_count, access & MEMORY_WRITE, &map->mapped);
	grant->base.statistics.map_calls++;
	if (error)
		goto fail;
	grant->base.statistics.maps++;
	grant->base.statistics.pages_mapped += pages;

	map->base.iov = map->iov;
	for (size_t i = 0; i < count; i++)
		if (pieces[i].length)
			memory_map_append(&map->base,
			    (uint8_t *)map->mapped.address + first_pages[i] * GNTDEV_PAGE_SIZE +
				(pieces[i].address & (GNTDEV_PAGE_SIZE - 1)),
			    pieces[i].length);
	free(first_pages);
	free(runs);
	*out = &map->base;
	return 0;

fail:
	free(first_pages);
	free(runs);
	free(map);
	return error;
}

static void memory_grant_unmap(struct guest_memory *memory, struct memory_map *base)
{
	struct memory_grant *grant = memory_grant_from(memory);
	struct memory_grant_map *map = (struct memory_grant_map *)base; /* base is first */

	memory_grant_device_unmap(grant, &map->mapped);
	free(map);
	grant->base.statistics.unmap_calls++;
	grant->base.statistics.maps--;
	memory_grant_close(grant);
}

/* ------------------------------------------------------------------- copying */

/* Segments, one for each page, of the first @size bytes of pieces that were measured; their number.
 */
static size_t memory_grant_cut(const struct memory_piece *pieces, size_t count, uint8_t *local,
    size_t size, struct gntdev_segment *segments)
{
	size_t n = 0;

	for (size_t i = 0; i < count && size; i++) {
		struct grant_span span = span_of(&pieces[i]);
		size_t left = pieces[i].length < size ? pieces[i].length : size;

		size -= left;
		for (uint32_t page = 0; left; page++) {
			uint32_t offset = page ? 0 : span.offset;
			size_t length = GNTDEV_PAGE_SIZE - offset;

			if (length > left)
				length = left;
			segments[n++] = (struct gntdev_segment){
				.reference = span.run.first + page,
				.offset = (uint16_t)offset,
				.length = (uint16_t)length,
				.local = local,
			};
			local += length;
			left -= length;
		}
	}
	return n;
}

static int memory_grant_copy_mapped(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, void *local, size_t size, enum gntdev_direction direction)
{
	struct memory_map *map;
	uint8_t *at = local;
	int error;

	error = memory_grant_map(memory, pieces, count,
	    direction == GNTDEV_FROM_GUEST ? MEMORY_READ : MEMORY_READ_WRITE, &map);
	if (error)
		return error;
	for (size_t i = 0; i < map->iov_count && size; i++) {
		size_t n = map->iov[i].iov_len < size ? map->iov[i].iov_len : size;

		if (direction == GNTDEV_FROM_GUEST)
			memcpy(at, map->iov[i].iov_base, n);
		else
			memcpy(map->iov[i].iov_base, at, n);
		at += n;
		size -= n;
	}
	memory_grant_unmap(memory, map);
	return 0;
}

static int memory_grant_copy(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, void *local, size_t size, enum gntdev_direction direction)
{
	struct memory_grant *grant = memory_grant_from(memory);
	struct gntdev_segment small[SEGMENTS_SMALL] = { 0 }, *segments = small;
	size_t pages, bytes, n;
	int error;

	error = memory_grant_measure(grant, pieces, count, &pages, &bytes);
	if (error)
		return error;
	if (direction == GNTDEV_FROM_GUEST)
		size = bytes;
	if (size > bytes)
		return -EFAULT;
	if (!size)
		return 0;
	if (grant->copy_by_map)
		goto by_map;

	if (pages > SEGMENTS_SMALL) {
		segments = calloc(pages, sizeof(*segments));
		if (!segments)
			return -ENOMEM;
	}
	n = memory_grant_cut(pieces, count, local, size, segments);
	error = memory_grant_device_copy(grant, direction, segments, n);
	if (segments != small)
		free(segments);
	if (error != -EACCES && error != -ENOTTY)
		return error;

by_map:
	error = memory_grant_copy_mapped(memory, pieces, count, local, size, direction);
	if (!error && !grant->copy_by_map) {
		log_warning("Xen's policy refuses grant copies from this guest: each request is "
			    "mapped and unmapped instead, which is slow (FLASK: 'grant copy' "
			    "in both directions, see configs/flask)");
		grant->copy_by_map = true;
	}
	return error;
}

static int memory_grant_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count)
{
	struct memory_grant *grant = memory_grant_from(memory);

	if (grant->queues && count && grant_queues_owns(&pieces[0]))
		return grant_queues_read(grant->queues, to, pieces, count);
	return memory_grant_copy(memory, pieces, count, to, 0, GNTDEV_FROM_GUEST);
}

static int memory_grant_write(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, const void *from, size_t size)
{
	struct memory_grant *grant = memory_grant_from(memory);

	if (grant->queues && count && grant_queues_owns(&pieces[0]))
		return grant_queues_write(grant->queues, pieces, count, from, size);
	/* The local side of a copy to the guest is only read. */
	return memory_grant_copy(memory, pieces, count, (void *)from, size, GNTDEV_TO_GUEST);
}

static int memory_grant_write_later(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, const void *from, size_t size)
{
	struct memory_grant *grant = memory_grant_from(memory);
	uint8_t *bytes;
	size_t pages, room;
	int error;

	if (grant->queues && count && grant_queues_owns(&pieces[0]))
		return grant_queues_write(grant->queues, pieces, count, from, size);
	error = memory_grant_measure(grant, pieces, count, &pages, &room);
	if (error)
		return error;
	if (size > room)
		return -EFAULT;
	if (grant->copy_by_map || pages > LATER_SEGMENTS || size > LATER_BYTES)
		return memory_grant_write(memory, pieces, count, from, size);
	if (pages > LATER_SEGMENTS - grant->later_count || size > LATER_BYTES - grant->later_size)
		memory_grant_flush(memory);
	bytes = grant->later_bytes + grant->later_size;
	memcpy(bytes, from, size);
	grant->later_size += size;
	grant->later_count +=
	    memory_grant_cut(pieces, count, bytes, size, &grant->later[grant->later_count]);
	return 0;
}

/* One call for all. Xen copies what it can: a bad reference spoils only what it was for. */
static void memory_grant_flush(struct guest_memory *memory)
{
	struct memory_grant *grant = memory_grant_from(memory);
	int error;

	if (!grant->later_count)
		return;
	error = memory_grant_device_copy(grant, GNTDEV_TO_GUEST, grant->later, grant->later_count);
	if (error == -EACCES || error == -ENOTTY) {
		/* The policy lets us copy from the guest, but not to it. */
		for (size_t i = 0; i < grant->later_count; i++) {
			const struct gntdev_segment *segment = &grant->later[i];
			const struct memory_piece piece = {
				.address = MEMORY_GRANT_ADDRESS |
					   (uint64_t)segment->reference << PAGE_SHIFT |
					   segment->offset,
				.length = segment->length,
			};

			memory_grant_write(memory, &piece, 1, segment->local, segment->length);
		}
	} else if (error) {
		log_guest(&grant->limit, "an answer cannot be written to the guest's memory: %s",
		    strerror(-error));
	}
	grant->later_count = grant->later_size = 0;
}

static int memory_grant_relay(struct guest_memory *memory, unsigned index,
    const struct virtqueue_config *config, int call_fd, struct virtqueue_relay **relay)
{
	struct memory_grant *grant = memory_grant_from(memory);
	int error;

	if (!grant->queues)
		return -EOPNOTSUPP;
	error = grant_queues_start(grant->queues, index, config, call_fd, relay);
	memory_grant_count_questions(grant);
	return error;
}

static const struct guest_memory_impl memory_grant_impl = {
	.name = "grants",
	.destroy = memory_grant_destroy,
	.add_region = memory_grant_add_region,
	.remove_region = memory_grant_remove_region,
	.translate_user = memory_grant_translate_user,
	.read = memory_grant_read,
	.write = memory_grant_write,
	.write_later = memory_grant_write_later,
	.flush = memory_grant_flush,
	.map = memory_grant_map,
	.unmap = memory_grant_unmap,
	.relay = memory_grant_relay,
};

int memory_grant_create(struct grant_client *client, struct guest_memory **memory)
{
	struct memory_grant *grant = calloc(1, sizeof(*grant));

	if (!grant)
		return -ENOMEM;
	grant->base.impl = &memory_grant_impl;
	grant->client = client;
	if (client && grant_client_relays(client)) {
		grant->queues = grant_queues_create(client, &grant->base.statistics);
		if (!grant->queues) {
			free(grant);
			return -ENOMEM;
		}
	}
	grant->fd = -1;
	*memory = &grant->base;
	return 0;
}
