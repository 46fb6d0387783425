/* SPDX-License-Identifier: MIT */
/* A guest, its front end and a worker in one program: what most device tests begin with. */
#ifndef GPUDOM_TESTS_LOOPBACK_STACK_H
#define GPUDOM_TESTS_LOOPBACK_STACK_H

#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_worker.h"

struct loopback_stack {
	struct loopback_worker worker;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
};

/* Started and connected; both options may be NULL. Dies where that fails. */
struct loopback_stack *loopback_stack_start(
    const struct loopback_worker_options *worker, const struct loopback_options *frontend);
void loopback_stack_stop(struct loopback_stack *stack);

/* A 2D resource with backing pages, of one colour (0xXXRRGGBB), transferred. */
struct loopback_backing *loopback_stack_picture(struct loopback_stack *stack, uint32_t id,
    uint32_t format, uint32_t width, uint32_t height, uint32_t pixel);

/* What a person in front of the scan-out sees: width * height pixels, to be freed. Dies where
 * nothing of that size is shown. */
uint32_t *loopback_stack_capture(
    struct loopback_stack *stack, unsigned scanout, uint32_t width, uint32_t height);

#endif
