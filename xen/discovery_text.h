/* SPDX-License-Identifier: MIT */
/* What the values of xenstore's keys mean; text that anybody may have written. */
#ifndef GPUDOM_XEN_DISCOVERY_TEXT_H
#define GPUDOM_XEN_DISCOVERY_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* A whole number, decimal or 0x..., up to @max. NULL is none. */
bool parse_number(const char *text, uint64_t max, uint64_t *number);

/* "virtio,device10": the virtio id, in hexadecimal. NULL is none. */
bool parse_type(const char *text, uint32_t *virtio_id);

/* A guest's name: neither empty nor very long. Control characters, which would spoil the log, are
 * replaced in place. */
bool parse_name(char *name);

#endif
