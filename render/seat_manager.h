/* SPDX-License-Identifier: MIT */
/*
 * The manager's socket (seat_message.h): who may speak for guests introduces their devices, and
 * asks for status, focus, outputs, captures and pictures. Root and this process's own user may.
 */
#ifndef GPUDOM_RENDER_SEAT_MANAGER_H
#define GPUDOM_RENDER_SEAT_MANAGER_H

#include <systemd/sd-event.h>

#include "render/seat.h"
#include "render/seat_input.h"

#define SEAT_MANAGERS_MAX 16 /* connections */

struct json_object;
struct seat_manager;

struct seat_manager_options {
	sd_event *event;
	struct seat *seat;
	struct seat_input *input;
	const char *path; /* of the socket; empty: none is made */
	/* What "status" says of the machine's own keyboards and mice; NULL, or NULL: nothing. */
	struct json_object *(*describe_devices)(void *data);
	void *data;
};

/* -errno: logged. */
int seat_manager_create(const struct seat_manager_options *options, struct seat_manager **manager);
/* Ends all clients' connections. Accepts NULL. */
void seat_manager_destroy(struct seat_manager *manager);

/* Serves a connection that came some other way: @fd (SOCK_SEQPACKET) is taken over. -EBUSY: there
 * are too many. */
int seat_manager_adopt(struct seat_manager *manager, int fd);

#endif
