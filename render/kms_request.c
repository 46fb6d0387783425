/* SPDX-License-Identifier: MIT */
#include "render/kms_request.h"

#include <errno.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

void kms_request_reset(struct kms_request *request)
{
	request->object_count = 0;
	request->value_count = 0;
	request->overflow = false;
}

void kms_request_object(struct kms_request *request, uint32_t object)
{
	if (request->object_count == KMS_REQUEST_OBJECTS) {
		request->overflow = true;
		return;
	}
	request->objects[request->object_count] = object;
	request->counts[request->object_count++] = 0;
}

void kms_request_set(struct kms_request *request, uint32_t property, uint64_t value)
{
	if (!property)
		return;
	if (request->value_count == KMS_REQUEST_VALUES || !request->object_count) {
		request->overflow = true;
		return;
	}
	request->properties[request->value_count] = property;
	request->values[request->value_count++] = value;
	request->counts[request->object_count - 1]++;
}

int kms_request_commit(
    const struct kms_request *request, int fd, uint32_t flags, uint64_t user_data)
{
	struct drm_mode_atomic atomic = {
		.flags = flags,
		.count_objs = request->object_count,
		.objs_ptr = (uintptr_t)request->objects,
		.count_props_ptr = (uintptr_t)request->counts,
		.props_ptr = (uintptr_t)request->properties,
		.prop_values_ptr = (uintptr_t)request->values,
		.user_data = user_data,
	};

	if (request->overflow)
		return -E2BIG;
	return drmIoctl(fd, DRM_IOCTL_MODE_ATOMIC, &atomic) < 0 ? -errno : 0;
}
