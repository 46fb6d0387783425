/* SPDX-License-Identifier: MIT */
/*
 * The renderer on virglrenderer (0.10.4 and later): OpenGL for contexts, and a software renderer
 * for the 2D resources that no context uses. virglrenderer keeps process-wide state: one of these
 * in a process at a time.
 */
#ifndef GPUDOM_RENDER_VIRGL_H
#define GPUDOM_RENDER_VIRGL_H

#include <errno.h>

#include "backend/capset.h"
#include "backend/renderer.h"
#include "render/egl.h"

struct virgl_options {
	enum egl_choice egl;
	const char *render_node; /* NULL: none */
	uint32_t capsets;        /* 1u << VIRTIO_GPU_CAPSET_* of those that the guest may see */
};
#define VIRGL_CAPSETS_ALL UINT32_MAX

/* -ENODEV (no GL; logged), -ENOMEM, -EBUSY (there is one). */
#if WITH_VIRGL
int virgl_create(const struct virgl_options *options, struct renderer **renderer);
#else
/* make WITH_VIRGL=0: there is no such renderer. */
static inline int virgl_create(const struct virgl_options *options, struct renderer **renderer)
{
	return -ENOTSUP;
}
#endif

#endif
