/* SPDX-License-Identifier: MIT */
/* Foreign maps for tests, in place of xen/foreign.c: the pages of the fake grant device as frames
 * from FAKE_FOREIGN_FIRST on. Its state lies beside that of the grant device. */
#ifndef GPUDOM_TESTS_XEN_FAKE_FOREIGN_H
#define GPUDOM_TESTS_XEN_FAKE_FOREIGN_H

#include "tests/xen/fake_gntdev.h"
#include "xen/foreign.h"

#define FAKE_FOREIGN_FIRST 0x40000u /* a guest's memory begins at 1 GiB on Arm */

/* After fake_gntdev_reset(): they are @domid's. */
void fake_foreign_reset(uint16_t domid);

/* The guest gives @count of its pages back to Xen, or takes some again. */
void fake_foreign_set_absent(uint32_t page, uint32_t count, bool absent);

#endif
