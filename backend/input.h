/* SPDX-License-Identifier: MIT */
/*
 * The virtio-input device (virtio 1.2, 5.8): brings frames of events to a guest, whole and in
 * their order, and what the guest wants (LEDs, repeat) back. It knows no seat and no socket.
 *
 * A guest that does not take its events loses whole frames, the oldest first. When it takes events
 * again, a frame of what has changed meanwhile comes first (input_state.h): no key and no touch
 * stays down that is not. So it is, too, for a driver that starts, a seat that is gone, and a
 * worker that another one follows (what the guest believes to be down is in the ledger).
 */
#ifndef GPUDOM_BACKEND_INPUT_H
#define GPUDOM_BACKEND_INPUT_H

#include <stdint.h>

#include "backend/seat_message.h"
#include "backend/virtio_device.h"

#define INPUT_FRAMES_MAX 256 /* that wait for the guest */
/* The guest's wishes are looked at this often, so many at a time; of a flood only the result is
 * told. */
#define INPUT_STATUS_INTERVAL_NS 20000000
#define INPUT_STATUS_BATCH 64

struct input_options {
	enum seat_input_kind kind;
	const char *serial; /* ID_SERIAL; not copied; may be NULL */
	/* The guest has written these to the status queue: EV_LED, EV_REP, each at most once. May
	 * be NULL. */
	void (*status)(void *data, const struct seat_input_event *events, unsigned count);
	void *data;
};

struct input_statistics {
	uint64_t frames, events;       /* that the guest was given */
	uint64_t frames_lost, resyncs; /* frames that it was not, and those in their place */
	uint64_t status;               /* events of the guest's */
	uint64_t errors;               /* buffers that were of no use */
	unsigned waiting;              /* frames */
};

/* -ENOMEM */
int input_create(const struct input_options *options, struct virtio_device **device);

/*
 * One frame, whose last event is SYN_REPORT, and no other one an EV_SYN. What a device of this kind
 * does not have is left out, and so is EV_KEY 2: the guest repeats keys itself. -EINVAL: it is no
 * frame.
 */
int input_send(struct virtio_device *device, const struct seat_input_event *events, unsigned count);

/* Where frames came from is gone: what is down is up. */
void input_release(struct virtio_device *device);

/* Calls status() with all that the guest has ever wanted: somebody else listens now. */
void input_repeat_status(struct virtio_device *device);

void input_get_statistics(struct virtio_device *device, struct input_statistics *statistics);

#endif
