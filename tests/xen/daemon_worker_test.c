/* SPDX-License-Identifier: MIT */
/* gpudomd on a fake Xen: workers die at bad moments, and the guest goes on. */

#include "tests/xen/daemon_rig.h"

#define ALWAYS UINT32_MAX
#define CRASHES 5 /* GUEST_POLICY_DEFAULT */

/* ----------------------------------------------------------------- the worker's end */

static void set_mood(enum worker_mood mood, unsigned times)
{
	fake_gntdev->mood_times = times;
	__atomic_store_n(&fake_gntdev->mood, (int)mood, __ATOMIC_RELEASE);
}

static unsigned workers(void)
{
	return __atomic_load_n(&fake_gntdev->workers, __ATOMIC_ACQUIRE);
}

static bool serves(const struct rig *rig)
{
	return daemon_served(rig->gpu_daemon) == 1;
}

/* As an operator would: the worker has done nothing to deserve it. */
static void kill_worker(struct rig *rig)
{
	assert_true(serves(rig));
	assert_int_equal(kill(fake_gntdev->worker_pid, SIGKILL), 0);
	WAIT_FOR(rig, !serves(rig));
	/* The kernel's doing, which the fake does not know. */
	forget_mapped();
}

static void kill_and_wait(struct rig *rig)
{
	unsigned before = workers();

	kill_worker(rig);
	WAIT_FOR(rig, serves(rig));
	assert_int_equal(workers(), before + 1);
}

static void assert_well(struct rig *rig)
{
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xf);
	assert_false(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
}

static void start_served_guest(struct rig *rig)
{
	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	assert_served(rig, 1, 0x12);
}

/* From its next kick on: it may be at the end of the last one's work, when this is answered it is
 * not. */
static void set_mood_at_rest(struct rig *rig, enum worker_mood mood, unsigned times)
{
	wr(rig, VIRTIO_MMIO_CONFIG + 8, 0x0c0b0a09); /* as it is */
	set_mood(mood, times);
}

/* An access of vCPU 1 that cannot be answered yet. */
static void begin_write(uint32_t offset, uint32_t value)
{
	assert_true(fake_xen_access(FAKE_XEN_GUEST, 1, true, BASE + offset, 4, value));
}

static bool write_is_over(void)
{
	uint64_t ignored;

	return fake_xen_answered(FAKE_XEN_GUEST, 1, &ignored);
}

/* Request @slot of a queue: descriptors of its own, so that several can be under way. */
static void add_request(unsigned queue, unsigned slot)
{
	struct vring_desc *desc = (struct vring_desc *)grant_ring_page(queue, PAGE_RING) + 2 * slot;
	struct vring_avail *avail =
	    (struct vring_avail *)((uint8_t *)grant_ring_page(queue, PAGE_RING) + 0x400);
	uint32_t offset = 0x100 + 32 * slot;

	memset((uint8_t *)grant_ring_page(queue, PAGE_REQUEST) + offset, 0xa0 + (int)slot, 16);
	memset((uint8_t *)grant_ring_page(queue, PAGE_ANSWER) + offset, 0, 32);
	desc[0] = (struct vring_desc){ grant_ring_bus(queue, PAGE_REQUEST, offset), 16,
		VRING_DESC_F_NEXT, (uint16_t)(2 * slot + 1) };
	desc[1] = (struct vring_desc){ grant_ring_bus(queue, PAGE_ANSWER, offset), 32,
		VRING_DESC_F_WRITE, 0 };
	avail->ring[avail->idx % GRANT_RING_SIZE] = (uint16_t)(2 * slot);
	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
}

/* The last @count used entries are requests 0 to @count - 1, each once, and answered right. */
static void assert_answered(unsigned queue, unsigned count)
{
	const struct vring_used *used = grant_ring_page(queue, PAGE_USED);
	unsigned seen = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned at = (uint16_t)(used->idx - 1 - i) % GRANT_RING_SIZE;
		unsigned slot = used->ring[at].id / 2;
		uint32_t offset = 0x100 + 32 * slot;

		assert_true(slot < count);
		assert_false(seen & 1u << slot);
		seen |= 1u << slot;
		assert_int_equal(used->ring[at].len, 16);
		assert_memory_equal((uint8_t *)grant_ring_page(queue, PAGE_ANSWER) + offset,
		    (uint8_t *)grant_ring_page(queue, PAGE_REQUEST) + offset, 16);
	}
}

/* ---------------------------------------------------------------- and its successor */

static void a_dead_worker_is_replaced(void **state)
{
	struct rig *rig = *state;
	unsigned descriptors;
	size_t mapped;

	start_served_guest(rig);
	descriptors = open_descriptors();
	mapped = fake_gntdev->pages_mapped;
	for (uint8_t i = 1; i < CRASHES; i++) {
		kill_and_wait(rig);
		assert_well(rig);
		assert_served(rig, 0, i);
		assert_served(rig, 1, i);
		assert_well(rig);
		assert_int_equal(fake_gntdev->pages_mapped, mapped);
		assert_int_equal(open_descriptors(), descriptors);
	}
	assert_int_equal(grant_ring_used(0), CRASHES);
	assert_int_equal(grant_ring_used(1), CRASHES);
	detach();
	assert_gone(rig);
}

/* Registers are answered while there is no worker, and nothing is said to the guest. */
static void vcpus_go_on_meanwhile(void **state)
{
	struct rig *rig = *state;
	unsigned raised, before = 0;

	start_served_guest(rig);
	set_mood(STALL_IN_HANDSHAKE, ALWAYS);
	before = workers();
	kill_worker(rig);
	raised = fake_guest(FAKE_XEN_GUEST)->raised;
	for (unsigned i = 0; i < 50; i++) {
		assert_well(rig);
		assert_int_equal(rd_as(rig, 1, VIRTIO_MMIO_CONFIG, 4), 0x04030201);
		wr(rig, VIRTIO_MMIO_QUEUE_SEL, i % 2);
		assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY), 1);
	}
	WAIT_FOR(rig, workers() > before);
	grant_ring_add(0, 0x33);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_false(serves(rig));
	assert_int_equal(fake_guest(FAKE_XEN_GUEST)->raised, raised);
	set_mood(WELL, 0);
	WAIT_FOR(rig, grant_ring_used(0) == 2);
	WAIT_FOR(rig, fake_guest(FAKE_XEN_GUEST)->raised > raised);
	assert_well(rig);
	assert_served(rig, 1, 0x44);
}

static void requests_under_way_are_answered_once(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	for (unsigned round = 1; round < CRASHES; round++) {
		uint16_t used[2] = { grant_ring_used(0), grant_ring_used(1) };

		fake_gntdev->held = 0;
		set_mood_at_rest(rig, HOLD, ALWAYS);
		for (unsigned i = 0; i < 3; i++)
			add_request(0, i);
		add_request(1, 0);
		wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
		WAIT_FOR(rig, __atomic_load_n(&fake_gntdev->held, __ATOMIC_ACQUIRE) == 4);
		assert_int_equal(grant_ring_used(0), used[0]);
		set_mood(WELL, 0);
		kill_and_wait(rig);
		WAIT_FOR(rig, grant_ring_used(0) == (uint16_t)(used[0] + 3));
		WAIT_FOR(rig, grant_ring_used(1) == (uint16_t)(used[1] + 1));
		assert_answered(0, 3);
		assert_answered(1, 1);
		assert_served(rig, 0, (uint8_t)round);
		assert_int_equal(grant_ring_used(0), (uint16_t)(used[0] + 4));
		assert_int_equal(grant_ring_used(1), (uint16_t)(used[1] + 1));
		assert_well(rig);
	}
}

/* It had answered, and not said so: it is not answered again, and the guest hears of it. */
static void an_answer_without_its_interrupt(void **state)
{
	struct rig *rig = *state;
	unsigned raised, before;

	start_served_guest(rig);
	raised = fake_guest(FAKE_XEN_GUEST)->raised;
	before = workers();
	set_mood_at_rest(rig, DIE_BEFORE_CALL, 1);
	grant_ring_add(0, 0x55);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	WAIT_FOR(rig, fake_guest(FAKE_XEN_GUEST)->raised > raised && workers() > before);
	/* With a monitor that is killed before it has published it, the successor answers it. */
	WAIT_FOR(rig, grant_ring_used(0) == 2);
	assert_true(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_VRING);
	wr(rig, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	/* A successor's own interrupt for its answer may come only now, or after the next one. */
	grant_ring_add(0, 0x66);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	WAIT_FOR(rig, grant_ring_used(0) == 3);
	WAIT_FOR(rig, rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_VRING);
	assert_memory_equal(grant_ring_page(0, PAGE_ANSWER), grant_ring_page(0, PAGE_REQUEST), 16);
	assert_well(rig);
}

/* Whatever it was about when it died, once; the guest sees nothing but that it took longer. */
static void one_that_dies_at_its_work(void **state)
{
	static const enum worker_mood moods[] = { DIE_AT_KICK, DIE_IN_REQUEST, HANG_UP, FLOOD };
	struct rig *rig = *state;

	start_served_guest(rig);
	for (unsigned i = 0; i < sizeof(moods) / sizeof(moods[0]); i++) {
		unsigned before = workers();

		set_mood_at_rest(rig, moods[i], 1);
		assert_served(rig, i % 2, (uint8_t)(0x60 + i));
		WAIT_FOR(rig, serves(rig));
		assert_int_equal(workers(), before + 1);
		assert_well(rig);
	}
}

static void successors_die_in_their_handshake(void **state)
{
	struct rig *rig = *state;
	unsigned before;

	start_served_guest(rig);
	before = workers();
	set_mood(DIE_IN_HANDSHAKE, CRASHES - 2);
	kill_worker(rig);
	WAIT_FOR(rig, serves(rig));
	assert_int_equal(workers(), before + CRASHES - 1);
	assert_served(rig, 0, 0x77);
	assert_well(rig);
}

static void a_request_that_kills_every_worker(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	set_mood_at_rest(rig, DIE_IN_REQUEST, ALWAYS);
	grant_ring_add(0, 0x13);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	WAIT_FOR(rig, rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_int_equal(workers(), CRASHES);
	assert_true(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	assert_false(serves(rig));
	assert_int_equal(grant_ring_used(0), 1);
	set_mood(WELL, 0);
	forget_mapped();
	/* Whether it goes on or not, a reset is a new beginning, with rings that know nothing of
	 * that. */
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	bring_up(rig);
	assert_served(rig, 0, 0x14);
	assert_int_equal(grant_ring_used(0), 1);
	assert_well(rig);
}

/* What was under way cannot be brought back: that is when a guest must be told. */
static void a_successor_that_cannot_use_the_record(void **state)
{
	struct rig *rig = *state;
	unsigned before;

	start_served_guest(rig);
	set_mood_at_rest(rig, HOLD, ALWAYS);
	add_request(0, 0);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	WAIT_FOR(rig, __atomic_load_n(&fake_gntdev->held, __ATOMIC_ACQUIRE) == 1);
	set_mood(REFUSE_RECORD, 1);
	before = workers();
	kill_worker(rig);
	WAIT_FOR(rig, rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_true(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(grant_ring_used(0), 1);
	/* That worker is well, and what the guest needs when it has reset its device ... */
	bring_up(rig);
	assert_served(rig, 0, 0x15);
	assert_int_equal(workers(), before + 1);
	assert_well(rig);
	/* ... and has made a record that the next one can use. */
	kill_and_wait(rig);
	assert_served(rig, 0, 0x16);
	assert_well(rig);
}

static void a_configuration_that_is_another(void **state)
{
	struct rig *rig = *state;
	uint32_t generation;

	start_served_guest(rig);
	generation = rd(rig, VIRTIO_MMIO_CONFIG_GENERATION);
	set_mood(SHOW_ANOTHER_CONFIG, ALWAYS);
	kill_and_wait(rig);
	assert_true(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(rd_as(rig, 0, VIRTIO_MMIO_CONFIG, 4), 0x04030201 ^ 0x80);
	assert_int_not_equal(rd(rig, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xf);
}

/* ------------------------------------------------- and the guest wants something of it */

static void it_dies_in_a_reset(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	for (unsigned i = 1; i < CRASHES; i++) {
		unsigned before = workers();

		set_mood_at_rest(rig, DIE_IN_RESET, 1);
		wr(rig, VIRTIO_MMIO_STATUS, 0);
		assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0);
		assert_int_equal(workers(), before + 1);
		forget_mapped();
		bring_up(rig);
		assert_served(rig, 0, (uint8_t)i);
		assert_int_equal(grant_ring_used(0), 1);
		assert_well(rig);
	}
}

/* The driver has broken its device: the successor takes over what there is, and a reset reaches it.
 */
static void it_dies_when_its_guest_must_reset(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	wr(rig, VIRTIO_MMIO_QUEUE_SEL, 1);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 0);
	wr(rig, VIRTIO_MMIO_QUEUE_NUM, 3);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_true(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	kill_and_wait(rig);
	assert_true(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	set_mood(DIE_IN_RESET, 1);
	wr(rig, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(fake_gntdev->mood_times, 0);
	WAIT_FOR(rig, serves(rig));
	bring_up(rig);
	assert_served(rig, 0, 0x33);
	assert_served(rig, 1, 0x34);
}

static void it_dies_while_a_queue_is_taken_away(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	set_mood_at_rest(rig, DIE_IN_STOP, 1);
	wr(rig, VIRTIO_MMIO_QUEUE_SEL, 1);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY), 0);
	WAIT_FOR(rig, serves(rig));
	assert_served(rig, 0, 0x21);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_served(rig, 1, 0x22);
	assert_well(rig);
}

static void a_queue_is_taken_away_meanwhile(void **state)
{
	struct rig *rig = *state;
	unsigned before;

	start_served_guest(rig);
	before = workers();
	set_mood(STALL_IN_HANDSHAKE, ALWAYS);
	kill_worker(rig);
	WAIT_FOR(rig, workers() > before);
	wr(rig, VIRTIO_MMIO_QUEUE_SEL, 1);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY), 0);
	set_mood(WELL, 0);
	WAIT_FOR(rig, serves(rig));
	assert_served(rig, 0, 0x23);
	grant_ring_add(1, 0x24);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_served(rig, 0, 0x25);
	assert_int_equal(grant_ring_used(1), 1);
	assert_well(rig);
}

static void a_reset_meanwhile(void **state)
{
	struct rig *rig = *state;
	unsigned before;

	start_served_guest(rig);
	for (unsigned dies = 0; dies < 2; dies++) {
		before = workers();
		set_mood(STALL_IN_HANDSHAKE, ALWAYS);
		kill_worker(rig);
		WAIT_FOR(rig, workers() > before);
		begin_write(VIRTIO_MMIO_STATUS, 0);
		/* What the new one has taken over it must give back first. */
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xf);
		assert_false(write_is_over());
		if (dies)
			assert_int_equal(kill(fake_gntdev->worker_pid, SIGKILL), 0);
		set_mood(WELL, 0);
		WAIT_FOR(rig, write_is_over());
		assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0);
		assert_int_equal(fake_gntdev->pages_mapped, 0);
		bring_up(rig);
		assert_served(rig, 0, 0x31);
		assert_int_equal(grant_ring_used(0), 1);
		assert_well(rig);
	}
}

static void a_driver_comes_up_meanwhile(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	set_mood(STALL_IN_HANDSHAKE, ALWAYS);
	kill_worker(rig);
	/* All but the reset that it begins with. */
	WAIT_FOR(rig, workers() == 2);
	begin_write(VIRTIO_MMIO_STATUS, 0);
	set_mood(WELL, 0);
	WAIT_FOR(rig, write_is_over());
	set_mood(STALL_IN_HANDSHAKE, ALWAYS);
	bring_up(rig);
	kill_worker(rig);
	assert_well(rig);
	set_mood(WELL, 0);
	assert_served(rig, 0, 0x41);
	assert_well(rig);
}

static void a_configuration_is_written_meanwhile(void **state)
{
	struct rig *rig = *state;
	unsigned before;

	start_served_guest(rig);
	before = workers();
	set_mood(STALL_IN_HANDSHAKE, ALWAYS);
	kill_worker(rig);
	WAIT_FOR(rig, workers() > before);
	begin_write(VIRTIO_MMIO_CONFIG + 8, 0x5a5b5c5d);
	assert_well(rig);
	assert_false(write_is_over());
	set_mood(WELL, 0);
	WAIT_FOR(rig, write_is_over());
	assert_int_equal(rd(rig, VIRTIO_MMIO_CONFIG + 8), 0x5a5b5c5d);
	assert_served(rig, 0, 0x42);
}

static void the_guest_goes_while_its_worker_is_replaced(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	for (unsigned i = 0; i < 3; i++) {
		unsigned before = workers();

		set_mood(i ? STALL_IN_HANDSHAKE : WELL, ALWAYS);
		kill_worker(rig);
		if (i)
			WAIT_FOR(rig, workers() > before);
		if (i == 2)
			begin_write(VIRTIO_MMIO_STATUS, 0);
		detach();
		set_mood(WELL, 0);
		assert_gone(rig);
		if (i == 2)
			break;
		start_guest(rig);
		bring_up(rig);
		assert_served(rig, 0, 0x51);
	}
}

/* ------------------------------------------------------------------- its first start */

static void it_crashes_in_its_first_start(void **state)
{
	struct rig *rig = *state;

	set_mood(DIE_IN_HANDSHAKE, CRASHES - 1);
	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen_ranges());
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 16);
	assert_int_equal(workers(), CRASHES);
	bring_up(rig);
	assert_served(rig, 0, 0x61);
}

static void it_always_crashes_in_its_first_start(void **state)
{
	struct rig *rig = *state;

	set_mood(DIE_IN_HANDSHAKE, ALWAYS);
	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen_ranges());
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 0);
	assert_int_equal(workers(), CRASHES);
	assert_false(has(BACKEND "/state", "4"));
	forget_mapped();
	detach();
	assert_gone(rig);
}

/* ------------------------------------------------------------------- enough is enough */

/* Until no new one is started. */
static void kill_workers(struct rig *rig)
{
	unsigned killed = 0;

	/* It dies over this, and the write ends all the same. */
	do {
		wr(rig, VIRTIO_MMIO_CONFIG, DIE);
		assert_true(++killed <= CRASHES);
		WAIT_FOR(rig, daemon_served(rig->gpu_daemon) == 1 ||
				  rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	} while (!(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET));
}

static void a_guest_is_told_when_its_workers_die_again_and_again(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	fake_guest(FAKE_XEN_GUEST)->raised = 0;
	kill_workers(rig);
	assert_true(fake_guest(FAKE_XEN_GUEST)->raised > 0);
	assert_true(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* to nobody */
	assert_int_equal(daemon_served(rig->gpu_daemon), 0);
	forget_mapped();
	detach();
	assert_gone(rig);
}

static void a_reset_brings_a_new_worker(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	for (uint8_t i = 1; i < 4; i++) {
		bring_up(rig);
		assert_served(rig, 0, i);
		assert_served(rig, 1, i);
		kill_workers(rig);
		forget_mapped();
		assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	}
	bring_up(rig);
	assert_served(rig, 0, 0x55);
	assert_int_equal(daemon_served(rig->gpu_daemon), 1);
}

static void a_worker_that_cannot_be_started_anew(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	kill_workers(rig);
	fake_gntdev->fail_open = true;
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	wr(rig, VIRTIO_MMIO_STATUS, 0);
	/* The reset is over, the device is not well. */
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), NEEDS_RESET);
	fake_gntdev->fail_open = false;
	forget_mapped();
	bring_up(rig);
	assert_served(rig, 0, 0x66);
}

static void a_worker_that_does_not_exist(void **state)
{
	struct rig *rig = *state;

	rig->options.worker_path = "/nonexistent/gpudom-worker";
	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen_ranges());
	/* For the guest, there is no device; it boots without. */
	assert_int_equal(rd(rig, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 0);
	assert_false(has(BACKEND "/state", "4"));
	detach();
	assert_gone(rig);
}

static void a_worker_that_ends_at_once(void **state)
{
	struct rig *rig = *state;

	rig->options.worker_path = "/bin/false";
	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen_ranges());
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 0);
	assert_false(has(BACKEND "/state", "4"));
	detach();
	assert_gone(rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_dead_worker_is_replaced),
		EVENTFD_TEST(a_dead_worker_is_replaced),
		TEST(vcpus_go_on_meanwhile),
		EVENTFD_TEST(vcpus_go_on_meanwhile),
		TEST(requests_under_way_are_answered_once),
		EVENTFD_TEST(requests_under_way_are_answered_once),
		TEST(an_answer_without_its_interrupt),
		EVENTFD_TEST(an_answer_without_its_interrupt),
		TEST(one_that_dies_at_its_work),
		EVENTFD_TEST(one_that_dies_at_its_work),
		TEST(successors_die_in_their_handshake),
		TEST(a_request_that_kills_every_worker),
		TEST(a_successor_that_cannot_use_the_record),
		TEST(a_configuration_that_is_another),
		TEST(it_dies_in_a_reset),
		TEST(it_dies_when_its_guest_must_reset),
		TEST(it_dies_while_a_queue_is_taken_away),
		TEST(a_queue_is_taken_away_meanwhile),
		TEST(a_reset_meanwhile),
		TEST(a_driver_comes_up_meanwhile),
		TEST(a_configuration_is_written_meanwhile),
		TEST(the_guest_goes_while_its_worker_is_replaced),
		TEST(it_crashes_in_its_first_start),
		TEST(it_always_crashes_in_its_first_start),
		TEST(a_guest_is_told_when_its_workers_die_again_and_again),
		TEST(a_reset_brings_a_new_worker),
		EVENTFD_TEST(a_reset_brings_a_new_worker),
		TEST(a_worker_that_cannot_be_started_anew),
		TEST(a_worker_that_does_not_exist),
		TEST(a_worker_that_ends_at_once),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: workers", tests, NULL, NULL);
	setenv("GPUDOM_TEST_BROKER", "1", 1);
	result += cmocka_run_group_tests_name("the same with monitors", tests, NULL, NULL);
	unsetenv("GPUDOM_TEST_BROKER");
	grant_ring_foreign = true;
	result += cmocka_run_group_tests_name("the same by foreign maps", tests, NULL, NULL);
	free(self);
	return result;
}
