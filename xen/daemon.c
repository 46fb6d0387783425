/* SPDX-License-Identifier: MIT */
#include "xen/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "backend/log.h"
#include "xen/discovery.h"
#include "xen/guest.h"

struct gpu_daemon {
	struct daemon_options options;
	struct discovery *discovery;
	struct guest *guests[DAEMON_GUESTS_MAX];
};

unsigned daemon_served(const struct gpu_daemon *gpu_daemon)
{
	unsigned served = 0;

	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		if (gpu_daemon->guests[i])
			served += guest_served(gpu_daemon->guests[i]);
	return served;
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

	sd_notifyf(0, "STATUS=%u GPU%s in use by guests", served, served == 1 ? "" : "s");
}

static void daemon_device_serving(void *data, uint16_t domid, unsigned devid)
{
	struct gpu_daemon *gpu_daemon = data;
	struct guest **guest = daemon_find(gpu_daemon, domid);

	log_info(
	    "%s: GPU %u is ready, the guest may run", guest ? guest_title(*guest) : "?", devid);
	discovery_set_state(gpu_daemon->discovery, domid, devid, DISCOVERY_CONNECTED);
	daemon_report(gpu_daemon);
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

static void daemon_device_closed(void *data)
{
	struct gpu_daemon *gpu_daemon = data;

	if (gpu_daemon->options.once && !daemon_has_guests(gpu_daemon))
		sd_event_exit(gpu_daemon->options.event, 0);
}

static void daemon_device_removed(void *data, uint16_t domid, unsigned devid)
{
	struct gpu_daemon *gpu_daemon = data;
	struct guest **guest = daemon_find(gpu_daemon, domid);

	log_info("%s: GPU %u is removed", guest ? guest_title(*guest) : "?", devid);
	/* The server goes before the toolstack is told: nothing of the guest is left then. */
	if (guest && guest_is_empty(*guest))
		daemon_drop_guest(guest);
	discovery_close(gpu_daemon->discovery, domid, devid);
	daemon_report(gpu_daemon);
}

static int daemon_add_guest(
    struct gpu_daemon *gpu_daemon, const struct discovery_device *device, struct guest ***guest)
{
	const struct guest_options options = {
		.domid = device->domid,
		.name = device->guest_name,
		.event = gpu_daemon->options.event,
		.worker_path = gpu_daemon->options.worker_path,
		.ioeventfd = gpu_daemon->options.ioeventfd,
		.serving = daemon_device_serving,
		.removed = daemon_device_removed,
		.data = gpu_daemon,
	};

	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++) {
		if (gpu_daemon->guests[i])
			continue;
		*guest = &gpu_daemon->guests[i];
		return guest_create(&options, *guest);
	}
	log_error("domain %u: there are %d guests already", device->domid, DAEMON_GUESTS_MAX);
	return -ENOSPC;
}

static int daemon_device_added(void *data, const struct discovery_device *device)
{
	struct gpu_daemon *gpu_daemon = data;
	struct guest **guest = daemon_find(gpu_daemon, device->domid);
	char **arguments;
	int error = 0;

	discovery_set_state(
	    gpu_daemon->discovery, device->domid, device->devid, DISCOVERY_INIT_WAIT);
	if (!guest)
		error = daemon_add_guest(gpu_daemon, device, &guest);
	if (error)
		return error;
	error = config_arguments(gpu_daemon->options.config, device->guest_name, &arguments);
	if (error) {
		log_error("%s: out of memory", guest_title(*guest));
	} else {
		log_info("%s: GPU %u at %#llx, interrupt %u, of domain %u", guest_title(*guest),
		    device->devid, (unsigned long long)device->base, device->irq, device->domid);
		error = guest_add_device(*guest, device, arguments);
	}
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

static void daemon_xenstore_failed(void *data, int error)
{
	struct gpu_daemon *gpu_daemon = data;

	sd_event_exit(gpu_daemon->options.event, EXIT_FAILURE);
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
	error = discovery_create(&discovery, &gpu_daemon->discovery);
	if (error) {
		free(gpu_daemon);
		return error;
	}
	discovery_publish(gpu_daemon->discovery, "ready");
	daemon_report(gpu_daemon);
	*out = gpu_daemon;
	return 0;
}

void daemon_destroy(struct gpu_daemon *gpu_daemon)
{
	if (!gpu_daemon)
		return;
	for (unsigned i = 0; i < DAEMON_GUESTS_MAX; i++)
		guest_destroy(gpu_daemon->guests[i]);
	discovery_publish(gpu_daemon->discovery, NULL);
	discovery_destroy(gpu_daemon->discovery);
	free(gpu_daemon);
}
