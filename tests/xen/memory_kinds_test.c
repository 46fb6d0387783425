/* SPDX-License-Identifier: MIT */
/* What all kinds of guest memory must do alike: grants, foreign maps, and mmap of a front end's
 * regions run through the same tests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "tests/xen/fake_foreign.h"
#include "xen/memory_foreign.h"
#include "xen/memory_grant.h"
#include "xen/memory_xen.h"

/* After what it needs. */
#include <cmocka.h>

#define PAGE GNTDEV_PAGE_SIZE
#define DOMID 2
#define PAGES 400
#define REFERENCE 1000 /* of page 0 */

struct kind {
	const char *name;
	uint64_t first; /* address of page 0; the others follow */
	struct memory_region (*region)(void);
	int (*open)(void);
	/* The guest has page @page no more; it may be given back. */
	void (*take)(struct guest_memory *memory, uint32_t page, bool back);
	/* An address that another kind would take. */
	uint64_t alien;
};

/* -------------------------------------------------------------------- grants */

static struct memory_region grant_region(void)
{
	return memory_grant_region(DOMID);
}

static void grant_take(struct guest_memory *memory, uint32_t page, bool back)
{
	if (back)
		fake_gntdev_grant(DOMID, REFERENCE + page, page, 1, false);
	else
		fake_gntdev_revoke(REFERENCE + page, 1);
}

/* -------------------------------------------------------------- foreign maps */

static struct memory_region foreign_region(void)
{
	return memory_foreign_region(DOMID);
}

static int foreign_open_guest(void)
{
	return foreign_open(DOMID);
}

static void foreign_take(struct guest_memory *memory, uint32_t page, bool back)
{
	struct memory_region region = foreign_region();

	fake_foreign_set_absent(page, 1, !back);
	if (back)
		return;
	/* Xen tells it (IOREQ_TYPE_INVALIDATE). */
	assert_int_equal(memory_remove_region(memory, &region), 0);
	assert_int_equal(memory_add_region(memory, &region, foreign_open_guest()), 0);
}

/* ---------------------------------------------------------------------- mmap */

#define MMAP_FIRST UINT64_C(0x40000000)

/* Pages [first, first + count) as a region of the same file. */
static struct memory_region mmap_pages(uint32_t first, uint32_t count)
{
	return (struct memory_region){
		.guest_address = MMAP_FIRST + (uint64_t)first * PAGE,
		.user_address = MMAP_FIRST + (uint64_t)first * PAGE,
		.size = (uint64_t)count * PAGE,
		.mmap_offset = fake_gntdev_offset(first),
	};
}

static struct memory_region mmap_region(void)
{
	return mmap_pages(0, PAGES);
}

static void mmap_take(struct guest_memory *memory, uint32_t page, bool back)
{
	struct memory_region whole = mmap_region(), before = mmap_pages(0, page),
			     after = mmap_pages(page + 1, PAGES - page - 1);

	if (back) {
		assert_int_equal(memory_remove_region(memory, &before), 0);
		assert_int_equal(memory_remove_region(memory, &after), 0);
		assert_int_equal(memory_add_region(memory, &whole, gntdev_open()), 0);
	} else {
		assert_int_equal(memory_remove_region(memory, &whole), 0);
		assert_int_equal(memory_add_region(memory, &before, gntdev_open()), 0);
		assert_int_equal(memory_add_region(memory, &after, gntdev_open()), 0);
	}
}

static const struct kind kinds[] = {
	{ "grants", MEMORY_GRANT_ADDRESS | (uint64_t)REFERENCE << 12, grant_region, gntdev_open,
	    grant_take, (uint64_t)REFERENCE << 12 },
	{ "foreign", (uint64_t)FAKE_FOREIGN_FIRST << 12, foreign_region, foreign_open_guest,
	    foreign_take, MEMORY_GRANT_ADDRESS | (uint64_t)FAKE_FOREIGN_FIRST << 12 },
	{ "mmap", MMAP_FIRST, mmap_region, gntdev_open, mmap_take,
	    MEMORY_GRANT_ADDRESS | MMAP_FIRST },
};

static const struct kind *kind; /* that is being tested */

/* ------------------------------------------------------------------- the rig */

static uint64_t at(uint32_t page, uint32_t offset)
{
	return kind->first + (uint64_t)page * PAGE + offset;
}

static uint8_t *guest(uint32_t page, uint32_t offset)
{
	return fake_gntdev_memory + (size_t)page * PAGE + offset;
}

static int set_up(void **state)
{
	struct memory_region region;
	struct guest_memory *memory;

	log_init(LOG_LEVEL_ERROR, NULL);
	fake_gntdev_reset(PAGES);
	fake_foreign_reset(DOMID);
	fake_gntdev_grant(DOMID, REFERENCE, 0, PAGES, false);
	for (uint32_t i = 0; i < PAGES * PAGE; i++)
		fake_gntdev_memory[i] = (uint8_t)(i ^ i >> 12);
	region = kind->region();
	if (region.xen_flags)
		assert_int_equal(memory_xen_create(NULL, &region, &memory), 0);
	else
		assert_int_equal(memory_mmap_create(&memory), 0);
	assert_string_equal(memory->impl->name, kind->name);
	assert_int_equal(memory_add_region(memory, &region, kind->open()), 0);
	*state = memory;
	return 0;
}

static int tear_down(void **state)
{
	struct guest_memory *memory = *state;

	/* Grants: nothing is left. Foreign maps: at most the cache. */
	assert_int_equal(fake_gntdev->maps, 0);
	assert_true(fake_gntdev->foreign.maps <= MEMORY_FOREIGN_CHUNKS);
	memory_destroy(memory);
	assert_int_equal(fake_gntdev->foreign.maps, 0);
	fake_gntdev_finish();
	return 0;
}

/* ------------------------------------------------------------------- copying */

static void pieces_are_copied_in_order(void **state)
{
	uint8_t bytes[64 + 3 * PAGE + 7];
	struct memory_piece pieces[] = { { at(10, 0x60), 64 }, { at(3, 0), 0 },
		{ at(50, 4000), 3 * PAGE }, { at(11, PAGE - 7), 7 } };

	assert_int_equal(memory_read(*state, bytes, pieces, 4), 0);
	assert_memory_equal(bytes, guest(10, 0x60), 64);
	assert_memory_equal(bytes + 64, guest(50, 4000), 3 * PAGE);
	assert_memory_equal(bytes + 64 + 3 * PAGE, guest(12, 0) - 7, 7);
}

static void a_long_copy(void **state)
{
	size_t size = 300 * PAGE;
	struct memory_piece piece = { at(20, 1), (uint32_t)size };
	uint8_t *bytes = malloc(size);

	assert_non_null(bytes);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), 0);
	assert_memory_equal(bytes, guest(20, 1), size);
	memset(bytes, 0x3c, size);
	assert_int_equal(memory_write(*state, &piece, 1, bytes, size), 0);
	assert_memory_equal(bytes, guest(20, 1), size);
	assert_int_not_equal(*(guest(20, 1) + size), 0x3c);
	free(bytes);
}

static void a_write_ends_where_its_bytes_do(void **state)
{
	struct memory_piece pieces[] = { { at(100, 4090), 10 }, { at(200, 0), 100 } };
	uint8_t bytes[14];

	memset(bytes, 0xee, sizeof(bytes));
	assert_int_equal(memory_write(*state, pieces, 2, bytes, 14), 0);
	assert_memory_equal(guest(100, 4090), bytes, 10);
	assert_memory_equal(guest(200, 0), bytes, 4);
	assert_int_not_equal(*guest(200, 4), 0xee);
	assert_int_equal(memory_write(*state, pieces, 2, bytes, 0), 0);
	assert_int_equal(memory_write(*state, NULL, 0, bytes, 0), 0);
	assert_int_equal(memory_write(*state, pieces, 1, bytes, 14), -EFAULT);
	assert_int_equal(memory_write(*state, NULL, 0, bytes, 1), -EFAULT);
}

/* ------------------------------------------------------------------- mapping */

static void a_frame_buffer_is_one_run(void **state)
{
	struct memory_piece piece = { at(14, 0), 1228800 };
	struct memory_map *map;
	uint64_t calls = ((struct guest_memory *)*state)->statistics.map_calls;

	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ_WRITE, &map), 0);
	assert_int_equal(map->iov_count, 1);
	assert_int_equal(map->size, 1228800);
	assert_int_equal(map->iov[0].iov_len, 1228800);
	assert_memory_equal(map->iov[0].iov_base, guest(14, 0), 1228800);
	assert_true(((struct guest_memory *)*state)->statistics.map_calls <= calls + 1);
	((uint8_t *)map->iov[0].iov_base)[1000] ^= 0xff;
	assert_int_equal(*guest(14, 1000), ((const uint8_t *)map->iov[0].iov_base)[1000]);
	*guest(14, 2000) ^= 0xff;
	assert_int_equal(*guest(14, 2000), ((const uint8_t *)map->iov[0].iov_base)[2000]);
	memory_unmap(*state, map);
}

static void scattered_pages_come_in_order(void **state)
{
	struct memory_piece pieces[] = { { at(5, 0x800), 0x400 }, { at(5, 0xc00), 0x1400 },
		{ at(90, 0), PAGE }, { at(40, 0), 2 * PAGE }, { at(60, 0), 0 }, { at(60, 4), 4 } };
	uint8_t bytes[0x1800 + 3 * PAGE + 4];
	struct memory_map *map;
	size_t n = 0;

	assert_int_equal(memory_map(*state, pieces, 6, MEMORY_READ, &map), 0);
	assert_int_equal(map->size, sizeof(bytes));
	for (size_t i = 0; i < map->iov_count; i++) {
		assert_true(n + map->iov[i].iov_len <= sizeof(bytes));
		memcpy(bytes + n, map->iov[i].iov_base, map->iov[i].iov_len);
		n += map->iov[i].iov_len;
	}
	assert_int_equal(n, sizeof(bytes));
	assert_memory_equal(bytes, guest(5, 0x800), 0x1800);
	assert_memory_equal(bytes + 0x1800, guest(90, 0), PAGE);
	assert_memory_equal(bytes + 0x1800 + PAGE, guest(40, 0), 2 * PAGE);
	assert_memory_equal(bytes + 0x1800 + 3 * PAGE, guest(60, 4), 4);
	assert_true(map->iov[0].iov_len >= 0x1800); /* goes on in the same page: one run */
	memory_unmap(*state, map);
}

static void the_same_page_twice(void **state)
{
	struct memory_piece pieces[] = { { at(9, 0), PAGE }, { at(9, 0), PAGE }, { at(9, 10), 10 },
		{ at(9, 10), 10 } };
	struct memory_map *map;

	assert_int_equal(memory_map(*state, pieces, 4, MEMORY_READ, &map), 0);
	assert_int_equal(map->size, 2 * PAGE + 20);
	assert_memory_equal(map->iov[map->iov_count - 1].iov_base, guest(9, 10), 10);
	memory_unmap(*state, map);
}

static void a_map_outlives_its_region(void **state)
{
	struct memory_piece piece = { at(3, 100), 16 };
	struct memory_region region = kind->region();
	struct memory_map *map;
	uint8_t bytes[16];

	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), 0);
	assert_int_equal(memory_remove_region(*state, &region), 0);
	assert_int_equal(memory_remove_region(*state, &region), -ENOENT);
	assert_memory_equal(map->iov[0].iov_base, guest(3, 100), 16);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), -EFAULT);
	memory_unmap(*state, map);
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), -EFAULT);
	assert_int_equal(memory_add_region(*state, &region, kind->open()), 0);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), 0);
}

static void ten_thousand_maps_leave_nothing(void **state)
{
	struct memory_piece piece = { at(100, 0), 4 * PAGE };
	struct memory_map *map;

	for (unsigned i = 0; i < 10000; i++) {
		assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), 0);
		memory_unmap(*state, map);
	}
	assert_int_equal(((struct guest_memory *)*state)->statistics.maps, 0);
}

/* ---------------------------------------------------- only that request fails */

/* The second of two pieces cannot be reached. */
static void assert_unreachable(struct guest_memory *memory, uint64_t address, uint32_t length)
{
	struct memory_piece pieces[] = { { at(8, 0), 8 }, { address, length } };
	struct memory_map *map = NULL;
	uint8_t *bytes = calloc(1, (size_t)length + 8);
	uint64_t maps = memory->statistics.maps;

	assert_non_null(bytes);
	assert_int_equal(memory_map(memory, pieces, 2, MEMORY_READ, &map), -EFAULT);
	assert_null(map);
	assert_int_equal(memory->statistics.maps, maps);
	assert_int_equal(memory_read(memory, bytes, pieces, 2), -EFAULT);
	assert_int_equal(memory_write(memory, pieces, 2, bytes, (size_t)length + 8), -EFAULT);
	/* And what is right goes on. */
	assert_int_equal(memory_read(memory, bytes, pieces, 1), 0);
	assert_int_equal(memory_map(memory, pieces, 1, MEMORY_READ, &map), 0);
	assert_memory_equal(map->iov[0].iov_base, guest(8, 0), 8);
	memory_unmap(memory, map);
	free(bytes);
}

static void outside_of_what_the_guest_has(void **state)
{
	assert_unreachable(*state, at(PAGES, 0), 8);
	assert_unreachable(*state, at(PAGES - 1, PAGE - 4), 8);
	assert_unreachable(*state, kind->first - PAGE, 8);
	assert_unreachable(*state, kind->first - 4, 8);
	assert_unreachable(*state, UINT64_MAX, 8);
	assert_unreachable(*state, UINT64_MAX - 3, 64);
	assert_unreachable(*state, UINT64_C(1) << 62, 8);
}

static void an_address_of_another_kind(void **state)
{
	uint64_t address = kind->alien;

	assert_unreachable(*state, address, 8);
	assert_unreachable(*state, address + 5 * PAGE, 3 * PAGE);
	/* An address that flips between grant and frame number: whichever is seen. */
	for (unsigned i = 0; i < 4; i++) {
		struct memory_piece piece = { at(8, 0), 8 };
		uint8_t bytes[8];

		piece.address ^= i & 1 ? UINT64_C(1) << 63 : 0;
		assert_int_equal(memory_read(*state, bytes, &piece, 1), i & 1 ? -EFAULT : 0);
	}
}

static void a_page_that_goes(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_piece pieces[] = { { at(99, 0), PAGE }, { at(100, 0), PAGE } }, whole[1];
	uint8_t bytes[2 * PAGE];

	whole[0] = (struct memory_piece){ at(98, 8), 4 * PAGE };
	assert_int_equal(memory_read(memory, bytes, pieces, 2), 0);
	kind->take(memory, 100, false);
	assert_unreachable(memory, at(100, 0), 8);
	assert_unreachable(memory, whole[0].address, whole[0].length);
	assert_int_equal(memory_read(memory, bytes, pieces, 2), -EFAULT);
	assert_int_equal(memory_read(memory, bytes, pieces, 1), 0);
	assert_memory_equal(bytes, guest(99, 0), PAGE);
	kind->take(memory, 100, true);
	assert_int_equal(memory_read(memory, bytes, pieces, 2), 0);
	assert_memory_equal(bytes, guest(99, 0), 2 * PAGE);
}

static void a_map_that_fails_midway_leaves_nothing(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_piece pieces[] = { { at(100, 0), 8 * PAGE }, { at(200, 0), 8 * PAGE } };
	struct memory_map *map = NULL;

	for (uint32_t i = 0; i < 16; i++) {
		uint32_t page = i < 8 ? 100 + i : 192 + i;

		kind->take(memory, page, false);
		assert_int_equal(memory_map(memory, pieces, 2, MEMORY_READ, &map), -EFAULT);
		assert_null(map);
		assert_int_equal(memory->statistics.maps, 0);
		kind->take(memory, page, true);
	}
	assert_int_equal(memory_map(memory, pieces, 2, MEMORY_READ, &map), 0);
	assert_int_equal(map->size, 16 * PAGE);
	memory_unmap(memory, map);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pieces_are_copied_in_order),
		TEST(a_long_copy),
		TEST(a_write_ends_where_its_bytes_do),
		TEST(a_frame_buffer_is_one_run),
		TEST(scattered_pages_come_in_order),
		TEST(the_same_page_twice),
		TEST(a_map_outlives_its_region),
		TEST(ten_thousand_maps_leave_nothing),
		TEST(outside_of_what_the_guest_has),
		TEST(an_address_of_another_kind),
		TEST(a_page_that_goes),
		TEST(a_map_that_fails_midway_leaves_nothing),
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kind = &kinds[i];
		failed += cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
	}
	return failed;
}
