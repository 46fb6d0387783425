/* SPDX-License-Identifier: MIT */
#include "tools/ctl_client.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "xen/control.h"

#define ANSWER_MAX (16u << 20) /* of a line: gpudomd writes what we read, still it is checked */
#define TIMEOUT_SECONDS 10

/* -------------------------------------------------------------- what goes wrong */

static void ctl_client_say(const struct ctl_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void ctl_client_say(const struct ctl_client *client, const char *format, ...)
{
	va_list args;

	if (client->quiet)
		return;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
}

static int ctl_say_no_permission(const struct ctl_client *client)
{
	const struct group *group = NULL;
	struct stat status;

	if (stat(client->path, &status) == 0 && status.st_gid && (status.st_mode & 0060))
		group = getgrgid(status.st_gid);
	ctl_client_say(client, "gpudomctl: you may not use gpudomd's socket %s.\n", client->path);
	if (group)
		ctl_client_say(client,
		    "Be root, or join the group that may: usermod -a -G %s USER, and log in again.\n",
		    group->gr_name);
	else
		ctl_client_say(
		    client, "Be root; or let a group in: see --control-group in gpudomd(8).\n");
	return CTL_EXIT_UNREACHABLE;
}

static int ctl_say_unreachable(const struct ctl_client *client, int error)
{
	if (error == EACCES || error == EPERM)
		return ctl_say_no_permission(client);
	if (error == ENOENT || error == ECONNREFUSED)
		ctl_client_say(client,
		    "gpudomctl: gpudomd does not run: nobody listens at %s.\n"
		    "Start it: systemctl start gpudomd. 'gpudomctl doctor' says what it lacks.\n",
		    client->path);
	else
		ctl_client_say(client, "gpudomctl: cannot reach gpudomd at %s: %s\n", client->path,
		    strerror(error));
	return CTL_EXIT_UNREACHABLE;
}

static int ctl_say_lost(const struct ctl_client *client, int error)
{
	if (error == EAGAIN)
		ctl_client_say(client,
		    "gpudomctl: gpudomd has not answered for %d s: it hangs, or is very busy.\n"
		    "See its log: journalctl -u gpudomd\n",
		    TIMEOUT_SECONDS);
	else if (error == EPIPE || error == ECONNRESET || !error)
		ctl_client_say(client, "gpudomctl: gpudomd has ended, or closed %s; try again.\n",
		    client->path);
	else
		ctl_client_say(client, "gpudomctl: %s: %s\n", client->path, strerror(error));
	return CTL_EXIT_UNREACHABLE;
}

/* A guest that is not there: those that are. */
static void ctl_say_guests(const struct ctl_client *client, struct json_object *guests)
{
	size_t count = json_object_array_length(guests);

	ctl_client_say(client, "%s", count ? "There are:" : "It serves none now.");
	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_object_array_get_idx(guests, i), *name, *domid;
		bool named;

		if (!json_object_object_get_ex(one, "name", &name) ||
		    !json_object_object_get_ex(one, "domid", &domid))
			continue;
		named = json_object_get_string_len(name) > 0;
		ctl_client_say(client, "%s %s%sdomain %d%s", i ? "," : "",
		    json_object_get_string(name), named ? " (" : "", json_object_get_int(domid),
		    named ? ")" : "");
	}
	ctl_client_say(client, "%s\n", count ? "." : "");
}

static int ctl_say_error(const struct ctl_client *client, struct json_object *error)
{
	struct json_object *message, *guests;

	ctl_client_say(client, "gpudomctl: %s\n",
	    json_object_object_get_ex(error, "message", &message) ? json_object_get_string(message)
								  : "gpudomd refuses it");
	if (json_object_object_get_ex(error, "guests", &guests) &&
	    json_object_is_type(guests, json_type_array))
		ctl_say_guests(client, guests);
	return CTL_EXIT_REFUSED;
}

/* ------------------------------------------------------------------------ lines */

static int ctl_client_grow(struct ctl_client *client)
{
	size_t size = client->size ? 2 * client->size : 16384;
	char *received;

	if (client->used < client->size)
		return 0;
	received = size <= ANSWER_MAX ? realloc(client->received, size) : NULL;
	if (!received) {
		errno = EMSGSIZE;
		return -1;
	}
	client->received = received;
	client->size = size;
	return 0;
}

static void ctl_client_take_fd(struct ctl_client *client, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (client->passed_fd >= 0)
			close(client->passed_fd);
		memcpy(&client->passed_fd, CMSG_DATA(c), sizeof(int));
	}
}

/* As recv(2). */
static ssize_t ctl_client_receive(struct ctl_client *client)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec piece;
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (ctl_client_grow(client) < 0)
		return -1;
	piece = (struct iovec){ client->received + client->used, client->size - client->used };
	do
		n = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		ctl_client_take_fd(client, &message);
	return n;
}

/* The next line's object, the caller's. 0, or the exit status. */
static int ctl_client_read(struct ctl_client *client, struct json_object **object)
{
	char *end;

	while (!(end = client->used ? memchr(client->received, '\n', client->used) : NULL)) {
		ssize_t n = ctl_client_receive(client);

		if (n <= 0)
			return ctl_say_lost(client, n ? errno : 0);
		client->used += (size_t)n;
	}
	*end = '\0';
	*object = json_tokener_parse(client->received);
	client->used -= (size_t)(end + 1 - client->received);
	memmove(client->received, end + 1, client->used);
	if (json_object_is_type(*object, json_type_object))
		return 0;
	json_object_put(*object);
	ctl_client_say(client, "gpudomctl: what listens at %s does not answer as gpudomd does\n",
	    client->path);
	return CTL_EXIT_UNREACHABLE;
}

static int ctl_client_write(struct ctl_client *client, struct json_object *object)
{
	char line[CONTROL_LINE_MAX];
	int length = snprintf(line, sizeof(line), "%s\n",
	    json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	ssize_t n;

	if (length < 0 || (size_t)length >= sizeof(line)) {
		fputs("gpudomctl: that is too long for gpudomd\n", stderr);
		return CTL_EXIT_ERROR;
	}
	n = send(client->fd, line, (size_t)length, MSG_NOSIGNAL);
	return n == length ? 0 : ctl_say_lost(client, n < 0 ? errno : EAGAIN);
}

/* ------------------------------------------------------------------ conversation */

static int ctl_client_connect(struct ctl_client *client)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(client->path) >= sizeof(address.sun_path))
		return ctl_say_unreachable(client, ENAMETOOLONG);
	memcpy(address.sun_path, client->path, strlen(client->path));
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0 ||
	    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return ctl_say_unreachable(client, errno);
	return 0;
}

static int ctl_client_check_greeting(struct ctl_client *client)
{
	struct json_object *value;

	if (json_object_object_get_ex(client->greeting, "error", &value))
		return ctl_say_error(client, value);
	if (json_object_object_get_ex(client->greeting, "gpudom", &value) &&
	    json_object_get_int(value) == CONTROL_VERSION)
		return 0;
	ctl_client_say(client,
	    "gpudomctl: the gpudomd at %s speaks another version of the protocol: use the gpudomctl "
	    "that came with it\n",
	    client->path);
	return CTL_EXIT_UNREACHABLE;
}

static int ctl_client_begin(struct ctl_client *client)
{
	int status = ctl_client_connect(client);

	if (!status)
		status = ctl_client_read(client, &client->greeting);
	if (!status)
		status = ctl_client_check_greeting(client);
	if (status)
		ctl_client_close(client);
	return status;
}

int ctl_client_open(struct ctl_client *client, const char *path)
{
	*client = (struct ctl_client){
		.path = path ? path : CONTROL_PATH,
		.fd = -1,
		.passed_fd = -1,
	};
	return ctl_client_begin(client);
}

int ctl_client_reopen(struct ctl_client *client)
{
	ctl_client_close(client);
	return ctl_client_begin(client);
}

void ctl_client_close(struct ctl_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	if (client->passed_fd >= 0)
		close(client->passed_fd);
	json_object_put(client->greeting);
	free(client->received);
	client->fd = client->passed_fd = -1;
	client->greeting = NULL;
	client->received = NULL;
	client->used = client->size = 0;
}

struct json_object *ctl_client_request(const char *command, const char *guest)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "command", json_object_new_string(command));
	if (guest)
		json_object_object_add(request, "guest", json_object_new_string(guest));
	return request;
}

int ctl_client_ask(
    struct ctl_client *client, struct json_object *request, struct json_object **result, int *fd)
{
	struct json_object *answer, *error;
	int status = ctl_client_write(client, request);

	json_object_put(request);
	if (!status)
		status = ctl_client_read(client, &answer);
	if (status)
		return status;
	if (json_object_object_get_ex(answer, "error", &error))
		status = ctl_say_error(client, error);
	else if (json_object_object_get_ex(answer, "result", result))
		json_object_get(*result);
	else
		status = ctl_say_lost(client, EPROTO);
	json_object_put(answer);
	if (fd) {
		*fd = client->passed_fd;
		client->passed_fd = -1;
	}
	return status;
}

int ctl_client_ask_once(const char *path, struct json_object *request, struct json_object **result)
{
	struct ctl_client client;
	int status = ctl_client_open(&client, path);

	if (status) {
		json_object_put(request);
		return status;
	}
	status = ctl_client_ask(&client, request, result, NULL);
	ctl_client_close(&client);
	return status;
}
