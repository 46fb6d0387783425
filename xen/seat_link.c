/* SPDX-License-Identifier: MIT */
#include "xen/seat_link.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/seat_message.h"

/* A seat that refuses may be just about to listen. */
#define RETRY_FIRST_USEC 20000
#define RETRIES 8             /* each after twice as long */
#define LASTING_USEC 10000000 /* a connection that lived so long was a good one */

#define SENT_MAX 64   /* requests without their answers; more wait */
#define ASKED_MAX 256 /* requests in all but those that add */
#define FDS_MAX 4     /* more than any answer has */
#define DEPTH_MAX 12  /* of objects in an answer */

struct seat_request {
	struct seat_request *next;
	struct seat_link *link;
	char *text;
	int fd; /* that goes with it; -1: none */
	bool sent;
	uint64_t deadline_usec; /* CLOCK_MONOTONIC; 0: none */
	seat_link_done done;    /* NULL: nobody wants to know */
	void *data;
	/* Of one that adds: a later one for the same device takes its place. */
	bool adds;
	uint16_t domid;
	unsigned devid;
};

struct seat_link {
	struct seat_link_options options;
	struct sockaddr_un address;
	int fd; /* -1: not connected */
	uint64_t instance;
	uint64_t connected_usec; /* since when; CLOCK_MONOTONIC */
	unsigned tries;          /* in a row, that led to nothing lasting */
	sd_event_source *io, *directory, *retry, *deadline;
	/* In order: those that are sent, and the others. */
	struct seat_request *requests;
	unsigned sent, asked;
	bool late; /* a request of the list was given up */
	struct log_limit limit;
	char answer[SEAT_COMMAND_MAX + 1];
};

bool seat_link_is_connected(const struct seat_link *link)
{
	return link && link->fd >= 0;
}

bool seat_link_is_late(const struct seat_link *link)
{
	return link && link->late;
}

uint64_t seat_link_instance(const struct seat_link *link)
{
	return link ? link->instance : 0;
}

/* ------------------------------------------------------------------- requests */

static void seat_request_free(struct seat_request *request)
{
	if (request->fd >= 0)
		close(request->fd);
	free(request->text);
	free(request);
}

/* Out of the list. */
static void seat_link_unlink(struct seat_link *link, struct seat_request *request)
{
	struct seat_request **at = &link->requests;

	while (*at != request)
		at = &(*at)->next;
	*at = request->next;
	link->sent -= request->sent;
	link->asked -= !request->adds;
}

static void seat_link_drop(struct seat_link *link, struct seat_request *request)
{
	seat_link_unlink(link, request);
	seat_request_free(request);
}

void seat_link_cancel(struct seat_request *request)
{
	struct seat_link *link = request->link;

	request->done = NULL;
	request->deadline_usec = 0;
	if (request->sent)
		return; /* its answer comes */
	seat_link_drop(link, request);
}

static uint64_t seat_link_now(struct seat_link *link)
{
	uint64_t now = 0;

	sd_event_now(link->options.event, CLOCK_MONOTONIC, &now);
	return now;
}

/* All have as much time: the first one's ends first. */
static void seat_link_arm(struct seat_link *link)
{
	const struct seat_request *request = link->requests;

	while (request && !request->deadline_usec)
		request = request->next;
	if (request)
		sd_event_source_set_time(link->deadline, request->deadline_usec);
	sd_event_source_set_enabled(link->deadline, request ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int seat_link_overdue(sd_event_source *source, uint64_t usec, void *data)
{
	struct seat_link *link = data;
	struct seat_request *request = link->requests;
	seat_link_done done;
	void *done_data;

	while (request && !request->deadline_usec)
		request = request->next;
	if (request) {
		done = request->done;
		done_data = request->data;
		link->late = true;
		seat_link_cancel(request);
		done(done_data, -ETIMEDOUT, NULL, -1);
	}
	seat_link_arm(link);
	return 0;
}

/* ------------------------------------------------------------------- connecting */

static void seat_link_close(struct seat_link *link)
{
	link->io = sd_event_source_disable_unref(link->io);
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->instance = 0;
	link->late = false;
}

static void seat_link_retry_later(struct seat_link *link)
{
	if (link->tries >= RETRIES) {
		log_debug("%s: not tried again until something happens", link->options.path);
		return;
	}
	sd_event_source_set_time_relative(link->retry, RETRY_FIRST_USEC << link->tries++);
	sd_event_source_set_enabled(link->retry, SD_EVENT_ONESHOT);
}

/* What was added is added anew to the next seat. */
static void seat_link_forget_adds(struct seat_link *link)
{
	struct seat_request *request, *next;

	for (request = link->requests; request; request = next) {
		next = request->next;
		if (!request->adds)
			continue;
		link->options.unsure(link->options.data, request->domid, request->devid);
		seat_link_unlink(link, request);
		seat_request_free(request);
	}
}

/* Those that people wait for hear of it. They may ask again at once, and find another seat, whose
 * requests are not these. */
static void seat_link_fail_all(struct seat_link *link)
{
	struct seat_request *request, *lost = link->requests;

	link->requests = NULL;
	link->sent = link->asked = 0;
	for (request = lost; request; request = request->next)
		request->sent = true; /* seat_link_cancel() leaves it to us */
	while ((request = lost)) {
		lost = request->next;
		if (request->done)
			request->done(request->data, -ENOTCONN, NULL, -1);
		seat_request_free(request);
	}
}

static void seat_link_lose(struct seat_link *link, const char *why)
{
	log_guest(&link->limit,
	    "%s: the seat %s: guests go on, and are shown again when it is back",
	    link->options.path, why);
	if (seat_link_now(link) - link->connected_usec > LASTING_USEC)
		link->tries = 0;
	seat_link_close(link);
	seat_link_forget_adds(link);
	seat_link_fail_all(link);
	seat_link_arm(link);
	if (link->fd < 0)
		seat_link_retry_later(link);
}

/* FNV-1a of its process, and of its socket, which each seat makes anew. */
static uint64_t seat_link_identify(const struct seat_link *link)
{
	struct ucred peer = { 0 };
	socklen_t length = sizeof(peer);
	uint64_t parts[4] = { 0 }, hash = UINT64_C(14695981039346656037);
	struct stat file;

	if (getsockopt(link->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
		parts[0] = (uint64_t)peer.pid;
	if (stat(link->options.path, &file) == 0) {
		parts[1] = file.st_ino;
		parts[2] = (uint64_t)file.st_ctim.tv_sec;
		parts[3] = (uint64_t)file.st_ctim.tv_nsec;
	}
	for (unsigned i = 0; i < sizeof(parts); i++)
		hash = (hash ^ ((const uint8_t *)parts)[i]) * UINT64_C(1099511628211);
	return hash ? hash : 1;
}

static int seat_link_io(sd_event_source *source, int fd, uint32_t events, void *data);

/* Without waiting. -errno: there is none, or not yet. */
static int seat_link_connect(struct seat_link *link)
{
	int error;

	link->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (link->fd < 0)
		return -errno;
	if (connect(link->fd, (const struct sockaddr *)&link->address, sizeof(link->address)) < 0)
		error = -errno;
	else
		error = sd_event_add_io(
		    link->options.event, &link->io, link->fd, EPOLLIN, seat_link_io, link);
	if (error < 0) {
		seat_link_close(link);
		return error;
	}
	link->instance = seat_link_identify(link);
	link->connected_usec = seat_link_now(link);
	if (log_limit_allow(&link->limit))
		log_info(
		    "%s: the seat is there: guests are shown on its outputs", link->options.path);
	return 0;
}

/* False: it is not there. */
static bool seat_link_reach(struct seat_link *link)
{
	int error = seat_link_connect(link);

	if (!error)
		return true;
	if (error != -ENOENT)
		log_debug("%s: %s", link->options.path, strerror(-error));
	/* It will be heard of when it comes; one that has a socket may be about to listen. */
	if (error == -ECONNREFUSED || error == -EAGAIN)
		seat_link_retry_later(link);
	else if (error != -ENOENT)
		log_guest(&link->limit, "cannot connect to the seat at %s: %s", link->options.path,
		    strerror(-error));
	return false;
}

static void seat_link_look(struct seat_link *link)
{
	if (link->fd >= 0)
		return;
	sd_event_source_set_enabled(link->retry, SD_EVENT_OFF);
	if (seat_link_reach(link))
		link->options.connected(link->options.data);
}

void seat_link_try(struct seat_link *link)
{
	if (!link || link->fd >= 0)
		return;
	link->tries = 0;
	seat_link_look(link);
}

static int seat_link_retry(sd_event_source *source, uint64_t usec, void *data)
{
	seat_link_look(data);
	return 0;
}

/* Something of our name has come, or can be used now. */
static int seat_link_directory(
    sd_event_source *source, const struct inotify_event *event, void *data)
{
	struct seat_link *link = data;
	const char *slash = strrchr(link->options.path, '/');

	if (event->len && !strcmp(event->name, slash ? slash + 1 : link->options.path))
		seat_link_try(link);
	return 0;
}

/* ------------------------------------------------------------------- sending */

static int seat_request_send(struct seat_link *link, struct seat_request *request)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec piece = { request->text, strlen(request->text) };
	struct msghdr packet = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (request->fd >= 0) {
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &request->fd, sizeof(int));
	}
	if (sendmsg(link->fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	request->sent = true;
	link->sent++;
	if (request->fd >= 0)
		close(request->fd);
	request->fd = -1;
	return 0;
}

/* As much as it takes. One that has hung up is noticed by seat_link_io(). */
static void seat_link_pump(struct seat_link *link)
{
	struct seat_request *request = link->requests;
	int error = 0;

	while (request && request->sent)
		request = request->next;
	while (request && !error && link->sent < SENT_MAX) {
		error = seat_request_send(link, request);
		if (!error)
			request = request->next;
	}
	sd_event_source_set_io_events(
	    link->io, EPOLLIN | (error == -EAGAIN ? (uint32_t)EPOLLOUT : 0));
}

/* Takes @command and @fd over. NULL without memory. */
static struct seat_request *seat_link_queue(
    struct seat_link *link, struct json_object *command, int fd, bool adds)
{
	struct seat_request *request = calloc(1, sizeof(*request)), **end = &link->requests;
	const char *text = json_object_to_json_string_ext(
	    command, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (request)
		request->text = text ? strdup(text) : NULL;
	json_object_put(command);
	if (!request || !request->text) {
		free(request);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	request->link = link;
	request->fd = fd;
	request->adds = adds;
	link->asked += !adds;
	while (*end)
		end = &(*end)->next;
	*end = request;
	return request;
}

int seat_link_ask(struct seat_link *link, struct json_object *command, int fd, seat_link_done done,
    void *data, struct seat_request **out)
{
	struct seat_request *request = NULL;
	int error = 0;

	if (!seat_link_is_connected(link))
		error = -ENOTCONN;
	else if (link->asked >= ASKED_MAX)
		error = -EBUSY;
	if (error) {
		json_object_put(command);
		if (fd >= 0)
			close(fd);
		return error;
	}
	request = seat_link_queue(link, command, fd, false);
	if (!request)
		return -ENOMEM;
	request->done = done;
	request->data = data;
	if (done)
		request->deadline_usec = seat_link_now(link) + link->options.answer_usec;
	if (out)
		*out = request;
	seat_link_pump(link);
	seat_link_arm(link);
	return 0;
}

int seat_link_add(struct seat_link *link, const struct seat_device *device, int fd)
{
	struct seat_request *request, *next;
	struct json_object *command;

	if (!seat_link_is_connected(link)) {
		close(fd);
		return -ENOTCONN;
	}
	/* A seat that reads nothing holds no more than one socket of a device. */
	for (request = link->requests; request; request = next) {
		next = request->next;
		if (request->adds && !request->sent && request->domid == device->domid &&
		    request->devid == device->devid)
			seat_link_drop(link, request);
	}
	command = json_object_new_object();
	json_object_object_add(command, "command", json_object_new_string("add"));
	json_object_object_add(command, "guest", json_object_new_string(device->guest));
	json_object_object_add(command, "domain", json_object_new_int(device->domid));
	json_object_object_add(command, "device", json_object_new_int64(device->devid));
	json_object_object_add(command, "kind", json_object_new_string(device->kind));
	request = seat_link_queue(link, command, fd, true);
	if (!request)
		return -ENOMEM;
	request->domid = device->domid;
	request->devid = device->devid;
	seat_link_pump(link);
	return 0;
}

void seat_link_remove(struct seat_link *link, const char *guest)
{
	struct json_object *command = json_object_new_object();

	json_object_object_add(command, "command", json_object_new_string("remove"));
	json_object_object_add(command, "guest", json_object_new_string(guest));
	seat_link_ask(link, command, -1, NULL, NULL, NULL);
}

/* ------------------------------------------------------------------- answers */

/* One packet: its length, and *@fd (-1: none came with it). -errno; -EPROTO: too long. */
static ssize_t seat_link_receive(struct seat_link *link, int *fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec piece = { link->answer, SEAT_COMMAND_MAX };
	struct msghdr packet = { .msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(link->fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&packet); c; c = CMSG_NXTHDR(&packet, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int received;

			memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*fd >= 0)
				close(received);
			else
				*fd = received;
		}
	}
	return packet.msg_flags & MSG_TRUNC ? -EPROTO : n;
}

/* An object with a boolean "ok"; NULL: it is none. */
static struct json_object *seat_link_parse(struct seat_link *link, size_t length, bool *ok)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *answer, *member;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	link->answer[length] = '\0';
	answer = json_tokener_parse_ex(tokener, link->answer, (int)length + 1);
	if (json_tokener_get_error(tokener) == json_tokener_success && answer &&
	    json_object_is_type(answer, json_type_object) &&
	    json_object_object_get_ex(answer, "ok", &member) &&
	    json_object_is_type(member, json_type_boolean)) {
		*ok = json_object_get_boolean(member);
	} else {
		json_object_put(answer);
		answer = NULL;
	}
	json_tokener_free(tokener);
	return answer;
}

/* Of what nobody waits for, the log has it. */
static void seat_link_complain(
    struct seat_link *link, const struct seat_request *request, struct json_object *answer)
{
	const char *why = "it does not say why";
	struct json_object *member;

	if (json_object_object_get_ex(answer, "error", &member) &&
	    json_object_is_type(member, json_type_string))
		why = json_object_get_string(member);
	if (request->adds)
		log_guest(&link->limit, "domain %u, virtio device %u: the seat refuses it: %.200s",
		    request->domid, request->devid, why);
	else
		log_guest(&link->limit, "the seat refuses what was asked of it: %.200s", why);
}

/* The answer to the oldest request. -EPROTO: it is none. */
static int seat_link_take(struct seat_link *link, size_t length, int fd)
{
	struct seat_request *request = link->requests;
	struct json_object *answer;
	bool ok = false;

	if (!request || !request->sent)
		return -EPROTO;
	answer = seat_link_parse(link, length, &ok);
	if (!answer)
		return -EPROTO;
	seat_link_unlink(link, request);
	seat_link_arm(link);
	link->late = false;
	if (request->done) {
		request->done(request->data, ok ? 0 : -EREMOTEIO, answer, fd);
	} else {
		if (fd >= 0)
			close(fd);
		if (!ok)
			seat_link_complain(link, request, answer);
	}
	seat_request_free(request);
	json_object_put(answer);
	return 0;
}

static int seat_link_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct seat_link *link = data;
	int passed = -1, error = 0;
	ssize_t n;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		n = seat_link_receive(link, &passed);
		if (n > 0)
			error = seat_link_take(link, (size_t)n, passed);
		else if (n != -EAGAIN && n != -EINTR)
			error = n ? (int)n : -ECONNRESET;
		/* Also what came with an empty packet */
		if ((error || n <= 0) && passed >= 0)
			close(passed);
		if (error) {
			seat_link_lose(
			    link, error == -ECONNRESET ? "has gone" : "says what makes no sense");
			return 0;
		}
	}
	if (link->fd >= 0)
		seat_link_pump(link);
	return 0;
}

/* ------------------------------------------------------------------- life time */

/* Where its directory is not there, nobody tells of a seat that comes. */
static void seat_link_watch_directory(struct seat_link *link)
{
	char path[sizeof(link->address.sun_path)];
	char *slash;
	int error;

	snprintf(path, sizeof(path), "%s", link->options.path);
	slash = strrchr(path, '/');
	if (slash)
		slash[slash == path] = '\0';
	error = sd_event_add_inotify(link->options.event, &link->directory, slash ? path : ".",
	    IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR, seat_link_directory, link);
	if (error < 0)
		log_warning("cannot watch %s: %s; a seat that starts later is noticed when it is "
			    "next needed",
		    path, strerror(-error));
}

static int seat_link_watch(struct seat_link *link)
{
	sd_event *event = link->options.event;
	int error = sd_event_add_time_relative(
	    event, &link->retry, CLOCK_MONOTONIC, 0, 0, seat_link_retry, link);

	if (error >= 0)
		error = sd_event_source_set_enabled(link->retry, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_time_relative(
		    event, &link->deadline, CLOCK_MONOTONIC, 0, 0, seat_link_overdue, link);
	if (error >= 0)
		error = sd_event_source_set_enabled(link->deadline, SD_EVENT_OFF);
	return error < 0 ? error : 0;
}

int seat_link_create(const struct seat_link_options *options, struct seat_link **out)
{
	struct seat_link *link = calloc(1, sizeof(*link));
	int error;

	if (!link)
		return -ENOMEM;
	link->options = *options;
	sd_event_ref(options->event);
	if (!link->options.answer_usec)
		link->options.answer_usec = SEAT_LINK_ANSWER_USEC;
	link->fd = -1;
	link->address.sun_family = AF_UNIX;
	error = strlen(options->path) < sizeof(link->address.sun_path) ? 0 : -ENAMETOOLONG;
	if (!error) {
		memcpy(link->address.sun_path, options->path, strlen(options->path));
		error = seat_link_watch(link);
	}
	if (error) {
		log_error("cannot connect to the seat at %s: %s", options->path, strerror(-error));
		seat_link_destroy(link);
		return error;
	}
	/* In this order: what comes in between is seen twice. */
	seat_link_watch_directory(link);
	seat_link_reach(link);
	*out = link;
	return 0;
}

void seat_link_destroy(struct seat_link *link)
{
	if (!link)
		return;
	seat_link_close(link);
	while (link->requests) {
		struct seat_request *request = link->requests;

		link->requests = request->next;
		seat_request_free(request);
	}
	sd_event_source_disable_unref(link->directory);
	sd_event_source_disable_unref(link->retry);
	sd_event_source_disable_unref(link->deadline);
	sd_event_unref(link->options.event);
	free(link);
}
