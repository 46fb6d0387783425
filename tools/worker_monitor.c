/* SPDX-License-Identifier: MIT */
#include "tools/worker_monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "backend/display.h"
#include "backend/log.h"
#include "tools/monitor_log.h"
#include "tools/monitor_seccomp.h"

#define PICTURE_SIZE_MAX (UINT64_C(256) << 20)
/* Messages in a row; then signals and the other duties have their turn. */
#define MESSAGES_AT_ONCE 16

/* From the renderer: nothing in it can be trusted. */
enum message_type { MESSAGE_READY, MESSAGE_PICTURE /* + descriptor */ };
struct message {
	uint32_t type;
	uint32_t scanout;
};

/* What the process that makes the namespaces says: the renderer's id, or what went wrong. */
struct start_report {
	int32_t pid; /* or -errno */
	uint32_t bits;
};

struct monitor {
	const struct worker_monitor_options *options;
	int fd;           /* to the renderer */
	int directory_fd; /* of pictures; -1: none */
	int pidfd;        /* of the renderer */
	sd_event *event;
	bool ready;                 /* was told */
	struct monitor_log logs[2]; /* standard output and error */
	/* How many pictures of each output may still be written: that of the end, and one for each
	 * SIGUSR1 */
	unsigned pictures[DISPLAY_SCANOUTS_MAX];
};

static const int forwarded[] = { SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };
#define FORWARDED_COUNT (sizeof(forwarded) / sizeof(forwarded[0]))

static sigset_t forwarded_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < FORWARDED_COUNT; i++)
		sigaddset(&set, forwarded[i]);
	return set;
}

/* ---------------------------------------------------------------- pictures */

/* Whoever sent the file may change it while it is read: that spoils only the picture. */
static int monitor_copy(int from, int to)
{
	static char buffer[64 << 10];
	uint64_t at = 0;
	ssize_t n;

	while ((n = pread(from, buffer, sizeof(buffer), (off_t)at)) > 0) {
		at += (uint64_t)n;
		if (at > PICTURE_SIZE_MAX)
			return -EFBIG;
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(to, buffer + done, (size_t)(n - done));
			if (w < 0)
				return -errno;
		}
	}
	return n < 0 ? -errno : 0;
}

/* In one piece: a file that was there is replaced when the new one is whole. */
static int monitor_replace(int directory, const char *name, int from)
{
	char part[64];
	int fd, r;

	snprintf(part, sizeof(part), "%s.part", name);
	fd = openat(directory, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	r = monitor_copy(from, fd);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(directory, part, directory, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(directory, part, 0);
	return r;
}

static void monitor_take_picture(struct monitor *monitor, uint32_t scanout, int fd)
{
	struct stat stat;
	char name[32];
	int r;

	if (fd < 0 || monitor->directory_fd < 0 || scanout >= monitor->options->scanouts ||
	    scanout >= DISPLAY_SCANOUTS_MAX || !monitor->pictures[scanout])
		return;
	/* Reading a device, such as the GPU's, can wait for ever. */
	if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
		return;
	monitor->pictures[scanout]--;
	snprintf(name, sizeof(name), "scanout-%u.png", scanout);
	r = monitor_replace(monitor->directory_fd, name, fd);
	if (r < 0)
		log_error("cannot write %s/%s: %s", monitor->options->png_dir, name, strerror(-r));
	else
		log_info("wrote %s/%s", monitor->options->png_dir, name);
}

/* ---------------------------------------------------------------- the renderer's messages */

/* One message; 0: there is none at present, -ENOTCONN: there will be none. *@fd is the caller's. */
static int monitor_receive(int from, struct message *message, int *fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = message, .iov_len = sizeof(*message) };
	struct msghdr header = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		/* Not CMSG_SPACE(), in whose padding is room for a second one */
		.msg_controllen = CMSG_LEN(sizeof(int)) };
	const struct cmsghdr *c;
	ssize_t n = recvmsg(from, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ENOTCONN;
	c = CMSG_FIRSTHDR(&header);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if (n == sizeof(*message))
		return 1;
	if (*fd >= 0)
		close(*fd);
	return -ENOTCONN; /* its end, or nonsense */
}

static int monitor_on_message(sd_event_source *source, int from, uint32_t events, void *data)
{
	struct monitor *monitor = data;
	struct message message;
	int fd, r = 1;

	for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
		r = monitor_receive(from, &message, &fd);
		if (r <= 0)
			break;
		if (message.type == MESSAGE_READY && !monitor->ready) {
			monitor->ready = true;
			sd_notify(0, "READY=1");
		} else if (message.type == MESSAGE_PICTURE)
			monitor_take_picture(monitor, message.scanout, fd);
		if (fd >= 0)
			close(fd);
	}
	if (r < 0)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static int monitor_on_signal(
    sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct monitor *monitor = data;

	if (info->ssi_signo == SIGUSR1)
		for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
			monitor->pictures[i]++;
	pidfd_send_signal(monitor->pidfd, (int)info->ssi_signo, NULL, 0);
	return 0;
}

/* After all else that the renderer has left behind: see the priority. */
static int monitor_on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct monitor *monitor = data;

	return sd_event_exit(monitor->event, 0);
}

/* ---------------------------------------------------------------- its life */

/* Ends as the renderer did. */
static _Noreturn void monitor_end(struct monitor *monitor)
{
	const struct rlimit none = { 0 };
	siginfo_t info = { 0 };
	sigset_t set;

	if (waitid(P_PIDFD, (id_t)monitor->pidfd, &info, WEXITED) < 0) {
		log_error("cannot learn how the renderer has ended: %s", strerror(errno));
		_exit(EXIT_FAILURE);
	}
	for (int i = 0; i < 2; i++)
		monitor_log_drain(&monitor->logs[i]);
	if (monitor->options->socket_path)
		unlink(monitor->options->socket_path);
	/* As the first process of its namespace it cannot end by this signal of its own. */
	if (info.si_code == CLD_EXITED && info.si_status == 128 + SIGABRT)
		info = (siginfo_t){ .si_code = CLD_KILLED, .si_status = SIGABRT };
	if (info.si_code == CLD_EXITED)
		_exit(info.si_status);
	setrlimit(RLIMIT_CORE, &none); /* the renderer's core, if any, is the one that matters */
	sigemptyset(&set);
	sigaddset(&set, info.si_status);
	signal(info.si_status, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(info.si_status);
	_exit(128 + info.si_status);
}

static int monitor_add_sources(struct monitor *monitor)
{
	sd_event_source *end;
	int r;

	r = sd_event_new(&monitor->event);
	for (size_t i = 0; r >= 0 && i < FORWARDED_COUNT; i++)
		r = sd_event_add_signal(
		    monitor->event, NULL, forwarded[i], monitor_on_signal, monitor);
	if (r >= 0)
		r = sd_event_add_io(
		    monitor->event, NULL, monitor->fd, EPOLLIN, monitor_on_message, monitor);
	if (r >= 0)
		r = sd_event_add_io(
		    monitor->event, &end, monitor->pidfd, EPOLLIN, monitor_on_end, monitor);
	if (r >= 0)
		r = sd_event_source_set_priority(end, SD_EVENT_PRIORITY_IDLE);
	for (int i = 0; r >= 0 && i < 2; i++)
		r = monitor_log_serve(&monitor->logs[i], monitor->event);
	if (r >= 0 && monitor->options->serve)
		r = monitor->options->serve(monitor->options->data, monitor->event);
	return r;
}

/* The renderer alone holds its sockets: what is gone when it is gone must not live on here. */
static void monitor_close_others(const struct monitor *monitor)
{
	const struct worker_monitor_options *options = monitor->options;
	int keep[WORKER_MONITOR_KEEP_MAX + 5] = { monitor->fd, monitor->directory_fd,
		monitor->pidfd, monitor->logs[0].fd, monitor->logs[1].fd };

	memcpy(keep + 5, options->keep, options->keep_count * sizeof(*keep));
	worker_sandbox_close_all_but(keep, 5 + options->keep_count);
}

/* ---------------------------------------------------------------- making two of one */

/* In the child, by way of a process that makes the namespaces (only children are in a new PID
 * namespace) and ends: the monitor, as the subreaper, becomes the renderer's parent. */
static pid_t monitor_fork_unshared(int report_fd)
{
	struct start_report report = { 0 };
	pid_t pid;

	report.pid = worker_sandbox_unshare(&report.bits);
	if (!report.pid) {
		pid = fork();
		if (pid == 0)
			return 0;
		report.pid = pid < 0 ? -errno : pid;
	}
	if (send(report_fd, &report, sizeof(report), MSG_NOSIGNAL) < 0)
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

/* 0: in the renderer. */
static pid_t monitor_fork(struct monitor *monitor, int child_fd, uint32_t *bits)
{
	const bool strict = monitor->options->mode == WORKER_SANDBOX_STRICT;
	struct start_report report = { .pid = -ECHILD };
	pid_t pid = fork();

	*bits = 0;
	if (pid == 0)
		return monitor_fork_unshared(child_fd);
	if (pid < 0)
		return -errno;
	waitpid(pid, NULL, 0);
	if (recv(monitor->fd, &report, sizeof(report), MSG_DONTWAIT) != sizeof(report))
		report.pid = -ECHILD;
	*bits = report.bits;
	if (report.pid > 0)
		return report.pid;
	log_write(strict ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
	    "the kernel gives this worker no namespaces of its own (%s): user namespaces may be "
	    "switched off (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone), or "
	    "not be built in%s",
	    strerror(-report.pid), strict ? "" : "; its system calls are limited all the same");
	if (strict)
		return report.pid;
	*bits = 0;
	pid = fork();
	return pid < 0 ? -errno : pid;
}

/* In the renderer: waits until the monitor is its parent, and ends with it from then on. */
static int renderer_attach(int fd, uint32_t *bits)
{
	struct pollfd hangup = { .fd = fd };

	if (recv(fd, bits, sizeof(*bits), 0) != sizeof(*bits))
		_exit(EXIT_FAILURE);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	/* It may have died before. */
	if (poll(&hangup, 1, 0) != 0)
		_exit(EXIT_FAILURE);
	return 0;
}

static int monitor_prepare(struct monitor *monitor)
{
	const struct worker_monitor_options *options = monitor->options;
	sigset_t set = forwarded_signals();
	int r;

	/* From before the fork: none is lost. */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		monitor->pictures[i] = 1;
	for (int i = 0; i < 2; i++) {
		r = monitor_log_init(
		    &monitor->logs[i], i ? STDERR_FILENO : STDOUT_FILENO, options->guest);
		if (r < 0)
			return r;
	}
	if (!options->png_dir)
		return 0;
	monitor->directory_fd = open(options->png_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (monitor->directory_fd >= 0)
		return 0;
	log_error("--png-dir=%s: %s", options->png_dir, strerror(errno));
	return -errno;
}

/* It is trusted, and gives up what it does not need all the same. With WORKER_SANDBOX_LOG it
 * does not: what is measured is the renderer. */
static int monitor_seal(const struct monitor *monitor)
{
	const struct worker_monitor_options *options = monitor->options;
	const struct monitor_seccomp_options list = {
		.guest = options->guest,
		.files = options->socket_path || monitor->directory_fd >= 0,
		.notifies = getenv("NOTIFY_SOCKET"),
		.grants = options->grants,
	};
	int r;

	if (options->mode == WORKER_SANDBOX_LOG)
		return 0;
	prctl(PR_SET_DUMPABLE, 0);
	r = worker_sandbox_drop_capabilities();
	return r < 0 ? r : monitor_seccomp_load(&list);
}

/* After the fork, in the parent. */
static _Noreturn void monitor_run(struct monitor *monitor, pid_t pid, uint32_t bits)
{
	int r = -EIO;

	monitor->pidfd = pidfd_open(pid, 0);
	monitor_close_others(monitor);
	if (monitor->pidfd >= 0)
		r = monitor_add_sources(monitor);
	if (r >= 0)
		r = monitor_seal(monitor);
	/* It waits for this. */
	if (r >= 0 && send(monitor->fd, &bits, sizeof(bits), MSG_NOSIGNAL) < 0)
		r = -errno;
	if (r >= 0)
		r = sd_event_loop(monitor->event);
	if (r >= 0)
		monitor_end(monitor);
	log_error("the monitor fails: %s", strerror(-r));
	_exit(EXIT_FAILURE); /* takes the renderer with it */
}

int worker_monitor_start(
    const struct worker_monitor_options *options, struct worker_monitor *renderer, uint32_t *bits)
{
	struct monitor monitor = { .options = options,
		.directory_fd = -1,
		.pidfd = -1,
		.logs = { { .fd = -1, .renderer_fd = -1 }, { .fd = -1, .renderer_fd = -1 } } };
	int pair[2], r;
	pid_t pid;

	renderer->fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		log_error("cannot make a socket pair: %s", strerror(-r));
		return r;
	}
	monitor.fd = pair[0];
	r = monitor_prepare(&monitor);
	if (r < 0)
		goto error;
	pid = monitor_fork(&monitor, pair[1], bits);
	if (pid > 0)
		monitor_run(&monitor, pid, *bits);
	r = pid;
	if (r < 0)
		goto error;
	close(monitor.fd);
	if (monitor.directory_fd >= 0)
		close(monitor.directory_fd);
	for (int i = 0; i < 2; i++)
		monitor_log_take_over(&monitor.logs[i]);
	renderer->fd = pair[1];
	return renderer_attach(renderer->fd, bits);
error:
	for (int i = 0; i < 2; i++)
		monitor_log_finish(&monitor.logs[i]);
	close(pair[0]);
	close(pair[1]);
	if (monitor.directory_fd >= 0)
		close(monitor.directory_fd);
	return r;
}

/* ---------------------------------------------------------------- from the renderer */

static void send_message(
    const struct worker_monitor *monitor, const struct message *message, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)message, .iov_len = sizeof(*message) };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&header);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	/* Without a monitor we are about to end. */
	if (sendmsg(monitor->fd, &header, MSG_NOSIGNAL) < 0)
		log_debug("the monitor takes no messages: %s", strerror(errno));
}

void worker_monitor_ready(const struct worker_monitor *monitor)
{
	send_message(monitor, &(struct message){ .type = MESSAGE_READY }, -1);
}

void worker_monitor_send_picture(const struct worker_monitor *monitor, unsigned scanout, int fd)
{
	send_message(monitor, &(struct message){ .type = MESSAGE_PICTURE, .scanout = scanout }, fd);
}
