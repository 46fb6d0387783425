/* SPDX-License-Identifier: MIT */
/*
 * What a DRM card shows, for root and beside whoever is its master: the planes of a CRTC, their
 * buffers, and the picture that they make, put together here. vkms can say what it made of them
 * itself, by a CRC of each frame (debugfs): with -c, the picture counts only when that is its CRC,
 * so what is saved is what was scanned out.
 *
 * usage: kms_grab [-c] CARD [PICTURE.png]
 *   prints "crtc N WxH" and for each of its planes "plane ID TYPE x,y WxH from x,y WxH of WxH
 * FOURCC"; with -c "crc 0xNNNNNNNN", and fails where a second brings none that is the picture's
 */
#include <drm_fourcc.h>
#include <err.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include "render/png.h"

enum { PLANES_MAX = 32 };

struct plane {
	uint32_t id, fb;
	uint64_t type, zpos;
	int32_t x, y;
	uint32_t width, height;                  /* on the CRTC */
	uint32_t from_x, from_y, from_w, from_h; /* of the buffer */
};

struct pixel {
	uint16_t rgb[3];
};

struct grab {
	int fd;
	uint32_t crtc, crtc_index, width, height;
	struct pixel *pixels;
	struct plane planes[PLANES_MAX];
	unsigned plane_count;
};

static void plane_read(struct grab *grab, struct plane *plane, uint32_t id)
{
	drmModeObjectProperties *properties =
	    drmModeObjectGetProperties(grab->fd, id, DRM_MODE_OBJECT_PLANE);

	*plane = (struct plane){ .id = id };
	for (unsigned i = 0; properties && i < properties->count_props; i++) {
		drmModePropertyRes *property = drmModeGetProperty(grab->fd, properties->props[i]);
		uint64_t value = properties->prop_values[i];
		const char *name = property ? property->name : "";
		if (strcmp(name, "type") == 0)
			plane->type = value;
		else if (strcmp(name, "zpos") == 0)
			plane->zpos = value;
		else if (strcmp(name, "FB_ID") == 0)
			plane->fb = (uint32_t)value;
		else if (strcmp(name, "CRTC_X") == 0)
			plane->x = (int32_t)value;
		else if (strcmp(name, "CRTC_Y") == 0)
			plane->y = (int32_t)value;
		else if (strcmp(name, "CRTC_W") == 0)
			plane->width = (uint32_t)value;
		else if (strcmp(name, "CRTC_H") == 0)
			plane->height = (uint32_t)value;
		else if (strcmp(name, "SRC_X") == 0)
			plane->from_x = (uint32_t)(value >> 16);
		else if (strcmp(name, "SRC_Y") == 0)
			plane->from_y = (uint32_t)(value >> 16);
		else if (strcmp(name, "SRC_W") == 0)
			plane->from_w = (uint32_t)(value >> 16);
		else if (strcmp(name, "SRC_H") == 0)
			plane->from_h = (uint32_t)(value >> 16);
		drmModeFreeProperty(property);
	}
	drmModeFreeObjectProperties(properties);
}

/* From the bottom up: the primary plane, overlays, the cursor. */
static int plane_order(const void *a, const void *b)
{
	static const int ranks[] = { [DRM_PLANE_TYPE_OVERLAY] = 1,
		[DRM_PLANE_TYPE_PRIMARY] = 0,
		[DRM_PLANE_TYPE_CURSOR] = 2 };
	const struct plane *p = a, *q = b;

	if (p->zpos != q->zpos)
		return p->zpos < q->zpos ? -1 : 1;
	if (ranks[p->type % 3] != ranks[q->type % 3])
		return ranks[p->type % 3] - ranks[q->type % 3];
	return p->id < q->id ? -1 : 1;
}

static bool planes_read(struct grab *grab)
{
	drmModePlaneRes *list = drmModeGetPlaneResources(grab->fd);

	grab->plane_count = 0;
	for (unsigned i = 0; list && i < list->count_planes; i++) {
		drmModePlane *plane = drmModeGetPlane(grab->fd, list->planes[i]);
		if (plane && plane->fb_id && plane->crtc_id == grab->crtc &&
		    grab->plane_count < PLANES_MAX)
			plane_read(grab, &grab->planes[grab->plane_count++], plane->plane_id);
		drmModeFreePlane(plane);
	}
	drmModeFreePlaneResources(list);
	qsort(grab->planes, grab->plane_count, sizeof(grab->planes[0]), plane_order);
	return grab->plane_count > 0;
}

/* ---------------------------------------------------------------- pixels */

/* vkms' own arithmetic, in 16 bits: the pixels' colours are already multiplied by their alpha. */
static void blend(struct pixel *below, uint32_t above, bool has_alpha)
{
	uint32_t alpha = has_alpha ? (above >> 24) * 257 : 65535;

	for (unsigned c = 0; c < 3; c++) {
		uint32_t colour = (above >> (16 - 8 * c) & 255) * 257;
		uint32_t sum = colour * 65535 + below->rgb[c] * (65535 - alpha);
		below->rgb[c] = (uint16_t)((sum + 32767) / 65535);
	}
}

static void plane_paint(
    struct grab *grab, const struct plane *plane, const drmModeFB2 *fb, const uint8_t *bytes)
{
	bool has_alpha = fb->pixel_format == DRM_FORMAT_ARGB8888;

	for (uint32_t y = 0; y < plane->height; y++) {
		int32_t to_y = plane->y + (int32_t)y;
		uint64_t from_y = plane->from_y + (uint64_t)y * plane->from_h / plane->height;
		if (to_y < 0 || to_y >= (int32_t)grab->height || from_y >= fb->height)
			continue;
		const uint32_t *row =
		    (const uint32_t *)(bytes + fb->offsets[0] + from_y * fb->pitches[0]);
		for (uint32_t x = 0; x < plane->width; x++) {
			int32_t to_x = plane->x + (int32_t)x;
			uint64_t from_x =
			    plane->from_x + (uint64_t)x * plane->from_w / plane->width;
			if (to_x < 0 || to_x >= (int32_t)grab->width || from_x >= fb->width)
				continue;
			blend(&grab->pixels[(uint32_t)to_y * grab->width + (uint32_t)to_x],
			    row[from_x], has_alpha);
		}
	}
}

static bool plane_grab(struct grab *grab, const struct plane *plane)
{
	static const char *const types[] = { "overlay", "primary", "cursor" };
	drmModeFB2 *fb = drmModeGetFB2(grab->fd, plane->fb);
	bool grabbed = false;
	int dmabuf = -1;

	/* It may have gone meanwhile. */
	if (!fb)
		return false;
	printf("plane %u %s %d,%d %ux%u from %u,%u %ux%u of %ux%u %.4s\n", plane->id,
	    types[plane->type % 3], plane->x, plane->y, plane->width, plane->height, plane->from_x,
	    plane->from_y, plane->from_w, plane->from_h, fb->width, fb->height,
	    (const char *)&fb->pixel_format);
	if (fb->pixel_format != DRM_FORMAT_XRGB8888 && fb->pixel_format != DRM_FORMAT_ARGB8888)
		errx(1, "cannot read that format");
	if (drmPrimeHandleToFD(grab->fd, fb->handles[0], DRM_CLOEXEC, &dmabuf) < 0)
		err(1, "the buffer of plane %u", plane->id);
	size_t size = fb->offsets[0] + (size_t)fb->pitches[0] * fb->height;
	struct dma_buf_sync sync = { DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ };
	ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync);
	uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, dmabuf, 0);
	if (bytes == MAP_FAILED) {
		warn("the buffer of plane %u", plane->id);
		goto close_buffer;
	}
	plane_paint(grab, plane, fb, bytes);
	munmap(bytes, size);
	grabbed = true;

close_buffer:
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;
	ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync);
	close(dmabuf);
	drmCloseBufferHandle(grab->fd, fb->handles[0]);
	drmModeFreeFB2(fb);
	return grabbed;
}

static bool grab_all(struct grab *grab)
{
	memset(grab->pixels, 0, (size_t)grab->width * grab->height * sizeof(struct pixel));
	if (!planes_read(grab))
		errx(1, "nothing is shown");
	printf("crtc %u %ux%u\n", grab->crtc, grab->width, grab->height);
	for (unsigned i = 0; i < grab->plane_count; i++)
		if (!plane_grab(grab, &grab->planes[i]))
			return false;
	return true;
}

/* ---------------------------------------------------------------- CRC */

/* As vkms: crc32_le() from 0 over pixels of four times 16 bits, alpha first. */
static uint32_t picture_crc(const struct grab *grab)
{
	uint32_t table[256], crc = 0;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
	}
	for (size_t i = 0; i < (size_t)grab->width * grab->height; i++) {
		const uint16_t *rgb = grab->pixels[i].rgb;
		const uint16_t words[4] = { 65535, rgb[0], rgb[1], rgb[2] };
		for (int b = 0; b < 8; b++)
			crc = table[(crc ^ (words[b / 2] >> 8 * (b % 2))) & 255] ^ crc >> 8;
	}
	return crc;
}

static int crc_open(const struct grab *grab)
{
	struct stat stat;
	char path[96];

	if (fstat(grab->fd, &stat) < 0)
		err(1, "the card");
	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%u/crtc-%u/crc/control",
	    minor(stat.st_rdev), grab->crtc_index);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "auto", 4) < 0)
		err(1, "%s", path);
	close(fd);
	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%u/crtc-%u/crc/data",
	    minor(stat.st_rdev), grab->crtc_index);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

/* Whether the next frames have @wanted: "frame crc", a line each. */
static bool crc_seen(int fd, uint32_t wanted, uint32_t *last)
{
	char line[64];

	for (unsigned frames = 0; frames < 6; frames++) {
		struct pollfd poller = { .fd = fd, .events = POLLIN };
		if (poll(&poller, 1, 2000) <= 0)
			return false;
		ssize_t size = read(fd, line, sizeof(line) - 1);
		if (size <= 0)
			return false;
		line[size] = '\0';
		const char *crc = strchr(line, ' ');
		*last = crc ? (uint32_t)strtoul(crc, NULL, 16) : 0;
		if (crc && *last == wanted)
			return true;
	}
	return false;
}

static void grab_checked(struct grab *grab)
{
	int fd = crc_open(grab);
	uint32_t crc = 0, last = 0;

	/* What is on screen may change while it is looked at. */
	for (int tries = 0; tries < 10; tries++) {
		if (!grab_all(grab))
			continue;
		crc = picture_crc(grab);
		if (crc_seen(fd, crc, &last)) {
			printf("crc 0x%08x\n", crc);
			close(fd);
			return;
		}
	}
	errx(1, "the card's CRC is 0x%08x, the picture's 0x%08x", last, crc);
}

/* ---------------------------------------------------------------- the card */

static void crtc_find(struct grab *grab)
{
	drmModeRes *resources = drmModeGetResources(grab->fd);

	for (int i = 0; resources && i < resources->count_crtcs; i++) {
		drmModeCrtc *crtc = drmModeGetCrtc(grab->fd, resources->crtcs[i]);
		if (crtc && crtc->mode_valid) {
			grab->crtc = crtc->crtc_id;
			grab->crtc_index = (uint32_t)i;
			grab->width = crtc->mode.hdisplay;
			grab->height = crtc->mode.vdisplay;
			drmModeFreeCrtc(crtc);
			break;
		}
		drmModeFreeCrtc(crtc);
	}
	drmModeFreeResources(resources);
	if (!grab->crtc)
		errx(1, "no screen is on");
	grab->pixels = calloc((size_t)grab->width * grab->height, sizeof(struct pixel));
	if (!grab->pixels)
		errx(1, "out of memory");
}

static int save(const struct grab *grab, const char *path)
{
	size_t count = (size_t)grab->width * grab->height;
	uint32_t *pixels = calloc(count, sizeof(*pixels));

	if (!pixels)
		err(1, "the picture");
	for (size_t i = 0; i < count; i++)
		for (unsigned c = 0; c < 3; c++)
			pixels[i] = pixels[i] << 8 | grab->pixels[i].rgb[c] >> 8;
	int ret = png_write_xrgb(path, grab->width, grab->height, pixels, (size_t)grab->width * 4);
	free(pixels);
	return ret < 0;
}

int main(int argc, char **argv)
{
	struct grab grab = { 0 };
	bool check = argc > 1 && strcmp(argv[1], "-c") == 0;

	argv += check;
	argc -= check;
	if (argc < 2)
		errx(2, "usage: kms_grab [-c] CARD [PICTURE.png]");
	grab.fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (grab.fd < 0)
		err(1, "%s", argv[1]);
	/* Whoever opens a card that has no master becomes it: not we. */
	drmDropMaster(grab.fd);
	drmSetClientCap(grab.fd, DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1);
	drmSetClientCap(grab.fd, DRM_CLIENT_CAP_ATOMIC, 1);
	crtc_find(&grab);
	if (check)
		grab_checked(&grab);
	else if (!grab_all(&grab))
		errx(1, "what is shown changes too fast");
	return argc > 2 ? save(&grab, argv[2]) : 0;
}
