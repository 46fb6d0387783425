/* SPDX-License-Identifier: MIT */
/*
 * Guests that do not read: what they come to believe in the end is what is true, and the history
 * that they read has a gap, but no contradiction: no key goes down that is down.
 */
#include <sys/resource.h>

#include "tests/unit/seat_input_rig.h"

/* ---------------------------------------------------------------- a guest that reads */

struct reader {
	bool keys[KEY_CNT];
	int32_t slot;
	struct {
		int32_t id, x, y;
	} slots[SEAT_INPUT_SLOTS];
	int32_t x, y;
	unsigned frames, events;
};

static void reader_init(struct reader *reader)
{
	memset(reader, 0, sizeof(*reader));
	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
		reader->slots[i].id = -1;
}

static void reader_take(struct reader *reader, const struct seat_input_event *event)
{
	if (event->type == EV_KEY) {
		assert_int_not_equal(reader->keys[event->code], event->value);
		reader->keys[event->code] = event->value;
	} else if (event->type == EV_ABS && event->code == ABS_MT_SLOT) {
		assert_in_range(event->value, 0, SEAT_INPUT_SLOTS - 1);
		reader->slot = event->value;
	} else if (event->type == EV_ABS && event->code == ABS_MT_TRACKING_ID) {
		/* Neither lifted twice, nor replaced without having been lifted */
		assert_int_not_equal(event->value < 0, reader->slots[reader->slot].id < 0);
		reader->slots[reader->slot].id = event->value;
	} else if (event->type == EV_ABS && event->code == ABS_MT_POSITION_X) {
		reader->slots[reader->slot].x = event->value;
	} else if (event->type == EV_ABS && event->code == ABS_MT_POSITION_Y) {
		reader->slots[reader->slot].y = event->value;
	} else if (event->type == EV_ABS && event->code == ABS_X) {
		reader->x = event->value;
	} else if (event->type == EV_ABS && event->code == ABS_Y) {
		reader->y = event->value;
	}
}

/* False: there is nothing. */
static bool reader_read(struct reader *reader, int fd)
{
	struct seat_input_packet packet;
	const unsigned count = rig_read(fd, &packet);

	for (unsigned i = 0; i < count; i++)
		reader_take(reader, &packet.events[i]);
	reader->events += count;
	reader->frames += count > 0;
	return count > 0;
}

static unsigned reader_keys(const struct reader *reader)
{
	unsigned count = 0;

	for (unsigned i = 0; i < KEY_CNT; i++)
		count += reader->keys[i];
	return count;
}

/* Until no more comes */
static void reader_drain(struct rig *rig, struct reader *reader, int fd)
{
	while (reader_read(reader, fd))
		rig_run(rig);
}

/* ---------------------------------------------------------------- one that sleeps */

static void ten_thousand_frames_that_nobody_reads(void **state)
{
	struct rig *rig = rig_create(&seat_input_config_default);
	const int fd = rig->fds[LEFT][KEYBOARD];
	struct seat_input_stats stats;
	struct rusage before, after;
	struct reader reader;

	reader_init(&reader);
	/* Down from the beginning; its frame is read at once. */
	rig_key(rig, 1, KEY_LEFTSHIFT, true);
	rig_key(rig, 1, KEY_Z, true);
	assert_true(reader_read(&reader, fd) && reader_read(&reader, fd));
	getrusage(RUSAGE_SELF, &before);
	for (unsigned i = 0; i < 5000; i++) {
		rig_key(rig, 1, KEY_A + i % 5, true);
		if (i == 2000)
			rig_key(rig, 1, KEY_LEFTSHIFT, false);
		if (i == 2001)
			rig_key(rig, 1, KEY_RIGHTSHIFT, true);
		rig_key(rig, 1, KEY_A + i % 5, false);
		rig_run(rig);
	}
	getrusage(RUSAGE_SELF, &after);
	seat_input_get_stats(rig->input, &stats);
	assert_in_range(stats.lost, 9000, 9999);
	assert_int_equal(stats.resyncs, 0);
	/* Other guests, and other devices of it, notice nothing. */
	rig_button(rig, 1, BTN_LEFT, true);
	expect(rig->fds[LEFT][POINTER], ABS(ABS_X, 0), ABS(ABS_Y, 0), KEY(BTN_LEFT, 1));

	reader_drain(rig, &reader, fd);
	assert_true(reader.keys[KEY_RIGHTSHIFT] && reader.keys[KEY_Z]);
	assert_int_equal(reader_keys(&reader), 2);
	seat_input_get_stats(rig->input, &stats);
	assert_int_equal(stats.resyncs, 1);
	/* The socket's, the ring's, and what was summed up */
	assert_in_range(reader.frames, 400, 1000);
	assert_int_equal(stats.frames, reader.frames + 1);
	rig_key(rig, 1, KEY_Z, false);
	expect(fd, KEY(KEY_Z, 0));
	rig_destroy(rig);
}

/* Whoever loses focus meanwhile gets its releases, when it reads again. */
static void a_sleeper_loses_focus(void **state)
{
	struct rig *rig = rig_create(&seat_input_config_default);
	const int fd = rig->fds[LEFT][KEYBOARD];
	struct reader reader;

	reader_init(&reader);
	rig_key(rig, 1, KEY_A, true);
	for (unsigned i = 0; i < 2000; i++) {
		rig_key(rig, 1, KEY_B, true);
		rig_key(rig, 1, KEY_B, false);
	}
	rig_key(rig, 1, KEY_C, true);
	seat_input_set_focus(rig->input, "right");
	reader_drain(rig, &reader, fd);
	assert_int_equal(reader_keys(&reader), 0);
	/* It has slept in the middle of a press, and its worker ends. */
	for (unsigned i = 0; i < 2000; i++) {
		rig_key(rig, 2, KEY_B, true);
		rig_key(rig, 2, KEY_B, false);
	}
	rig_close(rig, RIGHT, KEYBOARD);
	rig_attach(rig, RIGHT, KEYBOARD);
	rig_run(rig);
	expect_silence(rig);
	rig_destroy(rig);
}

/* All keys at once: more than a frame holds. */
static void a_sum_of_many_frames(void **state)
{
	struct rig *rig = rig_create(&seat_input_config_default);
	const int fd = rig->fds[LEFT][KEYBOARD];
	struct seat_input_stats stats;
	struct reader reader;
	unsigned keys = 0;

	reader_init(&reader);
	for (unsigned i = 0; i < 600; i++) {
		rig_key(rig, 1, KEY_B, true);
		rig_key(rig, 1, KEY_B, false);
	}
	for (unsigned code = KEY_ESC; code < BTN_MISC; code++) {
		if (code == KEY_LEFTCTRL || code == KEY_RIGHTCTRL)
			continue; /* they would switch terminals */
		rig_key(rig, 1, code, true);
		keys++;
	}
	for (unsigned i = 0; i < 600; i++) {
		rig_key(rig, 2, KEY_OK, true);
		rig_key(rig, 2, KEY_OK, false);
	}
	reader_drain(rig, &reader, fd);
	assert_int_equal(reader_keys(&reader), keys);
	seat_input_get_stats(rig->input, &stats);
	assert_in_range(stats.resyncs, 2, 3);
	/* ... and all up, in the frames that it takes */
	seat_input_set_focus(rig->input, "right");
	reader_drain(rig, &reader, fd);
	assert_int_equal(reader_keys(&reader), 0);
	rig_destroy(rig);
}

/* ---------------------------------------------------------------- any script */

enum { SOURCES = 3, FINGERS = 4, STEPS = 6000 };

/* What is true, by rules of its own. */
struct truth {
	bool down[SOURCES][KEY_CNT];
	unsigned told[GUESTS][KEY_CNT]; /* sources, as bits */
	struct {
		int guest; /* -1: nobody's */
		int32_t x, y;
	} fingers[SOURCES][FINGERS];
};

struct script {
	struct rig *rig;
	struct truth truth;
	struct reader readers[GUESTS][DEVICES];
	bool asleep[GUESTS][DEVICES];
	uint32_t random;
};

static uint32_t next(struct script *script, uint32_t below)
{
	script->random ^= script->random << 13;
	script->random ^= script->random >> 17;
	script->random ^= script->random << 5;
	return script->random % below;
}

static int focus_of(const struct rig *rig)
{
	const char *name = seat_input_get_focus(rig->input);

	for (int i = 0; i < GUESTS; i++)
		if (name && !strcmp(name, rig_guests[i]))
			return i;
	return -1;
}

/* The view of each is the rig's: hidden, left, right. */
static bool visible(const struct rig *rig, int guest)
{
	static const unsigned views[] = { [LEFT] = 1, [RIGHT] = 2, [HIDDEN] = 0 };

	return guest >= 0 && rig->layout.views[views[guest]].visible;
}

/* Who lost focus, or is hidden now, has nothing down. */
static void truth_settle(struct script *script, int before)
{
	const int focus = focus_of(script->rig);

	if (before >= 0 && (before != focus || !visible(script->rig, before)))
		memset(script->truth.told[before], 0, sizeof(script->truth.told[before]));
	for (unsigned i = 0; i < SOURCES; i++)
		for (unsigned j = 0; j < FINGERS; j++)
			if (!visible(script->rig, script->truth.fingers[i][j].guest))
				script->truth.fingers[i][j].guest = -1;
}

static void step_key(struct script *script, unsigned source)
{
	static const uint16_t codes[] = { KEY_A, KEY_B, KEY_C, KEY_LEFTMETA, KEY_TAB, KEY_LEFTSHIFT,
		KEY_LEFTCTRL, KEY_F1 };
	struct truth *truth = &script->truth;
	const uint16_t code = codes[next(script, 8)];
	const bool down = !truth->down[source][code];
	const int before = focus_of(script->rig);
	bool meta = false;

	for (unsigned i = 0; i < SOURCES; i++)
		meta |= truth->down[i][KEY_LEFTMETA];
	truth->down[source][code] = down;
	rig_key(script->rig, source, code, down);
	if (!down && before >= 0)
		truth->told[before][code] &= ~(1u << source);
	else if (down && code == KEY_TAB && meta)
		for (unsigned i = 0; before >= 0 && i < KEY_CNT; i++)
			truth->told[before][i] &= i >= BTN_MISC && i < KEY_OK ? ~0u : 0;
	else if (down && visible(script->rig, before))
		truth->told[before][code] |= 1u << source;
	truth_settle(script, before);
}

static void step_touch(struct script *script, unsigned source)
{
	struct rig *rig = script->rig;
	const unsigned finger = next(script, FINGERS), output = source % 2;
	const double x = next(script, 1000), y = next(script, 500);
	const int front = output ? RIGHT : visible(rig, LEFT) ? LEFT : HIDDEN;
	int *guest = &script->truth.fingers[source][finger].guest;

	switch (next(script, 3)) {
	case 0:
		*guest = visible(rig, front) ? front : -1;
		seat_input_touch_down(rig->input, source, finger, output, x / 1000, y / 500);
		break;
	case 1:
		seat_input_touch_motion(rig->input, source, finger, x / 1000, y / 500);
		break;
	default:
		*guest = -1;
		seat_input_touch_up(rig->input, source, finger);
		break;
	}
	if (next(script, 3))
		seat_input_frame(rig->input, source);
	if (*guest < 0)
		return;
	script->truth.fingers[source][finger].x = (32768 * (int32_t)x + 999) / 1000;
	script->truth.fingers[source][finger].y = (32768 * (int32_t)y + 499) / 500;
}

static void step_focus(struct script *script)
{
	struct rig *rig = script->rig;
	const int before = focus_of(rig);

	if (next(script, 4)) {
		seat_input_set_focus(rig->input, rig_guests[next(script, GUESTS)]);
	} else {
		rig->layout.views[next(script, 3)].visible = next(script, 4);
		seat_input_set_layout(rig->input, &rig->layout);
	}
	truth_settle(script, before);
}

static void step_gone(struct script *script, unsigned source)
{
	struct truth *truth = &script->truth;

	seat_input_source_gone(script->rig->input, source);
	memset(truth->down[source], 0, sizeof(truth->down[source]));
	for (unsigned guest = 0; guest < GUESTS; guest++)
		for (unsigned i = 0; i < KEY_CNT; i++)
			truth->told[guest][i] &= ~(1u << source);
	for (unsigned i = 0; i < FINGERS; i++)
		truth->fingers[source][i].guest = -1;
}

static void step(struct script *script)
{
	const unsigned source = next(script, SOURCES), what = next(script, 100);
	const unsigned guest = next(script, GUESTS), device = next(script, DEVICES);

	if (what < 50)
		step_key(script, source);
	else if (what < 90)
		step_touch(script, source);
	else if (what < 91)
		step_focus(script);
	else if (what < 92 && !next(script, 5))
		step_gone(script, source);
	else if (what < 93)
		script->asleep[guest][device] ^= true;
	else if (!script->asleep[guest][device])
		reader_read(&script->readers[guest][device], script->rig->fds[guest][device]);
	if (!next(script, 10))
		rig_run(script->rig);
}

static void drain(struct script *script)
{
	for (unsigned source = 0; source < SOURCES; source++)
		seat_input_frame(script->rig->input, source);
	for (unsigned guest = 0; guest < GUESTS; guest++)
		for (unsigned device = 0; device < DEVICES; device++)
			reader_drain(script->rig, &script->readers[guest][device],
			    script->rig->fds[guest][device]);
	rig_run(script->rig);
}

/* Fingers of the truth that are a guest's, each in a slot of its own at its place. */
static void compare_touches(const struct script *script, unsigned guest)
{
	const struct reader *reader = &script->readers[guest][TOUCH];
	unsigned fingers = 0, slots = 0;

	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
		slots += reader->slots[i].id >= 0;
	for (unsigned i = 0; i < SOURCES * FINGERS; i++) {
		const int32_t x = script->truth.fingers[i / FINGERS][i % FINGERS].x;
		const int32_t y = script->truth.fingers[i / FINGERS][i % FINGERS].y;
		unsigned slot = 0;

		if (script->truth.fingers[i / FINGERS][i % FINGERS].guest != (int)guest)
			continue;
		fingers++;
		while (slot < SEAT_INPUT_SLOTS &&
		       (reader->slots[slot].id < 0 || reader->slots[slot].x != x ||
			   reader->slots[slot].y != y))
			slot++;
		assert_int_not_equal(slot, SEAT_INPUT_SLOTS);
	}
	assert_int_equal(fingers, slots);
	assert_int_equal(reader->keys[BTN_TOUCH], slots > 0);
}

static void run_script(uint32_t seed, uint64_t *lost)
{
	struct script *script = calloc(1, sizeof(*script));
	struct seat_input_stats stats;

	script->random = seed;
	script->rig = rig_create(&seat_input_config_default);
	for (unsigned i = 0; i < GUESTS * DEVICES; i++)
		reader_init(&script->readers[i / DEVICES][i % DEVICES]);
	for (unsigned i = 0; i < SOURCES * FINGERS; i++)
		script->truth.fingers[i / FINGERS][i % FINGERS].guest = -1;
	for (unsigned i = 0; i < STEPS; i++)
		step(script);
	drain(script);
	for (unsigned guest = 0; guest < GUESTS; guest++) {
		for (unsigned i = 0; i < KEY_CNT; i++)
			assert_int_equal(script->readers[guest][KEYBOARD].keys[i],
			    script->truth.told[guest][i] != 0);
		compare_touches(script, guest);
	}
	seat_input_get_stats(script->rig->input, &stats);
	*lost += stats.lost;
	rig_destroy(script->rig);
	free(script);
}

static void any_script_ends_in_the_truth(void **state)
{
	uint64_t lost = 0;

	for (uint32_t seed = 1; seed <= 60; seed++)
		run_script(seed * 2654435761u, &lost);
	/* Or it has tried nothing */
	assert_in_range(lost, 1000, 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_thousand_frames_that_nobody_reads),
		cmocka_unit_test(a_sleeper_loses_focus),
		cmocka_unit_test(a_sum_of_many_frames),
		cmocka_unit_test(any_script_ends_in_the_truth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
