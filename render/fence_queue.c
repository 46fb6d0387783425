/* SPDX-License-Identifier: MIT */
#include "render/fence_queue.h"

#include <errno.h>
#include <stdlib.h>

#define FENCE_QUEUE_BITS_MIN 6

static uint64_t *fence_queue_slot(const struct fence_queue *queue, uint32_t name)
{
	return &queue->fences[name & ((UINT32_C(1) << queue->bits) - 1)];
}

static int fence_queue_grow(struct fence_queue *queue)
{
	struct fence_queue larger = *queue;

	larger.bits = queue->fences ? queue->bits + 1 : FENCE_QUEUE_BITS_MIN;
	larger.fences = calloc((size_t)1 << larger.bits, sizeof(*larger.fences));
	if (!larger.fences)
		return -ENOMEM;
	for (uint32_t i = 0; i < queue->count; i++)
		*fence_queue_slot(&larger, queue->first + i) =
		    *fence_queue_slot(queue, queue->first + i);
	free(queue->fences);
	*queue = larger;
	return 0;
}

int fence_queue_add(struct fence_queue *queue, uint64_t fence, uint32_t *name)
{
	if (!queue->fences || queue->count >> queue->bits) {
		int r = fence_queue_grow(queue);

		if (r < 0)
			return r;
	}
	*name = queue->first + queue->count++;
	*fence_queue_slot(queue, *name) = fence;
	return 0;
}

void fence_queue_undo(struct fence_queue *queue)
{
	queue->count--;
}

bool fence_queue_retire(struct fence_queue *queue, uint32_t name, uint64_t *fence)
{
	const uint32_t index = name - queue->first;

	if (index >= queue->count)
		return false;
	*fence = *fence_queue_slot(queue, name);
	queue->first += index + 1;
	queue->count -= index + 1;
	return true;
}

void fence_queue_clear(struct fence_queue *queue)
{
	queue->first += queue->count;
	queue->count = 0;
}

void fence_queue_finish(struct fence_queue *queue)
{
	free(queue->fences);
	*queue = (struct fence_queue){ 0 };
}
