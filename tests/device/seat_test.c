/* SPDX-License-Identifier: MIT */
/* Frames of a guest on the real gpudom-seat, whose screen is memory: each pixel, on each path. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/display_socket.h"
#include "backend/vhost_user_message.h"
#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_seat.h"
#include "tests/loopback/loopback_virgl.h"
#include "tests/loopback/loopback_worker.h"
#include "tests/unit/fake_udmabuf.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
#define RGBX VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM

#define W 640
#define H 480
#define SIZE ((size_t)W * H * 4)

struct rig {
	struct loopback_seat seat;
	struct loopback_process process; /* the worker, or ... */
	struct loopback_worker worker;   /* ... this one in our process */
	bool is_ours;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct fake_udmabuf udmabuf;
	struct telemetry telemetry;
	struct loopback_backing *backings[2];
	uint32_t generation;
};

/* ---------------------------------------------------------------- set-up */

static void set_fd(struct loopback_worker *worker, void *data)
{
	assert_int_equal(display_socket_set_fd(worker->display, *(int *)data), 0);
}

/* As gpudomd does: one end to the seat, the other to the worker */
static void introduce(struct rig *rig)
{
	int fd = loopback_seat_add(&rig->seat, "guest");

	if (rig->is_ours) {
		loopback_worker_call(&rig->worker, set_fd, &fd);
		return;
	}
	assert_int_equal(
	    loopback_frontend_request(&rig->frontend, VHOST_USER_GPU_SET_SOCKET, NULL, 0, fd, NULL),
	    0);
	close(fd);
}

static struct rig *rig_create(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->seat.manager = -1;
	rig->process.socket = -1;
	loopback_seat_start(&rig->seat, "640x480@60", NULL);
	assert_int_equal(loopback_frontend_init(&rig->frontend, NULL), 0);
	return rig;
}

static void connect_guest(struct rig *rig, int fd)
{
	assert_int_equal(loopback_frontend_connect(&rig->frontend, fd), 0);
	loopback_gpu_init(&rig->gpu, &rig->frontend);
	introduce(rig);
}

static int start_process(void **state, const char *renderer)
{
	struct rig *rig = rig_create();
	char path[512];
	const char *const argv[] = { path, "--fd={fd}", renderer, "--display=frontend", NULL };

	loopback_process_path("gpudom-worker", path, sizeof(path));
	assert_int_equal(loopback_process_spawn(&rig->process, argv, true), 0);
	connect_guest(rig, rig->process.socket);
	rig->process.socket = -1;
	*state = rig;
	return 0;
}

static int start_soft(void **state)
{
	return start_process(state, "--renderer=soft");
}

static int start_virgl(void **state)
{
	return start_process(state, "--renderer=virgl");
}

static int start_ours(void **state, bool can_export)
{
	struct rig *rig = rig_create();
	struct loopback_worker_options options = { .display_socket = true,
		.telemetry = &rig->telemetry };

	fake_udmabuf_init(&rig->udmabuf);
	if (can_export)
		options.udmabuf = &rig->udmabuf.base;
	rig->is_ours = true;
	assert_int_equal(loopback_worker_start(&rig->worker, &options), 0);
	connect_guest(rig, rig->worker.socket);
	rig->worker.socket = -1;
	*state = rig;
	return 0;
}

static int start_copying(void **state)
{
	return start_ours(state, false);
}

static int start_exporting(void **state)
{
	return start_ours(state, true);
}

static int stop(void **state)
{
	struct rig *rig = *state;

	for (unsigned i = 0; i < 2; i++)
		if (rig->backings[i])
			loopback_backing_destroy(rig->backings[i]);
	loopback_frontend_finish(&rig->frontend);
	if (rig->is_ours)
		loopback_worker_stop(&rig->worker);
	else
		loopback_process_end(&rig->process, SIGKILL);
	loopback_seat_stop(&rig->seat, SIGTERM);
	free(rig);
	return 0;
}

/* ---------------------------------------------------------------- the guest */

static uint32_t pattern(const struct rig *rig, size_t i)
{
	return ((uint32_t)i * 2654435761u + rig->generation * 40503u) >> 8;
}

/* Another picture in the backing of resource @id (1 or 2) */
static void paint(struct rig *rig, uint32_t id)
{
	rig->generation++;
	for (size_t i = 0; i < SIZE / 4; i++)
		loopback_backing_set(rig->backings[id - 1], i * 4, pattern(rig, i));
}

static void make(struct rig *rig, uint32_t id, uint32_t format)
{
	rig->backings[id - 1] =
	    loopback_backing_create(&rig->frontend.memory, SIZE, 16 * LOOPBACK_PAGE);
	assert_int_equal(loopback_gpu_create_2d(&rig->gpu, id, format, W, H), OK);
	assert_int_equal(loopback_gpu_attach_backing(&rig->gpu, id, rig->backings[id - 1]), OK);
}

static void transfer(struct rig *rig, uint32_t id)
{
	assert_int_equal(loopback_gpu_transfer_2d(&rig->gpu, id, 0, 0, W, H, 0), OK);
}

static void flush_rect(
    struct rig *rig, uint32_t id, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	loopback_gpu_fence_next(&rig->gpu, rig->generation);
	assert_int_equal(loopback_gpu_flush(&rig->gpu, id, x, y, width, height), OK);
}

/* Answered when it is on screen */
static void flush(struct rig *rig, uint32_t id)
{
	flush_rect(rig, id, 0, 0, W, H);
}

static void scan_out(struct rig *rig, uint32_t id)
{
	assert_int_equal(loopback_gpu_set_scanout(&rig->gpu, 0, id, 0, 0, W, H), OK);
}

static void assert_seen(struct rig *rig)
{
	uint32_t *seen = loopback_seat_capture(&rig->seat, "guest", W, H);

	for (size_t i = 0; i < SIZE / 4; i++)
		if (seen[i] != (pattern(rig, i) & 0xffffff))
			fail_msg("pixel %zu, %zu is %06x, not %06x", i % W, i / W, seen[i],
			    pattern(rig, i) & 0xffffff);
	free(seen);
}

static void assert_path(struct rig *rig, const char *prefix)
{
	char *path = loopback_seat_path(&rig->seat, "guest");

	if (strncmp(path, prefix, strlen(prefix)) != 0)
		fail_msg("the path is '%s', not '%s'", path, prefix);
	free(path);
}

/* Two pictures on one resource, and then flips between two: whatever the path */
static void show_frames(struct rig *rig, const char *path)
{
	make(rig, 1, BGRX);
	make(rig, 2, BGRX);
	scan_out(rig, 1);
	for (unsigned i = 0; i < 5; i++) {
		paint(rig, 1);
		transfer(rig, 1);
		flush(rig, 1);
		assert_seen(rig);
	}
	assert_path(rig, path);
	for (uint32_t i = 0; i < 6; i++) {
		const uint32_t id = 2 - i % 2;

		paint(rig, id);
		transfer(rig, id);
		scan_out(rig, id);
		flush(rig, id);
		assert_seen(rig);
	}
	assert_path(rig, path);
}

/* ---------------------------------------------------------------- tests */

static void frames_are_seen(void **state)
{
	show_frames(*state, "one copy");
}

static void frames_are_seen_without_a_copy(void **state)
{
	struct rig *rig = *state;

	show_frames(rig, "zero copy");
	assert_int_equal(rig->udmabuf.created, 2);
	assert_int_equal(rig->telemetry.outputs[0].copied_bytes, 0);
	assert_int_equal(rig->telemetry.outputs[0].path, DISPLAY_PATH_ZERO_COPY);
	assert_int_equal(rig->telemetry.outputs[0].path_reason, 0);
}

static void other_formats_are_seen(void **state)
{
	struct rig *rig = *state;
	uint32_t *seen;

	make(rig, 1, RGBX);
	loopback_backing_fill(rig->backings[0], 0x00112233);
	transfer(rig, 1);
	scan_out(rig, 1);
	flush(rig, 1);
	seen = loopback_seat_capture(&rig->seat, "guest", W, H);
	assert_int_equal(seen[0], 0x332211);
	assert_int_equal(seen[SIZE / 4 - 1], 0x332211);
	free(seen);
}

static void only_the_damage_is_copied(void **state)
{
	struct rig *rig = *state;
	const struct telemetry_output *output = &rig->telemetry.outputs[0];
	uint64_t before;

	make(rig, 1, BGRX);
	scan_out(rig, 1);
	for (unsigned i = 0; i < 4; i++) {
		paint(rig, 1);
		transfer(rig, 1);
		flush(rig, 1);
	}
	assert_seen(rig);
	/* Each buffer has had it before it is counted. */
	for (unsigned i = 0; i < 20; i++) {
		for (unsigned y = 100; y < 116; y++)
			for (unsigned x = 33; x < 49; x++)
				loopback_backing_set(rig->backings[0], (size_t)(y * W + x) * 4,
				    pattern(rig, y * W + x));
		transfer(rig, 1);
		before = output->copied_bytes;
		flush_rect(rig, 1, 33, 100, 16, 16);
		if (i >= 3)
			assert_int_equal(output->copied_bytes - before, 16 * 16 * 4);
	}
	assert_seen(rig);
	assert_int_equal(output->path, DISPLAY_PATH_ONE_COPY);
	assert_int_equal(output->path_reason, ENOTSUP);
}

static void blobs_are_seen(void **state)
{
	struct rig *rig = *state;

	rig->backings[0] = loopback_backing_create(&rig->frontend.memory, SIZE, 16 * LOOPBACK_PAGE);
	assert_int_equal(loopback_gpu_create_blob(
			     &rig->gpu, 1, 0, VIRTIO_GPU_BLOB_MEM_GUEST, SIZE, rig->backings[0]),
	    OK);
	paint(rig, 1);
	assert_int_equal(loopback_gpu_set_scanout_blob(&rig->gpu, 0, 1, BGRX, W, H, W * 4, 0), OK);
	flush(rig, 1);
	assert_seen(rig);
	paint(rig, 1);
	flush(rig, 1);
	assert_seen(rig);
}

static void rendered_frames_are_seen(void **state)
{
	struct rig *rig = *state;
	static const float colours[2][4] = { { 0, 0, 1, 1 }, { 1, 0, 0, 1 } };
	static const uint32_t pixels[2] = { 0x0000ff, 0xff0000 };
	struct loopback_virgl virgl;
	uint32_t *seen;

	assert_int_equal(loopback_gpu_ctx_create(&rig->gpu, 1, 0, "test"), OK);
	assert_int_equal(virgl_create_target(&rig->gpu, 1, BGRA, W, H), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&rig->gpu, 1, 1), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 1, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	scan_out(rig, 1);
	for (unsigned i = 0; i < 4; i++) {
		virgl_clear(&virgl, colours[i % 2]);
		assert_int_equal(virgl_submit(&rig->gpu, 1, &virgl), OK);
		rig->generation++;
		flush(rig, 1);
		seen = loopback_seat_capture(&rig->seat, "guest", W, H);
		for (size_t p = 0; p < SIZE / 4; p++)
			assert_int_equal(seen[p], pixels[i % 2]);
		free(seen);
		virgl_begin(&virgl);
	}
}

/* A dumb buffer that a context takes over is elsewhere afterwards, and still seen. */
static void promoted_frames_are_seen(void **state)
{
	struct rig *rig = *state;

	make(rig, 1, BGRX);
	paint(rig, 1);
	transfer(rig, 1);
	scan_out(rig, 1);
	flush(rig, 1);
	assert_seen(rig);
	assert_int_equal(loopback_gpu_ctx_create(&rig->gpu, 1, 0, "test"), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&rig->gpu, 1, 1), OK);
	paint(rig, 1);
	transfer(rig, 1);
	flush(rig, 1);
	assert_seen(rig);
}

static void a_restarted_seat_is_told_all(void **state)
{
	struct rig *rig = *state;

	make(rig, 1, BGRX);
	paint(rig, 1);
	transfer(rig, 1);
	scan_out(rig, 1);
	flush(rig, 1);
	for (unsigned round = 0; round < 2; round++) {
		loopback_seat_stop(&rig->seat, SIGKILL);
		for (unsigned i = 0; i < 100; i++) { /* nobody there: nobody waits */
			paint(rig, 1);
			transfer(rig, 1);
			flush(rig, 1);
			if (i % 10)
				rig->generation--;
		}
		paint(rig, 1);
		transfer(rig, 1);
		loopback_seat_start(&rig->seat, "640x480@60", NULL);
		introduce(rig);
		flush(rig, 1);
		assert_seen(rig);
	}
}

/* In the middle of frames that nobody waits for one by one */
static void a_seat_killed_among_frames_stalls_nobody(void **state)
{
	struct rig *rig = *state;
	struct loopback_request *requests[64];

	make(rig, 1, BGRX);
	paint(rig, 1);
	transfer(rig, 1);
	scan_out(rig, 1);
	for (unsigned i = 0; i < 64; i++) {
		struct virtio_gpu_resource_flush command = { .resource_id = 1,
			.r = { 0, 0, W, H } };

		loopback_gpu_fence_next(&rig->gpu, 100 + i);
		command.hdr = loopback_gpu_header(&rig->gpu, VIRTIO_GPU_CMD_RESOURCE_FLUSH, 0);
		requests[i] = loopback_gpu_begin(&rig->gpu, LOOPBACK_GPU_CONTROL, &command,
		    sizeof(command), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
		loopback_gpu_kick(&rig->gpu, LOOPBACK_GPU_CONTROL);
		if (i == 32)
			loopback_process_end(&rig->seat.process, SIGKILL);
	}
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(loopback_gpu_wait(&rig->gpu, requests[i]), 0);
		assert_int_equal(loopback_request_type(requests[i]), OK);
		loopback_gpu_end(&rig->gpu, requests[i]);
	}
}

static void a_dead_workers_last_frame_stays(void **state)
{
	struct rig *rig = *state;

	make(rig, 1, BGRX);
	paint(rig, 1);
	transfer(rig, 1);
	scan_out(rig, 1);
	flush(rig, 1);
	loopback_process_end(&rig->process, SIGKILL);
	assert_seen(rig);
}

static void modes_reach_the_guest(void **state)
{
	struct rig *rig = *state;
	struct virtio_gpu_resp_display_info info;
	unsigned changes;

	assert_int_equal(
	    loopback_gpu_get_display_info(&rig->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[0].enabled, 1);
	assert_int_equal(info.pmodes[0].r.width, W);
	assert_int_equal(info.pmodes[0].r.height, H);
	loopback_seat_stop(&rig->seat, SIGTERM);
	loopback_seat_start(&rig->seat, "1280x720@60", NULL);
	changes = rig->frontend.config_changes;
	introduce(rig);
	assert_int_equal(loopback_frontend_wait_config(&rig->frontend, changes + 1), 0);
	assert_int_equal(
	    loopback_gpu_get_display_info(&rig->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[0].r.width, 1280);
	/* Another mode, while it runs */
	changes = rig->frontend.config_changes;
	json_object_put(loopback_seat_command(&rig->seat,
	    "{\"command\":\"output\",\"guest\":\"guest\",\"scanout\":0,\"mode\":\"800x600\"}", -1,
	    NULL));
	assert_int_equal(loopback_frontend_wait_config(&rig->frontend, changes + 1), 0);
	assert_int_equal(
	    loopback_gpu_get_display_info(&rig->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[0].r.width, 800);
	assert_int_equal(info.pmodes[0].r.height, 600);
}

#define TEST(name, start) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_are_seen, start_soft),
		TEST(frames_are_seen, start_virgl),
		TEST(frames_are_seen, start_copying),
		TEST(frames_are_seen_without_a_copy, start_exporting),
		TEST(other_formats_are_seen, start_copying),
		TEST(other_formats_are_seen, start_exporting),
		TEST(only_the_damage_is_copied, start_copying),
		TEST(blobs_are_seen, start_soft),
		TEST(rendered_frames_are_seen, start_virgl),
		TEST(promoted_frames_are_seen, start_virgl),
		TEST(a_restarted_seat_is_told_all, start_soft),
		TEST(a_restarted_seat_is_told_all, start_exporting),
		TEST(a_seat_killed_among_frames_stalls_nobody, start_soft),
		TEST(a_dead_workers_last_frame_stays, start_soft),
		TEST(modes_reach_the_guest, start_soft),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
