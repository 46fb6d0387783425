/* SPDX-License-Identifier: MIT */
/*
 * gpudom-worker-compromised: the worker as it is built, with functions in front of a few of its own
 * (the linker's --wrap; nothing of it is in the worker that is installed). It stands for a
 * worker that a guest has taken over.
 *
 *     gpudom-worker-compromised --compromised=NAME[,NAME]... OPTION...
 *
 * makes attempts from inside, one after the other, once it is sandboxed and before it serves:
 * "attempt NAME: refused (...)" or "attempt NAME: SUCCEEDED (...)", on standard error. Many end
 * the process, as they should; the line before says which it was. --compromised=list names all.
 * With --sandbox=off and the soft renderer they are made, too, as soon as that is there: to see
 * that they can succeed.
 *
 * With or without attempts, a guest can end it: RESOURCE_CREATE_2D of 511 x N pixels does what enum
 * compromised_action says, with any renderer; so does SUBMIT_3D whose first word is
 * COMPROMISED_MAGIC and whose second is N.
 */
#ifndef GPUDOM_TESTS_COMPROMISED_H
#define GPUDOM_TESTS_COMPROMISED_H

#define COMPROMISED_WIDTH 511
#define COMPROMISED_MAGIC 0x01ff01ffu

enum compromised_action {
	COMPROMISED_ABORT = 1, /* ends by SIGABRT */
	COMPROMISED_FAULT,     /* by SIGSEGV */
	COMPROMISED_HANG,      /* never answers again, and burns a CPU */
	COMPROMISED_EXIT,      /* ends with status 3 */
	COMPROMISED_CALL,      /* a system call that is refused: SIGSYS */
	COMPROMISED_MEMORY,    /* takes memory until there is no more, and answers */
	COMPROMISED_SLEEP,     /* never answers again, and sleeps */
};

/* Where an attempt finds what it abuses. */
struct compromised_target {
	int front_end_fd; /* the vhost-user socket */
	int control_fd;   /* gpudomd's; -1: none */
	int monitor_fd;
	int notify_fd;
};

/* Makes the attempts that @list names. */
void attempts_make(const char *list, const struct compromised_target *target);
void attempts_print_names(void);

#endif
