/* SPDX-License-Identifier: MIT */
/* What a guest does to the virtio-input device: buffers of no use, and what it writes to the status
 * queue. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "tests/unit/input_rig.h"

#include <cmocka.h>

#define SYN                           \
	{                             \
		EV_SYN, SYN_REPORT, 0 \
	}

static void send_key(struct rig *rig, uint16_t code, bool down)
{
	const struct seat_input_event frame[] = { { EV_KEY, code, down }, SYN };

	assert_int_equal(input_send(rig->device, frame, 2), 0);
}

static bool is_down(const struct input_state *state, uint16_t code)
{
	return state->keys[code / 64] >> code % 64 & 1;
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

/* ---------------------------------------------------------------- bad buffers */

static void offer_piece(struct rig *rig, uint64_t address, uint32_t length, bool writable)
{
	const struct memory_piece piece = { .address = address, .length = length };

	loopback_queue_add(&rig->queues[RIG_EVENTS], &piece, !writable, &piece, writable, NULL);
	rig_kick(rig, RIG_EVENTS);
}

/* Too short, not writable, out of reach: back they go, and the event comes in another one. */
static void test_bad_buffers(void **state)
{
	struct rig *rig = rig_create(SEAT_INPUT_KEYBOARD, RIG_QUEUE_SIZE);
	const uint64_t address = loopback_address(&rig->memory, rig->buffers);

	rig_start(rig);
	offer_piece(rig, address, 7, true);
	offer_piece(rig, address, 64, false);
	send_key(rig, KEY_A, true);
	assert_int_equal(rig_read(rig, false), 2);
	assert_int_equal(rig->last_size, 0);
	assert_int_equal(statistics(rig).errors, 2);
	rig_offer(rig, 2);
	assert_int_equal(rig_read(rig, false), 2);
	assert_true(is_down(&rig->state, KEY_A));
	/* Out of reach: part of a frame is lost, but it does not stay so */
	offer_piece(rig, UINT64_C(1) << 60, 8, true);
	offer_piece(rig, UINT64_C(1) << 60, 8, true);
	send_key(rig, KEY_A, false);
	assert_int_equal(rig_read(rig, false), 2);
	assert_int_equal(rig->last_size, 0);
	assert_true(is_down(&rig->state, KEY_A));
	rig_offer(rig, 2);
	assert_int_equal(rig_read(rig, false), 2);
	assert_false(is_down(&rig->state, KEY_A));
	rig_destroy(rig);
}

/* An event in eight pieces */
static void test_scattered_buffer(void **state)
{
	const struct seat_input_event frame[] = { { EV_KEY, KEY_A, 1 }, SYN };
	struct rig *rig = rig_create(SEAT_INPUT_KEYBOARD, RIG_QUEUE_SIZE);
	struct memory_piece pieces[9];
	uint8_t *bytes = (uint8_t *)rig->written;

	rig_start(rig);
	for (unsigned i = 0; i < 9; i++)
		pieces[i] = loopback_piece(&rig->memory, bytes + 2 * i, 1);
	loopback_queue_add(&rig->queues[RIG_EVENTS], NULL, 0, pieces, 9, NULL);
	rig_offer(rig, 1);
	send_key(rig, KEY_A, true);
	rig_read(rig, false);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(bytes[2 * i], ((const uint8_t *)frame)[i]);
	assert_int_equal(bytes[16], 0);
	rig_destroy(rig);
}

/* ---------------------------------------------------------------- what comes back */

static void wait_until(uint64_t at_ns)
{
	const struct timespec until = { .tv_sec = (time_t)(at_ns / 1000000000),
		.tv_nsec = (long)(at_ns % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void test_status(void **state)
{
	struct rig *rig = start(SEAT_INPUT_KEYBOARD);

	rig_write(rig, EV_LED, LED_CAPSL, 1);
	assert_int_equal(rig_taken(rig), 1);
	assert_int_equal(rig->told_calls, 1);
	assert_int_equal(rig->told[0].type, EV_LED);
	assert_int_equal(rig->told[0].code, LED_CAPSL);
	assert_int_equal(rig->told[0].value, 1);
	/* Soon again: later, and together */
	rig_write(rig, EV_REP, REP_DELAY, 250);
	rig_write(rig, EV_REP, REP_PERIOD, 33);
	rig_write(rig, EV_LED, LED_NUML, 1);
	assert_int_equal(rig->told_calls, 1);
	assert_true(rig->wakes[RIG_STATUS] > 0);
	wait_until(rig->wake_at);
	rig->device->impl->process_queue(rig->device, RIG_STATUS);
	assert_int_equal(rig_taken(rig), 3);
	assert_int_equal(rig->told_calls, 2);
	assert_int_equal(rig->told_count, 4);
	assert_int_equal(rig->told[1].code, LED_NUML);
	assert_int_equal(rig->told[2].value, 250);
	assert_int_equal(rig->told[3].value, 33);
	/* Somebody else wants to know */
	rig->told_count = 0;
	input_repeat_status(rig->device);
	assert_int_equal(rig->told_count, 7);
	assert_int_equal(rig->told[LED_CAPSL].value, 1);
	assert_int_equal(rig->told[LED_SCROLLL].value, 0);
	rig_destroy(rig);
}

static void test_status_flood(void **state)
{
	struct rig *rig = start(SEAT_INPUT_KEYBOARD);
	unsigned sent = 0, taken = 0, rounds = 0;

	while (sent < 2000) {
		while (sent < 2000 && loopback_queue_has_room(&rig->queues[RIG_STATUS], 1))
			rig_write(rig, EV_LED, LED_CAPSL, ++sent % 2 == 0);
		wait_until(rig->wake_at);
		rig->device->impl->process_queue(rig->device, RIG_STATUS);
		taken += rig_taken(rig);
		rounds++;
	}
	wait_until(rig->wake_at);
	rig->device->impl->process_queue(rig->device, RIG_STATUS);
	taken += rig_taken(rig);
	assert_int_equal(taken, 2000);
	assert_true(rig->told_calls <= rounds + 2);
	assert_int_equal(statistics(rig).status, 2000);
	rig_destroy(rig);
}

/* What nobody asked for, and what is too short */
static void test_bad_status(void **state)
{
	struct rig *rig = start(SEAT_INPUT_KEYBOARD);
	struct memory_piece piece = loopback_piece(&rig->memory, rig->written, 7);

	rig_write(rig, EV_LED, LED_MAX, 1);
	rig_write(rig, EV_LED, 0xffff, 1);
	rig_write(rig, EV_SND, SND_BELL, 1);
	rig_write(rig, EV_KEY, KEY_A, 1);
	rig_write(rig, 0xffff, 0xffff, -1);
	rig_write(rig, EV_REP, REP_DELAY, -1);
	rig_write(rig, EV_REP, REP_DELAY, INT32_MAX);
	loopback_queue_add(&rig->queues[RIG_STATUS], &piece, 1, NULL, 0, NULL);
	rig_kick(rig, RIG_STATUS);
	loopback_queue_add(&rig->queues[RIG_STATUS], NULL, 0, &piece, 1, NULL);
	rig_kick(rig, RIG_STATUS);
	piece = (struct memory_piece){ .address = UINT64_C(1) << 60, .length = 8 };
	loopback_queue_add(&rig->queues[RIG_STATUS], &piece, 1, NULL, 0, NULL);
	rig_kick(rig, RIG_STATUS);
	assert_int_equal(rig_taken(rig), 10);
	assert_int_equal(rig->told_calls, 0);
	assert_int_equal(statistics(rig).errors, 3);
	assert_false(rig->virtqueues[RIG_STATUS].broken);
	rig_write(rig, EV_LED, LED_CAPSL, 1);
	assert_int_equal(rig->told_calls, 1);
	rig_destroy(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_buffers),
		cmocka_unit_test(test_scattered_buffer),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_flood),
		cmocka_unit_test(test_bad_status),
	};

	log_init(LOG_LEVEL_ERROR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
