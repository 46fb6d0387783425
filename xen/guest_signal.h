/* SPDX-License-Identifier: MIT */
/*
 * Does a guest's picture live? An output whose guest has promised frames (flush-deadline) and draws
 * none is *frozen*; one whose guest is frozen, or has no worker, for longer than signal-lost-after
 * shows another picture until the next frame: the operator's, or a plain one.
 */
#ifndef GPUDOM_XEN_GUEST_SIGNAL_H
#define GPUDOM_XEN_GUEST_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/log.h"
#include "backend/telemetry.h"
#include "xen/guest_state.h"
#include "xen/policy.h"

struct guest_signal_options {
	const char *name;        /* of guest and device, for the log; not copied */
	struct log_limit *limit; /* of lines that the guest can provoke; not owned */
	sd_event *event;
	const struct guest_policy *policy; /* not owned; may change */
	struct health_state *state;        /* not owned: counts freezes */
	/* Where frames are shown elsewhere than in the screen's file: what their size was there
	 * last, and another picture, XRGB8888 without padding, until the next frame. -ENOTCONN:
	 * they are in the file. -ENOENT: there were none. -errno */
	int (*picture_size)(void *data, unsigned output, uint32_t *width, uint32_t *height);
	int (*show_picture)(
	    void *data, unsigned output, uint32_t width, uint32_t height, const uint32_t *pixels);
	void *data;
};

struct guest_signal {
	struct guest_signal_options options;
	int screen_fd;   /* not owned; -1: none */
	uint32_t frozen; /* outputs (bits) */
	/* The flush of each output after which none came in time; CLOCK_MONOTONIC */
	uint64_t frozen_after_ns[TELEMETRY_OUTPUTS];
	/* CLOCK_MONOTONIC, since when an output has no signal; 0: it has */
	uint64_t none_since_ns[TELEMETRY_OUTPUTS];
	uint32_t replaced;      /* outputs that got their picture for that (bits), ... */
	uint32_t elsewhere;     /* ... and not in the screen's file */
	sd_event_source *timer; /* on until the next of these pictures is due */
};

void guest_signal_init(struct guest_signal *signal, const struct guest_signal_options *options);
void guest_signal_finish(struct guest_signal *signal);

/* A worker serves, or none does. */
void guest_signal_set_serving(struct guest_signal *signal, bool serving);

/* Frames are shown elsewhere from now on: the picture of a lost guest is, too. */
void guest_signal_moved(struct guest_signal *signal);

/* *options.policy is another one now. */
void guest_signal_policy_changed(struct guest_signal *signal);

/* What the worker says at @now_ns (CLOCK_MONOTONIC). */
void guest_signal_look(
    struct guest_signal *signal, const struct telemetry *telemetry, uint64_t now_ns);

/* Outputs (bits) that show another picture instead of the guest's. */
uint32_t guest_signal_lost(const struct guest_signal *signal);

#endif
