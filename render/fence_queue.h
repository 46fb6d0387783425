/* SPDX-License-Identifier: MIT */
/* Gives 64-bit fences the 32-bit names that virgl_renderer_create_fence() takes. */
#ifndef GPUDOM_RENDER_FENCE_QUEUE_H
#define GPUDOM_RENDER_FENCE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

/* The fences that are pending, oldest first; zero-initialise it. */
struct fence_queue {
	uint64_t *fences; /* a ring of 1 << bits */
	uint32_t bits;
	uint32_t first; /* name of the oldest one; names are consecutive and wrap */
	uint32_t count;
};

/* Adds @fence at the end; its name goes to *@name. -ENOMEM. */
int fence_queue_add(struct fence_queue *queue, uint64_t fence, uint32_t *name);
/* Takes the last one back: it was not created after all. */
void fence_queue_undo(struct fence_queue *queue);
/* The fence called @name and all before it are done: takes them out and tells the last one's
 * number. false: no such fence (any more). */
bool fence_queue_retire(struct fence_queue *queue, uint32_t name, uint64_t *fence);
/* Forgets all; their names stay used up. */
void fence_queue_clear(struct fence_queue *queue);
void fence_queue_finish(struct fence_queue *queue);

#endif
