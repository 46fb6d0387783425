/* SPDX-License-Identifier: MIT */
/* gpudomctl: what people who run guests' GPUs run by hand. */
#include <stdio.h>
#include <string.h>

#include "tools/ctl.h"
#include "tools/version.h"

static const struct ctl_command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "doctor", "say what keeps guests from being served, and how to mend it", ctl_doctor },
	{ "log-level", "set how much is written to the log", ctl_log_level },
	{ "status", "show the guests, what they use, and what is wrong", ctl_status },
	{ "top", "show what guests do on their GPU now, again and again", ctl_top },
	{ "screenshot", "write what is on a guest's screen as a PNG file", ctl_screenshot },
	{ "focus", "let a guest have the keyboard and the pointer", ctl_focus },
	{ "output", "switch a guest's screen off or on, or set its mode", ctl_output },
	{ "metrics", "write all numbers for Prometheus", ctl_metrics },
	{ "reset", "give a guest a new worker", ctl_reset },
	{ "block", "take a guest's GPU away", ctl_block },
	{ "unblock", "give it back", ctl_unblock },
	{ "reload", "have gpudomd read gpudom.conf anew", ctl_reload },
	{ "trace", "record what guests' requests go through, for Perfetto", ctl_trace },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static int print_help(void)
{
	puts("Usage: gpudomctl COMMAND [OPTION...]\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	puts("\ngpudomctl COMMAND --help says more. --version  --help");
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		return print_help();
	if (!strcmp(name, "--version")) {
		puts("gpudomctl " GPUDOM_VERSION);
		return 0;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (*name)
		fprintf(stderr, "gpudomctl: there is no command '%s'\n", name);
	fputs("Try 'gpudomctl --help'.\n", stderr);
	return CTL_EXIT_ERROR;
}
