/* SPDX-License-Identifier: MIT */
#include "tools/input_seccomp.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/grant_table.h>
#include <xen/xen.h>

/* After xen.h, whose types they use. */
#include <xen/gntdev.h>
#include <xen/sys/privcmd.h>

#include "tools/seccomp_list.h"

/* clang-format off */

static const char *const allowed[] = {
	/* Its sockets, eventfds, and the log */
	"read", "write", "writev", "close", "close_range", "recvmsg", "recvfrom", "sendmsg",
	"getsockname", "getpeername", "getsockopt", "dup", "fstat", "lseek",
	/* sd-event */
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "ppoll",
	"timerfd_create", "timerfd_settime", "signalfd4",
	"gettid", "getpid", "exit", "exit_group",
	"rt_sigprocmask", "rt_sigreturn", "restart_syscall",
	/* Memory; that can be executed: none (see below) */
	"brk", "munmap", "mremap", "madvise",
	"memfd_create", "ftruncate", /* records of requests in flight */
	"clock_gettime", "clock_nanosleep", "getrandom", "futex",
};
static const int fcntls[] = {
	F_GETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS,
};
/* The guest's rings and buffers. Whose they are, a list cannot see. */
static const uint32_t ioctls[] = {
	IOCTL_GNTDEV_MAP_GRANT_REF, IOCTL_GNTDEV_UNMAP_GRANT_REF, IOCTL_GNTDEV_GRANT_COPY,
	IOCTL_PRIVCMD_MMAPBATCH_V2, IOCTL_PRIVCMD_RESTRICT,
};

/* clang-format on */

static int add_memory(scmp_filter_ctx filter)
{
	int r = seccomp_list_allow_if(filter, "mmap", 2, PROT_EXEC, 0);

	return r ? r : seccomp_list_allow_if(filter, "mprotect", 2, PROT_EXEC, 0);
}

/* O_NONBLOCK can be set, not cleared: see worker_seccomp.c. */
static int add_fcntl(scmp_filter_ctx filter)
{
	const uint64_t ignored = O_ACCMODE | 0100000 | 0400000;
	const struct scmp_arg_cmp set[] = { SECCOMP_LIST_BITS(1, SECCOMP_LIST_LOW32, F_SETFL),
		SECCOMP_LIST_BITS(2, SECCOMP_LIST_LOW32 & ~ignored, O_NONBLOCK) };
	int r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "fcntl", 2, set);

	for (size_t i = 0; r == 0 && i < sizeof(fcntls) / sizeof(fcntls[0]); i++)
		r = seccomp_list_allow_if(
		    filter, "fcntl", 1, SECCOMP_LIST_LOW32, (uint64_t)fcntls[i]);
	return r;
}

int input_seccomp_add(scmp_filter_ctx filter, const struct worker_sandbox *sandbox)
{
	const struct scmp_arg_cmp no_address = SECCOMP_LIST_IS(4, 0);
	const struct scmp_arg_cmp terminal = SECCOMP_LIST_BITS(1, SECCOMP_LIST_LOW32, TCGETS);
	int r = seccomp_list_allow(filter, allowed, sizeof(allowed) / sizeof(allowed[0]));

	if (r == 0)
		r = seccomp_list_guard(filter);
	if (r == 0)
		r = add_memory(filter);
	if (r == 0)
		r = add_fcntl(filter);
	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "sendto", 1, &no_address);
	if (r == 0)
		r = seccomp_list_allow_if(filter, "newfstatat", 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ERRNO(ENOTTY), "ioctl", 1, &terminal);
	for (size_t i = 0; r == 0 && i < sizeof(ioctls) / sizeof(ioctls[0]); i++)
		r = seccomp_list_allow_if(filter, "ioctl", 1, SECCOMP_LIST_LOW32, ioctls[i]);
	if (r == 0 && sandbox->listens)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "accept4", 0, NULL);
	/* Of a socket's path that is not there any more */
	if (r == 0)
		r = seccomp_list_add(filter, SCMP_ACT_ERRNO(EACCES), "unlink", 0, NULL);
	return r;
}
