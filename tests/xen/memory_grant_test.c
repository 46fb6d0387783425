/* SPDX-License-Identifier: MIT */
/* Guest memory by grants, over a fake grant device: that of this process, then that of a monitor.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "tests/xen/broker_rig.h"
#include "tests/xen/fake_gntdev.h"
#include "xen/memory_grant.h"

/* After what it needs. */
#include <cmocka.h>

#define PAGE GNTDEV_PAGE_SIZE
#define DOMID 2
#define PAGES 512

static bool brokered;
static struct broker_rig rig;

static uint64_t bus(uint32_t reference, uint32_t offset)
{
	return MEMORY_GRANT_ADDRESS | (uint64_t)reference << 12 | offset;
}

static struct guest_memory *memory_new(void)
{
	struct memory_region region = memory_grant_region(DOMID);
	struct guest_memory *memory;

	assert_int_equal(memory_grant_create(rig.client, &memory), 0);
	assert_int_equal(memory_add_region(memory, &region, gntdev_open()), 0);
	return memory;
}

static int set_up(void **state)
{
	log_init(LOG_LEVEL_ERROR, NULL);
	fake_gntdev_reset(PAGES);
	for (uint32_t i = 0; i < PAGES * PAGE; i++)
		fake_gntdev_memory[i] = (uint8_t)(i ^ i >> 12);
	if (brokered)
		broker_rig_init(&rig, DOMID);
	*state = memory_new();
	return 0;
}

static int tear_down(void **state)
{
	assert_int_equal(fake_gntdev->maps, 0);
	assert_int_equal(fake_gntdev->pages_mapped, 0);
	assert_int_equal(fake_gntdev->inserted, 0);
	memory_destroy(*state);
	if (brokered)
		broker_rig_finish(&rig);
	fake_gntdev_finish();
	return 0;
}

/* ------------------------------------------------------------------- regions */

static void regions_that_are_refused(void **state)
{
	struct memory_region good = memory_grant_region(DOMID), region;
	struct guest_memory *memory;
	int fd = gntdev_open();

	assert_int_equal(memory_grant_create(rig.client, &memory), 0);
	region = good;
	region.xen_flags = MEMORY_XEN_FOREIGN;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region.xen_flags = MEMORY_XEN_FOREIGN | MEMORY_XEN_GRANT | MEMORY_XEN_NO_ADVANCE_MAP;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region.xen_flags = MEMORY_XEN_GRANT; /* map 16 TiB in advance? */
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region = good;
	region.xen_domid = 0x7ff1;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region = good;
	region.guest_address = 0;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	region = good;
	region.size = MEMORY_GRANT_SIZE + 1;
	assert_int_equal(memory_add_region(memory, &region, fd), -EINVAL);
	assert_int_equal(memory_add_region(memory, &good, -1), -EINVAL);
	fake_gntdev->check_error = -ENOTTY;
	assert_int_equal(memory_add_region(memory, &good, fd), -EINVAL);
	fake_gntdev->check_error = 0;
	assert_int_equal(memory_add_region(memory, &good, fd), 0);
	assert_int_equal(memory_add_region(memory, &good, fd), -EEXIST);
	memory_destroy(memory);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was taken over */
}

static void without_a_region_nothing_is_reachable(void **state)
{
	struct memory_piece piece = { bus(8, 0), 16 };
	struct memory_region region = memory_grant_region(DOMID);
	struct memory_map *map;
	uint8_t bytes[16];
	uint64_t address;

	fake_gntdev_grant(DOMID, 8, 0, 1, false);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), 0);
	assert_int_equal(memory_remove_region(*state, &region), 0);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), -EFAULT);
	assert_int_equal(memory_write(*state, &piece, 1, bytes, 16), -EFAULT);
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), -EFAULT);
	assert_int_equal(memory_translate_user(*state, bus(8, 0), 16, &address), -EFAULT);
	assert_int_equal(memory_remove_region(*state, &region), -ENOENT);
	assert_int_equal(memory_add_region(*state, &region, gntdev_open()), 0);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), 0);
}

static void a_map_outlives_its_region(void **state)
{
	struct memory_piece piece = { bus(8, 100), 16 };
	struct memory_region region = memory_grant_region(DOMID);
	struct memory_map *map;

	fake_gntdev_grant(DOMID, 8, 3, 1, false);
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), 0);
	assert_int_equal(memory_remove_region(*state, &region), 0);
	assert_memory_equal(map->iov[0].iov_base, fake_gntdev_memory + 3 * PAGE + 100, 16);
	memory_unmap(*state, map);
	assert_int_equal(memory_add_region(*state, &region, gntdev_open()), 0);
}

static void user_addresses_are_bus_addresses(void **state)
{
	uint64_t address;

	assert_int_equal(memory_translate_user(*state, bus(77, 5), 4096, &address), 0);
	assert_true(address == bus(77, 5));
	assert_int_equal(memory_translate_user(*state, bus(UINT32_MAX, 0), 4096, &address), 0);
	assert_int_equal(
	    memory_translate_user(*state, bus(UINT32_MAX, 1), 4096, &address), -EFAULT);
	assert_int_equal(memory_translate_user(*state, 0x5e440000, 16, &address), -EFAULT);
	assert_int_equal(
	    memory_translate_user(*state, bus(0, 0) + MEMORY_GRANT_SIZE, 1, &address), -EFAULT);
	assert_int_equal(memory_translate_user(*state, UINT64_MAX, 16, &address), -EFAULT);
}

/* ------------------------------------------------------------------- copying */

static void one_call_copies_all_pieces(void **state)
{
	uint8_t bytes[64 + 3 * PAGE + 7];
	struct memory_piece pieces[] = { { bus(100, 0x60), 64 }, { bus(8, 0), 0 },
		{ bus(200, 4000), 3 * PAGE }, { bus(101, PAGE - 7), 7 } };

	fake_gntdev_grant(DOMID, 100, 10, 2, true);
	fake_gntdev_grant(DOMID, 200, 50, 4, true);
	assert_int_equal(memory_read(*state, bytes, pieces, 4), 0);
	assert_memory_equal(bytes, fake_gntdev_memory + 10 * PAGE + 0x60, 64);
	assert_memory_equal(bytes + 64, fake_gntdev_memory + 50 * PAGE + 4000, 3 * PAGE);
	assert_memory_equal(bytes + 64 + 3 * PAGE, fake_gntdev_memory + 12 * PAGE - 7, 7);
	assert_int_equal(fake_gntdev->copy_calls, 1);
	assert_int_equal(fake_gntdev->segments, 1 + 4 + 1);
	assert_int_equal(fake_gntdev->map_calls, 0);
}

static void a_long_copy_is_one_call_too(void **state)
{
	size_t size = 300 * PAGE;
	struct memory_piece piece = { bus(1000, 1), (uint32_t)size };
	uint8_t *bytes = malloc(size);

	fake_gntdev_grant(DOMID, 1000, 0, 301, false);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), 0);
	assert_memory_equal(bytes, fake_gntdev_memory + 1, size);
	assert_int_equal(fake_gntdev->copy_calls, 1);
	assert_int_equal(fake_gntdev->segments, 301);
	free(bytes);
}

static void a_write_ends_where_its_bytes_do(void **state)
{
	struct memory_piece pieces[] = { { bus(20, 4090), 10 }, { bus(30, 0), 100 } };
	uint8_t bytes[14];

	fake_gntdev_grant(DOMID, 20, 100, 2, false);
	fake_gntdev_grant(DOMID, 30, 200, 1, false);
	memset(bytes, 0xee, sizeof(bytes));
	assert_int_equal(memory_write(*state, pieces, 2, bytes, 14), 0);
	assert_memory_equal(fake_gntdev_memory + 100 * PAGE + 4090, bytes, 10);
	assert_memory_equal(fake_gntdev_memory + 200 * PAGE, bytes, 4);
	assert_int_not_equal(fake_gntdev_memory[200 * PAGE + 4], 0xee);
	assert_int_equal(memory_write(*state, pieces, 2, bytes, 0), 0);
	assert_int_equal(memory_write(*state, pieces, 1, bytes, 14), -EFAULT);
}

static void writing_to_a_read_only_grant(void **state)
{
	struct memory_piece piece = { bus(20, 0), 8 };
	uint8_t bytes[8] = { 0 };

	fake_gntdev_grant(DOMID, 20, 100, 1, true);
	assert_int_equal(memory_write(*state, &piece, 1, bytes, 8), -EFAULT);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), 0);
}

static void copies_by_mapping_where_the_policy_refuses_them(void **state)
{
	struct memory_piece pieces[] = { { bus(20, 4090), 10 }, { bus(30, 8), 4 } };
	uint8_t bytes[14], out[14];

	fake_gntdev_grant(DOMID, 20, 100, 2, false);
	fake_gntdev_grant(DOMID, 30, 200, 1, false);
	fake_gntdev->copy_error = -EACCES;
	assert_int_equal(memory_read(*state, bytes, pieces, 2), 0);
	assert_memory_equal(bytes, fake_gntdev_memory + 100 * PAGE + 4090, 10);
	assert_memory_equal(bytes + 10, fake_gntdev_memory + 200 * PAGE + 8, 4);
	memset(out, 0x5a, sizeof(out));
	assert_int_equal(memory_write(*state, pieces, 2, out, 12), 0);
	assert_memory_equal(fake_gntdev_memory + 100 * PAGE + 4090, out, 10);
	assert_memory_equal(fake_gntdev_memory + 200 * PAGE + 8, out, 2);
	assert_int_equal(fake_gntdev_memory[200 * PAGE + 10], bytes[12]);
	assert_int_equal(fake_gntdev->copy_calls, 1); /* asked once */
	assert_int_equal(fake_gntdev->pages_mapped, 0);
	/* A command buffer is granted read-only: reading it must not ask for more. */
	fake_gntdev_grant(DOMID, 30, 200, 1, true);
	assert_int_equal(memory_read(*state, bytes, &pieces[1], 1), 0);
	assert_int_equal(memory_write(*state, &pieces[1], 1, bytes, 4), -EFAULT);
}

/* A refusal that mapping meets as well says nothing about copies. */
static void one_bad_grant_does_not_end_copying(void **state)
{
	struct memory_piece piece = { bus(20, 0), 8 };
	uint8_t bytes[8];

	fake_gntdev->copy_error = -EACCES;
	assert_int_equal(memory_read(*state, bytes, &piece, 1), -EFAULT);
	fake_gntdev->copy_error = 0;
	fake_gntdev_grant(DOMID, 20, 0, 1, false);
	assert_int_equal(memory_read(*state, bytes, &piece, 1), 0);
	assert_int_equal(fake_gntdev->copy_calls, 2);
}

/* ------------------------------------------------------- what is put off */

static void put_off_writes_are_one_call(void **state)
{
	uint8_t bytes[24];

	fake_gntdev_grant(DOMID, 20, 100, 8, false);
	for (unsigned i = 0; i < 64; i++) {
		struct memory_piece piece = { bus(20 + i / 16, i % 16 * 256 + 250), 64 };

		memset(bytes, (int)(0x40 + i), sizeof(bytes));
		assert_int_equal(memory_write_later(*state, &piece, 1, bytes, 24), 0);
	}
	assert_int_equal(fake_gntdev->copy_calls, 0);
	assert_int_not_equal(fake_gntdev_memory[100 * PAGE + 250], 0x40);
	memory_flush(*state);
	for (unsigned i = 0; i < 64; i++) {
		memset(bytes, (int)(0x40 + i), sizeof(bytes));
		assert_memory_equal(fake_gntdev_memory + 100 * PAGE + i * 256 + 250, bytes, 24);
	}
	assert_int_equal(fake_gntdev->copy_calls, 1);
	memory_flush(*state); /* there is nothing left */
	assert_int_equal(fake_gntdev->copy_calls, 1);
}

static void a_bad_one_spoils_no_other(void **state)
{
	struct memory_piece good[] = { { bus(20, 0), 8 }, { bus(22, 0), 8 } },
			    bad = { bus(21, 0), 8 };
	const uint8_t bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	fake_gntdev_grant(DOMID, 20, 100, 3, false);
	fake_gntdev_revoke(21, 1);
	assert_int_equal(memory_write_later(*state, &good[0], 1, bytes, 8), 0);
	assert_int_equal(memory_write_later(*state, &bad, 1, bytes, 8), 0);
	assert_int_equal(memory_write_later(*state, &good[1], 1, bytes, 8), 0);
	/* What can be seen to be wrong is told at once. */
	bad.address &= ~MEMORY_GRANT_ADDRESS;
	assert_int_equal(memory_write_later(*state, &bad, 1, bytes, 8), -EFAULT);
	assert_int_equal(memory_write_later(*state, &good[0], 1, bytes, 9), -EFAULT);
	memory_flush(*state);
	assert_memory_equal(fake_gntdev_memory + 100 * PAGE, bytes, 8);
	assert_memory_equal(fake_gntdev_memory + 102 * PAGE, bytes, 8);
	assert_memory_not_equal(fake_gntdev_memory + 101 * PAGE, bytes, 8);
}

static void more_than_can_be_put_off(void **state)
{
	struct memory_piece piece = { bus(20, 8), 100 * PAGE };
	uint8_t *bytes = malloc(100 * PAGE);

	assert_non_null(bytes);
	fake_gntdev_grant(DOMID, 20, 0, 101, false);
	memset(bytes, 0x99, 100 * PAGE);
	/* Many small ones ... */
	for (unsigned i = 0; i < 1000; i++) {
		struct memory_piece small = { bus(20, 8 + i), 1 };

		assert_int_equal(memory_write_later(*state, &small, 1, bytes, 1), 0);
	}
	assert_int_equal(fake_gntdev->copy_calls, 1000 / 256);
	memory_flush(*state);
	assert_memory_equal(fake_gntdev_memory + 8, bytes, 1000);
	/* ... and a long one, at once */
	assert_int_equal(memory_write_later(*state, &piece, 1, bytes, 100 * PAGE), 0);
	assert_memory_equal(fake_gntdev_memory + 8, bytes, 100 * PAGE);
	free(bytes);
}

static void put_off_where_the_policy_refuses_copies(void **state)
{
	struct memory_piece pieces[] = { { bus(20, 4090), 10 }, { bus(30, 8), 4 } };
	const uint8_t bytes[14] = "put off again";

	fake_gntdev_grant(DOMID, 20, 100, 2, false);
	fake_gntdev_grant(DOMID, 30, 200, 1, false);
	assert_int_equal(memory_write_later(*state, pieces, 2, bytes, 14), 0);
	fake_gntdev->copy_error = -EACCES;
	memory_flush(*state);
	assert_memory_equal(fake_gntdev_memory + 100 * PAGE + 4090, bytes, 10);
	assert_memory_equal(fake_gntdev_memory + 200 * PAGE + 8, bytes + 10, 4);
	/* From then on at once */
	assert_int_equal(memory_write_later(*state, &pieces[1], 1, bytes, 4), 0);
	assert_memory_equal(fake_gntdev_memory + 200 * PAGE + 8, bytes, 4);
}

static void put_off_until_the_region_goes(void **state)
{
	struct memory_region region = memory_grant_region(DOMID);
	struct memory_piece piece = { bus(20, 0), 8 };
	const uint8_t bytes[8] = "at last";

	fake_gntdev_grant(DOMID, 20, 100, 1, false);
	assert_int_equal(memory_write_later(*state, &piece, 1, bytes, 8), 0);
	assert_int_equal(memory_remove_region(*state, &region), 0);
	assert_memory_equal(fake_gntdev_memory + 100 * PAGE, bytes, 8);
	memory_flush(*state);
}

/* ------------------------------------------------------------------- mapping */

static void runs_are_mapped_in_one_call(void **state)
{
	/* A frame buffer: one entry of 300 references. */
	struct memory_piece piece = { bus(14, 0), 1228800 };
	struct memory_map *map;

	fake_gntdev_grant(DOMID, 14, 0, 300, false);
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ_WRITE, &map), 0);
	assert_int_equal(map->iov_count, 1);
	assert_int_equal(map->size, 1228800);
	assert_int_equal(map->iov[0].iov_len, 1228800);
	assert_memory_equal(map->iov[0].iov_base, fake_gntdev_memory, 1228800);
	assert_int_equal(fake_gntdev->map_calls, 1);
	assert_int_equal(fake_gntdev->pages_mapped, 300);
	((uint8_t *)map->iov[0].iov_base)[1000] ^= 0xff;
	assert_int_equal(fake_gntdev_memory[1000], ((const uint8_t *)map->iov[0].iov_base)[1000]);
	memory_unmap(*state, map);
}

static void neighbours_are_joined(void **state)
{
	struct memory_piece pieces[] = {
		{ bus(100, 0), 2 * PAGE },  /* whole pages ... */
		{ bus(300, 0), PAGE },      /* ... and other references, but next to them */
		{ bus(50, 0x800), 0x400 },  /* not */
		{ bus(50, 0xc00), 0x1400 }, /* goes on in the same page, and beyond */
		{ bus(60, 0), 0 },
		{ bus(60, 4), 4 },
	};
	struct memory_map *map;

	fake_gntdev_grant(DOMID, 100, 0, 2, false);
	fake_gntdev_grant(DOMID, 300, 40, 1, false);
	fake_gntdev_grant(DOMID, 50, 80, 2, false);
	fake_gntdev_grant(DOMID, 60, 90, 1, false);
	assert_int_equal(memory_map(*state, pieces, 6, MEMORY_READ, &map), 0);
	assert_int_equal(map->iov_count, 3);
	assert_int_equal(map->size, 3 * PAGE + 0x1800 + 4);
	assert_int_equal(map->iov[0].iov_len, 3 * PAGE);
	assert_memory_equal(map->iov[0].iov_base, fake_gntdev_memory, 2 * PAGE);
	assert_memory_equal(
	    (uint8_t *)map->iov[0].iov_base + 2 * PAGE, fake_gntdev_memory + 40 * PAGE, PAGE);
	assert_int_equal(map->iov[1].iov_len, 0x1800);
	assert_memory_equal(map->iov[1].iov_base, fake_gntdev_memory + 80 * PAGE + 0x800, 0x1800);
	assert_int_equal(map->iov[2].iov_len, 4);
	assert_memory_equal(map->iov[2].iov_base, fake_gntdev_memory + 90 * PAGE + 4, 4);
	assert_int_equal(fake_gntdev->pages_mapped, 2 + 1 + 2 + 1);
	memory_unmap(*state, map);
}

static void the_same_reference_twice(void **state)
{
	struct memory_piece pieces[] = { { bus(9, 0), PAGE }, { bus(9, 0), PAGE },
		{ bus(9, 10), 10 }, { bus(9, 10), 10 } };
	struct memory_map *map;

	fake_gntdev_grant(DOMID, 9, 7, 1, false);
	assert_int_equal(memory_map(*state, pieces, 4, MEMORY_READ, &map), 0);
	assert_int_equal(map->size, 2 * PAGE + 20);
	assert_int_equal(fake_gntdev->pages_mapped, 4);
	assert_memory_equal(
	    map->iov[map->iov_count - 1].iov_base, fake_gntdev_memory + 7 * PAGE + 10, 10);
	memory_unmap(*state, map);
}

static void reading_maps_nothing_writable(void **state)
{
	struct memory_piece piece = { bus(9, 0), 16 };
	struct memory_map *map;
	char line[512];
	bool found = false;
	FILE *maps;

	/* Available ring and descriptors are granted read-only in a real guest. */
	fake_gntdev_grant(DOMID, 9, 7, 1, true);
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ_WRITE, &map), -EFAULT);
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_WRITE, &map), -EFAULT);
	assert_int_equal(fake_gntdev->maps, 0);
	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), 0);
	maps = fopen("/proc/self/maps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		char *at; /* begin-end mode ... */
		uintptr_t begin = strtoul(line, &at, 16), end = strtoul(at + 1, &at, 16);

		if ((uintptr_t)map->iov[0].iov_base < begin ||
		    (uintptr_t)map->iov[0].iov_base >= end)
			continue;
		found = true;
		assert_memory_equal(at, " r--s ", 6);
	}
	fclose(maps);
	assert_true(found);
	memory_unmap(*state, map);
}

/* ---------------------------------------------------------------- bad addresses */

static void assert_unreachable(struct guest_memory *memory, uint64_t address, uint32_t length)
{
	struct memory_piece pieces[] = { { bus(8, 0), 8 }, { address, length } };
	struct memory_map *map = NULL;
	uint8_t *bytes = malloc((size_t)length + 8);

	assert_non_null(bytes);
	assert_int_equal(memory_read(memory, bytes, pieces, 2), -EFAULT);
	assert_int_equal(memory_write(memory, pieces, 2, bytes, (size_t)length + 8), -EFAULT);
	assert_int_equal(memory_map(memory, pieces, 2, MEMORY_READ, &map), -EFAULT);
	assert_null(map);
	assert_int_equal(fake_gntdev->maps, 0);
	assert_int_equal(fake_gntdev->pages_mapped, 0);
	free(bytes);
	/* And what is right goes on. */
	assert_int_equal(memory_map(memory, pieces, 1, MEMORY_READ, &map), 0);
	memory_unmap(memory, map);
}

static void bad_references(void **state)
{
	fake_gntdev_grant(DOMID, 8, 0, 1, false);
	assert_unreachable(*state, bus(9, 0), 8);        /* not granted */
	assert_unreachable(*state, bus(8, 0), PAGE + 1); /* the second one is not */
	fake_gntdev_grant(DOMID + 1, 10, 1, 1, false);
	assert_unreachable(*state, bus(10, 0), 8); /* by another domain */
}

static void addresses_without_bit_63(void **state)
{
	fake_gntdev_grant(DOMID, 8, 0, 1, false);
	assert_unreachable(*state, UINT64_C(8) << 12, 8); /* the guest meant a frame number */
	assert_unreachable(*state, 0, 8);
	assert_unreachable(*state, 0x5e440000, 8);
}

static void references_beyond_32_bits(void **state)
{
	fake_gntdev_grant(DOMID, 8, 0, 1, false);
	assert_unreachable(*state, bus(8, 0) | UINT64_C(1) << 44, 8);
	assert_unreachable(*state, bus(8, 0) | UINT64_C(1) << 62, 8);
	assert_unreachable(*state, UINT64_MAX, 8);
}

static void references_that_wrap(void **state)
{
	fake_gntdev_grant(DOMID, 8, 0, 1, false);
	fake_gntdev_grant(DOMID, 0, 0, 1, false);
	assert_unreachable(*state, bus(UINT32_MAX, 0), PAGE + 1); /* would go on at reference 0 */
	assert_unreachable(*state, bus(UINT32_MAX, PAGE - 1), 2);
	assert_unreachable(*state, UINT64_MAX - 3, 64);
}

static void a_map_that_fails_midway_leaves_nothing(void **state)
{
	struct memory_piece pieces[] = { { bus(100, 0), 8 * PAGE }, { bus(200, 0), 8 * PAGE } };
	struct memory_map *map;

	fake_gntdev_grant(DOMID, 100, 0, 8, false);
	fake_gntdev_grant(DOMID, 200, 8, 8, false);
	for (uint32_t i = 1; i <= 16; i++) {
		fake_gntdev->fail_map_at = i;
		assert_int_equal(memory_map(*state, pieces, 2, MEMORY_READ, &map), -EFAULT);
		assert_int_equal(fake_gntdev->pages_mapped, 0);
	}
	fake_gntdev->fail_map_at = 0;
	assert_int_equal(memory_map(*state, pieces, 2, MEMORY_READ, &map), 0);
	assert_int_equal(fake_gntdev->pages_mapped, 16);
	memory_unmap(*state, map);
}

static void a_grant_revoked_before_the_copy(void **state)
{
	struct memory_piece pieces[] = { { bus(100, 0), 8 }, { bus(101, 0), 8 } };
	uint8_t bytes[16];

	fake_gntdev_grant(DOMID, 100, 0, 2, false);
	assert_int_equal(memory_read(*state, bytes, pieces, 2), 0);
	fake_gntdev_revoke(101, 1);
	assert_int_equal(memory_read(*state, bytes, pieces, 2), -EFAULT);
}

static void more_pages_than_one_map_takes(void **state)
{
	struct memory_piece pieces[] = { { bus(0, 0), UINT32_MAX }, { bus(0, 0), UINT32_MAX } };
	struct memory_map *map;

	assert_int_equal(memory_map(*state, pieces, 2, MEMORY_READ, &map), -E2BIG);
	pieces[0].length = GNTDEV_PAGES_MAX * PAGE + 1;
	assert_int_equal(memory_map(*state, pieces, 1, MEMORY_READ, &map), -E2BIG);
	assert_int_equal(fake_gntdev->map_calls, 0);
	pieces[0].length = GNTDEV_PAGES_MAX * PAGE;
	assert_int_equal(memory_map(*state, pieces, 1, MEMORY_READ, &map), -EFAULT);
	assert_int_equal(fake_gntdev->map_calls, 1);
}

static void nothing_to_map(void **state)
{
	struct memory_piece piece = { bus(8, 0), 0 };
	struct memory_map *map;
	uint8_t byte;

	assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), -EFAULT);
	assert_int_equal(memory_map(*state, NULL, 0, MEMORY_READ, &map), -EFAULT);
	assert_int_equal(memory_read(*state, &byte, &piece, 1), 0);
	assert_int_equal(fake_gntdev->map_calls + fake_gntdev->copy_calls, 0);
}

static void ten_thousand_maps_leave_nothing(void **state)
{
	struct memory_piece piece = { bus(100, 0), 4 * PAGE };
	struct memory_map *map;

	fake_gntdev_grant(DOMID, 100, 0, 4, false);
	for (unsigned i = 0; i < 10000; i++) {
		assert_int_equal(memory_map(*state, &piece, 1, MEMORY_READ, &map), 0);
		memory_unmap(*state, map);
	}
	assert_int_equal(fake_gntdev->pages_mapped, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(regions_that_are_refused),
		TEST(without_a_region_nothing_is_reachable),
		TEST(a_map_outlives_its_region),
		TEST(user_addresses_are_bus_addresses),
		TEST(one_call_copies_all_pieces),
		TEST(a_long_copy_is_one_call_too),
		TEST(a_write_ends_where_its_bytes_do),
		TEST(writing_to_a_read_only_grant),
		TEST(copies_by_mapping_where_the_policy_refuses_them),
		TEST(one_bad_grant_does_not_end_copying),
		TEST(put_off_writes_are_one_call),
		TEST(a_bad_one_spoils_no_other),
		TEST(more_than_can_be_put_off),
		TEST(put_off_where_the_policy_refuses_copies),
		TEST(put_off_until_the_region_goes),
		TEST(runs_are_mapped_in_one_call),
		TEST(neighbours_are_joined),
		TEST(the_same_reference_twice),
		TEST(reading_maps_nothing_writable),
		TEST(bad_references),
		TEST(addresses_without_bit_63),
		TEST(references_beyond_32_bits),
		TEST(references_that_wrap),
		TEST(a_map_that_fails_midway_leaves_nothing),
		TEST(a_grant_revoked_before_the_copy),
		TEST(more_pages_than_one_map_takes),
		TEST(nothing_to_map),
		TEST(ten_thousand_maps_leave_nothing),
	};

	int failed = cmocka_run_group_tests_name("memory_grant", tests, NULL, NULL);

	brokered = true;
	return failed + cmocka_run_group_tests_name("memory_grant, brokered", tests, NULL, NULL);
}
