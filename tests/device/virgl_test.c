/* SPDX-License-Identifier: MIT */
/*
 * A real virgl context through render/virgl.c: what is drawn is what is read back, fences come
 * by the descriptor, 2D resources move when a context wants them, and all of it goes away.
 *
 * GPUDOM_EGL=gbm|device|surfaceless and GPUDOM_RENDER_NODE choose the GPU.
 */
#include <errno.h>
#include <linux/virtio_gpu.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/log.h"
#include "render/virgl.h"
#include "tests/loopback/loopback_virgl.h"

#include <cmocka.h>

#define CTX 7
#define CONTEXTS 3
#define Y_0_TOP 1u

struct seen {
	struct renderer_timeline timeline;
	uint64_t fence;
	unsigned calls;
};

struct fixture {
	struct renderer *renderer;
	struct seen global, context;
	uint64_t last[CONTEXTS]; /* of contexts from CTX */
};

static void on_fence(void *data, const struct renderer_timeline *timeline, uint64_t fence)
{
	struct fixture *f = data;
	struct seen *seen = timeline->global ? &f->global : &f->context;

	if (!timeline->global && timeline->ctx_id >= CTX && timeline->ctx_id < CTX + CONTEXTS)
		f->last[timeline->ctx_id - CTX] = fence;
	/* Each timeline rises; how they mix is not known. */
	assert_true(fence > seen->fence || timeline->ctx_id != seen->timeline.ctx_id);
	seen->timeline = *timeline;
	seen->fence = fence;
	seen->calls++;
}

static struct virgl_options options_from_environment(void)
{
	static const char *const names[] = { "auto", "gbm", "device", "surfaceless" };
	struct virgl_options options = { .capsets = VIRGL_CAPSETS_ALL,
		.render_node = getenv("GPUDOM_RENDER_NODE") };
	const char *name = getenv("GPUDOM_EGL");

	for (int i = 0; name && i < 4; i++)
		if (strcmp(name, names[i]) == 0)
			options.egl = (enum egl_choice)i;
	return options;
}

static int set_up(void **state)
{
	static struct fixture fixture;
	const struct virgl_options options = options_from_environment();

	log_init(LOG_LEVEL_INFO, NULL);
	assert_int_equal(virgl_create(&options, &fixture.renderer), 0);
	fixture.renderer->listener =
	    (struct renderer_listener){ .fence_retired = on_fence, .data = &fixture };
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->renderer->impl->destroy(f->renderer);
	return 0;
}

static int reset(void **state)
{
	struct fixture *f = *state;

	f->renderer->impl->reset(f->renderer);
	f->global = f->context = (struct seen){ 0 };
	return 0;
}

/* ---------------------------------------------------------------- helpers */

static void create_target(struct renderer *r, uint32_t id, uint32_t format, uint32_t width,
    uint32_t height, uint32_t flags)
{
	const struct renderer_resource create = {
		.target = PIPE_TEXTURE_2D,
		.format = format,
		.bind = VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SAMPLER_VIEW,
		.width = width,
		.height = height,
		.depth = 1,
		.array_size = 1,
		.flags = flags,
	};

	assert_int_equal(r->impl->create_resource(r, id, &create), 0);
}

static int submit(struct renderer *r, uint32_t ctx_id, struct loopback_virgl *commands)
{
	return r->impl->submit(r, ctx_id, commands->words, commands->count * 4);
}

/* Clears resource @id, which is attached to CTX. */
static void clear(struct renderer *r, uint32_t id, uint32_t format, const float colour[4])
{
	struct loopback_virgl commands;

	virgl_begin(&commands);
	virgl_create_surface(&commands, 1, id, format);
	virgl_set_framebuffer(&commands, 1);
	virgl_clear(&commands, colour);
	virgl_destroy_object(&commands, 1); /* the framebuffer holds on to it */
	assert_int_equal(submit(r, CTX, &commands), 0);
}

static void wait_for(struct fixture *f, const struct seen *seen, uint64_t fence)
{
	struct pollfd fd = { .fd = f->renderer->impl->get_fd(f->renderer), .events = POLLIN };

	assert_true(fd.fd >= 0);
	while (seen->fence < fence) {
		assert_int_equal(poll(&fd, 1, -1), 1);
		f->renderer->impl->dispatch(f->renderer);
	}
	assert_int_equal(seen->fence, fence);
}

static int read_rect(struct renderer *r, uint32_t id, uint32_t width, uint32_t height,
    struct display_rect rect, uint32_t *pixels)
{
	const struct renderer_scanout scanout = {
		.resource_id = id, .width = width, .height = height
	};

	return r->impl->read_pixels(r, &scanout, &rect, pixels, (size_t)rect.width * 4);
}

static void fill(uint32_t *pixels, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pixels[i] = (uint32_t)(0xff000000u | i * 2654435761u >> 8);
}

/* ---------------------------------------------------------------- tests */

static void capsets_are_virgl_and_virgl2(void **state)
{
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	uint32_t id, version, size;

	assert_true(r->has_3d);
	assert_int_equal(r->impl->get_capset_info(r, 0, &id, &version, &size), 0);
	assert_int_equal(id, VIRTIO_GPU_CAPSET_VIRGL);
	assert_int_equal(version, 1);
	assert_int_equal(r->impl->get_capset_info(r, 1, &id, &version, &size), 0);
	assert_int_equal(id, VIRTIO_GPU_CAPSET_VIRGL2);
	assert_true(version >= 2);

	uint32_t *caps = calloc(1, size);
	assert_int_equal(r->impl->get_capset(r, id, version, caps), 0);
	assert_int_equal(caps[0], 2); /* union virgl_caps: max_version */
	assert_int_equal(r->impl->get_capset(r, id, version + 1, caps), -EINVAL);
	assert_int_equal(r->impl->get_capset(r, 4 /* Venus */, 0, caps), -EINVAL);
	free(caps);
	assert_int_equal(r->impl->get_capset_info(r, 2, &id, &version, &size), -ENOENT);
}

static void a_clear_retires_its_fence_and_shows_its_colour(void **state)
{
	static const uint32_t formats[] = { VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
		VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM,
		7 /* VIRGL_FORMAT_B5G6R5_UNORM */ };
	static const float colour[4] = { 1.0f, 0.0f, 0.2f, 1.0f };
	const struct renderer_timeline global = { .global = true };
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	uint32_t pixels[64 * 32];

	assert_int_equal(r->impl->create_context(r, CTX, VIRTIO_GPU_CAPSET_VIRGL2, "test"), 0);
	for (uint32_t i = 0; i < 4; i++) {
		const uint32_t id = 10 + i;

		create_target(r, id, formats[i], 64, 32, 0);
		assert_int_equal(r->impl->attach_resource(r, CTX, id), 0);
		clear(r, id, formats[i], colour);
		if (r->impl->create_fence(r, &global, UINT64_C(0x500000000) + i) == 0)
			wait_for(f, &f->global, UINT64_C(0x500000000) + i);
		memset(pixels, 0, sizeof(pixels));
		assert_int_equal(
		    read_rect(r, id, 64, 32, (struct display_rect){ 0, 0, 64, 32 }, pixels), 0);
		for (int p = 0; p < 64 * 32; p++)
			assert_int_equal(pixels[p] & 0xfffffff8, 0xffff0033 & 0xfffffff8);
	}
	assert_true(f->global.calls >= 1);
}

static void fences_of_a_context_have_their_own_timeline(void **state)
{
	const struct renderer_timeline timeline = { .ctx_id = CTX };
	const struct renderer_timeline ring1 = { .ctx_id = CTX, .ring_idx = 1 };
	const struct renderer_timeline nobody = { .ctx_id = 99 };
	static const float colour[4] = { 0, 1, 0, 1 };
	struct fixture *f = *state;
	struct renderer *r = f->renderer;

	assert_int_equal(r->impl->create_context(r, CTX, 0, "test"), 0);
	create_target(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 256, 256, 0);
	assert_int_equal(r->impl->attach_resource(r, CTX, 10), 0);
	for (uint64_t fence = 1; fence <= 20; fence++) {
		clear(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, colour);
		assert_int_equal(r->impl->create_fence(r, &timeline, fence), 0);
	}
	wait_for(f, &f->context, 20);
	assert_int_equal(f->context.timeline.ctx_id, CTX);
	assert_int_equal(f->global.calls, 0);
	assert_true(r->impl->create_fence(r, &ring1, 21) < 0);
	assert_int_equal(r->impl->create_fence(r, &nobody, 1), -ESRCH);

	/* A context's end is the end of its fences. */
	assert_int_equal(r->impl->create_fence(r, &timeline, 30), 0);
	r->impl->destroy_context(r, CTX);
	assert_int_equal(f->context.fence, 30);
}

/* virglrenderer forgets the fence that its thread waits for when any context ends. */
static void fences_survive_the_end_of_another_context(void **state)
{
	const struct renderer_timeline global = { .global = true };
	const struct renderer_timeline timeline = { .ctx_id = CTX };
	static const float colour[4] = { 0, 0, 1, 1 };
	struct fixture *f = *state;
	struct renderer *r = f->renderer;

	assert_int_equal(r->impl->create_context(r, CTX, 0, "draws"), 0);
	create_target(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 2048, 2048, 0);
	assert_int_equal(r->impl->attach_resource(r, CTX, 10), 0);
	for (uint64_t fence = 1; fence <= 8; fence++) {
		assert_int_equal(r->impl->create_context(r, 8, 0, "ends"), 0);
		clear(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, colour);
		assert_true(r->impl->create_fence(r, &global, fence) >= 0);
		assert_true(r->impl->create_fence(r, &timeline, fence) >= 0);
		r->impl->destroy_context(r, 8);
		wait_for(f, &f->global, fence);
		wait_for(f, &f->context, fence);
	}
}

static void contexts_can_end_with_fences_pending(void **state)
{
	static const float colour[4] = { 0, 0, 1, 1 };
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	uint64_t fence = 0;

	create_target(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 512, 512, 0);
	for (int round = 0; round < 8; round++) {
		for (uint32_t ctx = CTX; ctx < CTX + CONTEXTS; ctx++) {
			const struct renderer_timeline timeline = { .ctx_id = ctx };

			assert_int_equal(r->impl->create_context(r, ctx, 0, "test"), 0);
			assert_int_equal(r->impl->attach_resource(r, ctx, 10), 0);
			if (ctx == CTX)
				clear(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, colour);
			for (int i = 0; i < 3; i++)
				assert_true(r->impl->create_fence(r, &timeline, ++fence) >= 0);
		}
		for (uint32_t ctx = CTX; ctx < CTX + CONTEXTS; ctx++) {
			r->impl->destroy_context(r, ctx);
			/* Its last one */
			assert_int_equal(
			    f->last[ctx - CTX], fence - 3 * (uint64_t)(CTX + CONTEXTS - 1 - ctx));
		}
	}
}

/* More of them than one would make fences for */
static void contexts_can_end_faster_than_fences(void **state)
{
	const struct renderer_timeline global = { .global = true };
	static const float colour[4] = { 0, 0, 1, 1 };
	struct fixture *f = *state;
	struct renderer *r = f->renderer;

	assert_int_equal(r->impl->create_context(r, CTX, 0, "test"), 0);
	create_target(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 2048, 2048, 0);
	assert_int_equal(r->impl->attach_resource(r, CTX, 10), 0);
	for (uint64_t fence = 1; fence <= 70; fence++) {
		clear(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, colour);
		assert_true(r->impl->create_fence(r, &global, fence) >= 0);
		assert_int_equal(r->impl->create_context(r, 1, 0, "ends"), 0);
		r->impl->destroy_context(r, 1);
	}
	wait_for(f, &f->global, 70);
}

/* The last context that was made ends first, and takes the fence with it that the other one's end
 * waits for. */
static void a_reset_ends_contexts_with_fences_pending(void **state)
{
	const struct renderer_timeline timeline = { .ctx_id = CTX };
	static const float colour[4] = { 0, 0, 1, 1 };
	struct fixture *f = *state;
	struct renderer *r = f->renderer;

	for (uint64_t fence = 1; fence <= 8; fence++) {
		assert_int_equal(r->impl->create_context(r, CTX, 0, "draws"), 0);
		assert_int_equal(r->impl->create_context(r, 8, 0, "ends"), 0);
		create_target(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 2048, 2048, 0);
		assert_int_equal(r->impl->attach_resource(r, CTX, 10), 0);
		clear(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, colour);
		assert_true(r->impl->create_fence(r, &timeline, fence) >= 0);
		r->impl->reset(r);
	}
}

static void thousands_of_fences_can_be_pending(void **state)
{
	const struct renderer_timeline global = { .global = true };
	struct fixture *f = *state;
	struct renderer *r = f->renderer;

	for (uint64_t fence = 1; fence <= 5000; fence++)
		assert_true(r->impl->create_fence(r, &global, fence * 3) >= 0);
	wait_for(f, &f->global, 15000);
}

/* Upload, partial upload, download and read-back agree on which row is the top one. */
static void transfers_and_frames_agree(void **state)
{
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	enum { W = 61, H = 37 };
	static uint32_t backing[W * H], result[W * H], before[W * H];

	assert_int_equal(r->impl->create_context(r, CTX, 0, "test"), 0);
	for (uint32_t flags = 0; flags <= Y_0_TOP; flags++) {
		const uint32_t id = 20 + flags;
		/* Split in the middle of a pixel */
		struct iovec iov[3] = { { backing, 1001 }, { (uint8_t *)backing + 1001, 4096 },
			{ (uint8_t *)backing + 5097, sizeof(backing) - 5097 } };
		struct renderer_transfer all = {
			.resource_id = id, .ctx_id = CTX, .box = { 0, 0, 0, W, H, 1 }
		};
		struct renderer_transfer part = all;

		create_target(r, id, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, W, H, flags);
		assert_int_equal(r->impl->attach_resource(r, CTX, id), 0);
		assert_int_equal(r->impl->transfer_to_host(r, &all), -EINVAL);
		assert_int_equal(r->impl->attach_backing(r, id, iov, 3), 0);
		assert_int_equal(r->impl->attach_backing(r, id, iov, 3), -EINVAL);
		fill(backing, W * H);
		assert_int_equal(r->impl->transfer_to_host(r, &all), 0);
		assert_int_equal(
		    read_rect(r, id, W, H, (struct display_rect){ 0, 0, W, H }, result), 0);
		assert_memory_equal(result, backing, sizeof(backing));

		/* Only the box changes. */
		memcpy(before, backing, sizeof(backing));
		for (int y = 0; y < H; y++)
			for (int x = 0; x < W; x++)
				backing[y * W + x] = 0xff000000u | (uint32_t)(y << 8 | x);
		part.box = (struct renderer_box){ 5, 3, 0, 20, 7, 1 };
		part.offset = (3 * W + 5) * 4;
		assert_int_equal(r->impl->transfer_to_host(r, &part), 0);
		assert_int_equal(
		    read_rect(r, id, W, H, (struct display_rect){ 4, 2, 30, 20 }, result), 0);
		for (int y = 0; y < 20; y++)
			for (int x = 0; x < 30; x++) {
				const bool in = x >= 1 && x < 21 && y >= 1 && y < 8;
				const uint32_t *want = in ? backing : before;

				assert_int_equal(result[y * 30 + x], want[(y + 2) * W + x + 4]);
			}

		/* And back */
		memcpy(result, backing, sizeof(backing));
		memset(backing, 0, sizeof(backing));
		assert_int_equal(r->impl->transfer_from_host(r, &all), 0);
		for (int y = 0; y < H; y++)
			for (int x = 0; x < W; x++) {
				const bool in = x >= 5 && x < 25 && y >= 3 && y < 10;

				assert_int_equal(
				    backing[y * W + x], in ? result[y * W + x] : before[y * W + x]);
			}
	}
}

static void bad_transfers_are_refused(void **state)
{
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	static uint32_t backing[16 * 16];
	struct iovec iov = { backing, sizeof(backing) };
	struct renderer_transfer t = { .resource_id = 5, .box = { 0, 0, 0, 16, 16, 1 } };

	create_target(r, 5, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 16, 16, 0);
	assert_int_equal(r->impl->attach_backing(r, 5, &iov, 1), 0);
	assert_int_equal(r->impl->transfer_to_host(r, &t), 0);
	t.box.width = 17;
	assert_true(r->impl->transfer_to_host(r, &t) < 0);
	assert_true(r->impl->transfer_from_host(r, &t) < 0);
	t.box.width = UINT32_MAX;
	assert_true(r->impl->transfer_to_host(r, &t) < 0);
	t.box = (struct renderer_box){ 0, 0, 0, 16, 16, 1 };
	t.offset = 4;
	assert_true(r->impl->transfer_to_host(r, &t) < 0);
	t.offset = UINT64_MAX;
	assert_true(r->impl->transfer_to_host(r, &t) < 0);
	t.offset = 0;
	t.level = 1;
	assert_true(r->impl->transfer_to_host(r, &t) < 0);
	t.level = UINT32_MAX;
	assert_true(r->impl->transfer_from_host(r, &t) < 0);
	t.level = 0;
	t.stride = UINT32_MAX; /* 0.10.4 multiplies it by the height in 32 bits */
	assert_true(r->impl->transfer_from_host(r, &t) < 0);
	t.stride = 0x10000000;
	assert_true(r->impl->transfer_from_host(r, &t) < 0);
	t.stride = 0;
	t.layer_stride = 0x80000000;
	assert_true(r->impl->transfer_from_host(r, &t) < 0);
	t.layer_stride = 0;
	t.ctx_id = 1234;
	assert_true(r->impl->transfer_to_host(r, &t) < 0);
	t.ctx_id = 0;
	assert_int_equal(r->impl->transfer_to_host(r, &t), 0);
}

/* A dumb buffer: filled on the CPU, attached to a context, drawn into, filled again. */
static void a_2d_resource_moves_when_a_context_wants_it(void **state)
{
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	enum { W = 40, H = 30 };
	static uint32_t backing[W * H], result[W * H];
	static const float blue[4] = { 0, 0, 1, 1 };
	struct iovec iov[2] = { { backing, 1000 }, { backing + 250, sizeof(backing) - 1000 } };
	const struct renderer_resource create = {
		.is_2d = true, .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, .width = W, .height = H
	};
	struct renderer_transfer t = { .resource_id = 3, .box = { 0, 0, 0, W, H, 1 } };
	const struct display_rect all = { 0, 0, W, H };

	assert_int_equal(r->impl->create_resource(r, 3, &create), 0);
	assert_int_equal(r->impl->attach_backing(r, 3, iov, 2), 0);
	fill(backing, W * H);
	assert_int_equal(r->impl->transfer_to_host(r, &t), 0);
	assert_int_equal(read_rect(r, 3, W, H, all, result), 0);
	assert_memory_equal(result, backing, sizeof(backing));

	assert_int_equal(r->impl->attach_resource(r, CTX, 3), -ESRCH);
	assert_int_equal(r->impl->create_context(r, CTX, 0, "test"), 0);
	assert_int_equal(r->impl->attach_resource(r, CTX, 4), -ENOENT);
	memset(backing, 0x55, sizeof(backing)); /* not transferred: must not show */
	assert_int_equal(r->impl->attach_resource(r, CTX, 3), 0);
	fill(backing, W * H);
	assert_int_equal(read_rect(r, 3, W, H, all, result), 0);
	assert_memory_equal(result, backing, sizeof(backing));

	clear(r, 3, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, blue);
	assert_int_equal(read_rect(r, 3, W, H, all, result), 0);
	for (int i = 0; i < W * H; i++)
		assert_int_equal(result[i], 0xff0000ff);

	/* TRANSFER_TO_HOST_2D of the lower half */
	t.box = (struct renderer_box){ 0, H / 2, 0, W, H / 2, 1 };
	t.offset = W * (H / 2) * 4;
	assert_int_equal(r->impl->transfer_to_host(r, &t), 0);
	assert_int_equal(read_rect(r, 3, W, H, all, result), 0);
	assert_int_equal(result[0], 0xff0000ff);
	assert_memory_equal(result + W * (H / 2), backing + W * (H / 2), sizeof(backing) / 2);

	r->impl->detach_backing(r, 3);
	assert_int_equal(r->impl->transfer_to_host(r, &t), -EINVAL);
	assert_int_equal(r->impl->attach_backing(r, 3, iov, 2), 0);
	assert_int_equal(r->impl->transfer_to_host(r, &t), 0);
	r->impl->detach_resource(r, CTX, 3);
	r->impl->destroy_resource(r, 3);
	r->impl->destroy_resource(r, 3);
	assert_int_equal(read_rect(r, 3, W, H, all, result), -ENOENT);
}

static void a_guest_blob_is_read_from_its_pages(void **state)
{
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	enum { W = 10, H = 8, STRIDE = 64 };
	static uint32_t backing[STRIDE / 4 * H], result[W * H];
	struct iovec iov[2] = { { backing, 70 },
		{ (uint8_t *)backing + 70, sizeof(backing) - 70 } };
	const struct renderer_scanout scanout = { .resource_id = 8,
		.format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
		.stride = STRIDE,
		.width = W,
		.height = H };
	const struct display_rect all = { 0, 0, W, H };

	assert_int_equal(r->impl->create_context(r, CTX, 0, "test"), 0);
	assert_int_equal(r->impl->create_blob(r, 8, 0, sizeof(backing), iov, 2), 0);
	assert_int_equal(r->impl->attach_resource(r, CTX, 8), 0);
	fill(backing, STRIDE / 4 * H);
	assert_int_equal(r->impl->read_pixels(r, &scanout, &all, result, W * 4), 0);
	for (int y = 0; y < H; y++)
		assert_memory_equal(result + y * W, backing + y * STRIDE / 4, W * 4);
	r->impl->destroy_resource(r, 8);
}

static void garbage_is_refused_and_the_next_command_works(void **state)
{
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	static const float red[4] = { 1, 0, 0, 1 };
	struct loopback_virgl commands;
	uint32_t pixel;

	assert_int_equal(r->impl->create_context(r, 1, 0, "bad"), 0);
	virgl_begin(&commands);
	virgl_emit_header(&commands, 250, 0, 3); /* no such command */
	for (int i = 0; i < 3; i++)
		virgl_emit(&commands, 0xffffffff);
	assert_true(submit(r, 1, &commands) < 0);
	virgl_begin(&commands);
	virgl_emit_header(&commands, 7, 0, 0xffff); /* past the end */
	assert_true(submit(r, 1, &commands) <= 0);
	assert_int_equal(submit(r, 2, &commands), -ESRCH);

	assert_int_equal(r->impl->create_context(r, CTX, 0, "good"), 0);
	create_target(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 8, 8, 0);
	assert_int_equal(r->impl->attach_resource(r, CTX, 10), 0);
	clear(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, red);
	assert_int_equal(read_rect(r, 10, 8, 8, (struct display_rect){ 3, 3, 1, 1 }, &pixel), 0);
	assert_int_equal(pixel, 0xffff0000);
}

static void bad_resources_are_refused(void **state)
{
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	struct renderer_resource create = { .target = PIPE_TEXTURE_2D,
		.format = VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM,
		.bind = VIRGL_BIND_RENDER_TARGET,
		.width = 16,
		.height = 16,
		.depth = 1,
		.array_size = 1 };
	struct renderer_resource bad;

	bad = create;
	bad.target = 1000;
	assert_true(r->impl->create_resource(r, 1, &bad) < 0);
	bad = create;
	bad.format = 0xffff;
	assert_true(r->impl->create_resource(r, 1, &bad) < 0);
	bad = create;
	bad.last_level = 40;
	assert_true(r->impl->create_resource(r, 1, &bad) < 0);
	bad = create;
	bad.flags = 0xf0;
	assert_true(r->impl->create_resource(r, 1, &bad) < 0);
	bad = create;
	bad.width = bad.height = UINT32_MAX;
	assert_true(r->impl->create_resource(r, 1, &bad) < 0);
	assert_int_equal(r->impl->create_resource(r, 1, &create), 0);
}

static void reset_gives_everything_back(void **state)
{
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	static const float red[4] = { 1, 0, 0, 1 };
	static uint32_t backing[64 * 64];
	struct iovec iov = { backing, sizeof(backing) };
	const struct renderer_timeline global = { .global = true };
	const struct renderer_timeline timeline = { .ctx_id = CTX };
	uint64_t fence = 0;

	for (int round = 0; round < 6; round++) {
		const unsigned calls = f->global.calls;

		assert_int_equal(r->impl->create_context(r, CTX, 0, "test"), 0);
		create_target(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 64, 64, 0);
		assert_int_equal(r->impl->attach_backing(r, 10, &iov, 1), 0);
		assert_int_equal(r->impl->attach_resource(r, CTX, 10), 0);
		clear(r, 10, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, red);
		assert_true(r->impl->create_fence(r, &global, ++fence) >= 0);
		assert_true(r->impl->create_fence(r, &timeline, fence) >= 0);
		r->impl->reset(r);
		assert_int_equal(submit(r, CTX, &(struct loopback_virgl){ .count = 0 }), -ESRCH);
		/* Old fences stay silent. */
		assert_int_equal(f->global.calls, calls);
	}
	assert_true(r->impl->create_fence(r, &global, ++fence) >= 0);
	wait_for(f, &f->global, fence);
	assert_int_equal(f->global.calls, 1);
	assert_int_equal(f->context.calls, 0);
}

static void there_is_one_at_a_time(void **state)
{
	const struct virgl_options options = options_from_environment();
	struct renderer *other;

	assert_int_equal(virgl_create(&options, &other), -EBUSY);
}

static void report(const char *what, struct timespec since, unsigned count, double bytes)
{
	struct timespec now;
	double s;

	clock_gettime(CLOCK_MONOTONIC, &now);
	s = (double)(now.tv_sec - since.tv_sec) + (double)(now.tv_nsec - since.tv_nsec) / 1e9;
	print_message("%-28s %8.1f us", what, s / count * 1e6);
	if (bytes > 0)
		print_message("  %6.2f GB/s", bytes * count / s / 1e9);
	print_message("\n");
}

/* A full HD frame, whole and in part: right, and how fast. */
static void full_hd_frames_read_back(void **state)
{
	enum { W = 1920, H = 1080, COUNT = 40 };
	const float colour[4] = { 0.4f, 0.6f, 0.8f, 1.0f };
	struct fixture *f = *state;
	struct renderer *r = f->renderer;
	uint32_t *pixels = malloc((size_t)W * H * 4);
	struct timespec start;

	assert_int_equal(r->impl->create_context(r, CTX, 0, "test"), 0);
	for (uint32_t flags = 0; flags <= Y_0_TOP; flags++) {
		const uint32_t id = 10 + flags;

		create_target(r, id, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, W, H, flags);
		assert_int_equal(r->impl->attach_resource(r, CTX, id), 0);
		clear(r, id, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, colour);
		memset(pixels, 0, (size_t)W * H * 4);
		assert_int_equal(
		    read_rect(r, id, W, H, (struct display_rect){ 0, 0, W, H }, pixels), 0);
		for (int i = 0; i < W * H; i++)
			assert_int_equal(pixels[i], 0xff6699cc);
		clock_gettime(CLOCK_MONOTONIC, &start);
		for (int i = 0; i < COUNT; i++)
			read_rect(r, id, W, H, (struct display_rect){ 0, 0, W, H }, pixels);
		report(flags ? "read 1920x1080, Y_0_TOP" : "read 1920x1080", start, COUNT,
		    (double)W * H * 4);
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < COUNT; i++)
		read_rect(r, 10, W, H, (struct display_rect){ 100, 100, 16, 16 }, pixels);
	report("read 16x16", start, COUNT, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < COUNT; i++) {
		clear(r, 10, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, colour);
		read_rect(r, 10, W, H, (struct display_rect){ 100, 100, 16, 16 }, pixels);
	}
	report("clear, read 16x16", start, COUNT, 0);
	free(pixels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(capsets_are_virgl_and_virgl2, reset),
		cmocka_unit_test_teardown(a_clear_retires_its_fence_and_shows_its_colour, reset),
		cmocka_unit_test_teardown(fences_of_a_context_have_their_own_timeline, reset),
		cmocka_unit_test_teardown(fences_survive_the_end_of_another_context, reset),
		cmocka_unit_test_teardown(contexts_can_end_with_fences_pending, reset),
		cmocka_unit_test_teardown(contexts_can_end_faster_than_fences, reset),
		cmocka_unit_test_teardown(a_reset_ends_contexts_with_fences_pending, reset),
		cmocka_unit_test_teardown(thousands_of_fences_can_be_pending, reset),
		cmocka_unit_test_teardown(transfers_and_frames_agree, reset),
		cmocka_unit_test_teardown(bad_transfers_are_refused, reset),
		cmocka_unit_test_teardown(a_2d_resource_moves_when_a_context_wants_it, reset),
		cmocka_unit_test_teardown(a_guest_blob_is_read_from_its_pages, reset),
		cmocka_unit_test_teardown(garbage_is_refused_and_the_next_command_works, reset),
		cmocka_unit_test_teardown(bad_resources_are_refused, reset),
		cmocka_unit_test_teardown(reset_gives_everything_back, reset),
		cmocka_unit_test_teardown(there_is_one_at_a_time, reset),
		cmocka_unit_test_teardown(full_hd_frames_read_back, reset),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
