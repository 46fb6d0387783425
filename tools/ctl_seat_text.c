/* SPDX-License-Identifier: MIT */
#include "tools/ctl_seat_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "tools/ctl_status_text.h"
#include "tools/ctl_text.h"

#define TEXT_MAX 192

/* ------------------------------------------------------------------------ JSON */

static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	return json_object_is_type(object, json_type_object) &&
		       json_object_object_get_ex(object, name, &value)
		   ? value
		   : NULL;
}

/* A copy that is fit for a terminal. "" where there is none. */
static const char *text_of(struct json_object *object, const char *name, char text[TEXT_MAX])
{
	struct json_object *value = member(object, name);

	snprintf(text, TEXT_MAX, "%s",
	    json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "");
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return text;
}

static uint64_t number_of(struct json_object *object, const char *name)
{
	return json_object_get_uint64(member(object, name));
}

static bool is_true(struct json_object *object, const char *name)
{
	return json_object_get_boolean(member(object, name));
}

static size_t length_of(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* ------------------------------------------------------------------- input devices */

void ctl_print_inputs(FILE *out, const struct ctl_snapshot *snapshot, bool colours)
{
	if (snapshot->input_count)
		fputs("\nInput:\n", out);
	for (size_t i = 0; i < snapshot->input_count; i++) {
		const struct ctl_device *device = &snapshot->inputs[i];
		char title[256];

		ctl_device_title(device, title, sizeof(title));
		fprintf(out, "  %-20s %-9s %s%s%s", title, device->kind[0] ? device->kind : "-",
		    ctl_colour(ctl_state_colour(device), colours), device->state,
		    ctl_colour(CTL_PLAIN, colours));
		fprintf(out, "%s%s%s\n", device->at_seat ? "" : ", without a seat",
		    device->trouble[0] ? ". " : "", device->trouble);
	}
}

/* ------------------------------------------------------------------------ seat */

enum { COLUMN_OUTPUT, COLUMN_MODE, COLUMN_GUEST, COLUMN_PATH, COLUMN_SHOWN, COLUMN_OVERTAKEN };

static const struct ctl_column columns[] = {
	[COLUMN_OUTPUT] = { "OUTPUT", false },
	[COLUMN_MODE] = { "MODE", false },
	[COLUMN_GUEST] = { "GUEST", false },
	[COLUMN_PATH] = { "PATH", false },
	[COLUMN_SHOWN] = { "SHOWN", true },
	[COLUMN_OVERTAKEN] = { "OVERTAKEN", true },
};

static void add_view(struct ctl_table *table, struct json_object *view, const char *focus)
{
	char guest[TEXT_MAX], path[TEXT_MAX];
	enum ctl_colour colour;

	text_of(view, "guest", guest);
	text_of(view, "path", path);
	colour = !strcmp(path, "zero copy")                   ? CTL_GREEN
		 : strncmp(path, "hidden", 6) != 0 && path[0] ? CTL_YELLOW
							      : CTL_PLAIN;
	ctl_table_set(table, COLUMN_GUEST, CTL_PLAIN, "%s:%" PRIu64 "%s", guest,
	    number_of(view, "scanout"), *focus && !strcmp(focus, guest) ? " (focus)" : "");
	ctl_table_set(table, COLUMN_PATH, colour, "%s", path[0] ? path : "-");
	ctl_table_set(table, COLUMN_SHOWN, CTL_PLAIN, "%" PRIu64, number_of(view, "shown"));
	ctl_table_set(table, COLUMN_OVERTAKEN, CTL_PLAIN, "%" PRIu64, number_of(view, "overtaken"));
}

static void add_output(struct ctl_table *table, struct json_object *output)
{
	char name[TEXT_MAX], mode[TEXT_MAX];

	ctl_table_set(table, COLUMN_OUTPUT, CTL_PLAIN, "%s", text_of(output, "name", name));
	ctl_table_set(table, COLUMN_MODE, CTL_PLAIN, "%s",
	    is_true(output, "connected") ? text_of(output, "mode", mode) : "unplugged");
}

/* One row for each view of the output (NULL: of none); how many. */
static unsigned add_views(struct ctl_table *table, struct json_object *seat,
    struct json_object *output, const char *focus)
{
	struct json_object *views = member(seat, "views");
	char name[TEXT_MAX], at[TEXT_MAX];
	unsigned count = 0;

	text_of(output, "name", name);
	for (size_t i = 0; i < length_of(views); i++) {
		struct json_object *view = json_object_array_get_idx(views, i);

		if (strcmp(text_of(view, "output", at), name) != 0 || ctl_table_add_row(table) < 0)
			continue;
		if (output)
			add_output(table, output);
		add_view(table, view, focus);
		count++;
	}
	return count;
}

static bool wants_seat(const struct ctl_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->count; i++)
		if (snapshot->devices[i].for_seat)
			return true;
	return snapshot->input_count;
}

void ctl_print_seat(FILE *out, const struct ctl_snapshot *snapshot, bool colours, unsigned width)
{
	struct json_object *seat = member(snapshot->json, "seat"), *outputs;
	char text[TEXT_MAX], focus[TEXT_MAX];
	struct ctl_table table;

	if (!seat)
		return;
	if (text_of(seat, "trouble", text)[0]) {
		if (wants_seat(snapshot))
			fprintf(out, "\n%sSeat%s: %s\n", ctl_colour(CTL_YELLOW, colours),
			    ctl_colour(CTL_PLAIN, colours), text);
		return;
	}
	text_of(seat, "focus", focus);
	fprintf(out, "\nSeat (%s%s), keyboard: %s\n", text_of(seat, "backend", text),
	    is_true(seat, "active") ? "" : ", its screens are somebody else's now",
	    focus[0] ? focus : "nobody's");
	ctl_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
	outputs = member(seat, "outputs");
	for (size_t i = 0; i < length_of(outputs); i++) {
		struct json_object *output = json_object_array_get_idx(outputs, i);

		if (!add_views(&table, seat, output, focus) && ctl_table_add_row(&table) == 0)
			add_output(&table, output);
	}
	add_views(&table, seat, NULL, focus);
	ctl_table_print(&table, out, colours, width, "");
	ctl_table_finish(&table);
}

/* ---------------------------------------------------------------------- metrics */

static void print_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
}

static void print_input_metrics(FILE *out, const struct ctl_snapshot *snapshot)
{
	if (!snapshot->input_count)
		return;
	print_head(out, "gpudom_input_up", "gauge", "1 for an input device whose worker serves it");
	for (size_t i = 0; i < snapshot->input_count; i++) {
		const struct ctl_device *device = &snapshot->inputs[i];

		fputs("gpudom_input_up{guest=\"", out);
		ctl_print_escaped(out, device->guest);
		fprintf(out, "\",domid=\"%u\",device=\"%u\",kind=\"%s\"} %d\n", device->domid,
		    device->devid, device->kind, !strcmp(device->state, "serving"));
	}
	print_head(
	    out, "gpudom_input_worker_deaths_total", "counter", "Input workers that have died");
	for (size_t i = 0; i < snapshot->input_count; i++) {
		const struct ctl_device *device = &snapshot->inputs[i];

		fputs("gpudom_input_worker_deaths_total{guest=\"", out);
		ctl_print_escaped(out, device->guest);
		fprintf(out, "\",domid=\"%u\",device=\"%u\",kind=\"%s\"} %" PRIu64 "\n",
		    device->domid, device->devid, device->kind, device->deaths);
	}
}

static void print_list(FILE *out, struct json_object *list, bool views, const char *metric,
    const char *help, const char *name)
{
	char text[TEXT_MAX];

	print_head(out, metric, "counter", help);
	for (size_t i = 0; i < length_of(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i);

		fprintf(out, "%s{%s=\"", metric, views ? "guest" : "output");
		ctl_print_escaped(out, text_of(one, views ? "guest" : "name", text));
		if (views)
			fprintf(out, "\",scanout=\"%" PRIu64, number_of(one, "scanout"));
		fprintf(out, "\"} %" PRIu64 "\n", number_of(one, name));
	}
}

/* 1 for the way that frames take, without the reason. */
static void print_paths(FILE *out, struct json_object *views)
{
	char guest[TEXT_MAX], path[TEXT_MAX];

	print_head(out, "gpudom_seat_view_path", "gauge", "1 for the way that frames take");
	for (size_t i = 0; i < length_of(views); i++) {
		struct json_object *view = json_object_array_get_idx(views, i);

		text_of(view, "path", path);
		path[strcspn(path, ":")] = '\0';
		fputs("gpudom_seat_view_path{guest=\"", out);
		ctl_print_escaped(out, text_of(view, "guest", guest));
		fprintf(out, "\",scanout=\"%" PRIu64 "\",path=\"", number_of(view, "scanout"));
		ctl_print_escaped(out, path);
		fputs("\"} 1\n", out);
	}
}

void ctl_print_seat_metrics(FILE *out, const struct ctl_snapshot *snapshot)
{
	struct json_object *seat = member(snapshot->json, "seat");
	struct json_object *outputs = member(seat, "outputs"), *views = member(seat, "views");

	print_input_metrics(out, snapshot);
	if (!seat)
		return;
	print_head(out, "gpudom_seat_up", "gauge", "1 where gpudom-seat answers");
	fprintf(out, "gpudom_seat_up %d\n", outputs != NULL);
	if (!outputs)
		return;
	print_list(out, outputs, false, "gpudom_seat_flips_total", "Frames of the output", "flips");
	print_list(out, outputs, false, "gpudom_seat_composed_total",
	    "Frames of the output that were put together by the CPU", "composed");
	print_list(out, outputs, false, "gpudom_seat_failures_total",
	    "Commits that the output's driver refused", "failures");
	print_list(out, views, true, "gpudom_seat_presented_total",
	    "Frames that the guest's worker has handed over", "presented");
	print_list(out, views, true, "gpudom_seat_shown_total", "Of these, on screen", "shown");
	print_list(out, views, true, "gpudom_seat_overtaken_total",
	    "Of these, followed by another one before they were on screen", "overtaken");
	print_paths(out, views);
}
