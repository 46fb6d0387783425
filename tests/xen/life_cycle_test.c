/* SPDX-License-Identifier: MIT */
/* gpudomd on a fake Xen: guests and devices come and go, in any order and at bad moments, and leave
 * nothing behind. README.md lists which test covers which line of what it must survive. */
#include <dirent.h>

#include "tests/xen/daemon_rig.h"

#define DIRECTORY "/local/domain/1/backend/virtio"

/* ------------------------------------------------------------- devices of guests */

struct place {
	uint16_t domid;
	unsigned devid;
};

static uint64_t base_of(struct place place)
{
	return BASE + place.devid * UINT64_C(0x200);
}

static const char *key_of(struct place place, const char *key)
{
	static char path[128];

	snprintf(path, sizeof(path), DIRECTORY "/%u/%u%s%s", place.domid, place.devid,
	    key[0] ? "/" : "", key);
	return path;
}

static void set(struct place place, const char *key, const char *value)
{
	fake_xenstore_write(key_of(place, key), value);
}

static void set_number(struct place place, const char *key, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	set(place, key, text);
}

static void attach_at(struct place place)
{
	set_number(place, "frontend-id", place.domid);
	set(place, "online", "1");
	set_number(place, "irq", IRQ + place.devid);
	set_number(place, "base", base_of(place));
	set(place, "type", "virtio,device10");
	set(place, "transport", "mmio");
	set(place, "grant_usage", "1");
	set(place, "state", "1");
}

static void detach_at(struct place place)
{
	set(place, "online", "0");
	set(place, "state", "5");
}

static bool serves(struct place place)
{
	return has(key_of(place, "state"), "4");
}

static bool is_gone(struct place place)
{
	return fake_xenstore_count(key_of(place, "")) == 0;
}

/* The domain and all its keys, without a word to gpudomd. */
static void destroy(uint16_t domid)
{
	char path[128];

	snprintf(path, sizeof(path), DIRECTORY "/%u", domid);
	if (fake_xen_find(domid) && !fake_xen_find(domid)->dying)
		fake_xen_destroy_guest(domid);
	fake_xenstore_remove(path);
}

static uint32_t read_at(struct rig *rig, struct place place, unsigned vcpu, uint32_t offset)
{
	uint64_t value = 0;

	assert_true(fake_xen_access(place.domid, vcpu, false, base_of(place) + offset, 4, 0));
	WAIT_FOR(rig, fake_xen_answered(place.domid, vcpu, &value));
	return (uint32_t)value;
}

static void write_at(struct rig *rig, struct place place, uint32_t offset, uint32_t value)
{
	uint64_t ignored;

	assert_true(fake_xen_access(place.domid, 0, true, base_of(place) + offset, 4, value));
	WAIT_FOR(rig, fake_xen_answered(place.domid, 0, &ignored));
}

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Whatever there was, it is over. */
static void assert_nothing_left(struct rig *rig)
{
	WAIT_FOR(rig, !fake_xen_handles());
	assert_int_equal(fake_xen_servers(), 0);
	assert_int_equal(fake_xen_ranges(), 0);
	assert_int_equal(fake_xen_bound(), 0);
	assert_int_equal(fake_xen_irqfds(), 0);
	assert_int_equal(fake_xen_kicks(), 0);
	assert_int_equal(fake_gntdev->pages_mapped, 0);
	assert_int_equal(daemon_served(rig->gpu_daemon), 0);
}

/* --------------------------------------------------------------- any number of them */

static void three_guests_with_two_devices_each(void **state)
{
	/* In no order, some before gpudomd. */
	static const struct place places[] = { { 3, 1 }, { 2, 0 }, { 4, 1 }, { 2, 1 }, { 4, 0 },
		{ 3, 0 } };
	static const unsigned leave[] = { 1, 4, 0, 5, 3, 2 };
	struct rig *rig = *state;
	unsigned files, watches;

	fake_xen_create_guest(3, 1);
	fake_xen_create_guest(4, 4);
	attach_at(places[0]);
	attach_at(places[1]);
	run_daemon(rig);
	files = open_files();
	watches = fake_xenstore_watches();
	for (unsigned i = 2; i < 6; i++) {
		attach_at(places[i]);
		turn(rig);
	}
	for (unsigned i = 0; i < 6; i++)
		WAIT_FOR(rig, serves(places[i]));
	/* One IOREQ server for each guest. */
	assert_int_equal(fake_xen_servers(), 3);
	assert_int_equal(fake_xen_ranges(), 6);
	assert_int_equal(fake_xen_bound(), 2 + 1 + 4);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(read_at(rig, places[i], 0, VIRTIO_MMIO_DEVICE_ID), 16);
		write_at(rig, places[i], VIRTIO_MMIO_STATUS, i % 2 ? 1 : 3);
	}
	/* Each has registers of its own. */
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(read_at(rig, places[i], 0, VIRTIO_MMIO_STATUS), i % 2 ? 1 : 3);
	for (unsigned i = 0; i < 6; i++) {
		detach_at(places[leave[i]]);
		WAIT_FOR(rig, is_gone(places[leave[i]]));
		assert_int_equal(fake_xen_ranges(), 5 - i);
		for (unsigned k = i + 1; k < 6; k++)
			assert_int_equal(
			    read_at(rig, places[leave[k]], 0, VIRTIO_MMIO_DEVICE_ID), 16);
	}
	assert_nothing_left(rig);
	assert_int_equal(fake_xenstore_watches(), watches);
	assert_int_equal(open_files(), files);
}

static void a_guest_reboots(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	for (uint16_t domid = 2; domid < 6; domid++) {
		const struct place old = { domid, 0 }, new = { (uint16_t)(domid + 1), 0 };

		if (domid == 2)
			attach_at(old);
		WAIT_FOR(rig, serves(old));
		/* The new domain may be there before the old one has gone. */
		fake_xen_create_guest(new.domid, 2);
		if (domid % 2)
			attach_at(new);
		detach_at(old);
		WAIT_FOR(rig, is_gone(old));
		fake_xen_destroy_guest(domid);
		if (domid % 2 == 0)
			attach_at(new);
		WAIT_FOR(rig, serves(new));
		assert_int_equal(fake_xen_servers(), 1);
		assert_int_equal(read_at(rig, new, 1, VIRTIO_MMIO_DEVICE_ID), 16);
	}
	destroy(6);
	assert_nothing_left(rig);
	fake_xen_create_guest(FAKE_XEN_GUEST, 1);
}

static void a_domain_id_is_used_again(void **state)
{
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 };

	run_daemon(rig);
	for (unsigned i = 1; i < 4; i++) {
		attach_at(place);
		WAIT_FOR(rig, serves(place));
		assert_int_equal(read_at(rig, place, 0, VIRTIO_MMIO_STATUS), 0);
		write_at(rig, place, VIRTIO_MMIO_STATUS, 1);
		destroy(FAKE_XEN_GUEST);
		/* Xen keeps the id until the page is unmapped. */
		WAIT_FOR(rig, !fake_xen_find(FAKE_XEN_GUEST));
		fake_xen_create_guest(FAKE_XEN_GUEST, i);
	}
	assert_nothing_left(rig);
}

static void a_device_id_is_used_again_unseen(void **state)
{
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 }, other = { FAKE_XEN_GUEST, 1 };

	run_daemon(rig);
	attach_at(place);
	attach_at(other);
	WAIT_FOR(rig, serves(place) && serves(other));
	write_at(rig, place, VIRTIO_MMIO_STATUS, 1);
	write_at(rig, other, VIRTIO_MMIO_STATUS, 1);
	/* Removed and made anew between two looks. */
	fake_xenstore_remove(key_of(place, ""));
	attach_at(place);
	WAIT_FOR(rig, serves(place));
	assert_int_equal(read_at(rig, place, 0, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(read_at(rig, other, 0, VIRTIO_MMIO_STATUS), 1);
	assert_int_equal(fake_xen_ranges(), 2);
	/* As soon as it is closed, and with other values. */
	detach_at(place);
	WAIT_FOR(rig, has(key_of(place, "state"), "6"));
	fake_xenstore_remove(key_of(place, ""));
	attach_at(place);
	set(place, "irq", "40");
	WAIT_FOR(rig, serves(place));
	detach_at(place);
	detach_at(other);
	assert_nothing_left(rig);
}

static void online_0_is_enough(void **state)
{
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 }, other = { FAKE_XEN_GUEST, 1 };

	run_daemon(rig);
	attach_at(place);
	attach_at(other);
	WAIT_FOR(rig, serves(place) && serves(other));
	set(place, "online", "0");
	WAIT_FOR(rig, is_gone(place));
	assert_int_equal(read_at(rig, other, 0, VIRTIO_MMIO_DEVICE_ID), 16);
	set(other, "online", "0");
	WAIT_FOR(rig, is_gone(other));
	assert_nothing_left(rig);
}

/* -------------------------------------------------------------------- bad moments */

static void a_paused_guest(void **state)
{
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 };
	uint64_t value;

	run_daemon(rig);
	attach_at(place);
	WAIT_FOR(rig, serves(place));
	assert_true(
	    fake_xen_access(place.domid, 0, false, base_of(place) + VIRTIO_MMIO_DEVICE_ID, 4, 0));
	fake_xen_pause_guest(place.domid, true);
	WAIT_FOR(rig, fake_xen_request_state(place.domid, 0) == STATE_IORESP_READY);
	assert_false(fake_xen_answered(place.domid, 0, &value));
	fake_xen_pause_guest(place.domid, false);
	assert_true(fake_xen_answered(place.domid, 0, &value));
	assert_int_equal(value, 16);
	/* It dies while it is paused. */
	assert_true(fake_xen_access(place.domid, 1, true, base_of(place), 4, 0));
	fake_xen_pause_guest(place.domid, true);
	destroy(place.domid);
	assert_nothing_left(rig);
}

static unsigned calls_to_go;

static void die_at_call(enum fake_xen_call call)
{
	if (calls_to_go && --calls_to_go == 0)
		destroy(FAKE_XEN_GUEST);
}

static void the_guest_dies_at_each_call(void **state)
{
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 };
	unsigned nth = 0;
	bool died;

	run_daemon(rig);
	do {
		calls_to_go = ++nth;
		fake_xen_on_call = die_at_call;
		attach_at(place);
		WAIT_FOR(rig, serves(place) || calls_to_go == 0);
		if (calls_to_go)
			detach_at(place);
		WAIT_FOR(rig, calls_to_go == 0 || is_gone(place));
		died = calls_to_go == 0;
		fake_xen_on_call = NULL;
		calls_to_go = 0;
		if (died)
			destroy(FAKE_XEN_GUEST);
		assert_nothing_left(rig);
		assert_true(is_gone(place));
		if (!fake_xen_find(FAKE_XEN_GUEST))
			fake_xen_create_guest(FAKE_XEN_GUEST, 2);
	} while (died);
	/* From the first handle to the last release. */
	assert_in_range(nth, 20, 60);
}

static unsigned fail_from, fail_error;

static void fail_at_call(enum fake_xen_call call)
{
	/* Of events, which Linux refuses to nobody. */
	if (call == FAKE_XEN_PENDING || call == FAKE_XEN_UNMASK || call == FAKE_XEN_NOTIFY)
		return;
	if (fail_from && --fail_from == 0)
		fake_xen_fail(call, 1, 1, (int)fail_error);
}

/* Each call of the set-up fails once: the device is served in the end. */
static void each_call_fails_once(void **state)
{
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 };
	bool failed = true;

	run_daemon(rig);
	for (unsigned nth = 1; failed; nth++) {
		fail_from = nth;
		fail_error = ENOMEM;
		fake_xen_on_call = fail_at_call;
		attach_at(place);
		WAIT_FOR(rig, serves(place));
		failed = fail_from == 0;
		fake_xen_on_call = NULL;
		fake_xen_heal();
		assert_int_equal(read_at(rig, place, 0, VIRTIO_MMIO_DEVICE_ID), 16);
		destroy(FAKE_XEN_GUEST);
		assert_nothing_left(rig);
		fake_xen_create_guest(FAKE_XEN_GUEST, 2);
	}
}

/* ------------------------------------------------------------- the toolstack's keys */

static void a_directory_that_comes_bit_by_bit(void **state)
{
	static const char *const keys[][2] = { { "irq", "33" }, { "grant_usage", "1" },
		{ "type", "virtio,device10" }, { "base", "0x2000000" }, { "frontend-id", "2" },
		{ "state", "1" }, { "transport", "mmio" } };
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 };

	run_daemon(rig);
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(fake_xen_handles(), 0);
		fake_xenstore_write(key_of(place, keys[i][0]), keys[i][1]);
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
	}
	WAIT_FOR(rig, serves(place));
}

static void a_wrong_value_is_mended(void **state)
{
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 }, other = { FAKE_XEN_GUEST, 1 };

	run_daemon(rig);
	attach_at(place);
	attach_at(other);
	set(place, "irq", "many");
	/* That device alone. */
	WAIT_FOR(rig, serves(other));
	assert_false(serves(place));
	set(place, "irq", "36");
	WAIT_FOR(rig, serves(place));
}

static void nodes_of_any_bytes(void **state)
{
	static const char *const keys[] = { "type", "transport", "base", "irq", "grant_usage",
		"frontend-id", "state", "online" };
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 }, other = { FAKE_XEN_GUEST, 1 };
	char huge[FAKE_XENSTORE_VALUE_MAX];

	run_daemon(rig);
	attach_at(other);
	WAIT_FOR(rig, serves(other));
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		for (unsigned how = 0; how < 3; how++) {
			memset(huge, how == 2 ? 0xff : '1', sizeof(huge));
			attach_at(place);
			fake_xenstore_write_bytes(
			    key_of(place, keys[i]), huge, how ? sizeof(huge) : 0);
			if (how == 1)
				fake_xenstore_write_bytes(key_of(place, keys[i]), "1\0001", 3);
			for (unsigned k = 0; k < 10; k++)
				turn(rig);
			/* Whether it is online is all that may be unsaid. */
			assert_true(serves(place) == false || i == 7);
			fake_xenstore_remove(key_of(place, ""));
			WAIT_FOR(rig, fake_xen_ranges() == 1);
		}
	assert_int_equal(read_at(rig, other, 0, VIRTIO_MMIO_DEVICE_ID), 16);
}

static void the_guest_writes_its_own_nodes(void **state)
{
	static const char *const values[] = { "", "5", "6", "0", "-1", "x" };
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 };

	run_daemon(rig);
	attach_at(place);
	WAIT_FOR(rig, serves(place));
	for (unsigned i = 0; i < 6; i++) {
		fake_xenstore_write("/local/domain/2/device/virtio/0/state", values[i]);
		fake_xenstore_write("/local/domain/2/device/virtio/0/backend", values[i]);
		fake_xenstore_write("/local/domain/2/device/virtio/0/backend-id", values[i]);
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
	}
	fake_xenstore_remove("/local/domain/2/device");
	assert_int_equal(read_at(rig, place, 0, VIRTIO_MMIO_DEVICE_ID), 16);
	assert_true(serves(place));
}

static void our_state_is_rewritten(void **state)
{
	static const char *const values[] = { "", "2", "3", "7", "-5", "five", "4294967301" };
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 };

	run_daemon(rig);
	attach_at(place);
	WAIT_FOR(rig, serves(place));
	write_at(rig, place, VIRTIO_MMIO_STATUS, 1);
	for (unsigned i = 0; i < 7; i++) {
		fake_xenstore_write(key_of(place, "state"), values[i]);
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
		assert_int_equal(read_at(rig, place, 0, VIRTIO_MMIO_STATUS), 1);
	}
	fake_xenstore_remove(key_of(place, "state"));
	for (unsigned k = 0; k < 5; k++)
		turn(rig);
	assert_int_equal(read_at(rig, place, 0, VIRTIO_MMIO_STATUS), 1);
	fake_xenstore_remove(key_of(place, ""));
	assert_nothing_left(rig);
}

/* ---------------------------------------------------------------------- xenstored */

static void xenstored_is_restarted(void **state)
{
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 }, other = { FAKE_XEN_GUEST, 1 };
	int code = 0;

	run_daemon(rig);
	attach_at(place);
	WAIT_FOR(rig, serves(place));
	attach_at(other);
	WAIT_FOR(rig, fake_xen_ranges() == 2);
	/* Nobody is woken; until there is something to write. */
	fake_xenstore_disconnect();
	WAIT_FOR(rig, sd_event_get_state(rig->event) == SD_EVENT_FINISHED);
	sd_event_get_exit_code(rig->event, &code);
	assert_int_equal(code, EXIT_FAILURE);
	/* It ends, and takes nothing away from the guest. */
	assert_true(serves(place));
	assert_int_equal(fake_xen_servers(), 1);
}

/* A call of xenstore's fails while a guest is served: no device is taken for gone. */
static void a_failing_xenstore_takes_no_device_away(void **state)
{
	static const enum fake_xenstore_call calls[] = { FAKE_XENSTORE_READ,
		FAKE_XENSTORE_DIRECTORY, FAKE_XENSTORE_CHECK_WATCH };
	struct rig *rig = *state;
	const struct place place = { FAKE_XEN_GUEST, 0 };

	for (unsigned i = 0; i < 3; i++) {
		for (unsigned nth = 1; nth <= 4; nth++) {
			int code = 0;

			run_daemon(rig);
			attach_at(place);
			WAIT_FOR(rig, serves(place));
			fake_xenstore_fail(calls[i], nth, 1000, i ? EIO : ENOMEM);
			fake_xenstore_fire(key_of(place, "online"));
			for (unsigned k = 0;
			     k < 10 && sd_event_get_state(rig->event) != SD_EVENT_FINISHED; k++)
				fake_xenstore_fire(key_of(place, "online")), turn(rig);
			assert_int_equal(sd_event_get_state(rig->event), SD_EVENT_FINISHED);
			sd_event_get_exit_code(rig->event, &code);
			assert_int_equal(code, EXIT_FAILURE);
			assert_int_equal(fake_xen_ranges(), 1);
			assert_true(serves(place));
			tear_down(state);
			set_up(state);
		}
	}
	run_daemon(rig);
}

/* ------------------------------------------------------------------------- storms */

/* One guest's vCPUs access as fast as they can; the other one waits no longer for that. */
static void a_storm_of_accesses_starves_nobody(void **state)
{
	struct rig *rig = *state;
	const struct place noisy = { FAKE_XEN_GUEST, 0 }, quiet = { 3, 0 };
	uint64_t value;
	unsigned served = 0, longest = 0;

	fake_xen_create_guest(3, 1);
	run_daemon(rig);
	attach_at(noisy);
	attach_at(quiet);
	WAIT_FOR(rig, serves(noisy) && serves(quiet));
	for (unsigned i = 0; i < 200; i++) {
		unsigned turns = 0;

		assert_true(fake_xen_access(3, 0, false, BASE, 4, 0));
		do {
			for (unsigned k = 0; k < 2; k++) {
				served += fake_xen_answered(noisy.domid, k, &value);
				if (fake_xen_request_state(noisy.domid, k) == STATE_IOREQ_NONE)
					fake_xen_access(noisy.domid, k, i % 2,
					    BASE + VIRTIO_MMIO_QUEUE_NOTIFY, 4, 0);
			}
			fake_xenstore_fire(key_of(noisy, "online"));
			turn(rig);
			turns++;
		} while (!fake_xen_answered(3, 0, &value) && turns < 100);
		longest = turns > longest ? turns : longest;
	}
	/* One turn serves one source of events: two guests, xenstore, its scan. */
	assert_in_range(longest, 1, 4);
	assert_true(served > 100);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(three_guests_with_two_devices_each),
		TEST(a_guest_reboots),
		TEST(a_domain_id_is_used_again),
		TEST(a_device_id_is_used_again_unseen),
		TEST(online_0_is_enough),
		TEST(a_paused_guest),
		TEST(the_guest_dies_at_each_call),
		EVENTFD_TEST(the_guest_dies_at_each_call),
		TEST(each_call_fails_once),
		TEST(a_directory_that_comes_bit_by_bit),
		TEST(a_wrong_value_is_mended),
		TEST(nodes_of_any_bytes),
		TEST(the_guest_writes_its_own_nodes),
		TEST(our_state_is_rewritten),
		TEST(xenstored_is_restarted),
		TEST(a_failing_xenstore_takes_no_device_away),
		TEST(a_storm_of_accesses_starves_nobody),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: life cycle", tests, NULL, NULL);
	free(self);
	return result;
}
