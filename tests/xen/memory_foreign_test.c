/* SPDX-License-Identifier: MIT */
/* Guest memory by foreign maps, over a fake privcmd: what only this kind does. What all kinds do is
 * in memory_kinds_test.c. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "tests/xen/fake_foreign.h"
#include "xen/memory_foreign.h"

/* After what it needs. */
#include <cmocka.h>

#define PAGE FOREIGN_PAGE_SIZE
#define DOMID 2
#define PAGES (3 * CHUNK * MEMORY_FOREIGN_CHUNKS / 2)
#define CHUNK MEMORY_FOREIGN_CHUNK_PAGES

static uint64_t physical(uint32_t page, uint32_t offset)
{
	return ((uint64_t)FAKE_FOREIGN_FIRST + page) << FOREIGN_PAGE_SHIFT | offset;
}

static struct guest_memory *memory_new(void)
{
	struct memory_region region = memory_foreign_region(DOMID);
	struct guest_memory *memory;

	assert_int_equal(memory_foreign_create(&memory), 0);
	assert_int_equal(memory_add_region(memory, &region, foreign_open(DOMID)), 0);
	return memory;
}

/* What the front end does when the guest has given pages back. */
static void invalidate(struct guest_memory *memory)
{
	struct memory_region region = memory_foreign_region(DOMID);

	assert_int_equal(memory_remove_region(memory, &region), 0);
	assert_int_equal(memory_add_region(memory, &region, foreign_open(DOMID)), 0);
}

static int set_up(void **state)
{
	log_init(LOG_LEVEL_ERROR, NULL);
	fake_gntdev_reset(PAGES);
	fake_foreign_reset(DOMID);
	for (uint32_t page = 0; page < PAGES; page++)
		memcpy(fake_gntdev_memory + page * PAGE, &page, sizeof(page));
	*state = memory_new();
	return 0;
}

static int tear_down(void **state)
{
	memory_destroy(*state);
	assert_int_equal(fake_gntdev->foreign.maps, 0);
	assert_int_equal(fake_gntdev->foreign.pages_mapped, 0);
	fake_gntdev_finish();
	return 0;
}

/* The number of @page, as the guest has it there. */
static int look(struct guest_memory *memory, uint32_t page, uint32_t *number)
{
	struct memory_piece piece = { physical(page, 0), sizeof(*number) };

	return memory_read(memory, number, &piece, 1);
}

static void assert_page(struct guest_memory *memory, uint32_t page)
{
	uint32_t number;

	assert_int_equal(look(memory, page, &number), 0);
	assert_int_equal(number, page);
}

/* ------------------------------------------------------------------- regions */

static void regions_that_are_refused(void **state)
{
	struct memory_region good = memory_foreign_region(DOMID), region;
	struct guest_memory *memory;
	int fd = foreign_open(DOMID);

	assert_int_equal(memory_foreign_create(&memory), 0);
	region = good;
	region.xen_flags = MEMORY_XEN_FOREIGN | MEMORY_XEN_GRANT;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region.xen_flags = 0;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region = good;
	region.xen_domid = 0x7ff1;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region.xen_domid = DOMID + 1; /* for which the descriptor is not */
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region = good;
	region.user_address = PAGE;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region = good;
	region.size++;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region.size = 0;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	assert_int_equal(memory_add_region(memory, &good, -1), -EINVAL);
	region = good;
	region.xen_flags = MEMORY_XEN_FOREIGN; /* in advance or not is our choice */
	assert_int_equal(memory_add_region(memory, &region, fd), 0);
	assert_int_equal(memory_add_region(memory, &good, fd), -EEXIST);
	memory_destroy(memory);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was taken over */
}

static void user_addresses_are_physical(void **state)
{
	const uint64_t end = MEMORY_FOREIGN_SIZE;
	uint64_t address;

	assert_int_equal(memory_translate_user(*state, 0x5e440000, 4096, &address), 0);
	assert_true(address == 0x5e440000);
	assert_int_equal(memory_translate_user(*state, end - 16, 16, &address), 0);
	assert_int_equal(memory_translate_user(*state, end - 16, 17, &address), -EFAULT);
	assert_int_equal(
	    memory_translate_user(*state, UINT64_C(1) << 63 | 0x8000, 16, &address), -EFAULT);
	assert_int_equal(memory_translate_user(*state, UINT64_MAX, 16, &address), -EFAULT);
}

/* --------------------------------------------------------------------- cache */

static void the_same_pages_are_mapped_once(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_piece pieces[] = { { physical(1, 0), 4 }, { physical(3, 0), 4 } };
	uint32_t numbers[2], answer = 0xabcd;

	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(memory_read(memory, numbers, pieces, 2), 0);
		assert_int_equal(numbers[0], 1);
		assert_int_equal(numbers[1], 3);
		pieces[1].address ^= 4; /* another place in it */
		assert_int_equal(memory_write(memory, &pieces[1], 1, &answer, 4), 0);
		pieces[1].address ^= 4;
	}
	assert_memory_equal(fake_gntdev_memory + 3 * PAGE + 4, &answer, 4);
	assert_int_equal(fake_gntdev->foreign.map_calls, 1);
	assert_int_equal(fake_gntdev->foreign.pages_mapped, CHUNK);
	assert_int_equal(memory->statistics.map_calls, 1);
	assert_int_equal(memory->statistics.unmap_calls, 0);
	assert_int_equal(memory->statistics.segments, 300);
	assert_int_equal(memory->statistics.copy_calls, 0);
}

static void the_cache_is_bounded(void **state)
{
	unsigned calls;

	for (uint32_t page = 0; page < PAGES; page++) {
		assert_page(*state, page);
		assert_page(*state, 5); /* which stays, being of use all the time */
	}
	assert_int_equal(fake_gntdev->foreign.maps, MEMORY_FOREIGN_CHUNKS);
	assert_int_equal(fake_gntdev->foreign.pages_mapped, MEMORY_FOREIGN_CHUNKS * CHUNK);
	calls = fake_gntdev->foreign.map_calls;
	assert_int_equal(calls, PAGES / CHUNK);
	/* The youngest are there. */
	for (uint32_t page = PAGES - (MEMORY_FOREIGN_CHUNKS - 1) * CHUNK; page < PAGES; page++)
		assert_page(*state, page);
	assert_page(*state, 5);
	assert_int_equal(fake_gntdev->foreign.map_calls, calls);
	assert_page(*state, CHUNK); /* and the oldest are not */
	assert_int_equal(fake_gntdev->foreign.map_calls, calls + 1);
}

static void a_long_copy_is_one_call_and_leaves_the_cache(void **state)
{
	uint32_t pages = CHUNK * MEMORY_FOREIGN_CHUNKS;
	struct memory_piece piece = { physical(1, 8), pages * PAGE - 8 };
	uint8_t *bytes = malloc(pages * PAGE);

	assert_non_null(bytes);
	assert_page(*state, 0);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), 0);
	assert_memory_equal(bytes, fake_gntdev_memory + PAGE + 8, pages * PAGE - 8);
	assert_int_equal(fake_gntdev->foreign.map_calls, 2);
	assert_int_equal(fake_gntdev->foreign.maps, 1);
	memset(bytes, 0x77, pages * PAGE);
	assert_int_equal(memory_write(*state, &piece, 1, bytes, pages * PAGE - 100), 0);
	assert_memory_equal(fake_gntdev_memory + PAGE + 8, bytes, pages * PAGE - 100);
	assert_int_not_equal(fake_gntdev_memory[PAGE + 8 + pages * PAGE - 100], 0x77);
	assert_int_equal(fake_gntdev->foreign.map_calls, 3);
	assert_page(*state, 0);
	assert_int_equal(fake_gntdev->foreign.map_calls, 3);
	free(bytes);
}

static void an_invalidation_empties_the_cache_and_leaves_maps(void **state)
{
	struct memory_piece piece = { physical(100, 0), 2 * PAGE };
	struct memory_map *map;
	uint32_t number;

	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ_WRITE, &map), 0);
	assert_page(*state, 1);
	assert_page(*state, 1 + CHUNK);
	assert_int_equal(fake_gntdev->foreign.maps, 3);
	fake_foreign_set_absent(1, 1, true);
	fake_foreign_set_absent(100, 2, true);
	invalidate(*state);
	assert_int_equal(fake_gntdev->foreign.maps, 1);
	assert_int_equal(look(*state, 1, &number), -EFAULT);
	assert_page(*state, 1 + CHUNK);
	assert_memory_equal(map->iov[0].iov_base, fake_gntdev_memory + 100 * PAGE, 2 * PAGE);
	memory_unmap(*state, map);
}

static void a_missing_page_does_not_hide_its_neighbours(void **state)
{
	uint32_t number;

	fake_foreign_set_absent(0, PAGES, true);
	assert_int_equal(look(*state, 7, &number), -EFAULT);
	fake_foreign_set_absent(6, 1, false);
	assert_int_equal(look(*state, 7, &number), -EFAULT);
	assert_page(*state, 6);
	/* What the guest has got since needs no invalidation. */
	fake_foreign_set_absent(7, 1, false);
	assert_page(*state, 7);
	assert_page(*state, 6);
	assert_int_equal(fake_gntdev->foreign.maps, 1);
	/* Frames before and behind its memory share chunks with some of it, or not. */
	assert_int_equal(look(*state, PAGES, &number), -EFAULT);
	assert_int_equal(look(*state, (uint32_t)-1, &number), -EFAULT);
}

static void many_bad_requests_leave_nothing(void **state)
{
	uint32_t number;

	fake_foreign_set_absent(0, PAGES, true);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_int_equal(look(*state, i, &number), -EFAULT);
	assert_true(fake_gntdev->foreign.maps <= MEMORY_FOREIGN_CHUNKS);
	fake_foreign_set_absent(0, PAGES, false);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_page(*state, i);
}

/* ------------------------------------------------------------------- failures */

static void a_copy_meets_a_missing_page_midway(void **state)
{
	struct memory_piece pieces[] = { { physical(1, 0), 4 }, { physical(CHUNK, 0), 4 } };
	uint32_t numbers[2] = { 0 };

	fake_foreign_set_absent(CHUNK, 1, true);
	assert_int_equal(memory_read(*state, numbers, pieces, 2), -EFAULT);
	numbers[0] = 77;
	assert_int_equal(memory_write(*state, pieces, 2, numbers, 8), -EFAULT);
	numbers[0] = 0;
	assert_int_equal(memory_read(*state, numbers, pieces, 1), 0);
	assert_int_equal(numbers[0], 77); /* written before the write met the other */
}

static void addresses_that_look_like_grants(void **state)
{
	const uint64_t bits[] = { UINT64_C(1) << 63, UINT64_C(1) << 62, UINT64_C(1) << 52 };
	struct memory_map *map = NULL;
	uint32_t number;

	for (unsigned i = 0; i < 3; i++) {
		struct memory_piece piece = { physical(1, 0) | bits[i], 4 };

		assert_int_equal(memory_read(*state, &number, &piece, 1), -EFAULT);
		assert_int_equal(memory_write(*state, &piece, 1, &number, 4), -EFAULT);
		assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), -EFAULT);
		assert_null(map);
	}
	assert_int_equal(fake_gntdev->foreign.map_calls, 0); /* nor was it tried */
	assert_page(*state, 1);
}

static void the_policy_refuses(void **state)
{
	struct memory_piece piece = { physical(1, 0), 4 };
	struct memory_map *map = NULL;
	uint32_t number;

	fake_gntdev->foreign.policy_error = -EACCES;
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), -EFAULT);
	assert_int_equal(look(*state, 1, &number), -EFAULT);
	fake_gntdev->foreign.policy_error = 0;
	fake_gntdev->foreign.map_error = -EPERM;
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), -EFAULT);
	assert_int_equal(look(*state, CHUNK, &number), -EFAULT);
	fake_gntdev->foreign.map_error = -ENOMEM;
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), -ENOMEM);
	assert_int_equal(look(*state, CHUNK, &number), -ENOMEM);
	fake_gntdev->foreign.map_error = 0;
	assert_page(*state, CHUNK);
}

static void more_pages_than_one_map_takes(void **state)
{
	struct memory_piece pieces[] = { { 0, UINT32_MAX }, { 0, UINT32_MAX } };
	struct memory_map *map;

	assert_int_equal(memory_map(*state, pieces, 2, MEMORY_READ, &map), -E2BIG);
	pieces[0].length = FOREIGN_PAGES_MAX * PAGE + 1;
	assert_int_equal(memory_map(*state, pieces, 1, MEMORY_READ, &map), -E2BIG);
	assert_int_equal(fake_gntdev->foreign.map_calls, 0);
	pieces[0].length = FOREIGN_PAGES_MAX * PAGE;
	assert_int_equal(memory_map(*state, pieces, 1, MEMORY_READ, &map), -EFAULT);
	assert_int_equal(fake_gntdev->foreign.map_calls, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(regions_that_are_refused),
		TEST(user_addresses_are_physical),
		TEST(the_same_pages_are_mapped_once),
		TEST(the_cache_is_bounded),
		TEST(a_long_copy_is_one_call_and_leaves_the_cache),
		TEST(an_invalidation_empties_the_cache_and_leaves_maps),
		TEST(a_missing_page_does_not_hide_its_neighbours),
		TEST(many_bad_requests_leave_nothing),
		TEST(a_copy_meets_a_missing_page_midway),
		TEST(addresses_that_look_like_grants),
		TEST(the_policy_refuses),
		TEST(more_pages_than_one_map_takes),
	};

	return cmocka_run_group_tests_name("memory_foreign", tests, NULL, NULL);
}
