/* SPDX-License-Identifier: MIT */
/* A snapshot in Prometheus' text format, version 0.0.4. */
#ifndef GPUDOM_TOOLS_CTL_METRICS_TEXT_H
#define GPUDOM_TOOLS_CTL_METRICS_TEXT_H

#include <stdio.h>

#include "tools/ctl_snapshot.h"

/* NULL: gpudomd cannot be reached, and gpudom_up is 0. */
void ctl_print_metrics(FILE *out, const struct ctl_snapshot *snapshot);

#endif
