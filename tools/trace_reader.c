/* SPDX-License-Identifier: MIT */
#include "tools/trace_reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/display.h"

#define QUEUES 2

static int read_fully(int fd, void *to, size_t size, off_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (uint8_t *)to + done, size - done, offset + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		done += (size_t)n;
	}
	return 0;
}

static int read_position(int fd, uint64_t *position)
{
	struct trace_header header;
	int error = read_fully(fd, &header, sizeof(header), 0);

	if (error)
		return error;
	if (header.magic != TRACE_MAGIC || header.version != TRACE_VERSION ||
	    header.event_size != sizeof(struct trace_event) || header.slots != TRACE_SLOTS)
		return -EPROTO;
	*position = header.position;
	return 0;
}

/* Can this have happened? What numbers a viewer is shown is no matter; what they select is. */
static bool is_plausible(const struct trace_event *event, uint64_t from_ns, uint64_t to_ns)
{
	if (event->type == TRACE_NOTHING || event->type >= TRACE_TYPES)
		return false;
	if (event->begin_ns > event->end_ns || event->begin_ns < from_ns || event->end_ns > to_ns)
		return false;
	if (event->type == TRACE_FLIP && event->arg >= DISPLAY_SCANOUTS_MAX)
		return false;
	return event->type == TRACE_FENCE || event->queue < QUEUES;
}

/* Brings those numbered from @first to @end, which lie around the ring in @slots, to the front. */
static void keep_plausible(struct trace_reader *reader, struct trace_event *slots, uint64_t first,
    uint64_t end, uint64_t from_ns, uint64_t to_ns)
{
	for (; first != end; first++) {
		const struct trace_event *event = &slots[first % TRACE_SLOTS];

		if (is_plausible(event, from_ns, to_ns))
			reader->events[reader->count++] = *event;
		else
			reader->damaged++;
	}
}

/* What was there at the position *@before, and the position when it had been read. */
static int read_slots(struct trace_reader *reader, int fd, struct trace_event **slots,
    uint64_t *before, uint64_t *after)
{
	size_t size;
	int error = read_position(fd, before);

	if (error)
		return error;
	size = (*before < TRACE_SLOTS ? *before : TRACE_SLOTS) * sizeof(struct trace_event);
	*slots = malloc(size + 1);
	reader->events = malloc(size + 1);
	if (!*slots || !reader->events)
		return -ENOMEM;
	error = read_fully(fd, *slots, size, sizeof(struct trace_header));
	return error ? error : read_position(fd, after);
}

int trace_reader_init(struct trace_reader *reader, int fd, uint64_t from_ns, uint64_t to_ns)
{
	struct trace_event *slots = NULL;
	uint64_t before = 0, after = 0, first;
	struct stat stat;
	int error;

	*reader = (struct trace_reader){ 0 };
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode) || stat.st_size != (off_t)TRACE_FILE_SIZE)
		return -EPROTO;
	error = read_slots(reader, fd, &slots, &before, &after);
	if (error) {
		free(slots);
		trace_reader_finish(reader);
		return error;
	}
	/* A writer may be at work: up to its position of now, and the event at that, it has
	 * overwritten the oldest ones. One whose position falls is no writer of ours. */
	if (after < before)
		after = before;
	first = after >= TRACE_SLOTS ? after - TRACE_SLOTS + 1 : 0;
	if (first > before)
		first = before;
	reader->lost = first;
	keep_plausible(reader, slots, first, before, from_ns, to_ns);
	free(slots);
	return 0;
}

void trace_reader_finish(struct trace_reader *reader)
{
	free(reader->events);
	*reader = (struct trace_reader){ 0 };
}
