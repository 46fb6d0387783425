/* SPDX-License-Identifier: MIT */
/* gpudomd on a fake Xen: virtio,device12, what each of a guest's is, and what becomes of them. */
#include <linux/virtio_ids.h>

#include "tests/xen/daemon_rig.h"

#define INPUT_IRQ(devid) (IRQ + (devid))
#define ALL 7 /* one more than there are kinds */

static void write_key(unsigned devid, const char *key, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/local/domain/1/backend/virtio/2/%u/%s", devid, key);
	if (value)
		fake_xenstore_write(path, value);
	else
		fake_xenstore_remove(path);
}

static bool key_is(unsigned devid, const char *key, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/local/domain/1/backend/virtio/2/%u/%s", devid, key);
	return has(path, value);
}

static uint64_t base_of(unsigned devid)
{
	return BASE + (uint64_t)devid * 0x200;
}

/* As libxl does, one after the other. */
static void attach_type(unsigned devid, const char *type)
{
	char text[32];

	fake_xenstore_write("/local/domain/2/name", "clock");
	write_key(devid, "frontend-id", "2");
	write_key(devid, "online", "1");
	snprintf(text, sizeof(text), "%u", INPUT_IRQ(devid));
	write_key(devid, "irq", text);
	snprintf(text, sizeof(text), "%#llx", (unsigned long long)base_of(devid));
	write_key(devid, "base", text);
	write_key(devid, "type", type);
	write_key(devid, "transport", "mmio");
	write_key(devid, "grant_usage", "1");
	write_key(devid, "state", "1");
}

static void attach_input(unsigned devid)
{
	attach_type(devid, "virtio,device12");
}

static void detach_input(unsigned devid)
{
	write_key(devid, "online", "0");
	write_key(devid, "state", "5");
}

/* The driver's functions are about this one from now on. */
static void look_at(unsigned devid)
{
	rig_base = base_of(devid);
	rig_irq = INPUT_IRQ(devid);
	rig_queue_max = 64;
}

static void look_at_gpu(void)
{
	rig_base = BASE;
	rig_irq = IRQ;
	rig_queue_max = 1024;
}

/* The test's worker has its --device in its configuration space. */
static void assert_kind(struct rig *rig, unsigned devid, const char *kind)
{
	char is[16];

	WAIT_FOR(rig, key_is(devid, "state", "4"));
	look_at(devid);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_INPUT);
	for (unsigned i = 0; i < sizeof(is); i++)
		is[i] = (char)rd_as(rig, 0, VIRTIO_MMIO_CONFIG + i, 1);
	assert_string_equal(is, kind);
}

static struct guest_device *find(struct rig *rig, unsigned devid)
{
	unsigned guest = 0, position = 0;
	struct guest *only = daemon_next_guest(rig->gpu_daemon, &guest);
	struct guest_device *device;

	while ((device = guest_next(only, &position)))
		if (guest_device_description(device)->devid == devid)
			return device;
	fail_msg("there is no device %u", devid);
	return NULL;
}

static struct guest_device_status status_of(struct rig *rig, unsigned devid)
{
	struct guest_device_status status;

	guest_device_get_status(find(rig, devid), &status);
	return status;
}

static void assert_all_removed(struct rig *rig)
{
	WAIT_FOR(rig, fake_xenstore_count("/local/domain/1/backend/virtio/2") <= 1);
	WAIT_FOR(rig, !fake_xen_handles());
	assert_int_equal(daemon_served(rig->gpu_daemon), 0);
	assert_int_equal(fake_gntdev->pages_mapped, 0);
}

static int set_up_input(void **state)
{
	look_at_gpu();
	return set_up(state);
}

static void configure(struct rig *rig, const char *text)
{
	assert_int_equal(config_parse(&rig->config, "test", text), 0);
}

/* ------------------------------------------------------------------- what is what */

static void kinds_go_by_the_order_of_ids(void **state)
{
	static const char *const kinds[] = { "keyboard", "pointer", "touch", "mouse", "tablet",
		"switch" };
	struct rig *rig = *state;

	attach();
	/* In whatever order they are found: 10 comes before 2 in a directory. */
	for (unsigned i = 6; i; i--)
		attach_input(i == 6 ? 10 : i);
	run_daemon(rig);
	for (unsigned i = 0; i < 6; i++)
		assert_kind(rig, i == 5 ? 10 : i + 1, kinds[i]);
	assert_int_equal(daemon_served(rig->gpu_daemon), 7);
	assert_int_equal(guest_device_screen(find(rig, 1)), -1);
	assert_int_equal(status_of(rig, 3).input, SEAT_INPUT_TOUCH);
	assert_int_equal(status_of(rig, 0).input, SEAT_INPUT_KINDS);
	look_at_gpu();
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_GPU);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	detach();
	for (unsigned i = 1; i < 7; i++)
		detach_input(i == 6 ? 10 : i);
	assert_all_removed(rig);
}

static void a_guest_may_have_input_alone(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	attach_input(0);
	assert_kind(rig, 0, "keyboard");
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	assert_served(rig, 1, 0x22);
	wr(rig, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(fake_gntdev->pages_mapped, 0);
	detach_input(0);
	assert_all_removed(rig);
}

static void kinds_are_configured(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\ninput = mouse\n[guest clock]\ninput = touch, keyboard\n");
	run_daemon(rig);
	attach_input(1);
	assert_kind(rig, 1, "touch");
	attach_input(2);
	assert_kind(rig, 2, "keyboard");
	/* It is there, so that the guest's look at it does no harm, and nothing. */
	attach_input(3);
	WAIT_FOR(rig, key_is(3, "error", "one more than 'input' in gpudom.conf has names"));
	look_at(3);
	assert_int_equal(rd(rig, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 0);
	assert_int_equal(status_of(rig, 3).state, DEVICE_ABSENT);
	assert_int_equal(status_of(rig, 3).pid, 0);
	assert_int_equal(fake_gntdev->workers, 2);
	for (unsigned i = 1; i <= 3; i++)
		detach_input(i);
	assert_all_removed(rig);
}

static void more_devices_than_kinds(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	for (unsigned i = 0; i < ALL; i++)
		attach_input(i);
	for (unsigned i = 0; i + 1 < ALL; i++)
		WAIT_FOR(rig, key_is(i, "state", "4"));
	look_at(ALL - 1);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 0);
	for (unsigned i = 0; i < ALL; i++)
		detach_input(i);
	assert_all_removed(rig);
}

static void others_between_do_not_count(void **state)
{
	struct rig *rig = *state;

	attach_type(0, "virtio,device2");
	attach_type(1, "nonsense");
	attach_input(2);
	attach_type(3, "virtio,device10");
	attach_input(4);
	run_daemon(rig);
	assert_kind(rig, 2, "keyboard");
	assert_kind(rig, 4, "pointer");
	assert_true(key_is(0, "state", "1"));
	for (unsigned i = 2; i < 5; i++)
		detach_input(i);
	WAIT_FOR(rig, !fake_xen_handles());
}

static void one_that_is_attached_again_is_what_it_was(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	for (unsigned i = 0; i < 3; i++)
		attach_input(i);
	for (unsigned i = 0; i < 3; i++)
		WAIT_FOR(rig, key_is(i, "state", "4"));
	detach_input(1);
	WAIT_FOR(rig, key_is(1, "frontend-id", NULL));
	assert_kind(rig, 2, "touch");
	attach_input(1);
	assert_kind(rig, 1, "pointer");
	for (unsigned i = 0; i < 3; i++)
		detach_input(i);
	assert_all_removed(rig);
}

static void keys_of_input_devices_make_no_sense(void **state)
{
	static const struct {
		const char *key, *value;
	} wrong[] = {
		{ "irq", "31" },
		{ "base", "0x3" },
		{ "base", "0xffffffffffffffff" },
		{ "transport", "pci" },
		{ "grant_usage", "2" },
		{ "frontend-id", "3" },
		{ "type", "virtio,device12x" },
	};
	struct rig *rig = *state;

	attach();
	run_daemon(rig);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		attach_input(1);
		write_key(1, wrong[i].key, wrong[i].value);
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
		assert_false(key_is(1, "state", "4"));
		fake_xenstore_remove("/local/domain/1/backend/virtio/2/1");
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
	}
	/* Another's registers */
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	attach_input(1);
	write_key(1, "base", "0x2000100");
	for (unsigned k = 0; k < 20; k++)
		turn(rig);
	assert_false(key_is(1, "state", "4"));
	fake_xenstore_remove("/local/domain/1/backend/virtio/2/1");
	look_at_gpu();
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	detach();
	WAIT_FOR(rig, !fake_xen_handles());
}

/* ------------------------------------------------------------------- their workers */

static void a_worker_dies_and_the_guest_goes_on(void **state)
{
	struct rig *rig = *state;
	struct guest_device_status before, now;

	attach();
	run_daemon(rig);
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	attach_input(1);
	assert_kind(rig, 1, "keyboard");
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	before = status_of(rig, 1);
	/* What it held is the next one's. Once it answers this, it has done with the last one. */
	wr(rig, VIRTIO_MMIO_CONFIG + 16, 0);
	__atomic_store_n(&fake_gntdev->mood, HOLD, __ATOMIC_RELEASE);
	fake_gntdev->mood_times = UINT32_MAX;
	grant_ring_add(0, 0x33);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	WAIT_FOR(rig, __atomic_load_n(&fake_gntdev->held, __ATOMIC_ACQUIRE) == 1);
	__atomic_store_n(&fake_gntdev->mood, WELL, __ATOMIC_RELEASE);
	assert_int_equal(kill(before.pid, SIGKILL), 0);
	WAIT_FOR(rig, status_of(rig, 1).state == DEVICE_REPLACING);
	forget_mapped();
	WAIT_FOR(rig, status_of(rig, 1).health.replacements == 1);
	WAIT_FOR(rig, grant_ring_used(0) == 2);
	now = status_of(rig, 1);
	assert_int_not_equal(now.pid, before.pid);
	assert_int_equal(now.state, DEVICE_SERVING);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xf);
	wr(rig, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	assert_served(rig, 1, 0x44);
	/* The GPU's worker has nothing to do with it. */
	assert_int_equal(status_of(rig, 0).health.deaths, 0);
}

static void one_that_crashes_too_often_is_blocked_alone(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\ncrash-limit = 1/60\n");
	attach();
	run_daemon(rig);
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	attach_input(1);
	assert_kind(rig, 1, "keyboard");
	bring_up(rig);
	assert_int_equal(kill(status_of(rig, 1).pid, SIGKILL), 0);
	WAIT_FOR(rig, status_of(rig, 1).blocked == GUEST_BLOCKED_CRASHES);
	forget_mapped();
	assert_true(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_int_equal(status_of(rig, 0).state, DEVICE_SERVING);
	assert_int_equal(guest_device_unblock(find(rig, 1)), 0);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void other_kinds_hold_from_the_next_reset_on(void **state)
{
	struct rig *rig = *state;
	struct config before, after;
	char at_once[64], at_reset[64];
	unsigned position = 0, workers;
	struct guest *guest;

	configure(rig, "[guest clock]\ninput = keyboard, mouse, touch\n");
	run_daemon(rig);
	for (unsigned i = 0; i < 3; i++)
		attach_input(i);
	assert_kind(rig, 0, "keyboard");
	assert_kind(rig, 1, "mouse");
	assert_kind(rig, 2, "touch");
	bring_up(rig);
	before = rig->config;
	assert_int_equal(
	    config_parse(&after, "test", "[guest clock]\ninput = keyboard, touch, mouse\n"), 0);
	rig->config = after;
	guest = daemon_next_guest(rig->gpu_daemon, &position);
	assert_true(guest_reconfigure(guest, &before, at_once, at_reset, sizeof(at_once)));
	config_finish(&before);
	assert_string_equal(at_reset, "input");
	assert_kind(rig, 2, "touch");
	workers = fake_gntdev->workers;
	bring_up(rig);
	assert_kind(rig, 2, "mouse");
	assert_int_equal(fake_gntdev->workers, workers + 1);
	assert_served(rig, 0, 0x11);
	wr(rig, VIRTIO_MMIO_STATUS, 0);
	/* What it is does not change, so its worker may stay. */
	look_at(0);
	bring_up(rig);
	assert_kind(rig, 0, "keyboard");
	assert_int_equal(fake_gntdev->workers, workers + 1);
}

#define INPUT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_input, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		INPUT_TEST(kinds_go_by_the_order_of_ids),
		INPUT_TEST(a_guest_may_have_input_alone),
		INPUT_TEST(kinds_are_configured),
		INPUT_TEST(more_devices_than_kinds),
		INPUT_TEST(others_between_do_not_count),
		INPUT_TEST(one_that_is_attached_again_is_what_it_was),
		INPUT_TEST(keys_of_input_devices_make_no_sense),
		INPUT_TEST(a_worker_dies_and_the_guest_goes_on),
		INPUT_TEST(one_that_crashes_too_often_is_blocked_alone),
		INPUT_TEST(other_kinds_hold_from_the_next_reset_on),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: input", tests, NULL, NULL);
	free(self);
	return result;
}
