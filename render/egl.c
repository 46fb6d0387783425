/* SPDX-License-Identifier: MIT */
#include "render/egl.h"

#include <assert.h>
#include <epoxy/egl.h>
#include <epoxy/gl.h>
#include <errno.h>
#include <fcntl.h>
#include <gbm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"

#define RENDER_NODE_FIRST 128 /* /dev/dri/renderD128 and on */
#define RENDER_NODE_LAST 191
#define DEVICES_MAX 32

#ifndef EGL_DRM_RENDER_NODE_FILE_EXT /* libepoxy before 1.5.10 has no \
					EGL_EXT_device_drm_render_node */
#define EGL_DRM_RENDER_NODE_FILE_EXT 0x3377
#endif

struct egl {
	const char *platform;
	int drm_fd; /* GBM alone; else -1 */
	struct gbm_device *gbm;
	EGLDisplay display;
	EGLConfig config;
	bool surfaceless; /* EGL_KHR_surfaceless_context */
	EGLenum api;      /* EGL_OPENGL_API or EGL_OPENGL_ES_API */
	struct egl_context *own;
	bool can_export;
	char renderer[128];
};

static bool has_word(const char *words, const char *word)
{
	const size_t length = strlen(word);

	for (const char *at = words; at && (at = strstr(at, word)); at += length)
		if ((at == words || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
			return true;
	return false;
}

static bool has_client_extension(const char *name)
{
	return has_word(eglQueryString(EGL_NO_DISPLAY, EGL_EXTENSIONS), name);
}

static bool has_extension(const struct egl *egl, const char *name)
{
	return has_word(eglQueryString(egl->display, EGL_EXTENSIONS), name);
}

/* ---------------------------------------------------------------- contexts */

struct egl_context {
	EGLContext context;
	EGLSurface surface; /* EGL_NO_SURFACE with EGL_KHR_surfaceless_context */
};

struct egl_context *egl_create_context(struct egl *egl, int major, int minor, bool compatibility)
{
	static const EGLint pbuffer[] = { EGL_WIDTH, 1, EGL_HEIGHT, 1, EGL_NONE };
	EGLint attributes[] = { EGL_CONTEXT_MAJOR_VERSION, major, EGL_CONTEXT_MINOR_VERSION, minor,
		/* Only for desktop GL; cut off for GLES */
		EGL_CONTEXT_OPENGL_PROFILE_MASK,
		compatibility ? EGL_CONTEXT_OPENGL_COMPATIBILITY_PROFILE_BIT
			      : EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT,
		EGL_NONE };
	struct egl_context *context = malloc(sizeof(*context));

	if (!context)
		return NULL;
	if (egl->api == EGL_OPENGL_ES_API)
		attributes[4] = EGL_NONE;
	eglBindAPI(egl->api); /* a state of the thread */
	context->surface = EGL_NO_SURFACE;
	context->context = eglCreateContext(
	    egl->display, egl->config, egl->own ? egl->own->context : EGL_NO_CONTEXT, attributes);
	if (context->context == EGL_NO_CONTEXT)
		goto error_free;
	if (egl->surfaceless)
		return context;
	/* One for each: a surface is current in one thread at a time. */
	context->surface = eglCreatePbufferSurface(egl->display, egl->config, pbuffer);
	if (context->surface == EGL_NO_SURFACE)
		goto error_destroy;
	return context;

error_destroy:
	eglDestroyContext(egl->display, context->context);
error_free:
	free(context);
	return NULL;
}

void egl_destroy_context(struct egl *egl, struct egl_context *context)
{
	if (!context)
		return;
	eglDestroyContext(egl->display, context->context);
	if (context->surface != EGL_NO_SURFACE)
		eglDestroySurface(egl->display, context->surface);
	free(context);
}

int egl_make_current(struct egl *egl, struct egl_context *context)
{
	EGLSurface surface = context ? context->surface : EGL_NO_SURFACE;

	eglBindAPI(egl->api);
	if (eglMakeCurrent(
		egl->display, surface, surface, context ? context->context : EGL_NO_CONTEXT))
		return 0;
	log_error("eglMakeCurrent: error 0x%x", (unsigned)eglGetError());
	return -EIO;
}

int egl_make_own_current(struct egl *egl)
{
	return egl_make_current(egl, egl->own);
}

static int egl_create_own_context(struct egl *egl)
{
	static const struct {
		EGLenum api;
		int major, minor;
		bool compatibility;
	} tries[] = {
		{ EGL_OPENGL_API, 3, 2, false },
		{ EGL_OPENGL_API, 3, 1, false },
		{ EGL_OPENGL_API, 2, 1, true },
		{ EGL_OPENGL_ES_API, 3, 0, false },
		{ EGL_OPENGL_ES_API, 2, 0, false },
	};
	const char *renderer;
	int r;

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		if (!eglBindAPI(tries[i].api))
			continue;
		egl->api = tries[i].api;
		egl->own =
		    egl_create_context(egl, tries[i].major, tries[i].minor, tries[i].compatibility);
		if (egl->own)
			break;
	}
	if (!egl->own) {
		log_debug("%s: no OpenGL context: EGL error 0x%x", egl->platform,
		    (unsigned)eglGetError());
		return -ENODEV;
	}
	r = egl_make_own_current(egl);
	if (r < 0)
		return r;
	renderer = (const char *)glGetString(GL_RENDERER);
	snprintf(egl->renderer, sizeof(egl->renderer), "%s", renderer ? renderer : "?");
	return egl_make_current(egl, NULL);
}

static int egl_choose_config(struct egl *egl)
{
	EGLint count = 0;
	EGLint attributes[] = { EGL_SURFACE_TYPE, 0, EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT,
		EGL_RED_SIZE, 8, EGL_GREEN_SIZE, 8, EGL_BLUE_SIZE, 8, EGL_NONE };

	egl->surfaceless = has_extension(egl, "EGL_KHR_surfaceless_context");
	/* The default would be windows. */
	attributes[1] = egl->surfaceless ? 0 : EGL_PBUFFER_BIT;
	if (eglChooseConfig(egl->display, attributes, &egl->config, 1, &count) && count)
		return 0;
	attributes[3] = EGL_OPENGL_ES2_BIT;
	if (eglChooseConfig(egl->display, attributes, &egl->config, 1, &count) && count)
		return 0;
	if (!egl->surfaceless || !has_extension(egl, "EGL_KHR_no_config_context")) {
		log_debug("%s: no EGL configuration", egl->platform);
		return -ENODEV;
	}
	egl->config = EGL_NO_CONFIG_KHR;
	return 0;
}

/* ---------------------------------------------------------------- platforms */

/* What a platform set up and did not keep. */
static void egl_close(struct egl *egl)
{
	if (egl->display != EGL_NO_DISPLAY) {
		eglBindAPI(egl->api);
		eglMakeCurrent(egl->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
		egl_destroy_context(egl, egl->own);
		/*
		 * Any other display is the library's, which returns the same one next time.
		 * Terminating it would unload the driver, and with it what LeakSanitizer needs to
		 * find the memory that a driver keeps.
		 */
		if (egl->gbm)
			eglTerminate(egl->display);
		eglReleaseThread();
	}
	if (egl->gbm)
		gbm_device_destroy(egl->gbm);
	if (egl->drm_fd >= 0)
		close(egl->drm_fd);
	*egl = (struct egl){ .drm_fd = -1, .display = EGL_NO_DISPLAY };
}

static int egl_open(struct egl *egl, EGLenum platform, void *native, const char *name)
{
	EGLint major, minor;
	int r;

	egl->platform = name;
	egl->display = eglGetPlatformDisplayEXT(platform, native, NULL);
	if (egl->display == EGL_NO_DISPLAY || !eglInitialize(egl->display, &major, &minor)) {
		log_debug("%s: EGL does not start: error 0x%x", name, (unsigned)eglGetError());
		r = -ENODEV;
		goto error;
	}
	r = egl_choose_config(egl);
	if (r < 0)
		goto error;
	r = egl_create_own_context(egl);
	if (r < 0)
		goto error;
	egl->can_export = has_extension(egl, "EGL_MESA_image_dma_buf_export");
	return 0;
error:
	egl_close(egl);
	return r;
}

static int egl_open_gbm_node(struct egl *egl, const char *node)
{
	egl->drm_fd = open(node, O_RDWR | O_CLOEXEC);
	if (egl->drm_fd < 0) {
		log_warning("cannot open render node %s: %s", node, strerror(errno));
		return -ENODEV;
	}
	egl->gbm = gbm_create_device(egl->drm_fd);
	if (!egl->gbm) {
		log_debug("%s is nothing for GBM", node);
		egl_close(egl);
		return -ENODEV;
	}
	return egl_open(egl, EGL_PLATFORM_GBM_KHR, egl->gbm, "gbm");
}

static int egl_open_gbm(struct egl *egl, const char *render_node)
{
	char path[32];

	if (!has_client_extension("EGL_KHR_platform_gbm") &&
	    !has_client_extension("EGL_MESA_platform_gbm"))
		return -ENODEV;
	if (render_node)
		return egl_open_gbm_node(egl, render_node);
	for (int i = RENDER_NODE_FIRST; i <= RENDER_NODE_LAST; i++) {
		snprintf(path, sizeof(path), "/dev/dri/renderD%d", i);
		if (access(path, R_OK | W_OK) == 0 && egl_open_gbm_node(egl, path) == 0)
			return 0;
	}
	return -ENODEV;
}

/* Is the device the one of @render_node, or, without one, hardware? */
static bool egl_device_fits(EGLDeviceEXT device, const char *render_node, bool software)
{
	const char *extensions = eglQueryDeviceStringEXT(device, EGL_EXTENSIONS);
	const char *node;

	if (!render_node)
		return software || !has_word(extensions, "EGL_MESA_device_software");
	if (!has_word(extensions, "EGL_EXT_device_drm_render_node"))
		return false;
	node = eglQueryDeviceStringEXT(device, EGL_DRM_RENDER_NODE_FILE_EXT);
	return node && strcmp(node, render_node) == 0;
}

static int egl_open_device(struct egl *egl, const char *render_node, bool software)
{
	EGLDeviceEXT devices[DEVICES_MAX];
	EGLint count = 0;

	if (!has_client_extension("EGL_EXT_platform_device") ||
	    !(has_client_extension("EGL_EXT_device_base") ||
		has_client_extension("EGL_EXT_device_enumeration")) ||
	    !eglQueryDevicesEXT(DEVICES_MAX, devices, &count))
		return -ENODEV;
	for (EGLint i = 0; i < count; i++)
		if (egl_device_fits(devices[i], render_node, software) &&
		    egl_open(egl, EGL_PLATFORM_DEVICE_EXT, devices[i], "device") == 0)
			return 0;
	return -ENODEV;
}

static int egl_open_surfaceless(struct egl *egl)
{
	if (!has_client_extension("EGL_MESA_platform_surfaceless"))
		return -ENODEV;
	return egl_open(egl, EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, "surfaceless");
}

static int egl_open_auto(struct egl *egl, const char *render_node)
{
	int r;

	if (render_node) {
		r = egl_open_gbm(egl, render_node);
		return r < 0 ? egl_open_device(egl, render_node, false) : r;
	}
	r = egl_open_device(egl, NULL, false);
	return r < 0 ? egl_open_surfaceless(egl) : r;
}

int egl_create(enum egl_choice choice, const char *render_node, struct egl **egl_out)
{
	struct egl *egl = calloc(1, sizeof(*egl));
	int r;

	if (!egl)
		return -ENOMEM;
	egl->drm_fd = -1;
	egl->display = EGL_NO_DISPLAY;
	switch (choice) {
	case EGL_CHOICE_GBM:
		r = egl_open_gbm(egl, render_node);
		break;
	case EGL_CHOICE_DEVICE:
		r = egl_open_device(egl, render_node, true);
		break;
	case EGL_CHOICE_SURFACELESS:
		r = egl_open_surfaceless(egl);
		break;
	default:
		r = egl_open_auto(egl, render_node);
	}
	if (r < 0) {
		log_error("no OpenGL through EGL%s%s: neither Mesa (Debian: libegl-mesa0, "
			  "libgl1-mesa-dri) nor a GPU's own driver works here; "
			  "--log-level=debug says what was tried",
		    render_node ? " on " : "", render_node ? render_node : "");
		free(egl);
		return r == -ENOMEM ? r : -ENODEV;
	}
	*egl_out = egl;
	return 0;
}

void egl_destroy(struct egl *egl)
{
	if (!egl)
		return;
	egl_close(egl);
	free(egl);
}

const char *egl_get_platform(const struct egl *egl)
{
	return egl->platform;
}

const char *egl_get_renderer(const struct egl *egl)
{
	return egl->renderer;
}

bool egl_is_gles(const struct egl *egl)
{
	return egl->api == EGL_OPENGL_ES_API;
}

/* ---------------------------------------------------------------- dma-bufs */

int egl_export_texture(struct egl *egl, unsigned name, struct display_dmabuf *dmabuf)
{
	EGLClientBuffer texture;
	EGLImage image;
	EGLuint64KHR modifier;
	EGLint stride, offset;
	int fourcc, planes, fd = -1, r = -ENOTSUP;

	if (!egl->can_export)
		return -ENOTSUP;
	/* EGL has the name passed as a pointer. NOLINTNEXTLINE(performance-no-int-to-ptr) */
	texture = (EGLClientBuffer)(uintptr_t)name;
	image = eglCreateImageKHR(
	    egl->display, egl->own->context, EGL_GL_TEXTURE_2D_KHR, texture, NULL);
	if (image == EGL_NO_IMAGE_KHR)
		return -ENOTSUP;
	if (!eglExportDMABUFImageQueryMESA(egl->display, image, &fourcc, &planes, NULL) ||
	    planes != 1)
		goto out;
	if (!eglExportDMABUFImageQueryMESA(egl->display, image, &fourcc, &planes, &modifier) ||
	    !eglExportDMABUFImageMESA(egl->display, image, &fd, &stride, &offset) || fd < 0)
		goto out;
	dmabuf->fd = fd;
	dmabuf->stride = (uint32_t)stride;
	dmabuf->offset = (uint32_t)offset;
	dmabuf->fourcc = (uint32_t)fourcc;
	dmabuf->modifier = modifier;
	r = 0;
out:
	eglDestroyImageKHR(egl->display, image);
	return r;
}
