/* SPDX-License-Identifier: MIT */
/*
 * The machine's own keyboards, mice, touch screens, tablets and switches as sources of
 * seat_input.h: one libinput context on the session's seat. Devices come and go; each is what the
 * first section of the settings says whose pattern its name matches. While the session is
 * another's, all are closed.
 */
#ifndef GPUDOM_RENDER_SEAT_LIBINPUT_H
#define GPUDOM_RENDER_SEAT_LIBINPUT_H

#include <systemd/sd-event.h>

#include "render/seat_input.h"
#include "render/seat_session.h"

struct json_object;
struct seat_config_input; /* seat_config.h */
struct seat_libinput;

struct seat_libinput_options {
	sd_event *event;                       /* a reference is taken */
	struct seat_session *session;          /* outlives it */
	struct seat_input *input;              /* likewise */
	const struct seat_config_input *rules; /* not copied: until seat_libinput_configure() */
	unsigned rule_count;
};

/* That there is no device (yet) is no error. -errno, logged. */
int seat_libinput_create(
    const struct seat_libinput_options *options, struct seat_libinput **libinput);
/* What is down is released. Accepts NULL. */
void seat_libinput_destroy(struct seat_libinput *libinput);

/* Other settings, for all devices that there are, too. What is down is released. */
void seat_libinput_configure(
    struct seat_libinput *libinput, const struct seat_config_input *rules, unsigned rule_count);

/* struct seat_input_listener's leds(): of all keyboards that go by focus. */
void seat_libinput_set_leds(struct seat_libinput *libinput, uint32_t leds);

/* For "status": an array of devices, with what each is for. The caller's to json_object_put().
 * NULL: no memory. */
struct json_object *seat_libinput_describe(const struct seat_libinput *libinput);

#endif
