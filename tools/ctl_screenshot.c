/* SPDX-License-Identifier: MIT */
/* gpudomctl screenshot */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/screen.h"
#include "render/png.h"
#include "tools/ctl.h"
#include "tools/ctl_client.h"
#include "tools/ctl_file.h"
#include "tools/ctl_output.h"
#include "xen/control.h"

#define SIDE_MAX 16384 /* pixels of a picture's side */

struct screenshot_options {
	const char *control_path, *path;
	char *guest; /* without the output */
	unsigned output;
	long device; /* -1: the first */
};

static const char help[] =
    "Usage: gpudomctl screenshot [OPTION...] GUEST[:OUTPUT] FILE.png\n"
    "Writes what is on a guest's screen, with its cursor, also while the guest or its worker hangs.\n"
    "Where gpudom-seat shows the guest, it is what a person sees there.\n"
    "GUEST is a name or a domain id, OUTPUT a number (0); '-' for FILE is standard output.\n"
    "\n"
    "  --device=DEVID  where the guest has several GPUs\n"
    "  --control=PATH  gpudomd's socket (" CONTROL_PATH ")\n"
    "  --help\n"
    "\n"
    "Exit status: 0 done, 1 there is no such guest, or nothing was shown there yet, 2 gpudomd cannot\n"
    "be reached, 3 wrong options, or FILE cannot be written.\n";

enum { OPT_CONTROL = 256, OPT_DEVICE, OPT_HELP };

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* -1: it is no number up to @max. */
static long parse_number(const char *text, long max)
{
	char *end;
	long value = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && value <= max ? value : -1;
}

/* 1: go on; 0: all is done; -1: said what is wrong. */
static int screenshot_parse(struct screenshot_options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONTROL:
			options->control_path = optarg;
			break;
		case OPT_DEVICE:
			options->device = parse_number(optarg, UINT16_MAX);
			if (options->device >= 0)
				break;
			fputs("gpudomctl screenshot: --device must be a number\n", stderr);
			return -1;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudomctl screenshot --help'.\n", stderr);
			return -1;
		}
	}
	if (argc - optind != 2) {
		fputs(
		    "gpudomctl screenshot: it takes a guest and a file. Try 'gpudomctl screenshot "
		    "--help'.\n",
		    stderr);
		return -1;
	}
	options->path = argv[optind + 1];
	return ctl_parse_output("screenshot", argv[optind], &options->guest, &options->output) < 0
		   ? -1
		   : 1;
}

static int screenshot_write(
    const char *path, uint32_t width, uint32_t height, const void *pixels, size_t stride)
{
	struct ctl_file file;
	int error;

	if (ctl_file_begin(&file, path) < 0)
		return CTL_EXIT_ERROR;
	error = png_write_xrgb_fd(fileno(file.file), width, height, pixels, stride);
	if (!error)
		return ctl_file_commit(&file) < 0 ? CTL_EXIT_ERROR : 0;
	ctl_file_abort(&file);
	fprintf(stderr, "gpudomctl: cannot write %s: %s\n", path, strerror(-error));
	return CTL_EXIT_ERROR;
}

/* @fd is a file that a hostile guest's worker may have written: screen_capture() is careful. */
static int screenshot_save(const struct screenshot_options *options, int fd)
{
	uint32_t width, height;
	void *pixels;
	int status, error = screen_capture(fd, options->output, &width, &height, &pixels);

	if (error == -ENOENT)
		fprintf(stderr, "gpudomctl: nothing was shown on output %u of guest %s yet\n",
		    options->output, options->guest);
	else if (error == -EPROTO)
		fprintf(stderr,
		    "gpudomctl: the screen of guest %s makes no sense: its worker is another version's, "
		    "or was taken over\n",
		    options->guest);
	else if (error)
		fprintf(stderr, "gpudomctl: cannot read the screen: %s\n", strerror(-error));
	if (error)
		return CTL_EXIT_REFUSED;
	status = screenshot_write(options->path, width, height, pixels, (size_t)width * 4);
	free(pixels);
	return status;
}

static uint64_t number_of(struct json_object *object, const char *member)
{
	struct json_object *value;

	return json_object_object_get_ex(object, member, &value) ? json_object_get_uint64(value)
								 : 0;
}

/* What the seat has drawn for us alone: rows in a file, as its sizes say if they are true. */
static int screenshot_save_rows(
    const struct screenshot_options *options, struct json_object *sizes, int fd)
{
	const uint64_t width = number_of(sizes, "width"), height = number_of(sizes, "height");
	const uint64_t stride = number_of(sizes, "stride");
	struct stat file;
	uint8_t *pixels = NULL;
	uint64_t size = 0, done = 0;
	ssize_t n = 1;
	int status;

	if (width && height && width <= SIDE_MAX && height <= SIDE_MAX && stride >= width * 4 &&
	    stride <= SIDE_MAX * 16)
		size = stride * height;
	if (size && fstat(fd, &file) == 0 && file.st_size >= 0 && (uint64_t)file.st_size >= size)
		pixels = malloc(size);
	while (pixels && n > 0 && done < size) {
		n = pread(fd, pixels + done, size - done, (off_t)done);
		done += n > 0 ? (uint64_t)n : 0;
	}
	if (!pixels || done < size) {
		free(pixels);
		fputs("gpudomctl: the seat's picture makes no sense\n", stderr);
		return CTL_EXIT_REFUSED;
	}
	status = screenshot_write(
	    options->path, (uint32_t)width, (uint32_t)height, pixels, (size_t)stride);
	free(pixels);
	return status;
}

static int screenshot_ask(
    const struct screenshot_options *options, struct json_object **result, int *fd)
{
	struct json_object *request = ctl_client_request("screen", options->guest);
	struct ctl_client client;
	int status = ctl_client_open(&client, options->control_path);

	json_object_object_add(request, "output", json_object_new_int((int)options->output));
	if (options->device >= 0)
		json_object_object_add(request, "device", json_object_new_int64(options->device));
	if (status) {
		json_object_put(request);
		return status;
	}
	status = ctl_client_ask(&client, request, result, fd);
	ctl_client_close(&client);
	if (status)
		return status;
	if (*fd >= 0)
		return 0;
	json_object_put(*result);
	fputs("gpudomctl: gpudomd has passed no file\n", stderr);
	return CTL_EXIT_ERROR;
}

int ctl_screenshot(int argc, char **argv)
{
	struct screenshot_options options = { .device = -1 };
	struct json_object *result;
	int fd = -1, r = screenshot_parse(&options, argc, argv);

	if (r <= 0)
		return r < 0 ? CTL_EXIT_ERROR : 0;
	log_init(LOG_LEVEL_WARNING, NULL);
	r = screenshot_ask(&options, &result, &fd);
	if (r)
		return r;
	if (json_object_object_get_ex(result, "source", NULL))
		r = screenshot_save_rows(&options, result, fd);
	else
		r = screenshot_save(&options, fd);
	json_object_put(result);
	close(fd);
	return r;
}
