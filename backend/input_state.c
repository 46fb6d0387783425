/* SPDX-License-Identifier: MIT */
#include "backend/input_state.h"

#include <string.h>

#define ID_AXIS (ABS_MT_TRACKING_ID - INPUT_MT_FIRST)

_Static_assert(INPUT_MT_COUNT <= 32 && ABS_CNT <= 64 && SW_CNT <= 32, "bits of masks");

void input_state_init(struct input_state *state)
{
	memset(state, 0, sizeof(*state));
	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
		state->slots[i].id = -1;
}

static void apply_axis(struct input_state *state, uint16_t code, int32_t value)
{
	struct input_slot *slot;
	unsigned axis = (unsigned)code - INPUT_MT_FIRST;

	if (code == ABS_MT_SLOT) {
		state->slot = value;
		return;
	}
	if (code < INPUT_MT_FIRST || axis >= INPUT_MT_COUNT) {
		state->axes[code] = value;
		state->axes_known |= UINT64_C(1) << code;
		return;
	}
	if (state->slot < 0)
		return;
	slot = &state->slots[state->slot];
	if (axis == ID_AXIS) {
		slot->id = value;
	} else {
		slot->values[axis] = value;
		slot->known |= 1u << axis;
	}
}

void input_state_apply(struct input_state *state, const struct seat_input_event *event)
{
	uint64_t bit = UINT64_C(1) << event->code % 64;

	switch (event->type) {
	case EV_KEY:
		if (event->value)
			state->keys[event->code / 64] |= bit;
		else
			state->keys[event->code / 64] &= ~bit;
		break;
	case EV_SW:
		state->switches_known |= (uint32_t)bit;
		if (event->value)
			state->switches |= (uint32_t)bit;
		else
			state->switches &= ~(uint32_t)bit;
		break;
	case EV_ABS:
		apply_axis(state, event->code, event->value);
		break;
	default:
		break;
	}
}

void input_state_release(struct input_state *state)
{
	memset(state->keys, 0, sizeof(state->keys));
	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
		state->slots[i].id = -1;
}

/* ---------------------------------------------------------------- differences */

/* A frame in the making. */
struct frame {
	struct input_state state; /* when it ends here */
	const struct input_state *to;
	struct seat_input_event *events;
	unsigned count, room; /* but for SYN_REPORT */
};

static bool has_room(const struct frame *frame, unsigned count)
{
	return frame->count + count <= frame->room;
}

/* No more than there is room for. */
static void add(struct frame *frame, uint16_t type, unsigned code, int32_t value)
{
	struct seat_input_event event = { type, (uint16_t)code, value };

	if (!has_room(frame, 1))
		return;
	frame->events[frame->count++] = event;
	input_state_apply(&frame->state, &event);
}

static void add_keys(struct frame *frame, bool down)
{
	for (unsigned word = 0; word < INPUT_KEY_WORDS; word++) {
		const uint64_t before = frame->state.keys[word], after = frame->to->keys[word];
		uint64_t keys = down ? after & ~before : before & ~after;

		for (; keys; keys &= keys - 1)
			add(frame, EV_KEY, 64 * word + (unsigned)__builtin_ctzll(keys), down);
	}
}

static void add_switches(struct frame *frame)
{
	const struct input_state *to = frame->to;
	uint32_t bits = to->switches_known &
			(~frame->state.switches_known | (frame->state.switches ^ to->switches));

	for (; bits; bits &= bits - 1) {
		unsigned code = (unsigned)__builtin_ctz(bits);

		add(frame, EV_SW, code, to->switches >> code & 1);
	}
}

static void add_axes(struct frame *frame)
{
	const struct input_state *to = frame->to, *state = &frame->state;

	for (uint64_t bits = to->axes_known; bits; bits &= bits - 1) {
		unsigned code = (unsigned)__builtin_ctzll(bits);

		if (!(state->axes_known >> code & 1) || state->axes[code] != to->axes[code])
			add(frame, EV_ABS, code, to->axes[code]);
	}
}

static void select_slot(struct frame *frame, int32_t slot)
{
	if (frame->state.slot != slot)
		add(frame, EV_ABS, ABS_MT_SLOT, slot);
}

/* A touch that is over, or that another one has followed. */
static void add_slot_up(struct frame *frame, unsigned index)
{
	const int32_t before = frame->state.slots[index].id, after = frame->to->slots[index].id;

	if (before < 0 || before == after || !has_room(frame, 2))
		return;
	select_slot(frame, (int32_t)index);
	add(frame, EV_ABS, ABS_MT_TRACKING_ID, -1);
}

static uint32_t slot_changes(const struct input_slot *from, const struct input_slot *to)
{
	uint32_t changed = 0;

	for (unsigned axis = 0; axis < INPUT_MT_COUNT; axis++)
		if (to->known >> axis & 1 &&
		    (!(from->known >> axis & 1) || from->values[axis] != to->values[axis]))
			changed |= 1u << axis;
	return changed;
}

/* @was: the slot as it was before the frame. Where there is room for all of it, all of it. */
static void add_slot(struct frame *frame, unsigned index, const struct input_slot *was)
{
	const struct input_slot *from = &frame->state.slots[index], *to = &frame->to->slots[index];
	uint32_t changed = slot_changes(from, to);

	/* Who was there has just gone: the next frame is his who came. */
	if (to->id < 0 || (was->id >= 0 && was->id != to->id) || (from->id == to->id && !changed))
		return;
	if (!has_room(frame, frame->count ? 2u + (unsigned)__builtin_popcount(changed) : 2u))
		return;
	select_slot(frame, (int32_t)index);
	if (from->id != to->id)
		add(frame, EV_ABS, ABS_MT_TRACKING_ID, to->id);
	for (; changed; changed &= changed - 1) {
		unsigned axis = (unsigned)__builtin_ctz(changed);

		add(frame, EV_ABS, INPUT_MT_FIRST + axis, to->values[axis]);
	}
}

unsigned input_state_difference(const struct input_state *from, const struct input_state *to,
    struct seat_input_event *events, unsigned max)
{
	struct frame frame = { .state = *from, .to = to, .events = events };

	if (max < 2)
		return 0;
	frame.room = max - 1;
	add_keys(&frame, false);
	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
		add_slot_up(&frame, i);
	add_keys(&frame, true);
	add_switches(&frame);
	add_axes(&frame);
	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
		add_slot(&frame, i, &from->slots[i]);
	/* Frames to come may be about it without a word. */
	if (to->slot >= 0)
		select_slot(&frame, to->slot);
	if (!frame.count)
		return 0;
	events[frame.count++] = (struct seat_input_event){ EV_SYN, SYN_REPORT, 0 };
	return frame.count;
}
