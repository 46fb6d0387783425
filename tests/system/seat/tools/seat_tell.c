/* SPDX-License-Identifier: MIT */
/*
 * Says a command to gpudom-seat and prints the answer; a picture that comes with it (capture)
 * becomes a PNG. usage: seat_tell JSON [PICTURE.png]
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "backend/seat_message.h"
#include "render/png.h"
#include "tests/system/seat/tools/seat_link.h"

static uint32_t number_of(const char *json, const char *name)
{
	char key[32];

	snprintf(key, sizeof(key), "\"%s\":", name);
	const char *at = strstr(json, key);
	return at ? (uint32_t)strtoul(at + strlen(key), NULL, 10) : 0;
}

static void save(const char *path, const char *answer, int fd)
{
	uint32_t width = number_of(answer, "width"), height = number_of(answer, "height");
	uint32_t stride = number_of(answer, "stride");
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0 || stride < width * 4 ||
	    stat.st_size < (off_t)stride * height)
		errx(1, "no picture");
	void *pixels = mmap(NULL, (size_t)stride * height, PROT_READ, MAP_SHARED, fd, 0);
	if (pixels == MAP_FAILED)
		err(1, "the picture");
	if (png_write_xrgb(path, width, height, pixels, stride) < 0)
		exit(1);
}

int main(int argc, char **argv)
{
	const char *path = getenv("GPUDOM_SEAT");
	int fd;

	if (argc < 2)
		errx(2, "usage: seat_tell JSON [PICTURE.png]");
	int seat = seat_link_connect(path ? path : SEAT_SOCKET_PATH);
	char *answer = seat_link_command(seat, argv[1], -1, &fd);
	puts(answer);
	if (argc > 2)
		save(argv[2], answer, fd);
	return strstr(answer, "\"ok\":true") || strstr(answer, "\"ok\": true") ? 0 : 1;
}
