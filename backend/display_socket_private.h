/* SPDX-License-Identifier: MIT */
/* Shared by display_socket.c (the socket, and what comes from it) and display_socket_compose.c
 * (what goes to it). */
#ifndef GPUDOM_BACKEND_DISPLAY_SOCKET_PRIVATE_H
#define GPUDOM_BACKEND_DISPLAY_SOCKET_PRIVATE_H

#include <linux/virtio_gpu.h>
#include <systemd/sd-event.h>

#include "backend/display.h"
#include "backend/display_socket_message.h"
#include "backend/log.h"

#define NO_OUTPUT UINT32_MAX

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

	struct socket_output outputs[DISPLAY_SCANOUTS_MAX];
	struct log_limit read_errors;
};

/* Tells the device. */
void socket_shown(struct display_socket *s, unsigned scanout, uint64_t serial);
/* The frame that was on its way has arrived. */
void socket_landed(struct display_socket *s, unsigned scanout);

/* Makes the next message that is due the one to be written. false: there is none. */
bool socket_compose_next(struct display_socket *s);
/* Makes this one the message to be written. false: no memory. */
bool socket_compose_copy(
    struct display_socket *s, uint32_t request, const void *payload, uint32_t size);

#endif
