/* SPDX-License-Identifier: MIT */
#include "tools/ctl_snapshot.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/capset.h"
#include "tools/ctl.h"
#include "tools/ctl_process.h"
#include "xen/control_fields.h"

/* ----------------------------------------------------------------------- JSON */

/* What is not there is 0, and so is what is no number. */
static uint64_t get_number(struct json_object *object, const char *member)
{
	struct json_object *value;

	return json_object_object_get_ex(object, member, &value) ? json_object_get_uint64(value)
								 : 0;
}

/* Copies a text; a terminal may be what it ends on, so control characters become '?'. */
static void get_text(struct json_object *object, const char *member, char *text, size_t size)
{
	struct json_object *value;

	text[0] = '\0';
	if (json_object_object_get_ex(object, member, &value) &&
	    json_object_is_type(value, json_type_string))
		snprintf(text, size, "%s", json_object_get_string(value));
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}

/* NULL where there is none. */
static struct json_object *get(struct json_object *object, const char *member, enum json_type type)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, member, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

static size_t length_of(struct json_object *array)
{
	return array ? json_object_array_length(array) : 0;
}

static void parse_histogram(struct json_object *json, struct telemetry_histogram *histogram)
{
	struct json_object *buckets = get(json, "buckets", json_type_array), *pair;

	histogram->count = get_number(json, "count");
	histogram->sum_ns = get_number(json, "sum_ns");
	for (size_t i = 0; i < length_of(buckets); i++) {
		uint64_t below, count;

		pair = json_object_array_get_idx(buckets, i);
		if (!json_object_is_type(pair, json_type_array) || length_of(pair) != 2)
			continue;
		below = json_object_get_uint64(json_object_array_get_idx(pair, 0));
		count = json_object_get_uint64(json_object_array_get_idx(pair, 1));
		/* 0: no bound, the last bucket */
		histogram->buckets[below >= 1000 ? telemetry_histogram_bucket(below - 1000)
						 : TELEMETRY_BUCKETS - 1] = count;
	}
}

static void parse_fields(
    struct json_object *json, const struct control_field *fields, struct telemetry *telemetry)
{
	for (; fields->name; fields++)
		control_field_set(fields, telemetry, get_number(json, fields->name));
}

static void parse_output(struct json_object *json, struct telemetry *telemetry)
{
	uint64_t index = get_number(json, "output");
	struct telemetry_output *output;

	if (index >= TELEMETRY_OUTPUTS)
		return;
	output = &telemetry->outputs[index];
	output->on = json_object_get_boolean(get(json, "on", json_type_boolean));
	output->width = get_number(json, "width");
	output->height = get_number(json, "height");
	output->refresh = get_number(json, "refresh_mhz");
	output->flushes = get_number(json, "flushes");
	output->frames = get_number(json, "frames");
	output->on_since_ns = get_number(json, "on_since_ns");
	output->last_flush_ns = get_number(json, "last_flush_ns");
	output->last_frame_ns = get_number(json, "last_frame_ns");
	parse_histogram(get(json, "intervals", json_type_object), &output->intervals);
	if (telemetry->outputs_count <= index)
		telemetry->outputs_count = index + 1;
}

static void parse_commands(struct json_object *json, struct telemetry *telemetry)
{
	for (unsigned i = 0; i < TELEMETRY_COMMANDS; i++)
		telemetry->by_type[i] =
		    get_number(json, telemetry_command_name(telemetry_command_type(i)));
}

static void parse_worker(struct json_object *json, struct telemetry *telemetry)
{
	struct json_object *list = get(json, "capsets", json_type_array);
	uint32_t mask;

	telemetry->workers = get_number(json, "workers");
	telemetry->started_ns = get_number(json, "started_ns");
	telemetry->busy_since_ns = get_number(json, "busy_since_ns");
	telemetry->gpu_since_ns = get_number(json, "gpu_since_ns");
	for (size_t i = 0; i < length_of(list); i++)
		if (!capset_parse(
			json_object_get_string(json_object_array_get_idx(list, i)), &mask))
			telemetry->capsets |= mask;
	parse_fields(get(json, "counters", json_type_object), control_counters, telemetry);
	parse_fields(get(json, "levels", json_type_object), control_levels, telemetry);
	parse_commands(get(json, "commands", json_type_object), telemetry);
	parse_histogram(get(json, "fence_latency", json_type_object), &telemetry->fence_latency);
	list = get(json, "outputs", json_type_array);
	for (size_t i = 0; i < length_of(list); i++)
		parse_output(json_object_array_get_idx(list, i), telemetry);
}

static void parse_device(
    struct json_object *guest, struct json_object *json, struct ctl_device *device)
{
	char display[16];

	device->json = json;
	get_text(guest, "name", device->guest, sizeof(device->guest));
	device->domid = (unsigned)get_number(guest, "domid");
	device->devid = (unsigned)get_number(json, "devid");
	get_text(json, "state", device->state, sizeof(device->state));
	get_text(json, "trouble", device->trouble, sizeof(device->trouble));
	get_text(json, "last_death", device->last_death, sizeof(device->last_death));
	device->pid = (int)get_number(json, "pid");
	device->deaths = get_number(json, "deaths");
	device->replacements = get_number(json, "replacements");
	device->hangs = get_number(json, "hangs");
	device->freezes = get_number(json, "freezes");
	device->reads = get_number(json, "reads");
	device->writes = get_number(json, "writes");
	device->kicks = get_number(json, "kicks");
	device->interrupts = get_number(json, "interrupts");
	get_text(json, "kind", device->kind, sizeof(device->kind));
	get_text(json, "display", display, sizeof(display));
	device->for_seat = !strcmp(display, "seat");
	device->at_seat = json_object_get_boolean(get(json, "at_seat", json_type_boolean));
	parse_worker(get(json, "worker", json_type_object), &device->telemetry);
}

static bool is_input(struct json_object *device)
{
	char type[8];

	get_text(device, "type", type, sizeof(type));
	return !strcmp(type, "input");
}

static size_t count_devices(struct json_object *guests)
{
	size_t count = 0;

	for (size_t i = 0; i < length_of(guests); i++)
		count += length_of(
		    get(json_object_array_get_idx(guests, i), "devices", json_type_array));
	return count;
}

int ctl_snapshot_parse(struct ctl_snapshot *snapshot, struct json_object *json)
{
	struct json_object *guests = get(json, "guests", json_type_array);

	*snapshot = (struct ctl_snapshot){ .json = json };
	if (!guests)
		goto error;
	snapshot->devices = calloc(count_devices(guests) + 1, sizeof(*snapshot->devices));
	snapshot->inputs = calloc(count_devices(guests) + 1, sizeof(*snapshot->inputs));
	if (!snapshot->devices || !snapshot->inputs)
		goto error;
	snapshot->now_ns = get_number(json, "now_ns");
	snapshot->started_ns = get_number(json, "started_ns");
	snapshot->pid = (int)get_number(json, "pid");
	get_text(json, "version", snapshot->version, sizeof(snapshot->version));
	for (size_t i = 0; i < length_of(guests); i++) {
		struct json_object *guest = json_object_array_get_idx(guests, i);
		struct json_object *devices = get(guest, "devices", json_type_array);

		for (size_t k = 0; k < length_of(devices); k++) {
			struct json_object *device = json_object_array_get_idx(devices, k);

			parse_device(guest, device,
			    is_input(device) ? &snapshot->inputs[snapshot->input_count++]
					     : &snapshot->devices[snapshot->count++]);
		}
	}
	return 0;

error:
	ctl_snapshot_finish(snapshot);
	return guests ? -ENOMEM : -EPROTO;
}

void ctl_snapshot_finish(struct ctl_snapshot *snapshot)
{
	json_object_put(snapshot->json);
	free(snapshot->devices);
	free(snapshot->inputs);
	*snapshot = (struct ctl_snapshot){ 0 };
}

int ctl_snapshot_take(struct ctl_snapshot *snapshot, struct ctl_client *client, const char *guest)
{
	struct json_object *json;
	struct ctl_processes processes;
	int status = ctl_client_ask(client, ctl_client_request("status", guest), &json, NULL);

	*snapshot = (struct ctl_snapshot){ 0 };
	if (status)
		return status;
	if (ctl_snapshot_parse(snapshot, json) < 0) {
		fputs("gpudomctl: gpudomd's answer cannot be read\n", stderr);
		return CTL_EXIT_ERROR;
	}
	ctl_processes_read(&processes);
	for (size_t i = 0; i < snapshot->count; i++)
		snapshot->devices[i].resident_bytes =
		    ctl_processes_resident(&processes, snapshot->devices[i].pid);
	ctl_processes_finish(&processes);
	return 0;
}

const struct ctl_device *ctl_snapshot_find(
    const struct ctl_snapshot *snapshot, const struct ctl_device *device)
{
	for (size_t i = 0; i < snapshot->count; i++)
		if (snapshot->devices[i].domid == device->domid &&
		    snapshot->devices[i].devid == device->devid)
			return &snapshot->devices[i];
	return NULL;
}

/* ------------------------------------------------------------------------ text */

void ctl_device_title(const struct ctl_device *device, char *title, size_t size)
{
	char number[24] = "";

	if (device->devid)
		snprintf(number, sizeof(number), "/%u", device->devid);
	if (device->guest[0])
		snprintf(title, size, "%s%s", device->guest, number);
	else
		snprintf(title, size, "domain %u%s", device->domid, number);
}

void ctl_device_outputs(const struct ctl_device *device, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < device->telemetry.outputs_count && used < size; i++) {
		const struct telemetry_output *output = &device->telemetry.outputs[i];
		char refresh[24] = "";

		if (output->refresh)
			snprintf(refresh, sizeof(refresh), "@%.4g", (double)output->refresh / 1000);
		if (output->on)
			used += (size_t)snprintf(text + used, size - used, "%s%llux%llu%s",
			    used ? "," : "", (unsigned long long)output->width,
			    (unsigned long long)output->height, refresh);
		else
			used +=
			    (size_t)snprintf(text + used, size - used, "%soff", used ? "," : "");
	}
}

bool ctl_device_has_3d(const struct ctl_device *device)
{
	return device->telemetry.capsets != 0;
}

/* ----------------------------------------------------------------------- rates */

static uint64_t risen(uint64_t before, uint64_t now)
{
	return now > before ? now - before : 0;
}

static uint64_t frames_of(const struct ctl_device *device)
{
	uint64_t frames = 0;

	for (unsigned i = 0; i < TELEMETRY_OUTPUTS; i++)
		frames += device->telemetry.outputs[i].frames;
	return frames;
}

static uint64_t bytes_of(const struct ctl_device *device)
{
	const struct telemetry_counters *counters = &device->telemetry.counters;

	return counters->command_bytes + counters->transfer_bytes + counters->readback_bytes;
}

void ctl_device_rates(const struct ctl_device *before, const struct ctl_device *now,
    uint64_t elapsed_ns, struct ctl_rates *rates)
{
	const struct telemetry_counters *was, *is = &now->telemetry.counters;
	double second = 1e9 / (double)(elapsed_ns ? elapsed_ns : 1);
	struct telemetry_histogram fences = now->telemetry.fence_latency;

	*rates = (struct ctl_rates){ 0 };
	if (!before || !elapsed_ns)
		return;
	was = &before->telemetry.counters;
	rates->known = true;
	rates->frames = second * (double)risen(frames_of(before), frames_of(now));
	rates->commands = second * (double)risen(was->commands, is->commands);
	rates->bytes = second * (double)risen(bytes_of(before), bytes_of(now));
	rates->gpu = (double)risen(was->gpu_busy_ns, is->gpu_busy_ns) / (double)elapsed_ns;
	rates->cpu = (double)risen(was->cpu_ns, is->cpu_ns) / (double)elapsed_ns;
	telemetry_histogram_subtract(&fences, &before->telemetry.fence_latency);
	rates->fences = fences.count;
	rates->fence_p50_ns = telemetry_histogram_quantile(&fences, 500);
	rates->fence_p99_ns = telemetry_histogram_quantile(&fences, 990);
}
