/* SPDX-License-Identifier: MIT */
/*
 * The outputs' modes: GET_DISPLAY_INFO, GET_EDID and the event that has the driver ask.
 * A display that has to ask somebody else parks the question until it knows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/edid_read.h"
#include "backend/gpu_internal.h"

static uint32_t display_info_respond(struct gpu *gpu, struct gpu_command *command)
{
	struct virtio_gpu_resp_display_info *response =
	    gpu_command_respond(gpu, command, sizeof(*response));

	if (!response)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	for (unsigned i = 0; i < gpu->scanout_count; i++) {
		const struct display_mode *mode = &gpu->modes[i];

		response->pmodes[i].r = (struct virtio_gpu_rect){
			.x = mode->x, .y = mode->y, .width = mode->width, .height = mode->height
		};
		response->pmodes[i].enabled = mode->enabled;
	}
	return VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

static bool is_set(const struct edid_identity *identity)
{
	static const char no_vendor[sizeof(identity->vendor)];

	return identity->name[0] || memcmp(identity->vendor, no_vendor, sizeof(no_vendor)) != 0 ||
	       identity->product || identity->serial;
}

/* The real monitor's, as it is where it says the mode that the output has (Linux takes no other one
 * for the preferred). One of our making says whose it is, unless the configuration does. */
static size_t edid_fill(struct gpu *gpu, uint32_t scanout, struct edid_mode *mode, uint8_t *to)
{
	const struct display_impl *display = gpu->display->impl;
	struct edid_identity identity = gpu->edid;
	struct edid_mode real = { 0 };
	uint8_t edid[DISPLAY_EDID_MAX];
	size_t size = 0;

	if (gpu->modes[scanout].edid && display->get_edid && !is_set(&gpu->edid))
		size = display->get_edid(gpu->display, scanout, edid);
	if (size) {
		edid_read_mode(edid, &real);
		if (real.width == mode->width && real.height == mode->height) {
			memcpy(to, edid, size);
			return size;
		}
		edid_read_identity(edid, &identity);
		mode->serial = 1; /* the monitor's own */
	}
	return edid_make(mode, &identity, to);
}

static uint32_t edid_respond(struct gpu *gpu, struct gpu_command *command, uint32_t scanout)
{
	const struct display_mode *mode = &gpu->modes[scanout];
	struct edid_mode edid_mode = {
		.width = mode->width,
		.height = mode->height,
		.refresh = mode->refresh,
		.width_mm = mode->width_mm,
		.height_mm = mode->height_mm,
		.serial = scanout + 1,
	};
	struct virtio_gpu_resp_edid *response =
	    gpu_command_respond(gpu, command, sizeof(*response));

	if (!response)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	response->size = (uint32_t)edid_fill(gpu, scanout, &edid_mode, response->edid);
	return VIRTIO_GPU_RESP_OK_EDID;
}

/* Keeps a request, with its chain's pieces, until gpu_modes_changed(). */
static uint32_t park(struct gpu *gpu, struct gpu_command *command, uint32_t scanout)
{
	size_t size = command->writable_count * sizeof(struct memory_piece);
	struct gpu_parked *parked = malloc(sizeof(*parked) + size);

	if (!parked)
		return gpu_command_fail(gpu, command, -ENOMEM, "no memory");
	parked->command = *command;
	parked->scanout = scanout;
	parked->command.data = NULL;
	parked->command.size = 0;
	parked->command.writable = parked->writable;
	memcpy(parked->writable, command->writable, size);
	TAILQ_INSERT_TAIL(&gpu->parked, parked, link);
	command->parked = true;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Answers with gpu->modes. */
static void unpark(struct gpu *gpu, struct gpu_parked *parked)
{
	uint32_t type;

	TAILQ_REMOVE(&gpu->parked, parked, link);
	if (parked->command.hdr.type == VIRTIO_GPU_CMD_GET_EDID)
		type = edid_respond(gpu, &parked->command, parked->scanout);
	else
		type = display_info_respond(gpu, &parked->command);
	gpu_command_finish(gpu, &parked->command, type);
	free(parked);
}

uint32_t gpu_get_display_info(struct gpu *gpu, struct gpu_command *command)
{
	struct display_mode modes[DISPLAY_SCANOUTS_MAX] = { 0 };

	if (!gpu->display->impl->get_modes(gpu->display, modes, DISPLAY_ASK_MODES))
		return park(gpu, command, 0);
	memcpy(gpu->modes, modes, sizeof(modes));
	gpu_telemetry_modes(gpu);
	return display_info_respond(gpu, command);
}

uint32_t gpu_get_edid(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_cmd_get_edid *request = command->data;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX] = { 0 };

	if (request->scanout >= gpu->scanout_count)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID,
		    "scan-out %u; there are %u", request->scanout, gpu->scanout_count);
	if (!gpu->display->impl->get_modes(gpu->display, modes, DISPLAY_ASK_EDIDS))
		return park(gpu, command, request->scanout);
	memcpy(gpu->modes, modes, sizeof(modes));
	gpu_telemetry_modes(gpu);
	return edid_respond(gpu, command, request->scanout);
}

static bool modes_equal(const struct display_mode *a, const struct display_mode *b, unsigned count)
{
	for (; count > 0; a++, b++, count--) {
		if (a->enabled != b->enabled || a->x != b->x || a->y != b->y ||
		    a->width != b->width || a->height != b->height || a->refresh != b->refresh ||
		    a->width_mm != b->width_mm || a->height_mm != b->height_mm ||
		    a->edid != b->edid)
			return false;
	}
	return true;
}

void gpu_modes_changed(void *data)
{
	struct gpu *gpu = data;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX] = { 0 };
	bool changed, told = false;
	struct gpu_parked *parked;

	if (!gpu->display->impl->get_modes(gpu->display, modes, DISPLAY_KNOWN))
		return;
	changed = !modes_equal(gpu->modes, modes, gpu->scanout_count);
	memcpy(gpu->modes, modes, sizeof(modes));
	gpu_telemetry_modes(gpu);
	gpu_batch_begin(gpu);
	while ((parked = TAILQ_FIRST(&gpu->parked))) {
		told |= parked->command.hdr.type == VIRTIO_GPU_CMD_GET_DISPLAY_INFO;
		unpark(gpu, parked);
	}
	gpu_batch_end(gpu);
	if (!changed || told)
		return;
	/* "Display configuration has changed. The driver SHOULD use the
	 * VIRTIO_GPU_CMD_GET_DISPLAY_INFO command to fetch the information from the device." */
	gpu->events_read |= VIRTIO_GPU_EVENT_DISPLAY;
	if (gpu->base.host.config_changed)
		gpu->base.host.config_changed(gpu->base.host.data);
}

void gpu_display_info_drain(struct gpu *gpu, unsigned queue)
{
	struct gpu_parked *parked, *next;

	for (parked = TAILQ_FIRST(&gpu->parked); parked; parked = next) {
		next = TAILQ_NEXT(parked, link);
		if (parked->command.queue == queue)
			unpark(gpu, parked);
	}
}

/* "If no information is available [...] the driver MAY choose to use a fallback, such as
 * 1024x768 at display 0." So do we. */
void gpu_display_info_reset(struct gpu *gpu)
{
	struct gpu_parked *parked;

	while ((parked = TAILQ_FIRST(&gpu->parked))) {
		TAILQ_REMOVE(&gpu->parked, parked, link);
		free(parked);
	}
	memset(gpu->modes, 0, sizeof(gpu->modes));
	gpu->modes[0] = (struct display_mode){ .enabled = true, .width = 1024, .height = 768 };
}
