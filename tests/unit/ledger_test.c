/* SPDX-License-Identifier: MIT */
/* The ledger: what a successor reads wherever its writer was killed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/ledger.h"

#include <cmocka.h>

#define SIZE (3 * 4096) /* a header and two halves of 4 KiB */
#define KEYS 8
#define STEPS 36

/* A small map from keys to values, in a ledger. */
struct entry {
	uint32_t key, value, length;
	uint8_t rest[200];
};

struct map {
	struct ledger ledger;
	struct ledger_record records[KEYS];
};

struct content {
	uint32_t values[KEYS]; /* 0: none */
};

static void *make_memory(void)
{
	void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

static int set(struct map *map, uint32_t key, uint32_t value, uint32_t length)
{
	struct entry entry = { .key = key, .value = value, .length = length };
	const size_t head = offsetof(struct entry, rest);
	const struct iovec parts[2] = { { &entry, head }, { entry.rest, length } };

	memset(entry.rest, (int)value, length);
	ledger_forget(&map->ledger, &map->records[key]);
	return ledger_append(&map->ledger, value ? &map->records[key] : NULL, parts, 2);
}

/* What a successor sees; false where the log makes no sense. */
static bool look(const void *memory, struct content *content)
{
	static _Alignas(8) uint8_t copy[SIZE];
	uint32_t offset = 0, size = 0;
	struct ledger ledger;
	int result;

	memcpy(copy, memory, SIZE);
	*content = (struct content){ 0 };
	if (ledger_open(&ledger, copy, SIZE) < 0)
		return false;
	while ((result = ledger_scan(&ledger, &offset, &size)) > 0) {
		struct entry entry = { 0 };

		if (size > sizeof(entry))
			return false;
		ledger_read(&ledger, offset, &entry, size);
		if (entry.key >= KEYS || size != offsetof(struct entry, rest) + entry.length)
			return false;
		for (uint32_t i = 0; i < entry.length; i++) {
			if (entry.rest[i] != (uint8_t)entry.value)
				return false;
		}
		content->values[entry.key] = entry.value;
	}
	return result == 0;
}

/* One step of a life that fills the halves several times. */
static void step(struct map *map, unsigned i)
{
	uint32_t key = i * 5 % KEYS;

	if (i % 30 == 29)
		ledger_compact(&map->ledger);
	else if (i % 7 == 3)
		set(map, key, 0, 0);
	else
		set(map, key, i + 1, 120 + i * 37 % 80);
}

static bool content_equal(const struct content *a, const struct content *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* The writer is stopped after each of its instructions. */
static void test_killed_between_any_two_instructions(void **state)
{
	static struct content contents[STEPS + 1];
	static uint8_t seen[SIZE];
	struct map map = { 0 };
	uint8_t *memory = make_memory();
	unsigned at = 0, changes = 0;
	struct content content;
	int status;
	pid_t pid;

	/* What it does, done here at once */
	assert_int_equal(ledger_open(&map.ledger, memory, SIZE), 0);
	for (unsigned i = 0; i < STEPS; i++) {
		step(&map, i);
		assert_true(look(memory, &contents[i + 1]));
	}
	munmap(memory, SIZE);
	memory = make_memory();
	memset(&map, 0, sizeof(map));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		if (ledger_open(&map.ledger, memory, SIZE) < 0)
			_exit(2);
		for (unsigned i = 0; i < STEPS; i++)
			step(&map, i);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status)) {
		munmap(memory, SIZE);
		skip(); /* nobody may be traced here */
	}
	while (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		if (memcmp(seen, memory, SIZE) == 0)
			continue;
		memcpy(seen, memory, SIZE);
		changes++;
		assert_true(look(memory, &content));
		if (content_equal(&content, &contents[at]))
			continue;
		/* The next step has come into force, at once. Some leave things as they are. */
		while (at < STEPS && content_equal(&contents[at], &contents[at + 1]))
			at++;
		assert_true(at < STEPS);
		assert_true(content_equal(&content, &contents[++at]));
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(content_equal(&contents[at], &contents[STEPS]));
	assert_true(changes > 5 * STEPS);
	munmap(memory, SIZE);
}

static void test_moves_keep_what_counts(void **state)
{
	struct map map = { 0 };
	uint8_t *memory = make_memory();
	struct content content, wanted = { 0 };
	unsigned half = 0, moves = 0;

	assert_int_equal(ledger_open(&map.ledger, memory, SIZE), 0);
	for (unsigned i = 0; i < 5000; i++) {
		uint32_t key = (uint32_t)rand() % KEYS, value = (uint32_t)rand() % 5;

		assert_int_equal(set(&map, key, value, (uint32_t)rand() % 200), 0);
		wanted.values[key] = value;
		assert_true(look(memory, &content));
		assert_true(content_equal(&content, &wanted));
		moves += map.ledger.half != half;
		half = map.ledger.half;
	}
	assert_in_range(moves, 50, 500);
	munmap(memory, SIZE);
}

static void test_changes_in_place(void **state)
{
	struct map map = { 0 };
	uint8_t *memory = make_memory();
	struct content content;
	uint32_t offset = 0, size = 0;

	assert_int_equal(ledger_open(&map.ledger, memory, SIZE), 0);
	assert_int_equal(set(&map, 3, 4, 0), 0);
	assert_int_equal(set(&map, 5, 6, 100), 0);
	ledger_patch(&map.ledger, &map.records[3], offsetof(struct entry, value), 77);
	assert_true(look(memory, &content));
	assert_int_equal(content.values[3], 77);
	assert_int_equal(content.values[5], 6);
	ledger_trim(&map.ledger, &map.records[5], 12);
	ledger_compact(&map.ledger);
	assert_int_equal(ledger_scan(&map.ledger, &offset, &size), 1);
	assert_int_equal(ledger_scan(&map.ledger, &offset, &size), 1);
	assert_int_equal(size, 12);
	assert_int_equal(ledger_scan(&map.ledger, &offset, &size), 0);
	munmap(memory, SIZE);
}

static void test_overflow_is_told_and_mended_by_a_reset(void **state)
{
	struct map map = { 0 };
	uint8_t *memory = make_memory();
	struct ledger_record records[100] = { 0 };
	uint8_t bytes[100] = { 0 };
	const struct iovec part = { bytes, sizeof(bytes) };
	struct ledger successor;
	int error = 0;
	unsigned n = 0;

	assert_int_equal(ledger_open(&map.ledger, memory, SIZE), 0);
	while (n < 100 && !error)
		error = ledger_append(&map.ledger, &records[n++], &part, 1);
	assert_int_equal(error, -ENOSPC);
	assert_int_equal(n, (4096 - 4096 / 16) / 112 + 1);
	assert_int_equal(ledger_open(&successor, memory, SIZE), -ENOTRECOVERABLE);
	/* It stays so, whatever goes. */
	for (unsigned i = 0; i < n; i++)
		ledger_forget(&map.ledger, &records[i]);
	assert_int_equal(ledger_append(&map.ledger, NULL, &part, 1), -ENOSPC);
	ledger_clear(&map.ledger);
	assert_int_equal(set(&map, 1, 2, 3), 0);
	assert_int_equal(ledger_open(&successor, memory, SIZE), 0);
	munmap(memory, SIZE);
}

/* However much counts, not every step moves it. */
static void test_full_one_moves_seldom(void **state)
{
	const size_t size = 4096 + (2 << 20);
	const uint64_t bytes = 1;
	const struct iovec part = { (void *)&bytes, sizeof(bytes) };
	struct ledger_record *records = calloc(1 << 17, sizeof(*records));
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned most = 0, moves = 0, half;
	struct ledger ledger;

	assert_non_null(records);
	assert_int_equal(ledger_open(&ledger, memory, size), 0);
	while (ledger_append(&ledger, &records[most], &part, 1) == 0)
		assert_true(++most < 1 << 17);
	for (unsigned i = 0; i < most; i++)
		ledger_forget(&ledger, &records[i]);
	ledger_clear(&ledger);
	for (unsigned i = 0; i < most; i++)
		assert_int_equal(ledger_append(&ledger, &records[i], &part, 1), 0);
	half = ledger.half;
	for (unsigned i = 0; i < 8192; i++) {
		ledger_forget(&ledger, &records[i]);
		assert_int_equal(ledger_append(&ledger, &records[i], &part, 1), 0);
		moves += ledger.half != half;
		half = ledger.half;
	}
	assert_int_equal(moves, 1);
	munmap(memory, size);
	free(records);
}

static void test_broken_log_is_limited(void **state)
{
	void *memory = make_memory();
	struct ledger ledger;

	assert_int_equal(ledger_open(&ledger, memory, SIZE), 0);
	for (int i = 0; i < 1000; i++) {
		ledger_break(&ledger, "test");
		ledger_clear(&ledger);
	}
	assert_int_equal(ledger.limit.total, 1000);
	assert_in_range(ledger.limit.suppressed, 900, 1000 - LOG_LIMIT_BURST);
	munmap(memory, SIZE);
}

static void test_walk_while_records_go(void **state)
{
	struct map map = { 0 };
	uint8_t *memory = make_memory();

	assert_int_equal(ledger_open(&map.ledger, memory, SIZE), 0);
	for (uint32_t key = 0; key < KEYS; key++)
		assert_int_equal(set(&map, key, 1, 0), 0);
	ledger_rewind(&map.ledger);
	assert_ptr_equal(ledger_next(&map.ledger), &map.records[0]);
	ledger_forget(&map.ledger, &map.records[0]); /* the one at hand */
	ledger_forget(&map.ledger, &map.records[1]); /* the next ones */
	ledger_forget(&map.ledger, &map.records[2]);
	assert_ptr_equal(ledger_next(&map.ledger), &map.records[3]);
	for (uint32_t key = 4; key < KEYS; key++)
		ledger_forget(&map.ledger, &map.records[key]);
	assert_null(ledger_next(&map.ledger));
	munmap(memory, SIZE);
}

static void test_replayed_record_is_found_again(void **state)
{
	struct map map = { 0 };
	uint8_t *memory = make_memory();

	assert_int_equal(ledger_open(&map.ledger, memory, SIZE), 0);
	assert_int_equal(set(&map, 1, 1, 0), 0);
	assert_int_equal(set(&map, 2, 1, 0), 0);
	assert_null(ledger_find_replaying(&map.ledger));
	ledger_mark_replaying(&map.ledger, &map.records[2]);
	assert_ptr_equal(ledger_find_replaying(&map.ledger), &map.records[2]);
	ledger_mark_replaying(&map.ledger, NULL);
	assert_null(ledger_find_replaying(&map.ledger));
	munmap(memory, SIZE);
}

static void test_rubbish(void **state)
{
	uint8_t *memory = make_memory();
	struct content content;

	for (unsigned seed = 0; seed < 2000; seed++) {
		struct map map = { 0 };

		memset(memory, 0, SIZE);
		assert_int_equal(ledger_open(&map.ledger, memory, SIZE), 0);
		for (unsigned i = 0; i < seed % 60; i++)
			step(&map, i);
		srand(seed);
		for (unsigned i = 0; i < 1 + seed % 20; i++)
			memory[(rand() % 3 ? 4096 : 0) + rand() % (i % 2 ? 64 : 4096)] ^=
			    (uint8_t)(1 << rand() % 8);
		look(memory, &content); /* whatever it says: no crash, no end without end */
	}
	memset(memory, 0xff, SIZE);
	assert_false(look(memory, &content));
	munmap(memory, SIZE);
}

static void test_sizes_to_refuse(void **state)
{
	uint8_t *memory = make_memory();
	struct ledger ledger;

	assert_int_equal(ledger_open(&ledger, memory, 0), -EINVAL);
	assert_int_equal(ledger_open(&ledger, memory, SIZE - 1), -EINVAL);
	assert_int_equal(ledger_open(&ledger, memory, SIZE_MAX), -EINVAL);
	assert_int_equal(ledger_open(&ledger, memory, SIZE), 0);
	/* The same memory as another one's */
	assert_int_equal(ledger_open(&ledger, memory, SIZE + 1), -ENOTRECOVERABLE);
	munmap(memory, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_between_any_two_instructions),
		cmocka_unit_test(test_moves_keep_what_counts),
		cmocka_unit_test(test_changes_in_place),
		cmocka_unit_test(test_overflow_is_told_and_mended_by_a_reset),
		cmocka_unit_test(test_full_one_moves_seldom),
		cmocka_unit_test(test_broken_log_is_limited),
		cmocka_unit_test(test_walk_while_records_go),
		cmocka_unit_test(test_replayed_record_is_found_again),
		cmocka_unit_test(test_rubbish),
		cmocka_unit_test(test_sizes_to_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
