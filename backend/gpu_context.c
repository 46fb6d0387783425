/* SPDX-License-Identifier: MIT */
/* Contexts, their command streams, and the capability sets that say what those may be. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/checked.h"
#include "backend/gpu_internal.h"

struct gpu_context *gpu_context_find(struct gpu *gpu, uint32_t id)
{
	return (struct gpu_context *)id_table_find(&gpu->contexts, id);
}
_Static_assert(offsetof(struct gpu_context, entry) == 0, "an entry is its context");

static uint32_t no_such_context(struct gpu *gpu, const struct gpu_command *command)
{
	return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
	    "there is no context %u", command->hdr.ctx_id);
}

struct gpu_timeline *gpu_context_timeline(struct gpu_context *context, uint8_t ring_idx)
{
	struct gpu_timeline **timeline = &context->rings[ring_idx];

	if (!*timeline) {
		*timeline = malloc(sizeof(**timeline));
		if (!*timeline)
			return NULL;
		gpu_timeline_init(*timeline,
		    &(struct renderer_timeline){
			.ctx_id = context->entry.id, .ring_idx = ring_idx },
		    &context->work);
		/* What was submitted before the first fence is waited for, too */
		(*timeline)->fenced_work = 0;
	}
	return *timeline;
}

/* The renderer knows it no more. */
static void context_release(struct gpu *gpu, struct gpu_context *context)
{
	id_table_remove(&gpu->contexts, context->entry.id);
	gpu_attachment_release_context(gpu, context);
	for (unsigned i = 0; i < GPU_RINGS_MAX; i++) {
		if (context->rings[i])
			gpu_timeline_finish(gpu, context->rings[i]);
		free(context->rings[i]);
	}
	free(context);
}

void gpu_context_reset(struct gpu *gpu)
{
	struct id_entry *entry;

	while ((entry = id_table_any(&gpu->contexts)))
		context_release(gpu, (struct gpu_context *)entry);
}

/* Is this capability set on offer? "If the lower 8-bits of the context_init are zero, then the
 * type of the context is determined by the device." */
static bool capset_offered(const struct gpu *gpu, uint32_t id)
{
	for (uint32_t i = 0; i < gpu->capset_count; i++) {
		if (gpu->capsets[i].id == id)
			return true;
	}
	return id == 0;
}

/* The driver's name for its context, for our log: bounded and printable. */
static void name_copy(char to[64], const struct virtio_gpu_ctx_create *request)
{
	size_t length = request->nlen < 63 ? request->nlen : 63;

	memcpy(to, request->debug_name, length);
	to[length] = '\0';
	for (char *c = to; *c; c++) {
		if (!isascii((unsigned char)*c) || !isprint((unsigned char)*c))
			*c = '?';
	}
}

uint32_t gpu_ctx_create(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_ctx_create *request = command->data;
	uint32_t id = command->hdr.ctx_id, capset_id = 0;
	struct gpu_context *context;
	char name[64];
	int error;

	if (id == 0 || gpu_context_find(gpu, id))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID,
		    "id %u is %s", id, id ? "in use" : "not allowed");
	/* "If VIRTIO_GPU_F_CONTEXT_INIT is supported, then lower 8 bits of context_init MAY contain
	 * the capset_id associated with context." */
	if (gpu->features & GPU_FEATURE(CONTEXT_INIT))
		capset_id = request->context_init & VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK;
	if (!capset_offered(gpu, capset_id))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "capability set %u is not offered", capset_id);
	if (gpu->contexts.count >= gpu->limits.contexts)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY,
		    "there are %u contexts already, the quota", gpu->limits.contexts);
	context = calloc(1, sizeof(*context));
	if (!context || id_table_insert(&gpu->contexts, &context->entry, id) < 0) {
		free(context);
		return gpu_command_fail(gpu, command, -ENOMEM, "no memory");
	}
	name_copy(name, request);
	error = gpu->renderer->impl->create_context(gpu->renderer, id, capset_id, name);
	if (error < 0) {
		context_release(gpu, context);
		return gpu_command_fail(gpu, command, error, "the renderer made no context");
	}
	/* cppcheck-suppress memleak ; the table has it */
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_ctx_destroy(struct gpu *gpu, struct gpu_command *command)
{
	struct gpu_context *context = gpu_context_find(gpu, command->hdr.ctx_id);

	if (!context)
		return no_such_context(gpu, command);
	gpu->renderer->impl->destroy_context(gpu->renderer, context->entry.id);
	context_release(gpu, context);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_submit_3d(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_cmd_submit *request = command->data;
	struct gpu_context *context = gpu_context_find(gpu, command->hdr.ctx_id);
	int error;

	if (!context)
		return no_such_context(gpu, command);
	if (request->size % 4 || !range_inside(sizeof(*request), request->size, command->size))
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "size %u is not a multiple of 4, or more than its %llu bytes hold",
		    request->size, (unsigned long long)command->size);
	if (request->size == 0) /* Linux: only for its fence */
		return VIRTIO_GPU_RESP_OK_NODATA;
	gpu->telemetry->counters.submits++;
	gpu->telemetry->counters.command_bytes += request->size;
	gpu->work++;
	context->work++;
	/* The renderer may use the copy as it likes: it is ours, and not read again */
	error = gpu->renderer->impl->submit(gpu->renderer, context->entry.id,
	    (char *)command->data + sizeof(*request), request->size);
	if (error < 0)
		return gpu_command_fail(gpu, command, error, "the renderer refused");
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---------------------------------------------------------------- capability sets */

void gpu_capsets_init(struct gpu *gpu)
{
	struct renderer *renderer = gpu->renderer;

	if (!renderer->has_3d)
		return;
	for (uint32_t i = 0; gpu->capset_count < GPU_CAPSETS_MAX; i++) {
		struct gpu_capset *capset = &gpu->capsets[gpu->capset_count];

		if (renderer->impl->get_capset_info(
			renderer, i, &capset->id, &capset->max_version, &capset->max_size) < 0)
			break;
		if (capset->max_size <= GPU_CAPSET_SIZE_MAX)
			gpu->capset_count++;
		else
			log_error(
			    "gpu: the renderer's capability set %u of %u bytes is not offered",
			    capset->id, capset->max_size);
	}
}

uint32_t gpu_get_capset_info(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_get_capset_info *request = command->data;
	struct virtio_gpu_resp_capset_info *response;

	if (request->capset_index >= gpu->capset_count)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "index %u; there are %u capability sets", request->capset_index,
		    gpu->capset_count);
	response = gpu_command_respond(gpu, command, sizeof(*response));
	if (!response)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	response->capset_id = gpu->capsets[request->capset_index].id;
	response->capset_max_version = gpu->capsets[request->capset_index].max_version;
	response->capset_max_size = gpu->capsets[request->capset_index].max_size;
	return VIRTIO_GPU_RESP_OK_CAPSET_INFO;
}

uint32_t gpu_get_capset(struct gpu *gpu, struct gpu_command *command)
{
	const struct virtio_gpu_get_capset *request = command->data;
	struct virtio_gpu_resp_capset *response;
	const struct gpu_capset *capset = NULL;
	int error;

	for (uint32_t i = 0; i < gpu->capset_count && !capset; i++) {
		if (gpu->capsets[i].id == request->capset_id)
			capset = &gpu->capsets[i];
	}
	if (!capset || request->capset_version > capset->max_version)
		return gpu_command_refuse(gpu, command, VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER,
		    "version %u of capability set %u is not offered", request->capset_version,
		    request->capset_id);
	response =
	    gpu_command_respond(gpu, command, (uint32_t)sizeof(*response) + capset->max_size);
	if (!response)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	error = gpu->renderer->impl->get_capset(
	    gpu->renderer, capset->id, request->capset_version, response->capset_data);
	if (error < 0)
		return gpu_command_fail(gpu, command, error, "the renderer refused");
	return VIRTIO_GPU_RESP_OK_CAPSET;
}
