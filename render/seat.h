/* SPDX-License-Identifier: MIT */
/*
 * The seat: shows guests' scan-outs on the outputs of a backend (seat_backend.h). It knows no
 * socket: seat_client.c speaks for a GPU device, seat_manager.c for whoever manages guests, and
 * tests call it as they do.
 *
 * Each output has at most one commit that is not on screen. At its flip the seat latches what the
 * guests have presented since, the newest frame of each (one that was overtaken is released at
 * once), and shows it on planes as far as the backend can, composed where it cannot. Nothing wakes
 * up where nothing changes. A scan-out that cannot be seen (its output is off, another guest has
 * its place) is paced by a clock instead of flips.
 */
#ifndef GPUDOM_RENDER_SEAT_H
#define GPUDOM_RENDER_SEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/display.h"
#include "backend/seat_message.h"
#include "render/seat_backend.h"
#include "render/seat_layout.h"

struct json_object;
struct seat;
struct seat_config;

/* Of one guest's GPU: buffers (also those that are freed and still on screen), in bytes. */
#define SEAT_SOURCE_BYTES_MAX (UINT64_C(1) << 30)
#define SEAT_SIZE_MAX 16384 /* pixels, of a buffer, each way */

struct seat_options {
	sd_event *event;
	struct seat_backend *backend;     /* its listener becomes the seat's; not owned */
	const struct seat_config *config; /* not owned; lives as long, or until seat_reload() */
	/* A fence is whatever can be polled, not only a sync file: for tests. */
	bool any_fence;
};

/* -ENOMEM and sd-event's errors. */
int seat_create(const struct seat_options *options, struct seat **seat);
/* All sources are detached before. Accepts NULL. */
void seat_destroy(struct seat *seat);

/* Another configuration from now on: the one before may go. */
void seat_reload(struct seat *seat, const struct seat_config *config);

/* Where things are; its generation tells when that has changed. */
const struct seat_layout *seat_get_layout(const struct seat *seat);

/* @guest (NULL: nobody) has the keyboard: its views come to the front where several guests share a
 * place. */
void seat_focus(struct seat *seat, const char *guest);
const char *seat_get_focus(const struct seat *seat); /* NULL: nobody */
/* Does the seat know that guest? */
bool seat_knows(const struct seat *seat, const char *guest);

/* Called after each change of layout or guests: input is to be routed anew. */
struct seat_listener {
	void (*layout_changed)(void *data);
	void *data;
};
void seat_set_listener(struct seat *seat, const struct seat_listener *listener);

/* "off", "on" (what the configuration says), "1920x1080" or "1920x1080@59.94", for the output that
 * the scan-out is on. -ENOENT: it is on none. -EINVAL: what @mode says cannot be; *@why for people.
 */
int seat_set_output(
    struct seat *seat, const char *guest, unsigned scanout, const char *mode, const char **why);

/* What a person sees where the scan-out is: XRGB8888 rows in a memory file. -ENOENT */
struct seat_capture {
	uint32_t width, height, stride;
	int fd; /* the caller's */
};
int seat_capture(
    struct seat *seat, const char *guest, unsigned scanout, struct seat_capture *capture);

/* Shows XRGB8888 rows without padding from the file @fd (not taken over) until the guest's next
 * frame. */
int seat_set_picture(struct seat *seat, const char *guest, unsigned scanout, uint32_t width,
    uint32_t height, int fd);

/* The guest is gone for good, with its last picture. -EBUSY: its GPU is attached. -ENOENT */
int seat_forget(struct seat *seat, const char *guest);

/* Adds "backend", "active", "focus", "outputs" and "views" to @answer. -ENOMEM */
int seat_describe(struct seat *seat, struct json_object *answer);

/* ---------------------------------------------------------------- a guest's GPU */

struct seat_source;
struct seat_source_listener {
	/* May be called from within seat_present(). As struct seat_shown. */
	void (*shown)(
	    void *data, unsigned scanout, uint64_t serial, uint64_t time_ns, uint64_t sequence);
	/* Likewise. Nobody reads the buffer any more. */
	void (*released)(void *data, uint32_t id);
	void (*modes_changed)(void *data);
	void *data;
};

/* -EBUSY: that guest has one. -ENFILE: there are too many guests. -ENOMEM */
int seat_attach(struct seat *seat, const char *guest, const struct seat_source_listener *listener,
    struct seat_source **source);
/* What was shown last stays on screen. Accepts NULL. */
void seat_detach(struct seat_source *source);

/* What seat_describe() says of whoever speaks for it. */
const char *seat_source_guest(const struct seat_source *source);
unsigned seat_source_buffers(const struct seat_source *source);
uint64_t seat_source_bytes(const struct seat_source *source);

void seat_source_get_modes(
    struct seat_source *source, struct display_mode modes[DISPLAY_SCANOUTS_MAX]);
/* Returns the EDID's bytes; 0: there is none. */
size_t seat_source_get_edid(
    struct seat_source *source, unsigned scanout, uint8_t edid[SEAT_EDID_MAX]);

/*
 * All that follows takes numbers as a guest's worker has sent them, and checks them: -EINVAL.
 * -EEXIST: there is such a buffer. -ENOENT: there is none. -EDQUOT: it has too many, or too large
 * ones.
 */
/* @dmabuf's descriptor is not taken over. -ENOTSUP: it cannot be shown. */
int seat_import(
    struct seat_source *source, uint32_t id, uint32_t scanout, const struct display_dmabuf *dmabuf);
/* *@fd is the caller's, or -1 where the buffer can only be written by this process. *@map: its
 * memory here, until it is freed. Either pointer may be NULL. */
int seat_allocate(struct seat_source *source, uint32_t id, uint32_t scanout, uint32_t width,
    uint32_t height, uint32_t *stride, uint32_t *size, int *fd, void **map);
int seat_free(struct seat_source *source, uint32_t id);
/* Takes @fence over (-1: none), also on errors. */
int seat_present(struct seat_source *source, const struct seat_present *present, int fence);
/* @cursor NULL: none. */
int seat_set_cursor(struct seat_source *source, uint32_t scanout,
    const struct display_cursor *cursor, int32_t x, int32_t y);
int seat_move_cursor(struct seat_source *source, uint32_t scanout, int32_t x, int32_t y);

#endif
