/* SPDX-License-Identifier: MIT */
/*
 * Back ends as processes of their own: gpudom-worker, or QEMU's contrib vhost-user-gpu.
 */
#ifndef GPUDOM_TESTS_LOOPBACK_PROCESS_H
#define GPUDOM_TESTS_LOOPBACK_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct loopback_process {
	pid_t pid;     /* 0: none */
	int socket;    /* ours of the pair that the process inherited; -1: taken or none */
	int output_fd; /* standard error of the process, where it was asked for; -1 */
};

/*
 * Starts @argv (argv[0]: its path). Each "{fd}" in an argument becomes the number of a
 * connected socket that the process inherits, whose other end is process->socket. With
 * @capture, its standard error goes to a file that loopback_process_output() reads.
 */
int loopback_process_spawn(
    struct loopback_process *process, const char *const argv[], bool capture);

/* The path of @program where the Makefile puts it, beside the folder of the running test. */
void loopback_process_path(const char *program, char *path, size_t size);

/* Connects to a listening socket, as soon as the process listens. A descriptor, or -errno. */
int loopback_process_connect(const struct loopback_process *process, const char *path);

/* Kills it with @signal, if it still runs, and waits for its end. The wait status. */
int loopback_process_end(struct loopback_process *process, int signal);

/* Its child, where it has one (a contained worker's renderer), else itself. */
pid_t loopback_process_renderer(const struct loopback_process *process);

/* Has it ended? */
bool loopback_process_is_running(const struct loopback_process *process);

/* The file's text so far, to be freed; NULL on error. */
char *loopback_process_output(const struct loopback_process *process);

/* What /proc says. */
uint64_t loopback_process_cpu_ticks(pid_t pid); /* user and system, in clock ticks */
/* The line @name ("VmRSS") of its status; 0 where there is none */
uint64_t loopback_process_kib(pid_t pid, const char *name);
unsigned loopback_process_fds(pid_t pid);  /* open descriptors */
unsigned loopback_process_maps(pid_t pid); /* lines of /proc/PID/maps */

#endif
