/* SPDX-License-Identifier: MIT */
#ifndef GPUDOM_TOOLS_CTL_TIME_H
#define GPUDOM_TOOLS_CTL_TIME_H

#include <stdint.h>

/* Seconds with or without a fraction, at least @min_usec and at most a day, as microseconds.
 * -EINVAL: said what is wrong. */
int ctl_parse_seconds(const char *text, uint64_t min_usec, uint64_t *usec);

void ctl_sleep(uint64_t usec);

#endif
