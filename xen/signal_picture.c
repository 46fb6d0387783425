/* SPDX-License-Identifier: MIT */
#include "xen/signal_picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/checked.h"
#include "backend/log.h"
#include "backend/screen.h"
#include "render/png.h"

#define GREY 0x202428
#define WHITE 0xc8ccd0

/* The letters of the two words, 5 x 7, a row each byte */
#define GLYPH_WIDTH 5
#define GLYPH_HEIGHT 7
#define ADVANCE (GLYPH_WIDTH + 1)

static const struct {
	char letter;
	uint8_t rows[GLYPH_HEIGHT];
} glyphs[] = {
	{ 'S', { 0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e } },
	{ 'I', { 0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e } },
	{ 'G', { 0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f } },
	{ 'N', { 0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11 } },
	{ 'A', { 0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11 } },
	{ 'L', { 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f } },
	{ 'O', { 0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e } },
	{ 'T', { 0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04 } },
};
static const char words[] = "SIGNAL LOST";
#define TEXT_WIDTH ((uint32_t)(sizeof(words) - 1) * ADVANCE - 1)

/* Pixel (x, y) of the words, in the font's own size */
static int text_pixel(uint32_t x, uint32_t y)
{
	const char letter = words[x / ADVANCE];
	const uint32_t column = x % ADVANCE;

	for (size_t i = 0; column < GLYPH_WIDTH && i < sizeof(glyphs) / sizeof(glyphs[0]); i++)
		if (glyphs[i].letter == letter)
			return glyphs[i].rows[y] >> (GLYPH_WIDTH - 1 - column) & 1;
	return 0;
}

static void draw_words(uint32_t *to, uint32_t width, uint32_t height)
{
	/* A third of the width, in whole pixels */
	uint32_t scale = width / 3 / TEXT_WIDTH, left, top;

	for (size_t i = 0; i < (size_t)width * height; i++)
		to[i] = GREY;
	if (!scale)
		scale = 1;
	if (width < TEXT_WIDTH * scale || height < GLYPH_HEIGHT * scale)
		return;
	left = (width - TEXT_WIDTH * scale) / 2;
	top = (height - GLYPH_HEIGHT * scale) / 2;
	for (uint32_t y = 0; y < GLYPH_HEIGHT * scale; y++)
		for (uint32_t x = 0; x < TEXT_WIDTH * scale; x++)
			if (text_pixel(x / scale, y / scale))
				to[(size_t)(top + y) * width + left + x] = WHITE;
}

/* In the middle, as it is; or as much smaller, by the nearest pixels, that it fits. */
static void draw_image(uint32_t *to, uint32_t width, uint32_t height, const uint32_t *from,
    uint32_t from_width, uint32_t from_height)
{
	uint32_t w = from_width, h = from_height;

	if (w > width || h > height) {
		if ((uint64_t)from_width * height > (uint64_t)from_height * width) {
			w = width;
			h = (uint32_t)((uint64_t)from_height * width / from_width);
		} else {
			h = height;
			w = (uint32_t)((uint64_t)from_width * height / from_height);
		}
	}
	memset(to, 0, (size_t)width * height * sizeof(*to));
	for (uint32_t y = 0; y < h; y++) {
		const uint32_t *row = from + (size_t)((uint64_t)y * from_height / h) * from_width;
		uint32_t *at = to + (size_t)((height - h) / 2 + y) * width + (width - w) / 2;

		for (uint32_t x = 0; x < w; x++)
			at[x] = row[(uint64_t)x * from_width / w];
	}
}

void signal_picture_check(const char *path)
{
	uint32_t *image = NULL, width, height;

	if (*path && png_read_xrgb(path, &width, &height, &image) < 0)
		log_warning("a lost signal is shown by a plain picture instead of %s", path);
	free(image);
}

int signal_picture_make(const char *path, uint32_t width, uint32_t height, uint32_t **pixels)
{
	uint32_t *image = NULL, image_width, image_height;
	uint64_t size;

	if (!width || !height || !checked_mul((uint64_t)width * sizeof(**pixels), height, &size) ||
	    size > SCREEN_SLOT_BYTES)
		return -EFBIG;
	*pixels = malloc(size);
	if (!*pixels)
		return -ENOMEM;
	if (*path && png_read_xrgb(path, &image_width, &image_height, &image) == 0)
		draw_image(*pixels, width, height, image, image_width, image_height);
	else
		draw_words(*pixels, width, height);
	free(image);
	return 0;
}
