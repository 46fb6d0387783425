/* SPDX-License-Identifier: MIT */
/*
 * A seat for tests/system/qemu/input.sh: takes workers in as gpudom-seat does, sends them what the
 * script says, and measures. What a guest writes (LEDs) goes to standard output.
 * usage: input_seat SOCKET
 *
 * Commands, lines on standard input:
 *   send KIND TYPE CODE VALUE [TYPE CODE VALUE...]   one frame
 *   measure seat|qemu ECHO QMP ROUNDS                 F13, until the guest has answered at ECHO
 * Prints "ready KIND" for each device, "status KIND TYPE CODE VALUE", "ok", and
 * "latency seat ROUNDS p50 p99 max" in microseconds: from the send() to the guest's answer.
 */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <linux/input.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "backend/seat_message.h"

#define ROUNDS_MAX 10000
#define PATIENCE_MS 20000

static int devices[SEAT_INPUT_KINDS];

static void die(const char *what)
{
	fprintf(stderr, "input_seat: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int number(const char *text)
{
	char *end;
	const long value = text ? strtol(text, &end, 10) : 0;

	if (!text || end == text || *end || value < INT_MIN || value > INT_MAX) {
		errno = EINVAL;
		die(text ? text : "a number is missing");
	}
	return (int)value;
}

static int open_socket(
    const char *path, int type, int (*act)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || act(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
	return fd;
}

static void take_in(int listener)
{
	char text[4096], bytes[CMSG_SPACE(sizeof(int))];
	struct iovec piece = { text, sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = bytes,
		.msg_controllen = sizeof(bytes) };
	int fd = accept(listener, NULL, NULL);
	ssize_t n = recvmsg(fd, &message, 0);
	struct json_object *command, *kind;
	enum seat_input_kind k = SEAT_INPUT_KINDS;

	if (n <= 0 || !CMSG_FIRSTHDR(&message))
		die("a worker says nothing");
	text[n] = '\0';
	command = json_tokener_parse(text);
	if (json_object_object_get_ex(command, "kind", &kind))
		k = seat_input_kind_parse(json_object_get_string(kind));
	if (k == SEAT_INPUT_KINDS)
		die(text);
	memcpy(&devices[k], CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	json_object_put(command);
	if (send(fd, "{\"ok\":true}", 11, MSG_NOSIGNAL) < 0)
		die("answer");
	close(fd);
	printf("ready %s\n", seat_input_kind_name(k));
}

static void send_packet(enum seat_input_kind kind, struct seat_input_packet *packet)
{
	size_t size;

	packet->events[packet->count++] = (struct seat_input_event){ EV_SYN, SYN_REPORT, 0 };
	size = offsetof(struct seat_input_packet, events) +
	       packet->count * sizeof(struct seat_input_event);
	if (send(devices[kind], packet, size, MSG_NOSIGNAL) < 0)
		die("send");
}

static void send_line(char *words)
{
	struct seat_input_packet packet = { 0 };
	enum seat_input_kind kind = seat_input_kind_parse(strtok(words, " \n"));
	const char *type, *code, *value;

	while ((type = strtok(NULL, " \n")) && (code = strtok(NULL, " \n")) &&
	       (value = strtok(NULL, " \n")))
		packet.events[packet.count++] = (struct seat_input_event){ (uint16_t)number(type),
			(uint16_t)number(code), number(value) };
	send_packet(kind, &packet);
	printf("ok\n");
}

/* ---------------------------------------------------------------- measuring */

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void press(int qmp, int down)
{
	struct seat_input_packet packet = { .count = 1, .events = { { EV_KEY, KEY_F13, down } } };
	char text[256];

	if (qmp < 0) {
		send_packet(SEAT_INPUT_KEYBOARD, &packet);
		return;
	}
	snprintf(text, sizeof(text),
	    "{\"execute\":\"input-send-event\",\"arguments\":{\"events\":[{\"type\":\"key\",\"data\":"
	    "{\"down\":%s,\"key\":{\"type\":\"qcode\",\"data\":\"f13\"}}}]}}\n",
	    down ? "true" : "false");
	if (write(qmp, text, strlen(text)) < 0)
		die("QMP");
}

static void swallow(int fd)
{
	char bytes[4096];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(char *words)
{
	static double times[ROUNDS_MAX];
	const char *whose = strtok(words, " \n");
	int echo = open_socket(strtok(NULL, " \n"), SOCK_STREAM, connect), qmp = -1;
	const char *path = strtok(NULL, " \n");
	int rounds = number(strtok(NULL, " \n"));

	if (strcmp(whose, "qemu") == 0) {
		qmp = open_socket(path, SOCK_STREAM, connect);
		dprintf(qmp, "{\"execute\":\"qmp_capabilities\"}\n");
	}
	for (int i = 0; i < rounds && i < ROUNDS_MAX; i++) {
		struct pollfd poller = { .fd = echo, .events = POLLIN };
		char byte;

		/* Idle in between, as people's keyboards are */
		usleep(3000);
		if (qmp >= 0)
			swallow(qmp);
		times[i] = now_us();
		press(qmp, 1);
		if (poll(&poller, 1, PATIENCE_MS) != 1 || read(echo, &byte, 1) != 1) {
			printf("the guest does not answer\n");
			return;
		}
		times[i] = now_us() - times[i];
		press(qmp, 0);
	}
	qsort(times, (size_t)rounds, sizeof(*times), compare);
	printf("latency %s %d %.0f %.0f %.0f\n", whose, rounds, times[rounds / 2],
	    times[rounds * 99 / 100], times[rounds - 1]);
	close(echo);
	if (qmp >= 0)
		close(qmp);
}

/* ---------------------------------------------------------------- */

static void on_status(enum seat_input_kind kind)
{
	struct seat_input_packet packet;

	if (recv(devices[kind], &packet, sizeof(packet), MSG_DONTWAIT) <= 0) {
		close(devices[kind]);
		devices[kind] = -1;
		return;
	}
	for (unsigned i = 0; i < packet.count; i++)
		printf("status %s %u %u %d\n", seat_input_kind_name(kind), packet.events[i].type,
		    packet.events[i].code, packet.events[i].value);
}

int main(int argc, char **argv)
{
	int listener;
	char line[1024];

	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (argc != 2) {
		fprintf(stderr, "usage: input_seat SOCKET\n");
		return 2;
	}
	listener = open_socket(argv[1], SOCK_SEQPACKET, bind);
	if (listen(listener, 8) < 0)
		die("listen");
	for (int i = 0; i < SEAT_INPUT_KINDS; i++)
		devices[i] = -1;
	for (;;) {
		struct pollfd pollers[2 + SEAT_INPUT_KINDS] = { { .fd = listener,
								    .events = POLLIN },
			{ .fd = STDIN_FILENO, .events = POLLIN } };

		for (int i = 0; i < SEAT_INPUT_KINDS; i++)
			pollers[2 + i] = (struct pollfd){ .fd = devices[i], .events = POLLIN };
		if (poll(pollers, 2 + SEAT_INPUT_KINDS, -1) < 0)
			die("poll");
		if (pollers[0].revents)
			take_in(listener);
		for (int i = 0; i < SEAT_INPUT_KINDS; i++)
			if (pollers[2 + i].revents)
				on_status((enum seat_input_kind)i);
		if (!pollers[1].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		if (strncmp(line, "send ", 5) == 0)
			send_line(line + 5);
		else if (strncmp(line, "measure ", 8) == 0)
			measure(line + 8);
	}
}
