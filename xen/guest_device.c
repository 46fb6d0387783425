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
#include "xen/guest_device_private.h"

/* How often a first worker is started that crashes before it can serve. */
#define START_TRIES 5

const struct discovery_device *guest_device_description(const struct guest_device *device)
{
	return &device->kept->device;
}

bool guest_device_is_gpu(const struct guest_device *device)
{
	return device->kept->device.virtio_id != VIRTIO_ID_INPUT;
}

const char *guest_device_noun(const struct guest_device *device)
{
	return guest_device_is_gpu(device) ? "GPU" : "input device";
}

bool guest_device_serves(const struct guest_device *device)
{
	return device->state == DEVICE_SERVING;
}

bool guest_device_invalidate(struct guest_device *device, void (*done)(void *), void *data)
{
	return guest_worker_invalidate(&device->worker, done, data);
}

/* ------------------------------------------------------- what the worker says */

static void guest_device_finish_stop(struct guest_device *device)
{
	if (device->mmio.busy != MMIO_IDLE)
		guest_device_released(device);
	device->options.stopped(device->options.data, device);
}

/* No worker will serve it, until the guest resets it; or longer, if it is blocked. */
static void guest_device_give_up(struct guest_device *device)
{
	if (device->kept->health.blocked)
		log_guest(&device->limit,
		    "%s: blocked: no worker serves it, also when the guest resets its %s, until "
		    "'gpudomctl unblock %s'",
		    device->name, guest_device_noun(device), device->options.worker_name);
	else
		log_guest(&device->limit,
		    "%s: the guest is told to reset its %s; a new worker starts when it does",
		    device->name, guest_device_noun(device));
	device->state = DEVICE_LOST;
	if (device->mmio.busy != MMIO_IDLE) {
		guest_device_released(device);
		return;
	}
	/* A driver that does not care for what it is told now can go on when it is not blocked any
	 * more. */
	device->resumable = device->kept->health.blocked && mmio_running(&device->mmio);
	mmio_break(&device->mmio);
	guest_device_retry(device);
}

bool guest_device_resume(struct guest_device *device)
{
	if (device->state != DEVICE_LOST || !device->resumable ||
	    !(device->kept->registers.status & VIRTIO_CONFIG_S_DRIVER_OK))
		return false;
	device->resumable = false;
	if (guest_worker_start(&device->worker) < 0)
		return false;
	mmio_mend(&device->mmio);
	device->state = DEVICE_REPLACING;
	return true;
}

static void guest_device_never_started(struct guest_device *device)
{
	log_error(
	    "%s: there will be no such %s for this guest", device->name, guest_device_noun(device));
	device->state = DEVICE_ABSENT;
	guest_device_retry(device);
}

static int guest_device_start_worker(struct guest_device *device)
{
	guest_device_choose_display(device);
	return guest_worker_start(&device->worker);
}

bool guest_device_restart(struct guest_device *device)
{
	device->unfit = false;
	guest_worker_forget(&device->worker);
	guest_device_use_arguments(device);
	if (guest_device_start_worker(device) < 0)
		return false;
	device->state = DEVICE_RESTARTING;
	return true;
}

void guest_device_kill_worker(struct guest_device *device)
{
	device->asked = true;
	guest_worker_kill(&device->worker);
}

static void guest_device_hung(void *data, const char *what)
{
	struct guest_device *device = data;

	snprintf(device->hang, sizeof(device->hang), "%s", what);
	log_guest(&device->limit, "%s: %s", device->name, what);
	guest_worker_kill(&device->worker);
}

/* A worker is gone. True: that was once too often. */
static bool guest_device_count_death(struct guest_device *device)
{
	const struct guest_policy *policy = &device->health.policy;
	bool asked = device->asked, often = false;

	device->asked = false;
	if (!asked)
		often = guest_health_died(&device->health,
		    *device->hang ? device->hang : device->worker.last_end, telemetry_now() / 1000);
	/* Nor is it what the next one dies of. */
	*device->hang = '\0';
	if (often)
		log_guest(&device->limit, "%s: its worker has died %u times within %u s",
		    device->name, policy->crash_limit, policy->crash_window_s);
	return often;
}

void guest_device_renew_worker(struct guest_device *device)
{
	if (log_limit_allow(&device->limit))
		log_info("%s: a new worker is started for it, with its new settings", device->name);
	/* Once it is gone, the reset that is pending starts the next one. */
	device->state = DEVICE_REPLACING;
	device->kept->running = false;
	device->asked = true;
	guest_health_set_serving(&device->health, false);
	guest_worker_dismiss(&device->worker);
}

/* Its worker has died, and is gone. */
static void guest_device_replace(struct guest_device *device)
{
	/* What waited until nothing is held any more. */
	if (device->mmio.busy == MMIO_STOPPING || device->mmio.busy == MMIO_CONFIGURING)
		guest_device_released(device);
	if (device->unfit && device->mmio.busy != MMIO_RESETTING) {
		device->unfit = false;
		guest_device_give_up(device);
		return;
	}
	if (device->kept->health.blocked) {
		guest_device_complain(device, "blocked: see gpudomctl status in the driver domain");
		guest_device_give_up(device);
		return;
	}
	if (device->mmio.busy == MMIO_RESETTING) {
		if (!guest_device_restart(device))
			guest_device_give_up(device);
	} else if (guest_device_start_worker(device) < 0) {
		guest_device_give_up(device);
	}
}

static void guest_device_worker_lost(void *data)
{
	struct guest_device *device = data;

	device->kept->running = false;
	trace_instant(
	    device->options.trace, .type = TRACE_WORKER_LOST, .value = device->irq.trace_device);
	guest_health_set_serving(&device->health, false);
	if (device->state == DEVICE_SERVING)
		device->state = DEVICE_REPLACING;
}

static void guest_device_worker_gone(void *data)
{
	struct guest_device *device = data;

	if (device->state == DEVICE_STOPPING) {
		guest_device_finish_stop(device);
		return;
	}
	if (guest_device_count_death(device) && device->state != DEVICE_STARTING)
		device->kept->health.blocked = GUEST_BLOCKED_CRASHES;
	switch (device->state) {
	case DEVICE_STARTING:
		/* One that has failed in order has said why, and would again. */
		if (!device->worker.crashed || ++device->starts >= START_TRIES ||
		    guest_device_start_worker(device) < 0)
			guest_device_never_started(device);
		break;
	case DEVICE_SERVING: /* lost() comes first */
	case DEVICE_REPLACING:
	case DEVICE_RESTARTING:
		guest_device_replace(device);
		break;
	case DEVICE_LOST:
	case DEVICE_ABSENT:
	case DEVICE_STOPPING:
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

	trace_instant(
	    device->options.trace, .type = TRACE_CONFIG_CHANGED, .value = device->irq.trace_device);
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

/* The successor of a worker that has died serves; @restored: it knows all that the first one did.
 */
static void guest_device_replaced(struct guest_device *device, bool restored)
{
	device->kept->health.replacements++;
	log_guest(&device->limit, "%s: a new worker serves it (replacement %llu)", device->name,
	    (unsigned long long)device->kept->health.replacements);
	mmio_set_config(
	    &device->mmio, frontend_config(device->worker.frontend), VHOST_USER_CONFIG_MAX, true);
	if (device->mmio.busy == MMIO_RESETTING && device->renew) {
		guest_device_renew_worker(device);
		return;
	}
	if (device->mmio.busy == MMIO_RESETTING) {
		/* What it has taken over it has to give back first. */
		frontend_reset(device->worker.frontend, guest_device_released, device);
		return;
	}
	if (mmio_running(&device->mmio) && !restored) {
		log_guest(&device->limit,
		    "%s: requests that were under way are lost: the guest is told to reset its %s",
		    device->name, guest_device_noun(device));
		mmio_break(&device->mmio);
	} else if (mmio_running(&device->mmio)) {
		guest_device_run(device);
		/* The dead one may have read a kick and not acted on it, or have acted and not said
		 * so: a kick or an interrupt for nothing does no harm. */
		for (unsigned i = 0; i < DEVICE_QUEUES; i++)
			eventfd_write(device->fds.kicks[i], 1);
		eventfd_write(device->fds.call, 1);
	} else if (device->kept->registers.status & VIRTIO_CONFIG_S_NEEDS_RESET) {
		/* What it has taken over it has to give back then. */
		device->kept->running = restored;
	}
	guest_device_retry(device);
}

/* The worker has told all that the registers must know. */
static void guest_device_ready(void *data)
{
	struct guest_device *device = data;
	uint64_t features = frontend_features(device->worker.frontend);
	enum guest_device_state before = device->state;

	if (guest_device_features_promised(device) & ~features) {
		log_error("%s: the worker offers features %#llx, which is not enough", device->name,
		    (unsigned long long)features);
		device->unfit = device->asked = before == DEVICE_REPLACING;
		guest_worker_kill(&device->worker);
		return;
	}
	device->state = DEVICE_SERVING;
	trace_instant(
	    device->options.trace, .type = TRACE_WORKER_READY, .value = device->irq.trace_device);
	guest_device_tell_again(device);
	if (!device->worker.adopted)
		device->kept->seat = 0;
	guest_device_join_seat(device);
	guest_health_set_serving(&device->health, true);
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
		guest_device_offer(device, features);
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
	guest_state_order();
	device->kept->served = true;
	guest_device_retry(device);
}

static void guest_device_describe_worker(void *data, char *text, size_t size)
{
	struct guest_device *device = data;

	guest_health_describe(&device->health, text, size);
}

static void guest_device_init_worker(struct guest_device *device)
{
	const struct guest_worker_options options = {
		.name = device->name,
		.limit = &device->limit,
		.path = device->options.worker_path,
		.guest = device->options.worker_name,
		.arguments = device->options.worker_arguments,
		.option = device->option,
		.descriptors = device->health.descriptors,
		.descriptor_count = GUEST_HEALTH_DESCRIPTORS,
		.event = device->options.event,
		.keep = device->options.keep,
		.domid = device->kept->device.domid,
		.devid = device->kept->device.devid,
		.grants = device->kept->device.grants,
		.queues = DEVICE_QUEUES,
		.queue_size = guest_device_is_gpu(device) ? QUEUE_SIZE : INPUT_QUEUE_SIZE,
		.state = &device->kept->frontend,
		.cgroup = device->options.cgroup,
		.policy = &device->options.policy,
		.describe = guest_device_describe_worker,
		.ready = guest_device_ready,
		.config_changed = guest_device_config_changed,
		.queue_refused = guest_device_queue_refused,
		.lost = guest_device_worker_lost,
		.gone = guest_device_worker_gone,
		.data = device,
	};

	guest_worker_init(&device->worker, &options);
}

static void guest_device_init_health(struct guest_device *device)
{
	const struct guest_health_options options = {
		.name = device->name,
		.limit = &device->limit,
		.event = device->options.event,
		.keep = device->options.keep,
		.domid = device->kept->device.domid,
		.devid = device->kept->device.devid,
		.state = &device->kept->health,
		.gpu = guest_device_is_gpu(device),
		.hung = guest_device_hung,
		.picture_size = guest_device_picture_size,
		.show_picture = guest_device_show_picture,
		.data = device,
	};

	guest_health_init(&device->health, &options);
	guest_health_set_policy(&device->health, &device->options.policy);
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
	for (unsigned i = 0; i < DEVICE_QUEUES; i++)
		if (device->kept->registers.queues[i].ready && !device->kept->frontend.started[i])
			guest_device_on_start_queue(device, i);
}

/* Goes on with a device that was served: its accesses are answered from now on. A worker that
 * cannot go on, or is gone, is replaced. */
static void guest_device_take_over(struct guest_device *device)
{
	int error;

	device->irq.high = device->kept->registers.interrupt_status;
	/* Its worker has those settings that our predecessor knew. */
	device->renew = device->kept->settings != device->options.settings;
	/* What is configured meanwhile it is when the guest resets it. */
	if (!guest_device_is_gpu(device))
		guest_device_choose_kind(device, device->kept->input);
	guest_device_init_mmio(device, device->kept->device.virtio_id, device->kept->features);
	if (device->kept->health.blocked) {
		guest_worker_kill_orphan(&device->worker);
		guest_signal_set_serving(&device->health.signal, false);
		guest_device_give_up(device);
		return;
	}
	error = guest_worker_adopt(&device->worker);
	if (device->worker.adopted) {
		device->state = DEVICE_SERVING;
		guest_device_catch_up(device);
		return;
	}
	log_info("%s: its worker cannot go on", device->name);
	/* If it lives, we kill it, in the middle of what our predecessor asked of it. */
	device->asked = !error;
	guest_signal_set_serving(&device->health.signal, false);
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
	guest_health_open(&device->health);
	if (device->kept->served) {
		guest_device_take_over(device);
		return 0;
	}
	/* Without registers that mean something, a predecessor's worker is of no use. */
	guest_worker_kill_orphan(&device->worker);
	guest_device_use_arguments(device);
	if (!guest_device_is_gpu(device) && device->options.input == SEAT_INPUT_KINDS) {
		log_error("%s: 'input' in gpudom.conf names %u, and this is one more", device->name,
		    device->kept->device.rank);
		guest_device_complain(device, "one more than 'input' in gpudom.conf has names");
		guest_device_never_started(device);
	} else if (guest_device_start_worker(device) < 0) {
		guest_device_never_started(device);
	}
	return 0;
}

int guest_device_create(const struct guest_device_options *options, struct guest_device **out)
{
	struct guest_device *device = calloc(1, sizeof(*device));
	char name[DISCOVERY_NAME_BYTES];
	int error = -ENOMEM;

	if (!device) {
		config_arguments_free(options->worker_arguments);
		return -ENOMEM;
	}
	device->options = *options;
	device->next_input = options->input;
	device->kept = options->state;
	device->pending_vcpu = device->trace_fd = -1;
	device->log_level = options->log_level;
	device_eventfds_init(&device->fds);
	discovery_name_device(&device->kept->device, name);
	if (asprintf(&device->name, "%s, %s", options->title, name) < 0)
		device->name = NULL;
	guest_device_init_health(device);
	guest_device_init_worker(device);
	if (!device->name)
		goto error;
	irq_init(&device->irq, options->server, device->name, device->kept->device.irq);
	irq_set_trace(&device->irq, options->trace,
	    trace_device(device->kept->device.domid, device->kept->device.devid));
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
	guest_device_forget_trace(device);
	device_eventfds_close(&device->fds);
	guest_device_finish_settings(device);
	free(device->name);
	free(device);
}

void guest_device_let_go(struct guest_device *device)
{
	if (!device)
		return;
	guest_worker_release(&device->worker);
	guest_health_close(&device->health);
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
	    U(device->irq.lowered), U(device->kept->health.replacements));
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
		    (unsigned long long)device->kept->health.replacements);
	guest_worker_finish(&device->worker);
	guest_health_drop(&device->health);
	guest_device_unroute(device);
	irq_finish(&device->irq);
	device_eventfds_drop(&device->fds, device->options.keep, &device->kept->device);
	if (device->claimed)
		ioreq_release(device->options.server, device->kept->device.base, MMIO_SIZE);
	guest_device_free(device);
}
