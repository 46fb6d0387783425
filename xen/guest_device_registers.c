/* SPDX-License-Identifier: MIT */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>

#include "backend/log.h"
#include "xen/guest_device_private.h"

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

void guest_device_retry(struct guest_device *device)
{
	struct ioreq_access held[HELD_MAX];
	unsigned count = device->held_count;

	memcpy(held, device->held, count * sizeof(held[0]));
	device->held_count = 0;
	for (unsigned i = 0; i < count; i++)
		if (guest_device_access(device, &held[i]))
			ioreq_complete(device->options.server, held[i].vcpu, held[i].value);
}

void guest_device_released(void *data)
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

void guest_device_run(struct guest_device *device)
{
	struct frontend_queue queues[DEVICE_QUEUES];
	const struct frontend_queue *ready[DEVICE_QUEUES] = { NULL };

	for (unsigned i = 0; i < DEVICE_QUEUES; i++) {
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
void guest_device_complain(void *data, const char *what)
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

void guest_device_on_start_queue(void *data, unsigned index)
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

	trace_instant(
	    device->options.trace, .type = TRACE_RESET, .value = device->irq.trace_device);
	switch (device->state) {
	case DEVICE_SERVING:
		if (device->renew || guest_device_display_changed(device)) {
			guest_device_renew_worker(device);
			return true;
		}
		if (!device->kept->running)
			return false;
		frontend_reset(device->worker.frontend, guest_device_released, device);
		device->kept->running = false;
		return true;
	case DEVICE_REPLACING: /* until the one is gone, or the other ready */
		return true;
	case DEVICE_LOST:
		return !device->kept->health.blocked && guest_device_restart(device);
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

	uint64_t begin = trace_begin(device->options.trace);

	eventfd_write(device->fds.kicks[index], 1);
	trace_end(device->options.trace, begin, .type = TRACE_REGISTER_KICK,
	    .queue = (uint8_t)index, .value = device->irq.trace_device);
}

static void guest_device_on_set_irq(void *data, bool level)
{
	struct guest_device *device = data;

	irq_set(&device->irq, level);
}

/* ------------------------------------------------------ the registers themselves */

/* Without grants, a driver that takes ACCESS_PLATFORM, and finds no IOMMU in its device tree, uses
 * physical addresses just as one that does not. */
uint64_t guest_device_features_needed(const struct guest_device *device)
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

uint64_t guest_device_features_promised(const struct guest_device *device)
{
	uint64_t promised = guest_device_features_needed(device);

	/* A driver that is resetting the device reads them again. */
	if (device->state != DEVICE_RESTARTING)
		promised |= device->mmio.options.features;
	return promised;
}

void guest_device_offer(struct guest_device *device, uint64_t features)
{
	device->mmio.options.features = features & ~guest_device_features_withheld(device);
	device->kept->features = features;
}

void guest_device_init_mmio(struct guest_device *device, uint32_t id, uint64_t features)
{
	const struct mmio_options options = {
		.name = device->name,
		.device_id = id,
		.features = features & ~guest_device_features_withheld(device),
		.required = guest_device_features_needed(device),
		.queues = id ? DEVICE_QUEUES : 0,
		.queue_size = guest_device_is_gpu(device) ? QUEUE_SIZE : INPUT_QUEUE_SIZE,
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
