/* SPDX-License-Identifier: MIT */
/*
 * Guest memory, however it is reached: mmap of a front end's regions
 * (memory_mmap.c), grants (xen/memory_grant.c) or foreign maps (xen/memory_foreign.c). Device
 * code cannot tell.
 *
 * Addresses are the bus addresses that the driver wrote into its descriptors;
 * with grants they carry a grant reference (bit 63 | reference << 12 | offset).
 * All calls work on lists, so that one hypercall or message serves many pieces.
 * Nothing here trusts an address or a length.
 */
#ifndef GPUDOM_BACKEND_MEMORY_H
#define GPUDOM_BACKEND_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/trace.h"
#include "backend/udmabuf.h"

struct memory_piece {
	uint64_t address; /* bus address of the first byte */
	uint32_t length;  /* bytes; may span pages */
};

/* A region as VHOST_USER_SET_MEM_TABLE and ADD_MEM_REG describe it. */
struct memory_region {
	uint64_t guest_address; /* bus address of the first byte */
	uint64_t size;
	uint64_t user_address; /* the front end's address of the same byte */
	uint64_t mmap_offset;  /* where it begins in the descriptor */
	uint32_t xen_flags;    /* VHOST_USER_PROTOCOL_F_XEN_MMAP: MEMORY_XEN_*, or 0 */
	uint32_t xen_domid;
};
#define MEMORY_XEN_FOREIGN 0x1
#define MEMORY_XEN_GRANT 0x2
#define MEMORY_XEN_NO_ADVANCE_MAP 0x8

enum memory_access { MEMORY_READ = 1, MEMORY_WRITE = 2, MEMORY_READ_WRITE = 3 };

/*
 * Pieces of guest memory that stay mapped until memory_unmap(): rings and
 * backing pages. @iov has one or more entries that together cover the pieces in
 * order (neighbours may have been joined, pieces may have been split).
 */
struct memory_map {
	struct iovec *iov;
	size_t iov_count;
	size_t size; /* bytes, the sum of all lengths */
};

struct guest_memory;
struct virtqueue_config; /* virtqueue.h */
struct virtqueue_relay;
struct guest_memory_impl {
	const char *name;
	void (*destroy)(struct guest_memory *memory);
	int (*add_region)(struct guest_memory *memory, const struct memory_region *region, int fd);
	int (*remove_region)(struct guest_memory *memory, const struct memory_region *region);
	int (*translate_user)(
	    struct guest_memory *memory, uint64_t user_address, uint64_t size, uint64_t *address);
	int (*read)(
	    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count);
	int (*write)(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
	    const void *from, size_t size);
	/* May be NULL: write() does it at once, and there is nothing to flush. */
	int (*write_later)(struct guest_memory *memory, const struct memory_piece *pieces,
	    size_t count, const void *from, size_t size);
	void (*flush)(struct guest_memory *memory);
	int (*map)(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
	    enum memory_access access, struct memory_map **map);
	void (*unmap)(struct guest_memory *memory, struct memory_map *map);
	/* May be NULL: nothing can be exported. */
	int (*export)(
	    struct guest_memory *memory, const struct memory_map *map, struct udmabuf *udmabuf);
	/* Where another process alone reaches requests and rings: has it serve queue @index
	 * (virtqueue.h). May be NULL; -EOPNOTSUPP: it does not, so map the rings. */
	int (*relay)(struct guest_memory *memory, unsigned index,
	    const struct virtqueue_config *config, int call_fd, struct virtqueue_relay **relay);
};

/* What reaching the guest's memory has cost: calls to the kernel, each of which is one hypercall or
 * one batch of them. Copies to and from what is mapped already cost none, so memory by mmap stays
 * at 0. */
struct memory_statistics {
	uint64_t map_calls, unmap_calls; /* a failed map is one, too */
	uint64_t copy_calls;             /* grant copies */
	uint64_t segments;               /* parts of pages that copies consisted of */
	uint64_t pages_mapped;           /* by all map calls */
	uint64_t maps;                   /* that are there now */
	uint64_t questions; /* to another process, which we waited for (a sandboxed worker) */
};

struct guest_memory {
	const struct guest_memory_impl *impl;
	struct memory_statistics statistics; /* kept by the implementation, read by anyone */
	struct trace *trace;                 /* set by the owner, not owned; may be NULL */
};

/* Frees everything; every map must have been unmapped. Accepts NULL. */
void memory_destroy(struct guest_memory *memory);

/*
 * Adds a region. Takes over @fd on success (it may be -1 where the kind needs
 * none). -EEXIST where it overlaps another, -EINVAL for a size or flags that make
 * no sense or a file that is too short, -ENOSPC when the table is full.
 */
int memory_add_region(struct guest_memory *memory, const struct memory_region *region, int fd);

/* Removes the region with these addresses and size; -ENOENT if there is none. Maps that
 * lie in it stay valid until they are unmapped. */
int memory_remove_region(struct guest_memory *memory, const struct memory_region *region);

/* Turns a front end's address (of a ring) into a bus address; -EFAULT where
 * [user_address, +size) is not wholly inside one region. With grants, identity. */
int memory_translate_user(
    struct guest_memory *memory, uint64_t user_address, uint64_t size, uint64_t *address);

/* Copies all bytes of the pieces, in order, to @to, which must hold their sum. All or
 * nothing as far as the return value goes: 0, or -EFAULT and @to is undefined. */
int memory_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count);

/* Copies @size bytes to the beginning of the pieces; -EFAULT where they are shorter or out of
 * reach (bytes may then have been written). */
int memory_write(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    const void *from, size_t size);

/* As memory_write(), but the bytes need not be there before memory_flush(), so that one call can
 * serve many; what is found out to be out of reach only then is not reported. */
int memory_write_later(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    const void *from, size_t size);

/* Brings all that was put off to the guest. virtqueue_publish() does this before the guest can
 * look. */
void memory_flush(struct guest_memory *memory);

/* Maps all pieces or none. The caller unmaps before the guest may take the pages back.
 * -EFAULT (address, grant), -ENOMEM, -E2BIG (more pages than the implementation maps). */
int memory_map(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    enum memory_access access, struct memory_map **map);

/* Accepts a NULL map. */
void memory_unmap(struct guest_memory *memory, struct memory_map *map);

/* A dma-buf of what is mapped, in whole pages, as one run of bytes: a descriptor, the caller's. It
 * may be used after the unmap: only memory that does not mind is exported. -ENOTSUP where this
 * memory can't be, or @map does not consist of whole pages but at its end; -E2BIG; or the device's
 * -errno. */
int memory_export(
    struct guest_memory *memory, const struct memory_map *map, struct udmabuf *udmabuf);

/* For implementations: appends [address, +length) to the iov, joined with the entry before where
 * they touch. There must be room for one more. */
void memory_map_append(struct memory_map *map, void *address, size_t length);

/* Memory of a front end that shares it by file descriptor: regions are mapped when added.
 * -ENOMEM. */
int memory_mmap_create(struct guest_memory **memory);

#endif
