/* SPDX-License-Identifier: MIT */
/*
 * What gpudomd tells a running worker, on the socket of --control-fd (SOCK_SEQPACKET): one struct
 * worker_message a packet. gpudomd never reads from it, and does not wait for it: a message that
 * does not fit any more is lost. The worker ignores what has another size or an unknown type: it
 * may be of another build than its gpudomd. The far end is the worker's alone, so that the
 * connection hangs up when the worker, and its memory, are gone.
 */
#ifndef GPUDOM_XEN_WORKER_MESSAGE_H
#define GPUDOM_XEN_WORKER_MESSAGE_H

#include <stdint.h>

#include "backend/gpu.h"

/* The status with which a worker ends that could not have the memory that it needs to serve. */
#define WORKER_EXIT_NO_MEMORY 71 /* EX_OSERR */

enum worker_message_type {
	WORKER_SET_LIMITS = 1, /* limits */
	WORKER_LOG_LEVEL,      /* value: enum log_level */
	WORKER_TRACE_START,    /* with a descriptor; value is the trace's own business */
	WORKER_TRACE_STOP,
	WORKER_SET_SEAT, /* with an input device's socket to the seat, instead of the one before */
};

struct worker_message {
	uint32_t type; /* enum worker_message_type */
	uint32_t size; /* of the struct */
	uint64_t value;
	struct gpu_limits limits;
};

#endif
