/* SPDX-License-Identifier: MIT */
#ifndef GPUDOM_TOOLS_VERSION_H
#define GPUDOM_TOOLS_VERSION_H

#define GPUDOM_VERSION "0.1"

#endif
