/* SPDX-License-Identifier: MIT */
/* What "status" says of the seat, and of guests' input devices, for people and for Prometheus. */
#ifndef GPUDOM_TOOLS_CTL_SEAT_TEXT_H
#define GPUDOM_TOOLS_CTL_SEAT_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "tools/ctl_snapshot.h"

/* The guests' input devices, a line each; nothing where there are none. */
void ctl_print_inputs(FILE *out, const struct ctl_snapshot *snapshot, bool colours);

/* Outputs, who is shown there and how, and who has the keyboard; or why there is no seat, where
 * somebody is to be shown at one. @width: of the terminal; 0: none. */
void ctl_print_seat(FILE *out, const struct ctl_snapshot *snapshot, bool colours, unsigned width);

/* Metrics of both. */
void ctl_print_seat_metrics(FILE *out, const struct ctl_snapshot *snapshot);

/* A label's value, with the format's escapes (ctl_metrics_text.c). */
void ctl_print_escaped(FILE *out, const char *text);

#endif
