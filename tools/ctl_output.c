/* SPDX-License-Identifier: MIT */
/* gpudomctl output */
#include "tools/ctl_output.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/display.h"
#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "xen/control.h"

struct output_options {
	const char *control_path, *mode;
	char *guest; /* without the output */
	unsigned output;
	bool json;
};

static const char help[] =
    "Usage: gpudomctl output [OPTION...] GUEST[:OUTPUT] off|on|WIDTHxHEIGHT[@HZ]\n"
    "Switches the screen off or on that a guest's output is shown on, or sets its mode; the guest is\n"
    "told, as if somebody had plugged another monitor. It needs gpudom-seat.\n"
    "GUEST is a name or a domain id, OUTPUT a number (0).\n"
    "\n"
    "  --json          for scripts: gpudomd's answer, see gpudom-control(7)\n"
    "  --control=PATH  gpudomd's socket (" CONTROL_PATH ")\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 1 gpudomd or the seat refuses it (and says why), 2 gpudomd cannot be\n"
    "reached, 3 wrong options.\n";

enum { OPT_CONTROL = 256, OPT_JSON, OPT_HELP };

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

int ctl_parse_output(const char *command, char *text, char **guest, unsigned *output)
{
	char *colon = strrchr(text, ':'), *end = NULL;
	long number = -1;

	*guest = text;
	*output = 0;
	if (colon && colon[1] >= '0' && colon[1] <= '9')
		number = strtol(colon + 1, &end, 10);
	if (number < 0 || *end || number > 9999)
		return 0;
	if (number >= DISPLAY_SCANOUTS_MAX) {
		fprintf(stderr, "gpudomctl %s: outputs are 0 to %d\n", command,
		    DISPLAY_SCANOUTS_MAX - 1);
		return -1;
	}
	*colon = '\0';
	*output = (unsigned)number;
	return 0;
}

/* 1: go on; 0: all is done; -1: said what is wrong. */
static int output_parse(struct output_options *options, int argc, char **argv)
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
			fputs("Try 'gpudomctl output --help'.\n", stderr);
			return -1;
		}
	}
	if (argc - optind != 2) {
		fputs(
		    "gpudomctl output: it takes a guest and a mode. Try 'gpudomctl output --help'.\n",
		    stderr);
		return -1;
	}
	options->mode = argv[optind + 1];
	return ctl_parse_output("output", argv[optind], &options->guest, &options->output) < 0 ? -1
											       : 1;
}

int ctl_output(int argc, char **argv)
{
	struct output_options options = { 0 };
	struct json_object *request, *result, *text;
	int r = output_parse(&options, argc, argv);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	request = ctl_client_request("output", options.guest);
	json_object_object_add(request, "output", json_object_new_int((int)options.output));
	json_object_object_add(request, "mode", json_object_new_string(options.mode));
	r = ctl_client_ask_once(options.control_path, request, &result);
	if (r)
		return r;
	if (options.json)
		puts(json_object_to_json_string_ext(
		    result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	else if (json_object_object_get_ex(result, "text", &text))
		puts(json_object_get_string(text));
	json_object_put(result);
	return 0;
}
