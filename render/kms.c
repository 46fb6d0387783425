/* SPDX-License-Identifier: MIT */
#include "render/kms.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/kms_private.h"

/* ---------------------------------------------------------------- outputs */

void kms_describe(const struct kms *kms)
{
	unsigned connected = 0;
	bool complained = false;
	unsigned cards = 0;

	for (unsigned i = 0; i < KMS_CARDS_MAX; i++) {
		cards += kms->cards[i] && kms->cards[i]->fd >= 0;
		complained |= kms->cards[i] && kms->cards[i]->complained;
	}
	for (unsigned i = 0; i < kms->base.output_count; i++)
		connected += kms->base.outputs[i]->connected;
	if (!kms->base.active)
		return;
	if (!cards)
		log_warning("No graphics card to show on: waiting for one");
	else if (!connected && !complained)
		log_warning("No monitor is connected: waiting for one");
}

void kms_tell_outputs(struct kms *kms)
{
	kms_describe(kms);
	if (kms->base.listener.outputs_changed)
		kms->base.listener.outputs_changed(kms->base.listener.data);
}

/* ---------------------------------------------------------------- the session */

static bool take_cards(struct kms *kms)
{
	bool changed = false;

	for (unsigned i = 0; i < KMS_CARDS_MAX; i++) {
		if (kms->cards[i])
			changed |= kms_card_take(kms->cards[i]);
	}
	return changed;
}

static void leave_cards(struct kms *kms)
{
	for (unsigned i = 0; i < KMS_CARDS_MAX; i++) {
		if (kms->cards[i])
			kms_card_leave(kms->cards[i]);
	}
}

static void handle_active(void *data, bool active)
{
	struct kms *kms = data;
	bool changed = false;

	kms->base.active = active;
	if (active)
		changed = take_cards(kms);
	else
		leave_cards(kms);
	if (changed)
		kms_tell_outputs(kms);
	if (kms->base.listener.active_changed)
		kms->base.listener.active_changed(kms->base.listener.data, active);
}

static void handle_resumed(void *data)
{
	struct kms *kms = data;

	if (!kms->base.active)
		return;
	handle_active(kms, false);
	handle_active(kms, true);
}

/* ---------------------------------------------------------------- the interface */

static struct kms_output *to_output(struct seat_output *output)
{
	return (struct kms_output *)output;
}

static struct kms_fb *to_fb(struct seat_fb *fb)
{
	return (struct kms_fb *)fb;
}

static int set_mode(
    struct seat_backend *backend, struct seat_output *output, const struct seat_mode *mode)
{
	return kms_output_set_mode(to_output(output), mode);
}

static int commit(struct seat_backend *backend, struct seat_output *output,
    const struct seat_layer *layers, unsigned count, bool test)
{
	return kms_output_commit(to_output(output), layers, count, test);
}

static int set_cursor(struct seat_backend *backend, struct seat_output *output,
    const struct display_cursor *cursor, int32_t x, int32_t y)
{
	return kms_cursor_set(to_output(output), cursor, x, y);
}

static int move_cursor(
    struct seat_backend *backend, struct seat_output *output, int32_t x, int32_t y)
{
	return kms_cursor_move(to_output(output), x, y);
}

static int import(struct seat_backend *backend, struct seat_output *output,
    const struct display_dmabuf *dmabuf, struct seat_fb **out)
{
	struct kms_card *card = to_output(output)->card;
	struct kms_fb *fb;
	int rc = card ? kms_fb_import(card, dmabuf, &fb) : -ENODEV;

	if (rc == 0)
		*out = &fb->base;
	return rc;
}

static int allocate(struct seat_backend *backend, struct seat_output *output, uint32_t width,
    uint32_t height, bool alpha, struct seat_fb **out)
{
	struct kms_card *card = to_output(output)->card;
	struct kms_fb *fb;
	int rc = card ? kms_fb_allocate(card, width, height, alpha, &fb) : -ENODEV;

	if (rc == 0)
		*out = &fb->base;
	return rc;
}

static int export(struct seat_backend *backend, struct seat_fb *fb, size_t *size)
{
	return kms_fb_export(to_fb(fb), size);
}

static void *map(struct seat_backend *backend, struct seat_fb *fb)
{
	return kms_fb_map(to_fb(fb));
}

static void begin_read(struct seat_backend *backend, struct seat_fb *fb)
{
	kms_fb_sync(to_fb(fb), true);
}

static void end_read(struct seat_backend *backend, struct seat_fb *fb)
{
	kms_fb_sync(to_fb(fb), false);
}

static int dmabuf(struct seat_backend *backend, struct seat_fb *fb)
{
	return to_fb(fb)->dmabuf_fd;
}

static void free_fb(struct seat_backend *backend, struct seat_fb *fb)
{
	if (fb)
		kms_fb_free(to_fb(fb));
}

static void destroy(struct seat_backend *backend)
{
	struct kms *kms = (struct kms *)backend;

	kms->base.listener = (struct seat_backend_listener){ 0 };
	seat_session_unlisten(kms->session, &kms->session_listener);
	kms_hotplug_stop(kms);
	sd_event_source_disable_unref(kms->master_timer);
	for (unsigned i = 0; i < KMS_CARDS_MAX; i++)
		kms_card_destroy(kms->cards[i]);
	for (unsigned i = 0; i < kms->base.output_count; i++) {
		sd_event_source_disable_unref(kms->outputs[i].pace);
		free(kms->outputs[i].mode_infos);
		free(kms->outputs[i].modes);
	}
	sd_event_unref(kms->event);
	free(kms);
}

static const struct seat_backend_impl impl = {
	.name = "kms",
	.destroy = destroy,
	.set_mode = set_mode,
	.commit = commit,
	.set_cursor = set_cursor,
	.move_cursor = move_cursor,
	.import = import,
	.allocate = allocate,
	.export = export,
	.map = map,
	.begin_read = begin_read,
	.end_read = end_read,
	.dmabuf = dmabuf,
	.free = free_fb,
};

int kms_create(
    sd_event *event, struct seat_session *session, const char *path, struct seat_backend **backend)
{
	struct kms *kms = calloc(1, sizeof(*kms));
	int rc;

	if (!kms)
		return -ENOMEM;
	kms->base.impl = &impl;
	kms->event = sd_event_ref(event);
	kms->session = session;
	kms->session_listener = (struct seat_session_listener){
		.active_changed = handle_active, .resumed = handle_resumed, .data = kms
	};
	seat_session_listen(session, &kms->session_listener);
	if (path)
		snprintf(kms->path, sizeof(kms->path), "%s", path);
	rc = kms_hotplug_start(kms);
	if (rc < 0) {
		log_error("Cannot look for graphics cards: %s", strerror(-rc));
		destroy(&kms->base);
		return rc;
	}
	kms->base.active = seat_session_active(session);
	if (kms->base.active)
		take_cards(kms);
	kms_describe(kms);
	*backend = &kms->base;
	return 0;
}
