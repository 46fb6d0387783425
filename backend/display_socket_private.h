/* SPDX-License-Identifier: MIT */
/* Shared by display_socket.c (the socket, and what comes from it), display_socket_compose.c (what
 * goes to a window) and display_seat*.c (what goes to the seat, and comes from it). */
#ifndef GPUDOM_BACKEND_DISPLAY_SOCKET_PRIVATE_H
#define GPUDOM_BACKEND_DISPLAY_SOCKET_PRIVATE_H

#include <linux/virtio_gpu.h>
#include <systemd/sd-event.h>

#include "backend/damage.h"
#include "backend/display.h"
#include "backend/display_socket_message.h"
#include "backend/log.h"
#include "backend/seat_message.h"

#define NO_OUTPUT UINT32_MAX
#define SOCKET_FDS_MAX 4 /* that have come and belong to no message yet */

/* ---------------------------------------------------------------- the seat's (display_seat*.c) */

#define SEAT_FLIGHTS_MAX                                                           \
	2 /* frames of an output with the seat: one that is about to be on screen, \
	   * one that waits */
#define SEAT_BUFFERS_EACH 3 /* allocated for an output: these two, and the one on screen */
#define SEAT_REFUSED_MAX 8

/* A buffer that the seat knows; its id is its place in the table. */
struct seat_buffer {
	enum {
		SEAT_BUFFER_NONE,
		SEAT_BUFFER_ASKED, /* IMPORT or ALLOCATE is not answered */
		SEAT_BUFFER_READY,
		SEAT_BUFFER_GONE, /* FREE is due */
	} state;
	bool unwanted; /* asked for, but no more */
	bool imported;
	bool in_use; /* the seat reads it: presented, and not RELEASED */
	unsigned scanout;
	uint64_t number;            /* imported: display_source.buffer; allocated: 0 */
	uint64_t used;              /* when, by display_socket.seat_clock */
	struct display_rect source; /* of the buffer */

	int sync_fd; /* a dma-buf that has to know when processors write to it; -1: it need not */

	/* Allocated: memory to draw into, and what of the picture is not in it */
	uint32_t stride;
	uint8_t *memory; /* NULL: none */
	size_t size;
	struct damage_region stale;
};

struct seat_flight {
	uint64_t serial; /* of the PRESENT */
	bool owed;
	uint64_t flush; /* serial of the flush that it shows */
};

struct seat_output {
	struct damage_region damage; /* since the last PRESENT */
	struct seat_flight flights[SEAT_FLIGHTS_MAX];
	unsigned flight_count;
	uint64_t serial;                    /* of the last PRESENT */
	bool told;                          /* it shows something of ours */
	bool full;                          /* there is no more memory than it has */
	uint64_t refused[SEAT_REFUSED_MAX]; /* buffers that cannot be imported */
	unsigned refused_next;
	enum display_path path;
	int reason; /* why it is not a better one: an errno, or 0 */
};

/* ---------------------------------------------------------------- the socket's */

struct socket_output {
	struct display_source *source;
	struct display_rect damage; /* not sent yet */
	uint64_t serial;            /* of the last flush */
	bool owed;                  /* shown() for it; no frame that is on its way has it */
	bool resend;                /* the front end is new and knows no picture */

	/* A frame on its way, from its first byte to shown() */
	bool in_flight;
	bool flight_owed;
	uint64_t flight_serial;

	/* What the front end was told, and whether that is still so */
	uint32_t told_width, told_height;
	bool told_dmabuf;
	bool scanout_due, cursor_due, position_due;

	bool cursor_visible;
	uint32_t cursor_x, cursor_y;
	struct display_cursor cursor;

	struct seat_output seat;
};

struct socket_edid {
	uint32_t size;   /* 0: none */
	uint32_t number; /* display_mode.edid */
	uint8_t bytes[DISPLAY_EDID_MAX];
};

struct display_socket {
	struct display base;
	sd_event *event;
	int fd; /* -1: none */
	sd_event_source *io;

	bool features_due, negotiated;
	uint64_t features;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	bool info_due, info_pending;
	uint32_t edids_due; /* a bit for each scan-out */
	unsigned edids_pending, edid_scanouts[DISPLAY_SCANOUTS_MAX];
	struct socket_edid edids[DISPLAY_SCANOUTS_MAX]; /* of real monitors: of the seat alone */
	uint32_t edid_number;
	bool informed; /* by this connection */

	/* The one message that is being written */
	uint8_t *out;
	size_t out_capacity, out_size, out_sent; /* out_size 0: none */
	int out_fd;                              /* goes with it; -1: none */
	uint32_t out_frame;                      /* whose frame it is, or NO_OUTPUT */
	bool writing;

	/* Scan-outs whose DMABUF_UPDATE is not answered, oldest first */
	unsigned updates[DISPLAY_SCANOUTS_MAX], updates_pending;
	unsigned next_output; /* turn by turn */

	uint8_t in[sizeof(struct gpu_message_header) + sizeof(struct virtio_gpu_resp_edid)];
	size_t in_size;
	int in_fds[SOCKET_FDS_MAX];
	unsigned in_fd_count;

	struct seat_buffer buffers[SEAT_BUFFERS_MAX];
	unsigned next_buffer; /* ids take turns */
	uint64_t seat_clock;

	struct socket_output outputs[DISPLAY_SCANOUTS_MAX];
	struct log_limit read_errors;
};

/* Tells the device. */
void socket_shown(struct display_socket *s, unsigned scanout, uint64_t serial);
/* The frame that was on its way has arrived. */
void socket_landed(struct display_socket *s, unsigned scanout);

/* The next descriptor that has come with a message; -1: none. The caller's from now on. */
int socket_take_fd(struct display_socket *s);
/* Modes and EDIDs have to be asked for again. */
void socket_ask_all(struct display_socket *s);

/* Makes the next message that is due the one to be written. false: there is none. */
bool socket_compose_next(struct display_socket *s);
/* Makes this one the message to be written. false: no memory. */
bool socket_compose_copy(
    struct display_socket *s, uint32_t request, const void *payload, uint32_t size);

/* Room for a message with @size bytes of payload, which is returned; NULL: no memory. */
void *socket_compose(struct display_socket *s, uint32_t request, uint32_t size);

/* ---------------------------------------------------------------- display_seat.c */

/* Does the seat take frames, in buffers? */
static inline bool socket_has_seat(const struct display_socket *s)
{
	return s->features & GPU_MESSAGE_F_SEAT;
}

/* Makes the next message that an output is due (not its cursor's), or about buffers, the one to be
 * written. false: none. */
bool seat_compose_output(struct display_socket *s, unsigned scanout);
bool seat_compose_free(struct display_socket *s);

/* A message of the seat's. -EPROTO: it makes no sense. -ENOENT: it is none of these. */
int seat_take(
    struct display_socket *s, uint32_t request, bool answer, const uint8_t *payload, size_t size);

void seat_note_damage(
    struct display_socket *s, unsigned scanout, const struct display_rect *damage);
void seat_note_source(struct display_socket *s, unsigned scanout);
/* The connection begins, or has ended (frames that were on their way are the caller's to answer).
 */
void seat_reset(struct display_socket *s);

/* ---------------------------------------------------------------- display_seat_buffer.c */

struct seat_buffer *seat_buffer_find(struct display_socket *s, unsigned scanout, uint64_t number);
/* An id for a buffer that is asked for; NULL: none is left (one may be soon, where a buffer of
 * a source that is not shown has to go). */
struct seat_buffer *seat_buffer_new(struct display_socket *s, unsigned scanout);
uint32_t seat_buffer_id(const struct display_socket *s, const struct seat_buffer *buffer);
/* The seat is to forget it. */
void seat_buffer_drop(struct seat_buffer *buffer);
/* All that were allocated for an output, but those of this size. How many are left, asked for ones
 * among them. */
unsigned seat_buffer_drop_memory(
    struct display_socket *s, unsigned scanout, uint32_t width, uint32_t height);
/* The allocated one that nobody reads (or, with @or_read, whether or not), and that least has to be
 * drawn into; NULL: none. */
struct seat_buffer *seat_buffer_idle(struct display_socket *s, unsigned scanout, bool or_read);
/* The memory of an allocated buffer, whose descriptor this takes over. */
int seat_buffer_map(struct seat_buffer *buffer, int fd, uint32_t stride, uint32_t size);
/* Draws what is stale. 0 or -errno */
int seat_buffer_draw(struct seat_buffer *buffer, struct display_source *source);
/* @flags: DMA_BUF_SYNC_START or _END */
void seat_buffer_sync(const struct seat_buffer *buffer, uint64_t flags);
/* The seat does not know it. */
void seat_buffer_finish(struct seat_buffer *buffer);
/* ... nor anything else: it is gone. */
void seat_buffer_forget_all(struct display_socket *s);

#endif
