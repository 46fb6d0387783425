/* SPDX-License-Identifier: MIT */
/*
 * A gpudom-worker as gpudomd starts and watches it: what it writes into its telemetry, and onto its
 * screen, is there while it works, when it has died, and when another one goes on.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/screen.h"
#include "backend/telemetry.h"
#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_virgl.h"
#include "xen/worker_process.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
#define W 320
#define H 200
#define BLUE 0x0000ffu

struct setup {
	char path[512];
	sd_event *event;
	struct log_limit limit;
	struct telemetry *page;
	struct worker_descriptor descriptors[2];
	struct worker_process *process;
	bool gone;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct loopback_backing *backing;
};

static void on_exited(void *data)
{
	((struct setup *)data)->gone = true;
}

static int prepare(void **state)
{
	const struct loopback_options options = { .inflight = true };
	struct setup *setup = calloc(1, sizeof(*setup));

	log_init(LOG_LEVEL_ERROR, NULL);
	loopback_process_path("gpudom-worker", setup->path, sizeof(setup->path));
	assert_true(sd_event_new(&setup->event) >= 0);
	setup->descriptors[0].option = "--telemetry-fd";
	setup->descriptors[1].option = "--screen-fd";
	assert_int_equal(telemetry_create(&setup->page, &setup->descriptors[0].fd), 0);
	assert_int_equal(screen_create(&setup->descriptors[1].fd), 0);
	assert_int_equal(loopback_frontend_init(&setup->frontend, &options), 0);
	setup->backing =
	    loopback_backing_create(&setup->frontend.memory, (size_t)W * H * 4, LOOPBACK_PAGE);
	*state = setup;
	return 0;
}

static int clean_up(void **state)
{
	struct setup *setup = *state;

	worker_process_destroy(setup->process);
	loopback_frontend_disconnect(&setup->frontend);
	loopback_backing_destroy(setup->backing);
	loopback_frontend_finish(&setup->frontend);
	telemetry_close(setup->page);
	close(setup->descriptors[0].fd);
	close(setup->descriptors[1].fd);
	sd_event_unref(setup->event);
	free(setup);
	return 0;
}

static void start(struct setup *setup, const char *renderer)
{
	char *arguments[] = { (char *)renderer, (char *)"--log-level=error", NULL };
	const struct worker_process_options options = {
		.path = setup->path,
		.name = "test",
		.limit = &setup->limit,
		.guest = "test",
		.arguments = arguments,
		.descriptors = setup->descriptors,
		.descriptor_count = 2,
		.cgroup_procs = -1,
		.event = setup->event,
		.exited = on_exited,
		.data = setup,
	};
	int socket;

	setup->gone = false;
	assert_int_equal(worker_process_create(&options, &socket, &setup->process), 0);
	assert_int_equal(loopback_frontend_connect(&setup->frontend, socket), 0);
}

static void kill_worker(struct setup *setup)
{
	worker_process_kill(setup->process);
	while (!setup->gone)
		assert_true(sd_event_run(setup->event, UINT64_MAX) > 0);
	worker_process_destroy(setup->process);
	setup->process = NULL;
	loopback_frontend_disconnect(&setup->frontend);
	memset(setup->frontend.base, 0, sizeof(setup->frontend.base));
}

static const struct telemetry *told(struct setup *setup)
{
	static struct telemetry copy;

	telemetry_read(setup->page, &copy);
	return &copy;
}

static uint64_t told_of(struct setup *setup, uint32_t type)
{
	return told(setup)->by_type[telemetry_command_index(type)];
}

/* An answer is with the driver before the event is over in which it was given. */
static void wait_until_idle(struct setup *setup)
{
	while (__atomic_load_n(&setup->page->busy_since_ns, __ATOMIC_ACQUIRE))
		usleep(1000);
}

static uint32_t seen(struct setup *setup, uint32_t x, uint32_t y)
{
	uint32_t width, height, *pixels, pixel;

	assert_int_equal(
	    screen_capture(setup->descriptors[1].fd, 0, &width, &height, (void **)&pixels), 0);
	assert_int_equal(width, W);
	assert_int_equal(height, H);
	pixel = pixels[y * W + x] & 0xffffff;
	free(pixels);
	return pixel;
}

static void show(struct setup *setup, uint32_t colour)
{
	struct loopback_gpu *gpu = &setup->gpu;

	loopback_backing_fill(setup->backing, colour);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 1, 0, 0, W, H, 0), OK);
	assert_int_equal(loopback_gpu_flush(gpu, 1, 0, 0, W, H), OK);
}

static void it_is_watched_from_birth_to_death_and_beyond(void **state)
{
	struct setup *setup = *state;
	struct loopback_gpu *gpu = &setup->gpu;
	uint64_t commands, frames, started;

	start(setup, "--renderer=soft");
	loopback_gpu_init(gpu, &setup->frontend);
	assert_int_equal(told(setup)->workers, 1);
	assert_int_equal(told(setup)->outputs_count, 1);
	assert_int_equal(told(setup)->command.number, 0);
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, BGRX, W, H), OK);
	assert_int_equal(loopback_gpu_attach_backing(gpu, 1, setup->backing), OK);
	assert_int_equal(loopback_gpu_set_scanout(gpu, 0, 1, 0, 0, W, H), OK);
	show(setup, BLUE);
	show(setup, BLUE);
	assert_int_not_equal(loopback_gpu_unref(gpu, 77), OK);
	wait_until_idle(setup);
	assert_int_equal(seen(setup, W - 1, H - 1), BLUE);
	assert_int_equal(told(setup)->counters.commands, 8);
	assert_int_equal(told(setup)->counters.errors, 1);
	assert_int_equal(told(setup)->counters.log_lines, 1);
	assert_int_equal(told(setup)->counters.transfer_bytes, 2 * W * H * 4);
	assert_true(told(setup)->counters.readback_bytes >= 2 * W * H * 4);
	assert_int_equal(told_of(setup, VIRTIO_GPU_CMD_RESOURCE_FLUSH), 2);
	assert_int_equal(told(setup)->outputs[0].flushes, 2);
	assert_int_equal(told(setup)->outputs[0].frames, 2);
	assert_int_equal(told(setup)->outputs[0].intervals.count, 1);
	assert_int_equal(told(setup)->outputs[0].on, 1);
	assert_int_equal(told(setup)->outputs[0].width, W);
	assert_int_equal(told(setup)->levels.resources, 1);
	commands = told(setup)->counters.commands;
	frames = told(setup)->outputs[0].frames;
	started = told(setup)->started_ns;

	kill_worker(setup);
	assert_int_equal(seen(setup, 0, 0), BLUE);
	assert_int_equal(told(setup)->counters.commands, commands);
	assert_int_equal(told(setup)->command.type, VIRTIO_GPU_CMD_RESOURCE_UNREF);

	/* The next one goes on with both. */
	start(setup, "--renderer=soft");
	assert_int_equal(told(setup)->workers, 2);
	assert_true(told(setup)->started_ns > started);
	show(setup, 0x00ff00);
	wait_until_idle(setup);
	assert_int_equal(seen(setup, 5, 5), 0x00ff00);
	assert_int_equal(told(setup)->counters.commands, commands + 2);
	assert_int_equal(told(setup)->outputs[0].frames, frames + 1);
	assert_int_equal(told(setup)->levels.resources, 1);
}

/* In the middle of a command, which the outside can see. */
static void it_hangs_in_a_command(void **state)
{
	struct setup *setup = *state;
	struct loopback_gpu *gpu = &setup->gpu;
	struct loopback_request *submit;
	struct loopback_virgl virgl;

	start(setup, "--renderer=virgl");
	loopback_gpu_init(gpu, &setup->frontend);
	assert_int_equal(loopback_gpu_ctx_create(gpu, 3, 0, "test"), OK);
	assert_int_equal(virgl_create_target(gpu, 10, BGRA, 2048, 2048), OK);
	assert_int_equal(virgl_create_buffer(gpu, 11, 96), OK);
	assert_int_equal(loopback_gpu_ctx_attach(gpu, 3, 10), OK);
	assert_int_equal(loopback_gpu_ctx_attach(gpu, 3, 11), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 10, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	for (unsigned i = 0; i < 4; i++)
		virgl_draw_endless(&virgl, 10 + 10 * i, 11, 2048, 2048);
	loopback_gpu_fence_next(gpu, 1);
	submit = loopback_gpu_begin_submit_3d(gpu, 3, virgl.words, virgl.count);
	loopback_gpu_kick(gpu, LOOPBACK_GPU_CONTROL);
	/* In the command, or waiting for its fence: it is busy with one or the other. */
	while (!told(setup)->gpu_since_ns && !told(setup)->command.executing)
		usleep(1000);
	kill_worker(setup);
	assert_int_equal(told(setup)->command.type, VIRTIO_GPU_CMD_SUBMIT_3D);
	assert_int_equal(told(setup)->command.ctx_id, 3);
	assert_int_equal(told(setup)->command.number, 6);
	assert_true(told(setup)->command.executing || told(setup)->gpu_since_ns);
	loopback_gpu_end(gpu, submit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    it_is_watched_from_birth_to_death_and_beyond, prepare, clean_up),
		cmocka_unit_test_setup_teardown(it_hangs_in_a_command, prepare, clean_up),
	};
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
