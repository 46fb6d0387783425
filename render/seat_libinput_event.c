/* SPDX-License-Identifier: MIT */
/* libinput's events, in the words of seat_input.h. */
#include <linux/input-event-codes.h>
#include <string.h>

#include "render/seat_libinput_private.h"

/* "the vertical scroll distance of ... one wheel click is 15 degrees": fingers scroll in about the
 * same units. */
#define V120_PER_UNIT (120.0 / 15)

struct source {
	struct seat_input *input;
	const struct seat_libinput_device *device;
	unsigned number;
};

static void begin(const struct source *source, uint64_t usec)
{
	seat_input_time(source->input, usec * 1000);
}

static void end(const struct source *source)
{
	seat_input_frame(source->input, source->number);
}

/* ---------------------------------------------------------------- outputs */

/* Of those that are on: the one of that name, else the first. SEAT_OUTPUTS_MAX: there is none. */
static unsigned find_output(const struct seat_layout *layout, const char *name)
{
	for (unsigned i = 0; i < layout->place_count; i++)
		if (layout->places[i].on && (!name || !strcmp(layout->places[i].name, name)))
			return i;
	return SEAT_OUTPUTS_MAX;
}

/* As the settings, or udev (WL_OUTPUT), say; NULL: neither does. */
static const char *output_name(const struct seat_libinput_device *device)
{
	if (device->rule && device->rule->output[0])
		return device->rule->output;
	return libinput_device_get_output_name(device->device);
}

/* Of a device that is, or may be, a screen. */
static unsigned output_of(const struct source *source, bool screen)
{
	const char *name = output_name(source->device);

	if (!name && !screen)
		return SEAT_INPUT_DESKTOP;
	return find_output(seat_input_get_layout(source->input), name);
}

/* ---------------------------------------------------------------- keyboards and mice */

static void take_key(const struct source *source, struct libinput_event_keyboard *event)
{
	begin(source, libinput_event_keyboard_get_time_usec(event));
	seat_input_key(source->input, source->number, libinput_event_keyboard_get_key(event),
	    libinput_event_keyboard_get_key_state(event) == LIBINPUT_KEY_STATE_PRESSED);
	end(source);
}

static void take_motion(const struct source *source, struct libinput_event_pointer *event)
{
	begin(source, libinput_event_pointer_get_time_usec(event));
	seat_input_motion(source->input, source->number, libinput_event_pointer_get_dx(event),
	    libinput_event_pointer_get_dy(event),
	    libinput_event_pointer_get_dx_unaccelerated(event),
	    libinput_event_pointer_get_dy_unaccelerated(event));
	end(source);
}

static void take_position(const struct source *source, struct libinput_event_pointer *event)
{
	begin(source, libinput_event_pointer_get_time_usec(event));
	seat_input_motion_absolute(source->input, source->number, output_of(source, false),
	    libinput_event_pointer_get_absolute_x_transformed(event, 1),
	    libinput_event_pointer_get_absolute_y_transformed(event, 1));
	end(source);
}

static void take_button(const struct source *source, struct libinput_event_pointer *event)
{
	begin(source, libinput_event_pointer_get_time_usec(event));
	seat_input_button(source->input, source->number, libinput_event_pointer_get_button(event),
	    libinput_event_pointer_get_button_state(event) == LIBINPUT_BUTTON_STATE_PRESSED);
	end(source);
}

static void take_scroll(
    const struct source *source, struct libinput_event_pointer *event, bool wheel)
{
	static const enum libinput_pointer_axis axes[] = { LIBINPUT_POINTER_AXIS_SCROLL_VERTICAL,
		LIBINPUT_POINTER_AXIS_SCROLL_HORIZONTAL };

	begin(source, libinput_event_pointer_get_time_usec(event));
	for (unsigned i = 0; i < 2; i++) {
		double v120;

		if (!libinput_event_pointer_has_axis(event, axes[i]))
			continue;
		v120 =
		    wheel ? libinput_event_pointer_get_scroll_value_v120(event, axes[i])
			  : libinput_event_pointer_get_scroll_value(event, axes[i]) * V120_PER_UNIT;
		seat_input_scroll(source->input, source->number, i == 1, v120);
	}
	end(source);
}

/* ---------------------------------------------------------------- touch screens */

/* "-1 ... if the device is a single touch device" */
static unsigned touch_slot(struct libinput_event_touch *event)
{
	const int32_t slot = libinput_event_touch_get_slot(event);

	return slot < 0 ? 0 : (unsigned)slot;
}

static void take_touch(
    const struct source *source, struct libinput_event_touch *event, enum libinput_event_type type)
{
	const unsigned slot = touch_slot(event);
	double x, y;

	begin(source, libinput_event_touch_get_time_usec(event));
	/* A cancel comes for each slot. */
	if (type == LIBINPUT_EVENT_TOUCH_UP || type == LIBINPUT_EVENT_TOUCH_CANCEL) {
		seat_input_touch_up(source->input, source->number, slot);
		return;
	}
	x = libinput_event_touch_get_x_transformed(event, 1);
	y = libinput_event_touch_get_y_transformed(event, 1);
	if (type == LIBINPUT_EVENT_TOUCH_DOWN)
		seat_input_touch_down(
		    source->input, source->number, slot, output_of(source, true), x, y);
	else
		seat_input_touch_motion(source->input, source->number, slot, x, y);
}

/* ---------------------------------------------------------------- tablets */

static uint16_t tool_code(struct libinput_tablet_tool *tool)
{
	switch (libinput_tablet_tool_get_type(tool)) {
	case LIBINPUT_TABLET_TOOL_TYPE_ERASER:
		return BTN_TOOL_RUBBER;
	case LIBINPUT_TABLET_TOOL_TYPE_BRUSH:
		return BTN_TOOL_BRUSH;
	case LIBINPUT_TABLET_TOOL_TYPE_PENCIL:
		return BTN_TOOL_PENCIL;
	case LIBINPUT_TABLET_TOOL_TYPE_AIRBRUSH:
		return BTN_TOOL_AIRBRUSH;
	default:
		return BTN_TOOL_PEN;
	}
}

static void take_pen(const struct source *source, struct libinput_event_tablet_tool *event)
{
	const bool screen = libinput_device_config_calibration_has_matrix(source->device->device);
	const struct seat_input_pen pen = {
		.output = output_of(source, screen),
		.x = libinput_event_tablet_tool_get_x_transformed(event, 1),
		.y = libinput_event_tablet_tool_get_y_transformed(event, 1),
		.pressure = libinput_event_tablet_tool_get_pressure(event),
		.distance = libinput_event_tablet_tool_get_distance(event),
		.tilt_x = libinput_event_tablet_tool_get_tilt_x(event),
		.tilt_y = libinput_event_tablet_tool_get_tilt_y(event),
		.tool = tool_code(libinput_event_tablet_tool_get_tool(event)),
		.near = libinput_event_tablet_tool_get_proximity_state(event) ==
			LIBINPUT_TABLET_TOOL_PROXIMITY_STATE_IN,
		.touching = libinput_event_tablet_tool_get_tip_state(event) ==
			    LIBINPUT_TABLET_TOOL_TIP_DOWN,
	};

	begin(source, libinput_event_tablet_tool_get_time_usec(event));
	seat_input_pen(source->input, source->number, &pen);
	end(source);
}

static void take_pen_button(const struct source *source, struct libinput_event_tablet_tool *event)
{
	begin(source, libinput_event_tablet_tool_get_time_usec(event));
	seat_input_button(source->input, source->number,
	    libinput_event_tablet_tool_get_button(event),
	    libinput_event_tablet_tool_get_button_state(event) == LIBINPUT_BUTTON_STATE_PRESSED);
	end(source);
}

/* ---------------------------------------------------------------- switches */

static void take_switch(const struct source *source, struct libinput_event_switch *event)
{
	const bool lid = libinput_event_switch_get_switch(event) == LIBINPUT_SWITCH_LID;

	begin(source, libinput_event_switch_get_time_usec(event));
	seat_input_switch(source->input, source->number, lid ? SW_LID : SW_TABLET_MODE,
	    libinput_event_switch_get_switch_state(event) == LIBINPUT_SWITCH_STATE_ON);
	end(source);
}

void seat_libinput_take_event(
    struct seat_input *input, struct seat_libinput_device *device, struct libinput_event *event)
{
	const struct source source = { input, device, device->source };
	const enum libinput_event_type type = libinput_event_get_type(event);

	switch (type) {
	case LIBINPUT_EVENT_KEYBOARD_KEY:
		take_key(&source, libinput_event_get_keyboard_event(event));
		break;
	case LIBINPUT_EVENT_POINTER_MOTION:
		take_motion(&source, libinput_event_get_pointer_event(event));
		break;
	case LIBINPUT_EVENT_POINTER_MOTION_ABSOLUTE:
		take_position(&source, libinput_event_get_pointer_event(event));
		break;
	case LIBINPUT_EVENT_POINTER_BUTTON:
		take_button(&source, libinput_event_get_pointer_event(event));
		break;
	case LIBINPUT_EVENT_POINTER_SCROLL_WHEEL:
	case LIBINPUT_EVENT_POINTER_SCROLL_FINGER:
	case LIBINPUT_EVENT_POINTER_SCROLL_CONTINUOUS:
		take_scroll(&source, libinput_event_get_pointer_event(event),
		    type == LIBINPUT_EVENT_POINTER_SCROLL_WHEEL);
		break;
	case LIBINPUT_EVENT_TOUCH_DOWN:
	case LIBINPUT_EVENT_TOUCH_UP:
	case LIBINPUT_EVENT_TOUCH_MOTION:
	case LIBINPUT_EVENT_TOUCH_CANCEL:
		take_touch(&source, libinput_event_get_touch_event(event), type);
		break;
	case LIBINPUT_EVENT_TOUCH_FRAME:
		end(&source);
		break;
	case LIBINPUT_EVENT_TABLET_TOOL_AXIS:
	case LIBINPUT_EVENT_TABLET_TOOL_PROXIMITY:
	case LIBINPUT_EVENT_TABLET_TOOL_TIP:
		take_pen(&source, libinput_event_get_tablet_tool_event(event));
		break;
	case LIBINPUT_EVENT_TABLET_TOOL_BUTTON:
		take_pen_button(&source, libinput_event_get_tablet_tool_event(event));
		break;
	case LIBINPUT_EVENT_SWITCH_TOGGLE:
		take_switch(&source, libinput_event_get_switch_event(event));
		break;
	default:
		break; /* gestures, tablets' pads: no guest has devices for these */
	}
}
