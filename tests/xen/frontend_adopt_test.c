/* SPDX-License-Identifier: MIT */
/* A front end that ends at any moment, and a successor that takes its connection over; a back end
 * that ends, and its successor that gets the file of requests in flight. */
#include "tests/xen/frontend_rig.h"

/* The front end's process dies: its sockets are closed, but for the copies that somebody keeps. */
struct kept {
	int socket, backend_socket;
};

static struct kept abandon(struct rig *rig)
{
	struct kept kept = {
		.socket = dup(frontend_socket(rig->frontend)),
		.backend_socket = -1,
	};

	assert_true(kept.socket >= 0);
	if (frontend_backend_socket(rig->frontend) >= 0)
		kept.backend_socket = dup(frontend_backend_socket(rig->frontend));
	frontend_destroy(rig->frontend);
	rig->frontend = NULL;
	return kept;
}

static void adopt(struct rig *rig, struct kept kept)
{
	rig->ready = 0;
	assert_true(rig->state.settled);
	assert_int_equal(
	    frontend_adopt(&rig->options, kept.socket, kept.backend_socket, &rig->frontend), 0);
}

static void abandon_and_adopt(struct rig *rig)
{
	adopt(rig, abandon(rig));
	wait_for(rig, &rig->ready, 1);
}

/* ------------------------------------------------------------------ when it is settled */

static bool settled_when_done;

static void on_done_settled(void *data)
{
	struct rig *rig = data;

	settled_when_done = rig->state.settled;
	rig->done++;
}

static void settled_means_that_nothing_is_under_way(void **state)
{
	struct rig *rig = *state;
	const struct frontend_queue *queues[2] = { &rig->queues[0], &rig->queues[1] };
	struct virtio_host *host = &rig->fake.device.host;

	assert_false(rig->state.settled);
	wait_for(rig, &rig->ready, 1);
	assert_true(rig->state.settled);
	frontend_start(rig->frontend, FEATURES, queues);
	assert_false(rig->state.settled);
	assert_true(rig->state.started[0] && rig->state.started[1]);
	settle(rig);
	assert_true(rig->state.settled);
	/* What the answer leads to belongs to it. */
	frontend_stop_queue(rig->frontend, 1, on_done_settled, rig);
	assert_false(rig->state.settled || rig->state.started[1]);
	wait_for(rig, &rig->done, 1);
	assert_false(settled_when_done);
	assert_true(rig->state.settled);
	frontend_reset(rig->frontend, on_done_settled, rig);
	assert_false(rig->state.settled || rig->state.started[0]);
	wait_for(rig, &rig->done, 2);
	assert_false(settled_when_done);
	assert_true(rig->state.settled);
	/* A question about the configuration changes nothing. */
	rig->fake.config[0] = 0xaa;
	host->config_changed(host->data);
	while (!rig->config_changed) {
		assert_true(rig->state.settled);
		assert_true(sd_event_run(rig->event, 1000000) > 0);
	}
	frontend_write_config(rig->frontend, 0, "x", 1, on_done_settled, rig);
	assert_false(rig->state.settled);
	wait_for(rig, &rig->done, 3);
	settle(rig);
	assert_true(rig->state.settled);
}

/* ------------------------------------------------------------------ taking over */

static void a_successor_goes_on(void **state)
{
	struct rig *rig = *state;
	struct virtio_host *host = &rig->fake.device.host;

	start(rig);
	assert_served(rig, 0, 0x11);
	rig->fake.config[0] = 0x77; /* nobody is told of it */
	for (uint8_t i = 1; i < 20; i++) {
		abandon_and_adopt(rig);
		assert_int_equal(rig->state.generation, i);
		assert_int_equal(frontend_features(rig->frontend), FAKE_FEATURES | TRANSPORT);
		assert_int_equal(((const uint8_t *)frontend_config(rig->frontend))[0], 0x77);
		assert_served(rig, i % 2, i);
		assert_int_equal(rig->fake.resets, 0);
	}
	/* Both ways still work. */
	rig->fake.config[0] = 0x78;
	host->config_changed(host->data);
	wait_for(rig, &rig->config_changed, 1);
	assert_int_equal(rig->state.config[0], 0x78);
	frontend_reset(rig->frontend, on_done, rig);
	wait_for(rig, &rig->done, 1);
	assert_int_equal(rig->mapped_when_done, 0);
	grant_ring_clear();
	start(rig);
	assert_served(rig, 0, 0x22);
	assert_int_equal(rig->failed + rig->refused, 0);
}

/* One after the other, and none of them reads the answers to its questions. */
static void successors_that_die_at_once(void **state)
{
	struct rig *rig = *state;

	start(rig);
	for (unsigned i = 0; i < 10; i++)
		adopt(rig, abandon(rig));
	wait_for(rig, &rig->ready, 1);
	assert_served(rig, 0, 0x11);
	assert_int_equal(rig->ready, 1);
	assert_int_equal(rig->failed, 0);
}

/* The numbers that tell a successor's question from its predecessors' come round. */
static void many_successors(void **state)
{
	struct rig *rig = *state;

	start(rig);
	for (unsigned i = 0; i < 600; i++)
		abandon_and_adopt(rig);
	assert_served(rig, 0, 0x11);
}

static void answers_that_a_predecessor_has_not_read(void **state)
{
	static const struct vhost_user_message questions[] = {
		{ .request = VHOST_USER_GET_FEATURES },
		{ .request = VHOST_USER_SET_OWNER, .flags = VHOST_USER_NEED_REPLY },
		{ .request = VHOST_USER_GET_QUEUE_NUM },
		{ .request = VHOST_USER_GET_CONFIG,
		    .size = VHOST_USER_CONFIG_HEADER_SIZE + VHOST_USER_CONFIG_MAX,
		    .payload.config.size = VHOST_USER_CONFIG_MAX },
	};
	struct rig *rig = *state;

	start(rig);
	for (unsigned i = 0; i < 20; i++) {
		struct kept kept = abandon(rig);

		for (unsigned k = 0; k <= i; k++)
			assert_int_equal(vhost_user_send(kept.socket, &questions[(i + k) % 4]), 0);
		if (i % 2)
			settle(rig); /* the answers are there already */
		rig->fake.config[0] = (uint8_t)i;
		adopt(rig, kept);
		wait_for(rig, &rig->ready, 1);
		assert_int_equal(rig->state.config[0], i);
		assert_served(rig, 0, (uint8_t)i);
	}
	assert_int_equal(rig->failed, 0);
}

/* A storm of configuration changes, and an end after any number of steps of it. */
static void an_end_at_every_step_of_a_configuration_change(void **state)
{
	struct rig *rig = *state;
	struct virtio_host *host = &rig->fake.device.host;

	start(rig);
	for (unsigned steps = 0; steps < 30; steps++) {
		for (unsigned i = 0; i < 3; i++) {
			rig->fake.config[0] = (uint8_t)(steps + 1);
			host->config_changed(host->data);
		}
		for (unsigned i = 0; i < steps; i++)
			sd_event_run(rig->event, 0);
		abandon_and_adopt(rig);
		assert_int_equal(rig->state.config[0], steps + 1);
		settle(rig);
		assert_served(rig, 0, (uint8_t)steps);
	}
	assert_int_equal(rig->failed, 0);
}

static int reconnect(struct rig *rig)
{
	struct vhost_user_options options = {
		.device = &rig->fake.device,
		.event = rig->event,
		.create_xen_memory = memory_xen_create,
		.closed = on_closed,
		.data = rig,
	};
	int pair[2];

	frontend_destroy(rig->frontend);
	rig->frontend = NULL;
	settle(rig);
	assert_null(rig->user);
	rig->ready = rig->done = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(vhost_user_create(&options, pair[0], &rig->user), 0);
	return frontend_create(&rig->options, pair[1], &rig->frontend);
}

/* After any number of steps of a start and a reset: either it is settled, and then a successor goes
 * on and the state says rightly what runs; or it says that it is not. */
static void an_end_at_every_step_of_start_and_reset(void **state)
{
	struct rig *rig = *state;
	const struct frontend_queue *queues[2] = { &rig->queues[0], &rig->queues[1] };
	unsigned settled = 0, unsettled = 0, running = 0;

	for (unsigned steps = 0; steps < 80; steps++) {
		grant_ring_clear();
		wait_for(rig, &rig->ready, 1);
		frontend_start(rig->frontend, FEATURES, queues);
		for (unsigned i = 0; i < steps; i++) {
			/* In the middle of the way, when the start is over. */
			if (i == 40)
				frontend_reset(rig->frontend, on_done, rig);
			sd_event_run(rig->event, 0);
		}
		if (!rig->state.settled) {
			unsettled++;
			assert_int_equal(reconnect(rig), 0);
			continue;
		}
		settled++;
		abandon_and_adopt(rig);
		if (rig->state.started[0]) {
			running++;
			assert_served(rig, 0, (uint8_t)steps);
			assert_served(rig, 1, (uint8_t)steps);
		} else {
			assert_int_equal(fake_gntdev->pages_mapped, 0);
			grant_ring_clear();
			frontend_start(rig->frontend, FEATURES, queues);
			settle(rig);
			assert_served(rig, 0, (uint8_t)steps);
		}
		assert_int_equal(reconnect(rig), 0);
	}
	assert_true(unsettled > 10 && running > 5 && settled > running + 5);
	assert_int_equal(rig->failed, 0);
}

static void the_back_end_has_died_meanwhile(void **state)
{
	struct rig *rig = *state;
	struct kept kept;

	start(rig);
	kept = abandon(rig);
	vhost_user_destroy(rig->user);
	rig->user = NULL;
	adopt(rig, kept);
	wait_for(rig, &rig->failed, 1);
	assert_int_equal(rig->error, -ENOTCONN);
	assert_int_equal(rig->ready, 0);
}

/* ------------------------------------------------------- the file of requests in flight */

static void the_back_end_makes_a_file(void **state)
{
	struct rig *rig = *state;

	wait_for(rig, &rig->ready, 1);
	assert_true(rig->inflight_fd >= 0);
	assert_false(frontend_restored(rig->frontend));
	assert_int_equal(rig->state.inflight_queues, 2);
	assert_int_equal(rig->state.inflight_queue_size, GRANT_RING_SIZE);
	assert_true(rig->state.inflight_size > 0);
	/* It was given away. */
	assert_int_equal(frontend_take_inflight_fd(rig->frontend), -1);
}

static void the_next_back_end_gets_it(void **state)
{
	struct rig *rig = *state;
	uint64_t size;

	wait_for(rig, &rig->ready, 1);
	size = rig->state.inflight_size;
	for (unsigned i = 0; i < 3; i++) {
		rig->options.inflight_fd = rig->inflight_fd;
		assert_int_equal(reconnect(rig), 0);
		wait_for(rig, &rig->ready, 1);
		assert_true(frontend_restored(rig->frontend));
		assert_int_equal(rig->state.inflight_size, size);
		assert_int_equal(rig->options.inflight_fd, rig->inflight_fd);
		grant_ring_clear();
		start(rig);
		assert_served(rig, 0, 0x11);
	}
}

static void the_next_back_end_refuses_it(void **state)
{
	struct rig *rig = *state;

	wait_for(rig, &rig->ready, 1);
	assert_int_equal(rig->requests[VHOST_USER_GET_INFLIGHT_FD], 1);
	assert_int_equal(rig->requests[VHOST_USER_SET_INFLIGHT_FD], 1);
	rig->options.inflight_fd = dup(rig->inflight_fd);
	rig->refuse_inflight = 1;
	rig->ready = 0;
	connect_peer(rig);
	wait_for(rig, &rig->ready, 1);
	/* It was told so, and a new one was made; nothing else is wrong. */
	assert_false(frontend_restored(rig->frontend));
	assert_int_equal(rig->requests[VHOST_USER_GET_INFLIGHT_FD], 2);
	assert_int_equal(rig->requests[VHOST_USER_SET_INFLIGHT_FD], 3);
	assert_int_equal(rig->failed, 0);
	close(rig->options.inflight_fd);
	rig->options.inflight_fd = -1;
}

static void a_back_end_that_refuses_its_own_file(void **state)
{
	struct rig *rig = *state;

	rig->refuse_inflight = 1;
	wait_for(rig, &rig->failed, 1);
	assert_int_equal(rig->error, -EPROTO);
}

static void a_refusal_must_be_heard(void **state)
{
	struct rig *rig = *state;

	rig->peer_protocol &= ~P(REPLY_ACK);
	wait_for(rig, &rig->ready, 1);
	assert_int_equal(rig->requests[VHOST_USER_GET_INFLIGHT_FD], 0);
	assert_int_equal(rig->inflight_fd, -1);
	assert_int_equal(rig->state.inflight_size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(settled_means_that_nothing_is_under_way),
		TEST(a_successor_goes_on),
		TEST(successors_that_die_at_once),
		TEST(many_successors),
		TEST(answers_that_a_predecessor_has_not_read),
		TEST(an_end_at_every_step_of_a_configuration_change),
		TEST(an_end_at_every_step_of_start_and_reset),
		TEST(the_back_end_has_died_meanwhile),
		TEST(the_back_end_makes_a_file),
		TEST(the_next_back_end_gets_it),
		PEER_TEST(the_next_back_end_refuses_it),
		PEER_TEST(a_back_end_that_refuses_its_own_file),
		PEER_TEST(a_refusal_must_be_heard),
	};

	return cmocka_run_group_tests_name("frontend: taking over", tests, NULL, NULL);
}
