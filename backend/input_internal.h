/* SPDX-License-Identifier: MIT */
/* What the files of the virtio-input device share: input.c (the device), input_queue.c (events),
 * input_status.c (what comes back). */
#ifndef GPUDOM_BACKEND_INPUT_INTERNAL_H
#define GPUDOM_BACKEND_INPUT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/input.h"
#include "backend/input_state.h"

enum { INPUT_QUEUE_EVENTS, INPUT_QUEUE_STATUS, INPUT_QUEUES };

struct input_frame {
	unsigned count;
	struct seat_input_event events[SEAT_INPUT_EVENTS_MAX];
};

/* One of the guest's, for one event. */
struct input_buffer {
	uint16_t head;
	uint16_t piece_count;
	struct memory_piece pieces[sizeof(struct seat_input_event)]; /* a byte each, at worst */
};

/* For a successor: what the guest may believe to be down. Others can write to it: nothing in
 * it can do harm. */
#define INPUT_LEDGER_MAGIC 0x75706e69 /* "inpu" */
struct input_ledger {
	uint32_t magic, kind; /* 0: nothing was written yet */
	uint64_t keys[INPUT_KEY_WORDS];
	uint64_t slots; /* a bit for each */
};

struct input {
	struct virtio_device base;
	struct input_options options;
	uint8_t select, subsel; /* of the configuration space */
	struct input_statistics statistics;
	struct log_limit limit;
	struct input_ledger *ledger; /* NULL: none */
	struct virtqueue_chain chain;

	/* input_queue.c */
	struct input_state believed; /* by the guest, of what it was given */
	struct input_state held;     /* before the oldest frame that waits */
	bool behind;                 /* these may differ */
	struct input_frame resync;
	struct input_frame frames[INPUT_FRAMES_MAX]; /* a ring of those that wait */
	unsigned frame_first, frame_count;
	/* Taken, and not enough yet for the next frame; in order */
	struct input_buffer buffers[SEAT_INPUT_EVENTS_MAX];
	unsigned buffer_first, buffer_count;

	/* input_status.c */
	uint32_t leds, leds_told;
	int32_t repeat[REP_CNT], repeat_told[REP_CNT]; /* milliseconds; 0: never set */
	uint64_t status_next_ns;                       /* before, nothing is looked at */
};

static inline struct input *input_from_device(struct virtio_device *device)
{
	return (struct input *)device; /* base is first */
}

/* Room for one more frame behind those that wait; frame_count counts it. */
struct input_frame *input_queue_new_frame(struct input *input);
/* Gives the guest what it has room for. */
void input_queue_deliver(struct input *input);
/* All that waits is lost, but for what it makes of the state. */
void input_queue_lose(struct input *input);
/* Gives buffers back that were taken. */
void input_queue_drain(struct input *input);

/* As virtio_device_impl.process_queue() */
bool input_status_process(struct input *input);
void input_status_reset(struct input *input);

/* Before and after frames are published */
void input_ledger_foresee(struct input *input, const struct input_frame *frame);
void input_ledger_write(struct input *input);

#endif
