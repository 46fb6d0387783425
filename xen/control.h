/* SPDX-License-Identifier: MIT */
/*
 * gpudomd's control socket: one JSON object a line, both ways, as gpudom-control(7) has it. For
 * people who run gpudom, not for guests; still nobody who connects can delay a guest for long or
 * make this process grow: clients, lines and what waits to be read are bounded, nothing blocks, and
 * guests and clients take turns: not even a guest that does nothing but access registers keeps
 * people from blocking it.
 */
#ifndef GPUDOM_XEN_CONTROL_H
#define GPUDOM_XEN_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct gpu_daemon;
struct json_object;
struct seat_request;

#define CONTROL_PATH "/run/gpudom/control"
#define CONTROL_GROUP "gpudom"
#define CONTROL_VERSION 1 /* of the protocol */

#define CONTROL_CLIENTS_MAX 32      /* at a time; more are told so, and closed */
#define CONTROL_LINE_MAX 4096       /* bytes of a request, with its newline */
#define CONTROL_STALL_USEC 10000000 /* in which a client reads something of its answer */

struct control_options {
	const char *path;  /* of the socket; not copied */
	const char *group; /* who may connect besides root; NULL: CONTROL_GROUP, if there is one */
	sd_event *event;   /* not owned */
	struct gpu_daemon *gpu_daemon; /* not owned */
	uint64_t stall_usec;           /* 0: CONTROL_STALL_USEC */
};

struct control;

/* Listens; a socket that a killed predecessor has left is replaced. Errors are logged with their
 * cure; guests can be served without. */
int control_create(const struct control_options *options, struct control **control);

/* Closes all clients and removes the socket. Accepts NULL. */
void control_destroy(struct control *control);

/* ------------------------------------------------------------------- commands */

/* A request that is being answered. */
struct control_call {
	struct gpu_daemon *gpu_daemon;
	struct json_object *request; /* not owned; the client's object */
	struct json_object *result;  /* an empty object: what a command has to say goes here */
	int fd;                      /* to be passed with the answer, and closed then; -1: none */

	/* An error's; see control_fail(). */
	const char *code;
	char message[512];
	struct json_object *known_guests; /* NULL, or the names that would do */

	/* Of a command that is answered later: */
	struct json_object *answer; /* what goes before the result */
	struct seat_request *asked; /* what it waits for; NULL: nothing */
	/* Its line is there (NULL: without memory), and a descriptor as control_answer() has it;
	 * from the event loop. The call is over. */
	void (*answered)(void *data, char *line, int fd);
	void *data;
};

/* What run() returns when control_finish() will follow. */
#define CONTROL_LATER 1

/* The command is done, @error as run() returns it. Frees the call. */
void control_finish(struct control_call *call, int error);

/* Nobody wants the answer any more. Frees the call. Accepts NULL. */
void control_cancel(struct control_call *call);

/*
 * One of the table in control_commands.c. run() fills call->result, perhaps call->fd, and returns
 * 0; or what control_fail() returns; or CONTROL_LATER. It must not block.
 */
struct control_command {
	const char *name;
	const char *arguments; /* members of the request, for people: "guest, seconds?" */
	const char *summary;
	int (*run)(struct control_call *call);
};

/* The answer is an error: @code for programs (gpudom-control(7) lists them), a sentence for
 * people. -EINVAL. */
int control_fail(struct control_call *call, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A text member of the request; NULL where it is not there, or is no text. */
const char *control_get_text(const struct control_call *call, const char *member);

/* A number member of the request, which must lie within @min and @max; without one, @fallback.
 * -EINVAL: control_fail() has been called. */
int control_get_number(struct control_call *call, const char *member, int64_t min, int64_t max,
    int64_t fallback, int64_t *value);

/* The guest that member "guest" names, by its name or domain id. NULL: control_fail() has been
 * called, with the list of guests. */
struct guest *control_get_guest(struct control_call *call);

/* The device of that guest that member "device" names (its devid), or its only or first GPU.
 * NULL: control_fail() has been called. */
struct guest_device *control_get_device(struct control_call *call);

/*
 * Answers a line of @length bytes (without the newline): one line with its newline, to be freed;
 * NULL without memory. *@fd is to be passed with it and closed, or -1. Where *@later is not NULL
 * then, that call answers in a while, by @answered, or is to be cancelled.
 */
char *control_answer(struct gpu_daemon *gpu_daemon, const char *line, size_t length, int *fd,
    void (*answered)(void *data, char *line, int fd), void *data, struct control_call **later);

#endif
