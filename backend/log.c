/* SPDX-License-Identifier: MIT */
#include "backend/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static struct {
	enum log_level level;
	const char *subject;
	struct log_counts counts;
} log_state = { .level = LOG_LEVEL_INFO };

void log_init(enum log_level level, const char *subject)
{
	log_state.level = level;
	log_state.subject = subject;
}

void log_set_level(enum log_level level)
{
	log_state.level = level;
}

enum log_level log_get_level(void)
{
	return log_state.level;
}

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	return names[level];
}

int log_level_parse(const char *name, enum log_level *level)
{
	for (unsigned i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(log_level_name((enum log_level)i), name) != 0)
			continue;
		*level = (enum log_level)i;
		return 0;
	}
	return -EINVAL;
}

static __attribute__((format(printf, 2, 0))) void log_writev(
    enum log_level level, const char *format, va_list args)
{
	static const char *const prefix[] = {
		[LOG_LEVEL_ERROR] = SD_ERR,
		[LOG_LEVEL_WARNING] = SD_WARNING,
		[LOG_LEVEL_INFO] = SD_INFO,
		[LOG_LEVEL_DEBUG] = SD_DEBUG,
	};
	char line[1024];

	if (level > log_state.level)
		return;
	vsnprintf(line, sizeof(line), format, args);
	fprintf(stderr, "%s%s%s%s\n", prefix[level], log_state.subject ? log_state.subject : "",
	    log_state.subject ? ": " : "", line);
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_writev(level, format, args);
	va_end(args);
}

bool log_limit_allow(struct log_limit *limit)
{
	const uint64_t interval = LOG_LIMIT_INTERVAL * UINT64_C(1000000000);
	struct timespec now;
	uint64_t ns, refill;

	limit->total++;
	log_state.counts.total++;
	if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) < 0)
		return false;
	ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
	refill = (ns - limit->last_ns) / interval;
	if (refill) {
		limit->tokens_used -= refill < limit->tokens_used ? refill : limit->tokens_used;
		limit->last_ns = ns;
	}
	if (limit->tokens_used >= LOG_LIMIT_BURST) {
		limit->suppressed++;
		limit->not_written++;
		log_state.counts.not_written++;
		return false;
	}
	limit->tokens_used++;
	return true;
}

struct log_counts log_get_counts(void)
{
	return log_state.counts;
}

void log_guest(struct log_limit *limit, const char *format, ...)
{
	va_list args;

	if (!log_limit_allow(limit))
		return;
	if (limit->suppressed)
		log_warning("%llu more lines of this kind were not written",
		    (unsigned long long)limit->suppressed);
	limit->suppressed = 0;
	va_start(args, format);
	log_writev(LOG_LEVEL_WARNING, format, args);
	va_end(args);
}
