/* SPDX-License-Identifier: MIT */
/* The seat's part of "status". */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "render/seat_private.h"

static void add_number(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static void add_signed(struct json_object *object, const char *name, int64_t value)
{
	json_object_object_add(object, name, json_object_new_int64(value));
}

static void add_bool(struct json_object *object, const char *name, bool value)
{
	json_object_object_add(object, name, json_object_new_boolean(value));
}

static void add_text(struct json_object *object, const char *name, const char *value)
{
	json_object_object_add(object, name, value ? json_object_new_string(value) : NULL);
}

static void add_mode(struct json_object *object, const char *name, const struct seat_mode *mode)
{
	char text[64];

	snprintf(text, sizeof(text), "%ux%u@%u.%03u", mode->width, mode->height,
	    mode->refresh / 1000, mode->refresh % 1000);
	add_text(object, name, mode->width ? text : "off");
}

static struct json_object *describe_output(const struct seat_screen *screen)
{
	const struct seat_output *output = screen->output;
	const struct seat_place *place = &screen->seat->layout.places[output->index];
	struct json_object *object = json_object_new_object();

	if (!object)
		return NULL;
	add_text(object, "name", output->name);
	add_bool(object, "connected", output->connected);
	add_mode(object, "mode", &output->mode);
	if (output->connected) {
		add_number(object, "slot", screen->slot);
		add_signed(object, "x", place->x);
		add_signed(object, "y", place->y);
		add_number(object, "width_mm", output->width_mm);
		add_number(object, "height_mm", output->height_mm);
	}
	add_number(object, "commits", screen->commits);
	add_number(object, "flips", screen->flips);
	add_number(object, "composed", screen->composed);
	add_number(object, "tests", screen->tests);
	add_number(object, "failures", screen->failures);
	add_text(object, "cursor",
	    screen->cursor      ? "plane"
	    : screen->no_cursor ? "blended"
				: "none");
	if (screen->error)
		add_text(object, "error", strerror(-screen->error));
	return object;
}

static const char *describe_path(const struct seat_scanout *scanout, char *text, size_t size)
{
	const struct seat_buffer *buffer = scanout->shown.buffer;

	switch (scanout->path) {
	case SEAT_PATH_HIDDEN:
		return scanout->placed ? "hidden: another guest has this place"
				       : "hidden: its output is off or gone";
	case SEAT_PATH_COMPOSED:
		snprintf(text, size, "composed: %s", scanout->why);
		return text;
	case SEAT_PATH_PLANE:
		if (!buffer)
			return "none";
		if (scanout->picture)
			return "picture";
		if (buffer->imported)
			return "zero copy";
		if (scanout->import_error)
			snprintf(text, size, "one copy: its frames cannot be shown (%s)",
			    strerror(-scanout->import_error));
		else
			snprintf(text, size, "one copy: its frames were not offered as dma-bufs");
		return text;
	default:
		return "none";
	}
}

static struct json_object *describe_scanout(const struct seat_scanout *scanout)
{
	const struct seat_buffer *buffer = scanout->shown.buffer;
	struct json_object *object = json_object_new_object();
	char text[160];

	if (!object)
		return NULL;
	add_text(object, "guest", scanout->guest->name);
	add_number(object, "scanout", scanout->index);
	add_bool(object, "attached", scanout->guest->source != NULL);
	if (scanout->placed) {
		add_text(
		    object, "output", scanout->seat->screens[scanout->view.output].output->name);
		add_signed(object, "x", scanout->view.x);
		add_signed(object, "y", scanout->view.y);
		add_number(object, "width", scanout->view.width);
		add_number(object, "height", scanout->view.height);
		if (scanout->view.order != INT32_MIN) /* which is of those that nobody has placed */
			add_signed(object, "order", scanout->view.order);
		json_object_object_add(object, "alpha",
		    json_object_new_double((double)scanout->view.alpha / UINT16_MAX));
	}
	add_bool(object, "visible", scanout->placed && scanout->view.visible);
	if (buffer) {
		add_number(object, "frame_width", scanout->shown.source.width);
		add_number(object, "frame_height", scanout->shown.source.height);
	}
	add_text(object, "path", describe_path(scanout, text, sizeof(text)));
	add_number(object, "presented", scanout->presented);
	add_number(object, "shown", scanout->shown_count);
	add_number(object, "overtaken", scanout->overtaken);
	return object;
}

int seat_describe(struct seat *seat, struct json_object *answer)
{
	struct json_object *outputs = json_object_new_array(), *views = json_object_new_array();

	if (!outputs || !views) {
		json_object_put(outputs);
		json_object_put(views);
		return -ENOMEM;
	}
	add_text(answer, "backend", seat->backend->impl->name);
	add_bool(answer, "active", seat->backend->active);
	add_text(answer, "focus", seat_get_focus(seat));
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++)
		if (seat->screens[i].output)
			json_object_array_add(outputs, describe_output(&seat->screens[i]));
	for (unsigned g = 0; g < SEAT_GUESTS_MAX; g++)
		for (unsigned i = 0; seat->guests[g] && i < DISPLAY_SCANOUTS_MAX; i++)
			if (seat->guests[g]->scanouts[i])
				json_object_array_add(
				    views, describe_scanout(seat->guests[g]->scanouts[i]));
	json_object_object_add(answer, "outputs", outputs);
	json_object_object_add(answer, "views", views);
	return 0;
}
