/* SPDX-License-Identifier: MIT */
/* Settings of input, as people write them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "render/seat_input_private.h"

static const struct {
	const char *name;
	uint16_t code;
} names[] = {
	{ "leftmeta", KEY_LEFTMETA },
	{ "rightmeta", KEY_RIGHTMETA },
	{ "leftctrl", KEY_LEFTCTRL },
	{ "rightctrl", KEY_RIGHTCTRL },
	{ "leftalt", KEY_LEFTALT },
	{ "rightalt", KEY_RIGHTALT },
	{ "leftshift", KEY_LEFTSHIFT },
	{ "rightshift", KEY_RIGHTSHIFT },
	{ "compose", KEY_COMPOSE },
	{ "menu", KEY_MENU },
	{ "capslock", KEY_CAPSLOCK },
	{ "numlock", KEY_NUMLOCK },
	{ "scrolllock", KEY_SCROLLLOCK },
	{ "esc", KEY_ESC },
	{ "tab", KEY_TAB },
	{ "space", KEY_SPACE },
	{ "enter", KEY_ENTER },
	{ "backspace", KEY_BACKSPACE },
	{ "grave", KEY_GRAVE },
	{ "102nd", KEY_102ND },
	{ "insert", KEY_INSERT },
	{ "delete", KEY_DELETE },
	{ "home", KEY_HOME },
	{ "end", KEY_END },
	{ "pageup", KEY_PAGEUP },
	{ "pagedown", KEY_PAGEDOWN },
	{ "up", KEY_UP },
	{ "down", KEY_DOWN },
	{ "left", KEY_LEFT },
	{ "right", KEY_RIGHT },
	{ "sysrq", KEY_SYSRQ },
	{ "pause", KEY_PAUSE },
	{ "power", KEY_POWER },
	{ "f11", KEY_F11 },
	{ "f12", KEY_F12 },
};

/* Rows of a keyboard, whose codes follow each other. */
static const struct {
	const char *keys;
	uint16_t first;
} rows[] = {
	{ "1234567890", KEY_1 },
	{ "qwertyuiop", KEY_Q },
	{ "asdfghjkl", KEY_A },
	{ "zxcvbnm", KEY_Z },
};

/* 0 (KEY_RESERVED): there is none. */
static uint16_t key_of_character(char c)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at = c ? strchr(rows[i].keys, c | 0x20) : NULL;

		if (!at && c >= '0' && c <= '9')
			at = strchr(rows[i].keys, c);
		if (at)
			return (uint16_t)(rows[i].first + (at - rows[i].keys));
	}
	return 0;
}

static uint16_t key_of_number(const char *text)
{
	char *end;
	unsigned long code;

	/* A digit alone is that key. */
	if (*text < '0' || *text > '9' || !text[1])
		return 0;
	code = strtoul(text, &end, 0);
	return *end || code >= KEY_CNT || seat_code_is_button((unsigned)code) ? 0 : (uint16_t)code;
}

static uint16_t key_parse(const char *text)
{
	if (*text && !text[1])
		return key_of_character(*text);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcasecmp(text, names[i].name))
			return names[i].code;
	if ((*text == 'f' || *text == 'F') && text[1] >= '1' && text[1] <= '9' && !text[2])
		return (uint16_t)(KEY_F1 + text[1] - '1');
	if (!strcasecmp(text, "f10"))
		return KEY_F10;
	return key_of_number(text);
}

int seat_chord_parse(const char *text, struct seat_chord *chord)
{
	struct seat_chord parsed = { .count = 0 };
	char copy[128];
	char *rest = copy, *word;

	if (!strcasecmp(text, "none")) {
		*chord = parsed;
		return 0;
	}
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, "+"))) {
		const uint16_t code = key_parse(word);

		if (!code || parsed.count == SEAT_CHORD_KEYS_MAX)
			return -EINVAL;
		parsed.keys[parsed.count++] = code;
	}
	*chord = parsed;
	return 0;
}

int seat_focus_follows_parse(const char *text, enum seat_focus_follows *follows)
{
	static const char *const words[] = {
		[SEAT_FOCUS_POINTER] = "pointer",
		[SEAT_FOCUS_CLICK] = "click",
		[SEAT_FOCUS_CHORD] = "chord",
	};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		*follows = (enum seat_focus_follows)i;
		return 0;
	}
	return -EINVAL;
}
