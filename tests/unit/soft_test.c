/* SPDX-License-Identifier: MIT */
/* The software renderer: what is transferred is what is read, and nothing reaches outside. */
#include <errno.h>
#include <linux/virtio_gpu.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "render/soft.h"
#include "tests/unit/fake_udmabuf.h"

#include <cmocka.h>

#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

static int set_up(void **state)
{
	struct renderer *r;

	assert_int_equal(soft_create(&r), 0);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct renderer *r = *state;

	r->impl->destroy(r);
	return 0;
}

static int create(struct renderer *r, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
	const struct renderer_resource resource = {
		.is_2d = true, .format = format, .width = width, .height = height
	};

	return r->impl->create_resource(r, id, &resource);
}

static int transfer(struct renderer *r, uint32_t id, struct renderer_box box, uint64_t offset)
{
	const struct renderer_transfer t = { .resource_id = id, .box = box, .offset = offset };

	return r->impl->transfer_to_host(r, &t);
}

static int read_rect(struct renderer *r, uint32_t id, uint32_t width, uint32_t height,
    struct display_rect rect, void *to, size_t stride)
{
	const struct renderer_scanout scanout = {
		.resource_id = id, .width = width, .height = height
	};

	return r->impl->read_pixels(r, &scanout, &rect, to, stride);
}

static struct renderer_box box(uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	return (struct renderer_box){ x, y, 0, width, height, 1 };
}

/* Cuts @size bytes at @at into @count pieces of odd lengths. */
static void cut(void *at, size_t size, struct iovec *iov, unsigned count)
{
	size_t done = 0;

	for (unsigned i = 0; i < count; i++) {
		const size_t n = i + 1 < count ? size / count / 2 * 2 + 1 : size - done;

		iov[i] = (struct iovec){ (uint8_t *)at + done, n };
		done += n;
	}
}

static void whole_images_and_boxes_arrive(void **state)
{
	enum { W = 67, H = 41 };
	struct renderer *r = *state;
	static uint32_t backing[W * H], want[W * H], got[W * H];
	struct iovec iov[9];

	cut(backing, sizeof(backing), iov, 9);
	for (uint32_t i = 0; i < W * H; i++)
		backing[i] = want[i] = i * 2654435761u;
	assert_int_equal(create(r, 1, BGRX, W, H), 0);
	/* A new resource is black. */
	assert_int_equal(read_rect(r, 1, W, H, (struct display_rect){ 0, 0, W, H }, got, W * 4), 0);
	for (int i = 0; i < W * H; i++)
		assert_int_equal(got[i], 0);
	assert_int_equal(r->impl->attach_backing(r, 1, iov, 9), 0);
	assert_int_equal(transfer(r, 1, box(0, 0, W, H), 0), 0);
	assert_int_equal(read_rect(r, 1, W, H, (struct display_rect){ 0, 0, W, H }, got, W * 4), 0);
	assert_memory_equal(got, want, sizeof(want));

	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++) {
			backing[y * W + x] ^= 0xffffffff;
			if (x >= 60 && y >= 7 && y < 40)
				want[y * W + x] ^= 0xffffffff;
		}
	assert_int_equal(transfer(r, 1, box(60, 7, 7, 33), (7 * W + 60) * 4), 0);
	assert_int_equal(read_rect(r, 1, W, H, (struct display_rect){ 0, 0, W, H }, got, W * 4), 0);
	assert_memory_equal(got, want, sizeof(want));

	/* A rectangle of it, with a wider stride: what lies between stays. */
	memset(got, 0x77, sizeof(got));
	assert_int_equal(read_rect(r, 1, W, H, (struct display_rect){ 58, 5, 9, 4 }, got, 64), 0);
	for (int y = 0; y < 4; y++)
		for (int x = 0; x < 16; x++)
			assert_int_equal(
			    got[y * 16 + x], x < 9 ? want[(y + 5) * W + x + 58] : 0x77777777);
}

static void sources_can_start_anywhere_in_the_backing(void **state)
{
	struct renderer *r = *state;
	uint32_t backing[12 * 4], got[4 * 4];
	struct iovec iov = { backing, sizeof(backing) };

	for (uint32_t i = 0; i < 48; i++)
		backing[i] = i;
	assert_int_equal(create(r, 1, BGRX, 4, 4), 0);
	assert_int_equal(r->impl->attach_backing(r, 1, &iov, 1), 0);
	assert_int_equal(transfer(r, 1, box(1, 1, 2, 2), 40 * 4), 0);
	assert_int_equal(read_rect(r, 1, 4, 4, (struct display_rect){ 1, 1, 2, 2 }, got, 8), 0);
	assert_int_equal(got[0], 40);
	assert_int_equal(got[1], 41);
	assert_int_equal(got[2], 44);
	assert_int_equal(got[3], 45);
	/* The last byte counts: 2 rows at distance 16, 8 bytes long, end at offset 24. */
	assert_int_equal(transfer(r, 1, box(1, 1, 2, 2), 48 * 4 - 24), 0);
	assert_int_equal(transfer(r, 1, box(1, 1, 2, 2), 48 * 4 - 23), -EINVAL);
}

static void bad_resources_are_refused(void **state)
{
	struct renderer *r = *state;
	const struct renderer_resource three_d = {
		.target = 2, .format = BGRX, .width = 1, .height = 1
	};

	assert_int_equal(create(r, 1, 0, 4, 4), -EINVAL);
	assert_int_equal(create(r, 1, 7, 4, 4), -EINVAL);
	assert_int_equal(create(r, 1, BGRX, 0, 4), -EINVAL);
	assert_int_equal(create(r, 1, BGRX, 4, 0), -EINVAL);
	assert_int_equal(create(r, 1, BGRX, UINT32_MAX, UINT32_MAX), -EINVAL);
	assert_int_equal(create(r, 1, BGRX, 1u << 30, 1u << 30), -ENOMEM);
	assert_int_equal(r->impl->create_resource(r, 1, &three_d), -ENOTSUP);
	assert_int_equal(create(r, 1, BGRX, 16384, 16384), 0); /* a gigabyte that nobody touches */
	assert_int_equal(create(r, UINT32_MAX, BGRX, 1, 1), 0);
}

static void bad_transfers_are_refused(void **state)
{
	struct renderer *r = *state;
	uint32_t backing[8 * 8], got[8 * 8];
	struct iovec iov = { backing, sizeof(backing) };
	struct renderer_transfer t = { .resource_id = 1, .box = box(0, 0, 8, 8) };

	assert_int_equal(create(r, 1, BGRX, 8, 8), 0);
	assert_int_equal(transfer(r, 1, box(0, 0, 8, 8), 0), -EINVAL); /* no backing */
	assert_int_equal(r->impl->attach_backing(r, 1, &iov, 1), 0);
	assert_int_equal(r->impl->attach_backing(r, 1, &iov, 1), -EINVAL);
	assert_int_equal(transfer(r, 2, box(0, 0, 8, 8), 0), -ENOENT);
	assert_int_equal(transfer(r, 1, box(0, 0, 9, 8), 0), -EINVAL);
	assert_int_equal(transfer(r, 1, box(1, 0, 8, 8), 0), -EINVAL);
	assert_int_equal(transfer(r, 1, box(0, UINT32_MAX, 8, 8), 0), -EINVAL);
	assert_int_equal(transfer(r, 1, box(UINT32_MAX, 0, 2, 1), 0), -EINVAL);
	assert_int_equal(transfer(r, 1, box(0, 0, 0, 8), 0), -EINVAL);
	assert_int_equal(transfer(r, 1, box(0, 0, 8, 0), 0), -EINVAL);
	assert_int_equal(transfer(r, 1, box(0, 0, 8, 8), 1), -EINVAL);
	assert_int_equal(transfer(r, 1, box(0, 0, 1, 1), UINT64_MAX), -EINVAL);
	assert_int_equal(transfer(r, 1, box(0, 0, 1, 1), sizeof(backing) - 4), 0);
	t.level = 1;
	assert_int_equal(r->impl->transfer_to_host(r, &t), -EINVAL);
	t.level = 0;
	t.stride = 36;
	assert_int_equal(r->impl->transfer_to_host(r, &t), -EINVAL);
	t.stride = 32;
	assert_int_equal(r->impl->transfer_to_host(r, &t), 0);
	t.box.z = 1;
	assert_int_equal(r->impl->transfer_to_host(r, &t), -EINVAL);
	assert_int_equal(r->impl->transfer_from_host(r, &t), -EINVAL);
	assert_int_equal(
	    read_rect(r, 1, 9, 8, (struct display_rect){ 8, 0, 1, 1 }, got, 4), -EINVAL);
	assert_int_equal(
	    read_rect(r, 1, 8, 8, (struct display_rect){ UINT32_MAX, 0, 2, 1 }, got, 8), -EINVAL);
	assert_int_equal(
	    read_rect(r, 3, 8, 8, (struct display_rect){ 0, 0, 8, 8 }, got, 32), -ENOENT);
	/* A backing that is smaller than the picture serves for what it holds. */
	r->impl->detach_backing(r, 1);
	iov.iov_len = 64;
	assert_int_equal(r->impl->attach_backing(r, 1, &iov, 1), 0);
	assert_int_equal(transfer(r, 1, box(0, 0, 8, 8), 0), -EINVAL);
	assert_int_equal(transfer(r, 1, box(0, 0, 8, 2), 0), 0);
}

static void a_blob_is_its_pages(void **state)
{
	enum { W = 13, H = 9, STRIDE = 56, OFFSET = 20 };
	struct renderer *r = *state;
	static uint8_t backing[OFFSET + STRIDE * H];
	uint32_t got[W * H];
	struct iovec iov[7];
	struct renderer_scanout scanout = { .resource_id = 5,
		.format = VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM,
		.stride = STRIDE,
		.offset = OFFSET,
		.width = W,
		.height = H };
	const struct display_rect rect = { 2, 1, 11, 8 };

	for (size_t i = 0; i < sizeof(backing); i++)
		backing[i] = (uint8_t)(i * 7);
	cut(backing, sizeof(backing), iov, 7);
	assert_int_equal(r->impl->create_blob(r, 5, 0, sizeof(backing) + 1, iov, 7), -EINVAL);
	assert_int_equal(r->impl->create_blob(r, 5, 0, 0, iov, 7), -EINVAL);
	assert_int_equal(r->impl->create_blob(r, 5, 0, sizeof(backing), iov, 7), 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(r->impl->read_pixels(r, &scanout, &rect, got, rect.width * 4), 0);
		for (uint32_t y = 0; y < rect.height; y++)
			for (uint32_t x = 0; x < rect.width; x++) {
				const uint8_t *p =
				    backing + OFFSET + (y + 1) * STRIDE + (x + 2) * 4;

				assert_int_equal(got[y * rect.width + x],
				    (uint32_t)p[3] << 24 | (uint32_t)p[0] << 16 |
					(uint32_t)p[1] << 8 | p[2]);
			}
		backing[OFFSET + STRIDE + 8] ^= 0x55; /* seen without a transfer */
	}
	assert_int_equal(transfer(r, 5, box(0, 0, W, H), 0), 0);
	scanout.stride = W * 4 - 1;
	assert_int_equal(r->impl->read_pixels(r, &scanout, &rect, got, 44), -EINVAL);
	scanout.stride = STRIDE;
	scanout.offset = OFFSET + 5; /* the last row has 4 bytes to spare */
	assert_int_equal(r->impl->read_pixels(r, &scanout, &rect, got, 44), -EINVAL);
	scanout.offset = OFFSET + 4;
	assert_int_equal(r->impl->read_pixels(r, &scanout, &rect, got, 44), 0);
	scanout.offset = UINT32_MAX;
	assert_int_equal(r->impl->read_pixels(r, &scanout, &rect, got, 44), -EINVAL);
	scanout.offset = 0;
	scanout.format = 3000;
	assert_int_equal(r->impl->read_pixels(r, &scanout, &rect, got, 44), -EINVAL);
}

static void there_is_nothing_3d(void **state)
{
	struct renderer *r = *state;
	const struct renderer_timeline global = { .global = true };
	uint32_t id, version, size;

	assert_false(r->has_3d);
	assert_int_equal(r->impl->get_capset_info(r, 0, &id, &version, &size), -ENOENT);
	assert_int_equal(r->impl->get_capset(r, 1, 1, &id), -EINVAL);
	assert_int_equal(r->impl->get_fd(r), -1);
	assert_int_equal(r->impl->create_fence(r, &global, 1), 1);
}

static void ten_thousand_resources_come_and_go(void **state)
{
	struct renderer *r = *state;
	uint32_t pixel = 0x123456;
	struct iovec iov = { &pixel, sizeof(pixel) };

	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 1; i <= 10000; i++) {
			assert_int_equal(create(r, i * 4099, BGRX, 1, 1), 0);
			assert_int_equal(r->impl->attach_backing(r, i * 4099, &iov, 1), 0);
		}
		for (uint32_t i = 1; i <= 5000; i++)
			r->impl->destroy_resource(r, i * 4099);
		r->impl->destroy_resource(r, 4099);
		assert_int_equal(transfer(r, 4099, box(0, 0, 1, 1), 0), -ENOENT);
		assert_int_equal(transfer(r, 10000 * 4099, box(0, 0, 1, 1), 0), 0);
		r->impl->reset(r);
		assert_int_equal(transfer(r, 10000 * 4099, box(0, 0, 1, 1), 0), -ENOENT);
	}
}

/* ---------------------------------------------------------------- export */

#define EXPORT_W 65 /* rows of 260 bytes, which no display shows */
#define EXPORT_H 40
#define EXPORT_STRIDE 512

static void an_exported_picture_goes_on(void **state)
{
	struct renderer *r = *state;
	uint32_t pixels[EXPORT_W * EXPORT_H], seen[EXPORT_W * EXPORT_H];
	struct iovec iov = { pixels, sizeof(pixels) };
	struct fake_udmabuf fake;
	struct display_dmabuf dmabuf;
	const uint32_t *shared;
	struct stat stat;

	for (uint32_t i = 0; i < EXPORT_W * EXPORT_H; i++)
		pixels[i] = i * 2654435761u;
	fake_udmabuf_init(&fake);
	assert_int_equal(r->impl->export_memory(r, 1, &fake.base, &dmabuf), -ENOENT);
	assert_int_equal(create(r, 1, BGRX, EXPORT_W, EXPORT_H), 0);
	assert_int_equal(r->impl->attach_backing(r, 1, &iov, 1), 0);
	assert_int_equal(transfer(r, 1, box(0, 0, EXPORT_W, EXPORT_H), 0), 0);

	fake.error = -ENODEV;
	assert_int_equal(r->impl->export_memory(r, 1, &fake.base, &dmabuf), -ENODEV);
	fake.error = 0;
	assert_int_equal(r->impl->export_memory(r, 1, &fake.base, &dmabuf), 0);
	assert_int_equal(dmabuf.width, EXPORT_W);
	assert_int_equal(dmabuf.height, EXPORT_H);
	assert_int_equal(dmabuf.stride, EXPORT_STRIDE);
	assert_int_equal(dmabuf.offset, 0);
	assert_int_equal(dmabuf.fourcc, 0x34325258); /* XR24 */
	assert_int_equal(dmabuf.modifier, 0);
	assert_true(dmabuf.y0_top);
	assert_int_equal(fstat(dmabuf.fd, &stat), 0);
	assert_int_equal(stat.st_size % 4096, 0);
	shared = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, dmabuf.fd, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	close(dmabuf.fd);
	for (uint32_t y = 0; y < EXPORT_H; y++) /* what was there came along */
		assert_memory_equal(
		    shared + y * EXPORT_STRIDE / 4, pixels + y * EXPORT_W, EXPORT_W * 4);

	/* What comes now is seen at once: a whole row, and a box. */
	for (uint32_t i = 0; i < EXPORT_W * EXPORT_H; i++)
		pixels[i] ^= 0x00ffffff;
	assert_int_equal(transfer(r, 1, box(0, 3, EXPORT_W, 2), (uint64_t)3 * EXPORT_W * 4), 0);
	assert_int_equal(transfer(r, 1, box(7, 9, 3, 4), (uint64_t)(9 * EXPORT_W + 7) * 4), 0);
	assert_memory_equal(shared + 4 * EXPORT_STRIDE / 4, pixels + 4 * EXPORT_W, EXPORT_W * 4);
	assert_memory_equal(shared + 12 * EXPORT_STRIDE / 4 + 7, pixels + 12 * EXPORT_W + 7, 3 * 4);
	assert_int_equal(shared[12 * EXPORT_STRIDE / 4 + 6], pixels[12 * EXPORT_W + 6] ^ 0xffffff);
	assert_int_equal(transfer(r, 1, box(0, 0, EXPORT_W, EXPORT_H), 0), 0);
	assert_int_equal(read_rect(r, 1, EXPORT_W, EXPORT_H,
			     (struct display_rect){ 0, 0, EXPORT_W, EXPORT_H }, seen, EXPORT_W * 4),
	    0);
	assert_memory_equal(seen, pixels, sizeof(pixels));
	assert_int_equal(fake.created, 1);
	assert_int_equal(r->impl->export_memory(r, 1, &fake.base, &dmabuf), 0); /* the same again */
	close(dmabuf.fd);
	assert_int_equal(fake.created, 1);
	r->impl->destroy_resource(r, 1);
	munmap((void *)shared, (size_t)stat.st_size);
}

static void exports_are_bounded(void **state)
{
	struct renderer *r = *state;
	struct fake_udmabuf fake;
	struct display_dmabuf dmabuf;
	const unsigned before = fake_udmabuf_open_fds();

	fake_udmabuf_init(&fake);
	assert_int_equal(create(r, 1000, BGRX, 1, 64), 0); /* would be 64 times as large */
	assert_int_equal(r->impl->export_memory(r, 1000, &fake.base, &dmabuf), -ENOTSUP);
	assert_int_equal(create(r, 1001, BGRX, 4096, 4097), 0);
	assert_int_equal(r->impl->export_memory(r, 1001, &fake.base, &dmabuf), -E2BIG);
	for (uint32_t i = 1; i <= 70; i++) {
		assert_int_equal(create(r, i, BGRX, 64, 64), 0);
		assert_int_equal(
		    r->impl->export_memory(r, i, &fake.base, &dmabuf), i <= 64 ? 0 : -ENOSPC);
		if (i <= 64)
			close(dmabuf.fd);
	}
	r->impl->destroy_resource(r, 5);
	assert_int_equal(r->impl->export_memory(r, 70, &fake.base, &dmabuf), 0);
	close(dmabuf.fd);
	r->impl->reset(r);
	assert_int_equal(fake_udmabuf_open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_images_and_boxes_arrive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    sources_can_start_anywhere_in_the_backing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_resources_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_transfers_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_blob_is_its_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(there_is_nothing_3d, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    ten_thousand_resources_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_exported_picture_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(exports_are_bounded, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
