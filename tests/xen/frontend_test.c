/* SPDX-License-Identifier: MIT */
/* gpudomd's front end against the real back end with a fake device, memory by grants; and against
 * back ends that misbehave. */
#include "tests/xen/frontend_rig.h"

/* ---------------------------------------------------------- the real back end */

static void handshake_learns_features_and_configuration(void **state)
{
	struct rig *rig = *state;

	wait_for(rig, &rig->ready, 1);
	assert_int_equal(frontend_features(rig->frontend), FAKE_FEATURES | TRANSPORT);
	assert_memory_equal(frontend_config(rig->frontend), rig->fake.config, FAKE_CONFIG_SIZE);
	assert_int_equal(((const uint8_t *)frontend_config(rig->frontend))[FAKE_CONFIG_SIZE], 0);
	assert_int_equal(rig->failed, 0);
}

/* Also while requests are in the air: rings stay mapped, what else was goes. */
static void an_invalidation_empties_the_cache(void **state)
{
	struct rig *rig = *state;
	unsigned rings;

	start(rig);
	rings = fake_gntdev->foreign.maps;
	assert_true(rings > 0);
	assert_served(rig, 0, 0x11);
	assert_int_equal(fake_gntdev->foreign.maps, rings + 1);
	frontend_invalidate(rig->frontend, foreign_open(DOMID), on_done, rig);
	frontend_invalidate(rig->frontend, foreign_open(DOMID), on_done, rig);
	assert_int_equal(rig->done, 0);
	wait_for(rig, &rig->done, 2);
	assert_int_equal(fake_gntdev->foreign.maps, rings);
	assert_served(rig, 1, 0x22);
	assert_int_equal(fake_gntdev->foreign.maps, rings + 1);
	assert_int_equal(rig->failed, 0);
	assert_int_equal(rig->refused, 0);
	assert_int_equal(fake_gntdev->map_calls + fake_gntdev->copy_calls, 0);
}

/* A page that the guest does not have fails its queue or its request, and nothing else. */
static void a_ring_that_is_not_there(void **state)
{
	struct rig *rig = *state;

	fake_foreign_set_absent(PAGE_USED, 1, true); /* of queue 0 */
	start(rig);
	assert_int_equal(rig->refused, 1);
	assert_int_equal(rig->refused_queue, 0);
	assert_served(rig, 1, 0x22);
	assert_int_equal(rig->failed, 0);
}

static void requests_are_served_by_grants(void **state)
{
	struct rig *rig = *state;

	start(rig);
	assert_int_equal(rig->fake.features, FEATURES);
	assert_served(rig, 0, 0x11);
	assert_served(rig, 1, 0x22);
	assert_served(rig, 0, 0x33);
	assert_int_equal(rig->fake.requests, 3);
	assert_int_equal(rig->refused, 0);
	assert_int_equal(rig->failed, 0);
}

static void a_reset_lets_go_of_everything_before_it_is_done(void **state)
{
	struct rig *rig = *state;
	unsigned resets;

	start(rig);
	assert_served(rig, 0, 0x11);
	assert_true(fake_gntdev->pages_mapped > 0);
	resets = rig->fake.resets;
	frontend_reset(rig->frontend, on_done, rig);
	assert_int_equal(rig->done, 0); /* from the loop only */
	wait_for(rig, &rig->done, 1);
	assert_int_equal(rig->mapped_when_done, 0);
	assert_true(rig->fake.resets > resets);
	assert_int_equal(rig->done, 1);
}

static void it_starts_again_after_a_reset(void **state)
{
	struct rig *rig = *state;
	const struct frontend_queue *queues[2] = { &rig->queues[0], NULL };

	start(rig);
	assert_served(rig, 0, 0x11);
	for (unsigned i = 1; i <= 50; i++) {
		frontend_reset(rig->frontend, on_done, rig);
		wait_for(rig, &rig->done, i);
		grant_ring_clear();
		frontend_start(rig->frontend, FEATURES, queues);
		assert_served(rig, 0, (uint8_t)i);
	}
	frontend_start_queue(rig->frontend, 1, &rig->queues[1]);
	assert_served(rig, 1, 0x44);
}

static void one_queue_is_stopped_the_other_goes_on(void **state)
{
	struct rig *rig = *state;
	size_t mapped;

	start(rig);
	mapped = fake_gntdev->pages_mapped;
	frontend_stop_queue(rig->frontend, 1, on_done, rig);
	wait_for(rig, &rig->done, 1);
	assert_int_equal(rig->mapped_when_done, mapped / 2);
	assert_served(rig, 0, 0x55);
	grant_ring_add(1, 0x66);
	eventfd_write(rig->queues[1].kick_fd, 1);
	settle(rig);
	assert_int_equal(rig->fake.requests, 1);
}

static void a_queue_with_bad_rings_is_refused_the_other_served(void **state)
{
	struct rig *rig = *state;

	rig->queues[1].used = grant_ring_bus(1, PAGE_RING, 0x800); /* granted read-only */
	start(rig);
	assert_int_equal(rig->refused, 1); /* and said once */
	assert_int_equal(rig->refused_queue, 1);
	assert_int_equal(rig->failed, 0);
	assert_served(rig, 0, 0x11);
	frontend_reset(rig->frontend, on_done, rig);
	wait_for(rig, &rig->done, 1);
	assert_int_equal(rig->mapped_when_done, 0);
	rig->queues[1].used = grant_ring_bus(1, PAGE_USED, 0);
	grant_ring_clear();
	start(rig);
	assert_int_equal(rig->refused, 1);
	assert_served(rig, 1, 0x22);
}

static void queues_of_impossible_sizes_and_addresses(void **state)
{
	struct rig *rig = *state;
	const struct frontend_queue good = rig->queues[1];

	for (unsigned i = 0; i < 5; i++) {
		rig->queues[1] = good;
		if (i == 0)
			rig->queues[1].size = 0;
		else if (i == 1)
			rig->queues[1].size = 7;
		else if (i == 2)
			rig->queues[1].size = 0x8000;
		else if (i == 3)
			rig->queues[1].desc = 0x5e440000;
		else
			rig->queues[1].avail = UINT64_MAX - 1;
		start(rig);
		assert_int_equal(rig->refused, i + 1);
		frontend_reset(rig->frontend, on_done, rig);
		wait_for(rig, &rig->done, i + 1);
	}
	rig->queues[1] = good;
	start(rig);
	assert_served(rig, 1, 0x77);
	assert_int_equal(rig->failed, 0);
}

static void configuration_is_written_and_read_back(void **state)
{
	struct rig *rig = *state;
	const uint8_t bytes[4] = { 9, 8, 7, 6 };

	wait_for(rig, &rig->ready, 1);
	frontend_write_config(rig->frontend, 8, bytes, 4, on_done, rig);
	wait_for(rig, &rig->done, 1);
	assert_memory_equal(rig->fake.config + 8, bytes, 4);
	assert_memory_equal((const uint8_t *)frontend_config(rig->frontend) + 8, bytes, 4);
	assert_int_equal(rig->config_changed, 0);
}

static void configuration_changes_are_heard_of(void **state)
{
	struct rig *rig = *state;
	struct virtio_host *host = &rig->fake.device.host;

	wait_for(rig, &rig->ready, 1);
	rig->fake.config[0] = 0xaa;
	host->config_changed(host->data);
	wait_for(rig, &rig->config_changed, 1);
	assert_int_equal(((const uint8_t *)frontend_config(rig->frontend))[0], 0xaa);
	/* A storm of them: the last state arrives, with fewer questions than changes. */
	for (unsigned i = 0; i < 1000; i++) {
		rig->fake.config[0] = (uint8_t)i;
		host->config_changed(host->data);
	}
	settle(rig);
	assert_int_equal(((const uint8_t *)frontend_config(rig->frontend))[0], (uint8_t)999);
	assert_true(rig->config_changed < 1000);
	assert_int_equal(rig->failed, 0);
}

static void the_back_end_goes_away(void **state)
{
	struct rig *rig = *state;

	start(rig);
	vhost_user_destroy(rig->user);
	rig->user = NULL;
	wait_for(rig, &rig->failed, 1);
	assert_int_equal(rig->error, -ENOTCONN);
}

static void destroyed_in_the_handshake(void **state)
{
	struct rig *rig = *state;

	/* After each number of steps, down to none. */
	sd_event_run(rig->event, 0);
	sd_event_run(rig->event, 0);
	frontend_destroy(rig->frontend);
	rig->frontend = NULL;
	settle(rig);
	assert_int_equal(rig->ready + rig->failed, 0);
}

/* -------------------------------------------------- back ends that misbehave */

static void a_back_end_that_behaves(void **state)
{
	struct rig *rig = *state;

	start(rig);
	assert_int_equal(rig->failed + rig->refused, 0);
	assert_int_equal(rig->requests[VHOST_USER_SET_MEM_TABLE], 1);
	assert_int_equal(rig->requests[VHOST_USER_SET_VRING_KICK], 2);
	assert_int_equal(rig->requests[VHOST_USER_SET_VRING_ENABLE], 2);
	frontend_reset(rig->frontend, on_done, rig);
	wait_for(rig, &rig->done, 1);
	assert_int_equal(rig->requests[VHOST_USER_GET_VRING_BASE], 2);
	assert_int_equal(rig->requests[VHOST_USER_SET_STATUS], 2);
}

static void a_back_end_without_acknowledgements(void **state)
{
	struct rig *rig = *state;

	rig->peer_protocol = P(XEN_MMAP) | P(CONFIG) | P(RESET_DEVICE);
	start(rig);
	frontend_reset(rig->frontend, on_done, rig);
	wait_for(rig, &rig->done, 1);
	assert_int_equal(rig->requests[VHOST_USER_RESET_DEVICE], 1);
	assert_int_equal(rig->requests[VHOST_USER_SET_STATUS], 0);
	assert_int_equal(rig->requests[VHOST_USER_GET_QUEUE_NUM], 0);
}

static void a_back_end_not_made_for_xen(void **state)
{
	struct rig *rig = *state;

	rig->peer_protocol &= ~P(XEN_MMAP);
	wait_for(rig, &rig->failed, 1);
	assert_int_equal(rig->error, -ENOTSUP);
	assert_int_equal(rig->ready, 0);
	assert_int_equal(rig->requests[VHOST_USER_SET_MEM_TABLE], 0);
}

static void a_back_end_without_protocol_features(void **state)
{
	struct rig *rig = *state;

	rig->peer_features = FEATURES;
	wait_for(rig, &rig->failed, 1);
	assert_int_equal(rig->error, -EPROTO);
}

/* Each of the questions of the handshake is answered wrongly in each way. */
static void wrong_answers(void **state)
{
	static const uint32_t questions[] = { VHOST_USER_GET_FEATURES,
		VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_GET_QUEUE_NUM, VHOST_USER_SET_OWNER,
		VHOST_USER_SET_MEM_TABLE, VHOST_USER_GET_INFLIGHT_FD, VHOST_USER_SET_INFLIGHT_FD,
		VHOST_USER_GET_CONFIG };

	struct rig *rig = *state;

	for (unsigned q = 0; q < sizeof(questions) / sizeof(questions[0]); q++) {
		for (unsigned how = ANSWER_WRONG_REQUEST; how <= GARBAGE; how++) {
			/* To say "refused" needs a request that can be. */
			if (how == ANSWER_NACK && questions[q] != VHOST_USER_SET_MEM_TABLE &&
			    questions[q] != VHOST_USER_SET_INFLIGHT_FD &&
			    questions[q] != VHOST_USER_SET_OWNER)
				continue;
			rig->failed = 0;
			connect_peer(rig);
			rig->misbehave_at = questions[q];
			rig->misbehaviour = how;
			wait_for(rig, &rig->failed, 1);
			assert_int_equal(rig->error, how == HANG_UP ? -ENOTCONN : -EPROTO);
			assert_int_equal(rig->ready, 0);
		}
	}
}

/* Nothing can be left in a channel that is read no more, such as descriptors that seem to live. */
static void a_channel_with_garbage_is_closed(void **state)
{
	struct rig *rig = *state;

	rig->peer_protocol |= P(BACKEND_REQ);
	connect_peer(rig);
	wait_for(rig, &rig->ready, 1);
	assert_int_equal(write(rig->peer_channel, "0123456789abcdefghij", 20), 20);
	settle(rig);
	assert_int_equal(send(rig->peer_channel, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	close(rig->peer_channel);
}

static void a_back_end_that_does_not_answer(void **state)
{
	struct rig *rig = *state;

	rig->options.hello_usec = 1000;
	connect_peer(rig);
	sd_event_source_set_enabled(rig->peer_io, SD_EVENT_OFF);
	wait_for(rig, &rig->failed, 1);
	assert_int_equal(rig->error, -ETIMEDOUT);
}

static void a_back_end_that_hangs_in_a_reset(void **state)
{
	struct rig *rig = *state;

	rig->options.answer_usec = 1000;
	connect_peer(rig);
	wait_for(rig, &rig->ready, 1);
	sd_event_source_set_enabled(rig->peer_io, SD_EVENT_OFF);
	frontend_reset(rig->frontend, on_done, rig);
	wait_for(rig, &rig->failed, 1);
	assert_int_equal(rig->error, -ETIMEDOUT);
	assert_int_equal(rig->done, 0);
}

static void a_back_end_that_does_not_read(void **state)
{
	struct rig *rig = *state;
	uint32_t value = 0;

	wait_for(rig, &rig->ready, 1);
	/* More than any socket's buffer holds: nothing blocks, nothing is lost. */
	sd_event_source_set_enabled(rig->peer_io, SD_EVENT_OFF);
	for (unsigned i = 0; i < 3000; i++)
		frontend_write_config(rig->frontend, 0, &value, sizeof(value), on_done, rig);
	settle(rig);
	assert_int_equal(rig->done, 0);
	sd_event_source_set_enabled(rig->peer_io, SD_EVENT_ON);
	wait_for(rig, &rig->done, 3000);
	assert_int_equal(rig->requests[VHOST_USER_SET_CONFIG], 3000);
	assert_int_equal(rig->failed, 0);
}

static void an_answer_that_nobody_asked_for(void **state)
{
	struct rig *rig = *state;
	struct vhost_user_message message = {
		.request = VHOST_USER_GET_FEATURES,
		.flags = VHOST_USER_REPLY,
		.size = 8,
	};

	start(rig);
	assert_int_equal(vhost_user_send(rig->peer, &message), 0);
	wait_for(rig, &rig->failed, 1);
	assert_int_equal(rig->error, -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(handshake_learns_features_and_configuration),
		TEST(requests_are_served_by_grants),
		TEST(a_reset_lets_go_of_everything_before_it_is_done),
		TEST(it_starts_again_after_a_reset),
		TEST(one_queue_is_stopped_the_other_goes_on),
		TEST(a_queue_with_bad_rings_is_refused_the_other_served),
		TEST(queues_of_impossible_sizes_and_addresses),
		TEST(configuration_is_written_and_read_back),
		TEST(configuration_changes_are_heard_of),
		FOREIGN_TEST(configuration_is_written_and_read_back),
		FOREIGN_TEST(it_starts_again_after_a_reset),
		FOREIGN_TEST(queues_of_impossible_sizes_and_addresses),
		FOREIGN_TEST(an_invalidation_empties_the_cache),
		FOREIGN_TEST(a_ring_that_is_not_there),
		TEST(the_back_end_goes_away),
		TEST(destroyed_in_the_handshake),
		PEER_TEST(a_back_end_that_behaves),
		PEER_TEST(a_back_end_without_acknowledgements),
		PEER_TEST(a_back_end_not_made_for_xen),
		PEER_TEST(a_back_end_without_protocol_features),
		PEER_TEST(wrong_answers),
		PEER_TEST(a_channel_with_garbage_is_closed),
		PEER_TEST(a_back_end_that_does_not_answer),
		PEER_TEST(a_back_end_that_hangs_in_a_reset),
		PEER_TEST(a_back_end_that_does_not_read),
		PEER_TEST(an_answer_that_nobody_asked_for),
	};

	return cmocka_run_group_tests_name("frontend", tests, NULL, NULL);
}
