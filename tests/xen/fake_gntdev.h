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

/* The same pages as frames of the guest's memory: fake_foreign.c. */
#define FAKE_FOREIGN_FRAMES 4096
struct fake_foreign {
	uint16_t domid;                   /* whose they are */
	bool absent[FAKE_FOREIGN_FRAMES]; /* by page */

	/* Faults */
	int open_error, map_error; /* of a whole call */
	int policy_error;          /* of each page */
	uint32_t fail_map_at;      /* page of a map that is refused; 0: none (counted from 1) */

	/* Of a worker in a process of its own (daemon_rig.h): what ails it, and for how many more
	 * times; its process; how many there were, and requests that it has taken and holds. */
	int mood;
	unsigned mood_times;
	int worker_pid;
	unsigned workers, held;

	/* Counters */
	unsigned map_calls, maps;
	size_t pages_mapped;
};

/* References that are inserted, and by which index: as many pages as the largest map. */
#define FAKE_GNTDEV_INDEXES (2 * GNTDEV_PAGES_MAX)
struct fake_insertion {
	uint32_t pages; /* of the insertion that begins here; 0: none does */
	bool used, mapped;
	uint16_t domid;
	uint32_t reference;
};

struct fake_gntdev {
	uint32_t pages;
	struct fake_grant grants[FAKE_GNTDEV_GRANTS];
	struct fake_insertion insertions[FAKE_GNTDEV_INDEXES];

	struct fake_foreign foreign;

	/* Faults */
	int copy_error, check_error;
	uint32_t fail_map_at; /* page of a map that is refused; 0: none (counted from 1) */
	bool fail_open, fail_insert;

	/* Of a worker in a process of its own (daemon_rig.h): what ails it, and for how many more
	 * times; its process; how many there were, and requests that it has taken and holds. */
	int mood;
	unsigned mood_times;
	int worker_pid;
	unsigned workers, held;
	unsigned limits_told;     /* how often it was */
	uint32_t limit_resources; /* the last time */

	/* Counters */
	unsigned map_calls, copy_calls, maps, inserted;
	size_t pages_mapped, segments;
};

extern struct fake_gntdev *fake_gntdev;

extern uint8_t *fake_gntdev_memory; /* as the guest sees it */

/* Where page @page begins in the memfd. */
size_t fake_gntdev_offset(uint32_t page);

/* Begins anew with @pages of guest memory, nothing granted. */
void fake_gntdev_reset(uint32_t pages);
void fake_gntdev_finish(void);

/* The guest @domid grants @count of its pages from @page on as references from @first on. */
void fake_gntdev_grant(
    uint16_t domid, uint32_t first, uint32_t page, uint32_t count, bool readonly);
void fake_gntdev_revoke(uint32_t first, uint32_t count);

#endif
