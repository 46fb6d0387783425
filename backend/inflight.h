/* SPDX-License-Identifier: MIT */
/*
 * Which requests are in flight, in memory that the front end keeps when the back
 * end dies (vhost-user, "Inflight I/O tracking", split virtqueues). Its content is
 * the front end's and a dead predecessor's: it is checked like any other input.
 */
#ifndef GPUDOM_BACKEND_INFLIGHT_H
#define GPUDOM_BACKEND_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/virtqueue.h"

/* The region of one queue, as the protocol lays it out */
struct inflight_descriptor {
	uint8_t inflight;
	uint8_t progress; /* enum virtqueue_progress, in the protocol's padding */
	uint8_t padding[4];
	uint16_t next;    /* the list of the last batch of used descriptors */
	uint64_t counter; /* the order in which they were taken */
};

struct inflight_region {
	uint64_t features;
	uint16_t version; /* 1; 0: not initialised */
	uint16_t descriptor_count;
	uint16_t last_batch_head;
	uint16_t used_index; /* "Store the idx value of used ring" */
	struct inflight_descriptor descriptors[];
};

/* One queue's record. */
struct virtqueue_inflight {
	struct inflight_region *region;
	uint16_t size;
	uint64_t counter;
	uint16_t resubmit[VIRTQUEUE_SIZE_MAX]; /* heads to take anew, in their order */
	uint16_t resubmit_count, resubmitted;
	uint16_t batch[VIRTQUEUE_SIZE_MAX]; /* heads pushed and not yet published */
	uint16_t batch_count;
};

/* Bytes of a region. */
size_t inflight_region_size(uint16_t queue_size);

/*
 * Settles what a predecessor left: the batch that it published but did not record,
 * then the list of heads to take anew. @used_index is the used ring's idx; heads from
 * @queue_size on, at most inflight->size, are of another ring and are forgotten.
 */
void virtqueue_inflight_start(
    struct virtqueue_inflight *inflight, uint16_t queue_size, uint16_t used_index);

/* The next head to take anew, and how far a predecessor got with it. */
bool virtqueue_inflight_resubmit(
    struct virtqueue_inflight *inflight, uint16_t *head, enum virtqueue_progress *progress);

/* How far a head that was taken has got. */
void virtqueue_inflight_set_progress(
    struct virtqueue_inflight *inflight, uint16_t head, enum virtqueue_progress progress);

/* A head was taken, and is pushed; all pushed ones were published with this used index. */
void virtqueue_inflight_take(struct virtqueue_inflight *inflight, uint16_t head);
void virtqueue_inflight_untake(struct virtqueue_inflight *inflight, uint16_t head);
void virtqueue_inflight_push(struct virtqueue_inflight *inflight, uint16_t head);
void virtqueue_inflight_publish(struct virtqueue_inflight *inflight, uint16_t used_index);

/* The records of all queues. */
struct inflight {
	int fd; /* for another process that records in it (a relay); owned */
	void *mapping;
	size_t mapping_size;
	unsigned queue_count;
	uint16_t queue_size;
	struct virtqueue_inflight *queues;
	void *ledger;                   /* the device's part of it (ledger.h); NULL: none */
	uint64_t device, inode, offset; /* of the file */
};

/*
 * A new file for so many queues (GET_INFLIGHT_FD) and, behind their regions, a ledger of
 * @ledger_size bytes (0: none), all zero; *size becomes its size, which nobody can change. The
 * descriptor, or -EINVAL or memfd_create(2)'s errors.
 */
int inflight_create_file(
    unsigned queue_count, uint16_t queue_size, size_t ledger_size, uint64_t *size);

/* Maps the records (SET_INFLIGHT_FD): [offset, offset + size) of @fd, which stays the caller's. A
 * file that was made without a ledger comes without one. -EINVAL where size, file and numbers do
 * not fit, mmap(2)'s errors. */
int inflight_create(int fd, uint64_t offset, uint64_t size, unsigned queue_count,
    uint16_t queue_size, size_t ledger_size, struct inflight **inflight);

/* Are these the same bytes, for the same queues? */
bool inflight_equal(const struct inflight *a, const struct inflight *b);

/* No started queue may use it any more. Accepts NULL. */
void inflight_destroy(struct inflight *inflight);

#endif
