/* SPDX-License-Identifier: MIT */
/* gpudomctl doctor */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "tools/ctl.h"
#include "tools/doctor_gpu.h"
#include "tools/doctor_user.h"
#include "xen/doctor.h"
#include "xen/doctor_probe.h"
#include "xen/worker_process.h"

#define WIDTH 100
#define INDENT 26

struct doctor_options {
	const char *config_path, *worker_path;
	bool json, verbose;
};

static const char help[] =
    "Usage: gpudomctl doctor [OPTION...]\n"
    "Run as root in the driver domain: says what keeps guests from being served, and how to mend it.\n"
    "\n"
    "  --config=PATH  settings of the guests (" CONFIG_PATH ")\n"
    "  --worker=PATH  gpudom-worker (beside gpudomctl, in ../bin, or in $PATH)\n"
    "  --json         for scripts\n"
    "  --verbose      what the OpenGL drivers say, too\n"
    "  --help\n"
    "\n"
    "Exit status: 0 all is well, 1 warnings, 2 something keeps guests from being served, 3 wrong\n"
    "options.\n";

enum { OPT_CONFIG = 256, OPT_WORKER, OPT_JSON, OPT_VERBOSE, OPT_HELP };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "worker", required_argument, NULL, OPT_WORKER },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* 1: go on; 0: all is done; -EINVAL: said what is wrong. */
static int doctor_parse(struct doctor_options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONFIG:
			options->config_path = optarg;
			break;
		case OPT_WORKER:
			options->worker_path = optarg;
			break;
		case OPT_JSON:
			options->json = true;
			break;
		case OPT_VERBOSE:
			options->verbose = true;
			break;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudomctl doctor --help'.\n", stderr);
			return -EINVAL;
		}
	}
	if (optind == argc)
		return 1;
	fprintf(stderr, "gpudomctl doctor: what is '%s'?\n", argv[optind]);
	return -EINVAL;
}

/* --------------------------------------------------------------------- output */

/* @text in lines of WIDTH, all but the first indented. */
static void print_wrapped(const char *text)
{
	int column = INDENT;

	for (const char *word = text; *word;) {
		int length = (int)strcspn(word, " ");

		if (column > INDENT && column + 1 + length > WIDTH) {
			printf("\n%*s", INDENT, "");
			column = INDENT;
		} else if (word != text) {
			putchar(' ');
			column++;
		}
		printf("%.*s", length, word);
		column += length;
		word += length;
		word += strspn(word, " ");
	}
	putchar('\n');
}

static void print_text(const struct doctor_finding *findings, unsigned count)
{
	static const char *const verdicts[] = {
		"All is well.",
		"Guests can be served; see the warnings.",
		"Something keeps guests from being served; see what has failed, from the top.",
	};

	for (unsigned i = 0; i < count; i++) {
		char cure[sizeof(findings[i].cure) + 8];

		printf("%-8s %-16s ", doctor_state_name(findings[i].state), findings[i].check);
		print_wrapped(findings[i].text);
		if (!findings[i].cure[0])
			continue;
		printf("%*s", INDENT, "");
		snprintf(cure, sizeof(cure), "To do: %s.", findings[i].cure);
		print_wrapped(cure);
	}
	printf("\n%s\n", verdicts[doctor_exit_status(findings, count)]);
}

static void print_json(const struct doctor_finding *findings, unsigned count)
{
	struct json_object *root = json_object_new_object(), *list = json_object_new_array();

	for (unsigned i = 0; i < count; i++) {
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "check", json_object_new_string(findings[i].check));
		json_object_object_add(
		    one, "state", json_object_new_string(doctor_state_name(findings[i].state)));
		json_object_object_add(one, "text", json_object_new_string(findings[i].text));
		if (findings[i].cure[0])
			json_object_object_add(
			    one, "cure", json_object_new_string(findings[i].cure));
		json_object_array_add(list, one);
	}
	json_object_object_add(
	    root, "status", json_object_new_int(doctor_exit_status(findings, count)));
	json_object_object_add(root, "findings", list);
	puts(json_object_to_json_string_ext(
	    root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}

/* ----------------------------------------------------------------------- main */

/* -ENOENT: there is none, and none was named. -EINVAL: it is of no use, and said why. */
static int doctor_load_config(const struct doctor_options *options, struct config *config)
{
	int error = config_load(config, options->config_path);

	if (error == -ENOENT && !options->config_path)
		return -ENOENT;
	return error < 0 ? -EINVAL : 0;
}

/* Where a name without a slash would be found. */
static int find_in_path(const char *name)
{
	const char *value = getenv("PATH");
	char *path = strdup(value ? value : "/usr/bin:/bin"), *rest = path, *dir;
	int error = -ENOENT;

	while (rest && error && (dir = strsep(&rest, ":"))) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", *dir ? dir : ".", name);
		error = access(file, X_OK) < 0 ? -errno : 0;
	}
	free(path);
	return error;
}

static int doctor_check_worker(const char *path)
{
	if (!strchr(path, '/'))
		return find_in_path(path);
	return access(path, X_OK) < 0 ? -errno : 0;
}

int ctl_doctor(int argc, char **argv)
{
	struct doctor_options options = { 0 };
	struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
	struct doctor_facts facts = { 0 };
	struct config config = { 0 };
	char *worker_path;
	unsigned count;
	int r = doctor_parse(&options, argc, argv);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	log_init(LOG_LEVEL_WARNING, NULL);
	worker_path = worker_process_find(options.worker_path);
	if (!worker_path)
		return CTL_EXIT_ERROR;
	facts.config_path = options.config_path ? options.config_path : CONFIG_PATH;
	facts.config_error = doctor_load_config(&options, &config);
	facts.config = &config;
	facts.worker_path = worker_path;
	facts.worker = doctor_check_worker(worker_path);
	doctor_probe(&facts);
	if (facts.xen)
		doctor_gpu_probe(&facts, options.verbose);
	if (facts.xen)
		doctor_user_probe(&facts);
	count = doctor_examine(&facts, findings);
	if (options.json)
		print_json(findings, count);
	else
		print_text(findings, count);
	config_finish(&config);
	free(worker_path);
	return doctor_exit_status(findings, count);
}
