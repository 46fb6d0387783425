/* SPDX-License-Identifier: MIT */
/* Outputs of the seat: planes and composing, several guests, cursors, modes, monitors that come and
 * go, captures and pictures. */
#include <fcntl.h>

#include "tests/unit/seat_rig.h"

#define RED 0xff0000
#define GREEN 0x00ff00
#define BLUE 0x0000ff

static const struct seat_memory_output outputs[] = {
	{ .name = "ONE", .mode = { RIG_W, RIG_H, 60000, true } },
	{ .name = "TWO", .mode = { 1024, 768, 75000, true } },
};

static const char stacked[] = "[view a:0]\noutput = ONE\n"
			      "[view b:0]\noutput = ONE\nposition = 10,20\nsize = 16x12\n"
			      "order = 1\n";

static void begin(struct rig *rig, unsigned output_count, unsigned planes, const char *config)
{
	struct seat_memory_options options = { .outputs = outputs,
		.output_count = output_count,
		.planes = planes,
		.no_scaling = true };

	rig_init(rig, &options, config);
}

static void flip_all(struct rig *rig)
{
	for (unsigned i = 0; i < 4; i++)
		for (unsigned o = 0; o < rig->backend->output_count; o++)
			seat_memory_flip(rig->backend, o);
}

static void show(struct rig *rig, struct rig_guest *guest, uint32_t scanout, uint32_t id,
    uint32_t width, uint32_t height, uint32_t color)
{
	if (!guest->map[id])
		rig_allocate(guest, id, scanout, width, height);
	rig_fill(guest, id, color);
	rig_present(guest, scanout, id, guest->serial[scanout] + 1);
	flip_all(rig);
}

static void check_stacked(struct rig *rig)
{
	assert_int_equal(rig_pixel(rig, 0, 0, 0), RED);
	assert_int_equal(rig_pixel(rig, 0, 9, 20), RED);
	assert_int_equal(rig_pixel(rig, 0, 10, 20), GREEN);
	assert_int_equal(rig_pixel(rig, 0, 25, 31), GREEN);
	assert_int_equal(rig_pixel(rig, 0, 26, 31), RED);
}

/* Two guests on one output, a plane each. */
static void test_planes(void **state)
{
	struct rig rig;

	begin(&rig, 1, 2, stacked);
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.b, 0, 0, 16, 12, GREEN);
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	check_stacked(&rig);
	assert_int_equal(seat_memory_layers(rig.backend, 0), 2);
	rig_finish(&rig);
}

/* ... and composed where there is one plane only; what was refused is not asked again. */
static void test_composed(void **state)
{
	struct seat_memory_counts before, after;
	struct rig rig;

	begin(&rig, 1, 1, stacked);
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.b, 0, 0, 16, 12, GREEN);
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	check_stacked(&rig);
	assert_int_equal(seat_memory_layers(rig.backend, 0), 1);
	before = seat_memory_get_counts(rig.backend);
	for (unsigned i = 0; i < 100; i++) {
		show(&rig, &rig.b, 0, i % 2, 16, 12, i % 2 ? BLUE : GREEN);
		assert_int_equal(rig_pixel(&rig, 0, 10, 20), i % 2 ? BLUE : GREEN);
		assert_int_equal(rig_pixel(&rig, 0, 9, 20), RED);
	}
	after = seat_memory_get_counts(rig.backend);
	assert_int_equal(after.refused, before.refused);
	assert_int_equal(after.tests, before.tests);
	assert_int_equal(after.commits, before.commits + 100);
	assert_int_equal(after.fbs, before.fbs + 1); /* b's second buffer */
	/* Planes that have gone, and have come back, are found out at the next look. */
	seat_memory_set_planes(rig.backend, 2);
	seat_reload(rig.seat, &rig.config);
	flip_all(&rig);
	assert_int_equal(seat_memory_layers(rig.backend, 0), 2);
	rig_finish(&rig);
}

/* What the backend took for granted it may refuse later: nothing is lost. */
static void test_planes_lost(void **state)
{
	struct rig rig;

	begin(&rig, 1, 2, stacked);
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.b, 0, 0, 16, 12, GREEN);
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	seat_memory_set_planes(rig.backend, 1);
	show(&rig, &rig.a, 0, 1, RIG_W, RIG_H, BLUE);
	assert_int_equal(seat_memory_layers(rig.backend, 0), 1);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), BLUE);
	assert_int_equal(rig_pixel(&rig, 0, 10, 20), GREEN);
	rig_finish(&rig);
}

/* Only what is damaged is composed anew. */
static void test_damage(void **state)
{
	struct seat_present present = { .source = { 0, 0, RIG_W, RIG_H },
		.damage_count = 1,
		.damage = { { 2, 3, 4, 5 } },
		.serial = 9 };
	struct rig rig;

	begin(&rig, 1, 1, stacked);
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.b, 0, 0, 16, 12, GREEN);
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	/* Both canvases have it, and nothing but the small part is new to either. */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(seat_present(rig.a.source, &present, -1), 0);
		flip_all(&rig);
	}
	/* All of it is another color now, but it says so of a part. */
	rig_fill(&rig.a, 0, BLUE);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(seat_present(rig.a.source, &present, -1), 0);
		flip_all(&rig);
		assert_int_equal(rig_pixel(&rig, 0, 2, 3), BLUE);
		assert_int_equal(rig_pixel(&rig, 0, 5, 7), BLUE);
		assert_int_equal(rig_pixel(&rig, 0, 6, 7), RED);
		assert_int_equal(rig_pixel(&rig, 0, 1, 3), RED);
	}
	rig_finish(&rig);
}

/* Several guests that want one output: the one with focus is seen; the others go on. */
static void test_focus(void **state)
{
	struct rig rig;

	begin(&rig, 1, 0, "");
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), RED);
	/* Paced by a clock, and told that it was not seen. */
	show(&rig, &rig.b, 0, 0, RIG_W, RIG_H, GREEN);
	assert_int_equal(rig.b.shown[0], 0);
	while (!rig.b.shown[0])
		sd_event_run(rig.event, UINT64_MAX);
	assert_int_equal(rig.b.time_ns[0], 0);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), RED);
	seat_focus(rig.seat, "b");
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), GREEN);
	assert_false(seat_get_layout(rig.seat)->views[0].visible);
	assert_true(seat_get_layout(rig.seat)->views[1].visible);
	seat_focus(rig.seat, "a");
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), RED);
	assert_string_equal(seat_get_focus(rig.seat), "a");
	rig_finish(&rig);
}

/* A frame whose guest loses its place before the flip is paid all the same. */
static void test_focus_between(void **state)
{
	struct rig rig;

	begin(&rig, 1, 0, "");
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	flip_all(&rig);
	rig_allocate(&rig.a, 0, 0, RIG_W, RIG_H);
	rig_present(&rig.a, 0, 0, 1);
	rig_present(&rig.a, 0, 0, 2);
	seat_focus(rig.seat, "b");
	flip_all(&rig);
	while (rig.a.serial[0] < 2)
		sd_event_run(rig.event, UINT64_MAX);
	rig_finish(&rig);
}

/* Outputs flip each by itself. */
static void test_two_outputs(void **state)
{
	struct rig rig;

	begin(&rig, 2, 0, "");
	rig_attach(&rig, &rig.a, "a");
	flip_all(&rig);
	rig_allocate(&rig.a, 0, 0, RIG_W, RIG_H);
	rig_allocate(&rig.a, 1, 1, 1024, 768);
	rig_fill(&rig.a, 1, GREEN);
	rig_present(&rig.a, 0, 0, 1);
	for (uint64_t serial = 1; serial < 5; serial++) {
		rig_present(&rig.a, 1, 1, serial);
		seat_memory_flip(rig.backend, 1);
		assert_int_equal(rig.a.serial[1], serial);
	}
	assert_int_equal(rig.a.shown[0], 0);
	seat_memory_flip(rig.backend, 0);
	assert_int_equal(rig.a.shown[0], 1);
	assert_int_equal(rig.a.shown[1], 4);
	assert_int_equal(rig_pixel(&rig, 1, 1023, 767), GREEN);
	rig_finish(&rig);
}

/* Monitors that go and come are the guest's own. */
static void test_hotplug(void **state)
{
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	const struct seat_mode other = { 800, 600, 60000, true };
	struct rig rig;

	begin(&rig, 2, 0, "");
	rig_attach(&rig, &rig.a, "a");
	flip_all(&rig);
	seat_source_get_modes(rig.a.source, modes);
	assert_true(modes[0].enabled && modes[1].enabled && !modes[2].enabled);
	assert_int_equal(modes[1].x, RIG_W);
	assert_int_equal(modes[1].width, 1024);
	assert_int_equal(modes[1].refresh, 75000);
	rig_allocate(&rig.a, 0, 1, 1024, 768);
	rig_present(&rig.a, 1, 0, 1);
	/* Between commit and flip. */
	seat_memory_plug(rig.backend, 1, NULL);
	assert_int_equal(rig.a.modes_changed, 1);
	seat_source_get_modes(rig.a.source, modes);
	assert_true(modes[0].enabled && !modes[1].enabled);
	while (!rig.a.shown[1])
		sd_event_run(rig.event, UINT64_MAX);
	assert_int_equal(rig.a.serial[1], 1);
	rig_present(&rig.a, 1, 0, 2);
	while (rig.a.shown[1] < 2)
		sd_event_run(rig.event, UINT64_MAX);
	seat_memory_plug(rig.backend, 1, &other);
	assert_int_equal(rig.a.modes_changed, 2);
	seat_source_get_modes(rig.a.source, modes);
	assert_int_equal(modes[1].width, 800);
	flip_all(&rig);
	/* The first one's place is not taken by the second. */
	seat_memory_plug(rig.backend, 0, NULL);
	seat_source_get_modes(rig.a.source, modes);
	assert_true(!modes[0].enabled && modes[1].enabled);
	rig_finish(&rig);
}

/* A guest that has an output to itself may set its mode; other guests hear nothing of it. */
static void test_guest_mode(void **state)
{
	struct rig rig;
	struct seat_memory_options options = { .outputs = &outputs[1], .output_count = 1 };
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];

	rig_init(&rig, &options, "");
	rig_attach(&rig, &rig.a, "a");
	flip_all(&rig);
	seat_source_get_modes(rig.a.source, modes);
	show(&rig, &rig.a, 0, 0, 640, 480, RED);
	assert_int_equal(rig.backend->outputs[0]->mode.width, 640);
	assert_int_equal(rig_pixel(&rig, 0, 639, 479), RED);
	assert_int_equal(seat_get_layout(rig.seat)->views[0].width, 640);
	/* What it has set itself is no news, and not what it prefers. */
	assert_int_equal(rig.a.modes_changed, 0);
	seat_source_get_modes(rig.a.source, modes);
	assert_int_equal(modes[0].width, 1024);
	/* Not faster than once a second: scaled meanwhile. */
	show(&rig, &rig.a, 0, 1, 800, 600, GREEN);
	assert_int_equal(rig.backend->outputs[0]->mode.width, 640);
	assert_int_equal(rig_pixel(&rig, 0, 639, 479), GREEN);
	/* A size that the monitor does not have is scaled, too. */
	show(&rig, &rig.a, 0, 2, 100, 75, BLUE);
	assert_int_equal(rig_pixel(&rig, 0, 639, 479), BLUE);
	/* The last wish is seen to when its time has come, without another frame. */
	show(&rig, &rig.a, 0, 1, 800, 600, GREEN);
	assert_int_equal(rig.backend->outputs[0]->mode.width, 640);
	for (int i = 0; i < 1000 && rig.backend->outputs[0]->mode.width == 640; i++) {
		sd_event_run(rig.event, 100000);
		flip_all(&rig);
	}
	assert_int_equal(rig.backend->outputs[0]->mode.width, 800);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 799, 599), GREEN);
	rig_finish(&rig);
}

/* ... unless the configuration says which it is. */
static void test_configured_mode(void **state)
{
	struct rig rig;
	struct seat_memory_options options = { .outputs = &outputs[1], .output_count = 1 };

	rig_init(&rig, &options, "[output TWO]\nmode = 800x600\nposition = 5,7\n");
	rig_attach(&rig, &rig.a, "a");
	show(&rig, &rig.a, 0, 0, 640, 480, RED);
	assert_int_equal(rig.backend->outputs[0]->mode.width, 800);
	assert_int_equal(seat_get_layout(rig.seat)->places[0].x, 5);
	rig_finish(&rig);
}

static void test_command(void **state)
{
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	const char *why;
	struct rig rig;
	struct seat_memory_options options = { .outputs = &outputs[1], .output_count = 1 };

	rig_init(&rig, &options, "");
	rig_attach(&rig, &rig.a, "a");
	seat_source_get_modes(rig.a.source, modes);
	assert_int_equal(seat_set_output(rig.seat, "a", 1, "off", &why), -ENOENT);
	assert_int_equal(seat_set_output(rig.seat, "b", 0, "off", &why), -ENOENT);
	assert_int_equal(seat_set_output(rig.seat, "a", 0, "1x", &why), -EINVAL);
	assert_int_equal(seat_set_output(rig.seat, "a", 0, "999x999", &why), -EINVAL);
	assert_int_equal(seat_set_output(rig.seat, "a", 0, "off", &why), 0);
	assert_null(seat_memory_pixels(rig.backend, 0));
	assert_int_equal(rig.a.modes_changed, 1);
	seat_source_get_modes(rig.a.source, modes);
	assert_false(modes[0].enabled);
	assert_int_equal(seat_set_output(rig.seat, "a", 0, "800x600@60", &why), 0);
	assert_int_equal(rig.backend->outputs[0]->mode.width, 800);
	seat_source_get_modes(rig.a.source, modes);
	assert_int_equal(modes[0].width, 800);
	assert_int_equal(seat_set_output(rig.seat, "a", 0, "on", &why), 0);
	assert_int_equal(rig.backend->outputs[0]->mode.width, 1024);
	rig_finish(&rig);
}

static void test_cursor_plane(void **state)
{
	struct display_cursor cursor = { 0 };
	struct seat_memory_counts before;
	struct rig rig;

	begin(&rig, 1, 0, "");
	rig_attach(&rig, &rig.a, "a");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	cursor.pixels[0] = 0xff000000 | GREEN;
	before = seat_memory_get_counts(rig.backend);
	assert_int_equal(seat_set_cursor(rig.a.source, 0, &cursor, 5, 6), 0);
	assert_int_equal(rig_pixel(&rig, 0, 5, 6), GREEN);
	assert_int_equal(rig_pixel(&rig, 0, 6, 6), RED);
	assert_int_equal(seat_move_cursor(rig.a.source, 0, 7, 8), 0);
	assert_int_equal(rig_pixel(&rig, 0, 7, 8), GREEN);
	assert_int_equal(rig_pixel(&rig, 0, 5, 6), RED);
	/* Far out is nowhere; and there is no such scan-out. */
	assert_int_equal(seat_move_cursor(rig.a.source, 0, INT32_MIN, INT32_MAX), 0);
	assert_int_equal(seat_move_cursor(rig.a.source, 16, 0, 0), -EINVAL);
	assert_int_equal(seat_move_cursor(rig.a.source, 0, 0, 0), 0);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), GREEN);
	/* None of this was a flip. */
	assert_int_equal(seat_memory_get_counts(rig.backend).commits, before.commits);
	assert_int_equal(seat_set_cursor(rig.a.source, 0, NULL, 0, 0), 0);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), RED);
	rig_finish(&rig);
}

/* Without a plane it is blended; and it never leaves its guest's view. */
static void test_cursor_blended(void **state)
{
	struct display_cursor cursor;
	struct seat_memory_options options = {
		.outputs = outputs, .output_count = 1, .planes = 1, .no_cursor = true
	};
	struct rig rig;

	rig_init(&rig, &options, stacked);
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	show(&rig, &rig.b, 0, 0, 16, 12, GREEN);
	memset(cursor.pixels, 0xff, sizeof(cursor.pixels));
	assert_int_equal(seat_set_cursor(rig.b.source, 0, &cursor, 8, 8), 0);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 17, 28), GREEN);
	assert_int_equal(rig_pixel(&rig, 0, 18, 28), 0xffffff);
	assert_int_equal(rig_pixel(&rig, 0, 25, 31), 0xffffff);
	assert_int_equal(rig_pixel(&rig, 0, 26, 31), RED);
	assert_int_equal(seat_move_cursor(rig.b.source, 0, 12, 8), 0);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 18, 28), GREEN);
	assert_int_equal(rig_pixel(&rig, 0, 22, 28), 0xffffff);
	for (unsigned i = 0; i < 100; i++) { /* other images, other places */
		cursor.pixels[0] = 0xff000000 | i;
		assert_int_equal(
		    seat_set_cursor(rig.b.source, 0, &cursor, (int)i % 16, (int)i % 12), 0);
		seat_memory_flip(rig.backend, 0);
	}
	assert_int_equal(seat_set_cursor(rig.b.source, 0, NULL, 0, 0), 0);
	flip_all(&rig);
	check_stacked(&rig);
	rig_finish(&rig);
}

/* One guest's cursor is not seen above what another one has in front of it, plane or not. */
static void test_cursor_below(void **state)
{
	struct display_cursor cursor = { 0 };
	struct rig rig;

	begin(&rig, 1, 0, stacked);
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	show(&rig, &rig.b, 0, 0, 16, 12, GREEN);
	seat_focus(rig.seat, "a");
	memset(cursor.pixels, 0xff, sizeof(cursor.pixels));
	assert_int_equal(seat_set_cursor(rig.a.source, 0, &cursor, 5, 6), 0);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 4, 6), RED);
	assert_int_equal(rig_pixel(&rig, 0, 5, 6), 0xffffff);
	assert_int_equal(rig_pixel(&rig, 0, 10, 20), GREEN);
	assert_int_equal(rig_pixel(&rig, 0, 25, 31), GREEN);
	assert_int_equal(rig_pixel(&rig, 0, 26, 31), 0xffffff);
	/* Where it reaches nobody's view it is on its plane again. */
	assert_int_equal(seat_move_cursor(rig.a.source, 0, 26, 6), 0);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 25, 6), RED);
	assert_int_equal(rig_pixel(&rig, 0, 26, 6), 0xffffff);
	assert_int_equal(seat_memory_layers(rig.backend, 0), 2);
	rig_finish(&rig);
}

static void test_inactive(void **state)
{
	struct rig rig;

	begin(&rig, 1, 0, "");
	rig_attach(&rig, &rig.a, "a");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	rig_allocate(&rig.a, 1, 0, RIG_W, RIG_H);
	rig_fill(&rig.a, 1, GREEN);
	rig_present(&rig.a, 0, 1, 2);
	seat_memory_set_active(rig.backend, false);
	while (rig.a.serial[0] < 2)
		sd_event_run(rig.event, UINT64_MAX);
	seat_memory_set_active(rig.backend, true);
	assert_true(seat_memory_flip(rig.backend, 0));
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), GREEN);
	rig_finish(&rig);
}

/* A commit that fails holds nobody up, and the next one may do. */
static void test_commit_fails(void **state)
{
	struct rig rig;

	begin(&rig, 1, 0, "");
	rig_attach(&rig, &rig.a, "a");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	seat_memory_set_error(rig.backend, -EIO);
	rig_allocate(&rig.a, 1, 0, RIG_W, RIG_H);
	rig_fill(&rig.a, 1, GREEN);
	rig_present(&rig.a, 0, 1, 2);
	while (rig.a.serial[0] < 2)
		sd_event_run(rig.event, UINT64_MAX);
	assert_int_equal(rig.a.time_ns[0], 0);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), RED);
	seat_memory_set_error(rig.backend, 0);
	rig_present(&rig.a, 0, 1, 3);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), GREEN);
	rig_finish(&rig);
}

/* Hardware that is busy without a flip to come is tried again. */
static void test_busy(void **state)
{
	struct rig rig;

	begin(&rig, 1, 0, "");
	rig_attach(&rig, &rig.a, "a");
	flip_all(&rig);
	rig_allocate(&rig.a, 0, 0, RIG_W, RIG_H);
	rig_fill(&rig.a, 0, GREEN);
	seat_memory_set_error(rig.backend, -EBUSY);
	rig_present(&rig.a, 0, 0, 1);
	assert_false(seat_memory_is_pending(rig.backend, 0));
	seat_memory_set_error(rig.backend, 0);
	while (!seat_memory_is_pending(rig.backend, 0))
		sd_event_run(rig.event, UINT64_MAX);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), GREEN);
	assert_int_equal(rig.a.serial[0], 1);
	rig_finish(&rig);
}

static void test_capture(void **state)
{
	struct display_cursor cursor = { 0 };
	struct seat_capture capture;
	uint32_t pixels[16 * 12];
	struct rig rig;

	begin(&rig, 1, 1, stacked);
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	show(&rig, &rig.b, 0, 0, 16, 12, GREEN);
	cursor.pixels[0] = 0xff000000 | BLUE;
	assert_int_equal(seat_set_cursor(rig.b.source, 0, &cursor, 3, 2), 0);
	assert_int_equal(seat_capture(rig.seat, "c", 0, &capture), -ENOENT);
	assert_int_equal(seat_capture(rig.seat, "a", 16, &capture), -ENOENT);
	assert_int_equal(seat_capture(rig.seat, "b", 0, &capture), 0);
	assert_int_equal(capture.width, 16);
	assert_int_equal(capture.height, 12);
	assert_int_equal(capture.stride, 64);
	assert_int_equal(pread(capture.fd, pixels, sizeof(pixels), 0), sizeof(pixels));
	close(capture.fd);
	assert_int_equal(pixels[0] & 0xffffff, GREEN);
	assert_int_equal(pixels[2 * 16 + 3] & 0xffffff, BLUE);
	assert_int_equal(seat_capture(rig.seat, "a", 0, &capture), 0);
	assert_int_equal(capture.width, RIG_W);
	close(capture.fd);
	rig_finish(&rig);
}

static void test_picture(void **state)
{
	uint32_t pixels[4] = { BLUE, BLUE, BLUE, BLUE };
	const int fd = memfd_create("picture", MFD_CLOEXEC);
	struct rig rig;

	begin(&rig, 1, 0, "");
	rig_attach(&rig, &rig.a, "a");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	assert_int_equal(write(fd, pixels, sizeof(pixels)), sizeof(pixels));
	assert_int_equal(seat_set_picture(rig.seat, "a", 0, 2, 3, fd), -EINVAL); /* too short */
	assert_int_equal(seat_set_picture(rig.seat, "a", 16, 2, 2, fd), -EINVAL);
	assert_int_equal(seat_set_picture(rig.seat, "a", 0, 0, 2, fd), -EINVAL);
	assert_int_equal(seat_set_picture(rig.seat, "a", 0, 2, 2, fd), 0);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, RIG_W / 2, RIG_H / 2), BLUE);
	assert_int_equal(rig.a.released[0], 1);
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), RED);
	/* Also of a guest that has gone; and then that is forgotten. */
	assert_int_equal(seat_forget(rig.seat, "a"), -EBUSY);
	seat_detach(rig.a.source);
	rig.a.source = NULL;
	assert_int_equal(seat_set_picture(rig.seat, "a", 0, 2, 2, fd), 0);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, RIG_W / 2, RIG_H / 2), BLUE);
	assert_int_equal(seat_forget(rig.seat, "a"), 0);
	assert_int_equal(seat_forget(rig.seat, "a"), -ENOENT);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, RIG_W / 2, RIG_H / 2), 0);
	close(fd);
	rig_finish(&rig);
}

/* A picture overtakes what the guest has presented: who waits for that is told. */
static void test_picture_overtakes(void **state)
{
	uint32_t pixel = BLUE;
	const int fd = memfd_create("picture", MFD_CLOEXEC);
	struct rig rig;

	begin(&rig, 1, 0, "");
	rig_attach(&rig, &rig.a, "a");
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	rig_allocate(&rig.a, 1, 0, RIG_W, RIG_H);
	rig_present(&rig.a, 0, 1, 2);
	rig_present(&rig.a, 0, 0, 3);
	assert_int_equal(write(fd, &pixel, sizeof(pixel)), sizeof(pixel));
	assert_int_equal(seat_set_picture(rig.seat, "a", 0, 1, 1, fd), 0);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, RIG_W / 2, RIG_H / 2), BLUE);
	assert_int_equal(rig.a.serial[0], 3);
	close(fd);
	rig_finish(&rig);
}

/* Nothing of guests that are forgotten stays on screen, also where they were composed, and a flip
 * is on its way. */
static void test_forgotten(void **state)
{
	struct rig rig;

	begin(&rig, 1, 1, stacked);
	rig_attach(&rig, &rig.a, "a");
	rig_attach(&rig, &rig.b, "b");
	show(&rig, &rig.b, 0, 0, 16, 12, GREEN);
	show(&rig, &rig.a, 0, 0, RIG_W, RIG_H, RED);
	rig_present(&rig.a, 0, 0, 9);
	assert_true(seat_memory_is_pending(rig.backend, 0));
	seat_detach(rig.a.source);
	seat_detach(rig.b.source);
	rig.a.source = rig.b.source = NULL;
	assert_int_equal(seat_forget(rig.seat, "a"), 0);
	assert_int_equal(seat_forget(rig.seat, "b"), 0);
	flip_all(&rig);
	assert_int_equal(rig_pixel(&rig, 0, 0, 0), 0);
	assert_int_equal(rig_pixel(&rig, 0, 10, 20), 0);
	rig_finish(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_planes),
		cmocka_unit_test(test_composed),
		cmocka_unit_test(test_planes_lost),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_focus),
		cmocka_unit_test(test_focus_between),
		cmocka_unit_test(test_two_outputs),
		cmocka_unit_test(test_hotplug),
		cmocka_unit_test(test_guest_mode),
		cmocka_unit_test(test_configured_mode),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_cursor_plane),
		cmocka_unit_test(test_cursor_blended),
		cmocka_unit_test(test_cursor_below),
		cmocka_unit_test(test_inactive),
		cmocka_unit_test(test_commit_fails),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_capture),
		cmocka_unit_test(test_picture),
		cmocka_unit_test(test_picture_overtakes),
		cmocka_unit_test(test_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
