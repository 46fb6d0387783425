/* SPDX-License-Identifier: MIT */
#include "xen/control.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/control_private.h"

#define BACKLOG 16
/* So often in so long; without, a lack of descriptors would keep the loop awake. */
#define ACCEPTS_MAX 200
#define ACCEPTS_USEC 1000000

struct control {
	struct control_options options;
	int fd;
	bool bound;
	sd_event_source *source;
	struct control_client *clients[CONTROL_CLIENTS_MAX];
	struct log_limit limit;
};

static void control_client_closed(void *data, struct control_client *client)
{
	struct control *control = data;

	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (control->clients[i] == client)
			control->clients[i] = NULL;
	control_client_destroy(client);
}

/* It is told why, if that fits into its empty socket, which it does. */
static void control_turn_away(struct control *control, int fd)
{
	char *line = control_greet("busy", "there are too many connections already");

	log_guest(&control->limit, "more than %d connections to %s: a new one is turned away",
	    CONTROL_CLIENTS_MAX, control->options.path);
	if (line && send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("cannot turn a client away: %s", strerror(errno));
	free(line);
	close(fd);
}

static void control_take_in(struct control *control, int fd)
{
	const struct control_client_options options = {
		.event = control->options.event,
		.gpu_daemon = control->options.gpu_daemon,
		.stall_usec = control->options.stall_usec,
		.closed = control_client_closed,
		.data = control,
	};

	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (control->clients[i])
			continue;
		if (control_client_create(&options, fd, &control->clients[i]) < 0)
			close(fd);
		return;
	}
	control_turn_away(control, fd);
}

static int control_accept(sd_event_source *source, int listener, uint32_t events, void *data)
{
	struct control *control = data;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		control_take_in(control, fd);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		log_guest(&control->limit, "cannot accept a connection to %s: %s",
		    control->options.path, strerror(errno));
	return 0;
}

/* ---------------------------------------------------------------- the socket */

/* Only a socket is removed: a wrong --control= does no harm. */
static int control_remove_old(const char *path)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	return unlink(path) < 0 ? -errno : 0;
}

/* Who may not connect finds out from connect(2), that is, from the mode of the socket. */
static int control_bind(struct control *control)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = control->options.path;
	mode_t mask;
	int error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	error = control_remove_old(path);
	if (error)
		return error;
	mask = umask(0177);
	error = bind(control->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	control->bound = !error;
	return error;
}

/* Root always may. */
static int control_let_group_in(struct control *control)
{
	const char *wanted = control->options.group, *path = control->options.path;
	const struct group *group = getgrnam(wanted ? wanted : CONTROL_GROUP);

	if (!group && !wanted)
		return 0;
	if (!group) {
		log_warning(
		    "--control-group: there is no group '%s' (groupadd --system %s makes it); "
		    "only root can use gpudomctl",
		    wanted, wanted);
		return 0;
	}
	if (chown(path, (uid_t)-1, group->gr_gid) < 0) {
		log_warning("group %s cannot use gpudomctl: chown %s: %s", group->gr_name, path,
		    strerror(errno));
		return 0;
	}
	return chmod(path, 0660) < 0 ? -errno : 0;
}

static int control_listen(struct control *control)
{
	int error;

	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->fd < 0)
		return -errno;
	error = control_bind(control);
	if (!error)
		error = control_let_group_in(control);
	if (!error && listen(control->fd, BACKLOG) < 0)
		error = -errno;
	if (!error)
		error = sd_event_add_io(control->options.event, &control->source, control->fd,
		    EPOLLIN, control_accept, control);
	if (error < 0)
		return error;
	sd_event_source_set_ratelimit(control->source, ACCEPTS_USEC, ACCEPTS_MAX);
	return 0;
}

int control_create(const struct control_options *options, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	int error;

	if (!control)
		return -ENOMEM;
	control->options = *options;
	if (!control->options.stall_usec)
		control->options.stall_usec = CONTROL_STALL_USEC;
	error = control_listen(control);
	if (error) {
		log_warning("cannot listen at %s: %s; gpudomctl will not reach gpudomd (is there "
			    "another file, or may its directory not be written to?)",
		    options->path, strerror(-error));
		control_destroy(control);
		return error;
	}
	*out = control;
	return 0;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control_client_destroy(control->clients[i]);
	sd_event_source_disable_unref(control->source);
	if (control->bound)
		unlink(control->options.path);
	if (control->fd >= 0)
		close(control->fd);
	free(control);
}
