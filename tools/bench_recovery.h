/* SPDX-License-Identifier: MIT */
/* How long a guest is without a picture when its worker is killed. */
#ifndef GPUDOM_TOOLS_BENCH_RECOVERY_H
#define GPUDOM_TOOLS_BENCH_RECOVERY_H

/* Kills @worker @kills times, in 2D and with OpenGL, starts it anew as gpudomd does, and prints the
 * times from the kill to the next frame. 0 or -errno (said on standard error). */
int bench_recovery(const char *worker, unsigned kills);

#endif
