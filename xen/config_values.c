/* SPDX-License-Identifier: MIT */
#include "xen/config_values.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/capset.h"
#include "backend/edid.h"
#include "backend/gpu_limits.h"
#include "xen/policy.h"

#define DAY_MS (24 * 60 * 60 * 1000)
#define CPUS_MAX 1024

static bool is_off(const char *value)
{
	return strcmp(value, "off") == 0;
}

static bool is_number(const char *value, uint64_t max, const char **end, uint64_t *number)
{
	unsigned long long n;
	char *e;

	if (!isdigit((unsigned char)*value))
		return false;
	errno = 0;
	n = strtoull(value, &e, 10);
	*end = e;
	*number = n;
	return !errno && n <= max;
}

/* ------------------------------------------------------------------- numbers */

bool config_parse_size(const char *value, uint64_t max, uint64_t *bytes)
{
	unsigned shift = 0;
	const char *end;
	uint64_t n;

	*bytes = 0;
	if (is_off(value))
		return true;
	if (!is_number(value, max, &end, &n))
		return false;
	if (*end) {
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
		end += shift != 0;
	}
	*bytes = n << shift;
	return !*end && n <= max >> shift;
}

bool config_parse_duration(const char *value, uint32_t *ms)
{
	static const struct {
		const char *unit;
		uint32_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "min", 60000 } };
	const char *end;
	uint64_t n;

	*ms = 0;
	if (is_off(value))
		return true;
	if (!is_number(value, DAY_MS, &end, &n) || !n)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		*ms = (uint32_t)(n * units[i].ms);
		return n * units[i].ms <= DAY_MS;
	}
	return false;
}

bool config_parse_percent(const char *value, uint64_t max, uint32_t *percent)
{
	const char *end;
	uint64_t n;

	*percent = 0;
	if (is_off(value))
		return true;
	if (!is_number(value, max, &end, &n) || !n)
		return false;
	*percent = (uint32_t)n;
	return !strcmp(end, "") || !strcmp(end, "%");
}

bool config_parse_crashes(const char *value, uint32_t *count, uint32_t *seconds)
{
	const char *end;
	uint64_t n, s;

	*count = 0;
	*seconds = 60;
	if (is_off(value) || !strcmp(value, "0"))
		return true;
	if (!is_number(value, POLICY_CRASHES_MAX, &end, &n) || *end != '/' ||
	    !is_number(end + 1, DAY_MS / 1000, &end, &s) || !s)
		return false;
	*count = (uint32_t)n;
	*seconds = (uint32_t)s;
	return !strcmp(end, "") || !strcmp(end, "s");
}

static bool valid_number(const struct config_key *key, const char *value)
{
	const char *end;
	uint64_t n;

	return is_number(value, key->max, &end, &n) && !*end;
}

static bool valid_count(const struct config_key *key, const char *value)
{
	return valid_number(key, value) && strtoull(value, NULL, 10) > 0;
}

static bool valid_limit(const struct config_key *key, const char *value)
{
	struct gpu_limits limits;
	const char *expected;

	return gpu_limits_set(&limits, key->name, value, &expected) == 0;
}

static bool valid_memory(const struct config_key *key, const char *value)
{
	uint64_t bytes;

	return config_parse_size(value, key->max, &bytes) && (bytes || is_off(value));
}

/* Of the process; without an off. */
static bool valid_size(const struct config_key *key, const char *value)
{
	uint64_t bytes;

	return config_parse_size(value, key->max, &bytes) && bytes;
}

static bool valid_duration(const struct config_key *key, const char *value)
{
	uint32_t ms;

	return config_parse_duration(value, &ms);
}

static bool valid_percent(const struct config_key *key, const char *value)
{
	uint32_t percent;

	return config_parse_percent(value, key->max, &percent);
}

static bool valid_crashes(const struct config_key *key, const char *value)
{
	uint32_t count, seconds;

	return config_parse_crashes(value, &count, &seconds);
}

/* ------------------------------------------------------------------- texts */

static bool valid_path(const struct config_key *key, const char *value)
{
	return value[0] == '/' && strlen(value) < CONFIG_VALUE_MAX;
}

static bool valid_name(const struct config_key *key, const char *value)
{
	for (const char *const *name = key->names; *name; name++)
		if (!strcmp(*name, value))
			return true;
	return false;
}

static bool valid_capsets(const struct config_key *key, const char *value)
{
	uint32_t mask;

	return capset_parse(value, &mask) == 0;
}

void config_missing_capsets(const char *value, char *names, size_t size)
{
	char text[CAPSET_NAMES_MAX] = "";
	uint32_t mask = 0;

	capset_parse(value, &mask);
	if (mask & ~CAPSETS_BUILT)
		capset_format(mask & ~CAPSETS_BUILT, text);
	snprintf(names, size, "%s", text);
}

enum seat_input_kind config_parse_input(const char *value, unsigned index, bool *wrong)
{
	*wrong = false;
	for (unsigned i = 0;; i++) {
		size_t length = strcspn(value, ",");
		char name[16] = "";

		if (i == index) {
			if (length < sizeof(name))
				memcpy(name, value, length);
			*wrong = seat_input_kind_parse(name) == SEAT_INPUT_KINDS;
			return seat_input_kind_parse(name);
		}
		if (!value[length])
			return SEAT_INPUT_KINDS;
		value += length + 1;
	}
}

/* Each at most once: a guest's device is found by its kind. */
static bool valid_input(const struct config_key *key, const char *value)
{
	uint32_t seen = 0;

	for (unsigned i = 0;; i++) {
		bool wrong;
		enum seat_input_kind kind = config_parse_input(value, i, &wrong);

		if (wrong || seen & UINT32_C(1) << kind)
			return false;
		if (kind == SEAT_INPUT_KINDS)
			return true;
		seen |= UINT32_C(1) << kind;
	}
}

/* ------------------------------------------------------------------- outputs */

/* Hertz, perhaps with a fraction. */
static bool is_refresh(const char *value, const char **end)
{
	uint64_t n;

	if (!is_number(value, 1000, end, &n))
		return false;
	if (**end == '.')
		for (++*end; isdigit((unsigned char)**end); ++*end)
			;
	return true;
}

static bool valid_refresh(const struct config_key *key, const char *value)
{
	const char *end;

	return is_refresh(value, &end) && !*end;
}

/* WIDTHxHEIGHT, each not 0. */
static bool is_size(const char *value, uint64_t max, const char **end)
{
	uint64_t width, height;

	return is_number(value, max, end, &width) && **end == 'x' &&
	       is_number(*end + 1, max, end, &height) && width && height;
}

/* WIDTHxHEIGHT, more of them with commas in between. */
static bool valid_sizes(const struct config_key *key, const char *value)
{
	uint32_t width, height;
	char size[16];

	for (;;) {
		size_t length = strcspn(value, ",");

		if (length >= sizeof(size))
			return false;
		memcpy(size, value, length);
		size[length] = '\0';
		if (edid_size_parse(size, &width, &height) < 0)
			return false;
		if (!value[length])
			return true;
		value += length + 1;
	}
}

static bool valid_edid(const struct config_key *key, const char *value)
{
	struct edid_identity identity;
	const char *expected;

	return edid_identity_set(&identity, key->name, value, &expected) == 0;
}

/* WIDTHxHEIGHT[@HZ], more of them with commas in between. */
static bool valid_modes(const struct config_key *key, const char *value)
{
	for (;;) {
		const char *at;

		if (!is_size(value, key->max, &at))
			return false;
		if (*at == '@' && !is_refresh(at + 1, &at))
			return false;
		if (!*at)
			return true;
		if (*at != ',')
			return false;
		value = at + 1;
	}
}

/* ------------------------------------------------------------------- all settings */

static const char *const renderers[] = { "auto", "virgl", "soft", NULL };
static const char *const egls[] = { "auto", "gbm", "device", "surfaceless", NULL };
static const char *const sandboxes[] = { "on", "strict", "off", "log", NULL };
static const char *const displays[] = { "auto", "headless", "seat", NULL };
static const char *const levels[] = { "error", "warning", "info", "debug", NULL };

#define NUMBER "a number"
#define SIZE "a size in bytes such as 64M"
#define CAP "a number, or off"
#define DURATION "a time such as 200ms, 30s or 5min, or off"
#define BYTES_MAX (UINT64_MAX >> 1)

/* An option of the worker with the same name; a quota of it; a setting of gpudomd's own. */
#define OPTION(name_, valid_, expected_) \
	.name = (name_), .option = (name_), .valid = (valid_), .expected = (expected_)
#define LIMIT(name_, expected_) OPTION(name_, valid_limit, expected_), .when = CONFIG_WHEN_NOW
#define OWN(name_, valid_, expected_) \
	.name = (name_), .valid = (valid_), .expected = (expected_), .when = CONFIG_WHEN_NOW

const struct config_key config_keys[] = {
	{ OPTION("mode", valid_modes, "WIDTHxHEIGHT[@HZ], one for each output, with commas"),
	    .max = 16384, .list = true, .each = true },
	{ .name = "outputs",
	    .option = "scanouts",
	    .valid = valid_count,
	    .expected = "a number from 1 to 16",
	    .max = 16 },
	{ OPTION("refresh", valid_refresh, "Hertz, 0 to 1000") },
	{ OPTION("size-mm", valid_sizes, "WIDTHxHEIGHT in mm, 5 to 2550 each, with commas"),
	    .list = true, .each = true },
	{ OPTION("edid-name", valid_edid, "1 to 13 characters of ASCII") },
	{ OPTION("edid-vendor", valid_edid, "three letters, A to Z") },
	{ OPTION("edid-product", valid_edid, "a number up to 65535") },
	{ OPTION("edid-serial", valid_edid, "a number up to 4294967295") },
	{ OPTION("renderer", valid_name, "auto, virgl or soft"), .names = renderers },
	{ OPTION("render-node", valid_path, "an absolute path") },
	{ OPTION("egl", valid_name, "auto, gbm, device or surfaceless"), .names = egls },
	{ OPTION("capsets", valid_capsets, "names out of " CAPSET_NAMES), .list = true },
	{ OPTION("png-dir", valid_path, "an absolute path") },
	{ .name = "display",
	    .valid = valid_name,
	    .expected = "auto, headless or seat",
	    .names = displays,
	    .whose = CONFIG_OF_NONE },
	{ .name = "input",
	    .valid = valid_input,
	    .expected =
		"names out of keyboard, pointer, touch, mouse, tablet and switch, each once",
	    .list = true,
	    .whose = CONFIG_OF_NONE },
	{ LIMIT("limit-resources", NUMBER) },
	{ LIMIT("limit-contexts", NUMBER) },
	{ LIMIT("limit-attachments", NUMBER) },
	{ LIMIT("limit-fences", NUMBER) },
	{ LIMIT("limit-maps", NUMBER) },
	{ LIMIT("limit-host-bytes", SIZE) },
	{ LIMIT("limit-backing-bytes", SIZE) },
	{ LIMIT("limit-command-bytes", SIZE) },
	{ LIMIT("limit-submissions", CAP) },
	{ LIMIT("limit-frame-rate", CAP) },
	{ LIMIT("limit-gpu-time", "percent, 1 to 100, or off") },
	{ OPTION("sandbox", valid_name, "on, strict, off or log"), .names = sandboxes,
	    .whose = CONFIG_OF_ALL },
	{ OPTION("limit-memory", valid_size, SIZE), .max = BYTES_MAX },
	{ OPTION("limit-files", valid_count, NUMBER), .max = 1 << 20 },
	{ OPTION("log-level", valid_name, "error, warning, info or debug"), .names = levels,
	    .when = CONFIG_WHEN_NOW, .whose = CONFIG_OF_ALL },
	{ OWN("crash-limit", valid_crashes, "N/SECONDS with N up to 100, or off") },
	{ OWN("hang-timeout", valid_duration, DURATION) },
	{ OWN("flush-deadline", valid_duration, DURATION) },
	{ OWN("signal-lost-after", valid_duration, DURATION) },
	{ OWN("signal-lost-image", valid_path, "an absolute path") },
	{ OWN("cpu-weight", valid_count, "a number from 1 to 10000"), .max = 10000 },
	{ OWN("cpu-max", valid_percent, "percent of a CPU, such as 150%, or off"),
	    .max = 100 * CPUS_MAX },
	{ OWN("memory-max", valid_memory, SIZE ", or off"), .max = BYTES_MAX },
};
const size_t config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);
_Static_assert(
    sizeof(config_keys) / sizeof(config_keys[0]) <= CONFIG_KEYS_MAX, "room for each key");

size_t config_key_find(const char *name)
{
	size_t i;

	for (i = 0; i < config_key_count && strcmp(config_keys[i].name, name) != 0; i++)
		;
	return i;
}
