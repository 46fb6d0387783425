/* SPDX-License-Identifier: MIT */
/*
 * gpudom.conf: what each guest gets, as sections "default" and "guest NAME". A key is an option of
 * gpudom-worker without the dashes, so that a guest's settings are its worker's command line, or
 * for gpudomd itself (policy.h). Each value is checked (config_values.h), with the line that it
 * stands on.
 */
#ifndef GPUDOM_XEN_CONFIG_H
#define GPUDOM_XEN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/gpu_limits.h"
#include "backend/log.h"
#include "backend/seat_message.h"

#define CONFIG_KEYS_MAX 48
#define CONFIG_VALUE_MAX 256

struct config_section {
	char *guest; /* NULL: default */
	unsigned line;
	char *values[CONFIG_KEYS_MAX]; /* by key; NULL: not set */
	struct config_section *next;
};

struct config {
	struct config_section defaults;
	struct config_section *guests;
};

#define CONFIG_PATH "/etc/gpudom/gpudom.conf"

/* Reads @path; a file that was named must be there. NULL: CONFIG_PATH, which may be missing:
 * -ENOENT, without a word. A file that is wrong is described line by line on the log; -EINVAL; else
 * -errno. */
int config_load(struct config *config, const char *path);

/* The same, and *@errors is what was said about it, a line each, to be freed; NULL: nothing. */
int config_reload(struct config *config, const char *path, char **errors);

/* The same from memory; @name for messages. */
int config_parse(struct config *config, const char *name, const char *text);

void config_finish(struct config *config);

/* The value of a setting for a guest, as it was written; NULL: it has its default. @guest may be
 * NULL (a guest without a name); @key must be known. */
const char *config_get(const struct config *config, const char *guest, const char *key);

enum log_level config_log_level(const struct config *config, const char *guest);

/* What the worker's options would set, as far as they limit the guest. */
void config_limits(const struct config *config, const char *guest, struct gpu_limits *limits);

/*
 * Names the settings that @after has other values of for a guest than @before, as "mode, outputs":
 * those that hold at once, or those that hold for the worker that the guest's next reset of its
 * device starts. How many.
 */
unsigned config_compare(const struct config *before, const struct config *after, const char *guest,
    bool at_once, char *names, size_t size);

/* Whose worker has a setting. */
enum config_device { CONFIG_GPU, CONFIG_INPUT };

/* A number that changes with the settings of the second kind that the device's worker has. */
uint64_t config_fingerprint(
    const struct config *config, const char *guest, enum config_device device);

/* Where a guest's GPU shows its frames. */
enum config_display {
	CONFIG_DISPLAY_AUTO, /* at the seat, if that is there when the worker starts */
	CONFIG_DISPLAY_HEADLESS,
	CONFIG_DISPLAY_SEAT,
};
enum config_display config_display(const struct config *config, const char *guest);

/* What the guest's virtio-input device with @rank (struct discovery_device) is; SEAT_INPUT_KINDS:
 * the guest has no more than those that come before. */
enum seat_input_kind config_input_kind(
    const struct config *config, const char *guest, unsigned rank);

/*
 * The worker's options for a guest, "--key=value" each, NULL-terminated; -ENOMEM. To be freed by
 * config_arguments_free(), which accepts NULL. @guest may be NULL (a guest without a name).
 */
int config_arguments(
    const struct config *config, const char *guest, enum config_device device, char ***arguments);
void config_arguments_free(char **arguments);

#endif
