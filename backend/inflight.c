/* SPDX-License-Identifier: MIT */
#include "backend/inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/checked.h"
#include "backend/ledger.h"
#include "backend/log.h"

#define INFLIGHT_VERSION 1
#define INFLIGHT_ALIGNMENT 64

_Static_assert(sizeof(struct inflight_descriptor) == 16, "the protocol's layout");
_Static_assert(sizeof(struct inflight_region) == 16, "the protocol's layout");

/* This process can be killed between any two stores, and a successor reads what was written: the
 * stores need the order of the program, which a compiler may not change. */
static void inflight_order(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

size_t inflight_region_size(uint16_t queue_size)
{
	size_t size =
	    sizeof(struct inflight_region) + queue_size * sizeof(struct inflight_descriptor);

	return (size + INFLIGHT_ALIGNMENT - 1) & ~(size_t)(INFLIGHT_ALIGNMENT - 1);
}

static void inflight_region_init(struct inflight_region *region, uint16_t size, uint16_t used)
{
	memset(region->descriptors, 0, size * sizeof(region->descriptors[0]));
	region->features = 0;
	region->descriptor_count = size;
	region->last_batch_head = 0;
	region->used_index = used;
	inflight_order();
	region->version = INFLIGHT_VERSION;
}

/* "If the value of used_idx does not match the idx value of used ring (means the inflight field of
 * DescStateSplit entries in last batch may be incorrect)" */
static void inflight_settle_batch(struct virtqueue_inflight *inflight, uint16_t used_index)
{
	struct inflight_region *region = inflight->region;
	uint16_t batch = (uint16_t)(used_index - region->used_index);
	uint16_t head = region->last_batch_head;

	if (batch > inflight->size) {
		/* No batch is longer than the queue: the ring has begun a new life since. */
		inflight_region_init(region, inflight->size, used_index);
		return;
	}
	for (uint16_t i = 0; i < batch && head < inflight->size; i++) {
		region->descriptors[head].inflight = 0;
		head = region->descriptors[head].next;
	}
	inflight_order();
	region->used_index = used_index;
}

struct inflight_entry {
	uint64_t counter;
	uint16_t head;
};

static int inflight_entry_compare(const void *a, const void *b)
{
	const struct inflight_entry *x = a, *y = b;

	return (x->counter > y->counter) - (x->counter < y->counter);
}

void virtqueue_inflight_start(
    struct virtqueue_inflight *inflight, uint16_t queue_size, uint16_t used_index)
{
	struct inflight_entry entries[VIRTQUEUE_SIZE_MAX] = { 0 };
	struct inflight_region *region = inflight->region;
	uint16_t count = 0;

	inflight->counter = 0;
	inflight->resubmitted = 0;
	inflight->batch_count = 0;
	if (region->version != INFLIGHT_VERSION || region->descriptor_count != inflight->size)
		inflight_region_init(region, inflight->size, used_index);
	if (region->used_index != used_index)
		inflight_settle_batch(inflight, used_index);

	/* "Resubmit inflight DescStateSplit entries in order of their counter value" */
	for (uint16_t i = 0; i < inflight->size; i++) {
		/* Not looked at again: whoever else has the file may have put it back. */
		if (i >= queue_size) {
			region->descriptors[i].inflight = 0;
			continue;
		}
		if (!region->descriptors[i].inflight)
			continue;
		entries[count].counter = region->descriptors[i].counter;
		entries[count++].head = i;
	}
	qsort(entries, count, sizeof(entries[0]), inflight_entry_compare);
	for (uint16_t i = 0; i < count; i++)
		inflight->resubmit[i] = entries[i].head;
	inflight->resubmit_count = count;
	if (count)
		inflight->counter = entries[count - 1].counter + 1;
}

bool virtqueue_inflight_resubmit(
    struct virtqueue_inflight *inflight, uint16_t *head, enum virtqueue_progress *progress)
{
	if (inflight->resubmitted == inflight->resubmit_count)
		return false;
	*head = inflight->resubmit[inflight->resubmitted++];
	*progress = inflight->region->descriptors[*head].progress;
	return true;
}

void virtqueue_inflight_set_progress(
    struct virtqueue_inflight *inflight, uint16_t head, enum virtqueue_progress progress)
{
	inflight_order();
	inflight->region->descriptors[head].progress = (uint8_t)progress;
	inflight_order();
}

void virtqueue_inflight_take(struct virtqueue_inflight *inflight, uint16_t head)
{
	struct inflight_descriptor *d = &inflight->region->descriptors[head];

	d->counter = inflight->counter++;
	d->progress = VIRTQUEUE_TAKEN;
	inflight_order();
	d->inflight = 1;
}

void virtqueue_inflight_untake(struct virtqueue_inflight *inflight, uint16_t head)
{
	inflight->region->descriptors[head].inflight = 0;
	inflight_order();
}

void virtqueue_inflight_push(struct virtqueue_inflight *inflight, uint16_t head)
{
	struct inflight_region *region = inflight->region;

	region->descriptors[head].next = region->last_batch_head;
	inflight_order();
	region->last_batch_head = head;
	inflight->batch[inflight->batch_count++] = head;
}

void virtqueue_inflight_publish(struct virtqueue_inflight *inflight, uint16_t used_index)
{
	struct inflight_region *region = inflight->region;

	inflight_order();
	for (uint16_t i = 0; i < inflight->batch_count; i++)
		region->descriptors[inflight->batch[i]].inflight = 0;
	inflight->batch_count = 0;
	inflight_order();
	region->used_index = used_index;
	inflight_order();
}

static bool inflight_numbers_valid(unsigned queue_count, uint16_t queue_size)
{
	return queue_count && queue_count <= UINT16_MAX && queue_size &&
	       queue_size <= VIRTQUEUE_SIZE_MAX && !(queue_size & (queue_size - 1));
}

/* Where the ledger begins, and the records' size without one. */
static uint64_t inflight_ledger_offset(unsigned queue_count, uint16_t queue_size, bool has_ledger)
{
	uint64_t size = (uint64_t)queue_count * inflight_region_size(queue_size);

	return has_ledger ? (size + LEDGER_ALIGNMENT - 1) & ~(uint64_t)(LEDGER_ALIGNMENT - 1)
			  : size;
}

int inflight_create_file(
    unsigned queue_count, uint16_t queue_size, size_t ledger_size, uint64_t *size)
{
	int fd, error;

	if (!inflight_numbers_valid(queue_count, queue_size))
		return -EINVAL;
	*size = inflight_ledger_offset(queue_count, queue_size, ledger_size) + ledger_size;
	fd = memfd_create("vhost-user in flight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	/* Nobody can cut it short under us, which would be a SIGBUS, or seal it against writing */
	if (ftruncate(fd, (off_t)*size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

bool inflight_equal(const struct inflight *a, const struct inflight *b)
{
	return a->device == b->device && a->inode == b->inode && a->offset == b->offset &&
	       a->mapping_size == b->mapping_size && a->queue_count == b->queue_count &&
	       a->queue_size == b->queue_size;
}

int inflight_create(int fd, uint64_t offset, uint64_t size, unsigned queue_count,
    uint16_t queue_size, size_t ledger_size, struct inflight **to)
{
	struct inflight *inflight;
	struct stat stat;
	uint64_t end;
	int error;

	if (!inflight_numbers_valid(queue_count, queue_size) ||
	    size < (uint64_t)queue_count * inflight_region_size(queue_size))
		return -EINVAL;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode) || !checked_add(offset, size, &end) ||
	    end > (uint64_t)stat.st_size)
		return -EINVAL;

	inflight = calloc(1, sizeof(*inflight));
	if (!inflight)
		return -ENOMEM;
	inflight->queues = calloc(queue_count, sizeof(struct virtqueue_inflight));
	if (!inflight->queues) {
		error = -ENOMEM;
		goto error_queues;
	}
	inflight->queue_count = queue_count;
	inflight->queue_size = queue_size;
	inflight->device = stat.st_dev;
	inflight->inode = stat.st_ino;
	inflight->offset = offset;
	inflight->mapping_size = size;
	inflight->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (inflight->fd < 0) {
		error = -errno;
		goto error_fd;
	}
	inflight->mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (inflight->mapping == MAP_FAILED) {
		error = -errno;
		goto error_mapping;
	}
	for (unsigned i = 0; i < queue_count; i++) {
		inflight->queues[i].size = queue_size;
		inflight->queues[i].region =
		    (void *)((uint8_t *)inflight->mapping + i * inflight_region_size(queue_size));
	}
	end = inflight_ledger_offset(queue_count, queue_size, ledger_size);
	if (ledger_size && end + ledger_size == size)
		inflight->ledger = (uint8_t *)inflight->mapping + end;
	*to = inflight;
	return 0;

error_mapping:
	close(inflight->fd);
error_fd:
	free(inflight->queues);
error_queues:
	free(inflight);
	return error;
}

void inflight_destroy(struct inflight *inflight)
{
	if (!inflight)
		return;
	munmap(inflight->mapping, inflight->mapping_size);
	close(inflight->fd);
	free(inflight->queues);
	free(inflight);
}
