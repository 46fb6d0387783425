/* SPDX-License-Identifier: MIT */
/* gpudomctl trace */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "tools/ctl_file.h"
#include "tools/trace_json.h"
#include "xen/control.h"
#include "xen/tracing.h"

#define SECONDS_DEFAULT 5
#define SOURCES_MAX 256

struct trace_options {
	const char *control_path;
	unsigned seconds;
	const char *file; /* NULL: none; -: standard output */
	char **guests;
	int guest_count; /* 0: all */
};

/* A recording as gpudomd handed it out */
struct recording {
	struct json_object *status;
	uint64_t from_ns, to_ns;
	struct trace_source *sources;
	size_t count;
	struct trace_reader gpudomd;
};

static const char help[] =
    "Usage: gpudomctl trace [OPTION...] [GUEST...] FILE\n"
    "       gpudomctl trace [OPTION...] on [GUEST...]\n"
    "       gpudomctl trace [OPTION...] save FILE\n"
    "       gpudomctl trace [OPTION...] off [FILE]\n"
    "Records what each request of the guests goes through, and writes it for Perfetto\n"
    "(ui.perfetto.dev) or chrome://tracing. Without GUEST: of all. FILE -: standard output.\n"
    "\n"
    "Without on, save or off, it records for some seconds; Ctrl-C ends that early.\n"
    "on goes on recording, the newest events of each guest; save writes them, off ends it.\n"
    "\n"
    "  --seconds=N     record so long (1 to 3600, default 5)\n"
    "  --control=PATH  gpudomd's socket (" CONTROL_PATH ")\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 1 gpudomd refuses, 2 it cannot be reached, 3 wrong options, or FILE\n"
    "cannot be written.\n";

/* ---------------------------------------------------------------- reading */

static uint64_t get_number(struct json_object *object, const char *member)
{
	struct json_object *value;

	return json_object_object_get_ex(object, member, &value) ? json_object_get_uint64(value)
								 : 0;
}

/* The ring that gpudomd passes in answer to @request (taken over). */
static int fetch_ring(struct ctl_client *client, struct json_object *request,
    const struct recording *recording, struct trace_reader *reader)
{
	struct json_object *result = NULL;
	int fd = -1, error, status = ctl_client_ask(client, request, &result, &fd);

	if (status)
		return status;
	json_object_put(result);
	error = trace_reader_init(reader, fd, recording->from_ns, recording->to_ns);
	if (fd >= 0)
		close(fd);
	if (!error)
		return 0;
	fprintf(stderr, "gpudomctl trace: cannot read what was recorded: %s\n",
	    error == -EPROTO ? "it is of another version of gpudom" : strerror(-error));
	return CTL_EXIT_ERROR;
}

static int fetch_source(struct ctl_client *client, struct json_object *description,
    struct recording *recording, struct trace_source *source)
{
	struct json_object *request = ctl_client_request("trace-fetch", NULL), *name;

	source->domid = (uint16_t)get_number(description, "domid");
	source->devid = (unsigned)get_number(description, "devid");
	source->guest = json_object_object_get_ex(description, "guest", &name)
			    ? json_object_get_string(name)
			    : "";
	json_object_object_add(request, "domid", json_object_new_int(source->domid));
	json_object_object_add(request, "devid", json_object_new_int64(source->devid));
	return fetch_ring(client, request, recording, &source->worker);
}

static int fetch(struct ctl_client *client, struct recording *recording)
{
	struct json_object *list;
	int status;
	size_t count;

	status = ctl_client_ask(
	    client, ctl_client_request("trace-status", NULL), &recording->status, NULL);
	if (status)
		return status;
	recording->from_ns = get_number(recording->status, "from_ns");
	recording->to_ns = get_number(recording->status, "to_ns");
	if (!recording->from_ns) {
		fputs("gpudomctl trace: nothing was recorded; begin with: gpudomctl trace on\n",
		    stderr);
		return CTL_EXIT_REFUSED;
	}
	status = fetch_ring(
	    client, ctl_client_request("trace-fetch", NULL), recording, &recording->gpudomd);
	if (status || !json_object_object_get_ex(recording->status, "sources", &list))
		return status;
	count = json_object_array_length(list);
	if (count > SOURCES_MAX)
		count = SOURCES_MAX;
	recording->sources = calloc(count + 1, sizeof(*recording->sources));
	if (!recording->sources)
		return CTL_EXIT_ERROR;
	for (size_t i = 0; i < count && !status; i++) {
		status = fetch_source(client, json_object_array_get_idx(list, i), recording,
		    &recording->sources[recording->count]);
		recording->count += !status;
	}
	return status;
}

static void recording_finish(struct recording *recording)
{
	for (size_t i = 0; i < recording->count; i++)
		trace_reader_finish(&recording->sources[i].worker);
	free(recording->sources);
	trace_reader_finish(&recording->gpudomd);
	json_object_put(recording->status);
}

/* ---------------------------------------------------------------- writing */

static void report(const struct recording *recording, const char *path)
{
	uint64_t ns = recording->to_ns - recording->from_ns;

	fprintf(stderr, "Wrote %s: %" PRIu64 ".%" PRIu64 " s of %zu GPU%s\n", path, ns / 1000000000,
	    ns / 100000000 % 10, recording->count, recording->count == 1 ? "" : "s");
	for (size_t i = 0; i < recording->count; i++) {
		const struct trace_source *source = &recording->sources[i];

		fprintf(stderr, "  %s (domain %u, GPU %u): %zu events", source->guest,
		    source->domid, source->devid, source->worker.count);
		if (source->worker.lost)
			fprintf(stderr, ", older ones are lost (%" PRIu64 ")", source->worker.lost);
		if (source->worker.damaged)
			fprintf(stderr, ", %" PRIu64 " of earlier or without sense left out",
			    source->worker.damaged);
		fputc('\n', stderr);
	}
}

static int write_file(struct ctl_client *client, struct ctl_file *file)
{
	struct recording recording = { 0 };
	int status = fetch(client, &recording);

	if (!status) {
		const struct trace_recording all = { .from_ns = recording.from_ns,
			.to_ns = recording.to_ns,
			.sources = recording.sources,
			.source_count = recording.count,
			.gpudomd = &recording.gpudomd };

		/* commit() says what has gone wrong in writing */
		if (trace_json_write(file->file, &all) == -ENOMEM) {
			fputs("gpudomctl trace: there is no memory left\n", stderr);
			status = CTL_EXIT_ERROR;
		} else if (ctl_file_commit(file) < 0) {
			status = CTL_EXIT_ERROR;
		}
	}
	if (!status)
		report(&recording, file->path);
	recording_finish(&recording);
	return status;
}

/* ---------------------------------------------------------------- asking */

static int ask(struct ctl_client *client, struct json_object *request)
{
	struct json_object *result = NULL;
	int status = ctl_client_ask(client, request, &result, NULL);

	if (!status)
		json_object_put(result);
	return status;
}

static int start(struct ctl_client *client, const struct trace_options *options, unsigned seconds)
{
	int status = 0;

	for (int i = 0; i < (options->guest_count ? options->guest_count : 1) && !status; i++) {
		struct json_object *request = ctl_client_request(
		    "trace-start", options->guest_count ? options->guests[i] : NULL);

		if (seconds && i == 0)
			json_object_object_add(
			    request, "seconds", json_object_new_int((int)seconds));
		status = ask(client, request);
	}
	return status;
}

static int stop(struct ctl_client *client)
{
	return ask(client, ctl_client_request("trace-stop", NULL));
}

/* Ctrl-C ends it early. */
static void wait_seconds(unsigned seconds)
{
	struct timespec second = { .tv_sec = 1 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (unsigned i = 0; i < seconds; i++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rRecording for %u s; Ctrl-C ends it early ", seconds - i);
		if (sigtimedwait(&set, NULL, &second) >= 0)
			break;
	}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* ---------------------------------------------------------------- commands */

static int record(struct ctl_client *client, const struct trace_options *options)
{
	int status = start(client, options, options->seconds);

	if (status)
		return status;
	wait_seconds(options->seconds);
	return stop(client);
}

enum verb { RECORD, ON, SAVE, OFF };

/* The file is open before anything is recorded: so that nothing is recorded in vain. */
static int run(struct ctl_client *client, const struct trace_options *options, enum verb verb)
{
	struct ctl_file file;
	int status = 0;

	if (options->file && ctl_file_begin(&file, options->file) < 0)
		return CTL_EXIT_ERROR;
	if (verb == RECORD)
		status = record(client, options);
	else if (verb == ON)
		status = start(client, options, 0);
	else if (verb == OFF)
		status = stop(client);
	if (!options->file)
		return status;
	if (!status)
		status = write_file(client, &file);
	/* It is in the file now */
	if (!status && verb != SAVE)
		status = ask(client, ctl_client_request("trace-forget", NULL));
	ctl_file_abort(&file);
	return status;
}

/* What is left of the command line. -1: said what is wrong. */
static int parse_operands(
    struct trace_options *options, int count, char **operands, enum verb *verb)
{
	static const char *const verbs[] = { [ON] = "on", [SAVE] = "save", [OFF] = "off" };

	*verb = RECORD;
	for (enum verb v = ON; v <= OFF && count; v++)
		if (!strcmp(operands[0], verbs[v]))
			*verb = v;
	if (*verb != RECORD) {
		operands++;
		count--;
	}
	if (*verb == RECORD || *verb == SAVE || (*verb == OFF && count)) {
		if (!count) {
			fputs("gpudomctl trace: into which file? Try 'gpudomctl trace --help'.\n",
			    stderr);
			return -1;
		}
		options->file = operands[--count];
	}
	options->guests = operands;
	options->guest_count = count;
	if (*verb < SAVE || !count)
		return 0;
	fprintf(stderr, "gpudomctl trace: what is '%s'?\n", operands[0]);
	return -1;
}

/* 1: go on; 0: all is done; -1: said what is wrong. */
static int parse(struct trace_options *options, int argc, char **argv, enum verb *verb)
{
	enum { OPT_CONTROL = 256, OPT_SECONDS, OPT_HELP };
	static const struct option long_options[] = {
		{ "control", required_argument, NULL, OPT_CONTROL },
		{ "seconds", required_argument, NULL, OPT_SECONDS },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};
	unsigned long seconds;
	char *end;
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONTROL:
			options->control_path = optarg;
			break;
		case OPT_SECONDS:
			seconds = strtoul(optarg, &end, 10);
			if (*optarg < '0' || *optarg > '9' || *end || seconds < 1 ||
			    seconds > TRACING_SECONDS_MAX) {
				fprintf(stderr,
				    "gpudomctl trace: --seconds must be 1 to %d, not '%s'\n",
				    TRACING_SECONDS_MAX, optarg);
				return -1;
			}
			options->seconds = (unsigned)seconds;
			break;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudomctl trace --help'.\n", stderr);
			return -1;
		}
	}
	return parse_operands(options, argc - optind, argv + optind, verb) < 0 ? -1 : 1;
}

int ctl_trace(int argc, char **argv)
{
	struct trace_options options = { .seconds = SECONDS_DEFAULT };
	struct ctl_client client;
	enum verb verb;
	int r = parse(&options, argc, argv, &verb);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	r = ctl_client_open(&client, options.control_path);
	if (r)
		return r;
	r = run(&client, &options, verb);
	ctl_client_close(&client);
	return r;
}
