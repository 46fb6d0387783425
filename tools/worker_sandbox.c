/* SPDX-License-Identifier: MIT */
#include "tools/worker_sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/log.h"
#include "tools/worker_seccomp.h"

/* A picture or a record of requests in flight is smaller; and what a memfd holds is no memory that
 * another limit would see. */
#define FILE_SIZE_MAX (UINT64_C(256) << 20)
#define THREADS_MAX 512

/* Any directory will do: it is covered in our mount namespace alone. */
#define COVERED "/proc"

static const struct namespace
{
	const char *name; /* in /proc/self/ns */
	int flag;
	uint32_t bit;
}
namespaces[] = {
	{ "mnt", CLONE_NEWNS, WORKER_SANDBOX_MOUNT_NS },
	{ "net", CLONE_NEWNET, WORKER_SANDBOX_NET_NS },
	{ "ipc", CLONE_NEWIPC, WORKER_SANDBOX_IPC_NS },
	{ "pid", CLONE_NEWPID, WORKER_SANDBOX_PID_NS },
	{ "uts", CLONE_NEWUTS, WORKER_SANDBOX_UTS_NS },
	{ "cgroup", CLONE_NEWCGROUP, WORKER_SANDBOX_CGROUP_NS },
};
#define NAMESPACE_COUNT (sizeof(namespaces) / sizeof(namespaces[0]))

void worker_sandbox_close_all_but(const int *fds, unsigned count)
{
	unsigned from = STDERR_FILENO + 1, next;

	do {
		next = ~0u;
		for (unsigned i = 0; i < count; i++)
			if (fds[i] >= (int)from && (unsigned)fds[i] < next)
				next = (unsigned)fds[i];
		if (next > from)
			close_range(from, next == ~0u ? next : next - 1, 0);
		from = next + 1;
	} while (next != ~0u);
}

/* ---------------------------------------------------------------- capabilities */

static int get_capabilities(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

static bool has_capability(unsigned capability)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return get_capabilities(data) == 0 &&
	       (data[capability / 32].effective & (1u << capability % 32));
}

int worker_sandbox_drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* Without CAP_SETPCAP this fails; no_new_privs will do. */
	for (unsigned c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++)
		prctl(PR_CAPBSET_DROP, c);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- namespaces */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* The user and the group that we are, as themselves: what others own is nobody's. */
static int map_ids(uid_t uid, gid_t gid)
{
	char text[64];
	int r;

	/* Where it is refused, groups need no giving up. */
	write_file("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	r = write_file("/proc/self/uid_map", text);
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	return write_file("/proc/self/gid_map", text);
}

static int unshare_all_but(int left_out, uint32_t *bits)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	char path[64];
	int flags = 0, r;

	*bits = 0;
	for (size_t i = 0; i < NAMESPACE_COUNT; i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", namespaces[i].name);
		if (namespaces[i].flag == left_out || access(path, F_OK) < 0)
			continue;
		flags |= namespaces[i].flag;
		*bits |= namespaces[i].bit;
	}
	if (!has_capability(CAP_SYS_ADMIN)) {
		flags |= CLONE_NEWUSER;
		*bits |= WORKER_SANDBOX_USER_NS;
	}
	if (unshare(flags) < 0)
		return -errno;
	if (flags & CLONE_NEWUSER) {
		r = map_ids(uid, gid);
		if (r < 0)
			return r;
	}
	/* What happens here stays here. Some systems give an unprivileged user the namespace, but
	 * no right in it: then this fails. */
	if ((flags & CLONE_NEWNS) && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	return 0;
}

int worker_sandbox_unshare(uint32_t *bits)
{
	return unshare_all_but(0, bits);
}

/* In a child first: what fails half-way can't be undone. */
int worker_sandbox_unshare_self(uint32_t *bits)
{
	int status = -1;
	pid_t pid = fork();

	*bits = 0;
	if (pid == 0)
		_exit(unshare_all_but(CLONE_NEWPID, bits) < 0);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 &&
	    unshare_all_but(CLONE_NEWPID, bits) < 0)
		return -EPERM;
	*bits |= WORKER_SANDBOX_ONE_PROCESS;
	return 0;
}

/* ---------------------------------------------------------------- the root */

/*
 * Device nodes that their driver opens again and again while it runs: NVIDIA's does for each
 * mapping. Mesa's drivers open a render node once.
 */
static bool is_reopened(const char *path)
{
	return strncmp(path, "/dev/nvidia", strlen("/dev/nvidia")) == 0;
}

/* In the new root, which is the working directory: the node @path, and nothing beside it. */
static int keep_device(const char *path)
{
	const char *relative = path + 1;
	char *copy, *slash;
	int fd, r = 0;

	copy = strdup(relative);
	if (!copy)
		return -ENOMEM;
	for (slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			r = -errno;
		*slash = '/';
	}
	free(copy);
	fd = open(relative, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return r ? r : -errno;
	close(fd);
	return mount(path, relative, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int keep_devices(void)
{
	DIR *directory = opendir("/dev");
	const struct dirent *entry;
	char path[300];
	struct stat stat;
	int r = 0;

	if (!directory)
		return 0;
	while (r == 0 && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		if (is_reopened(path) && lstat(path, &stat) == 0 && S_ISCHR(stat.st_mode))
			r = keep_device(path);
	}
	closedir(directory);
	return r;
}

/* Has this process a device open whose driver opens it again? */
static bool has_reopened_device(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	char path[300];
	bool found = false;
	ssize_t n;

	if (!directory)
		return false;
	while (!found && (entry = readdir(directory))) {
		n = readlinkat(dirfd(directory), entry->d_name, path, sizeof(path) - 1);
		path[n > 0 ? n : 0] = '\0';
		found = is_reopened(path);
	}
	closedir(directory);
	return found;
}

/* An empty root for all threads, which share it. The old one is gone. */
static int make_empty_root(const struct worker_sandbox *sandbox)
{
	int root, r;

	/* Device nodes keep the flags of where they come from. */
	if (mount("gpudom", COVERED, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		"mode=755,size=64k,nr_inodes=64") < 0 ||
	    chdir(COVERED) < 0)
		return -errno;
	/* The nodes' own paths are visible from here until the root moves. */
	if (sandbox->reopens) {
		r = keep_devices();
		if (r < 0)
			return r;
	}
	root = open(".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	r = 0;
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		/* The old root lies on top of the new one. */
		if (umount2(".", MNT_DETACH) < 0)
			r = -errno;
	} else if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0) {
		/* An initial RAM file system is no root that can be taken away: it is covered. */
		r = -errno;
	}
	if (r == 0 &&
	    (fchdir(root) < 0 || chdir("/") < 0 ||
		mount(NULL, "/", NULL,
		    MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0))
		r = -errno;
	close(root);
	return r;
}

/* The only thread with the namespaces' capabilities. */
static void *helper_run(void *data)
{
	struct worker_sandbox *sandbox = data;
	uint64_t count;

	prctl(PR_SET_NAME, "sandbox");
	if (read(sandbox->wake_fd, &count, sizeof(count)) == sizeof(count))
		sandbox->root_error = make_empty_root(sandbox);
	else
		sandbox->root_error = -EIO;
	return NULL;
}

/* ---------------------------------------------------------------- before set-up */

/*
 * The first process of a PID namespace ignores signals from itself whose action is the default:
 * abort() would end as another crash than it is. The monitor understands the status.
 */
static void on_abort(int signal)
{
	_exit(128 + signal);
}

int worker_sandbox_begin(struct worker_sandbox *sandbox)
{
	int r;

	sandbox->wake_fd = -1;
	if (sandbox->bits & WORKER_SANDBOX_PID_NS)
		signal(SIGABRT, on_abort);
	if (sandbox->bits & WORKER_SANDBOX_MOUNT_NS) {
		sandbox->wake_fd = eventfd(0, EFD_CLOEXEC);
		r = sandbox->wake_fd < 0
			? errno
			: pthread_create(&sandbox->helper, NULL, helper_run, sandbox);
		if (r) {
			log_error("the sandbox cannot be prepared: %s", strerror(r));
			return -r;
		}
		sandbox->has_helper = true;
	}
	r = worker_sandbox_drop_capabilities();
	if (r < 0) {
		log_error("cannot give up capabilities: %s", strerror(-r));
		return r;
	}
	sandbox->bits |= WORKER_SANDBOX_NO_CAPABILITIES;
	return 0;
}

/* ---------------------------------------------------------------- after set-up */

static int empty_root(struct worker_sandbox *sandbox)
{
	const uint64_t one = 1;

	if (!sandbox->has_helper)
		return -ENOTSUP;
	if (write(sandbox->wake_fd, &one, sizeof(one)) != sizeof(one))
		return -EIO;
	pthread_join(sandbox->helper, NULL);
	sandbox->has_helper = false;
	close(sandbox->wake_fd);
	sandbox->wake_fd = -1;
	return sandbox->root_error;
}

static int set_limit(__rlimit_resource_t resource, uint64_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return -errno;
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int set_limits(const struct worker_sandbox *sandbox)
{
	const struct worker_sandbox_limits *limits = &sandbox->limits;
	int r;

	r = set_limit(RLIMIT_FSIZE, FILE_SIZE_MAX);
	if (r == 0)
		r = set_limit(RLIMIT_DATA, limits->memory);
	if (r == 0)
		r = set_limit(RLIMIT_NOFILE, limits->files);
	if (r == 0)
		r = set_limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = set_limit(RLIMIT_MSGQUEUE, 0);
	if (r == 0 && limits->cpu)
		r = set_limit(RLIMIT_CPU, limits->cpu);
	/* Counted for each user in each user namespace: elsewhere it would count other workers. */
	if (r == 0 && (sandbox->bits & WORKER_SANDBOX_USER_NS))
		r = set_limit(RLIMIT_NPROC, THREADS_MAX);
	return r;
}

void worker_sandbox_describe_missing(uint32_t bits, char *text, size_t size)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} others[] = {
		{ WORKER_SANDBOX_EMPTY_ROOT, "an empty root" },
		{ WORKER_SANDBOX_NO_CAPABILITIES, "the loss of capabilities" },
		{ WORKER_SANDBOX_LIMITS, "limits" },
		{ WORKER_SANDBOX_SYSTEM_CALLS, "the list of system calls" },
	};
	size_t used = 0;

	if (bits & WORKER_SANDBOX_ONE_PROCESS)
		bits |= WORKER_SANDBOX_PID_NS;
	*text = '\0';
	for (size_t i = 0; i < NAMESPACE_COUNT && used < size; i++)
		if (!(bits & namespaces[i].bit))
			used += (size_t)snprintf(text + used, size - used, "%sa %s namespace",
			    used ? ", " : "", namespaces[i].name);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && used < size; i++)
		if (!(bits & others[i].bit))
			used += (size_t)snprintf(
			    text + used, size - used, "%s%s", used ? ", " : "", others[i].name);
}

/* Logs what is missing; strict: that is an error. */
static int check_missing(const struct worker_sandbox *sandbox)
{
	const bool strict = sandbox->mode == WORKER_SANDBOX_STRICT;
	char missing[256];

	worker_sandbox_describe_missing(
	    sandbox->bits | WORKER_SANDBOX_SYSTEM_CALLS, missing, sizeof(missing));
	if (!*missing)
		return 0;
	log_write(strict ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
	    "the sandbox is not complete: it lacks %s%s", missing,
	    strict ? "; --sandbox=strict does not go on without" : "");
	return strict ? -ENOTSUP : 0;
}

int worker_sandbox_seal(struct worker_sandbox *sandbox)
{
	int r;

	/* While there is a /proc */
	worker_seccomp_look(sandbox);
	sandbox->reopens = has_reopened_device();
	r = empty_root(sandbox);
	if (r == 0)
		sandbox->bits |= WORKER_SANDBOX_EMPTY_ROOT;
	else if (r != -ENOTSUP)
		log_warning("the file system cannot be taken away: %s", strerror(-r));
	if (sandbox->reopens && !(sandbox->bits & WORKER_SANDBOX_EMPTY_ROOT))
		log_warning("files stay within the worker's reach: the GPU's driver opens its "
			    "device nodes while it runs, and there is no empty root with just "
			    "these");
	r = set_limits(sandbox);
	if (r == 0)
		sandbox->bits |= WORKER_SANDBOX_LIMITS;
	else
		log_warning("the limits cannot be set: %s", strerror(-r));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		sandbox->bits |= WORKER_SANDBOX_NO_NEW_PRIVILEGES;
	/* No core with a guest's pictures, and nobody else of this user attaches to us. */
	prctl(PR_SET_DUMPABLE, 0);
	r = check_missing(sandbox);
	if (r < 0)
		return r;
	r = worker_seccomp_load(sandbox);
	if (r < 0) {
		log_error("the system calls cannot be limited: %s. The kernel needs "
			  "CONFIG_SECCOMP_FILTER; --sandbox=off goes on without",
		    strerror(-r));
		return r;
	}
	if (sandbox->mode == WORKER_SANDBOX_LOG)
		log_warning("--sandbox=log: system calls are not limited; those that would have "
			    "been refused are logged");
	else
		sandbox->bits |= WORKER_SANDBOX_SYSTEM_CALLS;
	return 0;
}
