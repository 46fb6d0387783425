/* SPDX-License-Identifier: MIT */
/* gpudomd's control socket: what clients may say. */
#include <grp.h>

#include "tests/xen/control_rig.h"
#include "tools/ctl.h"
#include "xen/control_private.h"
#include "xen/guest.h"

#define COMMANDS "{\"command\":\"commands\"}"

/* --------------------------------------------------------------- conversation */

static void a_client_is_greeted_and_answered(void **state)
{
	struct rig *rig = *state;
	struct json_object *answer, *list;
	struct peer peer;
	bool status = false;

	peer_greet(rig, &peer);
	answer = peer_ask(rig, &peer, "{\"command\":\"commands\",\"id\":7,\"colour\":[1,2]}");
	assert_int_equal(get_number(answer, "id"), 7);
	list = json_object_object_get(json_object_object_get(answer, "result"), "commands");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *one = json_object_array_get_idx(list, i);

		status |= !strcmp(get_text(one, "name"), "status");
		assert_true(strlen(get_text(one, "summary")) > 10);
	}
	assert_true(status);
	json_object_put(answer);
	peer_close(&peer);
}

static void a_guest_appears_and_disappears(void **state)
{
	struct rig *rig = *state;
	struct json_object *answer, *guests, *guest;
	struct peer peer;

	peer_greet(rig, &peer);
	answer = peer_ask(rig, &peer, "{\"command\":\"status\"}");
	guests = json_object_object_get(json_object_object_get(answer, "result"), "guests");
	assert_int_equal(json_object_array_length(guests), 0);
	json_object_put(answer);
	start_guest(rig);
	answer = peer_ask(rig, &peer, "{\"command\":\"status\",\"guest\":\"clock\"}");
	guests = json_object_object_get(json_object_object_get(answer, "result"), "guests");
	assert_int_equal(json_object_array_length(guests), 1);
	guest = json_object_array_get_idx(guests, 0);
	assert_string_equal(get_text(guest, "name"), "clock");
	assert_int_equal(get_number(guest, "domid"), 2);
	guest = json_object_array_get_idx(json_object_object_get(guest, "devices"), 0);
	assert_int_equal(get_number(guest, "devid"), 0);
	assert_string_equal(get_text(guest, "state"), "serving");
	json_object_put(answer);
	answer = peer_ask(rig, &peer, "{\"command\":\"status\",\"guest\":2}");
	assert_string_equal(error_code(answer), "");
	json_object_put(answer);
	detach();
	assert_gone(rig);
	assert_refused(rig, &peer, "{\"command\":\"status\",\"guest\":\"2\"}", "no-such-guest");
	peer_close(&peer);
}

static void a_request_comes_byte_by_byte(void **state)
{
	static const char request[] = COMMANDS "\n";
	struct rig *rig = *state;
	struct json_object *answer;
	struct peer peer;

	peer_greet(rig, &peer);
	for (const char *c = request; *c; c++) {
		assert_int_equal(send(peer.fd, c, 1, MSG_NOSIGNAL), 1);
		assert_false(peer_has_line(&peer));
		turn(rig);
	}
	answer = peer_read(rig, &peer);
	assert_string_equal(error_code(answer), "");
	json_object_put(answer);
	peer_close(&peer);
}

static void many_requests_come_at_once(void **state)
{
	struct rig *rig = *state;
	struct peer peer;
	char line[64];

	peer_greet(rig, &peer);
	for (int i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "{\"command\":\"nothing\",\"id\":\"q%d\"}\r\n", i);
		peer_write(&peer, line);
	}
	for (int i = 0; i < 100; i++) {
		struct json_object *answer = peer_read(rig, &peer);

		snprintf(line, sizeof(line), "q%d", i);
		assert_string_equal(get_text(answer, "id"), line);
		assert_string_equal(error_code(answer), "no-such-command");
		json_object_put(answer);
	}
	assert_int_equal(peer.used, 0);
	peer_close(&peer);
}

/* As shell scripts do: printf '{...}' | nc -N -U ... */
static void the_last_request_has_no_newline(void **state)
{
	struct rig *rig = *state;
	struct json_object *answer;
	struct peer peer;

	peer_connect(rig, &peer);
	peer_write(&peer, COMMANDS "\n" COMMANDS);
	shutdown(peer.fd, SHUT_WR);
	for (int i = 0; i < 3; i++) {
		answer = peer_read(rig, &peer);
		assert_string_equal(error_code(answer), "");
		json_object_put(answer);
	}
	WAIT_FOR(rig, !peer_has_line(&peer) && peer.over);
	peer_close(&peer);
}

/* -------------------------------------------------------------------- mistakes */

static void mistakes_are_answered_and_forgiven(void **state)
{
	static const char *const bad[] = {
		"",
		"status",
		"[]",
		"7",
		"null",
		"{",
		"{}",
		"{\"command\":7}",
		"{\"command\":null}",
		"{\"command\":\"status\"} {\"command\":\"status\"}",
		"{\"command\":\"status\"}x",
		"{\"command\":\"status\",}",
		"{command:\"status\"}",
		"{\"command\":\"\xff\xfe\"}",
		"{\"command\":\"status\",\"guest\":{}}",
		"{\"command\":\"status\",\"guest\":null}",
		"{\"command\":\"status\",\"guest\":1.5}",
		"{\"command\":\"status\",\"a\":{\"b\":{\"c\":{\"d\":{\"e\":1}}}}}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	};
	struct rig *rig = *state;
	struct json_object *answer;
	struct peer peer;

	peer_greet(rig, &peer);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(rig, &peer, bad[i], "bad-request");
	assert_refused(rig, &peer, "{\"command\":\"explode\"}", "no-such-command");
	assert_refused(rig, &peer, "{\"command\":\"status\",\"gpudom\":2}", "version");
	assert_refused(rig, &peer, "{\"command\":\"status\",\"guest\":\"clock\"}", "no-such-guest");
	assert_int_equal(
	    send(peer.fd, COMMANDS "\0\n", sizeof(COMMANDS) + 1, 0), sizeof(COMMANDS) + 1);
	answer = peer_read(rig, &peer);
	assert_string_equal(error_code(answer), "bad-request");
	json_object_put(answer);
	answer = peer_ask(rig, &peer, "{\"gpudom\":1,\"command\":\"commands\"}");
	assert_string_equal(error_code(answer), "");
	json_object_put(answer);
	peer_close(&peer);
}

/* An identification is given back if it is one, and nothing else is. */
static void identifications(void **state)
{
	struct rig *rig = *state;
	struct json_object *answer;
	struct peer peer;

	peer_greet(rig, &peer);
	answer = peer_ask(rig, &peer, "{\"command\":\"commands\",\"id\":{\"a\":1}}");
	assert_null(json_object_object_get(answer, "id"));
	json_object_put(answer);
	answer = peer_ask(rig, &peer, "{\"command\":\"commands\",\"id\":-9223372036854775808}");
	assert_true(json_object_get_int64(json_object_object_get(answer, "id")) == INT64_MIN);
	json_object_put(answer);
	answer = peer_ask(rig, &peer, "{\"command\":\"no\",\"id\":\"a\\u0000\\\"\\n\"}");
	assert_int_equal(json_object_get_string_len(json_object_object_get(answer, "id")), 4);
	json_object_put(answer);
	peer_close(&peer);
}

static void the_guests_that_there_are_come_with_the_refusal(void **state)
{
	struct rig *rig = *state;
	struct json_object *answer, *guests;
	struct peer peer;

	start_guest(rig);
	peer_greet(rig, &peer);
	answer = peer_ask(rig, &peer, "{\"command\":\"status\",\"guest\":\"clack\"}");
	assert_string_equal(error_code(answer), "no-such-guest");
	guests = json_object_object_get(json_object_object_get(answer, "error"), "guests");
	assert_int_equal(json_object_array_length(guests), 1);
	assert_string_equal(get_text(json_object_array_get_idx(guests, 0), "name"), "clock");
	json_object_put(answer);
	peer_close(&peer);
}

/* A guest whose name is another one's domain id. */
static void a_name_that_is_a_number(void **state)
{
	struct rig *rig = *state;
	struct peer peer;

	start_guest(rig);
	fake_xen_create_guest(3, 1);
	fake_xenstore_write("/local/domain/3/name", "2");
#define SECOND "/local/domain/1/backend/virtio/3/0"
	fake_xenstore_write(SECOND "/frontend", "/local/domain/3/device/virtio/0");
	fake_xenstore_write(SECOND "/frontend-id", "3");
	fake_xenstore_write(SECOND "/online", "1");
	fake_xenstore_write(SECOND "/irq", "33");
	fake_xenstore_write(SECOND "/base", "0x2000000");
	fake_xenstore_write(SECOND "/type", "virtio,device10");
	fake_xenstore_write(SECOND "/transport", "mmio");
	fake_xenstore_write(SECOND "/grant_usage", "1");
	fake_xenstore_write(SECOND "/state", "1");
	WAIT_FOR(rig, has(SECOND "/state", "4"));
	peer_greet(rig, &peer);
	assert_refused(rig, &peer, "{\"command\":\"status\",\"guest\":\"2\"}", "ambiguous-guest");
	json_object_put(peer_ask(rig, &peer, "{\"command\":\"status\",\"guest\":\"3\"}"));
	json_object_put(peer_ask(rig, &peer, "{\"command\":\"status\",\"guest\":\"clock\"}"));
	peer_close(&peer);
}

/* ------------------------------------------------------------------ the socket */

static void a_predecessors_socket_is_replaced(void **state)
{
	struct rig *rig = *state;
	struct control *old = control;
	struct peer peer;

	/* One that was killed leaves its socket. */
	open_control(rig);
	peer_greet(rig, &peer);
	peer_close(&peer);
	close_control();
	assert_int_equal(access(control_path, F_OK), -1);
	control = old;
	close_control();
	open_control(rig);
	peer_greet(rig, &peer);
	peer_close(&peer);
}

static void what_is_no_socket_stays(void **state)
{
	struct rig *rig = *state;
	int fd;

	close_control();
	fd = open(control_path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	control_options.event = rig->event;
	assert_int_equal(control_create(&control_options, &control), -EEXIST);
	assert_int_equal(access(control_path, F_OK), 0);
}

static void who_may_connect(void **state)
{
	struct rig *rig = *state;
	struct group *group = getgrgid(getgid());
	struct stat status;

	close_control();
	control_options.group = "there-is-no-such-group";
	open_control(rig);
	assert_int_equal(stat(control_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	close_control();
	assert_non_null(group);
	control_options.group = group->gr_name;
	open_control(rig);
	assert_int_equal(stat(control_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0660);
	assert_int_equal(status.st_gid, getgid());
}

/* --------------------------------------------------------------- what it does */

/* Of the guest's GPU: a member of its status. */
static void assert_status(struct rig *rig, const char *member, const char *words)
{
	struct json_object *answer, *object;
	struct peer peer;

	peer_greet(rig, &peer);
	answer = peer_ask(rig, &peer, "{\"command\":\"status\",\"guest\":\"clock\"}");
	object = json_object_object_get(json_object_object_get(answer, "result"), "guests");
	object = json_object_object_get(json_object_array_get_idx(object, 0), "devices");
	object = json_object_array_get_idx(object, 0);
	if (*words ? !strstr(get_text(object, member), words) : *get_text(object, member))
		fail_msg("%s is '%s', not '%s'", member, get_text(object, member), words);
	json_object_put(answer);
	peer_close(&peer);
}

static void a_guest_is_blocked_and_unblocked(void **state)
{
	const char *const block[] = { "block", argument, "clock", NULL };
	const char *const unblock[] = { "unblock", argument, "--json", "2", NULL };
	const char *const reset[] = { "reset", argument, "clock", NULL };
	struct rig *rig = *state;
	char output[4096];

	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	assert_status(rig, "state", "serving");
	assert_status(rig, "trouble", "");
	assert_int_equal(run_command(rig, ctl_block, block, output, sizeof(output)), 0);
	assert_memory_equal(output, "guest clock is blocked: ", 24);
	WAIT_FOR(rig, rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	forget_mapped();
	assert_status(rig, "state", "blocked");
	assert_status(rig, "trouble", "'gpudomctl unblock clock'");
	assert_int_equal(run_command(rig, ctl_reset, reset, output, sizeof(output)), 1);
	assert_non_null(strstr(output, "'gpudomctl unblock'"));
	assert_int_equal(run_command(rig, ctl_unblock, unblock, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "\"text\":\"guest clock is not blocked (any more)."));
	bring_up(rig);
	assert_served(rig, 0, 0x22);
	assert_status(rig, "state", "serving");
	assert_status(rig, "trouble", "");
}

static void a_guest_gets_a_new_worker(void **state)
{
	const char *const reset[] = { "reset", argument, "--device=0", "clock", NULL };
	const char *const other[] = { "reset", argument, "--device=1", "clock", NULL };
	struct rig *rig = *state;
	char output[4096];
	int pid;

	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	pid = fake_gntdev->worker_pid;
	assert_int_equal(run_command(rig, ctl_reset, other, output, sizeof(output)), 1);
	assert_string_equal(output, "gpudomctl: guest clock has no device 1\n");
	assert_int_equal(run_command(rig, ctl_reset, reset, output, sizeof(output)), 0);
	assert_memory_equal(output, "guest clock gets a new worker: ", 31);
	WAIT_FOR(rig, fake_gntdev->worker_pid != pid && daemon_served(rig->gpu_daemon) == 1);
	forget_mapped();
	assert_served(rig, 0, 0x22);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xf);
}

static void write_config(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void the_configuration_is_read_anew(void **state)
{
	const char *const reload[] = { "reload", argument, NULL };
	char path[sizeof(control_dir) + 16], expected[256];
	struct rig *rig = *state;
	struct json_object *answer, *object;
	struct peer peer;
	char output[4096];

	snprintf(path, sizeof(path), "%s/gpudom.conf", control_dir);
	close_control();
	daemon_destroy(rig->gpu_daemon);
	write_config(path, "[guest clock]\nmode = 640x480\n");
	assert_int_equal(config_load(&rig->config, path), 0);
	rig->options.config_path = path;
	run_daemon(rig);
	open_control(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	assert_int_equal(run_command(rig, ctl_reload, reload, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "no running guest's settings are other ones"));
	write_config(path, "[guest clock]\nmode = 800x600\nlimit-resources = 77\n");
	assert_int_equal(run_command(rig, ctl_reload, reload, output, sizeof(output)), 0);
	assert_string_equal(output,
	    "gpudom.conf has been read.\nclock: limit-resources at once; mode "
	    "when it next resets its device\n");
	peer_greet(rig, &peer);
	answer = peer_ask(rig, &peer, "{\"command\":\"status\",\"guest\":\"clock\"}");
	object = json_object_object_get(json_object_object_get(answer, "result"), "guests");
	object = json_object_object_get(json_object_array_get_idx(object, 0), "devices");
	object = json_object_object_get(json_object_array_get_idx(object, 0), "limits");
	assert_int_equal(get_number(object, "resources"), 77);
	json_object_put(answer);
	peer_close(&peer);
	/* A mistake is told with its line, and changes nothing. */
	write_config(path, "[guest clock]\nmode = 800x600\ncolour = red\n");
	assert_int_equal(run_command(rig, ctl_reload, reload, output, sizeof(output)), 1);
	snprintf(expected, sizeof(expected), "gpudomctl: nothing has changed: %s:3: ", path);
	assert_memory_equal(output, expected, strlen(expected));
	assert_served(rig, 0, 0x22);
	assert_int_equal(unlink(path), 0);
}

static void wrong_options_are_told(void **state)
{
	const char *const nobody[] = { "block", argument, NULL };
	const char *const two[] = { "reset", argument, "a", "b", NULL };
	const char *const option[] = { "unblock", "--colour", "a", NULL };
	struct rig *rig = *state;
	char output[4096];

	assert_int_equal(run_command(rig, ctl_block, nobody, output, sizeof(output)), 3);
	assert_string_equal(output, "gpudomctl block: which guest? A name, or a domain id.\n");
	assert_int_equal(run_command(rig, ctl_reset, two, output, sizeof(output)), 3);
	assert_string_equal(output, "gpudomctl reset: what is 'b'?\n");
	assert_int_equal(run_command(rig, ctl_unblock, option, output, sizeof(output)), 3);
	assert_non_null(strstr(output, "Try 'gpudomctl unblock --help'."));
}

/* ---------------------------------------------------------- gpudomctl's side */

static void gpudomctl_asks_for_the_status(void **state)
{
	const char *const all[] = { "status", "--interval=0", argument, NULL };
	const char *const one[] = { "status", argument, "clock", NULL };
	const char *const wrong[] = { "status", argument, "clack", NULL };
	const char *const json[] = { "status", argument, "--json", NULL };
	const char *const names[] = { "status", argument, "--names", NULL };
	struct json_object *object;
	struct rig *rig = *state;
	char output[16384];

	assert_int_equal(run_command(rig, ctl_status, all, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "serves no guest now"));
	assert_int_equal(run_command(rig, ctl_status, wrong, output, sizeof(output)), 1);
	assert_string_equal(output, "gpudomctl: gpudomd serves no guest 'clack'\n"
				    "It serves none now.\n");
	start_guest(rig);
	assert_int_equal(run_command(rig, ctl_status, all, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "\nclock       2  serving"));
	assert_int_equal(run_command(rig, ctl_status, one, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "clock (domain 2, GPU 0): serving"));
	assert_int_equal(run_command(rig, ctl_status, wrong, output, sizeof(output)), 1);
	assert_string_equal(output, "gpudomctl: gpudomd serves no guest 'clack'\n"
				    "There are: clock (domain 2).\n");
	assert_int_equal(run_command(rig, ctl_status, names, output, sizeof(output)), 0);
	assert_string_equal(output, "clock\n");
	assert_int_equal(run_command(rig, ctl_status, json, output, sizeof(output)), 0);
	object = json_tokener_parse(output);
	assert_int_equal(get_number(object, "pid"), getpid());
	json_object_put(object);
}

static void gpudomctl_says_that_gpudomd_is_not_there(void **state)
{
	const char *const status[] = { "status", argument, NULL };
	const char *const metrics[] = { "metrics", argument, NULL };
	struct rig *rig = *state;
	char output[4096], expected[256];

	close_control();
	snprintf(expected, sizeof(expected),
	    "gpudomctl: gpudomd does not run: nobody listens at %s.\nStart it: ", control_path);
	assert_int_equal(run_command(rig, ctl_status, status, output, sizeof(output)), 2);
	assert_memory_equal(output, expected, strlen(expected));
	assert_int_equal(run_command(rig, ctl_metrics, metrics, output, sizeof(output)), 2);
	assert_memory_equal(output, expected, strlen(expected));
	assert_non_null(strstr(output, "\ngpudom_up 0\n"));
}

static void gpudomctl_shows_pages_and_metrics(void **state)
{
	const char *const top[] = { "top", argument, "-b", "-n2", "--interval=0.1", NULL };
	const char *const sorted[] = { "top", argument, "--sort=colour", NULL };
	const char *const metrics[] = { "metrics", argument, NULL };
	struct rig *rig = *state;
	char output[65536];

	start_guest(rig);
	assert_int_equal(run_command(rig, ctl_top, top, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "\nclock  serving"));
	assert_non_null(strstr(strstr(output, "\nclock  serving") + 1, "\nclock  serving"));
	assert_int_equal(run_command(rig, ctl_top, sorted, output, sizeof(output)), 3);
	assert_int_equal(run_command(rig, ctl_metrics, metrics, output, sizeof(output)), 0);
	assert_non_null(strstr(output, "gpudom_up 1\n"));
	assert_non_null(strstr(output, "\ngpudom_state{guest=\"clock\",domid=\"2\",gpu=\"0\","
				       "state=\"serving\"} 1\n"));
}

static void metrics_replace_a_file_in_one_piece(void **state)
{
	char path[sizeof(control_dir) + 16], option[sizeof(path) + 16], text[64];
	const char *const metrics[] = { "metrics", argument, option, NULL };
	struct rig *rig = *state;
	struct stat before, after;
	char output[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/gpudom.prom", control_dir);
	snprintf(option, sizeof(option), "--output=%s", path);
	file = fopen(path, "we");
	assert_true(fputs("old\n", file) > 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(run_command(rig, ctl_metrics, metrics, output, sizeof(output)), 0);
	assert_string_equal(output, "");
	/* Who has the old one open reads it to its end. */
	assert_int_equal(fstat(fileno(file), &after), 0);
	assert_int_equal(after.st_nlink, 0);
	fclose(file);
	file = fopen(path, "re");
	assert_non_null(fgets(text, sizeof(text), file));
	assert_string_equal(text, "# HELP gpudom_up 1 where gpudomd answers.\n");
	fclose(file);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_mode & 0777, 0644);
	/* A directory that is not there: no trace of it, and the other file stays. */
	snprintf(option, sizeof(option), "--output=%s/no/x", control_dir);
	assert_int_equal(run_command(rig, ctl_metrics, metrics, output, sizeof(output)), 3);
	assert_non_null(strstr(output, "No such file or directory"));
	assert_int_equal(unlink(path), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(a_client_is_greeted_and_answered),
		CONTROL_TEST(a_guest_appears_and_disappears),
		CONTROL_TEST(a_request_comes_byte_by_byte),
		CONTROL_TEST(many_requests_come_at_once),
		CONTROL_TEST(the_last_request_has_no_newline),
		CONTROL_TEST(mistakes_are_answered_and_forgiven),
		CONTROL_TEST(identifications),
		CONTROL_TEST(the_guests_that_there_are_come_with_the_refusal),
		CONTROL_TEST(a_name_that_is_a_number),
		CONTROL_TEST(a_predecessors_socket_is_replaced),
		CONTROL_TEST(what_is_no_socket_stays),
		CONTROL_TEST(who_may_connect),
		CONTROL_TEST(a_guest_is_blocked_and_unblocked),
		CONTROL_TEST(a_guest_gets_a_new_worker),
		CONTROL_TEST(the_configuration_is_read_anew),
		CONTROL_TEST(wrong_options_are_told),
		CONTROL_TEST(gpudomctl_asks_for_the_status),
		CONTROL_TEST(gpudomctl_says_that_gpudomd_is_not_there),
		CONTROL_TEST(gpudomctl_shows_pages_and_metrics),
		CONTROL_TEST(metrics_replace_a_file_in_one_piece),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: control socket", tests, NULL, NULL);
	free(self);
	return result;
}
