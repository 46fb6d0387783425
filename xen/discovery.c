/* SPDX-License-Identifier: MIT */
#include "xen/discovery.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <xenstore.h>

#include "backend/log.h"
#include "xen/diagnose.h"
#include "xen/discovery_private.h"
#include "xen/discovery_text.h"

#define STATUS_PATH "drivers/gpudom"
#define TOKEN "gpudom"
#define VALUE_MAX_BYTES 256   /* a value that is longer makes no sense */
#define DOMID_RESERVED 0x7ff0 /* DOMID_FIRST_RESERVED of xen.h */
#define DEVICES_MAX 1024      /* known at a time */

/* libxl fails where the directory goes before it has read state 6, and has no way to say that it
 * has. So the directory stays that long. */
#define CLOSED_USEC (500 * UINT64_C(1000))

/* A device that could not be served is tried again, each time after twice as long. */
#define RETRY_FIRST_USEC (200 * UINT64_C(1000))
#define RETRY_LAST_USEC (300 * UINT64_C(1000000))

#define EVENTS_AT_ONCE 256 /* of xenstore, before vCPUs have their turn */

/* ------------------------------------------------------------------- reading */

/*
 * What a call's errno means. That something is not there, or not for us, is an answer (0). All
 * else says nothing about the devices, and above all not that they are gone: the connection is
 * lost, or xenstored in trouble. gpudomd ends then, to be started anew with all that it serves.
 */
int discovery_check(struct discovery *discovery)
{
	if (errno == ENOENT || errno == EACCES || errno == EINVAL || discovery->error)
		return discovery->error;
	discovery->error = errno ? -errno : -EIO;
	log_error("xenstore is lost: %s. %s", strerror(-discovery->error),
	    diagnose(DIAGNOSE_XENSTORE, discovery->error));
	sd_event_source_set_enabled(discovery->io, SD_EVENT_OFF);
	discovery->options.listener.failed(discovery->options.listener.data, discovery->error);
	return discovery->error;
}

/* A value of at most VALUE_MAX_BYTES, without NUL inside; NULL where there is none (ENOENT), or
 * where it makes no sense (EINVAL). */
char *discovery_read(struct discovery *discovery, const char *format, ...)
{
	char path[PATH_MAX_BYTES], *value;
	unsigned length = 0;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(path))
		return NULL;
	value = xs_read(discovery->xs, XBT_NULL, path, &length);
	if (!value)
		discovery_check(discovery);
	if (value && (length > VALUE_MAX_BYTES || strlen(value) != length)) {
		free(value);
		errno = EINVAL;
		return NULL;
	}
	return value;
}

bool discovery_read_number(struct discovery *discovery, const struct discovery_device *device,
    const char *key, uint64_t max, uint64_t *number)
{
	char *text = discovery_read(discovery, ROOT "/%u/%u/%s", device->domid, device->devid, key);
	bool ok = parse_number(text, max, number);

	free(text);
	return ok;
}

/* The name under which xl knows the guest, or NULL: by default only dom0 and the guest may read it.
 */
static char *discovery_read_name(struct discovery *discovery, uint16_t domid)
{
	char *name = discovery_read(discovery, "/local/domain/%u/name", domid);

	if (name && parse_name(name))
		return name;
	free(name);
	return NULL;
}

/* ---------------------------------------------------------- how it stands with one */

static uint64_t discovery_state(struct discovery *discovery, const struct discovery_device *device)
{
	uint64_t state = 0; /* none */

	discovery_read_number(discovery, device, "state", UINT32_MAX, &state);
	return state;
}

/* Has the toolstack asked to close it? */
static bool discovery_is_closing(struct discovery *discovery, const struct discovery_device *device)
{
	uint64_t online = 1, state = discovery_state(discovery, device);

	discovery_read_number(discovery, device, "online", UINT32_MAX, &online);
	return state && (!online || state == DISCOVERY_CLOSING || state == DISCOVERY_CLOSED);
}

/* ---------------------------------------------------------- the set of devices */

static struct known_device *discovery_find(
    struct discovery *discovery, uint16_t domid, unsigned devid)
{
	for (struct known_device *d = discovery->devices; d; d = d->next)
		if (d->device.domid == domid && d->device.devid == devid)
			return d;
	return NULL;
}

/* One watch serves all devices of a guest. */
static void discovery_watch_name(struct discovery *discovery, struct known_device *known, bool on)
{
	char path[PATH_MAX_BYTES];
	bool others = false;

	if (known->needs_name == on)
		return;
	known->needs_name = on;
	for (struct known_device *d = discovery->devices; d; d = d->next)
		others |= d != known && d->device.domid == known->device.domid && d->needs_name;
	if (others)
		return;
	snprintf(path, sizeof(path), "/local/domain/%u/name", known->device.domid);
	if (!(on ? xs_watch : xs_unwatch)(discovery->xs, path, TOKEN))
		discovery_check(discovery);
}

static void discovery_forget(struct discovery *discovery, struct known_device *known)
{
	struct known_device **link = &discovery->devices;

	discovery_watch_name(discovery, known, false);
	while (*link && *link != known)
		link = &(*link)->next;
	if (*link)
		*link = known->next;
	discovery->count--;
	free(known);
}

/* The device stays unreported until its guest's name can be read; a watch tells. */
static void discovery_wait_for_name(struct discovery *discovery, struct known_device *known)
{
	uint16_t domid = known->device.domid;
	char *own;

	known->state = KNOWN_WAITING;
	if (known->needs_name)
		return;
	discovery_watch_name(discovery, known, true);
	own = discovery_read(discovery, "domid");
	log_info("domain %u waits: there are settings by guest name, and this domain may not read "
		 "its name; in dom0: xenstore-chmod /local/domain/%u/name n0 r%u r%s",
	    domid, domid, domid, own ? own : "DRIVER-DOMAIN");
	free(own);
}

static void discovery_retry_later(struct discovery *discovery, const struct known_device *known)
{
	int enabled = SD_EVENT_OFF;

	log_warning("domain %u, virtio device %u: tried again in %.1f s", known->device.domid,
	    known->device.devid, (double)discovery->retry_usec / 1e6);
	sd_event_source_get_enabled(discovery->retry, &enabled);
	if (enabled != SD_EVENT_OFF)
		return;
	sd_event_source_set_time_relative(discovery->retry, discovery->retry_usec);
	sd_event_source_set_enabled(discovery->retry, SD_EVENT_ONESHOT);
}

/* Reports a device, unless its guest's name is needed and cannot be read yet. */
static void discovery_offer(struct discovery *discovery, struct known_device *known)
{
	struct discovery_device device = known->device;
	char *name = discovery_read_name(discovery, device.domid);

	if (!name && discovery->options.need_names) {
		discovery_wait_for_name(discovery, known);
		return;
	}
	discovery_watch_name(discovery, known, false);
	known->complaint = NULL;
	known->state = KNOWN_SERVED;
	device.guest_name = name;
	if (discovery->options.listener.added(discovery->options.listener.data, &device) < 0) {
		known->state = KNOWN_FAILED;
		discovery_retry_later(discovery, known);
	}
	free(name);
}

void discovery_set_need_names(struct discovery *discovery, bool need_names)
{
	struct known_device *next;

	discovery->options.need_names = need_names;
	for (struct known_device *known = discovery->devices; known && !need_names; known = next) {
		next = known->next;
		if (known->state == KNOWN_WAITING)
			discovery_offer(discovery, known);
	}
}

/* NULL without room. */
static struct known_device *discovery_add(
    struct discovery *discovery, uint16_t domid, unsigned devid, enum known_state state)
{
	struct known_device *known;

	if (discovery->count == DEVICES_MAX) {
		log_guest(&discovery->limit, "more than %u virtio devices: domain %u is ignored",
		    DEVICES_MAX, domid);
		return NULL;
	}
	known = calloc(1, sizeof(*known));
	if (!known)
		return NULL;
	known->device = (struct discovery_device){ .domid = domid, .devid = devid };
	known->state = state;
	known->next = discovery->devices;
	discovery->devices = known;
	discovery->count++;
	return known;
}

void discovery_expect(struct discovery *discovery, const struct discovery_device *device)
{
	struct known_device *known =
	    discovery_add(discovery, device->domid, device->devid, KNOWN_SERVED);

	if (known)
		known->device = *device;
}

/* One that is not served. */
static void discovery_judge(struct discovery *discovery, struct known_device *known)
{
	if (!discovery_is_ours(discovery, known))
		return;
	if (discovery_is_closing(discovery, &known->device)) {
		discovery_close(discovery, known->device.domid, known->device.devid);
		return;
	}
	/* It has its time; unless the toolstack has made it anew. */
	if (known->state == KNOWN_FAILED &&
	    discovery_state(discovery, &known->device) != DISCOVERY_INITIALISING)
		return;
	if (!discovery_parse(discovery, known))
		return;
	discovery_offer(discovery, known);
}

/* Is there still what is served, and wanted? */
static bool discovery_holds(struct discovery *discovery, const struct known_device *known)
{
	const struct discovery_device *device = &known->device;

	/* One that the toolstack has removed and made anew since is another device. */
	return !discovery_is_closing(discovery, device) &&
	       discovery_state(discovery, device) != DISCOVERY_INITIALISING &&
	       discovery->options.listener.alive(discovery->options.listener.data, device->domid);
}

static void discovery_look_at(struct discovery *discovery, uint16_t domid, unsigned devid)
{
	struct known_device *known = discovery_find(discovery, domid, devid);

	if (!known)
		known = discovery_add(discovery, domid, devid, KNOWN_REFUSED);
	if (!known)
		return;
	known->seen = true;
	if (known->state == KNOWN_REMOVING)
		return;
	/* Nor is it of interest any more, unless the toolstack has made it anew. */
	if (known->state == KNOWN_CLOSED &&
	    discovery_state(discovery, &known->device) != DISCOVERY_INITIALISING)
		return;
	if (known->state != KNOWN_SERVED) {
		discovery_judge(discovery, known);
		return;
	}
	if (discovery_holds(discovery, known) || discovery->error)
		return;
	known->state = KNOWN_REMOVING;
	discovery->options.listener.removing(discovery->options.listener.data, domid, devid);
}

/* Directories that are gone: the toolstack did not wait. */
static void discovery_drop_unseen(struct discovery *discovery)
{
	struct known_device *next;

	for (struct known_device *known = discovery->devices; known; known = next) {
		next = known->next;
		if (known->seen || known->state == KNOWN_REMOVING)
			continue;
		if (known->state != KNOWN_SERVED) {
			discovery_forget(discovery, known);
			continue;
		}
		known->state = KNOWN_REMOVING;
		discovery->options.listener.removing(
		    discovery->options.listener.data, known->device.domid, known->device.devid);
		/* That may have forgotten more than this one. */
		next = discovery->devices;
	}
}

/* Nothing to try again: the next failure is a first one. */
static void discovery_calm_down(struct discovery *discovery)
{
	for (struct known_device *known = discovery->devices; known; known = known->next)
		if (known->state == KNOWN_FAILED)
			return;
	discovery->retry_usec = RETRY_FIRST_USEC;
}

static void discovery_scan_domain(struct discovery *discovery, const char *name)
{
	char path[PATH_MAX_BYTES], **devices;
	uint64_t domid, devid;
	unsigned count = 0;

	if (!parse_number(name, DOMID_RESERVED - 1, &domid))
		return;
	snprintf(path, sizeof(path), ROOT "/%u", (unsigned)domid);
	devices = xs_directory(discovery->xs, XBT_NULL, path, &count);
	if (!devices)
		discovery_check(discovery);
	for (unsigned i = 0; devices && i < count; i++)
		if (parse_number(devices[i], UINT16_MAX, &devid))
			discovery_look_at(discovery, (uint16_t)domid, (unsigned)devid);
	free(devices);
}

static int discovery_dispatch_scan(sd_event_source *source, void *data)
{
	struct discovery *discovery = data;
	char **domains;
	unsigned count = 0;

	domains = xs_directory(discovery->xs, XBT_NULL, ROOT, &count);
	if (!domains && discovery_check(discovery) < 0)
		return 0;
	for (struct known_device *known = discovery->devices; known; known = known->next)
		known->seen = false;
	for (unsigned i = 0; domains && i < count; i++)
		discovery_scan_domain(discovery, domains[i]);
	free(domains);
	/* What could not be seen need not be gone. */
	if (!discovery->error)
		discovery_drop_unseen(discovery);
	discovery_calm_down(discovery);
	return 0;
}

/* However many events there were, one look. */
static int discovery_dispatch_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct discovery *discovery = data;

	for (unsigned i = 0; i < EVENTS_AT_ONCE; i++) {
		char **watch = xs_check_watch(discovery->xs);

		free(watch);
		if (watch || errno == EAGAIN) {
			if (watch)
				continue;
			break;
		}
		if (errno == EINVAL)
			errno = EBADF; /* libxenstore's word for a connection that has ended */
		discovery_check(discovery);
		return 0;
	}
	return sd_event_source_set_enabled(discovery->scan, SD_EVENT_ONESHOT);
}

static int discovery_dispatch_retry(sd_event_source *source, uint64_t usec, void *data)
{
	struct discovery *discovery = data;

	discovery->retry_usec *= 2;
	if (discovery->retry_usec > RETRY_LAST_USEC)
		discovery->retry_usec = RETRY_LAST_USEC;
	for (struct known_device *known = discovery->devices; known; known = known->next)
		if (known->state == KNOWN_FAILED)
			known->state = KNOWN_REFUSED;
	return sd_event_source_set_enabled(discovery->scan, SD_EVENT_ONESHOT);
}

/* ------------------------------------------------------------------- writing */

/* NULL removes it. Not where the directory is gone: a write would make it anew. */
static void discovery_write(
    struct discovery *discovery, uint16_t domid, unsigned devid, const char *key, const char *value)
{
	char *state = discovery_read(discovery, ROOT "/%u/%u/state", domid, devid);
	char path[PATH_MAX_BYTES];

	if (!state)
		return;
	free(state);
	snprintf(path, sizeof(path), ROOT "/%u/%u/%s", domid, devid, key);
	if (value ? xs_write(discovery->xs, XBT_NULL, path, value, (unsigned)strlen(value))
		  : xs_rm(discovery->xs, XBT_NULL, path))
		return;
	log_warning("cannot write xenstore's %s: %s", path, strerror(errno));
	discovery_check(discovery);
}

void discovery_set_state(
    struct discovery *discovery, uint16_t domid, unsigned devid, enum discovery_state state)
{
	char value[16];

	snprintf(value, sizeof(value), "%d", (int)state);
	discovery_write(discovery, domid, devid, "state", value);
}

void discovery_set_error(
    struct discovery *discovery, uint16_t domid, unsigned devid, const char *error)
{
	discovery_write(discovery, domid, devid, "error", error);
}

/* Removes the directories of closed devices; not one that the toolstack has made anew since. One
 * that cannot be removed stays known, so that it is not closed again and again. */
static void discovery_sweep(struct discovery *discovery)
{
	struct known_device *next;

	for (struct known_device *known = discovery->devices; known; known = next) {
		char path[PATH_MAX_BYTES];

		next = known->next;
		if (known->state != KNOWN_CLOSED)
			continue;
		snprintf(
		    path, sizeof(path), ROOT "/%u/%u", known->device.domid, known->device.devid);
		if (discovery_state(discovery, &known->device) == DISCOVERY_CLOSED &&
		    !xs_rm(discovery->xs, XBT_NULL, path) && errno != ENOENT)
			log_warning("cannot remove xenstore's %s: %s", path, strerror(errno));
		else
			discovery_forget(discovery, known);
	}
}

static int discovery_dispatch_sweep(sd_event_source *source, uint64_t usec, void *data)
{
	struct discovery *discovery = data;

	discovery_sweep(discovery);
	discovery->options.listener.closed(discovery->options.listener.data);
	/* A domain id is reused in time; look again whether it is there already. */
	return sd_event_source_set_enabled(discovery->scan, SD_EVENT_ONESHOT);
}

void discovery_close(struct discovery *discovery, uint16_t domid, unsigned devid)
{
	struct known_device *known = discovery_find(discovery, domid, devid);

	if (known && known->state == KNOWN_REMOVING &&
	    discovery_state(discovery, &known->device) == DISCOVERY_INITIALISING) {
		/* Removed and made anew meanwhile: what is there now is another device. */
		known->state = KNOWN_REFUSED;
		sd_event_source_set_enabled(discovery->scan, SD_EVENT_ONESHOT);
		return;
	}
	discovery_set_state(discovery, domid, devid, DISCOVERY_CLOSED);
	if (!known)
		return;
	discovery_watch_name(discovery, known, false);
	known->complaint = NULL;
	known->state = KNOWN_CLOSED;
	sd_event_source_set_time_relative(discovery->sweep, CLOSED_USEC);
	sd_event_source_set_enabled(discovery->sweep, SD_EVENT_ONESHOT);
}

void discovery_publish(struct discovery *discovery, const char *status)
{
	bool ok;

	if (status)
		ok = xs_write(discovery->xs, XBT_NULL, STATUS_PATH "/status", status,
		    (unsigned)strlen(status));
	else
		ok = xs_rm(discovery->xs, XBT_NULL, STATUS_PATH);
	if (!ok && !discovery->error)
		log_warning(
		    "cannot publish the status in xenstore's " STATUS_PATH ": %s", strerror(errno));
}

/* ----------------------------------------------------------------- life time */

static int discovery_watch(struct discovery *discovery)
{
	int error;

	/* @releaseDomain: guests that die without the toolstack's good-byes. By default only dom0
	 * gets it; elsewhere the toolstack's removal of the directory tells. */
	if (!xs_watch(discovery->xs, ROOT, TOKEN)) {
		error = errno ? -errno : -EIO;
		log_error("cannot watch xenstore's " ROOT ": %s. %s", strerror(-error),
		    diagnose(DIAGNOSE_XENSTORE, error));
		return error;
	}
	if (!xs_watch(discovery->xs, "@releaseDomain", TOKEN))
		log_debug("no @releaseDomain: %s", strerror(errno));
	error = sd_event_add_io(discovery->options.event, &discovery->io, xs_fileno(discovery->xs),
	    EPOLLIN, discovery_dispatch_io, discovery);
	if (error >= 0)
		error = sd_event_add_defer(
		    discovery->options.event, &discovery->scan, discovery_dispatch_scan, discovery);
	if (error >= 0)
		error = sd_event_add_time_relative(discovery->options.event, &discovery->sweep,
		    CLOCK_MONOTONIC, CLOSED_USEC, 0, discovery_dispatch_sweep, discovery);
	if (error >= 0)
		error = sd_event_source_set_enabled(discovery->sweep, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_time_relative(discovery->options.event, &discovery->retry,
		    CLOCK_MONOTONIC, RETRY_FIRST_USEC, 0, discovery_dispatch_retry, discovery);
	if (error >= 0)
		error = sd_event_source_set_enabled(discovery->retry, SD_EVENT_OFF);
	if (error < 0)
		log_error("cannot watch xenstore: %s", strerror(-error));
	return error < 0 ? error : 0;
}

int discovery_create(const struct discovery_options *options, struct discovery **out)
{
	struct discovery *discovery = calloc(1, sizeof(*discovery));
	int error;

	if (!discovery)
		return -ENOMEM;
	discovery->options = *options;
	discovery->retry_usec = RETRY_FIRST_USEC;
	sd_event_ref(options->event);
	discovery->xs = xs_open(0);
	if (!discovery->xs) {
		error = errno ? -errno : -EIO;
		log_error("cannot open xenstore: %s. %s", strerror(-error),
		    diagnose(DIAGNOSE_XENSTORE, error));
	} else {
		error = discovery_watch(discovery);
	}
	if (error) {
		discovery_destroy(discovery);
		return error;
	}
	*out = discovery;
	return 0;
}

void discovery_destroy(struct discovery *discovery)
{
	if (!discovery)
		return;
	sd_event_source_disable_unref(discovery->io);
	sd_event_source_disable_unref(discovery->scan);
	sd_event_source_disable_unref(discovery->sweep);
	sd_event_source_disable_unref(discovery->retry);
	if (discovery->xs)
		discovery_sweep(discovery);
	while (discovery->devices) {
		struct known_device *known = discovery->devices;

		discovery->devices = known->next;
		free(known);
	}
	if (discovery->xs)
		xs_close(discovery->xs);
	sd_event_unref(discovery->options.event);
	free(discovery);
}
