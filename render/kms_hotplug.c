/* SPDX-License-Identifier: MIT */
/* Cards and monitors that come and go, as udev tells. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "render/kms_private.h"

static struct kms_card *find_card(struct kms *kms, dev_t device)
{
	for (unsigned i = 0; i < KMS_CARDS_MAX; i++) {
		if (kms->cards[i] && kms->cards[i]->device == device)
			return kms->cards[i];
	}
	return NULL;
}

/* Is it a card (not a render node or a connector), of our seat, and the one that was asked for? */
static bool is_ours(struct kms *kms, struct udev_device *device)
{
	const char *name = udev_device_get_sysname(device);
	const char *node = udev_device_get_devnode(device);
	const char *seat = udev_device_get_property_value(device, "ID_SEAT");

	if (!node || !name || strncmp(name, "card", 4) != 0 || strchr(name, '-'))
		return false;
	if (kms->path[0])
		return !strcmp(node, kms->path);
	return !strcmp(seat ? seat : "seat0", seat_session_seat(kms->session));
}

static struct kms_card *add_card(struct kms *kms, struct udev_device *device)
{
	const char *node = udev_device_get_devnode(device);
	dev_t number = udev_device_get_devnum(device);
	int rc = kms_card_add(kms, node, number);

	if (rc < 0) {
		log_warning("Graphics card %s is left out: %s", node,
		    rc == -ENOSPC ? "there are too many" : strerror(-rc));
		return NULL;
	}
	return find_card(kms, number);
}

static bool handle_change(struct kms_card *card, struct udev_device *device)
{
	const char *hotplug = udev_device_get_property_value(device, "HOTPLUG");
	const char *connector = udev_device_get_property_value(device, "CONNECTOR");

	if (!hotplug || strcmp(hotplug, "1") != 0 || !card->master)
		return false;
	return kms_outputs_scan(card, connector ? (uint32_t)strtoul(connector, NULL, 10) : 0);
}

static bool handle_device(struct kms *kms, struct udev_device *device)
{
	const char *action = udev_device_get_action(device);
	struct kms_card *card;

	if (!action || !is_ours(kms, device))
		return false;
	card = find_card(kms, udev_device_get_devnum(device));
	if (!strcmp(action, "add")) {
		if (!card)
			card = add_card(kms, device);
		return card && kms->base.active && kms_card_take(card);
	}
	if (!card)
		return false;
	if (!strcmp(action, "remove")) {
		log_info("Graphics card %s was removed", card->path);
		kms_card_close(card);
		return true;
	}
	return !strcmp(action, "change") && handle_change(card, device);
}

static int handle_monitor(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct kms *kms = data;
	struct udev_device *device;
	bool changed = false;

	while ((device = udev_monitor_receive_device(kms->monitor))) {
		changed |= handle_device(kms, device);
		udev_device_unref(device);
	}
	if (changed)
		kms_tell_outputs(kms);
	return 0;
}

static int find_cards(struct kms *kms)
{
	struct udev_enumerate *all = udev_enumerate_new(kms->udev);
	struct udev_list_entry *entry;
	int rc = -ENOMEM;

	if (!all)
		return rc;
	udev_enumerate_add_match_subsystem(all, "drm");
	udev_enumerate_add_match_sysname(all, "card[0-9]*");
	rc = udev_enumerate_scan_devices(all);
	udev_list_entry_foreach(entry, rc < 0 ? NULL : udev_enumerate_get_list_entry(all))
	{
		struct udev_device *device =
		    udev_device_new_from_syspath(kms->udev, udev_list_entry_get_name(entry));

		if (device && is_ours(kms, device))
			add_card(kms, device);
		udev_device_unref(device);
	}
	udev_enumerate_unref(all);
	return rc < 0 ? rc : 0;
}

int kms_hotplug_start(struct kms *kms)
{
	/* Without a udev daemon the kernel's own events do. */
	const char *source = access("/run/udev/control", F_OK) == 0 ? "udev" : "kernel";
	int rc = -ENOMEM;

	kms->udev = udev_new();
	if (!kms->udev)
		return rc;
	kms->monitor = udev_monitor_new_from_netlink(kms->udev, source);
	if (!kms->monitor)
		return rc;
	rc = udev_monitor_filter_add_match_subsystem_devtype(kms->monitor, "drm", NULL);
	if (rc >= 0)
		rc = udev_monitor_enable_receiving(kms->monitor);
	if (rc >= 0)
		rc = sd_event_add_io(kms->event, &kms->monitor_io,
		    udev_monitor_get_fd(kms->monitor), EPOLLIN, handle_monitor, kms);
	return rc < 0 ? rc : find_cards(kms);
}

void kms_hotplug_stop(struct kms *kms)
{
	sd_event_source_disable_unref(kms->monitor_io);
	udev_monitor_unref(kms->monitor);
	udev_unref(kms->udev);
}
