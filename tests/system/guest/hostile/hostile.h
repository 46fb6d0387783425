/* SPDX-License-Identifier: MIT */
/*
 * A driver that takes a guest's virtio-gpu device and does to it what no driver should. It writes
 * the registers and the queues itself, so that it can write anything.
 */
#ifndef GPUDOM_TESTS_HOSTILE_H
#define GPUDOM_TESTS_HOSTILE_H

#include <linux/device.h>
#include <linux/types.h>
#include <linux/virtio_gpu.h>
#include <linux/virtio_ring.h>

#define QUEUES 2u
#define QUEUE_SIZE 64u
#define ARENA_SIZE (256u << 10)
#define SLOT_SIZE 2048u /* of a command and its answer */

/* What was done, and what came of it; counted, and told in /sys/module/hostile/parameters/counts.
 */
struct hostile_counts {
	unsigned long commands, answered, errors, lost;
	unsigned long rings, registers, kicks, resets, needs_reset, unready;
	/* The most of each that there were at a time, before one was refused. */
	unsigned long resources, contexts, pixels_mib, backings_mib, fences, refused;
	unsigned long crashes;
};

struct hostile_queue {
	struct vring ring; /* 3 pages: descriptors, available ring, used ring */
	dma_addr_t desc, avail, used;
	u16 next;  /* available index */
	u16 taken; /* used index that we have seen */
};

struct hostile {
	struct device *dma;
	void __iomem *registers;
	struct hostile_queue queues[QUEUES];
	char *arena; /* commands and answers, shared with the device */
	dma_addr_t arena_dma;
	u64 random;
	u32 fence;
	bool (*stop)(void);
	struct hostile_counts counts;
};

/* device.c */
u32 hostile_random(struct hostile *h, u32 limit); /* below @limit; 0: any */
u32 hostile_value(struct hostile *h);             /* what breaks arithmetic */
u32 hostile_read(struct hostile *h, unsigned offset);
void hostile_write(struct hostile *h, unsigned offset, u32 value);
void hostile_reset(struct hostile *h);
/* Resets the device and brings it up with both queues; false: it does not come up. */
bool hostile_start(struct hostile *h);
void hostile_set_queue(struct hostile *h, unsigned queue, u32 size, u64 desc, u64 avail, u64 used);
/* Makes the chain that begins with descriptor @head available. */
void hostile_offer(struct hostile *h, unsigned queue, u16 head);
void hostile_kick(struct hostile *h, unsigned queue);
/* Until all that was offered is answered; false: it has not been, within the time, or the device
 * wants a reset. */
bool hostile_wait(struct hostile *h, unsigned queue, unsigned ms);
bool hostile_wants_reset(struct hostile *h);
void hostile_descriptor(
    struct hostile *h, unsigned queue, u16 i, u64 address, u32 length, u16 flags, u16 next);
/* The command in slot @slot, and the answer behind it. Each pair of descriptors has a slot. */
void *hostile_slot(struct hostile *h, u16 slot);
struct virtio_gpu_ctrl_hdr *hostile_answer(struct hostile *h, u16 slot);
void hostile_post(struct hostile *h, unsigned queue, u16 slot, u32 length, u32 answer_length);
/* One command, and the answer's type; 0: none came, and the device was started anew. */
u32 hostile_command(struct hostile *h, const void *command, u32 length);

/* Each does one round. */
void hostile_commands(struct hostile *h);
void hostile_quotas(struct hostile *h);
void hostile_rings(struct hostile *h);
void hostile_registers(struct hostile *h);

#endif
