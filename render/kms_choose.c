/* SPDX-License-Identifier: MIT */
#include "render/kms_choose.h"

#include <drm_fourcc.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- EDID */

#define BLOCK 128

size_t kms_edid_check(const uint8_t *edid, size_t size)
{
	static const uint8_t header[8] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
	size_t blocks;

	if (size < BLOCK || memcmp(edid, header, sizeof(header)) != 0)
		return 0;
	/* Byte 126: the number of extension blocks that follow */
	blocks = 1 + (size_t)edid[126];
	if (blocks * BLOCK > size || blocks * BLOCK > SEAT_EDID_MAX)
		return 0;
	for (size_t block = 0; block < blocks; block++) {
		uint8_t sum = 0;

		/* "The 1-byte sum of all 128 bytes in this EDID block shall equal zero" */
		for (size_t i = 0; i < BLOCK; i++)
			sum = (uint8_t)(sum + edid[block * BLOCK + i]);
		if (sum)
			return 0;
	}
	return blocks * BLOCK;
}

/* ---------------------------------------------------------------- modes */

uint32_t kms_mode_refresh(const drmModeModeInfo *mode)
{
	uint64_t pixels = (uint64_t)mode->htotal * mode->vtotal;
	uint64_t rate;

	if (!pixels)
		return 0;
	/* mode->clock: kHz */
	rate = ((uint64_t)mode->clock * 1000000 + pixels / 2) / pixels;
	if (mode->flags & DRM_MODE_FLAG_INTERLACE)
		rate *= 2;
	if (mode->flags & DRM_MODE_FLAG_DBLSCAN)
		rate /= 2;
	if (mode->vscan > 1)
		rate /= mode->vscan;
	return rate > UINT32_MAX ? 0 : (uint32_t)rate;
}

void kms_mode_describe(const drmModeModeInfo *from, struct seat_mode *to)
{
	*to = (struct seat_mode){
		.width = from->hdisplay,
		.height = from->vdisplay,
		.refresh = kms_mode_refresh(from),
		.preferred = from->type & DRM_MODE_TYPE_PREFERRED,
	};
}

#define INTERLACED_PENALTY 1000
#define RATE_TOLERANCE 500

/* How far the mode is from what is wanted; UINT32_MAX: it is another one. */
static uint32_t mode_distance(
    const drmModeModeInfo *mode, uint32_t width, uint32_t height, uint32_t refresh)
{
	uint32_t rate = kms_mode_refresh(mode);
	uint32_t distance = 0;

	if (mode->hdisplay != width || mode->vdisplay != height || !rate)
		return UINT32_MAX;
	if (refresh) {
		distance = rate > refresh ? rate - refresh : refresh - rate;
		if (distance > RATE_TOLERANCE)
			return UINT32_MAX;
	} else if (!(mode->type & DRM_MODE_TYPE_PREFERRED)) {
		distance = 1;
	}
	if (mode->flags & (DRM_MODE_FLAG_INTERLACE | DRM_MODE_FLAG_DBLSCAN))
		distance += INTERLACED_PENALTY;
	return distance;
}

int kms_mode_find(
    const drmModeModeInfo *modes, unsigned count, uint32_t width, uint32_t height, uint32_t refresh)
{
	uint32_t best = UINT32_MAX;
	int found = -EINVAL;

	for (unsigned i = 0; i < count; i++) {
		uint32_t distance = mode_distance(&modes[i], width, height, refresh);

		if (distance < best) {
			best = distance;
			found = (int)i;
		}
	}
	return found;
}

/* ---------------------------------------------------------------- CRTCs */

/* Who has the CRTC; @count: nobody */
static unsigned find_holder(const struct kms_crtc_wish *wishes, unsigned count, int crtc)
{
	unsigned holder = 0;

	while (holder < count && wishes[holder].crtc != crtc)
		holder++;
	return holder;
}

/* Kuhn's way to a largest matching: who stands in the way is moved, if that can be, and if nothing
 * is free (the second round). */
static bool find_crtc(struct kms_crtc_wish *wishes, unsigned count, unsigned who, uint32_t *visited)
{
	for (int i = 0; i < 64; i++) {
		int crtc = i % 32;
		uint32_t bit = UINT32_C(1) << crtc;
		unsigned holder = find_holder(wishes, count, crtc);

		if (!(wishes[who].possible & bit) || (*visited & bit) || (i < 32 && holder < count))
			continue;
		*visited |= bit;
		if (holder < count &&
		    (wishes[holder].fixed || !find_crtc(wishes, count, holder, visited)))
			continue;
		wishes[who].crtc = crtc;
		return true;
	}
	return false;
}

void kms_crtcs_assign(struct kms_crtc_wish *wishes, unsigned count)
{
	uint32_t taken = 0;

	for (unsigned i = 0; i < count; i++) {
		struct kms_crtc_wish *wish = &wishes[i];
		uint32_t bit = wish->crtc >= 0 ? UINT32_C(1) << wish->crtc : 0;

		if (!(wish->possible & bit & ~taken))
			wish->crtc = -1;
		else
			taken |= bit;
	}
	for (unsigned i = 0; i < count; i++) {
		uint32_t visited = 0;

		if (wishes[i].crtc < 0 && wishes[i].possible)
			find_crtc(wishes, count, i, &visited);
	}
}

/* ---------------------------------------------------------------- formats */

static bool fits(size_t size, uint32_t offset, uint32_t count, size_t each)
{
	return offset <= size && count <= (size - offset) / each;
}

/* Whether one of the modifiers is for format @index; and its turn in the list */
static bool modifier_has(const struct drm_format_modifier *modifier, uint32_t index)
{
	/* "modifiers[i].formats: bit mask of formats, starting at modifiers[i].offset" */
	return index >= modifier->offset && index - modifier->offset < 64 &&
	       (modifier->formats >> (index - modifier->offset) & 1);
}

int kms_formats_parse(const void *bytes, size_t size, struct kms_format **out, unsigned *count)
{
	const struct drm_format_modifier_blob *blob = bytes;
	const struct drm_format_modifier *modifiers;
	struct kms_format *formats = NULL;
	const uint32_t *fourccs;
	size_t n = 0;

	if (size < sizeof(*blob) || blob->version != 1 || blob->formats_offset % 4 ||
	    blob->modifiers_offset % 8 ||
	    !fits(size, blob->formats_offset, blob->count_formats, sizeof(*fourccs)) ||
	    !fits(size, blob->modifiers_offset, blob->count_modifiers, sizeof(*modifiers)))
		return -EINVAL;
	fourccs = (const uint32_t *)((const uint8_t *)bytes + blob->formats_offset);
	modifiers = (const void *)((const uint8_t *)bytes + blob->modifiers_offset);
	for (int pass = 0; pass < 2; pass++) {
		if (pass) {
			formats = calloc(n ? n : 1, sizeof(*formats));
			if (!formats)
				return -ENOMEM;
			n = 0;
		}
		for (uint32_t m = 0; m < blob->count_modifiers; m++) {
			for (uint32_t f = 0; f < blob->count_formats; f++) {
				if (!modifier_has(&modifiers[m], f))
					continue;
				if (formats)
					formats[n] = (struct kms_format){
						.fourcc = fourccs[f],
						.modifier = modifiers[m].modifier,
					};
				n++;
			}
		}
	}
	*out = formats;
	*count = (unsigned)n;
	return 0;
}

bool kms_formats_have(
    const struct kms_format *formats, unsigned count, uint32_t fourcc, uint64_t modifier)
{
	for (unsigned i = 0; i < count; i++) {
		const struct kms_format *f = &formats[i];

		if (f->fourcc != fourcc)
			continue;
		if (f->modifier == modifier || modifier == DRM_FORMAT_MOD_INVALID ||
		    (f->modifier == DRM_FORMAT_MOD_INVALID && modifier == DRM_FORMAT_MOD_LINEAR))
			return true;
	}
	return false;
}

static const struct {
	uint32_t fourcc, opaque;
	unsigned bytes;
} known_formats[] = {
	{ DRM_FORMAT_XRGB8888, 0, 4 },
	{ DRM_FORMAT_ARGB8888, DRM_FORMAT_XRGB8888, 4 },
	{ DRM_FORMAT_XBGR8888, 0, 4 },
	{ DRM_FORMAT_ABGR8888, DRM_FORMAT_XBGR8888, 4 },
	{ DRM_FORMAT_RGBX8888, 0, 4 },
	{ DRM_FORMAT_RGBA8888, DRM_FORMAT_RGBX8888, 4 },
	{ DRM_FORMAT_BGRX8888, 0, 4 },
	{ DRM_FORMAT_BGRA8888, DRM_FORMAT_BGRX8888, 4 },
	{ DRM_FORMAT_XRGB2101010, 0, 4 },
	{ DRM_FORMAT_ARGB2101010, DRM_FORMAT_XRGB2101010, 4 },
	{ DRM_FORMAT_XBGR2101010, 0, 4 },
	{ DRM_FORMAT_ABGR2101010, DRM_FORMAT_XBGR2101010, 4 },
	{ DRM_FORMAT_RGB565, 0, 2 },
	{ DRM_FORMAT_XBGR16161616F, 0, 8 },
	{ DRM_FORMAT_ABGR16161616F, DRM_FORMAT_XBGR16161616F, 8 },
};
#define KNOWN_FORMATS (sizeof(known_formats) / sizeof(known_formats[0]))

unsigned kms_format_bytes(uint32_t fourcc)
{
	for (unsigned i = 0; i < KNOWN_FORMATS; i++) {
		if (known_formats[i].fourcc == fourcc)
			return known_formats[i].bytes;
	}
	return 0;
}

uint32_t kms_format_opaque(uint32_t fourcc)
{
	for (unsigned i = 0; i < KNOWN_FORMATS; i++) {
		if (known_formats[i].fourcc == fourcc)
			return known_formats[i].opaque;
	}
	return 0;
}

/* ---------------------------------------------------------------- planes */

/* A search in depth; it gives up where a machine has so many planes that it would take long. */
#define STEPS_MAX 2000

struct search {
	const struct kms_plane_traits *planes;
	unsigned plane_count;
	const struct kms_layer_traits *layers;
	unsigned layer_count;
	struct kms_choice *choices;
	unsigned steps;
};

/* Where the plane can be, above *@above (NULL: anywhere). */
static bool place_above(
    const struct search *search, unsigned index, const struct kms_choice *above, uint64_t *zpos)
{
	const struct kms_plane_traits *plane = &search->planes[index];
	const struct kms_plane_traits *below = above ? &search->planes[above->plane] : NULL;

	*zpos = plane->zpos ? plane->zpos_min : 0;
	if (!below)
		return true;
	if (plane->zpos && below->zpos) {
		if (*zpos <= above->zpos)
			*zpos = above->zpos + 1;
		return *zpos <= plane->zpos_max;
	}
	return below->primary || index > above->plane;
}

static bool can_show(const struct kms_plane_traits *plane, const struct kms_layer_traits *layer,
    bool lowest, struct kms_choice *choice)
{
	if (!plane->usable || plane->primary != lowest || (layer->alpha && !plane->alpha) ||
	    (layer->reflect && !plane->reflect))
		return false;
	choice->opaque =
	    !kms_formats_have(plane->formats, plane->format_count, layer->fourcc, layer->modifier);
	return !choice->opaque ||
	       (layer->fourcc_opaque && kms_formats_have(plane->formats, plane->format_count,
					    layer->fourcc_opaque, layer->modifier));
}

static bool choose_from(struct search *search, unsigned layer)
{
	struct kms_choice *choice = &search->choices[layer];

	if (layer == search->layer_count)
		return true;
	for (unsigned p = 0; p < search->plane_count; p++) {
		bool taken = false;

		if (search->steps++ > STEPS_MAX)
			return false;
		for (unsigned i = 0; i < layer; i++)
			taken |= search->choices[i].plane == p;
		if (taken ||
		    !can_show(&search->planes[p], &search->layers[layer], layer == 0, choice) ||
		    !place_above(search, p, layer ? choice - 1 : NULL, &choice->zpos))
			continue;
		choice->plane = p;
		if (choose_from(search, layer + 1))
			return true;
	}
	return false;
}

int kms_planes_choose(const struct kms_plane_traits *planes, unsigned plane_count,
    const struct kms_layer_traits *layers, unsigned layer_count, struct kms_choice *choices)
{
	struct search search = {
		.planes = planes,
		.plane_count = plane_count,
		.layers = layers,
		.layer_count = layer_count,
		.choices = choices,
	};

	if (layer_count > KMS_PLAN_MAX)
		return -EINVAL;
	return choose_from(&search, 0) ? 0 : -EINVAL;
}
