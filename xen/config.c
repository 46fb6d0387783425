/* SPDX-License-Identifier: MIT */
#include "xen/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/log.h"

/* What a key's value may be. */
struct config_key {
	const char *name;
	const char *option; /* of gpudom-worker */
	bool (*valid)(const struct config_key *key, const char *value);
	const char *expected; /* for people */
	const char *const *names;
	uint64_t max;
};

struct config_reader {
	struct config *config;
	const char *name;
	FILE *file;
	unsigned line, errors;
	struct config_section *section; /* the current one; NULL: one that is wrong */
	char *section_name;
};

/* ------------------------------------------------------------------- values */

static bool is_number(const char *value, uint64_t max, const char **end)
{
	unsigned long long n;
	char *e;

	if (!isdigit((unsigned char)*value))
		return false;
	errno = 0;
	n = strtoull(value, &e, 10);
	*end = e;
	return !errno && n <= max;
}

static bool valid_number(const struct config_key *key, const char *value)
{
	const char *end;

	return is_number(value, key->max, &end) && !*end;
}

static bool valid_count(const struct config_key *key, const char *value)
{
	return valid_number(key, value) && strtoull(value, NULL, 10) > 0;
}

static bool valid_size(const struct config_key *key, const char *value)
{
	const char *end;

	if (!is_number(value, key->max, &end))
		return false;
	return !*end || (strchr("KMG", *end) && !end[1]);
}

static bool valid_path(const struct config_key *key, const char *value)
{
	return value[0] == '/';
}

static bool valid_name(const struct config_key *key, const char *value)
{
	for (const char *const *name = key->names; *name; name++)
		if (!strcmp(*name, value))
			return true;
	return false;
}

/* Names with commas in between. */
static bool valid_names(const struct config_key *key, const char *value)
{
	for (;;) {
		size_t length = strcspn(value, ",");
		bool known = false;

		for (const char *const *name = key->names; *name; name++)
			known |= strlen(*name) == length && !memcmp(*name, value, length);
		if (!known)
			return false;
		if (!value[length])
			return true;
		value += length + 1;
	}
}

/* Hertz, perhaps with a fraction. */
static bool is_refresh(const char *value, const char **end)
{
	if (!is_number(value, 1000, end))
		return false;
	if (**end == '.')
		for (++*end; isdigit((unsigned char)**end); ++*end)
			;
	return true;
}

static bool valid_refresh(const struct config_key *key, const char *value)
{
	const char *end;

	return is_refresh(value, &end) && !*end;
}

/* WIDTHxHEIGHT[@HZ], more of them with commas in between. */
static bool valid_modes(const struct config_key *key, const char *value)
{
	for (;;) {
		const char *at = value;

		if (!is_number(at, 16384, &at) || *at != 'x' || !is_number(at + 1, 16384, &at))
			return false;
		if (*at == '@' && !is_refresh(at + 1, &at))
			return false;
		if (!*at)
			return true;
		if (*at != ',')
			return false;
		value = at + 1;
	}
}

static const char *const renderers[] = { "auto", "virgl", "soft", NULL };
static const char *const egls[] = { "auto", "gbm", "device", "surfaceless", NULL };
static const char *const capsets[] = { "virgl", "virgl2", "none", NULL };
static const char *const levels[] = { "error", "warning", "info", "debug", NULL };

#define NUMBER "a number"
#define SIZE "a size in bytes such as 64M"

static const struct config_key keys[] = {
	{ "mode", "mode", valid_modes, "WIDTHxHEIGHT[@HZ], one for each output, with commas", NULL,
	    0 },
	{ "outputs", "scanouts", valid_count, "a number from 1 to 16", NULL, 16 },
	{ "refresh", "refresh", valid_refresh, "Hertz, 0 to 1000", NULL, 0 },
	{ "renderer", "renderer", valid_name, "auto, virgl or soft", renderers, 0 },
	{ "render-node", "render-node", valid_path, "an absolute path", NULL, 0 },
	{ "egl", "egl", valid_name, "auto, gbm, device or surfaceless", egls, 0 },
	{ "capsets", "capsets", valid_names, "names out of virgl, virgl2, none", capsets, 0 },
	{ "png-dir", "png-dir", valid_path, "an absolute path", NULL, 0 },
	{ "limit-resources", "limit-resources", valid_number, NUMBER, NULL, UINT32_MAX },
	{ "limit-contexts", "limit-contexts", valid_number, NUMBER, NULL, UINT32_MAX },
	{ "limit-fences", "limit-fences", valid_number, NUMBER, NULL, UINT32_MAX },
	{ "limit-host-bytes", "limit-host-bytes", valid_size, SIZE, NULL, UINT64_MAX >> 30 },
	{ "limit-backing-bytes", "limit-backing-bytes", valid_size, SIZE, NULL, UINT64_MAX >> 30 },
	{ "limit-command-bytes", "limit-command-bytes", valid_size, SIZE, NULL, UINT32_MAX },
	{ "log-level", "log-level", valid_name, "error, warning, info or debug", levels, 0 },
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))
#define KEY_MODE 0
_Static_assert(KEY_COUNT <= CONFIG_KEYS_MAX, "room for each key");

/* ------------------------------------------------------------------- reading */

static void config_wrong(struct config_reader *reader, const char *what, const char *which)
{
	reader->errors++;
	log_error("%s:%u: %s '%.64s'", reader->name, reader->line, what, which);
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

	if (key->valid != valid_modes && key->valid != valid_names)
		return;
	for (const char *from = value; *from; from++)
		if (to == value || to[-1] != ',' || !isblank((unsigned char)*from))
			*to++ = *from;
	*to = '\0';
}

static int config_set(struct config_reader *reader, size_t key, const char *name, const char *text)
{
	char message[160], *value = strdup(text);

	if (!value)
		return 0;
	config_tidy(&keys[key], value);
	if (!keys[key].valid(&keys[key], value)) {
		snprintf(message, sizeof(message), "%s must be %s, not", name, keys[key].expected);
		config_wrong(reader, message, text);
	} else if (reader->section->values[key]) {
		config_wrong(reader, "this section has already a setting", name);
	} else {
		reader->section->values[key] = value;
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
	for (i = 0; i < KEY_COUNT && strcmp(keys[i].name, name) != 0; i++)
		;
	if (i < KEY_COUNT)
		return config_set(reader, i, name, value);
	config_wrong(reader, "unknown setting", name);
	return 1;
}

static int config_read(struct config *config, const char *name, FILE *file)
{
	struct config_reader reader = { .config = config, .name = name, .file = file };
	int r;

	*config = (struct config){ 0 };
	r = ini_parse_stream(config_read_line, &reader, config_take, &reader);
	free(reader.section_name);
	if (r > 0 && !reader.errors) {
		reader.line = (unsigned)r;
		config_wrong(&reader, "this is no setting, which is written", "key = value");
	} else if (r > 0) {
		log_error("%s:%d: not understood", name, r);
	}
	if (!r && !reader.errors)
		return 0;
	config_finish(config);
	return r < 0 ? -ENOMEM : -EINVAL;
}

int config_load(struct config *config, const char *path)
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
		return error;
	}
	error = config_read(config, path, file);
	fclose(file);
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
	error = config_read(config, name, file);
	fclose(file);
	return error;
}

static void config_section_finish(struct config_section *section)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
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
		size_t length = key == &keys[KEY_MODE] ? strcspn(value, ",") : strlen(value);

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

int config_arguments(const struct config *config, const char *guest, char ***out)
{
	const struct config_section *section = guest ? config_find(config, guest) : NULL;
	char **arguments = calloc(ARGUMENTS_MAX + 1, sizeof(*arguments));
	size_t count = 0;
	int error;

	if (!arguments)
		return -ENOMEM;
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const char *value =
		    section && section->values[i] ? section->values[i] : config->defaults.values[i];

		error = value ? config_append(arguments, &count, &keys[i], value) : 0;
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
