/* SPDX-License-Identifier: MIT */
#ifndef GPUDOM_RENDER_PNG_H
#define GPUDOM_RENDER_PNG_H

#include <stddef.h>
#include <stdint.h>

/* Writes an XRGB8888 picture (bytes B, G, R, X; @stride bytes a row) to @path, in one piece: a file
 * that was there is replaced when the new one is whole. 0 or -errno, logged. */
int png_write_xrgb(
    const char *path, uint32_t width, uint32_t height, const void *pixels, size_t stride);

/* The same into an open file that is empty. */
int png_write_xrgb_fd(int fd, uint32_t width, uint32_t height, const void *pixels, size_t stride);

/* Reads a picture of at most PNG_READ_MAX pixels, both ways, as XRGB8888, on black where it is not
 * opaque; *@pixels is the caller's to free. For files of the operator's. -errno, logged. */
#define PNG_READ_MAX 8192
int png_read_xrgb(const char *path, uint32_t *width, uint32_t *height, uint32_t **pixels);

#endif
