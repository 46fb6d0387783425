/* SPDX-License-Identifier: MIT */
/* posix_spawn(3) with what that cannot do yet: the child is in its control group before it runs. */
#ifndef GPUDOM_XEN_SPAWN_H
#define GPUDOM_XEN_SPAWN_H

#include <sys/types.h>

#define SPAWN_FDS_MAX 16

struct spawn_options {
	const char *path; /* of the program; without a slash it is looked for in $PATH */
	char *const *arguments;
	const int *fds; /* the child's, from @first on; all others close on exec */
	unsigned count; /* at most SPAWN_FDS_MAX */
	int first;
	int cgroup_procs; /* the open file of that name; -1: the child stays in our group */
};

/*
 * Starts a child with default signals, none blocked. To be called by a process with one thread.
 * *@group_error is why it could not be moved to its control group, -errno or 0: it runs all the
 * same. Returns 0 or -errno, also for what execvp(3) says.
 */
int spawn(const struct spawn_options *options, pid_t *pid, int *group_error);

#endif
