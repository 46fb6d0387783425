/* SPDX-License-Identifier: MIT */
/* The settings of gpudom.conf: their names, what each may be, and what its text means. */
#ifndef GPUDOM_XEN_CONFIG_VALUES_H
#define GPUDOM_XEN_CONFIG_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xen/config.h"

/* When a change of a setting reaches a guest that is running. */
enum config_when {
	CONFIG_WHEN_RESET, /* with the worker that its next reset of the device starts */
	CONFIG_WHEN_NOW,   /* at once: gpudomd's own, or told to the worker */
};

/* Which of a guest's workers have a setting as an option. */
enum config_whose {
	CONFIG_OF_GPU,
	CONFIG_OF_ALL,
	CONFIG_OF_NONE, /* gpudomd makes something else of it */
};

struct config_key {
	const char *name;
	const char *option; /* of gpudom-worker, without the dashes; NULL: gpudomd's own */
	bool (*valid)(const struct config_key *key, const char *value);
	const char *expected;     /* for people */
	const char *const *names; /* where the value is a name, or a list of them */
	uint64_t max;
	enum config_when when;
	enum config_whose whose;
	bool list; /* has commas, with blanks behind them perhaps */
	bool each; /* ... and is an option for each of its parts */
};

#define CONFIG_INPUT_DEFAULT "keyboard,pointer,touch,mouse,tablet,switch"

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* Its position; config_key_count: there is none. */
size_t config_key_find(const char *name);

/* The values that config_keys[] has found valid, as numbers; "off" is 0. False: not valid. */
bool config_parse_size(const char *value, uint64_t max, uint64_t *bytes); /* 4096, 64M */
bool config_parse_duration(const char *value, uint32_t *ms);              /* 200ms, 30s, 5min */
bool config_parse_percent(const char *value, uint64_t max, uint32_t *percent); /* 50, 150% */
/* "5/60s": that many, within that many seconds; "0" or "off": none counts. */
bool config_parse_crashes(const char *value, uint32_t *count, uint32_t *seconds);

/* What "input" names at @index; SEAT_INPUT_KINDS: nothing any more, or no kind (*@wrong). */
enum seat_input_kind config_parse_input(const char *value, unsigned index, bool *wrong);

/* Names in a list of capability sets that this build does not have, for people; "" where it has
 * them all. */
void config_missing_capsets(const char *value, char *names, size_t size);

#endif
