/* SPDX-License-Identifier: MIT */
#include "tests/xen/fake_keeper.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX 4

static void take(struct fake_keeper *keeper, char *text, int *fds, unsigned count)
{
	const char *name = NULL;
	bool store = false, drop = false;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		store |= !strcmp(line, "FDSTORE=1");
		drop |= !strcmp(line, "FDSTOREREMOVE=1");
		if (!strncmp(line, "FDNAME=", 7))
			name = line + 7;
	}
	if (drop)
		fake_keeper_remove(keeper, name);
	if (store) {
		assert(count == 1 && name && keeper->count < FAKE_KEEPER_MAX);
		/* Two of one name could not be told apart. */
		assert(fake_keeper_find(keeper, name) < 0);
		keeper->kept[keeper->count].name = strdup(name);
		keeper->kept[keeper->count++].fd = fds[--count];
	}
	/* A barrier: done */
	while (count)
		close(fds[--count]);
}

void fake_keeper_drain(struct fake_keeper *keeper)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control;
	char text[1024];

	for (;;) {
		struct iovec part = { .iov_base = text, .iov_len = sizeof(text) - 1 };
		struct msghdr message = {
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(keeper->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		struct cmsghdr *c;
		int fds[FDS_MAX];
		unsigned count = 0;

		if (n < 0)
			return;
		text[n] = '\0';
		for (c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			if (c->cmsg_type != SCM_RIGHTS)
				continue;
			count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(fds, CMSG_DATA(c), count * sizeof(int));
		}
		take(keeper, text, fds, count);
	}
}

static int dispatch(sd_event_source *source, int fd, uint32_t events, void *data)
{
	fake_keeper_drain(data);
	return 0;
}

void fake_keeper_init(struct fake_keeper *keeper, sd_event *event)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	char name[128];

	*keeper = (struct fake_keeper){
		.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	};
	assert(keeper->fd >= 0);
	assert(bind(keeper->fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	assert(getsockname(keeper->fd, (struct sockaddr *)&address, &size) == 0);
	snprintf(name, sizeof(name), "@%.*s",
	    (int)(size - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("FDSTORE", "64", 1);
	assert(sd_event_add_io(event, NULL, keeper->fd, EPOLLIN, dispatch, keeper) >= 0);
}

int fake_keeper_find(const struct fake_keeper *keeper, const char *name)
{
	for (unsigned i = 0; i < keeper->count; i++)
		if (!strcmp(keeper->kept[i].name, name))
			return keeper->kept[i].fd;
	return -1;
}

void fake_keeper_remove(struct fake_keeper *keeper, const char *name)
{
	unsigned left = 0;

	for (unsigned i = 0; i < keeper->count; i++) {
		if (name && strcmp(keeper->kept[i].name, name) != 0) {
			keeper->kept[left++] = keeper->kept[i];
			continue;
		}
		close(keeper->kept[i].fd);
		free(keeper->kept[i].name);
	}
	keeper->count = left;
}

char **fake_keeper_hand_over(const struct fake_keeper *keeper, int first)
{
	char **names = calloc(keeper->count + 1, sizeof(*names));

	for (unsigned i = 0; i < keeper->count; i++) {
		assert(dup3(keeper->kept[i].fd, first + (int)i, O_CLOEXEC) >= 0);
		names[i] = strdup(keeper->kept[i].name);
	}
	return names;
}

void fake_keeper_forget(struct fake_keeper *keeper)
{
	fake_keeper_remove(keeper, NULL);
	close(keeper->fd);
}

void fake_keeper_finish(struct fake_keeper *keeper)
{
	fake_keeper_forget(keeper);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("FDSTORE");
}
