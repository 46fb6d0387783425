/* SPDX-License-Identifier: MIT */
/*
 * The loopback guest's virtio-gpu driver: each command of the virtio 1.2 GPU device
 * (5.7.6) and of Linux' uapi header as a function. They wait for the answer and return its
 * type (VIRTIO_GPU_RESP_*). Where the back end goes away or is silent for
 * LOOPBACK_TIMEOUT_MS they abort, but for the asynchronous ones, which return -errno.
 */
#ifndef GPUDOM_TESTS_LOOPBACK_GPU_H
#define GPUDOM_TESTS_LOOPBACK_GPU_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/loopback/loopback_frontend.h"

enum { LOOPBACK_GPU_CONTROL, LOOPBACK_GPU_CURSOR, LOOPBACK_GPU_QUEUES };

struct loopback_gpu {
	struct loopback_frontend *frontend; /* not owned; started */

	/* For the header of the next command alone: VIRTIO_GPU_FLAG_* and what they need */
	uint32_t next_flags;
	uint64_t next_fence;
	uint8_t next_ring;

	/* Of the last answer */
	struct virtio_gpu_ctrl_hdr response;
	uint32_t written;
};

void loopback_gpu_init(struct loopback_gpu *gpu, struct loopback_frontend *frontend);

/* The next command waits for a fence, on the global timeline or on that of its context's ring. */
void loopback_gpu_fence_next(struct loopback_gpu *gpu, uint64_t fence);
void loopback_gpu_fence_next_on(struct loopback_gpu *gpu, uint64_t fence, uint8_t ring);

/* ---------------------------------------------------------------- requests */

/* A request that is on its way. The buffers are guest memory. */
struct loopback_request {
	unsigned queue;
	void *command, *response;
	size_t command_size, response_size;
	uint32_t written;
	bool done;
	uint64_t order; /* when it was answered: 1, 2, ... by frontend->answered */
};

/* Puts a command (copied) with room for an answer on a queue. @payload, which may be NULL,
 * is guest memory that follows the command. Not visible to anyone who sleeps before
 * loopback_gpu_kick(). */
struct loopback_request *loopback_gpu_begin(struct loopback_gpu *gpu, unsigned queue,
    const void *command, size_t size, const void *payload, uint32_t payload_size,
    size_t response_size);
void loopback_gpu_kick(struct loopback_gpu *gpu, unsigned queue);
/* 0 when answered; -ETIMEDOUT, -ECONNRESET. */
int loopback_gpu_wait(struct loopback_gpu *gpu, struct loopback_request *request);
/* Frees it; it must have been answered, or its queue been reset. Accepts NULL. */
void loopback_gpu_end(struct loopback_gpu *gpu, struct loopback_request *request);
uint32_t loopback_request_type(const struct loopback_request *request);

/* begin, kick, wait, end. @response may be NULL; what the device did not write is zero. */
uint32_t loopback_gpu_command(struct loopback_gpu *gpu, const void *command, size_t size,
    void *response, size_t response_size);
uint32_t loopback_gpu_command_with(struct loopback_gpu *gpu, unsigned queue, const void *command,
    size_t size, const void *payload, uint32_t payload_size, void *response, size_t response_size);

/* A header for hostile tests, with what *_next() asked for. */
struct virtio_gpu_ctrl_hdr loopback_gpu_header(
    struct loopback_gpu *gpu, uint32_t type, uint32_t ctx_id);

/* ---------------------------------------------------------------- backing pages */

/* Guest memory in chunks that lie apart, as a guest's do. */
struct loopback_backing {
	struct loopback_memory *memory;
	size_t size, chunk, count; /* bytes, bytes of all chunks but the last, chunks */
	uint8_t **chunks;
	struct virtio_gpu_mem_entry *entries; /* guest memory, @count of them */
};

/* @chunk bytes each, whole pages; 0: all in one. */
struct loopback_backing *loopback_backing_create(
    struct loopback_memory *memory, size_t size, size_t chunk);
void loopback_backing_destroy(struct loopback_backing *backing);
uint8_t *loopback_backing_at(const struct loopback_backing *backing, size_t offset);
/* 32-bit words, @offset a multiple of 4. */
uint32_t loopback_backing_get(const struct loopback_backing *backing, size_t offset);
void loopback_backing_set(struct loopback_backing *backing, size_t offset, uint32_t word);
void loopback_backing_fill(struct loopback_backing *backing, uint32_t word);

/* ---------------------------------------------------------------- commands: 2D */

uint32_t loopback_gpu_get_display_info(
    struct loopback_gpu *gpu, struct virtio_gpu_resp_display_info *info);
uint32_t loopback_gpu_get_edid(
    struct loopback_gpu *gpu, uint32_t scanout, struct virtio_gpu_resp_edid *edid);
uint32_t loopback_gpu_create_2d(
    struct loopback_gpu *gpu, uint32_t id, uint32_t format, uint32_t width, uint32_t height);
uint32_t loopback_gpu_unref(struct loopback_gpu *gpu, uint32_t id);
uint32_t loopback_gpu_set_scanout(struct loopback_gpu *gpu, uint32_t scanout, uint32_t id,
    uint32_t x, uint32_t y, uint32_t width, uint32_t height);
uint32_t loopback_gpu_flush(
    struct loopback_gpu *gpu, uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height);
uint32_t loopback_gpu_transfer_2d(struct loopback_gpu *gpu, uint32_t id, uint32_t x, uint32_t y,
    uint32_t width, uint32_t height, uint64_t offset);
uint32_t loopback_gpu_attach_backing(
    struct loopback_gpu *gpu, uint32_t id, const struct loopback_backing *backing);
/* @entries is guest memory; the counts need not agree. */
uint32_t loopback_gpu_attach_entries(struct loopback_gpu *gpu, uint32_t id, uint32_t nr_entries,
    const struct virtio_gpu_mem_entry *entries, uint32_t entries_size);
uint32_t loopback_gpu_detach_backing(struct loopback_gpu *gpu, uint32_t id);
uint32_t loopback_gpu_get_capset_info(
    struct loopback_gpu *gpu, uint32_t index, struct virtio_gpu_resp_capset_info *info);
/* @capset: @size bytes of capability data. */
uint32_t loopback_gpu_get_capset(
    struct loopback_gpu *gpu, uint32_t id, uint32_t version, void *capset, size_t size);
uint32_t loopback_gpu_assign_uuid(struct loopback_gpu *gpu, uint32_t id, uint8_t uuid[16]);
uint32_t loopback_gpu_create_blob(struct loopback_gpu *gpu, uint32_t id, uint32_t ctx_id,
    uint32_t blob_mem, uint64_t size, const struct loopback_backing *backing);
uint32_t loopback_gpu_set_scanout_blob(struct loopback_gpu *gpu, uint32_t scanout, uint32_t id,
    uint32_t format, uint32_t width, uint32_t height, uint32_t stride, uint32_t offset);

/* ---------------------------------------------------------------- commands: cursor */

uint32_t loopback_gpu_update_cursor(struct loopback_gpu *gpu, uint32_t scanout, uint32_t id,
    uint32_t x, uint32_t y, uint32_t hot_x, uint32_t hot_y);
uint32_t loopback_gpu_move_cursor(
    struct loopback_gpu *gpu, uint32_t scanout, uint32_t x, uint32_t y);

/* ---------------------------------------------------------------- commands: 3D */

uint32_t loopback_gpu_ctx_create(
    struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t context_init, const char *name);
uint32_t loopback_gpu_ctx_destroy(struct loopback_gpu *gpu, uint32_t ctx_id);
uint32_t loopback_gpu_ctx_attach(struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t id);
uint32_t loopback_gpu_ctx_detach(struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t id);

/* The fields of RESOURCE_CREATE_3D; @command's header and id are filled in. */
uint32_t loopback_gpu_create_3d(
    struct loopback_gpu *gpu, uint32_t id, const struct virtio_gpu_resource_create_3d *resource);
uint32_t loopback_gpu_transfer_to_3d(struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t id,
    const struct virtio_gpu_box *box, uint64_t offset, uint32_t stride);
uint32_t loopback_gpu_transfer_from_3d(struct loopback_gpu *gpu, uint32_t ctx_id, uint32_t id,
    const struct virtio_gpu_box *box, uint64_t offset, uint32_t stride);
/* @words is ordinary memory, copied into guest pages. */
uint32_t loopback_gpu_submit_3d(
    struct loopback_gpu *gpu, uint32_t ctx_id, const uint32_t *words, uint32_t count);
/* Asynchronous: kick, wait and end are the caller's. */
struct loopback_request *loopback_gpu_begin_submit_3d(
    struct loopback_gpu *gpu, uint32_t ctx_id, const uint32_t *words, uint32_t count);

#endif
