/* SPDX-License-Identifier: MIT */
/*
 * The virtio-input device on a driver's real queues in guest memory. The driver does as Linux's
 * (drivers/virtio/virtio_input.c): a buffer for each event, offered again when it was read.
 */
#ifndef GPUDOM_TESTS_UNIT_INPUT_RIG_H
#define GPUDOM_TESTS_UNIT_INPUT_RIG_H

#include <assert.h>
#include <linux/input.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/input.h"
#include "backend/input_state.h"
#include "backend/virtqueue.h"
#include "tests/loopback/loopback_guest.h"

#define RIG_QUEUE_SIZE 64
#define RIG_LOG_MAX 4096
#define RIG_STATUS_MAX 64
enum { RIG_EVENTS, RIG_STATUS };

struct rig {
	struct loopback_memory memory;
	struct guest_memory *guest;
	struct loopback_queue queues[2];
	struct virtqueue virtqueues[2];
	struct virtio_device *device;
	struct seat_input_event *buffers; /* of the event queue, in guest memory */
	struct seat_input_event *written; /* to the status queue */

	struct seat_input_event log[RIG_LOG_MAX]; /* what the driver was given */
	unsigned count;
	uint32_t last_size;       /* of what came last */
	struct input_state state; /* that it makes of it */

	struct seat_input_event told[RIG_STATUS_MAX]; /* by status() */
	unsigned told_count, told_calls;
	unsigned wakes[2];
	uint64_t wake_at;
};

static inline void rig_on_status(void *data, const struct seat_input_event *events, unsigned count)
{
	struct rig *rig = data;

	rig->told_calls++;
	for (unsigned i = 0; i < count && rig->told_count < RIG_STATUS_MAX; i++)
		rig->told[rig->told_count++] = events[i];
}

static inline void rig_wake_queue(void *data, unsigned index, uint64_t at_ns)
{
	struct rig *rig = data;

	rig->wakes[index]++;
	rig->wake_at = at_ns;
}

static inline void rig_start(struct rig *rig)
{
	for (unsigned i = 0; i < 2; i++) {
		struct loopback_queue *queue = &rig->queues[i];
		const struct virtqueue_config config = {
			.size = queue->size,
			.features = UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
				    UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC,
			.desc = loopback_address(&rig->memory, queue->desc),
			.avail = loopback_address(&rig->memory, queue->avail),
			.used = loopback_address(&rig->memory, queue->used),
		};

		queue->indirect = queue->event_idx = true;
		rig->virtqueues[i].call_fd = queue->call_fd;
		rig->virtqueues[i].error_fd = queue->error_fd;
		if (virtqueue_start(&rig->virtqueues[i], rig->guest, &config) < 0)
			abort();
		rig->device->impl->process_queue(rig->device, i);
	}
}

static inline void rig_stop(struct rig *rig)
{
	for (unsigned i = 0; i < 2; i++) {
		if (!rig->virtqueues[i].started)
			continue;
		rig->device->impl->drain_queue(rig->device, i);
		virtqueue_publish(&rig->virtqueues[i]);
		virtqueue_stop(&rig->virtqueues[i]);
	}
}

static inline struct rig *rig_create(enum seat_input_kind kind, uint16_t size)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct input_options options = {
		.kind = kind, .serial = "one", .status = rig_on_status, .data = rig
	};

	if (loopback_memory_init(&rig->memory, 1 << 20, 1) < 0 || memory_mmap_create(&rig->guest) ||
	    memory_add_region(rig->guest, &rig->memory.regions[0], dup(rig->memory.fd)) ||
	    input_create(&options, &rig->device) < 0)
		abort();
	for (unsigned i = 0; i < 2; i++) {
		if (loopback_queue_init(&rig->queues[i], &rig->memory, i, size) < 0)
			abort();
		virtqueue_init(&rig->virtqueues[i], i);
	}
	rig->buffers = loopback_alloc(&rig->memory, size * sizeof(*rig->buffers));
	rig->written = loopback_alloc(&rig->memory, size * sizeof(*rig->written));
	rig->device->queues = rig->virtqueues;
	rig->device->memory = rig->guest;
	rig->device->host = (struct virtio_host){ .wake_queue = rig_wake_queue, .data = rig };
	input_state_init(&rig->state);
	return rig;
}

static inline void rig_destroy(struct rig *rig)
{
	rig_stop(rig);
	rig->device->impl->destroy(rig->device);
	for (unsigned i = 0; i < 2; i++)
		loopback_queue_finish(&rig->queues[i]);
	memory_destroy(rig->guest);
	loopback_memory_finish(&rig->memory);
	free(rig);
}

/* Tells the device where it asked for that. */
static inline void rig_kick(struct rig *rig, unsigned index)
{
	if (loopback_queue_kick(&rig->queues[index]))
		rig->device->impl->process_queue(rig->device, index);
}

/* The driver offers @count buffers. */
static inline void rig_offer(struct rig *rig, unsigned count)
{
	struct loopback_queue *queue = &rig->queues[RIG_EVENTS];

	for (; count && loopback_queue_has_room(queue, 1); count--) {
		struct seat_input_event *buffer = &rig->buffers[queue->free_head];
		const struct memory_piece piece =
		    loopback_piece(&rig->memory, buffer, sizeof(*buffer));

		*buffer = (struct seat_input_event){ 0xdead, 0xdead, -1 };
		loopback_queue_add(queue, NULL, 0, &piece, 1, buffer);
	}
	rig_kick(rig, RIG_EVENTS);
}

/* The driver reads what it was given, and (@offer) offers the buffers again: how many events. */
static inline unsigned rig_read(struct rig *rig, bool offer)
{
	unsigned count = 0;
	uint16_t head;
	void *data;

	while (loopback_queue_take(&rig->queues[RIG_EVENTS], &head, &rig->last_size, &data)) {
		const struct seat_input_event *event = data;

		count++;
		if (!event || rig->last_size != sizeof(*event))
			continue;
		if (event->type != EV_SYN)
			input_state_apply(&rig->state, event);
		if (rig->count < RIG_LOG_MAX)
			rig->log[rig->count++] = *event;
	}
	if (offer && count)
		rig_offer(rig, count);
	return count;
}

/* The driver writes to the status queue. */
static inline void rig_write(struct rig *rig, uint16_t type, uint16_t code, int32_t value)
{
	struct loopback_queue *queue = &rig->queues[RIG_STATUS];
	struct seat_input_event *event = &rig->written[queue->free_head];
	const struct memory_piece piece = loopback_piece(&rig->memory, event, sizeof(*event));

	*event = (struct seat_input_event){ type, code, value };
	loopback_queue_add(queue, &piece, 1, NULL, 0, NULL);
	rig_kick(rig, RIG_STATUS);
}

/* How many of the driver's status events were taken since the last time. */
static inline unsigned rig_taken(struct rig *rig)
{
	uint32_t written;
	unsigned count = 0;
	uint16_t head;
	void *data;

	while (loopback_queue_take(&rig->queues[RIG_STATUS], &head, &written, &data))
		count++;
	return count;
}

#endif
