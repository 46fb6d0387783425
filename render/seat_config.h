/* SPDX-License-Identifier: MIT */
/*
 * The seat's settings: gpudom-seat.conf(5). A file that is wrong is refused as a whole, each
 * mistake with its line.
 */
#ifndef GPUDOM_RENDER_SEAT_CONFIG_H
#define GPUDOM_RENDER_SEAT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/edid.h"
#include "render/seat_backend.h"
#include "render/seat_input.h"
#include "render/seat_layout.h"

#define SEAT_CONFIG_PATH "/etc/gpudom/seat.conf"

#define SEAT_INPUTS_MAX 64 /* sections */
#define SEAT_MATCH_MAX 128

struct seat_config_output { /* [output NAME] */
	char name[SEAT_OUTPUT_NAME_MAX];
	unsigned line;
	bool off;
	bool has_mode;         /* guests cannot set another */
	struct seat_mode mode; /* refresh 0: any */
	bool has_position;
	int32_t x, y;
	/* Of the monitor that guests are shown; all zero: what it is. */
	bool has_identity;
	struct edid_identity identity;
	uint32_t width_mm, height_mm; /* 0: the monitor's */
};

struct seat_config_view { /* [view GUEST:SCANOUT] */
	char guest[SEAT_GUEST_NAME_MAX];
	unsigned scanout, line;
	char output[SEAT_OUTPUT_NAME_MAX];
	bool has_position, has_size;
	int32_t x, y;
	uint32_t width, height;
	int32_t order;
	uint16_t alpha;
};

struct seat_config_input { /* [input NAME-MATCH]: fnmatch(3) of the device's name */
	char match[SEAT_MATCH_MAX];
	unsigned line;
	bool ignore;
	char guest[SEAT_GUEST_NAME_MAX];   /* empty: by focus, or by output */
	char output[SEAT_OUTPUT_NAME_MAX]; /* that a touch screen or a tablet covers; empty: by
					      udev, or the first */
	bool has_calibration;
	float calibration[6]; /* as LIBINPUT_CALIBRATION_MATRIX */
};

struct seat_config {
	struct seat_input_config input; /* [seat] */
	struct seat_config_output outputs[SEAT_OUTPUTS_MAX];
	unsigned output_count;
	struct seat_config_view views[SEAT_VIEWS_MAX];
	unsigned view_count;
	struct seat_config_input inputs[SEAT_INPUTS_MAX];
	unsigned input_count;
};

/* What holds without a file. */
void seat_config_init(struct seat_config *config);

/* @path NULL: SEAT_CONFIG_PATH, where a file that is not there is as good as an empty one.
 * -EINVAL: each mistake has been logged; *@config is as seat_config_init() leaves it. */
int seat_config_load(struct seat_config *config, const char *path);
/* Likewise of @text, which is called @name in messages. */
int seat_config_parse(struct seat_config *config, const char *name, const char *text);

/* "1920x1080" or "1920x1080@59.94"; refresh 0: not said. -EINVAL */
int seat_mode_parse(const char *text, struct seat_mode *mode);

const struct seat_config_output *seat_config_find_output(
    const struct seat_config *config, const char *name);
/* NULL: it has no section. */
const struct seat_config_view *seat_config_find_view(
    const struct seat_config *config, const char *guest, unsigned scanout);
bool seat_config_has_views(const struct seat_config *config, const char *guest);

#endif
