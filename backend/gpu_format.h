/* SPDX-License-Identifier: MIT */
/*
 * What a picture takes, as far as that can be told without a GPU: for quotas.
 */
#ifndef GPUDOM_BACKEND_GPU_FORMAT_H
#define GPUDOM_BACKEND_GPU_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/renderer.h"

/* Is this one of enum virtio_gpu_formats? They all have 4 bytes a pixel. */
bool gpu_format_is_2d(uint32_t format);

/* The DRM_FORMAT_* of a picture in one of these whose alpha, if any, does not matter; 0: there is
 * none. */
uint32_t gpu_format_fourcc(uint32_t format);

/* Bytes of a 2D or 3D resource with all its levels, layers and samples, about; UINT64_MAX
 * where that does not fit. A dimension of 0 counts as 1. */
uint64_t gpu_format_bytes(const struct renderer_resource *resource);

#endif
