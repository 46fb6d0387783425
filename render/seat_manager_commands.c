/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/log.h"
#include "render/seat_manager_private.h"

#define NESTING_MAX 8

struct command_call {
	struct seat_manager *manager;
	struct json_object *request, *answer;
	int fd;        /* that came with it; -1: none, or taken */
	int answer_fd; /* that goes with the answer */
	char error[256];
};

static int call_fail(struct command_call *call, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int call_fail(struct command_call *call, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(call->error, sizeof(call->error), format, arguments);
	va_end(arguments);
	return error;
}

/* ---------------------------------------------------------------- members */

static int call_text(struct command_call *call, const char *name, const char **value)
{
	struct json_object *member;

	*value = "";
	if (!json_object_object_get_ex(call->request, name, &member) ||
	    !json_object_is_type(member, json_type_string))
		return call_fail(call, -EINVAL, "\"%s\" must be there, and a text", name);
	*value = json_object_get_string(member);
	/* A zero byte within it would make two names of one. */
	if (strlen(*value) != (size_t)json_object_get_string_len(member))
		return call_fail(call, -EINVAL, "\"%s\" has a zero byte", name);
	return 0;
}

static int call_number(struct command_call *call, const char *name, int64_t most, int64_t *value)
{
	struct json_object *member;

	*value = 0;
	if (!json_object_object_get_ex(call->request, name, &member) ||
	    !json_object_is_type(member, json_type_int))
		return call_fail(call, -EINVAL, "\"%s\" must be there, and a number", name);
	*value = json_object_get_int64(member);
	if (*value < 0 || *value > most)
		return call_fail(call, -EINVAL, "\"%s\" must be 0 to %lld", name, (long long)most);
	return 0;
}

static int call_guest(struct command_call *call, const char **guest)
{
	int error = call_text(call, "guest", guest);

	if (error == 0 && (!**guest || strlen(*guest) >= SEAT_GUEST_NAME_MAX))
		return call_fail(call, -EINVAL, "\"guest\" must have 1 to %d characters",
		    SEAT_GUEST_NAME_MAX - 1);
	/* It goes to the journal. */
	for (const char *c = *guest; error == 0 && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return call_fail(call, -EINVAL, "\"guest\" has a control character");
	return error;
}

static int call_scanout(struct command_call *call, const char **guest, unsigned *scanout)
{
	int64_t number;
	int error = call_guest(call, guest);

	if (error == 0)
		error = call_number(call, "scanout", DISPLAY_SCANOUTS_MAX - 1, &number);
	if (error == 0)
		*scanout = (unsigned)number;
	return error;
}

static int call_take_fd(struct command_call *call)
{
	const int fd = call->fd;

	call->fd = -1;
	return fd;
}

/* ---------------------------------------------------------------- add */

static void manager_client_closed(void *data, struct seat_client *client)
{
	struct seat_manager *manager = data;

	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++)
		if (manager->clients[i] == client)
			manager->clients[i] = NULL;
	log_info("guest %s: its GPU's display has ended; its last picture stays",
	    seat_client_guest(client));
	seat_client_destroy(client);
}

static int add_gpu(
    struct command_call *call, const char *guest, int64_t domain, int64_t device, int fd)
{
	struct seat_manager *manager = call->manager;
	const struct seat_client_options options = {
		.event = manager->options.event,
		.seat = manager->options.seat,
		.guest = guest,
		.domain = (int)domain,
		.device = (unsigned)device,
		.closed = manager_client_closed,
		.data = manager,
	};
	unsigned slot = SEAT_GUESTS_MAX;
	int error;

	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++) {
		if (manager->clients[i] && !strcmp(seat_client_guest(manager->clients[i]), guest)) {
			seat_client_destroy(manager->clients[i]);
			manager->clients[i] = NULL;
		}
		if (!manager->clients[i])
			slot = i;
	}
	error = slot < SEAT_GUESTS_MAX ? seat_client_create(&options, fd, &manager->clients[slot])
				       : -ENFILE;
	if (error < 0)
		return call_fail(
		    call, error, "guest %s's GPU cannot be added: %s", guest, strerror(-error));
	return 0;
}

/* A stream for a GPU, packets for input: anything else would be misunderstood. */
static int check_socket(struct command_call *call, int fd, int wanted)
{
	socklen_t size = sizeof(int);
	int type = 0, domain = 0;

	if (fd < 0)
		return call_fail(call, -EBADF, "no socket came with it");
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX)
		return call_fail(call, -ENOTSOCK, "what came with it is no local socket");
	size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != wanted)
		return call_fail(call, -EPROTOTYPE, "its socket must be %s",
		    wanted == SOCK_STREAM ? "a stream" : "of packets");
	return 0;
}

static int run_add(struct command_call *call)
{
	const char *guest, *kind = "";
	int64_t domain = -1, device = 0;
	enum seat_input_kind input;
	int error = call_guest(call, &guest), fd;

	if (error == 0)
		error = call_text(call, "kind", &kind);
	if (error == 0 && json_object_object_get(call->request, "domain"))
		error = call_number(call, "domain", INT_MAX, &domain);
	if (error == 0 && json_object_object_get(call->request, "device"))
		error = call_number(call, "device", INT_MAX, &device);
	if (error < 0)
		return error;
	input = seat_input_kind_parse(kind);
	if (strcmp(kind, "gpu") != 0 && input == SEAT_INPUT_KINDS)
		return call_fail(call, -EINVAL, "there is no kind of devices '%.32s'", kind);
	error =
	    check_socket(call, call->fd, input == SEAT_INPUT_KINDS ? SOCK_STREAM : SOCK_SEQPACKET);
	if (error < 0)
		return error;
	fd = call_take_fd(call);
	if (input == SEAT_INPUT_KINDS) {
		error = add_gpu(call, guest, domain, device, fd);
	} else {
		error = seat_input_attach(
		    call->manager->options.input, guest, (unsigned)device, input, fd);
		if (error < 0)
			call_fail(call, error, "guest %s's %s cannot be added: %s", guest, kind,
			    strerror(-error));
	}
	if (error < 0)
		close(fd);
	else
		log_info("guest %s: %s is attached", guest, kind);
	return error;
}

/* The guest has gone for good: nothing of it is shown any more. */
static int run_remove(struct command_call *call)
{
	struct seat_manager *manager = call->manager;
	const char *guest;
	int error = call_guest(call, &guest);

	if (error < 0)
		return error;
	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++) {
		if (!manager->clients[i] ||
		    strcmp(seat_client_guest(manager->clients[i]), guest) != 0)
			continue;
		seat_client_destroy(manager->clients[i]);
		manager->clients[i] = NULL;
	}
	for (unsigned device = 0; device < SEAT_INPUT_DEVICES_MAX; device++)
		seat_input_detach(manager->options.input, guest, device);
	error = seat_forget(manager->options.seat, guest);
	return error == -ENOENT ? 0 : error;
}

/* ---------------------------------------------------------------- others */

static int run_status(struct command_call *call)
{
	struct seat_manager *manager = call->manager;
	struct json_object *clients = json_object_new_array();

	if (!clients || seat_describe(manager->options.seat, call->answer) < 0) {
		json_object_put(clients);
		return call_fail(call, -ENOMEM, "out of memory");
	}
	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++)
		if (manager->clients[i])
			json_object_array_add(clients, seat_client_describe(manager->clients[i]));
	json_object_object_add(call->answer, "clients", clients);
	json_object_object_add(call->answer, "input", seat_input_describe(manager->options.input));
	if (manager->options.describe_devices)
		json_object_object_add(call->answer, "devices",
		    manager->options.describe_devices(manager->options.data));
	return 0;
}

static int run_focus(struct command_call *call)
{
	const char *guest;
	int error = call_guest(call, &guest);

	if (error < 0)
		return error;
	error = seat_input_set_focus(call->manager->options.input, guest);
	if (error < 0)
		return call_fail(call, error, "there is no guest %s on this seat", guest);
	return 0;
}

static int run_output(struct command_call *call)
{
	const char *guest, *mode = "", *why;
	unsigned scanout = 0;
	int error = call_scanout(call, &guest, &scanout);

	if (error == 0)
		error = call_text(call, "mode", &mode);
	if (error < 0)
		return error;
	error = seat_set_output(call->manager->options.seat, guest, scanout, mode, &why);
	if (error < 0)
		return call_fail(
		    call, error, "%s:%u: %s", guest, scanout, why ? why : strerror(-error));
	return 0;
}

static int run_capture(struct command_call *call)
{
	struct seat_capture capture;
	unsigned scanout = 0;
	const char *guest;
	int error = call_scanout(call, &guest, &scanout);

	if (error < 0)
		return error;
	error = seat_capture(call->manager->options.seat, guest, scanout, &capture);
	if (error < 0)
		return call_fail(call, error, "%s:%u cannot be captured: %s", guest, scanout,
		    error == -ENOENT ? "it shows nothing" : strerror(-error));
	json_object_object_add(call->answer, "width", json_object_new_int((int32_t)capture.width));
	json_object_object_add(
	    call->answer, "height", json_object_new_int((int32_t)capture.height));
	json_object_object_add(
	    call->answer, "stride", json_object_new_int((int32_t)capture.stride));
	call->answer_fd = capture.fd;
	return 0;
}

static int run_picture(struct command_call *call)
{
	int64_t width = 0, height = 0;
	unsigned scanout = 0;
	const char *guest;
	int error = call_scanout(call, &guest, &scanout);

	if (error == 0)
		error = call_number(call, "width", SEAT_SIZE_MAX, &width);
	if (error == 0)
		error = call_number(call, "height", SEAT_SIZE_MAX, &height);
	if (error < 0)
		return error;
	if (call->fd < 0)
		return call_fail(call, -EBADF, "no picture came with it");
	error = seat_set_picture(call->manager->options.seat, guest, scanout, (uint32_t)width,
	    (uint32_t)height, call->fd);
	if (error < 0)
		return call_fail(
		    call, error, "%s:%u cannot show it: %s", guest, scanout, strerror(-error));
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct command_call *call);
} commands[] = {
	{ "add", run_add },
	{ "remove", run_remove },
	{ "status", run_status },
	{ "focus", run_focus },
	{ "output", run_output },
	{ "capture", run_capture },
	{ "picture", run_picture },
};

static int call_run(struct command_call *call)
{
	const char *name;
	int error;

	if (!json_object_is_type(call->request, json_type_object))
		return call_fail(call, -EINVAL, "a command is one JSON object");
	error = call_text(call, "command", &name);
	for (unsigned i = 0; error == 0 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].run(call);
	return error ? error : call_fail(call, -EINVAL, "there is no command '%.32s'", name);
}

static struct json_object *parse(const char *text, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(NESTING_MAX);
	struct json_object *request = NULL;

	if (!tokener || size > INT_MAX)
		return NULL;
	request = json_tokener_parse_ex(tokener, text, (int)size);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    json_tokener_get_parse_end(tokener) != size) {
		json_object_put(request);
		request = NULL;
	}
	json_tokener_free(tokener);
	return request;
}

char *seat_manager_answer(
    struct seat_manager *manager, const char *text, size_t size, int fd, int *answer_fd)
{
	struct command_call call = { .manager = manager,
		.request = parse(text, size),
		.answer = json_object_new_object(),
		.fd = fd,
		.answer_fd = -1 };
	char *result = NULL;
	int error;

	*answer_fd = -1;
	if (call.answer) {
		error = call_run(&call);
		json_object_object_add(call.answer, "ok", json_object_new_boolean(error == 0));
		if (error < 0)
			json_object_object_add(call.answer, "error",
			    json_object_new_string(*call.error ? call.error : strerror(-error)));
		result =
		    strdup(json_object_to_json_string_ext(call.answer, JSON_C_TO_STRING_PLAIN));
		*answer_fd = call.answer_fd;
	}
	if (call.fd >= 0)
		close(call.fd);
	json_object_put(call.request);
	json_object_put(call.answer);
	return result;
}
