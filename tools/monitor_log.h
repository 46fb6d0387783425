/* SPDX-License-Identifier: MIT */
/*
 * What the renderer writes to its standard output or error goes through the monitor, line by line:
 * whoever has taken over a renderer can neither fill the log, nor have others' lines dropped (the
 * journal counts those of a whole service), nor write in another guest's name.
 */
#ifndef GPUDOM_TOOLS_MONITOR_LOG_H
#define GPUDOM_TOOLS_MONITOR_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define MONITOR_LOG_LINE 1100 /* as backend/log.c's, with a subject */

struct monitor_log {
	int fd;              /* of the pipe's end that is read; -1: none */
	int renderer_fd;     /* its other end; -1 in the monitor */
	int to;              /* STDOUT_FILENO or STDERR_FILENO */
	char subject[160];   /* must stand in front of each line; "": nothing needs to */
	uint64_t last_ns;    /* of the last refill */
	uint32_t used;       /* lines of the burst */
	uint64_t suppressed; /* since the last that was written */
	char line[MONITOR_LOG_LINE];
	unsigned length;
	char last[MONITOR_LOG_LINE]; /* the line before, which is not written again and again */
	uint64_t repeats;            /* how often it was not */
};

/* Before the fork. @guest may be NULL. 0 or -errno. */
int monitor_log_init(struct monitor_log *log, int to, const char *guest);
/* In the renderer: takes @to's place. */
void monitor_log_take_over(struct monitor_log *log);
/* In the monitor; the renderer's end is closed there by then. sd-event's errors. */
int monitor_log_serve(struct monitor_log *log, sd_event *event);
/* What is left when the renderer is gone. */
void monitor_log_drain(struct monitor_log *log);
/* Both ends, where it came to nothing. */
void monitor_log_finish(struct monitor_log *log);

#endif
