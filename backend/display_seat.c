/* SPDX-License-Identifier: MIT */
/*
 * The seat's part of the display's socket (seat_message.h): which buffer a frame is in, and when it
 * goes. A source that can be exported becomes a buffer of the seat's once and is then presented by
 * its number; of another one the damage is copied into memory of the seat's. At most
 * SEAT_FLIGHTS_MAX frames of an output are with the seat; meanwhile damage gathers.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <string.h>
#include <unistd.h>

#include "backend/display_socket_private.h"

/* As DRM_FORMAT_* are made */
#define SEAT_FOURCC(a, b, c, d) \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* ---------------------------------------------------------------- the next frame's buffer */

static bool seat_is_refused(const struct seat_output *output, uint64_t number)
{
	for (unsigned i = 0; i < SEAT_REFUSED_MAX; i++)
		if (output->refused[i] == number)
			return true;
	return false;
}

static void seat_refuse(struct seat_output *output, uint64_t number, int reason)
{
	output->refused[output->refused_next++ % SEAT_REFUSED_MAX] = number;
	output->reason = reason;
}

/* A scan-out is opaque, whatever is in its pixels' alpha. */
static uint32_t seat_fourcc(uint32_t fourcc)
{
	switch (fourcc) {
	case SEAT_FOURCC('A', 'R', '2', '4'):
		return SEAT_FOURCC('X', 'R', '2', '4');
	case SEAT_FOURCC('A', 'B', '2', '4'):
		return SEAT_FOURCC('X', 'B', '2', '4');
	case SEAT_FOURCC('R', 'A', '2', '4'):
		return SEAT_FOURCC('R', 'X', '2', '4');
	case SEAT_FOURCC('B', 'A', '2', '4'):
		return SEAT_FOURCC('B', 'X', '2', '4');
	default:
		return fourcc;
	}
}

/* Exports the source: memory of the GPU's, or the processor's. */
static int seat_export(
    struct display_source *source, struct display_dmabuf *dmabuf, bool *is_memory)
{
	struct display_rect rect; /* we know it */
	int r = -ENOTSUP;

	*is_memory = false;
	if (source->impl->export_dmabuf)
		r = source->impl->export_dmabuf(source, dmabuf, &rect);
	if (r < 0 && source->impl->export_memory) {
		*is_memory = true;
		r = source->impl->export_memory(source, dmabuf, &rect);
	}
	return r;
}

/* An id for a buffer of @scanout. NULL: none is left; true: one is being given back, and the next
 * message finds it. */
static bool seat_reserve(struct display_socket *s, unsigned scanout, struct seat_buffer **buffer)
{
	*buffer = seat_buffer_new(s, scanout);
	return !*buffer && seat_compose_free(s);
}

/* Asks the seat to import the source's buffer. False: it can't be. */
static bool seat_compose_import(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];
	struct display_source *source = output->source;
	struct display_dmabuf dmabuf;
	struct seat_buffer *buffer;
	struct seat_import import;
	bool is_memory;
	int r;

	if (seat_reserve(s, scanout, &buffer))
		return true;
	if (!buffer) {
		output->seat.reason = ENOSPC;
		return false; /* a copy this time */
	}
	r = seat_export(source, &dmabuf, &is_memory);
	if (r < 0) {
		buffer->state = SEAT_BUFFER_NONE;
		seat_refuse(&output->seat, source->buffer, -r);
		return false;
	}
	import = (struct seat_import){
		.id = seat_buffer_id(s, buffer),
		.scanout = scanout,
		.width = dmabuf.width,
		.height = dmabuf.height,
		.stride = dmabuf.stride,
		.offset = dmabuf.offset,
		.fourcc = seat_fourcc(dmabuf.fourcc),
		.flags = dmabuf.y0_top ? 0 : GPU_MESSAGE_DMABUF_FLIPPED,
		.modifier = dmabuf.modifier,
	};
	if (!socket_compose_copy(s, SEAT_MESSAGE_IMPORT, &import, sizeof(import))) {
		buffer->state = SEAT_BUFFER_NONE;
		close(dmabuf.fd);
		output->seat.reason = ENOMEM;
		return false;
	}
	buffer->imported = true;
	buffer->number = source->buffer;
	/* What processors have written is in their caches, perhaps. */
	if (is_memory)
		buffer->sync_fd = fcntl(dmabuf.fd, F_DUPFD_CLOEXEC, 0);
	s->out_fd = dmabuf.fd;
	return true;
}

static bool seat_compose_allocate(struct display_socket *s, unsigned scanout)
{
	const struct display_source *source = s->outputs[scanout].source;
	struct seat_allocate allocate = {
		.scanout = scanout, .width = source->width, .height = source->height
	};
	struct seat_buffer *buffer;

	if (seat_reserve(s, scanout, &buffer))
		return true;
	if (!buffer)
		return false;
	allocate.id = seat_buffer_id(s, buffer);
	buffer->source = (struct display_rect){ 0, 0, source->width, source->height };
	if (!socket_compose_copy(s, SEAT_MESSAGE_ALLOCATE, &allocate, sizeof(allocate))) {
		buffer->state = SEAT_BUFFER_NONE;
		return false;
	}
	return true;
}

/* ---------------------------------------------------------------- frames */

/* What is owed is answered with the last frame on its way; at once where there is none. */
static void seat_settle(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];
	struct seat_output *seat = &output->seat;
	struct seat_flight *last = &seat->flights[seat->flight_count ? seat->flight_count - 1 : 0];

	output->resend = false;
	if (!output->owed)
		return;
	output->owed = false;
	if (seat->flight_count) {
		last->owed = true;
		last->flush = output->serial;
	} else {
		socket_shown(s, scanout, output->serial);
	}
}

/* @buffer NULL: nothing is shown any more. */
static bool seat_compose_present(
    struct display_socket *s, unsigned scanout, struct seat_buffer *buffer)
{
	struct socket_output *output = &s->outputs[scanout];
	struct seat_output *seat = &output->seat;
	struct seat_present present = {
		.scanout = scanout,
		.id = buffer ? seat_buffer_id(s, buffer) : SEAT_NO_BUFFER,
		.serial = seat->serial + 1,
	};

	if (buffer) {
		present.source = buffer->source;
		present.source.width = output->source->width;
		present.source.height = output->source->height;
		present.damage_count = seat->damage.count;
		for (unsigned i = 0; i < seat->damage.count; i++) {
			present.damage[i] = seat->damage.rects[i];
			present.damage[i].x += buffer->source.x;
			present.damage[i].y += buffer->source.y;
		}
	}
	if (!socket_compose_copy(s, SEAT_MESSAGE_PRESENT, &present, sizeof(present)))
		return false;
	seat->serial++;
	seat->flights[seat->flight_count++] = (struct seat_flight){
		.serial = seat->serial, .owed = output->owed, .flush = output->serial
	};
	output->owed = output->resend = false;
	output->damage = (struct display_rect){ 0 };
	seat->damage.count = 0;
	seat->told = buffer;
	if (buffer) {
		buffer->in_use = true;
		buffer->used = ++s->seat_clock;
	}
	return true;
}

static bool seat_compose_zero_copy(
    struct display_socket *s, unsigned scanout, struct seat_buffer *buffer)
{
	struct socket_output *output = &s->outputs[scanout];

	if (buffer->state != SEAT_BUFFER_READY)
		return false; /* the answer comes */
	seat_buffer_drop_memory(s, scanout, 0, 0);
	buffer->source.x = output->source->x;
	buffer->source.y = output->source->y;
	output->seat.path = DISPLAY_PATH_ZERO_COPY;
	output->seat.reason = 0;
	seat_buffer_sync(buffer, DMA_BUF_SYNC_START);
	seat_buffer_sync(buffer, DMA_BUF_SYNC_END);
	return seat_compose_present(s, scanout, buffer);
}

static bool seat_compose_copied(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];
	struct display_source *source = output->source;
	const unsigned count = seat_buffer_drop_memory(s, scanout, source->width, source->height);
	/* One that there is alone is on screen, and better torn than frozen. */
	const bool alone = output->seat.full && count == 1 && !output->seat.flight_count;
	struct seat_buffer *buffer = seat_buffer_idle(s, scanout, alone);
	int r;

	if (!buffer) {
		/* One after the other, as they are needed */
		for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++)
			if (s->buffers[i].state == SEAT_BUFFER_ASKED &&
			    s->buffers[i].scanout == scanout)
				return false;
		if (!output->seat.full)
			return count < SEAT_BUFFERS_EACH && seat_compose_allocate(s, scanout);
		if (!count)
			seat_settle(s, scanout);
		return false;
	}
	output->seat.path = DISPLAY_PATH_ONE_COPY;
	r = seat_buffer_draw(buffer, source);
	if (r < 0) {
		log_guest(&s->read_errors, "cannot show a frame of scan-out %u: %s", scanout,
		    strerror(-r));
		output->damage = (struct display_rect){ 0 };
		seat_settle(s, scanout);
		return false;
	}
	return seat_compose_present(s, scanout, buffer);
}

bool seat_compose_output(struct display_socket *s, unsigned scanout)
{
	struct socket_output *output = &s->outputs[scanout];
	struct seat_output *seat = &output->seat;
	struct display_source *source = output->source;
	struct seat_buffer *buffer;

	if (seat->flight_count == SEAT_FLIGHTS_MAX)
		return false;
	if (!source && output->scanout_due) {
		output->scanout_due = false;
		seat->path = DISPLAY_PATH_NONE;
		seat_buffer_drop_memory(s, scanout, 0, 0);
		if (seat->told)
			return seat_compose_present(s, scanout, NULL);
	}
	if (!(output->owed || output->resend))
		return false;
	if (!source || !seat->damage.count) {
		seat_settle(s, scanout);
		return false;
	}
	output->scanout_due = false;
	buffer = source->buffer ? seat_buffer_find(s, scanout, source->buffer) : NULL;
	if (buffer)
		return seat_compose_zero_copy(s, scanout, buffer);
	if (source->buffer && !seat_is_refused(seat, source->buffer) &&
	    seat_compose_import(s, scanout))
		return true;
	return seat_compose_copied(s, scanout);
}

bool seat_compose_free(struct display_socket *s)
{
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++) {
		const struct seat_free message = { .id = i };

		if (s->buffers[i].state != SEAT_BUFFER_GONE)
			continue;
		s->buffers[i].state = SEAT_BUFFER_NONE;
		return socket_compose_copy(s, SEAT_MESSAGE_FREE, &message, sizeof(message));
	}
	return false;
}

/* ---------------------------------------------------------------- what the device tells */

/* Is that memory for pictures of this size? */
static bool seat_buffer_fits(
    const struct seat_buffer *buffer, unsigned scanout, const struct display_source *source)
{
	return source && buffer->state == SEAT_BUFFER_READY && !buffer->imported &&
	       buffer->scanout == scanout && buffer->source.width == source->width &&
	       buffer->source.height == source->height;
}

/* What is in memory for another size is drawn anew when a source has that size again. */
void seat_note_damage(struct display_socket *s, unsigned scanout, const struct display_rect *damage)
{
	damage_region_add(&s->outputs[scanout].seat.damage, damage);
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++)
		if (seat_buffer_fits(&s->buffers[i], scanout, s->outputs[scanout].source))
			damage_region_add(&s->buffers[i].stale, damage);
}

void seat_note_source(struct display_socket *s, unsigned scanout)
{
	const struct display_source *source = s->outputs[scanout].source;
	struct seat_output *seat = &s->outputs[scanout].seat;

	seat->damage.count = 0;
	if (!source)
		return;
	seat_note_damage(s, scanout, &(struct display_rect){ 0, 0, source->width, source->height });
}

void seat_reset(struct display_socket *s)
{
	seat_buffer_forget_all(s);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		const uint64_t serial = s->outputs[i].seat.serial;

		s->outputs[i].seat = (struct seat_output){ .serial = serial };
		seat_note_source(s, i);
	}
}

/* ---------------------------------------------------------------- what the seat says */

/* There is no memory for frames: what there is will do, else the last good picture stays. "SCANOUT,
 * UPDATE and DMABUF_* are for clients without it", and the seat would have none for them either. */
static void seat_take_no_memory(struct display_socket *s, unsigned scanout, int error)
{
	struct socket_output *output = &s->outputs[scanout];
	const struct display_source *source = output->source;

	output->seat.reason = error;
	output->seat.full = true;
	if (source && !seat_buffer_drop_memory(s, scanout, source->width, source->height))
		output->seat.path = DISPLAY_PATH_NONE;
}

static int seat_take_buffer(
    struct display_socket *s, bool imported, const uint8_t *payload, size_t size)
{
	struct seat_buffer_answer answer;
	struct seat_buffer *buffer;
	int r = 0, fd;

	if (size != sizeof(answer))
		return -EPROTO;
	memcpy(&answer, payload, sizeof(answer));
	buffer = &s->buffers[answer.id % SEAT_BUFFERS_MAX];
	if (answer.id >= SEAT_BUFFERS_MAX || buffer->state != SEAT_BUFFER_ASKED ||
	    buffer->imported != imported)
		return -EPROTO;
	if (answer.error) {
		seat_buffer_finish(buffer);
		r = answer.error < 4096 ? (int)answer.error : EIO;
	} else {
		buffer->state = SEAT_BUFFER_READY;
		if (!imported) {
			fd = socket_take_fd(s);
			if (fd < 0)
				return -EPROTO;
			r = -seat_buffer_map(buffer, fd, answer.stride, answer.size);
		}
		if (r || buffer->unwanted)
			seat_buffer_drop(buffer);
	}
	if (r == 0 || buffer->unwanted)
		return 0;
	log_debug("scan-out %u: the seat does not %s: %s", buffer->scanout,
	    imported ? "show its buffer as it is" : "have memory for it", strerror(r));
	if (imported)
		seat_refuse(&s->outputs[buffer->scanout].seat, buffer->number, r);
	else
		seat_take_no_memory(s, buffer->scanout, r);
	return 0;
}

static int seat_take_shown(struct display_socket *s, const uint8_t *payload, size_t size)
{
	struct seat_output *output;
	struct seat_shown shown;
	uint64_t flush = 0;
	bool owed = false;
	unsigned landed = 0;

	if (size != sizeof(shown))
		return -EPROTO;
	memcpy(&shown, payload, sizeof(shown));
	if (shown.scanout >= DISPLAY_SCANOUTS_MAX)
		return -EPROTO;
	output = &s->outputs[shown.scanout].seat;
	for (; landed < output->flight_count && output->flights[landed].serial <= shown.serial;
	     landed++) {
		if (!output->flights[landed].owed)
			continue;
		owed = true;
		flush = output->flights[landed].flush;
	}
	output->flight_count -= landed;
	memmove(output->flights, output->flights + landed,
	    output->flight_count * sizeof(output->flights[0]));
	if (owed)
		socket_shown(s, shown.scanout, flush);
	return 0;
}

static int seat_take_released(struct display_socket *s, const uint8_t *payload, size_t size)
{
	struct seat_free released;

	if (size != sizeof(released))
		return -EPROTO;
	memcpy(&released, payload, sizeof(released));
	if (released.id >= SEAT_BUFFERS_MAX)
		return -EPROTO;
	if (s->buffers[released.id].state == SEAT_BUFFER_READY)
		s->buffers[released.id].in_use = false;
	return 0;
}

/* Other outputs may show what these could not. */
static int seat_take_modes_changed(struct display_socket *s, size_t size)
{
	if (size != 0)
		return -EPROTO;
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		struct seat_output *output = &s->outputs[i].seat;

		memset(output->refused, 0, sizeof(output->refused));
		s->outputs[i].resend |= output->full && s->outputs[i].source;
		output->full = false;
	}
	socket_ask_all(s);
	return 0;
}

int seat_take(
    struct display_socket *s, uint32_t request, bool answer, const uint8_t *payload, size_t size)
{
	if (!(s->features & GPU_MESSAGE_F_SEAT))
		return -ENOENT;
	switch (request) {
	case SEAT_MESSAGE_IMPORT:
	case SEAT_MESSAGE_ALLOCATE:
		return answer ? seat_take_buffer(s, request == SEAT_MESSAGE_IMPORT, payload, size)
			      : -EPROTO;
	case SEAT_MESSAGE_SHOWN:
		return answer ? -EPROTO : seat_take_shown(s, payload, size);
	case SEAT_MESSAGE_RELEASED:
		return answer ? -EPROTO : seat_take_released(s, payload, size);
	case SEAT_MESSAGE_MODES_CHANGED:
		return answer ? -EPROTO : seat_take_modes_changed(s, size);
	default:
		return -ENOENT;
	}
}
