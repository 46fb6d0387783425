/* SPDX-License-Identifier: MIT */
#include "xen/keep.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "backend/log.h"

#define NAME_MAX_BYTES 64
#define BARRIER_USEC (5 * UINT64_C(1000000))

struct keep {
	enum keep_kind kind;
	char **names; /* NULL-terminated, or NULL */
	unsigned count;
	int *fds; /* of these names; -1: taken or dropped */
	struct log_limit limit;
};

int keep_create(int first, char **names, struct keep **out)
{
	struct keep *keep = calloc(1, sizeof(*keep));
	const char *store = getenv("FDSTORE");
	unsigned count = 0;

	while (names && names[count])
		count++;
	if (keep)
		keep->fds = calloc(count + 1, sizeof(*keep->fds));
	if (!keep || !keep->fds) {
		for (unsigned i = 0; i < count; i++) {
			close(first + (int)i);
			free(names[i]);
		}
		free(names);
		free(keep);
		return -ENOMEM;
	}
	if (getenv("NOTIFY_SOCKET"))
		keep->kind = !store                        ? KEEP_UNKNOWN
			     : strtol(store, NULL, 10) > 0 ? KEEP_KEPT
							   : KEEP_NOBODY;
	keep->names = names;
	keep->count = count;
	for (unsigned i = 0; i < count; i++)
		keep->fds[i] = first + (int)i;
	*out = keep;
	return 0;
}

void keep_destroy(struct keep *keep)
{
	if (!keep)
		return;
	for (unsigned i = 0; i < keep->count; i++) {
		if (keep->fds[i] >= 0)
			close(keep->fds[i]);
		free(keep->names[i]);
	}
	free(keep->names);
	free(keep->fds);
	free(keep);
}

enum keep_kind keep_kind(const struct keep *keep)
{
	return keep->kind;
}

void keep_report(const struct keep *keep)
{
	switch (keep->kind) {
	case KEEP_KEPT:
		log_info("descriptors are kept: running guests notice nothing when gpudomd is "
			 "restarted or dies");
		break;
	case KEEP_UNKNOWN:
		log_info("running guests notice nothing of a restart where the service manager "
			 "keeps descriptors (FileDescriptorStoreMax=); this one does not say");
		break;
	case KEEP_NOBODY:
		log_info("nobody keeps descriptors: guests that run when gpudomd is restarted or "
			 "dies must reset their GPU (start gpudomd by systemd or gpudom-keeper)");
		break;
	}
}

/* ------------------------------------------------------------------ the store */

/* In the store's alphabet (no colons, no control characters) by construction. */
__attribute__((format(printf, 2, 0))) static void keep_format(
    char *name, const char *format, va_list args)
{
	vsnprintf(name, NAME_MAX_BYTES, format, args);
}

static void keep_failed(struct keep *keep, const char *name, int error)
{
	if (error < 0)
		log_guest(&keep->limit,
		    "cannot have descriptor %s kept: %s; its guest must reset its GPU when "
		    "gpudomd is restarted",
		    name, strerror(-error));
}

void keep_push(struct keep *keep, int fd, const char *format, ...)
{
	char name[NAME_MAX_BYTES], message[NAME_MAX_BYTES + 64];
	va_list args;

	if (keep->kind == KEEP_NOBODY)
		return;
	va_start(args, format);
	keep_format(name, format, args);
	va_end(args);
	/* FDPOLL=0: a worker's socket stays there when the worker has gone; it is for us to drop
	 * it. */
	snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	keep_failed(keep, name, sd_pid_notify_with_fds(0, 0, message, &fd, 1));
}

static void keep_remove(struct keep *keep, const char *name)
{
	if (keep->kind != KEEP_NOBODY)
		keep_failed(keep, name, sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name));
}

/* ------------------------------------------------------- what a predecessor left */

static int keep_find(struct keep *keep, const char *name)
{
	for (unsigned i = 0; i < keep->count; i++) {
		int fd = keep->fds[i];

		if (fd < 0 || strcmp(keep->names[i], name) != 0)
			continue;
		keep->fds[i] = -1;
		return fd;
	}
	return -1;
}

int keep_take(struct keep *keep, const char *format, ...)
{
	char name[NAME_MAX_BYTES];
	va_list args;

	va_start(args, format);
	keep_format(name, format, args);
	va_end(args);
	return keep_find(keep, name);
}

void keep_drop(struct keep *keep, const char *format, ...)
{
	char name[NAME_MAX_BYTES];
	va_list args;
	int fd;

	va_start(args, format);
	keep_format(name, format, args);
	va_end(args);
	keep_remove(keep, name);
	fd = keep_find(keep, name);
	if (fd >= 0)
		close(fd);
}

const char *keep_next(const struct keep *keep, unsigned *position)
{
	while (*position < keep->count) {
		unsigned i = (*position)++;

		if (keep->fds[i] >= 0)
			return keep->names[i];
	}
	return NULL;
}

void keep_drop_rest(struct keep *keep)
{
	bool dropped = false;

	for (unsigned i = 0; i < keep->count; i++) {
		if (keep->fds[i] < 0)
			continue;
		keep_remove(keep, keep->names[i]);
		close(keep->fds[i]);
		keep->fds[i] = -1;
		dropped = true;
	}
	/* Only when the keeper's copies are closed, too, are event channels free to be bound anew.
	 */
	if (dropped && keep->kind != KEEP_NOBODY)
		sd_notify_barrier(0, BARRIER_USEC);
}
