/* SPDX-License-Identifier: MIT */
/*
 * The software renderer: 2D resources (virtio 1.2, 5.7) in our own memory and guest
 * blobs in the guest's, no contexts. It needs neither a GPU nor virglrenderer, which on
 * its part keeps the 2D resources of its guest here.
 */
#ifndef GPUDOM_RENDER_SOFT_H
#define GPUDOM_RENDER_SOFT_H

#include "backend/renderer.h"

/* -ENOMEM */
int soft_create(struct renderer **renderer);

/* What a resource is made of, for render/virgl.c. All pointers stay ours, and are valid until
 * the resource or its backing goes. */
struct soft_image {
	uint32_t format, width, height; /* all 0 for a blob */
	void *pixels;                   /* NULL for a blob */
	size_t stride;                  /* bytes from row to row */
	uint64_t size;                  /* of a blob, else of the pixels */
	const struct iovec *iov;        /* the backing; NULL: none */
	unsigned iov_count;
};
/* -ENOENT */
int soft_get_image(struct renderer *renderer, uint32_t resource_id, struct soft_image *image);

#endif
