/* SPDX-License-Identifier: MIT */
/* What the EDID of somebody's monitor says (VESA E-EDID 1.4). */
#ifndef GPUDOM_BACKEND_EDID_READ_H
#define GPUDOM_BACKEND_EDID_READ_H

#include <stdbool.h>

#include "backend/edid.h"

/* Is this one, with all its blocks, and are their checksums right? */
bool edid_is_good(const uint8_t *edid, size_t size);

/* The preferred mode of a good one. @mode is left as it is where there is none. */
void edid_read_mode(const uint8_t *edid, struct edid_mode *mode);

/* Whose monitor a good one says that it is. */
void edid_read_identity(const uint8_t *edid, struct edid_identity *identity);

#endif
