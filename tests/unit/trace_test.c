/* SPDX-License-Identifier: MIT */
/* The ring of trace events: its writer, its reader, which trusts nothing, and the file for
 * Perfetto.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/virtio_gpu.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/trace.h"
#include "tools/trace_json.h"

#include <cmocka.h>

struct setup {
	int fd;
	struct trace trace;
	struct trace_reader reader;
};

static int prepare(void **state)
{
	struct setup *setup = calloc(1, sizeof(*setup));

	setup->fd = trace_create_file();
	assert_true(setup->fd >= 0);
	*state = setup;
	return 0;
}

static int clean_up(void **state)
{
	struct setup *setup = *state;

	trace_stop(&setup->trace);
	trace_reader_finish(&setup->reader);
	close(setup->fd);
	free(setup);
	return 0;
}

static void load(struct setup *setup)
{
	trace_reader_finish(&setup->reader);
	assert_int_equal(trace_reader_init(&setup->reader, setup->fd, 0, UINT64_MAX), 0);
}

/* A slot as somebody wrote it who does not follow the rules */
static void forge(struct setup *setup, uint64_t slot, const struct trace_event *event)
{
	assert_int_equal(pwrite(setup->fd, event, sizeof(*event),
			     (off_t)(sizeof(struct trace_header) + slot * sizeof(*event))),
	    sizeof(*event));
}

static void forge_position(struct setup *setup, uint64_t position)
{
	assert_int_equal(
	    pwrite(setup->fd, &position, sizeof(position), offsetof(struct trace_header, position)),
	    sizeof(position));
}

/* ---------------------------------------------------------------- the writer */

static uint32_t never(void)
{
	fail();
	return 0;
}

static void nothing_is_evaluated_while_it_is_off(void **state)
{
	struct trace off = { 0 };

	assert_int_equal(trace_begin(NULL), 0);
	assert_int_equal(trace_begin(&off), 0);
	trace_end(NULL, 1, .type = TRACE_KICK, .arg = never());
	trace_end(&off, 1, .type = TRACE_KICK, .arg = never());
	trace_instant(&off, .type = TRACE_KICK, .arg = never());
	trace_stop(&off);
}

static void spans_come_back_as_they_were(void **state)
{
	struct setup *setup = *state;
	uint64_t begin;

	assert_int_equal(trace_start(&setup->trace, setup->fd), 0);
	begin = trace_begin(&setup->trace);
	assert_true(begin > 0);
	trace_end(&setup->trace, begin, .type = TRACE_RENDER, .request = 7, .head = 65535,
	    .queue = 1, .arg = VIRTIO_GPU_CMD_UPDATE_CURSOR, .value = UINT64_MAX);
	trace_instant(&setup->trace, .type = TRACE_WORKER_READY);
	/* What began before the trace did is nobody's */
	trace_end(&setup->trace, 0, .type = TRACE_FENCE, .arg = never());
	trace_end(&setup->trace, 1, .type = TRACE_FENCE);
	load(setup);
	assert_int_equal(setup->reader.count, 2);
	assert_int_equal(setup->reader.lost, 0);
	assert_int_equal(setup->reader.damaged, 0);
	const struct trace_event *events = setup->reader.events;
	assert_int_equal(events[0].type, TRACE_RENDER);
	assert_int_equal(events[0].begin_ns, begin);
	assert_true(events[0].end_ns >= begin);
	assert_int_equal(events[0].request, 7);
	assert_int_equal(events[0].head, 65535);
	assert_int_equal(events[0].queue, 1);
	assert_int_equal(events[0].arg, VIRTIO_GPU_CMD_UPDATE_CURSOR);
	assert_true(events[0].value == UINT64_MAX);
	assert_int_equal(events[1].type, TRACE_WORKER_READY);
	assert_int_equal(events[1].begin_ns, events[1].end_ns);
	assert_true(events[1].begin_ns >= events[0].end_ns);
}

static void the_newest_stay_and_the_lost_are_counted(void **state)
{
	struct setup *setup = *state;
	const uint64_t written = 2 * (uint64_t)TRACE_SLOTS + 100;

	assert_int_equal(trace_start(&setup->trace, setup->fd), 0);
	for (uint64_t i = 0; i < written; i++)
		trace_instant(&setup->trace, .type = TRACE_KICK, .value = i);
	load(setup);
	/* The oldest slot is the one that a writer may be at */
	assert_int_equal(setup->reader.count, TRACE_SLOTS - 1);
	assert_int_equal(setup->reader.lost, written - (TRACE_SLOTS - 1));
	for (size_t i = 0; i < setup->reader.count; i++)
		assert_int_equal(setup->reader.events[i].value, setup->reader.lost + i);
}

static void a_successor_goes_on(void **state)
{
	struct setup *setup = *state;

	assert_int_equal(trace_start(&setup->trace, setup->fd), 0);
	trace_instant(&setup->trace, .type = TRACE_KICK, .value = 1);
	trace_stop(&setup->trace);
	trace_instant(&setup->trace, .type = TRACE_KICK, .value = never());
	assert_int_equal(trace_start(&setup->trace, setup->fd), 0);
	trace_instant(&setup->trace, .type = TRACE_KICK, .value = 2);
	load(setup);
	assert_int_equal(setup->reader.count, 2);
	assert_int_equal(setup->reader.events[1].value, 2);
}

static void nobody_can_cut_it_short(void **state)
{
	struct setup *setup = *state;

	assert_int_equal(ftruncate(setup->fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(setup->fd, (off_t)TRACE_FILE_SIZE + 1), -1);
}

/* ---------------------------------------------------------------- hostile writers */

static void other_files_are_refused(void **state)
{
	struct setup *setup = *state;
	int fds[2], fd = memfd_create("x", MFD_CLOEXEC);
	uint32_t version = TRACE_VERSION + 1;

	assert_int_equal(trace_reader_init(&setup->reader, fd, 0, UINT64_MAX), -EPROTO);
	assert_int_equal(ftruncate(fd, (off_t)TRACE_FILE_SIZE), 0);
	assert_int_equal(trace_reader_init(&setup->reader, fd, 0, UINT64_MAX), -EPROTO);
	assert_int_equal(trace_start(&setup->trace, fd), -EPROTO);
	assert_false(trace_on(&setup->trace));
	close(fd);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(trace_reader_init(&setup->reader, fds[0], 0, UINT64_MAX), -EPROTO);
	assert_true(trace_start(&setup->trace, fds[0]) < 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(
	    pwrite(setup->fd, &version, sizeof(version), offsetof(struct trace_header, version)),
	    sizeof(version));
	assert_int_equal(trace_reader_init(&setup->reader, setup->fd, 0, UINT64_MAX), -EPROTO);
	assert_int_equal(trace_start(&setup->trace, setup->fd), -EPROTO);
}

static void what_cannot_be_is_dropped(void **state)
{
	struct setup *setup = *state;
	const struct trace_event good = { .begin_ns = 1000, .end_ns = 2000, .type = TRACE_KICK };
	struct trace_event bad[] = { good, good, good, good, good, good, good, good };
	const size_t count = sizeof(bad) / sizeof(bad[0]);

	bad[0].type = TRACE_NOTHING;
	bad[1].type = TRACE_TYPES;
	bad[2].type = UINT8_MAX;
	bad[3].begin_ns = 2001; /* ends before it begins */
	bad[4].begin_ns = 999;  /* before the trace */
	bad[5].end_ns = 2001;   /* in the future */
	bad[6].queue = 2;
	bad[7] =
	    (struct trace_event){ .begin_ns = 1000, .end_ns = 2000, .type = TRACE_FLIP, .arg = 16 };
	for (size_t i = 0; i < count; i++)
		forge(setup, i, &bad[i]);
	forge(setup, count, &good);
	forge_position(setup, count + 1);
	assert_int_equal(trace_reader_init(&setup->reader, setup->fd, 1000, 2000), 0);
	assert_int_equal(setup->reader.count, 1);
	assert_int_equal(setup->reader.damaged, count);
	assert_memory_equal(setup->reader.events, &good, sizeof(good));
}

static void a_wild_position_is_only_a_number(void **state)
{
	static const uint64_t positions[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63,
		TRACE_SLOTS - 1, TRACE_SLOTS, TRACE_SLOTS + 1 };
	struct setup *setup = *state;

	for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
		forge_position(setup, positions[i]);
		load(setup);
		assert_int_equal(setup->reader.count, 0);
		assert_int_equal(setup->reader.damaged, TRACE_SLOTS - 1);
		assert_int_equal(setup->reader.lost, positions[i] - (TRACE_SLOTS - 1));
		/* A writer goes on there, and wraps */
		assert_int_equal(trace_start(&setup->trace, setup->fd), 0);
		for (unsigned n = 0; n < 3; n++)
			trace_instant(&setup->trace, .type = TRACE_NOTHING);
	}
}

/* ---------------------------------------------------------------- the file for Perfetto */

static struct json_object *write_json(const struct trace_recording *recording)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *object;

	assert_int_equal(trace_json_write(file, recording), 0);
	fclose(file);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, text, (int)size);
	assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
	json_tokener_free(tokener);
	free(text);
	return object;
}

static const char *get_text(struct json_object *event, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(event, key, &value) ? json_object_get_string(value) : "";
}

static struct json_object *get_events(struct json_object *json)
{
	struct json_object *events;

	assert_true(json_object_object_get_ex(json, "traceEvents", &events));
	assert_true(json_object_is_type(events, json_type_array));
	return events;
}

/* The first event of this phase and name, which must be there */
static struct json_object *find(struct json_object *json, const char *phase, const char *name)
{
	struct json_object *events = get_events(json);

	for (size_t i = 0; i < json_object_array_length(events); i++) {
		struct json_object *event = json_object_array_get_idx(events, i);

		if (!strcmp(get_text(event, "ph"), phase) && !strcmp(get_text(event, "name"), name))
			return event;
	}
	fail_msg("there is no %s %s", phase, name);
	return NULL;
}

static void spans_and_names_are_in_the_file(void **state)
{
	static const char guest[] = "a\"b\\c\n\x01";
	struct trace_event events[] = {
		{ .begin_ns = 5000,
		    .end_ns = 6001,
		    .type = TRACE_RENDER,
		    .request = 3,
		    .arg = VIRTIO_GPU_CMD_SUBMIT_3D,
		    .value = VIRTIO_GPU_RESP_OK_NODATA },
		{ .begin_ns = 6001, .end_ns = 9000, .type = TRACE_FENCE, .ring = 2, .arg = 5 },
		{ .begin_ns = 6001, .end_ns = 9500, .type = TRACE_FLIP, .arg = 15 },
	};
	struct trace_event daemon_events[] = {
		{ .begin_ns = 4000,
		    .end_ns = 4500,
		    .type = TRACE_REGISTER_KICK,
		    .queue = 1,
		    .value = trace_device(9, 4) },
		/* another guest's */
		{ .begin_ns = 4000,
		    .end_ns = 4500,
		    .type = TRACE_IRQ,
		    .arg = 1,
		    .value = trace_device(8, 4) },
	};
	const struct trace_reader gpudomd = { .events = daemon_events, .count = 2 };
	const struct trace_source source = {
		.guest = guest, .domid = 9, .devid = 4, .worker = { .events = events, .count = 3 }
	};
	const struct trace_recording recording = { .from_ns = 1000,
		.to_ns = 10000,
		.sources = &source,
		.source_count = 1,
		.gpudomd = &gpudomd };
	struct json_object *json = write_json(&recording), *args, *event;
	char title[64];

	event = find(json, "M", "process_name");
	json_object_object_get_ex(event, "args", &args);
	snprintf(title, sizeof(title), "%s (domain 9, GPU 4)", guest);
	assert_string_equal(get_text(args, "name"), title);
	event = find(json, "X", "render");
	assert_string_equal(get_text(event, "ts"), "4.000");
	assert_string_equal(get_text(event, "dur"), "1.001");
	json_object_object_get_ex(event, "args", &args);
	assert_string_equal(get_text(args, "command"), "SUBMIT_3D");
	assert_string_equal(get_text(args, "request"), "3");
	assert_string_equal(get_text(find(json, "b", "fence, context 5 ring 2"), "ts"), "5.001");
	assert_string_equal(get_text(find(json, "e", "fence, context 5 ring 2"), "ts"), "8.000");
	assert_string_equal(get_text(find(json, "i", "flip"), "ts"), "8.500");
	assert_string_equal(get_text(find(json, "X", "kick"), "ts"), "3.000");
	for (size_t i = 0; i < json_object_array_length(get_events(json)); i++)
		assert_string_not_equal(
		    get_text(json_object_array_get_idx(get_events(json), i), "name"), "interrupt");
	json_object_put(json);
}

/* Whatever a ring holds, the file is well-formed. */
static void noise_becomes_a_file(void **state)
{
	struct setup *setup = *state;
	uint32_t random = 1;
	const uint64_t count = 5000;

	for (uint64_t i = 0; i < count; i++) {
		struct trace_event event;
		uint8_t *bytes = (uint8_t *)&event;

		for (size_t b = 0; b < sizeof(event); b++) {
			random = random * 1664525 + 1013904223;
			bytes[b] = (uint8_t)(random >> 24);
		}
		/* Most of it would be dropped otherwise */
		if (event.begin_ns > event.end_ns)
			event.begin_ns = event.end_ns;
		event.type %= TRACE_TYPES + 1;
		event.queue %= 3;
		event.arg %= i % 3 ? UINT32_MAX : 20;
		forge(setup, i, &event);
	}
	forge_position(setup, count);
	load(setup);
	assert_true(setup->reader.count > count / 2);
	assert_true(setup->reader.damaged > 0);
	const struct trace_source source = { .guest = "noise", .worker = setup->reader };
	const struct trace_recording recording = { .to_ns = UINT64_MAX,
		.sources = &source,
		.source_count = 1,
		.gpudomd = &setup->reader };
	struct json_object *json = write_json(&recording);
	assert_true(json_object_array_length(get_events(json)) > count / 2);
	json_object_put(json);
}

static void a_full_disk_is_an_error(void **state)
{
	FILE *file = fopen("/dev/full", "we");

	assert_non_null(file);
	assert_int_equal(trace_json_write(file, &(struct trace_recording){ 0 }), -EIO);
	fclose(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_evaluated_while_it_is_off),
		TEST(spans_come_back_as_they_were),
		TEST(the_newest_stay_and_the_lost_are_counted),
		TEST(a_successor_goes_on),
		TEST(nobody_can_cut_it_short),
		TEST(other_files_are_refused),
		TEST(what_cannot_be_is_dropped),
		TEST(a_wild_position_is_only_a_number),
		TEST(spans_and_names_are_in_the_file),
		TEST(noise_becomes_a_file),
		TEST(a_full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
