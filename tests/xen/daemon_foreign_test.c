/* SPDX-License-Identifier: MIT */
/* gpudomd and guests that do not grant (grant_usage=0): what only these do. daemon_test.c runs its
 * tests with them, too. */
#include "tests/xen/daemon_rig.h"

#define RINGS 6 /* maps: three parts of two queues */

static int set_up_foreign(void **state)
{
	grant_ring_foreign = true;
	return set_up(state);
}

static void serve(struct rig *rig)
{
	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	assert_served(rig, 1, 0x12);
	/* Requests and answers lie in one chunk. */
	assert_int_equal(fake_gntdev->foreign.maps, RINGS + 1);
}

static void nothing_is_granted(void **state)
{
	struct rig *rig = *state;

	serve(rig);
	assert_int_equal(fake_gntdev->map_calls, 0);
	assert_int_equal(fake_gntdev->copy_calls, 0);
	detach();
	assert_gone(rig);
}

static void pages_that_are_given_back_are_let_go_of_first(void **state)
{
	struct rig *rig = *state;
	uint64_t value;

	serve(rig);
	/* Of several vCPUs at once, which all wait. */
	fake_xen_request(FAKE_XEN_GUEST, 0, IOREQ_TYPE_INVALIDATE, 0);
	fake_xen_request(FAKE_XEN_GUEST, 1, IOREQ_TYPE_INVALIDATE, 0);
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 0, &value));
	assert_int_equal(fake_gntdev->foreign.maps, RINGS);
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 1, &value));
	assert_served(rig, 0, 0x22);
	assert_served(rig, 1, 0x33);
	assert_int_equal(fake_gntdev->foreign.maps, RINGS + 1);
}

static void pages_are_given_back_when_nobody_has_them(void **state)
{
	struct rig *rig = *state;
	uint64_t value;

	/* Before the worker is there ... */
	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen_ranges());
	fake_xen_request(FAKE_XEN_GUEST, 1, IOREQ_TYPE_INVALIDATE, 0);
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 1, &value));
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	/* ... and where it cannot be told */
	fake_gntdev->foreign.open_error = -EMFILE;
	fake_xen_request(FAKE_XEN_GUEST, 1, IOREQ_TYPE_INVALIDATE, 0);
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 1, &value));
	fake_gntdev->foreign.open_error = 0;
	assert_served(rig, 0, 0x22);
}

static void a_worker_dies_while_it_is_told(void **state)
{
	struct rig *rig = *state;
	uint64_t value;

	serve(rig);
	/* This write kills it; the other vCPU's request is behind that. */
	assert_true(fake_xen_access(FAKE_XEN_GUEST, 0, true, BASE + VIRTIO_MMIO_CONFIG, 4, DIE));
	fake_xen_request(FAKE_XEN_GUEST, 1, IOREQ_TYPE_INVALIDATE, 0);
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 1, &value));
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 0, &value));
	WAIT_FOR(rig, daemon_served(rig->gpu_daemon) == 1);
	assert_served(rig, 0, 0x22);
	forget_mapped();
}

static void a_request_that_is_not_there(void **state)
{
	struct rig *rig = *state;
	uint64_t value;

	serve(rig);
	fake_foreign_set_absent(PAGES_PER_QUEUE + PAGE_REQUEST, 1, true); /* of queue 1 */
	fake_xen_request(FAKE_XEN_GUEST, 1, IOREQ_TYPE_INVALIDATE, 0);
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 1, &value));
	grant_ring_add(1, 0x22);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	for (uint8_t i = 0; i < 8; i++)
		assert_served(rig, 0, i);
}

static void a_ring_that_is_not_there(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	fake_foreign_set_absent(PAGE_USED, 1, true);
	bring_up(rig);
	WAIT_FOR(rig, rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	fake_foreign_set_absent(PAGE_USED, 1, false);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

/* A driver that grants all the same, since its kernel is forced to. */
static void addresses_that_are_grants(void **state)
{
	struct rig *rig = *state;

	serve(rig);
	grant_ring_foreign = false;
	bring_up(rig);
	grant_ring_foreign = true;
	WAIT_FOR(rig, rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void a_privcmd_that_is_locked(void **state)
{
	struct rig *rig = *state;

	fake_gntdev->foreign.open_error = -EXDEV;
	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen_ranges());
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 0);
	detach();
	assert_gone(rig);
}

/* The kernel's driver knows no grants: it does not take ACCESS_PLATFORM. */
static void a_driver_that_cannot_grant_where_it_must(void **state)
{
	struct rig *rig = *state;

	grant_ring_foreign = false;
	run_daemon(rig);
	start_guest(rig);
	wr(rig, VIRTIO_MMIO_STATUS, 3);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VERSION_1 alone */
	wr(rig, VIRTIO_MMIO_STATUS, 0xb);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 3);
	/* People in dom0, and gpudomctl doctor, see why; until another driver can. */
	WAIT_FOR(rig, has(BACKEND "/error", "the guest's kernel needs CONFIG_XEN_VIRTIO"));
	bring_up(rig);
	WAIT_FOR(rig, has(BACKEND "/error", NULL));
}

/* With grants, indirect tables cost more than they save. */
static void what_is_on_offer(void **state)
{
	struct rig *rig = *state;

	for (unsigned i = 0; i < 2; i++) {
		grant_ring_foreign = i;
		if (i == 0)
			run_daemon(rig);
		start_guest(rig);
		wr(rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
		assert_int_equal(
		    rd(rig, VIRTIO_MMIO_DEVICE_FEATURES) >> VIRTIO_RING_F_INDIRECT_DESC & 1, i);
		wr(rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
		assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_FEATURES), 3);
		detach();
		assert_gone(rig);
	}
}

#define FOREIGN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_foreign, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FOREIGN_TEST(nothing_is_granted),
		FOREIGN_TEST(pages_that_are_given_back_are_let_go_of_first),
		FOREIGN_TEST(pages_are_given_back_when_nobody_has_them),
		FOREIGN_TEST(a_worker_dies_while_it_is_told),
		FOREIGN_TEST(a_request_that_is_not_there),
		FOREIGN_TEST(a_ring_that_is_not_there),
		FOREIGN_TEST(addresses_that_are_grants),
		FOREIGN_TEST(a_privcmd_that_is_locked),
		FOREIGN_TEST(a_driver_that_cannot_grant_where_it_must),
		FOREIGN_TEST(what_is_on_offer),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: foreign maps", tests, NULL, NULL);
	free(self);
	return result;
}
