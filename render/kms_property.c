/* SPDX-License-Identifier: MIT */
#include "render/kms_property.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

static void fill(struct kms_property *property, const drmModePropertyRes *found, uint64_t value,
    const char *wanted)
{
	*property = (struct kms_property){
		.id = found->prop_id,
		.immutable = found->flags & DRM_MODE_PROP_IMMUTABLE,
		.value = value,
	};
	if (found->count_values >= 2 && found->values) {
		property->min = found->values[0];
		property->max = found->values[1];
	}
	for (int i = 0; i < found->count_enums; i++) {
		if (found->enums[i].value < 32)
			property->bits |= 1u << found->enums[i].value;
		if (wanted && !strncmp(found->enums[i].name, wanted, DRM_PROP_NAME_LEN))
			property->wanted = found->enums[i].value;
	}
}

int kms_property_find(int fd, uint32_t object, uint32_t type, const struct kms_property_name *names,
    unsigned count, struct kms_property *properties)
{
	drmModeObjectProperties *all = drmModeObjectGetProperties(fd, object, type);

	if (!all)
		return -errno;
	memset(properties, 0, count * sizeof(*properties));
	for (uint32_t i = 0; i < all->count_props; i++) {
		drmModePropertyRes *found = drmModeGetProperty(fd, all->props[i]);

		for (unsigned n = 0; found && n < count; n++) {
			if (!strncmp(found->name, names[n].name, DRM_PROP_NAME_LEN))
				fill(&properties[n], found, all->prop_values[i], names[n].wanted);
		}
		drmModeFreeProperty(found);
	}
	drmModeFreeObjectProperties(all);
	return 0;
}

void *kms_property_read_blob(int fd, uint64_t id, size_t *size)
{
	drmModePropertyBlobRes *blob;
	void *copy;

	blob = id && id <= UINT32_MAX ? drmModeGetPropertyBlob(fd, (uint32_t)id) : NULL;
	if (!blob)
		return NULL;
	copy = blob->length ? malloc(blob->length) : NULL;
	if (copy) {
		memcpy(copy, blob->data, blob->length);
		*size = blob->length;
	}
	drmModeFreePropertyBlob(blob);
	return copy;
}
