/* SPDX-License-Identifier: MIT */
/* What the parts of seat_libinput.h share: its devices, and their events. */
#ifndef GPUDOM_RENDER_SEAT_LIBINPUT_PRIVATE_H
#define GPUDOM_RENDER_SEAT_LIBINPUT_PRIVATE_H

#include <libinput.h>
#include <sys/queue.h>

#include "render/seat_config.h"
#include "render/seat_libinput.h"

struct seat_libinput_device {
	struct libinput_device *device;       /* a reference */
	unsigned source;                      /* of seat_input.h */
	const struct seat_config_input *rule; /* NULL: none matches */
	bool ignored;
	LIST_ENTRY(seat_libinput_device) link;
};

struct seat_libinput {
	struct seat_session *session;
	struct seat_session_listener session_listener;
	struct seat_input *input;
	struct libinput *context;
	sd_event_source *io;
	bool assigned; /* to the seat */
	const struct seat_config_input *rules;
	unsigned rule_count;
	unsigned last_source;
	uint32_t leds;
	LIST_HEAD(seat_libinput_devices, seat_libinput_device) devices;
};

/* Anything but that a device comes or goes. */
void seat_libinput_take_event(
    struct seat_input *input, struct seat_libinput_device *device, struct libinput_event *event);

#endif
