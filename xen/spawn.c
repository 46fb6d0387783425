/* SPDX-License-Identifier: MIT */
#include "xen/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child says over a pipe that exec closes: at most one of each. */
struct spawn_report {
	enum { SPAWN_GROUP, SPAWN_EXEC } what;
	int error;
};

static void spawn_report(int pipe, int what, int error)
{
	const struct spawn_report report = { .what = what, .error = error };

	if (write(pipe, &report, sizeof(report)) < 0)
		_exit(127); /* nobody listens */
}

/* In the child. Pending signals have been blocked since before it was made. */
static void spawn_exec(const struct spawn_options *options, const int *copies, int pipe)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	/* "0" is the process that writes. First of all: nothing may run outside its group. */
	if (options->cgroup_procs >= 0 && write(options->cgroup_procs, "0", 1) < 0)
		spawn_report(pipe, SPAWN_GROUP, errno);
	for (unsigned i = 0; i < options->count; i++)
		if (dup2(copies[i], options->first + (int)i) < 0)
			goto error;
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL); /* some cannot be set, and are as they must be */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(options->path, options->arguments);
error:
	spawn_report(pipe, SPAWN_EXEC, errno);
	_exit(127);
}

/* Copies of all descriptors, above every number that the child will give to one. */
static int spawn_copy(const struct spawn_options *options, int *copies, unsigned *copied)
{
	for (unsigned i = 0; i < options->count; i++) {
		int copy =
		    fcntl(options->fds[i], F_DUPFD_CLOEXEC, options->first + (int)options->count);

		if (copy < 0)
			return -errno;
		copies[(*copied)++] = copy;
	}
	return 0;
}

/* Until exec has closed the pipe, or the child has ended. */
static int spawn_wait(int pipe, pid_t pid, int *group_error)
{
	struct spawn_report report;
	ssize_t n;

	for (;;) {
		n = read(pipe, &report, sizeof(report));
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(report))
			return 0;
		if (report.what == SPAWN_EXEC)
			break;
		*group_error = -report.error;
	}
	waitpid(pid, NULL, 0);
	return -report.error;
}

int spawn(const struct spawn_options *options, pid_t *pid, int *group_error)
{
	int copies[SPAWN_FDS_MAX] = { 0 }, pair[2], error;
	unsigned copied = 0;
	sigset_t all, before;

	*group_error = 0;
	error = options->count <= SPAWN_FDS_MAX ? spawn_copy(options, copies, &copied) : -E2BIG;
	if (error)
		goto out;
	if (pipe2(pair, O_CLOEXEC) < 0) {
		error = -errno;
		goto out;
	}
	/* The pipe, too, must not be where a descriptor goes. */
	error = fcntl(pair[1], F_DUPFD_CLOEXEC, options->first + (int)options->count);
	if (error < 0) {
		error = -errno;
		goto out_pipe;
	}
	close(pair[1]);
	pair[1] = error;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	*pid = fork();
	if (*pid == 0)
		spawn_exec(options, copies, pair[1]);
	error = *pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(pair[1]);
	pair[1] = -1;
	if (!error)
		error = spawn_wait(pair[0], *pid, group_error);
out_pipe:
	close(pair[0]);
	if (pair[1] >= 0)
		close(pair[1]);
out:
	while (copied)
		close(copies[--copied]);
	return error;
}
