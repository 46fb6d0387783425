/* SPDX-License-Identifier: MIT */
/* Two queues in pages that a guest of the fake grant device has granted as Linux does, and
 * requests of 16 bytes on them. */
#ifndef GPUDOM_TESTS_XEN_GRANT_RING_H
#define GPUDOM_TESTS_XEN_GRANT_RING_H

#include <linux/virtio_ring.h>
#include <stdint.h>
#include <string.h>

#include "tests/xen/fake_foreign.h"
#include "tests/xen/fake_gntdev.h"
#include "xen/memory_grant.h"

#define GRANT_RING_SIZE 8 /* of a queue */
enum { PAGE_RING, PAGE_USED, PAGE_REQUEST, PAGE_ANSWER, PAGES_PER_QUEUE };
#define GRANT_RING_PAGES (2 * PAGES_PER_QUEUE)

static inline uint32_t grant_ring_reference(unsigned queue, unsigned page)
{
	return 100 + queue * 10 + page;
}

/* The guest does not grant: it uses the physical addresses of the same pages. */
static bool grant_ring_foreign;

static inline uint64_t grant_ring_bus(unsigned queue, unsigned page, uint32_t offset)
{
	if (grant_ring_foreign)
		return ((uint64_t)FAKE_FOREIGN_FIRST + queue * PAGES_PER_QUEUE + page) << 12 |
		       offset;
	return MEMORY_GRANT_ADDRESS | (uint64_t)grant_ring_reference(queue, page) << 12 | offset;
}

static inline void *grant_ring_page(unsigned queue, unsigned page)
{
	return fake_gntdev_memory + (size_t)(queue * PAGES_PER_QUEUE + page) * GNTDEV_PAGE_SIZE;
}

/* Descriptors, available ring and requests are granted read-only. */
static inline void grant_ring_init(uint16_t domid)
{
	fake_gntdev_reset(GRANT_RING_PAGES);
	if (grant_ring_foreign)
		fake_foreign_reset(domid);
	for (unsigned i = 0; i < GRANT_RING_PAGES; i++) {
		unsigned page = i % PAGES_PER_QUEUE;

		fake_gntdev_grant(domid, grant_ring_reference(i / PAGES_PER_QUEUE, page), i, 1,
		    page == PAGE_RING || page == PAGE_REQUEST);
	}
}

/* Empty rings, as after a reset. */
static inline void grant_ring_clear(void)
{
	memset(fake_gntdev_memory, 0, (size_t)GRANT_RING_PAGES * GNTDEV_PAGE_SIZE);
}

/* Makes a request of 16 bytes available, with room for 32. The caller kicks. */
static inline void grant_ring_add(unsigned queue, uint8_t fill)
{
	struct vring_desc *desc = grant_ring_page(queue, PAGE_RING);
	struct vring_avail *avail = (struct vring_avail *)((uint8_t *)desc + 0x400);

	memset(grant_ring_page(queue, PAGE_REQUEST), fill, 16);
	memset(grant_ring_page(queue, PAGE_ANSWER), 0, 32);
	desc[0] =
	    (struct vring_desc){ grant_ring_bus(queue, PAGE_REQUEST, 0), 16, VRING_DESC_F_NEXT, 1 };
	desc[1] =
	    (struct vring_desc){ grant_ring_bus(queue, PAGE_ANSWER, 0), 32, VRING_DESC_F_WRITE, 0 };
	avail->ring[avail->idx % GRANT_RING_SIZE] = 0;
	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
}

static inline uint16_t grant_ring_used(unsigned queue)
{
	struct vring_used *used = grant_ring_page(queue, PAGE_USED);

	return __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
}

#endif
