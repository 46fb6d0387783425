/* SPDX-License-Identifier: MIT */
/* What the files of the front end share: frontend.c (commands, answers, the device's life) and
 * frontend_handshake.c. */
#ifndef GPUDOM_XEN_FRONTEND_PRIVATE_H
#define GPUDOM_XEN_FRONTEND_PRIVATE_H

#include "xen/frontend.h"

/* A message to send, and what to do with its answer. */
struct command {
	struct command *next;
	struct vhost_user_message message;
	int own_fd; /* closed when it has been sent; -1: none */
	/* What a refusal means: @refused is called; or it breaks @queue; or, with -1, the
	 * connection. */
	void (*refused)(struct frontend *frontend);
	int queue;
	/* NULL: no answer is due, or only an acknowledgement. 0; -EPROTO: the answer makes no
	 * sense; another error: of no use, and said why. */
	int (*answer)(struct frontend *frontend, struct vhost_user_message *reply);
	frontend_done done; /* may be NULL */
	void *done_data;
};

struct frontend {
	struct frontend_options options;
	int socket, backend_socket; /* the back end's own requests; -1: none */
	struct vhost_user_receiver receiver, backend_receiver;
	sd_event_source *io, *backend_io, *deadline, *failure;

	/* In order: sent and waiting for an answer; then, from @unsent on, to be sent. */
	struct command *commands, *unsent;
	unsigned unsettled; /* of these, how many change the back end */

	struct frontend_state *state;
	int inflight_fd; /* made by the back end; -1: none, or given away */
	bool ready, restored, config_asked, config_stale;
	uint32_t drain_until; /* size of the GET_CONFIG whose answer ends it; 0: not draining */
	int error;            /* of a connection that has failed */
};

/* Of frontend_state.protocol_features */
#define FRONTEND_PROTOCOL(feature) (UINT64_C(1) << VHOST_USER_PROTOCOL_F_##feature)

/* ---- frontend.c ---- */

/* Gives the connection up. The listener hears of it from the event loop. */
void frontend_fail(struct frontend *frontend, int error);

/* Queue a command; frontend_pump() sends what the socket takes. One with an answer of its own: */
void frontend_ask(struct frontend *frontend, uint32_t request, const void *payload, size_t size,
    int (*answer)(struct frontend *, struct vhost_user_message *), frontend_done done,
    void *done_data);
/* One without; acknowledged where the back end knows how. @fd: -1, or not owned. NULL (and the
 * connection has failed) without memory. */
struct command *frontend_tell(struct frontend *frontend, uint32_t request, const void *payload,
    size_t size, int fd, int queue);
void frontend_tell_u64(struct frontend *frontend, uint32_t request, uint64_t value);
void frontend_pump(struct frontend *frontend);

/* Reads the whole configuration space anew; then @done. */
void frontend_get_config(struct frontend *frontend, frontend_done done, void *data);

/* Listens to the back end's own requests. sd-event's errors. */
int frontend_watch_backend_channel(struct frontend *frontend, int socket);

/* The features are known, and the configuration space. */
void frontend_handshaken(void *frontend);

/* ---- frontend_handshake.c ---- */

/* Queues what a new connection begins with; frontend_handshaken() follows. */
void frontend_begin_handshake(struct frontend *frontend);

/* Queues options.memory with descriptor @fd (not owned); NULL as above. */
struct command *frontend_send_memory(struct frontend *frontend, int fd);

#endif
