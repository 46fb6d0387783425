/* SPDX-License-Identifier: MIT */
#include "backend/udmabuf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int udmabuf_create(
    struct udmabuf *udmabuf, const struct udmabuf_piece *pieces, unsigned count)
{
	struct udmabuf_create_list *list;
	int r;

	if (!count || count > UDMABUF_PIECES_MAX)
		return -E2BIG;
	list = calloc(1, sizeof(*list) + count * sizeof(list->list[0]));
	if (!list)
		return -ENOMEM;
	list->flags = UDMABUF_FLAGS_CLOEXEC;
	list->count = count;
	for (unsigned i = 0; i < count; i++)
		list->list[i] = (struct udmabuf_create_item){ .memfd = (uint32_t)pieces[i].fd,
			.offset = pieces[i].offset,
			.size = pieces[i].size };
	r = ioctl(udmabuf->fd, UDMABUF_CREATE_LIST, list);
	if (r < 0)
		r = -errno;
	free(list);
	return r;
}

int udmabuf_open(struct udmabuf *udmabuf)
{
	udmabuf->fd = open(UDMABUF_PATH, O_RDWR | O_CLOEXEC);
	udmabuf->create = udmabuf_create;
	return udmabuf->fd < 0 ? -errno : 0;
}

void udmabuf_close(struct udmabuf *udmabuf)
{
	if (udmabuf->fd >= 0)
		close(udmabuf->fd);
	udmabuf->fd = -1;
}
