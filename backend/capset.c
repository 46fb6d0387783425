/* SPDX-License-Identifier: MIT */
#include "backend/capset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	uint32_t mask;
} capsets[] = {
	{ "virgl", 1u << CAPSET_VIRGL },
	{ "virgl2", 1u << CAPSET_VIRGL2 },
	{ "venus", 1u << CAPSET_VENUS },
	{ "drm", 1u << CAPSET_DRM },
	{ "cross-domain", 1u << CAPSET_CROSS_DOMAIN },
	{ "none", 0 },
};
#define CAPSET_COUNT (sizeof(capsets) / sizeof(capsets[0]))

int capset_parse(const char *names, uint32_t *mask)
{
	*mask = 0;
	for (;;) {
		size_t i, length = strcspn(names, ",");

		for (i = 0; i < CAPSET_COUNT; i++)
			if (strlen(capsets[i].name) == length &&
			    !memcmp(capsets[i].name, names, length))
				break;
		if (i == CAPSET_COUNT)
			return -EINVAL;
		*mask |= capsets[i].mask;
		if (!names[length])
			return 0;
		names += length + 1;
	}
}

void capset_format(uint32_t mask, char names[CAPSET_NAMES_MAX])
{
	size_t used = 0;

	snprintf(names, CAPSET_NAMES_MAX, "none");
	for (size_t i = 0; i < CAPSET_COUNT; i++)
		if (mask & capsets[i].mask)
			used += (size_t)snprintf(names + used, CAPSET_NAMES_MAX - used, "%s%s",
			    used ? ", " : "", capsets[i].name);
}
