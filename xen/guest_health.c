/* SPDX-License-Identifier: MIT */
#include "xen/guest_health.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/screen.h"
#include "xen/keep.h"

void guest_health_init(struct guest_health *health, const struct guest_health_options *options)
{
	*health = (struct guest_health){
		.options = *options,
		.telemetry_fd = -1,
		.screen_fd = -1,
		.descriptors = { { "--telemetry-fd", -1 }, { "--screen-fd", -1 } },
	};
}

/* ------------------------------------------------------------------ its files */

static int guest_health_take(struct guest_health *health, const char *what)
{
	const struct guest_health_options *options = &health->options;

	return keep_take(options->keep, "%u-%u-%s", options->domid, options->devid, what);
}

static void guest_health_push(struct guest_health *health, int fd, const char *what)
{
	const struct guest_health_options *options = &health->options;

	keep_drop(options->keep, "%u-%u-%s", options->domid, options->devid, what);
	keep_push(options->keep, fd, "%u-%u-%s", options->domid, options->devid, what);
}

static int guest_health_open_telemetry(struct guest_health *health)
{
	int error, fd = guest_health_take(health, "telemetry");

	if (fd >= 0 && telemetry_open(fd, false, &health->page) == 0) {
		health->telemetry_fd = fd;
		return 0;
	}
	/* Another build's: its worker goes on with that, and its successor with ours. */
	if (fd >= 0)
		close(fd);
	error = telemetry_create(&health->page, &health->telemetry_fd);
	if (!error)
		guest_health_push(health, health->telemetry_fd, "telemetry");
	return error;
}

static int guest_health_open_screen(struct guest_health *health)
{
	int error;

	health->screen_fd = guest_health_take(health, "screen");
	if (health->screen_fd >= 0)
		return 0;
	error = screen_create(&health->screen_fd);
	if (!error)
		guest_health_push(health, health->screen_fd, "screen");
	return error;
}

void guest_health_open(struct guest_health *health)
{
	int error = guest_health_open_telemetry(health);

	if (error)
		log_error(
		    "%s: its worker cannot be watched: %s", health->options.name, strerror(-error));
	error = guest_health_open_screen(health);
	if (error)
		log_error(
		    "%s: its screen cannot be kept: %s", health->options.name, strerror(-error));
	health->descriptors[0].fd = health->telemetry_fd;
	health->descriptors[1].fd = health->screen_fd;
}

void guest_health_close(struct guest_health *health)
{
	telemetry_close(health->page);
	health->page = NULL;
	if (health->telemetry_fd >= 0)
		close(health->telemetry_fd);
	if (health->screen_fd >= 0)
		close(health->screen_fd);
	health->telemetry_fd = health->screen_fd = -1;
}

void guest_health_drop(struct guest_health *health)
{
	const struct guest_health_options *options = &health->options;

	if (health->telemetry_fd >= 0)
		keep_drop(options->keep, "%u-%u-telemetry", options->domid, options->devid);
	if (health->screen_fd >= 0)
		keep_drop(options->keep, "%u-%u-screen", options->domid, options->devid);
	guest_health_close(health);
}

/* ------------------------------------------------------------------ its state */

void guest_health_describe(const struct guest_health *health, char *text, size_t size)
{
	struct telemetry telemetry;
	const struct telemetry_command *command = &telemetry.command;

	if (size)
		*text = '\0';
	if (!health->page)
		return;
	telemetry_read(health->page, &telemetry);
	if (!command->number)
		return;
	snprintf(text, size, " %s %s (context %llu, request %llu)",
	    command->executing ? "while it executed" : "after",
	    telemetry_command_name(command->type), (unsigned long long)command->ctx_id,
	    (unsigned long long)command->number);
}
