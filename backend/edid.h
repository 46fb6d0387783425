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
	uint32_t serial;              /* of the output: 1, 2, ... */
};

#define EDID_NAME_MAX 13
/* Millimetres that an EDID can say. */
#define EDID_MM_MIN 5
#define EDID_MM_MAX 2550

/* Whose monitor it says that it is. All zero: "gpudom N", of vendor GDM. */
struct edid_identity {
	char name[EDID_NAME_MAX +
		  1];     /* of all outputs; empty: "gpudom N" with the output's serial */
	char vendor[3];   /* a PNP id, such as "DEL"; zero: GDM */
	uint16_t product; /* 0: 1 */
	uint32_t serial;  /* of the first output; 0: 1. The next ones follow. */
};

/*
 * Sets the member that is called @name ("edid-name", "edid-vendor", "edid-product", "edid-serial")
 * to what @value says. -ENOENT: there is none. -EINVAL, and *@expected is what it may be, for
 * people.
 */
int edid_identity_set(
    struct edid_identity *identity, const char *name, const char *value, const char **expected);

/* "WIDTHxHEIGHT" in millimetres, each EDID_MM_MIN to EDID_MM_MAX. -EINVAL */
int edid_size_parse(const char *value, uint32_t *width_mm, uint32_t *height_mm);

/*
 * Writes one block, or two where the mode is beyond the base block's detailed timing
 * (4095 pixels, 655.35 MHz): then a DisplayID extension (VESA DisplayID 1.3) has it as
 * the preferred timing, and the base block the largest of the same shape that fits.
 * @identity may be NULL. Returns the bytes written.
 */
size_t edid_make(
    const struct edid_mode *mode, const struct edid_identity *identity, uint8_t out[EDID_SIZE]);

#endif
