/* SPDX-License-Identifier: MIT */
/* The seat's monitors, its end, and nonsense of its. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/display_seat_rig.h"

#include <cmocka.h>

/* ---------------------------------------------------------------- the monitor */

static void the_monitor_is_the_guests(void **state)
{
	struct fixture *f = *state;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	uint8_t edid[DISPLAY_EDID_MAX];
	uint32_t number;

	assert_int_equal(f->modes_changed, 1);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_int_equal(modes[0].width, 800);
	assert_in_range(modes[0].refresh, 74900, 75100);
	assert_int_not_equal(modes[0].edid, 0);
	number = modes[0].edid;
	assert_int_equal(f->display->impl->get_edid(f->display, 0, edid), f->edid.size);
	assert_memory_equal(edid, f->edid.edid, f->edid.size);

	/* Another monitor with the same mode */
	make_edid(f, "Second");
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	answer_questions(f);
	assert_int_equal(f->modes_changed, 2);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_int_not_equal(modes[0].edid, 0);
	assert_int_not_equal(modes[0].edid, number);
	assert_int_equal(f->display->impl->get_edid(f->display, 0, edid), f->edid.size);
	assert_memory_equal(edid, f->edid.edid, f->edid.size);

	/* Garbage is none. */
	f->edid.edid[60] ^= 1;
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	answer_questions(f);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_int_equal(modes[0].edid, 0);
	assert_int_equal(f->display->impl->get_edid(f->display, 0, edid), 0);
	assert_int_equal(modes[0].width, 800);
}

static void edids_are_asked_for_when_the_guest_does(void **state)
{
	struct fixture *f = *state;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];

	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_MODES));
	expect(f, GPU_MESSAGE_GET_DISPLAY_INFO);
	expect_nothing(f);
	answer(f, &f->info, sizeof(f->info));
	expect_nothing(f);
	assert_int_equal(f->modes_changed, 2);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_in_range(modes[0].refresh, 74900, 75100); /* still known */
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	answer_questions(f);
	expect_nothing(f);
}

/* No more questions than there are outputs, however often a seat says that they have changed. */
static void a_seat_that_never_answers_is_asked_once(void **state)
{
	struct fixture *f = *state;
	unsigned edids = 0;

	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		f->info.pmodes[i] = f->info.pmodes[0];
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	expect(f, GPU_MESSAGE_GET_DISPLAY_INFO);
	answer(f, &f->info, sizeof(f->info));
	for (unsigned i = 0; i < 3; i++) {
		say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
		while (receive(f))
			edids += f->m.header.request == GPU_MESSAGE_GET_EDID;
	}
	assert_int_equal(edids, DISPLAY_SCANOUTS_MAX);
	say(f, GPU_MESSAGE_GET_DISPLAY_INFO, GPU_MESSAGE_FLAG_REPLY, &f->info, sizeof(f->info), -1);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		say(f, GPU_MESSAGE_GET_EDID, GPU_MESSAGE_FLAG_REPLY, &f->edid, sizeof(f->edid), -1);
	/* What has changed meanwhile */
	while (receive(f))
		answer(f, f->m.header.request == GPU_MESSAGE_GET_EDID ? (void *)&f->edid : &f->info,
		    f->m.header.request == GPU_MESSAGE_GET_EDID ? sizeof(f->edid)
								: sizeof(f->info));
	assert_int_equal(f->modes_changed, 2);
}

/* ---------------------------------------------------------------- seats that go */

static void a_seat_that_goes_stalls_nobody(void **state)
{
	struct fixture *f = *state;
	uint32_t id;

	f->b.dmabuf = memfd_create("b", MFD_CLOEXEC);
	set_source(f, &f->a);
	present_copy(f, &f->a, 1);
	present_copy(f, &f->a, 2);
	flush(f, ALL, 3);
	assert_int_equal(f->shown, 0);
	close(f->seat);
	f->seat = -1;
	run(f);
	assert_int_equal(f->serial, 3);
	flush(f, ALL, 4);
	assert_int_equal(f->serial, 4);

	/* In the middle of an import, too */
	set_source(f, &f->b);
	flush(f, ALL, 5);
	connect_seat(f);
	expect(f, SEAT_MESSAGE_IMPORT); /* its picture, without a flush */
	close(f->m.fd);
	flush(f, ALL, 6);
	assert_int_equal(f->serial, 5);
	close(f->seat);
	f->seat = -1;
	run(f);
	assert_int_equal(f->serial, 6);

	/* All is new to the next one. */
	connect_seat(f);
	expect(f, SEAT_MESSAGE_IMPORT);
	close(f->m.fd);
	id = f->m.import.id;
	answer_buffer(f, id, 0);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.id, id);
	say_shown(f, 0, f->m.present.serial);
	flush(f, ALL, 7);
	expect(f, SEAT_MESSAGE_PRESENT);
	say_shown(f, 0, f->m.present.serial);
	assert_int_equal(f->serial, 7);
}

/* Whatever it says, the worker goes on, and with the next seat as well. */
static void garbage_ends_the_connection(void **state)
{
	static const struct {
		uint32_t request, flags, size, words[8];
	} nonsense[] = {
		{ SEAT_MESSAGE_SHOWN, 0, 4, { 0 } },
		{ SEAT_MESSAGE_SHOWN, 0, 32, { 16 } },
		{ SEAT_MESSAGE_SHOWN, GPU_MESSAGE_FLAG_REPLY, 32, { 0 } },
		{ SEAT_MESSAGE_RELEASED, 0, 4, { 64 } },
		{ SEAT_MESSAGE_RELEASED, 0, 8, { 0 } },
		{ SEAT_MESSAGE_MODES_CHANGED, 0, 4, { 0 } },
		{ SEAT_MESSAGE_IMPORT, GPU_MESSAGE_FLAG_REPLY, 16, { 63 } }, /* nobody asked */
		{ SEAT_MESSAGE_IMPORT, GPU_MESSAGE_FLAG_REPLY, 16, { 1u << 31 } },
		{ SEAT_MESSAGE_ALLOCATE, GPU_MESSAGE_FLAG_REPLY, 12, { 0 } },
		{ SEAT_MESSAGE_ALLOCATE, 0, 16, { 0 } },
		{ SEAT_MESSAGE_PRESENT, 0, 0, { 0 } },
		{ 0x1ff, 0, 0, { 0 } },
		{ SEAT_MESSAGE_SHOWN, 0, 0x7fffffff, { 0 } },
	};
	struct fixture *f = *state;
	char byte;

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		const struct gpu_message_header header = { nonsense[i].request, nonsense[i].flags,
			nonsense[i].size };

		send(f->seat, &header, sizeof(header), MSG_NOSIGNAL);
		if (header.size && header.size <= sizeof(nonsense[i].words))
			send(f->seat, nonsense[i].words, header.size, MSG_NOSIGNAL);
		run(f);
		while (recv(f->seat, &byte, 1, MSG_DONTWAIT) > 0)
			;
		assert_true(errno == ECONNRESET || recv(f->seat, &byte, 1, MSG_DONTWAIT) == 0);
		connect_seat(f);
	}
}

/* Memory that is not there: an error, no SIGBUS. */
static void bad_memory_is_not_mapped(void **state)
{
	static const struct seat_buffer_answer bad[] = {
		{ .stride = STRIDE, .size = STRIDE * H }, /* of a file that is shorter */
		{ .stride = W * 4 - 4, .size = 4096 },    /* rows are longer */
		{ .stride = 1u << 31, .size = 4096 },     /* wraps */
		{ .stride = STRIDE, .size = 0 },
	};
	struct fixture *f = *state;
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 4096), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct seat_buffer_answer a = bad[i];

		set_source(f, &f->a);
		flush(f, ALL, 1 + i);
		expect(f, SEAT_MESSAGE_ALLOCATE);
		a.id = f->m.allocate.id;
		say(f, SEAT_MESSAGE_ALLOCATE, GPU_MESSAGE_FLAG_REPLY, &a, sizeof(a), fd);
		expect(f, SEAT_MESSAGE_FREE);
		assert_int_equal(f->m.free.id, a.id);
		expect_nothing(f);
		assert_int_equal(f->serial, 1 + i);
		set_source(f, NULL);
		connect_seat(f);
		answer_questions(f);
	}
	close(fd);
}

static void cursors_go_as_ever(void **state)
{
	struct fixture *f = *state;
	static struct display_cursor cursor = { .hot_x = 3 };

	cursor.pixels[7] = 0x12345678;
	f->display->impl->set_cursor(f->display, 0, &cursor, 5, 6);
	expect(f, GPU_MESSAGE_CURSOR_UPDATE);
	assert_int_equal(f->m.cursor.hot_x, 3);
	assert_int_equal(f->m.cursor.pixels[7], 0x12345678);
	f->display->impl->move_cursor(f->display, 0, 7, 8);
	expect(f, GPU_MESSAGE_CURSOR_POS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_monitor_is_the_guests),
		TEST(edids_are_asked_for_when_the_guest_does),
		TEST(a_seat_that_never_answers_is_asked_once),
		TEST(a_seat_that_goes_stalls_nobody),
		TEST(garbage_ends_the_connection),
		TEST(bad_memory_is_not_mapped),
		TEST(cursors_go_as_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
