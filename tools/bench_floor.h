/* SPDX-License-Identifier: MIT */
/* What the machine itself takes for a round trip: another process is woken by an eventfd and
 * does nothing but wake us by another. No back end that sleeps can be faster. */
#ifndef GPUDOM_TOOLS_BENCH_FLOOR_H
#define GPUDOM_TOOLS_BENCH_FLOOR_H

#include <stdint.h>
#include <sys/types.h>

struct bench_floor {
	pid_t pid; /* 0: not started */
	int kick_fd, call_fd;
};

/* 0 or -errno */
int bench_floor_start(struct bench_floor *floor);
/* Accepts one that was not started. */
void bench_floor_stop(struct bench_floor *floor);

/* In nanoseconds */
uint64_t bench_floor_trip(struct bench_floor *floor);

#endif
