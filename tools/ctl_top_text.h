/* SPDX-License-Identifier: MIT */
/* A page of gpudomctl top. */
#ifndef GPUDOM_TOOLS_CTL_TOP_TEXT_H
#define GPUDOM_TOOLS_CTL_TOP_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/ctl_snapshot.h"

/* What guests are sorted by; numbers from the largest. */
enum ctl_top_order {
	CTL_TOP_GUEST,
	CTL_TOP_FRAMES,
	CTL_TOP_COMMANDS,
	CTL_TOP_BYTES,
	CTL_TOP_GPU,
	CTL_TOP_CPU,
	CTL_TOP_MEMORY,
	CTL_TOP_ORDERS,
};

/* "cpu"; -EINVAL: there is none of that name. */
int ctl_top_parse_order(const char *name, enum ctl_top_order *order);

struct ctl_top_page {
	const struct ctl_snapshot *before, *now; /* before: may be NULL */
	enum ctl_top_order order;
	const char *notice; /* shown in the head; NULL: none */
};

/* No more than @rows lines of @width columns (0: as they come), each with @end before its newline.
 */
void ctl_print_top(FILE *out, const struct ctl_top_page *page, bool colours, unsigned width,
    unsigned rows, const char *end);

#endif
