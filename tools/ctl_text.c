/* SPDX-License-Identifier: MIT */
#include "tools/ctl_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GAP 2 /* columns between cells */

/* --------------------------------------------------------------------- numbers */

void ctl_format_bytes(uint64_t bytes, char text[CTL_NUMBER_MAX])
{
	static const char units[] = { ' ', 'K', 'M', 'G', 'T', 'P', 'E' };
	double value = (double)bytes;
	unsigned unit = 0;

	for (; value >= 1000 && unit < sizeof(units) - 1; unit++)
		value /= 1024;
	if (!bytes)
		snprintf(text, CTL_NUMBER_MAX, "-");
	else if (!unit)
		snprintf(text, CTL_NUMBER_MAX, "%.0f", value);
	else
		snprintf(
		    text, CTL_NUMBER_MAX, value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

void ctl_format_count(double count, char text[CTL_NUMBER_MAX])
{
	static const char units[] = { ' ', 'k', 'M', 'G', 'T', 'P', 'E' };
	unsigned unit = 0;

	for (; count >= 999.5 && unit < sizeof(units) - 1; unit++)
		count /= 1000;
	if (unit)
		snprintf(
		    text, CTL_NUMBER_MAX, count < 9.95 ? "%.1f%c" : "%.0f%c", count, units[unit]);
	else
		snprintf(text, CTL_NUMBER_MAX, count > 0 && count < 9.95 ? "%.1f" : "%.0f", count);
}

void ctl_format_ns(uint64_t ns, char text[CTL_NUMBER_MAX])
{
	static const struct {
		double ns;
		const char *name;
	} units[] = {
		{ 86400e9, "d" },
		{ 3600e9, "h" },
		{ 60e9, "min" },
		{ 1e9, "s" },
		{ 1e6, "ms" },
		{ 1e3, "us" },
	};
	unsigned unit = 0;
	double value;

	if (!ns) {
		snprintf(text, CTL_NUMBER_MAX, "-");
		return;
	}
	/* From 100 minutes on, hours; what would round to 1000 ms is a second. */
	while (unit < sizeof(units) / sizeof(units[0]) - 1 && (double)ns < 0.9995 * units[unit].ns)
		unit++;
	value = (double)ns / units[unit].ns;
	snprintf(text, CTL_NUMBER_MAX, value < 9.95 && unit > 2 ? "%.1f %s" : "%.0f %s", value,
	    units[unit].name);
}

/* ---------------------------------------------------------------------- tables */

bool ctl_has_colours(FILE *out)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(fileno(out)) && term && strcmp(term, "dumb") != 0 && !(no && *no);
}

const char *ctl_colour(enum ctl_colour colour, bool colours)
{
	static const char *const sequences[] = {
		[CTL_PLAIN] = "\033[0m",
		[CTL_GREEN] = "\033[32m",
		[CTL_YELLOW] = "\033[33m",
		[CTL_RED] = "\033[1;31m",
		[CTL_BOLD] = "\033[1m",
	};

	return colours ? sequences[colour] : "";
}

void ctl_table_init(struct ctl_table *table, const struct ctl_column *columns, unsigned count)
{
	*table = (struct ctl_table){ .columns = columns, .column_count = count };
}

void ctl_table_finish(struct ctl_table *table)
{
	for (unsigned i = 0; i < table->row_count * table->column_count; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct ctl_table){ 0 };
}

int ctl_table_add_row(struct ctl_table *table)
{
	size_t before = (size_t)table->row_count * table->column_count;
	struct ctl_cell *cells =
	    reallocarray(table->cells, before + table->column_count, sizeof(*cells));

	if (!cells)
		return -ENOMEM;
	memset(cells + before, 0, table->column_count * sizeof(*cells));
	table->cells = cells;
	table->row_count++;
	return 0;
}

void ctl_table_set(
    struct ctl_table *table, unsigned column, enum ctl_colour colour, const char *format, ...)
{
	struct ctl_cell *cell =
	    &table->cells[(table->row_count - 1) * table->column_count + column];
	va_list args;

	free(cell->text);
	va_start(args, format);
	if (vasprintf(&cell->text, format, args) < 0)
		cell->text = NULL;
	va_end(args);
	cell->colour = colour;
}

/* Columns of a terminal that UTF-8 takes, near enough. */
static unsigned text_width(const char *text)
{
	unsigned width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

/* Bytes of the first @width characters. */
static int text_cut(const char *text, unsigned width)
{
	const char *c = text;

	while (*c && (width || (*c & 0xc0) == 0x80)) {
		width -= (*c & 0xc0) != 0x80;
		c++;
	}
	return (int)(c - text);
}

static const struct ctl_cell *table_cell(
    const struct ctl_table *table, unsigned row, unsigned column)
{
	return &table->cells[row * table->column_count + column];
}

static unsigned column_width(const struct ctl_table *table, unsigned column)
{
	unsigned width = text_width(table->columns[column].head);

	for (unsigned row = 0; row < table->row_count; row++) {
		const char *text = table_cell(table, row, column)->text;
		unsigned other = text ? text_width(text) : 0;

		width = other > width ? other : width;
	}
	return width;
}

/* A line as far as it is written; what does not fit into its width is cut. */
struct line {
	FILE *out;
	bool colours;
	unsigned width, at; /* width 0: any */
};

static unsigned line_fit(struct line *line, unsigned wanted)
{
	unsigned room = line->width > line->at ? line->width - line->at : 0;
	unsigned fits = !line->width || wanted < room ? wanted : room;

	line->at += fits;
	return fits;
}

static void line_pad(struct line *line, unsigned spaces)
{
	fprintf(line->out, "%*s", (int)line_fit(line, spaces), "");
}

static void line_write(struct line *line, const char *text, enum ctl_colour colour)
{
	int bytes = text_cut(text, line_fit(line, text_width(text)));

	if (colour == CTL_PLAIN || !bytes)
		fprintf(line->out, "%.*s", bytes, text);
	else
		fprintf(line->out, "%s%.*s%s", ctl_colour(colour, line->colours), bytes, text,
		    ctl_colour(CTL_PLAIN, line->colours));
}

static void print_cell(const struct ctl_table *table, struct line *line, unsigned column,
    const char *text, enum ctl_colour colour)
{
	unsigned spaces = column_width(table, column) - text_width(text);
	bool right = table->columns[column].right;

	line_pad(line, right ? spaces : 0);
	line_write(line, text, colour);
	if (column + 1 < table->column_count)
		line_pad(line, (right ? 0 : spaces) + GAP);
}

void ctl_table_print(
    const struct ctl_table *table, FILE *out, bool colours, unsigned width, const char *end)
{
	struct line line = { .out = out, .colours = colours, .width = width };

	for (unsigned i = 0; i < table->column_count; i++)
		print_cell(table, &line, i, table->columns[i].head, CTL_BOLD);
	fprintf(out, "%s\n", end);
	for (unsigned row = 0; row < table->row_count; row++) {
		line.at = 0;
		for (unsigned i = 0; i < table->column_count; i++) {
			const struct ctl_cell *cell = table_cell(table, row, i);

			print_cell(table, &line, i, cell->text ? cell->text : "", cell->colour);
		}
		fprintf(out, "%s\n", end);
	}
}
