/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_display.h"

#include <errno.h>
#include <linux/virtio_gpu.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum vhost_user_gpu_request {
	VHOST_USER_GPU_GET_PROTOCOL_FEATURES = 1,
	VHOST_USER_GPU_SET_PROTOCOL_FEATURES = 2,
	VHOST_USER_GPU_GET_DISPLAY_INFO = 3,
	VHOST_USER_GPU_CURSOR_POS = 4,
	VHOST_USER_GPU_CURSOR_POS_HIDE = 5,
	VHOST_USER_GPU_CURSOR_UPDATE = 6,
	VHOST_USER_GPU_SCANOUT = 7,
	VHOST_USER_GPU_UPDATE = 8,
	VHOST_USER_GPU_DMABUF_SCANOUT = 9,
	VHOST_USER_GPU_DMABUF_UPDATE = 10,
	VHOST_USER_GPU_GET_EDID = 11,
	VHOST_USER_GPU_DMABUF_SCANOUT2 = 12,
};

#define VHOST_USER_GPU_PROTOCOL_F_EDID 0
#define VHOST_USER_GPU_PROTOCOL_F_DMABUF2 1
#define VHOST_USER_GPU_REPLY (1u << 2)
#define MESSAGE_MAX (64u << 20) /* bytes */

struct gpu_header {
	uint32_t request, flags, size;
};

void loopback_display_init(struct loopback_display *display)
{
	*display = (struct loopback_display){
		.fd = -1, .edid = true, .scanouts = 1, .width = 1024, .height = 768
	};
}

int loopback_display_open(struct loopback_display *display)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	display->fd = pair[0];
	return pair[1];
}

void loopback_display_finish(struct loopback_display *display)
{
	if (display->fd >= 0)
		close(display->fd);
	display->fd = -1;
	for (unsigned i = 0; i < LOOPBACK_DISPLAY_SCANOUTS; i++) {
		free(display->pictures[i].pixels);
		display->pictures[i] = (struct loopback_picture){ 0 };
	}
}

static int reply(
    struct loopback_display *display, uint32_t request, const void *body, uint32_t size)
{
	struct gpu_header header = { request, VHOST_USER_GPU_REPLY, size };
	struct iovec iov[2] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)body, .iov_len = size },
	};
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	return sendmsg(display->fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int reply_display_info(struct loopback_display *display)
{
	struct virtio_gpu_resp_display_info info = {
		.hdr.type = VIRTIO_GPU_RESP_OK_DISPLAY_INFO,
	};

	for (unsigned i = 0; i < display->scanouts; i++) {
		info.pmodes[i].enabled = 1;
		info.pmodes[i].r.x = display->width * i;
		info.pmodes[i].r.width = display->width;
		info.pmodes[i].r.height = display->height;
	}
	display->infos++;
	return reply(display, VHOST_USER_GPU_GET_DISPLAY_INFO, &info, sizeof(info));
}

static int reply_edid(struct loopback_display *display)
{
	/* Nothing but a header and its checksum: the back end must not take it to pieces. */
	struct virtio_gpu_resp_edid edid = {
		.hdr.type = VIRTIO_GPU_RESP_OK_EDID,
		.size = 128,
		.edid = { 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, [127] = 0x06 },
	};

	display->edids++;
	return reply(display, VHOST_USER_GPU_GET_EDID, &edid, sizeof(edid));
}

static int set_scanout(struct loopback_display *display, const uint32_t *body, bool dmabuf)
{
	uint32_t width = dmabuf ? body[3] : body[1];
	uint32_t height = dmabuf ? body[4] : body[2];
	struct loopback_picture *picture;

	if (body[0] >= LOOPBACK_DISPLAY_SCANOUTS || width > 16384 || height > 16384)
		return -EPROTO;
	picture = &display->pictures[body[0]];
	free(picture->pixels);
	*picture = (struct loopback_picture){ .width = width, .height = height };
	if (!dmabuf && width && height) {
		picture->pixels = calloc((size_t)width * height, sizeof(*picture->pixels));
		if (!picture->pixels)
			return -ENOMEM;
	}
	if (dmabuf)
		display->dmabufs++;
	else
		display->scanout_messages++;
	return 0;
}

static int update(struct loopback_display *display, const uint32_t *body, uint32_t size)
{
	uint32_t x = body[1], y = body[2], width = body[3], height = body[4];
	struct loopback_picture *picture;

	if (body[0] >= LOOPBACK_DISPLAY_SCANOUTS)
		return -EPROTO;
	picture = &display->pictures[body[0]];
	if (!picture->pixels || x > picture->width || width > picture->width - x ||
	    y > picture->height || height > picture->height - y ||
	    size != 20 + (uint64_t)width * height * 4)
		return -EPROTO;
	for (uint32_t row = 0; row < height; row++)
		memcpy(picture->pixels + (size_t)(y + row) * picture->width + x,
		    body + 5 + (size_t)row * width, (size_t)width * 4);
	display->updates++;
	return 0;
}

static int set_cursor(struct loopback_display *display, const uint32_t *body, uint32_t request)
{
	display->cursor_scanout = body[0];
	display->cursor_x = body[1];
	display->cursor_y = body[2];
	display->cursor_visible = request != VHOST_USER_GPU_CURSOR_POS_HIDE;
	if (request == VHOST_USER_GPU_CURSOR_UPDATE) {
		display->cursor_hot_x = body[3];
		display->cursor_hot_y = body[4];
		memcpy(display->cursor, body + 5, sizeof(display->cursor));
	}
	display->cursors++;
	return 0;
}

/* The least payload of a request; UINT32_MAX for an unknown one. */
static uint32_t least_size(uint32_t request)
{
	switch (request) {
	case VHOST_USER_GPU_GET_PROTOCOL_FEATURES:
	case VHOST_USER_GPU_GET_DISPLAY_INFO:
		return 0;
	case VHOST_USER_GPU_SET_PROTOCOL_FEATURES:
		return 8;
	case VHOST_USER_GPU_GET_EDID:
		return 4;
	case VHOST_USER_GPU_CURSOR_POS:
	case VHOST_USER_GPU_CURSOR_POS_HIDE:
	case VHOST_USER_GPU_SCANOUT:
		return 12;
	case VHOST_USER_GPU_CURSOR_UPDATE:
		return 20 + 64 * 64 * 4;
	case VHOST_USER_GPU_UPDATE:
	case VHOST_USER_GPU_DMABUF_UPDATE:
		return 20;
	case VHOST_USER_GPU_DMABUF_SCANOUT:
	case VHOST_USER_GPU_DMABUF_SCANOUT2:
		return 40;
	default:
		return UINT32_MAX;
	}
}

static int handle(
    struct loopback_display *display, uint32_t request, const uint32_t *body, uint32_t size)
{
	uint64_t features;

	switch (request) {
	case VHOST_USER_GPU_GET_PROTOCOL_FEATURES:
		features = (display->edid ? 1u << VHOST_USER_GPU_PROTOCOL_F_EDID : 0) |
			   (display->dmabuf2 ? 1u << VHOST_USER_GPU_PROTOCOL_F_DMABUF2 : 0);
		return reply(display, request, &features, sizeof(features));
	case VHOST_USER_GPU_SET_PROTOCOL_FEATURES:
		memcpy(&display->protocol_features, body, sizeof(display->protocol_features));
		return 0;
	case VHOST_USER_GPU_GET_DISPLAY_INFO:
		return reply_display_info(display);
	case VHOST_USER_GPU_GET_EDID:
		return reply_edid(display);
	case VHOST_USER_GPU_CURSOR_POS:
	case VHOST_USER_GPU_CURSOR_POS_HIDE:
	case VHOST_USER_GPU_CURSOR_UPDATE:
		return set_cursor(display, body, request);
	case VHOST_USER_GPU_SCANOUT:
		return set_scanout(display, body, false);
	case VHOST_USER_GPU_UPDATE:
		return update(display, body, size);
	case VHOST_USER_GPU_DMABUF_SCANOUT:
	case VHOST_USER_GPU_DMABUF_SCANOUT2:
		return set_scanout(display, body, true);
	case VHOST_USER_GPU_DMABUF_UPDATE:
		display->dmabuf_updates++;
		return reply(display, request, NULL, 0);
	default:
		return -EPROTO;
	}
}

/* Receives exactly @size bytes, closing descriptors that come along. */
static int receive(int fd, void *to, size_t size)
{
	for (size_t had = 0; had < size;) {
		struct iovec iov = { .iov_base = (uint8_t *)to + had, .iov_len = size - had };
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(4 * sizeof(int))];
		} control;
		struct msghdr message = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes),
		};
		ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ECONNRESET ? -ENOTCONN : -errno;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			int taken;
			memcpy(&taken, CMSG_DATA(c), sizeof(taken));
			close(taken);
		}
		if (n == 0)
			return -ENOTCONN;
		had += (size_t)n;
	}
	return 0;
}

int loopback_display_dispatch(struct loopback_display *display)
{
	struct gpu_header header;
	uint32_t *body = NULL;
	int ret = receive(display->fd, &header, sizeof(header));

	if (ret < 0)
		return ret;
	if (header.size > MESSAGE_MAX || header.size < least_size(header.request))
		return -EPROTO;
	if (header.size > 0) {
		body = malloc(header.size);
		if (!body)
			return -ENOMEM;
		ret = receive(display->fd, body, header.size);
	}
	if (ret == 0)
		ret = handle(display, header.request, body, header.size);
	free(body);
	return ret;
}
