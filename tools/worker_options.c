/* SPDX-License-Identifier: MIT */
#include "tools/worker_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/capset.h"
#include "tools/version.h"

#define MODE_SIZE_MAX 16384
#define REFRESH_MAX 1000 /* Hz */
#define DOMID_MAX 0x7fef /* those above are reserved */

enum {
	OPT_SOCKET_PATH = 256,
	OPT_FD,
	OPT_ONCE,
	OPT_DEVICE,
	OPT_SEAT,
	OPT_SEAT_FD,
	OPT_RENDERER,
	OPT_VIRGL,
	OPT_EGL,
	OPT_RENDER_NODE,
	OPT_CAPSETS,
	OPT_DISPLAY,
	OPT_NO_UDMABUF,
	OPT_SCANOUTS,
	OPT_MODE,
	OPT_REFRESH,
	OPT_SIZE_MM,
	OPT_EDID_NAME,
	OPT_EDID_VENDOR,
	OPT_EDID_PRODUCT,
	OPT_EDID_SERIAL,
	OPT_PNG_DIR,
	OPT_LIMIT_RESOURCES,
	OPT_LIMIT_CONTEXTS,
	OPT_LIMIT_FENCES,
	OPT_LIMIT_HOST_BYTES,
	OPT_LIMIT_BACKING_BYTES,
	OPT_LIMIT_COMMAND_BYTES,
	OPT_SANDBOX,
	OPT_LIMIT_MEMORY,
	OPT_LIMIT_FILES,
	OPT_LIMIT_CPU,
	OPT_DOMID,
	OPT_GRANTS,
	OPT_LIMIT_ATTACHMENTS,
	OPT_LIMIT_MAPS,
	OPT_LIMIT_SUBMISSIONS,
	OPT_LIMIT_FRAME_RATE,
	OPT_LIMIT_GPU_TIME,
	OPT_GUEST,
	OPT_TELEMETRY_FD,
	OPT_SCREEN_FD,
	OPT_CONTROL_FD,
	OPT_STATS,
	OPT_LOG_LEVEL,
	OPT_PRINT_CAPABILITIES,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET_PATH },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "seat", required_argument, NULL, OPT_SEAT },
	{ "seat-fd", required_argument, NULL, OPT_SEAT_FD },
	{ "renderer", required_argument, NULL, OPT_RENDERER },
	{ "virgl", no_argument, NULL, OPT_VIRGL },
	{ "egl", required_argument, NULL, OPT_EGL },
	{ "render-node", required_argument, NULL, OPT_RENDER_NODE },
	{ "capsets", required_argument, NULL, OPT_CAPSETS },
	{ "display", required_argument, NULL, OPT_DISPLAY },
	{ "no-udmabuf", no_argument, NULL, OPT_NO_UDMABUF },
	{ "scanouts", required_argument, NULL, OPT_SCANOUTS },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "refresh", required_argument, NULL, OPT_REFRESH },
	{ "size-mm", required_argument, NULL, OPT_SIZE_MM },
	{ "edid-name", required_argument, NULL, OPT_EDID_NAME },
	{ "edid-vendor", required_argument, NULL, OPT_EDID_VENDOR },
	{ "edid-product", required_argument, NULL, OPT_EDID_PRODUCT },
	{ "edid-serial", required_argument, NULL, OPT_EDID_SERIAL },
	{ "png-dir", required_argument, NULL, OPT_PNG_DIR },
	{ "limit-resources", required_argument, NULL, OPT_LIMIT_RESOURCES },
	{ "limit-contexts", required_argument, NULL, OPT_LIMIT_CONTEXTS },
	{ "limit-fences", required_argument, NULL, OPT_LIMIT_FENCES },
	{ "limit-host-bytes", required_argument, NULL, OPT_LIMIT_HOST_BYTES },
	{ "limit-backing-bytes", required_argument, NULL, OPT_LIMIT_BACKING_BYTES },
	{ "limit-command-bytes", required_argument, NULL, OPT_LIMIT_COMMAND_BYTES },
	{ "sandbox", required_argument, NULL, OPT_SANDBOX },
	{ "limit-memory", required_argument, NULL, OPT_LIMIT_MEMORY },
	{ "limit-files", required_argument, NULL, OPT_LIMIT_FILES },
	{ "limit-cpu", required_argument, NULL, OPT_LIMIT_CPU },
	{ "domid", required_argument, NULL, OPT_DOMID },
	{ "grants", required_argument, NULL, OPT_GRANTS },
	{ "limit-attachments", required_argument, NULL, OPT_LIMIT_ATTACHMENTS },
	{ "limit-maps", required_argument, NULL, OPT_LIMIT_MAPS },
	{ "limit-submissions", required_argument, NULL, OPT_LIMIT_SUBMISSIONS },
	{ "limit-frame-rate", required_argument, NULL, OPT_LIMIT_FRAME_RATE },
	{ "limit-gpu-time", required_argument, NULL, OPT_LIMIT_GPU_TIME },
	{ "guest", required_argument, NULL, OPT_GUEST },
	{ "telemetry-fd", required_argument, NULL, OPT_TELEMETRY_FD },
	{ "screen-fd", required_argument, NULL, OPT_SCREEN_FD },
	{ "control-fd", required_argument, NULL, OPT_CONTROL_FD },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "print-capabilities", no_argument, NULL, OPT_PRINT_CAPABILITIES },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static const char help[] =
    "Usage: gpudom-worker --socket-path=PATH [OPTION...]\n"
    "A vhost-user back end: a virtio-gpu or virtio-input device for one guest.\n"
    "\n"
    "Connection\n"
    "  --socket-path=PATH      listen there; one connection after another\n"
    "  --once                  ... but end after the first\n"
    "  --fd=N                  serve the connected socket N, and end with it\n"
    "  --device=KIND           gpu (default), keyboard, mouse, pointer, touch, tablet, switch\n"
    "  --seat=PATH             the socket of gpudom-seat, which has the screens and input\n"
    "\n"
    "Rendering\n"
#if WITH_VIRGL
    "  --renderer=NAME         auto (virgl, else soft), virgl (OpenGL), soft (2D only)\n"
    "  --egl=NAME              auto, gbm, device, surfaceless: where GL contexts come from\n"
    "  --render-node=PATH      the GPU, such as /dev/dri/renderD128\n"
#else
    "  --renderer=NAME         auto, soft: 2D only (this build has no virgl)\n"
    "  --egl=NAME, --render-node=PATH  have no effect in this build\n"
#endif
    "  --capsets=NAME[,NAME]   what the guest may use (default: all that there is), of\n"
    "                          " CAPSET_NAMES "\n"
    "\n"
    "Display\n"
    "  --display=NAME          headless, frontend: the window of the front end (QEMU), or seat\n"
    "  --no-udmabuf            copy frames that are in memory to the seat, for comparing\n"
    "  --scanouts=N            outputs of a headless display, 1 to 16 (default 1)\n"
    "  --mode=WxH[@HZ]         of the first output, given again of the next (1024x768)\n"
    "  --refresh=HZ            of modes without one; 0: as fast as the guest can (60)\n"
    "  --size-mm=WxH           of the first output, given again of the next (unknown)\n"
    "  --edid-name=NAME  --edid-vendor=ABC  --edid-product=N  --edid-serial=N\n"
    "                          what the monitors say that they are\n"
    "  --png-dir=DIR           write DIR/scanout-N.png on SIGUSR1 and at the end\n"
    "\n"
    "Limits (what exceeds one is answered \"out of memory\"; sizes take K, M, G)\n"
    "  --limit-resources=N  --limit-contexts=N  --limit-attachments=N  --limit-fences=N\n"
    "  --limit-host-bytes=SIZE     of all resources\n"
    "  --limit-backing-bytes=SIZE  of the guest's pages that are mapped at a time\n"
    "  --limit-maps=N              resources with such pages\n"
    "  --limit-command-bytes=SIZE  of one request\n"
    "Caps (what exceeds one waits; \"off\": none)\n"
    "  --limit-submissions=N       command streams that the GPU has not finished\n"
    "  --limit-frame-rate=HZ       flushes of each output\n"
    "  --limit-gpu-time=PERCENT    of the time with work on the GPU\n"
    "\n"
    "Containment\n"
    "  --sandbox=MODE          on, strict (not without all of it), off, log (refuses nothing)\n"
    "  --limit-memory=SIZE     private memory of the process (8G)\n"
    "  --limit-files=N         descriptors (1024)\n"
    "  --limit-cpu=SECONDS     CPU time until it is ended (0: no limit)\n"
    "  --domid=N               of the Xen guest whose grants may be mapped\n"
    "\n"
    "Of gpudomd (gpudomd(8); files in memory, and a socket)\n"
    "  --telemetry-fd=N  --screen-fd=N  --control-fd=N  --seat-fd=N\n"
    "\n"
    "  --guest=NAME            stands in front of each line of the log\n"
    "  --stats                 a line of counters at the end\n"
    "  --log-level=LEVEL       error, warning, info (default), debug\n"
    "  --print-capabilities    for managers, as JSON\n"
    "  --version  --help\n";

/* QEMU's docs/interop/vhost-user.json; "capsets" is ours. */
static const char capabilities[] = "{\n"
				   "  \"type\": \"gpu\",\n"
#if WITH_VIRGL
				   "  \"features\": [ \"render-node\", \"virgl\" ],\n"
				   "  \"capsets\": [ \"virgl\", \"virgl2\" ]\n"
#else
				   "  \"features\": [],\n"
				   "  \"capsets\": []\n"
#endif
				   "}\n";

/* ---------------------------------------------------------------- values */

static const char *option_name(int opt)
{
	const struct option *o = long_options;

	while (o->name && o->val != opt)
		o++;
	return o->name ? o->name : "?";
}

static int bad_value(int opt, const char *value, const char *expected)
{
	fprintf(stderr, "gpudom-worker: --%s=%s: %s expected\n", option_name(opt), value, expected);
	return -EINVAL;
}

/* The position of @value among @names, which end with NULL. */
static int parse_name(int opt, const char *value, const char *const *names, const char *expected)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(value, names[i]) == 0)
			return i;
	return bad_value(opt, value, expected);
}

/* A number up to @max, decimal, with K, M or G where @sizes. */
static int parse_number(int opt, const char *value, uint64_t max, bool sizes, uint64_t *number)
{
	unsigned long long n;
	unsigned shift = 0;
	char *end;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno || end == value || *value == '-')
		return bad_value(opt, value, "a number");
	if (sizes && *end) {
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
		end += shift != 0;
	}
	if (*end || n > max >> shift)
		return bad_value(opt, value, sizes ? "a size such as 256M" : "a smaller number");
	*number = (uint64_t)n << shift;
	return 0;
}

static int parse_u32(int opt, const char *value, uint32_t max, bool sizes, uint32_t *number)
{
	uint64_t n = 0;
	int r = parse_number(opt, value, max, sizes, &n);

	*number = (uint32_t)n;
	return r;
}

static int parse_fd(int opt, const char *value, int *fd)
{
	uint32_t n;
	int r = parse_u32(opt, value, 65535, false, &n);

	*fd = (int)n;
	return r < 0 ? r : 1;
}

/* Hertz, with a fraction if need be, to millihertz. */
static int parse_refresh(const char *value, uint32_t *mhz)
{
	char *end;
	double hz = strtod(value, &end);

	if (end == value || *end || !(hz >= 0 && hz <= REFRESH_MAX))
		return -EINVAL;
	*mhz = (uint32_t)(hz * 1000 + 0.5);
	return 0;
}

/* WxH[@HZ] */
static int parse_mode(int opt, const char *value, struct display_mode *mode, bool *has_refresh)
{
	static const char expected[] = "WIDTHxHEIGHT[@HZ]";
	unsigned long width, height;
	const char *second;
	char *end;

	width = strtoul(value, &end, 10);
	if (end == value || *end != 'x')
		return bad_value(opt, value, expected);
	second = end + 1;
	height = strtoul(second, &end, 10);
	if (end == second || (*end && *end != '@') || !width || !height || width > MODE_SIZE_MAX ||
	    height > MODE_SIZE_MAX)
		return bad_value(opt, value, expected);
	*has_refresh = *end == '@';
	if (*has_refresh && parse_refresh(end + 1, &mode->refresh) < 0)
		return bad_value(opt, value, expected);
	mode->width = (uint32_t)width;
	mode->height = (uint32_t)height;
	return 0;
}

/* ---------------------------------------------------------------- the command line */

/* What several options make together. */
struct parse_state {
	unsigned modes, sizes;
	bool has_refresh[DISPLAY_SCANOUTS_MAX];
	uint32_t refresh;
};

static int parse_limit(struct gpu_limits *limits, int opt, const char *value)
{
	const char *expected;
	int r = gpu_limits_set(limits, option_name(opt), value, &expected);

	return r < 0 ? bad_value(opt, value, expected) : 0;
}

static int parse_sandbox(struct worker_options *options, int opt, const char *value)
{
	static const char *const modes[] = { "on", "off", "strict", "log", NULL };
	static const char *const grants[] = { "relay", "ask", "direct", NULL };
	struct worker_sandbox_limits *limits = &options->sandbox_limits;
	uint32_t n = 0;
	int r;

	switch (opt) {
	case OPT_SANDBOX:
		r = parse_name(opt, value, modes, "on, off, strict or log");
		options->sandbox = (enum worker_sandbox_mode)r;
		return r;
	case OPT_GRANTS:
		r = parse_name(opt, value, grants, "relay, ask or direct");
		options->grants = (enum worker_grants_mode)r;
		options->grants_given = true;
		return r;
	case OPT_LIMIT_MEMORY:
		return parse_number(opt, value, UINT64_MAX, true, &limits->memory);
	case OPT_LIMIT_FILES:
		return parse_u32(opt, value, UINT32_MAX, false, &limits->files);
	case OPT_LIMIT_CPU:
		return parse_u32(opt, value, UINT32_MAX, false, &limits->cpu);
	default:
		r = parse_u32(opt, value, DOMID_MAX, false, &n);
		options->domid = (int)n;
		return r;
	}
}

static int parse_choice(struct worker_options *options, int opt, const char *value)
{
	static const char *const renderers[] = { "auto", "virgl", "soft", NULL };
	static const char *const egls[] = { "auto", "gbm", "device", "surfaceless", NULL };
	static const char *const displays[] = { "headless", "frontend", "seat", NULL };
	static const char *const levels[] = { "error", "warning", "info", "debug", NULL };
	int i;

	switch (opt) {
	case OPT_RENDERER:
		i = parse_name(opt, value, renderers, "auto, virgl or soft");
		options->renderer = (enum worker_renderer)i;
		return i;
	case OPT_EGL:
		i = parse_name(opt, value, egls, "auto, gbm, device or surfaceless");
		options->egl = (enum egl_choice)i;
		return i;
	case OPT_DISPLAY:
		i = parse_name(opt, value, displays, "headless, frontend or seat");
		options->display = (enum worker_display)i;
		return i;
	default:
		i = parse_name(opt, value, levels, "error, warning, info or debug");
		options->log_level = (enum log_level)i;
		return i;
	}
}

static int parse_monitor(
    struct worker_options *options, struct parse_state *state, int opt, const char *value)
{
	struct display_mode *mode = &options->modes[state->sizes];
	const char *expected;

	if (opt != OPT_SIZE_MM)
		return edid_identity_set(&options->edid, option_name(opt), value, &expected) < 0
			   ? bad_value(opt, value, expected)
			   : 0;
	if (state->sizes == DISPLAY_SCANOUTS_MAX)
		return bad_value(opt, value, "at most 16 sizes are");
	state->sizes++;
	if (edid_size_parse(value, &mode->width_mm, &mode->height_mm) < 0)
		return bad_value(opt, value, "WIDTHxHEIGHT in mm, 5 to 2550 each,");
	return 0;
}

static int parse_outputs(
    struct worker_options *options, struct parse_state *state, int opt, const char *value)
{
	switch (opt) {
	case OPT_SCANOUTS:
		return parse_u32(opt, value, DISPLAY_SCANOUTS_MAX, false, &options->scanouts);
	case OPT_MODE:
		if (state->modes == DISPLAY_SCANOUTS_MAX)
			return bad_value(opt, value, "at most 16 modes are");
		state->modes++;
		return parse_mode(opt, value, &options->modes[state->modes - 1],
		    &state->has_refresh[state->modes - 1]);
	default:
		if (parse_refresh(value, &state->refresh) < 0)
			return bad_value(opt, value, "a rate in Hz, 0 to 1000,");
		return 0;
	}
}

static int parse_device(struct worker_options *options, const char *value)
{
	options->device = seat_input_kind_parse(value);
	if (options->device != SEAT_INPUT_KINDS || strcmp(value, "gpu") == 0)
		return 1;
	return bad_value(
	    OPT_DEVICE, value, "gpu, keyboard, mouse, pointer, touch, tablet or switch");
}

static int parse_option(
    struct worker_options *options, struct parse_state *state, int opt, const char *value)
{
	int r;

	switch (opt) {
	case OPT_SOCKET_PATH:
		options->socket_path = value;
		return 1;
	case OPT_FD:
		return parse_fd(opt, value, &options->fd);
	case OPT_TELEMETRY_FD:
		return parse_fd(opt, value, &options->telemetry_fd);
	case OPT_SCREEN_FD:
		return parse_fd(opt, value, &options->screen_fd);
	case OPT_CONTROL_FD:
		return parse_fd(opt, value, &options->control_fd);
	case OPT_SEAT_FD:
		return parse_fd(opt, value, &options->seat_fd);
	case OPT_SEAT:
		options->seat_path = value;
		return 1;
	case OPT_DEVICE:
		return parse_device(options, value);
	case OPT_NO_UDMABUF:
		options->no_udmabuf = true;
		return 1;
	case OPT_ONCE:
		options->once = true;
		return 1;
	case OPT_VIRGL:
		options->renderer = WORKER_RENDERER_VIRGL;
		return 1;
	case OPT_RENDER_NODE:
		options->render_node = value;
		return 1;
	case OPT_CAPSETS:
		if (capset_parse(value, &options->capsets) < 0)
			return bad_value(opt, value, "names out of " CAPSET_NAMES);
		options->capsets_wanted = options->capsets;
		return 1;
	case OPT_PNG_DIR:
		options->png_dir = value;
		return 1;
	case OPT_GUEST:
		options->guest = value;
		return 1;
	case OPT_STATS:
		options->stats = true;
		return 1;
	case OPT_PRINT_CAPABILITIES:
		fputs(capabilities, stdout);
		return 0;
	case OPT_VERSION:
		puts("gpudom-worker " GPUDOM_VERSION);
		return 0;
	case OPT_HELP:
		fputs(help, stdout);
		return 0;
	case OPT_SCANOUTS:
	case OPT_MODE:
	case OPT_REFRESH:
		r = parse_outputs(options, state, opt, value);
		return r < 0 ? r : 1;
	case OPT_SIZE_MM:
	case OPT_EDID_NAME:
	case OPT_EDID_VENDOR:
	case OPT_EDID_PRODUCT:
	case OPT_EDID_SERIAL:
		r = parse_monitor(options, state, opt, value);
		return r < 0 ? r : 1;
	case OPT_SANDBOX:
	case OPT_LIMIT_MEMORY:
	case OPT_LIMIT_FILES:
	case OPT_LIMIT_CPU:
	case OPT_DOMID:
	case OPT_GRANTS:
		r = parse_sandbox(options, opt, value);
		return r < 0 ? r : 1;
	case OPT_RENDERER:
	case OPT_EGL:
	case OPT_DISPLAY:
	case OPT_LOG_LEVEL:
		r = parse_choice(options, opt, value);
		return r < 0 ? r : 1;
	case '?':
		fprintf(stderr, "Try 'gpudom-worker --help'.\n");
		return -EINVAL;
	default:
		r = parse_limit(&options->limits, opt, value);
		return r < 0 ? r : 1;
	}
}

/* Outputs stand side by side. */
static void lay_out(struct worker_options *options, const struct parse_state *state)
{
	uint32_t x = 0;

	if (!options->scanouts)
		options->scanouts = state->modes ? state->modes : 1;
	for (unsigned i = 0; i < options->scanouts; i++) {
		struct display_mode *mode = &options->modes[i];

		if (i >= state->modes) {
			mode->width = 1024;
			mode->height = 768;
		}
		if (!state->has_refresh[i])
			mode->refresh = state->refresh;
		mode->enabled = true;
		mode->x = x;
		x += mode->width;
	}
}

/* --display=seat has a seat, and --seat shows there. */
static void choose_seat(struct worker_options *options)
{
	if (options->seat_path && options->display == WORKER_DISPLAY_HEADLESS)
		options->display = WORKER_DISPLAY_SEAT;
	if (options->display == WORKER_DISPLAY_SEAT && !options->seat_path && options->seat_fd < 0)
		options->seat_path = SEAT_SOCKET_PATH;
}

static int check(const struct worker_options *options, const struct parse_state *state)
{
	if (options->renderer == WORKER_RENDERER_VIRGL && !WITH_VIRGL) {
		fprintf(stderr, "gpudom-worker: this build has no virgl (make WITH_VIRGL=0): use "
				"--renderer=soft, or another build\n");
		return -EINVAL;
	}
	if (!options->socket_path == (options->fd < 0)) {
		fprintf(stderr, "gpudom-worker: one of --socket-path and --fd is needed; "
				"try 'gpudom-worker --help'\n");
		return -EINVAL;
	}
	if (state->modes > options->scanouts) {
		fprintf(
		    stderr, "gpudom-worker: more modes than --scanouts=%u\n", options->scanouts);
		return -EINVAL;
	}
	if (options->png_dir && options->display != WORKER_DISPLAY_HEADLESS) {
		fprintf(stderr, "gpudom-worker: --png-dir needs --display=headless\n");
		return -EINVAL;
	}
	return 1;
}

int worker_options_parse(struct worker_options *options, int argc, char **argv)
{
	struct parse_state state = { .refresh = 60000 };
	int opt, r;

	*options = (struct worker_options){
		.fd = -1,
		.device = SEAT_INPUT_KINDS,
		.seat_fd = -1,
		.telemetry_fd = -1,
		.screen_fd = -1,
		.control_fd = -1,
		.capsets = CAPSETS_ALL,
		.limits = GPU_LIMITS_DEFAULT,
		.sandbox = WORKER_SANDBOX_DEFAULT,
		.sandbox_limits = WORKER_SANDBOX_LIMITS_DEFAULT,
		.domid = -1,
		.log_level = LOG_LEVEL_INFO,
	};
	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		r = parse_option(options, &state, opt, optarg);
		if (r <= 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "gpudom-worker: what is '%s'? Try 'gpudom-worker --help'\n",
		    argv[optind]);
		return -EINVAL;
	}
	if (options->device == SEAT_INPUT_KINDS)
		choose_seat(options);
	lay_out(options, &state);
	return check(options, &state);
}
