/* SPDX-License-Identifier: MIT */
/* What a worker tells of itself, as "status" has it. */
#include <json-c/json.h>
#include <string.h>

#include "backend/capset.h"
#include "backend/telemetry.h"
#include "tools/worker_sandbox.h"
#include "xen/control_fields.h"
#include "xen/control_private.h"

static void add_fields(struct json_object *object, const char *member,
    const struct control_field *fields, const struct telemetry *telemetry)
{
	struct json_object *numbers = json_object_new_object();

	for (; fields->name; fields++)
		control_add_number(numbers, fields->name, control_field_get(fields, telemetry));
	json_object_object_add(object, member, numbers);
}

static void add_histogram(
    struct json_object *object, const char *member, const struct telemetry_histogram *histogram)
{
	struct json_object *one = json_object_new_object(), *buckets = json_object_new_array();

	control_add_number(one, "count", histogram->count);
	control_add_number(one, "sum_ns", histogram->sum_ns);
	control_add_number(one, "p50_ns", telemetry_histogram_quantile(histogram, 500));
	control_add_number(one, "p99_ns", telemetry_histogram_quantile(histogram, 990));
	for (unsigned i = 0; i < TELEMETRY_BUCKETS; i++) {
		struct json_object *pair;
		uint64_t below = telemetry_histogram_below(i);

		if (!histogram->buckets[i])
			continue;
		pair = json_object_new_array();
		json_object_array_add(
		    pair, json_object_new_uint64(below == UINT64_MAX ? 0 : below));
		json_object_array_add(pair, json_object_new_uint64(histogram->buckets[i]));
		json_object_array_add(buckets, pair);
	}
	json_object_object_add(one, "buckets", buckets);
	json_object_object_add(object, member, one);
}

static void add_capsets(struct json_object *object, uint64_t mask)
{
	struct json_object *list = json_object_new_array();
	char names[CAPSET_NAMES_MAX], *rest = names, *name;

	capset_format((uint32_t)mask, names);
	while ((name = strsep(&rest, ", ")))
		if (*name && strcmp(name, "none") != 0)
			json_object_array_add(list, json_object_new_string(name));
	json_object_object_add(object, "capsets", list);
}

/* What contains the worker, or what of that it lacks. */
static void add_sandbox(struct json_object *object, const char *member, uint64_t bits)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} names[] = {
		{ WORKER_SANDBOX_USER_NS, "user-namespace" },
		{ WORKER_SANDBOX_MOUNT_NS, "mount-namespace" },
		{ WORKER_SANDBOX_NET_NS, "network-namespace" },
		{ WORKER_SANDBOX_IPC_NS, "ipc-namespace" },
		{ WORKER_SANDBOX_PID_NS, "pid-namespace" },
		{ WORKER_SANDBOX_UTS_NS, "uts-namespace" },
		{ WORKER_SANDBOX_CGROUP_NS, "cgroup-namespace" },
		{ WORKER_SANDBOX_EMPTY_ROOT, "empty-root" },
		{ WORKER_SANDBOX_NO_CAPABILITIES, "no-capabilities" },
		{ WORKER_SANDBOX_LIMITS, "limits" },
		{ WORKER_SANDBOX_NO_NEW_PRIVILEGES, "no-new-privileges" },
		{ WORKER_SANDBOX_SYSTEM_CALLS, "system-calls" },
	};
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (bits & names[i].bit)
			json_object_array_add(list, json_object_new_string(names[i].name));
	json_object_object_add(object, member, list);
}

static void add_command(struct json_object *object, const struct telemetry_command *command)
{
	struct json_object *one = json_object_new_object();

	control_add_text(one, "name", telemetry_command_name(command->type));
	control_add_number(one, "context", command->ctx_id);
	control_add_number(one, "number", command->number);
	json_object_object_add(one, "executing", json_object_new_boolean(command->executing == 1));
	json_object_object_add(object, "command", one);
}

static void add_commands(struct json_object *object, const struct telemetry *telemetry)
{
	struct json_object *numbers = json_object_new_object();

	for (unsigned i = 0; i < TELEMETRY_COMMANDS; i++)
		if (telemetry->by_type[i])
			control_add_number(numbers,
			    telemetry_command_name(telemetry_command_type(i)),
			    telemetry->by_type[i]);
	json_object_object_add(object, "commands", numbers);
}

static void add_outputs(struct json_object *object, const struct telemetry *telemetry)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < telemetry->outputs_count; i++) {
		const struct telemetry_output *output = &telemetry->outputs[i];
		struct json_object *one = json_object_new_object();

		control_add_number(one, "output", i);
		json_object_object_add(one, "on", json_object_new_boolean(output->on == 1));
		control_add_number(one, "width", output->width);
		control_add_number(one, "height", output->height);
		control_add_number(one, "refresh_mhz", output->refresh);
		control_add_number(one, "flushes", output->flushes);
		control_add_number(one, "frames", output->frames);
		control_add_number(one, "on_since_ns", output->on_since_ns);
		control_add_number(one, "last_flush_ns", output->last_flush_ns);
		control_add_number(one, "last_frame_ns", output->last_frame_ns);
		add_histogram(one, "intervals", &output->intervals);
		json_object_array_add(list, one);
	}
	json_object_object_add(object, "outputs", list);
}

struct json_object *control_describe_telemetry(const struct telemetry *telemetry)
{
	struct json_object *object = json_object_new_object();

	control_add_number(object, "workers", telemetry->workers);
	control_add_number(object, "started_ns", telemetry->started_ns);
	control_add_number(object, "busy_since_ns", telemetry->busy_since_ns);
	control_add_number(object, "gpu_since_ns", telemetry->gpu_since_ns);
	add_capsets(object, telemetry->capsets);
	add_sandbox(object, "sandbox", telemetry->sandbox);
	add_sandbox(object, "sandbox_lacks", ~telemetry->sandbox);
	if (telemetry->command.number)
		add_command(object, &telemetry->command);
	add_fields(object, "counters", control_counters, telemetry);
	add_fields(object, "levels", control_levels, telemetry);
	add_commands(object, telemetry);
	add_histogram(object, "fence_latency", &telemetry->fence_latency);
	add_outputs(object, telemetry);
	return object;
}
