/* SPDX-License-Identifier: MIT */
/* Capability sets by name (virtio 1.2, 5.7.6.8, and what Linux and Mesa call them since). */
#ifndef GPUDOM_BACKEND_CAPSET_H
#define GPUDOM_BACKEND_CAPSET_H

#include <stddef.h>
#include <stdint.h>

#ifndef WITH_VIRGL /* the Makefile has it */
#define WITH_VIRGL 1
#endif

/* VIRTIO_GPU_CAPSET_*: Linux' header of 6.1 has the first two alone. */
enum capset_id {
	CAPSET_VIRGL = 1,
	CAPSET_VIRGL2 = 2,
	CAPSET_VENUS = 4,
	CAPSET_CROSS_DOMAIN = 5,
	CAPSET_DRM = 6,
};

/* In masks, 1u << id. */
#define CAPSETS_VIRGL (1u << CAPSET_VIRGL | 1u << CAPSET_VIRGL2)
#define CAPSETS_BUILT (WITH_VIRGL ? CAPSETS_VIRGL : 0u) /* what this build has code for */
#define CAPSETS_ALL UINT32_MAX

#define CAPSET_NAMES "virgl, virgl2, venus, drm, cross-domain, none"
#define CAPSET_NAMES_MAX 64 /* bytes that all names take, with commas and the final zero */

/* Names with commas in between; "none" adds nothing. -EINVAL: not known. */
int capset_parse(const char *names, uint32_t *mask);

/* The names of those in @mask, "virgl, virgl2"; "none" without. */
void capset_format(uint32_t mask, char names[CAPSET_NAMES_MAX]);

#endif
