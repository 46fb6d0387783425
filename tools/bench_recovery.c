/* SPDX-License-Identifier: MIT */
/*
 * Recovery, from SIGKILL to the guest's next frame: gpudomd's way of starting and watching workers
 * (xen/worker_process.h), its files (telemetry, screen, requests in flight), and our own driver as
 * the guest, which knows nothing of the death: its resources are there again.
 */
#include "tools/bench_recovery.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/screen.h"
#include "backend/telemetry.h"
#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_virgl.h"
#include "xen/worker_process.h"

#define WIDTH 1280
#define HEIGHT 720
#define TARGET 1 /* what is shown */
#define CONTEXT 1
#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM

/* From the kill on */
enum phase { GONE, STARTED, READY, FRAME, PHASES };
static const char *const phases[PHASES] = {
	[GONE] = "the old one is gone, and what it had",
	[STARTED] = "the new one is started",
	[READY] = "it has the guest's queues",
	[FRAME] = "the guest's next frame is shown",
};

struct recovery {
	bool virgl;
	sd_event *event;
	struct log_limit limit;
	struct worker_descriptor descriptors[2];
	struct telemetry *telemetry;
	struct worker_process_options options;
	struct worker_process *process;
	bool gone;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct loopback_backing *backing;
	uint64_t fence;
};

static void recovery_gone(void *data)
{
	struct recovery *recovery = data;

	recovery->gone = true;
}

static void expect(const char *what, uint32_t type)
{
	if (type != OK)
		loopback_die("%s is answered with 0x%04x", what, type);
}

/* ---------------------------------------------------------------- the guest */

static void recovery_set_up(struct recovery *recovery)
{
	struct loopback_gpu *gpu = &recovery->gpu;

	loopback_gpu_init(gpu, &recovery->frontend);
	if (recovery->virgl) {
		expect("CTX_CREATE", loopback_gpu_ctx_create(gpu, CONTEXT, 0, "bench"));
		expect("RESOURCE_CREATE_3D", virgl_create_target(gpu, TARGET,
						 VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, WIDTH, HEIGHT));
		expect("CTX_ATTACH_RESOURCE", loopback_gpu_ctx_attach(gpu, CONTEXT, TARGET));
	} else {
		expect(
		    "RESOURCE_CREATE_2D", loopback_gpu_create_2d(gpu, TARGET, BGRX, WIDTH, HEIGHT));
		expect("RESOURCE_ATTACH_BACKING",
		    loopback_gpu_attach_backing(gpu, TARGET, recovery->backing));
	}
	expect("SET_SCANOUT", loopback_gpu_set_scanout(gpu, 0, TARGET, 0, 0, WIDTH, HEIGHT));
}

/* In OpenGL as after a lost context: all objects are made anew. */
static void recovery_draw(struct recovery *recovery)
{
	static const float red[4] = { 1, 0, 0, 1 };
	struct loopback_gpu *gpu = &recovery->gpu;
	struct loopback_virgl virgl;

	if (recovery->virgl) {
		virgl_begin(&virgl);
		virgl_create_surface(&virgl, 1, TARGET, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
		virgl_set_framebuffer(&virgl, 1);
		virgl_clear(&virgl, red);
		loopback_gpu_fence_next(gpu, ++recovery->fence);
		expect("SUBMIT_3D", virgl_submit(gpu, CONTEXT, &virgl));
	} else {
		expect("TRANSFER_TO_HOST_2D",
		    loopback_gpu_transfer_2d(gpu, TARGET, 0, 0, WIDTH, HEIGHT, 0));
	}
	expect("RESOURCE_FLUSH", loopback_gpu_flush(gpu, TARGET, 0, 0, WIDTH, HEIGHT));
}

/* ---------------------------------------------------------------- the worker */

static int recovery_start(struct recovery *recovery, uint64_t *started)
{
	int socket, error;

	recovery->gone = false;
	error = worker_process_create(&recovery->options, &socket, &recovery->process);
	if (error)
		return error;
	*started = telemetry_now();
	return loopback_frontend_connect(&recovery->frontend, socket);
}

static int recovery_once(struct recovery *recovery, uint64_t times[PHASES])
{
	const uint64_t begin = telemetry_now();
	uint64_t at[PHASES];
	int error;

	kill(worker_process_pid(recovery->process), SIGKILL);
	while (!recovery->gone) {
		error = sd_event_run(recovery->event, UINT64_MAX);
		if (error < 0)
			return error;
	}
	at[GONE] = telemetry_now();
	worker_process_destroy(recovery->process);
	recovery->process = NULL;
	loopback_frontend_disconnect(&recovery->frontend);
	memset(recovery->frontend.base, 0, sizeof(recovery->frontend.base));
	error = recovery_start(recovery, &at[STARTED]);
	if (error)
		return error;
	at[READY] = telemetry_now();
	recovery_draw(recovery);
	at[FRAME] = telemetry_now();
	for (unsigned i = 0; i < PHASES; i++)
		times[i] = at[i] - begin;
	return 0;
}

/* ---------------------------------------------------------------- all of it */

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double milliseconds(uint64_t ns)
{
	return (double)ns / 1e6;
}

static void recovery_print(
    const struct recovery *recovery, const uint64_t (*times)[PHASES], unsigned kills)
{
	uint64_t *sorted = malloc(kills * sizeof(*sorted));

	if (!sorted)
		return;
	printf("%s, killed %u times: milliseconds from the kill until%*sp50       p99       max\n",
	    recovery->virgl ? "OpenGL" : "2D", kills, recovery->virgl ? 4 : 8, "");
	for (unsigned phase = 0; phase < PHASES; phase++) {
		for (unsigned i = 0; i < kills; i++)
			sorted[i] = times[i][phase];
		qsort(sorted, kills, sizeof(*sorted), compare);
		printf("  %-52s %9.1f %9.1f %9.1f\n", phases[phase],
		    milliseconds(sorted[(kills - 1) / 2]),
		    milliseconds(sorted[(kills - 1) * 99 / 100]), milliseconds(sorted[kills - 1]));
	}
	free(sorted);
}

static int recovery_open(struct recovery *recovery)
{
	const struct loopback_options loopback = { .inflight = true };
	int error = sd_event_new(&recovery->event);

	if (error < 0)
		return error;
	error = telemetry_create(&recovery->telemetry, &recovery->descriptors[0].fd);
	if (!error)
		error = screen_create(&recovery->descriptors[1].fd);
	if (!error)
		error = loopback_frontend_init(&recovery->frontend, &loopback);
	if (error)
		return error;
	recovery->backing = loopback_backing_create(
	    &recovery->frontend.memory, (size_t)WIDTH * HEIGHT * 4, LOOPBACK_PAGE);
	return recovery->backing ? 0 : -ENOMEM;
}

static void recovery_close(struct recovery *recovery)
{
	worker_process_destroy(recovery->process);
	if (recovery->backing) {
		loopback_frontend_disconnect(&recovery->frontend);
		loopback_backing_destroy(recovery->backing);
		loopback_frontend_finish(&recovery->frontend);
	}
	telemetry_close(recovery->telemetry);
	for (unsigned i = 0; i < 2; i++)
		if (recovery->descriptors[i].fd >= 0)
			close(recovery->descriptors[i].fd);
	sd_event_unref(recovery->event);
}

static int recovery_measure(const char *worker, bool virgl, unsigned kills)
{
	char *arguments[] = { virgl ? (char *)"--renderer=virgl" : (char *)"--renderer=soft",
		(char *)"--refresh=0", (char *)"--log-level=error", NULL };
	struct recovery recovery = {
		.virgl = virgl,
		.descriptors = { { "--telemetry-fd", -1 }, { "--screen-fd", -1 } },
		.options = { .path = worker,
		    .cgroup_procs = -1,
		    .name = "bench",
		    .limit = &recovery.limit,
		    .guest = "bench",
		    .arguments = arguments,
		    .descriptors = recovery.descriptors,
		    .descriptor_count = 2,
		    .exited = recovery_gone,
		    .data = &recovery },
	};
	uint64_t(*times)[PHASES] = calloc(kills, sizeof(*times)), started;
	int error = times ? recovery_open(&recovery) : -ENOMEM;

	recovery.options.event = recovery.event;
	if (!error)
		error = recovery_start(&recovery, &started);
	if (error)
		goto out;
	recovery_set_up(&recovery);
	recovery_draw(&recovery);
	for (unsigned i = 0; i < kills && !error; i++)
		error = recovery_once(&recovery, times[i]);
	if (!error)
		recovery_print(&recovery, (const uint64_t(*)[PHASES])times, kills);
out:
	recovery_close(&recovery);
	free(times);
	if (error)
		fprintf(stderr, "gpudom-bench: %s: %s\n", worker, strerror(-error));
	return error;
}

int bench_recovery(const char *worker, unsigned kills)
{
	sigset_t child;
	int error;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	log_init(LOG_LEVEL_ERROR, NULL);
	error = recovery_measure(worker, false, kills);
	return error ? error : recovery_measure(worker, true, kills);
}
