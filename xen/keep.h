/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that outlive this process: whoever started it may keep copies of them under
 * names, and hands them to its successor. The protocol is that of systemd's descriptor store
 * (sd_notify(3), FDSTORE=1; sd_listen_fds(3)), which gpudom-keeper(8) speaks too.
 */
#ifndef GPUDOM_XEN_KEEP_H
#define GPUDOM_XEN_KEEP_H

struct keep;

/* @names (of descriptors @first, @first + 1, ...; NULL-terminated, or NULL) and the descriptors
 * are what a predecessor has left, as sd_listen_fds_with_names(3) gives them; taken over, also on
 * failure. */
int keep_create(int first, char **names, struct keep **keep);

/* Closes what nobody took; the keeper keeps its copies. Accepts NULL. */
void keep_destroy(struct keep *keep);

/* Is anybody there who may keep descriptors? Also logged by keep_report(), with what it means. */
enum keep_kind {
	KEEP_NOBODY,
	KEEP_UNKNOWN, /* systemd before 254 does not say whether it does */
	KEEP_KEPT,
};
enum keep_kind keep_kind(const struct keep *keep);
void keep_report(const struct keep *keep);

/* Has a copy of @fd kept under a name, which must be new (keep_drop() the old one first). Where
 * nobody keeps, nothing is done. */
void keep_push(struct keep *keep, int fd, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The predecessor's descriptor of that name, which is the caller's from now on (and is still kept
 * for a successor); -1 where there is none. */
int keep_take(struct keep *keep, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The name is kept no longer; what a predecessor left under it is closed, if nobody took it. */
void keep_drop(struct keep *keep, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Closes, and no longer keeps, all that a predecessor has left and nobody took. */
void keep_drop_rest(struct keep *keep);

/* Names of the predecessor's descriptors that nobody took yet: the first at or after *@position,
 * which is moved past it; NULL at the end. */
const char *keep_next(const struct keep *keep, unsigned *position);

#endif
