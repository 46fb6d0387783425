/* SPDX-License-Identifier: MIT */
/*
 * Frames on the seat: flushes of a whole picture, one after the other, each answered when it is on
 * screen; CPU time of the worker and of the seat by their processes' clocks, and a memcpy() of as
 * many bytes in between.
 */
#include "tools/bench_seat.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/telemetry.h"
#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_seat.h"
#include "tools/bench_report.h"
#include "xen/worker_process.h"

#define WIDTH 1920
#define HEIGHT 1080
#define SIZE ((size_t)WIDTH * HEIGHT * 4)
#define PICTURE 1
#define WARM_UP 12
#define MEMCPY_EACH 4 /* frames between two */
#define PERIOD_MS (1000.0 / 60)
#define OK VIRTIO_GPU_RESP_OK_NODATA

static const struct seat_case {
	const char *name;
	bool blob, copies;
} cases[] = {
	{ "2D", false, false },
	{ "2D, --no-udmabuf", false, true },
	{ "guest blob", true, false },
	{ "guest blob, --no-udmabuf", true, true },
};

struct seat_bench {
	const struct seat_case *of;
	unsigned frames;
	struct loopback_seat *seat;
	pid_t seat_pid;
	sd_event *event;
	struct log_limit limit;
	struct worker_descriptor descriptor;
	struct telemetry *telemetry;
	struct worker_process *process;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct loopback_backing *backing;
	uint64_t fence;
	uint8_t *frame;
	double *shown, *copied; /* microseconds each: flush to answer; a memcpy() */
	unsigned copies;
};

static void expect(const char *what, uint32_t type)
{
	if (type != OK)
		loopback_die("%s is answered with 0x%04x", what, type);
}

static void bench_gone(void *data)
{
	loopback_die("the worker has ended");
}

/* ---------------------------------------------------------------- clocks */

/* Of all threads of a process, nanoseconds. */
static uint64_t cpu_of(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
		loopback_die("cannot read the CPU time of process %d", (int)pid);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* The monitor's, and its child's */
static uint64_t cpu_of_worker(pid_t pid)
{
	const struct loopback_process process = { .pid = pid };
	const pid_t renderer = loopback_process_renderer(&process);

	return cpu_of(pid) + (renderer != pid ? cpu_of(renderer) : 0);
}

/* ---------------------------------------------------------------- frames */

static void bench_set_up(struct seat_bench *bench)
{
	struct loopback_gpu *gpu = &bench->gpu;
	const uint32_t format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM;

	loopback_gpu_init(gpu, &bench->frontend);
	bench->backing = loopback_backing_create(&bench->frontend.memory, SIZE, 64 * LOOPBACK_PAGE);
	loopback_backing_fill(bench->backing, 0x00336699);
	if (bench->of->blob) {
		expect(
		    "RESOURCE_CREATE_BLOB", loopback_gpu_create_blob(gpu, PICTURE, 0,
						VIRTIO_GPU_BLOB_MEM_GUEST, SIZE, bench->backing));
		expect("SET_SCANOUT_BLOB", loopback_gpu_set_scanout_blob(gpu, 0, PICTURE, format,
					       WIDTH, HEIGHT, WIDTH * 4, 0));
		return;
	}
	expect("RESOURCE_CREATE_2D", loopback_gpu_create_2d(gpu, PICTURE, format, WIDTH, HEIGHT));
	expect(
	    "RESOURCE_ATTACH_BACKING", loopback_gpu_attach_backing(gpu, PICTURE, bench->backing));
	expect(
	    "TRANSFER_TO_HOST_2D", loopback_gpu_transfer_2d(gpu, PICTURE, 0, 0, WIDTH, HEIGHT, 0));
	expect("SET_SCANOUT", loopback_gpu_set_scanout(gpu, 0, PICTURE, 0, 0, WIDTH, HEIGHT));
}

static double bench_frame(struct seat_bench *bench)
{
	const uint64_t begin = telemetry_now();

	loopback_gpu_fence_next(&bench->gpu, ++bench->fence);
	expect("RESOURCE_FLUSH", loopback_gpu_flush(&bench->gpu, PICTURE, 0, 0, WIDTH, HEIGHT));
	return (double)(telemetry_now() - begin) / 1e3;
}

/* By ourselves, of the same pages */
static double bench_memcpy(struct seat_bench *bench)
{
	const struct loopback_backing *backing = bench->backing;
	const uint64_t begin = cpu_of(getpid());

	for (size_t i = 0, at = 0; i < backing->count; i++, at += backing->chunk)
		memcpy(bench->frame + at, backing->chunks[i],
		    at + backing->chunk <= SIZE ? backing->chunk : SIZE - at);
	return (double)(cpu_of(getpid()) - begin) / 1e3;
}

static void bench_measure(struct seat_bench *bench)
{
	const pid_t worker = worker_process_pid(bench->process);
	const struct telemetry_output *output = &bench->telemetry->outputs[0];
	uint64_t worker_cpu, seat_cpu, bytes;
	double worker_us, seat_us, memcpy_us;
	char *path;

	for (unsigned i = 0; i < WARM_UP; i++) {
		bench_frame(bench);
		bench_memcpy(bench);
	}
	worker_cpu = cpu_of_worker(worker);
	seat_cpu = cpu_of(bench->seat_pid);
	bytes = output->copied_bytes;
	for (unsigned i = 0; i < bench->frames; i++) {
		bench->shown[i] = bench_frame(bench);
		if (i % MEMCPY_EACH == 0)
			bench->copied[bench->copies++] = bench_memcpy(bench);
	}
	worker_us = (double)(cpu_of_worker(worker) - worker_cpu) / 1e3 / bench->frames;
	seat_us = (double)(cpu_of(bench->seat_pid) - seat_cpu) / 1e3 / bench->frames;
	memcpy_us = bench_quantile(bench->copied, bench->copies, 0.5);
	path = loopback_seat_path(bench->seat, "bench");
	printf("%-26s %9.1f %9.1f %12.0f %9.0f %8.2f %8.2f %8.2f   %s\n", bench->of->name,
	    worker_us, seat_us, (double)(output->copied_bytes - bytes) / bench->frames, memcpy_us,
	    worker_us / memcpy_us,
	    bench_quantile(bench->shown, bench->frames, 0.5) / 1e3 / PERIOD_MS,
	    bench_quantile(bench->shown, bench->frames, 0.99) / 1e3 / PERIOD_MS, path);
	free(path);
}

/* ---------------------------------------------------------------- one path */

static int bench_start(struct seat_bench *bench, const char *worker)
{
	char *arguments[] = { (char *)"--renderer=soft", (char *)"--display=frontend",
		(char *)"--log-level=error",
		(char *)(bench->of->copies ? "--no-udmabuf" : "--log-level=error"), NULL };
	const struct worker_process_options options = { .event = bench->event,
		.path = worker,
		.cgroup_procs = -1,
		.name = "bench",
		.limit = &bench->limit,
		.guest = "bench",
		.arguments = arguments,
		.descriptors = &bench->descriptor,
		.descriptor_count = 1,
		.exited = bench_gone,
		.data = bench };
	int socket, error;

	error = telemetry_create(&bench->telemetry, &bench->descriptor.fd);
	if (!error)
		error = worker_process_create(&options, &socket, &bench->process);
	if (!error)
		error = loopback_frontend_init(&bench->frontend, NULL);
	if (!error)
		error = loopback_frontend_connect(&bench->frontend, socket);
	if (error)
		return error;
	socket = loopback_seat_add(bench->seat, "bench");
	error = loopback_frontend_request(
	    &bench->frontend, VHOST_USER_GPU_SET_SOCKET, NULL, 0, socket, NULL);
	close(socket);
	return error;
}

static int bench_case(const struct seat_case *of, struct loopback_seat *seat, pid_t seat_pid,
    const char *worker, unsigned frames)
{
	struct seat_bench bench = {
		.of = of,
		.frames = frames,
		.seat = seat,
		.seat_pid = seat_pid,
		.descriptor = { "--telemetry-fd", -1 },
		.frame = malloc(SIZE),
		.shown = calloc(frames, sizeof(double)),
		.copied = calloc(frames, sizeof(double)),
	};
	int error =
	    bench.frame && bench.shown && bench.copied ? sd_event_new(&bench.event) : -ENOMEM;

	if (error >= 0)
		error = bench_start(&bench, worker);
	if (!error) {
		bench_set_up(&bench);
		bench_measure(&bench);
	}
	worker_process_destroy(bench.process);
	if (bench.backing) {
		loopback_frontend_disconnect(&bench.frontend);
		loopback_backing_destroy(bench.backing);
		loopback_frontend_finish(&bench.frontend);
	}
	telemetry_close(bench.telemetry);
	if (bench.descriptor.fd >= 0)
		close(bench.descriptor.fd);
	sd_event_unref(bench.event);
	free(bench.frame);
	free(bench.shown);
	free(bench.copied);
	return error;
}

int bench_seat(const char *worker, const char *path, unsigned frames)
{
	struct loopback_seat seat = { .manager = -1 };
	struct stat stat_of;
	sigset_t child;
	pid_t pid;
	int error = 0;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	log_init(LOG_LEVEL_ERROR, NULL);
	if (stat(path, &stat_of) < 0) {
		fprintf(stderr, "gpudom-bench: %s: %s\n", path, strerror(errno));
		return -errno;
	}
	if (S_ISSOCK(stat_of.st_mode))
		loopback_seat_join(&seat, path);
	else
		loopback_seat_run(&seat, path, "1920x1080@60", NULL);
	pid = loopback_seat_pid(&seat);
	printf("%-26s %9s %9s %12s %9s %8s %8s %8s\n%-26s %9s %9s %12s %9s %8s %8s %8s\n",
	    "1920x1080, for each frame", "worker", "seat", "copied", "memcpy", "worker /", "shown,",
	    "shown,", "", "CPU us", "CPU us", "bytes", "CPU us", "memcpy", "p50 [1]", "p99");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]) && !error; i++)
		error = bench_case(&cases[i], &seat, pid, worker, frames);
	printf("[1] from the flush to its answer, in frames of 60 Hz\n");
	if (error)
		fprintf(stderr, "gpudom-bench: %s\n", strerror(-error));
	loopback_seat_stop(&seat, SIGTERM);
	return error;
}
