/* SPDX-License-Identifier: MIT */
/*
 * The worker's half of its grants: gntdev.h's calls as questions to the monitor (grant_broker.h),
 * for which this process waits. Everything is the one guest's that the monitor was started for.
 */
#ifndef GPUDOM_XEN_GRANT_CLIENT_H
#define GPUDOM_XEN_GRANT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/gntdev.h"

struct grant_client;

/* Takes over @socket on success. @relays: the monitor shall serve the queues; else requests and
 * answers are copied by it, a question each time. -ENOTCONN, -EPROTO and -ENOMEM. */
int grant_client_create(int socket, bool relays, struct grant_client **client);
bool grant_client_relays(const struct grant_client *client);
/* Accepts NULL. */
void grant_client_destroy(struct grant_client *client);

/* Says which open gntdev is meant, which stays the caller's: the monitor gets a copy. -EPERM for
 * another domain than its own, -EBUSY while something is inserted in the last one. */
int grant_client_set_device(struct grant_client *client, int fd, uint16_t domid);

/* As in gntdev.h, and -ENOSPC where the monitor's quota is used up. */
int grant_client_map(struct grant_client *client, int fd, const struct gntdev_run *runs,
    size_t count, bool writable, struct gntdev_map *map);
void grant_client_unmap(struct grant_client *client, const struct gntdev_map *map);
int grant_client_copy(struct grant_client *client, enum gntdev_direction direction,
    const struct gntdev_segment *segments, size_t count);

struct virtqueue_config; /* backend/virtqueue.h */

/* Has the monitor serve a queue (grant_queue.h): *bytes of requests lie in its memory, behind
 * struct grant_queue_shared; @fds, GRANT_QUEUE_ANSWER_FDS of them, become the caller's. As
 * virtqueue_start(). */
int grant_client_start_queue(struct grant_client *client, unsigned index,
    const struct virtqueue_config *config, int call_fd, uint64_t *bytes, int *fds);
/* -1: as it is */
void grant_client_set_queue_fds(
    struct grant_client *client, unsigned index, int kick_fd, int call_fd);
/* The next available entry to take, where @popped requests were. */
uint16_t grant_client_stop_queue(struct grant_client *client, unsigned index, uint32_t popped);

/* How many times we have waited for an answer. */
uint64_t grant_client_questions(const struct grant_client *client);

#endif
