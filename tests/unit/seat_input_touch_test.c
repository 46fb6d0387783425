/* SPDX-License-Identifier: MIT */
/* Touches and pens: by output, or by focus. */
#include "tests/unit/seat_input_rig.h"

#define SLOT(slot) ABS(ABS_MT_SLOT, slot)
#define ID(id) ABS(ABS_MT_TRACKING_ID, id)
#define MT_AT(x, y)                                         \
	ABS(ABS_MT_POSITION_X, (32768 * (x) + 999) / 1000), \
	    ABS(ABS_MT_POSITION_Y, (32768 * (y) + 499) / 500)

static int setup(void **state)
{
	*state = rig_create(&seat_input_config_default);
	return 0;
}

static int setup_focus(void **state)
{
	struct seat_input_config config = seat_input_config_default;

	config.touch_by_focus = true;
	*state = rig_create(&config);
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	return 0;
}

/* At a pixel of an output */
static void down(
    struct rig *rig, unsigned source, unsigned slot, unsigned output, double x, double y)
{
	seat_input_touch_down(rig->input, source, slot, output, x / 1000, y / 500);
}

static void motion(struct rig *rig, unsigned source, unsigned slot, double x, double y)
{
	seat_input_touch_motion(rig->input, source, slot, x / 1000, y / 500);
}

static void end(struct rig *rig, unsigned source)
{
	seat_input_frame(rig->input, source);
}

/* Two screens, two people, one focus */
static void touches_go_by_output(void **state)
{
	struct rig *rig = *state;

	down(rig, 1, 0, 0, 100, 100);
	end(rig, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(1), MT_AT(100, 100), AT_X(100), AT_Y(100),
	    KEY(BTN_TOUCH, 1));
	down(rig, 2, 0, 1, 200, 200);
	end(rig, 2);
	expect(rig->fds[RIGHT][TOUCH], SLOT(0), ID(1), MT_AT(200, 200), AT_X(200), AT_Y(200),
	    KEY(BTN_TOUCH, 1));
	assert_string_equal(seat_input_get_focus(rig->input), "left");
	/* A switch of focus is nothing to them. */
	seat_input_set_focus(rig->input, "right");
	expect_silence(rig);
	motion(rig, 1, 0, 101, 100);
	end(rig, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), MT_AT(101, 100), AT_X(101), AT_Y(100));
	seat_input_touch_up(rig->input, 1, 0);
	end(rig, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(-1), KEY(BTN_TOUCH, 0));
	seat_input_touch_up(rig->input, 1, 0);
	motion(rig, 1, 0, 5, 5);
	end(rig, 1);
	expect_silence(rig);
	assert_int_equal(rig->focus_changes, 2);
}

static void two_fingers_in_a_frame(void **state)
{
	struct rig *rig = *state;
	const int fd = rig->fds[LEFT][TOUCH];

	down(rig, 1, 3, 0, 100, 100);
	down(rig, 1, 7, 0, 300, 100);
	end(rig, 1);
	expect(fd, SLOT(0), ID(1), MT_AT(100, 100), AT_X(100), AT_Y(100), KEY(BTN_TOUCH, 1),
	    SLOT(1), ID(2), MT_AT(300, 100));
	motion(rig, 1, 3, 110, 100);
	motion(rig, 1, 7, 310, 100);
	end(rig, 1);
	expect(fd, SLOT(0), MT_AT(110, 100), AT_X(110), AT_Y(100), SLOT(1), MT_AT(310, 100));
	/* The first one goes; who comes in the same frame does not take its slot: readers would
	 * not see that it went. */
	seat_input_touch_up(rig->input, 1, 3);
	down(rig, 1, 4, 0, 500, 100);
	end(rig, 1);
	expect(fd, SLOT(0), ID(-1), SLOT(2), ID(3), MT_AT(500, 100));
	/* Down again without having been up */
	down(rig, 1, 4, 0, 600, 100);
	end(rig, 1);
	expect(fd, SLOT(2), ID(-1), SLOT(0), ID(4), MT_AT(600, 100));
	seat_input_touch_cancel(rig->input, 1);
	end(rig, 1);
	expect(fd, SLOT(0), ID(-1), SLOT(1), ID(-1), KEY(BTN_TOUCH, 0));
	expect_silence(rig);
}

/* Views of two guests on one output: a drag stays with the one where it began. */
static void a_drag_crosses_views(void **state)
{
	struct rig *rig = *state;

	rig->layout.views[1].width = 500;
	rig->layout.views[2].output = 0;
	rig->layout.views[2].x = 500;
	rig->layout.views[2].width = 500;
	seat_input_set_layout(rig->input, &rig->layout);
	down(rig, 1, 0, 0, 250, 100);
	end(rig, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(1), MT_AT(500, 100), AT_X(500), AT_Y(100),
	    KEY(BTN_TOUCH, 1));
	motion(rig, 1, 0, 750, 100);
	end(rig, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ABS(ABS_MT_POSITION_X, 32767),
	    ABS(ABS_MT_POSITION_Y, 6554), ABS(ABS_X, 32767), AT_Y(100));
	/* A second finger there is the other guest's. */
	down(rig, 1, 1, 0, 750, 100);
	end(rig, 1);
	expect(rig->fds[RIGHT][TOUCH], SLOT(0), ID(1), MT_AT(500, 100), AT_X(500), AT_Y(100),
	    KEY(BTN_TOUCH, 1));
	motion(rig, 1, 0, 100, 100);
	motion(rig, 1, 1, 100, 100);
	end(rig, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), MT_AT(200, 100), AT_X(200), AT_Y(100));
	expect(rig->fds[RIGHT][TOUCH], SLOT(0), MT_AT(0, 100), AT_X(0), AT_Y(100));
	seat_input_source_gone(rig->input, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(-1), KEY(BTN_TOUCH, 0));
	expect(rig->fds[RIGHT][TOUCH], SLOT(0), ID(-1), KEY(BTN_TOUCH, 0));
	expect_silence(rig);
}

static void a_view_goes_in_mid_drag(void **state)
{
	struct rig *rig = *state;

	down(rig, 1, 0, 0, 100, 100);
	end(rig, 1);
	rig_read(rig->fds[LEFT][TOUCH], &(struct seat_input_packet){ 0 });
	rig->bring_to_front = true;
	seat_input_set_focus(rig->input, "hidden");
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(-1), KEY(BTN_TOUCH, 0));
	motion(rig, 1, 0, 200, 200);
	seat_input_touch_up(rig->input, 1, 0);
	end(rig, 1);
	expect_silence(rig);
	down(rig, 1, 0, 0, 100, 100);
	end(rig, 1);
	expect(rig->fds[HIDDEN][TOUCH], SLOT(0), ID(1), MT_AT(100, 100), AT_X(100), AT_Y(100),
	    KEY(BTN_TOUCH, 1));
	/* No such output, or one that is off */
	down(rig, 1, 1, 7, 100, 100);
	rig->layout.places[1].on = false;
	seat_input_set_layout(rig->input, &rig->layout);
	down(rig, 1, 2, 1, 100, 100);
	end(rig, 1);
	expect_silence(rig);
}

static void more_fingers_than_slots(void **state)
{
	struct rig *rig = *state;
	struct seat_input_stats stats;
	struct seat_input_packet packet;

	for (unsigned i = 0; i <= SEAT_INPUT_SLOTS; i++) {
		down(rig, 1, i, 0, 10 * i, 10);
		end(rig, 1);
	}
	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++) {
		assert_int_not_equal(rig_read(rig->fds[LEFT][TOUCH], &packet), 0);
		assert_int_equal(packet.events[0].value, i);
	}
	expect_silence(rig);
	seat_input_get_stats(rig->input, &stats);
	assert_int_equal(stats.dropped, 1);
	/* All of them move in one frame, which fits. */
	for (unsigned i = 0; i <= SEAT_INPUT_SLOTS; i++)
		motion(rig, 1, i, 10 * i, 20);
	end(rig, 1);
	assert_int_equal(rig_read(rig->fds[LEFT][TOUCH], &packet), 3 * SEAT_INPUT_SLOTS + 2 + 1);
	expect_silence(rig);
	seat_input_touch_cancel(rig->input, 1);
	end(rig, 1);
	assert_int_equal(rig_read(rig->fds[LEFT][TOUCH], &packet), 2 * SEAT_INPUT_SLOTS + 1 + 1);
}

static void touches_by_focus(void **state)
{
	struct rig *rig = *state;

	down(rig, 1, 0, 0, 100, 100);
	end(rig, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(1), MT_AT(100, 100), AT_X(100), AT_Y(100),
	    KEY(BTN_TOUCH, 1));
	/* It takes focus along, and the other guest's touches are over. */
	down(rig, 2, 0, 1, 200, 200);
	end(rig, 2);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(-1), KEY(BTN_TOUCH, 0));
	expect(rig->fds[RIGHT][TOUCH], SLOT(0), ID(1), MT_AT(200, 200), AT_X(200), AT_Y(200),
	    KEY(BTN_TOUCH, 1));
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	motion(rig, 1, 0, 300, 100);
	end(rig, 1);
	expect_silence(rig);
}

static void a_worker_is_replaced_in_mid_touch(void **state)
{
	struct rig *rig = *state;

	down(rig, 1, 0, 0, 100, 100);
	end(rig, 1);
	rig_close(rig, LEFT, TOUCH);
	rig_attach(rig, LEFT, TOUCH);
	motion(rig, 1, 0, 300, 100);
	down(rig, 1, 1, 0, 100, 100);
	seat_input_touch_up(rig->input, 1, 0);
	end(rig, 1);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(2), MT_AT(100, 100), AT_X(100), AT_Y(100),
	    KEY(BTN_TOUCH, 1));
	expect_silence(rig);
	seat_input_detach(rig->input, "left", TOUCH);
	expect(rig->fds[LEFT][TOUCH], SLOT(0), ID(-1), KEY(BTN_TOUCH, 0));
	motion(rig, 1, 1, 300, 100);
	seat_input_touch_up(rig->input, 1, 1);
	end(rig, 1);
	expect_silence(rig);
}

static void a_pinned_touch_screen(void **state)
{
	struct rig *rig = *state;

	seat_input_pin(rig->input, 1, "right");
	down(rig, 1, 0, 0, 100, 100); /* not on one of its views */
	end(rig, 1);
	expect_silence(rig);
	down(rig, 1, 1, 1, 100, 100);
	end(rig, 1);
	expect(rig->fds[RIGHT][TOUCH], SLOT(0), ID(1), MT_AT(100, 100), AT_X(100), AT_Y(100),
	    KEY(BTN_TOUCH, 1));
	/* The guest lets go of it if it can't be seen any more. */
	rig->layout.views[2].visible = false;
	seat_input_set_layout(rig->input, &rig->layout);
	expect(rig->fds[RIGHT][TOUCH], SLOT(0), ID(-1), KEY(BTN_TOUCH, 0));
}

/* ---------------------------------------------------------------- pens */

static void pen(struct rig *rig, unsigned output, double x, double y, bool touching)
{
	const struct seat_input_pen now = { .output = output,
		.x = x / 1000,
		.y = y / 500,
		.pressure = touching ? 0.5 : 0,
		.distance = touching ? 0 : 1,
		.tilt_x = -10.4,
		.tilt_y = 200,
		.tool = BTN_TOOL_RUBBER,
		.near = true,
		.touching = touching };

	seat_input_pen(rig->input, 1, &now);
	end(rig, 1);
}

static void a_pen_draws(void **state)
{
	const struct seat_input_pen away = { 0 };
	struct rig *rig = *state;
	const int fd = rig->fds[LEFT][TABLET];

	pen(rig, 0, 100, 100, false);
	expect(fd, KEY(BTN_TOOL_RUBBER, 1), AT_X(100), AT_Y(100), ABS(ABS_PRESSURE, 0),
	    ABS(ABS_DISTANCE, 1023), ABS(ABS_TILT_X, -10), ABS(ABS_TILT_Y, 90));
	pen(rig, 0, 100, 100, true);
	expect(fd, AT_X(100), AT_Y(100), ABS(ABS_PRESSURE, 4096), ABS(ABS_DISTANCE, 0),
	    KEY(BTN_TOUCH, 1));
	rig_button(rig, 1, BTN_STYLUS, true);
	expect(fd, KEY(BTN_STYLUS, 1));
	/* Off its view, still its */
	pen(rig, 1, 500, 100, true);
	expect(fd, ABS(ABS_X, 32767), AT_Y(100));
	/* Another tablet's pen finds no place. */
	seat_input_pen(rig->input, 2,
	    &(struct seat_input_pen){ .near = true, .x = 0.1, .tool = BTN_TOOL_PEN });
	end(rig, 2);
	expect_silence(rig);
	seat_input_pen(rig->input, 1, &away);
	end(rig, 1);
	expect(fd, ABS(ABS_PRESSURE, 0), KEY(BTN_TOUCH, 0), KEY(BTN_STYLUS, 0),
	    KEY(BTN_TOOL_RUBBER, 0));
	rig_button(rig, 1, BTN_STYLUS, false);
	rig_button(rig, 1, BTN_STYLUS, true);
	expect_silence(rig);
	assert_string_equal(seat_input_get_focus(rig->input), "left");
}

static void a_pen_hovers_over_an_edge(void **state)
{
	struct rig *rig = *state;
	struct seat_input_packet packet;

	pen(rig, 0, 900, 100, false);
	rig_read(rig->fds[LEFT][TABLET], &packet);
	pen(rig, 1, 100, 100, false);
	expect(rig->fds[LEFT][TABLET], KEY(BTN_TOOL_RUBBER, 0));
	assert_int_equal(rig_read(rig->fds[RIGHT][TABLET], &packet), 8);
	rig->layout.places[1].on = false;
	seat_input_set_layout(rig->input, &rig->layout);
	expect(rig->fds[RIGHT][TABLET], KEY(BTN_TOOL_RUBBER, 0));
	pen(rig, 0, 900, 100, true);
	assert_int_equal(rig_read(rig->fds[LEFT][TABLET], &packet), 7);
	seat_input_source_gone(rig->input, 1);
	expect(rig->fds[LEFT][TABLET], ABS(ABS_PRESSURE, 0), KEY(BTN_TOUCH, 0),
	    KEY(BTN_TOOL_RUBBER, 0));
	expect_silence(rig);
}

static void a_pen_by_focus(void **state)
{
	struct rig *rig = *state;
	struct seat_input_packet packet;

	pen(rig, 1, 100, 100, false);
	expect_silence(rig);
	pen(rig, 1, 100, 100, true);
	assert_string_equal(seat_input_get_focus(rig->input), "right");
	assert_int_equal(rig_read(rig->fds[RIGHT][TABLET], &packet), 9);
	seat_input_set_focus(rig->input, "left");
	expect(rig->fds[RIGHT][TABLET], ABS(ABS_PRESSURE, 0), KEY(BTN_TOUCH, 0),
	    KEY(BTN_TOOL_RUBBER, 0));
	expect_silence(rig);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(touches_go_by_output),
		test(two_fingers_in_a_frame),
		test(a_drag_crosses_views),
		test(a_view_goes_in_mid_drag),
		test(more_fingers_than_slots),
		cmocka_unit_test_setup_teardown(touches_by_focus, setup_focus, teardown),
		test(a_worker_is_replaced_in_mid_touch),
		test(a_pinned_touch_screen),
		test(a_pen_draws),
		test(a_pen_hovers_over_an_edge),
		cmocka_unit_test_setup_teardown(a_pen_by_focus, setup_focus, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
