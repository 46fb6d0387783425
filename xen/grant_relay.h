/* SPDX-License-Identifier: MIT */
/*
 * The monitor's half of a queue whose rings and requests the worker cannot reach: takes what is
 * available, with the bytes that can be read of it, and hands it over in shared memory; returns
 * what the worker has pushed there. The record of requests in flight is kept here, so that
 * whichever of the two dies, and when, a successor finds what one worker that did it all would have
 * left.
 */
#ifndef GPUDOM_XEN_GRANT_RELAY_H
#define GPUDOM_XEN_GRANT_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/memory.h"
#include "xen/grant_wire.h"

struct grant_relay;

struct grant_relay_options {
	struct guest_memory *memory; /* not owned */
	unsigned index;              /* of the queue */
	uint32_t request_bytes;      /* of one request that are read at most */
	const struct grant_question *question;
	int call_fd, inflight_fd; /* -1: none; stay the caller's */
};

/* Nothing in the question is trusted. @fds, GRANT_QUEUE_ANSWER_FDS of them, stay the relay's.
 * -EINVAL, -EFAULT (the rings cannot be mapped), -ENOMEM, another -errno. */
int grant_relay_create(
    const struct grant_relay_options *options, struct grant_relay **relay, int *fds);

/* What was pushed goes out; requests that the worker has not @popped are the ring's again. The
 * index of the next available one. */
uint16_t grant_relay_stop(struct grant_relay *relay, uint32_t popped);

/* Lets go of the rings. Accepts NULL. */
void grant_relay_destroy(struct grant_relay *relay);

/* Bytes of requests in the shared memory */
uint64_t grant_relay_size(const struct grant_relay *relay);

/* Was kicked by the driver, or by the worker: does what there is to do. */
void grant_relay_run(struct grant_relay *relay);

/* Takes the descriptor over. */
void grant_relay_set_call(struct grant_relay *relay, int call_fd);

#endif
