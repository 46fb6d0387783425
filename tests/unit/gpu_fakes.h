/* SPDX-License-Identifier: MIT */
/*
 * A renderer and a display that remember what the device asked of them, and abort where it
 * breaks the contract of backend/renderer.h or backend/display.h.
 */
#ifndef GPUDOM_TESTS_UNIT_GPU_FAKES_H
#define GPUDOM_TESTS_UNIT_GPU_FAKES_H

#include <assert.h>
#include <errno.h>
#include <linux/virtio_gpu.h>
#include <stdlib.h>
#include <string.h>

#include "backend/display.h"
#include "backend/id_table.h"
#include "backend/renderer.h"

/* ---------------------------------------------------------------- renderer */

#define FAKE_CAPSET_SIZE 100
#define FAKE_FENCES_MAX 4096

struct fake_resource {
	struct id_entry entry;
	bool is_blob;
	struct renderer_resource template;
	const struct iovec *iov; /* NULL: no backing */
};

struct fake_fence {
	struct renderer_timeline timeline;
	uint64_t fence;
};

struct fake_renderer {
	struct renderer base;
	struct id_table resources, contexts;
	/* What the next calls answer */
	int next_error;   /* of one create, attach, submit or transfer; then 0 */
	int fence_result; /* 0: pending, 1: done, or -errno */
	/* What was asked for */
	unsigned ctx_attaches;
	unsigned submits, transfers_to, transfers_from, attaches, detaches, reads;
	struct renderer_transfer last_transfer;
	uint32_t last_submit_size, last_words[4], last_capset_id;
	char last_name[64];
	struct fake_fence fences[FAKE_FENCES_MAX];
	unsigned fence_count; /* created and not retired */
	unsigned fences_made;
};

static inline struct fake_renderer *fake_renderer(struct renderer *renderer)
{
	return (struct fake_renderer *)renderer;
}

static inline int fake_result(struct fake_renderer *fake)
{
	int error = fake->next_error;

	fake->next_error = 0;
	return error;
}

static inline struct fake_resource *fake_resource_find(struct renderer *renderer, uint32_t id)
{
	return (struct fake_resource *)id_table_find(&fake_renderer(renderer)->resources, id);
}

static inline int fake_get_capset_info(struct renderer *renderer, uint32_t index, uint32_t *id,
    uint32_t *max_version, uint32_t *max_size)
{
	if (index > 1)
		return -ENOENT;
	*id = index + 1;
	*max_version = index + 1;
	*max_size = FAKE_CAPSET_SIZE + index;
	return 0;
}

static inline int fake_get_capset(
    struct renderer *renderer, uint32_t id, uint32_t version, void *to)
{
	assert(id == 1 || id == 2);
	if (version == 0)
		return -EINVAL;
	memset(to, (int)(0xc0 + id), 8); /* the rest stays as it was: zeroed */
	return 0;
}

static inline int fake_create_context(
    struct renderer *renderer, uint32_t ctx_id, uint32_t capset_id, const char *name)
{
	struct fake_renderer *fake = fake_renderer(renderer);
	struct id_entry *context;
	int error = fake_result(fake);

	assert(ctx_id != 0 && !id_table_find(&fake->contexts, ctx_id));
	if (error)
		return error;
	fake->last_capset_id = capset_id;
	strncpy(fake->last_name, name, sizeof(fake->last_name) - 1);
	context = calloc(1, sizeof(*context));
	return id_table_insert(&fake->contexts, context, ctx_id);
}

static inline void fake_destroy_context(struct renderer *renderer, uint32_t ctx_id)
{
	struct id_entry *context = id_table_remove(&fake_renderer(renderer)->contexts, ctx_id);

	assert(context);
	free(context);
}

static inline int fake_attach_resource(
    struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id)
{
	assert(id_table_find(&fake_renderer(renderer)->contexts, ctx_id));
	fake_renderer(renderer)->ctx_attaches++;
	return fake_result(fake_renderer(renderer));
}

static inline void fake_detach_resource(
    struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id)
{
	assert(id_table_find(&fake_renderer(renderer)->contexts, ctx_id));
}

static inline int fake_submit(
    struct renderer *renderer, uint32_t ctx_id, void *commands, uint32_t size)
{
	struct fake_renderer *fake = fake_renderer(renderer);

	assert(id_table_find(&fake->contexts, ctx_id));
	assert(size > 0 && size % 4 == 0 && (uintptr_t)commands % 8 == 0);
	fake->submits++;
	fake->last_submit_size = size;
	memcpy(fake->last_words, commands, size < 16 ? size : 16);
	memset(commands, 0xdd, size); /* all of it is ours to write on */
	return fake_result(fake);
}

static inline int fake_create_fence(
    struct renderer *renderer, const struct renderer_timeline *timeline, uint64_t fence)
{
	struct fake_renderer *fake = fake_renderer(renderer);

	fake->fences_made++;
	if (fake->fence_result)
		return fake->fence_result;
	for (unsigned i = 0; i < fake->fence_count; i++)
		assert(fake->fences[i].timeline.ctx_id != timeline->ctx_id ||
		       fake->fences[i].timeline.ring_idx != timeline->ring_idx ||
		       fake->fences[i].fence < fence);
	assert(fake->fence_count < FAKE_FENCES_MAX);
	fake->fences[fake->fence_count++] = (struct fake_fence){ *timeline, fence };
	return 0;
}

/* Retires the oldest @count fences, in the order of their making. */
static inline void fake_retire(struct fake_renderer *fake, unsigned count)
{
	while (count-- > 0 && fake->fence_count > 0) {
		struct fake_fence first = fake->fences[0];

		fake->fence_count--;
		memmove(
		    fake->fences, fake->fences + 1, fake->fence_count * sizeof(fake->fences[0]));
		fake->base.listener.fence_retired(
		    fake->base.listener.data, &first.timeline, first.fence);
	}
}

static inline int fake_create_resource(
    struct renderer *renderer, uint32_t resource_id, const struct renderer_resource *template)
{
	struct fake_renderer *fake = fake_renderer(renderer);
	struct fake_resource *resource;
	int error = fake_result(fake);

	assert(resource_id != 0 && !fake_resource_find(renderer, resource_id));
	if (error)
		return error;
	resource = calloc(1, sizeof(*resource));
	resource->template = *template;
	return id_table_insert(&fake->resources, &resource->entry, resource_id);
}

static inline int fake_create_blob(struct renderer *renderer, uint32_t resource_id, uint32_t ctx_id,
    uint64_t size, const struct iovec *iov, unsigned iov_count)
{
	struct fake_renderer *fake = fake_renderer(renderer);
	struct fake_resource *resource;
	int error = fake_result(fake);
	size_t bytes = 0;

	assert(resource_id != 0 && !fake_resource_find(renderer, resource_id));
	for (unsigned i = 0; i < iov_count; i++)
		bytes += iov[i].iov_len;
	assert(size > 0 && bytes >= size);
	if (error)
		return error;
	resource = calloc(1, sizeof(*resource));
	resource->is_blob = true;
	resource->iov = iov;
	return id_table_insert(&fake->resources, &resource->entry, resource_id);
}

static inline void fake_destroy_resource(struct renderer *renderer, uint32_t resource_id)
{
	free(id_table_remove(&fake_renderer(renderer)->resources, resource_id));
}

static inline int fake_attach_backing(
    struct renderer *renderer, uint32_t resource_id, const struct iovec *iov, unsigned iov_count)
{
	struct fake_resource *resource = fake_resource_find(renderer, resource_id);
	int error = fake_result(fake_renderer(renderer));

	assert(resource && !resource->iov && !resource->is_blob && iov && iov_count > 0);
	if (error)
		return error;
	fake_renderer(renderer)->attaches++;
	resource->iov = iov;
	return 0;
}

static inline void fake_detach_backing(struct renderer *renderer, uint32_t resource_id)
{
	struct fake_resource *resource = fake_resource_find(renderer, resource_id);

	assert(resource && resource->iov && !resource->is_blob);
	fake_renderer(renderer)->detaches++;
	resource->iov = NULL;
}

static inline int fake_transfer(
    struct renderer *renderer, const struct renderer_transfer *transfer, unsigned *count)
{
	struct fake_resource *resource = fake_resource_find(renderer, transfer->resource_id);

	assert(resource && resource->iov);
	(*count)++;
	fake_renderer(renderer)->last_transfer = *transfer;
	return fake_result(fake_renderer(renderer));
}

static inline int fake_transfer_to_host(
    struct renderer *renderer, const struct renderer_transfer *transfer)
{
	return fake_transfer(renderer, transfer, &fake_renderer(renderer)->transfers_to);
}

static inline int fake_transfer_from_host(
    struct renderer *renderer, const struct renderer_transfer *transfer)
{
	return fake_transfer(renderer, transfer, &fake_renderer(renderer)->transfers_from);
}

/* Every byte of a pixel at x, y of resource n is n + x + y. */
static inline uint8_t fake_pixel_byte(uint32_t resource_id, uint32_t x, uint32_t y)
{
	return (uint8_t)(resource_id + x + y);
}

static inline int fake_read_pixels(struct renderer *renderer,
    const struct renderer_scanout *scanout, const struct display_rect *rect, void *to,
    size_t stride)
{
	assert(fake_resource_find(renderer, scanout->resource_id));
	assert(
	    rect->x + rect->width <= scanout->width && rect->y + rect->height <= scanout->height);
	fake_renderer(renderer)->reads++;
	for (uint32_t y = 0; y < rect->height; y++) {
		uint8_t *row = (uint8_t *)to + y * stride;

		for (uint32_t x = 0; x < rect->width; x++)
			memset(row + 4 * (size_t)x,
			    fake_pixel_byte(scanout->resource_id, rect->x + x, rect->y + y), 4);
	}
	return fake_result(fake_renderer(renderer));
}

static inline void fake_renderer_reset(struct renderer *renderer)
{
	struct fake_renderer *fake = fake_renderer(renderer);
	struct id_entry *entry;

	while ((entry = id_table_any(&fake->contexts)))
		free(id_table_remove(&fake->contexts, entry->id));
	while ((entry = id_table_any(&fake->resources)))
		free(id_table_remove(&fake->resources, entry->id));
	fake->fence_count = 0;
}

static const struct renderer_impl fake_renderer_impl = {
	.name = "fake",
	.get_capset_info = fake_get_capset_info,
	.get_capset = fake_get_capset,
	.create_context = fake_create_context,
	.destroy_context = fake_destroy_context,
	.attach_resource = fake_attach_resource,
	.detach_resource = fake_detach_resource,
	.submit = fake_submit,
	.create_fence = fake_create_fence,
	.create_resource = fake_create_resource,
	.create_blob = fake_create_blob,
	.destroy_resource = fake_destroy_resource,
	.attach_backing = fake_attach_backing,
	.detach_backing = fake_detach_backing,
	.transfer_to_host = fake_transfer_to_host,
	.transfer_from_host = fake_transfer_from_host,
	.read_pixels = fake_read_pixels,
	.reset = fake_renderer_reset,
};

static inline void fake_renderer_init(struct fake_renderer *fake)
{
	*fake = (struct fake_renderer){ .base = { .impl = &fake_renderer_impl, .has_3d = true } };
}

static inline void fake_renderer_finish(struct fake_renderer *fake)
{
	id_table_finish(&fake->resources);
	id_table_finish(&fake->contexts);
}

/* ---------------------------------------------------------------- display */

struct fake_display {
	struct display base;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	bool modes_known, shows_at_once;
	unsigned fresh_asked; /* get_modes() with refresh */
	struct display_source *sources[DISPLAY_SCANOUTS_MAX];
	struct display_rect damage[DISPLAY_SCANOUTS_MAX]; /* of the last flush */
	uint64_t serial[DISPLAY_SCANOUTS_MAX];            /* likewise */
	unsigned flushes[DISPLAY_SCANOUTS_MAX];
	bool cursor_visible[DISPLAY_SCANOUTS_MAX];
	struct display_cursor cursor;
	uint32_t cursor_x, cursor_y;
	uint64_t forgotten; /* the last buffer */
	unsigned forgets;
	enum display_path path;
	int path_reason;
	size_t edid_size; /* of every output */
	uint8_t edid[DISPLAY_EDID_MAX];
};

static inline struct fake_display *fake_display(struct display *display)
{
	return (struct fake_display *)display;
}

static inline bool fake_get_modes(struct display *display,
    struct display_mode modes[DISPLAY_SCANOUTS_MAX], enum display_refresh refresh)
{
	fake_display(display)->fresh_asked += refresh != DISPLAY_KNOWN;
	if (fake_display(display)->modes_known)
		memcpy(modes, fake_display(display)->modes, sizeof(fake_display(display)->modes));
	return fake_display(display)->modes_known;
}

static inline void fake_set_source(
    struct display *display, unsigned scanout, struct display_source *source)
{
	struct fake_display *fake = fake_display(display);
	uint8_t pixel[4];

	assert(scanout < DISPLAY_SCANOUTS_MAX && source != fake->sources[scanout]);
	/* "The old source is valid until this returns" */
	if (fake->sources[scanout])
		fake->sources[scanout]->impl->read(fake->sources[scanout],
		    &(struct display_rect){ .width = 1, .height = 1 }, pixel, sizeof(pixel));
	fake->sources[scanout] = source;
}

static inline void fake_shown(struct fake_display *fake, unsigned scanout)
{
	fake->base.listener.shown(fake->base.listener.data, scanout, fake->serial[scanout]);
}

static inline void fake_flush(
    struct display *display, unsigned scanout, const struct display_rect *damage, uint64_t serial)
{
	struct fake_display *fake = fake_display(display);
	struct display_source *source = fake->sources[scanout];

	assert(source && serial > fake->serial[scanout]);
	assert(damage->width > 0 && damage->x + damage->width <= source->width);
	assert(damage->height > 0 && damage->y + damage->height <= source->height);
	fake->damage[scanout] = *damage;
	fake->serial[scanout] = serial;
	fake->flushes[scanout]++;
	if (fake->shows_at_once)
		fake_shown(fake, scanout);
}

static inline void fake_set_cursor(struct display *display, unsigned scanout,
    const struct display_cursor *cursor, uint32_t x, uint32_t y)
{
	struct fake_display *fake = fake_display(display);

	fake->cursor_visible[scanout] = cursor != NULL;
	if (cursor) {
		assert(cursor->hot_x < DISPLAY_CURSOR_SIZE && cursor->hot_y < DISPLAY_CURSOR_SIZE);
		fake->cursor = *cursor;
	}
	fake->cursor_x = x;
	fake->cursor_y = y;
}

static inline void fake_move_cursor(
    struct display *display, unsigned scanout, uint32_t x, uint32_t y)
{
	fake_display(display)->cursor_x = x;
	fake_display(display)->cursor_y = y;
}

static inline void fake_forget(struct display *display, uint64_t buffer)
{
	struct fake_display *fake = fake_display(display);

	assert(buffer);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		assert(!fake->sources[i] || fake->sources[i]->buffer != buffer);
	fake->forgotten = buffer;
	fake->forgets++;
}

static inline enum display_path fake_get_path(
    struct display *display, unsigned scanout, int *reason)
{
	*reason = fake_display(display)->path_reason;
	return fake_display(display)->path;
}

static inline size_t fake_get_edid(
    struct display *display, unsigned scanout, uint8_t edid[DISPLAY_EDID_MAX])
{
	memcpy(edid, fake_display(display)->edid, fake_display(display)->edid_size);
	return fake_display(display)->edid_size;
}

static const struct display_impl fake_display_impl = {
	.forget = fake_forget,
	.get_path = fake_get_path,
	.get_edid = fake_get_edid,
	.get_modes = fake_get_modes,
	.set_source = fake_set_source,
	.flush = fake_flush,
	.set_cursor = fake_set_cursor,
	.move_cursor = fake_move_cursor,
};

static inline void fake_display_init(struct fake_display *fake)
{
	*fake = (struct fake_display){
		.base = { .impl = &fake_display_impl },
		.modes_known = true,
		.shows_at_once = true,
	};
	fake->modes[0] = (struct display_mode){
		.enabled = true, .width = 1280, .height = 800, .refresh = 60000
	};
}

#endif
