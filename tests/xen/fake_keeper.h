/* SPDX-License-Identifier: MIT */
/* Whoever keeps gpudomd's descriptors, in the test's process: what systemd or gpudom-keeper do. */
#ifndef GPUDOM_TESTS_XEN_FAKE_KEEPER_H
#define GPUDOM_TESTS_XEN_FAKE_KEEPER_H

#include <systemd/sd-event.h>

#define FAKE_KEEPER_MAX 64

struct fake_keeper {
	int fd;
	struct {
		char *name;
		int fd;
	} kept[FAKE_KEEPER_MAX];
	unsigned count;
};

/* Sets $NOTIFY_SOCKET and $FDSTORE; what is sent is taken in @event's loop. */
void fake_keeper_init(struct fake_keeper *keeper, sd_event *event);
/* ... or here, all that there is. */
void fake_keeper_drain(struct fake_keeper *keeper);
void fake_keeper_finish(struct fake_keeper *keeper);

/* -1: not kept */
int fake_keeper_find(const struct fake_keeper *keeper, const char *name);
void fake_keeper_remove(struct fake_keeper *keeper, const char *name);

/* Copies of all, from descriptor @first on; their names, for keep_create(). */
char **fake_keeper_hand_over(const struct fake_keeper *keeper, int first);

/* In a process that was forked off: it has none of it. */
void fake_keeper_forget(struct fake_keeper *keeper);

#endif
