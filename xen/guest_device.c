/* SPDX-License-Identifier: MIT */
#include "xen/guest_device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/config.h"
#include "xen/device_eventfds.h"
#include "xen/frontend.h"
#include "xen/guest_worker.h"
#include "xen/irq.h"
#include "xen/mmio.h"

#define GPU_QUEUES DEVICE_EVENTFDS_QUEUES /* control, cursor */
#define QUEUE_SIZE 1024 /* without indirect tables, each page of a long command takes an entry */
#define HELD_MAX 128    /* one access for each vCPU (ioreq.c) */

enum guest_device_state {
	DEVICE_STARTING, /* the first worker is on its way: accesses wait */
	DEVICE_SERVING,
	/* The worker has died under a guest that does not know; its successor, once it is gone,
	 * goes on where it was. Registers answer; what needs the worker waits. */
	DEVICE_REPLACING,
	DEVICE_LOST,       /* there is no worker, and the guest is told that it must reset */
	DEVICE_RESTARTING, /* a reset waits for a new worker, which begins with an empty device */
	DEVICE_ABSENT,     /* there never was one */
	DEVICE_STOPPING,
};

struct guest_device {
	struct guest_device_options options;
	struct device_state *kept; /* options.state */
	char *name;                /* for the log */
	enum guest_device_state state;
	bool claimed;

	struct log_limit limit; /* of lines that the guest can provoke */
	const char *complaint;  /* the one that stands in xenstore */
	struct mmio mmio;
	struct irq_line irq;
	struct guest_worker worker;
	struct device_eventfds fds;
	sd_event_source *call, *error;
	uint64_t reads, writes; /* of registers */
	uint64_t calls_forwarded, replacements;

	int pending_vcpu;                   /* whose write ends with mmio_released(); -1: none */
	struct ioreq_access held[HELD_MAX]; /* waiting for the device, in order */
	unsigned held_count;
};

static bool guest_device_restart(struct guest_device *device);

const struct discovery_device *guest_device_description(const struct guest_device *device)
{
	return &device->kept->device;
}

bool guest_device_serves(const struct guest_device *device)
{
	return device->state == DEVICE_SERVING;
}

/* ------------------------------------------------------------------ accesses */

bool guest_device_access(struct guest_device *device, struct ioreq_access *access)
{
	uint32_t offset = (uint32_t)(access->address - device->kept->device.base);

	if (device->state == DEVICE_STARTING)
		goto hold;
	if (device->state == DEVICE_REPLACING && access->write && offset >= VIRTIO_MMIO_CONFIG)
		goto hold;
	if (!access->write) {
		device->reads++;
		access->value = mmio_read(&device->mmio, offset, access->size);
		return true;
	}
	switch (mmio_write(&device->mmio, offset, access->size, access->value)) {
	case MMIO_PENDING:
		device->writes++;
		device->pending_vcpu = (int)access->vcpu;
		return false;
	case MMIO_BUSY:
		goto hold;
	case MMIO_DONE:
		device->writes++;
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
	mmio_released(&device->mmio);
	if (device->state == DEVICE_LOST)
		mmio_break(&device->mmio);
	if (vcpu >= 0)
		ioreq_complete(device->options.server, (unsigned)vcpu, 0);
	guest_device_retry(device);
}

bool guest_device_invalidate(struct guest_device *device, void (*done)(void *), void *data)
{
	return guest_worker_invalidate(&device->worker, done, data);
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
		.kick_fd = device->fds.kicks[index],
		.call_fd = device->fds.call,
		.error_fd = device->fds.error,
	};
}

/* Tells the worker what the registers say. */
static void guest_device_run(struct guest_device *device)
{
	struct frontend_queue queues[GPU_QUEUES];
	const struct frontend_queue *ready[GPU_QUEUES] = { NULL };

	for (unsigned i = 0; i < GPU_QUEUES; i++) {
		if (!device->mmio.state->queues[i].ready)
			continue;
		queues[i] = guest_device_queue(device, i);
		ready[i] = &queues[i];
	}
	/* In this order: a successor that does not find it running has nothing to catch up with but
	 * this, or finds the conversation unsettled. */
	frontend_start(device->worker.frontend, mmio_features(&device->mmio), ready);
	device->kept->running = true;
}

/* For people in dom0, who see it in xenstore; no more often than a line in the log. */
static void guest_device_complain(void *data, const char *what)
{
	struct guest_device *device = data;

	if (device->complaint == what || !log_limit_allow(&device->limit))
		return;
	device->complaint = what;
	device->options.complain(device->options.data, device, what);
}

static void guest_device_on_start(void *data)
{
	struct guest_device *device = data;

	guest_device_complain(device, NULL);
	/* A worker that is on its way hears of it when it is ready. */
	if (device->state != DEVICE_SERVING)
		return;
	guest_device_run(device);
	if (log_limit_allow(&device->limit))
		log_info("%s: the guest's driver is up (features %#llx)", device->name,
		    (unsigned long long)mmio_features(&device->mmio));
}

static void guest_device_on_start_queue(void *data, unsigned index)
{
	struct guest_device *device = data;
	struct frontend_queue queue = guest_device_queue(device, index);

	if (device->state == DEVICE_SERVING && device->kept->running)
		frontend_start_queue(device->worker.frontend, index, &queue);
}

static bool guest_device_on_stop_queue(void *data, unsigned index)
{
	struct guest_device *device = data;

	/* A worker on its deathbed may still hold the queue, until it is gone; one that is on its
	 * way holds none. */
	if (device->state != DEVICE_SERVING || !device->kept->running)
		return device->worker.process && !device->worker.frontend;
	frontend_stop_queue(device->worker.frontend, index, guest_device_released, device);
	return true;
}

static bool guest_device_on_reset(void *data)
{
	struct guest_device *device = data;

	switch (device->state) {
	case DEVICE_SERVING:
		if (!device->kept->running)
			return false;
		frontend_reset(device->worker.frontend, guest_device_released, device);
		device->kept->running = false;
		return true;
	case DEVICE_REPLACING: /* until the one is gone, or the other ready */
		return true;
	case DEVICE_LOST:
		return guest_device_restart(device);
	default:
		return false;
	}
}

static void guest_device_config_written(void *data)
{
	struct guest_device *device = data;

	/* The device decides what becomes of it (events_clear clears events_read). */
	mmio_set_config(
	    &device->mmio, frontend_config(device->worker.frontend), VHOST_USER_CONFIG_MAX, false);
	guest_device_released(device);
}

static bool guest_device_on_write_config(
    void *data, uint32_t offset, const void *from, uint32_t size)
{
	struct guest_device *device = data;

	if (device->state != DEVICE_SERVING)
		return false;
	frontend_write_config(
	    device->worker.frontend, offset, from, size, guest_device_config_written, device);
	return true;
}

static void guest_device_on_notify(void *data, unsigned index)
{
	struct guest_device *device = data;

	eventfd_write(device->fds.kicks[index], 1);
}

static void guest_device_on_set_irq(void *data, bool level)
{
	struct guest_device *device = data;

	irq_set(&device->irq, level);
}

/* ------------------------------------------------------- what the worker says */

static void guest_device_finish_stop(struct guest_device *device)
{
	if (device->mmio.busy != MMIO_IDLE)
		guest_device_released(device);
	device->options.stopped(device->options.data, device);
}

/* No worker will serve it, until the guest resets it. */
static void guest_device_give_up(struct guest_device *device)
{
	log_guest(&device->limit,
	    "%s: the guest is told to reset its GPU; a new worker starts when it does",
	    device->name);
	device->state = DEVICE_LOST;
	if (device->mmio.busy != MMIO_IDLE) {
		guest_device_released(device);
		return;
	}
	mmio_break(&device->mmio);
	guest_device_retry(device);
}

static void guest_device_never_started(struct guest_device *device)
{
	log_error("%s: there will be no GPU for this guest", device->name);
	device->state = DEVICE_ABSENT;
	guest_device_retry(device);
}

/* A new worker with an empty device, for a reset that is pending. */
static bool guest_device_restart(struct guest_device *device)
{
	guest_worker_forget(&device->worker);
	if (guest_worker_start(&device->worker) < 0)
		return false;
	device->state = DEVICE_RESTARTING;
	return true;
}

/* Its worker has died, and is gone. */
static void guest_device_replace(struct guest_device *device)
{
	/* What waited until nothing is held any more. */
	if (device->mmio.busy == MMIO_STOPPING || device->mmio.busy == MMIO_CONFIGURING)
		guest_device_released(device);
	if (device->worker.often) {
		log_guest(&device->limit, "%s: its worker has died %d times within %d s",
		    device->name, GUEST_WORKER_DEATHS_MAX,
		    (int)(GUEST_WORKER_DEATHS_USEC / 1000000));
		guest_device_give_up(device);
	} else if (device->mmio.busy == MMIO_RESETTING) {
		if (!guest_device_restart(device))
			guest_device_give_up(device);
	} else if (guest_worker_start(&device->worker) < 0) {
		guest_device_give_up(device);
	}
}

static void guest_device_worker_lost(void *data)
{
	struct guest_device *device = data;

	device->kept->running = false;
	if (device->state == DEVICE_SERVING)
		device->state = DEVICE_REPLACING;
}

static void guest_device_worker_gone(void *data)
{
	struct guest_device *device = data;

	switch (device->state) {
	case DEVICE_STOPPING:
		guest_device_finish_stop(device);
		break;
	case DEVICE_STARTING:
		/* One that has failed in order has said why, and would again. */
		if (!device->worker.crashed || device->worker.often ||
		    guest_worker_start(&device->worker) < 0)
			guest_device_never_started(device);
		break;
	case DEVICE_SERVING: /* lost() comes first */
	case DEVICE_REPLACING:
	case DEVICE_RESTARTING:
		guest_device_replace(device);
		break;
	case DEVICE_LOST:
	case DEVICE_ABSENT:
		break;
	}
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
	    &device->mmio, frontend_config(device->worker.frontend), VHOST_USER_CONFIG_MAX, true);
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

/* Without grants, a driver that takes ACCESS_PLATFORM, and finds no IOMMU in its device tree, uses
 * physical addresses just as one that does not. */
static uint64_t guest_device_features_needed(const struct guest_device *device)
{
	return UINT64_C(1) << VIRTIO_F_VERSION_1 | (uint64_t)device->kept->device.grants
						       << VIRTIO_F_ACCESS_PLATFORM;
}

/* With grants, an indirect table costs the guest a grant and the worker a copy of its own, for each
 * request; descriptors in the ring, which is mapped, cost nothing. */
static uint64_t guest_device_features_withheld(const struct guest_device *device)
{
	return (uint64_t)device->kept->device.grants << VIRTIO_RING_F_INDIRECT_DESC;
}

static void guest_device_init_mmio(struct guest_device *device, uint32_t id, uint64_t features)
{
	const struct mmio_options options = {
		.name = device->name,
		.device_id = id,
		.features = features & ~guest_device_features_withheld(device),
		.required = guest_device_features_needed(device),
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
			.refused = guest_device_complain,
			.data = device,
		},
	};

	mmio_init(&device->mmio, &options, &device->kept->registers);
}

/* The successor of a worker that has died serves; @restored: it knows all that the first one did.
 */
static void guest_device_replaced(struct guest_device *device, bool restored)
{
	device->replacements++;
	log_guest(&device->limit, "%s: a new worker serves it (replacement %llu)", device->name,
	    (unsigned long long)device->replacements);
	mmio_set_config(
	    &device->mmio, frontend_config(device->worker.frontend), VHOST_USER_CONFIG_MAX, true);
	if (device->mmio.busy == MMIO_RESETTING) {
		/* What it has taken over it has to give back first. */
		frontend_reset(device->worker.frontend, guest_device_released, device);
		return;
	}
	if (mmio_running(&device->mmio) && !restored) {
		log_guest(&device->limit,
		    "%s: requests that were under way are lost: the guest is told to reset its GPU",
		    device->name);
		mmio_break(&device->mmio);
	} else if (mmio_running(&device->mmio)) {
		guest_device_run(device);
		/* The dead one may have read a kick and not acted on it, or have acted and not said
		 * so: a kick or an interrupt for nothing does no harm. */
		for (unsigned i = 0; i < GPU_QUEUES; i++)
			eventfd_write(device->fds.kicks[i], 1);
		eventfd_write(device->fds.call, 1);
	}
	guest_device_retry(device);
}

/* The worker has told all that the registers must know. */
static void guest_device_ready(void *data)
{
	struct guest_device *device = data;
	uint64_t features = frontend_features(device->worker.frontend);
	enum guest_device_state before = device->state;

	if ((guest_device_features_needed(device) | device->mmio.options.features) & ~features) {
		log_error("%s: the worker offers features %#llx, which is not enough", device->name,
		    (unsigned long long)features);
		guest_worker_kill(&device->worker);
		return;
	}
	device->state = DEVICE_SERVING;
	if (device->worker.adopted) {
		mmio_set_config(&device->mmio, frontend_config(device->worker.frontend),
		    VHOST_USER_CONFIG_MAX, true);
		/* Our predecessor may have read a call, and not come to raise the interrupt. */
		eventfd_write(device->fds.call, 1);
		device->options.serving(device->options.data, device);
		return;
	}
	if (before == DEVICE_REPLACING) {
		guest_device_replaced(device, frontend_restored(device->worker.frontend));
		return;
	}
	if (before == DEVICE_STARTING)
		guest_device_init_mmio(device, device->kept->device.virtio_id, features);
	mmio_set_config(
	    &device->mmio, frontend_config(device->worker.frontend), VHOST_USER_CONFIG_MAX, false);
	if (before == DEVICE_RESTARTING) {
		if (log_limit_allow(&device->limit))
			log_info("%s: a new worker serves it", device->name);
		guest_device_released(device);
		return;
	}
	if (device->kept->found)
		mmio_lose(&device->mmio);
	device->options.serving(device->options.data, device);
	/* Before this, a successor begins anew. */
	device->kept->features = features;
	device->kept->served = true;
	guest_device_retry(device);
}

static void guest_device_init_worker(struct guest_device *device)
{
	const struct guest_worker_options options = {
		.name = device->name,
		.limit = &device->limit,
		.path = device->options.worker_path,
		.guest = device->options.worker_name,
		.arguments = device->options.worker_arguments,
		.event = device->options.event,
		.keep = device->options.keep,
		.domid = device->kept->device.domid,
		.devid = device->kept->device.devid,
		.grants = device->kept->device.grants,
		.queues = GPU_QUEUES,
		.queue_size = QUEUE_SIZE,
		.state = &device->kept->frontend,
		.ready = guest_device_ready,
		.config_changed = guest_device_config_changed,
		.queue_refused = guest_device_queue_refused,
		.lost = guest_device_worker_lost,
		.gone = guest_device_worker_gone,
		.data = device,
	};

	guest_worker_init(&device->worker, &options);
}

/* ---------------------------------------------------------------- eventfds */

/* Interrupts and kicks go through the kernel where it knows how, and through us elsewhere. */
static int guest_device_route(struct guest_device *device)
{
	sd_event *event = device->options.event;
	int error;

	error = irq_route(&device->irq, device->fds.call);
	if (error) {
		log_info("%s: interrupts are forwarded by gpudomd (no irqfd: %s)", device->name,
		    strerror(-error));
		error = sd_event_add_io(
		    event, &device->call, device->fds.call, EPOLLIN, guest_device_called, device);
		if (error < 0)
			return error;
	}
	if (device->options.ioeventfd)
		device_eventfds_bind_kicks(
		    &device->fds, device->options.server, device->kept->device.base, device->name);
	error = sd_event_add_io(
	    event, &device->error, device->fds.error, EPOLLIN, guest_device_queue_broke, device);
	return error < 0 ? error : 0;
}

static void guest_device_unroute(struct guest_device *device)
{
	sd_event_source_disable_unref(device->call);
	sd_event_source_disable_unref(device->error);
	device_eventfds_unbind_kicks(
	    &device->fds, device->options.server, device->kept->device.base);
}

/* ----------------------------------------------------------------- life time */

/* Tells a predecessor's worker what that had not told it any more. */
static void guest_device_catch_up(struct guest_device *device)
{
	if (!mmio_running(&device->mmio))
		return;
	if (!device->kept->running) {
		guest_device_run(device);
		return;
	}
	for (unsigned i = 0; i < GPU_QUEUES; i++)
		if (device->kept->registers.queues[i].ready && !device->kept->frontend.started[i])
			guest_device_on_start_queue(device, i);
}

/* Goes on with a device that was served: its accesses are answered from now on. A worker that
 * cannot go on, or is gone, is replaced. */
static void guest_device_take_over(struct guest_device *device)
{
	int error;

	device->irq.high = device->kept->registers.interrupt_status;
	guest_device_init_mmio(device, device->kept->device.virtio_id, device->kept->features);
	error = guest_worker_adopt(&device->worker);
	if (device->worker.adopted) {
		device->state = DEVICE_SERVING;
		guest_device_catch_up(device);
		return;
	}
	log_info("%s: its worker cannot go on", device->name);
	device->kept->running = false;
	device->state = DEVICE_REPLACING;
	if (error)
		guest_device_replace(device);
}

static int guest_device_set_up(struct guest_device *device)
{
	const struct discovery_device *description = &device->kept->device;
	/* First of all: what the guest touches before that is a data abort. */
	int error = ioreq_claim(device->options.server, description->base, MMIO_SIZE);
	bool new;

	if (error)
		return error;
	device->claimed = true;
	error = device_eventfds_open(&device->fds, device->options.keep, description, &new);
	/* A predecessor's worker has others. */
	device->kept->frontend.settled &= !new;
	if (!error)
		error = guest_device_route(device);
	if (error) {
		log_error("%s: cannot make eventfds: %s", device->name, strerror(-error));
		return error;
	}
	if (device->kept->served) {
		guest_device_take_over(device);
		return 0;
	}
	/* Without registers that mean something, a predecessor's worker is of no use. */
	guest_worker_kill_orphan(&device->worker);
	if (guest_worker_start(&device->worker) < 0)
		guest_device_never_started(device);
	return 0;
}

int guest_device_create(const struct guest_device_options *options, struct guest_device **out)
{
	struct guest_device *device = calloc(1, sizeof(*device));
	int error = -ENOMEM;

	if (!device) {
		config_arguments_free(options->worker_arguments);
		return -ENOMEM;
	}
	device->options = *options;
	device->kept = options->state;
	device->pending_vcpu = -1;
	device_eventfds_init(&device->fds);
	guest_device_init_worker(device);
	if (asprintf(&device->name, "%s, GPU %u", options->title, device->kept->device.devid) < 0) {
		device->name = NULL;
		goto error;
	}
	device->worker.options.name = device->name;
	irq_init(&device->irq, options->server, device->name, device->kept->device.irq);
	guest_device_init_mmio(device, 0, 0);
	error = guest_device_set_up(device);
	if (error)
		goto error;
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
	device->kept->running = false;
	guest_worker_dismiss(&device->worker);
	if (!device->worker.process)
		guest_device_finish_stop(device);
}

static void guest_device_free(struct guest_device *device)
{
	device_eventfds_close(&device->fds);
	config_arguments_free(device->options.worker_arguments);
	free(device->name);
	free(device);
}

void guest_device_let_go(struct guest_device *device)
{
	if (!device)
		return;
	guest_worker_release(&device->worker);
	guest_device_unroute(device);
	guest_device_free(device);
}

void guest_device_log_statistics(const struct guest_device *device)
{
#define U(value) ((unsigned long long)(value))
	log_info("%s: statistics: domid=%u devid=%u serving=%d reads=%llu writes=%llu kicks=%llu "
		 "interrupts=%llu raised=%llu lowered=%llu replacements=%llu",
	    device->name, device->kept->device.domid, device->kept->device.devid,
	    guest_device_serves(device), U(device->reads), U(device->writes),
	    U(device->mmio.notifications), U(device->calls_forwarded), U(device->irq.raised),
	    U(device->irq.lowered), U(device->replacements));
#undef U
}

void guest_device_destroy(struct guest_device *device)
{
	if (!device)
		return;
	if (device->claimed)
		log_info("%s: served; gpudomd itself forwarded %llu kicks and %llu interrupts, and "
			 "replaced %llu workers",
		    device->name, (unsigned long long)device->mmio.notifications,
		    (unsigned long long)device->calls_forwarded,
		    (unsigned long long)device->replacements);
	guest_worker_finish(&device->worker);
	guest_device_unroute(device);
	irq_finish(&device->irq);
	device_eventfds_drop(&device->fds, device->options.keep, &device->kept->device);
	if (device->claimed)
		ioreq_release(device->options.server, device->kept->device.base, MMIO_SIZE);
	guest_device_free(device);
}
