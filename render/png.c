/* SPDX-License-Identifier: MIT */
#include "render/png.h"

#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"

#define PNG_COMPRESSION 3 /* of 9: a screenshot in tens of milliseconds */

static void png_log_error(png_structp png, png_const_charp message)
{
	log_error("libpng: %s", message);
	png_longjmp(png, 1);
}

static void png_log_warning(png_structp png, png_const_charp message)
{
	log_debug("libpng: %s", message);
}

/* All between setjmp() and the end in a function of its own: no local changes after it. */
static int png_write_file(
    FILE *file, uint32_t width, uint32_t height, const uint8_t *pixels, size_t stride)
{
	png_structp png =
	    png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_log_error, png_log_warning);
	png_infop info = png ? png_create_info_struct(png) : NULL;

	if (!info) {
		png_destroy_write_struct(&png, NULL);
		return -ENOMEM;
	}
	if (setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, &info);
		return errno ? -errno : -EIO;
	}
	errno = 0;
	png_init_io(png, file);
	png_set_compression_level(png, PNG_COMPRESSION);
	png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
	png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
	    PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	png_set_bgr(png);
	png_set_filler(png, 0, PNG_FILLER_AFTER);
	for (uint32_t y = 0; y < height; y++)
		png_write_row(png, pixels + y * stride);
	png_write_end(png, NULL);
	png_destroy_write_struct(&png, &info);
	return 0;
}

int png_write_xrgb(
    const char *path, uint32_t width, uint32_t height, const void *pixels, size_t stride)
{
	char *temporary = NULL;
	FILE *file;
	int r;

	if (asprintf(&temporary, "%s.part", path) < 0)
		return -ENOMEM;
	file = fopen(temporary, "wbe");
	if (!file) {
		r = -errno;
		goto out;
	}
	r = png_write_file(file, width, height, pixels, stride);
	if (fclose(file) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
out:
	if (r < 0)
		log_error("cannot write %s: %s", path, strerror(-r));
	free(temporary);
	return r;
}

int png_write_xrgb_fd(int fd, uint32_t width, uint32_t height, const void *pixels, size_t stride)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), r;
	FILE *file = copy < 0 ? NULL : fdopen(copy, "wb");

	if (!file) {
		r = -errno;
		if (copy >= 0)
			close(copy);
		goto out;
	}
	r = png_write_file(file, width, height, pixels, stride);
	if (fclose(file) != 0 && r == 0)
		r = -errno;
out:
	if (r < 0)
		log_error("cannot write a picture: %s", strerror(-r));
	return r;
}

/* On black */
static void blend(uint32_t *pixels, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const uint32_t p = pixels[i], alpha = p >> 24;

		pixels[i] = ((p >> 16 & 0xff) * alpha / 255) << 16 |
			    ((p >> 8 & 0xff) * alpha / 255) << 8 | (p & 0xff) * alpha / 255;
	}
}

int png_read_xrgb(const char *path, uint32_t *width, uint32_t *height, uint32_t **pixels)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	uint32_t *read = NULL;
	int error = -EINVAL;

	if (!png_image_begin_read_from_file(&image, path))
		goto error;
	image.format = PNG_FORMAT_BGRA;
	error = -EFBIG;
	if (image.width > PNG_READ_MAX || image.height > PNG_READ_MAX)
		goto error;
	error = -ENOMEM;
	read = malloc(PNG_IMAGE_SIZE(image));
	if (!read)
		goto error;
	error = -EINVAL;
	if (!png_image_finish_read(&image, NULL, read, 0, NULL))
		goto error;
	blend(read, (size_t)image.width * image.height);
	*width = image.width;
	*height = image.height;
	*pixels = read;
	return 0;

error:
	log_error("cannot read the picture %s: %s", path,
	    error == -EINVAL ? image.message : strerror(-error));
	png_image_free(&image);
	free(read);
	return error;
}
