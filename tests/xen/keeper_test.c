/* SPDX-License-Identifier: MIT */
/*
 * gpudom-keeper and xen/keep.c: the program that is kept is this one again (--child), which does
 * what the test tells it by a socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/keep.h"

#include <cmocka.h>

#define PATIENCE_MS 60000 /* only a defect waits so long */
#define LINE_BYTES 1024

static char *self;

/* ----------------------------------------------------------------- the child */

/* A descriptor with something in it. */
static int make_fd(const char *content)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0 || write(pair[1], content, strlen(content)) < 0)
		_exit(EXIT_FAILURE);
	close(pair[1]);
	return pair[0];
}

/* "NAME=CONTENT " for each descriptor that was passed on. */
static void child_say_hello(int fd, const struct keep *keep, int first)
{
	char line[LINE_BYTES] = "";
	size_t used = 0;
	unsigned position = 0;
	const char *name;

	for (int i = 0; (name = keep_next(keep, &position)); i++) {
		char content[64];
		ssize_t n = read(first + i, content, sizeof(content));

		/* For the next one. */
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s=%.*s ", name,
		    n < 0 ? 0 : (int)n, content);
	}
	snprintf(line + used, sizeof(line) - used, "kind=%d pid=%d", (int)keep_kind(keep),
	    (int)getpid());
	if (send(fd, line, strlen(line), 0) < 0)
		_exit(EXIT_FAILURE);
}

static void child_obey(int fd, struct keep *keep, const char *command)
{
	const char *argument = strchr(command, ' ');

	argument = argument ? argument + 1 : "";
	if (!strncmp(command, "push", 4)) {
		int kept = make_fd(argument);

		keep_push(keep, kept, "%s", argument);
		close(kept);
	} else if (!strncmp(command, "drop", 4)) {
		keep_drop(keep, "%s", argument);
	} else if (!strncmp(command, "rest", 4)) {
		close(keep_take(keep, "%s", argument));
		keep_drop_rest(keep);
	} else if (!strncmp(command, "ready", 5)) {
		sd_notify(0, "READY=1");
	} else if (!strncmp(command, "exit", 4)) {
		_exit((int)strtol(argument, NULL, 10));
	} else if (!strncmp(command, "die", 3)) {
		raise(SIGKILL);
	} else if (!strncmp(command, "stranger", 8)) {
		/* A process of ours, but not the one that was started. */
		pid_t pid = fork();

		if (pid == 0) {
			keep_push(keep, STDERR_FILENO, "stranger");
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	} else if (!strncmp(command, "orphan", 6)) {
		/* Lives until the descriptor that is kept as "life" is closed everywhere. */
		int life[2];

		if (pipe2(life, O_CLOEXEC) < 0)
			_exit(EXIT_FAILURE);
		if (fork() == 0) {
			char c;

			close(life[1]);
			if (send(fd, "orphan", 6, 0) < 0 || read(life[0], &c, 1) != 0)
				_exit(EXIT_FAILURE);
			_exit(send(fd, "gone", 4, 0) < 0);
		}
		keep_push(keep, life[1], "life");
		close(life[1]);
		return;
	}
	if (send(fd, "done", 4, 0) < 0)
		_exit(EXIT_FAILURE);
}

static int connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", name);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(EXIT_FAILURE);
	return fd;
}

static int child_main(const char *name)
{
	char command[LINE_BYTES];
	struct keep *keep;
	char **names = NULL;
	ssize_t n;
	int fd;

	if (sd_listen_fds_with_names(true, &names) < 0 ||
	    keep_create(SD_LISTEN_FDS_START, names, &keep) < 0)
		return EXIT_FAILURE;
	fd = connect_to(name);
	child_say_hello(fd, keep, SD_LISTEN_FDS_START);
	while ((n = recv(fd, command, sizeof(command) - 1, 0)) > 0) {
		command[n] = '\0';
		child_obey(fd, keep, command);
	}
	keep_destroy(keep);
	return EXIT_FAILURE;
}

/* ------------------------------------------------------------------- the rig */

struct rig {
	int listener, child; /* the connection to the present one */
	char name[64];
	pid_t keeper;
	char hello[LINE_BYTES];
};

static void wait_readable(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&poller, 1, PATIENCE_MS), 1);
}

/* The next child's hello. */
static void meet(struct rig *rig)
{
	ssize_t n;

	if (rig->child >= 0)
		close(rig->child);
	wait_readable(rig->listener);
	rig->child = accept4(rig->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(rig->child >= 0);
	wait_readable(rig->child);
	n = recv(rig->child, rig->hello, sizeof(rig->hello) - 1, 0);
	assert_true(n > 0);
	rig->hello[n] = '\0';
}

static void assert_line(struct rig *rig, const char *expected)
{
	char line[LINE_BYTES];
	ssize_t n;

	wait_readable(rig->child);
	n = recv(rig->child, line, sizeof(line) - 1, 0);
	assert_true(n >= 0);
	line[n] = '\0';
	assert_string_equal(line, expected);
}

/* The child has done it; with "" for an answer, it has ended over it. */
static void tell(struct rig *rig, const char *command, const char *answer)
{
	assert_true(send(rig->child, command, strlen(command), 0) > 0);
	assert_line(rig, answer);
}

static void assert_hello(struct rig *rig, const char *start)
{
	if (strncmp(rig->hello, start, strlen(start)) != 0)
		fail_msg("'%s' does not begin with '%s'", rig->hello, start);
}

static int status_of(struct rig *rig)
{
	int status;

	assert_int_equal(waitpid(rig->keeper, &status, 0), rig->keeper);
	rig->keeper = 0;
	return status;
}

static void start_keeper(struct rig *rig)
{
	char program[4096];
	const char *slash = strrchr(self, '/');
	const char *argv[] = { program, "--restart-delay=1", "--", self, "--child", rig->name,
		NULL };

	/* build/asan/xen/keeper_test: build/asan/gpudom-keeper */
	assert_non_null(slash);
	snprintf(program, sizeof(program), "%.*s/../gpudom-keeper", (int)(slash - self), self);
	assert_int_equal(posix_spawn(&rig->keeper, program, NULL, NULL, (char **)argv, environ), 0);
}

static int set_up(void **state)
{
	static struct rig rig;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	rig = (struct rig){ .child = -1 };
	snprintf(rig.name, sizeof(rig.name), "gpudom-keeper-test-%d", (int)getpid());
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", rig.name);
	rig.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(rig.listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(rig.listener, 8), 0);
	start_keeper(&rig);
	meet(&rig);
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	if (rig->keeper) {
		kill(rig->keeper, SIGKILL);
		waitpid(rig->keeper, NULL, 0);
	}
	close(rig->child);
	close(rig->listener);
	return 0;
}

/* --------------------------------------------------------------------- tests */

static void what_is_pushed_is_there_after_a_crash(void **state)
{
	struct rig *rig = *state;

	assert_hello(rig, "kind=2"); /* KEEP_KEPT */
	tell(rig, "push 2-state", "done");
	tell(rig, "push 2-evtchn", "done");
	tell(rig, "die", "");
	meet(rig);
	assert_hello(rig, "2-state=2-state 2-evtchn=2-evtchn kind=2");
	/* Still kept for the one after that (its content has been read). */
	tell(rig, "die", "");
	meet(rig);
	assert_hello(rig, "2-state= 2-evtchn= kind=2");
}

static void what_is_dropped_is_gone(void **state)
{
	struct rig *rig = *state;

	tell(rig, "push a", "done");
	tell(rig, "push b", "done");
	tell(rig, "push c", "done");
	tell(rig, "drop b", "done");
	tell(rig, "drop nothing", "done");
	tell(rig, "exit 1", "");
	meet(rig);
	assert_hello(rig, "a=a c=c kind=2");
	/* All but the one that is taken. */
	tell(rig, "rest c", "done");
	tell(rig, "die", "");
	meet(rig);
	assert_hello(rig, "c= kind=2");
}

static void many_descriptors(void **state)
{
	struct rig *rig = *state;
	char command[32];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(command, sizeof(command), "push %u", i);
		tell(rig, command, "done");
	}
	for (unsigned i = 3; i < 100; i++) {
		snprintf(command, sizeof(command), "drop %u", i);
		tell(rig, command, "done");
	}
	tell(rig, "die", "");
	meet(rig);
	assert_hello(rig, "0=0 1=1 2=2 kind=2");
}

static void names_that_make_no_sense(void **state)
{
	struct rig *rig = *state;

	tell(rig, "push a:b", "done");
	tell(rig, "push a\001b", "done");
	tell(rig, "ready", "done");
	tell(rig, "die", "");
	meet(rig);
	assert_hello(rig, "kind=2");
}

static void only_the_child_is_listened_to(void **state)
{
	struct rig *rig = *state;

	tell(rig, "push a", "done");
	tell(rig, "stranger", "done");
	tell(rig, "die", "");
	meet(rig);
	assert_hello(rig, "a=a kind=2");
}

static void a_restart_keeps_all(void **state)
{
	struct rig *rig = *state;

	tell(rig, "push a", "done");
	kill(rig->keeper, SIGHUP);
	meet(rig);
	assert_hello(rig, "a=a kind=2");
	tell(rig, "exit 0", "");
	assert_int_equal(status_of(rig), 0);
}

static void a_program_that_ends_well_is_not_started_again(void **state)
{
	struct rig *rig = *state;

	tell(rig, "ready", "done");
	tell(rig, "exit 0", "");
	assert_int_equal(status_of(rig), 0);
}

static void a_program_that_was_never_ready_is_not_started_again(void **state)
{
	struct rig *rig = *state;

	tell(rig, "exit 3", "");
	assert_int_equal(status_of(rig), W_EXITCODE(EXIT_FAILURE, 0));
}

static void workers_outlive_a_crash_and_end_with_the_keeper(void **state)
{
	struct rig *rig = *state;
	int orphan;

	tell(rig, "orphan", "orphan");
	/* The orphan has this connection too. */
	orphan = dup(rig->child);
	assert_true(send(rig->child, "die", 3, 0) > 0);
	meet(rig);
	assert_hello(rig, "life=");
	kill(rig->keeper, SIGTERM);
	assert_int_equal(status_of(rig), 0);
	/* It has been waited for. */
	close(rig->child);
	rig->child = orphan;
	assert_line(rig, "gone");
	assert_line(rig, "");
}

static void without_a_keeper_nothing_is_done(void **state)
{
	struct keep *keep;
	unsigned position = 0;

	assert_int_equal(keep_create(3, NULL, &keep), 0);
	assert_int_equal(keep_kind(keep), KEEP_NOBODY);
	keep_push(keep, STDERR_FILENO, "a");
	keep_drop(keep, "a");
	assert_int_equal(keep_take(keep, "a"), -1);
	assert_null(keep_next(keep, &position));
	keep_drop_rest(keep);
	keep_destroy(keep);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_pushed_is_there_after_a_crash),
		TEST(what_is_dropped_is_gone),
		TEST(many_descriptors),
		TEST(names_that_make_no_sense),
		TEST(only_the_child_is_listened_to),
		TEST(a_restart_keeps_all),
		TEST(a_program_that_ends_well_is_not_started_again),
		TEST(a_program_that_was_never_ready_is_not_started_again),
		TEST(workers_outlive_a_crash_and_end_with_the_keeper),
		cmocka_unit_test(without_a_keeper_nothing_is_done),
	};
	int result;

	log_init(LOG_LEVEL_ERROR, NULL);
	if (argc == 3 && !strcmp(argv[1], "--child"))
		return child_main(argv[2]);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("FDSTORE");
	self = realpath("/proc/self/exe", NULL);
	result = cmocka_run_group_tests_name("gpudom-keeper", tests, NULL, NULL);
	free(self);
	return result;
}
