/* SPDX-License-Identifier: MIT */
/* The vhost-user back end: memory tables, Xen regions, records of requests in flight. */
#include "backend/inflight.h"
#include "tests/unit/vhost_user_frontend.h"

/* ---------------------------------------------------------------- memory */

static void test_mem_table_is_replaced_under_a_running_queue(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m;

	start(test);
	assert_works(test);
	m = mem_table(test);
	m.payload.memory.region_count = 2;
	m.size += 32;
	m.payload.memory.regions[1] =
	    (struct vhost_user_region){ 0, 4096, RING_USER + RING_MEMORY, 0 };
	m.fds[1] = test->ring.fd;
	m.fd_count = 2;
	assert_int_equal(tell(test, &m), 0);
	assert_works(test);
	/* none at all: rings stay mapped, requests are answered with what can't be read */
	m = message(VHOST_USER_SET_MEM_TABLE, 8);
	assert_int_equal(tell(test, &m), 0);
	ring_add_request(&test->ring, 0);
	kick(test);
	assert_int_equal(test->ring.used->idx, 3);
	assert_int_equal(test->ring.used->ring[2].len, 0);
	share_memory(test);
	*test->ring.used_event = 3;
	ring_take_event(test->call);
	assert_works(test);
}

static struct vhost_user_message mem_reg(struct test *test, uint32_t request)
{
	struct vhost_user_message m = message(request, 40);

	m.payload.memory_region.region =
	    (struct vhost_user_region){ RING_GUEST, RING_MEMORY, RING_USER, 0 };
	if (request == VHOST_USER_ADD_MEM_REG) {
		m.fds[0] = test->ring.fd;
		m.fd_count = 1;
	}
	return m;
}

static void test_add_and_remove_mem_reg(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_reg(test, VHOST_USER_ADD_MEM_REG);

	negotiate(test);
	assert_int_equal(tell(test, &m), 0);
	start_queue(test, 0, 0);
	assert_works(test);
	m = mem_reg(test, VHOST_USER_REM_MEM_REG);
	m.fds[0] = test->ring.fd; /* some front ends do */
	m.fd_count = 1;
	m.payload.memory_region.region.mmap_offset = 99;
	assert_int_equal(tell(test, &m), 0);
	m = mem_reg(test, VHOST_USER_ADD_MEM_REG);
	assert_int_equal(tell(test, &m), 0);
	assert_works(test);
	m = mem_reg(test, VHOST_USER_REM_MEM_REG);
	assert_int_equal(tell(test, &m), 0);
	assert_refused(test, &m);
}

static void test_too_many_mem_regs(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_reg(test, VHOST_USER_ADD_MEM_REG);

	negotiate(test);
	for (uint64_t i = 0; i < VHOST_USER_MEM_SLOTS; i++) {
		m.payload.memory_region.region =
		    (struct vhost_user_region){ i * 4096, 4096, RING_USER + i * 4096, i * 4096 };
		assert_int_equal(tell(test, &m), 0);
	}
	m.payload.memory_region.region.guest_address += 4096;
	assert_refused(test, &m);
}

static void test_mem_table_with_more_regions_than_the_protocol_has(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_table(test);

	m.payload.memory.region_count = 9;
	m.size = 8 + 9 * 32;
	negotiate(test);
	assert_refused(test, &m);
}

static void test_mem_table_count_wraps(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_table(test);

	/* 8 + count * 32 is 40 in 32 bits */
	m.payload.memory.region_count = (1u << 27) + 1;
	assert_refused(test, &m);
}

static void test_mem_table_shorter_than_its_regions(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_table(test);

	m.payload.memory.region_count = 2;
	assert_refused(test, &m);
}

static void test_mem_table_without_its_descriptors(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_table(test);

	m.fd_count = 0;
	assert_refused(test, &m);
}

static void test_mem_table_with_more_descriptors_than_regions(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_table(test);

	m.fds[1] = test->ring.fd;
	m.fd_count = 2;
	assert_refused(test, &m);
}

static void test_mem_table_overlaps(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_table(test);

	m.payload.memory.region_count = 2;
	m.payload.memory.regions[1] = m.payload.memory.regions[0];
	m.payload.memory.regions[1].guest_address += 4096;
	m.size += 32;
	m.fds[1] = test->ring.fd;
	m.fd_count = 2;
	assert_refused(test, &m);
}

static void test_mem_table_of_a_file_that_is_too_short(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_table(test);

	m.payload.memory.regions[0].size = UINT64_C(1) << 40;
	assert_refused(test, &m);
}

static void test_mem_table_of_a_read_only_file(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = mem_table(test);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	m.payload.memory.regions[0].size = 4096;
	m.fds[0] = fd;
	assert_refused(test, &m);
	close(fd);
}

/* ---------------------------------------------------------------- Xen */

static struct vhost_user_message xen_table(void)
{
	struct vhost_user_message m = message(VHOST_USER_SET_MEM_TABLE, 8 + 40);

	m.payload.memory.region_count = 1;
	m.payload.memory.xen_regions[0] =
	    (struct vhost_user_xen_region){ { 0, UINT64_C(1) << 40, 0, 0 }, MEMORY_XEN_GRANT, 7 };
	return m;
}

static void negotiate_xen(struct test *test)
{
	negotiate(test);
	assert_int_equal(tell_u64(test, VHOST_USER_SET_PROTOCOL_FEATURES,
			     PROTOCOL | BIT(VHOST_USER_PROTOCOL_F_XEN_MMAP)),
	    0);
}

static void start_xen_queue(struct test *test)
{
	struct vhost_user_message addr = vring_addr(0);

	describe_queue(test, 0, 0);
	addr.payload.addr = (struct vhost_user_vring_addr){
		.index = 0, .descriptor = RING_DESC, .available = RING_AVAIL, .used = RING_USED
	};
	assert_int_equal(tell(test, &addr), 0);
	assert_int_equal(tell_state(test, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(tell_fd(test, VHOST_USER_SET_VRING_KICK, 0, test->kick), 0);
}

static void test_xen_regions(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = xen_table();

	negotiate_xen(test);
	assert_int_equal(tell(test, &m), 0);
	assert_ptr_equal(test->fake.device.memory, test->xen_memory);
	assert_int_equal(xen_regions, 1);
	start_xen_queue(test);
	assert_works(test);
	m.fds[0] = test->ring.fd; /* a descriptor may come along */
	m.fd_count = 1;
	assert_int_equal(tell(test, &m), 0);
	assert_int_equal(xen_regions, 1);
	assert_works(test);
}

static void test_xen_region_by_add_mem_reg(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_ADD_MEM_REG, 48);

	negotiate_xen(test);
	m.payload.memory_region.xen_region =
	    (struct vhost_user_xen_region){ { 0, UINT64_C(1) << 40, 0, 0 }, MEMORY_XEN_GRANT, 7 };
	assert_int_equal(tell(test, &m), 0);
	assert_int_equal(xen_regions, 1);
	m.request = VHOST_USER_REM_MEM_REG;
	assert_int_equal(tell(test, &m), 0);
	assert_int_equal(xen_regions, 0);
}

static void test_xen_regions_of_mixed_kinds(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = xen_table();

	negotiate_xen(test);
	m.payload.memory.region_count = 2;
	m.size += 40;
	m.payload.memory.xen_regions[1] =
	    (struct vhost_user_xen_region){ { UINT64_C(1) << 50, RING_MEMORY, 0, 0 }, 0, 0 };
	m.fds[0] = m.fds[1] = test->ring.fd;
	m.fd_count = 2;
	assert_refused(test, &m);
}

static void test_xen_region_with_flags_that_make_no_sense(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = xen_table();

	negotiate_xen(test);
	m.payload.memory.xen_regions[0].xen_flags = 0x40;
	assert_refused(test, &m);
}

static void test_plain_regions_with_xen_mmap(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_MEM_TABLE, 8 + 40);

	negotiate_xen(test);
	m.payload.memory.region_count = 1;
	m.payload.memory.xen_regions[0] =
	    (struct vhost_user_xen_region){ { RING_GUEST, RING_MEMORY, RING_USER, 0 }, 0, 0 };
	m.fds[0] = test->ring.fd;
	m.fd_count = 1;
	assert_int_equal(tell(test, &m), 0);
	start_queue(test, 0, 0);
	assert_works(test);
	/* the layout cannot change now */
	m = message(VHOST_USER_SET_PROTOCOL_FEATURES, 8);
	m.payload.u64 = PROTOCOL;
	assert_refused(test, &m);
}

/* QEMU acknowledges XEN_MMAP, and then sends regions as if it did not exist. */
static void test_regions_without_xen_fields_with_xen_mmap(void **state)
{
	struct test *test = *state;
	struct vhost_user_message table = mem_table(test), m = message(VHOST_USER_ADD_MEM_REG, 40);

	negotiate_xen(test);
	assert_int_equal(tell(test, &table), 0);
	start_queue(test, 0, 0);
	assert_works(test);
	m.payload.memory_region.region =
	    (struct vhost_user_region){ UINT64_C(1) << 50, RING_MEMORY, UINT64_C(1) << 50, 0 };
	m.fds[0] = test->ring.fd;
	m.fd_count = 1;
	assert_int_equal(tell(test, &m), 0);
	m.request = VHOST_USER_REM_MEM_REG;
	m.fd_count = 0;
	assert_int_equal(tell(test, &m), 0);
}

/* ---------------------------------------------------------------- in flight */

static void test_inflight_survives_the_back_end(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_GET_INFLIGHT_FD, 24), set;

	negotiate(test);
	m.payload.inflight.queue_count = 2;
	m.payload.inflight.queue_size = RING_SIZE;
	ask(test, &m);
	assert_int_equal(m.size, 24);
	assert_int_equal(m.fd_count, 1);
	assert_int_equal(m.payload.inflight.mmap_size, 2 * inflight_region_size(RING_SIZE));
	assert_int_equal(m.payload.inflight.mmap_offset, 0);
	set = m;
	set.request = VHOST_USER_SET_INFLIGHT_FD;
	set.flags = VHOST_USER_NEED_REPLY;
	assert_int_equal(tell(test, &set), 0);
	share_memory(test);
	start_queue(test, 0, 0);
	assert_works(test);

	/* It takes two and dies: the copy of the records is what a kill would leave. */
	test->fake.hold = true;
	ring_add_request(&test->ring, 0);
	ring_add_request(&test->ring, 4);
	kick(test);
	{
		uint8_t records[4096], ring_bytes[RING_TABLE - RING_DESC];
		ssize_t n = pread(m.fds[0], records, sizeof(records), 0);

		memcpy(ring_bytes, ring_at(&test->ring, RING_DESC), sizeof(ring_bytes));
		vhost_user_destroy(test->user);
		vhost_user_receiver_finish(&test->receiver);
		close(test->fd);
		memcpy(ring_at(&test->ring, RING_DESC), ring_bytes, sizeof(ring_bytes));
		assert_int_equal(pwrite(m.fds[0], records, (size_t)n, 0), n);
	}
	fake_device_init(&test->fake);
	connect_with(test, false);
	negotiate(test);
	assert_int_equal(tell(test, &set), 0);
	share_memory(test);
	start_queue(test, 0, 1); /* the used index, as QEMU says after a crash */
	assert_int_equal(test->ring.used->idx, 3);
	assert_int_equal(test->ring.used->ring[1].id, 0);
	assert_int_equal(test->ring.used->ring[2].id, 4);
	assert_int_equal(test->ring.used->ring[2].len, 16);
	*test->ring.used_event = 3;
	ring_take_event(test->call);
	assert_works(test);
	assert_int_equal(get_vring_base(test, 0), 4);
	vhost_user_message_finish(&m);
}

static void test_inflight_numbers_to_refuse(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_GET_INFLIGHT_FD, 20);

	negotiate(test);
	m.payload.inflight.queue_count = 1;
	m.payload.inflight.queue_size = 100;
	assert_refused(test, &m);
}

static void test_inflight_more_queues_than_the_device(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_GET_INFLIGHT_FD, 24);

	negotiate(test);
	m.payload.inflight.queue_count = 3;
	m.payload.inflight.queue_size = 8;
	assert_refused(test, &m);
}

static void test_inflight_file_that_is_too_short(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_INFLIGHT_FD, 24);

	negotiate(test);
	m.payload.inflight = (struct vhost_user_inflight){ UINT64_C(1) << 40, 0, 2, 8, 0 };
	m.fds[0] = test->ring.fd;
	m.fd_count = 1;
	assert_refused(test, &m);
}

static void test_inflight_under_a_running_queue(void **state)
{
	struct test *test = *state;
	struct vhost_user_message m = message(VHOST_USER_SET_INFLIGHT_FD, 24);

	start(test);
	m.payload.inflight = (struct vhost_user_inflight){ 4096, 0, 2, 8, 0 };
	m.fds[0] = test->ring.fd;
	m.fd_count = 1;
	assert_refused(test, &m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mem_table_is_replaced_under_a_running_queue),
		TEST(test_add_and_remove_mem_reg),
		TEST(test_too_many_mem_regs),
		TEST(test_mem_table_with_more_regions_than_the_protocol_has),
		TEST(test_mem_table_count_wraps),
		TEST(test_mem_table_shorter_than_its_regions),
		TEST(test_mem_table_without_its_descriptors),
		TEST(test_mem_table_with_more_descriptors_than_regions),
		TEST(test_mem_table_overlaps),
		TEST(test_mem_table_of_a_file_that_is_too_short),
		TEST(test_mem_table_of_a_read_only_file),

		TEST_XEN(test_xen_regions),
		TEST_XEN(test_xen_region_by_add_mem_reg),
		TEST_XEN(test_xen_regions_of_mixed_kinds),
		TEST_XEN(test_xen_region_with_flags_that_make_no_sense),
		TEST_XEN(test_plain_regions_with_xen_mmap),
		TEST_XEN(test_regions_without_xen_fields_with_xen_mmap),

		TEST(test_inflight_survives_the_back_end),
		TEST(test_inflight_numbers_to_refuse),
		TEST(test_inflight_more_queues_than_the_device),
		TEST(test_inflight_file_that_is_too_short),
		TEST(test_inflight_under_a_running_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
