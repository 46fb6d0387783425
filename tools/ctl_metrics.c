/* SPDX-License-Identifier: MIT */
/* gpudomctl metrics */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "tools/ctl_file.h"
#include "tools/ctl_metrics_text.h"
#include "tools/ctl_time.h"
#include "xen/control.h"

struct metrics_options {
	const char *control_path, *output;
	uint64_t interval_usec; /* 0: once */
};

static const char help[] =
    "Usage: gpudomctl metrics [OPTION...]\n"
    "Writes what gpudomd counts in Prometheus' text format.\n"
    "\n"
    "  --output=FILE       replaces FILE in one piece, for a collector that reads it\n"
    "                      (node_exporter: a name that ends in .prom); default: standard output\n"
    "  --interval=SECONDS  again and again, also while gpudomd is not there (gpudom_up is 0 then)\n"
    "  --control=PATH      gpudomd's socket (" CONTROL_PATH ")\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 2 gpudomd cannot be reached, 3 wrong options, or FILE cannot be written.\n";

enum { OPT_CONTROL = 256, OPT_OUTPUT, OPT_INTERVAL, OPT_HELP };

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* 1: go on; 0: all is done; -1: said what is wrong. */
static int metrics_parse(struct metrics_options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONTROL:
			options->control_path = optarg;
			break;
		case OPT_OUTPUT:
			options->output = optarg;
			break;
		case OPT_INTERVAL:
			if (ctl_parse_seconds(optarg, 100000, &options->interval_usec) < 0)
				return -1;
			break;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudomctl metrics --help'.\n", stderr);
			return -1;
		}
	}
	if (optind == argc)
		return 1;
	fprintf(stderr, "gpudomctl metrics: what is '%s'?\n", argv[optind]);
	return -1;
}

/* @snapshot may be NULL. */
static int metrics_write(const char *path, const struct ctl_snapshot *snapshot)
{
	struct ctl_file file;

	if (ctl_file_begin(&file, path) < 0)
		return CTL_EXIT_ERROR;
	ctl_print_metrics(file.file, snapshot);
	return ctl_file_commit(&file) < 0 ? CTL_EXIT_ERROR : 0;
}

/* Also where gpudomd is not there: a file from before would say that all is well. */
static int metrics_take(const struct metrics_options *options, struct ctl_client *client)
{
	struct ctl_snapshot snapshot = { 0 };
	int error, status = client->fd < 0 ? ctl_client_reopen(client) : 0;

	if (!status)
		status = ctl_snapshot_take(&snapshot, client, NULL);
	if (status)
		ctl_client_close(client);
	error = metrics_write(options->output, status ? NULL : &snapshot);
	ctl_snapshot_finish(&snapshot);
	return error ? error : status;
}

int ctl_metrics(int argc, char **argv)
{
	struct metrics_options options = { .output = "-" };
	struct ctl_client client;
	int status, r = metrics_parse(&options, argc, argv);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	ctl_client_open(&client, options.control_path);
	/* Said once why it is not there; then the file says it. */
	client.quiet = true;
	while (
	    (status = metrics_take(&options, &client)) != CTL_EXIT_ERROR && options.interval_usec)
		ctl_sleep(options.interval_usec);
	ctl_client_close(&client);
	return status;
}
