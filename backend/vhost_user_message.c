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

/* Receives up to @size bytes to @to: the number, 0 where none are there, or -errno. */
static ssize_t vhost_user_receive_bytes(struct vhost_user_receiver *receiver, void *to, size_t size)
{
	struct iovec iov = { .iov_base = to, .iov_len = size };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(VHOST_USER_FDS_MAX * sizeof(int))];
	} control;
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;
	int error;

	do {
		n = recvmsg(receiver->socket, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		return errno == ECONNRESET ? -ENOTCONN : -errno;
	}
	error = vhost_user_receive_fds(&receiver->message, &hdr);
	if (error)
		return error;
	return n ? n : -ENOTCONN;
}

int vhost_user_receive(struct vhost_user_receiver *receiver, struct vhost_user_message *message)
{
	struct vhost_user_message *m = &receiver->message;

	for (;;) {
		size_t had = receiver->received, want;
		uint8_t *to;
		ssize_t n;

		if (had < VHOST_USER_HEADER_SIZE) {
			/* request, flags and size lie in a row, as on the wire */
			to = (uint8_t *)m + had;
			want = VHOST_USER_HEADER_SIZE - had;
		} else {
			to = m->payload.bytes + (had - VHOST_USER_HEADER_SIZE);
			want = VHOST_USER_HEADER_SIZE + m->size - had;
		}
		if (want) {
			n = vhost_user_receive_bytes(receiver, to, want);
			if (n <= 0)
				return (int)n;
			receiver->received += (size_t)n;
		}
		if (receiver->received < VHOST_USER_HEADER_SIZE)
			continue;
		if ((m->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
		    m->size > sizeof(m->payload))
			return -EPROTO;
		if (receiver->received == VHOST_USER_HEADER_SIZE + m->size)
			break;
	}
	*message = *m;
	vhost_user_receiver_init(receiver, receiver->socket);
	return 1;
}
