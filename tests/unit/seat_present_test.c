/* SPDX-License-Identifier: MIT */
/* The seat's frames: what is on screen when, who is told, and which buffers are free again. */
#include <fcntl.h>
#include <sys/eventfd.h>

#include "tests/unit/seat_rig.h"

static const struct seat_memory_output one_output[] = { RIG_OUTPUT };

static int set_up(void **state)
{
	struct seat_memory_options options = { .outputs = one_output, .output_count = 1 };
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig_init(rig, &options, "");
	rig_attach(rig, &rig->a, "a");
	seat_memory_flip(rig->backend, 0);
	for (uint32_t id = 0; id < 4; id++) {
		rig_allocate(&rig->a, id, 0, RIG_W, RIG_H);
		rig_fill(&rig->a, id, 0x111111 * (id + 1));
	}
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	rig_finish(*state);
	free(*state);
	return 0;
}

/* A frame is on screen, and told to be, at the flip after it was presented. */
static void test_shown_at_flip(void **state)
{
	struct rig *rig = *state;

	rig_present(&rig->a, 0, 0, 7);
	assert_int_equal(rig->a.shown[0], 0);
	assert_int_equal(rig_pixel(rig, 0, 5, 5), 0);
	assert_true(seat_memory_flip(rig->backend, 0));
	assert_int_equal(rig->a.shown[0], 1);
	assert_int_equal(rig->a.serial[0], 7);
	assert_true(rig->a.time_ns[0] > 0);
	assert_int_equal(rig_pixel(rig, 0, 5, 5), 0x111111);
	assert_int_equal(rig->a.released[0], 0);
	/* Nothing changes, nothing is committed. */
	assert_false(seat_memory_flip(rig->backend, 0));
	assert_int_equal(rig->a.shown[0], 1);
}

/* The buffer that was on screen is free again at the next one's flip, not before. */
static void test_released_at_flip(void **state)
{
	struct rig *rig = *state;

	rig_present(&rig->a, 0, 0, 1);
	seat_memory_flip(rig->backend, 0);
	rig_present(&rig->a, 0, 1, 2);
	assert_int_equal(rig->a.released[0], 0);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig->a.released[0], 1);
	assert_int_equal(rig->a.released[1], 0);
	assert_int_equal(rig_pixel(rig, 0, 0, 0), 0x222222);
}

/* While a commit is on its way the newest frame waits; those in between are free at once, and
 * count as shown with it. */
static void test_mailbox(void **state)
{
	struct rig *rig = *state;

	rig_present(&rig->a, 0, 0, 1);
	for (uint64_t serial = 2; serial < 10000; serial++) {
		rig_present(&rig->a, 0, 1 + serial % 3, serial);
		assert_int_equal(rig->a.released[1 + serial % 3], (serial - 2) / 3);
	}
	assert_int_equal(rig->a.shown[0], 0);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig->a.shown[0], 1);
	assert_int_equal(rig->a.serial[0], 1);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig->a.shown[0], 2);
	assert_int_equal(rig->a.serial[0], 9999);
	assert_int_equal(rig_pixel(rig, 0, 0, 0), 0x111111 * (2 + 9999 % 3));
	assert_int_equal(seat_memory_get_counts(rig->backend).commits, 4);
}

/* A frame whose fence has not signalled waits, the one before stays; a later one that is ready goes
 * first. */
static void test_fence(void **state)
{
	struct rig *rig = *state;
	const int fence = eventfd(0, EFD_CLOEXEC), mine = dup(fence);
	const uint64_t one = 1;

	rig_present(&rig->a, 0, 0, 1);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig_try_present(&rig->a, 0, 1, 2, fence), 0);
	rig_run(rig);
	assert_false(seat_memory_is_pending(rig->backend, 0));
	assert_int_equal(write(mine, &one, sizeof(one)), sizeof(one));
	rig_run(rig);
	assert_true(seat_memory_is_pending(rig->backend, 0));
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig_pixel(rig, 0, 0, 0), 0x222222);
	assert_int_equal(rig->a.serial[0], 2);
	close(mine);
}

/* A fence that never signals holds up nobody, and is forgotten with its guest. */
static void test_fence_never(void **state)
{
	struct rig *rig = *state;
	const int fence = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(rig_try_present(&rig->a, 0, 1, 1, fence), 0);
	rig_present(&rig->a, 0, 2, 2);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig->a.serial[0], 2);
	assert_int_equal(rig->a.released[1], 1);
	assert_int_equal(rig_pixel(rig, 0, 0, 0), 0x333333);
	assert_int_equal(rig_try_present(&rig->a, 0, 3, 3, eventfd(0, EFD_CLOEXEC)), 0);
}

/* What is on screen stays there when its buffer is freed, and when its guest ends; until the next
 * one presents. */
static void test_last_picture(void **state)
{
	struct rig *rig = *state;

	rig_present(&rig->a, 0, 0, 1);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(seat_free(rig->a.source, 0), 0);
	assert_int_equal(seat_free(rig->a.source, 0), -ENOENT);
	assert_int_equal(rig_try_present(&rig->a, 0, 0, 2, -1), -ENOENT);
	seat_detach(rig->a.source);
	rig->a.source = NULL;
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig_pixel(rig, 0, 0, 0), 0x111111);
	rig_attach(rig, &rig->a, "a");
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig_pixel(rig, 0, 0, 0), 0x111111);
	rig_allocate(&rig->a, 0, 0, RIG_W, RIG_H);
	rig_fill(&rig->a, 0, 0xabcdef);
	rig_present(&rig->a, 0, 0, 1);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig_pixel(rig, 0, 0, 0), 0xabcdef);
}

/* Presenting nothing shows black, and is told like any frame. */
static void test_nothing(void **state)
{
	struct rig *rig = *state;

	rig_present(&rig->a, 0, 0, 1);
	seat_memory_flip(rig->backend, 0);
	rig_present(&rig->a, 0, SEAT_NO_BUFFER, 2);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig->a.serial[0], 2);
	assert_int_equal(rig->a.released[0], 1);
	assert_int_equal(rig_pixel(rig, 0, 0, 0), 0);
}

static void test_hostile(void **state)
{
	struct rig *rig = *state;
	struct seat_present present = { .id = 0, .source = { 0, 0, RIG_W, RIG_H } };
	uint32_t stride, size;
	void *map;

	assert_int_equal(rig_try_present(&rig->a, 16, 0, 1, -1), -EINVAL);
	assert_int_equal(rig_try_present(&rig->a, 0, 64, 1, -1), -EINVAL);
	assert_int_equal(rig_try_present(&rig->a, 0, 63, 1, -1), -ENOENT);
	present.source.x = 1;
	assert_int_equal(seat_present(rig->a.source, &present, -1), -EINVAL);
	present.source = (struct display_rect){ UINT32_MAX, 0, 2, 1 };
	assert_int_equal(seat_present(rig->a.source, &present, -1), -EINVAL);
	present.source = (struct display_rect){ 0, 0, 0, 1 };
	assert_int_equal(seat_present(rig->a.source, &present, -1), -EINVAL);
	present.source = (struct display_rect){ 0, 0, RIG_W, RIG_H };
	present.damage_count = SEAT_DAMAGE_MAX + 1;
	assert_int_equal(seat_present(rig->a.source, &present, -1), -EINVAL);
	present.damage_count = 1;
	present.damage[0] = (struct display_rect){ 0, RIG_H, 1, 1 };
	assert_int_equal(seat_present(rig->a.source, &present, -1), -EINVAL);
	assert_int_equal(
	    seat_allocate(rig->a.source, 0, 0, 1, 1, &stride, &size, NULL, &map), -EEXIST);
	assert_int_equal(
	    seat_allocate(rig->a.source, 64, 0, 1, 1, &stride, &size, NULL, &map), -EDQUOT);
	assert_int_equal(
	    seat_allocate(rig->a.source, 5, 16, 1, 1, &stride, &size, NULL, &map), -EINVAL);
	assert_int_equal(
	    seat_allocate(rig->a.source, 5, 0, 16385, 1, &stride, &size, NULL, &map), -EINVAL);
	assert_int_equal(
	    seat_allocate(rig->a.source, 5, 0, 0, 1, &stride, &size, NULL, &map), -EINVAL);
	assert_int_equal(seat_free(rig->a.source, UINT32_MAX), -ENOENT);
	assert_false(seat_memory_is_pending(rig->backend, 0));
}

/* Buffers of all sizes are shown, scaled into the output; together they are no larger than the
 * quota. */
static void test_sizes(void **state)
{
	struct rig *rig = *state;
	uint32_t stride, size;
	void *map;

	rig_allocate(&rig->a, 10, 0, 1, 1);
	rig_fill(&rig->a, 10, 0x00ff00);
	rig_present(&rig->a, 0, 10, 1);
	seat_memory_flip(rig->backend, 0);
	/* As large as it fits, a square in the middle. */
	assert_int_equal(rig_pixel(rig, 0, RIG_W / 2, RIG_H / 2), 0x00ff00);
	assert_int_equal(rig_pixel(rig, 0, (RIG_W - RIG_H) / 2, 0), 0x00ff00);
	assert_int_equal(rig_pixel(rig, 0, (RIG_W - RIG_H) / 2 - 1, 0), 0);
	/* The four of set_up() and a pixel are there already. */
	assert_int_equal(
	    seat_allocate(rig->a.source, 11, 0, 16384, 16384, &stride, &size, NULL, &map), -EDQUOT);
	assert_int_equal(
	    seat_allocate(rig->a.source, 11, 0, 16384, 8192, &stride, &size, NULL, &map), 0);
	((uint32_t *)map)[0] = 0xffffff;
	assert_int_equal(
	    seat_allocate(rig->a.source, 12, 0, 16384, 8192, &stride, &size, NULL, &map), -EDQUOT);
	assert_int_equal(seat_free(rig->a.source, 11), 0);
	assert_int_equal(
	    seat_allocate(rig->a.source, 12, 0, 16384, 8192, &stride, &size, NULL, &map), 0);
}

/* What a guest's clients have left on screen is the guest's: others of its do not get all again. */
static void test_quota_stays(void **state)
{
	struct rig *rig = *state;
	uint32_t stride, size;
	void *map;

	rig_allocate(&rig->a, 10, 1, 16384, 8192);
	rig_present(&rig->a, 1, 10, 1); /* nobody sees it */
	seat_detach(rig->a.source);
	rig->a.source = NULL;
	rig_attach(rig, &rig->a, "a");
	assert_int_equal(
	    seat_allocate(rig->a.source, 10, 1, 16384, 16384, &stride, &size, NULL, &map), -EDQUOT);
	rig_present(&rig->a, 1, SEAT_NO_BUFFER, 2);
	assert_int_equal(
	    seat_allocate(rig->a.source, 10, 1, 16384, 16384, &stride, &size, NULL, &map), 0);
	assert_int_equal(seat_source_bytes(rig->a.source), UINT64_C(1) << 30);
}

/* What is not mapped by the seat's own memory comes by a descriptor. */
static void test_import(void **state)
{
	struct rig *rig = *state;
	struct display_dmabuf dmabuf = { .fd =
					     memfd_create("frame", MFD_ALLOW_SEALING | MFD_CLOEXEC),
		.width = RIG_W,
		.height = RIG_H,
		.stride = RIG_W * 4,
		.fourcc = DRM_FORMAT_XRGB8888,
		.y0_top = false };
	uint32_t *pixels;

	assert_int_equal(ftruncate(dmabuf.fd, RIG_W * RIG_H * 4), 0);
	pixels = mmap(NULL, RIG_W * RIG_H * 4, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf.fd, 0);
	assert_true(pixels != MAP_FAILED);
	pixels[0] = 0x123456; /* of the bottom row */
	/* It could be cut short under the seat. */
	assert_int_equal(seat_import(rig->a.source, 20, 0, &dmabuf), -EINVAL);
	assert_int_equal(fcntl(dmabuf.fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	dmabuf.height++;
	assert_int_equal(seat_import(rig->a.source, 20, 0, &dmabuf), -EINVAL);
	dmabuf.height--;
	dmabuf.modifier = 1;
	assert_int_equal(seat_import(rig->a.source, 20, 0, &dmabuf), -ENOTSUP);
	dmabuf.modifier = 0;
	assert_int_equal(seat_import(rig->a.source, 20, 0, &dmabuf), 0);
	close(dmabuf.fd);
	rig->a.width[20] = RIG_W;
	rig->a.height[20] = RIG_H;
	rig_present(&rig->a, 0, 20, 1);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig_pixel(rig, 0, 0, RIG_H - 1), 0x123456);
	munmap(pixels, RIG_W * RIG_H * 4);
}

/* Who draws into a picture without having said so holds up nobody else, and only until what was
 * being drawn when it was presented is done. */
static void test_drawing(void **state)
{
	struct rig *rig = *state;
	struct display_dmabuf dmabuf = { .fd =
					     memfd_create("frame", MFD_ALLOW_SEALING | MFD_CLOEXEC),
		.width = RIG_W,
		.height = RIG_H,
		.stride = RIG_W * 4,
		.fourcc = DRM_FORMAT_XRGB8888,
		.y0_top = true };
	const int drawn = eventfd(0, EFD_CLOEXEC), fence = eventfd(0, EFD_CLOEXEC);
	const uint64_t one = 1;

	assert_int_equal(ftruncate(dmabuf.fd, RIG_W * RIG_H * 4), 0);
	assert_int_equal(fcntl(dmabuf.fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(seat_import(rig->a.source, 20, 0, &dmabuf), 0);
	close(dmabuf.fd);
	rig->a.width[20] = RIG_W;
	rig->a.height[20] = RIG_H;
	seat_memory_set_drawing(rig->backend, drawn);
	rig_present(&rig->a, 0, 20, 1);
	rig_run(rig);
	assert_false(seat_memory_is_pending(rig->backend, 0));
	rig_present(&rig->a, 0, 0, 2);
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig->a.serial[0], 2);
	assert_int_equal(rig->a.released[20], 1);
	/* Also where its fence has signalled, or does later. */
	assert_int_equal(rig_try_present(&rig->a, 0, 20, 3, fence), 0);
	assert_int_equal(write(fence, &one, sizeof(one)), sizeof(one));
	rig_run(rig);
	assert_false(seat_memory_is_pending(rig->backend, 0));
	assert_int_equal(write(drawn, &one, sizeof(one)), sizeof(one));
	rig_run(rig);
	assert_true(seat_memory_is_pending(rig->backend, 0));
	seat_memory_flip(rig->backend, 0);
	assert_int_equal(rig->a.serial[0], 3);
	seat_memory_set_drawing(rig->backend, -1);
	close(drawn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(test_shown_at_flip),
		T(test_released_at_flip),
		T(test_mailbox),
		T(test_fence),
		T(test_fence_never),
		T(test_last_picture),
		T(test_nothing),
		T(test_hostile),
		T(test_sizes),
		T(test_quota_stays),
		T(test_import),
		T(test_drawing),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
