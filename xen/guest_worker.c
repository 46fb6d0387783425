/* SPDX-License-Identifier: MIT */
#include "xen/guest_worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "xen/memory_xen.h"
#include "xen/worker_process.h"

#define HELLO_USEC (120 * UINT64_C(1000000)) /* EGL's start can take its time */
#define ANSWER_USEC (30 * UINT64_C(1000000))

/* --------------------------------------------------------- for a successor of ours */

static void guest_worker_push(struct guest_worker *worker, int fd, const char *what)
{
	const struct guest_worker_options *options = &worker->options;

	if (fd >= 0)
		keep_push(options->keep, fd, "%u-%u-%s", options->domid, options->devid, what);
}

static int guest_worker_take(struct guest_worker *worker, const char *what)
{
	const struct guest_worker_options *options = &worker->options;

	return keep_take(options->keep, "%u-%u-%s", options->domid, options->devid, what);
}

static void guest_worker_drop(struct guest_worker *worker, const char *what)
{
	const struct guest_worker_options *options = &worker->options;

	keep_drop(options->keep, "%u-%u-%s", options->domid, options->devid, what);
}

/* ------------------------------------------------------------------ its end */

static void guest_worker_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void guest_worker_hang_up(struct guest_worker *worker)
{
	if (worker->frontend) {
		guest_worker_drop(worker, "worker");
		guest_worker_drop(worker, "channel");
	}
	frontend_destroy(worker->frontend);
	worker->frontend = NULL;
	worker->adopted = worker->ready = worker->stale = false;
	guest_worker_close(&worker->memory_fd);
	invalidations_end(&worker->invalidations);
}

static void guest_worker_end_process(struct guest_worker *worker)
{
	if (worker->process) {
		guest_worker_drop(worker, "pid");
		guest_worker_drop(worker, "control");
	}
	worker_process_destroy(worker->process);
	worker->process = NULL;
}

static void guest_worker_exited(void *data)
{
	struct guest_worker *worker = data;
	bool unexpected = worker->frontend != NULL;

	guest_worker_hang_up(worker);
	snprintf(
	    worker->last_end, sizeof(worker->last_end), "%s", worker_process_end(worker->process));
	worker->crashed = worker_process_crashed(worker->process) && !worker->rejected;
	worker->rejected = false;
	guest_worker_end_process(worker);
	if (unexpected)
		worker->options.lost(worker->options.data);
	worker->options.gone(worker->options.data);
}

static void guest_worker_failed(void *data, int error)
{
	struct guest_worker *worker = data;

	/* One that hangs up is at its end, which says more than that we make sure. */
	worker->rejected |= error != -ENOTCONN;
	guest_worker_hang_up(worker);
	if (worker->process && error == -ENOTCONN)
		worker_process_let_end(worker->process);
	else if (worker->process)
		worker_process_kill(worker->process);
	worker->options.lost(worker->options.data);
}

void guest_worker_kill(struct guest_worker *worker)
{
	worker->rejected = true;
	if (worker->process)
		worker_process_kill(worker->process);
}

int guest_worker_send(
    const struct guest_worker *worker, const struct worker_message *message, int fd)
{
	return worker->process ? worker_process_send(worker->process, message, fd) : -ENOTCONN;
}

void guest_worker_dismiss(struct guest_worker *worker)
{
	guest_worker_hang_up(worker);
	if (worker->process)
		worker_process_dismiss(worker->process);
}

void guest_worker_forget(struct guest_worker *worker)
{
	if (worker->inflight_fd >= 0)
		guest_worker_drop(worker, "inflight");
	guest_worker_close(&worker->inflight_fd);
}

/* ------------------------------------------------------------------ its start */

static void guest_worker_invalidated(void *data)
{
}

bool guest_worker_invalidate(struct guest_worker *worker, frontend_done done, void *data)
{
	/* With grants, the driver takes none back that we may have mapped. */
	if (worker->options.grants || !worker->frontend)
		return false;
	/* One that begins has mapped little or nothing yet; it hears of it in a moment. */
	worker->stale = !worker->ready;
	return worker->ready && invalidations_begin(&worker->invalidations, worker->frontend,
				    worker->options.domid, worker->options.name, done, data);
}

static void guest_worker_ready(void *data)
{
	struct guest_worker *worker = data;
	int fd = frontend_take_inflight_fd(worker->frontend);

	guest_worker_close(&worker->memory_fd);
	if (fd >= 0) {
		guest_worker_forget(worker);
		worker->inflight_fd = fd;
		guest_worker_push(worker, fd, "inflight");
	}
	/* The conversation is settled when all this is there. */
	if (!worker->adopted) {
		guest_worker_push(worker, frontend_socket(worker->frontend), "worker");
		guest_worker_push(worker, frontend_backend_socket(worker->frontend), "channel");
	}
	worker->ready = true;
	if (worker->stale)
		guest_worker_invalidate(worker, guest_worker_invalidated, NULL);
	worker->options.ready(worker->options.data);
}

static void guest_worker_config_changed(void *data)
{
	struct guest_worker *worker = data;

	worker->options.config_changed(worker->options.data);
}

static void guest_worker_queue_refused(void *data, unsigned index)
{
	struct guest_worker *worker = data;

	worker->options.queue_refused(worker->options.data, index);
}

static struct frontend_options guest_worker_frontend_options(struct guest_worker *worker)
{
	return (struct frontend_options){
		.name = worker->options.name,
		.limit = worker->options.limit,
		.event = worker->options.event,
		.queues = worker->options.queues,
		.queue_size = worker->options.queue_size,
		.hello_usec = HELLO_USEC,
		.answer_usec = ANSWER_USEC,
		.memory = memory_xen_region(worker->options.domid, worker->options.grants),
		.memory_fd = worker->memory_fd,
		.inflight_fd = worker->inflight_fd,
		.state = worker->options.state,
		.listener = {
			.ready = guest_worker_ready,
			.config_changed = guest_worker_config_changed,
			.queue_refused = guest_worker_queue_refused,
			.failed = guest_worker_failed,
			.data = worker,
		},
	};
}

static void guest_worker_describe(void *data, char *text, size_t size)
{
	struct guest_worker *worker = data;

	size_t length;

	worker->options.describe(worker->options.data, text, size);
	length = strlen(text);
	if (cgroup_was_oom_killed(worker->options.cgroup, worker->options.domid,
		worker->options.devid, &worker->oom_kills))
		snprintf(text + length, size - length, "; it was out of memory (memory-max)");
}

void guest_worker_policy_changed(struct guest_worker *worker)
{
	cgroup_set(worker->options.cgroup, worker->options.domid, worker->options.devid,
	    worker->options.policy);
}

static struct worker_process_options guest_worker_process_options(struct guest_worker *worker)
{
	return (struct worker_process_options){
		.path = worker->options.path,
		.name = worker->options.name,
		.limit = worker->options.limit,
		.guest = worker->options.guest,
		.grants = worker->options.grants,
		.domid = worker->options.domid,
		.arguments = worker->options.arguments,
		.option = worker->options.option,
		.descriptors = worker->options.descriptors,
		.descriptor_count = worker->options.descriptor_count,
		.cgroup_procs = -1,
		.event = worker->options.event,
		.describe = guest_worker_describe,
		.exited = guest_worker_exited,
		.data = worker,
	};
}

static int guest_worker_open_memory(struct guest_worker *worker)
{
	int fd =
	    memory_xen_open(worker->options.domid, worker->options.grants, worker->options.name);

	if (fd < 0)
		return fd;
	worker->memory_fd = fd;
	return 0;
}

int guest_worker_start(struct guest_worker *worker)
{
	struct worker_process_options process = guest_worker_process_options(worker);
	struct frontend_options frontend;
	int socket, error;

	error = guest_worker_open_memory(worker);
	if (error)
		return error;
	guest_worker_policy_changed(worker);
	process.cgroup_procs =
	    cgroup_open_procs(worker->options.cgroup, worker->options.domid, worker->options.devid);
	error = worker_process_create(&process, &socket, &worker->process);
	guest_worker_close(&process.cgroup_procs);
	if (error)
		goto error_memory;
	frontend = guest_worker_frontend_options(worker);
	error = frontend_create(&frontend, socket, &worker->frontend);
	if (error)
		goto error_process;
	guest_worker_push(worker, worker_process_pidfd(worker->process), "pid");
	guest_worker_push(worker, worker_process_control(worker->process), "control");
	return 0;

error_process:
	close(socket);
	worker_process_destroy(worker->process);
	worker->process = NULL;
error_memory:
	guest_worker_close(&worker->memory_fd);
	return error;
}

/* --------------------------------------------------------------- taking over */

int guest_worker_adopt(struct guest_worker *worker)
{
	const struct worker_process_options process = guest_worker_process_options(worker);
	int pidfd = guest_worker_take(worker, "pid");
	int control = guest_worker_take(worker, "control");
	int socket = guest_worker_take(worker, "worker");
	int backend_socket = guest_worker_take(worker, "channel");
	struct frontend_options frontend;
	int error = -ENOENT;

	worker->inflight_fd = guest_worker_take(worker, "inflight");
	if (pidfd >= 0)
		error = worker_process_adopt(&process, pidfd, control, &worker->process);
	if (error)
		goto error;
	guest_worker_policy_changed(worker);
	cgroup_was_oom_killed(worker->options.cgroup, worker->options.domid, worker->options.devid,
	    &worker->oom_kills);
	if (socket < 0 || !worker->options.state->settled)
		goto kill; /* in the middle of a command: nobody knows how far it is */
	frontend = guest_worker_frontend_options(worker);
	if (frontend_adopt(&frontend, socket, backend_socket, &worker->frontend) < 0)
		goto kill;
	/* What is said from now on, it hears after all that our predecessor has said. */
	worker->adopted = worker->ready = true;
	return 0;

kill:
	worker_process_kill(worker->process);
	pidfd = control = -1;
error:
	guest_worker_drop(worker, "worker");
	guest_worker_drop(worker, "channel");
	if (error) {
		guest_worker_drop(worker, "pid");
		guest_worker_drop(worker, "control");
	}
	guest_worker_close(&pidfd);
	guest_worker_close(&control);
	guest_worker_close(&socket);
	guest_worker_close(&backend_socket);
	return error;
}

void guest_worker_kill_orphan(struct guest_worker *worker)
{
	int pidfd = guest_worker_take(worker, "pid");

	guest_worker_drop(worker, "control");
	if (pidfd < 0)
		return;
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	guest_worker_close(&pidfd);
	guest_worker_drop(worker, "pid");
}

void guest_worker_release(struct guest_worker *worker)
{
	frontend_destroy(worker->frontend);
	worker->frontend = NULL;
	invalidations_end(&worker->invalidations);
	worker_process_release(worker->process);
	worker->process = NULL;
	guest_worker_close(&worker->memory_fd);
	guest_worker_close(&worker->inflight_fd);
}

/* ----------------------------------------------------------------- life time */

void guest_worker_init(struct guest_worker *worker, const struct guest_worker_options *options)
{
	*worker = (struct guest_worker){
		.options = *options,
		.memory_fd = -1,
		.inflight_fd = -1,
	};
}

void guest_worker_finish(struct guest_worker *worker)
{
	guest_worker_hang_up(worker);
	guest_worker_end_process(worker);
	guest_worker_forget(worker);
	cgroup_sweep(worker->options.cgroup);
}
