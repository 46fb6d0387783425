/* SPDX-License-Identifier: MIT */
#include "xen/tracing.h"

#include <time.h>
#include <unistd.h>

void tracing_init(struct tracing *tracing, sd_event *event, void (*stopped)(void *data), void *data)
{
	*tracing = (struct tracing){ .event = event, .stopped = stopped, .data = data, .fd = -1 };
}

void tracing_forget(struct tracing *tracing)
{
	if (tracing->fd >= 0)
		close(tracing->fd);
	tracing->fd = -1;
}

static int tracing_timeout(sd_event_source *source, uint64_t usec, void *data)
{
	struct tracing *tracing = data;

	tracing->stopped(tracing->data);
	return 0;
}

int tracing_start(struct tracing *tracing, unsigned seconds)
{
	int error = 0;

	tracing_forget(tracing);
	tracing->fd = trace_create_file();
	if (tracing->fd < 0)
		return tracing->fd;
	if (seconds)
		error = sd_event_add_time_relative(tracing->event, &tracing->timeout,
		    CLOCK_MONOTONIC, (uint64_t)seconds * 1000000, 0, tracing_timeout, tracing);
	if (error >= 0)
		error = trace_start(&tracing->ring, tracing->fd);
	if (error < 0) {
		tracing->timeout = sd_event_source_disable_unref(tracing->timeout);
		tracing_forget(tracing);
		return error;
	}
	tracing->from_ns = trace_now();
	tracing->to_ns = UINT64_MAX;
	tracing->on = true;
	return 0;
}

void tracing_stop(struct tracing *tracing)
{
	tracing->timeout = sd_event_source_disable_unref(tracing->timeout);
	if (!tracing->on)
		return;
	tracing->to_ns = trace_now();
	tracing->on = tracing->all = false;
	trace_stop(&tracing->ring);
}

void tracing_finish(struct tracing *tracing)
{
	tracing_stop(tracing);
	tracing_forget(tracing);
}
