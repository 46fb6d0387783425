/* SPDX-License-Identifier: MIT */
#include "xen/discovery.h"

#include <ctype.h>
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
#include "xen/mmio.h"

#define ROOT "backend/virtio"
#define STATUS_PATH "drivers/gpudom"
#define TOKEN "gpudom"
#define PATH_MAX_BYTES 128
#define VALUE_MAX_BYTES 256 /* a value that is longer makes no sense */
#define NAME_MAX_BYTES 128
#define DOMID_RESERVED 0x7ff0 /* DOMID_FIRST_RESERVED of xen.h */
#define IRQ_FIRST 32          /* shared peripheral interrupts of the GIC */
#define IRQ_END 1020
#define DEVICES_MAX 1024 /* known at a time */

/* libxl fails where the directory goes before it has read state 6, and has no way to say that it
 * has. So the directory stays that long. */
#define CLOSED_USEC (500 * UINT64_C(1000))

enum known_state {
	KNOWN_WAITING, /* for its guest's name */
	KNOWN_SERVED,
	KNOWN_REMOVING,
	KNOWN_CLOSED,  /* state 6; the directory goes next */
	KNOWN_REFUSED, /* a GPU that cannot be served; said once */
	KNOWN_OTHERS,  /* no business of ours; said once */
};

struct known_device {
	struct known_device *next;
	struct discovery_device device;
	enum known_state state;
	bool seen; /* in the scan under way */
};

struct discovery {
	struct discovery_options options;
	struct xs_handle *xs;
	sd_event_source *io, *scan, *sweep;
	struct known_device *devices;
	unsigned count;
	struct log_limit limit;
};

/* ------------------------------------------------------------------- reading */

/* A value of at most VALUE_MAX_BYTES, without NUL inside; NULL where there is none. */
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
	if (value && (length > VALUE_MAX_BYTES || strlen(value) != length)) {
		free(value);
		errno = EINVAL;
		return NULL;
	}
	return value;
}

/* A whole number in @text, decimal or 0x..., up to @max. */
static bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
	char *end;

	if (!text || !isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoull(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10);
	return !errno && !*end && *number <= max;
}

static bool discovery_read_number(struct discovery *discovery,
    const struct discovery_device *device, const char *key, uint64_t max, uint64_t *number)
{
	char *text = discovery_read(discovery, ROOT "/%u/%u/%s", device->domid, device->devid, key);
	bool ok = parse_number(text, max, number);

	free(text);
	return ok;
}

/* "virtio,device10": the virtio id, in hexadecimal. */
static bool parse_type(const char *text, uint32_t *virtio_id)
{
	static const char prefix[] = "virtio,device";
	char *end;
	unsigned long id;

	if (!text || strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return false;
	text += sizeof(prefix) - 1;
	if (!isxdigit((unsigned char)*text) || strlen(text) > 4)
		return false;
	id = strtoul(text, &end, 16);
	*virtio_id = (uint32_t)id;
	return !*end;
}

/* The name under which xl knows the guest, or NULL: by default only dom0 and the guest may read it.
 * Control characters would spoil the log. */
static char *discovery_read_name(struct discovery *discovery, uint16_t domid)
{
	char *name = discovery_read(discovery, "/local/domain/%u/name", domid);

	if (name && (!*name || strlen(name) > NAME_MAX_BYTES)) {
		free(name);
		return NULL;
	}
	for (char *c = name; c && *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	return name;
}

/* ---------------------------------------------------------- one device's keys */

static bool discovery_wrong(const struct discovery_device *device, const char *what)
{
	log_error("domain %u, virtio device %u: %s in xenstore (" ROOT "/%u/%u): not served",
	    device->domid, device->devid, what, device->domid, device->devid);
	return false;
}

static bool discovery_is_gpu(struct discovery *discovery, struct discovery_device *device)
{
	char *type = discovery_read(discovery, ROOT "/%u/%u/type", device->domid, device->devid);
	bool gpu = parse_type(type, &device->virtio_id) && device->virtio_id == VIRTIO_ID_GPU;

	if (!gpu)
		log_info("domain %u, virtio device %u is of type '%.32s', not virtio,device10 (a "
			 "GPU): left to others",
		    device->domid, device->devid, type ? type : "");
	free(type);
	return gpu;
}

/* Checks and fills in what the toolstack has written. False: it can't be served; said why. */
static bool discovery_parse(struct discovery *discovery, struct discovery_device *device)
{
	uint64_t base, irq, grants = 1;
	char *transport;
	bool ok;

	transport =
	    discovery_read(discovery, ROOT "/%u/%u/transport", device->domid, device->devid);
	ok = transport && !strcmp(transport, "mmio");
	free(transport);
	if (!ok)
		return discovery_wrong(device, "no transport=mmio");
	if (!discovery_read_number(discovery, device, "base", UINT64_MAX - MMIO_SIZE, &base) ||
	    base % 4)
		return discovery_wrong(device, "no base, or one that makes no sense,");
	if (!discovery_read_number(discovery, device, "irq", IRQ_END - 1, &irq) || irq < IRQ_FIRST)
		return discovery_wrong(device, "no irq, or one that makes no sense,");
	if (!discovery_read_number(discovery, device, "grant_usage", 1, &grants) || !grants)
		return discovery_wrong(device,
		    "grant_usage is not 1 (it serves guests by grants only: set grant_usage=1 in "
		    "the guest's virtio= line)");
	device->base = base;
	device->irq = (uint32_t)irq;
	return true;
}

/* Has the toolstack asked to close it? */
static bool discovery_is_closing(struct discovery *discovery, const struct discovery_device *device)
{
	uint64_t online = 1, state = DISCOVERY_INITIALISING;

	discovery_read_number(discovery, device, "online", UINT32_MAX, &online);
	discovery_read_number(discovery, device, "state", UINT32_MAX, &state);
	return !online || state == DISCOVERY_CLOSING || state == DISCOVERY_CLOSED;
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

static void discovery_watch_name(struct discovery *discovery, uint16_t domid, bool on)
{
	char path[PATH_MAX_BYTES];

	snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
	if (on)
		xs_watch(discovery->xs, path, TOKEN);
	else
		xs_unwatch(discovery->xs, path, TOKEN);
}

static void discovery_forget(struct discovery *discovery, struct known_device *known)
{
	struct known_device **link = &discovery->devices;

	while (*link != known)
		link = &(*link)->next;
	*link = known->next;
	discovery->count--;
	if (known->state == KNOWN_WAITING)
		discovery_watch_name(discovery, known->device.domid, false);
	free(known);
}

/* The device stays unreported until its guest's name can be read; a watch tells. */
static void discovery_wait_for_name(struct discovery *discovery, struct known_device *known)
{
	uint16_t domid = known->device.domid;
	char *own;

	if (known->state == KNOWN_WAITING)
		return;
	known->state = KNOWN_WAITING;
	discovery_watch_name(discovery, domid, true);
	own = discovery_read(discovery, "domid");
	log_info("domain %u waits: there are settings by guest name, and this domain may not read "
		 "its name; in dom0: xenstore-chmod /local/domain/%u/name n0 r%u r%s",
	    domid, domid, domid, own ? own : "DRIVER-DOMAIN");
	free(own);
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
	if (known->state == KNOWN_WAITING)
		discovery_watch_name(discovery, device.domid, false);
	known->state = KNOWN_SERVED;
	device.guest_name = name;
	discovery->options.listener.added(discovery->options.listener.data, &device);
	free(name);
}

/* A directory that was not there before. */
static void discovery_meet(struct discovery *discovery, uint16_t domid, unsigned devid)
{
	struct known_device *known;
	uint64_t state = 0;

	if (discovery->count == DEVICES_MAX) {
		log_guest(&discovery->limit, "more than %u virtio devices: domain %u is ignored",
		    DEVICES_MAX, domid);
		return;
	}
	known = calloc(1, sizeof(*known));
	if (!known)
		return;
	known->device = (struct discovery_device){ .domid = domid, .devid = devid };
	known->state = KNOWN_OTHERS;
	known->seen = true;
	known->next = discovery->devices;
	discovery->devices = known;
	discovery->count++;

	if (!discovery_is_gpu(discovery, &known->device))
		return;
	known->state = KNOWN_REFUSED;
	if (!discovery_parse(discovery, &known->device))
		return;
	if (discovery_is_closing(discovery, &known->device)) {
		discovery_close(discovery, domid, devid);
		return;
	}
	discovery_read_number(discovery, &known->device, "state", UINT32_MAX, &state);
	if (state != DISCOVERY_INITIALISING && state != DISCOVERY_INIT_WAIT) {
		log_error("domain %u, virtio device %u was served by an earlier gpudomd: its guest "
			  "cannot be taken over, destroy it and start it anew",
		    domid, devid);
		return;
	}
	discovery_offer(discovery, known);
}

static void discovery_look_at(struct discovery *discovery, uint16_t domid, unsigned devid)
{
	struct known_device *known = discovery_find(discovery, domid, devid);

	if (!known) {
		discovery_meet(discovery, domid, devid);
		return;
	}
	known->seen = true;
	if (known->state == KNOWN_REMOVING || known->state == KNOWN_CLOSED ||
	    known->state == KNOWN_OTHERS)
		return;
	if (!discovery_is_closing(discovery, &known->device) &&
	    (known->state != KNOWN_SERVED ||
		discovery->options.listener.alive(discovery->options.listener.data, domid))) {
		if (known->state == KNOWN_WAITING)
			discovery_offer(discovery, known);
		return;
	}
	if (known->state != KNOWN_SERVED) {
		discovery_close(discovery, domid, devid);
		return;
	}
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

static void discovery_scan_domain(struct discovery *discovery, const char *name)
{
	char path[PATH_MAX_BYTES], **devices;
	uint64_t domid, devid;
	unsigned count = 0;

	if (!parse_number(name, DOMID_RESERVED - 1, &domid))
		return;
	snprintf(path, sizeof(path), ROOT "/%u", (unsigned)domid);
	devices = xs_directory(discovery->xs, XBT_NULL, path, &count);
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

	errno = 0;
	domains = xs_directory(discovery->xs, XBT_NULL, ROOT, &count);
	if (!domains && errno != ENOENT) {
		int error = errno ? -errno : -EIO;

		log_error("cannot read xenstore's " ROOT ": %s. %s", strerror(-error),
		    diagnose(DIAGNOSE_XENSTORE, error));
		discovery->options.listener.failed(discovery->options.listener.data, error);
		return 0;
	}
	for (struct known_device *known = discovery->devices; known; known = known->next)
		known->seen = false;
	for (unsigned i = 0; domains && i < count; i++)
		discovery_scan_domain(discovery, domains[i]);
	free(domains);
	discovery_drop_unseen(discovery);
	return 0;
}

/* However many events there were, one look. */
static int discovery_dispatch_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct discovery *discovery = data;
	char **watch;

	while ((watch = xs_check_watch(discovery->xs)))
		free(watch);
	if (errno != EAGAIN) {
		int error = errno ? -errno : -EIO;

		log_error("xenstore's watches are lost: %s", strerror(-error));
		sd_event_source_set_enabled(discovery->io, SD_EVENT_OFF);
		discovery->options.listener.failed(discovery->options.listener.data, error);
		return 0;
	}
	return sd_event_source_set_enabled(discovery->scan, SD_EVENT_ONESHOT);
}

/* ------------------------------------------------------------------- writing */

void discovery_set_state(
    struct discovery *discovery, uint16_t domid, unsigned devid, enum discovery_state state)
{
	char path[PATH_MAX_BYTES], value[16], *frontend;
	int n = snprintf(value, sizeof(value), "%d", (int)state);

	snprintf(path, sizeof(path), ROOT "/%u/%u", domid, devid);
	/* Not where the directory is gone: a write would make it anew. */
	frontend = discovery_read(discovery, "%s/frontend-id", path);
	if (!frontend)
		return;
	free(frontend);
	snprintf(path, sizeof(path), ROOT "/%u/%u/state", domid, devid);
	if (!xs_write(discovery->xs, XBT_NULL, path, value, (unsigned)n))
		log_warning("cannot write xenstore's %s: %s", path, strerror(errno));
}

/* Removes the directories of closed devices; not one that the toolstack has made anew since. */
static void discovery_sweep(struct discovery *discovery)
{
	struct known_device *next;

	for (struct known_device *known = discovery->devices; known; known = next) {
		char path[PATH_MAX_BYTES];
		uint64_t state;

		next = known->next;
		if (known->state != KNOWN_CLOSED)
			continue;
		snprintf(
		    path, sizeof(path), ROOT "/%u/%u", known->device.domid, known->device.devid);
		if (discovery_read_number(discovery, &known->device, "state", UINT32_MAX, &state) &&
		    state == DISCOVERY_CLOSED && !xs_rm(discovery->xs, XBT_NULL, path) &&
		    errno != ENOENT)
			log_warning("cannot remove xenstore's %s: %s", path, strerror(errno));
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

	discovery_set_state(discovery, domid, devid, DISCOVERY_CLOSED);
	if (!known)
		return;
	if (known->state == KNOWN_WAITING)
		discovery_watch_name(discovery, domid, false);
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
	if (!ok)
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
