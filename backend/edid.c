/* SPDX-License-Identifier: MIT */
#include "backend/edid.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SIZE_MAX_PIXELS 16384
#define REFRESH_DEFAULT 60000 /* millihertz */
#define REFRESH_MIN 1000
#define REFRESH_MAX 1000000

#define CLOCK_UNIT 10000 /* Hz, of both kinds of timings */
#define CLOCK_UNITS_MAX (1 << 24)
/* Below this the unit is too coarse to hit the refresh rate, and edid-decode takes 10 MHz for the
 * least: blanking is stretched */
#define CLOCK_MIN 12000000

#define DETAILED_CLOCK_MAX 65535 /* units */
#define DETAILED_PIXELS_MAX 4095 /* active, and blanking */

/* Reduced blanking, as VESA CVT 1.2 has it, with the rest in the back porches */
#define H_FRONT 48
#define H_SYNC 32
#define H_BLANK 160
#define V_FRONT 3
#define V_SYNC 8
#define V_BACK_MIN 6
#define V_BLANK_NS 460000

#define VENDOR "GDM" /* not registered with UEFI's list of PNP ids */
#define PRODUCT 1
#define YEAR 2025
#define GAMMA 220 /* hundredths */

struct edid_timing {
	uint32_t clock; /* units of 10 kHz */
	uint32_t width, h_blank, height, v_blank;
};

struct edid_size {
	uint32_t width_mm, height_mm, width_cm, height_cm; /* all 0: unknown */
};

static uint32_t bring_into(uint32_t n, uint32_t min, uint32_t max)
{
	return n < min ? min : n > max ? max : n;
}

/* A size that the base block can't hold in centimetres is unknown. */
static struct edid_size size_make(const struct edid_mode *mode)
{
	struct edid_size size = { .width_mm = mode->width_mm, .height_mm = mode->height_mm };

	if (size.width_mm < EDID_MM_MIN || size.width_mm > EDID_MM_MAX ||
	    size.height_mm < EDID_MM_MIN || size.height_mm > EDID_MM_MAX)
		return (struct edid_size){ 0 };
	size.width_cm = (size.width_mm + 5) / 10;
	size.height_cm = (size.height_mm + 5) / 10;
	return size;
}

/* Fills in what an identity leaves open, for the output with this serial. */
static struct edid_identity identity_make(const struct edid_identity *identity, uint32_t serial)
{
	struct edid_identity made = { 0 };

	if (identity)
		made = *identity;
	if (!made.name[0])
		snprintf(made.name, sizeof(made.name), "gpudom %u", serial % 1000000);
	if (!made.vendor[0])
		memcpy(made.vendor, VENDOR, sizeof(made.vendor));
	if (!made.product)
		made.product = PRODUCT;
	made.serial = made.serial ? made.serial + serial - 1 : serial;
	return made;
}

static struct edid_timing timing_make(uint32_t width, uint32_t height, uint32_t refresh)
{
	struct edid_timing timing = { .width = width, .height = height, .h_blank = H_BLANK };
	const uint64_t frame_ns = UINT64_C(1000000000000) / refresh;
	/* An eighth of very short frames */
	const uint64_t blank_ns = frame_ns / 8 < V_BLANK_NS ? frame_ns / 8 : V_BLANK_NS;
	uint64_t lines = blank_ns * height / (frame_ns - blank_ns) + 1, total, clock;

	if (lines < V_FRONT + V_SYNC + V_BACK_MIN)
		lines = V_FRONT + V_SYNC + V_BACK_MIN;
	timing.v_blank = (uint32_t)lines;
	total = CLOCK_MIN * UINT64_C(1000) / refresh; /* pixels a frame should have */
	if ((uint64_t)(width + timing.h_blank) * (height + timing.v_blank) < total)
		timing.h_blank = bring_into((uint32_t)(total / (height + timing.v_blank)),
				     width + H_BLANK, width + DETAILED_PIXELS_MAX) -
				 width;
	if ((uint64_t)(width + timing.h_blank) * (height + timing.v_blank) < total)
		timing.v_blank = bring_into((uint32_t)(total / (width + timing.h_blank)),
				     height + timing.v_blank, height + DETAILED_PIXELS_MAX) -
				 height;
	clock = (uint64_t)(width + timing.h_blank) * (height + timing.v_blank) * refresh / 1000;
	clock = (clock + CLOCK_UNIT / 2) / CLOCK_UNIT;
	timing.clock = clock < CLOCK_UNITS_MAX ? (uint32_t)clock : CLOCK_UNITS_MAX;
	return timing;
}

static bool timing_is_detailed(const struct edid_timing *timing)
{
	return timing->clock <= DETAILED_CLOCK_MAX && timing->width <= DETAILED_PIXELS_MAX &&
	       timing->height <= DETAILED_PIXELS_MAX && timing->v_blank <= DETAILED_PIXELS_MAX;
}

/* For the base block: the mode itself, or where it does not fit its size at 60 Hz, or that
 * halved until it fits (and thus smaller, so that a driver prefers the right one). */
static struct edid_timing timing_make_detailed(uint32_t width, uint32_t height, uint32_t refresh)
{
	struct edid_timing timing = timing_make(width, height, refresh);

	while (!timing_is_detailed(&timing)) {
		if (refresh > REFRESH_DEFAULT) {
			refresh = REFRESH_DEFAULT;
		} else {
			width = width > 1 ? width / 2 : 1;
			height = height > 1 ? height / 2 : 1;
		}
		timing = timing_make(width, height, refresh);
	}
	return timing;
}

static void put_le(uint8_t *to, uint32_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

/* The byte that makes @count bytes and itself add up to 0 */
static uint8_t checksum(const uint8_t *bytes, size_t count)
{
	uint8_t sum = 0;

	while (count > 0)
		sum = (uint8_t)(sum + bytes[--count]);
	return (uint8_t)-sum;
}

/* E-EDID 1.4, 3.10.2: Detailed Timing Definition */
static void put_detailed(
    uint8_t to[18], const struct edid_timing *timing, const struct edid_size *size)
{
	put_le(to, timing->clock, 2);
	to[2] = (uint8_t)timing->width;
	to[3] = (uint8_t)timing->h_blank;
	to[4] = (uint8_t)((timing->width >> 8) << 4 | timing->h_blank >> 8);
	to[5] = (uint8_t)timing->height;
	to[6] = (uint8_t)timing->v_blank;
	to[7] = (uint8_t)((timing->height >> 8) << 4 | timing->v_blank >> 8);
	to[8] = H_FRONT;
	to[9] = H_SYNC;
	to[10] = V_FRONT << 4 | V_SYNC;
	to[12] = (uint8_t)size->width_mm;
	to[13] = (uint8_t)size->height_mm;
	to[14] = (uint8_t)((size->width_mm >> 8) << 4 | size->height_mm >> 8);
	to[17] = 0x1a; /* digital separate sync, horizontal positive (reduced blanking) */
}

/* E-EDID 1.4, 3.10.3: Display Descriptor of text, ended with a line feed */
static void put_text(uint8_t to[18], uint8_t tag, const char *text)
{
	size_t length = strlen(text);

	to[3] = tag;
	memset(to + 5, ' ', 13);
	memcpy(to + 5, text, length < 13 ? length : 13);
	if (length < 13)
		to[5 + length] = '\n';
}

static void put_base(uint8_t *to, const struct edid_timing *timing, const struct edid_size *size,
    const struct edid_identity *identity)
{
	static const uint8_t header[] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
	/* sRGB's primaries and white point, as its feature bit demands */
	static const uint8_t chromaticity[] = { 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f,
		0x50, 0x54 };
	const char *vendor = identity->vendor;

	memcpy(to, header, sizeof(header));
	to[8] = (uint8_t)((vendor[0] - '@') << 2 | (vendor[1] - '@') >> 3);
	to[9] = (uint8_t)((vendor[1] - '@') << 5 | (vendor[2] - '@'));
	put_le(to + 10, identity->product, 2);
	put_le(to + 12, identity->serial, 4);
	to[16] = 0;           /* week: unknown */
	to[17] = YEAR - 1990; /* of manufacture */
	to[18] = 1;
	to[19] = 4;
	to[20] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
	to[21] = (uint8_t)size->width_cm;
	to[22] = (uint8_t)size->height_cm;
	to[23] = GAMMA - 100;
	to[24] = 0x06; /* sRGB; the first timing is the native one */
	memcpy(to + 25, chromaticity, sizeof(chromaticity));
	memset(to + 38, 0x01, 16); /* no standard timings */
	put_detailed(to + 54, timing, size);
	put_text(to + 72, 0xfc, identity->name); /* Display Product Name */
	to[90 + 3] = 0x10;                       /* dummies */
	to[108 + 3] = 0x10;
}

/* DisplayID 1.3, 4.4: Type I Detailed Timing's aspect ratio */
static uint8_t aspect_ratio(uint32_t width, uint32_t height)
{
	static const struct {
		uint16_t width, height;
	} ratios[] = { { 1, 1 }, { 5, 4 }, { 4, 3 }, { 15, 9 }, { 16, 9 }, { 16, 10 }, { 64, 27 },
		{ 256, 135 } };
	uint8_t i = 0;

	while (i < sizeof(ratios) / sizeof(ratios[0]) &&
	       width * ratios[i].height != height * ratios[i].width)
		i++;
	return i; /* 8: not defined */
}

/*
 * The data blocks of DisplayID 1.3, chapter 4. Each takes what it needs behind its tag,
 * revision and length, and returns where the next one begins.
 */
static uint8_t *put_block(uint8_t *to, uint8_t tag, uint8_t length)
{
	to[0] = tag;
	to[2] = length;
	return to + 3 + length;
}

static uint8_t *put_product_identification(uint8_t *to, const struct edid_identity *identity)
{
	memcpy(to + 3, identity->vendor, sizeof(identity->vendor));
	put_le(to + 6, identity->product, 2);
	put_le(to + 8, identity->serial, 4);
	to[13] = YEAR - 2000;
	return put_block(to, 0x00, 12);
}

static uint8_t *put_display_parameters(
    uint8_t *to, const struct edid_timing *timing, const struct edid_size *size)
{
	const uint32_t longer = timing->width > timing->height ? timing->width : timing->height;
	const uint32_t shorter = timing->width > timing->height ? timing->height : timing->width;

	put_le(to + 3, size->width_mm * 10, 2);
	put_le(to + 5, size->height_mm * 10, 2);
	put_le(to + 7, timing->width, 2);
	put_le(to + 9, timing->height, 2);
	to[12] = GAMMA - 100;
	to[13] = (uint8_t)bring_into(longer * 100 / shorter - 100, 0, 255); /* aspect ratio */
	to[14] = 0x77;                                                      /* 8 bits a colour */
	return put_block(to, 0x01, 12);
}

static uint8_t *put_display_interface(uint8_t *to)
{
	to[3] = 0xa4; /* DisplayPort, 4 lanes */
	to[4] = 0x14; /* version 1.4 */
	to[5] = 0x02; /* RGB, 8 bits a colour */
	return put_block(to, 0x0f, 10);
}

static uint8_t *put_type_1_timing(uint8_t *to, const struct edid_timing *timing)
{
	uint8_t *payload = to + 3;

	put_le(payload, timing->clock - 1, 3);
	payload[3] = 0x80 | aspect_ratio(timing->width, timing->height); /* preferred */
	put_le(payload + 4, timing->width - 1, 2);
	put_le(payload + 6, timing->h_blank - 1, 2);
	put_le(payload + 8, 0x8000 | (H_FRONT - 1), 2); /* positive sync */
	put_le(payload + 10, H_SYNC - 1, 2);
	put_le(payload + 12, timing->height - 1, 2);
	put_le(payload + 14, timing->v_blank - 1, 2);
	put_le(payload + 16, V_FRONT - 1, 2);
	put_le(payload + 18, V_SYNC - 1, 2);
	return put_block(to, 0x03, 20);
}

static void put_displayid(uint8_t *to, const struct edid_timing *timing,
    const struct edid_size *size, const struct edid_identity *identity)
{
	const unsigned length = EDID_BLOCK_SIZE - 1 /* tag */ - 4 /* head */ - 2 /* checksums */;
	uint8_t *section = to + 1, *block = section + 4;

	to[0] = 0x70;      /* DisplayID extension */
	section[0] = 0x13; /* version 1.3 */
	section[1] = (uint8_t)length;
	section[2] = 3; /* a stand-alone display */
	block = put_product_identification(block, identity);
	block = put_display_parameters(block, timing, size);
	block = put_display_interface(block);
	put_type_1_timing(block, timing);
	section[4 + length] = checksum(section, 4 + length);
	to[EDID_BLOCK_SIZE - 1] = checksum(to, EDID_BLOCK_SIZE - 1);
}

size_t edid_make(
    const struct edid_mode *mode, const struct edid_identity *identity, uint8_t out[EDID_SIZE])
{
	const struct edid_identity made = identity_make(identity, mode->serial);
	uint32_t width = bring_into(mode->width, 1, SIZE_MAX_PIXELS);
	uint32_t height = bring_into(mode->height, 1, SIZE_MAX_PIXELS);
	uint32_t refresh =
	    bring_into(mode->refresh ? mode->refresh : REFRESH_DEFAULT, REFRESH_MIN, REFRESH_MAX);
	struct edid_timing timing = timing_make(width, height, refresh);
	struct edid_timing base = timing_make_detailed(width, height, refresh);
	struct edid_size size = size_make(mode);
	size_t written = EDID_BLOCK_SIZE;

	memset(out, 0, EDID_SIZE);
	put_base(out, &base, &size, &made);
	if (!timing_is_detailed(&timing)) {
		out[126] = 1; /* extension blocks */
		put_displayid(out + EDID_BLOCK_SIZE, &timing, &size, &made);
		written = EDID_SIZE;
	}
	out[EDID_BLOCK_SIZE - 1] = checksum(out, EDID_BLOCK_SIZE - 1);
	return written;
}
