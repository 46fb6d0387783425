/* SPDX-License-Identifier: MIT */
/* gpudomd on a fake Xen, and a seat that is absent, comes, dies, comes again, or talks nonsense. */
#include <sys/mman.h>

#include "tests/xen/restart_rig.h"
#include "tests/xen/seat_rig.h"
#include "xen/guest_device_private.h"
#include "xen/seat_link.h"
#include "xen/signal_picture.h"

#define INPUT_KEY(key) "/local/domain/1/backend/virtio/2/1/" key

/* ------------------------------------------------------------------- the rig */

static int set_up_seat(void **state)
{
	set_up(state);
	fake_seat_init(*state);
	return 0;
}

static int tear_down_seat(void **state)
{
	int error = tear_down(state);

	fake_seat_finish();
	return error;
}

static int set_up_seat_restart(void **state)
{
	/* The seat is there before the first gpudomd, whose process is made by this. */
	static struct rig before;

	fake_seat_init(&before);
	daemon_forgets = fake_seat_forget;
	return 0;
}

#define SEAT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_seat, tear_down_seat)

static void configure(struct rig *rig, const char *text)
{
	assert_int_equal(config_parse(&rig->config, "test", text), 0);
}

static void attach_keyboard(void)
{
	fake_xenstore_write(INPUT_KEY("frontend-id"), "2");
	fake_xenstore_write(INPUT_KEY("online"), "1");
	fake_xenstore_write(INPUT_KEY("irq"), "34");
	fake_xenstore_write(INPUT_KEY("base"), "0x2000200");
	fake_xenstore_write(INPUT_KEY("type"), "virtio,device12");
	fake_xenstore_write(INPUT_KEY("transport"), "mmio");
	fake_xenstore_write(INPUT_KEY("grant_usage"), "1");
	fake_xenstore_write(INPUT_KEY("state"), "1");
}

static struct guest_device_status status(struct rig *rig)
{
	struct guest_device_status status;

	guest_device_get_status(only_device(rig), &status);
	return status;
}

/* That worker was started with this. */
static bool was_started_with(pid_t pid, const char *option)
{
	char path[32], line[4096] = "";
	size_t n;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	for (size_t i = 0; i < n; i += strlen(line + i) + 1)
		if (!strcmp(line + i, option))
			return true;
	return false;
}

static bool has_option(struct rig *rig, const char *option)
{
	return was_started_with(status(rig).pid, option);
}

static void start_served_guest(struct rig *rig)
{
	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void kill_worker(struct rig *rig)
{
	assert_int_equal(kill(status(rig).pid, SIGKILL), 0);
	WAIT_FOR(rig, status(rig).state != DEVICE_SERVING);
	forget_mapped();
}

/* ------------------------------------------------------------------- it comes and goes */

static void without_a_seat_guests_are_headless(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	assert_true(has_option(rig, "--display=headless"));
	assert_false(status(rig).at_seat);
	assert_false(status(rig).for_seat);
	detach();
	assert_gone(rig);
}

static void a_guest_is_shown_at_the_seat(void **state)
{
	struct rig *rig = *state;

	fake_seat_start();
	start_served_guest(rig);
	assert_true(has_option(rig, "--display=frontend"));
	assert_reaches_worker(rig, 0, "frames");
	assert_int_equal(fake_seat.add_count, 1);
	assert_string_equal(fake_seat.adds[0].guest, "clock");
	assert_string_equal(fake_seat.adds[0].kind, "gpu");
	assert_int_equal(fake_seat.adds[0].domain, 2);
	assert_true(status(rig).at_seat);
	/* Its keyboard has a socket of its own. */
	attach_keyboard();
	assert_reaches_worker(rig, 1, "keys");
	assert_string_equal(fake_seat_find(1)->kind, "keyboard");
	assert_int_equal(fake_seat.add_count, 2);
	assert_served(rig, 1, 0x22);
	/* A reset changes nothing. */
	bring_up(rig);
	assert_served(rig, 0, 0x33);
	assert_int_equal(fake_seat.add_count, 2);
	assert_int_equal(fake_seat.connections, 1);
}

/* Nobody looks at the last picture of a guest that is not there any more. */
static void a_guest_that_goes_is_seen_no_more(void **state)
{
	struct rig *rig = *state;

	fake_seat_start();
	start_served_guest(rig);
	assert_reaches_worker(rig, 0, "frames");
	kill_worker(rig); /* That is not the end of it. */
	WAIT_FOR(rig, status(rig).state == DEVICE_SERVING && fake_seat.add_count == 2);
	assert_string_equal(fake_seat.last, "");
	detach();
	assert_gone(rig);
	WAIT_FOR(rig, *fake_seat.last);
	assert_string_equal(fake_seat.last, "{\"command\":\"remove\",\"guest\":\"clock\"}");
}

static void a_headless_guest_is_not(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[guest clock]\ndisplay = headless\n");
	fake_seat_start();
	attach_keyboard();
	start_served_guest(rig);
	assert_true(has_option(rig, "--display=headless"));
	/* But it may have keys. */
	assert_reaches_worker(rig, 1, "keys");
	assert_int_equal(fake_seat.add_count, 1);
}

static void a_seat_that_comes_later_is_noticed(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[guest clock]\ndisplay = seat\n");
	start_served_guest(rig);
	assert_true(has_option(rig, "--display=frontend"));
	assert_false(status(rig).at_seat);
	assert_true(status(rig).for_seat);
	fake_seat_start();
	assert_reaches_worker(rig, 0, "frames");
	assert_true(status(rig).at_seat);
	assert_served(rig, 0, 0x22);
}

/* It has its name, and is about to listen. */
static void a_seat_takes_its_time(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[guest clock]\ndisplay = seat\n");
	start_served_guest(rig);
	fake_seat_bind();
	for (unsigned i = 0; i < 20; i++)
		turn(rig);
	fake_seat_listen();
	assert_reaches_worker(rig, 0, "frames");
}

static void who_was_headless_moves_with_its_next_reset(void **state)
{
	struct rig *rig = *state;
	pid_t before;

	start_served_guest(rig);
	fake_seat_start();
	WAIT_FOR(rig, fake_seat.connections == 1);
	assert_served(rig, 0, 0x22);
	assert_int_equal(fake_seat.add_count, 0);
	before = status(rig).pid;
	bring_up(rig);
	assert_true(status(rig).pid != before);
	assert_reaches_worker(rig, 0, "frames");
	assert_served(rig, 0, 0x33);
	assert_int_equal(status(rig).health.deaths, 0);
	/* And back, when there is none any more. */
	fake_seat_die();
	unlink(fake_seat.path);
	WAIT_FOR(rig, !status(rig).at_seat);
	assert_served(rig, 0, 0x44);
	bring_up(rig);
	assert_true(has_option(rig, "--display=headless"));
	assert_served(rig, 0, 0x55);
}

static void a_seat_dies_and_comes_again(void **state)
{
	struct rig *rig = *state;
	pid_t before;

	fake_seat_start();
	attach_keyboard();
	start_served_guest(rig);
	assert_reaches_worker(rig, 0, "frames");
	assert_reaches_worker(rig, 1, "keys");
	before = status(rig).pid;
	for (unsigned i = 1; i <= 3; i++) {
		fake_seat_die();
		WAIT_FOR(rig, !status(rig).at_seat);
		assert_served(rig, 0, (uint8_t)i);
		fake_seat_start();
		assert_reaches_worker(rig, 0, "frames");
		assert_reaches_worker(rig, 1, "keys");
		assert_int_equal(fake_seat.add_count, 2);
	}
	assert_int_equal(status(rig).pid, before);
}

static void a_new_worker_gets_a_new_socket(void **state)
{
	struct rig *rig = *state;

	fake_seat_start();
	start_served_guest(rig);
	assert_reaches_worker(rig, 0, "first");
	kill_worker(rig);
	WAIT_FOR(rig, fake_seat.add_count == 2);
	assert_reaches_worker(rig, 0, "second");
	assert_served(rig, 0, 0x22);
	/* The first one's is over. */
	assert_int_equal(recv(fake_seat.adds[0].fd, (char[8]){ 0 }, 8, MSG_DONTWAIT), 0);
}

/* The connection ends, and the seat does not: what it was given it has. */
static void a_seat_that_hangs_up_keeps_what_it_has(void **state)
{
	struct rig *rig = *state;

	fake_seat_start();
	start_served_guest(rig);
	assert_reaches_worker(rig, 0, "before");
	fake_seat_hang_up();
	WAIT_FOR(rig, fake_seat.connections == 2);
	assert_reaches_worker(rig, 0, "after");
	assert_int_equal(fake_seat.add_count, 1);
}

/* ------------------------------------------------------------------- it is mad */

static void its_answers_make_no_sense(void **state)
{
	static char huge[SEAT_COMMAND_MAX + 4096];
	const struct {
		const char *text;
		size_t size;
		unsigned fds;
	} answers[] = {
		{ "", 0, 4 },
		{ "", 1, 0 },
		{ "{", 1, 0 },
		{ "true", 4, 0 },
		{ "{}", 2, 0 },
		{ "{\"ok\":1}", 8, 0 },
		{ "{\"ok\":true}{\"ok\":true}", 22, 0 },
		{ "{\"ok\":true", 10, 8 },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 30, 1 },
		{ "{\"ok\":true,\"x\":\"\xff\xfe\"}", 18, 0 },
		{ huge, sizeof(huge), 0 },
	};
	static const char answer[] = "{\"ok\":true}";
	struct rig *rig = *state;

	configure(rig, "[default]\ndisplay = seat\n");
	memset(huge, ' ', sizeof(huge));
	memcpy(huge, answer, sizeof(answer) - 1);
	start_served_guest(rig);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		unsigned descriptors, connections = fake_seat.connections;

		fake_seat.mood = SEAT_GARBAGE;
		fake_seat.garbage = answers[i].text;
		fake_seat.garbage_size = answers[i].size;
		fake_seat.garbage_fds = answers[i].fds;
		descriptors = open_descriptors();
		fake_seat_start();
		/* Often enough to see what each one leaves behind */
		WAIT_FOR(rig, fake_seat.connections > connections + (answers[i].size ? 1 : 4));
		fake_seat_die();
		unlink(fake_seat.path);
		WAIT_FOR(rig, !status(rig).at_seat);
		assert_served(rig, 0, (uint8_t)i);
		assert_in_range(open_descriptors(), 0, descriptors + 2);
	}
}

static void its_answers_come_unasked(void **state)
{
	struct rig *rig = *state;

	fake_seat_start();
	start_served_guest(rig);
	assert_reaches_worker(rig, 0, "before");
	fake_seat_send("{\"ok\":true}", 11, 0, 1);
	WAIT_FOR(rig, fake_seat.connections == 2);
	assert_served(rig, 0, 0x22);
	assert_reaches_worker(rig, 0, "after");
}

static void it_refuses(void **state)
{
	struct rig *rig = *state;

	fake_seat.mood = SEAT_REFUSES;
	fake_seat_start();
	start_served_guest(rig);
	WAIT_FOR(rig, fake_seat.add_count == 1);
	assert_served(rig, 0, 0x22);
	assert_int_equal(fake_seat.connections, 1);
}

/* It is not tried for ever. */
static void it_hangs_up_each_time(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\ndisplay = seat\n");
	fake_seat.mood = SEAT_HANGS_UP;
	fake_seat_start();
	start_served_guest(rig);
	WAIT_FOR(rig, fake_seat.connections >= 4);
	assert_served(rig, 0, 0x22);
	fake_seat_die();
	fake_seat.mood = SEAT_WELL;
	fake_seat_start();
	assert_reaches_worker(rig, 0, "well");
}

/* However many workers die meanwhile, this process holds one socket for each device. */
static void it_does_not_read(void **state)
{
	struct rig *rig = *state;
	unsigned descriptors, i;
	int pair[2];

	configure(rig, "[default]\ncrash-limit = off\ndisplay = seat\n");
	fake_seat.mood = SEAT_DEAF;
	fake_seat_start();
	start_served_guest(rig);
	descriptors = open_descriptors();
	/* What fills its socket first */
	for (i = 0; i < 2000; i++) {
		const struct seat_device other = { "other", 9, i, "gpu" };

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		close(pair[1]);
		assert_int_equal(seat_link_add(daemon_seat(rig->gpu_daemon), &other, pair[0]), 0);
		if (open_descriptors() > descriptors + 2)
			break;
	}
	assert_in_range(i, 1, 1999);
	descriptors = open_descriptors();
	for (i = 0; i < 8; i++) {
		kill_worker(rig);
		WAIT_FOR(rig, status(rig).state == DEVICE_SERVING);
		assert_in_range(open_descriptors(), 0, descriptors + 2);
		assert_served(rig, 0, (uint8_t)i);
	}
	fake_seat_die();
	WAIT_FOR(rig, !status(rig).at_seat);
	assert_served(rig, 0, 0x55);
}

/* ------------------------------------------------------------------- lost guests */

static void a_blocked_guests_picture_goes_to_the_seat(void **state)
{
	struct rig *rig = *state;
	struct telemetry *page;
	uint32_t *expected, *shown;
	struct json_object *command;
	struct stat file;

	configure(rig, "[default]\nsignal-lost-after = 20ms\ndisplay = seat\n");
	fake_seat_start();
	start_served_guest(rig);
	assert_reaches_worker(rig, 0, "frames");
	assert_int_equal(telemetry_open(only_device(rig)->health.telemetry_fd, true, &page), 0);
	page->outputs_count = 1;
	page->outputs[0] =
	    (struct telemetry_output){ .on = 1, .width = 320, .height = 240, .flushes = 1 };
	telemetry_close(page);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	WAIT_FOR(rig, status(rig).state == DEVICE_LOST);
	forget_mapped();
	WAIT_FOR(rig, fake_seat.last_fd >= 0);
	command = json_tokener_parse(fake_seat.last);
	assert_string_equal(fake_seat_member(command, "command"), "picture");
	assert_string_equal(fake_seat_member(command, "guest"), "clock");
	assert_string_equal(fake_seat_member(command, "scanout"), "0");
	assert_string_equal(fake_seat_member(command, "width"), "320");
	assert_string_equal(fake_seat_member(command, "height"), "240");
	json_object_put(command);
	assert_int_equal(fstat(fake_seat.last_fd, &file), 0);
	assert_int_equal(file.st_size, 320 * 240 * 4);
	shown = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED, fake_seat.last_fd, 0);
	assert_true(shown != MAP_FAILED);
	assert_int_equal(signal_picture_make("", 320, 240, &expected), 0);
	assert_memory_equal(shown, expected, (size_t)file.st_size);
	munmap(shown, (size_t)file.st_size);
	free(expected);
	assert_int_equal(status(rig).lost, 1);
	/* A seat that comes anew has it, too. */
	fake_seat_die();
	fake_seat_start();
	WAIT_FOR(rig, fake_seat.last_fd >= 0);
	assert_non_null(strstr(fake_seat.last, "picture"));
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	bring_up(rig);
	assert_int_equal(status(rig).lost, 0);
	assert_reaches_worker(rig, 0, "frames");
}

/* ------------------------------------------------------------------- gpudomd ends */

static struct restart_rig *start_with_seat(void)
{
	struct restart_rig *r;
	void *state;

	set_up_restart(&state);
	r = state;
	/* That one was made without. */
	end_daemon(r, SIGKILL);
	fake_seat.rig = &r->rig;
	r->rig.options.seat_path = fake_seat.path;
	fake_seat_start();
	start_daemon(r);
	start(r);
	assert_reaches_worker(&r->rig, 0, "first");
	return r;
}

static void finish_with_seat(struct restart_rig *r)
{
	void *state = r;

	detach();
	assert_all_gone(r);
	fake_seat_finish();
	tear_down_restart(&state);
}

static void gpudomd_restarts_and_nothing_changes(void **state)
{
	struct restart_rig *r = start_with_seat();

	for (unsigned i = 1; i <= 3; i++) {
		unsigned connections = fake_seat.connections;

		restart(r);
		WAIT_FOR(&r->rig, fake_seat.connections > connections);
		assert_unnoticed(r);
		assert_reaches_worker(&r->rig, 0, "still there");
		assert_int_equal(fake_seat.add_count, 1);
	}
	/* The seat is another one now. */
	fake_seat_die();
	fake_seat_start();
	assert_reaches_worker(&r->rig, 0, "another");
	assert_int_equal(fake_seat.add_count, 1);
	assert_unnoticed(r);
	finish_with_seat(r);
}

/* Its worker dies, and gpudomd, which has not started that one, knows what it was. */
static void a_keyboard_stays_one(void **state)
{
	struct restart_rig *r = start_with_seat();
	unsigned connections;

	attach_keyboard();
	assert_reaches_worker(&r->rig, 1, "keys");
	connections = fake_seat.connections;
	restart(r);
	WAIT_FOR(&r->rig, fake_seat.connections > connections);
	assert_unnoticed(r);
	assert_true(was_started_with(kept_pid(r, "2-1-pid"), "--device=keyboard"));
	assert_int_equal(kill(kept_pid(r, "2-1-pid"), SIGKILL), 0);
	WAIT_FOR(&r->rig, fake_seat.add_count == 3);
	assert_true(was_started_with(kept_pid(r, "2-1-pid"), "--device=keyboard"));
	fake_xenstore_write(INPUT_KEY("online"), "0");
	fake_xenstore_write(INPUT_KEY("state"), "5");
	finish_with_seat(r);
}

static void the_seat_restarts_while_gpudomd_is_away(void **state)
{
	struct restart_rig *r = start_with_seat();

	end_daemon(r, SIGTERM);
	fake_seat_die();
	fake_seat_start();
	start_daemon(r);
	assert_reaches_worker(&r->rig, 0, "another");
	assert_unnoticed(r);
	assert_int_equal(fake_seat.add_count, 1);
	finish_with_seat(r);
}

#define SEAT_RESTART_TEST(f) cmocka_unit_test_setup(f, set_up_seat_restart)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SEAT_TEST(without_a_seat_guests_are_headless),
		SEAT_TEST(a_guest_is_shown_at_the_seat),
		SEAT_TEST(a_guest_that_goes_is_seen_no_more),
		SEAT_TEST(a_headless_guest_is_not),
		SEAT_TEST(a_seat_that_comes_later_is_noticed),
		SEAT_TEST(a_seat_takes_its_time),
		SEAT_TEST(who_was_headless_moves_with_its_next_reset),
		SEAT_TEST(a_seat_dies_and_comes_again),
		SEAT_TEST(a_new_worker_gets_a_new_socket),
		SEAT_TEST(a_seat_that_hangs_up_keeps_what_it_has),
		SEAT_TEST(its_answers_make_no_sense),
		SEAT_TEST(its_answers_come_unasked),
		SEAT_TEST(it_refuses),
		SEAT_TEST(it_hangs_up_each_time),
		SEAT_TEST(it_does_not_read),
		SEAT_TEST(a_blocked_guests_picture_goes_to_the_seat),
		SEAT_RESTART_TEST(gpudomd_restarts_and_nothing_changes),
		SEAT_RESTART_TEST(a_keyboard_stays_one),
		SEAT_RESTART_TEST(the_seat_restarts_while_gpudomd_is_away),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: the seat", tests, NULL, NULL);
	free(self);
	return result;
}
