/* SPDX-License-Identifier: MIT */
/* Shared by render/virgl*.c alone. */
#ifndef GPUDOM_RENDER_VIRGL_INTERNAL_H
#define GPUDOM_RENDER_VIRGL_INTERNAL_H

#include <sys/queue.h>
#include <virgl/virglrenderer.h>

#include "backend/id_table.h"
#include "backend/log.h"
#include "render/egl.h"
#include "render/fence_queue.h"
#include "render/virgl.h"

#define VIRGL_CAPSETS_MAX 2

/* A timeline's fences. What virglrenderer is given are the queue's names: each names one fence of
 * its own, also where several stand for the same one of the device. */
struct virgl_timeline {
	struct fence_queue queue;
	uint64_t last_created, last_retired; /* the device's numbers */
};

struct virgl_context {
	struct id_entry entry;
	LIST_ENTRY(virgl_context) link;
	struct virgl_timeline timeline; /* a GL context has one, ring 0 */
};

/* Where a resource lives. */
enum virgl_home {
	VIRGL_HOME_SOFT, /* 2D or blob: in the soft renderer alone */
	VIRGL_HOME_BLOB, /* in the soft renderer, and known to virglrenderer */
	VIRGL_HOME_GL, /* in virglrenderer alone: a 3D resource, or a 2D one that a context uses */
};

struct virgl_resource {
	struct id_entry entry;
	enum virgl_home home;
	bool is_2d;
	/* Of a GL resource */
	uint64_t backing_size; /* 0: none */
	uint32_t target;       /* enum pipe_texture_target */
	uint32_t format, width, height, nr_samples;
	bool y0_top;      /* the texture's first row is the top one */
	uint32_t texture; /* GL's name; 0: none */
};

struct virgl_capset {
	uint32_t id, max_version, max_size;
};

struct virgl {
	struct renderer base;
	struct egl *egl;
	struct renderer *soft;
	struct virgl_renderer_callbacks callbacks;
	bool initialized; /* virglrenderer is */
	int poll_fd;      /* virglrenderer's */
	struct virgl_capset capsets[VIRGL_CAPSETS_MAX];
	unsigned capset_count;
	struct id_table contexts, resources;
	LIST_HEAD(virgl_context_list, virgl_context) context_list;

	struct virgl_timeline timeline; /* the global one */
	unsigned renewals;              /* since nothing was pending */

	/* virgl_pixels.c */
	bool own_current; /* our GL context is current, not one of virglrenderer's */
	uint32_t framebuffer;
	bool reads_bgra;  /* glReadPixels() knows GL_BGRA */
	bool pack_invert; /* GL_MESA_pack_invert */

	bool chatty; /* what the library says now is not news */
	struct log_limit library_lines;
};

static inline struct virgl *virgl_from_renderer(struct renderer *renderer)
{
	return (struct virgl *)renderer;
}

/* virglrenderer returns 0, an errno or a negative errno. */
static inline int virgl_result(int r)
{
	return r > 0 ? -r : r;
}

/* Before any call into virglrenderer: one of its contexts must be current. */
void virgl_enter(struct virgl *virgl);

struct virgl_context *virgl_find_context(struct virgl *virgl, uint32_t id);
struct virgl_resource *virgl_find_resource(struct virgl *virgl, uint32_t id);

/* virgl_fence.c */
void virgl_on_fence(void *cookie, uint32_t name);
void virgl_on_context_fence(void *cookie, uint32_t ctx_id, uint32_t ring_idx, uint64_t fence);
int virgl_create_fence(
    struct renderer *renderer, const struct renderer_timeline *timeline, uint64_t fence);
int virgl_get_fd(struct renderer *renderer);
void virgl_dispatch(struct renderer *renderer);
/* Before a context goes: waits for the fences of its own timeline. */
void virgl_finish_fences(struct virgl *virgl, struct virgl_context *context);
/* After one has gone: makes up for a fence that virglrenderer may have lost. */
void virgl_renew_fences(struct virgl *virgl);
/* Of all global fences that are pending, none will be heard of. */
void virgl_forget_fences(struct virgl *virgl);

/* virgl_resource.c */
int virgl_create_resource(
    struct renderer *renderer, uint32_t id, const struct renderer_resource *create);
int virgl_create_blob(struct renderer *renderer, uint32_t id, uint32_t ctx_id, uint64_t size,
    const struct iovec *iov, unsigned iov_count);
void virgl_destroy_resource(struct renderer *renderer, uint32_t id);
int virgl_attach_backing(
    struct renderer *renderer, uint32_t id, const struct iovec *iov, unsigned iov_count);
void virgl_detach_backing(struct renderer *renderer, uint32_t id);
int virgl_transfer_to_host(struct renderer *renderer, const struct renderer_transfer *transfer);
int virgl_transfer_from_host(struct renderer *renderer, const struct renderer_transfer *transfer);
int virgl_attach_resource(struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id);
void virgl_detach_resource(struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id);

/* virgl_pixels.c */
int virgl_pixels_init(struct virgl *virgl);
void virgl_pixels_finish(struct virgl *virgl);
int virgl_read_pixels(struct renderer *renderer, const struct renderer_scanout *scanout,
    const struct display_rect *rect, void *to, size_t stride);
int virgl_export_memory(
    struct renderer *renderer, uint32_t id, struct udmabuf *udmabuf, struct display_dmabuf *dmabuf);
int virgl_export_dmabuf(
    struct renderer *renderer, uint32_t resource_id, struct display_dmabuf *dmabuf);

#endif
