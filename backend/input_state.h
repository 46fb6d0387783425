/* SPDX-License-Identifier: MIT */
/*
 * What holds at an input device between two frames: keys that are down, switches, axes, touches
 * (slots of type B, Linux' Documentation/input/multi-touch-protocol.rst). Two states differ by
 * frames, which bring a guest from what it believes to what is true.
 */
#ifndef GPUDOM_BACKEND_INPUT_STATE_H
#define GPUDOM_BACKEND_INPUT_STATE_H

#include <linux/input-event-codes.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/seat_message.h"

#define INPUT_KEY_WORDS (KEY_CNT / 64)
#define INPUT_MT_FIRST ABS_MT_TOUCH_MAJOR /* axes of a slot */
#define INPUT_MT_COUNT (ABS_MT_TOOL_Y - ABS_MT_TOUCH_MAJOR + 1)

struct input_slot {
	int32_t id;     /* -1: nobody touches */
	uint32_t known; /* bits of values[] */
	int32_t values[INPUT_MT_COUNT];
};

struct input_state {
	uint64_t keys[INPUT_KEY_WORDS]; /* down */
	uint32_t switches, switches_known;
	uint64_t axes_known;
	int32_t axes[ABS_CNT]; /* but for those of slots */
	int32_t slot;          /* that axes of slots are about now; -1: not known */
	struct input_slot slots[SEAT_INPUT_SLOTS];
};

/* Nothing is down, and nothing known. */
void input_state_init(struct input_state *state);

/* An event of a frame; there are no slots or keys but those in the state. */
void input_state_apply(struct input_state *state, const struct seat_input_event *event);

/* Keys and touches up; switches and axes stay. */
void input_state_release(struct input_state *state);

/*
 * Makes a frame of at most @max events, its SYN_REPORT with it, that brings @from to @to or nearer;
 * then there is another one. What is up is said first, and a touch that took another's slot comes
 * in a frame of its own. The number of events; 0: the states are the same, or @max is too small (4
 * will do).
 */
unsigned input_state_difference(const struct input_state *from, const struct input_state *to,
    struct seat_input_event *events, unsigned max);

#endif
