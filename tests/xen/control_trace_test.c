/* SPDX-License-Identifier: MIT */
/* gpudomctl trace and log-level, over gpudomd's control socket, with a worker that writes its ring.
 */
#include "tests/xen/control_rig.h"
#include "tools/ctl.h"
#include "xen/tracing.h"

static char file_path[sizeof(control_dir) + 16];
static char socket_option[sizeof(control_path) + 16];
static char output[4096];

static int set_up_trace(void **state)
{
	set_up_control(state);
	snprintf(file_path, sizeof(file_path), "%s/trace.json", control_dir);
	snprintf(socket_option, sizeof(socket_option), "--control=%s", control_path);
	return 0;
}

static int tear_down_trace(void **state)
{
	unlink(file_path);
	return tear_down_control(state);
}

#define TRACE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_trace, tear_down_trace)

/* "gpudomctl trace ...": its exit status */
#define run_trace(rig, ...)                                                             \
	run_command((rig), ctl_trace,                                                   \
	    (const char *const[]){ "trace", socket_option, __VA_ARGS__, NULL }, output, \
	    sizeof(output))
#define run_log_level(rig, ...)                                                             \
	run_command((rig), ctl_log_level,                                                   \
	    (const char *const[]){ "log-level", socket_option, __VA_ARGS__, NULL }, output, \
	    sizeof(output))

/* The events of this name, and on this thread (0: any), in the file that was written */
static unsigned count_events(const char *name, int tid)
{
	struct json_object *json = json_object_from_file(file_path);
	struct json_object *events = json_object_object_get(json, "traceEvents");
	unsigned n = 0;

	assert_true(json_object_is_type(events, json_type_array));
	for (size_t i = 0; i < json_object_array_length(events); i++) {
		struct json_object *event = json_object_array_get_idx(events, i);

		n += !strcmp(get_text(event, "name"), name) &&
		     (!tid || get_number(event, "tid") == tid);
	}
	json_object_put(json);
	return n;
}

#define GPUDOMD 1
#define MONITOR 2
#define CONTROL_QUEUE 3

/* Requests, until one of them is in the worker's ring: it hears of the recording in its own time.
 */
static void serve_until_traced(struct rig *rig, unsigned kicks)
{
	for (unsigned i = 0;; i++) {
		assert_served(rig, 0, (uint8_t)i);
		assert_int_equal(run_trace(rig, "save", file_path), 0);
		if (count_events("kick", CONTROL_QUEUE) >= kicks)
			return;
		assert_true(i < 1000);
	}
}

static void a_recording_of_a_second(void **state)
{
	struct rig *rig = *state;
	struct json_object *json;

	start_guest(rig);
	bring_up(rig);
	assert_int_equal(run_trace(rig, "--seconds=1", file_path), 0);
	assert_non_null(strstr(output, "of 1 GPU\n"));
	assert_non_null(strstr(output, "clock (domain 2, GPU 0)"));
	assert_int_equal(count_events("process_name", 0), 1);
	json = json_object_from_file(file_path);
	assert_non_null(json);
	json_object_put(json);
	assert_false(daemon_tracing(rig->gpu_daemon)->on);
	/* It is in the file, and nowhere else */
	assert_int_equal(daemon_tracing(rig->gpu_daemon)->fd, -1);
	assert_int_equal(run_trace(rig, "save", file_path), 1);
	/* The next one begins with nothing */
	assert_int_equal(run_trace(rig, "--seconds=1", "clock", file_path), 0);
	assert_non_null(strstr(output, "clock (domain 2, GPU 0): 0 events\n"));
}

static void kicks_and_interrupts_of_both_sides(void **state)
{
	struct rig *rig = *state;
	struct stat status;

	start_guest(rig);
	bring_up(rig);
	assert_int_equal(run_trace(rig, "on"), 0);
	assert_true(daemon_tracing(rig->gpu_daemon)->on);
	serve_until_traced(rig, 1);
	/* gpudomd passes each kick on, and raises and lowers the line */
	assert_true(count_events("kick", GPUDOMD) >= 1);
	assert_true(count_events("interrupt", GPUDOMD) >= 1);
	assert_true(count_events("acknowledged", GPUDOMD) >= 1);
	assert_int_equal(
	    count_events("publish", CONTROL_QUEUE), count_events("interrupt", CONTROL_QUEUE));
	assert_true(count_events("map", 0) == 0);
	/* Another guest's recording takes nothing from it; off keeps what there was. */
	assert_int_equal(run_trace(rig, "on", "clock"), 0);
	assert_int_equal(run_trace(rig, "off"), 0);
	assert_false(daemon_tracing(rig->gpu_daemon)->on);
	assert_served(rig, 0, 1);
	unsigned kicks = count_events("kick", GPUDOMD);
	assert_int_equal(run_trace(rig, "save", file_path), 0);
	assert_int_equal(count_events("kick", GPUDOMD), kicks);
	/* Into nowhere, which stays what it is, and to standard output */
	assert_int_equal(run_trace(rig, "save", "/dev/full"), 3);
	assert_non_null(strstr(output, "cannot write"));
	assert_int_equal(stat("/dev/full", &status), 0);
	assert_true(S_ISCHR(status.st_mode));
	assert_int_equal(run_trace(rig, "off", "-"), 0);
	assert_non_null(strstr(output, "\"traceEvents\""));
}

static void a_worker_that_is_replaced_goes_on(void **state)
{
	struct rig *rig = *state;

	start_guest(rig);
	bring_up(rig);
	assert_int_equal(run_trace(rig, "on"), 0);
	serve_until_traced(rig, 1);
	unsigned kicks = count_events("kick", CONTROL_QUEUE);
	fake_gntdev->mood_times = 1;
	fake_gntdev->mood = DIE_AT_KICK;
	grant_ring_add(0, 9);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	WAIT_FOR(rig, fake_gntdev->workers == 2);
	fake_gntdev->mood = WELL;
	forget_mapped();
	WAIT_FOR(rig, fake_line(FAKE_XEN_GUEST, IRQ)->level);
	wr(rig, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	serve_until_traced(rig, kicks + 2);
	assert_int_equal(count_events("worker lost", GPUDOMD), 1);
	assert_int_equal(count_events("worker ready", GPUDOMD), 1);
}

/* Where a monitor serves the queues, what it does is there, too, as the worker hears of it. */
static void the_monitors_part(void **state)
{
	struct rig *rig = *state;

	setenv("GPUDOM_TEST_BROKER", "1", 1);
	start_guest(rig);
	bring_up(rig);
	unsetenv("GPUDOM_TEST_BROKER");
	assert_int_equal(run_trace(rig, "on"), 0);
	serve_until_traced(rig, 3);
	assert_true(count_events("take requests", MONITOR) >= 1);
	assert_true(count_events("return answers", MONITOR) >= 1);
	assert_true(count_events("interrupt", MONITOR) >= 1);
	assert_true(count_events("publish", CONTROL_QUEUE) >= 3);
	assert_int_equal(count_events("interrupt", CONTROL_QUEUE), 0);
	/* A second recording has nothing of the first */
	assert_int_equal(run_trace(rig, "off"), 0);
	assert_int_equal(run_trace(rig, "on"), 0);
	serve_until_traced(rig, 1);
	assert_null(strstr(output, "left out"));
}

static void a_guest_that_comes_takes_part(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(run_trace(rig, "on"), 0);
	start_guest(rig);
	bring_up(rig);
	serve_until_traced(rig, 1);
	assert_true(count_events("reset by the guest", GPUDOMD) <= 1);
	detach();
	assert_gone(rig);
	/* Its worker's ring went with it */
	assert_int_equal(run_trace(rig, "off", file_path), 0);
	assert_non_null(strstr(output, " of 0 GPUs\n"));
}

static void a_recording_ends_by_itself(void **state)
{
	struct rig *rig = *state;
	struct peer peer;
	struct json_object *answer;

	start_guest(rig);
	peer_greet(rig, &peer);
	answer = peer_ask(rig, &peer, "{\"command\":\"trace-start\",\"seconds\":1}");
	assert_string_equal(error_code(answer), "");
	json_object_put(answer);
	peer_close(&peer); /* who began it is gone */
	WAIT_FOR(rig, !daemon_tracing(rig->gpu_daemon)->on);
	assert_int_equal(run_trace(rig, "save", file_path), 0);
}

static void mistakes_are_explained(void **state)
{
	struct rig *rig = *state;
	struct peer peer;

	start_guest(rig);
	assert_int_equal(run_trace(rig, "save", file_path), 1);
	assert_non_null(strstr(output, "nothing was recorded"));
	assert_int_equal(run_trace(rig, "nobody", file_path), 1);
	assert_non_null(strstr(output, "There are: clock (domain 2)."));
	assert_false(daemon_tracing(rig->gpu_daemon)->on);
	assert_int_equal(run_trace(rig, "save"), 3);
	assert_int_equal(run_trace(rig, "--seconds=0", file_path), 3);
	assert_int_equal(run_trace(rig, "--seconds=3601", file_path), 3);
	assert_int_equal(run_trace(rig, "off", "what", file_path), 3);
	assert_int_equal(run_trace(rig, "/no/such/directory/x"), 3);
	assert_int_equal(run_trace(rig, "on"), 0);
	assert_int_equal(run_trace(rig, file_path), 1);
	assert_non_null(strstr(output, "is on already"));
	assert_int_equal(access(file_path, F_OK), -1); /* nothing is left of it */
	peer_greet(rig, &peer);
	assert_refused(rig, &peer, "{\"command\":\"trace-fetch\",\"domid\":7}", "no-trace");
	assert_refused(rig, &peer, "{\"command\":\"trace-start\",\"seconds\":-1}", "bad-request");
	peer_close(&peer);
}

static void levels_of_the_log(void **state)
{
	struct rig *rig = *state;
	struct peer peer;
	enum log_level before = log_get_level();

	start_guest(rig);
	assert_int_equal(run_log_level(rig, "warning"), 0);
	assert_int_equal(log_get_level(), LOG_LEVEL_WARNING);
	assert_int_equal(run_log_level(rig, "error", "clock"), 0);
	assert_int_equal(log_get_level(), LOG_LEVEL_WARNING);
	assert_int_equal(run_log_level(rig, "loud"), 3);
	assert_int_equal(run_log_level(rig, "error", "nobody"), 1);
	peer_greet(rig, &peer);
	assert_refused(rig, &peer, "{\"command\":\"log-level\",\"level\":7}", "bad-request");
	peer_close(&peer);
	log_set_level(before);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TRACE_TEST(a_recording_of_a_second),
		TRACE_TEST(kicks_and_interrupts_of_both_sides),
		TRACE_TEST(a_worker_that_is_replaced_goes_on),
		TRACE_TEST(the_monitors_part),
		TRACE_TEST(a_guest_that_comes_takes_part),
		TRACE_TEST(a_recording_ends_by_itself),
		TRACE_TEST(mistakes_are_explained),
		TRACE_TEST(levels_of_the_log),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: traces and logs", tests, NULL, NULL);
	free(self);
	return result;
}
