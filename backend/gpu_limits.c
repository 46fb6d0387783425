/* SPDX-License-Identifier: MIT */
#include "backend/gpu_limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum limit_kind { LIMIT_NUMBER, LIMIT_SIZE, LIMIT_CAP, LIMIT_PERCENT };

#define NUMBER32(member) offsetof(struct gpu_limits, member), 4
#define NUMBER64(member) offsetof(struct gpu_limits, member), 8

static const struct {
	const char *name;
	size_t offset, size;
	enum limit_kind kind;
	uint64_t max;
} limits_known[] = {
	{ "limit-resources", NUMBER32(resources), LIMIT_NUMBER, UINT32_MAX },
	{ "limit-contexts", NUMBER32(contexts), LIMIT_NUMBER, UINT32_MAX },
	{ "limit-attachments", NUMBER32(attachments), LIMIT_NUMBER, UINT32_MAX },
	{ "limit-fences", NUMBER32(fences), LIMIT_NUMBER, UINT32_MAX },
	{ "limit-maps", NUMBER32(maps), LIMIT_NUMBER, UINT32_MAX },
	{ "limit-host-bytes", NUMBER64(host_bytes), LIMIT_SIZE, UINT64_MAX >> 1 },
	{ "limit-backing-bytes", NUMBER64(backing_bytes), LIMIT_SIZE, UINT64_MAX >> 1 },
	{ "limit-command-bytes", NUMBER32(command_bytes), LIMIT_SIZE, UINT32_MAX },
	{ "limit-submissions", NUMBER32(submissions), LIMIT_CAP, 1 << 20 },
	{ "limit-frame-rate", NUMBER32(frame_rate), LIMIT_CAP, 1000 },
	{ "limit-gpu-time", NUMBER32(gpu_time), LIMIT_PERCENT, 100 },
};
#define LIMITS_COUNT (sizeof(limits_known) / sizeof(limits_known[0]))

static const char *const limits_expected[] = {
	[LIMIT_NUMBER] = "a number",
	[LIMIT_SIZE] = "a size such as 256M",
	[LIMIT_CAP] = "a number, or off",
	[LIMIT_PERCENT] = "percent, 1 to 100, or off",
};

/* How many bits a unit shifts; -1: it is none. */
static int limit_shift(enum limit_kind kind, const char *unit)
{
	if (!*unit)
		return 0;
	if (unit[1])
		return -1;
	if (kind == LIMIT_PERCENT)
		return *unit == '%' ? 0 : -1;
	if (kind != LIMIT_SIZE)
		return -1;
	return *unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : -1;
}

static int limit_parse(enum limit_kind kind, uint64_t max, const char *value, uint64_t *number)
{
	const bool is_cap = kind == LIMIT_CAP || kind == LIMIT_PERCENT;
	char *end;
	int shift;

	*number = 0;
	if (is_cap && !strcmp(value, "off"))
		return 0;
	if (!isdigit((unsigned char)*value))
		return -EINVAL;
	errno = 0;
	*number = strtoull(value, &end, 10);
	shift = limit_shift(kind, end);
	if (errno || shift < 0 || *number > max >> shift || (is_cap && !*number))
		return -EINVAL;
	*number <<= shift;
	return 0;
}

int gpu_limits_set(
    struct gpu_limits *limits, const char *name, const char *value, const char **expected)
{
	uint64_t number;
	size_t i;

	for (i = 0; i < LIMITS_COUNT && strcmp(limits_known[i].name, name) != 0; i++)
		;
	if (i == LIMITS_COUNT)
		return -ENOENT;
	*expected = limits_expected[limits_known[i].kind];
	if (limit_parse(limits_known[i].kind, limits_known[i].max, value, &number) < 0)
		return -EINVAL;
	if (limits_known[i].size == sizeof(uint64_t))
		*(uint64_t *)((char *)limits + limits_known[i].offset) = number;
	else
		*(uint32_t *)((char *)limits + limits_known[i].offset) = (uint32_t)number;
	return 0;
}
