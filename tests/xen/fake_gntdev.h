/* SPDX-License-Identifier: MIT */
/* A grant device for tests, in place of xen/gntdev.c: guests' pages in a memfd, a table of what
 * they have granted, faults on request, and counters of what is still mapped. All of it lies in
 * that memfd, so that a worker to which it is passed finds it too. */
#ifndef GPUDOM_TESTS_XEN_FAKE_GNTDEV_H
#define GPUDOM_TESTS_XEN_FAKE_GNTDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xen/gntdev.h"

#define FAKE_GNTDEV_GRANTS 65536

struct fake_grant {
	bool granted, readonly;
	uint16_t domid;
	uint32_t page; /* of the memfd */
};

struct fake_gntdev {
	uint32_t pages;
	struct fake_grant grants[FAKE_GNTDEV_GRANTS];

	/* Faults */
	int copy_error, check_error;
	uint32_t fail_map_at; /* page of a map that is refused; 0: none (counted from 1) */
	bool fail_open;

	/* Counters */
	unsigned map_calls, copy_calls, maps;
	size_t pages_mapped, segments;
};

extern struct fake_gntdev *fake_gntdev;

extern uint8_t *fake_gntdev_memory; /* as the guest sees it */

/* Begins anew with @pages of guest memory, nothing granted. */
void fake_gntdev_reset(uint32_t pages);
void fake_gntdev_finish(void);

/* The guest @domid grants @count of its pages from @page on as references from @first on. */
void fake_gntdev_grant(
    uint16_t domid, uint32_t first, uint32_t page, uint32_t count, bool readonly);
void fake_gntdev_revoke(uint32_t first, uint32_t count);

#endif
