/* SPDX-License-Identifier: MIT */
/* A vhost-user GPU back end under measurement, with the loopback guest that drives it. */
#ifndef GPUDOM_TOOLS_BENCH_BACKEND_H
#define GPUDOM_TOOLS_BENCH_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_virgl.h"

#define BENCH_TRANSFERS_MAX 32
#define BENCH_WIDTH 1920
#define BENCH_HEIGHT 1080
#define BENCH_TARGET 256 /* pixels a side of what is drawn */
#define BENCH_FRAME_SIZE ((size_t)BENCH_WIDTH * BENCH_HEIGHT * 4)

/* Backing pages of the frames: in one piece, and as a guest's allocator gives them */
enum bench_backing { BENCH_CONTIGUOUS, BENCH_SCATTERED, BENCH_BACKINGS };

struct bench_backend {
	const char *name;
	const char *const *argv; /* "{fd}": loopback_process.h */
	bool gpu_socket;         /* serve it a display socket */
	bool has_3d;
	bool traced; /* let it write a trace all the time */

	int control, ring; /* if traced: our end of --control-fd, and the trace */
	struct loopback_process process;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct loopback_backing *backings[BENCH_BACKINGS];
	struct loopback_virgl frame; /* of bench_draw_frame() */
	uint64_t next_fence;
	pid_t renderer;        /* the process that serves; process.pid, or its child */
	uint64_t idle_rss_kib; /* after the handshake, before any work; of the renderer */
};

/* Starts the process, connects, makes the resources. 0 or -errno (said on standard error). */
int bench_backend_start(struct bench_backend *backend);
void bench_backend_stop(struct bench_backend *backend);

/* One request and its answer, in nanoseconds. */
uint64_t bench_display_info(struct bench_backend *backend);
uint64_t bench_fenced_submit(struct bench_backend *backend);
/* A frame as a guest makes it: a clear and a triangle, in a SUBMIT_3D with a fence, and a flush. */
uint64_t bench_draw_frame(struct bench_backend *backend);
/* @count times TRANSFER_TO_HOST_2D of a whole frame, all in the queue at once. */
uint64_t bench_transfers(struct bench_backend *backend, enum bench_backing backing, unsigned count);
/* One memcpy, by ourselves, of the bytes of such a frame. @frame: BENCH_FRAME_SIZE bytes. */
uint64_t bench_memcpy(struct bench_backend *backend, enum bench_backing backing, void *frame);

/* VmRSS without the guest's pages (RssShmem), which are not the back end's. */
uint64_t bench_private_rss_kib(pid_t pid);

#endif
