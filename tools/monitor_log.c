/* SPDX-License-Identifier: MIT */
#include "tools/monitor_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"

/* Far more than a worker in order writes, also at level debug but for moments. */
#define BURST 2000
#define LINES_PER_SECOND 100

int monitor_log_init(struct monitor_log *log, int to, const char *guest)
{
	int pipes[2];

	*log = (struct monitor_log){ .fd = -1, .renderer_fd = -1, .to = to };
	if (guest && to == STDERR_FILENO)
		snprintf(log->subject, sizeof(log->subject), "guest %.128s: ", guest);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	log->fd = pipes[0];
	log->renderer_fd = pipes[1];
	return fcntl(log->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

void monitor_log_take_over(struct monitor_log *log)
{
	dup2(log->renderer_fd, log->to);
	monitor_log_finish(log);
}

void monitor_log_finish(struct monitor_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	if (log->renderer_fd >= 0)
		close(log->renderer_fd);
	log->fd = log->renderer_fd = -1;
}

static bool monitor_log_allow(struct monitor_log *log)
{
	const uint64_t second = UINT64_C(1000000000);
	struct timespec now;
	uint64_t ns, refill;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	ns = (uint64_t)now.tv_sec * second + (uint64_t)now.tv_nsec;
	refill = (ns - log->last_ns) / (second / LINES_PER_SECOND);
	if (refill) {
		log->used -= refill < log->used ? (uint32_t)refill : log->used;
		log->last_ns = ns;
	}
	if (log->used >= BURST) {
		log->suppressed++;
		return false;
	}
	log->used++;
	return true;
}

static void monitor_log_write(const struct monitor_log *log, const char *text, size_t length)
{
	ssize_t n;

	for (size_t done = 0; done < length; done += (size_t)n) {
		n = write(log->to, text + done, length - done);
		if (n <= 0)
			return; /* a log that takes nothing is no reason to end */
	}
}

/* One whole line, without its end. */
static void monitor_log_put(struct monitor_log *log)
{
	const size_t subject = strlen(log->subject);
	char text[MONITOR_LOG_LINE + sizeof(log->subject) + 8];
	const char *line = log->line, *level = "";
	int n;

	log->line[log->length] = '\0';
	for (char *c = log->line; *c; c++)
		if (*c != '\t' && ((unsigned char)*c < ' ' || *c == 0x7f))
			*c = '?';
	/* LLVM on Arm, for one, says at each shader that it may not read /proc/cpuinfo. */
	if (log->length && !strcmp(log->line, log->last)) {
		log->repeats++;
		return;
	}
	if (!monitor_log_allow(log))
		return;
	if (log->repeats)
		log_info("the worker's line before came %llu more times",
		    (unsigned long long)log->repeats);
	log->repeats = 0;
	memcpy(log->last, log->line, log->length + 1);
	if (log->suppressed)
		log_warning("%llu lines of the worker were not written: it writes too many",
		    (unsigned long long)log->suppressed);
	log->suppressed = 0;
	if (!subject) {
		n = snprintf(text, sizeof(text), "%s\n", line);
	} else {
		/* "<4>guest NAME: ": sd-daemon(3)'s level, and the name that it must have */
		static const char *const levels[] = { "<0>", "<1>", "<2>", "<3>", "<4>", "<5>",
			"<6>", "<7>" };

		for (unsigned i = 0; i < 8; i++)
			if (strncmp(line, levels[i], 3) == 0)
				level = levels[i];
		line += strlen(level);
		if (strncmp(line, log->subject, subject) == 0)
			line += subject;
		n = snprintf(text, sizeof(text), "%s%s%s\n", level, log->subject, line);
	}
	monitor_log_write(log, text, (size_t)n);
}

static void monitor_log_take(struct monitor_log *log, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] != '\n')
			log->line[log->length++] = bytes[i] ? bytes[i] : '?';
		if (bytes[i] == '\n' || log->length == sizeof(log->line) - 1) {
			monitor_log_put(log);
			log->length = 0;
		}
	}
}

static int monitor_log_on_readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct monitor_log *log = data;
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n > 0)
		monitor_log_take(log, bytes, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

int monitor_log_serve(struct monitor_log *log, sd_event *event)
{
	return sd_event_add_io(event, NULL, log->fd, EPOLLIN, monitor_log_on_readable, log);
}

void monitor_log_drain(struct monitor_log *log)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(log->fd, bytes, sizeof(bytes))) > 0)
		monitor_log_take(log, bytes, (size_t)n);
	if (log->length)
		monitor_log_put(log);
	log->length = 0;
}
