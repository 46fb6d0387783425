/* SPDX-License-Identifier: MIT */
/* Exports the first memory file that it is given as it is, in the place of a dma-buf of its pages:
 * machines that have no /dev/udmabuf run tests, too. */
#ifndef GPUDOM_TESTS_UNIT_FAKE_UDMABUF_H
#define GPUDOM_TESTS_UNIT_FAKE_UDMABUF_H

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backend/udmabuf.h"

struct fake_udmabuf {
	struct udmabuf base;
	int error; /* of the next ones */
	unsigned created;
	struct udmabuf_piece pieces[64]; /* of the last one, without descriptors */
	unsigned piece_count;
};

static inline int fake_udmabuf_create(
    struct udmabuf *udmabuf, const struct udmabuf_piece *pieces, unsigned count)
{
	struct fake_udmabuf *fake = (struct fake_udmabuf *)udmabuf;

	if (fake->error)
		return fake->error;
	assert(count >= 1 && count <= 64);
	for (unsigned i = 0; i < count; i++) {
		const int seals = fcntl(pieces[i].fd, F_GET_SEALS);

		/* What Linux wants */
		if (pieces[i].offset % 4096 || pieces[i].size % 4096 || !pieces[i].size ||
		    seals < 0 || !(seals & F_SEAL_SHRINK) || (seals & F_SEAL_WRITE))
			return -EINVAL;
		fake->pieces[i] = pieces[i];
	}
	fake->piece_count = count;
	fake->created++;
	return fcntl(pieces[0].fd, F_DUPFD_CLOEXEC, 0);
}

static inline void fake_udmabuf_init(struct fake_udmabuf *fake)
{
	*fake = (struct fake_udmabuf){ .base = { .fd = -1, .create = fake_udmabuf_create } };
}

static inline unsigned fake_udmabuf_open_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

#endif
