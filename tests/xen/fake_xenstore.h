/* SPDX-License-Identifier: MIT */
/* A xenstore for tests, in place of libxenstore: the part of it that domain 1 (we) sees, with
 * watches; and the toolstack's side of it. */
#ifndef GPUDOM_TESTS_XEN_FAKE_XENSTORE_H
#define GPUDOM_TESTS_XEN_FAKE_XENSTORE_H

#include <stdbool.h>

extern int fake_xenstore_open_error;   /* errno of xs_open(); 0: none */
extern bool fake_xenstore_names;       /* may we read guests' names? */
extern unsigned fake_xenstore_watches; /* registered */

void fake_xenstore_reset(void);

/* The toolstack: absolute paths. */
void fake_xenstore_write(const char *path, const char *value);
void fake_xenstore_remove(const char *path);
/* NULL: there is none. */
const char *fake_xenstore_read(const char *path);
/* Every watch on @path fires, as after a change of permissions, or "@releaseDomain". */
void fake_xenstore_fire(const char *path);

#endif
