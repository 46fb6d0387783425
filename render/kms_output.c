/* SPDX-License-Identifier: MIT */
/* Connectors: which monitors there are, and what they can do. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/kms_private.h"

static const struct kms_property_name names[KMS_CONNECTOR_PROPERTIES] = {
	[KMS_CONNECTOR_CRTC_ID] = { .name = "CRTC_ID" },
	[KMS_CONNECTOR_EDID] = { .name = "EDID" },
	[KMS_CONNECTOR_LINK_STATUS] = { .name = "link-status", .wanted = "Good" },
	[KMS_CONNECTOR_NON_DESKTOP] = { .name = "non-desktop" },
};

/* ---------------------------------------------------------------- places in the array */

static struct kms_output *find_output(struct kms_card *card, uint32_t connector)
{
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++) {
		struct kms_output *output = &card->kms->outputs[i];

		if (output->card == card && output->connector == connector)
			return output;
	}
	return NULL;
}

/* The place of a connector of this name that has gone, or a new one, or any that is nobody's. */
static struct kms_output *find_place(struct kms *kms, const char *name)
{
	struct kms_output *other = NULL;

	for (unsigned i = 0; i < kms->base.output_count; i++) {
		struct kms_output *output = &kms->outputs[i];

		if (output->connector || output->pending)
			continue;
		if (!strcmp(output->base.name, name))
			return output;
		other = output;
	}
	if (kms->base.output_count < SEAT_OUTPUTS_MAX) {
		other = &kms->outputs[kms->base.output_count];
		other->base.index = kms->base.output_count;
		kms->base.outputs[kms->base.output_count++] = &other->base;
	}
	return other;
}

static struct kms_output *add_output(struct kms_card *card, const drmModeConnector *found)
{
	const char *type = drmModeGetConnectorTypeName(found->connector_type);
	struct kms_output *output;
	char name[SEAT_OUTPUT_NAME_MAX];

	/* The kernel numbers connectors of a type across all cards. */
	snprintf(name, sizeof(name), "%s-%u", type ? type : "Unknown", found->connector_type_id);
	output = find_place(card->kms, name);
	if (!output) {
		log_warning("Output %s is one more than the %u that gpudom-seat knows: left out",
		    name, SEAT_OUTPUTS_MAX);
		return NULL;
	}
	snprintf(output->base.name, sizeof(output->base.name), "%s", name);
	output->kms = card->kms;
	output->card = card;
	output->connector = found->connector_id;
	output->crtc = -1;
	return output;
}

/* ---------------------------------------------------------------- monitors */

static uint32_t find_possible_crtcs(struct kms_card *card, const drmModeConnector *found)
{
	uint32_t possible = 0;

	for (int i = 0; i < found->count_encoders; i++) {
		drmModeEncoder *encoder = drmModeGetEncoder(card->fd, found->encoders[i]);

		if (encoder)
			possible |= encoder->possible_crtcs;
		drmModeFreeEncoder(encoder);
	}
	return possible;
}

static bool set_edid(struct kms_output *output)
{
	struct seat_output *base = &output->base;
	size_t size = 0;
	void *blob = kms_property_read_blob(
	    output->card->fd, output->properties[KMS_CONNECTOR_EDID].value, &size);
	size_t good = blob ? kms_edid_check(blob, size) : 0;
	bool changed = good != base->edid_size || (good && memcmp(blob, base->edid, good) != 0);

	if (blob && !good)
		log_warning("The monitor at %s describes itself by an EDID of %zu bytes that is "
			    "damaged: not passed on to guests",
		    base->name, size);
	if (changed) {
		base->edid_size = good;
		if (good)
			memcpy(base->edid, blob, good);
	}
	free(blob);
	return changed;
}

static bool same_modes(const struct kms_output *output, const drmModeConnector *found)
{
	return output->base.mode_count == (unsigned)found->count_modes &&
	       (!found->count_modes || !memcmp(output->mode_infos, found->modes,
					   found->count_modes * sizeof(*found->modes)));
}

static bool set_modes(struct kms_output *output, const drmModeConnector *found)
{
	size_t count = found->count_modes > 0 ? (size_t)found->count_modes : 0;
	drmModeModeInfo *infos;
	struct seat_mode *modes;

	if (same_modes(output, found))
		return false;
	infos = calloc(count ? count : 1, sizeof(*infos));
	modes = calloc(count ? count : 1, sizeof(*modes));
	if (!infos || !modes) {
		free(infos);
		free(modes);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		infos[i] = found->modes[i];
		kms_mode_describe(&infos[i], &modes[i]);
	}
	free(output->mode_infos);
	free(output->modes);
	output->mode_infos = infos;
	output->modes = modes;
	output->base.modes = modes;
	output->base.mode_count = (unsigned)count;
	return true;
}

/* Is what it shows still what the monitor can show? Else it goes off, and the seat decides anew.
 * True: the seat should show something, by which the mode is set again. */
static bool check_lit(struct kms_output *output, bool other_monitor)
{
	struct kms_property *link = &output->properties[KMS_CONNECTOR_LINK_STATUS];
	const struct seat_mode *mode = &output->base.mode;

	if (!output->mode_blob)
		return false;
	if (!output->base.connected || other_monitor ||
	    kms_mode_find(output->mode_infos, output->base.mode_count, mode->width, mode->height,
		mode->refresh) < 0) {
		kms_output_off(output);
		return true;
	}
	/* The kernel: "when user space receives the hotplug uevent and detects a 'BAD' link-status
	 * ... user space needs to do a new modeset" */
	if (!link->id || link->value == link->wanted)
		return false;
	output->modeset = true;
	return true;
}

static void describe(const struct kms_output *output, bool was_connected)
{
	const struct seat_output *base = &output->base;

	if (base->connected)
		log_info("Output %s: a monitor with %u modes, the first one %ux%u", base->name,
		    base->mode_count, base->modes[0].width, base->modes[0].height);
	else if (was_connected)
		log_info("Output %s: its monitor has gone", base->name);
}

static bool scan_connector(struct kms_card *card, uint32_t id)
{
	drmModeConnector *found = drmModeGetConnector(card->fd, id);
	struct kms_output *output = find_output(card, id);
	bool was_connected = output && output->base.connected;
	bool connected;
	bool changed;
	bool other;

	if (!found)
		return false;
	if (!output)
		output = add_output(card, found);
	if (!output) {
		drmModeFreeConnector(found);
		return false;
	}
	kms_property_find(card->fd, id, DRM_MODE_OBJECT_CONNECTOR, names, KMS_CONNECTOR_PROPERTIES,
	    output->properties);
	connected = found->connection == DRM_MODE_CONNECTED && found->count_modes > 0 &&
		    !output->properties[KMS_CONNECTOR_NON_DESKTOP].value;
	if (!connected)
		found->count_modes = 0;
	output->possible_crtcs = find_possible_crtcs(card, found);
	other = set_edid(output);
	changed = set_modes(output, found);
	changed |= other || connected != output->base.connected;
	output->base.connected = connected;
	output->base.width_mm = connected ? found->mmWidth : 0;
	output->base.height_mm = connected ? found->mmHeight : 0;
	changed |= check_lit(output, other);
	if (changed)
		describe(output, was_connected);
	drmModeFreeConnector(found);
	return changed;
}

static void forget_output(struct kms_output *output)
{
	output->base.connected = false;
	output->base.edid_size = 0;
	output->base.mode_count = 0;
	/* Nobody waits for its last flip. */
	output->pending = false;
	output->flip_serial++;
	kms_output_off(output);
	kms_cursor_finish(output);
	output->connector = 0;
	output->crtc = -1;
}

static bool listed(const drmModeRes *resources, uint32_t connector)
{
	for (int i = 0; i < resources->count_connectors; i++) {
		if (resources->connectors[i] == connector)
			return true;
	}
	return false;
}

/* The one that it has, or that whoever was here before us has given it. */
static int get_crtc(const struct kms_output *output)
{
	uint64_t id = output->properties[KMS_CONNECTOR_CRTC_ID].value;

	for (unsigned i = 0; output->crtc < 0 && i < output->card->crtc_count; i++) {
		if (output->card->crtcs[i].id == id)
			return (int)i;
	}
	return output->crtc;
}

static void assign_crtcs(struct kms_card *card)
{
	struct kms_crtc_wish wishes[SEAT_OUTPUTS_MAX];
	struct kms_output *outputs[SEAT_OUTPUTS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < card->kms->base.output_count; i++) {
		struct kms_output *output = &card->kms->outputs[i];
		bool lit = output->mode_blob || output->pending;

		if (output->card != card || !output->connector)
			continue;
		outputs[count] = output;
		wishes[count++] = (struct kms_crtc_wish){
			.possible = output->base.connected || lit ? output->possible_crtcs : 0,
			.fixed = lit,
			.crtc = get_crtc(output),
		};
	}
	kms_crtcs_assign(wishes, count);
	for (unsigned i = 0; i < count; i++) {
		outputs[i]->crtc = wishes[i].crtc;
		if (outputs[i]->base.connected && wishes[i].crtc < 0)
			log_warning("Output %s stays dark: %s can serve %u monitors at a time",
			    outputs[i]->base.name, card->path, card->crtc_count);
	}
}

bool kms_outputs_scan(struct kms_card *card, uint32_t connector)
{
	drmModeRes *resources = drmModeGetResources(card->fd);
	bool changed = false;

	if (!resources) {
		log_warning("Cannot ask %s for its monitors: %s", card->path, strerror(errno));
		return false;
	}
	for (unsigned i = 0; i < card->kms->base.output_count; i++) {
		struct kms_output *output = &card->kms->outputs[i];

		if (output->card != card || !output->connector ||
		    listed(resources, output->connector))
			continue;
		if (output->base.connected)
			log_info("Output %s has gone", output->base.name);
		changed |= output->base.connected;
		forget_output(output);
	}
	for (int i = 0; i < resources->count_connectors; i++) {
		if (!connector || resources->connectors[i] == connector)
			changed |= scan_connector(card, resources->connectors[i]);
	}
	drmModeFreeResources(resources);
	assign_crtcs(card);
	return changed;
}

void kms_outputs_forget(struct kms_card *card)
{
	for (unsigned i = 0; i < card->kms->base.output_count; i++) {
		if (card->kms->outputs[i].card == card && card->kms->outputs[i].connector)
			forget_output(&card->kms->outputs[i]);
	}
}

/* ---------------------------------------------------------------- modes */

static bool same_mode(const struct seat_mode *a, const struct seat_mode *b)
{
	return a->width == b->width && a->height == b->height && a->refresh == b->refresh;
}

int kms_output_set_mode(struct kms_output *output, const struct seat_mode *mode)
{
	uint32_t blob;
	int index;

	if (!output->kms->base.active)
		return -EPERM;
	if (!mode->width) {
		kms_output_off(output);
		return 0;
	}
	if (!output->base.connected || output->card->fd < 0)
		return -ENODEV;
	if (output->crtc < 0)
		return -ENOSPC;
	index = kms_mode_find(
	    output->mode_infos, output->base.mode_count, mode->width, mode->height, mode->refresh);
	if (index < 0)
		return index;
	if (output->mode_blob && !output->off_waiting &&
	    same_mode(&output->base.mode, &output->modes[index]))
		return 0;
	if (drmModeCreatePropertyBlob(output->card->fd, &output->mode_infos[index],
		sizeof(output->mode_infos[index]), &blob) < 0)
		return -errno;
	if (output->mode_blob)
		drmModeDestroyPropertyBlob(output->card->fd, output->mode_blob);
	output->mode_blob = blob;
	output->base.mode = output->modes[index];
	output->modeset = true;
	output->off_waiting = false;
	return 0;
}
