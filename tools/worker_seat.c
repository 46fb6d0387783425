/* SPDX-License-Identifier: MIT */
#include "tools/worker_seat.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/log.h"

#define ANSWER_SECONDS 5
#define ANSWER_MAX 4096 /* that of "add" is short */

static int open_manager(const char *path)
{
	const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static struct json_object *make_command(const struct worker_seat_options *options)
{
	const bool is_gpu = options->kind == SEAT_INPUT_KINDS;
	struct json_object *command = json_object_new_object();

	json_object_object_add(command, "command", json_object_new_string("add"));
	json_object_object_add(
	    command, "guest", json_object_new_string(options->guest ? options->guest : "guest"));
	if (options->domid >= 0)
		json_object_object_add(command, "domain", json_object_new_int(options->domid));
	/* One of each kind, whose numbers must differ */
	json_object_object_add(
	    command, "device", json_object_new_int(is_gpu ? 0 : 1 + (int)options->kind));
	json_object_object_add(command, "kind",
	    json_object_new_string(is_gpu ? "gpu" : seat_input_kind_name(options->kind)));
	return command;
}

static int send_command(int manager, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec piece = { .iov_base = (void *)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	*c = (struct cmsghdr){
		.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd))
	};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(manager, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* 0, -EACCES with its reason in @reason, or another -errno. */
static int receive_answer(int manager, char *reason, size_t size)
{
	char text[ANSWER_MAX];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);
	struct json_object *answer, *field;
	int result = -EPROTO;

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	text[n] = '\0';
	answer = json_tokener_parse(text);
	if (json_object_object_get_ex(answer, "ok", &field))
		result = json_object_get_boolean(field) ? 0 : -EACCES;
	if (result == -EACCES && json_object_object_get_ex(answer, "error", &field))
		snprintf(reason, size, "%s", json_object_get_string(field));
	json_object_put(answer);
	return result;
}

static int add(const struct worker_seat_options *options, int manager, char *reason, size_t size)
{
	const int type = options->kind == SEAT_INPUT_KINDS ? SOCK_STREAM : SOCK_SEQPACKET;
	struct json_object *command = make_command(options);
	int pair[2], error;

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		error = -errno;
	} else {
		error = send_command(manager,
		    json_object_to_json_string_ext(command, JSON_C_TO_STRING_PLAIN), pair[1]);
		close(pair[1]);
		if (!error)
			error = receive_answer(manager, reason, size);
		if (error)
			close(pair[0]);
	}
	json_object_put(command);
	return error ? error : pair[0];
}

int worker_seat_connect(const struct worker_seat_options *options)
{
	int manager = open_manager(options->path), fd = manager;
	char reason[256] = "";

	if (manager >= 0) {
		fd = add(options, manager, reason, sizeof(reason));
		close(manager);
	}
	if (fd < 0)
		log_error("cannot join the seat at %s: %s%s", options->path,
		    *reason ? reason : strerror(-fd),
		    manager == -ENOENT || manager == -ECONNREFUSED
			? ". Is gpudom-seat running? It listens there (--seat=PATH says where)"
			: "");
	return fd;
}
