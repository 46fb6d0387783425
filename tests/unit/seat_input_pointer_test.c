/* SPDX-License-Identifier: MIT */
/* Pointers: where they are, who is told, and who has focus then. */
#include "tests/unit/seat_input_rig.h"

static int setup(void **state)
{
	*state = rig_create(&seat_input_config_default);
	return 0;
}

static int setup_click(void **state)
{
	struct seat_input_config config = seat_input_config_default;

	config.focus_follows = SEAT_FOCUS_CLICK;
	*state = rig_create(&config);
	return 0;
}

static int setup_chord(void **state)
{
	struct seat_input_config config = seat_input_config_default;

	config.focus_follows = SEAT_FOCUS_CHORD;
	*state = rig_create(&config);
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	return 0;
}

static void move(struct rig *rig, unsigned source, double dx, double dy)
{
	seat_input_motion(rig->input, source, dx, dy, dx / 2, dy / 2);
	seat_input_frame(rig->input, source);
}

static void positions_are_of_the_guests_output(void **state)
{
	struct rig *rig = *state;

	rig_point(rig, 1, 500, 250);
	expect(rig->fds[LEFT][POINTER], AT_X(500), AT_Y(250));
	rig_point(rig, 1, 500, 250); /* where it is */
	expect_silence(rig);
	move(rig, 1, 3, -1);
	expect(rig->fds[LEFT][POINTER], AT_X(503), AT_Y(249));
	assert_true(rig->x == 503 && rig->y == 249);
	move(rig, 1, -9999, -9999);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 0), ABS(ABS_Y, 0));
	/* Nothing that is no number */
	seat_input_motion(rig->input, 1, 0.0 / 0.0, 1, 1, 1);
	seat_input_motion(rig->input, 1, 1, 1, 1e300, 1);
	seat_input_scroll(rig->input, 1, false, 0.0 / 0.0);
	seat_input_frame(rig->input, 1);
	expect_silence(rig);
	assert_true(rig->x == 0 && rig->y == 0);
}

static void each_pixel_is_hit(void **state)
{
	struct rig *rig = *state;
	struct seat_input_packet packet;

	rig_point(rig, 1, 999, 499);
	rig_read(rig->fds[LEFT][POINTER], &packet);
	for (int i = 0; i < 999; i++) {
		rig_point(rig, 1, i, 0);
		assert_int_equal(rig_read(rig->fds[LEFT][POINTER], &packet), 3);
		assert_int_equal(packet.events[0].code, ABS_X);
		assert_int_equal(packet.events[0].value * 1000 / 32768, i);
	}
}

/* One frame of releases, before the other guest gets anything. */
static void crossing_moves_focus(void **state)
{
	struct rig *rig = *state;

	rig_point(rig, 1, 990, 100);
	rig_key(rig, 2, KEY_A, true);
	expect(rig->fds[LEFT][POINTER], AT_X(990), AT_Y(100));
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 1));
	move(rig, 1, 20, 0);
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_A, 0));
	expect(rig->fds[RIGHT][POINTER], AT_X(10), AT_Y(100));
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	expect_silence(rig);
	rig_key(rig, 2, KEY_A, false);
	move(rig, 1, -30, 0);
	expect(rig->fds[LEFT][POINTER], AT_X(980), AT_Y(100));
	expect_silence(rig);
}

/* A drag over the edge: the guest sees it at its edge, and the release. */
static void a_button_is_held_over_the_edge(void **state)
{
	struct rig *rig = *state;
	const int fd = rig->fds[LEFT][POINTER];

	rig_point(rig, 1, 900, 100);
	rig_button(rig, 1, BTN_LEFT, true);
	expect(fd, AT_X(900), AT_Y(100));
	expect(fd, KEY(BTN_LEFT, 1));
	rig_point(rig, 1, 1500, 200);
	expect(fd, ABS(ABS_X, 32767), AT_Y(200));
	rig_button(rig, 2, BTN_RIGHT, true); /* of another mouse, in the grab */
	expect(fd, KEY(BTN_RIGHT, 1));
	rig_button(rig, 1, BTN_LEFT, false);
	expect(fd, KEY(BTN_LEFT, 0));
	rig_point(rig, 1, 1500, 300);
	expect(fd, ABS(ABS_X, 32767), AT_Y(300));
	assert_string_equal(seat_input_get_focus(rig->input), "left");
	expect_silence(rig);
	/* Over: it crosses now. */
	rig_button(rig, 2, BTN_RIGHT, false);
	expect(fd, KEY(BTN_RIGHT, 0));
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	expect_silence(rig);
	move(rig, 1, 1, 0);
	expect(rig->fds[RIGHT][POINTER], AT_X(501), AT_Y(300));
}

static void the_chord_ends_a_drag(void **state)
{
	struct rig *rig = *state;

	rig_point(rig, 1, 900, 100);
	rig_button(rig, 1, BTN_LEFT, true);
	rig_key(rig, 2, KEY_LEFTMETA, true);
	rig_key(rig, 2, KEY_TAB, true);
	expect(rig->fds[LEFT][POINTER], AT_X(900), AT_Y(100));
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 1));
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 0));
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_LEFTMETA, 1));
	expect(rig->fds[LEFT][KEYBOARD], KEY(KEY_LEFTMETA, 0));
	/* The pointer has gone along, to the middle. */
	assert_true(rig->x == 1500 && rig->y == 250);
	move(rig, 1, 1, 0);
	expect(rig->fds[RIGHT][POINTER], AT_X(501), AT_Y(250));
	rig_button(rig, 1, BTN_LEFT, false);
	expect_silence(rig);
	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[RIGHT][POINTER], KEY(BTN_LEFT, 1));
	/* ... and goes back to where it was. */
	assert_int_equal(seat_input_set_focus(rig->input, "left"), 0);
	expect(rig->fds[RIGHT][POINTER], KEY(BTN_LEFT, 0));
	assert_true(rig->x == 900 && rig->y == 100);
	expect_silence(rig);
}

static void the_mouse_is_unplugged_in_mid_drag(void **state)
{
	struct rig *rig = *state;

	rig_point(rig, 1, 900, 100);
	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[LEFT][POINTER], AT_X(900), AT_Y(100));
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 1));
	seat_input_source_gone(rig->input, 1);
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 0));
	rig_point(rig, 3, 1500, 100);
	expect(rig->fds[RIGHT][POINTER], AT_X(500), AT_Y(100));
	expect_silence(rig);
}

static void the_worker_ends_in_mid_drag(void **state)
{
	struct rig *rig = *state;

	rig_point(rig, 1, 900, 100);
	rig_button(rig, 1, BTN_LEFT, true);
	rig_close(rig, LEFT, POINTER);
	rig_point(rig, 1, 1500, 100);
	rig_attach(rig, LEFT, POINTER);
	rig_button(rig, 1, BTN_LEFT, false);
	expect_silence(rig);
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	rig_point(rig, 1, 500, 100);
	expect(rig->fds[LEFT][POINTER], AT_X(500), AT_Y(100));
	/* One that is taken away while it has the grab */
	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 1));
	seat_input_detach(rig->input, "left", POINTER);
	rig_point(rig, 1, 1500, 100);
	expect(rig->fds[RIGHT][POINTER], AT_X(500), AT_Y(100));
	rig_button(rig, 1, BTN_LEFT, false);
	expect_silence(rig);
}

static void clicks_give_focus(void **state)
{
	struct rig *rig = *state;

	rig_point(rig, 1, 1200, 100);
	expect_silence(rig);
	assert_string_equal(seat_input_get_focus(rig->input), "left");
	rig_button(rig, 1, BTN_LEFT, true);
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	/* Where it clicks comes with the click. */
	expect(rig->fds[RIGHT][POINTER], AT_X(200), AT_Y(100), KEY(BTN_LEFT, 1));
	rig_button(rig, 1, BTN_LEFT, false);
	expect(rig->fds[RIGHT][POINTER], KEY(BTN_LEFT, 0));
	rig_point(rig, 1, 200, 100);
	expect_silence(rig);
	seat_input_scroll(rig->input, 1, false, 120);
	seat_input_frame(rig->input, 1);
	expect_silence(rig);
}

static void only_the_chord_gives_focus(void **state)
{
	struct rig *rig = *state;

	rig_point(rig, 1, 1200, 100);
	rig_button(rig, 1, BTN_LEFT, true);
	rig_button(rig, 1, BTN_LEFT, false);
	expect_silence(rig);
	assert_string_equal(seat_input_get_focus(rig->input), "left");
}

static void wheels(void **state)
{
	struct rig *rig = *state;
	const int fd = rig->fds[LEFT][POINTER];

	seat_input_scroll(rig->input, 1, false, 120);
	seat_input_frame(rig->input, 1);
	expect(fd, REL(REL_WHEEL, -1), REL(REL_WHEEL_HI_RES, -120));
	seat_input_scroll(rig->input, 1, true, 240);
	seat_input_frame(rig->input, 1);
	expect(fd, REL(REL_HWHEEL, 2), REL(REL_HWHEEL_HI_RES, 240));
	/* In parts, of which some are too small to tell */
	seat_input_scroll(rig->input, 1, false, -0.5);
	seat_input_frame(rig->input, 1);
	seat_input_scroll(rig->input, 1, false, -59.5);
	seat_input_frame(rig->input, 1);
	expect(fd, REL(REL_WHEEL_HI_RES, 60));
	seat_input_scroll(rig->input, 1, false, -70);
	seat_input_frame(rig->input, 1);
	expect(fd, REL(REL_WHEEL, 1), REL(REL_WHEEL_HI_RES, 70));
	/* 10 are left, which the other way does not make use of. */
	seat_input_scroll(rig->input, 1, false, 119);
	seat_input_frame(rig->input, 1);
	expect(fd, REL(REL_WHEEL_HI_RES, -119));
	seat_input_scroll(rig->input, 1, false, 1);
	seat_input_frame(rig->input, 1);
	expect(fd, REL(REL_WHEEL, -1), REL(REL_WHEEL_HI_RES, -1));
	expect_silence(rig);
}

/* Both of one frame of the source's */
static void a_frame_is_kept_together(void **state)
{
	struct rig *rig = *state;

	seat_input_motion_absolute(rig->input, 1, 0, 0.5, 0.5);
	seat_input_button(rig->input, 1, BTN_LEFT, true);
	expect_silence(rig);
	seat_input_frame(rig->input, 2);
	expect_silence(rig);
	seat_input_frame(rig->input, 1);
	expect(rig->fds[LEFT][POINTER], AT_X(500), AT_Y(250), KEY(BTN_LEFT, 1));
	/* Another source's is not mixed into it. */
	seat_input_motion_absolute(rig->input, 1, 0, 0.25, 0.5);
	seat_input_button(rig->input, 2, BTN_RIGHT, true);
	expect(rig->fds[LEFT][POINTER], AT_X(250), AT_Y(250));
	seat_input_frame(rig->input, 2);
	expect(rig->fds[LEFT][POINTER], KEY(BTN_RIGHT, 1));
	seat_input_frame(rig->input, 1);
	expect_silence(rig);
}

/* Without a pointer: what the mouse said, and not where the seat's pointer came to. */
static void a_guest_with_a_mouse_alone(void **state)
{
	struct rig *rig = *state;

	rig_close(rig, LEFT, POINTER);
	move(rig, 1, 3, 0);
	expect(rig->fds[LEFT][MOUSE], REL(REL_X, 1));
	move(rig, 1, 3, -2);
	expect(rig->fds[LEFT][MOUSE], REL(REL_X, 2), REL(REL_Y, -1));
	move(rig, 1, -600, 0); /* at the edge */
	expect(rig->fds[LEFT][MOUSE], REL(REL_X, -300));
	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[LEFT][MOUSE], KEY(BTN_LEFT, 1));
	rig_point(rig, 1, 100, 0);
	expect(rig->fds[LEFT][MOUSE], REL(REL_X, 100));
	expect_silence(rig);
}

static void the_mouse_is_preferred_if_wanted(void **state)
{
	struct seat_input_config config = seat_input_config_default;
	struct rig *rig = *state;

	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 0), ABS(ABS_Y, 0), KEY(BTN_LEFT, 1));
	config.relative = true;
	seat_input_configure(rig->input, &config);
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 0));
	move(rig, 1, 4, 0);
	expect(rig->fds[LEFT][MOUSE], REL(REL_X, 2));
	rig_button(rig, 1, BTN_LEFT, false);
	expect_silence(rig);
}

/* A guest on both outputs: one device over both, or one for each. */
static void two_scanouts(void **state)
{
	struct rig *rig = *state;
	struct seat_view *views = rig->layout.views;

	rig->layout.view_count = 2;
	views[0] = views[1];
	views[1].output = 1;
	views[1].scanout = 1;
	views[1].height = 250;
	seat_input_set_layout(rig->input, &rig->layout);
	rig_point(rig, 1, 500, 250);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 8192), ABS(ABS_Y, 16384));
	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 1));
	/* A drag from the one to the other; below that there is nothing. */
	rig_point(rig, 1, 1500, 125);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 24576), ABS(ABS_Y, 8192));
	rig_point(rig, 1, 1500, 499);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 16384), ABS(ABS_Y, 32703));
	rig_button(rig, 1, BTN_LEFT, false);
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 0));
	rig_point(rig, 1, 1600, 499);
	expect_silence(rig);

	/* Its mouse is another pointer now. */
	seat_input_detach(rig->input, "left", MOUSE);
	close(rig->fds[LEFT][MOUSE]);
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(
	    seat_input_attach(rig->input, "left", MOUSE, SEAT_INPUT_POINTER, pair[0]), 0);
	rig->fds[LEFT][MOUSE] = pair[1];
	rig_point(rig, 1, 500, 250);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 16384), ABS(ABS_Y, 16384));
	rig_point(rig, 1, 1500, 125);
	expect(rig->fds[LEFT][MOUSE], ABS(ABS_X, 16384), ABS(ABS_Y, 16384));
	expect_silence(rig);
}

/* Of a guest on both outputs: what it has off takes no part of the device's range, and the pixels
 * of what it has on are its own. */
static void a_scanout_that_is_off(void **state)
{
	struct rig *rig = *state;
	struct seat_view *views = rig->layout.views;

	rig->layout.view_count = 2;
	views[0] = views[1];
	views[1].output = 1;
	views[1].scanout = 1;
	views[0].frame_width = 640;
	views[0].frame_height = 480;
	seat_input_set_layout(rig->input, &rig->layout);
	rig_point(rig, 1, 500, 250);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 16384), ABS(ABS_Y, 16384));
	rig_point(rig, 1, 1500, 250);
	rig_button(rig, 1, BTN_LEFT, true);
	rig_button(rig, 1, BTN_LEFT, false);
	expect_silence(rig);
	/* On, with three times as many pixels in a row */
	views[1].frame_width = 1920;
	views[1].frame_height = 480;
	seat_input_set_layout(rig->input, &rig->layout);
	rig_point(rig, 1, 500, 125);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 4096), ABS(ABS_Y, 8192));
	rig_point(rig, 1, 1500, 125);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 20480), ABS(ABS_Y, 8192));
	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 1));
	views[1].frame_width = 0;
	seat_input_set_layout(rig->input, &rig->layout);
	rig_point(rig, 1, 1600, 125);
	rig_button(rig, 1, BTN_LEFT, false);
	expect(rig->fds[LEFT][POINTER], KEY(BTN_LEFT, 0));
	expect_silence(rig);
}

/* Above all lies what knows no input at all. */
static void a_view_without_devices_lets_through(void **state)
{
	struct rig *rig = *state;

	rig->layout.view_count = 4;
	rig->layout.views[3] = rig->layout.views[2];
	rig->layout.views[2] =
	    (struct seat_view){ "lights", 0, 0, 0, 0, 1000, 500, 9, 65535, true, 0, 0 };
	seat_input_set_layout(rig->input, &rig->layout);
	rig_point(rig, 1, 500, 250);
	expect(rig->fds[LEFT][POINTER], AT_X(500), AT_Y(250));
	/* But one whose worker has ended keeps what is its. */
	rig->layout.views[2].guest = "hidden";
	seat_input_set_layout(rig->input, &rig->layout);
	for (unsigned i = 0; i < DEVICES; i++)
		rig_close(rig, HIDDEN, i);
	rig_point(rig, 1, 400, 250);
	expect_silence(rig);
}

static void the_last_output_goes_and_comes(void **state)
{
	struct rig *rig = *state;

	rig_point(rig, 1, 1500, 250);
	expect(rig->fds[RIGHT][POINTER], AT_X(500), AT_Y(250));
	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[RIGHT][POINTER], KEY(BTN_LEFT, 1));
	rig->layout.places[1].on = false;
	seat_input_set_layout(rig->input, &rig->layout);
	expect(rig->fds[RIGHT][POINTER], KEY(BTN_LEFT, 0));
	assert_true(rig->x < 1000 && rig->x > 999);
	assert_string_equal(seat_input_get_focus(rig->input), "left");
	rig->layout.places[0].on = false;
	seat_input_set_layout(rig->input, &rig->layout);
	rig_point(rig, 1, 10, 10);
	move(rig, 1, 5, 5);
	rig_button(rig, 1, BTN_LEFT, false);
	rig_button(rig, 1, BTN_LEFT, true);
	rig_key(rig, 1, KEY_A, true);
	expect_silence(rig);
	rig->layout.places[0].on = true;
	seat_input_set_layout(rig->input, &rig->layout);
	move(rig, 1, -99999, -99999);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 0), ABS(ABS_Y, 0));
}

/* A mouse of one guest's own, which stays on its view. */
static void a_pinned_mouse(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(seat_input_pin(rig->input, 9, "right"), 0);
	move(rig, 9, 10, 0);
	expect(rig->fds[RIGHT][POINTER], AT_X(500), AT_Y(250));
	move(rig, 9, -2000, 0);
	expect_silence(rig);
	move(rig, 9, -400, 0);
	expect(rig->fds[RIGHT][POINTER], AT_X(100), AT_Y(250));
	rig_button(rig, 9, BTN_LEFT, true);
	expect(rig->fds[RIGHT][POINTER], KEY(BTN_LEFT, 1));
	assert_string_equal(seat_input_get_focus(rig->input), "left");
	assert_int_equal(rig->focus_changes, 1);
	rig_point(rig, 1, 300, 300);
	expect(rig->fds[LEFT][POINTER], AT_X(300), AT_Y(300));
	seat_input_source_gone(rig->input, 9);
	expect(rig->fds[RIGHT][POINTER], KEY(BTN_LEFT, 0));
	expect_silence(rig);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(positions_are_of_the_guests_output),
		test(each_pixel_is_hit),
		test(crossing_moves_focus),
		test(a_button_is_held_over_the_edge),
		test(the_chord_ends_a_drag),
		test(the_mouse_is_unplugged_in_mid_drag),
		test(the_worker_ends_in_mid_drag),
		cmocka_unit_test_setup_teardown(clicks_give_focus, setup_click, teardown),
		cmocka_unit_test_setup_teardown(only_the_chord_gives_focus, setup_chord, teardown),
		test(wheels),
		test(a_frame_is_kept_together),
		test(a_guest_with_a_mouse_alone),
		test(the_mouse_is_preferred_if_wanted),
		test(two_scanouts),
		test(a_scanout_that_is_off),
		test(a_view_without_devices_lets_through),
		test(the_last_output_goes_and_comes),
		test(a_pinned_mouse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
