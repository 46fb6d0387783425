/* SPDX-License-Identifier: MIT */
/* virtio-gpu: headers, answers, the configuration space, modes, and what is not negotiated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/gpu_rig.h"

#include <cmocka.h>

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

static const struct virtio_gpu_ctrl_hdr get_display_info = { .type =
								 VIRTIO_GPU_CMD_GET_DISPLAY_INFO };

static uint32_t answer_type(const struct rig *rig)
{
	return ((const struct virtio_gpu_ctrl_hdr *)rig->response)->type;
}

/* ---------------------------------------------------------------- headers */

static void test_header_under_24_bytes(void **state)
{
	struct rig *rig = *state;

	for (size_t size = 1; size < sizeof(get_display_info); size++) {
		assert_int_equal(rig_command_on(rig, RIG_CONTROL, &get_display_info, size),
		    VIRTIO_GPU_RESP_ERR_UNSPEC);
		assert_int_equal(rig_command_on(rig, RIG_CURSOR, &get_display_info, size),
		    VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	/* Nothing readable at all */
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get_display_info, 0, 24), 24);
	assert_int_equal(answer_type(rig), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_true(rig_works(rig));
}

static void test_command_shorter_than_its_struct(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[256] = { 0 };
	static const uint32_t types[] = { VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
		VIRTIO_GPU_CMD_RESOURCE_UNREF, VIRTIO_GPU_CMD_SET_SCANOUT,
		VIRTIO_GPU_CMD_RESOURCE_FLUSH, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
		VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
		VIRTIO_GPU_CMD_GET_CAPSET_INFO, VIRTIO_GPU_CMD_GET_CAPSET, VIRTIO_GPU_CMD_GET_EDID,
		VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
		VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, VIRTIO_GPU_CMD_CTX_CREATE,
		VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D,
		VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, VIRTIO_GPU_CMD_SUBMIT_3D,
		VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB, VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		memcpy(bytes, &types[i], sizeof(types[i]));
		assert_int_equal(
		    rig_command_on(rig, RIG_CONTROL, bytes, 28), VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	memcpy(bytes, &(uint32_t){ VIRTIO_GPU_CMD_UPDATE_CURSOR }, 4);
	assert_int_equal(rig_command_on(rig, RIG_CURSOR, bytes, 55), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_true(rig_works(rig));
}

static void test_unknown_types(void **state)
{
	struct rig *rig = *state;
	static const uint32_t types[] = { 0, 1, 0xff, 0x10e, 0x1ff, 0x20a, 0x302, 0x1100, 0x1200,
		0x80000100, UINT32_MAX };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct virtio_gpu_update_cursor command = { .hdr.type = types[i] };

		assert_int_equal(rig_command(rig, command), VIRTIO_GPU_RESP_ERR_UNSPEC);
		assert_int_equal(rig_command_on(rig, RIG_CURSOR, &command, sizeof(command)),
		    VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	assert_int_equal(rig_statistics(rig).errors, 2 * sizeof(types) / sizeof(types[0]));
	assert_true(rig_works(rig));
}

static void test_command_on_the_wrong_queue(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_update_cursor move = { .hdr.type = VIRTIO_GPU_CMD_MOVE_CURSOR };

	assert_int_equal(rig_command(rig, move), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(
	    rig_command_on(rig, RIG_CURSOR, &get_display_info, sizeof(get_display_info)),
	    VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_true(rig_works(rig));
}

static void test_unreadable_request(void **state)
{
	struct rig *rig = *state;

	rig->guest.refuse_reads = true;
	/* The indirect table can't be read either: use the ring alone */
	rig->queues[RIG_CONTROL].indirect = false;
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get_display_info, 24, 24), 24);
	assert_int_equal(answer_type(rig), VIRTIO_GPU_RESP_ERR_UNSPEC);
	rig->guest.refuse_reads = false;
	assert_true(rig_works(rig));
}

static void test_request_over_the_quota(void **state)
{
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct virtio_gpu_ctrl_hdr hdr = {
		.type = VIRTIO_GPU_CMD_SUBMIT_3D, .flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = 77
	};
	uint8_t bytes[8192] = { 0 };
	struct rig *rig;

	limits.command_bytes = 4096;
	rig = rig_create_with(&limits, true, 1);
	memcpy(bytes, &hdr, sizeof(hdr));
	assert_int_equal(
	    rig_command_on(rig, RIG_CONTROL, bytes, 4097), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	/* The driver is told which fence that was */
	memcpy(&hdr, rig->response, sizeof(hdr));
	assert_int_equal(hdr.fence_id, 77);
	assert_int_equal(
	    rig_command_on(rig, RIG_CONTROL, bytes, 4096), VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID);
	assert_true(rig_works(rig));
	rig_destroy(rig);
}

static void test_request_is_copied_once(void **state)
{
	struct rig *rig = *state;
	unsigned long before;

	rig->queues[RIG_CONTROL].indirect = false;
	before = rig->guest.reads;
	assert_true(rig_works(rig));
	assert_int_equal(rig->guest.reads - before, 2);
}

/* ---------------------------------------------------------------- answers */

static void test_response_of_0_to_23_bytes(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_resource_create_2d create = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
		.format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
		.width = 4,
		.height = 4,
	};

	for (uint32_t size = 0; size < 24; size++) {
		create.resource_id = size + 1;
		assert_int_equal(rig_exchange(rig, RIG_CONTROL, &create, sizeof(create), size), 0);
		/* It has been executed all the same */
		assert_int_equal(rig_unref(rig, size + 1), VIRTIO_GPU_RESP_OK_NODATA);
	}
	assert_true(rig_works(rig));
}

static void test_response_buffer_too_small_for_its_data(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_cmd_get_edid edid = { .hdr.type = VIRTIO_GPU_CMD_GET_EDID };
	struct virtio_gpu_get_capset capset = {
		.hdr.type = VIRTIO_GPU_CMD_GET_CAPSET, .capset_id = 1, .capset_version = 1
	};

	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get_display_info, 24,
			     sizeof(struct virtio_gpu_resp_display_info) - 1),
	    24);
	assert_int_equal(answer_type(rig), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_command(rig, edid), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_command(rig, capset), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get_display_info, 24,
			     sizeof(struct virtio_gpu_resp_display_info)),
	    sizeof(struct virtio_gpu_resp_display_info));
	assert_int_equal(answer_type(rig), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

/* An answer in pieces of a byte, one behind the other */
static void test_response_in_small_pieces(void **state)
{
	struct rig *rig = *state;
	struct memory_piece readable, writable[24];
	struct rig_request request = { 0 };
	uint32_t type = 0;

	memcpy(rig->command, &(uint32_t){ 0xdead }, 4);
	memset(rig->command + 4, 0, 20);
	readable = loopback_piece(&rig->memory, rig->command, 24);
	for (unsigned i = 0; i < 24; i++)
		writable[i] = loopback_piece(&rig->memory, rig->response + 3 * (size_t)i, 1);
	loopback_queue_add(&rig->queues[RIG_CONTROL], &readable, 1, writable, 24, &request);
	rig_kick(rig, RIG_CONTROL);
	rig_poll(rig);
	assert_true(request.done);
	assert_int_equal(request.written, 24);
	for (unsigned i = 0; i < 4; i++)
		type |= (uint32_t)rig->response[3 * (size_t)i] << (8 * i);
	assert_int_equal(type, VIRTIO_GPU_RESP_ERR_UNSPEC);
}

static void test_answers_of_a_batch_are_published_together(void **state)
{
	struct rig *rig = *state;
	struct rig_request *requests[100];
	uint64_t calls;

	loopback_queue_enable_calls(&rig->queues[RIG_CONTROL]);
	calls = rig->virtqueues[RIG_CONTROL].calls;
	for (unsigned i = 0; i < 100; i++)
		requests[i] = rig_begin(rig, RIG_CONTROL, &get_display_info, 24,
		    sizeof(struct virtio_gpu_resp_display_info));
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig->virtqueues[RIG_CONTROL].calls - calls, 1);
	rig_poll(rig);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(rig_type(rig, requests[i]), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	}
}

/* ---------------------------------------------------------------- features, configuration */

static void test_features_offered(void **state)
{
	struct rig *rig = *state, *soft = rig_create_with(NULL, false, 1);

	assert_int_equal(rig->device->impl->get_features(rig->device), 0x1f);
	assert_int_equal(soft->device->impl->get_features(soft->device), 0x0e);
	rig_destroy(soft);
}

static uint32_t config_read(struct rig *rig, uint32_t offset)
{
	uint32_t word;

	rig->device->impl->read_config(rig->device, offset, &word, sizeof(word));
	return word;
}

static void test_configuration_space(void **state)
{
	struct rig *rig = *state, *soft = rig_create_with(NULL, false, 16);
	uint8_t bytes[24];

	assert_int_equal(config_read(rig, 8), RIG_SCANOUTS);
	assert_int_equal(config_read(rig, 12), 2);
	assert_int_equal(config_read(soft, 8), 16);
	assert_int_equal(config_read(soft, 12), 0);
	/* Past the end, and beginning inside: zero */
	memset(bytes, 0xff, sizeof(bytes));
	rig->device->impl->read_config(rig->device, 12, bytes, sizeof(bytes));
	assert_int_equal(bytes[0], 2);
	for (unsigned i = 4; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	memset(bytes, 0xff, sizeof(bytes));
	rig->device->impl->read_config(rig->device, UINT32_MAX, bytes, sizeof(bytes));
	for (unsigned i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	rig_destroy(soft);
}

static void test_without_virgl_3d_is_unknown(void **state)
{
	struct rig *rig = rig_create_with(NULL, false, 1);
	struct virtio_gpu_get_capset_info capset = { .hdr.type = VIRTIO_GPU_CMD_GET_CAPSET_INFO };

	/* Not even for a front end that sets what was not offered */
	rig->device->impl->set_features(rig->device, UINT64_MAX);
	assert_int_equal(rig_ctx_create(rig, 1, 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_create_3d(rig, 1, 16, 16), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_submit(rig, 1, 4), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_command(rig, capset), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_true(rig_works(rig));
	rig_destroy(rig);
}

static void test_commands_of_features_not_negotiated(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_cmd_get_edid edid = { .hdr.type = VIRTIO_GPU_CMD_GET_EDID };
	struct virtio_gpu_resource_assign_uuid uuid = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, .resource_id = 1
	};
	void *pages = loopback_alloc(&rig->memory, 4096);

	rig->device->impl->set_features(rig->device, rig_features());
	assert_int_equal(rig_create_2d(rig, 1, 1, 16, 16), VIRTIO_GPU_RESP_OK_NODATA);
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &edid, sizeof(edid), 1056), 24);
	assert_int_equal(answer_type(rig), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &uuid, sizeof(uuid), 40), 24);
	assert_int_equal(answer_type(rig), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_create_blob(rig, 2, 4096, pages, 4096), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(rig_ctx_create(rig, 1, 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_true(rig_works(rig));
}

/* ---------------------------------------------------------------- modes */

static const struct virtio_gpu_resp_display_info *display_info(struct rig *rig)
{
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &get_display_info, sizeof(get_display_info),
			     sizeof(struct virtio_gpu_resp_display_info)),
	    sizeof(struct virtio_gpu_resp_display_info));
	assert_int_equal(answer_type(rig), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	return (const void *)rig->response;
}

static void test_get_display_info(void **state)
{
	struct rig *rig = *state;
	const struct virtio_gpu_resp_display_info *info;

	rig->display.modes[2] = (struct display_mode){
		.enabled = true, .x = 1280, .y = 7, .width = 641, .height = 479
	};
	/* No scan-out of this device */
	rig->display.modes[RIG_SCANOUTS] = (struct display_mode){ .enabled = true, .width = 9 };
	info = display_info(rig);
	assert_int_equal(info->pmodes[0].enabled, 1);
	assert_int_equal(info->pmodes[0].r.width, 1280);
	assert_int_equal(info->pmodes[0].r.height, 800);
	assert_int_equal(info->pmodes[1].enabled, 0);
	assert_int_equal(info->pmodes[2].r.x, 1280);
	assert_int_equal(info->pmodes[2].r.y, 7);
	assert_int_equal(info->pmodes[2].r.width, 641);
	assert_int_equal(info->pmodes[RIG_SCANOUTS].enabled, 0);
	assert_int_equal(info->pmodes[RIG_SCANOUTS].r.width, 0);
	assert_int_equal(rig->display.fresh_asked, 1);
}

static void test_get_edid(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_cmd_get_edid command = { .hdr.type = VIRTIO_GPU_CMD_GET_EDID };
	const struct virtio_gpu_resp_edid *edid = (const void *)rig->response;

	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &command, sizeof(command), sizeof(*edid)),
	    sizeof(*edid));
	assert_int_equal(edid->hdr.type, VIRTIO_GPU_RESP_OK_EDID);
	assert_int_equal(edid->size, 128);
	assert_memory_equal(edid->edid, "\x00\xff\xff\xff\xff\xff\xff\x00", 8);
	assert_int_equal(edid->edid[56] | (edid->edid[58] & 0xf0) << 4, 1280);
	assert_int_equal(edid->edid[59] | (edid->edid[61] & 0xf0) << 4, 800);

	rig->display.modes[0].width = 5120;
	assert_int_equal(rig_exchange(rig, RIG_CONTROL, &command, sizeof(command), sizeof(*edid)),
	    sizeof(*edid));
	assert_int_equal(edid->size, 256);
}

static void test_get_edid_of_scanout_16_and_more(void **state)
{
	struct rig *rig = *state;
	static const uint32_t scanouts[] = { RIG_SCANOUTS, 16, 17, UINT32_MAX };

	for (unsigned i = 0; i < 4; i++) {
		struct virtio_gpu_cmd_get_edid command = { .hdr.type = VIRTIO_GPU_CMD_GET_EDID,
			.scanout = scanouts[i] };

		rig_exchange(rig, RIG_CONTROL, &command, sizeof(command), 1056);
		assert_int_equal(answer_type(rig), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	}
}

static void modes_changed(struct rig *rig)
{
	rig->display.base.listener.modes_changed(rig->display.base.listener.data);
}

static void test_display_event(void **state)
{
	struct rig *rig = *state;

	display_info(rig);
	modes_changed(rig); /* but they have not */
	assert_int_equal(rig->config_changes, 0);
	assert_int_equal(config_read(rig, 0), 0);

	rig->display.modes[0].width = 1920;
	modes_changed(rig);
	assert_int_equal(rig->config_changes, 1);
	assert_int_equal(config_read(rig, 0), VIRTIO_GPU_EVENT_DISPLAY);
	assert_int_equal(display_info(rig)->pmodes[0].r.width, 1920);

	/* Only a write of ones to events_clear clears it */
	rig->device->impl->write_config(rig->device, 0, "\0\0\0\0", 4);
	rig->device->impl->write_config(rig->device, 8, "\1\0\0\0", 4);
	rig->device->impl->write_config(rig->device, 4, "\2\0\0\0", 4);
	rig->device->impl->write_config(rig->device, UINT32_MAX, "\1\1\1\1", 4);
	assert_int_equal(config_read(rig, 0), VIRTIO_GPU_EVENT_DISPLAY);
	assert_int_equal(config_read(rig, 8), RIG_SCANOUTS);
	rig->device->impl->write_config(rig->device, 4, "\1", 1);
	assert_int_equal(config_read(rig, 0), 0);
	assert_int_equal(config_read(rig, 4), 0);
}

static void test_modes_not_known_yet(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_cmd_get_edid get_edid = { .hdr.type = VIRTIO_GPU_CMD_GET_EDID };
	const struct virtio_gpu_resp_display_info *info;
	const struct virtio_gpu_resp_edid *edid;
	struct rig_request *requests[2];

	rig->display.modes_known = false;
	requests[0] = rig_begin(rig, RIG_CONTROL, &get_display_info, 24, sizeof(*info));
	requests[1] = rig_begin(rig, RIG_CONTROL, &get_edid, sizeof(get_edid), sizeof(*edid));
	rig_kick(rig, RIG_CONTROL);
	assert_int_equal(rig_type(rig, requests[0]), RIG_HELD);
	assert_int_equal(rig_type(rig, requests[1]), RIG_HELD);
	assert_true(rig_works(rig)); /* others go on */

	modes_changed(rig); /* still not */
	assert_int_equal(rig_type(rig, requests[0]), RIG_HELD);

	rig->display.modes_known = true;
	rig->display.modes[0].width = 1400;
	modes_changed(rig);
	rig_poll(rig);
	info = (const void *)requests[0]->response;
	edid = (const void *)requests[1]->response;
	assert_int_equal(rig_type(rig, requests[0]), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(requests[0]->written, sizeof(*info));
	assert_int_equal(info->pmodes[0].r.width, 1400);
	assert_int_equal(rig_type(rig, requests[1]), VIRTIO_GPU_RESP_OK_EDID);
	assert_int_equal(edid->edid[56] | (edid->edid[58] & 0xf0) << 4, 1400);
	assert_int_equal(rig->config_changes, 0); /* the driver knows */
}

static void test_modes_not_known_when_the_queue_stops(void **state)
{
	struct rig *rig = *state;
	const struct virtio_gpu_resp_display_info *info;
	struct rig_request *request;

	rig->display.modes_known = false;
	request = rig_begin(rig, RIG_CONTROL, &get_display_info, 24, sizeof(*info));
	rig_kick(rig, RIG_CONTROL);
	rig->device->impl->drain_queue(rig->device, RIG_CURSOR);
	assert_int_equal(rig_type(rig, request), RIG_HELD);
	rig->device->impl->drain_queue(rig->device, RIG_CONTROL);
	rig_poll(rig);
	info = (const void *)request->response;
	assert_int_equal(rig_type(rig, request), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info->pmodes[0].r.width, 1024); /* the specification's fallback */
	assert_int_equal(info->pmodes[0].r.height, 768);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_header_under_24_bytes),
		T(test_command_shorter_than_its_struct),
		T(test_unknown_types),
		T(test_command_on_the_wrong_queue),
		T(test_unreadable_request),
		T(test_request_over_the_quota),
		T(test_request_is_copied_once),
		T(test_response_of_0_to_23_bytes),
		T(test_response_buffer_too_small_for_its_data),
		T(test_response_in_small_pieces),
		T(test_answers_of_a_batch_are_published_together),
		T(test_features_offered),
		T(test_configuration_space),
		T(test_without_virgl_3d_is_unknown),
		T(test_commands_of_features_not_negotiated),
		T(test_get_display_info),
		T(test_get_edid),
		T(test_get_edid_of_scanout_16_and_more),
		T(test_display_event),
		T(test_modes_not_known_yet),
		T(test_modes_not_known_when_the_queue_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
