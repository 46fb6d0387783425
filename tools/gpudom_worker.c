/* SPDX-License-Identifier: MIT */
/*
 * gpudom-worker: serves a virtio-gpu (or virtio-input) device of one guest to a vhost-user front
 * end. This is where renderer, display, device and transport are plugged together.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "backend/capset.h"
#include "backend/display_socket.h"
#include "backend/gpu.h"
#include "backend/log.h"
#include "backend/udmabuf.h"
#include "backend/vhost_user.h"
#include "render/headless.h"
#include "render/png.h"
#include "render/soft.h"
#include "render/virgl.h"
#include "tools/worker_control.h"
#include "tools/worker_grants.h"
#include "tools/worker_input.h"
#include "tools/worker_monitor.h"
#include "tools/worker_options.h"
#include "tools/worker_sandbox.h"
#include "tools/worker_seat.h"
#include "tools/worker_telemetry.h"
#include "xen/worker_message.h"

#define LAST_ONE_MS 500 /* may pass until a killed worker is gone */

struct worker {
	struct worker_options options;
	struct worker_monitor monitor; /* what we have no right to, it does */
	struct worker_sandbox sandbox;
	struct worker_grants grants;
	sd_event *event;
	struct renderer *renderer;
	struct display *display;
	struct virtio_device *device;
	struct worker_input input; /* of an input device, which has neither of the two */
	struct vhost_user *user;   /* NULL: nobody is connected */
	int listen_fd;             /* -1: none */
	struct udmabuf udmabuf;
	int gpu_fd; /* the front end's display socket that we don't use; -1: none */
	sd_event_source *listening;
	sd_event_source *fences;
	struct trace trace;
	struct worker_control control;
	struct worker_telemetry telemetry;
};

static bool worker_is_gpu(const struct worker *worker)
{
	return worker->options.device == SEAT_INPUT_KINDS;
}

/* ---------------------------------------------------------------- pictures and counters */

/* In a sandbox no file can be opened: the monitor gets the picture. */
static void worker_send_png(struct worker *worker, unsigned scanout)
{
	uint32_t width, height;
	void *pixels;
	int fd;

	if (headless_capture(worker->display, scanout, &width, &height, &pixels) < 0)
		return;
	fd = memfd_create("picture", MFD_CLOEXEC);
	if (fd < 0)
		log_error("cannot make a picture: %s", strerror(errno));
	else if (png_write_xrgb_fd(fd, width, height, pixels, (size_t)width * 4) == 0)
		worker_monitor_send_picture(&worker->monitor, scanout, fd);
	if (fd >= 0)
		close(fd);
	free(pixels);
}

static void worker_write_pngs(struct worker *worker)
{
	const struct worker_options *options = &worker->options;
	char *path;

	if (!options->png_dir || options->display != WORKER_DISPLAY_HEADLESS ||
	    !worker_is_gpu(worker))
		return;
	for (unsigned i = 0; i < options->scanouts; i++) {
		if (worker->monitor.fd >= 0) {
			worker_send_png(worker, i);
			continue;
		}
		if (asprintf(&path, "%s/scanout-%u.png", options->png_dir, i) < 0)
			return;
		if (headless_write_png(worker->display, i, path) == 0)
			log_info("wrote %s", path);
		free(path);
	}
}

static void worker_print_stats(struct worker *worker)
{
	struct gpu_statistics s;
	struct headless_stats shown = { 0 };
	char text[256];

	if (!worker_is_gpu(worker)) {
		worker_input_format_statistics(&worker->input, text, sizeof(text));
		puts(text);
		return;
	}
	gpu_get_statistics(worker->device, &s);
	if (worker->options.display == WORKER_DISPLAY_HEADLESS)
		headless_get_stats(worker->display, 0, &shown);
	printf(
	    "commands %llu errors %llu fences %llu frames %llu flushes %llu read-back %llu bytes\n",
	    (unsigned long long)s.commands, (unsigned long long)s.errors,
	    (unsigned long long)s.fences, (unsigned long long)s.frames,
	    (unsigned long long)shown.flushes, (unsigned long long)shown.bytes_read);
}

/* One line for scripts: counters since the start, but for those of what is there at present; the
 * queues' and the memory's begin with the connection. */
static void worker_log_statistics(struct worker *worker)
{
	const struct virtio_device *device = worker->device;
	const struct memory_statistics none = { 0 }, *m = &none;
	const char *kind = "none";
	unsigned long long requests = 0, interrupts = 0;
	struct gpu_statistics s;
	char text[256];

	if (!worker_is_gpu(worker)) {
		worker_input_format_statistics(&worker->input, text, sizeof(text));
		log_info("statistics: %s", text);
		return;
	}
	gpu_get_statistics(worker->device, &s);
	for (unsigned i = 0; device->queues && i < device->impl->queue_count; i++) {
		requests += device->queues[i].chains;
		interrupts += device->queues[i].calls;
	}
	if (device->memory) {
		m = &device->memory->statistics;
		kind = device->memory->impl->name;
	}
#define U(value) ((unsigned long long)(value))
	log_info("statistics: commands=%llu batches=%llu errors=%llu frames=%llu fences=%llu "
		 "fences_pending=%llu resources=%llu contexts=%llu host_bytes=%llu "
		 "backing_bytes=%llu requests=%llu interrupts=%llu memory=%s map_calls=%llu "
		 "unmap_calls=%llu copy_calls=%llu copy_segments=%llu pages_mapped=%llu maps=%llu "
		 "questions=%llu",
	    U(s.commands), U(s.batches), U(s.errors), U(s.frames), U(s.fences), U(s.fences_pending),
	    U(s.resources), U(s.contexts), U(s.host_bytes), U(s.backing_bytes), requests,
	    interrupts, kind, U(m->map_calls), U(m->unmap_calls), U(m->copy_calls), U(m->segments),
	    U(m->pages_mapped), U(m->maps), U(m->questions));
#undef U
}

/* ---------------------------------------------------------------- the connection */

static void worker_listen(struct worker *worker, bool listen)
{
	if (worker->listening)
		sd_event_source_set_enabled(worker->listening, listen ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void worker_on_gpu_socket(void *data, int fd)
{
	struct worker *worker = data;

	if (worker->display && worker->options.display == WORKER_DISPLAY_FRONTEND) {
		display_socket_set_fd(worker->display, fd);
		return;
	}
	/* Its window stays black; closed, QEMU would complain about it. */
	if (worker->gpu_fd >= 0)
		close(worker->gpu_fd);
	worker->gpu_fd = fd;
}

static void worker_disconnect(struct worker *worker)
{
	if (worker->user)
		worker_telemetry_disconnected(&worker->telemetry, worker->device);
	vhost_user_destroy(worker->user);
	worker->user = NULL;
	if (worker->display && worker->options.display == WORKER_DISPLAY_FRONTEND)
		display_socket_set_fd(worker->display, -1);
	if (worker->gpu_fd >= 0)
		close(worker->gpu_fd);
	worker->gpu_fd = -1;
}

static void worker_on_closed(void *data, int error)
{
	struct worker *worker = data;

	worker_disconnect(worker);
	if (worker->listen_fd < 0 || worker->options.once)
		sd_event_exit(worker->event, worker->listen_fd < 0 && error ? EXIT_FAILURE : 0);
	else
		worker_listen(worker, true);
}

/* Is @fd the connected socket that the command line promised? */
static bool is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

static int worker_serve(struct worker *worker, int fd)
{
	const struct vhost_user_options options = {
		.event = worker->event,
		.device = worker->device,
		.create_xen_memory = worker_grants_create_memory,
		.memory_data = &worker->grants,
		.gpu_socket = worker_on_gpu_socket,
		.closed = worker_on_closed,
		.data = worker,
	};
	int r = vhost_user_create(&options, fd, &worker->user);

	if (r < 0)
		log_error("cannot serve the connection: %s", strerror(-r));
	return r;
}

static int worker_on_connect(sd_event_source *source, int listen_fd, uint32_t events, void *data)
{
	struct worker *worker = data;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return 0; /* it went away again */
	if (worker_serve(worker, fd) < 0)
		close(fd);
	else
		worker_listen(worker, false); /* a second one waits for the first to end */
	return 0;
}

/* Is there a socket at @address that nobody listens on any more? Who was killed a moment ago still
 * may, until the kernel is done with it. */
static bool is_stale(const struct sockaddr_un *address)
{
	struct stat stat;
	bool stale;
	int fd;

	if (lstat(address->sun_path, &stat) < 0 || !S_ISSOCK(stat.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		stale = errno == ECONNREFUSED;
	else
		stale = poll(&(struct pollfd){ .fd = fd }, 1, LAST_ONE_MS) == 1;
	close(fd);
	return stale;
}

static int worker_open_socket(struct worker *worker)
{
	const char *path = worker->options.socket_path;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct sockaddr *const addr = (const struct sockaddr *)&address;
	int r;

	if (strlen(path) >= sizeof(address.sun_path)) {
		log_error("%s: the path of a socket has at most %zu bytes", path,
		    sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));
	worker->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (worker->listen_fd < 0)
		return -errno;
	r = bind(worker->listen_fd, addr, sizeof(address));
	if (r < 0 && errno == EADDRINUSE && is_stale(&address)) {
		unlink(path);
		r = bind(worker->listen_fd, addr, sizeof(address));
	}
	if (r < 0 || listen(worker->listen_fd, 1) < 0) {
		r = -errno;
		log_error("cannot listen on %s: %s", path, strerror(-r));
		close(worker->listen_fd);
		worker->listen_fd = -1;
		return r;
	}
	return 0;
}

/* ---------------------------------------------------------------- the event loop */

static int worker_on_signal(
    sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct worker *worker = data;

	if (info->ssi_signo == SIGUSR1)
		worker_write_pngs(worker);
	else if (info->ssi_signo == SIGUSR2)
		worker_log_statistics(worker);
	else
		sd_event_exit(worker->event, 0);
	return 0;
}

static int worker_on_fences(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker *worker = data;

	worker->renderer->impl->dispatch(worker->renderer);
	return 0;
}

/* Signals are blocked before any library starts a thread, which would take them otherwise. */
static int worker_catch_signals(struct worker *worker)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };
	sigset_t set;
	int r;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		r = sd_event_add_signal(worker->event, NULL, signals[i], worker_on_signal, worker);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---------------------------------------------------------------- what it is made of */

static int worker_create_renderer(struct worker *worker)
{
	const struct worker_options *options = &worker->options;
	const struct virgl_options virgl = {
		.egl = options->egl,
		.render_node = options->render_node,
		.capsets = options->capsets,
	};
	int r;

	if (options->renderer != WORKER_RENDERER_SOFT && options->capsets & CAPSETS_BUILT) {
		r = virgl_create(&virgl, &worker->renderer);
		if (r == 0 || options->renderer == WORKER_RENDERER_VIRGL)
			return r;
		log_warning("the guest gets 2D only: OpenGL does not work here");
	}
	return soft_create(&worker->renderer);
}

/* Says which of the capability sets that were asked for the guest does not find. */
static void worker_report_capsets(const struct worker *worker)
{
	uint32_t missing = worker->options.capsets_wanted, id, version, size;
	char names[CAPSET_NAMES_MAX], built[CAPSET_NAMES_MAX];

	for (uint32_t i = 0; worker->renderer->impl->get_capset_info(
				 worker->renderer, i, &id, &version, &size) == 0;
	     i++)
		missing &= ~(1u << id);
	if (!missing)
		return;
	capset_format(missing, names);
	capset_format(CAPSETS_BUILT, built);
	log_warning("the guest is not offered %s: this build has %s, the renderer is %s", names,
	    built, worker->renderer->impl->name);
}

static int worker_create_display(struct worker *worker)
{
	const struct worker_options *options = &worker->options;
	struct headless_options headless = {
		.event = worker->event,
		.screen_fd = options->screen_fd,
	};
	int r;

	if (options->display != WORKER_DISPLAY_HEADLESS) {
		r = display_socket_create(worker->event, &worker->display);
		if (r == 0 && options->display == WORKER_DISPLAY_SEAT)
			r = display_socket_set_fd(worker->display, options->seat_fd);
		return r;
	}
	memcpy(headless.modes, options->modes, sizeof(headless.modes));
	r = headless_create(&headless, &worker->display);
	if (r < 0 && headless.screen_fd >= 0) {
		log_warning("--screen-fd=%d is of no use: %s", headless.screen_fd, strerror(-r));
		headless.screen_fd = -1;
		r = headless_create(&headless, &worker->display);
	}
	return r;
}

static int worker_create_input(struct worker *worker)
{
	int r = worker_input_init(&worker->input, worker->event, worker->options.device);

	if (r < 0)
		return r;
	worker->device = worker->input.device;
	worker->device->trace = &worker->trace;
	if (worker->options.seat_fd < 0)
		return 0;
	return worker_input_set_seat(&worker->input, worker->options.seat_fd);
}

static int worker_create_gpu(struct worker *worker)
{
	const bool exports = worker->options.display != WORKER_DISPLAY_HEADLESS &&
			     !worker->options.no_udmabuf && udmabuf_open(&worker->udmabuf) == 0;
	const struct gpu_options options = {
		.renderer = worker->renderer,
		.display = worker->display,
		.scanouts = worker->options.scanouts,
		.limits = worker->options.limits,
		.edid = worker->options.edid,
		.telemetry = worker->telemetry.page,
		.guest = worker->options.guest,
		.udmabuf = exports ? &worker->udmabuf : NULL,
	};
	int fd, r;

	r = gpu_create(&options, &worker->device);
	if (r < 0)
		return r;
	worker->device->trace = &worker->trace;
	fd = worker->renderer->impl->get_fd(worker->renderer);
	if (fd < 0)
		return 0;
	return sd_event_add_io(
	    worker->event, &worker->fences, fd, EPOLLIN, worker_on_fences, worker);
}

static int worker_create_device(struct worker *worker)
{
	int r;

	if (!worker_is_gpu(worker))
		return worker_create_input(worker);
	r = worker_create_renderer(worker);
	if (r < 0)
		return r;
	worker_report_capsets(worker);
	r = worker_create_display(worker);
	return r < 0 ? r : worker_create_gpu(worker);
}

static void worker_on_limits(void *data, const struct gpu_limits *limits)
{
	struct worker *worker = data;

	if (worker_is_gpu(worker))
		gpu_set_limits(worker->device, limits);
}

static void worker_on_seat(void *data, int fd)
{
	struct worker *worker = data;

	if (!worker_is_gpu(worker)) {
		if (worker_input_set_seat(&worker->input, fd) < 0)
			close(fd);
	} else if (worker->options.display == WORKER_DISPLAY_SEAT) {
		display_socket_set_fd(worker->display, fd);
	} else {
		close(fd);
	}
}

/* What gpudomd says at run time. */
static int worker_listen_to_gpudomd(struct worker *worker)
{
	const struct worker_control_options options = {
		.event = worker->event,
		.trace = &worker->trace,
		.set_seat = worker_on_seat,
		.set_limits = worker_on_limits,
		.data = worker,
	};
	int r = worker_control_init(&worker->control, &options, worker->options.control_fd);

	if (r < 0)
		log_error("--control-fd=%d is not a socket: %s", worker->options.control_fd,
		    strerror(-r));
	return r;
}

/* ---------------------------------------------------------------- containment */

/* Standard input may be somebody's terminal, which can be written to as well. */
static void worker_leave_input(const int *ours, size_t count)
{
	int fd;

	for (size_t i = 0; i < count; i++)
		if (ours[i] == STDIN_FILENO)
			return;
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd > STDIN_FILENO) {
		dup2(fd, STDIN_FILENO);
		close(fd);
	}
}

/* An input device parses events of eight bytes and the rings that the monitor of a GPU's parses for
 * it: it is a monitor itself, and needs none. */
static bool worker_is_one_process(const struct worker *worker)
{
	return !worker_is_gpu(worker) &&
	       (!worker->options.grants_given || worker->options.grants == WORKER_GRANTS_DIRECT);
}

/* Goes on in the renderer alone (tools/worker_monitor.h). */
static int worker_contain(struct worker *worker)
{
	const struct worker_options *options = &worker->options;
	struct worker_monitor_options monitor = {
		.mode = options->sandbox,
		.guest = options->guest,
		.socket_path = options->socket_path,
		.png_dir = options->display == WORKER_DISPLAY_HEADLESS ? options->png_dir : NULL,
		.scanouts = options->scanouts,
	};
	const int ours[] = { options->fd, worker->listen_fd, options->telemetry_fd,
		options->screen_fd, options->control_fd, options->seat_fd };
	int r;

	if (options->sandbox == WORKER_SANDBOX_OFF)
		return 0;
	worker_leave_input(ours, sizeof(ours) / sizeof(ours[0]));
	worker_sandbox_close_all_but(ours, sizeof(ours) / sizeof(ours[0]));
	worker->sandbox = (struct worker_sandbox){
		.mode = options->sandbox,
		.limits = options->sandbox_limits,
		.listens = options->socket_path,
		.grants = options->grants == WORKER_GRANTS_DIRECT,
		.guest = options->guest,
	};
	worker->grants.mode = options->grants;
	if (worker_is_one_process(worker)) {
		worker->grants.mode = WORKER_GRANTS_DIRECT;
		r = worker_sandbox_unshare_self(&worker->sandbox.bits);
		return r < 0 ? r : worker_sandbox_begin(&worker->sandbox);
	}
	r = worker_grants_prepare(
	    &worker->grants, &monitor, options->domid, options->limits.command_bytes);
	if (r == 0)
		r = worker_monitor_start(&monitor, &worker->monitor, &worker->sandbox.bits);
	if (r == 0)
		r = worker_grants_attach(&worker->grants);
	return r < 0 ? r : worker_sandbox_begin(&worker->sandbox);
}

/* Nothing of the guest, or of the front end, has been read yet. */
static int worker_seal(struct worker *worker)
{
	int r;

	if (worker->monitor.fd < 0)
		sd_notify(0, "READY=1");
	if (worker->options.sandbox == WORKER_SANDBOX_OFF)
		return 0;
	r = worker_sandbox_seal(&worker->sandbox);
	worker->telemetry.page->sandbox = worker->sandbox.bits;
	if (r == 0 && worker->monitor.fd >= 0)
		worker_monitor_ready(&worker->monitor);
	return r;
}

/* Where nobody has introduced us to the seat */
static int worker_join_seat(struct worker *worker)
{
	struct worker_options *options = &worker->options;
	const struct worker_seat_options seat = { .path = options->seat_path,
		.guest = options->guest,
		.domid = options->domid,
		.kind = options->device };

	if (!options->seat_path || options->seat_fd >= 0 ||
	    (worker_is_gpu(worker) && options->display != WORKER_DISPLAY_SEAT))
		return 0;
	options->seat_fd = worker_seat_connect(&seat);
	return options->seat_fd < 0 ? options->seat_fd : 0;
}

static int worker_open(struct worker *worker)
{
	if (worker->options.socket_path)
		return worker_open_socket(worker);
	if (is_connected(worker->options.fd))
		return 0;
	log_error("--fd=%d is not a connected socket", worker->options.fd);
	return -ENOTCONN;
}

static int worker_init(struct worker *worker)
{
	int r;

	r = sd_event_new(&worker->event);
	if (r < 0)
		return r;
	r = worker_catch_signals(worker);
	if (r < 0)
		return r;
	r = worker_create_device(worker);
	if (r < 0)
		return r;
	r = worker_listen_to_gpudomd(worker);
	if (r < 0)
		return r;
	if (worker->listen_fd >= 0)
		return sd_event_add_io(worker->event, &worker->listening, worker->listen_fd,
		    EPOLLIN, worker_on_connect, worker);
	return worker_serve(worker, worker->options.fd);
}

static void worker_finish(struct worker *worker)
{
	worker_disconnect(worker);
	if (worker->device) {
		worker_write_pngs(worker);
		if (worker->options.stats)
			worker_print_stats(worker);
		worker_input_finish(&worker->input);
		worker->device->impl->destroy(worker->device);
	}
	sd_event_source_disable_unref(worker->fences);
	sd_event_source_disable_unref(worker->listening);
	if (worker->display)
		worker->display->impl->destroy(worker->display);
	if (worker->renderer)
		worker->renderer->impl->destroy(worker->renderer);
	udmabuf_close(&worker->udmabuf);
	if (worker->listen_fd >= 0) {
		if (worker->monitor.fd < 0)
			unlink(worker->options.socket_path);
		close(worker->listen_fd);
	}
	worker_control_finish(&worker->control);
	worker_grants_finish(&worker->grants);
	trace_stop(&worker->trace);
	worker_telemetry_finish(&worker->telemetry);
	sd_event_unref(worker->event);
}

/*
 * GL drivers keep compiled shaders in the user's cache, which other processes write, too: through
 * it, what one guest's worker compiled would run in another's, and a file that somebody cuts short
 * ends its readers by SIGBUS. So no cache, unless the environment says otherwise.
 */
static void worker_refuse_shader_cache(void)
{
	setenv("MESA_SHADER_CACHE_DISABLE", "true", 0);
	setenv("__GL_SHADER_DISK_CACHE", "0", 0);
}

int main(int argc, char **argv)
{
	struct worker worker = {
		.monitor.fd = -1, .listen_fd = -1, .gpu_fd = -1, .udmabuf.fd = -1
	};
	char subject[128];
	int r;

	r = worker_options_parse(&worker.options, argc, argv);
	if (r <= 0)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (worker.options.guest)
		snprintf(subject, sizeof(subject), "guest %s", worker.options.guest);
	log_init(worker.options.log_level, worker.options.guest ? subject : NULL);
	worker_refuse_shader_cache();
	worker_telemetry_init(&worker.telemetry, worker.options.telemetry_fd);

	r = worker_open(&worker);
	if (r == 0)
		r = worker_join_seat(&worker);
	if (r == 0)
		r = worker_contain(&worker);
	if (r == 0)
		r = worker_init(&worker);
	if (r >= 0)
		r = worker_seal(&worker);
	if (r < 0) {
		log_error("the worker does not start: %s", strerror(-r));
	} else {
		r = worker_telemetry_loop(&worker.telemetry, worker.event, worker.device);
		if (r < 0)
			log_error("the event loop failed: %s", strerror(-r));
	}
	worker_finish(&worker);
	if (r == -ENOMEM)
		return WORKER_EXIT_NO_MEMORY;
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
