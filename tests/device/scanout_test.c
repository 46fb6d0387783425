/* SPDX-License-Identifier: MIT */
/* 2D from the driver's queue to the pixels on the display, over the real path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/loopback/loopback_stack.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define RGB(pixel) ((pixel)&0xffffff)

static int start(void **state)
{
	const struct loopback_worker_options options = { .scanouts = 3 };

	*state = loopback_stack_start(&options, NULL);
	return 0;
}

static int finish(void **state)
{
	loopback_stack_stop(*state);
	return 0;
}

/* A pixel that tells where it is. */
static uint32_t pattern(uint32_t x, uint32_t y)
{
	return (x * 7 & 0xff) << 16 | (y * 11 & 0xff) << 8 | ((x ^ y) & 0xff);
}

static void fill_pattern(struct loopback_backing *backing, uint32_t width, uint32_t height)
{
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			loopback_backing_set(backing, ((size_t)y * width + x) * 4, pattern(x, y));
}

static void frame_reaches_the_display(void **state)
{
	struct loopback_stack *stack = *state;
	/* Rows end within pages, so that pieces of the backing are cut. */
	const uint32_t width = 333, height = 77;
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, width, height, 0);

	fill_pattern(backing, width, height);
	assert_int_equal(loopback_gpu_transfer_2d(&stack->gpu, 1, 0, 0, width, height, 0), OK);
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, width, height), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, width, height), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, width, height);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			assert_int_equal(RGB(pixels[y * width + x]), pattern(x, y));
	free(pixels);
	assert_int_equal(loopback_worker_statistics(&stack->worker).frames, 1);
	loopback_backing_destroy(backing);
}

static void damage_alone_is_transferred_and_shown(void **state)
{
	struct loopback_stack *stack = *state;
	const uint32_t width = 128, height = 96, x0 = 17, y0 = 40, w = 31, h = 13;
	struct loopback_backing *backing =
	    loopback_stack_picture(stack, 1, BGRX, width, height, 0x112233);

	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, width, height), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, width, height), OK);
	fill_pattern(backing, width, height);
	uint64_t offset = ((uint64_t)y0 * width + x0) * 4;
	assert_int_equal(loopback_gpu_transfer_2d(&stack->gpu, 1, x0, y0, w, h, offset), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, x0, y0, w, h), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, width, height);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++) {
			bool inside = x >= x0 && x < x0 + w && y >= y0 && y < y0 + h;
			assert_int_equal(
			    RGB(pixels[y * width + x]), inside ? pattern(x, y) : 0x112233);
		}
	free(pixels);
	loopback_backing_destroy(backing);
}

static void scanout_shows_its_rectangle(void **state)
{
	struct loopback_stack *stack = *state;
	const uint32_t width = 64, height = 64;
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, width, height, 0);

	fill_pattern(backing, width, height);
	assert_int_equal(loopback_gpu_transfer_2d(&stack->gpu, 1, 0, 0, width, height, 0), OK);
	/* Two outputs look at two parts of one resource, as Xorg has it. */
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, 40, 64), OK);
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 1, 1, 40, 10, 24, 50), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, width, height), OK);
	uint32_t *left = loopback_stack_capture(stack, 0, 40, 64);
	uint32_t *right = loopback_stack_capture(stack, 1, 24, 50);
	assert_int_equal(RGB(left[0]), pattern(0, 0));
	assert_int_equal(RGB(left[63 * 40 + 39]), pattern(39, 63));
	assert_int_equal(RGB(right[0]), pattern(40, 10));
	assert_int_equal(RGB(right[49 * 24 + 23]), pattern(63, 59));
	free(left);
	free(right);
	loopback_backing_destroy(backing);
}

static void all_formats_keep_their_colours(void **state)
{
	struct loopback_stack *stack = *state;
	/* The bytes in memory of red 0x80, green 0x40, blue 0x20, alpha 0xff */
	static const struct {
		uint32_t format;
		uint8_t bytes[4];
	} formats[] = {
		{ VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, { 0x20, 0x40, 0x80, 0xff } },
		{ VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, { 0x20, 0x40, 0x80, 0xff } },
		{ VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, { 0xff, 0x80, 0x40, 0x20 } },
		{ VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, { 0xff, 0x80, 0x40, 0x20 } },
		{ VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, { 0x80, 0x40, 0x20, 0xff } },
		{ VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, { 0xff, 0x20, 0x40, 0x80 } },
		{ VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, { 0xff, 0x20, 0x40, 0x80 } },
		{ VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, { 0x80, 0x40, 0x20, 0xff } },
	};

	for (uint32_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		uint32_t word;
		memcpy(&word, formats[i].bytes, sizeof(word));
		struct loopback_backing *backing =
		    loopback_stack_picture(stack, 1 + i, formats[i].format, 16, 16, word);
		assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1 + i, 0, 0, 16, 16), OK);
		assert_int_equal(loopback_gpu_flush(&stack->gpu, 1 + i, 0, 0, 16, 16), OK);
		uint32_t *pixels = loopback_stack_capture(stack, 0, 16, 16);
		for (uint32_t p = 0; p < 256; p++)
			assert_int_equal(RGB(pixels[p]), 0x804020);
		free(pixels);
		loopback_backing_destroy(backing);
	}
}

static void scanouts_are_apart(void **state)
{
	struct loopback_stack *stack = *state;
	static const uint32_t colours[3] = { 0xff0000, 0x00ff00, 0x0000ff };
	struct loopback_backing *backings[3];

	for (uint32_t i = 0; i < 3; i++) {
		backings[i] = loopback_stack_picture(stack, 1 + i, BGRX, 32, 32, colours[i]);
		assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, i, 1 + i, 0, 0, 32, 32), OK);
		assert_int_equal(loopback_gpu_flush(&stack->gpu, 1 + i, 0, 0, 32, 32), OK);
	}
	/* Resource 0 switches the middle one off; the others go on. */
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 1, 0, 0, 0, 0, 0), OK);
	for (uint32_t i = 0; i < 3; i += 2) {
		uint32_t *pixels = loopback_stack_capture(stack, i, 32, 32);
		assert_int_equal(RGB(pixels[0]), colours[i]);
		free(pixels);
	}
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 3, 1, 0, 0, 32, 32),
	    VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	for (uint32_t i = 0; i < 3; i++)
		loopback_backing_destroy(backings[i]);
}

static void cursor_is_drawn_and_moves(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *screen =
	    loopback_stack_picture(stack, 1, BGRX, 200, 200, 0x000000);
	struct loopback_backing *cursor =
	    loopback_stack_picture(stack, 2, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 64, 64, 0x00000000);

	/* One opaque white pixel at the hot spot (5, 6); the rest is transparent. The position is
	 * that of the image's corner, as Linux has it. */
	loopback_backing_set(cursor, (6 * 64 + 5) * 4, 0xffffffff);
	assert_int_equal(loopback_gpu_transfer_2d(&stack->gpu, 2, 0, 0, 64, 64, 0), OK);
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, 200, 200), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, 200, 200), OK);

	assert_int_equal(loopback_gpu_update_cursor(&stack->gpu, 0, 2, 95, 44, 5, 6), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, 200, 200);
	assert_int_equal(RGB(pixels[50 * 200 + 100]), 0xffffff);
	assert_int_equal(RGB(pixels[50 * 200 + 101]), 0x000000);
	free(pixels);

	assert_int_equal(loopback_gpu_move_cursor(&stack->gpu, 0, 15, 24), OK);
	pixels = loopback_stack_capture(stack, 0, 200, 200);
	assert_int_equal(RGB(pixels[30 * 200 + 20]), 0xffffff);
	assert_int_equal(RGB(pixels[50 * 200 + 100]), 0x000000);
	free(pixels);

	/* Resource 0 hides it. */
	assert_int_equal(loopback_gpu_update_cursor(&stack->gpu, 0, 0, 15, 24, 0, 0), OK);
	pixels = loopback_stack_capture(stack, 0, 200, 200);
	assert_int_equal(RGB(pixels[30 * 200 + 20]), 0x000000);
	free(pixels);
	loopback_backing_destroy(screen);
	loopback_backing_destroy(cursor);
}

static void guest_blob_is_scanned_out(void **state)
{
	struct loopback_stack *stack = *state;
	const uint32_t width = 50, height = 40, stride = 256, offset = 512;
	struct loopback_backing *backing = loopback_backing_create(
	    &stack->frontend.memory, offset + stride * height, LOOPBACK_PAGE);

	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			loopback_backing_set(
			    backing, offset + (size_t)y * stride + x * 4, pattern(x, y));
	assert_int_equal(loopback_gpu_create_blob(
			     &stack->gpu, 7, 0, VIRTIO_GPU_BLOB_MEM_GUEST, backing->size, backing),
	    OK);
	assert_int_equal(
	    loopback_gpu_set_scanout_blob(&stack->gpu, 0, 7, BGRX, width, height, stride, offset),
	    OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 7, 0, 0, width, height), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, width, height);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			assert_int_equal(RGB(pixels[y * width + x]), pattern(x, y));
	free(pixels);

	/* The guest draws on, without a transfer. */
	loopback_backing_set(backing, offset, 0x00abcdef);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 7, 0, 0, width, height), OK);
	pixels = loopback_stack_capture(stack, 0, width, height);
	assert_int_equal(RGB(pixels[0]), 0xabcdef);
	free(pixels);
	assert_int_equal(loopback_gpu_unref(&stack->gpu, 7), OK);
	assert_int_equal(loopback_worker_statistics(&stack->worker).backing_bytes, 0);
	loopback_backing_destroy(backing);
}

static void display_info_and_edid_describe_the_modes(void **state)
{
	struct loopback_stack *stack = *state;
	struct virtio_gpu_resp_display_info info;
	struct virtio_gpu_resp_edid edid;
	struct virtio_gpu_config config;

	assert_int_equal(
	    loopback_frontend_get_config(&stack->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(config.num_scanouts, 3);
	assert_int_equal(
	    loopback_gpu_get_display_info(&stack->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	for (unsigned i = 0; i < VIRTIO_GPU_MAX_SCANOUTS; i++)
		assert_int_equal(info.pmodes[i].enabled, i < 3);
	assert_int_equal(info.pmodes[2].r.x, 2048);
	assert_int_equal(info.pmodes[2].r.width, 1024);
	assert_int_equal(info.pmodes[2].r.height, 768);

	assert_int_equal(loopback_gpu_get_edid(&stack->gpu, 2, &edid), VIRTIO_GPU_RESP_OK_EDID);
	assert_true(edid.size >= 128 && edid.size <= 1024);
	assert_memory_equal(edid.edid, "\0\xff\xff\xff\xff\xff\xff\0", 8);
	for (unsigned block = 0; block < edid.size; block += 128) {
		uint8_t sum = 0;
		for (unsigned i = 0; i < 128; i++)
			sum = (uint8_t)(sum + edid.edid[block + i]);
		assert_int_equal(sum, 0);
	}
	/* The first detailed timing: 1024 by 768 active pixels */
	assert_int_equal(edid.edid[54 + 2] | (edid.edid[54 + 4] & 0xf0) << 4, 1024);
	assert_int_equal(edid.edid[54 + 5] | (edid.edid[54 + 7] & 0xf0) << 4, 768);
	assert_int_equal(
	    loopback_gpu_get_edid(&stack->gpu, 3, &edid), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
}

static void new_modes_raise_the_display_event(void **state)
{
	struct loopback_stack *stack = *state;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX] = {
		{ .enabled = true, .width = 1600, .height = 900 },
	};
	struct virtio_gpu_config config;
	struct virtio_gpu_resp_display_info info;

	assert_int_equal(
	    loopback_frontend_get_config(&stack->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(config.events_read, 0);
	loopback_worker_set_modes(&stack->worker, modes);
	assert_int_equal(loopback_frontend_wait_config(&stack->frontend, 1), 0);
	assert_int_equal(
	    loopback_frontend_get_config(&stack->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(config.events_read, VIRTIO_GPU_EVENT_DISPLAY);
	assert_int_equal(
	    loopback_gpu_get_display_info(&stack->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[0].r.width, 1600);
	assert_int_equal(info.pmodes[1].enabled, 0);
	/* "Writing to events_clear will clear any pending events in events_read" */
	uint32_t clear = VIRTIO_GPU_EVENT_DISPLAY;
	assert_int_equal(
	    loopback_frontend_set_config(&stack->frontend,
		offsetof(struct virtio_gpu_config, events_clear), &clear, sizeof(clear)),
	    0);
	assert_int_equal(
	    loopback_frontend_get_config(&stack->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(config.events_read, 0);
}

static void uuid_is_unique_and_stays(void **state)
{
	struct loopback_stack *stack = *state;
	uint8_t first[16], again[16], other[16];

	assert_int_equal(loopback_gpu_create_2d(&stack->gpu, 1, BGRX, 4, 4), OK);
	assert_int_equal(loopback_gpu_create_2d(&stack->gpu, 2, BGRX, 4, 4), OK);
	assert_int_equal(
	    loopback_gpu_assign_uuid(&stack->gpu, 1, first), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	assert_int_equal(
	    loopback_gpu_assign_uuid(&stack->gpu, 1, again), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	assert_int_equal(
	    loopback_gpu_assign_uuid(&stack->gpu, 2, other), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	assert_memory_equal(first, again, 16);
	assert_memory_not_equal(first, other, 16);
	assert_int_equal(loopback_gpu_assign_uuid(&stack->gpu, 3, other),
	    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

static void resource_is_scanned_out_until_it_goes(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, 32, 32, 0x445566);

	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, 32, 32), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, 32, 32), OK);
	/* The host's copy is shown, so the backing may go while it is. */
	assert_int_equal(loopback_gpu_detach_backing(&stack->gpu, 1), OK);
	loopback_backing_fill(backing, 0);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, 32, 32), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, 32, 32);
	assert_int_equal(RGB(pixels[17]), 0x445566);
	free(pixels);
	assert_int_equal(loopback_gpu_unref(&stack->gpu, 1), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, 32, 32),
	    VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	/* The id and the scan-out are free for another. */
	struct loopback_backing *next = loopback_stack_picture(stack, 1, BGRX, 16, 16, 0x778899);
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, 16, 16), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, 16, 16), OK);
	pixels = loopback_stack_capture(stack, 0, 16, 16);
	assert_int_equal(RGB(pixels[255]), 0x778899);
	free(pixels);
	loopback_backing_destroy(backing);
	loopback_backing_destroy(next);
}

static int start_paced(void **state)
{
	const struct loopback_worker_options options = {
		.modes = { { .enabled = true, .width = 64, .height = 64, .refresh = 200000 } },
	};

	*state = loopback_stack_start(&options, NULL);
	return 0;
}

static void fenced_flush_waits_for_the_frame(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, 64, 64, 0x123456);

	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, 64, 64), OK);
	for (uint64_t frame = 1; frame <= 3; frame++) {
		loopback_gpu_fence_next(&stack->gpu, frame);
		assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, 64, 64), OK);
		assert_int_equal(stack->gpu.response.flags, VIRTIO_GPU_FLAG_FENCE);
		assert_int_equal(stack->gpu.response.fence_id, frame);
		/* Answered, so it is on the screen. */
		assert_int_equal(loopback_worker_statistics(&stack->worker).frames, frame);
	}
	loopback_backing_destroy(backing);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frame_reaches_the_display),
		TEST(damage_alone_is_transferred_and_shown),
		TEST(scanout_shows_its_rectangle),
		TEST(all_formats_keep_their_colours),
		TEST(scanouts_are_apart),
		TEST(cursor_is_drawn_and_moves),
		TEST(guest_blob_is_scanned_out),
		TEST(display_info_and_edid_describe_the_modes),
		TEST(new_modes_raise_the_display_event),
		TEST(uuid_is_unique_and_stays),
		TEST(resource_is_scanned_out_until_it_goes),
		cmocka_unit_test_setup_teardown(
		    fenced_flush_waits_for_the_frame, start_paced, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
