/* SPDX-License-Identifier: MIT */
/* What the parts of seat_input.h share: see there. */
#ifndef GPUDOM_RENDER_SEAT_INPUT_PRIVATE_H
#define GPUDOM_RENDER_SEAT_INPUT_PRIVATE_H

#include <linux/input-event-codes.h>
#include <sys/queue.h>

#include "backend/input_state.h"
#include "backend/log.h"
#include "backend/telemetry.h"
#include "render/seat_input.h"

#define SEAT_KEY_WORDS INPUT_KEY_WORDS
#define SOURCE_NONE UINT_MAX /* of frames that are nobody's doing but ours */
#define SEAT_TOUCHES_MAX 64  /* of all sources */

static inline bool seat_bit(const uint64_t *words, unsigned bit)
{
	return words[bit / 64] >> bit % 64 & 1;
}

static inline void seat_bit_set(uint64_t *words, unsigned bit, bool on)
{
	const uint64_t mask = UINT64_C(1) << bit % 64;

	words[bit / 64] = on ? words[bit / 64] | mask : words[bit / 64] & ~mask;
}

/* ---------------------------------------------------------------- a guest's device */

struct seat_device {
	struct seat_input *input;
	struct seat_guest *guest;
	unsigned number; /* of the guest */
	enum seat_input_kind kind;
	int fd; /* -1: it has hung up, and what is added goes nowhere */
	sd_event_source *io;

	/* The frame that is being made, of this source */
	struct seat_input_event frame[SEAT_INPUT_EVENTS_MAX];
	unsigned frame_count, frame_source;
	bool framing; /* on input->framing */
	TAILQ_ENTRY(seat_device) link;

	/* Whole frames that wait for the socket */
	struct seat_input_event ring[SEAT_INPUT_RING];
	unsigned ring_head, ring_count;

	struct input_state now;  /* with all that was framed */
	struct input_state told; /* with all that was written */
	struct input_state lost; /* told, and what was lost after it; where behind */
	bool behind;
	int32_t last_id;  /* of touches */
	unsigned primary; /* the slot that ABS_X and ABS_Y follow; SEAT_INPUT_SLOTS: none */

	uint32_t leds;
	uint64_t frames, lost_frames;
	struct log_limit bad_packets;
};
TAILQ_HEAD(seat_device_list, seat_device);

int seat_device_create(struct seat_input *input, struct seat_guest *guest, unsigned number,
    struct seat_device **device);
void seat_device_destroy(struct seat_device *device);
/* As a new one, of which nothing is down. Takes @fd over if 0 is returned. */
int seat_device_connect(struct seat_device *device, enum seat_input_kind kind, int fd);
/* Adds an event to the frame of @source. Those of two sources are not mixed. */
void seat_device_add(
    struct seat_device *device, unsigned source, uint16_t type, uint16_t code, int32_t value);
/* Ends the frame, if there is one. */
void seat_device_flush(struct seat_device *device);
/* Is a key or button down, at @first to @last? */
bool seat_device_any_down(const struct seat_device *device, unsigned first, unsigned last);

/* ---------------------------------------------------------------- guests */

/* A pointer is somewhere, whoever is there. */
struct seat_pointer {
	double x, y;             /* of the desktop */
	struct seat_guest *over; /* when it was moved last; NULL: nobody */
	/* While a button is down all goes where it went down. */
	struct seat_guest *grab;
	struct seat_device *grab_device;
	unsigned grab_scanout, grab_output;
	/* What was not told yet because it is less than one */
	double rest_x, rest_y; /* of motion */
	double wheel[2];       /* vertical, horizontal: of high resolution, below 1 */
	int32_t detent[2];     /* and of 120ths */
};

struct seat_area { /* of a scan-out in what the guest thinks is its desktop */
	unsigned scanout;
	bool lit; /* it has a picture there */
	uint32_t width, height, offset;
};

struct seat_guest {
	char name[SEAT_GUEST_NAME_MAX];
	struct seat_device *devices[SEAT_INPUT_DEVICES_MAX];
	bool present, visible; /* a view on an output that is on; one that is seen */
	struct seat_area areas[SEAT_OUTPUTS_MAX];
	unsigned area_count;
	uint32_t width, height; /* of all areas */
	uint32_t leds;
	struct seat_pointer pointer; /* of sources that are pinned to it */
	bool been;                   /* the pointer of all others was here last: */
	double been_x, been_y;
};

struct seat_pen {
	struct seat_guest *guest; /* that has it near; NULL: nobody */
	struct seat_device *device;
	unsigned scanout, output;
	uint16_t tool;
};

struct seat_source {
	bool used;
	unsigned number;
	struct seat_guest *pinned;
	uint64_t down[SEAT_KEY_WORDS]; /* by people */
	uint64_t sent[SEAT_KEY_WORDS]; /* of these, what the guest was told that has it */
	struct seat_pen pen;
};

struct seat_touch {
	bool used;
	unsigned source, slot;
	unsigned output; /* its positions are of it */
	bool pinned;
	struct seat_guest *guest;
	struct seat_device *device;
	unsigned scanout, view_output, guest_slot;
};

struct seat_input {
	sd_event *event;
	struct seat_input_config config;
	struct seat_input_listener listener;
	const struct seat_layout *layout;
	struct seat_guest *view_guests[SEAT_VIEWS_MAX]; /* of layout->views */

	struct seat_guest *guests[SEAT_GUESTS_MAX]; /* by name */
	unsigned guest_count;
	struct seat_guest *focus; /* NULL: nobody */
	bool nobody;              /* as somebody has asked for */
	bool out_of_guests;       /* said once */

	struct seat_source sources[SEAT_INPUT_SOURCES_MAX];
	unsigned source_count; /* used ones lie below */
	struct seat_pointer pointer;
	struct seat_touch touches[SEAT_TOUCHES_MAX];
	uint32_t switches;
	struct seat_device_list framing; /* devices with an open frame */

	uint64_t time_ns;
	struct seat_input_stats stats;
	struct telemetry_histogram latency;
};

/* ---- seat_input.c */
/* The guest of a source; NULL: what it does reaches nobody now. */
struct seat_guest *seat_input_route(struct seat_input *input, const struct seat_source *source);
/* Writes what the source's frames hold so far. */
void seat_input_flush(struct seat_input *input, unsigned source);
/* NULL: too many */
struct seat_source *seat_input_source(struct seat_input *input, unsigned number);
/* The guest's first device of a kind. */
struct seat_device *seat_guest_device(const struct seat_guest *guest, enum seat_input_kind kind);
/* Gives focus; @bring: the pointer comes along. */
void seat_input_focus(struct seat_input *input, struct seat_guest *guest, bool bring);
void seat_input_focus_next(struct seat_input *input, bool backwards);
struct seat_guest *seat_input_view_guest(
    const struct seat_input *input, const struct seat_view *view);
/*
 * The topmost visible view at a point of the desktop: of @guest, if that is not NULL; on @output,
 * if that is not SEAT_INPUT_DESKTOP. A guest that was never given a device of @kinds (SEAT_FOR_*)
 * lets through to what is below, as warning lights above a map do.
 */
#define SEAT_FOR_POINTER \
	(1u << SEAT_INPUT_KEYBOARD | 1u << SEAT_INPUT_MOUSE | 1u << SEAT_INPUT_POINTER)
#define SEAT_FOR_TOUCH (1u << SEAT_INPUT_TOUCH)
#define SEAT_FOR_PEN (1u << SEAT_INPUT_TABLET)
const struct seat_view *seat_input_find_view(const struct seat_input *input, unsigned kinds,
    unsigned output, const struct seat_guest *guest, double x, double y);
/* That one view, if it is visible. */
const struct seat_view *seat_input_get_view(const struct seat_input *input,
    const struct seat_guest *guest, unsigned scanout, unsigned output);
/* 0.0 to 1.0 of an output, or of all, on the desktop. False: the output is not on. */
bool seat_input_to_desktop(const struct seat_input *input, unsigned output, double *x, double *y);
/* The absolute device of a kind for a view; NULL: none, or the guest has that scan-out off, and
 * another one on. */
struct seat_device *seat_input_area_device(
    struct seat_guest *guest, const struct seat_view *view, enum seat_input_kind kind);
/* A point of the desktop, on it, within the view's bounds. False: the scan-out is off by now. */
bool seat_input_area_map(const struct seat_input *input, const struct seat_device *device,
    const struct seat_view *view, double x, double y, int32_t *abs_x, int32_t *abs_y);

/* ---- seat_input_keys.c */
/* The source lets a key or button go: its guest is told if no other one holds it. */
void seat_input_unsend(struct seat_input *input, struct seat_source *source, unsigned code);
/* Keys and buttons of a guest, but those that its own sources hold. */
void seat_input_release_guest(struct seat_input *input, struct seat_guest *guest);
bool seat_code_is_button(unsigned code);

/* ---- seat_input_pointer.c */
void seat_input_pointer_bring(struct seat_input *input);
/* The layout is another one. */
void seat_input_pointer_check(struct seat_input *input);
/* A button went up: the grab may be over. */
void seat_input_pointer_ungrab(struct seat_input *input, struct seat_pointer *pointer);

/* ---- seat_input_touch.c */
/* Lifts touches and pens whose view is not there any more, or that are of the guest (but for its
 * own sources'), or of the device, or of the source. */
void seat_input_touch_check(struct seat_input *input);
void seat_input_touch_release_guest(struct seat_input *input, struct seat_guest *guest);
void seat_input_touch_release_device(struct seat_input *input, struct seat_device *device);
void seat_input_touch_release_source(struct seat_input *input, struct seat_source *source);
bool seat_code_is_stylus(unsigned code);
/* One of those. */
void seat_input_pen_button(
    struct seat_input *input, struct seat_source *source, uint32_t code, bool down);

#endif
