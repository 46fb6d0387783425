/* SPDX-License-Identifier: MIT */
/*
 * What makes a guest take each kind for what it is: udev (udev-builtin-input_id.c) and libinput
 * look at the bits alone. A mouse has REL_X and BTN_LEFT; a pointer ABS_X and BTN_LEFT without
 * BTN_TOUCH (as QEMU's virtio-tablet, which is no tablet to them); a touch screen and a pen on a
 * screen have INPUT_PROP_DIRECT; a pen needs resolutions, or libinput refuses it.
 */
#include "backend/input_kinds.h"

#include <linux/input.h>
#include <stddef.h>
#include <string.h>

#define VENDOR 0x1af4 /* virtio's at PCI; the numbers below are ours */

/* A screen of 15.6 inches: libinput wants to know a size, and takes it for nothing that would
 * show. Units per millimetre. */
#define RESOLUTION_X 95
#define RESOLUTION_Y 169
#define RESOLUTION_TILT 57 /* units per radian */

struct range {
	uint16_t type, first, last;
};

struct axis {
	uint16_t code;
	int32_t min, max, resolution;
};

struct kind {
	const char *name;
	bool direct; /* INPUT_PROP_DIRECT */
	const struct range *ranges;
	const struct axis *axes;
	unsigned range_count, axis_count;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* All keys; between them are buttons, which would make it a joystick or worse. */
static const struct range keyboard_ranges[] = {
	{ EV_KEY, KEY_ESC, BTN_MISC - 1 },
	{ EV_KEY, KEY_OK, BTN_DPAD_UP - 1 },
	{ EV_KEY, BTN_DPAD_RIGHT + 1, BTN_TRIGGER_HAPPY - 1 },
	{ EV_LED, LED_NUML, LED_KANA },
	{ EV_REP, REP_DELAY, REP_PERIOD },
};

static const struct range mouse_ranges[] = {
	{ EV_KEY, BTN_LEFT, BTN_TASK },
	{ EV_REL, REL_X, REL_Y },
	{ EV_REL, REL_HWHEEL, REL_HWHEEL },
	{ EV_REL, REL_WHEEL, REL_WHEEL },
	{ EV_REL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES },
};

static const struct range pointer_ranges[] = {
	{ EV_KEY, BTN_LEFT, BTN_TASK },
	{ EV_REL, REL_HWHEEL, REL_HWHEEL },
	{ EV_REL, REL_WHEEL, REL_WHEEL },
	{ EV_REL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES },
};
static const struct axis pointer_axes[] = {
	{ ABS_X, 0, SEAT_INPUT_ABS_MAX, 0 },
	{ ABS_Y, 0, SEAT_INPUT_ABS_MAX, 0 },
};

static const struct range touch_ranges[] = {
	{ EV_KEY, BTN_TOUCH, BTN_TOUCH },
};
static const struct axis touch_axes[] = {
	{ ABS_X, 0, SEAT_INPUT_ABS_MAX, RESOLUTION_X },
	{ ABS_Y, 0, SEAT_INPUT_ABS_MAX, RESOLUTION_Y },
	{ ABS_MT_SLOT, 0, SEAT_INPUT_SLOTS - 1, 0 },
	{ ABS_MT_POSITION_X, 0, SEAT_INPUT_ABS_MAX, RESOLUTION_X },
	{ ABS_MT_POSITION_Y, 0, SEAT_INPUT_ABS_MAX, RESOLUTION_Y },
	{ ABS_MT_TRACKING_ID, 0, 65535, 0 },
};

static const struct range tablet_ranges[] = {
	{ EV_KEY, BTN_TOOL_PEN, BTN_TOOL_AIRBRUSH },
	{ EV_KEY, BTN_TOUCH, BTN_TOUCH },
	{ EV_KEY, BTN_STYLUS, BTN_STYLUS2 },
	{ EV_KEY, BTN_STYLUS3, BTN_STYLUS3 },
};
static const struct axis tablet_axes[] = {
	{ ABS_X, 0, SEAT_INPUT_ABS_MAX, RESOLUTION_X },
	{ ABS_Y, 0, SEAT_INPUT_ABS_MAX, RESOLUTION_Y },
	{ ABS_PRESSURE, 0, SEAT_INPUT_PRESSURE_MAX, 0 },
	{ ABS_DISTANCE, 0, SEAT_INPUT_DISTANCE_MAX, 0 },
	{ ABS_TILT_X, -SEAT_INPUT_TILT_MAX, SEAT_INPUT_TILT_MAX, RESOLUTION_TILT },
	{ ABS_TILT_Y, -SEAT_INPUT_TILT_MAX, SEAT_INPUT_TILT_MAX, RESOLUTION_TILT },
};

/* Not all: a guest that finds SW_RFKILL_ALL, and off, switches its radios off. */
static const struct range switch_ranges[] = {
	{ EV_SW, SW_LID, SW_RFKILL_ALL - 1 },
	{ EV_SW, SW_RFKILL_ALL + 1, SW_MAX },
};

#define RANGES(array) .ranges = (array), .range_count = COUNT(array)
#define AXES(array) .axes = (array), .axis_count = COUNT(array)

static const struct kind kinds[SEAT_INPUT_KINDS] = {
	[SEAT_INPUT_KEYBOARD] = { "gpudom keyboard", RANGES(keyboard_ranges) },
	[SEAT_INPUT_MOUSE] = { "gpudom mouse", RANGES(mouse_ranges) },
	[SEAT_INPUT_POINTER] = { "gpudom pointer", RANGES(pointer_ranges), AXES(pointer_axes) },
	[SEAT_INPUT_TOUCH] = { "gpudom touch", true, RANGES(touch_ranges), AXES(touch_axes) },
	[SEAT_INPUT_TABLET] = { "gpudom tablet", true, RANGES(tablet_ranges), AXES(tablet_axes) },
	[SEAT_INPUT_SWITCH] = { "gpudom switch", RANGES(switch_ranges) },
};

static void set_bit(uint8_t *bitmap, unsigned bit)
{
	bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
}

/* "size" covers the last byte that is not zero */
static unsigned trim(const uint8_t *bitmap)
{
	unsigned size = INPUT_CONFIG_DATA_MAX;

	while (size > 0 && !bitmap[size - 1])
		size--;
	return size;
}

/* "a bitmap of the event codes of type subsel" */
static unsigned event_bits(const struct kind *kind, uint8_t type, uint8_t *to)
{
	for (unsigned i = 0; i < kind->range_count; i++) {
		const struct range *range = &kind->ranges[i];

		for (unsigned code = range->first; range->type == type && code <= range->last;
		     code++)
			set_bit(to, code);
	}
	for (unsigned i = 0; type == EV_ABS && i < kind->axis_count; i++)
		set_bit(to, kind->axes[i].code);
	return trim(to);
}

static const struct axis *find_axis(const struct kind *kind, uint16_t code)
{
	for (unsigned i = 0; i < kind->axis_count; i++)
		if (kind->axes[i].code == code)
			return &kind->axes[i];
	return NULL;
}

static unsigned axis_info(const struct kind *kind, uint8_t code, uint8_t *to)
{
	const struct axis *axis = find_axis(kind, code);
	struct virtio_input_absinfo info;

	if (!axis)
		return 0;
	info = (struct virtio_input_absinfo){ .min = (uint32_t)axis->min,
		.max = (uint32_t)axis->max,
		.res = (uint32_t)axis->resolution };
	memcpy(to, &info, sizeof(info));
	return sizeof(info);
}

/* Not terminated */
static unsigned string(const char *text, uint8_t *to)
{
	size_t length = text ? strnlen(text, INPUT_CONFIG_DATA_MAX) : 0;

	if (length)
		memcpy(to, text, length);
	return (unsigned)length;
}

unsigned input_kind_config(enum seat_input_kind index, const char *serial, uint8_t select,
    uint8_t subsel, uint8_t to[INPUT_CONFIG_DATA_MAX])
{
	const struct kind *kind = &kinds[index];
	const struct virtio_input_devids ids = { .bustype = BUS_VIRTUAL,
		.vendor = VENDOR,
		.product = (uint16_t)(1 + index),
		.version = 1 };

	memset(to, 0, INPUT_CONFIG_DATA_MAX);
	if (select == VIRTIO_INPUT_CFG_EV_BITS)
		return event_bits(kind, subsel, to);
	if (select == VIRTIO_INPUT_CFG_ABS_INFO)
		return axis_info(kind, subsel, to);
	/* The others have one answer, "subsel is zero" */
	if (subsel)
		return 0;
	switch (select) {
	case VIRTIO_INPUT_CFG_ID_NAME:
		return string(kind->name, to);
	case VIRTIO_INPUT_CFG_ID_SERIAL:
		return string(serial, to);
	case VIRTIO_INPUT_CFG_ID_DEVIDS:
		memcpy(to, &ids, sizeof(ids));
		return sizeof(ids);
	case VIRTIO_INPUT_CFG_PROP_BITS:
		if (kind->direct)
			set_bit(to, INPUT_PROP_DIRECT);
		return trim(to);
	default:
		return 0;
	}
}

bool input_kind_has(enum seat_input_kind index, uint16_t type, uint16_t code)
{
	const struct kind *kind = &kinds[index];

	for (unsigned i = 0; i < kind->range_count; i++)
		if (kind->ranges[i].type == type && code >= kind->ranges[i].first &&
		    code <= kind->ranges[i].last)
			return true;
	return type == EV_ABS && find_axis(kind, code);
}
