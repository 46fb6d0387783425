/* SPDX-License-Identifier: MIT */
/* The list of system calls that a renderer may make once it is set up (tools/worker_sandbox.h). */
#ifndef GPUDOM_TOOLS_WORKER_SECCOMP_H
#define GPUDOM_TOOLS_WORKER_SECCOMP_H

#include "tools/worker_sandbox.h"

/* Which GPU's devices are open? Their calls go into the list. Needs /proc. */
void worker_seccomp_look(struct worker_sandbox *sandbox);

/*
 * For all threads, for ever. A call that is not in the list is logged with its name and the guest's
 * and ends the process by SIGSYS; files are not found; what a library asks for and can do without
 * is answered as by a kernel that has no such call. 0 or -errno.
 */
int worker_seccomp_load(const struct worker_sandbox *sandbox);

#endif
