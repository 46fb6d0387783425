/* SPDX-License-Identifier: MIT */
/*
 * Guests' cursors: one of an output's is on the cursor plane and moves without a flip; others, and
 * those that would stick out of their guest's view or be above another guest's, are layers above
 * it.
 */
#include <errno.h>
#include <string.h>

#include "render/seat_private.h"

/* Where the cursor's first pixel is, on the output. */
static void cursor_position(const struct seat_scanout *scanout, int32_t *x, int32_t *y)
{
	const struct seat_fit fit = scanout_fit(scanout);
	const int64_t width = scanout->shown.source.width, height = scanout->shown.source.height;
	int64_t cx = scanout->cursor_x, cy = scanout->cursor_y;

	if (width && height) {
		cx = cx * fit.width / width;
		cy = cy * fit.height / height;
	}
	*x = (int32_t)(fit.x + cx);
	*y = (int32_t)(fit.y + cy);
}

/* Is it inside its view, or is nothing beside that? */
static bool cursor_stays_inside(const struct seat_scanout *scanout)
{
	const struct seat_view *view = &scanout->view;
	int32_t x, y;

	if (scanout->fills)
		return true;
	cursor_position(scanout, &x, &y);
	return x >= view->x && y >= view->y &&
	       (int64_t)x + DISPLAY_CURSOR_SIZE <= (int64_t)view->x + view->width &&
	       (int64_t)y + DISPLAY_CURSOR_SIZE <= (int64_t)view->y + view->height;
}

/* Does another guest's view lie on top of it? It is a layer below that then. @at: its view */
static bool cursor_is_below(const struct seat *seat, unsigned at)
{
	const struct seat_scanout *scanout = seat->laid[at];
	int32_t x, y;

	cursor_position(scanout, &x, &y);
	for (unsigned i = at + 1; i < seat->layout.view_count; i++) {
		const struct seat_view *view = &seat->layout.views[i];

		if (view->output == scanout->view.output && view->visible &&
		    seat->laid[i]->guest != scanout->guest && x < (int64_t)view->x + view->width &&
		    y < (int64_t)view->y + view->height &&
		    (int64_t)x + DISPLAY_CURSOR_SIZE > view->x &&
		    (int64_t)y + DISPLAY_CURSOR_SIZE > view->y)
			return true;
	}
	return false;
}

/* Positions are the guest's: far away is as good as any other place that is not seen. */
static bool cursor_in_reach(const struct seat_scanout *scanout)
{
	return scanout->cursor_x > -32768 && scanout->cursor_x < 32768 &&
	       scanout->cursor_y > -32768 && scanout->cursor_y < 32768;
}

static bool cursor_is_seen(const struct seat_scanout *scanout)
{
	return scanout->cursor_visible && scanout->placed && scanout->view.visible &&
	       cursor_in_reach(scanout);
}

/* ---------------------------------------------------------------- the plane */

/* Whose cursor gets the plane: that of who has focus, or the topmost. */
static struct seat_scanout *screen_choose_cursor(const struct seat_screen *screen)
{
	const struct seat *seat = screen->seat;
	struct seat_scanout *best = NULL;

	if (screen->no_cursor)
		return NULL;
	for (unsigned i = 0; i < seat->layout.view_count; i++) {
		struct seat_scanout *scanout = seat->laid[i];

		if (seat->layout.views[i].output != screen->output->index ||
		    !cursor_is_seen(scanout) || !cursor_stays_inside(scanout) ||
		    cursor_is_below(seat, i))
			continue;
		if (!best || strcmp(best->guest->name, seat->focus) != 0)
			best = scanout;
		if (!strcmp(scanout->guest->name, seat->focus))
			break;
	}
	return best;
}

static void screen_set_cursor(struct seat_screen *screen, struct seat_scanout *scanout)
{
	struct seat_backend *backend = screen->seat->backend;
	int32_t x = 0, y = 0;
	int error;

	if (scanout)
		cursor_position(scanout, &x, &y);
	error = backend->impl->set_cursor(
	    backend, screen->output, scanout ? &scanout->cursor : NULL, x, y);
	screen->cursor = error == 0 ? scanout : NULL;
	screen->cursor_generation = scanout ? scanout->cursor_generation : 0;
	screen->cursor_x = x;
	screen->cursor_y = y;
	/* Blended from now on, until the output changes. */
	if (error < 0 && error != -EPERM && error != -ENODEV && scanout)
		screen->no_cursor = true;
}

static void screen_update_plane(struct seat_screen *screen)
{
	struct seat_backend *backend = screen->seat->backend;
	struct seat_scanout *scanout = screen_choose_cursor(screen);
	int32_t x, y;
	int error;

	if (!scanout) {
		if (screen->cursor)
			screen_set_cursor(screen, NULL);
		return;
	}
	if (scanout != screen->cursor || scanout->cursor_generation != screen->cursor_generation) {
		screen_set_cursor(screen, scanout);
		return;
	}
	cursor_position(scanout, &x, &y);
	if (x == screen->cursor_x && y == screen->cursor_y)
		return;
	error = backend->impl->move_cursor(backend, screen->output, x, y);
	if (error == 0) {
		screen->cursor_x = x;
		screen->cursor_y = y;
	} else if (error == -ENOTSUP) {
		screen->cursor = NULL;
		screen->no_cursor = true;
	}
}

/* Would the stack be another one now? */
static bool screen_has_blended(const struct seat_screen *screen)
{
	const struct seat *seat = screen->seat;

	for (unsigned i = 0; i < seat->layout.view_count; i++) {
		const struct seat_scanout *scanout = seat->laid[i];

		if (seat->layout.views[i].output == screen->output->index &&
		    (scanout->cursor_laid ||
			(cursor_is_seen(scanout) && scanout != screen->cursor)))
			return true;
	}
	return false;
}

void screen_show_cursor(struct seat_screen *screen)
{
	if (!screen_is_on(screen))
		return;
	screen_update_plane(screen);
	if (!screen->committing && screen_has_blended(screen))
		screen_touch(screen);
}

/* ---------------------------------------------------------------- layers */

static struct seat_buffer *cursor_free_buffer(struct seat_scanout *scanout)
{
	struct seat *seat = scanout->seat;
	struct seat_output *output = seat->screens[scanout->view.output].output;
	struct seat_fb *fb;

	for (unsigned i = 0; i < CURSOR_BUFFERS; i++) {
		struct seat_buffer *buffer = scanout->cursor_buffers[i];

		if (buffer) {
			if (buffer->refs == 1 && buffer != scanout->cursor_buffer)
				return buffer;
			continue;
		}
		if (seat->backend->impl->allocate(seat->backend, output, DISPLAY_CURSOR_SIZE,
			DISPLAY_CURSOR_SIZE, true, &fb) < 0 ||
		    buffer_create(seat, fb, &buffer) < 0)
			return NULL;
		scanout->cursor_buffers[i] = buffer_ref(buffer);
		return buffer;
	}
	return NULL;
}

/* Has a picture of the cursor, drawn when it changes. */
static struct seat_buffer *cursor_draw(struct seat_scanout *scanout)
{
	struct seat_backend *backend = scanout->seat->backend;
	struct seat_buffer *buffer;
	uint8_t *rows;

	if (scanout->cursor_buffer && scanout->cursor_drawn == scanout->cursor_generation)
		return scanout->cursor_buffer;
	buffer = cursor_free_buffer(scanout);
	rows = buffer ? backend->impl->map(backend, buffer->fb) : NULL;
	if (!rows)
		return scanout->cursor_buffer;
	for (unsigned y = 0; y < DISPLAY_CURSOR_SIZE; y++)
		memcpy(rows + (size_t)y * buffer->fb->stride,
		    scanout->cursor.pixels + y * DISPLAY_CURSOR_SIZE, DISPLAY_CURSOR_SIZE * 4);
	scanout->cursor_buffer = buffer;
	scanout->cursor_drawn = scanout->cursor_generation;
	scanout->cursor_damaged = true;
	return buffer;
}

/* Cuts off what is outside of the view. False: all of it. */
static bool cursor_crop(
    const struct seat_view *view, int32_t x, int32_t y, struct seat_layer *layer)
{
	int64_t left = x, top = y, right = left + DISPLAY_CURSOR_SIZE,
		bottom = top + DISPLAY_CURSOR_SIZE;

	if (left < view->x)
		left = view->x;
	if (top < view->y)
		top = view->y;
	if (right > (int64_t)view->x + view->width)
		right = (int64_t)view->x + view->width;
	if (bottom > (int64_t)view->y + view->height)
		bottom = (int64_t)view->y + view->height;
	if (left >= right || top >= bottom)
		return false;
	layer->x = (int32_t)left;
	layer->y = (int32_t)top;
	layer->width = (uint32_t)(right - left);
	layer->height = (uint32_t)(bottom - top);
	layer->source = (struct display_rect){ (uint32_t)(left - x), (uint32_t)(top - y),
		layer->width, layer->height };
	return true;
}

bool scanout_cursor_layer(
    struct seat_scanout *scanout, bool all, struct seat_layer *layer, struct seat_buffer **buffer)
{
	const struct seat_screen *screen = &scanout->seat->screens[scanout->view.output];
	int32_t x, y;

	if (!all)
		scanout->cursor_laid = false;
	if (!cursor_is_seen(scanout) || (!all && screen->cursor == scanout))
		return false;
	cursor_position(scanout, &x, &y);
	if (!cursor_crop(&scanout->view, x, y, layer))
		return false;
	*buffer = cursor_draw(scanout);
	if (!*buffer)
		return false;
	layer->fb = (*buffer)->fb;
	if (!all)
		scanout->cursor_laid = true;
	return true;
}

void scanout_cursor_finish(struct seat_scanout *scanout)
{
	for (unsigned i = 0; i < CURSOR_BUFFERS; i++) {
		buffer_unref(scanout->cursor_buffers[i]);
		scanout->cursor_buffers[i] = NULL;
	}
	scanout->cursor_buffer = NULL;
}
