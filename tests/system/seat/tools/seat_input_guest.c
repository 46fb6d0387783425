/* SPDX-License-Identifier: MIT */
/*
 * A guest with one input device for the tests of gpudom-seat: a virtio-input driver in front of a
 * gpudom-worker, and gpudomd's part, which introduces it to the seat. Prints each frame of events
 * that it gets as a line ("key/30=1"), and does what its standard input says, a line each, answered
 * by "done": led CODE VALUE       to the status queue hold, take           does not give the device
 * buffers for events any more; gives them again latency N            presses a key of a keyboard of
 * its own (uinput) 2 N times: microseconds from its write to the guest's wake-up quit usage:
 * seat_input_guest GUEST KIND WORKER [WORKER'S OPTION...]
 */
#include <err.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/virtio_input.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/seat_message.h"
#include "tests/loopback/loopback_frontend.h"
#include "tests/loopback/loopback_process.h"
#include "tests/system/seat/tools/fake_input.h"
#include "tests/system/seat/tools/numbers.h"
#include "tests/system/seat/tools/seat_link.h"

enum { EVENTS, STATUS, BUFFERS = 64, ARGUMENTS_MAX = 28 };

struct guest {
	const char *name, *kind, *seat_path;
	struct loopback_process worker;
	struct loopback_frontend frontend;
	struct virtio_input_event
	    *buffers; /* guest memory: BUFFERS, and one for the status queue */
	struct virtio_input_event *held[BUFFERS];
	unsigned held_count;
	bool holding, quiet;
	unsigned in_frame; /* events that were printed of the frame so far */
	uint64_t frames;
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---------------------------------------------------------------- the device */

static void give(struct guest *guest, struct virtio_input_event *buffer)
{
	struct memory_piece piece =
	    loopback_piece(&guest->frontend.memory, buffer, sizeof(*buffer));

	loopback_queue_add(&guest->frontend.queues[EVENTS], NULL, 0, &piece, 1, buffer);
}

static void print_event(struct guest *guest, const struct virtio_input_event *event)
{
	if (event->type == EV_SYN && event->code == SYN_REPORT) {
		guest->frames++;
		if (!guest->quiet)
			printf("\n");
		guest->in_frame = 0;
		return;
	}
	if (guest->quiet)
		return;
	if (guest->in_frame++ > 0)
		printf(" ");
	fake_input_print(event->type, event->code, (int32_t)event->value);
}

/* Takes what the device has delivered, and gives the buffers back. */
static void take_events(struct guest *guest)
{
	struct loopback_queue *queue = &guest->frontend.queues[EVENTS];
	uint64_t calls;
	uint32_t written;
	uint16_t head;
	void *data;

	if (read(queue->call_fd, &calls, sizeof(calls)) < 0)
		calls = 0;
	do {
		while (loopback_queue_take(queue, &head, &written, &data)) {
			if (written != sizeof(struct virtio_input_event))
				errx(1, "an event of %u bytes", written);
			print_event(guest, data);
			if (guest->holding)
				guest->held[guest->held_count++] = data;
			else
				give(guest, data);
		}
	} while (loopback_queue_enable_calls(queue));
	loopback_queue_kick(queue);
	fflush(stdout);
}

static void send_status(struct guest *guest, uint16_t type, uint16_t code, int32_t value)
{
	struct virtio_input_event *event = &guest->buffers[BUFFERS];
	uint32_t written;
	uint16_t head;
	void *data;

	*event = (struct virtio_input_event){ type, code, (uint32_t)value };
	struct memory_piece piece = loopback_piece(&guest->frontend.memory, event, sizeof(*event));
	loopback_queue_add(&guest->frontend.queues[STATUS], &piece, 1, NULL, 0, event);
	loopback_queue_kick(&guest->frontend.queues[STATUS]);
	if (loopback_frontend_wait(&guest->frontend, STATUS, &head, &written, &data) < 0)
		errx(1, "the device does not take a status");
}

static void start(struct guest *guest, char *const options[])
{
	int seat = seat_link_add(guest->seat_path, guest->name,
	    1 + seat_input_kind_parse(guest->kind), guest->kind, SOCK_SEQPACKET);
	char device[32], seat_fd[32];
	const char *argv[ARGUMENTS_MAX + 4] = { options[0], "--fd={fd}", device, seat_fd };
	struct loopback_options frontend = { .memory_size = 4 << 20, .regions = 1 };

	snprintf(device, sizeof(device), "--device=%s", guest->kind);
	snprintf(seat_fd, sizeof(seat_fd), "--seat-fd=%d", seat);
	for (unsigned i = 1; i < ARGUMENTS_MAX && options[i]; i++)
		argv[i + 3] = options[i];
	fcntl(seat, F_SETFD, 0);
	if (loopback_process_spawn(&guest->worker, argv, false) < 0)
		errx(1, "cannot start %s", argv[0]);
	close(seat);
	if (loopback_frontend_init(&guest->frontend, &frontend) < 0 ||
	    loopback_frontend_connect(&guest->frontend, guest->worker.socket) < 0)
		errx(1, "the worker does not start");
	guest->worker.socket = -1;
	guest->buffers = loopback_alloc(
	    &guest->frontend.memory, (BUFFERS + 1) * sizeof(struct virtio_input_event));
	for (unsigned i = 0; i < BUFFERS; i++)
		give(guest, &guest->buffers[i]);
	loopback_queue_kick(&guest->frontend.queues[EVENTS]);
	take_events(guest);
}

/* ---------------------------------------------------------------- commands */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Until a frame has come, or @ms are over. */
static bool wait_frame(struct guest *guest, uint64_t frames, int ms)
{
	struct pollfd fd = { .fd = guest->frontend.queues[EVENTS].call_fd, .events = POLLIN };

	while (guest->frames <= frames) {
		if (poll(&fd, 1, ms) <= 0)
			return false;
		take_events(guest);
	}
	return true;
}

static void latency(struct guest *guest, unsigned count)
{
	int keyboard = fake_input_create("keyboard");
	uint64_t *times = calloc(2 * (size_t)count + 1, sizeof(*times));
	unsigned n = 0, lost = 0;

	if (!times)
		errx(1, "out of memory");
	guest->quiet = true;
	/* The seat has to find the keyboard first. */
	for (int tries = 0; tries < 100; tries++) {
		uint64_t frames = guest->frames;
		fake_input_write(keyboard, tries % 2 ? "key/30=0" : "key/30=1");
		if (wait_frame(guest, frames, 200))
			break;
	}
	fake_input_write(keyboard, "key/30=0");
	wait_frame(guest, guest->frames, 200);
	for (unsigned i = 0; i < 2 * count; i++) {
		uint64_t frames = guest->frames, begun = now_us();
		fake_input_write(keyboard, i % 2 ? "key/30=0" : "key/30=1");
		if (wait_frame(guest, frames, 1000))
			times[n++] = now_us() - begun;
		else
			lost++;
	}
	qsort(times, n, sizeof(*times), compare);
	if (n)
		printf("latency of %u events: median %llu us, p99 %llu us; %u did not come\n", n,
		    (unsigned long long)times[n / 2], (unsigned long long)times[n * 99 / 100],
		    lost);
	free(times);
	close(keyboard);
	guest->quiet = false;
}

static void obey(struct guest *guest, const char *line)
{
	unsigned n[2];

	if (strncmp(line, "led ", 4) == 0 && numbers_read(line + 4, n, 2) == 2) {
		send_status(guest, EV_LED, (uint16_t)n[0], (int32_t)n[1]);
	} else if (strcmp(line, "hold\n") == 0) {
		guest->holding = true;
	} else if (strcmp(line, "take\n") == 0) {
		guest->holding = false;
		while (guest->held_count > 0)
			give(guest, guest->held[--guest->held_count]);
		loopback_queue_kick(&guest->frontend.queues[EVENTS]);
	} else if (strncmp(line, "latency ", 8) == 0 && numbers_read(line + 8, n, 1) == 1) {
		latency(guest, n[0]);
	} else {
		printf("error: cannot read %s", line);
	}
}

int main(int argc, char **argv)
{
	static struct guest guest;
	char line[128];

	if (argc < 4)
		errx(2, "usage: seat_input_guest GUEST KIND WORKER [OPTION...]");
	signal(SIGPIPE, SIG_IGN);
	guest.name = argv[1];
	guest.kind = argv[2];
	guest.seat_path = getenv("GPUDOM_SEAT") ? getenv("GPUDOM_SEAT") : SEAT_SOCKET_PATH;
	start(&guest, argv + 3);
	setvbuf(stdin, NULL, _IONBF, 0); /* poll() has to see what is left */
	printf("done\n");
	fflush(stdout);
	for (;;) {
		struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
			{ .fd = guest.frontend.queues[EVENTS].call_fd, .events = POLLIN } };
		if (poll(fds, 2, -1) < 0)
			err(1, "poll");
		if (fds[1].revents)
			take_events(&guest);
		if (!fds[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin) || strcmp(line, "quit\n") == 0)
			break;
		obey(&guest, line);
		printf("done\n");
		fflush(stdout);
	}
	loopback_frontend_finish(&guest.frontend);
	loopback_process_end(&guest.worker, SIGTERM);
	return 0;
}
