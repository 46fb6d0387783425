/* SPDX-License-Identifier: MIT */
/* Frames on the seat: which buffer they are in, what is copied, and when they go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/display_seat_rig.h"

#include <cmocka.h>

/* ---------------------------------------------------------------- without a copy */

static void a_buffer_is_passed_once(void **state)
{
	struct fixture *f = *state;
	struct stat want, got;
	int reason;

	f->a.dmabuf = memfd_create("a", MFD_CLOEXEC);
	f->b.dmabuf = memfd_create("b", MFD_CLOEXEC);
	f->b.base.impl = &memory_impl;
	set_source(f, &f->a);
	expect_nothing(f); /* before it is flushed */
	flush(f, (struct display_rect){ 3, 4, 5, 6 }, 1);
	expect(f, SEAT_MESSAGE_IMPORT);
	assert_int_equal(f->m.header.size, sizeof(f->m.import));
	assert_true(f->m.fd >= 0);
	assert_int_equal(fstat(f->a.dmabuf, &want), 0);
	assert_int_equal(fstat(f->m.fd, &got), 0);
	assert_int_equal(want.st_ino, got.st_ino);
	close(f->m.fd);
	const struct seat_import import = { .id = f->m.import.id,
		.width = W + 2,
		.height = H + 2,
		.stride = STRIDE,
		.fourcc = 0x34325258, /* a scan-out is opaque */
		.modifier = 77 };
	assert_memory_equal(&f->m.import, &import, sizeof(import));
	expect_nothing(f);
	answer_buffer(f, import.id, 0);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.header.size, sizeof(f->m.present));
	assert_int_equal(f->m.present.id, import.id);
	assert_memory_equal(
	    &f->m.present.source, (&(struct display_rect){ 1, 2, W, H }), sizeof(ALL));
	assert_int_equal(f->m.present.damage_count, 1); /* a new source: all of it */
	assert_memory_equal(
	    &f->m.present.damage[0], (&(struct display_rect){ 1, 2, W, H }), sizeof(ALL));
	assert_int_equal(f->shown, 0);
	say_shown(f, 0, f->m.present.serial);
	assert_int_equal(f->serial, 1);
	assert_int_equal(path(f, &reason), DISPLAY_PATH_ZERO_COPY);
	assert_int_equal(reason, 0);

	/* Flipping between two: nothing but PRESENT, after the first time */
	for (unsigned i = 0; i < 6; i++) {
		struct picture *p = i % 2 ? &f->a : &f->b;

		set_source(f, p);
		flush(f, (struct display_rect){ 0, 0, 1, 1 }, 2 + i);
		if (i == 0) {
			expect(f, SEAT_MESSAGE_IMPORT);
			close(f->m.fd);
			assert_int_not_equal(f->m.import.id, import.id);
			answer_buffer(f, f->m.import.id, 0);
		}
		expect(f, SEAT_MESSAGE_PRESENT);
		if (p == &f->a)
			assert_int_equal(f->m.present.id, import.id);
		else
			assert_int_not_equal(f->m.present.id, import.id);
		say_shown(f, 0, f->m.present.serial);
		assert_int_equal(f->serial, 2 + i);
	}
	assert_int_equal(f->a.exports + f->b.exports, 2);
	assert_int_equal(f->a.reads + f->b.reads, 0);

	/* The same again: the damage alone */
	flush(f, (struct display_rect){ 3, 4, 5, 6 }, 9);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.damage_count, 1);
	assert_memory_equal(
	    &f->m.present.damage[0], (&(struct display_rect){ 4, 6, 5, 6 }), sizeof(ALL));
	say_shown(f, 0, f->m.present.serial);

	/* The resource goes away */
	set_source(f, NULL);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.id, SEAT_NO_BUFFER);
	f->display->impl->forget(f->display, 1);
	expect(f, SEAT_MESSAGE_FREE);
	assert_int_equal(f->m.free.id, import.id);
	expect_nothing(f);
}

static void frames_wait_for_the_screen(void **state)
{
	struct fixture *f = *state;
	uint64_t first, second;

	f->a.dmabuf = memfd_create("a", MFD_CLOEXEC);
	set_source(f, &f->a);
	flush(f, ALL, 1);
	expect(f, SEAT_MESSAGE_IMPORT);
	close(f->m.fd);
	flush(f, ALL, 2); /* while it waits for the answer */
	answer_buffer(f, f->m.import.id, 0);
	expect(f, SEAT_MESSAGE_PRESENT);
	first = f->m.present.serial;
	flush(f, ALL, 3);
	expect(f, SEAT_MESSAGE_PRESENT);
	second = f->m.present.serial;
	assert_true(second > first);
	/* Ten thousand more: none of them goes, damage gathers. */
	for (uint32_t i = 0; i < 10000; i++)
		flush(f, (struct display_rect){ i % 16, i % 16, 1, 1 }, 4 + i);
	expect_nothing(f);
	assert_int_equal(f->shown, 0);
	say_shown(f, 0, first);
	assert_int_equal(f->serial, 2);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_true(f->m.present.damage_count >= 1);
	assert_true(f->m.present.damage_count <= SEAT_DAMAGE_MAX);
	for (uint32_t i = 0; i < 16; i++) { /* all of it is told */
		bool told = false;

		for (uint32_t d = 0; d < f->m.present.damage_count; d++) {
			const struct display_rect *r = &f->m.present.damage[d];

			told |= i + 1 >= r->x && i + 1 < r->x + r->width && i + 2 >= r->y &&
				i + 2 < r->y + r->height;
		}
		assert_true(told);
	}
	say_shown(f, 0, f->m.present.serial); /* and the second, which was overtaken */
	assert_int_equal(f->serial, 10003);
	assert_int_equal(f->shown, 2);
	expect_nothing(f);
}

/* ---------------------------------------------------------------- by one copy */

static void only_the_damage_is_copied(void **state)
{
	struct fixture *f = *state;
	const struct display_rect rect = { 10, 20, 8, 4 };
	uint32_t ids[3];
	int reason;

	set_source(f, &f->a);
	for (unsigned i = 0; i < 3; i++) {
		ids[i] = present_copy(f, &f->a, 1 + i);
		say_shown(f, 0, f->m.present.serial);
		if (i > 0)
			say_released(f, ids[i - 1]);
		assert_memory_equal(&f->m.present.source, &ALL, sizeof(ALL));
	}
	assert_int_equal(f->serial, 3);
	assert_int_equal(f->a.exports, 1); /* not asked again */
	assert_int_equal(path(f, &reason), DISPLAY_PATH_ONE_COPY);
	assert_int_equal(reason, ENOTSUP);
	assert_int_equal(f->allocated, 2); /* what is needed for one at a time */

	/* The same rectangle each time: as many bytes each time, though the buffer is older. */
	for (unsigned i = 0; i < 10; i++) {
		const uint32_t last = f->m.present.id;

		f->a.bytes = 0;
		for (unsigned y = 0; y < rect.height; y++)
			for (unsigned x = 0; x < rect.width; x++)
				f->a.pixels[(rect.y + y) * W + rect.x + x] = i << 8 | x;
		flush(f, rect, 4 + i);
		expect(f, SEAT_MESSAGE_PRESENT);
		if (i > 0) /* the one before it was of all */
			assert_int_equal(f->a.bytes, rect.width * rect.height * 4);
		assert_int_equal(f->m.present.damage_count, 1);
		assert_memory_equal(&f->m.present.damage[0], &rect, sizeof(rect));
		assert_int_not_equal(f->m.present.id, last);
		assert_seen(f, f->m.present.id, &f->a);
		say_shown(f, 0, f->m.present.serial);
		say_released(f, last);
	}
	/* Two corners: what another buffer missed is copied too, and not what lies between. */
	f->a.bytes = 0;
	f->a.pixels[0] = 1;
	flush(f, (struct display_rect){ 0, 0, 1, 1 }, 20);
	expect(f, SEAT_MESSAGE_PRESENT);
	say_shown(f, 0, f->m.present.serial);
	say_released(f, 1 - f->m.present.id % 2);
	f->a.pixels[W * H - 1] = 2;
	f->a.bytes = 0;
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++)
		if (i != f->m.present.id)
			say_released(f, i);
	flush(f, (struct display_rect){ W - 1, H - 1, 1, 1 }, 21);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.damage_count, 1);
	assert_int_equal(f->m.present.damage[0].x, W - 1);
	assert_seen(f, f->m.present.id, &f->a);
	assert_true(f->a.bytes <= (2 + rect.width * rect.height) * 4);
}

static void a_buffer_that_is_read_is_not_written(void **state)
{
	struct fixture *f = *state;
	uint32_t ids[3];

	set_source(f, &f->a);
	ids[0] = present_copy(f, &f->a, 1);
	say_shown(f, 0, f->m.present.serial);
	ids[1] = present_copy(f, &f->a, 2);
	ids[2] = present_copy(f, &f->a, 3);
	assert_true(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
	say_shown(f, 0, f->m.present.serial);
	flush(f, ALL, 4);
	expect_nothing(f); /* all three are read, and there is no fourth */
	say_released(f, ids[1]);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.id, ids[1]);
	assert_int_equal(f->allocated, 3);
}

static void refused_imports_are_copied(void **state)
{
	struct fixture *f = *state;
	int reason;

	f->a.dmabuf = memfd_create("a", MFD_CLOEXEC);
	set_source(f, &f->a);
	flush(f, ALL, 1);
	expect(f, SEAT_MESSAGE_IMPORT);
	close(f->m.fd);
	answer_buffer(f, f->m.import.id, EINVAL);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	answer_memory(f);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_seen(f, f->m.present.id, &f->a);
	assert_int_equal(path(f, &reason), DISPLAY_PATH_ONE_COPY);
	assert_int_equal(reason, EINVAL);
	say_shown(f, 0, f->m.present.serial);
	present_copy(f, &f->a, 2); /* not asked again ... */
	assert_int_equal(f->a.exports, 1);
	say_shown(f, 0, f->m.present.serial);

	/* ... before there may be another output */
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	answer_questions(f);
	flush(f, ALL, 3);
	expect(f, SEAT_MESSAGE_IMPORT);
	close(f->m.fd);
	answer_buffer(f, f->m.import.id, 0);
	for (unsigned frees = 0;; frees++) { /* the memory goes */
		assert_true(receive(f));
		if (f->m.header.request != SEAT_MESSAGE_FREE) {
			assert_int_equal(frees, 0); /* after the frame */
			break;
		}
	}
	assert_int_equal(f->m.header.request, SEAT_MESSAGE_PRESENT);
	expect(f, SEAT_MESSAGE_FREE);
	expect(f, SEAT_MESSAGE_FREE);
	expect_nothing(f);
	assert_int_equal(path(f, &reason), DISPLAY_PATH_ZERO_COPY);
}

static void without_memory_the_last_picture_stays(void **state)
{
	struct fixture *f = *state;
	int reason;

	set_source(f, &f->a);
	flush(f, ALL, 1);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	answer_buffer(f, f->m.allocate.id, ENOMEM);
	/* The seat hangs up on who sends pixels inline then. */
	expect_nothing(f);
	assert_int_equal(f->serial, 1);
	assert_int_equal(path(f, &reason), DISPLAY_PATH_NONE);
	assert_int_equal(reason, ENOMEM);
	flush(f, ALL, 2);
	expect_nothing(f);
	assert_int_equal(f->serial, 2);
	/* Another size is tried again. */
	f->b.base.width = W / 2;
	set_source(f, &f->b);
	flush(f, (struct display_rect){ 0, 0, 1, 1 }, 3);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	assert_int_equal(f->m.allocate.width, W / 2);
	answer_buffer(f, f->m.allocate.id, EINVAL);
	expect_nothing(f);
	/* And on another output, of its own accord. */
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	answer_questions(f);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	assert_int_equal(f->m.allocate.width, W / 2);
}

/* Memory for one: it is drawn into where it is, and nobody waits for ever. */
static void memory_for_one_is_enough(void **state)
{
	struct fixture *f = *state;
	uint32_t id;

	set_source(f, &f->a);
	id = present_copy(f, &f->a, 1);
	say_shown(f, 0, f->m.present.serial);
	flush(f, ALL, 2);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	answer_buffer(f, f->m.allocate.id, ENOMEM);
	expect(f, SEAT_MESSAGE_PRESENT);
	say_shown(f, 0, f->m.present.serial);
	for (unsigned i = 0; i < 3; i++) {
		f->a.pixels[0] = i;
		flush(f, (struct display_rect){ 0, 0, 1, 1 }, 3 + i);
		expect(f, SEAT_MESSAGE_PRESENT);
		assert_int_equal(f->m.present.id, id);
		expect_nothing(f); /* one at a time */
		assert_int_equal(f->memory[id][0], i);
		say_shown(f, 0, f->m.present.serial);
	}
	assert_int_equal(f->serial, 5);
}

/* One that was shown long ago makes room, at once. */
static void there_may_be_more_buffers_than_ids(void **state)
{
	struct fixture *f = *state;
	uint32_t shown_id = SEAT_NO_BUFFER;

	f->a.dmabuf = memfd_create("a", MFD_CLOEXEC);
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX + 6; i++) {
		f->a.base.buffer = 100 + i;
		set_source(f, &f->a);
		flush(f, ALL, 1 + i);
		assert_true(receive(f));
		if (f->m.header.request == SEAT_MESSAGE_FREE) {
			assert_true(i >= SEAT_BUFFERS_MAX);
			assert_true(receive(f));
		}
		assert_int_equal(f->m.header.request, SEAT_MESSAGE_IMPORT);
		close(f->m.fd);
		answer_buffer(f, f->m.import.id, 0);
		expect(f, SEAT_MESSAGE_PRESENT);
		say_shown(f, 0, f->m.present.serial);
		assert_int_equal(f->serial, 1 + i);
		if (shown_id != SEAT_NO_BUFFER)
			say_released(f, shown_id);
		shown_id = f->m.present.id;
	}
	assert_int_equal(f->a.reads, 0);
}

/* What a larger picture would change is not drawn into memory for a smaller one. */
static void another_size_is_another_memory(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes;
	uint32_t id;

	f->a.base.buffer = f->b.base.buffer = 0;
	set_source(f, &f->a);
	id = present_copy(f, &f->a, 1);
	say_shown(f, 0, f->m.present.serial);
	say_released(f, id);
	f->b.base.width = 16 * W;
	f->b.base.height = 16 * H;
	set_source(f, &f->b);
	expect_nothing(f);
	bytes = f->a.bytes;
	set_source(f, &f->a);
	assert_int_equal(present_copy(f, &f->a, 2), id);
	assert_int_equal(f->a.bytes - bytes, W * H * 4);
	assert_int_equal(f->b.reads, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_buffer_is_passed_once),
		TEST(frames_wait_for_the_screen),
		TEST(only_the_damage_is_copied),
		TEST(a_buffer_that_is_read_is_not_written),
		TEST(refused_imports_are_copied),
		TEST(without_memory_the_last_picture_stays),
		TEST(memory_for_one_is_enough),
		TEST(there_may_be_more_buffers_than_ids),
		TEST(another_size_is_another_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
