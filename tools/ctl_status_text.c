/* SPDX-License-Identifier: MIT */
#include "tools/ctl_status_text.h"

#include <stdarg.h>
#include <string.h>

#include "xen/control_fields.h"

#define LABEL 22 /* columns */

enum ctl_colour ctl_state_colour(const struct ctl_device *device)
{
	if (!strcmp(device->state, "serving"))
		return device->trouble[0] ? CTL_YELLOW : CTL_GREEN;
	if (!strcmp(device->state, "blocked") || !strcmp(device->state, "lost") ||
	    !strcmp(device->state, "absent"))
		return CTL_RED;
	return CTL_YELLOW;
}

static void rates_of(const struct ctl_snapshot *before, const struct ctl_snapshot *now,
    const struct ctl_device *device, struct ctl_rates *rates)
{
	uint64_t elapsed =
	    before && now->now_ns > before->now_ns ? now->now_ns - before->now_ns : 0;

	ctl_device_rates(
	    elapsed ? ctl_snapshot_find(before, device) : NULL, device, elapsed, rates);
}

/* ------------------------------------------------------------------- the table */

enum {
	COLUMN_GUEST,
	COLUMN_DOMID,
	COLUMN_STATE,
	COLUMN_OUTPUTS,
	COLUMN_3D,
	COLUMN_FRAMES,
	COLUMN_P50,
	COLUMN_P99,
	COLUMN_MEMORY,
	COLUMN_WORKER,
	COLUMN_DEATHS,
};

static const struct ctl_column columns[] = {
	[COLUMN_GUEST] = { "GUEST", false },
	[COLUMN_DOMID] = { "DOMAIN", true },
	[COLUMN_STATE] = { "STATE", false },
	[COLUMN_OUTPUTS] = { "OUTPUTS", false },
	[COLUMN_3D] = { "3D", false },
	[COLUMN_FRAMES] = { "FRAMES/S", true },
	[COLUMN_P50] = { "FENCE P50", true },
	[COLUMN_P99] = { "P99", true },
	[COLUMN_MEMORY] = { "MEMORY", true },
	[COLUMN_WORKER] = { "WORKER", true },
	[COLUMN_DEATHS] = { "DEATHS", true },
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static void set_number(struct ctl_table *table, unsigned column, bool known, const char *text)
{
	ctl_table_set(table, column, CTL_PLAIN, "%s", known ? text : "-");
}

static void add_device(
    struct ctl_table *table, const struct ctl_device *device, const struct ctl_rates *rates)
{
	char text[256], number[CTL_NUMBER_MAX];

	if (ctl_table_add_row(table) < 0)
		return;
	ctl_device_title(device, text, sizeof(text));
	ctl_table_set(table, COLUMN_GUEST, CTL_PLAIN, "%s", text);
	ctl_table_set(table, COLUMN_DOMID, CTL_PLAIN, "%u", device->domid);
	ctl_table_set(table, COLUMN_STATE, ctl_state_colour(device), "%s", device->state);
	ctl_device_outputs(device, text, sizeof(text));
	set_number(table, COLUMN_OUTPUTS, text[0], text);
	ctl_table_set(table, COLUMN_3D, CTL_PLAIN, "%s", ctl_device_has_3d(device) ? "yes" : "no");
	ctl_format_count(rates->frames, number);
	set_number(table, COLUMN_FRAMES, rates->known, number);
	ctl_format_ns(rates->fence_p50_ns, number);
	set_number(table, COLUMN_P50, true, number);
	ctl_format_ns(rates->fence_p99_ns, number);
	set_number(table, COLUMN_P99, true, number);
	ctl_format_bytes(device->resident_bytes, number);
	set_number(table, COLUMN_MEMORY, true, number);
	snprintf(number, sizeof(number), "%d", device->pid);
	set_number(table, COLUMN_WORKER, device->pid, number);
	ctl_table_set(table, COLUMN_DEATHS, device->deaths ? CTL_YELLOW : CTL_PLAIN, "%llu",
	    (unsigned long long)device->deaths);
}

static void print_trouble(FILE *out, const struct ctl_snapshot *now, bool colours)
{
	const char *gap = "\n";

	for (size_t i = 0; i < now->count; i++) {
		const struct ctl_device *device = &now->devices[i];
		char title[256];

		if (!device->trouble[0])
			continue;
		ctl_device_title(device, title, sizeof(title));
		fprintf(out, "%s%s%s%s: %s\n", gap, ctl_colour(ctl_state_colour(device), colours),
		    title, ctl_colour(CTL_PLAIN, colours), device->trouble);
		gap = "";
	}
}

void ctl_print_status(FILE *out, const struct ctl_snapshot *before, const struct ctl_snapshot *now,
    bool colours, unsigned width)
{
	struct ctl_table table;

	if (!now->count && now->input_count)
		return;
	if (!now->count) {
		fprintf(out, "gpudomd (process %d) serves no guest now.\n", now->pid);
		return;
	}
	ctl_table_init(&table, columns, COLUMN_COUNT);
	for (size_t i = 0; i < now->count; i++) {
		struct ctl_rates rates;

		rates_of(before, now, &now->devices[i], &rates);
		add_device(&table, &now->devices[i], &rates);
	}
	ctl_table_print(&table, out, colours, width, "");
	ctl_table_finish(&table);
	print_trouble(out, now, colours);
}

/* ------------------------------------------------------------------ one device */

static void print_line(FILE *out, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void print_line(FILE *out, const char *label, const char *format, ...)
{
	va_list args;

	fprintf(out, "  %-*s", LABEL, label);
	va_start(args, format);
	vfprintf(out, format, args);
	va_end(args);
	fputc('\n', out);
}

static void print_ago(FILE *out, const char *label, uint64_t now, uint64_t then)
{
	char text[CTL_NUMBER_MAX];

	ctl_format_ns(now > then ? now - then : 0, text);
	if (then)
		print_line(out, label, "%s ago", text);
	else
		print_line(out, label, "never");
}

static void print_histogram(
    FILE *out, const char *label, const struct telemetry_histogram *histogram)
{
	char p50[CTL_NUMBER_MAX], p99[CTL_NUMBER_MAX];

	ctl_format_ns(telemetry_histogram_quantile(histogram, 500), p50);
	ctl_format_ns(telemetry_histogram_quantile(histogram, 990), p99);
	print_line(
	    out, label, "p50 %s, p99 %s (of %llu)", p50, p99, (unsigned long long)histogram->count);
}

static void print_output(
    FILE *out, const struct ctl_snapshot *now, const struct ctl_device *device, unsigned index)
{
	const struct telemetry_output *output = &device->telemetry.outputs[index];

	fprintf(out, "\n  Output %u: ", index);
	if (output->on)
		fprintf(out, "%llux%llu\n", (unsigned long long)output->width,
		    (unsigned long long)output->height);
	else
		fputs("off\n", out);
	print_line(out, "  frames", "%llu shown of %llu flushes",
	    (unsigned long long)output->frames, (unsigned long long)output->flushes);
	print_ago(out, "  last flush", now->now_ns, output->last_flush_ns);
	if (output->intervals.count)
		print_histogram(out, "  between frames", &output->intervals);
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && !strcmp(text + length - tail, end);
}

/* A number as its name says what it is. */
static void format_number(const char *name, uint64_t value, char text[CTL_NUMBER_MAX])
{
	if (ends_with(name, "_ns"))
		ctl_format_ns(value, text);
	else if (ends_with(name, "_bytes"))
		ctl_format_bytes(value, text);
	else
		snprintf(text, CTL_NUMBER_MAX, "%llu", (unsigned long long)value);
}

/* "gpu busy", for gpu_busy_ns */
static void format_label(const char *name, char *label, size_t size)
{
	int stem = (int)strlen(name) - (ends_with(name, "_ns") ? 3 : 0);

	snprintf(label, size, "%.*s", stem, name);
	for (char *c = label; *c; c++)
		*c = *c == '_' ? ' ' : *c;
}

static void print_field(
    FILE *out, const struct control_field *field, const struct telemetry *telemetry)
{
	char text[CTL_NUMBER_MAX], label[64];

	format_label(field->name, label, sizeof(label));
	format_number(field->name, control_field_get(field, telemetry), text);
	print_line(out, label, "%s", text);
}

/* What there may be of it, at most. NULL: nobody says. */
static struct json_object *find_limit(const struct ctl_device *device, const char *level)
{
	struct json_object *limits, *limit;

	if (!json_object_object_get_ex(device->json, "limits", &limits))
		return NULL;
	if (!strcmp(level, "fences_pending"))
		level = "fences";
	return json_object_object_get_ex(limits, level, &limit) ? limit : NULL;
}

/* "17 of 65536" */
static void print_level(
    FILE *out, const struct control_field *field, const struct ctl_device *device)
{
	struct json_object *limit = find_limit(device, field->name);
	char text[CTL_NUMBER_MAX], most[CTL_NUMBER_MAX], label[64];

	if (!limit) {
		print_field(out, field, &device->telemetry);
		return;
	}
	format_label(field->name, label, sizeof(label));
	format_number(field->name, control_field_get(field, &device->telemetry), text);
	format_number(field->name, json_object_get_uint64(limit), most);
	print_line(out, label, "%s of %s", text, most);
}

/* Members that are texts, or lists of texts; gpudomd knows best what there is to say. */
static void print_words(
    FILE *out, const char *label, struct json_object *object, const char *member)
{
	struct json_object *value;
	size_t count;

	if (!json_object_object_get_ex(object, member, &value) ||
	    !json_object_is_type(value, json_type_array))
		return;
	count = json_object_array_length(value);
	fprintf(out, "  %-*s%s", LABEL, label, count ? "" : "none");
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s%s", i ? ", " : "",
		    json_object_get_string(json_object_array_get_idx(value, i)));
	fputc('\n', out);
}

/* Those that stand by no level; a cap of 0 is none. */
static void print_limits(FILE *out, const struct ctl_device *device)
{
	static const struct {
		const char *name, *label, *unit;
	} caps[] = {
		{ "submissions", "cap: submissions", "" },
		{ "frame_rate", "cap: frames/s", "" },
		{ "gpu_time", "cap: GPU time", " %" },
	};
	struct json_object *limit;

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		limit = find_limit(device, caps[i].name);
		if (limit && json_object_get_uint64(limit))
			print_line(out, caps[i].label, "%llu%s",
			    (unsigned long long)json_object_get_uint64(limit), caps[i].unit);
	}
}

void ctl_print_device(FILE *out, const struct ctl_snapshot *before, const struct ctl_snapshot *now,
    const struct ctl_device *device, bool colours)
{
	const struct telemetry *telemetry = &device->telemetry;
	char text[256], number[CTL_NUMBER_MAX];
	struct json_object *worker = NULL;
	struct ctl_rates rates;

	rates_of(before, now, device, &rates);
	json_object_object_get_ex(device->json, "worker", &worker);
	ctl_device_title(device, text, sizeof(text));
	fprintf(out, "%s%s%s (domain %u, GPU %u): %s%s%s\n", ctl_colour(CTL_BOLD, colours), text,
	    ctl_colour(CTL_PLAIN, colours), device->domid, device->devid,
	    ctl_colour(ctl_state_colour(device), colours), device->state,
	    ctl_colour(CTL_PLAIN, colours));
	if (device->trouble[0])
		fprintf(out, "  %s\n", device->trouble);
	ctl_format_bytes(device->resident_bytes, number);
	print_line(out, "worker", "process %d, memory %s", device->pid, number);
	print_ago(out, "started", now->now_ns, telemetry->started_ns);
	print_line(out, "deaths", "%llu (hung: %llu), replaced %llu times",
	    (unsigned long long)device->deaths, (unsigned long long)device->hangs,
	    (unsigned long long)device->replacements);
	if (device->last_death[0])
		print_line(out, "last death", "%s", device->last_death);
	print_line(out, "frozen", "%llu times", (unsigned long long)device->freezes);
	if (device->for_seat)
		print_line(out, "shown", "%s",
		    device->at_seat ? "at the seat: see gpudomctl status"
				    : "nowhere: gpudom-seat does not run");
	else
		print_line(out, "shown", "nowhere (headless): gpudomctl screenshot");
	print_words(out, "capability sets", worker, "capsets");
	print_words(out, "sandbox", worker, "sandbox");
	print_words(out, "sandbox lacks", worker, "sandbox_lacks");
	if (rates.known) {
		ctl_format_count(rates.frames, text);
		ctl_format_count(rates.commands, number);
		print_line(out, "now", "%s frames/s, %s commands/s, GPU %.0f %%, CPU %.0f %%", text,
		    number, 100 * rates.gpu, 100 * rates.cpu);
	}
	print_histogram(out, "fence latency", &telemetry->fence_latency);
	print_line(out, "registers",
	    "%llu reads, %llu writes; %llu kicks, %llu interrupts passed on",
	    (unsigned long long)device->reads, (unsigned long long)device->writes,
	    (unsigned long long)device->kicks, (unsigned long long)device->interrupts);
	for (const struct control_field *field = control_levels; field->name; field++)
		print_level(out, field, device);
	print_limits(out, device);
	for (const struct control_field *field = control_counters; field->name; field++)
		print_field(out, field, telemetry);
	for (unsigned i = 0; i < telemetry->outputs_count; i++)
		print_output(out, now, device, i);
}
