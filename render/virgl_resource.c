/* SPDX-License-Identifier: MIT */
/* Resources of render/virgl.c: which of two renderers keeps one, and its transfers. */
#include <errno.h>
#include <linux/virtio_gpu.h>
#include <stdlib.h>
#include <string.h>

#include "backend/checked.h"
#include "render/pixel.h"
#include "render/soft.h"
#include "render/virgl_internal.h"

#define PIPE_TEXTURE_2D 2 /* enum pipe_texture_target of Gallium */

/* The layout of virglrenderer's struct virgl_box, which its public header only names. */
struct virgl_box {
	uint32_t x, y, z, w, h, d;
};

/* VIRGL_RESOURCE_Y_0_TOP. For virglrenderer it means that the rows of the texture run from the
 * bottom up, as GL counts them, so that the resource's row 0 is on top of what GL draws. */
#define RESOURCE_Y_0_TOP 1u

/* The library may know a longer structure than the header that we were built with. */
union virgl_info {
	struct virgl_renderer_resource_info info;
	uint8_t space[256];
};

static int virgl_read_info(struct virgl_resource *resource)
{
	union virgl_info info;
	int r;

	memset(&info, 0, sizeof(info));
	r = virgl_result(virgl_renderer_resource_get_info((int)resource->entry.id, &info.info));
	if (r < 0)
		return r;
	resource->texture = info.info.tex_id;
	resource->y0_top = !(info.info.flags & RESOURCE_Y_0_TOP);
	return 0;
}

static int virgl_add(struct virgl *virgl, uint32_t id, struct virgl_resource **added)
{
	struct virgl_resource *resource = calloc(1, sizeof(*resource));
	int r;

	if (!resource)
		return -ENOMEM;
	r = id_table_insert(&virgl->resources, &resource->entry, id);
	if (r < 0) {
		free(resource);
		return r;
	}
	*added = resource;
	return 0;
}

static void virgl_drop(struct virgl *virgl, uint32_t id)
{
	free(id_table_remove(&virgl->resources, id));
}

/* Creates @create in virglrenderer. */
static int virgl_create_gl(
    struct virgl *virgl, struct virgl_resource *resource, const struct renderer_resource *create)
{
	struct virgl_renderer_resource_create_args args = {
		.handle = resource->entry.id,
		.target = create->target,
		.format = create->format,
		.bind = create->bind,
		.width = create->width,
		.height = create->height,
		.depth = create->depth,
		.array_size = create->array_size,
		.last_level = create->last_level,
		.nr_samples = create->nr_samples,
		.flags = create->flags,
	};
	int r;

	virgl_enter(virgl);
	r = virgl_result(virgl_renderer_resource_create(&args, NULL, 0));
	if (r < 0)
		return r;
	resource->home = VIRGL_HOME_GL;
	resource->target = create->target;
	resource->format = create->format;
	resource->width = create->width;
	resource->height = create->height;
	resource->nr_samples = create->nr_samples;
	r = virgl_read_info(resource);
	if (r < 0)
		virgl_renderer_resource_unref(resource->entry.id);
	return r;
}

int virgl_create_resource(
    struct renderer *renderer, uint32_t id, const struct renderer_resource *create)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource;
	int r;

	r = virgl_add(virgl, id, &resource);
	if (r < 0)
		return r;
	resource->is_2d = create->is_2d;
	if (create->is_2d)
		r = virgl->soft->impl->create_resource(virgl->soft, id, create);
	else
		r = virgl_create_gl(virgl, resource, create);
	if (r < 0)
		virgl_drop(virgl, id);
	return r;
}

int virgl_create_blob(struct renderer *renderer, uint32_t id, uint32_t ctx_id, uint64_t size,
    const struct iovec *iov, unsigned iov_count)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource;
	int r;

	r = virgl_add(virgl, id, &resource);
	if (r < 0)
		return r;
	r = virgl->soft->impl->create_blob(virgl->soft, id, ctx_id, size, iov, iov_count);
	if (r < 0)
		virgl_drop(virgl, id);
	return r;
}

void virgl_destroy_resource(struct renderer *renderer, uint32_t id)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource = virgl_find_resource(virgl, id);

	if (!resource)
		return;
	if (resource->home != VIRGL_HOME_SOFT) {
		virgl_enter(virgl);
		/* With the backing still attached, 0.10.4 would keep the pointer to it. */
		virgl_renderer_resource_detach_iov((int)id, NULL, NULL);
		virgl_renderer_resource_unref(id);
	}
	if (resource->home != VIRGL_HOME_GL)
		virgl->soft->impl->destroy_resource(virgl->soft, id);
	virgl_drop(virgl, id);
}

int virgl_attach_backing(
    struct renderer *renderer, uint32_t id, const struct iovec *iov, unsigned iov_count)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource = virgl_find_resource(virgl, id);
	int r;

	if (!resource)
		return -ENOENT;
	if (resource->home != VIRGL_HOME_GL)
		return virgl->soft->impl->attach_backing(virgl->soft, id, iov, iov_count);
	if (resource->backing_size)
		return -EINVAL;
	virgl_enter(virgl);
	/* It reads the entries and does not write them. */
	r = virgl_result(
	    virgl_renderer_resource_attach_iov((int)id, (struct iovec *)iov, (int)iov_count));
	if (r == 0)
		resource->backing_size = iov_size(iov, iov_count);
	return r;
}

void virgl_detach_backing(struct renderer *renderer, uint32_t id)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource = virgl_find_resource(virgl, id);

	if (!resource)
		return;
	if (resource->home != VIRGL_HOME_GL) {
		virgl->soft->impl->detach_backing(virgl->soft, id);
		return;
	}
	virgl_enter(virgl);
	virgl_renderer_resource_detach_iov((int)id, NULL, NULL);
	resource->backing_size = 0;
}

/* ---------------------------------------------------------------- contexts want a resource */

/* Moves what the soft renderer has of @resource into a texture. */
static int virgl_upload(struct virgl_resource *resource, const struct soft_image *image)
{
	struct virgl_box box = { .w = image->width, .h = image->height, .d = 1 };
	struct iovec pixels = { .iov_base = image->pixels, .iov_len = image->size };

	const uint32_t natural = image->width * PIXEL_SIZE;

	return virgl_result(virgl_renderer_transfer_write_iov(resource->entry.id, 0, 0,
	    image->stride == natural ? 0 : (uint32_t)image->stride, 0, &box, 0, &pixels, 1));
}

/*
 * Linux attaches each dumb buffer to the contexts of the file that opened it: from then on a
 * 2D resource must be one of virglrenderer's.
 */
static int virgl_promote_2d(struct virgl *virgl, struct virgl_resource *resource)
{
	const uint32_t id = resource->entry.id;
	struct renderer_resource create = {
		.target = PIPE_TEXTURE_2D,
		.bind = VIRGL_RES_BIND_RENDER_TARGET | VIRGL_RES_BIND_SAMPLER_VIEW,
		.depth = 1,
		.array_size = 1,
	};
	struct soft_image image;
	int r;

	r = soft_get_image(virgl->soft, id, &image);
	if (r < 0)
		return r;
	create.format = image.format; /* VIRTIO_GPU_FORMAT_* are those of virgl */
	create.width = image.width;
	create.height = image.height;
	r = virgl_create_gl(virgl, resource, &create);
	if (r < 0)
		return r;
	r = virgl_upload(resource, &image);
	if (r == 0 && image.iov) {
		r = virgl_result(virgl_renderer_resource_attach_iov(
		    (int)id, (struct iovec *)image.iov, (int)image.iov_count));
		resource->backing_size = iov_size(image.iov, image.iov_count);
	}
	if (r < 0) {
		virgl_renderer_resource_unref(id);
		resource->home = VIRGL_HOME_SOFT;
		resource->backing_size = 0;
		return r;
	}
	virgl->soft->impl->destroy_resource(virgl->soft, id);
	return 0;
}

/* Tells virglrenderer of a guest blob, whose pixels it shares with the soft renderer. */
static int virgl_promote_blob(struct virgl *virgl, struct virgl_resource *resource, uint32_t ctx_id)
{
	struct virgl_renderer_resource_create_blob_args args = {
		.res_handle = resource->entry.id,
		.ctx_id = ctx_id,
		.blob_mem = VIRGL_RENDERER_BLOB_MEM_GUEST,
	};
	struct soft_image image;
	int r;

	r = soft_get_image(virgl->soft, resource->entry.id, &image);
	if (r < 0)
		return r;
	args.size = image.size;
	args.iovecs = image.iov;
	args.num_iovs = image.iov_count;
	virgl_enter(virgl);
	r = virgl_result(virgl_renderer_resource_create_blob(&args));
	if (r == 0)
		resource->home = VIRGL_HOME_BLOB;
	return r;
}

int virgl_attach_resource(struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource = virgl_find_resource(virgl, resource_id);
	int r = 0;

	if (!id_table_find(&virgl->contexts, ctx_id))
		return -ESRCH;
	if (!resource)
		return -ENOENT;
	if (resource->home == VIRGL_HOME_SOFT)
		r = resource->is_2d ? virgl_promote_2d(virgl, resource)
				    : virgl_promote_blob(virgl, resource, ctx_id);
	if (r < 0)
		return r;
	virgl_enter(virgl);
	virgl_renderer_ctx_attach_resource((int)ctx_id, (int)resource_id);
	return 0;
}

void virgl_detach_resource(struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id)
{
	struct virgl *virgl = virgl_from_renderer(renderer);

	virgl_enter(virgl);
	virgl_renderer_ctx_detach_resource((int)ctx_id, (int)resource_id);
}

/* ---------------------------------------------------------------- transfers */

typedef int (*virgl_transfer_call)(const struct renderer_transfer *transfer, struct virgl_box *box);

static int virgl_call_write(const struct renderer_transfer *t, struct virgl_box *box)
{
	return virgl_renderer_transfer_write_iov(t->resource_id, t->ctx_id, (int)t->level,
	    t->stride, t->layer_stride, box, t->offset, NULL, 0);
}

static int virgl_call_read(const struct renderer_transfer *t, struct virgl_box *box)
{
	return virgl_renderer_transfer_read_iov(t->resource_id, t->ctx_id, t->level, t->stride,
	    t->layer_stride, box, t->offset, NULL, 0);
}

/*
 * virglrenderer checks the box and the backing, in terms of the format, but with signed sums and
 * 32-bit products. So each number is kept so small here that it can do no harm there: nothing may
 * reach further than the backing.
 */
static bool virgl_transfer_is_sane(const struct renderer_transfer *transfer, uint64_t backing_size)
{
	const struct renderer_box *box = &transfer->box;

	return transfer->level <= INT32_MAX && range_inside(box->x, box->width, INT32_MAX) &&
	       range_inside(box->y, box->height, INT32_MAX) &&
	       range_inside(box->z, box->depth, INT32_MAX) && transfer->offset < backing_size &&
	       transfer->stride <= backing_size && transfer->layer_stride <= backing_size &&
	       (uint64_t)transfer->stride * box->height <= UINT32_MAX &&
	       (uint64_t)transfer->layer_stride * box->depth <= UINT32_MAX;
}

static int virgl_transfer_gl(struct virgl *virgl, struct virgl_resource *resource,
    const struct renderer_transfer *transfer, virgl_transfer_call call)
{
	const struct renderer_box *from = &transfer->box;
	struct virgl_box box = { from->x, from->y, from->z, from->width, from->height,
		from->depth ? from->depth : 1 };

	if (!virgl_transfer_is_sane(transfer, resource->backing_size))
		return -EINVAL;
	virgl_enter(virgl);
	return virgl_result(call(transfer, &box));
}

int virgl_transfer_to_host(struct renderer *renderer, const struct renderer_transfer *transfer)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource = virgl_find_resource(virgl, transfer->resource_id);

	if (!resource)
		return -ENOENT;
	if (resource->home != VIRGL_HOME_GL)
		return virgl->soft->impl->transfer_to_host(virgl->soft, transfer);
	return virgl_transfer_gl(virgl, resource, transfer, virgl_call_write);
}

int virgl_transfer_from_host(struct renderer *renderer, const struct renderer_transfer *transfer)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource = virgl_find_resource(virgl, transfer->resource_id);

	if (!resource)
		return -ENOENT;
	if (resource->home != VIRGL_HOME_GL)
		return virgl->soft->impl->transfer_from_host(virgl->soft, transfer);
	return virgl_transfer_gl(virgl, resource, transfer, virgl_call_read);
}
