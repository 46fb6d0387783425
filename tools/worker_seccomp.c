/* SPDX-License-Identifier: MIT */
#include "tools/worker_seccomp.h"

#include <asm/ioctls.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "backend/log.h"

/* ---------------------------------------------------------------- the list */

/* What is in it was seen in use, or is known from the sources of glibc, Mesa, LLVM, virglrenderer
 * and libsystemd; the groups say what for. None of it names anything outside of this process. */
static const char *const allowed[] = {
	/* Descriptors that are open: sockets, eventfds, memory files, the log */
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"preadv",
	"pwritev",
	"lseek",
	"close",
	"close_range",
	"dup",
	"dup2",
	"dup3",
	"fstat",
	"ftruncate",
	"recvmsg",
	"recvfrom",
	"sendmsg",
	"shutdown",
	"getsockname",
	"getpeername",
	"getsockopt",
	/* What sd-event and sync files are made of; fences wait in poll() */
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"poll",
	"ppoll",
	"select",
	"pselect6",
	"eventfd2",
	"timerfd_create",
	"timerfd_settime",
	"timerfd_gettime",
	"signalfd4",
	"pipe2",
	/* Memory. GL drivers compile code when a guest's shaders come: it may be executable */
	"brk",
	"mmap",
	"munmap",
	"mremap",
	"mprotect",
	"madvise",
	"msync",
	"mincore",
	"memfd_create", /* records of requests in flight, pictures, what llvmpipe shares */
	"membarrier",
	/* Threads of this process, and what they wait for (clone: see below) */
	"futex",
	"futex_waitv",
	"set_robust_list",
	"get_robust_list",
	"rseq",
	"set_tid_address",
	"gettid",
	"getpid",
	"getppid",
	"exit",
	"exit_group",
	"restart_syscall",
	"sched_yield",
	"sched_getaffinity",
	"sched_setaffinity", /* Mesa keeps threads near their caches */
	"sched_getparam",
	"sched_getscheduler",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"getcpu",
	/* Signals, to and in this process (rt_sigaction and tgkill: see below) */
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigtimedwait",
	"rt_sigpending",
	"sigaltstack",
	/* Time */
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	"timer_create",
	"timer_settime",
	"timer_gettime",
	"timer_getoverrun",
	"timer_delete",
	"times",
	/* About this process and the machine, all of it harmless */
	"getrandom",
	"getrusage",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"uname",
	"sysinfo",
	"get_mempolicy",
};

/* Libraries try these and go on without: what is not there can't be found. */
static const struct {
	const char *name;
	int error;
} answered[] = {
	/* Files */
	{ "open", EACCES },
	{ "openat", EACCES },
	{ "openat2", ENOSYS },
	{ "creat", EACCES },
	{ "stat", EACCES },
	{ "lstat", EACCES },
	{ "statx", ENOSYS },
	{ "access", EACCES },
	{ "faccessat", EACCES },
	{ "faccessat2", EACCES },
	{ "readlink", EACCES },
	{ "readlinkat", EACCES },
	{ "mkdir", EACCES },
	{ "mkdirat", EACCES },
	{ "unlink", EACCES },
	{ "unlinkat", EACCES },
	{ "rename", EACCES },
	{ "renameat", EACCES },
	{ "renameat2", EACCES },
	{ "statfs", EACCES },
	{ "fstatfs", EACCES },
	{ "getcwd", EACCES },
	{ "getdents64", EACCES },
	{ "inotify_init1", EACCES },
	{ "inotify_init", EACCES },
	/* flock: a shader cache's; fadvise, fallocate: a hint, and what ignores RLIMIT_FSIZE */
	{ "flock", EACCES },
	{ "fadvise64", ENOSYS },
	{ "fallocate", EOPNOTSUPP },
	/* glibc falls back to clone, whose flags can be looked at */
	{ "clone3", ENOSYS },
	/* Mesa asks whether two descriptors are the same file, and takes a "no" */
	{ "kcmp", EPERM },
	/* Wishes: Mesa's queues of low priority, drivers' pinned memory, buffers of sockets */
	{ "sched_setscheduler", EPERM },
	{ "sched_setparam", EPERM },
	{ "sched_setattr", EPERM },
	{ "sched_getattr", ENOSYS },
	{ "setpriority", EPERM },
	{ "getpriority", EPERM },
	{ "mlock", EPERM },
	{ "mlock2", EPERM },
	{ "munlock", EPERM },
	{ "mlockall", EPERM },
	{ "set_mempolicy", EPERM },
	{ "mbind", EPERM },
	{ "setsockopt", EPERM },
	/* Memory protection keys, shadow stacks */
	{ "pkey_alloc", ENOSYS },
	{ "pkey_mprotect", ENOSYS },
	{ "arch_prctl", EINVAL },
	{ "capget", EPERM },
};

/* Numbers from 424 on are the same on all machines. These calls are newer than the list: answered
 * as by a kernel from before them, whose answer their callers know. */
#define NEWER_FIRST 450
#define NEWER_LAST 511

/* GPU drivers' device nodes, and the type of their ioctls (_IOC_TYPE). */
static const struct device {
	const char *path;
	unsigned type;
	bool reopened; /* as keep_device() of worker_sandbox.c */
} devices[] = {
	{ "/dev/dri/", 'd', false },    /* DRM */
	{ "/dev/nvidia", 'F', true },   /* NVIDIA */
	{ "/dev/nvidia-m", 'm', true }, /* its modeset device */
	{ "/dev/mali", 0x80, false },   /* Arm */
	{ "/dev/kgsl", 0x09, false },   /* Qualcomm */
};
#define DEVICE_COUNT (sizeof(devices) / sizeof(devices[0]))

/* /dev/xen/gntdev's and privcmd's (linux/include/uapi/xen) */
#define XEN_GRANT_TYPE 'G'
#define XEN_PRIVCMD_TYPE 'P'
#define XEN_PRIVCMD_MMAPBATCH_V2 4
#define XEN_PRIVCMD_RESTRICT 0x80 /* foreign_check(); never looser than it was */

/* ---------------------------------------------------------------- a refused call */

#define NAMES_MAX 512
#define NAME_SIZE 24
#define SEEN_MAX 128

/* An argument that no caller passes: marks the handler's own calls with WORKER_SANDBOX_LOG. Few
 * calls have a sixth argument, and none of those that are refused. */
#define PASS UINT64_C(0x5347504d)

/* A signal handler has nothing else to look at. */
static struct {
	char subject[160];
	char names[NAMES_MAX][NAME_SIZE];
	bool pass;
	uint64_t seen[SEEN_MAX]; /* call << 32 | first number that matters */
	unsigned seen_count;
} refused;

static size_t append(char *line, size_t size, size_t at, const char *text)
{
	while (*text && at + 1 < size)
		line[at++] = *text++;
	return at;
}

static size_t append_hex(char *line, size_t size, size_t at, uint64_t value)
{
	char digits[19] = "0x";
	int n = 2;

	for (int shift = 60; shift >= 0; shift -= 4)
		if (value >> shift || !shift)
			digits[n++] = "0123456789abcdef"[(value >> shift) & 15];
	digits[n] = '\0';
	return append(line, size, at, digits);
}

/* Only calls that a signal handler may make. */
static void log_refused(int call, uint64_t first, uint64_t second)
{
	char line[256];
	size_t at = append(line, sizeof(line), 0, refused.subject);
	ssize_t n;

	at = append(line, sizeof(line), at,
	    refused.pass ? "the sandbox would refuse the system call "
			 : "the sandbox refuses the system call ");
	if (call >= 0 && call < NAMES_MAX && refused.names[call][0])
		at = append(line, sizeof(line), at, refused.names[call]);
	else
		at = append_hex(line, sizeof(line), at, (uint64_t)call);
	at = append(line, sizeof(line), at, " (");
	at = append_hex(line, sizeof(line), at, first);
	at = append(line, sizeof(line), at, ", ");
	at = append_hex(line, sizeof(line), at, second);
	at = append(line, sizeof(line), at, refused.pass ? ")\n" : "): the renderer ends\n");
	n = write(STDERR_FILENO, line, at);
	(void)n;
}

static bool seen_before(int call, uint64_t second)
{
	const uint64_t what =
	    (uint64_t)call << 32 | (call == SYS_ioctl || call == SYS_fcntl ? (uint32_t)second : 0);

	for (unsigned i = 0; i < refused.seen_count; i++)
		if (refused.seen[i] == what)
			return true;
	if (refused.seen_count < SEEN_MAX)
		refused.seen[refused.seen_count++] = what;
	return false;
}

#if defined(__x86_64__)
#define ARGUMENT(context, n)                      \
	((uint64_t)(context)->uc_mcontext.gregs[( \
	    (const int[]){ REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 })[n]])
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define ARGUMENT(context, n) ((uint64_t)(context)->uc_mcontext.regs[n])
#define RESULT(context) ((context)->uc_mcontext.regs[0])
#else
#define ARGUMENT(context, n) UINT64_C(0)
#endif

static void on_refused(int signal, siginfo_t *info, void *data)
{
	ucontext_t *context = data;
	const int call = info->si_syscall, saved = errno;
	const uint64_t first = ARGUMENT(context, 0), second = ARGUMENT(context, 1);

#ifdef RESULT
	if (refused.pass) {
		long r;

		if (!seen_before(call, second))
			log_refused(call, first, second);
		r = syscall(call, first, second, ARGUMENT(context, 2), ARGUMENT(context, 3),
		    ARGUMENT(context, 4), PASS);
		RESULT(context) = r < 0 ? -errno : r;
		errno = saved;
		return;
	}
#endif
	(void)saved;
	log_refused(call, first, second);
	/* This one ends the process, and says by which signal it did. */
	syscall(SYS_rt_sigaction, SIGSYS, NULL, NULL, 8);
	_exit(128 + SIGSYS);
}

static int prepare_refusals(const struct worker_sandbox *sandbox)
{
	struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO };
	char *name;

	snprintf(refused.subject, sizeof(refused.subject), "<3>%s%.128s%s",
	    sandbox->guest ? "guest " : "", sandbox->guest ? sandbox->guest : "",
	    sandbox->guest ? ": " : "");
	for (int i = 0; i < NAMES_MAX; i++) {
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
		if (name)
			snprintf(refused.names[i], NAME_SIZE, "%s", name);
		free(name);
	}
	refused.pass = sandbox->mode == WORKER_SANDBOX_LOG;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- rules */

#define LOW32 UINT64_C(0xffffffff)

/* Unknown here, or to this libseccomp: nothing to say about it. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
    const struct scmp_arg_cmp *arguments)
{
	const int call = seccomp_syscall_resolve_name(name);
	int r;

	if (call < 0)
		return 0;
	r = seccomp_rule_add_array(filter, action, call, count, arguments);
	return r == -EEXIST ? 0 : r;
}

/* @name with argument @n, of which only the bits @mask count, being @value. */
static int allow_if(
    scmp_filter_ctx filter, const char *name, unsigned n, uint64_t mask, uint64_t value)
{
	const struct scmp_arg_cmp argument = SCMP_CMP64(n, SCMP_CMP_MASKED_EQ, mask, value);

	return add(filter, SCMP_ACT_ALLOW, name, 1, &argument);
}

static int add_ioctls(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	/* dma-bufs ('b') and sync files ('>'), which come from DRM; the C library asks whether
	 * standard output is a terminal. */
	static const unsigned types[] = { 'b', '>' };
	static const uint32_t none[] = { TCGETS, TIOCGWINSZ };
	struct scmp_arg_cmp request;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(types) / sizeof(types[0]); i++)
		r = allow_if(filter, "ioctl", 1, 0xff00, types[i] << 8);
	for (size_t i = 0; r == 0 && i < DEVICE_COUNT; i++)
		if (sandbox->devices & (1u << i))
			r = allow_if(filter, "ioctl", 1, 0xff00, devices[i].type << 8);
	if (r == 0 && sandbox->grants)
		r = allow_if(filter, "ioctl", 1, 0xff00, XEN_GRANT_TYPE << 8);
	/* The descriptor is locked to one guest. */
	if (r == 0)
		r = allow_if(
		    filter, "ioctl", 1, 0xffff, XEN_PRIVCMD_TYPE << 8 | XEN_PRIVCMD_MMAPBATCH_V2);
	for (size_t i = 0; r == 0 && i < sizeof(none) / sizeof(none[0]); i++) {
		request = SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, LOW32, none[i]);
		r = add(filter, SCMP_ACT_ERRNO(ENOTTY), "ioctl", 1, &request);
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
	const struct scmp_arg_cmp set[] = { SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, LOW32, F_SETFL),
		SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, LOW32 & ~ignored, O_NONBLOCK) };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
		r = allow_if(filter, "fcntl", 1, LOW32, (uint64_t)commands[i]);
	return r ? r : add(filter, SCMP_ACT_ALLOW, "fcntl", 2, set);
}

/* Calls whose arguments decide. */
static int add_conditions(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	static const int prctls[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_DUMPABLE,
		PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS, PR_SET_TIMERSLACK };
	/* rt_sigaction of SIGSYS ends the process: see on_refused(). */
	const struct scmp_arg_cmp sigsys = SCMP_CMP64(0, SCMP_CMP_EQ, SIGSYS);
	const struct scmp_arg_cmp other = SCMP_CMP64(0, SCMP_CMP_NE, SIGSYS);
	/* A library may look at its limits, not change them. */
	const struct scmp_arg_cmp get_limit[] = { SCMP_CMP64(0, SCMP_CMP_EQ, 0),
		SCMP_CMP64(2, SCMP_CMP_EQ, 0) };
	const struct scmp_arg_cmp set_limit = SCMP_CMP64(2, SCMP_CMP_NE, 0);
	const struct scmp_arg_cmp by_path = SCMP_CMP64(3, SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, 0);
	const struct scmp_arg_cmp no_address = SCMP_CMP64(4, SCMP_CMP_EQ, 0);
	const bool pass = sandbox->mode == WORKER_SANDBOX_LOG;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(prctls) / sizeof(prctls[0]); i++)
		r = allow_if(filter, "prctl", 0, LOW32, (uint64_t)prctls[i]);
	if (r == 0)
		r = allow_if(filter, "clone", 0, CLONE_THREAD, CLONE_THREAD);
	if (r == 0)
		r = allow_if(filter, "tgkill", 0, LOW32, (uint64_t)getpid());
	if (r == 0)
		r = add(filter, SCMP_ACT_ALLOW, "rt_sigaction", 1, &other);
	if (r == 0 && !pass)
		r = add(filter, SCMP_ACT_KILL_PROCESS, "rt_sigaction", 1, &sigsys);
	/* send() */
	if (r == 0)
		r = add(filter, SCMP_ACT_ALLOW, "sendto", 1, &no_address);
	/* fstat(), in newer C libraries */
	if (r == 0)
		r = allow_if(filter, "newfstatat", 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
	if (r == 0)
		r = add(filter, SCMP_ACT_ERRNO(EACCES), "newfstatat", 1, &by_path);
	if (r == 0)
		r = add(filter, SCMP_ACT_ALLOW, "prlimit64", 2, get_limit);
	if (r == 0)
		r = add(filter, SCMP_ACT_ERRNO(EPERM), "prlimit64", 1, &set_limit);
	if (r == 0 && sandbox->listens)
		r = add(filter, SCMP_ACT_ALLOW, "accept4", 0, NULL);
	return r;
}

static int add_answers(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(answered) / sizeof(answered[0]); i++) {
		/* There is nothing in the root but these devices. */
		if (sandbox->keeps_devices && strcmp(answered[i].name, "openat") == 0)
			r = add(filter, SCMP_ACT_ALLOW, "openat", 0, NULL);
		else
			r = add(filter, SCMP_ACT_ERRNO((uint32_t)answered[i].error),
			    answered[i].name, 0, NULL);
	}
	for (int call = NEWER_FIRST; r == 0 && call <= NEWER_LAST; call++) {
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0);
		if (r == -EEXIST || r == -EDOM)
			r = 0;
	}
	return r;
}

/* Whatever the handler repeats passes. */
static int add_pass(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp pass = SCMP_CMP64(5, SCMP_CMP_EQ, PASS);
	int r = 0;

	for (int call = 0; r == 0 && call < NEWER_FIRST; call++)
		if (refused.names[call][0])
			r = add(filter, SCMP_ACT_ALLOW, refused.names[call], 1, &pass);
	return r;
}

static int add_rules(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		r = add(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	if (r == 0)
		r = add_conditions(filter, sandbox);
	if (r == 0)
		r = add_fcntl(filter);
	if (r == 0)
		r = add_ioctls(filter, sandbox);
	if (r == 0)
		r = add_answers(filter, sandbox);
	if (r == 0 && sandbox->mode == WORKER_SANDBOX_LOG)
		r = add_pass(filter);
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
		for (size_t i = 0; i < DEVICE_COUNT; i++)
			if (strncmp(path, devices[i].path, strlen(devices[i].path)) == 0)
				sandbox->devices |= 1u << i;
	}
	closedir(directory);
}

int worker_seccomp_load(const struct worker_sandbox *sandbox)
{
	scmp_filter_ctx filter;
	int r = prepare_refusals(sandbox);

	if (r < 0)
		return r;
	filter = seccomp_init(SCMP_ACT_TRAP);
	if (!filter)
		return -ENOMEM;
	/* A call of another machine's numbering (32 bits) is none of ours. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A binary tree: a list this long, walked for each call, would be felt. Older libseccomp
	 * walks. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = add_rules(filter, sandbox);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
