/* SPDX-License-Identifier: MIT */
/* All that a guest may have, until there is no more; then the device is reset. */
#include "hostile.h"

#define RESOURCES_MAX 200000u
#define PAGE_ENTRIES 60u

#define HEADER(t) .hdr = { .type = VIRTIO_GPU_CMD_##t }
#define OK VIRTIO_GPU_RESP_OK_NODATA

/* Runs until a command is refused; how many were not. */
static unsigned long until_refused(struct hostile *h, u32 (*one)(struct hostile *, u32), u32 most)
{
	u32 i, answer = OK;

	for (i = 0; i < most && !h->stop() && (answer = one(h, i + 1)) == OK; i++)
		;
	if (answer != OK)
		h->counts.refused++;
	/* It stays refused. */
	for (unsigned k = 0; k < 50 && answer != OK && !h->stop(); k++)
		h->counts.refused += one(h, i + 2 + k) != OK;
	return i;
}

static u32 create_2d(struct hostile *h, u32 id, u32 width, u32 height)
{
	struct virtio_gpu_resource_create_2d c = { HEADER(RESOURCE_CREATE_2D), .resource_id = id,
		.format = 1, .width = width, .height = height };

	return hostile_command(h, &c, sizeof(c));
}

static u32 one_small(struct hostile *h, u32 id)
{
	return create_2d(h, id, 1, 1);
}

/* 4 MiB. */
static u32 one_large(struct hostile *h, u32 id)
{
	return create_2d(h, id, 1024, 1024);
}

static u32 one_context(struct hostile *h, u32 id)
{
	struct virtio_gpu_ctx_create c = { .hdr = {
					       .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = id } };

	return hostile_command(h, &c, sizeof(c));
}

/* A backing of 60 times the whole arena: 15 MiB, which are pages mapped again and again. */
static u32 one_backing(struct hostile *h, u32 id)
{
	struct {
		struct virtio_gpu_resource_attach_backing c;
		struct virtio_gpu_mem_entry entries[PAGE_ENTRIES];
	} a = { .c = { HEADER(RESOURCE_ATTACH_BACKING), .resource_id = id,
		    .nr_entries = PAGE_ENTRIES } };
	u32 answer = create_2d(h, id, 8, 8);

	for (unsigned i = 0; i < PAGE_ENTRIES; i++)
		a.entries[i] =
		    (struct virtio_gpu_mem_entry){ .addr = h->arena_dma, .length = ARENA_SIZE };
	return answer == OK ? hostile_command(h, &a, sizeof(a)) : answer;
}

/* As many fences at a time as the queue has places for. */
static void many_fences(struct hostile *h)
{
	for (unsigned round = 0; round < 50 && !h->stop(); round++) {
		for (u16 i = 0; i < QUEUE_SIZE / 2; i++) {
			struct virtio_gpu_cmd_submit *c = hostile_slot(h, i);

			*c = (struct virtio_gpu_cmd_submit){ .hdr = {
								 .type = VIRTIO_GPU_CMD_SUBMIT_3D,
								 .flags = VIRTIO_GPU_FLAG_FENCE,
								 .fence_id = ++h->fence,
								 .ctx_id = 1 } };
			hostile_post(h, 0, i, sizeof(*c), 24);
		}
		hostile_kick(h, 0);
		if (!hostile_wait(h, 0, 5000)) {
			h->counts.lost += QUEUE_SIZE / 2;
			hostile_start(h);
			return;
		}
		h->counts.answered += QUEUE_SIZE / 2;
		h->counts.fences += QUEUE_SIZE / 2;
	}
}

static void raise_to(unsigned long *most, unsigned long value)
{
	if (value > *most)
		*most = value;
}

void hostile_quotas(struct hostile *h)
{
	if (!hostile_start(h))
		return;
	raise_to(&h->counts.pixels_mib, 4 * until_refused(h, one_large, RESOURCES_MAX));
	hostile_start(h);
	raise_to(&h->counts.resources, until_refused(h, one_small, RESOURCES_MAX));
	hostile_start(h);
	raise_to(&h->counts.contexts, until_refused(h, one_context, RESOURCES_MAX));
	many_fences(h);
	hostile_start(h);
	raise_to(&h->counts.backings_mib,
	    PAGE_ENTRIES * ARENA_SIZE / (1 << 20) * until_refused(h, one_backing, RESOURCES_MAX));
	hostile_start(h);
}
