/* SPDX-License-Identifier: MIT */
/* Who there is: guests and their devices, sources, and who has focus. */
#include "render/seat_input.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/seat_input_private.h"

static const struct seat_layout no_layout;

const struct seat_input_config seat_input_config_default = {
	.focus_follows = SEAT_FOCUS_POINTER,
	.next = { .keys = { KEY_LEFTMETA, KEY_TAB }, .count = 2 },
};

/* ---------------------------------------------------------------- guests */

static struct seat_guest *guest_find(const struct seat_input *input, const char *name)
{
	for (unsigned i = 0; i < input->guest_count; i++)
		if (!strcmp(input->guests[i]->name, name))
			return input->guests[i];
	return NULL;
}

static void guest_destroy(struct seat_guest *guest)
{
	for (unsigned i = 0; i < SEAT_INPUT_DEVICES_MAX; i++)
		seat_device_destroy(guest->devices[i]);
	free(guest);
}

/* Does anything tell of the guest? */
static bool guest_is_of_use(const struct seat_input *input, const struct seat_guest *guest)
{
	for (unsigned i = 0; i < input->layout->view_count; i++)
		if (input->view_guests[i] == guest)
			return true;
	for (unsigned i = 0; i < input->source_count; i++)
		if (input->sources[i].used && input->sources[i].pinned == guest)
			return true;
	for (unsigned i = 0; i < SEAT_INPUT_DEVICES_MAX; i++)
		if (guest->devices[i] && guest->devices[i]->fd >= 0)
			return true;
	return input->focus == guest;
}

static void guests_purge(struct seat_input *input)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < input->guest_count; i++) {
		struct seat_guest *guest = input->guests[i];

		if (guest_is_of_use(input, guest)) {
			input->guests[kept++] = guest;
			continue;
		}
		seat_input_touch_release_guest(input, guest);
		if (input->pointer.grab == guest)
			input->pointer.grab = NULL;
		if (input->pointer.over == guest)
			input->pointer.over = NULL;
		guest_destroy(guest);
	}
	input->guest_count = kept;
}

/* There, or a new one. NULL: too many, or no memory, or no name. */
static struct seat_guest *guest_get(struct seat_input *input, const char *name)
{
	struct seat_guest *guest = guest_find(input, name);
	unsigned i;

	if (guest || !*name || strlen(name) >= sizeof(guest->name))
		return guest;
	if (input->guest_count == SEAT_GUESTS_MAX)
		guests_purge(input);
	if (input->guest_count == SEAT_GUESTS_MAX) {
		if (!input->out_of_guests)
			log_warning("guest %s: no input: there are %u guests already", name,
			    SEAT_GUESTS_MAX);
		input->out_of_guests = true;
		return NULL;
	}
	guest = calloc(1, sizeof(*guest));
	if (!guest)
		return NULL;
	snprintf(guest->name, sizeof(guest->name), "%s", name);
	for (i = input->guest_count++; i && strcmp(input->guests[i - 1]->name, name) > 0; i--)
		input->guests[i] = input->guests[i - 1];
	input->guests[i] = guest;
	return guest;
}

struct seat_device *seat_guest_device(const struct seat_guest *guest, enum seat_input_kind kind)
{
	for (unsigned i = 0; i < SEAT_INPUT_DEVICES_MAX; i++)
		if (guest->devices[i] && guest->devices[i]->fd >= 0 &&
		    guest->devices[i]->kind == kind)
			return guest->devices[i];
	return NULL;
}

/* ---------------------------------------------------------------- sources */

static struct seat_source *source_find(struct seat_input *input, unsigned number)
{
	for (unsigned i = 0; i < input->source_count; i++)
		if (input->sources[i].used && input->sources[i].number == number)
			return &input->sources[i];
	return NULL;
}

struct seat_source *seat_input_source(struct seat_input *input, unsigned number)
{
	struct seat_source *source = source_find(input, number);
	unsigned i = 0;

	if (source)
		return source;
	while (i < SEAT_INPUT_SOURCES_MAX && input->sources[i].used)
		i++;
	if (i == SEAT_INPUT_SOURCES_MAX) {
		input->stats.dropped++;
		return NULL;
	}
	if (i == input->source_count)
		input->source_count++;
	source = &input->sources[i];
	*source = (struct seat_source){ .used = true, .number = number };
	return source;
}

struct seat_guest *seat_input_route(struct seat_input *input, const struct seat_source *source)
{
	if (source->pinned)
		return source->pinned;
	return input->focus && input->focus->visible ? input->focus : NULL;
}

void seat_input_time(struct seat_input *input, uint64_t time_ns)
{
	input->time_ns = time_ns;
}

void seat_input_flush(struct seat_input *input, unsigned source)
{
	struct seat_device *device, *next;

	for (device = TAILQ_FIRST(&input->framing); device; device = next) {
		next = TAILQ_NEXT(device, link);
		if (device->frame_source == source)
			seat_device_flush(device);
	}
}

void seat_input_frame(struct seat_input *input, unsigned source)
{
	seat_input_flush(input, source);
	input->time_ns = 0;
}

void seat_input_source_gone(struct seat_input *input, unsigned number)
{
	struct seat_source *source = source_find(input, number);

	if (!source)
		return;
	seat_input_frame(input, number);
	memset(source->down, 0, sizeof(source->down));
	for (unsigned code = 0; code < KEY_CNT; code++)
		if (seat_bit(source->sent, code))
			seat_input_unsend(input, source, code);
	seat_input_touch_release_source(input, source);
	seat_input_frame(input, number);
	source->used = false;
	while (input->source_count && !input->sources[input->source_count - 1].used)
		input->source_count--;
}

int seat_input_pin(struct seat_input *input, unsigned number, const char *name)
{
	struct seat_source *source;
	struct seat_guest *guest;

	seat_input_source_gone(input, number);
	if (!name)
		return 0;
	guest = guest_get(input, name);
	source = guest ? seat_input_source(input, number) : NULL;
	if (!source)
		return -ENOSPC;
	source->pinned = guest;
	return 0;
}

/* ---------------------------------------------------------------- switches */

static void switch_tell(
    struct seat_input *input, struct seat_guest *guest, unsigned source, unsigned code)
{
	struct seat_device *device = seat_guest_device(guest, SEAT_INPUT_SWITCH);

	if (device)
		seat_device_add(device, source, EV_SW, (uint16_t)code, input->switches >> code & 1);
}

/* They are no presses, but how things stand: who gets focus is told. */
static void switches_tell(struct seat_input *input, struct seat_guest *guest)
{
	const struct seat_device *device = seat_guest_device(guest, SEAT_INPUT_SWITCH);

	for (unsigned code = 0; device && code < SW_CNT; code++)
		if ((input->switches ^ device->now.switches) >> code & 1)
			switch_tell(input, guest, SOURCE_NONE, code);
	seat_input_flush(input, SOURCE_NONE);
}

void seat_input_switch(struct seat_input *input, unsigned number, uint32_t code, bool on)
{
	const struct seat_source *source = seat_input_source(input, number);
	struct seat_guest *guest;

	if (!source || code >= SW_CNT)
		return;
	input->switches &= ~(UINT32_C(1) << code);
	input->switches |= (uint32_t)on << code;
	guest = seat_input_route(input, source);
	if (guest)
		switch_tell(input, guest, number, code);
	else
		input->stats.dropped++;
}

/* ---------------------------------------------------------------- focus */

static void focus_release(struct seat_input *input, struct seat_guest *guest)
{
	seat_input_release_guest(input, guest);
	if (input->config.touch_by_focus)
		seat_input_touch_release_guest(input, guest);
}

void seat_input_focus(struct seat_input *input, struct seat_guest *guest, bool bring)
{
	const struct seat_input_listener *listener = &input->listener;

	if (guest != input->focus) {
		if (input->focus)
			focus_release(input, input->focus);
		input->focus = guest;
		input->nobody &= !guest;
		if (listener->focus_changed)
			listener->focus_changed(listener->data, guest ? guest->name : NULL);
		if (input->focus != guest)
			return; /* a new layout had none of it */
		if (listener->leds)
			listener->leds(listener->data, guest ? guest->leds : 0);
		if (guest && guest->visible)
			switches_tell(input, guest);
	}
	if (guest && bring)
		seat_input_pointer_bring(input);
}

void seat_input_focus_next(struct seat_input *input, bool backwards)
{
	const unsigned count = input->guest_count;
	unsigned at = backwards ? count : count - 1; /* before the first one, or after the last */

	for (unsigned i = 0; i < count; i++)
		if (input->guests[i] == input->focus)
			at = i;
	for (unsigned i = 0; i < count; i++) {
		at = (backwards ? at + count - 1 : at + 1) % count;
		if (input->guests[at]->present) {
			seat_input_focus(input, input->guests[at], true);
			return;
		}
	}
}

int seat_input_set_focus(struct seat_input *input, const char *name)
{
	struct seat_guest *guest = name ? guest_find(input, name) : NULL;

	if (name && !guest)
		return -ENOENT;
	input->nobody = !guest;
	seat_input_focus(input, guest, true);
	return 0;
}

const char *seat_input_get_focus(const struct seat_input *input)
{
	return input->focus ? input->focus->name : NULL;
}

const struct seat_layout *seat_input_get_layout(const struct seat_input *input)
{
	return input->layout;
}

void seat_input_get_pointer(const struct seat_input *input, double *x, double *y)
{
	*x = input->pointer.x;
	*y = input->pointer.y;
}

/* Nobody has it, or one whom nobody can see ever. */
static void focus_default(struct seat_input *input)
{
	const struct seat_layout *layout = input->layout;

	if (input->focus ? input->focus->present : input->nobody)
		return;
	for (unsigned i = 0; i < layout->view_count; i++) {
		struct seat_guest *guest = input->view_guests[i];

		if (guest && guest->visible && layout->views[i].visible) {
			seat_input_focus(input, guest, true);
			return;
		}
	}
}

/* ---------------------------------------------------------------- layout */

static void guest_add_area(struct seat_guest *guest, const struct seat_view *view)
{
	bool lit;
	unsigned i;

	for (i = 0; i < guest->area_count; i++)
		if (guest->areas[i].scanout == view->scanout)
			return; /* shown twice */
	if (i == SEAT_OUTPUTS_MAX)
		return;
	for (guest->area_count++; i && guest->areas[i - 1].scanout > view->scanout; i--)
		guest->areas[i] = guest->areas[i - 1];
	/* Its pixels are the picture's, not the output's, as soon as there is one. */
	lit = view->frame_width && view->frame_height;
	guest->areas[i] = (struct seat_area){
		.scanout = view->scanout,
		.lit = lit,
		.width = lit ? view->frame_width : view->width,
		.height = lit ? view->frame_height : view->height,
	};
}

/* Side by side; those that are off only while all are. */
static void guest_place_areas(struct seat_guest *guest)
{
	unsigned kept = 0;
	bool lit = false;

	for (unsigned i = 0; i < guest->area_count; i++)
		lit |= guest->areas[i].lit;
	guest->width = guest->height = 0;
	for (unsigned i = 0; i < guest->area_count; i++) {
		struct seat_area area = guest->areas[i];

		if (lit && !area.lit)
			continue;
		area.offset = guest->width;
		guest->width += area.width;
		if (guest->height < area.height)
			guest->height = area.height;
		guest->areas[kept++] = area;
	}
	guest->area_count = kept;
}

void seat_input_set_layout(struct seat_input *input, const struct seat_layout *layout)
{
	for (unsigned i = 0; i < input->guest_count; i++) {
		input->guests[i]->present = input->guests[i]->visible = false;
		input->guests[i]->area_count = 0;
	}
	for (unsigned i = 0; i < layout->view_count; i++)
		input->view_guests[i] = guest_find(input, layout->views[i].guest);
	input->layout = layout;
	for (unsigned i = 0; i < layout->view_count; i++) {
		const struct seat_view *view = &layout->views[i];
		struct seat_guest *guest = guest_get(input, view->guest);

		input->view_guests[i] = guest;
		if (!guest || !layout->places[view->output].on)
			continue;
		guest->present = true;
		guest->visible |= view->visible;
		guest_add_area(guest, view);
	}
	for (unsigned i = 0; i < input->guest_count; i++)
		guest_place_areas(input->guests[i]);

	seat_input_touch_check(input);
	if (input->focus && !input->focus->visible)
		focus_release(input, input->focus);
	else if (input->focus)
		switches_tell(input, input->focus);
	seat_input_pointer_check(input);
	focus_default(input);
}

struct seat_guest *seat_input_view_guest(
    const struct seat_input *input, const struct seat_view *view)
{
	return view ? input->view_guests[view - input->layout->views] : NULL;
}

static bool view_has(
    const struct seat_layout *layout, const struct seat_view *view, double x, double y)
{
	const struct seat_place *place = &layout->places[view->output];
	const double left = (double)place->x + view->x, top = (double)place->y + view->y;

	return view->visible && place->on && x >= left && y >= top && x < left + view->width &&
	       y < top + view->height && x >= place->x && y >= place->y &&
	       x < (double)place->x + place->width && y < (double)place->y + place->height;
}

/* With a worker at present or not: what is its must not go to another guest while it has none. */
static bool guest_has_kinds(const struct seat_guest *guest, unsigned kinds)
{
	for (unsigned i = 0; guest && i < SEAT_INPUT_DEVICES_MAX; i++)
		if (guest->devices[i] && kinds >> guest->devices[i]->kind & 1)
			return true;
	return false;
}

const struct seat_view *seat_input_find_view(const struct seat_input *input, unsigned kinds,
    unsigned output, const struct seat_guest *guest, double x, double y)
{
	const struct seat_layout *layout = input->layout;

	for (unsigned i = layout->view_count; i-- > 0;)
		if ((output == SEAT_INPUT_DESKTOP || output == layout->views[i].output) &&
		    (!guest || guest == input->view_guests[i]) &&
		    guest_has_kinds(input->view_guests[i], kinds) &&
		    view_has(layout, &layout->views[i], x, y))
			return &layout->views[i];
	return NULL;
}

const struct seat_view *seat_input_get_view(const struct seat_input *input,
    const struct seat_guest *guest, unsigned scanout, unsigned output)
{
	const struct seat_layout *layout = input->layout;

	for (unsigned i = 0; i < layout->view_count; i++) {
		const struct seat_view *view = &layout->views[i];

		if (input->view_guests[i] == guest && view->scanout == scanout &&
		    view->output == output && view->visible && layout->places[output].on)
			return view;
	}
	return NULL;
}

bool seat_input_to_desktop(const struct seat_input *input, unsigned output, double *x, double *y)
{
	const struct seat_layout *layout = input->layout;
	double left = INFINITY, top = INFINITY, right = -INFINITY, bottom = -INFINITY;

	for (unsigned i = 0; i < layout->place_count; i++) {
		const struct seat_place *place = &layout->places[i];

		if (!place->on || (output != SEAT_INPUT_DESKTOP && output != i))
			continue;
		left = fmin(left, place->x);
		top = fmin(top, place->y);
		right = fmax(right, (double)place->x + place->width);
		bottom = fmax(bottom, (double)place->y + place->height);
	}
	if (!(left < right) || !(top < bottom))
		return false;
	/* The last pixel is the output's, too. */
	*x = left + fmin(fmax(*x, 0) * (right - left), nextafter(right - left, 0));
	*y = top + fmin(fmax(*y, 0) * (bottom - top), nextafter(bottom - top, 0));
	return true;
}

/* ---------------------------------------------------------------- areas of devices */

static unsigned devices_of_kind(const struct seat_guest *guest, enum seat_input_kind kind,
    struct seat_device *devices[SEAT_INPUT_DEVICES_MAX])
{
	unsigned count = 0;

	for (unsigned i = 0; i < SEAT_INPUT_DEVICES_MAX; i++)
		if (guest->devices[i] && guest->devices[i]->fd >= 0 &&
		    guest->devices[i]->kind == kind)
			devices[count++] = guest->devices[i];
	return count;
}

static const struct seat_area *find_area(const struct seat_guest *guest, unsigned scanout)
{
	for (unsigned i = 0; i < guest->area_count; i++)
		if (guest->areas[i].scanout == scanout)
			return &guest->areas[i];
	return NULL;
}

static bool areas_are_apart(const struct seat_guest *guest, unsigned devices)
{
	return guest->area_count > 1 && devices >= guest->area_count;
}

struct seat_device *seat_input_area_device(
    struct seat_guest *guest, const struct seat_view *view, enum seat_input_kind kind)
{
	struct seat_device *devices[SEAT_INPUT_DEVICES_MAX];
	const unsigned count = devices_of_kind(guest, kind, devices);
	const struct seat_area *area = find_area(guest, view->scanout);

	if (!count || !area)
		return NULL;
	return devices[areas_are_apart(guest, count) ? area - guest->areas : 0];
}

/* Rounded up: a pixel's left edge maps to that pixel again, not to the one before. */
static int32_t to_abs(double n, double size)
{
	const double abs = ceil(n * (SEAT_INPUT_ABS_MAX + 1.0) / size);

	return abs < 0 ? 0 : abs > SEAT_INPUT_ABS_MAX ? SEAT_INPUT_ABS_MAX : (int32_t)abs;
}

bool seat_input_area_map(const struct seat_input *input, const struct seat_device *device,
    const struct seat_view *view, double x, double y, int32_t *abs_x, int32_t *abs_y)
{
	const struct seat_place *place = &input->layout->places[view->output];
	const struct seat_guest *guest = device->guest;
	struct seat_device *devices[SEAT_INPUT_DEVICES_MAX];
	const unsigned count = devices_of_kind(guest, device->kind, devices);
	const struct seat_area *area = find_area(guest, view->scanout);

	if (!area)
		return false;
	x = fmin(fmax(x - place->x - view->x, 0), view->width);
	y = fmin(fmax(y - place->y - view->y, 0), view->height);
	if (areas_are_apart(guest, count)) {
		*abs_x = to_abs(x, view->width);
		*abs_y = to_abs(y, view->height);
		return true;
	}
	/* Of another size where the scan-out is shown twice. */
	x = x * area->width / view->width;
	y = y * area->height / view->height;
	*abs_x = to_abs(area->offset + x, guest->width);
	*abs_y = to_abs(y, guest->height);
	return true;
}

/* ---------------------------------------------------------------- life */

int seat_input_attach(
    struct seat_input *input, const char *name, unsigned number, enum seat_input_kind kind, int fd)
{
	struct seat_device **device;
	struct seat_guest *guest;
	int r = 0;

	if (!*name || strlen(name) >= SEAT_GUEST_NAME_MAX || number >= SEAT_INPUT_DEVICES_MAX ||
	    (unsigned)kind >= SEAT_INPUT_KINDS)
		return -EINVAL;
	guest = guest_get(input, name);
	if (!guest)
		return -ENOSPC;
	device = &guest->devices[number];
	if (*device)
		seat_input_touch_release_device(input, *device);
	else
		r = seat_device_create(input, guest, number, device);
	if (r < 0)
		return r;
	r = seat_device_connect(*device, kind, fd);
	if (r < 0)
		return r;
	if (kind == SEAT_INPUT_SWITCH && guest == input->focus && guest->visible)
		switches_tell(input, guest);
	return 0;
}

void seat_input_detach(struct seat_input *input, const char *name, unsigned number)
{
	struct seat_guest *guest = guest_find(input, name);
	struct seat_device *device;

	if (!guest || number >= SEAT_INPUT_DEVICES_MAX || !guest->devices[number])
		return;
	device = guest->devices[number];
	seat_input_touch_release_device(input, device);
	if (input->pointer.grab_device == device)
		input->pointer.grab = NULL;
	if (guest->pointer.grab_device == device)
		guest->pointer.grab = NULL;
	guest->devices[number] = NULL;
	seat_device_destroy(device);
	guests_purge(input);
}

void seat_input_configure(struct seat_input *input, const struct seat_input_config *config)
{
	for (unsigned i = 0; i < input->guest_count; i++) {
		seat_input_release_guest(input, input->guests[i]);
		seat_input_touch_release_guest(input, input->guests[i]);
	}
	input->config = *config;
}

int seat_input_create(const struct seat_input_options *options, struct seat_input **input)
{
	*input = calloc(1, sizeof(**input));
	if (!*input)
		return -ENOMEM;
	(*input)->event = sd_event_ref(options->event);
	(*input)->config = options->config;
	(*input)->listener = options->listener;
	(*input)->layout = &no_layout;
	TAILQ_INIT(&(*input)->framing);
	return 0;
}

void seat_input_destroy(struct seat_input *input)
{
	if (!input)
		return;
	for (unsigned i = 0; i < input->guest_count; i++)
		guest_destroy(input->guests[i]);
	sd_event_unref(input->event);
	free(input);
}
