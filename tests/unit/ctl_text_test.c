/* SPDX-License-Identifier: MIT */
/* What gpudomctl makes of gpudomd's numbers: there and back through JSON, tables, top, metrics. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/capset.h"
#include "tests/unit/metrics_parser.h"
#include "tools/ctl_metrics_text.h"
#include "tools/ctl_snapshot.h"
#include "tools/ctl_status_text.h"
#include "tools/ctl_text.h"
#include "tools/ctl_top_text.h"
#include "xen/control_fields.h"
#include "xen/control_private.h"

/* After what it needs. */
#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

/* -------------------------------------------------------------------- fixtures */

static struct json_object *add_guest(
    struct json_object *status, const char *name, int domid, const char *state)
{
	struct json_object *guest = json_object_new_object(), *devices = json_object_new_array();
	struct json_object *device = json_object_new_object();

	control_add_text(guest, "name", name);
	control_add_number(guest, "domid", (uint64_t)domid);
	control_add_number(device, "devid", 0);
	control_add_text(device, "state", state);
	json_object_array_add(devices, device);
	json_object_object_add(guest, "devices", devices);
	json_object_array_add(json_object_object_get(status, "guests"), guest);
	return device;
}

static struct json_object *make_status(uint64_t now_ns)
{
	struct json_object *status = json_object_new_object();

	control_add_number(status, "now_ns", now_ns);
	control_add_number(status, "started_ns", SECOND);
	control_add_number(status, "pid", 811);
	control_add_text(status, "version", "0.1");
	json_object_object_add(status, "guests", json_object_new_array());
	return status;
}

/* A worker at full speed for @seconds. */
static struct telemetry busy_worker(uint64_t seconds)
{
	struct telemetry t = {
		.workers = 1,
		.started_ns = 2 * SECOND,
		.capsets = 1u << CAPSET_VIRGL2,
		.command = { .type = 0x207, .ctx_id = 3, .number = 1234 },
		.outputs_count = 2,
	};

	t.outputs[0] = (struct telemetry_output){
		.on = 1,
		.width = 1280,
		.height = 720,
		.refresh = 60000,
		.flushes = 61 * seconds,
		.frames = 60 * seconds,
	};
	t.counters.commands = 2000 * seconds;
	t.counters.command_bytes = 1024 * 1024 * seconds;
	t.counters.gpu_busy_ns = SECOND / 4 * seconds;
	t.counters.cpu_ns = SECOND / 2 * seconds;
	t.levels.host_bytes = 8 << 20;
	for (unsigned i = 0; i < 100 * seconds; i++) {
		telemetry_histogram_add(&t.fence_latency, i % 50 ? 1200000 : 9000000);
		telemetry_histogram_add(&t.outputs[0].intervals, 16700000);
	}
	return t;
}

/* Three guests; the first is busy, the second blocked, the third has no name. */
static void make_snapshot(struct ctl_snapshot *snapshot, uint64_t seconds)
{
	struct json_object *status = make_status((10 + seconds) * SECOND), *device, *limits;
	struct telemetry telemetry = busy_worker(seconds);

	device = add_guest(status, "clock", 2, "serving");
	control_add_number(device, "pid", 4711);
	limits = json_object_new_object();
	control_add_number(limits, "host_bytes", UINT64_C(4) << 30);
	control_add_number(limits, "fences", 4096);
	control_add_number(limits, "frame_rate", 60);
	control_add_number(limits, "gpu_time", 0);
	json_object_object_add(device, "limits", limits);
	json_object_object_add(device, "worker", control_describe_telemetry(&telemetry));
	device = add_guest(status, "evil\033[2J\"\\", 3, "blocked");
	control_add_number(device, "deaths", 5);
	control_add_text(device, "trouble",
	    "its worker has died 5 times within 60 s; gpudomctl "
	    "unblock evil lets it go on.");
	add_guest(status, "", 7, "starting");
	assert_int_equal(ctl_snapshot_parse(snapshot, status), 0);
	assert_int_equal(snapshot->count, 3);
	snapshot->devices[0].resident_bytes = 61 << 20;
}

/* What @call writes to a file that is called out, to be freed. */
#define CAPTURE(text, call)                                  \
	do {                                                 \
		size_t size_;                                \
		FILE *out = open_memstream(&(text), &size_); \
		assert_non_null(out);                        \
		call;                                        \
		fclose(out);                                 \
	} while (0)

static void assert_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);
	size_t length = strlen(line);

	if (!at || (at != text && at[-1] != '\n') || at[length] != '\n')
		fail_msg("no line '%s' in:\n%s", line, text);
}

/* ---------------------------------------------------------------------- numbers */

static void numbers_are_short(void **state)
{
	static const struct {
		uint64_t value;
		const char *bytes, *ns;
	} cases[] = {
		{ 0, "-", "-" },
		{ 1, "1", "0.0 us" },
		{ 999, "999", "1.0 us" },
		{ 1000, "1.0K", "1.0 us" },
		{ 85000, "83K", "85 us" },
		{ 999600, "976K", "1.0 ms" },
		{ 1200000, "1.1M", "1.2 ms" },
		{ 61 << 20, "61M", "64 ms" },
		{ 3500000000, "3.3G", "3.5 s" },
		{ 420 * SECOND, "391G", "7 min" },
		{ 3 * 86400 * SECOND, "236T", "3 d" },
		{ UINT64_MAX, "16E", "213504 d" },
	};
	char text[CTL_NUMBER_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ctl_format_bytes(cases[i].value, text);
		assert_string_equal(text, cases[i].bytes);
		ctl_format_ns(cases[i].value, text);
		assert_string_equal(text, cases[i].ns);
	}
	ctl_format_count(0, text);
	assert_string_equal(text, "0");
	ctl_format_count(7.46, text);
	assert_string_equal(text, "7.5");
	ctl_format_count(59.8, text);
	assert_string_equal(text, "60");
	ctl_format_count(999.6, text);
	assert_string_equal(text, "1.0k");
	ctl_format_count(1234567, text);
	assert_string_equal(text, "1.2M");
	ctl_format_count(1e300, text);
}

static void tables_align_and_are_cut(void **state)
{
	static const struct ctl_column columns[] = { { "NAME", false }, { "N", true },
		{ "X", false } };
	struct ctl_table table;
	char *text = NULL;

	ctl_table_init(&table, columns, 3);
	assert_int_equal(ctl_table_add_row(&table), 0);
	ctl_table_set(&table, 0, CTL_PLAIN, "K\u00fcche");
	ctl_table_set(&table, 1, CTL_RED, "%d", 17);
	assert_int_equal(ctl_table_add_row(&table), 0);
	ctl_table_set(&table, 0, CTL_PLAIN, "clock");
	ctl_table_set(&table, 1, CTL_PLAIN, "5");
	ctl_table_set(&table, 2, CTL_PLAIN, "y");
	CAPTURE(text, ctl_table_print(&table, out, false, 0, ""));
	assert_string_equal(text, "NAME    N  X\nK\u00fcche  17  \nclock   5  y\n");
	free(text);
	CAPTURE(text, ctl_table_print(&table, out, true, 8, "|"));
	assert_string_equal(text, "\033[1mNAME\033[0m    |\nK\u00fcche  \033[1;31m1\033[0m|\n"
				  "clock   |\n");
	free(text);
	ctl_table_finish(&table);
}

/* ----------------------------------------------------------------- there and back */

static void all_numbers_survive_json(void **state)
{
	struct json_object *status = make_status(SECOND),
			   *device = add_guest(status, "a", 1, "serving");
	static struct telemetry before, *after;
	uint64_t *words = (uint64_t *)&before;
	struct ctl_snapshot snapshot;
	uint64_t value = 1;

	for (const struct control_field *f = control_counters; f->name; f++)
		control_field_set(f, &before, value += 3);
	for (const struct control_field *f = control_levels; f->name; f++)
		control_field_set(f, &before, value += 3);
	for (unsigned i = 0; i < TELEMETRY_COMMANDS; i++)
		before.by_type[i] = i % 3 ? value++ : 0;
	before.outputs_count = TELEMETRY_OUTPUTS;
	for (unsigned i = 0; i < TELEMETRY_OUTPUTS; i++) {
		struct telemetry_output *output = &before.outputs[i];

		for (words = &output->width; words <= &output->last_frame_ns; words++)
			*words = value++;
		output->on = i % 2;
		output->intervals.count = value;
		for (unsigned k = 0; k < TELEMETRY_BUCKETS; k++)
			output->intervals.buckets[k] = value++ % 5 ? value : 0;
	}
	before.workers = value++;
	before.started_ns = value++;
	before.busy_since_ns = value++;
	before.gpu_since_ns = value++;
	before.capsets = 1u << CAPSET_VIRGL | 1u << CAPSET_VENUS;
	json_object_object_add(device, "worker", control_describe_telemetry(&before));
	assert_int_equal(ctl_snapshot_parse(&snapshot, status), 0);
	after = &snapshot.devices[0].telemetry;
	assert_memory_equal(after, &before, sizeof(before));
	ctl_snapshot_finish(&snapshot);
}

/* Every counter is a number of its own: a member that was forgotten in the table would be lost. */
static void the_tables_know_all_numbers(void **state)
{
	unsigned counters = 0, levels = 0;

	while (control_counters[counters].name)
		counters++;
	while (control_levels[levels].name)
		levels++;
	assert_int_equal(counters * sizeof(uint64_t), sizeof(struct telemetry_counters));
	assert_int_equal(levels * sizeof(uint64_t), sizeof(struct telemetry_levels));
}

static void nonsense_is_no_snapshot(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"guests\":7}",
		"{\"guests\":[7,null,{\"devices\":7},{\"devices\":[1,{\"worker\":[]}]}]}",
		"{\"guests\":[{\"name\":{},\"devices\":[{\"devid\":\"x\",\"worker\":{\"outputs\":[7,"
		"{\"output\":16},{\"output\":-1},{\"output\":1,\"intervals\":{\"buckets\":[[1],[],7,"
		"[0,3],[-5,\"x\"],[18446744073709551615,1]]}}]}}]}]}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ctl_snapshot snapshot;
		int error = ctl_snapshot_parse(&snapshot, json_tokener_parse(texts[i]));
		char *text = NULL;

		assert_int_equal(error, i < 2 ? -71 : 0);
		if (error)
			continue;
		CAPTURE(text, ctl_print_status(out, NULL, &snapshot, false, 80));
		free(text);
		for (size_t k = 0; k < snapshot.count; k++) {
			CAPTURE(text,
			    ctl_print_device(out, NULL, &snapshot, &snapshot.devices[k], false));
			free(text);
		}
		ctl_snapshot_finish(&snapshot);
	}
}

/* ----------------------------------------------------------------------- status */

static void a_status_is_read_at_a_glance(void **state)
{
	struct ctl_snapshot before, now;
	char *text = NULL;

	make_snapshot(&before, 1);
	make_snapshot(&now, 2);
	CAPTURE(text, ctl_print_status(out, &before, &now, false, 0));
	assert_line(text,
	    "GUEST       DOMAIN  STATE     OUTPUTS          3D   FRAMES/S  FENCE P50     "
	    "P99  MEMORY  WORKER  DEATHS");
	assert_line(text,
	    "clock            2  serving   1280x720@60,off  yes        60     1.2 ms  "
	    "8.7 ms     61M    4711       0");
	assert_line(text,
	    "domain 7         7  starting  -                no          0          -  "
	    "     -       -       -       0");
	/* A name does nothing to the terminal. */
	assert_line(text,
	    "evil?[2J\"\\: its worker has died 5 times within 60 s; gpudomctl unblock "
	    "evil lets it go on.");
	assert_null(strchr(text, '\033'));
	free(text);
	/* Without a moment before, there are no rates. */
	CAPTURE(text, ctl_print_status(out, NULL, &now, false, 0));
	assert_line(text,
	    "clock            2  serving   1280x720@60,off  yes         -          -  "
	    "  -     61M    4711       0");
	free(text);
	CAPTURE(text, ctl_print_status(out, NULL, &now, true, 60));
	assert_non_null(strstr(text, "\033[32mserving\033[0m"));
	assert_non_null(strstr(text, "\033[1;31mblocked\033[0m"));
	free(text);
	ctl_snapshot_finish(&before);
	ctl_snapshot_finish(&now);
}

static void a_guest_in_detail(void **state)
{
	struct ctl_snapshot before, now;
	char *text = NULL;

	make_snapshot(&before, 1);
	make_snapshot(&now, 2);
	CAPTURE(text, ctl_print_device(out, &before, &now, &now.devices[0], false));
	assert_line(text, "clock (domain 2, GPU 0): serving");
	assert_line(text, "  worker                process 4711, memory 61M");
	assert_line(text, "  capability sets       virgl2");
	assert_line(
	    text, "  now                   60 frames/s, 2.0k commands/s, GPU 25 %, CPU 50 %");
	assert_line(text, "  fence latency         p50 1.2 ms, p99 8.7 ms (of 200)");
	assert_line(text, "  host bytes            8.0M of 4.0G");
	assert_line(text, "  fences pending        0 of 4096");
	assert_line(text, "  contexts              0");
	assert_line(text, "  cap: frames/s         60");
	assert_null(strstr(text, "cap: GPU"));
	assert_line(text, "  gpu busy              500 ms");
	assert_line(text, "  Output 0: 1280x720");
	assert_line(text, "    frames              120 shown of 122 flushes");
	free(text);
	ctl_snapshot_finish(&before);
	ctl_snapshot_finish(&now);
}

/* -------------------------------------------------------------------------- top */

static void top_sorts_and_fits(void **state)
{
	struct ctl_snapshot before, now;
	struct ctl_top_page page = { .before = &before, .now = &now, .order = CTL_TOP_CPU };
	char *text = NULL;

	make_snapshot(&before, 1);
	make_snapshot(&now, 2);
	CAPTURE(text, ctl_print_top(out, &page, false, 0, 0, ""));
	assert_line(text, "gpudomd 0.1, up 11 s; 3 GPUs, sorted by cpu");
	assert_line(text,
	    "GUEST       STATE     FRAMES/S  COMMANDS/S  BYTES/S  FENCE P50     P99  GPU "
	    "%  CPU %  MEMORY  PIXELS  BACKING");
	assert_line(text,
	    "clock       serving         60        2.0k     1.0M     1.2 ms  8.7 ms     "
	    "25     50     61M    8.0M        -");
	assert_true(strstr(text, "\nclock") < strstr(text, "\nevil"));
	free(text);
	/* Equals by their name, the nameless first */
	page.order = CTL_TOP_GUEST;
	CAPTURE(text, ctl_print_top(out, &page, false, 0, 0, ""));
	assert_true(strstr(text, "\ndomain 7") < strstr(text, "\nclock"));
	free(text);
	/* Five lines of a terminal: one guest */
	page.notice = "waiting";
	CAPTURE(text, ctl_print_top(out, &page, false, 40, 5, "$"));
	assert_non_null(strstr(text, "sorted by guest; waiting$\n"));
	assert_null(strstr(text, "clock"));
	free(text);
	ctl_snapshot_finish(&before);
	ctl_snapshot_finish(&now);
}

/* ---------------------------------------------------------------------- metrics */

static void metrics_are_well_formed(void **state)
{
	static struct metrics metrics;
	struct ctl_snapshot now;
	char *text = NULL;

	make_snapshot(&now, 2);
	CAPTURE(text, ctl_print_metrics(out, &now));
	metrics_parse(&metrics, text);
#define CLOCK "guest=\"clock\",domid=\"2\",gpu=\"0\""
	assert_true(metrics_get(&metrics, "gpudom_up", "") == 1);
	assert_true(metrics_get(&metrics, "gpudom_info", "version=\"0.1\"") == 1);
	assert_true(metrics_get(&metrics, "gpudom_state", CLOCK ",state=\"serving\"") == 1);
	assert_true(metrics_get(&metrics, "gpudom_state", CLOCK ",state=\"blocked\"") == 0);
	assert_true(metrics_get(&metrics, "gpudom_limit", CLOCK ",limit=\"fences\"") == 4096);
	assert_true(metrics_get(&metrics, "gpudom_commands_total", CLOCK) == 4000);
	assert_true(metrics_get(&metrics, "gpudom_gpu_busy_seconds_total", CLOCK) == 0.5);
	assert_true(metrics_get(&metrics, "gpudom_host_bytes", CLOCK) == 8 << 20);
	assert_true(
	    metrics_get(&metrics, "gpudom_output_frames_total", CLOCK ",output=\"0\"") == 120);
	assert_true(metrics_get(&metrics, "gpudom_output_on", CLOCK ",output=\"1\"") == 0);
	assert_true(metrics_get(&metrics, "gpudom_worker_deaths_total",
			"guest=\"evil?[2J\\\"\\\\\",domid=\"3\",gpu=\"0\"") == 5);
	assert_true(metrics_get(&metrics, "gpudom_fence_latency_seconds_bucket",
			CLOCK ",le=\"0.001024\"") == 0);
	assert_true(metrics_get(&metrics, "gpudom_fence_latency_seconds_bucket",
			CLOCK ",le=\"0.001536\"") == 196);
	assert_true(metrics_get(&metrics, "gpudom_fence_latency_seconds_bucket",
			CLOCK ",le=\"+Inf\"") == 200);
	assert_true(metrics_get(&metrics, "gpudom_fence_latency_seconds_count", CLOCK) == 200);
	assert_true(fabs(metrics_get(&metrics, "gpudom_fence_latency_seconds_sum", CLOCK) -
			 (196 * 0.0012 + 4 * 0.009)) < 1e-6);
	free(text);
	CAPTURE(text, ctl_print_metrics(out, NULL));
	metrics_parse(&metrics, text);
	assert_int_equal(metrics.count, 1);
	assert_true(metrics_get(&metrics, "gpudom_up", "") == 0);
	free(text);
	ctl_snapshot_finish(&now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_short),
		cmocka_unit_test(tables_align_and_are_cut),
		cmocka_unit_test(all_numbers_survive_json),
		cmocka_unit_test(the_tables_know_all_numbers),
		cmocka_unit_test(nonsense_is_no_snapshot),
		cmocka_unit_test(a_status_is_read_at_a_glance),
		cmocka_unit_test(a_guest_in_detail),
		cmocka_unit_test(top_sorts_and_fits),
		cmocka_unit_test(metrics_are_well_formed),
	};

	return cmocka_run_group_tests_name("gpudomctl: text", tests, NULL, NULL);
}
