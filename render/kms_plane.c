/* SPDX-License-Identifier: MIT */
/* Planes: what they can show. */
#include <drm_fourcc.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "render/kms_private.h"

static const struct kms_property_name names[KMS_PLANE_PROPERTIES] = {
	[KMS_PLANE_TYPE] = { .name = "type" },
	[KMS_PLANE_IN_FORMATS] = { .name = "IN_FORMATS" },
	[KMS_PLANE_FB_ID] = { .name = "FB_ID" },
	[KMS_PLANE_CRTC_ID] = { .name = "CRTC_ID" },
	[KMS_PLANE_SRC_X] = { .name = "SRC_X" },
	[KMS_PLANE_SRC_Y] = { .name = "SRC_Y" },
	[KMS_PLANE_SRC_W] = { .name = "SRC_W" },
	[KMS_PLANE_SRC_H] = { .name = "SRC_H" },
	[KMS_PLANE_CRTC_X] = { .name = "CRTC_X" },
	[KMS_PLANE_CRTC_Y] = { .name = "CRTC_Y" },
	[KMS_PLANE_CRTC_W] = { .name = "CRTC_W" },
	[KMS_PLANE_CRTC_H] = { .name = "CRTC_H" },
	[KMS_PLANE_IN_FENCE_FD] = { .name = "IN_FENCE_FD" },
	[KMS_PLANE_DAMAGE] = { .name = "FB_DAMAGE_CLIPS" },
	[KMS_PLANE_ALPHA] = { .name = "alpha" },
	[KMS_PLANE_ZPOS] = { .name = "zpos" },
	[KMS_PLANE_ROTATION] = { .name = "rotation" },
	[KMS_PLANE_BLEND] = { .name = "pixel blend mode", .wanted = "Pre-multiplied" },
};

/* Drivers without modifiers list formats alone. */
static int copy_formats(struct kms_plane *plane, const drmModePlane *found)
{
	plane->formats =
	    calloc(found->count_formats ? found->count_formats : 1, sizeof(*plane->formats));
	if (!plane->formats)
		return -ENOMEM;
	plane->format_count = found->count_formats;
	for (uint32_t i = 0; i < found->count_formats; i++) {
		plane->formats[i].fourcc = found->formats[i];
		plane->formats[i].modifier = DRM_FORMAT_MOD_INVALID;
	}
	return 0;
}

static int read_formats(struct kms_card *card, struct kms_plane *plane, const drmModePlane *found)
{
	size_t size = 0;
	void *blob =
	    kms_property_read_blob(card->fd, plane->properties[KMS_PLANE_IN_FORMATS].value, &size);
	int rc = -EINVAL;

	if (blob)
		rc = kms_formats_parse(blob, size, &plane->formats, &plane->format_count);
	free(blob);
	return rc == -EINVAL ? copy_formats(plane, found) : rc;
}

static int read_plane(struct kms_card *card, uint32_t id)
{
	struct kms_plane *plane = &card->planes[card->plane_count];
	drmModePlane *found = drmModeGetPlane(card->fd, id);
	int rc;

	if (!found)
		return -errno;
	*plane =
	    (struct kms_plane){ .id = id, .possible_crtcs = found->possible_crtcs, .crtc = -1 };
	rc = kms_property_find(
	    card->fd, id, DRM_MODE_OBJECT_PLANE, names, KMS_PLANE_PROPERTIES, plane->properties);
	if (rc == 0)
		rc = read_formats(card, plane, found);
	drmModeFreePlane(found);
	if (rc < 0)
		return rc;
	plane->type = plane->properties[KMS_PLANE_TYPE].value;
	card->plane_count++;
	return 0;
}

int kms_planes_read(struct kms_card *card)
{
	drmModePlaneRes *all = drmModeGetPlaneResources(card->fd);
	int rc = 0;

	if (!all)
		return -errno;
	kms_planes_forget(card);
	for (uint32_t i = 0; rc == 0 && i < all->count_planes; i++) {
		if (card->plane_count == KMS_PLANES_MAX) {
			log_warning("Graphics card %s has %u planes: using the first %u",
			    card->path, all->count_planes, KMS_PLANES_MAX);
			break;
		}
		rc = read_plane(card, all->planes[i]);
	}
	drmModeFreePlaneResources(all);
	if (rc < 0)
		kms_planes_forget(card);
	return rc;
}

void kms_planes_forget(struct kms_card *card)
{
	for (unsigned i = 0; i < card->plane_count; i++)
		free(card->planes[i].formats);
	card->plane_count = 0;
	card->plane_generation++;
}
