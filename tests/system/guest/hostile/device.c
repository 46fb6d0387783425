/* SPDX-License-Identifier: MIT */
/* The device's registers and queues: right ones, for all that is wrong to be built on. */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "hostile.h"

#define ANSWER_MS 20000u

u32 hostile_random(struct hostile *h, u32 limit)
{
	h->random ^= h->random << 13;
	h->random ^= h->random >> 7;
	h->random ^= h->random << 17;
	return limit ? (u32)(h->random >> 16) % limit : (u32)(h->random >> 16);
}

u32 hostile_value(struct hostile *h)
{
	static const u32 values[] = { 0, 1, 2, 3, 4, 5, 15, 16, 63, 64, 65, 255, 256, 4095, 4096,
		16384, 16385, 0x7fff, 0x8000, 0xffff, 0x10000, 0x100000, 0x3fffffff, 0x40000000,
		0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };

	return hostile_random(h, 4) ? values[hostile_random(h, ARRAY_SIZE(values))]
				    : hostile_random(h, 0);
}

u32 hostile_read(struct hostile *h, unsigned offset)
{
	return readl(h->registers + offset);
}

void hostile_write(struct hostile *h, unsigned offset, u32 value)
{
	writel(value, h->registers + offset);
}

void hostile_reset(struct hostile *h)
{
	h->counts.resets++;
	hostile_write(h, VIRTIO_MMIO_STATUS, 0);
	for (unsigned i = 0; i < 1000 && hostile_read(h, VIRTIO_MMIO_STATUS); i++)
		usleep_range(1000, 2000);
}

static void hostile_set_address(struct hostile *h, unsigned offset, u64 address)
{
	hostile_write(h, offset, lower_32_bits(address));
	hostile_write(h, offset + 4, upper_32_bits(address));
}

void hostile_set_queue(struct hostile *h, unsigned queue, u32 size, u64 desc, u64 avail, u64 used)
{
	hostile_write(h, VIRTIO_MMIO_QUEUE_SEL, queue);
	hostile_write(h, VIRTIO_MMIO_QUEUE_NUM, size);
	hostile_set_address(h, VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
	hostile_set_address(h, VIRTIO_MMIO_QUEUE_AVAIL_LOW, avail);
	hostile_set_address(h, VIRTIO_MMIO_QUEUE_USED_LOW, used);
	hostile_write(h, VIRTIO_MMIO_QUEUE_READY, 1);
}

static u32 hostile_offered(struct hostile *h, u32 word)
{
	hostile_write(h, VIRTIO_MMIO_DEVICE_FEATURES_SEL, word);
	return hostile_read(h, VIRTIO_MMIO_DEVICE_FEATURES);
}

static void hostile_accept(struct hostile *h, u32 word, u32 features)
{
	hostile_write(h, VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
	hostile_write(h, VIRTIO_MMIO_DRIVER_FEATURES, features);
}

bool hostile_start(struct hostile *h)
{
	u32 status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	hostile_reset(h);
	hostile_write(h, VIRTIO_MMIO_STATUS, status);
	hostile_accept(h, 0, hostile_offered(h, 0) & ~BIT(VIRTIO_RING_F_EVENT_IDX));
	hostile_accept(h, 1,
	    hostile_offered(h, 1) &
		(BIT(VIRTIO_F_VERSION_1 - 32) | BIT(VIRTIO_F_ACCESS_PLATFORM - 32)));
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	hostile_write(h, VIRTIO_MMIO_STATUS, status);
	for (unsigned i = 0; i < QUEUES; i++) {
		struct hostile_queue *q = &h->queues[i];

		memset(q->ring.desc, 0, 3 * PAGE_SIZE);
		/* Nobody listens for interrupts. */
		q->ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
		q->next = q->taken = 0;
		hostile_set_queue(h, i, QUEUE_SIZE, q->desc, q->avail, q->used);
	}
	hostile_write(h, VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK);
	if (!hostile_wants_reset(h))
		return true;
	h->counts.unready++;
	msleep(20);
	return false;
}

bool hostile_wants_reset(struct hostile *h)
{
	return hostile_read(h, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

void hostile_descriptor(
    struct hostile *h, unsigned queue, u16 i, u64 address, u32 length, u16 flags, u16 next)
{
	h->queues[queue].ring.desc[i] =
	    (struct vring_desc){ .addr = address, .len = length, .flags = flags, .next = next };
}

void hostile_offer(struct hostile *h, unsigned queue, u16 head)
{
	struct hostile_queue *q = &h->queues[queue];

	q->ring.avail->ring[q->next++ % QUEUE_SIZE] = head;
	/* The entry before the index. */
	wmb();
	WRITE_ONCE(q->ring.avail->idx, q->next);
}

void hostile_kick(struct hostile *h, unsigned queue)
{
	h->counts.kicks++;
	wmb();
	hostile_write(h, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

bool hostile_wait(struct hostile *h, unsigned queue, unsigned ms)
{
	struct hostile_queue *q = &h->queues[queue];
	unsigned long end = jiffies + msecs_to_jiffies(ms);

	while (READ_ONCE(q->ring.used->idx) != q->next) {
		if (time_after(jiffies, end) || h->stop())
			return false;
		/* A look at the register is a trap: not at each turn. */
		if (!hostile_random(h, 64) && hostile_wants_reset(h)) {
			h->counts.needs_reset++;
			return false;
		}
		usleep_range(50, 200);
	}
	q->taken = q->next;
	return true;
}

void *hostile_slot(struct hostile *h, u16 slot)
{
	return h->arena + slot * SLOT_SIZE;
}

struct virtio_gpu_ctrl_hdr *hostile_answer(struct hostile *h, u16 slot)
{
	return (void *)(h->arena + slot * SLOT_SIZE + SLOT_SIZE / 2);
}

void hostile_post(struct hostile *h, unsigned queue, u16 slot, u32 length, u32 answer_length)
{
	u64 at = h->arena_dma + slot * SLOT_SIZE;
	u16 head = 2 * slot % QUEUE_SIZE;

	h->counts.commands++;
	hostile_descriptor(
	    h, queue, head, at, length, answer_length ? VRING_DESC_F_NEXT : 0, head + 1);
	hostile_descriptor(
	    h, queue, head + 1, at + SLOT_SIZE / 2, answer_length, VRING_DESC_F_WRITE, 0);
	hostile_offer(h, queue, head);
}

u32 hostile_command(struct hostile *h, const void *command, u32 length)
{
	struct virtio_gpu_ctrl_hdr *answer = hostile_answer(h, 0);

	memcpy(hostile_slot(h, 0), command, min(length, SLOT_SIZE / 2));
	answer->type = 0;
	hostile_post(h, 0, 0, length, sizeof(struct virtio_gpu_resp_display_info));
	hostile_kick(h, 0);
	if (!hostile_wait(h, 0, ANSWER_MS)) {
		h->counts.lost++;
		while (!h->stop() && !hostile_start(h))
			;
		return 0;
	}
	h->counts.answered++;
	if (answer->type >= VIRTIO_GPU_RESP_ERR_UNSPEC)
		h->counts.errors++;
	return answer->type;
}
