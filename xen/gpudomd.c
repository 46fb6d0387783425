/* SPDX-License-Identifier: MIT */
/* gpudomd: finds guests that want a GPU, and serves their registers and workers. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/seat_message.h"
#include "backend/telemetry.h"
#include "tools/version.h"
#include "xen/cgroup.h"
#include "xen/config.h"
#include "xen/control.h"
#include "xen/daemon.h"
#include "xen/worker_process.h"

#define RUN_PATH "/run/gpudom"
#define LOCK_PATH RUN_PATH "/lock"

struct gpudomd_options {
	const char *config_path; /* NULL: CONFIG_PATH, if there is one */
	const char *worker_path;
	const char *control_path; /* empty: none */
	const char *control_group;
	const char *seat_path; /* empty: none */
	enum log_level log_level;
	struct cgroup_options cgroup;
	bool once, check_config, release_cgroup;
	bool ioeventfd;
};

struct gpudomd {
	struct gpudomd_options options;
	struct config config;
	char *worker_path;
	int lock;
	sd_event *event;
	struct keep *keep;
	struct cgroup *cgroup; /* NULL: there are none */
	struct gpu_daemon *gpu_daemon;
	struct control *control;
};

/* ------------------------------------------------------------------- options */

static const char help[] =
    "Usage: gpudomd [OPTION...]\n"
    "Serves virtual GPUs to the guests that the toolstack attaches to this domain.\n"
    "\n"
    "  --config=PATH      settings of the guests (" CONFIG_PATH ")\n"
    "  --check-config     read the settings, say what is wrong with them, and end\n"
    "  --cgroup-root=PATH where control groups are (/sys/fs/cgroup)\n"
    "  --release-cgroup   let this unit's control group have processes again, and end\n"
    "  --worker=PATH      gpudom-worker (beside gpudomd, in ../bin, or in $PATH)\n"
    "  --once             end when the first guest has left\n"
    "  --ioeventfd        let the kernel pass kicks on: faster, but this domain's kernel crashes\n"
    "                     when gpudomd does (see gpudomd(8)); --no-ioeventfd is the default\n"
    "  --control=PATH     socket for gpudomctl (" CONTROL_PATH "); empty: none\n"
    "  --control-group=GROUP  who may use it besides root (" CONTROL_GROUP ", if there is one)\n"
    "  --seat=PATH        gpudom-seat's socket (" SEAT_SOCKET_PATH "); empty: none\n"
    "  --log-level=LEVEL  error, warning, info (default), debug\n"
    "  --version  --help\n";

enum {
	OPT_CONFIG = 256,
	OPT_CHECK_CONFIG,
	OPT_CGROUP_ROOT,
	OPT_RELEASE_CGROUP,
	OPT_WORKER,
	OPT_ONCE,
	OPT_IOEVENTFD,
	OPT_NO_IOEVENTFD,
	OPT_CONTROL,
	OPT_CONTROL_GROUP,
	OPT_SEAT,
	OPT_LOG_LEVEL,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
	{ "cgroup-root", required_argument, NULL, OPT_CGROUP_ROOT },
	{ "release-cgroup", no_argument, NULL, OPT_RELEASE_CGROUP },
	{ "worker", required_argument, NULL, OPT_WORKER },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "ioeventfd", no_argument, NULL, OPT_IOEVENTFD },
	{ "no-ioeventfd", no_argument, NULL, OPT_NO_IOEVENTFD },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "control-group", required_argument, NULL, OPT_CONTROL_GROUP },
	{ "seat", required_argument, NULL, OPT_SEAT },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static int parse_log_level(const char *name, enum log_level *level)
{
	if (log_level_parse(name, level) == 0)
		return 0;
	fprintf(
	    stderr, "gpudomd: --log-level must be error, warning, info or debug, not '%s'\n", name);
	return -EINVAL;
}

/* 1: go on; 0: all is done; -EINVAL: said what is wrong. */
static int gpudomd_parse(struct gpudomd_options *options, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONFIG:
			options->config_path = optarg;
			break;
		case OPT_CHECK_CONFIG:
			options->check_config = true;
			break;
		case OPT_CGROUP_ROOT:
			options->cgroup.mount = optarg;
			break;
		case OPT_RELEASE_CGROUP:
			options->release_cgroup = true;
			break;
		case OPT_WORKER:
			options->worker_path = optarg;
			break;
		case OPT_ONCE:
			options->once = true;
			break;
		case OPT_IOEVENTFD:
			options->ioeventfd = true;
			break;
		case OPT_NO_IOEVENTFD:
			options->ioeventfd = false;
			break;
		case OPT_CONTROL:
			options->control_path = optarg;
			break;
		case OPT_CONTROL_GROUP:
			options->control_group = optarg;
			break;
		case OPT_SEAT:
			options->seat_path = optarg;
			break;
		case OPT_LOG_LEVEL:
			if (parse_log_level(optarg, &options->log_level) < 0)
				return -EINVAL;
			break;
		case OPT_VERSION:
			puts("gpudomd " GPUDOM_VERSION);
			return 0;
		case OPT_HELP:
			fputs(help, stdout);
			return 0;
		default:
			fputs("Try 'gpudomd --help'.\n", stderr);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "gpudomd: what is '%s'? Try 'gpudomd --help'.\n", argv[optind]);
		return -EINVAL;
	}
	return 1;
}

/* Without a file, all guests have the defaults. */
static int gpudomd_load_config(struct gpudomd *gpudomd)
{
	const char *path = gpudomd->options.config_path;
	int error = config_load(&gpudomd->config, path);

	return !path && error == -ENOENT ? 0 : error;
}

/* ---------------------------------------------------------------------- main */

/* A second gpudomd in this domain would take the guests of the first. */
static int gpudomd_lock(struct gpudomd *gpudomd)
{
	char pid[16] = "?";
	int error;

	mkdir(RUN_PATH, 0755);
	gpudomd->lock = open(LOCK_PATH, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (gpudomd->lock < 0) {
		log_warning("cannot open " LOCK_PATH ": %s; a second gpudomd would not be noticed",
		    strerror(errno));
		return 0;
	}
	if (flock(gpudomd->lock, LOCK_EX | LOCK_NB) < 0) {
		error = -errno;
		if (read(gpudomd->lock, pid, sizeof(pid) - 1) < 0)
			pid[0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		log_error("another gpudomd (pid %s) serves the guests of this domain: there can be "
			  "one only (" LOCK_PATH ": %s)",
		    pid, strerror(-error));
		return error;
	}
	if (ftruncate(gpudomd->lock, 0) < 0 || dprintf(gpudomd->lock, "%d\n", (int)getpid()) < 0)
		log_debug("cannot write " LOCK_PATH ": %s", strerror(errno));
	return 0;
}

/* What a predecessor left comes by the environment. */
static int gpudomd_take_kept(struct gpudomd *gpudomd)
{
	char **names = NULL;
	int error = sd_listen_fds_with_names(true, &names);

	if (error >= 0)
		error = keep_create(SD_LISTEN_FDS_START, names, &gpudomd->keep);
	if (error < 0)
		log_error("cannot take over the descriptors that were kept: %s", strerror(-error));
	return error;
}

static int gpudomd_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct gpudomd *gpudomd = data;

	const char *fate = "";

	if (daemon_served(gpudomd->gpu_daemon))
		fate = gpudomd->options.once ? "; the guest loses its GPU"
					     : "; guests wait for the next gpudomd";
	log_info("%s: ending%s", strsignal((int)info->ssi_signo), fate);
	return sd_event_exit(gpudomd->event, 0);
}

static int gpudomd_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct gpudomd *gpudomd = data;
	char *errors;

	sd_notifyf(
	    0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(telemetry_now() / 1000));
	daemon_reload(gpudomd->gpu_daemon, NULL, NULL, &errors);
	free(errors);
	sd_notify(0, "READY=1");
	return 0;
}

static int gpudomd_statistics(
    sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	struct gpudomd *gpudomd = data;

	daemon_log_statistics(gpudomd->gpu_daemon);
	return 0;
}

static int gpudomd_set_up(struct gpudomd *gpudomd)
{
	struct daemon_options options = {
		.config = &gpudomd->config,
		.config_path = gpudomd->options.config_path,
		.keep = gpudomd->keep,
		.seat_path = gpudomd->options.seat_path,
		.ioeventfd = gpudomd->options.ioeventfd,
		.once = gpudomd->options.once,
	};
	sigset_t signals;
	int error;

	/* sd-event takes them; children are watched so too. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR2);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	gpudomd->worker_path = worker_process_find(gpudomd->options.worker_path);
	if (!gpudomd->worker_path)
		return -ENOMEM;
	error = sd_event_new(&gpudomd->event);
	if (error >= 0)
		error = sd_event_add_signal(gpudomd->event, NULL, SIGTERM, gpudomd_signal, gpudomd);
	if (error >= 0)
		error = sd_event_add_signal(gpudomd->event, NULL, SIGINT, gpudomd_signal, gpudomd);
	if (error >= 0)
		error =
		    sd_event_add_signal(gpudomd->event, NULL, SIGUSR2, gpudomd_statistics, gpudomd);
	if (error >= 0)
		error = sd_event_add_signal(gpudomd->event, NULL, SIGHUP, gpudomd_reload, gpudomd);
	if (error >= 0)
		error = sd_event_set_watchdog(gpudomd->event, true);
	if (error < 0) {
		log_error("cannot make an event loop: %s", strerror(-error));
		return error;
	}
	cgroup_open(&gpudomd->options.cgroup, &gpudomd->cgroup);
	options.cgroup = gpudomd->cgroup;
	options.event = gpudomd->event;
	options.worker_path = gpudomd->worker_path;
	return daemon_create(&options, &gpudomd->gpu_daemon);
}

/* Guests are served without, too. */
static void gpudomd_open_control(struct gpudomd *gpudomd)
{
	const struct control_options options = {
		.path = gpudomd->options.control_path,
		.group = gpudomd->options.control_group,
		.event = gpudomd->event,
		.gpu_daemon = gpudomd->gpu_daemon,
	};

	if (*options.path)
		control_create(&options, &gpudomd->control);
}

static int gpudomd_run(struct gpudomd *gpudomd)
{
	int result;

	if (gpudomd->options.ioeventfd)
		log_warning(
		    "--ioeventfd: if gpudomd is killed, this domain's kernel crashes at its "
		    "guests' next access");
	gpudomd_open_control(gpudomd);
	keep_report(gpudomd->keep);
	log_info("gpudomd " GPUDOM_VERSION " is ready for guests (kicks by %s)",
	    gpudomd->options.ioeventfd ? "ioeventfd" : "forwarding");
	sd_notify(0, "READY=1");
	result = sd_event_loop(gpudomd->event);
	if (result < 0)
		log_error("the event loop has failed: %s", strerror(-result));
	sd_notify(0, "STOPPING=1");
	return result ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void gpudomd_finish(struct gpudomd *gpudomd)
{
	control_destroy(gpudomd->control);
	if (gpudomd->options.once)
		daemon_destroy(gpudomd->gpu_daemon);
	else
		daemon_let_go(gpudomd->gpu_daemon);
	cgroup_close(gpudomd->cgroup);
	keep_destroy(gpudomd->keep);
	if (gpudomd->lock >= 0)
		close(gpudomd->lock);
	sd_event_unref(gpudomd->event);
	free(gpudomd->worker_path);
	config_finish(&gpudomd->config);
}

int main(int argc, char **argv)
{
	struct gpudomd gpudomd = {
		.options = { .log_level = LOG_LEVEL_INFO,
		    .control_path = CONTROL_PATH,
		    .seat_path = SEAT_SOCKET_PATH },
		.lock = -1,
	};
	int r = gpudomd_parse(&gpudomd.options, argc, argv);

	if (r <= 0)
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	log_init(gpudomd.options.log_level, NULL);
	if (gpudomd.options.release_cgroup) {
		cgroup_release(&gpudomd.options.cgroup);
		return EXIT_SUCCESS;
	}
	if (gpudomd_load_config(&gpudomd) < 0)
		return EXIT_FAILURE;
	if (gpudomd.options.check_config) {
		config_finish(&gpudomd.config);
		return EXIT_SUCCESS;
	}
	if (gpudomd_lock(&gpudomd) < 0 || gpudomd_take_kept(&gpudomd) < 0 ||
	    gpudomd_set_up(&gpudomd) < 0)
		r = EXIT_FAILURE;
	else
		r = gpudomd_run(&gpudomd);
	gpudomd_finish(&gpudomd);
	return r;
}
