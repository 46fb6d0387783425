/* SPDX-License-Identifier: MIT */
/* Worker processes: children and those of another, and how they end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xen/worker_message.h"
#include "xen/worker_process.h"

/* After what it needs. */
#include <cmocka.h>

static char *self; /* this program */

/* ---------------------------------------------------------------- the worker */

/* Into a queue that nobody reads: a descriptor there stays open when its sender has died. */
static void send_to_itself(int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
			  .cmsg_level = SOL_SOCKET,
			  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { .iov_base = &fd, .iov_len = sizeof(fd) };
	struct msghdr header = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	sendmsg(fd, &header, MSG_NOSIGNAL);
}

/* --fd=3 --control-fd=4 --guest=NAME [--screen-fd=5] WHAT: ends as it is told, when the other end
 * of its socket is closed. */
static int worker_main(int argc, char **argv)
{
	const struct rlimit no_core = { 0 };
	const char *what = argv[argc - 1];
	char byte;

	if (argc < 5 || strcmp(argv[1], "--fd=3") != 0 || strcmp(argv[2], "--control-fd=4") != 0 ||
	    strcmp(argv[3], "--guest=clock") != 0)
		return 99;
	/* What else it was given: the numbers have no gap. */
	if (argc == 6 && (strcmp(argv[4], "--screen-fd=5") != 0 || write(5, "s", 1) != 1 ||
			     fcntl(6, F_GETFD) >= 0))
		return 96;
	if (strcmp(what, "two") == 0) {
		/* One that watches and ends, one that works. */
		if (fork())
			return 5;
		close(3);
		read(4, &byte, 1);
		return 0;
	}
	if (strcmp(what, "cling") == 0)
		send_to_itself(4);
	/* Says that it is there. */
	if (write(3, "x", 1) != 1)
		return 98;
	if (strcmp(what, "stay") == 0 || strcmp(what, "cling") == 0)
		for (;;)
			pause();
	if (strcmp(what, "echo") == 0) {
		struct worker_message message;

		if (read(4, &message, sizeof(message)) != sizeof(message))
			return 95;
		return (int)message.value;
	}
	if (read(3, &byte, 1) != 0)
		return 97;
	if (strcmp(what, "fail") == 0)
		return 3;
	if (strcmp(what, "crash") == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		raise(SIGABRT);
	}
	return 0;
}

/* ------------------------------------------------------------------- the rig */

struct rig {
	sd_event *event;
	struct log_limit limit;
	struct worker_process_options options;
	struct worker_process *worker;
	int socket;
	unsigned exited;
	bool crashed;
	char end[256];
};

static void on_exited(void *data)
{
	struct rig *rig = data;

	rig->exited++;
	rig->crashed = worker_process_crashed(rig->worker);
	snprintf(rig->end, sizeof(rig->end), "%s", worker_process_end(rig->worker));
}

static void describe(void *data, char *text, size_t size)
{
	snprintf(text, size, " while it danced");
}

static int set_up(void **state)
{
	static struct rig rig;
	static char *arguments[] = { NULL, NULL };

	rig = (struct rig){ .socket = -1 };
	log_init(LOG_LEVEL_ERROR, NULL);
	assert_true(sd_event_new(&rig.event) >= 0);
	rig.options = (struct worker_process_options){
		.path = self,
		.name = "test",
		.limit = &rig.limit,
		.guest = "clock",
		.arguments = arguments,
		.cgroup_procs = -1,
		.event = rig.event,
		.describe = describe,
		.exited = on_exited,
		.data = &rig,
	};
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	worker_process_destroy(rig->worker);
	if (rig->socket >= 0)
		close(rig->socket);
	sd_event_unref(rig->event);
	/* No child is left, dead or alive. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static void run_worker(struct rig *rig, const char *what)
{
	char byte;

	((char **)rig->options.arguments)[0] = (char *)what;
	assert_int_equal(worker_process_create(&rig->options, &rig->socket, &rig->worker), 0);
	assert_int_equal(read(rig->socket, &byte, 1), 1);
}

static void hang_up(struct rig *rig)
{
	close(rig->socket);
	rig->socket = -1;
}

static void wait_for_end(struct rig *rig)
{
	while (!rig->exited)
		assert_true(sd_event_run(rig->event, UINT64_C(60) * 1000000) > 0);
	assert_int_equal(sd_event_run(rig->event, 0), 0);
	assert_int_equal(rig->exited, 1);
}

/* Is the process behind it still there? */
static bool lives(int pidfd)
{
	return pidfd_send_signal(pidfd, 0, NULL, 0) == 0;
}

/* --------------------------------------------------------------------- tests */

static void it_ends_in_order(void **state)
{
	struct rig *rig = *state;

	run_worker(rig, "end");
	worker_process_dismiss(rig->worker);
	hang_up(rig);
	wait_for_end(rig);
	assert_false(rig->crashed);
	assert_int_equal(rig->limit.total, 0); /* nothing to say about that */
	assert_string_equal(rig->end, "");
}

static void it_fails(void **state)
{
	struct rig *rig = *state;

	run_worker(rig, "fail");
	hang_up(rig);
	wait_for_end(rig);
	assert_false(rig->crashed);
	assert_int_equal(rig->limit.total, 1);
	assert_non_null(strstr(rig->end, "has failed with status 3 while it danced"));
}

static void it_crashes(void **state)
{
	struct rig *rig = *state;

	run_worker(rig, "crash");
	hang_up(rig);
	wait_for_end(rig);
	assert_true(rig->crashed);
	assert_int_equal(rig->limit.total, 1);
	assert_non_null(strstr(rig->end, "was ended by signal 6 (Aborted) while it danced"));
}

/* What it ends of is not what makes sure that it ends. */
static void it_hangs_up_and_ends(void **state)
{
	struct rig *rig = *state;

	run_worker(rig, "crash");
	worker_process_let_end(rig->worker);
	hang_up(rig);
	wait_for_end(rig);
	assert_non_null(strstr(rig->end, "was ended by signal 6 (Aborted) while it danced"));
	worker_process_let_end(rig->worker); /* nobody */
}

static void it_hangs_up_and_stays(void **state)
{
	struct rig *rig = *state;

	run_worker(rig, "stay");
	worker_process_let_end(rig->worker);
	wait_for_end(rig);
	assert_non_null(strstr(rig->end, "was ended by signal 9 (Killed) while it danced"));
}

static void it_is_killed(void **state)
{
	struct rig *rig = *state;

	run_worker(rig, "stay");
	worker_process_kill(rig->worker);
	worker_process_kill(rig->worker);
	wait_for_end(rig);
	worker_process_kill(rig->worker); /* nobody: the id may be another's */
	worker_process_dismiss(rig->worker);
	assert_int_equal(sd_event_run(rig->event, 0), 0);
}

static void it_is_destroyed_alive(void **state)
{
	struct rig *rig = *state;
	int pidfd;

	run_worker(rig, "stay");
	pidfd = dup(worker_process_pidfd(rig->worker));
	worker_process_destroy(rig->worker);
	rig->worker = NULL;
	assert_false(lives(pidfd));
	close(pidfd);
	assert_int_equal(rig->exited, 0);
}

static void it_gets_what_it_is_given(void **state)
{
	struct rig *rig = *state;
	struct worker_descriptor descriptors[] = { { "--telemetry-fd", -1 },
		{ "--screen-fd", -1 } };
	char byte;
	int pair[2];

	/* Ours have the numbers that its are to have. */
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	descriptors[1].fd = pair[1];
	rig->options.descriptors = descriptors;
	rig->options.descriptor_count = 2;
	run_worker(rig, "end");
	close(pair[1]);
	assert_int_equal(read(pair[0], &byte, 1), 1);
	assert_int_equal(byte, 's');
	worker_process_dismiss(rig->worker);
	hang_up(rig);
	wait_for_end(rig);
	assert_int_equal(rig->limit.total, 0);
	/* None of the copies is left here. */
	assert_int_equal(read(pair[0], &byte, 1), 0);
	close(pair[0]);
}

static void it_is_told_something(void **state)
{
	struct rig *rig = *state;
	const struct worker_message message = { .size = sizeof(message), .value = 42 };

	run_worker(rig, "echo");
	assert_int_equal(worker_process_send(rig->worker, &message, STDERR_FILENO), 0);
	wait_for_end(rig);
	assert_non_null(strstr(rig->end, "status 42"));
	assert_int_equal(worker_process_send(rig->worker, &message, -1), -ENOTCONN);
}

static void nobody_waits_for_it_to_read(void **state)
{
	struct rig *rig = *state;
	const struct worker_message message = { .size = sizeof(message) };
	int error;

	run_worker(rig, "stay");
	while (!(error = worker_process_send(rig->worker, &message, -1)))
		;
	assert_int_equal(error, -EAGAIN);
}

/* Our child has ended, but the one that has the guest's memory lives. */
static void both_processes_are_waited_for(void **state)
{
	const struct worker_message message = { .size = sizeof(message) };
	struct rig *rig = *state;
	struct pollfd pidfd = { .events = POLLIN };

	((char **)rig->options.arguments)[0] = (char *)"two";
	assert_int_equal(worker_process_create(&rig->options, &rig->socket, &rig->worker), 0);
	pidfd.fd = worker_process_pidfd(rig->worker);
	assert_int_equal(poll(&pidfd, 1, -1), 1);
	while (sd_event_run(rig->event, 0) > 0)
		;
	assert_int_equal(rig->exited, 0);
	assert_int_equal(worker_process_send(rig->worker, &message, -1), 0);
	wait_for_end(rig);
	assert_non_null(strstr(rig->end, "status 5"));
}

/* One that has its own end of the control socket wait in ours seems to live on. */
static void it_cannot_outlive_itself(void **state)
{
	struct rig *rig = *state;

	run_worker(rig, "cling");
	worker_process_kill(rig->worker);
	wait_for_end(rig);
	assert_non_null(strstr(rig->end, "signal 9"));
}

static void it_is_let_go_and_adopted(void **state)
{
	struct rig *rig = *state;
	int pidfd, control, status;

	run_worker(rig, "stay");
	for (unsigned i = 0; i < 3; i++) {
		pidfd = dup(worker_process_pidfd(rig->worker));
		control = dup(worker_process_control(rig->worker));
		worker_process_release(rig->worker);
		assert_true(lives(pidfd));
		assert_int_equal(
		    worker_process_adopt(&rig->options, pidfd, control, &rig->worker), 0);
		assert_int_equal(worker_process_control(rig->worker), control);
		assert_int_equal(worker_process_pidfd(rig->worker), pidfd);
	}
	assert_int_equal(sd_event_run(rig->event, 0), 0);
	worker_process_kill(rig->worker);
	wait_for_end(rig);
	assert_false(rig->crashed); /* as far as a stranger can know */
	/* The one that adopts does not wait for it: its parent does. */
	assert_true(waitpid(-1, &status, 0) > 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A worker of another process, which is gone. */
static int start_orphan(void)
{
	int pair[2], pidfd;
	pid_t parent, orphan;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (!parent) {
		orphan = fork();
		if (!orphan)
			for (;;)
				pause();
		_exit(write(pair[1], &orphan, sizeof(orphan)) != sizeof(orphan));
	}
	assert_int_equal(read(pair[0], &orphan, sizeof(orphan)), sizeof(orphan));
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	pidfd = pidfd_open(orphan, 0);
	assert_true(pidfd >= 0);
	return pidfd;
}

static void an_orphan_is_adopted(void **state)
{
	struct rig *rig = *state;
	int pidfd = start_orphan();

	assert_int_equal(worker_process_adopt(&rig->options, pidfd, -1, &rig->worker), 0);
	assert_int_equal(sd_event_run(rig->event, 0), 0);
	pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
	wait_for_end(rig);
	assert_int_equal(rig->limit.total, 1);
}

static void an_orphan_is_destroyed(void **state)
{
	struct rig *rig = *state;
	int pidfd = start_orphan(), other;

	other = dup(pidfd);
	assert_int_equal(worker_process_adopt(&rig->options, pidfd, -1, &rig->worker), 0);
	worker_process_destroy(rig->worker);
	/* Not our child: it is dead soon, which a second owner sees. */
	assert_int_equal(worker_process_adopt(&rig->options, other, -1, &rig->worker), 0);
	wait_for_end(rig);
}

static void one_that_is_gone_is_adopted(void **state)
{
	struct rig *rig = *state;
	int pidfd;

	run_worker(rig, "stay");
	pidfd = dup(worker_process_pidfd(rig->worker));
	worker_process_destroy(rig->worker);
	rig->worker = NULL;
	assert_int_equal(worker_process_adopt(&rig->options, pidfd, -1, &rig->worker), 0);
	wait_for_end(rig);
}

/* Before it runs: what it starts is in the group, too. */
static void it_is_in_its_group_before_it_runs(void **state)
{
	struct rig *rig = *state;
	int file = memfd_create("cgroup.procs", MFD_CLOEXEC);
	char text[8] = "";

	rig->options.cgroup_procs = file;
	run_worker(rig, "end");
	assert_int_equal(pread(file, text, sizeof(text), 0), 1);
	assert_string_equal(text, "0");
	close(file);
	assert_int_equal(rig->limit.total, 0);
}

static void without_its_group_it_runs_all_the_same(void **state)
{
	struct rig *rig = *state;
	int file = open("/dev/full", O_WRONLY | O_CLOEXEC);

	rig->options.cgroup_procs = file;
	run_worker(rig, "end");
	close(file);
	assert_int_equal(rig->limit.total, 1); /* and the log says so */
}

static void there_is_no_program(void **state)
{
	struct rig *rig = *state;

	rig->options.path = "/nonexistent/gpudom-worker";
	assert_int_equal(worker_process_create(&rig->options, &rig->socket, &rig->worker), -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(it_ends_in_order),
		TEST(it_fails),
		TEST(it_crashes),
		TEST(it_hangs_up_and_ends),
		TEST(it_hangs_up_and_stays),
		TEST(it_is_killed),
		TEST(it_is_destroyed_alive),
		TEST(it_gets_what_it_is_given),
		TEST(it_is_told_something),
		TEST(nobody_waits_for_it_to_read),
		TEST(both_processes_are_waited_for),
		TEST(it_cannot_outlive_itself),
		TEST(it_is_let_go_and_adopted),
		TEST(an_orphan_is_adopted),
		TEST(an_orphan_is_destroyed),
		TEST(one_that_is_gone_is_adopted),
		TEST(it_is_in_its_group_before_it_runs),
		TEST(without_its_group_it_runs_all_the_same),
		TEST(there_is_no_program),
	};
	int result;

	if (argc > 1)
		return worker_main(argc, argv);
	self = realpath("/proc/self/exe", NULL);
	result = cmocka_run_group_tests_name("worker processes", tests, NULL, NULL);
	free(self);
	return result;
}
