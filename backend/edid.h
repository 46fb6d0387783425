/* SPDX-License-Identifier: MIT */
/*
 * A monitor's description (VESA E-EDID 1.4) for a mode of any size.
 */
#ifndef GPUDOM_BACKEND_EDID_H
#define GPUDOM_BACKEND_EDID_H

#include <stddef.h>
#include <stdint.h>

#define EDID_BLOCK_SIZE 128
#define EDID_SIZE (2 * EDID_BLOCK_SIZE)

struct edid_mode {
	uint32_t width, height;       /* pixels, 1 to 16384 (brought into range) */
	uint32_t refresh;             /* millihertz; 0: 60 Hz */
	uint32_t width_mm, height_mm; /* 0: unknown */
	uint32_t serial;              /* of the output; its name ends with it */
};

/*
 * Writes one block, or two where the mode is beyond the base block's detailed timing
 * (4095 pixels, 655.35 MHz): then a DisplayID extension (VESA DisplayID 1.3) has it as
 * the preferred timing, and the base block the largest of the same shape that fits.
 * Returns the bytes written.
 */
size_t edid_make(const struct edid_mode *mode, uint8_t out[EDID_SIZE]);

#endif
