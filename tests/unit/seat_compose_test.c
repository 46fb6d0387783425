/* SPDX-License-Identifier: MIT */
/* Composing, pixel by pixel. */
#include "render/seat_compose.h"
#include "tests/unit/seat_rig.h"

#define W 8
#define H 6

static uint32_t canvas[W * H];
static const struct seat_damage all = { .all = true };

static struct seat_image *image_of(
    uint32_t *pixels, uint32_t width, uint32_t height, uint32_t fourcc, bool y0_top)
{
	const struct seat_fb fb = { width, height, width * 4, fourcc, y0_top };
	struct seat_image *image;

	assert_int_equal(seat_image_create(&fb, pixels, &image), 0);
	return image;
}

static void draw(struct seat_layer *layer, struct seat_image *image, const struct seat_damage *area)
{
	struct seat_image *to = image_of(canvas, W, H, DRM_FORMAT_XRGB8888, true);
	const struct seat_compose_layer entry = { layer, image };

	seat_compose(to, &entry, 1, area);
	seat_image_destroy(to);
	seat_image_destroy(image);
}

static uint32_t at(unsigned x, unsigned y)
{
	return canvas[y * W + x] & 0xffffff;
}

static void test_place(void **state)
{
	uint32_t pixels[4] = { 1, 2, 3, 4 };
	struct seat_layer layer = {
		.source = { 0, 0, 2, 2 }, .x = 3, .y = 1, .width = 2, .height = 2, .alpha = 65535
	};

	memset(canvas, 0xee, sizeof(canvas));
	draw(&layer, image_of(pixels, 2, 2, DRM_FORMAT_XRGB8888, true), &all);
	assert_int_equal(at(2, 1), 0);
	assert_int_equal(at(3, 1), 1);
	assert_int_equal(at(4, 1), 2);
	assert_int_equal(at(3, 2), 3);
	assert_int_equal(at(4, 2), 4);
	assert_int_equal(at(4, 3), 0);
	/* The first row is the bottom one. */
	draw(&layer, image_of(pixels, 2, 2, DRM_FORMAT_XRGB8888, false), &all);
	assert_int_equal(at(3, 1), 3);
	assert_int_equal(at(4, 2), 2);
	/* A part of it, half of which is outside. */
	layer.source = (struct display_rect){ 1, 0, 1, 2 };
	layer.width = 1;
	layer.x = W - 1;
	layer.y = -1;
	draw(&layer, image_of(pixels, 2, 2, DRM_FORMAT_XRGB8888, true), &all);
	assert_int_equal(at(W - 1, 0), 4);
	assert_int_equal(at(W - 1, 1), 0);
}

static void test_formats(void **state)
{
	uint32_t pixels[1] = { 0x00123456 };
	struct seat_layer layer = {
		.source = { 0, 0, 1, 1 }, .width = 1, .height = 1, .alpha = 65535
	};

	draw(&layer, image_of(pixels, 1, 1, DRM_FORMAT_XBGR8888, true), &all);
	assert_int_equal(at(0, 0), 0x563412);
	/* An alpha of nothing is seen where the format has one. */
	pixels[0] = 0x00000000;
	draw(&layer, image_of(pixels, 1, 1, DRM_FORMAT_ARGB8888, true), &all);
	assert_int_equal(at(0, 0), 0);
	assert_true(seat_format_has_alpha(DRM_FORMAT_ARGB8888));
	assert_false(seat_format_has_alpha(DRM_FORMAT_XRGB8888));
	assert_false(seat_format_readable(DRM_FORMAT_NV12));
}

static void test_alpha(void **state)
{
	uint32_t below[W * H], above[1] = { 0xffffffff };
	struct seat_image *to = image_of(canvas, W, H, DRM_FORMAT_XRGB8888, true);
	struct seat_layer layers[2] = {
		{ .source = { 0, 0, W, H }, .width = W, .height = H, .alpha = 65535 },
		{ .source = { 0, 0, 1, 1 },
		    .x = 2,
		    .y = 2,
		    .width = 1,
		    .height = 1,
		    .alpha = 32896 },
	};
	struct seat_compose_layer entries[2] = {
		{ &layers[0], image_of(below, W, H, DRM_FORMAT_XRGB8888, true) },
		{ &layers[1], image_of(above, 1, 1, DRM_FORMAT_XRGB8888, true) },
	};

	for (unsigned i = 0; i < W * H; i++)
		below[i] = 0x0000ff;
	seat_compose(to, entries, 2, &all);
	assert_int_equal(at(1, 2), 0x0000ff);
	assert_int_equal(at(2, 2), 0x8080ff);
	/* An opaque one above everything hides it. */
	layers[1].alpha = 65535;
	seat_compose(to, entries, 2, &all);
	assert_int_equal(at(2, 2), 0xffffff);
	layers[1].alpha = 0;
	seat_compose(to, entries, 2, &all);
	assert_int_equal(at(2, 2), 0x0000ff);
	for (unsigned i = 0; i < 2; i++)
		seat_image_destroy(entries[i].image);
	seat_image_destroy(to);
}

static void test_scaled(void **state)
{
	uint32_t pixels[2] = { 0x0000ff, 0x00ff00 };
	struct seat_layer layer = {
		.source = { 1, 0, 1, 1 }, .width = W, .height = H, .alpha = 65535
	};

	draw(&layer, image_of(pixels, 2, 1, DRM_FORMAT_XRGB8888, true), &all);
	assert_int_equal(at(W - 1, H - 1), 0x00ff00);
	assert_int_equal(at(W / 2, H / 2), 0x00ff00);
}

/* What is not damaged stays; where it maps to, on a scaled layer with what blurs. */
static void test_damage(void **state)
{
	uint32_t pixels[W * H] = { 0 };
	struct seat_layer layer = {
		.source = { 0, 0, W, H }, .width = W, .height = H, .alpha = 65535
	};
	struct seat_damage damage = { .count = 1, .rects = { { 2, 2, 100, 1 } } };
	struct display_rect mapped;

	memset(canvas, 0xee, sizeof(canvas));
	draw(&layer, image_of(pixels, W, H, DRM_FORMAT_XRGB8888, true), &damage);
	assert_int_equal(at(1, 2), 0xeeeeee);
	assert_int_equal(at(2, 2), 0);
	assert_int_equal(at(W - 1, 2), 0);
	assert_int_equal(at(2, 3), 0xeeeeee);
	layer.x = -2;
	assert_true(seat_compose_map(&layer, &(struct display_rect){ 1, 1, 2, 2 }, W, H, &mapped));
	assert_int_equal(mapped.x, 0);
	assert_int_equal(mapped.width, 1);
	assert_false(seat_compose_map(&layer, &(struct display_rect){ 0, 0, 2, 2 }, W, H, &mapped));
	assert_false(
	    seat_compose_map(&layer, &(struct display_rect){ 50, 50, 2, 2 }, W, H, &mapped));
	layer.x = 0;
	layer.width = 2 * W;
	assert_true(
	    seat_compose_map(&layer, &(struct display_rect){ 2, 0, 1, 1 }, 2 * W, 2 * H, &mapped));
	assert_true(mapped.x <= 2 && mapped.x + mapped.width >= 8);
}

/* More rectangles than there is room for become fewer that hold all of them. */
static void test_many(void **state)
{
	struct seat_damage damage = { 0 };

	assert_true(seat_damage_is_empty(&damage));
	for (unsigned i = 0; i < 1000; i++)
		seat_damage_add(&damage, &(struct display_rect){ i * 3, i * 7, 1, 1 });
	assert_true(damage.count <= SEAT_DAMAGE_RECTS);
	for (unsigned i = 0; i < 1000; i++) {
		bool inside = false;

		for (unsigned r = 0; r < damage.count; r++) {
			const struct display_rect *rect = &damage.rects[r];

			inside |= i * 3 >= rect->x && i * 3 < rect->x + rect->width &&
				  i * 7 >= rect->y && i * 7 < rect->y + rect->height;
		}
		assert_true(inside);
	}
	seat_damage_add(&damage, &(struct display_rect){ 0, 0, 0, 5 });
	damage.all = true;
	assert_false(seat_damage_is_empty(&damage));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_alpha),
		cmocka_unit_test(test_scaled),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
