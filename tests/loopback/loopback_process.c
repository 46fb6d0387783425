/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/loopback/loopback_frontend.h"

#define ARGUMENTS_MAX 32

/* In the child: runs @argv with @fd for each "{fd}". */
_Noreturn static void run(const char *const argv[], int fd, int output_fd, pid_t parent)
{
	static const char mark[] = "{fd}";
	char arguments[ARGUMENTS_MAX][256];
	char *list[ARGUMENTS_MAX + 1] = { NULL };

	for (int i = 0; i < ARGUMENTS_MAX && argv[i]; i++) {
		const char *at = strstr(argv[i], mark);
		if (at)
			snprintf(arguments[i], sizeof(arguments[i]), "%.*s%d%s",
			    (int)(at - argv[i]), argv[i], fd, at + strlen(mark));
		else
			snprintf(arguments[i], sizeof(arguments[i]), "%s", argv[i]);
		list[i] = arguments[i];
	}
	/* No test leaves a back end behind, however it ends. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	fcntl(fd, F_SETFD, 0);
	if (output_fd >= 0)
		dup2(output_fd, STDERR_FILENO);
	if (!list[0])
		_exit(127);
	execv(list[0], list);
	fprintf(stderr, "%s: %s\n", list[0], strerror(errno));
	_exit(127);
}

int loopback_process_spawn(struct loopback_process *process, const char *const argv[], bool capture)
{
	pid_t parent = getpid();
	int pair[2];

	*process = (struct loopback_process){ .socket = -1, .output_fd = -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	if (capture)
		process->output_fd = memfd_create("stderr", MFD_CLOEXEC);
	process->pid = fork();
	if (process->pid == 0)
		run(argv, pair[1], process->output_fd, parent);
	int ret = process->pid < 0 ? -errno : 0;
	close(pair[1]);
	if (ret < 0)
		close(pair[0]);
	else
		process->socket = pair[0];
	return ret;
}

void loopback_process_path(const char *program, char *path, size_t size)
{
	char self[512] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		loopback_die("/proc/self/exe: %s", strerror(errno));
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
	}
	snprintf(path, size, "%s/%s", self, program);
}

int loopback_process_connect(const struct loopback_process *process, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	for (int ms = 0; ms < LOOPBACK_TIMEOUT_MS; ms++) {
		if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
		if ((errno != ENOENT && errno != ECONNREFUSED) ||
		    !loopback_process_is_running(process))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	int ret = -errno;
	close(fd);
	return ret;
}

bool loopback_process_is_running(const struct loopback_process *process)
{
	siginfo_t info = { 0 };

	if (process->pid <= 0)
		return false;
	/* WNOWAIT: loopback_process_end() still wants the status. */
	return waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

int loopback_process_end(struct loopback_process *process, int signal)
{
	int status = 0;

	if (process->pid > 0) {
		kill(process->pid, signal);
		while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (process->socket >= 0)
		close(process->socket);
	if (process->output_fd >= 0)
		close(process->output_fd);
	*process = (struct loopback_process){ .socket = -1, .output_fd = -1 };
	return status;
}

char *loopback_process_output(const struct loopback_process *process)
{
	struct stat stat;

	if (fstat(process->output_fd, &stat) < 0)
		return NULL;
	char *text = calloc(1, (size_t)stat.st_size + 1);
	if (text && pread(process->output_fd, text, (size_t)stat.st_size, 0) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---------------------------------------------------------------- /proc */

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	FILE *file = fopen(path, "re");
	if (!file)
		loopback_die("%s: %s", path, strerror(errno));
	return file;
}

pid_t loopback_process_renderer(const struct loopback_process *process)
{
	char path[64];
	char text[32] = "";
	pid_t pid;

	snprintf(
	    path, sizeof(path), "/proc/%d/task/%d/children", (int)process->pid, (int)process->pid);
	FILE *file = fopen(path, "re");
	if (file && !fgets(text, sizeof(text), file))
		text[0] = '\0';
	if (file)
		fclose(file);
	pid = (pid_t)strtol(text, NULL, 10);
	return pid ? pid : process->pid;
}

uint64_t loopback_process_cpu_ticks(pid_t pid)
{
	char text[1024] = "";
	FILE *file = open_proc(pid, "stat");
	size_t size = fread(text, 1, sizeof(text) - 1, file);

	fclose(file);
	text[size] = '\0';
	/* The name, field 2, is in brackets and may hold anything; user and system time are fields
	 * 14 and 15. */
	char *at = strrchr(text, ')');
	for (int field = 2; at && field < 14; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		loopback_die("cannot read /proc/%d/stat", (int)pid);
	uint64_t user = strtoull(at, &at, 10);
	return user + strtoull(at, NULL, 10);
}

uint64_t loopback_process_kib(pid_t pid, const char *name)
{
	char line[256];
	size_t length = strlen(name);
	uint64_t kib = 0;
	FILE *file = open_proc(pid, "status");

	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			kib = strtoull(line + length + 1, NULL, 10);
	fclose(file);
	return kib;
}

unsigned loopback_process_fds(pid_t pid)
{
	char path[64];
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *directory = opendir(path);
	if (!directory)
		loopback_die("%s: %s", path, strerror(errno));
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

unsigned loopback_process_maps(pid_t pid)
{
	FILE *file = open_proc(pid, "maps");
	unsigned lines = 0;
	int c;

	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}
