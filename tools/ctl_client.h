/* SPDX-License-Identifier: MIT */
/* A conversation with gpudomd over its control socket (gpudom-control(7)). What goes wrong is said
 * on standard error, with what to do. */
#ifndef GPUDOM_TOOLS_CTL_CLIENT_H
#define GPUDOM_TOOLS_CTL_CLIENT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

struct ctl_client {
	const char *path;
	bool quiet; /* says nothing about what goes wrong */
	int fd;
	char *received; /* of the next answers */
	size_t used, size;
	int passed_fd; /* that came with them; -1: none */
	struct json_object *greeting;
};

/* Connects and reads the greeting. @path is not copied; NULL: the default. 0, or the exit status
 * for that (CTL_EXIT_*). */
int ctl_client_open(struct ctl_client *client, const char *path);
/* Once more, after something went wrong. */
int ctl_client_reopen(struct ctl_client *client);
void ctl_client_close(struct ctl_client *client);

/* A request with a command and, unless NULL, a guest; further members are the caller's to add. */
struct json_object *ctl_client_request(const char *command, const char *guest);

/*
 * Sends @request (taken over) and waits for its answer: *@result is the caller's to put. @fd,
 * unless NULL, gets the descriptor that came with it, or -1. 0, or the exit status.
 */
int ctl_client_ask(
    struct ctl_client *client, struct json_object *request, struct json_object **result, int *fd);

/* All in one, for one question. */
int ctl_client_ask_once(const char *path, struct json_object *request, struct json_object **result);

#endif
