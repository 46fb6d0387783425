/* SPDX-License-Identifier: MIT */
/*
 * Static tracepoints (USDT), for bpftrace, perf and SystemTap: provider "gpudom". Each is one no-op
 * instruction and a note in the program's file; what a point passes is at hand there anyway. All
 * are listed in gpudom-trace(7).
 *
 * Without systemtap's <sys/sdt.h>, or with `make WITH_USDT=0`, they are nothing at all.
 */
#ifndef GPUDOM_BACKEND_PROBE_H
#define GPUDOM_BACKEND_PROBE_H

#ifndef WITH_USDT
#if __has_include(<sys/sdt.h>)
#define WITH_USDT 1
#else
#define WITH_USDT 0
#endif
#endif

/* (name, argument, ...): one to twelve integers or pointers */
#if WITH_USDT
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define PROBE(name, ...) STAP_PROBEV(gpudom, name, __VA_ARGS__)
#else
#define PROBE(name, ...) ((void)0)
#endif

#endif
