/* SPDX-License-Identifier: MIT */
#include "tools/worker_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "backend/input.h"

#define PACKETS_AT_ONCE 64 /* before the guest has its turn */

static size_t packet_size(unsigned count)
{
	return offsetof(struct seat_input_packet, events) + count * sizeof(struct seat_input_event);
}

/* ---------------------------------------------------------------- to the seat */

static void watch(struct worker_input *input, uint32_t events)
{
	sd_event_source_set_io_events(input->seat, events);
}

/* What the seat has no room for now it is told, with all else, when it has. */
static void on_status(void *data, const struct seat_input_event *events, unsigned count)
{
	struct worker_input *input = data;
	struct seat_input_packet packet = { .count = count };

	if (!input->seat)
		return;
	memcpy(packet.events, events, count * sizeof(*events));
	if (send(sd_event_source_get_io_fd(input->seat), &packet, packet_size(count),
		MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    errno == EAGAIN)
		watch(input, EPOLLIN | EPOLLOUT);
}

/* ---------------------------------------------------------------- from the seat */

static void leave_seat(struct worker_input *input)
{
	if (!input->seat)
		return;
	input->seat = sd_event_source_disable_unref(input->seat);
	input_release(input->device);
}

/* One packet. 0: there is none; -ENOTCONN: there will be none. */
static int receive(struct worker_input *input, int fd)
{
	struct seat_input_packet packet;
	ssize_t n = recv(fd, &packet, sizeof(packet), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ENOTCONN;
	if (n == 0)
		return -ENOTCONN;
	if ((size_t)n < packet_size(0) || packet.count > SEAT_INPUT_EVENTS_MAX ||
	    (size_t)n != packet_size(packet.count) ||
	    input_send(input->device, packet.events, packet.count) < 0)
		log_guest(&input->limit, "the seat sends what is no frame of events: ignored");
	return 1;
}

static int on_seat(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker_input *input = data;
	int r = 1;

	if (events & EPOLLOUT) {
		watch(input, EPOLLIN);
		input_repeat_status(input->device);
	}
	for (int i = 0; r > 0 && i < PACKETS_AT_ONCE; i++)
		r = receive(input, fd);
	if (r < 0) {
		log_info("the seat is gone: what was held down is released");
		leave_seat(input);
	}
	return 0;
}

int worker_input_set_seat(struct worker_input *input, int fd)
{
	int type = 0, r;
	socklen_t size = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET) {
		log_error("the seat's descriptor %d is no SOCK_SEQPACKET socket", fd);
		return -ENOTSOCK;
	}
	leave_seat(input);
	r = sd_event_add_io(input->event, &input->seat, fd, EPOLLIN, on_seat, input);
	if (r < 0) {
		log_error("cannot listen to the seat: %s", strerror(-r));
		return r;
	}
	sd_event_source_set_io_fd_own(input->seat, true);
	input_repeat_status(input->device);
	return 0;
}

/* ---------------------------------------------------------------- */

int worker_input_init(struct worker_input *input, sd_event *event, enum seat_input_kind kind)
{
	const struct input_options options = { .kind = kind,
		.serial = seat_input_kind_name(kind),
		.status = on_status,
		.data = input };

	*input = (struct worker_input){ .event = event };
	return input_create(&options, &input->device);
}

void worker_input_finish(struct worker_input *input)
{
	if (input->device)
		leave_seat(input);
}

void worker_input_format_statistics(struct worker_input *input, char *text, size_t size)
{
	struct input_statistics s;

#define U(value) ((unsigned long long)(value))
	input_get_statistics(input->device, &s);
	snprintf(text, size,
	    "frames=%llu events=%llu frames_lost=%llu resyncs=%llu waiting=%u status=%llu errors=%llu",
	    U(s.frames), U(s.events), U(s.frames_lost), U(s.resyncs), s.waiting, U(s.status),
	    U(s.errors));
#undef U
}
