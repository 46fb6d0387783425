/* SPDX-License-Identifier: MIT */
/* A file that others find either as it was or whole. */
#ifndef GPUDOM_TOOLS_CTL_FILE_H
#define GPUDOM_TOOLS_CTL_FILE_H

#include <stdio.h>

struct ctl_file {
	const char *path; /* "-": standard output; devices and pipes are written as they are */
	char *temporary;
	FILE *file;
};

/* Errors are said on standard error; -errno. @path is not copied. */
int ctl_file_begin(struct ctl_file *file, const char *path);

/* Takes the place of what was there. */
int ctl_file_commit(struct ctl_file *file);

/* What was there stays. */
void ctl_file_abort(struct ctl_file *file);

#endif
