/* SPDX-License-Identifier: MIT */
/* A monitor's grant broker in a process of its own, and our end of its socket; after what the test
 * needs of cmocka. */
#ifndef GPUDOM_TESTS_XEN_BROKER_RIG_H
#define GPUDOM_TESTS_XEN_BROKER_RIG_H

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/xen/fake_gntdev.h"
#include "xen/grant_broker.h"
#include "xen/grant_client.h"

struct broker_rig {
	pid_t pid;
	int socket;  /* -1: the client's */
	int life_fd; /* the monitor ends when we close it */
	struct grant_client *client;
	bool relays; /* what the client asks for; kept */
};

/* The monitor's process. */
static inline _Noreturn void broker_rig_serve(struct grant_broker *broker, int life_fd)
{
	struct pollfd fds[] = {
		{ .fd = life_fd, .events = POLLIN },
		{ .fd = grant_broker_fd(broker), .events = POLLIN },
	};

	do {
		if (poll(fds, 2, -1) < 0)
			_exit(101);
		if (fds[1].revents && !grant_broker_dispatch(broker))
			fds[1].fd = -1;
	} while (!fds[0].revents);
	grant_broker_destroy(broker);
	_exit(0);
}

/* Starts the monitor; whoever is to talk to it takes rig->socket. */
static inline void broker_rig_start(
    struct broker_rig *rig, const struct grant_broker_options *options)
{
	struct grant_broker *broker;
	int life[2];

	*rig = (struct broker_rig){ .relays = rig->relays };
	if (grant_broker_create(options, &broker, &rig->socket) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) < 0)
		abort();
	rig->life_fd = life[0];
	rig->pid = fork();
	if (rig->pid < 0)
		abort();
	if (!rig->pid) {
		close(rig->socket);
		close(life[0]);
		broker_rig_serve(broker, life[1]);
	}
	close(life[1]);
	grant_broker_destroy(broker);
}

/* ... and talks to it as a worker does. */
static inline void broker_rig_init(struct broker_rig *rig, uint16_t domid)
{
	const struct grant_broker_options options = { .domid = domid };

	broker_rig_start(rig, &options);
	if (grant_client_create(rig->socket, rig->relays, &rig->client) < 0)
		abort();
	rig->socket = -1;
}

/* Aborts where the monitor did not survive. */
static inline void broker_rig_finish(struct broker_rig *rig)
{
	int status;

	grant_client_destroy(rig->client);
	if (rig->socket >= 0)
		close(rig->socket);
	close(rig->life_fd);
	if (waitpid(rig->pid, &status, 0) != rig->pid || !WIFEXITED(status) || WEXITSTATUS(status))
		abort();
	*rig = (struct broker_rig){ .socket = -1, .relays = rig->relays };
}

#endif
