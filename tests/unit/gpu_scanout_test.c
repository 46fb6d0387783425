/* SPDX-License-Identifier: MIT */
/* virtio-gpu: scan-outs, what the display reads from them, and cursors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/gpu_rig.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BAD_SCANOUT VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define XRGB VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

/* Resource 1 of 64 x 32 */
static int setup(void **state)
{
	struct rig *rig = rig_create();

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	return 0;
}

/* The first byte of the pixel that the display reads at x, y of a scan-out. */
static uint8_t pixel_at(struct rig *rig, unsigned scanout, uint32_t x, uint32_t y)
{
	struct display_source *source = rig->display.sources[scanout];
	const struct display_rect rect = { .x = x, .y = y, .width = 1, .height = 1 };
	uint8_t pixel[4];

	assert_int_equal(source->impl->read(source, &rect, pixel, sizeof(pixel)), 0);
	return pixel[0];
}

/* ---------------------------------------------------------------- scan-outs */

static void test_scanout_16_and_more(void **state)
{
	struct rig *rig = *state;
	static const uint32_t scanouts[] = { RIG_SCANOUTS, 15, 16, 17, 0x80000000, UINT32_MAX };

	for (size_t i = 0; i < sizeof(scanouts) / sizeof(scanouts[0]); i++) {
		struct virtio_gpu_set_scanout_blob blob = {
			.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, .scanout_id = scanouts[i]
		};
		struct virtio_gpu_update_cursor cursor = { .hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR,
			.pos.scanout_id = scanouts[i] };

		assert_int_equal(rig_set_scanout(rig, scanouts[i], 1, 0, 0, 64, 32), BAD_SCANOUT);
		assert_int_equal(rig_set_scanout(rig, scanouts[i], 0, 0, 0, 0, 0), BAD_SCANOUT);
		assert_int_equal(rig_command(rig, blob), BAD_SCANOUT);
		assert_int_equal(
		    rig_command_on(rig, RIG_CURSOR, &cursor, sizeof(cursor)), BAD_SCANOUT);
		cursor.hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR;
		assert_int_equal(
		    rig_command_on(rig, RIG_CURSOR, &cursor, sizeof(cursor)), BAD_SCANOUT);
	}
	assert_int_equal(rig_set_scanout(rig, 2, 1, 0, 0, 64, 32), OK);
	assert_true(rig_works(rig));
}

static void test_all_16_scanouts(void **state)
{
	struct rig *rig = rig_create_with(NULL, true, 16);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(rig_set_scanout(rig, i, 1, i, i, 1, 1), OK);
	assert_int_equal(rig_set_scanout(rig, 16, 1, 0, 0, 1, 1), BAD_SCANOUT);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(pixel_at(rig, i, 0, 0), fake_pixel_byte(1, i, i));
	assert_int_equal(rig_flush(rig, 1, 0, 0, 64, 32), OK);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(rig->display.flushes[i], 1);
	rig_destroy(rig);
}

static void test_rectangles_that_wrap(void **state)
{
	struct rig *rig = *state;
	static const struct {
		uint32_t x, y, width, height;
	} bad[] = { { 0, 0, 65, 32 }, { 0, 0, 64, 33 }, { 1, 0, 64, 32 }, { 0, 1, 64, 32 },
		{ UINT32_MAX, 0, 2, 1 }, { 0, UINT32_MAX, 1, 2 }, { 64, 32, 0, 0 }, { 0, 0, 0, 0 },
		{ 2, 2, UINT32_MAX, UINT32_MAX }, { 0x80000000, 0, 0x80000000, 1 } };

	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
		    rig_set_scanout(rig, 0, 1, bad[i].x, bad[i].y, bad[i].width, bad[i].height),
		    BAD_PARAMETER);
		assert_int_equal(rig_flush(rig, 1, bad[i].x, bad[i].y, bad[i].width, bad[i].height),
		    BAD_PARAMETER);
	}
	/* What was there before stays */
	assert_int_equal(rig->display.sources[0]->width, 64);
	assert_int_equal(rig->display.flushes[0], 0);
	assert_true(rig_works(rig));
}

static void test_source_is_the_rectangle(void **state)
{
	struct rig *rig = *state;
	struct display_source *source;
	uint8_t pixels[2][16];

	assert_int_equal(rig_set_scanout(rig, 1, 1, 10, 20, 30, 12), OK);
	assert_null(rig->display.sources[0]);
	source = rig->display.sources[1];
	assert_int_equal(source->width, 30);
	assert_int_equal(source->height, 12);
	assert_int_equal(source->impl->read(source,
			     &(struct display_rect){ .x = 3, .y = 4, .width = 2, .height = 2 },
			     pixels, sizeof(pixels[0])),
	    0);
	assert_int_equal(pixels[0][0], fake_pixel_byte(1, 13, 24));
	assert_int_equal(pixels[1][4], fake_pixel_byte(1, 14, 25));
	/* Damage is clipped to it, and counts from its corner */
	assert_int_equal(rig_flush(rig, 1, 5, 25, 10, 7), OK);
	assert_int_equal(rig->display.damage[1].x, 0);
	assert_int_equal(rig->display.damage[1].y, 5);
	assert_int_equal(rig->display.damage[1].width, 5);
	assert_int_equal(rig->display.damage[1].height, 7);
	assert_int_equal(rig_flush(rig, 1, 12, 0, 52, 32), OK);
	assert_int_equal(rig->display.damage[1].x, 2);
	assert_int_equal(rig->display.damage[1].width, 28);
	assert_int_equal(rig->display.damage[1].height, 12);
}

static void test_resource_0_disables(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	assert_non_null(rig->display.sources[0]);
	/* Its rectangle is of no interest */
	assert_int_equal(rig_set_scanout(rig, 0, 0, 9, 9, UINT32_MAX, UINT32_MAX), OK);
	assert_null(rig->display.sources[0]);
	assert_int_equal(rig_set_scanout(rig, 0, 0, 0, 0, 0, 0), OK);
	assert_int_equal(rig_flush(rig, 1, 0, 0, 64, 32), OK);
	assert_int_equal(rig->display.flushes[0], 0);
}

static void test_page_flip(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_create_2d(rig, 2, XRGB, 64, 32), OK);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(rig_set_scanout(rig, 0, 1 + i % 2, 0, 0, 64, 32), OK);
		assert_int_equal(pixel_at(rig, 0, 5, 6), fake_pixel_byte(1 + i % 2, 5, 6));
		/* The other one is not on screen */
		assert_int_equal(rig_flush(rig, 2 - i % 2, 0, 0, 64, 32), OK);
		assert_int_equal(rig_flush(rig, 1 + i % 2, 0, 0, 64, 32), OK);
		assert_int_equal(rig->display.flushes[0], i + 1);
	}
}

static void test_unref_and_detach_while_scanned_out(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 8192);

	assert_int_equal(rig_attach(rig, 1, pages, 8192), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	assert_int_equal(rig_set_scanout(rig, 1, 1, 0, 0, 10, 10), OK);
	assert_int_equal(rig_detach(rig, 1), OK);
	/* The host's copy is still there */
	assert_int_equal(pixel_at(rig, 0, 1, 1), fake_pixel_byte(1, 1, 1));
	assert_int_equal(rig_flush(rig, 1, 0, 0, 64, 32), OK);
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_null(rig->display.sources[0]);
	assert_null(rig->display.sources[1]);
	/* Its id comes back, on no screen */
	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_flush(rig, 1, 0, 0, 64, 32), OK);
	assert_int_equal(rig->display.flushes[0], 1);
	assert_true(rig_works(rig));
}

/* ---------------------------------------------------------------- blobs */

static struct virtio_gpu_set_scanout_blob scanout_blob(uint32_t id)
{
	return (struct virtio_gpu_set_scanout_blob){
		.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
		.r = { 0, 0, 32, 16 },
		.resource_id = id,
		.width = 32,
		.height = 16,
		.format = XRGB,
		.strides = { 128 },
	};
}

static void test_scanout_blob(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 4096);
	struct virtio_gpu_set_scanout_blob command = scanout_blob(7);

	assert_int_equal(rig_create_blob(rig, 7, 4096, pages, 4096), OK);
	assert_int_equal(rig_command(rig, command), OK);
	assert_int_equal(rig->display.sources[0]->width, 32);
	assert_int_equal(rig->display.sources[0]->height, 16);
	assert_int_equal(pixel_at(rig, 0, 3, 4), fake_pixel_byte(7, 3, 4));
	assert_int_equal(rig_flush(rig, 7, 0, 0, 32, 16), OK);
	assert_int_equal(rig->display.flushes[0], 1);
	/* A blob has no size in pixels: damage is clipped */
	assert_int_equal(rig_flush(rig, 7, 30, 0, UINT32_MAX, UINT32_MAX), OK);
	assert_int_equal(rig->display.damage[0].x, 30);
	assert_int_equal(rig->display.damage[0].width, 2);
	assert_int_equal(rig->display.damage[0].height, 16);
	assert_int_equal(rig_flush(rig, 7, UINT32_MAX, UINT32_MAX, UINT32_MAX, 2), OK);
	assert_int_equal(rig->display.flushes[0], 2);

	command.r.x = 8;
	command.r.width = 24;
	assert_int_equal(rig_command(rig, command), OK);
	assert_int_equal(pixel_at(rig, 0, 3, 4), fake_pixel_byte(7, 11, 4));
	command.resource_id = 0;
	assert_int_equal(rig_command(rig, command), OK);
	assert_null(rig->display.sources[0]);
	/* Each has its own command */
	assert_int_equal(rig_set_scanout(rig, 0, 7, 0, 0, 1, 1), BAD_PARAMETER);
	command.resource_id = 1;
	assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
	command.resource_id = 99;
	assert_int_equal(rig_command(rig, command), BAD_RESOURCE);
	assert_true(rig_works(rig));
}

static void test_scanout_blob_layouts(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 4096);
	static const struct {
		uint32_t width, height, stride, offset, format;
		bool fits;
	} layouts[] = {
		{ 32, 32, 128, 0, XRGB, true },
		{ 32, 32, 128, 1, XRGB, false },
		{ 32, 33, 128, 0, XRGB, false },
		{ 32, 31, 128, 128, XRGB, true },
		{ 32, 32, 127, 0, XRGB, false }, /* rows overlap */
		{ 32, 32, 0, 0, XRGB, false },
		{ 16, 32, 128, 64, XRGB, true }, /* the last row ends with the blob */
		{ 16, 32, 128, 65, XRGB, false },
		{ 32, 2, UINT32_MAX, 0, XRGB, false },
		{ 32, 1, UINT32_MAX, 0, XRGB, true }, /* of one row the stride does not matter */
		{ 0x40000001, 1, 4, 0, XRGB, false }, /* 4 bytes a pixel: wraps to 4 */
		{ UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, XRGB, false },
		{ 32, 1, 128, UINT32_MAX, XRGB, false },
		{ 0, 32, 128, 0, XRGB, false },
		{ 32, 0, 128, 0, XRGB, false },
		{ 32, 32, 128, 0, 0, false },
		{ 32, 32, 128, 0, 7, false },
	};

	assert_int_equal(rig_create_blob(rig, 7, 4096, pages, 4096), OK);
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		struct virtio_gpu_set_scanout_blob command = scanout_blob(7);

		command.r = (struct virtio_gpu_rect){ 0, 0, 1, 1 };
		command.width = layouts[i].width;
		command.height = layouts[i].height;
		command.strides[0] = layouts[i].stride;
		command.offsets[0] = layouts[i].offset;
		command.format = layouts[i].format;
		assert_int_equal(rig_command(rig, command), layouts[i].fits ? OK : BAD_PARAMETER);
	}
	assert_true(rig_works(rig));
}

/* ---------------------------------------------------------------- cursors */

static uint32_t update_cursor(struct rig *rig, uint32_t id, uint32_t hot_x, uint32_t hot_y)
{
	struct virtio_gpu_update_cursor command = {
		.hdr.type = VIRTIO_GPU_CMD_UPDATE_CURSOR,
		.pos = { .x = 100, .y = (uint32_t)-5 },
		.resource_id = id,
		.hot_x = hot_x,
		.hot_y = hot_y,
	};

	return rig_command_on(rig, RIG_CURSOR, &command, sizeof(command));
}

static void test_cursor(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_update_cursor move = {
		.hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR, .pos = { .x = 7, .y = 8 }, .resource_id = 99
	};

	assert_int_equal(rig_create_2d(rig, 9, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 64, 64), OK);
	assert_int_equal(update_cursor(rig, 9, 3, 4), OK);
	assert_true(rig->display.cursor_visible[0]);
	assert_int_equal(rig->display.cursor.hot_x, 3);
	assert_int_equal(rig->display.cursor.hot_y, 4);
	assert_int_equal(rig->display.cursor_x, 100);
	assert_int_equal(rig->display.cursor_y, (uint32_t)-5);
	assert_int_equal(rig->display.cursor.pixels[64 * 10 + 5] & 0xff, fake_pixel_byte(9, 5, 10));
	/* "The other fields are not used" */
	assert_int_equal(rig_command_on(rig, RIG_CURSOR, &move, sizeof(move)), OK);
	assert_int_equal(rig->display.cursor_x, 7);
	assert_int_equal(rig->display.cursor_y, 8);
	assert_true(rig->display.cursor_visible[0]);
	/* A hot spot outside is brought inside */
	assert_int_equal(update_cursor(rig, 9, 64, UINT32_MAX), OK);
	assert_int_equal(rig->display.cursor.hot_x, 63);
	assert_int_equal(rig->display.cursor.hot_y, 63);
	assert_int_equal(update_cursor(rig, 0, 0, 0), OK);
	assert_false(rig->display.cursor_visible[0]);
	assert_int_equal(update_cursor(rig, 55, 0, 0), BAD_RESOURCE);
}

/* Linux leaves no room for an answer */
static void test_cursor_without_room_for_an_answer(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_update_cursor move = { .hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR,
		.pos = { .x = 70, .y = 80 } };

	assert_int_equal(rig_exchange(rig, RIG_CURSOR, &move, sizeof(move), 0), 0);
	assert_int_equal(rig->display.cursor_x, 70);
}

static void test_cursor_not_64x64(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 32768);
	static const struct {
		uint32_t width, height;
	} sizes[] = { { 64, 63 }, { 63, 64 }, { 128, 32 }, { 1, 1 }, { 65, 65 }, { 4096, 4096 } };

	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(
		    rig_create_2d(rig, 10 + i, XRGB, sizes[i].width, sizes[i].height), OK);
		assert_int_equal(update_cursor(rig, 10 + i, 0, 0), BAD_PARAMETER);
	}
	/* Of blobs, what holds 64 x 64 pixels will do */
	assert_int_equal(rig_create_blob(rig, 30, 64 * 64 * 4 - 1, pages, 32768), OK);
	assert_int_equal(update_cursor(rig, 30, 0, 0), BAD_PARAMETER);
	assert_int_equal(rig_create_blob(rig, 31, 16384, NULL, 0), OK);
	assert_int_equal(update_cursor(rig, 31, 0, 0), BAD_PARAMETER);
	assert_int_equal(rig->renderer.reads, 0);
	assert_int_equal(rig_create_blob(rig, 32, 16384, pages, 32768), OK);
	assert_int_equal(update_cursor(rig, 32, 0, 0), OK);
	assert_int_equal(rig->display.cursor.pixels[1] & 0xff, fake_pixel_byte(32, 1, 0));
	assert_true(rig_works(rig));
}

static void test_unref_and_detach_while_used_as_a_cursor(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 16384);

	assert_int_equal(rig_create_2d(rig, 9, XRGB, 64, 64), OK);
	assert_int_equal(rig_attach(rig, 9, pages, 16384), OK);
	assert_int_equal(update_cursor(rig, 9, 1, 1), OK);
	assert_int_equal(rig_detach(rig, 9), OK);
	assert_int_equal(rig_unref(rig, 9), OK);
	/* The display has its copy */
	assert_true(rig->display.cursor_visible[0]);
	assert_int_equal(rig->display.cursor.pixels[0] & 0xff, fake_pixel_byte(9, 0, 0));
	assert_int_equal(update_cursor(rig, 9, 1, 1), BAD_RESOURCE);
	assert_true(rig_works(rig));
	rig_reset(rig);
	assert_false(rig->display.cursor_visible[0]);
}

/* ---------------------------------------------------------------- buffers that displays know */

static uint64_t buffer_of(struct rig *rig, unsigned scanout)
{
	return rig->display.sources[scanout]->buffer;
}

static void test_buffers_have_numbers(void **state)
{
	struct rig *rig = *state;
	uint64_t first, second;

	assert_int_equal(rig_create_2d(rig, 2, XRGB, 64, 32), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 3, 4, 10, 10), OK);
	first = buffer_of(rig, 0);
	assert_int_not_equal(first, 0);
	assert_int_equal(rig->display.sources[0]->x, 3);
	assert_int_equal(rig->display.sources[0]->y, 4);
	assert_int_equal(rig_set_scanout(rig, 0, 2, 0, 0, 64, 32), OK);
	second = buffer_of(rig, 0);
	assert_int_not_equal(second, first);
	/* A flip back, another rectangle, another output: the same buffer */
	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	assert_int_equal(rig_set_scanout(rig, 1, 1, 1, 1, 5, 5), OK);
	assert_int_equal(buffer_of(rig, 0), first);
	assert_int_equal(buffer_of(rig, 1), first);
	assert_int_equal(rig->display.forgets, 0);

	/* It ends with the resource, and nothing has its number again. */
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(rig->display.forgets, 1);
	assert_int_equal(rig->display.forgotten, first);
	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	assert_true(buffer_of(rig, 0) > second);
	rig_reset(rig);
	assert_int_equal(rig->display.forgets, 3);
}

/* A blob whose layout changes is another picture, and must not be shown by the old one's. */
static void test_a_blob_is_a_buffer_for_each_layout(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 16384);
	struct virtio_gpu_set_scanout_blob blob = {
		.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
		.r = { 0, 0, 16, 16 },
		.resource_id = 2,
		.width = 16,
		.height = 16,
		.format = XRGB,
		.strides = { 64 },
	};
	uint64_t first, second;

	assert_int_equal(rig_create_blob(rig, 2, 16384, pages, 16384), OK);
	assert_int_equal(rig_command(rig, blob), OK);
	first = buffer_of(rig, 0);
	assert_int_not_equal(first, 0);
	assert_int_equal(rig_command(rig, blob), OK);
	assert_int_equal(buffer_of(rig, 0), first);
	blob.offsets[0] = 4096;
	blob.scanout_id = 1;
	assert_int_equal(rig_command(rig, blob), OK);
	assert_int_equal(buffer_of(rig, 1), 0); /* two at a time: unknown */
	assert_int_equal(rig->display.forgets, 0);
	assert_int_equal(rig_set_scanout(rig, 0, 0, 0, 0, 0, 0), OK);
	assert_int_equal(rig_set_scanout(rig, 1, 0, 0, 0, 0, 0), OK);
	assert_int_equal(rig_command(rig, blob), OK);
	second = buffer_of(rig, 1);
	assert_true(second > first);
	assert_int_equal(rig->display.forgotten, first);
	/* Its pages go: nobody is to look at them. */
	assert_int_equal(rig_detach(rig, 2), OK);
	assert_int_equal(rig->display.forgotten, second);
	assert_null(rig->display.sources[1]);
}

/* A context may have the renderer keep it elsewhere. */
static void test_a_buffer_that_a_context_uses_is_another(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_ctx_resource attach = {
		.hdr.type = VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, .hdr.ctx_id = 1, .resource_id = 1
	};
	uint64_t first, second;

	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 2, 3, 5, 6), OK);
	first = buffer_of(rig, 0);
	assert_int_equal(rig_command(rig, attach), OK);
	second = buffer_of(rig, 0);
	assert_true(second > first);
	assert_int_equal(rig->display.forgotten, first);
	assert_int_equal(rig->display.sources[0]->x, 2);
	assert_int_equal(rig->display.sources[0]->width, 5);
	assert_int_equal(pixel_at(rig, 0, 0, 0), fake_pixel_byte(1, 2, 3));
	assert_int_equal(rig_command(rig, attach), OK); /* once is enough */
	assert_int_equal(buffer_of(rig, 0), second);
}

/* ---------------------------------------------------------------- monitors */

static struct virtio_gpu_resp_edid edid_of(struct rig *rig)
{
	struct virtio_gpu_cmd_get_edid command = { .hdr.type = VIRTIO_GPU_CMD_GET_EDID };
	const struct virtio_gpu_resp_edid *edid = (const void *)rig->response;

	rig_exchange(rig, RIG_CONTROL, &command, sizeof(command), sizeof(*edid));
	assert_int_equal(edid->hdr.type, VIRTIO_GPU_RESP_OK_EDID);
	return *edid;
}

static void test_the_monitors_own_edid(void **state)
{
	struct rig *rig = *state;
	struct fake_display *display = &rig->display;
	const struct edid_mode mode = { .width = 1280, .height = 800, .refresh = 75000 };
	const struct edid_identity dell = { .name = "Real", .vendor = "DEL", .product = 7 };
	struct virtio_gpu_resp_edid edid;

	display->edid_size = edid_make(&mode, &dell, display->edid);
	assert_int_not_equal(memcmp(edid_of(rig).edid, display->edid, 128), 0); /* no number */
	display->modes[0].edid = 1;
	edid = edid_of(rig);
	assert_int_equal(edid.size, display->edid_size);
	assert_memory_equal(edid.edid, display->edid, display->edid_size);

	/* Not with another mode: its name alone */
	display->modes[0].width = 640;
	edid = edid_of(rig);
	assert_int_equal(edid.size, 128);
	assert_int_equal(edid.edid[56] | (edid.edid[58] & 0xf0) << 4, 640);
	assert_memory_equal(edid.edid + 8, display->edid + 8, 4);
	assert_non_null(memmem(edid.edid, 128, "Real\n", 5));

	/* The same mode on another monitor is news to the guest. */
	rig->config_changes = 0;
	display->modes[0].edid = 2;
	display->base.listener.modes_changed(display->base.listener.data);
	assert_int_equal(rig->config_changes, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_scanout_16_and_more),
		cmocka_unit_test(test_all_16_scanouts),
		T(test_rectangles_that_wrap),
		T(test_source_is_the_rectangle),
		T(test_resource_0_disables),
		T(test_page_flip),
		T(test_unref_and_detach_while_scanned_out),
		T(test_scanout_blob),
		T(test_scanout_blob_layouts),
		T(test_cursor),
		T(test_cursor_without_room_for_an_answer),
		T(test_cursor_not_64x64),
		T(test_unref_and_detach_while_used_as_a_cursor),
		T(test_buffers_have_numbers),
		T(test_a_blob_is_a_buffer_for_each_layout),
		T(test_a_buffer_that_a_context_uses_is_another),
		T(test_the_monitors_own_edid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
