/* SPDX-License-Identifier: MIT */
/* gpudom.conf */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/config.h"

/* After what it needs. */
#include <cmocka.h>

/* Parses @text; everything logged meanwhile is in @log. */
static int parse(struct config *config, const char *text, char *log, size_t size)
{
	int saved = dup(STDERR_FILENO), result;
	FILE *file = tmpfile();
	size_t n;

	assert_non_null(file);
	dup2(fileno(file), STDERR_FILENO);
	result = config_parse(config, "test.conf", text);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	n = fread(log, 1, size - 1, file);
	log[n] = '\0';
	fclose(file);
	return result;
}

static void assert_arguments(
    const struct config *config, const char *guest, const char *const *expected)
{
	char **arguments;
	size_t i;

	assert_int_equal(config_arguments(config, guest, &arguments), 0);
	for (i = 0; expected[i] && arguments[i]; i++)
		assert_string_equal(arguments[i], expected[i]);
	assert_null(expected[i]);
	assert_null(arguments[i]);
	config_arguments_free(arguments);
}
#define ARGUMENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* @text is refused, with a line that says @where and @what. */
static void assert_refused(const char *text, const char *where, const char *what)
{
	struct config config;
	char log[4096];

	assert_int_equal(parse(&config, text, log, sizeof(log)), -EINVAL);
	if (!strstr(log, where) || !strstr(log, what))
		fail_msg("'%s' and '%s' expected in: %s", where, what, log);
	config_finish(&config); /* harmless */
}

static void an_empty_file_is_all_defaults(void **state)
{
	struct config config;
	char log[512];

	assert_int_equal(parse(&config, "", log, sizeof(log)), 0);
	assert_arguments(&config, "any", (const char *const[]){ NULL });
	config_finish(&config);
	assert_int_equal(parse(&config, "# nothing\n[default]\n[guest x]\n", log, sizeof(log)), 0);
	assert_arguments(&config, NULL, (const char *const[]){ NULL });
	assert_string_equal(log, "");
	config_finish(&config);
}

static void the_guests_section_comes_before_the_default(void **state)
{
	static const char text[] = "[guest cluster]\n"
				   "mode = 1920x720@59.94\n"
				   "capsets = virgl2\n"
				   "[default]\n"
				   "renderer = virgl\n"
				   "capsets = virgl,virgl2\n"
				   "limit-host-bytes = 256M\n"
				   "[guest two words]\n"
				   "outputs = 2\n"
				   "mode = 800x600, 1024x768@30,\t640x480\n";
	struct config config;
	char log[512];

	assert_int_equal(parse(&config, text, log, sizeof(log)), 0);
	assert_string_equal(log, "");
	assert_arguments(&config, "cluster",
	    ARGUMENTS("--mode=1920x720@59.94", "--renderer=virgl", "--capsets=virgl2",
		"--limit-host-bytes=256M"));
	assert_arguments(&config, "two words",
	    ARGUMENTS("--mode=800x600", "--mode=1024x768@30", "--mode=640x480", "--scanouts=2",
		"--renderer=virgl", "--capsets=virgl,virgl2", "--limit-host-bytes=256M"));
	assert_arguments(&config, "other",
	    ARGUMENTS("--renderer=virgl", "--capsets=virgl,virgl2", "--limit-host-bytes=256M"));
	assert_arguments(&config, NULL,
	    ARGUMENTS("--renderer=virgl", "--capsets=virgl,virgl2", "--limit-host-bytes=256M"));
	config_finish(&config);
}

static void errors_name_their_line(void **state)
{
	assert_refused("[default]\n\n# x\nmode = big\n", "test.conf:4:", "WIDTHxHEIGHT");
	assert_refused("[default]\nsize = 3\n", "test.conf:2:", "unknown setting 'size'");
	assert_refused("mode = 800x600\n", "test.conf:1:", "before any section");
	assert_refused("[gest x]\nmode = 800x600\n", "test.conf:2:", "unknown section");
	assert_refused("[guest ]\nmode = 800x600\n", "test.conf:2:", "no name");
	assert_refused("[default]\nmode = 1x1\nmode = 2x2\n", "test.conf:3:", "already");
	assert_refused("[default]\nthis is nothing\n", "test.conf:2:", "key = value");
}

static void every_error_is_reported(void **state)
{
	struct config config;
	char log[4096];

	assert_int_equal(
	    parse(&config, "[default]\nmode = 0\noutputs = 17\negl = no\nrefresh = 60\n", log,
		sizeof(log)),
	    -EINVAL);
	assert_non_null(strstr(log, "test.conf:2:"));
	assert_non_null(strstr(log, "test.conf:3:"));
	assert_non_null(strstr(log, "test.conf:4:"));
	assert_null(strstr(log, "test.conf:5:"));
}

static void values_out_of_range(void **state)
{
	static const char *const bad[] = { "mode = 1920", "mode = 1920 x 1080", "mode = 1920x",
		"mode = x1080", "mode = 1920x1080@", "mode = 1920x1080@1001", "mode = 1920x1080,",
		"mode = 20000x1080", "mode = -1x1", "mode = 1920x1080@60Hz", "outputs = 0",
		"outputs = 17", "outputs = two", "outputs = -1", "refresh = -60", "refresh = 1001",
		"refresh = x", "renderer = opengl", "egl = glx", "capsets = virgl3",
		"capsets = virgl,", "capsets =", "render-node = dri/renderD128",
		"png-dir = relative", "limit-resources = 1K", "limit-resources = 4294967296",
		"limit-host-bytes = 12X", "limit-host-bytes = M", "limit-host-bytes = 1MB",
		"limit-host-bytes = 99999999999999999999", "limit-command-bytes = -1",
		"log-level = loud" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[128];

		snprintf(text, sizeof(text), "[default]\n%s\n", bad[i]);
		assert_refused(text, "test.conf:2:", "must be");
	}
}

static void a_line_that_is_too_long(void **state)
{
	char text[4096] = "[default]\nrender-node = /";
	size_t n = strlen(text);

	memset(text + n, 'a', 3000);
	snprintf(text + n + 3000, sizeof(text) - n - 3000, "\nmode = 800x600\n");
	assert_refused(text, "test.conf:2:", "too long");
}

static void a_file_that_is_not_there(void **state)
{
	struct config config = { 0 };

	assert_int_equal(config_load(&config, "/nonexistent/gpudom.conf"), -ENOENT);
	config_finish(&config);
}

static void the_example_is_valid(void **state)
{
	struct config config;

	assert_int_equal(config_load(&config, "configs/gpudom.conf"), 0);
	assert_null(config.guests);
	config_finish(&config);
}

/* Every setting that the example shows as a default, and the example of a guest, are valid too. */
static void the_examples_comments_are_valid(void **state)
{
	FILE *file = fopen("configs/gpudom.conf", "re");
	char text[16384], line[512];
	size_t size = 0;
	struct config config;
	unsigned settings = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		bool setting = line[0] == '#' && line[1] != ' ' && line[1] != '\n';

		settings += setting;
		size += (size_t)snprintf(
		    text + size, sizeof(text) - size, "%s", setting ? line + 1 : line);
	}
	fclose(file);
	assert_int_equal(config_parse(&config, "example", text), 0);
	assert_non_null(config.guests);
	assert_string_equal(config.guests->guest, "cluster");
	assert_int_equal(settings, 15 + 4);
	config_finish(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_is_all_defaults),
		cmocka_unit_test(the_guests_section_comes_before_the_default),
		cmocka_unit_test(errors_name_their_line),
		cmocka_unit_test(every_error_is_reported),
		cmocka_unit_test(values_out_of_range),
		cmocka_unit_test(a_line_that_is_too_long),
		cmocka_unit_test(a_file_that_is_not_there),
		cmocka_unit_test(the_example_is_valid),
		cmocka_unit_test(the_examples_comments_are_valid),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
