/* SPDX-License-Identifier: MIT */
#include "tools/monitor_seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <xen/grant_table.h>
#include <xen/xen.h>

/* After xen.h, whose types it uses. */
#include <xen/gntdev.h>

#include "tools/seccomp_list.h"

/* clang-format off */

static const char *const allowed[] = {
	/* Its sockets, the picture that the renderer sends, the log */
	"read", "write", "writev", "pread64", "close", "close_range", "recvmsg", "sendmsg",
	"fstat", "lseek",
	/* sd-event */
	"epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "ppoll", "timerfd_settime",
	"gettid", "getpid",
	/* The renderer, by its pidfd; its own end, by the same signal */
	"pidfd_send_signal", "waitid", "exit", "exit_group",
	"rt_sigprocmask", "rt_sigreturn", "restart_syscall",
	/* Memory, for what the renderer asks */
	"brk", "mmap", "munmap", "mremap", "mprotect", "madvise",
	"memfd_create", "ftruncate",
	"clock_gettime", "getrandom", "futex",
};
/* Pictures are replaced in a directory that was open before, a socket's path is unlinked. */
static const char *const files[] = { "openat", "renameat", "renameat2", "unlinkat", "unlink" };
/* READY=1: a datagram to $NOTIFY_SOCKET */
static const char *const notifies[] = { "setsockopt", "getsockopt", "connect",
	"geteuid", "getegid", "getuid", "getgid" };
/* Queues that it serves: memory and eventfds are shared with the renderer. */
static const char *const relays[] = { "eventfd2", "shutdown" };
static const int relay_fcntls[] = { F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS };
static const uint32_t grants[] = {
	IOCTL_GNTDEV_MAP_GRANT_REF, IOCTL_GNTDEV_UNMAP_GRANT_REF, IOCTL_GNTDEV_GRANT_COPY,
};

/* clang-format on */

static int add_conditions(scmp_filter_ctx filter, const struct monitor_seccomp_options *options)
{
	/* No core of the monitor beside the renderer's */
	const struct scmp_arg_cmp limits[] = { SECCOMP_LIST_IS(0, 0),
		SECCOMP_LIST_IS(1, RLIMIT_CORE) };
	const struct scmp_arg_cmp no_address = SECCOMP_LIST_IS(4, 0);
	const struct scmp_arg_cmp local = SECCOMP_LIST_IS(0, AF_UNIX);
	int r = seccomp_list_guard(filter);

	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "prlimit64", 2, limits);
	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "sendto", 1, &no_address);
	if (r == 0)
		r = seccomp_list_allow_if(filter, "newfstatat", 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
	if (r == 0)
		r = seccomp_list_allow_if(filter, "fcntl", 1, SECCOMP_LIST_LOW32, F_GETFL);
	if (r == 0)
		r = seccomp_list_allow_if(filter, "fcntl", 1, SECCOMP_LIST_LOW32, F_GETFD);
	if (r == 0 && options->notifies)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "socket", 1, &local);
	return r;
}

int monitor_seccomp_load(const struct monitor_seccomp_options *options)
{
	scmp_filter_ctx filter;
	int r = seccomp_list_catch(options->guest, "monitor", false);

	if (r < 0)
		return r;
	filter = seccomp_list_create();
	if (!filter)
		return -ENOMEM;
	r = seccomp_list_allow(filter, allowed, sizeof(allowed) / sizeof(allowed[0]));
	if (r == 0)
		r = add_conditions(filter, options);
	if (r == 0 && options->files)
		r = seccomp_list_allow(filter, files, sizeof(files) / sizeof(files[0]));
	if (r == 0 && options->notifies)
		r = seccomp_list_allow(filter, notifies, sizeof(notifies) / sizeof(notifies[0]));
	if (r == 0 && options->grants)
		r = seccomp_list_allow(filter, relays, sizeof(relays) / sizeof(relays[0]));
	for (size_t i = 0; r == 0 && options->grants && i < 3; i++)
		r = seccomp_list_allow_if(
		    filter, "fcntl", 1, SECCOMP_LIST_LOW32, (uint64_t)relay_fcntls[i]);
	for (size_t i = 0; r == 0 && options->grants && i < sizeof(grants) / sizeof(grants[0]); i++)
		r = seccomp_list_allow_if(filter, "ioctl", 1, SECCOMP_LIST_LOW32, grants[i]);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
