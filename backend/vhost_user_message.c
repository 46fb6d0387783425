/* SPDX-License-Identifier: MIT */
#include "backend/vhost_user_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(struct vhost_user_vring_addr) == 40, "wire format");
_Static_assert(sizeof(struct vhost_user_region) == 32, "wire format");
_Static_assert(sizeof(struct vhost_user_xen_region) == 40, "wire format");
_Static_assert(offsetof(struct vhost_user_mem_reg, region) == 8, "wire format");
_Static_assert(offsetof(struct vhost_user_mem_table, regions) == 8, "wire format");
_Static_assert(
    offsetof(struct vhost_user_config, bytes) == VHOST_USER_CONFIG_HEADER_SIZE, "wire format");
_Static_assert(sizeof(struct vhost_user_inflight) == 24, "wire format");
_Static_assert(offsetof(struct vhost_user_message, size) == 8, "a header in a row");

const char *vhost_user_request_name(uint32_t request)
{
#define NAME(request) [VHOST_USER_##request] = #request
	static const char *const names[] = {
		NAME(GET_FEATURES),
		NAME(SET_FEATURES),
		NAME(SET_OWNER),
		NAME(RESET_OWNER),
		NAME(SET_MEM_TABLE),
		NAME(SET_LOG_BASE),
		NAME(SET_LOG_FD),
		NAME(SET_VRING_NUM),
		NAME(SET_VRING_ADDR),
		NAME(SET_VRING_BASE),
		NAME(GET_VRING_BASE),
		NAME(SET_VRING_KICK),
		NAME(SET_VRING_CALL),
		NAME(SET_VRING_ERR),
		NAME(GET_PROTOCOL_FEATURES),
		NAME(SET_PROTOCOL_FEATURES),
		NAME(GET_QUEUE_NUM),
		NAME(SET_VRING_ENABLE),
		NAME(SET_BACKEND_REQ_FD),
		NAME(GET_CONFIG),
		NAME(SET_CONFIG),
		NAME(GET_INFLIGHT_FD),
		NAME(SET_INFLIGHT_FD),
		NAME(GPU_SET_SOCKET),
		NAME(RESET_DEVICE),
		NAME(GET_MAX_MEM_SLOTS),
		NAME(ADD_MEM_REG),
		NAME(REM_MEM_REG),
		NAME(SET_STATUS),
		NAME(GET_STATUS),
	};
#undef NAME

	if (request >= sizeof(names) / sizeof(names[0]) || !names[request])
		return "unknown";
	return names[request];
}

int vhost_user_send(int socket, const struct vhost_user_message *message)
{
	uint32_t header[3] = { message->request, message->flags | VHOST_USER_VERSION,
		message->size };
	struct iovec iov[2] = {
		{ .iov_base = header, .iov_len = VHOST_USER_HEADER_SIZE },
		{ .iov_base = (void *)&message->payload, .iov_len = message->size },
	};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(message->fds))];
	} control = { 0 };
	struct msghdr hdr = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t fds_size = message->fd_count * sizeof(int);
	struct cmsghdr *cmsg;
	ssize_t n;

	if (message->size > sizeof(message->payload) || message->fd_count > VHOST_USER_FDS_MAX)
		return -EINVAL;
	if (fds_size) {
		hdr.msg_control = control.bytes;
		hdr.msg_controllen = CMSG_SPACE(fds_size);
		cmsg = CMSG_FIRSTHDR(&hdr);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fds_size);
		memcpy(CMSG_DATA(cmsg), message->fds, fds_size);
	}
	do {
		n = sendmsg(socket, &hdr, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
	/* The kernel does not split what fits into half of the smallest send buffer (2240 bytes),
	 * and no message is larger. */
	return (size_t)n == VHOST_USER_HEADER_SIZE + message->size ? 0 : -EIO;
}

int vhost_user_message_take_fd(struct vhost_user_message *message, unsigned index)
{
	int fd;

	if (index >= message->fd_count)
		return -1;
	fd = message->fds[index];
	message->fds[index] = -1;
	return fd;
}

void vhost_user_message_finish(struct vhost_user_message *message)
{
	for (unsigned i = 0; i < message->fd_count; i++) {
		if (message->fds[i] >= 0)
			close(message->fds[i]);
	}
	message->fd_count = 0;
}

void vhost_user_receiver_init(struct vhost_user_receiver *receiver, int socket)
{
	*receiver = (struct vhost_user_receiver){ .socket = socket };
}

void vhost_user_receiver_finish(struct vhost_user_receiver *receiver)
{
	vhost_user_message_finish(&receiver->message);
}

/* Adds the descriptors of @hdr to the message; -EPROTO where there are too many. All that do
 * not fit are closed. */
static int vhost_user_receive_fds(struct vhost_user_message *message, struct msghdr *hdr)
{
	int error = hdr->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (message->fd_count < VHOST_USER_FDS_MAX) {
				message->fds[message->fd_count++] = fd;
			} else {
				close(fd);
				error = -EPROTO;
			}
		}
	}
	return error;
}

/* Receives what is there of the message's first @end bytes: the number, 0 where none are there, or
 * -errno. */
static ssize_t vhost_user_receive_bytes(struct vhost_user_receiver *receiver, size_t end)
{
	struct vhost_user_message *m = &receiver->message;
	size_t had = receiver->received, header = VHOST_USER_HEADER_SIZE;
	/* request, flags and size lie in a row, as on the wire */
	struct iovec iov[2] = {
		{ .iov_base = (uint8_t *)m + had, .iov_len = had < header ? header - had : 0 },
		{ .iov_base = m->payload.bytes + (had < header ? 0 : had - header) },
	};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(VHOST_USER_FDS_MAX * sizeof(int))];
	} control;
	struct msghdr hdr = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = receiver->no_fds ? 0 : sizeof(control.bytes),
	};
	ssize_t n;
	int error;

	iov[1].iov_len = end - had - iov[0].iov_len;
	do {
		n = recvmsg(receiver->socket, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		return errno == ECONNRESET ? -ENOTCONN : -errno;
	}
	error = vhost_user_receive_fds(m, &hdr);
	if (error)
		return error;
	return n ? n : -ENOTCONN;
}

static bool vhost_user_header_valid(uint32_t flags, uint32_t size)
{
	return (flags & VHOST_USER_VERSION_MASK) == VHOST_USER_VERSION &&
	       size <= sizeof(union vhost_user_payload);
}

/* Where the next recvmsg() is to stop: at the end of a message, as far as we know it. */
static size_t vhost_user_message_end(const struct vhost_user_receiver *receiver)
{
	uint32_t header[3] = { receiver->message.request, receiver->message.flags,
		receiver->message.size };

	bool known = receiver->received >= VHOST_USER_HEADER_SIZE;

	/* Its size tells how to take a message that is there (they are sent whole) in one piece. */
	if (!receiver->received)
		known = recv(receiver->socket, header, sizeof(header), MSG_PEEK | MSG_DONTWAIT) ==
			sizeof(header);
	if (!known || !vhost_user_header_valid(header[1], header[2]))
		return VHOST_USER_HEADER_SIZE;
	return VHOST_USER_HEADER_SIZE + (size_t)header[2];
}

int vhost_user_receive(struct vhost_user_receiver *receiver, struct vhost_user_message *message)
{
	struct vhost_user_message *m = &receiver->message;

	for (;;) {
		size_t end = vhost_user_message_end(receiver);

		if (receiver->received < end) {
			ssize_t n = vhost_user_receive_bytes(receiver, end);

			if (n <= 0)
				return (int)n;
			receiver->received += (size_t)n;
		}
		if (receiver->received < VHOST_USER_HEADER_SIZE)
			continue;
		if (!vhost_user_header_valid(m->flags, m->size))
			return -EPROTO;
		if (receiver->received == VHOST_USER_HEADER_SIZE + m->size)
			break;
	}
	*message = *m;
	*m = (struct vhost_user_message){ 0 };
	receiver->received = 0;
	return 1;
}
