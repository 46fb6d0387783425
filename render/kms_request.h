/* SPDX-License-Identifier: MIT */
/*
 * An atomic request: properties of objects, which are set together. libdrm's own allocates and
 * sorts for every commit; here, what belongs to one object is added together.
 */
#ifndef GPUDOM_RENDER_KMS_REQUEST_H
#define GPUDOM_RENDER_KMS_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#define KMS_REQUEST_OBJECTS 160
#define KMS_REQUEST_VALUES 640

struct kms_request {
	unsigned object_count, value_count;
	bool overflow; /* more than fits: committing it fails */
	uint32_t objects[KMS_REQUEST_OBJECTS];
	uint32_t counts[KMS_REQUEST_OBJECTS]; /* of properties, for each object */
	uint32_t properties[KMS_REQUEST_VALUES];
	uint64_t values[KMS_REQUEST_VALUES];
};

void kms_request_reset(struct kms_request *request);
/* What is set next is of this object. */
void kms_request_object(struct kms_request *request, uint32_t object);
/* @property 0: the object has none such; nothing happens. */
void kms_request_set(struct kms_request *request, uint32_t property, uint64_t value);
/* @flags: DRM_MODE_ATOMIC_*, DRM_MODE_PAGE_FLIP_EVENT. -errno */
int kms_request_commit(
    const struct kms_request *request, int fd, uint32_t flags, uint64_t user_data);

#endif
