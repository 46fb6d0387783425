/* SPDX-License-Identifier: MIT */
/*
 * What a worker tells of itself: one page of plain numbers in a file without a name
 * (memfd_create(2)), that the worker writes as it goes and whoever started it copies out when
 * somebody asks. No messages, no wake-ups; it works while the worker hangs, and after it has died.
 * The reader trusts nothing in it: telemetry_read() bounds what it says. A worker that replaces
 * another goes on counting in the same file.
 *
 * All members are 64 bits wide and written by one thread with plain stores, so each is always
 * whole; two of them need not be of the same moment.
 */
#ifndef GPUDOM_BACKEND_TELEMETRY_H
#define GPUDOM_BACKEND_TELEMETRY_H

#include <stdbool.h>
#include <stdint.h>

#define TELEMETRY_MAGIC UINT64_C(0x79726d6c6d644770) /* "pGdmlmry" */
#define TELEMETRY_VERSION 1 /* counts changes of meaning; those of layout show in the size, too */
#define TELEMETRY_OUTPUTS 16

/*
 * A histogram of durations: microseconds, exact below 8, then 8 steps for each doubling, up to two
 * minutes; a quantile is right to 6 %. Two snapshots subtracted are the histogram of the time
 * between them.
 */
#define TELEMETRY_BUCKETS 200
struct telemetry_histogram {
	uint64_t count, sum_ns;
	uint64_t buckets[TELEMETRY_BUCKETS];
};

/* The commands of virtio-gpu, in the order of their types (telemetry_command_type()). The last
 * one counts what is none of them. */
#define TELEMETRY_COMMANDS 27

struct telemetry_output {
	uint64_t on;                           /* 1: it has a picture */
	uint64_t width, height;                /* of the picture */
	uint64_t refresh;                      /* of the mode on offer, millihertz; 0: unpaced */
	uint64_t flushes;                      /* asked for by the guest */
	uint64_t frames;                       /* shown; several flushes may be one */
	uint64_t on_since_ns;                  /* CLOCK_MONOTONIC */
	uint64_t last_flush_ns, last_frame_ns; /* CLOCK_MONOTONIC; 0: none */
	uint64_t path;                         /* enum display_path: how the last frame went */
	uint64_t path_reason;                  /* ... and not by a better one: an errno; 0: none */
	uint64_t copied_bytes;                 /* of pictures, for this output */
	struct telemetry_histogram intervals;  /* between frames */
};

/* Rising since the file was made. */
struct telemetry_counters {
	uint64_t commands, batches, errors, refusals;
	uint64_t fences, submits;
	uint64_t command_bytes;             /* of command streams */
	uint64_t transfer_bytes;            /* asked for by TRANSFER_* */
	uint64_t readback_bytes;            /* of pictures, by the display */
	uint64_t log_lines, log_suppressed; /* that the guest provoked; of these, not written */
	uint64_t map_calls, unmap_calls, copy_calls, pages_mapped; /* of guest memory */
	uint64_t gpu_busy_ns;                                      /* at least one fence pending */
	uint64_t throttled_ns; /* requests waited because a limit of time said so */
	uint64_t cpu_ns;       /* of the process, up to date to 100 ms */
};

/* At present, of the worker that runs or has run last. */
struct telemetry_levels {
	uint64_t resources, contexts, host_bytes, backing_bytes, fences_pending;
};

struct telemetry_command {
	uint64_t type;      /* VIRTIO_GPU_CMD_* */
	uint64_t ctx_id;    /* 0: none */
	uint64_t number;    /* the first request of a worker is 1 */
	uint64_t executing; /* 1: now; 0: it was the last one */
};

struct telemetry {
	uint64_t magic, version, size;

	uint64_t workers;       /* that have opened it */
	uint64_t started_ns;    /* CLOCK_MONOTONIC: when the last of them did */
	uint64_t busy_since_ns; /* CLOCK_MONOTONIC: it works on an event since then; 0: it waits */
	uint64_t gpu_since_ns; /* ... the GPU is busy, and no fence has retired; 0: nothing waits */
	uint64_t sandbox;      /* bits of what contains it (tools/worker_sandbox.h) */
	uint64_t capsets;      /* bits 1 << VIRTIO_GPU_CAPSET_* on offer */
	struct telemetry_command command;
	struct telemetry_counters counters;
	struct telemetry_levels levels;
	uint64_t by_type[TELEMETRY_COMMANDS]; /* commands */
	struct telemetry_histogram fence_latency;
	uint64_t outputs_count;
	struct telemetry_output outputs[TELEMETRY_OUTPUTS];
};

/* A new file, all zero but its head, that nobody can resize; *@fd is the caller's. *@page is mapped
 * for reading. -errno. */
int telemetry_create(struct telemetry **page, int *fd);

/* The one in @fd, which stays the caller's. -ESTALE: another build's. Else -errno. */
int telemetry_open(int fd, bool writable, struct telemetry **page);

/* Unmaps it. Accepts NULL. */
void telemetry_close(struct telemetry *page);

/* A copy of what @page says at this moment, in which counts can be added and sizes be believed to
 * be sizes. Nothing else: a worker may have written anything. */
void telemetry_read(const struct telemetry *page, struct telemetry *copy);

/* The index in by_type of VIRTIO_GPU_CMD_* and its way back (0 for the last one). */
unsigned telemetry_command_index(uint32_t type);
uint32_t telemetry_command_type(unsigned index);

/* "SUBMIT_3D"; "an unknown command" */
const char *telemetry_command_name(uint64_t type);

void telemetry_histogram_add(struct telemetry_histogram *histogram, uint64_t ns);

/* The bucket that counts a duration, and the duration (nanoseconds) below which a bucket and all
 * before it count; UINT64_MAX for the last one. */
unsigned telemetry_histogram_bucket(uint64_t ns);
uint64_t telemetry_histogram_below(unsigned bucket);

/* Nanoseconds that a share of @permille (0 to 1000) of the durations does not exceed; 0 where there
 * are none. */
uint64_t telemetry_histogram_quantile(
    const struct telemetry_histogram *histogram, unsigned permille);

/* @histogram as it was at @earlier is taken away from it. */
void telemetry_histogram_subtract(
    struct telemetry_histogram *histogram, const struct telemetry_histogram *earlier);

/* CLOCK_MONOTONIC, nanoseconds. */
uint64_t telemetry_now(void);

#endif
