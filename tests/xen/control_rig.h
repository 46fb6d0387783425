/* SPDX-License-Identifier: MIT */
/* gpudomd on a fake Xen with its control socket, and clients that do what they like. */
#ifndef GPUDOM_TESTS_XEN_CONTROL_RIG_H
#define GPUDOM_TESTS_XEN_CONTROL_RIG_H

#include <fcntl.h>
#include <json-c/json.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/xen/daemon_rig.h"
#include "xen/control.h"

static char control_dir[] = "/tmp/gpudom-control-XXXXXX";
static char control_path[sizeof(control_dir) + 16];
static char argument[sizeof(control_path) + 16]; /* --control=... */
static struct control *control;
static struct control_options control_options;

static inline void open_control(struct rig *rig)
{
	control_options.path = control_path;
	control_options.event = rig->event;
	control_options.gpu_daemon = rig->gpu_daemon;
	assert_int_equal(control_create(&control_options, &control), 0);
}

static inline void close_control(void)
{
	control_destroy(control);
	control = NULL;
}

static inline int set_up_control(void **state)
{
	snprintf(control_dir, sizeof(control_dir), "/tmp/gpudom-control-XXXXXX");
	assert_non_null(mkdtemp(control_dir));
	snprintf(control_path, sizeof(control_path), "%s/control", control_dir);
	snprintf(argument, sizeof(argument), "--control=%s", control_path);
	control_options = (struct control_options){ 0 };
	set_up(state);
	run_daemon(*state);
	open_control(*state);
	return 0;
}

static inline int tear_down_control(void **state)
{
	close_control();
	unlink(control_path);
	assert_int_equal(rmdir(control_dir), 0);
	return tear_down(state);
}

#define CONTROL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_control, tear_down_control)

/* ------------------------------------------------------------------- clients */

struct peer {
	int fd;
	char received[65536];
	size_t used;
	bool over;     /* gpudomd has closed it */
	int passed_fd; /* the last one that came; -1: none */
};

static inline void peer_connect(struct rig *rig, struct peer *peer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*peer = (struct peer){
		.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
		.passed_fd = -1,
	};
	assert_true(peer->fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", control_path);
	/* EAGAIN: the queue of those who want to is full */
	while (connect(peer->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		assert_int_equal(errno, EAGAIN);
		turn(rig);
	}
}

static inline void peer_close(struct peer *peer)
{
	close(peer->fd);
}

/* As much as there is. True: there is a whole line. */
static inline bool peer_has_line(struct peer *peer)
{
	char control_bytes[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec piece = { peer->received + peer->used,
		sizeof(peer->received) - 1 - peer->used };
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control_bytes,
		.msg_controllen = sizeof(control_bytes),
	};
	ssize_t n = recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC);

	if (n > 0)
		peer->used += (size_t)n;
	else if (n == 0 || errno != EAGAIN)
		peer->over = true;
	if (n > 0 && CMSG_FIRSTHDR(&message))
		memcpy(&peer->passed_fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	peer->received[peer->used] = '\0';
	return memchr(peer->received, '\n', peer->used);
}

/* The next line, as an object that is the caller's. */
static inline struct json_object *peer_read(struct rig *rig, struct peer *peer)
{
	struct json_object *object;
	char *end;

	WAIT_FOR(rig, peer_has_line(peer));
	end = memchr(peer->received, '\n', peer->used);
	*end = '\0';
	object = json_tokener_parse(peer->received);
	assert_true(json_object_is_type(object, json_type_object));
	peer->used -= (size_t)(end + 1 - peer->received);
	memmove(peer->received, end + 1, peer->used + 1);
	return object;
}

static inline void peer_greet(struct rig *rig, struct peer *peer)
{
	struct json_object *greeting;

	peer_connect(rig, peer);
	greeting = peer_read(rig, peer);
	assert_int_equal(json_object_get_int(json_object_object_get(greeting, "gpudom")), 1);
	assert_null(json_object_object_get(greeting, "error"));
	json_object_put(greeting);
}

static inline void peer_write(struct peer *peer, const char *text)
{
	assert_int_equal(send(peer->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline struct json_object *peer_ask(struct rig *rig, struct peer *peer, const char *text)
{
	peer_write(peer, text);
	peer_write(peer, "\n");
	return peer_read(rig, peer);
}

static inline const char *get_text(struct json_object *object, const char *member)
{
	const char *text = json_object_get_string(json_object_object_get(object, member));

	return text ? text : "";
}

static inline int get_number(struct json_object *object, const char *member)
{
	return json_object_get_int(json_object_object_get(object, member));
}

/* Of an answer; "" where it is none. */
static inline const char *error_code(struct json_object *answer)
{
	return get_text(json_object_object_get(answer, "error"), "code");
}

static inline void assert_refused(
    struct rig *rig, struct peer *peer, const char *request, const char *code)
{
	struct json_object *answer = peer_ask(rig, peer, request);

	assert_string_equal(error_code(answer), code);
	assert_true(strlen(get_text(json_object_object_get(answer, "error"), "message")) > 10);
	assert_null(json_object_object_get(answer, "result"));
	json_object_put(answer);
}

/* ------------------------------------------------------ gpudomctl's commands */

/* Runs one in a process of its own, while gpudomd goes on: its exit status. What it writes on both
 * outputs is in @output. */
static inline int run_command(struct rig *rig, int (*run)(int argc, char **argv),
    const char *const argv[], char *output, size_t size)
{
	int log = memfd_create("output", MFD_CLOEXEC), status = -1, argc = 0;
	ssize_t n;
	pid_t pid;

	while (argv[argc])
		argc++;
	assert_true(log >= 0);
	pid = fork();
	if (!pid) {
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		status = run(argc, (char **)argv);
		fflush(stdout);
		_exit(status);
	}
	WAIT_FOR(rig, waitpid(pid, &status, WNOHANG) == pid);
	n = pread(log, output, size - 1, 0);
	assert_true(n >= 0);
	output[n] = '\0';
	close(log);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#endif
