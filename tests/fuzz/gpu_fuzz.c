/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the virtio-gpu device with commands on real queues in guest memory, before a fake
 * renderer (which checks what the device asks of it) or the software renderer.
 *
 * An input is a row of records: a byte for what happens (its low 4 bits; the high 4 choose how
 * much room there is for an answer), two for a length, and that many bytes of the command.
 * The first byte of all chooses the renderer.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "render/soft.h"
#include "tests/unit/gpu_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEND_CONTROL, SEND_CURSOR, RETIRE, SHOW, CHANGE_MODES, RESET, DRAIN, FAIL, EVENTS };

static struct rig *fuzz_rig(bool soft)
{
	static struct rig *rigs[2];
	struct gpu_limits limits = GPU_LIMITS_DEFAULT;
	struct renderer *renderer = NULL;

	if (rigs[soft])
		return rigs[soft];
	log_init(LOG_LEVEL_ERROR, NULL);
	limits.host_bytes = 64 << 20;
	limits.contexts = 8;
	if (soft)
		assert(soft_create(&renderer) == 0);
	rigs[soft] = rig_create_on(&limits, renderer, !soft, RIG_SCANOUTS);
	return rigs[soft];
}

static void send(struct rig *rig, unsigned queue, const uint8_t *bytes, size_t size, unsigned room)
{
	static const uint16_t rooms[16] = { 24, 24, 24, 24, 408, 1056, 124, 125, 40, 0, 1, 23, 407,
		4096, 24, 24 };
	struct memory_piece readable, writable;

	if (!loopback_queue_has_room(&rig->queues[queue], 2))
		rig->device->impl->drain_queue(rig->device, queue);
	rig_poll(rig);
	if (size + rooms[room] == 0)
		return;
	memcpy(rig->command, bytes, size);
	readable = loopback_piece(&rig->memory, rig->command, (uint32_t)size);
	writable = loopback_piece(&rig->memory, rig->response, rooms[room]);
	loopback_queue_add(
	    &rig->queues[queue], &readable, size > 0, &writable, rooms[room] > 0, NULL);
	rig_kick(rig, queue);
}

static void read_sources(struct rig *rig)
{
	static uint8_t pixels[4096];

	for (unsigned i = 0; i < RIG_SCANOUTS; i++) {
		struct display_source *source = rig->display.sources[i];
		struct display_rect rect = { 0 };

		if (!source)
			continue;
		rect.width = source->width < 1024 ? source->width : 1024;
		rect.height = 1;
		rect.y = source->height - 1;
		source->impl->read(source, &rect, pixels, sizeof(pixels));
	}
}

static void act(struct rig *rig, uint8_t what, const uint8_t *bytes, size_t size)
{
	struct fake_display *display = &rig->display;

	switch ((what & 0xf) % EVENTS) {
	case SEND_CONTROL:
		send(rig, RIG_CONTROL, bytes, size, what >> 4);
		break;
	case SEND_CURSOR:
		send(rig, RIG_CURSOR, bytes, size, what >> 4);
		break;
	case RETIRE:
		fake_retire(&rig->renderer, what >> 4);
		break;
	case SHOW:
		display->shows_at_once = what >> 7;
		for (unsigned i = 0; i < RIG_SCANOUTS; i++)
			fake_shown(display, i);
		read_sources(rig);
		break;
	case CHANGE_MODES:
		display->modes_known = what >> 7;
		if (size <= sizeof(display->modes))
			memcpy(display->modes, bytes, size);
		for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
			display->modes[i].enabled = true;
		display->base.listener.modes_changed(display->base.listener.data);
		break;
	case RESET:
		rig->guest.refuse_maps = false; /* the rings' as well */
		rig_reset(rig);
		rig_start_queues(rig, rig_features());
		break;
	case DRAIN:
		rig->device->impl->drain_queue(rig->device, what >> 4 & 1);
		break;
	case FAIL:
		rig->renderer.next_error = what & 0x10 ? -EINVAL : -ENOMEM;
		rig->renderer.fence_result = what >> 6 & 1;
		rig->guest.refuse_maps = what >> 7;
		break;
	default:
		break;
	}
	if (rig->renderer.fence_count > FAKE_FENCES_MAX / 2)
		fake_retire(&rig->renderer, FAKE_FENCES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig *rig;

	if (size < 1)
		return 0;
	rig = fuzz_rig(data[0] & 1);
	data++;
	size--;
	while (size >= 3) {
		size_t length = data[1] | (size_t)data[2] << 8;

		if (length > size - 3)
			length = size - 3;
		act(rig, data[0], data + 3, length);
		data += 3 + length;
		size -= 3 + length;
	}
	rig->renderer.next_error = 0;
	rig->renderer.fence_result = 0;
	rig->guest.refuse_maps = false;
	rig->display.modes_known = true;
	rig->display.shows_at_once = true;
	rig_reset(rig); /* checks that nothing is left */
	assert(rig_statistics(rig).fences_pending == 0);
	assert(rig_statistics(rig).host_bytes == 0 && rig_statistics(rig).backing_bytes == 0);
	rig_poll(rig);
	rig_start_queues(rig, rig_features());
	return 0;
}
