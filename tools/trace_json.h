/* SPDX-License-Identifier: MIT */
/*
 * Writes traces in the JSON trace event format that Perfetto (ui.perfetto.dev), chrome://tracing
 * and speedscope read. A device of a guest is a process there; its queues, gpudomd's part and its
 * outputs are threads. gpudom-trace(7) lists what is in it.
 */
#ifndef GPUDOM_TOOLS_TRACE_JSON_H
#define GPUDOM_TOOLS_TRACE_JSON_H

#include <stdio.h>

#include "tools/trace_reader.h"

struct trace_source {
	const char *guest; /* its name; not owned */
	uint16_t domid;
	unsigned devid;
	struct trace_reader worker; /* events: NULL where there are none */
};

struct trace_recording {
	uint64_t from_ns, to_ns; /* CLOCK_MONOTONIC; time 0 of the file is from_ns */
	const struct trace_source *sources;
	size_t source_count;
	const struct trace_reader *gpudomd; /* NULL: nothing of it */
};

/* 0, or -errno where the file could not be written. */
int trace_json_write(FILE *file, const struct trace_recording *recording);

#endif
