/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/edid.h"

static bool number_parse(const char *value, uint64_t max, uint32_t *number)
{
	unsigned long long n;
	char *end;

	if (!isdigit((unsigned char)*value))
		return false;
	errno = 0;
	n = strtoull(value, &end, strncmp(value, "0x", 2) ? 10 : 16);
	*number = (uint32_t)n;
	return !errno && !*end && n <= max;
}

static bool name_is_valid(const char *name)
{
	size_t length = strlen(name);

	for (const char *c = name; *c; c++)
		if (!isascii((unsigned char)*c) || !isprint((unsigned char)*c))
			return false;
	return length > 0 && length <= EDID_NAME_MAX && name[0] != ' ' && name[length - 1] != ' ';
}

static bool vendor_is_valid(const char *vendor)
{
	return strlen(vendor) == 3 && strspn(vendor, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
}

int edid_identity_set(
    struct edid_identity *identity, const char *name, const char *value, const char **expected)
{
	uint32_t number = 0;
	bool valid;

	if (!strcmp(name, "edid-name")) {
		*expected = "1 to 13 characters of ASCII";
		valid = name_is_valid(value);
		if (valid)
			snprintf(identity->name, sizeof(identity->name), "%s", value);
	} else if (!strcmp(name, "edid-vendor")) {
		*expected = "three letters, A to Z,";
		valid = vendor_is_valid(value);
		if (valid)
			memcpy(identity->vendor, value, sizeof(identity->vendor));
	} else if (!strcmp(name, "edid-product")) {
		*expected = "a number up to 65535";
		valid = number_parse(value, UINT16_MAX, &number);
		identity->product = (uint16_t)number;
	} else if (!strcmp(name, "edid-serial")) {
		*expected = "a number up to 4294967295";
		valid = number_parse(value, UINT32_MAX, &number);
		identity->serial = number;
	} else {
		return -ENOENT;
	}
	return valid ? 0 : -EINVAL;
}

/* Digits alone, EDID_MM_MIN to EDID_MM_MAX; *@end is behind them. */
static bool millimetres_parse(const char *value, const char **end, uint32_t *mm)
{
	const size_t digits = strspn(value, "0123456789");

	if (digits == 0 || digits > 4)
		return false;
	*mm = (uint32_t)strtoul(value, NULL, 10);
	*end = value + digits;
	return *mm >= EDID_MM_MIN && *mm <= EDID_MM_MAX;
}

int edid_size_parse(const char *value, uint32_t *width_mm, uint32_t *height_mm)
{
	const char *end;

	if (!millimetres_parse(value, &end, width_mm) || *end != 'x' ||
	    !millimetres_parse(end + 1, &end, height_mm) || *end)
		return -EINVAL;
	return 0;
}
