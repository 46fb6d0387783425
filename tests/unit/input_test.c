/* SPDX-License-Identifier: MIT */
/* The virtio-input device: its configuration, whole frames, and what is lost. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "backend/input_kinds.h"
#include "tests/unit/input_rig.h"

#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define SYN                           \
	{                             \
		EV_SYN, SYN_REPORT, 0 \
	}

static void send_key(struct rig *rig, uint16_t code, bool down)
{
	const struct seat_input_event frame[] = { { EV_KEY, code, down }, SYN };

	assert_int_equal(input_send(rig->device, frame, 2), 0);
}

static void send_motion(struct rig *rig, int32_t x, int32_t y)
{
	const struct seat_input_event frame[] = { { EV_REL, REL_X, x }, { EV_REL, REL_Y, y }, SYN };

	assert_int_equal(input_send(rig->device, frame, 3), 0);
}

static void send_touch(struct rig *rig, int32_t slot, int32_t id, int32_t x)
{
	const struct seat_input_event frame[] = { { EV_ABS, ABS_MT_SLOT, slot },
		{ EV_ABS, ABS_MT_TRACKING_ID, id }, { EV_ABS, ABS_MT_POSITION_X, x }, SYN };

	assert_int_equal(input_send(rig->device, frame, 4), 0);
}

static bool is_down(const struct input_state *state, uint16_t code)
{
	return state->keys[code / 64] >> code % 64 & 1;
}

static void assert_log(struct rig *rig, const struct seat_input_event *events, unsigned count)
{
	assert_int_equal(rig->count, count);
	assert_memory_equal(rig->log, events, count * sizeof(*events));
	rig->count = 0;
}

static struct rig *start(enum seat_input_kind kind)
{
	struct rig *rig = rig_create(kind, RIG_QUEUE_SIZE);

	rig_start(rig);
	rig_offer(rig, RIG_QUEUE_SIZE);
	return rig;
}

static struct input_statistics statistics(struct rig *rig)
{
	struct input_statistics s;

	input_get_statistics(rig->device, &s);
	return s;
}

/* ---------------------------------------------------------------- configuration */

static uint8_t ask(struct rig *rig, uint8_t select, uint8_t subsel, void *to)
{
	const uint8_t words[] = { select, subsel };
	struct virtio_input_config config;

	memset(&config, 0xaa, sizeof(config));
	rig->device->impl->write_config(rig->device, 0, &words[0], 1);
	rig->device->impl->write_config(rig->device, 1, &words[1], 1);
	rig->device->impl->read_config(rig->device, 0, &config, sizeof(config));
	assert_int_equal(config.select, select);
	assert_int_equal(config.subsel, subsel);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(config.reserved[i], 0);
	for (unsigned i = config.size; i < sizeof(config.u); i++)
		assert_int_equal(config.u.bitmap[i], 0);
	memcpy(to, &config.u, sizeof(config.u));
	return config.size;
}

static bool has(struct rig *rig, uint8_t type, uint16_t code)
{
	uint8_t bits[INPUT_CONFIG_DATA_MAX];
	unsigned size = ask(rig, VIRTIO_INPUT_CFG_EV_BITS, type, bits);

	return code / 8u < size && (bits[code / 8] >> code % 8 & 1);
}

static void test_names(void **state)
{
	uint8_t data[INPUT_CONFIG_DATA_MAX];

	for (unsigned kind = 0; kind < SEAT_INPUT_KINDS; kind++) {
		struct rig *rig = rig_create((enum seat_input_kind)kind, 8);
		struct virtio_input_devids ids;
		char name[64];
		int n = snprintf(name, sizeof(name), "gpudom %s",
		    seat_input_kind_name((enum seat_input_kind)kind));

		assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_ID_NAME, 0, data), n);
		assert_memory_equal(data, name, n);
		assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_ID_SERIAL, 0, data), 3);
		assert_memory_equal(data, "one", 3);
		assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_ID_DEVIDS, 0, data), sizeof(ids));
		memcpy(&ids, data, sizeof(ids));
		assert_int_equal(ids.bustype, BUS_VIRTUAL);
		assert_int_equal(ids.product, 1 + kind);
		rig_destroy(rig);
	}
}

/* "If the device does not have the corresponding information, [...] size is set to zero" */
static void test_unknown_questions(void **state)
{
	struct rig *rig = rig_create(SEAT_INPUT_TOUCH, 8);
	uint8_t data[INPUT_CONFIG_DATA_MAX];

	assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_UNSET, 0, data), 0);
	assert_int_equal(ask(rig, 0xff, 0, data), 0);
	assert_int_equal(ask(rig, 0xff, 0xff, data), 0);
	assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_ID_NAME, 1, data), 0);
	assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_ID_DEVIDS, 1, data), 0);
	assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_PROP_BITS, 1, data), 0);
	assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_ABS_INFO, ABS_WHEEL, data), 0);
	assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_ABS_INFO, 0xff, data), 0);
	assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_EV_BITS, EV_LED, data), 0);
	assert_int_equal(ask(rig, VIRTIO_INPUT_CFG_EV_BITS, 0xff, data), 0);
	rig_destroy(rig);
}

/* The front end writes all of it, or pieces anywhere: select and subsel are all that there is. */
static void test_writes(void **state)
{
	struct rig *rig = rig_create(SEAT_INPUT_KEYBOARD, 8);
	struct virtio_input_config config;
	uint8_t byte = 0;

	memset(&config, 0xff, sizeof(config));
	config.select = VIRTIO_INPUT_CFG_ID_NAME;
	config.subsel = 0;
	rig->device->impl->write_config(rig->device, 0, &config, sizeof(config));
	rig->device->impl->write_config(rig->device, 2, &config, sizeof(config) - 2);
	rig->device->impl->write_config(rig->device, UINT32_MAX, &config, 8);
	rig->device->impl->read_config(rig->device, 0, &config, sizeof(config));
	assert_int_equal(config.size, strlen("gpudom keyboard"));
	/* In pieces, and past the end */
	rig->device->impl->read_config(rig->device, 8 + 7, &byte, 1);
	assert_int_equal(byte, 'k');
	rig->device->impl->read_config(rig->device, sizeof(config) - 1, &config, 4);
	assert_int_equal(config.select, 0);
	rig->device->impl->read_config(rig->device, UINT32_MAX, &byte, 1);
	assert_int_equal(byte, 0);
	rig_destroy(rig);
}

/* What udev and libinput tell devices apart by */
static void test_bits(void **state)
{
	struct rig *rigs[SEAT_INPUT_KINDS];
	uint8_t data[INPUT_CONFIG_DATA_MAX];
	struct virtio_input_absinfo info;

	for (unsigned kind = 0; kind < SEAT_INPUT_KINDS; kind++)
		rigs[kind] = rig_create((enum seat_input_kind)kind, 8);
	assert_true(has(rigs[SEAT_INPUT_KEYBOARD], EV_KEY, KEY_ESC));
	assert_true(has(rigs[SEAT_INPUT_KEYBOARD], EV_KEY, KEY_MICMUTE));
	assert_true(has(rigs[SEAT_INPUT_KEYBOARD], EV_KEY, KEY_ZOOMIN));
	assert_false(has(rigs[SEAT_INPUT_KEYBOARD], EV_KEY, BTN_LEFT));
	assert_false(has(rigs[SEAT_INPUT_KEYBOARD], EV_KEY, BTN_DPAD_UP));
	assert_false(has(rigs[SEAT_INPUT_KEYBOARD], EV_KEY, BTN_TRIGGER_HAPPY1));
	assert_false(has(rigs[SEAT_INPUT_KEYBOARD], EV_KEY, KEY_RESERVED));
	assert_true(has(rigs[SEAT_INPUT_KEYBOARD], EV_LED, LED_CAPSL));
	assert_int_not_equal(
	    ask(rigs[SEAT_INPUT_KEYBOARD], VIRTIO_INPUT_CFG_EV_BITS, EV_REP, data), 0);
	assert_true(has(rigs[SEAT_INPUT_MOUSE], EV_REL, REL_X));
	assert_true(has(rigs[SEAT_INPUT_MOUSE], EV_REL, REL_WHEEL_HI_RES));
	assert_false(has(rigs[SEAT_INPUT_MOUSE], EV_REL, REL_Z));
	assert_true(has(rigs[SEAT_INPUT_POINTER], EV_ABS, ABS_X));
	assert_true(has(rigs[SEAT_INPUT_POINTER], EV_KEY, BTN_LEFT));
	assert_false(has(rigs[SEAT_INPUT_POINTER], EV_KEY, BTN_TOUCH));
	assert_false(has(rigs[SEAT_INPUT_POINTER], EV_REL, REL_X));
	assert_int_equal(ask(rigs[SEAT_INPUT_POINTER], VIRTIO_INPUT_CFG_PROP_BITS, 0, data), 0);
	assert_int_equal(ask(rigs[SEAT_INPUT_TOUCH], VIRTIO_INPUT_CFG_PROP_BITS, 0, data), 1);
	assert_int_equal(data[0], 1 << INPUT_PROP_DIRECT);
	assert_int_equal(ask(rigs[SEAT_INPUT_TOUCH], VIRTIO_INPUT_CFG_ABS_INFO, ABS_MT_SLOT, data),
	    sizeof(info));
	memcpy(&info, data, sizeof(info));
	assert_int_equal(info.max, SEAT_INPUT_SLOTS - 1);
	assert_int_equal(ask(rigs[SEAT_INPUT_TABLET], VIRTIO_INPUT_CFG_ABS_INFO, ABS_TILT_X, data),
	    sizeof(info));
	memcpy(&info, data, sizeof(info));
	assert_int_equal((int32_t)info.min, -SEAT_INPUT_TILT_MAX);
	assert_int_not_equal(info.res, 0);
	assert_true(has(rigs[SEAT_INPUT_TABLET], EV_KEY, BTN_TOOL_RUBBER));
	assert_true(has(rigs[SEAT_INPUT_SWITCH], EV_SW, SW_LID));
	assert_true(has(rigs[SEAT_INPUT_SWITCH], EV_SW, SW_TABLET_MODE));
	assert_false(has(rigs[SEAT_INPUT_SWITCH], EV_SW, SW_RFKILL_ALL));
	for (unsigned kind = 0; kind < SEAT_INPUT_KINDS; kind++)
		rig_destroy(rigs[kind]);
}

/* ---------------------------------------------------------------- frames */

static void test_frame(void **state)
{
	const struct seat_input_event frame[] = { { EV_REL, REL_X, -3 }, { EV_REL, REL_Y, 7 },
		{ EV_KEY, BTN_LEFT, 1 }, SYN };
	struct rig *rig = start(SEAT_INPUT_MOUSE);

	assert_int_equal(input_send(rig->device, frame, LENGTH(frame)), 0);
	assert_int_equal(rig_read(rig, true), LENGTH(frame));
	assert_int_equal(rig->last_size, 8);
	assert_log(rig, frame, LENGTH(frame));
	/* One call for all of it */
	assert_int_equal(rig->virtqueues[RIG_EVENTS].calls, 1);
	assert_int_equal(statistics(rig).frames, 1);
	assert_int_equal(statistics(rig).events, LENGTH(frame));
	rig_destroy(rig);
}

static void test_no_frame(void **state)
{
	const struct seat_input_event open[] = { { EV_KEY, KEY_A, 1 } };
	const struct seat_input_event two[] = { { EV_KEY, KEY_A, 1 }, SYN, { EV_KEY, KEY_A, 0 },
		SYN };
	/* None of it is a keyboard's, but for the last */
	const struct seat_input_event foreign[] = { { EV_KEY, BTN_LEFT, 1 }, { EV_REL, REL_X, 1 },
		{ EV_ABS, ABS_MT_SLOT, 99 }, { 0xffff, 0xffff, 1 }, { EV_LED, LED_CAPSL, 1 },
		{ EV_KEY, KEY_A, 2 }, { EV_KEY, 0xffff, 1 }, { EV_KEY, KEY_B, 1 }, SYN };
	struct seat_input_event many[SEAT_INPUT_EVENTS_MAX + 1] = { 0 };
	struct rig *rig = start(SEAT_INPUT_KEYBOARD);

	assert_int_equal(input_send(rig->device, open, 0), -EINVAL);
	assert_int_equal(input_send(rig->device, open, 1), -EINVAL);
	assert_int_equal(input_send(rig->device, two, 4), -EINVAL);
	assert_int_equal(input_send(rig->device, many, LENGTH(many)), -EINVAL);
	assert_int_equal(input_send(rig->device, foreign, LENGTH(foreign) - 2), -EINVAL);
	assert_int_equal(input_send(rig->device, &foreign[LENGTH(foreign) - 1], 1), 0);
	assert_int_equal(rig_read(rig, true), 0);
	assert_int_equal(input_send(rig->device, foreign, LENGTH(foreign)), 0);
	assert_int_equal(rig_read(rig, true), 2);
	assert_log(rig, &foreign[LENGTH(foreign) - 2], 2);
	rig_destroy(rig);
}

/* "a SYN frame is delivered whole or not at all", and in its order */
static void test_waiting(void **state)
{
	const struct seat_input_event all[] = { { EV_REL, REL_X, 1 }, { EV_REL, REL_Y, 1 }, SYN,
		{ EV_REL, REL_X, 2 }, { EV_REL, REL_Y, 2 }, SYN, { EV_REL, REL_X, 3 },
		{ EV_REL, REL_Y, 3 }, SYN };
	struct rig *rig = rig_create(SEAT_INPUT_MOUSE, RIG_QUEUE_SIZE);

	rig_start(rig);
	rig_offer(rig, 2);
	for (int i = 1; i <= 3; i++)
		send_motion(rig, i, i);
	assert_int_equal(rig_read(rig, false), 0);
	assert_int_equal(statistics(rig).waiting, 3);
	rig_offer(rig, 3); /* 5 */
	assert_int_equal(rig_read(rig, false), 3);
	rig_offer(rig, 1); /* 3 */
	assert_int_equal(rig_read(rig, false), 3);
	rig_offer(rig, 2);
	assert_int_equal(rig_read(rig, false), 0);
	rig_offer(rig, 1);
	assert_int_equal(rig_read(rig, false), 3);
	assert_log(rig, all, LENGTH(all));
	assert_int_equal(statistics(rig).waiting, 0);
	assert_int_equal(statistics(rig).frames_lost, 0);
	rig_destroy(rig);
}

/* A guest that is not behind is not woken to kick: its buffers are found when they are needed. */
static void test_no_kicks(void **state)
{
	struct rig *rig = start(SEAT_INPUT_MOUSE);
	uint64_t kicks = rig->queues[RIG_EVENTS].kicks;

	for (int i = 0; i < 1000; i++) {
		send_motion(rig, i, i);
		assert_int_equal(rig_read(rig, true), 3);
	}
	assert_true(rig->queues[RIG_EVENTS].kicks <= kicks + 1);
	rig_destroy(rig);
}

/* ---------------------------------------------------------------- loss */

static void test_overflow(void **state)
{
	struct rig *rig = rig_create(SEAT_INPUT_KEYBOARD, RIG_QUEUE_SIZE);

	rig_start(rig);
	rig_offer(rig, 2);
	send_key(rig, KEY_LEFTSHIFT, true);
	assert_int_equal(rig_read(rig, false), 2);
	/* The guest sleeps: shift goes up, A down and up, over and over; B stays down. */
	send_key(rig, KEY_LEFTSHIFT, false);
	for (int i = 0; i < 10 * INPUT_FRAMES_MAX; i++)
		send_key(rig, KEY_A, i % 2 == 0);
	send_key(rig, KEY_B, true);
	assert_int_equal(statistics(rig).waiting, INPUT_FRAMES_MAX);
	assert_int_equal(statistics(rig).frames_lost, 9 * INPUT_FRAMES_MAX + 2);
	rig->count = 0;
	for (int i = 0; i < 20; i++) {
		rig_offer(rig, RIG_QUEUE_SIZE);
		rig_read(rig, false);
	}
	assert_int_equal(statistics(rig).waiting, 0);
	assert_int_equal(statistics(rig).resyncs, 1);
	/* First what became of the lost ones */
	assert_int_equal(rig->log[0].code, KEY_LEFTSHIFT);
	assert_int_equal(rig->log[0].value, 0);
	assert_false(is_down(&rig->state, KEY_LEFTSHIFT));
	assert_false(is_down(&rig->state, KEY_A));
	assert_true(is_down(&rig->state, KEY_B));
	/* All that was not lost, and each frame whole */
	assert_int_equal(rig->log[rig->count - 1].type, EV_SYN);
	assert_in_range(rig->count, 2 * INPUT_FRAMES_MAX, 2 * INPUT_FRAMES_MAX + 4);
	rig_destroy(rig);
}

/* Touches that came and went, went and came, or moved, while nobody looked */
static void test_overflow_touch(void **state)
{
	struct rig *rig = rig_create(SEAT_INPUT_TOUCH, RIG_QUEUE_SIZE);
	unsigned syns = 0;

	rig_start(rig);
	rig_offer(rig, 12);
	send_touch(rig, 0, 10, 100);
	send_touch(rig, 1, 11, 200);
	send_touch(rig, 2, 12, 300);
	assert_int_equal(rig_read(rig, false), 12);
	send_touch(rig, 0, -1, 100); /* gone */
	send_touch(rig, 1, -1, 200); /* another one */
	send_touch(rig, 1, 13, 201);
	for (int i = 0; i < 2 * INPUT_FRAMES_MAX; i++)
		send_touch(rig, 2, 12, 300 + i); /* moved */
	rig->count = 0;
	rig_offer(rig, RIG_QUEUE_SIZE);
	assert_true(rig_read(rig, false) > 0);
	/* The first frame ends both, the second begins the other one */
	for (unsigned i = 0; i < rig->count && syns < 2; i++) {
		syns += rig->log[i].type == EV_SYN;
		if (rig->log[i].code == ABS_MT_TRACKING_ID && rig->log[i].type == EV_ABS)
			assert_int_equal(rig->log[i].value, syns ? 13 : -1);
	}
	for (int i = 0; i < 100; i++) {
		rig_offer(rig, RIG_QUEUE_SIZE);
		rig_read(rig, false);
	}
	assert_int_equal(rig->state.slots[0].id, -1);
	assert_int_equal(rig->state.slots[1].id, 13);
	assert_int_equal(rig->state.slots[2].id, 12);
	assert_int_equal(rig->state.slots[2].values[ABS_MT_POSITION_X - INPUT_MT_FIRST],
	    300 + 2 * INPUT_FRAMES_MAX - 1);
	assert_int_equal(rig->state.slot, 2);
	rig_destroy(rig);
}

/* More in one frame than the guest has buffers: in smaller ones */
static void test_small_queue(void **state)
{
	struct seat_input_event frame[21];

	for (uint16_t size = 2; size <= 16; size = (uint16_t)(2 * size)) {
		struct rig *rig = rig_create(SEAT_INPUT_KEYBOARD, size);

		rig_start(rig);
		for (uint16_t i = 0; i < 20; i++)
			frame[i] = (struct seat_input_event){ EV_KEY, (uint16_t)(KEY_Q + i), 1 };
		frame[20] = (struct seat_input_event)SYN;
		assert_int_equal(input_send(rig->device, frame, 21), 0);
		for (int i = 0; i < 25; i++) {
			rig_offer(rig, size);
			rig_read(rig, false);
		}
		for (uint16_t i = 0; i < 20; i++)
			assert_true(is_down(&rig->state, (uint16_t)(KEY_Q + i)));
		assert_int_equal(rig->log[rig->count - 1].type, EV_SYN);
		rig_destroy(rig);
	}
}

/* Whatever happens, and however few buffers there are: the guest ends where the truth is. */
static void test_random(void **state)
{
	for (unsigned seed = 0; seed < 50; seed++) {
		const uint16_t size = (uint16_t)(4u << seed % 5);
		struct rig *rig = rig_create(SEAT_INPUT_TOUCH, size);
		struct input_state truth;

		srandom(seed);
		input_state_init(&truth);
		rig_start(rig);
		for (int i = 0; i < 3000; i++) {
			struct seat_input_event frame[SEAT_INPUT_EVENTS_MAX];
			unsigned count = 0;

			for (long n = random() % (random() % 8 ? 2 : 20); n >= 0; n--) {
				const int32_t slot = (int32_t)(random() % SEAT_INPUT_SLOTS);
				const int32_t id = (int32_t)(random() % 3 ? random() % 9 : -1);

				frame[count++] =
				    (struct seat_input_event){ EV_ABS, ABS_MT_SLOT, slot };
				if (truth.slots[slot].id != id && truth.slots[slot].id >= 0)
					frame[count++] = (struct seat_input_event){ EV_ABS,
						ABS_MT_TRACKING_ID, -1 };
				else
					frame[count++] = (struct seat_input_event){ EV_ABS,
						ABS_MT_TRACKING_ID, id };
				frame[count++] = (struct seat_input_event){ EV_ABS,
					ABS_MT_POSITION_Y, (int32_t)(random() % 5) };
			}
			frame[count++] =
			    (struct seat_input_event){ EV_KEY, BTN_TOUCH, (int32_t)(random() % 2) };
			frame[count++] = (struct seat_input_event)SYN;
			for (unsigned k = 0; k + 1 < count; k++)
				input_state_apply(&truth, &frame[k]);
			assert_int_equal(input_send(rig->device, frame, count), 0);
			if (random() % 50 == 0) {
				input_release(rig->device);
				input_state_release(&truth);
			}
			if (i / 500 % 2) {
				rig_offer(rig, (unsigned)(random() % 12));
				rig_read(rig, false);
			}
		}
		for (int i = 0; i < 3000; i++) {
			rig_offer(rig, size);
			rig_read(rig, false);
		}
		assert_int_equal(statistics(rig).waiting, 0);
		assert_memory_equal(rig->state.keys, truth.keys, sizeof(truth.keys));
		assert_int_equal(rig->state.slot, truth.slot);
		for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++) {
			const struct input_slot *slot = &truth.slots[i];

			assert_int_equal(rig->state.slots[i].id, slot->id);
			if (slot->id >= 0)
				assert_memory_equal(
				    rig->state.slots[i].values, slot->values, sizeof(slot->values));
		}
		rig_destroy(rig);
	}
}

/* ---------------------------------------------------------------- nothing that stuck */

static void test_release(void **state)
{
	const struct seat_input_event expected[] = { { EV_KEY, KEY_A, 0 },
		{ EV_KEY, KEY_LEFTCTRL, 0 }, SYN };
	struct rig *rig = start(SEAT_INPUT_KEYBOARD);

	send_key(rig, KEY_LEFTCTRL, true);
	send_key(rig, KEY_A, true);
	rig_read(rig, true);
	rig->count = 0;
	input_release(rig->device);
	rig_read(rig, true);
	assert_int_equal(rig->count, 3);
	assert_false(is_down(&rig->state, KEY_A));
	assert_false(is_down(&rig->state, KEY_LEFTCTRL));
	assert_memory_equal(&rig->log[2], &expected[2], sizeof(expected[2]));
	rig->count = 0;
	input_release(rig->device);
	assert_int_equal(rig_read(rig, true), 0);
	rig_destroy(rig);
}

static void reset(struct rig *rig)
{
	rig_stop(rig);
	for (unsigned i = 0; i < 2; i++)
		loopback_queue_reset(&rig->queues[i]);
	rig->device->impl->reset(rig->device);
	input_state_init(&rig->state);
	rig->count = 0;
}

/* What came while there was no driver is not typed into the next one, but what is down is down. */
static void test_reset(void **state)
{
	const struct seat_input_event expected[] = { { EV_KEY, KEY_B, 1 }, SYN };
	struct rig *rig = start(SEAT_INPUT_KEYBOARD);
	uint8_t data[INPUT_CONFIG_DATA_MAX];

	ask(rig, VIRTIO_INPUT_CFG_ID_NAME, 0, data);
	send_key(rig, KEY_A, true);
	rig_read(rig, false);
	rig_write(rig, EV_LED, LED_CAPSL, 1);
	assert_int_equal(rig->told_count, 1);
	reset(rig);
	/* Its LEDs are off */
	assert_int_equal(rig->told_count, 2);
	assert_int_equal(rig->told[1].value, 0);
	send_key(rig, KEY_A, false);
	send_key(rig, KEY_C, true);
	send_key(rig, KEY_C, false);
	send_key(rig, KEY_B, true);
	rig_start(rig);
	rig_offer(rig, RIG_QUEUE_SIZE);
	assert_int_equal(rig_read(rig, true), 2);
	assert_log(rig, expected, 2);
	rig_destroy(rig);
}

static void test_switch_reset(void **state)
{
	const struct seat_input_event frame[] = { { EV_SW, SW_LID, 1 },
		{ EV_SW, SW_TABLET_MODE, 0 }, SYN };
	struct rig *rig = start(SEAT_INPUT_SWITCH);

	assert_int_equal(input_send(rig->device, frame, 3), 0);
	rig_read(rig, false);
	assert_log(rig, frame, 3);
	reset(rig);
	rig_start(rig);
	rig_offer(rig, RIG_QUEUE_SIZE);
	rig_read(rig, true);
	assert_log(rig, frame, 3);
	rig_destroy(rig);
}

/* Buffers that were taken and not used go back as empty frames. */
static void test_stop(void **state)
{
	struct rig *rig = rig_create(SEAT_INPUT_MOUSE, RIG_QUEUE_SIZE);

	rig_start(rig);
	rig_offer(rig, 2);
	send_motion(rig, 1, 1);
	rig_stop(rig);
	assert_int_equal(rig_read(rig, false), 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(rig->log[i].type, EV_SYN);
	assert_int_equal(rig->count, 2);
	rig_destroy(rig);
}

/* Another worker follows: what the guest believes to be down comes up. */
static void test_ledger(void **state)
{
	struct rig *rig = rig_create(SEAT_INPUT_TOUCH, RIG_QUEUE_SIZE);
	const struct input_options options = { .kind = SEAT_INPUT_TOUCH };
	const struct input_options other = { .kind = SEAT_INPUT_KEYBOARD };
	const struct seat_input_event touch[] = { { EV_ABS, ABS_MT_SLOT, 4 },
		{ EV_ABS, ABS_MT_TRACKING_ID, 77 }, { EV_ABS, ABS_MT_POSITION_X, 5 },
		{ EV_KEY, BTN_TOUCH, 1 }, SYN };
	const size_t size = rig->device->impl->ledger_size;
	struct virtio_device *device;
	uint8_t *ledger = calloc(1, size);

	assert_int_equal(rig->device->impl->set_ledger(rig->device, ledger), 0);
	rig_start(rig);
	rig_offer(rig, 5);
	assert_int_equal(input_send(rig->device, touch, 5), 0);
	assert_int_equal(rig_read(rig, true), 5);
	assert_int_equal(rig->state.slots[4].id, 77);
	/* It dies: nothing is drained */
	for (unsigned i = 0; i < 2; i++)
		virtqueue_stop(&rig->virtqueues[i]);
	rig->device->impl->set_ledger(rig->device, NULL);
	rig->device->impl->destroy(rig->device);
	for (unsigned i = 0; i < 2; i++)
		loopback_queue_reset(&rig->queues[i]);

	assert_int_equal(input_create(&other, &device), 0);
	assert_int_equal(device->impl->set_ledger(device, ledger), -ENOTRECOVERABLE);
	device->impl->destroy(device);
	assert_int_equal(input_create(&options, &rig->device), 0);
	rig->device->queues = rig->virtqueues;
	rig->device->memory = rig->guest;
	assert_int_equal(rig->device->impl->set_ledger(rig->device, ledger), 0);
	rig_start(rig);
	rig_offer(rig, RIG_QUEUE_SIZE);
	assert_true(rig_read(rig, true) > 0);
	assert_int_equal(rig->state.slots[4].id, -1);
	assert_false(is_down(&rig->state, BTN_TOUCH));
	/* A reset empties it */
	rig->device->impl->reset(rig->device);
	rig_stop(rig);
	rig->device->impl->set_ledger(rig->device, NULL);
	assert_int_equal(rig->device->impl->set_ledger(rig->device, ledger), 0);
	rig_destroy(rig);
	free(ledger);
}

/* It was published, and the worker died before it could say so, or the other way round. */
static void test_ledger_foresees(void **state)
{
	struct rig *rig = rig_create(SEAT_INPUT_KEYBOARD, RIG_QUEUE_SIZE);
	const size_t size = rig->device->impl->ledger_size;
	uint8_t *ledger = calloc(1, size), *before = calloc(1, size), *after = calloc(1, size);

	assert_int_equal(rig->device->impl->set_ledger(rig->device, ledger), 0);
	memcpy(before, ledger, size);
	rig_start(rig);
	rig_offer(rig, 2);
	send_key(rig, KEY_A, true);
	memcpy(after, ledger, size);
	assert_memory_not_equal(before, after, size);
	/* It waits: not foreseen, nor down */
	send_key(rig, KEY_B, true);
	assert_memory_equal(ledger, after, size);
	rig_offer(rig, 2);
	assert_memory_not_equal(ledger, after, size);
	/* ... up again, when the guest knows */
	rig_read(rig, false);
	rig_offer(rig, 4);
	send_key(rig, KEY_B, false);
	assert_memory_equal(ledger, after, size);
	send_key(rig, KEY_A, false);
	assert_memory_equal(ledger, before, size);
	rig->device->impl->set_ledger(rig->device, NULL);
	rig_destroy(rig);
	free(ledger);
	free(before);
	free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_unknown_questions),
		cmocka_unit_test(test_writes),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_no_frame),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_no_kicks),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_overflow_touch),
		cmocka_unit_test(test_small_queue),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_switch_reset),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_ledger),
		cmocka_unit_test(test_ledger_foresees),
	};

	log_init(LOG_LEVEL_ERROR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
