/* SPDX-License-Identifier: MIT */
#include "render/seat_memory.h"

#include <drm_fourcc.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "backend/checked.h"
#include "render/seat_compose.h"

#define MODES_MAX 8
#define SIZE_MAX_PIXELS 16384

struct memory_fb {
	struct seat_fb base;
	int fd;
	uint8_t *map;
	size_t size;
	uint32_t offset;
	bool imported, dmabuf; /* of the kernel's: reads are announced to it */
	struct seat_image *image;
};

struct memory_stack {
	struct seat_layer layers[SEAT_LAYERS_MAX];
	unsigned count;
};

struct memory_output {
	struct seat_output base;
	struct memory_backend *memory;
	struct seat_mode modes[MODES_MAX];
	bool pending;
	struct memory_stack next, shown;
	bool cursor_visible;
	struct display_cursor cursor;
	int32_t cursor_x, cursor_y;
	uint64_t sequence, due_ns;
	sd_event_source *clock;
	uint32_t *pixels;
	uint32_t pixels_width, pixels_height;
};

struct memory_backend {
	struct seat_backend base;
	struct seat_memory_options options;
	struct memory_output outputs[SEAT_OUTPUTS_MAX];
	struct seat_memory_counts counts;
	int error;
	int drawing; /* -1: nobody is */
};

static struct memory_backend *memory_of(const struct seat_backend *backend)
{
	return (struct memory_backend *)backend;
}

static struct memory_output *output_of(struct seat_output *output)
{
	return (struct memory_output *)output;
}

static uint64_t memory_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---------------------------------------------------------------- modes */

static void output_add_mode(struct memory_output *output, struct seat_mode mode)
{
	if (output->base.mode_count < MODES_MAX)
		output->modes[output->base.mode_count++] = mode;
	output->base.modes = output->modes;
}

/* A monitor's preferred mode, and some smaller ones. */
static void output_plug(struct memory_output *output, const struct seat_mode *mode)
{
	static const uint32_t sizes[][2] = { { 1920, 1080 }, { 1280, 720 }, { 1024, 768 },
		{ 800, 600 }, { 640, 480 } };
	struct seat_mode first = *mode;

	output->base.connected = true;
	output->base.mode_count = 0;
	first.preferred = true;
	first.refresh = first.refresh ? first.refresh : 60000;
	output_add_mode(output, first);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		if (sizes[i][0] <= mode->width && sizes[i][1] <= mode->height &&
		    (sizes[i][0] != mode->width || sizes[i][1] != mode->height))
			output_add_mode(
			    output, (struct seat_mode){ sizes[i][0], sizes[i][1], 60000, false });
}

static void output_unplug(struct memory_output *output)
{
	output->base.connected = false;
	output->base.mode_count = 0;
	output->base.mode = (struct seat_mode){ 0 };
	output->pending = false;
	output->next.count = output->shown.count = 0;
	output->cursor_visible = false;
}

static int memory_set_mode(
    struct seat_backend *backend, struct seat_output *output, const struct seat_mode *mode)
{
	struct memory_backend *memory = memory_of(backend);

	if (!backend->active)
		return -EPERM;
	memory->counts.mode_sets++;
	if (!mode->width) {
		output_of(output)->pending = false;
		output_of(output)->next.count = output_of(output)->shown.count = 0;
		output->mode = (struct seat_mode){ 0 };
		return 0;
	}
	for (unsigned i = 0; i < output->mode_count; i++) {
		const struct seat_mode *one = &output->modes[i];

		if (one->width == mode->width && one->height == mode->height &&
		    one->refresh == mode->refresh) {
			output->mode = *one;
			return 0;
		}
	}
	return -EINVAL;
}

/* ---------------------------------------------------------------- commits */

bool seat_memory_flip(struct seat_backend *backend, unsigned index)
{
	struct memory_output *output = &memory_of(backend)->outputs[index];

	output->sequence++;
	if (!output->pending)
		return false;
	output->pending = false;
	output->shown = output->next;
	memory_of(backend)->counts.flips++;
	if (backend->listener.flipped)
		backend->listener.flipped(
		    backend->listener.data, &output->base, output->sequence, memory_now());
	return true;
}

static uint64_t output_period(const struct memory_output *output)
{
	return UINT64_C(1000000000000) /
	       (output->base.mode.refresh ? output->base.mode.refresh : 60000);
}

static int output_on_clock(sd_event_source *source, uint64_t usec, void *data)
{
	struct memory_output *output = data;

	seat_memory_flip(&output->memory->base, output->base.index);
	return 0;
}

/* The next blank of a clock that goes on when nobody looks. */
static void output_arm(struct memory_output *output)
{
	const uint64_t now = memory_now(), period = output_period(output);

	if (!output->clock)
		return;
	if (output->due_ns + 4 * period < now)
		output->due_ns = now;
	while (output->due_ns <= now)
		output->due_ns += period;
	sd_event_source_set_time(output->clock, output->due_ns / 1000);
	sd_event_source_set_enabled(output->clock, SD_EVENT_ONESHOT);
}

static bool stack_possible(
    const struct memory_backend *memory, const struct seat_layer *layers, unsigned count)
{
	const unsigned planes = memory->options.planes;

	if (count > SEAT_LAYERS_MAX || (planes && count > planes))
		return false;
	for (unsigned i = 0; i < count; i++) {
		const struct seat_layer *layer = &layers[i];

		if (!range_inside(layer->source.x, layer->source.width, layer->fb->width) ||
		    !range_inside(layer->source.y, layer->source.height, layer->fb->height))
			return false;
		if (memory->options.no_scaling &&
		    (layer->width != layer->source.width || layer->height != layer->source.height))
			return false;
	}
	return true;
}

static int memory_commit(struct seat_backend *backend, struct seat_output *base,
    const struct seat_layer *layers, unsigned count, bool test)
{
	struct memory_backend *memory = memory_of(backend);
	struct memory_output *output = output_of(base);

	if (test)
		memory->counts.tests++;
	if (!backend->active)
		return -EPERM;
	if (memory->error)
		return memory->error;
	if (!base->connected || !base->mode.width)
		return -ENODEV;
	if (!stack_possible(memory, layers, count)) {
		memory->counts.refused++;
		return -EINVAL;
	}
	if (test)
		return 0;
	if (output->pending)
		return -EBUSY;
	memory->counts.commits++;
	for (unsigned i = 0; i < count; i++) {
		output->next.layers[i] = layers[i];
		output->next.layers[i].damage = NULL; /* the caller's */
	}
	output->next.count = count;
	output->pending = true;
	output_arm(output);
	return 0;
}

static int memory_set_cursor(struct seat_backend *backend, struct seat_output *base,
    const struct display_cursor *cursor, int32_t x, int32_t y)
{
	struct memory_backend *memory = memory_of(backend);
	struct memory_output *output = output_of(base);

	if (memory->options.no_cursor)
		return cursor ? -ENOTSUP : 0;
	if (!backend->active)
		return -EPERM;
	memory->counts.cursor_images++;
	output->cursor_visible = cursor;
	if (cursor)
		output->cursor = *cursor;
	output->cursor_x = x;
	output->cursor_y = y;
	return 0;
}

static int memory_move_cursor(
    struct seat_backend *backend, struct seat_output *base, int32_t x, int32_t y)
{
	struct memory_output *output = output_of(base);

	if (!backend->active)
		return -EPERM;
	memory_of(backend)->counts.cursor_moves++;
	output->cursor_x = x;
	output->cursor_y = y;
	return 0;
}

/* ---------------------------------------------------------------- pictures */

static struct memory_fb *fb_create(struct memory_backend *memory)
{
	struct memory_fb *fb = calloc(1, sizeof(*fb));

	if (!fb)
		return NULL;
	fb->fd = -1;
	fb->map = MAP_FAILED;
	memory->counts.fbs++;
	return fb;
}

static void memory_free(struct seat_backend *backend, struct seat_fb *base)
{
	struct memory_fb *fb = (struct memory_fb *)base;

	if (!fb)
		return;
	/* A screen shows what it was given last: here that must not be read any more. */
	for (unsigned o = 0; o < backend->output_count; o++) {
		struct memory_stack *shown = &memory_of(backend)->outputs[o].shown;

		for (unsigned i = 0; i < shown->count; i++)
			if (shown->layers[i].fb == base)
				shown->layers[i].fb = NULL;
	}
	seat_image_destroy(fb->image);
	if (fb->map != MAP_FAILED)
		munmap(fb->map, fb->size);
	if (fb->fd >= 0)
		close(fb->fd);
	memory_of(backend)->counts.fbs--;
	free(fb);
}

static int memory_allocate(struct seat_backend *backend, struct seat_output *output, uint32_t width,
    uint32_t height, bool alpha, struct seat_fb **out)
{
	struct memory_fb *fb;
	int error;

	if (!width || !height || width > SIZE_MAX_PIXELS || height > SIZE_MAX_PIXELS)
		return -EINVAL;
	fb = fb_create(memory_of(backend));
	if (!fb)
		return -ENOMEM;
	fb->base = (struct seat_fb){ .width = width,
		.height = height,
		.stride = (width * 4 + 63) & ~63u,
		.fourcc = alpha ? DRM_FORMAT_ARGB8888 : DRM_FORMAT_XRGB8888,
		.y0_top = true };
	fb->size = (size_t)fb->base.stride * height;
	fb->fd = memfd_create("gpudom-seat", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fb->fd < 0 || ftruncate(fb->fd, (off_t)fb->size) < 0)
		goto error;
	/* Whom it is given to cannot take it away from under us. */
	if (fcntl(fb->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto error;
	fb->map = mmap(NULL, fb->size, PROT_READ | PROT_WRITE, MAP_SHARED, fb->fd, 0);
	if (fb->map == MAP_FAILED)
		goto error;
	error = seat_image_create(&fb->base, fb->map, &fb->image);
	if (error)
		goto error_image;
	*out = &fb->base;
	return 0;

error:
	error = -errno;
error_image:
	memory_free(backend, &fb->base);
	return error;
}

/* Neither its owner nor we can lose it: a dma-buf, or a memory file sealed against shrinking. */
static int dmabuf_check(int fd, bool *dmabuf)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ };
	const int seals = fcntl(fd, F_GET_SEALS);

	*dmabuf = false;
	if (seals >= 0)
		return seals & F_SEAL_SHRINK ? 0 : -EINVAL;
	if (ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync) < 0)
		return -EINVAL;
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;
	ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync);
	*dmabuf = true;
	return 0;
}

static int dmabuf_size(const struct display_dmabuf *dmabuf, size_t *size)
{
	const off_t end = lseek(dmabuf->fd, 0, SEEK_END);
	uint64_t rows, row;

	if (end < 0)
		return -EINVAL;
	if (!dmabuf->width || !dmabuf->height || dmabuf->width > SIZE_MAX_PIXELS ||
	    dmabuf->height > SIZE_MAX_PIXELS || dmabuf->offset % 4 ||
	    !seat_format_readable(dmabuf->fourcc))
		return -EINVAL;
	row = (uint64_t)dmabuf->width * (dmabuf->fourcc == DRM_FORMAT_RGB565 ? 2 : 4);
	if (dmabuf->stride < row || dmabuf->stride % 4 ||
	    !checked_mul((uint64_t)dmabuf->stride, (uint64_t)dmabuf->height, &rows) ||
	    !range_inside(dmabuf->offset, rows, (uint64_t)end))
		return -EINVAL;
	*size = (size_t)dmabuf->offset + rows;
	return 0;
}

static int memory_import(struct seat_backend *backend, struct seat_output *output,
    const struct display_dmabuf *dmabuf, struct seat_fb **out)
{
	struct memory_backend *memory = memory_of(backend);
	struct memory_fb *fb;
	size_t size;
	bool kernels;
	int error;

	if (memory->options.no_import || (dmabuf->modifier != DRM_FORMAT_MOD_LINEAR &&
					     dmabuf->modifier != DRM_FORMAT_MOD_INVALID))
		return -ENOTSUP;
	error = dmabuf_check(dmabuf->fd, &kernels);
	if (!error)
		error = dmabuf_size(dmabuf, &size);
	if (error)
		return error;
	fb = fb_create(memory);
	if (!fb)
		return -ENOMEM;
	fb->imported = true;
	fb->dmabuf = kernels;
	fb->base = (struct seat_fb){ .width = dmabuf->width,
		.height = dmabuf->height,
		.stride = dmabuf->stride,
		.fourcc = dmabuf->fourcc,
		.y0_top = dmabuf->y0_top };
	fb->size = size;
	fb->offset = dmabuf->offset;
	fb->fd = fcntl(dmabuf->fd, F_DUPFD_CLOEXEC, 0);
	if (fb->fd >= 0)
		fb->map = mmap(NULL, size, PROT_READ, MAP_SHARED, fb->fd, 0);
	error = fb->map == MAP_FAILED
		    ? -ENOTSUP
		    : seat_image_create(&fb->base, fb->map + fb->offset, &fb->image);
	if (error) {
		memory_free(backend, &fb->base);
		return error;
	}
	*out = &fb->base;
	return 0;
}

static int memory_export(struct seat_backend *backend, struct seat_fb *base, size_t *size)
{
	struct memory_fb *fb = (struct memory_fb *)base;
	int fd;

	if (memory_of(backend)->options.no_export)
		return -ENOTSUP;
	fd = fcntl(fb->fd, F_DUPFD_CLOEXEC, 0);
	*size = fb->size;
	return fd < 0 ? -errno : fd;
}

static void *memory_map(struct seat_backend *backend, struct seat_fb *base)
{
	struct memory_fb *fb = (struct memory_fb *)base;

	return fb->map + fb->offset;
}

static void memory_sync(struct seat_fb *base, uint64_t flags)
{
	struct memory_fb *fb = (struct memory_fb *)base;
	struct dma_buf_sync sync = { .flags = flags };

	if (fb->dmabuf)
		ioctl(fb->fd, DMA_BUF_IOCTL_SYNC, &sync);
}

static void memory_begin_read(struct seat_backend *backend, struct seat_fb *fb)
{
	memory_sync(fb, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
}

static void memory_end_read(struct seat_backend *backend, struct seat_fb *fb)
{
	memory_sync(fb, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
}

static int memory_dmabuf(struct seat_backend *backend, struct seat_fb *base)
{
	const struct memory_fb *fb = (struct memory_fb *)base;

	if (fb->imported && memory_of(backend)->drawing >= 0)
		return memory_of(backend)->drawing;
	return fb->dmabuf ? fb->fd : -1;
}

/* ---------------------------------------------------------------- looking at it */

static void output_blend_cursor(struct memory_output *output)
{
	const struct seat_layer layer = { .source = { 0, 0, DISPLAY_CURSOR_SIZE,
					      DISPLAY_CURSOR_SIZE },
		.x = output->cursor_x,
		.y = output->cursor_y,
		.width = DISPLAY_CURSOR_SIZE,
		.height = DISPLAY_CURSOR_SIZE,
		.alpha = UINT16_MAX };
	const struct display_rect all = { 0, 0, DISPLAY_CURSOR_SIZE, DISPLAY_CURSOR_SIZE };
	struct display_rect area;

	if (!seat_compose_map(&layer, &all, output->pixels_width, output->pixels_height, &area))
		return;
	/* On what is there: black below it would be drawn, too. */
	for (uint32_t y = area.y; y < area.y + area.height; y++) {
		for (uint32_t x = area.x; x < area.x + area.width; x++) {
			uint32_t *pixel = &output->pixels[(size_t)y * output->pixels_width + x];
			const uint32_t over =
			    output->cursor.pixels[((int64_t)y - layer.y) * DISPLAY_CURSOR_SIZE +
						  ((int64_t)x - layer.x)];
			const uint32_t rest = 255 - (over >> 24);
			uint32_t result = 0;

			for (unsigned shift = 0; shift < 24; shift += 8)
				result |= ((over >> shift & 255) +
					      ((*pixel >> shift & 255) * rest + 127) / 255)
					  << shift;
			*pixel = result;
		}
	}
}

const uint32_t *seat_memory_pixels(struct seat_backend *backend, unsigned index)
{
	struct memory_output *output = &memory_of(backend)->outputs[index];
	const struct seat_mode *mode = &output->base.mode;
	struct seat_fb fb = { .width = mode->width,
		.height = mode->height,
		.stride = mode->width * 4,
		.fourcc = DRM_FORMAT_XRGB8888,
		.y0_top = true };
	struct seat_compose_layer layers[SEAT_LAYERS_MAX];
	const struct seat_damage all = { .all = true };
	struct seat_image *image;
	unsigned count = 0;

	if (!mode->width)
		return NULL;
	free(output->pixels);
	output->pixels = calloc((size_t)mode->width * mode->height, 4);
	output->pixels_width = mode->width;
	output->pixels_height = mode->height;
	if (!output->pixels || seat_image_create(&fb, output->pixels, &image) < 0)
		return NULL;
	for (unsigned i = 0; i < output->shown.count; i++) {
		const struct seat_layer *layer = &output->shown.layers[i];
		struct memory_fb *one = (struct memory_fb *)layer->fb;

		if (one)
			layers[count++] = (struct seat_compose_layer){ layer, one->image };
	}
	seat_compose(image, layers, count, &all);
	seat_image_destroy(image);
	if (output->cursor_visible)
		output_blend_cursor(output);
	return output->pixels;
}

unsigned seat_memory_layers(const struct seat_backend *backend, unsigned output)
{
	return memory_of(backend)->outputs[output].next.count;
}

bool seat_memory_is_pending(const struct seat_backend *backend, unsigned output)
{
	return memory_of(backend)->outputs[output].pending;
}

struct seat_memory_counts seat_memory_get_counts(const struct seat_backend *backend)
{
	return memory_of(backend)->counts;
}

/* ---------------------------------------------------------------- what happens to it */

void seat_memory_plug(struct seat_backend *backend, unsigned index, const struct seat_mode *mode)
{
	struct memory_output *output = &memory_of(backend)->outputs[index];

	output_unplug(output);
	if (mode)
		output_plug(output, mode);
	if (backend->listener.outputs_changed)
		backend->listener.outputs_changed(backend->listener.data);
}

void seat_memory_set_active(struct seat_backend *backend, bool active)
{
	if (backend->active == active)
		return;
	backend->active = active;
	for (unsigned i = 0; !active && i < backend->output_count; i++)
		memory_of(backend)->outputs[i].pending = false;
	if (backend->listener.active_changed)
		backend->listener.active_changed(backend->listener.data, active);
}

void seat_memory_set_planes(struct seat_backend *backend, unsigned planes)
{
	memory_of(backend)->options.planes = planes;
}

void seat_memory_set_drawing(struct seat_backend *backend, int fd)
{
	memory_of(backend)->drawing = fd;
}

void seat_memory_set_error(struct seat_backend *backend, int error)
{
	memory_of(backend)->error = error;
}

/* ---------------------------------------------------------------- life time */

static void memory_destroy(struct seat_backend *backend)
{
	struct memory_backend *memory = memory_of(backend);

	for (unsigned i = 0; i < backend->output_count; i++) {
		sd_event_source_disable_unref(memory->outputs[i].clock);
		free(memory->outputs[i].pixels);
	}
	free(memory);
}

static const struct seat_backend_impl memory_impl = {
	.name = "memory",
	.destroy = memory_destroy,
	.set_mode = memory_set_mode,
	.commit = memory_commit,
	.set_cursor = memory_set_cursor,
	.move_cursor = memory_move_cursor,
	.import = memory_import,
	.allocate = memory_allocate,
	.export = memory_export,
	.map = memory_map,
	.begin_read = memory_begin_read,
	.end_read = memory_end_read,
	.dmabuf = memory_dmabuf,
	.free = memory_free,
};

static int memory_add_output(
    struct memory_backend *memory, const struct seat_memory_output *options)
{
	struct memory_output *output = &memory->outputs[memory->base.output_count];
	int error;

	output->memory = memory;
	output->base.index = memory->base.output_count;
	if (options->name)
		snprintf(output->base.name, sizeof(output->base.name), "%s", options->name);
	else
		snprintf(output->base.name, sizeof(output->base.name), "MEMORY-%u",
		    memory->base.output_count + 1);
	if (options->edid_size > sizeof(output->base.edid) || !options->mode.width ||
	    !options->mode.height)
		return -EINVAL;
	if (options->edid)
		memcpy(output->base.edid, options->edid, options->edid_size);
	output->base.edid_size = options->edid ? options->edid_size : 0;
	if (!options->unplugged)
		output_plug(output, &options->mode);
	memory->base.outputs[memory->base.output_count++] = &output->base;
	if (!memory->options.event)
		return 0;
	error = sd_event_add_time(
	    memory->options.event, &output->clock, CLOCK_MONOTONIC, 0, 1, output_on_clock, output);
	if (error >= 0)
		error = sd_event_source_set_enabled(output->clock, SD_EVENT_OFF);
	return error;
}

int seat_memory_create(const struct seat_memory_options *options, struct seat_backend **backend)
{
	struct memory_backend *memory;
	int error = 0;

	if (options->output_count > SEAT_OUTPUTS_MAX)
		return -EINVAL;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->base.impl = &memory_impl;
	memory->base.active = true;
	memory->drawing = -1;
	memory->options = *options;
	for (unsigned i = 0; i < options->output_count && error >= 0; i++)
		error = memory_add_output(memory, &options->outputs[i]);
	if (error < 0) {
		memory_destroy(&memory->base);
		return error;
	}
	*backend = &memory->base;
	return 0;
}
