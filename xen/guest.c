/* SPDX-License-Identifier: MIT */
#include "xen/guest.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/config.h"
#include "xen/guest_device.h"
#include "xen/ioreq.h"
#include "xen/keep.h"
#include "xen/mmio.h"

struct guest {
	struct guest_options options;
	char *title;
	const char *worker_name; /* for the worker's log */
	struct guest_state *state;
	bool found; /* its server was there, and nothing else */
	struct ioreq_server *server;
	struct guest_device *devices[GUEST_DEVICES_MAX];
	struct log_limit limit;
};

uint16_t guest_domid(const struct guest *guest)
{
	return guest->options.domid;
}

const char *guest_name(const struct guest *guest)
{
	return guest->state->name;
}

const char *guest_seat_name(const struct guest *guest)
{
	return guest->worker_name;
}

const char *guest_title(const struct guest *guest)
{
	return guest->title;
}

bool guest_is_empty(const struct guest *guest)
{
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->devices[i])
			return false;
	return true;
}

unsigned guest_served(const struct guest *guest)
{
	unsigned served = 0;

	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		served += guest->devices[i] && guest_device_serves(guest->devices[i]);
	return served;
}

void guest_log_statistics(const struct guest *guest)
{
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->devices[i])
			guest_device_log_statistics(guest->devices[i]);
}

void guest_seat_came(struct guest *guest)
{
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->devices[i])
			guest_device_seat_came(guest->devices[i]);
}

void guest_seat_unsure(struct guest *guest, unsigned devid)
{
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->devices[i] &&
		    guest_device_description(guest->devices[i])->devid == devid)
			guest_device_seat_unsure(guest->devices[i]);
}

bool guest_is_alive(struct guest *guest)
{
	return ioreq_is_alive(guest->server);
}

static bool guest_access(void *data, struct ioreq_access *access)
{
	struct guest *guest = data;

	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++) {
		struct guest_device *device = guest->devices[i];
		uint64_t base;

		if (!device)
			continue;
		base = guest_device_description(device)->base;
		if (access->address >= base && access->address - base < MMIO_SIZE)
			return guest_device_access(device, access);
	}
	log_guest(&guest->limit, "%s: access to %#llx, where no device is", guest->title,
	    (unsigned long long)access->address);
	access->value = UINT64_MAX;
	return true;
}

/* A request of a vCPU that waits for some devices. */
struct guest_invalidation {
	struct guest *guest;
	unsigned vcpu, waiting;
};

static void guest_invalidated(void *data)
{
	struct guest_invalidation *invalidation = data;

	if (--invalidation->waiting)
		return;
	ioreq_complete(invalidation->guest->server, invalidation->vcpu, 0);
	free(invalidation);
}

static bool guest_invalidate(void *data, unsigned vcpu)
{
	struct guest *guest = data;
	struct guest_invalidation *invalidation = calloc(1, sizeof(*invalidation));

	if (!invalidation)
		return true;
	invalidation->guest = guest;
	invalidation->vcpu = vcpu;
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->devices[i] &&
		    guest_device_invalidate(guest->devices[i], guest_invalidated, invalidation))
			invalidation->waiting++;
	if (invalidation->waiting)
		return false;
	free(invalidation);
	return true;
}

static void guest_device_is_serving(void *data, struct guest_device *device)
{
	struct guest *guest = data;

	guest->options.serving(guest->options.data, guest_device_description(device));
}

static void guest_device_complains(void *data, struct guest_device *device, const char *what)
{
	struct guest *guest = data;

	guest->options.complain(guest->options.data, guest->options.domid,
	    guest_device_description(device)->devid, what);
}

static void guest_device_has_stopped(void *data, struct guest_device *device)
{
	struct guest *guest = data;
	const struct discovery_device description = *guest_device_description(device);

	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++) {
		if (guest->devices[i] != device)
			continue;
		guest->devices[i] = NULL;
		guest_device_destroy(device);
		guest->state->devices[i].used = false;
		guest_state_order();
		memset(&guest->state->devices[i], 0, sizeof(guest->state->devices[i]));
	}
	guest->options.removed(guest->options.data, &description);
}

/* Slot of a device whose registers would not overlap another's; -1 without. */
static int guest_find_slot(const struct guest *guest, uint64_t base)
{
	int slot = -1;

	for (int i = GUEST_DEVICES_MAX - 1; i >= 0; i--) {
		const struct discovery_device *other;

		if (!guest->devices[i]) {
			slot = i;
			continue;
		}
		other = guest_device_description(guest->devices[i]);
		if (base < other->base + MMIO_SIZE && other->base < base + MMIO_SIZE)
			return -1;
	}
	return slot;
}

/* Whose settings it has; NULL: the default ones. */
static const char *guest_section(const struct guest *guest)
{
	return *guest->state->name ? guest->state->name : NULL;
}

static enum config_device guest_config_device(const struct discovery_device *device)
{
	return device->virtio_id == VIRTIO_ID_INPUT ? CONFIG_INPUT : CONFIG_GPU;
}

/* What it is. */
static enum seat_input_kind guest_input_kind(
    const struct guest *guest, const struct discovery_device *device)
{
	if (device->virtio_id != VIRTIO_ID_INPUT)
		return SEAT_INPUT_KINDS;
	return config_input_kind(guest->options.config, guest_section(guest), device->rank);
}

/* Another one: with its next worker, it is another device. */
static uint64_t guest_fingerprint(const struct guest *guest, const struct discovery_device *device)
{
	return config_fingerprint(
		   guest->options.config, guest_section(guest), guest_config_device(device)) +
	       guest_input_kind(guest, device);
}

static int guest_make_device(struct guest *guest, unsigned slot)
{
	struct device_state *state = &guest->state->devices[slot];
	struct guest_device_options options = {
		.title = guest->title,
		.worker_name = guest->worker_name,
		.event = guest->options.event,
		.server = guest->server,
		.keep = guest->options.keep,
		.state = state,
		.worker_path = guest->options.worker_path,
		.ioeventfd = guest->options.ioeventfd,
		.trace = guest->options.trace,
		.seat = guest->options.seat,
		.display = config_display(guest->options.config, guest_section(guest)),
		.cgroup = guest->options.cgroup,
		.settings = guest_fingerprint(guest, &state->device),
		.input = guest_input_kind(guest, &state->device),
		.serving = guest_device_is_serving,
		.complain = guest_device_complains,
		.stopped = guest_device_has_stopped,
		.data = guest,
	};
	int error = config_arguments(guest->options.config, guest_section(guest),
	    guest_config_device(&state->device), &options.worker_arguments);

	if (error) {
		log_error("%s: out of memory", guest->title);
		return error;
	}
	config_policy(guest->options.config, guest_section(guest), &options.policy);
	config_limits(guest->options.config, guest_section(guest), &options.limits);
	options.log_level = config_log_level(guest->options.config, guest_section(guest));
	error = guest_device_create(&options, &guest->devices[slot]);
	if (error)
		memset(state, 0, sizeof(*state));
	return error;
}

int guest_add_device(struct guest *guest, const struct discovery_device *device)
{
	int slot = guest_find_slot(guest, device->base);
	struct device_state *state;

	if (slot < 0) {
		log_error("%s: device %u overlaps another one, or there are more than %d",
		    guest->title, device->devid, GUEST_DEVICES_MAX);
		return -ENOSPC;
	}
	state = &guest->state->devices[slot];
	*state = (struct device_state){ .device = *device, .found = guest->found };
	state->device.guest_name = NULL;
	guest_state_order();
	state->used = true;
	return guest_make_device(guest, (unsigned)slot);
}

struct guest_device *guest_next(const struct guest *guest, unsigned *position)
{
	while (*position < GUEST_DEVICES_MAX) {
		struct guest_device *device = guest->devices[(*position)++];

		if (device)
			return device;
	}
	return NULL;
}

struct guest_device *guest_next_gpu(const struct guest *guest, unsigned *position)
{
	struct guest_device *device;

	do
		device = guest_next(guest, position);
	while (device && !guest_device_is_gpu(device));
	return device;
}

const struct discovery_device *guest_next_device(const struct guest *guest, unsigned *position)
{
	const struct guest_device *device = guest_next(guest, position);

	return device ? guest_device_description(device) : NULL;
}

void guest_remove_device(struct guest *guest, unsigned devid)
{
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++) {
		struct guest_device *device = guest->devices[i];

		if (device && guest_device_description(device)->devid == devid) {
			guest_device_stop(device);
			return;
		}
	}
	/* It could not be added. */
	guest->options.removed(guest->options.data,
	    &(struct discovery_device){ .domid = guest->options.domid, .devid = devid });
}

/* -------------------------------------------------------------- new settings */

/* The worker's log, unless gpudomctl has set it since. */
static bool guest_log_level_changed(const struct guest *guest, const struct config *before)
{
	const char *a = config_get(before, guest_section(guest), "log-level");
	const char *b = config_get(guest->options.config, guest_section(guest), "log-level");

	return strcmp(a ? a : "", b ? b : "") != 0;
}

static void guest_apply_at_once(struct guest *guest, const struct config *before)
{
	const struct config *config = guest->options.config;
	const bool level_changed = guest_log_level_changed(guest, before);
	struct guest_policy policy;
	struct gpu_limits limits;

	config_limits(config, guest_section(guest), &limits);
	config_policy(config, guest_section(guest), &policy);
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++) {
		if (!guest->devices[i])
			continue;
		guest_device_set_limits(guest->devices[i], &limits);
		guest_device_set_policy(guest->devices[i], &policy);
		if (level_changed)
			guest_device_set_log_level(
			    guest->devices[i], config_log_level(config, guest_section(guest)));
	}
}

static void guest_apply_at_reset(struct guest *guest)
{
	const struct config *config = guest->options.config;

	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++) {
		const struct discovery_device *device;
		char **arguments;

		if (!guest->devices[i])
			continue;
		device = guest_device_description(guest->devices[i]);
		if (config_arguments(
			config, guest_section(guest), guest_config_device(device), &arguments) < 0)
			log_error("%s: out of memory: its settings stay", guest->title);
		else
			guest_device_set_arguments(guest->devices[i], arguments,
			    config_display(config, guest_section(guest)),
			    guest_input_kind(guest, device), guest_fingerprint(guest, device));
	}
}

bool guest_reconfigure(
    struct guest *guest, const struct config *before, char *at_once, char *at_reset, size_t size)
{
	const struct config *config = guest->options.config;
	const char *section = guest_section(guest);

	if (config_compare(before, config, section, true, at_once, size)) {
		log_info("%s: these settings hold from now on: %s", guest->title, at_once);
		guest_apply_at_once(guest, before);
	}
	if (config_compare(before, config, section, false, at_reset, size)) {
		log_info("%s: these settings hold when the guest next resets its device: %s",
		    guest->title, at_reset);
		guest_apply_at_reset(guest);
	}
	return *at_once || *at_reset;
}

/* ----------------------------------------------------------------- life time */

/* Closes nothing of Xen's. */
static void guest_free(struct guest *guest)
{
	guest_state_unmap(guest->state);
	free(guest->title);
	free(guest);
}

/* Takes @state over, also on failure. */
static int guest_new(
    const struct guest_options *options, struct guest_state *state, struct guest **out)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	const char *name = state->name;

	if (!guest) {
		guest_state_unmap(state);
		return -ENOMEM;
	}
	guest->options = *options;
	guest->options.name = NULL;
	guest->state = state;
	if (*name ? asprintf(&guest->title, "guest %s", name) < 0
		  : asprintf(&guest->title, "domain %u", options->domid) < 0) {
		guest->title = NULL;
		guest_free(guest);
		return -ENOMEM;
	}
	guest->worker_name = *name ? name : guest->title;
	*out = guest;
	return 0;
}

static struct ioreq_options guest_ioreq_options(struct guest *guest)
{
	return (struct ioreq_options){
		.name = guest->title,
		.domid = guest->options.domid,
		.event = guest->options.event,
		.state = &guest->state->ioreq,
		.access = guest_access,
		.invalidate = guest_invalidate,
		.data = guest,
	};
}

static int guest_open_server(struct guest *guest, uint64_t base)
{
	const struct ioreq_options options = guest_ioreq_options(guest);
	int error = ioreq_create(&options, base, &guest->server);

	if (error || !ioreq_was_found(guest->server))
		return error;
	guest->found = true;
	log_warning(
	    "%s: an earlier gpudomd served it, and nobody kept what it knew: the guest goes "
	    "on, but must reset its devices",
	    guest->title);
	return 0;
}

int guest_create(const struct guest_options *options, uint64_t base, struct guest **out)
{
	struct guest_state *state;
	struct guest *guest;
	int fd, error = guest_state_create(options->domid, options->name, &state, &fd);

	if (error) {
		log_error("domain %u: cannot make a file in memory: %s", options->domid,
		    strerror(-error));
		return error;
	}
	error = guest_new(options, state, &guest);
	if (error)
		goto error_fd;
	error = guest_open_server(guest, base);
	if (error)
		goto error_guest;
	keep_push(options->keep, fd, "%u-state", options->domid);
	keep_push(options->keep, ioreq_evtchn_fd(guest->server), "%u-evtchn", options->domid);
	close(fd);
	*out = guest;
	return 0;

error_guest:
	guest_free(guest);
error_fd:
	close(fd);
	return error;
}

/* The state that a predecessor has left. */
static int guest_find_state(const struct guest_options *options, struct guest_state **state)
{
	int fd = keep_take(options->keep, "%u-state", options->domid);
	int error;

	if (fd < 0)
		return -ENOENT;
	error = guest_state_adopt(fd, options->domid, state);
	close(fd);
	if (error == -ESTALE)
		log_info("domain %u: what was kept of it is another version's", options->domid);
	return error;
}

static void guest_adopt_devices(struct guest *guest)
{
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		if (guest->state->devices[i].used)
			guest_make_device(guest, i);
}

int guest_adopt(const struct guest_options *options, struct guest **out)
{
	struct ioreq_options ioreq;
	struct guest_state *state;
	struct guest *guest;
	int error = guest_find_state(options, &state);

	if (error)
		goto error;
	error = guest_new(options, state, &guest);
	if (error)
		goto error;
	ioreq = guest_ioreq_options(guest);
	error = ioreq_adopt(
	    &ioreq, keep_take(options->keep, "%u-evtchn", options->domid), &guest->server);
	if (error) {
		if (error == -ENOENT || error == -ESRCH)
			log_info("%s has gone while no gpudomd was there", guest->title);
		guest_free(guest);
		goto error;
	}
	guest_adopt_devices(guest);
	*out = guest;
	return 0;

error:
	keep_drop(options->keep, "%u-state", options->domid);
	keep_drop(options->keep, "%u-evtchn", options->domid);
	return error;
}

void guest_let_go(struct guest *guest)
{
	if (!guest)
		return;
	ioreq_freeze(guest->server);
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		guest_device_let_go(guest->devices[i]);
	ioreq_let_go(guest->server);
	guest_free(guest);
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	for (unsigned i = 0; i < GUEST_DEVICES_MAX; i++)
		guest_device_destroy(guest->devices[i]);
	ioreq_destroy(guest->server);
	keep_drop(guest->options.keep, "%u-state", guest->options.domid);
	keep_drop(guest->options.keep, "%u-evtchn", guest->options.domid);
	guest_free(guest);
}
