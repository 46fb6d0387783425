/* SPDX-License-Identifier: MIT */
/*
 * gpudom-worker as an input device: a driver with real queues on one side, a seat on the other.
 * Also run with the worker as it is built for use, whose sandbox is on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/virtio_input.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/input_state.h"
#include "backend/seat_message.h"
#include "tests/device/proc_status.h"
#include "tests/loopback/loopback_frontend.h"
#include "tests/loopback/loopback_process.h"
#include "xen/worker_message.h"

#include <cmocka.h>

#define EVENTS 0
#define STATUS 1
#define BUFFERS 64

struct setup {
	char worker[512];
	struct loopback_process process;
	struct loopback_frontend frontend;
	int seat, control; /* our ends */
	struct seat_input_event *buffers, *written;
	struct input_state state; /* that the guest makes of its events */
	struct seat_input_event last[SEAT_INPUT_EVENTS_MAX]; /* frame */
	unsigned last_count;
};

static int prepare(void **state)
{
	const struct loopback_options options = { .inflight = true, .queue_size = BUFFERS };
	struct setup *setup = calloc(1, sizeof(*setup));

	loopback_process_path("gpudom-worker", setup->worker, sizeof(setup->worker));
	setup->process.socket = setup->process.output_fd = setup->seat = setup->control = -1;
	assert_int_equal(loopback_frontend_init(&setup->frontend, &options), 0);
	setup->buffers = loopback_alloc(&setup->frontend.memory, LOOPBACK_PAGE);
	setup->written = loopback_alloc(&setup->frontend.memory, LOOPBACK_PAGE);
	input_state_init(&setup->state);
	*state = setup;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int clean_up(void **state)
{
	struct setup *setup = *state;

	loopback_process_end(&setup->process, SIGKILL);
	loopback_frontend_disconnect(&setup->frontend);
	loopback_free(&setup->frontend.memory, setup->buffers, LOOPBACK_PAGE);
	loopback_free(&setup->frontend.memory, setup->written, LOOPBACK_PAGE);
	loopback_frontend_finish(&setup->frontend);
	close_fd(&setup->seat);
	close_fd(&setup->control);
	free(setup);
	return 0;
}

/* A pair of which only the second end is inherited. */
static int make_pair(int *inherited)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	fcntl(pair[0], F_SETFD, FD_CLOEXEC);
	*inherited = pair[1];
	return pair[0];
}

/* A worker for the guest, which says the kind; the queues go on where they are. */
static void start_worker(struct setup *setup, const char *kind)
{
	char device[32], seat_fd[32], control_fd[32];
	int seat, control;
	const char *const argv[] = { setup->worker, device, "--fd={fd}", seat_fd, control_fd,
		"--guest=clock", NULL };

	close_fd(&setup->seat);
	close_fd(&setup->control);
	setup->seat = make_pair(&seat);
	setup->control = make_pair(&control);
	snprintf(device, sizeof(device), "--device=%s", kind);
	snprintf(seat_fd, sizeof(seat_fd), "--seat-fd=%d", seat);
	snprintf(control_fd, sizeof(control_fd), "--control-fd=%d", control);
	assert_int_equal(loopback_process_spawn(&setup->process, argv, true), 0);
	close(seat);
	close(control);
	assert_int_equal(loopback_frontend_connect(&setup->frontend, setup->process.socket), 0);
	setup->process.socket = -1;
}

/* ---------------------------------------------------------------- the guest */

static void offer(struct setup *setup, unsigned count)
{
	struct loopback_queue *queue = &setup->frontend.queues[EVENTS];

	for (; count; count--) {
		struct seat_input_event *buffer = &setup->buffers[queue->free_head];
		const struct memory_piece piece =
		    loopback_piece(&setup->frontend.memory, buffer, sizeof(*buffer));

		loopback_queue_add(queue, NULL, 0, &piece, 1, buffer);
	}
	loopback_queue_kick(queue);
}

/* The next frame, whose buffers are offered again. */
static void read_frame(struct setup *setup)
{
	const struct seat_input_event *event;
	uint32_t size;
	uint16_t head;
	void *data;

	setup->last_count = 0;
	do {
		assert_true(setup->last_count < SEAT_INPUT_EVENTS_MAX);
		assert_int_equal(
		    loopback_frontend_wait(&setup->frontend, EVENTS, &head, &size, &data), 0);
		assert_int_equal(size, sizeof(*event));
		event = data;
		setup->last[setup->last_count++] = *event;
		if (event->type != EV_SYN)
			input_state_apply(&setup->state, event);
	} while (event->type != EV_SYN);
	offer(setup, setup->last_count);
}

static void write_status(struct setup *setup, uint16_t type, uint16_t code, int32_t value)
{
	struct loopback_queue *queue = &setup->frontend.queues[STATUS];
	const struct memory_piece piece =
	    loopback_piece(&setup->frontend.memory, setup->written, sizeof(*setup->written));
	uint32_t size;
	uint16_t head;
	void *data;

	*setup->written = (struct seat_input_event){ type, code, value };
	loopback_queue_add(queue, &piece, 1, NULL, 0, NULL);
	loopback_queue_kick(queue);
	assert_int_equal(loopback_frontend_wait(&setup->frontend, STATUS, &head, &size, &data), 0);
	assert_int_equal(size, 0);
}

static bool is_down(const struct setup *setup, uint16_t code)
{
	return setup->state.keys[code / 64] >> code % 64 & 1;
}

static uint8_t ask(struct setup *setup, uint8_t select, struct virtio_input_config *config)
{
	const uint8_t words[2] = { select, 0 };

	assert_int_equal(loopback_frontend_set_config(&setup->frontend, 0, words, 2), 0);
	assert_int_equal(
	    loopback_frontend_get_config(&setup->frontend, 0, config, sizeof(*config)), 0);
	return config->size;
}

/* ---------------------------------------------------------------- the seat */

static size_t packet_size(unsigned count)
{
	return offsetof(struct seat_input_packet, events) + count * sizeof(struct seat_input_event);
}

static void send_frame(struct setup *setup, const struct seat_input_event *events, unsigned count)
{
	struct seat_input_packet packet = { .count = count + 1 };

	memcpy(packet.events, events, count * sizeof(*events));
	packet.events[count] = (struct seat_input_event){ EV_SYN, SYN_REPORT, 0 };
	assert_int_equal(
	    send(setup->seat, &packet, packet_size(count + 1), 0), packet_size(count + 1));
}

static void send_key(struct setup *setup, uint16_t code, bool down)
{
	send_frame(setup, &(struct seat_input_event){ EV_KEY, code, down }, 1);
}

/* Waits for what the guest wants. */
static unsigned receive_status(struct setup *setup, struct seat_input_packet *packet)
{
	struct pollfd poller = { .fd = setup->seat, .events = POLLIN };

	assert_int_equal(poll(&poller, 1, LOOPBACK_TIMEOUT_MS), 1);
	assert_true(recv(setup->seat, packet, sizeof(*packet), 0) >= (ssize_t)packet_size(1));
	return packet->count;
}

static void expect_led(struct setup *setup, uint16_t code, int32_t value)
{
	struct seat_input_packet packet;

	for (;;) {
		unsigned count = receive_status(setup, &packet);

		for (unsigned i = 0; i < count; i++)
			if (packet.events[i].type == EV_LED && packet.events[i].code == code &&
			    packet.events[i].value == value)
				return;
	}
}

/* ---------------------------------------------------------------- tests */

static void test_kinds(void **state)
{
	struct setup *setup = *state;

	setup->frontend.options.inflight = false; /* each is another device */
	for (unsigned kind = 0; kind < SEAT_INPUT_KINDS; kind++) {
		const char *name = seat_input_kind_name((enum seat_input_kind)kind);
		struct virtio_input_config config;

		start_worker(setup, name);
		assert_int_equal(ask(setup, VIRTIO_INPUT_CFG_ID_NAME, &config),
		    strlen("gpudom ") + strlen(name));
		assert_memory_equal(config.u.string + strlen("gpudom "), name, strlen(name));
		assert_int_equal(ask(setup, 0xff, &config), 0);
		loopback_frontend_disconnect(&setup->frontend);
		assert_int_equal(loopback_process_end(&setup->process, 0), 0);
	}
}

static void test_keyboard(void **state)
{
	struct setup *setup = *state;
	struct seat_input_packet packet;

	start_worker(setup, "keyboard");
	offer(setup, BUFFERS);
	for (unsigned i = 0; i < 1000; i++) {
		send_key(setup, (uint16_t)(KEY_Q + i % 10), i % 20 < 10);
		read_frame(setup);
		assert_int_equal(setup->last_count, 2);
		assert_int_equal(setup->last[0].code, KEY_Q + i % 10);
		assert_int_equal(setup->last[0].value, i % 20 < 10);
	}
	/* What the seat is told at first, and then what the guest wants */
	assert_int_equal(receive_status(setup, &packet), LED_KANA + 1);
	write_status(setup, EV_LED, LED_CAPSL, 1);
	expect_led(setup, LED_CAPSL, 1);
}

static void test_nonsense(void **state)
{
	struct setup *setup = *state;
	struct seat_input_packet packet = { .count = UINT32_MAX };

	start_worker(setup, "keyboard");
	offer(setup, BUFFERS);
	send(setup->seat, &packet, packet_size(0), 0);
	send(setup->seat, &packet, packet_size(3), 0);
	send(setup->seat, &packet, 3, 0);
	packet.count = 2;
	send(setup->seat, &packet, packet_size(1), 0);
	send(setup->seat, &packet, packet_size(2), 0); /* no SYN_REPORT */
	send(setup->seat, &packet, sizeof(packet), 0);
	send_frame(setup, &(struct seat_input_event){ EV_KEY, BTN_LEFT, 1 }, 1);
	send_key(setup, KEY_A, true);
	read_frame(setup);
	assert_true(is_down(setup, KEY_A));
	assert_int_equal(setup->last_count, 2);
}

/* The seat goes: its keys come up. Another one comes, by way of gpudomd. */
static void test_seat_again(void **state)
{
	const struct worker_message message = { .type = WORKER_SET_SEAT, .size = sizeof(message) };
	struct setup *setup = *state;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec piece = { (void *)&message, sizeof(message) };
	struct msghdr packet = { .msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	int theirs;

	start_worker(setup, "keyboard");
	offer(setup, BUFFERS);
	write_status(setup, EV_LED, LED_NUML, 1);
	expect_led(setup, LED_NUML, 1);
	for (int again = 0; again < 3; again++) {
		send_key(setup, KEY_LEFTSHIFT, true);
		read_frame(setup);
		assert_true(is_down(setup, KEY_LEFTSHIFT));
		/* The last time, the other one comes while it is there. */
		if (again < 2) {
			close_fd(&setup->seat);
			read_frame(setup);
			assert_false(is_down(setup, KEY_LEFTSHIFT));
		}
		close_fd(&setup->seat);
		setup->seat = make_pair(&theirs);
		*CMSG_FIRSTHDR(&packet) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(theirs)) };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), &theirs, sizeof(theirs));
		assert_int_equal(sendmsg(setup->control, &packet, 0), sizeof(message));
		close(theirs);
		expect_led(setup, LED_NUML, 1);
	}
	read_frame(setup);
	assert_false(is_down(setup, KEY_LEFTSHIFT));
}

/* A worker is killed with keys down and buffers in flight; the next one lets them go. */
static void test_killed(void **state)
{
	struct setup *setup = *state;

	start_worker(setup, "keyboard");
	offer(setup, BUFFERS);
	for (int i = 0; i < 20; i++) {
		send_key(setup, KEY_A, true);
		send_key(setup, KEY_B, true);
		send_key(setup, KEY_B, false);
		for (int frame = 0; frame < 3; frame++)
			read_frame(setup);
		assert_true(is_down(setup, KEY_A));
		loopback_process_end(&setup->process, SIGKILL);
		loopback_frontend_disconnect(&setup->frontend);
		start_worker(setup, "keyboard");
		read_frame(setup);
		assert_false(is_down(setup, KEY_A));
		/* B as well, where it had no time to note that the guest knows that it is up */
		assert_in_range(setup->last_count, 2, 3);
	}
}

static void test_reset(void **state)
{
	struct setup *setup = *state;

	start_worker(setup, "keyboard");
	offer(setup, BUFFERS);
	send_key(setup, KEY_A, true);
	read_frame(setup);
	assert_int_equal(loopback_frontend_reset(&setup->frontend), 0);
	input_state_init(&setup->state);
	offer(setup, BUFFERS);
	/* It is still held. */
	read_frame(setup);
	assert_true(is_down(setup, KEY_A));
	send_key(setup, KEY_A, false);
	read_frame(setup);
	assert_false(is_down(setup, KEY_A));
}

/* As fast as a guest can: the seat is told now and then, and of the last one. */
static void test_led_flood(void **state)
{
	struct setup *setup = *state;
	struct loopback_queue *queue = &setup->frontend.queues[STATUS];
	struct seat_input_packet packet;
	unsigned told = 0;
	bool last = false;

	start_worker(setup, "keyboard");
	for (unsigned i = 0; i < BUFFERS; i++) {
		struct memory_piece piece = loopback_piece(
		    &setup->frontend.memory, &setup->written[i], sizeof(*setup->written));

		setup->written[i] = (struct seat_input_event){ EV_LED, LED_CAPSL, i % 2 };
		if (i == BUFFERS - 1)
			setup->written[i].code = LED_SCROLLL;
		loopback_queue_add(queue, &piece, 1, NULL, 0, NULL);
		loopback_queue_kick_always(queue);
	}
	while (!last) {
		unsigned count = receive_status(setup, &packet);

		told++;
		for (unsigned i = 0; i < count; i++)
			last = last ||
			       (packet.events[i].code == LED_SCROLLL && packet.events[i].value);
	}
	assert_true(told < BUFFERS / 2);
}

static char *wait_for_output(struct setup *setup)
{
	while (loopback_process_is_running(&setup->process))
		usleep(1000);
	return loopback_process_output(&setup->process);
}

/* One process, and what holds it where the sandbox is on. */
static void test_contained(void **state)
{
	struct setup *setup = *state;
	char *output;

	start_worker(setup, "touch");
	offer(setup, BUFFERS);
	send_frame(setup, &(struct seat_input_event){ EV_KEY, BTN_TOUCH, 1 }, 1);
	read_frame(setup);
	assert_int_equal(loopback_process_renderer(&setup->process), setup->process.pid);
	expect_status(setup->process.pid, "Threads", "1");
#ifndef __SANITIZE_ADDRESS__
	expect_status(setup->process.pid, "Seccomp", "2");
	expect_status(setup->process.pid, "NoNewPrivs", "1");
	expect_status(setup->process.pid, "CapEff", "0000000000000000");
	expect_status(setup->process.pid, "CapBnd", "0000000000000000");
#endif
	kill(setup->process.pid, SIGUSR2); /* statistics */
	loopback_frontend_disconnect(&setup->frontend);
	output = wait_for_output(setup);
	assert_non_null(output);
	assert_null(strstr(output, "refuse"));
	free(output);
	assert_int_equal(loopback_process_end(&setup->process, 0), 0);
}

/* Nobody has introduced it: it does so itself. */
static void test_joins(void **state)
{
	static const char answer[] = "{\"ok\":true}",
			  refusal[] = "{\"ok\":false,\"error\":\"full\"}";
	struct setup *setup = *state;
	char folder[] = "/tmp/gpudom-input-test.XXXXXX", path[64], option[96], text[1024];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *const argv[] = { setup->worker, "--device=mouse", "--fd={fd}", option,
		"--guest=clock", NULL };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), manager;
	char *output;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/seat", folder);
	snprintf(option, sizeof(option), "--seat=%s", path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	for (int refused = 1; refused >= 0; refused--) {
		const char *said = refused ? refusal : answer;
		char bytes[CMSG_SPACE(sizeof(int))];
		struct iovec piece = { text, sizeof(text) - 1 };
		struct msghdr packet = { .msg_iov = &piece,
			.msg_iovlen = 1,
			.msg_control = bytes,
			.msg_controllen = sizeof(bytes) };
		ssize_t n;

		assert_int_equal(loopback_process_spawn(&setup->process, argv, true), 0);
		manager = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(manager >= 0);
		n = recvmsg(manager, &packet, MSG_CMSG_CLOEXEC);
		assert_true(n > 0);
		text[n] = '\0';
		assert_non_null(strstr(text, "\"add\""));
		assert_non_null(strstr(text, "\"clock\""));
		assert_non_null(strstr(text, "\"mouse\""));
		if (!CMSG_FIRSTHDR(&packet))
			abort();
		close_fd(&setup->seat);
		memcpy(&setup->seat, CMSG_DATA(CMSG_FIRSTHDR(&packet)), sizeof(int));
		send(manager, said, strlen(said), 0);
		close(manager);
		if (!refused)
			break;
		output = wait_for_output(setup);
		assert_non_null(strstr(output, "full"));
		free(output);
		assert_int_not_equal(loopback_process_end(&setup->process, 0), 0);
	}
	assert_int_equal(loopback_frontend_connect(&setup->frontend, setup->process.socket), 0);
	setup->process.socket = -1;
	offer(setup, BUFFERS);
	send_frame(setup, &(struct seat_input_event){ EV_REL, REL_X, -5 }, 1);
	read_frame(setup);
	assert_int_equal(setup->last[0].value, -5);
	close(listener);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)
		TEST(test_kinds),
		TEST(test_keyboard),
		TEST(test_nonsense),
		TEST(test_seat_again),
		TEST(test_killed),
		TEST(test_reset),
		TEST(test_led_flood),
		TEST(test_contained),
		TEST(test_joins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
