/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_guest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Regions lie this far apart; the first begins here too, so that no address is an offset. */
#define REGION_SPACING UINT64_C(0x40000000)

void loopback_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("loopback guest: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

/* ---------------------------------------------------------------- memory */

int loopback_memory_init(struct loopback_memory *memory, size_t size, unsigned regions)
{
	int ret;

	assert(regions >= 1 && regions <= LOOPBACK_REGIONS_MAX);
	size_t unit = (size_t)LOOPBACK_PAGE * regions;
	size = (size + unit - 1) / unit * unit;
	*memory = (struct loopback_memory){ .size = size, .page_count = size / LOOPBACK_PAGE };
	memory->fd = memfd_create("loopback-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memory->fd < 0)
		return -errno;
	/* Sealed, as QEMU's memory-backend-memfd is */
	if (ftruncate(memory->fd, (off_t)size) < 0 ||
	    fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		ret = -errno;
		goto close_fd;
	}
	memory->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
	if (memory->bytes == MAP_FAILED) {
		ret = -errno;
		goto close_fd;
	}
	memory->page_used = calloc(memory->page_count, sizeof(*memory->page_used));
	if (!memory->page_used) {
		ret = -ENOMEM;
		goto unmap;
	}
	memory->region_count = regions;
	for (unsigned i = 0; i < regions; i++) {
		uint64_t part = size / regions;
		memory->regions[i] = (struct memory_region){
			.guest_address = REGION_SPACING * (i + 1),
			.size = part,
			.user_address = (uintptr_t)memory->bytes + part * i,
			.mmap_offset = part * i,
		};
	}
	return 0;

unmap:
	munmap(memory->bytes, size);
close_fd:
	close(memory->fd);
	return ret;
}

void loopback_memory_finish(struct loopback_memory *memory)
{
	free(memory->page_used);
	munmap(memory->bytes, memory->size);
	close(memory->fd);
}

/* First fit of @count pages from @first up to @end; @end where there is none. */
static size_t find_pages(
    const struct loopback_memory *memory, size_t first, size_t end, size_t count)
{
	size_t region_pages = memory->page_count / memory->region_count;
	size_t run = 0;

	for (size_t page = first; page < end; page++) {
		if (page % region_pages == 0)
			run = 0;
		run = memory->page_used[page] ? 0 : run + 1;
		if (run == count)
			return page + 1 - count;
	}
	return end;
}

void *loopback_alloc(struct loopback_memory *memory, size_t size)
{
	size_t count = (size + LOOPBACK_PAGE - 1) / LOOPBACK_PAGE;
	size_t page = find_pages(memory, memory->page_next, memory->page_count, count);

	assert(count > 0);
	if (page == memory->page_count)
		page = find_pages(memory, 0, memory->page_count, count);
	if (page == memory->page_count)
		loopback_die("out of guest memory: no %zu pages in a row", count);
	memset(memory->page_used + page, true, count);
	memory->page_next = (page + count) % memory->page_count;
	return memset(memory->bytes + page * LOOPBACK_PAGE, 0, count * LOOPBACK_PAGE);
}

void loopback_free(struct loopback_memory *memory, void *pages, size_t size)
{
	if (!pages)
		return;
	size_t page = (size_t)((uint8_t *)pages - memory->bytes) / LOOPBACK_PAGE;
	size_t count = (size + LOOPBACK_PAGE - 1) / LOOPBACK_PAGE;
	for (size_t i = page; i < page + count; i++) {
		assert(memory->page_used[i]);
		memory->page_used[i] = false;
	}
}

size_t loopback_memory_used(const struct loopback_memory *memory)
{
	size_t used = 0;

	for (size_t i = 0; i < memory->page_count; i++)
		used += memory->page_used[i];
	return used * LOOPBACK_PAGE;
}

uint64_t loopback_address(const struct loopback_memory *memory, const void *pointer)
{
	uint64_t user = (uintptr_t)pointer;

	for (unsigned i = 0; i < memory->region_count; i++) {
		const struct memory_region *region = &memory->regions[i];
		if (user >= region->user_address && user - region->user_address < region->size)
			return user - region->user_address + region->guest_address;
	}
	loopback_die("%p is not in guest memory", pointer);
}

struct memory_piece loopback_piece(
    const struct loopback_memory *memory, const void *pointer, uint32_t length)
{
	return (
	    struct memory_piece){ .address = loopback_address(memory, pointer), .length = length };
}

/* ---------------------------------------------------------------- queues */

static size_t avail_size(uint16_t size)
{
	return sizeof(struct vring_avail) + sizeof(__virtio16) * (size + 1u);
}

static size_t used_size(uint16_t size)
{
	return sizeof(struct vring_used) + sizeof(struct vring_used_elem) * size +
	       sizeof(__virtio16);
}

int loopback_queue_init(
    struct loopback_queue *queue, struct loopback_memory *memory, unsigned index, uint16_t size)
{
	int ret;

	assert(size <= LOOPBACK_QUEUE_SIZE_MAX);
	*queue = (struct loopback_queue){ .memory = memory, .index = index, .size = size };
	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	queue->error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0 || queue->call_fd < 0 || queue->error_fd < 0) {
		ret = -errno;
		close(queue->kick_fd);
		close(queue->call_fd);
		close(queue->error_fd);
		return ret;
	}
	queue->desc = loopback_alloc(memory, sizeof(struct vring_desc) * size);
	queue->avail = loopback_alloc(memory, avail_size(size));
	queue->used = loopback_alloc(memory, used_size(size));
	queue->used_event = &queue->avail->ring[size];
	queue->avail_event = (void *)&queue->used->ring[size];
	loopback_queue_reset(queue);
	return 0;
}

void loopback_queue_finish(struct loopback_queue *queue)
{
	for (unsigned i = 0; i < queue->size; i++)
		loopback_free(queue->memory, queue->chains[i].table, queue->chains[i].table_size);
	loopback_free(queue->memory, queue->desc, sizeof(struct vring_desc) * queue->size);
	loopback_free(queue->memory, queue->avail, avail_size(queue->size));
	loopback_free(queue->memory, queue->used, used_size(queue->size));
	close(queue->kick_fd);
	close(queue->call_fd);
	close(queue->error_fd);
}

void loopback_queue_reset(struct loopback_queue *queue)
{
	uint64_t count;

	memset(queue->desc, 0, sizeof(struct vring_desc) * queue->size);
	memset(queue->avail, 0, avail_size(queue->size));
	memset(queue->used, 0, used_size(queue->size));
	for (unsigned i = 0; i < queue->size; i++) {
		queue->desc[i].next = (uint16_t)(i + 1);
		queue->chains[i].busy = false;
	}
	queue->free_head = 0;
	queue->free_count = queue->size;
	queue->avail_index = queue->kicked = queue->last_used = 0;
	while (read(queue->call_fd, &count, sizeof(count)) > 0)
		;
	while (read(queue->error_fd, &count, sizeof(count)) > 0)
		;
}

bool loopback_queue_has_room(const struct loopback_queue *queue, size_t count)
{
	return queue->free_count >= (queue->indirect ? 1 : count);
}

static struct vring_desc describe(struct memory_piece piece, bool writable, bool more, size_t next)
{
	return (struct vring_desc){
		.addr = piece.address,
		.len = piece.length,
		.flags = (uint16_t)((writable ? VRING_DESC_F_WRITE : 0) |
				    (more ? VRING_DESC_F_NEXT : 0)),
		.next = more ? (uint16_t)next : 0,
	};
}

static void fill_table(struct loopback_queue *queue, uint16_t head,
    const struct memory_piece *readable, size_t readable_count, const struct memory_piece *writable,
    size_t writable_count)
{
	struct loopback_chain *chain = &queue->chains[head];
	size_t count = readable_count + writable_count;
	size_t size = count * sizeof(struct vring_desc);

	if (chain->table_size < size) {
		loopback_free(queue->memory, chain->table, chain->table_size);
		chain->table = loopback_alloc(queue->memory, size);
		chain->table_size = (size + LOOPBACK_PAGE - 1) / LOOPBACK_PAGE * LOOPBACK_PAGE;
	}
	for (size_t i = 0; i < count; i++) {
		bool write = i >= readable_count;
		chain->table[i] = describe(write ? writable[i - readable_count] : readable[i],
		    write, i + 1 < count, i + 1);
	}
	queue->free_head = queue->desc[head].next;
	queue->desc[head] = (struct vring_desc){
		.addr = loopback_address(queue->memory, chain->table),
		.len = (uint32_t)size,
		.flags = VRING_DESC_F_INDIRECT,
	};
	chain->count = 1;
}

static void fill_ring(struct loopback_queue *queue, uint16_t head,
    const struct memory_piece *readable, size_t readable_count, const struct memory_piece *writable,
    size_t writable_count)
{
	size_t count = readable_count + writable_count;
	uint16_t at = head;

	for (size_t i = 0; i < count; i++) {
		bool write = i >= readable_count;
		uint16_t next = queue->desc[at].next;
		queue->desc[at] = describe(
		    write ? writable[i - readable_count] : readable[i], write, i + 1 < count, next);
		/* Also the last one keeps its next: give_back() finds the chain's end by count. */
		queue->desc[at].next = next;
		at = next;
	}
	queue->free_head = at;
	queue->chains[head].count = (uint16_t)count;
}

uint16_t loopback_queue_add(struct loopback_queue *queue, const struct memory_piece *readable,
    size_t readable_count, const struct memory_piece *writable, size_t writable_count, void *data)
{
	uint16_t head = queue->free_head;

	assert(readable_count + writable_count > 0);
	if (!loopback_queue_has_room(queue, readable_count + writable_count))
		loopback_die("queue %u has no room", queue->index);
	if (queue->indirect)
		fill_table(queue, head, readable, readable_count, writable, writable_count);
	else
		fill_ring(queue, head, readable, readable_count, writable, writable_count);
	queue->free_count = (uint16_t)(queue->free_count - queue->chains[head].count);
	queue->chains[head].busy = true;
	queue->chains[head].data = data;
	loopback_queue_add_head(queue, head);
	return head;
}

void loopback_queue_add_head(struct loopback_queue *queue, uint16_t head)
{
	queue->avail->ring[queue->avail_index % queue->size] = head;
	queue->avail_index++;
	/* "The driver performs a suitable memory barrier to ensure the device sees the updated
	 * descriptor table and available ring before" the index (2.7.13). Pairs with the device's
	 * acquire of avail->idx. */
	__atomic_store_n(&queue->avail->idx, queue->avail_index, __ATOMIC_RELEASE);
}

bool loopback_queue_kick(struct loopback_queue *queue)
{
	bool wanted;

	/* The index is published before the device's wish is read; pairs with the device's barrier
	 * between writing its wish and looking at the index again. */
	atomic_thread_fence(memory_order_seq_cst);
	if (queue->event_idx)
		wanted = vring_need_event(__atomic_load_n(queue->avail_event, __ATOMIC_RELAXED),
		    queue->avail_index, queue->kicked);
	else
		wanted = !(__atomic_load_n(&queue->used->flags, __ATOMIC_RELAXED) &
			   VRING_USED_F_NO_NOTIFY);
	queue->kicked = queue->avail_index;
	if (wanted)
		loopback_queue_kick_always(queue);
	return wanted;
}

void loopback_queue_kick_always(struct loopback_queue *queue)
{
	if (write(queue->kick_fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		loopback_die("queue %u: kick: %s", queue->index, strerror(errno));
	queue->kicks++;
}

static void give_back(struct loopback_queue *queue, uint16_t head)
{
	struct loopback_chain *chain = &queue->chains[head];
	uint16_t last = head;

	for (unsigned i = 1; i < chain->count; i++)
		last = queue->desc[last].next;
	queue->desc[last].next = queue->free_head;
	queue->free_head = head;
	queue->free_count = (uint16_t)(queue->free_count + chain->count);
	chain->busy = false;
}

bool loopback_queue_take(
    struct loopback_queue *queue, uint16_t *head, uint32_t *written, void **data)
{
	/* Pairs with the device's release of used->idx. */
	if (__atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE) == queue->last_used)
		return false;

	struct vring_used_elem element = queue->used->ring[queue->last_used % queue->size];
	queue->last_used++;
	if (element.id >= queue->size || !queue->chains[element.id].busy)
		loopback_die("queue %u: the device returned head %u, which it was not given",
		    queue->index, element.id);
	*head = (uint16_t)element.id;
	*written = element.len;
	*data = queue->chains[*head].data;
	give_back(queue, *head);
	return true;
}

bool loopback_queue_enable_calls(struct loopback_queue *queue)
{
	if (queue->event_idx)
		__atomic_store_n(queue->used_event, queue->last_used, __ATOMIC_RELAXED);
	/* Pairs with the device's barrier between publishing and reading used_event. */
	atomic_thread_fence(memory_order_seq_cst);
	return __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE) != queue->last_used;
}
