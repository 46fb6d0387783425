/* SPDX-License-Identifier: MIT */
/* virtio-gpu: contexts, command streams, 3D transfers and capability sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/gpu_rig.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define UNSPEC VIRTIO_GPU_RESP_ERR_UNSPEC
#define NO_MEMORY VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
#define BAD_RESOURCE VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
#define BAD_CONTEXT VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID
#define BAD_PARAMETER VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER

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

static uint32_t answer_type(const struct rig *rig)
{
	return ((const struct virtio_gpu_ctrl_hdr *)rig->response)->type;
}

/* ---------------------------------------------------------------- contexts */

static void test_context_0_and_duplicate(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_ctx_create(rig, 0, 0), BAD_CONTEXT);
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_ctx_create(rig, 1, 0), BAD_CONTEXT);
	assert_int_equal(rig_ctx_create(rig, UINT32_MAX, 0), OK);
	assert_int_equal(rig_statistics(rig).contexts, 2);
	assert_int_equal(rig_ctx_destroy(rig, 0), BAD_CONTEXT);
	assert_int_equal(rig_ctx_destroy(rig, 2), BAD_CONTEXT);
	assert_int_equal(rig_ctx_destroy(rig, 1), OK);
	assert_int_equal(rig_ctx_destroy(rig, 1), BAD_CONTEXT);
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_true(rig_works(rig));
}

static void test_context_init(void **state)
{
	struct rig *rig = *state;
	uint64_t features = rig->device->impl->get_features(rig->device);

	assert_int_equal(rig_ctx_create(rig, 1, 2), OK);
	assert_int_equal(rig->renderer.last_capset_id, 2);
	assert_int_equal(rig_ctx_create(rig, 2, 0xabcdef00), OK); /* only the lower 8 bits */
	assert_int_equal(rig->renderer.last_capset_id, 0);
	assert_int_equal(rig_ctx_create(rig, 3, 3), BAD_PARAMETER); /* not offered */
	assert_int_equal(rig_ctx_create(rig, 3, 0xff), BAD_PARAMETER);
	rig->device->impl->set_features(
	    rig->device, features & ~(UINT64_C(1) << VIRTIO_GPU_F_CONTEXT_INIT));
	assert_int_equal(rig_ctx_create(rig, 3, 0xff), OK); /* padding, then */
	assert_int_equal(rig->renderer.last_capset_id, 0);
	assert_true(rig_works(rig));
}

static void test_context_names(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_ctx_create command = {
		.hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = 1 },
		.nlen = UINT32_MAX,
	};

	memset(command.debug_name, 'x', sizeof(command.debug_name));
	assert_int_equal(rig_command(rig, command), OK);
	assert_int_equal(strlen(rig->renderer.last_name), 63);
	command.hdr.ctx_id = 2;
	command.nlen = 9;
	memcpy(command.debug_name, "a\nb\x1b[\xff%n/", 9);
	assert_int_equal(rig_command(rig, command), OK);
	assert_string_equal(rig->renderer.last_name, "a?b?[?%n/");
	command.hdr.ctx_id = 3;
	command.nlen = 0;
	memset(rig->renderer.last_name, 0, sizeof(rig->renderer.last_name));
	assert_int_equal(rig_command(rig, command), OK);
	assert_string_equal(rig->renderer.last_name, "");
}

static void test_context_quota_and_failure(void **state)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct rig *rig;

	limits.contexts = 3;
	rig = rig_create_with(&limits, true, 1);
	rig->renderer.next_error = -ENOMEM;
	assert_int_equal(rig_ctx_create(rig, 1, 0), NO_MEMORY);
	rig->renderer.next_error = -EINVAL;
	assert_int_equal(rig_ctx_create(rig, 1, 0), BAD_PARAMETER);
	assert_int_equal(rig_statistics(rig).contexts, 0);
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(rig_ctx_create(rig, id, 0), OK);
	assert_int_equal(rig_ctx_create(rig, 4, 0), NO_MEMORY);
	assert_int_equal(rig_ctx_destroy(rig, 2), OK);
	assert_int_equal(rig_ctx_create(rig, 4, 0), OK);
	rig_destroy(rig);
}

static uint32_t ctx_resource(struct rig *rig, uint32_t type, uint32_t ctx_id, uint32_t id)
{
	struct virtio_gpu_ctx_resource command = { .hdr = { .type = type, .ctx_id = ctx_id },
		.resource_id = id };

	return rig_command(rig, command);
}

static void test_attach_and_detach_resource(void **state)
{
	struct rig *rig = *state;
	const uint32_t attach = VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE;
	const uint32_t detach = VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE;

	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_create_3d(rig, 5, 16, 16), OK);
	assert_int_equal(ctx_resource(rig, attach, 2, 5), BAD_CONTEXT);
	assert_int_equal(ctx_resource(rig, attach, 0, 5), BAD_CONTEXT);
	assert_int_equal(ctx_resource(rig, attach, 1, 6), BAD_RESOURCE);
	assert_int_equal(ctx_resource(rig, attach, 1, 0), BAD_RESOURCE);
	assert_int_equal(ctx_resource(rig, attach, 1, 5), OK);
	assert_int_equal(ctx_resource(rig, attach, 1, 5), OK);
	rig->renderer.next_error = -EINVAL;
	assert_int_equal(ctx_resource(rig, attach, 1, 5), BAD_PARAMETER);
	assert_int_equal(rig_statistics(rig).attachments, 1);
	assert_int_equal(rig_create_3d(rig, 7, 16, 16), OK);
	rig->renderer.next_error = -EINVAL;
	assert_int_equal(ctx_resource(rig, attach, 1, 7), BAD_PARAMETER);
	assert_int_equal(rig_statistics(rig).attachments, 1);
	assert_int_equal(ctx_resource(rig, detach, 2, 5), BAD_CONTEXT);
	assert_int_equal(ctx_resource(rig, detach, 1, 6), BAD_RESOURCE);
	assert_int_equal(ctx_resource(rig, detach, 1, 5), OK);
	assert_int_equal(ctx_resource(rig, detach, 1, 5), OK);
	assert_int_equal(rig_statistics(rig).attachments, 0);
	assert_true(rig_works(rig));
}

/* Each pair counts, until either of the two goes. */
static void test_attachment_quota(void **state)
{
	const uint32_t attach = VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE;
	const uint32_t detach = VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE;
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct rig *rig;

	limits.attachments = 4;
	rig = rig_create_with(&limits, true, 1);
	for (uint32_t id = 1; id <= 3; id++) {
		assert_int_equal(rig_ctx_create(rig, id, 0), OK);
		assert_int_equal(rig_create_3d(rig, id, 16, 16), OK);
	}
	for (uint32_t id = 1; id <= 3; id++)
		assert_int_equal(ctx_resource(rig, attach, 1, id), OK);
	assert_int_equal(ctx_resource(rig, attach, 2, 1), OK);
	assert_int_equal(rig->renderer.ctx_attaches, 4);
	assert_int_equal(ctx_resource(rig, attach, 2, 2), NO_MEMORY);
	assert_int_equal(rig->renderer.ctx_attaches, 4);
	assert_int_equal(ctx_resource(rig, attach, 2, 1), OK); /* is so already */
	assert_int_equal(rig_unref(rig, 1), OK);               /* two of them */
	assert_int_equal(rig_statistics(rig).attachments, 2);
	assert_int_equal(ctx_resource(rig, attach, 2, 2), OK);
	assert_int_equal(ctx_resource(rig, attach, 2, 3), OK);
	assert_int_equal(ctx_resource(rig, attach, 3, 3), NO_MEMORY);
	assert_int_equal(rig_ctx_destroy(rig, 1), OK); /* two more */
	assert_int_equal(ctx_resource(rig, attach, 3, 3), OK);
	assert_int_equal(ctx_resource(rig, detach, 3, 3), OK);
	assert_int_equal(rig_statistics(rig).attachments, 2);
	rig_reset(rig);
	assert_int_equal(rig_statistics(rig).attachments, 0);
	rig_destroy(rig);
}

/* ---------------------------------------------------------------- submit */

static void test_submit(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_submit(rig, 1, 12), OK);
	assert_int_equal(rig->renderer.submits, 1);
	assert_int_equal(rig->renderer.last_submit_size, 12);
	assert_int_equal(rig->renderer.last_words[0], 0x11111111);
	assert_int_equal(rig->renderer.last_words[2], 0x33333333);
	rig->renderer.next_error = -EINVAL;
	assert_int_equal(rig_submit(rig, 1, 12), BAD_PARAMETER);
	assert_int_equal(rig_submit(rig, 2, 12), BAD_CONTEXT);
	assert_int_equal(rig_submit(rig, 0, 12), BAD_CONTEXT);
	assert_true(rig_works(rig));
}

static void test_submit_size_wild(void **state)
{
	struct rig *rig = *state;
	static const uint32_t sizes[] = { 1, 2, 3, 5, 15, 17, 20, 4096, 0x7ffffffc, 0x80000000,
		UINT32_MAX - 3, UINT32_MAX };

	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(rig_submit(rig, 1, sizes[i]), BAD_PARAMETER);
	assert_int_equal(rig->renderer.submits, 0);
	assert_int_equal(rig_submit(rig, 1, 16), OK); /* the whole payload */
	assert_int_equal(rig_submit(rig, 1, 0), OK);
	assert_int_equal(rig->renderer.submits, 1);
	assert_true(rig_works(rig));
}

static void test_submit_of_a_large_payload(void **state)
{
	struct rig *rig = *state;
	const size_t words = 200000;
	struct virtio_gpu_cmd_submit command = {
		.hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 1 }, .size = 4 * 200000
	};
	uint8_t *bytes = calloc(1, sizeof(command) + 4 * words);

	memcpy(bytes, &command, sizeof(command));
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_command_on(rig, RIG_CONTROL, bytes, sizeof(command) + 4 * words), OK);
	assert_int_equal(rig->renderer.last_submit_size, 4 * words);
	free(bytes);
}

/* ---------------------------------------------------------------- transfers */

static struct virtio_gpu_transfer_host_3d transfer(uint32_t type, uint32_t ctx_id, uint32_t id)
{
	return (struct virtio_gpu_transfer_host_3d){
		.hdr = { .type = type, .ctx_id = ctx_id },
		.box = { .w = 16, .h = 16, .d = 1 },
		.resource_id = id,
	};
}

static void test_3d_transfers(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_transfer_host_3d command =
	    transfer(VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, 1, 5);
	const struct renderer_transfer *seen = &rig->renderer.last_transfer;
	void *pages = loopback_alloc(&rig->memory, 4096);

	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_create_3d(rig, 5, 16, 16), OK);
	assert_int_equal(rig_command(rig, command), UNSPEC); /* no backing */
	assert_int_equal(rig_attach(rig, 5, pages, 4096), OK);
	command.box = (struct virtio_gpu_box){ 1, 2, 3, 4, 5, 6 };
	command.offset = 4096;
	command.stride = 77;
	command.layer_stride = 88;
	assert_int_equal(rig_command(rig, command), OK);
	assert_int_equal(rig->renderer.transfers_to, 1);
	assert_int_equal(seen->ctx_id, 1);
	assert_memory_equal(&seen->box, &command.box, sizeof(seen->box));
	assert_int_equal(seen->offset, 4096);
	assert_int_equal(seen->stride, 77);
	assert_int_equal(seen->layer_stride, 88);
	command.hdr.type = VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D;
	assert_int_equal(rig_command(rig, command), OK);
	assert_int_equal(rig->renderer.transfers_from, 1);
	assert_int_equal(rig->renderer.transfers_to, 1);
	rig->renderer.next_error = -EINVAL;
	assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
}

static void test_3d_transfers_wild(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 4096);
	static const uint32_t types[] = { VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
		VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D };

	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_create_3d(rig, 5, 16, 16), OK);
	assert_int_equal(rig_attach(rig, 5, pages, 1024), OK);
	for (unsigned i = 0; i < 2; i++) {
		struct virtio_gpu_transfer_host_3d command = transfer(types[i], 1, 5);

		command.box.w = 17;
		assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
		command.box.x = UINT32_MAX;
		command.box.w = 2;
		assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
		command.box = (struct virtio_gpu_box){ .y = UINT32_MAX, .w = 1, .h = 1, .d = 1 };
		assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
		command.box = (struct virtio_gpu_box){ .z = 2, .w = 1, .h = 1, .d = UINT32_MAX };
		assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
		command = transfer(types[i], 1, 5);
		command.level = 1;
		assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
		command.level = UINT32_MAX;
		assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
		command = transfer(types[i], 1, 5);
		command.offset = 1025;
		assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
		command.offset = UINT64_MAX;
		assert_int_equal(rig_command(rig, command), BAD_PARAMETER);
		command = transfer(types[i], 0, 5);
		assert_int_equal(rig_command(rig, command), BAD_CONTEXT);
		command = transfer(types[i], 1, 6);
		assert_int_equal(rig_command(rig, command), BAD_RESOURCE);
	}
	assert_int_equal(rig->renderer.transfers_to + rig->renderer.transfers_from, 0);
	assert_true(rig_works(rig));
}

/* ---------------------------------------------------------------- capability sets */

static void test_capsets(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_get_capset_info get_info = { .hdr.type = VIRTIO_GPU_CMD_GET_CAPSET_INFO };
	struct virtio_gpu_get_capset get = {
		.hdr.type = VIRTIO_GPU_CMD_GET_CAPSET, .capset_id = 2, .capset_version = 2
	};
	const struct virtio_gpu_resp_capset_info *info = (const void *)rig->response;
	const struct virtio_gpu_resp_capset *capset = (const void *)rig->response;
	const uint32_t size = sizeof(*capset) + FAKE_CAPSET_SIZE + 1;

	for (uint32_t i = 0; i < 2; i++) {
		get_info.capset_index = i;
		assert_int_equal(
		    rig_exchange(rig, RIG_CONTROL, &get_info, sizeof(get_info), sizeof(*info)),
		    sizeof(*info));
		assert_int_equal(info->hdr.type, VIRTIO_GPU_RESP_OK_CAPSET_INFO);
		assert_int_equal(info->capset_id, i + 1);
		assert_int_equal(info->capset_max_version, i + 1);
		assert_int_equal(info->capset_max_size, FAKE_CAPSET_SIZE + i);
	}
	/* Leave something in the device's buffer */
	assert_int_equal(
	    rig_exchange(rig, RIG_CONTROL,
		&(struct virtio_gpu_cmd_get_edid){ .hdr.type = VIRTIO_GPU_CMD_GET_EDID },
		sizeof(struct virtio_gpu_cmd_get_edid), 1056),
	    1056);
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get, sizeof(get), size), size);
	assert_int_equal(capset->hdr.type, VIRTIO_GPU_RESP_OK_CAPSET);
	assert_int_equal(capset->capset_data[0], 0xc2);
	assert_int_equal(capset->capset_data[7], 0xc2);
	/* What the renderer did not fill is zero, not what was there before */
	for (uint32_t i = 8; i < FAKE_CAPSET_SIZE + 1; i++)
		assert_int_equal(capset->capset_data[i], 0);
}

static void test_capset_index_and_version_wild(void **state)
{
	struct rig *rig = *state;
	static const uint32_t wild[] = { 2, 3, 16, 0x80000000, UINT32_MAX };
	struct virtio_gpu_get_capset get = { .hdr.type = VIRTIO_GPU_CMD_GET_CAPSET };

	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		struct virtio_gpu_get_capset_info get_info = {
			.hdr.type = VIRTIO_GPU_CMD_GET_CAPSET_INFO, .capset_index = wild[i]
		};

		rig_exchange(rig, RIG_CONTROL, &get_info, sizeof(get_info), 1024);
		assert_int_equal(answer_type(rig), BAD_PARAMETER);
		get.capset_id = 1;
		get.capset_version = wild[i];
		assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get, sizeof(get), 1024), 24);
		assert_int_equal(answer_type(rig), BAD_PARAMETER);
		get.capset_id = wild[i] == 2 ? 0 : wild[i];
		get.capset_version = 1;
		assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get, sizeof(get), 1024), 24);
		assert_int_equal(answer_type(rig), BAD_PARAMETER);
	}
	/* The renderer refuses */
	get.capset_id = 1;
	get.capset_version = 0;
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get, sizeof(get), 1024), 24);
	assert_int_equal(answer_type(rig), BAD_PARAMETER);
	assert_true(rig_works(rig));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_context_0_and_duplicate),
		T(test_context_init),
		T(test_context_names),
		cmocka_unit_test(test_context_quota_and_failure),
		T(test_attach_and_detach_resource),
		cmocka_unit_test(test_attachment_quota),
		T(test_submit),
		T(test_submit_size_wild),
		T(test_submit_of_a_large_payload),
		T(test_3d_transfers),
		T(test_3d_transfers_wild),
		T(test_capsets),
		T(test_capset_index_and_version_wild),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
