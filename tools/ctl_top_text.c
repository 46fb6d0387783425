/* SPDX-License-Identifier: MIT */
#include "tools/ctl_top_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl_status_text.h"
#include "tools/ctl_text.h"

static const char *const orders[CTL_TOP_ORDERS] = {
	[CTL_TOP_GUEST] = "guest",
	[CTL_TOP_FRAMES] = "frames",
	[CTL_TOP_COMMANDS] = "commands",
	[CTL_TOP_BYTES] = "bytes",
	[CTL_TOP_GPU] = "gpu",
	[CTL_TOP_CPU] = "cpu",
	[CTL_TOP_MEMORY] = "memory",
};

int ctl_top_parse_order(const char *name, enum ctl_top_order *order)
{
	for (unsigned i = 0; i < CTL_TOP_ORDERS; i++)
		if (!strcmp(orders[i], name)) {
			*order = (enum ctl_top_order)i;
			return 0;
		}
	return -EINVAL;
}

/* A line to be. */
struct top_line {
	const struct ctl_device *device;
	struct ctl_rates rates;
	enum ctl_top_order order;
};

/* What it is sorted by. */
static double line_weight(const struct top_line *line)
{
	switch (line->order) {
	case CTL_TOP_FRAMES:
		return line->rates.frames;
	case CTL_TOP_COMMANDS:
		return line->rates.commands;
	case CTL_TOP_BYTES:
		return line->rates.bytes;
	case CTL_TOP_GPU:
		return line->rates.gpu;
	case CTL_TOP_CPU:
		return line->rates.cpu;
	case CTL_TOP_MEMORY:
		return (double)line->device->resident_bytes;
	case CTL_TOP_GUEST:
	case CTL_TOP_ORDERS:
		break;
	}
	return 0;
}

/* Equals stay in the order of their names, so that lines do not jump about. */
static int line_compare(const void *a, const void *b)
{
	const struct top_line *one = a, *other = b;
	double first = line_weight(one), second = line_weight(other);
	int names = strcmp(one->device->guest, other->device->guest);

	if (first != second)
		return first < second ? 1 : -1;
	if (names)
		return names;
	if (one->device->domid != other->device->domid)
		return one->device->domid < other->device->domid ? -1 : 1;
	return one->device->devid < other->device->devid ? -1 : 1;
}

enum {
	COLUMN_GUEST,
	COLUMN_STATE,
	COLUMN_FRAMES,
	COLUMN_COMMANDS,
	COLUMN_BYTES,
	COLUMN_P50,
	COLUMN_P99,
	COLUMN_GPU,
	COLUMN_CPU,
	COLUMN_MEMORY,
	COLUMN_HOST,
	COLUMN_BACKING,
};

static const struct ctl_column columns[] = {
	[COLUMN_GUEST] = { "GUEST", false },
	[COLUMN_STATE] = { "STATE", false },
	[COLUMN_FRAMES] = { "FRAMES/S", true },
	[COLUMN_COMMANDS] = { "COMMANDS/S", true },
	[COLUMN_BYTES] = { "BYTES/S", true },
	[COLUMN_P50] = { "FENCE P50", true },
	[COLUMN_P99] = { "P99", true },
	[COLUMN_GPU] = { "GPU %", true },
	[COLUMN_CPU] = { "CPU %", true },
	[COLUMN_MEMORY] = { "MEMORY", true },
	[COLUMN_HOST] = { "PIXELS", true },
	[COLUMN_BACKING] = { "BACKING", true },
};
#define COLUMN_COUNT (sizeof(columns) / sizeof(columns[0]))

static void add_line(struct ctl_table *table, const struct top_line *line)
{
	const struct ctl_device *device = line->device;
	const struct ctl_rates *rates = &line->rates;
	char text[256], number[CTL_NUMBER_MAX];

	if (ctl_table_add_row(table) < 0)
		return;
	ctl_device_title(device, text, sizeof(text));
	ctl_table_set(table, COLUMN_GUEST, CTL_PLAIN, "%s", text);
	ctl_table_set(table, COLUMN_STATE, ctl_state_colour(device), "%s", device->state);
	ctl_format_count(rates->frames, number);
	ctl_table_set(table, COLUMN_FRAMES, CTL_PLAIN, "%s", rates->known ? number : "-");
	ctl_format_count(rates->commands, number);
	ctl_table_set(table, COLUMN_COMMANDS, CTL_PLAIN, "%s", rates->known ? number : "-");
	/* A worker can count what it likes, but 1e18 is still a number of bytes. */
	ctl_format_bytes(rates->bytes < 1e18 ? (uint64_t)rates->bytes : (uint64_t)1e18, number);
	ctl_table_set(table, COLUMN_BYTES, CTL_PLAIN, "%s", number);
	ctl_format_ns(rates->fence_p50_ns, number);
	ctl_table_set(table, COLUMN_P50, CTL_PLAIN, "%s", number);
	ctl_format_ns(rates->fence_p99_ns, number);
	ctl_table_set(table, COLUMN_P99, CTL_PLAIN, "%s", number);
	ctl_table_set(table, COLUMN_GPU, CTL_PLAIN, "%.0f", 100 * rates->gpu);
	ctl_table_set(table, COLUMN_CPU, CTL_PLAIN, "%.0f", 100 * rates->cpu);
	ctl_format_bytes(device->resident_bytes, number);
	ctl_table_set(table, COLUMN_MEMORY, CTL_PLAIN, "%s", number);
	ctl_format_bytes(device->telemetry.levels.host_bytes, number);
	ctl_table_set(table, COLUMN_HOST, CTL_PLAIN, "%s", number);
	ctl_format_bytes(device->telemetry.levels.backing_bytes, number);
	ctl_table_set(table, COLUMN_BACKING, CTL_PLAIN, "%s", number);
}

static void print_head(FILE *out, const struct ctl_top_page *page, bool colours, const char *end)
{
	const struct ctl_snapshot *now = page->now;
	uint64_t up = now->now_ns > now->started_ns ? now->now_ns - now->started_ns : 0;
	char text[CTL_NUMBER_MAX];

	ctl_format_ns(up, text);
	fprintf(out, "gpudomd %s, up %s; %zu GPU%s, sorted by %s%s%s%s%s%s\n%s\n", now->version,
	    text, now->count, now->count == 1 ? "" : "s", orders[page->order],
	    page->notice ? "; " : "", ctl_colour(CTL_YELLOW, colours && page->notice),
	    page->notice ? page->notice : "", ctl_colour(CTL_PLAIN, colours && page->notice), end,
	    end);
}

void ctl_print_top(FILE *out, const struct ctl_top_page *page, bool colours, unsigned width,
    unsigned rows, const char *end)
{
	const struct ctl_snapshot *before = page->before, *now = page->now;
	struct top_line *lines = calloc(now->count + 1, sizeof(*lines));
	/* The head's two lines, that of the table, and one that a newline would scroll to */
	size_t shown = rows > 4 && now->count > rows - 4 ? rows - 4 : now->count;
	struct ctl_table table;

	if (!lines)
		return;
	for (size_t i = 0; i < now->count; i++) {
		struct top_line *line = &lines[i];

		line->device = &now->devices[i];
		line->order = page->order;
		ctl_device_rates(before ? ctl_snapshot_find(before, line->device) : NULL,
		    line->device, before ? now->now_ns - before->now_ns : 0, &line->rates);
	}
	qsort(lines, now->count, sizeof(*lines), line_compare);
	print_head(out, page, colours, end);
	ctl_table_init(&table, columns, COLUMN_COUNT);
	for (size_t i = 0; i < shown; i++)
		add_line(&table, &lines[i]);
	ctl_table_print(&table, out, colours, width, end);
	ctl_table_finish(&table);
	free(lines);
}
