/* SPDX-License-Identifier: MIT */
/* What a worker that a guest has taken over may try. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xen/xen.h>

/* After xen.h, whose types they use. */
#include <xen/gntdev.h>
#include <xen/sys/privcmd.h>

#include "tests/compromised/compromised.h"

#define OTHER_DOMID 7

/* What an attempt gives: what the call gave, or, where it took until something stopped it, a
 * sentence. */
struct outcome {
	long result; /* negative: -errno */
	char text[160];
};

static struct outcome of_call(long result)
{
	return (struct outcome){ .result = result < 0 ? -errno : result };
}

static __attribute__((format(printf, 2, 3))) struct outcome of_text(
    long result, const char *format, ...)
{
	struct outcome outcome = { .result = result };
	va_list args;

	va_start(args, format);
	vsnprintf(outcome.text, sizeof(outcome.text), format, args);
	va_end(args);
	return outcome;
}

/* ---------------------------------------------------------------- files */

static struct outcome open_password_file(const struct compromised_target *t)
{
	return of_call(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static struct outcome open_proc(const struct compromised_target *t)
{
	return of_call(open("/proc/1/mem", O_RDWR | O_CLOEXEC));
}

static struct outcome open_above(const struct compromised_target *t)
{
	return of_call(open("../../../etc/passwd", O_RDONLY | O_CLOEXEC));
}

static struct outcome open_device(const struct compromised_target *t)
{
	return of_call(open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC));
}

static struct outcome write_file(const struct compromised_target *t)
{
	return of_call(open("/tmp/gpudom-was-here", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static struct outcome make_node(const struct compromised_target *t)
{
	return of_call(mknod("/null", S_IFCHR | 0600, 0x103));
}

static struct outcome change_root(const struct compromised_target *t)
{
	return of_call(chroot("/"));
}

static struct outcome open_by_handle(const struct compromised_target *t)
{
	struct file_handle handle = { .handle_bytes = 0 };

	return of_call(open_by_handle_at(STDERR_FILENO, &handle, O_RDONLY));
}

/* ---------------------------------------------------------------- processes */

static struct outcome start_process(const struct compromised_target *t)
{
	long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return of_call(pid);
}

static struct outcome start_process_clone3(const struct compromised_target *t)
{
	uint64_t args[8] = { [4] = SIGCHLD };
	long pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return of_call(pid);
}

static struct outcome run_program(const struct compromised_target *t)
{
	char *const argv[] = { (char *)"/bin/sh", NULL };

	return of_call(execve(argv[0], argv, NULL));
}

/* memfd_create() and a program in it need no file */
static struct outcome run_memory_file(const struct compromised_target *t)
{
	char *const argv[] = { (char *)"x", NULL };
	int fd = memfd_create("x", 0);

	return of_call(syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH));
}

/* ---------------------------------------------------------------- the network */

static struct outcome socket_internet(const struct compromised_target *t)
{
	return of_call(socket(AF_INET, SOCK_STREAM, 0));
}

static struct outcome socket_unix(const struct compromised_target *t)
{
	return of_call(socket(AF_UNIX, SOCK_STREAM, 0));
}

static struct outcome socket_vm(const struct compromised_target *t)
{
	return of_call(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static struct outcome socket_netlink(const struct compromised_target *t)
{
	return of_call(socket(AF_NETLINK, SOCK_RAW, 0));
}

/* A datagram socket could name anybody. */
static struct outcome socket_pair(const struct compromised_target *t)
{
	int pair[2];

	return of_call(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
}

/* The keeper's, say, or an abstract one */
static struct outcome connect_elsewhere(const struct compromised_target *t)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/gpudom/notify" };

	return of_call(
	    connect(t->front_end_fd, (const struct sockaddr *)&address, sizeof(address)));
}

static struct outcome send_elsewhere(const struct compromised_target *t)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/gpudom/notify" };

	return of_call(sendto(t->monitor_fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
	    (const struct sockaddr *)&address, sizeof(address)));
}

static struct outcome bind_abstract(const struct compromised_target *t)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "\0gpudom" };

	return of_call(bind(t->front_end_fd, (const struct sockaddr *)&address, sizeof(address)));
}

/* ---------------------------------------------------------------- other processes */

static struct outcome attach_ptrace(const struct compromised_target *t)
{
	return of_call(ptrace(PTRACE_ATTACH, 2, NULL, NULL));
}

static struct outcome read_process(const struct compromised_target *t)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { &byte, 1 };

	return of_call(process_vm_readv(2, &here, 1, &there, 1, 0));
}

static struct outcome write_process(const struct compromised_target *t)
{
	char byte = 0;
	struct iovec here = { &byte, 1 }, there = { &byte, 1 };

	return of_call(process_vm_writev(2, &here, 1, &there, 1, 0));
}

static struct outcome take_descriptor(const struct compromised_target *t)
{
	return of_call(syscall(SYS_pidfd_open, 2, 0));
}

static struct outcome signal_everyone(const struct compromised_target *t)
{
	return of_call(kill(-1, SIGUSR2));
}

static struct outcome signal_parent(const struct compromised_target *t)
{
	return of_call(kill(getppid(), SIGTERM));
}

static struct outcome signal_thread(const struct compromised_target *t)
{
	return of_call(syscall(SYS_tgkill, 2, 2, SIGTERM));
}

static struct outcome signal_by_owner(const struct compromised_target *t)
{
	return of_call(fcntl(t->front_end_fd, F_SETOWN, 2));
}

static struct outcome change_priority(const struct compromised_target *t)
{
	return of_call(setpriority(PRIO_USER, 0, 10));
}

/* ---------------------------------------------------------------- Xen */

/* Whatever the descriptor: the call must be refused before anybody looks at it. */
static struct outcome of_ioctl(int result)
{
	return result < 0 && errno == ENOTTY ? of_text(1, "it is asked of the device")
					     : of_call(result);
}

static void *map_reference(int fd, uint32_t domid, uint32_t reference)
{
	struct ioctl_gntdev_map_grant_ref map = { .count = 1, .refs[0] = { domid, reference } };
	void *page;

	if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, &map) < 0)
		return MAP_FAILED;
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)map.index);
	return page;
}

/* The pages that another guest has granted: $COMPROMISED_DOMID, where the test has a real Xen. */
static struct outcome map_grant(const struct compromised_target *t)
{
	const char *domid = getenv("COMPROMISED_DOMID");
	int fd = domid ? open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC) : -1;
	unsigned mapped = 0;

	if (fd < 0)
		return map_reference(STDERR_FILENO, OTHER_DOMID, 8) == MAP_FAILED
			   ? of_ioctl(-1)
			   : of_text(0, "a page is mapped");
	for (uint32_t reference = 8; reference < 2048; reference++)
		mapped +=
		    map_reference(fd, (uint32_t)strtoul(domid, NULL, 10), reference) != MAP_FAILED;
	close(fd);
	return of_text(mapped ? 0 : -ENOENT, "%u pages of domain %s are mapped", mapped, domid);
}

static struct outcome copy_grant(const struct compromised_target *t)
{
	struct ioctl_gntdev_grant_copy copy = { .count = 0 };

	return of_ioctl(ioctl(STDERR_FILENO, IOCTL_GNTDEV_GRANT_COPY, &copy));
}

static struct outcome export_grant(const struct compromised_target *t)
{
	struct ioctl_gntdev_dmabuf_exp_from_refs export = { .count = 1, .domid = OTHER_DOMID };

	return of_ioctl(ioctl(STDERR_FILENO, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, &export));
}

static struct outcome make_hypercall(const struct compromised_target *t)
{
	privcmd_hypercall_t call = { .op = __HYPERVISOR_xen_version };

	return of_ioctl(ioctl(STDERR_FILENO, IOCTL_PRIVCMD_HYPERCALL, &call));
}

/* ---------------------------------------------------------------- gpudomd and the monitor */

/* Bytes that the peer's socket takes before it is full: its buffer, and no more while nobody reads.
 */
static struct outcome flood(int fd, const char *what)
{
	static const char bytes[4096];
	uint64_t sent = 0;
	ssize_t n;

	if (fd < 0)
		return of_text(-ENOENT, "there is none");
	while (sent < (64 << 20) &&
	       (n = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		sent += (uint64_t)n;
	return of_text(sent < (64 << 20) ? -errno : 1, "%s after %llu bytes to %s",
	    sent < (64 << 20) ? strerror(errno) : "no end", (unsigned long long)sent, what);
}

static struct outcome flood_control(const struct compromised_target *t)
{
	return flood(t->control_fd, "the control socket");
}

static struct outcome flood_front_end(const struct compromised_target *t)
{
	return flood(t->front_end_fd, "the front end");
}

static struct outcome flood_monitor(const struct compromised_target *t)
{
	return flood(t->monitor_fd, "the monitor");
}

/* In another guest's name, and so many that others' lines would be dropped */
/* The monitor reads it, and says it to systemd once: readiness_is_told_once(). */
static struct outcome repeat_readiness(const struct compromised_target *t)
{
	const uint32_t ready[2] = { 0 };

	for (int i = 0; i < 5; i++)
		if (send(t->monitor_fd, ready, sizeof(ready), MSG_NOSIGNAL) < 0)
			return of_call(-1);
	return of_text(-EALREADY, "said five times");
}

/* Two descriptors, where the monitor expects one: descriptors_do_not_pile_up() looks for them. */
static struct outcome leave_descriptors(const struct compromised_target *t)
{
	const int file = (int)syscall(SYS_memfd_create, "left", 0), fds[2] = { file, file };
	uint32_t message[2] = { 1 /* a picture */, 0 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(fds))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(fds)),
			  .cmsg_level = SOL_SOCKET,
			  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { .iov_base = message, .iov_len = sizeof(message) };
	const struct msghdr header = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	for (int i = 0; i < 8; i++)
		if (sendmsg(t->monitor_fd, &header, MSG_NOSIGNAL) < 0)
			return of_call(-1);
	return of_text(-EALREADY, "sent eight times");
}

static struct outcome flood_log(const struct compromised_target *t)
{
	for (unsigned i = 0; i < 100000; i++)
		dprintf(STDERR_FILENO, "<3>guest blue: was here\033[2K %u\n", i);
	return of_text(-EDQUOT, "it is for the reader to see");
}

static struct outcome clear_nonblock(const struct compromised_target *t)
{
	int fd = eventfd(0, EFD_NONBLOCK);

	return of_call(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK));
}

static struct outcome clear_nonblock_ioctl(const struct compromised_target *t)
{
	int fd = eventfd(0, EFD_NONBLOCK), off = 0;

	return of_call(ioctl(fd, FIONBIO, &off));
}

static struct outcome push_terminal(const struct compromised_target *t)
{
	return of_call(ioctl(STDIN_FILENO, TIOCSTI, "x"));
}

/* ---------------------------------------------------------------- privileges */

static struct outcome leave_namespaces(const struct compromised_target *t)
{
	return of_call(unshare(CLONE_NEWUSER | CLONE_NEWNS));
}

static struct outcome enter_namespace(const struct compromised_target *t)
{
	return of_call(setns(t->front_end_fd, 0));
}

static struct outcome mount_proc(const struct compromised_target *t)
{
	return of_call(mount("proc", "/", "proc", 0, NULL));
}

static struct outcome become_root(const struct compromised_target *t)
{
	return of_call(syscall(SYS_setuid, 0));
}

static struct outcome raise_limit(const struct compromised_target *t)
{
	const struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	return of_call(setrlimit(RLIMIT_NOFILE, &limit));
}

static struct outcome become_dumpable(const struct compromised_target *t)
{
	return of_call(prctl(PR_SET_DUMPABLE, 1));
}

static struct outcome outlive_monitor(const struct compromised_target *t)
{
	return of_call(prctl(PR_SET_PDEATHSIG, 0));
}

static struct outcome take_back_sigsys(const struct compromised_target *t)
{
	return of_call(signal(SIGSYS, SIG_IGN) == SIG_ERR ? -1 : 0);
}

/* The numbers of 32-bit programs are others. */
/* The kernel looks at the lower half of the number. */
static struct outcome take_back_sigsys_wide(const struct compromised_target *t)
{
	return of_call(syscall(SYS_rt_sigaction, UINT64_C(1) << 32 | SIGSYS, NULL, NULL, 8));
}

static struct outcome call_32_bit(const struct compromised_target *t)
{
#ifdef __x86_64__
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20 /* getpid */) : "memory");
	return of_text(result, "as a 32-bit program");
#else
	return of_text(-ENOSYS, "not on this machine");
#endif
}

/* ---------------------------------------------------------------- the kernel's wide surface */

static struct outcome call_x32(const struct compromised_target *t)
{
#ifdef __x86_64__
	return of_call(syscall(0x40000000 | SYS_getpid));
#else
	return of_text(-ENOSYS, "not on this machine");
#endif
}

static struct outcome load_program(const struct compromised_target *t)
{
	return of_call(syscall(SYS_bpf, 0, NULL, 0));
}

static struct outcome set_up_ring(const struct compromised_target *t)
{
	return of_call(syscall(SYS_io_uring_setup, 1, NULL));
}

static struct outcome handle_faults(const struct compromised_target *t)
{
	return of_call(syscall(SYS_userfaultfd, 0));
}

static struct outcome add_key(const struct compromised_target *t)
{
	return of_call(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0));
}

static struct outcome watch_events(const struct compromised_target *t)
{
	return of_call(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}

static struct outcome load_module(const struct compromised_target *t)
{
	return of_call(syscall(SYS_finit_module, STDERR_FILENO, "", 0));
}

/* ---------------------------------------------------------------- taking everything */

static struct outcome eat_memory(const struct compromised_target *t)
{
	const size_t size = 16 << 20;
	uint64_t taken = 0;

	/* The machine's memory is not the point: untouched pages count, too. */
	while (taken < (UINT64_C(1) << 40) && mmap(NULL, size, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		taken += size;
	return of_text(taken < (UINT64_C(1) << 40) ? -errno : 1, "%s after %llu MiB",
	    strerror(errno), (unsigned long long)taken >> 20);
}

static struct outcome eat_memory_file(const struct compromised_target *t)
{
	int fd = memfd_create("large", MFD_CLOEXEC);

	signal(SIGXFSZ, SIG_IGN);
	return of_call(ftruncate(fd, (off_t)1 << 40));
}

static struct outcome eat_descriptors(const struct compromised_target *t)
{
	unsigned count = 0;

	while (count < 1000000 && dup(STDERR_FILENO) >= 0)
		count++;
	return of_text(
	    count < 1000000 ? -errno : 1, "%s after %u descriptors", strerror(errno), count);
}

static void *sleep_for_ever(void *data)
{
	for (;;)
		sleep(3600);
	return NULL;
}

static struct outcome eat_threads(const struct compromised_target *t)
{
	unsigned count = 0;
	pthread_t thread;
	int error = 0;

	while (count < 100000 && !error) {
		error = pthread_create(&thread, NULL, sleep_for_ever, NULL);
		count += !error;
	}
	return of_text(error ? -error : 1, "%s after %u threads", strerror(error), count);
}

/* ---------------------------------------------------------------- all of them */

static const struct attempt {
	const char *name;
	struct outcome (*make)(const struct compromised_target *target);
} all[] = {
	{ "open-password-file", open_password_file },
	{ "open-proc", open_proc },
	{ "open-above", open_above },
	{ "open-device", open_device },
	{ "write-file", write_file },
	{ "make-node", make_node },
	{ "change-root", change_root },
	{ "open-by-handle", open_by_handle },
	{ "start-process", start_process },
	{ "start-process-clone3", start_process_clone3 },
	{ "run-program", run_program },
	{ "run-memory-file", run_memory_file },
	{ "socket-internet", socket_internet },
	{ "socket-unix", socket_unix },
	{ "socket-vm", socket_vm },
	{ "socket-netlink", socket_netlink },
	{ "socket-pair", socket_pair },
	{ "connect-elsewhere", connect_elsewhere },
	{ "send-elsewhere", send_elsewhere },
	{ "bind-abstract", bind_abstract },
	{ "attach-ptrace", attach_ptrace },
	{ "read-process", read_process },
	{ "write-process", write_process },
	{ "take-descriptor", take_descriptor },
	{ "signal-everyone", signal_everyone },
	{ "signal-parent", signal_parent },
	{ "signal-thread", signal_thread },
	{ "signal-by-owner", signal_by_owner },
	{ "change-priority", change_priority },
	{ "map-grant", map_grant },
	{ "copy-grant", copy_grant },
	{ "export-grant", export_grant },
	{ "make-hypercall", make_hypercall },
	{ "flood-control", flood_control },
	{ "flood-front-end", flood_front_end },
	{ "flood-monitor", flood_monitor },
	{ "repeat-readiness", repeat_readiness },
	{ "leave-descriptors", leave_descriptors },
	{ "flood-log", flood_log },
	{ "clear-nonblock", clear_nonblock },
	{ "clear-nonblock-ioctl", clear_nonblock_ioctl },
	{ "push-terminal", push_terminal },
	{ "leave-namespaces", leave_namespaces },
	{ "enter-namespace", enter_namespace },
	{ "mount-proc", mount_proc },
	{ "become-root", become_root },
	{ "raise-limit", raise_limit },
	{ "become-dumpable", become_dumpable },
	{ "outlive-monitor", outlive_monitor },
	{ "take-back-sigsys", take_back_sigsys },
	{ "take-back-sigsys-wide", take_back_sigsys_wide },
	{ "call-32-bit", call_32_bit },
	{ "call-x32", call_x32 },
	{ "load-program", load_program },
	{ "set-up-ring", set_up_ring },
	{ "handle-faults", handle_faults },
	{ "add-key", add_key },
	{ "watch-events", watch_events },
	{ "load-module", load_module },
	{ "eat-memory", eat_memory },
	{ "eat-memory-file", eat_memory_file },
	{ "eat-descriptors", eat_descriptors },
	{ "eat-threads", eat_threads },
};
#define ATTEMPT_COUNT (sizeof(all) / sizeof(all[0]))

void attempts_print_names(void)
{
	for (size_t i = 0; i < ATTEMPT_COUNT; i++)
		puts(all[i].name);
}

static void attempt_make(const struct attempt *attempt, const struct compromised_target *target)
{
	struct outcome outcome;

	/* Before: it may be the last line. */
	dprintf(STDERR_FILENO, "attempt %s\n", attempt->name);
	errno = 0;
	outcome = attempt->make(target);
	if (!*outcome.text)
		snprintf(outcome.text, sizeof(outcome.text), "%s",
		    outcome.result < 0 ? strerror((int)-outcome.result) : "no error");
	dprintf(STDERR_FILENO, "attempt %s: %s (%s)\n", attempt->name,
	    outcome.result < 0 ? "refused" : "SUCCEEDED", outcome.text);
}

void attempts_make(const char *list, const struct compromised_target *target)
{
	for (size_t length; *list; list += length + (list[length] == ',')) {
		length = strcspn(list, ",");
		for (size_t i = 0; i < ATTEMPT_COUNT; i++)
			if (strlen(all[i].name) == length &&
			    strncmp(all[i].name, list, length) == 0)
				attempt_make(&all[i], target);
	}
}
