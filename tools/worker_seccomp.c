/* SPDX-License-Identifier: MIT */
#include "tools/worker_seccomp.h"

#include <asm/ioctls.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <xen/xen.h>

/* After xen.h, whose types it uses. */
#include <xen/sys/privcmd.h>

#include "backend/udmabuf.h"
#include "tools/input_seccomp.h"
#include "tools/seccomp_list.h"

/* ---------------------------------------------------------------- the list */

/* clang-format off */

/* What is in it was seen in use, or is known from the sources of glibc, Mesa, LLVM, virglrenderer
 * and libsystemd; the groups say what for. None of it names anything outside of this process. */
static const char *const allowed[] = {
	/* Descriptors that are open: sockets, eventfds, memory files, the log */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek",
	"close", "close_range", "dup", "dup2", "dup3", "fstat", "ftruncate", "recvmsg",
	"recvfrom", "sendmsg", "getsockname", "getpeername", "getsockopt",
	/* What sd-event and sync files are made of; fences wait in poll() */
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll",
	"ppoll", "select", "pselect6", "eventfd2", "timerfd_create", "timerfd_settime",
	"timerfd_gettime", "signalfd4", "pipe2",
	/* Memory. GL drivers compile code when a guest's shaders come: it may be executable */
	"brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "msync", "mincore",
	"memfd_create", /* records of requests in flight, pictures, what llvmpipe shares */
	"membarrier",
	/* Threads of this process, and what they wait for (clone: see below) */
	"futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address",
	"gettid", "getpid", "getppid", "exit", "exit_group", "restart_syscall", "sched_yield",
	"sched_getaffinity", "sched_setaffinity", /* Mesa keeps threads near their caches */
	"sched_getparam", "sched_getscheduler", "sched_get_priority_max",
	"sched_get_priority_min", "getcpu",
	/* Signals, to and in this process (rt_sigaction and tgkill: see below) */
	"rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending", "sigaltstack",
	/* Time */
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	"timer_create", "timer_settime", "timer_gettime", "timer_getoverrun", "timer_delete",
	"times",
	/* About this process and the machine, all of it harmless */
	"getrandom", "getrusage", "getuid", "geteuid", "getgid", "getegid", "uname", "sysinfo",
	"get_mempolicy",

};

/* Libraries try these and go on without: what is not there can't be found. */
static const struct {
	const char *name;
	int error;
} answered[] = {
	/* Files */
	{ "open", EACCES }, { "openat", EACCES }, { "openat2", ENOSYS }, { "creat", EACCES },
	{ "stat", EACCES }, { "lstat", EACCES }, { "statx", ENOSYS }, { "access", EACCES },
	{ "faccessat", EACCES }, { "faccessat2", EACCES }, { "readlink", EACCES },
	{ "readlinkat", EACCES }, { "mkdir", EACCES }, { "mkdirat", EACCES },
	{ "unlink", EACCES }, { "unlinkat", EACCES }, { "rename", EACCES },
	{ "renameat", EACCES }, { "renameat2", EACCES }, { "statfs", EACCES },
	{ "fstatfs", EACCES }, { "getcwd", EACCES }, { "getdents64", EACCES },
	{ "inotify_init1", EACCES }, { "inotify_init", EACCES },
	/* flock: a shader cache's; fadvise, fallocate: a hint, and what ignores RLIMIT_FSIZE */
	{ "flock", EACCES }, { "fadvise64", ENOSYS }, { "fallocate", EOPNOTSUPP },
	/* glibc falls back to clone, whose flags can be looked at */
	{ "clone3", ENOSYS },
	/* Mesa asks whether two descriptors are the same file, and takes a "no" */
	{ "kcmp", EPERM },
	/* Wishes: Mesa's queues of low priority, drivers' pinned memory, buffers of sockets */
	{ "sched_setscheduler", EPERM }, { "sched_setparam", EPERM }, { "sched_setattr", EPERM },
	{ "sched_getattr", ENOSYS }, { "setpriority", EPERM }, { "getpriority", EPERM },
	{ "mlock", EPERM }, { "mlock2", EPERM }, { "munlock", EPERM }, { "mlockall", EPERM },
	{ "set_mempolicy", EPERM }, { "mbind", EPERM }, { "setsockopt", EPERM },
	/* Memory protection keys, shadow stacks */
	{ "pkey_alloc", ENOSYS }, { "pkey_mprotect", ENOSYS }, { "arch_prctl", EINVAL },
	{ "capget", EPERM },

};

/* clang-format on */

/* GPU drivers' device nodes, and the type of their ioctls (_IOC_TYPE). */
static const struct device {
	const char *path;
	unsigned type;
} devices[] = {
	{ "/dev/dri/", 'd' },     /* DRM */
	{ "/dev/nvidia", 'F' },   /* NVIDIA */
	{ "/dev/nvidia-m", 'm' }, /* its modeset device */
	{ "/dev/mali", 0x80 },    /* Arm */
	{ "/dev/kgsl", 0x09 },    /* Qualcomm */
};
#define DEVICE_COUNT (sizeof(devices) / sizeof(devices[0]))
/* The bit of worker_sandbox.devices that is none of these */
#define DEVICE_UDMABUF (UINT32_C(1) << 31)

/* ---------------------------------------------------------------- rules */

static int add_ioctls(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	/* dma-bufs ('b') and sync files ('>'), which come from DRM; the C library asks whether
	 * standard output is a terminal. */
	static const unsigned types[] = { 'b', '>' };
	static const uint32_t foreign[] = { IOCTL_PRIVCMD_MMAPBATCH_V2, IOCTL_PRIVCMD_RESTRICT };
	static const uint32_t none[] = { TCGETS, TIOCGWINSZ };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(types) / sizeof(types[0]); i++)
		r = seccomp_list_allow_if(filter, "ioctl", 1, 0xff00, types[i] << 8);
	for (size_t i = 0; r == 0 && i < DEVICE_COUNT; i++)
		if (sandbox->devices & (1u << i))
			r = seccomp_list_allow_if(filter, "ioctl", 1, 0xff00, devices[i].type << 8);
	/* Makes a dma-buf of memory files that we have open */
	if (r == 0 && sandbox->devices & DEVICE_UDMABUF)
		r = seccomp_list_allow_if(
		    filter, "ioctl", 1, SECCOMP_LIST_LOW32, UDMABUF_CREATE_LIST);
	if (r == 0 && sandbox->grants)
		r = seccomp_list_allow_if(filter, "ioctl", 1, 0xff00, 'G' << 8);
	/* Foreign memory, where there are no grants: the descriptor is locked to one guest, and can
	 * be locked again to none but that. */
	for (size_t i = 0; r == 0 && i < sizeof(foreign) / sizeof(foreign[0]); i++)
		r = seccomp_list_allow_if(filter, "ioctl", 1, SECCOMP_LIST_LOW32, foreign[i]);
	for (size_t i = 0; r == 0 && i < sizeof(none) / sizeof(none[0]); i++) {
		const struct scmp_arg_cmp request =
		    SECCOMP_LIST_BITS(1, SECCOMP_LIST_LOW32, none[i]);

		r = seccomp_list_add(filter, SCMP_ACT_ERRNO(ENOTTY), "ioctl", 1, &request);
	}
	return r;
}

/*
 * Flags of an open file are shared with whoever else has it open, such as gpudomd, which would
 * block on an eventfd that does not say EAGAIN: so O_NONBLOCK can be set and not cleared, and
 * nothing else can be.
 */
static int add_fcntl(scmp_filter_ctx filter)
{
	static const int commands[] = { F_GETFL, F_GETFD, F_SETFD, F_DUPFD, F_DUPFD_CLOEXEC,
		F_ADD_SEALS, F_GET_SEALS };
	const uint64_t ignored = O_ACCMODE | 0100000 | 0400000; /* large file, on either machine */
	const struct scmp_arg_cmp set[] = { SECCOMP_LIST_BITS(1, SECCOMP_LIST_LOW32, F_SETFL),
		SECCOMP_LIST_BITS(2, SECCOMP_LIST_LOW32 & ~ignored, O_NONBLOCK) };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
		r = seccomp_list_allow_if(
		    filter, "fcntl", 1, SECCOMP_LIST_LOW32, (uint64_t)commands[i]);
	return r ? r : seccomp_list_add(filter, SCMP_ACT_ALLOW, "fcntl", 2, set);
}

/* Calls whose arguments decide. */
static int add_conditions(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	static const int prctls[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_DUMPABLE,
		PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS, PR_SET_TIMERSLACK };
	/* A library may look at its limits, not change them. */
	const struct scmp_arg_cmp get_limit[] = { SECCOMP_LIST_IS(0, 0), SECCOMP_LIST_IS(2, 0) };
	const struct scmp_arg_cmp set_limit = SECCOMP_LIST_IS_NOT(2, 0);
	const struct scmp_arg_cmp by_path = SECCOMP_LIST_BITS(3, AT_EMPTY_PATH, 0);
	const struct scmp_arg_cmp no_address = SECCOMP_LIST_IS(4, 0);
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(prctls) / sizeof(prctls[0]); i++)
		r = seccomp_list_allow_if(
		    filter, "prctl", 0, SECCOMP_LIST_LOW32, (uint64_t)prctls[i]);
	if (r == 0)
		r = seccomp_list_allow_if(filter, "clone", 0, CLONE_THREAD, CLONE_THREAD);
	if (r == 0)
		r = seccomp_list_guard(filter);
	/* send() */
	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "sendto", 1, &no_address);
	/* fstat(), in newer C libraries */
	if (r == 0)
		r = seccomp_list_allow_if(filter, "newfstatat", 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ERRNO(EACCES), "newfstatat", 1, &by_path);
	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "prlimit64", 2, get_limit);
	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ERRNO(EPERM), "prlimit64", 1, &set_limit);
	if (r == 0 && sandbox->listens)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "accept4", 0, NULL);
	return r;
}

static int add_answers(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(answered) / sizeof(answered[0]); i++) {
		/* There is nothing in an empty root but these devices. */
		if (sandbox->reopens && strcmp(answered[i].name, "openat") == 0)
			r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "openat", 0, NULL);
		else
			r = seccomp_list_add(filter, SCMP_ACT_ERRNO((uint32_t)answered[i].error),
			    answered[i].name, 0, NULL);
	}
	for (int call = SECCOMP_LIST_NEWER; r == 0 && call <= SECCOMP_LIST_LAST; call++) {
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0);
		if (r == -EEXIST || r == -EDOM)
			r = 0;
	}
	return r;
}

static int add_rules(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	int r;

	r = seccomp_list_allow(filter, allowed, sizeof(allowed) / sizeof(allowed[0]));
	if (r == 0)
		r = add_conditions(filter, sandbox);
	if (r == 0)
		r = add_fcntl(filter);
	if (r == 0)
		r = add_ioctls(filter, sandbox);
	if (r == 0)
		r = add_answers(filter, sandbox);
	return r;
}

/* ---------------------------------------------------------------- */

void worker_seccomp_look(struct worker_sandbox *sandbox)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	char path[300];
	ssize_t n;

	sandbox->devices = 0;
	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		n = readlinkat(dirfd(directory), entry->d_name, path, sizeof(path) - 1);
		path[n > 0 ? n : 0] = '\0';
		if (strcmp(path, UDMABUF_PATH) == 0)
			sandbox->devices |= DEVICE_UDMABUF;
		for (size_t i = 0; i < DEVICE_COUNT; i++)
			if (strncmp(path, devices[i].path, strlen(devices[i].path)) == 0)
				sandbox->devices |= 1u << i;
	}
	closedir(directory);
}

int worker_seccomp_load(const struct worker_sandbox *sandbox)
{
	const bool one = sandbox->bits & WORKER_SANDBOX_ONE_PROCESS;
	scmp_filter_ctx filter;
	int r = seccomp_list_catch(
	    sandbox->guest, one ? "worker" : "renderer", sandbox->mode == WORKER_SANDBOX_LOG);

	if (r < 0)
		return r;
	filter = seccomp_list_create();
	if (!filter)
		return -ENOMEM;
	r = one ? input_seccomp_add(filter, sandbox) : add_rules(filter, sandbox);
	if (r == 0 && sandbox->mode == WORKER_SANDBOX_LOG)
		r = seccomp_list_pass(filter);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
