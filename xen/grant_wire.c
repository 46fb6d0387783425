/* SPDX-License-Identifier: MIT */
#include "xen/grant_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

_Static_assert(sizeof(struct grant_segment) == sizeof(struct gntdev_run), "one list for both");
_Static_assert(GRANT_SEGMENTS_MAX * sizeof(struct grant_segment) <= GRANT_LIST_SIZE, "room for it");
_Static_assert(GRANT_LIST_SIZE % GNTDEV_PAGE_SIZE == 0, "the bytes begin with a page");

union grant_control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(GRANT_FDS_MAX * sizeof(int))];
};

int grant_send(int socket, const void *message, size_t size, const int *fds, size_t fd_count)
{
	union grant_control control = { 0 };
	struct iovec iov = { .iov_base = (void *)message, .iov_len = size };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;

	if (fd_count) {
		hdr.msg_control = control.bytes;
		hdr.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&hdr);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
	}
	do {
		n = sendmsg(socket, &hdr, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
	return 0;
}

/* Takes the descriptors out; those that are more than @max are closed. Their number. */
static size_t grant_take_fds(struct msghdr *hdr, int *fds, size_t max)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (count < max)
				fds[count] = fd;
			else
				close(fd);
			count++;
		}
	}
	return count;
}

int grant_receive(int socket, void *message, size_t size, int *fds, size_t *fd_count, int wait)
{
	union grant_control control;
	struct iovec iov = { .iov_base = message, .iov_len = size };
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	size_t max = *fd_count;
	ssize_t n;

	*fd_count = 0;
	do {
		n = recvmsg(socket, &hdr, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		return errno == ECONNRESET ? -ENOTCONN : -errno;
	}
	*fd_count = grant_take_fds(&hdr, fds, max);
	if (!n && !*fd_count)
		return -ENOTCONN;
	if ((size_t)n == size && *fd_count <= max && !(hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 1;
	for (size_t i = 0; i < *fd_count && i < max; i++)
		close(fds[i]);
	*fd_count = 0;
	return -EPROTO;
}

static int grant_shared_map(int fd, size_t size, void **address)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	*address = at;
	return 0;
}

int grant_shared_create(const char *name, size_t size, void **address)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), error;

	if (fd < 0)
		return -errno;
	error = ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0
		    ? -errno
		    : grant_shared_map(fd, size, address);
	if (!error)
		return fd;
	close(fd);
	return error;
}

int grant_shared_open(int fd, size_t size, void **address)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat stat;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &stat) < 0 ||
	    (uint64_t)stat.st_size < size)
		return -EINVAL;
	return grant_shared_map(fd, size, address);
}
