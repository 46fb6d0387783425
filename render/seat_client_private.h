/* SPDX-License-Identifier: MIT */
/* Between seat_client.c (the socket), seat_client_messages.c (what it says) and
 * seat_client_frames.c (frames of clients without F_SEAT). */
#ifndef GPUDOM_RENDER_SEAT_CLIENT_PRIVATE_H
#define GPUDOM_RENDER_SEAT_CLIENT_PRIVATE_H

#include "backend/display_socket_message.h"
#include "backend/log.h"
#include "render/seat_client.h"
#include "render/seat_compose.h"

#define CLIENT_IN_MAX 16640   /* the largest message but UPDATE: a cursor */
#define CLIENT_OUT_MAX 32768  /* see client_may_read() */
#define CLIENT_OUT_FULL 16384 /* with so much unread, no more is taken from it */
#define CLIENT_PASSED_MAX 64  /* descriptors in what is unread */
#define CLIENT_FDS_MAX 4      /* with a message: more than one is a mistake */
#define CLIENT_SLOTS 3        /* buffers of a scan-out of a client without F_SEAT */

/* A scan-out whose frames come as pixels, or as a dma-buf. */
struct client_frames {
	uint32_t width, height;
	uint32_t *pixels; /* NULL: none, or a dma-buf */
	struct {
		uint32_t id; /* SEAT_NO_BUFFER: not made */
		uint8_t *map;
		uint32_t stride;
		bool busy;
		struct seat_damage stale;
	} slots[CLIENT_SLOTS];
	bool dirty; /* more has come than is presented */
	struct seat_damage damage;
	unsigned updates; /* since something was shown */
	uint32_t dmabuf;  /* its buffer; SEAT_NO_BUFFER: none */
	struct display_rect dmabuf_rect;
	bool presented;   /* something is on its way */
	unsigned replies; /* of DMABUF_UPDATE, that are owed */
	uint64_t serial;
};

struct seat_client {
	struct seat_client_options options;
	char guest[SEAT_GUEST_NAME_MAX];
	struct seat_source *source;
	int fd;
	sd_event_source *io, *next;
	bool failed, blocked;

	/* The message that is being received */
	struct gpu_message_header header;
	size_t header_size, payload_size; /* received */
	uint8_t in[CLIENT_IN_MAX];
	int fds[CLIENT_FDS_MAX];
	unsigned fd_count;
	/* UPDATE's pixels go where they belong; NULL: they are read and forgotten. */
	struct {
		bool active;
		struct client_frames *frames;
		struct gpu_message_update rect;
		uint64_t done, size;
	} update;

	uint8_t out[CLIENT_OUT_MAX];
	size_t out_used;
	struct {
		size_t at; /* goes with this byte of out */
		int fd;
	} passed[CLIENT_PASSED_MAX];
	unsigned passed_count;

	uint64_t features;
	struct client_frames *frames[DISPLAY_SCANOUTS_MAX]; /* as they are needed */
	bool modes_due; /* MODES_CHANGED has not been said yet */
	struct log_limit limit;
	uint64_t messages, refused;
};

/* ---- seat_client.c ---- */

/* Says something; @fd (-1: none) is taken over. It always fits where client_may_read(). */
void client_send(struct seat_client *client, uint32_t request, uint32_t flags, const void *payload,
    uint32_t size, int fd);
/* The descriptor that came with the message, the caller's now; -1: none. */
int client_take_fd(struct seat_client *client);
/* It is of no use any more; it ends with this turn. */
void client_fail(struct seat_client *client, const char *why);
/* A request that is not granted. */
void client_refuse(struct seat_client *client, const char *what, int error);
/* Listens to it, or does not. */
void client_watch(struct seat_client *client);

/* ---- seat_client_messages.c ---- */

/* What payload a message has at least and at most; false: there is no such message. */
bool client_bounds(
    const struct seat_client *client, uint32_t request, uint32_t *least, uint32_t *most);
void client_take(struct seat_client *client);

/* ---- seat_client_frames.c ---- */

/* UPDATE's head has come: its pixels follow. */
void client_begin_update(struct seat_client *client);
/* Where the next pixels go, and how many bytes at most. */
uint8_t *client_update_room(struct seat_client *client, size_t *size);
void client_end_update(struct seat_client *client);
/* Would its next update be too much? It waits for the output then. */
bool client_is_ahead(const struct seat_client *client);
void client_scanout(struct seat_client *client, const struct gpu_message_scanout *message);
void client_dmabuf_scanout(
    struct seat_client *client, const struct gpu_message_dmabuf *message, bool modifier);
void client_dmabuf_update(struct seat_client *client, const struct gpu_message_update *message);
void client_frames_shown(struct seat_client *client, unsigned scanout);
void client_frames_released(struct seat_client *client, uint32_t id);
void client_frames_finish(struct seat_client *client);

#endif
