/* SPDX-License-Identifier: MIT */
/* usage: xen_script DOMID, in the driver domain: tests/xen/xen_script.c on the real Xen. */
#include <stdlib.h>

#include "tests/xen/xen_script.h"

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	xen_script(stdout, (uint16_t)strtoul(argv[1], NULL, 10));
	return 0;
}
