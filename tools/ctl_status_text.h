/* SPDX-License-Identifier: MIT */
/* What gpudomctl status shows a person. */
#ifndef GPUDOM_TOOLS_CTL_STATUS_TEXT_H
#define GPUDOM_TOOLS_CTL_STATUS_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/ctl_snapshot.h"
#include "tools/ctl_text.h"

/* The colour of a device's state. */
enum ctl_colour ctl_state_colour(const struct ctl_device *device);

/* All guests in a table, and below it a sentence for each that something is wrong with. @before, a
 * little earlier, makes rates known. */
void ctl_print_status(FILE *out, const struct ctl_snapshot *before, const struct ctl_snapshot *now,
    bool colours, unsigned width);

/* All that is known of one device. */
void ctl_print_device(FILE *out, const struct ctl_snapshot *before, const struct ctl_snapshot *now,
    const struct ctl_device *device, bool colours);

#endif
