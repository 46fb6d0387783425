/* SPDX-License-Identifier: MIT */
/* A gpudom-seat whose screens are memory, and what a manager says to it. Dies where that fails. */
#ifndef GPUDOM_TESTS_LOOPBACK_SEAT_H
#define GPUDOM_TESTS_LOOPBACK_SEAT_H

#include <json-c/json.h>

#include "tests/loopback/loopback_process.h"

struct loopback_seat {
	struct loopback_process process;
	char directory[64], path[96]; /* of its socket */
	int manager;                  /* -1: not connected */
};

/* @output: such as "640x480@60"; @option: one more, or NULL. */
void loopback_seat_start(struct loopback_seat *seat, const char *output, const char *option);
/* ... of this program */
void loopback_seat_run(
    struct loopback_seat *seat, const char *program, const char *output, const char *option);
/* One that runs already, and goes on */
void loopback_seat_join(struct loopback_seat *seat, const char *path);
pid_t loopback_seat_pid(const struct loopback_seat *seat);
/* Ends the process, by @signal, and what it left. */
void loopback_seat_stop(struct loopback_seat *seat, int signal);

/* Introduces a guest's GPU: the other end of its socket. */
int loopback_seat_add(struct loopback_seat *seat, const char *guest);
/* One command, with a descriptor or -1; the answer, and the descriptor that came with it (-1: none;
 * @answer_fd may be NULL). Dies unless it is "ok", the answer is the caller's. */
struct json_object *loopback_seat_command(
    struct loopback_seat *seat, const char *command, int fd, int *answer_fd);
/* What a person sees on a guest's output: XRGB8888 without padding, to be freed. */
uint32_t *loopback_seat_capture(
    struct loopback_seat *seat, const char *guest, uint32_t width, uint32_t height);
/* How frames of a guest's first scan-out get there, to be freed. */
char *loopback_seat_path(struct loopback_seat *seat, const char *guest);

#endif
