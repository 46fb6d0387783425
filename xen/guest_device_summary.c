/* SPDX-License-Identifier: MIT */
#include "xen/guest_device_summary.h"

#include <stdio.h>

#include "xen/guest_device_private.h"
#include "xen/worker_process.h"

static const char *trouble_of(const struct guest_device *device)
{
	switch (device->state) {
	case DEVICE_REPLACING:
		return "Its worker has died; another one takes its place.";
	case DEVICE_LOST:
		switch ((enum guest_block)device->kept->health.blocked) {
		case GUEST_BLOCKED_CRASHES:
			return "Blocked: its worker has died too often ('gpudomctl unblock').";
		case GUEST_BLOCKED_OPERATOR:
			return "Blocked by hand ('gpudomctl unblock').";
		case GUEST_NOT_BLOCKED:
			break;
		}
		return "It has no worker; the guest must reset its GPU (or reboot).";
	case DEVICE_ABSENT:
		return "No worker could be started for it; gpudomd's log says why.";
	case DEVICE_STARTING:
	case DEVICE_SERVING:
	case DEVICE_RESTARTING:
	case DEVICE_STOPPING:
		break;
	}
	if (device->health.signal.frozen)
		return "Frozen: the guest draws no frames, and has promised some (flush-deadline).";
	return device->complaint ? device->complaint : "";
}

void guest_device_summarise(const struct guest_device *device, struct guest_device_summary *status)
{
	const struct guest_worker *worker = &device->worker;
	const struct health_state *health = &device->kept->health;

	*status = (struct guest_device_summary){
		.state = guest_device_state_name(device->state),
		.pid = worker->process ? worker_process_pid(worker->process) : 0,
		.deaths = health->deaths,
		.replacements = health->replacements,
		.hangs = health->hangs,
		.freezes = health->freezes,
		.blocked = health->blocked,
		.frozen = device->health.signal.frozen,
		.lost = guest_signal_lost(&device->health.signal),
		.reads = device->reads,
		.writes = device->writes,
		.kicks = device->mmio.notifications,
		.interrupts = device->calls_forwarded,
		.log_suppressed = device->limit.not_written + device->mmio.limit.not_written,
		.known = device->health.page != NULL,
	};
	snprintf(status->trouble, sizeof(status->trouble), "%s", trouble_of(device));
	snprintf(status->last_death, sizeof(status->last_death), "%s", health->last_end);
	if (status->known)
		telemetry_read(device->health.page, &status->telemetry);
}

int guest_device_summary_screen(const struct guest_device *device)
{
	return device->health.screen_fd;
}
