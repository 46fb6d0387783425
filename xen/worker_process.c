/* SPDX-License-Identifier: MIT */
#include "xen/worker_process.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
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

#define WORKER_FD 3
#define DISMISS_USEC (5 * 1000000) /* how long an orderly end may take */

struct worker_process {
	struct worker_process_options options;
	pid_t pid; /* for people; the process is pidfd's */
	int pidfd;
	bool child, dismissed, gone, crashed;
	sd_event_source *end, *timer;
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

static void worker_process_log_end(struct worker_process *worker)
{
	const char *name = worker->options.name;
	siginfo_t info = { 0 };

	if (worker->child && waitid(P_PIDFD, (id_t)worker->pidfd, &info, WEXITED | WNOHANG) < 0)
		log_error("%s: cannot learn how the worker (pid %d) has ended: %s", name,
		    (int)worker->pid, strerror(errno));
	/* Of a process that is not our child, and of one in order, info stays 0. */
	worker->crashed = info.si_code && info.si_code != CLD_EXITED;
	if (worker->crashed)
		log_guest(worker->options.limit,
		    "%s: the worker (pid %d) was ended by signal %d (%s)", name, (int)worker->pid,
		    info.si_status, strsignal(info.si_status));
	else if (info.si_status)
		log_guest(worker->options.limit,
		    "%s: the worker (pid %d) has failed with status %d", name, (int)worker->pid,
		    info.si_status);
	else if (!worker->dismissed)
		log_guest(worker->options.limit, "%s: the worker (pid %d) has ended", name,
		    (int)worker->pid);
}

static int worker_process_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker_process *worker = data;

	worker->gone = true;
	sd_event_source_set_enabled(worker->end, SD_EVENT_OFF);
	sd_event_source_set_enabled(worker->timer, SD_EVENT_OFF);
	worker_process_log_end(worker);
	worker->options.exited(worker->options.data);
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
	if (!worker->gone)
		pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0);
}

void worker_process_dismiss(struct worker_process *worker)
{
	if (worker->gone)
		return;
	worker->dismissed = true;
	sd_event_source_set_time_relative(worker->timer, DISMISS_USEC);
	sd_event_source_set_enabled(worker->timer, SD_EVENT_ONESHOT);
}

/* The child: @fd as WORKER_FD, default signals; every other descriptor closes on exec. */
static int worker_process_spawn(
    const struct worker_process_options *options, char *const *argv, int fd, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return -error;
	error = posix_spawnattr_init(&attributes);
	if (error)
		goto error_actions;
	/* Also where @fd is WORKER_FD already, this clears its close-on-exec flag. */
	error = posix_spawn_file_actions_adddup2(&actions, fd, WORKER_FD);
	if (!error)
		error = posix_spawnattr_setsigmask(&attributes, &none);
	if (!error)
		error = posix_spawnattr_setsigdefault(&attributes, &all);
	if (!error)
		error = posix_spawnattr_setflags(
		    &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!error)
		error = posix_spawnp(pid, options->path, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
error_actions:
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

static int worker_process_start(struct worker_process *worker, int fd)
{
	const struct worker_process_options *options = &worker->options;
	char fd_option[16], *guest_option = NULL, **argv;
	size_t count = 0;
	int error = -ENOMEM;

	while (options->arguments[count])
		count++;
	argv = calloc(count + 4, sizeof(*argv));
	if (!argv || asprintf(&guest_option, "--guest=%s", options->guest) < 0)
		goto out;
	snprintf(fd_option, sizeof(fd_option), "--fd=%d", WORKER_FD);
	argv[0] = (char *)options->path;
	argv[1] = fd_option;
	argv[2] = guest_option;
	memcpy(argv + 3, options->arguments, count * sizeof(*argv));
	error = worker_process_spawn(options, argv, fd, &worker->pid);
	if (error)
		log_error(
		    "%s: cannot start %s: %s", options->name, options->path, strerror(-error));
out:
	free(guest_option);
	free(argv);
	return error;
}

static int worker_process_watch(struct worker_process *worker)
{
	sd_event *event = worker->options.event;
	int error = sd_event_add_io(
	    event, &worker->end, worker->pidfd, EPOLLIN, worker_process_ended, worker);

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
	worker->pidfd = -1;
	return worker;
}

int worker_process_create(
    const struct worker_process_options *options, int *socket_fd, struct worker_process **out)
{
	struct worker_process *worker = worker_process_new(options);
	int pair[2], error;

	if (!worker)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		error = -errno;
		log_error("%s: cannot make a socket pair: %s", options->name, strerror(-error));
		goto error_worker;
	}
	error = worker_process_start(worker, pair[1]);
	close(pair[1]);
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

int worker_process_adopt(
    const struct worker_process_options *options, int pidfd, struct worker_process **out)
{
	struct worker_process *worker = worker_process_new(options);
	int error;

	if (!worker)
		return -ENOMEM;
	worker->pid = worker_process_read_pid(pidfd);
	worker->pidfd = pidfd;
	error = worker_process_watch(worker);
	if (error) {
		worker->pidfd = -1; /* is the caller's again */
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

void worker_process_release(struct worker_process *worker)
{
	if (!worker)
		return;
	sd_event_source_disable_unref(worker->end);
	sd_event_source_disable_unref(worker->timer);
	if (worker->pidfd >= 0)
		close(worker->pidfd);
	free(worker);
}

void worker_process_destroy(struct worker_process *worker)
{
	siginfo_t info;

	if (!worker)
		return;
	if (worker->pidfd >= 0 && !worker->gone) {
		worker_process_kill(worker);
		if (worker->child)
			waitid(P_PIDFD, (id_t)worker->pidfd, &info, WEXITED);
	}
	worker_process_release(worker);
}
