/* SPDX-License-Identifier: MIT */
#include "xen/discovery.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <xenstore.h>

#include "backend/log.h"
#include "xen/diagnose.h"
#include "xen/discovery_text.h"
#include "xen/mmio.h"

#define ROOT "backend/virtio"
#define STATUS_PATH "drivers/gpudom"
#define TOKEN "gpudom"
#define PATH_MAX_BYTES 128
#define VALUE_MAX_BYTES 256   /* a value that is longer makes no sense */
#define DOMID_RESERVED 0x7ff0 /* DOMID_FIRST_RESERVED of xen.h */
#define IRQ_FIRST 32          /* shared peripheral interrupts of the GIC */
#define IRQ_END 1020
#define DEVICES_MAX 1024 /* known at a time */

/* libxl fails where the directory goes before it has read state 6, and has no way to say that it
 * has. So the directory stays that long. */
#define CLOSED_USEC (500 * UINT64_C(1000))

/* A device that could not be served is tried again, each time after twice as long. */
#define RETRY_FIRST_USEC (200 * UINT64_C(1000))
#define RETRY_LAST_USEC (300 * UINT64_C(1000000))

#define EVENTS_AT_ONCE 256 /* of xenstore, before vCPUs have their turn */

enum known_state {
	KNOWN_WAITING, /* for its guest's name */
	KNOWN_SERVED,
	KNOWN_REMOVING,
	KNOWN_CLOSED,  /* state 6; the directory goes next */
	KNOWN_REFUSED, /* its keys are wrong or not complete; looked at again when they change */
	KNOWN_FAILED,  /* it could not be served; tried again after a time */
	KNOWN_OTHERS,  /* no business of ours */
};

struct known_device {
	struct known_device *next;
	struct discovery_device device;
	enum known_state state;
	const char *complaint; /* what was said last of its keys, to say it once */
	bool seen;             /* in the scan under way */
	bool needs_name;       /* its guest's name is watched */
};

struct discovery {
	struct discovery_options options;
	struct xs_handle *xs;
	sd_event_source *io, *scan, *sweep, *retry;
	uint64_t retry_usec;
	int error; /* xenstore cannot be used any more */
	struct known_device *devices;
	unsigned count;
	struct log_limit limit;
};

/* ------------------------------------------------------------------- reading */

/*
 * What a call's errno means. That something is not there, or not for us, is an answer (0). All
 * else says nothing about the devices, and above all not that they are gone: the connection is
 * lost, or xenstored in trouble. gpudomd ends then, to be started anew with all that it serves.
 */
static int discovery_check(struct discovery *discovery)
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
static char *discovery_read(struct discovery *discovery, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static char *discovery_read(struct discovery *discovery, const char *format, ...)
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

static bool discovery_read_number(struct discovery *discovery,
    const struct discovery_device *device, const char *key, uint64_t max, uint64_t *number)
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

/* ---------------------------------------------------------- one device's keys */

/* False: it is not served for now. Said once. */
static bool discovery_complain(struct known_device *known, const char *what, const char *cure)
{
	const struct discovery_device *device = &known->device;

	known->state = KNOWN_REFUSED;
	if (known->complaint != what)
		log_error("domain %u, virtio device %u: %s in xenstore (" ROOT "/%u/%u): %s",
		    device->domid, device->devid, what, device->domid, device->devid, cure);
	known->complaint = what;
	return false;
}

static bool discovery_wrong(struct known_device *known, const char *what)
{
	return discovery_complain(known, what, "not served");
}

/* A key is not there, perhaps not yet; the watch tells when it is. */
static bool discovery_missing(struct known_device *known, const char *what)
{
	return discovery_complain(known, what, "not served until there is one");
}

/* Whether it is ours to serve. */
static bool discovery_is_ours(struct discovery *discovery, struct known_device *known)
{
	static const char complaint[] = "of another type";
	struct discovery_device *device = &known->device;
	char *type = discovery_read(discovery, ROOT "/%u/%u/type", device->domid, device->devid);
	bool ours = parse_type(type, &device->virtio_id) &&
		    (device->virtio_id == VIRTIO_ID_GPU || device->virtio_id == VIRTIO_ID_INPUT);

	if (!type && errno == ENOENT)
		return discovery_missing(known, "no type");
	if (!ours && known->complaint != complaint) {
		log_info("domain %u, virtio device %u is of type '%.32s', neither virtio,device10 "
			 "(a GPU) nor virtio,device12 (input): left to others",
		    device->domid, device->devid, type ? type : "");
		known->complaint = complaint;
	}
	if (!ours)
		known->state = KNOWN_OTHERS;
	free(type);
	return ours;
}

/* How many of the guest's devices of the same type come before it. */
static unsigned discovery_rank(struct discovery *discovery, const struct discovery_device *device)
{
	char path[PATH_MAX_BYTES], **devices;
	unsigned count = 0, rank = 0;

	snprintf(path, sizeof(path), ROOT "/%u", device->domid);
	devices = xs_directory(discovery->xs, XBT_NULL, path, &count);
	if (!devices)
		discovery_check(discovery);
	for (unsigned i = 0; devices && i < count; i++) {
		uint32_t virtio_id;
		uint64_t devid;
		char *type;

		if (!parse_number(devices[i], UINT16_MAX, &devid) || devid >= device->devid)
			continue;
		type =
		    discovery_read(discovery, ROOT "/%u/%u/type", device->domid, (unsigned)devid);
		rank += parse_type(type, &virtio_id) && virtio_id == device->virtio_id;
		free(type);
	}
	free(devices);
	return rank;
}

/* Checks and fills in what the toolstack has written. False: it can't be served; said why. */
static bool discovery_parse(struct discovery *discovery, struct known_device *known)
{
	static const struct {
		const char *key, *missing;
	} needed[] = {
		{ "frontend-id", "no frontend-id" },
		{ "state", "no state" },
		{ "transport", "no transport" },
		{ "base", "no base" },
		{ "irq", "no irq" },
		{ "grant_usage", "no grant_usage" },
	};
	struct discovery_device *device = &known->device;
	uint64_t base, irq, grants, frontend;
	char *transport;
	bool ok;

	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		char *value = discovery_read(
		    discovery, ROOT "/%u/%u/%s", device->domid, device->devid, needed[i].key);

		if (!value && errno == ENOENT)
			return discovery_missing(known, needed[i].missing);
		free(value);
	}
	if (!discovery_read_number(discovery, device, "frontend-id", UINT16_MAX, &frontend) ||
	    frontend != device->domid)
		return discovery_wrong(known, "a frontend-id that is not the guest's");
	transport =
	    discovery_read(discovery, ROOT "/%u/%u/transport", device->domid, device->devid);
	ok = transport && !strcmp(transport, "mmio");
	free(transport);
	if (!ok)
		return discovery_wrong(known, "a transport that is not mmio");
	if (!discovery_read_number(discovery, device, "base", UINT64_MAX - MMIO_SIZE, &base) ||
	    base % 4)
		return discovery_wrong(known, "a base that makes no sense");
	if (!discovery_read_number(discovery, device, "irq", IRQ_END - 1, &irq) || irq < IRQ_FIRST)
		return discovery_wrong(known, "an irq that makes no sense");
	if (!discovery_read_number(discovery, device, "grant_usage", 1, &grants))
		return discovery_wrong(known, "a grant_usage that is neither 0 nor 1");
	device->base = base;
	device->irq = (uint32_t)irq;
	device->grants = grants;
	device->rank = discovery_rank(discovery, device);
	return true;
}

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
