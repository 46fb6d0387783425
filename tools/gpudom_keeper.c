/* SPDX-License-Identifier: MIT */
/*
 * gpudom-keeper: starts gpudomd, keeps the descriptors that it hands over, and gives them to the
 * next one when it dies. For systems without systemd, whose descriptor store it imitates:
 * sd_notify(3) with FDSTORE=1, sd_listen_fds(3).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"
#include "tools/version.h"

#define STORE_MAX 1024
#define STORE_MAX_TEXT "1024"
#define NAME_MAX_BYTES 255
#define MESSAGE_MAX_BYTES 4096
#define MESSAGE_FDS 16
#define LISTEN_FDS_START 3
#define DELAY_MAX_USEC (10 * UINT64_C(1000000))
#define HEALTHY_USEC (10 * UINT64_C(1000000)) /* a run that was no failure to start */
#define ORPHANS_USEC (5 * UINT64_C(1000000))  /* for workers, when all ends */

struct kept {
	char *name;
	int fd;
};

struct keeper {
	char **command; /* NULL-terminated */
	uint64_t first_delay, delay;
	sd_event *event;
	sd_event_source *timer;
	int notify; /* what the child's NOTIFY_SOCKET leads to */
	char address[32];

	struct kept kept[STORE_MAX];
	unsigned count;

	pid_t child; /* 0: none */
	uint64_t started_usec;
	bool ready;                /* some child has been */
	bool restarting, stopping; /* the child has been asked to end */
	bool over;                 /* and will not be started again */
	int result;
};

/* ------------------------------------------------------------------- options */

static const char help[] =
    "Usage: gpudom-keeper [OPTION...] -- PROGRAM [ARGUMENT...]\n"
    "Starts gpudomd, keeps its descriptors, and starts it again when it dies: running guests notice\n"
    "nothing. SIGHUP restarts it (for an upgrade), SIGTERM ends both.\n"
    "\n"
    "  --restart-delay=MS  before a start that follows a short run, doubled each time up to 10 s\n"
    "                      (100)\n"
    "  --version  --help\n";

enum { OPT_DELAY = 256, OPT_VERSION, OPT_HELP };

static const struct option long_options[] = {
	{ "restart-delay", required_argument, NULL, OPT_DELAY },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

/* 1: go on; 0: all is done; -EINVAL: said what is wrong. */
static int keeper_parse(struct keeper *keeper, int argc, char **argv)
{
	unsigned long delay;
	char *end;
	int opt;

	while ((opt = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_DELAY:
			delay = strtoul(optarg, &end, 10);
			if (end == optarg || *end || !delay || delay > DELAY_MAX_USEC / 1000) {
				fprintf(stderr,
				    "gpudom-keeper: --restart-delay must be 1 to %llu "
				    "(milliseconds), not '%s'\n",
				    (unsigned long long)(DELAY_MAX_USEC / 1000), optarg);
				return -EINVAL;
			}
			keeper->first_delay = delay * 1000;
			break;
		case OPT_VERSION:
			puts("gpudom-keeper " GPUDOM_VERSION);
			return 0;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudom-keeper --help'.\n", stderr);
			return -EINVAL;
		}
	}
	if (optind == argc) {
		fputs("gpudom-keeper: which program? Try 'gpudom-keeper --help'.\n", stderr);
		return -EINVAL;
	}
	keeper->command = argv + optind;
	return 1;
}

/* ----------------------------------------------------------------- the store */

/* As systemd has it: no control characters, no colon. */
static bool name_is_valid(const char *name)
{
	if (!*name || strlen(name) > NAME_MAX_BYTES)
		return false;
	for (const char *c = name; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 127 || *c == ':')
			return false;
	return true;
}

/* Takes @fd over. */
static void store_add(struct keeper *keeper, const char *name, int fd)
{
	char *copy;

	if (keeper->count == STORE_MAX) {
		log_warning("%d descriptors are kept already: '%s' is not", STORE_MAX, name);
		close(fd);
		return;
	}
	copy = strdup(name);
	if (!copy) {
		log_error("out of memory: descriptor '%s' is not kept", name);
		close(fd);
		return;
	}
	keeper->kept[keeper->count++] = (struct kept){ .name = copy, .fd = fd };
}

static void store_remove(struct keeper *keeper, const char *name)
{
	unsigned left = 0;

	for (unsigned i = 0; i < keeper->count; i++) {
		struct kept kept = keeper->kept[i];

		if (name && strcmp(kept.name, name) != 0) {
			keeper->kept[left++] = kept;
			continue;
		}
		close(kept.fd);
		free(kept.name);
	}
	keeper->count = left;
}

/* ------------------------------------------------------------- notifications */

struct notification {
	char text[MESSAGE_MAX_BYTES + 1];
	int fds[MESSAGE_FDS];
	unsigned fd_count;
	pid_t sender;
};

static void keeper_take_notification(struct keeper *keeper, struct notification *notification)
{
	const char *name = "stored";
	bool store = false, drop = false;

	for (char *line = strtok(notification->text, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strcmp(line, "FDSTORE=1"))
			store = true;
		else if (!strcmp(line, "FDSTOREREMOVE=1"))
			drop = true;
		else if (!strcmp(line, "READY=1"))
			keeper->ready = true;
		else if (!strncmp(line, "FDNAME=", 7))
			name = line + 7;
	}
	if (!name_is_valid(name)) {
		log_warning("a descriptor's name makes no sense: not kept");
		return;
	}
	if (drop)
		store_remove(keeper, name);
	for (; store && notification->fd_count; notification->fd_count--)
		store_add(keeper, name, notification->fds[notification->fd_count - 1]);
}

/* One datagram: false where there is none. */
static bool keeper_receive(struct keeper *keeper, struct notification *notification)
{
	union {
		struct cmsghdr header;
		char
		    bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS) + CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec part = { .iov_base = notification->text, .iov_len = MESSAGE_MAX_BYTES };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	notification->fd_count = 0;
	notification->sender = 0;
	n = recvmsg(keeper->notify, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return false;
	notification->text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred credentials;

			memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
			notification->sender = credentials.pid;
		} else if (c->cmsg_type == SCM_RIGHTS) {
			notification->fd_count =
			    (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(
			    notification->fds, CMSG_DATA(c), notification->fd_count * sizeof(int));
		}
	}
	return true;
}

/* All that has been sent. Only the child may: its workers know the address as well. */
static void keeper_drain(struct keeper *keeper)
{
	struct notification notification;

	while (keeper_receive(keeper, &notification)) {
		if (notification.sender == keeper->child && keeper->child)
			keeper_take_notification(keeper, &notification);
		while (notification.fd_count)
			close(notification.fds[--notification.fd_count]);
	}
}

static int keeper_dispatch_notify(sd_event_source *source, int fd, uint32_t events, void *data)
{
	keeper_drain(data);
	return 0;
}

static int keeper_open_notify(struct keeper *keeper)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	int on = 1;

	keeper->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Without a name, the kernel chooses one in the abstract namespace. */
	if (keeper->notify < 0 ||
	    bind(keeper->notify, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0 ||
	    getsockname(keeper->notify, (struct sockaddr *)&address, &size) < 0 ||
	    setsockopt(keeper->notify, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
		log_error("cannot make a socket: %s", strerror(errno));
		return -errno;
	}
	snprintf(keeper->address, sizeof(keeper->address), "@%.*s",
	    (int)(size - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
	return 0;
}

/* ----------------------------------------------------------------- the child */

/* In the child: descriptors 3, 4, ... are those kept; every other one closes on exec. */
static bool child_arrange_fds(const struct keeper *keeper)
{
	int fds[STORE_MAX], first_free = LISTEN_FDS_START + (int)keeper->count;

	/* Out of each other's way first. */
	for (unsigned i = 0; i < keeper->count; i++) {
		fds[i] = fcntl(keeper->kept[i].fd, F_DUPFD_CLOEXEC, first_free);
		if (fds[i] < 0)
			return false;
	}
	for (unsigned i = 0; i < keeper->count; i++)
		if (dup2(fds[i], LISTEN_FDS_START + (int)i) < 0)
			return false;
	return true;
}

static bool child_set_environment(const struct keeper *keeper)
{
	char *names = NULL, number[16];
	size_t size = 0;
	FILE *stream;

	if (setenv("NOTIFY_SOCKET", keeper->address, 1) < 0 ||
	    setenv("FDSTORE", STORE_MAX_TEXT, 1) < 0)
		return false;
	if (!keeper->count)
		return true;
	stream = open_memstream(&names, &size);
	if (!stream)
		return false;
	for (unsigned i = 0; i < keeper->count; i++)
		fprintf(stream, "%s%s", i ? ":" : "", keeper->kept[i].name);
	if (fclose(stream) != 0 || setenv("LISTEN_FDNAMES", names, 1) < 0)
		return false;
	snprintf(number, sizeof(number), "%u", keeper->count);
	if (setenv("LISTEN_FDS", number, 1) < 0)
		return false;
	snprintf(number, sizeof(number), "%d", (int)getpid());
	return setenv("LISTEN_PID", number, 1) == 0;
}

static void child_run(const struct keeper *keeper) __attribute__((noreturn));

static void child_run(const struct keeper *keeper)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (child_set_environment(keeper) && child_arrange_fds(keeper))
		execvp(keeper->command[0], keeper->command);
	log_error("cannot start %s: %s", keeper->command[0], strerror(errno));
	_exit(127);
}

static uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void keeper_start(struct keeper *keeper)
{
	keeper->restarting = false;
	keeper->started_usec = now_usec();
	keeper->child = fork();
	if (keeper->child == 0)
		child_run(keeper);
	if (keeper->child < 0) {
		keeper->child = 0;
		log_error("cannot start %s: %s", keeper->command[0], strerror(errno));
		sd_event_source_set_time_relative(keeper->timer, DELAY_MAX_USEC);
		sd_event_source_set_enabled(keeper->timer, SD_EVENT_ONESHOT);
		return;
	}
	log_info("%s started, pid %d%s", keeper->command[0], (int)keeper->child,
	    keeper->count ? ", with the descriptors of the one before" : "");
}

/* Nothing is started any more. What was kept is let go, so that workers end by themselves; those
 * that are our children by now are waited for. */
static void keeper_end(struct keeper *keeper, int result)
{
	keeper->over = true;
	keeper->result = result;
	store_remove(keeper, NULL);
	sd_event_source_set_time_relative(keeper->timer, ORPHANS_USEC);
	sd_event_source_set_enabled(keeper->timer, SD_EVENT_ONESHOT);
}

static int keeper_dispatch_timer(sd_event_source *source, uint64_t usec, void *data)
{
	struct keeper *keeper = data;

	if (keeper->over) {
		log_warning("some worker does not end");
		return sd_event_exit(keeper->event, 0);
	}
	keeper_start(keeper);
	return 0;
}

static void keeper_start_later(struct keeper *keeper)
{
	uint64_t delay = 0;

	if (now_usec() - keeper->started_usec >= HEALTHY_USEC) {
		keeper->delay = keeper->first_delay;
	} else {
		delay = keeper->delay;
		keeper->delay = 2 * delay < DELAY_MAX_USEC ? 2 * delay : DELAY_MAX_USEC;
	}
	sd_event_source_set_time_relative(keeper->timer, delay);
	sd_event_source_set_enabled(keeper->timer, SD_EVENT_ONESHOT);
}

static void keeper_child_ended(struct keeper *keeper, int status)
{
	const char *program = keeper->command[0];
	bool ended_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	/* What it sent with its last breath. */
	keeper_drain(keeper);
	keeper->child = 0;
	if (WIFSIGNALED(status))
		log_warning("%s was ended by signal %d (%s)", program, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else if (!ended_well)
		log_warning("%s has failed with status %d", program, WEXITSTATUS(status));
	if (keeper->stopping) {
		keeper_end(keeper, EXIT_SUCCESS);
	} else if (keeper->restarting) {
		keeper_start(keeper);
	} else if (ended_well) {
		keeper_end(keeper, EXIT_SUCCESS);
	} else if (!keeper->ready && !keeper->count) {
		log_error("%s has never been ready: it is not started again", program);
		keeper_end(keeper, EXIT_FAILURE);
	} else {
		keeper_start_later(keeper);
	}
}

/* ------------------------------------------------------------------- signals */

/* The child, and orphans of it. */
static int keeper_dispatch_child(
    sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct keeper *keeper = data;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == keeper->child)
			keeper_child_ended(keeper, status);
	if (pid < 0 && errno == ECHILD && keeper->over)
		sd_event_exit(keeper->event, 0);
	return 0;
}

static int keeper_dispatch_stop(
    sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct keeper *keeper = data;

	if (keeper->over)
		return 0;
	keeper->stopping = true;
	if (keeper->child)
		kill(keeper->child, SIGTERM);
	else
		return sd_event_exit(keeper->event, 0);
	return 0;
}

static int keeper_dispatch_restart(
    sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct keeper *keeper = data;

	/* Without a child, one is about to be started anyway. */
	if (!keeper->child || keeper->stopping)
		return 0;
	log_info("%s is asked to end, and started again", keeper->command[0]);
	keeper->restarting = true;
	kill(keeper->child, SIGTERM);
	return 0;
}

/* ---------------------------------------------------------------------- main */

static int keeper_watch(struct keeper *keeper)
{
	static const int signals[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP };
	const sd_event_signal_handler_t handlers[] = { keeper_dispatch_child, keeper_dispatch_stop,
		keeper_dispatch_stop, keeper_dispatch_restart };
	sigset_t mask;
	int error;

	sigemptyset(&mask);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&mask, signals[i]);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	error = sd_event_new(&keeper->event);
	for (unsigned i = 0; error >= 0 && i < sizeof(signals) / sizeof(signals[0]); i++)
		error = sd_event_add_signal(keeper->event, NULL, signals[i], handlers[i], keeper);
	if (error >= 0)
		error = sd_event_add_io(
		    keeper->event, NULL, keeper->notify, EPOLLIN, keeper_dispatch_notify, keeper);
	if (error >= 0)
		error = sd_event_add_time_relative(keeper->event, &keeper->timer, CLOCK_MONOTONIC,
		    0, 0, keeper_dispatch_timer, keeper);
	if (error >= 0)
		error = sd_event_source_set_enabled(keeper->timer, SD_EVENT_OFF);
	if (error < 0)
		log_error("cannot make an event loop: %s", strerror(-error));
	return error < 0 ? error : 0;
}

static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct keeper keeper = { .command = argv, .notify = -1, .first_delay = 100000 };
	int r = keeper_parse(&keeper, argc, argv);

	if (r <= 0)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	log_init(LOG_LEVEL_INFO, "gpudom-keeper");
	keeper.delay = keeper.first_delay;
	raise_fd_limit();
	/* Workers of a gpudomd that has died become our children, and are reaped. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	keeper.result = EXIT_FAILURE;
	if (keeper_open_notify(&keeper) == 0 && keeper_watch(&keeper) == 0) {
		keeper.result = EXIT_SUCCESS;
		keeper_start(&keeper);
		if (sd_event_loop(keeper.event) < 0)
			keeper.result = EXIT_FAILURE;
	}
	store_remove(&keeper, NULL);
	sd_event_source_unref(keeper.timer);
	sd_event_unref(keeper.event);
	if (keeper.notify >= 0)
		close(keeper.notify);
	return keeper.result;
}
