/* SPDX-License-Identifier: MIT */
/* gpudomd's front end, and a back end for it: the real one with a fake device, or one whose answers
 * are made by hand. */
#ifndef GPUDOM_TESTS_XEN_FRONTEND_RIG_H
#define GPUDOM_TESTS_XEN_FRONTEND_RIG_H

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
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
	int peer_channel;      /* of the test, which closes it */
	uint32_t misbehave_at; /* this request */
	enum {
		ANSWER_WRONG_REQUEST,
		ANSWER_SHORT,
		ANSWER_NO_REPLY_FLAG,
		ANSWER_NACK,
		ANSWER_DESCRIPTOR, /* where none belongs, or one more */
		HANG_UP,
		GARBAGE
	} misbehaviour;
	uint64_t peer_features, peer_protocol;
	unsigned refuse_inflight; /* so many times */
	unsigned requests[64];
	int inflight_fd; /* of the last ready() */
};

/* ------------------------------------------------------------------ the rig */

static inline void on_ready(void *data)
{
	struct rig *rig = data;
	int fd = frontend_take_inflight_fd(rig->frontend);

	if (fd >= 0) {
		if (rig->inflight_fd >= 0)
			close(rig->inflight_fd);
		rig->inflight_fd = fd;
	}
	rig->ready++;
}

static inline void on_config_changed(void *data)
{
	((struct rig *)data)->config_changed++;
}

static inline void on_refused(void *data, unsigned index)
{
	struct rig *rig = data;

	rig->refused++;
	rig->refused_queue = index;
}

static inline void on_failed(void *data, int error)
{
	struct rig *rig = data;

	rig->failed++;
	rig->error = error;
	/* Allowed from here. */
	frontend_destroy(rig->frontend);
	rig->frontend = NULL;
}

static inline void on_done(void *data)
{
	struct rig *rig = data;

	rig->done++;
	rig->mapped_when_done = fake_gntdev->pages_mapped;
}

/* Runs the loop until *counter is at least @wanted. */
static inline void wait_for(struct rig *rig, const unsigned *counter, unsigned wanted)
{
	while (*counter < wanted)
		if (sd_event_run(rig->event, UINT64_C(60) * 1000000) <= 0)
			fail_msg("nothing happens any more: %u of %u", *counter, wanted);
}

/* Runs what there is to do now. */
static inline void settle(struct rig *rig)
{
	while (sd_event_run(rig->event, 0) > 0)
		;
}

static inline void rig_init(struct rig *rig)
{
	*rig = (struct rig){ .peer = -1, .misbehave_at = UINT32_MAX, .inflight_fd = -1 };
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

static inline void on_closed(void *data, int error)
{
	struct rig *rig = data;

	vhost_user_destroy(rig->user);
	rig->user = NULL;
}

/* With the real back end. */
static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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
	if (rig->inflight_fd >= 0)
		close(rig->inflight_fd);
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

static inline void start(struct rig *rig)
{
	const struct frontend_queue *queues[2] = { &rig->queues[0], &rig->queues[1] };

	wait_for(rig, &rig->ready, 1);
	frontend_start(rig->frontend, FEATURES, queues);
	settle(rig);
}

static inline int set_up_foreign(void **state)
{
	grant_ring_foreign = true;
	return set_up(state);
}

static inline int tear_down_foreign(void **state)
{
	/* The back end holds nothing when it is gone, be it in its cache. */
	frontend_destroy(((struct rig *)*state)->frontend);
	((struct rig *)*state)->frontend = NULL;
	settle(*state);
	assert_int_equal(fake_gntdev->foreign.pages_mapped, 0);
	grant_ring_foreign = false;
	return tear_down(state);
}

static inline void assert_served(struct rig *rig, unsigned queue, uint8_t fill)
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

/* ---------------------------------------------------------- back ends by hand */

static inline void peer_answer(struct rig *rig, struct vhost_user_message *request)
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
	case VHOST_USER_GET_INFLIGHT_FD:
		reply.payload.inflight = request->payload.inflight;
		reply.payload.inflight.mmap_size = 4096;
		reply.size = sizeof(reply.payload.inflight);
		reply.fds[0] = memfd_create("in flight", MFD_CLOEXEC);
		reply.fd_count = 1;
		break;
	case VHOST_USER_SET_INFLIGHT_FD:
		reply.payload.u64 = rig->refuse_inflight > 0;
		rig->refuse_inflight -= rig->refuse_inflight > 0;
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		rig->peer_channel = vhost_user_message_take_fd(request, 0);
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
		case ANSWER_DESCRIPTOR:
			reply.fds[reply.fd_count++] = eventfd(0, EFD_CLOEXEC);
			break;
		case HANG_UP:
			shutdown(rig->peer, SHUT_RDWR);
			vhost_user_message_finish(&reply);
			return;
		case GARBAGE:
			assert_int_equal(write(rig->peer, "0123456789abcdefghij", 20), 20);
			vhost_user_message_finish(&reply);
			return;
		}
	}
	/* The front end may have hung up already. */
	if (vhost_user_send(rig->peer, &reply) == -ENOTCONN)
		sd_event_source_set_enabled(rig->peer_io, SD_EVENT_OFF);
	vhost_user_message_finish(&reply);
}

static inline int peer_readable(sd_event_source *source, int fd, uint32_t events, void *data)
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
static inline void connect_peer(struct rig *rig)
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

static inline int set_up_peer(void **state)
{
	static struct rig rig;

	rig_init(&rig);
	rig.peer_features = FEATURES | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
	rig.peer_protocol =
	    P(XEN_MMAP) | P(CONFIG) | P(MQ) | P(REPLY_ACK) | P(STATUS) | P(INFLIGHT_SHMFD);
	connect_peer(&rig);
	*state = &rig;
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define FOREIGN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_foreign, tear_down_foreign)
#define PEER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_peer, tear_down)

#endif
