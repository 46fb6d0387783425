/* SPDX-License-Identifier: MIT */
/* gpudomd's front end against the real back end with a fake device, memory by grants; and against
 * back ends that misbehave. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/vhost_user.h"
#include "tests/unit/fake_device.h"
#include "tests/xen/grant_ring.h"
#include "xen/frontend.h"
#include "xen/memory_foreign.h"
#include "xen/memory_xen.h"

/* After what it needs. */
#include <cmocka.h>

#define DOMID 3
#define TRANSPORT                                                                          \
	((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM) | \
	    (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC) |                                 \
	    (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX))
#define FEATURES                                               \
	(FAKE_FEATURES | (UINT64_C(1) << VIRTIO_F_VERSION_1) | \
	    (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM))

struct rig {
	sd_event *event;
	struct frontend *frontend;
	struct frontend_options options;
	struct frontend_state state;
	struct log_limit limit;
	unsigned ready, config_changed, failed, done, refused;
	unsigned refused_queue;
	int error;
	size_t mapped_when_done;
	struct frontend_queue queues[2];

	/* The back end: the real one ... */
	struct fake_device fake;
	struct vhost_user *user;
	/* ... or one that answers by hand */
	int peer;
	sd_event_source *peer_io;
	struct vhost_user_receiver receiver;
	uint32_t misbehave_at; /* this request */
	enum {
		ANSWER_WRONG_REQUEST,
		ANSWER_SHORT,
		ANSWER_NO_REPLY_FLAG,
		ANSWER_NACK,
		HANG_UP,
		GARBAGE
	} misbehaviour;
	uint64_t peer_features, peer_protocol;
	unsigned requests[64];
};

/* ------------------------------------------------------------------ the rig */

static void on_ready(void *data)
{
	((struct rig *)data)->ready++;
}

static void on_config_changed(void *data)
{
	((struct rig *)data)->config_changed++;
}

static void on_refused(void *data, unsigned index)
{
	struct rig *rig = data;

	rig->refused++;
	rig->refused_queue = index;
}

static void on_failed(void *data, int error)
{
	struct rig *rig = data;

	rig->failed++;
	rig->error = error;
	/* Allowed from here. */
	frontend_destroy(rig->frontend);
	rig->frontend = NULL;
}

static void on_done(void *data)
{
	struct rig *rig = data;

	rig->done++;
	rig->mapped_when_done = fake_gntdev->pages_mapped;
}

/* Runs the loop until *counter is at least @wanted. */
static void wait_for(struct rig *rig, const unsigned *counter, unsigned wanted)
{
	while (*counter < wanted)
		if (sd_event_run(rig->event, UINT64_C(60) * 1000000) <= 0)
			fail_msg("nothing happens any more: %u of %u", *counter, wanted);
}

/* Runs what there is to do now. */
static void settle(struct rig *rig)
{
	while (sd_event_run(rig->event, 0) > 0)
		;
}

static void rig_init(struct rig *rig)
{
	*rig = (struct rig){ .peer = -1, .misbehave_at = UINT32_MAX };
	log_init(LOG_LEVEL_ERROR, NULL);
	grant_ring_init(DOMID);
	for (unsigned i = 0; i < 2; i++) {
		rig->queues[i] = (struct frontend_queue){
			.size = GRANT_RING_SIZE,
			.desc = grant_ring_bus(i, PAGE_RING, 0),
			.avail = grant_ring_bus(i, PAGE_RING, 0x400),
			.used = grant_ring_bus(i, PAGE_USED, 0),
			.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			.error_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		};
	}
	assert_true(sd_event_new(&rig->event) >= 0);
	rig->options = (struct frontend_options){
		.name = "test",
		.limit = &rig->limit,
		.event = rig->event,
		.queues = 2,
		.queue_size = GRANT_RING_SIZE,
		.hello_usec = UINT64_C(60) * 1000000,
		.answer_usec = UINT64_C(60) * 1000000,
		.memory = grant_ring_foreign ? memory_foreign_region(DOMID)
					     : memory_grant_region(DOMID),
		.memory_fd = grant_ring_foreign ? foreign_open(DOMID) : gntdev_open(),
		.inflight_fd = -1,
		.state = &rig->state,
		.listener = {
			.ready = on_ready,
			.config_changed = on_config_changed,
			.queue_refused = on_refused,
			.failed = on_failed,
			.data = rig,
		},
	};
}

static void on_closed(void *data, int error)
{
	struct rig *rig = data;

	vhost_user_destroy(rig->user);
	rig->user = NULL;
}

/* With the real back end. */
static int set_up(void **state)
{
	static struct rig rig;
	struct vhost_user_options options = {
		.device = &rig.fake.device,
		.create_xen_memory = memory_xen_create,
		.closed = on_closed,
		.data = &rig,
	};
	int pair[2];

	rig_init(&rig);
	fake_device_init(&rig.fake);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	options.event = rig.event;
	assert_int_equal(vhost_user_create(&options, pair[0], &rig.user), 0);
	assert_int_equal(frontend_create(&rig.options, pair[1], &rig.frontend), 0);
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	frontend_destroy(rig->frontend);
	rig->frontend = NULL;
	settle(rig); /* the back end sees that and closes */
	assert_null(rig->user);
	sd_event_source_disable_unref(rig->peer_io);
	vhost_user_receiver_finish(&rig->receiver);
	if (rig->peer >= 0)
		close(rig->peer);
	close(rig->options.memory_fd);
	for (unsigned i = 0; i < 2; i++) {
		close(rig->queues[i].kick_fd);
		close(rig->queues[i].call_fd);
		close(rig->queues[i].error_fd);
	}
	sd_event_unref(rig->event);
	assert_int_equal(fake_gntdev->pages_mapped, 0);
	fake_gntdev_finish();
	return 0;
}

static void start(struct rig *rig)
{
	const struct frontend_queue *queues[2] = { &rig->queues[0], &rig->queues[1] };

	wait_for(rig, &rig->ready, 1);
	frontend_start(rig->frontend, FEATURES, queues);
	settle(rig);
}

static int set_up_foreign(void **state)
{
	grant_ring_foreign = true;
	return set_up(state);
}

static int tear_down_foreign(void **state)
{
	/* The back end holds nothing when it is gone, be it in its cache. */
	frontend_destroy(((struct rig *)*state)->frontend);
	((struct rig *)*state)->frontend = NULL;
	settle(*state);
	assert_int_equal(fake_gntdev->foreign.pages_mapped, 0);
	grant_ring_foreign = false;
	return tear_down(state);
}

static void assert_served(struct rig *rig, unsigned queue, uint8_t fill)
{
	eventfd_t calls;

	grant_ring_add(queue, fill);
	eventfd_write(rig->queues[queue].kick_fd, 1);
	settle(rig);
	assert_int_equal(eventfd_read(rig->queues[queue].call_fd, &calls), 0);
	assert_memory_equal(
	    grant_ring_page(queue, PAGE_ANSWER), grant_ring_page(queue, PAGE_REQUEST), 16);
	assert_int_equal(*(uint8_t *)grant_ring_page(queue, PAGE_ANSWER), fill);
}

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

static void peer_answer(struct rig *rig, const struct vhost_user_message *request)
{
	struct vhost_user_message reply = {
		.request = request->request,
		.flags = VHOST_USER_REPLY,
		.size = sizeof(uint64_t),
	};
	bool misbehaves = request->request == rig->misbehave_at;

	switch (request->request) {
	case VHOST_USER_GET_FEATURES:
		reply.payload.u64 = rig->peer_features;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		reply.payload.u64 = rig->peer_protocol;
		break;
	case VHOST_USER_GET_QUEUE_NUM:
		reply.payload.u64 = 2;
		break;
	case VHOST_USER_GET_CONFIG:
		reply.payload.config = request->payload.config;
		reply.size = request->size;
		break;
	case VHOST_USER_GET_VRING_BASE:
		reply.payload.state = request->payload.state;
		break;
	default:
		if (!(request->flags & VHOST_USER_NEED_REPLY) && !misbehaves)
			return;
	}
	if (misbehaves) {
		switch (rig->misbehaviour) {
		case ANSWER_WRONG_REQUEST:
			reply.request++;
			break;
		case ANSWER_SHORT:
			reply.size = 4;
			break;
		case ANSWER_NO_REPLY_FLAG:
			reply.flags = 0;
			break;
		case ANSWER_NACK:
			reply.payload.u64 = 1;
			break;
		case HANG_UP:
			shutdown(rig->peer, SHUT_RDWR);
			return;
		case GARBAGE:
			assert_int_equal(write(rig->peer, "0123456789abcdefghij", 20), 20);
			return;
		}
	}
	/* The front end may have hung up already. */
	if (vhost_user_send(rig->peer, &reply) == -ENOTCONN)
		sd_event_source_set_enabled(rig->peer_io, SD_EVENT_OFF);
}

static int peer_readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct rig *rig = data;
	struct vhost_user_message request;

	switch (vhost_user_receive(&rig->receiver, &request)) {
	case 1:
		rig->requests[request.request]++;
		peer_answer(rig, &request);
		vhost_user_message_finish(&request);
		break;
	case 0:
		break;
	default:
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	return 0;
}

#define P(feature) (UINT64_C(1) << VHOST_USER_PROTOCOL_F_##feature)

/* A new connection, with the rig's options of now. */
static void connect_peer(struct rig *rig)
{
	int pair[2];

	frontend_destroy(rig->frontend);
	sd_event_source_disable_unref(rig->peer_io);
	vhost_user_receiver_finish(&rig->receiver);
	if (rig->peer >= 0)
		close(rig->peer);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rig->peer = pair[0];
	vhost_user_receiver_init(&rig->receiver, rig->peer);
	assert_true(sd_event_add_io(
			rig->event, &rig->peer_io, rig->peer, EPOLLIN, peer_readable, rig) >= 0);
	assert_int_equal(frontend_create(&rig->options, pair[1], &rig->frontend), 0);
}

static int set_up_peer(void **state)
{
	static struct rig rig;

	rig_init(&rig);
	rig.peer_features = FEATURES | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
	rig.peer_protocol = P(XEN_MMAP) | P(CONFIG) | P(MQ) | P(REPLY_ACK) | P(STATUS);
	connect_peer(&rig);
	*state = &rig;
	return 0;
}

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
		VHOST_USER_SET_MEM_TABLE, VHOST_USER_GET_CONFIG };

	struct rig *rig = *state;

	for (unsigned q = 0; q < sizeof(questions) / sizeof(questions[0]); q++) {
		for (unsigned how = ANSWER_WRONG_REQUEST; how <= GARBAGE; how++) {
			/* To say "refused" needs a request that can be. */
			if (how == ANSWER_NACK && questions[q] != VHOST_USER_SET_MEM_TABLE &&
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define FOREIGN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_foreign, tear_down_foreign)
#define PEER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_peer, tear_down)

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
		PEER_TEST(a_back_end_that_does_not_answer),
		PEER_TEST(a_back_end_that_hangs_in_a_reset),
		PEER_TEST(a_back_end_that_does_not_read),
		PEER_TEST(an_answer_that_nobody_asked_for),
	};

	return cmocka_run_group_tests_name("frontend", tests, NULL, NULL);
}
