/* SPDX-License-Identifier: MIT */
/* The worker's half of a queue that its monitor serves (grant_relay.h): a struct virtqueue_relay
 * over shared memory, and the bytes of its requests and answers. */
#ifndef GPUDOM_XEN_GRANT_QUEUE_H
#define GPUDOM_XEN_GRANT_QUEUE_H

#include <stdbool.h>

#include "backend/memory.h"
#include "xen/grant_client.h"

/* Addresses of pieces of a relayed chain; no bus address of a grant has this bit alone. */
#define GRANT_QUEUE_ADDRESS (UINT64_C(1) << 62)

struct grant_queues;

/* @statistics, where the monitor's copies are counted, outlives it. NULL without memory. */
struct grant_queues *grant_queues_create(
    struct grant_client *client, struct memory_statistics *statistics);
/* All queues must have been stopped. Accepts NULL. */
void grant_queues_destroy(struct grant_queues *queues);

/* As struct guest_memory_impl's relay(). */
int grant_queues_start(struct grant_queues *queues, unsigned index,
    const struct virtqueue_config *config, int call_fd, struct virtqueue_relay **relay);

/* Is this piece one of a chain's? */
static inline bool grant_queues_owns(const struct memory_piece *piece)
{
	return piece->address >> 62 == 1;
}

/* As memory_read() and memory_write() of such pieces. */
int grant_queues_read(
    struct grant_queues *queues, void *to, const struct memory_piece *pieces, size_t count);
int grant_queues_write(struct grant_queues *queues, const struct memory_piece *pieces, size_t count,
    const void *from, size_t size);

#endif
