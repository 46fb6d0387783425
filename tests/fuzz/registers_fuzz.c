/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the virtio-mmio registers: any sequence of accesses, and of what the owner does in
 * between, keeps what the owner relies on.
 */
#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "tests/fuzz/input.h"
#include "xen/mmio.h"

#define OFFERED \
	((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM) | 0x1f)
#define REQUIRED ((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM))
#define QUEUES 2
#define QUEUE_SIZE 256

struct owner {
	struct mmio mmio;
	struct mmio_state registers;
	bool running, pends, waiting;
	bool started[QUEUES];
};

static void check_queue(const struct mmio_queue *queue)
{
	assert(queue->size && queue->size <= QUEUE_SIZE && !(queue->size & (queue->size - 1)));
	assert(queue->desc && queue->desc % 16 == 0);
	assert(queue->avail && queue->avail % 2 == 0);
	assert(queue->used && queue->used % 4 == 0);
}

static void on_start(void *data)
{
	struct owner *owner = data;

	assert(!owner->running);
	assert((owner->mmio.state->status & 0x4c) ==
	       0xc); /* DRIVER_OK, FEATURES_OK, not NEEDS_RESET */
	assert(!(mmio_features(&owner->mmio) & ~OFFERED));
	assert((mmio_features(&owner->mmio) & REQUIRED) == REQUIRED);
	owner->running = true;
	for (unsigned i = 0; i < QUEUES; i++) {
		assert(!owner->started[i]);
		owner->started[i] = owner->mmio.state->queues[i].ready;
		if (owner->started[i])
			check_queue(&owner->mmio.state->queues[i]);
	}
}

static void on_start_queue(void *data, unsigned index)
{
	struct owner *owner = data;

	assert(owner->running && index < QUEUES && !owner->started[index]);
	check_queue(&owner->mmio.state->queues[index]);
	owner->started[index] = true;
}

static bool owner_wait(struct owner *owner)
{
	assert(!owner->waiting); /* one at a time */
	owner->waiting = owner->pends;
	return owner->pends;
}

static bool on_stop_queue(void *data, unsigned index)
{
	struct owner *owner = data;

	assert(index < QUEUES && owner->mmio.state->queues[index].ready);
	owner->started[index] = false;
	return owner_wait(owner);
}

static bool on_reset(void *data)
{
	struct owner *owner = data;

	owner->running = false;
	memset(owner->started, 0, sizeof(owner->started));
	return owner_wait(owner);
}

static bool on_write_config(void *data, uint32_t offset, const void *from, uint32_t size)
{
	assert(size <= 8 && offset <= MMIO_CONFIG_SIZE - size);
	return owner_wait(data);
}

static void on_notify(void *data, unsigned index)
{
	struct owner *owner = data;

	assert(owner->running && index < QUEUES && owner->started[index]);
}

static void on_set_irq(void *data, bool level)
{
}

static void owner_act(struct owner *owner, struct input *input)
{
	uint8_t config[MMIO_CONFIG_SIZE];

	switch (input_u8(input) % 5) {
	case 0:
		if (owner->waiting) {
			owner->waiting = false;
			mmio_released(&owner->mmio);
			assert(owner->mmio.busy == MMIO_IDLE);
		}
		break;
	case 1:
		mmio_break(&owner->mmio);
		break;
	case 2:
		mmio_used(&owner->mmio);
		break;
	case 3:
		memset(config, input_u8(input), sizeof(config));
		mmio_set_config(&owner->mmio, config, input_u16(input), true);
		break;
	case 4:
		owner->pends = !owner->pends;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .size = size }, *input = &in;
	static struct owner owner;
	const struct mmio_options options = {
		.name = "fuzz",
		.device_id = 16,
		.features = OFFERED,
		.required = REQUIRED,
		.queues = QUEUES,
		.queue_size = QUEUE_SIZE,
		.calls_direct = size % 2,
		.ops = {
			.start = on_start,
			.start_queue = on_start_queue,
			.stop_queue = on_stop_queue,
			.reset = on_reset,
			.write_config = on_write_config,
			.notify = on_notify,
			.set_irq = on_set_irq,
			.data = &owner,
		},
	};

	log_init(LOG_LEVEL_ERROR, NULL);
	memset(&owner, 0, sizeof(owner));
	mmio_init(&owner.mmio, &options, &owner.registers);
	while (input->size) {
		uint8_t what = input_u8(input);
		/* Mostly registers that exist, and 4 bytes */
		uint32_t offset = what & 0x80 ? input_u8(input) * 4u : input_u32(input);
		uint32_t bytes = what & 0x40 ? 4 : input_u8(input);
		/* Small numbers, single bits, any */
		uint64_t value = what & 0x20   ? input_u8(input)
				 : what & 0x10 ? UINT64_C(1) << input_u8(input) % 64
					       : input_u64(input);

		if (what % 8 == 0)
			owner_act(&owner, input);
		else if (what % 8 < 3)
			mmio_read(&owner.mmio, offset, bytes);
		else
			mmio_write(&owner.mmio, offset, bytes, value);
		assert(!owner.running || (owner.mmio.state->status & VIRTIO_CONFIG_S_DRIVER_OK));
		assert((owner.mmio.busy != MMIO_IDLE) == owner.waiting);
	}
	return 0;
}
