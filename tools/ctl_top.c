/* SPDX-License-Identifier: MIT */
/* gpudomctl top: status, again and again, of what happens now. */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "tools/ctl_text.h"
#include "tools/ctl_time.h"
#include "tools/ctl_top_text.h"
#include "xen/control.h"

#define INTERVAL_USEC 1000000

struct top_options {
	const char *control_path, *guest;
	bool batch;
	unsigned long count; /* of pages; 0: until somebody ends it */
	uint64_t interval_usec;
	enum ctl_top_order order;
};

struct top {
	struct top_options options;
	struct ctl_client client;
	struct ctl_snapshot before, now;
	int signals; /* -1: none */
	bool terminal;
	struct termios before_us;
};

static const char help[] =
    "Usage: gpudomctl top [OPTION...] [GUEST]\n"
    "Shows what guests do on their GPU now. Keys: q quits, s sorts by the next column, space shows\n"
    "it at once.\n"
    "\n"
    "  --interval=SECONDS  between pages (1)\n"
    "  --sort=COLUMN       guest, frames, commands, bytes, gpu, cpu (default), memory\n"
    "  -b, --batch         page after page, for a file or a pipe\n"
    "  -n, --count=N       ends after N pages\n"
    "  --control=PATH      gpudomd's socket (" CONTROL_PATH ")\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 1 there is no such guest, 2 gpudomd cannot be reached, 3 wrong options.\n";

enum { OPT_CONTROL = 256, OPT_INTERVAL, OPT_SORT, OPT_HELP };

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "interval", required_argument, NULL, OPT_INTERVAL },
	{ "sort", required_argument, NULL, OPT_SORT },
	{ "batch", no_argument, NULL, 'b' },
	{ "count", required_argument, NULL, 'n' },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static int top_parse_count(struct top_options *options, const char *text)
{
	char *end;

	options->count = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && options->count)
		return 0;
	fprintf(stderr, "gpudomctl top: --count must be a number, not '%s'\n", text);
	return -1;
}

static int top_parse_order(struct top_options *options, const char *name)
{
	if (ctl_top_parse_order(name, &options->order) == 0)
		return 0;
	fprintf(stderr, "gpudomctl top: there is no column '%s'\n", name);
	return -1;
}

/* 1: go on; 0: all is done; -1: said what is wrong. */
static int top_parse(struct top_options *options, int argc, char **argv)
{
	int opt, error = 0;

	while (!error && (opt = getopt_long(argc, argv, "bn:", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONTROL:
			options->control_path = optarg;
			break;
		case OPT_INTERVAL:
			error = ctl_parse_seconds(optarg, 100000, &options->interval_usec);
			break;
		case OPT_SORT:
			error = top_parse_order(options, optarg);
			break;
		case 'b':
			options->batch = true;
			break;
		case 'n':
			error = top_parse_count(options, optarg);
			break;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudomctl top --help'.\n", stderr);
			return -1;
		}
	}
	if (error)
		return -1;
	if (optind < argc)
		options->guest = argv[optind++];
	if (optind == argc)
		return 1;
	fprintf(stderr, "gpudomctl top: what is '%s'?\n", argv[optind]);
	return -1;
}

/* ---------------------------------------------------------------- the terminal */

/* The terminal is given back as it was, whatever ends us. */
static void top_open_terminal(struct top *top)
{
	struct termios ours;
	sigset_t signals;

	if (top->options.batch || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &ours) < 0)
		return;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGWINCH);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	top->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	top->before_us = ours;
	ours.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &ours);
	top->terminal = true;
	/* The alternate screen, without a cursor and without wrapping lines */
	fputs("\033[?1049h\033[?25l\033[?7l", stdout);
}

static void top_close_terminal(struct top *top)
{
	if (!top->terminal)
		return;
	fputs("\033[?7h\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &top->before_us);
	close(top->signals);
	top->terminal = false;
}

/* ----------------------------------------------------------------------- pages */

static void top_show(struct top *top, const char *notice)
{
	const struct ctl_top_page page = {
		.before = top->before.count ? &top->before : NULL,
		.now = &top->now,
		.order = top->options.order,
		.notice = notice,
	};
	struct winsize size = { 0 };

	if (!top->terminal) {
		ctl_print_top(stdout, &page, ctl_has_colours(stdout), 0, 0, "");
		fputc('\n', stdout);
		fflush(stdout);
		return;
	}
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	/* Over the old page, each line to its end, and what is below it: nothing flickers. */
	fputs("\033[H", stdout);
	ctl_print_top(stdout, &page, ctl_has_colours(stdout), size.ws_col, size.ws_row, "\033[K");
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* 0, or the exit status. A gpudomd that restarts is waited for, on a terminal. */
static int top_refresh(struct top *top)
{
	struct ctl_snapshot next;
	int status = top->client.fd < 0 ? ctl_client_reopen(&top->client) : 0;

	if (!status)
		status = ctl_snapshot_take(&next, &top->client, top->options.guest);
	if (!status) {
		ctl_snapshot_finish(&top->before);
		top->before = top->now;
		top->now = next;
		top_show(top, NULL);
		return 0;
	}
	ctl_client_close(&top->client);
	if (!top->terminal || status == CTL_EXIT_ERROR)
		return status;
	top_show(top, status == CTL_EXIT_REFUSED ? "the guest is gone; waiting for it"
						 : "gpudomd does not answer; waiting for it");
	return 0;
}

/* A key or a signal. False: it is over. */
static bool top_react(struct top *top)
{
	struct signalfd_siginfo signal;
	char key = 0;

	if (read(top->signals, &signal, sizeof(signal)) == sizeof(signal) &&
	    signal.ssi_signo != SIGWINCH)
		return false;
	/* It is read only where there is a key: poll() said so. */
	if (poll(&(struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN }, 1, 0) == 1 &&
	    (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
		return false;
	else if (key == 's')
		top->options.order = (top->options.order + 1) % CTL_TOP_ORDERS;
	return true;
}

/* Until the next page. False: it is over. */
static bool top_wait(struct top *top)
{
	uint64_t end = telemetry_now() + top->options.interval_usec * 1000, now;
	struct pollfd sources[] = { { .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = top->signals, .events = POLLIN } };

	if (!top->terminal) {
		ctl_sleep(top->options.interval_usec);
		return true;
	}
	while ((now = telemetry_now()) < end) {
		if (poll(sources, 2, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		if (!top_react(top))
			return false;
		top_show(top, NULL);
	}
	return true;
}

static int top_run(struct top *top)
{
	int status = ctl_snapshot_take(&top->now, &top->client, top->options.guest);

	if (status)
		return status;
	top->client.quiet = true;
	top_open_terminal(top);
	if (top->terminal)
		top_show(top, "a moment ...");
	for (unsigned long i = 0; !status && (!top->options.count || i < top->options.count); i++) {
		if (!top_wait(top))
			break;
		status = top_refresh(top);
	}
	top_close_terminal(top);
	if (status == CTL_EXIT_UNREACHABLE)
		fputs("gpudomctl: gpudomd does not answer any more\n", stderr);
	return status;
}

int ctl_top(int argc, char **argv)
{
	struct top top = {
		.options = { .interval_usec = INTERVAL_USEC, .order = CTL_TOP_CPU },
		.signals = -1,
	};
	int r = top_parse(&top.options, argc, argv);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	r = ctl_client_open(&top.client, top.options.control_path);
	if (r)
		return r;
	r = top_run(&top);
	ctl_snapshot_finish(&top.before);
	ctl_snapshot_finish(&top.now);
	ctl_client_close(&top.client);
	return r;
}
