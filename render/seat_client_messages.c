/* SPDX-License-Identifier: MIT */
/* What a guest's GPU says to the seat, message by message. */
#include <errno.h>
#include <linux/virtio_gpu.h>
#include <string.h>
#include <unistd.h>

#include "render/seat_client_private.h"

#define FEATURES (GPU_MESSAGE_F_EDID | GPU_MESSAGE_F_DMABUF2 | GPU_MESSAGE_F_SEAT)

/* ---------------------------------------------------------------- sizes */

static const struct {
	uint32_t request, least, most;
	uint64_t feature; /* that it needs */
} bounds[] = {
	{ GPU_MESSAGE_GET_PROTOCOL_FEATURES, 0, 0, 0 },
	{ GPU_MESSAGE_SET_PROTOCOL_FEATURES, 8, 8, 0 },
	{ GPU_MESSAGE_GET_DISPLAY_INFO, 0, 0, 0 },
	{ GPU_MESSAGE_CURSOR_POS, 12, 12, 0 },
	{ GPU_MESSAGE_CURSOR_POS_HIDE, 12, 12, 0 },
	{ GPU_MESSAGE_CURSOR_UPDATE, sizeof(struct gpu_message_cursor),
	    sizeof(struct gpu_message_cursor), 0 },
	{ GPU_MESSAGE_SCANOUT, 12, 12, 0 },
	{ GPU_MESSAGE_UPDATE, 20, UINT32_MAX, 0 }, /* its pixels are counted when they come */
	{ GPU_MESSAGE_DMABUF_SCANOUT, GPU_MESSAGE_DMABUF_SIZE, GPU_MESSAGE_DMABUF_SIZE, 0 },
	{ GPU_MESSAGE_DMABUF_UPDATE, 20, 20, 0 },
	{ GPU_MESSAGE_GET_EDID, 4, 4, GPU_MESSAGE_F_EDID },
	{ GPU_MESSAGE_DMABUF_SCANOUT2, sizeof(struct gpu_message_dmabuf),
	    sizeof(struct gpu_message_dmabuf), GPU_MESSAGE_F_DMABUF2 },
	{ SEAT_MESSAGE_IMPORT, sizeof(struct seat_import), sizeof(struct seat_import),
	    GPU_MESSAGE_F_SEAT },
	{ SEAT_MESSAGE_ALLOCATE, sizeof(struct seat_allocate), sizeof(struct seat_allocate),
	    GPU_MESSAGE_F_SEAT },
	{ SEAT_MESSAGE_FREE, sizeof(struct seat_free), sizeof(struct seat_free),
	    GPU_MESSAGE_F_SEAT },
	{ SEAT_MESSAGE_PRESENT, sizeof(struct seat_present), sizeof(struct seat_present),
	    GPU_MESSAGE_F_SEAT },
};

bool client_bounds(
    const struct seat_client *client, uint32_t request, uint32_t *least, uint32_t *most)
{
	for (unsigned i = 0; i < sizeof(bounds) / sizeof(*bounds); i++) {
		if (bounds[i].request != request)
			continue;
		*least = bounds[i].least;
		*most = bounds[i].most;
		return (client->features & bounds[i].feature) == bounds[i].feature;
	}
	return false;
}

static void client_answer(struct seat_client *client, const void *payload, uint32_t size, int fd)
{
	client_send(client, client->header.request, GPU_MESSAGE_FLAG_REPLY, payload, size, fd);
}

/* ---------------------------------------------------------------- questions */

static void take_get_features(struct seat_client *client)
{
	const uint64_t features = FEATURES;

	client_answer(client, &features, sizeof(features), -1);
}

static void take_set_features(struct seat_client *client)
{
	uint64_t features;

	memcpy(&features, client->in, sizeof(features));
	if (features & ~FEATURES) {
		client_fail(client, "it wants features that were not offered");
		return;
	}
	/* What has been presented so far would be forgotten. */
	if (client->features & GPU_MESSAGE_F_SEAT && !(features & GPU_MESSAGE_F_SEAT)) {
		client_fail(client, "it takes a feature back");
		return;
	}
	if (features & GPU_MESSAGE_F_SEAT)
		client_frames_finish(client);
	client->features = features;
}

static void take_get_display_info(struct seat_client *client)
{
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	struct virtio_gpu_resp_display_info info = {
		.hdr.type = VIRTIO_GPU_RESP_OK_DISPLAY_INFO,
	};

	seat_source_get_modes(client->source, modes);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		info.pmodes[i].enabled = modes[i].enabled;
		info.pmodes[i].r.x = modes[i].x;
		info.pmodes[i].r.y = modes[i].y;
		info.pmodes[i].r.width = modes[i].width;
		info.pmodes[i].r.height = modes[i].height;
	}
	client_answer(client, &info, sizeof(info), -1);
}

static void take_get_edid(struct seat_client *client)
{
	struct virtio_gpu_resp_edid answer = { .hdr.type = VIRTIO_GPU_RESP_OK_EDID };
	uint32_t scanout;

	_Static_assert(sizeof(answer.edid) == SEAT_EDID_MAX, "an EDID fits");
	memcpy(&scanout, client->in, sizeof(scanout));
	answer.size = (uint32_t)seat_source_get_edid(client->source, scanout, answer.edid);
	client_answer(client, &answer, sizeof(answer), -1);
}

/* ---------------------------------------------------------------- cursors */

static void take_cursor_position(struct seat_client *client)
{
	struct gpu_message_cursor_position position;
	int error;

	memcpy(&position, client->in, sizeof(position));
	if (client->header.request == GPU_MESSAGE_CURSOR_POS_HIDE)
		error = seat_set_cursor(client->source, position.scanout, NULL, (int32_t)position.x,
		    (int32_t)position.y);
	else
		error = seat_move_cursor(
		    client->source, position.scanout, (int32_t)position.x, (int32_t)position.y);
	if (error < 0)
		client_refuse(client, "its cursor is not moved", error);
}

static void take_cursor(struct seat_client *client)
{
	struct gpu_message_cursor message;
	struct display_cursor cursor;
	int error;

	memcpy(&message, client->in, sizeof(message));
	cursor.hot_x = message.hot_x;
	cursor.hot_y = message.hot_y;
	memcpy(cursor.pixels, message.pixels, sizeof(cursor.pixels));
	error = seat_set_cursor(client->source, message.position.scanout, &cursor,
	    (int32_t)message.position.x, (int32_t)message.position.y);
	if (error < 0)
		client_refuse(client, "its cursor is not shown", error);
}

/* ---------------------------------------------------------------- buffers and frames */

static void take_import(struct seat_client *client)
{
	struct seat_buffer_answer answer = { 0 };
	struct display_dmabuf dmabuf;
	struct seat_import import;
	int error = -EBADF;

	memcpy(&import, client->in, sizeof(import));
	dmabuf = (struct display_dmabuf){ .fd = client_take_fd(client),
		.width = import.width,
		.height = import.height,
		.stride = import.stride,
		.offset = import.offset,
		.fourcc = import.fourcc,
		.modifier = import.modifier,
		.y0_top = !(import.flags & GPU_MESSAGE_DMABUF_FLIPPED) };
	if (dmabuf.fd >= 0) {
		error = seat_import(client->source, import.id, import.scanout, &dmabuf);
		close(dmabuf.fd);
	}
	/* What cannot be shown as it is, is nothing to complain about. */
	if (error < 0 && error != -ENOTSUP)
		client_refuse(client, "its buffer is not imported", error);
	answer.id = import.id;
	answer.error = (uint32_t)-error;
	client_answer(client, &answer, sizeof(answer), -1);
}

static void take_allocate(struct seat_client *client)
{
	struct seat_buffer_answer answer = { 0 };
	struct seat_allocate allocate;
	int error, fd = -1;

	memcpy(&allocate, client->in, sizeof(allocate));
	error = seat_allocate(client->source, allocate.id, allocate.scanout, allocate.width,
	    allocate.height, &answer.stride, &answer.size, &fd, NULL);
	if (error < 0) {
		client_refuse(client, "it gets no buffer", error);
		answer = (struct seat_buffer_answer){ .error = (uint32_t)-error };
		fd = -1;
	}
	answer.id = allocate.id;
	client_answer(client, &answer, sizeof(answer), fd);
}

static void take_free(struct seat_client *client)
{
	struct seat_free message;
	int error;

	memcpy(&message, client->in, sizeof(message));
	error = seat_free(client->source, message.id);
	if (error < 0)
		client_refuse(client, "it frees a buffer that it does not have", error);
}

static void take_present(struct seat_client *client)
{
	struct seat_shown shown = { 0 };
	struct seat_present present;
	int error;

	memcpy(&present, client->in, sizeof(present));
	error = seat_present(client->source, &present, client_take_fd(client));
	if (error == 0)
		return;
	client_refuse(client, "its frame is not shown", error);
	/* It would wait for it forever. */
	shown.scanout = present.scanout;
	shown.serial = present.serial;
	client_send(client, SEAT_MESSAGE_SHOWN, 0, &shown, sizeof(shown), -1);
}

/* ---------------------------------------------------------------- without F_SEAT */

static void take_scanout(struct seat_client *client)
{
	struct gpu_message_scanout message;

	memcpy(&message, client->in, sizeof(message));
	client_scanout(client, &message);
}

static void take_dmabuf(struct seat_client *client)
{
	struct gpu_message_dmabuf message = { 0 };

	memcpy(&message, client->in, client->payload_size);
	client_dmabuf_scanout(
	    client, &message, client->header.request == GPU_MESSAGE_DMABUF_SCANOUT2);
}

static void take_dmabuf_update(struct seat_client *client)
{
	struct gpu_message_update message;

	memcpy(&message, client->in, sizeof(message));
	client_dmabuf_update(client, &message);
}

void client_take(struct seat_client *client)
{
	const uint32_t request = client->header.request;

	/* "SCANOUT, UPDATE and DMABUF_* are for clients without it" */
	if (client->features & GPU_MESSAGE_F_SEAT &&
	    (request == GPU_MESSAGE_SCANOUT || request == GPU_MESSAGE_UPDATE ||
		request == GPU_MESSAGE_DMABUF_SCANOUT || request == GPU_MESSAGE_DMABUF_SCANOUT2 ||
		request == GPU_MESSAGE_DMABUF_UPDATE)) {
		client_fail(client, "a message that is not for those who present buffers");
		return;
	}
	switch (request) {
	case GPU_MESSAGE_GET_PROTOCOL_FEATURES:
		take_get_features(client);
		break;
	case GPU_MESSAGE_SET_PROTOCOL_FEATURES:
		take_set_features(client);
		break;
	case GPU_MESSAGE_GET_DISPLAY_INFO:
		take_get_display_info(client);
		break;
	case GPU_MESSAGE_GET_EDID:
		take_get_edid(client);
		break;
	case GPU_MESSAGE_CURSOR_POS:
	case GPU_MESSAGE_CURSOR_POS_HIDE:
		take_cursor_position(client);
		break;
	case GPU_MESSAGE_CURSOR_UPDATE:
		take_cursor(client);
		break;
	case GPU_MESSAGE_SCANOUT:
		take_scanout(client);
		break;
	case GPU_MESSAGE_DMABUF_SCANOUT:
	case GPU_MESSAGE_DMABUF_SCANOUT2:
		take_dmabuf(client);
		break;
	case GPU_MESSAGE_DMABUF_UPDATE:
		take_dmabuf_update(client);
		break;
	case SEAT_MESSAGE_IMPORT:
		take_import(client);
		break;
	case SEAT_MESSAGE_ALLOCATE:
		take_allocate(client);
		break;
	case SEAT_MESSAGE_FREE:
		take_free(client);
		break;
	case SEAT_MESSAGE_PRESENT:
		take_present(client);
		break;
	default: /* client_bounds() knows no other */
		client_fail(client, "a message of an unknown type");
	}
}
