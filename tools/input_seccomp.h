/* SPDX-License-Identifier: MIT */
/* The list of system calls of a worker without a renderer: an input device's. */
#ifndef GPUDOM_TOOLS_INPUT_SECCOMP_H
#define GPUDOM_TOOLS_INPUT_SECCOMP_H

#include <seccomp.h>

#include "tools/worker_sandbox.h"

/* 0 or -errno */
int input_seccomp_add(scmp_filter_ctx filter, const struct worker_sandbox *sandbox);

#endif
