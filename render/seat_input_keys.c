/* SPDX-License-Identifier: MIT */
/*
 * Keys: what people hold, what of it a guest was told, and what is for the seat alone. A key goes
 * up for a guest when the last one lets go of those who pressed it while the guest had focus.
 */
#include <string.h>

#include "render/seat_input_private.h"

bool seat_code_is_button(unsigned code)
{
	return (code >= BTN_MISC && code < KEY_OK) || code >= BTN_TRIGGER_HAPPY;
}

/* Does anybody hold it, for a guest or not? */
static bool held(const struct seat_input *input, unsigned code)
{
	for (unsigned i = 0; i < input->source_count; i++)
		if (input->sources[i].used && seat_bit(input->sources[i].down, code))
			return true;
	return false;
}

/* Was the guest told by a source of @pinned that it is down? */
static bool sent_by_any(
    const struct seat_input *input, const struct seat_guest *pinned, unsigned code)
{
	for (unsigned i = 0; i < input->source_count; i++) {
		const struct seat_source *source = &input->sources[i];

		if (source->used && source->pinned == pinned && seat_bit(source->sent, code))
			return true;
	}
	return false;
}

static bool of_keys(const struct seat_device *device)
{
	return device && (device->kind == SEAT_INPUT_KEYBOARD || device->kind == SEAT_INPUT_MOUSE ||
			     device->kind == SEAT_INPUT_POINTER);
}

void seat_input_unsend(struct seat_input *input, struct seat_source *source, unsigned code)
{
	struct seat_guest *guest = source->pinned ? source->pinned : input->focus;

	seat_bit_set(source->sent, code, false);
	if (!guest || sent_by_any(input, guest, code) ||
	    (guest == input->focus && sent_by_any(input, NULL, code)))
		return;
	for (unsigned i = 0; i < SEAT_INPUT_DEVICES_MAX; i++)
		if (of_keys(guest->devices[i]) && seat_bit(guest->devices[i]->now.keys, code))
			seat_device_add(
			    guest->devices[i], source->number, EV_KEY, (uint16_t)code, 0);
	if (seat_code_is_button(code))
		seat_input_pointer_ungrab(
		    input, source->pinned ? &guest->pointer : &input->pointer);
}

/* ---------------------------------------------------------------- releases of everything */

/* Those that its own sources hold stay, unless @all. */
static void release_device(
    struct seat_input *input, struct seat_device *device, bool all, bool buttons)
{
	const struct seat_guest *guest = device->guest;

	seat_device_flush(device);
	for (unsigned word = 0; word < SEAT_KEY_WORDS; word++) {
		uint64_t keys = device->now.keys[word];

		for (; keys; keys &= keys - 1) {
			const unsigned code = word * 64 + (unsigned)__builtin_ctzll(keys);

			if ((all || !sent_by_any(input, guest, code)) &&
			    (buttons || !seat_code_is_button(code)))
				seat_device_add(device, SOURCE_NONE, EV_KEY, (uint16_t)code, 0);
		}
	}
	seat_device_flush(device);
}

void seat_input_release_guest(struct seat_input *input, struct seat_guest *guest)
{
	for (unsigned i = 0; i < input->source_count; i++)
		if (!input->sources[i].pinned && guest == input->focus)
			memset(input->sources[i].sent, 0, sizeof(input->sources[i].sent));
	for (unsigned i = 0; i < SEAT_INPUT_DEVICES_MAX; i++)
		if (of_keys(guest->devices[i]))
			release_device(input, guest->devices[i], false, true);
	if (input->pointer.grab == guest)
		input->pointer.grab = NULL;
}

/* All its keys, whoever holds them: none of them is a part of the chord to it. */
static void release_keys(struct seat_input *input, struct seat_guest *guest)
{
	for (unsigned i = 0; i < input->source_count; i++) {
		struct seat_source *source = &input->sources[i];

		if (source->pinned != guest && (source->pinned || guest != input->focus))
			continue;
		for (unsigned code = 0; code < KEY_CNT; code++)
			if (!seat_code_is_button(code))
				seat_bit_set(source->sent, code, false);
	}
	for (unsigned i = 0; i < SEAT_INPUT_DEVICES_MAX; i++)
		if (of_keys(guest->devices[i]))
			release_device(input, guest->devices[i], true, false);
}

/* ---------------------------------------------------------------- what is the seat's */

static bool is_chord(const struct seat_input *input, const struct seat_chord *chord, unsigned code)
{
	if (!chord->count || chord->keys[chord->count - 1] != code)
		return false;
	for (unsigned i = 0; i + 1 < chord->count; i++)
		if (!held(input, chord->keys[i]))
			return false;
	return true;
}

/* 0: it switches none. */
static unsigned terminal_of(const struct seat_input *input, unsigned code)
{
	if ((!held(input, KEY_LEFTCTRL) && !held(input, KEY_RIGHTCTRL)) ||
	    (!held(input, KEY_LEFTALT) && !held(input, KEY_RIGHTALT)))
		return 0;
	if (code >= KEY_F1 && code <= KEY_F10)
		return code - KEY_F1 + 1;
	return code == KEY_F11 ? 11 : code == KEY_F12 ? 12 : 0;
}

/* True: no guest gets this press. */
static bool take_attention(
    struct seat_input *input, const struct seat_source *source, unsigned code)
{
	const unsigned terminal = terminal_of(input, code);
	const bool next = is_chord(input, &input->config.next, code);

	if (!terminal && !next)
		return false;
	if (source->pinned)
		release_keys(input, source->pinned);
	if (input->focus)
		release_keys(input, input->focus);
	if (terminal) {
		if (input->listener.switch_terminal)
			input->listener.switch_terminal(input->listener.data, terminal);
		return true;
	}
	input->stats.chords++;
	seat_input_focus_next(input, held(input, KEY_LEFTSHIFT) || held(input, KEY_RIGHTSHIFT));
	return true;
}

void seat_input_key(struct seat_input *input, unsigned number, uint32_t code, bool down)
{
	struct seat_source *source = seat_input_source(input, number);
	struct seat_device *keyboard;
	struct seat_guest *guest;

	if (!source || code >= KEY_CNT || seat_bit(source->down, code) == down)
		return;
	seat_bit_set(source->down, code, down);
	if (!down) {
		if (seat_bit(source->sent, code))
			seat_input_unsend(input, source, code);
		return;
	}
	if (take_attention(input, source, code))
		return;
	guest = seat_input_route(input, source);
	keyboard = guest ? seat_guest_device(guest, SEAT_INPUT_KEYBOARD) : NULL;
	if (!keyboard) {
		input->stats.dropped++;
		return;
	}
	seat_bit_set(source->sent, code, true);
	if (!seat_bit(keyboard->now.keys, code))
		seat_device_add(keyboard, number, EV_KEY, (uint16_t)code, 1);
}
