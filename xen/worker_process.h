/* SPDX-License-Identifier: MIT */
/*
 * A gpudom-worker: started with one end of a socket as descriptor 3, or adopted from an earlier
 * gpudomd that has started it; watched until it is gone. All by its pidfd, which stays true when
 * the process id is given to another process, and can be handed on.
 */
#ifndef GPUDOM_XEN_WORKER_PROCESS_H
#define GPUDOM_XEN_WORKER_PROCESS_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "backend/log.h"

struct worker_process;

struct worker_process_options {
	const char *path;        /* of the program */
	const char *name;        /* of guest and device, for the log; not copied */
	struct log_limit *limit; /* of lines about its end, which a guest can provoke; not owned */
	const char *guest;       /* --guest=, for the worker's own log */
	char *const *arguments;  /* after --fd=3 and --guest=; NULL-terminated */
	sd_event *event;         /* not owned */
	/* It has ended (logged where it did not do so in order), and the kernel has taken back
	 * all that it held. Called once, from the event loop. */
	void (*exited)(void *data);
	void *data;
};

/* Where gpudom-worker is: @path if not NULL, else beside this program, in ../bin, or in $PATH.
 * Allocated; NULL without memory. */
char *worker_process_find(const char *path);

/* Starts a worker; *@socket is our end. */
int worker_process_create(
    const struct worker_process_options *options, int *socket, struct worker_process **worker);

/* Watches one that an earlier gpudomd has started. Takes over @pidfd, on success. path, guest and
 * arguments do not matter. It is not our child: exited() comes, but nobody tells us how it has
 * ended. A process that is gone already is no error. */
int worker_process_adopt(
    const struct worker_process_options *options, int pidfd, struct worker_process **worker);

/* For whoever is to adopt it. Not the caller's. */
int worker_process_pidfd(const struct worker_process *worker);

/* In exited(): it was ended by a signal. */
bool worker_process_crashed(const struct worker_process *worker);

/* Expects it to end by itself, because its socket was closed; kills it when it has not after a
 * few seconds. */
void worker_process_dismiss(struct worker_process *worker);

/* SIGKILL; exited() follows. */
void worker_process_kill(struct worker_process *worker);

/* Forgets it and lets it live; it is not ours any more. Accepts NULL. */
void worker_process_release(struct worker_process *worker);

/* Kills and reaps it if it is still there. Accepts NULL. */
void worker_process_destroy(struct worker_process *worker);

#endif
