/* SPDX-License-Identifier: MIT */
#include "backend/display_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/display_socket_private.h"
#include "backend/edid_read.h"

#define MODE_SIZE_MAX 16384

static struct display_socket *socket_from_display(struct display *display)
{
	return (struct display_socket *)display;
}

/* ---------------------------------------------------------------- what the device hears */

void socket_shown(struct display_socket *s, unsigned scanout, uint64_t serial)
{
	const struct display_listener *listener = &s->base.listener;

	if (listener->shown)
		listener->shown(listener->data, scanout, serial);
}

static void socket_modes_changed(struct display_socket *s)
{
	const struct display_listener *listener = &s->base.listener;

	if (listener->modes_changed)
		listener->modes_changed(listener->data);
}

void socket_landed(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];

	output->in_flight = false;
	if (output->flight_owed)
		socket_shown(s, scanout, output->flight_serial);
}

/* ---------------------------------------------------------------- the socket */

static void socket_close(struct display_socket *s)
{
	const bool asked = s->info_due || s->info_pending || s->edids_due || s->edids_pending;

	if (s->fd < 0)
		return;
	s->io = sd_event_source_disable_unref(s->io);
	close(s->fd);
	s->fd = -1;
	if (s->out_fd >= 0)
		close(s->out_fd);
	s->out_fd = -1;
	s->out_size = s->in_size = 0;
	while (s->in_fd_count)
		close(s->in_fds[--s->in_fd_count]);
	s->features_due = s->negotiated = false;
	s->info_due = s->info_pending = false;
	s->edids_due = s->edids_pending = s->updates_pending = 0;
	/* Nobody is left to wait for. @serial is that of the last flush. */
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		struct socket_output *output = &s->outputs[i];
		bool owed = output->owed || (output->in_flight && output->flight_owed);

		for (unsigned f = 0; f < output->seat.flight_count; f++)
			owed |= output->seat.flights[f].owed;
		output->seat.flight_count = 0;
		output->owed = output->in_flight = output->resend = false;
		if (owed)
			socket_shown(s, i, output->serial);
	}
	seat_reset(s);
	if (asked)
		socket_modes_changed(s);
}

static void socket_fail(struct display_socket *s, const char *why)
{
	log_warning("the %s is gone: %s",
	    s->features & GPU_MESSAGE_F_SEAT ? "connection to the seat" : "front end's display",
	    why);
	socket_close(s);
}

/* Sends what is left of the message. 0: all of it went. */
static int socket_send(struct display_socket *s)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };

	while (s->out_sent < s->out_size) {
		struct iovec iov = { s->out + s->out_sent, s->out_size - s->out_sent };
		struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (s->out_fd >= 0) {
			message.msg_control = control.bytes;
			message.msg_controllen = sizeof(control.bytes);
			control.header.cmsg_level = SOL_SOCKET;
			control.header.cmsg_type = SCM_RIGHTS;
			control.header.cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(&control.header), &s->out_fd, sizeof(int));
		}
		n = sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (s->out_fd >= 0)
			close(s->out_fd);
		s->out_fd = -1; /* it went with the first byte */
		s->out_sent += (size_t)n;
	}
	return 0;
}

/* A message is out: an inline frame is shown with that, a dma-buf when the answer comes. */
static void socket_sent(struct display_socket *s)
{
	const uint32_t scanout = s->out_frame;

	s->out_size = 0;
	if (scanout == NO_OUTPUT)
		return;
	if (s->outputs[scanout].told_dmabuf)
		s->updates[s->updates_pending++] = scanout;
	else
		socket_landed(s, scanout);
}

/* Writes as much as the socket takes. shown() may call back into us: one loop is enough. */
static void socket_write(struct display_socket *s)
{
	int r = 0;

	if (s->fd < 0 || s->writing)
		return;
	s->writing = true;
	while (s->fd >= 0 && (s->out_size || socket_compose_next(s))) {
		r = socket_send(s);
		if (r < 0)
			break;
		socket_sent(s);
	}
	s->writing = false;
	if (r < 0 && r != -EAGAIN)
		socket_fail(s, strerror(-r));
	else if (s->fd >= 0)
		sd_event_source_set_io_events(s->io, EPOLLIN | (r < 0 ? EPOLLOUT : 0));
}

/* ---------------------------------------------------------------- answers */

static uint32_t at_most(uint32_t value, uint32_t most)
{
	return value < most ? value : most;
}

static int socket_take_features(struct display_socket *s, const uint8_t *payload, size_t size)
{
	uint64_t features;

	if (size != sizeof(features) || s->negotiated || s->out_size)
		return -EPROTO;
	memcpy(&features, payload, sizeof(features));
	s->features = features & (GPU_MESSAGE_F_EDID | GPU_MESSAGE_F_DMABUF2 | GPU_MESSAGE_F_SEAT);
	s->negotiated = true;
	if (!socket_compose_copy(
		s, GPU_MESSAGE_SET_PROTOCOL_FEATURES, &s->features, sizeof(s->features)))
		return -ENOMEM;
	return 0;
}

/* Asks for the EDIDs of all outputs that are on. */
static void socket_ask_edids(struct display_socket *s)
{
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		if (s->modes[i].enabled && s->features & GPU_MESSAGE_F_EDID)
			s->edids_due |= UINT32_C(1) << i;
}

void socket_ask_all(struct display_socket *s)
{
	s->info_due = true;
	socket_ask_edids(s);
}

static bool socket_is_asking(const struct display_socket *s)
{
	return s->info_due || s->info_pending || s->edids_due || s->edids_pending;
}

/* What the EDID has said goes on being so for an output that is as it was. */
static struct display_mode socket_read_mode(
    const struct virtio_gpu_display_one *one, const struct display_mode *before)
{
	struct display_mode mode = {
		.enabled = one->enabled && one->r.width && one->r.height,
		.x = one->r.x,
		.y = one->r.y,
		.width = at_most(one->r.width, MODE_SIZE_MAX),
		.height = at_most(one->r.height, MODE_SIZE_MAX),
		.refresh = 60000,
	};

	if (mode.enabled && before->enabled && mode.width == before->width &&
	    mode.height == before->height) {
		mode.refresh = before->refresh;
		mode.width_mm = before->width_mm;
		mode.height_mm = before->height_mm;
		mode.edid = before->edid;
	}
	return mode;
}

static int socket_take_info(struct display_socket *s, const uint8_t *payload, size_t size)
{
	struct virtio_gpu_resp_display_info info;
	uint32_t on = 0, changed = 0;

	if (size != sizeof(info) || !s->info_pending)
		return -EPROTO;
	memcpy(&info, payload, sizeof(info));
	s->info_pending = false;
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		const struct display_mode before = s->modes[i];

		s->modes[i] = socket_read_mode(&info.pmodes[i], &before);
		if (!s->modes[i].enabled || !(s->features & GPU_MESSAGE_F_EDID))
			continue;
		on |= UINT32_C(1) << i;
		if (!before.enabled || before.width != s->modes[i].width ||
		    before.height != s->modes[i].height || !s->informed)
			changed |= UINT32_C(1) << i;
	}
	s->informed = true;
	for (unsigned i = 0; i < s->edids_pending; i++)
		on &= ~(UINT32_C(1) << s->edid_scanouts[i]);
	s->edids_due = (s->edids_due | changed) & on;
	if (!socket_is_asking(s))
		socket_modes_changed(s);
	return 0;
}

/* The seat's is a real monitor's, which the guest gets as it is. Of a window, size and rate are
 * enough: the guest gets an EDID of the device's making. */
static void socket_keep_edid(
    struct display_socket *s, unsigned scanout, const struct virtio_gpu_resp_edid *edid)
{
	struct socket_edid *kept = &s->edids[scanout];
	const uint32_t size = at_most(edid->size, sizeof(kept->bytes));
	const uint32_t good =
	    s->features & GPU_MESSAGE_F_SEAT && edid_is_good(edid->edid, size) ? size : 0;

	if (good == kept->size && memcmp(kept->bytes, edid->edid, good) == 0) {
		s->modes[scanout].edid = good ? kept->number : 0;
		return;
	}
	memcpy(kept->bytes, edid->edid, good);
	kept->size = good;
	kept->number = ++s->edid_number;
	s->modes[scanout].edid = good ? kept->number : 0;
}

static int socket_take_edid(struct display_socket *s, const uint8_t *payload, size_t size)
{
	const unsigned scanout = s->edid_scanouts[0];
	struct display_mode *mode = &s->modes[scanout];
	struct edid_mode said = { .refresh = mode->refresh };
	struct virtio_gpu_resp_edid edid;

	if (size != sizeof(edid) || !s->edids_pending)
		return -EPROTO;
	memcpy(&edid, payload, sizeof(edid));
	if (edid.size >= EDID_BLOCK_SIZE) {
		edid_read_mode(edid.edid, &said);
		mode->refresh = said.refresh;
		mode->width_mm = said.width_mm;
		mode->height_mm = said.height_mm;
	}
	socket_keep_edid(s, scanout, &edid);
	s->edids_pending--;
	memmove(s->edid_scanouts, s->edid_scanouts + 1, s->edids_pending * sizeof(unsigned));
	if (!socket_is_asking(s))
		socket_modes_changed(s);
	return 0;
}

static int socket_take_update(struct display_socket *s)
{
	unsigned scanout;

	if (!s->updates_pending)
		return -EPROTO;
	scanout = s->updates[0];
	s->updates_pending--;
	memmove(s->updates, s->updates + 1, s->updates_pending * sizeof(unsigned));
	socket_landed(s, scanout);
	return 0;
}

static int socket_take(struct display_socket *s, const struct gpu_message_header *header,
    const uint8_t *payload, size_t size)
{
	const bool answer = header->flags & GPU_MESSAGE_FLAG_REPLY;
	int r = seat_take(s, header->request, answer, payload, size);

	if (r != -ENOENT)
		return r;
	if (!answer)
		return -EPROTO;
	switch (header->request) {
	case GPU_MESSAGE_GET_PROTOCOL_FEATURES:
		return socket_take_features(s, payload, size);
	case GPU_MESSAGE_GET_DISPLAY_INFO:
		return socket_take_info(s, payload, size);
	case GPU_MESSAGE_GET_EDID:
		return socket_take_edid(s, payload, size);
	case GPU_MESSAGE_DMABUF_UPDATE:
		return socket_take_update(s);
	default:
		return -EPROTO;
	}
}

/* Takes the messages that have arrived whole. */
static int socket_parse(struct display_socket *s)
{
	struct gpu_message_header header;
	size_t used = 0;
	int r = 0;

	while (r == 0 && s->in_size - used >= sizeof(header)) {
		memcpy(&header, s->in + used, sizeof(header));
		if (header.size > sizeof(s->in) - sizeof(header))
			return -EPROTO;
		if (s->in_size - used - sizeof(header) < header.size)
			break;
		r = socket_take(s, &header, s->in + used + sizeof(header), header.size);
		if (s->fd < 0)
			return 0; /* closed from within a callback */
		used += sizeof(header) + header.size;
	}
	s->in_size -= used;
	memmove(s->in, s->in + used, s->in_size);
	return r;
}

int socket_take_fd(struct display_socket *s)
{
	int fd;

	if (!s->in_fd_count)
		return -1;
	fd = s->in_fds[0];
	s->in_fd_count--;
	memmove(s->in_fds, s->in_fds + 1, s->in_fd_count * sizeof(int));
	return fd;
}

static void socket_keep_fds(struct display_socket *s, struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		const size_t size = c->cmsg_len - CMSG_LEN(0);
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i + sizeof(fd) <= size; i += sizeof(fd)) {
			memcpy(&fd, CMSG_DATA(c) + i, sizeof(fd));
			if (s->in_fd_count < SOCKET_FDS_MAX)
				s->in_fds[s->in_fd_count++] = fd;
			else
				close(fd);
		}
	}
}

static ssize_t socket_receive(struct display_socket *s)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(SOCKET_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { s->in + s->in_size, sizeof(s->in) - s->in_size };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	const ssize_t n = recvmsg(s->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n > 0)
		socket_keep_fds(s, &message);
	return n;
}

static int socket_on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct display_socket *s = data;
	ssize_t n;
	int r;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		n = socket_receive(s);
		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			socket_close(s); /* the front end ends it: no news */
			return 0;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			socket_fail(s, strerror(errno));
			return 0;
		}
		s->in_size += n > 0 ? (size_t)n : 0;
		r = socket_parse(s);
		if (r < 0) {
			socket_fail(
			    s, r == -EPROTO ? "an answer that nobody asked for" : strerror(-r));
			return 0;
		}
	}
	socket_write(s);
	return 0;
}

int display_socket_set_fd(struct display *display, int fd)
{
	struct display_socket *s = socket_from_display(display);
	int r;

	socket_close(s);
	if (fd < 0)
		return 0;
	r = sd_event_add_io(s->event, &s->io, fd, EPOLLIN, socket_on_io, s);
	if (r < 0) {
		close(fd);
		return r;
	}
	sd_event_source_set_description(s->io, "display-socket");
	s->fd = fd;
	s->features_due = s->info_due = true;
	s->informed = false;
	s->features = 0;
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		struct socket_output *output = &s->outputs[i];

		output->told_width = output->told_height = 0;
		output->told_dmabuf = false;
		output->scanout_due = output->resend = output->source;
		if (output->source)
			output->damage = (struct display_rect){ 0, 0, output->source->width,
				output->source->height };
		output->cursor_due = output->cursor_visible;
	}
	socket_write(s);
	return 0;
}

/* ---------------------------------------------------------------- the display */

static bool socket_get_modes(struct display *display,
    struct display_mode modes[DISPLAY_SCANOUTS_MAX], enum display_refresh refresh)
{
	struct display_socket *s = socket_from_display(display);

	if (s->fd >= 0 && refresh != DISPLAY_KNOWN) {
		if (!s->info_pending)
			s->info_due = true;
		/* With it go the questions that its answer will most likely lead to: one trip. */
		if (refresh == DISPLAY_ASK_EDIDS && !s->edids_due && !s->edids_pending)
			socket_ask_edids(s);
		socket_write(s);
	}
	if (s->fd >= 0 && socket_is_asking(s))
		return false;
	memcpy(modes, s->modes, sizeof(s->modes));
	return true;
}

static size_t socket_get_edid(
    struct display *display, unsigned scanout, uint8_t edid[DISPLAY_EDID_MAX])
{
	const struct socket_edid *kept = &socket_from_display(display)->edids[scanout];

	memcpy(edid, kept->bytes, kept->size);
	return kept->size;
}

static void socket_set_source(
    struct display *display, unsigned scanout, struct display_source *source)
{
	struct display_socket *s = socket_from_display(display);
	struct socket_output *output = &s->outputs[scanout];

	/* What there was no memory for may fit now. */
	if (source && (!output->source || source->width != output->source->width ||
			  source->height != output->source->height))
		output->seat.full = false;
	output->source = source;
	output->scanout_due = true;
	output->damage = source ? (struct display_rect){ 0, 0, source->width, source->height }
				: (struct display_rect){ 0 };
	seat_note_source(s, scanout);
	socket_write(s);
}

static void socket_flush(
    struct display *display, unsigned scanout, const struct display_rect *damage, uint64_t serial)
{
	struct display_socket *s = socket_from_display(display);
	struct socket_output *output = &s->outputs[scanout];

	damage_add(&output->damage, damage);
	seat_note_damage(s, scanout, damage);
	output->serial = serial;
	if (s->fd < 0) {
		socket_shown(s, scanout, serial);
		return;
	}
	output->owed = true;
	socket_write(s);
}

static void socket_forget(struct display *display, uint64_t buffer)
{
	struct display_socket *s = socket_from_display(display);

	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++)
		if (s->buffers[i].imported && s->buffers[i].number == buffer)
			seat_buffer_drop(&s->buffers[i]);
	socket_write(s);
}

static enum display_path socket_get_path(struct display *display, unsigned scanout, int *reason)
{
	const struct display_socket *s = socket_from_display(display);
	const struct socket_output *output = &s->outputs[scanout];

	*reason = 0;
	if (s->fd < 0 || !output->source)
		return DISPLAY_PATH_NONE;
	if (s->features & GPU_MESSAGE_F_SEAT) {
		*reason = output->seat.reason;
		return output->seat.path;
	}
	return output->told_dmabuf ? DISPLAY_PATH_ZERO_COPY : DISPLAY_PATH_INLINE;
}

static void socket_set_cursor(struct display *display, unsigned scanout,
    const struct display_cursor *cursor, uint32_t x, uint32_t y)
{
	struct display_socket *s = socket_from_display(display);
	struct socket_output *output = &s->outputs[scanout];

	output->cursor_due = cursor || output->cursor_visible;
	output->cursor_visible = cursor;
	output->cursor_x = x;
	output->cursor_y = y;
	if (cursor)
		output->cursor = *cursor;
	socket_write(s);
}

static void socket_move_cursor(struct display *display, unsigned scanout, uint32_t x, uint32_t y)
{
	struct display_socket *s = socket_from_display(display);
	struct socket_output *output = &s->outputs[scanout];

	output->cursor_x = x;
	output->cursor_y = y;
	output->position_due = output->cursor_visible;
	socket_write(s);
}

static void socket_destroy(struct display *display)
{
	struct display_socket *s = socket_from_display(display);

	s->base.listener = (struct display_listener){ 0 };
	socket_close(s);
	sd_event_unref(s->event);
	free(s->out);
	free(s);
}

static const struct display_impl socket_impl = {
	.destroy = socket_destroy,
	.get_modes = socket_get_modes,
	.get_edid = socket_get_edid,
	.set_source = socket_set_source,
	.flush = socket_flush,
	.forget = socket_forget,
	.get_path = socket_get_path,
	.set_cursor = socket_set_cursor,
	.move_cursor = socket_move_cursor,
};

int display_socket_create(sd_event *event, struct display **display)
{
	struct display_socket *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->base.impl = &socket_impl;
	s->event = sd_event_ref(event);
	s->fd = s->out_fd = -1;
	s->modes[0] = (struct display_mode){
		.enabled = true, .width = 1024, .height = 768, .refresh = 60000
	};
	*display = &s->base;
	return 0;
}
