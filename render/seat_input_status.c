/* SPDX-License-Identifier: MIT */
/* What input has to say of itself. */
#include <json-c/json.h>

#include "render/seat_input_private.h"

void seat_input_get_stats(const struct seat_input *input, struct seat_input_stats *stats)
{
	*stats = input->stats;
	stats->latency_count = input->latency.count;
	stats->latency_p50_ns = telemetry_histogram_quantile(&input->latency, 500);
	stats->latency_p99_ns = telemetry_histogram_quantile(&input->latency, 990);
}

/* Takes @value over. False: it is NULL, for want of memory. */
static bool put(struct json_object *object, const char *key, struct json_object *value)
{
	if (value && json_object_object_add(object, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static bool put_count(struct json_object *object, const char *key, uint64_t count)
{
	return put(object, key, json_object_new_uint64(count));
}

static bool put_text(struct json_object *object, const char *key, const char *text)
{
	return put(object, key, json_object_new_string(text));
}

static unsigned keys_down(const struct seat_device *device)
{
	unsigned count = 0;

	for (unsigned word = 0; word < SEAT_KEY_WORDS; word++)
		count += (unsigned)__builtin_popcountll(device->now.keys[word]);
	return count;
}

static bool describe_device(struct json_object *list, const struct seat_device *device)
{
	struct json_object *object = json_object_new_object();

	if (object && put_text(object, "guest", device->guest->name) &&
	    put_count(object, "device", device->number) &&
	    put_text(object, "kind", seat_input_kind_name(device->kind)) &&
	    put(object, "connected", json_object_new_boolean(device->fd >= 0)) &&
	    put_count(object, "frames", device->frames) &&
	    put_count(object, "lost", device->lost_frames) &&
	    put_count(object, "waiting_events", device->ring_count) &&
	    put_count(object, "down", keys_down(device)) &&
	    put_count(object, "leds", device->leds) && json_object_array_add(list, object) == 0)
		return true;
	json_object_put(object);
	return false;
}

static bool describe_devices(struct json_object *object, const struct seat_input *input)
{
	struct json_object *list = json_object_new_array();

	if (!put(object, "devices", list))
		return false;
	for (unsigned i = 0; i < input->guest_count; i++) {
		const struct seat_guest *guest = input->guests[i];

		for (unsigned j = 0; j < SEAT_INPUT_DEVICES_MAX; j++)
			if (guest->devices[j] && !describe_device(list, guest->devices[j]))
				return false;
	}
	return true;
}

static bool describe_stats(struct json_object *object, const struct seat_input *input)
{
	struct seat_input_stats stats;

	seat_input_get_stats(input, &stats);
	return put_count(object, "frames", stats.frames) &&
	       put_count(object, "events", stats.events) && put_count(object, "lost", stats.lost) &&
	       put_count(object, "resyncs", stats.resyncs) &&
	       put_count(object, "dropped", stats.dropped) &&
	       put_count(object, "chords", stats.chords) &&
	       put_count(object, "latency_count", stats.latency_count) &&
	       put_count(object, "latency_p50_ns", stats.latency_p50_ns) &&
	       put_count(object, "latency_p99_ns", stats.latency_p99_ns);
}

static bool describe_pointer(struct json_object *object, const struct seat_input *input)
{
	struct json_object *pointer = json_object_new_object();

	return put(object, "pointer", pointer) &&
	       put(pointer, "x", json_object_new_double(input->pointer.x)) &&
	       put(pointer, "y", json_object_new_double(input->pointer.y));
}

struct json_object *seat_input_describe(const struct seat_input *input)
{
	struct json_object *object = json_object_new_object();
	bool done = object && (!input->focus || put_text(object, "focus", input->focus->name));

	if (done && describe_pointer(object, input) && describe_stats(object, input) &&
	    describe_devices(object, input))
		return object;
	json_object_put(object);
	return NULL;
}
