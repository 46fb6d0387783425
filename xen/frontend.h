/* SPDX-License-Identifier: MIT */
/*
 * The front end's side of vhost-user for one device behind one socket. It never
 * blocks: messages are queued and answers matched in order, all on an sd-event loop. A
 * back end that does not answer in time is given up (failed() with -ETIMEDOUT).
 */
#ifndef GPUDOM_XEN_FRONTEND_H
#define GPUDOM_XEN_FRONTEND_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/log.h"
#include "backend/memory.h"
#include "backend/vhost_user_message.h"

#define FRONTEND_QUEUES_MAX 4

struct frontend;

/*
 * What a successor of this process must know of the conversation. In the caller's memory (zeroed at
 * first), where a successor finds it, and changed in place; nobody else changes it.
 */
struct frontend_state {
	uint64_t features;          /* on offer */
	uint64_t protocol_features; /* negotiated */
	uint32_t generation;        /* takeovers so far */
	/* The handshake is over, and no command that changes the back end is queued or waits for
	 * its answer: frontend_adopt() can take the connection over at this point. */
	uint8_t settled;
	uint8_t started[FRONTEND_QUEUES_MAX];
	/* The file of requests in flight; size 0: there is none. */
	uint64_t inflight_size, inflight_offset;
	uint16_t inflight_queues, inflight_queue_size;
	uint8_t config[VHOST_USER_CONFIG_MAX];
};

struct frontend_listener {
	/* The handshake is over: features and configuration space are known. */
	void (*ready)(void *data);
	/* A configuration change of the device; the new copy is in. */
	void (*config_changed)(void *data);
	/* The back end refused to start queue @index (such as for a bad ring address): that queue
	 * is dead, the rest goes on. */
	void (*queue_refused)(void *data, unsigned index);
	/* The connection is of no use any more (logged). Called once, from the event loop;
	 * callbacks that are owed will not be called. The callee may destroy the front end. */
	void (*failed)(void *data, int error);
	void *data;
};

struct frontend_options {
	const char *name; /* of guest and device, for the log; not copied */
	struct log_limit
	    *limit;           /* of lines that a guest can provoke (through a worker); not owned */
	sd_event *event;      /* not owned (a reference is taken) */
	unsigned queues;      /* at most FRONTEND_QUEUES_MAX */
	uint16_t queue_size;  /* the largest */
	uint64_t hello_usec;  /* how long the back end may take to initialise */
	uint64_t answer_usec; /* how long any later answer may take */
	struct memory_region memory;
	int memory_fd; /* not owned; open until ready() or failed() */
	/* The file that a dead back end has left (state says its size), or -1. Not owned; open
	 * until ready() or failed(). */
	int inflight_fd;
	struct frontend_state *state; /* not owned */
	struct frontend_listener listener;
};

/* A queue as the driver set it up, and its eventfds (not owned). */
struct frontend_queue {
	uint16_t size;
	uint64_t desc, avail, used; /* in the user addresses of options.memory */
	int kick_fd, call_fd, error_fd;
};

typedef void (*frontend_done)(void *data);

/* Begins the handshake. Takes over @socket, a connected stream socket, on success. */
int frontend_create(const struct frontend_options *options, int socket, struct frontend **frontend);

/*
 * Goes on with a connection that a predecessor has settled (state->settled): ready() follows when
 * what the back end had still to say to it is drained, and the configuration space is fresh. Takes
 * over @socket and @backend_socket (-1: there is none) on success. memory_fd and inflight_fd do not
 * matter.
 */
int frontend_adopt(const struct frontend_options *options, int socket, int backend_socket,
    struct frontend **frontend);

/* Closes the connection; no callback follows. Accepts NULL. */
void frontend_destroy(struct frontend *frontend);

/* After ready(): device features on offer (without VHOST_USER_F_PROTOCOL_FEATURES); the
 * configuration space, VHOST_USER_CONFIG_MAX bytes. */
uint64_t frontend_features(const struct frontend *frontend);
const void *frontend_config(const struct frontend *frontend);

/* After ready(): the file of requests in flight that the back end has made, the caller's from then
 * on, to keep as long as the back end lives. -1: it took options.inflight_fd, knows none of this,
 * or the file was given away. */
int frontend_take_inflight_fd(struct frontend *frontend);

/* After ready(): the back end took what its predecessor left (options.inflight_fd). If not, it
 * begins empty, with a new file. */
bool frontend_restored(const struct frontend *frontend);

/* The sockets, for whoever is to adopt the connection. Not the caller's. */
int frontend_socket(const struct frontend *frontend);
int frontend_backend_socket(const struct frontend *frontend); /* -1: there is none */

/* DRIVER_OK: the driver's features, and those of @queues (options.queues of them) that are not
 * NULL. frontend_start_queue() is for one that becomes ready later. */
void frontend_start(
    struct frontend *frontend, uint64_t features, const struct frontend_queue *const *queues);
void frontend_start_queue(
    struct frontend *frontend, unsigned index, const struct frontend_queue *queue);

/* Stops one queue, or all of them and the device (reset). @done is called from the event loop when
 * the back end holds nothing of the guest's memory any more. One at a time. */
void frontend_stop_queue(struct frontend *frontend, unsigned index, frontend_done done, void *data);
void frontend_reset(struct frontend *frontend, frontend_done done, void *data);

/* The guest has given pages back: the back end forgets what it has mapped of the memory but for
 * rings and resources in use, then @done. It takes options.memory once more, with @memory_fd, which
 * is taken over. Several may be under way. */
void frontend_invalidate(struct frontend *frontend, int memory_fd, frontend_done done, void *data);

/* VHOST_USER_GPU_SET_SOCKET: a GPU shows its frames there from now on. @fd is taken over. A back
 * end that does not want it is left without (logged). After ready(). */
void frontend_set_gpu_socket(struct frontend *frontend, int fd);

/* Writes [offset, +size) of the configuration space and reads it anew; then @done. */
void frontend_write_config(struct frontend *frontend, uint32_t offset, const void *from,
    uint32_t size, frontend_done done, void *data);

#endif
