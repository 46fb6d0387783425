/* SPDX-License-Identifier: MIT */
/*
 * What a worker gives up before it reads the first byte of its front end or guest
 * (gpudom-security(7)):
 *
 *     worker_sandbox_unshare  in a process with one thread: namespaces of its own (or
 *                             worker_sandbox_unshare_self, where there is no renderer)
 *     worker_sandbox_begin    in the renderer, before a library starts a thread: no capabilities,
 *                             for it and every thread to come. A helper thread keeps those of the
 *                             namespaces for one more step
 *     worker_sandbox_seal     once all is set up: an empty root, limits, no new privileges, and
 *                             the list of system calls (tools/worker_seccomp.c) for all threads
 */
#ifndef GPUDOM_TOOLS_WORKER_SANDBOX_H
#define GPUDOM_TOOLS_WORKER_SANDBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum worker_sandbox_mode {
	WORKER_SANDBOX_ON,     /* with what the kernel has */
	WORKER_SANDBOX_OFF,    /* one process, as it was started */
	WORKER_SANDBOX_STRICT, /* all of it, or the worker does not start */
	/* For measuring the list: no call is refused, the first of each kind that would have been
	 * is logged. No protection. */
	WORKER_SANDBOX_LOG,
};

/* Sanitizers' runtimes need more calls, and look at the process's end into their own /proc. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* as gcc says it */
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WORKER_SANDBOX_DEFAULT WORKER_SANDBOX_OFF
#else
#define WORKER_SANDBOX_DEFAULT WORKER_SANDBOX_ON
#endif

/* What is in place: bits, also for telemetry. */
#define WORKER_SANDBOX_USER_NS (1u << 0)
#define WORKER_SANDBOX_MOUNT_NS (1u << 1)
#define WORKER_SANDBOX_NET_NS (1u << 2)
#define WORKER_SANDBOX_IPC_NS (1u << 3)
#define WORKER_SANDBOX_PID_NS (1u << 4)
#define WORKER_SANDBOX_UTS_NS (1u << 5)
#define WORKER_SANDBOX_CGROUP_NS (1u << 6)
#define WORKER_SANDBOX_EMPTY_ROOT (1u << 7)
#define WORKER_SANDBOX_NO_CAPABILITIES (1u << 8)
#define WORKER_SANDBOX_LIMITS (1u << 9)
#define WORKER_SANDBOX_NO_NEW_PRIVILEGES (1u << 10)
#define WORKER_SANDBOX_SYSTEM_CALLS (1u << 11)
/* A device that needs no renderer (input): all is in one process, which has no child to be in a PID
 * namespace, and needs none, as no call in its list names another process. */
#define WORKER_SANDBOX_ONE_PROCESS (1u << 12)

struct worker_sandbox_limits {
	uint64_t memory; /* bytes of private, writable memory (RLIMIT_DATA) */
	uint32_t files;  /* descriptors (RLIMIT_NOFILE) */
	uint32_t cpu;    /* seconds of CPU time until the end (RLIMIT_CPU); 0: no limit */
};
#define WORKER_SANDBOX_LIMITS_DEFAULT \
	((struct worker_sandbox_limits){ .memory = UINT64_C(8) << 30, .files = 1024 })

struct worker_sandbox {
	enum worker_sandbox_mode mode;
	struct worker_sandbox_limits limits;
	bool listens;      /* accepts connections */
	bool grants;       /* does the grant device's calls itself, for want of a broker */
	const char *guest; /* for the log; may be NULL; not copied */
	uint32_t bits;     /* what is in place so far */

	/* The helper thread */
	bool has_helper;
	pthread_t helper;
	int wake_fd;      /* eventfd */
	int root_error;   /* its result */
	bool reopens;     /* its GPU driver opens device nodes while it runs */
	uint32_t devices; /* of worker_seccomp.c: whose calls may be made */
};

/* The namespaces that this process may have; those that it needs privileges for come with a user
 * namespace. 0; -errno: none are left over, and the process must end, for it may have got some.
 * Fills @bits. */
int worker_sandbox_unshare(uint32_t *bits);

/* For WORKER_SANDBOX_ONE_PROCESS: all of them but a PID namespace, where that works, or none (which
 * is logged). 0; -errno: none, and it may have got some. */
int worker_sandbox_unshare_self(uint32_t *bits);

/* mode, limits, listens and bits are filled in. 0 or -errno, logged. */
int worker_sandbox_begin(struct worker_sandbox *sandbox);

/* 0 or -errno, logged: with WORKER_SANDBOX_STRICT when anything is missing, else when the system
 * calls can't be limited. Afterwards there is no way back. */
int worker_sandbox_seal(struct worker_sandbox *sandbox);

/* All of this thread's, and of those that it starts. */
int worker_sandbox_drop_capabilities(void);

/* Closes all descriptors but standard input, output and error, and these, where they are not -1. */
void worker_sandbox_close_all_but(const int *fds, unsigned count);

/* A sentence's worth of what is missing from @bits; "" where nothing is. */
void worker_sandbox_describe_missing(uint32_t bits, char *text, size_t size);

#endif
