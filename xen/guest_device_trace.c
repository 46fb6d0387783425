/* SPDX-License-Identifier: MIT */
/* What a device's worker is told at run time about its log and its trace. One that replaces it is
 * told the same. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/guest_device_private.h"
#include "xen/worker_message.h"

static void guest_device_tell(
    struct guest_device *device, enum worker_message_type type, uint64_t value, int fd)
{
	const struct worker_message message = {
		.type = type, .size = sizeof(message), .value = value
	};
	int error = guest_worker_send(&device->worker, &message, fd);

	if (error && error != -ENOTCONN)
		log_warning("%s: cannot tell its worker: %s", device->name, strerror(-error));
}

int guest_device_start_trace(struct guest_device *device)
{
	guest_device_forget_trace(device);
	device->trace_fd = trace_create_file();
	if (device->trace_fd < 0)
		return device->trace_fd;
	device->tracing = true;
	guest_device_tell(device, WORKER_TRACE_START, 0, device->trace_fd);
	return 0;
}

void guest_device_stop_trace(struct guest_device *device)
{
	/* Also where an earlier gpudomd has started it. */
	guest_device_tell(device, WORKER_TRACE_STOP, 0, -1);
	device->tracing = false;
}

void guest_device_forget_trace(struct guest_device *device)
{
	if (device->trace_fd >= 0)
		close(device->trace_fd);
	device->trace_fd = -1;
	device->tracing = false;
}

int guest_device_trace_fd(const struct guest_device *device)
{
	return device->trace_fd;
}

bool guest_device_is_traced(const struct guest_device *device)
{
	return device->tracing;
}

void guest_device_set_log_level(struct guest_device *device, enum log_level level)
{
	device->log_level = level;
	guest_device_tell(device, WORKER_LOG_LEVEL, level, -1);
}

void guest_device_tell_again(struct guest_device *device)
{
	/* Also a worker of a predecessor, whose limits were others perhaps. */
	guest_device_set_limits(device, &device->options.limits);
	guest_device_tell(device, WORKER_LOG_LEVEL, device->log_level, -1);
	if (device->tracing)
		guest_device_tell(device, WORKER_TRACE_START, 0, device->trace_fd);
}
