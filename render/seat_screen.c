/* SPDX-License-Identifier: MIT */
/* One output: at most one commit on its way, and what it holds. */
#include <errno.h>
#include <string.h>

#include "render/seat_private.h"

bool screen_is_on(const struct seat_screen *screen)
{
	return screen->seat->backend->active && screen->output && screen->output->connected &&
	       screen->output->mode.width;
}

struct seat_fit scanout_fit(const struct seat_scanout *scanout)
{
	const struct seat_view *view = &scanout->view;
	const uint64_t width = scanout->shown.source.width, height = scanout->shown.source.height;
	struct seat_fit fit = { view->x, view->y, view->width, view->height };

	if (!width || !height)
		return fit;
	if (width * view->height > height * view->width)
		fit.height = (uint32_t)(height * view->width / width);
	else
		fit.width = (uint32_t)(width * view->height / height);
	fit.height = fit.height ? fit.height : 1;
	fit.width = fit.width ? fit.width : 1;
	fit.x += (int32_t)(view->width - fit.width) / 2;
	fit.y += (int32_t)(view->height - fit.height) / 2;
	return fit;
}

/* ---------------------------------------------------------------- what it holds */

static void hold_drop(struct seat_buffer **held, unsigned *count)
{
	struct seat_buffer *gone[SEAT_LAYERS_MAX];
	const unsigned n = *count;

	/* Letting one go can bring the next commit. */
	memcpy(gone, held, n * sizeof(*held));
	*count = 0;
	for (unsigned i = 0; i < n; i++)
		buffer_unref(gone[i]);
}

void screen_let_go(struct seat_screen *screen)
{
	screen->pending = false;
	hold_drop(screen->committed, &screen->committed_count);
	hold_drop(screen->on_screen, &screen->on_screen_count);
	screen_forget_laid(screen);
	/* Who waited for its flip waits for the clock now. */
	for (unsigned g = 0; g < SEAT_GUESTS_MAX; g++) {
		for (unsigned i = 0; screen->seat->guests[g] && i < DISPLAY_SCANOUTS_MAX; i++) {
			struct seat_scanout *scanout = screen->seat->guests[g]->scanouts[i];

			if (scanout && scanout->committed == screen)
				scanout_pace(scanout);
		}
	}
}

void screen_finish(struct seat_screen *screen)
{
	screen_let_go(screen);
	for (unsigned i = 0; i < 2; i++) {
		buffer_unref(screen->canvases[i].buffer);
		screen->canvases[i].buffer = NULL;
	}
}

/* ---------------------------------------------------------------- commits */

static bool screen_shows(const struct seat_screen *screen, unsigned view)
{
	const struct seat_view *one = &screen->seat->layout.views[view];

	return one->output == screen->output->index && one->visible;
}

static void screen_latch(struct seat_screen *screen)
{
	for (unsigned i = 0; i < screen->seat->layout.view_count; i++)
		if (screen_shows(screen, i))
			scanout_latch(screen->seat->laid[i]);
}

/* What was latched is on its way, or will not be shown. */
static void screen_settle(struct seat_screen *screen, bool committed)
{
	for (unsigned i = 0; i < screen->seat->layout.view_count; i++) {
		struct seat_scanout *scanout = screen->seat->laid[i];

		if (!screen_shows(screen, i))
			continue;
		if (committed) {
			scanout->damage = (struct seat_damage){ 0 };
			scanout->cursor_damaged = false;
		}
		if (scanout->owes && committed)
			scanout->committed = screen;
		else if (scanout->owes)
			scanout_pace(scanout);
	}
}

static void screen_fail(struct seat_screen *screen, int error)
{
	screen->failures++;
	if (error != screen->error && error != -EPERM && error != -ENODEV)
		log_error("output %s cannot be shown on: %s; its guests go on unseen",
		    screen->output->name, strerror(-error));
	screen->error = error;
	screen_settle(screen, false);
	if (error != -EINVAL || !screen->guest_mode)
		return;
	/* A guest's wish that was too much: the output's own mode can be shown. */
	screen->guest_mode_refused = true;
	screen->guest_mode = false;
	if (screen_set_mode(screen, &screen->base) == 0)
		seat_lay_out(screen->seat);
}

static void screen_commit(struct seat_screen *screen)
{
	struct seat_stack stack;
	int error;

	screen->committing = true;
	screen->dirty = false;
	screen_latch(screen);
	screen_follow_guest(screen);
	screen_show_cursor(screen);
	screen->dirty = false;
	stack_build(screen, false, &stack);
	error = stack_show(screen, &stack);
	screen->committing = false;
	if (error == -EBUSY) { /* with something of the backend's own */
		screen->dirty = true;
		seat_arm_pace(screen->seat);
		return;
	}
	if (error < 0) {
		screen_fail(screen, error);
		return;
	}
	if (screen->error)
		log_info("output %s is shown on again", screen->output->name);
	screen->error = 0;
	screen->pending = true;
	screen->commits++;
	screen_settle(screen, true);
}

void screen_touch(struct seat_screen *screen)
{
	screen->dirty = true;
	if (!screen->pending && !screen->committing && screen_is_on(screen))
		screen_commit(screen);
}

void screen_flipped(struct seat_screen *screen, uint64_t sequence, uint64_t time_ns)
{
	if (!screen->pending) { /* it was given up */
		if (screen->dirty)
			screen_touch(screen);
		return;
	}
	screen->pending = false;
	screen->flips++;
	/* Nothing is committed from within: what waits is looked at as a whole, below. */
	screen->committing = true;
	hold_drop(screen->on_screen, &screen->on_screen_count);
	memcpy(screen->on_screen, screen->committed,
	    screen->committed_count * sizeof(*screen->committed));
	screen->on_screen_count = screen->committed_count;
	screen->committed_count = 0;
	for (unsigned g = 0; g < SEAT_GUESTS_MAX; g++) {
		for (unsigned i = 0; screen->seat->guests[g] && i < DISPLAY_SCANOUTS_MAX; i++) {
			struct seat_scanout *scanout = screen->seat->guests[g]->scanouts[i];

			if (scanout && scanout->committed == screen)
				scanout_tell(scanout, time_ns, sequence);
		}
	}
	screen->committing = false;
	if (screen->dirty)
		screen_touch(screen);
}
