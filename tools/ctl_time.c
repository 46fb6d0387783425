/* SPDX-License-Identifier: MIT */
#include "tools/ctl_time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECONDS_MAX 86400.0

int ctl_parse_seconds(const char *text, uint64_t min_usec, uint64_t *usec)
{
	char *end;
	double value = strtod(text, &end);

	/* A comparison with no number is false. */
	if (end != text && !*end && value * 1e6 >= (double)min_usec && value <= SECONDS_MAX) {
		*usec = (uint64_t)(value * 1e6);
		return 0;
	}
	fprintf(stderr, "gpudomctl: --interval must be from %g to %g seconds, not '%s'\n",
	    (double)min_usec / 1e6, SECONDS_MAX, text);
	return -EINVAL;
}

void ctl_sleep(uint64_t usec)
{
	const struct timespec time = {
		.tv_sec = (time_t)(usec / 1000000),
		.tv_nsec = (long)(usec % 1000000) * 1000,
	};

	nanosleep(&time, NULL);
}
