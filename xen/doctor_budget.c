/* SPDX-License-Identifier: MIT */
#include "xen/doctor_budget.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/capset.h"

#define PAGE 4096u
#define BUFFERS 3
#define GL_PAGES ((64u << 20) / PAGE)
/* Control and cursor queue: 256 requests of up to two pages each, and the rings. */
#define QUEUE_PAGES 1056u
#define OTHER_PAGES 1024u

#define GRANTS_PER_FRAME 512u   /* version 1, 8 bytes each */
#define MAPPINGS_PER_FRAME 256u /* 16 bytes each */

/* gpudom-worker's defaults. */
#define DEFAULT_WIDTH 1024u
#define DEFAULT_HEIGHT 768u
#define DEFAULT_BACKING (UINT64_C(1) << 30)

static uint64_t frame_pages(uint64_t width, uint64_t height)
{
	return (width * height * 4 + PAGE - 1) / PAGE;
}

/* "1024x768@60", as config.c has checked it. */
static uint64_t mode_pages(const char *mode)
{
	char *end;
	uint64_t width = strtoull(mode, &end, 10);

	return frame_pages(width, *end == 'x' ? strtoull(end + 1, NULL, 10) : 0);
}

/* "64M", as config.c has checked it. */
static uint64_t read_size(const char *value)
{
	char *end;
	uint64_t n = strtoull(value, &end, 10);

	return n << (*end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0);
}

/* The value of "--@name=value"; NULL for another option. */
static const char *value_of(const char *argument, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, name, length) != 0 ||
	    argument[2 + length] != '=')
		return NULL;
	return argument + 3 + length;
}

int budget_read(const struct config *config, const char *guest, struct budget_settings *settings)
{
	unsigned modes = 0, outputs = 0;
	char **arguments;
	uint32_t capsets = CAPSETS_ALL;
	const char *value;
	int error;

	*settings = (struct budget_settings){ .egl = "auto", .backing_bytes = DEFAULT_BACKING };
	error = config_arguments(config, guest, CONFIG_GPU, &arguments);
	if (error)
		return error;
	for (char **a = arguments; *a; a++) {
		if ((value = value_of(*a, "mode"))) {
			settings->frame_pages += mode_pages(value);
			modes++;
		} else if ((value = value_of(*a, "scanouts"))) {
			outputs = (unsigned)strtoul(value, NULL, 10);
		} else if ((value = value_of(*a, "renderer"))) {
			settings->soft = !strcmp(value, "soft");
		} else if ((value = value_of(*a, "capsets"))) {
			capset_parse(value, &capsets);
		} else if ((value = value_of(*a, "egl"))) {
			snprintf(settings->egl, sizeof(settings->egl), "%s", value);
		} else if ((value = value_of(*a, "render-node"))) {
			snprintf(settings->render_node, sizeof(settings->render_node), "%s", value);
		} else if ((value = value_of(*a, "limit-backing-bytes"))) {
			settings->backing_bytes = read_size(value);
		}
	}
	config_arguments_free(arguments);
	if (!outputs)
		outputs = modes ? modes : 1;
	for (; modes < outputs; modes++)
		settings->frame_pages += frame_pages(DEFAULT_WIDTH, DEFAULT_HEIGHT);
	settings->gl = capsets & CAPSETS_BUILT & CAPSETS_VIRGL && !settings->soft;
	return 0;
}

struct budget budget_estimate(const struct budget_settings *settings)
{
	uint64_t pages = BUFFERS * settings->frame_pages;
	struct budget budget;

	if (settings->gl)
		pages = 2 * pages + GL_PAGES;
	/* What is beyond it, gpudom-worker refuses to map. */
	if (pages > settings->backing_bytes / PAGE)
		pages = settings->backing_bytes / PAGE;
	budget.mapped = pages + QUEUE_PAGES;
	budget.granted = budget.mapped + OTHER_PAGES;
	return budget;
}

static unsigned frames(uint64_t pages, unsigned per_frame)
{
	uint64_t step = 16 * per_frame;

	return (unsigned)((pages + step - 1) / step * 16);
}

unsigned budget_grant_frames(uint64_t pages)
{
	return frames(pages, GRANTS_PER_FRAME);
}

unsigned budget_maptrack_frames(uint64_t pages)
{
	return frames(pages, MAPPINGS_PER_FRAME);
}
