/* SPDX-License-Identifier: MIT */
/* seat.conf, and where the pointer and views are on the desktop. */
#include <linux/input-event-codes.h>

#include "tests/unit/seat_rig.h"

static int parse(struct seat_config *config, const char *text)
{
	return seat_config_parse(config, "test", text);
}

static void test_defaults(void **state)
{
	struct seat_config config;

	log_init(LOG_LEVEL_ERROR, NULL);
	assert_int_equal(parse(&config, ""), 0);
	assert_int_equal(config.output_count, 0);
	assert_int_equal(config.input.next.count, 2);
	assert_int_equal(parse(&config, "# nothing\n\n[seat]\n"), 0);
	assert_null(seat_config_find_output(&config, "HDMI-A-1"));
	assert_false(seat_config_has_views(&config, "a"));
}

static void test_all(void **state)
{
	struct seat_config config;
	const struct seat_config_output *output;
	const struct seat_config_view *view;

	assert_int_equal(
	    parse(&config, "[seat]\nfocus-follows = click\nfocus-chord = leftctrl+f12\n"
			   "touch-by-focus = yes\nrelative-pointer = yes\n"
			   "[output HDMI-A-1]\nmode = 1920x1080@59.94\nposition = -10, 20\n"
			   "edid-name = Cluster\nsize-mm = 300x200\n"
			   "[output DP-1]\nmode = off\n[output DP-2]\nmode = preferred\n"
			   "[view cluster:3]\noutput = HDMI-A-1\nposition = 1,2\nsize = 30x40\n"
			   "order = -5\nalpha = 0.5\n"
			   "[view a:b:0]\noutput = DP-1\n"
			   "[input *Touch*]\nignore = no\nguest = a\noutput = DP-1\n"
			   "calibration = 1 0 0 0 -1 1.5\n"),
	    0);
	assert_int_equal(config.input.focus_follows, SEAT_FOCUS_CLICK);
	assert_int_equal(config.input.next.keys[1], KEY_F12);
	assert_true(config.input.touch_by_focus && config.input.relative);
	output = seat_config_find_output(&config, "HDMI-A-1");
	assert_true(output->has_mode && output->has_position && output->has_identity);
	assert_int_equal(output->mode.refresh, 59940);
	assert_int_equal(output->x, -10);
	assert_int_equal(output->y, 20);
	assert_int_equal(output->width_mm, 300);
	assert_string_equal(output->identity.name, "Cluster");
	assert_true(seat_config_find_output(&config, "DP-1")->off);
	assert_false(seat_config_find_output(&config, "DP-2")->has_mode);
	view = seat_config_find_view(&config, "cluster", 3);
	assert_int_equal(view->x, 1);
	assert_int_equal(view->height, 40);
	assert_int_equal(view->order, -5);
	assert_int_equal(view->alpha, 32768);
	assert_non_null(seat_config_find_view(&config, "a:b", 0));
	assert_null(seat_config_find_view(&config, "cluster", 0));
	assert_true(seat_config_has_views(&config, "cluster"));
	assert_int_equal(config.input_count, 1);
	assert_string_equal(config.inputs[0].match, "*Touch*");
	assert_true(config.inputs[0].calibration[5] > 1.4f);
}

/* Each is wrong by itself; nothing of a file that is wrong is used. */
static void test_wrong(void **state)
{
	static const char *const wrong[] = {
		"a = b\n",
		"[seat]\nwhat = yes\n",
		"[seat]\nfocus-follows = me\n",
		"[seat]\nfocus-chord = nokey+tab\n",
		"[seat]\ntouch-by-focus = perhaps\n",
		"[house]\na = b\n",
		"[outputs A]\nmode = off\n",
		"[output A-name-that-is-longer-than-any-connector]\nmode = off\n",
		"[output A]\nmode = 1920\n",
		"[output A]\nmode = 1920x\n",
		"[output A]\nmode = 1920x0\n",
		"[output A]\nmode = 16385x1\n",
		"[output A]\nmode = 1x1@\n",
		"[output A]\nmode = 1x1@0\n",
		"[output A]\nmode = 1x1@60hz\n",
		"[output A]\nmode = -1x1\n",
		"[output A]\nposition = 5\n",
		"[output A]\nposition = 5,\n",
		"[output A]\nposition = 5,6,7\n",
		"[output A]\nposition = 99999999999,6\n",
		"[output A]\nsize-mm = 3x\n",
		"[output A]\nedid-vendor = toolong\n",
		"[output A]\nmode = off\n[seat]\ntouch-by-focus = no\n[output A]\nmode = off\n",
		"[view a]\noutput = A\n",
		"[view :0]\noutput = A\n",
		"[view a:16]\noutput = A\n",
		"[view a:0x]\noutput = A\n",
		"[view a:-1]\noutput = A\n",
		"[view a:0]\nposition = 0,0\n",
		"[view a:0]\noutput = A\nsize = 0x5\n",
		"[view a:0]\noutput = A\nsize = 5x5@60\n",
		"[view a:0]\noutput = A\norder = 1001\n",
		"[view a:0]\noutput = A\nalpha = 1.1\n",
		"[view a:0]\noutput = A\nalpha = nan\n",
		"[view a:0]\noutput = A\nalpha =\n",
		"[input X]\ncalibration = 1 2 3 4 5\n",
		"[input X]\ncalibration = 1 2 3 4 5 inf\n",
		"[input X]\nwhat = 1\n",
		"[seat]\nno equals sign\n",
	};
	struct seat_config config;

	log_init(LOG_LEVEL_ERROR, NULL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (parse(&config, wrong[i]) != -EINVAL)
			fail_msg("taken: %s", wrong[i]);
		assert_int_equal(config.output_count + config.view_count + config.input_count, 0);
	}
	assert_int_equal(seat_config_load(&config, "/nonexistent/seat.conf"), -ENOENT);
}

static void test_modes(void **state)
{
	struct seat_mode mode;

	assert_int_equal(seat_mode_parse("1920x1080@59.94", &mode), 0);
	assert_int_equal(mode.width, 1920);
	assert_int_equal(mode.height, 1080);
	assert_int_equal(mode.refresh, 59940);
	assert_int_equal(seat_mode_parse("16384x16384", &mode), 0);
	assert_int_equal(mode.refresh, 0);
	assert_int_equal(seat_mode_parse("1x1@1000.9", &mode), 0);
	assert_int_equal(seat_mode_parse("1x1@1001", &mode), -EINVAL);
	assert_int_equal(seat_mode_parse("4294967297x1", &mode), -EINVAL);
	assert_int_equal(seat_mode_parse("99999999999999999999x1", &mode), -EINVAL);
	assert_int_equal(seat_mode_parse("1 x1", &mode), -EINVAL);
	assert_int_equal(seat_mode_parse("", &mode), -EINVAL);
}

/* ---------------------------------------------------------------- layouts */

static const struct seat_layout desk = {
	.places = { { "A", 0, 0, 100, 100, true }, { "B", 100, 20, 50, 50, true },
	    { "C", 150, 0, 50, 50, false } },
	.place_count = 3,
	.views = { { "a", 0, 0, 0, 0, 100, 100, 0, 65535, true },
	    { "b", 0, 0, 10, 10, 20, 20, 1, 65535, true },
	    { "c", 0, 0, 10, 10, 20, 20, 2, 65535, false },
	    { "d", 0, 1, 0, 0, 50, 50, 0, 65535, true } },
	.view_count = 4,
};

static void test_view_at(void **state)
{
	assert_string_equal(seat_layout_view_at(&desk, 0, 0)->guest, "a");
	assert_string_equal(seat_layout_view_at(&desk, 10, 10)->guest, "b");
	assert_string_equal(seat_layout_view_at(&desk, 29.9, 29.9)->guest, "b");
	assert_string_equal(seat_layout_view_at(&desk, 30, 29)->guest, "a");
	assert_string_equal(seat_layout_view_at(&desk, 100, 20)->guest, "d");
	assert_null(seat_layout_view_at(&desk, 100, 19.9));
	assert_null(seat_layout_view_at(&desk, -0.1, 0));
	assert_null(seat_layout_view_at(&desk, 160, 10));
}

static void test_move(void **state)
{
	static const struct seat_layout nothing = { 0 };
	double x = 50, y = 50;

	seat_layout_move(&desk, &x, &y, 10, -5);
	assert_true(x == 60 && y == 45);
	/* To the next output, and to its end. */
	seat_layout_move(&desk, &x, &y, 60, 0);
	assert_true(x == 120 && y == 45);
	seat_layout_move(&desk, &x, &y, 1000, 0);
	assert_true(x > 149.9 && x < 150 && y == 45);
	/* Down there is a wall; along it, it goes on. */
	seat_layout_move(&desk, &x, &y, -20, 1000);
	assert_true(x > 129 && x < 130 && y > 69.9 && y < 70);
	/* Where the outputs do not touch, it stays. */
	x = 99;
	y = 5;
	seat_layout_move(&desk, &x, &y, 30, 0);
	assert_true(x > 99.9 && x < 100 && y == 5);
	/* From nowhere to the nearest, and nothing that is no number. */
	x = 500;
	y = -500;
	seat_layout_move(&desk, &x, &y, 0, 0);
	assert_true(x > 149.9 && x < 150 && y == 20);
	seat_layout_move(&desk, &x, &y, 1e300, -1e300 * 1e300);
	assert_true(x > 149.9 && x < 150 && y == 20);
	x = 7;
	seat_layout_move(&nothing, &x, &y, 5, 5);
	assert_true(x == 7 && y == 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_view_at),
		cmocka_unit_test(test_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
