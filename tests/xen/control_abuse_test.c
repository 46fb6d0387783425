/* SPDX-License-Identifier: MIT */
/* The control socket's clients that mean no good, or are slow, or many. */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "tests/xen/control_rig.h"
#include "xen/control_private.h"
#include "xen/guest.h"
#include "xen/guest_device_private.h"

#define COMMANDS "{\"command\":\"commands\"}"

static void a_line_that_does_not_end(void **state)
{
	static char line[CONTROL_LINE_MAX + 1];
	struct rig *rig = *state;
	struct json_object *answer;
	struct peer peer;

	peer_greet(rig, &peer);
	/* As long as may be. */
	snprintf(line, sizeof(line), "%-*s", CONTROL_LINE_MAX, COMMANDS);
	line[CONTROL_LINE_MAX - 1] = '\n';
	peer_write(&peer, line);
	answer = peer_read(rig, &peer);
	assert_string_equal(error_code(answer), "");
	json_object_put(answer);
	/* ... and one more. */
	line[CONTROL_LINE_MAX - 1] = ' ';
	peer_write(&peer, line);
	answer = peer_read(rig, &peer);
	assert_string_equal(error_code(answer), "line-too-long");
	json_object_put(answer);
	WAIT_FOR(rig, !peer_has_line(&peer) && peer.over);
	peer_close(&peer);
}

/* It asks for ever and reads nothing; the guest notices nothing, and it is closed. */
static void a_client_that_does_not_read(void **state)
{
	struct rig *rig = *state;
	bool closed = false;
	struct peer peer;

	close_control();
	control_options.stall_usec = 1000;
	open_control(rig);
	start_guest(rig);
	bring_up(rig);
	peer_connect(rig, &peer);
	for (uint8_t i = 0; !closed; i++) {
		ssize_t n;

		while ((n = send(peer.fd, COMMANDS "\n", sizeof(COMMANDS), MSG_NOSIGNAL)) > 0)
			;
		closed = n < 0 && errno == EPIPE;
		if (i % 16 == 0)
			assert_served(rig, 0, i);
		turn(rig);
	}
	peer_close(&peer);
	assert_served(rig, 0, 0x77);
}

static void a_client_that_reads_slowly_gets_all(void **state)
{
	enum { REQUESTS = 400 };
	struct rig *rig = *state;
	struct peer peer;
	unsigned written = 0, lines = 0;
	int small = 2048;

	peer_connect(rig, &peer);
	setsockopt(peer.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while (lines < REQUESTS + 1) {
		char bytes[512];
		ssize_t n;

		if (written < REQUESTS &&
		    send(peer.fd, COMMANDS "\n", strlen(COMMANDS) + 1, MSG_NOSIGNAL) > 0)
			written++;
		n = recv(peer.fd, bytes, sizeof(bytes), 0);
		for (ssize_t i = 0; i < n; i++)
			lines += bytes[i] == '\n';
		if (n < 0)
			turn(rig);
		assert_true(n != 0);
	}
	peer_close(&peer);
}

static void on_closed(void *data, struct control_client *client)
{
	fail_msg("it was closed");
}

/* More than fits into its socket, again and again. */
static void an_answer_goes_in_pieces(void **state)
{
	const struct control_client_options options = {
		.event = ((struct rig *)*state)->event,
		.gpu_daemon = ((struct rig *)*state)->gpu_daemon,
		.stall_usec = CONTROL_STALL_USEC,
		.closed = on_closed,
	};
	struct rig *rig = *state;
	struct peer peer = { .passed_fd = -1 };
	int pair[2], least = 1;
	struct control_client *client;
	struct json_object *answer, *object;
	struct guest_device *device;
	struct telemetry *page;
	unsigned position = 0;

	start_guest(rig);
	device = guest_next_gpu(daemon_next_guest(rig->gpu_daemon, &position), &(unsigned){ 0 });
	assert_int_equal(telemetry_open(device->health.telemetry_fd, true, &page), 0);
	page->outputs_count = TELEMETRY_OUTPUTS;
	for (unsigned i = 0; i < 100; i++)
		page->outputs[i % TELEMETRY_OUTPUTS].intervals.buckets[i] = 1000000 + i;
	telemetry_close(page);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
	assert_int_equal(control_client_create(&options, pair[0], &client), 0);
	peer.fd = pair[1];
	json_object_put(peer_read(rig, &peer));
	for (unsigned i = 0; i < 3; i++) {
		answer = peer_ask(rig, &peer, "{\"command\":\"status\"}");
		object = json_object_object_get(json_object_object_get(answer, "result"), "guests");
		object = json_object_object_get(json_object_array_get_idx(object, 0), "devices");
		object = json_object_object_get(json_object_array_get_idx(object, 0), "worker");
		object = json_object_object_get(object, "outputs");
		assert_int_equal(json_object_array_length(object), TELEMETRY_OUTPUTS);
		assert_true(strlen(json_object_to_json_string(answer)) > 5000);
		json_object_put(answer);
		assert_int_equal(peer.used, 0);
	}
	control_client_destroy(client);
	peer_close(&peer);
}

static void a_hundred_clients(void **state)
{
	enum { CLIENTS = 100 };
	static struct peer peers[CLIENTS];
	struct rig *rig = *state;
	unsigned served = 0, busy = 0;
	struct json_object *greeting;

	start_guest(rig);
	bring_up(rig);
	for (unsigned i = 0; i < CLIENTS; i++) {
		peer_connect(rig, &peers[i]);
		turn(rig);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		greeting = peer_read(rig, &peers[i]);
		if (!strcmp(error_code(greeting), "busy"))
			busy++;
		else if (!strcmp(error_code(greeting), ""))
			served++;
		json_object_put(greeting);
	}
	assert_int_equal(served, CONTROL_CLIENTS_MAX);
	assert_int_equal(busy, CLIENTS - CONTROL_CLIENTS_MAX);
	/* All of these ask at once, and the guest is served between. */
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		for (unsigned k = 0; k < 10; k++)
			peer_write(&peers[i], COMMANDS "\n");
	assert_served(rig, 0, 0x11);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		for (unsigned k = 0; k < 10; k++)
			json_object_put(peer_read(rig, &peers[i]));
	/* The room that one leaves is another's. */
	peer_close(&peers[3]);
	for (unsigned i = 0; i < 3; i++)
		turn(rig);
	peer_greet(rig, &peers[3]);
	for (unsigned i = 0; i < CLIENTS; i++)
		peer_close(&peers[i]);
	assert_served(rig, 0, 0x22);
}

static int on_flood(sd_event_source *source, int fd, uint32_t events, void *data)
{
	return 0;
}

/* A guest whose vCPUs do nothing but access registers: people must be able to block it. */
static void a_guest_that_floods_does_not_keep_people_out(void **state)
{
	struct rig *rig = *state;
	const int fd = eventfd(1, EFD_CLOEXEC);
	sd_event_source *flood = NULL;
	struct json_object *answer;
	struct peer peer;

	assert_true(sd_event_add_io(rig->event, &flood, fd, EPOLLIN, on_flood, NULL) >= 0);
	peer_greet(rig, &peer);
	peer_write(&peer, COMMANDS "\n" COMMANDS "\n");
	for (unsigned i = 0; i < 2; i++) {
		answer = peer_read(rig, &peer);
		assert_string_equal(error_code(answer), "");
		json_object_put(answer);
	}
	peer_close(&peer);
	sd_event_source_disable_unref(flood);
	close(fd);
}

static void clients_that_leave_in_the_middle(void **state)
{
	struct rig *rig = *state;
	struct peer peer;

	for (unsigned i = 0; i < 50; i++) {
		peer_connect(rig, &peer);
		if (i % 2)
			turn(rig);
		peer_write(&peer, i % 3 ? COMMANDS "\n" COMMANDS "\n" : "{\"comm");
		if (i % 5 == 0)
			turn(rig);
		peer_close(&peer);
	}
	peer_greet(rig, &peer);
	json_object_put(peer_ask(rig, &peer, COMMANDS));
	peer_close(&peer);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(a_line_that_does_not_end),
		CONTROL_TEST(a_client_that_does_not_read),
		CONTROL_TEST(a_client_that_reads_slowly_gets_all),
		CONTROL_TEST(an_answer_goes_in_pieces),
		CONTROL_TEST(a_hundred_clients),
		CONTROL_TEST(a_guest_that_floods_does_not_keep_people_out),
		CONTROL_TEST(clients_that_leave_in_the_middle),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: control socket, abused", tests, NULL, NULL);
	free(self);
	return result;
}
