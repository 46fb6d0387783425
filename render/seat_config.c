/* SPDX-License-Identifier: MIT */
#include "render/seat_config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/log.h"

#define NAME_SHOWN 64

struct config_reader {
	struct seat_config *config;
	const char *name;
	FILE *file;
	unsigned line, errors;
	char section[256]; /* the current one's header */
	bool entered;
	/* One of them is what it describes; none: it is wrong. */
	bool seat;
	struct seat_config_output *output;
	struct seat_config_view *view;
	struct seat_config_input *input;
};

static void config_wrong(struct config_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void config_wrong(struct config_reader *reader, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	reader->errors++;
	log_error("%s:%u: %s", reader->name, reader->line, text);
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

		config_wrong(reader, "this line is too long, it begins with '%.20s'", line);
		while ((c = fgetc(reader->file)) != EOF && c != '\n')
			;
		line[0] = '\n';
		line[1] = '\0';
	}
	return line;
}

/* ---------------------------------------------------------------- values */

static int parse_bool(const char *text, bool *value)
{
	const bool yes = !strcmp(text, "yes") || !strcmp(text, "on") || !strcmp(text, "true");

	if (!yes && strcmp(text, "no") != 0 && strcmp(text, "off") != 0 &&
	    strcmp(text, "false") != 0)
		return -EINVAL;
	*value = yes;
	return 0;
}

/* A whole number, of @least to @most. */
static int parse_number(const char *text, long least, long most, long *value, const char **end)
{
	char *stop;

	errno = 0;
	*value = strtol(text, &stop, 10);
	if (stop == text || errno || isspace((unsigned char)*text) || *value < least ||
	    *value > most)
		return -EINVAL;
	*end = stop;
	return 0;
}

/* "X,Y" of either sign */
static int parse_position(const char *text, int32_t *x, int32_t *y)
{
	long a, b;

	if (parse_number(text, -100000, 100000, &a, &text) < 0 || *text++ != ',')
		return -EINVAL;
	while (*text == ' ')
		text++;
	if (parse_number(text, -100000, 100000, &b, &text) < 0 || *text)
		return -EINVAL;
	*x = (int32_t)a;
	*y = (int32_t)b;
	return 0;
}

static int parse_alpha(const char *text, uint16_t *alpha)
{
	char *end;
	const double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= 1))
		return -EINVAL;
	*alpha = (uint16_t)(value * UINT16_MAX + 0.5);
	return 0;
}

static int parse_matrix(const char *text, float matrix[6])
{
	for (unsigned i = 0; i < 6; i++) {
		char *end;

		matrix[i] = strtof(text, &end);
		if (end == text || !isfinite(matrix[i]))
			return -EINVAL;
		text = end;
	}
	while (*text == ' ')
		text++;
	return *text ? -EINVAL : 0;
}

static int parse_name(const char *text, char *name, size_t size)
{
	if (!*text || strlen(text) >= size)
		return -EINVAL;
	memcpy(name, text, strlen(text) + 1);
	return 0;
}

/* ---------------------------------------------------------------- settings
 * Each: 0; -ENOENT, there is no such setting; -EINVAL and what it may be. */

static int set_seat(
    struct seat_config *config, const char *name, const char *value, const char **expected)
{
	struct seat_input_config *input = &config->input;

	if (!strcmp(name, "focus-follows")) {
		*expected = "pointer, click or chord";
		return seat_focus_follows_parse(value, &input->focus_follows);
	}
	if (!strcmp(name, "focus-chord")) {
		*expected = "keys such as leftmeta+tab, or none";
		return seat_chord_parse(value, &input->next);
	}
	*expected = "yes or no";
	if (!strcmp(name, "touch-by-focus"))
		return parse_bool(value, &input->touch_by_focus);
	if (!strcmp(name, "relative-pointer"))
		return parse_bool(value, &input->relative);
	return -ENOENT;
}

static int set_output(
    struct seat_config_output *output, const char *name, const char *value, const char **expected)
{
	if (!strcmp(name, "mode")) {
		*expected = "off, preferred, or such as 1920x1080 or 1920x1080@59.94";
		output->off = !strcmp(value, "off");
		output->has_mode = false;
		if (output->off || !strcmp(value, "preferred"))
			return 0;
		output->has_mode = true;
		return seat_mode_parse(value, &output->mode);
	}
	if (!strcmp(name, "position")) {
		*expected = "X,Y in pixels of the desktop";
		output->has_position = true;
		return parse_position(value, &output->x, &output->y);
	}
	if (!strcmp(name, "size-mm")) {
		*expected = "WIDTHxHEIGHT in millimetres";
		return edid_size_parse(value, &output->width_mm, &output->height_mm);
	}
	output->has_identity |= !strncmp(name, "edid-", 5);
	return edid_identity_set(&output->identity, name, value, expected);
}

static int set_view(
    struct seat_config_view *view, const char *name, const char *value, const char **expected)
{
	const char *end;
	long number;

	if (!strcmp(name, "output")) {
		*expected = "a connector's name, such as HDMI-A-1";
		return parse_name(value, view->output, sizeof(view->output));
	}
	if (!strcmp(name, "position")) {
		*expected = "X,Y in pixels of the output";
		view->has_position = true;
		return parse_position(value, &view->x, &view->y);
	}
	if (!strcmp(name, "size")) {
		struct seat_mode size;

		*expected = "WIDTHxHEIGHT in pixels, each 16384 at most";
		if (seat_mode_parse(value, &size) < 0 || size.refresh)
			return -EINVAL;
		view->has_size = true;
		view->width = size.width;
		view->height = size.height;
		return 0;
	}
	if (!strcmp(name, "order")) {
		*expected = "a number from -1000 to 1000; the higher, the nearer";
		if (parse_number(value, -1000, 1000, &number, &end) < 0 || *end)
			return -EINVAL;
		view->order = (int32_t)number;
		return 0;
	}
	if (!strcmp(name, "alpha")) {
		*expected = "a number from 0 (not to be seen) to 1";
		return parse_alpha(value, &view->alpha);
	}
	return -ENOENT;
}

static int set_input(
    struct seat_config_input *input, const char *name, const char *value, const char **expected)
{
	if (!strcmp(name, "ignore")) {
		*expected = "yes or no";
		return parse_bool(value, &input->ignore);
	}
	if (!strcmp(name, "guest")) {
		*expected = "a guest's name";
		return parse_name(value, input->guest, sizeof(input->guest));
	}
	if (!strcmp(name, "output")) {
		*expected = "a connector's name, such as HDMI-A-1";
		return parse_name(value, input->output, sizeof(input->output));
	}
	if (!strcmp(name, "calibration")) {
		*expected = "six numbers, the rows of a matrix";
		input->has_calibration = true;
		return parse_matrix(value, input->calibration);
	}
	return -ENOENT;
}

/* ---------------------------------------------------------------- sections */

const struct seat_config_output *seat_config_find_output(
    const struct seat_config *config, const char *name)
{
	for (unsigned i = 0; i < config->output_count; i++)
		if (!strcmp(config->outputs[i].name, name))
			return &config->outputs[i];
	return NULL;
}

const struct seat_config_view *seat_config_find_view(
    const struct seat_config *config, const char *guest, unsigned scanout)
{
	for (unsigned i = 0; i < config->view_count; i++)
		if (config->views[i].scanout == scanout && !strcmp(config->views[i].guest, guest))
			return &config->views[i];
	return NULL;
}

bool seat_config_has_views(const struct seat_config *config, const char *guest)
{
	for (unsigned i = 0; i < config->view_count; i++)
		if (!strcmp(config->views[i].guest, guest))
			return true;
	return false;
}

static void open_output(struct config_reader *reader, const char *name)
{
	struct seat_config *config = reader->config;
	struct seat_config_output *output = &config->outputs[config->output_count];

	if (seat_config_find_output(config, name)) {
		config_wrong(reader, "output '%.*s' has a section already", NAME_SHOWN, name);
		return;
	}
	if (config->output_count == SEAT_OUTPUTS_MAX) {
		config_wrong(reader, "more than %d outputs", SEAT_OUTPUTS_MAX);
		return;
	}
	if (parse_name(name, output->name, sizeof(output->name)) < 0) {
		config_wrong(reader, "'%.*s' is no connector's name", NAME_SHOWN, name);
		return;
	}
	output->line = reader->line;
	config->output_count++;
	reader->output = output;
}

static void open_view(struct config_reader *reader, const char *name)
{
	struct seat_config *config = reader->config;
	struct seat_config_view *view = &config->views[config->view_count];
	const char *colon = strrchr(name, ':'), *end;
	long scanout;

	if (config->view_count == SEAT_VIEWS_MAX) {
		config_wrong(reader, "more than %d views", SEAT_VIEWS_MAX);
		return;
	}
	if (!colon || colon == name || (size_t)(colon - name) >= sizeof(view->guest) ||
	    parse_number(colon + 1, 0, DISPLAY_SCANOUTS_MAX - 1, &scanout, &end) < 0 || *end) {
		config_wrong(reader,
		    "a view is [view GUEST:SCANOUT], scan-outs are 0 to 15, not '%.*s'", NAME_SHOWN,
		    name);
		return;
	}
	memcpy(view->guest, name, (size_t)(colon - name));
	view->guest[colon - name] = '\0';
	if (seat_config_find_view(config, view->guest, (unsigned)scanout)) {
		config_wrong(reader, "view '%.*s' has a section already", NAME_SHOWN, name);
		return;
	}
	view->scanout = (unsigned)scanout;
	view->line = reader->line;
	view->alpha = UINT16_MAX;
	config->view_count++;
	reader->view = view;
}

static void open_input(struct config_reader *reader, const char *match)
{
	struct seat_config *config = reader->config;
	struct seat_config_input *input = &config->inputs[config->input_count];

	if (config->input_count == SEAT_INPUTS_MAX) {
		config_wrong(reader, "more than %d input sections", SEAT_INPUTS_MAX);
		return;
	}
	if (parse_name(match, input->match, sizeof(input->match)) < 0) {
		config_wrong(reader, "'%.*s' is no device's name", NAME_SHOWN, match);
		return;
	}
	input->line = reader->line;
	config->input_count++;
	reader->input = input;
}

static const char *section_name(const char *section, const char *kind)
{
	const size_t length = strlen(kind);

	if (strncmp(section, kind, length) != 0 || section[length] != ' ')
		return NULL;
	for (section += length; *section == ' '; section++)
		;
	return section;
}

/* Opened with its first setting. */
static void config_enter(struct config_reader *reader, const char *section)
{
	const char *name;

	if (reader->entered && !strcmp(reader->section, section))
		return;
	reader->entered = true;
	snprintf(reader->section, sizeof(reader->section), "%s", section);
	reader->seat = false;
	reader->output = NULL;
	reader->view = NULL;
	reader->input = NULL;
	if (!strcmp(section, "seat"))
		reader->seat = true;
	else if ((name = section_name(section, "output")))
		open_output(reader, name);
	else if ((name = section_name(section, "view")))
		open_view(reader, name);
	else if ((name = section_name(section, "input")))
		open_input(reader, name);
	else if (*section)
		config_wrong(reader,
		    "unknown section [%.*s]: there are [seat], [output NAME], [view "
		    "GUEST:SCANOUT] and [input NAME]",
		    NAME_SHOWN, section);
	else
		config_wrong(reader, "a setting before any section");
}

/* inih's handler: 1, all is well as far as inih goes; errors are counted by us. */
static int config_take(void *user, const char *section, const char *name, const char *value)
{
	struct config_reader *reader = user;
	const char *expected = NULL;
	int error;

	config_enter(reader, section);
	if (reader->seat)
		error = set_seat(reader->config, name, value, &expected);
	else if (reader->output)
		error = set_output(reader->output, name, value, &expected);
	else if (reader->view)
		error = set_view(reader->view, name, value, &expected);
	else if (reader->input)
		error = set_input(reader->input, name, value, &expected);
	else
		return 1;
	if (error == -ENOENT)
		config_wrong(reader, "unknown setting '%.*s' in [%.*s]", NAME_SHOWN, name,
		    NAME_SHOWN, section);
	else if (error < 0)
		config_wrong(reader, "%.*s must be %s, not '%.*s'", NAME_SHOWN, name, expected,
		    NAME_SHOWN, value);
	return 1;
}

static void config_check(struct config_reader *reader)
{
	for (unsigned i = 0; i < reader->config->view_count; i++) {
		const struct seat_config_view *view = &reader->config->views[i];

		reader->line = view->line;
		if (!*view->output)
			config_wrong(
			    reader, "view %s:%u has no 'output'", view->guest, view->scanout);
	}
}

static int config_read(struct seat_config *config, const char *name, FILE *file)
{
	struct config_reader reader = { .config = config, .name = name, .file = file };
	int r;

	seat_config_init(config);
	r = ini_parse_stream(config_read_line, &reader, config_take, &reader);
	if (r > 0) {
		reader.line = (unsigned)r;
		config_wrong(&reader, "this is no setting, which is written 'key = value'");
	}
	config_check(&reader);
	if (!r && !reader.errors)
		return 0;
	seat_config_init(config);
	return r < 0 ? -ENOMEM : -EINVAL;
}

/* ---------------------------------------------------------------- files */

void seat_config_init(struct seat_config *config)
{
	memset(config, 0, sizeof(*config));
	config->input = seat_input_config_default;
}

int seat_config_load(struct seat_config *config, const char *path)
{
	const char *named = path;
	FILE *file;
	int error;

	seat_config_init(config);
	if (!named)
		path = SEAT_CONFIG_PATH;
	file = fopen(path, "re");
	if (!file) {
		error = -errno;
		if (!named && error == -ENOENT)
			return 0;
		log_error("cannot read %s: %s", path, strerror(-error));
		return error;
	}
	error = config_read(config, path, file);
	fclose(file);
	return error;
}

int seat_config_parse(struct seat_config *config, const char *name, const char *text)
{
	FILE *file;
	int error;

	seat_config_init(config);
	if (!*text)
		return 0; /* which fmemopen() refuses */
	file = fmemopen((void *)text, strlen(text), "r");
	if (!file)
		return -errno;
	error = config_read(config, name, file);
	fclose(file);
	return error;
}
