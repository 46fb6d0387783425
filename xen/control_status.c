/* SPDX-License-Identifier: MIT */
/* "status": all that is known of guests and their devices. */
#include <json-c/json.h>
#include <unistd.h>

#include "backend/telemetry.h"
#include "tools/version.h"
#include "xen/control_private.h"
#include "xen/daemon.h"
#include "xen/guest.h"
#include "xen/guest_device.h"

/* The numbers of the bits that are set. */
static void add_outputs(struct json_object *object, const char *member, uint32_t outputs)
{
	struct json_object *list = json_object_new_array();

	for (int i = 0; i < 32; i++)
		if (outputs & 1u << i)
			json_object_array_add(list, json_object_new_int(i));
	json_object_object_add(object, member, list);
}

static void add_health(struct json_object *object, const struct health_state *health)
{
	control_add_number(object, "deaths", health->deaths);
	control_add_number(object, "hangs", health->hangs);
	control_add_number(object, "replacements", health->replacements);
	control_add_number(object, "freezes", health->freezes);
	control_add_text(object, "last_death", health->last_end);
}

static void add_limits(struct json_object *object, const struct gpu_limits *limits)
{
	struct json_object *one = json_object_new_object();

	control_add_number(one, "resources", limits->resources);
	control_add_number(one, "contexts", limits->contexts);
	control_add_number(one, "attachments", limits->attachments);
	control_add_number(one, "fences", limits->fences);
	control_add_number(one, "maps", limits->maps);
	control_add_number(one, "host_bytes", limits->host_bytes);
	control_add_number(one, "backing_bytes", limits->backing_bytes);
	control_add_number(one, "command_bytes", limits->command_bytes);
	control_add_number(one, "submissions", limits->submissions);
	control_add_number(one, "frame_rate", limits->frame_rate);
	control_add_number(one, "gpu_time", limits->gpu_time);
	json_object_object_add(object, "limits", one);
}

static struct json_object *status_of_device(const struct guest_device *device, uint64_t now_ns)
{
	struct json_object *object = json_object_new_object();
	struct guest_device_status status;
	char trouble[512];

	guest_device_get_status(device, &status);
	control_describe_trouble(&status, now_ns, trouble, sizeof(trouble));
	control_add_number(object, "devid", status.devid);
	control_add_text(object, "type", guest_device_is_gpu(device) ? "gpu" : "input");
	if (guest_device_is_gpu(device))
		control_add_text(object, "display", status.for_seat ? "seat" : "headless");
	json_object_object_add(object, "at_seat", json_object_new_boolean(status.at_seat));
	if (status.input != SEAT_INPUT_KINDS)
		control_add_text(object, "kind", seat_input_kind_name(status.input));
	control_add_text(
	    object, "state", status.blocked ? "blocked" : guest_device_state_name(status.state));
	control_add_text(object, "trouble", trouble);
	json_object_object_add(
	    object, "grants", json_object_new_boolean(guest_device_description(device)->grants));
	json_object_object_add(object, "running", json_object_new_boolean(status.running));
	control_add_number(object, "pid", (uint64_t)status.pid);
	add_health(object, &status.health);
	add_outputs(object, "frozen", status.frozen);
	add_outputs(object, "lost", status.lost);
	control_add_number(object, "reads", status.reads);
	control_add_number(object, "writes", status.writes);
	control_add_number(object, "kicks", status.kicks);
	control_add_number(object, "interrupts", status.interrupts);
	control_add_number(object, "log_lines", status.log_lines);
	control_add_number(object, "log_suppressed", status.log_suppressed);
	if (guest_device_is_gpu(device))
		add_limits(object, &status.limits);
	if (status.known)
		json_object_object_add(
		    object, "worker", control_describe_telemetry(&status.telemetry));
	return object;
}

static struct json_object *status_of_guest(const struct guest *guest, uint64_t now_ns)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	const struct guest_device *device;
	unsigned position = 0;

	control_add_text(object, "name", guest_name(guest));
	control_add_number(object, "domid", guest_domid(guest));
	while ((device = guest_next(guest, &position)))
		json_object_array_add(list, status_of_device(device, now_ns));
	json_object_object_add(object, "devices", list);
	return object;
}

int control_run_status(struct control_call *call)
{
	struct json_object *list = json_object_new_array();
	const struct guest *guest = NULL;
	uint64_t now_ns = telemetry_now();
	unsigned position = 0;

	if (json_object_object_get_ex(call->request, "guest", NULL)) {
		guest = control_get_guest(call);
		if (guest)
			json_object_array_add(list, status_of_guest(guest, now_ns));
	} else {
		while ((guest = daemon_next_guest(call->gpu_daemon, &position)))
			json_object_array_add(list, status_of_guest(guest, now_ns));
	}
	control_add_number(call->result, "now_ns", now_ns);
	control_add_number(call->result, "started_ns", daemon_started_ns(call->gpu_daemon));
	control_add_number(call->result, "pid", (uint64_t)getpid());
	control_add_text(call->result, "version", GPUDOM_VERSION);
	json_object_object_add(call->result, "guests", list);
	return call->code ? -1 : control_add_seat(call);
}
