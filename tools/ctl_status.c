/* SPDX-License-Identifier: MIT */
/* gpudomctl status */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "tools/ctl_seat_text.h"
#include "tools/ctl_status_text.h"
#include "tools/ctl_time.h"
#include "xen/control.h"

#define INTERVAL_USEC 500000 /* that rates are taken from */

struct status_options {
	const char *control_path, *guest;
	bool json, names;
	uint64_t interval_usec;
};

static const char help[] =
    "Usage: gpudomctl status [OPTION...] [GUEST]\n"
    "Shows the guests that gpudomd serves, or all about one (a name or a domain id).\n"
    "\n"
    "  --interval=SECONDS  that rates are taken from (0.5); 0: at once, without rates\n"
    "  --names             the guests' names alone, a line each\n"
    "  --json              for scripts: what gpudomd says, see gpudom-control(7)\n"
    "  --control=PATH      gpudomd's socket (" CONTROL_PATH ")\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 1 there is no such guest, 2 gpudomd cannot be reached, 3 wrong options.\n";

enum { OPT_CONTROL = 256, OPT_INTERVAL, OPT_JSON, OPT_NAMES, OPT_HELP };

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "names", no_argument, NULL, OPT_NAMES },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* 1: go on; 0: all is done; -1: said what is wrong. */
static int status_parse(struct status_options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONTROL:
			options->control_path = optarg;
			break;
		case OPT_INTERVAL:
			if (ctl_parse_seconds(optarg, 0, &options->interval_usec) < 0)
				return -1;
			break;
		case OPT_JSON:
			options->json = true;
			break;
		case OPT_NAMES:
			options->names = true;
			options->interval_usec = 0;
			break;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudomctl status --help'.\n", stderr);
			return -1;
		}
	}
	if (optind < argc)
		options->guest = argv[optind++];
	if (optind == argc)
		return 1;
	fprintf(stderr, "gpudomctl status: what is '%s'?\n", argv[optind]);
	return -1;
}

static void status_print_name(const struct ctl_device *device)
{
	if (device->guest[0])
		puts(device->guest);
	else
		printf("%u\n", device->domid);
}

static void status_print(const struct status_options *options, const struct ctl_snapshot *before,
    const struct ctl_snapshot *now)
{
	bool colours = ctl_has_colours(stdout);
	struct winsize size = { 0 };

	if (options->json) {
		puts(json_object_to_json_string_ext(
		    now->json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	} else if (options->names) {
		/* As completion would ask for them: a guest without a name by its id */
		for (size_t i = 0; i < now->count; i++)
			if (!i || now->devices[i].domid != now->devices[i - 1].domid)
				status_print_name(&now->devices[i]);
	} else if (options->guest) {
		for (size_t i = 0; i < now->count; i++)
			ctl_print_device(stdout, before, now, &now->devices[i], colours);
		ctl_print_inputs(stdout, now, colours);
	} else {
		/* Into a file or a pipe goes all. */
		ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
		ctl_print_status(stdout, before, now, colours, size.ws_col);
		ctl_print_inputs(stdout, now, colours);
		ctl_print_seat(stdout, now, colours, size.ws_col);
	}
}

int ctl_status(int argc, char **argv)
{
	struct status_options options = { .interval_usec = INTERVAL_USEC };
	struct ctl_snapshot before = { 0 }, now;
	struct ctl_client client;
	int r = status_parse(&options, argc, argv);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	r = ctl_client_open(&client, options.control_path);
	if (r)
		return r;
	r = ctl_snapshot_take(&now, &client, options.guest);
	if (!r && options.interval_usec && !options.json && now.count) {
		before = now;
		ctl_sleep(options.interval_usec);
		r = ctl_snapshot_take(&now, &client, options.guest);
	}
	if (!r)
		status_print(&options, &before, &now);
	ctl_snapshot_finish(&now);
	ctl_snapshot_finish(&before);
	ctl_client_close(&client);
	return r;
}
