/* SPDX-License-Identifier: MIT */
/* tools/monitor_log.h: a renderer's lines, and what becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/monitor_log.h"

/* After what it needs. */
#include <cmocka.h>

/* What the monitor writes of @text. */
static const char *passed_on(const char *text)
{
	static char written[65536];
	struct monitor_log log;
	int ends[2];
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(monitor_log_init(&log, STDERR_FILENO, "red"), 0);
	log.to = ends[1];
	assert_int_equal(write(log.renderer_fd, text, strlen(text)), strlen(text));
	close(log.renderer_fd);
	log.renderer_fd = -1;
	monitor_log_drain(&log);
	monitor_log_finish(&log);
	close(ends[1]);
	n = read(ends[0], written, sizeof(written) - 1);
	close(ends[0]);
	written[n > 0 ? n : 0] = '\0';
	return written;
}

static void test_names(void **state)
{
	assert_string_equal(passed_on("hello\n"), "guest red: hello\n");
	assert_string_equal(passed_on("<4>guest red: hello\n"), "<4>guest red: hello\n");
	assert_string_equal(
	    passed_on("<3>guest blue: hello\n"), "<3>guest red: guest blue: hello\n");
	assert_string_equal(passed_on("no end"), "guest red: no end\n");
	assert_string_equal(passed_on("\033[2J\n"), "guest red: ?[2J\n");
}

static void test_repeats(void **state)
{
	assert_string_equal(
	    passed_on("Can't read it\nCan't read it\nCan't read it\nother\nCan't read it\n"),
	    "guest red: Can't read it\nguest red: other\nguest red: Can't read it\n");
	assert_string_equal(passed_on("\n\n"), "guest red: \nguest red: \n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_repeats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
