/* SPDX-License-Identifier: MIT */
/* Another program that shows on a card: its DRM master, until it is told to quit. usage: kms_hold
 * CARD */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <xf86drm.h>

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		err(1, "usage: kms_hold CARD");
	if (drmSetMaster(fd) < 0)
		err(1, "%s", argv[1]);
	printf("done\n");
	fflush(stdout);
	while (getchar() != '\n')
		;
	close(fd);
	printf("done\n");
	return 0;
}
