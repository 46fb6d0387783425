/* SPDX-License-Identifier: MIT */
#include "tools/worker_control.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/worker_message.h"

#define FDS_MAX 4 /* more than any message has */

/* One packet. 1 with *@fd (-1: none came with it); 0: nothing that we know; -errno. */
static int receive(int socket, struct worker_message *message, int *fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec piece = { message, sizeof(*message) };
	struct msghdr packet = { .msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(socket, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENOTCONN;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&packet); c; c = CMSG_NXTHDR(&packet, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int received;

			memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*fd >= 0)
				close(received);
			else
				*fd = received;
		}
	}
	if (n == sizeof(*message) && message->size == sizeof(*message) &&
	    !(packet.msg_flags & MSG_TRUNC))
		return 1;
	log_warning("gpudomd is of another build than this worker: what it says is ignored");
	return 0;
}

static void start_trace(struct worker_control *control, int fd)
{
	int error = fd < 0 ? -EBADF : trace_start(control->options.trace, fd);

	if (error)
		log_error("cannot write a trace: %s", strerror(-error));
}

/* Takes *@fd, where it does, by making it -1. */
static void act(struct worker_control *control, const struct worker_message *message, int *fd)
{
	switch (message->type) {
	case WORKER_SET_LIMITS:
		if (control->options.set_limits)
			control->options.set_limits(control->options.data, &message->limits);
		break;
	case WORKER_LOG_LEVEL:
		if (message->value <= LOG_LEVEL_DEBUG)
			log_set_level((enum log_level)message->value);
		break;
	case WORKER_TRACE_START:
		start_trace(control, *fd);
		break;
	case WORKER_TRACE_STOP:
		trace_stop(control->options.trace);
		break;
	case WORKER_SET_SEAT:
		if (!control->options.set_seat || *fd < 0)
			break;
		control->options.set_seat(control->options.data, *fd);
		*fd = -1;
		break;
	default: /* a later build's */
		break;
	}
}

static int control_readable(sd_event_source *source, int socket, uint32_t events, void *data)
{
	struct worker_control *control = data;
	struct worker_message message;
	int fd, r = receive(socket, &message, &fd);

	if (r > 0)
		act(control, &message, &fd);
	if (fd >= 0)
		close(fd);
	if (r >= 0 || r == -EAGAIN || r == -EINTR)
		return 0;
	/* Nobody is left to say anything. Whether the guest is served is another's business. */
	control->source = sd_event_source_disable_unref(control->source);
	return 0;
}

int worker_control_init(
    struct worker_control *control, const struct worker_control_options *options, int fd)
{
	int error;

	*control = (struct worker_control){ .options = *options };
	if (fd < 0)
		return 0;
	error = sd_event_add_io(
	    options->event, &control->source, fd, EPOLLIN, control_readable, control);
	if (error < 0)
		return error;
	sd_event_source_set_io_fd_own(control->source, true);
	return 0;
}

void worker_control_finish(struct worker_control *control)
{
	control->source = sd_event_source_disable_unref(control->source);
}
