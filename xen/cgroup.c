/* SPDX-License-Identifier: MIT */
#include "xen/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/log.h"

#define LEAF "gpudomd"
#define CONTROL ".control" /* where systemd starts an ExecStartPre= */
#define PREFIX "guest-"
#define NAME_BYTES 32
#define PERIOD_US 100000 /* of cpu.max, as the kernel has it */
#define WEIGHT_DEFAULT 100
#define PIDS_MAX 512 /* threads of a worker: GL drivers start one for each CPU, or a few */

static const char *const controllers[] = { "cpu", "memory", "pids" };
#define CONTROLLERS (sizeof(controllers) / sizeof(controllers[0]))

struct cgroup {
	int fd; /* of the group that the others are in */
	struct log_limit limit;
};

/* ------------------------------------------------------------------- files */

static int cgroup_write(int directory, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Into an existing file, in one write(), as the kernel wants it. */
static int cgroup_write(int directory, const char *file, const char *format, ...)
{
	int fd = openat(directory, file, O_WRONLY | O_TRUNC | O_CLOEXEC), error = 0;
	va_list args;
	char text[64];
	int length;

	if (fd < 0)
		return -errno;
	va_start(args, format);
	length = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (write(fd, text, (size_t)length) != length)
		error = -errno;
	close(fd);
	return error;
}

/* The first line of /proc/self/cgroup that is of version 2: "0::/PATH". Allocated; NULL: none. */
static char *cgroup_read_self(const char *self)
{
	char line[PATH_MAX + 8], *path = NULL;
	FILE *file = fopen(self, "re");

	while (file && !path && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::/", 4) && !strstr(line, "/.."))
			path = strdup(line + 3);
	}
	if (file)
		fclose(file);
	return path;
}

/* The group that ours is, or that ours is in, if it has one of these names. -errno */
static int cgroup_open_base(const struct cgroup_options *options)
{
	const char *mount = options->mount ? options->mount : "/sys/fs/cgroup";
	char *own = cgroup_read_self(options->self ? options->self : "/proc/self/cgroup");
	char *path = NULL, *slash;
	int fd;

	if (!own)
		return -ENOENT;
	slash = strrchr(own, '/');
	if (!strcmp(slash, "/" LEAF) || !strcmp(slash, "/" CONTROL))
		*slash = '\0';
	if (asprintf(&path, "%s%s", mount, own) < 0)
		path = NULL;
	free(own);
	if (!path)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	free(path);
	/* It may be a directory with those of version 1. */
	if (fd >= 0 && faccessat(fd, "cgroup.controllers", F_OK, 0) < 0) {
		close(fd);
		fd = -ENOENT;
	}
	return fd;
}

/* ------------------------------------------------------------------- life time */

/* "Non-root cgroups can distribute domain resources to their children only when they don't have any
 * processes of their own": Linux, Documentation/admin-guide/cgroup-v2.rst. */
static int cgroup_move_away(int base)
{
	int leaf, error;

	if (mkdirat(base, LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	leaf = openat(base, LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (leaf < 0)
		return -errno;
	error = cgroup_write(leaf, "cgroup.procs", "%d", (int)getpid());
	close(leaf);
	return error;
}

/* Those that there are; not all have to be. */
static int cgroup_enable(int base)
{
	char missing[64] = "";
	int error = 0;

	for (size_t i = 0; i < CONTROLLERS; i++) {
		int r = cgroup_write(base, "cgroup.subtree_control", "+%s", controllers[i]);

		if (r < 0) {
			error = r;
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
			    " %s", controllers[i]);
		}
	}
	if (error)
		log_info("no control of workers'%s by cgroup v2: %s; the unit needs Delegate=cpu "
			 "memory pids",
		    missing, strerror(-error));
	return 0;
}

int cgroup_open(const struct cgroup_options *options, struct cgroup **out)
{
	struct cgroup *cgroup = calloc(1, sizeof(*cgroup));
	int error;

	if (!cgroup)
		return -ENOMEM;
	cgroup->fd = cgroup_open_base(options);
	error = cgroup->fd < 0 ? cgroup->fd : cgroup_move_away(cgroup->fd);
	if (!error)
		error = cgroup_enable(cgroup->fd);
	if (error) {
		log_info("workers have no control groups of their own: %s (cpu-weight, cpu-max and "
			 "memory-max have no effect; this needs cgroup v2, and Delegate=yes in the "
			 "unit)",
		    strerror(-error));
		cgroup_close(cgroup);
		return error;
	}
	cgroup_sweep(cgroup);
	*out = cgroup;
	return 0;
}

void cgroup_release(const struct cgroup_options *options)
{
	int base = cgroup_open_base(options);

	for (size_t i = 0; base >= 0 && i < CONTROLLERS; i++)
		cgroup_write(base, "cgroup.subtree_control", "-%s", controllers[i]);
	if (base >= 0)
		close(base);
}

void cgroup_close(struct cgroup *cgroup)
{
	if (!cgroup)
		return;
	if (cgroup->fd >= 0)
		close(cgroup->fd);
	free(cgroup);
}

/* ------------------------------------------------------------------- workers */

static void cgroup_name(char name[NAME_BYTES], uint16_t domid, unsigned devid)
{
	snprintf(name, NAME_BYTES, PREFIX "%u-%u", domid, devid);
}

static int cgroup_open_group(const struct cgroup *cgroup, uint16_t domid, unsigned devid)
{
	char name[NAME_BYTES];
	int fd;

	cgroup_name(name, domid, devid);
	fd = openat(cgroup->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A controller that is not there was missed when we began. */
static int cgroup_result(int error)
{
	return error == -ENOENT ? 0 : error;
}

static int cgroup_apply(int group, const struct guest_policy *policy)
{
	uint32_t weight = policy->cpu_weight ? policy->cpu_weight : WEIGHT_DEFAULT;
	int error;

	error = cgroup_result(cgroup_write(group, "cpu.weight", "%" PRIu32, weight));
	if (error)
		return error;
	if (policy->cpu_max_percent)
		error = cgroup_write(group, "cpu.max", "%" PRIu64 " %d",
		    (uint64_t)policy->cpu_max_percent * PERIOD_US / 100, PERIOD_US);
	else
		error = cgroup_write(group, "cpu.max", "max %d", PERIOD_US);
	error = cgroup_result(error);
	if (error)
		return error;
	if (policy->memory_max)
		error = cgroup_write(group, "memory.max", "%" PRIu64, policy->memory_max);
	else
		error = cgroup_write(group, "memory.max", "max");
	error = cgroup_result(error);
	return error ? error : cgroup_result(cgroup_write(group, "pids.max", "%d", PIDS_MAX));
}

void cgroup_set(
    struct cgroup *cgroup, uint16_t domid, unsigned devid, const struct guest_policy *policy)
{
	char name[NAME_BYTES];
	int group, error = 0;

	if (!cgroup)
		return;
	cgroup_name(name, domid, devid);
	if (mkdirat(cgroup->fd, name, 0755) < 0 && errno != EEXIST)
		error = -errno;
	group = error ? error : cgroup_open_group(cgroup, domid, devid);
	error = group < 0 ? group : cgroup_apply(group, policy);
	if (group >= 0)
		close(group);
	if (error)
		log_guest(&cgroup->limit,
		    "domain %u: its worker's control group %s is not as set: %s", domid, name,
		    strerror(-error));
}

int cgroup_open_procs(struct cgroup *cgroup, uint16_t domid, unsigned devid)
{
	int group, fd = -1, error;

	if (!cgroup)
		return -1;
	group = cgroup_open_group(cgroup, domid, devid);
	error = group < 0 ? group : 0;
	if (!error) {
		fd = openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		error = fd < 0 ? -errno : 0;
		close(group);
	}
	if (error)
		log_guest(&cgroup->limit,
		    "domain %u: its worker will not be in a control group: %s", domid,
		    strerror(-error));
	return fd;
}

/* memory.events: lines "NAME COUNT". */
static uint64_t cgroup_read_event(int group, const char *event)
{
	int fd = openat(group, "memory.events", O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	const size_t length = strlen(event);
	uint64_t count = 0;
	char line[64];

	if (!file) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, event, length) && line[length] == ' ')
			count = strtoull(line + length, NULL, 10);
	fclose(file);
	return count;
}

bool cgroup_was_oom_killed(
    const struct cgroup *cgroup, uint16_t domid, unsigned devid, uint64_t *seen)
{
	uint64_t before = *seen;
	int group;

	if (!cgroup)
		return false;
	group = cgroup_open_group(cgroup, domid, devid);
	if (group < 0)
		return false;
	*seen = cgroup_read_event(group, "oom_kill");
	close(group);
	return *seen > before;
}

void cgroup_sweep(struct cgroup *cgroup)
{
	DIR *directory;
	struct dirent *entry;
	int fd;

	if (!cgroup)
		return;
	fd = openat(cgroup->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory) {
		if (fd >= 0)
			close(fd);
		return;
	}
	/* The kernel refuses it where somebody is in it. */
	while ((entry = readdir(directory)))
		if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
			unlinkat(cgroup->fd, entry->d_name, AT_REMOVEDIR);
	closedir(directory);
}
