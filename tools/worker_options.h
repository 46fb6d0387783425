/* SPDX-License-Identifier: MIT */
/* The command line of gpudom-worker. */
#ifndef GPUDOM_TOOLS_WORKER_OPTIONS_H
#define GPUDOM_TOOLS_WORKER_OPTIONS_H

#include "backend/display.h"
#include "backend/gpu.h"
#include "backend/log.h"
#include "backend/seat_message.h"
#include "render/egl.h"
#include "tools/worker_grants.h"
#include "tools/worker_sandbox.h"

enum worker_renderer { WORKER_RENDERER_AUTO, WORKER_RENDERER_VIRGL, WORKER_RENDERER_SOFT };
enum worker_display { WORKER_DISPLAY_HEADLESS, WORKER_DISPLAY_FRONTEND, WORKER_DISPLAY_SEAT };

struct worker_options {
	const char *socket_path; /* NULL: fd */
	int fd;                  /* -1: socket_path */
	bool once;
	enum seat_input_kind device; /* SEAT_INPUT_KINDS: a GPU */
	int seat_fd;                 /* of the device's socket to the seat; -1: none */
	const char *seat_path;       /* of the manager's socket, to make one; NULL: none */
	enum worker_renderer renderer;
	enum egl_choice egl;
	const char *render_node;
	uint32_t capsets;        /* 1u << CAPSET_*, allowed */
	uint32_t capsets_wanted; /* ... and asked for by name */
	enum worker_display display;
	bool no_udmabuf; /* frames in memory are copied */
	unsigned scanouts;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	const char *png_dir;
	struct gpu_limits limits;
	struct edid_identity edid;
	enum worker_sandbox_mode sandbox;
	struct worker_sandbox_limits sandbox_limits;
	enum worker_grants_mode grants;
	bool grants_given; /* by --grants */
	int domid;         /* -1: no Xen guest, or the monitor is not told */
	const char *guest;
	/* Of gpudomd, -1: none. backend/telemetry.h, backend/screen.h, xen/worker_message.h */
	int telemetry_fd, screen_fd, control_fd;
	bool stats;
	enum log_level log_level;
};

/* 1: go on. 0: all is done (--help). -EINVAL: said on standard error what is wrong. Strings point
 * into @argv. */
int worker_options_parse(struct worker_options *options, int argc, char **argv);

#endif
