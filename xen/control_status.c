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
#include "xen/guest_device_summary.h"

static struct json_object *status_of_device(const struct guest_device *device)
{
	const struct discovery_device *description = guest_device_description(device);
	struct json_object *object = json_object_new_object();
	struct guest_device_summary status;

	guest_device_summarise(device, &status);
	control_add_number(object, "devid", description->devid);
	control_add_text(object, "state", status.state);
	control_add_text(object, "trouble", status.trouble);
	json_object_object_add(object, "grants", json_object_new_boolean(description->grants));
	control_add_number(object, "pid", (uint64_t)status.pid);
	control_add_number(object, "deaths", status.deaths);
	control_add_number(object, "replacements", status.replacements);
	control_add_text(object, "last_death", status.last_death);
	control_add_number(object, "reads", status.reads);
	control_add_number(object, "writes", status.writes);
	control_add_number(object, "kicks", status.kicks);
	control_add_number(object, "interrupts", status.interrupts);
	control_add_number(object, "log_suppressed", status.log_suppressed);
	if (status.known)
		json_object_object_add(
		    object, "worker", control_describe_telemetry(&status.telemetry));
	return object;
}

static struct json_object *status_of_guest(const struct guest *guest)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();
	const struct guest_device *device;
	unsigned position = 0;

	control_add_text(object, "name", guest_name(guest));
	control_add_number(object, "domid", guest_domid(guest));
	while ((device = guest_next_gpu(guest, &position)))
		json_object_array_add(list, status_of_device(device));
	json_object_object_add(object, "devices", list);
	return object;
}

int control_run_status(struct control_call *call)
{
	struct json_object *list = json_object_new_array();
	const struct guest *guest = NULL;
	unsigned position = 0;

	if (json_object_object_get_ex(call->request, "guest", NULL)) {
		guest = control_get_guest(call);
		if (guest)
			json_object_array_add(list, status_of_guest(guest));
	} else {
		while ((guest = daemon_next_guest(call->gpu_daemon, &position)))
			json_object_array_add(list, status_of_guest(guest));
	}
	control_add_number(call->result, "now_ns", telemetry_now());
	control_add_number(call->result, "started_ns", daemon_started_ns(call->gpu_daemon));
	control_add_number(call->result, "pid", (uint64_t)getpid());
	control_add_text(call->result, "version", GPUDOM_VERSION);
	json_object_object_add(call->result, "guests", list);
	return call->code ? -1 : 0;
}
