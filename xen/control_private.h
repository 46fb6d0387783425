/* SPDX-License-Identifier: MIT */
/* Between the files of the control socket: control.c (who may connect), control_client.c (one
 * connection), control_commands.c (what can be asked) and control_status.c (the longest answer). */
#ifndef GPUDOM_XEN_CONTROL_PRIVATE_H
#define GPUDOM_XEN_CONTROL_PRIVATE_H

#include "xen/control.h"

/* ---- control_client.c ---- */

struct control_client;

struct control_client_options {
	sd_event *event;
	struct gpu_daemon *gpu_daemon;
	uint64_t stall_usec;
	/* It is of no use any more; the callee destroys it. */
	void (*closed)(void *data, struct control_client *client);
	void *data;
};

/* Takes @fd over, on success. */
int control_client_create(
    const struct control_client_options *options, int fd, struct control_client **client);

/* Accepts NULL. */
void control_client_destroy(struct control_client *client);

/* ---- control_commands.c ---- */

/* The first line that a client gets, to be freed; or the only one, where @code says why it is
 * closed. NULL without memory. */
char *control_greet(const char *code, const char *message);

void control_add_number(struct json_object *object, const char *member, uint64_t value);
void control_add_text(struct json_object *object, const char *member, const char *value);

/* ---- control_trace.c ---- */

int control_run_trace_start(struct control_call *call);
int control_run_trace_stop(struct control_call *call);
int control_run_trace_forget(struct control_call *call);
int control_run_trace_status(struct control_call *call);
int control_run_trace_fetch(struct control_call *call);
int control_run_log_level(struct control_call *call);

/* ---- control_status.c ---- */

int control_run_status(struct control_call *call);

/* ---- control_actions.c ---- */

int control_run_block(struct control_call *call);
int control_run_unblock(struct control_call *call);
int control_run_reset(struct control_call *call);
int control_run_reload(struct control_call *call);

/* ---- control_seat.c ---- */

int control_run_focus(struct control_call *call);
int control_run_output(struct control_call *call);

/* Asks the seat for a picture of the device's output: as run(). */
int control_capture(struct control_call *call, const struct guest_device *device, unsigned output);

/* Adds what the seat says of itself as "seat": as run(). */
int control_add_seat(struct control_call *call);

/* ---- control_screen.c ---- */

int control_run_screen(struct control_call *call);

/* ---- control_trouble.c ---- */

struct guest_device_status;

/* What is wrong, at @now_ns (CLOCK_MONOTONIC), and what to do; empty: nothing. */
void control_describe_trouble(
    const struct guest_device_status *status, uint64_t now_ns, char *text, size_t size);

/* ---- control_telemetry.c ---- */

struct telemetry;

/* As telemetry_read() has given it. */
struct json_object *control_describe_telemetry(const struct telemetry *telemetry);

#endif
