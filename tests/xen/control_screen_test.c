/* SPDX-License-Identifier: MIT */
/* Screens over gpudomd's control socket, and gpudomctl screenshot. */
#include <png.h>

#include "backend/screen.h"
#include "tests/xen/control_rig.h"
#include "tools/ctl.h"
#include "xen/guest.h"
#include "xen/guest_device.h"

static int screen_of(struct rig *rig)
{
	unsigned position = 0;
	struct guest *guest = daemon_next_guest(rig->gpu_daemon, &position);

	position = 0;
	return guest_device_screen(guest_next_gpu(guest, &position));
}

/* A picture in which each pixel tells where it is, with a cursor over its lower right corner. */
static void draw(int fd, unsigned output, uint32_t width, uint32_t height)
{
	static struct display_cursor cursor;
	struct screen screen;
	uint8_t *pixels;

	assert_int_equal(screen_open(&screen, fd), 0);
	pixels = screen_begin(&screen, output, width, height);
	assert_non_null(pixels);
	for (uint32_t i = 0; i < width * height; i++) {
		pixels[4 * i] = (uint8_t)(i % width);
		pixels[4 * i + 1] = (uint8_t)(i / width);
		pixels[4 * i + 2] = (uint8_t)(output + 1);
	}
	screen_end(&screen, output);
	for (unsigned i = 0; i < DISPLAY_CURSOR_SIZE * DISPLAY_CURSOR_SIZE; i++)
		cursor.pixels[i] = 0xff102030;
	screen_set_cursor(&screen, output, &cursor, width - 8, height - 4);
	screen_close(&screen);
}

static void assert_drawn(const char *path, unsigned output, uint32_t width, uint32_t height)
{
	png_image png = { .version = PNG_IMAGE_VERSION };
	uint8_t *pixels;

	assert_true(png_image_begin_read_from_file(&png, path));
	png.format = PNG_FORMAT_RGB;
	assert_int_equal(png.width, width);
	assert_int_equal(png.height, height);
	pixels = malloc(PNG_IMAGE_SIZE(png));
	assert_true(png_image_finish_read(&png, NULL, pixels, 0, NULL));
	for (uint32_t i = 0; i < width * height; i++) {
		const uint8_t there[] = { (uint8_t)(output + 1), (uint8_t)(i / width),
			(uint8_t)(i % width) };
		const uint8_t cursor[] = { 0x10, 0x20, 0x30 };
		bool covered = i % width >= width - 8 && i / width >= height - 4;

		assert_memory_equal(&pixels[3 * i], covered ? cursor : there, 3);
	}
	free(pixels);
}

static void a_screenshot_has_all_pixels_and_the_cursor(void **state)
{
	char path[sizeof(control_dir) + 16];
	const char *const first[] = { "screenshot", argument, "clock", path, NULL };
	char named[] = "2:1", third_named[] = "clock:2";
	const char *const second[] = { "screenshot", argument, named, path, NULL };
	const char *const third[] = { "screenshot", argument, "--device=0", third_named, path,
		NULL };
	struct rig *rig = *state;
	char output[16384];
	int fd;

	snprintf(path, sizeof(path), "%s/x.png", control_dir);
	start_guest(rig);
	fd = screen_of(rig);
	draw(fd, 0, 100, 50);
	draw(fd, 1, 33, 70);
	assert_int_equal(run_command(rig, ctl_screenshot, first, output, sizeof(output)), 0);
	assert_string_equal(output, "");
	assert_drawn(path, 0, 100, 50);
	/* Another one takes its place. */
	assert_int_equal(run_command(rig, ctl_screenshot, second, output, sizeof(output)), 0);
	assert_drawn(path, 1, 33, 70);
	/* What cannot be had changes nothing. */
	assert_int_equal(run_command(rig, ctl_screenshot, third, output, sizeof(output)), 1);
	assert_string_equal(
	    output, "gpudomctl: nothing was shown on output 2 of guest clock yet\n");
	assert_drawn(path, 1, 33, 70);
	assert_int_equal(unlink(path), 0);
	/* Into a pipe */
	memcpy(path, "-", 2);
	assert_int_equal(run_command(rig, ctl_screenshot, first, output, sizeof(output)), 0);
	assert_memory_equal(output + 1, "PNG", 3);
}

static void a_hostile_screen_is_no_screenshot(void **state)
{
	static const uint32_t sizes[][2] = { { 0, 0 }, { 0, 7 }, { 1, 0x80000000 },
		{ 65536, 65536 }, { UINT32_MAX, UINT32_MAX }, { 0x40000001, 4 }, { 16384, 8192 } };
	char path[sizeof(control_dir) + 16];
	const char *const command[] = { "screenshot", argument, "clock", path, NULL };
	struct rig *rig = *state;
	struct screen screen;
	char output[4096];

	snprintf(path, sizeof(path), "%s/x.png", control_dir);
	start_guest(rig);
	draw(screen_of(rig), 0, 64, 64);
	assert_int_equal(screen_open(&screen, screen_of(rig)), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		screen.head->outputs[0].width = sizes[i][0];
		screen.head->outputs[0].height = sizes[i][1];
		assert_int_equal(
		    run_command(rig, ctl_screenshot, command, output, sizeof(output)), 1);
		assert_non_null(strstr(output, "makes no sense"));
		assert_int_equal(access(path, F_OK), -1);
	}
	/* It never ceases to be drawn: what is there is shown all the same. */
	screen.head->outputs[0].width = screen.head->outputs[0].height = 64;
	screen.head->outputs[0].serial = 7;
	screen.head->outputs[0].cursor_x = 0x80000000;
	assert_int_equal(run_command(rig, ctl_screenshot, command, output, sizeof(output)), 0);
	assert_int_equal(unlink(path), 0);
	screen_close(&screen);
}

/* Whoever gets the file can read it, and nothing else. */
static void a_screen_is_handed_out_for_reading(void **state)
{
	struct rig *rig = *state;
	struct json_object *answer, *list;
	struct peer peer;
	struct stat status;
	char byte = 'x';

	start_guest(rig);
	draw(screen_of(rig), 3, 320, 200);
	peer_greet(rig, &peer);
	answer = peer_ask(rig, &peer, "{\"command\":\"screen\",\"guest\":\"clock\"}");
	assert_string_equal(error_code(answer), "");
	list = json_object_object_get(json_object_object_get(answer, "result"), "outputs");
	assert_int_equal(json_object_array_length(list), 1);
	assert_int_equal(get_number(json_object_array_get_idx(list, 0), "output"), 3);
	assert_int_equal(get_number(json_object_array_get_idx(list, 0), "width"), 320);
	json_object_put(answer);
	assert_true(peer.passed_fd >= 0);
	assert_int_equal(fcntl(peer.passed_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(pwrite(peer.passed_fd, &byte, 1, 0), -1);
	assert_int_equal(ftruncate(peer.passed_fd, 0), -1);
	assert_int_equal(fstat(peer.passed_fd, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0400);
	close(peer.passed_fd);
	assert_refused(rig, &peer, "{\"command\":\"screen\",\"guest\":\"clock\",\"device\":1}",
	    "no-such-device");
	assert_refused(rig, &peer, "{\"command\":\"screen\",\"guest\":\"clock\",\"device\":-1}",
	    "bad-request");
	assert_refused(rig, &peer, "{\"command\":\"screen\"}", "bad-request");
	peer_close(&peer);
	/* Its worker, or the next one, draws on. */
	draw(screen_of(rig), 0, 10, 10);
}

/* A client that asks for screens and reads nothing holds no more of ours than is in its socket, and
 * that is closed with it. */
static void screens_do_not_pile_up(void **state)
{
	static const char request[] = "{\"command\":\"screen\",\"guest\":2}\n";
	struct rig *rig = *state;
	unsigned before, written = 0;
	struct peer peer;

	start_guest(rig);
	draw(screen_of(rig), 0, 32, 32);
	peer_connect(rig, &peer);
	for (unsigned i = 0; i < 20; i++)
		turn(rig);
	before = open_descriptors();
	for (unsigned i = 0; i < 2000; i++) {
		written += send(peer.fd, request, strlen(request), MSG_NOSIGNAL) > 0;
		turn(rig);
	}
	assert_true(written > 100);
	assert_true(open_descriptors() <= before + 1);
	peer_close(&peer);
	for (unsigned i = 0; i < 20; i++)
		turn(rig);
	/* The client's end, and ours */
	assert_true(open_descriptors() <= before - 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(a_screenshot_has_all_pixels_and_the_cursor),
		CONTROL_TEST(a_hostile_screen_is_no_screenshot),
		CONTROL_TEST(a_screen_is_handed_out_for_reading),
		CONTROL_TEST(screens_do_not_pile_up),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: screens", tests, NULL, NULL);
	free(self);
	return result;
}
