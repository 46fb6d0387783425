/* SPDX-License-Identifier: MIT */
/* What people ask of an output, by the guest's scan-out that is on it. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "render/seat_private.h"

#define REFRESH_MAX 1000 /* Hz */

/* Digits alone; where they end. */
static const char *parse_size(const char *text, uint32_t *value)
{
	char *end;
	unsigned long number;

	if (!isdigit((unsigned char)*text))
		return NULL;
	number = strtoul(text, &end, 10);
	*value = (uint32_t)number;
	return number && number <= SEAT_SIZE_MAX ? end : NULL;
}

/* "59.94", in millihertz */
static int parse_refresh(const char *text, uint32_t *value)
{
	uint32_t scale = 100;
	char *end;
	unsigned long hertz;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	hertz = strtoul(text, &end, 10);
	if (!hertz || hertz > REFRESH_MAX)
		return -EINVAL;
	*value = (uint32_t)hertz * 1000;
	if (!*end)
		return 0;
	if (*end++ != '.' || !*end)
		return -EINVAL;
	for (; isdigit((unsigned char)*end); end++, scale /= 10)
		*value += (uint32_t)(*end - '0') * scale;
	return *end ? -EINVAL : 0;
}

int seat_mode_parse(const char *text, struct seat_mode *mode)
{
	*mode = (struct seat_mode){ 0 };
	text = parse_size(text, &mode->width);
	if (!text || *text++ != 'x')
		return -EINVAL;
	text = parse_size(text, &mode->height);
	if (!text)
		return -EINVAL;
	if (!*text)
		return 0;
	return *text == '@' ? parse_refresh(text + 1, &mode->refresh) : -EINVAL;
}

/* The output that the scan-out is on, or would be on if it were not off. */
static struct seat_screen *find_screen(struct seat *seat, const char *guest, unsigned index)
{
	const struct seat_config_view *view = seat_config_find_view(seat->config, guest, index);

	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++) {
		struct seat_screen *screen = &seat->screens[i];

		if (!screen->output || !screen->output->connected)
			continue;
		if (view ? !strcmp(view->output, screen->output->name)
			 : screen->slot == index && !seat_config_has_views(seat->config, guest))
			return screen;
	}
	return NULL;
}

static int screen_command(
    struct seat_screen *screen, const char *text, const struct seat_mode *mode, const char **why)
{
	if (mode && !output_find_mode(screen->output, mode)) {
		*why = "its monitor has no such mode";
		return -EINVAL;
	}
	screen->command_off = !strcmp(text, "off");
	screen->has_command_mode = mode;
	if (mode)
		screen->command_mode = *mode;
	screen->guest_mode = false;
	seat_look_at_outputs(screen->seat);
	return 0;
}

int seat_set_output(
    struct seat *seat, const char *name, unsigned index, const char *text, const char **why)
{
	const bool plain = !strcmp(text, "off") || !strcmp(text, "on");
	const struct seat_config_view *view;
	struct seat_scanout *scanout;
	struct seat_screen *screen;
	struct seat_guest *guest;
	struct seat_mode mode;

	*why = NULL;
	if (!plain && seat_mode_parse(text, &mode) < 0) {
		*why = "a mode is off, on, or such as 1920x1080 or 1920x1080@59.94";
		return -EINVAL;
	}
	guest = seat_find_guest(seat, name);
	scanout = guest && index < DISPLAY_SCANOUTS_MAX ? guest_scanout(guest, index) : NULL;
	screen = scanout ? find_screen(seat, name, index) : NULL;
	if (!screen) {
		*why = "that scan-out is on no output";
		return -ENOENT;
	}
	view = seat_config_find_view(seat->config, name, index);
	if (!view || !view->has_size)
		return screen_command(screen, text, plain ? NULL : &mode, why);
	if (!plain) {
		*why = "that scan-out is a part of its output, and as large as seat.conf says";
		return -EINVAL;
	}
	/* Others are on that output, too. */
	scanout->off = !strcmp(text, "off");
	seat_lay_out(seat);
	return 0;
}
