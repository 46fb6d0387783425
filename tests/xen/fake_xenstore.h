/* SPDX-License-Identifier: MIT */
/*
 * A xenstore for tests, in place of libxenstore: the part of it that domain 1 (we) sees, with
 * watches, several connections, refusals; and the toolstack's side of it. It lies in shared memory,
 * as the fake Xen, whose lock it uses: fake_xen_reset() comes first.
 */
#ifndef GPUDOM_TESTS_XEN_FAKE_XENSTORE_H
#define GPUDOM_TESTS_XEN_FAKE_XENSTORE_H

#include <stdbool.h>
#include <stddef.h>

#define FAKE_XENSTORE_VALUE_MAX 4096 /* XENSTORE_PAYLOAD_MAX */

enum fake_xenstore_call {
	FAKE_XENSTORE_OPEN,
	FAKE_XENSTORE_READ,
	FAKE_XENSTORE_WRITE,
	FAKE_XENSTORE_RM,
	FAKE_XENSTORE_DIRECTORY,
	FAKE_XENSTORE_WATCH,
	FAKE_XENSTORE_UNWATCH,
	FAKE_XENSTORE_CHECK_WATCH,
	FAKE_XENSTORE_CALL_COUNT
};

void fake_xenstore_reset(void);
void fake_xenstore_finish(void);

/* ------------------------------------------------------------------- faults */

/* Of the calls to come, @times from the @nth on (1: the next one) fail with @error. */
void fake_xenstore_fail(enum fake_xenstore_call call, unsigned nth, unsigned times, int error);
void fake_xenstore_heal(void);
/* Calls so far. */
unsigned fake_xenstore_calls(enum fake_xenstore_call call);

/* xenstored ends, and with it all connections, watches, events. As in libxenstore, nobody is woken:
 * calls fail with EBADF. A new one may be opened; what was stored is still there. */
void fake_xenstore_disconnect(void);

/* May we read guests' names? By default yes; in reality only after xenstore-chmod. */
void fake_xenstore_allow_names(bool allow);
/* EACCES for what is at or below @path; NULL: nothing. */
void fake_xenstore_deny(const char *path);

/* ---------------------------------------------------------- the toolstack's side */

/* Absolute paths. */
void fake_xenstore_write(const char *path, const char *value);
void fake_xenstore_write_bytes(const char *path, const void *value, size_t size);
void fake_xenstore_remove(const char *path);
/* NULL: there is none. */
const char *fake_xenstore_read(const char *path);
/* Every watch on @path fires, as after a change of permissions, or "@releaseDomain". */
void fake_xenstore_fire(const char *path);

unsigned fake_xenstore_watches(void);           /* registered by living processes */
unsigned fake_xenstore_count(const char *path); /* nodes at or below it */

#endif
