/* SPDX-License-Identifier: MIT */
/*
 * Runs in a guest: writes QueueNotify of the virtio-mmio device at BASE N times, for a queue that
 * has nothing new, and prints how long the CPU stood still for each ("guest: N kicks, median M us,
 * 90 % ...").
 *
 * usage: kicks BASE N
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_NOTIFY = 0x50, CURSOR_QUEUE = 1 };

static int compare(const void *a, const void *b)
{
	const long *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static long kick(volatile uint32_t *registers)
{
	struct timespec begun, ended;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	registers[QUEUE_NOTIFY / 4] = CURSOR_QUEUE;
	clock_gettime(CLOCK_MONOTONIC, &ended);
	return (ended.tv_sec - begun.tv_sec) * 1000000 + (ended.tv_nsec - begun.tv_nsec) / 1000;
}

int main(int argc, char **argv)
{
	volatile uint32_t *registers;
	unsigned long base, count;
	long *times;
	int fd;

	if (argc != 3)
		errx(2, "usage: kicks BASE N");
	base = strtoul(argv[1], NULL, 0);
	count = strtoul(argv[2], NULL, 0);
	fd = open("/dev/mem", O_RDWR | O_SYNC);
	registers = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)base);
	times = calloc(count, sizeof(*times));
	if (fd < 0 || registers == MAP_FAILED || !times || !count)
		err(1, "/dev/mem");
	for (unsigned long i = 0; i < count; i++) {
		times[i] = kick(registers);
		usleep(5000);
	}
	qsort(times, count, sizeof(*times), compare);
	printf("guest: %lu kicks, median %ld us, 90 %% within %ld us, longest %ld us\n", count,
	    times[count / 2], times[count * 9 / 10], times[count - 1]);
	return 0;
}
