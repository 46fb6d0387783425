/* SPDX-License-Identifier: MIT */
/* Pictures, and for how long they are needed. */
#include <errno.h>
#include <stdlib.h>

#include "render/seat_private.h"

int buffer_create(struct seat *seat, struct seat_fb *fb, struct seat_buffer **out)
{
	struct seat_buffer *buffer = calloc(1, sizeof(*buffer));

	if (!buffer) {
		seat->backend->impl->free(seat->backend, fb);
		return -ENOMEM;
	}
	buffer->seat = seat;
	buffer->fb = fb;
	*out = buffer;
	return 0;
}

void buffer_charge(struct seat_buffer *buffer, struct seat_guest *guest, uint64_t bytes)
{
	buffer->charged = guest;
	buffer->bytes = bytes;
	guest->bytes += bytes;
	buffer->charged_next = guest->charged;
	buffer->charged_link = &guest->charged;
	if (guest->charged)
		guest->charged->charged_link = &buffer->charged_next;
	guest->charged = buffer;
}

void buffer_uncharge(struct seat_buffer *buffer)
{
	if (!buffer->charged)
		return;
	buffer->charged->bytes -= buffer->bytes;
	buffer->charged = NULL;
	*buffer->charged_link = buffer->charged_next;
	if (buffer->charged_next)
		buffer->charged_next->charged_link = buffer->charged_link;
}

static void buffer_destroy(struct seat_buffer *buffer)
{
	struct seat_backend *backend = buffer->seat->backend;

	buffer_uncharge(buffer);
	seat_image_destroy(buffer->image);
	backend->impl->free(backend, buffer->fb);
	free(buffer);
}

struct seat_buffer *buffer_ref(struct seat_buffer *buffer)
{
	if (buffer)
		buffer->refs++;
	return buffer;
}

void buffer_unref(struct seat_buffer *buffer)
{
	struct seat_source *source;

	if (!buffer || --buffer->refs)
		return;
	source = buffer->source;
	if (!source)
		buffer_destroy(buffer);
	else if (source->listener.released)
		source->listener.released(source->listener.data, buffer->id);
}

void buffer_disown(struct seat_buffer *buffer)
{
	buffer->source = NULL;
	if (!buffer->refs)
		buffer_destroy(buffer);
}

struct seat_image *buffer_image(struct seat_buffer *buffer)
{
	struct seat_backend *backend = buffer->seat->backend;
	void *memory;

	if (buffer->image || buffer->unreadable)
		return buffer->image;
	memory = backend->impl->map(backend, buffer->fb);
	if (!memory || seat_image_create(buffer->fb, memory, &buffer->image) < 0)
		buffer->unreadable = true;
	return buffer->image;
}
