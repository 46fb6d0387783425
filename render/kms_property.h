/* SPDX-License-Identifier: MIT */
/*
 * Properties of KMS objects, found by their names once.
 */
#ifndef GPUDOM_RENDER_KMS_PROPERTY_H
#define GPUDOM_RENDER_KMS_PROPERTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kms_property {
	uint32_t id; /* 0: the object has none such */
	bool immutable;
	uint64_t value;    /* when it was asked */
	uint64_t min, max; /* of a range */
	uint32_t bits;     /* of a bit mask, those that there are; of an enumeration, likewise */
	uint64_t wanted;   /* of an enumeration: the value called as the table says */
};

struct kms_property_name {
	const char *name;
	const char *wanted; /* of an enumeration: the value that is looked for; may be NULL */
};

/* Fills @properties, one for each name. @type: DRM_MODE_OBJECT_*. -errno */
int kms_property_find(int fd, uint32_t object, uint32_t type, const struct kms_property_name *names,
    unsigned count, struct kms_property *properties);

/* A blob's bytes, the caller's to free(). NULL: there is none, or no memory. */
void *kms_property_read_blob(int fd, uint64_t blob, size_t *size);

#endif
