/* SPDX-License-Identifier: MIT */
#include "xen/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/spawn.h"
#include "xen/worker_message.h"

/* Its descriptors */
#define WORKER_FD 3
#define WORKER_CONTROL_FD 4
#define WORKER_FIRST_FD 5 /* of options.descriptors */
#define WORKER_FDS_MAX (WORKER_FIRST_FD - WORKER_FD + WORKER_DESCRIPTORS_MAX)
#define DISMISS_USEC (5 * 1000000) /* how long an orderly end may take */
#define END_USEC 500000            /* ... and one whose cause is to be learnt */
#define HANG_UP_MSEC 5000          /* until the rest of a killed one is gone */

struct worker_process {
	struct worker_process_options options;
	pid_t pid; /* for people; the process is pidfd's */
	int pidfd;
	int control; /* -1: none */
	bool child, dismissed, crashed;
	bool ended, hung_up; /* the process, the control socket; both: it is gone */
	char sentence[320];
	sd_event_source *end, *hang_up, *timer;
};

char *worker_process_find(const char *path)
{
	static const char *const places[] = { "gpudom-worker", "../bin/gpudom-worker" };
	char self[4096], *found = NULL, *slash;
	ssize_t n;

	if (path)
		return strdup(path);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		for (size_t i = 0; slash && i < sizeof(places) / sizeof(places[0]); i++) {
			if (asprintf(&found, "%.*s%s", (int)(slash + 1 - self), self, places[i]) <
			    0)
				return NULL;
			if (!access(found, X_OK))
				return found;
			free(found);
		}
	}
	return strdup("gpudom-worker"); /* posix_spawnp() looks in $PATH */
}

/* ---------------------------------------------------------------- its end */

static void worker_process_log_end(struct worker_process *worker)
{
	const struct worker_process_options *options = &worker->options;
	char how[96] = "has ended", doing[192] = "";
	siginfo_t info = { 0 };

	if (worker->child && waitid(P_PIDFD, (id_t)worker->pidfd, &info, WEXITED | WNOHANG) < 0)
		log_error("%s: cannot learn how the worker (pid %d) has ended: %s", options->name,
		    (int)worker->pid, strerror(errno));
	/* Of a process that is not our child, and of one in order, info stays 0. */
	worker->crashed = info.si_code && info.si_code != CLD_EXITED;
	if (worker->crashed)
		snprintf(how, sizeof(how), "was ended by signal %d (%s)", info.si_status,
		    strsignal(info.si_status));
	else if (info.si_status == WORKER_EXIT_NO_MEMORY)
		snprintf(how, sizeof(how), "has ended for want of memory");
	else if (info.si_status)
		snprintf(how, sizeof(how), "has failed with status %d", info.si_status);
	else if (worker->dismissed)
		return;
	if (options->describe)
		options->describe(options->data, doing, sizeof(doing));
	snprintf(worker->sentence, sizeof(worker->sentence), "the worker (pid %d) %s%s",
	    (int)worker->pid, how, doing);
	log_guest(options->limit, "%s: %s", options->name, worker->sentence);
}

static bool worker_process_is_gone(const struct worker_process *worker)
{
	return worker->ended && (worker->hung_up || worker->control < 0);
}

static void worker_process_part_gone(struct worker_process *worker)
{
	if (!worker_process_is_gone(worker))
		return;
	sd_event_source_set_enabled(worker->timer, SD_EVENT_OFF);
	worker_process_log_end(worker);
	worker->options.exited(worker->options.data);
}

static int worker_process_on_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker_process *worker = data;

	worker->ended = true;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	worker_process_part_gone(worker);
	return 0;
}

static int worker_process_on_hang_up(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker_process *worker = data;

	worker->hung_up = true;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	worker_process_part_gone(worker);
	return 0;
}

static int worker_process_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	struct worker_process *worker = data;

	log_warning(
	    "%s: the worker (pid %d) does not end: killed", worker->options.name, (int)worker->pid);
	worker_process_kill(worker);
	return 0;
}

void worker_process_kill(struct worker_process *worker)
{
	if (!worker->ended)
		pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0);
}

static void worker_process_kill_after(struct worker_process *worker, uint64_t usec)
{
	sd_event_source_set_time_relative(worker->timer, usec);
	sd_event_source_set_enabled(worker->timer, SD_EVENT_ONESHOT);
}

void worker_process_dismiss(struct worker_process *worker)
{
	if (worker_process_is_gone(worker))
		return;
	worker->dismissed = true;
	worker_process_kill_after(worker, DISMISS_USEC);
}

void worker_process_let_end(struct worker_process *worker)
{
	if (!worker_process_is_gone(worker))
		worker_process_kill_after(worker, END_USEC);
}

/* ---------------------------------------------------------------- its start */

/* The child: @fds from WORKER_FD on. */
static int worker_process_spawn(const struct worker_process_options *options, char *const *argv,
    const int *fds, unsigned count, pid_t *pid)
{
	const struct spawn_options child = {
		.path = options->path,
		.arguments = argv,
		.fds = fds,
		.count = count,
		.first = WORKER_FD,
		.cgroup_procs = options->cgroup_procs,
	};
	int group_error, error = spawn(&child, pid, &group_error);

	if (group_error)
		log_guest(options->limit, "%s: the worker cannot be moved to its control group: %s",
		    options->name, strerror(-group_error));
	return error;
}

/* Its command line; free() what is behind @own, and the array. */
static char **worker_process_arguments(
    const struct worker_process_options *options, const unsigned *numbers, char **own)
{
	size_t given = 0, count = 0;
	char **argv;

	while (options->arguments[given])
		given++;
	argv = calloc(given + options->descriptor_count + 7, sizeof(*argv));
	if (!argv)
		return NULL;
	argv[count++] = (char *)options->path;
	if (asprintf(&own[0], "--fd=%d", WORKER_FD) < 0 ||
	    asprintf(&own[1], "--control-fd=%d", WORKER_CONTROL_FD) < 0 ||
	    asprintf(&own[2], "--guest=%s", options->guest) < 0)
		goto error;
	if (options->grants && asprintf(&own[3], "--domid=%u", options->domid) < 0)
		goto error;
	for (unsigned i = 0; i < options->descriptor_count; i++)
		if (numbers[i] &&
		    asprintf(&own[4 + i], "%s=%u", options->descriptors[i].option, numbers[i]) < 0)
			goto error;
	for (unsigned i = 0; i < 4 + options->descriptor_count; i++)
		if (own[i])
			argv[count++] = own[i];
	if (options->option && *options->option)
		argv[count++] = (char *)options->option;
	memcpy(argv + count, options->arguments, given * sizeof(*argv));
	return argv;

error:
	free(argv);
	return NULL;
}

static int worker_process_start(struct worker_process *worker, int socket, int control)
{
	const struct worker_process_options *options = &worker->options;
	char *own[4 + WORKER_DESCRIPTORS_MAX] = { NULL }, **argv;
	unsigned count = 2, numbers[WORKER_DESCRIPTORS_MAX] = { 0 };
	int fds[WORKER_FDS_MAX] = { socket, control };
	int error = -ENOMEM;

	for (unsigned i = 0; i < options->descriptor_count; i++) {
		if (options->descriptors[i].fd < 0)
			continue;
		numbers[i] = WORKER_FD + count;
		fds[count++] = options->descriptors[i].fd;
	}
	argv = worker_process_arguments(options, numbers, own);
	if (argv)
		error = worker_process_spawn(options, argv, fds, count, &worker->pid);
	if (error)
		log_error(
		    "%s: cannot start %s: %s", options->name, options->path, strerror(-error));
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		free(own[i]);
	free(argv);
	return error;
}

static int worker_process_watch(struct worker_process *worker)
{
	sd_event *event = worker->options.event;
	int error = sd_event_add_io(
	    event, &worker->end, worker->pidfd, EPOLLIN, worker_process_on_end, worker);

	/* Without any event of its own, it tells of a hang-up alone: what comes is not read. */
	if (error >= 0 && worker->control >= 0)
		error = sd_event_add_io(
		    event, &worker->hang_up, worker->control, 0, worker_process_on_hang_up, worker);
	if (error >= 0)
		error = sd_event_add_time_relative(
		    event, &worker->timer, CLOCK_MONOTONIC, 0, 0, worker_process_overdue, worker);
	if (error >= 0)
		error = sd_event_source_set_enabled(worker->timer, SD_EVENT_OFF);
	if (error >= 0)
		return 0;
	log_error("%s: cannot watch the worker: %s", worker->options.name, strerror(-error));
	return error;
}

static struct worker_process *worker_process_new(const struct worker_process_options *options)
{
	struct worker_process *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->options = *options;
	worker->pidfd = worker->control = -1;
	return worker;
}

/* Two connections; the first of each is ours. */
static int worker_process_connect(
    const struct worker_process_options *options, int socket[2], int control[2])
{
	int error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socket) < 0) {
		error = -errno;
		goto error;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
		error = -errno;
		close(socket[0]);
		close(socket[1]);
		goto error;
	}
	/* We never read from it. Descriptors that a worker could leave in it count for all
	 * processes of this user, none of which could pass any when there are too many; and its own
	 * end of this very socket, left there, would not be closed with it. */
	shutdown(control[0], SHUT_RD);
	return 0;

error:
	log_error("%s: cannot make a socket pair: %s", options->name, strerror(-error));
	return error;
}

int worker_process_create(
    const struct worker_process_options *options, int *socket_fd, struct worker_process **out)
{
	struct worker_process *worker = worker_process_new(options);
	int pair[2] = { -1, -1 }, control[2] = { -1, -1 }, error;

	if (!worker)
		return -ENOMEM;
	error = worker_process_connect(options, pair, control);
	if (error)
		goto error_worker;
	worker->control = control[0];
	error = worker_process_start(worker, pair[1], control[1]);
	close(pair[1]);
	close(control[1]);
	if (error)
		goto error_pair;
	worker->child = true;
	/* Our child: its id is its own until we have waited for it. */
	worker->pidfd = pidfd_open(worker->pid, 0);
	if (worker->pidfd < 0) {
		error = -errno;
		log_error("%s: cannot watch the worker: %s", options->name, strerror(-error));
		goto error_child;
	}
	error = worker_process_watch(worker);
	if (error)
		goto error_pair;
	log_debug("%s: worker started, pid %d", options->name, (int)worker->pid);
	*socket_fd = pair[0];
	*out = worker;
	return 0;

error_child:
	kill(worker->pid, SIGKILL);
	waitpid(worker->pid, NULL, 0);
error_pair:
	close(pair[0]);
error_worker:
	worker_process_destroy(worker);
	return error;
}

/* The process id behind a pidfd, for people; -1: it is gone, or unknown. */
static pid_t worker_process_read_pid(int pidfd)
{
	char path[64], line[128];
	pid_t pid = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "Pid:", 4) == 0)
			pid = (pid_t)strtol(line + 4, NULL, 10);
	fclose(file);
	return pid;
}

int worker_process_adopt(const struct worker_process_options *options, int pidfd, int control,
    struct worker_process **out)
{
	struct worker_process *worker = worker_process_new(options);
	int error;

	if (!worker)
		return -ENOMEM;
	worker->pid = worker_process_read_pid(pidfd);
	worker->pidfd = pidfd;
	worker->control = control;
	error = worker_process_watch(worker);
	if (error) {
		worker->pidfd = worker->control = -1; /* are the caller's again */
		worker_process_destroy(worker);
		return error;
	}
	*out = worker;
	return 0;
}

bool worker_process_crashed(const struct worker_process *worker)
{
	return worker->crashed;
}

int worker_process_pidfd(const struct worker_process *worker)
{
	return worker->pidfd;
}

int worker_process_control(const struct worker_process *worker)
{
	return worker->control;
}

pid_t worker_process_pid(const struct worker_process *worker)
{
	return worker->pid;
}

const char *worker_process_end(const struct worker_process *worker)
{
	return worker->sentence;
}

int worker_process_send(
    const struct worker_process *worker, const struct worker_message *message, int fd)
{
	struct iovec iov = { .iov_base = (void *)message, .iov_len = sizeof(*message) };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (worker->control < 0)
		return -ENOTCONN;
	if (fd >= 0) {
		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	if (sendmsg(worker->control, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
}

void worker_process_release(struct worker_process *worker)
{
	if (!worker)
		return;
	sd_event_source_disable_unref(worker->end);
	sd_event_source_disable_unref(worker->hang_up);
	sd_event_source_disable_unref(worker->timer);
	if (worker->pidfd >= 0)
		close(worker->pidfd);
	if (worker->control >= 0)
		close(worker->control);
	free(worker);
}

/* Waits for what is left of a killed one. */
static void worker_process_wait(struct worker_process *worker)
{
	struct pollfd control = { .fd = worker->control };
	siginfo_t info;

	if (worker->child)
		waitid(P_PIDFD, (id_t)worker->pidfd, &info, WEXITED);
	if (worker->control >= 0 && !worker->hung_up)
		poll(&control, 1, HANG_UP_MSEC);
}

void worker_process_destroy(struct worker_process *worker)
{
	if (!worker)
		return;
	if (worker->pidfd >= 0 && !worker_process_is_gone(worker)) {
		worker_process_kill(worker);
		worker_process_wait(worker);
	}
	worker_process_release(worker);
}
