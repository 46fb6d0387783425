/* SPDX-License-Identifier: MIT */
/* The messages of docs/interop/vhost-user-gpu.rst; numbers are in native byte order. */
#ifndef GPUDOM_BACKEND_DISPLAY_SOCKET_MESSAGE_H
#define GPUDOM_BACKEND_DISPLAY_SOCKET_MESSAGE_H

#include <stdint.h>

#include "backend/display.h"

enum gpu_message_type {
	GPU_MESSAGE_GET_PROTOCOL_FEATURES = 1,
	GPU_MESSAGE_SET_PROTOCOL_FEATURES = 2,
	GPU_MESSAGE_GET_DISPLAY_INFO = 3,
	GPU_MESSAGE_CURSOR_POS = 4,
	GPU_MESSAGE_CURSOR_POS_HIDE = 5,
	GPU_MESSAGE_CURSOR_UPDATE = 6,
	GPU_MESSAGE_SCANOUT = 7,
	GPU_MESSAGE_UPDATE = 8,
	GPU_MESSAGE_DMABUF_SCANOUT = 9,
	GPU_MESSAGE_DMABUF_UPDATE = 10,
	GPU_MESSAGE_GET_EDID = 11,
	GPU_MESSAGE_DMABUF_SCANOUT2 = 12,
};

#define GPU_MESSAGE_FLAG_REPLY (1u << 2)

#define GPU_MESSAGE_F_EDID (UINT64_C(1) << 0)
#define GPU_MESSAGE_F_DMABUF2 (UINT64_C(1) << 1)

struct gpu_message_header {
	uint32_t request, flags;
	uint32_t size; /* of the payload that follows */
};

struct gpu_message_scanout {
	uint32_t scanout, width, height;
};

struct gpu_message_update { /* and the pixels, XRGB8888, without padding */
	uint32_t scanout, x, y, width, height;
};

struct gpu_message_cursor_position {
	uint32_t scanout, x, y;
};

struct gpu_message_cursor {
	struct gpu_message_cursor_position position;
	uint32_t hot_x, hot_y;
	uint32_t pixels[DISPLAY_CURSOR_SIZE * DISPLAY_CURSOR_SIZE];
};

/* VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP: the buffer's first row is the *bottom* one, as GL counts rows.
 */
#define GPU_MESSAGE_DMABUF_FLIPPED 1u

struct gpu_message_dmabuf {
	uint32_t scanout, x, y, width, height;
	uint32_t buffer_width, buffer_height, stride, flags, fourcc;
	uint64_t modifier; /* DMABUF_SCANOUT2 only */
};
/* Modifiers that need no telling: DRM_FORMAT_MOD_LINEAR, and DRM_FORMAT_MOD_INVALID, "none known"
 */
#define GPU_MESSAGE_MODIFIER_LINEAR UINT64_C(0)
#define GPU_MESSAGE_MODIFIER_NONE UINT64_C(0x00ffffffffffffff)

#define GPU_MESSAGE_DMABUF_SIZE 40 /* without the modifier */

#endif
