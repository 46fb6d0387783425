/* SPDX-License-Identifier: MIT */
#include "xen/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/capset.h"
#include "backend/log.h"
#include "xen/config_values.h"

struct config_reader {
	struct config *config;
	FILE *report; /* where errors are written, too; NULL: nowhere */
	const char *name;
	FILE *file;
	unsigned line, errors;
	struct config_section *section; /* the current one; NULL: one that is wrong */
	char *section_name;
};

/* ------------------------------------------------------------------- reading */

static void config_wrong(struct config_reader *reader, const char *what, const char *which)
{
	reader->errors++;
	log_error("%s:%u: %s '%.64s'", reader->name, reader->line, what, which);
	if (reader->report)
		fprintf(
		    reader->report, "%s:%u: %s '%.64s'\n", reader->name, reader->line, what, which);
}

/* inih's source of lines: counts them, and says no to one that inih would cut. */
static char *config_read_line(char *line, int size, void *stream)
{
	struct config_reader *reader = stream;

	if (!fgets(line, size, reader->file))
		return NULL;
	reader->line++;
	if (!strchr(line, '\n') && !feof(reader->file)) {
		int c;

		config_wrong(reader, "this line is too long, it begins with", line);
		while ((c = fgetc(reader->file)) != EOF && c != '\n')
			;
		line[0] = '\n';
		line[1] = '\0';
	}
	return line;
}

static struct config_section *config_find(const struct config *config, const char *guest)
{
	for (struct config_section *s = config->guests; s; s = s->next)
		if (!strcmp(s->guest, guest))
			return s;
	return NULL;
}

static struct config_section *config_add_guest(struct config_reader *reader, const char *guest)
{
	struct config_section *section = calloc(1, sizeof(*section));

	if (section)
		section->guest = strdup(guest);
	if (!section || !section->guest) {
		free(section);
		config_wrong(reader, "out of memory at", guest);
		return NULL;
	}
	section->line = reader->line;
	section->next = reader->config->guests;
	reader->config->guests = section;
	return section;
}

static struct config_section *config_open_section(struct config_reader *reader, const char *name)
{
	const char *guest;

	if (!strcmp(name, "default"))
		return &reader->config->defaults;
	if (strncmp(name, "guest ", 6) != 0) {
		config_wrong(reader,
		    *name ? "unknown section, neither [default] nor [guest NAME]:"
			  : "a setting before any section",
		    name);
		return NULL;
	}
	for (guest = name + 6; *guest == ' '; guest++)
		;
	if (!*guest) {
		config_wrong(reader, "no name in section", name);
		return NULL;
	}
	if (config_find(reader->config, guest))
		return config_find(reader->config, guest);
	return config_add_guest(reader, guest);
}

/* The section that a line is in: opened with its first setting. */
static int config_enter(struct config_reader *reader, const char *section)
{
	char *copy;

	if (reader->section_name && !strcmp(reader->section_name, section))
		return 0;
	copy = strdup(section);
	if (!copy)
		return -ENOMEM;
	free(reader->section_name);
	reader->section_name = copy;
	reader->section = config_open_section(reader, section);
	return 0;
}

/* Takes the blanks behind a list's commas out; other values stay as they are. */
static void config_tidy(const struct config_key *key, char *value)
{
	char *to = value;

	if (!key->list)
		return;
	for (const char *from = value; *from; from++)
		if (to == value || to[-1] != ',' || !isblank((unsigned char)*from))
			*to++ = *from;
	*to = '\0';
}

/* A file may serve several hosts: what is right and useless here is no mistake. */
static void config_advise(
    const struct config_reader *reader, const struct config_key *key, const char *value)
{
	char missing[CONFIG_VALUE_MAX];

	if (!strcmp(key->name, "renderer") && !strcmp(value, "virgl") && !WITH_VIRGL)
		log_warning("%s:%u: this build of gpudom has no virgl: workers do not start",
		    reader->name, reader->line);
	if (strcmp(key->name, "capsets") != 0)
		return;
	config_missing_capsets(value, missing, sizeof(missing));
	if (*missing)
		log_warning("%s:%u: this build of gpudom has no %s: guests are not offered it",
		    reader->name, reader->line, missing);
}

static int config_set(struct config_reader *reader, size_t key, const char *name, const char *text)
{
	char message[160], *value = strdup(text);

	if (!value)
		return 0;
	config_tidy(&config_keys[key], value);
	if (!config_keys[key].valid(&config_keys[key], value)) {
		snprintf(message, sizeof(message), "%s must be %s, not", name,
		    config_keys[key].expected);
		config_wrong(reader, message, text);
	} else if (reader->section->values[key]) {
		config_wrong(reader, "this section has already a setting", name);
	} else {
		reader->section->values[key] = value;
		config_advise(reader, &config_keys[key], value);
		return 1;
	}
	free(value);
	return 1;
}

/* inih's handler: 1, all is well as far as inih goes; errors are counted by us. */
static int config_take(void *user, const char *section, const char *name, const char *value)
{
	struct config_reader *reader = user;
	size_t i;

	if (config_enter(reader, section) < 0)
		return 0;
	if (!reader->section)
		return 1;
	i = config_key_find(name);
	if (i < config_key_count)
		return config_set(reader, i, name, value);
	config_wrong(reader, "unknown setting", name);
	return 1;
}

static int config_read(struct config *config, const char *name, FILE *file, FILE *report)
{
	struct config_reader reader = {
		.config = config, .name = name, .file = file, .report = report
	};
	int r;

	*config = (struct config){ 0 };
	r = ini_parse_stream(config_read_line, &reader, config_take, &reader);
	free(reader.section_name);
	if (r > 0 && !reader.errors) {
		reader.line = (unsigned)r;
		config_wrong(&reader, "this is no setting, which is written", "key = value");
	} else if (r > 0) {
		reader.line = (unsigned)r;
		config_wrong(&reader, "not understood, after", "what is said above");
	}
	if (!r && !reader.errors)
		return 0;
	config_finish(config);
	return r < 0 ? -ENOMEM : -EINVAL;
}

static int config_open(struct config *config, const char *path, FILE *report)
{
	const char *named = path;
	FILE *file;
	int error;

	if (!named)
		path = CONFIG_PATH;
	file = fopen(path, "re");
	if (!file) {
		error = -errno;
		if (!named && error == -ENOENT)
			return error;
		log_error("cannot read %s: %s", path, strerror(-error));
		if (report)
			fprintf(report, "cannot read %s: %s\n", path, strerror(-error));
		return error;
	}
	error = config_read(config, path, file, report);
	fclose(file);
	return error;
}

int config_load(struct config *config, const char *path)
{
	return config_open(config, path, NULL);
}

int config_reload(struct config *config, const char *path, char **errors)
{
	size_t size = 0;
	FILE *report;
	int error;

	*errors = NULL;
	report = open_memstream(errors, &size);
	if (!report)
		return -ENOMEM;
	error = config_open(config, path, report);
	fclose(report);
	if (!size) {
		free(*errors);
		*errors = NULL;
	}
	return error;
}

int config_parse(struct config *config, const char *name, const char *text)
{
	FILE *file;
	int error;

	*config = (struct config){ 0 };
	if (!*text)
		return 0; /* which fmemopen() refuses */
	file = fmemopen((void *)text, strlen(text), "r");
	if (!file)
		return -errno;
	error = config_read(config, name, file, NULL);
	fclose(file);
	return error;
}

static void config_section_finish(struct config_section *section)
{
	for (size_t i = 0; i < config_key_count; i++)
		free(section->values[i]);
	free(section->guest);
}

void config_finish(struct config *config)
{
	while (config->guests) {
		struct config_section *section = config->guests;

		config->guests = section->next;
		config_section_finish(section);
		free(section);
	}
	config_section_finish(&config->defaults);
	*config = (struct config){ 0 };
}

/* ----------------------------------------------------------------- arguments */

/* Room: one for each key but modes, which may be many. */
#define ARGUMENTS_MAX (CONFIG_KEYS_MAX + CONFIG_VALUE_MAX / 4)

/* "--option=value", for modes once for each. */
static int config_append(
    char **arguments, size_t *count, const struct config_key *key, const char *value)
{
	do {
		size_t length = key->each ? strcspn(value, ",") : strlen(value);

		if (*count == ARGUMENTS_MAX)
			return -E2BIG;
		if (asprintf(&arguments[*count], "--%s=%.*s", key->option, (int)length, value) <
		    0) {
			arguments[*count] = NULL;
			return -ENOMEM;
		}
		++*count;
		value += length;
	} while (*value++);
	return 0;
}

static const char *config_value(const struct config *config, const char *guest, size_t key)
{
	const struct config_section *section = guest ? config_find(config, guest) : NULL;

	return section && section->values[key] ? section->values[key]
					       : config->defaults.values[key];
}

const char *config_get(const struct config *config, const char *guest, const char *key)
{
	size_t i = config_key_find(key);

	assert(i < config_key_count);
	return config_value(config, guest, i);
}

enum log_level config_log_level(const struct config *config, const char *guest)
{
	const char *value = config_get(config, guest, "log-level");
	enum log_level level = LOG_LEVEL_INFO;

	/* The value was checked when it was read. */
	if (value)
		log_level_parse(value, &level);
	return level;
}

/* Does a change of this setting hold only from the next reset on? */
static bool config_key_waits(size_t key)
{
	return config_keys[key].when == CONFIG_WHEN_RESET;
}

unsigned config_compare(const struct config *before, const struct config *after, const char *guest,
    bool at_once, char *names, size_t size)
{
	unsigned count = 0;
	size_t used = 0;

	*names = '\0';
	for (size_t i = 0; i < config_key_count; i++) {
		const char *a = config_value(before, guest, i), *b = config_value(after, guest, i);

		if (config_key_waits(i) == at_once || (!a && !b) || (a && b && !strcmp(a, b)))
			continue;
		if (used < size)
			used += (size_t)snprintf(names + used, size - used, "%s%s",
			    count ? ", " : "", config_keys[i].name);
		count++;
	}
	return count;
}

static bool config_key_is_for(size_t key, enum config_device device)
{
	return config_keys[key].whose == CONFIG_OF_ALL ||
	       (config_keys[key].whose == CONFIG_OF_GPU && device == CONFIG_GPU);
}

/* FNV-1a, of names and values with a byte behind each that is in neither. */
uint64_t config_fingerprint(
    const struct config *config, const char *guest, enum config_device device)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < config_key_count; i++) {
		const char *const parts[] = { config_keys[i].name, config_value(config, guest, i) };

		if (!config_key_waits(i) || !config_key_is_for(i, device) || !parts[1])
			continue;
		for (unsigned part = 0; part < 2; part++) {
			for (const char *c = parts[part]; *c; c++)
				hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
			hash = (hash ^ 0xff) * UINT64_C(1099511628211);
		}
	}
	return hash;
}

enum config_display config_display(const struct config *config, const char *guest)
{
	const char *value = config_get(config, guest, "display");

	if (value && !strcmp(value, "seat"))
		return CONFIG_DISPLAY_SEAT;
	/* PNG files are what a headless display writes. */
	if ((value && !strcmp(value, "headless")) || config_get(config, guest, "png-dir"))
		return CONFIG_DISPLAY_HEADLESS;
	return CONFIG_DISPLAY_AUTO;
}

enum seat_input_kind config_input_kind(
    const struct config *config, const char *guest, unsigned rank)
{
	const char *value = config_get(config, guest, "input");
	bool wrong;

	return config_parse_input(value ? value : CONFIG_INPUT_DEFAULT, rank, &wrong);
}

void config_limits(const struct config *config, const char *guest, struct gpu_limits *limits)
{
	const char *expected;

	*limits = GPU_LIMITS_DEFAULT;
	for (size_t i = 0; i < config_key_count; i++) {
		const char *value = config_value(config, guest, i);

		if (value) /* other settings are none of its names */
			gpu_limits_set(limits, config_keys[i].name, value, &expected);
	}
}

int config_arguments(
    const struct config *config, const char *guest, enum config_device device, char ***out)
{
	char **arguments = calloc(ARGUMENTS_MAX + 1, sizeof(*arguments));
	size_t count = 0;
	int error;

	if (!arguments)
		return -ENOMEM;
	for (size_t i = 0; i < config_key_count; i++) {
		const char *value = config_value(config, guest, i);

		if (!strcmp(config_keys[i].name, "png-dir") &&
		    config_display(config, guest) == CONFIG_DISPLAY_SEAT)
			continue; /* which has files of no display but a headless one */
		error = value && config_keys[i].option && config_key_is_for(i, device)
			    ? config_append(arguments, &count, &config_keys[i], value)
			    : 0;
		if (error) {
			config_arguments_free(arguments);
			return error;
		}
	}
	*out = arguments;
	return 0;
}

void config_arguments_free(char **arguments)
{
	for (char **argument = arguments; argument && *argument; argument++)
		free(*argument);
	free(arguments);
}
