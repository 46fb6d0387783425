/* SPDX-License-Identifier: MIT */
/* The numbers of struct telemetry as "status" has them (gpudom-control(7)): what gpudomd writes,
 * and gpudomctl reads and explains. */
#ifndef GPUDOM_XEN_CONTROL_FIELDS_H
#define GPUDOM_XEN_CONTROL_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "backend/telemetry.h"

/* A number: its member, where it is in struct telemetry, and what it is. Names that end in _ns are
 * nanoseconds, in _bytes bytes. */
struct control_field {
	const char *name;
	size_t offset;
	const char *help;
};

extern const struct control_field control_counters[]; /* in "counters"; all ends with a NULL name */
extern const struct control_field control_levels[];   /* in "levels" */

uint64_t control_field_get(const struct control_field *field, const struct telemetry *telemetry);
void control_field_set(
    const struct control_field *field, struct telemetry *telemetry, uint64_t value);

#endif
