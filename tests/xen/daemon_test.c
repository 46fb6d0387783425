/* SPDX-License-Identifier: MIT */
/* gpudomd on a fake Xen: guests are served, and go away at bad moments. */
#include <sys/mman.h>

#include "tests/xen/daemon_rig.h"

/* -------------------------------------------------------------- it all goes well */

static void a_guest_is_served_from_attach_to_detach(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	assert_int_equal(fake_xen.restricted, 3);
	assert_int_equal(fake_xen_ranges(), 1);
	assert_int_equal(fake_guest(FAKE_XEN_GUEST)->servers[0].ranges[0].start, BASE);
	assert_int_equal(fake_guest(FAKE_XEN_GUEST)->servers[0].ranges[0].end, BASE + 0x1ff);
	assert_int_equal(daemon_served(rig->gpu_daemon), 1);
	assert_int_equal(rd(rig, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 16);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	assert_served(rig, 1, 0x22);
	assert_served(rig, 0, 0x33);
	assert_int_equal(rd_as(rig, 1, VIRTIO_MMIO_CONFIG, 4), 0x04030201);
	detach();
	assert_gone(rig);
}

static void a_guest_comes_when_gpudomd_is_not_there_yet(void **state)
{
	struct rig *rig = *state;

	attach();
	run_daemon(rig);
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void a_driver_resets_and_starts_again(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	for (uint8_t i = 1; i < 10; i++) {
		bring_up(rig);
		assert_served(rig, 0, i);
		wr(rig, VIRTIO_MMIO_STATUS, 0);
		/* Done means: nothing is mapped any more. */
		assert_int_equal(fake_gntdev->pages_mapped, 0);
	}
}

static void a_driver_takes_a_queue_away(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	wr(rig, VIRTIO_MMIO_QUEUE_SEL, 1);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_served(rig, 0, 0x44);
}

static void the_kernel_takes_kicks_and_interrupts(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	assert_int_equal(fake_xen_kicks(), 2);
	assert_int_equal(fake_xen_irqfds(), 1);
	bring_up(rig);
	for (uint8_t i = 1; i <= 20; i++)
		assert_served(rig, i % 2, i);
	assert_int_equal(fake_guest(FAKE_XEN_GUEST)->fast_kicks, 20);
	detach();
	assert_gone(rig);
}

static void a_request_seen_in_the_kernels_hands_is_not_lost(void **state)
{
	struct rig *rig = *state;

	fake_xen.flickers = true;
	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void accesses_wait_for_the_worker(void **state)
{
	struct rig *rig = *state;
	uint64_t first, second;

	run_daemon(rig);
	attach();
	/* As early as can be: the range is claimed before there is a worker. */
	WAIT_FOR(rig, fake_xen_ranges());
	assert_true(has(BACKEND "/state", "2"));
	assert_true(fake_xen_access(FAKE_XEN_GUEST, 0, false, BASE + VIRTIO_MMIO_DEVICE_ID, 4, 0));
	assert_true(fake_xen_access(FAKE_XEN_GUEST, 1, false, BASE, 4, 0));
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 0, &first));
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 1, &second));
	assert_int_equal(first, 16);
	assert_int_equal(second, 0x74726976);
	assert_true(has(BACKEND "/state", "4"));
}

static void requests_of_other_types(void **state)
{
	struct rig *rig = *state;
	uint64_t value = 0;

	run_daemon(rig);
	start_guest(rig);
	fake_xen_request(FAKE_XEN_GUEST, 0, IOREQ_TYPE_INVALIDATE, 0);
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 0, &value));
	fake_xen_request(FAKE_XEN_GUEST, 1, IOREQ_TYPE_PCI_CONFIG, 0x80);
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 1, &value));
	assert_true(value == UINT64_MAX);
	assert_int_equal(rd(rig, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
}

static void a_second_guest_with_the_same_domain_id(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	for (uint8_t i = 1; i < 5; i++) {
		start_guest(rig);
		bring_up(rig);
		assert_served(rig, 0, i);
		detach();
		assert_gone(rig);
	}
}

static void it_ends_after_the_first_guest_if_told_so(void **state)
{
	struct rig *rig = *state;

	rig->options.once = true;
	run_daemon(rig);
	start_guest(rig);
	detach();
	WAIT_FOR(rig, sd_event_get_state(rig->event) == SD_EVENT_FINISHED);
	assert_true(has(BACKEND "/state", NULL));
}

/* What daemon_log_statistics() says of @key, from the log's own words. */
static unsigned long long logged(struct rig *rig, const char *key)
{
	char text[1024] = "", word[32], *at;
	int log = memfd_create("log", MFD_CLOEXEC), err = dup(STDERR_FILENO);

	assert_true(log >= 0 && err >= 0 && dup2(log, STDERR_FILENO) >= 0);
	log_init(LOG_LEVEL_INFO, NULL);
	daemon_log_statistics(rig->gpu_daemon);
	log_init(LOG_LEVEL_ERROR, NULL);
	dup2(err, STDERR_FILENO);
	close(err);
	assert_true(pread(log, text, sizeof(text) - 1, 0) > 0);
	close(log);
	assert_non_null(strstr(text, "guest clock, GPU 0: statistics: domid=2 devid=0 serving=1 "));
	snprintf(word, sizeof(word), " %s=", key);
	at = strstr(text, word);
	assert_non_null(at);
	return strtoull(at + strlen(word), NULL, 10);
}

static void accesses_are_counted(void **state)
{
	struct rig *rig = *state;
	unsigned long long reads, writes, kicks, raised;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	reads = logged(rig, "reads");
	writes = logged(rig, "writes");
	kicks = logged(rig, "kicks");
	raised = logged(rig, "raised");
	for (uint8_t i = 0; i < 10; i++) /* notify, acknowledge; read the interrupt's status */
		assert_served(rig, 0, i);
	rd(rig, VIRTIO_MMIO_STATUS);
	assert_int_equal(logged(rig, "reads") - reads, 11);
	assert_int_equal(logged(rig, "writes") - writes, 20);
	assert_int_equal(logged(rig, "kicks") - kicks, 10);
	assert_int_equal(logged(rig, "raised") - raised, 10);
	assert_int_equal(logged(rig, "lowered"), logged(rig, "raised"));
	assert_int_equal(logged(rig, "interrupts"), 10);
	assert_int_equal(logged(rig, "replacements"), 0);
}

/* --------------------------------------------------------- the guest goes away */

static void the_toolstack_does_not_wait(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	fake_xen_destroy_guest(FAKE_XEN_GUEST);
	fake_xenstore_remove("/local/domain/1/backend/virtio/2");
	assert_gone(rig);
	assert_true(has(BACKEND "/state", NULL)); /* and was not written anew */
}

static void the_domain_dies_without_good_byes(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	fake_xen_destroy_guest(FAKE_XEN_GUEST);
	fake_xenstore_fire("@releaseDomain");
	assert_gone(rig);
}

static void the_guest_goes_while_its_worker_starts(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen_ranges());
	detach();
	assert_gone(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void the_guest_goes_in_mid_reset(void **state)
{
	struct rig *rig = *state;
	uint64_t value;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_true(fake_xen_access(FAKE_XEN_GUEST, 0, true, BASE + VIRTIO_MMIO_STATUS, 4, 0));
	detach();
	/* Whichever comes first. */
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 0, &value) || !fake_xen_servers());
	assert_gone(rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_is_served_from_attach_to_detach),
		TEST(a_guest_comes_when_gpudomd_is_not_there_yet),
		TEST(a_driver_resets_and_starts_again),
		TEST(a_driver_takes_a_queue_away),
		EVENTFD_TEST(the_kernel_takes_kicks_and_interrupts),
		TEST(a_request_seen_in_the_kernels_hands_is_not_lost),
		TEST(accesses_wait_for_the_worker),
		TEST(requests_of_other_types),
		TEST(accesses_are_counted),
		TEST(a_second_guest_with_the_same_domain_id),
		TEST(it_ends_after_the_first_guest_if_told_so),
		TEST(the_toolstack_does_not_wait),
		TEST(the_domain_dies_without_good_byes),
		TEST(the_guest_goes_while_its_worker_starts),
		TEST(the_guest_goes_in_mid_reset),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: guests", tests, NULL, NULL);
	grant_ring_foreign = true;
	result += cmocka_run_group_tests_name("the same by foreign maps", tests, NULL, NULL);
	free(self);
	return result;
}
