/* SPDX-License-Identifier: MIT */
/*
 * One virtio-mmio device of one guest: its registers (mmio.h), its worker (worker_process.h) and
 * the vhost-user connection to it (frontend.h), its interrupt and its kicks.
 */
#ifndef GPUDOM_XEN_GUEST_DEVICE_H
#define GPUDOM_XEN_GUEST_DEVICE_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "backend/gpu_limits.h"
#include "backend/log.h"
#include "backend/seat_message.h"
#include "backend/telemetry.h"
#include "backend/trace.h"
#include "xen/config.h"
#include "xen/discovery.h"
#include "xen/guest_state.h"
#include "xen/ioreq.h"
#include "xen/policy.h"

struct guest_device;

struct cgroup;
struct keep;
struct seat_link;
struct worker_message;

struct guest_device_options {
	const char *title;       /* of the guest, for the log; not copied */
	const char *worker_name; /* of the guest, for the worker's log; not copied */
	sd_event *event;
	struct ioreq_server *server; /* not owned */
	struct keep *keep;           /* not owned */
	/* Where a successor finds it; not owned. Zeroed but its device, or what a predecessor left.
	 */
	struct device_state *state;
	const char *worker_path; /* not copied */
	char **worker_arguments; /* taken over, also on failure; see config_arguments() */
	uint64_t settings;       /* changes with those, and with @input */
	/* Of an input device, what it is: SEAT_INPUT_KINDS is one that has nothing to be */
	enum seat_input_kind input;
	struct seat_link *seat;      /* not owned; NULL: there will be none */
	enum config_display display; /* of a GPU */
	struct gpu_limits limits;
	enum log_level log_level; /* of the worker */
	bool ioeventfd;           /* let the kernel take kicks where it can */
	struct trace *trace;      /* gpudomd's ring; not owned */
	struct guest_policy policy;
	struct cgroup *cgroup; /* not owned; NULL: workers have no groups */

	/* The worker is ready: the guest may run. */
	void (*serving)(void *data, struct guest_device *device);
	/* What the guest gets wrong, a static sentence; NULL: no longer. */
	void (*complain)(void *data, struct guest_device *device, const char *what);
	/* After guest_device_stop(): nothing of the guest's memory is held any more. */
	void (*stopped)(void *data, struct guest_device *device);
	void *data;
};

/* Claims the device's range and starts its worker. Accesses wait until that is ready. A worker that
 * cannot be started leaves a device that is not there for the guest (DeviceID 0). */
int guest_device_create(const struct guest_device_options *options, struct guest_device **device);

/* Stops the worker, then calls stopped(), perhaps at once, and the callee destroys the device. */
void guest_device_stop(struct guest_device *device);

/* Frees it, and leaves worker and device to a successor. Accepts NULL. */
void guest_device_let_go(struct guest_device *device);

/* Kills the worker if it is there. Accepts NULL. */
void guest_device_destroy(struct guest_device *device);

/* Answers an access inside the range (true), or leaves it open (struct ioreq_options.access). */
bool guest_device_access(struct guest_device *device, struct ioreq_access *access);

/* The guest has given pages back: true, and @done follows when the worker has let go of them; or
 * false: there is nothing to wait for. */
bool guest_device_invalidate(struct guest_device *device, void (*done)(void *), void *data);

/* ---- guest_device_settings.c ---- */

/* They hold at once. */
void guest_device_set_limits(struct guest_device *device, const struct gpu_limits *limits);
/* The worker's arguments (taken over) for the one that the guest's next reset starts, where a GPU
 * shows then, what an input device is then, and options.settings of these but the display. */
void guest_device_set_arguments(struct guest_device *device, char **arguments,
    enum config_display display, enum seat_input_kind input, uint64_t settings);

/* One line for scripts; gpudomd(8) says what it means. */
void guest_device_log_statistics(const struct guest_device *device);

/* ---- guest_device_seat.c ---- */

/* There is a seat now, perhaps another one. */
void guest_device_seat_came(struct guest_device *device);
/* A seat has gone, and perhaps did not take its socket. */
void guest_device_seat_unsure(struct guest_device *device);

/* A GPU whose frames go to the seat, whether there is one or not. */
bool guest_device_shows_at_seat(const struct guest_device *device);

/* Its frames, or its events, go by the seat that there is now. */
bool guest_device_is_at_seat(const struct guest_device *device);

/* ---- guest_device_trace.c ---- */

/* Its worker writes a new ring from now on, and so do its successors. -errno. */
int guest_device_start_trace(struct guest_device *device);
/* The ring stays readable. */
void guest_device_stop_trace(struct guest_device *device);
bool guest_device_is_traced(const struct guest_device *device);
/* Of the ring; not the caller's. -1: there is none. */
int guest_device_trace_fd(const struct guest_device *device);
void guest_device_forget_trace(struct guest_device *device);

/* Of its worker's log. */
void guest_device_set_log_level(struct guest_device *device, enum log_level level);

/* Is its worker there, and ready? */
bool guest_device_serves(const struct guest_device *device);

const struct discovery_device *guest_device_description(const struct guest_device *device);

/* Else it is an input device. */
bool guest_device_is_gpu(const struct guest_device *device);

/* "GPU", "input device" */
const char *guest_device_noun(const struct guest_device *device);

/* ------------------------------------------------------------- for who operates it */

enum guest_device_state {
	DEVICE_STARTING, /* the first worker is on its way: accesses wait */
	DEVICE_SERVING,
	/* The worker has died under a guest that does not know; its successor, once it is gone,
	 * goes on where it was. Registers answer; what needs the worker waits. */
	DEVICE_REPLACING,
	DEVICE_LOST,       /* there is no worker, and the guest is told that it must reset */
	DEVICE_RESTARTING, /* a reset waits for a new worker, which begins with an empty device */
	DEVICE_ABSENT,     /* there never was one */
	DEVICE_STOPPING,
};

/* "serving" */
const char *guest_device_state_name(enum guest_device_state state);

struct guest_device_status {
	const char *guest; /* its name, or "domain N"; the device's */
	uint16_t domid;
	unsigned devid;
	const char *noun;           /* guest_device_noun() */
	enum seat_input_kind input; /* of a GPU, and of one that is nothing: SEAT_INPUT_KINDS */
	enum guest_device_state state;
	enum guest_block blocked; /* with DEVICE_LOST */
	bool running;             /* the guest's driver is up */
	bool at_seat;             /* guest_device_is_at_seat() */
	bool for_seat;            /* it would be, if there were a seat */
	struct gpu_limits limits; /* that hold now */
	const char *complaint;    /* what the guest gets wrong, a static sentence; NULL: nothing */
	pid_t pid;                /* of the worker; 0: none */
	struct health_state health;
	uint32_t frozen, lost;              /* outputs (bits): guest_signal.h */
	uint64_t log_lines, log_suppressed; /* of this process about it; of these, not written */
	uint64_t reads, writes;             /* of registers */
	uint64_t kicks, interrupts;         /* that this process has forwarded */
	bool known;                         /* the rest is */
	struct telemetry telemetry;
};

void guest_device_get_status(const struct guest_device *device, struct guest_device_status *status);

/* backend/screen.h; not the caller's. -1: none. */
int guest_device_screen(const struct guest_device *device);

/* From now on; running workers are not told. */
void guest_device_set_policy(struct guest_device *device, const struct guest_policy *policy);

/*
 * No worker serves it any more, and the guest is told to reset its device, which does not help:
 * until guest_device_unblock(), after which its next reset does. -EAGAIN: its first worker is on
 * its way. -ENODEV: it is not there for the guest, or on its way out.
 */
int guest_device_block(struct guest_device *device);
int guest_device_unblock(struct guest_device *device);

/* A new worker in the place of the one that serves, as if that had died; held against nobody.
 * -EPERM: it is blocked. -EAGAIN: a new one is on its way. -ENODEV: there is none, and the guest
 * must reset its device first. */
int guest_device_reset_worker(struct guest_device *device);

/* Tells its worker something: worker_process_send(). */
int guest_device_send(
    const struct guest_device *device, const struct worker_message *message, int fd);

#endif
