/* SPDX-License-Identifier: MIT */
/*
 * The socket of a guest's GPU: the front end's side of vhost-user-gpu's display protocol, and
 * seat_message.h's additions. What comes is not believed; a client that breaks the protocol is hung
 * up on, one whose request cannot be granted is answered and goes on. Each gets so many messages
 * a turn of the loop, and is not listened to while it does not read its answers.
 */
#ifndef GPUDOM_RENDER_SEAT_CLIENT_H
#define GPUDOM_RENDER_SEAT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "render/seat.h"

struct json_object;
struct seat_client;

struct seat_client_options {
	sd_event *event;
	struct seat *seat;
	const char *guest; /* copied */
	int domain;        /* for people; -1: not known */
	unsigned device;
	/* It has ended; the callee destroys it. */
	void (*closed)(void *data, struct seat_client *client);
	void *data;
};

/* Takes @fd, a stream socket, over on success. -EBUSY: the guest has one. -ENFILE, -ENOMEM, and
 * sd-event's errors. */
int seat_client_create(
    const struct seat_client_options *options, int fd, struct seat_client **client);
/* Accepts NULL. */
void seat_client_destroy(struct seat_client *client);

const char *seat_client_guest(const struct seat_client *client);
/* For "status"; NULL: no memory. */
struct json_object *seat_client_describe(const struct seat_client *client);

#endif
