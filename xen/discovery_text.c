/* SPDX-License-Identifier: MIT */
#include "xen/discovery_text.h"

#include <ctype.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xen/discovery.h"

#define NAME_MAX_BYTES 128

bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
	char *end;

	if (!text || !isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoull(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10);
	return !errno && !*end && *number <= max;
}

bool parse_type(const char *text, uint32_t *virtio_id)
{
	static const char prefix[] = "virtio,device";
	char *end;
	unsigned long id;

	if (!text || strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return false;
	text += sizeof(prefix) - 1;
	if (!isxdigit((unsigned char)*text) || strlen(text) > 4)
		return false;
	id = strtoul(text, &end, 16);
	*virtio_id = (uint32_t)id;
	return !*end;
}

bool parse_name(char *name)
{
	if (!*name || strlen(name) > NAME_MAX_BYTES)
		return false;
	for (char *c = name; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	return true;
}

void discovery_name_device(const struct discovery_device *device, char name[DISCOVERY_NAME_BYTES])
{
	snprintf(name, DISCOVERY_NAME_BYTES, "%s %u",
	    device->virtio_id == VIRTIO_ID_INPUT ? "input" : "GPU", device->devid);
}
