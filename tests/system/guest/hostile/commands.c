/* SPDX-License-Identifier: MIT */
/* Commands: each a right one of a guest with a few resources and contexts, and then spoilt
 * somewhere. */
#include <linux/virtio_mmio.h>

#include "hostile.h"

static const u32 types[] = { VIRTIO_GPU_CMD_GET_DISPLAY_INFO, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
	VIRTIO_GPU_CMD_RESOURCE_UNREF, VIRTIO_GPU_CMD_SET_SCANOUT, VIRTIO_GPU_CMD_RESOURCE_FLUSH,
	VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
	VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, VIRTIO_GPU_CMD_GET_CAPSET_INFO,
	VIRTIO_GPU_CMD_GET_CAPSET, VIRTIO_GPU_CMD_GET_EDID, VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
	VIRTIO_GPU_CMD_CTX_CREATE, VIRTIO_GPU_CMD_CTX_DESTROY, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE,
	VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
	VIRTIO_GPU_CMD_TRANSFER_TO_HOST_3D, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D,
	VIRTIO_GPU_CMD_SUBMIT_3D, VIRTIO_GPU_CMD_RESOURCE_MAP_BLOB,
	VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB, VIRTIO_GPU_CMD_UPDATE_CURSOR,
	VIRTIO_GPU_CMD_MOVE_CURSOR };

/* A plausible payload: its words are small numbers, which are ids, sizes and places, or formats. */
static u32 fill_payload(struct hostile *h, u32 type, u32 *words)
{
	u32 id = 1 + hostile_random(h, 8), size = 1 + hostile_random(h, 256);
	struct virtio_gpu_mem_entry *entries;

	memset(words, 0, SLOT_SIZE / 4);
	switch (type) {
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D:
		memcpy(words, (u32[]){ id, 1 + hostile_random(h, 4), size, size }, 16);
		return 16;
	case VIRTIO_GPU_CMD_SET_SCANOUT:
	case VIRTIO_GPU_CMD_RESOURCE_FLUSH:
		memcpy(words, (u32[]){ 0, 0, size, size, hostile_random(h, 2) * id, id }, 24);
		return 24;
	case VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D:
		memcpy(words, (u32[]){ 0, 0, size, size, 0, 0, id }, 28);
		return 32;
	case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
		words[0] = id;
		words[1] = 1 + hostile_random(h, 32);
		entries = (void *)&words[2];
		for (u32 i = 0; i < words[1]; i++) {
			entries[i].addr =
			    h->arena_dma + hostile_random(h, ARENA_SIZE / 4096) * 4096;
			entries[i].length = 4096;
			if (hostile_random(h, 32) == 0)
				entries[i].addr ^= (u64)hostile_value(h) << hostile_random(h, 32);
		}
		return 8 + words[1] * 16;
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_3D:
		memcpy(words,
		    (u32[]){ id, hostile_random(h, 9), 1 + hostile_random(h, 128),
			hostile_random(h, 0x20000), size, size, 1, 1, 0, 0, 0 },
		    44);
		return 48;
	case VIRTIO_GPU_CMD_SUBMIT_3D:
		words[0] = 4 * hostile_random(h, 200);
		for (u32 i = 0; i < words[0] / 4; i++)
			words[2 + i] = hostile_random(h, 3)
					   ? hostile_random(h, 50) | hostile_random(h, 16) << 16
					   : hostile_value(h);
		return 8 + words[0];
	case VIRTIO_GPU_CMD_CTX_CREATE:
		words[0] = 8;
		return 72;
	default:
		for (u32 i = 0; i < 16; i++)
			words[i] = hostile_random(h, 2) ? id : hostile_random(h, size);
		return 8 + 8 * hostile_random(h, 8);
	}
}

static void post_one(struct hostile *h, unsigned queue, u16 slot)
{
	struct virtio_gpu_ctrl_hdr *header = hostile_slot(h, slot);
	u32 *words = (u32 *)(header + 1), length, answer = 24 + hostile_random(h, 2) * 1000;

	memset(header, 0, sizeof(*header));
	header->type = types[hostile_random(h, ARRAY_SIZE(types))];
	header->ctx_id = 1 + hostile_random(h, 4);
	if (hostile_random(h, 3) == 0) {
		header->flags = VIRTIO_GPU_FLAG_FENCE;
		header->fence_id = hostile_random(h, 8) ? ++h->fence : hostile_random(h, 0);
	}
	length = sizeof(*header) + fill_payload(h, header->type, words);
	/* Spoil it: a word or two of the payload, the header, the lengths. */
	switch (hostile_random(h, 6)) {
	case 0:
		((u32 *)header)[hostile_random(h, 6)] = hostile_value(h);
		break;
	case 1:
		length = hostile_random(h, length + 1);
		break;
	case 2:
		answer = hostile_random(h, 32);
		break;
	case 3:
	case 4:
		for (unsigned i = 0; i < 2; i++)
			words[hostile_random(h, max(length - 24, 4u) / 4)] = hostile_value(h);
		break;
	}
	hostile_post(h, queue, slot, length, answer);
}

void hostile_commands(struct hostile *h)
{
	unsigned queue = hostile_random(h, 16) == 0, n = 1 + hostile_random(h, QUEUE_SIZE / 2);

	for (u16 i = 0; i < n; i++)
		post_one(h, queue, i);
	hostile_kick(h, queue);
	if (hostile_wait(h, queue, 5000)) {
		h->counts.answered += n;
		for (u16 i = 0; i < n; i++) {
			struct virtio_gpu_ctrl_hdr *answer = hostile_answer(h, i);

			h->counts.errors +=
			    answer->type >= VIRTIO_GPU_RESP_ERR_UNSPEC && answer->type < 0x1300;
		}
	} else {
		h->counts.lost += n;
		hostile_start(h);
	}
	if (hostile_random(h, 200) == 0)
		hostile_start(h);
}
