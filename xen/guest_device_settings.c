/* SPDX-License-Identifier: MIT */
/*
 * New settings for a device that is served. Its worker is told of new limits at once, and so is
 * each one that replaces it. What a worker learns from its command line alone holds for the one
 * that is started when the guest resets its device: only then may features, outputs and capability
 * sets be others than those that its driver knows. Until then a worker that dies is replaced by one
 * with the old ones.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/log.h"
#include "xen/config.h"
#include "xen/guest_device_private.h"
#include "xen/worker_message.h"

void guest_device_set_limits(struct guest_device *device, const struct gpu_limits *limits)
{
	const struct worker_message message = {
		.type = WORKER_SET_LIMITS, .size = sizeof(message), .limits = *limits
	};
	int error;

	device->options.limits = *limits;
	if (!guest_device_is_gpu(device))
		return; /* it has none of these */
	error = guest_worker_send(&device->worker, &message, -1);
	if (error && error != -ENOTCONN)
		log_warning(
		    "%s: cannot tell its worker of its limits: %s", device->name, strerror(-error));
}

static void guest_device_forget_arguments(struct guest_device *device)
{
	config_arguments_free(device->next_arguments);
	device->next_arguments = NULL;
	device->renew = false;
}

void guest_device_set_arguments(struct guest_device *device, char **arguments,
    enum config_display display, enum seat_input_kind input, uint64_t settings)
{
	guest_device_forget_arguments(device);
	device->next_arguments = arguments;
	device->next_input = input;
	device->options.display = display; /* looked at when a worker starts */
	device->options.settings = settings;
	/* They may be what they were when the worker was started. */
	device->renew = settings != device->kept->settings;
}

void guest_device_choose_kind(struct guest_device *device, enum seat_input_kind kind)
{
	device->options.input = kind;
	device->kept->input = (uint8_t)kind;
	if (kind < SEAT_INPUT_KINDS)
		snprintf(device->option, sizeof(device->option), "--device=%s",
		    seat_input_kind_name(kind));
}

void guest_device_use_arguments(struct guest_device *device)
{
	if (device->next_arguments) {
		config_arguments_free(device->options.worker_arguments);
		device->options.worker_arguments = device->next_arguments;
		device->worker.options.arguments = device->next_arguments;
		device->next_arguments = NULL;
	}
	guest_device_choose_kind(device, device->next_input);
	device->renew = false;
	device->kept->settings = device->options.settings;
}

void guest_device_finish_settings(struct guest_device *device)
{
	guest_device_forget_arguments(device);
	config_arguments_free(device->options.worker_arguments);
	device->options.worker_arguments = NULL;
}
