/* SPDX-License-Identifier: MIT */
#include "render/seat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "render/seat_private.h"

/* Frames that nobody sees, in a second. */
#define PACE_USEC 16667

uint64_t seat_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---------------------------------------------------------------- guests */

struct seat_guest *seat_find_guest(const struct seat *seat, const char *name)
{
	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++)
		if (seat->guests[i] && !strcmp(seat->guests[i]->name, name))
			return seat->guests[i];
	return NULL;
}

bool seat_knows(const struct seat *seat, const char *guest)
{
	return seat_find_guest(seat, guest);
}

static void scanout_destroy(struct seat_scanout *scanout)
{
	struct seat *seat;

	if (!scanout)
		return;
	seat = scanout->seat;
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++) {
		struct seat_screen *screen = &seat->screens[i];

		if (screen->cursor == scanout)
			screen->cursor = NULL;
		screen_forget_laid(screen); /* it names scan-outs */
	}
	frame_drop(&scanout->waiting[0]);
	frame_drop(&scanout->waiting[1]);
	frame_drop(&scanout->shown);
	scanout_cursor_finish(scanout);
	free(scanout);
}

static void guest_destroy(struct seat_guest *guest)
{
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		scanout_destroy(guest->scanouts[i]);
	/* Those that are still on screen are nobody's from now on. */
	while (guest->charged)
		buffer_uncharge(guest->charged);
	free(guest);
}

/* Where there is no place for another guest: the one that has been gone the longest leaves. */
static void seat_evict(struct seat *seat)
{
	unsigned oldest = SEAT_GUESTS_MAX;

	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++) {
		const struct seat_guest *guest = seat->guests[i];

		if (!guest)
			return;
		if (!guest->source &&
		    (oldest == SEAT_GUESTS_MAX || guest->focused < seat->guests[oldest]->focused))
			oldest = i;
	}
	if (oldest < SEAT_GUESTS_MAX)
		seat_forget(seat, seat->guests[oldest]->name);
}

struct seat_guest *seat_make_guest(struct seat *seat, const char *name)
{
	struct seat_guest *guest = seat_find_guest(seat, name);
	unsigned i = 0;

	if (guest)
		return guest;
	if (!*name || strlen(name) >= SEAT_GUEST_NAME_MAX)
		return NULL;
	seat_evict(seat);
	while (i < SEAT_GUESTS_MAX && seat->guests[i])
		i++;
	if (i == SEAT_GUESTS_MAX)
		return NULL;
	guest = calloc(1, sizeof(*guest));
	if (!guest)
		return NULL;
	guest->seat = seat;
	snprintf(guest->name, sizeof(guest->name), "%s", name);
	seat->guests[i] = guest;
	return guest;
}

struct seat_scanout *guest_scanout(struct seat_guest *guest, unsigned index)
{
	struct seat_scanout *scanout = guest->scanouts[index];

	if (scanout)
		return scanout;
	scanout = calloc(1, sizeof(*scanout));
	if (!scanout)
		return NULL;
	scanout->seat = guest->seat;
	scanout->guest = guest;
	scanout->index = index;
	scanout->shown.fence = -1;
	for (unsigned i = 0; i < 2; i++)
		scanout->waiting[i].fence = -1;
	guest->scanouts[index] = scanout;
	return scanout;
}

int seat_forget(struct seat *seat, const char *name)
{
	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++) {
		struct seat_guest *guest = seat->guests[i];

		if (!guest || strcmp(guest->name, name) != 0)
			continue;
		if (guest->source)
			return -EBUSY;
		seat->guests[i] = NULL;
		seat_lay_out(seat);
		guest_destroy(guest);
		return 0;
	}
	return -ENOENT;
}

/* ---------------------------------------------------------------- pacing */

void scanout_tell(struct seat_scanout *scanout, uint64_t time_ns, uint64_t sequence)
{
	const struct seat_source *source = scanout->guest->source;

	if (!scanout->owes)
		return;
	scanout->owes = false;
	scanout->committed = NULL;
	if (time_ns)
		scanout->shown_count++;
	if (source && source->listener.shown)
		source->listener.shown(source->listener.data, scanout->index, scanout->shown.serial,
		    time_ns, sequence);
}

void seat_arm_pace(struct seat *seat)
{
	if (seat->paced)
		return;
	seat->paced = true;
	sd_event_source_set_time_relative(seat->pace, PACE_USEC);
	sd_event_source_set_enabled(seat->pace, SD_EVENT_ONESHOT);
}

void scanout_pace(struct seat_scanout *scanout)
{
	scanout->committed = NULL;
	if (scanout->owes)
		seat_arm_pace(scanout->seat);
}

static int seat_on_pace(sd_event_source *source, uint64_t usec, void *data)
{
	struct seat *seat = data;

	seat->paced = false;
	for (unsigned g = 0; g < SEAT_GUESTS_MAX; g++) {
		for (unsigned i = 0; seat->guests[g] && i < DISPLAY_SCANOUTS_MAX; i++) {
			struct seat_scanout *scanout = seat->guests[g]->scanouts[i];

			if (scanout && scanout->owes && !scanout->committed)
				scanout_tell(scanout, 0, 0);
		}
	}
	/* Those whose hardware was busy without a flip to come. */
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++) {
		if (seat->screens[i].dirty)
			screen_touch(&seat->screens[i]);
		screen_follow_later(&seat->screens[i]);
	}
	return 0;
}

/* ---------------------------------------------------------------- focus */

const char *seat_get_focus(const struct seat *seat)
{
	return *seat->focus ? seat->focus : NULL;
}

void seat_focus(struct seat *seat, const char *name)
{
	struct seat_guest *guest = name ? seat_find_guest(seat, name) : NULL;

	if (!strcmp(seat->focus, name ? name : ""))
		return;
	snprintf(seat->focus, sizeof(seat->focus), "%s", name ? name : "");
	if (guest)
		guest->focused = ++seat->focuses;
	seat_lay_out(seat);
}

/* ---------------------------------------------------------------- the backend */

static void seat_on_flipped(
    void *data, struct seat_output *output, uint64_t sequence, uint64_t time_ns)
{
	struct seat *seat = data;

	screen_flipped(&seat->screens[output->index], sequence, time_ns);
}

static void seat_on_outputs_changed(void *data)
{
	struct seat *seat = data;

	seat_look_at_outputs(seat);
}

static void seat_on_active_changed(void *data, bool active)
{
	struct seat *seat = data;

	log_info(
	    "the screen is %s", active ? "ours again" : "somebody else's: guests go on unseen");
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++) {
		struct seat_screen *screen = &seat->screens[i];

		screen_let_go(screen);
		screen->cursor = NULL;
		screen->cursor_generation = 0;
	}
	seat_look_at_outputs(seat);
}

/* ---------------------------------------------------------------- life time */

const struct seat_layout *seat_get_layout(const struct seat *seat)
{
	return &seat->layout;
}

void seat_set_listener(struct seat *seat, const struct seat_listener *listener)
{
	seat->listener = *listener;
}

void seat_reload(struct seat *seat, const struct seat_config *config)
{
	seat->config = config;
	seat_look_at_outputs(seat);
}

int seat_create(const struct seat_options *options, struct seat **out)
{
	struct seat *seat = calloc(1, sizeof(*seat));
	int error;

	if (!seat)
		return -ENOMEM;
	seat->options = *options;
	seat->backend = options->backend;
	seat->config = options->config;
	sd_event_ref(options->event);
	error = sd_event_add_time_relative(
	    options->event, &seat->pace, CLOCK_MONOTONIC, 0, 1000, seat_on_pace, seat);
	if (error >= 0)
		error = sd_event_source_set_enabled(seat->pace, SD_EVENT_OFF);
	if (error < 0) {
		seat_destroy(seat);
		return error;
	}
	seat->backend->listener = (struct seat_backend_listener){
		.flipped = seat_on_flipped,
		.outputs_changed = seat_on_outputs_changed,
		.active_changed = seat_on_active_changed,
		.data = seat,
	};
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++)
		seat->screens[i].seat = seat;
	seat_look_at_outputs(seat);
	*out = seat;
	return 0;
}

void seat_destroy(struct seat *seat)
{
	if (!seat)
		return;
	seat->backend->listener = (struct seat_backend_listener){ 0 };
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++)
		if (seat->screens[i].seat)
			screen_finish(&seat->screens[i]);
	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++)
		if (seat->guests[i])
			guest_destroy(seat->guests[i]);
	sd_event_source_disable_unref(seat->pace);
	sd_event_unref(seat->options.event);
	free(seat);
}
