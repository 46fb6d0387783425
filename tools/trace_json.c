/* SPDX-License-Identifier: MIT */
#include "tools/trace_json.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include "backend/telemetry.h"
#include "tools/version.h"

#define QUEUES 2
#define BATCH_MAX 1024 /* requests of a batch that get an arrow each */

/* Threads of a process, in the order in which viewers show them */
enum {
	TID_GPUDOMD = 1,
	TID_MONITOR,
	TID_QUEUES,
	TID_MEMORY = TID_QUEUES + QUEUES,
	TID_OUTPUTS,
};

static const char *const queue_names[QUEUES] = { "control queue", "cursor queue" };

struct writer {
	FILE *file;
	uint64_t from_ns;
	bool first; /* no comma yet */
	const struct trace_source *source;
	unsigned pid;
	uint64_t spans; /* asynchronous ones, numbered */
	uint32_t outputs_named;
	/* Requests answered, whose answers nobody has shown the driver yet */
	struct {
		uint64_t numbers[BATCH_MAX];
		unsigned count;
	} answered[QUEUES];
};

/* ---------------------------------------------------------------- pieces */

static void write_time(struct writer *writer, const char *key, uint64_t ns)
{
	fprintf(writer->file, ",\"%s\":%" PRIu64 ".%03u", key, ns / 1000, (unsigned)(ns % 1000));
}

/* {"ph":...,"pid":...,"tid":...,"ts":...; the caller goes on with a comma, and closes it */
static void begin_event(struct writer *writer, char phase, unsigned tid, uint64_t ns)
{
	fprintf(writer->file, "%s\n{\"ph\":\"%c\",\"pid\":%u,\"tid\":%u", writer->first ? "" : ",",
	    phase, writer->pid, tid);
	writer->first = false;
	write_time(writer, "ts", ns - writer->from_ns);
}

static void write_name(struct writer *writer, const char *name, const char *category)
{
	fprintf(writer->file, ",\"name\":\"%s\",\"cat\":\"%s\"", name, category);
}

/* The members of args, and the end of the event */
static __attribute__((format(printf, 2, 3))) void end_event(
    struct writer *writer, const char *format, ...)
{
	va_list args;

	fputs(",\"args\":{", writer->file);
	va_start(args, format);
	vfprintf(writer->file, format, args);
	va_end(args);
	fputs("}}", writer->file);
}

/* Names come from people: escaped. */
static void write_metadata(
    struct writer *writer, unsigned tid, const char *what, const char *key, const char *value)
{
	struct json_object *text = json_object_new_string(value);

	fprintf(writer->file,
	    "%s\n{\"ph\":\"M\",\"pid\":%u,\"tid\":%u,\"name\":\"%s\",\"args\":{\"%s\":%s}}",
	    writer->first ? "" : ",", writer->pid, tid, what, key,
	    text ? json_object_to_json_string_ext(text, JSON_C_TO_STRING_PLAIN) : "\"\"");
	writer->first = false;
	json_object_put(text);
}

static void name_thread(struct writer *writer, unsigned tid, const char *name)
{
	char index[16];

	write_metadata(writer, tid, "thread_name", "name", name);
	snprintf(index, sizeof(index), "%u", tid);
	write_metadata(writer, tid, "thread_sort_index", "sort_index", index);
}

static void name_process(struct writer *writer)
{
	char name[256];

	snprintf(name, sizeof(name), "%s (domain %u, GPU %u)", writer->source->guest,
	    writer->source->domid, writer->source->devid);
	write_metadata(writer, 0, "process_name", "name", name);
	name_thread(writer, TID_GPUDOMD, "gpudomd");
	name_thread(writer, TID_MONITOR, "monitor");
	for (unsigned i = 0; i < QUEUES; i++)
		name_thread(writer, TID_QUEUES + i, queue_names[i]);
	name_thread(writer, TID_MEMORY, "guest memory");
}

/* A span of something that others may overlap: a track of its own for each @name */
static void write_overlapping(struct writer *writer, const struct trace_event *event, unsigned tid,
    const char *name, const char *category)
{
	char request[128];

	snprintf(request, sizeof(request), "\"request\":%" PRIu64 ",\"head\":%u,\"value\":%" PRIu64,
	    event->request, event->head, event->value);
	writer->spans++;
	begin_event(writer, 'b', tid, event->begin_ns);
	write_name(writer, name, category);
	fprintf(writer->file, ",\"id2\":{\"local\":\"%" PRIu64 "\"}", writer->spans);
	end_event(writer, "%s", request);
	begin_event(writer, 'e', tid, event->end_ns);
	write_name(writer, name, category);
	fprintf(writer->file, ",\"id2\":{\"local\":\"%" PRIu64 "\"}", writer->spans);
	end_event(writer, "%s", request);
}

static void begin_span(struct writer *writer, const struct trace_event *event, unsigned tid,
    const char *name, const char *category)
{
	begin_event(writer, 'X', tid, event->begin_ns);
	write_time(writer, "dur", event->end_ns - event->begin_ns);
	write_name(writer, name, category);
}

/* An arrow that leads a request from one span to the next: @phase is s, t, or f for its end. */
static void write_flow(
    struct writer *writer, char phase, unsigned queue, uint64_t number, uint64_t ns)
{
	begin_event(writer, phase, TID_QUEUES + queue, ns);
	write_name(writer, "request", "request");
	fprintf(writer->file, ",\"bp\":\"e\",\"id\":\"%u.%u.%" PRIu64 "\"}", writer->pid, queue,
	    number);
}

/* ---------------------------------------------------------------- a worker's events */

static void write_batch(struct writer *writer, const struct trace_event *event, const char *name)
{
	begin_span(writer, event, TID_QUEUES + event->queue, name, "queue");
	end_event(writer,
	    "\"first request\":%" PRIu64 ",\"requests\":%" PRIu32 ",\"bytes\":%" PRIu64,
	    event->request, event->arg, event->value);
}

static void write_step(
    struct writer *writer, const struct trace_event *event, const char *name, const char *category)
{
	const char *command = telemetry_command_name(event->arg);

	begin_span(writer, event, TID_QUEUES + event->queue, name ? name : command, category);
	end_event(writer,
	    "\"command\":\"%s\",\"request\":%" PRIu64 ",\"head\":%u,\"response\":\"0x%" PRIx64 "\"",
	    command, event->request, event->head, event->value);
}

/* Arrows from the batch to each of its requests. */
static void write_flow_starts(struct writer *writer, const struct trace_event *event)
{
	uint64_t count = event->arg < BATCH_MAX ? event->arg : BATCH_MAX;

	for (uint64_t i = 0; i < count; i++)
		write_flow(writer, 's', event->queue, event->request + i, event->begin_ns);
}

static void write_answer(struct writer *writer, const struct trace_event *event)
{
	unsigned *count = &writer->answered[event->queue].count;

	write_overlapping(writer, event, TID_QUEUES + event->queue,
	    telemetry_command_name(event->arg), "request");
	if (*count < BATCH_MAX)
		writer->answered[event->queue].numbers[(*count)++] = event->request;
}

static void write_flow_ends(struct writer *writer, const struct trace_event *event)
{
	for (unsigned i = 0; i < writer->answered[event->queue].count; i++)
		write_flow(writer, 'f', event->queue, writer->answered[event->queue].numbers[i],
		    event->begin_ns);
	writer->answered[event->queue].count = 0;
}

static void write_fence(struct writer *writer, const struct trace_event *event)
{
	char name[64] = "fence, global timeline";

	if (event->ring != TRACE_RING_GLOBAL)
		snprintf(name, sizeof(name), "fence, context %" PRIu32 " ring %u", event->arg,
		    event->ring);
	write_overlapping(writer, event, TID_QUEUES, name, "fence");
}

static void write_flip(struct writer *writer, const struct trace_event *event)
{
	unsigned tid = TID_OUTPUTS + event->arg;
	char name[64];

	snprintf(name, sizeof(name), "output %" PRIu32, event->arg);
	if (!(writer->outputs_named & 1u << event->arg))
		name_thread(writer, tid, name);
	writer->outputs_named |= 1u << event->arg;
	begin_event(writer, 'i', tid, event->end_ns);
	write_name(writer, "flip", "output");
	fputs(",\"s\":\"t\"", writer->file);
	end_event(
	    writer, "\"request\":%" PRIu64 ",\"serial\":%" PRIu64, event->request, event->value);
	snprintf(name, sizeof(name), "flip, output %" PRIu32, event->arg);
	write_overlapping(writer, event, tid, name, "output");
}

static void write_memory(struct writer *writer, const struct trace_event *event)
{
	static const char *const names[] = {
		[TRACE_MAP] = "map",
		[TRACE_UNMAP] = "unmap",
		[TRACE_READ] = "copy from guest",
		[TRACE_WRITE] = "copy to guest",
		[TRACE_FLUSH] = "copy to guest, put off",
	};

	begin_span(writer, event, TID_MEMORY, names[event->type], "memory");
	end_event(writer, "\"pieces\":%" PRIu32 ",\"bytes\":%" PRIu64, event->arg, event->value);
}

/* What the worker's monitor does for it; its interrupts come at the end. */
static void write_monitor(struct writer *writer, const struct trace_event *event)
{
	struct trace_event end = *event;

	end.begin_ns = end.end_ns;
	begin_span(writer, event, TID_MONITOR,
	    event->type == TRACE_TAKE ? "take requests" : "return answers", "monitor");
	end_event(writer, "\"queue\":\"%s\",\"requests\":%" PRIu32, queue_names[event->queue],
	    event->arg);
	if (event->type == TRACE_TAKE || !event->value)
		return;
	begin_span(writer, &end, TID_MONITOR, "interrupt", "monitor");
	end_event(writer, "\"queue\":\"%s\"", queue_names[event->queue]);
}

/* A span of the worker's thread, or of its monitor's */
static void write_thread_span(struct writer *writer, const struct trace_event *event)
{
	switch (event->type) {
	case TRACE_KICK:
		begin_span(writer, event, TID_QUEUES + event->queue, "kick", "queue");
		end_event(writer, "\"kicks\":%" PRIu32, event->arg);
		break;
	case TRACE_DEQUEUE:
		write_batch(writer, event, "dequeue");
		break;
	case TRACE_COPY:
		write_batch(writer, event, "decode: copy");
		break;
	case TRACE_REQUEST:
		write_step(writer, event, NULL, "command");
		break;
	case TRACE_DECODE:
		write_step(writer, event, "decode", "command");
		break;
	case TRACE_RENDER:
		write_step(writer, event, "render", "command");
		break;
	case TRACE_PUBLISH:
		begin_span(writer, event, TID_QUEUES + event->queue, "publish", "queue");
		end_event(writer, "\"answers\":%" PRIu32, event->arg);
		break;
	case TRACE_INTERRUPT:
		begin_span(writer, event, TID_QUEUES + event->queue, "interrupt", "queue");
		end_event(writer, "\"used index\":%" PRIu32, event->arg);
		break;
	case TRACE_TAKE:
	case TRACE_RETURN:
		write_monitor(writer, event);
		break;
	case TRACE_MAP:
	case TRACE_UNMAP:
	case TRACE_READ:
	case TRACE_WRITE:
	case TRACE_FLUSH:
		write_memory(writer, event);
		break;
	default: /* overlapping, or gpudomd's, which nobody believes a worker */
		break;
	}
}

/* What is drawn between the threads, or beside them */
static void write_way(struct writer *writer, const struct trace_event *event)
{
	switch (event->type) {
	case TRACE_DEQUEUE:
		write_flow_starts(writer, event);
		break;
	case TRACE_RENDER:
		write_flow(writer, 't', event->queue, event->request, event->begin_ns);
		break;
	case TRACE_ANSWER:
		write_answer(writer, event);
		break;
	case TRACE_PUBLISH:
		write_flow_ends(writer, event);
		break;
	case TRACE_FENCE:
		write_fence(writer, event);
		break;
	case TRACE_FLIP:
		write_flip(writer, event);
		break;
	case TRACE_THROTTLED:
		write_overlapping(writer, event, TID_QUEUES + event->queue, "throttled", "queue");
		break;
	default:
		break;
	}
}

/* Those that begin first, and of these the one that ends last: what is around before what is in it.
 * Of two that are the same, that is the one that was written last. */
static int compare_spans(const void *a, const void *b)
{
	const struct trace_event *x = *(const struct trace_event *const *)a;
	const struct trace_event *y = *(const struct trace_event *const *)b;

	if (x->begin_ns != y->begin_ns)
		return x->begin_ns < y->begin_ns ? -1 : 1;
	if (x->end_ns != y->end_ns)
		return x->end_ns > y->end_ns ? -1 : 1;
	return x > y ? -1 : x < y;
}

static int write_worker(struct writer *writer, const struct trace_reader *worker)
{
	const struct trace_event **sorted = malloc((worker->count + 1) * sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < worker->count; i++)
		sorted[i] = &worker->events[i];
	qsort(sorted, worker->count, sizeof(*sorted), compare_spans);
	for (size_t i = 0; i < worker->count; i++)
		write_thread_span(writer, sorted[i]);
	free(sorted);
	for (size_t i = 0; i < worker->count; i++)
		write_way(writer, &worker->events[i]);
	return 0;
}

/* ---------------------------------------------------------------- gpudomd's events */

static void write_gpudomd_event(struct writer *writer, const struct trace_event *event)
{
	static const char *const instants[TRACE_TYPES] = {
		[TRACE_CONFIG_CHANGED] = "configuration changed",
		[TRACE_RESET] = "reset by the guest",
		[TRACE_WORKER_READY] = "worker ready",
		[TRACE_WORKER_LOST] = "worker lost",
	};

	if (event->value != trace_device(writer->source->domid, writer->source->devid))
		return;
	if (event->type == TRACE_REGISTER_KICK) {
		begin_span(writer, event, TID_GPUDOMD, "kick", "gpudomd");
		end_event(writer, "\"queue\":\"%s\"", queue_names[event->queue]);
	} else if (event->type == TRACE_IRQ) {
		begin_span(writer, event, TID_GPUDOMD, event->arg ? "interrupt" : "acknowledged",
		    "gpudomd");
		end_event(writer, "\"level\":%" PRIu32, event->arg);
	} else if (instants[event->type]) {
		begin_event(writer, 'i', TID_GPUDOMD, event->end_ns);
		write_name(writer, instants[event->type], "gpudomd");
		fputs(",\"s\":\"p\"", writer->file);
		end_event(writer, "%s", "");
	}
}

/* ---------------------------------------------------------------- all of it */

static int write_source(struct writer *writer, const struct trace_recording *recording)
{
	int error;

	name_process(writer);
	error = write_worker(writer, &writer->source->worker);
	for (size_t i = 0; recording->gpudomd && i < recording->gpudomd->count; i++)
		write_gpudomd_event(writer, &recording->gpudomd->events[i]);
	return error;
}

int trace_json_write(FILE *file, const struct trace_recording *recording)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	int error = 0;

	if (!writer)
		return -ENOMEM;
	writer->file = file;
	writer->from_ns = recording->from_ns;
	writer->first = true;
	fprintf(file,
	    "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"producer\":\"gpudom %s\","
	    "\"CLOCK_MONOTONIC of time 0\":\"%" PRIu64 " ns\"},\"traceEvents\":[",
	    GPUDOM_VERSION, recording->from_ns);
	for (size_t i = 0; i < recording->source_count && !error; i++) {
		writer->source = &recording->sources[i];
		writer->pid = (unsigned)i + 1;
		writer->outputs_named = 0;
		for (unsigned queue = 0; queue < QUEUES; queue++)
			writer->answered[queue].count = 0;
		error = write_source(writer, recording);
	}
	fputs("\n]}\n", file);
	free(writer);
	if (error)
		return error;
	return fflush(file) || ferror(file) ? -EIO : 0;
}
