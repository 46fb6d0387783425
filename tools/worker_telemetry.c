/* SPDX-License-Identifier: MIT */
#include "tools/worker_telemetry.h"

#include <string.h>
#include <time.h>

#include "backend/log.h"
#include "backend/memory.h"

#define CPU_INTERVAL_NS 100000000 /* asking costs a system call */

void worker_telemetry_init(struct worker_telemetry *telemetry, int fd)
{
	int error = -1;

	if (fd >= 0) {
		error = telemetry_open(fd, true, &telemetry->page);
		if (error)
			log_warning("--telemetry-fd=%d is of no use: %s", fd, strerror(-error));
	}
	if (error)
		telemetry->page = &telemetry->own;
	telemetry->before = telemetry->page->counters;
	telemetry->page->workers++;
	telemetry->page->started_ns = telemetry_now();
	telemetry->page->busy_since_ns = 0;
	memset(&telemetry->page->levels, 0, sizeof(telemetry->page->levels));
	telemetry->page->command = (struct telemetry_command){ 0 };
}

void worker_telemetry_finish(struct worker_telemetry *telemetry)
{
	if (telemetry->page != &telemetry->own)
		telemetry_close(telemetry->page);
	telemetry->page = NULL;
}

static void worker_telemetry_read_cpu(struct worker_telemetry *telemetry, uint64_t now)
{
	struct timespec cpu;

	if (now - telemetry->cpu_read_ns < CPU_INTERVAL_NS ||
	    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) < 0)
		return;
	telemetry->cpu_read_ns = now;
	telemetry->page->counters.cpu_ns = telemetry->before.cpu_ns +
					   (uint64_t)cpu.tv_sec * UINT64_C(1000000000) +
					   (uint64_t)cpu.tv_nsec;
}

static void worker_telemetry_publish(
    struct worker_telemetry *telemetry, const struct virtio_device *device)
{
	const struct telemetry_counters *before = &telemetry->before;
	struct telemetry_counters *counters = &telemetry->page->counters;
	const struct log_counts log = log_get_counts();

	counters->log_lines = before->log_lines + log.total;
	counters->log_suppressed = before->log_suppressed + log.not_written;
	if (device->memory) {
		const struct memory_statistics *memory = &device->memory->statistics;

		counters->map_calls = before->map_calls + memory->map_calls;
		counters->unmap_calls = before->unmap_calls + memory->unmap_calls;
		counters->copy_calls = before->copy_calls + memory->copy_calls;
		counters->pages_mapped = before->pages_mapped + memory->pages_mapped;
	}
}

void worker_telemetry_disconnected(
    struct worker_telemetry *telemetry, const struct virtio_device *device)
{
	const struct telemetry_counters *counters = &telemetry->page->counters;
	struct telemetry_counters *before = &telemetry->before;

	worker_telemetry_publish(telemetry, device);
	before->map_calls = counters->map_calls;
	before->unmap_calls = counters->unmap_calls;
	before->copy_calls = counters->copy_calls;
	before->pages_mapped = counters->pages_mapped;
}

int worker_telemetry_loop(
    struct worker_telemetry *telemetry, sd_event *event, const struct virtio_device *device)
{
	uint64_t now = 0;
	int r = 0, code = 0;

	while (sd_event_get_state(event) != SD_EVENT_FINISHED) {
		r = sd_event_prepare(event);
		if (r == 0)
			r = sd_event_wait(event, UINT64_MAX);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		/* When it woke up: the loop knows. */
		sd_event_now(event, CLOCK_MONOTONIC, &now);
		telemetry->page->busy_since_ns = now * 1000;
		r = sd_event_dispatch(event);
		if (r < 0)
			return r;
		worker_telemetry_publish(telemetry, device);
		worker_telemetry_read_cpu(telemetry, now * 1000);
		telemetry->page->busy_since_ns = 0;
	}
	r = sd_event_get_exit_code(event, &code);
	return r < 0 ? r : code;
}
