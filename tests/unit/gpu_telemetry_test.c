/* SPDX-License-Identifier: MIT */
/* What the virtio-gpu device tells of itself (backend/telemetry.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backend/gpu_internal.h"
#include "tests/unit/gpu_rig.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
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

static struct telemetry *telemetry_of(struct rig *rig)
{
	return gpu_from_device(rig->device)->telemetry;
}

static uint64_t count_of(struct rig *rig, uint32_t type)
{
	return telemetry_of(rig)->by_type[telemetry_command_index(type)];
}

static struct rig_request *submit(struct rig *rig, uint32_t ctx_id, uint8_t ring)
{
	struct rig_submit command = rig_submit_command(ctx_id, 8);

	command.command.hdr.flags = VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX;
	command.command.hdr.fence_id = 1;
	command.command.hdr.ring_idx = ring;
	return rig_send(rig, RIG_CONTROL, &command, sizeof(command));
}

static void commands_are_counted_by_type(void **state)
{
	static const struct virtio_gpu_ctrl_hdr unknown = { .type = 0x1ff };
	struct rig *rig = *state;
	const struct telemetry *telemetry = telemetry_of(rig);

	assert_int_equal(telemetry->outputs_count, RIG_SCANOUTS);
	assert_int_equal(rig_ctx_create(rig, 3, 0), OK);
	assert_int_equal(rig_submit(rig, 3, 16), OK);
	assert_int_equal(rig_submit(rig, 3, 8), OK);
	assert_int_not_equal(rig_submit(rig, 4, 8), OK);
	rig_send(rig, RIG_CONTROL, &unknown, sizeof(unknown));
	assert_int_equal(count_of(rig, VIRTIO_GPU_CMD_CTX_CREATE), 1);
	assert_int_equal(count_of(rig, VIRTIO_GPU_CMD_SUBMIT_3D), 3);
	assert_int_equal(count_of(rig, unknown.type), 1);
	assert_int_equal(telemetry->counters.submits, 2);
	assert_int_equal(telemetry->counters.command_bytes, 24);
	assert_int_equal(telemetry->counters.commands, 5);
	assert_int_equal(telemetry->counters.errors, 2);
	assert_int_equal(telemetry->counters.refusals, 2);
	assert_int_equal(telemetry->levels.contexts, 1);
	/* The last one that was executed; the unknown one never was. */
	assert_int_equal(telemetry->command.type, VIRTIO_GPU_CMD_SUBMIT_3D);
	assert_int_equal(telemetry->command.ctx_id, 4);
	assert_int_equal(telemetry->command.executing, 0);
}

static void bytes_are_counted(void **state)
{
	struct rig *rig = *state;
	void *pages = loopback_alloc(&rig->memory, 64 * 32 * 4);
	const struct telemetry *telemetry = telemetry_of(rig);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_attach(rig, 1, pages, 64 * 32 * 4), OK);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 64, 32, 0), OK);
	assert_int_equal(rig_transfer_2d(rig, 1, 0, 0, 1, 1, 0), OK);
	assert_int_equal(telemetry->counters.transfer_bytes, 64 * 32 * 4 + 4);
	assert_int_equal(telemetry->levels.resources, 1);
	assert_int_equal(telemetry->levels.host_bytes, rig_statistics(rig).host_bytes);
	assert_int_equal(telemetry->levels.backing_bytes, rig_statistics(rig).backing_bytes);
	rig_reset(rig);
	assert_int_equal(telemetry->levels.resources, 0);
	assert_int_equal(telemetry->levels.backing_bytes, 0);
	rig_start_queues(rig, rig->device->impl->get_features(rig->device) | rig_features());
}

static void fences_are_timed(void **state)
{
	struct rig *rig = *state;
	const struct telemetry *telemetry = telemetry_of(rig);
	uint64_t since, busy;

	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(rig_ctx_create(rig, 2, 0), OK);
	assert_int_equal(telemetry->gpu_since_ns, 0);
	submit(rig, 1, 0);
	since = telemetry->gpu_since_ns;
	assert_int_not_equal(since, 0);
	assert_int_equal(telemetry->levels.fences_pending, 1);
	submit(rig, 2, 0);
	submit(rig, 1, 0);
	assert_int_equal(telemetry->gpu_since_ns, since);
	assert_int_equal(telemetry->fence_latency.count, 0);
	fake_retire(&rig->renderer, 1);
	/* It gets on, and has more to do. */
	assert_true(telemetry->gpu_since_ns > since);
	assert_int_equal(telemetry->fence_latency.count, 1);
	busy = telemetry->counters.gpu_busy_ns;
	assert_int_not_equal(busy, 0);
	fake_retire(&rig->renderer, 2);
	assert_int_equal(telemetry->gpu_since_ns, 0);
	assert_true(telemetry->counters.gpu_busy_ns > busy);
	assert_int_equal(telemetry->fence_latency.count, 3);
	assert_int_equal(telemetry->levels.fences_pending, 0);
	/* A context that goes away waits for nothing any more. */
	submit(rig, 2, 5);
	assert_int_not_equal(telemetry->gpu_since_ns, 0);
	assert_int_equal(rig_ctx_destroy(rig, 2), OK);
	assert_int_equal(telemetry->gpu_since_ns, 0);
	/* Nor does a device that is reset. */
	submit(rig, 1, 1);
	assert_int_not_equal(telemetry->gpu_since_ns, 0);
	rig_reset(rig);
	assert_int_equal(telemetry->gpu_since_ns, 0);
	rig_start_queues(rig, rig->device->impl->get_features(rig->device) | rig_features());
}

static void frames_are_timed(void **state)
{
	struct rig *rig = *state;
	const struct telemetry_output *output = &telemetry_of(rig)->outputs[1];
	struct virtio_gpu_resource_flush command = rig_flush_command(1, 0, 0, 64, 32);

	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(output->on, 0);
	assert_int_equal(rig_set_scanout(rig, 1, 1, 0, 0, 64, 32), OK);
	assert_int_equal(output->on, 1);
	assert_int_equal(output->width, 64);
	assert_int_equal(output->height, 32);
	assert_int_not_equal(output->on_since_ns, 0);
	rig->display.shows_at_once = false;
	rig_send(rig, RIG_CONTROL, &command, sizeof(command));
	rig_send(rig, RIG_CONTROL, &command, sizeof(command));
	assert_int_equal(output->flushes, 2);
	assert_true(output->last_flush_ns >= output->on_since_ns);
	assert_int_equal(output->frames, 0);
	fake_shown(&rig->display, 1);
	fake_shown(&rig->display, 1); /* nothing that was flushed */
	assert_int_equal(output->frames, 1);
	assert_int_equal(output->intervals.count, 0);
	rig_send(rig, RIG_CONTROL, &command, sizeof(command));
	fake_shown(&rig->display, 1);
	assert_int_equal(output->frames, 2);
	assert_int_equal(output->intervals.count, 1);
	assert_int_equal(telemetry_of(rig)->outputs[0].flushes, 0);
	/* From when it was off there is no interval. */
	assert_int_equal(rig_unref(rig, 1), OK);
	assert_int_equal(output->on, 0);
	assert_int_equal(rig_create_2d(rig, 1, XRGB, 64, 32), OK);
	assert_int_equal(rig_set_scanout(rig, 1, 1, 0, 0, 64, 32), OK);
	rig_send(rig, RIG_CONTROL, &command, sizeof(command));
	fake_shown(&rig->display, 1);
	assert_int_equal(output->frames, 3);
	assert_int_equal(output->intervals.count, 1);
}

/* What a predecessor has counted is added to. */
static void a_successor_goes_on_counting(void **unused)
{
	static struct telemetry telemetry = { .counters = { .commands = 1000, .errors = 10 } };
	struct fake_renderer renderer;
	struct fake_display display;
	const struct gpu_options options = {
		.renderer = &renderer.base,
		.display = &display.base,
		.scanouts = 2,
		.limits = GPU_LIMITS_DEFAULT,
		.telemetry = &telemetry,
	};
	struct virtio_device *device;
	struct gpu *gpu;

	fake_renderer_init(&renderer);
	fake_display_init(&display);
	assert_int_equal(gpu_create(&options, &device), 0);
	gpu = gpu_from_device(device);
	gpu_batch_begin(gpu);
	gpu->statistics.commands += 5;
	gpu_batch_end(gpu);
	assert_int_equal(telemetry.counters.commands, 1005);
	assert_int_equal(telemetry.counters.errors, 10);
	assert_int_equal(telemetry.outputs_count, 2);
	device->impl->destroy(device);
	fake_renderer_finish(&renderer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(commands_are_counted_by_type),
		TEST(bytes_are_counted),
		TEST(fences_are_timed),
		TEST(frames_are_timed),
		cmocka_unit_test(a_successor_goes_on_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
