/* SPDX-License-Identifier: MIT */
/* Formats by hand-written bytes, and walks over iovecs. */
#include <linux/virtio_gpu.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backend/gpu_format.h"
#include "render/fence_queue.h"
#include "render/pixel.h"

#include <cmocka.h>

/* Blue 1, green 2, red 3, alpha (or padding) 4, as each format has them in memory */
static const struct {
	uint32_t format;
	uint8_t bytes[4];
} formats[] = {
	{ VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, { 1, 2, 3, 4 } },
	{ VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, { 1, 2, 3, 4 } },
	{ VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, { 4, 3, 2, 1 } },
	{ VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, { 4, 3, 2, 1 } },
	{ VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, { 3, 2, 1, 4 } },
	{ VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, { 4, 1, 2, 3 } },
	{ VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, { 4, 1, 2, 3 } },
	{ VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, { 3, 2, 1, 4 } },
};

static void every_format_converts(void **state)
{
	enum { COUNT = 37 }; /* no multiple of a vector */
	uint8_t from[COUNT * 4], to[COUNT * 4];

	for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
		assert_true(gpu_format_is_2d(formats[f].format));
		for (int i = 0; i < COUNT; i++)
			for (int b = 0; b < 4; b++)
				from[i * 4 + b] = (uint8_t)(formats[f].bytes[b] + 5 * i);
		memset(to, 0, sizeof(to));
		pixel_convert(formats[f].format, to, from, COUNT);
		for (int i = 0; i < COUNT; i++)
			for (int b = 0; b < 4; b++)
				assert_int_equal(to[i * 4 + b], (uint8_t)(b + 1 + 5 * i));
		/* In place, too. */
		pixel_convert(formats[f].format, from, from, COUNT);
		assert_memory_equal(from, to, sizeof(to));
	}
}

static void other_formats_are_unknown(void **state)
{
	static const uint32_t others[] = { 0, 5, 7, 31, 66, 69, 120, 122, 133, 135, UINT32_MAX };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(gpu_format_is_2d(others[i]));
}

static void a_cursor_walks_pieces_and_stops_at_the_end(void **state)
{
	uint8_t bytes[32], to[32];
	struct iovec iov[] = { { bytes, 3 }, { bytes + 3, 0 }, { bytes + 3, 10 },
		{ bytes + 13, 19 } };
	struct iov_cursor cursor;
	void *at;

	for (int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(iov_size(iov, 4), 32);
	for (uint64_t offset = 0; offset <= 32; offset++) {
		iov_cursor_init(&cursor, iov, 4);
		assert_true(iov_cursor_read(&cursor, offset, to, (size_t)(32 - offset)));
		assert_memory_equal(to, bytes + offset, (size_t)(32 - offset));
		iov_cursor_init(&cursor, iov, 4);
		assert_false(iov_cursor_read(&cursor, offset, to, (size_t)(33 - offset)));
	}
	/* On and on */
	iov_cursor_init(&cursor, iov, 4);
	assert_int_equal(iov_cursor_get(&cursor, 1, 100, &at), 2);
	assert_ptr_equal(at, bytes + 1);
	assert_int_equal(iov_cursor_get(&cursor, 5, 4, &at), 4);
	assert_ptr_equal(at, bytes + 5);
	assert_int_equal(iov_cursor_get(&cursor, 31, 4, &at), 1);
	assert_int_equal(iov_cursor_get(&cursor, 32, 1, &at), 0);
	assert_int_equal(iov_cursor_get(&cursor, UINT64_MAX, 1, &at), 0);
}

static void a_sum_that_overflows_is_no_size(void **state)
{
	struct iovec iov[] = { { NULL, SIZE_MAX }, { NULL, SIZE_MAX } };

	assert_int_equal(iov_size(iov, 0), 0);
	assert_true(iov_size(iov, 2) == UINT64_MAX);
}

static void fences_keep_their_numbers(void **state)
{
	struct fence_queue queue = { .first = UINT32_MAX - 100 }; /* names wrap on the way */
	uint64_t fence = 0;
	uint32_t names[1000], name;

	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < 1000; i++)
			assert_int_equal(
			    fence_queue_add(&queue, (UINT64_C(1) << 40) * round + i, &names[i]), 0);
		assert_true(fence_queue_retire(&queue, names[0], &fence));
		assert_true(fence == (UINT64_C(1) << 40) * round);
		assert_false(fence_queue_retire(&queue, names[0], &fence));
		assert_true(fence_queue_retire(&queue, names[700], &fence)); /* and all before */
		assert_true(fence == (UINT64_C(1) << 40) * round + 700);
		assert_false(fence_queue_retire(&queue, names[699], &fence));
		assert_false(fence_queue_retire(&queue, names[999] + 1, &fence));
		assert_int_equal(queue.count, 299);
		assert_true(fence_queue_retire(&queue, names[999], &fence));
		assert_int_equal(queue.count, 0);
	}
	assert_int_equal(fence_queue_add(&queue, 1, &name), 0);
	fence_queue_undo(&queue);
	assert_false(fence_queue_retire(&queue, name, &fence));
	assert_int_equal(fence_queue_add(&queue, 1, &name), 0);
	fence_queue_clear(&queue);
	assert_false(fence_queue_retire(&queue, name, &fence));
	fence_queue_finish(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_converts),
		cmocka_unit_test(other_formats_are_unknown),
		cmocka_unit_test(a_cursor_walks_pieces_and_stops_at_the_end),
		cmocka_unit_test(a_sum_that_overflows_is_no_size),
		cmocka_unit_test(fences_keep_their_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
