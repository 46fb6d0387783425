/* SPDX-License-Identifier: MIT */
/*
 * gpudomd's connection to gpudom-seat: the manager's socket of backend/seat_message.h. The seat may
 * be absent, come later, die, come back, say nothing or nonsense: nobody ever waits for it. Its
 * socket's directory is watched, so that a seat that comes is found without looking for it again
 * and again; one that refuses is tried a few times more, and then when something is wanted of it.
 */
#ifndef GPUDOM_XEN_SEAT_LINK_H
#define GPUDOM_XEN_SEAT_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct json_object;
struct seat_link;
struct seat_request;

#define SEAT_LINK_ANSWER_USEC 3000000 /* in which it answers what people ask */

struct seat_link_options {
	const char *path;     /* of its socket; not copied */
	sd_event *event;      /* not owned (a reference is taken) */
	uint64_t answer_usec; /* 0: SEAT_LINK_ANSWER_USEC */
	/* It is there, perhaps another one than before (seat_link_instance()): devices have to be
	 * added. From the event loop. */
	void (*connected)(void *data);
	/* It has gone, and nobody knows whether it had this device of before. connected() may
	 * follow. */
	void (*unsure)(void *data, uint16_t domid, unsigned devid);
	void *data;
};

/* It is connected already, where the seat is there; connected() is not called for that. -errno
 * (logged). */
int seat_link_create(const struct seat_link_options *options, struct seat_link **link);

/* Requests that are under way are forgotten: no callback follows. Accepts NULL. */
void seat_link_destroy(struct seat_link *link);

/* NULL is not. */
bool seat_link_is_connected(const struct seat_link *link);

/* It owes an answer for longer than that. */
bool seat_link_is_late(const struct seat_link *link);

/* Tries again now, if it is not connected: connected() may be called from within. Accepts NULL. */
void seat_link_try(struct seat_link *link);

/* A number of the seat that it is connected to, another one for each that ever ran; 0: none. What
 * was added to a seat stays there when the link ends, also with this process. */
uint64_t seat_link_instance(const struct seat_link *link);

struct seat_device {
	const char *guest; /* its name */
	uint16_t domid;
	unsigned devid;
	const char *kind; /* "gpu", "keyboard" */
};

/* Gives the seat its end of a device's socket (taken over in any case). -ENOTCONN: there is no
 * seat. What becomes of it is logged where it is bad. */
int seat_link_add(struct seat_link *link, const struct seat_device *device, int fd);

/* The guest is gone for good, and so is what the seat has of it. Without a seat nothing happens. */
void seat_link_remove(struct seat_link *link, const char *guest);

/*
 * What has become of a request. 0: the seat's answer, and a descriptor (the callee's; -1: none).
 * -EREMOTEIO: it says no, and why ("error" in @answer); -ENOTCONN: it has gone meanwhile;
 * -ETIMEDOUT. @answer is not the callee's, and NULL without one.
 */
typedef void (*seat_link_done)(void *data, int error, struct json_object *answer, int fd);

/* Asks it something: @command and @fd (-1: none) are taken over in any case. -ENOTCONN: there is no
 * seat; -EBUSY: too much is under way; @done is not called then. Else it is, once, from the event
 * loop; NULL: nobody wants to know. *@request may be given to seat_link_cancel() until then. */
int seat_link_ask(struct seat_link *link, struct json_object *command, int fd, seat_link_done done,
    void *data, struct seat_request **request);

/* done() is not called any more. */
void seat_link_cancel(struct seat_request *request);

#endif
