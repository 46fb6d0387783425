/* SPDX-License-Identifier: MIT */
/* The fake Xen answers the script of calls as the real one did; `make system-test` has that one
 * answer it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tests/xen/fake_gntdev.h"
#include "tests/xen/fake_xen.h"
#include "tests/xen/xen_script.h"

/* After what it needs. */
#include <cmocka.h>

#define EXPECTED "tests/xen/xen_script.expected"

static char *read_expected(void)
{
	FILE *file = fopen(EXPECTED, "re");
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_in_range(fread(text, 1, 65535, file), 1, 65534);
	fclose(file);
	return text;
}

static void die(void *data)
{
	fake_xen_destroy_guest(FAKE_XEN_GUEST);
}

static void the_fake_answers_as_xen_does(void **state)
{
	char *text = NULL, *expected = read_expected();
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fake_xen_reset(2);
	fake_xen.eventfds = true;
	fake_gntdev_reset(4);
	xen_script(out, FAKE_XEN_GUEST, die, NULL);
	fclose(out);
	if (strcmp(text, expected) != 0)
		fputs(text, stderr);
	assert_string_equal(text, expected);
	/* And it is left as it was. */
	assert_int_equal(fake_xen_handles(), 0);
	assert_int_equal(fake_xen_servers(), 0);
	assert_int_equal(fake_xen_bound(), 0);
	assert_int_equal(fake_xen_irqfds(), 0);
	assert_null(fake_xen_find(FAKE_XEN_GUEST));
	fake_gntdev_finish();
	fake_xen_finish();
	free(text);
	free(expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fake_answers_as_xen_does),
	};

	return cmocka_run_group_tests_name("the fake Xen", tests, NULL, NULL);
}
