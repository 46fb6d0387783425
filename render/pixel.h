/* SPDX-License-Identifier: MIT */
/*
 * Pixels of 2D resources (virtio 1.2, 5.7.6.8, enum virtio_gpu_formats: all of them have
 * four bytes, named in the order in which they lie in memory) and walks over iovecs.
 */
#ifndef GPUDOM_RENDER_PIXEL_H
#define GPUDOM_RENDER_PIXEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PIXEL_SIZE 4 /* bytes, in every format here */

/* Copies @count pixels of @format (a known one) to ARGB8888; padding in the place of A comes as it
 * is. Neither needs alignment, and they can be the same. */
void pixel_convert(uint32_t format, void *to, const void *from, size_t count);

/* The sum of all lengths; UINT64_MAX where it does not fit. */
uint64_t iov_size(const struct iovec *iov, unsigned count);

/* A place in an iovec that only moves forward, so that the rows of an image cost one walk. */
struct iov_cursor {
	const struct iovec *iov;
	unsigned count;
	uint64_t base; /* offset of iov[0] in the whole */
};

static inline void iov_cursor_init(
    struct iov_cursor *cursor, const struct iovec *iov, unsigned count)
{
	*cursor = (struct iov_cursor){ .iov = iov, .count = count };
}

/* Up to @length bytes at @offset, which never falls from one call to the next: returns how
 * many lie together there, at *@at; 0 past the end. */
size_t iov_cursor_get(struct iov_cursor *cursor, uint64_t offset, size_t length, void **at);

/* Copy exactly @length bytes at @offset; false where the iovec ends before. */
bool iov_cursor_read(struct iov_cursor *cursor, uint64_t offset, void *to, size_t length);

#endif
