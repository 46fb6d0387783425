/* SPDX-License-Identifier: MIT */
/* The buffers that the seat knows: the guest's own, and memory of the seat's to draw into. */
#include <errno.h>
#include <linux/dma-buf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/display_socket_private.h"

#define PIXEL_SIZE 4

uint32_t seat_buffer_id(const struct display_socket *s, const struct seat_buffer *buffer)
{
	return (uint32_t)(buffer - s->buffers);
}

struct seat_buffer *seat_buffer_find(struct display_socket *s, unsigned scanout, uint64_t number)
{
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++) {
		struct seat_buffer *buffer = &s->buffers[i];

		if ((buffer->state == SEAT_BUFFER_ASKED || buffer->state == SEAT_BUFFER_READY) &&
		    buffer->imported && !buffer->unwanted && buffer->scanout == scanout &&
		    buffer->number == number)
			return buffer;
	}
	return NULL;
}

static void seat_buffer_unmap(struct seat_buffer *buffer)
{
	if (buffer->memory)
		munmap(buffer->memory, buffer->size);
	buffer->memory = NULL;
	if (buffer->sync_fd >= 0)
		close(buffer->sync_fd);
	buffer->sync_fd = -1;
}

void seat_buffer_drop(struct seat_buffer *buffer)
{
	if (buffer->state == SEAT_BUFFER_ASKED) {
		buffer->unwanted = true; /* its answer comes first */
	} else if (buffer->state == SEAT_BUFFER_READY) {
		seat_buffer_unmap(buffer);
		buffer->state = SEAT_BUFFER_GONE;
	}
}

/* Does a source of some output have this buffer now? */
static bool seat_buffer_is_current(const struct display_socket *s, const struct seat_buffer *buffer)
{
	const struct display_source *source = s->outputs[buffer->scanout].source;

	return !buffer->imported || (source && source->buffer == buffer->number);
}

/* Of those that are kept for the case that they come back */
static void seat_buffer_drop_oldest(struct display_socket *s)
{
	struct seat_buffer *oldest = NULL;

	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++) {
		struct seat_buffer *buffer = &s->buffers[i];

		if (buffer->state == SEAT_BUFFER_READY && !buffer->in_use &&
		    !seat_buffer_is_current(s, buffer) && (!oldest || buffer->used < oldest->used))
			oldest = buffer;
	}
	if (oldest)
		seat_buffer_drop(oldest);
}

struct seat_buffer *seat_buffer_new(struct display_socket *s, unsigned scanout)
{
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++) {
		const unsigned id = (s->next_buffer + i) % SEAT_BUFFERS_MAX;
		struct seat_buffer *buffer = &s->buffers[id];

		if (buffer->state != SEAT_BUFFER_NONE)
			continue;
		s->next_buffer = id + 1;
		*buffer = (struct seat_buffer){
			.state = SEAT_BUFFER_ASKED,
			.scanout = scanout,
			.sync_fd = -1,
		};
		return buffer;
	}
	seat_buffer_drop_oldest(s);
	return NULL;
}

unsigned seat_buffer_drop_memory(
    struct display_socket *s, unsigned scanout, uint32_t width, uint32_t height)
{
	unsigned left = 0;

	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++) {
		struct seat_buffer *buffer = &s->buffers[i];

		if (buffer->state == SEAT_BUFFER_NONE || buffer->state == SEAT_BUFFER_GONE ||
		    buffer->imported || buffer->scanout != scanout || buffer->unwanted)
			continue;
		if (buffer->source.width == width && buffer->source.height == height)
			left++;
		else
			seat_buffer_drop(buffer);
	}
	return left;
}

struct seat_buffer *seat_buffer_idle(struct display_socket *s, unsigned scanout, bool or_read)
{
	struct seat_buffer *best = NULL;

	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++) {
		struct seat_buffer *buffer = &s->buffers[i];

		if (buffer->state != SEAT_BUFFER_READY || buffer->imported ||
		    (buffer->in_use && !or_read) || buffer->scanout != scanout)
			continue;
		if (!best || damage_region_area(&buffer->stale) < damage_region_area(&best->stale))
			best = buffer;
	}
	return best;
}

void seat_buffer_sync(const struct seat_buffer *buffer, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags | DMA_BUF_SYNC_WRITE };

	if (buffer->sync_fd >= 0)
		while (ioctl(buffer->sync_fd, DMA_BUF_IOCTL_SYNC, &sync) < 0 &&
		       (errno == EINTR || errno == EAGAIN))
			;
}

int seat_buffer_map(struct seat_buffer *buffer, int fd, uint32_t stride, uint32_t size)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE };
	const off_t end = lseek(fd, 0, SEEK_END);
	void *memory;
	int r;

	/* What is cut off would be SIGBUS later. */
	if (end < (off_t)size || stride < (uint64_t)buffer->source.width * PIXEL_SIZE ||
	    (uint64_t)stride * buffer->source.height > size) {
		close(fd);
		return -EINVAL;
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		r = -errno;
		close(fd);
		return r;
	}
	buffer->memory = memory;
	buffer->stride = stride;
	buffer->size = size;
	buffer->sync_fd = fd;
	/* A memory file needs no such calls. */
	if (ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync) < 0) {
		close(fd);
		buffer->sync_fd = -1;
	} else {
		seat_buffer_sync(buffer, DMA_BUF_SYNC_END);
	}
	damage_region_set(&buffer->stale, buffer->source.width, buffer->source.height);
	return 0;
}

int seat_buffer_draw(struct seat_buffer *buffer, struct display_source *source)
{
	int r = 0;

	seat_buffer_sync(buffer, DMA_BUF_SYNC_START);
	for (unsigned i = 0; r == 0 && i < buffer->stale.count; i++) {
		const struct display_rect *rect = &buffer->stale.rects[i];

		r = source->impl->read(source, rect,
		    buffer->memory + (size_t)rect->y * buffer->stride +
			(size_t)rect->x * PIXEL_SIZE,
		    buffer->stride);
	}
	seat_buffer_sync(buffer, DMA_BUF_SYNC_END);
	if (r == 0)
		buffer->stale.count = 0;
	return r;
}

void seat_buffer_finish(struct seat_buffer *buffer)
{
	if (buffer->state == SEAT_BUFFER_READY || buffer->state == SEAT_BUFFER_ASKED)
		seat_buffer_unmap(buffer);
	buffer->state = SEAT_BUFFER_NONE;
}

void seat_buffer_forget_all(struct display_socket *s)
{
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++)
		seat_buffer_finish(&s->buffers[i]);
}
