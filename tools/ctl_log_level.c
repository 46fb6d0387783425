/* SPDX-License-Identifier: MIT */
/* gpudomctl log-level */
#include <getopt.h>
#include <stdio.h>

#include "backend/log.h"
#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "xen/control.h"

static const char help[] =
    "Usage: gpudomctl log-level [OPTION...] LEVEL [GUEST]\n"
    "Sets how much gpudomd and all workers write to the log, or only a guest's worker.\n"
    "LEVEL is error, warning, info or debug. What is started later begins as configured.\n"
    "\n"
    "  --control=PATH  gpudomd's socket (" CONTROL_PATH ")\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 1 there is no such guest, 2 gpudomd cannot be reached, 3 wrong options.\n";

int ctl_log_level(int argc, char **argv)
{
	enum { OPT_CONTROL = 256, OPT_HELP };
	static const struct option long_options[] = {
		{ "control", required_argument, NULL, OPT_CONTROL },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};
	const char *control_path = NULL;
	struct json_object *request, *result;
	enum log_level level;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (opt == OPT_CONTROL) {
			control_path = optarg;
		} else if (opt == OPT_HELP) {
			fputs(help, stdout);
			return 0;
		} else {
			fputs("Try 'gpudomctl log-level --help'.\n", stderr);
			return CTL_EXIT_ERROR;
		}
	}
	if (argc - optind < 1 || argc - optind > 2 || log_level_parse(argv[optind], &level) < 0) {
		fputs("gpudomctl log-level: error, warning, info or debug, and perhaps a guest\n",
		    stderr);
		return CTL_EXIT_ERROR;
	}
	request = ctl_client_request("log-level", argv[optind + 1]);
	json_object_object_add(request, "level", json_object_new_string(argv[optind]));
	status = ctl_client_ask_once(control_path, request, &result);
	if (!status)
		json_object_put(result);
	return status;
}
