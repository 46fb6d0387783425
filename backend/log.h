/* SPDX-License-Identifier: MIT */
/*
 * One line per event that a person would act on, on standard error, with the
 * sd-daemon(3) priority prefix where the journal reads it.
 *
 * The level, the name of the guest and the counts of lines are the only process-wide
 * state outside a main; a main sets the first two once.
 */
#ifndef GPUDOM_BACKEND_LOG_H
#define GPUDOM_BACKEND_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines above @level are dropped. @subject (may be NULL; not copied, must outlive
 * all logging) stands in front of each line, such as "guest clock". */
void log_init(enum log_level level, const char *subject);

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* "error", "warning", "info", "debug"; -EINVAL: @name is none of these. */
int log_level_parse(const char *name, enum log_level *level);
const char *log_level_name(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* A token bucket for lines that a guest can provoke: @burst lines at once, then
 * one every LOG_LIMIT_INTERVAL seconds. Zero-initialise it. */
#define LOG_LIMIT_BURST 10
#define LOG_LIMIT_INTERVAL 10
struct log_limit {
	uint64_t tokens_used; /* of the burst */
	uint64_t last_ns;     /* CLOCK_MONOTONIC of the last refill */
	uint64_t suppressed;  /* lines not written since the last one that was */
	uint64_t total;       /* events seen, written or not: a statistic */
	uint64_t not_written; /* of these: a statistic */
};

/* May one more line be written now? Counts the event in any case. */
bool log_limit_allow(struct log_limit *limit);

/* The sums of all limits of this process. */
struct log_counts {
	uint64_t total, not_written;
};
struct log_counts log_get_counts(void);

/* A warning caused by the guest: written where @limit allows, and then with the
 * number of lines that were suppressed before it. */
void log_guest(struct log_limit *limit, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
