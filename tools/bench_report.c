/* SPDX-License-Identifier: MIT */
#include "tools/bench_report.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench_row *bench_report_row(
    struct bench_report *report, const char *key, const char *text, const char *unit, int decimals)
{
	for (unsigned i = 0; i < report->row_count; i++)
		if (strcmp(report->rows[i].key, key) == 0)
			return &report->rows[i];
	if (report->row_count == BENCH_ROWS_MAX)
		abort();
	struct bench_row *row = &report->rows[report->row_count++];
	row->key = key;
	row->text = text;
	row->unit = unit;
	row->decimals = decimals;
	return row;
}

void bench_row_add(struct bench_row *row, unsigned column, double value)
{
	struct bench_cell *cell = &row->cells[column];

	if (cell->count == BENCH_ROUNDS_MAX)
		abort();
	cell->present = true;
	cell->values[cell->count++] = value;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t count, double fraction)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof(*values), compare);
	size_t at = (size_t)(fraction * (double)count);
	return values[at < count ? at : count - 1];
}

double bench_cell_median(const struct bench_cell *cell)
{
	double values[BENCH_ROUNDS_MAX];

	memcpy(values, cell->values, cell->count * sizeof(*values));
	return bench_quantile(values, cell->count, 0.5);
}

bool bench_cell_ratio(const struct bench_cell *cell, const struct bench_cell *of, double *ratio)
{
	double values[BENCH_ROUNDS_MAX];
	unsigned count = cell->count < of->count ? cell->count : of->count;

	if (count == 0)
		return false;
	for (unsigned i = 0; i < count; i++)
		values[i] = cell->values[i] / of->values[i];
	*ratio = bench_quantile(values, count, 0.5);
	return true;
}

void bench_report_target(struct bench_report *report, const char *text, bool known, double value,
    double limit, bool at_most)
{
	if (report->target_count == BENCH_TARGETS_MAX)
		abort();
	report->targets[report->target_count++] =
	    (struct bench_target){ text, known, value, limit, at_most };
}

bool bench_target_met(const struct bench_target *target)
{
	return target->known &&
	       (target->at_most ? target->value <= target->limit : target->value >= target->limit);
}

void bench_report_print(const struct bench_report *report)
{
	printf("%-40s", "");
	for (unsigned c = 0; c < report->column_count; c++)
		if (report->columns[c])
			printf(" %16s", report->columns[c]);
	putchar('\n');
	for (unsigned r = 0; r < report->row_count; r++) {
		const struct bench_row *row = &report->rows[r];
		printf("%-34s %5s", row->text, row->unit);
		for (unsigned c = 0; c < report->column_count; c++) {
			if (!report->columns[c])
				continue;
			if (row->cells[c].present)
				printf(" %16.*f", row->decimals, bench_cell_median(&row->cells[c]));
			else
				printf(" %16s", "-");
		}
		putchar('\n');
	}
	putchar('\n');
	for (unsigned i = 0; i < report->target_count; i++) {
		const struct bench_target *target = &report->targets[i];
		printf("%-66s", target->text);
		if (target->known)
			printf(" %7.2f  %s %.2f  %s\n", target->value,
			    target->at_most ? "at most" : "at least", target->limit,
			    bench_target_met(target) ? "met" : "MISSED");
		else
			printf("       -  not measured\n");
	}
}

static struct json_object *row_to_json(
    const struct bench_report *report, const struct bench_row *row)
{
	struct json_object *object = json_object_new_object();
	struct json_object *cells = json_object_new_object();

	json_object_object_add(object, "text", json_object_new_string(row->text));
	json_object_object_add(object, "unit", json_object_new_string(row->unit));
	for (unsigned c = 0; c < report->column_count; c++) {
		const struct bench_cell *cell = &row->cells[c];
		if (!cell->present)
			continue;
		struct json_object *values = json_object_new_object();
		struct json_object *rounds = json_object_new_array();
		for (unsigned i = 0; i < cell->count; i++)
			json_object_array_add(rounds, json_object_new_double(cell->values[i]));
		json_object_object_add(
		    values, "median", json_object_new_double(bench_cell_median(cell)));
		json_object_object_add(values, "rounds", rounds);
		json_object_object_add(cells, report->columns[c], values);
	}
	json_object_object_add(object, "results", cells);
	return object;
}

static struct json_object *target_to_json(const struct bench_target *target)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "text", json_object_new_string(target->text));
	if (target->known)
		json_object_object_add(object, "value", json_object_new_double(target->value));
	json_object_object_add(object, target->at_most ? "at_most" : "at_least",
	    json_object_new_double(target->limit));
	if (target->known)
		json_object_object_add(
		    object, "met", json_object_new_boolean(bench_target_met(target)));
	return object;
}

int bench_report_write_json(const struct bench_report *report, const char *path)
{
	struct json_object *object = json_object_new_object();
	struct json_object *rows = json_object_new_object();
	struct json_object *targets = json_object_new_array();
	int ret = 0;

	for (unsigned i = 0; i < report->row_count; i++)
		json_object_object_add(
		    rows, report->rows[i].key, row_to_json(report, &report->rows[i]));
	for (unsigned i = 0; i < report->target_count; i++)
		json_object_array_add(targets, target_to_json(&report->targets[i]));
	json_object_object_add(object, "measurements", rows);
	json_object_object_add(object, "targets", targets);
	int flags = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
	if (strcmp(path, "-") == 0)
		puts(json_object_to_json_string_ext(object, flags));
	else if (json_object_to_file_ext(path, object, flags) < 0)
		ret = errno ? -errno : -EIO;
	if (ret < 0)
		fprintf(stderr, "gpudom-bench: cannot write %s: %s\n", path, strerror(-ret));
	json_object_put(object);
	return ret;
}
