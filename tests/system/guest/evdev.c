/* SPDX-License-Identifier: MIT */
/*
 * In the guest: says what its input devices are, prints what they send, and writes what comes back.
 * usage: evdev ECHO
 *
 * Prints "evdev: device NAME keys=N rel=BITS abs=BITS props=BITS slots=N" for each, "evdev: ready",
 * and then "evdev: NAME TYPE CODE VALUE" for each event of a frame. Special keys: F13 answers by a
 * byte to ECHO (a terminal) and is not printed; F14 switches Caps Lock's LED on; F15 ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define DEVICES 32

struct device {
	char name[64];
	int fd;
};

static unsigned long first_bits(int fd, unsigned type)
{
	unsigned long bits = 0;

	ioctl(fd, EVIOCGBIT(type, sizeof(bits)), &bits);
	return bits;
}

static unsigned count_keys(int fd)
{
	unsigned char bits[KEY_CNT / 8] = { 0 };
	unsigned count = 0;

	ioctl(fd, EVIOCGBIT(EV_KEY, sizeof(bits)), bits);
	for (unsigned i = 0; i < sizeof(bits); i++)
		count += (unsigned)__builtin_popcount(bits[i]);
	return count;
}

static void describe(const struct device *device)
{
	struct input_absinfo slots = { .maximum = -1 };
	unsigned long props = 0;

	ioctl(device->fd, EVIOCGPROP(sizeof(props)), &props);
	ioctl(device->fd, EVIOCGABS(ABS_MT_SLOT), &slots);
	printf("evdev: device %s keys=%u rel=%#lx abs=%#lx props=%#lx slots=%d\n", device->name,
	    count_keys(device->fd), first_bits(device->fd, EV_REL), first_bits(device->fd, EV_ABS),
	    props, slots.maximum + 1);
}

static unsigned open_all(struct device devices[DEVICES])
{
	unsigned count = 0;
	char path[64];

	for (int i = 0; i < DEVICES; i++) {
		struct device *device = &devices[count];

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		device->fd = open(path, O_RDWR | O_NONBLOCK);
		if (device->fd < 0)
			continue;
		if (ioctl(device->fd, EVIOCGNAME(sizeof(device->name)), device->name) < 0)
			strcpy(device->name, "?");
		describe(device);
		count++;
	}
	return count;
}

static int open_echo(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY);
	struct termios raw;

	if (fd < 0 || tcgetattr(fd, &raw) < 0)
		return -1;
	cfmakeraw(&raw);
	tcsetattr(fd, TCSANOW, &raw);
	return fd;
}

/* False: the end. */
static bool act(const struct device *device, const struct input_event *event, int echo)
{
	const struct input_event led = { .type = EV_LED, .code = LED_CAPSL, .value = 1 };

	if (event->type == EV_SYN)
		return true;
	if (event->type == EV_KEY && event->code == KEY_F13) {
		if (event->value == 1 && write(echo, "!", 1) != 1)
			printf("evdev: cannot answer: %s\n", strerror(errno));
		return true;
	}
	if (event->type == EV_KEY && event->code == KEY_F15)
		return false;
	if (event->type == EV_KEY && event->code == KEY_F14 && event->value == 1 &&
	    write(device->fd, &led, sizeof(led)) != sizeof(led))
		printf("evdev: cannot light an LED: %s\n", strerror(errno));
	printf("evdev: %s %u %u %d\n", device->name, event->type, event->code, event->value);
	return true;
}

int main(int argc, char **argv)
{
	struct device devices[DEVICES];
	struct pollfd pollers[DEVICES];
	struct input_event event;
	unsigned count;
	int echo;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2 || (echo = open_echo(argv[1])) < 0) {
		fprintf(stderr, "usage: evdev ECHO\n");
		return 2;
	}
	count = open_all(devices);
	for (unsigned i = 0; i < count; i++)
		pollers[i] = (struct pollfd){ .fd = devices[i].fd, .events = POLLIN };
	printf("evdev: ready\n");
	while (poll(pollers, count, -1) > 0)
		for (unsigned i = 0; i < count; i++)
			while (pollers[i].revents &&
			       read(devices[i].fd, &event, sizeof(event)) == sizeof(event))
				if (!act(&devices[i], &event, echo))
					return 0;
	return 1;
}
