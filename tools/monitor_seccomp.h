/* SPDX-License-Identifier: MIT */
/* The list of system calls that the monitor may make (tools/worker_monitor.h). */
#ifndef GPUDOM_TOOLS_MONITOR_SECCOMP_H
#define GPUDOM_TOOLS_MONITOR_SECCOMP_H

#include <stdbool.h>

struct monitor_seccomp_options {
	const char *guest; /* for the log; may be NULL */
	bool files;        /* replaces pictures, or removes a socket */
	bool notifies;     /* sd_notify() */
	bool grants;       /* asks gntdev */
};

/* 0 or -errno. */
int monitor_seccomp_load(const struct monitor_seccomp_options *options);

#endif
