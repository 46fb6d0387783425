/* SPDX-License-Identifier: MIT */
/*
 * What gpu_ledger.c (what a successor needs to know) and gpu_recover.c (a successor's first
 * act) share.
 */
#ifndef GPUDOM_BACKEND_GPU_LEDGER_H
#define GPUDOM_BACKEND_GPU_LEDGER_H

#include "backend/gpu_internal.h"
#include "backend/ledger.h"

/*
 * Two halves of 16 MiB, of which 15 can count: what the default limits allow (65,536 resources,
 * of which each takes about 160 bytes, and a GiB of backing in single pages, 4 MiB) fits. A
 * file's pages come into being when they are written.
 */
#define GPU_LEDGER_SIZE ((size_t)32 << 20)
#define GPU_LEDGER_STRUCT_MAX 128 /* bytes of any request's struct that is kept, and more */
#define GPU_UUID_SIZE 16

struct gpu_ledger_shown {
	uint32_t resource_id; /* 0: nothing */
	struct ledger_record record;
};

struct gpu_ledger {
	struct ledger log;
	bool unread; /* a predecessor's, not yet executed anew */
	struct id_table resources, contexts;
	struct gpu_ledger_shown scanouts[DISPLAY_SCANOUTS_MAX], cursors[DISPLAY_SCANOUTS_MAX];
};

/* Copies the struct that a record of @size bytes begins with to @to, GPU_LEDGER_STRUCT_MAX bytes,
 * zeroed behind the record. */
void gpu_ledger_read_struct(
    const struct gpu_ledger *ledger, uint32_t offset, uint32_t size, void *to);

/* Executed anew, this request was refused: its record, and all that needs its object, counts no
 * more. @data has GPU_LEDGER_STRUCT_MAX bytes at least. */
void gpu_ledger_refused(struct gpu_ledger *ledger, const void *data);

#endif
