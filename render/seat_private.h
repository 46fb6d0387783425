/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the seat: seat.c (guests, focus, what the backend says), seat_source.c (what
 * a guest's GPU says), seat_place.c (the layout), seat_screen.c (an output's commits), seat_stack.c
 * (what is on it, and which of it on planes), seat_cursor.c, seat_buffer.c, seat_picture.c
 * (captures, pictures) and seat_describe.c.
 */
#ifndef GPUDOM_RENDER_SEAT_PRIVATE_H
#define GPUDOM_RENDER_SEAT_PRIVATE_H

#include "backend/log.h"
#include "render/seat.h"
#include "render/seat_compose.h"
#include "render/seat_config.h"

/* Of one output: its views and their cursors. */
#define STACK_MAX 32
#define PLANS_MAX 16
#define CURSOR_BUFFERS 4 /* on screen, committed, current, and one to draw into */

/* ---------------------------------------------------------------- buffers */

struct seat_guest;

struct seat_buffer {
	struct seat *seat;
	struct seat_source *source; /* that knows it by @id; NULL: none does any more */
	uint32_t id;
	struct seat_guest *charged; /* in whose quota it is; NULL: nobody's */
	struct seat_buffer *charged_next, **charged_link;
	uint64_t bytes;
	struct seat_fb *fb;
	struct seat_image *image; /* made when it is first read */
	bool imported, unreadable;
	uint64_t modifier;
	unsigned refs; /* frames and commits that have it */
};

/* Takes @fb over, also on errors. -ENOMEM */
int buffer_create(struct seat *seat, struct seat_fb *fb, struct seat_buffer **buffer);
struct seat_buffer *buffer_ref(struct seat_buffer *buffer);
/* The last one: its source may draw into it again, or it goes. Accepts NULL. */
void buffer_unref(struct seat_buffer *buffer);
/* Its source knows it no more. */
void buffer_disown(struct seat_buffer *buffer);
void buffer_charge(struct seat_buffer *buffer, struct seat_guest *guest, uint64_t bytes);
void buffer_uncharge(struct seat_buffer *buffer);
/* NULL: it cannot be read. */
struct seat_image *buffer_image(struct seat_buffer *buffer);

/* ---------------------------------------------------------------- guests */

struct seat_scanout;

struct seat_frame {
	bool there;                 /* it is one */
	struct seat_buffer *buffer; /* NULL: nothing is to be seen */
	struct display_rect source;
	struct seat_damage damage; /* of the buffer, since the frame before */
	uint64_t serial;
	int fence;    /* -1: it is ready */
	bool settled; /* what was being drawn into its buffer was asked for */
	sd_event_source *fence_source;
	struct seat_scanout *scanout;
};

enum seat_path {
	SEAT_PATH_NONE, /* there is no picture */
	SEAT_PATH_HIDDEN,
	SEAT_PATH_PLANE,
	SEAT_PATH_COMPOSED,
	SEAT_PATH_FAILED,
};

struct seat_scanout {
	struct seat *seat;
	struct seat_guest *guest;
	unsigned index;

	bool placed; /* it has a view */
	bool fills;  /* ... which is as large as the output */
	bool off;    /* somebody wants it so */
	struct seat_view view;
	/* Presented, and not on its way yet: the second one only while the first waits for its
	 * fence. */
	struct seat_frame waiting[2];
	struct seat_frame shown;       /* on its way, or on screen */
	struct seat_damage damage;     /* of what is shown, since the last commit */
	bool picture;                  /* it is the manager's */
	bool owes;                     /* SHOWN of shown.serial */
	struct seat_screen *committed; /* whose flip will pay it; NULL: the clock does */

	bool cursor_visible;
	struct display_cursor cursor;
	unsigned cursor_generation;
	int32_t cursor_x, cursor_y; /* of its scan-out */
	struct seat_buffer *cursor_buffers[CURSOR_BUFFERS], *cursor_buffer;
	unsigned cursor_drawn; /* the generation in cursor_buffer */
	bool cursor_damaged;
	bool cursor_laid; /* it is a layer of the stack that was built last */

	enum seat_path path;
	const char *why; /* of the path, for people */
	int import_error;
	uint64_t presented, shown_count, overtaken;
	uint32_t frame_width, frame_height; /* presented last; 0: nothing */
};

struct seat_guest {
	char name[SEAT_GUEST_NAME_MAX];
	struct seat *seat;
	struct seat_source *source;  /* NULL: nobody speaks for its GPU */
	struct seat_buffer *charged; /* all in its quota, also freed ones that are on screen */
	uint64_t bytes;              /* of these */
	uint64_t focused;            /* the higher, the later */
	struct seat_scanout *scanouts[DISPLAY_SCANOUTS_MAX]; /* as they are needed */
};

struct seat_source {
	struct seat *seat;
	struct seat_guest *guest;
	struct seat_source_listener listener;
	struct seat_buffer *buffers[SEAT_BUFFERS_MAX];
	bool asked;                                      /* for its modes */
	struct display_mode modes[DISPLAY_SCANOUTS_MAX]; /* as it was told last */
};

/* ---------------------------------------------------------------- outputs */

struct seat_stack {
	unsigned count;
	struct seat_layer layers[STACK_MAX];
	struct seat_buffer *buffers[STACK_MAX];
	struct seat_scanout *scanouts[STACK_MAX];
	bool cursor[STACK_MAX];
};

/* What a stack's layer was like when it was composed. */
struct seat_laid {
	const struct seat_scanout *scanout;
	bool cursor;
	struct display_rect source;
	int32_t x, y;
	uint32_t width, height;
	uint16_t alpha;
};

struct seat_canvas {
	struct seat_buffer *buffer;
	struct seat_damage stale;
};

struct seat_plan { /* so many layers of a stack of this shape have to be composed */
	uint64_t shape;
	unsigned composed;
	const char *why;
};

struct seat_screen {
	struct seat *seat;
	struct seat_output *output; /* NULL: there is no such output */
	unsigned slot;              /* which scan-out of a guest without views is here */
	bool was_connected;
	struct seat_mode base; /* without a guest's own wish; width 0: off */
	bool command_off, has_command_mode;
	struct seat_mode command_mode;
	bool guest_mode; /* a guest's wish is set */
	bool guest_mode_refused;
	bool guest_mode_waits;  /* another one came too soon after */
	uint64_t guest_mode_ns; /* when one was granted last */

	bool pending, dirty, committing;
	struct seat_buffer *committed[SEAT_LAYERS_MAX], *on_screen[SEAT_LAYERS_MAX];
	unsigned committed_count, on_screen_count;

	struct seat_canvas canvases[2];
	struct seat_canvas *canvas; /* that was committed last; NULL: none */
	struct seat_laid laid[STACK_MAX];
	unsigned laid_count;
	struct seat_plan plans[PLANS_MAX];
	unsigned plan_next, plan_count;

	bool no_cursor;              /* plane */
	struct seat_scanout *cursor; /* that is on it */
	unsigned cursor_generation;
	int32_t cursor_x, cursor_y;

	struct log_limit limit;
	uint64_t commits, flips, composed, failures, tests;
	int error; /* of the last commit */
};

struct seat {
	struct seat_options options;
	struct seat_backend *backend;
	const struct seat_config *config;
	struct seat_listener listener;
	struct seat_guest *guests[SEAT_GUESTS_MAX];
	struct seat_screen screens[SEAT_OUTPUTS_MAX];
	struct seat_layout layout;
	struct seat_scanout *laid[SEAT_VIEWS_MAX]; /* of layout.views */
	char focus[SEAT_GUEST_NAME_MAX];           /* empty: nobody */
	uint64_t focuses;
	sd_event_source *pace;
	bool paced; /* the clock is armed */
	struct log_limit limit;
};

uint64_t seat_now(void);

/* ---- seat.c ---- */

struct seat_guest *seat_find_guest(const struct seat *seat, const char *name);
/* NULL: there are too many, or no memory. */
struct seat_guest *seat_make_guest(struct seat *seat, const char *name);
/* NULL: no memory. */
struct seat_scanout *guest_scanout(struct seat_guest *guest, unsigned index);
/* Tells who waits for the scan-out that it is shown. @time_ns 0: it is not. */
void scanout_tell(struct seat_scanout *scanout, uint64_t time_ns, uint64_t sequence);
/* In a frame's time it is looked at what no flip has settled. */
void seat_arm_pace(struct seat *seat);
/* Paces a scan-out that no flip will pay. */
void scanout_pace(struct seat_scanout *scanout);

/* ---- seat_source.c ---- */

void frame_drop(struct seat_frame *frame);
/* The newest frame that is ready becomes the one that is shown. False: there is none. */
bool scanout_latch(struct seat_scanout *scanout);
/* A frame has come, or is ready. */
void scanout_changed(struct seat_scanout *scanout);

/* ---- seat_place.c ---- */

/* Makes the layout anew, and tells guests whose outputs have changed. */
void seat_lay_out(struct seat *seat);
/* Of what the guest presents; the layout says so. */
void scanout_set_frame_size(struct seat_scanout *scanout, uint32_t width, uint32_t height);
/* Looks at all outputs: their modes, and which scan-outs they get. */
void seat_look_at_outputs(struct seat *seat);
/* The best of the output's modes of that size (refresh 0: any rate); NULL: there is none. */
const struct seat_mode *output_find_mode(
    const struct seat_output *output, const struct seat_mode *wanted);
int screen_set_mode(struct seat_screen *screen, const struct seat_mode *mode);
/* The mode that the guest which has the output for itself wants, or the output's own. */
void screen_follow_guest(struct seat_screen *screen);
/* Sees to a wish that came too soon, when its time has come. */
void screen_follow_later(struct seat_screen *screen);

/* ---- seat_screen.c ---- */

bool screen_is_on(const struct seat_screen *screen);
/* Something on it has changed. */
void screen_touch(struct seat_screen *screen);
void screen_flipped(struct seat_screen *screen, uint64_t sequence, uint64_t time_ns);
/* All that it holds for commits goes, and nothing is on its way any more. */
void screen_let_go(struct seat_screen *screen);
/* ... also what it composes with. */
void screen_finish(struct seat_screen *screen);
/* Where a frame goes in its view: as large as it fits, its shape kept. */
struct seat_fit {
	int32_t x, y; /* of the output */
	uint32_t width, height;
};
struct seat_fit scanout_fit(const struct seat_scanout *scanout);

/* ---- seat_stack.c ---- */

/* What is to be seen on the output now. @cursors: all of them as layers. */
void stack_build(struct seat_screen *screen, bool cursors, struct seat_stack *stack);
/* Composes all of it into @to, moved by (@x, @y). */
void stack_draw(struct seat_stack *stack, struct seat_image *to, int32_t x, int32_t y);
/* Commits it: 0 or the backend's error. */
int stack_show(struct seat_screen *screen, struct seat_stack *stack);
/* All of the output is composed anew, where it is. */
void screen_forget_laid(struct seat_screen *screen);
/* What the backend refused may be different now. */
void stack_forget_plans(struct seat_screen *screen);

/* ---- seat_cursor.c ---- */

/* Brings the cursor plane up to date. Says which scan-out's cursor it has. */
void screen_show_cursor(struct seat_screen *screen);
/* Is this cursor to be a layer, and where? @layer's damage and fence are left alone. */
bool scanout_cursor_layer(
    struct seat_scanout *scanout, bool all, struct seat_layer *layer, struct seat_buffer **buffer);
void scanout_cursor_finish(struct seat_scanout *scanout);

#endif
