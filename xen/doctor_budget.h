/* SPDX-License-Identifier: MIT */
/*
 * How many pages a guest grants for its GPU, estimated from its settings, as what Xen limits: grant
 * frames of the guest (max_grant_frames, 512 grants each) and maptrack frames of the driver domain
 * (max_maptrack_frames, 256 mappings each).
 */
#ifndef GPUDOM_XEN_DOCTOR_BUDGET_H
#define GPUDOM_XEN_DOCTOR_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/config.h"

/* Xen's defaults (docs/man/xl.cfg.5: max_grant_frames, max_maptrack_frames). */
#define BUDGET_GRANT_FRAMES 64u
#define BUDGET_MAPTRACK_FRAMES 1024u

/* What the settings of a guest come to. */
struct budget_settings {
	bool soft, gl; /* renderer=soft; OpenGL is wanted or allowed */
	char egl[16], render_node[128];
	uint64_t frame_pages;   /* of one frame on each of its outputs */
	uint64_t backing_bytes; /* what its worker maps at most */
};

/* @guest: NULL for [default]. 0 or -ENOMEM. */
int budget_read(const struct config *config, const char *guest, struct budget_settings *settings);

struct budget {
	uint64_t granted; /* pages, by the guest to all domains */
	uint64_t mapped;  /* of these, by gpudom at a time */
};

/*
 * Three buffers for each output (a compositor's two, and the console), with OpenGL the same again
 * for the windows of clients and 64 MiB of textures and vertices; two full queues; and 1024 pages
 * for disks, network and console.
 */
struct budget budget_estimate(const struct budget_settings *settings);

/* Frames for that many pages, in round numbers (multiples of 16). */
unsigned budget_grant_frames(uint64_t pages);
unsigned budget_maptrack_frames(uint64_t pages);

#endif
