/* SPDX-License-Identifier: MIT */
/* Numbers of a benchmark, in rounds: medians, ratios, a table, JSON. */
#ifndef GPUDOM_TOOLS_BENCH_REPORT_H
#define GPUDOM_TOOLS_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_ROUNDS_MAX 200
#define BENCH_COLUMNS_MAX 10
#define BENCH_ROWS_MAX 32
#define BENCH_TARGETS_MAX 16

struct bench_cell {
	bool present;
	unsigned count;
	double values[BENCH_ROUNDS_MAX]; /* one for each round */
};

struct bench_row {
	const char *key, *text, *unit;
	int decimals;
	struct bench_cell cells[BENCH_COLUMNS_MAX];
};

struct bench_target {
	const char *text;
	bool known;   /* was it measured? */
	double value; /* what was measured */
	double limit;
	bool at_most; /* else at least */
};

struct bench_report {
	unsigned column_count, row_count, target_count;
	const char *columns[BENCH_COLUMNS_MAX]; /* NULL: not to be shown */
	struct bench_row rows[BENCH_ROWS_MAX];
	struct bench_target targets[BENCH_TARGETS_MAX];
};

/* Returns the row with @key, new where there is none. */
struct bench_row *bench_report_row(
    struct bench_report *report, const char *key, const char *text, const char *unit, int decimals);
void bench_row_add(struct bench_row *row, unsigned column, double value);

/* The @fraction quantile (0.5: the median) of @count values, which it sorts. */
double bench_quantile(double *values, size_t count, double fraction);
double bench_cell_median(const struct bench_cell *cell);

/* The median, over the rounds, of one cell's value divided by another's; false where one of them is
 * empty. Neighbours in time are compared, so that a noisy machine hurts less. */
bool bench_cell_ratio(const struct bench_cell *cell, const struct bench_cell *of, double *ratio);

void bench_report_target(struct bench_report *report, const char *text, bool known, double value,
    double limit, bool at_most);

void bench_report_print(const struct bench_report *report);
/* "-": standard output. -errno, said on standard error. */
int bench_report_write_json(const struct bench_report *report, const char *path);
bool bench_target_met(const struct bench_target *target);

#endif
