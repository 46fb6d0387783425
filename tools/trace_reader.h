/* SPDX-License-Identifier: MIT */
/*
 * Reads a ring of trace events (backend/trace.h). A guest may have taken over the worker that wrote
 * it, and that may write at this moment: everything is copied once with pread, and only what makes
 * sense is kept.
 */
#ifndef GPUDOM_TOOLS_TRACE_READER_H
#define GPUDOM_TOOLS_TRACE_READER_H

#include <stddef.h>
#include <stdint.h>

#include "backend/trace.h"

struct trace_reader {
	struct trace_event *events; /* in the order in which they ended */
	size_t count;
	uint64_t lost;    /* overwritten before they were read */
	uint64_t damaged; /* dropped: of no known type, or of no possible time */
};

/* Events that lie within [from_ns, to_ns]. 0; -EPROTO: no such file, or another version's;
 * -errno of read or memory. @fd stays the caller's. */
int trace_reader_init(struct trace_reader *reader, int fd, uint64_t from_ns, uint64_t to_ns);
void trace_reader_finish(struct trace_reader *reader);

#endif
