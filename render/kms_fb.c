/* SPDX-License-Identifier: MIT */
/* Pictures: dma-bufs of others, and memory of a card ("dumb" buffers). */
#include <drm_fourcc.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "render/kms_private.h"

#define SIDE_MAX 16384

/* ---------------------------------------------------------------- memory */

static struct kms_buffer *get_buffer(struct kms_card *card, uint32_t handle)
{
	struct kms_buffer *buffer = card->buffers;

	while (buffer && buffer->handle != handle)
		buffer = buffer->next;
	if (!buffer) {
		buffer = calloc(1, sizeof(*buffer));
		if (!buffer)
			return NULL;
		buffer->handle = handle;
		buffer->next = card->buffers;
		card->buffers = buffer;
	}
	buffer->references++;
	return buffer;
}

static void put_buffer(struct kms_card *card, struct kms_buffer *buffer)
{
	if (--buffer->references)
		return;
	for (struct kms_buffer **b = &card->buffers; *b; b = &(*b)->next) {
		if (*b == buffer) {
			*b = buffer->next;
			break;
		}
	}
	if (card->fd >= 0 && buffer->handle)
		drmCloseBufferHandle(card->fd, buffer->handle);
	free(buffer);
}

static int add_fb(struct kms_fb *fb, uint32_t fourcc, uint32_t *id)
{
	const uint32_t handles[4] = { fb->buffer->handle };
	const uint32_t pitches[4] = { fb->base.stride };
	const uint32_t offsets[4] = { fb->offset };
	const uint64_t modifiers[4] = { fb->modifier };
	int rc;

	if (fb->card->has_modifiers && fb->modifier != DRM_FORMAT_MOD_INVALID)
		rc = drmModeAddFB2WithModifiers(fb->card->fd, fb->base.width, fb->base.height,
		    fourcc, handles, pitches, offsets, modifiers, id, DRM_MODE_FB_MODIFIERS);
	else
		rc = drmModeAddFB2(fb->card->fd, fb->base.width, fb->base.height, fourcc, handles,
		    pitches, offsets, id, 0);
	return rc < 0 ? -errno : 0;
}

uint32_t kms_fb_id(struct kms_fb *fb, bool opaque)
{
	if (!opaque)
		return fb->id;
	if (!fb->opaque_id)
		add_fb(fb, kms_format_opaque(fb->base.fourcc), &fb->opaque_id);
	return fb->opaque_id;
}

/* ---------------------------------------------------------------- life */

static struct kms_fb *fb_create(struct kms_card *card)
{
	struct kms_fb *fb = calloc(1, sizeof(*fb));

	if (!fb)
		return NULL;
	fb->card = card;
	fb->dmabuf_fd = -1;
	fb->next = card->fbs;
	card->fbs = fb;
	return fb;
}

static void fb_destroy(struct kms_fb *fb)
{
	struct kms_card *card = fb->card;

	for (struct kms_fb **f = &card->fbs; *f; f = &(*f)->next) {
		if (*f == fb) {
			*f = fb->next;
			break;
		}
	}
	if (fb->map)
		munmap(fb->map, fb->size);
	if (card->fd >= 0 && fb->opaque_id)
		drmModeRmFB(card->fd, fb->opaque_id);
	if (card->fd >= 0 && fb->id)
		drmModeRmFB(card->fd, fb->id);
	if (fb->buffer)
		put_buffer(card, fb->buffer);
	if (fb->dmabuf_fd >= 0)
		close(fb->dmabuf_fd);
	free(fb);
}

void kms_fb_use(struct kms_fb *fb)
{
	fb->users++;
}

void kms_fb_unuse(struct kms_fb *fb)
{
	fb->users--;
	if (!fb->users && fb->freed)
		fb_destroy(fb);
}

void kms_fb_free(struct kms_fb *fb)
{
	fb->freed = true;
	if (!fb->users)
		fb_destroy(fb);
}

void kms_fbs_forget(struct kms_card *card)
{
	for (struct kms_fb *fb = card->fbs; fb; fb = fb->next) {
		fb->id = 0;
		fb->opaque_id = 0;
	}
	for (struct kms_buffer *buffer = card->buffers; buffer; buffer = buffer->next)
		buffer->handle = 0;
}

/* ---------------------------------------------------------------- of others */

/* Can a plane of the card show it? Sizes and alignment are the driver's to judge. */
static bool card_shows(const struct kms_card *card, uint32_t fourcc, uint64_t modifier)
{
	uint32_t opaque = kms_format_opaque(fourcc);

	for (unsigned i = 0; i < card->plane_count; i++) {
		const struct kms_plane *plane = &card->planes[i];

		if (plane->type == DRM_PLANE_TYPE_CURSOR)
			continue;
		if (kms_formats_have(plane->formats, plane->format_count, fourcc, modifier))
			return true;
		if (opaque &&
		    kms_formats_have(plane->formats, plane->format_count, opaque, modifier))
			return true;
	}
	return false;
}

/* What the numbers say must lie within the memory. Other layouts than rows of pixels are known to
 * the driver alone, which checks them. */
static int check_dmabuf(const struct display_dmabuf *dmabuf, size_t *size)
{
	unsigned bytes = kms_format_bytes(dmabuf->fourcc);
	off_t end = lseek(dmabuf->fd, 0, SEEK_END);
	uint64_t row;
	uint64_t last;

	if (end <= 0)
		return -EINVAL;
	if (!bytes)
		return -ENOTSUP;
	if (!dmabuf->width || !dmabuf->height || dmabuf->width > SIDE_MAX ||
	    dmabuf->height > SIDE_MAX || dmabuf->offset >= (uint64_t)end)
		return -EINVAL;
	*size = (size_t)end;
	if (dmabuf->modifier != DRM_FORMAT_MOD_LINEAR && dmabuf->modifier != DRM_FORMAT_MOD_INVALID)
		return 0;
	row = (uint64_t)dmabuf->width * bytes;
	last = (uint64_t)dmabuf->stride * (dmabuf->height - 1) + row + dmabuf->offset;
	return dmabuf->stride < row || last > (uint64_t)end ? -EINVAL : 0;
}

int kms_fb_import(struct kms_card *card, const struct display_dmabuf *dmabuf, struct kms_fb **out)
{
	struct kms_fb *fb;
	uint32_t handle;
	size_t size;
	int rc = check_dmabuf(dmabuf, &size);

	if (rc < 0)
		return rc;
	if (card->fd < 0 || !card_shows(card, dmabuf->fourcc, dmabuf->modifier))
		return -ENOTSUP;
	fb = fb_create(card);
	if (!fb)
		return -ENOMEM;
	fb->base = (struct seat_fb){
		.width = dmabuf->width,
		.height = dmabuf->height,
		.stride = dmabuf->stride,
		.fourcc = dmabuf->fourcc,
		.y0_top = dmabuf->y0_top,
	};
	fb->modifier = dmabuf->modifier;
	fb->offset = dmabuf->offset;
	fb->size = size;
	fb->dmabuf_fd = fcntl(dmabuf->fd, F_DUPFD_CLOEXEC, 0);
	rc = -errno;
	if (fb->dmabuf_fd < 0)
		goto error;
	/* The display may not reach this memory at all: another device's, or scattered pages. */
	if (drmPrimeFDToHandle(card->fd, dmabuf->fd, &handle) < 0) {
		rc = errno == ENOMEM || errno == EMFILE ? -errno : -ENOTSUP;
		goto error;
	}
	fb->buffer = get_buffer(card, handle);
	rc = -ENOMEM;
	if (!fb->buffer)
		goto error_handle;
	rc = add_fb(fb, fb->base.fourcc, &fb->id);
	if (rc < 0 && kms_format_opaque(fb->base.fourcc))
		/* Some cards have no format with alpha at all. */
		rc = kms_fb_id(fb, true) ? 0 : rc;
	if (rc < 0) {
		rc = rc == -ENOMEM ? rc : -ENOTSUP;
		goto error;
	}
	*out = fb;
	return 0;

error_handle:
	drmCloseBufferHandle(card->fd, handle);
error:
	fb_destroy(fb);
	return rc;
}

/* ---------------------------------------------------------------- ours */

int kms_fb_allocate(
    struct kms_card *card, uint32_t width, uint32_t height, bool alpha, struct kms_fb **out)
{
	struct drm_mode_create_dumb dumb = { .width = width, .height = height, .bpp = 32 };
	struct kms_fb *fb;
	int rc;

	if (card->fd < 0)
		return -ENODEV;
	if (!width || !height || width > SIDE_MAX || height > SIDE_MAX)
		return -EINVAL;
	if (drmIoctl(card->fd, DRM_IOCTL_MODE_CREATE_DUMB, &dumb) < 0)
		return -errno;
	fb = fb_create(card);
	rc = -ENOMEM;
	if (!fb)
		goto error_dumb;
	fb->buffer = get_buffer(card, dumb.handle);
	if (!fb->buffer)
		goto error_fb;
	fb->base = (struct seat_fb){
		.width = width,
		.height = height,
		.stride = dumb.pitch,
		.fourcc = alpha ? DRM_FORMAT_ARGB8888 : DRM_FORMAT_XRGB8888,
		.y0_top = true,
	};
	fb->modifier = DRM_FORMAT_MOD_LINEAR;
	fb->size = dumb.size;
	rc = add_fb(fb, fb->base.fourcc, &fb->id);
	if (rc < 0) {
		fb_destroy(fb);
		return rc;
	}
	*out = fb;
	return 0;

error_fb:
	fb_destroy(fb);
error_dumb:
	drmModeDestroyDumbBuffer(card->fd, dumb.handle);
	return rc;
}

int kms_fb_export(struct kms_fb *fb, size_t *size)
{
	int fd;

	if (fb->card->fd < 0)
		return -ENODEV;
	if (!fb->card->has_prime ||
	    drmPrimeHandleToFD(fb->card->fd, fb->buffer->handle, DRM_CLOEXEC | DRM_RDWR, &fd) < 0)
		return -ENOTSUP;
	*size = fb->size;
	return fd;
}

void *kms_fb_map(struct kms_fb *fb)
{
	uint64_t offset = 0;
	int fd = fb->dmabuf_fd;
	void *map;

	/* Rows of pixels alone are known to lie within the memory: see check_dmabuf(). */
	if (fb->modifier != DRM_FORMAT_MOD_LINEAR && fb->modifier != DRM_FORMAT_MOD_INVALID) {
		errno = ENOTSUP;
		return NULL;
	}
	if (fb->map)
		return (uint8_t *)fb->map + fb->offset;
	if (fd < 0) {
		fd = fb->card->fd;
		if (drmModeMapDumbBuffer(fd, fb->buffer->handle, &offset) < 0)
			return NULL;
	}
	map = mmap(NULL, fb->size, fb->dmabuf_fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ,
	    MAP_SHARED, fd, (off_t)offset);
	if (map == MAP_FAILED)
		return NULL;
	fb->map = map;
	return (uint8_t *)map + fb->offset;
}

void kms_fb_sync(struct kms_fb *fb, bool begin)
{
	struct dma_buf_sync sync = {
		.flags = DMA_BUF_SYNC_READ | (begin ? DMA_BUF_SYNC_START : DMA_BUF_SYNC_END),
	};

	if (fb->dmabuf_fd < 0)
		return;
	/* It would wait for whoever draws into it, and everybody with us. What was presented is
	 * there (the seat has waited for that): what is drawn since may be seen too early. */
	if (begin)
		fb->reading = !kms_fb_busy(fb);
	if (fb->reading)
		ioctl(fb->dmabuf_fd, DMA_BUF_IOCTL_SYNC, &sync);
}

bool kms_fb_busy(const struct kms_fb *fb)
{
	/* A dma-buf is readable when nobody writes to it any more. */
	struct pollfd poll_fd = { .fd = fb->dmabuf_fd, .events = POLLIN };

	return fb->dmabuf_fd >= 0 && poll(&poll_fd, 1, 0) == 0;
}
