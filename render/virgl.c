/* SPDX-License-Identifier: MIT */
#include "render/virgl.h"

#include <assert.h>
#include <epoxy/egl.h>
#include <epoxy/gl.h>
#include <errno.h>
#include <linux/virtio_gpu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/soft.h"
#include "render/virgl_internal.h"

#define CAPSET_BYTES_MAX 16384 /* union virgl_caps has some 1500 */
#define LINE_BYTES 512

/*
 * virglrenderer is one in a process, and its log callback of 0.10.4 takes no argument. So
 * the one renderer that uses it is known here.
 */
static struct virgl *virgl_only;

struct virgl_resource *virgl_find_resource(struct virgl *virgl, uint32_t id)
{
	return (struct virgl_resource *)id_table_find(&virgl->resources, id);
}

struct virgl_context *virgl_find_context(struct virgl *virgl, uint32_t id)
{
	return (struct virgl_context *)id_table_find(&virgl->contexts, id);
}

void virgl_enter(struct virgl *virgl)
{
	if (!virgl->own_current && eglGetCurrentContext() != EGL_NO_CONTEXT)
		return;
	virgl->own_current = false;
	virgl_renderer_force_ctx_0();
}

/* ---------------------------------------------------------------- what the library says */

/* Nearly all lines are the doing of a guest. */
static void virgl_log_line(const char *line)
{
	struct virgl *virgl = virgl_only;
	const int length = (int)strcspn(line, "\n");

	if (!length)
		return;
	if (!virgl || !virgl->initialized || virgl->chatty)
		log_debug("virglrenderer: %.*s", length, line);
	else
		log_guest(&virgl->library_lines, "virglrenderer: %.*s", length, line);
}

#ifdef VIRGL_CHECK_VERSION /* 1.0; the callback is of 1.1 */
static void virgl_on_log(enum virgl_log_level_flags level, const char *message, void *data)
{
	if (level >= VIRGL_LOG_LEVEL_WARNING)
		virgl_log_line(message);
	else
		log_debug("virglrenderer: %.*s", (int)strcspn(message, "\n"), message);
}

static void virgl_catch_log(void)
{
	virgl_set_log_callback(virgl_on_log, NULL, NULL);
}
#else
static void virgl_on_log(const char *format, va_list args)
{
	char line[LINE_BYTES];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(line, sizeof(line), format, args);
#pragma GCC diagnostic pop
	virgl_log_line(line);
}

static void virgl_catch_log(void)
{
	virgl_set_debug_callback(virgl_on_log);
}
#endif

/* ---------------------------------------------------------------- GL contexts for virglrenderer */

static virgl_renderer_gl_context virgl_on_create_gl_context(
    void *cookie, int scanout, struct virgl_renderer_gl_ctx_param *param)
{
	struct virgl *virgl = cookie;
	bool compatibility = false;

#ifdef VIRGL_RENDERER_COMPAT_PROFILE /* 1.0 */
	compatibility = param->compat_ctx;
#endif
	return egl_create_context(virgl->egl, param->major_ver, param->minor_ver, compatibility);
}

static void virgl_on_destroy_gl_context(void *cookie, virgl_renderer_gl_context context)
{
	struct virgl *virgl = cookie;

	egl_destroy_context(virgl->egl, context);
}

/* Also from virglrenderer's thread that waits for fences. */
static int virgl_on_make_current(void *cookie, int scanout, virgl_renderer_gl_context context)
{
	struct virgl *virgl = cookie;

	return egl_make_current(virgl->egl, context);
}

/* ---------------------------------------------------------------- capability sets */

static void virgl_find_capsets(struct virgl *virgl, uint32_t allowed)
{
	static const uint32_t ids[VIRGL_CAPSETS_MAX] = { VIRTIO_GPU_CAPSET_VIRGL,
		VIRTIO_GPU_CAPSET_VIRGL2 };

	for (unsigned i = 0; i < VIRGL_CAPSETS_MAX; i++) {
		struct virgl_capset *capset = &virgl->capsets[virgl->capset_count];

		if (!(allowed & 1u << ids[i]))
			continue;
		capset->id = ids[i];
		virgl_renderer_get_cap_set(ids[i], &capset->max_version, &capset->max_size);
		if (capset->max_size && capset->max_size <= CAPSET_BYTES_MAX)
			virgl->capset_count++;
	}
}

static const struct virgl_capset *virgl_find_capset(const struct virgl *virgl, uint32_t id)
{
	for (unsigned i = 0; i < virgl->capset_count; i++)
		if (virgl->capsets[i].id == id)
			return &virgl->capsets[i];
	return NULL;
}

static int virgl_get_capset_info(struct renderer *renderer, uint32_t index, uint32_t *id,
    uint32_t *max_version, uint32_t *max_size)
{
	const struct virgl *virgl = virgl_from_renderer(renderer);

	if (index >= virgl->capset_count)
		return -ENOENT;
	*id = virgl->capsets[index].id;
	*max_version = virgl->capsets[index].max_version;
	*max_size = virgl->capsets[index].max_size;
	return 0;
}

static int virgl_get_capset(struct renderer *renderer, uint32_t id, uint32_t version, void *to)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	const struct virgl_capset *capset = virgl_find_capset(virgl, id);
	void *caps;

	if (!capset || version > capset->max_version)
		return -EINVAL;
	/* virglrenderer clears its largest structure whichever set is asked for. */
	caps = calloc(1, CAPSET_BYTES_MAX);
	if (!caps)
		return -ENOMEM;
	virgl_enter(virgl);
	virgl->chatty = true;
	virgl_renderer_fill_caps(id, version, caps);
	virgl->chatty = false;
	memcpy(to, caps, capset->max_size);
	free(caps);
	return 0;
}

/* ---------------------------------------------------------------- contexts */

static int virgl_create_context(
    struct renderer *renderer, uint32_t ctx_id, uint32_t capset_id, const char *name)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_context *context;
	int r;

	/* virtio 1.2, 5.7.6.8: capset_id 0 keeps the meaning from before contexts had types. */
	if (!virgl->capset_count || (capset_id && !virgl_find_capset(virgl, capset_id)))
		return -EINVAL;
	context = calloc(1, sizeof(*context));
	if (!context)
		return -ENOMEM;
	r = id_table_insert(&virgl->contexts, &context->entry, ctx_id);
	if (r < 0)
		goto error_free;
	virgl_enter(virgl);
	if (capset_id)
		r = virgl_renderer_context_create_with_flags(
		    ctx_id, capset_id, (uint32_t)strlen(name), name);
	else
		r = virgl_renderer_context_create(ctx_id, (uint32_t)strlen(name), name);
	r = virgl_result(r);
	if (r < 0)
		goto error_remove;
	LIST_INSERT_HEAD(&virgl->context_list, context, link);
	return 0;

error_remove:
	id_table_remove(&virgl->contexts, ctx_id);
error_free:
	free(context);
	return r;
}

static void virgl_end_context(struct virgl *virgl, struct virgl_context *context)
{
	const uint32_t ctx_id = context->entry.id;

	virgl_enter(virgl);
	virgl_finish_fences(virgl, context);
	virgl_renderer_context_destroy(ctx_id);
	id_table_remove(&virgl->contexts, ctx_id);
	LIST_REMOVE(context, link);
	fence_queue_finish(&context->timeline.queue);
	free(context);
}

static void virgl_destroy_context(struct renderer *renderer, uint32_t ctx_id)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	struct virgl_context *context = virgl_find_context(virgl, ctx_id);

	if (!context)
		return;
	virgl_end_context(virgl, context);
	virgl_renew_fences(virgl);
}

static int virgl_submit(struct renderer *renderer, uint32_t ctx_id, void *commands, uint32_t size)
{
	struct virgl *virgl = virgl_from_renderer(renderer);

	if (!virgl_find_context(virgl, ctx_id))
		return -ESRCH;
	virgl_enter(virgl);
	return virgl_result(
	    virgl_renderer_submit_cmd(commands, (int)ctx_id, (int)(size / sizeof(uint32_t))));
}

/* ---------------------------------------------------------------- the renderer */

/*
 * virgl_renderer_reset() leaves 0.10.4 without its context 0 and some versions with dangling
 * state, so each thing that the guest made is given back by itself.
 */
static void virgl_reset(struct renderer *renderer)
{
	struct virgl *virgl = virgl_from_renderer(renderer);
	const struct renderer_listener listener = renderer->listener;
	struct id_entry *entry;

	renderer->listener.fence_retired = NULL;
	while (!LIST_EMPTY(&virgl->context_list)) {
		virgl_end_context(virgl, LIST_FIRST(&virgl->context_list));
		/* The next one waits for its fences. */
		virgl_renew_fences(virgl);
	}
	while ((entry = id_table_any(&virgl->resources)))
		virgl_destroy_resource(renderer, entry->id);
	virgl_forget_fences(virgl);
	renderer->listener = listener;
}

static void virgl_destroy(struct renderer *renderer)
{
	struct virgl *virgl = virgl_from_renderer(renderer);

	if (virgl->initialized) {
		virgl_reset(renderer);
		virgl_pixels_finish(virgl);
		virgl_enter(virgl);
		virgl->initialized = false;
		virgl_renderer_cleanup(virgl);
	}
	id_table_finish(&virgl->contexts);
	id_table_finish(&virgl->resources);
	fence_queue_finish(&virgl->timeline.queue);
	if (virgl->soft)
		virgl->soft->impl->destroy(virgl->soft);
	egl_destroy(virgl->egl);
	virgl_only = NULL;
	free(virgl);
}

static const struct renderer_impl virgl_impl = {
	.name = "virgl",
	.destroy = virgl_destroy,
	.get_fd = virgl_get_fd,
	.dispatch = virgl_dispatch,
	.get_capset_info = virgl_get_capset_info,
	.get_capset = virgl_get_capset,
	.create_context = virgl_create_context,
	.destroy_context = virgl_destroy_context,
	.attach_resource = virgl_attach_resource,
	.detach_resource = virgl_detach_resource,
	.submit = virgl_submit,
	.create_fence = virgl_create_fence,
	.create_resource = virgl_create_resource,
	.create_blob = virgl_create_blob,
	.destroy_resource = virgl_destroy_resource,
	.attach_backing = virgl_attach_backing,
	.detach_backing = virgl_detach_backing,
	.transfer_to_host = virgl_transfer_to_host,
	.transfer_from_host = virgl_transfer_from_host,
	.read_pixels = virgl_read_pixels,
	.export_dmabuf = virgl_export_dmabuf,
	.export_memory = virgl_export_memory,
	.reset = virgl_reset,
};

static int virgl_start_library(struct virgl *virgl)
{
	int flags =
	    VIRGL_RENDERER_THREAD_SYNC | (egl_is_gles(virgl->egl) ? VIRGL_RENDERER_USE_GLES : 0);
	int r;

	/* A debugging switch that makes fences a matter of polling */
	unsetenv("VIRGL_DISABLE_MT");
	virgl->callbacks = (struct virgl_renderer_callbacks){
		.version =
		    3, /* 4 would let it make contexts and buffers on our display by itself */
		.write_fence = virgl_on_fence,
		.create_gl_context = virgl_on_create_gl_context,
		.destroy_gl_context = virgl_on_destroy_gl_context,
		.make_current = virgl_on_make_current,
		.write_context_fence = virgl_on_context_fence,
	};
	virgl_catch_log();
	r = virgl_renderer_init(virgl, flags, &virgl->callbacks);
	if (r) {
		log_error("virglrenderer does not start on %s (%s): %d",
		    egl_get_renderer(virgl->egl), egl_get_platform(virgl->egl), r);
		return -ENODEV;
	}
	virgl->initialized = true;
	virgl->poll_fd = virgl_renderer_get_poll_fd();
	return 0;
}

int virgl_create(const struct virgl_options *options, struct renderer **renderer)
{
	struct virgl *virgl;
	int r;

	if (virgl_only)
		return -EBUSY;
	virgl = calloc(1, sizeof(*virgl));
	if (!virgl)
		return -ENOMEM;
	virgl_only = virgl;
	virgl->base.impl = &virgl_impl;
	virgl->poll_fd = -1;
	r = egl_create(options->egl, options->render_node, &virgl->egl);
	if (r < 0)
		goto error;
	r = soft_create(&virgl->soft);
	if (r < 0)
		goto error;
	r = virgl_start_library(virgl);
	if (r < 0)
		goto error;
	r = virgl_pixels_init(virgl);
	if (r < 0)
		goto error;
	virgl_find_capsets(virgl, options->capsets);
	virgl->base.has_3d = virgl->capset_count > 0;
	log_info("OpenGL by %s (EGL %s)%s", egl_get_renderer(virgl->egl),
	    egl_get_platform(virgl->egl),
	    virgl->poll_fd < 0 ? "; fences block: no fence descriptor" : "");
	*renderer = &virgl->base;
	return 0;
error:
	virgl_destroy(&virgl->base);
	return r;
}
