/* SPDX-License-Identifier: MIT */
/*
 * Compares a picture with what a test expects of it.
 * usage: check_png PICTURE WORD...
 *   WxH             the size
 *   X,Y=RRGGBB      a pixel; negative coordinates count from the right and the lower edge
 *   X,Y=RRGGBB~N    the same, each component within N
 *   X,Y=?           prints the pixel, RRGGBB
 *   colours>N       more than N different colours; colours<N: fewer
 *   drawn>N         more than N pixels that differ from the upper left one
 *   =FILE           the same pixels as another picture
 * Prints what differs; status 0 if nothing does, 1 if something does, 2 if PICTURE cannot be read.
 */
#include <png.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct picture {
	int width, height;
	uint8_t (*pixels)[3];
};

static bool picture_read(struct picture *picture, const char *path)
{
	/* Transparent pixels, which a screen does not have, become magenta. */
	static const png_color hole = { 255, 0, 255 };
	png_image png = { .version = PNG_IMAGE_VERSION };

	if (!png_image_begin_read_from_file(&png, path))
		goto failed;
	png.format = PNG_FORMAT_RGB;
	picture->width = (int)png.width;
	picture->height = (int)png.height;
	picture->pixels = malloc(PNG_IMAGE_SIZE(png));
	if (!picture->pixels) {
		png_image_free(&png);
		return false;
	}
	if (png_image_finish_read(&png, &hole, picture->pixels, 0, NULL))
		return true;
failed:
	printf("%s: %s\n", path, png.message);
	return false;
}

static uint32_t picture_get(const struct picture *picture, long index)
{
	const uint8_t *rgb = picture->pixels[index];

	return (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

static bool pixel_check(const struct picture *picture, long x, long y, long wanted, long tolerance)
{
	uint32_t got;

	x += x < 0 ? picture->width : 0;
	y += y < 0 ? picture->height : 0;
	if (x < 0 || x >= picture->width || y < 0 || y >= picture->height) {
		printf("%ld,%ld is outside of %dx%d\n", x, y, picture->width, picture->height);
		return false;
	}
	got = picture_get(picture, y * picture->width + x);
	for (int shift = 0; shift < 24; shift += 8)
		if (labs((got >> shift & 255) - (wanted >> shift & 255)) > tolerance) {
			printf("%ld,%ld is %06x, not %06lx\n", x, y, got, wanted);
			return false;
		}
	return true;
}

static long colours_count(const struct picture *picture, long enough)
{
	uint8_t *seen = calloc(1, 1 << 21);
	long count = 0;

	for (long i = 0; seen && count <= enough && i < (long)picture->width * picture->height;
	     i++) {
		uint32_t colour = picture_get(picture, i);
		uint8_t bit = (uint8_t)(1 << (colour & 7));

		count += !(seen[colour >> 3] & bit);
		seen[colour >> 3] |= bit;
	}
	free(seen);
	return count;
}

static long drawn_count(const struct picture *picture)
{
	long count = 0;

	for (long i = 1; i < (long)picture->width * picture->height; i++)
		count += picture_get(picture, i) != picture_get(picture, 0);
	return count;
}

/* Reads a number behind the separator, which 0 stands for none. */
static bool number_read(const char **text, char separator, int base, long *number)
{
	char *end;

	if (separator && *(*text)++ != separator)
		return false;
	*number = strtol(*text, &end, base);
	if (end == *text)
		return false;
	*text = end;
	return true;
}

static bool size_check(const struct picture *picture, long width, long height)
{
	if (width == picture->width && height == picture->height)
		return true;
	printf("the size is %dx%d, not %ldx%ld\n", picture->width, picture->height, width, height);
	return false;
}

static bool more_check(const char *word, long got, long limit)
{
	if (got <= limit)
		printf("%ld, not %s\n", got, word);
	return got > limit;
}

static bool pixel_print(const struct picture *picture, long x, long y)
{
	if (x < 0 || x >= picture->width || y < 0 || y >= picture->height)
		return false;
	printf("%06x\n", picture_get(picture, y * picture->width + x));
	return true;
}

static bool fewer_check(const char *word, long got, long limit)
{
	if (got >= limit)
		printf("%ld, not %s\n", got, word);
	return got < limit;
}

static bool same_check(const struct picture *picture, const char *path)
{
	struct picture other = { 0 };
	long differ = 0;

	if (!picture_read(&other, path))
		return false;
	if (other.width != picture->width || other.height != picture->height) {
		printf("the size is %dx%d, %s has %dx%d\n", picture->width, picture->height, path,
		    other.width, other.height);
		differ = 1;
	} else {
		for (long i = 0; i < (long)picture->width * picture->height; i++)
			if (picture_get(picture, i) != picture_get(&other, i) && differ++ == 0)
				printf("%ld,%ld is %06x, not %06x, as in %s\n", i % picture->width,
				    i / picture->width, picture_get(picture, i),
				    picture_get(&other, i), path);
	}
	free(other.pixels);
	return differ == 0;
}

static bool word_check(const struct picture *picture, const char *word)
{
	const char *rest = word;
	long x, y, colour, tolerance = 0;

	if (*word == '=') {
		return same_check(picture, word + 1);
	} else if (strncmp(word, "colours>", 8) == 0) {
		rest += 8;
		if (number_read(&rest, 0, 10, &x))
			return more_check(word, colours_count(picture, x), x);
	} else if (strncmp(word, "colours<", 8) == 0) {
		rest += 8;
		if (number_read(&rest, 0, 10, &x))
			return fewer_check(word, colours_count(picture, x), x);
	} else if (strncmp(word, "drawn>", 6) == 0) {
		rest += 6;
		if (number_read(&rest, 0, 10, &x))
			return more_check(word, drawn_count(picture), x);
	} else if (number_read(&rest, 0, 10, &x) && *rest == 'x') {
		if (number_read(&rest, 'x', 10, &y))
			return size_check(picture, x, y);
	} else if (*rest == ',' && number_read(&rest, ',', 10, &y)) {
		if (strcmp(rest, "=?") == 0)
			return pixel_print(picture, x, y);
		if (number_read(&rest, '=', 16, &colour) &&
		    (!*rest || number_read(&rest, '~', 10, &tolerance)))
			return pixel_check(picture, x, y, colour, tolerance);
	}
	printf("cannot read '%s'\n", word);
	return false;
}

int main(int argc, char **argv)
{
	struct picture picture;
	bool good = true;

	if (argc < 2) {
		fputs("usage: check_png PICTURE WORD...\n", stderr);
		return 2;
	}
	if (!picture_read(&picture, argv[1]))
		return 2;
	for (int i = 2; i < argc; i++)
		good = word_check(&picture, argv[i]) && good;
	free(picture.pixels);
	return good ? 0 : 1;
}
