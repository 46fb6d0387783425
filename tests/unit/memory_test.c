/* SPDX-License-Identifier: MIT */
/* Guest memory by mmap: the table of regions, pieces, and maps that outlive regions. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/memory.h"
#include "tests/unit/fake_udmabuf.h"

#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define GUEST UINT64_C(0x40000000)
#define USER UINT64_C(0x7f0000000000)

static int memfd(uint64_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct memory_region region(uint64_t guest, uint64_t size, uint64_t offset)
{
	return (struct memory_region){ .guest_address = guest,
		.size = size,
		.user_address = USER + (guest - GUEST),
		.mmap_offset = offset };
}

/* Adds a region; its file becomes the memory's. */
static int add(struct guest_memory *memory, const struct memory_region *r, int fd)
{
	int error = memory_add_region(memory, r, fd);

	if (error)
		close(fd);
	return error;
}

static int setup(void **state)
{
	return memory_mmap_create((struct guest_memory **)state);
}

static int teardown(void **state)
{
	memory_destroy(*state);
	return 0;
}

static void test_read_and_write_at_offset(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r = region(GUEST, 2 * PAGE, 3 * PAGE + 16);
	struct memory_piece pieces[] = { { GUEST + 100, 3 }, { GUEST + PAGE, 2 } };
	char text[6] = { 0 };
	int fd = memfd(8 * PAGE), mine = dup(fd);

	assert_int_equal(add(memory, &r, fd), 0);
	assert_int_equal(memory_write(memory, pieces, 2, "hello", 5), 0);
	assert_int_equal(pread(mine, text, 3, 3 * PAGE + 16 + 100), 3);
	assert_string_equal(text, "hel");
	assert_int_equal(pread(mine, text, 2, 4 * PAGE + 16), 2);
	assert_memory_equal(text, "lo", 2);
	memset(text, 0, sizeof(text));
	assert_int_equal(memory_read(memory, text, pieces, 2), 0);
	assert_string_equal(text, "hello");
	close(mine);
}

static void test_write_longer_than_pieces(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r = region(GUEST, PAGE, 0);
	struct memory_piece piece = { GUEST, 4 };

	assert_int_equal(add(memory, &r, memfd(PAGE)), 0);
	assert_int_equal(memory_write(memory, &piece, 1, "hello", 5), -EFAULT);
	assert_int_equal(memory_write(memory, &piece, 1, "hell", 4), 0);
	assert_int_equal(memory_write(memory, NULL, 0, "", 0), 0);
	assert_int_equal(memory_write(memory, NULL, 0, "x", 1), -EFAULT);
}

static void test_piece_across_adjacent_regions(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region first = region(GUEST, PAGE, 0), second = region(GUEST + PAGE, PAGE, 0);
	struct memory_piece piece = { GUEST + PAGE - 2, 4 };
	struct memory_map *map;
	char text[5] = { 0 };

	/* added out of order */
	assert_int_equal(add(memory, &second, memfd(PAGE)), 0);
	assert_int_equal(add(memory, &first, memfd(PAGE)), 0);
	assert_int_equal(memory_write(memory, &piece, 1, "abcd", 4), 0);
	assert_int_equal(memory_read(memory, text, &piece, 1), 0);
	assert_string_equal(text, "abcd");

	assert_int_equal(memory_map(memory, &piece, 1, MEMORY_READ, &map), 0);
	assert_int_equal(map->size, 4);
	assert_int_equal(map->iov_count, 2);
	assert_int_equal(map->iov[0].iov_len, 2);
	assert_memory_equal(map->iov[0].iov_base, "ab", 2);
	assert_memory_equal(map->iov[1].iov_base, "cd", 2);
	memory_unmap(memory, map);
}

static void test_piece_across_a_gap(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region first = region(GUEST, PAGE, 0),
			     second = region(GUEST + 2 * PAGE, PAGE, 0);
	struct memory_piece across = { GUEST + PAGE - 2, 4 }, inside = { GUEST + PAGE - 2, 2 };
	struct memory_map *map = NULL;
	char text[4];

	assert_int_equal(add(memory, &first, memfd(PAGE)), 0);
	assert_int_equal(add(memory, &second, memfd(PAGE)), 0);
	assert_int_equal(memory_read(memory, text, &across, 1), -EFAULT);
	assert_int_equal(memory_write(memory, &across, 1, "abcd", 4), -EFAULT);
	assert_int_equal(memory_map(memory, &across, 1, MEMORY_READ, &map), -EFAULT);
	assert_null(map);
	assert_int_equal(memory_read(memory, text, &inside, 1), 0);
}

static void test_address_wraps(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region top = { .guest_address = UINT64_MAX - PAGE + 1, .size = PAGE };
	struct memory_region bottom = { .guest_address = 0, .size = PAGE, .user_address = PAGE };
	struct memory_piece piece = { UINT64_MAX - 1, 4 };
	struct memory_map *map;
	char text[4];

	assert_int_equal(add(memory, &top, memfd(PAGE)), 0);
	assert_int_equal(add(memory, &bottom, memfd(PAGE)), 0);
	assert_int_equal(memory_read(memory, text, &piece, 1), -EFAULT);
	assert_int_equal(memory_map(memory, &piece, 1, MEMORY_READ_WRITE, &map), -EFAULT);
	piece.length = 2;
	assert_int_equal(memory_read(memory, text, &piece, 1), 0);
}

static void test_neighbours_are_joined(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r = region(GUEST, 4 * PAGE, 0);
	struct memory_piece pieces[] = { { GUEST, PAGE }, { GUEST + PAGE, PAGE }, { GUEST, 8 },
		{ GUEST + 8, 0 } };
	struct memory_map *map;

	assert_int_equal(add(memory, &r, memfd(4 * PAGE)), 0);
	assert_int_equal(memory_map(memory, pieces, 4, MEMORY_READ_WRITE, &map), 0);
	assert_int_equal(map->iov_count, 2);
	assert_int_equal(map->iov[0].iov_len, 2 * PAGE);
	assert_int_equal(map->iov[1].iov_len, 8);
	assert_int_equal(map->size, 2 * PAGE + 8);
	memory_unmap(memory, map);
	assert_int_equal(memory_map(memory, NULL, 0, MEMORY_READ, &map), 0);
	assert_int_equal(map->iov_count, 0);
	memory_unmap(memory, map);
	memory_unmap(memory, NULL);
}

static void test_overlap(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r = region(GUEST + PAGE, 2 * PAGE, 0);
	const uint64_t starts[] = { GUEST, GUEST + PAGE, GUEST + 2 * PAGE };

	assert_int_equal(add(memory, &r, memfd(2 * PAGE)), 0);
	for (size_t i = 0; i < 3; i++) {
		struct memory_region other = region(starts[i], 2 * PAGE, 0);

		assert_int_equal(add(memory, &other, memfd(2 * PAGE)), -EEXIST);
	}
	r = region(GUEST, 16 * PAGE, 0);
	assert_int_equal(add(memory, &r, memfd(16 * PAGE)), -EEXIST);
	r = region(GUEST, PAGE, 0);
	assert_int_equal(add(memory, &r, memfd(PAGE)), 0);
	r = region(GUEST + 3 * PAGE, PAGE, 0);
	assert_int_equal(add(memory, &r, memfd(PAGE)), 0);
}

static void test_sizes_that_make_no_sense(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r = region(GUEST, 0, 0);
	int pipes[2];

	assert_int_equal(add(memory, &r, memfd(PAGE)), -EINVAL);
	r = region(GUEST, PAGE + 1, 0); /* the file is shorter */
	assert_int_equal(add(memory, &r, memfd(PAGE)), -EINVAL);
	r = region(GUEST, PAGE, 1);
	assert_int_equal(add(memory, &r, memfd(PAGE)), -EINVAL);
	r = region(GUEST, PAGE, UINT64_MAX - 16);
	assert_int_equal(add(memory, &r, memfd(PAGE)), -EINVAL);
	r = region(GUEST, UINT64_MAX - GUEST + 1, 0);
	assert_int_equal(add(memory, &r, memfd(PAGE)), -EINVAL);
	r = region(GUEST, UINT64_MAX, 0);
	assert_int_equal(add(memory, &r, memfd(PAGE)), -EINVAL);
	r = region(GUEST, PAGE, 0);
	r.user_address = UINT64_MAX - 16;
	assert_int_equal(add(memory, &r, memfd(PAGE)), -EINVAL);
	r = region(GUEST, PAGE, 0);
	r.xen_flags = MEMORY_XEN_GRANT;
	assert_int_equal(add(memory, &r, memfd(PAGE)), -EINVAL);
	r.xen_flags = 0;
	assert_int_equal(memory_add_region(memory, &r, -1), -EINVAL);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(add(memory, &r, pipes[0]), -EINVAL);
	close(pipes[1]);
	assert_int_equal(add(memory, &r, memfd(PAGE)), 0);
}

static void test_read_only_file(void **state)
{
	struct memory_region r = region(GUEST, 16, 0);

	assert_int_equal(add(*state, &r, open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), -EINVAL);
}

static void test_table_is_full(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r;
	int fd = memfd(PAGE);

	for (uint64_t i = 0; i < 509; i++) {
		r = region(GUEST + i * PAGE, PAGE, 0);
		assert_int_equal(add(memory, &r, dup(fd)), 0);
	}
	r = region(GUEST + 509 * PAGE, PAGE, 0);
	assert_int_equal(add(memory, &r, dup(fd)), -ENOSPC);
	r = region(GUEST + 77 * PAGE, PAGE, 0);
	assert_int_equal(memory_remove_region(memory, &r), 0);
	assert_int_equal(add(memory, &r, dup(fd)), 0);
	close(fd);
}

static void test_remove_wants_the_same_region(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r = region(GUEST, 2 * PAGE, 0), other = r;

	assert_int_equal(memory_remove_region(memory, &r), -ENOENT);
	assert_int_equal(add(memory, &r, memfd(2 * PAGE)), 0);
	other.size = PAGE;
	assert_int_equal(memory_remove_region(memory, &other), -ENOENT);
	other = r;
	other.user_address += PAGE;
	assert_int_equal(memory_remove_region(memory, &other), -ENOENT);
	other = r;
	other.guest_address += PAGE;
	assert_int_equal(memory_remove_region(memory, &other), -ENOENT);
	other = r;
	other.mmap_offset = 77; /* "The mmap offset is ignored." */
	assert_int_equal(memory_remove_region(memory, &other), 0);
	assert_int_equal(memory_remove_region(memory, &r), -ENOENT);
}

static void test_map_outlives_its_region(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r = region(GUEST, 2 * PAGE, 0);
	struct memory_piece piece = { GUEST + PAGE, 8 };
	struct memory_map *map;
	char text[8];
	int fd = memfd(2 * PAGE), mine = dup(fd);

	assert_int_equal(add(memory, &r, fd), 0);
	assert_int_equal(memory_map(memory, &piece, 1, MEMORY_READ_WRITE, &map), 0);
	assert_int_equal(memory_remove_region(memory, &r), 0);
	assert_int_equal(memory_read(memory, text, &piece, 1), -EFAULT);
	memcpy(map->iov[0].iov_base, "survives", 8);
	assert_int_equal(pread(mine, text, 8, PAGE), 8);
	assert_memory_equal(text, "survives", 8);
	/* another region may take the place meanwhile */
	assert_int_equal(add(memory, &r, memfd(2 * PAGE)), 0);
	assert_int_equal(memory_read(memory, text, &piece, 1), 0);
	assert_memory_equal(text, "\0\0\0\0\0\0\0\0", 8);
	assert_memory_equal(map->iov[0].iov_base, "survives", 8);
	memory_unmap(memory, map);
	close(mine);
}

static void test_translate_user(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region first = region(GUEST, PAGE, 0), second = region(GUEST + PAGE, PAGE, 0);
	uint64_t address;

	second.user_address = USER + 64 * PAGE;
	assert_int_equal(add(memory, &first, memfd(PAGE)), 0);
	assert_int_equal(add(memory, &second, memfd(PAGE)), 0);
	assert_int_equal(memory_translate_user(memory, USER + 16, PAGE - 16, &address), 0);
	assert_int_equal(address, GUEST + 16);
	assert_int_equal(memory_translate_user(memory, USER + 64 * PAGE, 1, &address), 0);
	assert_int_equal(address, GUEST + PAGE);
	assert_int_equal(memory_translate_user(memory, USER + 16, PAGE - 15, &address), -EFAULT);
	assert_int_equal(memory_translate_user(memory, USER - 1, 1, &address), -EFAULT);
	assert_int_equal(memory_translate_user(memory, USER + 8, UINT64_MAX, &address), -EFAULT);
	assert_int_equal(memory_translate_user(memory, UINT64_MAX, 2, &address), -EFAULT);
}

static void test_export(void **state)
{
	struct guest_memory *memory = *state;
	struct memory_region r = region(GUEST, 16 * PAGE, 2 * PAGE);
	struct memory_region other = region(GUEST + 64 * PAGE, 4 * PAGE, 0);
	const struct memory_piece pieces[] = { { GUEST + 3 * PAGE, 2 * PAGE }, { GUEST, PAGE },
		{ GUEST + 8 * PAGE, PAGE + 100 } };
	const struct memory_piece bad[][2] = {
		{ { GUEST + 8, 4096 }, { GUEST + 4 * PAGE, 4096 } }, /* in the middle of a page */
		{ { GUEST, 100 }, { GUEST + 4 * PAGE, 4096 } },      /* not all of one */
		{ { GUEST, 4096 }, { GUEST + 64 * PAGE, 4096 } },    /* of a file without seals */
	};
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING), exported;
	struct fake_udmabuf fake;
	struct memory_map *map;

	fake_udmabuf_init(&fake);
	assert_int_equal(ftruncate(fd, 32 * PAGE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(add(memory, &r, fd), 0);
	assert_int_equal(add(memory, &other, memfd(4 * PAGE)), 0);
	assert_int_equal(memory_map(memory, pieces, 3, MEMORY_READ_WRITE, &map), 0);
	exported = memory_export(memory, map, &fake.base);
	assert_true(exported >= 0);
	close(exported);
	assert_int_equal(fake.piece_count, 3);
	assert_int_equal(fake.pieces[0].offset, 5 * PAGE);
	assert_int_equal(fake.pieces[0].size, 2 * PAGE);
	assert_int_equal(fake.pieces[1].offset, 2 * PAGE);
	assert_int_equal(fake.pieces[2].offset, 10 * PAGE);
	assert_int_equal(fake.pieces[2].size, 2 * PAGE); /* the last one, whole */
	/* Also when the region has gone */
	assert_int_equal(memory_remove_region(memory, &r), 0);
	exported = memory_export(memory, map, &fake.base);
	assert_true(exported >= 0);
	assert_int_equal(add(memory, &r, exported), 0);
	memory_unmap(memory, map);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(memory_map(memory, bad[i], 2, MEMORY_READ_WRITE, &map), 0);
		assert_int_equal(memory_export(memory, map, &fake.base), -ENOTSUP);
		memory_unmap(memory, map);
	}
	assert_int_equal(fake.created, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read_and_write_at_offset),
		TEST(test_write_longer_than_pieces),
		TEST(test_piece_across_adjacent_regions),
		TEST(test_piece_across_a_gap),
		TEST(test_address_wraps),
		TEST(test_neighbours_are_joined),
		TEST(test_overlap),
		TEST(test_sizes_that_make_no_sense),
		TEST(test_read_only_file),
		TEST(test_table_is_full),
		TEST(test_remove_wants_the_same_region),
		TEST(test_map_outlives_its_region),
		TEST(test_translate_user),
		TEST(test_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
