/* SPDX-License-Identifier: MIT */
/*
 * What the device tells of itself in the telemetry (telemetry.h). What must be true while a command
 * is executed, or hangs, is stored as it happens; the rest at the end of a batch. The clock is read
 * for flushes, frames and fences that wait, not for commands.
 */
#include <errno.h>
#include <stdlib.h>

#include "backend/gpu_internal.h"

int gpu_telemetry_init(struct gpu *gpu, struct telemetry *telemetry)
{
	if (!telemetry)
		telemetry = gpu->own_telemetry = calloc(1, sizeof(*telemetry));
	if (!telemetry)
		return -ENOMEM;
	gpu->telemetry = telemetry;
	gpu->counted_before = telemetry->counters;
	telemetry->gpu_since_ns = 0;
	telemetry->outputs_count = gpu->scanout_count;
	telemetry->capsets = 0;
	for (uint32_t i = 0; i < gpu->capset_count; i++)
		telemetry->capsets |= UINT64_C(1) << gpu->capsets[i].id % 64;
	gpu_telemetry_publish(gpu);
	return 0;
}

void gpu_telemetry_finish(struct gpu *gpu)
{
	free(gpu->own_telemetry);
}

void gpu_telemetry_publish(struct gpu *gpu)
{
	const struct telemetry_counters *before = &gpu->counted_before;
	const struct gpu_statistics *statistics = &gpu->statistics;
	struct telemetry_counters *counters = &gpu->telemetry->counters;

	counters->commands = before->commands + statistics->commands;
	counters->batches = before->batches + statistics->batches;
	counters->errors = before->errors + statistics->errors;
	counters->fences = before->fences + statistics->fences;
	counters->throttled_ns = before->throttled_ns + statistics->throttled_ns;
	gpu->telemetry->levels = (struct telemetry_levels){
		.resources = gpu->resources.count,
		.contexts = gpu->contexts.count,
		.host_bytes = statistics->host_bytes,
		.backing_bytes = statistics->backing_bytes,
		.fences_pending = statistics->fences_pending,
	};
}

/* ---------------------------------------------------------------- commands */

void gpu_telemetry_begin(struct gpu *gpu, const struct gpu_command *command)
{
	struct telemetry_command *told = &gpu->telemetry->command;

	told->type = command->hdr.type;
	told->ctx_id = command->hdr.ctx_id;
	told->number = command->number;
	told->executing = 1;
}

void gpu_telemetry_end(struct gpu *gpu, const struct gpu_command *command)
{
	gpu->telemetry->command.executing = 0;
	gpu->telemetry->by_type[telemetry_command_index(command->hdr.type)]++;
}

void gpu_telemetry_transfer(struct gpu *gpu, const struct gpu_resource *resource, uint64_t pixels)
{
	const uint64_t most = resource->backing->size;

	gpu->telemetry->counters.transfer_bytes += pixels < most / 4 ? pixels * 4 : most;
}

/* ---------------------------------------------------------------- fences */

void gpu_telemetry_fence(struct gpu *gpu)
{
	if (gpu->busy_timelines++ == 0)
		gpu->telemetry->gpu_since_ns = telemetry_now();
}

static void gpu_telemetry_progress(struct gpu *gpu, uint64_t now)
{
	struct telemetry *telemetry = gpu->telemetry;

	telemetry->counters.gpu_busy_ns += now - telemetry->gpu_since_ns;
	telemetry->gpu_since_ns = gpu->busy_timelines ? now : 0;
}

void gpu_telemetry_retired(struct gpu *gpu, bool idle)
{
	gpu->busy_timelines -= idle;
	gpu_telemetry_progress(gpu, telemetry_now());
}

void gpu_telemetry_answered(struct gpu *gpu, const struct gpu_request *request)
{
	if (request->held_ns)
		telemetry_histogram_add(
		    &gpu->telemetry->fence_latency, telemetry_now() - request->held_ns);
}

/* ---------------------------------------------------------------- outputs */

void gpu_telemetry_modes(struct gpu *gpu)
{
	for (unsigned i = 0; i < gpu->scanout_count; i++)
		gpu->telemetry->outputs[i].refresh = gpu->modes[i].refresh;
}

void gpu_telemetry_scanout(struct gpu *gpu, unsigned index, uint32_t width, uint32_t height)
{
	struct telemetry_output *output = &gpu->telemetry->outputs[index];

	/* Between frames there is no interval while it is off. */
	if (!output->on) {
		output->last_frame_ns = 0;
		output->on_since_ns = telemetry_now();
	}
	output->on = width != 0;
	output->width = width;
	output->height = height;
}

void gpu_telemetry_flush(struct gpu *gpu, unsigned index)
{
	struct telemetry_output *output = &gpu->telemetry->outputs[index];

	output->flushes++;
	output->last_flush_ns = telemetry_now();
	gpu->unshown |= 1u << index;
}

static void gpu_telemetry_path(struct gpu *gpu, struct telemetry_output *output, unsigned index)
{
	int reason;

	if (!gpu->display->impl->get_path)
		return;
	output->path = gpu->display->impl->get_path(gpu->display, index, &reason);
	output->path_reason = (uint64_t)reason;
}

void gpu_telemetry_shown(struct gpu *gpu, unsigned index)
{
	struct telemetry_output *output = &gpu->telemetry->outputs[index];
	uint64_t now;

	if (!(gpu->unshown & 1u << index))
		return;
	gpu->unshown &= ~(1u << index);
	now = telemetry_now();
	if (output->last_frame_ns && now > output->last_frame_ns)
		telemetry_histogram_add(&output->intervals, now - output->last_frame_ns);
	output->last_frame_ns = now;
	output->frames++;
	gpu_telemetry_path(gpu, output, index);
}

void gpu_telemetry_copied(struct gpu *gpu, unsigned index, uint64_t bytes)
{
	gpu->telemetry->counters.readback_bytes += bytes;
	gpu->telemetry->outputs[index].copied_bytes += bytes;
}
