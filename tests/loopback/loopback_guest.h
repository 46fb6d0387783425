/* SPDX-License-Identifier: MIT */
/*
 * The loopback guest: what a guest's virtio driver keeps in its memory. Pages come from
 * a shared memfd; queues are real split virtqueues (virtio 1.2, 2.7) in these pages, seen
 * from the driver's side.
 *
 * Running out of guest memory or descriptors is an error of the test, and aborts.
 */
#ifndef GPUDOM_TESTS_LOOPBACK_GUEST_H
#define GPUDOM_TESTS_LOOPBACK_GUEST_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/memory.h"

#define LOOPBACK_PAGE 4096
#define LOOPBACK_REGIONS_MAX 4
#define LOOPBACK_QUEUE_SIZE_MAX 1024

/* Ends the test with a line that says why. */
void loopback_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* ---------------------------------------------------------------- memory */

struct loopback_memory {
	int fd; /* memfd, owned */
	uint8_t *bytes;
	size_t size;
	/* The memfd in equal parts, which lie apart in the guest's address space */
	unsigned region_count;
	struct memory_region regions[LOOPBACK_REGIONS_MAX];
	bool *page_used;
	size_t page_count, page_next; /* page_next: where the search begins */
};

/* @size bytes, rounded up to whole pages, in @regions parts (1 to LOOPBACK_REGIONS_MAX).
 * 0 or -errno. */
int loopback_memory_init(struct loopback_memory *memory, size_t size, unsigned regions);
void loopback_memory_finish(struct loopback_memory *memory);

/* Whole pages, zeroed, contiguous and inside one region. */
void *loopback_alloc(struct loopback_memory *memory, size_t size);
/* @size as it was allocated. Accepts NULL. */
void loopback_free(struct loopback_memory *memory, void *pages, size_t size);
size_t loopback_memory_used(const struct loopback_memory *memory); /* bytes */

/* The guest address of a byte that loopback_alloc() gave. */
uint64_t loopback_address(const struct loopback_memory *memory, const void *pointer);
struct memory_piece loopback_piece(
    const struct loopback_memory *memory, const void *pointer, uint32_t length);

/* ---------------------------------------------------------------- queues */

struct loopback_chain {
	bool busy;
	uint16_t count;           /* descriptors of the ring that it occupies */
	struct vring_desc *table; /* indirect; kept for the next chain with this head */
	size_t table_size;        /* bytes */
	void *data;               /* the caller's */
};

struct loopback_queue {
	struct loopback_memory *memory;
	unsigned index;
	uint16_t size;
	bool indirect, event_idx; /* as negotiated */

	/* In guest memory; a hostile test writes here what it likes. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	__virtio16 *used_event, *avail_event; /* behind the rings: when to call, when to kick */

	int kick_fd, call_fd, error_fd; /* eventfds, owned */
	uint16_t free_head, free_count;
	uint16_t avail_index; /* next entry of the available ring to fill */
	uint16_t kicked;      /* avail_index at the last kick */
	uint16_t last_used;   /* next entry of the used ring to look at */
	uint64_t kicks, calls, waits;
	struct loopback_chain chains[LOOPBACK_QUEUE_SIZE_MAX];
};

int loopback_queue_init(
    struct loopback_queue *queue, struct loopback_memory *memory, unsigned index, uint16_t size);
void loopback_queue_finish(struct loopback_queue *queue);
/* The rings as a driver leaves them before DRIVER_OK: empty. */
void loopback_queue_reset(struct loopback_queue *queue);

/* Can a chain of @count pieces be added now? */
bool loopback_queue_has_room(const struct loopback_queue *queue, size_t count);

/* Adds a request: @readable pieces, then @writable ones. It is visible to the device at
 * once, which is told of it by loopback_queue_kick(). Returns the head. */
uint16_t loopback_queue_add(struct loopback_queue *queue, const struct memory_piece *readable,
    size_t readable_count, const struct memory_piece *writable, size_t writable_count, void *data);

/* Makes an available entry of a head alone, for descriptors written by hand. */
void loopback_queue_add_head(struct loopback_queue *queue, uint16_t head);

/* Notifies the device where it asked for that. True: it did. */
bool loopback_queue_kick(struct loopback_queue *queue);
void loopback_queue_kick_always(struct loopback_queue *queue);

/* Takes the next used entry, gives its descriptors back. False: there is none. Aborts
 * where the device returns a head that it was not given. */
bool loopback_queue_take(
    struct loopback_queue *queue, uint16_t *head, uint32_t *written, void **data);

/* Asks for a call for the next used entry. True: one has arrived meanwhile. */
bool loopback_queue_enable_calls(struct loopback_queue *queue);

#endif
