/* SPDX-License-Identifier: MIT */
/*
 * dma-bufs of memory files (Linux' udmabuf): ordinary memory that a display shows from where it
 * is.
 */
#ifndef GPUDOM_BACKEND_UDMABUF_H
#define GPUDOM_BACKEND_UDMABUF_H

#include <stdint.h>

#define UDMABUF_PATH "/dev/udmabuf"
/* Unless the module's parameter size_limit_mb says otherwise */
#define UDMABUF_SIZE_MAX (UINT64_C(64) << 20)
/* More than it takes unless its list_limit, 1024, is raised: pages of a guest's blob may lie apart
 */
#define UDMABUF_PIECES_MAX 16384

/* Of a file that cannot shrink (F_SEAL_SHRINK); whole pages. */
struct udmabuf_piece {
	int fd;
	uint64_t offset, size;
};

struct udmabuf {
	int fd;
	/* A dma-buf of these pieces, one after the other: a descriptor, the caller's. -errno */
	int (*create)(struct udmabuf *udmabuf, const struct udmabuf_piece *pieces, unsigned count);
};

/* -errno: there is no such device, or we may not use it. */
int udmabuf_open(struct udmabuf *udmabuf);
void udmabuf_close(struct udmabuf *udmabuf);

#endif
