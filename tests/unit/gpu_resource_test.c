/* SPDX-License-Identifier: MIT */
/* virtio-gpu: resources, their backing pages, blobs, transfers and quotas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backend/gpu_format.h"
#include "tests/unit/gpu_rig.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define UNSPEC VIRTIO_GPU_RESP_ERR_UNSPEC
#define NO_MEMORY VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_CONTEXT VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER
#define XRGB VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

static int setup(void **state)
{
	*state = rig_create();
	return 0;
}

static int teardown(void **state)
{
	rig_destroy(*state);
	return 0;
}

/* ---------------------------------------------------------------- ids, sizes, formats */

static void test_resource_id_0_duplicate_and_largest(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_create_2d(rig, 0, XRGB, 16, 16), BAD_RESOURCE);
	assert_int_equal(rig_create_3d(rig, 0, 16, 16), BAD_RESOURCE);
	assert_int_equal(rig_create_blob(rig, 0, 4096, pages, 4096), BAD_RESOURCE);
	assert_int_equal(rig_create_2d(rig, 5, XRGB, 16, 16), OK);
	assert_int_equal(rig_create_2d(rig, 5, XRGB, 16, 16), BAD_RESOURCE);
	assert_int_equal(rig_create_3d(rig, 5, 16, 16), BAD_RESOURCE);
	assert_int_equal(rig_create_blob(rig, 5, 4096, pages, 4096), BAD_RESOURCE);
	assert_int_equal(rig_statistics(rig).resources, 1);
	assert_int_equal(rig->guest.maps, 0 + 0 + 6 /* rings */);
	assert_int_equal(rig_create_2d(rig, UINT32_MAX, XRGB, 16, 16), OK);
	assert_int_equal(rig_unref(rig, UINT32_MAX), OK);
	assert_int_equal(rig_unref(rig, 5), OK);
	assert_true(rig_works(rig));
}

static void test_unknown_resource(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_resource_assign_uuid uuid = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, .resource_id = 3
	};
	void *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_unref(rig, 3), BAD_RESOURCE);
	assert_int_equal(rig_unref(rig, 0), BAD_RESOURCE);
	assert_int_equal(rig_attach(rig, 3, pages, 4096), BAD_RESOURCE);
	assert_int_equal(rig_detach(rig, 3), BAD_RESOURCE);
	assert_int_equal(rig_transfer_2d(rig, 3, 0, 0, 1, 1, 0), BAD_RESOURCE);
	assert_int_equal(rig_command(rig, uuid), BAD_RESOURCE);
	assert_int_equal(rig_flush(rig, 3, 0, 0, 1, 1), BAD_RESOURCE);
	assert_int_equal(rig_set_scanout(rig, 0, 3, 0, 0, 1, 1), BAD_RESOURCE);
	assert_true(rig_works(rig));
}

static void test_size_overflow(void **state)
{
	struct rig *rig = *state;
	static const struct {
		uint32_t width, height, type;
	} sizes[] = {
		{ 0, 16, BAD_PARAMETER },
		{ 16, 0, BAD_PARAMETER },
		{ UINT32_MAX, UINT32_MAX, BAD_PARAMETER },
		{ 0x40000001, 1, BAD_PARAMETER }, /* 4 bytes a pixel: wraps to 4 */
		{ 0x8000, 0x8001, BAD_PARAMETER },
		{ 1, UINT32_MAX, BAD_PARAMETER },
		{ 0x8000, 0x8000,
		    NO_MEMORY }, /* 4 GiB: exactly the quota, and something is there */
		{ 0x8000, 0x7fff, OK },
	};

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 1, 1), OK);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(
		    rig_create_2d(rig, 2, XRGB, sizes[i].width, sizes[i].height), sizes[i].type);
	assert_int_equal(rig_unref(rig, 2), OK);
	assert_int_equal(rig_statistics(rig).host_bytes, 4);
	assert_true(rig_works(rig));
}

static void test_3d_size_overflow(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_resource_create_3d command = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
		.resource_id = 1,
		.target = 2,
		.format = XRGB,
		.width = UINT32_MAX,
		.height = UINT32_MAX,
		.depth = UINT32_MAX,
		.array_size = UINT32_MAX,
		.last_level = UINT32_MAX,
		.nr_samples = UINT32_MAX,
	};

	assert_int_equal(rig_command(rig, command), NO_MEMORY);
	command.height = command.depth = command.array_size = command.nr_samples = 1;
	assert_int_equal(rig_command(rig, command), NO_MEMORY); /* 32 GiB */
	command.width = 0;
	assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
	/* The product of all five, and each alone is small */
	command = (struct virtio_gpu_resource_create_3d){ .hdr = command.hdr,
		.resource_id = 1,
		.target = 3,
		.format = 31,
		.width = 1u << 13,
		.height = 1u << 13,
		.depth = 1u << 13,
		.array_size = 1u << 13,
		.nr_samples = 1u << 12 };
	assert_int_equal(rig_command(rig, command), NO_MEMORY);
	assert_int_equal(rig_statistics(rig).host_bytes, 0);
	assert_int_equal(rig_create_3d(rig, 1, 64, 64), OK);
	assert_int_equal(rig_statistics(rig).host_bytes, 64 * 64 * 4);
	assert_true(rig_works(rig));
}

static void test_size_estimates(void **state)
{
	struct renderer_resource resource = { .target = 2, .width = 256, .height = 128 };

	resource.format = 67; /* R8G8B8A8 */
	assert_int_equal(gpu_format_bytes(&resource), 256 * 128 * 4);
	resource.format = 31; /* R32G32B32A32_FLOAT */
	assert_int_equal(gpu_format_bytes(&resource), 256 * 128 * 16);
	resource.format = 105; /* DXT1: 8 bytes a block of 16 */
	assert_int_equal(gpu_format_bytes(&resource), 256 * 128 / 2);
	resource.format = 64; /* R8 */
	resource.nr_samples = 4;
	assert_int_equal(gpu_format_bytes(&resource), 256 * 128 * 4);
	resource.nr_samples = 0;
	resource.last_level = 8;
	assert_int_equal(gpu_format_bytes(&resource),
	    256 * 128 + 128 * 64 + 64 * 32 + 32 * 16 + 16 * 8 + 8 * 4 + 4 * 2 + 2 + 1);
	resource.last_level = 0;
	resource.array_size = 6;
	assert_int_equal(gpu_format_bytes(&resource), 6 * 256 * 128);
	resource = (struct renderer_resource){ .target = 0, .format = 64, .width = 12345 };
	assert_int_equal(gpu_format_bytes(&resource), 12345); /* a buffer */
	resource = (struct renderer_resource){ .target = 2, .format = UINT32_MAX, .width = 1 };
	assert_true(gpu_format_bytes(&resource) >= 4);
}

static void test_unknown_format(void **state)
{
	struct rig *rig = *state;
	static const uint32_t known[] = { 1, 2, 3, 4, 67, 68, 121, 134 };
	static const uint32_t unknown[] = { 0, 5, 66, 69, 120, 122, 133, 135, 256 + 1, UINT32_MAX };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_int_equal(rig_create_2d(rig, 1, known[i], 16, 16), OK);
		assert_int_equal(rig_unref(rig, 1), OK);
	}
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_int_equal(rig_create_2d(rig, 1, unknown[i], 16, 16), BAD_PARAMETER);
	assert_true(rig_works(rig));
}

static void test_renderer_errors(void **state)
{
	struct rig *rig = *state;
	static const struct {
		int error;
		uint32_t type;
	} errors[] = { { -EINVAL, BAD_PARAMETER }, { -ENOMEM, NO_MEMORY },
		{ -ENOENT, BAD_RESOURCE }, { -ESRCH, BAD_CONTEXT }, { -ENOTSUP, UNSPEC },
		{ -EIO, UNSPEC } };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		rig->renderer.next_error = errors[i].error;
		assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), errors[i].type);
	}
	assert_int_equal(rig_statistics(rig).host_bytes, 0);
	assert_int_equal(rig_statistics(rig).resources, 0);
	assert_true(rig_works(rig));
}

/* ---------------------------------------------------------------- backing */

static void test_nr_entries_wild(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 16384);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), OK);
	assert_int_equal(rig_attach_entries(rig, 1, 0, pages, 4096, 0), BAD_PARAMETER);
	assert_int_equal(rig_attach_entries(rig, 1, 0, pages, 4096, 4), BAD_PARAMETER);
	assert_int_equal(rig_attach_entries(rig, 1, UINT32_MAX, pages, 4096, 4), BAD_PARAMETER);
	assert_int_equal(rig_attach_entries(rig, 1, 16385, pages, 1, 16385), BAD_PARAMETER);
	/* More than the payload holds, by one and by all */
	assert_int_equal(rig_attach_entries(rig, 1, 5, pages, 4096, 4), BAD_PARAMETER);
	assert_int_equal(rig_attach_entries(rig, 1, 1, pages, 4096, 0), BAD_PARAMETER);
	assert_int_equal(rig->guest.maps, 6);
	assert_int_equal(rig->renderer.attaches, 0);
	/* The most that is possible, and fewer than the payload holds */
	assert_int_equal(rig_attach_entries(rig, 1, 16384, pages, 1, 16384), OK);
	assert_int_equal(rig_statistics(rig).backing_bytes, 16384);
	assert_int_equal(rig_detach(rig, 1), OK);
	assert_int_equal(rig_attach_entries(rig, 1, 3, pages, 4096, 4), OK);
	assert_int_equal(rig_statistics(rig).backing_bytes, 3 * 4096);
	assert_true(rig_works(rig));
}

static void test_entry_of_length_0(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), OK);
	assert_int_equal(rig_attach_entries(rig, 1, 2, pages, 0, 2), BAD_PARAMETER);
	assert_int_equal(rig->guest.maps, 6);
	assert_int_equal(rig_attach(rig, 1, pages, 1024), OK);
	assert_true(rig_works(rig));
}

static void test_entry_outside_of_memory(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), OK);
	/* The second entry is past the end of guest memory */
	assert_int_equal(rig_attach_entries(rig, 1, 2, pages, RIG_MEMORY, 2), BAD_PARAMETER);
	assert_int_equal(rig->guest.maps, 6);
	assert_int_equal(rig_statistics(rig).backing_bytes, 0);
	rig->guest.refuse_maps = true;
	assert_int_equal(rig_attach(rig, 1, pages, 1024), NO_MEMORY);
	rig->guest.refuse_maps = false;
	rig->renderer.next_error = -ENOMEM;
	assert_int_equal(rig_attach(rig, 1, pages, 1024), NO_MEMORY);
	assert_int_equal(rig->guest.maps, 6);
	assert_int_equal(rig_statistics(rig).backing_bytes, 0);
	assert_int_equal(rig_attach(rig, 1, pages, 1024), OK);
	assert_true(rig_works(rig));
}

static void test_attach_twice(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 8192);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), OK);
	assert_int_equal(rig_detach(rig, 1), UNSPEC); /* none yet */
	assert_int_equal(rig_attach(rig, 1, pages, 1024), OK);
	assert_int_equal(rig_attach(rig, 1, pages + 4096, 1024), UNSPEC);
	assert_int_equal(rig->guest.maps, 7);
	assert_int_equal(rig_statistics(rig).backing_bytes, 4096); /* a page is mapped whole */
	assert_int_equal(rig_detach(rig, 1), OK);
	assert_int_equal(rig_detach(rig, 1), UNSPEC);
	assert_int_equal(rig->guest.maps, 6);
	assert_int_equal(rig_attach(rig, 1, pages, 1024), OK);
	/* Unref without detach */
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(rig->guest.maps, 6);
	assert_int_equal(rig_statistics(rig).backing_bytes, 0);
	assert_true(rig_works(rig));
}

static void test_same_pages_twice(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), OK);
	assert_int_equal(rig_create_2d(rig, 2, XRGB, 16, 16), OK);
	assert_int_equal(rig_attach(rig, 1, pages, 1024), OK);
	assert_int_equal(rig_attach(rig, 2, pages, 1024), OK);
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(rig_transfer_2d(rig, 2, 0, 0, 16, 16, 0), OK);
}

static void test_10000_create_attach_detach_unref(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 65536);
	struct gpu_statistics before = rig_statistics(rig), after;

	for (uint32_t i = 0; i < 10000; i++) {
		uint32_t id = 1 + i % 7;

		assert_int_equal(rig_create_2d(rig, id, XRGB, 64, 64), OK);
		assert_int_equal(rig_attach_entries(rig, id, 4, pages, 4096, 4), OK);
		if (i % 3 != 0)
			assert_int_equal(rig_detach(rig, id), OK);
		assert_int_equal(rig_unref(rig, id), OK);
	}
	after = rig_statistics(rig);
	assert_int_equal(after.resources, before.resources);
	assert_int_equal(after.host_bytes, before.host_bytes);
	assert_int_equal(after.backing_bytes, before.backing_bytes);
	assert_int_equal(rig->guest.maps, 6);
}

/* ---------------------------------------------------------------- blobs */

static void test_blob_sizes(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 8192);

	assert_int_equal(rig_create_blob(rig, 1, 0, pages, 4096), BAD_PARAMETER);
	assert_int_equal(rig_create_blob(rig, 1, UINT64_C(1) << 63, pages, 4096), BAD_PARAMETER);
	assert_int_equal(rig_create_blob(rig, 1, UINT64_MAX, pages, 4096), BAD_PARAMETER);
	assert_int_equal(rig_create_blob(rig, 1, 4097, pages, 4096), BAD_PARAMETER);
	assert_int_equal(rig->guest.maps, 6);
	assert_int_equal(rig_statistics(rig).resources, 0);
	/* No alignment is asked for while BLOB_ALIGNMENT is not offered */
	assert_int_equal(rig_create_blob(rig, 1, 4095, pages, 4096), OK);
	assert_int_equal(rig->guest.maps, 7);
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(rig->guest.maps, 6);
	assert_true(rig_works(rig));
}

static void test_blob_kinds(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_create_blob_of(rig, 1, 0, 4096, pages, 4096), BAD_PARAMETER);
	assert_int_equal(rig_create_blob_of(rig, 1, 4, 4096, pages, 4096), BAD_PARAMETER);
	assert_int_equal(rig_create_blob_of(rig, 1, UINT32_MAX, 4096, pages, 4096), BAD_PARAMETER);
	/* Host blobs, while no transport offers a window */
	assert_int_equal(
	    rig_create_blob_of(rig, 1, VIRTIO_GPU_BLOB_MEM_HOST3D, 4096, NULL, 0), UNSPEC);
	assert_int_equal(
	    rig_create_blob_of(rig, 1, VIRTIO_GPU_BLOB_MEM_HOST3D_GUEST, 4096, pages, 4096),
	    UNSPEC);
	assert_int_equal(rig_statistics(rig).resources, 0);
	assert_true(rig_works(rig));
}

static void test_map_blob_is_refused(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_resource_map_blob map = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
		.resource_id = 1 };
	struct virtio_gpu_resource_unmap_blob unmap = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, .resource_id = 1
	};
	uint8_t *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_create_blob(rig, 1, 4096, pages, 4096), OK);
	assert_int_equal(rig_command(rig, map), UNSPEC);
	assert_int_equal(rig_command(rig, unmap), UNSPEC);
	assert_true(rig_works(rig));
}

/* "nr_entries may be zero and ATTACH_BACKING may be subsequently used" */
static void test_blob_without_pages(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 8192);
	struct virtio_gpu_set_scanout_blob scanout = {
		.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
		.r = { 0, 0, 16, 16 },
		.resource_id = 1,
		.width = 16,
		.height = 16,
		.format = XRGB,
		.strides = { 64 },
	};

	assert_int_equal(rig_create_blob(rig, 1, 4096, NULL, 0), OK);
	assert_int_equal(rig_command(rig, scanout), BAD_PARAMETER);
	assert_int_equal(rig_attach(rig, 1, pages, 4095), BAD_PARAMETER);
	assert_int_equal(rig_attach(rig, 1, pages, 4096), OK);
	assert_int_equal(rig_attach(rig, 1, pages, 4096), UNSPEC);
	assert_int_equal(rig_command(rig, scanout), OK);
	assert_non_null(rig->display.sources[0]);
	/* Its pages are the picture: without them there is none */
	assert_int_equal(rig_detach(rig, 1), OK);
	assert_null(rig->display.sources[0]);
	assert_int_equal(rig->guest.maps, 6);
	assert_int_equal(rig_attach(rig, 1, pages, 8192), OK);
	assert_int_equal(rig_command(rig, scanout), OK);
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_null(rig->display.sources[0]);
	assert_int_equal(rig_create_blob(rig, 1, 4096, NULL, 0), OK);
	assert_int_equal(rig_unref(rig, 1), OK);
}

static void test_transfer_to_a_blob_is_nothing(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_create_blob(rig, 1, 4096, pages, 4096), OK);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 32, 32, 0), OK);
	assert_int_equal(rig->renderer.transfers_to, 0);
}

static void test_uuid(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_resource_assign_uuid command = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, .resource_id = 1
	};
	const struct virtio_gpu_resp_resource_uuid *response = (const void *)rig->response;
	uint8_t uuid[16];

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), OK);
	assert_int_equal(rig_create_2d(rig, 2, XRGB, 16, 16), OK);
	assert_int_equal(
	    rig_exchange(rig, RIG_CONTROL, &command, sizeof(command), sizeof(*response)),
	    sizeof(*response));
	assert_int_equal(response->hdr.type, VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	memcpy(uuid, response->uuid, sizeof(uuid));
	assert_int_equal(uuid[6] >> 4, 4);
	assert_int_equal(uuid[8] >> 6, 2);
	rig_exchange(rig, RIG_CONTROL, &command, sizeof(command), sizeof(*response));
	assert_memory_equal(uuid, response->uuid, sizeof(uuid));
	command.resource_id = 2;
	rig_exchange(rig, RIG_CONTROL, &command, sizeof(command), sizeof(*response));
	assert_memory_not_equal(uuid, response->uuid, sizeof(uuid));
}

/* ---------------------------------------------------------------- transfers */

static void test_transfer(void **state)
{
	struct rig *rig = *state;
	const struct renderer_transfer *transfer = &rig->renderer.last_transfer;
	void *pages = loopback_alloc(&rig->memory, 65536);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 64, 32, 0), UNSPEC); /* no backing */
	assert_int_equal(rig_attach(rig, 1, pages, 64 * 32 * 4), OK);
	assert_int_equal(rig_transfer_2d(rig, 1, 3, 5, 7, 9, 4 * (5 * 64 + 3)), OK);
	assert_int_equal(rig->renderer.transfers_to, 1);
	assert_int_equal(transfer->resource_id, 1);
	assert_int_equal(transfer->ctx_id, 0);
	assert_int_equal(transfer->box.x, 3);
	assert_int_equal(transfer->box.y, 5);
	assert_int_equal(transfer->box.width, 7);
	assert_int_equal(transfer->box.height, 9);
	assert_int_equal(transfer->box.depth, 1);
	assert_int_equal(transfer->offset, 4 * (5 * 64 + 3));
	rig->renderer.next_error = -EINVAL;
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 64, 32, 0), BAD_PARAMETER);
}

static void test_transfer_rectangles_that_wrap(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 65536);
	static const struct {
		uint32_t x, y, width, height;
	} bad[] = { { 0, 0, 65, 32 }, { 0, 0, 64, 33 }, { 1, 0, 64, 32 }, { 0, 1, 64, 32 },
		{ UINT32_MAX, 0, 2, 1 }, { 0, UINT32_MAX, 1, 2 }, { 1, 1, UINT32_MAX, UINT32_MAX },
		{ 64, 0, 1, 1 }, { 0, 32, 1, 1 }, { 0, 0, 0, 1 }, { 0, 0, 1, 0 },
		{ 0x80000000, 0, 0x80000001, 1 } };

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_attach(rig, 1, pages, 65536), OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    rig_transfer_2d(rig, 1, bad[i].x, bad[i].y, bad[i].width, bad[i].height, 0),
		    BAD_PARAMETER);
	assert_int_equal(rig->renderer.transfers_to, 0);
	assert_int_equal(rig_transfer_2d(rig, 1, 63, 31, 1, 1, 0), OK);
	assert_true(rig_works(rig));
}

static void test_transfer_past_the_backing(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 65536);
	const uint64_t size = 64 * 32 * 4;

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_attach(rig, 1, pages, size), OK);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 64, 32, 1), BAD_PARAMETER);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 1, 1, size - 3), BAD_PARAMETER);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 1, 1, size), BAD_PARAMETER);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 1, 1, UINT64_MAX), BAD_PARAMETER);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 1, 1, UINT64_MAX - 3), BAD_PARAMETER);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 1, 2, size - 64 * 4), BAD_PARAMETER);
	assert_int_equal(rig->renderer.transfers_to, 0);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 1, 1, size - 4), OK);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 64, 32, 0), OK);
	assert_true(rig_works(rig));
}

static void test_backing_smaller_than_the_image(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_attach(rig, 1, pages, 100), OK);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 64, 32, 0), BAD_PARAMETER);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 26, 1, 0), BAD_PARAMETER);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 25, 1, 0), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 32), OK);
	assert_int_equal(rig_flush(rig, 1, 0, 0, 64, 32), OK);
	assert_true(rig_works(rig));
}

/* ---------------------------------------------------------------- quotas */

static void test_quota_of_bytes(void **state)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct rig *rig;
	void *pages;

	limits.host_bytes = 16 * 16 * 4 * 3;
	limits.backing_bytes = 8192;
	rig = rig_create_with(&limits, true, 1);
	pages = loopback_alloc(&rig->memory, 16384);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(rig_create_2d(rig, id, XRGB, 16, 16), OK);
	assert_int_equal(rig_create_2d(rig, 4, XRGB, 1, 1), NO_MEMORY);
	assert_int_equal(rig_attach(rig, 1, pages, 4096), OK);
	assert_int_equal(rig_attach(rig, 2, pages, 4097), NO_MEMORY);
	assert_int_equal(rig_attach(rig, 2, pages, 4096), OK);
	assert_int_equal(rig_attach(rig, 3, pages, 1), NO_MEMORY);
	assert_int_equal(rig_create_blob(rig, 4, 4096, pages, 4096), NO_MEMORY);
	assert_int_equal(rig_unref(rig, 2), OK);
	assert_int_equal(rig_create_blob(rig, 4, 4096, pages, 4096), OK);
	assert_int_equal(rig_unref(rig, 4), OK);
	assert_int_equal(rig_unref(rig, 3), OK);
	assert_true(rig_works(rig));
	rig_destroy(rig);
}

/* A page is mapped whole: a byte of each would map 4096 times the quota. */
static void test_quota_of_pages(void **state)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct {
		struct virtio_gpu_resource_attach_backing command;
		struct virtio_gpu_mem_entry entries[4];
	} request = {
		.command = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		    .resource_id = 1,
		    .nr_entries = 4 },
	};
	struct rig *rig;
	uint8_t *pages;

	limits.backing_bytes = 3 * 4096;
	rig = rig_create_with(&limits, true, 1);
	pages = loopback_alloc(&rig->memory, 4 * 4096);
	for (size_t i = 0; i < 4; i++) {
		request.entries[i].addr = loopback_address(&rig->memory, pages) + i * 4096;
		request.entries[i].length = 1;
	}
	assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), OK);
	assert_int_equal(rig_command(rig, request), NO_MEMORY);
	request.command.nr_entries = 3;
	assert_int_equal(rig_command(rig, request), OK);
	assert_int_equal(rig_statistics(rig).backing_bytes, 3 * 4096);
	assert_int_equal(rig_detach(rig, 1), OK);
	/* An entry may begin and end in the middle of pages, and the next one go on there */
	request.entries[0].addr += 4095;
	request.entries[0].length = 2;
	request.entries[1].addr++;
	request.entries[1].length = 2 * 4096;
	request.command.nr_entries = 2;
	assert_int_equal(rig_command(rig, request), NO_MEMORY);
	request.entries[1].length--;
	assert_int_equal(rig_command(rig, request), OK);
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(rig_statistics(rig).backing_bytes, 0);
	assert_true(rig_works(rig));
	rig_destroy(rig);
}

static void test_quota_of_maps(void **state)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct rig *rig;
	void *pages;

	limits.maps = 2;
	rig = rig_create_with(&limits, true, 1);
	pages = loopback_alloc(&rig->memory, 4096);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(rig_create_2d(rig, id, XRGB, 1, 1), OK);
	assert_int_equal(rig_attach(rig, 1, pages, 4), OK);
	assert_int_equal(rig_create_blob(rig, 4, 4096, pages, 4096), OK);
	assert_int_equal(rig_attach(rig, 2, pages, 4), NO_MEMORY);
	assert_int_equal(rig_create_blob(rig, 5, 4096, pages, 4096), NO_MEMORY);
	assert_int_equal(rig_detach(rig, 1), OK);
	assert_int_equal(rig_attach(rig, 2, pages, 4), OK);
	assert_int_equal(rig_unref(rig, 4), OK);
	assert_int_equal(rig_statistics(rig).maps, 1);
	assert_int_equal(rig_statistics(rig).resources, 3);
	assert_true(rig_works(rig));
	rig_destroy(rig);
}

/* What a guest has beyond a quota that has become less, it may keep. */
static void test_quotas_that_become_less(void **state)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 3 * 4096);

	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(rig_create_2d(rig, id, XRGB, 16, 16), OK);
	assert_int_equal(rig_attach(rig, 1, pages, 2 * 4096), OK);
	limits.host_bytes = 16 * 16 * 4;
	limits.backing_bytes = 4096;
	gpu_set_limits(rig->device, &limits);
	assert_int_equal(rig_create_2d(rig, 4, XRGB, 1, 1), NO_MEMORY);
	assert_int_equal(rig_attach(rig, 2, pages, 4), NO_MEMORY);
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(rig_attach(rig, 2, pages, 4), OK);
	assert_int_equal(rig_create_2d(rig, 4, XRGB, 1, 1), NO_MEMORY);
	assert_int_equal(rig_unref(rig, 2), OK);
	assert_int_equal(rig_unref(rig, 3), OK);
	assert_int_equal(rig_create_2d(rig, 4, XRGB, 16, 16), OK);
	limits = GPU_LIMITS_DEFAULT;
	limits.resources = 1;
	gpu_set_limits(rig->device, &limits);
	assert_int_equal(rig_create_2d(rig, 5, XRGB, 1, 1), NO_MEMORY);
	assert_int_equal(rig_unref(rig, 4), OK);
	assert_int_equal(rig_create_2d(rig, 5, XRGB, 1, 1), OK);
	assert_int_equal(rig_unref(rig, 5), OK);
	assert_true(rig_works(rig));
}

static void test_million_resources(void **state)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct rig *rig;
	uint32_t id;

	limits.resources = 100000;
	rig = rig_create_with(&limits, true, 1);
	for (id = 1; id <= limits.resources; id++)
		assert_int_equal(rig_create_2d(rig, id * 64, XRGB, 1, 1), OK);
	for (; id <= 110000; id++)
		assert_int_equal(rig_create_2d(rig, id * 64, XRGB, 1, 1), NO_MEMORY);
	/* The rest of the million is refused by the same line of code */
	assert_int_equal(rig_statistics(rig).resources, 100000);
	assert_int_equal(rig_unref(rig, 64), OK);
	assert_true(rig_works(rig));
	rig_destroy(rig); /* and all of them are given back */
}

static void test_reset_gives_everything_back(void **state)
{
	struct rig *rig = *state;
	uint8_t *pages = loopback_alloc(&rig->memory, 1 << 20);
	struct gpu_statistics statistics;

	for (uint32_t id = 1; id <= 100; id++) {
		assert_int_equal(rig_create_2d(rig, id, XRGB, 16, 16), OK);
		assert_int_equal(rig_attach(rig, id, pages + 4096 * id, 4096), OK);
	}
	assert_int_equal(rig_create_blob(rig, 101, 4096, pages, 4096), OK);
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 5, 0, 0, 16, 16), OK);
	rig_reset(rig); /* which checks maps */
	statistics = rig_statistics(rig);
	assert_int_equal(statistics.resources, 0);
	assert_int_equal(statistics.contexts, 0);
	assert_int_equal(statistics.host_bytes, 0);
	assert_int_equal(statistics.backing_bytes, 0);
	assert_null(rig->display.sources[0]);
	rig_start_queues(rig, rig_features());
	assert_true(rig_works(rig));
	assert_int_equal(rig_create_2d(rig, 1, XRGB, 16, 16), OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_resource_id_0_duplicate_and_largest),
		T(test_unknown_resource),
		T(test_size_overflow),
		T(test_3d_size_overflow),
		cmocka_unit_test(test_size_estimates),
		T(test_unknown_format),
		T(test_renderer_errors),
		T(test_nr_entries_wild),
		T(test_entry_of_length_0),
		T(test_entry_outside_of_memory),
		T(test_attach_twice),
		T(test_same_pages_twice),
		T(test_10000_create_attach_detach_unref),
		T(test_blob_sizes),
		T(test_blob_kinds),
		T(test_map_blob_is_refused),
		T(test_blob_without_pages),
		T(test_transfer_to_a_blob_is_nothing),
		T(test_uuid),
		T(test_transfer),
		T(test_transfer_rectangles_that_wrap),
		T(test_transfer_past_the_backing),
		T(test_backing_smaller_than_the_image),
		cmocka_unit_test(test_quota_of_bytes),
		cmocka_unit_test(test_quota_of_pages),
		cmocka_unit_test(test_quota_of_maps),
		T(test_quotas_that_become_less),
		cmocka_unit_test(test_million_resources),
		T(test_reset_gives_everything_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
