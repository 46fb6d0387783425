/* SPDX-License-Identifier: MIT */
/* The headless display: what it reads, when it says "shown", and what its pictures show. */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/screen.h"
#include "render/headless.h"

#include <cmocka.h>

#define W 100
#define H 80

struct picture {
	struct display_source base;
	uint32_t pixels[W * H];
	unsigned reads;
	struct display_rect last;
	int error;
};

struct fixture {
	sd_event *event;
	int screen_fd; /* -1: the display has its own */
	struct display *display;
	struct picture a, b;
	unsigned shown;
	uint64_t serial;
	unsigned modes_changed;
};

static int picture_read(
    struct display_source *source, const struct display_rect *rect, void *to, size_t stride)
{
	struct picture *p = (struct picture *)source;

	p->reads++;
	p->last = *rect;
	if (p->error)
		return p->error;
	assert_true(rect->x + rect->width <= source->width);
	assert_true(rect->y + rect->height <= source->height);
	for (uint32_t y = 0; y < rect->height; y++)
		memcpy((uint8_t *)to + y * stride,
		    p->pixels + (rect->y + y) * source->width + rect->x, rect->width * 4);
	return 0;
}

static const struct display_source_impl picture_impl = { .read = picture_read };

static void picture_init(struct picture *p, uint32_t width, uint32_t height, uint32_t colour)
{
	*p = (struct picture){ .base = { &picture_impl, width, height } };
	for (uint32_t i = 0; i < width * height; i++)
		p->pixels[i] = colour;
}

static void on_shown(void *data, unsigned scanout, uint64_t serial)
{
	struct fixture *f = data;

	assert_true(serial > f->serial);
	f->shown++;
	f->serial = serial;
}

static void on_modes_changed(void *data)
{
	((struct fixture *)data)->modes_changed++;
}

static void start(struct fixture *f, uint32_t refresh)
{
	struct headless_options options = {
		.event = f->event,
		.modes = { { .enabled = true, .width = W, .height = H, .refresh = refresh } },
		.screen_fd = f->screen_fd,
	};

	assert_int_equal(headless_create(&options, &f->display), 0);
	f->display->listener = (struct display_listener){ on_shown, on_modes_changed, f };
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(sd_event_new(&f->event) >= 0);
	f->screen_fd = -1;
	picture_init(&f->a, W, H, 0x112233);
	picture_init(&f->b, W / 2, H / 2, 0x445566);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->display)
		f->display->impl->destroy(f->display);
	if (f->screen_fd >= 0)
		close(f->screen_fd);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static void set_source(struct fixture *f, struct picture *p)
{
	f->display->impl->set_source(f->display, 0, p ? &p->base : NULL);
}

static void flush(struct fixture *f, struct display_rect damage, uint64_t serial)
{
	f->display->impl->flush(f->display, 0, &damage, serial);
}

static void wait_shown(struct fixture *f, uint64_t serial)
{
	while (f->serial < serial)
		assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
	assert_int_equal(f->serial, serial);
}

/* Pixel (x, y) of what a person would see. */
static uint32_t see(struct fixture *f, uint32_t x, uint32_t y)
{
	uint32_t width, height, pixel;
	void *pixels;

	assert_int_equal(headless_capture(f->display, 0, &width, &height, &pixels), 0);
	assert_true(x < width && y < height);
	pixel = ((uint32_t *)pixels)[y * width + x] & 0xffffff;
	free(pixels);
	return pixel;
}

static void flushes_are_paced_and_merged(void **state)
{
	struct fixture *f = *state;
	struct headless_stats stats;

	start(f, 60000);
	set_source(f, &f->a);
	flush(f, (struct display_rect){ 0, 0, W, H }, 1);
	assert_int_equal(f->shown, 0);
	assert_int_equal(f->a.reads, 0);
	wait_shown(f, 1);
	assert_int_equal(f->a.reads, 1);

	/* Three flushes within a tick are one frame and one read, of the damage. */
	f->a.pixels[5 * W + 5] = 0xabcdef;
	f->a.pixels[20 * W + 30] = 0xfedcba;
	f->a.pixels[0] = 0x999999; /* not flushed */
	flush(f, (struct display_rect){ 5, 5, 1, 1 }, 2);
	flush(f, (struct display_rect){ 30, 20, 2, 2 }, 3);
	flush(f, (struct display_rect){ 6, 6, 1, 1 }, 4);
	wait_shown(f, 4);
	assert_int_equal(f->shown, 2);
	assert_int_equal(f->a.reads, 2);
	assert_int_equal(f->a.last.x, 5);
	assert_int_equal(f->a.last.y, 5);
	assert_int_equal(f->a.last.width, 27);
	assert_int_equal(f->a.last.height, 17);
	assert_int_equal(see(f, 5, 5), 0xabcdef);
	assert_int_equal(see(f, 30, 20), 0xfedcba);
	assert_int_equal(see(f, 0, 0), 0x112233);
	headless_get_stats(f->display, 0, &stats);
	assert_int_equal(stats.flushes, 4);
	assert_int_equal(stats.frames, 2);
	assert_int_equal(stats.bytes_read, W * H * 4 + 27 * 17 * 4);

	/* Nothing is owed: no tick comes any more. */
	assert_int_equal(sd_event_run(f->event, 100000), 0);
}

static void unpaced_flushes_cost_nothing_until_someone_looks(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	set_source(f, &f->a);
	for (uint64_t serial = 1; serial <= 1000; serial++) {
		flush(f, (struct display_rect){ 0, 0, W, H }, serial);
		assert_int_equal(f->serial, serial);
	}
	assert_int_equal(f->a.reads, 0);
	f->a.pixels[0] = 0x777777;
	assert_int_equal(see(f, 0, 0), 0x777777);
	assert_int_equal(f->a.reads, 1);
	assert_int_equal(see(f, 1, 0), 0x112233);
	assert_int_equal(f->a.reads, 1);

	/* The last chance to see it */
	f->a.pixels[1] = 0x888888;
	flush(f, (struct display_rect){ 1, 0, 1, 1 }, 1001);
	set_source(f, NULL);
	assert_int_equal(f->a.reads, 2);
	f->a.pixels[1] = 0;
	assert_int_equal(see(f, 1, 0), 0x888888);
}

static void a_new_source_is_read_whole_and_the_old_one_not(void **state)
{
	struct fixture *f = *state;
	uint32_t width, height;
	void *pixels;

	start(f, 60000);
	set_source(f, &f->a);
	flush(f, (struct display_rect){ 0, 0, W, H }, 1);
	set_source(f, &f->b);
	flush(f, (struct display_rect){ 3, 3, 1, 1 }, 2);
	wait_shown(f, 2);
	assert_int_equal(f->a.reads, 0);
	assert_int_equal(f->b.last.width, W / 2);
	assert_int_equal(f->b.last.height, H / 2);
	assert_int_equal(headless_capture(f->display, 0, &width, &height, &pixels), 0);
	assert_int_equal(width, W / 2);
	assert_int_equal(height, H / 2);
	assert_int_equal(((uint32_t *)pixels)[W / 2 * (H / 2) - 1], 0x445566);
	free(pixels);
}

static void a_flush_is_shown_when_its_source_goes(void **state)
{
	struct fixture *f = *state;

	start(f, 1); /* a tick in a thousand seconds */
	set_source(f, &f->a);
	flush(f, (struct display_rect){ 0, 0, W, H }, 1);
	assert_int_equal(f->shown, 0);
	set_source(f, NULL);
	assert_int_equal(f->serial, 1);
	assert_int_equal(see(f, 0, 0), 0x112233);
	flush(f, (struct display_rect){ 0, 0, 1, 1 }, 2); /* on nothing */
	assert_int_equal(f->serial, 2);
}

static void an_unreadable_source_does_not_stop_the_guest(void **state)
{
	struct fixture *f = *state;

	start(f, 60000);
	f->a.error = -EIO;
	set_source(f, &f->a);
	flush(f, (struct display_rect){ 0, 0, W, H }, 1);
	wait_shown(f, 1);
	assert_int_equal(f->a.reads, 1);
}

static void no_picture_no_file(void **state)
{
	struct fixture *f = *state;
	uint32_t width, height;
	void *pixels;

	start(f, 0);
	assert_int_equal(headless_capture(f->display, 0, &width, &height, &pixels), -ENOENT);
	assert_int_equal(headless_write_png(f->display, 0, "/nonexistent/x.png"), -ENOENT);
	set_source(f, &f->a);
	assert_int_equal(headless_write_png(f->display, 0, "/nonexistent/x.png"), -ENOENT);
	assert_int_equal(headless_write_png(f->display, 15, "/nonexistent/x.png"), -ENOENT);
}

static void the_cursor_lies_on_top(void **state)
{
	struct fixture *f = *state;
	static struct display_cursor cursor;

	start(f, 0);
	memset(&cursor, 0, sizeof(cursor));
	cursor.hot_x = cursor.hot_y = 7; /* of no influence on where it is */
	cursor.pixels[0] = 0xff00ff00;   /* opaque */
	cursor.pixels[1] = 0x80800000;   /* half red, premultiplied */
	cursor.pixels[64 * 64 - 1] = 0xffffffff;
	set_source(f, &f->a);
	f->display->impl->set_cursor(f->display, 0, &cursor, 10, 20);
	assert_int_equal(see(f, 10, 20), 0x00ff00);
	assert_int_equal(see(f, 11, 20), 0x881119);
	assert_int_equal(see(f, 12, 20), 0x112233);
	f->display->impl->move_cursor(f->display, 0, (uint32_t)-63, (uint32_t)-63);
	assert_int_equal(see(f, 0, 0), 0xffffff);
	f->display->impl->move_cursor(f->display, 0, W - 1, H - 1);
	assert_int_equal(see(f, W - 1, H - 1), 0x00ff00);
	/* It stays on the last picture of a guest that is gone, whatever comes after. */
	set_source(f, NULL);
	f->display->impl->set_cursor(f->display, 0, NULL, 0, 0);
	assert_int_equal(see(f, W - 1, H - 1), 0x00ff00);
	set_source(f, &f->a);
	assert_int_equal(see(f, W - 1, H - 1), 0x112233);
	/* The frame itself was never drawn into. */
	f->display->impl->move_cursor(f->display, 0, 0, 0);
	assert_int_equal(see(f, 10, 20), 0x112233);
}

static void a_png_holds_the_picture(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/headless_test.XXXXXX";
	png_image image = { .version = PNG_IMAGE_VERSION };
	static uint8_t bgr[W * H * 3];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	start(f, 0);
	for (uint32_t i = 0; i < W * H; i++)
		f->a.pixels[i] = 0xdd000000u | i * 2654435761u >> 8;
	set_source(f, &f->a);
	flush(f, (struct display_rect){ 0, 0, W, H }, 1);
	assert_int_equal(headless_write_png(f->display, 0, path), 0);
	assert_int_not_equal(png_image_begin_read_from_file(&image, path), 0);
	assert_int_equal(image.width, W);
	assert_int_equal(image.height, H);
	image.format = PNG_FORMAT_BGR;
	assert_int_not_equal(png_image_finish_read(&image, NULL, bgr, 0, NULL), 0);
	for (int i = 0; i < W * H; i++)
		assert_int_equal(bgr[i * 3] | bgr[i * 3 + 1] << 8 | bgr[i * 3 + 2] << 16,
		    f->a.pixels[i] & 0xffffff);
	unlink(path);
}

static void modes_can_change(void **state)
{
	struct fixture *f = *state;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX] = {
		{ .enabled = true, .width = 640, .height = 480 }
	};
	struct display_mode now[DISPLAY_SCANOUTS_MAX];

	start(f, 60000);
	assert_true(f->display->impl->get_modes(f->display, now, DISPLAY_ASK_EDIDS));
	assert_int_equal(now[0].width, W);
	assert_false(now[1].enabled);
	headless_set_modes(f->display, modes);
	assert_int_equal(f->modes_changed, 1);
	assert_true(f->display->impl->get_modes(f->display, now, DISPLAY_KNOWN));
	assert_int_equal(now[0].width, 640);
	/* And is unpaced now */
	set_source(f, &f->a);
	flush(f, (struct display_rect){ 0, 0, 1, 1 }, 1);
	assert_int_equal(f->serial, 1);
}

/* ---------------------------------------------------------------- somebody else's screen */

static void destroy(struct fixture *f)
{
	f->display->impl->destroy(f->display);
	f->display = NULL;
}

/* What is on the screen is there when its worker is not, and a successor draws on. */
static void a_screen_outlives_its_display(void **state)
{
	struct fixture *f = *state;
	struct display_cursor cursor = { .pixels = { 0xff00ff00 } };
	uint32_t width, height, *pixels;
	struct screen_output output;

	assert_int_equal(screen_create(&f->screen_fd), 0);
	assert_int_equal(
	    screen_capture(f->screen_fd, 0, &width, &height, (void **)&pixels), -ENOENT);
	start(f, 60000);
	set_source(f, &f->a);
	f->display->impl->set_cursor(f->display, 0, &cursor, 7, 8);
	flush(f, (struct display_rect){ 0, 0, W, H }, 1);
	wait_shown(f, 1);
	destroy(f);
	assert_int_equal(screen_capture(f->screen_fd, 0, &width, &height, (void **)&pixels), 0);
	assert_int_equal(width, W);
	assert_int_equal(height, H);
	assert_int_equal(pixels[0], 0x112233);
	assert_int_equal(pixels[8 * W + 7], 0xff00);
	free(pixels);

	/* The successor has shown nothing yet. */
	start(f, 60000);
	assert_int_equal(see(f, 0, 0), 0x112233);
	assert_int_equal(see(f, 7, 8), 0xff00);
	/* One that died in the middle of a frame does not keep it from drawing. */
	assert_int_equal(screen_read(f->screen_fd, 0, &output), 0);
	output.serial |= 1;
	assert_int_equal(
	    pwrite(f->screen_fd, &output, sizeof(output), offsetof(struct screen_head, outputs)),
	    sizeof(output));
	set_source(f, &f->b);
	flush(f, (struct display_rect){ 0, 0, W / 2, H / 2 }, 2);
	wait_shown(f, 2);
	assert_int_equal(see(f, 0, 0), 0x445566);
	/* No cursor was set on this one. */
	assert_int_equal(see(f, 7, 8), 0x445566);
	assert_int_equal(screen_read(f->screen_fd, 0, &output), 0);
	assert_int_equal(output.serial % 2, 0);
	assert_int_equal(output.width, W / 2);
}

/* Whoever watches need not ask. */
static void an_unpaced_output_is_watched(void **state)
{
	struct fixture *f = *state;
	uint32_t width, height, *pixels;

	assert_int_equal(screen_create(&f->screen_fd), 0);
	start(f, 0);
	set_source(f, &f->a);
	for (uint64_t serial = 1; serial <= 100; serial++)
		flush(f, (struct display_rect){ 0, 0, W, H }, serial);
	assert_int_equal(f->shown, 100);
	assert_int_equal(f->a.reads, 0);
	while (!f->a.reads)
		assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
	assert_int_equal(screen_capture(f->screen_fd, 0, &width, &height, (void **)&pixels), 0);
	assert_int_equal(pixels[W * H - 1], 0x112233);
	free(pixels);
	assert_int_equal(f->shown, 100);
	/* Once for all of them, and nobody is woken up for what does not change. */
	assert_int_equal(f->a.reads, 1);
	assert_int_equal(sd_event_run(f->event, 300000), 0);
	flush(f, (struct display_rect){ 0, 0, W, H }, 101);
	while (f->a.reads < 2)
		assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
}

/* Nobody resizes it, and what is larger than its slot is refused. */
static void a_screen_has_its_size(void **state)
{
	struct fixture *f = *state;
	struct screen screen;

	start(f, 0);
	assert_int_equal(screen_create(&f->screen_fd), 0);
	assert_int_equal(ftruncate(f->screen_fd, 0), -1);
	assert_int_equal(screen_open(&screen, f->screen_fd), 0);
	assert_null(screen_begin(&screen, 0, 8193, 8192));
	assert_null(screen_begin(&screen, 0, UINT32_MAX, UINT32_MAX));
	assert_null(screen_begin(&screen, 0, 0, 1));
	assert_non_null(screen_begin(&screen, 15, 8192, 1));
	assert_int_equal(screen_lose(f->screen_fd, 0, 65536, 65536, &screen), -EFBIG);
	assert_int_equal(screen_lose(f->screen_fd, 16, 1, 1, &screen), -EINVAL);
	screen_close(&screen);
	assert_true(screen_open(&screen, STDIN_FILENO) < 0);
}

/* Until the next frame, all of it. */
static void a_lost_picture_is_replaced_by_a_frame(void **state)
{
	static uint32_t lost[40 * 30];
	struct fixture *f = *state;
	uint32_t width, height, *pixels;

	assert_int_equal(screen_create(&f->screen_fd), 0);
	start(f, 60000);
	set_source(f, &f->a);
	flush(f, (struct display_rect){ 0, 0, W, H }, 1);
	wait_shown(f, 1);
	lost[0] = 0xbeef;
	assert_int_equal(screen_lose(f->screen_fd, 0, 40, 30, lost), 0);
	assert_int_equal(screen_capture(f->screen_fd, 0, &width, &height, (void **)&pixels), 0);
	assert_int_equal(width, 40);
	assert_int_equal(height, 30);
	assert_int_equal(pixels[0], 0xbeef);
	free(pixels);
	f->a.pixels[0] = 0x777777;
	flush(f, (struct display_rect){ 0, 0, 1, 1 }, 2);
	wait_shown(f, 2);
	assert_int_equal(see(f, 0, 0), 0x777777);
	assert_int_equal(see(f, W - 1, H - 1), 0x112233);
	assert_int_equal(screen_lose(f->screen_fd, 0, 40, 30, lost), 0);
	assert_int_equal(screen_find(f->screen_fd, 0), 0);
	assert_int_equal(see(f, 0, 0), 0x777777);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(flushes_are_paced_and_merged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    unpaced_flushes_cost_nothing_until_someone_looks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_new_source_is_read_whole_and_the_old_one_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_flush_is_shown_when_its_source_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    an_unreadable_source_does_not_stop_the_guest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_picture_no_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_cursor_lies_on_top, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_png_holds_the_picture, set_up, tear_down),
		cmocka_unit_test_setup_teardown(modes_can_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_screen_outlives_its_display, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_unpaced_output_is_watched, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_screen_has_its_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_lost_picture_is_replaced_by_a_frame, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
