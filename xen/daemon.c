/* SPDX-License-Identifier: MIT */
#include "xen/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/telemetry.h"
#include "xen/discovery.h"
#include "xen/guest.h"
#include "xen/seat_link.h"
#include "xen/tracing.h"

#define DAEMON_NAMES_MAX 1024 /* of all settings */

struct gpu_daemon {
	struct daemon_options options;
	struct discovery *discovery;
	struct guest *guests[DAEMON_GUESTS_MAX];
	uint64_t started_ns;
	struct tracing tracing;
	struct seat_link *seat;
};

struct tracing *daemon_tracing(struct gpu_daemon *gpu_daemon)
{
	return &gpu_daemon->tracing;
}

struct seat_link *daemon_seat(const struct gpu_daemon *gpu_daemon)
{
	return gpu_daemon->seat;
}

unsigned daemon_served(const struct gpu_daemon *gpu_daemon)
{
	unsigned served = 0;

	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		if (gpu_daemon->guests[i])
			served += guest_served(gpu_daemon->guests[i]);
	return served;
}

uint64_t daemon_started_ns(const struct gpu_daemon *gpu_daemon)
{
	return gpu_daemon->started_ns;
}

struct guest *daemon_next_guest(const struct gpu_daemon *gpu_daemon, unsigned *position)
{
	while (*position < DAEMON_GUESTS_MAX) {
		struct guest *guest = gpu_daemon->guests[(*position)++];

		if (guest)
			return guest;
	}
	return NULL;
}

static struct guest **daemon_find(struct gpu_daemon *gpu_daemon, uint16_t domid)
{
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		if (gpu_daemon->guests[i] && guest_domid(gpu_daemon->guests[i]) == domid)
			return &gpu_daemon->guests[i];
	return NULL;
}

static void daemon_report(const struct gpu_daemon *gpu_daemon)
{
	unsigned served = daemon_served(gpu_daemon);

	sd_notifyf(0, "STATUS=%u device%s in use by guests", served, served == 1 ? "" : "s");
}

static void daemon_device_serving(void *data, const struct discovery_device *device)
{
	struct gpu_daemon *gpu_daemon = data;
	struct guest **guest = daemon_find(gpu_daemon, device->domid);
	char name[DISCOVERY_NAME_BYTES];

	discovery_name_device(device, name);
	log_info("%s: %s is ready, the guest may run", guest ? guest_title(*guest) : "?", name);
	if (guest && gpu_daemon->tracing.on && gpu_daemon->tracing.all)
		daemon_start_trace(gpu_daemon, *guest, 0);
	discovery_set_state(
	    gpu_daemon->discovery, device->domid, device->devid, DISCOVERY_CONNECTED);
	daemon_report(gpu_daemon);
}

static void daemon_device_complains(void *data, uint16_t domid, unsigned devid, const char *what)
{
	struct gpu_daemon *gpu_daemon = data;

	discovery_set_error(gpu_daemon->discovery, domid, devid, what);
}

void daemon_log_statistics(const struct gpu_daemon *gpu_daemon)
{
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		if (gpu_daemon->guests[i])
			guest_log_statistics(gpu_daemon->guests[i]);
}

static bool daemon_has_guests(const struct gpu_daemon *gpu_daemon)
{
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		if (gpu_daemon->guests[i])
			return true;
	return false;
}

static void daemon_drop_guest(struct guest **guest)
{
	guest_destroy(*guest);
	*guest = NULL;
}

/* Its last picture goes with it, unless a guest of its name has come already, as on a reboot. */
static void daemon_leave_seat(struct gpu_daemon *gpu_daemon, const struct guest *guest)
{
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		if (gpu_daemon->guests[i] && gpu_daemon->guests[i] != guest &&
		    !strcmp(guest_seat_name(gpu_daemon->guests[i]), guest_seat_name(guest)))
			return;
	seat_link_remove(gpu_daemon->seat, guest_seat_name(guest));
}

static void daemon_device_closed(void *data)
{
	struct gpu_daemon *gpu_daemon = data;

	if (gpu_daemon->options.once && !daemon_has_guests(gpu_daemon))
		sd_event_exit(gpu_daemon->options.event, 0);
}

static void daemon_device_removed(void *data, const struct discovery_device *device)
{
	struct gpu_daemon *gpu_daemon = data;
	struct guest **guest = daemon_find(gpu_daemon, device->domid);
	char name[DISCOVERY_NAME_BYTES];

	discovery_name_device(device, name);
	log_info("%s: %s is removed", guest ? guest_title(*guest) : "?", name);
	/* The server goes before the toolstack is told: nothing of the guest is left then. */
	if (guest && guest_is_empty(*guest)) {
		daemon_leave_seat(gpu_daemon, *guest);
		daemon_drop_guest(guest);
	}
	discovery_close(gpu_daemon->discovery, device->domid, device->devid);
	daemon_report(gpu_daemon);
}

static struct guest_options daemon_guest_options(
    struct gpu_daemon *gpu_daemon, uint16_t domid, const char *name)
{
	return (struct guest_options){
		.domid = domid,
		.name = name,
		.event = gpu_daemon->options.event,
		.config = gpu_daemon->options.config,
		.keep = gpu_daemon->options.keep,
		.cgroup = gpu_daemon->options.cgroup,
		.worker_path = gpu_daemon->options.worker_path,
		.ioeventfd = gpu_daemon->options.ioeventfd,
		.trace = &gpu_daemon->tracing.ring,
		.seat = gpu_daemon->seat,
		.serving = daemon_device_serving,
		.complain = daemon_device_complains,
		.removed = daemon_device_removed,
		.data = gpu_daemon,
	};
}

/* An empty place, or NULL. */
static struct guest **daemon_find_room(struct gpu_daemon *gpu_daemon, uint16_t domid)
{
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		if (!gpu_daemon->guests[i])
			return &gpu_daemon->guests[i];
	log_error("domain %u: there are %d guests already", domid, DAEMON_GUESTS_MAX);
	return NULL;
}

static int daemon_add_guest(
    struct gpu_daemon *gpu_daemon, const struct discovery_device *device, struct guest ***guest)
{
	const struct guest_options options =
	    daemon_guest_options(gpu_daemon, device->domid, device->guest_name);

	*guest = daemon_find_room(gpu_daemon, device->domid);
	return *guest ? guest_create(&options, device->base, *guest) : -ENOSPC;
}

static int daemon_device_added(void *data, const struct discovery_device *device)
{
	struct gpu_daemon *gpu_daemon = data;
	struct guest **guest = daemon_find(gpu_daemon, device->domid);
	char name[DISCOVERY_NAME_BYTES];
	int error = 0;

	discovery_set_state(
	    gpu_daemon->discovery, device->domid, device->devid, DISCOVERY_INIT_WAIT);
	if (!guest)
		error = daemon_add_guest(gpu_daemon, device, &guest);
	if (error)
		return error;
	discovery_name_device(device, name);
	log_info("%s: %s at %#llx, interrupt %u, of domain %u", guest_title(*guest), name,
	    (unsigned long long)device->base, device->irq, device->domid);
	error = guest_add_device(*guest, device);
	if (error && guest_is_empty(*guest))
		daemon_drop_guest(guest);
	return error;
}

static void daemon_device_removing(void *data, uint16_t domid, unsigned devid)
{
	struct gpu_daemon *gpu_daemon = data;
	struct guest **guest = daemon_find(gpu_daemon, domid);

	if (guest)
		guest_remove_device(*guest, devid);
	else
		discovery_close(gpu_daemon->discovery, domid, devid);
}

static bool daemon_alive(void *data, uint16_t domid)
{
	struct guest **guest = daemon_find(data, domid);

	return !guest || guest_is_alive(*guest);
}

static void daemon_trace_timeout(void *data)
{
	daemon_stop_trace(data);
}

static void daemon_xenstore_failed(void *data, int error)
{
	struct gpu_daemon *gpu_daemon = data;

	sd_event_exit(gpu_daemon->options.event, EXIT_FAILURE);
}

/* ------------------------------------------------------------ new settings */

static int daemon_read_config(
    const struct gpu_daemon *gpu_daemon, struct config *config, char **errors)
{
	const char *path = gpu_daemon->options.config_path;
	int error = config_reload(config, path, errors);

	return !path && error == -ENOENT ? 0 : error;
}

int daemon_reload(struct gpu_daemon *gpu_daemon, daemon_changed changed, void *data, char **errors)
{
	struct config *config = gpu_daemon->options.config, before = *config, after = { 0 };
	unsigned count = 0;
	int error = daemon_read_config(gpu_daemon, &after, errors);

	if (error) {
		log_error("the configuration is not taken over: all stays as it was");
		return error;
	}
	*config = after; /* which all guests look at */
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++) {
		char at_once[DAEMON_NAMES_MAX], at_reset[DAEMON_NAMES_MAX];
		struct guest *guest = gpu_daemon->guests[i];

		if (!guest ||
		    !guest_reconfigure(guest, &before, at_once, at_reset, sizeof(at_once)))
			continue;
		count++;
		if (changed)
			changed(data, guest, at_once, at_reset);
	}
	config_finish(&before);
	discovery_set_need_names(gpu_daemon->discovery, config->guests != NULL);
	log_info("the configuration was read anew: %u guest%s other settings", count,
	    count == 1 ? " has" : "s have");
	return 0;
}

/* ------------------------------------------------------------------ the seat */

static void daemon_seat_came(void *data)
{
	struct gpu_daemon *gpu_daemon = data;

	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		if (gpu_daemon->guests[i])
			guest_seat_came(gpu_daemon->guests[i]);
}

static void daemon_seat_unsure(void *data, uint16_t domid, unsigned devid)
{
	struct guest **guest = daemon_find(data, domid);

	if (guest)
		guest_seat_unsure(*guest, devid);
}

/* Guests are served without, too. */
static void daemon_open_seat(struct gpu_daemon *gpu_daemon)
{
	const struct seat_link_options options = {
		.path = gpu_daemon->options.seat_path,
		.event = gpu_daemon->options.event,
		.connected = daemon_seat_came,
		.unsure = daemon_seat_unsure,
		.data = gpu_daemon,
	};

	if (options.path && *options.path)
		seat_link_create(&options, &gpu_daemon->seat);
}

/* ------------------------------------------------------ a predecessor's guests */

static void daemon_adopt_guest(struct gpu_daemon *gpu_daemon, uint16_t domid)
{
	const struct guest_options options = daemon_guest_options(gpu_daemon, domid, NULL);
	struct guest **guest = daemon_find_room(gpu_daemon, domid);
	const struct discovery_device *device;
	unsigned position = 0;

	if (!guest || guest_adopt(&options, guest) < 0)
		return;
	log_info("%s: goes on with what the last gpudomd has left", guest_title(*guest));
	while ((device = guest_next_device(*guest, &position)))
		discovery_expect(gpu_daemon->discovery, device);
	/* It ended between the guest's creation and that of its first device. */
	if (guest_is_empty(*guest))
		daemon_drop_guest(guest);
}

/* Workers of guests that have gone: most end as nobody talks to them any more; one that hangs, or
 * that its guest has taken over, would stay. */
static void daemon_kill_orphans(struct keep *keep)
{
	unsigned position = 0;
	const char *name;

	while ((name = keep_next(keep, &position))) {
		const char *end = strrchr(name, '-');
		int pidfd = end && !strcmp(end, "-pid") ? keep_take(keep, "%s", name) : -1;

		if (pidfd < 0)
			continue;
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		close(pidfd);
		keep_drop(keep, "%s", name);
	}
}

static void daemon_adopt_guests(struct gpu_daemon *gpu_daemon)
{
	struct keep *keep = gpu_daemon->options.keep;
	unsigned position = 0;
	const char *name;

	while ((name = keep_next(keep, &position))) {
		char *end;
		unsigned long domid = strtoul(name, &end, 10);

		if (end != name && !strcmp(end, "-state") && domid <= UINT16_MAX)
			daemon_adopt_guest(gpu_daemon, (uint16_t)domid);
	}
	daemon_kill_orphans(keep);
	keep_drop_rest(keep);
}

/* ----------------------------------------------------------------- life time */

int daemon_create(const struct daemon_options *options, struct gpu_daemon **out)
{
	struct gpu_daemon *gpu_daemon = calloc(1, sizeof(*gpu_daemon));
	const struct discovery_options discovery = {
		.event = options->event,
		.need_names = options->config->guests != NULL,
		.listener = {
			.added = daemon_device_added,
			.removing = daemon_device_removing,
			.closed = daemon_device_closed,
			.alive = daemon_alive,
			.failed = daemon_xenstore_failed,
			.data = gpu_daemon,
		},
	};
	int error;

	if (!gpu_daemon)
		return -ENOMEM;
	gpu_daemon->options = *options;
	gpu_daemon->started_ns = telemetry_now();
	tracing_init(&gpu_daemon->tracing, options->event, daemon_trace_timeout, gpu_daemon);
	error = discovery_create(&discovery, &gpu_daemon->discovery);
	if (error) {
		free(gpu_daemon);
		return error;
	}
	discovery_publish(gpu_daemon->discovery, "starting");
	daemon_open_seat(gpu_daemon);
	daemon_adopt_guests(gpu_daemon);
	discovery_publish(gpu_daemon->discovery, "ready");
	daemon_report(gpu_daemon);
	*out = gpu_daemon;
	return 0;
}

static void daemon_free(struct gpu_daemon *gpu_daemon)
{
	discovery_publish(gpu_daemon->discovery, NULL);
	discovery_destroy(gpu_daemon->discovery);
	seat_link_destroy(gpu_daemon->seat);
	tracing_finish(&gpu_daemon->tracing);
	free(gpu_daemon);
}

void daemon_destroy(struct gpu_daemon *gpu_daemon)
{
	if (!gpu_daemon)
		return;
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		guest_destroy(gpu_daemon->guests[i]);
	daemon_free(gpu_daemon);
}

void daemon_let_go(struct gpu_daemon *gpu_daemon)
{
	if (!gpu_daemon)
		return;
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		guest_let_go(gpu_daemon->guests[i]);
	daemon_free(gpu_daemon);
}
