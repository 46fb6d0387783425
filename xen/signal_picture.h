/* SPDX-License-Identifier: MIT */
/* The picture that stands for a guest's when there is none. */
#ifndef GPUDOM_XEN_SIGNAL_PICTURE_H
#define GPUDOM_XEN_SIGNAL_PICTURE_H

#include <stdint.h>

/* Says on the log if the PNG file is of no use. "" is. */
void signal_picture_check(const char *path);

/*
 * A picture of @width x @height, XRGB8888: the PNG file @path in its middle, made smaller where it
 * is too large, on black; "" or a file that is of no use (logged): the words "signal lost" on dark
 * grey. *@pixels is the caller's to free. -ENOMEM; -EFBIG: no screen is that large.
 */
int signal_picture_make(const char *path, uint32_t width, uint32_t height, uint32_t **pixels);

#endif
