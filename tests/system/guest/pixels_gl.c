/* SPDX-License-Identifier: MIT */
/* The GL steps of pixels.c: GBM, EGL and OpenGL ES 2 on the guest's own driver. */
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <GLES2/gl2.h>
#include <err.h>
#include <gbm.h>
#include <stdlib.h>
#include <string.h>

#include "pixels.h"

struct gl {
	struct gbm_device *device;
	struct gbm_surface *surface;
	struct gbm_bo *shown;
	uint32_t shown_fb;
	EGLDisplay display;
	EGLSurface window;
	int width, height;
	GLuint flat, textured;
};

static const char vertex_source[] = "attribute vec2 position;\n"
				    "varying vec2 uv;\n"
				    "void main() {\n"
				    "	uv = vec2(position.x, (position.y + 1.0) / 2.0);\n"
				    "	gl_Position = vec4(position, 0.0, 1.0);\n"
				    "}\n";
static const char flat_source[] = "precision mediump float;\n"
				  "uniform vec4 colour;\n"
				  "void main() { gl_FragColor = colour; }\n";
static const char texture_source[] = "precision mediump float;\n"
				     "uniform sampler2D image;\n"
				     "varying vec2 uv;\n"
				     "void main() { gl_FragColor = texture2D(image, uv); }\n";

static GLuint shader_compile(GLenum type, const char *source)
{
	GLuint shader = glCreateShader(type);
	GLint good;

	glShaderSource(shader, 1, &source, NULL);
	glCompileShader(shader);
	glGetShaderiv(shader, GL_COMPILE_STATUS, &good);
	if (!good)
		errx(1, "a shader does not compile");
	return shader;
}

static GLuint program_create(const char *fragment_source)
{
	GLuint program = glCreateProgram();
	GLint good;

	glAttachShader(program, shader_compile(GL_VERTEX_SHADER, vertex_source));
	glAttachShader(program, shader_compile(GL_FRAGMENT_SHADER, fragment_source));
	glBindAttribLocation(program, 0, "position");
	glLinkProgram(program);
	glGetProgramiv(program, GL_LINK_STATUS, &good);
	if (!good)
		errx(1, "a program does not link");
	return program;
}

/* The config whose visual is what the GBM surface holds. */
static EGLConfig config_choose(EGLDisplay display)
{
	static const EGLint wanted[] = { EGL_SURFACE_TYPE, EGL_WINDOW_BIT, EGL_RENDERABLE_TYPE,
		EGL_OPENGL_ES2_BIT, EGL_NONE };
	EGLConfig configs[256];
	EGLint count = 0, visual;

	eglChooseConfig(display, wanted, configs, 256, &count);
	for (EGLint i = 0; i < count; i++)
		if (eglGetConfigAttrib(display, configs[i], EGL_NATIVE_VISUAL_ID, &visual) &&
		    visual == GBM_FORMAT_XRGB8888)
			return configs[i];
	errx(1, "no EGL config for XRGB8888");
}

struct gl *gl_create(struct screen *screen)
{
	static const EGLint es2[] = { EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE };
	struct gl *gl = calloc(1, sizeof(*gl));
	EGLContext context;
	EGLConfig config;

	if (!gl)
		err(1, "out of memory");
	gl->width = screen->mode.hdisplay;
	gl->height = screen->mode.vdisplay;
	gl->device = gbm_create_device(screen->fd);
	if (!gl->device)
		errx(1, "no GBM device");
	gl->display = eglGetPlatformDisplay(EGL_PLATFORM_GBM_KHR, gl->device, NULL);
	if (!eglInitialize(gl->display, NULL, NULL))
		errx(1, "no EGL: 0x%x", eglGetError());
	eglBindAPI(EGL_OPENGL_ES_API);
	config = config_choose(gl->display);
	context = eglCreateContext(gl->display, config, EGL_NO_CONTEXT, es2);
	gl->surface = gbm_surface_create(gl->device, (uint32_t)gl->width, (uint32_t)gl->height,
	    GBM_FORMAT_XRGB8888, GBM_BO_USE_SCANOUT | GBM_BO_USE_RENDERING);
	if (!gl->surface)
		err(1, "no GBM surface");
	gl->window = eglCreatePlatformWindowSurface(gl->display, config, gl->surface, NULL);
	if (!eglMakeCurrent(gl->display, gl->window, gl->window, context))
		errx(1, "no EGL context: 0x%x", eglGetError());
	printf("guest: renderer %s\n", (const char *)glGetString(GL_RENDERER));
	gl->flat = program_create(flat_source);
	gl->textured = program_create(texture_source);
	glEnableVertexAttribArray(0);
	return gl;
}

static void triangles_draw(const GLfloat *corners, GLsizei count)
{
	glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, corners);
	glDrawArrays(GL_TRIANGLE_STRIP, 0, count);
}

/* 0x336699 everywhere, and 0xff8000 below the diagonal from the upper left to the lower right. */
static void picture_draw_flat(struct gl *gl)
{
	static const GLfloat corners[] = { -1, -1, 1, -1, -1, 1 };

	glClearColor(0x33 / 255.0f, 0x66 / 255.0f, 0x99 / 255.0f, 1);
	glClear(GL_COLOR_BUFFER_BIT);
	glUseProgram(gl->flat);
	glUniform4f(glGetUniformLocation(gl->flat, "colour"), 1, 0x80 / 255.0f, 0, 1);
	triangles_draw(corners, 3);
}

/* 0x202020 on the left, with a white block of 40x30 at its lower left corner; on the right a
 * texture of 2x2 texels, the first (red) below on the left. */
static void picture_draw_textured(struct gl *gl)
{
	static const GLfloat corners[] = { 0, -1, 1, -1, 0, 1, 1, 1 };
	static const uint8_t texels[4][4] = { { 200, 0, 0, 255 }, { 0, 200, 0, 255 },
		{ 0, 0, 200, 255 }, { 200, 200, 0, 255 } };
	GLuint texture;

	glClearColor(0x20 / 255.0f, 0x20 / 255.0f, 0x20 / 255.0f, 1);
	glClear(GL_COLOR_BUFFER_BIT);
	glEnable(GL_SCISSOR_TEST);
	glScissor(0, 0, 40, 30);
	glClearColor(1, 1, 1, 1);
	glClear(GL_COLOR_BUFFER_BIT);
	glDisable(GL_SCISSOR_TEST);
	glGenTextures(1, &texture);
	glBindTexture(GL_TEXTURE_2D, texture);
	glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
	glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
	glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 2, 2, 0, GL_RGBA, GL_UNSIGNED_BYTE, texels);
	glUseProgram(gl->textured);
	triangles_draw(corners, 4);
}

/* Asks for one pixel, counted from the lower left, by the way back from the host. */
static void pixel_check(int x, int y, uint32_t colour)
{
	uint8_t rgba[4] = { 0 };
	uint32_t got;

	glReadPixels(x, y, 1, 1, GL_RGBA, GL_UNSIGNED_BYTE, rgba);
	got = (uint32_t)rgba[0] << 16 | (uint32_t)rgba[1] << 8 | rgba[2];
	if (got != colour)
		errx(1, "read back %06x instead of %06x at %d,%d", got, colour, x, y);
}

static uint32_t surface_lock_fb(struct gl *gl, struct screen *screen, struct gbm_bo **bo)
{
	uint32_t fb;

	*bo = gbm_surface_lock_front_buffer(gl->surface);
	if (!*bo)
		err(1, "no front buffer");
	if (drmModeAddFB(screen->fd, (uint32_t)gl->width, (uint32_t)gl->height, 24, 32,
		gbm_bo_get_stride(*bo), gbm_bo_get_handle(*bo).u32, &fb) < 0)
		err(1, "frame buffer");
	return fb;
}

static void gl_show(struct gl *gl, struct screen *screen)
{
	struct gbm_bo *bo;
	uint32_t fb;

	eglSwapBuffers(gl->display, gl->window);
	fb = surface_lock_fb(gl, screen, &bo);
	if (gl->shown)
		screen_flip(screen, fb);
	else
		screen_show(screen, fb);
	if (gl->shown) {
		drmModeRmFB(screen->fd, gl->shown_fb);
		gbm_surface_release_buffer(gl->surface, gl->shown);
	}
	gl->shown = bo;
	gl->shown_fb = fb;
}

void gl_draw(struct gl *gl, struct screen *screen, bool textured)
{
	if (textured) {
		picture_draw_textured(gl);
		pixel_check(gl->width - 10, 10, 0x00c800);
		pixel_check(10, 10, 0xffffff);
	} else {
		picture_draw_flat(gl);
		pixel_check(gl->width / 2, gl->height - 50, 0x336699);
		pixel_check(gl->width / 2, 50, 0xff8000);
	}
	if (glGetError() != GL_NO_ERROR)
		errx(1, "a GL error");
	gl_show(gl, screen);
}

void gl_draw_frame(struct gl *gl, struct screen *screen, uint32_t frame)
{
	static const GLfloat corners[] = { -0.5, -0.5, 0.5, -0.5, -0.5, 0.5 };

	glClearColor((float)(frame >> 16 & 255) / 255, (float)(frame >> 8 & 255) / 255,
	    (float)(frame & 255) / 255, 1);
	glClear(GL_COLOR_BUFFER_BIT);
	glUseProgram(gl->flat);
	glUniform4f(glGetUniformLocation(gl->flat, "colour"), 1, 0x80 / 255.0f, 0, 1);
	triangles_draw(corners, 3);
	gl_show(gl, screen);
}
