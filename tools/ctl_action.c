/* SPDX-License-Identifier: MIT */
/* gpudomctl block, unblock, reset, focus, reload: what gpudomd is asked to do, and its answer. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "xen/control.h"

/* What they have in common. */
struct action {
	const char *name, *arguments, *what;
	bool guest;  /* it takes one */
	bool device; /* or one of its devices */
};

struct action_options {
	const char *control_path, *guest;
	long device; /* -1: all GPUs of the guest */
	bool json;
};

enum { OPT_CONTROL = 256, OPT_DEVICE, OPT_JSON, OPT_HELP };

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static void action_help(const struct action *action)
{
	printf("Usage: gpudomctl %s [OPTION...]%s\n%s\n\n", action->name, action->arguments,
	    action->what);
	if (action->device)
		puts("  --device=DEVID  one of the guest's devices alone, such as an input device");
	puts(
	    "  --json          for scripts: gpudomd's answer, see gpudom-control(7)\n"
	    "  --control=PATH  gpudomd's socket (" CONTROL_PATH ")\n"
	    "  --help\n\n"
	    "Exit status: 0 done, 1 gpudomd refuses it (and says why), 2 gpudomd cannot be reached,\n"
	    "3 wrong options.");
}

static int action_parse_device(struct action_options *options, const struct action *action)
{
	char *end;

	options->device = strtol(optarg, &end, 10);
	if (action->device && end != optarg && !*end && options->device >= 0)
		return 0;
	fprintf(stderr, "gpudomctl %s: --device cannot be '%s'\n", action->name, optarg);
	return -1;
}

/* 1: go on; 0: all is done; -1: said what is wrong. */
static int action_parse(
    struct action_options *options, const struct action *action, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONTROL:
			options->control_path = optarg;
			break;
		case OPT_DEVICE:
			if (action_parse_device(options, action) < 0)
				return -1;
			break;
		case OPT_JSON:
			options->json = true;
			break;
		case OPT_HELP:
			action_help(action);
			return 0;
		default:
			fprintf(stderr, "Try 'gpudomctl %s --help'.\n", action->name);
			return -1;
		}
	}
	if (action->guest && optind < argc)
		options->guest = argv[optind++];
	if (optind < argc)
		fprintf(stderr, "gpudomctl %s: what is '%s'?\n", action->name, argv[optind]);
	else if (action->guest && !options->guest)
		fprintf(
		    stderr, "gpudomctl %s: which guest? A name, or a domain id.\n", action->name);
	else
		return 1;
	return -1;
}

static const char *text_of(struct json_object *object, const char *member)
{
	struct json_object *value;

	return json_object_object_get_ex(object, member, &value) ? json_object_get_string(value)
								 : "";
}

/* Whose settings are others now, after a reload. */
static void print_changes(struct json_object *result)
{
	struct json_object *list;
	size_t count = json_object_object_get_ex(result, "changed", &list) &&
			       json_object_is_type(list, json_type_array)
			   ? json_object_array_length(list)
			   : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *one = json_object_array_get_idx(list, i);
		const char *name = text_of(one, "name"), *at_once = text_of(one, "at_once");
		const char *at_reset = text_of(one, "at_reset");

		printf("%s%s:", *name ? "" : "domain ", *name ? name : text_of(one, "domid"));
		if (*at_once)
			printf(" %s at once%s", at_once, *at_reset ? ";" : "");
		if (*at_reset)
			printf(" %s when it next resets its device", at_reset);
		putchar('\n');
	}
}

static int action_run(const struct action *action, int argc, char **argv)
{
	struct action_options options = { .device = -1 };
	struct json_object *request, *result;
	int r = action_parse(&options, action, argc, argv);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	request = ctl_client_request(action->name, options.guest);
	if (options.device >= 0)
		json_object_object_add(request, "device", json_object_new_int64(options.device));
	r = ctl_client_ask_once(options.control_path, request, &result);
	if (r)
		return r;
	if (options.json) {
		puts(json_object_to_json_string_ext(
		    result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		puts(text_of(result, "text"));
		print_changes(result);
	}
	json_object_put(result);
	return 0;
}

int ctl_block(int argc, char **argv)
{
	static const struct action block = { "block", " GUEST",
		"Takes a guest's GPU away until 'gpudomctl unblock': its worker ends, and it is told that its\n"
		"GPU needs a reset, which does not help. Its last frame stays on the screen.",
		true, true };

	return action_run(&block, argc, argv);
}

int ctl_unblock(int argc, char **argv)
{
	static const struct action unblock = { "unblock", " GUEST",
		"Gives a guest its GPU back that was blocked, by somebody or because its workers died too\n"
		"often. A new worker goes on where the last one ended or, if the guest has reset its GPU\n"
		"since, starts when it next does, as when it boots.",
		true, true };

	return action_run(&unblock, argc, argv);
}

int ctl_reset(int argc, char **argv)
{
	static const struct action reset = { "reset", " GUEST",
		"Ends a guest's worker and starts another one, as when it had crashed: the guest keeps what is\n"
		"2D, its 3D programs lose their contexts.",
		true, true };

	return action_run(&reset, argc, argv);
}

int ctl_focus(int argc, char **argv)
{
	static const struct action focus = { "focus", " GUEST",
		"Lets a guest have the keyboard and the pointer, as the chord on the keyboard does, and brings\n"
		"it to the front where several guests share a screen. It needs gpudom-seat.",
		true, false };

	return action_run(&focus, argc, argv);
}

int ctl_reload(int argc, char **argv)
{
	static const struct action reload = { "reload", "",
		"Has gpudomd read gpudom.conf anew, and says whose settings are others now and when they hold.\n"
		"A file that is wrong changes nothing.",
		false, false };

	return action_run(&reload, argc, argv);
}
