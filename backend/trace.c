/* SPDX-License-Identifier: MIT */
#include "backend/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct trace_event) == 40 && sizeof(struct trace_header) == 32,
    "readers and writers may be built apart: no padding");

int trace_create_file(void)
{
	const struct trace_header header = {
		.magic = TRACE_MAGIC,
		.version = TRACE_VERSION,
		.event_size = sizeof(struct trace_event),
		.slots = TRACE_SLOTS,
	};
	int fd = memfd_create("gpudom-trace", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)TRACE_FILE_SIZE) < 0 ||
	    pwrite(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		error = errno ? -errno : -EIO;
		close(fd);
		return error;
	}
	return fd;
}

int trace_start(struct trace *trace, int fd)
{
	struct trace_header *header =
	    mmap(NULL, TRACE_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (header == MAP_FAILED)
		return -errno;
	if (header->magic != TRACE_MAGIC || header->version != TRACE_VERSION ||
	    header->event_size != sizeof(struct trace_event) || header->slots != TRACE_SLOTS) {
		munmap(header, TRACE_FILE_SIZE);
		return -EPROTO;
	}
	trace_stop(trace);
	trace->header = header;
	trace->position = header->position;
	trace->from_ns = trace_now();
	return 0;
}

void trace_stop(struct trace *trace)
{
	if (trace->header)
		munmap(trace->header, TRACE_FILE_SIZE);
	trace->header = NULL;
}

uint64_t trace_now(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void trace_write(struct trace *trace, uint64_t begin, struct trace_event *event)
{
	trace_write_past(trace, begin, trace_now(), event);
}

void trace_write_past(struct trace *trace, uint64_t begin, uint64_t end, struct trace_event *event)
{
	struct trace_event *slots = (struct trace_event *)(trace->header + 1);

	if (begin < trace->from_ns)
		return;
	event->end_ns = end;
	event->begin_ns = begin < event->end_ns ? begin : event->end_ns;
	slots[trace->position++ % TRACE_SLOTS] = *event;
	/* A reader that sees the position finds the event. */
	__atomic_store_n(&trace->header->position, trace->position, __ATOMIC_RELEASE);
}
