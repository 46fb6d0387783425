/* SPDX-License-Identifier: MIT */
/* Objects by a 32-bit id that a guest chose: a hash table of entries embedded in them. */
#ifndef GPUDOM_BACKEND_ID_TABLE_H
#define GPUDOM_BACKEND_ID_TABLE_H

#include <stdint.h>

struct id_entry {
	uint32_t id;
	struct id_entry *next;
};

/* Zero-initialise it. */
struct id_table {
	uint64_t multiplier, summand; /* of the hash: a secret, or a guest could choose ids that all
					 lie in one bucket */
	struct id_entry **buckets;
	uint32_t bits;  /* of the number of buckets */
	uint32_t count; /* entries */
	uint32_t scan;  /* the buckets before it are empty */
};

/* Adds @entry under @id, which must not be in use. -ENOMEM, or what getrandom(2) gave
 * for the first one. */
int id_table_insert(struct id_table *table, struct id_entry *entry, uint32_t id);
/* NULL: none. */
struct id_entry *id_table_find(const struct id_table *table, uint32_t id);
struct id_entry *id_table_remove(struct id_table *table, uint32_t id);
/* Any one entry, to empty a table; NULL when there is none. */
struct id_entry *id_table_any(struct id_table *table);
/* The table must be empty. */
void id_table_finish(struct id_table *table);

#endif
