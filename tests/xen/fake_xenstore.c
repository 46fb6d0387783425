/* SPDX-License-Identifier: MIT */
#include "tests/xen/fake_xenstore.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xenstore.h>

#define NODES 128
#define WATCHES 16
#define EVENTS 1024
#define HOME "/local/domain/1/"

static struct {
	char *path, *value;
} nodes[NODES];
static struct {
	char *path;
	bool used;
} watches[WATCHES];
static char *events[EVENTS];
static unsigned event_count;
static int event_fd = -1;

int fake_xenstore_open_error;
bool fake_xenstore_names;
unsigned fake_xenstore_watches;

static const char *absolute(const char *path, char *buffer, size_t size)
{
	if (path[0] == '/' || path[0] == '@')
		return path;
	snprintf(buffer, size, "%s%s", HOME, path);
	return buffer;
}

static bool is_below(const char *path, const char *parent)
{
	size_t n = strlen(parent);

	return !strncmp(path, parent, n) && (!path[n] || path[n] == '/');
}

/* Only dom0 and the guest may read a guest's name. */
static bool is_secret(const char *path)
{
	return !fake_xenstore_names && !is_below(path, "/local/domain/1") && strlen(path) > 5 &&
	       !strcmp(path + strlen(path) - 5, "/name");
}

void fake_xenstore_fire(const char *path)
{
	if (is_secret(path))
		return;
	for (unsigned i = 0; i < WATCHES; i++) {
		if (!watches[i].used || !is_below(path, watches[i].path))
			continue;
		assert(event_count < EVENTS);
		events[event_count++] = strdup(path);
		eventfd_write(event_fd, 1);
	}
}

void fake_xenstore_reset(void)
{
	for (unsigned i = 0; i < NODES; i++) {
		free(nodes[i].path);
		free(nodes[i].value);
	}
	memset(nodes, 0, sizeof(nodes));
	for (unsigned i = 0; i < WATCHES; i++)
		free(watches[i].path);
	memset(watches, 0, sizeof(watches));
	while (event_count)
		free(events[--event_count]);
	fake_xenstore_open_error = 0;
	fake_xenstore_names = true;
	fake_xenstore_watches = 0;
}

void fake_xenstore_write(const char *path, const char *value)
{
	unsigned i, slot = NODES;

	for (i = 0; i < NODES; i++) {
		if (nodes[i].path && !strcmp(nodes[i].path, path))
			break;
		if (!nodes[i].path && slot == NODES)
			slot = i;
	}
	if (i == NODES) {
		assert(slot < NODES);
		i = slot;
		nodes[i].path = strdup(path);
	}
	free(nodes[i].value);
	nodes[i].value = strdup(value);
	fake_xenstore_fire(path);
}

const char *fake_xenstore_read(const char *path)
{
	for (unsigned i = 0; i < NODES; i++)
		if (nodes[i].path && !strcmp(nodes[i].path, path))
			return nodes[i].value;
	return NULL;
}

void fake_xenstore_remove(const char *path)
{
	for (unsigned i = 0; i < NODES; i++) {
		if (!nodes[i].path || !is_below(nodes[i].path, path))
			continue;
		free(nodes[i].path);
		free(nodes[i].value);
		nodes[i].path = nodes[i].value = NULL;
	}
	fake_xenstore_fire(path);
}

/* ----------------------------------------------------------------- libxenstore */

struct xs_handle *xs_open(unsigned long flags)
{
	errno = fake_xenstore_open_error;
	if (fake_xenstore_open_error)
		return NULL;
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return (struct xs_handle *)&event_fd;
}

void xs_close(struct xs_handle *xs)
{
	close(event_fd);
	event_fd = -1;
}

int xs_fileno(struct xs_handle *xs)
{
	return event_fd;
}

bool xs_watch(struct xs_handle *xs, const char *path, const char *token)
{
	char buffer[256];

	for (unsigned i = 0; i < WATCHES; i++) {
		if (watches[i].used)
			continue;
		watches[i].used = true;
		watches[i].path = strdup(absolute(path, buffer, sizeof(buffer)));
		fake_xenstore_watches++;
		fake_xenstore_fire(watches[i].path); /* each watch fires at once */
		return true;
	}
	errno = ENOSPC;
	return false;
}

bool xs_unwatch(struct xs_handle *xs, const char *path, const char *token)
{
	char buffer[256];

	path = absolute(path, buffer, sizeof(buffer));
	for (unsigned i = 0; i < WATCHES; i++) {
		if (!watches[i].used || strcmp(watches[i].path, path) != 0)
			continue;
		free(watches[i].path);
		watches[i].path = NULL;
		watches[i].used = false;
		fake_xenstore_watches--;
		return true;
	}
	errno = ENOENT;
	return false;
}

char **xs_check_watch(struct xs_handle *xs)
{
	eventfd_t count;
	size_t n;
	char **result;

	(void)eventfd_read(event_fd, &count);
	if (!event_count) {
		errno = EAGAIN;
		return NULL;
	}
	n = strlen(events[0]) + 1;
	result = malloc(2 * sizeof(char *) + n + 1);
	result[0] = (char *)&result[2];
	result[1] = result[0] + n;
	memcpy(result[0], events[0], n);
	result[1][0] = '\0';
	free(events[0]);
	memmove(events, events + 1, --event_count * sizeof(events[0]));
	if (event_count)
		eventfd_write(event_fd, 1);
	return result;
}

void *xs_read(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *length)
{
	char buffer[256];
	const char *value;

	path = absolute(path, buffer, sizeof(buffer));
	errno = EACCES;
	if (is_secret(path))
		return NULL;
	value = fake_xenstore_read(path);
	errno = ENOENT;
	if (!value)
		return NULL;
	*length = (unsigned)strlen(value);
	return strdup(value);
}

bool xs_write(
    struct xs_handle *xs, xs_transaction_t t, const char *path, const void *data, unsigned length)
{
	char buffer[256], value[256];

	snprintf(value, sizeof(value), "%.*s", (int)length, (const char *)data);
	fake_xenstore_write(absolute(path, buffer, sizeof(buffer)), value);
	return true;
}

bool xs_rm(struct xs_handle *xs, xs_transaction_t t, const char *path)
{
	char buffer[256];
	bool found = false;

	path = absolute(path, buffer, sizeof(buffer));
	for (unsigned i = 0; i < NODES; i++)
		found |= nodes[i].path && is_below(nodes[i].path, path);
	errno = ENOENT;
	if (found)
		fake_xenstore_remove(path);
	return found;
}

char **xs_directory(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *count)
{
	char buffer[256], *names[NODES], **result, *to;
	size_t size = 0;
	unsigned n = 0;

	path = absolute(path, buffer, sizeof(buffer));
	for (unsigned i = 0; i < NODES; i++) {
		const char *name;
		unsigned k;

		if (!nodes[i].path || !is_below(nodes[i].path, path) ||
		    strlen(nodes[i].path) <= strlen(path))
			continue;
		name = nodes[i].path + strlen(path) + 1;
		names[n] = strndup(name, strcspn(name, "/"));
		for (k = 0; k < n && strcmp(names[k], names[n]) != 0; k++)
			;
		if (k < n)
			free(names[n]);
		else
			size += strlen(names[n++]) + 1;
	}
	*count = n;
	errno = ENOENT;
	if (!n)
		return NULL;
	result = malloc(n * sizeof(char *) + size);
	to = (char *)&result[n];
	for (unsigned i = 0; i < n; i++) {
		result[i] = to;
		to = stpcpy(to, names[i]) + 1;
		free(names[i]);
	}
	return result;
}
