/* SPDX-License-Identifier: MIT */
/*
 * Commands that break the rules of virtio 1.2, 5.7, by real queues and memory: each is answered
 * with its error, and the next valid one succeeds. tests/unit/gpu*_test.c has them all with
 * fakes; here are those for which memory, queues and the renderer matter.
 */
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
#define UNSPEC VIRTIO_GPU_RESP_ERR_UNSPEC
#define NO_MEMORY VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
#define BAD_SCANOUT VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define CONTROL LOOPBACK_GPU_CONTROL

static int start(void **state)
{
	*state = loopback_stack_start(NULL, NULL);
	return 0;
}

static int start_virgl(void **state)
{
	const struct loopback_worker_options options = { .virgl = true };

	*state = loopback_stack_start(&options, NULL);
	return 0;
}

static int start_limited(void **state)
{
	const struct loopback_worker_options options = {
		.limits = { .resources = 10,
		    .host_bytes = 1 << 20,
		    .backing_bytes = 1 << 20,
		    .command_bytes = 65536 },
	};

	*state = loopback_stack_start(&options, NULL);
	return 0;
}

/* Draws, looks, and leaves nothing: the device is well. */
static void expect_well(struct loopback_stack *stack)
{
	struct loopback_backing *backing =
	    loopback_stack_picture(stack, 0x7ffffffe, BGRX, 16, 16, 0x00c0ffee);

	assert_int_equal(loopback_gpu_set_scanout(&stack->gpu, 0, 0x7ffffffe, 0, 0, 16, 16), OK);
	assert_int_equal(loopback_gpu_flush(&stack->gpu, 0x7ffffffe, 0, 0, 16, 16), OK);
	uint32_t *pixels = loopback_stack_capture(stack, 0, 16, 16);
	assert_int_equal(pixels[100] & 0xffffff, 0xc0ffee);
	free(pixels);
	assert_int_equal(loopback_gpu_unref(&stack->gpu, 0x7ffffffe), OK);
	loopback_backing_destroy(backing);
}

static int finish(void **state)
{
	expect_well(*state);
	loopback_stack_stop(*state);
	return 0;
}

/* ---------------------------------------------------------------- requests */

static void header_under_24_bytes(void **state)
{
	struct loopback_stack *stack = *state;
	const struct virtio_gpu_ctrl_hdr command = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };

	for (size_t size = 1; size < sizeof(command); size++)
		assert_int_equal(
		    loopback_gpu_command(&stack->gpu, &command, size, NULL, 408), UNSPEC);
}

static void response_of_0_to_23_bytes(void **state)
{
	struct loopback_stack *stack = *state;
	const struct virtio_gpu_ctrl_hdr command = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
	struct virtio_gpu_resp_display_info info;

	for (size_t size = 0; size < sizeof(command); size++) {
		loopback_gpu_command(&stack->gpu, &command, sizeof(command), NULL, size);
		assert_true(stack->gpu.written <= size);
	}
	/* Room for a header, not for the answer */
	assert_int_equal(
	    loopback_gpu_command(&stack->gpu, &command, sizeof(command), NULL, 24), UNSPEC);
	assert_int_equal(stack->gpu.written, 24);
	assert_int_equal(
	    loopback_gpu_get_display_info(&stack->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

static void commands_cut_short(void **state)
{
	struct loopback_stack *stack = *state;
	/* Types with the size of their struct: one byte less is an error, not an old byte. */
	static const struct {
		uint32_t type, size;
	} commands[] = {
		{ VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, sizeof(struct virtio_gpu_resource_create_2d) },
		{ VIRTIO_GPU_CMD_RESOURCE_UNREF, sizeof(struct virtio_gpu_resource_unref) },
		{ VIRTIO_GPU_CMD_SET_SCANOUT, sizeof(struct virtio_gpu_set_scanout) },
		{ VIRTIO_GPU_CMD_RESOURCE_FLUSH, sizeof(struct virtio_gpu_resource_flush) },
		{ VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
		    sizeof(struct virtio_gpu_transfer_to_host_2d) },
		{ VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		    sizeof(struct virtio_gpu_resource_attach_backing) },
		{ VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
		    sizeof(struct virtio_gpu_resource_detach_backing) },
		{ VIRTIO_GPU_CMD_GET_EDID, sizeof(struct virtio_gpu_cmd_get_edid) },
		{ VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
		    sizeof(struct virtio_gpu_resource_create_blob) },
		{ VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, sizeof(struct virtio_gpu_set_scanout_blob) },
	};
	uint8_t bytes[256] = { 0 };

	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		memcpy(bytes, &commands[i].type, sizeof(commands[i].type));
		for (size_t size = 24; size < commands[i].size; size += 4)
			assert_int_equal(
			    loopback_gpu_command(&stack->gpu, bytes, size, NULL, 1100), UNSPEC);
	}
}

static void unknown_types(void **state)
{
	struct loopback_stack *stack = *state;
	static const uint32_t types[] = { 0, 1, 0xff, 0x10f, 0x1ff, 0x20a, 0x302, 0x1100, 0x1200,
		0x80000100, UINT32_MAX };
	struct virtio_gpu_update_cursor bytes = { 0 };

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		bytes.hdr.type = types[i];
		assert_int_equal(
		    loopback_gpu_command(&stack->gpu, &bytes, sizeof(bytes), NULL, 24), UNSPEC);
		assert_int_equal(loopback_gpu_command_with(&stack->gpu, LOOPBACK_GPU_CURSOR, &bytes,
				     sizeof(bytes), NULL, 0, NULL, 24),
		    UNSPEC);
	}
	/* A known one, on the wrong queue */
	bytes.hdr.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO;
	assert_int_equal(loopback_gpu_command_with(&stack->gpu, LOOPBACK_GPU_CURSOR, &bytes,
			     sizeof(bytes), NULL, 0, NULL, 500),
	    UNSPEC);
}

static void commands_of_features_that_are_not_there(void **state)
{
	struct loopback_stack *stack = *state; /* software: no 3D */
	struct virtio_gpu_resp_capset_info info;

	assert_int_equal(loopback_gpu_ctx_create(&stack->gpu, 1, 0, "none"), UNSPEC);
	assert_int_equal(loopback_gpu_submit_3d(&stack->gpu, 1, NULL, 0), UNSPEC);
	assert_int_equal(virgl_create_target(&stack->gpu, 1, BGRX, 4, 4), UNSPEC);
	assert_int_equal(loopback_gpu_get_capset_info(&stack->gpu, 0, &info), UNSPEC);
}

/* ---------------------------------------------------------------- resources */

static void resources_with_wrong_ids_and_sizes(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_gpu *gpu = &stack->gpu;

	assert_int_equal(loopback_gpu_create_2d(gpu, 0, BGRX, 4, 4), BAD_RESOURCE);
	assert_int_equal(loopback_gpu_create_2d(gpu, UINT32_MAX, BGRX, 4, 4), OK);
	assert_int_equal(loopback_gpu_create_2d(gpu, UINT32_MAX, BGRX, 4, 4), BAD_RESOURCE);
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, BGRX, 0, 4), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, BGRX, 4, 0), BAD_PARAMETER);
	assert_int_equal(
	    loopback_gpu_create_2d(gpu, 1, BGRX, UINT32_MAX, UINT32_MAX), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, BGRX, 0x40000001, 4), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, 0, 4, 4), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, 9999, 4, 4), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_unref(gpu, UINT32_MAX), OK);
	assert_int_equal(loopback_gpu_unref(gpu, UINT32_MAX), BAD_RESOURCE);
	assert_int_equal(loopback_gpu_unref(gpu, 0), BAD_RESOURCE);
	assert_int_equal(loopback_worker_statistics(&stack->worker).host_bytes, 0);
}

static void backing_with_wrong_entries(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_gpu *gpu = &stack->gpu;
	struct loopback_memory *memory = &stack->frontend.memory;
	const uint32_t size = 20000 * sizeof(struct virtio_gpu_mem_entry);
	struct virtio_gpu_mem_entry *entries = loopback_alloc(memory, size);
	const struct memory_region *region = &memory->regions[0];
	const struct virtio_gpu_mem_entry good = { .addr = region->guest_address, .length = 4096 };
	const struct virtio_gpu_mem_entry bad[] = {
		{ .addr = good.addr, .length = 0 },
		{ .addr = 0, .length = 4096 },
		{ .addr = UINT64_MAX, .length = 4096 },
		{ .addr = UINT64_MAX - 4095, .length = 4096 },
		{ .addr = region->guest_address + region->size - 4095, .length = 4096 },
		{ .addr = good.addr, .length = UINT32_MAX },
		{ .addr = UINT64_C(1) << 63 | 0x1000, .length = 4096 },
	};

	for (unsigned i = 0; i < 20000; i++)
		entries[i] = good;
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, BGRX, 16, 16), OK);
	/* Counts: 0, one more than there are, beyond the limit, 2^32 - 1 */
	assert_true(loopback_gpu_attach_entries(gpu, 1, 0, NULL, 0) >= UNSPEC);
	assert_true(loopback_gpu_attach_entries(gpu, 1, 2, entries, 16) >= UNSPEC);
	assert_true(loopback_gpu_attach_entries(gpu, 1, 1, NULL, 0) >= UNSPEC);
	assert_true(loopback_gpu_attach_entries(gpu, 1, 16385, entries, size) >= UNSPEC);
	assert_true(loopback_gpu_attach_entries(gpu, 1, UINT32_MAX, entries, size) >= UNSPEC);
	assert_true(loopback_gpu_attach_entries(gpu, 1, 0x10000001, entries, 16) >= UNSPEC);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		entries[1] = bad[i];
		assert_true(loopback_gpu_attach_entries(gpu, 1, 3, entries, 3 * 16) >= UNSPEC);
	}
	assert_int_equal(loopback_worker_statistics(&stack->worker).backing_bytes, 0);
	entries[1] = good;
	assert_int_equal(loopback_gpu_attach_entries(gpu, 99, 1, entries, 16), BAD_RESOURCE);
	assert_int_equal(loopback_gpu_attach_entries(gpu, 1, 1, entries, 16), OK);
	/* Twice; the first one stays. */
	assert_int_equal(loopback_gpu_attach_entries(gpu, 1, 1, entries, 16), UNSPEC);
	assert_int_equal(loopback_worker_statistics(&stack->worker).backing_bytes, 4096);
	assert_int_equal(loopback_gpu_detach_backing(gpu, 1), OK);
	assert_true(loopback_gpu_detach_backing(gpu, 1) >= UNSPEC);
	assert_int_equal(loopback_gpu_attach_entries(gpu, 1, 16384, entries, 16384 * 16), OK);
	assert_int_equal(loopback_gpu_unref(gpu, 1), OK);
	assert_int_equal(loopback_worker_statistics(&stack->worker).backing_bytes, 0);
	loopback_free(memory, entries, size);
}

static void transfers_past_image_and_backing(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_gpu *gpu = &stack->gpu;
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, 64, 64, 0);

	assert_int_equal(loopback_gpu_transfer_2d(gpu, 1, 0, 0, 65, 1, 0), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 1, 1, 0, 64, 1, 0), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 1, 0, 63, 1, 2, 0), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 1, UINT32_MAX, 0, 2, 1, 0), BAD_PARAMETER);
	assert_int_equal(
	    loopback_gpu_transfer_2d(gpu, 1, 2, 2, UINT32_MAX, UINT32_MAX, 0), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 1, 0, 0, 64, 64, 4), BAD_PARAMETER);
	assert_int_equal(
	    loopback_gpu_transfer_2d(gpu, 1, 0, 0, 64, 64, UINT64_MAX - 3), BAD_PARAMETER);
	assert_int_equal(
	    loopback_gpu_transfer_2d(gpu, 1, 0, 0, 1, 1, UINT64_C(1) << 63), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 2, 0, 0, 64, 64, 0), BAD_RESOURCE);
	assert_int_equal(loopback_gpu_create_2d(gpu, 2, BGRX, 64, 64), OK);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 2, 0, 0, 64, 64, 0), UNSPEC);
	/* A backing smaller than the image is fine, as long as nobody reads past it. */
	assert_int_equal(loopback_gpu_attach_entries(gpu, 2, 1, backing->entries, 16), OK);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 2, 0, 0, 64, 16, 0), OK);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 2, 0, 0, 64, 17, 0), BAD_PARAMETER);
	loopback_backing_destroy(backing);
}

static void scanouts_with_wrong_rectangles(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_gpu *gpu = &stack->gpu;
	struct loopback_backing *backing = loopback_stack_picture(stack, 1, BGRX, 64, 64, 0);

	assert_int_equal(loopback_gpu_set_scanout(gpu, 1, 1, 0, 0, 64, 64), BAD_SCANOUT);
	assert_int_equal(loopback_gpu_set_scanout(gpu, 16, 1, 0, 0, 64, 64), BAD_SCANOUT);
	assert_int_equal(loopback_gpu_set_scanout(gpu, UINT32_MAX, 0, 0, 0, 0, 0), BAD_SCANOUT);
	assert_int_equal(loopback_gpu_set_scanout(gpu, 0, 2, 0, 0, 64, 64), BAD_RESOURCE);
	assert_int_equal(loopback_gpu_set_scanout(gpu, 0, 1, 0, 0, 65, 64), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_set_scanout(gpu, 0, 1, UINT32_MAX, 0, 2, 64), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_set_scanout(gpu, 0, 1, 0, 0, 0, 0), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_set_scanout(gpu, 0, 1, 0, 0, 64, 64), OK);
	assert_int_equal(loopback_gpu_flush(gpu, 1, 0, 0, 65, 64), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_flush(gpu, 1, UINT32_MAX, 1, 2, 2), BAD_PARAMETER);
	assert_int_equal(loopback_gpu_flush(gpu, 2, 0, 0, 1, 1), BAD_RESOURCE);
	loopback_backing_destroy(backing);
}

static void blobs_with_wrong_sizes(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_gpu *gpu = &stack->gpu;
	struct loopback_backing *backing =
	    loopback_backing_create(&stack->frontend.memory, 4 * LOOPBACK_PAGE, LOOPBACK_PAGE);
	const uint32_t guest = VIRTIO_GPU_BLOB_MEM_GUEST;

	assert_true(loopback_gpu_create_blob(gpu, 1, 0, guest, 0, backing) >= UNSPEC);
	assert_true(loopback_gpu_create_blob(gpu, 1, 0, guest, 16385, backing) >= UNSPEC);
	assert_true(
	    loopback_gpu_create_blob(gpu, 1, 0, guest, UINT64_C(1) << 63, backing) >= UNSPEC);
	assert_true(loopback_gpu_create_blob(gpu, 1, 0, guest, UINT64_MAX, backing) >= UNSPEC);
	/* Without pages it is made, but there is nothing to show. */
	assert_int_equal(loopback_gpu_create_blob(gpu, 1, 0, guest, 4096, NULL), OK);
	assert_true(loopback_gpu_set_scanout_blob(gpu, 0, 1, BGRX, 16, 16, 64, 0) >= UNSPEC);
	assert_int_equal(loopback_gpu_unref(gpu, 1), OK);
	assert_true(loopback_gpu_create_blob(gpu, 0, 0, guest, 4096, backing) == BAD_RESOURCE);
	for (uint32_t mem = 0; mem < 6; mem++)
		if (mem != guest)
			assert_true(
			    loopback_gpu_create_blob(gpu, 1, 0, mem, 16384, backing) >= UNSPEC);
	assert_int_equal(loopback_gpu_create_blob(gpu, 1, 0, guest, 16384, backing), OK);
	assert_int_equal(loopback_gpu_create_blob(gpu, 1, 0, guest, 16384, backing), BAD_RESOURCE);
	/* Pictures that do not lie in it */
	static const struct {
		uint32_t width, height, stride, offset;
	} pictures[] = {
		{ 64, 65, 256, 0 },
		{ 64, 64, 256, 4 },
		{ 64, 64, 257, 0 },
		{ 64, 1, 255, 0 },
		{ UINT32_MAX, 1, UINT32_MAX, 0 },
		{ 64, UINT32_MAX, 256, 0 },
		{ 64, 2, UINT32_MAX, 0 },
		{ 1, 1, 4, UINT32_MAX },
		{ 0, 0, 0, 0 },
	};
	for (unsigned i = 0; i < sizeof(pictures) / sizeof(pictures[0]); i++)
		assert_true(
		    loopback_gpu_set_scanout_blob(gpu, 0, 1, BGRX, pictures[i].width,
			pictures[i].height, pictures[i].stride, pictures[i].offset) >= UNSPEC);
	assert_true(loopback_gpu_set_scanout_blob(gpu, 0, 1, 7777, 64, 64, 256, 0) >= UNSPEC);
	assert_int_equal(loopback_gpu_set_scanout_blob(gpu, 0, 1, BGRX, 64, 64, 256, 0), OK);
	/* Unref while scanned out; then its pages are ours again. */
	assert_int_equal(loopback_gpu_unref(gpu, 1), OK);
	assert_int_equal(loopback_worker_statistics(&stack->worker).backing_bytes, 0);
	loopback_backing_destroy(backing);
}

static void cursors_that_are_none(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_gpu *gpu = &stack->gpu;
	struct loopback_backing *small = loopback_stack_picture(stack, 1, BGRX, 63, 64, 0);
	struct loopback_backing *cursor = loopback_stack_picture(stack, 2, BGRX, 64, 64, 0);

	assert_true(loopback_gpu_update_cursor(gpu, 0, 1, 0, 0, 0, 0) >= UNSPEC);
	assert_true(loopback_gpu_update_cursor(gpu, 0, 3, 0, 0, 0, 0) >= UNSPEC);
	assert_int_equal(loopback_gpu_update_cursor(gpu, 16, 2, 0, 0, 0, 0), BAD_SCANOUT);
	assert_int_equal(loopback_gpu_move_cursor(gpu, UINT32_MAX, 0, 0), BAD_SCANOUT);
	/* A hot spot or a position outside is drawn nowhere, or refused, but harmless. */
	loopback_gpu_update_cursor(gpu, 0, 2, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX);
	assert_int_equal(loopback_gpu_update_cursor(gpu, 0, 2, 10, 10, 0, 0), OK);
	assert_int_equal(loopback_gpu_move_cursor(gpu, 0, UINT32_MAX - 5, UINT32_MAX - 5), OK);
	/* Unref while used as a cursor */
	assert_int_equal(loopback_gpu_unref(gpu, 2), OK);
	assert_int_equal(loopback_gpu_move_cursor(gpu, 0, 1, 1), OK);
	assert_int_equal(loopback_gpu_update_cursor(gpu, 0, 0, 0, 0, 0, 0), OK);
	loopback_backing_destroy(small);
	loopback_backing_destroy(cursor);
}

/* ---------------------------------------------------------------- streams */

static void submits_with_wrong_sizes(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_gpu *gpu = &stack->gpu;
	static const uint32_t sizes[] = { 1, 3, 6, 64, 4096, UINT32_MAX, UINT32_MAX - 3 };
	uint8_t bytes[sizeof(struct virtio_gpu_cmd_submit) + 32] = { 0 };

	assert_int_equal(loopback_gpu_ctx_create(gpu, 1, 0, "test"), OK);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct virtio_gpu_cmd_submit command = {
			.hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1 },
			.size = sizes[i],
		};
		memcpy(bytes, &command, sizeof(command));
		assert_int_equal(
		    loopback_gpu_command(gpu, bytes, sizeof(bytes), NULL, 24), BAD_PARAMETER);
	}
	/* Eight words of nothing (VIRGL_CCMD_NOP) */
	assert_int_equal(loopback_gpu_submit_3d(gpu, 1, (const uint32_t[8]){ 0 }, 8), OK);
	assert_int_equal(loopback_gpu_ctx_destroy(gpu, 1), OK);
}

static void capsets_out_of_range(void **state)
{
	struct loopback_stack *stack = *state;
	struct virtio_gpu_resp_capset_info info;
	uint8_t capset[64];

	assert_int_equal(
	    loopback_gpu_get_capset_info(&stack->gpu, UINT32_MAX, &info), BAD_PARAMETER);
	assert_int_equal(
	    loopback_gpu_get_capset(&stack->gpu, 99, 1, capset, sizeof(capset)), BAD_PARAMETER);
	assert_int_equal(
	    loopback_gpu_get_capset(&stack->gpu, 1, UINT32_MAX, capset, sizeof(capset)),
	    BAD_PARAMETER);
	/* A known one, into too little room: an error, and nothing behind the room is touched. */
	assert_int_equal(
	    loopback_gpu_get_capset(&stack->gpu, 1, 1, capset, sizeof(capset)), UNSPEC);
}

/* ---------------------------------------------------------------- quotas */

static void quotas_hold(void **state)
{
	struct loopback_stack *stack = *state;
	struct loopback_gpu *gpu = &stack->gpu;

	/* 1 MiB for all resources: one of 512x512 takes it all. */
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, BGRX, 512, 512), OK);
	assert_int_equal(loopback_gpu_create_2d(gpu, 2, BGRX, 64, 64), NO_MEMORY);
	assert_int_equal(loopback_gpu_unref(gpu, 1), OK);
	for (uint32_t id = 1; id <= 10; id++)
		assert_int_equal(loopback_gpu_create_2d(gpu, id, BGRX, 4, 4), OK);
	assert_int_equal(loopback_gpu_create_2d(gpu, 11, BGRX, 4, 4), NO_MEMORY);
	assert_int_equal(loopback_gpu_unref(gpu, 5), OK);
	assert_int_equal(loopback_gpu_create_2d(gpu, 11, BGRX, 4, 4), OK);

	struct loopback_backing *half =
	    loopback_backing_create(&stack->frontend.memory, 512 << 10, 0);
	assert_int_equal(loopback_gpu_attach_backing(gpu, 1, half), OK);
	assert_int_equal(loopback_gpu_attach_backing(gpu, 2, half), OK);
	assert_int_equal(loopback_gpu_attach_backing(gpu, 3, half), NO_MEMORY);
	assert_int_equal(loopback_gpu_detach_backing(gpu, 1), OK);
	assert_int_equal(loopback_gpu_attach_backing(gpu, 3, half), OK);

	/* A request longer than 64 KiB */
	void *page = loopback_alloc(&stack->frontend.memory, 128 << 10);
	const struct virtio_gpu_resource_attach_backing command = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		.resource_id = 4,
		.nr_entries = 1,
	};
	assert_int_equal(loopback_gpu_command_with(
			     gpu, CONTROL, &command, sizeof(command), page, 128 << 10, NULL, 24),
	    NO_MEMORY);
	loopback_free(&stack->frontend.memory, page, 128 << 10);
	for (uint32_t id = 1; id <= 11; id++)
		loopback_gpu_unref(gpu, id);
	assert_int_equal(loopback_worker_statistics(&stack->worker).resources, 0);
	assert_int_equal(loopback_worker_statistics(&stack->worker).backing_bytes, 0);
	loopback_backing_destroy(half);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)
#define TEST_VIRGL(name) cmocka_unit_test_setup_teardown(name, start_virgl, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(header_under_24_bytes),
		TEST(response_of_0_to_23_bytes),
		TEST(commands_cut_short),
		TEST(unknown_types),
		TEST(commands_of_features_that_are_not_there),
		TEST(resources_with_wrong_ids_and_sizes),
		TEST(backing_with_wrong_entries),
		TEST(transfers_past_image_and_backing),
		TEST(scanouts_with_wrong_rectangles),
		TEST(blobs_with_wrong_sizes),
		TEST(cursors_that_are_none),
		TEST_VIRGL(resources_with_wrong_ids_and_sizes),
		TEST_VIRGL(backing_with_wrong_entries),
		TEST_VIRGL(transfers_past_image_and_backing),
		TEST_VIRGL(scanouts_with_wrong_rectangles),
		TEST_VIRGL(blobs_with_wrong_sizes),
		TEST_VIRGL(cursors_that_are_none),
		TEST_VIRGL(submits_with_wrong_sizes),
		TEST_VIRGL(capsets_out_of_range),
		cmocka_unit_test_setup_teardown(quotas_hold, start_limited, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
