/* SPDX-License-Identifier: MIT */
/* What gpudomd would say to gpudom-seat, for guests of the tests (backend/seat_message.h). */
#ifndef GPUDOM_TESTS_SYSTEM_SEAT_LINK_H
#define GPUDOM_TESTS_SYSTEM_SEAT_LINK_H

/* Connects to the manager's socket, as soon as the seat listens; dies after 20 seconds. */
int seat_link_connect(const char *path);

/* Sends one command, with @fd unless that is -1, and waits for the answer: a text to be freed.
 * *@answer_fd, unless NULL, becomes the descriptor that came with it, or -1. Dies where the seat
 * hangs up. */
char *seat_link_command(int seat, const char *json, int fd, int *answer_fd);

/* Makes a socket of @type (SOCK_STREAM, SOCK_SEQPACKET) and adds it as the device of @kind of
 * @guest. The worker's end; dies where the seat refuses. */
int seat_link_add(const char *path, const char *guest, unsigned device, const char *kind, int type);

#endif
