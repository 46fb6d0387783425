/* SPDX-License-Identifier: MIT */
/* Commands that change something: "block", "unblock", "reset", "reload". Each answer says, in
 * "text", what has happened. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/log.h"
#include "xen/control_private.h"
#include "xen/daemon.h"
#include "xen/guest.h"
#include "xen/guest_device.h"

/* ---------------------------------------------------------------------- guests */

struct action {
	int (*run)(struct guest_device *device);
	const char *name;
	const char *done;       /* what has happened to the guest, where it was its GPU */
	const char *done_input; /* ... or an input device */
};

static int action_fail(struct control_call *call, const struct action *action,
    const struct guest *guest, const struct guest_device *device, int error)
{
	const char *title = guest_title(guest), *name = action->name;
	char which[DISCOVERY_NAME_BYTES];

	discovery_name_device(guest_device_description(device), which);
	switch (error) {
	case -EAGAIN:
		return control_fail(call, "busy",
		    "%s, %s: a worker is on its way; try to %s it again in a moment", title, which,
		    name);
	case -EPERM:
		return control_fail(call, "blocked",
		    "%s, %s is blocked: 'gpudomctl unblock' lets it go on", title, which);
	case -ENODEV:
		return control_fail(call, "no-worker",
		    "%s, %s: there is no worker; the guest must reset its %s, or be started anew",
		    title, which, guest_device_noun(device));
	default:
		return control_fail(call, "failed", "%s, %s: %s", title, which, strerror(-error));
	}
}

/* On the device that member "device" names, or all GPUs of the guest. */
static int control_act(struct control_call *call, const struct action *action)
{
	struct guest *guest = control_get_guest(call);
	const char *done = action->done;
	struct guest_device *device;
	unsigned position = 0;
	char text[256];
	int64_t devid;

	if (!guest || control_get_number(call, "device", 0, UINT32_MAX, -1, &devid))
		return -EINVAL;
	if (!control_get_device(call))
		return -EINVAL;
	while ((device = guest_next(guest, &position))) {
		int error;

		if (devid < 0 ? !guest_device_is_gpu(device)
			      : guest_device_description(device)->devid != devid)
			continue;
		if (!guest_device_is_gpu(device))
			done = action->done_input;
		error = action->run(device);
		if (error)
			return action_fail(call, action, guest, device, error);
	}
	log_info(
	    "%s: %s, as somebody asked on the control socket", guest_title(guest), action->name);
	snprintf(text, sizeof(text), "%s %s", guest_title(guest), done);
	control_add_text(call->result, "text", text);
	return 0;
}

int control_run_block(struct control_call *call)
{
	static const struct action block = {
		.run = guest_device_block,
		.name = "block",
		.done =
		    "is blocked: no worker serves it, and it is told that its GPU needs a reset. "
		    "'gpudomctl unblock' lets it go on.",
		.done_input = "has this input device no more. 'gpudomctl unblock' lets it go on.",
	};

	return control_act(call, &block);
}

int control_run_unblock(struct control_call *call)
{
	static const struct action unblock = {
		.run = guest_device_unblock,
		.name = "unblock",
		.done =
		    "is not blocked (any more). A new worker goes on where the last one ended or, "
		    "if the guest has reset its GPU since, starts when it next does; what its "
		    "workers died of is forgotten.",
		.done_input =
		    "can have its input device back: a new worker goes on or, if the guest has "
		    "reset that since, starts when it next does.",
	};

	return control_act(call, &unblock);
}

int control_run_reset(struct control_call *call)
{
	static const struct action reset = {
		.run = guest_device_reset_worker,
		.name = "reset",
		.done =
		    "gets a new worker: what is 2D comes back by itself, programs that use 3D lose "
		    "their contexts.",
		.done_input = "gets a new worker for its input device.",
	};

	return control_act(call, &reset);
}

/* ---------------------------------------------------------------------- reload */

static void add_change(
    void *data, const struct guest *guest, const char *at_once, const char *at_reset)
{
	struct json_object *list = data, *one = json_object_new_object();

	control_add_text(one, "name", guest_name(guest));
	control_add_number(one, "domid", guest_domid(guest));
	control_add_text(one, "at_once", at_once);
	control_add_text(one, "at_reset", at_reset);
	json_object_array_add(list, one);
}

int control_run_reload(struct control_call *call)
{
	struct json_object *changed = json_object_new_array();
	char *errors = NULL;
	int error = daemon_reload(call->gpu_daemon, add_change, changed, &errors);

	if (error)
		control_fail(call, "bad-config", "nothing has changed: %s",
		    errors && *errors ? errors : strerror(-error));
	free(errors);
	if (error) {
		json_object_put(changed);
		return error;
	}
	control_add_text(call->result, "text",
	    json_object_array_length(changed) ? "gpudom.conf has been read."
					      : "gpudom.conf has been read; no running guest's "
						"settings are other ones.");
	json_object_object_add(call->result, "changed", changed);
	return 0;
}
