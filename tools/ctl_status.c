/* SPDX-License-Identifier: MIT */
/* gpudomctl status */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "xen/control.h"

struct status_options {
	const char *control_path, *guest;
	bool json;
};

static const char help[] =
    "Usage: gpudomctl status [OPTION...] [GUEST]\n"
    "Shows the guests that gpudomd serves, or all about one (a name or a domain id).\n"
    "\n"
    "  --json          for scripts\n"
    "  --control=PATH  gpudomd's socket (" CONTROL_PATH ")\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 1 there is no such guest, 2 gpudomd cannot be reached, 3 wrong options.\n";

enum { OPT_CONTROL = 256, OPT_JSON, OPT_HELP };

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "json", no_argument, NULL, OPT_JSON },
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
		case OPT_JSON:
			options->json = true;
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

int ctl_status(int argc, char **argv)
{
	struct status_options options = { 0 };
	struct json_object *result;
	int r = status_parse(&options, argc, argv);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	r = ctl_client_ask_once(
	    options.control_path, ctl_client_request("status", options.guest), &result);
	if (r)
		return r;
	puts(json_object_to_json_string_ext(
	    result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(result);
	return 0;
}
