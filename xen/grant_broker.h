/* SPDX-License-Identifier: MIT */
/*
 * The monitor's half of a worker's grants. gntdev knows no limit per process: who may ask it can
 * map what any guest has granted to this domain. So the worker may not (seccomp refuses it these
 * calls), and the monitor asks for it, always for the one guest that it was started for. Of the
 * open file, which both hold, mmap is left to the worker, and that maps only what was inserted
 * here.
 *
 * Whatever the worker sends is answered with an error at worst.
 */
#ifndef GPUDOM_XEN_GRANT_BROKER_H
#define GPUDOM_XEN_GRANT_BROKER_H

#include <stdint.h>
#include <systemd/sd-event.h>

struct grant_broker;

struct grant_broker_options {
	sd_event *event;     /* not owned (a reference is taken) */
	uint16_t domid;      /* of the guest, as gpudomd said, never as the worker does */
	uint64_t pages_max;  /* that may be inserted at a time; 0: GRANT_BROKER_PAGES */
	uint32_t insertions; /* likewise; 0: GRANT_BROKER_INSERTIONS */
};

/* A guest has 128 MiB to grant by default; a page can be granted, and inserted, more than once. */
#define GRANT_BROKER_PAGES (UINT64_C(1) << 18)
#define GRANT_BROKER_INSERTIONS 65536u

struct grant_broker_statistics {
	uint64_t questions, refused;
	uint64_t insertions, pages; /* that are there now */
};

/* Serves the worker at the other end of @socket (SOCK_SEQPACKET), which is taken over on success.
 * -ENOMEM, memfd_create(2)'s and sd-event's errors. */
int grant_broker_create(
    const struct grant_broker_options *options, int socket, struct grant_broker **broker);

/* What the worker still has mapped ends with the last process that holds the open file. Accepts
 * NULL. */
void grant_broker_destroy(struct grant_broker *broker);

void grant_broker_get_statistics(
    const struct grant_broker *broker, struct grant_broker_statistics *statistics);

#endif
