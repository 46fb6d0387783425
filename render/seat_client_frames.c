/* SPDX-License-Identifier: MIT */
/*
 * Frames of clients that know only vhost-user-gpu's own messages (QEMU's back end, others'): pixels
 * are kept in a copy of ours, and go from there to whichever of three buffers nobody reads; a
 * dma-buf is shown as it is, and its updates are answered when they are on screen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/checked.h"
#include "render/seat_client_private.h"

/* A frame may come in several pieces, but who sends more than these waits for the output. */
#define UPDATES_AHEAD 8
/* Of all pixel copies of a client; what they are shown by has the seat's own quota. */
#define PIXELS_MAX (UINT64_C(512) << 20)
#define DISCARD_SIZE 4096
#define IDS_PER_SCANOUT                                                           \
	(SEAT_BUFFERS_MAX / DISPLAY_SCANOUTS_MAX) /* three slots, or two dma-bufs \
						   */

static struct client_frames *frames_of(struct seat_client *client, uint32_t scanout)
{
	struct client_frames *frames;

	if (scanout >= DISPLAY_SCANOUTS_MAX)
		return NULL;
	frames = client->frames[scanout];
	if (frames)
		return frames;
	frames = calloc(1, sizeof(*frames));
	if (!frames)
		return NULL;
	frames->dmabuf = SEAT_NO_BUFFER;
	for (unsigned i = 0; i < CLIENT_SLOTS; i++)
		frames->slots[i].id = SEAT_NO_BUFFER;
	client->frames[scanout] = frames;
	return frames;
}

static uint32_t frames_id(uint32_t scanout, unsigned slot)
{
	return scanout * IDS_PER_SCANOUT + slot;
}

static void frames_reply(struct seat_client *client, struct client_frames *frames)
{
	for (; frames->replies; frames->replies--)
		client_send(client, GPU_MESSAGE_DMABUF_UPDATE, GPU_MESSAGE_FLAG_REPLY, NULL, 0, -1);
}

static int frames_present(struct seat_client *client, uint32_t scanout, uint32_t id,
    const struct display_rect *source, const struct seat_damage *damage)
{
	struct client_frames *frames = client->frames[scanout];
	struct seat_present present = { .scanout = scanout, .id = id, .serial = ++frames->serial };

	if (source)
		present.source = *source;
	_Static_assert(SEAT_DAMAGE_RECTS <= SEAT_DAMAGE_MAX, "the damage fits");
	if (damage && !damage->all) {
		present.damage_count = damage->count;
		memcpy(present.damage, damage->rects, damage->count * sizeof(*damage->rects));
	}
	frames->presented = true;
	return seat_present(client->source, &present, -1);
}

/* Nothing of what was there before. */
static void frames_clear(struct seat_client *client, struct client_frames *frames)
{
	for (unsigned i = 0; i < CLIENT_SLOTS; i++) {
		if (frames->slots[i].id != SEAT_NO_BUFFER)
			seat_free(client->source, frames->slots[i].id);
		frames->slots[i].id = SEAT_NO_BUFFER;
		frames->slots[i].map = NULL;
		frames->slots[i].busy = false;
	}
	if (frames->dmabuf != SEAT_NO_BUFFER)
		seat_free(client->source, frames->dmabuf);
	frames->dmabuf = SEAT_NO_BUFFER;
	free(frames->pixels);
	frames->pixels = NULL;
	frames->width = frames->height = 0;
	frames->dirty = false;
	frames->updates = 0;
	frames->damage = (struct seat_damage){ 0 };
}

void client_frames_finish(struct seat_client *client)
{
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		if (!client->frames[i])
			continue;
		frames_clear(client, client->frames[i]);
		free(client->frames[i]);
		client->frames[i] = NULL;
	}
}

/* ---------------------------------------------------------------- pixels */

static uint64_t client_pixels(const struct seat_client *client)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		if (client->frames[i] && client->frames[i]->pixels)
			sum += (uint64_t)client->frames[i]->width * client->frames[i]->height * 4;
	return sum;
}

void client_scanout(struct seat_client *client, const struct gpu_message_scanout *message)
{
	struct client_frames *frames = frames_of(client, message->scanout);
	uint64_t size;

	if (!frames) {
		client_refuse(client, "its scan-out is not set", -EINVAL);
		return;
	}
	if (frames->pixels && frames->width == message->width && frames->height == message->height)
		return;
	frames_clear(client, frames);
	if (!message->width || !message->height) {
		frames_present(client, message->scanout, SEAT_NO_BUFFER, NULL, NULL);
		return;
	}
	size = (uint64_t)message->width * message->height * 4;
	if (message->width > SEAT_SIZE_MAX || message->height > SEAT_SIZE_MAX ||
	    client_pixels(client) + size > PIXELS_MAX) {
		client_refuse(client, "its scan-out is too large", -EDQUOT);
		return;
	}
	frames->pixels = calloc(1, size);
	if (!frames->pixels) {
		client_refuse(client, "its scan-out is too large", -ENOMEM);
		return;
	}
	frames->width = message->width;
	frames->height = message->height;
	frames->damage.all = true;
}

static void copy_rect(
    const struct client_frames *frames, unsigned slot, const struct display_rect *rect)
{
	const uint32_t *from = frames->pixels + (size_t)rect->y * frames->width + rect->x;
	uint8_t *to = frames->slots[slot].map + (size_t)rect->y * frames->slots[slot].stride +
		      (size_t)rect->x * 4;

	for (uint32_t y = 0; y < rect->height; y++) {
		memcpy(to, from, (size_t)rect->width * 4);
		from += frames->width;
		to += frames->slots[slot].stride;
	}
}

/* One that nobody reads; CLIENT_SLOTS: none now. */
static unsigned frames_slot(struct seat_client *client, uint32_t scanout)
{
	struct client_frames *frames = client->frames[scanout];

	for (unsigned i = 0; i < CLIENT_SLOTS; i++) {
		uint32_t size;
		void *map;
		int error;

		if (frames->slots[i].id != SEAT_NO_BUFFER && !frames->slots[i].busy)
			return i;
		if (frames->slots[i].id != SEAT_NO_BUFFER)
			continue;
		error = seat_allocate(client->source, frames_id(scanout, i), scanout, frames->width,
		    frames->height, &frames->slots[i].stride, &size, NULL, &map);
		if (error < 0) {
			client_refuse(client, "there is no buffer for its pixels", error);
			return CLIENT_SLOTS;
		}
		frames->slots[i].id = frames_id(scanout, i);
		frames->slots[i].map = map;
		frames->slots[i].stale = (struct seat_damage){ .all = true };
		return i;
	}
	return CLIENT_SLOTS;
}

static void frames_show(struct seat_client *client, uint32_t scanout)
{
	struct client_frames *frames = client->frames[scanout];
	const struct display_rect all = { 0, 0, frames->width, frames->height };
	const unsigned slot = frames_slot(client, scanout);
	struct seat_damage damage;

	frames->dirty = true;
	if (slot == CLIENT_SLOTS)
		return;
	frames->dirty = false;
	damage = frames->damage;
	frames->damage = (struct seat_damage){ 0 };
	for (unsigned i = 0; i < CLIENT_SLOTS; i++)
		seat_damage_merge(&frames->slots[i].stale, &damage);
	if (frames->slots[slot].stale.all)
		copy_rect(frames, slot, &all);
	for (unsigned i = 0; !frames->slots[slot].stale.all && i < frames->slots[slot].stale.count;
	     i++)
		copy_rect(frames, slot, &frames->slots[slot].stale.rects[i]);
	frames->slots[slot].stale = (struct seat_damage){ 0 };
	frames->slots[slot].busy = true;
	frames_present(client, scanout, frames->slots[slot].id, &all, &damage);
}

void client_begin_update(struct seat_client *client)
{
	struct gpu_message_update *rect = &client->update.rect;
	struct client_frames *frames;
	uint64_t pixels, size;

	memcpy(rect, client->in, sizeof(*rect));
	/* As many pixels as the rectangle has, or the stream is out of step. */
	if (client->features & GPU_MESSAGE_F_SEAT ||
	    !checked_mul((uint64_t)rect->width, (uint64_t)rect->height, &pixels) ||
	    !checked_mul(pixels, (uint64_t)4, &size) ||
	    size != client->header.size - sizeof(*rect)) {
		client_fail(client, "an update of a wrong size");
		return;
	}
	frames = rect->scanout < DISPLAY_SCANOUTS_MAX ? client->frames[rect->scanout] : NULL;
	if (!frames || !frames->pixels || !range_inside(rect->x, rect->width, frames->width) ||
	    !range_inside(rect->y, rect->height, frames->height)) {
		client_refuse(client, "its update is outside of its scan-out", -EINVAL);
		frames = NULL;
	}
	client->update.active = true;
	client->update.frames = frames;
	client->update.done = 0;
	client->update.size = size;
}

uint8_t *client_update_room(struct seat_client *client, size_t *size)
{
	const struct gpu_message_update *rect = &client->update.rect;
	struct client_frames *frames = client->update.frames;
	const uint64_t row = (uint64_t)rect->width * 4,
		       left = client->update.size - client->update.done;
	uint64_t y, x;

	if (!frames) { /* over what has been read of it */
		*size = left < DISCARD_SIZE ? (size_t)left : DISCARD_SIZE;
		return client->in + sizeof(*rect);
	}
	y = client->update.done / row;
	x = client->update.done % row;
	*size = (size_t)(row - x);
	/* All of it at once where rows are next to each other. */
	if (rect->width == frames->width)
		*size = (size_t)left;
	return (uint8_t *)(frames->pixels + (rect->y + y) * frames->width + rect->x) + x;
}

void client_end_update(struct seat_client *client)
{
	const struct gpu_message_update *rect = &client->update.rect;
	struct client_frames *frames = client->update.frames;
	const struct display_rect damage = { rect->x, rect->y, rect->width, rect->height };

	if (!frames)
		return;
	seat_damage_add(&frames->damage, &damage);
	frames->updates++;
	frames_show(client, rect->scanout);
}

bool client_is_ahead(const struct seat_client *client)
{
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		if (client->frames[i] && client->frames[i]->presented &&
		    (client->frames[i]->updates >= UPDATES_AHEAD ||
			client->frames[i]->replies >= UPDATES_AHEAD))
			return true;
	return false;
}

void client_frames_shown(struct seat_client *client, unsigned scanout)
{
	struct client_frames *frames = client->frames[scanout];

	if (!frames)
		return;
	frames->presented = false;
	frames->updates = 0;
	frames_reply(client, frames);
	if (frames->dirty)
		frames_show(client, scanout);
	client_watch(client);
}

void client_frames_released(struct seat_client *client, uint32_t id)
{
	const uint32_t scanout = id / IDS_PER_SCANOUT;
	struct client_frames *frames = client->frames[scanout];

	for (unsigned i = 0; frames && i < CLIENT_SLOTS; i++)
		if (frames->slots[i].id == id)
			frames->slots[i].busy = false;
}

/* ---------------------------------------------------------------- dma-bufs */

void client_dmabuf_scanout(
    struct seat_client *client, const struct gpu_message_dmabuf *message, bool modifier)
{
	struct client_frames *frames = frames_of(client, message->scanout);
	struct display_dmabuf dmabuf = { .fd = client_take_fd(client),
		.width = message->buffer_width,
		.height = message->buffer_height,
		.stride = message->stride,
		.fourcc = message->fourcc,
		.modifier = modifier ? message->modifier : GPU_MESSAGE_MODIFIER_NONE,
		.y0_top = !(message->flags & GPU_MESSAGE_DMABUF_FLIPPED) };
	uint32_t id, before;
	int error;

	if (!frames) {
		client_refuse(client, "its scan-out is not set", -EINVAL);
		goto close;
	}
	before = frames->dmabuf;
	frames->dmabuf = SEAT_NO_BUFFER; /* it may be on screen yet */
	frames_clear(client, frames);
	if (before != SEAT_NO_BUFFER)
		seat_free(client->source, before);
	if (dmabuf.fd < 0) { /* "scan-out disabled" */
		frames_present(client, message->scanout, SEAT_NO_BUFFER, NULL, NULL);
		return;
	}
	id = frames_id(message->scanout, IDS_PER_SCANOUT - 1);
	error = seat_import(client->source, id, message->scanout, &dmabuf);
	if (error < 0) {
		client_refuse(client, "its frame cannot be shown", error);
		goto close;
	}
	frames->dmabuf = id;
	frames->dmabuf_rect =
	    (struct display_rect){ message->x, message->y, message->width, message->height };

close:
	if (dmabuf.fd >= 0)
		close(dmabuf.fd);
}

/* @rect of the scan-out, as damage of its buffer; "all" where it is none of it. */
static void dmabuf_damage(const struct client_frames *frames,
    const struct gpu_message_update *message, struct seat_damage *damage)
{
	struct display_rect rect = { message->x, message->y, message->width, message->height };

	*damage = (struct seat_damage){ .all = true };
	if (!range_inside(rect.x, rect.width, frames->dmabuf_rect.width) ||
	    !range_inside(rect.y, rect.height, frames->dmabuf_rect.height) || !rect.width ||
	    !rect.height)
		return;
	rect.x += frames->dmabuf_rect.x;
	rect.y += frames->dmabuf_rect.y;
	damage->all = false;
	seat_damage_add(damage, &rect);
}

void client_dmabuf_update(struct seat_client *client, const struct gpu_message_update *message)
{
	struct client_frames *frames = frames_of(client, message->scanout);
	struct seat_damage damage;
	int error;

	if (!frames || frames->dmabuf == SEAT_NO_BUFFER) {
		/* Answered all the same: it waits. */
		client_send(client, GPU_MESSAGE_DMABUF_UPDATE, GPU_MESSAGE_FLAG_REPLY, NULL, 0, -1);
		return;
	}
	dmabuf_damage(frames, message, &damage);
	frames->replies++;
	error =
	    frames_present(client, message->scanout, frames->dmabuf, &frames->dmabuf_rect, &damage);
	if (error < 0) {
		frames->presented = false;
		client_refuse(client, "its frame is not shown", error);
		frames_reply(client, frames);
	}
}
