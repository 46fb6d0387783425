/* SPDX-License-Identifier: MIT */
/* The virtio-mmio registers: what a well-behaved driver does, then each thing of facts.md's list
 * "Registers" that a bad one does. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "xen/mmio.h"

/* After what it needs. */
#include <cmocka.h>

#define OFFERED \
	((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM) | 0x13)
#define REQUIRED ((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM))
#define RUNNING 0xf
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET

/* What the owner was asked for. */
struct owner {
	struct mmio mmio;
	struct mmio_state registers;
	unsigned starts, queue_starts, queue_stops, resets, config_writes, raises, lowers;
	unsigned notified[MMIO_QUEUES_MAX];
	unsigned last_queue;
	uint8_t written[8];
	uint32_t written_offset, written_size;
	bool pending; /* stop, reset and configuration are not done at once */
};

static void on_start(void *data)
{
	((struct owner *)data)->starts++;
}

static void on_start_queue(void *data, unsigned index)
{
	struct owner *owner = data;

	owner->queue_starts++;
	owner->last_queue = index;
}

static bool on_stop_queue(void *data, unsigned index)
{
	struct owner *owner = data;

	owner->queue_stops++;
	owner->last_queue = index;
	return owner->pending;
}

static bool on_reset(void *data)
{
	struct owner *owner = data;

	owner->resets++;
	return owner->pending;
}

static bool on_write_config(void *data, uint32_t offset, const void *from, uint32_t size)
{
	struct owner *owner = data;

	owner->config_writes++;
	owner->written_offset = offset;
	owner->written_size = size;
	memcpy(owner->written, from, size);
	return owner->pending;
}

static void on_notify(void *data, unsigned index)
{
	((struct owner *)data)->notified[index]++;
}

static void on_set_irq(void *data, bool level)
{
	struct owner *owner = data;

	owner->raises += level;
	owner->lowers += !level;
}

static void owner_init(struct owner *owner, bool calls_direct)
{
	const struct mmio_options options = {
		.name = "test",
		.device_id = 16,
		.features = OFFERED,
		.required = REQUIRED,
		.queues = 2,
		.queue_size = 256,
		.calls_direct = calls_direct,
		.ops = {
			.start = on_start,
			.start_queue = on_start_queue,
			.stop_queue = on_stop_queue,
			.reset = on_reset,
			.write_config = on_write_config,
			.notify = on_notify,
			.set_irq = on_set_irq,
			.data = owner,
		},
	};

	memset(owner, 0, sizeof(*owner));
	owner->registers = (struct mmio_state){ 0 };
	mmio_init(&owner->mmio, &options, &owner->registers);
	log_init(LOG_LEVEL_ERROR, NULL);
}

static int set_up(void **state)
{
	static struct owner owner;

	owner_init(&owner, false);
	*state = &owner;
	return 0;
}

static uint32_t rd(struct owner *owner, uint32_t offset)
{
	return (uint32_t)mmio_read(&owner->mmio, offset, 4);
}

static void wr(struct owner *owner, uint32_t offset, uint32_t value)
{
	assert_int_equal(mmio_write(&owner->mmio, offset, 4, value), MMIO_DONE);
}

static void write_features(struct owner *owner, uint64_t features)
{
	wr(owner, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(owner, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	wr(owner, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(owner, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
}

static void set_queue(struct owner *owner, uint32_t index, uint32_t size, uint64_t address)
{
	wr(owner, VIRTIO_MMIO_QUEUE_SEL, index);
	wr(owner, VIRTIO_MMIO_QUEUE_NUM, size);
	wr(owner, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)address);
	wr(owner, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(address >> 32));
	wr(owner, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)address + 0x400);
	wr(owner, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(address >> 32));
	wr(owner, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)address + 0x1000);
	wr(owner, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(address >> 32));
}

#define RING UINT64_C(0x8000000000008000)

/* Everything up to FEATURES_OK. */
static void negotiate(struct owner *owner)
{
	wr(owner, VIRTIO_MMIO_STATUS, 0);
	wr(owner, VIRTIO_MMIO_STATUS, 1);
	wr(owner, VIRTIO_MMIO_STATUS, 3);
	write_features(owner, OFFERED);
	wr(owner, VIRTIO_MMIO_STATUS, 0xb);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), 0xb);
}

/* As Linux does it. */
static void bring_up(struct owner *owner)
{
	negotiate(owner);
	for (uint32_t i = 0; i < 2; i++) {
		set_queue(owner, i, 64, RING + i * 0x10000);
		wr(owner, VIRTIO_MMIO_QUEUE_READY, 1);
		assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_READY), 1);
	}
	wr(owner, VIRTIO_MMIO_STATUS, RUNNING);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
}

static void assert_needs_reset_and_recovers(struct owner *owner)
{
	assert_true(rd(owner, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	/* Until then, nothing reaches the device. */
	unsigned starts = owner->starts, notified = owner->notified[0];
	wr(owner, VIRTIO_MMIO_STATUS, 0xf);
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_int_equal(owner->starts, starts);
	assert_int_equal(owner->notified[0], notified);
	bring_up(owner);
	assert_int_equal(owner->starts, starts + 1);
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_int_equal(owner->notified[0], notified + 1);
}

/* -------------------------------------------------------- a well-behaved driver */

static void identity_is_virtio_mmio_2(void **state)
{
	assert_int_equal(rd(*state, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(*state, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(rd(*state, VIRTIO_MMIO_DEVICE_ID), 16);
	assert_int_equal(rd(*state, VIRTIO_MMIO_VENDOR_ID), MMIO_VENDOR_ID);
}

static void driver_comes_up(void **state)
{
	struct owner *owner = *state;

	wr(owner, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_DEVICE_FEATURES), OFFERED >> 32);
	wr(owner, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	assert_int_equal(rd(owner, VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)OFFERED);
	bring_up(owner);
	assert_int_equal(owner->starts, 1);
	assert_int_equal(mmio_features(&owner->mmio), OFFERED);
	assert_int_equal(owner->mmio.state->queues[1].size, 64);
	assert_int_equal(owner->mmio.state->queues[1].desc, RING + 0x10000);
	assert_int_equal(owner->mmio.state->queues[1].avail, RING + 0x10400);
	assert_int_equal(owner->mmio.state->queues[1].used, RING + 0x11000);
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_int_equal(owner->notified[1], 1);
	assert_int_equal(owner->notified[0], 0);
	assert_int_equal(owner->mmio.bad_accesses, 0);
}

static void status_zero_resets_everything(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	mmio_used(&owner->mmio);
	wr(owner, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(owner->resets, 2);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(rd(owner, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	for (uint32_t i = 0; i < 2; i++) {
		wr(owner, VIRTIO_MMIO_QUEUE_SEL, i);
		assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_READY), 0);
	}
	assert_int_equal(mmio_features(&owner->mmio), 0);
	bring_up(owner);
}

static void a_pending_reset_holds_other_writes(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	owner->pending = true;
	assert_int_equal(mmio_write(&owner->mmio, VIRTIO_MMIO_STATUS, 4, 0), MMIO_PENDING);
	/* Not done: the driver still sees the old status. */
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
	assert_int_equal(mmio_write(&owner->mmio, VIRTIO_MMIO_STATUS, 4, 1), MMIO_BUSY);
	assert_int_equal(mmio_write(&owner->mmio, VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0), MMIO_BUSY);
	assert_int_equal(owner->notified[0], 0);
	mmio_released(&owner->mmio);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), 0);
	owner->pending = false;
	bring_up(owner);
}

static void queue_ready_zero_waits_for_the_owner(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	owner->pending = true;
	wr(owner, VIRTIO_MMIO_QUEUE_SEL, 1);
	assert_int_equal(mmio_write(&owner->mmio, VIRTIO_MMIO_QUEUE_READY, 4, 0), MMIO_PENDING);
	assert_int_equal(owner->last_queue, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_READY), 1);
	mmio_released(&owner->mmio);
	assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_READY), 0);
	/* And again. */
	wr(owner, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(owner->queue_starts, 1);
	assert_int_equal(owner->last_queue, 1);
}

static void interrupts_are_raised_and_acknowledged(void **state)
{
	struct owner *owner = *state;

	mmio_used(&owner->mmio);
	assert_int_equal(owner->raises, 0); /* before DRIVER_OK */
	bring_up(owner);
	owner->lowers = 0;
	mmio_used(&owner->mmio);
	assert_int_equal(owner->raises, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	wr(owner, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(rd(owner, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_int_equal(owner->lowers, 1);
	assert_int_equal(owner->raises, 1);
}

static void an_interrupt_between_status_and_ack_is_not_lost(void **state)
{
	struct owner *owner = *state;
	uint8_t config[16] = { 1 };

	bring_up(owner);
	mmio_used(&owner->mmio);
	assert_int_equal(rd(owner, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	mmio_set_config(&owner->mmio, config, sizeof(config), true);
	owner->raises = 0;
	wr(owner, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(owner->raises, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
}

static void direct_calls_always_read_as_used_buffers(void **state)
{
	struct owner owner;

	owner_init(&owner, true);
	assert_int_equal(rd(&owner, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	bring_up(&owner);
	assert_int_equal(rd(&owner, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	owner.lowers = 0;
	wr(&owner, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(owner.lowers, 1);
}

static void configuration_changes_have_a_generation(void **state)
{
	struct owner *owner = *state;
	uint8_t config[16] = { 0x11, 0x22, 0x33, 0x44, [8] = 1 };
	uint32_t generation;

	mmio_set_config(&owner->mmio, config, sizeof(config), false);
	bring_up(owner);
	generation = rd(owner, VIRTIO_MMIO_CONFIG_GENERATION);
	assert_int_equal(rd(owner, VIRTIO_MMIO_CONFIG), 0x44332211);
	assert_int_equal(mmio_read(&owner->mmio, VIRTIO_MMIO_CONFIG + 1, 1), 0x22);
	assert_int_equal(mmio_read(&owner->mmio, VIRTIO_MMIO_CONFIG + 2, 2), 0x4433);
	assert_int_equal(mmio_read(&owner->mmio, VIRTIO_MMIO_CONFIG + 8, 8), 1);
	mmio_set_config(&owner->mmio, config, sizeof(config), true); /* the same */
	assert_int_equal(rd(owner, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	assert_int_equal(owner->raises, 0);
	config[0]++;
	mmio_set_config(&owner->mmio, config, sizeof(config), true);
	assert_int_not_equal(rd(owner, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	assert_int_equal(rd(owner, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(owner->raises, 1);
}

static void configuration_writes_reach_the_device(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	owner->pending = true;
	assert_int_equal(
	    mmio_write(&owner->mmio, VIRTIO_MMIO_CONFIG + 4, 4, 0xaabbccdd), MMIO_PENDING);
	assert_int_equal(owner->written_offset, 4);
	assert_int_equal(owner->written_size, 4);
	assert_memory_equal(owner->written, "\xdd\xcc\xbb\xaa", 4);
	mmio_released(&owner->mmio);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
}

static void there_are_no_shared_memory_regions(void **state)
{
	wr(*state, VIRTIO_MMIO_SHM_SEL, 1);
	assert_int_equal(rd(*state, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	assert_int_equal(rd(*state, VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
}

static void a_broken_device_tells_the_driver_once(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	mmio_break(&owner->mmio);
	mmio_break(&owner->mmio);
	assert_int_equal(owner->raises, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_needs_reset_and_recovers(owner);
}

/* ----------------------------------------------------------------- a bad one */

static void accesses_of_1_2_and_8_bytes(void **state)
{
	struct owner *owner = *state;
	static const uint32_t sizes[] = { 1, 2, 8 };

	bring_up(owner);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(mmio_read(&owner->mmio, VIRTIO_MMIO_MAGIC_VALUE, sizes[i]), 0);
		assert_int_equal(mmio_read(&owner->mmio, VIRTIO_MMIO_STATUS, sizes[i]), 0);
		assert_int_equal(
		    mmio_write(&owner->mmio, VIRTIO_MMIO_STATUS, sizes[i], 0), MMIO_DONE);
		assert_int_equal(
		    mmio_write(&owner->mmio, VIRTIO_MMIO_QUEUE_NOTIFY, sizes[i], 0), MMIO_DONE);
	}
	assert_int_equal(owner->resets, 1);
	assert_int_equal(owner->notified[0], 0);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
}

static void accesses_of_impossible_sizes(void **state)
{
	struct owner *owner = *state;
	static const uint32_t sizes[] = { 0, 3, 5, 16, 4096, UINT32_MAX };

	bring_up(owner);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(mmio_read(&owner->mmio, VIRTIO_MMIO_CONFIG, sizes[i]), 0);
		assert_int_equal(
		    mmio_write(&owner->mmio, VIRTIO_MMIO_CONFIG, sizes[i], 1), MMIO_DONE);
		assert_int_equal(
		    mmio_write(&owner->mmio, VIRTIO_MMIO_STATUS, sizes[i], 0), MMIO_DONE);
	}
	assert_int_equal(owner->config_writes, 0);
	assert_int_equal(owner->resets, 1);
}

static void misaligned_accesses(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	for (uint32_t offset = 0; offset < VIRTIO_MMIO_CONFIG; offset++) {
		if (offset % 4 == 0)
			continue;
		assert_int_equal(mmio_read(&owner->mmio, offset, 4), 0);
		assert_int_equal(mmio_write(&owner->mmio, offset, 4, 0), MMIO_DONE);
	}
	assert_int_equal(owner->resets, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
}

static void unknown_offsets(void **state)
{
	struct owner *owner = *state;
	static const uint32_t offsets[] = { 0x28, 0x2c, 0x3c, 0x40, 0x48, 0x58, 0xc0, 0xf8 };

	bring_up(owner);
	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		assert_int_equal(rd(owner, offsets[i]), 0);
		wr(owner, offsets[i], UINT32_MAX);
	}
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
	assert_int_equal(owner->mmio.bad_accesses, 16);
}

static void configuration_past_its_end(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	memset(owner->mmio.state->config, 0xff, sizeof(owner->mmio.state->config));
	assert_int_equal(mmio_read(&owner->mmio, 0x1ff, 1), 0xff);
	assert_int_equal(mmio_read(&owner->mmio, 0x1ff, 2), 0);
	assert_int_equal(mmio_read(&owner->mmio, 0x1fc, 8), 0);
	assert_int_equal(mmio_read(&owner->mmio, 0x200, 4), 0);
	assert_int_equal(mmio_read(&owner->mmio, UINT32_MAX, 4), 0);
	assert_int_equal(mmio_write(&owner->mmio, 0x1fd, 4, 0), MMIO_DONE);
	assert_int_equal(mmio_write(&owner->mmio, UINT32_MAX, 8, 0), MMIO_DONE);
	assert_int_equal(owner->config_writes, 0);
}

static void writes_to_read_only_registers(void **state)
{
	struct owner *owner = *state;
	static const uint32_t offsets[] = { VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_VERSION,
		VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_VENDOR_ID, VIRTIO_MMIO_DEVICE_FEATURES,
		VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_INTERRUPT_STATUS,
		VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_SHM_LEN_LOW };

	bring_up(owner);
	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint32_t before = rd(owner, offsets[i]);

		wr(owner, offsets[i], ~before);
		assert_int_equal(rd(owner, offsets[i]), before);
	}
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
}

static void reads_of_write_only_registers(void **state)
{
	struct owner *owner = *state;
	static const uint32_t offsets[] = { VIRTIO_MMIO_DEVICE_FEATURES_SEL,
		VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_QUEUE_SEL,
		VIRTIO_MMIO_QUEUE_NUM, VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_INTERRUPT_ACK,
		VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_DESC_HIGH,
		VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_MMIO_SHM_SEL };

	bring_up(owner);
	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		assert_int_equal(rd(owner, offsets[i]), 0);
}

static void selectors_out_of_range(void **state)
{
	struct owner *owner = *state;
	static const uint32_t values[] = { 2, 3, 4, 31, 32, 63, 64, 0x80000000, UINT32_MAX };

	negotiate(owner);
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		wr(owner, VIRTIO_MMIO_DEVICE_FEATURES_SEL, values[i]);
		assert_int_equal(rd(owner, VIRTIO_MMIO_DEVICE_FEATURES), 0);
		set_queue(owner, values[i], 64, RING);
		wr(owner, VIRTIO_MMIO_QUEUE_READY, 1);
		assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_READY), 0);
		wr(owner, VIRTIO_MMIO_QUEUE_READY, 0);
	}
	assert_int_equal(owner->queue_stops, 0);
	for (unsigned i = 0; i < MMIO_QUEUES_MAX; i++)
		assert_int_equal(owner->mmio.state->queues[i].size, 0);
}

static void features_beyond_bit_63(void **state)
{
	struct owner *owner = *state;

	wr(owner, VIRTIO_MMIO_STATUS, 3);
	write_features(owner, OFFERED);
	wr(owner, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	wr(owner, VIRTIO_MMIO_DRIVER_FEATURES, 0);
	wr(owner, VIRTIO_MMIO_DRIVER_FEATURES_SEL, UINT32_MAX);
	wr(owner, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	wr(owner, VIRTIO_MMIO_STATUS, 0xb);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), 3);
	bring_up(owner);
}

static void driver_ok_before_features_ok(void **state)
{
	struct owner *owner = *state;

	wr(owner, VIRTIO_MMIO_STATUS, 3);
	write_features(owner, OFFERED);
	wr(owner, VIRTIO_MMIO_STATUS, 7);
	assert_int_equal(owner->starts, 0);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), 3 | NEEDS_RESET);
	assert_needs_reset_and_recovers(owner);
}

static void features_not_offered(void **state)
{
	struct owner *owner = *state;

	wr(owner, VIRTIO_MMIO_STATUS, 3);
	write_features(owner, OFFERED | UINT64_C(1) << 40);
	wr(owner, VIRTIO_MMIO_STATUS, 0xb);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), 3);
	/* Nor does DRIVER_OK in the same breath. */
	wr(owner, VIRTIO_MMIO_STATUS, RUNNING);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), 3);
	assert_int_equal(owner->starts, 0);
	bring_up(owner);
}

static void features_needed_but_not_taken(void **state)
{
	struct owner *owner = *state;

	wr(owner, VIRTIO_MMIO_STATUS, 3);
	write_features(
	    owner, UINT64_C(1) << VIRTIO_F_VERSION_1); /* no ACCESS_PLATFORM: no grants */
	wr(owner, VIRTIO_MMIO_STATUS, 0xb);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), 3);
	bring_up(owner);
}

static void features_changed_after_features_ok(void **state)
{
	struct owner *owner = *state;

	negotiate(owner);
	write_features(owner, UINT64_MAX);
	wr(owner, VIRTIO_MMIO_STATUS, RUNNING);
	assert_int_equal(mmio_features(&owner->mmio), OFFERED);
}

static void status_bits_cannot_be_cleared_or_forged(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	wr(owner, VIRTIO_MMIO_STATUS, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
	wr(owner, VIRTIO_MMIO_STATUS, 0xffffff70);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING);
	assert_int_equal(owner->starts, 1);
	wr(owner, VIRTIO_MMIO_STATUS, RUNNING);
	assert_int_equal(owner->starts, 1); /* only the first time */
	wr(owner, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FAILED);
	assert_int_equal(rd(owner, VIRTIO_MMIO_STATUS), RUNNING | VIRTIO_CONFIG_S_FAILED);
}

static void notify_on_a_dead_queue(void **state)
{
	struct owner *owner = *state;

	negotiate(owner);
	set_queue(owner, 0, 64, RING);
	wr(owner, VIRTIO_MMIO_QUEUE_READY, 1);
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* before DRIVER_OK */
	wr(owner, VIRTIO_MMIO_STATUS, RUNNING);
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 1); /* not ready */
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 2); /* none */
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 0x10000); /* would be 0 in 16 bits */
	assert_int_equal(owner->notified[0] + owner->notified[1], 0);
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_int_equal(owner->notified[0], 1);
	mmio_break(&owner->mmio);
	wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_int_equal(owner->notified[0], 1);
}

static void a_storm_of_notifies(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	for (unsigned i = 0; i < 100000; i++)
		wr(owner, VIRTIO_MMIO_QUEUE_NOTIFY, i % 2);
	assert_int_equal(owner->notified[0], 50000);
	assert_int_equal(owner->mmio.notifications, 100000);
	assert_int_equal(owner->mmio.limit.total, 0);
}

static void bad_queue(struct owner *owner, uint32_t size, uint64_t address)
{
	negotiate(owner);
	set_queue(owner, 0, size, address);
	wr(owner, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_needs_reset_and_recovers(owner);
}

static void queue_size_0(void **state)
{
	bad_queue(*state, 0, RING);
}

static void queue_size_not_a_power_of_two(void **state)
{
	bad_queue(*state, 65, RING);
}

static void queue_size_too_large(void **state)
{
	bad_queue(*state, 512, RING);
	bad_queue(*state, 0x80000000, RING);
}

static void queue_ready_without_addresses(void **state)
{
	struct owner *owner = *state;

	negotiate(owner);
	wr(owner, VIRTIO_MMIO_QUEUE_SEL, 0);
	wr(owner, VIRTIO_MMIO_QUEUE_NUM, 64);
	wr(owner, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_needs_reset_and_recovers(owner);
}

static void queue_addresses_not_aligned(void **state)
{
	bad_queue(*state, 64, RING + 8);
	bad_queue(*state, 64, RING + 1);
}

static void queue_changed_while_ready(void **state)
{
	struct owner *owner = *state;

	bring_up(owner);
	set_queue(owner, 0, 128, 0x1000);
	assert_int_equal(owner->mmio.state->queues[0].size, 64);
	assert_int_equal(owner->mmio.state->queues[0].desc, RING);
	wr(owner, VIRTIO_MMIO_QUEUE_READY, 1); /* again: nothing new */
	assert_int_equal(owner->queue_starts, 0);
	wr(owner, VIRTIO_MMIO_QUEUE_READY, 2);
	assert_int_equal(rd(owner, VIRTIO_MMIO_QUEUE_READY), 1);
}

static void bad_accesses_do_not_fill_the_log(void **state)
{
	struct owner *owner = *state;

	for (unsigned i = 0; i < 1000; i++) {
		wr(owner, VIRTIO_MMIO_STATUS, 0);
		wr(owner, VIRTIO_MMIO_STATUS, 7);
	}
	assert_int_equal(owner->mmio.limit.total, 1000);
	assert_true(owner->mmio.limit.tokens_used <= LOG_LIMIT_BURST);
	assert_true(owner->mmio.limit.suppressed >= 900);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(identity_is_virtio_mmio_2),
		TEST(driver_comes_up),
		TEST(status_zero_resets_everything),
		TEST(a_pending_reset_holds_other_writes),
		TEST(queue_ready_zero_waits_for_the_owner),
		TEST(interrupts_are_raised_and_acknowledged),
		TEST(an_interrupt_between_status_and_ack_is_not_lost),
		TEST(direct_calls_always_read_as_used_buffers),
		TEST(configuration_changes_have_a_generation),
		TEST(configuration_writes_reach_the_device),
		TEST(there_are_no_shared_memory_regions),
		TEST(a_broken_device_tells_the_driver_once),
		TEST(accesses_of_1_2_and_8_bytes),
		TEST(accesses_of_impossible_sizes),
		TEST(misaligned_accesses),
		TEST(unknown_offsets),
		TEST(configuration_past_its_end),
		TEST(writes_to_read_only_registers),
		TEST(reads_of_write_only_registers),
		TEST(selectors_out_of_range),
		TEST(features_beyond_bit_63),
		TEST(driver_ok_before_features_ok),
		TEST(features_not_offered),
		TEST(features_needed_but_not_taken),
		TEST(features_changed_after_features_ok),
		TEST(status_bits_cannot_be_cleared_or_forged),
		TEST(notify_on_a_dead_queue),
		TEST(a_storm_of_notifies),
		TEST(queue_size_0),
		TEST(queue_size_not_a_power_of_two),
		TEST(queue_size_too_large),
		TEST(queue_ready_without_addresses),
		TEST(queue_addresses_not_aligned),
		TEST(queue_changed_while_ready),
		TEST(bad_accesses_do_not_fill_the_log),
	};

	return cmocka_run_group_tests_name("mmio", tests, NULL, NULL);
}
