/* SPDX-License-Identifier: MIT */
/*
 * A guest that writes what it likes into a virtqueue, its indirect tables and (as a front end
 * could) the records of requests in flight: before, between and during the calls that take
 * requests. Whatever comes out must hang together.
 */
#include <errno.h>
#include <stdlib.h>

#include "backend/inflight.h"
#include "tests/fuzz/input.h"
#include "tests/unit/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

struct fuzz {
	struct guest_memory memory; /* scribbles, then asks the ring's */
	struct input input;
	struct ring ring;
	struct virtqueue queue;
	struct virtqueue_chain chain;
	struct virtqueue_inflight inflight;
	bool track, scribble;
	uint16_t held[VIRTQUEUE_SIZE_MAX];
	unsigned held_count;
};

static int fuzz_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count)
{
	struct fuzz *fuzz = (struct fuzz *)memory;
	int error = memory_read(fuzz->ring.memory, to, pieces, count);

	/* The table changes as soon as it was read. */
	if (!error && fuzz->scribble)
		input_bytes(&fuzz->input, ring_at(&fuzz->ring, pieces[0].address),
		    pieces[0].length < 64 ? pieces[0].length : 64);
	return error;
}

static int fuzz_map(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    enum memory_access access, struct memory_map **map)
{
	return memory_map(((struct fuzz *)memory)->ring.memory, pieces, count, access, map);
}

static void fuzz_unmap(struct guest_memory *memory, struct memory_map *map)
{
	memory_unmap(((struct fuzz *)memory)->ring.memory, map);
}

/* A descriptor that makes sense more often than random bytes would. */
static struct vring_desc fuzz_desc(struct fuzz *fuzz)
{
	struct input *input = &fuzz->input;
	uint8_t form = input_u8(input);
	struct vring_desc desc = {
		.flags = form & 7,
		.next = input_u8(input),
		.len = input_u8(input),
		.addr = RING_BUFFER + input_u8(input) * 16u,
	};

	if (form & 8)
		desc.addr = RING_TABLE + (desc.addr & 0xff0);
	if (form & 16)
		desc.len *= 16;
	if (form & 32)
		desc.addr = input_u64(input);
	if (form & 64)
		desc.len = input_u32(input);
	if (form & 128)
		desc.flags = input_u16(input);
	return desc;
}

static void fuzz_start(struct fuzz *fuzz)
{
	struct input *input = &fuzz->input;
	uint8_t features = input_u8(input);
	struct virtqueue_config config;

	virtqueue_stop(&fuzz->queue);
	fuzz->held_count = 0;
	ring_set_size(&fuzz->ring, (uint16_t)(1u << input_u8(input) % 11));
	config = ring_config(&fuzz->ring, 0);
	if (features & 1)
		config.features |= UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
	if (features & 2)
		config.features |= UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;
	fuzz->scribble = features & 4;
	fuzz->track = features & 8;
	config.base = features & 16 ? input_u16(input) : fuzz->ring.avail->idx;
	if (fuzz->track) {
		fuzz->inflight.size = features & 32 ? VIRTQUEUE_SIZE_MAX : fuzz->ring.size;
		config.inflight = &fuzz->inflight;
	}
	if (features & 64) {
		config.desc += input_u16(input);
		config.avail += input_u16(input);
		config.used += input_u16(input);
	}
	if (features & 128)
		config.size = input_u16(input);
	if (virtqueue_start(&fuzz->queue, &fuzz->memory, &config) == 0) {
		CHECK(config.size && !(config.size & (config.size - 1)));
		CHECK(fuzz->queue.in_flight <= config.size);
	}
	fuzz->ring.size = config.size ? config.size : 1;
}

static void fuzz_check_chain(struct fuzz *fuzz)
{
	const struct virtqueue_chain *chain = &fuzz->chain;
	uint64_t readable = 0, writable = 0;

	CHECK(chain->head < fuzz->queue.config.size);
	CHECK(chain->readable_count + chain->writable_count <= VIRTQUEUE_CHAIN_MAX);
	CHECK(chain->readable_count + chain->writable_count > 0);
	CHECK(chain->readable == chain->pieces);
	CHECK(chain->writable == chain->pieces + chain->readable_count);
	for (uint32_t i = 0; i < chain->readable_count; i++) {
		CHECK(chain->readable[i].length);
		readable += chain->readable[i].length;
	}
	for (uint32_t i = 0; i < chain->writable_count; i++) {
		CHECK(chain->writable[i].length);
		writable += chain->writable[i].length;
	}
	CHECK(readable == chain->readable_size && writable == chain->writable_size);
	CHECK(readable + writable <= UINT64_C(1) << 32);
	for (unsigned i = 0; i < fuzz->held_count; i++)
		CHECK(fuzz->held[i] != chain->head);
}

/* What a device does with a request. */
static void fuzz_use_chain(struct fuzz *fuzz)
{
	static uint8_t bytes[4096];
	struct virtqueue_chain *chain = &fuzz->chain;
	struct memory_map *map;

	if (chain->readable_size <= sizeof(bytes))
		memory_read(fuzz->ring.memory, bytes, chain->readable, chain->readable_count);
	if (chain->writable_size <= sizeof(bytes))
		memory_write(fuzz->ring.memory, chain->writable, chain->writable_count, bytes,
		    chain->writable_size);
	if (!memory_map(fuzz->ring.memory, chain->pieces,
		chain->readable_count + chain->writable_count, MEMORY_READ, &map)) {
		CHECK(map->size == chain->readable_size + chain->writable_size);
		memory_unmap(fuzz->ring.memory, map);
	}
}

static void fuzz_pop(struct fuzz *fuzz)
{
	int result = virtqueue_pop(&fuzz->queue, &fuzz->chain);

	CHECK(result == 0 || result == 1 || result == -EPROTO);
	CHECK((result == -EPROTO) == fuzz->queue.broken);
	CHECK(!fuzz->queue.broken || fuzz->queue.reason);
	if (result != 1)
		return;
	fuzz_check_chain(fuzz);
	fuzz_use_chain(fuzz);
	CHECK(fuzz->held_count < fuzz->queue.config.size);
	fuzz->held[fuzz->held_count++] = fuzz->chain.head;
	CHECK(fuzz->queue.in_flight >= fuzz->held_count);
}

static void fuzz_push(struct fuzz *fuzz)
{
	unsigned i;

	if (!fuzz->held_count)
		return;
	i = input_u8(&fuzz->input) % fuzz->held_count;
	virtqueue_push(&fuzz->queue, fuzz->held[i], input_u16(&fuzz->input));
	fuzz->held[i] = fuzz->held[--fuzz->held_count];
}

static void fuzz_step(struct fuzz *fuzz)
{
	struct input *input = &fuzz->input;
	struct ring *ring = &fuzz->ring;
	struct vring_desc *table = ring_at(ring, RING_TABLE);

	switch (input_u8(input) % 16) {
	case 0:
	case 1:
		ring->desc[input_u8(input)] = fuzz_desc(fuzz);
		break;
	case 2:
	case 3:
		table[input_u8(input)] = fuzz_desc(fuzz);
		break;
	case 4:
	case 5:
		ring_add(ring, input_u8(input) % ring->size);
		break;
	case 6:
		ring_add(ring, input_u16(input));
		break;
	case 7:
		ring->avail->idx = input_u16(input);
		break;
	case 8:
		ring->avail->flags = input_u8(input);
		*ring->used_event = input_u16(input);
		break;
	case 9:
		/* the whole page of a ring, at any place */
		input_bytes(input, ring_at(ring, RING_DESC + input_u16(input)), 32);
		break;
	case 10:
		input_bytes(input, (uint8_t *)fuzz->inflight.region + input_u16(input) % 16000, 32);
		break;
	case 11:
		fuzz_start(fuzz);
		break;
	case 12:
		fuzz_push(fuzz);
		break;
	case 13:
		virtqueue_publish(&fuzz->queue);
		virtqueue_disable_notifications(&fuzz->queue);
		break;
	case 14:
		if (virtqueue_enable_notifications(&fuzz->queue))
			CHECK(fuzz->queue.started && !fuzz->queue.broken);
		break;
	default:
		fuzz_pop(fuzz);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct guest_memory_impl impl = {
		.read = fuzz_read,
		.map = fuzz_map,
		.unmap = fuzz_unmap,
	};
	static struct fuzz fuzz;
	static bool initialised;

	if (!initialised) {
		ring_init(&fuzz.ring, true);
		fuzz.memory.impl = &impl;
		fuzz.inflight.region = calloc(1, inflight_region_size(VIRTQUEUE_SIZE_MAX));
		initialised = true;
	}
	memset(ring_at(&fuzz.ring, RING_DESC), 0, RING_TABLE + 0x1000 - RING_DESC);
	memset(fuzz.inflight.region, 0, inflight_region_size(VIRTQUEUE_SIZE_MAX));
	virtqueue_init(&fuzz.queue, 0);
	fuzz.input = (struct input){ data, size };
	fuzz_start(&fuzz);
	while (fuzz.input.size)
		fuzz_step(&fuzz);

	/* Whatever it did, after a reset the next valid request succeeds. */
	virtqueue_stop(&fuzz.queue);
	ring_clear(&fuzz.ring);
	fuzz.scribble = false;
	fuzz.held_count = 0;
	ring_set_size(&fuzz.ring, RING_SIZE);
	{
		struct virtqueue_config config = ring_config(&fuzz.ring, 0);

		CHECK(virtqueue_start(&fuzz.queue, &fuzz.memory, &config) == 0);
	}
	ring_add_request(&fuzz.ring, 2);
	CHECK(virtqueue_pop(&fuzz.queue, &fuzz.chain) == 1 && fuzz.chain.head == 2);
	virtqueue_push(&fuzz.queue, 2, 5);
	virtqueue_publish(&fuzz.queue);
	CHECK(fuzz.ring.used->idx == 1 && fuzz.ring.used->ring[0].len == 5);
	virtqueue_stop(&fuzz.queue);
	return 0;
}
