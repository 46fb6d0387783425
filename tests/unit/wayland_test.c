/* SPDX-License-Identifier: MIT */
/* gpudom-seat in windows, on a desktop of the test's own. */
#include <drm_fourcc.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/log.h"
#include "render/wayland.h"
#include "tests/unit/fake_desktop.h"

#include <cmocka.h>

#define W 320
#define H 200

struct setup {
	struct fake_desktop desktop;
	sd_event *event;
	struct seat_backend *backend;
	const struct seat_backend_impl *impl;
	struct seat_output *output;
	unsigned flips, changes, closed;
	/* Input: a guest with a keyboard, a pointer and a touch screen */
	struct seat_input *input;
	struct seat_layout layout;
	int devices[3];
};

static void on_flipped(void *data, struct seat_output *output, uint64_t sequence, uint64_t time)
{
	((struct setup *)data)->flips++;
}

static void on_changed(void *data)
{
	((struct setup *)data)->changes++;
}

static void on_closed(void *data)
{
	((struct setup *)data)->closed++;
}

static int prepare(void **state)
{
	static const struct wayland_output outputs[] = { { "LEFT", W, H }, { "", 0, 0 } };
	struct setup *setup = calloc(1, sizeof(*setup));
	struct wayland_options options = { .outputs = outputs,
		.output_count = 2,
		.display = "desktop",
		.closed = on_closed,
		.data = setup };

	fake_desktop_start(&setup->desktop);
	assert_int_equal(sd_event_new(&setup->event), 0);
	options.event = setup->event;
	assert_int_equal(wayland_create(&options, &setup->backend), 0);
	setup->impl = setup->backend->impl;
	setup->output = setup->backend->outputs[0];
	setup->backend->listener = (struct seat_backend_listener){
		.flipped = on_flipped, .outputs_changed = on_changed, .data = setup
	};
	for (int i = 0; i < 3; i++)
		setup->devices[i] = -1;
	*state = setup;
	return 0;
}

static int clean_up(void **state)
{
	struct setup *setup = *state;

	setup->impl->destroy(setup->backend);
	seat_input_destroy(setup->input);
	for (int i = 0; i < 3; i++)
		if (setup->devices[i] >= 0)
			close(setup->devices[i]);
	sd_event_unref(setup->event);
	fake_desktop_stop(&setup->desktop);
	free(setup);
	return 0;
}

/* Runs the loop until @condition. */
#define WAIT(condition)                                                       \
	do {                                                                  \
		for (int turns = 0; !(condition); turns++) {                  \
			assert_true(turns < 600);                             \
			assert_true(sd_event_run(setup->event, 100000) >= 0); \
		}                                                             \
	} while (0)

/* What has been said is heard. */
static void settle(struct setup *setup)
{
	for (int i = 0; i < 5; i++) {
		fake_desktop_look(&setup->desktop);
		while (sd_event_run(setup->event, 1000) > 0)
			;
	}
}

static struct seat_fb *allocate(
    struct setup *setup, uint32_t width, uint32_t height, uint32_t pixel)
{
	struct seat_fb *fb;
	uint32_t *pixels;

	assert_int_equal(
	    setup->impl->allocate(setup->backend, setup->output, width, height, false, &fb), 0);
	assert_int_equal(fb->fourcc, DRM_FORMAT_XRGB8888);
	assert_true(fb->y0_top); /* or captures of it are upside down */
	pixels = setup->impl->map(setup->backend, fb);
	assert_non_null(pixels);
	assert_int_equal(pixels[0], 0);
	for (uint32_t i = 0; i < width * height; i++)
		pixels[i] = pixel;
	return fb;
}

static int show(struct setup *setup, struct seat_fb *fb, bool test)
{
	const struct seat_layer layer = { .fb = fb,
		.source = { 0, 0, fb->width, fb->height },
		.width = fb->width,
		.height = fb->height,
		.alpha = UINT16_MAX,
		.fence_fd = -1 };

	return setup->impl->commit(setup->backend, setup->output, &layer, 1, test);
}

static const struct desktop_window *look(struct setup *setup, unsigned commits)
{
	WAIT((fake_desktop_look(&setup->desktop), setup->desktop.windows[0].commits >= commits));
	return &setup->desktop.windows[0];
}

/* ---------------------------------------------------------------- showing */

static void test_outputs(void **state)
{
	struct setup *setup = *state;
	const struct seat_output *second = setup->backend->outputs[1];

	assert_int_equal(setup->backend->output_count, 2);
	assert_string_equal(setup->output->name, "LEFT");
	assert_string_equal(second->name, "WL-2");
	assert_true(setup->output->connected && second->connected);
	assert_int_equal(setup->output->mode.width, W);
	assert_int_equal(second->mode.width, 1280);
	assert_int_equal(second->mode.height, 800);
	assert_true(second->modes[0].preferred);
	assert_true(second->mode_count > 3);
	fake_desktop_look(&setup->desktop);
	assert_string_equal(setup->desktop.windows[0].title, "gpudom: LEFT");
}

static void test_frames(void **state)
{
	struct setup *setup = *state;
	struct seat_fb *a = allocate(setup, W, H, 0x112233), *b = allocate(setup, W, H, 0x445566);
	const struct desktop_window *window;

	assert_int_equal(show(setup, a, true), 0);
	fake_desktop_look(&setup->desktop);
	assert_int_equal(setup->desktop.windows[0].commits, 0);
	assert_int_equal(show(setup, a, false), 0);
	assert_int_equal(show(setup, b, false), -EBUSY);
	window = look(setup, 1);
	assert_int_equal(window->pixel, 0x112233);
	assert_int_equal(window->width, W);
	assert_int_equal(window->height, H);
	assert_true(window->opaque);
	assert_int_equal(setup->flips, 0);
	fake_desktop_repaint(&setup->desktop, true);
	WAIT(setup->flips == 1);
	/* The next one is shown when the first one is let go of */
	assert_int_equal(show(setup, b, false), 0);
	window = look(setup, 2);
	assert_int_equal(window->pixel, 0x445566);
	fake_desktop_repaint(&setup->desktop, true);
	WAIT(setup->flips == 2);
	/* The same again */
	assert_int_equal(show(setup, b, false), 0);
	look(setup, 3);
	fake_desktop_repaint(&setup->desktop, false);
	WAIT(setup->flips == 3);
	/* Nothing: black */
	assert_int_equal(setup->impl->commit(setup->backend, setup->output, NULL, 0, false), 0);
	window = look(setup, 4);
	assert_int_equal(window->pixel, 0);
	setup->impl->free(setup->backend, a);
	setup->impl->free(setup->backend, b); /* it may still be read */
	fake_desktop_repaint(&setup->desktop, true);
	WAIT(setup->flips == 4);
	settle(setup);
	setup->impl->free(setup->backend, NULL);
}

/* A window that nobody sees is never painted: the guest goes on. */
static void test_unseen(void **state)
{
	struct setup *setup = *state;
	struct seat_fb *fb = allocate(setup, W, H, 1);

	assert_int_equal(show(setup, fb, false), 0);
	WAIT(setup->flips == 1);
	assert_int_equal(show(setup, fb, false), 0);
	WAIT(setup->flips == 2);
	setup->impl->free(setup->backend, fb);
}

static void test_refusals(void **state)
{
	struct setup *setup = *state;
	struct seat_fb *small = allocate(setup, W / 2, H, 1), *fb = allocate(setup, W, H, 1), *none;
	struct seat_layer layers[2] = { { .fb = fb,
	    .source = { 0, 0, W, H },
	    .width = W,
	    .height = H,
	    .alpha = UINT16_MAX,
	    .fence_fd = -1 } };

	assert_int_equal(show(setup, small, true), -EINVAL);
	layers[1] = layers[0];
	assert_int_equal(
	    setup->impl->commit(setup->backend, setup->output, layers, 2, true), -EINVAL);
	layers[0].alpha = 100;
	assert_int_equal(
	    setup->impl->commit(setup->backend, setup->output, layers, 1, true), -EINVAL);
	layers[0] = layers[1];
	layers[0].x = 1;
	assert_int_equal(
	    setup->impl->commit(setup->backend, setup->output, layers, 1, true), -EINVAL);
	assert_int_equal(
	    setup->impl->allocate(setup->backend, setup->output, 0, 1, false, &none), -EINVAL);
	assert_int_equal(
	    setup->impl->allocate(setup->backend, setup->output, 100000, 1, false, &none), -EINVAL);
	assert_int_equal(
	    setup->impl->set_cursor(setup->backend, setup->output, NULL, 0, 0), -ENOTSUP);
	assert_int_equal(setup->impl->set_mode(setup->backend, setup->output,
			     &(struct seat_mode){ .width = 123, .height = 45 }),
	    -EINVAL);
	setup->impl->free(setup->backend, small);
	setup->impl->free(setup->backend, fb);
}

/* A worker draws into what the window shows: one copy. It cannot cut it short. */
static void test_export(void **state)
{
	struct setup *setup = *state;
	struct seat_fb *fb = allocate(setup, W, H, 1);
	size_t size;
	int fd = setup->impl->export(setup->backend, fb, &size);
	uint32_t *pixels;

	assert_true(fd >= 0);
	assert_int_equal(size, W * H * 4);
	assert_int_not_equal(ftruncate(fd, 0), 0);
	pixels = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(pixels, MAP_FAILED);
	pixels[0] = 0xabcdef;
	assert_int_equal(show(setup, fb, false), 0);
	assert_int_equal(look(setup, 1)->pixel, 0xabcdef);
	munmap(pixels, size);
	close(fd);
	setup->impl->free(setup->backend, fb);
}

/* ---------------------------------------------------------------- modes */

static void test_resize(void **state)
{
	struct setup *setup = *state;
	struct seat_fb *fb;

	for (int i = 0; i < 20; i++)
		fake_desktop_resize(&setup->desktop, 400 + i, 300);
	WAIT(setup->changes > 0);
	settle(setup);
	assert_int_equal(setup->changes, 1);
	assert_int_equal(setup->output->mode.width, 419);
	assert_int_equal(setup->output->mode.height, 300);
	assert_int_equal(setup->output->modes[0].width, 419);
	fb = allocate(setup, 419, 300, 7);
	assert_int_equal(show(setup, fb, false), 0);
	assert_int_equal(look(setup, 1)->width, 419);
	setup->impl->free(setup->backend, fb);
	/* The guest takes another one */
	assert_int_equal(setup->impl->set_mode(setup->backend, setup->output,
			     &(struct seat_mode){ .width = 1024, .height = 768 }),
	    0);
	assert_int_equal(setup->output->mode.width, 1024);
	assert_int_equal(
	    setup->impl->set_mode(setup->backend, setup->output, &(struct seat_mode){ 0 }), 0);
	assert_int_equal(
	    setup->impl->commit(setup->backend, setup->output, NULL, 0, false), -ENODEV);
}

static void test_close(void **state)
{
	struct setup *setup = *state;
	struct seat_fb *fb = allocate(setup, W, H, 7);

	assert_int_equal(show(setup, fb, false), 0);
	fake_desktop_close_window(&setup->desktop, 0);
	WAIT(setup->changes == 1);
	assert_false(setup->output->connected);
	assert_int_equal(setup->closed, 0);
	assert_int_equal(show(setup, fb, false), -ENODEV);
	setup->impl->free(setup->backend, fb);
	fake_desktop_close_window(&setup->desktop, 1);
	WAIT(setup->closed == 1);
	assert_int_equal(setup->changes, 2);
}

static void test_desktop_ends(void **state)
{
	struct setup *setup = *state;
	struct seat_fb *fb = allocate(setup, W, H, 7), *none;

	assert_int_equal(show(setup, fb, false), 0);
	fake_desktop_stop(&setup->desktop);
	WAIT(setup->closed == 1);
	assert_false(setup->output->connected);
	assert_int_equal(show(setup, fb, false), -ENODEV);
	assert_int_equal(
	    setup->impl->allocate(setup->backend, setup->output, W, H, false, &none), -ENODEV);
	setup->impl->free(setup->backend, fb);
}

static void test_no_desktop(void **state)
{
	struct wayland_options options = { .display = "nowhere" };
	struct seat_backend *backend;

	assert_int_equal(sd_event_new(&options.event), 0);
	assert_true(wayland_create(&options, &backend) < 0);
	sd_event_unref(options.event);
}

/* ---------------------------------------------------------------- input */

static void add_guest(struct setup *setup)
{
	static const enum seat_input_kind kinds[] = { SEAT_INPUT_KEYBOARD, SEAT_INPUT_POINTER,
		SEAT_INPUT_TOUCH };
	const struct seat_input_options options = { .event = setup->event,
		.config = seat_input_config_default };

	assert_int_equal(seat_input_create(&options, &setup->input), 0);
	setup->layout = (struct seat_layout){
		.places = { { .name = "LEFT", .width = W, .height = H, .on = true } },
		.place_count = 1,
		.views = { { .guest = "clock",
		    .width = W,
		    .height = H,
		    .alpha = UINT16_MAX,
		    .visible = true } },
		.view_count = 1,
		.generation = 1,
	};
	for (unsigned i = 0; i < 3; i++) {
		int pair[2];

		assert_int_equal(
		    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
		setup->devices[i] = pair[0];
		assert_int_equal(seat_input_attach(setup->input, "clock", i, kinds[i], pair[1]), 0);
	}
	seat_input_set_layout(setup->input, &setup->layout);
	assert_int_equal(seat_input_set_focus(setup->input, "clock"), 0);
	wayland_set_input(setup->backend, setup->input);
	settle(setup);
}

/* The value of the last such event that a device of the guest's gets. */
static int32_t get(struct setup *setup, unsigned device, uint16_t type, uint16_t code)
{
	struct seat_input_packet packet;

	for (;;) {
		int32_t value = INT32_MIN;

		WAIT(recv(setup->devices[device], &packet, sizeof(packet), MSG_DONTWAIT) > 0);
		for (unsigned i = 0; i < packet.count; i++)
			if (packet.events[i].type == type && packet.events[i].code == code)
				value = packet.events[i].value;
		if (value != INT32_MIN)
			return value;
	}
}

static void test_input(void **state)
{
	struct setup *setup = *state;

	add_guest(setup);
	fake_desktop_key(&setup->desktop, KEY_A, true);
	assert_int_equal(get(setup, 0, EV_KEY, KEY_A), 1);
	/* The window is not in front any more: nothing stays down */
	fake_desktop_leave(&setup->desktop);
	assert_int_equal(get(setup, 0, EV_KEY, KEY_A), 0);
	fake_desktop_move(&setup->desktop, W / 2.0, H / 4.0);
	assert_in_range(get(setup, 1, EV_ABS, ABS_X), 16300, 16500);
	fake_desktop_button(&setup->desktop, BTN_LEFT, true);
	assert_int_equal(get(setup, 1, EV_KEY, BTN_LEFT), 1);
	fake_desktop_button(&setup->desktop, BTN_LEFT, false);
	assert_int_equal(get(setup, 1, EV_KEY, BTN_LEFT), 0);
	/* Towards the user: down */
	fake_desktop_scroll(&setup->desktop, 1);
	assert_int_equal(get(setup, 1, EV_REL, REL_WHEEL_HI_RES), -120);
	fake_desktop_touch(&setup->desktop, 77, W / 4.0, H / 2.0);
	assert_in_range(get(setup, 2, EV_ABS, ABS_MT_POSITION_X), 8100, 8300);
	fake_desktop_touch_up(&setup->desktop, 77);
	assert_int_equal(get(setup, 2, EV_ABS, ABS_MT_TRACKING_ID), -1);
	/* A window that is closed has no fingers on it */
	fake_desktop_touch(&setup->desktop, 78, W / 4.0, H / 2.0);
	assert_true(get(setup, 2, EV_ABS, ABS_MT_TRACKING_ID) >= 0);
	fake_desktop_close_window(&setup->desktop, 0);
	assert_int_equal(get(setup, 2, EV_ABS, ABS_MT_TRACKING_ID), -1);
	wayland_set_input(setup->backend, NULL);
	fake_desktop_key(&setup->desktop, KEY_A, true);
	settle(setup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)
		TEST(test_outputs),
		TEST(test_frames),
		TEST(test_unseen),
		TEST(test_refusals),
		TEST(test_export),
		TEST(test_resize),
		TEST(test_close),
		TEST(test_desktop_ends),
		cmocka_unit_test(test_no_desktop),
		TEST(test_input),
	};

	log_init(LOG_LEVEL_ERROR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
