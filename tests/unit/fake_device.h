/* SPDX-License-Identifier: MIT */
/*
 * A device with two queues that answers a request with its own bytes, and 1 KiB of
 * configuration space. It can hold requests back until it is drained.
 */
#ifndef GPUDOM_TESTS_UNIT_FAKE_DEVICE_H
#define GPUDOM_TESTS_UNIT_FAKE_DEVICE_H

#include <string.h>

#include "backend/virtio_device.h"

#define FAKE_QUEUES 2
#define FAKE_HELD_MAX VIRTQUEUE_SIZE_MAX
#define FAKE_FEATURES UINT64_C(0x5)
#define FAKE_CONFIG_SIZE 64

struct fake_device {
	struct virtio_device device;
	struct virtqueue_chain chain;
	uint8_t config[FAKE_CONFIG_SIZE];
	uint64_t features;
	bool hold; /* answer nothing until drained */
	uint16_t held[FAKE_QUEUES][FAKE_HELD_MAX];
	unsigned held_count[FAKE_QUEUES];
	unsigned processed[FAKE_QUEUES], requests, drains, resets;
	unsigned call_again; /* process_queue() asks for that so often */
	/* Called from within process_queue() */
	void (*hook)(void *data);
	void *hook_data;
};

static inline uint64_t fake_get_features(struct virtio_device *device)
{
	return FAKE_FEATURES;
}

static inline void fake_set_features(struct virtio_device *device, uint64_t features)
{
	((struct fake_device *)device)->features = features;
}

static inline void fake_read_config(
    struct virtio_device *device, uint32_t offset, void *to, uint32_t size)
{
	struct fake_device *fake = (struct fake_device *)device;

	for (uint32_t i = 0; i < size; i++) {
		uint64_t at = (uint64_t)offset + i;

		((uint8_t *)to)[i] = at < FAKE_CONFIG_SIZE ? fake->config[at] : 0;
	}
}

static inline void fake_write_config(
    struct virtio_device *device, uint32_t offset, const void *from, uint32_t size)
{
	struct fake_device *fake = (struct fake_device *)device;

	for (uint32_t i = 0; i < size && (uint64_t)offset + i < FAKE_CONFIG_SIZE; i++)
		fake->config[offset + i] = ((const uint8_t *)from)[i];
}

/* Answers with the first bytes of the request. */
static inline void fake_answer(struct fake_device *fake, struct virtqueue *queue)
{
	struct virtqueue_chain *chain = &fake->chain;
	uint8_t bytes[64];
	uint32_t written = 0;

	if (chain->readable_size <= sizeof(bytes) &&
	    !memory_read(fake->device.memory, bytes, chain->readable, chain->readable_count) &&
	    !memory_write(fake->device.memory, chain->writable, chain->writable_count, bytes,
		chain->readable_size))
		written = (uint32_t)chain->readable_size;
	virtqueue_push(queue, chain->head, written);
}

static inline bool fake_process_queue(struct virtio_device *device, unsigned index)
{
	struct fake_device *fake = (struct fake_device *)device;
	struct virtqueue *queue = &device->queues[index];

	fake->processed[index]++;
	do {
		virtqueue_disable_notifications(queue);
		while (virtqueue_pop(queue, &fake->chain) == 1) {
			fake->requests++;
			if (fake->hold)
				fake->held[index][fake->held_count[index]++] = fake->chain.head;
			else
				fake_answer(fake, queue);
		}
		virtqueue_publish(queue);
	} while (virtqueue_enable_notifications(queue));
	if (fake->hook)
		fake->hook(fake->hook_data);
	if (fake->call_again == 0)
		return false;
	fake->call_again--;
	return true;
}

static inline void fake_drain_queue(struct virtio_device *device, unsigned index)
{
	struct fake_device *fake = (struct fake_device *)device;

	for (unsigned i = 0; i < fake->held_count[index]; i++)
		virtqueue_push(&device->queues[index], fake->held[index][i], 0);
	fake->held_count[index] = 0;
	fake->drains++;
}

static inline void fake_reset(struct virtio_device *device)
{
	((struct fake_device *)device)->resets++;
}

static inline void fake_device_init(struct fake_device *fake)
{
	static const struct virtio_device_impl impl = {
		.device_id = 42,
		.queue_count = FAKE_QUEUES,
		.get_features = fake_get_features,
		.set_features = fake_set_features,
		.read_config = fake_read_config,
		.write_config = fake_write_config,
		.process_queue = fake_process_queue,
		.drain_queue = fake_drain_queue,
		.reset = fake_reset,
	};

	memset(fake, 0, sizeof(*fake));
	fake->device.impl = &impl;
	for (unsigned i = 0; i < FAKE_CONFIG_SIZE; i++)
		fake->config[i] = (uint8_t)(i + 1);
}

#endif
