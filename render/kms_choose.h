/* SPDX-License-Identifier: MIT */
/*
 * Choices of the KMS backend that need no device: which mode, which CRTC for a connector, which
 * plane for a layer; and whether to believe what a monitor or a driver says.
 */
#ifndef GPUDOM_RENDER_KMS_CHOOSE_H
#define GPUDOM_RENDER_KMS_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xf86drmMode.h>

#include "render/seat_backend.h"

/* ---------------------------------------------------------------- EDID */

/* The bytes of @edid that can be believed: whole blocks, with the header and the checksums that
 * VESA E-EDID (section 3) demands; 0: none. */
size_t kms_edid_check(const uint8_t *edid, size_t size);

/* ---------------------------------------------------------------- modes */

uint32_t kms_mode_refresh(const drmModeModeInfo *mode); /* millihertz; 0: garbage */
void kms_mode_describe(const drmModeModeInfo *from, struct seat_mode *to);

/*
 * The index of the mode of this size whose rate is the nearest to @refresh (millihertz; within
 * half a hertz; 0: the preferred or first one of this size), progressive ones first. -EINVAL:
 * there is none.
 */
int kms_mode_find(const drmModeModeInfo *modes, unsigned count, uint32_t width, uint32_t height,
    uint32_t refresh);

/* ---------------------------------------------------------------- CRTCs */

struct kms_crtc_wish {
	uint32_t possible; /* bits of CRTCs that can drive the connector; 0: none wanted */
	bool fixed;        /* @crtc must stay */
	int crtc;          /* that it has, and gets; -1: none */
};

/* Gives as many as can be a CRTC; who has one keeps it where that costs nobody else one. */
void kms_crtcs_assign(struct kms_crtc_wish *wishes, unsigned count);

/* ---------------------------------------------------------------- formats */

struct kms_format {
	uint32_t fourcc;
	uint64_t modifier; /* DRM_FORMAT_MOD_INVALID: the driver knows */
};

/* Parses an IN_FORMATS blob; *@formats is the caller's to free(). -EINVAL: it is not one. -ENOMEM
 */
int kms_formats_parse(const void *blob, size_t size, struct kms_format **formats, unsigned *count);

/* A buffer without a modifier fits where its format does; a linear one also where no modifiers are
 * listed. */
bool kms_formats_have(
    const struct kms_format *formats, unsigned count, uint32_t fourcc, uint64_t modifier);

/* The bytes of a pixel; 0: a format that we do not show. */
unsigned kms_format_bytes(uint32_t fourcc);
/* The format of the same memory with its alpha ignored; 0: it has no alpha. */
uint32_t kms_format_opaque(uint32_t fourcc);

/* ---------------------------------------------------------------- planes */

#define KMS_PLAN_MAX (SEAT_LAYERS_MAX + 1) /* and black below */

/* A plane, as far as choosing goes. */
struct kms_plane_traits {
	bool usable;  /* for this CRTC, and by nobody else now */
	bool primary; /* the lowest layer's */
	bool alpha;   /* can be more or less transparent as a whole */
	bool reflect; /* can turn a picture upside down */
	bool zpos;    /* has a place in the order of planes: one of zpos_min to zpos_max */
	uint64_t zpos_min, zpos_max;
	const struct kms_format *formats;
	unsigned format_count;
};

/* What a layer asks of its plane. */
struct kms_layer_traits {
	uint32_t fourcc;
	uint32_t fourcc_opaque; /* that will do, too; 0: none */
	uint64_t modifier;
	bool alpha, reflect;
};

struct kms_choice {
	unsigned plane; /* index */
	bool opaque;    /* with fourcc_opaque */
	uint64_t zpos;  /* where the plane has one */
};

/*
 * A plane for each layer, the lowest layer first, each above the last one; the lowest one gets
 * the primary plane. Without zpos, planes lie in the order of the array, the primary one lowest.
 * -EINVAL: there is no such choice.
 */
int kms_planes_choose(const struct kms_plane_traits *planes, unsigned plane_count,
    const struct kms_layer_traits *layers, unsigned layer_count, struct kms_choice *choices);

#endif
