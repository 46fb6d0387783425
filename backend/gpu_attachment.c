/* SPDX-License-Identifier: MIT */
/* Which resources are attached to which contexts: counted, as a renderer keeps something of each
 * pair. */
#include <errno.h>
#include <stdlib.h>

#include "backend/gpu_internal.h"

_Static_assert(offsetof(struct gpu_attachment, entry) == 0, "an entry is its attachment");

static struct gpu_attachment *attachment_find(struct gpu_context *context, uint32_t resource_id)
{
	return (struct gpu_attachment *)id_table_find(&context->attachments, resource_id);
}

static void attachment_release(struct gpu *gpu, struct gpu_attachment *attachment)
{
	id_table_remove(&attachment->context->attachments, attachment->entry.id);
	LIST_REMOVE(attachment, of_resource);
	gpu->statistics.attachments--;
	free(attachment);
}

void gpu_attachment_release_context(struct gpu *gpu, struct gpu_context *context)
{
	struct id_entry *entry;

	while ((entry = id_table_any(&context->attachments)))
		attachment_release(gpu, (struct gpu_attachment *)entry);
	id_table_finish(&context->attachments);
}

void gpu_attachment_release_resource(struct gpu *gpu, struct gpu_resource *resource)
{
	struct gpu_attachment *attachment, *next;

	for (attachment = LIST_FIRST(&resource->attachments); attachment; attachment = next) {
		next = LIST_NEXT(attachment, of_resource);
		attachment_release(gpu, attachment);
	}
}

/* The checks that CTX_ATTACH_RESOURCE and CTX_DETACH_RESOURCE share. */
static uint32_t attachment_check(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_context **context, struct gpu_resource **resource)
{
	const struct virtio_gpu_ctx_resource *request = command->data;

	*context = gpu_context_find(gpu, command->hdr.ctx_id);
	*resource = gpu_resource_find(gpu, request->resource_id);
	if (!*context)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
		    "there is no context %u", command->hdr.ctx_id);
	if (!*resource)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID,
		    "there is no resource %u", request->resource_id);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Counts a pair that is new; else *added is NULL. */
static uint32_t attachment_add(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_context *context, struct gpu_resource *resource, struct gpu_attachment **added)
{
	struct gpu_attachment *attachment = NULL;

	*added = NULL;
	if (attachment_find(context, resource->entry.id))
		return VIRTIO_GPU_RESP_OK_NODATA;
	if (gpu->statistics.attachments >= gpu->limits.attachments)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
		    "%u resources are attached to contexts already, the quota",
		    gpu->limits.attachments);
	attachment = malloc(sizeof(*attachment));
	if (!attachment ||
	    id_table_insert(&context->attachments, &attachment->entry, resource->entry.id) < 0) {
		free(attachment);
		return gpu_command_fail(gpu, command, -ENOMEM, "no memory");
	}
	attachment->context = context;
	LIST_INSERT_HEAD(&resource->attachments, attachment, of_resource);
	gpu->statistics.attachments++;
	*added = attachment;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_ctx_attach_resource(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_context *context;
	struct gpu_resource *resource;
	struct gpu_attachment *added;
	uint32_t type = attachment_check(gpu, command, &context, &resource);
	int error;

	if (type == VIRTIO_GPU_RESP_OK_NODATA)
		type = attachment_add(gpu, command, context, resource, &added);
	if (type != VIRTIO_GPU_RESP_OK_NODATA)
		return type;
	/* Also where it is attached: the renderer may have forgotten it, with a blob's pages */
	error = gpu->renderer->impl->attach_resource(
	    gpu->renderer, context->entry.id, resource->entry.id);
	if (error < 0) {
		if (added)
			attachment_release(gpu, added);
		return gpu_command_fail(gpu, command, error, "the renderer refused");
	}
	/* What contexts use the renderer may keep elsewhere. */
	if (added && resource->kind == GPU_RESOURCE_2D)
		gpu_scanout_renew(gpu, resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_ctx_detach_resource(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_context *context;
	struct gpu_resource *resource;
	struct gpu_attachment *attachment;
	uint32_t type = attachment_check(gpu, command, &context, &resource);

	if (type != VIRTIO_GPU_RESP_OK_NODATA)
		return type;
	attachment = attachment_find(context, resource->entry.id);
	if (!attachment)
		return VIRTIO_GPU_RESP_OK_NODATA;
	gpu->renderer->impl->detach_resource(gpu->renderer, context->entry.id, resource->entry.id);
	attachment_release(gpu, attachment);
	return VIRTIO_GPU_RESP_OK_NODATA;
}
