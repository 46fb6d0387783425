/* SPDX-License-Identifier: MIT */
/* The vhost-user back end: features, requests, configuration, resets. */
#include "tests/unit/vhost_user_frontend.h"

/* ---------------------------------------------------------------- features */

static void test_features(void **state)
{
	struct test *test = *state;

	assert_int_equal(ask_u64(test, VHOST_USER_GET_FEATURES), FEATURES);
	assert_int_equal(ask_u64(test, VHOST_USER_GET_PROTOCOL_FEATURES), PROTOCOL);
	negotiate(test);
	assert_int_equal(test->fake.features, FEATURES & ~BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	assert_int_equal(ask_u64(test, VHOST_USER_GET_QUEUE_NUM), FAKE_QUEUES);
	assert_int_equal(ask_u64(test, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
}

static void test_xen_mmap_is_offered_with_xen_memory(void **state)
{
	struct test *test = *state;

	assert_int_equal(ask_u64(test, VHOST_USER_GET_PROTOCOL_FEATURES),
	    PROTOCOL | BIT(VHOST_USER_PROTOCOL_F_XEN_MMAP));
}

static void test_features_not_offered(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_FEATURES, 8);

	m.payload.u64 = BIT(VIRTIO_F_RING_PACKED);
	assert_refused(test, &m);
}

static void test_features_of_the_front_end(void **state)
{
	struct test *test = *state;

	negotiate(test);
	assert_int_equal(
	    tell_u64(test, VHOST_USER_SET_FEATURES, FEATURES | BIT(VIRTIO_F_RING_RESET)), 0);
}

static void test_protocol_features_not_offered(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_PROTOCOL_FEATURES, 8);

	m.payload.u64 = BIT(VHOST_USER_PROTOCOL_F_XEN_MMAP);
	assert_refused(test, &m);
}

static void test_features_change_under_a_running_queue(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_FEATURES, 8);

	start(test);
	assert_int_equal(tell_u64(test, VHOST_USER_SET_FEATURES, FEATURES), 0);
	m.payload.u64 = FEATURES & ~BIT(VIRTIO_RING_F_EVENT_IDX);
	assert_refused(test, &m);
}

static void test_no_acknowledgement_where_none_is_asked_for(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_OWNER, 0);

	send_message(test, &m); /* REPLY_ACK is not negotiated yet */
	assert_int_equal(vhost_user_receive(&test->receiver, &m), 0);
	negotiate(test);
	m = message(VHOST_USER_SET_OWNER, 0);
	m.flags = 0;
	send_message(test, &m);
	assert_int_equal(vhost_user_receive(&test->receiver, &m), 0);
	m = message(VHOST_USER_SET_OWNER, 0);
	assert_int_equal(tell(test, &m), 0);
}

/* ---------------------------------------------------------------- requests */

static void test_requests_come_back(void **state)
{
	struct test *test = *state;

	start(test);
	for (int i = 0; i < 20; i++)
		assert_works(test);
	assert_int_equal(test->fake.requests, 20);
}

static void test_requests_that_came_before_the_start(void **state)
{
	struct test *test = *state;

	ring_add_request(&test->ring, 0);
	ring_add_request(&test->ring, 2);
	start(test);
	assert_int_equal(test->ring.used->idx, 2);
}

static void test_kick_storm_is_one_wake(void **state)
{
	struct test *test = *state;
	uint64_t storm = 1000000;
	unsigned before;

	start(test);
	before = test->fake.processed[0];
	ring_add_request(&test->ring, 0);
	assert_int_equal(write(test->kick, &storm, 8), 8);
	run(test);
	assert_int_equal(test->fake.processed[0], before + 1);
	assert_int_equal(test->ring.used->idx, 1);
}

static void test_ring_is_enabled_last(void **state)
{
	struct test *test = *state;

	negotiate(test);
	share_memory(test);
	describe_queue(test, 0, 0);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_KICK, 0, test->kick), 0);
	ring_add_request(&test->ring, 0);
	kick(test);
	assert_int_equal(test->fake.processed[0], 0);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(test->ring.used->idx, 1);
	assert_works(test);
}

static void test_disabled_ring_waits(void **state)
{
	struct test *test = *state;

	start(test);
	assert_works(test);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	ring_add_request(&test->ring, 0);
	kick(test);
	assert_int_equal(test->ring.used->idx, 1);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(test->ring.used->idx, 2);
}

static void test_ring_starts_enabled_without_protocol_features(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_FEATURES, 8), table, addr,
				  state_message;

	m.payload.u64 = FEATURES & ~BIT(VHOST_USER_F_PROTOCOL_FEATURES);
	send_message(test, &m);
	table = mem_table(test);
	send_message(test, &table);
	state_message = message(VHOST_USER_SET_VRING_NUM, 8);
	state_message.payload.state = (struct vhost_user_vring_state){ 0, RING_SIZE };
	send_message(test, &state_message);
	addr = vring_addr(0);
	send_message(test, &addr);
	m = message(VHOST_USER_SET_VRING_CALL, 8);
	m.fds[0] = test->call;
	m.fd_count = 1;
	send_message(test, &m);
	m.request = VHOST_USER_SET_VRING_KICK;
	m.fds[0] = test->kick;
	send_message(test, &m);
	assert_works(test);
}

static void test_get_vring_base_drains_and_stops(void **state)
{
	struct test *test = *state;

	start(test);
	assert_works(test);
	test->fake.hold = true;
	ring_add_request(&test->ring, 0);
	ring_add_request(&test->ring, 4);
	kick(test);
	assert_int_equal(test->ring.used->idx, 1);
	assert_int_equal(get_vring_base(test, 0), 3);
	assert_int_equal(test->fake.drains, 1);
	assert_int_equal(test->ring.used->idx, 3);
	assert_false(test->fake.device.queues[0].started);
	ring_add_request(&test->ring, 0);
	kick(test);
	assert_int_equal(test->ring.used->idx, 3);
	assert_int_equal(ring_take_event(test->kick), 1); /* nobody listens */
	assert_int_equal(get_vring_base(test, 0), 3);
	assert_int_equal(get_vring_base(test, 1), 0);

	/* As after a pause of the machine: no reset */
	test->fake.hold = false;
	start_queue(test, 0, 3);
	assert_int_equal(test->ring.used->idx, 4);
	assert_works(test);
	assert_int_equal(test->fake.resets, 0);
}

/* A device that has not taken all asks to be called again, after other events. */
static void test_device_that_asks_for_another_turn(void **state)
{
	struct test *test = *state;
	unsigned before;

	start(test);
	before = test->fake.processed[0];
	test->fake.call_again = 3;
	kick(test);
	assert_int_equal(test->fake.processed[0], before + 4);
	assert_works(test);
}

static void test_kick_call_and_error_can_change(void **state)
{
	struct test *test = *state;
	int kick_fd = eventfd(0, EFD_NONBLOCK), call_fd = eventfd(0, EFD_NONBLOCK);
	const uint64_t one = 1;

	start(test);
	assert_works(test);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_KICK, 0, kick_fd), 0);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_CALL, 0, call_fd), 0);
	*test->ring.used_event = 1;
	ring_add_request(&test->ring, 0);
	assert_int_equal(write(kick_fd, &one, 8), 8);
	run(test);
	assert_int_equal(test->ring.used->idx, 2);
	assert_int_equal(ring_take_event(test->call), 0);
	assert_int_equal(ring_take_event(call_fd), 1);
	/* none: the driver polls */
	assert_int_equal(tell_u64(test, VHOST_USER_SET_VRING_CALL, 0 | VHOST_USER_VRING_NOFD), 0);
	assert_int_equal(tell_u64(test, VHOST_USER_SET_VRING_ERR, 0 | VHOST_USER_VRING_NOFD), 0);
	*test->ring.used_event = 2;
	ring_add_request(&test->ring, 0);
	assert_int_equal(write(kick_fd, &one, 8), 8);
	run(test);
	assert_int_equal(test->ring.used->idx, 3);
	assert_int_equal(ring_take_event(call_fd), 0);
	close(kick_fd);
	close(call_fd);
}

static void test_two_queues(void **state)
{
	struct test *test = *state;

	start(test);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_NUM, 1, 4), 0);
	assert_int_equal(get_vring_base(test, 0), 0);
	start_queue(test, 1, 0);
	assert_works(test);
	assert_int_equal(test->fake.processed[1] > 0, 1);
}

/* ---------------------------------------------------------------- a guest's bad rings */

static void assert_queue_breaks(struct test *test)
{
	assert_true(test->fake.device.queues[0].broken);
	assert_int_equal(ring_take_event(test->error), 1);
	assert_int_equal(ask_u64(test, VHOST_USER_GET_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET,
	    VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(test->closed, 0);
	/* After the reset that is due all is well. */
	assert_int_equal(tell_u64(test, VHOST_USER_SET_STATUS, 0), 0);
	assert_int_equal(ask_u64(test, VHOST_USER_GET_STATUS), 0);
	ring_clear(&test->ring);
	ring_set_size(&test->ring, RING_SIZE);
	start_queue(test, 0, 0);
	assert_works(test);
}

static void test_broken_ring_needs_reset(void **state)
{
	struct test *test = *state;

	start(test);
	ring_add(&test->ring, UINT16_MAX);
	kick(test);
	assert_queue_breaks(test);
}

static void test_notify_storm_on_a_broken_queue(void **state)
{
	struct test *test = *state;
	unsigned before;

	start(test);
	ring_add(&test->ring, UINT16_MAX);
	kick(test);
	before = test->fake.processed[0];
	for (int i = 0; i < 100; i++)
		kick(test);
	assert_int_equal(test->fake.processed[0], before);
	assert_true(ring_take_event(test->kick) > 90); /* nobody listens any more */
	assert_queue_breaks(test);
}

static void test_queue_sizes_break_the_queue_alone(void **state)
{
	struct test *test = *state;
	const uint16_t sizes[] = { 0, 3, 2048, 32768, UINT16_MAX };

	negotiate(test);
	share_memory(test);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		test->ring.size = sizes[i];
		describe_queue(test, 0, 0);
		assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
		assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_KICK, 0, test->kick), 1);
		assert_queue_breaks(test);
		assert_int_equal(tell_u64(test, VHOST_USER_SET_STATUS, 0), 0);
	}
}

static void test_ring_addresses_break_the_queue_alone(void **state)
{
	struct test *test = *state;
	const uint64_t bad[] = { 0, RING_USER - 16, RING_USER + RING_MEMORY - 16, UINT64_MAX - 15,
		RING_USER + 0x1001 };

	negotiate(test);
	share_memory(test);
	for (size_t part = 0; part < 3; part++) {
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			struct vhost_user_message m = vring_addr(0);
			struct vhost_user_vring_addr *addr = &m.payload.addr;
			uint64_t *const parts[] = { &addr->descriptor, &addr->used,
				&addr->available };

			*parts[part] = bad[i];
			describe_queue(test, 0, 0);
			assert_int_equal(tell(test, &m), 0);
			assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
			assert_int_equal(
			    tell_fd(test, VHOST_USER_SET_VRING_KICK, 0, test->kick), 1);
			assert_queue_breaks(test);
			assert_int_equal(tell_u64(test, VHOST_USER_SET_STATUS, 0), 0);
		}
	}
}

static void test_kick_without_addresses(void **state)
{
	struct test *test = *state;

	negotiate(test);
	share_memory(test);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_KICK, 0, test->kick), 0);
	assert_false(test->fake.device.queues[0].started);
	kick(test);
	assert_int_equal(test->fake.processed[0], 0);
	start_queue(test, 0, 0);
	assert_works(test);
}

/* ---------------------------------------------------------------- configuration */

static struct vhost_user_message config(uint32_t request, uint32_t offset, uint32_t size)
{
	struct vhost_user_message m = message(request, VHOST_USER_CONFIG_HEADER_SIZE + size);

	m.payload.config.offset = offset;
	m.payload.config.size = size;
	return m;
}

static void test_get_config_answers_what_is_asked(void **state)
{
	struct test *test = *state;
	const uint32_t sizes[] = { 0, 1, 16, 20, 24, 256 };

	negotiate(test);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vhost_user_message m = config(VHOST_USER_GET_CONFIG, 4, sizes[i]);

		ask(test, &m);
		assert_int_equal(m.size, VHOST_USER_CONFIG_HEADER_SIZE + sizes[i]);
		assert_int_equal(m.payload.config.size, sizes[i]);
		assert_int_equal(m.payload.config.offset, 4);
		for (uint32_t j = 0; j < sizes[i]; j++)
			assert_int_equal(
			    m.payload.config.bytes[j], j + 4 < FAKE_CONFIG_SIZE ? j + 5 : 0);
	}
}

static void test_get_config_far_outside(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = config(VHOST_USER_GET_CONFIG, UINT32_MAX - 2, 8);

	negotiate(test);
	memset(m.payload.config.bytes, 0xff, 8);
	ask(test, &m);
	assert_memory_equal(m.payload.config.bytes, "\0\0\0\0\0\0\0\0", 8);
}

static void test_set_config(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = config(VHOST_USER_SET_CONFIG, 2, 3);

	negotiate(test);
	memcpy(m.payload.config.bytes, "abc", 3);
	assert_int_equal(tell(test, &m), 0);
	assert_memory_equal(test->fake.config + 1, "\2abc\6", 5);
	m.payload.config.flags = 2;
	assert_refused(test, &m);
}

static void test_get_config_larger_than_a_message(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = config(VHOST_USER_GET_CONFIG, 0, 8);

	negotiate(test);
	m.payload.config.size = 257;
	assert_refused(test, &m);
}

static void test_get_config_size_that_the_payload_has_not(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = config(VHOST_USER_GET_CONFIG, 0, 8);

	negotiate(test);
	m.payload.config.size = 200;
	assert_refused(test, &m);
}

static void test_config_change_reaches_the_front_end(void **state)
{
	struct test *test = *state;
	struct virtio_host *host = &test->fake.device.host;
	struct vhost_user_message m = message(VHOST_USER_SET_BACKEND_REQ_FD, 0);
	struct vhost_user_receiver receiver;
	int fds[2], count = 0;

	host->config_changed(host->data); /* nobody to tell */
	negotiate(test);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	m.fds[0] = fds[0];
	m.fd_count = 1;
	assert_int_equal(tell(test, &m), 0);
	close(fds[0]);
	vhost_user_receiver_init(&receiver, fds[1]);
	host->config_changed(host->data);
	assert_int_equal(vhost_user_receive(&receiver, &m), 1);
	assert_int_equal(m.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(m.flags, VHOST_USER_VERSION);
	assert_int_equal(m.size, 0);
	assert_int_equal(vhost_user_receive(&receiver, &m), 0);

	/* A front end that does not read neither blocks us nor loses the last change. */
	for (int i = 0; i < 100000; i++)
		host->config_changed(host->data);
	while (vhost_user_receive(&receiver, &m) == 1)
		count++;
	assert_in_range(count, 1, 99999);
	host->config_changed(host->data);
	assert_int_equal(vhost_user_receive(&receiver, &m), 1);
	close(fds[1]);
	host->config_changed(host->data); /* it is gone */
	host->config_changed(host->data);
	assert_int_equal(ask_u64(test, VHOST_USER_GET_STATUS), 0);
}

static void test_backend_req_fd_is_no_socket(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_BACKEND_REQ_FD, 0);

	negotiate(test);
	m.fds[0] = test->ring.fd;
	m.fd_count = 1;
	assert_refused(test, &m);
}

/* ---------------------------------------------------------------- status and reset */

static void test_status(void **state)
{
	struct test *test = *state;

	start(test);
	assert_works(test);
	assert_int_equal(tell_u64(test, VHOST_USER_SET_STATUS, 15), 0);
	assert_int_equal(ask_u64(test, VHOST_USER_GET_STATUS), 15);
	assert_int_equal(test->fake.resets, 0);
	test->fake.hold = true;
	ring_add_request(&test->ring, 0);
	kick(test);
	assert_int_equal(tell_u64(test, VHOST_USER_SET_STATUS, 0), 0);
	assert_int_equal(test->fake.resets, 1);
	assert_int_equal(test->fake.held_count[0], 0);
	assert_false(test->fake.device.queues[0].started);
	/* enabling alone does not bring it back */
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_false(test->fake.device.queues[0].started);
	test->fake.hold = false;
	ring_clear(&test->ring);
	ring_take_event(test->call);
	start_queue(test, 0, 0);
	assert_works(test);
	assert_int_equal(test->fake.resets, 1);
}

static void test_reset_device_and_owner(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_RESET_DEVICE, 0);

	start(test);
	assert_works(test);
	assert_int_equal(tell(test, &m), 0);
	assert_int_equal(test->fake.resets, 1);
	ring_clear(&test->ring);
	start_queue(test, 0, 0);
	assert_works(test);
	m.request = VHOST_USER_RESET_OWNER;
	assert_int_equal(tell(test, &m), 0);
	assert_int_equal(test->fake.resets, 2);
	assert_false(test->fake.device.queues[0].started);
}

static void test_base_0_after_requests_is_a_reset(void **state)
{
	struct test *test = *state;

	start(test);
	assert_works(test);
	assert_int_equal(get_vring_base(test, 0), 1);
	assert_int_equal(test->fake.resets, 0);
	ring_clear(&test->ring);
	start_queue(test, 0, 0);
	assert_int_equal(test->fake.resets, 1);
	/* the features of before still hold */
	assert_int_equal(test->fake.features, FEATURES & ~BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	assert_works(test);
	/* no reset where nothing was done */
	assert_int_equal(get_vring_base(test, 0), 1);
	ring_clear(&test->ring);
	start_queue(test, 0, 0);
	assert_int_equal(test->fake.resets, 2);
	assert_int_equal(get_vring_base(test, 0), 0);
	start_queue(test, 0, 0);
	assert_int_equal(test->fake.resets, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_features),
		TEST_XEN(test_xen_mmap_is_offered_with_xen_memory),
		TEST(test_features_not_offered),
		TEST(test_features_of_the_front_end),
		TEST(test_protocol_features_not_offered),
		TEST(test_features_change_under_a_running_queue),
		TEST(test_no_acknowledgement_where_none_is_asked_for),

		TEST(test_requests_come_back),
		TEST(test_requests_that_came_before_the_start),
		TEST(test_kick_storm_is_one_wake),
		TEST(test_device_that_asks_for_another_turn),
		TEST(test_ring_is_enabled_last),
		TEST(test_disabled_ring_waits),
		TEST(test_ring_starts_enabled_without_protocol_features),
		TEST(test_get_vring_base_drains_and_stops),
		TEST(test_kick_call_and_error_can_change),
		TEST(test_two_queues),

		TEST(test_broken_ring_needs_reset),
		TEST(test_notify_storm_on_a_broken_queue),
		TEST(test_queue_sizes_break_the_queue_alone),
		TEST(test_ring_addresses_break_the_queue_alone),
		TEST(test_kick_without_addresses),

		TEST(test_get_config_answers_what_is_asked),
		TEST(test_get_config_far_outside),
		TEST(test_set_config),
		TEST(test_get_config_larger_than_a_message),
		TEST(test_get_config_size_that_the_payload_has_not),
		TEST(test_config_change_reaches_the_front_end),
		TEST(test_backend_req_fd_is_no_socket),

		TEST(test_status),
		TEST(test_reset_device_and_owner),
		TEST(test_base_0_after_requests_is_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
