/* SPDX-License-Identifier: MIT */
#include "tools/bench_floor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Sleeps until @fd is signalled, and resets it. */
static bool wait_for(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0)
		if (errno != EAGAIN || (poll(&pollfd, 1, -1) < 0 && errno != EINTR))
			return false;
	return true;
}

static bool signal_fd(int fd)
{
	return write(fd, &(uint64_t){ 1 }, sizeof(uint64_t)) > 0;
}

int bench_floor_start(struct bench_floor *floor)
{
	pid_t parent = getpid();
	int ret;

	*floor = (struct bench_floor){ 0 };
	floor->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	floor->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	floor->pid = floor->kick_fd < 0 || floor->call_fd < 0 ? -1 : fork();
	if (floor->pid < 0) {
		ret = -errno;
		close(floor->kick_fd);
		close(floor->call_fd);
		floor->pid = 0;
		return ret;
	}
	if (floor->pid > 0)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent && wait_for(floor->kick_fd) && signal_fd(floor->call_fd))
		;
	_exit(0);
}

void bench_floor_stop(struct bench_floor *floor)
{
	if (floor->pid <= 0)
		return;
	kill(floor->pid, SIGKILL);
	waitpid(floor->pid, NULL, 0);
	close(floor->kick_fd);
	close(floor->call_fd);
	floor->pid = 0;
}

uint64_t bench_floor_trip(struct bench_floor *floor)
{
	struct timespec start, end;

	clock_gettime(CLOCK_MONOTONIC, &start);
	signal_fd(floor->kick_fd);
	wait_for(floor->call_fd);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000 + (uint64_t)end.tv_nsec -
	       (uint64_t)start.tv_nsec;
}
