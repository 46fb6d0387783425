/* SPDX-License-Identifier: MIT */
/*
 * A guest that does what it likes through everything at once: its memory, rings and commands,
 * over vhost-user, into the virtio-gpu device with the software renderer and the headless
 * display. The worker is the same for all inputs, and reset after each: then nothing of the
 * guest may be left in it.
 */
#include <stdlib.h>

#include "tests/fuzz/input.h"
#include "tests/loopback/loopback_stack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

#define COMMAND_MAX 1024
#define PIECES_MAX 6
#define PAGES 16 /* of the guest, in which everything lies */

struct fuzz {
	struct loopback_stack *stack;
	struct loopback_queue *queue; /* of the next operation */
	uint8_t *pages;
	uint64_t address; /* of pages */
};

/* A place in the guest's pages, or, rarely, anywhere. */
static uint64_t pick_address(const struct fuzz *fuzz, struct input *input)
{
	uint32_t choice = input_u32(input);

	if (choice % 64 == 0)
		return input_u64(input);
	return fuzz->address + (choice >> 6) % (PAGES * LOOPBACK_PAGE);
}

/* A few ids, so that commands meet. */
static uint32_t pick_id(struct input *input)
{
	uint8_t choice = input_u8(input);

	return choice < 250 ? choice % 5 : input_u32(input);
}

/* Sizes and positions: mostly small. */
static uint32_t pick_number(struct input *input)
{
	uint8_t choice = input_u8(input);

	return choice < 240 ? choice % 80 : input_u32(input);
}

static struct virtio_gpu_rect pick_rect(struct input *input)
{
	return (struct virtio_gpu_rect){
		.x = pick_number(input) / 2,
		.y = pick_number(input) / 2,
		.width = pick_number(input),
		.height = pick_number(input),
	};
}

static const uint32_t types[] = {
	VIRTIO_GPU_CMD_GET_DISPLAY_INFO,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
	VIRTIO_GPU_CMD_RESOURCE_UNREF,
	VIRTIO_GPU_CMD_SET_SCANOUT,
	VIRTIO_GPU_CMD_RESOURCE_FLUSH,
	VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
	VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
	VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
	VIRTIO_GPU_CMD_GET_EDID,
	VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
	VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
	VIRTIO_GPU_CMD_UPDATE_CURSOR,
	VIRTIO_GPU_CMD_MOVE_CURSOR,
};

union command {
	struct virtio_gpu_ctrl_hdr hdr;
	struct virtio_gpu_resource_create_2d create;
	struct virtio_gpu_resource_unref resource; /* and others of the same shape */
	struct virtio_gpu_set_scanout scanout;
	struct virtio_gpu_resource_flush flush;
	struct virtio_gpu_transfer_to_host_2d transfer;
	struct virtio_gpu_resource_attach_backing attach;
	struct virtio_gpu_cmd_get_edid edid;
	struct virtio_gpu_resource_create_blob blob;
	struct virtio_gpu_set_scanout_blob scanout_blob;
	struct virtio_gpu_update_cursor cursor;
	uint8_t bytes[COMMAND_MAX];
};

static size_t add_entries(
    const struct fuzz *fuzz, struct input *input, uint8_t *to, uint32_t *nr_entries)
{
	uint32_t count = input_u8(input) % 12;

	for (uint32_t i = 0; i < count; i++) {
		const struct virtio_gpu_mem_entry entry = {
			.addr = pick_address(fuzz, input),
			.length = input_u16(input) % (2 * LOOPBACK_PAGE),
		};
		memcpy(to + i * sizeof(entry), &entry, sizeof(entry));
	}
	*nr_entries = input_u8(input) < 240 ? count : input_u32(input);
	return count * sizeof(struct virtio_gpu_mem_entry);
}

/* A command that is mostly right; its size. */
static size_t make_command(const struct fuzz *fuzz, struct input *input, union command *command)
{
	command->hdr.type = types[input_u8(input) % (sizeof(types) / sizeof(types[0]))];
	if (input_u8(input) % 4 == 0) {
		command->hdr.flags = input_u8(input) % 4;
		command->hdr.fence_id = input_u8(input);
		command->hdr.ring_idx = input_u8(input);
	}
	switch (command->hdr.type) {
	case VIRTIO_GPU_CMD_GET_DISPLAY_INFO:
		return sizeof(command->hdr);
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D:
		command->create.resource_id = pick_id(input);
		command->create.format = input_u8(input) % 4 + 1;
		command->create.width = pick_number(input);
		command->create.height = pick_number(input);
		return sizeof(command->create);
	case VIRTIO_GPU_CMD_SET_SCANOUT:
		command->scanout.r = pick_rect(input);
		command->scanout.scanout_id = input_u8(input) % 4;
		command->scanout.resource_id = pick_id(input);
		return sizeof(command->scanout);
	case VIRTIO_GPU_CMD_RESOURCE_FLUSH:
		command->flush.r = pick_rect(input);
		command->flush.resource_id = pick_id(input);
		return sizeof(command->flush);
	case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D:
		command->transfer.r = pick_rect(input);
		command->transfer.offset = pick_number(input);
		command->transfer.resource_id = pick_id(input);
		return sizeof(command->transfer);
	case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
		command->attach.resource_id = pick_id(input);
		return sizeof(command->attach) + add_entries(fuzz, input,
						     command->bytes + sizeof(command->attach),
						     &command->attach.nr_entries);
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
		command->blob.resource_id = pick_id(input);
		command->blob.blob_mem =
		    input_u8(input) % 8 ? VIRTIO_GPU_BLOB_MEM_GUEST : input_u8(input);
		command->blob.size = input_u16(input);
		return sizeof(command->blob) + add_entries(fuzz, input,
						   command->bytes + sizeof(command->blob),
						   &command->blob.nr_entries);
	case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
		command->scanout_blob.r = pick_rect(input);
		command->scanout_blob.scanout_id = input_u8(input) % 4;
		command->scanout_blob.resource_id = pick_id(input);
		command->scanout_blob.width = pick_number(input);
		command->scanout_blob.height = pick_number(input);
		command->scanout_blob.format = input_u8(input) % 4 + 1;
		command->scanout_blob.strides[0] = input_u16(input);
		command->scanout_blob.offsets[0] = pick_number(input);
		return sizeof(command->scanout_blob);
	case VIRTIO_GPU_CMD_UPDATE_CURSOR:
	case VIRTIO_GPU_CMD_MOVE_CURSOR:
		command->cursor.pos.scanout_id = input_u8(input) % 4;
		command->cursor.pos.x = pick_number(input);
		command->cursor.pos.y = pick_number(input);
		command->cursor.resource_id = pick_id(input);
		command->cursor.hot_x = pick_number(input);
		command->cursor.hot_y = pick_number(input);
		return sizeof(command->cursor);
	default:
		command->resource.resource_id = pick_id(input);
		return sizeof(command->resource);
	}
}

/* Puts a request into the queue, its command cut into pieces. */
static void submit(struct fuzz *fuzz, const void *command, size_t size, struct input *input)
{
	struct memory_piece pieces[PIECES_MAX + 1];
	uint32_t at = input_u16(input) % (PAGES * LOOPBACK_PAGE - 2 * COMMAND_MAX);
	uint32_t cut = input_u8(input), count = 0;

	if (size == 0 || !loopback_queue_has_room(fuzz->queue, PIECES_MAX + 1))
		return;
	memcpy(fuzz->pages + at, command, size);
	for (uint32_t done = 0; done < size; count++) {
		uint32_t length = count + 1 < PIECES_MAX && cut > 0 && cut < size - done
				      ? cut
				      : (uint32_t)size - done;
		pieces[count] = (struct memory_piece){ fuzz->address + at + done, length };
		done += length;
	}
	pieces[count] =
	    (struct memory_piece){ pick_address(fuzz, input), 1 + input_u16(input) % 1200 };
	loopback_queue_add(fuzz->queue, pieces, count, pieces + count, 1, NULL);
}

static void poke_descriptor(struct fuzz *fuzz, struct input *input)
{
	struct vring_desc *desc = &fuzz->queue->desc[input_u8(input) % fuzz->queue->size];

	desc->addr = pick_address(fuzz, input);
	desc->len = input_u16(input);
	desc->flags = input_u8(input) % 8;
	desc->next = input_u8(input) % (fuzz->queue->size + 1);
}

static void operate(struct fuzz *fuzz, struct input *input)
{
	union command command = { 0 };
	uint8_t operation = input_u8(input);
	size_t size;

	fuzz->queue = &fuzz->stack->frontend.queues[operation >> 7];
	switch (operation % 16) {
	default:
		size = make_command(fuzz, input, &command);
		submit(fuzz, &command, size, input);
		break;
	case 1:
		size = input_bytes(input, command.bytes, input_u8(input));
		submit(fuzz, &command, size, input);
		break;
	case 2:
		poke_descriptor(fuzz, input);
		break;
	case 3:
		loopback_queue_add_head(fuzz->queue, input_u8(input));
		break;
	case 4:
		size = input_u16(input) % (PAGES * LOOPBACK_PAGE - 256);
		input_bytes(input, fuzz->pages + size, input_u8(input));
		break;
	case 5:
		loopback_queue_kick_always(fuzz->queue);
		break;
	}
}

/* The device as at the beginning; when a queue has stopped, its requests have been dealt with. */
static void reset(struct fuzz *fuzz)
{
	struct loopback_frontend *frontend = &fuzz->stack->frontend;
	struct gpu_statistics statistics;

	for (unsigned i = 0; i < frontend->queue_count; i++)
		loopback_queue_kick_always(&frontend->queues[i]);
	/* What was there before the first of these is dealt with when the second is answered. */
	loopback_worker_statistics(&fuzz->stack->worker);
	loopback_worker_statistics(&fuzz->stack->worker);
	CHECK(loopback_frontend_reset(frontend) == 0);
	statistics = loopback_worker_statistics(&fuzz->stack->worker);
	CHECK(statistics.resources == 0 && statistics.contexts == 0);
	CHECK(statistics.host_bytes == 0 && statistics.backing_bytes == 0);
	CHECK(statistics.fences_pending == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz
	    fuzz; /* for all inputs; no more outside a main than libFuzzer asks for */
	struct input input = { .data = data, .size = size };

	if (!fuzz.stack) {
		const struct loopback_worker_options worker = {
			.scanouts = 2,
			.limits = { .resources = 16,
			    .host_bytes = 1 << 20,
			    .backing_bytes = 1 << 20 },
		};
		const struct loopback_options frontend = { .memory_size = 1 << 20,
			.queue_size = 32 };
		fuzz.stack = loopback_stack_start(&worker, &frontend);
		fuzz.pages = loopback_alloc(&fuzz.stack->frontend.memory, PAGES * LOOPBACK_PAGE);
		fuzz.address = loopback_address(&fuzz.stack->frontend.memory, fuzz.pages);
	}
	for (int i = 0; i < 100 && input.size > 0; i++)
		operate(&fuzz, &input);
	reset(&fuzz);
	return 0;
}
