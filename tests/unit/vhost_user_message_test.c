/* SPDX-License-Identifier: MIT */
/* The vhost-user back end and codec: malformed messages, broken streams, and every end. */
#include <sys/epoll.h>

#include "tests/unit/vhost_user_frontend.h"

/* ---------------------------------------------------------------- malformed messages */

static void test_unknown_request(void **state)
{
	const uint32_t requests[] = { 0, 6, 19, 41, 1000, UINT32_MAX };

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct vhost_user_message m = message(requests[i], 0);
		void *test = NULL;

		setup(&test);
		assert_refused(test, &m);
		teardown(&test);
	}
}

/* Every request with too few bytes, too many bytes and too many descriptors, where that is wrong.
 */
static void test_sizes_and_descriptors_that_do_not_fit(void **state)
{
	for (uint32_t request = 1; request <= 40; request++) {
		const uint32_t sizes[] = { 0, 7, 8, 9, 41, 328 };

		for (size_t i = 0; i < 6; i++) {
			struct vhost_user_message m = message(request, sizes[i]);
			struct test *test;
			void *t = NULL;

			setup(&t);
			test = t;
			negotiate(test);
			memset(m.payload.bytes, 0xee, sizeof(m.payload.bytes));
			m.fds[0] = m.fds[1] = m.fds[2] = test->kick;
			m.fd_count = 3;
			assert_refused(test, &m); /* nothing takes 3 of them but SET_MEM_TABLE */
			teardown(&t);
		}
	}
}

static void test_feature_that_was_not_negotiated(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_STATUS, 8);

	m.payload.u64 = 1;
	assert_refused(test, &m);
}

static void test_reply_from_the_front_end(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_OWNER, 0);

	m.flags = VHOST_USER_REPLY;
	assert_refused(test, &m);
}

static void test_vring_index_out_of_range(void **state)
{
	const uint32_t requests[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_ADDR,
		VHOST_USER_SET_VRING_BASE, VHOST_USER_GET_VRING_BASE, VHOST_USER_SET_VRING_ENABLE,
		VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_ERR };

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct vhost_user_message m = vring_addr(FAKE_QUEUES);
		struct test *test;
		void *t = NULL;

		setup(&t);
		test = t;
		negotiate(test);
		m.request = requests[i];
		m.size = requests[i] == VHOST_USER_SET_VRING_ADDR ? 40 : 8;
		if (i >= 5) {
			m.payload.u64 = FAKE_QUEUES;
			m.fds[0] = test->kick;
			m.fd_count = 1;
		}
		assert_refused(test, &m);
		teardown(&t);
	}
}

static void test_vring_messages_under_a_running_queue(void **state)
{
	const uint32_t requests[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_ADDR,
		VHOST_USER_SET_VRING_BASE };

	for (size_t i = 0; i < 3; i++) {
		struct vhost_user_message m = vring_addr(0);
		struct test *test;
		void *t = NULL;

		setup(&t);
		test = t;
		start(test);
		assert_int_equal(tell(test, &m), 0); /* the same addresses are no change */
		m.request = requests[i];
		m.size = requests[i] == VHOST_USER_SET_VRING_ADDR ? 40 : 8;
		m.payload.addr.used += 64;
		assert_refused(test, &m);
		teardown(&t);
	}
}

static void test_vring_numbers_that_are_none(void **state)
{
	const uint32_t requests[] = { VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_BASE,
		VHOST_USER_SET_VRING_ENABLE };

	for (size_t i = 0; i < 3; i++) {
		struct vhost_user_message m = message(requests[i], 8);
		void *t = NULL;

		setup(&t);
		negotiate(t);
		m.payload.state.num = 65536;
		assert_refused(t, &m);
		teardown(&t);
	}
}

static void test_kick_by_polling_is_refused(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_VRING_KICK, 8);

	negotiate(test);
	m.payload.u64 = VHOST_USER_VRING_NOFD;
	assert_refused(test, &m);
}

static void test_descriptor_missing_where_the_message_is_about_one(void **state)
{
	const uint32_t requests[] = { VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_SET_INFLIGHT_FD,
		VHOST_USER_GPU_SET_SOCKET };

	for (size_t i = 0; i < 3; i++) {
		struct vhost_user_message m = message(requests[i], i == 1 ? 24 : 0);
		struct test *test;
		void *t = NULL;
		int fds[2], saved = dup(STDIN_FILENO);

		/* Standard input, descriptor 0, would do for all of them. */
		setup(&t);
		test = t;
		negotiate(test);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		assert_true(dup2(i == 1 ? test->ring.fd : fds[0], STDIN_FILENO) >= 0);
		m.payload.inflight = (struct vhost_user_inflight){ 4096, 0, 2, 8, 0 };
		assert_refused(test, &m);
		assert_int_equal(test->gpu_fd, -1);
		dup2(saved, STDIN_FILENO);
		close(saved);
		close(fds[0]);
		close(fds[1]);
		test->descriptors--; /* saved was open when they were counted */
		teardown(&t);
	}
}

static void test_descriptor_announced_and_missing(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_VRING_CALL, 8);

	m.payload.u64 = 0;
	assert_refused(test, &m);
}

static void test_descriptor_that_was_not_announced(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_VRING_CALL, 8);

	m.payload.u64 = VHOST_USER_VRING_NOFD;
	m.fds[0] = test->call;
	m.fd_count = 1;
	assert_refused(test, &m);
}

static void test_descriptors_that_are_no_eventfd(void **state)
{
	for (unsigned i = 0; i < 9; i++) {
		struct vhost_user_message m = message(VHOST_USER_SET_VRING_KICK + i % 3, 8);
		struct test *test;
		void *t = NULL;
		int fds[2];

		setup(&t);
		test = t;
		assert_int_equal(pipe(fds), 0);
		m.payload.u64 = 0;
		m.fds[0] = i < 3 ? fds[i % 2] : i < 6 ? test->ring.fd : test->fd;
		m.fd_count = 1;
		assert_int_equal(vhost_user_send(test->fd, &m), 0);
		assert_closed(test, -EPROTO);
		close(fds[0]);
		close(fds[1]);
		teardown(&t);
	}
}

static void test_kick_descriptor_of_no_use_does_not_spin(void **state)
{
	struct test *test = *state;
	int epoll = epoll_create1(EPOLL_CLOEXEC), ready = eventfd(1, EFD_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN };
	unsigned before;

	/* An epoll descriptor has no file type either; it is readable, and read() fails. */
	start(test);
	before = test->fake.processed[0];
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, ready, &ev), 0);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_KICK, 0, epoll), 0);
	assert_int_equal(sd_event_run(test->event, 0), 0);
	assert_int_equal(test->fake.processed[0], before + 1); /* by the message alone */
	close(epoll);
	close(ready);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_KICK, 0, test->kick), 0);
	assert_works(test);
}

/* ---------------------------------------------------------------- the stream */

static void send_bytes(struct test *test, const void *bytes, size_t size)
{
	assert_int_equal(send(test->fd, bytes, size, MSG_NOSIGNAL), size);
}

static void test_message_in_single_bytes(void **state)
{
	struct test *test = *state;
	uint32_t words[5] = { VHOST_USER_SET_PROTOCOL_FEATURES, 1, 8, (uint32_t)PROTOCOL, 0 };
	uint32_t get[3] = { VHOST_USER_GET_FEATURES, 1, 0 };
	struct vhost_user_message m;

	for (size_t i = 0; i < sizeof(words); i++) {
		send_bytes(test, (uint8_t *)words + i, 1);
		run(test);
	}
	for (size_t i = 0; i < sizeof(get); i++) {
		assert_int_equal(vhost_user_receive(&test->receiver, &m), 0);
		send_bytes(test, (uint8_t *)get + i, 1);
		run(test);
	}
	assert_int_equal(vhost_user_receive(&test->receiver, &m), 1);
	assert_int_equal(m.payload.u64, FEATURES);
	/* and REPLY_ACK has been negotiated */
	m = message(VHOST_USER_SET_OWNER, 0);
	assert_int_equal(tell(test, &m), 0);
}

static void test_many_messages_at_once(void **state)
{
	struct test *test = *state;
	uint32_t words[3 * 100];
	struct vhost_user_message m;
	int count = 0;

	for (int i = 0; i < 100; i++) {
		words[3 * i] = VHOST_USER_GET_FEATURES;
		words[3 * i + 1] = 1;
		words[3 * i + 2] = 0;
	}
	send_bytes(test, words, sizeof(words));
	run(test);
	while (vhost_user_receive(&test->receiver, &m) == 1)
		count++;
	assert_int_equal(count, 100);
}

static void test_another_version(void **state)
{
	struct test *test = *state;
	uint32_t words[3] = { VHOST_USER_GET_FEATURES, 2, 0 };

	send_bytes(test, words, sizeof(words));
	assert_closed(test, -EPROTO);
}

static void test_huge_payload(void **state)
{
	struct test *test = *state;
	uint32_t words[3] = { VHOST_USER_SET_MEM_TABLE, 1, UINT32_MAX };

	send_bytes(test, words, sizeof(words));
	assert_closed(test, -EPROTO);
}

static void test_more_descriptors_than_a_message_holds(void **state)
{
	struct test *test = *state;
	uint32_t words[3] = { VHOST_USER_SET_OWNER, 1, 0 };
	struct iovec iov = { words, sizeof(words) };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(200 * sizeof(int))];
	} control = { 0 };
	struct msghdr hdr = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&hdr);
	int fds[200];

	for (int i = 0; i < 200; i++)
		fds[i] = test->ring.fd;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	assert_int_equal(sendmsg(test->fd, &hdr, MSG_NOSIGNAL), sizeof(words));
	assert_closed(test, -EPROTO);
}

static void test_one_descriptor_more_than_a_message_holds(void **state)
{
	struct test *test = *state;
	uint32_t words[3] = { VHOST_USER_SET_MEM_TABLE, 1, 0 };
	struct iovec iov = { words, sizeof(words) };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(9 * sizeof(int))];
	} control = { 0 };
	struct msghdr hdr = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&hdr);
	struct vhost_user_receiver receiver;
	struct vhost_user_message m;
	int fds[9], sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	for (int i = 0; i < 9; i++)
		fds[i] = test->ring.fd;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	assert_int_equal(sendmsg(sockets[0], &hdr, MSG_NOSIGNAL), sizeof(words));
	vhost_user_receiver_init(&receiver, sockets[1]);
	assert_int_equal(vhost_user_receive(&receiver, &m), -EPROTO);
	vhost_user_receiver_finish(&receiver);
	close(sockets[0]);
	close(sockets[1]);
}

static void test_descriptors_in_pieces_of_a_message(void **state)
{
	struct test *test = *state;
	struct vhost_user_message header = message(VHOST_USER_SET_OWNER, 0);

	/* three times four bytes with five descriptors each: more than eight */
	for (int i = 0; i < 3; i++) {
		uint32_t word = i == 0 ? VHOST_USER_SET_OWNER : i == 1;
		struct iovec iov = { &word, 4 };
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(5 * sizeof(int))];
		} control = { 0 };
		struct msghdr hdr = { .msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes) };
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&hdr);
		int fds[5] = { test->kick, test->kick, test->kick, test->kick, test->kick };

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
		if (sendmsg(test->fd, &hdr, MSG_NOSIGNAL) < 0)
			break;
		run(test);
	}
	(void)header;
	assert_closed(test, -EPROTO);
}

static void test_front_end_that_does_not_read_its_replies(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_GET_FEATURES, 0);

	for (int i = 0; i < 100000 && !test->closed; i++) {
		if (vhost_user_send(test->fd, &m))
			break;
		run(test);
	}
	assert_closed(test, -EPROTO);
}

/* ---------------------------------------------------------------- the end */

static void test_front_end_goes_away(void **state)
{
	struct test *test = *state;

	start(test);
	test->fake.hold = true;
	ring_add_request(&test->ring, 0);
	kick(test);
	assert_int_equal(test->fake.held_count[0], 1);
	shutdown(test->fd, SHUT_WR);
	assert_closed(test, 0);
	assert_int_equal(test->fake.held_count[0], 0);
	assert_int_equal(test->fake.resets, 1);
	assert_int_equal(test->fake.features, 0);
	kick(test); /* does nothing */
	assert_int_equal(test->fake.requests, 1);
}

static void test_front_end_goes_away_in_mid_message(void **state)
{
	struct test *test = *state;
	uint32_t words[4] = { VHOST_USER_SET_FEATURES, 1, 8, 0 };

	send_bytes(test, words, sizeof(words));
	run(test);
	shutdown(test->fd, SHUT_WR);
	assert_closed(test, 0);
}

static void test_destroy_from_closed(void **state)
{
	struct test *test = *state;

	test->destroy_when_closed = true;
	start(test);
	shutdown(test->fd, SHUT_WR);
	assert_closed(test, 0);
	assert_null(test->user);
}

static void test_destroy_from_a_malformed_message(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(99, 0);

	test->destroy_when_closed = true;
	start(test);
	assert_refused(test, &m);
	assert_null(test->user);
}

static void test_destroy_from_within_a_message(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_GPU_SET_SOCKET, 0);
	int fds[2];

	test->destroy_when_gpu = true;
	start(test);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	m.fds[0] = fds[0];
	m.fd_count = 1;
	send_message(test, &m);
	close(fds[0]);
	close(fds[1]);
	assert_null(test->user);
	assert_true(test->gpu_fd >= 0);
	assert_int_equal(test->closed, 0);
	assert_int_equal(test->fake.resets, 1);
	assert_null(test->fake.device.queues);
}

static void test_destroy_from_within_the_device(void **state)
{
	struct test *test = *state;

	start(test);
	test->fake.hook = destroy_user;
	test->fake.hook_data = test;
	kick(test);
	assert_null(test->user);
	assert_int_equal(test->fake.resets, 1);
	assert_null(test->fake.device.queues);
}

static void test_destroy_from_within_a_start(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m;

	negotiate(test);
	share_memory(test);
	describe_queue(test, 0, 0);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	test->fake.hook = destroy_user;
	test->fake.hook_data = test;
	m = message(VHOST_USER_SET_VRING_KICK, 8);
	m.payload.u64 = 0;
	m.fds[0] = test->kick;
	m.fd_count = 1;
	send_message(test, &m);
	assert_null(test->user);
	assert_null(test->fake.device.queues);
}

static void test_gpu_socket(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_GPU_SET_SOCKET, 0);
	int fds[2];

	negotiate(test);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	m.fds[0] = fds[0];
	m.fd_count = 1;
	assert_int_equal(tell(test, &m), 0);
	close(fds[0]);
	assert_true(test->gpu_fd >= 0);
	assert_int_equal(send(test->gpu_fd, "x", 1, 0), 1);
	close(fds[1]);
}

static void test_connections_come_and_go_without_a_leak(void **state)
{
	for (int i = 0; i < 300; i++) {
		void *t = NULL;

		setup(&t);
		start(t);
		assert_works(t);
		teardown(&t); /* counts descriptors */
	}
}

static void test_request_names(void **state)
{
	assert_string_equal(vhost_user_request_name(VHOST_USER_SET_MEM_TABLE), "SET_MEM_TABLE");
	assert_string_equal(vhost_user_request_name(0), "unknown");
	assert_string_equal(vhost_user_request_name(19), "unknown");
	assert_string_equal(vhost_user_request_name(UINT32_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_request),
		cmocka_unit_test(test_sizes_and_descriptors_that_do_not_fit),
		TEST(test_feature_that_was_not_negotiated),
		TEST(test_reply_from_the_front_end),
		cmocka_unit_test(test_vring_index_out_of_range),
		cmocka_unit_test(test_vring_messages_under_a_running_queue),
		cmocka_unit_test(test_vring_numbers_that_are_none),
		TEST(test_kick_by_polling_is_refused),
		cmocka_unit_test(test_descriptor_missing_where_the_message_is_about_one),
		TEST(test_descriptor_announced_and_missing),
		TEST(test_descriptor_that_was_not_announced),
		cmocka_unit_test(test_descriptors_that_are_no_eventfd),
		TEST(test_kick_descriptor_of_no_use_does_not_spin),

		TEST(test_message_in_single_bytes),
		TEST(test_many_messages_at_once),
		TEST(test_another_version),
		TEST(test_huge_payload),
		TEST(test_more_descriptors_than_a_message_holds),
		TEST(test_one_descriptor_more_than_a_message_holds),
		TEST(test_descriptors_in_pieces_of_a_message),
		TEST(test_front_end_that_does_not_read_its_replies),

		TEST(test_front_end_goes_away),
		TEST(test_front_end_goes_away_in_mid_message),
		TEST(test_destroy_from_closed),
		TEST(test_destroy_from_a_malformed_message),
		TEST(test_destroy_from_within_a_message),
		TEST(test_destroy_from_within_the_device),
		TEST(test_destroy_from_within_a_start),
		TEST(test_gpu_socket),
		cmocka_unit_test(test_connections_come_and_go_without_a_leak),
		cmocka_unit_test(test_request_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
