/* SPDX-License-Identifier: MIT */
/* A ledger in which anything may stand: what a worker gets that goes on for another one. */
#include <sys/mman.h>

#include "backend/gpu_ledger.h"
#include "tests/fuzz/input.h"
#include "tests/unit/gpu_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 256

/* A request whose ids and sizes are small numbers, mostly, so that it means something. */
static size_t make_record(struct input *input, struct rig *rig, uint32_t words[64])
{
	static const uint16_t types[] = { VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
		VIRTIO_GPU_CMD_RESOURCE_CREATE_3D, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB,
		VIRTIO_GPU_CMD_RESOURCE_UNREF, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
		VIRTIO_GPU_CMD_CTX_CREATE, VIRTIO_GPU_CMD_CTX_DESTROY,
		VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE,
		VIRTIO_GPU_CMD_SET_SCANOUT, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
		VIRTIO_GPU_CMD_UPDATE_CURSOR, VIRTIO_GPU_CMD_MOVE_CURSOR };
	uint8_t form = input_u8(input);
	size_t count = form & 64 ? input_u8(input) % 64 : 48;

	memset(words, 0, 64 * sizeof(words[0]));
	words[0] = form & 128 ? input_u16(input) : types[form % (sizeof(types) / sizeof(types[0]))];
	words[4] = input_u8(input) % 4; /* context */
	for (size_t i = 6; i < 24; i++) {
		uint8_t word = input_u8(input);

		words[i] = word < 240 ? word % 96 : input_u8(input) * UINT32_C(0x01010101);
	}
	if (form & 32) { /* one entry that can be mapped */
		uint64_t address = loopback_address(&rig->memory, rig->command);

		words[7] = 1;
		memcpy(&words[8], &address, sizeof(address));
		words[10] = 16384;
	}
	return count * sizeof(words[0]);
}

static size_t fill(struct input *input, struct rig *rig, uint8_t *half)
{
	size_t end = 0;

	for (unsigned i = 0; i < RECORDS_MAX && input->size > 0; i++) {
		uint32_t words[64];
		uint32_t size = (uint32_t)make_record(input, rig, words);
		const uint32_t mark[2] = { size, ~size };

		memcpy(half + end, mark, sizeof(mark));
		memcpy(half + end + sizeof(mark), words, size);
		end += sizeof(mark) + ((size + 7) & ~7u);
	}
	return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig *rig;
	static uint8_t *memory;
	struct input input = { data, size };
	uint8_t form = input_u8(&input);
	uint64_t header[4];
	size_t end;

	if (!rig) {
		log_init(LOG_LEVEL_ERROR, NULL);
		rig = rig_create();
		memory = mmap(NULL, GPU_LEDGER_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	}
	memset(memory, 0, 4096);
	assert(rig->device->impl->set_ledger(rig->device, memory) == 0); /* makes a header */
	rig->device->impl->set_ledger(rig->device, NULL);
	end = fill(&input, rig, memory + 4096);
	memcpy(header, memory, sizeof(header));
	header[2] = end;
	if (form & 1)
		header[2] += input_u64(&input);
	if (form & 2)
		header[3] = input_u8(&input) * UINT64_C(8);
	memcpy(memory, header, sizeof(header));
	if (rig->device->impl->set_ledger(rig->device, memory) == 0) {
		rig->device->impl->recover(rig->device);
		rig_works(rig); /* or a quota is exhausted */
	}
	rig_reset(rig);
	rig->device->impl->set_ledger(rig->device, NULL);
	rig_start_queues(rig, rig->device->impl->get_features(rig->device) | rig_features());
	assert(rig_works(rig));
	return 0;
}
