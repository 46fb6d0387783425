/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/log.h"
#include "render/seat_manager_private.h"

#define BACKLOG 16
/* So often in so long: without, one that asks as fast as it can would have the loop for itself. */
#define WAKES_MAX 1000
#define WAKES_USEC 1000000

/* ---------------------------------------------------------------- a connection */

static void peer_forget_answer(struct seat_manager_peer *peer)
{
	free(peer->unsent);
	peer->unsent = NULL;
	if (peer->unsent_fd >= 0)
		close(peer->unsent_fd);
	peer->unsent_fd = -1;
}

static void peer_destroy(struct seat_manager_peer *peer)
{
	if (!peer)
		return;
	for (unsigned i = 0; i < SEAT_MANAGERS_MAX; i++)
		if (peer->manager->peers[i] == peer)
			peer->manager->peers[i] = NULL;
	sd_event_source_disable_unref(peer->io);
	peer_forget_answer(peer);
	close(peer->fd);
	free(peer);
}

/* 0: it is sent; -EAGAIN: it must read first; else it is of no use. */
static int peer_send(struct seat_manager_peer *peer)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { peer->unsent, strlen(peer->unsent) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (peer->unsent_fd >= 0) {
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &peer->unsent_fd, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	if (sendmsg(peer->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	peer_forget_answer(peer);
	return 0;
}

/* The first descriptor of a packet; others are closed. */
static int take_fd(struct msghdr *message)
{
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (first < 0)
				first = fd;
			else
				close(fd);
		}
	}
	return first;
}

/* 1: there was a packet; 0: none now; negative: it is of no use. */
static int peer_receive(struct seat_manager_peer *peer)
{
	char text[SEAT_COMMAND_MAX];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	const ssize_t n = recvmsg(peer->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	fd = take_fd(&message);
	if (n == 0 || message.msg_flags & MSG_TRUNC) {
		if (fd >= 0)
			close(fd);
		return n ? -EMSGSIZE : -ECONNRESET;
	}
	peer->unsent = seat_manager_answer(peer->manager, text, (size_t)n, fd, &peer->unsent_fd);
	return peer->unsent ? 1 : -ENOMEM;
}

static int peer_on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct seat_manager_peer *peer = data;
	int r = 0;

	if (!peer->unsent)
		r = peer_receive(peer);
	if (r >= 0 && peer->unsent)
		r = peer_send(peer);
	if (r < 0 && r != -EAGAIN) {
		if (r != -ECONNRESET && r != -EPIPE)
			log_warning("a manager is hung up on: %s", strerror(-r));
		peer_destroy(peer);
		return 0;
	}
	sd_event_source_set_io_events(peer->io, peer->unsent ? EPOLLOUT : EPOLLIN);
	return 0;
}

int seat_manager_adopt(struct seat_manager *manager, int fd)
{
	struct seat_manager_peer *peer;
	unsigned slot = 0;
	int error;

	while (slot < SEAT_MANAGERS_MAX && manager->peers[slot])
		slot++;
	if (slot == SEAT_MANAGERS_MAX)
		return -EBUSY;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->manager = manager;
	peer->fd = fd;
	peer->unsent_fd = -1;
	error = sd_event_add_io(manager->options.event, &peer->io, fd, EPOLLIN, peer_on_io, peer);
	if (error >= 0)
		error = sd_event_source_set_ratelimit(peer->io, WAKES_USEC, WAKES_MAX);
	if (error < 0) {
		sd_event_source_disable_unref(peer->io);
		free(peer);
		return error;
	}
	manager->peers[slot] = peer;
	return 0;
}

/* ---------------------------------------------------------------- the socket */

/* Whoever speaks for guests sees all of them, and their keys. */
static int manager_check_peer(int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid == 0 || peer.uid == geteuid())
		return 0;
	log_warning("user %u (process %d) may not manage this seat: root and user %u may", peer.uid,
	    peer.pid, geteuid());
	return -EPERM;
}

static int manager_on_connection(sd_event_source *source, int listener, uint32_t events, void *data)
{
	struct seat_manager *manager = data;
	const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int error;

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_warning("cannot accept a connection to %s: %s", manager->options.path,
			    strerror(errno));
		return 0;
	}
	error = manager_check_peer(fd);
	if (error == 0) {
		error = seat_manager_adopt(manager, fd);
		if (error < 0)
			log_warning("a manager is turned away: %s",
			    error == -EBUSY ? "there are too many" : strerror(-error));
	}
	if (error < 0)
		close(fd);
	return 0;
}

/* Only a socket that nobody answers is removed: neither another seat's nor any other file. */
static int manager_remove_old(const struct sockaddr_un *address)
{
	struct stat status;
	int fd, taken;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	taken =
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN;
	close(fd);
	if (taken)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int manager_listen(struct seat_manager *manager)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = manager->options.path;
	mode_t mask;
	int error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	error = manager_remove_old(&address);
	if (error < 0)
		return error;
	manager->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (manager->fd < 0)
		return -errno;
	mask = umask(0177);
	error = bind(manager->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	manager->bound = error == 0;
	if (error == 0 && listen(manager->fd, BACKLOG) < 0)
		error = -errno;
	if (error == 0)
		error = sd_event_add_io(manager->options.event, &manager->source, manager->fd,
		    EPOLLIN, manager_on_connection, manager);
	if (error < 0)
		return error;
	error = sd_event_source_set_ratelimit(manager->source, WAKES_USEC, WAKES_MAX);
	return error < 0 ? error : 0;
}

int seat_manager_create(const struct seat_manager_options *options, struct seat_manager **out)
{
	struct seat_manager *manager = calloc(1, sizeof(*manager));
	int error;

	if (!manager)
		return -ENOMEM;
	manager->options = *options;
	manager->fd = -1;
	error = *options->path ? manager_listen(manager) : 0;
	if (error < 0) {
		log_error("cannot listen at %s: %s%s", options->path, strerror(-error),
		    error == -EADDRINUSE
			? "; another gpudom-seat runs here, and there can be one only"
			: "; may its directory be written to?");
		seat_manager_destroy(manager);
		return error;
	}
	*out = manager;
	return 0;
}

void seat_manager_destroy(struct seat_manager *manager)
{
	if (!manager)
		return;
	for (unsigned i = 0; i < SEAT_MANAGERS_MAX; i++)
		peer_destroy(manager->peers[i]);
	for (unsigned i = 0; i < SEAT_GUESTS_MAX; i++)
		seat_client_destroy(manager->clients[i]);
	sd_event_source_disable_unref(manager->source);
	if (manager->bound)
		unlink(manager->options.path);
	if (manager->fd >= 0)
		close(manager->fd);
	free(manager);
}
