/* SPDX-License-Identifier: MIT */
/*
 * The seam between a device (gpu.c; later input.c) and what carries it
 * (vhost_user.c). The transport owns the queues and the guest memory; the device
 * owns everything that a request made. All calls come from one thread.
 */
#ifndef GPUDOM_BACKEND_VIRTIO_DEVICE_H
#define GPUDOM_BACKEND_VIRTIO_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/memory.h"
#include "backend/trace.h"
#include "backend/virtqueue.h"

struct virtio_device;

struct virtio_device_impl {
	uint32_t device_id; /* VIRTIO_ID_* */
	unsigned queue_count;

	void (*destroy)(struct virtio_device *device);

	/* Device-specific feature bits (0 to 23) on offer. */
	uint64_t (*get_features)(struct virtio_device *device);

	/* What the driver took, a subset of what was offered, transport bits included. */
	void (*set_features)(struct virtio_device *device, uint64_t features);

	/* The configuration space: [offset, +size) past its end reads as zero. */
	void (*read_config)(struct virtio_device *device, uint32_t offset, void *to, uint32_t size);
	/* A driver's write; bytes out of range or read-only are ignored. */
	void (*write_config)(
	    struct virtio_device *device, uint32_t offset, const void *from, uint32_t size);

	/* A queue was kicked, or started: take what is available. True: there is more, and the
	 * device wants to be called again once other events have had their turn (a guest that
	 * adds requests as fast as they are taken must not keep everyone else waiting). */
	bool (*process_queue)(struct virtio_device *device, unsigned index);

	/*
	 * A queue is about to stop: answer what is outstanding on it, now. When this
	 * returns, nothing of its requests is kept.
	 */
	void (*drain_queue)(struct virtio_device *device, unsigned index);

	/* Device reset: give everything back, unmap all guest memory. Queues are stopped. */
	void (*reset)(struct virtio_device *device);

	/* A device that can go on where another process was killed has memory of this many bytes
	 * for what a successor needs to know (ledger.h); 0: it can't, and the next two are NULL. */
	size_t ledger_size;
	/* That memory, which outlives the device: zero, or with what a predecessor left; NULL: none
	 * any more (it stays as it is). A reset empties it. Queues are stopped. -ENOTRECOVERABLE
	 * where it is of no use: the device then has none. */
	int (*set_ledger)(struct virtio_device *device, void *memory);
	/* Features and memory are known, and the queues about to be processed: brings back what a
	 * predecessor left in the ledger, once. */
	void (*recover)(struct virtio_device *device);
};

/* What a device asks of its transport. */
struct virtio_host {
	void (*config_changed)(void *data); /* tell the driver (VIRTIO: configuration change) */
	/* Call process_queue() at this time (CLOCK_MONOTONIC, in nanoseconds), or a little later;
	 * 0: in the next round of the event loop. A later call replaces the time of an earlier one.
	 * A queue that stops forgets it; one that starts is processed anyhow. */
	void (*wake_queue)(void *data, unsigned index, uint64_t at_ns);
	void *data;
};

struct virtio_device {
	const struct virtio_device_impl *impl;

	/* Set by the transport before any call but get_features and read_config */
	struct virtqueue *queues;    /* impl->queue_count of them */
	struct guest_memory *memory; /* NULL until the front end has described it */
	struct virtio_host host;     /* all NULL: nobody listens */
	/* Set by the owner before there is a transport, which uses it, too; not owned. NULL: none
	 */
	struct trace *trace;
};

#endif
