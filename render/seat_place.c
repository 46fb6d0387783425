/* SPDX-License-Identifier: MIT */
/*
 * Outputs' modes, and the layout: where the configuration says where a guest's scan-outs are, and
 * else each on an output of its own, the first on the first, for the guest that has focus.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "render/seat_private.h"

#define GUEST_MODE_INTERVAL_NS UINT64_C(1000000000)

/* ---------------------------------------------------------------- modes */

const struct seat_mode *output_find_mode(
    const struct seat_output *output, const struct seat_mode *wanted)
{
	const struct seat_mode *best = NULL;

	for (unsigned i = 0; i < output->mode_count; i++) {
		const struct seat_mode *mode = &output->modes[i];

		if (mode->width != wanted->width || mode->height != wanted->height)
			continue;
		/* 59.94 and 60 are told apart, 60 and 60.02 are not. */
		if (wanted->refresh &&
		    llabs((long long)mode->refresh - (long long)wanted->refresh) > 30)
			continue;
		if (!best || (mode->preferred && !best->preferred) ||
		    (mode->preferred == best->preferred && mode->refresh > best->refresh))
			best = mode;
	}
	return best;
}

static const struct seat_mode *output_own_mode(const struct seat_output *output)
{
	for (unsigned i = 0; i < output->mode_count; i++)
		if (output->modes[i].preferred)
			return &output->modes[i];
	return output->mode_count ? output->modes : NULL;
}

static bool mode_same(const struct seat_mode *a, const struct seat_mode *b)
{
	return a->width == b->width && a->height == b->height && a->refresh == b->refresh;
}

static const struct seat_config_output *screen_config(const struct seat_screen *screen)
{
	return seat_config_find_output(screen->seat->config, screen->output->name);
}

/* What holds unless a guest wishes otherwise; width 0: off. */
static struct seat_mode screen_own_mode(struct seat_screen *screen)
{
	const struct seat_config_output *config = screen_config(screen);
	const struct seat_output *output = screen->output;
	const struct seat_mode *mode = NULL;

	if (!output->connected || screen->command_off ||
	    (config && config->off && !screen->has_command_mode))
		return (struct seat_mode){ 0 };
	if (screen->has_command_mode)
		mode = output_find_mode(output, &screen->command_mode);
	if (!mode && config && config->has_mode) {
		mode = output_find_mode(output, &config->mode);
		if (!mode && !screen->was_connected)
			log_warning("output %s has no mode %ux%u, which its section (line %u) asks "
				    "for: the monitor's own is set",
			    output->name, config->mode.width, config->mode.height, config->line);
	}
	if (!mode)
		mode = output_own_mode(output);
	if (!mode && !screen->was_connected)
		log_warning(
		    "output %s: its monitor has no modes; nothing is shown there", output->name);
	return mode ? *mode : (struct seat_mode){ 0 };
}

int screen_set_mode(struct seat_screen *screen, const struct seat_mode *mode)
{
	struct seat_backend *backend = screen->seat->backend;
	struct seat_output *output = screen->output;
	int error;

	if (mode_same(&output->mode, mode))
		return 0;
	error = backend->impl->set_mode(backend, output, mode);
	if (error < 0 && error != -EPERM)
		log_guest(&screen->limit, "output %s: cannot set %ux%u at %u.%02u Hz: %s%s",
		    output->name, mode->width, mode->height, mode->refresh / 1000,
		    mode->refresh % 1000 / 10, strerror(-error),
		    error == -ENOSPC ? " (more monitors than the card can serve)" : "");
	if (error < 0)
		return error;
	stack_forget_plans(screen);
	screen_forget_laid(screen);
	if (!mode->width)
		screen_let_go(screen);
	return 0;
}

/* The scan-out that has the whole output, and nobody else anything of it; NULL: there is none. */
static struct seat_scanout *screen_owner(const struct seat_screen *screen)
{
	const struct seat_layout *layout = &screen->seat->layout;
	struct seat_scanout *owner = NULL;

	for (unsigned i = 0; i < layout->view_count; i++) {
		if (layout->views[i].output != screen->output->index || !layout->views[i].visible)
			continue;
		if (owner || !screen->seat->laid[i]->fills)
			return NULL;
		owner = screen->seat->laid[i];
	}
	return owner;
}

/* Monitors take their time to follow, and no guest shall make one flicker. */
static bool screen_mode_is_early(const struct seat_screen *screen)
{
	return screen->guest_mode_ns && seat_now() - screen->guest_mode_ns < GUEST_MODE_INTERVAL_NS;
}

void screen_follow_guest(struct seat_screen *screen)
{
	const struct seat_config_output *config = screen_config(screen);
	const struct seat_scanout *owner = screen_owner(screen);
	const struct seat_mode *wish = NULL;
	struct seat_mode wanted = { 0 };

	screen->guest_mode_waits = false;
	if (owner && owner->shown.buffer && !owner->picture && !(config && config->has_mode) &&
	    !screen->has_command_mode && !screen->guest_mode_refused) {
		wanted.width = owner->shown.source.width;
		wanted.height = owner->shown.source.height;
		if (wanted.width != screen->base.width || wanted.height != screen->base.height)
			wish = output_find_mode(screen->output, &wanted);
	}
	if (!owner || !owner->shown.buffer || (!wish && !screen->guest_mode))
		return;
	if (mode_same(wish ? wish : &screen->base, &screen->output->mode))
		return;
	if (screen_mode_is_early(screen)) {
		/* It may be the guest's last frame for long. */
		screen->guest_mode_waits = true;
		seat_arm_pace(screen->seat);
		return;
	}
	screen->guest_mode_ns = seat_now();
	if (screen_set_mode(screen, wish ? wish : &screen->base) < 0) {
		screen->guest_mode_refused = true;
		return;
	}
	screen->guest_mode = wish;
	log_info("output %s: %ux%u, as guest %s wishes", screen->output->name,
	    screen->output->mode.width, screen->output->mode.height, owner->guest->name);
	seat_lay_out(screen->seat);
}

void screen_follow_later(struct seat_screen *screen)
{
	if (!screen->guest_mode_waits)
		return;
	if (screen_mode_is_early(screen))
		seat_arm_pace(screen->seat);
	else
		screen_touch(screen);
}

/* A connected output keeps its place in the order; one that is new gets its old, or the first that
 * is free. */
static void screen_find_slot(struct seat_screen *screen)
{
	uint32_t taken = 0;

	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++) {
		const struct seat_screen *other = &screen->seat->screens[i];

		if (other != screen && other->output && other->was_connected)
			taken |= UINT32_C(1) << other->slot;
	}
	/* One that was somewhere before comes back there; at first that is where 0 is free. */
	if (taken & UINT32_C(1) << screen->slot)
		screen->slot = (unsigned)__builtin_ctz(~taken);
}

static void screen_look(struct seat_screen *screen)
{
	struct seat_output *output = screen->output;

	if (!output->connected) {
		if (screen->was_connected)
			log_info("output %s: its monitor has gone", output->name);
		screen->was_connected = screen->guest_mode = false;
		screen->base = (struct seat_mode){ 0 };
		screen_let_go(screen);
		return;
	}
	if (!screen->was_connected) {
		screen_find_slot(screen);
		screen->guest_mode = screen->guest_mode_refused = false;
	}
	screen->base = screen_own_mode(screen);
	if (screen->guest_mode && !output_find_mode(output, &output->mode))
		screen->guest_mode = false;
	if (!screen->guest_mode || !screen->base.width)
		screen_set_mode(screen, &screen->base);
	if (!screen->was_connected && output->mode.width)
		log_info("output %s: %ux%u at %u.%02u Hz is scan-out %u of guests without views",
		    output->name, output->mode.width, output->mode.height,
		    output->mode.refresh / 1000, output->mode.refresh % 1000 / 10, screen->slot);
	screen->was_connected = true;
}

void seat_look_at_outputs(struct seat *seat)
{
	const struct seat_backend *backend = seat->backend;

	for (unsigned i = 0; i < backend->output_count; i++) {
		seat->screens[i].output = backend->outputs[i];
		stack_forget_plans(&seat->screens[i]);
		seat->screens[i].no_cursor = false;
		screen_look(&seat->screens[i]);
	}
	seat_lay_out(seat);
}

/* ---------------------------------------------------------------- places of outputs */

static bool screen_place(struct seat_screen *screen, struct seat_place *place)
{
	const struct seat_config_output *config = screen_config(screen);
	const struct seat_mode *mode = &screen->output->mode;

	if (!mode->width) /* it cannot be set while the screen is somebody else's */
		mode = &screen->base;
	*place = (struct seat_place){ .name = screen->output->name };
	place->on = screen->output->connected && screen->base.width;
	place->width = mode->width;
	place->height = mode->height;
	if (!config || !config->has_position)
		return false;
	place->x = config->x;
	place->y = config->y;
	return true;
}

/* Those that have no position are to the right of all others, side by side. */
static void lay_out_outputs(struct seat *seat)
{
	struct seat_layout *layout = &seat->layout;
	bool placed[SEAT_OUTPUTS_MAX] = { 0 };
	int32_t right = 0;

	layout->place_count = seat->backend->output_count;
	for (unsigned i = 0; i < layout->place_count; i++) {
		const struct seat_place *place = &layout->places[i];

		placed[i] = screen_place(&seat->screens[i], &layout->places[i]);
		if (placed[i] && place->on && place->x + (int32_t)place->width > right)
			right = place->x + (int32_t)place->width;
	}
	/* In the order in which guests see them. */
	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned i = 0; i < layout->place_count; i++) {
			if (placed[i] || !layout->places[i].on || seat->screens[i].slot != slot)
				continue;
			layout->places[i].x = right;
			right += (int32_t)layout->places[i].width;
		}
	}
}

/* ---------------------------------------------------------------- views */

static bool guest_is_here(const struct seat_guest *guest)
{
	if (guest->source)
		return true;
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		if (guest->scanouts[i] && guest->scanouts[i]->shown.buffer)
			return true;
	return false;
}

static void lay_out_view(struct seat_guest *guest, const struct seat_view *view, bool fills)
{
	struct seat *seat = guest->seat;
	struct seat_layout *layout = &seat->layout;
	struct seat_scanout *scanout = guest_scanout(guest, view->scanout);
	unsigned at = layout->view_count;

	if (!scanout || scanout->off || !view->width || !view->height)
		return;
	if (at == SEAT_VIEWS_MAX) {
		log_guest(&seat->limit, "more than %d views: guest %s's scan-out %u is not shown",
		    SEAT_VIEWS_MAX, guest->name, view->scanout);
		return;
	}
	while (at && (layout->views[at - 1].output > view->output ||
			 (layout->views[at - 1].output == view->output &&
			     layout->views[at - 1].order > view->order)))
		at--;
	memmove(&layout->views[at + 1], &layout->views[at],
	    (layout->view_count - at) * sizeof(*layout->views));
	memmove(
	    &seat->laid[at + 1], &seat->laid[at], (layout->view_count - at) * sizeof(*seat->laid));
	layout->views[at] = *view;
	layout->views[at].guest = guest->name;
	layout->views[at].frame_width = scanout->frame_width;
	layout->views[at].frame_height = scanout->frame_height;
	layout->view_count++;
	seat->laid[at] = scanout;
	scanout->fills = fills;
}

static void lay_out_configured(
    struct seat_guest *guest, const struct seat_config_view *config, unsigned output)
{
	const struct seat_place *place = &guest->seat->layout.places[output];
	const struct seat_view view = {
		.scanout = config->scanout,
		.output = output,
		.x = config->x,
		.y = config->y,
		.width = config->has_size ? config->width : place->width,
		.height = config->has_size ? config->height : place->height,
		.order = config->order,
		.alpha = config->alpha,
		.visible = true,
	};

	lay_out_view(guest, &view, !config->has_size && !config->x && !config->y);
}

static void lay_out_guest(struct seat_guest *guest)
{
	const struct seat *seat = guest->seat;
	const bool configured = seat_config_has_views(seat->config, guest->name);

	for (unsigned o = 0; o < seat->layout.place_count; o++) {
		const struct seat_place *place = &seat->layout.places[o];
		const struct seat_view all = { .scanout = seat->screens[o].slot,
			.output = o,
			.width = place->width,
			.height = place->height,
			.order = INT32_MIN,
			.alpha = UINT16_MAX };

		if (!place->on)
			continue;
		for (unsigned i = 0; configured && i < seat->config->view_count; i++) {
			const struct seat_config_view *view = &seat->config->views[i];

			if (!strcmp(view->guest, guest->name) && !strcmp(view->output, place->name))
				lay_out_configured(guest, view, o);
		}
		if (!configured)
			lay_out_view(guest, &all, true);
	}
}

/* Of those that want all of an output, the one whose guest has had focus last is seen. */
static void lay_out_front(struct seat *seat, unsigned output)
{
	struct seat_view *front = NULL;
	uint64_t focused = 0;

	for (unsigned i = 0; i < seat->layout.view_count; i++) {
		struct seat_view *view = &seat->layout.views[i];

		if (view->output != output || view->order != INT32_MIN)
			continue;
		view->visible = false;
		if (!front || seat->laid[i]->guest->focused > focused) {
			front = view;
			focused = seat->laid[i]->guest->focused;
		}
	}
	if (front)
		front->visible = true;
}

/* ---------------------------------------------------------------- what guests hear */

void seat_source_get_modes(
    struct seat_source *source, struct display_mode modes[DISPLAY_SCANOUTS_MAX])
{
	const struct seat *seat = source->seat;

	memset(modes, 0, sizeof(*modes) * DISPLAY_SCANOUTS_MAX);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		const struct seat_scanout *scanout = source->guest->scanouts[i];
		const struct seat_config_output *config;
		const struct seat_screen *screen;
		struct display_mode *mode = &modes[i];
		uint32_t mm_x, mm_y;

		if (!scanout || !scanout->placed)
			continue;
		screen = &seat->screens[scanout->view.output];
		config = screen_config(screen);
		mm_x = config && config->width_mm ? config->width_mm : screen->output->width_mm;
		mm_y = config && config->width_mm ? config->height_mm : screen->output->height_mm;
		mode->enabled = true;
		mode->x = (uint32_t)(seat->layout.places[scanout->view.output].x + scanout->view.x);
		mode->y = (uint32_t)(seat->layout.places[scanout->view.output].y + scanout->view.y);
		/* What a guest has set itself is no news to it. */
		mode->width = scanout->fills ? screen->base.width : scanout->view.width;
		mode->height = scanout->fills ? screen->base.height : scanout->view.height;
		mode->refresh = screen->base.refresh;
		mode->width_mm = (uint32_t)((uint64_t)mm_x * mode->width / screen->base.width);
		mode->height_mm = (uint32_t)((uint64_t)mm_y * mode->height / screen->base.height);
	}
	source->asked = true;
	if (modes != source->modes)
		memcpy(source->modes, modes, sizeof(source->modes));
}

size_t seat_source_get_edid(struct seat_source *source, unsigned index, uint8_t edid[SEAT_EDID_MAX])
{
	const struct seat_scanout *scanout =
	    index < DISPLAY_SCANOUTS_MAX ? source->guest->scanouts[index] : NULL;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	const struct seat_config_output *config;
	const struct seat_screen *screen;
	struct edid_mode mode;

	if (!scanout || !scanout->placed)
		return 0;
	screen = &source->seat->screens[scanout->view.output];
	config = screen_config(screen);
	if (scanout->fills && screen->output->edid_size &&
	    !(config && (config->has_identity || config->width_mm || config->has_mode)) &&
	    !screen->has_command_mode) {
		memcpy(edid, screen->output->edid, screen->output->edid_size);
		return screen->output->edid_size;
	}
	seat_source_get_modes(source, modes);
	mode = (struct edid_mode){ .width = modes[index].width,
		.height = modes[index].height,
		.refresh = modes[index].refresh,
		.width_mm = modes[index].width_mm,
		.height_mm = modes[index].height_mm,
		.serial = index + 1 };
	return edid_make(&mode, config && config->has_identity ? &config->identity : NULL, edid);
}

static bool same_display_mode(const struct display_mode *a, const struct display_mode *b)
{
	return a->enabled == b->enabled && a->x == b->x && a->y == b->y && a->width == b->width &&
	       a->height == b->height && a->refresh == b->refresh && a->width_mm == b->width_mm &&
	       a->height_mm == b->height_mm && a->edid == b->edid;
}

static void source_look(struct seat_source *source)
{
	struct display_mode before[DISPLAY_SCANOUTS_MAX], now[DISPLAY_SCANOUTS_MAX];
	bool changed = false;

	if (!source || !source->asked)
		return;
	memcpy(before, source->modes, sizeof(before));
	seat_source_get_modes(source, now);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX && !changed; i++)
		changed = !same_display_mode(&before[i], &now[i]);
	if (changed && source->listener.modes_changed)
		source->listener.modes_changed(source->listener.data);
}

/* ---------------------------------------------------------------- all of it */

static void scanout_place(struct seat_scanout *scanout, const struct seat_view *view)
{
	scanout->placed = view;
	scanout->damage.all = true;
	if (view)
		scanout->view = *view;
}

/* One that cannot be seen any more, or can be again. */
static void scanout_settle(struct seat_scanout *scanout)
{
	if (scanout->waiting[0].there)
		scanout_changed(scanout);
	if (scanout->owes && (!scanout->placed || !scanout->view.visible))
		scanout_pace(scanout);
	if (!scanout->placed || !scanout->view.visible)
		scanout->path = scanout->shown.buffer ? SEAT_PATH_HIDDEN : SEAT_PATH_NONE;
}

void scanout_set_frame_size(struct seat_scanout *scanout, uint32_t width, uint32_t height)
{
	struct seat *seat = scanout->seat;
	struct seat_layout *layout = &seat->layout;

	if (scanout->frame_width == width && scanout->frame_height == height)
		return;
	scanout->frame_width = width;
	scanout->frame_height = height;
	for (unsigned i = 0; i < layout->view_count; i++) {
		if (seat->laid[i] != scanout)
			continue;
		layout->views[i].frame_width = width;
		layout->views[i].frame_height = height;
	}
	layout->generation++;
	if (seat->listener.layout_changed)
		seat->listener.layout_changed(seat->listener.data);
}

void seat_lay_out(struct seat *seat)
{
	struct seat_layout *layout = &seat->layout;

	layout->view_count = 0;
	lay_out_outputs(seat);
	for (unsigned g = 0; g < SEAT_GUESTS_MAX; g++) {
		struct seat_guest *guest = seat->guests[g];

		for (unsigned i = 0; guest && i < DISPLAY_SCANOUTS_MAX; i++)
			if (guest->scanouts[i])
				scanout_place(guest->scanouts[i], NULL);
		if (guest && guest_is_here(guest))
			lay_out_guest(guest);
	}
	for (unsigned o = 0; o < layout->place_count; o++)
		lay_out_front(seat, o);
	for (unsigned i = 0; i < layout->view_count; i++)
		scanout_place(seat->laid[i], &layout->views[i]);
	layout->generation++;
	for (unsigned g = 0; g < SEAT_GUESTS_MAX; g++) {
		for (unsigned i = 0; seat->guests[g] && i < DISPLAY_SCANOUTS_MAX; i++)
			if (seat->guests[g]->scanouts[i])
				scanout_settle(seat->guests[g]->scanouts[i]);
		if (seat->guests[g])
			source_look(seat->guests[g]->source);
	}
	if (seat->listener.layout_changed)
		seat->listener.layout_changed(seat->listener.data);
	for (unsigned o = 0; o < layout->place_count; o++)
		screen_touch(&seat->screens[o]);
}
