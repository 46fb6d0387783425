/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "render/seat_client_private.h"

/* In one turn of the loop; then others have theirs. */
#define TURN_MESSAGES 32
#define TURN_BYTES (1u << 20)

/* ---------------------------------------------------------------- life's end */

static void client_drop_fds(struct seat_client *client)
{
	while (client->fd_count)
		close(client->fds[--client->fd_count]);
}

int client_take_fd(struct seat_client *client)
{
	return client->fd_count ? client->fds[--client->fd_count] : -1;
}

void client_fail(struct seat_client *client, const char *why)
{
	if (client->failed)
		return;
	client->failed = true;
	if (why)
		log_warning("guest %s: its GPU's display is hung up on: %s", client->guest, why);
	/* Not from within whatever it is that we are in. */
	sd_event_source_set_enabled(client->io, SD_EVENT_OFF);
	sd_event_source_set_enabled(client->next, SD_EVENT_ONESHOT);
}

void client_refuse(struct seat_client *client, const char *what, int error)
{
	client->refused++;
	log_guest(&client->limit, "guest %s: %s: %s", client->guest, what, strerror(-error));
}

/* ---------------------------------------------------------------- sending */

/* So much is unread that nothing more is taken. Then what can still come is bounded: 64 buffers'
 * releases, 16 scan-outs' frames, and the answer to the message that was taken last. */
static bool client_may_read(const struct seat_client *client)
{
	return !client->failed && client->out_used < CLIENT_OUT_FULL &&
	       client->passed_count < CLIENT_PASSED_MAX - 1 && !client->blocked;
}

void client_watch(struct seat_client *client)
{
	const bool unsent = client->out_used;

	if (client->failed)
		return;
	client->blocked = client_is_ahead(client);
	sd_event_source_set_io_events(
	    client->io, (client_may_read(client) ? EPOLLIN : 0) | (unsent ? EPOLLOUT : 0));
}

static void client_sent(struct seat_client *client, size_t n, bool passed)
{
	if (passed) {
		close(client->passed[0].fd);
		client->passed_count--;
		memmove(client->passed, client->passed + 1,
		    client->passed_count * sizeof(*client->passed));
	}
	for (unsigned i = 0; i < client->passed_count; i++)
		client->passed[i].at -= n;
	client->out_used -= n;
	memmove(client->out, client->out + n, client->out_used);
}

static ssize_t client_send_some(struct seat_client *client, bool *passed)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { client->out, client->out_used };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	*passed = client->passed_count && !client->passed[0].at;
	if (*passed) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &client->passed[0].fd, sizeof(int));
	}
	/* A descriptor goes with the first byte of what is sent. */
	if (client->passed_count > *passed)
		iov.iov_len = client->passed[*passed].at;
	return sendmsg(client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void client_flush(struct seat_client *client)
{
	while (client->out_used && !client->failed) {
		bool passed;
		const ssize_t n = client_send_some(client, &passed);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			client_fail(
			    client, errno == EPIPE || errno == ECONNRESET ? NULL : strerror(errno));
			return;
		}
		client_sent(client, (size_t)n, passed);
	}
	if (!client->out_used && client->modes_due && !client->failed) {
		client->modes_due = false;
		client_send(client, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	}
	client_watch(client);
}

void client_send(struct seat_client *client, uint32_t request, uint32_t flags, const void *payload,
    uint32_t size, int fd)
{
	const struct gpu_message_header header = {
		.request = request, .flags = flags, .size = size
	};

	if (client->failed)
		goto drop;
	if (CLIENT_OUT_MAX - client->out_used < sizeof(header) + size ||
	    (fd >= 0 && client->passed_count == CLIENT_PASSED_MAX)) {
		client_fail(client, "it does not read what it is told");
		goto drop;
	}
	if (fd >= 0) {
		client->passed[client->passed_count].at = client->out_used;
		client->passed[client->passed_count++].fd = fd;
	}
	memcpy(client->out + client->out_used, &header, sizeof(header));
	if (size)
		memcpy(client->out + client->out_used + sizeof(header), payload, size);
	client->out_used += sizeof(header) + size;
	client_flush(client);
	return;

drop:
	if (fd >= 0)
		close(fd);
}

/* ---------------------------------------------------------------- receiving */

static void client_keep_fds(struct seat_client *client, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (client->fd_count == CLIENT_FDS_MAX)
				close(fd);
			else
				client->fds[client->fd_count++] = fd;
		}
	}
}

/* Up to @size bytes: what came; 0: nothing now, or it has failed. */
static size_t client_receive(struct seat_client *client, void *to, size_t size)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(CLIENT_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { to, size };
	struct msghdr message = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	do
		n = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno != EAGAIN)
			client_fail(client, errno == ECONNRESET ? NULL : strerror(errno));
		return 0;
	}
	client_keep_fds(client, &message);
	if (n == 0)
		client_fail(client, client->header_size ? "it ended within a message" : NULL);
	return (size_t)n;
}

static void client_check_header(struct seat_client *client)
{
	uint32_t least, most;

	/* "a reply bit": only we reply. */
	if (client->header.flags & GPU_MESSAGE_FLAG_REPLY)
		client_fail(client, "an answer that nobody asked for");
	else if (!client_bounds(client, client->header.request, &least, &most))
		client_fail(client, "a message of an unknown type");
	else if (client->header.size < least || client->header.size > most)
		client_fail(client, "a message of a wrong size");
}

static void client_done(struct seat_client *client)
{
	client->messages++;
	if (client->update.active)
		client_end_update(client);
	else
		client_take(client);
	client->update.active = false;
	client->header_size = client->payload_size = 0;
	/* Those that nobody has taken. */
	client_drop_fds(client);
}

/* One step: a header, a payload or a part of either. False: there is no more now. */
static bool client_step(struct seat_client *client, size_t *budget)
{
	const size_t head = sizeof(struct gpu_message_update);
	uint8_t *to = client->in + client->payload_size;
	size_t size, n;

	if (client->header_size < sizeof(client->header)) {
		n = client_receive(client, (uint8_t *)&client->header + client->header_size,
		    sizeof(client->header) - client->header_size);
		client->header_size += n;
		if (client->header_size == sizeof(client->header)) {
			client_check_header(client);
			if (!client->failed && !client->header.size)
				client_done(client);
		}
		*budget -= n < *budget ? n : *budget;
		return n;
	}
	size = client->header.size - client->payload_size;
	if (client->update.active)
		to = client_update_room(client, &size);
	else if (client->header.request == GPU_MESSAGE_UPDATE)
		size = head - client->payload_size;
	n = client_receive(client, to, size);
	client->payload_size += n;
	if (client->update.active)
		client->update.done += n;
	else if (n && client->header.request == GPU_MESSAGE_UPDATE && client->payload_size == head)
		client_begin_update(client);
	if (!client->failed && n && client->payload_size == client->header.size)
		client_done(client);
	*budget -= n < *budget ? n : *budget;
	return n;
}

static int client_on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct seat_client *client = data;
	const uint64_t until = client->messages + TURN_MESSAGES;
	size_t budget = TURN_BYTES;

	if (events & EPOLLOUT)
		client_flush(client);
	while (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && client_may_read(client) &&
	       client->messages < until && budget && client_step(client, &budget))
		client_watch(client);
	/* It has hung up, and will not read what is left. */
	if (events & (EPOLLHUP | EPOLLERR) && !client_may_read(client))
		client_fail(client, NULL);
	client_watch(client);
	return 0;
}

static int client_on_next(sd_event_source *source, void *data)
{
	struct seat_client *client = data;

	if (client->failed)
		client->options.closed(client->options.data, client);
	return 0;
}

/* ---------------------------------------------------------------- the seat */

static void client_on_shown(
    void *data, unsigned scanout, uint64_t serial, uint64_t time_ns, uint64_t sequence)
{
	struct seat_client *client = data;
	const struct seat_shown shown = {
		.scanout = scanout, .serial = serial, .time_ns = time_ns, .sequence = sequence
	};

	if (client->features & GPU_MESSAGE_F_SEAT)
		client_send(client, SEAT_MESSAGE_SHOWN, 0, &shown, sizeof(shown), -1);
	else
		client_frames_shown(client, scanout);
}

static void client_on_released(void *data, uint32_t id)
{
	struct seat_client *client = data;
	const struct seat_free released = { .id = id };

	if (client->features & GPU_MESSAGE_F_SEAT)
		client_send(client, SEAT_MESSAGE_RELEASED, 0, &released, sizeof(released), -1);
	else
		client_frames_released(client, id);
}

static void client_on_modes_changed(void *data)
{
	struct seat_client *client = data;

	/* Without F_SEAT there is no such message: the front end tells its device otherwise. One
	 * is as good as several. */
	client->modes_due = client->features & GPU_MESSAGE_F_SEAT;
	client_flush(client);
}

/* ---------------------------------------------------------------- life time */

const char *seat_client_guest(const struct seat_client *client)
{
	return client->guest;
}

struct json_object *seat_client_describe(const struct seat_client *client)
{
	struct json_object *object = json_object_new_object();

	if (!object)
		return NULL;
	json_object_object_add(object, "guest", json_object_new_string(client->guest));
	if (client->options.domain >= 0)
		json_object_object_add(
		    object, "domain", json_object_new_int(client->options.domain));
	json_object_object_add(
	    object, "device", json_object_new_int((int32_t)client->options.device));
	json_object_object_add(object, "kind", json_object_new_string("gpu"));
	json_object_object_add(object, "protocol",
	    json_object_new_string(
		client->features & GPU_MESSAGE_F_SEAT ? "seat" : "vhost-user-gpu"));
	json_object_object_add(
	    object, "buffers", json_object_new_int((int32_t)seat_source_buffers(client->source)));
	json_object_object_add(
	    object, "bytes", json_object_new_uint64(seat_source_bytes(client->source)));
	json_object_object_add(object, "messages", json_object_new_uint64(client->messages));
	json_object_object_add(object, "refused", json_object_new_uint64(client->refused));
	return object;
}

int seat_client_create(const struct seat_client_options *options, int fd, struct seat_client **out)
{
	const struct seat_source_listener listener = {
		.shown = client_on_shown,
		.released = client_on_released,
		.modes_changed = client_on_modes_changed,
	};
	struct seat_source_listener mine = listener;
	struct seat_client *client = calloc(1, sizeof(*client));
	int error;

	if (!client)
		return -ENOMEM;
	client->options = *options;
	snprintf(client->guest, sizeof(client->guest), "%s", options->guest);
	client->options.guest = client->guest;
	client->fd = -1;
	mine.data = client;
	error = sd_event_add_io(options->event, &client->io, fd, EPOLLIN, client_on_io, client);
	if (error >= 0)
		error = sd_event_add_defer(options->event, &client->next, client_on_next, client);
	if (error >= 0)
		error = sd_event_source_set_enabled(client->next, SD_EVENT_OFF);
	if (error >= 0)
		error = seat_attach(options->seat, client->guest, &mine, &client->source);
	if (error < 0) {
		seat_client_destroy(client);
		return error;
	}
	client->fd = fd;
	*out = client;
	return 0;
}

void seat_client_destroy(struct seat_client *client)
{
	if (!client)
		return;
	client->failed = true; /* nothing is said any more */
	client_frames_finish(client);
	seat_detach(client->source);
	sd_event_source_disable_unref(client->io);
	sd_event_source_disable_unref(client->next);
	client_drop_fds(client);
	for (unsigned i = 0; i < client->passed_count; i++)
		close(client->passed[i].fd);
	if (client->fd >= 0)
		close(client->fd);
	free(client);
}
