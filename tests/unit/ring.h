/* SPDX-License-Identifier: MIT */
/*
 * A queue in shared memory and the driver's side of it, bare: tests write descriptors and
 * indices by hand, right or wrong.
 */
#ifndef GPUDOM_TESTS_UNIT_RING_H
#define GPUDOM_TESTS_UNIT_RING_H

#include <assert.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/memory.h"
#include "backend/virtqueue.h"

#define RING_MEMORY UINT64_C(0x200000)
#define RING_GUEST UINT64_C(0x80000000)    /* bus address of the first byte */
#define RING_USER UINT64_C(0x7f1200000000) /* the front end's address of it */
#define RING_DESC (RING_GUEST + 0x1000)    /* room for VIRTQUEUE_SIZE_MAX everywhere */
#define RING_AVAIL (RING_GUEST + 0x8000)
#define RING_USED (RING_GUEST + 0xa000)
#define RING_TABLE (RING_GUEST + 0x10000)  /* for indirect tables */
#define RING_BUFFER (RING_GUEST + 0x40000) /* for buffers */
#define RING_SIZE 8

struct ring {
	int fd;
	uint8_t *bytes;
	struct guest_memory *memory;
	uint16_t size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t *used_event, *avail_event;
	uint16_t next_used; /* of the driver */
};

static inline void *ring_at(struct ring *ring, uint64_t address)
{
	return ring->bytes + (address - RING_GUEST);
}

static inline void ring_set_size(struct ring *ring, uint16_t size)
{
	ring->size = size;
	ring->desc = ring_at(ring, RING_DESC);
	ring->avail = ring_at(ring, RING_AVAIL);
	ring->used = ring_at(ring, RING_USED);
	ring->used_event = &ring->avail->ring[size];
	ring->avail_event = (uint16_t *)&ring->used->ring[size];
}

static inline struct memory_region ring_region(void)
{
	return (struct memory_region){
		.guest_address = RING_GUEST, .size = RING_MEMORY, .user_address = RING_USER
	};
}

/* With @memory false, there is only the file. */
static inline void ring_init(struct ring *ring, bool memory)
{
	struct memory_region region = ring_region();

	memset(ring, 0, sizeof(*ring));
	ring->fd = memfd_create("guest", MFD_CLOEXEC);
	if (ring->fd < 0 || ftruncate(ring->fd, RING_MEMORY) < 0)
		abort();
	ring->bytes = mmap(NULL, RING_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (ring->bytes == MAP_FAILED)
		abort();
	ring_set_size(ring, RING_SIZE);
	if (memory && (memory_mmap_create(&ring->memory) ||
			  memory_add_region(ring->memory, &region, dup(ring->fd))))
		abort();
}

static inline void ring_finish(struct ring *ring)
{
	memory_destroy(ring->memory);
	munmap(ring->bytes, RING_MEMORY);
	close(ring->fd);
}

/* What a driver does when it resets the device: empty rings. */
static inline void ring_clear(struct ring *ring)
{
	memset(ring_at(ring, RING_DESC), 0, RING_TABLE - RING_DESC);
	ring->next_used = 0;
}

static inline struct virtqueue_config ring_config(const struct ring *ring, uint64_t features)
{
	return (struct virtqueue_config){ .size = ring->size,
		.features = features,
		.desc = RING_DESC,
		.avail = RING_AVAIL,
		.used = RING_USED };
}

static inline void ring_desc(
    struct vring_desc *desc, uint64_t address, uint32_t length, uint16_t flags, uint16_t next)
{
	*desc = (struct vring_desc){ address, length, flags, next };
}

/* Makes a head available. */
static inline void ring_add(struct ring *ring, uint16_t head)
{
	uint16_t index = ring->avail->idx;

	ring->avail->ring[index % ring->size] = head;
	__atomic_store_n(&ring->avail->idx, (uint16_t)(index + 1), __ATOMIC_RELEASE);
}

/* A well-formed request of 16 readable and 32 writable bytes in descriptors @head and @head + 1. */
static inline void ring_add_request(struct ring *ring, uint16_t head)
{
	ring_desc(&ring->desc[head], RING_BUFFER + head * 64u, 16, VRING_DESC_F_NEXT,
	    (uint16_t)(head + 1));
	ring_desc(
	    &ring->desc[head + 1], RING_BUFFER + 0x10000 + head * 64u, 32, VRING_DESC_F_WRITE, 0);
	ring_add(ring, head);
}

/* The count of an eventfd that does not block, and back to 0. */
static inline uint64_t ring_take_event(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

#endif
