/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/display_socket_private.h"

#define PIXEL_SIZE 4

void *socket_compose(struct display_socket *s, uint32_t request, uint32_t size)
{
	const struct gpu_message_header header = { .request = request, .size = size };
	const size_t total = sizeof(header) + size;

	if (total > s->out_capacity) {
		uint8_t *out = malloc(total);

		if (!out)
			return NULL;
		free(s->out);
		s->out = out;
		s->out_capacity = total;
	}
	memcpy(s->out, &header, sizeof(header));
	s->out_size = total;
	s->out_sent = 0;
	s->out_frame = NO_OUTPUT;
	return s->out + sizeof(header);
}

bool socket_compose_copy(
    struct display_socket *s, uint32_t request, const void *payload, uint32_t size)
{
	void *to = socket_compose(s, request, size);

	if (to && size)
		memcpy(to, payload, size);
	return to;
}

static bool socket_compose_question(struct display_socket *s)
{
	if (s->features_due) {
		s->features_due = false;
		return socket_compose_copy(s, GPU_MESSAGE_GET_PROTOCOL_FEATURES, NULL, 0);
	}
	if (!s->negotiated)
		return false;
	if (s->info_due && !s->info_pending) {
		s->info_due = false;
		s->info_pending = true;
		return socket_compose_copy(s, GPU_MESSAGE_GET_DISPLAY_INFO, NULL, 0);
	}
	/* One that is asked for again while it is waited for has its turn later. */
	if (s->edids_due && s->edids_pending < DISPLAY_SCANOUTS_MAX) {
		const uint32_t scanout = (uint32_t)__builtin_ctz(s->edids_due);

		s->edids_due &= s->edids_due - 1;
		s->edid_scanouts[s->edids_pending++] = scanout;
		return socket_compose_copy(s, GPU_MESSAGE_GET_EDID, &scanout, sizeof(scanout));
	}
	return false;
}

/* Can the front end be given @dmabuf? */
static bool socket_can_pass(const struct display_socket *s, const struct display_dmabuf *dmabuf)
{
	return dmabuf->offset == 0 && (s->features & GPU_MESSAGE_F_DMABUF2 ||
					  dmabuf->modifier == GPU_MESSAGE_MODIFIER_LINEAR ||
					  dmabuf->modifier == GPU_MESSAGE_MODIFIER_NONE);
}

static bool socket_compose_dmabuf(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];
	const bool modifier = s->features & GPU_MESSAGE_F_DMABUF2;
	struct gpu_message_dmabuf message;
	struct display_dmabuf dmabuf;
	struct display_rect rect;

	if (!output->source->impl->export_dmabuf ||
	    output->source->impl->export_dmabuf(output->source, &dmabuf, &rect) < 0)
		return false;
	if (!socket_can_pass(s, &dmabuf)) {
		close(dmabuf.fd);
		return false;
	}
	message = (struct gpu_message_dmabuf){
		.scanout = scanout,
		.x = rect.x,
		.y = rect.y,
		.width = rect.width,
		.height = rect.height,
		.buffer_width = dmabuf.width,
		.buffer_height = dmabuf.height,
		.stride = dmabuf.stride,
		.flags = dmabuf.y0_top ? 0 : GPU_MESSAGE_DMABUF_FLIPPED,
		.fourcc = dmabuf.fourcc,
		.modifier = dmabuf.modifier,
	};
	if (!socket_compose_copy(s,
		modifier ? GPU_MESSAGE_DMABUF_SCANOUT2 : GPU_MESSAGE_DMABUF_SCANOUT, &message,
		modifier ? sizeof(message) : GPU_MESSAGE_DMABUF_SIZE)) {
		close(dmabuf.fd);
		return false;
	}
	s->out_fd = dmabuf.fd;
	output->told_dmabuf = true;
	output->told_width = output->told_height = 0;
	return true;
}

/* The scan-out's picture has other pages or another size, or there is none any more. */
static bool socket_compose_scanout(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];
	const struct display_source *source = output->source;
	const struct gpu_message_scanout message = { .scanout = scanout,
		.width = source ? source->width : 0,
		.height = source ? source->height : 0 };
	const struct gpu_message_dmabuf none = { .scanout = scanout };

	output->scanout_due = false;
	if (source && !(s->features & GPU_MESSAGE_F_SEAT) && socket_compose_dmabuf(s, scanout))
		return true;
	if (!source && output->told_dmabuf) {
		output->told_dmabuf = false;
		return socket_compose_copy(
		    s, GPU_MESSAGE_DMABUF_SCANOUT, &none, GPU_MESSAGE_DMABUF_SIZE);
	}
	/* The same size again would clear the window for nothing. */
	if (!output->told_dmabuf && output->told_width == message.width &&
	    output->told_height == message.height)
		return false;
	output->told_dmabuf = false;
	output->told_width = message.width;
	output->told_height = message.height;
	return socket_compose_copy(s, GPU_MESSAGE_SCANOUT, &message, sizeof(message));
}

static bool socket_compose_cursor(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];
	const struct gpu_message_cursor_position position = {
		.scanout = scanout, .x = output->cursor_x, .y = output->cursor_y
	};
	struct gpu_message_cursor *message;

	output->position_due = false;
	if (!output->cursor_due || !output->cursor_visible) {
		output->cursor_due = false;
		return socket_compose_copy(s,
		    output->cursor_visible ? GPU_MESSAGE_CURSOR_POS : GPU_MESSAGE_CURSOR_POS_HIDE,
		    &position, sizeof(position));
	}
	output->cursor_due = false;
	message = socket_compose(s, GPU_MESSAGE_CURSOR_UPDATE, sizeof(*message));
	if (!message)
		return false;
	message->position = position;
	message->hot_x = output->cursor.hot_x;
	message->hot_y = output->cursor.hot_y;
	memcpy(message->pixels, output->cursor.pixels, sizeof(message->pixels));
	return true;
}

/* A frame with the pixels of @damage. */
static int socket_compose_pixels(
    struct display_socket *s, unsigned scanout, const struct display_rect *damage)
{
	struct display_source *source = s->outputs[scanout].source;
	const struct gpu_message_update update = { scanout, damage->x, damage->y, damage->width,
		damage->height };
	uint32_t stride, bytes;
	uint8_t *to;
	int r;

	if (!checked_mul(damage->width, PIXEL_SIZE, &stride) ||
	    !checked_mul(stride, damage->height, &bytes) ||
	    !checked_add(bytes, (uint32_t)sizeof(update), &bytes))
		return -EOVERFLOW;
	to = socket_compose(s, GPU_MESSAGE_UPDATE, bytes);
	if (!to)
		return -ENOMEM;
	memcpy(to, &update, sizeof(update));
	r = source->impl->read(source, damage, to + sizeof(update), stride);
	if (r < 0)
		s->out_size = 0;
	return r;
}

static bool socket_compose_frame(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];
	const struct display_rect damage = output->damage;
	const struct gpu_message_update update = { scanout, damage.x, damage.y, damage.width,
		damage.height };
	int r = 0;

	output->damage = (struct display_rect){ 0 };
	output->in_flight = true;
	output->flight_owed = output->owed;
	output->flight_serial = output->serial;
	output->owed = output->resend = false;
	output->seat.damage.count = 0;
	if (!output->told_dmabuf)
		r = socket_compose_pixels(s, scanout, &damage);
	else if (!socket_compose_copy(s, GPU_MESSAGE_DMABUF_UPDATE, &update, sizeof(update)))
		r = -ENOMEM;
	if (r < 0) {
		log_guest(&s->read_errors, "cannot show a frame of scan-out %u: %s", scanout,
		    strerror(-r));
		socket_landed(s, scanout);
		return false;
	}
	s->out_frame = scanout;
	return true;
}

static bool socket_compose_output(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];

	if (socket_has_seat(s)) {
		if ((output->cursor_due || output->position_due) &&
		    socket_compose_cursor(s, scanout))
			return true;
		return seat_compose_output(s, scanout);
	}
	/* The window's shape changes when the last frame in the old one has arrived. */
	if (output->scanout_due && !output->in_flight && socket_compose_scanout(s, scanout))
		return true;
	if ((output->cursor_due || output->position_due) && socket_compose_cursor(s, scanout))
		return true;
	if (output->in_flight || !(output->owed || output->resend))
		return false;
	if (output->source && !damage_is_empty(&output->damage))
		return socket_compose_frame(s, scanout);
	/* Nothing to see, and nothing to wait for */
	output->resend = false;
	if (output->owed) {
		output->owed = false;
		socket_shown(s, scanout, output->serial);
	}
	return false;
}

bool socket_compose_next(struct display_socket *s)
{
	if (socket_compose_question(s) || seat_compose_free(s))
		return true;
	for (unsigned i = 0; s->negotiated && i < DISPLAY_SCANOUTS_MAX; i++) {
		const unsigned scanout = (s->next_output + i) % DISPLAY_SCANOUTS_MAX;

		if (socket_compose_output(s, scanout)) {
			s->next_output = scanout + 1;
			return true;
		}
	}
	return false;
}
