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
#include "xen/config_values.h"
#include "xen/policy.h"

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

	assert_int_equal(config_arguments(config, guest, CONFIG_GPU, &arguments), 0);
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

/* Every setting: what is right, and what is wrong. */
static void input_devices_are_named_in_order(void **state)
{
	struct config config;

	assert_int_equal(config_parse(&config, "test.conf",
			     "[guest a]\ninput = touch, keyboard\n[guest b]\nrefresh = 50\n"),
	    0);
	assert_int_equal(config_input_kind(&config, "a", 0), SEAT_INPUT_TOUCH);
	assert_int_equal(config_input_kind(&config, "a", 1), SEAT_INPUT_KEYBOARD);
	assert_int_equal(config_input_kind(&config, "a", 2), SEAT_INPUT_KINDS);
	assert_int_equal(config_input_kind(&config, "a", 4000000000), SEAT_INPUT_KINDS);
	assert_int_equal(config_input_kind(&config, "b", 0), SEAT_INPUT_KEYBOARD);
	assert_int_equal(config_input_kind(&config, NULL, 1), SEAT_INPUT_POINTER);
	assert_int_equal(config_input_kind(&config, NULL, 5), SEAT_INPUT_SWITCH);
	assert_int_equal(config_input_kind(&config, NULL, 6), SEAT_INPUT_KINDS);
	config_finish(&config);
}

static void an_input_worker_has_few_options(void **state)
{
	struct config config;
	char **arguments;

	assert_int_equal(config_parse(&config, "test.conf",
			     "[default]\nmode = 800x600\nsandbox = strict\ninput = mouse\n"
			     "display = seat\nlog-level = debug\nlimit-files = 7\n"),
	    0);
	assert_int_equal(config_arguments(&config, NULL, CONFIG_INPUT, &arguments), 0);
	assert_string_equal(arguments[0], "--sandbox=strict");
	assert_string_equal(arguments[1], "--log-level=debug");
	assert_null(arguments[2]);
	config_arguments_free(arguments);
	config_finish(&config);
}

static void png_files_are_of_a_headless_display(void **state)
{
	static const struct {
		const char *text;
		enum config_display display;
		bool files;
	} cases[] = {
		{ "", CONFIG_DISPLAY_AUTO, false },
		{ "display = auto\npng-dir = /x\n", CONFIG_DISPLAY_HEADLESS, true },
		{ "display = headless\npng-dir = /x\n", CONFIG_DISPLAY_HEADLESS, true },
		{ "display = seat\npng-dir = /x\n", CONFIG_DISPLAY_SEAT, false },
		{ "display = seat\n", CONFIG_DISPLAY_SEAT, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config config;
		char text[128], **arguments;

		snprintf(text, sizeof(text), "[default]\n%s", cases[i].text);
		assert_int_equal(config_parse(&config, "test.conf", text), 0);
		assert_int_equal(config_display(&config, NULL), cases[i].display);
		assert_int_equal(config_arguments(&config, NULL, CONFIG_GPU, &arguments), 0);
		assert_int_equal(arguments[0] != NULL, cases[i].files);
		config_arguments_free(arguments);
		config_finish(&config);
	}
}

static void each_setting_is_checked(void **state)
{
	static const struct {
		const char *key, *right[8], *wrong[12];
	} settings[] = {
		{ "mode", { "1x1", "16384x16384@1000", "800x600, 640x480@59.94" },
		    { "0x1", "1x0", "16385x1", "800", "800x600,", "800x600@", "800x600@x" } },
		{ "outputs", { "1", "16" }, { "0", "17", "-1", "one", "1 2" } },
		{ "refresh", { "0", "1000", "59.94" }, { "1001", "-1", "60Hz", "." } },
		{ "size-mm", { "520x290", "5x5, 2550x2550" }, { "520", "4x290", "520x290," } },
		{ "edid-name", { "Cluster", "two words 13" }, { "fourteen chars" } },
		{ "edid-vendor", { "DEL" }, { "del", "DELL" } },
		{ "edid-product", { "0", "65535", "0xffff" }, { "65536", "x" } },
		{ "edid-serial", { "4294967295" }, { "4294967296", "-1" } },
		{ "renderer", { "auto", "virgl", "soft" }, { "gl", "auto,soft" } },
		{ "render-node", { "/dev/dri/renderD128" }, { "renderD128" } },
		{ "egl", { "auto", "gbm", "device", "surfaceless" }, { "glx" } },
		{ "capsets",
		    { "none", "virgl", "virgl2", "virgl, virgl2", "venus,drm,cross-domain" },
		    { "virgl3", "virgl,", ",virgl", "virgl virgl2", "Venus", "gfxstream" } },
		{ "png-dir", { "/var/lib" }, { "lib" } },
		{ "display", { "auto", "headless", "seat" }, { "frontend", "Seat", "auto,seat" } },
		{ "input",
		    { "keyboard", "touch, keyboard", "switch,tablet,mouse,touch,pointer,keyboard" },
		    { "", "mice", "mouse,", ",mouse", "mouse,mouse", "mouse keyboard", "gpu",
			"keyboardkeyboardkeyboard" } },
		{ "limit-resources", { "0", "4294967295" },
		    { "4294967296", "1K", "-1", "x", "off" } },
		{ "limit-contexts", { "0", "4294967295" }, { "4294967296", "1K" } },
		{ "limit-attachments", { "0", "4294967295" }, { "4294967296", "1K" } },
		{ "limit-fences", { "0", "4294967295" }, { "4294967296", "1K" } },
		{ "limit-maps", { "0", "4294967295" }, { "4294967296", "1K" } },
		{ "limit-host-bytes", { "0", "1", "64K", "256M", "4G" },
		    { "12X", "M", "1MB", "99999999999999999999", "99999999999G", "off", "1%" } },
		{ "limit-backing-bytes", { "1G" }, { "1T", "-1" } },
		{ "limit-command-bytes", { "4M", "4294967295" }, { "4G", "4294967296" } },
		{ "limit-submissions", { "1", "1048576", "off" }, { "0", "1048577", "1K" } },
		{ "limit-frame-rate", { "1", "1000", "off" }, { "0", "1001", "60Hz", "59.94" } },
		{ "limit-gpu-time", { "1", "100", "50%", "off" }, { "0", "101%", "%", "1.5" } },
		{ "sandbox", { "on", "strict", "off", "log" }, { "yes", "On" } },
		{ "limit-memory", { "64M", "8G" }, { "0", "off", "1T", "50%" } },
		{ "limit-files", { "1", "1048576" }, { "0", "1048577", "1K" } },
		{ "log-level", { "error", "warning", "info", "debug" }, { "loud", "Info" } },
		{ "crash-limit", { "5/60s", "5/60", "100/86400s", "0", "off", "1/1s" },
		    { "5", "101/60s", "5/0s", "5/86401s", "5/60ms", "-1/60", "5/", "/60" } },
		{ "hang-timeout", { "30s", "1ms", "5min", "1440min", "off" },
		    { "30", "0s", "s", "1441min", "-1s", "1 h", "1.5s" } },
		{ "flush-deadline", { "200ms", "off" }, { "200", "never" } },
		{ "signal-lost-after", { "2s", "off" }, { "2" } },
		{ "signal-lost-image", { "/usr/share/gpudom/lost.png" }, { "lost.png" } },
		{ "cpu-weight", { "1", "10000" }, { "0", "10001", "50%" } },
		{ "cpu-max", { "50", "50%", "150%", "off" }, { "0", "%", "-1%", "102401", "1.5" } },
		{ "memory-max", { "512M", "1G", "off" }, { "0", "1T", "512MB", "50%" } },
	};
	const size_t count = sizeof(settings) / sizeof(settings[0]);
	char text[256], where[256];

	assert_int_equal(count, config_key_count);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(settings[i].key, config_keys[i].name);
		for (const char *const *value = settings[i].right; *value; value++) {
			struct config config;

			snprintf(
			    text, sizeof(text), "[guest x]\n%s = %s\n", settings[i].key, *value);
			assert_int_equal(config_parse(&config, "test.conf", text), 0);
			assert_non_null(config_get(&config, "x", settings[i].key));
			assert_null(config_get(&config, "y", settings[i].key));
			assert_null(config_get(&config, NULL, settings[i].key));
			config_finish(&config);
		}
		for (const char *const *value = settings[i].wrong; *value; value++) {
			snprintf(text, sizeof(text), "[guest x]\n# a line\n%s = %s\n",
			    settings[i].key, *value);
			snprintf(where, sizeof(where), "%s must be %s, not '%s'", settings[i].key,
			    config_keys[i].expected, *value);
			assert_refused(text, "test.conf:3:", where);
		}
	}
}

static void a_policy_without_settings_is_the_default(void **state)
{
	struct config config;
	struct guest_policy policy;

	assert_int_equal(config_parse(&config, "test.conf", ""), 0);
	config_policy(&config, "x", &policy);
	assert_int_equal(policy.crash_limit, 5);
	assert_int_equal(policy.crash_window_s, 60);
	assert_int_equal(policy.hang_timeout_ms, 30000);
	assert_int_equal(policy.flush_deadline_ms, 0);
	assert_int_equal(policy.signal_lost_ms, 0);
	assert_string_equal(policy.signal_lost_image, "");
	assert_int_equal(policy.cpu_weight, 0);
	assert_int_equal(policy.cpu_max_percent, 0);
	assert_int_equal(policy.memory_max, 0);
	config_finish(&config);
}

static void limits_are_those_of_the_worker(void **state)
{
	static const char text[] = "[default]\n"
				   "limit-resources = 1\n"
				   "limit-contexts = 2\n"
				   "limit-attachments = 3\n"
				   "limit-fences = 4\n"
				   "limit-maps = 5\n"
				   "limit-host-bytes = 6G\n"
				   "limit-backing-bytes = 7M\n"
				   "limit-command-bytes = 8K\n"
				   "limit-submissions = 9\n"
				   "limit-frame-rate = 10\n"
				   "limit-gpu-time = 11%\n"
				   "[guest free]\n"
				   "limit-submissions = off\n"
				   "limit-frame-rate = off\n"
				   "limit-gpu-time = off\n";
	const struct gpu_limits defaults = GPU_LIMITS_DEFAULT;
	struct gpu_limits limits;
	struct config config;

	assert_int_equal(config_parse(&config, "test.conf", ""), 0);
	config_limits(&config, "x", &limits);
	assert_int_equal(limits.resources, defaults.resources);
	assert_int_equal(limits.host_bytes, defaults.host_bytes);
	assert_int_equal(limits.submissions, defaults.submissions);
	assert_int_equal(limits.frame_rate, 0);
	assert_int_equal(limits.gpu_time, 0);
	config_finish(&config);
	assert_int_equal(config_parse(&config, "test.conf", text), 0);
	config_limits(&config, "x", &limits);
	assert_int_equal(limits.resources, 1);
	assert_int_equal(limits.contexts, 2);
	assert_int_equal(limits.attachments, 3);
	assert_int_equal(limits.fences, 4);
	assert_int_equal(limits.maps, 5);
	assert_int_equal(limits.host_bytes, UINT64_C(6) << 30);
	assert_int_equal(limits.backing_bytes, 7u << 20);
	assert_int_equal(limits.command_bytes, 8u << 10);
	assert_int_equal(limits.submissions, 9);
	assert_int_equal(limits.frame_rate, 10);
	assert_int_equal(limits.gpu_time, 11);
	config_limits(&config, "free", &limits);
	assert_int_equal(limits.resources, 1);
	assert_int_equal(limits.submissions, 0);
	assert_int_equal(limits.frame_rate, 0);
	assert_int_equal(limits.gpu_time, 0);
	config_finish(&config);
}

static void a_guests_policy_comes_before_the_default(void **state)
{
	static const char text[] = "[default]\n"
				   "crash-limit = 3/10s\n"
				   "hang-timeout = 5s\n"
				   "cpu-weight = 50\n"
				   "memory-max = 512M\n"
				   "[guest cluster]\n"
				   "crash-limit = off\n"
				   "hang-timeout = off\n"
				   "flush-deadline = 200ms\n"
				   "signal-lost-after = 2min\n"
				   "signal-lost-image = /lost.png\n"
				   "cpu-max = 150%\n"
				   "memory-max = off\n";
	struct config config;
	struct guest_policy policy;

	assert_int_equal(config_parse(&config, "test.conf", text), 0);
	config_policy(&config, "cluster", &policy);
	assert_int_equal(policy.crash_limit, 0);
	assert_int_not_equal(policy.crash_window_s, 0);
	assert_int_equal(policy.hang_timeout_ms, 0);
	assert_int_equal(policy.flush_deadline_ms, 200);
	assert_int_equal(policy.signal_lost_ms, 120000);
	assert_string_equal(policy.signal_lost_image, "/lost.png");
	assert_int_equal(policy.cpu_weight, 50);
	assert_int_equal(policy.cpu_max_percent, 150);
	assert_int_equal(policy.memory_max, 0);
	/* They are none of the worker's options. */
	assert_arguments(&config, "cluster", (const char *const[]){ NULL });
	config_policy(&config, NULL, &policy);
	assert_int_equal(policy.crash_limit, 3);
	assert_int_equal(policy.crash_window_s, 10);
	assert_int_equal(policy.hang_timeout_ms, 5000);
	assert_int_equal(policy.memory_max, 512u << 20);
	config_finish(&config);
}

/* A file may serve several hosts. */
static void a_capset_that_this_build_has_not_is_a_warning(void **state)
{
	struct config config;
	char log[512];

	assert_int_equal(
	    parse(&config, "[default]\n\ncapsets = virgl2,venus, drm\n", log, sizeof(log)), 0);
	assert_non_null(strstr(log, "test.conf:3: this build of gpudom has no venus, drm"));
	assert_arguments(&config, NULL, ARGUMENTS("--capsets=virgl2,venus,drm"));
	config_finish(&config);
}

static void a_line_that_is_too_long(void **state)
{
	char text[4096] = "[default]\nrender-node = /";
	size_t n = strlen(text);

	memset(text + n, 'a', 3000);
	snprintf(text + n + 3000, sizeof(text) - n - 3000, "\nmode = 800x600\n");
	assert_refused(text, "test.conf:2:", "too long");
}

/* Which settings differ, and when a guest that is running has what they say. */
static void changes_are_found(void **state)
{
	static const char before[] = "[default]\nmode = 800x600\nlimit-fences = 5\n"
				     "[guest a]\nmode = 640x480\ncrash-limit = off\n";
	static const char after[] = "[default]\nmode = 1024x768\nlimit-fences = 6\n"
				    "capsets = none\nlog-level = debug\n"
				    "[guest a]\nmode = 640x480\ncapsets = virgl2\n"
				    "[guest b]\nmode = 800x600\n";
	struct config a, b;
	char names[128];

	assert_int_equal(config_parse(&a, "a", before), 0);
	assert_int_equal(config_parse(&b, "b", after), 0);
	assert_int_equal(config_compare(&a, &b, "a", true, names, sizeof(names)), 3);
	assert_string_equal(names, "limit-fences, log-level, crash-limit");
	assert_int_equal(config_compare(&a, &b, "a", false, names, sizeof(names)), 1);
	assert_string_equal(names, "capsets");
	assert_int_equal(config_compare(&a, &b, "b", false, names, sizeof(names)), 1);
	assert_string_equal(names, "capsets");
	assert_int_equal(config_compare(&a, &b, NULL, false, names, sizeof(names)), 2);
	assert_string_equal(names, "mode, capsets");
	assert_int_equal(config_compare(&a, &b, NULL, false, names, 8), 2); /* cut */
	assert_string_equal(names, "mode, c");
	assert_int_equal(config_compare(&a, &a, "a", true, names, sizeof(names)), 0);
	assert_string_equal(names, "");
	/* The fingerprint is of the second kind alone */
	assert_true(
	    config_fingerprint(&a, "a", CONFIG_GPU) != config_fingerprint(&b, "a", CONFIG_GPU));
	assert_true(
	    config_fingerprint(&a, "x", CONFIG_GPU) != config_fingerprint(&b, "x", CONFIG_GPU));
	assert_true(
	    config_fingerprint(&a, "x", CONFIG_GPU) == config_fingerprint(&a, NULL, CONFIG_GPU));
	config_finish(&b);
	assert_int_equal(config_parse(&b, "b", "[default]\nmode = 800x600\nlimit-fences = 7\n"), 0);
	assert_true(
	    config_fingerprint(&a, "x", CONFIG_GPU) == config_fingerprint(&b, "x", CONFIG_GPU));
	config_finish(&a);
	config_finish(&b);
}

static void errors_can_be_had_as_a_text(void **state)
{
	char path[] = "/tmp/gpudom-config-XXXXXX", expected[128], *errors;
	int fd = mkstemp(path);
	struct config config;

	assert_int_equal(write(fd, "[default]\nmode = x\nsize = 1\n", 29), 29);
	close(fd);
	assert_int_equal(config_reload(&config, path, &errors), -EINVAL);
	snprintf(expected, sizeof(expected), "%s:3: unknown setting 'size'\n", path);
	assert_non_null(errors);
	assert_non_null(strstr(errors, ":2: mode must be "));
	assert_non_null(strstr(errors, expected));
	free(errors);
	assert_int_equal(truncate(path, 10), 0);
	assert_int_equal(config_reload(&config, path, &errors), 0);
	assert_null(errors);
	config_finish(&config);
	unlink(path);
	assert_int_equal(config_reload(&config, path, &errors), -ENOENT);
	assert_non_null(strstr(errors, "cannot read /tmp/gpudom-config-"));
	free(errors);
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
	assert_int_equal(settings, 38 + 4);
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
		cmocka_unit_test(input_devices_are_named_in_order),
		cmocka_unit_test(an_input_worker_has_few_options),
		cmocka_unit_test(png_files_are_of_a_headless_display),
		cmocka_unit_test(each_setting_is_checked),
		cmocka_unit_test(a_policy_without_settings_is_the_default),
		cmocka_unit_test(limits_are_those_of_the_worker),
		cmocka_unit_test(a_guests_policy_comes_before_the_default),
		cmocka_unit_test(a_capset_that_this_build_has_not_is_a_warning),
		cmocka_unit_test(a_line_that_is_too_long),
		cmocka_unit_test(changes_are_found),
		cmocka_unit_test(errors_can_be_had_as_a_text),
		cmocka_unit_test(a_file_that_is_not_there),
		cmocka_unit_test(the_example_is_valid),
		cmocka_unit_test(the_examples_comments_are_valid),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
