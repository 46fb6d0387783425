/* SPDX-License-Identifier: MIT */
/*
 * What a worker and its monitor say to each other about the guest's memory (grant_client.h,
 * grant_broker.h): questions on a socket of type SOCK_SEQPACKET, one at a time, each with one
 * answer; their lists and bytes lie in memory that both have mapped. The monitor copies a list
 * before it checks it: the worker may be anybody's by now.
 */
#ifndef GPUDOM_XEN_GRANT_WIRE_H
#define GPUDOM_XEN_GRANT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "xen/gntdev.h"

enum grant_question_type {
	GRANT_HELLO,  /* answered with the descriptor of the shared memory */
	GRANT_DEVICE, /* with the descriptor of gntdev; number: the domain that is meant */
	GRANT_INSERT, /* number: of runs in the list; answered with their index and pages */
	GRANT_REMOVE, /* index, number: of pages, as they were inserted */
	GRANT_READ,   /* number: of segments in the list, whose bytes come one after the other */
	GRANT_WRITE,
	GRANT_START, /* index: of a queue that the monitor is to serve (queue, descriptors) */
	GRANT_STOP,  /* index: of a queue, number: of requests popped; answered with the base */
	GRANT_FDS,   /* index: of a queue; its descriptors that have changed */
};

/* The descriptors of a question about a queue, in this order, as far as there are any */
#define GRANT_QUEUE_KICK 0x1
#define GRANT_QUEUE_CALL 0x2
#define GRANT_QUEUE_INFLIGHT 0x4

struct grant_question {
	uint32_t type;
	uint32_t number;
	uint64_t index;
	struct {
		uint16_t size, base;
		uint32_t fds; /* GRANT_QUEUE_* */
		uint64_t features, desc, avail, used;
		uint64_t inflight_offset, inflight_size;
		uint16_t inflight_queues, inflight_queue_size, padding[2];
	} queue;
};

struct grant_answer {
	int32_t error; /* 0 or -errno */
	uint32_t pages;
	uint64_t index;
};

/* A segment of a copy; where its bytes are follows from those before it. */
struct grant_segment {
	uint32_t reference;
	uint16_t offset, length;
};

/* The shared memory: the list, then the bytes that are copied. */
#define GRANT_LIST_SIZE (GNTDEV_PAGES_MAX * sizeof(struct gntdev_run))
#define GRANT_SEGMENTS_MAX 4096u
#define GRANT_BYTES_MAX (4u << 20)
#define GRANT_SHARED_SIZE (GRANT_LIST_SIZE + GRANT_BYTES_MAX)

#define GRANT_FDS_MAX 4

/* ------------------------------------------------------------------- queues */

#define GRANT_QUEUES_MAX 4
#define GRANT_QUEUE_SIZE_MAX 1024 /* VIRTQUEUE_SIZE_MAX */

/* What an answer has at most; the longest of virtio-gpu are a capability set and an EDID. */
#define GRANT_ANSWER_MAX 4096

/* A request, with what can be read of it. */
struct grant_request {
	uint16_t head;
	uint8_t progress; /* enum virtqueue_progress */
	uint8_t unreadable;
	uint32_t copied; /* bytes, of readable_size: the first ones */
	uint64_t offset; /* of these, in bytes[] */
	uint64_t readable_size;
	uint64_t writable_size;
};

/* An answer, of which @written bytes lie in answers[head]. They are said to be there as soon as
 * they are, so that they can go out with others; it is pushed when the request may return, once. */
#define GRANT_PUSHED (UINT32_C(1) << 31)
struct grant_pushed {
	uint32_t head; /* | GRANT_PUSHED */
	uint32_t written;
};
#define GRANT_PUSHED_MAX(size) (2 * (uint32_t)(size)) /* both of each head */

/* When the monitor did something for the worker's trace */
struct grant_stamp {
	uint64_t number; /* of these, rising; written last */
	uint64_t begin_ns, end_ns;
	uint64_t requests, calls;
};

/*
 * A queue between two processes, which none of them waits for: the monitor gives requests, the
 * worker pushes answers. All counters run freely. Of what the worker writes the monitor believes
 * nothing: what it needs to remember it has to itself.
 */
struct grant_queue_shared {
	/* By the monitor */
	uint32_t given;
	uint32_t broken;
	uint64_t calls, copy_calls, segments;                /* statistics */
	struct grant_stamp taken, returned;                  /* the last ones; while it traces */
	struct grant_request requests[GRANT_QUEUE_SIZE_MAX]; /* by @given modulo the queue's size */
	uint8_t padding[64];
	/* By the worker */
	uint32_t read;   /* requests whose bytes it needs no more */
	uint32_t pushed; /* answers */
	uint32_t tracing;
	struct grant_pushed answered[GRANT_PUSHED_MAX(GRANT_QUEUE_SIZE_MAX)];
	/* By both, in turn: the monitor waits for @read to change, and wants to hear of it */
	uint32_t full;
	uint8_t answers[GRANT_QUEUE_SIZE_MAX][GRANT_ANSWER_MAX] __attribute__((aligned(4096)));
	uint8_t bytes[]; /* of requests; as many as the answer to GRANT_START says */
};

/* An answer's descriptors */
enum { GRANT_QUEUE_MEMORY, GRANT_QUEUE_GIVEN, GRANT_QUEUE_PUSHED, GRANT_QUEUE_ANSWER_FDS };

/* Sends one message, whole, without waiting. -EAGAIN, -ENOTCONN, another -errno. */
int grant_send(int socket, const void *message, size_t size, const int *fds, size_t fd_count);

/*
 * Receives one message of exactly @size bytes and at most *fd_count descriptors, whose number
 * *fd_count becomes; they are the caller's. 1; 0 where there is none; -ENOTCONN at the end; -EPROTO
 * for one of another size or with more descriptors (none of which is kept).
 * @wait: until there is one.
 */
int grant_receive(int socket, void *message, size_t size, int *fds, size_t *fd_count, int wait);

/* Memory that nobody can cut short under those who have mapped it. The descriptor or -errno. */
int grant_shared_create(const char *name, size_t size, void **address);
/* Maps what the other side has made so; -EINVAL where it has not. */
int grant_shared_open(int fd, size_t size, void **address);

#endif
