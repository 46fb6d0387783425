/* SPDX-License-Identifier: MIT */
/* Frames of render/virgl.c: read back, or exported. */
#include <epoxy/gl.h>
#include <errno.h>
#include <linux/virtio_gpu.h>
#include <string.h>

#include "backend/checked.h"
#include "render/pixel.h"
#include "render/virgl_internal.h"

#define PIPE_TEXTURE_2D 2 /* enum pipe_texture_target of Gallium */
#define PIPE_TEXTURE_RECT 5

static int virgl_enter_own(struct virgl *virgl)
{
	int r;

	if (virgl->own_current)
		return 0;
	r = egl_make_own_current(virgl->egl);
	virgl->own_current = r == 0;
	return r;
}

int virgl_pixels_init(struct virgl *virgl)
{
	int r;

	r = virgl_enter_own(virgl);
	if (r < 0)
		return r;
	glGenFramebuffers(1, &virgl->framebuffer);
	glBindFramebuffer(GL_FRAMEBUFFER, virgl->framebuffer);
	glPixelStorei(GL_PACK_ALIGNMENT, 4);
	virgl->reads_bgra =
	    !egl_is_gles(virgl->egl) || epoxy_has_gl_extension("GL_EXT_read_format_bgra");
	virgl->pack_invert = epoxy_has_gl_extension("GL_MESA_pack_invert");
	return 0;
}

void virgl_pixels_finish(struct virgl *virgl)
{
	if (virgl->framebuffer && virgl_enter_own(virgl) == 0)
		glDeleteFramebuffers(1, &virgl->framebuffer);
	virgl->framebuffer = 0;
}

static void swap_rows(uint8_t *a, uint8_t *b, size_t bytes)
{
	uint8_t buffer[1024];

	while (bytes) {
		size_t n = bytes < sizeof(buffer) ? bytes : sizeof(buffer);

		memcpy(buffer, a, n);
		memcpy(a, b, n);
		memcpy(b, buffer, n);
		a += n;
		b += n;
		bytes -= n;
	}
}

/* What glReadPixels() left to do: the order of rows and of bytes. */
static void virgl_finish_rows(struct virgl *virgl, const struct virgl_resource *resource,
    const struct display_rect *rect, uint8_t *to, size_t stride)
{
	const size_t bytes = (size_t)rect->width * PIXEL_SIZE;

	if (!resource->y0_top && !virgl->pack_invert)
		for (uint32_t y = 0; y < rect->height / 2; y++)
			swap_rows(to + y * stride, to + (rect->height - 1 - y) * stride, bytes);
	if (virgl->reads_bgra)
		return;
	for (uint32_t y = 0; y < rect->height; y++)
		pixel_convert(VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, to + y * stride, to + y * stride,
		    rect->width);
}

static int virgl_read_texture(struct virgl *virgl, const struct virgl_resource *resource,
    const struct display_rect *rect, void *to, size_t stride)
{
	const GLenum target =
	    resource->target == PIPE_TEXTURE_RECT ? GL_TEXTURE_RECTANGLE : GL_TEXTURE_2D;
	const uint32_t y = resource->y0_top ? rect->y : resource->height - rect->y - rect->height;
	int r;

	r = virgl_enter_own(virgl);
	if (r < 0)
		return r;
	glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, target, resource->texture, 0);
	if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE) {
		r = -ENOTSUP;
		goto out;
	}
	glPixelStorei(GL_PACK_ROW_LENGTH, (GLint)(stride / PIXEL_SIZE));
	if (virgl->pack_invert)
		glPixelStorei(GL_PACK_INVERT_MESA, !resource->y0_top);
	glReadPixels((GLint)rect->x, (GLint)y, (GLsizei)rect->width, (GLsizei)rect->height,
	    virgl->reads_bgra ? GL_BGRA : GL_RGBA, GL_UNSIGNED_BYTE, to);
	if (glGetError() != GL_NO_ERROR)
		r = -EIO;
	else
		virgl_finish_rows(virgl, resource, rect, to, stride);
out:
	/* Or the texture would live as long as it is attached. */
	glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, target, 0, 0);
	return r;
}

static bool virgl_is_picture(const struct virgl_resource *resource)
{
	return resource->texture && resource->nr_samples <= 1 &&
	       (resource->target == PIPE_TEXTURE_2D || resource->target == PIPE_TEXTURE_RECT);
}

int virgl_read_pixels(struct renderer *renderer, const struct renderer_scanout *scanout,
    const struct display_rect *rect, void *to, size_t stride)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource = virgl_find_resource(virgl, scanout->resource_id);

	if (!resource)
		return -ENOENT;
	if (resource->home != VIRGL_HOME_GL)
		return virgl->soft->impl->read_pixels(virgl->soft, scanout, rect, to, stride);
	if (!virgl_is_picture(resource))
		return -ENOTSUP;
	if (!rect->width || !rect->height || stride % PIXEL_SIZE ||
	    !range_inside(rect->x, rect->width, resource->width) ||
	    !range_inside(rect->y, rect->height, resource->height))
		return -EINVAL;
	return virgl_read_texture(virgl, resource, rect, to, stride);
}

int virgl_export_memory(
    struct renderer *renderer, uint32_t id, struct udmabuf *udmabuf, struct display_dmabuf *dmabuf)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	const struct virgl_resource *resource = virgl_find_resource(virgl, id);

	if (!resource)
		return -ENOENT;
	if (resource->home == VIRGL_HOME_GL)
		return -ENOTSUP;
	return virgl->soft->impl->export_memory(virgl->soft, id, udmabuf, dmabuf);
}

int virgl_export_dmabuf(struct renderer *renderer, uint32_t id, struct display_dmabuf *dmabuf)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_resource *resource = virgl_find_resource(virgl, id);
	int r;

	if (!resource)
		return -ENOENT;
	if (resource->home != VIRGL_HOME_GL || !virgl_is_picture(resource) ||
	    resource->target != PIPE_TEXTURE_2D)
		return -ENOTSUP;
	r = virgl_enter_own(virgl);
	if (r < 0)
		return r;
	r = egl_export_texture(virgl->egl, resource->texture, dmabuf);
	if (r < 0)
		return r;
	dmabuf->width = resource->width;
	dmabuf->height = resource->height;
	dmabuf->y0_top = resource->y0_top;
	return 0;
}
