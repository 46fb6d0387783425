/* SPDX-License-Identifier: MIT */
/* What the kernel says of workers' processes, as anybody may read it in /proc. A sandboxed worker
 * is two: the one that gpudomd knows, and its child. */
#ifndef GPUDOM_TOOLS_CTL_PROCESS_H
#define GPUDOM_TOOLS_CTL_PROCESS_H

#include <stddef.h>
#include <stdint.h>

struct ctl_process {
	int pid, parent;
};

struct ctl_processes {
	size_t count, room;
	struct ctl_process *list;
};

/* All that there are. What cannot be read is not there. */
void ctl_processes_read(struct ctl_processes *processes);
void ctl_processes_finish(struct ctl_processes *processes);

/* Bytes of memory that @pid and its children have for themselves; 0: not known. */
uint64_t ctl_processes_resident(const struct ctl_processes *processes, int pid);

#endif
