/* SPDX-License-Identifier: MIT */
/*
 * A worker that was started by hand introduces its own device to gpudom-seat (the manager's socket
 * of backend/seat_message.h); gpudomd does so for those that it starts.
 */
#ifndef GPUDOM_TOOLS_WORKER_SEAT_H
#define GPUDOM_TOOLS_WORKER_SEAT_H

#include "backend/seat_message.h"

struct worker_seat_options {
	const char *path;          /* of the manager's socket */
	const char *guest;         /* its name; NULL: "guest" */
	int domid;                 /* for people; -1: none */
	enum seat_input_kind kind; /* SEAT_INPUT_KINDS: a GPU */
};

/* Waits for the answer, some seconds at most: before anything is sealed. The device's socket to the
 * seat, which does not block, or -errno, logged. */
int worker_seat_connect(const struct worker_seat_options *options);

#endif
