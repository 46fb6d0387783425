/* SPDX-License-Identifier: MIT */
/* Which mode, CRTC, format and plane: what the KMS backend decides without a card. */
#include <drm_fourcc.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend/edid.h"
#include "render/kms_choose.h"
#include "render/kms_request.h"

#include <cmocka.h>

/* ---------------------------------------------------------------- EDID */

static void test_edid(void **state)
{
	const struct edid_mode small = { .width = 1024, .height = 768, .serial = 1 };
	const struct edid_mode large = { .width = 7680, .height = 4320, .serial = 1 };
	uint8_t edid[EDID_SIZE];
	size_t size = edid_make(&small, NULL, edid);

	assert_int_equal(kms_edid_check(edid, size), size);
	/* More than it says that it has */
	assert_int_equal(kms_edid_check(edid, EDID_SIZE), size);
	assert_int_equal(kms_edid_check(edid, size - 1), 0);
	assert_int_equal(kms_edid_check(edid, 0), 0);
	/* Any bit that is wrong */
	for (size_t bit = 0; bit < size * 8; bit += 37) {
		edid[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(kms_edid_check(edid, size), 0);
		edid[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* A header of something else, with a good checksum */
	edid[0] = 1;
	edid[127] = (uint8_t)(edid[127] - 1);
	assert_int_equal(kms_edid_check(edid, size), 0);

	size = edid_make(&large, NULL, edid);
	assert_int_equal(size, 256);
	assert_int_equal(kms_edid_check(edid, size), 256);
	/* The extension is cut off, or damaged */
	assert_int_equal(kms_edid_check(edid, 255), 0);
	edid[200] ^= 1;
	assert_int_equal(kms_edid_check(edid, size), 0);
}

static void test_edid_of_many_blocks(void **state)
{
	const struct edid_mode mode = { .width = 1024, .height = 768, .serial = 1 };
	uint8_t edid[256 * 128] = { 0 };

	edid_make(&mode, NULL, edid);
	edid[126] = 7;
	edid[127] = (uint8_t)(edid[127] - 7);
	/* Blocks of zeros have the right sum. */
	assert_int_equal(kms_edid_check(edid, sizeof(edid)), SEAT_EDID_MAX);
	edid[126] = 255;
	edid[127] = (uint8_t)(edid[127] - 248);
	assert_int_equal(kms_edid_check(edid, sizeof(edid)), 0);
}

/* ---------------------------------------------------------------- modes */

static drmModeModeInfo mode_of(uint16_t width, uint16_t height, uint32_t hz, uint32_t flags)
{
	return (drmModeModeInfo){
		.hdisplay = width,
		.vdisplay = height,
		.htotal = 1000,
		.vtotal = 1000,
		.clock = hz * 1000,
		.flags = flags,
	};
}

static void test_refresh(void **state)
{
	/* VESA 1920x1080 at 60 Hz, and CEA's at 59.94 Hz */
	drmModeModeInfo mode = { .clock = 148500, .htotal = 2200, .vtotal = 1125 };

	assert_int_equal(kms_mode_refresh(&mode), 60000);
	mode.clock = 148352;
	assert_int_equal(kms_mode_refresh(&mode), 59940);
	mode.flags = DRM_MODE_FLAG_INTERLACE;
	assert_int_equal(kms_mode_refresh(&mode), 119880);
	mode.flags = DRM_MODE_FLAG_DBLSCAN;
	assert_int_equal(kms_mode_refresh(&mode), 29970);
	mode.flags = 0;
	mode.vscan = 2;
	assert_int_equal(kms_mode_refresh(&mode), 29970);
	mode.vtotal = 0;
	assert_int_equal(kms_mode_refresh(&mode), 0);
	mode = (drmModeModeInfo){ .clock = UINT32_MAX, .htotal = 1, .vtotal = 1 };
	assert_int_equal(kms_mode_refresh(&mode), 0);
}

static void test_mode_find(void **state)
{
	drmModeModeInfo modes[] = {
		mode_of(1920, 1080, 60, DRM_MODE_FLAG_INTERLACE),
		mode_of(1920, 1080, 50, 0),
		mode_of(1920, 1080, 60, 0),
		mode_of(1920, 1080, 120, 0),
		mode_of(1280, 720, 60, 0),
		mode_of(0, 0, 60, 0),
		mode_of(800, 600, 60, DRM_MODE_FLAG_INTERLACE),
	};
	unsigned count = sizeof(modes) / sizeof(modes[0]);

	modes[2].type = DRM_MODE_TYPE_PREFERRED;
	modes[5].htotal = 0;
	assert_int_equal(kms_mode_find(modes, count, 1920, 1080, 0), 2);
	assert_int_equal(kms_mode_find(modes, count, 1920, 1080, 50000), 1);
	assert_int_equal(kms_mode_find(modes, count, 1920, 1080, 119880), 3);
	/* The interlaced one has 120 fields */
	assert_int_equal(kms_mode_find(modes, count, 1920, 1080, 60000), 2);
	assert_int_equal(kms_mode_find(modes, count, 1920, 1080, 75000), -EINVAL);
	assert_int_equal(kms_mode_find(modes, count, 1280, 720, 0), 4);
	/* Interlaced is better than nothing */
	assert_int_equal(kms_mode_find(modes, count, 800, 600, 0), 6);
	assert_int_equal(kms_mode_find(modes, count, 1, 1, 0), -EINVAL);
	assert_int_equal(kms_mode_find(modes, count, 0, 0, 0), -EINVAL);
	assert_int_equal(kms_mode_find(modes, 0, 800, 600, 0), -EINVAL);
}

/* ---------------------------------------------------------------- CRTCs */

static void test_crtcs(void **state)
{
	/* Who can use two gives way to who can use one. */
	struct kms_crtc_wish two[] = {
		{ .possible = 3, .crtc = -1 },
		{ .possible = 1, .crtc = -1 },
	};
	/* They stay where they are. */
	struct kms_crtc_wish stable[] = {
		{ .possible = 7, .crtc = 2 },
		{ .possible = 7, .crtc = -1 },
		{ .possible = 7, .crtc = 0 },
	};
	/* One who is lit is not moved, not even for somebody who stays dark then. */
	struct kms_crtc_wish fixed[] = {
		{ .possible = 3, .crtc = 0, .fixed = true },
		{ .possible = 1, .crtc = -1 },
	};
	/* A chain: each one moves on. */
	struct kms_crtc_wish chain[] = {
		{ .possible = 3, .crtc = 0 },
		{ .possible = 6, .crtc = 1 },
		{ .possible = 1, .crtc = -1 },
	};
	/* More than there are, one who wants none, and one that has what it cannot have */
	struct kms_crtc_wish many[] = {
		{ .possible = 1, .crtc = -1 },
		{ .possible = 0, .crtc = 0 },
		{ .possible = 3, .crtc = -1 },
		{ .possible = 3, .crtc = 5 },
	};

	kms_crtcs_assign(two, 2);
	assert_int_equal(two[0].crtc, 1);
	assert_int_equal(two[1].crtc, 0);
	kms_crtcs_assign(stable, 3);
	assert_int_equal(stable[0].crtc, 2);
	assert_int_equal(stable[1].crtc, 1);
	assert_int_equal(stable[2].crtc, 0);
	kms_crtcs_assign(fixed, 2);
	assert_int_equal(fixed[0].crtc, 0);
	assert_int_equal(fixed[1].crtc, -1);
	kms_crtcs_assign(chain, 3);
	assert_int_equal(chain[0].crtc, 1);
	assert_int_equal(chain[1].crtc, 2);
	assert_int_equal(chain[2].crtc, 0);
	kms_crtcs_assign(many, 4);
	assert_int_equal(many[0].crtc, 0);
	assert_int_equal(many[1].crtc, -1);
	assert_int_equal(many[2].crtc, 1);
	assert_int_equal(many[3].crtc, -1);
}

/* ---------------------------------------------------------------- formats */

struct in_formats {
	struct drm_format_modifier_blob blob;
	uint32_t fourccs[4];
	struct drm_format_modifier modifiers[2];
};

static struct in_formats make_in_formats(void)
{
	return (struct in_formats){
		.blob = { .version = 1,
		    .count_formats = 3,
		    .formats_offset = offsetof(struct in_formats, fourccs),
		    .count_modifiers = 2,
		    .modifiers_offset = offsetof(struct in_formats, modifiers) },
		.fourccs = { DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888, DRM_FORMAT_RGB565 },
		.modifiers = { { .formats = 7, .modifier = DRM_FORMAT_MOD_LINEAR },
		    { .formats = 1, .offset = 1, .modifier = I915_FORMAT_MOD_X_TILED } },
	};
}

static void test_formats(void **state)
{
	struct in_formats in = make_in_formats();
	struct kms_format *formats;
	unsigned count;

	assert_int_equal(kms_formats_parse(&in, sizeof(in), &formats, &count), 0);
	assert_int_equal(count, 4);
	assert_true(kms_formats_have(formats, count, DRM_FORMAT_XRGB8888, DRM_FORMAT_MOD_LINEAR));
	assert_true(kms_formats_have(formats, count, DRM_FORMAT_RGB565, DRM_FORMAT_MOD_INVALID));
	assert_true(kms_formats_have(formats, count, DRM_FORMAT_ARGB8888, I915_FORMAT_MOD_X_TILED));
	assert_false(
	    kms_formats_have(formats, count, DRM_FORMAT_XRGB8888, I915_FORMAT_MOD_X_TILED));
	assert_false(kms_formats_have(formats, count, DRM_FORMAT_XBGR8888, DRM_FORMAT_MOD_INVALID));
	free(formats);

	/* Without modifiers, linear is what it means. */
	const struct kms_format plain = { DRM_FORMAT_XRGB8888, DRM_FORMAT_MOD_INVALID };
	assert_true(kms_formats_have(&plain, 1, DRM_FORMAT_XRGB8888, DRM_FORMAT_MOD_LINEAR));
	assert_false(kms_formats_have(&plain, 1, DRM_FORMAT_XRGB8888, I915_FORMAT_MOD_X_TILED));

	assert_int_equal(kms_format_bytes(DRM_FORMAT_ARGB8888), 4);
	assert_int_equal(kms_format_bytes(DRM_FORMAT_RGB565), 2);
	assert_int_equal(kms_format_bytes(DRM_FORMAT_NV12), 0);
	assert_int_equal(kms_format_opaque(DRM_FORMAT_ABGR8888), DRM_FORMAT_XBGR8888);
	assert_int_equal(kms_format_opaque(DRM_FORMAT_XRGB8888), 0);
}

static void test_damaged_formats(void **state)
{
	struct in_formats in;
	struct kms_format *formats = NULL;
	unsigned count;

	for (size_t size = 0; size < sizeof(in); size++) {
		/* An exact copy, so that a byte too many is seen. */
		uint8_t *cut = malloc(size ? size : 1);

		in = make_in_formats();
		assert_non_null(cut);
		memcpy(cut, &in, size);
		assert_int_equal(kms_formats_parse(cut, size, &formats, &count), -EINVAL);
		free(cut);
	}
	in = make_in_formats();
	in.blob.version = 2;
	assert_int_equal(kms_formats_parse(&in, sizeof(in), &formats, &count), -EINVAL);
	in = make_in_formats();
	in.blob.count_formats = UINT32_MAX;
	assert_int_equal(kms_formats_parse(&in, sizeof(in), &formats, &count), -EINVAL);
	in = make_in_formats();
	in.blob.modifiers_offset = UINT32_MAX - 7;
	assert_int_equal(kms_formats_parse(&in, sizeof(in), &formats, &count), -EINVAL);
	in = make_in_formats();
	in.blob.formats_offset++;
	assert_int_equal(kms_formats_parse(&in, sizeof(in), &formats, &count), -EINVAL);
	/* A mask of formats that there are not */
	in = make_in_formats();
	in.modifiers[0].formats = UINT64_MAX;
	in.modifiers[1].offset = UINT32_MAX;
	assert_int_equal(kms_formats_parse(&in, sizeof(in), &formats, &count), 0);
	assert_int_equal(count, 3);
	free(formats);
}

/* ---------------------------------------------------------------- planes */

static const struct kms_format rgb[] = {
	{ DRM_FORMAT_XRGB8888, DRM_FORMAT_MOD_LINEAR },
	{ DRM_FORMAT_ARGB8888, DRM_FORMAT_MOD_LINEAR },
};
#define RGB .usable = true, .formats = rgb, .format_count = 2
#define OPAQUE .usable = true, .formats = rgb, .format_count = 1
#define FIXED(z) .zpos = true, .zpos_min = (z), .zpos_max = (z)
#define RANGE(a, b) .zpos = true, .zpos_min = (a), .zpos_max = (b)
#define X                                     \
	{                                     \
		.fourcc = DRM_FORMAT_XRGB8888 \
	}
#define A                                     \
	{                                     \
		.fourcc = DRM_FORMAT_ARGB8888 \
	}
#define AX                                                                          \
	{                                                                           \
		.fourcc = DRM_FORMAT_ARGB8888, .fourcc_opaque = DRM_FORMAT_XRGB8888 \
	}

/* Cards as property lists say them, stacks, and the planes that they get; -1: none. */
static const struct {
	const char *name;
	struct kms_plane_traits planes[5];
	uint64_t plane_count;
	struct kms_layer_traits layers[4];
	uint64_t layer_count;
	int expected[4];
	uint64_t zpos[4];
} plane_cases[] = {
	{ "one on the primary plane", { { RGB }, { RGB, .primary = true } }, 2, { X }, 1, { 1 },
	    { 0 } },
	{ "without zpos by number", { { RGB, .primary = true }, { RGB }, { RGB } }, 3, { X, A, A },
	    3, { 0, 1, 2 }, { 0 } },
	{ "too few planes", { { RGB, .primary = true }, { RGB } }, 2, { X, A, A }, 3, { -1 },
	    { 0 } },
	{ "planes of other CRTCs are not touched",
	    { { .primary = true, .formats = rgb, .format_count = 2 }, { RGB, .primary = true },
		{ RGB } },
	    3, { X, A }, 2, { 1, 2 }, { 0 } },
	{ "immutable zpos, not in their order",
	    { { RGB, FIXED(3) }, { RGB, FIXED(1) }, { RGB, FIXED(2) },
		{ RGB, FIXED(0), .primary = true } },
	    4, { X, A, A, A }, 4, { 3, 1, 2, 0 }, { 0, 1, 2, 3 } },
	{ "zpos of one's own",
	    { { RGB, FIXED(0), .primary = true }, { RGB, RANGE(1, 3) }, { RGB, RANGE(1, 3) } }, 3,
	    { X, A, A }, 3, { 0, 1, 2 }, { 0, 1, 2 } },
	{ "zpos of all in one range",
	    { { RGB, RANGE(0, 2) }, { RGB, RANGE(0, 2), .primary = true }, { RGB, RANGE(0, 2) } },
	    3, { X, A, A }, 3, { 1, 0, 2 }, { 0, 1, 2 } },
	{ "a range that ends", { { RGB, FIXED(1), .primary = true }, { RGB, RANGE(0, 1) } }, 2,
	    { X, A }, 2, { -1 }, { 0 } },
	{ "an opaque overlay is left for who can use it",
	    { { RGB, .primary = true }, { RGB, RANGE(1, 2) }, { OPAQUE, RANGE(1, 2) } }, 3,
	    { X, X, A }, 3, { 0, 2, 1 }, { 0, 1, 2 } },
	{ "alpha ignored at the bottom", { { OPAQUE, .primary = true } }, 1, { AX }, 1, { 0 },
	    { 0 } },
	{ "alpha not ignored above", { { RGB, .primary = true }, { OPAQUE } }, 2, { X, A }, 2,
	    { -1 }, { 0 } },
	{ "transparent as a whole", { { RGB, .primary = true }, { RGB }, { RGB, .alpha = true } },
	    3, { X, { .fourcc = DRM_FORMAT_XRGB8888, .alpha = true } }, 2, { 0, 2 }, { 0 } },
	{ "nobody can be transparent", { { RGB, .primary = true }, { RGB } }, 2,
	    { X, { .fourcc = DRM_FORMAT_XRGB8888, .alpha = true } }, 2, { -1 }, { 0 } },
	{ "upside down", { { RGB, .primary = true }, { RGB }, { RGB, .reflect = true } }, 3,
	    { X, { .fourcc = DRM_FORMAT_XRGB8888, .reflect = true } }, 2, { 0, 2 }, { 0 } },
	{ "a tiled buffer", { { RGB, .primary = true } }, 1,
	    { { .fourcc = DRM_FORMAT_XRGB8888, .modifier = I915_FORMAT_MOD_X_TILED } }, 1, { -1 },
	    { 0 } },
	{ "no primary plane", { { RGB } }, 1, { X }, 1, { -1 }, { 0 } },
	{ "no layer", { { RGB } }, 1, { X }, 0, { 0 }, { 0 } },
};

static void test_planes(void **state)
{
	for (unsigned i = 0; i < sizeof(plane_cases) / sizeof(plane_cases[0]); i++) {
		struct kms_choice choices[KMS_PLAN_MAX];
		int rc;

		print_message("%s\n", plane_cases[i].name);
		rc = kms_planes_choose(plane_cases[i].planes, (unsigned)plane_cases[i].plane_count,
		    plane_cases[i].layers, (unsigned)plane_cases[i].layer_count, choices);
		assert_int_equal(rc, plane_cases[i].expected[0] < 0 ? -EINVAL : 0);
		for (unsigned l = 0; rc == 0 && l < plane_cases[i].layer_count; l++) {
			assert_int_equal(choices[l].plane, plane_cases[i].expected[l]);
			assert_int_equal(choices[l].zpos, plane_cases[i].zpos[l]);
		}
	}
}

static void test_opaque_choice(void **state)
{
	const struct kms_plane_traits both = { RGB, .primary = true };
	const struct kms_plane_traits opaque = { OPAQUE, .primary = true };
	const struct kms_layer_traits layer = AX;
	struct kms_choice choice;

	assert_int_equal(kms_planes_choose(&both, 1, &layer, 1, &choice), 0);
	assert_false(choice.opaque);
	assert_int_equal(kms_planes_choose(&opaque, 1, &layer, 1, &choice), 0);
	assert_true(choice.opaque);
}

/* A search that would take for ever ends. */
static void test_many_planes(void **state)
{
	struct kms_plane_traits planes[64];
	struct kms_layer_traits layers[KMS_PLAN_MAX];
	struct kms_choice choices[KMS_PLAN_MAX];

	for (unsigned i = 0; i < 64; i++)
		planes[i] = (struct kms_plane_traits){ RGB, .primary = i == 0, RANGE(0, 1000) };
	for (unsigned i = 0; i < KMS_PLAN_MAX; i++)
		layers[i] = (struct kms_layer_traits)X;
	assert_int_equal(kms_planes_choose(planes, 64, layers, KMS_PLAN_MAX, choices), 0);
	assert_int_equal(choices[KMS_PLAN_MAX - 1].zpos, KMS_PLAN_MAX - 1);
	layers[KMS_PLAN_MAX - 1].fourcc = DRM_FORMAT_RGB565;
	assert_int_equal(kms_planes_choose(planes, 64, layers, KMS_PLAN_MAX, choices), -EINVAL);
	assert_int_equal(kms_planes_choose(planes, 64, layers, KMS_PLAN_MAX + 1, choices), -EINVAL);
}

/* ---------------------------------------------------------------- requests */

static void test_request(void **state)
{
	static struct kms_request request;

	kms_request_reset(&request);
	kms_request_object(&request, 5);
	kms_request_set(&request, 50, 1);
	kms_request_set(&request, 0, 2);
	kms_request_set(&request, 51, 3);
	kms_request_object(&request, 6);
	kms_request_set(&request, 60, 4);
	assert_int_equal(request.object_count, 2);
	assert_int_equal(request.value_count, 3);
	assert_int_equal(request.counts[0], 2);
	assert_int_equal(request.counts[1], 1);
	assert_int_equal(request.properties[2], 60);
	assert_int_equal(request.values[1], 3);
	for (unsigned i = 0; i < KMS_REQUEST_VALUES; i++)
		kms_request_set(&request, 1, i);
	assert_true(request.overflow);
	/* It does not reach the kernel. */
	assert_int_equal(kms_request_commit(&request, -1, 0, 0), -E2BIG);
	kms_request_reset(&request);
	for (unsigned i = 0; i <= KMS_REQUEST_OBJECTS; i++)
		kms_request_object(&request, i);
	assert_true(request.overflow);
	kms_request_reset(&request);
	assert_int_equal(kms_request_commit(&request, -1, 0, 0), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edid),
		cmocka_unit_test(test_edid_of_many_blocks),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_mode_find),
		cmocka_unit_test(test_crtcs),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_damaged_formats),
		cmocka_unit_test(test_planes),
		cmocka_unit_test(test_opaque_choice),
		cmocka_unit_test(test_many_planes),
		cmocka_unit_test(test_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
