/* SPDX-License-Identifier: MIT */
#include "tools/seccomp_list.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* ---------------------------------------------------------------- a refused call */

#define SECCOMP_LIST_NAMES 512
#define NAME_SIZE 24
#define SEEN_MAX 128

/* An argument that no caller passes: marks the handler's own calls with WORKER_SANDBOX_LOG. Few
 * calls have a sixth argument, and none of those that are refused. */
#define PASS UINT64_C(0x5347504d)

/* A signal handler has nothing else to look at. */
static struct {
	char subject[160];
	const char *process;
	char names[SECCOMP_LIST_NAMES][NAME_SIZE];
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
	if (call >= 0 && call < SECCOMP_LIST_NAMES && refused.names[call][0])
		at = append(line, sizeof(line), at, refused.names[call]);
	else
		at = append_hex(line, sizeof(line), at, (uint64_t)call);
	at = append(line, sizeof(line), at, " (");
	at = append_hex(line, sizeof(line), at, first);
	at = append(line, sizeof(line), at, ", ");
	at = append_hex(line, sizeof(line), at, second);
	at = append(line, sizeof(line), at, refused.pass ? ") of the " : "): this ends the ");
	at = append(line, sizeof(line), at, refused.process);
	at = append(line, sizeof(line), at, "\n");
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

int seccomp_list_catch(const char *guest, const char *process, bool pass)
{
	struct sigaction action = { .sa_sigaction = on_refused, .sa_flags = SA_SIGINFO };
	char *name;

	snprintf(refused.subject, sizeof(refused.subject), "<3>%s%.128s%s", guest ? "guest " : "",
	    guest ? guest : "", guest ? ": " : "");
	refused.process = process;
	for (int i = 0; i < SECCOMP_LIST_NAMES; i++) {
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
		if (name)
			snprintf(refused.names[i], NAME_SIZE, "%s", name);
		free(name);
	}
	refused.pass = pass;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}

/* ---------------------------------------------------------------- rules */

/* Unknown here, or to this libseccomp: nothing to say about it. */
int seccomp_list_add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
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
int seccomp_list_allow_if(
    scmp_filter_ctx filter, const char *name, unsigned n, uint64_t mask, uint64_t value)
{
	const struct scmp_arg_cmp argument = SECCOMP_LIST_BITS(n, mask, value);

	return seccomp_list_add(filter, SCMP_ACT_ALLOW, name, 1, &argument);
}

int seccomp_list_allow(scmp_filter_ctx filter, const char *const *names, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, names[i], 0, NULL);
	return r;
}

int seccomp_list_guard(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp sigsys = SECCOMP_LIST_IS(0, SIGSYS);
	/* Those below, and real-time signals: each number as it is, of whose upper half the kernel
	 * would know nothing. */
	const struct scmp_arg_cmp others[] = {
		{ .arg = 0, .op = SCMP_CMP_LT, .datum_a = SIGSYS },
		SECCOMP_LIST_BITS(0, ~UINT64_C(31), 32),
		SECCOMP_LIST_IS(0, 64),
	};
	int r = 0;

	_Static_assert(SIGSYS == 31, "the one between");
	for (size_t i = 0; r == 0 && i < sizeof(others) / sizeof(others[0]); i++)
		r = seccomp_list_add(filter, SCMP_ACT_ALLOW, "rt_sigaction", 1, &others[i]);
	if (r == 0 && !refused.pass)
		r = seccomp_list_add(filter, SCMP_ACT_KILL_PROCESS, "rt_sigaction", 1, &sigsys);
	if (r == 0)
		r = seccomp_list_allow_if(
		    filter, "tgkill", 0, SECCOMP_LIST_LOW32, (uint64_t)getpid());
	return r;
}

int seccomp_list_pass(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp pass = SECCOMP_LIST_IS(5, PASS);
	int r = 0;

	for (int call = 0; r == 0 && call < SECCOMP_LIST_NEWER; call++)
		if (refused.names[call][0])
			r = seccomp_list_add(filter, SCMP_ACT_ALLOW, refused.names[call], 1, &pass);
	return r;
}

scmp_filter_ctx seccomp_list_create(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int r;

	if (!filter)
		return NULL;
	/* A call of another machine's numbering (32 bits) is none of ours. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A binary tree: a list this long, walked for each call, would be felt. Older libseccomp
	 * walks. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		return filter;
	seccomp_release(filter);
	return NULL;
}
