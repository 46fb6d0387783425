/* SPDX-License-Identifier: MIT */
/* Frames of the real worker in the front end's window (vhost-user-gpu's display socket). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_virgl.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM

struct window {
	struct loopback_process process;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct loopback_display *display;
};

static int start_with(void **state, const char *renderer)
{
	struct window *window = calloc(1, sizeof(*window));
	const struct loopback_options options = { .gpu_socket = true };
	char path[512];
	const char *const argv[] = { path, "--fd={fd}", renderer, "--display=frontend", NULL };

	loopback_process_path("gpudom-worker", path, sizeof(path));
	assert_int_equal(loopback_process_spawn(&window->process, argv, true), 0);
	assert_int_equal(loopback_frontend_init(&window->frontend, &options), 0);
	window->display = &window->frontend.display;
	window->display->scanouts = 2;
	window->display->width = 800;
	window->display->height = 600;
	assert_int_equal(loopback_frontend_connect(&window->frontend, window->process.socket), 0);
	window->process.socket = -1;
	loopback_gpu_init(&window->gpu, &window->frontend);
	*state = window;
	return 0;
}

static int start(void **state)
{
	return start_with(state, "--renderer=soft");
}

static int start_virgl(void **state)
{
	return start_with(state, "--renderer=virgl");
}

static int stop(void **state)
{
	struct window *window = *state;

	loopback_frontend_finish(&window->frontend);
	loopback_process_end(&window->process, SIGKILL);
	free(window);
	return 0;
}

static uint32_t pixel(const struct window *window, unsigned scanout, uint32_t x, uint32_t y)
{
	const struct loopback_picture *picture = &window->display->pictures[scanout];

	assert_non_null(picture->pixels);
	return picture->pixels[y * picture->width + x] & 0xffffff;
}

/* A flush that is answered has been handed over; here it has arrived, too. */
static void flush(struct window *window, uint32_t id, uint32_t x, uint32_t y, uint32_t size)
{
	unsigned updates = window->display->updates;

	loopback_gpu_fence_next(&window->gpu, 1);
	assert_int_equal(loopback_gpu_flush(&window->gpu, id, x, y, size, size), OK);
	assert_int_equal(loopback_frontend_wait_display(
			     &window->frontend, &window->display->updates, updates + 1),
	    0);
}

static void modes_are_the_windows(void **state)
{
	struct window *window = *state;
	struct virtio_gpu_resp_display_info info;

	assert_int_equal(
	    loopback_gpu_get_display_info(&window->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[0].enabled, 1);
	assert_int_equal(info.pmodes[0].r.width, 800);
	assert_int_equal(info.pmodes[0].r.height, 600);
	/* A window that was resized: asked again, it says so. */
	window->display->width = 1280;
	assert_int_equal(
	    loopback_gpu_get_display_info(&window->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[0].r.width, 1280);
}

static void frame_arrives_and_then_its_damage(void **state)
{
	struct window *window = *state;
	struct loopback_backing *backing =
	    loopback_backing_create(&window->frontend.memory, 64 * 64 * 4, LOOPBACK_PAGE);

	loopback_backing_fill(backing, 0x00112233);
	assert_int_equal(loopback_gpu_create_2d(&window->gpu, 1, BGRX, 64, 64), OK);
	assert_int_equal(loopback_gpu_attach_backing(&window->gpu, 1, backing), OK);
	assert_int_equal(loopback_gpu_transfer_2d(&window->gpu, 1, 0, 0, 64, 64, 0), OK);
	assert_int_equal(loopback_gpu_set_scanout(&window->gpu, 0, 1, 0, 0, 64, 64), OK);
	flush(window, 1, 0, 0, 64);
	assert_int_equal(window->display->pictures[0].width, 64);
	assert_int_equal(pixel(window, 0, 0, 0), 0x112233);
	assert_int_equal(pixel(window, 0, 63, 63), 0x112233);

	/* All of it changes, but a square is flushed. */
	loopback_backing_fill(backing, 0x00445566);
	assert_int_equal(loopback_gpu_transfer_2d(&window->gpu, 1, 0, 0, 64, 64, 0), OK);
	flush(window, 1, 10, 20, 8);
	assert_int_equal(pixel(window, 0, 10, 20), 0x445566);
	assert_int_equal(pixel(window, 0, 17, 27), 0x445566);
	assert_int_equal(pixel(window, 0, 9, 20), 0x112233);
	assert_int_equal(pixel(window, 0, 18, 28), 0x112233);
	loopback_backing_destroy(backing);
}

static void cursor_arrives(void **state)
{
	struct window *window = *state;
	struct loopback_backing *backing =
	    loopback_backing_create(&window->frontend.memory, 64 * 64 * 4, LOOPBACK_PAGE);

	loopback_backing_fill(backing, 0xff00ff00);
	assert_int_equal(loopback_gpu_create_2d(&window->gpu, 1, BGRA, 64, 64), OK);
	assert_int_equal(loopback_gpu_attach_backing(&window->gpu, 1, backing), OK);
	assert_int_equal(loopback_gpu_transfer_2d(&window->gpu, 1, 0, 0, 64, 64, 0), OK);
	assert_int_equal(loopback_gpu_update_cursor(&window->gpu, 0, 1, 30, 40, 3, 4), OK);
	assert_int_equal(
	    loopback_frontend_wait_display(&window->frontend, &window->display->cursors, 1), 0);
	assert_true(window->display->cursor_visible);
	assert_int_equal(window->display->cursor[2000], 0xff00ff00);
	assert_int_equal(window->display->cursor_hot_x, 3);
	assert_int_equal(window->display->cursor_hot_y, 4);
	loopback_backing_destroy(backing);
}

static void rendered_frame_arrives(void **state)
{
	struct window *window = *state;
	static const float blue[4] = { 0, 0, 1, 1 };
	struct loopback_virgl virgl;

	assert_int_equal(loopback_gpu_ctx_create(&window->gpu, 1, 0, "test"), OK);
	assert_int_equal(virgl_create_target(&window->gpu, 1, BGRA, 64, 64), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&window->gpu, 1, 1), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 1, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	virgl_clear(&virgl, blue);
	assert_int_equal(virgl_submit(&window->gpu, 1, &virgl), OK);
	assert_int_equal(loopback_gpu_set_scanout(&window->gpu, 0, 1, 0, 0, 64, 64), OK);
	/* Where GL can export it, it is a dma-buf, and its pixels the window's business. */
	loopback_gpu_fence_next(&window->gpu, 1);
	assert_int_equal(loopback_gpu_flush(&window->gpu, 1, 0, 0, 64, 64), OK);
	while (!window->display->updates && !window->display->dmabuf_updates)
		assert_int_equal(loopback_frontend_wait_display(&window->frontend,
				     window->display->dmabufs ? &window->display->dmabuf_updates
							      : &window->display->updates,
				     1),
		    0);
	if (window->display->updates)
		assert_int_equal(pixel(window, 0, 33, 44), 0x0000ff);
}

static void window_that_closes_does_not_end_the_guest(void **state)
{
	struct window *window = *state;
	struct virtio_gpu_resp_display_info info;

	loopback_display_finish(window->display);
	for (int i = 0; i < 3; i++)
		assert_int_equal(loopback_gpu_get_display_info(&window->gpu, &info),
		    VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(loopback_gpu_create_2d(&window->gpu, 1, BGRX, 64, 64), OK);
	assert_int_equal(loopback_gpu_set_scanout(&window->gpu, 0, 1, 0, 0, 64, 64), OK);
	loopback_gpu_fence_next(&window->gpu, 1);
	assert_int_equal(loopback_gpu_flush(&window->gpu, 1, 0, 0, 64, 64), OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(modes_are_the_windows),
		TEST(frame_arrives_and_then_its_damage),
		TEST(cursor_arrives),
		cmocka_unit_test_setup_teardown(rendered_frame_arrives, start_virgl, stop),
		TEST(window_that_closes_does_not_end_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
