/* SPDX-License-Identifier: MIT */
#include "xen/guest_device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/config.h"
#include "xen/diagnose.h"
#include "xen/frontend.h"
#include "xen/gntdev.h"
#include "xen/irq.h"
#include "xen/memory_grant.h"
#include "xen/mmio.h"
#include "xen/worker_process.h"

#define GPU_QUEUES 2 /* control, cursor */
#define QUEUE_SIZE 256
#define HELLO_USEC (120 * UINT64_C(1000000)) /* EGL's start can take its time */
#define ANSWER_USEC (30 * UINT64_C(1000000))
#define HELD_MAX 128 /* one access for each vCPU (ioreq.c) */
#define FEATURES_NEEDED \
	((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM))

enum guest_device_state {
	DEVICE_STARTING, /* the first worker is on its way: accesses wait */
	DEVICE_SERVING,
	DEVICE_LOST,       /* the worker is gone or going; the guest is told that it must reset */
	DEVICE_RESTARTING, /* the guest has reset it: a new worker is on its way */
	DEVICE_ABSENT,     /* there never was one */
	DEVICE_STOPPING,
};

struct guest_device {
	struct guest_device_options options;
	struct discovery_device device;
	char *name; /* for the log */
	enum guest_device_state state;
	bool running;   /* DRIVER_OK has been passed on to the worker */
	bool restarted; /* for the reset that is pending: once is enough */
	bool claimed;

	struct log_limit limit; /* of lines that the guest can provoke */
	struct mmio mmio;
	struct mmio_state registers;
	struct irq_line irq;
	struct worker_process *worker;
	struct frontend *frontend;
	struct frontend_state frontend_state;
	int gntdev; /* on its way to the worker; -1: there */
	int kick_fds[GPU_QUEUES], call_fd, error_fd;
	bool kicks_bound[GPU_QUEUES];
	sd_event_source *call, *error;
	uint64_t calls_forwarded;

	int pending_vcpu;                   /* whose write ends with mmio_released(); -1: none */
	struct ioreq_access held[HELD_MAX]; /* waiting for the device, in order */
	unsigned held_count;
};

static bool guest_device_restart_worker(struct guest_device *device);

const struct discovery_device *guest_device_description(const struct guest_device *device)
{
	return &device->device;
}

bool guest_device_serves(const struct guest_device *device)
{
	return device->state == DEVICE_SERVING;
}

/* ------------------------------------------------------------------ accesses */

bool guest_device_access(struct guest_device *device, struct ioreq_access *access)
{
	uint32_t offset = (uint32_t)(access->address - device->device.base);

	if (device->state == DEVICE_STARTING)
		goto hold;
	if (!access->write) {
		access->value = mmio_read(&device->mmio, offset, access->size);
		return true;
	}
	switch (mmio_write(&device->mmio, offset, access->size, access->value)) {
	case MMIO_PENDING:
		device->pending_vcpu = (int)access->vcpu;
		return false;
	case MMIO_BUSY:
		goto hold;
	case MMIO_DONE:
		break;
	}
	/* A reset does not bring back a worker that cannot be started. */
	if (device->state == DEVICE_LOST)
		mmio_break(&device->mmio);
	return true;

hold:
	if (device->held_count < HELD_MAX)
		device->held[device->held_count++] = *access;
	return false;
}

/* Those that waited have another try, in their order. */
static void guest_device_retry(struct guest_device *device)
{
	struct ioreq_access held[HELD_MAX];
	unsigned count = device->held_count;

	memcpy(held, device->held, count * sizeof(held[0]));
	device->held_count = 0;
	for (unsigned i = 0; i < count; i++)
		if (guest_device_access(device, &held[i]))
			ioreq_complete(device->options.server, held[i].vcpu, held[i].value);
}

/* What the pending write asked for is done. */
static void guest_device_released(void *data)
{
	struct guest_device *device = data;
	int vcpu = device->pending_vcpu;

	device->pending_vcpu = -1;
	device->restarted = false;
	mmio_released(&device->mmio);
	if (device->state == DEVICE_LOST)
		mmio_break(&device->mmio);
	if (vcpu >= 0)
		ioreq_complete(device->options.server, (unsigned)vcpu, 0);
	guest_device_retry(device);
}

/* ----------------------------------------------------- what the registers ask */

static struct frontend_queue guest_device_queue(const struct guest_device *device, unsigned index)
{
	const struct mmio_queue *queue = &device->mmio.state->queues[index];

	return (struct frontend_queue){
		.size = (uint16_t)queue->size,
		.desc = queue->desc,
		.avail = queue->avail,
		.used = queue->used,
		.kick_fd = device->kick_fds[index],
		.call_fd = device->call_fd,
		.error_fd = device->error_fd,
	};
}

static void guest_device_on_start(void *data)
{
	struct guest_device *device = data;
	struct frontend_queue queues[GPU_QUEUES];
	const struct frontend_queue *ready[GPU_QUEUES] = { NULL };

	if (device->state != DEVICE_SERVING)
		return;
	for (unsigned i = 0; i < GPU_QUEUES; i++) {
		if (!device->mmio.state->queues[i].ready)
			continue;
		queues[i] = guest_device_queue(device, i);
		ready[i] = &queues[i];
	}
	device->running = true;
	frontend_start(device->frontend, mmio_features(&device->mmio), ready);
	if (log_limit_allow(&device->limit))
		log_info("%s: the guest's driver is up (features %#llx)", device->name,
		    (unsigned long long)mmio_features(&device->mmio));
}

static void guest_device_on_start_queue(void *data, unsigned index)
{
	struct guest_device *device = data;
	struct frontend_queue queue = guest_device_queue(device, index);

	if (device->state == DEVICE_SERVING && device->running)
		frontend_start_queue(device->frontend, index, &queue);
}

static bool guest_device_on_stop_queue(void *data, unsigned index)
{
	struct guest_device *device = data;

	if (device->state != DEVICE_SERVING || !device->running)
		return device->state == DEVICE_LOST && device->worker;
	frontend_stop_queue(device->frontend, index, guest_device_released, device);
	return true;
}

static bool guest_device_on_reset(void *data)
{
	struct guest_device *device = data;

	switch (device->state) {
	case DEVICE_SERVING:
		if (!device->running)
			return false;
		device->running = false;
		frontend_reset(device->frontend, guest_device_released, device);
		return true;
	case DEVICE_LOST:
		if (device->worker)
			return true; /* until it is gone: it may still hold guest memory */
		return guest_device_restart_worker(device);
	default:
		return false;
	}
}

static bool guest_device_on_write_config(
    void *data, uint32_t offset, const void *from, uint32_t size)
{
	struct guest_device *device = data;

	if (device->state != DEVICE_SERVING)
		return false;
	frontend_write_config(device->frontend, offset, from, size, guest_device_released, device);
	return true;
}

static void guest_device_on_notify(void *data, unsigned index)
{
	struct guest_device *device = data;

	eventfd_write(device->kick_fds[index], 1);
}

static void guest_device_on_set_irq(void *data, bool level)
{
	struct guest_device *device = data;

	irq_set(&device->irq, level);
}

/* ------------------------------------------------------- what the worker says */

/* The worker is of no use any more. The guest goes on, and is told once it has let go of everything
 * (guest_device_worker_exited()). */
static void guest_device_lose_worker(struct guest_device *device)
{
	bool first = device->state == DEVICE_STARTING;

	frontend_destroy(device->frontend);
	device->frontend = NULL;
	device->running = false;
	if (device->gntdev >= 0)
		close(device->gntdev);
	device->gntdev = -1;
	if (device->worker)
		worker_process_kill(device->worker);
	if (device->state == DEVICE_STOPPING || device->state == DEVICE_ABSENT ||
	    device->state == DEVICE_LOST)
		return;
	log_guest(&device->limit, "%s: %s", device->name,
	    first ? "there will be no GPU for this guest"
		  : "the guest is told to reset its GPU; a new worker starts when it does");
	device->state = first ? DEVICE_ABSENT : DEVICE_LOST;
	if (!first && device->mmio.busy != MMIO_RESETTING)
		mmio_break(&device->mmio);
	if (first)
		guest_device_retry(device);
}

static void guest_device_finish_stop(struct guest_device *device)
{
	if (device->mmio.busy != MMIO_IDLE)
		guest_device_released(device);
	device->options.stopped(device->options.data, device);
}

static void guest_device_worker_exited(void *data)
{
	struct guest_device *device = data;

	guest_device_lose_worker(device);
	worker_process_destroy(device->worker);
	device->worker = NULL;
	if (device->state == DEVICE_STOPPING) {
		guest_device_finish_stop(device);
		return;
	}
	if (device->mmio.busy == MMIO_IDLE)
		return;
	/* A reset that waited for the end of the old worker begins with the new one; one that
	 * waited for a new one that has failed is over. */
	if (device->mmio.busy != MMIO_RESETTING || !guest_device_restart_worker(device))
		guest_device_released(device);
}

static void guest_device_frontend_failed(void *data, int error)
{
	guest_device_lose_worker(data);
}

static void guest_device_queue_refused(void *data, unsigned index)
{
	struct guest_device *device = data;

	log_guest(&device->limit, "%s: queue %u cannot be started: the device needs a reset",
	    device->name, index);
	mmio_break(&device->mmio);
}

static void guest_device_config_changed(void *data)
{
	struct guest_device *device = data;

	mmio_set_config(
	    &device->mmio, frontend_config(device->frontend), VHOST_USER_CONFIG_MAX, true);
}

static int guest_device_called(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct guest_device *device = data;
	eventfd_t count;

	if (eventfd_read(fd, &count) == 0) {
		device->calls_forwarded++;
		mmio_used(&device->mmio);
	}
	return 0;
}

static int guest_device_queue_broke(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct guest_device *device = data;
	eventfd_t count;

	if (eventfd_read(fd, &count) == 0)
		mmio_break(&device->mmio);
	return 0;
}

/* ------------------------------------------------------------------ starting */

static void guest_device_init_mmio(struct guest_device *device, uint32_t id, uint64_t features)
{
	const struct mmio_options options = {
		.name = device->name,
		.device_id = id,
		.features = features,
		.required = FEATURES_NEEDED,
		.queues = id ? GPU_QUEUES : 0,
		.queue_size = QUEUE_SIZE,
		.calls_direct = device->irq.call_fd >= 0,
		.ops = {
			.start = guest_device_on_start,
			.start_queue = guest_device_on_start_queue,
			.stop_queue = guest_device_on_stop_queue,
			.reset = guest_device_on_reset,
			.write_config = guest_device_on_write_config,
			.notify = guest_device_on_notify,
			.set_irq = guest_device_on_set_irq,
			.data = device,
		},
	};

	mmio_init(&device->mmio, &options, &device->registers);
}

/* The worker has told all that the registers must know. */
static void guest_device_ready(void *data)
{
	struct guest_device *device = data;
	uint64_t features = frontend_features(device->frontend);
	bool restarted = device->state == DEVICE_RESTARTING;

	close(device->gntdev);
	device->gntdev = -1;
	if ((FEATURES_NEEDED & ~features) ||
	    (restarted && device->mmio.options.features & ~features)) {
		log_error("%s: the worker offers features %#llx, which is not enough", device->name,
		    (unsigned long long)features);
		worker_process_kill(device->worker);
		return;
	}
	device->state = DEVICE_SERVING;
	if (restarted) {
		if (log_limit_allow(&device->limit))
			log_info("%s: a new worker serves it", device->name);
		mmio_set_config(
		    &device->mmio, frontend_config(device->frontend), VHOST_USER_CONFIG_MAX, false);
		guest_device_released(device);
		return;
	}
	guest_device_init_mmio(device, device->device.virtio_id, features);
	mmio_set_config(
	    &device->mmio, frontend_config(device->frontend), VHOST_USER_CONFIG_MAX, false);
	device->options.serving(device->options.data, device);
	guest_device_retry(device);
}

static int guest_device_connect(struct guest_device *device, int socket)
{
	const struct frontend_options options = {
		.name = device->name,
		.limit = &device->limit,
		.event = device->options.event,
		.queues = GPU_QUEUES,
		.queue_size = QUEUE_SIZE,
		.hello_usec = HELLO_USEC,
		.answer_usec = ANSWER_USEC,
		.memory = memory_grant_region(device->device.domid),
		.memory_fd = device->gntdev,
		.inflight_fd = -1,
		.state = &device->frontend_state,
		.listener = {
			.ready = guest_device_ready,
			.config_changed = guest_device_config_changed,
			.queue_refused = guest_device_queue_refused,
			.failed = guest_device_frontend_failed,
			.data = device,
		},
	};

	return frontend_create(&options, socket, &device->frontend);
}

static int guest_device_start_worker(struct guest_device *device)
{
	const struct worker_process_options options = {
		.path = device->options.worker_path,
		.name = device->name,
		.limit = &device->limit,
		.guest = device->options.worker_name,
		.arguments = device->options.worker_arguments,
		.event = device->options.event,
		.exited = guest_device_worker_exited,
		.data = device,
	};
	int socket, error;

	device->gntdev = gntdev_open();
	if (device->gntdev < 0) {
		error = device->gntdev;
		log_error("%s: cannot open /dev/xen/gntdev: %s. %s", device->name, strerror(-error),
		    diagnose(DIAGNOSE_GRANT_DEVICE, error));
		return error;
	}
	error = worker_process_create(&options, &socket, &device->worker);
	if (error)
		goto error_gntdev;
	error = guest_device_connect(device, socket);
	if (error)
		goto error_worker;
	return 0;

error_worker:
	close(socket);
	worker_process_destroy(device->worker);
	device->worker = NULL;
error_gntdev:
	close(device->gntdev);
	device->gntdev = -1;
	return error;
}

/* For a guest that resets a device whose worker was lost; once for each reset. */
static bool guest_device_restart_worker(struct guest_device *device)
{
	if (device->restarted || guest_device_start_worker(device) < 0)
		return false;
	device->restarted = true;
	device->state = DEVICE_RESTARTING;
	return true;
}

/* ---------------------------------------------------------------- eventfds */

/* Interrupts and kicks go through the kernel where it knows how, and through us elsewhere. */
static int guest_device_route(struct guest_device *device)
{
	sd_event *event = device->options.event;
	int error;

	error = irq_route(&device->irq, device->call_fd);
	if (error) {
		log_info("%s: interrupts are forwarded by gpudomd (no irqfd: %s)", device->name,
		    strerror(-error));
		error = sd_event_add_io(
		    event, &device->call, device->call_fd, EPOLLIN, guest_device_called, device);
		if (error < 0)
			return error;
	}
	for (unsigned i = 0; device->options.ioeventfd && i < GPU_QUEUES; i++) {
		error = ioreq_bind_kick(
		    device->options.server, device->device.base, i, device->kick_fds[i]);
		if (error)
			log_info("%s: kicks of queue %u are forwarded by gpudomd (no ioeventfd: "
				 "%s)",
			    device->name, i, strerror(-error));
		device->kicks_bound[i] = !error;
	}
	error = sd_event_add_io(
	    event, &device->error, device->error_fd, EPOLLIN, guest_device_queue_broke, device);
	return error < 0 ? error : 0;
}

static int guest_device_open_eventfds(struct guest_device *device)
{
	device->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	device->error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (device->call_fd < 0 || device->error_fd < 0)
		return -errno;
	for (unsigned i = 0; i < GPU_QUEUES; i++) {
		device->kick_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (device->kick_fds[i] < 0)
			return -errno;
	}
	return guest_device_route(device);
}

static void guest_device_close_eventfds(struct guest_device *device)
{
	irq_finish(&device->irq);
	sd_event_source_disable_unref(device->call);
	sd_event_source_disable_unref(device->error);
	for (unsigned i = 0; i < GPU_QUEUES; i++) {
		if (device->kicks_bound[i])
			ioreq_unbind_kick(
			    device->options.server, device->device.base, i, device->kick_fds[i]);
		if (device->kick_fds[i] >= 0)
			close(device->kick_fds[i]);
	}
	if (device->call_fd >= 0)
		close(device->call_fd);
	if (device->error_fd >= 0)
		close(device->error_fd);
}

/* ----------------------------------------------------------------- life time */

int guest_device_create(const struct guest_device_options *options, struct guest_device **out)
{
	struct guest_device *device = calloc(1, sizeof(*device));
	int error = -ENOMEM;

	if (!device) {
		config_arguments_free(options->worker_arguments);
		return -ENOMEM;
	}
	device->options = *options;
	device->device = *options->device;
	device->options.device = NULL;
	device->device.guest_name = NULL;
	device->gntdev = device->call_fd = device->error_fd = device->pending_vcpu = -1;
	for (unsigned i = 0; i < GPU_QUEUES; i++)
		device->kick_fds[i] = -1;
	if (asprintf(&device->name, "%s, GPU %u", options->title, device->device.devid) < 0) {
		device->name = NULL;
		goto error;
	}
	irq_init(&device->irq, options->server, device->name, device->device.irq);
	guest_device_init_mmio(device, 0, 0);
	/* First of all: what the guest touches before that is a data abort. */
	error = ioreq_claim(options->server, device->device.base, MMIO_SIZE);
	if (error)
		goto error;
	device->claimed = true;
	error = guest_device_open_eventfds(device);
	if (error) {
		log_error("%s: cannot make eventfds: %s", device->name, strerror(-error));
		goto error;
	}
	if (guest_device_start_worker(device) < 0)
		device->state = DEVICE_ABSENT;
	*out = device;
	return 0;

error:
	guest_device_destroy(device);
	return error;
}

void guest_device_stop(struct guest_device *device)
{
	device->state = DEVICE_STOPPING;
	guest_device_retry(device);
	frontend_destroy(device->frontend);
	device->frontend = NULL;
	device->running = false;
	if (device->worker)
		worker_process_dismiss(device->worker);
	else
		guest_device_finish_stop(device);
}

void guest_device_destroy(struct guest_device *device)
{
	if (!device)
		return;
	if (device->claimed)
		log_info("%s: served; gpudomd itself forwarded %llu kicks and %llu interrupts",
		    device->name, (unsigned long long)device->mmio.notifications,
		    (unsigned long long)device->calls_forwarded);
	frontend_destroy(device->frontend);
	worker_process_destroy(device->worker);
	guest_device_close_eventfds(device);
	if (device->claimed)
		ioreq_release(device->options.server, device->device.base, MMIO_SIZE);
	if (device->gntdev >= 0)
		close(device->gntdev);
	config_arguments_free(device->options.worker_arguments);
	free(device->name);
	free(device);
}
