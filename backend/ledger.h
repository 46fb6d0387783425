/* SPDX-License-Identifier: MIT */
/*
 * A log in shared memory from which a successor learns a device's state when this process
 * has died, at whatever point. It is written in one of two halves; when that is full, or mostly
 * of no use any more, what still counts is written to the other one. A single store of eight bytes
 * commits each step. The records' content is the device's business.
 *
 * What a predecessor left is checked like any other input, and read by copy: nothing in the memory
 * steers us but the offsets, sizes and bounds that were checked once and are kept here.
 */
#ifndef GPUDOM_BACKEND_LEDGER_H
#define GPUDOM_BACKEND_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "backend/log.h"

/* Ledgers begin at multiples of this in their file: a page, however large those are. */
#define LEDGER_ALIGNMENT 65536

/* A record that counts: embedded in what it is about, zero-initialised. */
struct ledger_record {
	TAILQ_ENTRY(ledger_record) link;
	uint32_t offset, size; /* in the half; size 0: it is not in the log */
};
TAILQ_HEAD(ledger_records, ledger_record);

struct ledger_header;
struct ledger {
	struct ledger_header *header; /* shared; NULL: not open */
	uint8_t *halves[2];           /* shared */
	uint32_t half_size;
	unsigned half;       /* the one in use */
	uint32_t end;        /* bytes committed in it */
	uint32_t live;       /* of these, bytes of records that count */
	uint32_t compact_at; /* so many bytes are worth a move to the other half */
	bool broken;         /* overflowed: of no use to a successor until it is cleared */
	struct ledger_records records; /* that count, in the order in which they were written */
	struct ledger_record *next;    /* of a walk through them */
	struct log_limit limit;        /* a guest can break one after each reset */
};

/*
 * Opens the ledger in @memory, @size bytes aligned to LEDGER_ALIGNMENT, zero where it is new.
 * It outlives the ledger. 0; -EINVAL for a size that makes no sense, -ENOTRECOVERABLE where it
 * holds something else, or one that had overflowed.
 */
int ledger_open(struct ledger *ledger, void *memory, size_t size);
/* Leaves the memory as it is, for a successor. */
void ledger_close(struct ledger *ledger);

/*
 * A walk through all that a predecessor wrote, from *offset 0: 1 with the place of the next record
 * and its size; 0 at the end; -EBADMSG where the log makes no sense. ledger_adopt() lets it count,
 * in that order.
 */
int ledger_scan(const struct ledger *ledger, uint32_t *offset, uint32_t *size);
void ledger_adopt(
    struct ledger *ledger, struct ledger_record *record, uint32_t offset, uint32_t size);

/* Copies the first @size bytes of what is at @offset, both as checked or kept by us. */
void ledger_read(const struct ledger *ledger, uint32_t offset, void *to, uint32_t size);

/*
 * Writes a record of one or two parts. It counts from now on; where @record is NULL it does not,
 * and only says what has ended. What was forgotten before ends in the same step.
 * -ENOSPC: what counts has outgrown the ledger, which is broken from now on (logged once).
 */
int ledger_append(struct ledger *ledger, struct ledger_record *record, const struct iovec *parts,
    unsigned part_count);

/* Changes four bytes of a record in place; @at is a multiple of 4 and inside of it. */
void ledger_patch(
    struct ledger *ledger, const struct ledger_record *record, uint32_t at, uint32_t value);
/* Only its first @size bytes are of use any more. */
void ledger_trim(struct ledger *ledger, struct ledger_record *record, uint32_t size);

/* The record counts no more. No-op where it does not. */
void ledger_forget(struct ledger *ledger, struct ledger_record *record);

/* Writes what counts to the other half. */
void ledger_compact(struct ledger *ledger);

/* The next record that counts, after ledger_rewind() the first; NULL at the end. Meanwhile any
 * may be forgotten. */
void ledger_rewind(struct ledger *ledger);
struct ledger_record *ledger_next(struct ledger *ledger);

/* Empties it, and mends a broken one. Every record must have been forgotten. */
void ledger_clear(struct ledger *ledger);
/* Of no use from now on. */
void ledger_break(struct ledger *ledger, const char *reason);

/* Which record is being replayed, by its offset; a successor that finds it knows what its
 * predecessor died of. */
void ledger_mark_replaying(struct ledger *ledger, const struct ledger_record *record);
/* The record that counts and was being replayed; NULL: none. */
struct ledger_record *ledger_find_replaying(struct ledger *ledger);

#endif
