/* SPDX-License-Identifier: MIT */
/* Keys, the chord, and who has focus. */
#include "tests/unit/seat_input_rig.h"

static int setup(void **state)
{
	*state = rig_create(&seat_input_config_default);
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	return 0;
}

static void keys_go_to_whom_has_focus(void **state)
{
	struct rig *rig = *state;

	rig_key(rig, 1, KEY_A, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	rig_key(rig, 1, KEY_A, true); /* again: the source's mistake */
	rig_key(rig, 1, KEY_A, false);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0));
	rig_key(rig, 1, KEY_A, false);
	rig_key(rig, 1, KEY_CNT, true);
	rig_key(rig, 1, UINT32_MAX, true);
	expect_silence(rig);

	assert_int_equal(seat_input_set_focus(rig->input, NULL), 0);
	rig_key(rig, 1, KEY_A, true);
	rig_key(rig, 1, KEY_A, false);
	expect_silence(rig);
	assert_null(seat_input_get_focus(rig->input));
	/* Not taken back by a layout */
	seat_input_set_layout(rig->input, &rig->layout);
	assert_null(seat_input_get_focus(rig->input));
	assert_int_equal(seat_input_set_focus(rig->input, "nobody"), -ENOENT);
}

/* One frame of releases to the old one; nothing to the new one, until it is pressed again. */
static void keys_held_over_a_switch(void **state)
{
	struct rig *rig = *state;

	rig_key(rig, 1, KEY_A, true);
	rig_key(rig, 1, KEY_LEFTSHIFT, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_LEFTSHIFT, 1));
	assert_int_equal(seat_input_set_focus(rig->input, "right"), 0);
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0), KEY(KEY_LEFTSHIFT, 0));
	expect_silence(rig);

	rig_key(rig, 1, KEY_A, false);
	expect_silence(rig);
	rig_key(rig, 1, KEY_A, true);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_A, 1));
	/* Back, and again nothing of what is held */
	assert_int_equal(seat_input_set_focus(rig->input, "left"), 0);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_A, 0));
	rig_key(rig, 1, KEY_LEFTSHIFT, false);
	rig_key(rig, 1, KEY_A, false);
	expect_silence(rig);
}

static void two_keyboards_hold_a_key(void **state)
{
	struct rig *rig = *state;

	rig_key(rig, 1, KEY_A, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	rig_key(rig, 2, KEY_A, true);
	rig_key(rig, 1, KEY_A, false);
	expect_silence(rig);
	rig_key(rig, 2, KEY_A, false);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0));

	/* What one holds since before the switch does not keep the other's down. */
	rig_key(rig, 1, KEY_A, true);
	seat_input_set_focus(rig->input, "right");
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0));
	rig_key(rig, 2, KEY_A, true);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_A, 1));
	rig_key(rig, 2, KEY_A, false);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_A, 0));
	rig_key(rig, 1, KEY_A, false);
	expect_silence(rig);
}

static void a_keyboard_is_unplugged_in_mid_press(void **state)
{
	struct rig *rig = *state;

	rig_key(rig, 1, KEY_A, true);
	rig_key(rig, 1, KEY_B, true);
	rig_key(rig, 2, KEY_B, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_B, 1));
	seat_input_source_gone(rig->input, 1);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0)); /* the other one holds B */
	seat_input_source_gone(rig->input, 1);
	seat_input_source_gone(rig->input, 7);
	expect_silence(rig);
	seat_input_source_gone(rig->input, 2);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_B, 0));
	expect_silence(rig);
}

/* ---------------------------------------------------------------- the chord */

/* By name: hidden, left, right. */
static void the_chord_goes_round(void **state)
{
	struct rig *rig = *state;

	rig->bring_to_front = true;
	rig_key(rig, 1, KEY_LEFTMETA, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_LEFTMETA, 1));
	rig_key(rig, 1, KEY_TAB, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_LEFTMETA, 0));
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	rig_key(rig, 1, KEY_TAB, false);
	rig_key(rig, 1, KEY_TAB, true); /* with Meta still held */
	assert_string_equal(seat_input_get_focus(rig->input), "hidden");
	assert_true(rig->layout.views[0].visible);
	rig_key(rig, 1, KEY_TAB, false);
	rig_key(rig, 1, KEY_LEFTMETA, false);
	expect_silence(rig);
	rig_key(rig, 1, KEY_C, true);
	expect(rig->fds[HIDDEN][KEYBOARD], KEY(KEY_C, 1));
	assert_int_equal(rig->focus_changes, 3);
}

static void the_chord_in_all_orders(void **state)
{
	static const struct {
		uint32_t keys[3];
		const char *focus;
	} cases[] = {
		{ { KEY_LEFTSHIFT, KEY_LEFTMETA, KEY_TAB }, "hidden" },
		{ { KEY_LEFTMETA, KEY_LEFTSHIFT, KEY_TAB }, "hidden" },
		{ { KEY_A, KEY_LEFTMETA, KEY_TAB }, "right" },
		{ { KEY_LEFTMETA, KEY_A, KEY_TAB }, "right" },
		/* Tab went before: it is no chord, and the guest's. */
		{ { KEY_TAB, KEY_LEFTMETA, KEY_A }, "left" },
		{ { KEY_RIGHTMETA, KEY_A, KEY_TAB }, "left" },
		{ { KEY_LEFTSHIFT, KEY_A, KEY_TAB }, "left" },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const bool chord = strcmp(cases[i].focus, "left") != 0;
		const int fd = rig->fds[LEFT][KEYBOARD];
		struct seat_input_packet packet;

		for (unsigned j = 0; j < 3; j++) {
			/* On three keyboards, as well */
			rig_key(rig, i % 2 ? 1 : 1 + j, cases[i].keys[j], true);
			if (j < 2 || !chord)
				expect(fd, KEY((uint16_t)cases[i].keys[j], 1));
		}
		assert_string_equal(seat_input_get_focus(rig->input), cases[i].focus);
		if (chord) { /* both modifiers, in one frame */
			assert_int_equal(rig_read(fd, &packet), 3);
			assert_int_equal(packet.events[0].value, 0);
			assert_int_equal(packet.events[1].value, 0);
		}
		for (unsigned j = 0; j < 3; j++) {
			rig_key(rig, i % 2 ? 1 : 1 + j, cases[i].keys[j], false);
			if (!chord)
				expect(fd, KEY((uint16_t)cases[i].keys[j], 0));
		}
		expect_silence(rig);
		seat_input_set_focus(rig->input, "left");
	}
}

/* The only guest: it sees Meta go up, and never Tab. */
static void the_chord_of_one_guest(void **state)
{
	struct rig *rig = *state;

	rig->layout.places[1].on = false;
	rig->layout.views[0] = rig->layout.views[1];
	rig->layout.view_count = 1;
	seat_input_set_layout(rig->input, &rig->layout);
	rig_key(rig, 1, KEY_LEFTMETA, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_LEFTMETA, 1));
	rig_key(rig, 1, KEY_TAB, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_LEFTMETA, 0));
	rig_key(rig, 1, KEY_TAB, false);
	rig_key(rig, 1, KEY_LEFTMETA, false);
	expect_silence(rig);
	assert_string_equal(seat_input_get_focus(rig->input), "left");
}

static void terminals_are_switched(void **state)
{
	static const uint32_t fn[] = { KEY_F1, KEY_F10, KEY_F11, KEY_F12 };
	static const unsigned terminals[] = { 1, 10, 11, 12 };
	struct rig *rig = *state;
	const int fd = rig->fds[LEFT][KEYBOARD];

	for (unsigned i = 0; i < 4; i++) {
		rig_key(rig, 1, KEY_LEFTALT, true);
		rig_key(rig, 1, KEY_RIGHTCTRL, true);
		rig_key(rig, 1, fn[i], true);
		assert_int_equal(rig->terminal, terminals[i]);
		expect(fd, KEY(KEY_LEFTALT, 1));
		expect(fd, KEY(KEY_RIGHTCTRL, 1));
		expect(fd, KEY(KEY_LEFTALT, 0), KEY(KEY_RIGHTCTRL, 0));
		rig_key(rig, 1, fn[i], false);
		rig_key(rig, 1, KEY_LEFTALT, false);
		rig_key(rig, 1, KEY_RIGHTCTRL, false);
		expect_silence(rig);
	}
	rig_key(rig, 1, KEY_F1, true);
	expect(fd, KEY(KEY_F1, 1));
}

static void chords_as_people_write_them(void **state)
{
	enum seat_focus_follows follows;
	struct seat_chord chord;

	assert_int_equal(seat_chord_parse("LeftMeta+tab", &chord), 0);
	assert_memory_equal(&chord, &seat_input_config_default.next, sizeof(chord));
	assert_int_equal(seat_chord_parse("leftctrl+leftalt+0x63+q", &chord), 0);
	assert_int_equal(chord.count, 4);
	assert_int_equal(chord.keys[2], KEY_SYSRQ);
	assert_int_equal(chord.keys[3], KEY_Q);
	assert_int_equal(seat_chord_parse("0", &chord), 0);
	assert_int_equal(chord.keys[0], KEY_0);
	assert_int_equal(seat_chord_parse("f9+f10", &chord), 0);
	assert_int_equal(chord.keys[0], KEY_F9);
	assert_int_equal(chord.keys[1], KEY_F10);
	assert_int_equal(seat_chord_parse("none", &chord), 0);
	assert_int_equal(chord.count, 0);
	for (unsigned i = 0; i < 8; i++) {
		static const char *const wrong[] = { "", "+", "leftmeta+", "meta+tab", "a+b+c+d+e",
			"9999", "272", "!" };

		chord.count = 77;
		assert_int_equal(seat_chord_parse(wrong[i], &chord), -EINVAL);
		assert_int_equal(chord.count, 77);
	}
	assert_int_equal(seat_focus_follows_parse("click", &follows), 0);
	assert_int_equal(follows, SEAT_FOCUS_CLICK);
	assert_int_equal(seat_focus_follows_parse("Click", &follows), -EINVAL);
}

/* ---------------------------------------------------------------- views and workers */

static void nothing_reaches_a_hidden_guest(void **state)
{
	struct rig *rig = *state;

	rig_key(rig, 1, KEY_A, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	rig->layout.views[1].visible = false;
	seat_input_set_layout(rig->input, &rig->layout);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0));
	rig_key(rig, 1, KEY_B, true);
	expect_silence(rig);
	rig->layout.views[1].visible = true;
	seat_input_set_layout(rig->input, &rig->layout);
	rig_key(rig, 1, KEY_A, false);
	rig_key(rig, 1, KEY_B, false);
	expect_silence(rig);
	rig_key(rig, 1, KEY_B, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_B, 1));
}

static void focus_goes_on_when_its_output_does(void **state)
{
	struct rig *rig = *state;

	rig_key(rig, 1, KEY_A, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	rig->layout.places[0].on = false;
	seat_input_set_layout(rig->input, &rig->layout);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0));
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	rig_key(rig, 1, KEY_B, true);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_B, 1));
	expect_silence(rig);
}

static void a_worker_is_replaced_in_mid_press(void **state)
{
	struct rig *rig = *state;

	rig_key(rig, 1, KEY_A, true);
	rig_key(rig, 1, KEY_B, true);
	rig_close(rig, LEFT, KEYBOARD);
	rig_key(rig, 1, KEY_B, false);
	rig_key(rig, 1, KEY_C, true);
	rig_attach(rig, LEFT, KEYBOARD);
	rig_run(rig);
	/* The new one has had the guest let go of all. */
	rig_key(rig, 1, KEY_A, false);
	rig_key(rig, 1, KEY_C, false);
	expect_silence(rig);
	rig_key(rig, 1, KEY_A, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
}

static void a_newer_socket_takes_over(void **state)
{
	struct rig *rig = *state;
	int old = rig->fds[LEFT][KEYBOARD];
	char byte;

	rig_attach(rig, LEFT, KEYBOARD);
	assert_int_equal(recv(old, &byte, 1, MSG_DONTWAIT), 0); /* closed */
	close(old);
	rig_key(rig, 1, KEY_A, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	seat_input_detach(rig->input, "left", KEYBOARD);
	assert_int_equal(recv(rig->fds[LEFT][KEYBOARD], &byte, 1, MSG_DONTWAIT), 0);
	rig_key(rig, 1, KEY_A, false);
	rig_key(rig, 1, KEY_A, true);
	seat_input_detach(rig->input, "left", KEYBOARD);
	seat_input_detach(rig->input, "left", 99);
	seat_input_detach(rig->input, "nobody", 0);
	expect_silence(rig);
}

static void attach_refuses_what_is_wrong(void **state)
{
	struct rig *rig = *state;
	char name[SEAT_GUEST_NAME_MAX + 1];
	int pair[2];
	int r = 0;

	memset(name, 'x', sizeof(name));
	name[SEAT_GUEST_NAME_MAX] = '\0';
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(seat_input_attach(rig->input, "", 0, SEAT_INPUT_MOUSE, pair[0]), -EINVAL);
	assert_int_equal(
	    seat_input_attach(rig->input, name, 0, SEAT_INPUT_MOUSE, pair[0]), -EINVAL);
	assert_int_equal(seat_input_attach(
			     rig->input, "left", SEAT_INPUT_DEVICES_MAX, SEAT_INPUT_MOUSE, pair[0]),
	    -EINVAL);
	assert_int_equal(
	    seat_input_attach(rig->input, "left", 0, SEAT_INPUT_KINDS, pair[0]), -EINVAL);
	/* There are 61 more guests, and one more. */
	for (unsigned i = 0; i < 61; i++) {
		int more = dup(pair[0]);

		snprintf(name, sizeof(name), "g%u", i);
		assert_int_equal(seat_input_attach(rig->input, name, 0, SEAT_INPUT_MOUSE, more), 0);
	}
	r = seat_input_attach(rig->input, "more", 0, SEAT_INPUT_MOUSE, pair[0]);
	assert_int_equal(r, -ENOSPC);
	/* One that went makes room. */
	seat_input_detach(rig->input, "g7", 0);
	assert_int_equal(seat_input_attach(rig->input, "more", 0, SEAT_INPUT_MOUSE, pair[0]), 0);
	close(pair[1]);
	rig_run(rig);
}

static void say(int fd, uint16_t type, uint16_t code, int32_t value)
{
	const struct seat_input_packet packet = { .count = 1, .events = { { type, code, value } } };

	assert_int_equal(send(fd, &packet, 16, 0), 16);
}

static void leds_are_the_focused_guests(void **state)
{
	struct rig *rig = *state;
	struct seat_input_packet wrong = { .count = 128 };

	say(rig->fds[RIGHT][KEYBOARD], EV_LED, LED_CAPSL, 1);
	rig_run(rig);
	assert_int_equal(rig->leds, 0);
	say(rig->fds[LEFT][KEYBOARD], EV_LED, LED_NUML, 1);
	rig_run(rig);
	assert_int_equal(rig->leds, 1 << LED_NUML);
	seat_input_set_focus(rig->input, "right");
	assert_int_equal(rig->leds, 1 << LED_CAPSL);
	/* Nonsense, and what is not a keyboard's */
	rig->leds_changes = 0;
	say(rig->fds[RIGHT][KEYBOARD], EV_LED, LED_CNT, 1);
	say(rig->fds[RIGHT][KEYBOARD], EV_REP, REP_DELAY, 1);
	say(rig->fds[RIGHT][KEYBOARD], EV_KEY, KEY_LEFTMETA, 1);
	say(rig->fds[RIGHT][KEYBOARD], EV_LED, LED_CAPSL, 1);
	say(rig->fds[RIGHT][MOUSE], EV_LED, LED_SCROLLL, 1);
	assert_int_equal(send(rig->fds[RIGHT][KEYBOARD], &wrong, 16, 0), 16);
	assert_int_equal(send(rig->fds[RIGHT][KEYBOARD], &wrong, 3, 0), 3);
	rig_run(rig);
	assert_int_equal(rig->leds_changes, 0);
	/* The seat goes by what people hold, not by what guests say. */
	rig_key(rig, 1, KEY_TAB, true);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_TAB, 1));
	rig_close(rig, RIGHT, KEYBOARD);
	assert_int_equal(rig->leds, 0);
}

static void switches_are_how_things_stand(void **state)
{
	struct rig *rig = *state;

	seat_input_switch(rig->input, 3, SW_LID, true);
	seat_input_switch(rig->input, 3, SW_CNT, true);
	seat_input_frame(rig->input, 3);
	expect(rig->fds[LEFT][SWITCHES], { EV_SW, SW_LID, 1 });
	seat_input_set_focus(rig->input, "right");
	expect(rig->fds[RIGHT][SWITCHES], { EV_SW, SW_LID, 1 });
	seat_input_switch(rig->input, 3, SW_LID, false);
	seat_input_frame(rig->input, 3);
	expect(rig->fds[RIGHT][SWITCHES], { EV_SW, SW_LID, 0 });
	expect_silence(rig);
	seat_input_set_focus(rig->input, "left");
	expect(rig->fds[LEFT][SWITCHES], { EV_SW, SW_LID, 0 });
	seat_input_set_focus(rig->input, "right");
	expect_silence(rig);
}

static void a_pinned_keyboard(void **state)
{
	struct rig *rig = *state;

	seat_input_pin(rig->input, 9, "right");
	rig_key(rig, 9, KEY_A, true);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_A, 1));
	rig_key(rig, 1, KEY_A, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	seat_input_set_focus(rig->input, "right");
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0));
	rig_key(rig, 1, KEY_B, true);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_B, 1));
	/* Its guest loses focus, and with it the other keyboard's keys alone. */
	seat_input_set_focus(rig->input, "left");
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_B, 0));
	expect_silence(rig);
	/* The chord is the seat's, there too. */
	rig_key(rig, 9, KEY_LEFTMETA, true);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_LEFTMETA, 1));
	rig_key(rig, 9, KEY_TAB, true);
	expect(rig->fds[RIGHT][KEYBOARD], KEY(KEY_A, 0), KEY(KEY_LEFTMETA, 0));
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	seat_input_source_gone(rig->input, 9);
	expect_silence(rig);
}

static void too_many_sources(void **state)
{
	struct rig *rig = *state;
	struct seat_input_stats stats;

	for (unsigned i = 0; i < SEAT_INPUT_SOURCES_MAX; i++)
		rig_key(rig, 100 + i, KEY_A, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	rig_key(rig, 99, KEY_B, true);
	expect_silence(rig);
	seat_input_get_stats(rig->input, &stats);
	assert_int_equal(stats.dropped, 1);
	assert_int_equal(stats.frames, 1);
	assert_int_equal(stats.events, 2);
	for (unsigned i = 0; i < SEAT_INPUT_SOURCES_MAX; i++)
		seat_input_source_gone(rig->input, 100 + i);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0));
	rig_key(rig, 99, KEY_B, true);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_B, 1));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(keys_go_to_whom_has_focus),
		test(keys_held_over_a_switch),
		test(two_keyboards_hold_a_key),
		test(a_keyboard_is_unplugged_in_mid_press),
		test(the_chord_goes_round),
		test(the_chord_in_all_orders),
		test(the_chord_of_one_guest),
		test(terminals_are_switched),
		test(chords_as_people_write_them),
		test(nothing_reaches_a_hidden_guest),
		test(focus_goes_on_when_its_output_does),
		test(a_worker_is_replaced_in_mid_press),
		test(a_newer_socket_takes_over),
		test(attach_refuses_what_is_wrong),
		test(leds_are_the_focused_guests),
		test(switches_are_how_things_stand),
		test(a_pinned_keyboard),
		test(too_many_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
