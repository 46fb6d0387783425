/* SPDX-License-Identifier: MIT */
/* What the seat is asked, for people: "focus", "output", and its parts of "screen" and "status". It
 * answers when it likes, or not at all; gpudomd does not wait for it. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/display.h"
#include "xen/control_private.h"
#include "xen/daemon.h"
#include "xen/guest.h"
#include "xen/guest_device.h"
#include "xen/seat_link.h"

static const char *error_of(struct json_object *answer)
{
	struct json_object *member;

	if (json_object_object_get_ex(answer, "error", &member) &&
	    json_object_is_type(member, json_type_string))
		return json_object_get_string(member);
	return "it does not say why";
}

/* As run(). */
static int seat_fail(struct control_call *call, int error, struct json_object *answer)
{
	switch (error) {
	case -ENOTCONN:
		return control_fail(
		    call, "no-seat", "gpudom-seat does not run: systemctl start gpudom-seat");
	case -EBUSY:
	case -ETIMEDOUT:
		return control_fail(call, "no-answer",
		    "gpudom-seat does not answer: systemctl restart gpudom-seat (guests go on)");
	case -EREMOTEIO:
		return control_fail(call, "refused", "%.400s", error_of(answer));
	default:
		return control_fail(
		    call, "failed", "the seat cannot be asked: %s", strerror(-error));
	}
}

/* A command to the seat, with a guest's name if it has one. */
static struct json_object *seat_command(const char *name, const struct guest *guest)
{
	struct json_object *command = json_object_new_object();

	control_add_text(command, "command", name);
	if (guest)
		control_add_text(command, "guest", guest_seat_name(guest));
	return command;
}

/* Takes @command over. As run(). */
static int seat_ask(struct control_call *call, struct json_object *command, seat_link_done done)
{
	struct seat_link *link = daemon_seat(call->gpu_daemon);
	int error;

	seat_link_try(link);
	error = seat_link_ask(link, command, -1, done, call, &call->asked);
	return error ? seat_fail(call, error, NULL) : CONTROL_LATER;
}

/* ------------------------------------------------------------------- actions */

/* What has happened was prepared as the result's "text". */
static void action_done(void *data, int error, struct json_object *answer, int fd)
{
	struct control_call *call = data;

	call->asked = NULL;
	if (fd >= 0)
		close(fd);
	control_finish(call, error ? seat_fail(call, error, answer) : 0);
}

int control_run_focus(struct control_call *call)
{
	const struct guest *guest = control_get_guest(call);
	char text[256];

	if (!guest)
		return -EINVAL;
	snprintf(text, sizeof(text), "%s has the keyboard and the pointer.", guest_title(guest));
	control_add_text(call->result, "text", text);
	return seat_ask(call, seat_command("focus", guest), action_done);
}

int control_run_output(struct control_call *call)
{
	const char *mode = control_get_text(call, "mode");
	const struct guest *guest = control_get_guest(call);
	struct json_object *command;
	char text[256];
	int64_t output;

	if (!guest || control_get_number(call, "output", 0, DISPLAY_SCANOUTS_MAX - 1, 0, &output))
		return -EINVAL;
	if (!mode || !*mode)
		return control_fail(
		    call, "bad-request", "\"mode\" must be off, on, or WIDTHxHEIGHT[@HZ]");
	snprintf(text, sizeof(text), "%s, output %d: %.64s", guest_title(guest), (int)output, mode);
	control_add_text(call->result, "text", text);
	command = seat_command("output", guest);
	control_add_number(command, "scanout", (uint64_t)output);
	control_add_text(command, "mode", mode);
	return seat_ask(call, command, action_done);
}

/* ------------------------------------------------------------------- a picture */

/* A number of pixels, or bytes, that somebody else is to believe. */
static bool copy_number(
    struct control_call *call, struct json_object *answer, const char *member, int64_t most)
{
	struct json_object *value;
	int64_t number;

	if (!json_object_object_get_ex(answer, member, &value) ||
	    !json_object_is_type(value, json_type_int))
		return false;
	number = json_object_get_int64(value);
	control_add_number(call->result, member, (uint64_t)number);
	return number > 0 && number <= most;
}

static void captured(void *data, int error, struct json_object *answer, int fd)
{
	struct control_call *call = data;
	int r = 0;

	call->asked = NULL;
	if (error) {
		r = seat_fail(call, error, answer);
	} else if (fd < 0 || !copy_number(call, answer, "width", 16384) ||
		   !copy_number(call, answer, "height", 16384) ||
		   !copy_number(call, answer, "stride", 16384 * 16)) {
		r = control_fail(call, "failed", "the seat's picture makes no sense");
	} else {
		control_add_text(call->result, "source", "seat");
		call->fd = fd;
		fd = -1;
	}
	if (fd >= 0)
		close(fd);
	control_finish(call, r);
}

int control_capture(struct control_call *call, const struct guest_device *device, unsigned output)
{
	const struct guest *guest = control_get_guest(call);
	struct json_object *command;

	if (!guest)
		return -EINVAL;
	control_add_number(call->result, "devid", guest_device_description(device)->devid);
	command = seat_command("capture", guest);
	control_add_number(command, "scanout", output);
	return seat_ask(call, command, captured);
}

/* ------------------------------------------------------------------- its status */

static void add_absent_seat(struct control_call *call, bool connected, const char *trouble)
{
	struct json_object *seat = json_object_new_object();

	json_object_object_add(seat, "connected", json_object_new_boolean(connected));
	control_add_text(seat, "trouble", trouble);
	json_object_object_add(call->result, "seat", seat);
}

static void described(void *data, int error, struct json_object *answer, int fd)
{
	struct control_call *call = data;

	call->asked = NULL;
	if (fd >= 0)
		close(fd);
	if (error) {
		seat_fail(call, error, answer);
		add_absent_seat(call, error != -ENOTCONN, call->message);
	} else {
		json_object_object_del(answer, "ok");
		json_object_object_add(answer, "connected", json_object_new_boolean(true));
		json_object_object_add(call->result, "seat", json_object_get(answer));
	}
	control_finish(call, 0);
}

int control_add_seat(struct control_call *call)
{
	struct seat_link *link = daemon_seat(call->gpu_daemon);
	int r;

	/* Nobody waits again for who has not answered the last time. */
	if (!link || seat_link_is_late(link)) {
		seat_fail(call, link ? -ETIMEDOUT : -ENOTCONN, NULL);
		add_absent_seat(call, link, call->message);
		return 0;
	}
	r = seat_ask(call, seat_command("status", NULL), described);
	if (r == CONTROL_LATER)
		return r;
	add_absent_seat(call, false, call->message);
	return 0;
}
