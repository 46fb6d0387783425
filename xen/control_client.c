/* SPDX-License-Identifier: MIT */
/*
 * One connection to the control socket. The next request is looked at when the answer to the last
 * one has been read: so what waits for a client is never more than one answer, and one that asks
 * faster than it reads waits for itself. One that reads nothing for a while is closed.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xen/control_private.h"

/* Wake-ups by one client, and requests of it, in so long: one that asks as fast as it can takes no
 * more of this process than that. */
#define WAKES_MAX 2000
#define WAKES_USEC 1000000

struct control_client {
	struct control_client_options options;
	int fd;
	sd_event_source *io, *next, *stall;
	char line[CONTROL_LINE_MAX]; /* received, and not yet answered */
	size_t received;
	bool ending; /* it sends no more, or is not listened to any more */
	char *unsent;
	size_t sent, size;         /* of unsent */
	int pass_fd;               /* that goes with its first byte; -1: none */
	struct control_call *call; /* that is answered later; NULL: none */
};

static void control_client_answered(void *data, char *line, int fd);

static void control_client_close(struct control_client *client)
{
	client->options.closed(client->options.data, client);
}

/* ------------------------------------------------------------------- answers */

static void control_client_forget_answer(struct control_client *client)
{
	free(client->unsent);
	client->unsent = NULL;
	client->sent = client->size = 0;
	if (client->pass_fd >= 0)
		close(client->pass_fd);
	client->pass_fd = -1;
}

static ssize_t control_client_send(struct control_client *client)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec piece = { client->unsent + client->sent, client->size - client->sent };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (client->pass_fd >= 0) {
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &client->pass_fd, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sendmsg(client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* 0: all is sent; -EAGAIN: the client must read first; else it is of no use. */
static int control_client_flush(struct control_client *client)
{
	while (client->sent < client->size) {
		ssize_t n = control_client_send(client);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		client->sent += (size_t)n;
		if (client->pass_fd >= 0)
			close(client->pass_fd);
		client->pass_fd = -1;
	}
	control_client_forget_answer(client);
	return 0;
}

static int control_client_stalled(sd_event_source *source, uint64_t usec, void *data)
{
	control_client_close(data);
	return 0;
}

/* ------------------------------------------------------------------ requests */

/* The first @length bytes that were received, and a newline, are done with. */
static void control_client_drop(struct control_client *client, size_t length)
{
	client->received -= length + (length < client->received);
	memmove(client->line, client->line + length + 1, client->received);
}

/* Takes a line out of what was received; the last one needs no newline. False: there is no whole
 * one. */
static bool control_client_answer_line(struct control_client *client)
{
	const char *end = memchr(client->line, '\n', client->received);
	size_t length = end ? (size_t)(end - client->line) : client->received;

	if (!length && !end)
		return false;
	if (!end && client->received == CONTROL_LINE_MAX) {
		client->unsent = control_greet("line-too-long", "a request is too long");
		client->ending = true;
	} else if (!end && !client->ending) {
		return false;
	} else {
		client->unsent = control_answer(client->options.gpu_daemon, client->line, length,
		    &client->pass_fd, control_client_answered, client, &client->call);
	}
	client->size = client->unsent ? strlen(client->unsent) : 0;
	if (!client->unsent && !client->call)
		client->ending = true;
	control_client_drop(
	    client, (client->size || client->call) && end ? length : client->received);
	return true;
}

/* -ECONNRESET: it is of no use. */
static int control_client_receive(struct control_client *client)
{
	ssize_t n = recv(client->fd, client->line + client->received,
	    CONTROL_LINE_MAX - client->received, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ECONNRESET;
	client->ending = n == 0;
	client->received += (size_t)n;
	return 0;
}

/* What it waits for now. False: nothing any more, and it is closed. */
static bool control_client_wait(struct control_client *client)
{
	bool unsent = client->size != 0, waits = client->call != NULL;
	bool more =
	    memchr(client->line, '\n', client->received) || (client->ending && client->received);

	if (!unsent && !more && !waits && client->ending) {
		control_client_close(client);
		return false;
	}
	sd_event_source_set_io_events(client->io, unsent ? EPOLLOUT : more || waits ? 0 : EPOLLIN);
	/* The next line has its turn after what guests want now. */
	sd_event_source_set_enabled(
	    client->next, !unsent && more && !waits ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	if (unsent)
		sd_event_source_set_time_relative(client->stall, client->options.stall_usec);
	sd_event_source_set_enabled(client->stall, unsent ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	return true;
}

/* One step: the rest of an answer, or one request. */
static void control_client_go_on(struct control_client *client)
{
	int error = control_client_flush(client);

	if (!error && control_client_answer_line(client))
		error = control_client_flush(client);
	if (error && error != -EAGAIN)
		control_client_close(client);
	else
		control_client_wait(client);
}

/* The answer that it has waited for. */
static void control_client_answered(void *data, char *line, int fd)
{
	struct control_client *client = data;

	client->call = NULL;
	client->unsent = line;
	client->size = line ? strlen(line) : 0;
	client->pass_fd = fd;
	if (line)
		control_client_go_on(client);
	else
		control_client_close(client);
}

static int control_client_next(sd_event_source *source, void *data)
{
	control_client_go_on(data);
	return 0;
}

static int control_client_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct control_client *client = data;

	if (client->call) {
		/* It has hung up: nothing else is waited for. */
		control_client_close(client);
		return 0;
	}
	if ((events & EPOLLIN) && client->received < CONTROL_LINE_MAX && !client->ending &&
	    control_client_receive(client) < 0) {
		control_client_close(client);
		return 0;
	}
	control_client_go_on(client);
	return 0;
}

/* ----------------------------------------------------------------- life time */

static int control_client_watch(struct control_client *client)
{
	sd_event *event = client->options.event;
	int error;

	error = sd_event_add_io(event, &client->io, client->fd, EPOLLIN, control_client_io, client);
	if (error >= 0)
		error = sd_event_add_defer(event, &client->next, control_client_next, client);
	if (error >= 0)
		error = sd_event_add_time_relative(event, &client->stall, CLOCK_MONOTONIC,
		    client->options.stall_usec, 0, control_client_stalled, client);
	if (error < 0)
		return error;
	sd_event_source_set_enabled(client->stall, SD_EVENT_OFF);
	sd_event_source_set_enabled(client->next, SD_EVENT_ONESHOT); /* sends the greeting */
	error = sd_event_source_set_ratelimit(client->io, WAKES_USEC, WAKES_MAX);
	return error < 0 ? error
			 : sd_event_source_set_ratelimit(client->next, WAKES_USEC, WAKES_MAX);
}

int control_client_create(
    const struct control_client_options *options, int fd, struct control_client **out)
{
	struct control_client *client = calloc(1, sizeof(*client));
	int error = -ENOMEM;

	if (!client)
		return -ENOMEM;
	client->options = *options;
	client->fd = client->pass_fd = -1;
	client->unsent = control_greet(NULL, NULL);
	if (!client->unsent)
		goto error;
	client->size = strlen(client->unsent);
	client->fd = fd;
	error = control_client_watch(client);
	if (error < 0)
		goto error;
	*out = client;
	return 0;

error:
	client->fd = -1; /* still the caller's */
	control_client_destroy(client);
	return error;
}

void control_client_destroy(struct control_client *client)
{
	if (!client)
		return;
	sd_event_source_disable_unref(client->io);
	sd_event_source_disable_unref(client->next);
	sd_event_source_disable_unref(client->stall);
	control_cancel(client->call);
	control_client_forget_answer(client);
	if (client->fd >= 0)
		close(client->fd);
	free(client);
}
