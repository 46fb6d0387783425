/* SPDX-License-Identifier: MIT */
/*
 * A strict reader of Prometheus' text format (0.0.4): whatever is not as the format demands fails
 * the test. Names, escapes, HELP and TYPE once and before their samples, samples of a metric
 * together and each once, counters that end in _total, histograms whole and rising.
 */
#ifndef GPUDOM_TESTS_UNIT_METRICS_PARSER_H
#define GPUDOM_TESTS_UNIT_METRICS_PARSER_H

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct metrics_sample {
	char name[128], labels[256]; /* labels as they stand between the braces */
	double value;
};

struct metrics {
	size_t count, family_count;
	struct metrics_sample samples[2048];
	struct {
		char name[128], type[16];
		size_t first, end; /* its samples */
	} families[128];
};

static inline size_t metrics_name(const char *text)
{
	size_t n = 0;

	while (isalnum((unsigned char)text[n]) || text[n] == '_' || text[n] == ':')
		n++;
	assert_true(n && !isdigit((unsigned char)text[0]));
	return n;
}

/* What stands between braces; returns what follows. */
static inline char *metrics_labels(char *text)
{
	for (;;) {
		text += metrics_name(text);
		assert_true(text[0] == '=' && text[1] == '"');
		for (text += 2; *text != '"'; text++) {
			assert_true(*text && *text != '\n');
			if (*text != '\\')
				continue;
			text++;
			assert_true(*text == '\\' || *text == '"' || *text == 'n');
		}
		text++;
		if (*text == '}')
			return text;
		assert_int_equal(*text, ',');
		text++;
	}
}

/* Without what a histogram adds to it. */
static inline bool metrics_belongs(const struct metrics *metrics, size_t family, const char *name)
{
	static const char *const ends[] = { "_bucket", "_sum", "_count" };
	size_t length = strlen(metrics->families[family].name);

	if (strncmp(name, metrics->families[family].name, length) != 0)
		return false;
	if (strcmp(metrics->families[family].type, "histogram") != 0)
		return !name[length];
	for (size_t i = 0; i < 3; i++)
		if (!strcmp(name + length, ends[i]))
			return true;
	return false;
}

/* The first @length bytes of @text. */
static inline void metrics_copy(char *to, size_t size, const char *text, size_t length)
{
	assert_true(length < size);
	memcpy(to, text, length);
	to[length] = '\0';
}

static inline void metrics_sample(struct metrics *metrics, char *line)
{
	struct metrics_sample *sample = &metrics->samples[metrics->count];
	size_t length = metrics_name(line);
	char *end = line + length, *number;

	assert_true(metrics->count < sizeof(metrics->samples) / sizeof(metrics->samples[0]));
	metrics_copy(sample->name, sizeof(sample->name), line, length);
	if (*end == '{') {
		char *labels = end + 1;

		end = metrics_labels(labels);
		metrics_copy(
		    sample->labels, sizeof(sample->labels), labels, (size_t)(end - labels));
		end++;
	}
	assert_int_equal(*end, ' ');
	sample->value = strtod(end + 1, &number);
	assert_true(number != end + 1 && !*number);
	assert_true(metrics->family_count);
	assert_true(metrics_belongs(metrics, metrics->family_count - 1, sample->name));
	for (size_t i = 0; i < metrics->count; i++)
		assert_false(!strcmp(metrics->samples[i].name, sample->name) &&
			     !strcmp(metrics->samples[i].labels, sample->labels));
	metrics->families[metrics->family_count - 1].end = ++metrics->count;
}

/* "# HELP name text", which begins a family, and "# TYPE name type", which follows at once */
static inline void metrics_comment(struct metrics *metrics, const char *line)
{
	char name[128], word[16], rest[512];

	assert_int_equal(sscanf(line, "# %15s %127s %511[^\n]", word, name, rest), 3);
	assert_int_equal(metrics_name(name), strlen(name));
	if (!strcmp(word, "HELP")) {
		for (size_t i = 0; i < metrics->family_count; i++)
			assert_string_not_equal(metrics->families[i].name, name);
		assert_null(strchr(rest, '\\'));
		metrics_copy(
		    metrics->families[metrics->family_count].name, 128, name, strlen(name));
		metrics->families[metrics->family_count].type[0] = '\0';
		metrics->families[metrics->family_count].first = metrics->count;
		metrics->families[metrics->family_count++].end = metrics->count;
		return;
	}
	assert_string_equal(word, "TYPE");
	assert_string_equal(metrics->families[metrics->family_count - 1].name, name);
	assert_int_equal(metrics->families[metrics->family_count - 1].end,
	    metrics->families[metrics->family_count - 1].first);
	assert_true(
	    !strcmp(rest, "counter") || !strcmp(rest, "gauge") || !strcmp(rest, "histogram"));
	metrics_copy(metrics->families[metrics->family_count - 1].type, 16, rest, strlen(rest));
	assert_int_equal(!strcmp(rest, "counter"),
	    strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total"));
}

/* Buckets rise in order up to +Inf, which is the count; a sum is there. */
static inline void metrics_histogram(const struct metrics *metrics, size_t family)
{
	double le = -1, value = 0;

	for (size_t i = metrics->families[family].first; i < metrics->families[family].end; i++) {
		const struct metrics_sample *sample = &metrics->samples[i];
		const char *kind = sample->name + strlen(metrics->families[family].name), *bound;

		if (!strcmp(kind, "_bucket")) {
			bound = strstr(sample->labels, "le=\"");
			assert_non_null(bound);
			assert_true(strtod(bound + 4, NULL) > le); /* also of "+Inf" */
			assert_true(sample->value >= value);
			le = strtod(bound + 4, NULL);
			value = sample->value;
		} else if (!strcmp(kind, "_sum")) {
			assert_true(le > 1e300);
		} else {
			assert_true(le > 1e300 && sample->value == value);
			le = -1;
			value = 0;
		}
	}
	assert_true(le < 0);
}

static inline void metrics_parse(struct metrics *metrics, const char *text)
{
	char *copy = strdup(text), *rest = copy, *line;

	memset(metrics, 0, sizeof(*metrics));
	assert_true(*text && text[strlen(text) - 1] == '\n');
	copy[strlen(copy) - 1] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		if (*line == '#')
			metrics_comment(metrics, line);
		else
			metrics_sample(metrics, line);
	}
	free(copy);
	for (size_t i = 0; i < metrics->family_count; i++) {
		assert_true(metrics->families[i].type[0]);
		if (!strcmp(metrics->families[i].type, "histogram"))
			metrics_histogram(metrics, i);
	}
}

/* The sample must be there. */
static inline double metrics_get(
    const struct metrics *metrics, const char *name, const char *labels)
{
	for (size_t i = 0; i < metrics->count; i++)
		if (!strcmp(metrics->samples[i].name, name) &&
		    !strcmp(metrics->samples[i].labels, labels))
			return metrics->samples[i].value;
	fail_msg("no sample %s{%s}", name, labels);
	return 0;
}

#endif
