/* SPDX-License-Identifier: MIT */
/* What /proc says of a process, for tests. */
#ifndef GPUDOM_TESTS_DEVICE_PROC_STATUS_H
#define GPUDOM_TESTS_DEVICE_PROC_STATUS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

/* The value of @name in /proc/PID/status, without what is around it. */
static inline void get_status(pid_t pid, const char *name, char value[128])
{
	char path[64], line[256];
	const size_t length = strlen(name);
	FILE *file;

	*value = '\0';
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			sscanf(line + length + 1, " %127[^\n]", value);
	fclose(file);
}

static inline void expect_status(pid_t pid, const char *name, const char *value)
{
	char is[128];

	get_status(pid, name, is);
	assert_string_equal(is, value);
}

#endif
