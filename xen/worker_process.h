/* SPDX-License-Identifier: MIT */
/*
 * A gpudom-worker: started with one end of a socket as descriptor 3, one of another as descriptor 4
 * and what else it is given from 5 on, or adopted from an earlier gpudomd that has started it;
 * watched until it is gone. By its pidfd, which stays true when the process id is given to another
 * process, and can be handed on; and by the second socket. A contained worker is two processes
 * (gpudom-worker(1)): our child is the one that watches, and the far end of the second socket is
 * held by the one that works. When that has hung up, too, nothing of the guest's is mapped any
 * more.
 */
#ifndef GPUDOM_XEN_WORKER_PROCESS_H
#define GPUDOM_XEN_WORKER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "backend/log.h"

#define WORKER_DESCRIPTORS_MAX 4

struct worker_message;
struct worker_process;

struct worker_descriptor {
	const char *option; /* such as --screen-fd */
	int fd;             /* not owned; -1: not passed */
};

struct worker_process_options {
	const char *path;        /* of the program */
	const char *name;        /* of guest and device, for the log; not copied */
	struct log_limit *limit; /* of lines about its end, which a guest can provoke; not owned */
	const char *guest;       /* --guest=, for the worker's own log */
	bool grants;             /* the guest grants its memory to this domain ... */
	unsigned domid;          /* ... and is this: --domid= */
	char *const *arguments;  /* after ours; NULL-terminated */
	const char *option;      /* before them, one more; NULL or "": none */
	const struct worker_descriptor *descriptors; /* for the start; not copied */
	unsigned descriptor_count;                   /* at most WORKER_DESCRIPTORS_MAX */
	int cgroup_procs; /* cgroup_open_procs() for the start; not owned; -1: none */
	sd_event *event;  /* not owned */
	/* Says at its end, for the log, what it did last: " while it ...". May be NULL. */
	void (*describe)(void *data, char *text, size_t size);
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

/* Watches one that an earlier gpudomd has started. Takes over @pidfd and @control (-1: that has
 * left none), on success. path, guest and arguments do not matter. It is not our child: exited()
 * comes, but nobody tells us how it has ended. A process that is gone already is no error. */
int worker_process_adopt(const struct worker_process_options *options, int pidfd, int control,
    struct worker_process **worker);

/* For whoever is to adopt it. Not the caller's; control: -1 for none. */
int worker_process_pidfd(const struct worker_process *worker);
int worker_process_control(const struct worker_process *worker);

/* For people. */
pid_t worker_process_pid(const struct worker_process *worker);

/* Tells it something, with a descriptor (-1: none; it stays the caller's), without waiting.
 * -EAGAIN: it has not read what it was told before. -ENOTCONN: it cannot be told anything. */
int worker_process_send(
    const struct worker_process *worker, const struct worker_message *message, int fd);

/* In exited(): how it has ended, "the worker (pid 7) was ended by signal 11 (Segmentation fault)
 * while it ..."; empty where that was in order. */
const char *worker_process_end(const struct worker_process *worker);

/* In exited(): it was ended by a signal. */
bool worker_process_crashed(const struct worker_process *worker);

/* Expects it to end by itself, because its socket was closed; kills it when it has not after a
 * few seconds. */
void worker_process_dismiss(struct worker_process *worker);

/* It has hung up, so it is at its end: its monitor is about to end as it did, which says why. Kills
 * it when it has not ended half a second later. */
void worker_process_let_end(struct worker_process *worker);

/* SIGKILL; exited() follows. */
void worker_process_kill(struct worker_process *worker);

/* Forgets it and lets it live; it is not ours any more. Accepts NULL. */
void worker_process_release(struct worker_process *worker);

/* Kills and reaps it if it is still there. Accepts NULL. */
void worker_process_destroy(struct worker_process *worker);

#endif
