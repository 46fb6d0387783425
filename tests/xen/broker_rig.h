/* SPDX-License-Identifier: MIT */
/* A monitor's grant broker in a process of its own, and our end of its socket; after what the test
 * needs of cmocka. */
#ifndef GPUDOM_TESTS_XEN_BROKER_RIG_H
#define GPUDOM_TESTS_XEN_BROKER_RIG_H

#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
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
};

static int broker_rig_end(sd_event_source *source, int fd, uint32_t events, void *data)
{
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* The monitor's process. It ends with status 0 where all went well, leaks included. */
static inline void broker_rig_serve(
    const struct grant_broker_options *given, int socket, int life_fd)
{
	struct grant_broker_options options = *given;
	struct grant_broker *broker;
	int result;

	if (sd_event_new(&options.event) < 0 ||
	    grant_broker_create(&options, socket, &broker) < 0 ||
	    sd_event_add_io(options.event, NULL, life_fd, EPOLLIN, broker_rig_end, NULL) < 0)
		_exit(100);
	result = sd_event_loop(options.event);
	grant_broker_destroy(broker);
	sd_event_unref(options.event);
	_exit(result ? 101 : 0);
}

/* Starts the monitor; whoever is to talk to it takes rig->socket. */
static inline void broker_rig_start(
    struct broker_rig *rig, const struct grant_broker_options *options)
{
	int sockets[2], life[2];

	*rig = (struct broker_rig){ .socket = -1 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, life) < 0)
		abort();
	rig->pid = fork();
	if (rig->pid < 0)
		abort();
	if (!rig->pid) {
		close(sockets[0]);
		close(life[0]);
		broker_rig_serve(options, sockets[1], life[1]);
	}
	close(sockets[1]);
	close(life[1]);
	rig->socket = sockets[0];
	rig->life_fd = life[0];
}

/* ... and talks to it as a worker does. */
static inline void broker_rig_init(struct broker_rig *rig, uint16_t domid)
{
	const struct grant_broker_options options = { .domid = domid };

	broker_rig_start(rig, &options);
	if (grant_client_create(rig->socket, &rig->client) < 0)
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
	*rig = (struct broker_rig){ .socket = -1 };
}

#endif
