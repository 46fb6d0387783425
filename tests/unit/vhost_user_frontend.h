/* SPDX-License-Identifier: MIT */
/*
 * A front end in the same thread as the back end: sends a message, lets the back end's event
 * loop run until it has nothing to do, and looks at what came back.
 */
#ifndef GPUDOM_TESTS_UNIT_VHOST_USER_FRONTEND_H
#define GPUDOM_TESTS_UNIT_VHOST_USER_FRONTEND_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "backend/vhost_user.h"
#include "backend/vhost_user_message.h"
#include "tests/unit/fake_device.h"
#include "tests/unit/ring.h"

#include <cmocka.h>

#define BIT(n) (UINT64_C(1) << (n))
#define PROTOCOL                                                                                  \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                   \
	    BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_CONFIG) |          \
	    BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) | \
	    BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | BIT(VHOST_USER_PROTOCOL_F_STATUS))
#define FEATURES                                                                   \
	(FAKE_FEATURES | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM) | \
	    BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |      \
	    BIT(VHOST_USER_F_PROTOCOL_FEATURES))

struct test {
	sd_event *event;
	struct fake_device fake;
	struct vhost_user *user;
	struct ring ring;
	struct guest_memory *xen_memory; /* what create_xen_memory() gave */
	int gpu_fd;
	unsigned closed;
	int closed_error;
	bool destroy_when_closed, destroy_when_gpu;

	/* the front end's side */
	int fd, kick, call, error;
	struct vhost_user_receiver receiver;
	int descriptors; /* open before the test */
};

static inline int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline void on_closed(void *data, int error)
{
	struct test *test = data;

	test->closed++;
	test->closed_error = error;
	if (test->destroy_when_closed) {
		vhost_user_destroy(test->user);
		test->user = NULL;
	}
}

static inline void destroy_user(void *data)
{
	struct test *test = data;

	vhost_user_destroy(test->user);
	test->user = NULL;
}

static inline void on_gpu_socket(void *data, int fd)
{
	struct test *test = data;

	test->gpu_fd = fd;
	if (test->destroy_when_gpu)
		destroy_user(test);
}

/* ---- memory as with grants: identity, no descriptors; it is the ring's all the same ---- */

struct xen_memory {
	struct guest_memory memory;
	struct guest_memory *real;
	struct memory_region region;
	int *regions;
};
static int xen_regions;

static inline void xen_destroy(struct guest_memory *memory)
{
	memory_destroy(((struct xen_memory *)memory)->real);
	free(memory);
}

static inline int xen_add_region(
    struct guest_memory *memory, const struct memory_region *region, int fd)
{
	struct xen_memory *xen = (struct xen_memory *)memory;

	if (region->xen_flags != MEMORY_XEN_GRANT || region->xen_domid != 7)
		return -EINVAL;
	if (fd >= 0)
		close(fd);
	xen->region = *region;
	xen_regions++;
	return 0;
}

static inline int xen_remove_region(struct guest_memory *memory, const struct memory_region *region)
{
	xen_regions--;
	return 0;
}

static inline int xen_translate(
    struct guest_memory *memory, uint64_t user, uint64_t size, uint64_t *address)
{
	*address = user;
	return 0;
}

static inline int xen_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count)
{
	return memory_read(((struct xen_memory *)memory)->real, to, pieces, count);
}

static inline int xen_write(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, const void *from, size_t size)
{
	return memory_write(((struct xen_memory *)memory)->real, pieces, count, from, size);
}

static inline int xen_map(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, enum memory_access access, struct memory_map **map)
{
	return memory_map(((struct xen_memory *)memory)->real, pieces, count, access, map);
}

static inline void xen_unmap(struct guest_memory *memory, struct memory_map *map)
{
	memory_unmap(((struct xen_memory *)memory)->real, map);
}

static struct test *xen_test;

static inline int create_xen_memory(
    void *data, const struct memory_region *asked, struct guest_memory **memory)
{
	static const struct guest_memory_impl impl = {
		.name = "grant",
		.destroy = xen_destroy,
		.add_region = xen_add_region,
		.remove_region = xen_remove_region,
		.translate_user = xen_translate,
		.read = xen_read,
		.write = xen_write,
		.map = xen_map,
		.unmap = xen_unmap,
	};
	struct xen_memory *xen = calloc(1, sizeof(*xen));
	struct memory_region region = ring_region();

	xen->memory.impl = &impl;
	assert_int_equal(memory_mmap_create(&xen->real), 0);
	assert_int_equal(memory_add_region(xen->real, &region, dup(xen_test->ring.fd)), 0);
	xen_test->xen_memory = *memory = &xen->memory;
	xen_regions = 0;
	return 0;
}

/* ---------------------------------------------------------------- the front end's side */

static inline void connect_with(struct test *test, bool xen)
{
	int fds[2];
	struct vhost_user_options options = {
		.event = test->event,
		.device = &test->fake.device,
		.create_xen_memory = xen ? create_xen_memory : NULL,
		.gpu_socket = on_gpu_socket,
		.closed = on_closed,
		.data = test,
	};

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(vhost_user_create(&options, fds[0], &test->user), 0);
	test->fd = fds[1];
	vhost_user_receiver_init(&test->receiver, test->fd);
}

static inline int setup_with(void **state, bool xen)
{
	struct test *test = calloc(1, sizeof(*test));

	test->descriptors = count_descriptors();
	assert_true(sd_event_new(&test->event) >= 0);
	ring_init(&test->ring, false);
	fake_device_init(&test->fake);
	test->gpu_fd = -1;
	test->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	test->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	test->error = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	xen_test = test;
	connect_with(test, xen);
	*state = test;
	return 0;
}

static inline int setup(void **state)
{
	return setup_with(state, false);
}

static inline int setup_xen(void **state)
{
	return setup_with(state, true);
}

static inline int teardown(void **state)
{
	struct test *test = *state;
	int leaked;

	vhost_user_destroy(test->user);
	vhost_user_receiver_finish(&test->receiver);
	if (test->gpu_fd >= 0)
		close(test->gpu_fd);
	close(test->fd);
	close(test->kick);
	close(test->call);
	close(test->error);
	ring_finish(&test->ring);
	sd_event_unref(test->event);
	leaked = count_descriptors() - test->descriptors;
	assert_null(test->fake.device.queues);
	assert_null(test->fake.device.memory);
	free(test);
	assert_int_equal(leaked, 0);
	return 0;
}

/* Lets the back end do all that it has to do. */
static inline void run(struct test *test)
{
	while (sd_event_run(test->event, 0) > 0)
		;
}

static inline struct vhost_user_message message(uint32_t request, uint32_t size)
{
	return (struct vhost_user_message){
		.request = request, .flags = VHOST_USER_NEED_REPLY, .size = size
	};
}

static inline void send_message(struct test *test, const struct vhost_user_message *m)
{
	assert_int_equal(vhost_user_send(test->fd, m), 0);
	run(test);
}

/* Sends a request and takes the reply. */
static inline void ask(struct test *test, struct vhost_user_message *m)
{
	uint32_t request = m->request;

	send_message(test, m);
	assert_int_equal(vhost_user_receive(&test->receiver, m), 1);
	assert_int_equal(m->request, request);
	assert_int_equal(m->flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
}

static inline uint64_t ask_u64(struct test *test, uint32_t request)
{
	struct vhost_user_message m = message(request, 0);

	ask(test, &m);
	assert_int_equal(m.size, 8);
	assert_int_equal(m.fd_count, 0);
	return m.payload.u64;
}

/* Sends a request that has no reply; its acknowledgement. */
static inline uint64_t tell(struct test *test, const struct vhost_user_message *m)
{
	struct vhost_user_message answer = *m;

	ask(test, &answer);
	assert_int_equal(answer.size, 8);
	return answer.payload.u64;
}

static inline uint64_t tell_u64(struct test *test, uint32_t request, uint64_t value)
{
	struct vhost_user_message m = message(request, 8);

	m.payload.u64 = value;
	return tell(test, &m);
}

static inline uint64_t tell_state(struct test *test, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_message m = message(request, 8);

	m.payload.state.index = index;
	m.payload.state.num = num;
	return tell(test, &m);
}

static inline uint64_t tell_fd(struct test *test, uint32_t request, uint64_t value, int fd)
{
	struct vhost_user_message m = message(request, 8);

	m.payload.u64 = value;
	m.fds[0] = fd;
	m.fd_count = 1;
	return tell(test, &m);
}

/* The connection ends with closed(@error), the device is reset, and nothing spins. */
static inline void assert_closed(struct test *test, int error)
{
	struct vhost_user_message m;

	run(test);
	assert_int_equal(test->closed, 1);
	assert_int_equal(test->closed_error, error);
	assert_int_equal(test->fake.resets > 0, 1);
	assert_null(test->fake.device.memory);
	while (vhost_user_receive(&test->receiver, &m) == 1)
		vhost_user_message_finish(&m);
	assert_int_equal(vhost_user_receive(&test->receiver, &m), -ENOTCONN);
	assert_int_equal(sd_event_run(test->event, 0), 0);
}

/* A message that ends the connection. */
static inline void assert_refused(struct test *test, const struct vhost_user_message *m)
{
	assert_int_equal(vhost_user_send(test->fd, m), 0);
	assert_closed(test, -EPROTO);
}

static inline void negotiate(struct test *test)
{
	struct vhost_user_message m = message(VHOST_USER_SET_PROTOCOL_FEATURES, 8);

	m.payload.u64 = PROTOCOL;
	m.flags = 0;
	send_message(test, &m);
	assert_int_equal(tell_u64(test, VHOST_USER_SET_FEATURES, FEATURES), 0);
}

static inline struct vhost_user_message mem_table(struct test *test)
{
	struct vhost_user_message m = message(VHOST_USER_SET_MEM_TABLE, 8 + 32);

	m.payload.memory.region_count = 1;
	m.payload.memory.regions[0] =
	    (struct vhost_user_region){ RING_GUEST, RING_MEMORY, RING_USER, 0 };
	m.fds[0] = test->ring.fd;
	m.fd_count = 1;
	return m;
}

static inline void share_memory(struct test *test)
{
	struct vhost_user_message m = mem_table(test);

	assert_int_equal(tell(test, &m), 0);
	assert_non_null(test->fake.device.memory);
}

static inline struct vhost_user_message vring_addr(uint32_t index)
{
	struct vhost_user_message m = message(VHOST_USER_SET_VRING_ADDR, 40);

	m.payload.addr = (struct vhost_user_vring_addr){ .index = index,
		.descriptor = RING_USER + (RING_DESC - RING_GUEST),
		.available = RING_USER + (RING_AVAIL - RING_GUEST),
		.used = RING_USER + (RING_USED - RING_GUEST) };
	return m;
}

/* Describes queue @index but for its kick, without which it does not start. */
static inline void describe_queue(struct test *test, uint32_t index, uint32_t base)
{
	struct vhost_user_message addr = vring_addr(index);

	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_NUM, index, test->ring.size), 0);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_BASE, index, base), 0);
	assert_int_equal(tell(test, &addr), 0);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_CALL, index, test->call), 0);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_ERR, index, test->error), 0);
}

static inline void start_queue(struct test *test, uint32_t index, uint32_t base)
{
	describe_queue(test, index, base);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, index, 1), 0);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_KICK, index, test->kick), 0);
	assert_true(test->fake.device.queues[index].started);
}

static inline void start(struct test *test)
{
	negotiate(test);
	share_memory(test);
	start_queue(test, 0, 0);
}

static inline uint32_t get_vring_base(struct test *test, uint32_t index)
{
	struct vhost_user_message m = message(VHOST_USER_GET_VRING_BASE, 8);

	m.payload.state.index = index;
	ask(test, &m);
	assert_int_equal(m.size, 8);
	assert_int_equal(m.payload.state.index, index);
	return m.payload.state.num;
}

static inline void kick(struct test *test)
{
	const uint64_t one = 1;

	assert_int_equal(write(test->kick, &one, 8), 8);
	run(test);
}

/* A request goes through the queue and comes back with its bytes. */
static inline void assert_works(struct test *test)
{
	struct ring *ring = &test->ring;
	uint16_t used = ring->used->idx;
	uint8_t *from = ring_at(ring, RING_BUFFER + 128),
		*to = ring_at(ring, RING_BUFFER + 0x10080);

	memset(from, 0x30 + used % 16, 16);
	memset(to, 0, 32);
	ring_add_request(ring, 2);
	kick(test);
	assert_int_equal(ring->used->idx, (uint16_t)(used + 1));
	assert_int_equal(ring->used->ring[used % ring->size].id, 2);
	assert_int_equal(ring->used->ring[used % ring->size].len, 16);
	assert_memory_equal(from, to, 16);
	*ring->used_event = ring->used->idx;
	assert_int_equal(ring_take_event(test->call), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_XEN(name) cmocka_unit_test_setup_teardown(name, setup_xen, teardown)

#endif
