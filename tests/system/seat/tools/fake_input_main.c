/* SPDX-License-Identifier: MIT */
/*
 * A keyboard, mouse, touch screen, pen or lid of uinput, for as long as it runs. Each line of its
 * standard input is a frame of events ("key/30=1", "abs/53=100 abs/54=100"), or "leds": prints
 * those that were set since; answered by "done". usage: fake_input
 * keyboard|mouse|touch|tablet|switch
 */
#include <err.h>
#include <linux/input.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/seat/tools/fake_input.h"

static void print_leds(int fd)
{
	struct input_event event;

	while (read(fd, &event, sizeof(event)) == sizeof(event))
		if (event.type == EV_LED) {
			fake_input_print(event.type, event.code, event.value);
			printf("\n");
		}
}

int main(int argc, char **argv)
{
	char line[1024];

	if (argc != 2)
		errx(2, "usage: fake_input keyboard|mouse|touch|tablet|switch");
	int fd = fake_input_create(argv[1]);
	printf("done\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n") != 0) {
		if (strcmp(line, "leds\n") == 0)
			print_leds(fd);
		else if (!fake_input_write(fd, line))
			printf("error: cannot write %s", line);
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
