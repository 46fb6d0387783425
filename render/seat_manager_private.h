/* SPDX-License-Identifier: MIT */
/* Between seat_manager.c (the socket) and seat_manager_commands.c (what it can be asked). */
#ifndef GPUDOM_RENDER_SEAT_MANAGER_PRIVATE_H
#define GPUDOM_RENDER_SEAT_MANAGER_PRIVATE_H

#include "render/seat_client.h"
#include "render/seat_manager.h"

struct json_object;

struct seat_manager_peer {
	struct seat_manager *manager;
	int fd;
	sd_event_source *io;
	char *unsent; /* an answer that did not fit; NULL: none */
	int unsent_fd;
};

struct seat_manager {
	struct seat_manager_options options;
	int fd;
	bool bound;
	sd_event_source *source;
	struct seat_manager_peer *peers[SEAT_MANAGERS_MAX];
	struct seat_client *clients[SEAT_GUESTS_MAX];
};

/* The answer to one packet, to be freed; @fd came with it (-1: none) and is taken over. *@answer_fd
 * goes with the answer. NULL: no memory. */
char *seat_manager_answer(
    struct seat_manager *manager, const char *text, size_t size, int fd, int *answer_fd);

#endif
