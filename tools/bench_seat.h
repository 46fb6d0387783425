/* SPDX-License-Identifier: MIT */
/* What a frame of a guest on gpudom-seat costs the processors, on each path. */
#ifndef GPUDOM_TOOLS_BENCH_SEAT_H
#define GPUDOM_TOOLS_BENCH_SEAT_H

/* @seat: the socket of one that runs, whose output 0 is measured, or the program, which is run with
 * a screen in memory. Presents @frames frames on each path, and prints. 0 or -errno (said on
 * standard error). */
int bench_seat(const char *worker, const char *seat, unsigned frames);

#endif
