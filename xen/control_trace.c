/* SPDX-License-Identifier: MIT */
/* "trace-*" and "log-level": what happens when, and how much is said of it. */
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

#include "backend/log.h"
#include "xen/control_private.h"
#include "xen/daemon.h"
#include "xen/guest.h"
#include "xen/guest_device.h"
#include "xen/tracing.h"

static bool has_guest(const struct control_call *call)
{
	return json_object_object_get_ex(call->request, "guest", NULL);
}

int control_run_trace_start(struct control_call *call)
{
	struct tracing *tracing = daemon_tracing(call->gpu_daemon);
	struct guest *guest = NULL;
	int64_t seconds;
	int error;

	if (control_get_number(call, "seconds", 1, TRACING_SECONDS_MAX, 0, &seconds))
		return -1;
	if (has_guest(call)) {
		guest = control_get_guest(call);
		if (!guest)
			return -1;
	}
	if (tracing->on && seconds)
		return control_fail(call, "busy",
		    "a recording is on already; 'gpudomctl trace off FILE' ends it and writes it");
	error = daemon_start_trace(call->gpu_daemon, guest, (unsigned)seconds);
	if (error)
		return control_fail(call, "failed", "cannot record: %s", strerror(-error));
	return 0;
}

int control_run_trace_stop(struct control_call *call)
{
	daemon_stop_trace(call->gpu_daemon);
	return 0;
}

static void add_sources(struct gpu_daemon *gpu_daemon, struct json_object *list)
{
	unsigned position = 0, gpu;
	struct guest_device *device;
	struct guest *guest;

	while ((guest = daemon_next_guest(gpu_daemon, &position))) {
		gpu = 0;
		while ((device = guest_next_gpu(guest, &gpu))) {
			struct json_object *one;

			if (guest_device_trace_fd(device) < 0)
				continue;
			one = json_object_new_object();
			json_object_object_add(
			    one, "guest", json_object_new_string(guest_name(guest)));
			json_object_object_add(
			    one, "domid", json_object_new_int(guest_domid(guest)));
			json_object_object_add(one, "devid",
			    json_object_new_int64(guest_device_description(device)->devid));
			json_object_array_add(list, one);
		}
	}
}

int control_run_trace_forget(struct control_call *call)
{
	daemon_forget_trace(call->gpu_daemon);
	return 0;
}

int control_run_trace_status(struct control_call *call)
{
	const struct tracing *tracing = daemon_tracing(call->gpu_daemon);
	struct json_object *list = json_object_new_array();

	json_object_object_add(call->result, "on", json_object_new_boolean(tracing->on));
	if (tracing->fd >= 0) {
		json_object_object_add(
		    call->result, "from_ns", json_object_new_uint64(tracing->from_ns));
		json_object_object_add(call->result, "to_ns",
		    json_object_new_uint64(tracing->on ? trace_now() : tracing->to_ns));
	}
	add_sources(call->gpu_daemon, list);
	json_object_object_add(call->result, "sources", list);
	return 0;
}

/* -1: there is none. */
static int find_ring(struct gpu_daemon *gpu_daemon, int64_t domid, int64_t devid)
{
	unsigned position = 0, gpu;
	struct guest_device *device;
	struct guest *guest;

	while ((guest = daemon_next_guest(gpu_daemon, &position))) {
		gpu = 0;
		while (guest_domid(guest) == domid && (device = guest_next_gpu(guest, &gpu)))
			if (guest_device_description(device)->devid == devid)
				return guest_device_trace_fd(device);
	}
	return -1;
}

int control_run_trace_fetch(struct control_call *call)
{
	int64_t domid, devid;
	int fd;

	if (control_get_number(call, "domid", 0, UINT16_MAX, -1, &domid) ||
	    control_get_number(call, "devid", 0, UINT32_MAX, 0, &devid))
		return -1;
	fd = domid < 0 ? daemon_tracing(call->gpu_daemon)->fd
		       : find_ring(call->gpu_daemon, domid, devid);
	if (fd < 0)
		return control_fail(call, "no-trace", "there is no recording of that");
	call->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (call->fd < 0)
		return control_fail(call, "failed", "no descriptor is left");
	return 0;
}

int control_run_log_level(struct control_call *call)
{
	const char *name = control_get_text(call, "level");
	struct guest *guest = NULL;
	enum log_level level;

	if (!name || log_level_parse(name, &level) < 0)
		return control_fail(
		    call, "bad-request", "\"level\" must be error, warning, info or debug");
	if (has_guest(call)) {
		guest = control_get_guest(call);
		if (!guest)
			return -1;
	}
	daemon_set_log_level(call->gpu_daemon, guest, level);
	log_info("%s%s: the log's level is %s now", guest ? guest_title(guest) : "gpudomd",
	    guest ? "" : " and all guests", name);
	return 0;
}
