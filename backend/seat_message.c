/* SPDX-License-Identifier: MIT */
#include "backend/seat_message.h"

#include <string.h>

static const char *const kinds[SEAT_INPUT_KINDS] = {
	[SEAT_INPUT_KEYBOARD] = "keyboard",
	[SEAT_INPUT_MOUSE] = "mouse",
	[SEAT_INPUT_POINTER] = "pointer",
	[SEAT_INPUT_TOUCH] = "touch",
	[SEAT_INPUT_TABLET] = "tablet",
	[SEAT_INPUT_SWITCH] = "switch",
};

const char *seat_input_kind_name(enum seat_input_kind kind)
{
	return kind < SEAT_INPUT_KINDS ? kinds[kind] : "unknown";
}

enum seat_input_kind seat_input_kind_parse(const char *name)
{
	unsigned kind = 0;

	while (kind < SEAT_INPUT_KINDS && strcmp(name, kinds[kind]) != 0)
		kind++;
	return (enum seat_input_kind)kind;
}
