/* SPDX-License-Identifier: MIT */
/* A ring of trace events as a worker left it that somebody has taken over: read, and written for
 * Perfetto. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/trace_json.h"

#define EVENTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The header, then events from the ring's beginning; the first byte says whether the ring
 * has wrapped. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	const size_t event = sizeof(struct trace_event);
	struct trace_reader reader;
	uint64_t position;

	if (fd < 0)
		fd = trace_create_file();
	if (fd < 0)
		abort();
	if (size < 1 || size > 1 + EVENTS_MAX * event)
		return 0;
	position = data[0] == UINT8_MAX ? UINT64_MAX : (size - 1) / event;
	if (pwrite(fd, data + 1, size - 1, sizeof(struct trace_header)) < 0 ||
	    pwrite(fd, &position, sizeof(position), offsetof(struct trace_header, position)) < 0)
		abort();
	if (trace_reader_init(&reader, fd, 0, data[0] % 3 ? UINT64_MAX : INT64_MAX) < 0)
		abort();
	const struct trace_source source = { .guest = "fuzz", .worker = reader };
	const struct trace_recording recording = {
		.to_ns = UINT64_MAX, .sources = &source, .source_count = 1, .gpudomd = &reader
	};
	FILE *file = fopen("/dev/null", "we");

	if (!file || trace_json_write(file, &recording) < 0)
		abort();
	fclose(file);
	trace_reader_finish(&reader);
	return 0;
}
