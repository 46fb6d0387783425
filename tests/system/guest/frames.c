/* SPDX-License-Identifier: MIT */
/*
 * Runs in a guest: shows frames at a steady pace, and measures the time from each to the next. The
 * frame's number is the colour of the upper left 16x16 pixels in 2D, of everything but a triangle
 * in OpenGL.
 *
 * usage: frames [-g] PACE-MS SECONDS
 *   -g  with OpenGL ES 2
 *
 * SIGTERM ends it early. Prints "guest: frames begin after S s", the time that it took to show the
 * first ones, and at its end "guest: frames N late L p50 A p99 B longest C ms": so many frames
 * were shown, L of them later than twice the pace after the one before. A frame that cannot be
 * shown ends the program with an error.
 */
#include <err.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pixels.h"

enum { BLOCK = 16, FRAMES_MAX = 100000 };

static volatile sig_atomic_t ended;

static void on_end(int signal)
{
	ended = 1;
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void frame_show_2d(struct screen *screen, struct dumb *dumb, uint32_t frame)
{
	dumb_fill(dumb, 0, 0, BLOCK, BLOCK, frame);
	if (frame == 0)
		screen_show(screen, dumb->fb);
	else
		screen_flip(screen, dumb->fb);
}

static void report(double *intervals, unsigned count, double pace)
{
	unsigned late = 0;

	for (unsigned i = 0; i < count; i++)
		late += intervals[i] > 2 * pace;
	qsort(intervals, count, sizeof(*intervals), compare);
	printf("guest: frames %u late %u p50 %.1f p99 %.1f longest %.1f ms\n", count, late,
	    intervals[count / 2], intervals[count * 99 / 100], intervals[count - 1]);
}

int main(int argc, char **argv)
{
	bool opengl = argc == 4 && !strcmp(argv[1], "-g");
	double *intervals = calloc(FRAMES_MAX, sizeof(*intervals));
	double pace, end, shown, due, now, started = now_ms();
	struct screen screen = { 0 };
	struct dumb buffers[2];
	struct gl *gl = NULL;
	unsigned count = 0;

	if ((argc != 3 && !opengl) || !intervals)
		errx(2, "usage: frames [-g] PACE-MS SECONDS");
	pace = strtod(argv[argc - 2], NULL);
	screen_open(&screen);
	if (opengl)
		gl = gl_create(&screen);
	for (int i = 0; i < 2 && !opengl; i++) {
		dumb_create(&screen, &buffers[i], screen.mode.hdisplay, screen.mode.vdisplay);
		dumb_add_fb(&screen, &buffers[i]);
	}
	/* The first frames set the mode and compile the shaders. */
	for (uint32_t frame = 0; frame < 4; frame++)
		if (opengl)
			gl_draw_frame(gl, &screen, frame);
		else
			frame_show_2d(&screen, &buffers[frame % 2], frame);
	signal(SIGTERM, on_end);
	printf("guest: frames begin after %.1f s\n", (now_ms() - started) / 1e3);
	fflush(stdout);
	due = shown = now_ms();
	end = shown + strtod(argv[argc - 1], NULL) * 1e3;
	while (!ended && shown < end && count < FRAMES_MAX) {
		due += pace;
		now = now_ms();
		if (now < due)
			usleep((useconds_t)((due - now) * 1e3));
		else
			due = now; /* what is late is not made up for */
		if (opengl)
			gl_draw_frame(gl, &screen, count + 4);
		else
			frame_show_2d(&screen, &buffers[count % 2], count + 4);
		now = now_ms();
		intervals[count++] = now - shown;
		shown = now;
	}
	if (!count)
		errx(1, "no frames");
	report(intervals, count, pace);
	return 0;
}
