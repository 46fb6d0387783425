/* SPDX-License-Identifier: MIT */
#include "xen/guest_device_summary.h"

#include <stdio.h>

#include "xen/guest_device_private.h"
#include "xen/worker_process.h"

static const char *const states[] = {
	[DEVICE_STARTING] = "starting",
	[DEVICE_SERVING] = "serving",
	[DEVICE_REPLACING] = "replacing",
	[DEVICE_LOST] = "lost",
	[DEVICE_RESTARTING] = "restarting",
	[DEVICE_ABSENT] = "absent",
	[DEVICE_STOPPING] = "stopping",
};

static const char *trouble_of(const struct guest_device *device)
{
	switch (device->state) {
	case DEVICE_REPLACING:
		return "Its worker has died; another one takes its place.";
	case DEVICE_LOST:
		return "Its worker has died too often; the guest must reset its GPU (or reboot).";
	case DEVICE_ABSENT:
		return "No worker could be started for it; gpudomd's log says why.";
	case DEVICE_STARTING:
	case DEVICE_SERVING:
	case DEVICE_RESTARTING:
	case DEVICE_STOPPING:
		break;
	}
	return device->complaint ? device->complaint : "";
}

void guest_device_summarise(const struct guest_device *device, struct guest_device_summary *status)
{
	const struct guest_worker *worker = &device->worker;

	*status = (struct guest_device_summary){
		.state = states[device->state],
		.pid = worker->process ? worker_process_pid(worker->process) : 0,
		.deaths = worker->deaths.count,
		.replacements = device->replacements,
		.reads = device->reads,
		.writes = device->writes,
		.kicks = device->mmio.notifications,
		.interrupts = device->calls_forwarded,
		.log_suppressed = device->limit.suppressed,
		.known = device->health.page != NULL,
	};
	snprintf(status->trouble, sizeof(status->trouble), "%s", trouble_of(device));
	snprintf(status->last_death, sizeof(status->last_death), "%s", worker->last_end);
	if (status->known)
		telemetry_read(device->health.page, &status->telemetry);
}

int guest_device_summary_screen(const struct guest_device *device)
{
	return device->health.screen_fd;
}
