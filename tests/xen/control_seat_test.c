/* SPDX-License-Identifier: MIT */
/* The seat over gpudomd's control socket, and gpudomctl status, focus, output, screenshot, metrics:
 * with a seat, without one, with one that says nothing or nonsense. */
#include <png.h>

#include "tests/xen/control_rig.h"
#include "tests/xen/seat_rig.h"
#include "tools/ctl.h"
#include "xen/seat_link.h"

#define W 40
#define H 30

static const char seat_status[] =
    "{\"ok\":true,\"backend\":\"kms\",\"active\":true,\"focus\":\"clock\",\"outputs\":["
    "{\"name\":\"HDMI-A-1\",\"connected\":true,\"mode\":\"1920x1080@60.000\",\"flips\":7},"
    "{\"name\":\"DP-1\",\"connected\":false,\"mode\":\"off\"}],\"views\":["
    "{\"guest\":\"clock\",\"scanout\":0,\"output\":\"HDMI-A-1\",\"path\":\"zero copy\",\"shown\":5,"
    "\"presented\":6,\"overtaken\":1},"
    "{\"guest\":\"map\",\"scanout\":1,\"output\":\"HDMI-A-1\",\"path\":\"one copy: of \\u001b[31m\"}]}";

static int set_up_seat(void **state)
{
	struct rig *rig;

	snprintf(control_dir, sizeof(control_dir), "/tmp/gpudom-control-XXXXXX");
	assert_non_null(mkdtemp(control_dir));
	snprintf(control_path, sizeof(control_path), "%s/control", control_dir);
	snprintf(argument, sizeof(argument), "--control=%s", control_path);
	control_options = (struct control_options){ 0 };
	set_up(state);
	rig = *state;
	fake_seat_init(rig);
	assert_int_equal(config_parse(&rig->config, "test", "[default]\ndisplay = seat\n"), 0);
	run_daemon(rig);
	open_control(rig);
	return 0;
}

static int tear_down_seat(void **state)
{
	int error = tear_down_control(state);

	fake_seat_finish();
	return error;
}

#define SEAT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_seat, tear_down_seat)

static void start_shown_guest(struct rig *rig)
{
	fake_seat_start();
	start_guest(rig);
	WAIT_FOR(rig, fake_seat.add_count == 1);
}

static void attach_mouse(void)
{
	fake_xenstore_write("/local/domain/1/backend/virtio/2/1/frontend-id", "2");
	fake_xenstore_write("/local/domain/1/backend/virtio/2/1/online", "1");
	fake_xenstore_write("/local/domain/1/backend/virtio/2/1/irq", "34");
	fake_xenstore_write("/local/domain/1/backend/virtio/2/1/base", "0x2000200");
	fake_xenstore_write("/local/domain/1/backend/virtio/2/1/type", "virtio,device12");
	fake_xenstore_write("/local/domain/1/backend/virtio/2/1/transport", "mmio");
	fake_xenstore_write("/local/domain/1/backend/virtio/2/1/grant_usage", "1");
	fake_xenstore_write("/local/domain/1/backend/virtio/2/1/state", "1");
}

/* ------------------------------------------------------------------- without a seat */

static void without_a_seat_it_is_said_what_to_do(void **state)
{
	const char *const focus[] = { "focus", argument, "clock", NULL };
	char both[] = "clock:0";
	const char *const output[] = { "output", argument, both, "off", NULL };
	const char *const screenshot[] = { "screenshot", argument, "clock", "-", NULL };
	const char *const status[] = { "status", argument, "--interval=0", NULL };
	static const char cure[] =
	    "gpudomctl: gpudom-seat does not run: systemctl start gpudom-seat\n";
	struct rig *rig = *state;
	char text[16384];

	start_guest(rig);
	assert_int_equal(run_command(rig, ctl_focus, focus, text, sizeof(text)), 1);
	assert_string_equal(text, cure);
	assert_int_equal(run_command(rig, ctl_output, output, text, sizeof(text)), 1);
	assert_string_equal(text, cure);
	assert_int_equal(run_command(rig, ctl_screenshot, screenshot, text, sizeof(text)), 1);
	assert_string_equal(text, cure);
	assert_int_equal(run_command(rig, ctl_status, status, text, sizeof(text)), 0);
	assert_non_null(strstr(text, "clock"));
	assert_non_null(
	    strstr(text, "\nSeat: gpudom-seat does not run: systemctl start gpudom-seat\n"));
}

static void who_asks_before_it_is_noticed_finds_it(void **state)
{
	const char *const focus[] = { "focus", argument, "clock", NULL };
	struct rig *rig = *state;
	char text[1024];

	start_guest(rig);
	fake_seat_start();
	assert_int_equal(run_command(rig, ctl_focus, focus, text, sizeof(text)), 0);
}

/* ------------------------------------------------------------------- with one */

static void people_move_the_focus(void **state)
{
	const char *const focus[] = { "focus", argument, "2", NULL };
	const char *const nobody[] = { "focus", argument, "other", NULL };
	struct rig *rig = *state;
	char text[1024];

	start_shown_guest(rig);
	assert_int_equal(run_command(rig, ctl_focus, focus, text, sizeof(text)), 0);
	assert_string_equal(text, "guest clock has the keyboard and the pointer.\n");
	assert_string_equal(fake_seat.last, "{\"command\":\"focus\",\"guest\":\"clock\"}");
	assert_int_equal(run_command(rig, ctl_focus, nobody, text, sizeof(text)), 1);
	fake_seat.mood = SEAT_REFUSES;
	assert_int_equal(run_command(rig, ctl_focus, focus, text, sizeof(text)), 1);
	assert_string_equal(text, "gpudomctl: not today\n");
}

static void people_switch_outputs(void **state)
{
	char first[] = "clock:3", second[] = "clock", third[] = "clock:16";
	const char *const off[] = { "output", argument, first, "off", NULL };
	const char *const mode[] = { "output", argument, second, "1280x720@50", NULL };
	const char *const wrong[] = { "output", argument, third, "off", NULL };
	const char *const fewer[] = { "output", argument, second, NULL };
	struct rig *rig = *state;
	struct peer peer;
	char text[1024];

	start_shown_guest(rig);
	assert_int_equal(run_command(rig, ctl_output, off, text, sizeof(text)), 0);
	assert_string_equal(text, "guest clock, output 3: off\n");
	assert_string_equal(fake_seat.last,
	    "{\"command\":\"output\",\"guest\":\"clock\",\"scanout\":3,\"mode\":\"off\"}");
	assert_int_equal(run_command(rig, ctl_output, mode, text, sizeof(text)), 0);
	assert_string_equal(fake_seat.last,
	    "{\"command\":\"output\",\"guest\":\"clock\",\"scanout\":0,\"mode\":\"1280x720@50\"}");
	assert_int_equal(run_command(rig, ctl_output, wrong, text, sizeof(text)), 3);
	assert_int_equal(run_command(rig, ctl_output, fewer, text, sizeof(text)), 3);
	peer_greet(rig, &peer);
	assert_refused(rig, &peer, "{\"command\":\"output\",\"guest\":\"clock\"}", "bad-request");
	assert_refused(rig, &peer,
	    "{\"command\":\"output\",\"guest\":\"clock\",\"output\":16,\"mode\":\"on\"}",
	    "bad-request");
	peer_close(&peer);
}

static void status_says_where_guests_are_shown(void **state)
{
	const char *const status[] = { "status", argument, "--interval=0", NULL };
	const char *const one[] = { "status", argument, "--interval=0", "clock", NULL };
	const char *const json[] = { "status", argument, "--json", NULL };
	const char *const metrics[] = { "metrics", argument, NULL };
	const char *const top[] = { "top", argument, "--batch", "--count=1", NULL };
	struct json_object *object, *devices;
	struct rig *rig = *state;
	static char text[262144];

	fake_seat.answer = seat_status;
	start_shown_guest(rig);
	attach_mouse();
	WAIT_FOR(rig, fake_seat.add_count == 2);
	WAIT_FOR(rig, has("/local/domain/1/backend/virtio/2/1/state", "4"));
	assert_int_equal(run_command(rig, ctl_status, status, text, sizeof(text)), 0);
	assert_non_null(strstr(text, "\nSeat (kms), keyboard: clock\n"));
	assert_non_null(strstr(text, "HDMI-A-1  1920x1080@60.000  clock:0 (focus)  zero copy"));
	assert_non_null(strstr(text, "map:1"));
	assert_non_null(strstr(text, "one copy: of ?[31m"));
	assert_non_null(strstr(text, "DP-1      unplugged"));
	assert_non_null(strstr(text, "\nInput:\n  clock/1              keyboard  serving\n"));
	assert_int_equal(run_command(rig, ctl_status, one, text, sizeof(text)), 0);
	assert_non_null(strstr(text, "at the seat"));
	assert_int_equal(run_command(rig, ctl_status, json, text, sizeof(text)), 0);
	object = json_tokener_parse(text);
	assert_string_equal(get_text(json_object_object_get(object, "seat"), "backend"), "kms");
	devices = json_object_object_get(
	    json_object_array_get_idx(json_object_object_get(object, "guests"), 0), "devices");
	assert_string_equal(get_text(json_object_array_get_idx(devices, 0), "display"), "seat");
	assert_string_equal(get_text(json_object_array_get_idx(devices, 1), "type"), "input");
	assert_string_equal(get_text(json_object_array_get_idx(devices, 1), "kind"), "keyboard");
	json_object_put(object);
	assert_int_equal(run_command(rig, ctl_metrics, metrics, text, sizeof(text)), 0);
	assert_non_null(strstr(text, "\ngpudom_seat_up 1\n"));
	assert_non_null(strstr(text, "\ngpudom_seat_flips_total{output=\"HDMI-A-1\"} 7\n"));
	assert_non_null(
	    strstr(text, "\ngpudom_seat_shown_total{guest=\"clock\",scanout=\"0\"} 5\n"));
	assert_non_null(strstr(
	    text, "\ngpudom_seat_view_path{guest=\"map\",scanout=\"1\",path=\"one copy\"} 1\n"));
	assert_non_null(strstr(text,
	    "\ngpudom_input_up{guest=\"clock\",domid=\"2\",device=\"1\",kind=\"keyboard\"} 1\n"));
	assert_null(strstr(text, "gpu=\"1\""));
	run_command(rig, ctl_top, top, text, sizeof(text));
	assert_null(strstr(text, "clock/1"));
}

/* ------------------------------------------------------------------- screenshots */

/* Rows with something behind each. */
static int make_picture(uint32_t stride)
{
	int fd = memfd_create("picture", MFD_CLOEXEC);
	uint8_t row[4 * W + 64] = { 0 };

	assert_true(fd >= 0 && stride <= sizeof(row));
	for (unsigned y = 0; y < H; y++) {
		for (unsigned x = 0; x < W; x++)
			memcpy(row + (size_t)4 * x, (uint8_t[]){ (uint8_t)x, (uint8_t)y, 9, 0 }, 4);
		assert_int_equal(write(fd, row, stride), stride);
	}
	return fd;
}

static void a_screenshot_is_what_the_seat_shows(void **state)
{
	char path[sizeof(control_dir) + 16], named[] = "clock:2";
	const char *const command[] = { "screenshot", argument, named, path, NULL };
	png_image png = { .version = PNG_IMAGE_VERSION };
	static uint8_t pixels[H][W][3];
	struct rig *rig = *state;
	char text[1024];

	snprintf(path, sizeof(path), "%s/x.png", control_dir);
	start_shown_guest(rig);
	fake_seat.answer = "{\"ok\":true,\"width\":40,\"height\":30,\"stride\":192}";
	fake_seat.answer_fd = make_picture(192);
	assert_int_equal(run_command(rig, ctl_screenshot, command, text, sizeof(text)), 0);
	assert_string_equal(
	    fake_seat.last, "{\"command\":\"capture\",\"guest\":\"clock\",\"scanout\":2}");
	assert_true(png_image_begin_read_from_file(&png, path));
	png.format = PNG_FORMAT_RGB;
	assert_int_equal(png.width, W);
	assert_int_equal(png.height, H);
	assert_true(png_image_finish_read(&png, NULL, pixels, 0, NULL));
	for (unsigned y = 0; y < H; y++)
		for (unsigned x = 0; x < W; x++)
			assert_memory_equal(
			    pixels[y][x], ((uint8_t[]){ 9, (uint8_t)y, (uint8_t)x }), 3);
	close(fake_seat.answer_fd);
	unlink(path);
}

static void a_picture_that_makes_no_sense(void **state)
{
	static const char *const answers[] = {
		"{\"ok\":true}",
		"{\"ok\":true,\"width\":40,\"height\":30,\"stride\":159}",
		"{\"ok\":true,\"width\":40,\"height\":31,\"stride\":160}",
		"{\"ok\":true,\"width\":0,\"height\":30,\"stride\":160}",
		"{\"ok\":true,\"width\":-1,\"height\":-1,\"stride\":160}",
		"{\"ok\":true,\"width\":16384,\"height\":16384,\"stride\":65536}",
		"{\"ok\":true,\"width\":\"40\",\"height\":30,\"stride\":160}",
		"{\"ok\":true,\"width\":1e99,\"height\":30,\"stride\":160}",
	};
	char path[sizeof(control_dir) + 16];
	const char *const command[] = { "screenshot", argument, "clock", path, NULL };
	struct rig *rig = *state;
	char text[1024];

	snprintf(path, sizeof(path), "%s/x.png", control_dir);
	start_shown_guest(rig);
	fake_seat.answer_fd = make_picture(4 * W);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		fake_seat.answer = answers[i];
		assert_int_equal(run_command(rig, ctl_screenshot, command, text, sizeof(text)), 1);
		assert_string_equal(text, "gpudomctl: the seat's picture makes no sense\n");
		assert_int_equal(access(path, F_OK), -1);
	}
	/* And one without any file */
	close(fake_seat.answer_fd);
	fake_seat.answer_fd = -1;
	fake_seat.answer = "{\"ok\":true,\"width\":40,\"height\":30,\"stride\":160}";
	assert_int_equal(run_command(rig, ctl_screenshot, command, text, sizeof(text)), 1);
}

/* ------------------------------------------------------------------- it says nothing */

static void who_waits_for_a_silent_seat_is_told_so(void **state)
{
	const char *const focus[] = { "focus", argument, "clock", NULL };
	const char *const status[] = { "status", argument, "--interval=0", NULL };
	struct rig *rig = *state;
	char text[16384];

	start_shown_guest(rig);
	fake_seat.mood = SEAT_SILENT;
	assert_int_equal(run_command(rig, ctl_focus, focus, text, sizeof(text)), 1);
	assert_non_null(strstr(text, "gpudom-seat does not answer"));
	/* From now on nobody waits who only wants to look. */
	fake_seat.commands = 0;
	assert_int_equal(run_command(rig, ctl_status, status, text, sizeof(text)), 0);
	assert_non_null(strstr(text, "gpudom-seat does not answer"));
	assert_int_equal(fake_seat.commands, 0);
	/* Its answer comes late, and everything is well. */
	fake_seat_send("{\"ok\":true}", 11, -1, 0);
	fake_seat.mood = SEAT_WELL;
	fake_seat.answer = seat_status;
	WAIT_FOR(rig, !seat_link_is_late(daemon_seat(rig->gpu_daemon)));
	assert_int_equal(run_command(rig, ctl_status, status, text, sizeof(text)), 0);
	assert_non_null(strstr(text, "Seat (kms)"));
}

/* The guest goes on meanwhile, and other clients are answered. */
static void others_do_not_wait(void **state)
{
	struct rig *rig = *state;
	struct peer waits, other, gone;

	start_shown_guest(rig);
	bring_up(rig);
	fake_seat.mood = SEAT_SILENT;
	peer_greet(rig, &waits);
	peer_greet(rig, &gone);
	peer_greet(rig, &other);
	peer_write(&waits, "{\"id\":7,\"command\":\"focus\",\"guest\":\"clock\"}\n"
			   "{\"id\":8,\"command\":\"commands\"}\n");
	peer_write(&gone, "{\"command\":\"focus\",\"guest\":\"clock\"}\n");
	fake_seat.commands = 0;
	WAIT_FOR(rig, fake_seat.commands == 2);
	assert_served(rig, 0, 0x11);
	peer_close(&gone);
	json_object_put(peer_ask(rig, &other, "{\"command\":\"commands\"}"));
	assert_served(rig, 0, 0x22);
	/* It has gone: whoever waits hears of it, in the order of what was asked. */
	fake_seat_die();
	for (int id = 7; id <= 8; id++) {
		struct json_object *answer = peer_read(rig, &waits);

		assert_int_equal(get_number(answer, "id"), id);
		assert_string_equal(error_code(answer), id == 7 ? "no-seat" : "");
		json_object_put(answer);
	}
	peer_close(&waits);
	peer_close(&other);
}

/* gpudomd ends while somebody waits. */
/* What is asked while it is noticed that the seat has hung up goes to the next one, and stays. */
static void who_asks_as_the_seat_hangs_up(void **state)
{
	static const char focus[] = "{\"command\":\"focus\",\"guest\":\"clock\"}\n"
				    "{\"command\":\"focus\",\"guest\":\"clock\"}\n";
	struct rig *rig = *state;
	struct json_object *answer;
	struct peer peer;
	unsigned connections, commands;

	start_shown_guest(rig);
	peer_greet(rig, &peer);
	connections = fake_seat.connections;
	commands = fake_seat.commands;
	fake_seat.mood = SEAT_SILENT;
	peer_write(&peer, focus);
	WAIT_FOR(rig, fake_seat.commands == commands + 1);
	fake_seat.mood = SEAT_WELL;
	fake_seat_hang_up();
	answer = peer_read(rig, &peer);
	assert_string_equal(error_code(answer), "no-seat");
	json_object_put(answer);
	answer = peer_read(rig, &peer);
	assert_null(json_object_object_get(answer, "error"));
	json_object_put(answer);
	assert_int_equal(fake_seat.connections, connections + 1);
	peer_close(&peer);
}

static void one_that_waits_at_the_end(void **state)
{
	struct rig *rig = *state;
	struct peer peer;

	start_shown_guest(rig);
	fake_seat.mood = SEAT_SILENT;
	fake_seat.commands = 0;
	peer_greet(rig, &peer);
	peer_write(&peer, "{\"command\":\"status\"}\n");
	WAIT_FOR(rig, fake_seat.commands == 1);
	close_control();
	assert_true(!peer_has_line(&peer) && peer.over);
	peer_close(&peer);
	open_control(rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SEAT_TEST(without_a_seat_it_is_said_what_to_do),
		SEAT_TEST(who_asks_before_it_is_noticed_finds_it),
		SEAT_TEST(people_move_the_focus),
		SEAT_TEST(people_switch_outputs),
		SEAT_TEST(status_says_where_guests_are_shown),
		SEAT_TEST(a_screenshot_is_what_the_seat_shows),
		SEAT_TEST(a_picture_that_makes_no_sense),
		SEAT_TEST(who_waits_for_a_silent_seat_is_told_so),
		SEAT_TEST(others_do_not_wait),
		SEAT_TEST(who_asks_as_the_seat_hangs_up),
		SEAT_TEST(one_that_waits_at_the_end),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: the seat, for people", tests, NULL, NULL);
	free(self);
	return result;
}
