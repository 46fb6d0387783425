/* SPDX-License-Identifier: MIT */
/*
 * Runs in a guest: flips between two buffers of one colour, for ever and at a leisurely pace
 * (emulated machines are slow, and others must get on too), or N frames as fast as they go. The
 * frame's number is the colour of the upper left 16x16 pixels, and each tenth is printed ("guest:
 * frame N"), so that the host can see frames arrive. The middle quarter has the inverse colour: a
 * picture tells whose it is.
 *
 * usage: flips [-c] [-n N] RRGGBB
 *        flips -b
 *   -c  a second thread moves a cursor all the while: kicks from two CPUs at a time
 *   -n  end after N frames, and print "guest: N flips in T ms"
 *   -b  only make a buffer of 1920x1080, and end
 */
#include <err.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <xf86drmMode.h>

#include "screen.h"

enum { BLOCK = 16, CURSOR = 64 };

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void buffer_create(struct screen *screen, struct dumb *dumb, uint32_t colour)
{
	uint32_t w = screen->mode.hdisplay, h = screen->mode.vdisplay;

	dumb_create(screen, dumb, w, h);
	dumb_add_fb(screen, dumb);
	dumb_fill(dumb, 0, 0, w, h, colour);
	dumb_fill(dumb, w / 4, h / 4, w / 2, h / 2, colour ^ 0xffffff);
}

static void *cursor_move(void *data)
{
	struct screen *screen = data;
	struct dumb cursor;

	dumb_create(screen, &cursor, CURSOR, CURSOR);
	if (drmModeSetCursor(screen->fd, screen->crtc, cursor.handle, CURSOR, CURSOR) < 0)
		err(1, "cursor");
	for (int i = 0;; i++) {
		if (drmModeMoveCursor(screen->fd, screen->crtc, i % 100, i % 50) < 0)
			err(1, "cursor move");
		usleep(10000);
	}
	return NULL;
}

static uint32_t frame_show(struct screen *screen, struct dumb *dumb, uint32_t frame)
{
	dumb_fill(dumb, 0, 0, BLOCK, BLOCK, frame);
	if (frame == 0)
		screen_show(screen, dumb->fb);
	else
		screen_flip(screen, dumb->fb);
	if (frame % 10 == 0) {
		printf("guest: frame %u\n", frame);
		fflush(stdout);
	}
	return frame + 1;
}

int main(int argc, char **argv)
{
	struct screen screen = { 0 };
	struct dumb buffers[2];
	uint32_t frame = 0, frames = 0, colour;
	bool cursor = false;
	pthread_t thread;
	int option;
	long begun;

	while ((option = getopt(argc, argv, "bcn:")) != -1) {
		if (option == 'b') {
			screen_open(&screen);
			dumb_create(&screen, &buffers[0], 1920, 1080);
			return 0;
		}
		if (option == 'c')
			cursor = true;
		else if (option == 'n')
			frames = (uint32_t)strtoul(optarg, NULL, 10);
	}
	if (optind + 1 != argc)
		errx(2, "usage: flips [-c] [-n N] RRGGBB");
	colour = (uint32_t)strtoul(argv[optind], NULL, 16);

	screen_open(&screen);
	for (int i = 0; i < 2; i++)
		buffer_create(&screen, &buffers[i], colour);
	frame = frame_show(&screen, &buffers[0], frame);
	if (cursor && pthread_create(&thread, NULL, cursor_move, &screen))
		errx(1, "no thread");
	begun = now_ms();
	while (!frames || frame <= frames) {
		frame = frame_show(&screen, &buffers[frame % 2], frame);
		if (!frames)
			usleep(50000);
	}
	printf("guest: %u flips in %ld ms\n", frames, now_ms() - begun);
	return 0;
}
