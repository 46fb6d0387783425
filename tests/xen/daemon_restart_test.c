/* SPDX-License-Identifier: MIT */
/* gpudomd that is killed, or ends, under running guests. */
#include "tests/xen/restart_rig.h"

/* ----------------------------------------------------------- in a steady state */

static void nobody_notices_that_it_was_killed(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	start(r);
	worker = worker_pid(r);
	for (unsigned i = 0; i < 4; i++) {
		restart(r);
		assert_unnoticed(r);
		assert_int_equal(worker_pid(r), worker);
		assert_int_equal(r->keeper.count, KEPT);
		assert_true(has(BACKEND "/state", "4"));
		assert_int_equal(fake_xen_irqfds(), 1);
		assert_int_equal(fake_xen_servers(), 1);
	}
	detach();
	assert_all_gone(r);
}

static void nobody_notices_that_it_was_told_to_end(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	start(r);
	worker = worker_pid(r);
	end_daemon(r, SIGTERM);
	assert_true(has(STATUS, NULL));
	start_daemon(r);
	assert_unnoticed(r);
	assert_int_equal(worker_pid(r), worker);
	detach();
	assert_all_gone(r);
}

static void interrupts_are_forwarded_again(void **state)
{
	struct restart_rig *r = *state;

	fake_xen.eventfds = false;
	start(r);
	restart(r);
	assert_unnoticed(r);
	detach();
	assert_all_gone(r);
}

static void requests_are_served_while_nobody_is_there(void **state)
{
	struct restart_rig *r = *state;
	uint16_t used;
	pid_t worker;

	start(r);
	worker = worker_pid(r);
	used = grant_ring_used(0);
	stop_worker(worker);
	grant_ring_add(0, 0x77);
	wr(&r->rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	end_daemon(r, SIGKILL);
	assert_int_equal(grant_ring_used(0), used);
	kill(worker, SIGCONT);
	/* Worker and kernel do without gpudomd. */
	WAIT_FOR(&r->rig, grant_ring_used(0) != used && line_is_raised());
	assert_memory_equal(grant_ring_page(0, PAGE_ANSWER), grant_ring_page(0, PAGE_REQUEST), 16);
	post(0, false, VIRTIO_MMIO_INTERRUPT_STATUS, 0);
	start_daemon(r);
	assert_true(answer(r, 0) & VIRTIO_MMIO_INT_VRING);
	wr(&r->rig, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_false(line_is_raised());
	assert_unnoticed(r);
	assert_int_equal(worker_pid(r), worker);
}

/* ------------------------------------------------------------ accesses of vCPUs */

static void accesses_made_meanwhile_are_answered(void **state)
{
	struct restart_rig *r = *state;

	start(r);
	end_daemon(r, SIGKILL);
	post(0, false, VIRTIO_MMIO_MAGIC_VALUE, 0);
	post(1, true, VIRTIO_MMIO_QUEUE_SEL, 1);
	start_daemon(r);
	assert_int_equal(answer(r, 0), 0x74726976);
	answer(r, 1);
	assert_int_equal(rd(&r->rig, VIRTIO_MMIO_QUEUE_READY), 1);
	assert_unnoticed(r);
}

static void an_answer_that_was_not_announced_is(void **state)
{
	struct restart_rig *r = *state;

	start(r);
	fake_xen_fail(FAKE_XEN_NOTIFY, 1, 1, EIO);
	post(0, false, VIRTIO_MMIO_MAGIC_VALUE, 0);
	WAIT_FOR(&r->rig, state_of(0) == STATE_IORESP_READY);
	WAIT_FOR(&r->rig,
	    fake_xen.calls[FAKE_XEN_NOTIFY].times == 0 ||
		fake_xen.calls[FAKE_XEN_NOTIFY].calls >= fake_xen.calls[FAKE_XEN_NOTIFY].first);
	fake_xen_heal();
	restart(r);
	assert_int_equal(answer(r, 0), 0x74726976);
	assert_unnoticed(r);
}

static void an_access_that_waited_for_the_first_worker(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	setenv("GPUDOM_TEST_WORKERS_STOP", "1", 1);
	restart(r);
	attach();
	WAIT_FOR(&r->rig, fake_keeper_find(&r->keeper, "2-0-pid") >= 0);
	worker = worker_pid(r);
	post(0, false, VIRTIO_MMIO_DEVICE_ID, 0);
	WAIT_FOR(&r->rig, state_of(0) == STATE_IOREQ_INPROCESS);
	assert_true(has(BACKEND "/state", "2"));
	unsetenv("GPUDOM_TEST_WORKERS_STOP");
	restart(r);
	assert_int_equal(answer(r, 0), 16);
	WAIT_FOR(&r->rig, has(BACKEND "/state", "4"));
	bring_up(&r->rig);
	assert_unnoticed(r);
	WAIT_FOR(&r->rig, r->keeper.count == KEPT);
	assert_int_not_equal(worker_pid(r), worker);
	detach();
	assert_all_gone(r);
}

/* ------------------------------------------------------ in the middle of a command */

static void killed_while_a_reset_was_under_way(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	start(r);
	worker = worker_pid(r);
	stop_worker(worker);
	post(0, true, VIRTIO_MMIO_STATUS, 0);
	WAIT_FOR(&r->rig, state_of(0) == STATE_IOREQ_INPROCESS);
	restart(r);
	/* Nobody knows how far that worker is: another one. */
	answer(r, 0);
	assert_int_equal(rd(&r->rig, VIRTIO_MMIO_STATUS), 0);
	assert_int_not_equal(worker_pid(r), worker);
	bring_up(&r->rig);
	assert_unnoticed(r);
	detach();
	assert_all_gone(r);
}

static void killed_while_the_driver_started(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	start_guest(&r->rig);
	WAIT_FOR(&r->rig, r->keeper.count == KEPT);
	worker = worker_pid(r);
	stop_worker(worker);
	/* The worker is told of it, and cannot answer. */
	bring_up(&r->rig);
	restart(r);
	assert_unnoticed(r);
	assert_int_not_equal(worker_pid(r), worker);
	detach();
	assert_all_gone(r);
}

/* Somewhere in the driver's start, at each of its accesses. */
static void killed_at_any_time(void **state)
{
	struct restart_rig *r = *state;

	start_guest(&r->rig);
	for (unsigned i = 1; i < 60; i += 2) {
		r->turns = 0;
		r->kill_at = i;
		bring_up(&r->rig);
		WAIT_FOR(&r->rig, r->turns >= r->kill_at);
		assert_unnoticed(r);
	}
	detach();
	assert_all_gone(r);
}

/* While it sets a guest up: there is one server with its ports in the end, and nothing else. */
static void killed_at_each_call(void **state)
{
	struct restart_rig *r = *state;
	unsigned nth = 0, left = 0;
	bool died;

	do {
		end_daemon(r, SIGKILL);
		fake_keeper_remove(&r->keeper, NULL);
		fake_xen_destroy_guest(FAKE_XEN_GUEST);
		memset(fake_xen.irqfds, 0, sizeof(fake_xen.irqfds)); /* see dead_irqfds */
		fake_xenstore_remove("/local/domain/1/backend/virtio/2");
		fake_xen_create_guest(FAKE_XEN_GUEST, 2);
		r->die_at_call = ++nth;
		start_daemon(r);
		start_guest(&r->rig);
		assert_int_equal(rd(&r->rig, VIRTIO_MMIO_DEVICE_ID), 16);
		wr(&r->rig, VIRTIO_MMIO_STATUS, 0);
		assert_int_equal(rd(&r->rig, VIRTIO_MMIO_STATUS), 0);
		WAIT_FOR(&r->rig, r->keeper.count == KEPT);
		/* Between its creation and its first range, a server cannot be told from those of
		 * other backends: one that does nothing is left until the guest goes. */
		assert_in_range(fake_xen_servers(), 1, 2);
		left += fake_xen_servers() - 1;
		assert_int_equal(fake_xen_bound(), 2);
		assert_int_equal(fake_xen_ranges(), 1);
		assert_int_equal(fake_guest(FAKE_XEN_GUEST)->woken_for_nothing, 0);
		died = !r->die_at_call;
		r->die_at_call = 0;
	} while (died);
	assert_in_range(nth, 20, 60);
	assert_int_equal(left, 1);
}

static void the_worker_dies_as_well(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	start(r);
	worker = worker_pid(r);
	end_daemon(r, SIGKILL);
	kill(worker, SIGKILL);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
	start_daemon(r);
	assert_unnoticed(r);
	WAIT_FOR(&r->rig, r->keeper.count == KEPT);
	assert_int_not_equal(worker_pid(r), worker);
	detach();
	assert_all_gone(r);
}

/* A successor neither starts a worker for it, nor does the guest's reset. */
static void a_blocked_guest_stays_blocked(void **state)
{
	struct restart_rig *r = *state;
	unsigned workers;

	start(r);
	while (!(rd(&r->rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET))
		wr(&r->rig, VIRTIO_MMIO_CONFIG, DIE);
	forget_mapped();
	workers = fake_gntdev->workers;
	for (unsigned i = 0; i < 2; i++) {
		restart(r);
		assert_true(rd(&r->rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
		wr(&r->rig, VIRTIO_MMIO_STATUS, 0);
		assert_int_equal(rd(&r->rig, VIRTIO_MMIO_STATUS), NEEDS_RESET);
		wr(&r->rig, VIRTIO_MMIO_STATUS, 1);
		assert_int_equal(rd(&r->rig, VIRTIO_MMIO_DEVICE_ID), 16);
	}
	assert_int_equal(fake_gntdev->workers, workers);
	detach();
	assert_all_gone(r);
	/* A guest that boots anew is another one. */
	start(r);
}

/* A successor reads what its predecessor's worker goes on to write. */
static void an_adopted_worker_hangs(void **state)
{
	struct restart_rig *r = *state;
	struct telemetry *page;
	pid_t worker;

	assert_int_equal(config_parse(&r->rig.config, "test", "[default]\nhang-timeout = 1s\n"), 0);
	WAIT_FOR(&r->rig, has(STATUS, "ready"));
	restart(r);
	start(r);
	worker = worker_pid(r);
	restart(r);
	assert_unnoticed(r);
	assert_int_equal(worker_pid(r), worker);
	assert_int_equal(
	    telemetry_open(fake_keeper_find(&r->keeper, "2-0-telemetry"), true, &page), 0);
	page->busy_since_ns = 1;
	assert_int_equal(waitpid(worker, NULL, 0), worker);
	page->busy_since_ns = 0;
	telemetry_close(page);
	forget_mapped();
	assert_unnoticed(r);
	detach();
	assert_all_gone(r);
}

/* ------------------------------------------------------------ guests go meanwhile */

static void the_guest_dies_while_nobody_is_there(void **state)
{
	struct restart_rig *r = *state;

	start(r);
	end_daemon(r, SIGKILL);
	fake_xen_destroy_guest(FAKE_XEN_GUEST);
	fake_xenstore_remove("/local/domain/1/backend/virtio/2");
	r->dead_irqfds = 1;
	start_daemon(r);
	assert_all_gone(r);
	/* Domain ids are reused in the end. */
	fake_xen_create_guest(FAKE_XEN_GUEST, 2);
	start(r);
}

/* Nor does a worker stay that does not end by itself, with the guest's memory. */
static void the_guest_dies_and_its_worker_does_not(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	start(r);
	worker = worker_pid(r);
	stop_worker(worker);
	end_daemon(r, SIGKILL);
	fake_xen_destroy_guest(FAKE_XEN_GUEST);
	fake_xenstore_remove("/local/domain/1/backend/virtio/2");
	r->dead_irqfds = 1;
	start_daemon(r);
	WAIT_FOR(&r->rig, waitpid(worker, NULL, WNOHANG) == worker);
	assert_all_gone(r);
	fake_xen_create_guest(FAKE_XEN_GUEST, 2);
	start(r);
}

static void the_device_is_taken_away_while_nobody_is_there(void **state)
{
	struct restart_rig *r = *state;

	start(r);
	end_daemon(r, SIGKILL);
	detach();
	start_daemon(r);
	assert_all_gone(r);
	start(r);
}

/* ------------------------------------------------------------- less than all is kept */

static void assert_needs_reset(struct restart_rig *r)
{
	/* It is woken, and can go on. */
	WAIT_FOR(&r->rig, rd(&r->rig, VIRTIO_MMIO_STATUS) == (0xf | NEEDS_RESET));
	assert_true(line_is_raised());
	assert_true(rd(&r->rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	wr(&r->rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	bring_up(&r->rig);
	assert_unnoticed(r);
}

static void nobody_keeps_anything(void **state)
{
	struct restart_rig *r = *state;

	start(r);
	end_daemon(r, SIGKILL);
	fake_keeper_remove(&r->keeper, NULL);
	post(0, false, VIRTIO_MMIO_MAGIC_VALUE, 0);
	start_daemon(r);
	assert_int_equal(answer(r, 0), 0x74726976);
	assert_needs_reset(r);
	assert_int_equal(fake_xen_servers(), 1);
	r->dead_irqfds = 1;
	detach();
	assert_all_gone(r);
}

static void a_request_that_an_unkept_gpudomd_had_begun(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	start(r);
	worker = worker_pid(r);
	stop_worker(worker);
	post(1, true, VIRTIO_MMIO_STATUS, 0);
	WAIT_FOR(&r->rig, state_of(1) == STATE_IOREQ_INPROCESS);
	end_daemon(r, SIGKILL);
	kill(worker, SIGKILL);
	fake_keeper_remove(&r->keeper, NULL);
	start_daemon(r);
	answer(r, 1);
	assert_int_equal(rd(&r->rig, VIRTIO_MMIO_STATUS), 0);
	bring_up(&r->rig);
	assert_unnoticed(r);
}

static void what_was_kept_is_of_another_version(void **state)
{
	struct restart_rig *r = *state;
	uint32_t version = 0;

	start(r);
	end_daemon(r, SIGKILL);
	assert_int_equal(pwrite(fake_keeper_find(&r->keeper, "2-state"), &version, sizeof(version),
			     offsetof(struct guest_state, version)),
	    sizeof(version));
	start_daemon(r);
	assert_needs_reset(r);
	WAIT_FOR(&r->rig, r->keeper.count == KEPT);
	r->dead_irqfds = 1;
	detach();
	assert_all_gone(r);
}

static void each_descriptor_is_lost_in_turn(void **state)
{
	static const char *const names[] = { "2-evtchn", "2-0-call", "2-0-error", "2-0-kick0",
		"2-0-kick1", "2-0-pid", "2-0-worker", "2-0-channel" };
	struct restart_rig *r = *state;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		start(r);
		end_daemon(r, SIGKILL);
		fake_keeper_remove(&r->keeper, names[i]);
		start_daemon(r);
		assert_unnoticed(r);
		/* The eventfds go together. */
		r->dead_irqfds += i >= 1 && i <= 4;
		detach();
		assert_all_gone(r);
	}
}

static void another_backend_of_this_domain_is_left_alone(void **state)
{
	struct restart_rig *r = *state;
	xendevicemodel_handle *other = xendevicemodel_open(NULL, 0);
	ioservid_t id;

	assert_int_equal(xendevicemodel_create_ioreq_server(other, FAKE_XEN_GUEST, 0, &id), 0);
	assert_int_equal(xendevicemodel_map_io_range_to_ioreq_server(
			     other, FAKE_XEN_GUEST, id, 1, BASE + 0x200, BASE + 0x3ff),
	    0);
	start_guest(&r->rig);
	bring_up(&r->rig);
	assert_unnoticed(r);
	assert_int_equal(fake_xen_servers(), 2);
	assert_int_equal(fake_xen_ranges(), 2);
	end_daemon(r, SIGKILL);
	fake_keeper_remove(&r->keeper, NULL);
	start_daemon(r);
	assert_needs_reset(r);
	assert_int_equal(fake_xen_servers(), 2);
	xendevicemodel_close(other);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RESTART_TEST(nobody_notices_that_it_was_killed),
		RESTART_TEST(nobody_notices_that_it_was_told_to_end),
		RESTART_TEST(interrupts_are_forwarded_again),
		RESTART_TEST(requests_are_served_while_nobody_is_there),
		RESTART_TEST(accesses_made_meanwhile_are_answered),
		RESTART_TEST(an_answer_that_was_not_announced_is),
		RESTART_TEST(an_access_that_waited_for_the_first_worker),
		RESTART_TEST(killed_while_a_reset_was_under_way),
		RESTART_TEST(killed_while_the_driver_started),
		RESTART_TEST(killed_at_any_time),
		RESTART_TEST(killed_at_each_call),
		RESTART_TEST(the_worker_dies_as_well),
		RESTART_TEST(a_blocked_guest_stays_blocked),
		RESTART_TEST(an_adopted_worker_hangs),
		RESTART_TEST(the_guest_dies_while_nobody_is_there),
		RESTART_TEST(the_guest_dies_and_its_worker_does_not),
		RESTART_TEST(the_device_is_taken_away_while_nobody_is_there),
		RESTART_TEST(nobody_keeps_anything),
		RESTART_TEST(a_request_that_an_unkept_gpudomd_had_begun),
		RESTART_TEST(what_was_kept_is_of_another_version),
		RESTART_TEST(each_descriptor_is_lost_in_turn),
		RESTART_TEST(another_backend_of_this_domain_is_left_alone),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: restarts", tests, NULL, NULL);
	free(self);
	return result;
}
