/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/log.h"
#include "xen/guest_device_private.h"
#include "xen/worker_process.h"

const char *guest_device_state_name(enum guest_device_state state)
{
	static const char *const names[] = {
		[DEVICE_STARTING] = "starting",
		[DEVICE_SERVING] = "serving",
		[DEVICE_REPLACING] = "replacing",
		[DEVICE_LOST] = "lost",
		[DEVICE_RESTARTING] = "restarting",
		[DEVICE_ABSENT] = "absent",
		[DEVICE_STOPPING] = "stopping",
	};

	return names[state];
}

void guest_device_get_status(const struct guest_device *device, struct guest_device_status *status)
{
	*status = (struct guest_device_status){
		.guest = device->options.worker_name,
		.domid = device->kept->device.domid,
		.devid = device->kept->device.devid,
		.noun = guest_device_noun(device),
		.input = device->options.input,
		.state = device->state,
		.blocked = device->kept->health.blocked,
		.running = mmio_running(&device->mmio),
		.at_seat = guest_device_is_at_seat(device),
		.for_seat = guest_device_shows_at_seat(device) || !guest_device_is_gpu(device),
		.limits = device->options.limits,
		.complaint = device->complaint,
		.health = device->kept->health,
		.frozen = device->health.signal.frozen,
		.lost = guest_signal_lost(&device->health.signal),
		.log_lines = device->limit.total + device->mmio.limit.total,
		.log_suppressed = device->limit.not_written + device->mmio.limit.not_written,
		.reads = device->reads,
		.writes = device->writes,
		.kicks = device->mmio.notifications,
		.interrupts = device->calls_forwarded,
		.known = device->health.page != NULL,
	};
	if (device->worker.process)
		status->pid = worker_process_pid(device->worker.process);
	if (status->known)
		telemetry_read(device->health.page, &status->telemetry);
}

int guest_device_screen(const struct guest_device *device)
{
	return device->health.screen_fd;
}

void guest_device_set_policy(struct guest_device *device, const struct guest_policy *policy)
{
	device->options.policy = *policy;
	guest_health_set_policy(&device->health, policy);
	guest_worker_policy_changed(&device->worker);
}

int guest_device_send(
    const struct guest_device *device, const struct worker_message *message, int fd)
{
	return guest_worker_send(&device->worker, message, fd);
}

int guest_device_block(struct guest_device *device)
{
	uint8_t *blocked = &device->kept->health.blocked;

	switch (device->state) {
	case DEVICE_STARTING:
		return -EAGAIN;
	case DEVICE_ABSENT:
	case DEVICE_STOPPING:
		return -ENODEV;
	case DEVICE_SERVING:
	case DEVICE_REPLACING:
	case DEVICE_RESTARTING:
		*blocked = GUEST_BLOCKED_OPERATOR;
		guest_device_kill_worker(device);
		return 0;
	case DEVICE_LOST:
		if (!*blocked)
			log_info("%s: blocked", device->name);
		*blocked = GUEST_BLOCKED_OPERATOR;
		return 0;
	}
	return -ENODEV;
}

int guest_device_unblock(struct guest_device *device)
{
	uint8_t *blocked = &device->kept->health.blocked;

	if (device->state == DEVICE_ABSENT || device->state == DEVICE_STOPPING)
		return -ENODEV;
	guest_health_forgive(&device->health);
	if (!*blocked)
		return 0;
	*blocked = GUEST_NOT_BLOCKED;
	guest_device_complain(device, NULL);
	if (guest_device_resume(device))
		log_info("%s: not blocked any more: a new worker goes on where the last one ended",
		    device->name);
	else
		log_info(
		    "%s: not blocked any more: a new worker starts when the guest resets its %s",
		    device->name, guest_device_noun(device));
	return 0;
}

int guest_device_reset_worker(struct guest_device *device)
{
	if (device->kept->health.blocked)
		return -EPERM;
	switch (device->state) {
	case DEVICE_SERVING:
		log_info("%s: its worker is replaced, as was asked for", device->name);
		guest_device_kill_worker(device);
		return 0;
	case DEVICE_STARTING:
	case DEVICE_REPLACING:
	case DEVICE_RESTARTING:
		return -EAGAIN;
	default:
		return -ENODEV;
	}
}
