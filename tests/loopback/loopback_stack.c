/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_stack.h"

#include <stdlib.h>
#include <string.h>

struct loopback_stack *loopback_stack_start(
    const struct loopback_worker_options *worker, const struct loopback_options *frontend)
{
	struct loopback_stack *stack = calloc(1, sizeof(*stack));

	if (!stack)
		loopback_die("out of memory");
	int ret = loopback_worker_start(&stack->worker, worker);
	if (ret < 0)
		loopback_die("cannot start the worker: %s", strerror(-ret));
	ret = loopback_frontend_init(&stack->frontend, frontend);
	if (ret < 0)
		loopback_die("cannot make guest memory: %s", strerror(-ret));
	ret = loopback_frontend_connect(&stack->frontend, stack->worker.socket);
	stack->worker.socket = -1;
	if (ret < 0)
		loopback_die("cannot connect: %s", strerror(-ret));
	loopback_gpu_init(&stack->gpu, &stack->frontend);
	return stack;
}

void loopback_stack_stop(struct loopback_stack *stack)
{
	loopback_frontend_finish(&stack->frontend);
	loopback_worker_stop(&stack->worker);
	free(stack);
}

struct loopback_backing *loopback_stack_picture(struct loopback_stack *stack, uint32_t id,
    uint32_t format, uint32_t width, uint32_t height, uint32_t pixel)
{
	struct loopback_backing *backing = loopback_backing_create(
	    &stack->frontend.memory, (size_t)width * height * 4, LOOPBACK_PAGE);

	loopback_backing_fill(backing, pixel);
	if (loopback_gpu_create_2d(&stack->gpu, id, format, width, height) !=
		VIRTIO_GPU_RESP_OK_NODATA ||
	    loopback_gpu_attach_backing(&stack->gpu, id, backing) != VIRTIO_GPU_RESP_OK_NODATA ||
	    loopback_gpu_transfer_2d(&stack->gpu, id, 0, 0, width, height, 0) !=
		VIRTIO_GPU_RESP_OK_NODATA)
		loopback_die("cannot make resource %u of %u x %u", id, width, height);
	return backing;
}

uint32_t *loopback_stack_capture(
    struct loopback_stack *stack, unsigned scanout, uint32_t width, uint32_t height)
{
	uint32_t shown_width = 0, shown_height = 0, *pixels;
	int ret =
	    loopback_worker_capture(&stack->worker, scanout, &shown_width, &shown_height, &pixels);

	if (ret < 0)
		loopback_die("nothing is shown on scan-out %u: %s", scanout, strerror(-ret));
	if (shown_width != width || shown_height != height)
		loopback_die("scan-out %u shows %u x %u pixels, not %u x %u", scanout, shown_width,
		    shown_height, width, height);
	return pixels;
}
