/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_virgl.h"

#include <string.h>

enum {
	VIRGL_CCMD_CREATE_OBJECT = 1,
	VIRGL_CCMD_BIND_OBJECT = 2,
	VIRGL_CCMD_DESTROY_OBJECT = 3,
	VIRGL_CCMD_SET_VIEWPORT_STATE = 4,
	VIRGL_CCMD_SET_FRAMEBUFFER_STATE = 5,
	VIRGL_CCMD_SET_VERTEX_BUFFERS = 6,
	VIRGL_CCMD_CLEAR = 7,
	VIRGL_CCMD_DRAW_VBO = 8,
	VIRGL_CCMD_RESOURCE_INLINE_WRITE = 9,
	VIRGL_CCMD_BIND_SHADER = 31,
};

enum {
	VIRGL_OBJECT_BLEND = 1,
	VIRGL_OBJECT_RASTERIZER = 2,
	VIRGL_OBJECT_DSA = 3,
	VIRGL_OBJECT_SHADER = 4,
	VIRGL_OBJECT_VERTEX_ELEMENTS = 5,
	VIRGL_OBJECT_SURFACE = 8,
};

#define PIPE_CLEAR_COLOR0 (1u << 2)
#define PIPE_PRIM_TRIANGLES 4
#define PIPE_SHADER_VERTEX 0
#define PIPE_SHADER_FRAGMENT 1
#define BLEND_COLORMASK_ALL (0xfu << 27)
#define RASTERIZER_DEPTH_CLIP (1u << 1)
#define RASTERIZER_HALF_PIXEL_CENTER (1u << 29)

void virgl_begin(struct loopback_virgl *virgl)
{
	virgl->count = 0;
}

void virgl_emit(struct loopback_virgl *virgl, uint32_t word)
{
	if (virgl->count == LOOPBACK_VIRGL_WORDS)
		loopback_die("the virgl buffer is full");
	virgl->words[virgl->count++] = word;
}

static void emit_float(struct loopback_virgl *virgl, float value)
{
	uint32_t word;

	memcpy(&word, &value, sizeof(word));
	virgl_emit(virgl, word);
}

void virgl_emit_header(
    struct loopback_virgl *virgl, uint32_t command, uint32_t object, uint32_t length)
{
	virgl_emit(virgl, command | object << 8 | length << 16);
}

void virgl_create_surface(
    struct loopback_virgl *virgl, uint32_t handle, uint32_t resource_id, uint32_t format)
{
	virgl_emit_header(virgl, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_SURFACE, 5);
	virgl_emit(virgl, handle);
	virgl_emit(virgl, resource_id);
	virgl_emit(virgl, format);
	virgl_emit(virgl, 0); /* level */
	virgl_emit(virgl, 0); /* first and last layer */
}

void virgl_destroy_object(struct loopback_virgl *virgl, uint32_t handle)
{
	virgl_emit_header(virgl, VIRGL_CCMD_DESTROY_OBJECT, VIRGL_OBJECT_SURFACE, 1);
	virgl_emit(virgl, handle);
}

void virgl_set_framebuffer(struct loopback_virgl *virgl, uint32_t surface)
{
	virgl_emit_header(virgl, VIRGL_CCMD_SET_FRAMEBUFFER_STATE, 0, 3);
	virgl_emit(virgl, 1); /* colour buffers */
	virgl_emit(virgl, 0); /* depth */
	virgl_emit(virgl, surface);
}

void virgl_clear(struct loopback_virgl *virgl, const float colour[4])
{
	virgl_emit_header(virgl, VIRGL_CCMD_CLEAR, 0, 8);
	virgl_emit(virgl, PIPE_CLEAR_COLOR0);
	for (int i = 0; i < 4; i++)
		emit_float(virgl, colour[i]);
	virgl_emit(virgl, 0); /* depth, a double */
	virgl_emit(virgl, 0);
	virgl_emit(virgl, 0); /* stencil */
}

/* ---------------------------------------------------------------- drawing */

static void create_and_bind(struct loopback_virgl *virgl, uint32_t object, uint32_t handle)
{
	virgl_emit_header(virgl, VIRGL_CCMD_BIND_OBJECT, object, 1);
	virgl_emit(virgl, handle);
}

static void emit_shader(
    struct loopback_virgl *virgl, uint32_t handle, uint32_t stage, const char *tgsi)
{
	uint32_t size = (uint32_t)strlen(tgsi) + 1;
	uint32_t words = (size + 3) / 4;

	virgl_emit_header(virgl, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_SHADER, 5 + words);
	virgl_emit(virgl, handle);
	virgl_emit(virgl, stage);
	virgl_emit(virgl, size);
	virgl_emit(virgl, 300); /* tokens, as room for them */
	virgl_emit(virgl, 0);   /* stream outputs */
	for (uint32_t i = 0; i < words; i++) {
		char word[4] = { 0 };
		memcpy(word, tgsi + 4 * i, size - 4 * i < 4 ? size - 4 * i : 4);
		uint32_t value;
		memcpy(&value, word, sizeof(value));
		virgl_emit(virgl, value);
	}
	virgl_emit_header(virgl, VIRGL_CCMD_BIND_SHADER, 0, 2);
	virgl_emit(virgl, handle);
	virgl_emit(virgl, stage);
}

static void emit_fixed_function(struct loopback_virgl *virgl, uint32_t handle)
{
	virgl_emit_header(virgl, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_BLEND, 11);
	virgl_emit(virgl, handle);
	virgl_emit(virgl, 0);
	virgl_emit(virgl, 0);
	for (int i = 0; i < 8; i++)
		virgl_emit(virgl, BLEND_COLORMASK_ALL);
	create_and_bind(virgl, VIRGL_OBJECT_BLEND, handle);

	virgl_emit_header(virgl, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_DSA, 5);
	virgl_emit(virgl, handle + 1);
	for (int i = 0; i < 4; i++)
		virgl_emit(virgl, 0);
	create_and_bind(virgl, VIRGL_OBJECT_DSA, handle + 1);

	virgl_emit_header(virgl, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_RASTERIZER, 9);
	virgl_emit(virgl, handle + 2);
	virgl_emit(virgl, RASTERIZER_DEPTH_CLIP | RASTERIZER_HALF_PIXEL_CENTER);
	emit_float(virgl, 1); /* point size */
	virgl_emit(virgl, 0);
	virgl_emit(virgl, 0);
	emit_float(virgl, 1); /* line width */
	for (int i = 0; i < 3; i++)
		virgl_emit(virgl, 0); /* polygon offset */
	create_and_bind(virgl, VIRGL_OBJECT_RASTERIZER, handle + 2);
}

/* Three vertices of position and colour, interleaved. */
static void emit_vertices(
    struct loopback_virgl *virgl, uint32_t handle, uint32_t buffer, const float colour[4])
{
	static const float positions[3][4] = { { -1, -1, 0, 1 }, { -1, 1, 0, 1 }, { 1, 1, 0, 1 } };

	virgl_emit_header(virgl, VIRGL_CCMD_RESOURCE_INLINE_WRITE, 0, 11 + 24);
	virgl_emit(virgl, buffer);
	for (int i = 0; i < 4; i++)
		virgl_emit(virgl, 0); /* level, usage, stride, layer stride */
	for (int i = 0; i < 3; i++)
		virgl_emit(virgl, 0); /* x, y, z */
	virgl_emit(virgl, 96);
	virgl_emit(virgl, 1);
	virgl_emit(virgl, 1);
	for (int vertex = 0; vertex < 3; vertex++) {
		for (int i = 0; i < 4; i++)
			emit_float(virgl, positions[vertex][i]);
		for (int i = 0; i < 4; i++)
			emit_float(virgl, colour[i]);
	}

	virgl_emit_header(virgl, VIRGL_CCMD_CREATE_OBJECT, VIRGL_OBJECT_VERTEX_ELEMENTS, 9);
	virgl_emit(virgl, handle);
	for (uint32_t offset = 0; offset <= 16; offset += 16) {
		virgl_emit(virgl, offset);
		virgl_emit(virgl, 0); /* instance divisor */
		virgl_emit(virgl, 0); /* vertex buffer */
		virgl_emit(virgl, VIRGL_FORMAT_R32G32B32A32_FLOAT);
	}
	create_and_bind(virgl, VIRGL_OBJECT_VERTEX_ELEMENTS, handle);

	virgl_emit_header(virgl, VIRGL_CCMD_SET_VERTEX_BUFFERS, 0, 3);
	virgl_emit(virgl, 32); /* stride */
	virgl_emit(virgl, 0);  /* offset */
	virgl_emit(virgl, buffer);
}

static void emit_draw(struct loopback_virgl *virgl, uint32_t width, uint32_t height)
{
	float x = (float)width / 2, y = (float)height / 2;

	virgl_emit_header(virgl, VIRGL_CCMD_SET_VIEWPORT_STATE, 0, 7);
	virgl_emit(virgl, 0);
	emit_float(virgl, x); /* scale */
	emit_float(virgl, y);
	emit_float(virgl, 0.5f);
	emit_float(virgl, x); /* translate */
	emit_float(virgl, y);
	emit_float(virgl, 0.5f);

	virgl_emit_header(virgl, VIRGL_CCMD_DRAW_VBO, 0, 12);
	virgl_emit(virgl, 0); /* start */
	virgl_emit(virgl, 3); /* count */
	virgl_emit(virgl, PIPE_PRIM_TRIANGLES);
	virgl_emit(virgl, 0); /* indexed */
	virgl_emit(virgl, 1); /* instances */
	for (int i = 0; i < 5; i++)
		virgl_emit(virgl, 0); /* index bias, start instance, restart, its index, minimum */
	virgl_emit(virgl, 2);         /* maximum index */
	virgl_emit(virgl, 0);         /* count from stream output */
}

static void draw(struct loopback_virgl *virgl, uint32_t handle, uint32_t buffer, uint32_t width,
    uint32_t height, const float colour[4], const char *fragment)
{
	static const char vertex[] = "VERT\n"
				     "DCL IN[0]\n"
				     "DCL IN[1]\n"
				     "DCL OUT[0], POSITION\n"
				     "DCL OUT[1], COLOR\n"
				     "  0: MOV OUT[1], IN[1]\n"
				     "  1: MOV OUT[0], IN[0]\n"
				     "  2: END\n";

	emit_fixed_function(virgl, handle);
	emit_vertices(virgl, handle + 3, buffer, colour);
	emit_shader(virgl, handle + 4, PIPE_SHADER_VERTEX, vertex);
	emit_shader(virgl, handle + 5, PIPE_SHADER_FRAGMENT, fragment);
	emit_draw(virgl, width, height);
}

void virgl_draw_triangle(struct loopback_virgl *virgl, uint32_t handle, uint32_t buffer,
    uint32_t width, uint32_t height, const float colour[4])
{
	static const char fragment[] = "FRAG\n"
				       "DCL IN[0], COLOR, LINEAR\n"
				       "DCL OUT[0], COLOR\n"
				       "  0: MOV OUT[0], IN[0]\n"
				       "  1: END\n";

	draw(virgl, handle, buffer, width, height, colour, fragment);
}

void virgl_draw_again(struct loopback_virgl *virgl, uint32_t width, uint32_t height)
{
	emit_draw(virgl, width, height);
}

void virgl_draw_endless(
    struct loopback_virgl *virgl, uint32_t handle, uint32_t buffer, uint32_t width, uint32_t height)
{
	static const char fragment[] = "FRAG\n"
				       "DCL IN[0], COLOR, LINEAR\n"
				       "DCL OUT[0], COLOR\n"
				       "DCL TEMP[0]\n"
				       "  0: MOV TEMP[0], IN[0]\n"
				       "  1: BGNLOOP\n"
				       "  2:   ADD TEMP[0], TEMP[0], IN[0]\n"
				       "  3: ENDLOOP\n"
				       "  4: MOV OUT[0], TEMP[0]\n"
				       "  5: END\n";
	static const float colour[4] = { 1, 1, 1, 1 };

	draw(virgl, handle, buffer, width, height, colour, fragment);
}

/* ---------------------------------------------------------------- resources */

uint32_t virgl_create_target(
    struct loopback_gpu *gpu, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
	struct virtio_gpu_resource_create_3d resource = {
		.target = PIPE_TEXTURE_2D,
		.format = format,
		.bind = VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SAMPLER_VIEW,
		.width = width,
		.height = height,
		.depth = 1,
		.array_size = 1,
	};

	return loopback_gpu_create_3d(gpu, id, &resource);
}

uint32_t virgl_create_buffer(struct loopback_gpu *gpu, uint32_t id, uint32_t size)
{
	struct virtio_gpu_resource_create_3d resource = {
		.target = PIPE_BUFFER,
		.format = VIRGL_FORMAT_R8_UNORM,
		.bind = VIRGL_BIND_VERTEX_BUFFER,
		.width = size,
		.height = 1,
		.depth = 1,
		.array_size = 1,
	};

	return loopback_gpu_create_3d(gpu, id, &resource);
}

uint32_t virgl_submit(struct loopback_gpu *gpu, uint32_t ctx_id, const struct loopback_virgl *virgl)
{
	return loopback_gpu_submit_3d(gpu, ctx_id, virgl->words, virgl->count);
}
