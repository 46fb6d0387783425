/* SPDX-License-Identifier: MIT */
/* EDIDs: their bytes, and what edid-decode --check says of them where it is installed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/edid.h"

#include <cmocka.h>

static const struct edid_mode modes[] = {
	{ 1920, 1080, 60000, 520, 290, 1 },
	{ 1024, 768, 0, 0, 0, 2 },
	{ 640, 480, 75000, 320, 240, 3 },
	{ 800, 600, 1000, 0, 0, 1 },
	{ 1366, 768, 59790, 300, 170, 1 },
	{ 1367, 769, 60000, 300, 170, 1 }, /* not a multiple of 8 */
	{ 1, 1, 60000, 0, 0, 1 },
	{ 1, 1, 1000, 0, 0, 1 },
	{ 63, 65, 60000, 100, 100, 1 },
	{ 1440, 2560, 90000, 110, 200, 1 },
	{ 3840, 2160, 60000, 600, 340, 1 },
	{ 4095, 4095, 30000, 1000, 1000, 1 },
	/* Beyond the base block: size, and pixel clock */
	{ 3840, 2160, 120000, 600, 340, 1 },
	{ 4096, 2160, 60000, 600, 340, 1 },
	{ 5120, 2880, 60000, 600, 340, 1 },
	{ 7680, 4320, 120000, 0, 0, 1 },
	{ 16384, 16384, 60000, 1000, 1000, 1 },
	{ 16384, 16384, 1000000, 0, 0, 1 },
	{ 1920, 1080, 1000000, 520, 290, UINT32_MAX },
	{ 8192, 16, 60000, 0, 0, 1 },
	{ 16, 8192, 60000, 0, 0, 1 },
	{ 1, 16384, 1000, 0, 0, 1 },
	{ 16384, 1, 1000, 0, 0, 1 },
	/* Physical sizes at and beyond what can be said */
	{ 1920, 1080, 60000, 2550, 2550, 1 },
	{ 1920, 1080, 60000, 2551, 100, 1 },
	{ 1920, 1080, 60000, 100, 4, 1 },
	{ 1920, 1080, 60000, UINT32_MAX, UINT32_MAX, 1 },
	/* Brought into range */
	{ 0, 0, 1, 0, 0, 0 },
	{ UINT32_MAX, UINT32_MAX, UINT32_MAX, 0, 0, 1 },
};
#define MODES (sizeof(modes) / sizeof(modes[0]))

static uint8_t sum(const uint8_t *bytes, size_t count)
{
	uint8_t total = 0;

	for (size_t i = 0; i < count; i++)
		total = (uint8_t)(total + bytes[i]);
	return total;
}

static uint32_t in_range(uint32_t n)
{
	return n < 1 ? 1 : n > 16384 ? 16384 : n;
}

static void test_blocks_and_checksums(void **state)
{
	for (size_t i = 0; i < MODES; i++) {
		uint8_t edid[EDID_SIZE];
		size_t size = edid_make(&modes[i], NULL, edid);

		assert_true(size == 128 || size == 256);
		assert_memory_equal(edid, "\x00\xff\xff\xff\xff\xff\xff\x00", 8);
		assert_int_equal(edid[126], size / 128 - 1);
		assert_int_equal(sum(edid, 128), 0);
		assert_int_equal(sum(edid + 128, 128), 0); /* also where it is not used */
	}
}

/* What a driver takes for the preferred mode is exactly what was asked for. */
static void test_preferred_mode(void **state)
{
	for (size_t i = 0; i < MODES; i++) {
		const uint32_t width = in_range(modes[i].width), height = in_range(modes[i].height);
		uint8_t edid[EDID_SIZE];
		size_t size = edid_make(&modes[i], NULL, edid);
		const uint8_t *dtd = edid + 54;
		uint32_t base_width = dtd[2] | (dtd[4] & 0xf0u) << 4;
		uint32_t base_height = dtd[5] | (dtd[7] & 0xf0u) << 4;
		uint64_t clock = (dtd[0] | (uint32_t)dtd[1] << 8) * UINT64_C(10000);
		uint32_t h_total = base_width + (dtd[3] | (dtd[4] & 0xfu) << 8);
		uint32_t v_total = base_height + (dtd[6] | (dtd[7] & 0xfu) << 8);

		assert_true(clock > 0 && base_width > 0 && base_height > 0);
		if (size == 128) {
			uint64_t want = modes[i].refresh ? modes[i].refresh : 60000;
			uint64_t got = clock * 1000 / ((uint64_t)h_total * v_total);

			assert_int_equal(base_width, width);
			assert_int_equal(base_height, height);
			if (want >= 1000) /* to half a percent */
				assert_true(got * 200 >= want * 199 && got * 200 <= want * 201);
		} else {
			/* DisplayID: product, parameters, interface, then the timing */
			const uint8_t *timing = edid + 128 + 5 + 15 + 15 + 13;

			assert_int_equal(edid[128], 0x70);
			assert_int_equal(sum(edid + 129, 126), 0);
			assert_int_equal(timing[0], 0x03);
			assert_true(timing[6] & 0x80);
			assert_int_equal((timing[7] | (uint32_t)timing[8] << 8) + 1, width);
			assert_int_equal((timing[15] | (uint32_t)timing[16] << 8) + 1, height);
			/* and the base block's is not preferred to it */
			assert_true((uint64_t)base_width * base_height <= (uint64_t)width * height);
		}
	}
}

static void test_odd_width_survives(void **state)
{
	for (uint32_t width = 64; width < 4096; width += 37) {
		const struct edid_mode mode = { .width = width, .height = 601 };
		uint8_t edid[EDID_SIZE];

		assert_int_equal(edid_make(&mode, NULL, edid), 128);
		assert_int_equal(edid[56] | (edid[58] & 0xf0u) << 4, width);
	}
}

static void test_name_and_serial(void **state)
{
	const struct edid_mode mode = { .width = 800, .height = 600, .serial = 3 };
	uint8_t edid[EDID_SIZE];

	edid_make(&mode, NULL, edid);
	assert_memory_equal(edid + 77, "gpudom 3\n    ", 13);
	assert_int_equal(edid[12], 3);
}

static void test_identity(void **state)
{
	static const struct edid_mode modes_of_two[] = { { 800, 600, 0, 520, 290, 1 },
		{ 5120, 2880, 0, 600, 340, 2 } };
	struct edid_identity identity = { 0 };
	const char *expected;
	uint8_t edid[EDID_SIZE];

	assert_int_equal(edid_identity_set(&identity, "edid-name", "Cluster left!", &expected), 0);
	assert_int_equal(edid_identity_set(&identity, "edid-vendor", "DEL", &expected), 0);
	assert_int_equal(edid_identity_set(&identity, "edid-product", "0xa0b1", &expected), 0);
	assert_int_equal(edid_identity_set(&identity, "edid-serial", "4000000000", &expected), 0);
	for (unsigned i = 0; i < 2; i++) {
		edid_make(&modes_of_two[i], &identity, edid);
		/* Five bits a letter, D is 4 */
		assert_int_equal(edid[8] << 8 | edid[9], 4 << 10 | 5 << 5 | 12);
		assert_int_equal(edid[10] | edid[11] << 8, 0xa0b1);
		assert_int_equal(edid[12] | (uint32_t)edid[13] << 8 | (uint32_t)edid[14] << 16 |
				     (uint32_t)edid[15] << 24,
		    4000000000u + i);
		assert_memory_equal(edid + 77, "Cluster left!", 13);
	}
	/* The extension says the same */
	assert_memory_equal(edid + 128 + 8, "DEL\xb1\xa0", 5);
	/* What is left open is as without */
	identity = (struct edid_identity){ .product = 7 };
	edid_make(&modes_of_two[1], &identity, edid);
	assert_memory_equal(edid + 77, "gpudom 2\n    ", 13);
	assert_int_equal(edid[10], 7);
	assert_int_equal(edid[12], 2);
}

static void test_wrong_identities(void **state)
{
	static const struct {
		const char *name, *value, *expected;
	} wrong[] = {
		{ "edid-name", "", "1 to 13 characters" },
		{ "edid-name", "fourteen chars", "1 to 13 characters" },
		{ "edid-name", "line\nfeed", "1 to 13 characters" },
		{ "edid-name", "\xc3\xbc", "1 to 13 characters" },
		{ "edid-name", " x", "1 to 13 characters" },
		{ "edid-vendor", "DE", "three letters" },
		{ "edid-vendor", "DELL", "three letters" },
		{ "edid-vendor", "del", "three letters" },
		{ "edid-vendor", "D3L", "three letters" },
		{ "edid-product", "65536", "65535" },
		{ "edid-product", "-1", "65535" },
		{ "edid-product", "0x", "65535" },
		{ "edid-serial", "4294967296", "4294967295" },
		{ "edid-serial", "1x", "4294967295" },
	};
	static const char *const sizes[] = { "520", "520x", "x290", "520x290x1", "4x290",
		"520x2551", "-520x290", "520 x290", "99999999999x1", "520x290mm", "" };
	struct edid_identity identity = { 0 };
	const char *expected = NULL;
	uint32_t width, height;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(
		    edid_identity_set(&identity, wrong[i].name, wrong[i].value, &expected),
		    -EINVAL);
		assert_non_null(strstr(expected, wrong[i].expected));
	}
	assert_int_equal(edid_identity_set(&identity, "mode", "1", &expected), -ENOENT);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(edid_size_parse(sizes[i], &width, &height), -EINVAL);
	assert_int_equal(edid_size_parse("5x2550", &width, &height), 0);
	assert_int_equal(width, 5);
	assert_int_equal(height, 2550);
}

/* edid-decode --check exits with 0 where it finds nothing wrong. */
static int edid_decode(const uint8_t *edid, size_t size)
{
	char path[] = "/tmp/gpudom-edid-XXXXXX", command[256];
	int fd = mkstemp(path), status;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, edid, size), size);
	close(fd);
	snprintf(command, sizeof(command), "edid-decode --check %s", path);
	status = system(command); /* NOLINT(cert-env33-c): a fixed command line */
	unlink(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_edid_decode_finds_nothing(void **state)
{
	uint8_t edid[EDID_SIZE];
	size_t size;

	if (system("command -v edid-decode >/dev/null") != 0) /* NOLINT(cert-env33-c) */
		skip();
	for (size_t i = 0; i < MODES; i++) {
		size = edid_make(&modes[i], NULL, edid);
		assert_int_equal(edid_decode(edid, size), 0);
	}
	for (size_t i = 0; i < MODES; i++) {
		const struct edid_identity identity = { "Cluster left!", "DEL", 0xffff, 12345 };

		size = edid_make(&modes[i], &identity, edid);
		assert_int_equal(edid_decode(edid, size), 0);
	}
	/* It does find something where there is something */
	size = edid_make(&modes[0], NULL, edid);
	edid[127] ^= 1;
	assert_int_not_equal(edid_decode(edid, size), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_and_checksums),
		cmocka_unit_test(test_preferred_mode),
		cmocka_unit_test(test_odd_width_survives),
		cmocka_unit_test(test_name_and_serial),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_wrong_identities),
		cmocka_unit_test(test_edid_decode_finds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
