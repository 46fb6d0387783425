/* SPDX-License-Identifier: MIT */
/* 3D: contexts, command streams, transfers and fences on the real virglrenderer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/loopback/loopback_stack.h"
#include "tests/loopback/loopback_virgl.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
#define SIZE 64

static const float red[4] = { 1, 0, 0, 1 }, green[4] = { 0, 1, 0, 1 }, blue[4] = { 0, 0, 1, 1 };
static const struct virtio_gpu_box whole = { .w = SIZE, .h = SIZE, .d = 1 };

static int start(void **state)
{
	const struct loopback_worker_options options = { .virgl = true };

	*state = loopback_stack_start(&options, NULL);
	return 0;
}

static int finish(void **state)
{
	loopback_stack_stop(*state);
	return 0;
}

/* Context @ctx with render target @id, which has backing pages. */
static struct loopback_backing *make_target(
    struct loopback_stack *stack, uint32_t ctx, uint32_t id, uint32_t size)
{
	struct loopback_backing *backing = loopback_backing_create(
	    &stack->frontend.memory, (size_t)size * size * 4, LOOPBACK_PAGE);

	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, ctx, 0, "test"), OK);
	assert_int_equal(virgl_create_target(&stack->gpu, id, BGRA, size, size), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, ctx, id), OK);
	assert_int_equal(loopback_gpu_attach_backing(&stack->gpu, id, backing), OK);
	return backing;
}

static void clear_target(
    struct loopback_stack *stack, uint32_t ctx, uint32_t id, const float colour[4])
{
	struct loopback_virgl virgl;

	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, id, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	virgl_clear(&virgl, colour);
	virgl_destroy_object(&virgl, 1);
	assert_int_equal(virgl_submit(&stack->gpu, ctx, &virgl), OK);
}

static void expect_colour(const struct loopback_backing *backing, uint32_t pixel)
{
	for (size_t offset = 0; offset < backing->size; offset += 4)
		assert_int_equal(loopback_backing_get(backing, offset), pixel);
}

static void capsets_are_offered(void **state)
{
	struct loopback_stack *stack = *state;
	struct virtio_gpu_config config;
	struct virtio_gpu_resp_capset_info info;

	assert_int_equal(
	    loopback_frontend_get_config(&stack->frontend, 0, &config, sizeof(config)), 0);
	assert_int_equal(config.num_capsets, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(loopback_gpu_get_capset_info(&stack->gpu, i, &info),
		    VIRTIO_GPU_RESP_OK_CAPSET_INFO);
		assert_int_equal(info.capset_id, VIRTIO_GPU_CAPSET_VIRGL + i);
		assert_true(info.capset_max_size > 0);
		uint8_t *capset = calloc(1, info.capset_max_size + 1);
		assert_int_equal(loopback_gpu_get_capset(&stack->gpu, info.capset_id,
				     info.capset_max_version, capset, info.capset_max_size),
		    VIRTIO_GPU_RESP_OK_CAPSET);
		/* "max_version" of union virgl_caps comes first */
		assert_int_not_equal(capset[0], 0);
		free(capset);
	}
	assert_int_equal(loopback_gpu_get_capset_info(&stack->gpu, 2, &info),
	    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
}

static void clear_reads_back(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, SIZE);

	clear_target(stack, 1, 1, red);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	expect_colour(backing, 0xffff0000);
	clear_target(stack, 1, 1, green);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	expect_colour(backing, 0xff00ff00);
	loopback_backing_destroy(backing);
}

static void triangle_covers_its_half(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, SIZE);
	struct loopback_virgl virgl;

	assert_int_equal(virgl_create_buffer(&stack->gpu, 2, 96), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, 1, 2), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 1, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	virgl_clear(&virgl, red);
	virgl_draw_triangle(&virgl, 10, 2, SIZE, SIZE, blue);
	assert_int_equal(virgl_submit(&stack->gpu, 1, &virgl), OK);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	for (uint32_t y = 0; y < SIZE; y++)
		for (uint32_t x = 0; x < SIZE; x++)
			if (x != y) /* the diagonal is the rasteriser's */
				assert_int_equal(loopback_backing_get(backing, (y * SIZE + x) * 4),
				    x < y ? 0xff0000ff : 0xffff0000);
	loopback_backing_destroy(backing);
}

static void texture_goes_to_host_and_back(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, SIZE);
	/* A part of the texture, from and to rows that are farther apart than it is wide */
	const struct virtio_gpu_box box = { .x = 8, .y = 16, .w = 24, .h = 12, .d = 1 };
	const uint32_t stride = SIZE * 4, offset = 4096 + 64;

	clear_target(stack, 1, 1, green);
	for (uint32_t y = 0; y < box.h; y++)
		for (uint32_t x = 0; x < box.w; x++)
			loopback_backing_set(
			    backing, offset + y * stride + x * 4, 0xff000000 | y << 8 | x);
	assert_int_equal(loopback_gpu_transfer_to_3d(&stack->gpu, 1, 1, &box, offset, stride), OK);
	loopback_backing_fill(backing, 0);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	for (uint32_t y = 0; y < SIZE; y++)
		for (uint32_t x = 0; x < SIZE; x++) {
			bool inside =
			    x >= box.x && x < box.x + box.w && y >= box.y && y < box.y + box.h;
			assert_int_equal(loopback_backing_get(backing, (y * SIZE + x) * 4),
			    inside ? 0xff000000 | (y - box.y) << 8 | (x - box.x) : 0xff00ff00);
		}
	loopback_backing_destroy(backing);
}

static void rendered_frame_is_shown(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, SIZE);

	clear_target(stack, 1, 1, red);
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, SIZE, SIZE), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, SIZE, SIZE), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, SIZE, SIZE);
	for (uint32_t i = 0; i < SIZE * SIZE; i++)
		assert_int_equal(pixels[i] & 0xffffff, 0xff0000);
	free(pixels);
	loopback_backing_destroy(backing);
}

/* The first row of a texture is the first row on the screen, unless it is upside down. */
static void frame_is_shown_the_right_way_up(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, SIZE);
	const struct virtio_gpu_box top = { .w = SIZE, .h = 1, .d = 1 };

	clear_target(stack, 1, 1, red);
	loopback_backing_fill(backing, 0xff0000ff);
	assert_int_equal(loopback_gpu_transfer_to_3d(&stack->gpu, 1, 1, &top, 0, SIZE * 4), OK);
	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 1, 0, 0, SIZE, SIZE), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 1, 0, 0, SIZE, SIZE), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, SIZE, SIZE);
	assert_int_equal(pixels[0] & 0xffffff, 0x0000ff);
	assert_int_equal(pixels[SIZE] & 0xffffff, 0xff0000);
	assert_int_equal(pixels[SIZE * (SIZE - 1)] & 0xffffff, 0xff0000);
	free(pixels);
	loopback_backing_destroy(backing);
}

static void resource_2d_can_be_used_by_a_context(void **state)
{
	struct loopback_stack *stack = *state;
	/* What a 2D driver (the kernel's console) drew, a compositor takes over. */
	struct loopback_backing *backing = loopback_stack_picture(
	    stack, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, SIZE, SIZE, 0xff123456);

	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "test"), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, 1, 1), OK);
	loopback_backing_fill(backing, 0);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	for (size_t offset = 0; offset < backing->size; offset += 4)
		assert_int_equal(loopback_backing_get(backing, offset) & 0xffffff, 0x123456);
	loopback_backing_destroy(backing);
}

/* ---------------------------------------------------------------- fences */

/* Some milliseconds of work for llvmpipe. */
static struct loopback_request *begin_heavy_work(
    struct loopback_stack *stack, uint32_t ctx, uint32_t target)
{
	struct loopback_virgl virgl;

	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, target, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	for (int i = 0; i < 100; i++)
		virgl_clear(&virgl, i % 2 ? red : blue);
	virgl_destroy_object(&virgl, 1);
	return loopback_gpu_begin_submit_3d(&stack->gpu, ctx, virgl.words, virgl.count);
}

static void empty_submit_is_fenced(void **state)
{
	struct loopback_stack *stack = *state;

	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "test"), OK);
	for (uint64_t fence = 1; fence <= 100; fence++) {
		loopback_gpu_fence_next(&stack->gpu, fence);
		assert_int_equal(loopback_gpu_submit_3d(&stack->gpu, 1, NULL, 0), OK);
		/* "the device MUST ... fill in the fence_id" and set the flag in the response */
		assert_int_equal(stack->gpu.response.flags, VIRTIO_GPU_FLAG_FENCE);
		assert_int_equal(stack->gpu.response.fence_id, fence);
	}
	assert_int_equal(loopback_worker_statistics(&stack->worker).fences_pending, 0);
}

enum { REQUESTS = 60 };

static void wait_for_all(struct loopback_stack *stack, struct loopback_request **requests)
{
	loopback_gpu_kick(&stack->gpu, LOOPBACK_GPU_CONTROL);
	for (int i = 0; i < REQUESTS; i++) {
		assert_int_equal(loopback_gpu_wait(&stack->gpu, requests[i]), 0);
		assert_int_equal(loopback_request_type(requests[i]), OK);
	}
}

static void fence_waits_for_the_work(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, 512);
	const struct virtio_gpu_ctrl_hdr command = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };

	for (int round = 0; round < 10; round++) {
		if (round % 2)
			loopback_gpu_fence_next(&stack->gpu, (uint64_t)round);
		else
			loopback_gpu_fence_next_on(&stack->gpu, (uint64_t)round, 0);
		struct loopback_request *work = begin_heavy_work(stack, 1, 1);
		/* Not fenced: answered when it is taken, before the rendering is done */
		struct loopback_request *info =
		    loopback_gpu_begin(&stack->gpu, LOOPBACK_GPU_CONTROL, &command, sizeof(command),
			NULL, 0, sizeof(struct virtio_gpu_resp_display_info));
		loopback_gpu_kick(&stack->gpu, LOOPBACK_GPU_CONTROL);
		assert_int_equal(loopback_gpu_wait(&stack->gpu, work), 0);
		assert_int_equal(loopback_gpu_wait(&stack->gpu, info), 0);
		assert_int_equal(loopback_request_type(work), OK);
		assert_true(info->order < work->order);
		loopback_gpu_end(&stack->gpu, work);
		loopback_gpu_end(&stack->gpu, info);
	}
	loopback_backing_destroy(backing);
}

static void fences_retire_in_order(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, 512);
	struct loopback_request *requests[REQUESTS];

	for (int i = 0; i < REQUESTS; i++) {
		loopback_gpu_fence_next(&stack->gpu, 100 + (uint64_t)i);
		requests[i] = i % 10 == 0 ? begin_heavy_work(stack, 1, 1)
					  : loopback_gpu_begin_submit_3d(&stack->gpu, 1, NULL, 0);
	}
	wait_for_all(stack, requests);
	uint64_t first = requests[0]->order;
	for (int i = 0; i < REQUESTS; i++) {
		assert_int_equal(requests[i]->order, first + (uint64_t)i);
		const struct virtio_gpu_ctrl_hdr *header = requests[i]->response;
		assert_int_equal(header->fence_id, 100 + i);
		loopback_gpu_end(&stack->gpu, requests[i]);
	}
	loopback_backing_destroy(backing);
}

static void each_timeline_keeps_its_order(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *first = make_target(stack, 1, 1, 512);
	struct loopback_backing *second = make_target(stack, 2, 2, 512);
	struct loopback_request *requests[REQUESTS];
	uint64_t last[3] = { 0 };

	/* Three timelines in turn: the global one and one of each context. */
	for (int i = 0; i < REQUESTS; i++) {
		uint32_t ctx = i % 3 == 2 ? 2 : 1;
		if (i % 3 == 0)
			loopback_gpu_fence_next(&stack->gpu, 1 + (uint64_t)i);
		else
			loopback_gpu_fence_next_on(&stack->gpu, 1 + (uint64_t)i, 0);
		requests[i] = i % 7 == 0 ? begin_heavy_work(stack, ctx, ctx)
					 : loopback_gpu_begin_submit_3d(&stack->gpu, ctx, NULL, 0);
	}
	wait_for_all(stack, requests);
	for (int i = 0; i < REQUESTS; i++) {
		const struct virtio_gpu_ctrl_hdr *header = requests[i]->response;
		assert_true(requests[i]->order > last[i % 3]);
		last[i % 3] = requests[i]->order;
		assert_int_equal(header->flags,
		    i % 3 == 0 ? VIRTIO_GPU_FLAG_FENCE
			       : VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
		assert_int_equal(header->fence_id, 1 + i);
		loopback_gpu_end(&stack->gpu, requests[i]);
	}
	assert_int_equal(loopback_worker_statistics(&stack->worker).fences_pending, 0);
	loopback_backing_destroy(first);
	loopback_backing_destroy(second);
}

static void falling_fence_ids_are_answered(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, 512);
	struct loopback_request *requests[REQUESTS];

	for (int i = 0; i < REQUESTS; i++) {
		loopback_gpu_fence_next(&stack->gpu, UINT64_MAX - (uint64_t)i);
		requests[i] = i % 10 == 0 ? begin_heavy_work(stack, 1, 1)
					  : loopback_gpu_begin_submit_3d(&stack->gpu, 1, NULL, 0);
	}
	wait_for_all(stack, requests);
	for (int i = 0; i < REQUESTS; i++) {
		const struct virtio_gpu_ctrl_hdr *header = requests[i]->response;
		assert_int_equal(header->fence_id, UINT64_MAX - (uint64_t)i);
		loopback_gpu_end(&stack->gpu, requests[i]);
	}
	loopback_backing_destroy(backing);
}

static void ring_64_is_refused(void **state)
{
	struct loopback_stack *stack = *state;

	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "test"), OK);
	loopback_gpu_fence_next_on(&stack->gpu, 1, 64);
	assert_int_equal(
	    loopback_gpu_submit_3d(&stack->gpu, 1, NULL, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	loopback_gpu_fence_next_on(&stack->gpu, 2, 63);
	assert_int_equal(loopback_gpu_submit_3d(&stack->gpu, 1, NULL, 0), OK);
}

static void destroyed_context_leaves_no_request(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, 512);
	struct loopback_request *requests[REQUESTS];

	for (int i = 0; i < REQUESTS; i++) {
		loopback_gpu_fence_next_on(&stack->gpu, 1 + (uint64_t)i, 0);
		requests[i] = begin_heavy_work(stack, 1, 1);
	}
	assert_int_equal(loopback_gpu_ctx_destroy(&stack->gpu, 1), OK);
	wait_for_all(stack, requests);
	for (int i = 0; i < REQUESTS; i++)
		loopback_gpu_end(&stack->gpu, requests[i]);
	assert_int_equal(loopback_worker_statistics(&stack->worker).contexts, 0);
	loopback_backing_destroy(backing);
}

/* ---------------------------------------------------------------- isolation and hostility */

static void context_cannot_reach_what_it_was_not_given(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *mine = make_target(stack, 1, 1, SIZE);
	struct loopback_backing *theirs = make_target(stack, 2, 2, SIZE);
	struct loopback_virgl virgl;

	clear_target(stack, 2, 2, green);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 2, BGRA); /* of context 2 */
	virgl_set_framebuffer(&virgl, 1);
	virgl_clear(&virgl, red);
	virgl_submit(&stack->gpu, 1, &virgl); /* whatever the answer is */
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 2, 2, &whole, 0, 0), OK);
	expect_colour(theirs, 0xff00ff00);
	/* The other context, and a new one under the old id, go on. */
	clear_target(stack, 2, 2, blue);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 2, 2, &whole, 0, 0), OK);
	expect_colour(theirs, 0xff0000ff);
	assert_int_equal(loopback_gpu_ctx_destroy(&stack->gpu, 1), OK);
	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "again"), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, 1, 1), OK);
	clear_target(stack, 1, 1, red);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	expect_colour(mine, 0xffff0000);
	loopback_backing_destroy(mine);
	loopback_backing_destroy(theirs);
}

static void nonsense_stream_ends_its_context_alone(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, SIZE);
	uint32_t words[64], random = 12345;

	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 9, 0, "hostile"), OK);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 64; i++) {
			random = random * 1664525 + 1013904223;
			words[i] =
			    i == 0 ? (random >> 8 & 0x3f) | 60 << 16 : random >> (random & 31);
		}
		loopback_gpu_submit_3d(&stack->gpu, 9, words, 64);
	}
	clear_target(stack, 1, 1, blue);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	expect_colour(backing, 0xff0000ff);
	loopback_backing_destroy(backing);
}

/* llvmpipe ends it after 65,535 rounds, a GPU by its watchdog; the guest's others go on. */
static void endless_shader_is_outlived(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *theirs = make_target(stack, 1, 1, 8);
	struct loopback_backing *mine = make_target(stack, 2, 2, SIZE);
	struct loopback_virgl virgl;

	assert_int_equal(virgl_create_buffer(&stack->gpu, 3, 96), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, 1, 3), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 1, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	virgl_draw_endless(&virgl, 10, 3, 8, 8);
	loopback_gpu_fence_next(&stack->gpu, 1);
	virgl_submit(&stack->gpu, 1, &virgl); /* whatever the answer is, it comes */
	assert_int_equal(stack->gpu.response.fence_id, 1);
	clear_target(stack, 2, 2, blue);
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 2, 2, &whole, 0, 0), OK);
	expect_colour(mine, 0xff0000ff);
	loopback_backing_destroy(theirs);
	loopback_backing_destroy(mine);
}

static void transfers_out_of_bounds_are_refused(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_backing *backing = make_target(stack, 1, 1, SIZE);
	static const struct {
		struct virtio_gpu_box box;
		uint64_t offset;
		uint32_t stride;
	} cases[] = {
		{ { .x = 1, .w = SIZE, .h = SIZE, .d = 1 }, 0, 0 },
		{ { .x = UINT32_MAX, .w = 2, .h = 1, .d = 1 }, 0, 0 },
		{ { .w = SIZE, .h = UINT32_MAX, .d = 1 }, 0, 0 },
		{ { .w = SIZE, .h = SIZE, .d = UINT32_MAX }, 0, 0 },
		{ { .z = 1, .w = SIZE, .h = SIZE, .d = 1 }, 0, 0 },
		{ { .w = SIZE, .h = SIZE, .d = 1 }, SIZE * 4, 0 },
		{ { .w = SIZE, .h = SIZE, .d = 1 }, UINT64_MAX - 3, 0 },
		{ { .w = SIZE, .h = SIZE, .d = 1 }, UINT64_C(1) << 32, 0 },
		{ { .w = SIZE, .h = SIZE, .d = 1 }, 0, UINT32_MAX },
		{ { .w = SIZE, .h = 2, .d = 1 }, 0, SIZE * SIZE * 4 },
	};

	clear_target(stack, 1, 1, red);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t to = loopback_gpu_transfer_to_3d(
		    &stack->gpu, 1, 1, &cases[i].box, cases[i].offset, cases[i].stride);
		uint32_t from = loopback_gpu_transfer_from_3d(
		    &stack->gpu, 1, 1, &cases[i].box, cases[i].offset, cases[i].stride);
		assert_true(to >= VIRTIO_GPU_RESP_ERR_UNSPEC);
		assert_true(from >= VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	assert_int_equal(loopback_gpu_transfer_from_3d(&stack->gpu, 1, 1, &whole, 0, 0), OK);
	expect_colour(backing, 0xffff0000);
	loopback_backing_destroy(backing);
}

static void wild_resources_are_refused(void **state)
{
	struct loopback_stack *stack = *state;
	struct virtio_gpu_resource_create_3d good = {
		.target = PIPE_TEXTURE_2D,
		.format = BGRA,
		.bind = VIRGL_BIND_RENDER_TARGET,
		.width = 16,
		.height = 16,
		.depth = 1,
		.array_size = 1,
	};
	struct virtio_gpu_resource_create_3d bad[7];

	for (int i = 0; i < 7; i++)
		bad[i] = good;
	bad[0].target = 77;
	bad[1].format = 0xffff;
	bad[2].width = bad[2].height = bad[2].depth = UINT32_MAX;
	bad[3].nr_samples = UINT32_MAX;
	bad[4].last_level = UINT32_MAX;
	bad[5].array_size = UINT32_MAX;
	bad[6].width = 0;
	for (uint32_t i = 0; i < 7; i++)
		assert_true(loopback_gpu_create_3d(&stack->gpu, 1 + i, &bad[i]) >=
			    VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(loopback_worker_statistics(&stack->worker).resources, 0);
	assert_int_equal(loopback_worker_statistics(&stack->worker).host_bytes, 0);
	assert_int_equal(loopback_gpu_create_3d(&stack->gpu, 1, &good), OK);
}

static void contexts_are_checked(void **state)
{
	struct loopback_stack *stack = *state;
	const uint32_t invalid = VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID;

	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 0, 0, "zero"), invalid);
	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "one"), OK);
	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "twin"), invalid);
	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 2, 255, "capset 255"),
	    VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(
	    loopback_gpu_ctx_create(&stack->gpu, 2, VIRTIO_GPU_CAPSET_VIRGL2, "virgl2"), OK);
	assert_int_equal(loopback_gpu_ctx_destroy(&stack->gpu, 3), invalid);
	assert_int_equal(loopback_gpu_submit_3d(&stack->gpu, 3, NULL, 0), invalid);
	assert_int_equal(loopback_gpu_ctx_attach(&stack->gpu, 3, 1), invalid);
	assert_int_equal(
	    loopback_gpu_ctx_attach(&stack->gpu, 1, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(loopback_worker_statistics(&stack->worker).contexts, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(capsets_are_offered),
		TEST(clear_reads_back),
		TEST(triangle_covers_its_half),
		TEST(texture_goes_to_host_and_back),
		TEST(rendered_frame_is_shown),
		TEST(frame_is_shown_the_right_way_up),
		TEST(resource_2d_can_be_used_by_a_context),
		TEST(empty_submit_is_fenced),
		TEST(fence_waits_for_the_work),
		TEST(fences_retire_in_order),
		TEST(each_timeline_keeps_its_order),
		TEST(falling_fence_ids_are_answered),
		TEST(ring_64_is_refused),
		TEST(destroyed_context_leaves_no_request),
		TEST(context_cannot_reach_what_it_was_not_given),
		TEST(nonsense_stream_ends_its_context_alone),
		TEST(endless_shader_is_outlived),
		TEST(transfers_out_of_bounds_are_refused),
		TEST(wild_resources_are_refused),
		TEST(contexts_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
