/* SPDX-License-Identifier: MIT */
#include "xen/control_fields.h"

#include <string.h>

#define COUNTER(member, help)                                              \
	{                                                                  \
#member, offsetof(struct telemetry, counters.member), help \
	}
#define LEVEL(member, help)                                              \
	{                                                                \
#member, offsetof(struct telemetry, levels.member), help \
	}

const struct control_field control_counters[] = {
	COUNTER(commands, "Commands that the guest has given"),
	COUNTER(batches, "Batches in which they came, each by a kick or found in the queue"),
	COUNTER(errors, "Commands answered with an error"),
	COUNTER(refusals, "Commands refused because a limit was reached, or by the policy"),
	COUNTER(fences, "Fences that the guest has asked for"),
	COUNTER(submits, "Command streams submitted to the renderer"),
	COUNTER(command_bytes, "Bytes of command streams"),
	COUNTER(transfer_bytes, "Bytes that the guest has asked to transfer"),
	COUNTER(readback_bytes, "Bytes of pictures read back for displays"),
	COUNTER(log_lines, "Log lines that the guest has provoked"),
	COUNTER(log_suppressed, "Log lines that the guest has provoked and that were not written"),
	COUNTER(map_calls, "Calls that mapped memory of the guest"),
	COUNTER(unmap_calls, "Calls that unmapped memory of the guest"),
	COUNTER(copy_calls, "Calls that copied memory of the guest"),
	COUNTER(pages_mapped, "Pages of the guest that were mapped"),
	COUNTER(gpu_busy_ns, "Time with at least one fence pending"),
	COUNTER(throttled_ns, "Time that requests waited because a limit of time said so"),
	COUNTER(cpu_ns, "Processor time of the workers"),
	{ 0 },
};

const struct control_field control_levels[] = {
	LEVEL(resources, "Resources that the guest has"),
	LEVEL(contexts, "Rendering contexts that the guest has"),
	LEVEL(host_bytes, "Bytes of this domain that the guest's resources take"),
	LEVEL(backing_bytes, "Bytes of the guest that back its resources"),
	LEVEL(fences_pending, "Fences that are not signalled yet"),
	{ 0 },
};

uint64_t control_field_get(const struct control_field *field, const struct telemetry *telemetry)
{
	uint64_t value;

	memcpy(&value, (const char *)telemetry + field->offset, sizeof(value));
	return value;
}

void control_field_set(
    const struct control_field *field, struct telemetry *telemetry, uint64_t value)
{
	memcpy((char *)telemetry + field->offset, &value, sizeof(value));
}
