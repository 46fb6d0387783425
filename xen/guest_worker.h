/* SPDX-License-Identifier: MIT */
/*
 * A device's worker: its process (worker_process.h), the vhost-user connection to it (frontend.h),
 * and what outlives both: the file of requests in flight, with which a successor goes on where it
 * has died.
 */
#ifndef GPUDOM_XEN_GUEST_WORKER_H
#define GPUDOM_XEN_GUEST_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/log.h"
#include "xen/cgroup.h"
#include "xen/frontend.h"
#include "xen/invalidation.h"
#include "xen/keep.h"
#include "xen/worker_process.h"

struct guest_worker_options {
	const char *name;        /* of guest and device, for the log; not copied */
	struct log_limit *limit; /* of lines that a guest can provoke; not owned */
	const char *path;        /* of the program; not copied */
	const char *guest;       /* for the worker's own log; not copied */
	char *const *arguments;  /* not copied */
	const char *option;      /* one more, of gpudomd's own; "": none; not copied */
	const struct worker_descriptor *descriptors; /* that it is given; not copied */
	unsigned descriptor_count;
	sd_event *event;
	struct keep *keep; /* not owned; has its descriptors */
	uint16_t domid;
	bool grants; /* how it reaches the guest's memory: memory_xen.h */
	unsigned devid;
	unsigned queues;
	uint16_t queue_size;
	struct frontend_state *state;      /* not owned */
	struct cgroup *cgroup;             /* not owned; NULL: workers have no groups */
	const struct guest_policy *policy; /* of the group; not copied, may change */

	/* What the worker did last, for the log: worker_process.h. */
	void (*describe)(void *data, char *text, size_t size);
	/* All are called from the event loop. */
	void (*ready)(void *data);
	void (*config_changed)(void *data);
	void (*queue_refused)(void *data, unsigned index);
	/* It is of no use any more, and killed if it was not dead (said why). gone() follows. */
	void (*lost)(void *data);
	/* The process is gone, and with it all that it held of the guest. */
	void (*gone)(void *data);
	void *data;
};

struct guest_worker {
	struct guest_worker_options options;
	struct worker_process *process; /* NULL: there is none (any more) */
	struct frontend *frontend;      /* NULL: nobody to talk to */
	int memory_fd;                  /* on its way to the worker; -1: there */
	int inflight_fd;                /* -1: none */
	struct invalidations invalidations;
	bool ready;         /* the handshake is over */
	bool stale;         /* pages were given back before that */
	bool adopted;       /* it is a predecessor's */
	bool rejected;      /* it is alive, and we do not want it */
	bool crashed;       /* the last one, and by itself */
	char last_end[320]; /* of the last one: worker_process_end() */
	uint64_t oom_kills; /* that its group has seen */
};

void guest_worker_init(struct guest_worker *worker, const struct guest_worker_options *options);

/* Kills what is there. */
void guest_worker_finish(struct guest_worker *worker);

/* Starts one, where none is; with what a dead one has left, if that was not forgotten
 * (frontend_restored() says after ready() whether it could use it). Errors are logged. */
int guest_worker_start(struct guest_worker *worker);

/*
 * Goes on with a predecessor's worker (options.state is what that has kept of the conversation, the
 * descriptors are in options.keep). ready() follows, with worker->adopted; or, where the
 * conversation was not settled, gone(), and the next start goes on with the file of requests in
 * flight. -errno where there is no process to watch: start one.
 */
int guest_worker_adopt(struct guest_worker *worker);

/* Kills a predecessor's worker that holds nothing of the guest's. */
void guest_worker_kill_orphan(struct guest_worker *worker);

/* Forgets it and lets it live, for a successor of this process that has its descriptors. */
void guest_worker_release(struct guest_worker *worker);

/* The guest has given pages back: true, and @done follows from the event loop when the worker has
 * let go of them; or false: there is nothing to wait for. */
bool guest_worker_invalidate(struct guest_worker *worker, frontend_done done, void *data);

/* The next one begins with an empty device. */
void guest_worker_forget(struct guest_worker *worker);

/* lost() and gone() follow. */
void guest_worker_kill(struct guest_worker *worker);

/* Tells it something: worker_process_send(). */
int guest_worker_send(
    const struct guest_worker *worker, const struct worker_message *message, int fd);

/* *options.policy has changed. */
void guest_worker_policy_changed(struct guest_worker *worker);

/* Hangs up and lets it end in order; gone() follows. */
void guest_worker_dismiss(struct guest_worker *worker);

#endif
