/* SPDX-License-Identifier: MIT */
/*
 * Who gets what people do: takes keys, motions and touches from sources (libinput:
 * seat_libinput.c; a window: wayland.c), follows focus, and hands whole frames of events to guests'
 * input devices. Knows no device node; tests drive it by hand. All calls come from one thread, and
 * none waits.
 *
 * Nothing reaches a guest without focus, nor one that has focus but no visible view. One that loses
 * it gets releases for all that it believes to be down, in one frame for each device; what is
 * held goes unseen until it is pressed again. Touches and pens go by output, or by focus: as
 * configured.
 *
 * Secure attention: the chord is looked for in what people hold, on whichever keyboards, before any
 * guest is asked. A guest has seen the press of the modifiers, and sees their release when the
 * chord completes; the key that completes it reaches nobody, and what a guest says (LEDs, repeat)
 * does nothing but light LEDs while it has focus.
 *
 * A device of a guest that does not read: SEAT_INPUT_RING events wait, then whole frames are lost,
 * oldest first; in their place goes one that says what they came to (keys, touches, positions that
 * differ), so that nothing sticks. The same goes for what happens between the end of a device's
 * socket and its next one.
 */
#ifndef GPUDOM_RENDER_SEAT_INPUT_H
#define GPUDOM_RENDER_SEAT_INPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/seat_message.h"
#include "render/seat_layout.h"

struct seat_input;
struct json_object;

#define SEAT_INPUT_DEVICES_MAX 16 /* of a guest: numbers 0 to 15 */
#define SEAT_INPUT_SOURCES_MAX 64
#define SEAT_INPUT_RING 1024 /* events that wait for a device */
#define SEAT_CHORD_KEYS_MAX 4

struct seat_input_listener {
	/* Somebody else has the keyboard's focus (NULL: nobody). The seat brings that guest's view
	 * to the front, and may call seat_input_set_layout() from here. */
	void (*focus_changed)(void *data, const char *guest);
	/* LEDs as the focused guest wants them: bits 1 << LED_NUML and so on. */
	void (*leds)(void *data, uint32_t leds);
	/* The pointer is at (@x, @y) of the desktop. */
	void (*pointer_moved)(void *data, double x, double y);
	/* CTRL+ALT+F1 to F12 (1 to 12): no guest sees them. */
	void (*switch_terminal)(void *data, unsigned terminal);
	void *data;
};

/* Keys (KEY_*): the last one completes it while the others are held. */
struct seat_chord {
	uint16_t keys[SEAT_CHORD_KEYS_MAX];
	unsigned count; /* 0: none */
};

enum seat_focus_follows {
	SEAT_FOCUS_POINTER, /* the pointer's crossing to another guest's view, clicks, chord,
			       command */
	SEAT_FOCUS_CLICK,   /* clicks, chord, command */
	SEAT_FOCUS_CHORD,   /* chord and command alone */
};

struct seat_input_config {
	enum seat_focus_follows focus_follows;
	struct seat_chord next; /* to the next guest by name; with a Shift key: to the one before */
	bool touch_by_focus;    /* a touch gives focus, and only who has it gets any; else it goes
				 * to the view that it is on, and focus stays where it is */
	bool relative;          /* a guest with a pointer and a mouse gets its mouse moved */
};

/* Pointer, Left Meta+Tab, touches by output, absolute. */
extern const struct seat_input_config seat_input_config_default;

/* "leftmeta+tab": names as in KEY_* without that, in any case, or numbers; "none". -EINVAL. */
int seat_chord_parse(const char *text, struct seat_chord *chord);
/* "pointer", "click", "chord". -EINVAL. */
int seat_focus_follows_parse(const char *text, enum seat_focus_follows *follows);

struct seat_input_options {
	sd_event *event; /* a reference is taken */
	struct seat_input_config config;
	struct seat_input_listener listener; /* each may be NULL */
};

/* -ENOMEM; -errno */
int seat_input_create(const struct seat_input_options *options, struct seat_input **input);
/* Guests get no releases: their sockets close. Accepts NULL. */
void seat_input_destroy(struct seat_input *input);

/* From now on. What is down is released first. */
void seat_input_configure(struct seat_input *input, const struct seat_input_config *config);

/*
 * @guest's device @device has the SOCK_SEQPACKET socket @fd from now on, until it hangs up; an
 * older one's is closed. Taken over if 0 is returned. What the guest believes to be down of the
 * older one is put right. -EINVAL: there is no such kind, number or name; -ENOSPC: too many guests;
 * -errno.
 *
 * Where a guest has as many devices of a kind with absolute positions as scan-outs, and more than
 * one, each has the area of one scan-out, in the order of their numbers; else the first of a kind
 * has all, side by side in the order of the scan-outs, as tall as the tallest. Scan-outs that the
 * guest has off count only while it has no other one on.
 */
int seat_input_attach(struct seat_input *input, const char *guest, unsigned device,
    enum seat_input_kind kind, int fd);
/* The device is not the guest's any more, and forgotten. */
void seat_input_detach(struct seat_input *input, const char *guest, unsigned device);

/*
 * Not copied: valid until the next call; to be called after each change, before the next event.
 * A guest whose last visible view has gone gets releases. Nobody has focus, or one that has no view
 * any more: the guest of the first visible view gets it.
 */
void seat_input_set_layout(struct seat_input *input, const struct seat_layout *layout);

/* As "focus" and the chord: the pointer goes along where it is on none of the guest's views. NULL:
 * nobody. -ENOENT: no such guest has a view or a device. */
int seat_input_set_focus(struct seat_input *input, const char *guest);
/* NULL: nobody */
const char *seat_input_get_focus(const struct seat_input *input);
/* As it was set. Never NULL. */
const struct seat_layout *seat_input_get_layout(const struct seat_input *input);
void seat_input_get_pointer(const struct seat_input *input, double *x, double *y);

struct seat_input_stats { /* of all guests' devices */
	uint64_t frames;  /* written */
	uint64_t events;  /* in them, SYN_REPORT included */
	uint64_t lost;    /* frames that a guest did not take in time, or had no socket for */
	uint64_t resyncs; /* frames in their place */
	uint64_t dropped; /* presses, motions and touches that nobody got: no focus, no device */
	uint64_t chords;
	uint64_t latency_count, latency_p50_ns, latency_p99_ns; /* see seat_input_time() */
};
void seat_input_get_stats(const struct seat_input *input, struct seat_input_stats *stats);

/* For "status": focus, pointer, statistics and each device. The caller's to json_object_put().
 * NULL: no memory. */
struct json_object *seat_input_describe(const struct seat_input *input);

/* Before a source's first event: what it does goes to @guest, with or without focus; NULL: by
 * focus. -ENOSPC: too many guests or sources; it must not say anything then. */
int seat_input_pin(struct seat_input *input, unsigned source, const char *guest);

/* In the place of an output: all that are on, as one. */
#define SEAT_INPUT_DESKTOP UINT_MAX

/* ---- what sources say; positions are 0.0 to 1.0 of @output, an index of the layout's places, or
 * SEAT_INPUT_DESKTOP ----
 * @source: any number that tells devices apart. Each call that ends a frame of the source's says
 * so by seat_input_frame(): what came since the last one belongs together. */

/* What comes now happened at @time_ns (CLOCK_MONOTONIC), for the statistics. Good until
 * seat_input_frame(). */
void seat_input_time(struct seat_input *input, uint64_t time_ns);
void seat_input_key(struct seat_input *input, unsigned source, uint32_t code, bool down);
/* Pixels; @raw_dx, @raw_dy: what the mouse says, without acceleration, for a guest's mouse. */
void seat_input_motion(
    struct seat_input *input, unsigned source, double dx, double dy, double raw_dx, double raw_dy);
void seat_input_motion_absolute(
    struct seat_input *input, unsigned source, unsigned output, double x, double y);
void seat_input_button(struct seat_input *input, unsigned source, uint32_t code, bool down);
/* 120 is one detent of a wheel; positive is towards the user, or to the right. */
void seat_input_scroll(struct seat_input *input, unsigned source, bool horizontal, double v120);
void seat_input_touch_down(
    struct seat_input *input, unsigned source, unsigned slot, unsigned output, double x, double y);
void seat_input_touch_motion(
    struct seat_input *input, unsigned source, unsigned slot, double x, double y);
void seat_input_touch_up(struct seat_input *input, unsigned source, unsigned slot);
void seat_input_touch_cancel(struct seat_input *input, unsigned source);

struct seat_input_pen {
	unsigned output;
	double x, y;           /* of the output */
	double pressure;       /* 0.0 to 1.0 */
	double distance;       /* likewise */
	double tilt_x, tilt_y; /* degrees */
	uint16_t tool;         /* BTN_TOOL_PEN, BTN_TOOL_RUBBER, ... */
	bool near, touching;
};
void seat_input_pen(struct seat_input *input, unsigned source, const struct seat_input_pen *pen);
/* Buttons of the pen (BTN_STYLUS) are seat_input_button()'s. */
void seat_input_switch(struct seat_input *input, unsigned source, uint32_t code, bool on);
void seat_input_frame(struct seat_input *input, unsigned source);
/* A device is gone: what it held down is released (no frame is needed). */
void seat_input_source_gone(struct seat_input *input, unsigned source);

#endif
