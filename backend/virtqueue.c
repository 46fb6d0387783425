/* SPDX-License-Identifier: MIT */
/*
 * Quotations are from the virtio specification 1.2, chapter 2.7 "Split Virtqueues".
 *
 * Barriers come in pairs with the driver's:
 *   (A) avail->idx is read with acquire: after it, the entries, descriptors and buffers that it
 *       covers. The driver has a write barrier between them.
 *   (B) used->idx is stored with release: before it, the used entries and what was written to the
 *       buffers. The driver has a read barrier between them.
 *   (C) used->idx is stored, then the driver's wish for a call is read, with a full barrier
 *       between. The driver stores its wish, has a full barrier, and reads used->idx.
 *   (D) Our wish for a kick is stored, then avail->idx is read, with a full barrier between. The
 *       driver stores avail->idx, has a full barrier, and reads our wish.
 */
#include "backend/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/inflight.h"
#include "backend/probe.h"

/* Rings of VIRTIO_F_VERSION_1 devices are little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are read as they are");

static struct vring_avail *virtqueue_avail(const struct virtqueue *queue)
{
	return queue->avail_map->iov[0].iov_base;
}

static struct vring_used *virtqueue_used(const struct virtqueue *queue)
{
	return queue->used_map->iov[0].iov_base;
}

/* "used_event": behind the available ring, written by the driver */
static uint16_t *virtqueue_used_event(const struct virtqueue *queue)
{
	return &virtqueue_avail(queue)->ring[queue->config.size];
}

/* "avail_event": behind the used ring, written by us */
static uint16_t *virtqueue_avail_event(const struct virtqueue *queue)
{
	return (uint16_t *)&virtqueue_used(queue)->ring[queue->config.size];
}

static bool virtqueue_has_feature(const struct virtqueue *queue, unsigned bit)
{
	return queue->config.features & (UINT64_C(1) << bit);
}

static void virtqueue_signal(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	if (fd < 0)
		return;
	/* The only error of an eventfd that does not block: the counter is at its end, and thus the
	 * peer has something to read. */
	n = write(fd, &one, sizeof(one));
	(void)n;
}

void virtqueue_init(struct virtqueue *queue, unsigned index)
{
	*queue = (struct virtqueue){ .index = index, .call_fd = -1, .error_fd = -1 };
}

/* Maps one part of the ring, which must come out as one run, aligned as the specification says. */
static int virtqueue_map_part(struct guest_memory *memory, uint64_t address, uint32_t size,
    uint32_t alignment, enum memory_access access, struct memory_map **map)
{
	struct memory_piece piece = { .address = address, .length = size };
	int error;

	/* "The memory alignment and size requirements, in bytes, of each part of the virtqueue are
	 * summarized in the following table" */
	if (address % alignment)
		return -EINVAL;
	error = memory_map(memory, &piece, 1, access, map);
	if (error)
		return error;
	if ((*map)->iov_count == 1 && (*map)->size == size &&
	    (uintptr_t)(*map)->iov[0].iov_base % alignment == 0)
		return 0;
	memory_unmap(memory, *map);
	*map = NULL;
	return -EINVAL;
}

static void virtqueue_unmap(struct virtqueue *queue)
{
	memory_unmap(queue->memory, queue->desc_map);
	memory_unmap(queue->memory, queue->avail_map);
	memory_unmap(queue->memory, queue->used_map);
	queue->desc_map = queue->avail_map = queue->used_map = NULL;
	queue->memory = NULL;
}

/* ------------------------------------------------------------- somebody else's rings */

static void virtqueue_count_calls(struct virtqueue *queue, uint64_t before)
{
	queue->calls += queue->relay->calls - before;
}

static int virtqueue_start_relay(
    struct virtqueue *queue, struct guest_memory *memory, const struct virtqueue_config *config)
{
	int error;

	if (!memory->impl->relay)
		return -EOPNOTSUPP;
	error = memory->impl->relay(memory, queue->index, config, queue->call_fd, &queue->relay);
	if (error)
		return error;
	queue->config = *config;
	queue->memory = memory;
	memset(queue->heads, 0, sizeof(queue->heads));
	queue->in_flight = 0;
	queue->used_index = queue->published = 0;
	queue->relay->trace = queue->trace;
	queue->last_avail = config->base;
	queue->broken = false;
	queue->reason = NULL;
	queue->started = true;
	return 0;
}

static void virtqueue_set_broken(struct virtqueue *queue, const char *reason);

static int virtqueue_pop_relay(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	uint64_t calls = queue->relay->calls;
	int result = queue->relay->impl->pop(queue->relay, chain);

	virtqueue_count_calls(queue, calls);
	if (result == -EPROTO)
		virtqueue_set_broken(queue, "its rings are broken");
	if (result <= 0)
		return result;
	queue->heads[chain->head / 64] |= UINT64_C(1) << chain->head % 64;
	queue->in_flight++;
	chain->number = ++queue->chains;
	return 1;
}

static void virtqueue_publish_relay(struct virtqueue *queue)
{
	uint64_t calls = queue->relay->calls, begin = trace_begin(queue->trace);
	uint16_t count = (uint16_t)(queue->used_index - queue->published);

	queue->published = queue->used_index;
	queue->relay->impl->publish(queue->relay);
	virtqueue_count_calls(queue, calls);
	PROBE(publish, queue->index, count);
	trace_end(queue->trace, begin, .type = TRACE_PUBLISH, .queue = (uint8_t)queue->index,
	    .arg = count);
}

void virtqueue_set_fds(struct virtqueue *queue, int kick_fd)
{
	if (queue->relay)
		queue->relay->impl->set_fds(queue->relay, kick_fd, queue->call_fd);
}

/* ------------------------------------------------------------- starting and stopping */

int virtqueue_start(
    struct virtqueue *queue, struct guest_memory *memory, const struct virtqueue_config *config)
{
	uint16_t size = config->size;
	int error;

	assert(!queue->started);
	/* "Queue Size value is always a power of 2. The maximum Queue Size value is 32768." */
	if (!size || size > VIRTQUEUE_SIZE_MAX || (size & (size - 1)))
		return -EINVAL;
	if (config->inflight && config->inflight->size < size)
		return -EINVAL;

	error = virtqueue_start_relay(queue, memory, config);
	if (error != -EOPNOTSUPP)
		return error;
	queue->config = *config;
	queue->memory = memory;
	error = virtqueue_map_part(
	    memory, config->desc, 16u * size, VRING_DESC_ALIGN_SIZE, MEMORY_READ, &queue->desc_map);
	if (!error)
		error = virtqueue_map_part(memory, config->avail, 6 + 2u * size,
		    VRING_AVAIL_ALIGN_SIZE, MEMORY_READ, &queue->avail_map);
	if (!error)
		error = virtqueue_map_part(memory, config->used, 6 + 8u * size,
		    VRING_USED_ALIGN_SIZE, MEMORY_READ_WRITE, &queue->used_map);
	if (error) {
		virtqueue_unmap(queue);
		return error;
	}

	memset(queue->heads, 0, sizeof(queue->heads));
	queue->in_flight = 0;
	queue->last_avail = config->base;
	queue->used_index = __atomic_load_n(&virtqueue_used(queue)->idx, __ATOMIC_RELAXED);
	queue->published = queue->used_index;
	if (config->inflight) {
		virtqueue_inflight_start(config->inflight, size, queue->used_index);
		queue->in_flight = config->inflight->resubmit_count;
		/* What was taken is what was given back and what is in flight; a front end whose
		 * back end died cannot know, and one that never looks at rings knows nothing. */
		queue->last_avail = (uint16_t)(queue->used_index + queue->in_flight);
	}
	queue->avail_index = queue->last_avail;
	queue->broken = false;
	queue->reason = NULL;
	queue->started = true;
	return 0;
}

void virtqueue_stop(struct virtqueue *queue)
{
	if (!queue->started)
		return;
	queue->started = false;
	if (queue->relay) {
		queue->last_avail = queue->relay->impl->stop(queue->relay);
		queue->relay = NULL;
		queue->memory = NULL;
		return;
	}
	/* What the guest was promised must not come when the memory is its own again. */
	memory_flush(queue->memory);
	virtqueue_unmap(queue);
}

static void virtqueue_set_broken(struct virtqueue *queue, const char *reason)
{
	queue->broken = true;
	queue->reason = reason;
	virtqueue_signal(queue->error_fd);
}

void virtqueue_break(struct virtqueue *queue, const char *reason)
{
	if (queue->broken)
		return;
	log_guest(&queue->limit, "queue %u is broken until the guest resets the device: %s",
	    queue->index, reason);
	virtqueue_set_broken(queue, reason);
}

/* Breaks the queue over a descriptor: always -EPROTO. */
static int virtqueue_reject(
    struct virtqueue *queue, uint16_t head, const struct vring_desc *desc, const char *reason)
{
	log_guest(&queue->limit,
	    "queue %u is broken until the guest resets the device: %s (head %u, descriptor: "
	    "address %#llx, length %u, flags %#x, next %u)",
	    queue->index, reason, head, (unsigned long long)desc->addr, desc->len, desc->flags,
	    desc->next);
	virtqueue_set_broken(queue, reason);
	return -EPROTO;
}

static bool virtqueue_head_in_flight(const struct virtqueue *queue, uint16_t head)
{
	return queue->heads[head / 64] & (UINT64_C(1) << head % 64);
}

/* Copies a descriptor, once: the driver may be changing it. */
static struct vring_desc virtqueue_copy_desc(const struct virtqueue *queue, uint16_t index)
{
	const uint64_t *from = (uint64_t *)queue->desc_map->iov[0].iov_base + 2 * index;
	uint64_t words[2];
	struct vring_desc desc;

	_Static_assert(sizeof(desc) == sizeof(words), "a descriptor is two words");
	words[0] = __atomic_load_n(&from[0], __ATOMIC_RELAXED);
	words[1] = __atomic_load_n(&from[1], __ATOMIC_RELAXED);
	memcpy(&desc, words, sizeof(desc));
	return desc;
}

/* Adds a buffer to the chain; NULL, or why it can't be. */
static const char *virtqueue_add_piece(struct virtqueue_chain *chain, const struct vring_desc *desc)
{
	uint32_t count = chain->readable_count + chain->writable_count;
	bool writable = desc->flags & VRING_DESC_F_WRITE;

	if (count == VIRTQUEUE_CHAIN_MAX)
		return "a chain has more descriptors than the device takes";
	/* The specification knows no use for one, and drivers make none. */
	if (!desc->len)
		return "a descriptor has length 0";
	/* "The driver MUST place any device-writable descriptor elements after any device-readable
	 * descriptor elements." */
	if (!writable && chain->writable_count)
		return "a readable descriptor follows a writable one";
	chain->pieces[count] = (struct memory_piece){ .address = desc->addr, .length = desc->len };
	if (writable) {
		chain->writable_count++;
		chain->writable_size += desc->len;
	} else {
		chain->readable_count++;
		chain->readable_size += desc->len;
	}
	/* "Drivers MUST NOT add a descriptor chain longer than 2^32 bytes in total" */
	if (chain->readable_size + chain->writable_size > UINT64_C(1) << 32)
		return "a chain is longer than 4 GiB";
	return NULL;
}

/* Reads the table that @ref points to, once and whole, and adds its chain. */
static int virtqueue_add_indirect(
    struct virtqueue *queue, struct virtqueue_chain *chain, const struct vring_desc *ref)
{
	struct vring_desc table[VIRTQUEUE_CHAIN_MAX];
	struct memory_piece piece = { .address = ref->addr, .length = ref->len };
	uint32_t count = ref->len / sizeof(table[0]), i = 0;
	const char *reason;

	/* "The driver MUST NOT set the VIRTQ_DESC_F_INDIRECT flag unless the
	 * VIRTIO_F_INDIRECT_DESC feature was negotiated." */
	if (!virtqueue_has_feature(queue, VIRTIO_RING_F_INDIRECT_DESC))
		return virtqueue_reject(
		    queue, chain->head, ref, "an indirect table without its feature");
	/* "A driver MUST NOT set both VIRTQ_DESC_F_INDIRECT and VIRTQ_DESC_F_NEXT in flags." */
	if (ref->flags & VRING_DESC_F_NEXT)
		return virtqueue_reject(
		    queue, chain->head, ref, "an indirect table with a next descriptor");
	/* "The first indirect descriptor is located at start of the indirect descriptor table":
	 * struct virtq_desc desc[len / 16] */
	if (!ref->len || ref->len % sizeof(table[0]))
		return virtqueue_reject(queue, chain->head, ref,
		    "an indirect table's length is not a multiple of 16, or 0");
	if (count > VIRTQUEUE_CHAIN_MAX)
		return virtqueue_reject(queue, chain->head, ref,
		    "an indirect table has more descriptors than the device takes");
	if (memory_read(queue->memory, table, &piece, 1) < 0)
		return virtqueue_reject(
		    queue, chain->head, ref, "an indirect table cannot be read");

	for (uint32_t taken = 1;; taken++) {
		/* "A driver MUST NOT set the VIRTQ_DESC_F_INDIRECT flag within an indirect
		 * descriptor (ie. only one table per descriptor)." */
		if (table[i].flags & VRING_DESC_F_INDIRECT)
			return virtqueue_reject(
			    queue, chain->head, &table[i], "an indirect table in another");
		reason = virtqueue_add_piece(chain, &table[i]);
		if (reason)
			return virtqueue_reject(queue, chain->head, &table[i], reason);
		if (!(table[i].flags & VRING_DESC_F_NEXT))
			return 0;
		if (table[i].next >= count)
			return virtqueue_reject(
			    queue, chain->head, &table[i], "next is outside of the indirect table");
		/* "loops in the descriptor chain are forbidden" */
		if (taken == count)
			return virtqueue_reject(
			    queue, chain->head, &table[i], "the chain in an indirect table loops");
		i = table[i].next;
	}
}

/* Walks the chain that begins at @head. */
static int virtqueue_read_chain(
    struct virtqueue *queue, uint16_t head, struct virtqueue_chain *chain)
{
	uint16_t i = head;

	chain->head = head;
	chain->readable_count = chain->writable_count = 0;
	chain->readable_size = chain->writable_size = 0;
	for (uint16_t taken = 1;; taken++) {
		struct vring_desc desc = virtqueue_copy_desc(queue, i);
		const char *reason;
		int error;

		/* "The device MUST handle the case of zero or more normal chained descriptors
		 * followed by a single descriptor with flags&VIRTQ_DESC_F_INDIRECT." */
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			error = virtqueue_add_indirect(queue, chain, &desc);
			if (error)
				return error;
			break;
		}
		reason = virtqueue_add_piece(chain, &desc);
		if (reason)
			return virtqueue_reject(queue, head, &desc, reason);
		if (!(desc.flags & VRING_DESC_F_NEXT))
			break;
		/* "next: Next field if flags & NEXT", an index into the table of Queue Size */
		if (desc.next >= queue->config.size)
			return virtqueue_reject(
			    queue, head, &desc, "next is outside of the descriptor table");
		/* "A driver MUST NOT create a descriptor chain longer than the Queue Size of the
		 * device", and "loops in the descriptor chain are forbidden" */
		if (taken == queue->config.size)
			return virtqueue_reject(
			    queue, head, &desc, "a chain loops, or is longer than the queue");
		i = desc.next;
	}
	chain->readable = chain->pieces;
	chain->writable = chain->pieces + chain->readable_count;
	return 0;
}

/* Looks for new entries of the available ring: are there any? Breaks an impossible ring. */
static bool virtqueue_available(struct virtqueue *queue)
{
	const uint16_t unpublished = (uint16_t)(queue->used_index - queue->published);
	uint16_t count;

	if (queue->avail_index != queue->last_avail)
		return true;
	queue->avail_index =
	    __atomic_load_n(&virtqueue_avail(queue)->idx, __ATOMIC_ACQUIRE); /* (A) */
	count = (uint16_t)(queue->avail_index - queue->last_avail);
	/* "The driver MUST NOT decrement the available idx on a virtqueue", and an entry needs a
	 * descriptor of which only Queue Size exist. Those of used entries that are not published
	 * are not the driver's yet: so what is taken between two publications has an end. */
	if (count > queue->config.size - queue->in_flight - unpublished) {
		queue->avail_index = queue->last_avail;
		virtqueue_break(queue, "the available index jumps past the queue's size");
		return false;
	}
	return count > 0;
}

/* Takes a head from the available ring. 1, 0 where there is none, or -EPROTO. */
static int virtqueue_next_head(struct virtqueue *queue, uint16_t *head)
{
	uint16_t slot;

	if (!virtqueue_available(queue))
		return queue->broken ? -EPROTO : 0;
	slot = queue->last_avail & (queue->config.size - 1);
	*head = __atomic_load_n(&virtqueue_avail(queue)->ring[slot], __ATOMIC_RELAXED);
	/* "The avail ring ... each entry refers to the head of a descriptor chain" */
	if (*head >= queue->config.size) {
		virtqueue_break(queue, "an available head is outside of the descriptor table");
		return -EPROTO;
	}
	if (virtqueue_head_in_flight(queue, *head)) {
		virtqueue_break(queue, "a head is made available again before it was used");
		return -EPROTO;
	}
	return 1;
}

int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
	struct virtqueue_inflight *inflight = queue->config.inflight;
	bool resubmit;
	uint16_t head;
	int error;

	chain->progress = VIRTQUEUE_TAKEN;
	if (queue->broken)
		return -EPROTO;
	if (!queue->started)
		return 0;
	if (queue->relay)
		return virtqueue_pop_relay(queue, chain);
	/* First what a predecessor left in flight; that is counted already. */
	resubmit = inflight && virtqueue_inflight_resubmit(inflight, &head, &chain->progress);
	if (!resubmit) {
		error = virtqueue_next_head(queue, &head);
		if (error <= 0)
			return error;
	}
	error = virtqueue_read_chain(queue, head, chain);
	if (error)
		return error;

	queue->heads[head / 64] |= UINT64_C(1) << head % 64;
	chain->number = ++queue->chains;
	if (!resubmit) {
		queue->last_avail++;
		queue->in_flight++;
		if (inflight)
			virtqueue_inflight_take(inflight, head);
	}
	return 1;
}

void virtqueue_unpop(struct virtqueue *queue, uint16_t head)
{
	queue->heads[head / 64] &= ~(UINT64_C(1) << head % 64);
	queue->chains--;
	queue->last_avail--;
	queue->avail_index = queue->last_avail; /* to be looked at anew */
	queue->in_flight--;
	if (queue->config.inflight)
		virtqueue_inflight_untake(queue->config.inflight, head);
}

void virtqueue_set_progress(
    struct virtqueue *queue, uint16_t head, enum virtqueue_progress progress)
{
	if (queue->started && queue->config.inflight)
		virtqueue_inflight_set_progress(queue->config.inflight, head, progress);
}

void virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written)
{
	struct vring_used *used;
	vring_used_elem_t *entry;

	if (!queue->started)
		return;
	assert(head < queue->config.size && virtqueue_head_in_flight(queue, head));
	if (queue->relay) {
		queue->heads[head / 64] &= ~(UINT64_C(1) << head % 64);
		queue->in_flight--;
		queue->used_index++;
		queue->relay->impl->push(queue->relay, head, written);
		return;
	}
	used = virtqueue_used(queue);
	entry = &used->ring[queue->used_index & (queue->config.size - 1)];
	__atomic_store_n(&entry->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->len, written, __ATOMIC_RELAXED);
	queue->used_index++;
	queue->in_flight--;
	queue->heads[head / 64] &= ~(UINT64_C(1) << head % 64);
	if (queue->config.inflight)
		virtqueue_inflight_push(queue->config.inflight, head);
}

/* Does the driver want to be called for the used entries from @old to @new? */
static bool virtqueue_wants_call(const struct virtqueue *queue, uint16_t old, uint16_t new)
{
	if (virtqueue_has_feature(queue, VIRTIO_RING_F_EVENT_IDX)) {
		/* "if the idx field in the used ring ... was equal to used_event, the device MUST
		 * send a notification" */
		uint16_t event = __atomic_load_n(virtqueue_used_event(queue), __ATOMIC_RELAXED);

		return vring_need_event(event, new, old);
	}
	/* "If flags is 1, the device SHOULD NOT send a notification." */
	return !(__atomic_load_n(&virtqueue_avail(queue)->flags, __ATOMIC_RELAXED) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}

static void virtqueue_call(struct virtqueue *queue)
{
	uint64_t begin = trace_begin(queue->trace);

	queue->calls++;
	PROBE(interrupt, queue->index, queue->calls);
	virtqueue_signal(queue->call_fd);
	trace_end(queue->trace, begin, .type = TRACE_INTERRUPT, .queue = (uint8_t)queue->index,
	    .arg = queue->published, .value = queue->calls);
}

void virtqueue_publish(struct virtqueue *queue)
{
	uint16_t old = queue->published, new = queue->used_index;
	uint64_t begin = trace_begin(queue->trace);

	if (queue->started && queue->relay) {
		virtqueue_publish_relay(queue);
		return;
	}
	if (!queue->started || old == new)
		return;
	memory_flush(queue->memory);
	__atomic_store_n(&virtqueue_used(queue)->idx, new, __ATOMIC_RELEASE); /* (B) */
	queue->published = new;
	if (queue->config.inflight)
		virtqueue_inflight_publish(queue->config.inflight, new);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* (C) */
	PROBE(publish, queue->index, (uint16_t)(new - old));
	if (virtqueue_wants_call(queue, old, new))
		virtqueue_call(queue);
	trace_end(queue->trace, begin, .type = TRACE_PUBLISH, .queue = (uint8_t)queue->index,
	    .arg = (uint16_t)(new - old));
}

void virtqueue_disable_notifications(struct virtqueue *queue)
{
	/* With the event index, the driver kicks when the index passes avail_event, which it has
	 * by now. */
	if (!queue->started || queue->relay ||
	    virtqueue_has_feature(queue, VIRTIO_RING_F_EVENT_IDX))
		return;
	__atomic_store_n(&virtqueue_used(queue)->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool virtqueue_enable_notifications(struct virtqueue *queue)
{
	if (!queue->started || queue->broken)
		return false;
	queue->kicks_wanted++;
	if (queue->relay)
		return false; /* its kick_fd is readable whenever there are more */
	if (virtqueue_has_feature(queue, VIRTIO_RING_F_EVENT_IDX))
		__atomic_store_n(virtqueue_avail_event(queue), queue->last_avail, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&virtqueue_used(queue)->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* (D) */
	return virtqueue_available(queue);
}
