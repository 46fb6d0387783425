/* SPDX-License-Identifier: MIT */
/*
 * Fills in what the doctor judges, all but the GPU. Nothing that it does changes anything or shows
 * in a log: calls are made so that Xen and the kernel refuse them, and the way they do tells.
 */
#ifndef GPUDOM_XEN_DOCTOR_PROBE_H
#define GPUDOM_XEN_DOCTOR_PROBE_H

#include "xen/doctor.h"

/* Leaves config*, worker* and the GPU's facts alone. */
void doctor_probe(struct doctor_facts *facts);

#endif
