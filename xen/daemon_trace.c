/* SPDX-License-Identifier: MIT */
/* Recordings and levels of logs, of all guests or of one. */
#include "backend/log.h"
#include "xen/daemon.h"
#include "xen/guest.h"
#include "xen/guest_device.h"
#include "xen/tracing.h"

/* The next device of @only, or of all guests. */
static struct guest_device *next_device(
    struct gpu_daemon *gpu_daemon, struct guest *only, unsigned position[2], struct guest **guest)
{
	struct guest_device *device;

	if (!*guest)
		*guest = only ? only : daemon_next_guest(gpu_daemon, &position[0]);
	while (*guest) {
		device = guest_next(*guest, &position[1]);
		if (device)
			return device;
		position[1] = 0;
		*guest = only ? NULL : daemon_next_guest(gpu_daemon, &position[0]);
	}
	return NULL;
}

int daemon_start_trace(struct gpu_daemon *gpu_daemon, struct guest *only, unsigned seconds)
{
	struct tracing *tracing = daemon_tracing(gpu_daemon);
	unsigned position[2] = { 0 };
	struct guest *guest = NULL;
	struct guest_device *device;
	int error;

	if (!tracing->on) {
		daemon_forget_trace(gpu_daemon);
		error = tracing_start(tracing, seconds);
		if (error)
			return error;
	}
	tracing->all |= !only;
	while ((device = next_device(gpu_daemon, only, position, &guest))) {
		if (!guest_device_is_gpu(device) || guest_device_is_traced(device))
			continue;
		error = guest_device_start_trace(device);
		if (error)
			return error;
	}
	return 0;
}

void daemon_stop_trace(struct gpu_daemon *gpu_daemon)
{
	unsigned position[2] = { 0 };
	struct guest *guest = NULL;
	struct guest_device *device;

	tracing_stop(daemon_tracing(gpu_daemon));
	while ((device = next_device(gpu_daemon, NULL, position, &guest)))
		if (guest_device_is_gpu(device))
			guest_device_stop_trace(device);
}

void daemon_forget_trace(struct gpu_daemon *gpu_daemon)
{
	unsigned position[2] = { 0 };
	struct guest *guest = NULL;
	struct guest_device *device;

	daemon_stop_trace(gpu_daemon);
	tracing_forget(daemon_tracing(gpu_daemon));
	while ((device = next_device(gpu_daemon, NULL, position, &guest)))
		guest_device_forget_trace(device);
}

void daemon_set_log_level(struct gpu_daemon *gpu_daemon, struct guest *only, enum log_level level)
{
	unsigned position[2] = { 0 };
	struct guest *guest = NULL;
	struct guest_device *device;

	if (!only)
		log_set_level(level);
	while ((device = next_device(gpu_daemon, only, position, &guest)))
		guest_device_set_log_level(device, level);
}
