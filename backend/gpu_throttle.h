/* SPDX-License-Identifier: MIT */
/*
 * How fast a guest may go: a cap on its frames, and one on the time in which its work is on the
 * GPU. Both are buckets that refill with time; a guest that has emptied one has to wait. It knows
 * no clock and no timer: whoever asks says what time it is (nanoseconds that rise), and learns how
 * long to wait.
 *
 * What is under way is never cut off, so a bucket may be overdrawn; then the guest waits until that
 * is paid back. In the long run a cap holds exactly.
 */
#ifndef GPUDOM_BACKEND_GPU_THROTTLE_H
#define GPUDOM_BACKEND_GPU_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#define GPU_THROTTLE_OUTPUTS 16
#define GPU_THROTTLE_BURST 2 /* frames that may come early, for those that came late */
#define GPU_THROTTLE_WINDOW_NS \
	UINT64_C(100000000) /* the bucket of GPU time holds this much's share */

#define GPU_THROTTLE_BUSY UINT64_MAX /* not before the GPU is idle */

/* Zero-initialise it: no caps. */
struct gpu_throttle {
	uint64_t frame_ns;                        /* 0: no cap */
	uint64_t frame_due[GPU_THROTTLE_OUTPUTS]; /* when the next one would come at that rate */

	uint32_t percent; /* 0: no cap */
	bool busy;        /* the GPU works */
	bool empty;       /* it was, and has not refilled enough since */
	uint64_t at;      /* when left_ns was so */
	int64_t left_ns;
};

/* 0: no cap. A bucket whose cap changes is full. */
void gpu_throttle_set(
    struct gpu_throttle *throttle, uint32_t frame_rate, uint32_t percent, uint64_t now);

static inline bool gpu_throttle_is_set(const struct gpu_throttle *throttle)
{
	return throttle->frame_ns || throttle->percent;
}

/* An output was flushed. */
void gpu_throttle_frame(struct gpu_throttle *throttle, unsigned output, uint64_t now);

/* The guest's work is on the GPU from now on, or not any more. */
void gpu_throttle_set_busy(struct gpu_throttle *throttle, bool busy, uint64_t now);

/* 0: the guest may go on. Else the time when to ask again, or GPU_THROTTLE_BUSY. */
uint64_t gpu_throttle_wait(struct gpu_throttle *throttle, uint64_t now);

#endif
