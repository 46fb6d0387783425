/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD for a guest's glmark2-es2-drm, which takes an output's largest mode and ignores
 * --size: leaves only the mode ONEMODE=WxH, where the output has it.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xf86drmMode.h>

drmModeConnectorPtr drmModeGetConnector(int fd, uint32_t id)
{
	drmModeConnectorPtr (*next)(int, uint32_t) = dlsym(RTLD_NEXT, "drmModeGetConnector");
	const char *wanted = getenv("ONEMODE");
	drmModeConnectorPtr connector = next(fd, id);
	char name[32];

	for (int i = 0; connector && wanted && i < connector->count_modes; i++) {
		snprintf(name, sizeof(name), "%ux%u", connector->modes[i].hdisplay,
		    connector->modes[i].vdisplay);
		if (strcmp(name, wanted) == 0) {
			connector->modes[0] = connector->modes[i];
			connector->count_modes = 1;
		}
	}
	return connector;
}
