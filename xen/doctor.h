/* SPDX-License-Identifier: MIT */
/*
 * What is missing for guests to be served, in plain sentences: checks of facts. The facts come from
 * doctor_probe.h (Xen, gpudomd) and tools/doctor_gpu.h (the GPU); the checks do nothing but judge
 * them, so that a test can give them any.
 */
#ifndef GPUDOM_XEN_DOCTOR_H
#define GPUDOM_XEN_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/config.h"

/* In order of weight. */
enum doctor_state {
	DOCTOR_OK,
	DOCTOR_UNKNOWN, /* cannot be told from here, or not before something else is mended */
	DOCTOR_WARNING, /* guests are served, but slower, or less of them, or not for long */
	DOCTOR_FAILED,  /* keeps guests from being served */
};

struct doctor_finding {
	const char *check; /* a name for scripts, such as "ioreq-server"; it does not change */
	enum doctor_state state;
	char text[400]; /* a sentence: what is so */
	char cure[400]; /* a sentence: what to do; empty where there is nothing */
};

/* Results of what was tried are 0, -errno, or this where it was not tried: */
#define DOCTOR_UNTRIED 1

enum doctor_answer { DOCTOR_CANNOT_TELL, DOCTOR_NO, DOCTOR_YES };

/* How GL starts with the settings of one guest. */
struct doctor_gl {
	char guest[64];        /* the first that has these settings; empty: all without their own */
	bool needed;           /* its settings want or allow OpenGL */
	char egl[16];          /* the setting */
	char render_node[128]; /* empty: none is set */
	int node_error;        /* of opening it */
	int error;             /* of EGL; -ETIMEDOUT, -EPIPE: it hung, it crashed */
	char platform[16], renderer[128];
};
#define DOCTOR_GLS_MAX 8

/* A GPU that the toolstack has attached. */
struct doctor_device {
	uint16_t domid;
	unsigned devid;
	char name[64];    /* of the guest; empty: this domain may not read it */
	unsigned state;   /* of the backend in xenstore; 4: served */
	bool foreign;     /* grant_usage=0 */
	int device_model; /* of a device-model call that only asks for its vCPUs */
	char error[160];  /* what gpudomd says about it in xenstore; empty: nothing */
};
#define DOCTOR_DEVICES_MAX 64

struct doctor_facts {
	/* The domain. */
	bool xen;
	int domid; /* -1: not known */
	unsigned cpus;
	uint64_t memory_kib;
	enum doctor_answer unpopulated; /* CONFIG_XEN_UNPOPULATED_ALLOC */

	/* Xen's interfaces. */
	int privcmd;       /* of opening /dev/xen/privcmd */
	int hypercall;     /* of a hypercall that anyone may make */
	int device_model;  /* of a device-model call for a domain that does not exist */
	int evtchn;        /* of opening /dev/xen/evtchn */
	int event_channel; /* of an event channel for a domain that does not exist */
	int irqfd, ioeventfd;
	int gntdev; /* of opening /dev/xen/gntdev */
	int grant_copy, dmabuf;

	/* xenstore, and what is in it. */
	int xenstore;
	struct doctor_device devices[DOCTOR_DEVICES_MAX];
	unsigned device_count;

	/* gpudomd. */
	char status[32];         /* drivers/gpudom/status; empty: none */
	int pid;                 /* of gpudomd; 0: it does not run */
	enum doctor_answer kept; /* does somebody keep its descriptors? */
	int control; /* of its control socket's greeting; -EBUSY: it has too many clients */
	const char *config_path;
	int config_error;
	const struct config *config; /* valid where there is no error */
	const char *worker_path;
	int worker; /* may it be executed? */

	/* Who runs it, and what contains its workers. */
	bool user_exists; /* is there a user gpudom? */
	char user[32];    /* of the running gpudomd, or of the one to come; empty: root */
	char denied[160]; /* which of Xen's devices the user may not open; empty: none */
	bool seccomp;     /* can the kernel limit system calls? */
	int namespaces;   /* of making namespaces as that user */
	char namespaces_missing[160]; /* those that the kernel does not have */
	int cgroup;                   /* of making control groups; -ENOENT: there is no version 2 */

	/* The GPU. */
	char render_node[128]; /* the first in /dev/dri; empty: none */
	char card[128];        /* the first that could have screens; empty: none */
	int card_error;        /* of opening it */
	int master;            /* of becoming its DRM master */
	bool seat;             /* does gpudom-seat take connections? */
	struct doctor_gl gls[DOCTOR_GLS_MAX];
	unsigned gl_count;
};

#define DOCTOR_FINDINGS_MAX (32 + DOCTOR_DEVICES_MAX)

/* Runs all checks; how many findings there are. At least one for each check. */
unsigned doctor_examine(
    const struct doctor_facts *facts, struct doctor_finding findings[DOCTOR_FINDINGS_MAX]);

/* For gpudomctl's exit: 0, 1 (warnings), 2 (failed). */
int doctor_exit_status(const struct doctor_finding *findings, unsigned count);

/* "ok", "unknown", "warning", "failed" */
const char *doctor_state_name(enum doctor_state state);

#endif
