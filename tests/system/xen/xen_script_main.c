/* SPDX-License-Identifier: MIT */
/* usage: xen_script DOMID FILE, in the driver domain: tests/xen/xen_script.c on the real Xen. When
 * FILE.die is there, somebody must destroy the guest and then make FILE.dead. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/xen/xen_script.h"

static void wait_for_death(void *data)
{
	const char *file = data;
	char name[256];

	snprintf(name, sizeof(name), "%s.die", file);
	fclose(fopen(name, "w"));
	snprintf(name, sizeof(name), "%s.dead", file);
	while (access(name, F_OK) < 0)
		usleep(100 * 1000);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	xen_script(stdout, (uint16_t)strtoul(argv[1], NULL, 10), wait_for_death, argv[2]);
	return 0;
}
