/* SPDX-License-Identifier: MIT */
/*
 * Touches and pens: they belong to the output that the screen or the tablet covers, and to the view
 * that was below at first, until they are lifted.
 */
#include <math.h>

#include "render/seat_input_private.h"

#define TRACKING_ID_MAX 65535 /* as Linux has them: TRKID_MAX; a mask, too */

/* The view for a new contact; focus goes along where that is wanted. NULL: it is nobody's. */
static const struct seat_view *contact_view(struct seat_input *input,
    const struct seat_source *source, unsigned kinds, unsigned output, bool pressed, double x,
    double y)
{
	const struct seat_view *view =
	    seat_input_find_view(input, kinds, output, source->pinned, x, y);
	struct seat_guest *guest = seat_input_view_guest(input, view);

	if (!guest || source->pinned || !input->config.touch_by_focus || guest == input->focus)
		return view;
	if (!pressed)
		return NULL;
	seat_input_focus(input, guest, false);
	/* It may have brought another one to the front. */
	view = seat_input_find_view(input, kinds, output, NULL, x, y);
	return seat_input_view_guest(input, view) == input->focus ? view : NULL;
}

/* ---------------------------------------------------------------- touches */

static struct seat_touch *touch_find(struct seat_input *input, unsigned source, unsigned slot)
{
	for (unsigned i = 0; i < SEAT_TOUCHES_MAX; i++) {
		struct seat_touch *touch = &input->touches[i];

		if (touch->used && touch->source == source && touch->slot == slot)
			return touch;
	}
	return NULL;
}

static struct seat_touch *touch_get(struct seat_input *input)
{
	for (unsigned i = 0; i < SEAT_TOUCHES_MAX; i++)
		if (!input->touches[i].used)
			return &input->touches[i];
	return NULL;
}

static bool device_has_touch(const struct seat_device *device)
{
	for (unsigned slot = 0; slot < SEAT_INPUT_SLOTS; slot++)
		if (device->now.slots[slot].id >= 0)
			return true;
	return false;
}

/* Does the frame that is being made say anything about it? */
static bool device_framed_slot(const struct seat_device *device, unsigned slot)
{
	for (unsigned i = 0; device->framing && i < device->frame_count; i++)
		if (device->frame[i].type == EV_ABS && device->frame[i].code == ABS_MT_SLOT &&
		    device->frame[i].value == (int32_t)slot)
			return true;
	return false;
}

/* For a new touch. Whoever reads a frame takes from it what a slot is at its end: one that is left
 * in it is taken in another one. SEAT_INPUT_SLOTS: there is none. */
static unsigned device_take_slot(struct seat_device *device)
{
	unsigned left = SEAT_INPUT_SLOTS;

	for (unsigned slot = 0; slot < SEAT_INPUT_SLOTS; slot++) {
		if (device->now.slots[slot].id >= 0)
			continue;
		if (!device_framed_slot(device, slot))
			return slot;
		left = slot;
	}
	if (left < SEAT_INPUT_SLOTS)
		seat_device_flush(device);
	return left;
}

static void touch_lift(struct seat_touch *touch, unsigned source)
{
	struct seat_device *device = touch->device;

	touch->used = false;
	if (device->now.slots[touch->guest_slot].id < 0)
		return; /* it has hung up since */
	seat_device_add(device, source, EV_ABS, ABS_MT_SLOT, (int32_t)touch->guest_slot);
	seat_device_add(device, source, EV_ABS, ABS_MT_TRACKING_ID, -1);
	if (!device_has_touch(device))
		seat_device_add(device, source, EV_KEY, BTN_TOUCH, 0);
	if (device->primary == touch->guest_slot)
		device->primary = SEAT_INPUT_SLOTS;
}

/* After ABS_MT_SLOT */
static void touch_tell_position(
    struct seat_device *device, unsigned source, unsigned slot, int32_t x, int32_t y)
{
	seat_device_add(device, source, EV_ABS, ABS_MT_POSITION_X, x);
	seat_device_add(device, source, EV_ABS, ABS_MT_POSITION_Y, y);
	if (device->primary != slot)
		return;
	/* For those who know one finger */
	seat_device_add(device, source, EV_ABS, ABS_X, x);
	seat_device_add(device, source, EV_ABS, ABS_Y, y);
}

static void touch_begin(struct seat_touch *touch, int32_t x, int32_t y)
{
	struct seat_device *device = touch->device;
	const unsigned source = touch->source;
	const bool first = !device_has_touch(device);

	device->last_id = (device->last_id + 1) & TRACKING_ID_MAX;
	if (first)
		device->primary = touch->guest_slot;
	seat_device_add(device, source, EV_ABS, ABS_MT_SLOT, (int32_t)touch->guest_slot);
	seat_device_add(device, source, EV_ABS, ABS_MT_TRACKING_ID, device->last_id);
	touch_tell_position(device, source, touch->guest_slot, x, y);
	if (first)
		seat_device_add(device, source, EV_KEY, BTN_TOUCH, 1);
}

/* False: nobody gets it. */
static bool touch_try(struct seat_input *input, const struct seat_source *source, unsigned slot,
    unsigned output, double x, double y)
{
	struct seat_touch *touch;
	const struct seat_view *view;
	struct seat_guest *guest;
	struct seat_device *device;
	unsigned guest_slot;
	int32_t abs_x, abs_y;

	if (!seat_input_to_desktop(input, output, &x, &y))
		return false;
	view = contact_view(input, source, SEAT_FOR_TOUCH, output, true, x, y);
	guest = seat_input_view_guest(input, view);
	device = guest ? seat_input_area_device(guest, view, SEAT_INPUT_TOUCH) : NULL;
	touch = touch_get(input);
	guest_slot = touch && device ? device_take_slot(device) : SEAT_INPUT_SLOTS;
	if (guest_slot == SEAT_INPUT_SLOTS ||
	    !seat_input_area_map(input, device, view, x, y, &abs_x, &abs_y))
		return false;
	*touch = (struct seat_touch){
		.used = true,
		.source = source->number,
		.slot = slot,
		.output = output,
		.pinned = source->pinned,
		.guest = guest,
		.device = device,
		.scanout = view->scanout,
		.view_output = view->output,
		.guest_slot = guest_slot,
	};
	touch_begin(touch, abs_x, abs_y);
	return true;
}

void seat_input_touch_down(
    struct seat_input *input, unsigned number, unsigned slot, unsigned output, double x, double y)
{
	const struct seat_source *source = seat_input_source(input, number);

	seat_input_touch_up(input, number, slot);
	if (!source || !touch_try(input, source, slot, output, x, y))
		input->stats.dropped++;
}

void seat_input_touch_motion(
    struct seat_input *input, unsigned number, unsigned slot, double x, double y)
{
	const struct seat_touch *touch = touch_find(input, number, slot);
	const struct input_slot *now;
	const struct seat_view *view;
	int32_t abs_x, abs_y;

	if (!touch || !seat_input_to_desktop(input, touch->output, &x, &y))
		return;
	view = seat_input_get_view(input, touch->guest, touch->scanout, touch->view_output);
	now = &touch->device->now.slots[touch->guest_slot];
	if (!view || now->id < 0)
		return;
	if (!seat_input_area_map(input, touch->device, view, x, y, &abs_x, &abs_y))
		return;
	if (now->values[ABS_MT_POSITION_X - INPUT_MT_FIRST] == abs_x &&
	    now->values[ABS_MT_POSITION_Y - INPUT_MT_FIRST] == abs_y)
		return;
	seat_device_add(touch->device, number, EV_ABS, ABS_MT_SLOT, (int32_t)touch->guest_slot);
	touch_tell_position(touch->device, number, touch->guest_slot, abs_x, abs_y);
}

void seat_input_touch_up(struct seat_input *input, unsigned number, unsigned slot)
{
	struct seat_touch *touch = touch_find(input, number, slot);

	if (touch)
		touch_lift(touch, number);
}

void seat_input_touch_cancel(struct seat_input *input, unsigned number)
{
	for (unsigned i = 0; i < SEAT_TOUCHES_MAX; i++)
		if (input->touches[i].used && input->touches[i].source == number)
			touch_lift(&input->touches[i], number);
}

/* ---------------------------------------------------------------- pens */

static const uint16_t stylus_buttons[] = { BTN_STYLUS, BTN_STYLUS2, BTN_STYLUS3 };
#define STYLUS_BUTTONS (sizeof(stylus_buttons) / sizeof(stylus_buttons[0]))

bool seat_code_is_stylus(unsigned code)
{
	return code == BTN_STYLUS || code == BTN_STYLUS2 || code == BTN_STYLUS3;
}

static void pen_tell_key(struct seat_device *device, unsigned source, uint16_t code, bool down)
{
	if (code && seat_bit(device->now.keys, code) != down)
		seat_device_add(device, source, EV_KEY, code, down);
}

static void pen_tell_axis(struct seat_device *device, unsigned source, uint16_t code, double value)
{
	const int32_t abs = (int32_t)lround(value);

	if (!(device->now.axes_known >> code & 1) || device->now.axes[code] != abs)
		seat_device_add(device, source, EV_ABS, code, abs);
}

static void pen_out(struct seat_source *source, unsigned number)
{
	struct seat_device *device = source->pen.device;

	if (!source->pen.guest)
		return;
	source->pen.guest = NULL;
	if (!seat_bit(device->now.keys, source->pen.tool))
		return; /* it has hung up since */
	pen_tell_axis(device, number, ABS_PRESSURE, 0);
	pen_tell_key(device, number, BTN_TOUCH, false);
	for (unsigned i = 0; i < STYLUS_BUTTONS; i++)
		pen_tell_key(device, number, stylus_buttons[i], false);
	pen_tell_key(device, number, source->pen.tool, false);
}

/* Something is pressed: the pen stays with its view. */
static bool pen_is_held(const struct seat_source *source)
{
	const struct seat_device *device = source->pen.device;

	return source->pen.guest &&
	       (seat_bit(device->now.keys, BTN_TOUCH) || seat_bit(device->now.keys, BTN_STYLUS) ||
		   seat_bit(device->now.keys, BTN_STYLUS2) ||
		   seat_bit(device->now.keys, BTN_STYLUS3));
}

static double limit(double value, double least, double most)
{
	return value > least ? fmin(value, most) : least; /* least for what is not a number */
}

static void pen_tell(struct seat_input *input, const struct seat_source *source,
    const struct seat_view *view, const struct seat_input_pen *pen, double x, double y)
{
	struct seat_device *device = source->pen.device;
	const unsigned number = source->number;
	const double tilt = SEAT_INPUT_TILT_MAX;
	int32_t abs_x, abs_y;

	if (!seat_input_area_map(input, device, view, x, y, &abs_x, &abs_y))
		return;
	pen_tell_key(device, number, source->pen.tool, true);
	seat_device_add(device, number, EV_ABS, ABS_X, abs_x);
	seat_device_add(device, number, EV_ABS, ABS_Y, abs_y);
	pen_tell_axis(
	    device, number, ABS_PRESSURE, limit(pen->pressure, 0, 1) * SEAT_INPUT_PRESSURE_MAX);
	pen_tell_axis(
	    device, number, ABS_DISTANCE, limit(pen->distance, 0, 1) * SEAT_INPUT_DISTANCE_MAX);
	pen_tell_axis(device, number, ABS_TILT_X, limit(pen->tilt_x, -tilt, tilt));
	pen_tell_axis(device, number, ABS_TILT_Y, limit(pen->tilt_y, -tilt, tilt));
	pen_tell_key(device, number, BTN_TOUCH, pen->touching);
}

/* No other pen is there. */
static bool pen_may_enter(const struct seat_device *device)
{
	return device && !seat_device_any_down(device, BTN_TOOL_PEN, BTN_TOOL_AIRBRUSH);
}

void seat_input_pen(struct seat_input *input, unsigned number, const struct seat_input_pen *pen)
{
	struct seat_source *source = seat_input_source(input, number);
	const uint16_t tool =
	    pen->tool >= BTN_TOOL_PEN && pen->tool <= BTN_TOOL_AIRBRUSH ? pen->tool : BTN_TOOL_PEN;
	double x = pen->x, y = pen->y;
	const struct seat_view *view;
	struct seat_guest *guest;
	struct seat_device *device;

	if (!source)
		return;
	if (!pen->near || !seat_input_to_desktop(input, pen->output, &x, &y)) {
		pen_out(source, number);
		return;
	}
	if (pen_is_held(source))
		view = seat_input_get_view(
		    input, source->pen.guest, source->pen.scanout, source->pen.output);
	else
		view = contact_view(input, source, SEAT_FOR_PEN, pen->output, pen->touching, x, y);
	guest = seat_input_view_guest(input, view);
	device = guest ? seat_input_area_device(guest, view, SEAT_INPUT_TABLET) : NULL;
	if (device != source->pen.device || tool != source->pen.tool)
		pen_out(source, number);
	if (!source->pen.guest && !pen_may_enter(device)) {
		input->stats.dropped++;
		return;
	}
	source->pen = (struct seat_pen){ guest, device, view->scanout, view->output, tool };
	pen_tell(input, source, view, pen, x, y);
}

void seat_input_pen_button(
    struct seat_input *input, struct seat_source *source, uint32_t code, bool down)
{
	if (source->pen.guest && seat_bit(source->pen.device->now.keys, source->pen.tool))
		pen_tell_key(source->pen.device, source->number, (uint16_t)code, down);
	else if (down)
		input->stats.dropped++;
}

/* ---------------------------------------------------------------- lifting */

void seat_input_touch_check(struct seat_input *input)
{
	for (unsigned i = 0; i < SEAT_TOUCHES_MAX; i++) {
		struct seat_touch *touch = &input->touches[i];

		if (touch->used &&
		    !seat_input_get_view(input, touch->guest, touch->scanout, touch->view_output))
			touch_lift(touch, SOURCE_NONE);
	}
	for (unsigned i = 0; i < input->source_count; i++) {
		struct seat_source *source = &input->sources[i];
		const struct seat_pen *pen = &source->pen;

		if (source->used && pen->guest &&
		    !seat_input_get_view(input, pen->guest, pen->scanout, pen->output))
			pen_out(source, SOURCE_NONE);
	}
	seat_input_flush(input, SOURCE_NONE);
}

void seat_input_touch_release_guest(struct seat_input *input, struct seat_guest *guest)
{
	for (unsigned i = 0; i < SEAT_TOUCHES_MAX; i++) {
		struct seat_touch *touch = &input->touches[i];

		if (touch->used && touch->guest == guest && !touch->pinned)
			touch_lift(touch, SOURCE_NONE);
	}
	for (unsigned i = 0; i < input->source_count; i++) {
		struct seat_source *source = &input->sources[i];

		if (source->used && source->pen.guest == guest && !source->pinned)
			pen_out(source, SOURCE_NONE);
	}
	seat_input_flush(input, SOURCE_NONE);
}

void seat_input_touch_release_device(struct seat_input *input, struct seat_device *device)
{
	for (unsigned i = 0; i < SEAT_TOUCHES_MAX; i++)
		if (input->touches[i].used && input->touches[i].device == device)
			touch_lift(&input->touches[i], SOURCE_NONE);
	for (unsigned i = 0; i < input->source_count; i++)
		if (input->sources[i].used && input->sources[i].pen.guest &&
		    input->sources[i].pen.device == device)
			pen_out(&input->sources[i], SOURCE_NONE);
	seat_input_flush(input, SOURCE_NONE);
}

void seat_input_touch_release_source(struct seat_input *input, struct seat_source *source)
{
	seat_input_touch_cancel(input, source->number);
	pen_out(source, source->number);
}
