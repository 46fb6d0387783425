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

#endif
