/* SPDX-License-Identifier: MIT */
/*
 * What Mesa's virgl driver would write into a SUBMIT_3D, for a handful of commands.
 * The numbers are those of virglrenderer's protocol and of gallium, whose headers are
 * not installed with the library.
 */
#ifndef GPUDOM_TESTS_LOOPBACK_VIRGL_H
#define GPUDOM_TESTS_LOOPBACK_VIRGL_H

#include <stdint.h>

#include "tests/loopback/loopback_gpu.h"

/* Pipe formats that have no VIRTIO_GPU_FORMAT_* */
#define VIRGL_FORMAT_R32G32B32A32_FLOAT 31
#define VIRGL_FORMAT_R8_UNORM 64

#define PIPE_BUFFER 0
#define PIPE_TEXTURE_2D 2

#define VIRGL_BIND_RENDER_TARGET (1u << 1)
#define VIRGL_BIND_SAMPLER_VIEW (1u << 3)
#define VIRGL_BIND_VERTEX_BUFFER (1u << 4)
#define VIRGL_BIND_SCANOUT (1u << 18)

#define LOOPBACK_VIRGL_WORDS 4096

struct loopback_virgl {
	uint32_t words[LOOPBACK_VIRGL_WORDS];
	uint32_t count;
};

/* Empties the buffer. */
void virgl_begin(struct loopback_virgl *virgl);
void virgl_emit(struct loopback_virgl *virgl, uint32_t word);
/* The first word of a command; @length words follow. */
void virgl_emit_header(
    struct loopback_virgl *virgl, uint32_t command, uint32_t object, uint32_t length);

void virgl_create_surface(
    struct loopback_virgl *virgl, uint32_t handle, uint32_t resource_id, uint32_t format);
void virgl_destroy_object(struct loopback_virgl *virgl, uint32_t handle);
/* One colour buffer, no depth. */
void virgl_set_framebuffer(struct loopback_virgl *virgl, uint32_t surface);
/* The colour buffer, in R, G, B, A from 0 to 1. */
void virgl_clear(struct loopback_virgl *virgl, const float colour[4]);

/*
 * Draws a triangle that covers the half of the framebuffer (@width x @height) below the
 * diagonal from the first row's beginning to the last row's end, in one colour. Uses objects
 * @handle to @handle + 5 and fills the vertex buffer @buffer (PIPE_BUFFER, VERTEX_BUFFER, 96
 * bytes or more), which must be attached to the context.
 */
void virgl_draw_triangle(struct loopback_virgl *virgl, uint32_t handle, uint32_t buffer,
    uint32_t width, uint32_t height, const float colour[4]);

/* The same again, with the state that the last one has left. */
void virgl_draw_again(struct loopback_virgl *virgl, uint32_t width, uint32_t height);

/* A draw whose fragment shader would run for ever, were it not for whoever stops it. */
void virgl_draw_endless(struct loopback_virgl *virgl, uint32_t handle, uint32_t buffer,
    uint32_t width, uint32_t height);

/* RESOURCE_CREATE_3D of a texture that can be rendered to, and of a vertex buffer. */
uint32_t virgl_create_target(
    struct loopback_gpu *gpu, uint32_t id, uint32_t format, uint32_t width, uint32_t height);
uint32_t virgl_create_buffer(struct loopback_gpu *gpu, uint32_t id, uint32_t size);
uint32_t virgl_submit(
    struct loopback_gpu *gpu, uint32_t ctx_id, const struct loopback_virgl *virgl);

#endif
