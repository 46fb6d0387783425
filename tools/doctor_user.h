/* SPDX-License-Identifier: MIT */
/* The doctor's facts of who runs gpudomd: what that user may open, and what its workers' sandboxes
 * get. */
#ifndef GPUDOM_TOOLS_DOCTOR_USER_H
#define GPUDOM_TOOLS_DOCTOR_USER_H

#include "xen/doctor.h"

/* After doctor_probe(), whose facts->pid it reads. */
void doctor_user_probe(struct doctor_facts *facts);

#endif
