/* SPDX-License-Identifier: MIT */
/*
 * A worker inside the test program: a thread with the real event loop, vhost-user back
 * end, virtio-gpu device, renderer and headless display, as gpudom-worker plugs them together,
 * so that a test can look at both sides under one sanitizer.
 */
#ifndef GPUDOM_TESTS_LOOPBACK_WORKER_H
#define GPUDOM_TESTS_LOOPBACK_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/gpu.h"
#include "backend/vhost_user.h"

struct loopback_worker_options {
	bool virgl;        /* else the software renderer */
	unsigned scanouts; /* 0: 1 */
	/* All zero: 1024x768 each, refresh 0 */
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	/* On the socket of display_socket_set_fd() (called in the worker's thread), not headless */
	bool display_socket;
	struct udmabuf *udmabuf;     /* NULL: none */
	struct telemetry *telemetry; /* NULL: the worker's own */
	struct gpu_limits limits;    /* fields that are 0: as GPU_LIMITS_DEFAULT */
};

struct loopback_worker {
	struct loopback_worker_options options;
	int socket;            /* ours; -1: taken */
	int end_of_connection; /* what closed() was told; 1: it was not called */

	/* Of the thread; others only from within loopback_worker_call() */
	sd_event *event;
	struct renderer *renderer;
	struct display *display;
	struct virtio_device *device;
	struct vhost_user *user;
	int peer; /* its end of the pair, until vhost_user takes it over */

	pthread_t thread;
	int start_error;
	int wake_fd; /* eventfd */
	pthread_mutex_t mutex;
	pthread_cond_t done;
	void (*call)(struct loopback_worker *worker, void *data);
	void *call_data;
};

/* -ENODEV where virglrenderer finds no GL; other -errno. */
int loopback_worker_start(
    struct loopback_worker *worker, const struct loopback_worker_options *options);
void loopback_worker_stop(struct loopback_worker *worker);

/* Runs @call in the worker's thread, between its events, and waits for it. */
void loopback_worker_call(struct loopback_worker *worker,
    void (*call)(struct loopback_worker *worker, void *data), void *data);

struct gpu_statistics loopback_worker_statistics(struct loopback_worker *worker);
/* headless_capture() and headless_set_modes() in the worker's thread */
int loopback_worker_capture(struct loopback_worker *worker, unsigned scanout, uint32_t *width,
    uint32_t *height, uint32_t **pixels);
void loopback_worker_set_modes(
    struct loopback_worker *worker, const struct display_mode modes[DISPLAY_SCANOUTS_MAX]);

#endif
