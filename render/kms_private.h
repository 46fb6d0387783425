/* SPDX-License-Identifier: MIT */
/*
 * What the files of the KMS backend share: see kms.h.
 */
#ifndef GPUDOM_RENDER_KMS_PRIVATE_H
#define GPUDOM_RENDER_KMS_PRIVATE_H

#include <libudev.h>
#include <limits.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include "backend/log.h"
#include "render/kms.h"
#include "render/kms_choose.h"
#include "render/kms_property.h"
#include "render/kms_request.h"

#define KMS_CARDS_MAX 8
#define KMS_PLANES_MAX 64 /* of a card: bits of planes_on */
#define KMS_CRTCS_MAX 32

enum kms_plane_property {
	KMS_PLANE_TYPE,
	KMS_PLANE_IN_FORMATS,
	KMS_PLANE_FB_ID,
	KMS_PLANE_CRTC_ID,
	KMS_PLANE_SRC_X,
	KMS_PLANE_SRC_Y,
	KMS_PLANE_SRC_W,
	KMS_PLANE_SRC_H,
	KMS_PLANE_CRTC_X,
	KMS_PLANE_CRTC_Y,
	KMS_PLANE_CRTC_W,
	KMS_PLANE_CRTC_H,
	KMS_PLANE_IN_FENCE_FD,
	KMS_PLANE_DAMAGE,
	KMS_PLANE_ALPHA,
	KMS_PLANE_ZPOS,
	KMS_PLANE_ROTATION,
	KMS_PLANE_BLEND,
	KMS_PLANE_PROPERTIES,
};

enum kms_crtc_property {
	KMS_CRTC_ACTIVE,
	KMS_CRTC_MODE_ID,
	KMS_CRTC_GAMMA,
	KMS_CRTC_DEGAMMA,
	KMS_CRTC_CTM,
	KMS_CRTC_VRR,
	KMS_CRTC_PROPERTIES,
};

enum kms_connector_property {
	KMS_CONNECTOR_CRTC_ID,
	KMS_CONNECTOR_EDID,
	KMS_CONNECTOR_LINK_STATUS,
	KMS_CONNECTOR_NON_DESKTOP,
	KMS_CONNECTOR_PROPERTIES,
};

struct kms;
struct kms_card;

struct kms_plane {
	uint32_t id;
	uint32_t possible_crtcs;
	uint64_t type; /* DRM_PLANE_TYPE_* */
	struct kms_property properties[KMS_PLANE_PROPERTIES];
	struct kms_format *formats;
	unsigned format_count;
	int crtc; /* index, of the output that shows on it or did until its next flip; -1 */
};

struct kms_crtc {
	uint32_t id;
	struct kms_property properties[KMS_CRTC_PROPERTIES];
};

/* Memory of a card. A dma-buf that is imported twice has the same handle: it is closed once. */
struct kms_buffer {
	uint32_t handle;
	unsigned references;
	struct kms_buffer *next; /* of the card */
};

struct kms_fb {
	struct seat_fb base;
	struct kms_card *card;
	struct kms_buffer *buffer;
	struct kms_fb *next; /* of the card */
	uint64_t modifier;
	uint32_t offset;
	uint32_t id;        /* of the frame buffer object */
	uint32_t opaque_id; /* likewise, without alpha; 0: not yet */
	size_t size;        /* bytes, from the memory's beginning */
	int dmabuf_fd;      /* of what was imported; -1: ours */
	void *map;          /* NULL: not mapped */
	bool reading;       /* the kernel was told so */
	unsigned users;     /* commits that show it: at most two for each output */
	bool freed;         /* by the seat; goes when its last user does */
};

/* What a commit shows: pictures, and the planes they are on. */
struct kms_frame {
	struct kms_fb *fbs[KMS_PLAN_MAX];
	unsigned count;
	uint64_t planes; /* bits of the card's */
};

/* A stack of layers as the driver sees it; compared byte by byte. */
struct kms_shape {
	uint32_t count, reserved;
	struct {
		uint32_t fourcc, fb_width, fb_height, stride;
		uint64_t modifier;
		struct display_rect source;
		int32_t x, y;
		uint32_t width, height;
		uint16_t alpha;
		uint16_t y0_top;
		uint32_t reserved;
	} layers[SEAT_LAYERS_MAX];
};

/* Which planes a stack goes to. */
struct kms_plan {
	struct kms_shape shape;
	bool black; /* a black picture below all, in the first of the choices */
	unsigned count;
	struct kms_choice choices[KMS_PLAN_MAX];
	unsigned generation; /* of the card's planes */
};

struct kms_cursor {
	struct kms_fb *fbs[2]; /* one is on screen, the other one is written next */
	unsigned next;
	bool visible;
	bool broken;          /* the driver does not do it as we ask: the seat blends */
	bool picture_waiting; /* to be set with the position */
	bool move_waiting;    /* for the end of the commit under way */
	int32_t x, y;
	uint32_t hot_x, hot_y;
};

struct kms_output {
	struct seat_output base;
	struct kms *kms;
	struct kms_card *card; /* NULL: nobody's now */
	uint32_t connector;    /* 0: it has gone */
	struct kms_property properties[KMS_CONNECTOR_PROPERTIES];
	uint32_t possible_crtcs;
	int crtc; /* index; -1: none */
	drmModeModeInfo *mode_infos;
	struct seat_mode *modes;
	uint32_t mode_blob; /* 0: it is off */
	bool modeset;       /* the next commit sets the mode */
	bool off_waiting;   /* goes off at the end of the commit under way */

	struct kms_plan plan;     /* the last one that worked */
	struct kms_shape refused; /* the last one that did not */
	unsigned refused_generation;
	struct kms_fb *black;
	struct kms_frame shown, next;
	bool shown_plan; /* what is shown was shown by the plan: damage means something */

	bool pending;         /* next is on its way */
	bool pending_slow;    /* ... and may be for long: fences, a mode */
	uint64_t flip_serial; /* of the commit under way */
	uint64_t sequence, flip_time_ns;
	sd_event_source *pace; /* where the card has no vertical blank */

	struct kms_cursor cursor;
};

struct kms_card {
	struct kms *kms;
	char path[64];
	char driver[32];
	dev_t device;
	int fd; /* -1: closed, or gone */
	bool master, complained;
	bool has_vblank, has_modifiers, has_prime;
	unsigned slow_moves; /* of the cursor, one after the other, while a flip was under way */
	uint32_t cursor_width, cursor_height;
	sd_event_source *io;
	struct kms_crtc crtcs[KMS_CRTCS_MAX];
	unsigned crtc_count;
	struct kms_plane planes[KMS_PLANES_MAX];
	unsigned plane_count;
	unsigned plane_generation; /* another one when planes are taken or given back */
	struct kms_buffer *buffers;
	struct kms_fb *fbs;
	struct kms_request request; /* scratch */
	struct log_limit log;
};

struct kms {
	struct seat_backend base;
	sd_event *event;
	struct seat_session *session;
	struct seat_session_listener session_listener;
	char path[64]; /* empty: all cards */
	struct udev *udev;
	struct udev_monitor *monitor;
	sd_event_source *monitor_io, *master_timer;
	struct kms_card *cards[KMS_CARDS_MAX];
	struct kms_output outputs[SEAT_OUTPUTS_MAX];
};

/* ---- kms.c ---- */
/* Looks at all outputs again, and tells the seat; the monitors of a card have changed. */
void kms_tell_outputs(struct kms *kms);
/* Is there somebody to see something? One line where not. */
void kms_describe(const struct kms *kms);

/* ---- kms_device.c ---- */
/* A card that is not open yet; it is kept until the backend's end. -ENOSPC, -ENOMEM */
int kms_card_add(struct kms *kms, const char *path, dev_t device);
/* Opens it where it is not, becomes its master, and looks at its monitors: true: something is
 * different. What fails is logged, and tried again when it may work. */
bool kms_card_take(struct kms_card *card);
/* It is somebody else's for a time: nothing is pending any more. */
void kms_card_leave(struct kms_card *card);
/* It was unplugged, or is not needed any more. */
void kms_card_close(struct kms_card *card);
void kms_card_destroy(struct kms_card *card);
/* A commit was refused because somebody else is master now. */
void kms_card_lost(struct kms_card *card);

/* ---- kms_plane.c ---- */
int kms_planes_read(struct kms_card *card);
void kms_planes_forget(struct kms_card *card);

/* ---- kms_output.c ---- */
/* Looks at the card's connectors: all, or the one with this id. True: something is different. */
bool kms_outputs_scan(struct kms_card *card, uint32_t connector);
/* The card's outputs have no monitor any more. */
void kms_outputs_forget(struct kms_card *card);
int kms_output_set_mode(struct kms_output *output, const struct seat_mode *mode);

/* ---- kms_commit.c ---- */
int kms_output_commit(
    struct kms_output *output, const struct seat_layer *layers, unsigned count, bool test);
/* Switches it off, as soon as its last commit is done. */
void kms_output_off(struct kms_output *output);
/* Nothing that it has shown is on screen any more, and nothing is pending. */
void kms_output_forget_frames(struct kms_output *output);
/* @user_data: of the commit. From the card's event. */
void kms_output_flipped(
    struct kms_output *output, uint64_t user_data, uint64_t sequence, uint64_t time_ns);
/* Switches off what others have left on: CRTCs, connectors and planes that no output of ours is
 * on. */
void kms_card_clear(struct kms_card *card);

/* ---- kms_cursor.c ---- */
int kms_cursor_set(
    struct kms_output *output, const struct display_cursor *cursor, int32_t x, int32_t y);
int kms_cursor_move(struct kms_output *output, int32_t x, int32_t y);
/* A commit is done: what had to wait for it can be sent. */
void kms_cursor_catch_up(struct kms_output *output);
/* Show it again: the mode was set. */
void kms_cursor_renew(struct kms_output *output);
void kms_cursor_finish(struct kms_output *output);

/* ---- kms_fb.c ---- */
int kms_fb_import(struct kms_card *card, const struct display_dmabuf *dmabuf, struct kms_fb **fb);
int kms_fb_allocate(
    struct kms_card *card, uint32_t width, uint32_t height, bool alpha, struct kms_fb **fb);
int kms_fb_export(struct kms_fb *fb, size_t *size);
void *kms_fb_map(struct kms_fb *fb);
void kms_fb_sync(struct kms_fb *fb, bool begin);
/* Is somebody still drawing into it? */
bool kms_fb_busy(const struct kms_fb *fb);
/* Its frame buffer object, or that of its twin without alpha; 0: there cannot be one. */
uint32_t kms_fb_id(struct kms_fb *fb, bool opaque);
void kms_fb_use(struct kms_fb *fb);
void kms_fb_unuse(struct kms_fb *fb);
void kms_fb_free(struct kms_fb *fb);
/* The card's descriptor goes: nothing of them is left there. */
void kms_fbs_forget(struct kms_card *card);

/* ---- kms_hotplug.c ---- */
/* Finds the cards that there are, and watches for changes. */
int kms_hotplug_start(struct kms *kms);
void kms_hotplug_stop(struct kms *kms);

#endif
