/* SPDX-License-Identifier: MIT */
/*
 * gpudom-worker --device=keyboard and so on: a virtio-input device, and its socket to the seat
 * (struct seat_input_packet, backend/seat_message.h), which may be replaced while it runs.
 */
#ifndef GPUDOM_TOOLS_WORKER_INPUT_H
#define GPUDOM_TOOLS_WORKER_INPUT_H

#include <systemd/sd-event.h>

#include "backend/log.h"
#include "backend/seat_message.h"
#include "backend/virtio_device.h"

struct worker_input {
	sd_event *event;
	struct virtio_device *device; /* the caller's to destroy */
	sd_event_source *seat;        /* owns the socket; NULL: there is no seat */
	struct log_limit limit;
};

/* Makes input->device. -errno. */
int worker_input_init(struct worker_input *input, sd_event *event, enum seat_input_kind kind);
/* Before the device's end. */
void worker_input_finish(struct worker_input *input);

/* Takes @fd over on success, in the place of the socket before, whose keys come up. -errno, logged.
 */
int worker_input_set_seat(struct worker_input *input, int fd);

/* One line for scripts, and for --stats */
void worker_input_format_statistics(struct worker_input *input, char *text, size_t size);

#endif
