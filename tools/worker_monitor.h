/* SPDX-License-Identifier: MIT */
/*
 * The process in two: gpudom-worker as it was started becomes the *monitor*, small and trusted, and
 * its child is the *renderer*, which has the libraries, the guest's commands and nothing else
 * (gpudom-security(7)). The monitor passes signals on, does the few things that the renderer has
 * no right to, and ends as the renderer did: with its exit status, or by its signal. Whichever of
 * the two is killed takes the other with it. A control group has to be entered before the start, or
 * the renderer is not in it.
 */
#ifndef GPUDOM_TOOLS_WORKER_MONITOR_H
#define GPUDOM_TOOLS_WORKER_MONITOR_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "tools/worker_sandbox.h"

#define WORKER_MONITOR_KEEP_MAX 16

struct worker_monitor_options {
	enum worker_sandbox_mode mode; /* not OFF */
	const char *guest;             /* for the log; may be NULL */
	const char *socket_path;       /* the monitor unlinks it at the end; NULL: none */
	const char *png_dir;           /* the monitor writes pictures there; NULL: none */
	unsigned scanouts;             /* of which there are pictures */
	/* In the monitor: adds to its event loop what it does for the renderer besides, at the ends
	 * of sockets that were made before. 0 or -errno, logged. May be NULL. */
	int (*serve)(void *data, sd_event *event);
	void *data;
	bool grants; /* serve() asks gntdev */
	/* Descriptors that serve() needs. All others, but standard output and error, are closed in
	 * the monitor; in the renderer it is the caller who closes these. */
	int keep[WORKER_MONITOR_KEEP_MAX];
	unsigned keep_count;
};

/* The renderer's end. */
struct worker_monitor {
	int fd; /* -1: there is no monitor */
};

/*
 * Makes two out of this process, which must have one thread. Returns in the renderer alone, with 0
 * and namespaces in *@bits; -errno, logged, in the process as it was. Strings of @options are not
 * copied. SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 are blocked in the renderer.
 */
int worker_monitor_start(
    const struct worker_monitor_options *options, struct worker_monitor *monitor, uint32_t *bits);

/* The renderer is ready to serve: sd_notify(). */
void worker_monitor_ready(const struct worker_monitor *monitor);

/* A picture, a PNG file: png_dir/scanout-N.png is replaced by it, and the monitor logs that it was.
 * One that nobody asked for (by SIGUSR1, or by the end) is dropped. */
void worker_monitor_send_picture(const struct worker_monitor *monitor, unsigned scanout, int fd);

#endif
