/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_seat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "backend/seat_message.h"
#include "tests/loopback/loopback_frontend.h"

static void seat_connect(struct loopback_seat *seat)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	seat->manager = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", seat->path);
	for (int ms = 0; ms < LOOPBACK_TIMEOUT_MS; ms++) {
		if (connect(seat->manager, (const struct sockaddr *)&address, sizeof(address)) == 0)
			return;
		if (seat->process.pid && !loopback_process_is_running(&seat->process))
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	loopback_die("gpudom-seat does not listen at %s: %s", seat->path,
	    seat->process.pid ? loopback_process_output(&seat->process) : strerror(errno));
}

void loopback_seat_start(struct loopback_seat *seat, const char *output, const char *option)
{
	char program[512];

	loopback_process_path("gpudom-seat", program, sizeof(program));
	loopback_seat_run(seat, program, output, option);
}

void loopback_seat_join(struct loopback_seat *seat, const char *path)
{
	snprintf(seat->path, sizeof(seat->path), "%s", path);
	seat_connect(seat);
}

pid_t loopback_seat_pid(const struct loopback_seat *seat)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	getsockopt(seat->manager, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	return peer.pid;
}

void loopback_seat_run(
    struct loopback_seat *seat, const char *program, const char *output, const char *option)
{
	char config[128], config_option[160], socket_option[128], mode[64];
	const char *const argv[] = { program, "--backend=memory", config_option, socket_option,
		mode, option, NULL };
	int fd;

	if (!*seat->directory) {
		snprintf(seat->directory, sizeof(seat->directory), "/tmp/gpudom-seat-XXXXXX");
		if (!mkdtemp(seat->directory))
			loopback_die("cannot make a directory: %s", strerror(errno));
		snprintf(seat->path, sizeof(seat->path), "%s/seat", seat->directory);
	}
	snprintf(config, sizeof(config), "%s/seat.conf", seat->directory);
	fd = open(config, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	snprintf(config_option, sizeof(config_option), "--config=%s", config);
	snprintf(socket_option, sizeof(socket_option), "--socket=%s", seat->path);
	snprintf(mode, sizeof(mode), "--output=%s", output);
	if (loopback_process_spawn(&seat->process, argv, true) < 0)
		loopback_die("cannot start %s", program);
	seat_connect(seat);
}

void loopback_seat_stop(struct loopback_seat *seat, int signal)
{
	char config[128];

	if (seat->manager >= 0)
		close(seat->manager);
	seat->manager = -1;
	if (!seat->process.pid)
		return;
	loopback_process_end(&seat->process, signal);
	snprintf(config, sizeof(config), "%s/seat.conf", seat->directory);
	unlink(config);
	unlink(seat->path);
	rmdir(seat->directory);
	*seat->directory = '\0';
}

struct json_object *loopback_seat_command(
    struct loopback_seat *seat, const char *command, int fd, int *answer_fd)
{
	static char text[SEAT_COMMAND_MAX + 1];
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (void *)command, strlen(command) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct json_object *answer, *ok;
	ssize_t n;

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	if (sendmsg(seat->manager, &message, MSG_NOSIGNAL) < 0)
		loopback_die("gpudom-seat: %s", strerror(errno));
	iov = (struct iovec){ text, SEAT_COMMAND_MAX };
	message = (struct msghdr){ .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	n = recvmsg(seat->manager, &message, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		loopback_die(
		    "gpudom-seat does not answer: %s", loopback_process_output(&seat->process));
	text[n] = '\0';
	if (answer_fd) {
		*answer_fd = -1;
		if (CMSG_FIRSTHDR(&message))
			memcpy(answer_fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	}
	answer = json_tokener_parse(text);
	if (!json_object_object_get_ex(answer, "ok", &ok) || !json_object_get_boolean(ok))
		loopback_die("gpudom-seat: %s: %s", command, text);
	return answer;
}

int loopback_seat_add(struct loopback_seat *seat, const char *guest)
{
	char command[256];
	int pair[2];

	snprintf(command, sizeof(command),
	    "{\"command\":\"add\",\"guest\":\"%s\",\"domain\":1,\"device\":0,\"kind\":\"gpu\"}",
	    guest);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		loopback_die("no sockets: %s", strerror(errno));
	json_object_put(loopback_seat_command(seat, command, pair[1], NULL));
	close(pair[1]);
	return pair[0];
}

static uint32_t number_of(struct json_object *object, const char *name)
{
	struct json_object *member;

	if (!json_object_object_get_ex(object, name, &member))
		loopback_die("gpudom-seat says no \"%s\"", name);
	return (uint32_t)json_object_get_int64(member);
}

uint32_t *loopback_seat_capture(
    struct loopback_seat *seat, const char *guest, uint32_t width, uint32_t height)
{
	uint32_t *pixels = malloc((size_t)width * height * 4);
	struct json_object *answer;
	char command[256];
	uint32_t stride;
	uint8_t *map;
	int fd;

	snprintf(command, sizeof(command),
	    "{\"command\":\"capture\",\"guest\":\"%s\",\"scanout\":0}", guest);
	answer = loopback_seat_command(seat, command, -1, &fd);
	stride = number_of(answer, "stride");
	if (number_of(answer, "width") != width || number_of(answer, "height") != height)
		loopback_die("%u x %u are to be seen", number_of(answer, "width"),
		    number_of(answer, "height"));
	json_object_put(answer);
	map = mmap(NULL, (size_t)stride * height, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		loopback_die("cannot map the picture: %s", strerror(errno));
	for (uint32_t y = 0; y < height; y++)
		memcpy(pixels + (size_t)y * width, map + (size_t)y * stride, (size_t)width * 4);
	for (size_t i = 0; i < (size_t)width * height; i++)
		pixels[i] &= 0xffffff;
	munmap(map, (size_t)stride * height);
	close(fd);
	return pixels;
}

char *loopback_seat_path(struct loopback_seat *seat, const char *guest)
{
	struct json_object *answer =
	    loopback_seat_command(seat, "{\"command\":\"status\"}", -1, NULL);
	struct json_object *views, *view, *member;
	char *path = NULL;

	if (!json_object_object_get_ex(answer, "views", &views))
		loopback_die("gpudom-seat says nothing of views");
	for (size_t i = 0; !path && i < json_object_array_length(views); i++) {
		view = json_object_array_get_idx(views, i);
		if (json_object_object_get_ex(view, "guest", &member) &&
		    strcmp(json_object_get_string(member), guest) == 0 &&
		    json_object_object_get_ex(view, "path", &member))
			path = strdup(json_object_get_string(member));
	}
	json_object_put(answer);
	return path ? path : strdup("no such view");
}
