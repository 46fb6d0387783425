/* SPDX-License-Identifier: MIT */
/*
 * What turns commands into pixels: render/soft.c (2D on the CPU) or render/virgl.c
 * (virglrenderer; it keeps 2D resources in a soft renderer of its own until a
 * context asks for them). The device has validated ids (known, unique, not 0), boxes
 * where it can, and has mapped the backing; the renderer validates whatever
 * depends on formats and contexts.
 *
 * Errors: -EINVAL (VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER), -ENOMEM
 * (ERR_OUT_OF_MEMORY), -ENOENT (ERR_INVALID_RESOURCE_ID), -ESRCH (ERR_INVALID_CONTEXT_ID),
 * -ENOTSUP and others (ERR_UNSPEC).
 */
#ifndef GPUDOM_BACKEND_RENDERER_H
#define GPUDOM_BACKEND_RENDERER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/display.h"
#include "backend/udmabuf.h"

struct renderer_box {
	uint32_t x, y, z, width, height, depth;
};

/* RESOURCE_CREATE_2D and _3D; the names of struct virtio_gpu_resource_create_3d. A 2D resource
 * has is_2d set, a VIRTIO_GPU_FORMAT_* in format, and only width and height beside. */
struct renderer_resource {
	bool is_2d;
	uint32_t target, format, bind, width, height, depth, array_size, last_level, nr_samples,
	    flags;
};

struct renderer_transfer {
	uint32_t resource_id;
	uint32_t ctx_id; /* 0: none (2D) */
	struct renderer_box box;
	uint64_t offset;                      /* into the backing */
	uint32_t level, stride, layer_stride; /* 0: natural */
};

/* A picture in a resource or in guest pages (a blob). */
struct renderer_scanout {
	uint32_t resource_id;
	uint32_t format;         /* VIRTIO_GPU_FORMAT_*; of a blob, else 0: the resource's own */
	uint32_t stride, offset; /* of a blob: bytes */
	uint32_t width, height;  /* of the resource or the blob's picture */
};

/* A fence timeline: (context, ring_idx), or the global one. */
struct renderer_timeline {
	bool global; /* then the rest is 0 */
	uint32_t ctx_id;
	uint8_t ring_idx;
};

struct renderer_listener {
	/* Every fence of the timeline up to @fence has retired. Called from dispatch() or from
	 * within another call. */
	void (*fence_retired)(void *data, const struct renderer_timeline *timeline, uint64_t fence);
	void *data;
};

struct renderer;
struct renderer_impl {
	const char *name;
	void (*destroy)(struct renderer *renderer);

	/* Readable when dispatch() has something to do; -1: never. */
	int (*get_fd)(struct renderer *renderer);
	void (*dispatch)(struct renderer *renderer);

	/* Capability sets, by index from 0. -ENOENT past the last one. */
	int (*get_capset_info)(struct renderer *renderer, uint32_t index, uint32_t *id,
	    uint32_t *max_version, uint32_t *max_size);
	/* Fills @to, zeroed and of max_size bytes. -EINVAL for an unknown id or version. */
	int (*get_capset)(struct renderer *renderer, uint32_t id, uint32_t version, void *to);

	/* All that follow but the resource calls may be NULL in a renderer with has_3d false. */
	int (*create_context)(
	    struct renderer *renderer, uint32_t ctx_id, uint32_t capset_id, const char *name);
	void (*destroy_context)(struct renderer *renderer, uint32_t ctx_id);
	int (*attach_resource)(struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id);
	void (*detach_resource)(struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id);
	/* @commands is ours, aligned, @size bytes, a multiple of 4. */
	int (*submit)(struct renderer *renderer, uint32_t ctx_id, void *commands, uint32_t size);

	/* 1: all work so far on the timeline is done, nothing will be called. 0: fence_retired()
	 * follows. @fence rises on each timeline. */
	int (*create_fence)(
	    struct renderer *renderer, const struct renderer_timeline *timeline, uint64_t fence);

	int (*create_resource)(struct renderer *renderer, uint32_t resource_id,
	    const struct renderer_resource *resource);
	/* A guest blob: @iov are its pages, which stay until destroy_resource(). */
	int (*create_blob)(struct renderer *renderer, uint32_t resource_id, uint32_t ctx_id,
	    uint64_t size, const struct iovec *iov, unsigned iov_count);
	/* Detaches the backing first, if there is one. Idempotent. */
	void (*destroy_resource)(struct renderer *renderer, uint32_t resource_id);
	/* The backing of a resource that has none; @iov stays valid until detach. */
	int (*attach_backing)(struct renderer *renderer, uint32_t resource_id,
	    const struct iovec *iov, unsigned iov_count);
	void (*detach_backing)(struct renderer *renderer, uint32_t resource_id);

	/* When these return, the guest's pages have been read or written: a fence has to wait for
	 * command streams alone, and the device makes none for a transfer. */
	int (*transfer_to_host)(
	    struct renderer *renderer, const struct renderer_transfer *transfer);
	int (*transfer_from_host)(
	    struct renderer *renderer, const struct renderer_transfer *transfer);

	/* Copies @rect to @to as ARGB8888 (bytes B, G, R, A). Where the format has padding in the
	 * place of A, that comes as it is: Linux makes its cursors, which have alpha, in XRGB8888.
	 * The rectangle is inside scanout->width x height. */
	int (*read_pixels)(struct renderer *renderer, const struct renderer_scanout *scanout,
	    const struct display_rect *rect, void *to, size_t stride);
	/* May be NULL: nothing can be exported. */
	int (*export_dmabuf)(
	    struct renderer *renderer, uint32_t resource_id, struct display_dmabuf *dmabuf);

	/* Likewise of a resource whose pixels are in our own memory, where they may move to for
	 * this. From now on transfers go there, until the resource's end. May be NULL. */
	int (*export_memory)(struct renderer *renderer, uint32_t resource_id,
	    struct udmabuf *udmabuf, struct display_dmabuf *dmabuf);

	/* Gives everything back: contexts, resources, fences (without calling the listener). */
	void (*reset)(struct renderer *renderer);
};

struct renderer {
	const struct renderer_impl *impl;
	bool has_3d;
	struct renderer_listener listener; /* set by the device */
};

#endif
