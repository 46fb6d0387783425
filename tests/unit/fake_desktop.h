/* SPDX-License-Identifier: MIT */
/*
 * A Wayland desktop for tests, in a thread: windows whose content it remembers, which it repaints
 * when it is told to; a keyboard, a pointer and a touch screen.
 */
#ifndef GPUDOM_TESTS_UNIT_FAKE_DESKTOP_H
#define GPUDOM_TESTS_UNIT_FAKE_DESKTOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define DESKTOP_WINDOWS_MAX 4

struct desktop_window {
	bool open, opaque;
	uint32_t width, height, pixel; /* of the last commit: XRGB8888, its first one */
	unsigned commits;              /* with a buffer */
	unsigned frames_wanted;
	char title[64];
};

struct desktop; /* in the thread */

struct fake_desktop {
	char folder[64], socket[16];
	struct desktop *desktop;
	pthread_t thread;
	/* Of the thread: copied by fake_desktop_look() */
	struct desktop_window windows[DESKTOP_WINDOWS_MAX];
};

/* $XDG_RUNTIME_DIR is its folder from now on. */
void fake_desktop_start(struct fake_desktop *fake);
void fake_desktop_stop(struct fake_desktop *fake);

/* These run in the thread, and wait for it. */
void fake_desktop_look(struct fake_desktop *fake);
/* Frame callbacks; buffers that are not shown any more are released (@release). */
void fake_desktop_repaint(struct fake_desktop *fake, bool release);
void fake_desktop_resize(struct fake_desktop *fake, int32_t width, int32_t height);
void fake_desktop_close_window(struct fake_desktop *fake, unsigned window);
void fake_desktop_key(struct fake_desktop *fake, uint32_t key, bool down);
void fake_desktop_leave(struct fake_desktop *fake);
void fake_desktop_move(struct fake_desktop *fake, double x, double y);
void fake_desktop_button(struct fake_desktop *fake, uint32_t button, bool down);
void fake_desktop_scroll(struct fake_desktop *fake, int32_t discrete);
void fake_desktop_touch(struct fake_desktop *fake, int32_t id, double x, double y);
void fake_desktop_touch_up(struct fake_desktop *fake, int32_t id);

#endif
