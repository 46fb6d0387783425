/* SPDX-License-Identifier: MIT */
/*
 * Takes requests from a queue a batch at a time: one copy out of the guest's memory serves all of
 * them, as one copy serves all answers (memory_write_later()).
 */
#include <stdlib.h>
#include <string.h>

#include "backend/gpu_internal.h"
#include "backend/probe.h"

/* Requests hold numbers of 64 bits. */
#define ALIGNMENT 8

static uint64_t align(uint64_t offset)
{
	return (offset + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

/* Copies the first pieces, @size bytes in all, cutting the last one; their number. */
static uint32_t cut_pieces(struct memory_piece *to, const struct memory_piece *from, uint64_t size)
{
	uint32_t count = 0;

	while (size > 0) {
		to[count] = from[count];
		if (to[count].length > size)
			to[count].length = (uint32_t)size;
		size -= to[count++].length;
	}
	return count;
}

/* Is there room for one more with our chain, of which @copied bytes count? The first always fits.
 */
static bool batch_has_room(const struct gpu_batch *batch, uint64_t copied)
{
	return !batch->count ||
	       (batch->count < GPU_BATCH_REQUESTS && batch->bytes + copied <= GPU_BATCH_BYTES &&
		   batch->readable_count + batch->chain.readable_count <= VIRTQUEUE_CHAIN_MAX &&
		   batch->writable_count + batch->chain.writable_count <= VIRTQUEUE_CHAIN_MAX);
}

/* How much of the request is looked at: nothing where it is no request, only the header of one
 * that will be refused for its size. */
static uint64_t batch_copied(const struct gpu *gpu, const struct virtqueue_chain *chain)
{
	if (chain->readable_size < sizeof(struct virtio_gpu_ctrl_hdr))
		return 0;
	if (chain->readable_size > gpu->limits.command_bytes)
		return sizeof(struct virtio_gpu_ctrl_hdr);
	return chain->readable_size;
}

static void batch_add(struct gpu_batch *batch, uint64_t copied)
{
	const struct virtqueue_chain *chain = &batch->chain;
	struct memory_piece *readable = &batch->readable[batch->readable_count];
	struct memory_piece *writable = &batch->writable[batch->writable_count];
	struct gpu_taken *taken = &batch->requests[batch->count++];

	*taken = (struct gpu_taken){
		.number = chain->number,
		.head = chain->head,
		.progress = chain->progress,
		.size = chain->readable_size,
		.copied = copied,
		.readable = readable,
		.readable_count = cut_pieces(readable, chain->readable, copied),
		.writable = writable,
		.writable_count = chain->writable_count,
		.writable_size = chain->writable_size,
	};
	memcpy(writable, chain->writable, chain->writable_count * sizeof(*writable));
	batch->readable_count += taken->readable_count;
	batch->writable_count += taken->writable_count;
	batch->bytes += copied;
}

/* Takes them off the queue. */
static int batch_fill(struct gpu *gpu, struct virtqueue *queue)
{
	struct gpu_batch *batch = &gpu->requests_taken;
	const unsigned most = gpu_flow_batch(gpu);
	int taken = 1;

	batch->count = batch->readable_count = batch->writable_count = 0;
	batch->bytes = 0;
	for (;;) {
		uint64_t copied;

		/* What was taken off the queue and left has to go first */
		if (!batch->left && batch->count >= most)
			return 1;
		if (!batch->left)
			taken = virtqueue_pop(queue, &batch->chain);
		if (taken <= 0)
			return taken;
		copied = batch_copied(gpu, &batch->chain);
		batch->left = !batch_has_room(batch, copied);
		if (batch->left)
			return 1;
		batch_add(batch, copied);
	}
}

/* Something cannot be read: finds out what, and reads the others. */
static void batch_read_singly(struct gpu *gpu, struct gpu_batch *batch, uint8_t *data)
{
	for (unsigned i = 0; i < batch->count; i++) {
		struct gpu_taken *taken = &batch->requests[i];

		taken->data = data;
		data += align(taken->copied);
		taken->unreadable = memory_read(gpu->base.memory, taken->data, taken->readable,
					taken->readable_count) < 0;
	}
}

/* Copies all requests, each once. */
static void batch_read(struct gpu *gpu)
{
	struct gpu_batch *batch = &gpu->requests_taken;
	uint64_t from = batch->bytes, to = 0;
	uint8_t *data;

	for (unsigned i = 0; i < batch->count; i++)
		to += align(batch->requests[i].copied);
	data = gpu_command_buffer(gpu, to);
	if (!data)
		return;
	if (memory_read(gpu->base.memory, data, batch->readable, batch->readable_count) < 0) {
		batch_read_singly(gpu, batch, data);
		return;
	}
	/* They lie one behind the other; from the last to the first, move those that it puts out
	 * of alignment, and all behind them. */
	for (unsigned i = batch->count; i-- > 0;) {
		struct gpu_taken *taken = &batch->requests[i];

		from -= taken->copied;
		to -= align(taken->copied);
		taken->data = data + to;
		if (to != from)
			memmove(data + to, data + from, taken->copied);
	}
}

int gpu_batch_take(struct gpu *gpu, struct virtqueue *queue)
{
	struct gpu_batch *batch = &gpu->requests_taken;
	uint64_t begin = trace_begin(gpu->base.trace);
	int taken = batch_fill(gpu, queue);

	if (!batch->count)
		return taken;
	gpu->statistics.batches++;
	PROBE(dequeue, gpu->guest, queue->index, batch->count, batch->bytes);
	trace_end(gpu->base.trace, begin, .type = TRACE_DEQUEUE, .queue = (uint8_t)queue->index,
	    .request = batch->requests[0].number, .arg = batch->count, .value = batch->bytes);
	begin = trace_begin(gpu->base.trace);
	batch_read(gpu);
	trace_end(gpu->base.trace, begin, .type = TRACE_COPY, .queue = (uint8_t)queue->index,
	    .request = batch->requests[0].number, .arg = batch->count, .value = batch->bytes);
	return taken;
}
