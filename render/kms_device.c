/* SPDX-License-Identifier: MIT */
/* A card: what it can do, who is its master, and its events. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "render/kms_private.h"

static const struct kms_property_name crtc_names[KMS_CRTC_PROPERTIES] = {
	[KMS_CRTC_ACTIVE] = { .name = "ACTIVE" },
	[KMS_CRTC_MODE_ID] = { .name = "MODE_ID" },
	[KMS_CRTC_GAMMA] = { .name = "GAMMA_LUT" },
	[KMS_CRTC_DEGAMMA] = { .name = "DEGAMMA_LUT" },
	[KMS_CRTC_CTM] = { .name = "CTM" },
	[KMS_CRTC_VRR] = { .name = "VRR_ENABLED" },
};

/* ---------------------------------------------------------------- events */

static struct kms_output *find_output(struct kms_card *card, uint32_t crtc)
{
	for (unsigned i = 0; i < card->kms->base.output_count; i++) {
		struct kms_output *output = &card->kms->outputs[i];

		if (output->card == card && output->crtc >= 0 &&
		    card->crtcs[output->crtc].id == crtc)
			return output;
	}
	return NULL;
}

static void handle_flip(struct kms_card *card, const struct drm_event_vblank *event)
{
	struct kms_output *output = find_output(card, event->crtc_id);
	uint64_t time_ns = (uint64_t)event->tv_sec * 1000000000 + (uint64_t)event->tv_usec * 1000;

	if (output)
		kms_output_flipped(output, event->user_data, event->sequence, time_ns);
}

/* As drmHandleEvent(), which does not say whose card it is. */
static int handle_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct kms_card *card = data;
	uint64_t buffer[128];
	ssize_t size = read(fd, buffer, sizeof(buffer));

	if (size < 0 && errno != EAGAIN && errno != EINTR) {
		log_warning("Graphics card %s has gone: %s", card->path, strerror(errno));
		kms_card_close(card);
		kms_tell_outputs(card->kms);
		return 0;
	}
	for (ssize_t at = 0; at + (ssize_t)sizeof(struct drm_event) <= size && card->fd == fd;) {
		struct drm_event event;
		struct drm_event_vblank vblank;

		memcpy(&event, (uint8_t *)buffer + at, sizeof(event));
		if (event.length < sizeof(event) || event.length > size - at)
			break;
		if (event.type == DRM_EVENT_FLIP_COMPLETE && event.length >= sizeof(vblank)) {
			memcpy(&vblank, (uint8_t *)buffer + at, sizeof(vblank));
			handle_flip(card, &vblank);
		}
		at += event.length;
	}
	return 0;
}

/* ---------------------------------------------------------------- master */

#define RETRY_USEC UINT64_C(2000000)

/* "weston (process 123)", where debugfs says so */
static void name_master(const struct kms_card *card, char *name, size_t size)
{
	char path[64];
	char line[256];
	FILE *clients;

	snprintf(name, size, "another process");
	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%u/clients", minor(card->device));
	clients = fopen(path, "re");
	if (!clients)
		return;
	while (fgets(line, sizeof(line), clients)) {
		char command[24];
		char pid[12];
		char master;

		size_t blanks = strspn(line, " ");

		/* Command (20 columns, for it may have blanks), process, device, master, ... */
		if (strlen(line) < 20 || blanks >= 20 ||
		    sscanf(line + 20, "%11s %*s %c", pid, &master) != 2 || master != 'y')
			continue;
		snprintf(command, sizeof(command), "%.*s", (int)(20 - blanks), line + blanks);
		snprintf(name, size, "%s (process %s)", command, pid);
		break;
	}
	fclose(clients);
}

static int handle_retry(sd_event_source *source, uint64_t usec, void *data)
{
	struct kms *kms = data;
	struct seat_backend_listener *listener = &kms->base.listener;
	bool taken = false;

	for (unsigned i = 0; i < KMS_CARDS_MAX; i++) {
		struct kms_card *card = kms->cards[i];

		if (!card || !card->complained || !kms->base.active)
			continue;
		kms_card_take(card);
		taken |= card->master;
	}
	if (!taken)
		return 0;
	kms_tell_outputs(kms);
	if (listener->active_changed)
		listener->active_changed(listener->data, true);
	return 0;
}

/* Nothing tells when another master goes. */
static void retry_later(struct kms *kms)
{
	if (!kms->master_timer && sd_event_add_time_relative(kms->event, &kms->master_timer,
				      CLOCK_MONOTONIC, RETRY_USEC, 0, handle_retry, kms) < 0)
		return;
	sd_event_source_set_time_relative(kms->master_timer, RETRY_USEC);
	sd_event_source_set_enabled(kms->master_timer, SD_EVENT_ONESHOT);
}

static bool take_master(struct kms_card *card)
{
	char name[128];

	/* Whoever opens it first is its master, and a seat manager makes us that. */
	if (drmIsMaster(card->fd) || drmSetMaster(card->fd) == 0) {
		if (card->complained)
			log_info("%s is ours now", card->path);
		card->master = true;
		card->complained = false;
		return true;
	}
	card->master = false;
	if (!card->complained) {
		int error = errno;

		name_master(card, name, sizeof(name));
		log_warning("%s is being shown on by %s (%s): stop that, and gpudom-seat goes on",
		    card->path, name, strerror(error));
		card->complained = true;
	}
	retry_later(card->kms);
	return false;
}

void kms_card_lost(struct kms_card *card)
{
	char name[128];

	if (!card->master || card->complained)
		return;
	name_master(card, name, sizeof(name));
	log_warning("%s was taken by %s: nothing can be shown until that ends", card->path, name);
	card->master = false;
	card->complained = true;
	retry_later(card->kms);
}

/* ---------------------------------------------------------------- life */

int kms_card_add(struct kms *kms, const char *path, dev_t device)
{
	struct kms_card **place = NULL;

	for (unsigned i = 0; i < KMS_CARDS_MAX; i++) {
		struct kms_card *card = kms->cards[i];

		if (card && card->device == device)
			return 0;
		if (!card && !place)
			place = &kms->cards[i];
	}
	if (!place)
		return -ENOSPC;
	*place = calloc(1, sizeof(**place));
	if (!*place)
		return -ENOMEM;
	(*place)->kms = kms;
	(*place)->fd = -1;
	(*place)->device = device;
	snprintf((*place)->path, sizeof((*place)->path), "%s", path);
	return 0;
}

static uint64_t get_cap(const struct kms_card *card, uint64_t cap, uint64_t otherwise)
{
	uint64_t value;

	return drmGetCap(card->fd, cap, &value) == 0 ? value : otherwise;
}

static void read_caps(struct kms_card *card)
{
	drmVersion *version = drmGetVersion(card->fd);
	uint64_t prime = get_cap(card, DRM_CAP_PRIME, 0);

	snprintf(card->driver, sizeof(card->driver), "%s", version ? version->name : "unknown");
	drmFreeVersion(version);
	card->has_modifiers = get_cap(card, DRM_CAP_ADDFB2_MODIFIERS, 0);
	card->has_prime = prime & DRM_PRIME_CAP_EXPORT;
	card->cursor_width = (uint32_t)get_cap(card, DRM_CAP_CURSOR_WIDTH, 64);
	card->cursor_height = (uint32_t)get_cap(card, DRM_CAP_CURSOR_HEIGHT, 64);
	card->slow_moves = 0;
}

/* CRTCs and planes. -ENODEV: it shows nothing (a render-only card). */
static int read_resources(struct kms_card *card)
{
	drmModeRes *resources = drmModeGetResources(card->fd);
	uint64_t sequence;
	uint64_t time_ns;
	int rc = 0;

	if (!resources)
		return -ENODEV;
	card->crtc_count = 0;
	for (int i = 0; rc == 0 && i < resources->count_crtcs && i < KMS_CRTCS_MAX; i++) {
		struct kms_crtc *crtc = &card->crtcs[i];

		crtc->id = resources->crtcs[i];
		rc = kms_property_find(card->fd, crtc->id, DRM_MODE_OBJECT_CRTC, crtc_names,
		    KMS_CRTC_PROPERTIES, crtc->properties);
		card->crtc_count++;
	}
	drmModeFreeResources(resources);
	if (rc < 0)
		return rc;
	if (!card->crtc_count)
		return -ENODEV;
	/* Without vertical blanks "-EOPNOTSUPP"; of a CRTC that is off, another error. */
	card->has_vblank =
	    drmCrtcGetSequence(card->fd, card->crtcs[0].id, &sequence, &time_ns) == 0 ||
	    errno != EOPNOTSUPP;
	return kms_planes_read(card);
}

/* -errno: logged where a person can do something about it */
static int card_open(struct kms_card *card)
{
	struct kms *kms = card->kms;
	int rc = seat_session_open(kms->session, card->path);

	if (rc < 0) {
		if (rc != -EPERM || kms->base.active)
			log_warning("Cannot open graphics card %s: %s", card->path, strerror(-rc));
		return rc;
	}
	card->fd = rc;
	read_caps(card);
	rc = read_resources(card);
	if (rc == -ENODEV) {
		log_debug("%s (%s) has no screens", card->path, card->driver);
		goto error;
	}
	/* Planes are asked for again: without the capability, overlays alone are listed. */
	if (drmSetClientCap(card->fd, DRM_CLIENT_CAP_ATOMIC, 1) < 0) {
		rc = -ENOTSUP;
		log_warning("%s: its driver %s has no atomic mode setting, without which "
			    "gpudom-seat cannot show on it",
		    card->path, card->driver);
		goto error;
	}
	rc = read_resources(card);
	if (rc == 0 && !get_cap(card, DRM_CAP_DUMB_BUFFER, 0))
		rc = -ENOTSUP;
	if (rc == 0)
		rc = sd_event_add_io(kms->event, &card->io, card->fd, EPOLLIN, handle_io, card);
	if (rc < 0) {
		log_warning("Cannot show on %s (%s): %s", card->path, card->driver, strerror(-rc));
		goto error;
	}
	log_info("Graphics card %s (%s): %u CRTCs, %u planes%s", card->path, card->driver,
	    card->crtc_count, card->plane_count, card->has_vblank ? "" : ", no vertical blanks");
	return 0;

error:
	kms_card_close(card);
	return rc;
}

bool kms_card_take(struct kms_card *card)
{
	bool changed;

	if (card->fd < 0 && card_open(card) < 0)
		return false;
	if (!take_master(card))
		return false;
	for (unsigned i = 0; i < card->kms->base.output_count; i++) {
		struct kms_output *output = &card->kms->outputs[i];

		if (output->card != card)
			continue;
		kms_output_forget_frames(output);
		output->modeset = output->mode_blob != 0;
	}
	changed = kms_outputs_scan(card, 0);
	kms_card_clear(card);
	return changed;
}

void kms_card_leave(struct kms_card *card)
{
	for (unsigned i = 0; i < card->kms->base.output_count; i++) {
		if (card->kms->outputs[i].card == card)
			kms_output_forget_frames(&card->kms->outputs[i]);
	}
	if (card->fd >= 0 && seat_session_direct(card->kms->session))
		drmDropMaster(card->fd);
	card->master = false;
	card->complained = false;
}

void kms_card_close(struct kms_card *card)
{
	if (card->fd < 0)
		return;
	kms_outputs_forget(card);
	card->io = sd_event_source_disable_unref(card->io);
	kms_planes_forget(card);
	if (card->master && seat_session_direct(card->kms->session))
		drmDropMaster(card->fd);
	card->master = false;
	kms_fbs_forget(card);
	seat_session_close(card->kms->session, card->fd);
	card->fd = -1;
}

void kms_card_destroy(struct kms_card *card)
{
	if (!card)
		return;
	kms_card_close(card);
	while (card->fbs) {
		card->fbs->users = 0;
		kms_fb_free(card->fbs);
	}
	free(card);
}
