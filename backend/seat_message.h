/* SPDX-License-Identifier: MIT */
/*
 * What gpudom-seat and its clients say to each other. Numbers are in native byte order.
 *
 * A *device* of a guest has a socket of its own to the seat, which whoever may speak for guests has
 * introduced (the manager's socket, below): a worker never says whose it is.
 *
 *  - A GPU's is a stream with the display protocol of vhost-user-gpu (display_socket_message.h).
 *    Where both sides have GPU_MESSAGE_F_SEAT, the messages below are added to it: buffers that
 *    are passed once and then presented by number, and events. CURSOR_*, GET_DISPLAY_INFO and
 *    GET_EDID stay; SCANOUT, UPDATE and DMABUF_* are for clients without it.
 *  - An input device's is SOCK_SEQPACKET: one struct seat_input_packet a packet, both ways.
 *  - The manager's (gpudomd, or a worker started by hand) is SOCK_SEQPACKET at SEAT_SOCKET_PATH:
 *    one JSON object a packet (at most SEAT_COMMAND_MAX bytes), each answered by one, in order,
 *    with "ok": true, or false and an "error" for people.
 *      {"command":"add","guest":"cluster","domain":2,"device":0,"kind":"gpu"}    and a socket:
 *          the guest's device has it from now on (an older one of the same device is closed); kind
 *          is "gpu" or a name of seat_input_kind_name(). "domain" and "device" are for people.
 *      {"command":"status"}     outputs, views, paths, focus, input devices: gpudom-seat(8)
 *      {"command":"focus","guest":"cluster"}
 *      {"command":"output","guest":"cluster","scanout":0,"mode":"off"}    or "1920x1080@60"
 *      {"command":"capture","guest":"cluster","scanout":0}   the answer has "width", "height",
 *          "stride" and a memory file with XRGB8888 rows: what a person sees there
 *      {"command":"picture","guest":"cluster","scanout":0,"width":..,"height":..}   and a memory
 *          file, XRGB8888 without padding: shown in the place of the guest's frames until the
 *          guest's next one
 *      {"command":"remove","guest":"cluster"}   the guest is gone for good: with its last picture
 *    It hangs up without harm: what was added stays until its own socket ends.
 */
#ifndef GPUDOM_BACKEND_SEAT_MESSAGE_H
#define GPUDOM_BACKEND_SEAT_MESSAGE_H

#include <stdint.h>

#include "backend/display.h"

#define SEAT_SOCKET_PATH "/run/gpudom/seat"
#define SEAT_COMMAND_MAX 65536

/* ---------------------------------------------------------------- displays */

/* Of the protocol features of vhost-user-gpu, far from those that QEMU gives out one by one. */
#define GPU_MESSAGE_F_SEAT (UINT64_C(1) << 40)

#define SEAT_BUFFERS_MAX 64 /* that a device can have with the seat at a time: ids 0 to 63 */
#define SEAT_DAMAGE_MAX 16
#define SEAT_NO_BUFFER UINT32_MAX

enum seat_message_type {
	/* Of the worker, answered with the same number, GPU_MESSAGE_FLAG_REPLY and a struct
	 * seat_buffer_answer */
	SEAT_MESSAGE_IMPORT = 0x100, /* struct seat_import, and a dma-buf */
	SEAT_MESSAGE_ALLOCATE,       /* struct seat_allocate; the answer has memory to map */
	/* Of the worker, not answered */
	SEAT_MESSAGE_FREE,    /* struct seat_free: what is on screen stays there */
	SEAT_MESSAGE_PRESENT, /* struct seat_present, perhaps with a sync file */
	/* Of the seat, without GPU_MESSAGE_FLAG_REPLY */
	SEAT_MESSAGE_SHOWN,         /* struct seat_shown */
	SEAT_MESSAGE_RELEASED,      /* struct seat_free: nobody reads the buffer any more */
	SEAT_MESSAGE_MODES_CHANGED, /* nothing: ask GET_DISPLAY_INFO and GET_EDID again */
};

/* A frame somewhere else becomes buffer @id, without a copy. */
struct seat_import {
	uint32_t id;
	uint32_t scanout; /* where it is to be shown */
	uint32_t width, height, stride, offset;
	uint32_t fourcc; /* DRM_FORMAT_* */
	uint32_t flags;  /* GPU_MESSAGE_DMABUF_FLIPPED */
	uint64_t modifier;
};

/* Memory that the output can show, XRGB8888, becomes buffer @id, to be drawn into. */
struct seat_allocate {
	uint32_t id;
	uint32_t scanout;
	uint32_t width, height;
};

struct seat_buffer_answer {
	uint32_t id;
	uint32_t error;  /* 0, or an errno: there is no such buffer then */
	uint32_t stride; /* of what was allocated */
	uint32_t size;   /* likewise, bytes that can be mapped; zero without a descriptor */
};

struct seat_free {
	uint32_t id;
};

/*
 * Shows @source of a buffer on a scan-out from the next vertical blank on, when the sync file (if
 * any) has signalled. One that was overtaken before it was on screen counts as shown, too.
 */
struct seat_present {
	uint32_t scanout;
	uint32_t id;                /* SEAT_NO_BUFFER: nothing */
	uint64_t serial;            /* rises; SHOWN tells it */
	struct display_rect source; /* of the buffer */
	uint32_t damage_count;      /* 0: all of it */
	uint32_t reserved;
	struct display_rect damage[SEAT_DAMAGE_MAX]; /* of the buffer */
};

/* All that was presented on @scanout up to @serial is on screen, or was overtaken. */
struct seat_shown {
	uint32_t scanout, reserved;
	uint64_t serial;
	uint64_t time_ns;  /* CLOCK_MONOTONIC, of the flip; 0: it was not shown */
	uint64_t sequence; /* of the vertical blank */
};

/* ---------------------------------------------------------------- input */

enum seat_input_kind {
	SEAT_INPUT_KEYBOARD, /* keys; LEDs and repeat come back */
	SEAT_INPUT_MOUSE,    /* relative, wheels, buttons */
	SEAT_INPUT_POINTER,  /* absolute over the guest's outputs, wheels, buttons */
	SEAT_INPUT_TOUCH,    /* slots (type B) */
	SEAT_INPUT_TABLET,   /* pen: position, pressure, tilt, distance, tools, buttons */
	SEAT_INPUT_SWITCH,   /* lid, tablet mode, ... */
	SEAT_INPUT_KINDS,
};

#define SEAT_INPUT_ABS_MAX 32767 /* positions are 0 to this over the device's area */
#define SEAT_INPUT_SLOTS 16      /* of touches */
#define SEAT_INPUT_PRESSURE_MAX 8191
#define SEAT_INPUT_DISTANCE_MAX 1023 /* of a pen above the tablet */
#define SEAT_INPUT_TILT_MAX 90       /* degrees, both ways */
#define SEAT_INPUT_EVENTS_MAX 128

/* As struct virtio_input_event, and linux/input-event-codes.h. */
struct seat_input_event {
	uint16_t type, code;
	int32_t value;
};

/* To the worker: one whole frame, whose last event is SYN_REPORT. To the seat: what the guest has
 * written to the status queue (EV_LED, EV_REP), without a SYN_REPORT. */
struct seat_input_packet {
	uint32_t count;
	uint32_t reserved;
	struct seat_input_event events[SEAT_INPUT_EVENTS_MAX]; /* those that there are are sent */
};

/* "keyboard", "mouse", "pointer", "touch", "tablet", "switch" */
const char *seat_input_kind_name(enum seat_input_kind kind);
/* SEAT_INPUT_KINDS: there is none. */
enum seat_input_kind seat_input_kind_parse(const char *name);

#endif
