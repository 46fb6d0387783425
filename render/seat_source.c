/* SPDX-License-Identifier: MIT */
/* What a guest's GPU says: buffers, frames, cursors. Its numbers are not believed. */
#include <drm_fourcc.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "backend/checked.h"
#include "render/seat_private.h"

/* ---------------------------------------------------------------- frames */

void frame_drop(struct seat_frame *frame)
{
	sd_event_source_disable_unref(frame->fence_source);
	if (frame->fence >= 0)
		close(frame->fence);
	buffer_unref(frame->buffer);
	*frame = (struct seat_frame){ .fence = -1 };
}

/* @frame is overtaken by the next one, which shows what it damaged, too. */
static void frame_overtake(struct seat_frame *frame, struct seat_frame *next)
{
	seat_damage_merge(&next->damage, &frame->damage);
	frame->scanout->overtaken++;
	frame_drop(frame);
}

static bool frame_same_place(const struct seat_frame *a, const struct seat_frame *b)
{
	return a->buffer && b->buffer && a->buffer->fb->width == b->buffer->fb->width &&
	       a->buffer->fb->height == b->buffer->fb->height &&
	       !memcmp(&a->source, &b->source, sizeof(a->source));
}

bool scanout_latch(struct seat_scanout *scanout)
{
	struct seat_frame *frame = &scanout->waiting[0], *next = &scanout->waiting[1];

	if (next->there && next->fence < 0) {
		frame_overtake(frame, next);
		frame = next;
	}
	if (!frame->there || frame->fence >= 0)
		return false;
	if (!frame_same_place(&scanout->shown, frame))
		frame->damage.all = true;
	seat_damage_merge(&scanout->damage, &frame->damage);
	frame_drop(&scanout->shown);
	scanout->shown = *frame;
	scanout->picture = false;
	scanout->owes = true;
	*frame = (struct seat_frame){ .fence = -1 };
	if (frame != next && next->there) {
		/* Its fence's callback finds it by the scan-out. */
		scanout->waiting[0] = *next;
		*next = (struct seat_frame){ .fence = -1 };
	}
	return true;
}

static bool scanout_is_seen(const struct seat_scanout *scanout)
{
	return scanout->placed && scanout->view.visible &&
	       screen_is_on(&scanout->seat->screens[scanout->view.output]);
}

static bool scanout_has_news(const struct seat_scanout *scanout)
{
	for (unsigned i = 0; i < 2; i++)
		if (scanout->waiting[i].there && scanout->waiting[i].fence < 0)
			return true;
	return false;
}

void scanout_changed(struct seat_scanout *scanout)
{
	if (!scanout_has_news(scanout))
		return;
	if (scanout_is_seen(scanout)) {
		screen_touch(&scanout->seat->screens[scanout->view.output]);
	} else if (scanout_latch(scanout)) {
		scanout->path = scanout->shown.buffer ? SEAT_PATH_HIDDEN : SEAT_PATH_NONE;
		scanout_pace(scanout);
	}
}

static int frame_on_fence(sd_event_source *source, int fd, uint32_t events, void *data);

/* Takes @fence over if 0 is returned. */
static int frame_watch(struct seat_frame *frame, int fence)
{
	struct pollfd poll_fence = { .fd = fence, .events = POLLIN };
	int error;

	if (poll(&poll_fence, 1, 0) > 0) { /* it has signalled */
		close(fence);
		return 0;
	}
	error = sd_event_add_io(frame->scanout->seat->options.event, &frame->fence_source, fence,
	    EPOLLIN, frame_on_fence, frame->scanout);
	if (error < 0)
		return error;
	frame->fence = fence;
	return 0;
}

/* A fence of what is being drawn into it now: a plane would wait for that with its whole output,
 * and who reads it with everybody. -1: nothing is, or the kernel (before Linux 6.0) cannot tell. */
static int buffer_fence(const struct seat_buffer *buffer)
{
	const struct seat *seat = buffer->seat;
	struct dma_buf_export_sync_file export = { .flags = DMA_BUF_SYNC_READ, .fd = -1 };
	struct pollfd dmabuf = { .fd = -1, .events = POLLIN };

	if (buffer->imported && seat->backend->impl->dmabuf)
		dmabuf.fd = seat->backend->impl->dmabuf(seat->backend, buffer->fb);
	if (dmabuf.fd < 0 || poll(&dmabuf, 1, 0) != 0)
		return -1;
	if (seat->options.any_fence)
		return fcntl(dmabuf.fd, F_DUPFD_CLOEXEC, 0);
	return ioctl(dmabuf.fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export) < 0 ? -1 : export.fd;
}

/* After its own fence: not all that draws is in it. */
static void frame_settle(struct seat_frame *frame)
{
	const int fence = frame->buffer ? buffer_fence(frame->buffer) : -1;

	frame->settled = true;
	if (fence >= 0 && frame_watch(frame, fence) < 0)
		close(fence);
}

static int frame_on_fence(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct seat_scanout *scanout = data;

	for (unsigned i = 0; i < 2; i++) {
		struct seat_frame *frame = &scanout->waiting[i];

		if (frame->fence_source != source)
			continue;
		frame->fence_source = sd_event_source_disable_unref(frame->fence_source);
		close(frame->fence);
		frame->fence = -1;
		if (!frame->settled)
			frame_settle(frame);
		break;
	}
	scanout_changed(scanout);
	return 0;
}

/* What is no sync file could be anything: waiting for it might not be in our hands. */
static int fence_check(const struct seat *seat, int fence)
{
	struct sync_file_info info = { 0 };

	if (seat->options.any_fence)
		return 0;
	return ioctl(fence, SYNC_IOC_FILE_INFO, &info) < 0 ? -EINVAL : 0;
}

static int frame_wait(struct seat_frame *frame, int fence)
{
	int error = fence_check(frame->scanout->seat, fence);

	return error < 0 ? error : frame_watch(frame, fence);
}

static int present_check(const struct seat_present *present, const struct seat_buffer *buffer)
{
	const struct display_rect *source = &present->source;

	if (!buffer)
		return 0;
	if (!source->width || !source->height ||
	    !range_inside(source->x, source->width, buffer->fb->width) ||
	    !range_inside(source->y, source->height, buffer->fb->height))
		return -EINVAL;
	for (unsigned i = 0; i < present->damage_count; i++) {
		const struct display_rect *rect = &present->damage[i];

		if (!range_inside(rect->x, rect->width, buffer->fb->width) ||
		    !range_inside(rect->y, rect->height, buffer->fb->height))
			return -EINVAL;
	}
	return 0;
}

static int present_find(
    struct seat_source *source, const struct seat_present *present, struct seat_buffer **buffer)
{
	*buffer = NULL;
	if (present->scanout >= DISPLAY_SCANOUTS_MAX || present->damage_count > SEAT_DAMAGE_MAX)
		return -EINVAL;
	if (present->id == SEAT_NO_BUFFER)
		return 0;
	if (present->id >= SEAT_BUFFERS_MAX)
		return -EINVAL;
	*buffer = source->buffers[present->id];
	return *buffer ? present_check(present, *buffer) : -ENOENT;
}

int seat_present(struct seat_source *source, const struct seat_present *present, int fence)
{
	struct seat_frame frame = { .there = true, .fence = -1, .serial = present->serial };
	struct seat_scanout *scanout = NULL;
	struct seat_frame *slot;
	int error = present_find(source, present, &frame.buffer);

	if (error == 0) {
		scanout = guest_scanout(source->guest, present->scanout);
		error = scanout ? 0 : -ENOMEM;
	}
	frame.scanout = scanout;
	if (error == 0 && fence >= 0)
		error = frame_wait(&frame, fence);
	if (error) {
		if (fence >= 0)
			close(fence);
		return error;
	}
	if (frame.fence < 0)
		frame_settle(&frame);
	buffer_ref(frame.buffer);
	frame.source = frame.buffer ? present->source : (struct display_rect){ 0 };
	frame.damage.all = !present->damage_count;
	for (unsigned i = 0; i < present->damage_count; i++)
		seat_damage_add(&frame.damage, &present->damage[i]);
	scanout->presented++;
	/* One that is ready is not given up for one that may never be. */
	slot = &scanout->waiting[scanout->waiting[0].there &&
				 (scanout->waiting[0].fence >= 0 || frame.fence >= 0)];
	if (slot->there) {
		/* Where it was elsewhere in its buffer, all of it is new. */
		if (!frame_same_place(slot, &frame))
			frame.damage.all = true;
		frame_overtake(slot, &frame);
	}
	*slot = frame;
	scanout_changed(scanout);
	scanout_set_frame_size(scanout, frame.source.width, frame.source.height);
	return 0;
}

/* ---------------------------------------------------------------- buffers */

/* The output that the buffer is to be shown on: of a scan-out that has none, the first one that
 * there is. */
static struct seat_output *source_output(struct seat_source *source, uint32_t index)
{
	struct seat *seat = source->seat;
	const struct seat_scanout *scanout = source->guest->scanouts[index];

	if (scanout && scanout->placed)
		return seat->screens[scanout->view.output].output;
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++)
		if (seat->screens[i].output && seat->screens[i].output->connected)
			return seat->screens[i].output;
	return seat->screens[0].output;
}

static int source_check(const struct seat_source *source, uint32_t id, uint32_t scanout,
    uint32_t width, uint32_t height)
{
	if (scanout >= DISPLAY_SCANOUTS_MAX || !width || !height || width > SEAT_SIZE_MAX ||
	    height > SEAT_SIZE_MAX)
		return -EINVAL;
	if (id >= SEAT_BUFFERS_MAX)
		return -EDQUOT;
	return source->buffers[id] ? -EEXIST : 0;
}

static int source_charge(
    const struct seat_source *source, uint64_t stride, uint64_t height, uint64_t *bytes)
{
	uint64_t sum;

	if (!checked_mul(stride, height, bytes) ||
	    !checked_add(source->guest->bytes, *bytes, &sum) || sum > SEAT_SOURCE_BYTES_MAX)
		return -EDQUOT;
	return 0;
}

static int source_adopt(struct seat_source *source, uint32_t id, struct seat_fb *fb, uint64_t bytes,
    struct seat_buffer **out)
{
	struct seat_buffer *buffer = NULL;
	int error = buffer_create(source->seat, fb, &buffer);

	if (error < 0)
		return error;
	buffer->source = source;
	buffer->id = id;
	buffer_charge(buffer, source->guest, bytes);
	source->buffers[id] = buffer;
	*out = buffer;
	return 0;
}

int seat_import(
    struct seat_source *source, uint32_t id, uint32_t index, const struct display_dmabuf *dmabuf)
{
	struct seat_backend *backend = source->seat->backend;
	struct seat_scanout *scanout;
	struct seat_buffer *buffer = NULL;
	struct seat_output *output;
	struct seat_fb *fb;
	uint64_t bytes;
	int error = source_check(source, id, index, dmabuf->width, dmabuf->height);

	if (error == 0)
		error = source_charge(source, dmabuf->stride, dmabuf->height, &bytes);
	if (error < 0)
		return error;
	output = source_output(source, index);
	scanout = guest_scanout(source->guest, index);
	if (!output || !scanout)
		return output ? -ENOMEM : -ENOTSUP;
	error = backend->impl->import(backend, output, dmabuf, &fb);
	scanout->import_error = error;
	if (error == 0)
		error = source_adopt(source, id, fb, bytes, &buffer);
	if (error)
		return error;
	buffer->imported = true;
	buffer->modifier = dmabuf->modifier;
	return 0;
}

int seat_allocate(struct seat_source *source, uint32_t id, uint32_t scanout, uint32_t width,
    uint32_t height, uint32_t *stride, uint32_t *size, int *fd, void **map)
{
	struct seat_backend *backend = source->seat->backend;
	struct seat_output *output;
	struct seat_buffer *buffer = NULL;
	struct seat_fb *fb;
	size_t exported = 0;
	uint64_t bytes;
	int error = source_check(source, id, scanout, width, height);

	/* Rows may be aligned, which is not much. */
	if (error == 0)
		error = source_charge(source, (uint64_t)width * 4, height, &bytes);
	if (error < 0)
		return error;
	output = source_output(source, scanout);
	if (!output)
		return -ENOTSUP;
	error = backend->impl->allocate(backend, output, width, height, false, &fb);
	if (error == 0)
		error = source_adopt(source, id, fb, bytes, &buffer);
	if (error < 0)
		return error;
	*stride = fb->stride;
	*size = 0;
	if (fd) {
		*fd = backend->impl->export(backend, fb, &exported);
		error = *fd >= 0 ? 0 : *fd;
		if (*fd >= 0 && exported > UINT32_MAX) {
			close(*fd);
			error = -EDQUOT;
		}
		*size = (uint32_t)exported;
	}
	if (error == 0 && map) {
		*map = backend->impl->map(backend, fb);
		error = *map ? 0 : -ENOTSUP;
	}
	if (error < 0) {
		source->buffers[id] = NULL;
		buffer_disown(buffer);
	}
	return error;
}

int seat_free(struct seat_source *source, uint32_t id)
{
	struct seat_buffer *buffer = NULL;

	if (id >= SEAT_BUFFERS_MAX || !source->buffers[id])
		return -ENOENT;
	buffer = source->buffers[id];
	source->buffers[id] = NULL;
	buffer_disown(buffer);
	return 0;
}

/* ---------------------------------------------------------------- cursors */

int seat_set_cursor(struct seat_source *source, uint32_t index, const struct display_cursor *cursor,
    int32_t x, int32_t y)
{
	struct seat_scanout *scanout;

	if (index >= DISPLAY_SCANOUTS_MAX)
		return -EINVAL;
	scanout = guest_scanout(source->guest, index);
	if (!scanout)
		return -ENOMEM;
	if (!cursor && !scanout->cursor_visible)
		return 0;
	scanout->cursor_visible = cursor;
	scanout->cursor_x = x;
	scanout->cursor_y = y;
	if (cursor && memcmp(&scanout->cursor, cursor, sizeof(*cursor)) != 0) {
		scanout->cursor = *cursor;
		scanout->cursor_generation++;
	}
	if (scanout_is_seen(scanout))
		screen_show_cursor(&scanout->seat->screens[scanout->view.output]);
	return 0;
}

int seat_move_cursor(struct seat_source *source, uint32_t index, int32_t x, int32_t y)
{
	struct seat_scanout *scanout;

	if (index >= DISPLAY_SCANOUTS_MAX)
		return -EINVAL;
	scanout = source->guest->scanouts[index];
	if (!scanout || (scanout->cursor_x == x && scanout->cursor_y == y))
		return 0;
	scanout->cursor_x = x;
	scanout->cursor_y = y;
	if (scanout->cursor_visible && scanout_is_seen(scanout))
		screen_show_cursor(&scanout->seat->screens[scanout->view.output]);
	return 0;
}

/* ---------------------------------------------------------------- life time */

int seat_attach(struct seat *seat, const char *name, const struct seat_source_listener *listener,
    struct seat_source **out)
{
	struct seat_guest *guest = seat_make_guest(seat, name);
	struct seat_source *source;

	if (!guest)
		return -ENFILE;
	if (guest->source)
		return -EBUSY;
	source = calloc(1, sizeof(*source));
	if (!source)
		return -ENOMEM;
	source->seat = seat;
	source->guest = guest;
	source->listener = *listener;
	guest->source = source;
	seat_lay_out(seat);
	*out = source;
	return 0;
}

/* The last frame is shown as soon as it can be; those that wait for a fence will hardly be. */
static void source_abandon(struct seat_source *source, struct seat_scanout *scanout)
{
	for (unsigned i = 0; i < 2; i++)
		if (scanout->waiting[i].there && scanout->waiting[i].fence >= 0)
			frame_drop(&scanout->waiting[i]);
	scanout->owes = false;
	scanout->committed = NULL;
	if (scanout->cursor_visible) {
		scanout->cursor_visible = false;
		if (scanout_is_seen(scanout))
			screen_show_cursor(&scanout->seat->screens[scanout->view.output]);
	}
}

void seat_detach(struct seat_source *source)
{
	struct seat *seat;

	if (!source)
		return;
	seat = source->seat;
	source->listener = (struct seat_source_listener){ 0 };
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		if (source->guest->scanouts[i])
			source_abandon(source, source->guest->scanouts[i]);
	for (uint32_t id = 0; id < SEAT_BUFFERS_MAX; id++)
		seat_free(source, id);
	source->guest->source = NULL;
	free(source);
	seat_lay_out(seat);
}

const char *seat_source_guest(const struct seat_source *source)
{
	return source->guest->name;
}

unsigned seat_source_buffers(const struct seat_source *source)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++)
		count += source->buffers[i] != NULL;
	return count;
}

uint64_t seat_source_bytes(const struct seat_source *source)
{
	return source->guest->bytes;
}
