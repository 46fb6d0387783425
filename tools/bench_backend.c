/* SPDX-License-Identifier: MIT */
#include "tools/bench_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/trace.h"
#include "xen/worker_message.h"

/* The ids of what it makes; those of the frames are their enum bench_backing and 1. */
#define CONTEXT 1
#define TARGET 100
#define VERTICES 101
#define OBJECT 10 /* the first of its objects */
#define ARGUMENTS_MAX 8

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Dies where the answer is not what it must be: such times would mean nothing. */
static void expect(
    const struct bench_backend *backend, const char *what, uint32_t type, uint32_t ok)
{
	if (type != ok)
		loopback_die("%s answers %s with 0x%04x", backend->name, what, type);
}

static void make_frame(struct bench_backend *backend, enum bench_backing kind)
{
	size_t chunk = kind == BENCH_CONTIGUOUS ? 0 : LOOPBACK_PAGE;
	uint32_t id = kind + 1;

	backend->backings[kind] =
	    loopback_backing_create(&backend->frontend.memory, BENCH_FRAME_SIZE, chunk);
	loopback_backing_fill(backend->backings[kind], 0x00336699);
	expect(backend, "RESOURCE_CREATE_2D",
	    loopback_gpu_create_2d(
		&backend->gpu, id, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, BENCH_WIDTH, BENCH_HEIGHT),
	    VIRTIO_GPU_RESP_OK_NODATA);
	expect(backend, "RESOURCE_ATTACH_BACKING",
	    loopback_gpu_attach_backing(&backend->gpu, id, backend->backings[kind]),
	    VIRTIO_GPU_RESP_OK_NODATA);
}

static void make_target(struct bench_backend *backend)
{
	static const float red[4] = { 1, 0, 0, 1 };
	struct loopback_virgl *virgl = &backend->frame;
	struct loopback_gpu *gpu = &backend->gpu;

	expect(backend, "CTX_CREATE", loopback_gpu_ctx_create(gpu, CONTEXT, 0, "bench"),
	    VIRTIO_GPU_RESP_OK_NODATA);
	expect(backend, "RESOURCE_CREATE_3D",
	    virgl_create_target(
		gpu, TARGET, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, BENCH_TARGET, BENCH_TARGET),
	    VIRTIO_GPU_RESP_OK_NODATA);
	expect(backend, "RESOURCE_CREATE_3D", virgl_create_buffer(gpu, VERTICES, 96),
	    VIRTIO_GPU_RESP_OK_NODATA);
	loopback_gpu_ctx_attach(gpu, CONTEXT, TARGET);
	loopback_gpu_ctx_attach(gpu, CONTEXT, VERTICES);
	virgl_begin(virgl);
	virgl_create_surface(virgl, 1, TARGET, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	virgl_set_framebuffer(virgl, 1);
	virgl_clear(virgl, red);
	virgl_draw_triangle(virgl, OBJECT, VERTICES, BENCH_TARGET, BENCH_TARGET, red);
	virgl_submit(gpu, CONTEXT, virgl);
	loopback_gpu_set_scanout(gpu, 0, TARGET, 0, 0, BENCH_TARGET, BENCH_TARGET);
	virgl_begin(virgl);
	virgl_clear(virgl, red);
	virgl_draw_again(virgl, BENCH_TARGET, BENCH_TARGET);
}

/* A worker that is traced gets a control socket, and is told at once. */
static int spawn_traced(struct bench_backend *backend)
{
	const struct worker_message message = { .type = WORKER_TRACE_START,
		.size = sizeof(message) };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
			  .cmsg_level = SOL_SOCKET,
			  .cmsg_type = SCM_RIGHTS } };
	struct iovec piece = { (void *)&message, sizeof(message) };
	const struct msghdr packet = { .msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	const char *argv[ARGUMENTS_MAX + 2] = { NULL };
	char option[32];
	int pair[2], ret;

	backend->ring = trace_create_file();
	if (backend->ring < 0)
		return backend->ring;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		return -errno;
	backend->control = pair[0];
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	snprintf(option, sizeof(option), "--control-fd=%d", pair[1]);
	for (unsigned i = 0; i < ARGUMENTS_MAX && backend->argv[i]; i++) {
		argv[i] = backend->argv[i];
		argv[i + 1] = option;
	}
	memcpy(CMSG_DATA(&control.header), &backend->ring, sizeof(int));
	ret = sendmsg(pair[0], &packet, MSG_NOSIGNAL) < 0 ? -errno : 0;
	if (ret == 0)
		ret = loopback_process_spawn(&backend->process, argv, false);
	close(pair[1]);
	return ret;
}

int bench_backend_start(struct bench_backend *backend)
{
	struct loopback_options options = {
		.memory_size = 64 << 20,
		.regions = 1,
		.gpu_socket = backend->gpu_socket,
	};
	int ret = backend->traced ? spawn_traced(backend)
				  : loopback_process_spawn(&backend->process, backend->argv, false);

	if (ret < 0)
		goto fail;
	ret = loopback_frontend_init(&backend->frontend, &options);
	if (ret < 0)
		goto end_process;
	ret = loopback_frontend_connect(&backend->frontend, backend->process.socket);
	backend->process.socket = -1;
	if (ret < 0)
		goto finish_frontend;
	loopback_gpu_init(&backend->gpu, &backend->frontend);
	bench_display_info(backend);
	backend->renderer = loopback_process_renderer(&backend->process);
	backend->idle_rss_kib = bench_private_rss_kib(backend->renderer);
	for (unsigned kind = 0; kind < BENCH_BACKINGS; kind++)
		make_frame(backend, kind);
	if (backend->has_3d)
		make_target(backend);
	return 0;

finish_frontend:
	loopback_frontend_finish(&backend->frontend);
end_process:
	loopback_process_end(&backend->process, SIGKILL);
fail:
	fprintf(stderr, "gpudom-bench: cannot start %s (%s): %s\n", backend->name, backend->argv[0],
	    strerror(-ret));
	return ret;
}

void bench_backend_stop(struct bench_backend *backend)
{
	for (unsigned kind = 0; kind < BENCH_BACKINGS; kind++)
		loopback_backing_destroy(backend->backings[kind]);
	loopback_frontend_finish(&backend->frontend);
	/* QEMU's does not end, but spin, when its front end goes away. */
	loopback_process_end(&backend->process, SIGKILL);
}

uint64_t bench_display_info(struct bench_backend *backend)
{
	struct virtio_gpu_resp_display_info info;
	uint64_t start = now_ns();
	uint32_t type = loopback_gpu_get_display_info(&backend->gpu, &info);
	uint64_t end = now_ns();

	expect(backend, "GET_DISPLAY_INFO", type, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	return end - start;
}

uint64_t bench_fenced_submit(struct bench_backend *backend)
{
	loopback_gpu_fence_next(&backend->gpu, ++backend->next_fence);

	uint64_t start = now_ns();
	uint32_t type = loopback_gpu_submit_3d(&backend->gpu, CONTEXT, NULL, 0);
	uint64_t end = now_ns();

	expect(backend, "SUBMIT_3D", type, VIRTIO_GPU_RESP_OK_NODATA);
	if (backend->gpu.response.fence_id != backend->next_fence)
		loopback_die("%s did not wait for the fence", backend->name);
	return end - start;
}

uint64_t bench_draw_frame(struct bench_backend *backend)
{
	uint64_t start = now_ns();

	loopback_gpu_fence_next(&backend->gpu, ++backend->next_fence);
	expect(backend, "SUBMIT_3D", virgl_submit(&backend->gpu, CONTEXT, &backend->frame),
	    VIRTIO_GPU_RESP_OK_NODATA);
	expect(backend, "RESOURCE_FLUSH",
	    loopback_gpu_flush(&backend->gpu, TARGET, 0, 0, BENCH_TARGET, BENCH_TARGET),
	    VIRTIO_GPU_RESP_OK_NODATA);
	return now_ns() - start;
}

uint64_t bench_transfers(struct bench_backend *backend, enum bench_backing backing, unsigned count)
{
	const struct virtio_gpu_transfer_to_host_2d command = {
		.hdr.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
		.r = { .width = BENCH_WIDTH, .height = BENCH_HEIGHT },
		.resource_id = backing + 1,
	};
	struct loopback_request *requests[BENCH_TRANSFERS_MAX];
	uint64_t start = now_ns();

	for (unsigned i = 0; i < count; i++)
		requests[i] = loopback_gpu_begin(&backend->gpu, LOOPBACK_GPU_CONTROL, &command,
		    sizeof(command), NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
	loopback_gpu_kick(&backend->gpu, LOOPBACK_GPU_CONTROL);
	for (unsigned i = 0; i < count; i++)
		if (loopback_gpu_wait(&backend->gpu, requests[i]) < 0)
			loopback_die("%s is silent", backend->name);
	uint64_t end = now_ns();

	for (unsigned i = 0; i < count; i++) {
		expect(backend, "TRANSFER_TO_HOST_2D", loopback_request_type(requests[i]),
		    VIRTIO_GPU_RESP_OK_NODATA);
		loopback_gpu_end(&backend->gpu, requests[i]);
	}
	return end - start;
}

uint64_t bench_memcpy(struct bench_backend *backend, enum bench_backing backing, void *frame)
{
	const struct loopback_backing *from = backend->backings[backing];
	uint8_t *to = frame;
	uint64_t start = now_ns();

	for (size_t i = 0; i < from->count; i++) {
		memcpy(to, from->chunks[i], from->entries[i].length);
		to += from->entries[i].length;
	}
	/* The copy is for its time alone; keep the compiler from seeing that. */
	__asm__ volatile("" : : "r"(frame) : "memory");
	return now_ns() - start;
}

uint64_t bench_private_rss_kib(pid_t pid)
{
	return loopback_process_kib(pid, "VmRSS") - loopback_process_kib(pid, "RssShmem");
}
