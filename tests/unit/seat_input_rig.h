/* SPDX-License-Identifier: MIT */
/*
 * Input by hand: two outputs side by side, each 1000x500; "left" and "right" have one each, and
 * "hidden" has the left one, too, but another guest is in front. Each has a keyboard (0), a pointer
 * (1), a touch screen (2), a mouse (3), a tablet (4) and switches (5), whose sockets the test
 * reads.
 */
#ifndef TESTS_UNIT_SEAT_INPUT_RIG_H
#define TESTS_UNIT_SEAT_INPUT_RIG_H

#include <errno.h>
#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "render/seat_input.h"

#include <cmocka.h>

enum { LEFT, RIGHT, HIDDEN, GUESTS };
enum { KEYBOARD, POINTER, TOUCH, MOUSE, TABLET, SWITCHES, DEVICES };

struct rig {
	sd_event *event;
	struct seat_input *input;
	struct seat_layout layout;
	int fds[GUESTS][DEVICES]; /* the worker's ends */
	bool bring_to_front;      /* as the seat does */

	unsigned focus_changes, terminal, leds_changes;
	uint32_t leds;
	double x, y;
};

static const char *const rig_guests[] = { "left", "right", "hidden" };
static const enum seat_input_kind rig_kinds[] = { SEAT_INPUT_KEYBOARD, SEAT_INPUT_POINTER,
	SEAT_INPUT_TOUCH, SEAT_INPUT_MOUSE, SEAT_INPUT_TABLET, SEAT_INPUT_SWITCH };

static void rig_focus_changed(void *data, const char *guest)
{
	struct rig *rig = data;
	unsigned output = 0;

	rig->focus_changes++;
	if (!guest || !rig->bring_to_front)
		return;
	for (unsigned i = 0; i < rig->layout.view_count; i++)
		if (!strcmp(rig->layout.views[i].guest, guest))
			output = rig->layout.views[i].output;
	for (unsigned i = 0; i < rig->layout.view_count; i++)
		if (rig->layout.views[i].output == output)
			rig->layout.views[i].visible = !strcmp(rig->layout.views[i].guest, guest);
	seat_input_set_layout(rig->input, &rig->layout);
}

static void rig_leds(void *data, uint32_t leds)
{
	struct rig *rig = data;

	rig->leds = leds;
	rig->leds_changes++;
}

static void rig_pointer_moved(void *data, double x, double y)
{
	struct rig *rig = data;

	rig->x = x;
	rig->y = y;
}

static void rig_switch_terminal(void *data, unsigned terminal)
{
	((struct rig *)data)->terminal = terminal;
}

static inline void rig_run(struct rig *rig)
{
	while (sd_event_run(rig->event, 0) > 0)
		;
}

static inline void rig_attach(struct rig *rig, unsigned guest, unsigned device)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(
	    seat_input_attach(rig->input, rig_guests[guest], device, rig_kinds[device], pair[0]),
	    0);
	rig->fds[guest][device] = pair[1];
}

static inline void rig_close(struct rig *rig, unsigned guest, unsigned device)
{
	close(rig->fds[guest][device]);
	rig->fds[guest][device] = -1;
	rig_run(rig);
}

static inline struct rig *rig_create(const struct seat_input_config *config)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct seat_input_options options = { .config = *config };

	assert_int_equal(sd_event_new(&rig->event), 0);
	options.event = rig->event;
	options.listener = (struct seat_input_listener){ rig_focus_changed, rig_leds,
		rig_pointer_moved, rig_switch_terminal, rig };
	assert_int_equal(seat_input_create(&options, &rig->input), 0);
	for (unsigned guest = 0; guest < GUESTS; guest++)
		for (unsigned device = 0; device < DEVICES; device++)
			rig_attach(rig, guest, device);
	rig->layout = (struct seat_layout){
		.places = { { "A", 0, 0, 1000, 500, true }, { "B", 1000, 0, 1000, 500, true } },
		.place_count = 2,
		.views = { { "hidden", 0, 0, 0, 0, 1000, 500, 0, 65535, false, 0, 0 },
		    { "left", 0, 0, 0, 0, 1000, 500, 1, 65535, true, 0, 0 },
		    { "right", 0, 1, 0, 0, 1000, 500, 0, 65535, true, 0, 0 } },
		.view_count = 3,
	};
	seat_input_set_layout(rig->input, &rig->layout);
	assert_string_equal(seat_input_get_focus(rig->input), "left");
	return rig;
}

static inline void rig_destroy(struct rig *rig)
{
	seat_input_destroy(rig->input);
	for (unsigned guest = 0; guest < GUESTS; guest++)
		for (unsigned device = 0; device < DEVICES; device++)
			if (rig->fds[guest][device] >= 0)
				close(rig->fds[guest][device]);
	sd_event_unref(rig->event);
	free(rig);
}

/* The next packet; 0: there is none. */
static inline unsigned rig_read(int fd, struct seat_input_packet *packet)
{
	const size_t head = offsetof(struct seat_input_packet, events);
	ssize_t n = recv(fd, packet, sizeof(*packet), MSG_DONTWAIT);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	if (n == 0)
		return 0; /* closed */
	assert_true((size_t)n >= head);
	assert_in_range(packet->count, 2, SEAT_INPUT_EVENTS_MAX);
	assert_int_equal((size_t)n, head + packet->count * sizeof(packet->events[0]));
	for (unsigned i = 0; i < packet->count; i++)
		assert_int_equal(packet->events[i].type == EV_SYN, i + 1 == packet->count ? 1 : 0);
	return packet->count;
}

static inline void rig_expect(
    int fd, const struct seat_input_event *events, unsigned count, const char *file, int line)
{
	struct seat_input_packet packet = { .count = 0 };
	bool same = rig_read(fd, &packet) == count + 1;

	for (unsigned i = 0; same && i < count; i++)
		same = packet.events[i].type == events[i].type &&
		       packet.events[i].code == events[i].code &&
		       packet.events[i].value == events[i].value;
	if (same)
		return;
	for (unsigned i = 0; i < packet.count && i < SEAT_INPUT_EVENTS_MAX; i++)
		print_error("  {%u, 0x%x, %d}\n", packet.events[i].type, packet.events[i].code,
		    packet.events[i].value);
	_fail(file, line);
}

/* The next frame is these events, and a SYN_REPORT. */
#define expect(fd, ...)                                                                         \
	do {                                                                                    \
		const struct seat_input_event wanted[] = { __VA_ARGS__ };                       \
		rig_expect(fd, wanted, sizeof(wanted) / sizeof(wanted[0]), __FILE__, __LINE__); \
	} while (0)

/* Nothing has come to any device of any guest (that was not read). */
static inline void rig_expect_silence(struct rig *rig, const char *file, int line)
{
	struct seat_input_packet packet;

	for (unsigned guest = 0; guest < GUESTS; guest++)
		for (unsigned device = 0; device < DEVICES; device++) {
			if (rig->fds[guest][device] < 0 ||
			    !rig_read(rig->fds[guest][device], &packet))
				continue;
			print_error("%s got {%u, 0x%x, %d} at its device %u\n", rig_guests[guest],
			    packet.events[0].type, packet.events[0].code, packet.events[0].value,
			    device);
			_fail(file, line);
		}
}
#define expect_silence(rig) rig_expect_silence(rig, __FILE__, __LINE__)

static inline void rig_key(struct rig *rig, unsigned source, uint32_t code, bool down)
{
	seat_input_key(rig->input, source, code, down);
	seat_input_frame(rig->input, source);
}

static inline void rig_button(struct rig *rig, unsigned source, uint32_t code, bool down)
{
	seat_input_button(rig->input, source, code, down);
	seat_input_frame(rig->input, source);
}

/* To a pixel of the desktop */
static inline void rig_point(struct rig *rig, unsigned source, double x, double y)
{
	seat_input_motion_absolute(rig->input, source, SEAT_INPUT_DESKTOP, x / 2000, y / 500);
	seat_input_frame(rig->input, source);
}

#define KEY(code, value)            \
	{                           \
		EV_KEY, code, value \
	}
#define ABS(code, value)            \
	{                           \
		EV_ABS, code, value \
	}
#define REL(code, value)            \
	{                           \
		EV_REL, code, value \
	}
/* As positions arrive: of 1000 pixels, and of 500 */
#define AT_X(x) ABS(ABS_X, (32768 * (x) + 999) / 1000)
#define AT_Y(y) ABS(ABS_Y, (32768 * (y) + 499) / 500)

#endif
