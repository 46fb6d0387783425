/* SPDX-License-Identifier: MIT */
/*
 * GL contexts without windows, on whatever the machine has: a render node (GBM), a
 * proprietary driver's EGL device, or Mesa without any device. All contexts of a
 * struct egl share their objects.
 */
#ifndef GPUDOM_RENDER_EGL_H
#define GPUDOM_RENDER_EGL_H

#include <stdbool.h>

#include "backend/display.h"

enum egl_choice {
	EGL_CHOICE_AUTO, /* GBM with a render node; else a device, else surfaceless */
	EGL_CHOICE_GBM,
	EGL_CHOICE_DEVICE,
	EGL_CHOICE_SURFACELESS,
};

struct egl;
struct egl_context; /* and the surface that it needs, if it needs one */

/* @render_node may be NULL: none with AUTO, the first one with GBM. -ENODEV (logged) where nothing
 * of the kind works, -ENOMEM. Leaves no context current. */
int egl_create(enum egl_choice choice, const char *render_node, struct egl **egl);

/* All contexts made with it must have been destroyed. Accepts NULL. */
void egl_destroy(struct egl *egl);

/* "gbm", "device" or "surfaceless" */
const char *egl_get_platform(const struct egl *egl);
/* GL_RENDERER, and is it GLES rather than desktop GL? */
const char *egl_get_renderer(const struct egl *egl);
bool egl_is_gles(const struct egl *egl);

/* A context of at least that version, shared with all others; NULL where there is none.
 * Callable from any thread, like egl_make_current(). */
struct egl_context *egl_create_context(struct egl *egl, int major, int minor, bool compatibility);
void egl_destroy_context(struct egl *egl, struct egl_context *context); /* Accepts NULL. */

/* 0, or -EIO. NULL: none is current any more. */
int egl_make_current(struct egl *egl, struct egl_context *context);

/* Our own context, in which nobody else changes state. -EIO. */
int egl_make_own_current(struct egl *egl);

/* Exports texture @name, a GL_TEXTURE_2D; our own context must be current. Fills all but width,
 * height and y0_top. -ENOTSUP where the driver can't, or it takes more than one plane. */
int egl_export_texture(struct egl *egl, unsigned name, struct display_dmabuf *dmabuf);

#endif
