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
};

struct grant_question {
	uint32_t type;
	uint32_t number;
	uint64_t index;
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
