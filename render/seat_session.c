/* SPDX-License-Identifier: MIT */
#include "render/seat_session.h"

#include <errno.h>
#include <fcntl.h>
#include <libseat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"

#define DEVICES_MAX 128
#define ACTIVE_WAIT_MS 1000

struct seat_session {
	sd_event *event;
	struct libseat *seat; /* NULL: direct */
	sd_event_source *seat_io, *clock_io;
	int clock_fd;      /* readable when the machine has slept */
	uint64_t slept_ns; /* all that it has slept, since its start */
	bool active;
	struct seat_session_listener *listeners;
	struct {
		int fd, id;
	} devices[DEVICES_MAX]; /* that libseat has opened */
	unsigned device_count;
};

__attribute__((format(printf, 2, 0))) static void write_libseat_line(
    enum libseat_log_level level, const char *format, va_list arguments)
{
	char line[256];

	vsnprintf(line, sizeof(line), format, arguments);
	log_debug("libseat: %s", line);
}

static void set_active(struct seat_session *session, bool active)
{
	struct seat_session_listener *next;

	if (session->active == active)
		return;
	session->active = active;
	for (struct seat_session_listener *l = session->listeners; l; l = next) {
		next = l->next;
		l->active_changed(l->data, active);
	}
}

static void handle_enable(struct libseat *seat, void *data)
{
	set_active(data, true);
}

static void handle_disable(struct libseat *seat, void *data)
{
	set_active(data, false);
	/* "The event must be acknowledged with libseat_disable_seat shortly after" */
	libseat_disable_seat(seat);
}

static const struct libseat_seat_listener seat_listener = {
	.enable_seat = handle_enable,
	.disable_seat = handle_disable,
};

static int handle_seat_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct seat_session *session = data;

	if (libseat_dispatch(session->seat, 0) < 0) {
		log_error("The seat's manager has hung up (%s): no screen and no input until "
			  "gpudom-seat is started again",
		    strerror(errno));
		session->seat_io = sd_event_source_disable_unref(session->seat_io);
		set_active(session, false);
	}
	return 0;
}

/* ---------------------------------------------------------------- sleep */

static uint64_t get_slept_ns(void)
{
	struct timespec boot;
	struct timespec awake;

	clock_gettime(CLOCK_MONOTONIC, &awake);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (uint64_t)((boot.tv_sec - awake.tv_sec) * 1000000000 + boot.tv_nsec - awake.tv_nsec);
}

/* A timer far in the future that is cancelled when the wall clock jumps, as after sleep. */
static int arm_clock(int fd)
{
	struct itimerspec never = { .it_value.tv_sec = INT32_MAX };

	if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0)
		return -errno;
	return 0;
}

static int handle_clock(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct seat_session *session = data;
	struct seat_session_listener *next;
	uint64_t slept_ns = get_slept_ns();
	uint64_t count;

	/* ECANCELED is what it is there for */
	if (read(fd, &count, sizeof(count)) < 0 && errno != ECANCELED)
		return 0;
	if (arm_clock(fd) < 0)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	/* The two clocks are read one after the other. */
	if (slept_ns < session->slept_ns + 1000000)
		return 0;
	session->slept_ns = slept_ns;
	log_info("The machine has slept: showing everything anew");
	for (struct seat_session_listener *l = session->listeners; l; l = next) {
		next = l->next;
		if (l->resumed)
			l->resumed(l->data);
	}
	return 0;
}

static int watch_clock(struct seat_session *session)
{
	int rc;

	session->slept_ns = get_slept_ns();
	session->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (session->clock_fd < 0)
		return -errno;
	rc = arm_clock(session->clock_fd);
	if (rc < 0)
		return rc;
	return sd_event_add_io(
	    session->event, &session->clock_io, session->clock_fd, EPOLLIN, handle_clock, session);
}

/* ---------------------------------------------------------------- life */

static void wait_active(struct seat_session *session)
{
	struct timespec start;
	struct timespec now;
	int left = ACTIVE_WAIT_MS;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (!session->active && left > 0) {
		if (libseat_dispatch(session->seat, left) < 0)
			break;
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = ACTIVE_WAIT_MS - (int)((now.tv_sec - start.tv_sec) * 1000 +
					      (now.tv_nsec - start.tv_nsec) / 1000000);
	}
	if (!session->active)
		log_warning("Another session has seat %s: waiting for its end, or for a switch of "
			    "virtual terminals",
		    libseat_seat_name(session->seat));
}

/* The seat that libseat would make by itself needs root: another user's never becomes active, and
 * would be waited for in vain. */
static struct libseat *open_seat(struct seat_session *session)
{
	static const char *const managers[] = { "seatd", "logind" };
	struct libseat *seat = NULL;

	if (geteuid() == 0 || getenv("LIBSEAT_BACKEND"))
		return libseat_open_seat(&seat_listener, session);
	for (size_t i = 0; !seat && i < sizeof(managers) / sizeof(managers[0]); i++) {
		setenv("LIBSEAT_BACKEND", managers[i], 1);
		seat = libseat_open_seat(&seat_listener, session);
	}
	unsetenv("LIBSEAT_BACKEND");
	return seat;
}

int seat_session_create(sd_event *event, struct seat_session **out)
{
	struct seat_session *session = calloc(1, sizeof(*session));
	int rc;

	if (!session)
		return -ENOMEM;
	session->clock_fd = -1;
	session->event = sd_event_ref(event);
	libseat_set_log_handler(write_libseat_line);
	libseat_set_log_level(LIBSEAT_LOG_LEVEL_INFO);
	session->seat = open_seat(session);
	if (session->seat) {
		wait_active(session);
		rc = sd_event_add_io(event, &session->seat_io, libseat_get_fd(session->seat),
		    EPOLLIN, handle_seat_io, session);
		if (rc < 0)
			goto error;
		log_info("Devices are of seat %s", libseat_seat_name(session->seat));
	} else {
		session->active = true;
		log_info("No seat manager (%s): opening devices directly, without switching "
			 "virtual terminals",
		    strerror(errno));
	}
	rc = watch_clock(session);
	if (rc < 0)
		goto error;
	*out = session;
	return 0;

error:
	log_error("Cannot watch the seat: %s", strerror(-rc));
	seat_session_destroy(session);
	return rc;
}

void seat_session_destroy(struct seat_session *session)
{
	if (!session)
		return;
	sd_event_source_disable_unref(session->clock_io);
	if (session->clock_fd >= 0)
		close(session->clock_fd);
	sd_event_source_disable_unref(session->seat_io);
	if (session->seat)
		libseat_close_seat(session->seat);
	sd_event_unref(session->event);
	free(session);
}

void seat_session_listen(struct seat_session *session, struct seat_session_listener *listener)
{
	struct seat_session_listener **end = &session->listeners;

	while (*end)
		end = &(*end)->next;
	listener->next = NULL;
	*end = listener;
}

void seat_session_unlisten(struct seat_session *session, struct seat_session_listener *listener)
{
	for (struct seat_session_listener **l = &session->listeners; *l; l = &(*l)->next) {
		if (*l == listener) {
			*l = listener->next;
			return;
		}
	}
}

bool seat_session_active(const struct seat_session *session)
{
	return session->active;
}

bool seat_session_direct(const struct seat_session *session)
{
	return !session->seat;
}

const char *seat_session_seat(const struct seat_session *session)
{
	return session->seat ? libseat_seat_name(session->seat) : "seat0";
}

/* ---------------------------------------------------------------- devices */

int seat_session_open(struct seat_session *session, const char *path)
{
	int fd;
	int id;

	if (!session->active)
		return -EPERM;
	if (!session->seat) {
		fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		return fd < 0 ? -errno : fd;
	}
	if (session->device_count == DEVICES_MAX)
		return -EMFILE;
	id = libseat_open_device(session->seat, path, &fd);
	if (id < 0)
		return -errno;
	/* The manager may have opened it otherwise. */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	session->devices[session->device_count].fd = fd;
	session->devices[session->device_count++].id = id;
	return fd;
}

void seat_session_close(struct seat_session *session, int fd)
{
	for (unsigned i = 0; i < session->device_count; i++) {
		if (session->devices[i].fd == fd) {
			libseat_close_device(session->seat, session->devices[i].id);
			session->devices[i] = session->devices[--session->device_count];
			break;
		}
	}
	close(fd);
}

int seat_session_switch(struct seat_session *session, unsigned number)
{
	if (!session->seat)
		return -ENOTSUP;
	return libseat_switch_session(session->seat, (int)number) < 0 ? -errno : 0;
}
