/* SPDX-License-Identifier: MIT */
/* What can be asked of gpudomd: one table, which gpudom-control(7) explains. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/version.h"
#include "xen/control_private.h"
#include "xen/daemon.h"
#include "xen/guest.h"
#include "xen/guest_device.h"
#include "xen/seat_link.h"

#define REQUEST_DEPTH 4 /* of objects in objects */
#define ID_MAX 64

static int control_run_commands(struct control_call *call);

static const struct control_command commands[] = {
	{ "commands", "", "the commands that there are", control_run_commands },
	{ "log-level", "level, guest?", "how much gpudomd and workers, or one guest's, write",
	    control_run_log_level },
	{ "block", "guest, device?", "take its GPU, or a device, away", control_run_block },
	{ "unblock", "guest, device?", "give it back", control_run_unblock },
	{ "reset", "guest, device?", "put a new worker in the place of its own",
	    control_run_reset },
	{ "focus", "guest", "let a guest have the keyboard and the pointer", control_run_focus },
	{ "output", "guest, output, mode", "switch a guest's output off or on, or set its mode",
	    control_run_output },
	{ "reload", "", "read the configuration anew", control_run_reload },
	{ "status", "guest?", "all that is known of guests and their devices", control_run_status },
	{ "screen", "guest, device?, output?", "what is on its outputs, as a file",
	    control_run_screen },
	{ "trace-fetch", "domid?, devid?", "the ring of a device's worker, or of gpudomd",
	    control_run_trace_fetch },
	{ "trace-forget", "", "end the recording, and free its memory", control_run_trace_forget },
	{ "trace-start", "guest?, seconds?", "begin a recording, or let a guest take part",
	    control_run_trace_start },
	{ "trace-status", "", "the recording that is on, or was last", control_run_trace_status },
	{ "trace-stop", "", "end the recording, and keep it", control_run_trace_stop },
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static int control_run_commands(struct control_call *call)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		struct json_object *one = json_object_new_object();

		control_add_text(one, "name", commands[i].name);
		control_add_text(one, "arguments", commands[i].arguments);
		control_add_text(one, "summary", commands[i].summary);
		json_object_array_add(list, one);
	}
	json_object_object_add(call->result, "commands", list);
	return 0;
}

void control_add_number(struct json_object *object, const char *member, uint64_t value)
{
	json_object_object_add(object, member, json_object_new_uint64(value));
}

void control_add_text(struct json_object *object, const char *member, const char *value)
{
	json_object_object_add(object, member, json_object_new_string(value));
}

/* ------------------------------------------------------ what a request says */

int control_fail(struct control_call *call, const char *code, const char *format, ...)
{
	va_list args;

	call->code = code;
	va_start(args, format);
	vsnprintf(call->message, sizeof(call->message), format, args);
	va_end(args);
	return -EINVAL;
}

const char *control_get_text(const struct control_call *call, const char *member)
{
	struct json_object *value;

	if (!json_object_object_get_ex(call->request, member, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

int control_get_number(struct control_call *call, const char *member, int64_t min, int64_t max,
    int64_t fallback, int64_t *out)
{
	struct json_object *value;

	*out = fallback;
	if (!json_object_object_get_ex(call->request, member, &value))
		return 0;
	*out = json_object_get_int64(value);
	if (json_object_is_type(value, json_type_int) && *out >= min && *out <= max)
		return 0;
	return control_fail(call, "bad-request",
	    "\"%s\" must be a number from %" PRId64 " to %" PRId64, member, min, max);
}

static void control_list_guests(struct control_call *call)
{
	unsigned position = 0;
	struct guest *guest;

	call->known_guests = json_object_new_array();
	while ((guest = daemon_next_guest(call->gpu_daemon, &position))) {
		struct json_object *one = json_object_new_object();

		control_add_text(one, "name", guest_name(guest));
		control_add_number(one, "domid", guest_domid(guest));
		json_object_array_add(call->known_guests, one);
	}
}

/* The domain id that @text is, or -1. */
static long control_parse_domid(const char *text)
{
	char *end;
	long domid = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && domid <= UINT16_MAX ? domid : -1;
}

struct guest *control_get_guest(struct control_call *call)
{
	struct guest *guest, *found = NULL;
	unsigned position = 0, matches = 0;
	struct json_object *value;
	const char *text;
	long domid;

	if (!json_object_object_get_ex(call->request, "guest", &value) ||
	    !(json_object_is_type(value, json_type_string) ||
		json_object_is_type(value, json_type_int))) {
		control_fail(call, "bad-request", "\"guest\" must be a guest's name or domain id");
		return NULL;
	}
	text = json_object_get_string(value);
	domid = control_parse_domid(text);
	while ((guest = daemon_next_guest(call->gpu_daemon, &position))) {
		if (guest_domid(guest) != domid && strcmp(guest_name(guest), text) != 0)
			continue;
		found = guest;
		matches++;
	}
	if (matches == 1)
		return found;
	control_list_guests(call);
	if (matches)
		control_fail(call, "ambiguous-guest",
		    "'%.64s' is more than one guest: use a domain id that is nobody's name", text);
	else
		control_fail(call, "no-such-guest", "gpudomd serves no guest '%.64s'", text);
	return NULL;
}

struct guest_device *control_get_device(struct control_call *call)
{
	const struct guest *guest = control_get_guest(call);
	struct guest_device *device;
	unsigned position = 0;
	int64_t devid;

	if (!guest || control_get_number(call, "device", 0, UINT32_MAX, -1, &devid))
		return NULL;
	while ((device = guest_next(guest, &position)))
		if (devid < 0 ? guest_device_is_gpu(device)
			      : guest_device_description(device)->devid == devid)
			return device;
	if (devid < 0)
		control_fail(call, "no-such-device", "%s has no GPU", guest_title(guest));
	else
		control_fail(call, "no-such-device", "%s has no device %u", guest_title(guest),
		    (unsigned)devid);
	return NULL;
}

/* -------------------------------------------------------------------- answers */

/* As text with its newline, to be freed. Takes @object over. */
static char *control_print(struct json_object *object)
{
	const char *text;
	char *line = NULL;

	text = json_object_to_json_string_ext(
	    object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	json_object_put(object);
	return line;
}

static struct json_object *control_make_error(const char *code, const char *message)
{
	struct json_object *error = json_object_new_object();

	control_add_text(error, "code", code);
	control_add_text(error, "message", message);
	return error;
}

char *control_greet(const char *code, const char *message)
{
	struct json_object *greeting = json_object_new_object();

	json_object_object_add(greeting, "gpudom", json_object_new_int(CONTROL_VERSION));
	control_add_text(greeting, "version", GPUDOM_VERSION);
	json_object_object_add(greeting, "pid", json_object_new_int(getpid()));
	if (code)
		json_object_object_add(greeting, "error", control_make_error(code, message));
	return control_print(greeting);
}

/* NULL: it is no object, or not well-formed. */
static struct json_object *control_parse(const char *line, size_t length)
{
	struct json_tokener *tokener = json_tokener_new_ex(REQUEST_DEPTH);
	struct json_object *object = NULL;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* With a final zero byte, it knows that a number is over; one within is a mistake. */
	if (length < CONTROL_LINE_MAX && !memchr(line, '\0', length)) {
		char copy[CONTROL_LINE_MAX];

		memcpy(copy, line, length);
		copy[length] = '\0';
		object = json_tokener_parse_ex(tokener, copy, (int)length + 1);
		if (json_tokener_get_error(tokener) != json_tokener_success) {
			json_object_put(object);
			object = NULL;
		}
	}
	json_tokener_free(tokener);
	if (object && json_object_is_type(object, json_type_object))
		return object;
	json_object_put(object);
	return NULL;
}

static int control_check_version(struct control_call *call)
{
	int64_t version;

	if (!control_get_number(
		call, "gpudom", CONTROL_VERSION, CONTROL_VERSION, CONTROL_VERSION, &version))
		return 0;
	return control_fail(call, "version", "this gpudomd (%s) speaks version %d of its protocol",
	    GPUDOM_VERSION, CONTROL_VERSION);
}

static int control_run(struct control_call *call)
{
	const char *name = control_get_text(call, "command");

	if (control_check_version(call))
		return -EINVAL;
	if (!name)
		return control_fail(call, "bad-request", "there is no text \"command\"");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].run(call);
	return control_fail(call, "no-such-command",
	    "this gpudomd (%s) knows no command '%.64s'; \"commands\" lists those that it knows",
	    GPUDOM_VERSION, name);
}

/* So that a client knows what is answered: its own number or short text. */
static void control_copy_id(struct json_object *answer, struct json_object *request)
{
	struct json_object *id;

	if (!json_object_object_get_ex(request, "id", &id))
		return;
	if (json_object_is_type(id, json_type_int) ||
	    (json_object_is_type(id, json_type_string) && json_object_get_string_len(id) <= ID_MAX))
		json_object_object_add(answer, "id", json_object_get(id));
}

/* The whole answer. Frees the call. */
static char *control_conclude(struct control_call *call, int result, int *fd)
{
	struct json_object *error;
	char *line;

	if (result) {
		error = control_make_error(call->code, call->message);
		if (call->known_guests)
			json_object_object_add(error, "guests", call->known_guests);
		json_object_object_add(call->answer, "error", error);
		json_object_put(call->result);
	} else {
		json_object_object_add(call->answer, "result", call->result);
	}
	json_object_put(call->request);
	*fd = call->fd;
	line = control_print(call->answer);
	free(call);
	return line;
}

void control_finish(struct control_call *call, int error)
{
	void (*answered)(void *data, char *line, int fd) = call->answered;
	void *data = call->data;
	char *line;
	int fd;

	line = control_conclude(call, error, &fd);
	answered(data, line, fd);
}

void control_cancel(struct control_call *call)
{
	if (!call)
		return;
	if (call->asked)
		seat_link_cancel(call->asked);
	json_object_put(call->request);
	json_object_put(call->result);
	json_object_put(call->answer);
	json_object_put(call->known_guests);
	free(call);
}

char *control_answer(struct gpu_daemon *gpu_daemon, const char *line, size_t length, int *fd,
    void (*answered)(void *data, char *line, int fd), void *data, struct control_call **later)
{
	struct control_call *call = calloc(1, sizeof(*call));
	int r;

	*later = NULL;
	*fd = -1;
	if (!call)
		return NULL;
	*call = (struct control_call){
		.gpu_daemon = gpu_daemon, .fd = -1, .answered = answered, .data = data
	};
	call->answer = json_object_new_object();
	call->request = control_parse(line, length);
	call->result = json_object_new_object();
	if (call->request) {
		control_copy_id(call->answer, call->request);
		r = control_run(call);
	} else {
		r = control_fail(call, "bad-request", "a request is one JSON object on one line");
	}
	if (r == CONTROL_LATER) {
		*later = call;
		return NULL;
	}
	return control_conclude(call, r, fd);
}
