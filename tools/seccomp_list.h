/* SPDX-License-Identifier: MIT */
/*
 * Lists of system calls (libseccomp), in which what is not allowed ends the process: its SIGSYS
 * handler says on standard error which call it was, and of whose worker.
 *
 *     seccomp_list_catch, seccomp_list_create, seccomp_list_add..., seccomp_list_guard,
 *     seccomp_load, seccomp_release
 *
 * All but create() give 0 or -errno.
 */
#ifndef GPUDOM_TOOLS_SECCOMP_LIST_H
#define GPUDOM_TOOLS_SECCOMP_LIST_H

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* struct scmp_arg_cmp: argument @n is, is not, or has of the bits @mask these set. */
#define SECCOMP_LIST_IS(n, value)                                               \
	{                                                                       \
		.arg = (n), .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)(value) \
	}
#define SECCOMP_LIST_IS_NOT(n, value)                                           \
	{                                                                       \
		.arg = (n), .op = SCMP_CMP_NE, .datum_a = (scmp_datum_t)(value) \
	}
#define SECCOMP_LIST_BITS(n, mask, value)                                              \
	{                                                                              \
		.arg = (n), .op = SCMP_CMP_MASKED_EQ, .datum_a = (scmp_datum_t)(mask), \
		.datum_b = (scmp_datum_t)(value)                                       \
	}

#define SECCOMP_LIST_LOW32 UINT64_C(0xffffffff) /* of an argument that is an int */

/* Calls of this number and above are newer than our lists. From 424 on numbers are the same on all
 * machines. */
#define SECCOMP_LIST_NEWER 450
#define SECCOMP_LIST_LAST 511

/* Once, before a list is loaded. @guest may be NULL. @process ("renderer") is not copied. @pass: no
 * call is refused that seccomp_list_pass() covers, the first of each kind is logged. */
int seccomp_list_catch(const char *guest, const char *process, bool pass);

/* For all threads of this process. NULL: no memory, or no seccomp. */
scmp_filter_ctx seccomp_list_create(void);

/* A call by name; one that this machine or this libseccomp does not know is no error. */
int seccomp_list_add(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned count,
    const struct scmp_arg_cmp *arguments);
int seccomp_list_allow(scmp_filter_ctx filter, const char *const *names, size_t count);
/* @name where of argument @n the bits @mask are @value. */
int seccomp_list_allow_if(
    scmp_filter_ctx filter, const char *name, unsigned n, uint64_t mask, uint64_t value);

/* Signals: rt_sigaction() of all but SIGSYS, which ends the process, and tgkill() of itself. */
int seccomp_list_guard(scmp_filter_ctx filter);
/* For @pass: the handler makes the refused call for its caller. */
int seccomp_list_pass(scmp_filter_ctx filter);

#endif
