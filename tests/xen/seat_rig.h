/* SPDX-License-Identifier: MIT */
/* The manager's end of a seat, in the test: takes what gpudomd adds, and answers as the test likes.
 */
#ifndef GPUDOM_TESTS_XEN_SEAT_RIG_H
#define GPUDOM_TESTS_XEN_SEAT_RIG_H

#include <fcntl.h>
#include <json-c/json.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "backend/seat_message.h"
#include "tests/xen/daemon_rig.h"

#define FAKE_SEAT_ADDS 64

enum fake_seat_mood {
	SEAT_WELL,
	SEAT_REFUSES,
	SEAT_SILENT,   /* reads, and answers nothing */
	SEAT_DEAF,     /* does not read */
	SEAT_GARBAGE,  /* answers fake_seat.garbage */
	SEAT_HANGS_UP, /* when it is asked something */
};

struct fake_seat_add {
	char guest[64], kind[16];
	int domain, device, fd; /* -1: closed */
};

static struct fake_seat {
	char dir[32], path[48];
	struct rig *rig;
	int listener, fd; /* -1: none */
	sd_event_source *accept, *io;
	enum fake_seat_mood mood;
	const char *garbage;
	size_t garbage_size;
	unsigned garbage_fds; /* that come with it */
	const char *answer;   /* to all but what adds; NULL: {"ok":true} */
	int answer_fd;        /* that goes with it; -1: none */
	unsigned connections, commands;
	struct fake_seat_add adds[FAKE_SEAT_ADDS];
	unsigned add_count;
	char last[4096]; /* command but one that adds */
	int last_fd;
} fake_seat;

static inline void fake_seat_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void fake_seat_send(const char *text, size_t size, int fd, unsigned fds)
{
	char ancillary[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec piece = { (void *)text, size };
	struct msghdr packet = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (fds) {
		struct cmsghdr *header = (struct cmsghdr *)ancillary;

		packet.msg_control = ancillary;
		packet.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		header->cmsg_len = CMSG_LEN(fds * sizeof(int));
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		for (unsigned i = 0; i < fds; i++)
			memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(int));
	}
	sendmsg(fake_seat.fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static inline const char *fake_seat_member(struct json_object *object, const char *name)
{
	const char *text = json_object_get_string(json_object_object_get(object, name));

	return text ? text : "";
}

static inline void fake_seat_hang_up(void)
{
	fake_seat.io = sd_event_source_disable_unref(fake_seat.io);
	fake_seat_close(&fake_seat.fd);
}

static inline void fake_seat_take(struct json_object *object, const char *text, int fd)
{
	struct fake_seat_add *add = &fake_seat.adds[fake_seat.add_count % FAKE_SEAT_ADDS];

	if (strcmp(fake_seat_member(object, "command"), "add") != 0) {
		snprintf(fake_seat.last, sizeof(fake_seat.last), "%s", text);
		fake_seat_close(&fake_seat.last_fd);
		fake_seat.last_fd = fd;
		return;
	}
	assert_true(fd >= 0);
	fake_seat_close(&add->fd);
	snprintf(add->guest, sizeof(add->guest), "%s", fake_seat_member(object, "guest"));
	snprintf(add->kind, sizeof(add->kind), "%s", fake_seat_member(object, "kind"));
	add->domain = json_object_get_int(json_object_object_get(object, "domain"));
	add->device = json_object_get_int(json_object_object_get(object, "device"));
	add->fd = fd;
	fake_seat.add_count++;
}

static inline int fake_seat_readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	char ancillary[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	char text[4096], *end;
	struct iovec piece = { text, sizeof(text) - 1 };
	struct msghdr packet = { .msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = ancillary,
		.msg_controllen = sizeof(ancillary) };
	struct json_object *object;
	int passed = -1;
	ssize_t n;

	n = recvmsg(fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0) {
		fake_seat_hang_up();
		return 0;
	}
	text[n] = '\0';
	if (CMSG_FIRSTHDR(&packet))
		memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&packet)), sizeof(int));
	object = json_tokener_parse(text);
	assert_true(json_object_is_type(object, json_type_object));
	fake_seat.commands++;
	fake_seat_take(object, text, passed);
	end = (char *)fake_seat.answer;
	if (fake_seat.mood == SEAT_WELL && end &&
	    strcmp(fake_seat_member(object, "command"), "add") != 0)
		fake_seat_send(end, strlen(end), fake_seat.answer_fd, fake_seat.answer_fd >= 0);
	else if (fake_seat.mood == SEAT_WELL)
		fake_seat_send("{\"ok\":true}", 11, -1, 0);
	else if (fake_seat.mood == SEAT_REFUSES)
		fake_seat_send("{\"ok\":false,\"error\":\"not today\"}", 32, -1, 0);
	else if (fake_seat.mood == SEAT_GARBAGE)
		fake_seat_send(fake_seat.garbage, fake_seat.garbage_size, 0, fake_seat.garbage_fds);
	else if (fake_seat.mood == SEAT_HANGS_UP)
		fake_seat_hang_up();
	json_object_put(object);
	return 0;
}

static inline int fake_seat_accept(sd_event_source *source, int fd, uint32_t events, void *data)
{
	fake_seat_hang_up();
	fake_seat.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fake_seat.fd >= 0);
	fake_seat.connections++;
	if (fake_seat.mood == SEAT_DEAF)
		return 0;
	assert_true(sd_event_add_io(fake_seat.rig->event, &fake_seat.io, fake_seat.fd, EPOLLIN,
			fake_seat_readable, NULL) >= 0);
	return 0;
}

static inline void fake_seat_bind(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fake_seat.path);
	unlink(fake_seat.path);
	fake_seat.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fake_seat.listener >= 0);
	assert_int_equal(bind(fake_seat.listener, (struct sockaddr *)&address, sizeof(address)), 0);
}

static inline void fake_seat_listen(void)
{
	assert_int_equal(listen(fake_seat.listener, 8), 0);
	assert_true(sd_event_add_io(fake_seat.rig->event, &fake_seat.accept, fake_seat.listener,
			EPOLLIN, fake_seat_accept, NULL) >= 0);
}

/* As a new process would. */
static inline void fake_seat_start(void)
{
	fake_seat_bind();
	fake_seat_listen();
}

/* As if it were killed: its socket's name stays. */
static inline void fake_seat_die(void)
{
	fake_seat_hang_up();
	fake_seat.accept = sd_event_source_disable_unref(fake_seat.accept);
	fake_seat_close(&fake_seat.listener);
	for (unsigned i = 0; i < FAKE_SEAT_ADDS; i++)
		fake_seat_close(&fake_seat.adds[i].fd);
	fake_seat_close(&fake_seat.last_fd);
	fake_seat.add_count = 0;
}

/* In a child of the test. */
static inline void fake_seat_forget(void)
{
	fake_seat_close(&fake_seat.fd);
	fake_seat_close(&fake_seat.listener);
	for (unsigned i = 0; i < FAKE_SEAT_ADDS; i++)
		fake_seat_close(&fake_seat.adds[i].fd);
}

/* It is not there yet. */
static inline void fake_seat_init(struct rig *rig)
{
	fake_seat = (struct fake_seat){
		.rig = rig, .listener = -1, .fd = -1, .last_fd = -1, .answer_fd = -1
	};
	for (unsigned i = 0; i < FAKE_SEAT_ADDS; i++)
		fake_seat.adds[i].fd = -1;
	snprintf(fake_seat.dir, sizeof(fake_seat.dir), "/tmp/gpudom-seat-XXXXXX");
	assert_non_null(mkdtemp(fake_seat.dir));
	snprintf(fake_seat.path, sizeof(fake_seat.path), "%s/seat", fake_seat.dir);
	rig->options.seat_path = fake_seat.path;
}

static inline void fake_seat_finish(void)
{
	fake_seat_die();
	unlink(fake_seat.path);
	assert_int_equal(rmdir(fake_seat.dir), 0);
}

/* The last socket of a device that came; NULL: none did. */
static inline struct fake_seat_add *fake_seat_find(int device)
{
	for (unsigned i = fake_seat.add_count; i--;)
		if (fake_seat.adds[i % FAKE_SEAT_ADDS].device == device)
			return &fake_seat.adds[i % FAKE_SEAT_ADDS];
	return NULL;
}

/* Its other end is with a worker, who sends back what is said. */
static inline void assert_reaches_worker(struct rig *rig, int device, const char *word)
{
	struct fake_seat_add *add;
	char text[64] = "";

	WAIT_FOR(rig, fake_seat_find(device));
	add = fake_seat_find(device);
	assert_int_equal(send(add->fd, word, strlen(word), MSG_NOSIGNAL), strlen(word));
	WAIT_FOR(rig, recv(add->fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(text, word);
}

#endif
