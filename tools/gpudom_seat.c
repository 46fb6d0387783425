/* SPDX-License-Identifier: MIT */
/* gpudom-seat: shows guests on this domain's screens, and gives them its keyboards. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/telemetry.h"
#include "render/kms.h"
#include "render/seat.h"
#include "render/seat_config.h"
#include "render/seat_input.h"
#include "render/seat_libinput.h"
#include "render/seat_manager.h"
#include "render/seat_memory.h"
#include "render/seat_session.h"
#include "render/wayland.h"
#include "tools/version.h"

enum seat_backend_kind { BACKEND_AUTO, BACKEND_KMS, BACKEND_WAYLAND, BACKEND_MEMORY };

struct gpudom_seat_options {
	enum seat_backend_kind backend;
	const char *config_path; /* NULL: SEAT_CONFIG_PATH, if there is one */
	const char *socket_path;
	const char *card_path; /* NULL: all cards */
	enum log_level log_level;
	bool check_config;
	struct seat_memory_output outputs[SEAT_OUTPUTS_MAX]; /* of memory, windows */
	unsigned output_count;
	unsigned planes;
};

struct gpudom_seat {
	struct gpudom_seat_options options;
	struct seat_config config;
	sd_event *event;
	struct seat_session *session;
	struct seat_backend *backend;
	struct seat_input *input;
	struct seat_libinput *libinput; /* NULL: without the machine's own devices */
	struct seat *seat;
	struct seat_manager *manager;
};

/* ------------------------------------------------------------------- options */

static const char help[] =
    "Usage: gpudom-seat [OPTION...]\n"
    "Shows guests' screens on this domain's outputs, and gives them its keyboards and mice.\n"
    "\n"
    "  --backend=KIND     kms, wayland: a window on your desktop, memory: nothing is to be seen;\n"
    "                     auto (default): wayland where $WAYLAND_DISPLAY is set, else kms\n"
    "  --device=PATH      the graphics card (all that there are)\n"
    "  --output=MODE      with wayland and memory: an output of WIDTHxHEIGHT[@HZ]; several options, several\n"
    "                     outputs (1920x1080@60)\n"
    "  --planes=N         with memory: layers that an output shows without composing (16)\n"
    "  --config=PATH      settings (" SEAT_CONFIG_PATH ")\n"
    "  --check-config     read the settings, say what is wrong with them, and end\n"
    "  --socket=PATH      where gpudomd introduces guests' devices (" SEAT_SOCKET_PATH ")\n"
    "  --log-level=LEVEL  error, warning, info (default), debug\n"
    "  --version  --help\n";

enum {
	OPT_BACKEND = 256,
	OPT_DEVICE,
	OPT_OUTPUT,
	OPT_PLANES,
	OPT_CONFIG,
	OPT_CHECK_CONFIG,
	OPT_SOCKET,
	OPT_LOG_LEVEL,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option long_options[] = {
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "planes", required_argument, NULL, OPT_PLANES },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static int parse_backend(const char *name, enum seat_backend_kind *kind)
{
	static const char *const names[] = { "auto", "kms", "wayland", "memory" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*kind = (enum seat_backend_kind)i;
		return 0;
	}
	fprintf(stderr, "gpudom-seat: --backend must be auto, kms, wayland or memory, not '%s'\n",
	    name);
	return -EINVAL;
}

static int parse_output(struct gpudom_seat_options *options, const char *text)
{
	struct seat_mode mode;

	if (options->output_count == SEAT_OUTPUTS_MAX) {
		fprintf(stderr, "gpudom-seat: %d outputs at most\n", SEAT_OUTPUTS_MAX);
		return -EINVAL;
	}
	if (seat_mode_parse(text, &mode) < 0) {
		fprintf(stderr,
		    "gpudom-seat: --output must be such as 1920x1080 or 1280x720@50, not '%s'\n",
		    text);
		return -EINVAL;
	}
	options->outputs[options->output_count++].mode = mode;
	return 0;
}

static int parse_planes(const char *text, unsigned *planes)
{
	char *end;
	const unsigned long value = strtoul(text, &end, 10);

	if (!*text || *end || !value || value > SEAT_LAYERS_MAX) {
		fprintf(stderr, "gpudom-seat: --planes must be 1 to %d, not '%s'\n",
		    SEAT_LAYERS_MAX, text);
		return -EINVAL;
	}
	*planes = (unsigned)value;
	return 0;
}

static int parse_log_level(const char *name, enum log_level *level)
{
	if (log_level_parse(name, level) == 0)
		return 0;
	fprintf(stderr,
	    "gpudom-seat: --log-level must be error, warning, info or debug, not '%s'\n", name);
	return -EINVAL;
}

/* 1: go on; 0: all is done; -EINVAL: said what is wrong. */
static int gpudom_seat_parse(struct gpudom_seat_options *options, int argc, char **argv)
{
	int opt, error = 0;

	while (!error && (opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_BACKEND:
			error = parse_backend(optarg, &options->backend);
			break;
		case OPT_DEVICE:
			options->card_path = optarg;
			break;
		case OPT_OUTPUT:
			error = parse_output(options, optarg);
			break;
		case OPT_PLANES:
			error = parse_planes(optarg, &options->planes);
			break;
		case OPT_CONFIG:
			options->config_path = optarg;
			break;
		case OPT_CHECK_CONFIG:
			options->check_config = true;
			break;
		case OPT_SOCKET:
			options->socket_path = optarg;
			break;
		case OPT_LOG_LEVEL:
			error = parse_log_level(optarg, &options->log_level);
			break;
		case OPT_VERSION:
			puts("gpudom-seat " GPUDOM_VERSION);
			return 0;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudom-seat --help'.\n", stderr);
			return -EINVAL;
		}
	}
	if (error)
		return error;
	if (optind < argc) {
		fprintf(
		    stderr, "gpudom-seat: what is '%s'? Try 'gpudom-seat --help'.\n", argv[optind]);
		return -EINVAL;
	}
	return 1;
}

/* ------------------------------------------------------------------- who talks to whom */

static void on_focus_changed(void *data, const char *guest)
{
	struct gpudom_seat *self = data;

	if (self->seat)
		seat_focus(self->seat, guest);
}

static void on_layout_changed(void *data)
{
	struct gpudom_seat *self = data;

	seat_input_set_layout(self->input, seat_get_layout(self->seat));
}

static void on_leds(void *data, uint32_t leds)
{
	struct gpudom_seat *self = data;

	if (self->libinput)
		seat_libinput_set_leds(self->libinput, leds);
}

static struct json_object *on_describe_devices(void *data)
{
	struct gpudom_seat *self = data;

	return self->libinput ? seat_libinput_describe(self->libinput) : NULL;
}

static void on_switch_terminal(void *data, unsigned terminal)
{
	struct gpudom_seat *self = data;
	int error = self->session ? seat_session_switch(self->session, terminal) : -ENOTSUP;

	if (error < 0)
		log_debug("cannot switch to terminal %u: %s", terminal, strerror(-error));
}

/* ------------------------------------------------------------------- signals */

static int on_end(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct gpudom_seat *self = data;

	log_info("%s: ending; guests go on unseen", strsignal((int)info->ssi_signo));
	return sd_event_exit(self->event, 0);
}

/* A file that is wrong changes nothing. */
static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct gpudom_seat *self = data;
	struct seat_config *config = malloc(sizeof(*config));

	sd_notifyf(
	    0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(telemetry_now() / 1000));
	if (config && seat_config_load(config, self->options.config_path) == 0) {
		self->config = *config;
		seat_input_configure(self->input, &self->config.input);
		if (self->libinput)
			seat_libinput_configure(
			    self->libinput, self->config.inputs, self->config.input_count);
		seat_reload(self->seat, &self->config);
		log_info("the settings have been read again");
	} else {
		log_error("the settings stay as they were");
	}
	free(config);
	sd_notify(0, "READY=1");
	return 0;
}

static int add_signals(struct gpudom_seat *self)
{
	sigset_t signals;
	int error;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	error = sd_event_add_signal(self->event, NULL, SIGTERM, on_end, self);
	if (error >= 0)
		error = sd_event_add_signal(self->event, NULL, SIGINT, on_end, self);
	if (error >= 0)
		error = sd_event_add_signal(self->event, NULL, SIGHUP, on_reload, self);
	if (error >= 0)
		error = sd_event_set_watchdog(self->event, true);
	return error;
}

/* ------------------------------------------------------------------- parts */

static int create_memory(struct gpudom_seat *self)
{
	static const struct seat_memory_output one = { .mode = { 1920, 1080, 60000, true } };
	const struct seat_memory_options options = {
		.event = self->event,
		.outputs = self->options.output_count ? self->options.outputs : &one,
		.output_count = self->options.output_count ? self->options.output_count : 1,
		.planes = self->options.planes,
	};

	return seat_memory_create(&options, &self->backend);
}

static int create_kms(struct gpudom_seat *self)
{
	int error = seat_session_create(self->event, &self->session);

	if (error < 0)
		return error;
	return kms_create(self->event, self->session, self->options.card_path, &self->backend);
}

static void on_windows_closed(void *data)
{
	struct gpudom_seat *self = data;

	log_info("no window is left: ending");
	sd_event_exit(self->event, 0);
}

static int create_windows(struct gpudom_seat *self)
{
	struct wayland_output outputs[SEAT_OUTPUTS_MAX] = { 0 };
	const struct wayland_options options = {
		.event = self->event,
		.outputs = outputs,
		.output_count = self->options.output_count,
		.closed = on_windows_closed,
		.data = self,
	};

	for (unsigned i = 0; i < self->options.output_count; i++) {
		outputs[i].width = self->options.outputs[i].mode.width;
		outputs[i].height = self->options.outputs[i].mode.height;
	}
	self->options.backend = BACKEND_WAYLAND;
	return wayland_create(&options, &self->backend);
}

static int create_backend(struct gpudom_seat *self)
{
	switch (self->options.backend) {
	case BACKEND_MEMORY:
		return create_memory(self);
	case BACKEND_WAYLAND:
		return create_windows(self);
	case BACKEND_AUTO:
		return getenv("WAYLAND_DISPLAY") ? create_windows(self) : create_kms(self);
	default:
		return create_kms(self);
	}
}

static int create_input(struct gpudom_seat *self)
{
	const struct seat_input_options options = {
		.event = self->event,
		.config = self->config.input,
		.listener = { .focus_changed = on_focus_changed,
		    .leds = on_leds,
		    .switch_terminal = on_switch_terminal,
		    .data = self },
	};
	int error = seat_input_create(&options, &self->input);

	if (error < 0)
		log_error("cannot route input: %s", strerror(-error));
	else if (self->options.backend == BACKEND_WAYLAND)
		wayland_set_input(self->backend, self->input);
	return error;
}

static int create_seat(struct gpudom_seat *self)
{
	const struct seat_options options = {
		.event = self->event,
		.backend = self->backend,
		.config = &self->config,
	};
	const struct seat_listener listener = { .layout_changed = on_layout_changed, .data = self };
	int error = seat_create(&options, &self->seat);

	if (error < 0) {
		log_error("cannot show anything: %s", strerror(-error));
		return error;
	}
	seat_set_listener(self->seat, &listener);
	on_layout_changed(self);
	return 0;
}

/* Screens are shown on without, too. */
static void create_libinput(struct gpudom_seat *self)
{
	const struct seat_libinput_options options = {
		.event = self->event,
		.session = self->session,
		.input = self->input,
		.rules = self->config.inputs,
		.rule_count = self->config.input_count,
	};

	if (self->session)
		seat_libinput_create(&options, &self->libinput);
}

static int gpudom_seat_set_up(struct gpudom_seat *self)
{
	struct seat_manager_options options = { .path = self->options.socket_path };
	int error = sd_event_new(&self->event);

	if (error >= 0)
		error = add_signals(self);
	if (error < 0) {
		log_error("cannot make an event loop: %s", strerror(-error));
		return error;
	}
	error = create_backend(self);
	if (error == 0)
		error = create_input(self);
	if (error == 0)
		error = create_seat(self);
	if (error < 0)
		return error;
	create_libinput(self);
	options.event = self->event;
	options.seat = self->seat;
	options.input = self->input;
	options.describe_devices = on_describe_devices;
	options.data = self;
	return seat_manager_create(&options, &self->manager);
}

static void gpudom_seat_finish(struct gpudom_seat *self)
{
	seat_manager_destroy(self->manager);
	seat_libinput_destroy(self->libinput);
	seat_destroy(self->seat);
	self->seat = NULL;
	if (self->backend && self->options.backend == BACKEND_WAYLAND)
		wayland_set_input(self->backend, NULL);
	seat_input_destroy(self->input);
	if (self->backend)
		self->backend->impl->destroy(self->backend);
	seat_session_destroy(self->session);
	sd_event_unref(self->event);
}

int main(int argc, char **argv)
{
	static struct gpudom_seat self = {
		.options = { .log_level = LOG_LEVEL_INFO, .socket_path = SEAT_SOCKET_PATH },
	};
	int r = gpudom_seat_parse(&self.options, argc, argv);

	if (r <= 0)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	log_init(self.options.log_level, NULL);
	if (seat_config_load(&self.config, self.options.config_path) < 0)
		return EXIT_FAILURE;
	if (self.options.check_config)
		return EXIT_SUCCESS;
	r = gpudom_seat_set_up(&self);
	if (r == 0 && self.backend) {
		log_info("gpudom-seat " GPUDOM_VERSION " is ready for guests (%s, %s)",
		    self.backend->impl->name, self.options.socket_path);
		sd_notify(0, "READY=1");
		r = sd_event_loop(self.event);
		if (r < 0)
			log_error("the event loop has failed: %s", strerror(-r));
		sd_notify(0, "STOPPING=1");
	}
	gpudom_seat_finish(&self);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
