/* SPDX-License-Identifier: MIT */
#include "tools/ctl_metrics_text.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "tools/ctl_seat_text.h"
#include "xen/control_fields.h"

/* Buckets of the histograms: two for each doubling from 64 us to 8 s, at bounds that telemetry.h's
 * have, too. */
#define LE_FIRST_US 64
#define LE_DOUBLINGS 17

/* All samples of a metric stand together, below its help and type. */
static void print_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
}

/* The format's escapes in a label's value: \\, \" and \n. */
void ctl_print_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '\\' || *text == '"')
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

/* Of a device, with others (a text such as ",output=\"0\""). */
static void print_labels(FILE *out, const struct ctl_device *device, const char *others)
{
	fputs("{guest=\"", out);
	ctl_print_escaped(out, device->guest);
	fprintf(out, "\",domid=\"%u\",gpu=\"%u\"%s}", device->domid, device->devid, others);
}

static void print_sample(FILE *out, const char *name, const struct ctl_device *device,
    const char *others, uint64_t value)
{
	fputs(name, out);
	print_labels(out, device, others);
	fprintf(out, " %" PRIu64 "\n", value);
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && !strcmp(text + length - tail, end);
}

/* A number of struct telemetry: durations in seconds, as is the custom. */
static void print_field(FILE *out, const struct ctl_snapshot *snapshot,
    const struct control_field *field, const char *type)
{
	bool seconds = ends_with(field->name, "_ns");
	int stem = (int)strlen(field->name) - (seconds ? 3 : 0);
	char name[96];

	snprintf(name, sizeof(name), "gpudom_%.*s%s%s", stem, field->name,
	    seconds ? "_seconds" : "", !strcmp(type, "counter") ? "_total" : "");
	print_head(out, name, type, field->help);
	for (size_t i = 0; i < snapshot->count; i++) {
		const struct ctl_device *device = &snapshot->devices[i];
		uint64_t value = control_field_get(field, &device->telemetry);

		fputs(name, out);
		print_labels(out, device, "");
		if (seconds)
			fprintf(out, " %.9f\n", (double)value / 1e9);
		else
			fprintf(out, " %" PRIu64 "\n", value);
	}
}

/* A member of struct ctl_device itself. */
#define DEVICE_METRICS(X)                                                                 \
	X(deaths, "worker_deaths_total", "counter", "Workers that have died")             \
	X(replacements, "worker_replacements_total", "counter",                           \
	    "Workers that took the place of one that had died")                           \
	X(hangs, "worker_hangs_total", "counter", "Workers that hung, and were killed")   \
	X(freezes, "freezes_total", "counter",                                            \
	    "Times that the guest has not flushed in time, though it promises to")        \
	X(reads, "register_reads_total", "counter", "Register reads of the guest")        \
	X(writes, "register_writes_total", "counter", "Register writes of the guest")     \
	X(kicks, "kicks_forwarded_total", "counter", "Kicks that passed through gpudomd") \
	X(interrupts, "interrupts_forwarded_total", "counter",                            \
	    "Interrupts that passed through gpudomd")                                     \
	X(resident_bytes, "worker_resident_bytes", "gauge",                               \
	    "Memory that the worker's processes have for themselves, 0 where it is not known")

static void print_device_metrics(FILE *out, const struct ctl_snapshot *snapshot)
{
#define X(member, name, type, help)                  \
	print_head(out, "gpudom_" name, type, help); \
	for (size_t i = 0; i < snapshot->count; i++) \
		print_sample(                        \
		    out, "gpudom_" name, &snapshot->devices[i], "", snapshot->devices[i].member);
	DEVICE_METRICS(X)
#undef X
}

static void print_states(FILE *out, const struct ctl_snapshot *snapshot)
{
	static const char *const states[] = { "starting", "serving", "replacing", "lost",
		"restarting", "absent", "stopping", "blocked" };
	char label[48];

	print_head(out, "gpudom_state", "gauge", "1 for the state that the device is in");
	for (size_t i = 0; i < snapshot->count; i++) {
		const struct ctl_device *device = &snapshot->devices[i];

		for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
			snprintf(label, sizeof(label), ",state=\"%s\"", states[k]);
			print_sample(
			    out, "gpudom_state", device, label, !strcmp(states[k], device->state));
		}
	}
	print_head(out, "gpudom_trouble", "gauge", "1 where gpudomctl status has something to say");
	for (size_t i = 0; i < snapshot->count; i++)
		print_sample(out, "gpudom_trouble", &snapshot->devices[i], "",
		    snapshot->devices[i].trouble[0] != 0);
}

/* As they are called in "status"; see gpudom-control(7). */
static void print_limits(FILE *out, const struct ctl_snapshot *snapshot)
{
	print_head(
	    out, "gpudom_limit", "gauge", "What the guest may have at once; 0 for a cap: none");
	for (size_t i = 0; i < snapshot->count; i++) {
		struct json_object *limits;

		if (!json_object_object_get_ex(snapshot->devices[i].json, "limits", &limits) ||
		    !json_object_is_type(limits, json_type_object))
			continue;
		json_object_object_foreach(limits, name, value)
		{
			char label[64];

			snprintf(label, sizeof(label), ",limit=\"%.40s\"", name);
			print_sample(out, "gpudom_limit", &snapshot->devices[i], label,
			    json_object_get_uint64(value));
		}
	}
}

static void print_commands(FILE *out, const struct ctl_snapshot *snapshot)
{
	char label[64];

	print_head(out, "gpudom_commands_by_type_total", "counter",
	    "Commands that the guest has given, by their type");
	for (size_t i = 0; i < snapshot->count; i++)
		for (unsigned k = 0; k < TELEMETRY_COMMANDS; k++) {
			uint32_t type = telemetry_command_type(k);

			snprintf(label, sizeof(label), ",command=\"%s\"",
			    type ? telemetry_command_name(type) : "unknown");
			print_sample(out, "gpudom_commands_by_type_total", &snapshot->devices[i],
			    label, snapshot->devices[i].telemetry.by_type[k]);
		}
}

/* ------------------------------------------------------------------ histograms */

/* Durations that are shorter than @us. */
static uint64_t count_below(const struct telemetry_histogram *histogram, uint64_t us)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < TELEMETRY_BUCKETS; i++)
		if (telemetry_histogram_below(i) <= us * 1000)
			count += histogram->buckets[i];
	return count;
}

static void print_bucket(FILE *out, const char *name, const struct ctl_device *device,
    const char *others, const char *le, uint64_t count)
{
	char labels[96];

	snprintf(labels, sizeof(labels), "%s,le=\"%s\"", others, le);
	fprintf(out, "%s_bucket", name);
	print_labels(out, device, labels);
	fprintf(out, " %" PRIu64 "\n", count);
}

static void print_histogram(FILE *out, const char *name, const struct ctl_device *device,
    const char *others, const struct telemetry_histogram *histogram)
{
	uint64_t total = count_below(histogram, UINT64_MAX / 1000);
	char text[32];

	/* The last bucket has no bound, and histogram->count may have been read a moment later. */
	total += histogram->buckets[TELEMETRY_BUCKETS - 1];
	for (unsigned i = 0; i <= 2 * LE_DOUBLINGS; i++) {
		uint64_t us = (uint64_t)LE_FIRST_US << i / 2;

		us += i % 2 ? us / 2 : 0;
		snprintf(text, sizeof(text), "%.9g", (double)us / 1e6);
		print_bucket(out, name, device, others, text, count_below(histogram, us));
	}
	print_bucket(out, name, device, others, "+Inf", total);
	fprintf(out, "%s_sum", name);
	print_labels(out, device, others);
	fprintf(out, " %.9f\n", (double)histogram->sum_ns / 1e9);
	fprintf(out, "%s_count", name);
	print_labels(out, device, others);
	fprintf(out, " %" PRIu64 "\n", total);
}

static void print_fences(FILE *out, const struct ctl_snapshot *snapshot)
{
	static const char name[] = "gpudom_fence_latency_seconds";

	print_head(out, name, "histogram", "Time from a command with a fence to its answer");
	for (size_t i = 0; i < snapshot->count; i++)
		print_histogram(out, name, &snapshot->devices[i], "",
		    &snapshot->devices[i].telemetry.fence_latency);
}

/* --------------------------------------------------------------------- outputs */

#define OUTPUT(member) offsetof(struct telemetry_output, member)

/* Numbers of struct telemetry_output */
static const struct {
	const char *name, *type, *help;
	size_t offset;
} output_metrics[] = {
	{ "gpudom_output_on", "gauge", "1 for an output that shows a picture", OUTPUT(on) },
	{ "gpudom_output_width_pixels", "gauge", "Width of the picture", OUTPUT(width) },
	{ "gpudom_output_height_pixels", "gauge", "Height of the picture", OUTPUT(height) },
	{ "gpudom_output_flushes_total", "counter", "Flushes that the guest has asked for",
	    OUTPUT(flushes) },
	{ "gpudom_output_frames_total", "counter", "Frames that were shown", OUTPUT(frames) },
};

static void print_outputs_of(FILE *out, const struct ctl_device *device, size_t metric)
{
	for (unsigned i = 0; i < device->telemetry.outputs_count; i++) {
		uint64_t value;
		char label[32];

		memcpy(&value,
		    (const char *)&device->telemetry.outputs[i] + output_metrics[metric].offset,
		    sizeof(value));
		snprintf(label, sizeof(label), ",output=\"%u\"", i);
		print_sample(out, output_metrics[metric].name, device, label, value);
	}
}

static void print_intervals_of(FILE *out, const char *name, const struct ctl_device *device)
{
	for (unsigned i = 0; i < device->telemetry.outputs_count; i++) {
		char label[32];

		snprintf(label, sizeof(label), ",output=\"%u\"", i);
		print_histogram(out, name, device, label, &device->telemetry.outputs[i].intervals);
	}
}

static void print_outputs(FILE *out, const struct ctl_snapshot *snapshot)
{
	static const char intervals[] = "gpudom_output_frame_interval_seconds";

	for (size_t i = 0; i < sizeof(output_metrics) / sizeof(output_metrics[0]); i++) {
		print_head(
		    out, output_metrics[i].name, output_metrics[i].type, output_metrics[i].help);
		for (size_t k = 0; k < snapshot->count; k++)
			print_outputs_of(out, &snapshot->devices[k], i);
	}
	print_head(out, intervals, "histogram", "Time from one frame to the next");
	for (size_t i = 0; i < snapshot->count; i++)
		print_intervals_of(out, intervals, &snapshot->devices[i]);
}

/* ------------------------------------------------------------------------- all */

static void print_gpudomd(FILE *out, const struct ctl_snapshot *snapshot)
{
	print_head(out, "gpudom_info", "gauge", "Always 1, with gpudomd's version");
	fputs("gpudom_info{version=\"", out);
	ctl_print_escaped(out, snapshot->version);
	fputs("\"} 1\n", out);
	print_head(out, "gpudom_start_time_seconds", "gauge",
	    "When gpudomd was started, in seconds since 1970");
	fprintf(out, "gpudom_start_time_seconds %.3f\n",
	    (double)time(NULL) - (double)(snapshot->now_ns - snapshot->started_ns) / 1e9);
}

void ctl_print_metrics(FILE *out, const struct ctl_snapshot *snapshot)
{
	print_head(out, "gpudom_up", "gauge", "1 where gpudomd answers");
	fprintf(out, "gpudom_up %d\n", snapshot ? 1 : 0);
	if (!snapshot)
		return;
	print_gpudomd(out, snapshot);
	ctl_print_seat_metrics(out, snapshot);
	if (!snapshot->count)
		return;
	print_states(out, snapshot);
	print_device_metrics(out, snapshot);
	for (const struct control_field *field = control_counters; field->name; field++)
		print_field(out, snapshot, field, "counter");
	for (const struct control_field *field = control_levels; field->name; field++)
		print_field(out, snapshot, field, "gauge");
	print_limits(out, snapshot);
	print_commands(out, snapshot);
	print_fences(out, snapshot);
	print_outputs(out, snapshot);
}
