/* SPDX-License-Identifier: MIT */
/*
 * The right to use screens and input devices: opens their nodes through libseat (seatd, logind, or
 * built in), or by itself where no seat is to be had, and says when they are ours. All calls come
 * from one thread.
 */
#ifndef GPUDOM_RENDER_SEAT_SESSION_H
#define GPUDOM_RENDER_SEAT_SESSION_H

#include <stdbool.h>
#include <systemd/sd-event.h>

struct seat_session;

struct seat_session_listener {
	/* False: another session gets the screen and the keyboard (a switch of virtual terminals);
	 * devices must not be used until it is true. Input devices have to be opened again then:
	 * their descriptors are dead; a card's lives on. */
	void (*active_changed)(void *data, bool active);
	/* The machine has slept, and is awake again: what devices show has to be shown anew. May
	 * be NULL. */
	void (*resumed)(void *data);
	void *data;
	struct seat_session_listener *next; /* of the session */
};

/* Waits for at most a second for the seat to be active; it need not be then. -errno: logged */
int seat_session_create(sd_event *event, struct seat_session **session);
/* Gives the terminal back. All devices are closed before. Accepts NULL. */
void seat_session_destroy(struct seat_session *session);

/* The caller's, to be told until seat_session_unlisten(). Those that listen first are told first.
 */
void seat_session_listen(struct seat_session *session, struct seat_session_listener *listener);
void seat_session_unlisten(struct seat_session *session, struct seat_session_listener *listener);

bool seat_session_active(const struct seat_session *session);

/* Whether nobody keeps the keyboard from the virtual terminal: input devices want EVIOCGRAB then,
 * or what people type is read by a login prompt, too. */
bool seat_session_direct(const struct seat_session *session);

/* Of the seat that udev's ID_SEAT names, for libinput_udev_assign_seat(): "seat0". */
const char *seat_session_seat(const struct seat_session *session);

/* A descriptor of "/dev/dri/..." or "/dev/input/...", non-blocking; to be closed by
 * seat_session_close(). -EPERM: not active; -errno, not logged */
int seat_session_open(struct seat_session *session, const char *path);
void seat_session_close(struct seat_session *session, int fd);

/* To virtual terminal @number (1, 2, ...), as Ctrl+Alt+F1 would. -ENOTSUP: there are none. */
int seat_session_switch(struct seat_session *session, unsigned number);

#endif
