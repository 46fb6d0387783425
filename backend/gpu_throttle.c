/* SPDX-License-Identifier: MIT */
#include "backend/gpu_throttle.h"

#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define FOREVER_NS (3600 * SECOND_NS) /* longer than any step that makes a difference */

/* What the bucket of GPU time holds, and what must be in it again before the guest goes on: it is
 * not to be stopped for each little piece of work. */
static int64_t throttle_capacity(const struct gpu_throttle *throttle)
{
	return (int64_t)(GPU_THROTTLE_WINDOW_NS * throttle->percent / 100);
}

static int64_t throttle_enough(const struct gpu_throttle *throttle)
{
	return throttle_capacity(throttle) / 8;
}

void gpu_throttle_set(
    struct gpu_throttle *throttle, uint32_t frame_rate, uint32_t percent, uint64_t now)
{
	const uint64_t frame_ns = frame_rate ? SECOND_NS / frame_rate : 0;

	if (frame_ns != throttle->frame_ns)
		memset(throttle->frame_due, 0, sizeof(throttle->frame_due));
	throttle->frame_ns = frame_ns;
	if (percent >= 100)
		percent = 0;
	if (percent == throttle->percent)
		return;
	throttle->percent = percent;
	throttle->left_ns = throttle_capacity(throttle);
	throttle->empty = false;
	throttle->at = now;
}

void gpu_throttle_frame(struct gpu_throttle *throttle, unsigned output, uint64_t now)
{
	uint64_t *due = &throttle->frame_due[output % GPU_THROTTLE_OUTPUTS];

	if (throttle->frame_ns)
		*due = (*due > now ? *due : now) + throttle->frame_ns;
}

/* Brings the bucket of GPU time up to now. */
static void throttle_settle(struct gpu_throttle *throttle, uint64_t now)
{
	const int64_t capacity = throttle_capacity(throttle);
	uint64_t passed = now > throttle->at ? now - throttle->at : 0;

	if (passed > FOREVER_NS)
		passed = FOREVER_NS;
	throttle->at = now;
	if (!throttle->percent)
		return;
	throttle->left_ns += (int64_t)(passed * throttle->percent / 100);
	if (throttle->busy)
		throttle->left_ns -= (int64_t)passed;
	if (throttle->left_ns > capacity)
		throttle->left_ns = capacity;
	if (throttle->left_ns <= 0)
		throttle->empty = true;
	else if (throttle->left_ns >= throttle_enough(throttle))
		throttle->empty = false;
}

void gpu_throttle_set_busy(struct gpu_throttle *throttle, bool busy, uint64_t now)
{
	throttle_settle(throttle, now);
	throttle->busy = busy;
}

static uint64_t throttle_wait_for_time(const struct gpu_throttle *throttle, uint64_t now)
{
	if (!throttle->percent || !throttle->empty)
		return 0;
	if (throttle->busy)
		return GPU_THROTTLE_BUSY;
	/* Rounded up: asked then, there is enough */
	return now +
	       (uint64_t)(throttle_enough(throttle) - throttle->left_ns) * 100 / throttle->percent +
	       100;
}

static uint64_t throttle_wait_for_frames(const struct gpu_throttle *throttle, uint64_t now)
{
	const uint64_t early = GPU_THROTTLE_BURST * throttle->frame_ns;
	uint64_t wait = 0;

	for (unsigned i = 0; throttle->frame_ns && i < GPU_THROTTLE_OUTPUTS; i++)
		if (throttle->frame_due[i] > now + early && throttle->frame_due[i] - early > wait)
			wait = throttle->frame_due[i] - early;
	return wait;
}

uint64_t gpu_throttle_wait(struct gpu_throttle *throttle, uint64_t now)
{
	uint64_t for_time, for_frames;

	throttle_settle(throttle, now);
	for_time = throttle_wait_for_time(throttle, now);
	for_frames = throttle_wait_for_frames(throttle, now);
	return for_time > for_frames ? for_time : for_frames;
}
