/* SPDX-License-Identifier: MIT */
#include "backend/id_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define ID_TABLE_BITS_MIN 6
#define ID_TABLE_BITS_MAX 20

/* Multiply-shift hashing (Dietzfelbinger): for a random multiplier and summand, two ids share one
 * of 2^n buckets with a probability of 2^-n, whoever has chosen them. */
static uint32_t id_table_hash(const struct id_table *table, uint32_t id, uint32_t bits)
{
	return (uint32_t)((table->multiplier * id + table->summand) >> (64 - bits));
}

static int id_table_seed(struct id_table *table)
{
	uint64_t seed[2];

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return -errno;
	table->multiplier = seed[0] | 1;
	table->summand = seed[1];
	return 0;
}

static int id_table_grow(struct id_table *table)
{
	const uint32_t bits = table->bits ? table->bits + 1 : ID_TABLE_BITS_MIN;
	struct id_entry **buckets;
	int r;

	if (bits > ID_TABLE_BITS_MAX)
		return 0;
	r = table->buckets ? 0 : id_table_seed(table);
	if (r < 0)
		return r;
	buckets = calloc((size_t)1 << bits, sizeof(struct id_entry *));
	if (!buckets)
		return table->buckets ? 0 : -ENOMEM; /* longer chains will do */
	for (size_t i = 0; table->buckets && i < (size_t)1 << table->bits; i++) {
		struct id_entry *entry = table->buckets[i], *next;

		for (; entry; entry = next) {
			struct id_entry **head = &buckets[id_table_hash(table, entry->id, bits)];

			next = entry->next;
			entry->next = *head;
			*head = entry;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->bits = bits;
	table->scan = 0;
	return 0;
}

int id_table_insert(struct id_table *table, struct id_entry *entry, uint32_t id)
{
	struct id_entry **head;
	uint32_t bucket;
	int r;

	assert(!id_table_find(table, id));
	if (!table->buckets || table->count >> table->bits) {
		r = id_table_grow(table);
		if (r < 0)
			return r;
	}
	assert(table->buckets);
	bucket = id_table_hash(table, id, table->bits);
	if (bucket < table->scan)
		table->scan = bucket;
	head = &table->buckets[bucket];
	entry->id = id;
	entry->next = *head;
	*head = entry;
	table->count++;
	return 0;
}

struct id_entry *id_table_find(const struct id_table *table, uint32_t id)
{
	struct id_entry *entry;

	if (!table->buckets)
		return NULL;
	entry = table->buckets[id_table_hash(table, id, table->bits)];
	while (entry && entry->id != id)
		entry = entry->next;
	return entry;
}

struct id_entry *id_table_remove(struct id_table *table, uint32_t id)
{
	struct id_entry **link, *entry;

	if (!table->buckets)
		return NULL;
	link = &table->buckets[id_table_hash(table, id, table->bits)];
	while (*link && (*link)->id != id)
		link = &(*link)->next;
	entry = *link;
	if (entry) {
		*link = entry->next;
		table->count--;
	}
	return entry;
}

struct id_entry *id_table_any(struct id_table *table)
{
	if (!table->count)
		return NULL;
	while (!table->buckets[table->scan])
		table->scan++;
	return table->buckets[table->scan];
}

void id_table_finish(struct id_table *table)
{
	assert(!table->count);
	free(table->buckets);
	*table = (struct id_table){ 0 };
}
