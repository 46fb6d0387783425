/* SPDX-License-Identifier: MIT */
/*
 * The device side of a split virtqueue (virtio 1.2, 2.7), with
 * VIRTIO_F_INDIRECT_DESC and VIRTIO_F_EVENT_IDX.
 *
 * Everything in the ring can change while it is read. A descriptor is copied
 * once, the copy is checked, and only the copy is used. A ring that breaks the
 * rules is *broken*: nothing more is taken from it until it is started anew, and
 * the owner is told once (the guest then sees DEVICE_NEEDS_RESET).
 */
#ifndef GPUDOM_BACKEND_VIRTQUEUE_H
#define GPUDOM_BACKEND_VIRTQUEUE_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/log.h"
#include "backend/memory.h"
#include "backend/trace.h"

#define VIRTQUEUE_SIZE_MAX 1024

/*
 * Descriptors of one chain. The specification limits a chain to the queue's size;
 * Linux exceeds that with indirect tables (a long SUBMIT_3D on a queue of 64), so a
 * table may hold this many, whatever the queue's size.
 */
#define VIRTQUEUE_CHAIN_MAX 1024

struct virtqueue_inflight; /* inflight.h */

struct virtqueue_config {
	uint16_t size;                       /* a power of two, at most VIRTQUEUE_SIZE_MAX */
	uint16_t base;                       /* index of the next available entry to take */
	uint64_t features;                   /* as negotiated: 1 << VIRTIO_RING_F_* */
	uint64_t desc, avail, used;          /* bus addresses */
	struct virtqueue_inflight *inflight; /* where heads in flight are recorded; may be NULL.
						Not owned; outlives the started queue. */

	/* For a relay alone: the driver's kicks, and the file of the records; not owned */
	int kick_fd;
	const struct inflight *inflight_file; /* NULL where inflight is */
};

/* How far a request got that is in flight: for a back end that replaces a dead one. */
enum virtqueue_progress {
	VIRTQUEUE_TAKEN,
	VIRTQUEUE_EXECUTING, /* it died in it */
	VIRTQUEUE_EXECUTED,  /* with success, which the driver was not told */
};

/* One request: device-readable pieces first, then device-writable ones. */
struct virtqueue_chain {
	uint64_t number; /* of those taken: virtqueue.chains, with it */
	uint16_t head;
	enum virtqueue_progress progress;         /* of a predecessor with it, else TAKEN */
	uint32_t readable_count, writable_count;  /* pieces */
	uint64_t readable_size, writable_size;    /* bytes */
	struct memory_piece *readable, *writable; /* into pieces[] */
	struct memory_piece pieces[VIRTQUEUE_CHAIN_MAX];
};

/*
 * A queue whose rings another process serves, in this file's way: it takes requests before we ask,
 * with what can be read of them, and returns them when we have said what to answer. Both ways go
 * without waiting. Pieces of its chains are no bus addresses; memory_read() and memory_write() know
 * them, and the answer has to be written before it is pushed.
 */
struct virtqueue_relay_impl {
	/* As virtqueue_pop(), and -EPROTO when the ring is broken, which was logged there. */
	int (*pop)(struct virtqueue_relay *relay, struct virtqueue_chain *chain);
	void (*push)(struct virtqueue_relay *relay, uint16_t head, uint32_t written);
	void (*publish)(struct virtqueue_relay *relay);
	void (*set_fds)(struct virtqueue_relay *relay, int kick_fd, int call_fd); /* -1: as it is */
	/* The rings are let go of, and the relay is freed; the next available entry to take. */
	uint16_t (*stop)(struct virtqueue_relay *relay);
};

struct virtqueue_relay {
	const struct virtqueue_relay_impl *impl;
	int kick_fd;         /* owned: an eventfd that says that there are requests */
	uint64_t calls;      /* so far: kept by the implementation in pop() and publish() */
	struct trace *trace; /* the queue's; may be NULL */
};

struct virtqueue {
	/* Set by virtqueue_init() */
	unsigned index;
	int call_fd, error_fd; /* eventfds, or -1; owned by the transport, which may change them */
	struct log_limit limit;
	struct trace *trace; /* not owned; may be NULL */

	/* Valid between start and stop */
	struct guest_memory *memory;
	struct virtqueue_config config;
	struct virtqueue_relay *relay; /* NULL: the rings are mapped here */
	struct memory_map *desc_map, *avail_map, *used_map;
	uint16_t last_avail;  /* next entry of the available ring to take */
	uint16_t avail_index; /* the driver's index, as last read */
	uint16_t used_index;  /* used entries written so far */
	uint16_t published;   /* of these, visible to the driver */
	uint16_t in_flight;   /* taken and not yet pushed */
	bool started, broken;
	uint64_t heads[VIRTQUEUE_SIZE_MAX / 64]; /* a bit for each head in flight */
	const char *reason;                      /* why it is broken */
	uint64_t kicks_wanted, calls, chains;    /* statistics; these go on over restarts */
};

void virtqueue_init(struct virtqueue *queue, unsigned index);

/* Maps the rings and begins at config->base, or, where config->inflight records what is in flight,
 * behind that, which is then taken anew first. -EINVAL for a size that the
 * specification forbids or a misaligned address, else memory_map()'s error; the queue is then
 * not started. */
int virtqueue_start(
    struct virtqueue *queue, struct guest_memory *memory, const struct virtqueue_config *config);

/* Unmaps the rings; requests in flight are forgotten (pushing them later is a no-op).
 * last_avail stays readable. May be called on a queue that is not started. */
void virtqueue_stop(struct virtqueue *queue);

/*
 * Takes the next available request, checked. 1 and *chain filled; 0 where there is
 * none or the queue is not started; -EPROTO when the ring is (or just became) broken.
 */
int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* How far a request that was popped has got, for a successor. */
void virtqueue_set_progress(
    struct virtqueue *queue, uint16_t head, enum virtqueue_progress progress);

/* Gives the last request that was popped back, as if it had not been; not where a predecessor had
 * taken it. */
void virtqueue_unpop(struct virtqueue *queue, uint16_t head);

/* The transport's descriptors have changed: call_fd, and the driver's kicks (-1: have not). */
void virtqueue_set_fds(struct virtqueue *queue, int kick_fd);

/* Returns a request to the driver with @written bytes; visible after virtqueue_publish(). */
void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written);

/* Makes all pushed entries visible at once and signals call_fd where the driver wants it. */
void virtqueue_publish(struct virtqueue *queue);

/* Asks for no kicks while the queue is being worked on. */
void virtqueue_disable_notifications(struct virtqueue *queue);

/* Asks for a kick for the next request. True: requests arrived meanwhile, so go on. */
bool virtqueue_enable_notifications(struct virtqueue *queue);

/* Declares the ring broken: logs @reason (a literal; rate-limited), signals error_fd. It stays
 * so until virtqueue_start(), also where the queue is not started. */
void virtqueue_break(struct virtqueue *queue, const char *reason);

#endif
