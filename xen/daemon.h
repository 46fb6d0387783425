/* SPDX-License-Identifier: MIT */
/* gpudomd without its main: every guest that discovery finds is served. */
#ifndef GPUDOM_XEN_DAEMON_H
#define GPUDOM_XEN_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/log.h"
#include "xen/config.h"
#include "xen/keep.h"

#define DAEMON_GUESTS_MAX 64

struct cgroup;

struct daemon_options {
	sd_event *event;         /* not owned; SIGCHLD must be blocked */
	struct config *config;   /* not owned; daemon_reload() changes it */
	const char *config_path; /* which it reads; NULL: CONFIG_PATH, which may be missing */
	struct keep *keep;       /* not owned; what a predecessor left is taken from it */
	struct cgroup *cgroup;   /* not owned; NULL: workers have no groups */
	const char *worker_path; /* not owned */
	const char *seat_path;   /* of gpudom-seat's socket; not owned; NULL: there is none */
	bool ioeventfd;          /* let the kernel take kicks where it can */
	bool once;               /* leave the loop when the first guest has left */
};

struct gpu_daemon;
struct guest;
struct seat_link;
struct tracing;

/* Goes on with the guests of a predecessor, connects to xenstore and publishes that it is ready.
 * Errors are logged with their cure. */
int daemon_create(const struct daemon_options *options, struct gpu_daemon **gpu_daemon);

/* Guests that are left lose their GPU. Accepts NULL. */
void daemon_destroy(struct gpu_daemon *gpu_daemon);

/* Leaves the guests to a successor, as if this process had been killed; without guests, the same as
 * daemon_destroy(). Accepts NULL. */
void daemon_let_go(struct gpu_daemon *gpu_daemon);

/* Settings of a guest that is served are others now: names of those that hold already, and of those
 * that hold when it next resets its GPU; either may be empty. */
typedef void (*daemon_changed)(
    void *data, const struct guest *guest, const char *at_once, const char *at_reset);

/*
 * Reads the configuration anew. Guests whose settings are the same notice nothing; @changed (may be
 * NULL) is called for each other one. A file that is wrong changes nothing: -EINVAL, another
 * -errno where it cannot be read, and *@errors says what is wrong, a line each, to be freed (else
 * NULL). All that is logged, too.
 */
int daemon_reload(struct gpu_daemon *gpu_daemon, daemon_changed changed, void *data, char **errors);

/* A line of counters for each device. */
void daemon_log_statistics(const struct gpu_daemon *gpu_daemon);

/* The first guest at or after *@position, which is moved past it; NULL at the end. */
struct guest *daemon_next_guest(const struct gpu_daemon *gpu_daemon, unsigned *position);

/* CLOCK_MONOTONIC, nanoseconds: when daemon_create() was called. */
uint64_t daemon_started_ns(const struct gpu_daemon *gpu_daemon);

/* The way to gpudom-seat, which may be absent; NULL: there is none. */
struct seat_link *daemon_seat(const struct gpu_daemon *gpu_daemon);

/* ---- daemon_trace.c ---- */

struct tracing *daemon_tracing(struct gpu_daemon *gpu_daemon);

/* Lets @guest (NULL: all, also those that come) take part in a recording: in the one that is on, or
 * in a new one, that ends after @seconds (0: when it is stopped). -errno. */
int daemon_start_trace(struct gpu_daemon *gpu_daemon, struct guest *guest, unsigned seconds);
void daemon_stop_trace(struct gpu_daemon *gpu_daemon);
/* The same, and lets go of what was recorded. */
void daemon_forget_trace(struct gpu_daemon *gpu_daemon);

/* Of gpudomd and all workers that are there; or of one guest's and those that replace them. */
void daemon_set_log_level(struct gpu_daemon *gpu_daemon, struct guest *guest, enum log_level level);

/* Devices that serve a guest now. */
unsigned daemon_served(const struct gpu_daemon *gpu_daemon);

#endif
