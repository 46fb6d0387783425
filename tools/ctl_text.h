/* SPDX-License-Identifier: MIT */
/* Text for people: numbers that are short, and tables. */
#ifndef GPUDOM_TOOLS_CTL_TEXT_H
#define GPUDOM_TOOLS_CTL_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CTL_NUMBER_MAX 24 /* bytes of such a text */

/* "-" for 0; "812", "61.2M", "1.5G": of 1024 bytes each */
void ctl_format_bytes(uint64_t bytes, char text[CTL_NUMBER_MAX]);

/* "0", "7.5", "60", "1.2k", "3.4M" */
void ctl_format_count(double count, char text[CTL_NUMBER_MAX]);

/* "-" for 0; "85 us", "1.2 ms", "3.5 s", "7 min", "2 h", "3 d" */
void ctl_format_ns(uint64_t ns, char text[CTL_NUMBER_MAX]);

/* ---------------------------------------------------------------------- tables */

enum ctl_colour { CTL_PLAIN, CTL_GREEN, CTL_YELLOW, CTL_RED, CTL_BOLD };

struct ctl_column {
	const char *head;
	bool right; /* numbers */
};

struct ctl_cell {
	char *text; /* NULL: empty */
	enum ctl_colour colour;
};

struct ctl_table {
	const struct ctl_column *columns;
	unsigned column_count;
	unsigned row_count;
	struct ctl_cell *cells; /* row after row */
};

void ctl_table_init(struct ctl_table *table, const struct ctl_column *columns, unsigned count);
void ctl_table_finish(struct ctl_table *table);

/* An empty one; cells are set in the last row. -ENOMEM: there is none more. */
int ctl_table_add_row(struct ctl_table *table);
void ctl_table_set(struct ctl_table *table, unsigned column, enum ctl_colour colour,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Lines of at most @width columns (0: as they come), in colours or not; each with @end before its
 * newline. */
void ctl_table_print(
    const struct ctl_table *table, FILE *out, bool colours, unsigned width, const char *end);

/* Is @out a terminal that shows colours? */
bool ctl_has_colours(FILE *out);

/* The sequence for a colour; "" where there are none */
const char *ctl_colour(enum ctl_colour colour, bool colours);

#endif
