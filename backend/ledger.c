/* SPDX-License-Identifier: MIT */
#include "backend/ledger.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LEDGER_MAGIC UINT64_C(0x0172656764656c67) /* "gledger", version 1 */
#define LEDGER_HEADER_SIZE 4096
#define LEDGER_COMPACT_MIN 65536
#define LEDGER_SPARE 16 /* of so many parts of a half, one is for what counts no more */

/* The word that commits: how far which half is written. */
#define STATE_HALF (UINT64_C(1) << 32)
#define STATE_BROKEN (UINT64_C(1) << 33)

struct ledger_header {
	uint64_t magic; /* 0: nothing was ever written */
	uint64_t size;  /* of the memory */
	uint64_t state;
	uint64_t replaying; /* offset of a record; 0: none is */
};

/* In front of each record, which fills multiples of 8 bytes. */
struct ledger_mark {
	uint32_t size;     /* of the record */
	uint32_t inverted; /* ~size */
};

/* As in inflight.c: a successor reads what was stored when we were killed, so the order counts. */
static void ledger_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static uint64_t ledger_load(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_RELAXED);
}

static void ledger_store(uint64_t *to, uint64_t value)
{
	ledger_order();
	__atomic_store_n(to, value, __ATOMIC_RELAXED);
	ledger_order();
}

static uint64_t ledger_room(uint64_t size)
{
	return sizeof(struct ledger_mark) + ((size + 7) & ~UINT64_C(7));
}

static void ledger_commit(struct ledger *ledger)
{
	ledger_store(&ledger->header->state,
	    (ledger->half ? STATE_HALF : 0) | (ledger->broken ? STATE_BROKEN : 0) | ledger->end);
}

/* ---------------------------------------------------------------- opening */

int ledger_open(struct ledger *ledger, void *memory, size_t size)
{
	struct ledger_header *header = memory;
	uint64_t state;

	*ledger = (struct ledger){ 0 };
	TAILQ_INIT(&ledger->records);
	if (size < 3 * LEDGER_HEADER_SIZE || (size - LEDGER_HEADER_SIZE) / 2 > INT32_MAX)
		return -EINVAL;
	ledger->half_size = (uint32_t)((size - LEDGER_HEADER_SIZE) / 2) & ~UINT32_C(4095);
	ledger->halves[0] = (uint8_t *)memory + LEDGER_HEADER_SIZE;
	ledger->halves[1] = ledger->halves[0] + ledger->half_size;
	ledger->compact_at = LEDGER_COMPACT_MIN;
	if (!ledger_load(&header->magic)) {
		header->size = size;
		ledger_store(&header->state, 0);
		ledger_store(&header->replaying, 0);
		ledger_store(&header->magic, LEDGER_MAGIC);
	}
	state = ledger_load(&header->state);
	if (ledger_load(&header->magic) != LEDGER_MAGIC || header->size != size ||
	    state & ~(STATE_HALF | UINT32_MAX) || (uint32_t)state > ledger->half_size)
		return -ENOTRECOVERABLE;
	ledger->half = state & STATE_HALF ? 1 : 0;
	ledger->end = (uint32_t)state;
	ledger->header = header;
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	ledger->header = NULL;
}

int ledger_scan(const struct ledger *ledger, uint32_t *offset, uint32_t *size)
{
	/* *offset and *size are those of the record before, or 0 */
	uint64_t at = *offset ? *offset - sizeof(struct ledger_mark) + ledger_room(*size) : 0;
	struct ledger_mark mark;

	if (at == ledger->end)
		return 0;
	if (at + sizeof(mark) > ledger->end)
		return -EBADMSG;
	memcpy(&mark, ledger->halves[ledger->half] + at, sizeof(mark));
	if (!mark.size || mark.inverted != ~mark.size || at + ledger_room(mark.size) > ledger->end)
		return -EBADMSG;
	*offset = (uint32_t)(at + sizeof(mark));
	*size = mark.size;
	return 1;
}

void ledger_adopt(
    struct ledger *ledger, struct ledger_record *record, uint32_t offset, uint32_t size)
{
	assert(!record->size && size);
	record->offset = offset;
	record->size = size;
	ledger->live += (uint32_t)ledger_room(size);
	TAILQ_INSERT_TAIL(&ledger->records, record, link);
}

void ledger_read(const struct ledger *ledger, uint32_t offset, void *to, uint32_t size)
{
	memcpy(to, ledger->halves[ledger->half] + offset, size);
}

/* ---------------------------------------------------------------- writing */

/* Writes a record behind what is committed; its offset. There is room. */
static uint32_t ledger_write(struct ledger *ledger, const struct iovec *parts, unsigned part_count)
{
	uint8_t *to = ledger->halves[ledger->half] + ledger->end;
	struct ledger_mark mark = { 0 };
	uint32_t offset = ledger->end + (uint32_t)sizeof(mark);

	for (unsigned i = 0; i < part_count; i++) {
		memcpy(to + sizeof(mark) + mark.size, parts[i].iov_base, parts[i].iov_len);
		mark.size += (uint32_t)parts[i].iov_len;
	}
	mark.inverted = ~mark.size;
	memcpy(to, &mark, sizeof(mark));
	ledger->end += (uint32_t)ledger_room(mark.size);
	return offset;
}

/* Continues in the other half, with what counts. Not committed yet. */
static void ledger_move(struct ledger *ledger)
{
	const uint8_t *from = ledger->halves[ledger->half];
	struct ledger_record *record;

	ledger->half ^= 1;
	ledger->end = 0;
	TAILQ_FOREACH (record, &ledger->records, link) {
		const struct iovec part = { .iov_base = (void *)(from + record->offset),
			.iov_len = record->size };

		record->offset = ledger_write(ledger, &part, 1);
	}
	assert(ledger->end == ledger->live);
}

/* Committed: gives the old half's @size bytes back. Where that can't be done they stay. */
static void ledger_moved(struct ledger *ledger, uint32_t size)
{
	uint32_t least =
	    ledger->end > LEDGER_COMPACT_MIN / 2 ? ledger->end : LEDGER_COMPACT_MIN / 2;

	ledger->compact_at = least < ledger->half_size / 2 ? 2 * least : ledger->half_size;
	madvise(ledger->halves[!ledger->half], (size + 4095) & ~UINT32_C(4095), MADV_REMOVE);
}

int ledger_append(struct ledger *ledger, struct ledger_record *record, const struct iovec *parts,
    unsigned part_count)
{
	uint32_t old_end = ledger->end, offset;
	uint64_t size = 0, room;
	bool move;

	if (ledger->broken)
		return -ENOSPC;
	for (unsigned i = 0; i < part_count; i++)
		size += parts[i].iov_len;
	room = ledger_room(size);
	/* Not to the last byte: each step would move it all then */
	if (ledger->live + room > ledger->half_size - ledger->half_size / LEDGER_SPARE) {
		ledger_break(ledger, "the guest has too many objects");
		return -ENOSPC;
	}
	move = old_end + room > ledger->compact_at || old_end + room > ledger->half_size;
	if (move)
		ledger_move(ledger);
	offset = ledger_write(ledger, parts, part_count);
	if (record)
		ledger_adopt(ledger, record, offset, (uint32_t)size);
	ledger_commit(ledger);
	if (move)
		ledger_moved(ledger, old_end);
	return 0;
}

void ledger_compact(struct ledger *ledger)
{
	uint32_t old_end = ledger->end;

	ledger_move(ledger);
	ledger_commit(ledger);
	ledger_moved(ledger, old_end);
}

void ledger_patch(
    struct ledger *ledger, const struct ledger_record *record, uint32_t at, uint32_t value)
{
	uint8_t *to = ledger->halves[ledger->half] + record->offset + at;

	assert(at % sizeof(value) == 0 && at + sizeof(value) <= record->size);
	ledger_order();
	__atomic_store_n((uint32_t *)(void *)to, value, __ATOMIC_RELAXED);
	ledger_order();
}

void ledger_trim(struct ledger *ledger, struct ledger_record *record, uint32_t size)
{
	assert(size && size <= record->size);
	ledger->live -= (uint32_t)(ledger_room(record->size) - ledger_room(size));
	record->size = size;
}

void ledger_forget(struct ledger *ledger, struct ledger_record *record)
{
	if (!record->size)
		return;
	if (ledger->next == record)
		ledger->next = TAILQ_NEXT(record, link);
	TAILQ_REMOVE(&ledger->records, record, link);
	ledger->live -= (uint32_t)ledger_room(record->size);
	record->size = 0;
}

void ledger_rewind(struct ledger *ledger)
{
	ledger->next = TAILQ_FIRST(&ledger->records);
}

struct ledger_record *ledger_next(struct ledger *ledger)
{
	struct ledger_record *record = ledger->next;

	if (record)
		ledger->next = TAILQ_NEXT(record, link);
	return record;
}

void ledger_clear(struct ledger *ledger)
{
	uint32_t old_end = ledger->end;

	assert(TAILQ_EMPTY(&ledger->records) && !ledger->live);
	ledger->half ^= 1;
	ledger->end = 0;
	ledger->broken = false;
	ledger_commit(ledger);
	ledger_store(&ledger->header->replaying, 0);
	ledger_moved(ledger, old_end);
}

void ledger_break(struct ledger *ledger, const char *reason)
{
	if (ledger->broken)
		return;
	ledger->broken = true;
	ledger_commit(ledger);
	log_guest(&ledger->limit,
	    "should this worker die, no other can go on in its place, and the guest has to "
	    "reset its device: %s",
	    reason);
}

void ledger_mark_replaying(struct ledger *ledger, const struct ledger_record *record)
{
	ledger_store(&ledger->header->replaying, record ? record->offset : 0);
}

struct ledger_record *ledger_find_replaying(struct ledger *ledger)
{
	uint64_t offset = ledger_load(&ledger->header->replaying);
	struct ledger_record *record;

	ledger_rewind(ledger);
	do
		record = ledger_next(ledger);
	while (record && record->offset != offset);
	return record;
}
