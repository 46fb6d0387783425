/* SPDX-License-Identifier: MIT */
/* What there is to know of a guest's device, for people: the control socket's "status". */
#ifndef GPUDOM_XEN_GUEST_DEVICE_SUMMARY_H
#define GPUDOM_XEN_GUEST_DEVICE_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "backend/telemetry.h"
#include "xen/guest_state.h"

struct guest_device;

struct guest_device_summary {
	const char *state; /* "starting", "serving", ...: gpudom-control(7) */
	char trouble[512]; /* a sentence: what is wrong, and what to do; empty: nothing */
	pid_t pid;         /* of its worker; 0: there is none */
	uint64_t deaths, replacements;
	uint64_t hangs, freezes;    /* of workers; of outputs */
	enum guest_block blocked;   /* with "lost": why it stays so */
	uint32_t frozen, lost;      /* outputs (bits): guest_signal.h */
	char last_death[256];       /* how the last one has ended; empty: none yet */
	uint64_t reads, writes;     /* of registers */
	uint64_t kicks, interrupts; /* that gpudomd itself has passed on */
	uint64_t log_suppressed; /* lines that the guest has provoked and that were not written */
	bool known;              /* the worker has told of itself: */
	struct telemetry telemetry;
};

void guest_device_summarise(const struct guest_device *device, struct guest_device_summary *status);

/* The file of its screen (backend/screen.h), which stays the device's; -1: there is none. */
int guest_device_summary_screen(const struct guest_device *device);

#endif
