/* SPDX-License-Identifier: MIT */
/* The queues themselves: descriptors, indices, addresses. */
#include <linux/delay.h>
#include <linux/virtio_mmio.h>

#include "hostile.h"

#define GRANT BIT_ULL(63)
#define R VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define IND VRING_DESC_F_INDIRECT

static u64 any_address(struct hostile *h)
{
	switch (hostile_random(h, 7)) {
	case 0: /* a grant reference that nobody gave, or that is somebody else's */
		return GRANT | (u64)hostile_random(h, 70000) << 12 | hostile_random(h, 4096);
	case 1:
		return GRANT | (u64)hostile_value(h) << 12;
	case 2: /* a frame number where a reference is due */
		return (u64)hostile_random(h, 0) << 12;
	case 3:
		return ~(u64)hostile_random(h, 8192);
	case 4:
		return h->arena_dma + hostile_value(h);
	case 5: /* the queue itself */
		return h->queues[0].used + hostile_random(h, 64);
	default:
		return h->arena_dma + hostile_random(h, ARENA_SIZE);
	}
}

/* A chain of random descriptors; some are right. */
static void random_chain(struct hostile *h)
{
	u16 i = (u16)hostile_random(h, QUEUE_SIZE), head = i;

	for (unsigned n = hostile_random(h, 20); n; n--) {
		u16 next = hostile_random(h, 10) ? (u16)hostile_random(h, QUEUE_SIZE)
						 : (u16)hostile_value(h);
		u32 length = hostile_random(h, 3) ? hostile_random(h, 8192) : hostile_value(h);
		u16 flags = n > 1 ? R : 0;

		flags |= hostile_random(h, 2) * W;
		if (hostile_random(h, 8) == 0)
			flags |= IND;
		if (hostile_random(h, 16) == 0)
			flags = (u16)hostile_random(h, 0);
		hostile_descriptor(h, 0, i, any_address(h), length, flags, next);
		i = next % QUEUE_SIZE;
	}
	hostile_offer(h, 0, head);
}

static void loop_chain(struct hostile *h)
{
	u16 n = 1 + (u16)hostile_random(h, QUEUE_SIZE);

	for (u16 i = 0; i < n; i++)
		hostile_descriptor(
		    h, 0, i, h->arena_dma, hostile_random(h, 2) * 64, R, (i + 1) % n);
	hostile_offer(h, 0, 0);
}

/* Tables in the table; a length that is none; one that holds a loop. */
static void indirect_chain(struct hostile *h)
{
	struct vring_desc *table = hostile_slot(h, 0);
	u32 length = hostile_random(h, 2) ? 16 * (1 + hostile_random(h, 64)) : hostile_value(h);

	for (unsigned i = 0; i < 64; i++)
		table[i] = (struct vring_desc){ .addr = any_address(h),
			.len = hostile_value(h),
			.flags = (u16)hostile_random(h, 8),
			.next = (u16)hostile_random(h, 70) };
	hostile_descriptor(h, 0, 0, hostile_random(h, 4) ? h->arena_dma : any_address(h), length,
	    IND | (hostile_random(h, 4) ? 0 : R) | (hostile_random(h, 4) ? 0 : W), 1);
	hostile_offer(h, 0, 0);
}

static void bad_indices(struct hostile *h)
{
	struct hostile_queue *q = &h->queues[0];

	q->ring.avail->ring[q->next % QUEUE_SIZE] = (u16)hostile_value(h);
	q->next += (u16)hostile_value(h);
	WRITE_ONCE(q->ring.avail->idx, q->next);
}

/* Requests that change while they are read: the index, the descriptors, the commands. */
static void moving(struct hostile *h)
{
	struct hostile_queue *q = &h->queues[0];
	struct virtio_gpu_resource_create_2d *c = hostile_slot(h, 0);
	u16 idx = q->next;

	for (u16 i = 0; i < QUEUE_SIZE / 2; i++) {
		memset(hostile_slot(h, i), 0, 64);
		((u32 *)hostile_slot(h, i))[0] = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D;
		hostile_post(h, 0, i, 40, 24);
	}
	hostile_kick(h, 0);
	for (unsigned i = 0; i < 3000; i++) {
		WRITE_ONCE(q->ring.avail->idx, (u16)(idx + hostile_random(h, QUEUE_SIZE)));
		WRITE_ONCE(c->width, hostile_value(h));
		WRITE_ONCE(c->hdr.type,
		    hostile_random(h, 4) ? VIRTIO_GPU_CMD_RESOURCE_CREATE_2D : hostile_value(h));
		WRITE_ONCE(q->ring.desc[hostile_random(h, QUEUE_SIZE)].len, hostile_value(h));
		WRITE_ONCE(q->ring.desc[hostile_random(h, QUEUE_SIZE)].addr, any_address(h));
		if (i % 500 == 0)
			hostile_kick(h, 0);
	}
}

/* What the device alone may write. */
static void scribble_used(struct hostile *h)
{
	u32 *words = (u32 *)h->queues[0].ring.used;

	for (u16 i = 0; i < 8; i++)
		hostile_post(h, 0, i, 24, 24);
	for (unsigned i = 0; i < 200; i++)
		WRITE_ONCE(words[hostile_random(h, 128)], hostile_value(h));
	hostile_kick(h, 0);
}

static void bad_addresses(struct hostile *h)
{
	static const u32 sizes[] = { 0, 1, 3, 64, 256, 1024, 0x8000, 0x10000, 0xffffffff };
	struct hostile_queue *q = &h->queues[0];

	hostile_reset(h);
	hostile_write(h, VIRTIO_MMIO_STATUS, 1 | 2);
	hostile_write(h, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	hostile_write(h, VIRTIO_MMIO_DRIVER_FEATURES, hostile_random(h, 4) ? 3 : hostile_value(h));
	hostile_write(h, VIRTIO_MMIO_STATUS, hostile_random(h, 4) ? 0xb : 0xf);
	hostile_set_queue(h, hostile_random(h, 3), sizes[hostile_random(h, ARRAY_SIZE(sizes))],
	    hostile_random(h, 2) ? q->desc : any_address(h),
	    hostile_random(h, 2) ? q->avail : any_address(h),
	    hostile_random(h, 2) ? q->used : any_address(h));
	hostile_write(h, VIRTIO_MMIO_STATUS, 0xf);
	hostile_kick(h, 0);
}

static void kick_storm(struct hostile *h)
{
	for (unsigned i = 0; i < 500; i++)
		hostile_kick(h, hostile_random(h, 8) ? hostile_random(h, 2) : hostile_value(h));
}

static void reset_in_the_middle(struct hostile *h)
{
	for (u16 i = 0; i < QUEUE_SIZE / 2; i++) {
		struct virtio_gpu_resource_create_2d *c = hostile_slot(h, i);

		*c = (struct virtio_gpu_resource_create_2d){
			.hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
			    .flags = VIRTIO_GPU_FLAG_FENCE,
			    .fence_id = ++h->fence },
			.resource_id = i + 1u,
			.format = 1,
			.width = 64,
			.height = 64
		};
		hostile_post(h, 0, i, sizeof(*c), 24);
	}
	hostile_kick(h, 0);
	hostile_reset(h);
}

void hostile_rings(struct hostile *h)
{
	static void (*const ways[])(struct hostile *) = { random_chain, random_chain, random_chain,
		loop_chain, indirect_chain, indirect_chain, bad_indices, moving, scribble_used,
		bad_addresses, kick_storm, reset_in_the_middle };

	h->counts.rings++;
	if (hostile_start(h)) {
		ways[hostile_random(h, ARRAY_SIZE(ways))](h);
		hostile_kick(h, 0);
		/* Time to be read in; what it leads to does not matter. */
		usleep_range(500, 5000);
		if (hostile_wants_reset(h))
			h->counts.needs_reset++;
	}
}
