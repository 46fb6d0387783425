/* SPDX-License-Identifier: MIT */
/* The static tracepoints are in the program, by the names that gpudom-trace(7) gives. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/probe.h"
#include "backend/telemetry.h"
#include "tests/loopback/loopback_process.h"

#include <cmocka.h>

#define NOTES_MAX (256u << 10)

/* What readelf says of the worker's notes, to be freed */
static char *read_notes(void)
{
	char program[512], command[600];
	char *text = calloc(1, NOTES_MAX);
	FILE *pipe;
	size_t size;

	assert_non_null(text);
	loopback_process_path("gpudom-worker", program, sizeof(program));
	snprintf(command, sizeof(command), "readelf -n '%s'", program);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	size = fread(text, 1, NOTES_MAX - 1, pipe);
	assert_int_equal(pclose(pipe), 0);
	assert_true(size > 0 && size < NOTES_MAX - 1);
	return text;
}

/* Of the probe that is called so, how many arguments; -1: there is none. */
static int count_arguments(const char *notes, const char *name)
{
	char line[128];
	const char *at;
	int count = 0;

	snprintf(line, sizeof(line), "Provider: gpudom\n    Name: %s\n", name);
	at = strstr(notes, line);
	at = at ? strstr(at, "Arguments:") : NULL;
	if (!at)
		return -1;
	for (; *at != '\n'; at++)
		count += *at == '@';
	return count;
}

static void expect(const char *notes, const char *name, int arguments)
{
	int found = count_arguments(notes, name);

	if (found != (WITH_USDT ? arguments : -1))
		fail_msg("%s: %d arguments, not %d", name, found, arguments);
}

static void each_command_has_its_probes(void **state)
{
	char *notes = read_notes();

	/* The last index is that of what is no command */
	for (unsigned i = 0; i < TELEMETRY_COMMANDS - 1; i++) {
		const char *command = telemetry_command_name(telemetry_command_type(i));
		char name[64], probe[80];
		size_t length = strlen(command);

		assert_true(length < sizeof(name));
		for (size_t c = 0; c <= length; c++)
			name[c] = (char)tolower((unsigned char)command[c]);
		snprintf(probe, sizeof(probe), "%s__begin", name);
		expect(notes, probe, 5);
		snprintf(probe, sizeof(probe), "%s__end", name);
		expect(notes, probe, 5);
	}
	free(notes);
}

static void a_requests_way_has_its_probes(void **state)
{
	static const struct {
		const char *name;
		int arguments;
	} probes[] = {
		{ "kick", 2 },
		{ "dequeue", 4 },
		{ "error", 5 },
		{ "throttled", 2 },
		{ "fence_created", 4 },
		{ "fence_retired", 4 },
		{ "flip", 4 },
		{ "answer", 4 },
		{ "publish", 2 },
		{ "interrupt", 2 },
		{ "memory__map_begin", 1 },
		{ "memory__map_end", 1 },
		{ "memory__unmap_begin", 1 },
		{ "memory__unmap_end", 1 },
		{ "memory__read_begin", 1 },
		{ "memory__read_end", 1 },
		{ "memory__write_begin", 1 },
		{ "memory__write_end", 1 },
		{ "memory__flush_begin", 1 },
		{ "memory__flush_end", 1 },
	};
	char *notes = read_notes();

	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		expect(notes, probes[i].name, probes[i].arguments);
	free(notes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_command_has_its_probes),
		cmocka_unit_test(a_requests_way_has_its_probes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
