/* SPDX-License-Identifier: MIT */
/*
 * The monitor's half of a worker's grants. gntdev knows no limit per process: who may ask it can
 * map what any guest has granted to this domain. So the worker may not (seccomp refuses it these
 * calls), and the monitor asks for it, always for the one guest that it was started for. Of the
 * open file, which both hold, mmap is left to the worker, and that maps only what was inserted
 * here. The worker's queues are served here, too (grant_relay.h), so that no request waits for an
 * answer.
 *
 * Whatever the worker sends is answered with an error at worst.
 */
#ifndef GPUDOM_XEN_GRANT_BROKER_H
#define GPUDOM_XEN_GRANT_BROKER_H

#include <stdbool.h>
#include <stdint.h>

struct grant_broker;

struct grant_broker_options {
	uint16_t domid;         /* of the guest, as gpudomd said, never as the worker does */
	uint64_t pages_max;     /* that may be inserted at a time; 0: GRANT_BROKER_PAGES */
	uint32_t insertions;    /* likewise; 0: GRANT_BROKER_INSERTIONS */
	uint32_t request_bytes; /* of one request; 0: 4 MiB */
};

/* A guest has 128 MiB to grant by default; a page can be granted, and inserted, more than once. */
#define GRANT_BROKER_PAGES (UINT64_C(1) << 18)
#define GRANT_BROKER_INSERTIONS 65536u

struct grant_broker_statistics {
	uint64_t questions, refused;
	uint64_t insertions, pages; /* that are there now */
};

/* *@socket becomes the worker's end (SOCK_SEQPACKET), the caller's. May be called before the
 * process is divided in two, where each half destroys what it does not need. -ENOMEM, -errno. */
int grant_broker_create(
    const struct grant_broker_options *options, struct grant_broker **broker, int *socket);

/* What the worker still has mapped ends with the last process that holds the open file. Accepts
 * NULL. */
void grant_broker_destroy(struct grant_broker *broker);

/* Readable where grant_broker_dispatch() has something to do. */
int grant_broker_fd(const struct grant_broker *broker);

/* All descriptors that it has when it was made, at most GRANT_BROKER_FDS: for a monitor that closes
 * what it does not know. Their number. */
#define GRANT_BROKER_FDS 3
unsigned grant_broker_fds(const struct grant_broker *broker, int *fds);

/* Does some of what there is to do, and returns soon. false: nothing more will come. Of a struct
 * grant_broker. */
bool grant_broker_dispatch(void *broker);

void grant_broker_get_statistics(
    const struct grant_broker *broker, struct grant_broker_statistics *statistics);

#endif
