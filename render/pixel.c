/* SPDX-License-Identifier: MIT */
#include "render/pixel.h"

#include <linux/virtio_gpu.h>
#include <string.h>

#include "backend/checked.h"

/* Byte @b, @g, @r, @a of each pixel go to bytes 0 to 3. Inlined with constants, so that compilers
 * make a shuffle of it. */
static inline __attribute__((always_inline)) void convert(
    uint8_t *to, const uint8_t *from, size_t count, int b, int g, int r, int a)
{
	for (size_t i = 0; i < count * PIXEL_SIZE; i += PIXEL_SIZE) {
		uint8_t pixel[PIXEL_SIZE] = { from[i + b], from[i + g], from[i + r], from[i + a] };

		memcpy(to + i, pixel, PIXEL_SIZE);
	}
}

void pixel_convert(uint32_t format, void *to, const void *from, size_t count)
{
	switch (format) {
	case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM:
	case VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM:
		memmove(to, from, count * PIXEL_SIZE);
		break;
	case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
	case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
		convert(to, from, count, 3, 2, 1, 0);
		break;
	case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
	case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
		convert(to, from, count, 2, 1, 0, 3);
		break;
	case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
	case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM:
		convert(to, from, count, 1, 2, 3, 0);
		break;
	default:
		memset(to, 0, count * PIXEL_SIZE);
	}
}

uint64_t iov_size(const struct iovec *iov, unsigned count)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < count; i++)
		if (!checked_add(size, iov[i].iov_len, &size))
			return UINT64_MAX;
	return size;
}

size_t iov_cursor_get(struct iov_cursor *cursor, uint64_t offset, size_t length, void **at)
{
	size_t left;

	while (cursor->count && offset - cursor->base >= cursor->iov->iov_len) {
		cursor->base += cursor->iov->iov_len;
		cursor->iov++;
		cursor->count--;
	}
	if (!cursor->count)
		return 0;
	*at = (uint8_t *)cursor->iov->iov_base + (offset - cursor->base);
	left = cursor->iov->iov_len - (size_t)(offset - cursor->base);
	return length < left ? length : left;
}

bool iov_cursor_read(struct iov_cursor *cursor, uint64_t offset, void *to, size_t length)
{
	while (length) {
		void *from;
		size_t n = iov_cursor_get(cursor, offset, length, &from);

		if (!n)
			return false;
		memcpy(to, from, n);
		to = (uint8_t *)to + n;
		offset += n;
		length -= n;
	}
	return true;
}
