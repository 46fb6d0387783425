/* SPDX-License-Identifier: MIT */
#include "tests/xen/fake_xenstore.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenstore.h>

#include "tests/xen/fake_xen.h"

#define PATH_BYTES 160
#define NODES 512
#define CONNECTIONS 4
#define WATCHES 64
#define EVENTS 1024 /* that wait at a time */
#define HOME "/local/domain/1/"

struct fake_node {
	bool used;
	char path[PATH_BYTES];
	size_t size;
	char value[FAKE_XENSTORE_VALUE_MAX + 1];
};

struct fake_connection {
	pid_t pid; /* 0: free */
	bool lost; /* xenstored has ended */
	int write_fd;
	struct {
		bool used;
		char path[PATH_BYTES];
	} watches[WATCHES];
	char events[EVENTS][PATH_BYTES];
	unsigned first, count; /* of the events */
};

struct xs_handle {
	struct fake_connection *connection;
	int fd; /* readable while there are events */
};

static struct fake_store {
	struct fake_node nodes[NODES];
	struct fake_connection connections[CONNECTIONS];
	bool names;
	char denied[PATH_BYTES];
	struct {
		unsigned calls, first, times;
		int error;
	} calls[FAKE_XENSTORE_CALL_COUNT];
} * store;

/* ----------------------------------------------------------------- life time */

void fake_xenstore_finish(void)
{
	if (!store)
		return;
	for (unsigned i = 0; i < CONNECTIONS; i++)
		close(store->connections[i].write_fd);
	munmap(store, sizeof(*store));
	store = NULL;
}

void fake_xenstore_reset(void)
{
	fake_xenstore_finish();
	store =
	    mmap(NULL, sizeof(*store), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(store != MAP_FAILED);
	store->names = true;
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		int fds[2];

		assert(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
		close(fds[0]);
		store->connections[i].write_fd = fds[1];
	}
}

/* ------------------------------------------------------------------- faults */

void fake_xenstore_fail(enum fake_xenstore_call call, unsigned nth, unsigned times, int error)
{
	store->calls[call].first = store->calls[call].calls + nth;
	store->calls[call].times = times;
	store->calls[call].error = error;
}

void fake_xenstore_heal(void)
{
	for (unsigned i = 0; i < FAKE_XENSTORE_CALL_COUNT; i++)
		store->calls[i].error = 0;
}

unsigned fake_xenstore_calls(enum fake_xenstore_call call)
{
	return store->calls[call].calls;
}

void fake_xenstore_disconnect(void)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct fake_connection *connection = &store->connections[i];

		connection->lost = true;
		connection->count = 0;
		memset(connection->watches, 0, sizeof(connection->watches));
	}
}

void fake_xenstore_allow_names(bool allow)
{
	store->names = allow;
}

void fake_xenstore_deny(const char *path)
{
	snprintf(store->denied, sizeof(store->denied), "%s", path ? path : "");
}

/* The error that the call must fail with. Locks; fake_leave() unlocks. */
static int fake_enter(enum fake_xenstore_call call, const struct xs_handle *xs)
{
	unsigned n;

	fake_xen_lock();
	n = ++store->calls[call].calls;
	if (xs && xs->connection->lost)
		return call == FAKE_XENSTORE_CHECK_WATCH ? EINVAL : EBADF;
	return store->calls[call].error && n >= store->calls[call].first &&
		       n - store->calls[call].first < store->calls[call].times
		   ? store->calls[call].error
		   : 0;
}

static bool fake_leave(int error)
{
	fake_xen_unlock();
	errno = error;
	return !error;
}

/* --------------------------------------------------------------------- nodes */

static const char *absolute(const char *path, char *buffer)
{
	if (path[0] == '/' || path[0] == '@')
		return path;
	snprintf(buffer, PATH_BYTES, "%s%s", HOME, path);
	return buffer;
}

static bool is_below(const char *path, const char *parent)
{
	size_t n = strlen(parent);

	return !strncmp(path, parent, n) && (!path[n] || path[n] == '/');
}

/* By default only dom0 and the guest may read a guest's name. */
static bool is_secret(const char *path)
{
	if (store->denied[0] && is_below(path, store->denied))
		return true;
	return !store->names && !is_below(path, "/local/domain/1") && strlen(path) > 5 &&
	       !strcmp(path + strlen(path) - 5, "/name");
}

static struct fake_node *find(const char *path)
{
	for (unsigned i = 0; i < NODES; i++)
		if (store->nodes[i].used && !strcmp(store->nodes[i].path, path))
			return &store->nodes[i];
	return NULL;
}

/* Its process may have been killed. */
static bool is_open(const struct fake_connection *connection)
{
	struct pollfd readers = { .fd = connection->write_fd };

	return connection->pid && !connection->lost && poll(&readers, 1, 0) == 0;
}

static void push(struct fake_connection *connection, const char *path)
{
	assert(connection->count < EVENTS);
	snprintf(connection->events[(connection->first + connection->count++) % EVENTS], PATH_BYTES,
	    "%s", path);
	if (connection->count == 1)
		assert(write(connection->write_fd, "", 1) == 1);
}

void fake_xenstore_fire(const char *path)
{
	fake_xen_lock();
	for (unsigned i = 0; i < CONNECTIONS && !is_secret(path); i++) {
		struct fake_connection *connection = &store->connections[i];

		for (unsigned k = 0; is_open(connection) && k < WATCHES; k++)
			if (connection->watches[k].used &&
			    is_below(path, connection->watches[k].path))
				push(connection, path);
	}
	fake_xen_unlock();
}

void fake_xenstore_write_bytes(const char *path, const void *value, size_t size)
{
	struct fake_node *node;

	assert(strlen(path) < PATH_BYTES && size <= FAKE_XENSTORE_VALUE_MAX);
	fake_xen_lock();
	node = find(path);
	for (unsigned i = 0; !node && i < NODES; i++)
		if (!store->nodes[i].used)
			node = &store->nodes[i];
	assert(node);
	node->used = true;
	snprintf(node->path, sizeof(node->path), "%s", path);
	memcpy(node->value, value, size);
	node->value[size] = '\0';
	node->size = size;
	fake_xenstore_fire(path);
	fake_xen_unlock();
}

void fake_xenstore_write(const char *path, const char *value)
{
	fake_xenstore_write_bytes(path, value, strlen(value));
}

const char *fake_xenstore_read(const char *path)
{
	const struct fake_node *node = find(path);

	return node ? node->value : NULL;
}

void fake_xenstore_remove(const char *path)
{
	fake_xen_lock();
	for (unsigned i = 0; i < NODES; i++)
		if (store->nodes[i].used && is_below(store->nodes[i].path, path))
			store->nodes[i].used = false;
	fake_xenstore_fire(path);
	fake_xen_unlock();
}

unsigned fake_xenstore_count(const char *path)
{
	unsigned count = 0;

	for (unsigned i = 0; i < NODES; i++)
		count += store->nodes[i].used && is_below(store->nodes[i].path, path);
	return count;
}

/* ---------------------------------------------------------------- connections */

struct xs_handle *xs_open(unsigned long flags)
{
	struct xs_handle *xs = NULL;
	char path[64], old[64];
	unsigned i = 0;
	int error = fake_enter(FAKE_XENSTORE_OPEN, NULL);

	if (error)
		goto out;
	while (
	    i < CONNECTIONS && store->connections[i].pid && kill(store->connections[i].pid, 0) == 0)
		i++;
	assert(i < CONNECTIONS);
	xs = malloc(sizeof(*xs));
	xs->connection = &store->connections[i];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", xs->connection->write_fd);
	xs->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	assert(xs->fd >= 0);
	while (read(xs->fd, old, sizeof(old)) > 0)
		;
	xs->connection->pid = getpid();
	xs->connection->lost = false;
	xs->connection->first = xs->connection->count = 0;
	memset(xs->connection->watches, 0, sizeof(xs->connection->watches));
out:
	fake_leave(error);
	return xs;
}

void xs_close(struct xs_handle *xs)
{
	fake_xen_lock();
	xs->connection->pid = 0;
	close(xs->fd);
	free(xs);
	fake_xen_unlock();
}

int xs_fileno(struct xs_handle *xs)
{
	return xs->fd;
}

unsigned fake_xenstore_watches(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < CONNECTIONS; i++)
		for (unsigned k = 0; store->connections[i].pid && k < WATCHES; k++)
			count += store->connections[i].watches[k].used;
	return count;
}

bool xs_watch(struct xs_handle *xs, const char *path, const char *token)
{
	char buffer[PATH_BYTES];
	unsigned i = 0;
	int error = fake_enter(FAKE_XENSTORE_WATCH, xs);

	if (error)
		return fake_leave(error);
	path = absolute(path, buffer);
	for (unsigned k = 0; k < WATCHES; k++)
		if (xs->connection->watches[k].used &&
		    !strcmp(xs->connection->watches[k].path, path))
			return fake_leave(EEXIST); /* the token is always the same */
	while (i < WATCHES && xs->connection->watches[i].used)
		i++;
	assert(i < WATCHES && strlen(path) < PATH_BYTES);
	xs->connection->watches[i].used = true;
	snprintf(xs->connection->watches[i].path, PATH_BYTES, "%s", path);
	push(xs->connection, path); /* each watch fires at once */
	return fake_leave(0);
}

bool xs_unwatch(struct xs_handle *xs, const char *path, const char *token)
{
	char buffer[PATH_BYTES];
	int error = fake_enter(FAKE_XENSTORE_UNWATCH, xs);

	if (error)
		return fake_leave(error);
	path = absolute(path, buffer);
	for (unsigned i = 0; i < WATCHES; i++)
		if (xs->connection->watches[i].used &&
		    !strcmp(xs->connection->watches[i].path, path)) {
			xs->connection->watches[i].used = false;
			return fake_leave(0);
		}
	return fake_leave(ENOENT);
}

char **xs_check_watch(struct xs_handle *xs)
{
	struct fake_connection *connection = xs->connection;
	char **result = NULL, *path, byte;
	int error = fake_enter(FAKE_XENSTORE_CHECK_WATCH, xs);

	if (!error && !connection->count)
		error = EAGAIN;
	if (!error) {
		path = connection->events[connection->first];
		result = malloc(2 * sizeof(char *) + strlen(path) + 2);
		result[0] = (char *)&result[2];
		result[1] = stpcpy(result[0], path) + 1;
		result[1][0] = '\0';
		connection->first = (connection->first + 1) % EVENTS;
		if (--connection->count == 0)
			(void)!read(xs->fd, &byte, 1);
	}
	fake_leave(error);
	return result;
}

/* ----------------------------------------------------------------------- calls */

void *xs_read(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *length)
{
	char buffer[PATH_BYTES], *value = NULL;
	const struct fake_node *node = NULL;
	int error = fake_enter(FAKE_XENSTORE_READ, xs);

	path = absolute(path, buffer);
	if (!error && is_secret(path))
		error = EACCES;
	if (!error && !(node = find(path)))
		error = ENOENT;
	if (!error) {
		/* libxenstore adds a NUL, which does not count. */
		value = malloc(node->size + 1);
		memcpy(value, node->value, node->size + 1);
		*length = (unsigned)node->size;
	}
	fake_leave(error);
	return value;
}

bool xs_write(
    struct xs_handle *xs, xs_transaction_t t, const char *path, const void *data, unsigned length)
{
	char buffer[PATH_BYTES];
	int error = fake_enter(FAKE_XENSTORE_WRITE, xs);

	path = absolute(path, buffer);
	if (!error && is_secret(path))
		error = EACCES;
	if (!error)
		fake_xenstore_write_bytes(path, data, length);
	return fake_leave(error);
}

bool xs_rm(struct xs_handle *xs, xs_transaction_t t, const char *path)
{
	char buffer[PATH_BYTES];
	int error = fake_enter(FAKE_XENSTORE_RM, xs);

	path = absolute(path, buffer);
	if (!error && is_secret(path))
		error = EACCES;
	if (!error && !fake_xenstore_count(path))
		error = ENOENT;
	if (!error)
		fake_xenstore_remove(path);
	return fake_leave(error);
}

/* Names of what is directly below @path, each once; their number and the bytes that they need. */
static unsigned children(const char *path, char **names, size_t *size)
{
	unsigned n = 0;

	*size = 0;
	for (unsigned i = 0; i < NODES; i++) {
		const struct fake_node *node = &store->nodes[i];
		const char *name;
		unsigned k = 0;

		if (!node->used || !is_below(node->path, path) ||
		    strlen(node->path) <= strlen(path))
			continue;
		name = node->path + strlen(path) + 1;
		names[n] = strndup(name, strcspn(name, "/"));
		while (k < n && strcmp(names[k], names[n]) != 0)
			k++;
		if (k < n)
			free(names[n]);
		else
			*size += strlen(names[n++]) + 1;
	}
	return n;
}

char **xs_directory(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *count)
{
	char buffer[PATH_BYTES], *names[NODES], **result = NULL, *to;
	size_t size;
	unsigned n = 0;
	int error = fake_enter(FAKE_XENSTORE_DIRECTORY, xs);

	path = absolute(path, buffer);
	if (!error && is_secret(path))
		error = EACCES;
	if (!error && !fake_xenstore_count(path))
		error = ENOENT;
	if (!error) {
		n = children(path, names, &size);
		result = malloc(n * sizeof(char *) + size + 1);
		to = (char *)&result[n];
		for (unsigned i = 0; i < n; i++) {
			result[i] = to;
			to = stpcpy(to, names[i]) + 1;
			free(names[i]);
		}
	}
	*count = n;
	fake_leave(error);
	return result;
}
