/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_worker.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/display_socket.h"
#include "render/headless.h"
#include "render/soft.h"
#include "render/virgl.h"
#include "tests/loopback/loopback_guest.h"

static void fill_options(struct loopback_worker_options *options)
{
	struct gpu_limits *limits = &options->limits;
	const struct gpu_limits defaults = GPU_LIMITS_DEFAULT;

	if (options->scanouts == 0)
		options->scanouts = 1;
	if (options->modes[0].width == 0)
		for (unsigned i = 0; i < options->scanouts; i++)
			options->modes[i] = (struct display_mode){
				.enabled = true, .x = 1024 * i, .width = 1024, .height = 768
			};
#define DEFAULT(field) limits->field = limits->field ? limits->field : defaults.field
	DEFAULT(resources);
	DEFAULT(contexts);
	DEFAULT(fences);
	DEFAULT(host_bytes);
	DEFAULT(backing_bytes);
	DEFAULT(command_bytes);
	DEFAULT(attachments);
	DEFAULT(maps);
	DEFAULT(submissions);
#undef DEFAULT
}

/* ---------------------------------------------------------------- the thread */

static int handle_renderer(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct loopback_worker *worker = data;

	worker->renderer->impl->dispatch(worker->renderer);
	return 0;
}

static int handle_wake(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct loopback_worker *worker = data;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	pthread_mutex_lock(&worker->mutex);
	worker->call(worker, worker->call_data);
	worker->call = NULL;
	pthread_cond_signal(&worker->done);
	pthread_mutex_unlock(&worker->mutex);
	return 0;
}

static void handle_closed(void *data, int error)
{
	struct loopback_worker *worker = data;

	worker->end_of_connection = error;
	vhost_user_destroy(worker->user);
	worker->user = NULL;
}

static int plug_together(struct loopback_worker *worker)
{
	const struct loopback_worker_options *options = &worker->options;
	struct headless_options headless = { .screen_fd = -1 };
	struct virgl_options virgl = { .capsets = VIRGL_CAPSETS_ALL };
	int ret = sd_event_new(&worker->event);

	if (ret < 0)
		return ret;
	headless.event = worker->event;
	memcpy(headless.modes, options->modes, sizeof(headless.modes));
	ret = options->display_socket ? display_socket_create(worker->event, &worker->display)
				      : headless_create(&headless, &worker->display);
	if (ret < 0)
		return ret;
	ret = options->virgl ? virgl_create(&virgl, &worker->renderer)
			     : soft_create(&worker->renderer);
	if (ret < 0)
		return ret;
	struct gpu_options gpu = {
		.renderer = worker->renderer,
		.display = worker->display,
		.scanouts = options->scanouts,
		.limits = options->limits,
		.udmabuf = options->udmabuf,
		.telemetry = options->telemetry,
	};
	ret = gpu_create(&gpu, &worker->device);
	if (ret < 0)
		return ret;
	int fd = worker->renderer->impl->get_fd(worker->renderer);
	if (fd >= 0)
		ret = sd_event_add_io(worker->event, NULL, fd, EPOLLIN, handle_renderer, worker);
	if (ret >= 0)
		ret = sd_event_add_io(
		    worker->event, NULL, worker->wake_fd, EPOLLIN, handle_wake, worker);
	if (ret < 0)
		return ret;
	struct vhost_user_options user = {
		.event = worker->event,
		.device = worker->device,
		.closed = handle_closed,
		.data = worker,
	};
	ret = vhost_user_create(&user, worker->peer, &worker->user);
	if (ret == 0)
		worker->peer = -1;
	return ret;
}

static void take_apart(struct loopback_worker *worker)
{
	vhost_user_destroy(worker->user);
	if (worker->device)
		worker->device->impl->destroy(worker->device);
	if (worker->renderer)
		worker->renderer->impl->destroy(worker->renderer);
	if (worker->display)
		worker->display->impl->destroy(worker->display);
	sd_event_unref(worker->event);
	if (worker->peer >= 0)
		close(worker->peer);
}

static void *run(void *data)
{
	struct loopback_worker *worker = data;
	int ret = plug_together(worker);

	pthread_mutex_lock(&worker->mutex);
	worker->start_error = ret;
	pthread_cond_signal(&worker->done);
	pthread_mutex_unlock(&worker->mutex);
	if (ret == 0)
		sd_event_loop(worker->event);
	take_apart(worker);
	return NULL;
}

/* ---------------------------------------------------------------- from outside */

int loopback_worker_start(
    struct loopback_worker *worker, const struct loopback_worker_options *options)
{
	int pair[2];
	int ret;

	*worker = (struct loopback_worker){
		.socket = -1, .peer = -1, .wake_fd = -1, .start_error = 1, .end_of_connection = 1
	};
	if (options)
		worker->options = *options;
	fill_options(&worker->options);
	worker->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (worker->wake_fd < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		ret = -errno;
		goto close_wake;
	}
	worker->socket = pair[0];
	worker->peer = pair[1];
	pthread_mutex_init(&worker->mutex, NULL);
	pthread_cond_init(&worker->done, NULL);
	ret = -pthread_create(&worker->thread, NULL, run, worker);
	if (ret < 0) {
		close(worker->peer);
		goto close_socket;
	}
	pthread_mutex_lock(&worker->mutex);
	while (worker->start_error == 1)
		pthread_cond_wait(&worker->done, &worker->mutex);
	pthread_mutex_unlock(&worker->mutex);
	if (worker->start_error == 0)
		return 0;
	ret = worker->start_error;
	pthread_join(worker->thread, NULL);

close_socket:
	close(worker->socket);
	pthread_cond_destroy(&worker->done);
	pthread_mutex_destroy(&worker->mutex);
close_wake:
	close(worker->wake_fd);
	return ret;
}

void loopback_worker_call(struct loopback_worker *worker,
    void (*call)(struct loopback_worker *worker, void *data), void *data)
{
	pthread_mutex_lock(&worker->mutex);
	worker->call = call;
	worker->call_data = data;
	if (write(worker->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		loopback_die("cannot wake the worker: %s", strerror(errno));
	while (worker->call)
		pthread_cond_wait(&worker->done, &worker->mutex);
	pthread_mutex_unlock(&worker->mutex);
}

static void exit_loop(struct loopback_worker *worker, void *data)
{
	sd_event_exit(worker->event, 0);
}

void loopback_worker_stop(struct loopback_worker *worker)
{
	loopback_worker_call(worker, exit_loop, NULL);
	pthread_join(worker->thread, NULL);
	if (worker->socket >= 0)
		close(worker->socket);
	close(worker->wake_fd);
	pthread_cond_destroy(&worker->done);
	pthread_mutex_destroy(&worker->mutex);
}

static void get_statistics(struct loopback_worker *worker, void *data)
{
	gpu_get_statistics(worker->device, data);
}

struct gpu_statistics loopback_worker_statistics(struct loopback_worker *worker)
{
	struct gpu_statistics statistics;

	loopback_worker_call(worker, get_statistics, &statistics);
	return statistics;
}

struct capture {
	unsigned scanout;
	uint32_t *width, *height, **pixels;
	int ret;
};

static void capture(struct loopback_worker *worker, void *data)
{
	struct capture *c = data;
	void *pixels;

	c->ret = headless_capture(worker->display, c->scanout, c->width, c->height, &pixels);
	*c->pixels = c->ret == 0 ? pixels : NULL;
}

int loopback_worker_capture(struct loopback_worker *worker, unsigned scanout, uint32_t *width,
    uint32_t *height, uint32_t **pixels)
{
	struct capture c = {
		.scanout = scanout, .width = width, .height = height, .pixels = pixels
	};

	loopback_worker_call(worker, capture, &c);
	return c.ret;
}

static void set_modes(struct loopback_worker *worker, void *data)
{
	headless_set_modes(worker->display, data);
}

void loopback_worker_set_modes(
    struct loopback_worker *worker, const struct display_mode modes[DISPLAY_SCANOUTS_MAX])
{
	loopback_worker_call(worker, set_modes, (void *)modes);
}
