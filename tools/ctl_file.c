/* SPDX-License-Identifier: MIT */
#include "tools/ctl_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int ctl_file_fail(struct ctl_file *file, int error)
{
	fprintf(stderr, "gpudomctl: cannot write %s: %s\n", file->path, strerror(-error));
	ctl_file_abort(file);
	return error;
}

/* What is there is no file that can be replaced, but /dev/null, or a pipe. */
static bool ctl_file_is_special(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

int ctl_file_begin(struct ctl_file *file, const char *path)
{
	mode_t mask;
	int fd;

	*file = (struct ctl_file){ .path = path };
	if (!strcmp(path, "-")) {
		file->file = stdout;
		return 0;
	}
	if (ctl_file_is_special(path)) {
		file->file = fopen(path, "we");
		return file->file ? 0 : ctl_file_fail(file, -errno);
	}
	/* Beside it, under a name that nobody can guess and that ends as no collector expects. */
	if (asprintf(&file->temporary, "%s.XXXXXX", path) < 0) {
		file->temporary = NULL;
		return ctl_file_fail(file, -ENOMEM);
	}
	fd = mkostemp(file->temporary, O_CLOEXEC);
	if (fd < 0) {
		int error = -errno;

		free(file->temporary);
		file->temporary = NULL;
		return ctl_file_fail(file, error);
	}
	mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	file->file = fdopen(fd, "w");
	if (file->file)
		return 0;
	close(fd);
	return ctl_file_fail(file, -ENOMEM);
}

int ctl_file_commit(struct ctl_file *file)
{
	FILE *out = file->file;
	int error = fflush(out) || ferror(out) ? (errno ? -errno : -EIO) : 0;

	if (error)
		return ctl_file_fail(file, error);
	file->file = NULL;
	if (!file->temporary)
		return out != stdout && fclose(out) ? ctl_file_fail(file, -errno) : 0;
	if (fclose(out) || rename(file->temporary, file->path) < 0)
		return ctl_file_fail(file, -errno);
	free(file->temporary);
	file->temporary = NULL;
	return 0;
}

void ctl_file_abort(struct ctl_file *file)
{
	if (file->file && file->file != stdout)
		fclose(file->file);
	if (file->temporary)
		unlink(file->temporary);
	free(file->temporary);
	*file = (struct ctl_file){ .path = file->path };
}
