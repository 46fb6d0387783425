/* SPDX-License-Identifier: MIT */
/* Objects by ids that a guest chooses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "backend/id_table.h"

#include <cmocka.h>

#define COUNT 4096

static unsigned longest_chain(const struct id_table *table)
{
	unsigned longest = 0;

	for (uint32_t i = 0; i < 1u << table->bits; i++) {
		unsigned length = 0;

		for (const struct id_entry *entry = table->buckets[i]; entry; entry = entry->next)
			length++;
		longest = length > longest ? length : longest;
	}
	return longest;
}

/* Fills a table with ids that are @step apart, looks for all, and empties it. */
static unsigned try_ids(uint32_t step)
{
	struct id_entry *entries = calloc(COUNT, sizeof(*entries));
	struct id_table table = { 0 };
	unsigned longest;

	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(id_table_insert(&table, &entries[i], (i + 1) * step), 0);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_ptr_equal(id_table_find(&table, (i + 1) * step), &entries[i]);
	assert_null(id_table_find(&table, 0));
	assert_int_equal(table.count, COUNT);
	longest = longest_chain(&table);
	for (uint32_t i = 0; i < COUNT; i += 2)
		assert_ptr_equal(id_table_remove(&table, (i + 1) * step), &entries[i]);
	assert_null(id_table_remove(&table, step));
	for (uint32_t i = COUNT / 2; i > 0; i--)
		assert_non_null(id_table_remove(&table, id_table_any(&table)->id));
	assert_null(id_table_any(&table));
	id_table_finish(&table);
	free(entries);
	return longest;
}

/* In a full table of random chains one of 32 is next to impossible. */
static void ids_that_lie_apart(void **state)
{
	static const uint32_t steps[] = { 1, 2, 64, 4096, 65536, UINT32_C(1) << 20, 2654435769u };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (COUNT <= UINT32_MAX / steps[i] || steps[i] % 2)
			assert_in_range(try_ids(steps[i]), 1, 31);
}

/* The inverse of Fibonacci hashing's constant: without a secret, a guest that knows it puts all of
 * its objects into one chain. */
static void ids_that_an_attacker_has_computed(void **state)
{
	uint32_t inverse = 1;

	while (inverse * UINT32_C(2654435769) != 1)
		inverse *= 2 - inverse * UINT32_C(2654435769); /* Newton */
	assert_in_range(try_ids(inverse), 1, 31);
}

static void each_table_has_its_own_secret(void **state)
{
	struct id_table a = { 0 }, b = { 0 };
	struct id_entry entries[2];

	assert_int_equal(id_table_insert(&a, &entries[0], 1), 0);
	assert_int_equal(id_table_insert(&b, &entries[1], 1), 0);
	assert_true(a.multiplier != b.multiplier && a.summand != b.summand);
	id_table_remove(&a, 1);
	id_table_remove(&b, 1);
	id_table_finish(&a);
	id_table_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_that_lie_apart),
		cmocka_unit_test(ids_that_an_attacker_has_computed),
		cmocka_unit_test(each_table_has_its_own_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
