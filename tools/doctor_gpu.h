/* SPDX-License-Identifier: MIT */
/* The doctor's facts of the GPU: DRM nodes, and whether OpenGL starts. */
#ifndef GPUDOM_TOOLS_DOCTOR_GPU_H
#define GPUDOM_TOOLS_DOCTOR_GPU_H

#include "xen/doctor.h"

/* Reads facts->config and config_error. GL drivers start in processes of their own, since they may
 * crash or hang; @verbose: what they say goes to standard error. */
void doctor_gpu_probe(struct doctor_facts *facts, bool verbose);

#endif
