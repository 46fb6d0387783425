/* SPDX-License-Identifier: MIT */
/* "screen": what is on a guest's outputs, as a file that its receiver reads. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/display.h"
#include "backend/screen.h"
#include "xen/control_private.h"
#include "xen/guest.h"
#include "xen/guest_device.h"

/*
 * Our own descriptor can write. The new one cannot, and nor can whoever opens it once more by
 * /proc, unless it is root: the file's mode forbids it.
 */
static int screen_reopen(int fd)
{
	char path[32];
	int reader;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fchmod(fd, 0400) < 0)
		return -errno;
	reader = open(path, O_RDONLY | O_CLOEXEC);
	return reader < 0 ? -errno : reader;
}

/* The sizes that there are now; a picture can change at any time. */
static void list_outputs(struct json_object *result, int fd)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		struct screen_output output;
		struct json_object *one;

		if (screen_read(fd, i, &output) < 0 || (!output.serial && !output.lost))
			continue;
		one = json_object_new_object();
		control_add_number(one, "output", i);
		control_add_number(one, "width", output.width);
		control_add_number(one, "height", output.height);
		control_add_number(one, "serial", output.serial);
		json_object_array_add(list, one);
	}
	json_object_object_add(result, "outputs", list);
}

int control_run_screen(struct control_call *call)
{
	struct guest_device *device = control_get_device(call);
	int64_t output;
	int fd;

	if (!device)
		return -EINVAL;
	if (!guest_device_is_gpu(device))
		return control_fail(call, "no-screen", "an input device has no screen");
	if (control_get_number(call, "output", 0, DISPLAY_SCANOUTS_MAX - 1, 0, &output))
		return -EINVAL;
	if (guest_device_shows_at_seat(device))
		return control_capture(call, device, (unsigned)output);
	fd = guest_device_screen(device);
	if (fd < 0)
		return control_fail(call, "no-screen",
		    "this GPU shows its frames elsewhere (display in gpudom.conf), or nowhere");
	call->fd = screen_reopen(fd);
	if (call->fd < 0)
		return control_fail(
		    call, "failed", "the screen's file cannot be opened: %s", strerror(-call->fd));
	control_add_number(call->result, "devid", guest_device_description(device)->devid);
	list_outputs(call->result, fd);
	return 0;
}
