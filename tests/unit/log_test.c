/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"

#include <cmocka.h>

/* Standard error goes to a file for the length of a test. */
struct capture {
	int saved;
	FILE *file;
};

static int setup(void **state)
{
	static struct capture capture;

	capture.file = tmpfile();
	capture.saved = dup(STDERR_FILENO);
	if (!capture.file || capture.saved < 0)
		return -1;
	dup2(fileno(capture.file), STDERR_FILENO);
	log_init(LOG_LEVEL_INFO, NULL);
	*state = &capture;
	return 0;
}

static int teardown(void **state)
{
	struct capture *capture = *state;

	fflush(stderr);
	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	fclose(capture->file);
	log_init(LOG_LEVEL_INFO, NULL);
	return 0;
}

static void captured(struct capture *capture, char *text, size_t size)
{
	size_t n;

	fflush(stderr);
	rewind(capture->file);
	n = fread(text, 1, size - 1, capture->file);
	text[n] = '\0';
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

static void test_prefix_subject_and_level(void **state)
{
	char text[4096];

	log_init(LOG_LEVEL_WARNING, "guest clock");
	log_error("no grant %d", 7);
	log_warning("slow");
	log_info("dropped");
	log_debug("dropped");
	captured(*state, text, sizeof(text));
	assert_string_equal(text, "<3>guest clock: no grant 7\n<4>guest clock: slow\n");
}

static void test_long_line_is_cut(void **state)
{
	char text[4096], line[3000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	log_error("%s", line);
	captured(*state, text, sizeof(text));
	assert_int_equal(lines(text), 1);
	assert_int_equal(strlen(text), strlen("<3>") + 1023 + 1);
}

static void test_guest_cannot_fill_the_log(void **state)
{
	struct log_limit limit = { 0 };
	char text[4096];

	for (int i = 0; i < 100000; i++)
		log_guest(&limit, "descriptor %d", i);
	captured(*state, text, sizeof(text));
	/* A refill may fall into the loop. */
	assert_in_range(lines(text), LOG_LIMIT_BURST, LOG_LIMIT_BURST + 4);
	assert_int_equal(limit.total, 100000);
}

static void test_suppressed_lines_are_counted(void **state)
{
	struct log_limit limit = { 0 };
	char text[4096];

	for (int i = 0; i < LOG_LIMIT_BURST + 5; i++)
		log_guest(&limit, "again");
	assert_int_equal(limit.suppressed, 5);
	/* As if an interval had passed */
	limit.last_ns -= LOG_LIMIT_INTERVAL * UINT64_C(1000000000);
	log_guest(&limit, "later");
	captured(*state, text, sizeof(text));
	assert_non_null(strstr(text, "<4>5 more lines of this kind were not written\n<4>later\n"));
	assert_int_equal(limit.suppressed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_prefix_subject_and_level, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_cannot_fill_the_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_suppressed_lines_are_counted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
