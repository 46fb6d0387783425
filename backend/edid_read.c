/* SPDX-License-Identifier: MIT */
#include "backend/edid_read.h"

#include <string.h>

#define REFRESH_MAX 1000000 /* millihertz */
#define EXTENSION_COUNT 126
#define DESCRIPTORS 54 /* four, of 18 bytes each */
#define DESCRIPTOR_SIZE 18
#define DESCRIPTOR_NAME 0xfc

static const uint8_t magic[8] = { 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00 };

bool edid_is_good(const uint8_t *edid, size_t size)
{
	if (size < EDID_BLOCK_SIZE || size % EDID_BLOCK_SIZE ||
	    memcmp(edid, magic, sizeof(magic)) != 0 ||
	    size != (size_t)(edid[EXTENSION_COUNT] + 1) * EDID_BLOCK_SIZE)
		return false;
	/* "The 1-byte sum of all 128 bytes in this [...] block shall equal zero" */
	for (size_t block = 0; block < size; block += EDID_BLOCK_SIZE) {
		uint8_t sum = 0;

		for (size_t i = 0; i < EDID_BLOCK_SIZE; i++)
			sum = (uint8_t)(sum + edid[block + i]);
		if (sum)
			return false;
	}
	return true;
}

/* The first detailed timing (3.10.2) */
void edid_read_mode(const uint8_t *edid, struct edid_mode *mode)
{
	const uint8_t *d = edid + DESCRIPTORS;
	const uint32_t clock = (uint32_t)d[0] | (uint32_t)d[1] << 8; /* 10 kHz */
	const uint32_t width = d[2] + ((d[4] & 0xf0u) << 4);
	const uint32_t height = d[5] + ((d[7] & 0xf0u) << 4);
	const uint32_t total_x = width + d[3] + ((d[4] & 0x0fu) << 8);
	const uint32_t total_y = height + d[6] + ((d[7] & 0x0fu) << 8);
	uint64_t refresh;

	if (memcmp(edid, magic, sizeof(magic)) != 0 || !clock || !total_x || !total_y)
		return;
	refresh = (uint64_t)clock * 10000000 / ((uint64_t)total_x * total_y);
	if (refresh && refresh <= REFRESH_MAX)
		mode->refresh = (uint32_t)refresh;
	mode->width = width;
	mode->height = height;
	mode->width_mm = d[12] + ((d[14] & 0xf0u) << 4);
	mode->height_mm = d[13] + ((d[14] & 0x0fu) << 8);
}

/* "ASCII [...], if there are less than 13 characters, then terminate with 0Ah and pad with 20h" */
static void read_name(const uint8_t *text, char name[EDID_NAME_MAX + 1])
{
	size_t length = 0;

	while (length < EDID_NAME_MAX && text[length] >= ' ' && text[length] <= '~')
		length++;
	while (length && text[length - 1] == ' ')
		length--;
	memcpy(name, text, length);
	name[length] = '\0';
}

void edid_read_identity(const uint8_t *edid, struct edid_identity *identity)
{
	const uint32_t id = (uint32_t)edid[8] << 8 | edid[9];

	*identity = (struct edid_identity){ 0 };
	for (unsigned i = 0; i < 3; i++) {
		const uint32_t letter = id >> (10 - 5 * i) & 0x1f;

		identity->vendor[i] = (char)('@' + letter);
		if (letter < 1 || letter > 26) { /* "A" to "Z" */
			memset(identity->vendor, 0, sizeof(identity->vendor));
			break;
		}
	}
	identity->product = (uint16_t)(edid[10] | edid[11] << 8);
	identity->serial = (uint32_t)edid[12] | (uint32_t)edid[13] << 8 | (uint32_t)edid[14] << 16 |
			   (uint32_t)edid[15] << 24;
	for (unsigned i = 0; i < 4; i++) {
		const uint8_t *d = edid + DESCRIPTORS + (size_t)i * DESCRIPTOR_SIZE;

		if (d[0] == 0 && d[1] == 0 && d[3] == DESCRIPTOR_NAME)
			read_name(d + 5, identity->name);
	}
}
