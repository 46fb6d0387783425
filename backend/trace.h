/* SPDX-License-Identifier: MIT */
/*
 * What happened when: a ring of events of fixed size in shared memory (a memfd), for a trace of a
 * few seconds. One process writes it, from one thread; whoever has the descriptor reads it with
 * pread (tools/trace_reader.h). The newest events stay: old ones are overwritten, and the position
 * tells how many those were. Nobody waits for anybody.
 *
 * Only numbers are in it, no pointers and no text. All times are CLOCK_MONOTONIC's.
 */
#ifndef GPUDOM_BACKEND_TRACE_H
#define GPUDOM_BACKEND_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an event is about; arg and value are said behind each. A request is known by its queue and
 * its number, which counts what was taken from that queue since the worker was started. */
enum trace_type {
	TRACE_NOTHING, /* a slot that was never written */
	/* By a worker */
	TRACE_KICK,      /* span: reading the eventfd; arg: kicks */
	TRACE_DEQUEUE,   /* span: walking the chains; arg: requests taken, value: their bytes */
	TRACE_COPY,      /* span: copying these requests; arg and value likewise */
	TRACE_REQUEST,   /* span: all that follows; arg: VIRTIO_GPU_CMD_*, value: _RESP_* */
	TRACE_DECODE,    /* span: checking it; arg: VIRTIO_GPU_CMD_* */
	TRACE_RENDER,    /* span: acting on it; arg: VIRTIO_GPU_CMD_*, value: _RESP_* */
	TRACE_FENCE,     /* span: created to retired; arg: context, value: our fence, ring */
	TRACE_FLIP,      /* span: flush to shown; arg: output, value: the flush's serial */
	TRACE_ANSWER,    /* span: decode to used ring; arg: VIRTIO_GPU_CMD_*, value: its bytes */
	TRACE_PUBLISH,   /* span: showing the driver its answers; arg: how many */
	TRACE_INTERRUPT, /* span: writing the call eventfd; arg: used index */
	TRACE_THROTTLED, /* span: a limit of time or work kept requests in the queue */
	TRACE_TAKE,      /* span: the monitor's, taking requests; arg: how many */
	TRACE_RETURN,    /* span: the monitor's, returning answers; value: interrupts, at its end */
	TRACE_MAP,       /* span: guest memory; arg: pieces, value: bytes, or 0: it failed */
	TRACE_UNMAP,     /* span; value: bytes */
	TRACE_READ,      /* span: a copy from the guest; arg: pieces */
	TRACE_WRITE,     /* span: a copy to the guest; arg: pieces, value: bytes */
	TRACE_FLUSH,     /* span: copies to the guest that were put off */
	/* By gpudomd; value: which device, trace_device() */
	TRACE_REGISTER_KICK,  /* span: passing a QueueNotify on */
	TRACE_IRQ,            /* span: setting the interrupt line; arg: its level */
	TRACE_CONFIG_CHANGED, /* instant: the guest is told of new modes */
	TRACE_RESET,          /* instant: the guest resets its device */
	TRACE_WORKER_READY,   /* instant: a worker serves the device */
	TRACE_WORKER_LOST,    /* instant */
	TRACE_TYPES,
};

/* ring of TRACE_FENCE for the global timeline, which is of no context. */
#define TRACE_RING_GLOBAL UINT8_MAX

struct trace_event {
	uint64_t begin_ns, end_ns; /* of an instant: the same */
	uint64_t request;          /* its number, the first's of a batch; 0: none */
	uint64_t value;
	uint32_t arg;
	uint16_t head; /* of the request's chain */
	uint8_t type;  /* enum trace_type */
	union {
		uint8_t queue;
		uint8_t ring; /* TRACE_FENCE, whose queue is always the control queue */
	};
};

#define TRACE_MAGIC UINT64_C(0x6563617274647067) /* "gpdtrace" */
#define TRACE_VERSION 1
#define TRACE_SLOTS (1u << 17) /* a power of two */

/* The file: this, and the slots. Event number n, from 0, is in slot n % TRACE_SLOTS. */
struct trace_header {
	uint64_t magic;
	uint32_t version, event_size, slots, reserved;
	uint64_t position; /* of the next event: how many were written */
};
#define TRACE_FILE_SIZE (sizeof(struct trace_header) + TRACE_SLOTS * sizeof(struct trace_event))

/* The writer. All zero: off. */
struct trace {
	struct trace_header *header; /* NULL: off */
	uint64_t position;
	uint64_t from_ns; /* what began earlier is not of this trace */
};

/* An empty ring of TRACE_FILE_SIZE, sealed to that; a descriptor, or -errno. */
int trace_create_file(void);

/* Goes on writing where the file's last writer ended. Closes what was open before. @fd stays the
 * caller's. -errno of mmap, -EPROTO where it is no such file. */
int trace_start(struct trace *trace, int fd);

/* No-op where it is off. */
void trace_stop(struct trace *trace);

/* ------------------------------------------------------------- at the points of interest */

/* Inline: while it is off, a point costs a load and a branch. @trace may be NULL. */
static inline bool trace_on(const struct trace *trace)
{
	return trace && trace->header;
}

uint64_t trace_now(void);

/* When a span begins; 0: nobody wants to know. */
static inline uint64_t trace_begin(const struct trace *trace)
{
	return trace_on(trace) ? trace_now() : 0;
}

/* Writes @event, which ends now; it must be on. */
void trace_write(struct trace *trace, uint64_t begin, struct trace_event *event);

/* Likewise, for what ended at @end. */
void trace_write_past(struct trace *trace, uint64_t begin, uint64_t end, struct trace_event *event);

/* (trace, begin, .field = ...): a span ends. The fields are evaluated only while it is on. */
#define trace_end(trace_, begin_, ...)                                                         \
	do {                                                                                   \
		if ((begin_) && trace_on(trace_))                                              \
			trace_write((trace_), (begin_), &(struct trace_event){ __VA_ARGS__ }); \
	} while (0)

/* (trace, .field = ...) */
#define trace_instant(trace_, ...) trace_end((trace_), UINT64_MAX, __VA_ARGS__)

/* value of gpudomd's events */
static inline uint64_t trace_device(uint16_t domid, unsigned devid)
{
	return (uint64_t)domid << 32 | devid;
}

#endif
