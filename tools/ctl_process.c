/* SPDX-License-Identifier: MIT */
#include "tools/ctl_process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_line(int pid, const char *name, char *line, size_t size)
{
	char path[64];
	FILE *file;
	int error = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fgets(line, (int)size, file))
		error = 0;
	fclose(file);
	return error;
}

/* proc(5): "pid (comm) state ppid ..."; comm may contain anything. */
static int read_parent(int pid)
{
	char line[512];
	const char *end;

	if (read_line(pid, "stat", line, sizeof(line)) < 0)
		return 0;
	end = strrchr(line, ')');
	return end && strlen(end) > 4 ? (int)strtol(end + 4, NULL, 10) : 0;
}

/* proc(5): "size resident shared ...", in pages */
static uint64_t read_resident(int pid)
{
	unsigned long long resident, shared;
	char line[256], *at;

	if (read_line(pid, "statm", line, sizeof(line)) < 0)
		return 0;
	strtoull(line, &at, 10);
	resident = strtoull(at, &at, 10);
	shared = strtoull(at, &at, 10);
	return shared < resident ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void add(struct ctl_processes *processes, int pid)
{
	if (processes->count == processes->room) {
		size_t room = processes->room ? 2 * processes->room : 256;
		struct ctl_process *list = reallocarray(processes->list, room, sizeof(*list));

		if (!list)
			return;
		processes->list = list;
		processes->room = room;
	}
	processes->list[processes->count++] = (struct ctl_process){
		.pid = pid,
		.parent = read_parent(pid),
	};
}

void ctl_processes_read(struct ctl_processes *processes)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int pid;

	*processes = (struct ctl_processes){ 0 };
	while (proc && (entry = readdir(proc)))
		if ((pid = (int)strtol(entry->d_name, NULL, 10)) > 0)
			add(processes, pid);
	if (proc)
		closedir(proc);
}

void ctl_processes_finish(struct ctl_processes *processes)
{
	free(processes->list);
	*processes = (struct ctl_processes){ 0 };
}

uint64_t ctl_processes_resident(const struct ctl_processes *processes, int pid)
{
	uint64_t bytes = 0;

	if (pid <= 0)
		return 0;
	for (size_t i = 0; i < processes->count; i++) {
		const struct ctl_process *process = &processes->list[i];

		if (process->pid == pid || process->parent == pid)
			bytes += read_resident(process->pid);
	}
	return bytes;
}
