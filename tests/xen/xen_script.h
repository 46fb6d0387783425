/* SPDX-License-Identifier: MIT */
/* A fixed script of the Xen calls that gpudomd makes, with its mistakes, and their answers: the
 * fake Xen and the real one must print the same (xen_script.expected). */
#ifndef GPUDOM_TESTS_XEN_XEN_SCRIPT_H
#define GPUDOM_TESTS_XEN_XEN_SCRIPT_H

#include <stdint.h>
#include <stdio.h>

/* @domid: a guest that is paused and has no IOREQ server. In the end, @die lets its domain die. */
void xen_script(FILE *out, uint16_t domid, void (*die)(void *data), void *data);

#endif
