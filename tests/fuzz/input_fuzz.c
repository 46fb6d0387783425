/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the virtio-input device: a seat that sends what it likes, a driver that offers good and
 * bad buffers, writes good and bad wishes, and resets it. After each input, the driver takes all,
 * and must end where the seat is.
 */
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/input.h"
#include "tests/unit/input_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	SEND,
	RELEASE,
	OFFER,
	READ,
	WRITE,
	BAD_OFFER,
	BAD_WRITE,
	CONFIG,
	RESET,
	LEDGER,
	REPEAT,
	ACTS
};

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

struct fuzz {
	struct rig *rig;
	struct input input;
	uint8_t *ledger;
};

/* Codes that the kind has, and others; the values that come back are those that mean something. */
static struct seat_input_event fuzz_event(struct fuzz *fuzz)
{
	static const uint16_t codes[] = { KEY_A, KEY_LEFTSHIFT, BTN_LEFT, BTN_TOUCH, REL_X,
		REL_WHEEL, ABS_X, ABS_MT_SLOT, ABS_MT_TRACKING_ID, ABS_MT_POSITION_X, SW_LID,
		KEY_MAX, ABS_MAX };
	static const uint16_t types[] = { EV_KEY, EV_REL, EV_ABS, EV_SW, EV_LED, EV_REP };
	const uint8_t type = input_u8(&fuzz->input), code = input_u8(&fuzz->input);

	return (struct seat_input_event){ .type = type < 250 ? types[type % 6] : type,
		.code = code < 200 ? codes[code % 13] : input_u16(&fuzz->input),
		.value = (int8_t)input_u8(&fuzz->input) };
}

static void send(struct fuzz *fuzz)
{
	struct seat_input_event events[SEAT_INPUT_EVENTS_MAX + 1];
	const unsigned count = input_u8(&fuzz->input) % (SEAT_INPUT_EVENTS_MAX + 1);

	for (unsigned i = 0; i < count; i++)
		events[i] = fuzz_event(fuzz);
	events[count] = (struct seat_input_event){ EV_SYN, SYN_REPORT, 0 };
	input_send(fuzz->rig->device, events, count + 1);
}

static void bad_offer(struct fuzz *fuzz, unsigned queue)
{
	struct rig *rig = fuzz->rig;
	struct memory_piece pieces[10];
	const unsigned count = 1 + input_u8(&fuzz->input) % 10;
	const uint8_t how = input_u8(&fuzz->input);

	for (unsigned i = 0; i < count; i++) {
		pieces[i] = loopback_piece(&rig->memory, rig->buffers, 1 + (how & 3));
		if (how & 4)
			pieces[i].address = (uint64_t)how << 56;
	}
	if (!loopback_queue_has_room(&rig->queues[queue], count))
		return;
	loopback_queue_add(
	    &rig->queues[queue], pieces, how & 8 ? 0 : count, pieces, how & 8 ? count : 0, NULL);
	rig_kick(rig, queue);
}

static void reset(struct fuzz *fuzz, bool successor)
{
	struct rig *rig = fuzz->rig;

	rig_stop(rig);
	for (unsigned i = 0; i < 2; i++)
		loopback_queue_reset(&rig->queues[i]);
	if (successor) {
		rig->device->impl->set_ledger(rig->device, NULL);
		rig->device->impl->set_ledger(rig->device, fuzz->ledger);
	}
	rig->device->impl->reset(rig->device);
	input_state_init(&rig->state);
	rig_start(rig);
}

static void act(struct fuzz *fuzz)
{
	struct rig *rig = fuzz->rig;
	uint8_t bytes[160];

	switch (input_u8(&fuzz->input) % ACTS) {
	case SEND:
		send(fuzz);
		break;
	case RELEASE:
		input_release(rig->device);
		break;
	case OFFER:
		rig_offer(rig, input_u8(&fuzz->input));
		break;
	case READ:
		rig_read(rig, input_u8(&fuzz->input) & 1);
		break;
	case WRITE:
		if (loopback_queue_has_room(&rig->queues[RIG_STATUS], 1)) {
			const struct seat_input_event event = fuzz_event(fuzz);

			rig_write(rig, event.type, event.code, event.value);
		}
		rig_taken(rig);
		break;
	case BAD_OFFER:
		bad_offer(fuzz, RIG_EVENTS);
		break;
	case BAD_WRITE:
		bad_offer(fuzz, RIG_STATUS);
		break;
	case CONFIG:
		rig->device->impl->write_config(rig->device, input_u8(&fuzz->input) % 4, bytes,
		    (uint32_t)input_bytes(&fuzz->input, bytes, 2));
		rig->device->impl->read_config(
		    rig->device, input_u32(&fuzz->input) % 200, bytes, sizeof(bytes));
		break;
	case RESET:
		reset(fuzz, false);
		break;
	case LEDGER:
		input_bytes(&fuzz->input, fuzz->ledger + 8, rig->device->impl->ledger_size - 8);
		reset(fuzz, true);
		break;
	default:
		input_repeat_status(rig->device);
		break;
	}
}

/* What a driver that takes all must come to: what is down is what was sent last. */
static void check(struct fuzz *fuzz)
{
	struct rig *rig = fuzz->rig;
	struct input_statistics statistics;

	input_release(rig->device);
	for (unsigned i = 0; i < 2 * SEAT_INPUT_EVENTS_MAX; i++) {
		rig_read(rig, false);
		rig_offer(rig, rig->queues[RIG_EVENTS].size);
	}
	input_get_statistics(rig->device, &statistics);
	CHECK(!rig->virtqueues[RIG_EVENTS].broken && !rig->virtqueues[RIG_STATUS].broken);
	CHECK(statistics.waiting == 0);
	for (unsigned i = 0; i < INPUT_KEY_WORDS; i++)
		CHECK(!rig->state.keys[i]);
	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
		CHECK(rig->state.slots[i].id < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz fuzz = { .input = { data, size } };

	log_init(LOG_LEVEL_ERROR, NULL);
	fuzz.rig = rig_create((enum seat_input_kind)(input_u8(&fuzz.input) % SEAT_INPUT_KINDS),
	    (uint16_t)(4u << input_u8(&fuzz.input) % 5));
	fuzz.ledger = calloc(1, fuzz.rig->device->impl->ledger_size);
	CHECK(fuzz.ledger);
	if (input_u8(&fuzz.input) & 1)
		fuzz.rig->device->impl->set_ledger(fuzz.rig->device, fuzz.ledger);
	rig_start(fuzz.rig);
	while (fuzz.input.size)
		act(&fuzz);
	check(&fuzz);
	fuzz.rig->device->impl->set_ledger(fuzz.rig->device, NULL);
	rig_destroy(fuzz.rig);
	free(fuzz.ledger);
	return 0;
}
