/* SPDX-License-Identifier: MIT */
/*
 * What a successor needs to go on with the device: each request that changed its state, as the
 * driver wrote it, in the ledger. Here is known which of these still count, and nothing else: the
 * same code learns it from requests as they are executed and from a predecessor's log.
 * (gpu_recover.c executes those anew.)
 */
#include "backend/gpu_ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu_internal.h"

struct gpu_ledger_attachment;
LIST_HEAD(gpu_ledger_attachment_list, gpu_ledger_attachment);

struct gpu_ledger_resource {
	struct id_entry entry;
	struct ledger_record create, backing, uuid;
	bool is_blob, made_with_pages;
	struct gpu_ledger_attachment_list attachments;
};

struct gpu_ledger_context {
	struct id_entry entry;
	struct ledger_record create;
	struct id_table attachments;
};

struct gpu_ledger_attachment {
	struct id_entry entry; /* the resource's, in the context's table */
	struct ledger_record record;
	struct gpu_ledger_context *context;
	LIST_ENTRY(gpu_ledger_attachment) in_resource;
};

static struct gpu_ledger_resource *resource_find(struct gpu_ledger *ledger, uint32_t id)
{
	return (struct gpu_ledger_resource *)id_table_find(&ledger->resources, id);
}

static struct gpu_ledger_context *context_find(struct gpu_ledger *ledger, uint32_t id)
{
	return (struct gpu_ledger_context *)id_table_find(&ledger->contexts, id);
}

/* ---------------------------------------------------------------- what ends */

static void attachment_drop(struct gpu_ledger *ledger, struct gpu_ledger_attachment *attachment)
{
	ledger_forget(&ledger->log, &attachment->record);
	id_table_remove(&attachment->context->attachments, attachment->entry.id);
	LIST_REMOVE(attachment, in_resource);
	free(attachment);
}

static void shown_drop(struct gpu_ledger *ledger, struct gpu_ledger_shown *shown)
{
	ledger_forget(&ledger->log, &shown->record);
	shown->resource_id = 0;
}

static void scanouts_drop(struct gpu_ledger *ledger, uint32_t resource_id)
{
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		if (ledger->scanouts[i].resource_id == resource_id)
			shown_drop(ledger, &ledger->scanouts[i]);
	}
}

static void resource_drop(struct gpu_ledger *ledger, struct gpu_ledger_resource *resource)
{
	struct gpu_ledger_attachment *attachment, *next;

	for (attachment = LIST_FIRST(&resource->attachments); attachment; attachment = next) {
		next = LIST_NEXT(attachment, in_resource);
		attachment_drop(ledger, attachment);
	}
	scanouts_drop(ledger, resource->entry.id);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		if (ledger->cursors[i].resource_id == resource->entry.id)
			shown_drop(ledger, &ledger->cursors[i]);
	}
	ledger_forget(&ledger->log, &resource->create);
	ledger_forget(&ledger->log, &resource->backing);
	ledger_forget(&ledger->log, &resource->uuid);
	id_table_remove(&ledger->resources, resource->entry.id);
	free(resource);
}

static void context_drop(struct gpu_ledger *ledger, struct gpu_ledger_context *context)
{
	struct id_entry *entry;

	while ((entry = id_table_any(&context->attachments)))
		attachment_drop(ledger, (struct gpu_ledger_attachment *)entry);
	id_table_finish(&context->attachments);
	ledger_forget(&ledger->log, &context->create);
	id_table_remove(&ledger->contexts, context->entry.id);
	free(context);
}

static void index_empty(struct gpu_ledger *ledger)
{
	struct id_entry *entry;

	while ((entry = id_table_any(&ledger->contexts)))
		context_drop(ledger, (struct gpu_ledger_context *)entry);
	while ((entry = id_table_any(&ledger->resources)))
		resource_drop(ledger, (struct gpu_ledger_resource *)entry);
}

/* ---------------------------------------------------------------- what a request does */

/* These return 1 where the request is to be written, as a record that counts (*record) or one
 * (NULL) that only says what has ended; 0 where it changes nothing; -ENOMEM. */

static int resource_made(struct gpu_ledger *ledger, uint32_t id, struct ledger_record **record,
    struct gpu_ledger_resource **made)
{
	struct gpu_ledger_resource *resource = resource_find(ledger, id);

	if (resource)
		resource_drop(ledger, resource);
	resource = calloc(1, sizeof(*resource));
	if (!resource || id_table_insert(&ledger->resources, &resource->entry, id) < 0) {
		free(resource);
		return -ENOMEM;
	}
	LIST_INIT(&resource->attachments);
	*record = &resource->create;
	*made = resource;
	return 1;
}

static int blob_made(struct gpu_ledger *ledger, const struct virtio_gpu_resource_create_blob *r,
    struct ledger_record **record)
{
	struct gpu_ledger_resource *resource;
	int result = resource_made(ledger, r->resource_id, record, &resource);

	if (result < 0)
		return result;
	resource->is_blob = true;
	resource->made_with_pages = r->nr_entries > 0;
	return 1;
}

static int backing_detached(struct gpu_ledger *ledger, struct gpu_ledger_resource *resource)
{
	if (!resource)
		return 0;
	if (resource->is_blob)
		scanouts_drop(ledger, resource->entry.id);
	ledger_forget(&ledger->log, &resource->backing);
	if (resource->made_with_pages) {
		/* Those pages are the guest's again: a successor must not touch them */
		ledger_patch(&ledger->log, &resource->create,
		    offsetof(struct virtio_gpu_resource_create_blob, nr_entries), 0);
		ledger_trim(&ledger->log, &resource->create,
		    sizeof(struct virtio_gpu_resource_create_blob));
		resource->made_with_pages = false;
	}
	return 1;
}

static int context_made(struct gpu_ledger *ledger, uint32_t id, struct ledger_record **record)
{
	struct gpu_ledger_context *context = context_find(ledger, id);

	if (context)
		context_drop(ledger, context);
	context = calloc(1, sizeof(*context));
	if (!context || id_table_insert(&ledger->contexts, &context->entry, id) < 0) {
		free(context);
		return -ENOMEM;
	}
	*record = &context->create;
	/* cppcheck-suppress memleak ; the table has it */
	return 1;
}

static int resource_attached(
    struct gpu_ledger *ledger, uint32_t ctx_id, uint32_t resource_id, struct ledger_record **record)
{
	struct gpu_ledger_context *context = context_find(ledger, ctx_id);
	struct gpu_ledger_resource *resource = resource_find(ledger, resource_id);
	struct gpu_ledger_attachment *attachment;

	if (!context || !resource || id_table_find(&context->attachments, resource_id))
		return 0;
	attachment = calloc(1, sizeof(*attachment));
	if (!attachment ||
	    id_table_insert(&context->attachments, &attachment->entry, resource_id) < 0) {
		free(attachment);
		return -ENOMEM;
	}
	attachment->context = context;
	LIST_INSERT_HEAD(&resource->attachments, attachment, in_resource);
	*record = &attachment->record;
	return 1;
}

static int resource_detached(struct gpu_ledger *ledger, uint32_t ctx_id, uint32_t resource_id)
{
	struct gpu_ledger_context *context = context_find(ledger, ctx_id);
	struct id_entry *entry = context ? id_table_find(&context->attachments, resource_id) : NULL;

	if (!entry)
		return 0;
	attachment_drop(ledger, (struct gpu_ledger_attachment *)entry);
	return 1;
}

static int shown(struct gpu_ledger *ledger, struct gpu_ledger_shown *on, uint32_t scanout,
    uint32_t resource_id, struct ledger_record **record)
{
	bool was_shown;

	if (scanout >= DISPLAY_SCANOUTS_MAX)
		return 0;
	was_shown = on[scanout].resource_id != 0;
	shown_drop(ledger, &on[scanout]);
	if (!resource_find(ledger, resource_id))
		return was_shown;
	on[scanout].resource_id = resource_id;
	*record = &on[scanout].record;
	return 1;
}

static int backing_attached(
    struct gpu_ledger *ledger, struct gpu_ledger_resource *resource, struct ledger_record **record)
{
	if (!resource)
		return 0;
	ledger_forget(&ledger->log, &resource->backing);
	*record = &resource->backing;
	return 1;
}

static int uuid_assigned(struct gpu_ledger_resource *resource, struct ledger_record **record)
{
	if (!resource || resource->uuid.size)
		return 0; /* it is the same each time */
	*record = &resource->uuid;
	return 1;
}

/* Too frequent to be written each time, and only the last one counts. */
static int cursor_moved(struct gpu_ledger *ledger, const struct virtio_gpu_cursor_pos *pos)
{
	const struct ledger_record *record;
	const uint32_t at = offsetof(struct virtio_gpu_update_cursor, pos);

	if (pos->scanout_id >= DISPLAY_SCANOUTS_MAX)
		return 0;
	record = &ledger->cursors[pos->scanout_id].record;
	if (record->size) {
		ledger_patch(&ledger->log, record,
		    at + (uint32_t)offsetof(struct virtio_gpu_cursor_pos, x), pos->x);
		ledger_patch(&ledger->log, record,
		    at + (uint32_t)offsetof(struct virtio_gpu_cursor_pos, y), pos->y);
	}
	return 0;
}

/* Most requests begin like this. */
struct gpu_request_of {
	struct virtio_gpu_ctrl_hdr hdr;
	uint32_t resource_id;
};

static int index_apply(struct gpu_ledger *ledger, const void *data, struct ledger_record **record)
{
	const struct gpu_request_of *r = data;
	const struct virtio_gpu_set_scanout *scanout = data;
	const struct virtio_gpu_set_scanout_blob *blob = data;
	const struct virtio_gpu_update_cursor *cursor = data;
	struct gpu_ledger_resource *resource;
	struct gpu_ledger_context *context;

	*record = NULL;
	switch (r->hdr.type) {
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_2D:
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_3D:
		return resource_made(ledger, r->resource_id, record, &resource);
	case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
		return blob_made(ledger, data, record);
	case VIRTIO_GPU_CMD_RESOURCE_UNREF:
		resource = resource_find(ledger, r->resource_id);
		if (resource)
			resource_drop(ledger, resource);
		return resource != NULL;
	case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
		return backing_attached(ledger, resource_find(ledger, r->resource_id), record);
	case VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING:
		return backing_detached(ledger, resource_find(ledger, r->resource_id));
	case VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID:
		return uuid_assigned(resource_find(ledger, r->resource_id), record);
	case VIRTIO_GPU_CMD_CTX_CREATE:
		return context_made(ledger, r->hdr.ctx_id, record);
	case VIRTIO_GPU_CMD_CTX_DESTROY:
		context = context_find(ledger, r->hdr.ctx_id);
		if (context)
			context_drop(ledger, context);
		return context != NULL;
	case VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE:
		return resource_attached(ledger, r->hdr.ctx_id, r->resource_id, record);
	case VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE:
		return resource_detached(ledger, r->hdr.ctx_id, r->resource_id);
	case VIRTIO_GPU_CMD_SET_SCANOUT:
		return shown(
		    ledger, ledger->scanouts, scanout->scanout_id, scanout->resource_id, record);
	case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
		return shown(ledger, ledger->scanouts, blob->scanout_id, blob->resource_id, record);
	case VIRTIO_GPU_CMD_UPDATE_CURSOR:
		return shown(
		    ledger, ledger->cursors, cursor->pos.scanout_id, cursor->resource_id, record);
	case VIRTIO_GPU_CMD_MOVE_CURSOR:
		return cursor_moved(ledger, &cursor->pos);
	default:
		return 0;
	}
}

void gpu_ledger_refused(struct gpu_ledger *ledger, const void *data)
{
	const struct gpu_request_of *r = data;
	const struct virtio_gpu_set_scanout *scanout = data;
	const struct virtio_gpu_set_scanout_blob *blob = data;
	const struct virtio_gpu_update_cursor *cursor = data;
	struct gpu_ledger_resource *resource = resource_find(ledger, r->resource_id);
	struct gpu_ledger_context *context = context_find(ledger, r->hdr.ctx_id);

	switch (r->hdr.type) {
	case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
		if (resource)
			ledger_forget(&ledger->log, &resource->backing);
		break;
	case VIRTIO_GPU_CMD_CTX_CREATE:
		if (context)
			context_drop(ledger, context);
		break;
	case VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE:
		resource_detached(ledger, r->hdr.ctx_id, r->resource_id);
		break;
	case VIRTIO_GPU_CMD_SET_SCANOUT:
		shown_drop(ledger, &ledger->scanouts[scanout->scanout_id % DISPLAY_SCANOUTS_MAX]);
		break;
	case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
		shown_drop(ledger, &ledger->scanouts[blob->scanout_id % DISPLAY_SCANOUTS_MAX]);
		break;
	case VIRTIO_GPU_CMD_UPDATE_CURSOR:
		shown_drop(ledger, &ledger->cursors[cursor->pos.scanout_id % DISPLAY_SCANOUTS_MAX]);
		break;
	case VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID:
		if (resource)
			ledger_forget(&ledger->log, &resource->uuid);
		break;
	default:
		if (resource)
			resource_drop(ledger, resource);
		break;
	}
}

/* ---------------------------------------------------------------- writing */

/* Bytes of a request that are kept; 0: none, or less than it says that there are. */
static uint32_t kept_size(const void *data, uint64_t size)
{
	const struct virtio_gpu_resource_attach_backing *attach = data;
	const struct virtio_gpu_resource_create_blob *blob = data;
	uint64_t kept = size < sizeof(attach->hdr) ? 0 : gpu_command_kept(attach->hdr.type);

	if (!kept || kept > size)
		return 0;
	if (attach->hdr.type == VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING)
		kept += (uint64_t)attach->nr_entries * sizeof(struct virtio_gpu_mem_entry);
	else if (attach->hdr.type == VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB)
		kept += (uint64_t)blob->nr_entries * sizeof(struct virtio_gpu_mem_entry);
	return kept <= size ? (uint32_t)kept : 0;
}

bool gpu_ledger_note(struct gpu *gpu, const struct gpu_command *command)
{
	struct gpu_ledger *ledger = gpu->ledger;
	struct iovec parts[2] = { { .iov_base = (void *)command->data } };
	const struct gpu_request_of *r = command->data;
	unsigned part_count = 1;
	struct ledger_record *record;
	int result;

	if (!ledger || ledger->log.broken)
		return false;
	parts[0].iov_len = kept_size(command->data, command->size);
	if (r->hdr.type == VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID)
		parts[part_count++] =
		    (struct iovec){ gpu_resource_find(gpu, r->resource_id)->uuid, GPU_UUID_SIZE };
	result = index_apply(ledger, command->data, &record);
	if (result > 0)
		result = ledger_append(&ledger->log, record, parts, part_count);
	if (result == 0)
		return true;
	ledger_break(&ledger->log, strerror(-result));
	index_empty(ledger);
	return false;
}

void gpu_ledger_clear(struct gpu *gpu)
{
	if (!gpu->ledger)
		return;
	gpu->ledger->unread = false;
	index_empty(gpu->ledger);
	ledger_clear(&gpu->ledger->log);
}

/* ---------------------------------------------------------------- reading */

void gpu_ledger_read_struct(
    const struct gpu_ledger *ledger, uint32_t offset, uint32_t size, void *to)
{
	memset(to, 0, GPU_LEDGER_STRUCT_MAX);
	ledger_read(
	    &ledger->log, offset, to, size < GPU_LEDGER_STRUCT_MAX ? size : GPU_LEDGER_STRUCT_MAX);
}

/* Learns what counts of what a predecessor wrote. 1: something; 0; -ENOTRECOVERABLE, -ENOMEM. */
static int index_scan(struct gpu *gpu, struct gpu_ledger *ledger)
{
	struct virtio_gpu_ctrl_hdr *begin = gpu_command_buffer(gpu, GPU_LEDGER_STRUCT_MAX);
	uint32_t offset = 0, size = 0;
	int result;

	if (!begin)
		return -ENOMEM;
	while ((result = ledger_scan(&ledger->log, &offset, &size)) > 0) {
		struct ledger_record *record;
		uint32_t kept;

		gpu_ledger_read_struct(ledger, offset, size, begin);
		kept = kept_size(begin, size);
		if (kept && begin->type == VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID)
			kept = kept + GPU_UUID_SIZE <= size ? kept + GPU_UUID_SIZE : 0;
		if (!kept)
			return -ENOTRECOVERABLE;
		result = index_apply(ledger, begin, &record);
		if (result < 0)
			return result;
		if (result > 0 && record)
			ledger_adopt(&ledger->log, record, offset, kept);
	}
	if (result < 0)
		return -ENOTRECOVERABLE;
	return offset > 0;
}

static void ledger_finish(struct gpu_ledger *ledger)
{
	if (!ledger)
		return;
	index_empty(ledger);
	id_table_finish(&ledger->resources);
	id_table_finish(&ledger->contexts);
	ledger_close(&ledger->log);
	free(ledger);
}

int gpu_ledger_set(struct virtio_device *device, void *memory)
{
	struct gpu *gpu = gpu_from_device(device);
	bool has_state = gpu->resources.count || gpu->contexts.count;
	struct gpu_ledger *ledger;
	int result;

	ledger_finish(gpu->ledger);
	gpu->ledger = NULL;
	if (!memory)
		return 0;
	ledger = calloc(1, sizeof(*ledger));
	if (!ledger)
		return -ENOMEM;
	result = ledger_open(&ledger->log, memory, GPU_LEDGER_SIZE);
	if (result == 0)
		result = index_scan(gpu, ledger);
	if (result < 0) {
		ledger_finish(ledger);
		return result;
	}
	ledger->unread = result > 0;
	if (ledger->unread && has_state)
		device->impl->reset(
		    device); /* what the front end brings is the device's state now */
	else if (has_state)
		ledger_break(
		    &ledger->log, "the guest's objects were made before there was a ledger");
	gpu->ledger = ledger;
	return 0;
}
