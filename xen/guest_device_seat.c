/* SPDX-License-Identifier: MIT */
/*
 * A device at the seat: one end of a socket goes there, with the name of the guest that it belongs
 * to, and the other one to the device's worker. Neither knows, nor waits for, the other before. A
 * new worker, and a new seat, get new ones; a new gpudomd finds the old ones in use, and leaves
 * them alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/guest_device_private.h"
#include "xen/seat_link.h"
#include "xen/worker_message.h"

/* Does one that is started now show at the seat? */
static bool guest_device_wants_seat(const struct guest_device *device)
{
	switch (device->options.display) {
	case CONFIG_DISPLAY_HEADLESS:
		return false;
	case CONFIG_DISPLAY_SEAT:
		return true;
	case CONFIG_DISPLAY_AUTO:
		return seat_link_is_connected(device->options.seat);
	}
	return false;
}

void guest_device_choose_display(struct guest_device *device)
{
	if (!guest_device_is_gpu(device))
		return;
	device->kept->at_seat = guest_device_wants_seat(device);
	snprintf(device->option, sizeof(device->option), "--display=%s",
	    device->kept->at_seat ? "frontend" : "headless");
}

bool guest_device_display_changed(const struct guest_device *device)
{
	return guest_device_is_gpu(device) &&
	       device->kept->at_seat != guest_device_wants_seat(device);
}

bool guest_device_shows_at_seat(const struct guest_device *device)
{
	return guest_device_is_gpu(device) && device->kept->at_seat;
}

bool guest_device_is_at_seat(const struct guest_device *device)
{
	return device->kept->seat && device->kept->seat == seat_link_instance(device->options.seat);
}

/* ------------------------------------------------------------------ its socket */

/* Takes @fd over. */
static int guest_device_give_socket(struct guest_device *device, int fd)
{
	const struct worker_message message = { .type = WORKER_SET_SEAT, .size = sizeof(message) };
	int error;

	if (guest_device_is_gpu(device)) {
		frontend_set_gpu_socket(device->worker.frontend, fd);
		return 0;
	}
	error = guest_worker_send(&device->worker, &message, fd);
	close(fd);
	return error;
}

static int guest_device_introduce(struct guest_device *device)
{
	const bool gpu = guest_device_is_gpu(device);
	const struct seat_device introduction = {
		.guest = device->options.worker_name,
		.domid = device->kept->device.domid,
		.devid = device->kept->device.devid,
		.kind = gpu ? "gpu" : seat_input_kind_name(device->options.input),
	};
	int error, pair[2];

	if (socketpair(AF_UNIX, (gpu ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC | SOCK_NONBLOCK,
		0, pair) < 0)
		return -errno;
	error = seat_link_add(device->options.seat, &introduction, pair[0]);
	if (error) {
		close(pair[1]);
		return error;
	}
	return guest_device_give_socket(device, pair[1]);
}

void guest_device_join_seat(struct guest_device *device)
{
	const uint64_t seat = seat_link_instance(device->options.seat);
	int error;

	if (!seat || device->kept->seat == seat || device->state != DEVICE_SERVING)
		return;
	if (guest_device_is_gpu(device) && !device->kept->at_seat)
		return;
	error = guest_device_introduce(device);
	if (error) {
		log_guest(&device->limit, "%s: it does not get to the seat: %s", device->name,
		    strerror(-error));
		return;
	}
	/* From now on, a successor of this process leaves it alone. */
	device->kept->seat = seat;
}

void guest_device_seat_came(struct guest_device *device)
{
	guest_device_join_seat(device);
	if (device->kept->at_seat)
		guest_signal_moved(&device->health.signal);
}

void guest_device_seat_unsure(struct guest_device *device)
{
	device->kept->seat = 0;
}

/* ------------------------------------------------------- the picture of a lost guest */

int guest_device_picture_size(void *data, unsigned output, uint32_t *width, uint32_t *height)
{
	struct guest_device *device = data;
	struct telemetry telemetry;

	if (!device->kept->at_seat)
		return -ENOTCONN;
	if (!device->health.page)
		return -ENOENT;
	telemetry_read(device->health.page, &telemetry);
	*width = telemetry.outputs[output].width;
	*height = telemetry.outputs[output].height;
	return telemetry.outputs[output].flushes && *width && *height ? 0 : -ENOENT;
}

/* A file of memory with the picture; -errno. */
static int picture_file(const uint32_t *pixels, size_t size)
{
	int error, fd = memfd_create("gpudom-picture", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const uint8_t *)pixels + done, size - done);

		if (n < 0) {
			error = -errno;
			close(fd);
			return error;
		}
		done += (size_t)n;
	}
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	return fd;
}

int guest_device_show_picture(
    void *data, unsigned output, uint32_t width, uint32_t height, const uint32_t *pixels)
{
	struct guest_device *device = data;
	struct json_object *command;
	int fd;

	if (!seat_link_is_connected(device->options.seat))
		return -ENOTCONN;
	fd = picture_file(pixels, (size_t)width * height * 4);
	if (fd < 0)
		return fd;
	command = json_object_new_object();
	json_object_object_add(command, "command", json_object_new_string("picture"));
	json_object_object_add(
	    command, "guest", json_object_new_string(device->options.worker_name));
	json_object_object_add(command, "scanout", json_object_new_int((int)output));
	json_object_object_add(command, "width", json_object_new_int64(width));
	json_object_object_add(command, "height", json_object_new_int64(height));
	return seat_link_ask(device->options.seat, command, fd, NULL, NULL, NULL);
}
